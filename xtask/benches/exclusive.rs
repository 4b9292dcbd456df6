//! Explores the model of exclusive runs further than the tests have time for: more at once, finer time, and everything that ECS keeps.
//! Not a measurement but a proof; optimised it takes a quarter of an hour on a busy machine and three gigabytes, most of both for the
//! last of them with its 7.6 million states.
//!
//!     cargo bench --package xtask --features benches --bench exclusive

#![expect(clippy::print_stdout, reason = "it says what it has explored")]

#[path = "../tests/it/exclusivity/mod.rs"]
mod exclusivity;

use std::time::Instant;

use exclusivity::model::World;
use exclusivity::{is_safe, world};
use xtask::exclusive::Rules;

fn main() {
    let fine = Rules { window: 6, quiet: 2, attempt: 1, ..world().rules };
    for (what, world) in [
        ("three callers", world()),
        ("three callers, three ECS tasks", World { tasks: 3, ..world() }),
        ("three callers, a request without a sender", World { orphans: 1, ..world() }),
        ("three callers, a failure that ECS remembers", World { failures: 1, ..world() }),
        ("two callers, three ECS tasks, both", World { callers: 2, tasks: 3, orphans: 1, failures: 1, ..world() }),
        ("two callers, all that ECS keeps", World { callers: 2, tasks: 3, forgets_early: false, ..world() }),
        ("two callers, finer time", World { rules: fine, lag: 2, hour: 6, day: 7, callers: 2, tasks: 3, ..world() }),
        ("three callers, a request without a sender, a failure", World { orphans: 1, failures: 1, ..world() }),
    ] {
        let start = Instant::now();
        let (states, moves) = is_safe(world);
        println!("{what}: {states} states, {moves} moves, nothing bad, {:.0} s", start.elapsed().as_secs_f64());
    }
}
