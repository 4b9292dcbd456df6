//! Which shard is launched when, and what the end is.

use super::*;

const NOW: Duration = Duration::ZERO;

fn fleet(of: u32, parallel: u32, keep_going: bool) -> Fleet {
    Fleet::new(Shards { of, chosen: (0..of).collect(), parallel, keep_going })
}

fn launch(fleet: &mut Fleet, now: Duration) -> Vec<u32> {
    let launched: Vec<u32> = std::iter::from_fn(|| fleet.next(now)).collect();
    for shard in &launched {
        fleet.launched(*shard);
    }
    launched
}

fn end(shard: u32, outcome: Outcome, exit_code: u8) -> ShardEnd {
    ShardEnd { shard, outcome, exit_code, task_arn: None, reason: None }
}

#[test]
fn so_many_at_a_time_until_all_have_run() {
    let mut fleet = fleet(5, 2, false);
    assert_eq!(launch(&mut fleet, NOW), [0, 1]);
    // The place is free when ECS says STOPPED, not when the output has been read.
    assert!(!fleet.stopped(1, Outcome::Succeeded, 0));
    assert_eq!(launch(&mut fleet, NOW), [2]);
    fleet.status(0, true);
    let expected = ShardCounts { waiting: 2, starting: 1, running: 2, succeeded: 0, failed: 0 };
    assert_eq!(fleet.counts(), expected);
    for shard in [1, 0, 2] {
        assert!(!fleet.over(end(shard, Outcome::Succeeded, 0)));
    }
    assert_eq!(launch(&mut fleet, NOW), [3, 4]);
    assert!(!fleet.is_over());
    fleet.over(end(3, Outcome::Succeeded, 0));
    fleet.over(end(4, Outcome::Succeeded, 0));
    assert!(fleet.is_over());
    let (outcome, exit_code, ends) = fleet.end();
    assert_eq!((outcome, exit_code, ends.failed.len()), (Outcome::Succeeded, 0, 0));
    assert_eq!(ends.outcomes, [("succeeded", 5)].into());
}

#[test]
fn the_first_failure_ends_it_or_not() {
    for keep_going in [false, true] {
        let mut fleet = fleet(4, 2, keep_going);
        launch(&mut fleet, NOW);
        assert_eq!(fleet.stopped(1, Outcome::Failed, 7), !keep_going);
        // Told once.
        assert!(!fleet.over(end(1, Outcome::Failed, 7)));
        assert!(!fleet.over(end(0, Outcome::Failed, 9)));
        let rest = launch(&mut fleet, NOW);
        assert_eq!(rest, if keep_going { vec![2, 3] } else { Vec::<u32>::new() });
        for shard in rest {
            fleet.over(end(shard, Outcome::Succeeded, 0));
        }
        assert!(fleet.is_over());
        let (outcome, exit_code, ends) = fleet.end();
        assert_eq!((outcome, exit_code), (Outcome::Failed, 7), "of the first in time");
        assert_eq!(ends.failed.iter().map(|it| it.shard).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(ends.not_run, if keep_going { Vec::<u32>::new() } else { vec![2, 3] });
    }
}

#[test]
fn without_room_they_wait_for_each_others_end() {
    let mut fleet = fleet(6, 6, false);
    assert_eq!(std::iter::from_fn(|| fleet.next(NOW)).count(), 6);
    for shard in 0..3 {
        fleet.launched(shard);
    }
    assert!(fleet.no_room(3, NOW));
    assert!(!fleet.no_room(4, NOW));
    assert!(fleet.others());
    assert!(!fleet.no_room(5, NOW));
    assert_eq!(fleet.busy(), 3);
    assert_eq!(launch(&mut fleet, NOW), [0; 0]);
    assert_eq!(fleet.wake_at(), Some(ROOM_AGAIN));
    fleet.over(end(0, Outcome::Succeeded, 0));
    assert_eq!(launch(&mut fleet, NOW), [3]);
    // There may be more room by now.
    assert_eq!(launch(&mut fleet, ROOM_AGAIN), [4]);
    for shard in 1..5 {
        fleet.over(end(shard, Outcome::Succeeded, 0));
    }
    assert_eq!(launch(&mut fleet, ROOM_AGAIN), [5]);
    // Alone, a lack of room is a failure like any other.
    assert!(!fleet.others());
}

#[test]
fn what_is_not_started_after_a_failure_has_not_run() {
    let mut fleet = fleet(4, 3, false);
    launch(&mut fleet, NOW);
    fleet.next(NOW);
    assert!(fleet.over(end(0, Outcome::Failed, 7)));
    let launching: Vec<u32> = (1..3).collect();
    for shard in launching {
        assert!(!fleet.is_over());
        fleet.withdrawn(shard);
    }
    assert!(fleet.is_over());
    let (outcome, exit_code, ends) = fleet.end();
    assert_eq!((outcome, exit_code, ends.not_run), (Outcome::Failed, 7, vec![1, 2, 3]));
}

#[test]
fn a_signal_counts_more_than_a_failure() {
    for (left, outcome) in [(Outcome::Interrupted, Outcome::Interrupted), (Outcome::Detached, Outcome::Detached)] {
        let mut fleet = fleet(3, 2, false);
        launch(&mut fleet, NOW);
        fleet.over(end(0, Outcome::Failed, 7));
        fleet.signal(15);
        fleet.signal(2);
        fleet.over(end(1, left, 143));
        assert!(fleet.is_over());
        let (ended, exit_code, ends) = fleet.end();
        assert_eq!((ended, exit_code, ends.not_run), (outcome, 143, vec![2]));
    }
}

#[test]
fn what_is_there_already_is_not_launched() {
    let mut fleet = fleet(3, 2, false);
    fleet.adopt(1);
    assert_eq!(launch(&mut fleet, NOW), [0]);
    fleet.over(end(1, Outcome::Succeeded, 0));
    assert_eq!(launch(&mut fleet, NOW), [2]);
}

#[test]
fn one_that_is_tried_again_leaves_its_place_and_comes_back_after_its_pause() {
    let later = Duration::from_secs(5);
    let mut fleet = fleet(3, 1, false);
    assert_eq!(launch(&mut fleet, NOW), [0]);
    fleet.stopped_for_now(0);
    assert_eq!(launch(&mut fleet, NOW), [1]);
    fleet.again(0, later);
    assert_eq!(fleet.wake_at(), Some(later));
    assert_eq!(fleet.counts().waiting, 2);
    fleet.over(end(1, Outcome::Succeeded, 0));
    // Its pause is not over.
    assert_eq!(launch(&mut fleet, NOW), [2]);
    fleet.over(end(2, Outcome::Succeeded, 0));
    assert!(!fleet.is_over());
    assert!(launch(&mut fleet, NOW).is_empty());
    assert_eq!(launch(&mut fleet, later), [0]);
    assert!(!fleet.over(end(0, Outcome::Succeeded, 0)));
    assert!(fleet.is_over());
    let (outcome, _, ends) = fleet.end();
    assert_eq!((outcome, ends.failed.len(), ends.not_run.len()), (Outcome::Succeeded, 0, 0));
}

#[test]
fn what_waits_for_an_attempt_when_all_is_halted_has_failed_and_was_run() {
    let mut fleet = fleet(2, 2, false);
    launch(&mut fleet, NOW);
    // Never launched by ECS: its place is given back just so.
    fleet.again(0, Duration::from_secs(5));
    assert!(fleet.over(end(1, Outcome::Failed, 7)));
    assert!(fleet.is_over() && fleet.wake_at().is_none());
    assert!(!fleet.over(end(0, Outcome::NeverStarted, 125)));
    let (_, exit_code, ends) = fleet.end();
    assert_eq!((exit_code, ends.failed.len(), ends.not_run.len()), (7, 2, 0));
}
