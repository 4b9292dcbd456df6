//! `attach`, `logs`, `ps`, `stop`, and a run that finds what an earlier one left: through the built binary and the fake AWS.

use serde_json::Value;

use crate::ecs::{TASKS, account_on, content_tag, project};
use crate::fake::state::sha256;
use crate::fake::{Fake, Fault, Life, Moment, OnSigterm, Started};
use crate::harness::{Signal, Terminal, Test, has_terminal};

const HOUR: i64 = 3_600_000;

/// The team's account with the image in its repository already.
fn account() -> Fake {
    account_on(Fake::new()).image("acme/app", &content_tag(), &sha256("app"))
}

/// Starts a run and kills it as a crash would, once it has printed its first line.
fn crash(fake: &Fake, test: &Test, arguments: &[&str]) -> Started {
    let mut words = vec!["run", "db-migrate", "-e", "staging"];
    words.extend(arguments);
    let running = test.command(words).start();
    running.wait_for_stdout("1\n");
    running.signal(Signal::KILL);
    let _ = running.finish().killed_by(9);
    fake.started().pop().expect("it started something")
}

fn id(started: &Started) -> &str {
    started.arn.rsplit('/').next().unwrap_or_default()
}

fn numbers(last: u32) -> String {
    (1..=last).map(|it| format!("{it}\n")).collect()
}

#[test]
fn after_a_crash_attach_gives_the_whole_output_and_the_same_exit_code() {
    for code in [0, 7, 255] {
        let fake = account().task_life(Life::counts_to(300).runs(20_000).exits(code));
        let test = project(&fake);
        let started = crash(&fake, &test, &[]);
        let stderr = format!("attach {} -e staging", id(&started));
        let _ = test
            .run(&stderr)
            .code(code)
            .stdout(&numbers(300))
            .stderr_has("Attached arn:aws:ecs:eu-west-1")
            .stderr_has("started by");
        // And once more, when it is over.
        let _ = test.run("attach db-migrate -e staging").code(code).stdout(&numbers(300)).stderr_lacks("cut");
        assert_eq!((fake.count("RunTask"), fake.count("StopTask")), (1, 0));
    }
}

#[test]
fn a_crash_between_run_task_and_its_answer_leaves_something_to_attach_to() {
    let fake = account().task_life(Life::counts_to(9).runs(20_000).exits(3));
    let test = project(&fake);
    let child = test.child();
    fake.at_call("RunTask", 1, Moment::Acted, move || child.signal(Signal::KILL));
    let _ = test.run("run db-migrate -e staging").killed_by(9);
    // It is found without anything that the first process said.
    let ps = test.run("ps -e staging").code(0);
    assert!(ps.stdout_text().contains("db-migrate"), "{}", ps.all());
    // Run again: not a second time, and the line to type is there.
    let refused = test.run("run db-migrate -e staging").code(2).stderr_has("not started a second time");
    let text = refused.stderr_text();
    let line = text.split('`').find(|it| it.starts_with("cargo xtask attach ")).expect("the line is told").to_owned();
    let line = line.strip_prefix("cargo xtask ").unwrap().replace("[id]", id(&fake.started()[0]));
    let _ = test.run(&line).code(3).stdout(&numbers(9));
    assert_eq!(fake.count("RunTask"), 1);
}

#[test]
fn what_ecs_has_forgotten_has_its_output_and_an_unknown_end() {
    let fake = account().task_life(Life::counts_to(40).exits(0));
    let test = project(&fake);
    let _ = test.run("run db-migrate -e staging").code(0);
    let started = fake.started().pop().unwrap();
    fake.advance(HOUR + 60_000);
    for name in [id(&started), &started.arn] {
        let _ =
            test.run(&format!("attach {name} -e staging")).code(125).stdout(&numbers(40)).stderr_has("has forgotten");
        let _ = test.run(&format!("logs {name} -e staging")).code(0).stdout(&numbers(40));
        let _ = test.run(&format!("stop {name} -e staging")).code(2).stdout("").stderr_has("has forgotten");
    }
    let ran = test.command(["attach", id(&started), "-e", "staging", "--format", "json"]).run().code(125);
    let last = ran.events().pop().unwrap();
    assert_eq!((last["outcome"].as_str(), last["exit_code"].as_u64()), (Some("unknown"), Some(125)));
    let _ = test.run("attach db-migrate -e staging").code(2).stderr_has("it forgets one an hour after its end");
    assert_eq!(fake.count("StopTask"), 0);
}

#[test]
fn attach_says_what_run_would_have_said_of_a_stop() {
    let life = || Life::counts_to(3).runs_forever().on_sigterm(OnSigterm::Exits(143, 500));
    // Timed out.
    let fake = account().task_life(life());
    let test = project(&fake);
    let _ = test.run("run db-migrate -e staging --timeout 5s").code(124);
    let _ = test.run("attach db-migrate -e staging").code(124).stdout(&numbers(3)).stderr_has("timed out");
    // Interrupted.
    let fake = account().task_life(life());
    let test = project(&fake);
    let running = test.command(["run", "db-migrate", "-e", "staging"]).start();
    running.wait_for_stdout("1\n");
    running.signal(Signal::TERM);
    let _ = running.finish().code(143);
    let _ = test.run("attach db-migrate -e staging").code(143).stderr_has("interrupted");
    // Stopped by somebody.
    let fake = account().task_life(life());
    let test = project(&fake);
    let started = crash(&fake, &test, &[]);
    let _ = test.run(&format!("stop {} -e staging", id(&started))).code(0).stdout(
        "stopped: db-migrate [id] stopped: xtask: stopped by arn:aws:sts::111122223333:assumed-role/deployer/somebody; its container's exit code is 143\n",
    );
    let _ = test
        .run("attach db-migrate -e staging")
        .code(125)
        .stdout(&numbers(3))
        .stderr_has("somebody stopped the ECS task");
}

#[test]
fn a_signal_to_a_follower_leaves_the_ecs_task_alone() {
    for (signal, code) in [(Signal::INT, 130), (Signal::QUIT, 131), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let fake = account().task_life(Life::counts_to(3).runs_forever());
        let test = project(&fake);
        let started = crash(&fake, &test, &[]);
        let running = test.command(["attach", "db-migrate", "-e", "staging"]).start();
        running.wait_for_stdout("3\n");
        running.signal(signal);
        let line = format!("cargo xtask attach {} -e staging", "[id]");
        let _ = running.finish().code(code).stderr_has(&line);
        assert_eq!((fake.alive(), fake.count("StopTask")), (vec![started.arn], 0));
    }
}

#[test]
fn an_id_is_an_arn_an_id_a_start_or_a_tasks_name() {
    let fake = account().task_life(Life::counts_to(2).runs(1000).exits(5));
    let test = project(&fake);
    let mut codes = Vec::new();
    for run in ["first", "second"] {
        let _ = test.run(&format!("run db-migrate -e staging --run-id {run}")).code(5);
        codes.push(fake.started().pop().unwrap().arn);
    }
    let first = fake.started()[0].clone();
    let short = &id(&first)[..8];
    for name in [first.arn.as_str(), id(&first), &id(&first).to_uppercase(), short] {
        let ran = test.command(["attach", name, "-e", "staging", "--format", "json"]).run().code(5);
        let last = ran.events().pop().unwrap();
        assert_eq!((last["run_id"].as_str(), last["outcome"].as_str()), (Some("first"), Some("failed")), "{name}");
    }
    // A name is the newest.
    let ran = test.command(["attach", "db-migrate", "-e", "staging", "--format", "json"]).run().code(5);
    assert_eq!(ran.events().pop().unwrap()["run_id"], "second");
    let service_task = "arn:aws:ecs:eu-west-1:111122223333:task/staging/00000000000000000000000000000000";
    for (name, message) in [
        ("db-migrat", "`db-migrat` is neither a task of tasks.toml nor an ECS task's id"),
        ("ffffffffff", "ECS lists no ECS task of this tool in `staging` whose id begins with `ffffffffff`"),
        (service_task, "neither ECS nor CloudWatch Logs knows an ECS task `[id]`"),
        (
            "arn:aws:ecs:us-east-1:111122223333:task/staging/01",
            "`staging` has no tasks in the cluster `staging` of us-east-1",
        ),
        (
            "arn:aws:ecs:eu-west-1:111122223333:task/other/01",
            "`staging` has no tasks in the cluster `other` of eu-west-1",
        ),
    ] {
        for verb in ["attach", "logs", "stop"] {
            let _ = test.run(&format!("{verb} {name} -e staging")).code(2).stdout("").stderr_has(message);
        }
    }
    assert_eq!(fake.count("StopTask"), 0);
}

#[test]
fn stop_does_not_guess_which_of_several_is_meant() {
    let fake = account().task_life(Life::counts_to(2).runs_forever());
    let test = project(&fake);
    for more in ["", " --start-another"] {
        let _ = test.run(&format!("run db-migrate -e staging --detach{more}")).code(0);
    }
    let ran = test.run("stop db-migrate -e staging").code(2).stdout("");
    let _ = ran.stderr_has("several ECS tasks of `db-migrate` run").stderr_has("give more of one of them");
    assert_eq!((fake.count("StopTask"), fake.alive().len()), (0, 2));
}

#[test]
fn what_another_tool_started_is_left_alone() {
    let fake = account();
    let test = project(&fake);
    let of_service = fake.service_tasks().pop().expect("the service runs");
    for verb in ["attach", "logs", "stop"] {
        let _ = test
            .run(&format!("{verb} {of_service} -e staging"))
            .code(2)
            .stdout("")
            .stderr_has("is of no task of tasks.toml");
    }
    test.run("ps -e staging --all").expect(0, "no ECS task of this tool in `staging`\n", "");
    assert_eq!(fake.count("StopTask"), 0);
}

#[test]
fn ps_tells_who_runs_what_since_when_and_how_it_ended() {
    let fake = account()
        .next_life(Life::counts_to(1).exits(0))
        .next_life(Life::counts_to(1).exits(3))
        .next_life(Life::never_starts("CannotPullContainerError: not found"))
        .task_life(Life::counts_to(1).runs_forever());
    // The fake's clock runs ahead of this machine's, which `ps` goes by.
    fake.advance(-HOUR / 2);
    let test = project(&fake)
        .redact(r"\b[\dhms]+ ago", "[age] ago")
        .redact(r"overdue by \S+", "overdue by [age]")
        .redact(r" {2,}", "  ");
    for (code, run) in [(0, "r-1"), (3, "r-2"), (125, "r-3")] {
        let _ = test.run(&format!("run db-migrate -e staging --run-id {run}")).code(code);
    }
    let started = crash(&fake, &test, &["--run-id", "r-4", "--timeout", "10s"]);
    fake.advance(60_000);
    test.run("ps -e staging").expect(
        0,
        "TASK  STATUS  SINCE  BY  RUN  ID\n\
         db-migrate  RUNNING, overdue by [age]  [age] ago  deployer/somebody  r-4  [id]\n",
        "",
    );
    let all = test.run("ps -e staging --all").code(0).stdout_text();
    let status: Vec<&str> = all.lines().skip(1).map(|it| it.split("  ").nth(1).unwrap_or_default().trim()).collect();
    assert_eq!(
        status,
        ["RUNNING, overdue by [age]", "never started: CannotPullContainerError: not found", "exit code 3", "succeeded"],
        "{all}"
    );
    let ran = test.command(["ps", "-e", "staging", "--all", "--format", "json"]).run().code(0);
    let rows = ran.events();
    assert_eq!(rows.len(), 4);
    let row = |field: &str| rows.iter().map(|it| it[field].clone()).collect::<Vec<Value>>();
    assert_eq!(row("outcome"), [Value::Null, "never-started".into(), "failed".into(), "succeeded".into()]);
    assert_eq!(row("exit_code"), [Value::Null, 125.into(), 3.into(), 0.into()]);
    assert_eq!(row("run_id"), ["r-4", "r-3", "r-2", "r-1"]);
    assert!(rows[0]["overdue"].as_u64().is_some_and(|it| it > 20), "{}", rows[0]);
    assert_eq!(rows[0]["task_arn"], started.arn.as_str());
    assert_eq!(rows[0]["command"], serde_json::json!(["bin/migrate"]));
    let _ = test.run("stop db-migrate -e staging").code(0).stdout_has("stopped: db-migrate [id]");
    test.run("ps -e staging").expect(
        0,
        "no ECS task of this tool in `staging` (--all lists the recently stopped ones)\n",
        "",
    );
}

#[test]
fn a_run_is_stopped_by_its_id_whatever_became_of_its_process() {
    let fake = account().task_life(Life::counts_to(1).runs_forever());
    let test = project(&fake);
    let started = crash(&fake, &test, &["--run-id", "ci-17"]);
    let _ = crash(&fake, &test, &["--run-id", "ci-18", "--start-another"]);
    // Two of that task run: a name would be a guess.
    let several = test.run("stop db-migrate -e staging").code(2);
    let _ = several.stderr_has("several ECS tasks of `db-migrate` run");
    let _ = test.run("stop --run ci-17 -e staging").code(0).stdout_has("stopped: db-migrate [id]");
    assert_eq!(
        fake.started()[0].document["stoppedReason"],
        "xtask: stopped by arn:aws:sts::111122223333:assumed-role/deployer/somebody"
    );
    assert!(!fake.alive().contains(&started.arn) && fake.alive().len() == 1);
    let lists = fake.count("ListTasks");
    let _ = test.run("stop --run ci-17 -e staging").code(0).stdout_has("was over: db-migrate [id]");
    let beside_one_that_is_over = fake.count("ListTasks") - lists;
    test.run("stop --run ci-19 -e staging").expect(0, "ECS lists no ECS task of the run ci-19: nothing to stop\n", "");
    // A newer one may be missing from the list beside an older one just as well.
    assert_eq!(fake.count("ListTasks") - lists, 2 * beside_one_that_is_over);
    // A run that was just started is not in the list yet.
    let fake = account().list_lag(3000).task_life(Life::counts_to(1).runs_forever());
    let test = project(&fake);
    let child = test.child();
    fake.at_call("RunTask", 1, Moment::Acted, move || child.signal(Signal::KILL));
    let _ = test.run("run db-migrate -e staging --run-id ci-20").killed_by(9);
    let _ = test.run("stop --run ci-20 -e staging").code(0).stdout_has("stopped: db-migrate [id]");
    assert!(fake.alive().is_empty());
    // Nor beside an older attempt of the same run, which is over.
    let child = test.child();
    fake.at_call("RunTask", 2, Moment::Acted, move || child.signal(Signal::KILL));
    let _ = test.run("run db-migrate -e staging --run-id ci-20").killed_by(9);
    let _ = test.run("stop --run ci-20 -e staging").code(0).stdout_has("stopped: db-migrate [id]");
    assert_eq!((fake.started().len(), fake.alive().len()), (2, 0));
}

#[test]
fn a_stop_that_is_refused_says_so() {
    let fake = account().task_life(Life::counts_to(1).runs_forever()).fault("StopTask", .., Fault::AccessDenied);
    let test = project(&fake);
    let started = crash(&fake, &test, &[]);
    let ran = test.run("stop db-migrate -e staging").code(125).stdout("");
    let _ = ran.stderr_has("AccessDeniedException").stderr_has("cannot say how");
    assert_eq!(fake.alive(), [started.arn]);
    // Throttled for a while, it is stopped all the same, once.
    let fake = account().task_life(Life::counts_to(1).runs_forever()).fault("StopTask", 1..=3, Fault::Throttle);
    let test = project(&fake);
    let _ = crash(&fake, &test, &[]);
    let _ = test.run("stop db-migrate -e staging").code(0).stdout_has("stopped: db-migrate [id]");
    assert!(fake.alive().is_empty());
}

#[test]
fn another_account_is_refused_before_anything_is_stopped_or_shown() {
    let fake = account().task_life(Life::counts_to(1).runs_forever());
    let test = project(&fake);
    let started = crash(&fake, &test, &[]);
    test.write("tasks.toml", &TASKS.replace("cluster =", "account = \"999988887777\"\ncluster ="));
    for words in [
        "stop db-migrate",
        "stop --run x",
        "attach db-migrate",
        "logs db-migrate",
        "ps --all",
        &format!("stop {}", started.arn),
    ] {
        let ran = test.run(&format!("{words} -e staging")).code(2).stdout("");
        let _ = ran.stderr_has("`staging` is in account 999988887777").stderr_has("tasks.toml:");
    }
    assert_eq!((fake.count("StopTask"), fake.alive()), (0, vec![started.arn]));
}

#[test]
fn logs_prints_what_there_is() {
    let fake = account().task_life(Life::counts_to(500).runs_forever()).log_pages(3, 40, 2);
    let test = project(&fake);
    let started = crash(&fake, &test, &[]);
    fake.advance(120_000);
    test.run(&format!("logs {} -e staging", id(&started))).expect(0, &numbers(500), "");
    let _ = test.run("logs db-migrate -e staging --since 90s").code(0);
    let sent = fake.sent("GetLogEvents").pop().unwrap();
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let ago = since_1970.as_millis() as i64 - sent["startTime"].as_i64().unwrap();
    assert!((90_000..100_000).contains(&ago), "{ago} {sent}");
    let fake = account().task_life(Life::new().runs_forever().no_stream());
    let test = project(&fake);
    let _ = test.run("run db-migrate -e staging --detach").code(0);
    let _ = test.run("logs db-migrate -e staging").code(0).stdout("").stderr_has("there is no output of [id]");
}

#[test]
fn an_equal_ecs_task_that_runs_is_not_started_a_second_time() {
    let life = || Life::counts_to(5).runs(150_000).exits(4);
    let fake = account().next_life(life().runs_forever()).task_life(life());
    let test = project(&fake).env("XTASK_ENV", "staging");
    let started = crash(&fake, &test, &["--run-id", "one"]);
    // In CI, and wherever nobody can be asked.
    let requests = fake.records().len();
    fake.set_latency(5, 60..120);
    let refused = test.run("run db-migrate").code(2).stdout("");
    let _ = refused
        .stderr_has("not started a second time in `staging`: `db-migrate` still runs")
        .stderr_has("started by deployer/somebody")
        .stderr_has("whether a process follows it, ECS does not know")
        .stderr_has("cargo xtask attach [id] -e staging")
        .stderr_has("cargo xtask stop [id] -e staging")
        .stderr_has("--start-another");
    let chain = fake.longest_chain_from(requests, "DescribeTasks");
    assert!(chain.len() <= 2, "{chain:#?}");
    let _ = test.run("run db-migrate --dry-run").code(0).stderr_has("`db-migrate` still runs");
    assert_eq!((fake.count("RunTask"), fake.count("RegisterTaskDefinition")), (1, 1));
    // Other work is nobody's business.
    let _ = test.run("run db-migrate --detach --var A=1").code(0);
    let _ = test.run("run db-migrate --detach -- up").code(0);
    assert_eq!(fake.count("RunTask"), 3);
    let _ = test.run("run db-migrate --detach --start-another").code(0).stderr_has("`db-migrate` still runs");
    assert_eq!((fake.count("RunTask"), fake.count("StopTask")), (4, 0));
    assert!(fake.alive().contains(&started.arn));
}

#[test]
fn the_same_run_id_is_the_same_run() {
    let fake = account().task_life(Life::counts_to(5).runs(150_000).exits(4));
    let test = project(&fake);
    let started = crash(&fake, &test, &["--run-id", "one"]);
    // A CI job that is tried again: it goes on where the first one was lost.
    let ran = test.run("run db-migrate -e staging --run-id one").code(4).stdout(&numbers(5));
    let _ = ran.stderr_has("this run has started its ECS task already");
    assert_eq!((fake.count("RunTask"), fake.count("StopTask")), (1, 0));
    assert!(!fake.alive().contains(&started.arn));
    // Now it is over, and running it again is another attempt.
    let _ = test.run("run db-migrate -e staging --run-id one --detach").code(0);
    assert_eq!(fake.count("RunTask"), 2);
}

#[test]
fn a_run_id_is_taken_while_other_work_runs_under_it() {
    let fake = account().task_life(Life::counts_to(5).runs(3_000_000));
    let test = project(&fake);
    let started = crash(&fake, &test, &["--run-id", "one"]);
    for other in ["-- up", "--var A=1", "--start-another -- up"] {
        let refused = test.run(&format!("run db-migrate -e staging --run-id one {other}")).code(2).stdout("");
        let _ = refused
            .stderr_has("the run id one is taken: `db-migrate` still runs, with another command or other variables")
            .stderr_has("ECS task [id]")
            .stderr_has("give this run another id: --run-id");
    }
    assert_eq!((fake.count("RunTask"), fake.alive()), (1, vec![started.arn]));
    let _ = test.run("run db-migrate -e staging --run-id two --detach -- up").code(0);
    // The same where at most one may run at a time.
    let fake = account().task_life(Life::counts_to(5).runs(400_000));
    let test = project(&fake);
    test.write("tasks.toml", &TASKS.replace("[tasks.db-migrate]", "[tasks.db-migrate]\nexclusive = true"));
    let started = crash(&fake, &test, &["--run-id", "one"]);
    let refused = test.run("run db-migrate -e staging --run-id one -- up").code(2).stdout("");
    let _ = refused.stderr_has("the run id one is taken: `db-migrate` runs, with another command or other variables");
    assert_eq!((fake.started().len(), fake.alive()), (1, vec![started.arn]));
    let _ = test.run("run db-migrate -e staging --run-id one").code(0).stdout(&numbers(5));
    assert_eq!(fake.started().len(), 1);
}

#[test]
fn on_a_terminal_it_is_a_question() {
    if !has_terminal() {
        return;
    }
    let fake = account().task_life(Life::counts_to(5).runs(120_000).exits(4));
    let test = project(&fake);
    let _ = crash(&fake, &test, &[]);
    let answer = |word: &str| {
        let running = test.command(["run", "db-migrate", "-e", "staging"]).terminal(Terminal::AllButStdout).start();
        running.wait_for_stderr("Type `attach`");
        running.types(&format!("{word}\n"));
        running.finish()
    };
    let _ = answer("").code(2).screen_has("nothing was started");
    assert_eq!(fake.count("RunTask"), 1);
    let _ = answer("attach").code(4).stdout(&numbers(5));
    assert_eq!(fake.count("RunTask"), 1);
    let fake = account().task_life(Life::counts_to(5).runs(20_000).exits(4));
    let test = project(&fake);
    let _ = crash(&fake, &test, &[]);
    let running = test.command(["run", "db-migrate", "-e", "staging"]).terminal(Terminal::AllButStdout).start();
    running.wait_for_stderr("Type `attach`");
    running.types("start\n");
    let _ = running.finish().code(4).stdout(&numbers(5));
    assert_eq!(fake.count("RunTask"), 2);
}

#[test]
fn who_may_not_list_runs_all_the_same() {
    let fake = account().task_life(Life::counts_to(2)).fault("ListTasks", .., Fault::AccessDenied);
    let test = project(&fake);
    let tasks = TASKS.replace("service =", "task-definition = \"app\"\nsubnets = [\"subnet-0a\"]\n# service =");
    test.write("tasks.toml", &tasks);
    let _ = test.run("run db-migrate -e staging").code(0).stderr_has("cannot look whether `db-migrate` still runs");
}

#[test]
fn only_who_may_not_describe_runs_without_a_look() {
    let crashed = |fake: &Fake| {
        let test = project(fake);
        let child = test.child();
        fake.at_call("RunTask", 1, Moment::Acted, move || child.signal(Signal::KILL));
        let _ = test.run("run db-migrate -e staging").killed_by(9);
        // Without a service there is one call of DescribeTasks before RunTask.
        let tasks = TASKS.replace("service =", "task-definition = \"app\"\nsubnets = [\"subnet-0a\"]\n# service =");
        test.write("tasks.toml", &tasks);
        test
    };
    let life = || Life::counts_to(2).runs_forever();
    let fake = account().task_life(life()).fault("DescribeTasks", 2.., Fault::Refuse("ClientException", "no"));
    let test = crashed(&fake);
    let _ = test.run("run db-migrate -e staging --detach").code(125).stderr_has("cannot read the task's ECS tasks");
    assert_eq!(fake.count("RunTask"), 1);
    let fake = account().task_life(life()).fault("DescribeTasks", 2, Fault::AccessDenied);
    let test = crashed(&fake);
    let ran = test.run("run db-migrate -e staging --detach").code(0);
    let _ = ran.stderr_has("cannot look whether `db-migrate` still runs");
    // Listed, and not described at once: it is found all the same.
    let fake = account().missing_first(2).task_life(life());
    let test = crashed(&fake);
    let _ = test.run("run db-migrate -e staging --detach").code(2).stderr_has("not started a second time");
    assert_eq!(fake.count("RunTask"), 1);
    // Nor later.
    let fake = account().missing_first(99).task_life(life());
    let test = crashed(&fake);
    let ran = test.run("run db-migrate -e staging --dry-run").code(0);
    let _ = ran.stderr_has("an ECS task of `db-migrate` may still run: ECS lists [id] and does not describe it");
}

#[test]
fn credentials_that_are_renewed_in_the_middle_are_used() {
    let fake = account().task_life(Life::counts_to(30).runs(40_000).exits(6));
    let fake =
        fake.fault("DescribeTasks", 5..=9, Fault::ExpiredToken).fault("GetLogEvents", 4..=7, Fault::ExpiredToken);
    let test = project(&fake);
    let ran = test.run("run db-migrate -e staging").code(6).stdout(&numbers(30));
    let _ = ran.stderr_has("ExpiredTokenException").stderr_has("renew the credentials");
    assert_eq!((fake.count("RunTask"), fake.count("StopTask")), (1, 0));
}

#[test]
fn an_environment_of_this_machine_has_no_ecs_tasks() {
    let fake = account();
    let test = project(&fake);
    test.write("tasks.toml", "[environments.local]\nrunner = \"host\"\n[tasks.t]\ncommand = [\"true\"]\n");
    for words in ["ps", "attach t", "logs t", "stop t"] {
        let _ = test.run(words).code(2).stdout("").stderr_has("no task runs on ECS in `local`");
    }
    assert!(fake.records().is_empty());
}
