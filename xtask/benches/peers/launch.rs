//! From Enter to RunTask's answer, at each delay of a call: without a build on the fake AWS, with it on ministack and its registry.
//! A run is ended once RunTask is answered; that everybody does the rest as well is checked in whole runs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::fake::Life;
use crate::page::Spread;
use crate::process::Process;
use crate::proxy::{Proxy, chain};
use crate::world::{self, CODE, LINES, Tools, World};

/// Milliseconds that every call takes longer.
pub const DELAYS: [u64; 3] = [0, 20, 100];

/// What one of them needed, at each delay.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// To RunTask's answer, in milliseconds.
    pub times: Vec<Vec<f64>>,
    /// To the first byte on stdout or stderr, in milliseconds, at the first delay.
    pub first: Vec<f64>,
    /// Calls that waited for each other, RunTask among them.
    pub trips: usize,
    /// Calls in all.
    pub calls: usize,
}

impl Row {
    fn new(name: &'static str) -> Row {
        Row { name, times: vec![Vec::new(); DELAYS.len()], first: Vec::new(), trips: 0, calls: 0 }
    }

    pub fn medians(&self) -> Vec<f64> {
        self.times.iter().map(|it| Spread::of(it).median).collect()
    }
}

/// Both without a build, then ecs-deploy.
pub fn without_build(tools: &Tools, runs: usize) -> Vec<Row> {
    // Over at once: the runs are ended, and an equal ECS task that still runs would be told instead of starting another.
    let fake = world::account(Life::new().at_once());
    let proxy = Proxy::open(world::address(&fake));
    let world = world::on_fake("launch", tools, &fake, &proxy.url());
    let mut rows = ["xtask", "script", "ecs-deploy"].map(Row::new);
    measure(&mut rows, &proxy, runs, &DELAYS, |name| match name {
        "xtask" => world.ours(&["--image", world::IMAGE]),
        "script" => world.script(),
        _ => world.ecs_deploy(),
    });
    rows.into()
}

/// Both with everything cached, then with a file of the context changed before each run; and the most memory that a whole run of each
/// has at once, everything cached, in MB.
pub fn with_build(tools: &Tools, runs: usize) -> (Vec<Row>, Vec<Row>, [f64; 2]) {
    let folder = world::Folder::new("emulator");
    let emulator = world::Emulator::start(tools, folder.path());
    let proxy = Proxy::open(emulator.address);
    let world = world::on_emulator(tools, &proxy.url());
    // Builds and pushes for the first time, and shows that both do the whole work there.
    proxy.start(Duration::ZERO);
    for command in [world.ours(&[]), world.script()] {
        check_whole(command);
    }
    let memory = [world.ours(&[]), world.script()].map(check_whole);
    let mut cached = ["xtask", "script"].map(Row::new);
    measure(&mut cached, &proxy, runs, &DELAYS, |name| with_image(&world, name));
    let mut changed = ["xtask", "script"].map(Row::new);
    let mut number = 0;
    measure(&mut changed, &proxy, runs.div_ceil(2), &DELAYS[..1], |name| {
        number += 1;
        fs::write(world.path().join("project/app/files/changed"), format!("{number}\n")).expect("the folder is ours");
        with_image(&world, name)
    });
    (cached.into(), changed.into(), memory)
}

fn with_image(world: &World, name: &str) -> Command {
    if name == "xtask" { world.ours(&[]) } else { world.script() }
}

fn check_whole(command: Command) -> f64 {
    let what = format!("{command:?}");
    let process = Process::start(command);
    let watch = process.watch();
    let ran = process.wait();
    let out = ran.text(true);
    let lines = out.lines().filter(|it| it.parse::<u32>().is_ok()).count();
    let right = ran.status.code() == Some(CODE) && lines == LINES as usize;
    assert!(right, "{what}: {}, {lines} lines\n{out}\n{}", ran.status, ran.text(false));
    watch.end()
}

/// In turn, so that a machine that slows down slows all of them; the first round warms up.
fn measure(rows: &mut [Row], proxy: &Proxy, runs: usize, delays: &[u64], mut command: impl FnMut(&str) -> Command) {
    for (index, delay) in delays.iter().enumerate() {
        for round in usize::from(index > 0)..=runs {
            for row in &mut *rows {
                let command = command(row.name);
                proxy.start(Duration::from_millis(*delay));
                let mut process = Process::start(command);
                let begun = process.begun;
                let answered = proxy.wait_for("RunTask", || process.is_over());
                let calls = proxy.calls();
                let chunks = process.end();
                let told: Vec<u8> = chunks.iter().flat_map(|it| it.bytes.clone()).collect();
                let accepted = calls.iter().any(|it| it.what == "RunTask" && it.status == 200);
                let Some(answered) = answered.filter(|_| accepted) else {
                    panic!(
                        "{} made no RunTask that was accepted:\n{}\n{calls:#?}",
                        row.name,
                        String::from_utf8_lossy(&told)
                    );
                };
                if round == 0 {
                    continue;
                }
                row.times[index].push((answered - begun).as_secs_f64() * 1000.0);
                if index == 0
                    && let Some(first) = chunks.iter().map(|it| it.at).min()
                {
                    row.first.push((first - begun).as_secs_f64() * 1000.0);
                }
                row.trips = chain(&calls, "RunTask");
                row.calls = calls.iter().take_while(|it| it.what != "RunTask").count() + 1;
            }
        }
    }
}
