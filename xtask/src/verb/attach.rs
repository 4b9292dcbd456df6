//! `attach`: follows an ECS task that another process started, from the start of its output to its end, with the exit code that `run` would
//! have had. It never stops what it did not start.

use crate::cx::TasksFile;
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere};
use crate::follow::Target;
use crate::model::{EcsTask, Ending, LogEnd, OnInterrupt, Outcome, Runner, Timings};
use crate::ours;
use crate::stage::find::{self, For, Forgotten, Found, Sought};
use crate::stage::{follow, replay};
use crate::tools::signals::Signals;
use crate::ui::{Ui, console_url};
use crate::verb::{conclude, reach};

/// Finds it and follows it.
pub async fn attach(
    file: &TasksFile,
    flags: &flags::Id,
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<u8> {
    let grounds = reach::grounds(file, everywhere, ui).await?;
    let find = Box::pin(find::find(&grounds, &flags.id, For::Looking));
    let sought = conclude::or_signal(reach::patiently(&grounds, everywhere, ui, find), signals).await?;
    match sought {
        Sought::Task(found) => {
            resolved(&found, ui);
            let ending = follow_found(&found, everywhere, ui, signals).await?;
            let exit_code = ending.exit_code;
            ui.for_task(&found.name).emit(Event::Finished(Box::new(ending)));
            Ok(exit_code)
        }
        Sought::Forgotten(forgotten) => replay_forgotten(&forgotten, ui, signals).await,
    }
}

/// Follows what was found. The last event is the caller's.
pub async fn follow_found(
    found: &Found<'_>,
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<Ending> {
    let Found { ground, name, task } = found;
    let ui = &ui.for_task(name);
    attached(found, ui);
    let output = conclude::or_signal(find::output(found), signals).await?;
    let target = Target {
        arn: task.arn.clone(),
        container: output.container.clone(),
        timeout: None,
        start_timeout: None,
        on_interrupt: OnInterrupt::Detach,
        launched_here: false,
        attended: ui.can_ask(),
        of_many: false,
    };
    let finish = follow::follow(&ground.aws, ui, ground.cluster(), target, &output.logs, signals, None).await;
    let mut ending = ending(task);
    ending.image = output.image;
    let by_hand = by_hand(everywhere, &ground.environment, task);
    conclude::conclude(&mut ending, &finish, &output.container, &by_hand);
    let last = finish.task.as_ref().unwrap_or(task);
    ending.timings.total = last.created_at.zip(last.stopped_at).map(|(from, to)| to.seconds_since(from));
    Ok(ending)
}

/// Says which task it is of, where and of which run.
pub fn resolved(found: &Found<'_>, ui: &Ui) {
    let Found { ground, name, task } = found;
    ui.for_task(name).emit(Event::Resolved {
        environment: ground.environment.clone(),
        runner: Runner::Ecs,
        run_id: ours::run_id(task).unwrap_or_default().to_owned(),
        command: ours::shown_command(task).unwrap_or_default(),
    });
}

/// Says what it is that will be followed, or stopped.
pub fn attached(found: &Found<'_>, ui: &Ui) {
    let Found { ground, name, task } = found;
    // An emulator's ECS task has no page in AWS's console.
    let console_url = if ground.aws.endpoint_url.is_none() { console_url(&task.arn) } else { None };
    ui.for_task(name).emit(Event::Attached {
        task_arn: task.arn.clone(),
        cluster: ground.cluster().to_owned(),
        by: ours::run_by(task).map(str::to_owned),
        since: task.created_at,
        console_url,
    });
}

/// What a person types to go on with it.
pub fn by_hand(everywhere: &Everywhere, environment: &str, task: &EcsTask) -> String {
    let line = |verb: &str| reach::again(everywhere, environment, &format!("{verb} {}", task.id()));
    format!("follow it with `{}`, stop it with `{}`", line("attach"), line("stop"))
}

/// What the last event says of it in any case.
pub fn ending(task: &EcsTask) -> Ending {
    Ending {
        outcome: Outcome::Unknown,
        exit_code: exit::FAILED,
        run_id: ours::run_id(task).unwrap_or_default().to_owned(),
        task_arn: Some(task.arn.clone()),
        task_definition: task.task_definition_arn.clone(),
        timings: Timings::default(),
        ..Ending::default()
    }
}

/// The output is all that is left.
async fn replay_forgotten(forgotten: &Forgotten<'_>, ui: &Ui, signals: &mut Signals) -> Result<u8> {
    let Forgotten { ground, name, id, logs } = forgotten;
    let ui = &ui.for_task(name);
    ui.emit(Event::Warning {
        message: format!("ECS has forgotten the ECS task {id}: this is its output, how it ended is not known"),
        hint: None,
    });
    let replayed = tokio::select! {
        replayed = replay::replay(&ground.aws, ui, logs, id, None) => replayed,
        signal = signals.next() => {
            return Err(Error::interrupted(signal, "the output was not read to its end"));
        }
    };
    replayed?;
    ui.emit(Event::Finished(Box::new(Ending {
        outcome: Outcome::Unknown,
        exit_code: exit::FAILED,
        explanation: Some("ECS forgets an ECS task about an hour after its end".to_owned()),
        log: Some(LogEnd::Complete),
        ..Ending::default()
    })));
    Ok(exit::FAILED)
}
