//! What many shards cost: calls and time for 1, 10, 100 and 1,000 of them on the paused clock under AWS's own rate limits, the memory of the
//! binary, calls an hour of following, and a hundred shards in real time. Prints the tables, and writes them into docs/performance.md.
//!
//!     cargo bench --profile xtask --package xtask --features benches --bench shards
#![expect(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the fakes of the tests can do more than this needs, and a benchmark starts processes"
)]

#[path = "../tests/it/fake/mod.rs"]
mod fake;
#[path = "../tests/it/gateway/mod.rs"]
mod gateway;
#[path = "../tests/it/harness/mod.rs"]
mod harness;
#[path = "../tests/it/inside/mod.rs"]
mod inside;
mod page;

/// The harness holds the events of its runs against their schema; nothing is run by it here.
mod events {
    pub fn check_events(_stdout: &[u8]) {}
}

mod real {
    pub fn skipped(_why: &str) {}
}

use std::collections::BTreeMap;
use std::time::Instant;

use crate::fake::{Fake, Life};
use crate::inside::fleet::{floor, process, run, shard_life, staging, tasks};

const LINES: u32 = 1_000;
const SIZES: [u32; 4] = [1, 10, 100, 1_000];
/// How much faster than real time the fake and the binary are where only the memory counts.
const FAST: f64 = 4.0;
const HOUR: i64 = 3_600_000;
/// The operations that grow with the shards; all others are one call each.
const OPERATIONS: [&str; 3] = ["RunTask", "DescribeTasks", "GetLogEvents"];

fn main() {
    // Words behind `--` choose parts of it.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|it| it == name);
    let command = "`cargo bench --profile xtask --package xtask --features benches --bench shards`";
    for name in ["shards", "shards-memory", "shards-real", "following"].into_iter().filter(|it| is_chosen(it)) {
        let part = match name {
            "shards" => growth(),
            "shards-memory" => memory(),
            "shards-real" => real_time(),
            _ => hours(),
        };
        let text = format!("{command}; {}\n\n{part}", page::setting());
        println!("\n{text}");
        page::write(name, &text);
    }
}

fn numbers(calls: &BTreeMap<String, u64>) -> Vec<String> {
    let others: u64 = calls.iter().filter(|it| !OPERATIONS.contains(&it.0.as_str())).map(|it| it.1).sum();
    let of = |name: &&str| calls.get(*name).copied().unwrap_or_default().to_string();
    OPERATIONS.iter().map(of).chain([others.to_string()]).collect()
}

fn growth() -> String {
    let mut rows = Vec::new();
    for log_reads in [25.0, 10.0] {
        for shards in SIZES {
            let fake = staging(Fake::in_memory()).task_life(shard_life(LINES)).throttles_like_aws_at(log_reads);
            let began = Instant::now();
            let ran = run(fake.keeps_no_records(), &tasks(shards, ""), "", None);
            let real = began.elapsed().as_secs_f64();
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            ran.is_whole(shards, LINES);
            let floor = floor(shards, log_reads);
            let mut row = vec![shards.to_string(), format!("{log_reads}")];
            row.extend([format!("{:.1}", ran.seconds), format!("{floor:.1}"), format!("{:.2}", ran.seconds / floor)]);
            row.extend(numbers(&ran.calls));
            row.push(format!("{real:.1}"));
            println!("{}", row.join("  "));
            rows.push(row);
        }
    }
    let mut head = vec!["shards", "reads a second", "s", "floor, s", "ratio"];
    head.extend(OPERATIONS);
    head.extend(["other calls", "s in real time"]);
    format!(
        "Shards that take 1 s to start, work for 5 s, print {LINES} lines each and take 2 s to stop, all at once (`parallel` as many as \
         there are), under AWS's rate limits, on a paused clock. The floor is what the limits of RunTask and two reads of each stream \
         allow. Every line came once and in order.\n\n{}",
        page::table(&head, &rows)
    )
}

fn memory() -> String {
    let mut rows = Vec::new();
    let mut before: Option<(u32, u64)> = None;
    for shards in SIZES {
        let fake = staging(Fake::with_speed(FAST)).task_life(shard_life(LINES)).throttles_like_aws_at(25.0);
        let fake = fake.keeps_no_records();
        let ran = process(&fake, &tasks(shards, ""), "");
        assert_eq!((ran.code, ran.output.wrong()), (Some(0), Vec::new()), "{}", ran.stderr);
        assert_eq!(ran.output.lines(), (0..shards).map(|it| (it, LINES)).collect());
        let each = before.map(|(less, peak)| ran.peak.saturating_sub(peak) as f64 / f64::from(shards - less));
        let each = each.map_or("".to_owned(), |it| format!("{it:.1}"));
        println!("{shards} shards: {} kB, {each} kB each, {:.1} s", ran.peak, ran.time.as_secs_f64());
        rows.push(vec![shards.to_string(), format!("{:.1}", ran.peak as f64 / 1024.0), each]);
        before = Some((shards, ran.peak));
    }
    format!(
        "The same through the built binary, over loopback and {FAST} times faster than real time: the most memory that it had, and by how \
         much one more shard raises it.\n\n{}",
        page::table(&["shards", "MB", "kB a shard more"], &rows)
    )
}

fn hours() -> String {
    let mut rows = Vec::new();
    for shards in [1, 100] {
        let mut life = Life::prints(["shard $XTASK_SHARD line 1"]).runs(HOUR);
        (life.provisioning, life.pending, life.activating) = (400, 400, 200);
        let fake = staging(Fake::in_memory()).task_life(life).throttles_like_aws_at(25.0).keeps_no_records();
        let text = tasks(shards, "");
        // One task without shards is followed by itself.
        let text = if shards == 1 { text.replace("shards = 1\nparallel = 1\n", "") } else { text };
        let ran = run(fake, &text, "", None);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut row = vec![shards.to_string()];
        row.extend(numbers(&ran.calls));
        row.push(ran.calls.values().sum::<u64>().to_string());
        println!("{}", row.join("  "));
        rows.push(row);
    }
    let mut head = vec!["ECS tasks"];
    head.extend(OPERATIONS);
    head.extend(["other calls", "together"]);
    format!(
        "Calls of AWS's API in an hour of following quiet ECS tasks (one line, at the end), on a paused clock. One is followed by itself, 100 \
         are the shards of a task.\n\n{}",
        page::table(&head, &rows)
    )
}

fn real_time() -> String {
    let mut rows = Vec::new();
    for log_reads in [25.0, 10.0] {
        let fake = staging(Fake::with_speed(1.0)).task_life(shard_life(LINES)).throttles_like_aws_at(log_reads);
        let fake = fake.keeps_no_records();
        let ran = process(&fake, &tasks(100, ""), "");
        assert_eq!((ran.code, ran.output.wrong()), (Some(0), Vec::new()), "{}", ran.stderr);
        assert_eq!(ran.output.lines(), (0..100).map(|it| (it, LINES)).collect());
        let (time, floor) = (ran.time.as_secs_f64(), floor(100, log_reads));
        rows.push(vec![
            format!("{log_reads}"),
            format!("{time:.1}"),
            format!("{floor:.1}"),
            format!("{:.2}", time / floor),
        ]);
    }
    format!(
        "100 such shards through the built binary, over loopback, in real time under AWS's rate limits.\n\n{}",
        page::table(&["reads a second", "s", "floor, s", "ratio"], &rows)
    )
}
