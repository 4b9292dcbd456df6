//! ExecuteCommand with its two errors that mean "not yet", told apart from "never".

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{End, Request};
use crate::aws::ecs::Described;
use crate::aws::session::StreamSession;
use crate::aws::{Aws, AwsError};
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::model::EcsTask;
use crate::tools::signals::Signals;
use crate::ui::Ui;

/// How long the agent may take from its container's start on. Usually it is seconds.
pub(super) const AGENT: Duration = Duration::from_secs(90);
/// How long the agent may take to be connected once it runs.
const CONNECTED: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_secs(2);

/// A session that ECS has started.
#[derive(Debug)]
pub struct Started {
    /// Its channel's address and token.
    pub stream: StreamSession,
}

/// What came of it.
#[derive(Debug)]
pub enum Executed {
    /// There is a session.
    Started(Started),
    /// Something else ended the wait.
    Ended(End),
}

/// What ECS knows of the container's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agent {
    /// It runs.
    Running,
    /// It may still come.
    Pending,
    /// It will not: why, and what to do.
    Never(String, &'static str),
}

/// Judges the agent of a container by what DescribeTasks tells.
pub(super) fn agent(task: &EcsTask, container: &str) -> Agent {
    if !task.exec_enabled {
        return Agent::Never(
            "it was started without ECS Exec".to_owned(),
            "ECS Exec is switched on when an ECS task starts: `enableExecuteCommand` of the service, or run it with `interactive = true`",
        );
    }
    let Some(container) = task.container(container) else {
        return Agent::Never(format!("it has no container `{container}`"), "choose another container");
    };
    if container.last_status.as_deref() == Some("STOPPED") {
        return Agent::Never(format!("its container `{}` has stopped", container.name), "choose another container");
    }
    match container.exec_agent.as_ref().map(|it| (it.last_status.as_str(), it.reason.as_deref())) {
        Some(("RUNNING", _)) => Agent::Running,
        Some(("STOPPED", reason)) => Agent::Never(
            format!("the agent of ECS Exec has stopped: {}", reason.unwrap_or("ECS gives no reason")),
            "the agent needs a writable file system, and with `pidMode: task` only one container has one",
        ),
        _ => Agent::Pending,
    }
}

/// Starts a session, as soon as there is an agent that can.
pub(super) async fn execute(
    aws: &Aws,
    ui: &Ui,
    request: &Request<'_>,
    command: &str,
    signals: &mut Signals,
) -> Result<Executed> {
    let start = Instant::now();
    let mut told = false;
    loop {
        let call = aws.execute_command(request.cluster, &request.task.arn, request.container, command);
        let answer = tokio::select! {
            answer = call => answer,
            signal = signals.next() => return Ok(Executed::Ended(End::Signal(signal))),
        };
        let error = match answer {
            Ok(stream) => return Ok(Executed::Started(Started { stream })),
            Err(error) => error,
        };
        let not_up = error.is("InvalidParameterException") && error.message.contains("execute command was not enabled");
        let not_connected = error.is("TargetNotConnectedException");
        if !not_up && !not_connected && !error.is_transient() {
            return Err(refused(request, &error));
        }
        let described = tokio::select! {
            described = aws.describe_tasks(request.cluster, std::slice::from_ref(&request.task.arn)) => described,
            signal = signals.next() => return Ok(Executed::Ended(End::Signal(signal))),
        };
        let task = described.ok().and_then(|it| match it.into_iter().next() {
            Some((_, Described::Task(task))) => Some(task),
            _ => None,
        });
        let mut patience = CONNECTED;
        if let Some(task) = task {
            if task.is_stopped() || task.desired_status.as_deref() == Some("STOPPED") {
                return Ok(Executed::Ended(End::Stopped(task)));
            }
            match agent(&task, request.container) {
                Agent::Never(why, hint) => {
                    let message = format!("no session in the ECS task {}: {why}", request.task.id());
                    return Err(Error::failed(message).hint(hint));
                }
                Agent::Pending => patience = AGENT,
                Agent::Running => {}
            }
        }
        if start.elapsed().mul_f64(aws.speed) >= patience {
            return Err(refused(request, &error));
        }
        if request.deadline.is_some_and(|it| Instant::now() >= it) {
            return Ok(Executed::Ended(End::TimedOut));
        }
        if !told {
            told = true;
            let detail = Some("the agent of ECS Exec is not connected yet".to_owned());
            ui.emit(Event::Status { status: "WAITING".to_owned(), detail });
        }
        ui.note(format!("ExecuteCommand: {}; trying again", error.cause()));
        tokio::select! {
            () = sleep(PAUSE.div_f64(aws.speed)) => {}
            signal = signals.next() => return Ok(Executed::Ended(End::Signal(signal))),
        }
    }
}

fn refused(request: &Request<'_>, error: &AwsError) -> Error {
    let tried = format!("open a session in the ECS task {}", request.task.id());
    let mut problem: Problem = error.problem(&tried, None);
    if error.is("TargetNotConnectedException") {
        problem.hint = Some(
            "the task role needs ssmmessages:CreateControlChannel, CreateDataChannel, OpenControlChannel and OpenDataChannel, \
             and the subnets a way to ssmmessages"
                .to_owned(),
        );
    } else if error.code.as_deref().is_some_and(|it| it.contains("AccessDenied")) {
        problem.hint = Some("allow ecs:ExecuteCommand on the cluster and its ECS tasks for the caller".to_owned());
    }
    problem.failed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EcsContainer, ExecAgent};

    #[test]
    fn not_yet_is_told_from_never() {
        let task = |enabled: bool, status: Option<&str>, agent: Option<&str>| EcsTask {
            exec_enabled: enabled,
            containers: vec![EcsContainer {
                name: "web".to_owned(),
                last_status: status.map(str::to_owned),
                exec_agent: agent.map(|it| ExecAgent { last_status: it.to_owned(), reason: Some("why".to_owned()) }),
                ..EcsContainer::default()
            }],
            ..EcsTask::default()
        };
        for (found, expected) in [
            (agent(&task(true, Some("RUNNING"), Some("RUNNING")), "web"), Agent::Running),
            (agent(&task(true, Some("RUNNING"), Some("PENDING")), "web"), Agent::Pending),
            (agent(&task(true, Some("PENDING"), None), "web"), Agent::Pending),
        ] {
            assert_eq!(found, expected);
        }
        for (task, container, why) in [
            (task(false, Some("RUNNING"), None), "web", "without ECS Exec"),
            (task(true, Some("RUNNING"), Some("STOPPED")), "web", "has stopped: why"),
            (task(true, Some("STOPPED"), Some("RUNNING")), "web", "its container `web` has stopped"),
            (task(true, Some("RUNNING"), Some("RUNNING")), "db", "no container `db`"),
        ] {
            assert!(matches!(agent(&task, container), Agent::Never(text, _) if text.contains(why)), "{why}");
        }
    }
}
