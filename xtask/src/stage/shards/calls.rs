//! The calls of a run of shards, each a future of its own that owns what it needs, and what comes of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::aws::ecs::Described;
use crate::aws::logs::LogRead;
use crate::aws::{Aws, AwsError};
use crate::error::Result;
use crate::model::{LogEvent, Plan, Timestamp};
use crate::stage::follow::{Clock, for_following};
use crate::stage::launch::{self, Order, Settled};
use crate::stage::register::TaskDefinition;
use crate::stage::shards::gate::Gate;
use crate::tools::signals::Signals;
use crate::ui::Ui;

/// What all calls share.
pub(super) struct Shared {
    /// Launching tries again by itself, as for a single ECS task. Both are made anew when the credentials have expired.
    launching: Mutex<Aws>,
    following: Mutex<Aws>,
    pub plan: Plan,
    definition: TaskDefinition,
    cluster: String,
    pub stop_run: String,
    pub clock: Clock,
    pub gate: Gate,
    read_answered_at: Mutex<Duration>,
}

/// A read of the log that waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub token: Option<String>,
    pub from: Option<Timestamp>,
}

/// What came of a call.
pub(super) enum Answer {
    Launched { shard: u32, settled: Result<Settled> },
    Described { batch: Vec<(u32, Arc<str>)>, described: Result<Vec<(String, Described)>, AwsError> },
    Read { shard: u32, sent: Duration, page: Result<LogRead, AwsError> },
    Printed { shard: u32 },
    Stopped { shard: u32, reason: String, stopped: Result<(), AwsError> },
    Renewed,
}

impl Shared {
    pub fn new(
        aws: Aws,
        plan: Plan,
        definition: TaskDefinition,
        cluster: String,
        stop_run: String,
        clock: Clock,
    ) -> Shared {
        let following = for_following(aws.clone(), Some(&plan.logs));
        Shared {
            gate: Gate::new(clock.clone()),
            following: Mutex::new(following),
            launching: Mutex::new(aws),
            plan,
            definition,
            cluster,
            stop_run,
            clock,
            read_answered_at: Mutex::new(Duration::ZERO),
        }
    }

    fn client(&self) -> Aws {
        self.following.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When any read of a log was last answered.
    pub fn read_answered_at(&self) -> Duration {
        *self.read_answered_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read_answered(&self, now: Duration) {
        *self.read_answered_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// `former`: the ECS tasks of the attempts before.
    pub async fn launch(self: Arc<Shared>, shard: u32, ui: Ui, former: Vec<String>, mut signals: Signals) -> Answer {
        let order = Order {
            plan: &self.plan,
            definition: &self.definition,
            cluster: &self.cluster,
            stop_run: &self.stop_run,
            single: None,
            many: Some((shard, &self.gate)),
            former,
        };
        let aws = self.launching.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let settled = Box::pin(launch::launch(&aws, &ui, order, &mut signals)).await;
        Answer::Launched { shard, settled }
    }

    pub async fn describe(self: Arc<Shared>, batch: Vec<(u32, Arc<str>)>) -> Answer {
        let arns: Vec<String> = batch.iter().map(|it| it.1.to_string()).collect();
        let client = self.client();
        let described = client.describe_tasks(&self.cluster, &arns).await;
        Answer::Described { batch, described }
    }

    pub async fn read(self: Arc<Shared>, shard: u32, arn: Arc<str>, read: Read, sent: Duration) -> Answer {
        let logs = &self.plan.logs;
        let client = self.client();
        let page = client.log_page_from(&logs.group, &logs.stream(&arn), read.token, read.from).await;
        Answer::Read { shard, sent, page }
    }

    pub async fn print(self: Arc<Shared>, shard: u32, ui: Ui, events: Vec<LogEvent>) -> Answer {
        ui.lines(&self.plan.container, events).await;
        Answer::Printed { shard }
    }

    pub async fn stop(self: Arc<Shared>, shard: u32, arn: Arc<str>, reason: String) -> Answer {
        let client = self.client();
        let stopped = client.stop_task(&self.cluster, &arn, &reason).await;
        Answer::Stopped { shard, reason, stopped }
    }

    pub async fn renew(self: Arc<Shared>) -> Answer {
        let client = self.client();
        if let Ok(aws) = client.renewed().await {
            *self.launching.lock().unwrap_or_else(PoisonError::into_inner) = aws.clone();
            *self.following.lock().unwrap_or_else(PoisonError::into_inner) = for_following(aws, Some(&self.plan.logs));
        }
        Answer::Renewed
    }
}
