//! What the fake tells of a run that is over: its requests, what was started, what is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::behind::Behind;
use super::life::Millis;
use super::record::{self, Record};
use super::{Core, Fake, definitions, http, tasks};

/// What RunTask made, as it is now.
#[derive(Debug, Clone)]
pub struct Started {
    pub arn: String,
    pub status: String,
    pub desired: String,
    /// The request of RunTask.
    pub request: Value,
    /// As DescribeTasks tells it.
    pub document: Value,
}

/// After the run.
impl Fake {
    /// Waits until a client that has ended is gone from here too: everything that it had sent has then had its effect.
    pub fn settle(&self) {
        self.door.iter().for_each(http::Door::wait_until_left);
    }

    /// What the doors bring requests to, for who looks at them all.
    pub fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }

    /// The ARNs of what RunTask started in the AWS behind.
    pub fn started_behind(&self) -> Vec<String> {
        self.core.behind.as_ref().map(Behind::started).unwrap_or_default()
    }

    /// How many requests met a fault.
    pub fn n_faults(&self) -> usize {
        self.core.n_faults.load(Ordering::SeqCst)
    }

    /// Every request, in the order of arrival.
    pub fn records(&self) -> Vec<Record> {
        self.core.lock().records.clone()
    }

    /// The operations, in the order of arrival.
    pub fn operations(&self) -> Vec<String> {
        self.core.lock().records.iter().map(|it| it.request.operation.clone()).collect()
    }

    /// How many calls of an operation there were.
    pub fn count(&self, operation: &str) -> usize {
        self.core.lock().counts.get(operation).map_or(0, |it| *it as usize)
    }

    /// How many calls of each operation there were.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.core.lock().counts.clone().into_iter().collect()
    }

    /// The bodies of an operation's calls.
    pub fn sent(&self, operation: &str) -> Vec<Value> {
        let inner = self.core.lock();
        let calls = inner.records.iter().filter(|it| it.request.operation == operation);
        calls.map(|it| it.request.body.clone()).collect()
    }

    /// The longest chain of requests that each arrived after the answer to the one before, one line each; `until`: up to the first
    /// call of this operation, which is the last of the chain.
    pub fn longest_chain(&self, until: Option<&str>) -> Vec<String> {
        record::longest_chain(&self.core.lock().records, until).into_iter().map(Record::line).collect()
    }

    /// The same among the requests from this number on: of a second run.
    pub fn longest_chain_from(&self, first: usize, until: &str) -> Vec<String> {
        let inner = self.core.lock();
        record::longest_chain(&inner.records[first..], Some(until)).into_iter().map(Record::line).collect()
    }

    /// Everything that was asked, a line each: for the message of a test that fails.
    pub fn story(&self) -> String {
        let inner = self.core.lock();
        let lines = inner.records.iter().map(|it| {
            let refused = if it.status >= 400 { format!(" {}", it.answer) } else { String::new() };
            format!("{}{refused}\n", it.line())
        });
        lines.collect()
    }

    /// The ECS tasks that RunTask made, those of services left out.
    pub fn started(&self) -> Vec<Started> {
        let now = self.core.clock.now();
        let inner = self.core.lock();
        let made = inner.state.tasks.iter().filter(|it| it.service.is_none());
        made.map(|task| {
            let document = tasks::document(task, now, true);
            let text = |member: &str| definitions::text(&document, member).to_owned();
            let (status, desired) = (text("lastStatus"), text("desiredStatus"));
            Started { arn: task.arn.clone(), status, desired, request: task.request.clone(), document }
        })
        .collect()
    }

    /// The ARNs of the ECS tasks that services run.
    pub fn service_tasks(&self) -> Vec<String> {
        let inner = self.core.lock();
        inner.state.tasks.iter().filter(|it| it.service.is_some()).map(|it| it.arn.clone()).collect()
    }

    /// The ARNs of the ECS tasks that run (or will), and that nobody has stopped.
    pub fn alive(&self) -> Vec<String> {
        self.started().into_iter().filter(|it| it.desired == "RUNNING").map(|it| it.arn).collect()
    }

    /// When ECS took each StopTask.
    pub fn stops(&self) -> Vec<Millis> {
        self.core.lock().state.tasks.iter().filter_map(|it| it.stop.as_ref().map(|it| it.at)).collect()
    }

    /// The revisions of a family, as they are described.
    pub fn revisions(&self, family: &str) -> Vec<Value> {
        let inner = self.core.lock();
        inner.state.definitions.iter().filter(|it| it.family == family).map(|it| it.document.clone()).collect()
    }

    /// The problems so far; who takes them has looked at them.
    pub fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut self.core.lock().state.problems)
    }

    /// Fails where there was a problem.
    pub fn verify(&self) {
        let problems = self.take_problems();
        assert!(problems.is_empty(), "the fake AWS was asked for what it has no script for:\n{}", problems.join("\n"));
    }
}
