//! A long output, read to its end from a server that is never the bottleneck, into a file: lines a second and memory, of ours, of a
//! boto3 loop in one process, and of the script, which asks with the aws CLI for one page after the other.

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::Life;
use crate::pages::{PAGE, Pages};
use crate::process::Process;
use crate::world::{self, CODE, Tools};

/// What one of them did.
#[derive(Debug)]
pub struct Read {
    pub name: &'static str,
    /// Lines a second, from the first page asked for to the last line in the file: of each run.
    pub rates: Vec<f64>,
    /// The same of each page.
    pub page_rates: Vec<f64>,
    /// The most resident memory of the process, in MB.
    pub resident: f64,
    /// Whether everything was there, in order.
    pub is_whole: bool,
}

/// A process for each page: its rate is clear long before the end, for which it would need minutes.
const SCRIPT_PAGES: usize = 40;

/// The server's own rate in lines a second, and everybody's. `runs`: of ours, of boto3, of the script.
pub fn measure(tools: &Tools, lines: usize, runs: [usize; 3]) -> (f64, Vec<Read>) {
    let fake = world::account(Life::new().at_once().exits(CODE));
    let pages = Pages::open(lines, world::address(&fake));
    let world = world::on_fake("lines", tools, &fake, &format!("http://127.0.0.1:{}", pages.port));
    let text = pages.text();
    let raw = pages.lines as f64 / pages.read_raw().as_secs_f64();
    let names = ["xtask", "boto3 loop", "script"];
    let mut reads = names.map(|name| Read { name, rates: vec![], page_rates: vec![], resident: 0.0, is_whole: true });
    for round in 0..runs.into_iter().max().unwrap_or(0) {
        for (read, runs) in reads.iter_mut().zip(runs) {
            if round < runs {
                let command = match read.name {
                    "xtask" => world.ours(&["--image", world::IMAGE]),
                    "script" => world.script(),
                    _ => world.boto3("/ecs/app", "app/web/any"),
                };
                one(read, command, &pages, &text, &world.path().join("out"));
            }
        }
    }
    (raw, reads.into())
}

/// Keeps that server up, for a profiler, and says how to run ours against it.
pub fn serve(tools: &Tools, lines: usize) {
    let fake = world::account(Life::new().at_once().exits(CODE));
    let pages = Pages::open(lines, world::address(&fake));
    let world = world::on_fake("serve", tools, &fake, &format!("http://127.0.0.1:{}", pages.port));
    let command = world.ours(&["--image", world::IMAGE]);
    let variables =
        command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let variables: Vec<String> = variables.collect();
    let words: Vec<_> = command.get_args().map(|it| it.display().to_string()).collect();
    let folder = world.path().join("project");
    println!(
        "cd {} && env -i {} {} {}",
        folder.display(),
        variables.join(" "),
        env!("CARGO_BIN_EXE_xtask"),
        words.join(" ")
    );
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn one(read: &mut Read, command: Command, pages: &Pages, text: &str, out: &std::path::Path) {
    pages.start();
    let mut process = Process::start_into(command, File::create(out).expect("the folder is ours"));
    let watch = process.watch_alone();
    let length = text.len() as u64;
    let mut done = None;
    let mut is_over = false;
    let most = if read.name == "script" { SCRIPT_PAGES } else { usize::MAX };
    while !is_over {
        let asked = pages.asked().clone();
        if asked.len() > most {
            drop(process);
            let (first, last) = (asked[0], asked[most]);
            read.rates.push((PAGE * most) as f64 / (last - first).as_secs_f64());
            read.page_rates.extend(rates(&asked));
            let printed = fs::read_to_string(out).unwrap_or_default();
            let lines = printed.split_once('\n').map_or("", |it| it.1);
            read.is_whole &= lines.len() > text.len() / pages.lines * PAGE && text.starts_with(lines);
            return;
        }
        is_over = process.is_over();
        if done.is_none() && fs::metadata(out).is_ok_and(|it| it.len() >= length) {
            done = Some(Instant::now());
        }
        read.resident = read.resident.max(watch.resident());
        thread::sleep(Duration::from_millis(5));
    }
    drop(process);
    let asked = pages.asked().clone();
    let printed = fs::read_to_string(out).unwrap_or_default();
    // The script says first what it has started.
    read.is_whole &= printed.ends_with(text) && printed.len() < text.len() + 300;
    let (Some(first), Some(done)) = (asked.first(), done) else {
        read.is_whole = false;
        return;
    };
    read.rates.push(pages.lines as f64 / (done - *first).as_secs_f64());
    read.page_rates.extend(rates(&asked));
}

/// Lines a second from each page to the next.
fn rates(asked: &[Instant]) -> impl Iterator<Item = f64> {
    asked.windows(2).map(|it| PAGE as f64 / (it[1] - it[0]).as_secs_f64())
}
