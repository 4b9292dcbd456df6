//! What a session costs: from a key to its echo over the loopback gateway, beside the same on a bare pseudo-terminal; and how fast
//! output comes. Prints medians and ratios.
//!
//!     cargo bench --profile xtask --package xtask --features benches --bench session
#![expect(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the fakes of the tests can do more than this needs, and a benchmark times processes from outside"
)]

#[path = "../tests/it/fake/mod.rs"]
mod fake;
#[path = "../tests/it/gateway/mod.rs"]
mod gateway;
#[path = "../tests/it/harness/mod.rs"]
mod harness;

/// The harness holds the events of its runs against their schema; nothing is run by it here.
mod events {
    pub fn check_events(_stdout: &[u8]) {}
}

mod real {
    pub fn skipped(_why: &str) {}
}

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fake::Fake;
use crate::gateway::{Gateway, Net};

const KEYS: usize = 300;
const LINES: usize = 200_000;

fn main() {
    if !harness::has_terminal() {
        return;
    }
    let gateway = Gateway::new(Net { speed: 1.0, ..Net::default() });
    let fake = account().exec(&gateway);
    let folder = std::env::temp_dir().join(format!("xtask-bench-session-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let tasks = "[environments.staging]\nregion = \"eu-west-1\"\ncluster = \"staging\"\nservice = \"web\"\n";
    std::fs::write(folder.join("tasks.toml"), tasks).expect("a tasks file");

    let bare = keys(terminal(Path::new("cat"), &[], &folder, &fake));
    let ours = keys(session(&["cat"], &folder, &fake));
    println!("{:34} {:>9} {:>9} {:>9}", format!("key to echo, {KEYS} keys, ms"), "min", "median", "max");
    for (name, times) in [("a bare pseudo-terminal", &bare), ("a session over the gateway", &ours)] {
        let (min, max) = (times.iter().min().copied(), times.iter().max().copied());
        println!(
            "{name:34} {:9.3} {:9.3} {:9.3}",
            ms(min.unwrap_or_default()),
            ms(median(times)),
            ms(max.unwrap_or_default())
        );
    }
    println!(
        "{:34} {:+9.3} ms, {:.1}x",
        "over the bare one",
        ms(median(&ours)) - ms(median(&bare)),
        ms(median(&ours)) / ms(median(&bare))
    );

    let lines = LINES.to_string();
    let bare = lines_of(terminal(Path::new("seq"), &[&lines], &folder, &fake));
    let ours = lines_of(session(&["seq", &lines], &folder, &fake));
    println!("{LINES} lines: {:.0} ms bare, {:.0} ms in a session", ms(bare), ms(ours));
    std::fs::remove_dir_all(&folder).expect("the temporary folder is ours");
}

fn account() -> Fake {
    Fake::with_speed(1.0)
        .cluster("staging")
        .task_definition(json!({
            "family": "app", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "taskRoleArn": "arn:aws:iam::111122223333:role/app",
            "containerDefinitions": [{ "name": "web", "image": "app:v1" }],
        }))
        .service("staging", json!({
            "serviceName": "web", "taskDefinition": "app", "enableExecuteCommand": true, "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0a"] } },
        }))
}

/// Each key alone, the next one when its echo is there.
fn keys((mut child, mut master): (Child, File)) -> Vec<Duration> {
    // A silent program's session opens the keyboard after three seconds.
    std::thread::sleep(Duration::from_millis(4500));
    let mut times = Vec::new();
    let mut buffer = [0; 4096];
    for round in 0..KEYS + 10 {
        let key = [b'a' + (round % 26) as u8];
        if round == 0 {
            drain(&master);
        }
        let start = Instant::now();
        master.write_all(&key).expect("the terminal takes a key");
        loop {
            let count = master.read(&mut buffer).expect("the terminal answers");
            if buffer[..count].contains(&key[0]) {
                break;
            }
        }
        if round >= 10 {
            times.push(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    master.write_all(b"\r\x04").expect("the terminal takes a key");
    finish(&mut child, &mut master);
    times
}

/// What has been said so far is not an echo.
fn drain(master: &File) {
    rustix::io::ioctl_fionbio(master, true).expect("it is ours");
    let mut buffer = [0; 4096];
    while (&*master).read(&mut buffer).is_ok_and(|it| it > 0) {}
    rustix::io::ioctl_fionbio(master, false).expect("it is ours");
}

fn lines_of((mut child, mut master): (Child, File)) -> Duration {
    let (mut buffer, mut seen, mut start) = ([0; 65_536], Vec::new(), None);
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
        if start.is_none() && seen.windows(6).any(|it| it == b"\n1\r\n2\r" || it.starts_with(b"1\r\n2\r")) {
            start = Some(Instant::now());
        }
        let tail = &seen[seen.len().saturating_sub(64)..];
        if String::from_utf8_lossy(tail).contains(&format!("{LINES}\r\n")) {
            break;
        }
        seen.drain(..seen.len().saturating_sub(64));
    }
    let took = start.map(|it| it.elapsed()).unwrap_or_default();
    finish(&mut child, &mut master);
    took
}

fn finish(child: &mut Child, master: &mut File) {
    let mut buffer = [0; 65_536];
    while master.read(&mut buffer).is_ok_and(|it| it > 0) {}
    let status = child.wait().expect("our own child can be waited for");
    assert!(status.success(), "{status}");
}

fn session(command: &[&str], folder: &Path, fake: &Fake) -> (Child, File) {
    let mut words = vec!["exec", "--service", "-e", "staging", "--"];
    words.extend(command);
    terminal(Path::new(env!("CARGO_BIN_EXE_xtask")), &words, folder, fake)
}

/// A program on a pseudo-terminal, and the other end of that.
fn terminal(program: &Path, words: &[&str], folder: &Path, fake: &Fake) -> (Child, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let slave =
        OpenOptions::new().read(true).write(true).open(name.to_str().expect("ASCII")).expect("it can be opened");
    let end = || Stdio::from(slave.try_clone().expect("a file can be cloned"));
    let mut command = std::process::Command::new(harness::find_program("setsid").expect("has_terminal() was asked"));
    command.arg("--ctty").arg(program).args(words).current_dir(folder).stdin(end()).stdout(end()).stderr(end());
    command.envs(fake.env());
    (command.spawn().expect("it starts"), File::from(master))
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
