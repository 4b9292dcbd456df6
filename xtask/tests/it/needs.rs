//! `needs`: several tasks of one run, through the built binary and the fake AWS, and as processes of this machine.

use std::time::Duration;

use rustix::process::Signal as Number;
use serde_json::Value;

use crate::ecs::{TASKS, account, account_on, content_tag, project};
use crate::fake::state::sha256;
use crate::fake::{Fake, Fault, Life, Moment};
use crate::harness::{Docker, Ran, Says, Signal, Terminal, Test, has_terminal};
use crate::local::{Folder, Running};

/// A diamond: what `db-migrate` needs, needs the same.
const DIAMOND: &str = r#"needs = ["seed", "reindex"]

[tasks.seed]
image = "app"
command = ["bin/seed"]
needs = ["db-backup"]

[tasks.reindex]
image = "app"
command = ["bin/reindex"]
needs = ["db-backup"]

[tasks.db-backup]
image = "app"
command = ["bin/backup"]
"#;

const MINUTE: i64 = 60_000;

const ORDER: [&str; 4] = ["db-backup", "seed", "reindex", "db-migrate"];

/// An account with the image in its repository.
fn with_image() -> Fake {
    with_image_on(Fake::new())
}

fn with_image_on(fake: Fake) -> Fake {
    account_on(fake).image("acme/app", &content_tag(), &sha256("app"))
}

fn diamond(fake: &Fake) -> Test {
    project(fake).tasks(&format!("{TASKS}{DIAMOND}"))
}

/// Of each ECS task in the order of their start: the task and the run that `startedBy` names.
fn started(fake: &Fake) -> Vec<(String, String)> {
    let started = fake.started();
    let names = started.iter().map(|it| {
        let by = it.request["startedBy"].as_str().expect("it says who").to_owned();
        let parts: Vec<&str> = by.split('/').collect();
        assert_eq!(parts[0], "xtask");
        (parts[1].to_owned(), parts[2].to_owned())
    });
    names.collect()
}

fn started_tasks(fake: &Fake) -> Vec<String> {
    started(fake).into_iter().map(|it| it.0).collect()
}

/// The kinds of events of a stream with their tasks, without output and status.
fn kinds(ran: &Ran) -> Vec<String> {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let events = ran.events();
    let told = events.iter().filter(|it| !matches!(it["event"].as_str(), Some("log" | "status" | "warning")));
    told.map(|it| format!("{} {}", text(it, "event"), text(it, "task"))).collect()
}

fn last(ran: &Ran) -> Value {
    ran.events().pop().expect("there is a last event")
}

#[test]
fn a_diamond_runs_each_once_after_what_it_needs() {
    let fake = account().task_life(Life::prints(["done"]).at_once());
    let test = diamond(&fake);
    let ran = test.run("run db-migrate -e staging --run-id r1").code(0).stdout("done\ndone\ndone\ndone\n");
    let expected: Vec<(String, String)> = ORDER.iter().map(|it| ((*it).to_owned(), "r1".to_owned())).collect();
    assert_eq!(started(&fake), expected);
    // One build and one push for all four, and what they have in common is read once.
    let docker: Vec<String> = test.docker_calls().iter().map(|it| it.command()).collect();
    assert_eq!(docker.iter().filter(|it| *it == "build").count(), 1, "{docker:?}");
    assert_eq!(docker.iter().filter(|it| it.starts_with("push")).count(), 1, "{docker:?}");
    for operation in ["GetCallerIdentity", "DescribeServices"] {
        assert_eq!(fake.count(operation), 1, "{operation}\n{}", fake.story());
    }
    // Whatever can fail has not failed by the time that the first one starts.
    let operations = fake.operations();
    let first_run = operations.iter().position(|it| it == "RunTask").expect("it runs");
    let last_registered = operations.iter().rposition(|it| it == "RegisterTaskDefinition").expect("it registers");
    assert!(last_registered < first_run, "{}", fake.story());
    for (number, name) in ORDER.iter().enumerate() {
        let _ = ran.clone().stderr_has(&format!("Task {name} in staging ({} of 4)", number + 1));
    }
    let ran = ran.stderr_has("             needs      db-backup, seed, reindex\n");
    let text = ran.stderr_text();
    let end = &text[text.rfind("    Finished db-migrate").expect("it says how it ended")..];
    assert_eq!(
        end,
        "    Finished db-migrate in staging: succeeded after [seconds] (ran [seconds])
             db-backup   succeeded after [seconds]
             seed        succeeded after [seconds]
             reindex     succeeded after [seconds]
             db-migrate  succeeded after [seconds]
"
    );
}

#[test]
fn all_are_read_side_by_side() {
    // As many round trips one after the other as a task by itself.
    let longest = |words: &str| {
        let shortest = (0..8).map(|seed| {
            let fake = with_image().task_life(Life::new().at_once()).latency(seed, 5..50);
            let _ = diamond(&fake).run(words).code(0);
            fake.longest_chain(Some("RegisterTaskDefinition")).len()
        });
        shortest.min()
    };
    assert_eq!(longest("run db-migrate -e staging"), longest("run db-backup -e staging"));
}

#[test]
fn the_first_failure_ends_the_run_with_its_code() {
    let fake = with_image().next_life(Life::new().at_once()).next_life(Life::prints(["boom"]).exits(3).at_once());
    let test = diamond(&fake);
    let ran = test.run("run db-migrate -e staging").code(3).stdout("boom\n");
    assert_eq!(started_tasks(&fake), ["db-backup", "seed"]);
    let text = ran.stderr_text();
    let end = &text[text.rfind("     Refused ").expect("it says what did not run")..];
    assert_eq!(
        end,
        "     Refused db-migrate in staging: it was not started; exit code 3 after [seconds]
             `seed`, which comes first, ended as failed with exit code 3; not run: `reindex`, `db-migrate`
             db-backup   succeeded after [seconds]
             seed        exit code 3 after [seconds]
             reindex     did not run
             db-migrate  did not run
"
    );
    let fake = with_image().next_life(Life::new().at_once()).next_life(Life::new().exits(3).at_once());
    let ran = diamond(&fake).run("run db-migrate -e staging --format json --run-id r1").code(3);
    assert_eq!(
        kinds(&ran),
        [
            "resolved db-backup",
            "resolved seed",
            "resolved reindex",
            "resolved db-migrate",
            "planned db-backup",
            "planned seed",
            "planned reindex",
            "planned db-migrate",
            "pushed db-backup",
            "pushed seed",
            "pushed reindex",
            "pushed db-migrate",
            "registered db-backup",
            "registered seed",
            "registered reindex",
            "registered db-migrate",
            "turn db-backup",
            "launched db-backup",
            "finished db-backup",
            "turn seed",
            "launched seed",
            "finished seed",
            "finished db-migrate",
        ]
    );
    let end = last(&ran);
    assert_eq!((&end["outcome"], &end["exit_code"], &end["run_id"]), (&"refused".into(), &3.into(), &"r1".into()));
    assert!(end["reason"].as_str().is_some_and(|it| it.contains("`seed`, which comes first")), "{end}");
    let tasks: Vec<Value> = end["tasks"].as_array().expect("it lists them").clone();
    let shown: Vec<String> =
        tasks.iter().map(|it| format!("{} {} {}", it["task"], it["outcome"], it["exit_code"])).collect();
    assert_eq!(
        shown,
        ["\"db-backup\" \"succeeded\" 0", "\"seed\" \"failed\" 3", "\"reindex\" null null", "\"db-migrate\" null null"]
    );
    let planned = ran.events().into_iter().rfind(|it| it["event"] == "planned").expect("there is a plan");
    assert_eq!(planned["needs"], serde_json::json!(["db-backup", "seed", "reindex"]));
}

#[test]
fn a_need_that_cannot_be_started_ends_the_run_too() {
    let refusal = Fault::Refuse("InvalidParameterException", "no such subnet");
    let fake = with_image().task_life(Life::new().at_once()).fault("RunTask", 2, refusal);
    let ran = diamond(&fake).run("run db-migrate -e staging").code(125);
    let ran = ran.stderr_has("error: cannot start `seed` in `staging`").stderr_has("no such subnet");
    let _ = ran.stderr_has("not run: `reindex`, `db-migrate`");
    assert_eq!(started_tasks(&fake), ["db-backup"]);
    let refusal = Fault::Refuse("InvalidParameterException", "no such subnet");
    let fake = with_image().task_life(Life::new().at_once()).fault("RunTask", 2, refusal);
    let ran = diamond(&fake).run("run db-migrate -e staging --format json").code(125);
    let kinds = kinds(&ran);
    assert_eq!(kinds[kinds.len() - 4..], ["turn seed", "error seed", "finished seed", "finished db-migrate"]);
}

#[test]
fn what_is_skipped_takes_along_what_only_it_needs() {
    for (words, expected, skipped) in [
        ("--skip seed", &["db-backup", "reindex", "db-migrate"][..], "seed"),
        ("--skip seed --skip reindex", &["db-migrate"][..], "db-backup, seed, reindex"),
        ("--skip db-backup", &["seed", "reindex", "db-migrate"][..], "db-backup"),
    ] {
        let fake = with_image().task_life(Life::new().at_once());
        let ran = diamond(&fake).run(&format!("run db-migrate -e staging {words}")).code(0);
        assert_eq!(started_tasks(&fake), expected);
        let _ = ran.stderr_has(&format!("             skipped    {skipped}\n"));
    }
    let fake = with_image();
    let test = diamond(&fake);
    test.run("run db-migrate -e staging --skip sed").expect(
        2,
        "",
        "error: --skip sed: `db-migrate` does not need `sed`
  hint: did you mean `seed`? needs: db-backup, seed, reindex
",
    );
    test.run("run db-backup -e staging --skip seed").expect(
        2,
        "",
        "error: --skip seed: `db-backup` does not need `seed`
  hint: leave it out: it needs nothing
",
    );
    assert_eq!(fake.operations(), [""; 0]);
}

#[test]
fn a_dry_run_shows_one_plan_for_all_and_writes_nothing() {
    let fake = account();
    let test = diamond(&fake);
    let ran = test.run("run db-migrate -e staging --dry-run").code(0).stdout("");
    let text = ran.stderr_text();
    for name in ORDER {
        assert!(text.contains(&format!("     Planned {name} in staging\n")), "{text}");
    }
    assert_eq!(text.matches("Dry run nothing was built, pushed, registered or started").count(), 1);
    assert!(text.ends_with("Dry run nothing was built, pushed, registered or started\n"));
    let writes = ["RegisterTaskDefinition", "RunTask", "CreateRepository"];
    assert!(!fake.operations().iter().any(|it| writes.contains(&it.as_str())));
    assert!(test.docker_calls().is_empty());
}

#[test]
fn a_mistake_in_the_plan_of_one_is_told_before_anything_is_done() {
    // What Fargate cannot be is known only with the base task definition at hand.
    let tasks = format!("{TASKS}{DIAMOND}").replace("command = [\"bin/seed\"]", "command = [\"bin/seed\"]\ncpu = 3000");
    let fake = account();
    let test = project(&fake).tasks(&tasks);
    let _ = test.run("run db-migrate -e staging").code(2).stderr_has("cpu = 3000");
    assert_eq!((fake.count("RunTask"), fake.count("RegisterTaskDefinition")), (0, 0));
    assert!(test.docker_calls().is_empty());
}

#[test]
fn a_build_that_fails_runs_nothing() {
    let fake = account();
    let tasks = format!("{TASKS}{DIAMOND}").replace(
        "image = \"app\"\ncommand = [\"bin/backup\"]",
        "image = \"public.ecr.aws/docker/library/alpine:3\"\ncommand = [\"bin/backup\"]",
    );
    let test = project(&fake).docker(Docker::new().on("build", Says::new().exits(1))).tasks(&tasks);
    let _ = test.run("run db-migrate -e staging").code(125).stderr_has("no ECS task was started");
    assert_eq!((fake.count("RunTask"), fake.count("RegisterTaskDefinition")), (0, 0));
}

#[test]
fn one_confirmation_for_all() {
    if !has_terminal() {
        return;
    }
    let fake = with_image().task_life(Life::new().at_once());
    let protected = "protected = true\naccount = \"111122223333\"\nregion";
    let test = diamond(&fake).tasks(&format!("{TASKS}{DIAMOND}").replacen("region", protected, 1));
    let running = test.command(["run", "db-migrate", "-e", "staging"]).terminal(Terminal::All).start();
    running.wait_for_stderr("to run `db-backup`, then `seed`, then `reindex`, then `db-migrate`: ");
    assert_eq!((fake.count("RunTask"), fake.count("RegisterTaskDefinition")), (0, 0));
    running.types("staging\n");
    let ran = running.finish().code(0);
    assert_eq!(String::from_utf8_lossy(&ran.terminal).matches("Type its name").count(), 1);
    assert_eq!(started_tasks(&fake), ORDER);
    let _ = test.run("run db-migrate -e staging").code(2).stderr_has("add --yes");
}

#[test]
fn a_signal_in_the_middle_of_the_second_stops_it_and_runs_no_other() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let fake = with_image().next_life(Life::new().at_once()).task_life(Life::prints(["on"]).runs_forever());
        let test = diamond(&fake);
        let running = test.command(["run", "db-migrate", "-e", "staging"]).start();
        running.wait_for_stderr("Status RUNNING");
        running.signal(signal);
        let ran = running.finish().code(code);
        let ran = ran.stderr_has(" Interrupted seed in staging").stderr_has("not run: `reindex`, `db-migrate`");
        assert_eq!(started_tasks(&fake), ["db-backup", "seed"], "{}", ran.all());
        assert_eq!(fake.started()[1].document["stopCode"], "UserInitiated");
    }
}

#[test]
fn a_signal_at_the_end_of_one_starts_no_other() {
    // While its last lines are read, and wherever else: what is started is stopped, and the rest does not run.
    for call in 1..12 {
        let fake = with_image().task_life(Life::prints(["on"]).hurried(3_000));
        let test = diamond(&fake);
        let child = test.child();
        fake.at_call("GetLogEvents", call, Moment::Answered, move || child.signal(Signal::TERM));
        let ran = test.run("run db-migrate -e staging");
        assert_eq!(ran.exit_code(), Some(143), "call {call}\n{}\n{}", ran.all(), fake.story());
        assert!(fake.alive().is_empty(), "call {call}\n{}", ran.all());
        let _ = ran.stderr_has("`db-migrate`");
    }
}

#[test]
fn a_lost_answer_in_the_second_starts_it_once() {
    for fault in [Fault::DropAfter, Fault::ServerErrorAfter, Fault::HalfBody, Fault::DropBefore, Fault::Throttle] {
        let fake = with_image().task_life(Life::new().at_once()).fault("RunTask", 2, fault.clone());
        let _ = diamond(&fake).run("run db-migrate -e staging").code(0);
        assert_eq!(started_tasks(&fake), ORDER, "{fault:?}\n{}", fake.story());
    }
}

#[test]
fn the_same_run_id_goes_on_where_the_run_died() {
    let fake = with_image().next_life(Life::new().at_once()).next_life(Life::prints(["on"]).runs(15 * MINUTE));
    let fake = fake.task_life(Life::new().at_once());
    let test = diamond(&fake);
    let words = ["run", "db-migrate", "-e", "staging", "--run-id", "r1"];
    let running = test.command(words).start();
    running.wait_for_stderr("Status RUNNING");
    running.signal(Signal::KILL);
    let _ = running.finish();
    let second = test.command(words).start();
    second.wait_for_stderr("Status RUNNING");
    fake.advance(15 * MINUTE);
    let ran = second.finish().code(0);
    assert_eq!(started_tasks(&fake), ORDER, "each once, however many processes\n{}", ran.all());
    let ran = ran.stderr_has("this run has started its ECS task already and follows it on");
    let _ = ran.stderr_has("db-backup   nothing had to run\n").stderr_has("seed        succeeded after");
}

#[test]
fn what_is_joined_needs_nothing() {
    let exclusive = format!("{TASKS}exclusive = true\n{DIAMOND}");
    let fake = with_image().task_life(Life::prints(["on"]).runs(15 * MINUTE)).dates_by_its_clock();
    fake.advance((2 * MINUTE - fake.now()).rem_euclid(40 * MINUTE));
    let test = project(&fake).tasks(&exclusive);
    let words = ["run", "db-migrate", "-e", "staging", "--skip", "seed", "--skip", "reindex"];
    let other = test.command(words).start();
    other.wait_for_stderr("Status RUNNING");
    // Another run holds the place: nothing of this one is started, the needs neither.
    let ran = test.run("run db-migrate -e staging").code(125).stderr_has("another one is running");
    let _ = ran.stderr_has("db-backup   did not run");
    let joining = test.command(["run", "db-migrate", "-e", "staging", "--attach-if-running"]).start();
    joining.wait_for_stderr("Status RUNNING");
    fake.advance(15 * MINUTE);
    let _ = other.finish().code(0);
    let _ = joining.finish().code(0).stderr_has("seed        nothing had to run");
    assert_eq!(started_tasks(&fake), ["db-migrate"]);
}

#[test]
fn a_need_whose_place_is_held_ends_the_run_before_anything_runs() {
    let tasks = format!("{TASKS}{DIAMOND}")
        .replace("command = [\"bin/reindex\"]", "command = [\"bin/reindex\"]\nexclusive = true");
    let fake = with_image().task_life(Life::prints(["on"]).runs(15 * MINUTE)).dates_by_its_clock();
    fake.advance((2 * MINUTE - fake.now()).rem_euclid(40 * MINUTE));
    let test = project(&fake).tasks(&tasks);
    let other = test.command(["run", "reindex", "-e", "staging", "--skip", "db-backup"]).start();
    other.wait_for_stderr("Status RUNNING");
    let ran = test.run("run db-migrate -e staging --format json").code(125);
    assert_eq!(started_tasks(&fake), ["reindex"]);
    let kinds = kinds(&ran);
    assert_eq!(kinds[kinds.len() - 2..], ["finished reindex", "finished db-migrate"]);
    let events = ran.events();
    assert_eq!(events[events.len() - 2]["outcome"], "already-running");
    let end = last(&ran);
    assert_eq!((&end["outcome"], &end["exit_code"]), (&"refused".into(), &125.into()));
    assert!(
        end["reason"].as_str().is_some_and(|it| it.ends_with("not run: `db-backup`, `seed`, `db-migrate`")),
        "{end}"
    );
    fake.advance(15 * MINUTE);
    let _ = other.finish().code(0);
}

#[test]
fn detach_leaves_the_last_alone() {
    let fake = with_image().next_life(Life::new().at_once()).next_life(Life::new().at_once());
    let fake = fake.next_life(Life::new().at_once()).task_life(Life::new().runs_forever());
    let ran = diamond(&fake).run("run db-migrate -e staging --detach").code(0).stderr_has("Detached db-migrate");
    assert_eq!(started_tasks(&fake), ORDER);
    assert_eq!(fake.alive().len(), 1, "{}", ran.all());
}

#[test]
fn flags_of_the_named_task_are_its_own() {
    let fake = with_image().task_life(Life::new().at_once());
    let words = "run db-migrate -e staging --var STEP=1 --memory 1024 --cpu 512 -- --fast";
    let _ = diamond(&fake).run(words).code(0);
    for started in fake.started() {
        let overrides = &started.request["overrides"];
        let container = &overrides["containerOverrides"][0];
        let names: Vec<&str> =
            container["environment"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
        let is_named = started.request["startedBy"].as_str().unwrap().contains("/db-migrate/");
        assert_eq!(names.contains(&"STEP"), is_named, "{container}");
        assert_eq!(overrides["memory"] == "1024", is_named, "{overrides}");
        let command = container["command"].as_array().unwrap();
        assert_eq!(command.iter().any(|it| it == "--fast"), is_named, "{container}");
    }
}

#[test]
fn a_need_that_cannot_be_one_is_refused() {
    let interactive =
        format!("{TASKS}{DIAMOND}").replace("command = [\"bin/seed\"]", "command = [\"bin/seed\"]\ninteractive = true");
    let fake = account();
    let ran = project(&fake).tasks(&interactive).run("run db-migrate -e staging").code(2);
    let ran = ran.stderr_has("`db-migrate` needs `seed`, which is interactive");
    let _ = ran.stderr_has("leave it out with --skip seed");
    let elsewhere = format!("{TASKS}{DIAMOND}\n[environments.local]\nrunner = \"host\"\n")
        .replace("command = [\"bin/seed\"]", "command = [\"bin/seed\"]\nenvironments = [\"local\"]");
    let ran = project(&fake).tasks(&elsewhere).run("run db-migrate -e staging").code(2);
    let _ = ran.stderr_has("`db-migrate` needs `seed`, which may not run in `staging`");
    assert_eq!(fake.operations(), [""; 0]);
}

#[test]
fn the_policy_of_a_task_is_that_of_its_needs_too() {
    let fake = account();
    let ran = diamond(&fake).run("policy -e staging db-migrate").code(0);
    for name in ORDER {
        let _ = ran.clone().stdout_has(&format!("task-definition/xtask-staging-{name}:"));
    }
}

#[test]
fn on_github_the_summary_has_all_tasks_and_the_outputs_are_the_last_ones() {
    let fake = with_image().next_life(Life::new().at_once()).task_life(Life::prints(["boom"]).exits(3).at_once());
    let test = diamond(&fake).file("summary", "").file("output", "").env("GITHUB_ACTIONS", "true");
    let path = |name: &str| test.project().join(name).display().to_string();
    let (summary, output) = (path("summary"), path("output"));
    let test = test.env("GITHUB_STEP_SUMMARY", &summary).env("GITHUB_OUTPUT", &output);
    let _ = test.run("run db-migrate -e staging").code(3);
    let text = std::fs::read_to_string(summary).expect("it is written");
    assert!(text.contains("### db-backup in staging: succeeded"), "{text}");
    assert!(text.contains("### seed in staging: exit code 3"), "{text}");
    let end = &text[text.find("### db-migrate in staging").expect("it has the last one")..];
    for row in ["| `db-backup` | succeeded", "| `seed` | exit code 3", "| `reindex` | did not run |"] {
        assert!(end.contains(row), "{end}");
    }
    assert!(end.contains("bin/migrate") && !end.contains("bin/seed"), "each has its own command: {end}");
    let text = std::fs::read_to_string(output).expect("it is written");
    let of = |name: &str| {
        let at = text.rfind(&format!("{name}<<")).unwrap_or_else(|| panic!("it has {name}: {text}"));
        text[at..].lines().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!((of("outcome").as_str(), of("exit-code").as_str()), ("refused", "3"));
}

// ------------------------------------------------------------------------------------------------------- on this machine

/// Tasks of this machine that each add their name to a file.
fn on_host(seed: &str) -> Folder {
    Folder::new(&format!(
        r#"default-environment = "local"
[environments.local]
runner = "host"
entrypoint = ["sh", "-c"]
[tasks.db-migrate]
command = ["echo migrate >> order"]
needs = ["seed", "db-backup"]
[tasks.seed]
command = ["{seed}"]
needs = ["db-backup"]
[tasks.db-backup]
command = ["echo backup >> order; echo kept"]
"#
    ))
}

fn order(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path.join("order")).unwrap_or_default()
}

#[test]
fn processes_run_in_order_too() {
    let folder = on_host("echo seed >> order");
    let ran = folder.run(&["run", "db-migrate"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(0), "kept\n"), "{}", ran.err());
    assert_eq!(order(&folder), "backup\nseed\nmigrate\n");
    // Each shows its own command.
    assert!(ran.err().contains("Running `sh -c 'echo seed >> order'`"), "{}", ran.err());

    let folder = on_host("exit 7");
    let ran = folder.run(&["run", "db-migrate", "--format", "json"]);
    assert_eq!(ran.code, Some(7));
    assert_eq!(order(&folder), "backup\n");
    let end = ran.events().pop().expect("there is a last event");
    assert_eq!((&end["task"], &end["outcome"]), (&"db-migrate".into(), &"refused".into()));

    let folder = on_host("exit 7");
    let ran = folder.run(&["run", "db-migrate", "--skip", "seed"]);
    assert_eq!((ran.code, order(&folder).as_str()), (Some(0), "backup\nmigrate\n"));
}

/// Both were waiting when this process went on: the task's end, and a signal that no task was there to hear.
#[test]
fn a_signal_between_two_tasks_starts_no_other() {
    let folder = on_host("echo here; until [ -e go ]; do sleep 0.05; done; : > gone");
    let mut running = Running::start(folder.xtask(&["run", "db-migrate"]));
    running.wait_for("here");
    running.signal(Number::STOP);
    std::fs::write(folder.path().join("go"), "").expect("it can be written");
    while !folder.has("gone") {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Number::TERM);
    running.signal(Number::CONT);
    let ran = running.finish();
    assert_eq!(ran.code, Some(143), "{}", ran.err());
    assert_eq!(order(&folder), "backup\n");
    assert!(ran.err().contains("not run: `db-migrate`"), "{}", ran.err());
}

#[test]
fn a_signal_ends_the_process_and_the_run() {
    let folder = on_host("echo here; exec sleep 60");
    let mut running = Running::start(folder.xtask(&["run", "db-migrate"]));
    running.wait_for("here");
    running.signal(Number::TERM);
    let ran = running.finish();
    assert_eq!(ran.code, Some(143), "{}", ran.err());
    assert_eq!(order(&folder), "backup\n");
    assert!(ran.err().contains("not run: `db-migrate`"), "{}", ran.err());
}
