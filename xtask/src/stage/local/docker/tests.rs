//! What is asked of docker, and what its answers mean.

use super::super::tests::{task, this_run, words};
use super::*;
use crate::model::{Runner, Sourced};

fn order(task: &ResolvedTask, tty: bool) -> Order {
    let variables = [("A", "1\n2"), ("HOME", "/app"), ("https_proxy", "http://p")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Order::new(task, "acme/app:1", "r1", "local-db-migrate-0", tty, variables)
}

const FRONT: &str = "create --pull never --name xtask-db-migrate-r1 --label xtask.task=db-migrate --label xtask.run-id=r1 \
                     --label xtask.place=local-db-migrate-0 --label xtask.process=tower:7 \
                     --env A --env HOME=/app --env https_proxy=http://p";

#[test]
fn a_task_becomes_docker_create() {
    let plain = task(Runner::Docker);
    let mut given = task(Runner::Docker);
    given.entrypoint = words(&["bin/run", "-x"]);
    given.command = words(&["migrate", "--help"]);
    given.secrets.insert("TOKEN".to_owned(), Sourced::default("/app/token".to_owned()));
    given.settings.memory = Some(Sourced::default(512));
    given.settings.docker_args = words(&["--volume", "v:/data"]);
    let mut console = task(Runner::Docker);
    console.interactive = true;
    for (task, tty, back) in [
        (&plain, false, " acme/app:1"),
        (
            &given,
            false,
            " --env TOKEN --memory 512m --memory-swap 512m --entrypoint bin/run --volume v:/data acme/app:1 -x migrate --help",
        ),
        (&console, false, " --interactive --init acme/app:1"),
        (&console, true, " --interactive --init --tty acme/app:1"),
    ] {
        let order = order(task, tty);
        let argv = order.argv().join(" ").replace(&this_process(), "tower:7");
        assert_eq!(argv, format!("{FRONT}{back}"));
        assert_eq!(order.environment, [("A".to_owned(), "1\n2".to_owned())].into(), "not what docker reads itself");
    }
    given.settings.cpu = Some(Sourced::default(512));
    given.settings.platform = Some(Sourced::default("linux/arm64".to_owned()));
    let argv = order(&given, false).argv().join(" ");
    assert!(argv.starts_with("create --pull never --cpus 0.5 --platform linux/arm64 --name"), "{argv}");
}

#[test]
fn the_state_decides_the_ending() {
    let state = |json: &str| -> Result<Option<State>> { Ok(Some(serde_json::from_str(json).unwrap())) };
    let exited = |code: i32, more: &str| {
        state(&format!(
            r#"{{"Running":false,"ExitCode":{code},"StartedAt":"2026-01-01T00:00:00Z","FinishedAt":"x","Status":"exited"{more}}}"#
        ))
    };
    let oom = r#","OOMKilled":true"#;
    let never = r#"{"Running":false,"ExitCode":127,"StartedAt":"0001-01-01T00:00:00Z","Error":"exec: \"x\": executable file not found in $PATH"}"#;
    let running = r#"{"Running":true,"ExitCode":0,"StartedAt":"2026-01-01T00:00:00Z"}"#;
    let signal = Some(Cause::Signal(15));
    for (state, attachment, cause, outcome, code, explanation) in [
        (exited(0, ""), 0, None, Outcome::Succeeded, 0, ""),
        (exited(125, ""), 125, None, Outcome::Failed, 125, ""),
        (exited(127, ""), 127, None, Outcome::Failed, 127, ""),
        // docker's command line fell over although the container went on to its end.
        (exited(0, ""), 1, None, Outcome::Succeeded, 0, ""),
        (exited(137, ""), 137, None, Outcome::Failed, 137, "killed by SIGKILL"),
        (exited(137, oom), 137, None, Outcome::Failed, 137, "out of memory"),
        (exited(0, oom), 0, None, Outcome::Failed, 125, "out of memory although"),
        (exited(143, ""), 143, signal, Outcome::Interrupted, 143, "exit code 143 after SIGTERM"),
        (exited(0, oom), 0, signal, Outcome::Interrupted, 143, "after SIGTERM"),
        (exited(137, ""), 137, Some(Cause::TimedOut), Outcome::TimedOut, 124, "the timeout"),
        (state(never), 127, None, Outcome::NeverStarted, 125, "could not start"),
        (state(never), 127, signal, Outcome::Interrupted, 143, "was not started"),
        (state(running), 1, None, Outcome::Stopped, 125, "lost the container"),
        (state(running), 1, signal, Outcome::Interrupted, 143, "removed by force"),
        (Ok(None), 6, None, Outcome::Failed, 6, ""),
        (Err(Error::failed("no answer")), 1, signal, Outcome::Interrupted, 143, "no answer"),
    ] {
        let shown = format!("{state:?} {cause:?}");
        let task = task(Runner::Docker);
        let ended = Some(Ended::Exited(attachment));
        let ending = verdict(&task, &this_run(), state, ended, cause, Instant::now()).unwrap();
        assert_eq!((ending.outcome, ending.exit_code), (outcome, code), "{shown}");
        let text = ending.explanation.unwrap_or_default();
        assert!(text.contains(explanation) && text.is_empty() == explanation.is_empty(), "{shown}: {text}");
    }
    let lost = verdict(&task(Runner::Docker), &this_run(), Err(Error::failed("no answer")), None, None, Instant::now());
    assert_eq!(lost.unwrap_err().exit_code(), exit::FAILED);
}

#[test]
fn a_program_that_is_not_in_the_image_has_a_hint() {
    let state = State {
        running: false,
        oom_killed: false,
        exit_code: 127,
        error: "exec: \"bin/none\": executable file not found in $PATH".to_owned(),
        started_at: "0001-01-01T00:00:00Z".to_owned(),
    };
    let ending = verdict(&task(Runner::Docker), &this_run(), Ok(Some(state)), None, None, Instant::now()).unwrap();
    assert!(ending.hint.is_some_and(|it| it.contains("`entrypoint`")));
    assert!(ending.container_reason.is_some_and(|it| it.contains("bin/none")));
}

#[test]
fn a_missing_image_is_told_from_other_complaints() {
    for (complaint, missing) in [
        ("No such image: acme/app:1", true),
        (
            "image with reference x was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64",
            true,
        ),
        ("Conflict. The container name \"/x\" is already in use", false),
        ("Cannot connect to the Docker daemon at unix:///nope. Is the docker daemon running?", false),
    ] {
        assert_eq!(pull::is_missing(complaint), missing, "{complaint}");
    }
}
