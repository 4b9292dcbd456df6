//! A task with `shards`, through the built binary and the fake AWS: many ECS tasks, their output, their end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::ecs::{TASKS, account, project};
use crate::fake::{ACCESS_KEY, Fake, Fault, Life, Moment, OnSigterm, Started};
use crate::faults::renews_at;
use crate::harness::{Ran, Signal, Terminal, Test, has_terminal};

/// The team's tasks.toml with a task of so many shards, more than 4 at a time.
fn with_shards(fake: &Fake, shards: u32, parallel: u32) -> Test {
    let task = format!(
        "\n[tasks.backfill]\nimage = \"deployed\"\ncommand = [\"bin/backfill\"]\nshards = {shards}\nparallel = {parallel}\n"
    );
    project(fake).tasks(&format!("{TASKS}{task}"))
}

fn variable(started: &Started, name: &str) -> String {
    let variables =
        started.request["overrides"]["containerOverrides"][0]["environment"].as_array().expect("there are some");
    let found = variables.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name} in {variables:?}"));
    found["value"].as_str().expect("a text").to_owned()
}

fn shard(started: &Started) -> u32 {
    variable(started, "XTASK_SHARD").parse().expect("a number")
}

fn shards(fake: &Fake) -> Vec<u32> {
    fake.started().iter().map(shard).collect()
}

/// The output's lines, sorted: shards write when they like.
fn lines(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran.stdout_text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn last(ran: &Ran) -> Value {
    ran.events().pop().expect("there are events")
}

/// Every shard once, whatever went wrong.
fn each_once(fake: &Fake, expected: std::ops::Range<u32>) {
    let mut started = shards(fake);
    started.sort_unstable();
    assert_eq!(started, expected.collect::<Vec<_>>(), "{}", fake.story());
}

#[test]
fn each_shard_is_an_ecs_task_and_its_lines_have_its_number() {
    let fake = account().task_life(Life::prints(["one", "two"]));
    let test = with_shards(&fake, 3, 3);
    let ran = test.run("run backfill -e staging").code(0);
    assert_eq!(lines(&ran), ["[0/3] one", "[0/3] two", "[1/3] one", "[1/3] two", "[2/3] one", "[2/3] two"]);
    each_once(&fake, 0..3);
    assert!(fake.started().iter().all(|it| variable(it, "XTASK_SHARDS") == "3"));
    let tokens: BTreeSet<String> =
        fake.sent("RunTask").iter().map(|it| it["clientToken"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(tokens.len(), 3);
    let text = ran.stderr_text();
    for expected in [
        "Launched [2/3] arn:aws:ecs:eu-west-1:111122223333:task/staging/[id]\n",
        "Finished [1/3] succeeded",
        "    Finished backfill in staging: succeeded",
        "of 3 shards: 3 succeeded\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn events_carry_the_shard_and_the_last_one_all_of_them() {
    let fake = account().task_life(Life::prints(["one"])).next_life(Life::prints(["one"]).exits(7));
    let test = with_shards(&fake, 3, 1);
    let ran = test.run("run backfill -e staging --format json --keep-going").code(7);
    let events = ran.events();
    for kind in ["launched", "status", "log", "finished"] {
        let of_shards: BTreeSet<Option<u64>> =
            events.iter().filter(|it| it["event"] == kind).map(|it| it["shard"].as_u64()).collect();
        let expected = [Some(0), Some(1), Some(2)].into_iter().chain((kind == "finished").then_some(None));
        assert_eq!(of_shards, expected.collect(), "{kind}\n{}", ran.all());
    }
    let last = last(&ran);
    assert_eq!((last["outcome"].as_str(), last["exit_code"].as_u64()), (Some("failed"), Some(7)));
    let arn = fake.started()[0].arn.clone();
    assert_eq!(
        last["shards"],
        json!({
            "of": 3,
            "outcomes": { "failed": 1, "succeeded": 2 },
            "failed": [{ "shard": 0, "outcome": "failed", "exit_code": 7, "task_arn": arn }],
            "not_run": [],
        })
    );
    let counts = events.iter().rfind(|it| it["event"] == "shards").expect("counts are told");
    assert_eq!((counts["succeeded"].as_u64(), counts["failed"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn no_more_than_parallel_are_alive() {
    let fake = Arc::new(account().task_life(Life::counts_to(2)));
    let test = with_shards(&fake, 6, 2);
    let most = Arc::new(AtomicUsize::new(0));
    for nth in 1..=6 {
        let (seen, most) = (Arc::clone(&fake), Arc::clone(&most));
        fake.at_call("RunTask", nth, Moment::Acted, move || {
            let alive = seen.started().iter().filter(|it| it.status != "STOPPED").count();
            most.fetch_max(alive, Ordering::SeqCst);
        });
    }
    let _ = test.run("run backfill -e staging").code(0);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    each_once(&fake, 0..6);
}

#[test]
fn the_first_failure_stops_the_others_and_says_how_to_go_on() {
    let long = || Life::counts_to(1).runs_forever().on_sigterm(OnSigterm::Exits(143, 200));
    let fake = account().next_life(long()).next_life(Life::new().exits(7)).task_life(long());
    let test = with_shards(&fake, 5, 3);
    let ran = test.run("run backfill -e staging --var BATCH=50 -- --since 2026-01-01").code(7);
    assert_eq!(shards(&fake).len(), 3);
    assert_eq!((fake.count("StopTask"), fake.alive().len()), (2, 0));
    let failed = shards(&fake)[1];
    let text = ran.stderr_text();
    for expected in [
        &format!(
            "warning: shard {failed} has failed: no more are started, and the 2 that run are stopped; --keep-going runs all\n"
        ),
        "of 5 shards: 1 failed, 2 not run, 2 stopped\n",
        &format!("[{failed}/5] exit code 7 (arn:"),
        "stopped: it was stopped because another shard failed; its container's exit code 143 does not count (arn:",
        "not run: 3,4\n",
        "hint: run them again with `cargo xtask run backfill --shard 0-4 --var BATCH=50 -e staging -- --since 2026-01-01`\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn keep_going_runs_all_and_the_line_runs_the_failed_ones_again() {
    let fake = account().next_life(Life::new().exits(3)).task_life(Life::prints(["done"]));
    let test = with_shards(&fake, 4, 1);
    let ran = test.run("run backfill -e staging --keep-going").code(3);
    each_once(&fake, 0..4);
    assert_eq!((lines(&ran).len(), fake.count("StopTask")), (3, 0));
    let text = ran.stderr_text();
    let line = text.split('`').find(|it| it.starts_with("cargo xtask run ")).expect("the line is told").to_owned();
    assert_eq!(line, "cargo xtask run backfill --shard 0 --keep-going -e staging");
    let again = test.run(line.strip_prefix("cargo xtask ").expect("it begins so")).code(0);
    assert_eq!(again.stdout_text(), "[0/4] done\n");
    let started = fake.started().pop().expect("it was started");
    assert_eq!((shard(&started), variable(&started, "XTASK_SHARDS")), (0, "4".to_owned()));
}

#[test]
fn shards_are_chosen_by_number() {
    let fake = account();
    let test = with_shards(&fake, 16, 4);
    let _ = test.run("run backfill -e staging --shard 3,7 --shard 9-11").code(0);
    let mut chosen = shards(&fake);
    chosen.sort_unstable();
    assert_eq!(chosen, [3, 7, 9, 10, 11]);
    for (words, expected) in [
        ("run backfill -e staging --shard 16", "error: --shard 16: `backfill` has 16 shards\n"),
        (
            "run db-migrate -e staging --shard 0",
            "error: --shard is for a task with `shards`, and `db-migrate` has none\n",
        ),
        ("run db-migrate -e staging --keep-going", "error: --keep-going is for a task with `shards`"),
        ("run backfill -e staging --shard x", "expected numbers from 0: 3, or 3,7,9-12"),
        ("run backfill -e staging --detach", "error: --detach leaves nobody to start more than the first 4 shards\n"),
        ("run backfill -e staging --once", "error: --once is for one ECS task, and `backfill` has `shards`\n"),
    ] {
        let _ = test.run(words).code(2).stderr_has(expected);
    }
    let ran = test.run("run backfill -e staging --shard 3 --dry-run").code(0);
    let text = ran.stderr_text();
    assert!(text.contains("shards                16, of them 3"), "{text}");
    assert!(text.contains("parallel              4 at a time"), "{text}");
    let _ = test.run("run backfill -e staging --detach --shard 0-3").code(0);
    assert_eq!((fake.count("RunTask"), fake.count("GetLogEvents") > 0), (9, true));
}

#[test]
fn a_signal_stops_all_of_them_and_a_second_leaves_them() {
    let long = Life::counts_to(1).runs_forever().on_sigterm(OnSigterm::Exits(143, 2_000));
    let fake = account().task_life(long);
    let test = with_shards(&fake, 12, 6);
    let running = test.command(["run", "backfill", "-e", "staging"]).start();
    running.wait_for_stdout("[5/12] 1\n");
    running.signal(Signal::TERM);
    let ran = running.finish().code(143);
    assert_eq!((fake.count("RunTask"), fake.count("StopTask"), fake.alive().len()), (6, 6, 0));
    let text = ran.stderr_text();
    for expected in [
        "warning: SIGTERM: no more shards are started, 6 are being stopped; the same signal again leaves them as they are\n",
        "Interrupted backfill in staging: interrupted; exit code 143",
        "of 12 shards: 6 interrupted, 6 not run\n",
        "run them again with `cargo xtask run backfill --shard 0-11 -e staging`\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(text.matches("SIGTERM: ").count(), 1, "{text}");

    let fake = account().task_life(Life::counts_to(1).runs_forever().on_sigterm(OnSigterm::Ignores));
    let test = with_shards(&fake, 3, 3);
    let running = test.command(["run", "backfill", "-e", "staging"]).start();
    running.wait_for_stdout("[2/3] 1\n");
    running.signal(Signal::INT);
    running.wait_for_stderr("SIGINT: ");
    running.signal(Signal::INT);
    let ran = running.finish().code(130);
    let text = ran.stderr_text();
    let run = variable(&fake.started()[0], "XTASK_RUN_ID");
    assert!(ran.all().contains(&format!("`cargo xtask stop --run {run} -e staging`")), "{text}");
    // Whether ECS had taken its stop by then, each is told by its ARN.
    for shard in 0..3 {
        let told = ["was left as it is", "is being stopped"].map(|it| format!("warning: shard {shard} {it}: arn:"));
        assert!(told.iter().any(|it| text.contains(it)), "{text}");
    }
    // The line stops them all, however many.
    let _ = test.run(&format!("stop --run {run} -e staging")).code(0);
    assert!(fake.alive().is_empty());
}

#[test]
fn a_stop_that_is_throttled_is_sent_again() {
    let long = Life::counts_to(1).runs_forever().on_sigterm(OnSigterm::Exits(143, 1_000));
    let fake = account().task_life(long).fault("StopTask", 2..=8, Fault::Throttle);
    let test = with_shards(&fake, 4, 4);
    let running = test.command(["run", "backfill", "-e", "staging"]).start();
    for shard in 0..4 {
        running.wait_for_stdout(&format!("[{shard}/4] 1\n"));
    }
    running.signal(Signal::TERM);
    let ran = running.finish().code(143).stderr_has("of 4 shards: 4 interrupted\n");
    assert!(fake.alive().is_empty(), "{}", ran.all());
    assert_eq!(fake.count("StopTask"), 4 + 7, "{}", fake.story());
}

#[test]
fn a_launch_that_nobody_waits_for_any_more_is_told() {
    let fake = account().task_life(Life::counts_to(1).runs_forever()).fault("RunTask", 3.., Fault::NeverAnswerAfter);
    let test = with_shards(&fake, 3, 3);
    let running = test.command(["run", "backfill", "-e", "staging"]).start();
    running.wait_for_stderr("Launched [");
    running.wait_for_stdout("] 1\n");
    running.signal(Signal::INT);
    running.wait_for_stderr("SIGINT: ");
    running.signal(Signal::INT);
    let ran = running.finish().code(130);
    let started = fake.started().iter().map(shard).collect::<BTreeSet<u32>>();
    assert_eq!(started, (0..3).collect(), "ECS has started all of them");
    let run = variable(&fake.started()[0], "XTASK_RUN_ID");
    let line = "and `cargo xtask stop --run [run] -e staging` stops them";
    let text = ran.stderr_text();
    assert!(text.contains("RunTask was not answered for shards ") && text.contains(line), "{text}");
    let _ = test.run(&format!("stop --run {run} -e staging")).code(0);
    assert!(fake.alive().is_empty());
}

#[test]
fn sighup_and_detach_leave_them() {
    for (key, signal, code) in [("", Signal::HUP, 129), ("on-interrupt = \"detach\"\n", Signal::INT, 130)] {
        let fake = account().task_life(Life::counts_to(1).runs_forever());
        let test = with_shards(&fake, 2, 2);
        let tasks = std::fs::read_to_string(test.project().join("tasks.toml")).expect("it is there");
        let test = test.tasks(&format!("{tasks}{key}"));
        let running = test.command(["run", "backfill", "-e", "staging"]).start();
        running.wait_for_stdout("[1/2] 1\n");
        running.wait_for_stdout("[0/2] 1\n");
        running.signal(signal);
        let _ = running.finish().code(code).stderr_has("of 2 shards: 2 detached\n");
        assert_eq!((fake.count("StopTask"), fake.alive().len()), (0, 2));
    }
}

#[test]
fn a_lost_answer_starts_no_second_ecs_task() {
    for fault in [Fault::DropAfter, Fault::DropBefore, Fault::ServerErrorAfter, Fault::HalfBody] {
        let fake = account().task_life(Life::prints(["x"])).fault("RunTask", 2, fault.clone());
        let test = with_shards(&fake, 4, 4);
        let ran = test.run("run backfill -e staging").code(0);
        each_once(&fake, 0..4);
        assert_eq!((lines(&ran).len(), fake.count("RunTask")), (4, 5), "{fault:?}");
    }
    // An answer that never comes, found by its shard among its like.
    let fake = account().task_life(Life::prints(["x"])).fault("RunTask", 2.., Fault::DropAfter);
    let test = with_shards(&fake, 3, 3);
    let ran = test.run("run backfill -e staging").code(0);
    each_once(&fake, 0..3);
    assert_eq!(lines(&ran), ["[0/3] x", "[1/3] x", "[2/3] x"], "{}", ran.all());
    let fake = account().task_life(Life::prints(["x"])).fault("RunTask", 2.., Fault::DropAfter);
    let ran = with_shards(&fake, 3, 3).run("run backfill -e staging --format json").code(0);
    let launched = ran.events().into_iter().filter(|it| it["event"] == "launched");
    let told: BTreeSet<(String, u64)> = launched
        .map(|it| (it["task_arn"].as_str().expect("an ARN").to_owned(), it["shard"].as_u64().expect("a number")))
        .collect();
    let started = fake.started().iter().map(|it| (it.arn.clone(), u64::from(shard(it)))).collect();
    assert_eq!(told, started, "{}", ran.all());
}

#[test]
fn throttling_slows_down_and_loses_nothing() {
    let fake = account()
        .task_life(Life::prints(["one", "two", "three"]))
        .fault("RunTask", 3..=8, Fault::Throttle)
        .fault("GetLogEvents", 2..=20, Fault::Throttle)
        .fault("DescribeTasks", 2..=3, Fault::Throttle);
    let test = with_shards(&fake, 8, 8);
    let ran = test.run("run backfill -e staging").code(0);
    each_once(&fake, 0..8);
    assert_eq!(lines(&ran).len(), 24, "{}", ran.all());
    let text = ran.stderr_text();
    assert_eq!(text.matches("cannot start the ECS task: ThrottlingException").count(), 1, "{text}");
    assert!(!text.contains("cannot read the output"), "{text}");
}

#[test]
fn credentials_that_expire_are_asked_for_again_at_their_source() {
    let fake = account()
        .task_life(Life::counts_to(9).runs(8_000))
        .fault("DescribeTasks", 4.., Fault::ExpiredKey(ACCESS_KEY))
        .fault("GetLogEvents", 6.., Fault::ExpiredKey(ACCESS_KEY));
    let test = renews_at(&fake, with_shards(&fake, 3, 3), 6);
    let ran = test.run("run backfill -e staging").code(0).stderr_has("renew the credentials");
    each_once(&fake, 0..3);
    assert_eq!(lines(&ran).len(), 27, "{}", ran.all());
}

#[test]
fn with_room_for_half_the_rest_waits() {
    let fake = account().task_life(Life::prints(["x"])).room_for(4, "RESOURCE:MEMORY");
    let test = with_shards(&fake, 8, 8);
    let ran = test.run("run backfill -e staging").code(0);
    each_once(&fake, 0..8);
    let text = ran.stderr_text();
    assert_eq!(text.matches("no room for more than 4 at a time").count(), 1, "{text}");
    assert!(text.contains("; what does not fit waits for the end of others\n"), "{text}");
}

#[test]
fn spot_in_the_middle_is_the_end_of_its_shard() {
    let fake = account().next_life(Life::counts_to(3).loses_spot_after(1_000)).task_life(Life::prints(["x"]));
    let test = with_shards(&fake, 3, 1);
    let ran = test.run("run backfill -e staging --keep-going").code(125);
    let text = ran.stderr_text();
    assert!(text.contains("[0/3] stopped: its capacity was taken away"), "{text}");
    assert!(text.contains("--shard 0 --keep-going -e staging`"), "{text}");
}

#[test]
fn one_call_asks_for_many() {
    let fake = account().task_life(Life::counts_to(3).runs(60_000));
    let test = with_shards(&fake, 20, 20);
    let _ = test.run("run backfill -e staging").code(0);
    let asked: Vec<usize> =
        fake.sent("DescribeTasks").iter().map(|it| it["tasks"].as_array().map_or(0, Vec::len)).collect();
    // Where no call is under way for long, all 20 share one; each alone would be over a thousand.
    assert!(asked.iter().any(|it| *it >= 10) && asked.len() < 100, "{asked:?}");
    // Two reads of each stream, and what was left over for those that were written.
    assert!(fake.count("GetLogEvents") >= 40, "{}", fake.count("GetLogEvents"));
}

#[test]
fn the_same_shards_are_not_started_a_second_time() {
    let fake = account().task_life(Life::counts_to(1).runs_forever());
    let test = with_shards(&fake, 4, 4);
    let _ = test.run("run backfill -e staging --detach --shard 0-2 --run-id first").code(0);
    let refused = test.run("run backfill -e staging").code(2);
    let text = refused.stderr_text();
    for expected in ["not started a second time in `staging`", "shards that run: 0-2\n", "stop --run first -e staging"]
    {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(fake.count("RunTask"), 3);
    // Another shard is nobody's twin.
    let _ = test.run("run backfill -e staging --detach --shard 3").code(0);
    let _ = test.run("run backfill -e staging --detach --shard 1 --start-another").code(0);
    assert_eq!(fake.count("RunTask"), 5);
    // The same run follows what it has started.
    let running = test.command(["run", "backfill", "-e", "staging", "--shard", "0-2", "--run-id", "first"]).start();
    running.wait_for_stdout("[2/4] 1\n");
    fake.stop_task_from_outside("deploying");
    let _ = running.finish().code(125).stderr_has("this run has started shards 0-2 of `backfill` already");
    assert_eq!(fake.count("RunTask"), 5);
}

/// A task of processes on this machine.
fn on_the_host(script: &str, keys: &str) -> Test {
    Test::new().tasks(&format!(
        "[environments.local]\nrunner = \"host\"\n[tasks.backfill]\ncommand = [\"/bin/sh\", \"-c\", '''{script}''']\n{keys}"
    ))
}

#[test]
fn on_the_host_shards_are_processes_one_after_the_other() {
    let test = on_the_host("echo \"$XTASK_SHARD of $XTASK_SHARDS\"; echo two", "shards = 3\n");
    let ran = test.run("run backfill").code(0);
    assert_eq!(ran.stdout_text(), "[0/3] 0 of 3\n[0/3] two\n[1/3] 1 of 3\n[1/3] two\n[2/3] 2 of 3\n[2/3] two\n");
    let ran = ran.stderr_has("Running [2/3]\n").stderr_has("Finished [1/3] succeeded after");
    let _ = ran.stderr_has("of 3 shards: 3 succeeded\n");
    // A single one is a run like any other.
    let test = on_the_host("echo \"$XTASK_SHARD of $XTASK_SHARDS\"", "shards = 1\n");
    assert_eq!(test.run("run backfill").code(0).stdout_text(), "0 of 1\n");
}

/// Both streams have the number, and the table of those that run stands below what they print.
#[test]
fn on_the_host_both_streams_come_by_the_line_above_a_live_table() {
    let script = "echo out; echo err >&2; printf 'no newline' >&2; while ! [ -e go ]; do /bin/sleep 0.1; done";
    let test = on_the_host(script, "shards = 5\nparallel = 2\n");
    if !has_terminal() {
        return;
    }
    let running = test.command(["run", "backfill"]).terminal(Terminal::All).start();
    // Drawn, and drawn anew over itself: which seconds are seen depends on the machine.
    let line = "2 running, 3 waiting of 5 shards ";
    running
        .wait_until("the table twice", |it| it.matches(line).count() > 1 && it.matches("[1/5] RUNNING ").count() > 1);
    test.write("go", "");
    let ran = running.finish().code(0);
    let lines: Vec<String> = ran.screen().lines().map(str::to_owned).collect();
    for shard in 0..5 {
        for said in ["out", "err", "no newline"] {
            let line = format!("[{shard}/5] {said}");
            assert_eq!(lines.iter().filter(|it| **it == line).count(), 1, "{line}\n{}", ran.screen());
        }
    }
    assert!(!ran.screen().contains(" RUNNING"), "the table is gone:\n{}", ran.screen());
    assert!(
        ran.screen().contains("             shards    5\n             parallel  2 at a time\n"),
        "{}",
        ran.screen()
    );

    let ran = test.run("run backfill --format json").code(0);
    let _ = ran.stderr_has("[0/5] err\n").stderr_has("[4/5] no newline\n");
}

#[test]
fn on_the_host_a_failure_and_a_signal_end_the_others() {
    let script =
        "echo up; if [ $XTASK_SHARD = 1 ]; then while ! [ -e go ]; do :; done; exit 7; fi; while :; do :; done";
    let test = on_the_host(script, "shards = 4\nparallel = 2\n");
    let running = test.command(["run", "backfill"]).start();
    running.wait_for_stdout("[0/4] up\n");
    running.wait_for_stdout("[1/4] up\n");
    test.write("go", "");
    let ran = running.finish().code(7);
    let ran = ran.stderr_has("shard 1 has failed: no more are started, and those that run are stopped");
    let ran = ran.stderr_has("of 4 shards: 1 failed, 2 not run, 1 stopped\n").stderr_has("[1/4] exit code 7\n");
    let _ = ran.stderr_has("hint: run them again with `cargo xtask run backfill --shard 0-3 -e local`\n");

    let test = on_the_host("echo up; while :; do :; done", "shards = 3\nparallel = 3\n");
    let running = test.command(["run", "backfill"]).start();
    for shard in 0..3 {
        running.wait_for_stdout(&format!("[{shard}/3] up\n"));
    }
    running.signal(Signal::TERM);
    let _ = running.finish().code(143).stderr_has("of 3 shards: 3 interrupted\n");

    let test = on_the_host("exit $XTASK_SHARD", "shards = 3\n");
    let _ = test.run("run backfill --keep-going").code(1).stderr_has("of 3 shards: 2 failed, 1 succeeded\n");
}

#[test]
fn one_of_a_run_has_to_be_named() {
    let fake = account().task_life(Life::counts_to(2).runs_forever());
    let test = with_shards(&fake, 3, 3);
    let _ = test.run("run backfill -e staging --detach --run-id many").code(0);
    let ps = test.run("ps -e staging").code(0).stdout_text();
    for shard in 0..3 {
        assert!(ps.contains(&format!("backfill [{shard}/3]")), "{ps}");
    }
    let refused = test.run("logs backfill -e staging").code(2);
    let _ = refused.stderr_has("`backfill` runs in shards: the newest run has 3 ECS tasks").stderr_has("[id] [0/3], ");
    let started = fake.started();
    let second = started.iter().find(|it| shard(it) == 1).expect("it was started");
    let id = second.arn.rsplit('/').next().expect("an id").to_owned();
    let running = test.command(["attach", &id, "-e", "staging"]).start();
    running.wait_for_stdout("2\n");
    let stop = test.run("stop --run many -e staging").code(0).stdout_text();
    assert_eq!(stop.lines().filter(|it| it.starts_with("stopped: backfill [id] stopped: ")).count(), 3, "{stop}");
    let _ = running.finish().code(125);
    assert!(fake.alive().is_empty());
}

fn with_retry(fake: &Fake, shards: u32, retry: &str) -> Test {
    let task = format!(
        "\n[tasks.backfill]\nimage = \"deployed\"\ncommand = [\"bin/backfill\"]\nshards = {shards}\nretry = {retry}\n"
    );
    project(fake).tasks(&format!("{TASKS}{task}"))
}

#[test]
fn a_shard_that_loses_its_capacity_is_tried_again_and_the_others_go_on() {
    let spot = || Life::prints(["half"]).hurried(10_000).loses_spot_after(7_500);
    let fake = account().task_life(Life::prints(["whole"]).at_once()).next_life(spot());
    let test = with_retry(&fake, 3, "{ on = \"spot\", attempts = 3 }");
    let ran = test.run("run backfill -e staging --format json").code(0);
    let mut started = shards(&fake);
    started.sort_unstable();
    let again: Vec<u32> = (0..3).filter(|it| started.iter().filter(|shard| *shard == it).count() == 2).collect();
    let [again] = again[..] else { panic!("one of them twice: {started:?}") };
    assert_eq!(started.len(), 4, "{}", fake.story());
    // Never two at once, and each with a token of its own.
    let attempts: Vec<Started> = fake.started().into_iter().filter(|it| shard(it) == again).collect();
    let time = |it: &Started, name: &str| it.document[name].as_f64().expect("a time");
    assert!(time(&attempts[0], "stoppedAt") <= time(&attempts[1], "createdAt"), "{}", fake.story());
    assert_ne!(attempts[0].request["clientToken"], attempts[1].request["clientToken"]);
    let events = ran.events();
    let retrying: Vec<&Value> = events.iter().filter(|it| it["event"] == "retrying").collect();
    assert_eq!(retrying.len(), 1);
    assert_eq!((&retrying[0]["shard"], &retrying[0]["attempt"]), (&json!(again), &json!(2)));
    let ends: Vec<&Value> = events.iter().filter(|it| it["event"] == "finished" && it["shard"] == again).collect();
    assert_eq!(ends.len(), 1, "its end is told once");
    let made = ends[0]["attempts"].as_array().expect("it tells all attempts");
    let outcomes: Vec<&Value> = made.iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["stopped", "succeeded"]);
    assert_eq!(last(&ran)["shards"]["outcomes"], json!({ "succeeded": 3 }));
    let logged = events.iter().filter(|it| it["event"] == "log" && it["message"] == "whole").count();
    assert_eq!(logged, 3, "each attempt's output is its own");
}

#[test]
fn a_shard_that_fails_to_the_last_attempt_ends_the_others() {
    let fake = account().task_life(Life::prints(["x"]).exits(7).at_once());
    let test = with_retry(&fake, 2, "{ on = \"any\", attempts = 2 }\nparallel = 1");
    let ran = test.run("run backfill -e staging").code(7);
    // The place of one that waits for its next attempt is another one's meanwhile.
    assert_eq!(shards(&fake)[..2], [0, 1], "{}", fake.story());
    let text = ran.stderr_text();
    assert!(text.contains("Retrying [0/2] attempt 2 of 2 in ") && text.contains("; exit code 7; "), "{text}");
    // Whichever of the two pauses is over first.
    assert!((0..2).any(|it| text.contains(&format!("shard {it} has failed: no more are started"))), "{text}");
    assert!(text.contains("[0/2] exit code 7 ") && text.contains("[1/2] exit code 7 "), "{text}");
    assert_eq!(fake.started().len(), shards(&fake).len());
    assert!(fake.started().len() <= 4, "{}", fake.story());
}

#[test]
fn a_signal_in_the_pause_of_a_shard_ends_it_as_its_last_attempt_ended() {
    let test = on_the_host("echo up; exit 3", "shards = 2\nparallel = 2\nretry = { on = \"any\", attempts = 9 }\n");
    let running = test.command(["run", "backfill"]).start();
    running.wait_for_stderr("Retrying [1/2] attempt 4 of 9");
    running.wait_for_stderr("Retrying [0/2] attempt 4 of 9");
    running.signal(Signal::INT);
    let ran = running.finish().code(130);
    let _ = ran.stderr_has("of 2 shards: 2 failed\n").stderr_has("[1/2] exit code 3\n");
}

#[test]
fn on_the_host_each_shard_is_tried_again_by_itself() {
    let script = "echo \"$XTASK_SHARD\"; [ $XTASK_SHARD = 0 ] || [ -e tried ] || { : > tried; exit 5; }";
    let test = on_the_host(script, "shards = 2\nparallel = 2\nretry = { on = \"any\", attempts = 2 }\n");
    let ran = test.run("run backfill").code(0);
    assert_eq!(lines(&ran), ["[0/2] 0", "[1/2] 1", "[1/2] 1"]);
    let _ =
        ran.stderr_has("Retrying [1/2] attempt 2 of 2 in 1s; exit code 5\n").stderr_has("of 2 shards: 2 succeeded\n");
}
