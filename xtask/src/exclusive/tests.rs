//! The decisions one by one. That they keep two ECS tasks apart whatever happens is shown by `tests/it/exclusive_proof.rs`.

use super::*;
use crate::model::Overridden;

const WINDOW: i64 = 741_000;

/// Minutes into the window.
fn minutes(minutes: f64) -> Moment {
    let at = Timestamp(WINDOW * RULES.window + (minutes * 60_000.0) as i64);
    Moment { earliest: at, latest: at }
}

fn place() -> Place {
    Place { cluster: "arn:c".to_owned(), family: "xtask-staging-migrate".to_owned(), name: EXCLUSIVE.to_owned() }
}

fn link(last: Option<&str>, n: u32) -> Link {
    Link { window: WINDOW, last: last.map(str::to_owned), n }
}

fn run(link: &Link) -> Step {
    Step::Run(token(&place(), link))
}

fn claim() -> Claim {
    Claim::new(place(), "xtask/migrate/mine".to_owned(), RULES)
}

/// Created so many minutes into the window.
fn seen(arn: &str, status: Status, created: f64) -> Seen {
    Seen {
        arn: arn.to_owned(),
        status,
        created_at: Some(minutes(created).earliest),
        started_by: Some("xtask/migrate/theirs".to_owned()),
        in_chain: true,
        suffices: false,
    }
}

fn mine(arn: &str, status: Status, created: f64) -> Seen {
    Seen { started_by: Some("xtask/migrate/mine".to_owned()), ..seen(arn, status, created) }
}

#[test]
fn tokens_fit_and_say_all_of_their_link() {
    let base = link(Some("arn:1"), 0);
    let other_place = |change: fn(&mut Place)| {
        let mut place = place();
        change(&mut place);
        token(&place, &base)
    };
    let tokens = [
        token(&place(), &base),
        token(&place(), &link(None, 0)),
        token(&place(), &link(Some("arn:2"), 0)),
        token(&place(), &link(Some("arn:1"), 1)),
        token(&place(), &Link { window: WINDOW + 1, ..base.clone() }),
        other_place(|it| it.cluster = "arn:d".to_owned()),
        other_place(|it| it.family.push('x')),
        other_place(|it| it.name = "once-1".to_owned()),
    ];
    let distinct: std::collections::BTreeSet<&String> = tokens.iter().collect();
    assert_eq!(distinct.len(), tokens.len());
    assert!(tokens.iter().all(|it| it.len() == 64 && it.bytes().all(|it| (33..=126).contains(&it))));
    // Callers of different versions of this tool must agree on it.
    assert_eq!(tokens[1], "c4a8fb691aba5a3de44774bd204fbbbeea812f86c151eebc56719dfe226bd27c");
}

#[test]
fn a_look_gives_the_link_or_who_holds_the_place() {
    use Status::{Alive, Missing, Stopped};
    let held = |it: &str| Step::Held(vec![it.to_owned()]);
    let foreign = |it: Seen| Seen { in_chain: false, ..it };
    for (what, all, expected) in [
        ("nobody", vec![], run(&link(None, 0))),
        ("one that has stopped in this window", vec![seen("a", Stopped, 3.0)], run(&link(Some("a"), 0))),
        ("one of an earlier window", vec![seen("a", Stopped, -3.0)], run(&link(None, 0))),
        ("the newest of two", vec![seen("a", Stopped, 3.0), seen("b", Stopped, 2.0)], run(&link(Some("a"), 0))),
        ("one that was started without a claim", vec![foreign(seen("a", Stopped, 3.0))], run(&link(None, 0))),
        ("one that runs", vec![seen("a", Alive, 3.0), seen("b", Stopped, 2.0)], held("a")),
        ("one that runs since yesterday", vec![seen("a", Alive, -1500.0)], held("a")),
        ("one that runs without a claim", vec![foreign(seen("a", Alive, 3.0))], held("a")),
        ("one that ECS lists and does not describe", vec![seen("a", Missing, 3.0)], held("a")),
        ("an earlier one of this very run id", vec![mine("a", Stopped, 3.0)], run(&link(Some("a"), 0))),
    ] {
        let now = minutes(5.0);
        assert_eq!(claim().looked(now, &all, now), expected, "{what}");
    }
    let enough = Seen { suffices: true, ..seen("a", Stopped, -3.0) };
    let now = minutes(5.0);
    assert_eq!(claim().looked(now, std::slice::from_ref(&enough), now), Step::Suffices("a".to_owned()));
    assert_eq!(claim().looked(now, &[enough, seen("b", Alive, 1.0)], now), held("b"));
}

#[test]
fn nothing_is_sent_so_late_that_it_could_be_created_in_the_quiet_end() {
    let next = Step::Wait(minutes(40.0).earliest);
    for (at, now, expected) in [
        (5.0, 37.5, run(&link(None, 0))),
        (5.0, 37.6, next.clone()),
        (38.0, 38.0, next.clone()),
        (5.0, 39.99, next),
        (5.0, 40.0, Step::Look),
        (5.0, 500.0, Step::Look),
    ] {
        assert_eq!(claim().looked(minutes(at), &[], minutes(now)), expected, "{at} {now}");
    }
    // What is not known for certain counts against it, at both ends.
    let unsure = Moment { earliest: minutes(37.0).earliest, latest: minutes(40.1).latest };
    assert_eq!(claim().looked(minutes(5.0), &[], unsure), Step::Wait(minutes(40.0).earliest));
}

#[test]
fn a_conflict_says_who_holds_the_token() {
    let now = minutes(5.0);
    let mut claim = claim();
    claim.looked(now, &[], now);
    assert_eq!(claim.conflict(vec!["a".to_owned()], now), Step::Describe(vec!["a".to_owned()]));
    let alive = seen("a", Status::Alive, 4.0);
    assert_eq!(claim.clone().described(&[alive], now), Step::Held(vec!["a".to_owned()]));
    let missing = Seen { started_by: None, ..seen("a", Status::Missing, 4.0) };
    assert_eq!(claim.clone().described(&[missing], now), Step::Held(vec!["a".to_owned()]));
    let enough = Seen { suffices: true, ..seen("a", Status::Stopped, 4.0) };
    assert_eq!(claim.clone().described(&[enough], now), Step::Suffices("a".to_owned()));
    // Also where our own run id started it: before this process asked.
    assert_eq!(claim.clone().described(&[mine("a", Status::Stopped, 4.0)], now), run(&link(Some("a"), 0)));
    assert_eq!(claim.described(&[seen("a", Status::Stopped, 4.0)], now), run(&link(Some("a"), 0)));
    // And so on along the chain.
    assert_eq!(claim.conflict(vec!["b".to_owned()], now), Step::Describe(vec!["b".to_owned()]));
    assert_eq!(claim.described(&[seen("b", Status::Stopped, 4.5)], now), run(&link(Some("b"), 0)));
}

#[test]
fn a_conflict_with_nobody_is_believed_the_second_time() {
    let now = minutes(5.0);
    let mut claim = claim();
    claim.looked(now, &[], now);
    claim.failures();
    assert_eq!((claim.attempt, claim.again(now)), (2, run(&link(None, 0))), "the same token, other parameters");
    assert_eq!(claim.conflict(Vec::new(), now), Step::Pause);
    assert_eq!(claim.again(now), run(&link(None, 0)));
    assert_eq!(claim.conflict(Vec::new(), now), run(&link(None, 1)));
    assert_eq!(claim.conflict(Vec::new(), now), Step::Pause, "for the next token it begins anew");
    claim.conflict(vec!["a".to_owned()], now);
    claim.described(&[seen("a", Status::Stopped, 4.0)], now);
    assert_eq!(claim.conflict(Vec::new(), now), Step::Pause, "somebody was named in between");
}

#[test]
fn a_lost_answer_keeps_token_and_parameters_until_the_window_ends() {
    let now = minutes(5.0);
    let mut claim = claim();
    claim.looked(now, &[], now);
    claim.unanswered();
    assert_eq!((claim.attempt, claim.again(now)), (1, run(&link(None, 0))));
    // Of one that has stopped meanwhile the answer says no more than that; DescribeTasks says whose it is.
    let bare = Seen { started_by: None, created_at: None, in_chain: false, ..mine("a", Status::Stopped, 5.0) };
    assert_eq!(claim.clone().started(&bare, now), Step::Describe(vec!["a".to_owned()]));
    let ended = mine("a", Status::Stopped, 5.0);
    assert_eq!(claim.clone().described(std::slice::from_ref(&ended), now), Step::Won("a".to_owned()));
    // In the next window the lists know it, whatever has become of it.
    let later = minutes(41.0);
    assert_eq!(claim.clone().again(later), Step::Look);
    assert_eq!(claim.clone().looked(later, &[ended], later), Step::Won("a".to_owned()));
    let next = Link { window: WINDOW + 1, last: None, n: 0 };
    assert_eq!(claim.clone().looked(later, &[], later), run(&next), "it never came about");
    let other = seen("b", Status::Alive, 5.0);
    assert_eq!(claim.looked(later, &[other], later), Step::Held(vec!["b".to_owned()]));
}

#[test]
fn what_is_accepted_is_ours_unless_it_is_not() {
    let now = minutes(5.0);
    let mut claim = claim();
    claim.looked(now, &[], now);
    assert_eq!(claim.clone().started(&mine("a", Status::Alive, 5.0), now), Step::Won("a".to_owned()));
    assert_eq!(claim.clone().started(&seen("a", Status::Alive, 5.0), now), Step::Held(vec!["a".to_owned()]));
    assert_eq!(claim.clone().started(&seen("a", Status::Stopped, 5.0), now), run(&link(Some("a"), 0)));
    for created in [38.1, 40.0, 41.0, -0.1] {
        let late = mine("a", Status::Alive, created);
        assert_eq!(claim.clone().started(&late, now), Step::Misplaced("a".to_owned()), "{created}");
    }
}

#[test]
fn a_place_knows_its_own() {
    let task = |variable: &str| EcsTask {
        last_status: Some("DEPROVISIONING".to_owned()),
        overridden: Some(Overridden {
            variables: [(PLACE_VARIABLE.to_owned(), variable.to_owned())].into(),
            ..Overridden::default()
        }),
        ..EcsTask::default()
    };
    for (variable, expected) in
        [("exclusive/1", true), ("exclusive/12", true), ("once-1/1", false), ("exclusive", false)]
    {
        let seen = Seen::new("a", Some(&task(variable)), &place(), false);
        assert_eq!((seen.in_chain, seen.status), (expected, Status::Alive), "{variable}");
    }
    assert_eq!(Seen::new("a", None, &place(), false).status, Status::Missing);
    assert_eq!(place().variable(3), "exclusive/3");
}
