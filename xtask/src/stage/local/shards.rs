//! A task's shards on this machine: processes or containers, so many at a time. Both their streams come through us, because each line
//! gets its shard's number.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::{Run, docker, host};
use crate::cx::Cx;
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::model::{Commit, Ending, Outcome, ResolvedTask, Retry, Shard, ShardEnd, Shards, ShardsEnd};
use crate::retry::Ended;
use crate::shards::again::Again;
use crate::shards::{Fleet, Halt};
use crate::tools::random::random_bytes;
use crate::tools::signals::{self, Relay, Signals};

/// What all of them need to know.
#[derive(Debug)]
pub struct Order<'a> {
    /// This run's id.
    pub id: &'a str,
    /// The work tree.
    pub commit: Option<&'a Commit>,
    /// What docker runs; `None`: a process.
    pub image: Option<&'a str>,
    /// How long each may take to end.
    pub grace: Duration,
    /// Which ends are tried again, each shard by itself, and the first pause.
    pub retry: (Option<Retry>, Duration),
}

struct Running<'a> {
    shard: Shard,
    relay: Relay,
    end: Pin<Box<dyn Future<Output = Result<Ending>> + 'a>>,
}

/// Runs them to their end: outcome, exit code, and what became of each.
pub async fn shards(
    cx: &Cx,
    task: &ResolvedTask,
    shards: &Shards,
    order: &Order<'_>,
    signals: &mut Signals,
) -> Result<(Outcome, u8, ShardsEnd)> {
    if let Some(image) = order.image {
        docker::provide(cx, task, image, signals).await?;
    }
    let mut fleet = Fleet::new(shards.clone());
    let mut running: Vec<Running<'_>> = Vec::new();
    let mut again = Again::new(order.retry.0, order.retry.1);
    let begun = Instant::now();
    loop {
        while let Some(index) = fleet.next(begun.elapsed()) {
            again.begins(index);
            let shard = Shard { index, of: shards.of };
            fleet.launched(index);
            fleet.status(index, true);
            running.push(start(cx, task, shard, order));
        }
        if fleet.is_over() {
            // No more attempts are wanted: the last ones are how these ended.
            for (index, ending) in again.left() {
                over(cx, &mut fleet, Shard { index, of: shards.of }, ending);
            }
        }
        cx.ui.emit(Event::Shards { of: shards.of, counts: fleet.counts() });
        if fleet.is_over() {
            return Ok(fleet.end());
        }
        let next = fleet.wake_at();
        tokio::select! {
            biased;
            signal = signals.next() => {
                if fleet.halt().is_none() {
                    warn(cx, &format!("{}: no more shards are started", signals::name(signal.into())));
                }
                fleet.signal(signal);
                for one in &running {
                    let _ = one.relay.send(signal);
                }
            }
            (place, end) = any(&mut running) => {
                let shard = running.remove(place).shard;
                let ending = ending(end, order, fleet.halt());
                let ended = Ended::over(ending.outcome);
                let jitter = f64::from(random_bytes::<1>()?[0]) / 255.0;
                let ending = match again.ended(shard.index, ending, &ended, fleet.halt().is_none(), jitter) {
                    Ok((pause, event)) => {
                        cx.ui.for_shard(shard).emit(event);
                        fleet.again(shard.index, begun.elapsed() + pause);
                        continue;
                    }
                    Err(ending) => *ending,
                };
                if over(cx, &mut fleet, shard, ending) {
                    let others = match running.len() {
                        0 => "",
                        _ => ", and those that run are stopped",
                    };
                    let failed = shard.index;
                    warn(cx, &format!("shard {failed} has failed: no more are started{others}; --keep-going runs all"));
                    for one in &running {
                        let _ = one.relay.send(signals::TERMINATE);
                    }
                }
            }
            () = until(next.map(|it| begun + it)) => {}
        }
    }
}

/// Tells the end of a shard. `true`: the others are not wanted any more.
fn over(cx: &Cx, fleet: &mut Fleet, shard: Shard, ending: Ending) -> bool {
    let end = ShardEnd {
        shard: shard.index,
        outcome: ending.outcome,
        exit_code: ending.exit_code,
        task_arn: None,
        reason: ending.explanation.clone().filter(|_| ending.outcome != Outcome::Succeeded),
    };
    cx.ui.for_shard(shard).emit(Event::Finished(Box::new(ending)));
    fleet.over(end)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn start<'a>(cx: &'a Cx, task: &'a ResolvedTask, shard: Shard, order: &Order<'a>) -> Running<'a> {
    let (relay, mut signals) = Signals::relayed();
    let run = Run {
        id: order.id.to_owned(),
        commit: order.commit.cloned(),
        json: true,
        lock: None,
        shard: Some(shard),
        grace: order.grace,
    };
    let cx = cx.with_ui(cx.ui.for_shard(shard));
    let image = order.image;
    let end = Box::pin(async move {
        match image {
            Some(image) => docker(&cx, task, image, &run, &mut signals).await,
            None => host(&cx, task, &run, &mut signals).await,
        }
    });
    Running { shard, relay, end }
}

/// What does not start has ended, too; what was stopped because of another one did not get the signal from a person.
fn ending(end: Result<Ending>, order: &Order<'_>, halt: Option<Halt>) -> Ending {
    let mut ending = end.unwrap_or_else(|error: Error| Ending {
        outcome: error.outcome(),
        exit_code: error.exit_code(),
        run_id: order.id.to_owned(),
        explanation: Some(error.to_string()),
        hint: error.problems.iter().find_map(|it| it.hint.clone()),
        ..Ending::default()
    });
    ending.timings.total = ending.timings.run;
    if ending.outcome != Outcome::Interrupted || halt != Some(Halt::Failed) {
        return ending;
    }
    let explanation = Some("it was stopped because another shard failed".to_owned());
    Ending { outcome: Outcome::Stopped, exit_code: exit::FAILED, explanation, ..ending }
}

/// The end of the first that ends.
async fn any(running: &mut [Running<'_>]) -> (usize, Result<Ending>) {
    poll_fn(|cx| {
        for (place, one) in running.iter_mut().enumerate() {
            if let Poll::Ready(end) = one.end.as_mut().poll(cx) {
                return Poll::Ready((place, end));
            }
        }
        Poll::Pending
    })
    .await
}

fn warn(cx: &Cx, message: &str) {
    cx.ui.emit(Event::Warning { message: message.to_owned(), hint: None });
}
