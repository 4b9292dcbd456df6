//! Hours of following, in seconds: the whole verb on the fake's door in memory and a paused clock. A fault every minute costs nothing of
//! the output and of the exit code; and what an hour costs in calls of AWS's API is counted.

use std::sync::Arc;

use crate::fake::life::Line;
use crate::fake::random::Random;
use crate::fake::record::Record;
use crate::fake::{Fake, Fault, Life, Millis};
use crate::inside::{self, fleet};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;

const TASKS: &str = r#"
[environments.staging]
region = "eu-west-1"
cluster = "staging"
service = "web"

[tasks.report]
image = "deployed"
command = ["bin/report"]
"#;

/// An account with the service that the task derives from.
fn staging() -> Fake {
    fleet::staging(Fake::in_memory()).pauses_at("RunTask")
}

/// What a program of that many hours prints: now a burst, now a line now and then, now nothing for most of an hour; many lines at the same
/// millisecond, and many the same text.
fn output(seed: u64, hours: i64) -> Vec<Line> {
    let mut random = Random::new(seed);
    let mut lines: Vec<Line> = Vec::new();
    let mut at = 0;
    let mut lag = 0;
    let mut seen = 0;
    while at < hours * HOUR {
        let (count, step) = match random.below(20) {
            // Nothing for long enough that CloudWatch Logs forgets the place.
            0 => (1, 12 * MINUTE + random.below(15 * 60_000) as Millis),
            1..=5 => (200 + random.below(400), random.below(3) as Millis),
            _ => (10 + random.below(30), random.below(10_000) as Millis),
        };
        for _ in 0..count {
            at += step;
            lag = if random.below(50) == 0 { random.below(8_000) as Millis } else { lag * 9 / 10 };
            seen = seen.max(at + lag);
            let text = if random.below(10) == 0 { "again".to_owned() } else { format!("line {}", lines.len() + 1) };
            lines.push(Line { at, seen, text: text.into() });
        }
    }
    lines.retain(|it| it.at <= hours * HOUR);
    lines
}

/// A fault in every minute of so many hours, from the second minute on.
fn with_faults(mut fake: Fake, seed: u64, hours: i64) -> Fake {
    let mut random = Random::new(seed);
    for minute in 1..hours * 60 {
        let from = minute * MINUTE + random.below(30_000) as Millis;
        let to = |most: u64, random: &mut Random| from + 1_000 + random.below(most) as Millis;
        let any = ["GetLogEvents", "DescribeTasks", "*"][random.below(3) as usize];
        let (fault, to) = match random.below(12) {
            0 => (Fault::Throttle, to(25_000, &mut random)),
            1 => (Fault::ServerError, to(15_000, &mut random)),
            2 => (Fault::Unavailable, to(15_000, &mut random)),
            3 => (Fault::DropBefore, to(10_000, &mut random)),
            4 => (Fault::DropAfter, to(10_000, &mut random)),
            5 => (Fault::HalfBody, to(10_000, &mut random)),
            6 => (Fault::NeverAnswer, to(3_000, &mut random)),
            7 => (Fault::NeverAnswerAfter, to(3_000, &mut random)),
            8 => (Fault::Slow(5_000 + random.below(20_000) as Millis), to(5_000, &mut random)),
            9 => (Fault::ServerErrorAfter, to(10_000, &mut random)),
            10 => {
                fake = fake.keys_expire(from, random.below(20_000) as Millis);
                continue;
            }
            _ => (Fault::ExpiredToken, to(5_000, &mut random)),
        };
        fake = fake.fault_during(any, from, to, fault);
    }
    fake
}

/// How many calls of each operation there were in the hour after a moment, the most first.
fn calls_of_an_hour(records: &[Record], from: Millis) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for record in records.iter().filter(|it| (from..from + HOUR).contains(&it.at)) {
        *counts.entry(record.request.operation.clone()).or_insert(0) += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|it| std::cmp::Reverse(it.1));
    counts
}

/// Follows for so many hours with a fault in every minute.
fn follow(seed: u64, hours: i64) {
    let lines = output(seed, hours);
    let expected: String = lines.iter().map(|it| format!("{}\n", it.text)).collect();
    let mut life = Life::new().runs(hours * HOUR).exits(7).stream_missing(20);
    life.main.lines = Arc::new(lines);
    let fake = staging().task_life(life).missing_first(15).log_pages(seed, 3_000, 2).log_tokens_live(10 * MINUTE);
    let fake = with_faults(fake, seed, hours + 1);
    inside::block_on(async {
        let began = tokio::time::Instant::now();
        let ended = inside::run(&fake, TASKS, "report -e staging", None).await;
        let told = || format!("seed {seed}\n{}", ended.stderr);
        assert_eq!(ended.code, 7, "{}", told());
        // Not by assert_eq, which would print both.
        let difference = ended.stdout.lines().zip(expected.lines()).position(|(is, should)| is != should);
        assert!(ended.stdout == expected, "{} at line {difference:?}", told());
        assert!(!ended.stderr.contains("may be cut"), "{}", told());
        assert!(began.elapsed().as_secs() > hours as u64 * 3600, "the hours have passed");
        assert_eq!((fake.started().len(), fake.alive().len()), (1, 0));
        let refused = fake.records().iter().filter(|it| it.status != 200).count();
        let (lines, calls) = (expected.lines().count(), fake.records().len());
        println!("{hours} h, seed {seed}: {lines} lines, {calls} calls, {refused} of them refused or not answered");
        assert!(refused as i64 > 100 * hours, "faults in every minute: {refused}");
        assert!(ended.stderr.contains("CloudWatch Logs forgot the place"), "{}", told());
        assert!(ended.stderr.contains("credentials"), "{}", told());
    });
}

#[test]
fn hours_with_a_fault_every_minute_lose_nothing() {
    // An SDK that is compiled without optimisation takes a millisecond for a call, and the suite is to be quick: CI takes six hours.
    if std::env::var("XTASK_TEST_FULL").as_deref() == Ok("1") {
        (1..=3).for_each(|seed| follow(seed, 6));
    } else {
        follow(1, 1);
    }
}

#[test]
fn an_hour_of_a_quiet_ecs_task_costs_few_calls() {
    let fake = staging().task_life(Life::prints(["done"]).runs(HOUR + 5 * MINUTE));
    inside::block_on(async {
        let ended = inside::run(&fake, TASKS, "report -e staging", None).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "done\n"), "{}", ended.stderr);
        let records = fake.records();
        let launched = records.iter().find(|it| it.request.operation == "RunTask").expect("it was started").at;
        let counts = calls_of_an_hour(&records, launched);
        let all: usize = counts.iter().map(|it| it.1).sum();
        println!("calls in the hour from RunTask on: {all}, {counts:?}");
        assert!(all <= 2_500, "{counts:?}");
    });
}
