//! `exec`: a session in an ECS task that runs already, of this tool or of the environment's service. It starts and stops nothing but
//! the session.

use crate::aws::Aws;
use crate::aws::ecs::Described;
use crate::console::{self, End};
use crate::cx::{Cx, TasksFile};
use crate::error::{Error, Problem, Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere, Format};
use crate::model::{EcsTask, Settings, Sourced};
use crate::plan;
use crate::resolve;
use crate::stage::find::{self, For, Sought};
use crate::tools::signals::{self, Signals};
use crate::ui::Ui;
use crate::verb::reach;

/// Opens the session and returns the remote command's exit code.
pub async fn exec(
    file: &TasksFile,
    flags: &flags::Exec,
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<u8> {
    let cx = Cx::new(file, ui.clone())?;
    let config = file.config()?;
    let selection = everywhere.selection(reach::variable);
    let (environment, settings) = resolve::environment_settings(&config, &selection)?;
    let protected = settings.protected.as_ref().is_some_and(|it| it.value);
    if protected && !flags.yes && !ui.can_ask() {
        let message =
            format!("`{}` is protected, and there is no terminal to confirm the session on", environment.value);
        let span = settings.protected.as_ref().and_then(Sourced::span);
        return Err(Problem::new(message).at(span).hint("add --yes if this session is meant").refused());
    }
    let cluster = settings.cluster.clone().ok_or_else(|| {
        Problem::new(format!("the environment `{}` has no `cluster`", environment.value))
            .at(environment.span())
            .hint("set `cluster` in the environment")
            .refused()
    })?;
    if let Some(message) = reach::guard_endpoint(&environment, &settings)? {
        ui.emit(Event::Warning { message, hint: None });
    }
    let aws = reach::connect(&settings, ui).await?;
    let grounds = match &flags.id {
        Some(id) if !is_whole(id) => Box::pin(reach::grounds(file, everywhere, ui)).await?,
        _ => Vec::new(),
    };
    let seek = async {
        match &flags.id {
            // The start of an id, or a task's name: among those that this tool started.
            Some(id) if !is_whole(id) => match find::find(&grounds, id, For::Looking).await? {
                Sought::Task(found) if !is_ending(&found.task) => {
                    Ok((found.ground.aws.clone(), found.ground.cluster().to_owned(), found.task))
                }
                Sought::Task(found) => Err(has_stopped(&found.task)),
                Sought::Forgotten(forgotten) => {
                    Err(Error::refused(format!("the ECS task {} has stopped long ago", forgotten.id)))
                }
            },
            _ => find(&aws, flags, &environment, &settings, &cluster)
                .await
                .map(|found| (aws.clone(), cluster.value.clone(), found)),
        }
    };
    let (aws, cluster, found) = tokio::select! {
        found = seek => found?,
        signal = signals.next() => return Err(Error::interrupted(signal, "no session was opened")),
    };
    let container = container(flags, &settings, &found)?;
    if protected && !flags.yes {
        let question =
            format!("`{}` is protected. Type its name to open a session in {}: ", environment.value, found.id());
        let answer = tokio::select! {
            answer = ui.ask(&question) => answer,
            signal = signals.next() => return Err(Error::interrupted(signal, "no session was opened")),
        };
        if answer.as_deref().map(str::trim) != Some(environment.value.as_str()) {
            let message = format!("not confirmed: no session was opened in `{}`", environment.value);
            return Err(Error::refused(message));
        }
    }
    ui.note(format!("a session in the container `{container}` of {}", found.arn));
    let request = console::Request {
        cluster: &cluster,
        task: &found,
        container: &container,
        argv: &flags.command,
        json: everywhere.format == Format::Json,
        plugin: flags.plugin,
        deadline: None,
        folder: &cx.sh,
    };
    judge(console::session(&aws, ui, &request, signals).await?, ui)
}

/// The exit code of a session's end, or what went wrong.
fn judge(end: End, ui: &Ui) -> Result<u8> {
    Ok(match end {
        End::Exited(code) => code,
        End::NoCode => exit::OK,
        End::Closed { text, idle, unseen, .. } => {
            let mut problem = Problem::new(console::oneoff::closed(&text, idle, unseen));
            problem.hint = console::hint_of(&text);
            return Err(problem.failed());
        }
        End::Lost { why, hint } => {
            let mut problem = Problem::new(why);
            problem.hint = hint;
            return Err(problem.failed());
        }
        End::Stopped(task) => {
            let reason = task.stopped_reason.clone().unwrap_or_else(|| "ECS gives no reason".to_owned());
            return Err(Error::failed(format!("the ECS task {} ended, and the session with it: {reason}", task.id())));
        }
        End::Escaped => {
            ui.emit(Event::Warning { message: "the session was ended with ~.".to_owned(), hint: None });
            exit::INTERRUPTED
        }
        End::Signal(signal) => {
            let message = format!("the session was ended by {}", signals::name(i32::from(signal)));
            ui.emit(Event::Warning { message, hint: None });
            128 + signal
        }
        End::TimedOut => exit::TIMED_OUT,
        // As for any program whose reader went away.
        End::OutputGone => 128 + 13,
    })
}

/// The ECS task that is meant: by ARN or id, or the service's newest that can have a session.
async fn find(
    aws: &Aws,
    flags: &flags::Exec,
    environment: &Sourced<String>,
    settings: &Settings,
    cluster: &Sourced<String>,
) -> Result<EcsTask> {
    if let Some(account) = &settings.account {
        let identity =
            aws.caller_identity().await.map_err(|it| it.problem("ask AWS who calls", account.span()).failed())?;
        plan::guard_account(&environment.value, settings, &identity)?;
    }
    match &flags.id {
        Some(id) => by_id(aws, cluster, id).await,
        None => of_service(aws, settings, environment, cluster).await,
    }
}

/// Whether it is an ARN or a whole id, with which ECS finds an ECS task of anybody's.
fn is_whole(id: &str) -> bool {
    id.starts_with("arn:") || (id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()))
}

/// Whether it is on its way out, or out.
fn is_ending(task: &EcsTask) -> bool {
    task.is_stopped() || task.desired_status.as_deref() == Some("STOPPED")
}

fn has_stopped(task: &EcsTask) -> Error {
    let verb = if task.is_stopped() { "has stopped" } else { "is stopping" };
    let reason = task.stopped_reason.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    Error::refused(format!("the ECS task {} {verb}{reason}", task.id()))
}

async fn by_id(aws: &Aws, cluster: &Sourced<String>, id: &str) -> Result<EcsTask> {
    let described = aws.describe_tasks(&cluster.value, &[id.to_owned()]).await;
    let described = described.map_err(|it| it.problem(&format!("find the ECS task `{id}`"), None).failed())?;
    match described.into_iter().next() {
        Some((_, Described::Task(task))) if is_ending(&task) => Err(has_stopped(&task)),
        Some((_, Described::Task(task))) => Ok(*task),
        _ => Err(Error::refused(format!("the cluster `{}` has no ECS task `{id}`", cluster.value))
            .hint("check the id, the environment and the region")),
    }
}

async fn of_service(
    aws: &Aws,
    settings: &Settings,
    environment: &Sourced<String>,
    cluster: &Sourced<String>,
) -> Result<EcsTask> {
    let service = settings.service.as_ref().ok_or_else(|| {
        Problem::new(format!("the environment `{}` has no `service`", environment.value))
            .at(environment.span())
            .hint("set `service` in the environment, or give an ECS task's id")
            .refused()
    })?;
    let tried = format!("list the ECS tasks of `{}`", service.value);
    let failed = |it: crate::aws::AwsError| it.problem(&tried, service.span()).failed();
    let arns = aws.service_tasks(&cluster.value, &service.value).await.map_err(failed)?;
    let described =
        if arns.is_empty() { Vec::new() } else { aws.describe_tasks(&cluster.value, &arns).await.map_err(failed)? };
    let mut tasks: Vec<EcsTask> = described
        .into_iter()
        .filter_map(|(_, it)| match it {
            Described::Task(task) => Some(*task),
            Described::Missing(_) => None,
        })
        .filter(|it| it.last_status.as_deref() == Some("RUNNING") && it.desired_status.as_deref() != Some("STOPPED"))
        .collect();
    // Those first that were started with ECS Exec, and of them the newest.
    tasks.sort_by_key(|it| (!it.exec_enabled, std::cmp::Reverse(it.started_at)));
    match tasks.into_iter().next() {
        Some(task) if task.exec_enabled => Ok(task),
        Some(_) => {
            let message = format!("the ECS tasks of `{}` were started without ECS Exec", service.value);
            Err(Problem::new(message)
                .at(service.span())
                .hint(format!(
                    "switch it on and deploy: `aws ecs update-service --cluster {} --service {} --enable-execute-command --force-new-deployment`",
                    cluster.value, service.value
                ))
                .refused())
        }
        None => {
            let message = format!("the service `{}` runs no ECS task now", service.value);
            Err(Problem::new(message).at(service.span()).refused())
        }
    }
}

/// The container to open the session in: the named one, the environment's, or the only one that can have one.
fn container(flags: &flags::Exec, settings: &Settings, task: &EcsTask) -> Result<String> {
    let names: Vec<&str> = task.containers.iter().map(|it| it.name.as_str()).collect();
    let known = |it: &str| names.contains(&it);
    if let Some(name) = &flags.container {
        if known(name) {
            return Ok(name.clone());
        }
        return Err(Error::refused(format!("the ECS task {} has no container `{name}`", task.id()))
            .hint(format!("its containers: {}", names.join(", "))));
    }
    if let Some(name) = settings.container.as_ref().filter(|it| known(&it.value)) {
        return Ok(name.value.clone());
    }
    let with_agent: Vec<&str> =
        task.containers.iter().filter(|it| it.exec_agent.is_some()).map(|it| it.name.as_str()).collect();
    match (names.as_slice(), with_agent.as_slice()) {
        ([only], _) | (_, [only]) => Ok((*only).to_owned()),
        _ => Err(Error::refused(format!("cannot tell which container of the ECS task {} is meant", task.id()))
            .hint(format!("choose one with --container: {}", names.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EcsContainer, ExecAgent};

    #[test]
    fn the_container_is_certain_or_asked_for() {
        let task = |names: &[(&str, bool)]| EcsTask {
            arn: "arn:aws:ecs:r:a:task/c/1".to_owned(),
            containers: names
                .iter()
                .map(|(name, agent)| EcsContainer {
                    name: (*name).to_owned(),
                    exec_agent: agent.then(ExecAgent::default),
                    ..EcsContainer::default()
                })
                .collect(),
            ..EcsTask::default()
        };
        let none = Settings::default();
        let web = Settings { container: Some(Sourced::default("web".to_owned())), ..Settings::default() };
        let flag = |name: Option<&str>| flags::Exec { container: name.map(str::to_owned), ..flags::Exec::default() };
        let both = task(&[("web", true), ("log", true)]);
        assert_eq!(container(&flag(None), &none, &task(&[("x", false)])).unwrap(), "x");
        assert_eq!(container(&flag(None), &none, &task(&[("x", false), ("y", true)])).unwrap(), "y");
        assert_eq!(container(&flag(None), &web, &both).unwrap(), "web");
        assert_eq!(container(&flag(Some("log")), &web, &both).unwrap(), "log");
        let error = container(&flag(None), &none, &both).unwrap_err();
        assert!(error.problems[0].hint.as_deref().unwrap().ends_with("--container: web, log"));
        assert!(container(&flag(Some("nope")), &web, &both).is_err());
    }
}
