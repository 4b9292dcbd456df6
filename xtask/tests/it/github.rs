//! A step of GitHub Actions, simulated: its variables, its files, its cancellation, and a runner that obeys workflow commands as the
//! real one does.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::ecs;
use crate::expect;
use crate::fake::{Fake, Life};
use crate::harness::{Ran, Test};

/// What the runner sets for a step. Its files are the test's.
fn step(test: Test) -> Test {
    let files = test.home();
    for name in ["summary", "output", "env", "path", "state"] {
        std::fs::write(files.join(name), "").unwrap();
    }
    let file = |name: &str| files.join(name).display().to_string();
    let workspace = test.project().display().to_string();
    let variables = [
        ("CI", "true".to_owned()),
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_ACTION", "__run_3".to_owned()),
        ("GITHUB_ACTOR", "octo-cat".to_owned()),
        ("GITHUB_API_URL", "https://api.github.com".to_owned()),
        ("GITHUB_BASE_REF", String::new()),
        ("GITHUB_ENV", file("env")),
        ("GITHUB_EVENT_NAME", "push".to_owned()),
        ("GITHUB_HEAD_REF", String::new()),
        ("GITHUB_JOB", "deploy".to_owned()),
        ("GITHUB_OUTPUT", file("output")),
        ("GITHUB_PATH", file("path")),
        ("GITHUB_REF", "refs/heads/main".to_owned()),
        ("GITHUB_REF_NAME", "main".to_owned()),
        ("GITHUB_REPOSITORY", "acme/app".to_owned()),
        ("GITHUB_REPOSITORY_OWNER", "acme".to_owned()),
        ("GITHUB_RUN_ATTEMPT", "2".to_owned()),
        ("GITHUB_RUN_ID", "9876543210".to_owned()),
        ("GITHUB_RUN_NUMBER", "17".to_owned()),
        ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
        ("GITHUB_SHA", "4f2c9e14f2c9e14f2c9e14f2c9e14f2c9e14f2c9".to_owned()),
        ("GITHUB_STATE", file("state")),
        ("GITHUB_STEP_SUMMARY", file("summary")),
        ("GITHUB_WORKFLOW", "Deploy".to_owned()),
        ("GITHUB_WORKSPACE", workspace),
        ("RUNNER_ARCH", "X64".to_owned()),
        ("RUNNER_ENVIRONMENT", "github-hosted".to_owned()),
        ("RUNNER_OS", "Linux".to_owned()),
        ("RUNNER_TEMP", test.home().display().to_string()),
    ];
    let test = variables.into_iter().fold(test, |test, (name, value)| test.env(name, &value));
    test.redact(r"(build|push|queue|pull|run|stop) \S+ :\d+, \d+ms", "$1 [time]")
        .redact(r"title \S+ in total", "title [time] in total")
        .redact(r"\| run \| `[a-z0-9]{12}` \|", "| run | `[run]` |")
        .redact(r"run-id<<(xtask-\[hash\])\n\w+\n", "run-id<<$1\n[run]\n")
        .redact(r"; run \w+", "; run [run]")
}

/// What the runner does with a step's lines. Of what is in both pipes at a time it takes stderr's lines first.
#[derive(Debug, Default)]
struct Runner {
    stopped: Option<String>,
    /// Commands that were obeyed.
    obeyed: Vec<String>,
    /// Everything else, as the log shows it.
    log: Vec<String>,
}

const COMMANDS: &[&str] = &[
    "error",
    "warning",
    "notice",
    "debug",
    "group",
    "endgroup",
    "set-output",
    "set-env",
    "add-path",
    "save-state",
    "add-mask",
    "add-matcher",
    "remove-matcher",
    "echo",
    "stop-commands",
];

impl Runner {
    fn read(lines: &[&str]) -> Runner {
        let mut runner = Runner::default();
        for line in lines {
            runner.line(line);
        }
        assert_eq!(runner.stopped, None, "the runner is left deaf");
        runner
    }

    fn line(&mut self, line: &str) {
        match self.command(line) {
            Some((name, _)) if self.stopped.as_deref() == Some(name) => self.stopped = None,
            Some((_, _)) if self.stopped.is_some() => self.log.push(line.to_owned()),
            Some(("stop-commands", token)) => self.stopped = Some(token.to_owned()),
            Some(_) => self.obeyed.push(line.trim_start().to_owned()),
            None => self.log.push(line.to_owned()),
        }
    }

    /// `::name properties::data` at the start of a line, blanks apart, or `##[name properties]data` anywhere in it.
    fn command<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let known = |name: &str| COMMANDS.contains(&name) || self.stopped.as_deref() == Some(name);
        let new = || {
            let (info, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
            Some((info.split(' ').next()?, data)).filter(|it| known(it.0))
        };
        let old = || {
            let (info, data) = line.split_once("##[")?.1.split_once(']')?;
            Some((info.split(' ').next()?, data)).filter(|it| known(it.0))
        };
        new().or_else(old)
    }
}

/// Whichever of its pipes the runner reads first, it obeys the same.
fn obeyed(ran: &Ran) -> Vec<String> {
    let (stdout, stderr) = (ran.stdout_text(), ran.stderr_text());
    let (stdout, stderr): (Vec<&str>, Vec<&str>) = (stdout.lines().collect(), stderr.lines().collect());
    let stderr_first = Runner::read(&[stderr.clone(), stdout.clone()].concat());
    let stdout_first = Runner::read(&[stdout, stderr].concat());
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(stderr_first.obeyed.clone()), sorted(stdout_first.obeyed));
    stderr_first.obeyed
}

/// Lines of a task that would do something if the runner took them for commands.
const PLANTED: &[&str] = &[
    "Migrating",
    "::error file=app.rb,line=1::planted",
    "   ::warning::planted behind blanks",
    "::set-output name=task-arn::planted",
    "::add-mask::a",
    "::stop-commands::planted",
    "::planted::",
    "::endgroup::",
    "before ##[error]planted in the old form",
    "##[set-env name=PATH;]/planted",
    "::save-state name=x::planted",
    "```",
    "<script>planted</script>",
];

fn outputs(test: &Test) -> String {
    std::fs::read_to_string(test.home().join("output")).unwrap()
}

fn summary(test: &Test) -> String {
    std::fs::read_to_string(test.home().join("summary")).unwrap()
}

#[test]
fn a_step_has_groups_annotations_outputs_and_a_summary_and_its_task_commands_nothing() {
    let life = || Life::prints(PLANTED.iter().copied()).unhurried();
    for (name, code) in [("failed", 3), ("succeeded", 0)] {
        let fake = ecs::account().task_life(life().exits(code));
        let test = step(ecs::project(&fake));
        let ran = test.run("run db-migrate -e staging").code(code);
        let obeyed = obeyed(&ran).join("\n");
        assert!(!obeyed.contains("planted"), "{obeyed}");
        for line in PLANTED {
            assert!(ran.stdout_text().lines().any(|it| it == *line), "the output is not altered: {line}");
        }
        expect::file(&format!("github/{name}.stdout.txt"), &ran.stdout_text());
        // Which statuses are seen on their way depends on the machine.
        let stderr = ran.stderr_text();
        let stderr = stderr.lines().filter(|it| !it.starts_with("      Status "));
        expect::file(&format!("github/{name}.stderr.txt"), &stderr.map(|it| format!("{it}\n")).collect::<String>());
        expect::file(&format!("github/{name}.commands.txt"), &format!("{obeyed}\n"));
        expect::file(&format!("github/{name}.outputs.txt"), &test.redacted(&outputs(&test)));
        expect::file(&format!("github/{name}.summary.md"), &test.redacted(&summary(&test)));
        // Nothing else of the step was touched.
        for file in ["env", "path", "state"] {
            assert_eq!(std::fs::read_to_string(test.home().join(file)).unwrap(), "");
        }
    }
}

#[test]
fn problems_of_tasks_toml_are_annotations_and_a_refusal_has_a_summary() {
    let fake = ecs::account();
    let test = step(ecs::project(&fake)).tasks(&ecs::TASKS.replace("cluster =", "clutser ="));
    let ran = test.run("run db-migrate -e staging").code(2);
    assert_eq!(fake.operations(), [""; 0]);
    let obeyed = obeyed(&ran);
    let expected = "::error file=[dir]/project/tasks.toml,line=9,col=1,title=db-migrate::unknown key `clutser` in \
                    `environments.staging`%0Ahint: did you mean `cluster`?";
    assert_eq!(obeyed, [expected]);
    expect::file("github/refused.summary.md", &test.redacted(&summary(&test)));
    expect::file("github/refused.outputs.txt", &test.redacted(&outputs(&test)));
}

#[test]
fn plain_and_other_places_have_nothing_of_it() {
    for (test, words) in [
        (step(ecs::project(&ecs::account())), "run db-migrate -e staging --plain --dry-run"),
        (step(ecs::project(&ecs::account())).without_env("GITHUB_ACTIONS"), "run db-migrate -e staging --dry-run"),
    ] {
        let ran = test.run(words).code(0);
        assert_eq!(obeyed(&ran), [""; 0]);
        assert_eq!((outputs(&test), summary(&test)), (String::new(), String::new()));
    }
}

// ---------------------------------------------------------------------------------------------------------- cancelled jobs

/// How long the runner waits after each signal before the next step, in milliseconds.
const AFTER_SIGINT: u64 = 7_500;
const AFTER_SIGTERM: u64 = 2_500;

/// A cancelled step: bash with the step's script, which alone gets the signals, and then everything killed.
fn cancelled(test: &Test, fake: &Fake, script: &str, quicker: u64) -> std::process::Output {
    let path = test.home().join("step.sh");
    std::fs::write(&path, script).unwrap();
    let mut command = Command::new("/usr/bin/setsid");
    // As the runner starts it.
    command.args(["/bin/bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&path);
    command.current_dir(test.project()).env_clear().envs(test.variables());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let started = Instant::now();
    while fake.alive().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "no ECS task was started");
        std::thread::sleep(Duration::from_millis(5));
    }
    for (signal, wait) in [(Signal::INT, AFTER_SIGINT), (Signal::TERM, AFTER_SIGTERM)] {
        let _ = kill_process(pid, signal);
        let since = Instant::now();
        while child.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_millis(wait / quicker) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // setsid gave the step a group of its own: everything that it started goes.
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    child.wait_with_output().unwrap()
}

#[test]
fn a_cancelled_step_with_exec_stops_its_ecs_task() {
    let fake = ecs::account().task_life(Life::prints(["begun"]).runs_forever());
    let test = step(ecs::project(&fake));
    test.real_program("bash");
    let script = format!("exec {} run db-migrate -e staging", env!("CARGO_BIN_EXE_xtask"));
    let output = cancelled(&test, &fake, &script, 1);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert_eq!(fake.alive(), [""; 0], "{stderr}");
    assert_eq!(fake.count("StopTask"), 1);
    assert!(outputs(&test).contains("interrupted"), "{}", outputs(&test));
}

#[test]
fn a_cancelled_step_does_not_wait_longer_than_the_runner_does() {
    // The container takes ten minutes to stop.
    let life = Life::prints(["begun"]).runs_forever().takes_to_stop(600_000);
    let fake = ecs::account().task_life(life);
    let test = step(ecs::project(&fake));
    let script = format!("exec {} run db-migrate -e staging", env!("CARGO_BIN_EXE_xtask"));
    let output = cancelled(&test, &fake, &script, 10);
    let stderr = String::from_utf8_lossy(&output.stderr);
    // SIGINT has stopped the ECS task, and SIGTERM has ended the waiting for it.
    assert_eq!(output.status.code(), Some(143), "{stderr}");
    assert_eq!(fake.alive(), [""; 0], "{stderr}");
    assert_eq!(fake.count("StopTask"), 1);
}
