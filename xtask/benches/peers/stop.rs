//! Whole runs on the fake AWS, whose clock says when an ECS task stopped: from there to the exit of whoever followed it; from a line
//! that can be read at the server to stdout; and what a whole run takes of memory. The runs are of different lengths, so that their
//! ends fall evenly into everybody's pauses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Fake, Life};
use crate::process::{Process, Ran};
use crate::proxy::Proxy;
use crate::world::{self, CODE, LINES, Tools, World};

/// So many at a time: most of a run is waiting, and two cores are enough for what is not. The script needs them longer.
const LANES: [(&str, usize); 2] = [("xtask", 5), ("script", 3)];
/// The runs' lengths are spread over this: the longest pause of anybody between two looks, in milliseconds.
const PAUSE: i64 = 6_000;

/// How an ECS task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its container five seconds before it, as on Fargate.
    Later,
    /// Both at once, as on EC2.
    AtOnce,
}

/// What one of them did.
#[derive(Debug, Default)]
pub struct Followed {
    /// From `stoppedAt` to the exit, in seconds.
    pub exit: Vec<f64>,
    /// From the moment at which a line can be read to stdout, in seconds, of every line.
    pub line: Vec<f64>,
    /// Runs without the container's exit code, and lines that did not come.
    pub without_code: usize,
    pub lost_lines: usize,
}

/// Ours and the script, so many runs each.
pub fn measure(tools: &Tools, runs: usize, ending: Ending, delay: u64) -> [Followed; 2] {
    LANES.map(|(name, lanes)| {
        let (next, followed) = (AtomicUsize::new(0), Mutex::new(Followed::default()));
        thread::scope(|scope| {
            for lane in 0..lanes {
                let (next, followed) = (&next, &followed);
                scope.spawn(move || {
                    // The lanes' starts do not meet.
                    thread::sleep(Duration::from_millis(1_500) * lane as u32);
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= runs {
                            return;
                        }
                        let length = 2_500 + PAUSE * number as i64 / runs as i64;
                        let one = follow(tools, name, length, ending, delay, number);
                        let mut all = followed.lock().expect("no lane panics with it");
                        all.exit.extend(one.exit);
                        all.line.extend(one.line);
                        all.without_code += one.without_code;
                        all.lost_lines += one.lost_lines;
                    }
                });
            }
        });
        followed.into_inner().expect("no lane panics with it")
    })
}

fn follow(tools: &Tools, name: &str, length: i64, ending: Ending, delay: u64, number: usize) -> Followed {
    let fake = account(length, ending);
    let proxy = Proxy::open(world::address(&fake));
    proxy.start(Duration::from_millis(delay));
    let world = world::on_fake(&format!("stop-{name}-{number}-{delay}"), tools, &fake, &proxy.url());
    let (wall, instant) = (fake.now(), Instant::now());
    let ran = Process::start(command(&world, name)).wait();
    let millis = |at: Instant| wall as f64 + (at - instant).as_secs_f64() * 1000.0;
    let started = fake.started();
    let [task] = &started[..] else {
        panic!("{name} started {} ECS tasks:\n{}\n{}", started.len(), ran.text(false), fake.story());
    };
    let at = |member: &str| task.document[member].as_f64().map(|it| it * 1000.0);
    let (running, stopped) = (at("startedAt").expect("it ran"), at("stoppedAt").expect("it is over"));
    let mut followed = Followed { exit: vec![(millis(ran.ended) - stopped) / 1000.0], ..Followed::default() };
    let came = lines(&ran);
    for number in 1..=LINES {
        let readable = running + (length * i64::from(number) / i64::from(LINES)) as f64;
        match came.iter().find(|(it, _)| *it == number) {
            Some((_, at)) => followed.line.push((millis(*at) - readable) / 1000.0),
            None => followed.lost_lines += 1,
        }
    }
    followed.without_code = usize::from(ran.status.code() != Some(CODE));
    followed
}

fn command(world: &World, name: &str) -> std::process::Command {
    if name == "xtask" { world.ours(&["--image", world::IMAGE]) } else { world.script() }
}

fn account(length: i64, ending: Ending) -> Fake {
    let mut life = Life::prints((1..=LINES).map(|it| it.to_string())).exits(CODE).runs(length);
    (life.provisioning, life.pending, life.activating) = (300, 300, 100);
    world::account(match ending {
        Ending::Later => life.takes_to_stop(5_000),
        Ending::AtOnce => life.stops_at_once(),
    })
}

/// The lines that are the task's, with the moment at which each was whole.
fn lines(ran: &Ran) -> Vec<(u32, Instant)> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for chunk in ran.chunks.iter().filter(|it| it.is_stdout) {
        for byte in &chunk.bytes {
            if *byte == b'\n' {
                String::from_utf8_lossy(&line).parse().into_iter().for_each(|it| lines.push((it, chunk.at)));
                line.clear();
            } else {
                line.push(*byte);
            }
        }
    }
    lines
}

/// The most memory that a whole run has at once, in MB, of ours and the script's processes.
pub fn memory(tools: &Tools, runs: usize) -> [Vec<f64>; 2] {
    ["xtask", "script"].map(|name| {
        let one = |number: usize| {
            let fake = account(1_000, Ending::Later);
            let url = fake.endpoint();
            let world = world::on_fake(&format!("memory-{name}-{number}"), tools, &fake, &url);
            let process = Process::start(command(&world, name));
            let watch = process.watch();
            process.wait();
            watch.end()
        };
        (0..runs).map(one).collect()
    })
}

/// What ecs-deploy does of a whole run: its exit code, whether it waited for the ECS task's end, and how many lines it printed.
pub fn ecs_deploy(tools: &Tools) -> (Option<i32>, bool, usize) {
    let fake = account(1_000, Ending::Later);
    let url = fake.endpoint();
    let world = world::on_fake("ecs-deploy", tools, &fake, &url);
    let ran = Process::start(world.ecs_deploy()).wait();
    (ran.status.code(), fake.alive().is_empty(), lines(&ran).len())
}
