//! The host runner, through the built binary.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::wait_until;
use crate::local::{Folder, OnTerminal, Ran, Running, is_alive, is_gone, is_stopped};

/// A tasks.toml whose one task runs this script with sh.
fn script(script: &str, more: &str) -> Folder {
    let command = serde_json::json!(["sh", "-c", script]);
    Folder::new(&format!(
        "default-environment = \"local\"\n[environments.local]\nrunner = \"host\"\n[tasks.t]\ncommand = {command}\n{more}"
    ))
}

#[test]
fn the_exit_code_is_the_tasks_own() {
    for code in [0, 1, 2, 7, 42, 101, 124, 125, 126, 127, 128, 129, 130, 137, 143, 254, 255] {
        let ran = script(&format!("exit {code}"), "").run(&["run", "t"]);
        assert_eq!((ran.code, ran.out().as_str()), (Some(code), ""), "{}", ran.err());
    }
}

#[test]
fn a_task_that_a_signal_ended_has_a_shells_code() {
    for (signal, code, name) in
        [("KILL", 137, "SIGKILL"), ("SEGV", 139, "SIGSEGV"), ("TERM", 143, "SIGTERM"), ("INT", 130, "SIGINT")]
    {
        let ran = script(&format!("kill -{signal} $$"), "").run(&["run", "t"]);
        assert_eq!(ran.code, Some(code));
        assert!(ran.err().contains(name), "{}", ran.err());
    }
}

/// Both streams: many lines, bytes that are not UTF-8, a line over 100 kB, no newline at the end.
const BOTH: &str = "seq 1 200000; printf '\\377\\376\\n'; head -c 150000 /dev/zero | tr '\\0' x; printf '\\nend'; \
                    seq 1 50000 >&2; printf '\\200' >&2";

fn stdout_of_both() -> Vec<u8> {
    let mut bytes = (1..=200_000).map(|it| format!("{it}\n")).collect::<String>().into_bytes();
    bytes.extend(b"\xff\xfe\n");
    bytes.extend([b'x'; 150_000]);
    bytes.extend(b"\nend");
    bytes
}

fn stderr_of_both() -> Vec<u8> {
    let mut bytes = (1..=50_000).map(|it| format!("{it}\n")).collect::<String>().into_bytes();
    bytes.push(0x80);
    bytes
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|it| it == needle)
}

#[test]
fn both_streams_are_exact_and_apart() {
    let ran = script(BOTH, "").run(&["run", "t"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout == stdout_of_both());
    assert!(contains(&ran.stderr, &stderr_of_both()));
}

#[test]
fn as_json_the_output_is_a_log_event_a_line() {
    let ran = script(BOTH, "").run(&["run", "t", "--format", "json"]);
    assert_eq!(ran.code, Some(0));
    let expected: Vec<_> = String::from_utf8_lossy(&stdout_of_both()).lines().map(str::to_owned).collect();
    assert!(ran.messages() == expected);
    assert!(contains(&ran.stderr, &stderr_of_both()));
    let events = ran.events();
    let log = events.iter().find(|it| it["event"] == "log").unwrap();
    assert_eq!(log["container"], "host");
    assert_eq!(events.last().unwrap()["outcome"], "succeeded");
}

#[test]
fn as_json_a_process_left_behind_does_not_hold_the_run_up() {
    let start = Instant::now();
    let folder = script("sleep 50 2>/dev/null & echo $! > sleeper; echo done", "");
    let ran = folder.run(&["run", "t", "--format", "json"]);
    assert_eq!((ran.code, ran.messages()), (Some(0), vec!["done".to_owned()]));
    assert!(start.elapsed() < Duration::from_secs(20));
    let sleeper = folder.read("sleeper");
    folder.command("kill", &[sleeper.trim()]).status().unwrap();
}

#[test]
fn it_runs_in_the_folder_of_tasks_toml_with_its_variables() {
    let folder = script(
        "pwd; printf '%s|' \"$EMPTY\" \"$LINES_\" \"$QUOTE\" \"$XTASK_RUN_BY\" \"${EMPTY-unset}\"; test -n \"$XTASK_RUN_ID\"",
        "variables = { EMPTY = \"\", LINES_ = \"a\\nb\", QUOTE = \"'$x\\\" \" }",
    );
    let ran = folder.run(&["run", "t"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let machine = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    assert_eq!(ran.out(), format!("{}\n|a\nb|'$x\" |somebody@{machine}||", folder.path().display()));
}

#[test]
fn arguments_reach_it_as_they_are() {
    let folder = Folder::new(
        "default-environment = \"local\"\n[environments.local]\nrunner = \"host\"\nentrypoint = [\"printf\", \"[%s]\"]\n\
         [tasks.t]\ncommand = [\"a b\", \"\"]\n",
    );
    assert_eq!(folder.run(&["run", "t", "--", "$x", "--help", "*"]).out(), "[a b][][$x][--help][*]");
}

#[test]
fn without_its_secrets_nothing_runs_and_all_are_named() {
    let folder = script("touch ran", "secrets = { TOKEN = \"/a\", KEY = \"/b\", SET = \"/c\" }");
    let ran = Ran::of(folder.xtask(&["run", "t"]).env("SET", "").output().unwrap());
    assert_eq!(ran.code, Some(2));
    assert!(ran.err().contains("`TOKEN` is not set") && ran.err().contains("`KEY` is not set"), "{}", ran.err());
    assert!(!ran.err().contains("`SET`") && !folder.has("ran"));
    let mut command = folder.xtask(&["run", "t"]);
    command.env("SET", "").env("TOKEN", "1").env("KEY", "2");
    assert_eq!(command.status().unwrap().code(), Some(0));
}

#[test]
fn a_pipe_or_a_file_is_its_standard_input() {
    let folder = script("cat", "");
    let mut child = folder.xtask(&["run", "t"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let payload = vec![b'y'; 1_000_000];
    let written = payload.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&written).unwrap());
    let ran = Ran::of(child.wait_with_output().unwrap());
    writer.join().unwrap();
    assert!(ran.code == Some(0) && ran.stdout == payload);
}

#[test]
fn a_program_that_cannot_start_is_named() {
    let tasks = |program: &str| {
        Folder::new(&format!(
            "default-environment = \"local\"\n[environments.local]\nrunner = \"host\"\n[tasks.t]\ncommand = [\"{program}\"]\n"
        ))
    };
    for (program, message) in [
        ("no-such-program", "cannot start `no-such-program`: command not found"),
        ("bin/none", "cannot start `bin/none`: no such file"),
        ("./tasks.toml", "cannot start `./tasks.toml`: permission denied"),
    ] {
        let ran = tasks(program).run(&["run", "t"]);
        assert_eq!((ran.code, ran.out().as_str()), (Some(125), ""));
        assert!(ran.err().contains(message), "{}", ran.err());
    }
}

#[test]
fn a_signal_reaches_everything_that_the_task_started_once_and_decides_the_exit_code() {
    for (signal, name, code) in
        [(Signal::INT, "INT", 130), (Signal::TERM, "TERM", 143), (Signal::HUP, "HUP", 129), (Signal::QUIT, "QUIT", 131)]
    {
        // Both the task and what it started write a line for each signal; the task ends well.
        let folder = script(
            &format!(
                "trap 'echo outer >> got; exit 0' {name}; \
                 sh -c 'trap \"echo inner >> got; exit 0\" {name}; echo $$ > inner; echo up; while :; do sleep 0.02; done'"
            ),
            "",
        );
        let mut running = Running::start(folder.xtask(&["run", "t"]));
        running.wait_for("up");
        running.signal(signal);
        let ran = running.finish();
        assert_eq!((ran.code, ran.out().as_str()), (Some(code), "up\n"), "{}", ran.err());
        let mut got: Vec<_> = folder.read("got").lines().map(str::to_owned).collect();
        got.sort();
        assert_eq!(got, ["inner", "outer"], "{name}");
        assert!(is_gone(&folder.read("inner")));
    }
}

#[test]
fn a_second_signal_kills_what_ignores_the_first() {
    let folder = script("trap '' INT; sleep 55 & echo $! > sleeper; echo up; wait", "");
    let mut running = Running::start(folder.xtask(&["run", "t"]));
    running.wait_for("up");
    running.signal(Signal::INT);
    running.wait_for_stderr("stopping the process");
    assert!(running.child.try_wait().unwrap().is_none(), "the first is ignored");
    let second = Instant::now();
    running.signal(Signal::INT);
    let ran = running.finish();
    assert!(second.elapsed() < Duration::from_secs(20), "the grace is not waited for");
    assert_eq!(ran.code, Some(130));
    assert!(ran.err().contains("SIGKILL"), "{}", ran.err());
    assert!(is_gone(&folder.read("sleeper")));
}

#[test]
fn the_timeout_ends_it_with_all_that_it_started() {
    let folder = script("sleep 55 & echo $! > sleeper; echo up; wait", "timeout = \"1s\"");
    let start = Instant::now();
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(124), "up\n"), "{}", ran.err());
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(ran.err().contains("1s"), "{}", ran.err());
    assert!(is_gone(&folder.read("sleeper")));
}

#[test]
fn what_a_stopped_task_leaves_behind_is_killed() {
    let stubborn = "(trap '' TERM; echo up; while :; do sleep 0.1; done) & echo $! > stubborn; wait";
    let folder = script(stubborn, "timeout = \"2s\"");
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(124), "up\n"), "{}", ran.err());
    assert!(is_gone(&folder.read("stubborn")), "{}", ran.err());
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    let folder = script("echo up; sleep 1; echo end", "");
    let mut all = vec![env!("CARGO_BIN_EXE_xtask")];
    all.extend(["run", "t"]);
    let mut running = Running::start(folder.command("nohup", &all));
    running.wait_for("up");
    running.signal(Signal::HUP);
    let ran = running.finish();
    assert_eq!((ran.code, ran.out().as_str()), (Some(0), "up\nend\n"), "{}", ran.err());
}

#[test]
fn cargos_variables_do_not_reach_it_and_the_users_do() {
    let folder = script("env | sort", "");
    let mut command = folder.xtask(&["run", "t"]);
    command.envs([
        ("CARGO", "/r/toolchains/stable/bin/cargo"),
        ("CARGO_MANIFEST_DIR", "/w/xtask"),
        ("CARGO_PKG_NAME", "xtask"),
        ("RUSTUP_TOOLCHAIN", "stable"),
        ("RUST_RECURSION_COUNT", "1"),
        ("LD_LIBRARY_PATH", "/w/target/xtask:/r/toolchains/stable/lib/rustlib/x/lib:/opt/mine"),
        ("CARGO_TARGET_DIR", "/t"),
        ("CARGO_TERM_COLOR", "always"),
    ]);
    let ran = Ran::of(command.output().unwrap());
    let out = ran.out();
    let of_interest = |it: &&str| ["CARGO", "RUST", "LD_"].iter().any(|prefix| it.starts_with(prefix));
    let found: Vec<_> = out.lines().filter(of_interest).collect();
    assert_eq!(found, ["CARGO_TARGET_DIR=/t", "CARGO_TERM_COLOR=always", "LD_LIBRARY_PATH=/opt/mine"]);
}

// -------------------------------------------------------------------------------------------------------------- exclusive

/// Waits until a lock of this machine says this.
fn wait_for_a_lock_with(text: &str) {
    let says = |folder: &str| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.map(|it| std::fs::read_to_string(it.path()).unwrap_or_default()).any(|it| it.contains(text))
    };
    wait_until(&format!("a lock says {text}"), || says("/run/lock/xtask") || says("/tmp/xtask"));
}

/// Up until the file `go` is there.
const UNTIL_GO: &str = "echo $$ > task; echo up; while [ ! -e go ]; do sleep 0.02; done; echo end";

#[test]
fn an_exclusive_task_whose_run_was_killed_keeps_its_place_until_it_ends() {
    let folder = script(UNTIL_GO, "exclusive = true");
    let mut running = Running::start(folder.xtask(&["run", "t"]));
    running.wait_for("up");
    // The task can be quicker than the process that notes its group beside the lock.
    let task = folder.read("task").trim().to_owned();
    wait_for_a_lock_with(&format!("group {task}\n"));
    running.signal(Signal::KILL);
    running.child.wait().unwrap();
    assert!(is_alive(&task), "nothing ends a task whose run was killed");

    let ran = folder.run(&["run", "t", "--format", "json"]);
    let end = ran.events().pop().unwrap();
    assert_eq!((ran.code, end["outcome"].as_str()), (Some(125), Some("already-running")), "{}", ran.err());
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(125), ""), "{}", ran.err());
    let (gone, end) = (format!("what it started runs on, as process group {task}"), format!("kill -- -{task}"));
    assert!(ran.err().contains(&gone) && ran.err().contains(&end), "{}", ran.err());

    std::fs::write(folder.path().join("go"), "").unwrap();
    assert!(is_gone(&task));
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(0), "up\nend\n"), "{}", ran.err());
}

#[test]
fn an_exclusive_task_has_one_place_by_whatever_way_and_user_it_is_run() {
    let folder = script(UNTIL_GO, "exclusive = true");
    let path = folder.path().to_owned();
    std::os::unix::fs::symlink(&path, path.join("link")).unwrap();
    std::fs::create_dir(path.join("home")).unwrap();
    let mut running = Running::start(folder.xtask(&["run", "t"]));
    running.wait_for("up");
    let by = |file: &str, change: &dyn Fn(&mut Command) -> &mut Command| {
        let mut command = folder.xtask(&["run", "t", "--file", file]);
        change(&mut command);
        let ran = Ran::of(command.output().unwrap());
        assert_eq!((ran.code, ran.out().as_str()), (Some(125), ""), "{file}: {}", ran.err());
        assert!(ran.err().contains("`t` runs already in `local`"), "{}", ran.err());
    };
    by("tasks.toml", &|it| it);
    by("home/../tasks.toml", &|it| it);
    by("link/tasks.toml", &|it| it);
    by("tasks.toml", &|it| it.env("HOME", path.join("home")).env("USER", "root"));
    by("tasks.toml", &|it| it.env_remove("HOME").env("TMPDIR", path.join("home")));
    std::fs::write(path.join("go"), "").unwrap();
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn what_an_exclusive_task_leaves_behind_does_not_hold_its_place() {
    let folder = script("sleep 50 > sleeping 2>&1 & echo $! > sleeper; echo done", "exclusive = true");
    let mut sleepers = Vec::new();
    for _ in 0..2 {
        let ran = folder.run(&["run", "t"]);
        assert_eq!((ran.code, ran.out().as_str()), (Some(0), "done\n"), "{}", ran.err());
        sleepers.push(folder.read("sleeper"));
    }
    for sleeper in sleepers {
        assert!(is_alive(&sleeper));
        folder.command("kill", &[sleeper.trim()]).status().unwrap();
    }
}

// ---------------------------------------------------------------------------------------------------------- on a terminal
//
// Our own words show the script on the same terminal, so what it prints is spelled otherwise in it.

#[test]
fn ctrl_c_reaches_a_task_once_and_ends_the_run() {
    let folder = script("trap 'echo got >> got; exit 0' INT; echo r''eady; while :; do sleep 0.02; done", "");
    let Some(mut terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    terminal.wait_for("ready");
    terminal.type_in("\x03");
    let (code, screen) = terminal.finish();
    assert_eq!((code, folder.read("got").as_str()), (Some(130), "got\n"), "{screen}");
    assert!(screen.contains("SIGINT: stopping the process; the same signal again kills it"), "{screen}");
}

/// As in any shell: Ctrl-Z stops what the task has started too, its time stands still, and `fg` lets all of it go on.
#[test]
fn ctrl_z_pauses_the_whole_job_and_fg_continues_it() {
    let folder = script(
        "echo $$ > outer; sh -c 'echo $$ > inner; echo r''eady; while [ ! -e go ]; do sleep 0.05; done'; echo e''nd",
        "timeout = \"4s\"",
    );
    let shell = ["--norc", "--noprofile", "-i"];
    let Some(mut terminal) = OnTerminal::start_program(&folder, "bash", &shell) else { return };
    terminal.type_in(&format!("{} run t; echo \"co\"\"de $?\"\n", env!("CARGO_BIN_EXE_xtask")));
    terminal.wait_for("ready");
    terminal.type_in("\x1a");
    terminal.wait_for("Stopped");
    for process in ["outer", "inner"] {
        assert!(is_stopped(&folder.read(process), true), "{process} goes on in the background");
    }
    std::thread::sleep(Duration::from_secs(5));
    terminal.type_in("fg\n");
    for process in ["outer", "inner"] {
        assert!(is_stopped(&folder.read(process), false), "{process} stays stopped");
    }
    std::fs::write(folder.path().join("go"), "").unwrap();
    terminal.wait_for("succeeded");
    terminal.type_in("exit 3\n");
    let (code, screen) = terminal.finish();
    assert!(code == Some(3) && screen.contains("end\n"), "{screen}");
}

#[test]
fn sigtstp_stops_nobody_where_nothing_can_continue_it() {
    let folder = script("echo up; while [ ! -e go ]; do sleep 0.02; done", "");
    // In a session of its own there is no shell.
    let mut running = Running::start(folder.command("setsid", &[env!("CARGO_BIN_EXE_xtask"), "run", "t"]));
    running.wait_for("up");
    running.signal(Signal::TSTP);
    std::thread::sleep(Duration::from_millis(300));
    assert!(is_stopped(&running.child.id().to_string(), false));
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn ctrl_c_in_an_interactive_task_is_its_own_business() {
    let folder = script(
        "trap \"echo c''aught\" INT; echo r''eady; while ! read line; do :; done; echo \"read $line\"; exit 9",
        "interactive = true",
    );
    let Some(mut terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    terminal.wait_for("ready");
    terminal.type_in("\x03");
    terminal.wait_for("caught");
    terminal.type_in("hello\n");
    terminal.wait_for("read hello\r\n");
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(9), "{screen}");
}

#[test]
fn a_terminal_is_not_read_by_a_task_that_is_not_interactive() {
    let folder = script("if read line; then echo \"read $line\"; else echo nothing; fi", "");
    let Some(terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    let (code, screen) = terminal.finish();
    assert!(code == Some(0) && screen.contains("nothing"), "{screen}");
}

#[test]
fn a_task_that_opens_the_terminal_itself_is_ended_with_a_hint() {
    let folder = script("read line < /dev/tty; echo \"read $line\"", "");
    let Some(terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(125), "{screen}");
    assert!(screen.contains("interactive = true"), "{screen}");
}

#[test]
fn the_terminal_is_put_back_after_a_task_that_died_in_raw_mode() {
    let folder = script("stty raw -echo; kill -KILL $$", "interactive = true");
    let Some(terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    let settings = terminal.settings();
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(137), "{screen}");
    assert!(settings(), "raw mode was left on");
}
