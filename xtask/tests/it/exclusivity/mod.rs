//! Never two ECS tasks at once, and never stuck: the proof of `exclusive`, explored to its end; and that the proof notices when what it
//! rests on is taken away. `benches/exclusive.rs` explores what takes minutes.

pub mod explore;
pub mod model;
pub mod small;

use explore::{Found, explore};
use model::{Model, World};
use xtask::exclusive::{Desired, Link, Place, RULES, Rules, token};

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

#[test]
fn production_is_as_the_model_needs_it() {
    let hour = 60 * 60_000;
    assert!(RULES.window <= hour, "in its window no token may expire, and nothing that has stopped be forgotten");
    assert!(RULES.quiet >= 2 * 60_000, "for as long as ListTasks lags nothing may be created at a window's end");
    assert!(RULES.attempt > 0 && RULES.quiet + RULES.attempt < RULES.window);
    assert_eq!(RULES.lists, [Desired::Running, Desired::Stopped]);
}

/// Crashes, lost requests, lost answers, any delays.
#[test]
fn three_callers_for_ever() {
    println!("{:?} states and moves", is_safe(world()));
}

/// What there is not the time for with three: failures that ECS remembers, requests that outlive their sender, three ECS tasks in a window.
#[test]
fn two_callers_with_the_rest() {
    let two = World { callers: 2, ..world() };
    for world in [World { orphans: 1, ..two }, World { failures: 1, ..two }, World { tasks: 3, ..two }] {
        println!("{:?} states and moves", is_safe(world));
    }
}

/// A token that does not name its window.
fn without_window(place: &Place, link: &Link) -> String {
    token(place, &Link { window: 0, ..link.clone() })
}

/// Each of them breaks it, and the model finds how.
#[test]
fn nothing_that_it_rests_on_can_be_left_out() {
    let good = World { callers: 2, tasks: 3, forgets_early: false, ..world() };
    let rules = good.rules;
    for (what, broken) in [
        ("the quiet end of a window", World { rules: Rules { quiet: 0, ..rules }, ..good }),
        ("the time that a request takes", World { rules: Rules { attempt: 0, ..rules }, ..good }),
        ("a window that is no longer than ECS's memory", World { rules: Rules { window: 5, ..rules }, ..good }),
        ("RUNNING first", World { rules: Rules { lists: [Desired::Stopped, Desired::Running], ..rules }, ..good }),
        ("STOPPED", World { rules: Rules { lists: [Desired::Running; 2], ..rules }, ..good }),
        ("RUNNING", World { rules: Rules { lists: [Desired::Stopped; 2], ..rules }, ..good }),
        ("the window in the token", World { token: without_window, ..good }),
    ] {
        match explore(&Model::new(broken), 3_000_000) {
            Found::Two(way) => println!("without {what}:\n  {}", way.join("\n  ")),
            other => panic!("without {what} nothing was found: {other:?}"),
        }
    }
}

/// What would wait for ever is found, too.
#[test]
fn a_window_that_is_quiet_from_end_to_end_is_found() {
    let never = World { rules: Rules { quiet: 3, ..world().rules }, callers: 1, ..world() };
    assert!(matches!(explore(&Model::new(never), 1_000), Found::Stuck(_)));
}
