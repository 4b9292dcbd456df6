//! The proof of `exclusive`, as far as there is time for it in every test run; and that it notices when what it rests on is taken away.

use xtask::exclusive::{Desired, Link, Place, RULES, Rules, token};

use crate::exclusivity::explore::{Found, explore};
use crate::exclusivity::model::{Model, World};
use crate::exclusivity::{is_safe, world};

/// What the model takes for granted of the lengths in use.
#[test]
fn production_is_as_the_model_needs_it() {
    let Rules { window, quiet, attempt, lists } = RULES;
    let (minute, hour) = (60_000, 60 * 60_000);
    assert!(window <= hour, "in its window no token may expire, and nothing that has stopped be forgotten");
    assert!(quiet >= 2 * minute, "for as long as ListTasks lags nothing may be created at a window's end");
    assert!(attempt >= minute / 2 && quiet + attempt < window, "an attempt is given up after half a minute");
    assert_eq!(lists, [Desired::Running, Desired::Stopped]);
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
