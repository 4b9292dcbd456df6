//! The harness and its fake docker, tried out with scripts in the place of the binary: a harness that cannot fail proves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::harness::{Docker, Says, Signal, Terminal, Test, has_terminal};

/// A world whose binary is this script.
fn script(text: &str) -> Test {
    // With the PATH of the world again, which a program's script does without.
    Test::new().program("script", &format!("PATH=${{0%/*}}\n{text}")).instead("script")
}

/// The message of the panic that this ends with.
fn panic_of(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("it should have failed");
    panic
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| panic.downcast_ref::<&str>().copied().unwrap_or("").into())
}

#[test]
fn everything_is_compared_whole() {
    let test = script("echo out; echo \"$PWD\" >&2; exit 3");
    test.run("").expect(3, "out\n", "[dir]/project\n");
    let message = panic_of(|| test.run("").expect(3, "out\n", "[dir]/other\n"));
    assert!(message.contains("- [dir]/other\n+ [dir]/project\n"), "{message}");
    let message = panic_of(|| test.run("").expect(0, "out\n", "[dir]/project\n"));
    assert!(message.contains("expected exit code 0"), "{message}");
    let message = panic_of(|| drop(test.run("").stdout_bytes(b"ouT\n")));
    assert!(message.contains("differs at byte 2"), "{message}");
}

#[test]
fn the_world_is_the_tests_own() {
    let test = script("/usr/bin/env | /usr/bin/sort | /usr/bin/cut -d= -f1; cat /dev/null 2>/dev/null || echo no cat");
    test.run("").expect(0, "HOME\nPATH\nPWD\nTMPDIR\nTZ\nno cat\n", "");
}

#[test]
fn a_run_that_hangs_is_killed_and_shown() {
    let test = script("echo so far; exec /bin/sleep 20");
    let command = test.command(["x"]).limit(Duration::from_millis(300));
    let message = panic_of(|| drop(command.run()));
    assert!(message.contains("takes too long") && message.contains("so far"), "{message}");
}

#[test]
fn a_process_left_behind_is_found() {
    let test = script("/bin/sleep 5 & echo started");
    let message = panic_of(|| drop(test.run("")));
    assert!(message.contains("holds its stdout open"), "{message}");
}

#[test]
fn signals_reach_it_when_it_says_something() {
    let test = script("trap 'echo got it; exit 130' INT; echo ready >&2; while :; do /bin/sleep 0.01; done");
    let running = test.command(["x"]).start();
    running.wait_for_stderr("ready");
    running.signal(Signal::INT);
    running.finish().expect(130, "got it\n", "ready\n");
    let child = test.child();
    let sender = std::thread::spawn(move || child.signal(Signal::KILL));
    let _ = test.run("").killed_by(9);
    sender.join().unwrap();
}

#[test]
fn it_can_have_a_terminal() {
    if !has_terminal() {
        return;
    }
    let test = script(
        "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; /bin/stty size; printf '1\\r\\033[K2\\n'; read -r line; echo \"<$line>\" >&2",
    );
    let running = test.command(["x"]).terminal(Terminal::All).start();
    running.wait_for_stdout("2");
    running.types("typed\n");
    let _ = running.finish().code(0).screen_is("all\n30 100\n2\ntyped\n<typed>\n");
}

#[test]
fn ctrl_c_and_a_closed_window_reach_it() {
    if !has_terminal() {
        return;
    }
    let test =
        script("trap 'exit 130' INT; trap 'echo hup; exit 129' HUP; echo ready; while :; do /bin/sleep 0.01; done");
    let running = test.command(["x"]).terminal_of(Terminal::AllButStdout, 40, 10).start();
    running.wait_for_stdout("ready");
    running.types("\x03");
    let _ = running.finish().code(130).stdout("ready\n");
    let running = test.command(["x"]).terminal(Terminal::AllButStdout).start();
    running.wait_for_stdout("ready");
    running.close_terminal();
    let _ = running.finish().code(129).stdout("ready\nhup\n");
}

#[test]
fn docker_remembers_and_answers() {
    let test = script(
        "docker version --format '{{json .}}'
         docker image inspect acme/app:t1 || echo missing
         echo secret | docker login --username AWS --password-stdin example.com
         docker --config /c build --platform linux/arm64 --tag example.com/acme/app:t1 . && docker push example.com/acme/app:t1
         docker image inspect --format '{{json .}}' example.com/acme/app:t1
         docker push example.com/acme/app:t2 || echo not built
         docker frobnicate || echo $?",
    )
    .docker(Docker::new());
    let ran = test.run("").code(0);
    assert_eq!(
        ran.stdout_text(),
        "{\"Client\":{\"Version\":\"28.2.2\"},\"Server\":{\"Version\":\"28.2.2\",\"Os\":\"linux\",\"Arch\":\"amd64\"}}\n\
         missing\nLogin Succeeded\nThe push refers to repository [example.com/acme/app]\n\
         t1: digest: sha256:[digest] size: 1234\n\
         {\"Id\":\"sha256:[digest]\",\"Os\":\"linux\",\"Architecture\":\"arm64\",\
         \"RepoDigests\":[\"example.com/acme/app@sha256:[digest]\"]}\nnot built\n125\n"
    );
    let calls = test.docker_calls();
    let commands: Vec<String> = calls.iter().map(|it| it.command()).collect();
    assert_eq!(commands, ["version", "image inspect", "login", "build", "push", "image inspect", "push", "frobnicate"]);
    assert_eq!(calls[2].stdin, "secret\n");
    assert_eq!(calls[3].arguments[..3], ["--config", "/c", "build"]);
    assert!(calls[3].var("HOME").is_some_and(|it| it.ends_with("/home")));
}

#[test]
fn docker_does_what_the_test_says() {
    let docker = Docker::new()
        .on("build", Says::new().stderr("step 1\n").dies(9))
        .on_nth("push", 1, Says::new().stderr("denied: Your authorization token has expired.\n").exits(1))
        .on("run", Says::new().hangs_until_told("canceled\n"));
    let test = script(
        "docker build --tag a/b:c . ; echo $?
         docker push a/b:c; echo $?
         docker push a/b:c; echo $?
         trap '' INT; docker run x & run=$!; /bin/sleep 0.2; kill -TERM $run; wait $run; echo $?",
    )
    .docker(docker);
    let ran = test.run("").code(0);
    assert_eq!(ran.stdout_text(), "137\n1\n1\n1\n");
    let ran = ran.stderr_has("step 1\n").stderr_has("token has expired").stderr_has("does not exist locally");
    let _ = ran.stderr_has("canceled\n");
}
