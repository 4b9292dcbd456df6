//! A failed run as events, for the printers' tests.

use std::time::Duration;

use crate::event::{BuildStep, Event};
use crate::model::{Ending, LogEnd, Outcome, PlanLine, Runner, Timestamp, Timings};
use crate::ui::Moment;

pub(super) const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef";
pub(super) const IMAGE: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd";
pub(super) const REVISION: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:7";

/// Three o'clock in the morning, 100 s after the start.
pub(super) fn now() -> Moment {
    Moment { wall: Timestamp(1_795_489_200_000), elapsed: Duration::from_secs(100) }
}

pub(super) fn resolved(runner: Runner) -> Event {
    Event::Resolved {
        environment: "staging".to_owned(),
        runner,
        run_id: "r-1".to_owned(),
        command: vec!["bin/rails".to_owned(), "db:migrate".to_owned()],
    }
}

pub(super) fn planned(dry_run: bool) -> Event {
    let line = |key: &str, value: &str, origin: &str| PlanLine {
        key: key.to_owned(),
        value: value.to_owned(),
        origin: origin.to_owned(),
    };
    Event::Planned {
        dry_run,
        more: false,
        needs: Vec::new(),
        skipped: Vec::new(),
        lines: vec![
            line("account", "111122223333", "environments.staging.account"),
            line("cluster", "staging", "environments.staging.cluster"),
            line("platform", "linux/amd64", "default"),
            line("image", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123", "tasks.db-migrate.image"),
            line("command", "bin/rails db:migrate", ""),
        ],
        register_task_definition: Some(serde_json::json!({ "family": "xtask-staging-db-migrate" })),
        run_task: None,
    }
}

pub(super) fn log(message: &str) -> Event {
    Event::Log { message: message.to_owned(), timestamp: Timestamp(0), container: "web".to_owned() }
}

pub(super) fn status(status: &str) -> Event {
    Event::Status { status: status.to_owned(), detail: None }
}

pub(super) fn launched() -> Event {
    Event::Launched {
        task_arn: Some(ARN.to_owned()),
        cluster: Some("staging".to_owned()),
        console_url: super::console_url(ARN),
    }
}

pub(super) fn ending(outcome: Outcome, exit_code: u8) -> Ending {
    Ending {
        outcome,
        exit_code,
        run_id: "r-1".to_owned(),
        followed_run_id: None,
        task_arn: Some(ARN.to_owned()),
        task_definition: Some(REVISION.to_owned()),
        image: Some(IMAGE.to_owned()),
        stop_code: Some("EssentialContainerExited".to_owned()),
        stopped_reason: Some("Essential container in task exited".to_owned()),
        container_reason: None,
        log: Some(LogEnd::Complete),
        shards: None,
        explanation: None,
        hint: None,
        attempts: Vec::new(),
        tasks: Vec::new(),
        timings: Timings {
            build: Some(40.0),
            push: Some(8.0),
            queue: Some(5.0),
            pull: Some(9.5),
            run: Some(30.0),
            stop: Some(2.5),
            total: Some(95.0),
        },
    }
}

/// Every kind of event that a run on ECS can tell, in their order.
pub(super) fn run() -> Vec<Event> {
    let building = |step| Event::Building { image: "app".to_owned(), step };
    vec![
        resolved(Runner::Ecs),
        planned(false),
        building(BuildStep::Build),
        building(BuildStep::Push),
        Event::Pushed { image: IMAGE.to_owned(), reused: false },
        Event::Registered { task_definition: REVISION.to_owned(), reused: true },
        launched(),
        status("PENDING"),
        status("RUNNING"),
        log("== CreateUsers: migrating"),
        Event::Warning { message: "cannot read the output: timeout; trying again".to_owned(), hint: None },
        log("boom"),
        Event::Finished(Box::new(ending(Outcome::Failed, 1))),
    ]
}
