//! Real child processes. Signals to this process itself are tested with the built binary: here they would reach every other test.

use std::time::Instant;

use xshell::{Shell, cmd};

use super::*;

/// Listens to nothing: the signals of the test's own process are not its business.
fn deaf() -> Signals {
    Signals::deaf()
}

async fn run(script: &str, stdin: Option<Vec<u8>>) -> Captured {
    let sh = Shell::new().unwrap();
    capture(cmd!(sh, "sh -c {script}"), stdin, &mut deaf()).await.unwrap()
}

#[tokio::test]
async fn the_exit_status_comes_back_as_it_is() {
    for (script, ended) in [
        ("exit 0", Ended::Exited(0)),
        ("exit 7", Ended::Exited(7)),
        ("exit 255", Ended::Exited(255)),
        ("kill -TERM $$", Ended::Killed(15)),
        ("kill -KILL $$", Ended::Killed(9)),
    ] {
        assert_eq!(run(script, None).await.ended, ended, "{script}");
    }
}

#[tokio::test]
async fn both_streams_come_back_whole_and_apart() {
    let captured = run("seq 1 200000; seq 1 100000 >&2; printf '\\377'", None).await;
    let expected = |last: u32| (1..=last).map(|it| format!("{it}\n")).collect::<String>().into_bytes();
    let mut stdout = expected(200_000);
    stdout.push(0xff);
    assert!(captured.stdout == stdout && captured.stderr == expected(100_000));
}

#[tokio::test]
async fn stdin_is_fed_while_output_is_read() {
    let payload = vec![b'x'; 3_000_000];
    let captured = run("cat", Some(payload.clone())).await;
    assert!(captured.stdout == payload);
    assert_eq!(run("cat", None).await.stdout, b"", "without a payload there is nothing to read");
}

#[tokio::test]
async fn a_child_that_does_not_read_its_stdin_is_judged_by_its_exit_status() {
    let captured = run("echo no >&2; exit 3", Some(vec![b'x'; 3_000_000])).await;
    assert_eq!((captured.ended, captured.complaint()), (Ended::Exited(3), "no".to_owned()));
}

#[tokio::test]
async fn a_background_process_with_the_pipe_does_not_hold_us_up() {
    let start = Instant::now();
    let captured = run("sleep 30 & echo $!", None).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    let sh = Shell::new().unwrap();
    let sleeper = String::from_utf8(captured.stdout).unwrap().trim().to_owned();
    cmd!(sh, "kill {sleeper}").quiet().run().unwrap();
}

#[tokio::test]
async fn a_child_has_its_own_group_and_dies_with_the_future() {
    let sh = Shell::new().unwrap();
    let file = std::env::temp_dir().join(format!("xtask-tools-{}", std::process::id()));
    let script = format!("sleep 30 & echo $$ $! $(ps -o pgid= -p $$) > {0}.new; mv {0}.new {0}; wait", file.display());
    let mut signals = deaf();
    let future = to_stderr(cmd!(sh, "sh -c {script}"), &mut signals);
    let started = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = future => panic!("{done:?}"),
        () = started => {}
    }
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let ids: Vec<i32> = text.split_whitespace().map(|it| it.parse().unwrap()).collect();
    assert_eq!(ids[0], ids[2], "the child leads its group");
    for id in &ids[..2] {
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|it| !it.trim().is_empty() && !it.trim().starts_with('Z'))
        };
        let end = Instant::now() + Duration::from_secs(5);
        while alive() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!alive(), "{id} outlived the future");
    }
}

#[tokio::test]
async fn what_cannot_start_is_named_with_its_cause() {
    let sh = Shell::new().unwrap();
    let folder = std::env::temp_dir().join(format!("xtask-tools-start-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    sh.change_dir(&folder);
    std::fs::write(folder.join("plain"), "#!/bin/sh\n").unwrap();
    std::fs::write(folder.join("script"), "#!/no/such/interpreter\n").unwrap();
    cmd!(sh, "chmod +x script").quiet().run().unwrap();
    for (program, message, hint) in [
        ("no-such-program", "cannot start `no-such-program`: command not found", "PATH"),
        ("bin/none", "cannot start `bin/none`: no such file", ""),
        ("./plain", "cannot start `./plain`: permission denied", "chmod +x"),
        ("./script", "cannot start `./script`: its interpreter does not exist", "first line"),
    ] {
        let error = capture(cmd!(sh, "{program}"), None, &mut deaf()).await.unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(error.problems[0].hint.clone().unwrap_or_default().contains(hint), "{error:?}");
    }
    sh.change_dir("gone");
    let error = capture(cmd!(sh, "true"), None, &mut deaf()).await.unwrap_err();
    assert!(error.to_string().ends_with("gone does not exist"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_complaint_is_what_is_wrong_without_the_usage() {
    for (stderr, expected) in [
        ("Error response from daemon: No such image: x:1\n", "No such image: x:1"),
        (
            "unknown flag: --foo\n\nUsage:  docker create [OPTIONS]\n\nRun 'docker create --help' for more\n",
            "unknown flag: --foo",
        ),
        ("docker: 'x' requires 1 argument.\nSee 'docker x --help'.\n", "'x' requires 1 argument"),
        ("", ""),
    ] {
        assert_eq!(complaint(stderr.as_bytes()), expected);
    }
}
