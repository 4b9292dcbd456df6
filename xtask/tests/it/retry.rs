//! `retry`: another ECS task after an end that may pass, through the built binary and the fake AWS, and as processes of this machine.

use rustix::process::Signal as Number;
use serde_json::Value;

use crate::ecs::{TASKS, account_on, content_tag, project};
use crate::fake::state::sha256;
use crate::fake::{Fake, Fault, Life, Moment};
use crate::harness::{Ran, Running as Started, Signal, Test};
use crate::local::{Folder, Running};

const MINUTE: i64 = 60_000;

/// An account with the image in its repository.
fn account() -> Fake {
    account_on(Fake::new()).image("acme/app", &content_tag(), &sha256("app"))
}

fn retries(fake: &Fake, on: &str, attempts: u32) -> Test {
    project(fake).tasks(&format!("{TASKS}retry = {{ on = \"{on}\", attempts = {attempts} }}\n"))
}

const RUN: &str = "run db-migrate -e staging";

/// Loses its capacity while it runs.
fn spot() -> Life {
    Life::prints(["half", "lost"]).hurried(10_000).loses_spot_after(7_500)
}

fn pull_fails() -> Life {
    Life::never_starts("CannotPullContainerError: context canceled")
}

/// No ECS task was created before the one before it had stopped.
#[track_caller]
fn never_two_at_once(fake: &Fake) {
    let started = fake.started();
    let at = |it: &Value, name: &str| it[name].as_f64();
    for pair in started.windows(2) {
        let stopped = at(&pair[0].document, "stoppedAt").expect("it has stopped");
        let created = at(&pair[1].document, "createdAt").expect("it was created");
        assert!(stopped <= created, "{}", fake.story());
        // The one that starts it has seen so.
        assert_ne!(pair[0].request["clientToken"], pair[1].request["clientToken"]);
        assert_eq!(pair[0].request["startedBy"], pair[1].request["startedBy"]);
    }
}

fn finished(ran: &Ran) -> Value {
    let events = ran.events();
    assert_eq!(events.iter().filter(|it| it["event"] == "finished").count(), 1);
    let last = events.last().expect("there is a last event");
    assert_eq!(last["event"], "finished");
    last.clone()
}

/// Outcome, exit code and stop code of each attempt of the last event.
fn attempts(ran: &Ran) -> Vec<String> {
    let last = finished(ran);
    let attempts = last["attempts"].as_array().cloned().unwrap_or_default();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or("-").to_owned();
    attempts.iter().map(|it| format!("{} {} {}", text(it, "outcome"), it["exit_code"], text(it, "stop_code"))).collect()
}

#[test]
fn a_spot_interruption_is_followed_by_another_ecs_task() {
    let fake = account().next_life(spot()).next_life(spot()).task_life(Life::prints(["whole"]).at_once());
    let ran = retries(&fake, "spot", 3).run(RUN).code(0).stdout("half\nhalf\nwhole\n");
    assert_eq!(fake.started().len(), 3);
    assert_eq!((fake.count("RegisterTaskDefinition"), fake.count("GetCallerIdentity")), (1, 1));
    never_two_at_once(&fake);
    let ran = ran.stderr_has("    Retrying db-migrate in staging: attempt 2 of 3 in ");
    let ran =
        ran.stderr_has("s; stopped from outside; exit code 125; SpotInterruption: Your Spot Task was interrupted.");
    let ran = ran.stderr_has("    Finished db-migrate in staging: succeeded");
    let _ = ran.stderr_has("             attempt 3: succeeded (arn:").stderr_has("attempt 1: stopped from outside");
}

#[test]
fn the_last_event_lists_every_attempt() {
    let fake = account().next_life(spot()).task_life(spot());
    let ran = retries(&fake, "spot", 2).run(&format!("{RUN} --format json --run-id r1")).code(125);
    assert_eq!(attempts(&ran), ["stopped 125 SpotInterruption", "stopped 125 SpotInterruption"]);
    let last = finished(&ran);
    let arns: Vec<String> = fake.started().into_iter().map(|it| it.arn).collect();
    assert_eq!(last["attempts"][0]["task_arn"], arns[0].as_str());
    assert_eq!(last["attempts"][1]["task_arn"], arns[1].as_str());
    assert_eq!(last["task_arn"], arns[1].as_str());
    assert_eq!(last["attempts"][0]["reason"], "Your Spot Task was interrupted.");
    let retrying = ran.events().into_iter().find(|it| it["event"] == "retrying").expect("it says so");
    assert_eq!((&retrying["attempt"], &retrying["of"]), (&2.into(), &2.into()));
    assert_eq!(retrying["last"], last["attempts"][0]);
    let pause = retrying["pause"].as_f64().expect("it has a pause");
    assert!((3.75..=6.25).contains(&pause), "{pause}");
}

#[test]
fn one_attempt_is_no_history() {
    let fake = account().task_life(Life::new().at_once());
    let ran = retries(&fake, "any", 3).run(&format!("{RUN} --format json")).code(0);
    assert_eq!(finished(&ran).get("attempts"), None);
}

#[test]
fn each_policy_tries_its_own_endings_again() {
    let fails = || Life::new().exits(3).at_once();
    for (on, life, code, tries) in [
        ("never-started", pull_fails(), 125, 2),
        ("never-started", spot(), 125, 1),
        ("never-started", fails(), 3, 1),
        ("spot", pull_fails(), 125, 1),
        ("spot", fails(), 3, 1),
        ("spot", spot(), 125, 2),
        ("any", pull_fails(), 125, 2),
        ("any", spot(), 125, 2),
        ("any", fails(), 3, 2),
        ("any", Life::new().at_once(), 0, 1),
    ] {
        let fake = account().task_life(life);
        let _ = retries(&fake, on, 2).run(RUN).code(code);
        assert_eq!(fake.started().len(), tries, "{on} {code}\n{}", fake.story());
        never_two_at_once(&fake);
    }
}

#[test]
fn a_timeout_counts_for_each_attempt_and_only_any_tries_it_again() {
    for (on, tries) in [("any", 2), ("spot", 1), ("never-started", 1)] {
        let fake = account().task_life(Life::new().runs_forever());
        let _ = retries(&fake, on, 2).run(&format!("{RUN} --timeout 20s")).code(124);
        assert_eq!(fake.started().len(), tries, "{on}\n{}", fake.story());
        never_two_at_once(&fake);
    }
}

#[test]
fn no_room_is_waited_for_and_then_counts_as_an_attempt() {
    // A launch waits for room by itself; after that it is an attempt that never started.
    let without_room = |times: usize| {
        let mut fake = account().task_life(Life::prints(["done"]).at_once());
        for _ in 0..times {
            fake = fake.run_task_fails(&["Capacity is unavailable at this time"]);
        }
        fake
    };
    let fake = without_room(6);
    let ran = retries(&fake, "never-started", 2).run(&format!("{RUN} --format json")).code(0);
    assert_eq!(attempts(&ran), ["never-started 125 -", "succeeded 0 EssentialContainerExited"]);
    let fake = without_room(12);
    let ran = retries(&fake, "never-started", 2).run(&format!("{RUN} --format json")).code(125);
    assert_eq!(attempts(&ran), ["never-started 125 -", "never-started 125 -"]);
    assert!(ran.events().iter().any(|it| it["event"] == "error"), "{}", ran.all());
    // What will not pass is not tried again.
    let mut fake = account();
    for _ in 0..2 {
        fake = fake.run_task_fails(&["RESOURCE:MEMORY"]);
    }
    let _ = retries(&fake, "any", 2).run(RUN).code(125);
    assert_eq!(fake.count("RunTask"), 1);
}

#[test]
fn what_a_person_stopped_stays_stopped() {
    let fake = account().task_life(Life::prints(["on"]).runs_forever());
    let test = retries(&fake, "any", 5);
    let running = test.command(RUN.split(' ')).start();
    running.wait_for_stderr("Status RUNNING");
    fake.stop_task_from_outside("deploying");
    let _ = running.finish().code(125).stderr_lacks("Retrying");
    assert_eq!(fake.started().len(), 1);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let fake = account().task_life(Life::prints(["on"]).runs_forever());
        let test = retries(&fake, "any", 5);
        let running = test.command(RUN.split(' ')).start();
        running.wait_for_stderr("Status RUNNING");
        running.signal(signal);
        let _ = running.finish().code(code).stderr_lacks("Retrying");
        assert_eq!(fake.started().len(), 1);
    }
}

#[test]
fn a_signal_at_any_moment_leaves_nothing_running_and_starts_nothing_after() {
    // At the start of RunTask and after its answer, at each look and read of both attempts.
    let cases = [("RunTask", 1..3), ("DescribeTasks", 1..12), ("GetLogEvents", 1..8)];
    for (operation, calls) in cases {
        for call in calls {
            let fake = account().next_life(spot()).task_life(Life::prints(["on"]).runs_forever());
            let test = retries(&fake, "spot", 3);
            let child = test.child();
            fake.at_call(operation, call, Moment::Answered, move || child.signal(Signal::TERM));
            let ran = test.run(RUN);
            let what = format!("{operation} {call}\n{}\n{}", ran.all(), fake.story());
            assert_eq!(ran.exit_code(), Some(143), "{what}");
            fake.settle();
            assert!(fake.alive().is_empty(), "{what}");
            assert!(fake.started().len() <= 2, "{what}");
        }
    }
}

#[test]
fn a_signal_in_the_pause_ends_it() {
    // The pause is seconds of the fake's time; here it is as long as those of a person.
    let fake = account_on(Fake::with_speed(4.0)).image("acme/app", &content_tag(), &sha256("app"));
    let fake = fake.task_life(pull_fails());
    let test = retries(&fake, "any", 9);
    let running = test.command(format!("{RUN} --format json").split(' ')).start();
    running.wait_for_stdout("\"retrying\"");
    running.signal(Signal::INT);
    let ran = running.finish().code(130);
    assert_eq!(fake.started().len(), 1);
    assert_eq!(attempts(&ran), ["never-started 125 TaskFailedToStart"]);
    let last = finished(&ran);
    assert_eq!(last["outcome"], "interrupted");
    assert!(last["reason"].as_str().is_some_and(|it| it.contains("before attempt 2")), "{last}");
}

#[test]
fn a_lost_answer_in_the_second_attempt_starts_it_once() {
    for fault in [Fault::DropAfter, Fault::ServerErrorAfter, Fault::HalfBody, Fault::DropBefore, Fault::Throttle] {
        let fake = account().next_life(spot()).task_life(Life::prints(["whole"]).at_once());
        let fake = fake.fault("RunTask", 2, fault.clone());
        let _ = retries(&fake, "spot", 3).run(RUN).code(0).stdout("half\nwhole\n");
        assert_eq!(fake.started().len(), 2, "{fault:?}\n{}", fake.story());
        never_two_at_once(&fake);
    }
}

#[test]
fn the_first_attempt_is_not_taken_for_what_a_lost_answer_started() {
    // The second RunTask has no effect, and no attempt at it is answered: the ECS task of the first one has the same run id, and is a few
    // milliseconds old. It must not be taken for the second one's.
    let fake = account().task_life(pull_fails());
    let fake = fake.fault("RunTask", 2.., Fault::DropBefore);
    let ran = retries(&fake, "never-started", 2).run(&format!("{RUN} --format json")).code(125);
    let last = finished(&ran);
    assert_eq!(last["outcome"], "unknown", "{last}");
    assert_eq!(last.get("task_arn"), None, "{last}");
    assert_eq!(fake.started().len(), 1);
}

#[test]
fn an_exclusive_task_asks_for_its_place_anew() {
    for lag in [0, 2 * MINUTE] {
        let fake = account().next_life(spot()).task_life(Life::prints(["whole"]).at_once());
        let fake = fake.dates_by_its_clock().list_lag(lag);
        fake.advance((2 * MINUTE - fake.now()).rem_euclid(40 * MINUTE));
        let tasks = format!("{TASKS}exclusive = true\nretry = {{ on = \"spot\", attempts = 3 }}\n");
        let ran = project(&fake).tasks(&tasks).run(RUN).code(0).stdout("half\nwhole\n");
        assert_eq!(fake.started().len(), 2, "{}\n{}", ran.all(), fake.story());
        never_two_at_once(&fake);
    }
}

#[test]
fn of_exclusive_runs_that_try_again_no_two_run_at_once() {
    for seed in 0..3 {
        let fake = account().dates_by_its_clock().list_lag(MINUTE).latency(seed, 1..15);
        let fake = fake.fault("RunTask", 2, Fault::DropAfter).fault("RunTask", 4, Fault::ServerErrorAfter);
        let fake = fake.task_life(Life::prints(["half"]).hurried(20_000).loses_spot_after(2_000));
        fake.advance((2 * MINUTE - fake.now()).rem_euclid(40 * MINUTE));
        let tasks = format!("{TASKS}exclusive = true\nretry = {{ on = \"spot\", attempts = 3 }}\n");
        let test = project(&fake).tasks(&tasks);
        let start = || test.command(RUN.split(' ')).start();
        let ended = [start(), start(), start()].map(Started::finish);
        for ran in &ended {
            assert_eq!(ran.exit_code(), Some(125), "seed {seed}\n{}", ran.all());
        }
        let mut lives: Vec<(f64, f64)> = fake
            .started()
            .iter()
            .map(|it| {
                let at = |name: &str| it.document[name].as_f64().expect("it has stopped");
                (at("createdAt"), at("stoppedAt"))
            })
            .collect();
        lives.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(lives.len() >= 3, "{}", fake.story());
        for pair in lives.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "two at once: {lives:?}\n{}", fake.story());
        }
    }
}

#[test]
fn a_session_has_no_retry() {
    let fake = account();
    let tasks = format!("{TASKS}interactive = true\nretry = {{ on = \"any\", attempts = 2 }}\n");
    let ran = project(&fake).tasks(&tasks).run(RUN).code(2);
    let _ = ran.stderr_has("`retry` and `interactive` exclude each other");
    assert_eq!(fake.operations(), [""; 0]);
}

#[test]
fn a_need_is_tried_again_before_the_next_one() {
    let fake = account().next_life(spot()).task_life(Life::prints(["whole"]).at_once());
    let tasks = format!(
        "{TASKS}needs = [\"seed\"]\n[tasks.seed]\nimage = \"app\"\ncommand = [\"bin/seed\"]\nretry = {{ on = \"spot\", attempts = 2 }}\n"
    );
    let ran = project(&fake).tasks(&tasks).run(&format!("{RUN} --format json")).code(0);
    let by: Vec<String> = fake
        .started()
        .iter()
        .map(|it| it.request["startedBy"].as_str().and_then(|it| it.split('/').nth(1)).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(by, ["seed", "seed", "db-migrate"]);
    let events = ran.events();
    let of_seed = events.iter().find(|it| it["event"] == "finished").expect("the need has its end");
    assert_eq!((&of_seed["task"], of_seed["attempts"].as_array().map(Vec::len)), (&"seed".into(), Some(2)));
}

// ------------------------------------------------------------------------------------------------------- on this machine

/// A process that fails until it was started so often.
fn fails_until(times: u32, retry: &str) -> Folder {
    Folder::new(&format!(
        r#"default-environment = "local"
[environments.local]
runner = "host"
[tasks.t]
command = ["sh", "-c", "echo on >> runs; test $(wc -l < runs) -ge {times} || exit 7"]
retry = {retry}
"#
    ))
}

#[test]
fn a_process_that_fails_is_tried_again_by_any_alone() {
    let folder = fails_until(2, r#"{ on = "any", attempts = 3 }"#);
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, folder.read("runs").as_str()), (Some(0), "on\non\n"), "{}", ran.err());
    assert!(ran.err().contains("attempt 1: exit code 7"), "{}", ran.err());
    let folder = fails_until(9, r#"{ on = "any", attempts = 2 }"#);
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, folder.read("runs").as_str()), (Some(7), "on\non\n"));
    for on in ["spot", "never-started"] {
        let folder = fails_until(9, &format!("{{ on = \"{on}\", attempts = 3 }}"));
        assert_eq!((folder.run(&["run", "t"]).code, folder.read("runs").as_str()), (Some(7), "on\n"));
    }
}

#[test]
fn a_signal_to_a_process_is_its_last() {
    let folder = Folder::new(
        r#"default-environment = "local"
[environments.local]
runner = "host"
[tasks.t]
command = ["sh", "-c", "echo on >> runs; echo here; exec sleep 60"]
retry = { on = "any", attempts = 3 }
"#,
    );
    let mut running = Running::start(folder.xtask(&["run", "t"]));
    running.wait_for("here");
    running.signal(Number::TERM);
    let ran = running.finish();
    assert_eq!((ran.code, folder.read("runs").as_str()), (Some(143), "on\n"), "{}", ran.err());
}
