//! Decisions of the local runners. What processes and containers really do is tested with the built binary.

use super::*;
use crate::model::{OnInterrupt, Origin, Settings, Sourced, Span};

/// A task of this name in the environment `local`.
pub(super) fn task(runner: Runner) -> ResolvedTask {
    ResolvedTask {
        task: "db-migrate".to_owned(),
        task_span: Some(Span { start: 1, end: 2 }),
        environment: Sourced::new("local".to_owned(), Origin::Flag("--env")),
        runner: Sourced::default(runner),
        image: None,
        entrypoint: None,
        command: None,
        variables: BTreeMap::new(),
        secrets: BTreeMap::new(),
        interactive: false,
        timeout: None,
        start_timeout: Sourced::default(Duration::from_secs(600)),
        on_interrupt: OnInterrupt::Stop,
        protected: false,
        rebuild: false,
        exclusive: false,
        once: false,
        shards: None,
        settings: Settings::default(),
        warnings: Vec::new(),
    }
}

pub(super) fn words(words: &[&str]) -> Option<Sourced<Vec<String>>> {
    Some(Sourced::default(words.iter().map(|it| (*it).to_owned()).collect()))
}

pub(super) fn this_run() -> Run {
    Run { id: "r1".to_owned(), commit: None, json: false, lock: None, shard: None, grace: GRACE }
}

#[test]
fn the_ending_follows_from_the_end_and_its_cause() {
    use Ended::{Exited, Killed};
    use Outcome::{Failed, Interrupted, Succeeded};
    let mut task = task(Runner::Host);
    task.timeout = Some(Sourced::default(Duration::from_secs(90)));
    for (ended, cause, outcome, code, explanation) in [
        (Exited(0), None, Succeeded, 0, ""),
        (Exited(1), None, Failed, 1, ""),
        (Exited(255), None, Failed, 255, ""),
        (Exited(256), None, Failed, 125, "exit code 256 is not between 0 and 255"),
        (Killed(2), None, Interrupted, 130, "the process was ended by SIGINT"),
        (Killed(9), None, Failed, 137, "the process was ended by SIGKILL"),
        (Killed(11), None, Failed, 139, "the process was ended by SIGSEGV"),
        (Exited(0), Some(Cause::Signal(2)), Interrupted, 130, "ended with exit code 0 after SIGINT"),
        (Killed(15), Some(Cause::Signal(15)), Interrupted, 143, "ended by SIGTERM"),
        (Killed(9), Some(Cause::Signal(1)), Interrupted, 129, "ended by SIGKILL"),
        (Exited(0), Some(Cause::TimedOut), Outcome::TimedOut, 124, "the timeout of 1m30s passed"),
        (Killed(9), Some(Cause::TimedOut), Outcome::TimedOut, 124, "SIGKILL"),
        (Killed(15), Some(Cause::WantsTerminal), Failed, 125, "terminal"),
    ] {
        let ending = judge(&task, &this_run(), "process", ended, cause, Instant::now());
        assert_eq!((ending.outcome, ending.exit_code), (outcome, code), "{ended:?} {cause:?}");
        let text = ending.explanation.unwrap_or_default();
        assert!(text.contains(explanation) && text.is_empty() == explanation.is_empty(), "{ended:?} {cause:?}: {text}");
    }
}

#[test]
fn everything_that_cannot_run_here_is_refused_at_once() {
    let mut task = task(Runner::Host);
    let reference = |start| {
        let origin = Origin::File { key: "tasks.db-migrate.secrets".to_owned(), span: Span { start, end: start + 1 } };
        Sourced::new("/app/token".to_owned(), origin)
    };
    task.secrets = [("KEY", 20), ("SET", 30), ("TOKEN", 40)].map(|(name, at)| (name.to_owned(), reference(at))).into();
    let error = check_with(&task, |name| name == "SET").unwrap_err();
    let found: Vec<_> = error.problems.iter().map(|it| (it.message.as_str(), it.span.map(|it| it.start))).collect();
    assert_eq!(
        found,
        [
            ("`db-migrate` has neither `entrypoint` nor `command` to run on the host", Some(1)),
            ("`KEY` is not set: secrets are not fetched on the host runner", Some(20)),
            ("`TOKEN` is not set: secrets are not fetched on the host runner", Some(40)),
        ]
    );
    assert_eq!(error.exit_code(), exit::REFUSED);
    task.entrypoint = words(&["bin/run"]);
    assert!(check_with(&task, |_| true).is_ok());
    task.entrypoint = None;
    task.runner.value = Runner::Docker;
    assert!(check_with(&task, |_| true).is_ok(), "an image has a command of its own");
}

#[test]
fn who_runs_it() {
    let variable =
        |set: &'static [(&str, &str)]| move |name: &str| set.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    for (set, machine, expected) in [
        (&[("USER", "ada"), ("LOGNAME", "x")][..], Some("tower"), "ada@tower"),
        (&[("USER", ""), ("LOGNAME", "ada")], None, "ada"),
        (&[], Some("tower"), "somebody@tower"),
    ] {
        assert_eq!(who(variable(set), machine), expected);
    }
}

#[test]
fn the_task_can_tell_what_it_is_part_of() {
    let mut task = task(Runner::Host);
    task.variables.insert("A".to_owned(), Sourced::default("1".to_owned()));
    let mut run = this_run();
    let found = variables(&task, &run);
    assert_eq!((found["A"].as_str(), found["XTASK_RUN_ID"].as_str(), found.get("XTASK_COMMIT")), ("1", "r1", None));
    run.commit = Some(Commit { id: "c0ffee".to_owned(), dirty: true });
    assert_eq!(variables(&task, &run)["XTASK_COMMIT"], "c0ffee+dirty");
    run.commit = Some(Commit { id: "c0ffee".to_owned(), dirty: false });
    assert_eq!(variables(&task, &run)["XTASK_COMMIT"], "c0ffee");
}

#[test]
fn the_plan_has_a_line_for_everything_that_is_known() {
    let mut task = task(Runner::Docker);
    task.image = Some(Sourced::default(ImageChoice::Reference("acme/app:1".to_owned())));
    task.entrypoint = words(&["bin/run"]);
    task.command = words(&["db:migrate", "a b"]);
    task.variables.insert("BATCH".to_owned(), Sourced::new("500".to_owned(), Origin::Flag("--var")));
    task.variables.insert("API_TOKEN".to_owned(), Sourced::default("t0p".to_owned()));
    task.secrets.insert("TOKEN".to_owned(), Sourced::default("/app/token".to_owned()));
    task.timeout = Some(Sourced::new(Duration::from_secs(900), Origin::Flag("--timeout")));
    task.settings.cpu = Some(Sourced::default(1024));
    task.settings.memory = Some(Sourced::default(2048));
    task.settings.docker_args = words(&["--volume", "a:/b"]);
    let text = |task: &ResolvedTask| -> Vec<String> {
        plan_lines(task).iter().map(|it| format!("{}: {} ({})", it.key, it.value, it.origin)).collect()
    };
    assert_eq!(
        text(&task),
        [
            "environment: local (--env)",
            "runner: docker (default)",
            "image: acme/app:1 (default)",
            "entrypoint: bin/run (default)",
            "command: db:migrate 'a b' (default)",
            "variable: API_TOKEN=… (default)",
            "variable: BATCH=500 (--var)",
            "secret: TOKEN, as it is set in this shell (default)",
            "cpu: 1024 (default)",
            "memory: 2048 (default)",
            "docker-args: --volume a:/b (default)",
            "timeout: 15m (--timeout)",
        ]
    );
    task.runner.value = Runner::Host;
    assert!(!text(&task).iter().any(|it| it.starts_with("image") || it.starts_with("memory")), "not the host's");
}

fn cx() -> Cx {
    Cx {
        root: std::env::temp_dir(),
        sh: xshell::Shell::new().unwrap(),
        ui: crate::ui::Ui::new(crate::ui::UiOptions { quiet: true, ..Default::default() }),
        source: std::sync::Arc::new(crate::model::Source { path: String::new(), text: String::new() }),
    }
}

/// Also one of many, whose turn comes when another one's end has halted them all.
#[tokio::test]
async fn a_signal_that_came_before_starts_nothing() {
    let mut task = task(Runner::Host);
    task.command = words(&["sh", "-c", "exit 9"]);
    for shard in [None, Some(Shard { index: 1, of: 3 })] {
        let (relay, mut signals) = Signals::relayed();
        relay.send(signals::TERMINATE).unwrap();
        let run = Run { json: true, shard, ..this_run() };
        let error = host(&cx(), &task, &run, &mut signals).await.unwrap_err();
        assert_eq!(error.exit_code(), 143);
        assert!(error.to_string().contains("SIGTERM came before the task was started"), "{error}");
    }
}

/// Only here, because the binary's grace is 30 seconds.
#[tokio::test]
async fn what_does_not_end_within_the_grace_is_killed() {
    let mut task = task(Runner::Host);
    task.command = words(&["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]);
    task.timeout = Some(Sourced::default(Duration::from_millis(200)));
    let cx = cx();
    let run = Run { grace: Duration::from_millis(300), ..this_run() };
    let begun = Instant::now();
    let ending = host(&cx, &task, &run, &mut Signals::deaf()).await.unwrap();
    assert_eq!((ending.outcome, ending.exit_code), (Outcome::TimedOut, exit::TIMED_OUT));
    assert!(ending.explanation.is_some_and(|it| it.contains("SIGKILL")));
    assert!(begun.elapsed() >= Duration::from_millis(500), "it has its grace");
}
