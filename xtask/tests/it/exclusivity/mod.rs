//! Never two ECS tasks at once, and never stuck: a model of `exclusive`, and its exploration to the end. `exclusive_proof.rs` does it in
//! every test run, `benches/exclusive.rs` goes further.

pub mod explore;
pub mod model;
pub mod small;

use explore::{Found, explore};
use model::{Model, World};
use xtask::exclusive::{RULES, Rules, token};

/// Lengths in ticks that are to each other as production's are at the least: the lists lag one tick, a request takes up to one, a
/// window is three, and ECS forgets after three, where production's hour has a third to spare.
pub fn world() -> World {
    World {
        rules: Rules { window: 3, quiet: 1, attempt: 1, lists: RULES.lists },
        lag: 1,
        hold: 1,
        hour: 3,
        day: 4,
        callers: 3,
        tasks: 2,
        orphans: 0,
        failures: 0,
        token,
        forgets_early: true,
    }
}

/// The numbers of states and moves of a world in which nothing bad was found.
#[track_caller]
pub fn is_safe(world: World) -> (usize, usize) {
    match explore(&Model::new(world), 100_000_000) {
        Found::Nothing { states, moves } => (states, moves),
        Found::Two(way) => panic!("two ECS tasks at once:\n{}", way.join("\n")),
        Found::Stuck(way) => panic!("a run that cannot end:\n{}", way.join("\n")),
    }
}
