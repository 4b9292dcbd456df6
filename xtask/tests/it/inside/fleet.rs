//! Many shards and what comes of them: the account, the task, how long the limits make it take at least, and a stdout that holds each
//! shard's lines against what they must be without keeping them. In this process on the paused clock, or through the built binary.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::tools::signals::Signals;

use crate::fake::{Fake, Life};
use crate::harness::Folder;
use crate::inside;

/// tasks.toml with a task of so many shards.
pub fn tasks(shards: u32, more: &str) -> String {
    format!(
        r#"
[environments.staging]
region = "eu-west-1"
cluster = "staging"
service = "web"

[tasks.backfill]
image = "deployed"
command = ["bin/backfill"]
shards = {shards}
parallel = {shards}
{more}
"#
    )
}

/// 1 s from RunTask to RUNNING, 5 s of work, 2 s from its end to STOPPED; so many lines, each of which names its shard.
pub fn shard_life(lines: u32) -> Life {
    let mut life = Life::prints((1..=lines).map(|it| format!("shard $XTASK_SHARD line {it}"))).runs(5_000);
    (life.provisioning, life.pending, life.activating) = (400, 400, 200);
    (life.deactivating, life.stopping, life.deprovisioning) = (500, 500, 1_000);
    life
}

/// An account with a service to derive from.
pub fn staging(fake: Fake) -> Fake {
    fake.cluster("staging")
        .task_definition(json!({
            "family": "app",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "containerDefinitions": [{
                "name": "web",
                "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1",
                "logConfiguration": { "logDriver": "awslogs", "options": {
                    "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "app",
                } },
            }],
        }))
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "app" }))
}

/// How long RunTask's and GetLogEvents's limits make so many shards take at least, two reads a stream: 88 s of 1,000 at 25 reads a second.
pub fn floor(shards: u32, log_reads: f64) -> f64 {
    let launching = (f64::from(shards) - 100.0).max(0.0) / 20.0;
    let reading = (2.0 * f64::from(shards) - log_reads).max(0.0) / log_reads;
    launching.max(reading) + 8.0
}

/// A stdout that takes the output in, event by event, and keeps how far each shard is instead of its lines.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The beginning of a line.
    open: Vec<u8>,
    /// The number of the last line of each shard.
    lines: BTreeMap<u32, u32>,
    /// What is no line of a shard.
    events: Vec<Value>,
    /// Lines that are lost, doubled, out of order or of another shard.
    wrong: Vec<String>,
}

impl Output {
    /// How many lines came of each shard.
    pub fn lines(&self) -> BTreeMap<u32, u32> {
        self.0.lock().expect("no writer panics").lines.clone()
    }

    /// Lines that are lost, doubled, out of order or of another shard: the first few.
    pub fn wrong(&self) -> Vec<String> {
        self.0.lock().expect("no writer panics").wrong.iter().take(5).cloned().collect()
    }

    /// The events of a kind.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let seen = self.0.lock().expect("no writer panics");
        seen.events.iter().filter(|it| it["event"] == kind).cloned().collect()
    }
}

impl Seen {
    fn take(&mut self, line: &str) {
        // By hand: there may be a million of them.
        let between = |before: &str, after: &[char]| {
            let rest = line.split_once(before)?.1;
            rest.split(after).next()
        };
        let message = between("\"message\":\"shard ", &['"']).filter(|_| line.contains("\"event\":\"log\""));
        let Some(message) = message else {
            self.events.push(serde_json::from_str(line).unwrap_or_else(|_| json!({ "event": "?", "line": line })));
            return;
        };
        // One that is alone is not told apart.
        let told = between("\"shard\":", &[',', '}']).map_or(Some(0), |it| it.parse().ok());
        let words: Vec<&str> = message.split(' ').collect();
        let (shard, number) = (words[0].parse::<u32>().ok(), words.get(2).and_then(|it| it.parse::<u32>().ok()));
        let last = self.lines.entry(shard.unwrap_or(u32::MAX)).or_default();
        if shard != told || number != Some(*last + 1) {
            self.wrong.push(format!("after line {last}: {line}"));
        }
        *last = number.unwrap_or_default();
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let seen = &mut *self.0.lock().expect("no writer panics");
        seen.open.extend_from_slice(bytes);
        let open = std::mem::take(&mut seen.open);
        let mut rest = open.as_slice();
        while let Some(end) = rest.iter().position(|it| *it == b'\n') {
            seen.take(&String::from_utf8_lossy(&rest[..end]));
            rest = &rest[end + 1..];
        }
        seen.open = rest.to_vec();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run of shards in this process that is over.
#[derive(Debug)]
pub struct Ran {
    pub code: u8,
    pub stderr: String,
    pub output: Output,
    /// From RunTask on, on the paused clock.
    pub seconds: f64,
    pub calls: BTreeMap<String, u64>,
    /// How many ECS tasks each shard had.
    pub started: BTreeMap<u32, usize>,
    pub alive: usize,
    /// From the first StopTask that ECS took to the last.
    pub stopped_within: Option<f64>,
}

impl Ran {
    /// Every shard was started once, has printed all its lines in order, and is over.
    pub fn is_whole(&self, shards: u32, lines: u32) {
        let told = || format!("{}\n{:?}\n{:?}", self.stderr, self.output.events("warning"), self.calls);
        assert_eq!(self.output.wrong(), [] as [String; 0], "{}", told());
        let short: Vec<_> = (0..shards).filter(|it| self.output.lines().get(it) != Some(&lines)).collect();
        let ends = || {
            let of_them = |it: &Value| short.iter().any(|shard| it["shard"] == *shard);
            self.output.events("finished").into_iter().filter(of_them).collect::<Vec<_>>()
        };
        assert!(short.is_empty(), "shards without all their lines: {short:?}, {:?}\n{}", ends(), told());
        let again: Vec<_> = (0..shards).filter(|it| self.started.get(it) != Some(&1)).collect();
        assert!(again.is_empty(), "shards that were not started once: {again:?}\n{}", told());
        assert_eq!(self.alive, 0, "{}", told());
    }
}

/// Runs it as `run backfill -e staging --format json` and these words.
pub fn run(fake: Fake, tasks: &str, words: &str, signals: Option<Signals>) -> Ran {
    let fake = fake.pauses_at("RunTask");
    inside::block_on(async {
        let output = Output::default();
        let words = format!("backfill -e staging --format json {words}");
        let began = fake.now();
        let (code, stderr) = inside::run_into(&fake, tasks, &words, signals, output.clone()).await;
        let seconds = (fake.now() - began) as f64 / 1000.0;
        let mut started = BTreeMap::new();
        for task in fake.started() {
            let overrides = &task.request["overrides"]["containerOverrides"][0];
            let shard = crate::fake::ecs::shard_of(overrides).and_then(|it| it.parse().ok());
            *started.entry(shard.unwrap_or(u32::MAX)).or_default() += 1;
        }
        let stops = fake.stops();
        let stopped_within = stops.iter().min().zip(stops.iter().max()).map(|(from, to)| (to - from) as f64 / 1000.0);
        let (calls, alive) = (fake.counts(), fake.alive().len());
        Ran { code, stderr, output, seconds, calls, started, alive, stopped_within }
    })
}

/// A run of the built binary that is over.
#[derive(Debug)]
pub struct Process {
    pub code: Option<i32>,
    pub stderr: String,
    pub output: Output,
    /// In real time.
    pub time: Duration,
    /// The most memory that it had, in kB.
    pub peak: u64,
}

/// The same through the built binary, over the fake's loopback door.
pub fn process(fake: &Fake, tasks: &str, words: &str) -> Process {
    let folder = Folder::new();
    std::fs::write(folder.path().join("tasks.toml"), tasks).expect("the folder is the test's own");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["run", "backfill", "-e", "staging", "--format", "json"]).args(words.split_whitespace());
    command.env_clear().envs(fake.env()).env("HOME", folder.path()).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().expect("the binary is there");
    let mut output = Output::default();
    let (mut stdout, mut sink) = (child.stdout.take().expect("it is a pipe"), output.clone());
    let mut errors = child.stderr.take().expect("it is a pipe");
    let reader = std::thread::spawn(move || io::copy(&mut stdout, &mut sink));
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        // Nothing can be read of it once it has ended: the last look counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        peak = peak.max(line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0));
        match child.try_wait().expect("it is our child") {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let time = began.elapsed();
    let stderr = errors.join().expect("it does not panic").unwrap_or_default();
    reader.join().expect("it does not panic").expect("a pipe can be read");
    output.flush().expect("it has no end to wait for");
    Process { code: ended.code(), stderr, output, time, peak }
}
