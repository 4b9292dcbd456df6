//! Drives the state machine of `follow`: makes the calls that it asks for and hands their answers back, with signals and time. Every
//! call is a future that lives on until it is answered; none is dropped because something else happened first.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::logs::{LogRead, LogReader};
use crate::aws::{Aws, AwsError, Effect, ecs::Described};
use crate::follow::{Action, Fact, Finish, Follow, Target, Trouble};
use crate::model::{LogLocation, Timestamp};
use crate::tools::signals::Signals;
use crate::ui::Ui;

type Call<'a> = Option<Pin<Box<dyn Future<Output = Fact> + 'a>>>;

/// Follows an ECS task to its end, or until a signal says to leave it. `signal`: one that came before following began.
pub async fn follow(
    aws: &Aws,
    ui: &Ui,
    cluster: &str,
    target: Target,
    logs: &LogLocation,
    signals: &mut Signals,
    signal: Option<u8>,
) -> Finish {
    let driver = Driver::new(aws, ui, cluster, &target, Some(logs));
    driver.run(Follow::new(target), signals, signal).await
}

/// Asks ECS to stop an ECS task and waits for its end, or until a signal says not to wait.
pub async fn stop(aws: &Aws, ui: &Ui, cluster: &str, target: Target, reason: String, signals: &mut Signals) -> Finish {
    let driver = Driver::new(aws, ui, cluster, &target, None);
    driver.run(Follow::stopping(target, reason), signals, None).await
}

/// What the calls need.
struct Driver<'a> {
    /// Made anew when the credentials have expired.
    aws: RefCell<Aws>,
    ui: &'a Ui,
    cluster: &'a str,
    arn: String,
    container: String,
    logs: Option<&'a LogLocation>,
    reader: LogReader,
    clock: Clock,
}

impl<'a> Driver<'a> {
    fn new(aws: &Aws, ui: &'a Ui, cluster: &'a str, target: &Target, logs: Option<&'a LogLocation>) -> Driver<'a> {
        Driver {
            aws: RefCell::new(for_following(aws.clone(), logs)),
            ui,
            cluster,
            arn: target.arn.clone(),
            container: target.container.clone(),
            logs,
            reader: logs
                .map_or_else(|| LogReader::new("", ""), |it| LogReader::new(&it.group, &it.stream(&target.arn))),
            clock: Clock::new(aws.speed),
        }
    }

    async fn run(&self, mut machine: Follow, signals: &mut Signals, signal: Option<u8>) -> Finish {
        let (ui, clock) = (self.ui, &self.clock);
        let (mut describe, mut read, mut stop, mut print): (Call, Call, Call, Call) = (None, None, None, None);
        let mut actions = machine.on(signal.map_or(Fact::Tick, Fact::Signal), clock.now());
        loop {
            for action in actions {
                match action {
                    Action::Describe => describe = Some(Box::pin(self.describe())),
                    Action::ReadLog { token, from } => read = Some(Box::pin(self.read(token, from))),
                    Action::Stop(reason) => stop = Some(Box::pin(self.stop(reason))),
                    Action::Tell(event) => ui.emit(event),
                    Action::Print(events) => {
                        print = Some(Box::pin(async move {
                            ui.lines(&self.container, events).await;
                            Fact::Printed
                        }));
                    }
                    Action::Finish(finish) => return *finish,
                }
            }
            let fact = tokio::select! {
                // Signals first: a flood of output must not make them wait.
                biased;
                signal = signals.next() => Fact::Signal(signal),
                fact = pending(&mut stop) => fact,
                fact = pending(&mut describe) => fact,
                fact = pending(&mut print) => fact,
                fact = pending(&mut read) => fact,
                () = clock.sleep_until(machine.wake_at()) => Fact::Tick,
            };
            actions = machine.on(fact, clock.now());
        }
    }

    fn client(&self) -> Aws {
        self.aws.borrow().clone()
    }

    async fn describe(&self) -> Fact {
        match self.client().describe_tasks(self.cluster, std::slice::from_ref(&self.arn)).await {
            Ok(described) => fact_of_description(described.into_iter().next().map(|it| it.1)),
            Err(error) => Fact::DescribeFailed { trouble: self.trouble(&error).await, cause: error.cause() },
        }
    }

    async fn read(&self, token: Option<String>, from: Option<Timestamp>) -> Fact {
        match fact_of_read(self.reader.page(&self.client(), token, from).await) {
            Ok(fact) => fact,
            Err(error) => Fact::LogFailed { trouble: self.trouble(&error).await, cause: error.cause() },
        }
    }

    async fn stop(&self, reason: String) -> Fact {
        match self.client().stop_task(self.cluster, &self.arn, &reason).await {
            Ok(()) => Fact::StopAccepted,
            Err(error) => Fact::StopFailed { trouble: self.trouble(&error).await, cause: error.cause() },
        }
    }

    /// What kind of fault it is. Credentials that have expired are asked for again at their source for the next call.
    async fn trouble(&self, error: &AwsError) -> Trouble {
        if error.is_credentials()
            && let Ok(aws) = self.client().renewed().await
        {
            self.aws.replace(for_following(aws, self.logs));
        }
        trouble(error)
    }
}

/// What DescribeTasks says of one ECS task.
pub(super) fn fact_of_description(described: Option<Described>) -> Fact {
    match described {
        Some(Described::Task(task)) => Fact::Described(task),
        Some(Described::Missing(reason)) => Fact::Missing(reason),
        None => Fact::Missing("MISSING".to_owned()),
    }
}

/// What a read of the log says.
pub(super) fn fact_of_read(read: Result<LogRead, AwsError>) -> Result<Fact, AwsError> {
    match read {
        Ok(LogRead::Page(page)) => Ok(Fact::Page { events: page.events, next_token: page.next_token }),
        Ok(LogRead::Missing(message)) => Ok(Fact::LogMissing(message)),
        Err(error) if error.is("InvalidParameterException") => Ok(Fact::LogTokenExpired(error.cause())),
        Err(error) => Err(error),
    }
}

/// What kind of fault it is.
pub(super) fn trouble(error: &AwsError) -> Trouble {
    match error.effect {
        _ if error.is_credentials() => Trouble::Credentials,
        Effect::Throttled => Trouble::Throttled,
        _ if error.is_transient() => Trouble::Passing,
        _ => Trouble::Refused,
    }
}

pub(super) fn for_following(aws: Aws, logs: Option<&LogLocation>) -> Aws {
    let aws = match logs {
        Some(logs) => aws.with_logs_region(&logs.region),
        None => aws,
    };
    aws.without_retries()
}

/// Waits for a call and forgets it once it is answered; forever where there is none.
async fn pending(call: &mut Call<'_>) -> Fact {
    match call {
        Some(future) => {
            let fact = future.await;
            *call = None;
            fact
        }
        None => std::future::pending().await,
    }
}

/// Time since the start of following; faster than real time by `speed` on a loopback endpoint.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    speed: f64,
}

impl Clock {
    /// Begins now.
    pub fn new(speed: f64) -> Clock {
        Clock { start: Instant::now(), speed }
    }

    /// How long a span of its time takes.
    pub fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.speed)
    }

    /// Since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed().mul_f64(self.speed)
    }

    /// Sleeps until then.
    pub async fn sleep_until(&self, at: Duration) {
        if at == Duration::MAX {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.start + at.div_f64(self.speed)).await;
    }
}
