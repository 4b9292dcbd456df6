//! `stop`: asks ECS to stop an ECS task (or all of a run), waits, and says how it ended. Who did it is in the reason that ECS keeps.

use crate::cx::TasksFile;
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere, Format};
use crate::follow::{How, Target};
use crate::model::{EcsTask, OnInterrupt};
use crate::ours;
use crate::stage::find::{self, For, Found, Sought};
use crate::stage::follow;
use crate::stage::shards::stop;
use crate::tools::signals::Signals;
use crate::ui::Ui;
use crate::verb::{attach, conclude, ps, reach};
use crate::verdict;

/// Finds what is meant, stops it and waits for the end.
pub async fn stop(
    file: &TasksFile,
    flags: &flags::Stop,
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<u8> {
    if flags.id.is_none() && flags.run.is_none() {
        return Err(Error::refused("nothing is named to be stopped")
            .hint("give an ID (`cargo xtask ps` lists them), or --run RUN for all that a run has started"));
    }
    let grounds = reach::grounds(file, everywhere, ui).await?;
    let found = match (&flags.id, &flags.run) {
        (Some(id), _) => match conclude::or_signal(
            reach::patiently(&grounds, everywhere, ui, Box::pin(find::find(&grounds, id, For::Stopping))),
            signals,
        )
        .await?
        {
            Sought::Task(found) => vec![*found],
            Sought::Forgotten(forgotten) => {
                let message = format!("ECS has forgotten the ECS task {}: it ended over an hour ago", forgotten.id);
                return Err(Error::refused(message));
            }
        },
        (None, Some(run)) => {
            let found = conclude::or_signal(
                reach::patiently(&grounds, everywhere, ui, Box::pin(find::of_run(&grounds, run))),
                signals,
            )
            .await?;
            if found.is_empty() && everywhere.format == Format::Human {
                // Not an error: a cancelled job asks without knowing whether it came as far as starting something.
                ui.print(format!("ECS lists no ECS task of the run {run}: nothing to stop\n"));
            }
            found
        }
        (None, None) => Vec::new(),
    };
    let (running, over): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| !it.task.is_stopped());
    for found in &over {
        say(found, &found.task, "was over", everywhere, ui);
    }
    let mut exit_code = exit::OK;
    let mut reasons = Vec::new();
    for found in &running {
        // The account is checked before anything is written, and the name goes into the reason.
        let identity = conclude::or_signal(found.ground.identity(), signals).await?;
        reasons.push(format!("xtask: stopped by {}", identity.arn));
    }
    if running.len() > 1 {
        return many(&running, &reasons, everywhere, ui, signals).await;
    }
    for (found, reason) in running.iter().zip(reasons) {
        exit_code = exit_code.max(one(found, reason, everywhere, ui, signals).await?);
    }
    Ok(exit_code)
}

/// Those of a run: all are asked at once, as fast as ECS takes it, and then waited for together.
async fn many(
    running: &[Found<'_>],
    reasons: &[String],
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<u8> {
    let mut left: Vec<(String, String)> = Vec::new();
    let mut signal = None;
    let mut rest = running;
    while let Some(first) = rest.first() {
        // One after the other where a run has been in several places; a list keeps them together.
        let n = rest.iter().take_while(|it| std::ptr::eq(it.ground, first.ground)).count();
        let (these, others) = rest.split_at(n);
        let reason = reasons.get(running.len() - rest.len()).map(String::as_str).unwrap_or_default();
        rest = others;
        let environment = &first.ground.environment;
        ui.for_task(&first.name).note(format!("stopping {n} ECS tasks in {environment}"));
        let arns = these.iter().map(|it| it.task.arn.clone()).collect();
        let stopped = Box::pin(stop::stop(&first.ground.aws, first.ground.cluster(), arns, reason, signals)).await;
        for found in these {
            if let Some(task) = stopped.over.iter().find(|it| it.arn == found.task.arn) {
                say(found, task, "stopped", everywhere, ui);
            }
        }
        left.extend(stopped.left);
        signal = signal.or(stopped.signal);
        if signal.is_some() {
            let why = "ECS has not accepted the stop".to_owned();
            left.extend(rest.iter().map(|it| (it.task.arn.clone(), why.clone())));
            break;
        }
    }
    if left.is_empty() {
        return Ok(exit::OK);
    }
    let lines: Vec<String> = left.iter().map(|(arn, why)| format!("{arn}: {why}")).collect();
    let message = format!("{} ECS tasks were not seen to stop:\n{}", left.len(), lines.join("\n"));
    match signal {
        Some(signal) => Err(Error::interrupted(signal, message)),
        None => Err(Error::failed(message)),
    }
}

async fn one(found: &Found<'_>, reason: String, everywhere: &Everywhere, ui: &Ui, signals: &mut Signals) -> Result<u8> {
    let Found { ground, name, task } = found;
    let ui = &ui.for_task(name);
    attach::resolved(found, ui);
    attach::attached(found, ui);
    let target = Target {
        arn: task.arn.clone(),
        container: ours::container(task).to_owned(),
        timeout: None,
        start_timeout: None,
        on_interrupt: OnInterrupt::Detach,
        launched_here: false,
        attended: ui.can_ask(),
        of_many: false,
    };
    let finish = follow::stop(&ground.aws, ui, ground.cluster(), target, reason, signals).await;
    let task = finish.task.as_ref().unwrap_or(task);
    match finish.how {
        How::Stopped => {
            say(found, task, "stopped", everywhere, ui);
            Ok(exit::OK)
        }
        How::Detached(signal) => {
            let asked =
                if finish.stop_failed.is_none() { "ECS is stopping it" } else { "ECS has not accepted the stop" };
            let message = format!("not waited for the end of {}: {asked}", task.arn);
            Err(Error::interrupted(signal, message))
        }
        How::Lost(why) => {
            let message = format!("cannot say how {} ended: {why}", task.arn);
            let hint = reach::again(everywhere, &ground.environment, "ps --all");
            Err(Error::failed(message).hint(format!("look with `{hint}`")))
        }
    }
}

/// Says how it ended: on stdout, since that is what was asked for.
fn say(found: &Found<'_>, task: &EcsTask, what: &str, everywhere: &Everywhere, ui: &Ui) {
    let ui = ui.for_task(&found.name);
    let Some(verdict) = ps::judged(task) else { return };
    if everywhere.format == Format::Json {
        let mut ending = attach::ending(task);
        ending.outcome = verdict.outcome;
        // Of this process: it did what it was asked.
        ending.exit_code = exit::OK;
        ending.stop_code.clone_from(&task.stop_code);
        ending.stopped_reason.clone_from(&task.stopped_reason);
        ending.container_reason = task.container(ours::container(task)).and_then(|it| it.reason.clone());
        ending.timings = verdict::timings(task);
        ui.emit(Event::Finished(Box::new(ending)));
        return;
    }
    let code = task.container(ours::container(task)).and_then(|it| it.exit_code);
    let code = code.map(|it| format!("; its container's exit code is {it}")).unwrap_or_default();
    ui.print(format!("{what}: {} {} {}{code}\n", found.name, task.id(), ps::how(task, &verdict)));
}
