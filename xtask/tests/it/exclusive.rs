//! `exclusive`, `--attach-if-running` and `--once`: several processes of the built binary at a time against the fake AWS. That no order of
//! events breaks it is explored by `exclusive_proof`; here is that the binary does what was explored.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ecs::{TASKS, account_on, content_tag, project};
use crate::fake::random::Random;
use crate::fake::state::sha256;
use crate::fake::{Fake, Fault, Life, OnSigterm};
use crate::harness::child::Running;
use crate::harness::{Ran, Signal, Test};

const MINUTE: i64 = 60_000;
const WINDOW: i64 = 40 * MINUTE;

/// An account whose clock is so many minutes into a window, with the image in its repository.
fn account(minutes: i64) -> Fake {
    let fake = account_on(Fake::new()).image("acme/app", &content_tag(), &sha256("app")).dates_by_its_clock();
    to_minute(&fake, minutes);
    fake
}

/// Moves the clock on to that minute of a window.
fn to_minute(fake: &Fake, minutes: i64) {
    fake.advance((minutes * MINUTE - fake.now()).rem_euclid(WINDOW));
}

fn exclusive(fake: &Fake) -> Test {
    project(fake).tasks(&TASKS.replace("[tasks.db-migrate]", "[tasks.db-migrate]\nexclusive = true"))
}

/// From when to when each ECS task was there, by ECS's own time stamps, in the order of their creation.
fn lives(fake: &Fake) -> Vec<(f64, f64)> {
    let mut lives: Vec<(f64, f64)> = fake
        .started()
        .iter()
        .map(|it| {
            let at = |name: &str| it.document[name].as_f64();
            (at("createdAt").expect("it was created"), at("stoppedAt").unwrap_or(f64::INFINITY))
        })
        .collect();
    lives.sort_by(|one, other| one.0.total_cmp(&other.0));
    lives
}

#[track_caller]
fn never_two_at_once(fake: &Fake) {
    let lives = lives(fake);
    for pair in lives.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two at once: {lives:?}\n{}", fake.story());
    }
}

fn last_event(ran: &Ran) -> Value {
    ran.events().pop().expect("the last event is `finished`")
}

fn tokens(fake: &Fake) -> Vec<String> {
    fake.sent("RunTask").iter().map(|it| it["clientToken"].as_str().expect("it has a token").to_owned()).collect()
}

#[test]
fn of_three_at_once_one_runs_and_the_others_hear_who_does() {
    for (seed, fault) in
        [(1, None), (2, Some(Fault::DropAfter)), (3, Some(Fault::DropBefore)), (4, Some(Fault::ServerErrorAfter))]
    {
        // ListTasks knows it only after two minutes: only the tokens keep the others away.
        let life = Life::prints(["done"]).runs(15 * MINUTE);
        let mut fake = account(2).task_life(life).list_lag(2 * MINUTE).missing_first(2).latency(seed, 1..20);
        if let Some(fault) = fault {
            fake = fake.fault("RunTask", 1, fault);
        }
        let test = exclusive(&fake);
        let start = || test.command(["run", "db-migrate", "-e", "staging"]).start();
        let running = [start(), start(), start()];
        let deadline = Instant::now() + Duration::from_secs(20);
        let has_lost = |it: &&Running<'_>| it.so_far().contains("another one is running");
        while running.iter().filter(has_lost).count() < 2 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        fake.advance(15 * MINUTE);
        let ended: Vec<Ran> = running.map(Running::finish).into();
        assert_eq!(fake.started().len(), 1, "seed {seed}\n{}", fake.story());
        let (won, lost): (Vec<&Ran>, Vec<&Ran>) = ended.iter().partition(|it| it.exit_code() == Some(0));
        assert_eq!((won.len(), lost.len()), (1, 2), "seed {seed}\n{}\n{}", ended[0].all(), fake.story());
        assert_eq!(won[0].stdout_text(), "done\n");
        for lost in lost {
            let lost =
                lost.clone().code(125).stdout("").stderr_has("`db-migrate` runs already: ECS task [id], started by");
            let _ =
                lost.stderr_has("another one is running").stderr_has("--attach-if-running").stderr_lacks("Launched");
        }
        let first = &tokens(&fake)[0];
        assert!(tokens(&fake).iter().all(|it| it == first), "all ask for the same link");
    }
}

#[test]
fn three_callers_that_crash_and_lose_answers_never_run_two() {
    for seed in 0..2 {
        let life = Life::new().runs(20_000).takes_to_stop(8_000);
        let fake = account(1).task_life(life).list_lag(2 * MINUTE).latency(seed, 1..15);
        let mut random = Random::new(seed + 100);
        let mut fake = fake;
        for call in 1..40 {
            if random.below(4) == 0 {
                let faults =
                    [Fault::DropAfter, Fault::DropBefore, Fault::ServerErrorAfter, Fault::HalfBody, Fault::Throttle];
                fake = fake.fault("RunTask", call, faults[random.below(5) as usize].clone());
            }
        }
        let test = exclusive(&fake);
        for round in 0..3 {
            let mut running = Vec::new();
            for _ in 0..3 {
                running.push(test.command(["run", "db-migrate", "-e", "staging", "--attach-if-running"]).start());
                std::thread::sleep(Duration::from_millis(random.below(60)));
            }
            if round % 2 == 1 {
                std::thread::sleep(Duration::from_millis(random.below(120)));
                running[random.below(3) as usize].signal(Signal::KILL);
            }
            for it in running {
                let ran = it.finish();
                assert!(matches!(ran.exit_code(), Some(0) | None), "seed {seed}\n{}\n{}", ran.all(), fake.story());
            }
        }
        never_two_at_once(&fake);
        assert!(!fake.started().is_empty());
    }
}

#[test]
fn one_after_the_other_each_asks_for_the_next_link() {
    let fake = account(1).task_life(Life::new().at_once()).list_lag(2 * MINUTE);
    let test = exclusive(&fake);
    for _ in 0..3 {
        let _ = test.run("run db-migrate -e staging").code(0);
    }
    never_two_at_once(&fake);
    // The lists lag, so each begins at the window's first link and walks along the chain.
    let tokens = tokens(&fake);
    let links = [&tokens[0], &tokens[2], &tokens[5]];
    assert_eq!(tokens, [links[0], links[0], links[1], links[0], links[1], links[2]].map(Clone::clone));
    // In the next window the chain begins anew, and the lists say what there was.
    to_minute(&fake, 1);
    let _ = test.run("run db-migrate -e staging").code(0);
    let _ = test.run("run db-migrate -e staging").code(0);
    assert_eq!(fake.started().len(), 5);
}

#[test]
fn what_runs_for_days_holds_its_place() {
    let fake = account(1).task_life(Life::new().runs_forever());
    let test = exclusive(&fake);
    let _ = test.run("run db-migrate -e staging --detach").code(0);
    for time in [0, WINDOW, 60 * MINUTE, 25 * 60 * MINUTE] {
        fake.advance(time);
        to_minute(&fake, 1);
        let ran = test.command(["run", "db-migrate", "-e", "staging", "--format", "json"]).run().code(125);
        let last = last_event(&ran);
        assert_eq!((last["outcome"].as_str(), last["exit_code"].as_u64()), (Some("already-running"), Some(125)));
        assert_eq!(last["task_arn"].as_str(), Some(fake.started()[0].arn.as_str()));
    }
    assert_eq!((fake.count("RunTask"), fake.count("StopTask")), (1, 0));
    // The loser has built and registered nothing.
    assert_eq!(fake.count("RegisterTaskDefinition"), 1);
}

#[test]
fn one_in_the_grace_of_its_sigterm_still_holds_the_place() {
    let life = Life::new().runs_forever().on_sigterm(OnSigterm::Exits(0, 20_000)).takes_to_stop(60 * MINUTE);
    let fake = account(1).task_life(life);
    let test = exclusive(&fake);
    let _ = test.run("run db-migrate -e staging --detach").code(0);
    fake.advance(WINDOW);
    let arn = fake.started()[0].arn.clone();
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let stopping = test.command(["stop", &id, "-e", "staging"]).start();
    stopping.wait_for_stderr("Status");
    let _ = test.run("run db-migrate -e staging").code(125).stderr_has("another one is running");
    stopping.signal(Signal::KILL);
    let _ = stopping.finish();
    assert_eq!(fake.count("RunTask"), 1);
}

#[test]
fn nothing_starts_in_the_last_minutes_of_a_window() {
    let fake = account(38).task_life(Life::new().at_once());
    let _ = exclusive(&fake)
        .run("run db-migrate -e staging")
        .code(0)
        .stderr_has("warning: waiting for")
        .stderr_has("exclusive runs start in windows of 40m");
    let created = lives(&fake)[0].0 as i64 % (WINDOW / 1000);
    assert!(created < 60, "created {created} s into the window");
}

#[test]
fn a_lost_answer_is_found_again_in_the_same_window_or_the_next() {
    // Over before anybody asks again: the answer says no more than that it has stopped.
    let fake = account(1).task_life(Life::prints(["done"]).at_once().exits(3)).fault("RunTask", 1, Fault::DropAfter);
    let _ = exclusive(&fake).run("run db-migrate -e staging").code(3).stdout("done\n");
    assert_eq!((fake.started().len(), fake.count("RunTask")), (1, 2));
    // Nobody answers until the window closes.
    let fake = account(36).task_life(Life::prints(["done"])).fault("RunTask", 1, Fault::NeverAnswerAfter);
    let test = exclusive(&fake);
    let _ = test.run("run db-migrate -e staging").code(0).stdout("done\n").stderr_has("waiting for");
    assert_eq!((fake.started().len(), fake.count("RunTask")), (1, 1));
}

#[test]
fn failures_use_up_a_token_and_no_more() {
    let fake = account(1).task_life(Life::new().at_once()).run_task_fails(&["AGENT"]);
    let test = exclusive(&fake);
    let _ = test.run("run db-migrate -e staging").code(0).stderr_has("could not place the ECS task: AGENT");
    let tokens = tokens(&fake);
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2] && tokens[3] != tokens[0], "{tokens:?}");
    let attempts: Vec<String> = fake
        .sent("RunTask")
        .iter()
        .map(|it| {
            let variables = it["overrides"]["containerOverrides"][0]["environment"].as_array().unwrap();
            let place: Vec<&Value> = variables.iter().filter(|it| it["name"] == "XTASK_PLACE").collect();
            assert_eq!(place.len(), 1);
            place[0]["value"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(attempts, ["exclusive/1", "exclusive/2", "exclusive/2", "exclusive/2"]);
    // What will not pass ends the run.
    let fake = account(1).run_task_fails(&["RESOURCE:MEMORY"]);
    let _ = exclusive(&fake).run("run db-migrate -e staging").code(125).stderr_has("RESOURCE:MEMORY");
    assert_eq!((fake.started().len(), fake.count("RunTask")), (0, 1));
}

#[test]
fn four_round_trips_at_most() {
    let fake = account(1).task_life(Life::new().at_once());
    let test = exclusive(&fake);
    let _ = test.run("run db-migrate -e staging").code(0);
    for seed in 0..3 {
        let requests = fake.records().len();
        fake.set_latency(seed, 60..120);
        let _ = test.run("run db-migrate -e staging").code(0);
        let chain = fake.longest_chain_from(requests, "RunTask");
        assert!(chain.len() <= 4, "seed {seed}: {chain:#?}\n{}", fake.story());
    }
}

#[test]
fn attach_if_running_follows_and_never_stops() {
    let fake = account(1).task_life(Life::counts_to(3).runs(60_000).exits(7));
    // Without `exclusive` in the file, too.
    let test = project(&fake);
    let first = test.command(["run", "db-migrate", "-e", "staging", "--attach-if-running"]).start();
    first.wait_for_stdout("1\n");
    let _ =
        test.run("run db-migrate -e staging --attach-if-running").code(7).stdout("1\n2\n3\n").stderr_has("Attached");
    let _ = first.finish().code(7).stdout("1\n2\n3\n");
    assert_eq!((fake.started().len(), fake.count("StopTask")), (1, 0));
    let first = test.command(["run", "db-migrate", "-e", "staging", "--attach-if-running"]).start();
    first.wait_for_stdout("1\n");
    let second = test.command(["run", "db-migrate", "-e", "staging", "--attach-if-running"]).start();
    second.wait_for_stdout("1\n");
    second.signal(Signal::INT);
    let _ = second.finish().code(130);
    let _ = first.finish().code(7).stdout("1\n2\n3\n");
    assert_eq!((fake.started().len(), fake.count("StopTask")), (2, 0));
    let _ = test.run("run db-migrate -e staging --attach-if-running --detach").code(0);
    let ran = test.run("run db-migrate -e staging --attach-if-running --detach").code(0);
    let _ = ran.stderr_has("Detached");
    assert_eq!(fake.started().len(), 3);
}

#[test]
fn once_joins_what_runs_and_remembers_a_success() {
    let fake = account(1)
        .next_life(Life::prints(["failed"]).exits(1).stops_at_once())
        .next_life(Life::counts_to(3).runs(60_000))
        .task_life(Life::new().at_once());
    let test = project(&fake);
    let _ = test.run("run db-migrate -e staging --once").code(1).stdout("failed\n");
    // A failed one runs again; the same joins it, whether ECS lists it or not.
    let first = test.command(["run", "db-migrate", "-e", "staging", "--once"]).start();
    first.wait_for_stdout("1\n");
    let _ = test.run("run db-migrate -e staging --once").code(0).stdout("1\n2\n3\n").stderr_has("Attached");
    let _ = first.finish().code(0).stdout("1\n2\n3\n");
    assert_eq!(fake.started().len(), 2);
    // And a success is not run again, for as long as ECS remembers it.
    let again = test.run("run db-migrate -e staging --once").code(0).stdout("1\n2\n3\n");
    let _ = again.stderr_has("has succeeded already, with the same image, command, variables and commit");
    assert_eq!(fake.started().len(), 2);
    // Programs hear of both runs.
    let again = test.run("run db-migrate -e staging --once --run-id again --format json").code(0);
    let end = last_event(&again);
    assert_eq!(end["run_id"], "again");
    let first = fake.started()[1].request["startedBy"].as_str().unwrap().to_owned();
    assert_eq!(first.rsplit('/').next(), end["followed_run_id"].as_str(), "{end}");
    // Something else runs.
    let _ = test.run("run db-migrate -e staging --once --var A=1").code(0);
    let _ = test.run("run db-migrate -e staging --once -- --verbose").code(0);
    test.write("app/program", "another application\n");
    let _ = test.run("run db-migrate -e staging --once").code(0);
    assert_eq!(fake.started().len(), 5);
    fake.advance(61 * MINUTE);
    to_minute(&fake, 1);
    let _ = test.run("run db-migrate -e staging --once").code(0);
    assert_eq!(fake.started().len(), 6);
}

#[test]
fn of_three_times_once_at_once_one_runs() {
    for seed in 0..2 {
        let life = Life::prints(["done"]).runs(2 * MINUTE);
        let fake = account(1).task_life(life).list_lag(2 * MINUTE).latency(seed, 1..20);
        let test = project(&fake);
        let start = || test.command(["run", "db-migrate", "-e", "staging", "--once"]).start();
        for it in [start(), start(), start()] {
            let _ = it.finish().code(0).stdout("done\n");
        }
        assert_eq!(fake.started().len(), 1, "{}", fake.story());
    }
}

#[test]
fn a_dry_run_says_who_holds_the_place() {
    let fake = account(1).task_life(Life::new().runs_forever());
    let test = exclusive(&fake);
    let _ =
        test.run("run db-migrate -e staging --dry-run").code(0).stderr_has("exclusive").stderr_lacks("runs already");
    let _ = test.run("run db-migrate -e staging --detach").code(0);
    let _ = test.run("run db-migrate -e staging --dry-run").code(0).stderr_has("runs already: ECS task [id]");
    let ran = test.run("run db-migrate -e staging --format json").code(125);
    let end = last_event(&ran);
    assert_eq!(end["outcome"], "already-running");
    assert!(end["reason"].as_str().is_some_and(|it| it.contains("runs already: ECS task")), "{end}");
    assert!(end["hint"].as_str().is_some_and(|it| it.contains("cargo xtask attach")), "{end}");
    assert_eq!(fake.count("RunTask"), 1);
}

#[test]
fn flags_that_cannot_mean_anything_are_refused() {
    let fake = account(1);
    let test = exclusive(&fake);
    let _ = test
        .run("run db-migrate -e staging --start-another")
        .code(2)
        .stderr_has("at most one ECS task of `db-migrate`");
    let test =
        Test::new().tasks("[environments.local]\nrunner = 'host'\n[tasks.t]\ncommand = ['true']\nexclusive = true\n");
    for flag in ["--once", "--attach-if-running"] {
        let _ =
            test.run(&format!("run t {flag}")).code(2).stderr_has(&format!("{flag} does nothing on the host runner"));
    }
    assert_eq!(fake.count("RunTask"), 0);
}

#[test]
fn on_this_machine_one_process_at_a_time() {
    let test = Test::new()
        .program("slow", "echo started; while [ ! -e \"$HOME/go\" ]; do sleep 0.02; done")
        .program("quick", "echo quick")
        .tasks(
            "[environments.local]\nrunner = 'host'\n[tasks.slow]\ncommand = ['slow']\nexclusive = true\n\
             [tasks.quick]\ncommand = ['quick']\nexclusive = true\n",
        );
    let first = test.command(["run", "slow"]).start();
    first.wait_for_stdout("started\n");
    let lost = test.run("run slow").code(125).stdout("").stderr_has("`slow` runs already in `local`: run ");
    let _ = lost.stderr_has("another one is running");
    let _ = test.run("run quick").code(0).stdout("quick\n");
    std::fs::write(test.home().join("go"), "").unwrap();
    let _ = first.finish().code(0);
    let _ = test.run("run slow").code(0).stdout("started\n");
    let ran = test.command(["run", "slow", "--dry-run"]).run().code(0);
    let _ = ran.stderr_has("one at a time on this machine");
}
