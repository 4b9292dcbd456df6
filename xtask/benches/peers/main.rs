//! Beside what people use today: the script with the aws CLI that many repositories have, ecs-deploy, a boto3 loop. Everybody against
//! the same servers on loopback, with 0, 20 and 100 ms of delay a call. Prints the tables with their ratios and goals and writes them
//! into docs/performance.md; with `--quick`, in two minutes, it prints them only.
//!
//!     cargo bench --profile xtask --package xtask --features benches --bench peers [-- --quick] [launch|build|stop|lines …]
//!
//! The peers come from PyPI, see install.sh; XTASK_BENCH_VENV names a folder that has them already. A docker engine, git and jq are
//! needed beside them.
#![expect(
    dead_code,
    unused_imports,
    clippy::needless_pass_by_value,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the fakes of the tests can do more than this needs, and a benchmark times processes from outside"
)]

#[path = "../../tests/it/fake/mod.rs"]
mod fake;
#[path = "../../tests/it/gateway/mod.rs"]
mod gateway;
mod launch;
mod lines;
#[path = "../page/mod.rs"]
mod page;
mod pages;
mod process;
mod proxy;
mod report;
mod stop;
mod world;

/// What the gateway of the fakes needs of the tests' harness.
mod harness {
    pub use crate::process::find_program;
}

use std::time::Instant;

use report::Report;
use stop::Ending;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let quick = words.iter().any(|it| it == "--quick");
    let parts: Vec<&str> = words.iter().map(String::as_str).filter(|it| !it.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let tools = world::Tools::install();
    if parts == ["serve"] {
        return lines::serve(&tools, 1_000_000);
    }
    let runs = if quick { 3 } else { 10 };
    let begun = Instant::now();
    let step = |what: &str| println!("[{:4.0} s] {what}", begun.elapsed().as_secs_f64());
    let mut report = Report::new(runs);
    // A part that fails says so on the page; the others are not lost with it.
    let mut failed = Vec::new();
    let mut part = |name: &'static str, measure: &mut dyn FnMut()| {
        if wanted(name) && std::panic::catch_unwind(std::panic::AssertUnwindSafe(measure)).is_err() {
            failed.push(name);
        }
    };
    part("launch", &mut || {
        step("from Enter to RunTask, without a build");
        report.without_build(&launch::without_build(&tools, runs));
    });
    part("build", &mut || {
        step("from Enter to RunTask, with the build");
        let (cached, changed, memory) = launch::with_build(&tools, runs);
        report.with_build(&cached, &changed, memory);
    });
    part("stop", &mut || {
        let settings: &[_] = if quick {
            &[(Ending::Later, 0)]
        } else {
            &[(Ending::Later, 0), (Ending::Later, 100), (Ending::AtOnce, 0)]
        };
        let mut stops = Vec::new();
        for (ending, delay) in settings {
            step(&format!("from STOPPED to the exit, {ending:?}, {delay} ms"));
            stops.push((*ending, *delay, stop::measure(&tools, runs, *ending, *delay)));
        }
        step("memory of whole runs");
        report.stops(&stops, &stop::memory(&tools, if quick { 1 } else { 2 }), stop::ecs_deploy(&tools));
    });
    part("lines", &mut || {
        step("a long output");
        let (lines, of_each) = if quick { (200_000, [3, 1, 1]) } else { (1_000_000, [10, 3, 1]) };
        let (raw, reads) = lines::measure(&tools, lines, of_each);
        report.lines(lines, raw, &reads);
    });
    step("done");
    let mut text = report.text();
    for name in &failed {
        text.push_str(&format!("\nThe part `{name}` failed in this run, and its figures are missing here.\n"));
    }
    println!("\n{text}");
    if !quick && parts.is_empty() {
        page::write("peers", &text);
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
