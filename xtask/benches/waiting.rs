//! What an hour of following costs: calls by operation, and how late a line is asked for, for tasks that say much, little and nothing. The
//! state machine alone decides both, so it is run on a clock of its own: seconds, and the same figures on every machine.
//!
//!     cargo bench --profile xtask --package xtask --bench waiting

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

#[expect(dead_code, reason = "nothing here takes real time")]
mod page;

use std::time::Duration;

use xtask::follow::{Action, Fact, Follow, Target};
use xtask::model::{EcsContainer, EcsTask, LogEvent, OnInterrupt, Timestamp};

const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:task/staging/0123";
const HOUR: f64 = 3600.0;
/// How long an answer takes, in seconds.
const ANSWER: f64 = 0.05;

/// What following cost.
struct Cost {
    describes: usize,
    reads: usize,
    /// From the moment that a line can be read until it is printed, in seconds.
    delays: Vec<f64>,
}

fn main() {
    let cases: [(&str, Vec<f64>); 6] = [
        ("nothing", vec![]),
        ("a line in the first minute", vec![30.0]),
        ("a line every 10 minutes", every(600.0)),
        ("a line every minute", every(61.3)),
        ("a line every 10 seconds", every(10.7)),
        ("10 lines a second", every(0.1)),
    ];
    let rows: Vec<_> = cases
        .iter()
        .map(|(what, lines)| {
            let cost = follow(lines);
            let late = match cost.delays.as_slice() {
                [] => String::new(),
                delays => page::Spread::of(delays).to_string(),
            };
            let total = cost.describes + cost.reads;
            vec![(*what).to_owned(), cost.describes.to_string(), cost.reads.to_string(), total.to_string(), late]
        })
        .collect();
    let head = ["the task says", "DescribeTasks", "GetLogEvents", "calls in an hour", "until a line is printed, s"];
    let text = format!(
        "`cargo bench --profile xtask --package xtask --bench waiting`: one ECS task that runs for an hour, followed by the state machine \
         on a clock of its own, each answer after {:.0} ms; medians (least–most). The status every second in the first minute and \
         once a container has stopped, else every three; the log every second, every three after a minute of silence.\n\n{}",
        ANSWER * 1000.0,
        page::table(&head, &rows)
    );
    println!("{text}");
    page::write("waiting", &text);
}

/// Times of lines so far apart, from the fifth second on.
fn every(gap: f64) -> Vec<f64> {
    (0..).map(|it| 5.0 + f64::from(it) * gap).take_while(|it| *it < HOUR).collect()
}

/// Follows an ECS task whose lines can be read at these times.
fn follow(lines: &[f64]) -> Cost {
    let mut machine = Follow::new(Target {
        arn: ARN.to_owned(),
        container: "app".to_owned(),
        timeout: None,
        start_timeout: None,
        on_interrupt: OnInterrupt::Stop,
        launched_here: true,
        attended: false,
        of_many: false,
    });
    let mut cost = Cost { describes: 0, reads: 0, delays: Vec::new() };
    let mut answers: Vec<(f64, Fact)> = Vec::new();
    let mut now = 0.0_f64;
    let mut actions = machine.on(Fact::Tick, Duration::ZERO);
    loop {
        for action in actions {
            match action {
                Action::Describe => {
                    cost.describes += 1;
                    answers.push((now + ANSWER, Fact::Described(Box::new(task(now)))));
                }
                Action::ReadLog { token, .. } => {
                    cost.reads += 1;
                    let from = token.as_deref().map_or(0, |it| it.parse().expect("it is ours"));
                    let to = lines.iter().take_while(|it| **it <= now).count();
                    let event = |it: usize| LogEvent { timestamp: Timestamp(0), message: it.to_string() };
                    let page = Fact::Page { events: (from..to).map(event).collect(), next_token: Some(to.to_string()) };
                    answers.push((now + ANSWER, page));
                }
                Action::Print(events) => {
                    let lines = events.iter().map(|it| lines[it.message.parse::<usize>().expect("it is ours")]);
                    cost.delays.extend(lines.map(|it| now - it));
                    answers.push((now, Fact::Printed));
                }
                Action::Stop(_) | Action::Tell(_) => {}
                Action::Finish(_) => return cost,
            }
        }
        answers.sort_by(|one, other| one.0.total_cmp(&other.0));
        let wake = machine.wake_at().as_secs_f64();
        let fact = match answers.first() {
            Some((at, _)) if *at <= wake => {
                let (at, fact) = answers.remove(0);
                now = at.max(now);
                fact
            }
            _ => {
                now = wake.max(now);
                Fact::Tick
            }
        };
        actions = machine.on(fact, Duration::from_secs_f64(now));
    }
}

/// The ECS task at a time: it runs from the first second on, and STOPPED comes some seconds after the container's end.
fn task(now: f64) -> EcsTask {
    let status = match now {
        _ if now >= HOUR + 5.0 => "STOPPED",
        _ if now >= 1.0 => "RUNNING",
        _ => "PENDING",
    };
    let ended = now >= HOUR;
    EcsTask {
        arn: ARN.to_owned(),
        last_status: Some(status.to_owned()),
        started_at: (now >= 1.0).then_some(Timestamp(1)),
        containers: vec![EcsContainer {
            name: "app".to_owned(),
            last_status: Some(if ended { "STOPPED" } else { status }.to_owned()),
            exit_code: ended.then_some(0),
            ..EcsContainer::default()
        }],
        ..EcsTask::default()
    }
}
