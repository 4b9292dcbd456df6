//! Drives the state machine of `follow`: makes the calls that it asks for and hands their answers back, with signals and time. Every
//! call is a future that lives on until it is answered; none is dropped because something else happened first.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::logs::LogRead;
use crate::aws::{Aws, AwsError, ecs::Described};
use crate::event::Event;
use crate::follow::{Action, Fact, Finish, Follow, How, Target};
use crate::model::{LogEvent, LogLocation};
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
    let logs_aws = aws.clone().with_logs_region(&logs.region);
    let task_id = target.arn.rsplit('/').next().unwrap_or_default();
    let stream = format!("{}/{}/{task_id}", logs.prefix, logs.container);
    let (arn, container) = (target.arn.clone(), target.container.clone());
    let clock = Clock { start: Instant::now(), speed: aws.speed };

    let mut machine = Follow::new(target);
    let (mut describe, mut read, mut stop, mut print): (Call, Call, Call, Call) = (None, None, None, None);
    let mut actions = machine.on(signal.map_or(Fact::Tick, Fact::Signal), clock.now());
    loop {
        for action in actions {
            match action {
                Action::Describe => describe = Some(Box::pin(describe_once(aws, cluster, &arn))),
                Action::ReadLog(token) => {
                    read = Some(Box::pin(read_once(&logs_aws, &logs.group, &stream, token)));
                }
                Action::Stop(reason) => stop = Some(Box::pin(stop_once(aws, cluster, &arn, reason))),
                Action::Tell(event) => ui.emit(event),
                Action::Print(events) => {
                    let lines = events.into_iter().map(|it| line(it, &container)).collect();
                    print = Some(Box::pin(async move {
                        ui.log(lines).await;
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

/// Whether the ECS task may still run although following has ended.
pub fn may_run_on(finish: &Finish) -> bool {
    match finish.how {
        How::Stopped => false,
        How::Detached(_) | How::Lost(_) => true,
    }
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

async fn describe_once(aws: &Aws, cluster: &str, arn: &str) -> Fact {
    match aws.describe_tasks(cluster, &[arn.to_owned()]).await {
        Ok(described) => match described.into_iter().next() {
            Some((_, Described::Task(task))) => Fact::Described(task),
            Some((_, Described::Missing(reason))) => Fact::Missing(reason),
            None => Fact::Missing("MISSING".to_owned()),
        },
        Err(error) => Fact::DescribeFailed { passing: passing(&error), cause: error.cause() },
    }
}

async fn read_once(aws: &Aws, group: &str, stream: &str, token: Option<String>) -> Fact {
    match aws.log_page(group, stream, token).await {
        Ok(LogRead::Page(page)) => Fact::Page { events: page.events, next_token: page.next_token },
        Ok(LogRead::Missing(message)) => Fact::LogMissing(message),
        Err(error) => Fact::LogFailed { passing: passing(&error), cause: error.cause() },
    }
}

async fn stop_once(aws: &Aws, cluster: &str, arn: &str, reason: String) -> Fact {
    match aws.stop_task(cluster, arn, &reason).await {
        Ok(()) => Fact::StopAccepted,
        Err(error) => Fact::StopFailed { passing: passing(&error), cause: error.cause() },
    }
}

/// Expired credentials pass too: the SDK asks their source again, and a person may renew them meanwhile.
fn passing(error: &AwsError) -> bool {
    error.is_transient() || error.code.as_deref().is_some_and(|it| it.contains("Expired"))
}

fn line(event: LogEvent, container: &str) -> Event {
    Event::Log { message: event.message, timestamp: event.timestamp, container: container.to_owned() }
}

/// Time since the start of following; faster than real time by `speed` on a loopback endpoint.
struct Clock {
    start: Instant,
    speed: f64,
}

impl Clock {
    fn now(&self) -> Duration {
        self.start.elapsed().mul_f64(self.speed)
    }

    async fn sleep_until(&self, at: Duration) {
        if at == Duration::MAX {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.start + at.div_f64(self.speed)).await;
    }
}
