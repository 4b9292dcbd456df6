//! Where the time of a warm run goes: the image is in the registry, the task definition is registered, nothing has changed. Against
//! the tests' fake AWS on loopback and with `--detach`, so that nothing is waited for but answers. First how long it takes until the first call and until
//! RunTask arrive; then, with Linux's perf, which part of the work takes what.
//!
//!     cargo bench --profile xtask --package xtask --features benches --bench profile
#![expect(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the fakes of the tests can do more than this needs, and a benchmark times processes from outside"
)]

#[path = "../tests/it/ecs.rs"]
mod ecs;
#[path = "../tests/it/fake/mod.rs"]
mod fake;
#[path = "../tests/it/gateway/mod.rs"]
mod gateway;
#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod page;

/// The harness holds the events of its runs against their schema.
mod events {
    pub fn check_events(_stdout: &[u8]) {}
}

mod real {
    pub fn skipped(_why: &str) {}
}

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fake::{Fake, Life};
use crate::harness::Test;

const RUNS: usize = 21;
const PROFILED: usize = 10;
const WORDS: [&str; 5] = ["run", "db-migrate", "-e", "staging", "--detach"];

/// A part of the work, and what stands somewhere in the stack of a sample that belongs to it. The first that fits has it.
const PARTS: &[(&str, &[&str])] = &[
    (
        "the kernel starts and ends the process, dynamic linking",
        &["execve", "_dl_", "ld-linux", "do_exit", "exit_mmap"],
    ),
    ("certificates", &["rustls_native_certs", "webpki", "RootCertStore", "rustls_pki_types"]),
    ("TLS", &["rustls", " ring::"]),
    ("git is started", &["xtask::tools", "xshell"]),
    ("the command line", &["xtask::flags", "clap"]),
    ("tasks.toml", &["xtask::config", "xtask::cx", "toml"]),
    (
        "configuration and credentials",
        &["aws_config", "aws_credential", "xtask::aws::Aws::connect", "aws_runtime::env_config"],
    ),
    ("signatures", &["aws_sigv4"]),
    ("JSON", &["serde_json", "aws_smithy_json"]),
    ("HTTP and connections", &["hyper", "aws_smithy_http_client", "mio::", "tokio::net", "tokio::io", "http::"]),
    ("the SDK around a call", &["aws_smithy", "aws_sdk_", "aws_runtime"]),
    ("ours: the build context and its hash", &["xtask::context", "xtask::fingerprint"]),
    ("ours: the plan", &["xtask::plan", "xtask::resolve"]),
    ("ours: what is shown", &["xtask::ui", "xtask::event"]),
    ("ours: the rest", &["xtask::"]),
    ("the runtime, threads and memory", &["tokio", "std::thread", "std::rt"]),
];

fn main() {
    let fakes_start = Instant::now();
    let fake = ecs::account_on(Fake::new()).task_life(Life::new().at_once());
    let test = ecs::project(&fake);
    let git = test.real_program("git") && commit(&test);
    // Builds, pushes and registers.
    let _ = test.run("run db-migrate -e staging").code(0);
    let command = |program: &Path, before: &[&str]| {
        let mut command = Command::new(program);
        command.args(before).args(WORDS).current_dir(test.project());
        command.env_clear().envs(test.variables()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));

    let (mut first, mut run_task, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=RUNS {
        let n_requests = fake.records().len();
        let (start, by_fake) = (Instant::now(), fakes_start.elapsed());
        let status = command(xtask, &[]).status().expect("it starts");
        let time = start.elapsed();
        assert!(status.success(), "{}", fake.story());
        let records = &fake.records()[n_requests..];
        assert!(records.iter().all(|it| it.request.operation != "RegisterTaskDefinition"), "it is not warm");
        let arrival = |wanted: Option<&str>| {
            let of = records.iter().filter(|it| wanted.is_none_or(|wanted| it.request.operation == wanted));
            of.map(|it| it.arrived - by_fake).min().expect("it calls")
        };
        // The first round warms up.
        if round > 0 {
            first.push(arrival(None));
            run_task.push(arrival(Some("RunTask")));
            whole.push(time);
        }
    }
    let rows = [("to the first call", &first), ("to RunTask", &run_task), ("whole, `--detach`", &whole)];
    let rows: Vec<_> =
        rows.iter().map(|(what, times)| vec![(*what).to_owned(), page::Spread::of_times(times).to_string()]).collect();
    let mut text = format!(
        "`cargo bench --profile xtask --package xtask --features benches --bench profile`, medians of {RUNS} (least–most){}; {}\n\n{}",
        if git { ", in a work tree of git" } else { "" },
        page::setting(),
        page::table(&["from Enter, ms", ""], &rows)
    );
    let folder = std::env::temp_dir().join(format!("xtask-bench-profile-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let data = folder.join("perf.data").display().to_string();
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    let mut total = 0;
    for _ in 0..PROFILED {
        let record =
            ["record", "-q", "-e", "cpu-clock", "-F", "10000", "--call-graph", "dwarf,65528", "-o", &data, "--"];
        let Some(perf) = harness::find_program("perf") else { break };
        let program = xtask.to_str().expect("a path of cargo's");
        if !command(&perf, &[&record[..], &[program]].concat()).status().is_ok_and(|it| it.success()) {
            break;
        }
        let script = ["script", "--no-inline", "-F", "comm,ip,sym,dso", "-i", &data];
        let script = Command::new(perf).args(script).stderr(Stdio::null()).output().expect("perf is there");
        let script = String::from_utf8_lossy(&script.stdout);
        if let Some(path) = std::env::var_os("XTASK_BENCH_STACKS") {
            fs::write(path, script.as_bytes()).expect("it can be written");
        }
        for sample in script.split("\n\n").filter(|it| !it.trim().is_empty()) {
            total += 1;
            *parts.entry(part_of(sample)).or_default() += 1;
        }
    }
    fs::remove_dir_all(&folder).expect("the temporary folder is ours");
    if total == 0 {
        text.push_str("\nThere was no perf to see the parts with.\n");
    } else {
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|it| std::cmp::Reverse(it.1));
        let share = |n: usize| n as f64 / total as f64 * 100.0;
        let rows: Vec<_> = parts.iter().map(|(part, n)| vec![part.clone(), format!("{:.1} %", share(*n))]).collect();
        let cpu = total as f64 / PROFILED as f64 / 10.0;
        let head = ["of the time on a processor, all threads and git", ""];
        text.push_str(&format!("\n{cpu:.0} ms a run, of which\n\n{}", page::table(&head, &rows)));
    }
    println!("{text}");
    page::write("profile", &text);
}

/// Makes the project a work tree.
fn commit(test: &Test) -> bool {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=bench", "-c", "user.email=bench@example.com"]).args(arguments);
        git.current_dir(test.project()).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        git.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
    };
    git(&["init", "--quiet"]) && git(&["add", "."]) && git(&["commit", "--quiet", "-m", "first"])
}

/// The part that a sample belongs to: its first line is the thread's name, the others are the stack, innermost first.
fn part_of(sample: &str) -> String {
    let comm = sample.trim_start().lines().next().unwrap_or_default().trim();
    if comm.starts_with("git") {
        return "git, beside it".to_owned();
    }
    if sample.contains("xtask::aws::http_client") && sample.contains("std::thread") {
        return "certificates, read on a thread beside it".to_owned();
    }
    let part = PARTS.iter().find(|(_, patterns)| patterns.iter().any(|it| sample.contains(it)));
    part.map_or_else(|| "elsewhere".to_owned(), |it| it.0.to_owned())
}
