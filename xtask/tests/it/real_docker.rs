//! The docker runner on a real engine, through the built binary. Where a machine has none, the tests say so; with XTASK_REQUIRE_REAL=1
//! that is a failure.
//!
//! The image is one static program, compiled here, so nothing is pulled from anywhere.

#![expect(clippy::unwrap_used, reason = "tests and what they have in common")]
#![expect(clippy::disallowed_methods, reason = "the rule is for the tool's own children")]

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::local::{Folder, OnTerminal, Ran, Running};
use crate::real;

const IMAGE: &str = "xtask-test/probe:1";

const PROBE: &str = r#"
use std::io::{IsTerminal, Read, Write};
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let mut out = std::io::stdout();
    match arguments.get(1).map(String::as_str) {
        Some("exit") => std::process::exit(arguments[2].parse().unwrap()),
        Some("abort") => std::process::abort(),
        Some("both") => {
            let mut bytes = (1..=200_000).map(|it| format!("{it}\n")).collect::<String>().into_bytes();
            bytes.extend(b"\xff\xfe\n");
            bytes.extend([b'x'; 150_000]);
            bytes.extend(b"\nend");
            out.write_all(&bytes).unwrap();
            out.flush().unwrap();
            std::io::stderr().write_all(b"to stderr \x80 without a newline").unwrap();
        }
        Some("show") => {
            println!("arguments {:?}", &arguments[2..]);
            let mut variables: Vec<_> = std::env::vars_os().collect();
            variables.sort();
            for (name, value) in variables {
                println!("{name:?}={value:?}");
            }
        }
        Some("stdin") => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).unwrap();
            println!("{} bytes, terminals {} {}", bytes.len(), std::io::stdin().is_terminal(), out.is_terminal());
        }
        Some("line") => {
            println!("up {} {}", std::io::stdin().is_terminal(), out.is_terminal());
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            println!("read {line:?}");
            std::process::exit(9);
        }
        Some("touch") => std::fs::write(&arguments[2], "x").unwrap(),
        Some("eat") => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
            }
        }
        // More than a pipe holds, in pieces.
        Some("chat") => {
            for number in 0..2_000 {
                out.write_all(format!("{number} {}\n", "o".repeat(100)).as_bytes()).unwrap();
                std::io::stderr().write_all(format!("{number} {}\n", "e".repeat(100)).as_bytes()).unwrap();
            }
            std::process::exit(7);
        }
        // One of many: shard 2 fails when the others are there.
        Some("shard") => {
            let shard = std::env::var("XTASK_SHARD").unwrap();
            println!("out {shard} of {}", std::env::var("XTASK_SHARDS").unwrap());
            eprint!("err {shard}");
            if arguments.get(2).is_some() {
                std::thread::sleep(std::time::Duration::from_secs(if shard == "2" { 3 } else { 55 }));
                std::process::exit(7);
            }
        }
        Some("sleep") => {
            println!("up");
            std::thread::sleep(std::time::Duration::from_secs(55));
        }
        other => panic!("{other:?}"),
    }
}
"#;

/// Whether there is an engine; makes the image on the first call.
fn engine() -> bool {
    static IMAGE_IS_MADE: OnceLock<()> = OnceLock::new();
    if !real::docker_engine() {
        return false;
    }
    IMAGE_IS_MADE.get_or_init(|| {
        let folder = Folder::new("");
        let dockerfile = "FROM scratch\nCOPY probe /bin/probe\nENTRYPOINT [\"/bin/probe\"]\nCMD [\"exit\", \"33\"]\n";
        fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
        real::static_program(folder.path(), "probe", PROBE);
        let build = ["build", "--quiet", "--tag", IMAGE, "."];
        let output = Command::new("docker").args(build).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "docker build: {}", String::from_utf8_lossy(&output.stderr));
    });
    true
}

/// A tasks.toml whose one task is a container of the probe with this command.
fn probe(command: &[&str], more: &str) -> Folder {
    let command = serde_json::json!(command);
    Folder::new(&format!(
        "default-environment = \"docker\"\n[environments.docker]\nrunner = \"docker\"\n\
         [tasks.t]\nimage = \"{IMAGE}\"\ncommand = {command}\nvariables.MARK = \"{}\"\n{more}",
        mark()
    ))
}

/// Tells this test's containers from another's.
fn mark() -> String {
    format!("{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "-")
}

/// The containers that this test has left, running or not.
fn left() -> Vec<String> {
    let list =
        Command::new("docker").args(["ps", "--all", "--quiet", "--filter", "label=xtask.task=t"]).output().unwrap();
    let ids = String::from_utf8(list.stdout).unwrap();
    let ours = |id: &&str| {
        let inspect = Command::new("docker").args(["inspect", "--format", "{{.Config.Env}}", id]).output().unwrap();
        String::from_utf8_lossy(&inspect.stdout).contains(&format!("MARK={} ", mark()))
    };
    ids.lines().filter(ours).map(str::to_owned).collect()
}

#[test]
fn the_exit_code_is_the_containers_own_and_nothing_is_left() {
    if !engine() {
        return;
    }
    for code in ["0", "1", "7", "42", "125", "126", "127", "137", "255"] {
        let folder = probe(&["exit", code], "");
        let ran = folder.run(&["run", "t"]);
        assert_eq!((ran.code, ran.out().as_str()), (Some(code.parse().unwrap()), ""), "{}", ran.err());
    }
    assert_eq!(left(), [""; 0]);
}

#[test]
fn both_streams_of_a_container_are_exact_and_apart() {
    if !engine() {
        return;
    }
    let mut expected = (1..=200_000).map(|it| format!("{it}\n")).collect::<String>().into_bytes();
    expected.extend(b"\xff\xfe\n");
    expected.extend([b'x'; 150_000]);
    expected.extend(b"\nend");
    let folder = probe(&["both"], "");
    let ran = folder.run(&["run", "t"]);
    assert!(ran.code == Some(0) && ran.stdout == expected, "{}", ran.err());
    let stderr = b"to stderr \x80 without a newline";
    assert!(ran.stderr.windows(stderr.len()).any(|it| it == stderr), "{}", ran.err());

    let ran = folder.run(&["run", "t", "--format", "json"]);
    let expected: Vec<_> = String::from_utf8_lossy(&expected).lines().map(str::to_owned).collect();
    assert!(ran.code == Some(0) && ran.messages() == expected, "{}", ran.err());
    assert!(ran.events().iter().any(|it| it["event"] == "log" && it["container"] == "docker"));
}

/// The container's own end counts, whoever does not read what it writes.
#[test]
fn a_closed_or_full_stream_ends_no_container() {
    if !engine() {
        return;
    }
    let folder = probe(&["chat"], "");
    let binary = env!("CARGO_BIN_EXE_xtask");
    for (line, told) in [
        ("\"$0\" run t > /dev/full", "cannot write to stdout: No space left on device"),
        ("{ \"$0\" run t; echo \"code $?\" >&2; } | head -1", "stdout is closed"),
        ("{ { \"$0\" run t; echo \"code $?\" >&3; } 2>&1 | head -1; } 3>&2", ""),
        ("{ \"$0\" run t 2>/dev/full; echo \"code $?\" >&2; } > /dev/full", ""),
        ("{ \"$0\" run t --format json; echo \"code $?\" >&2; } | head -1", "stdout is closed"),
    ] {
        let ran = Ran::of(folder.command("sh", &["-c", line, binary]).output().unwrap());
        let code = if line.contains("code") { "code 7" } else { "exit code 7" };
        assert!(ran.err().contains(code) && ran.err().contains(told), "{line}: {}", ran.err());
        assert!(!ran.err().contains("lost the container"), "{line}: {}", ran.err());
    }
    assert_eq!(left(), [""; 0]);
}

#[test]
fn both_streams_of_a_container_into_one_lose_nothing() {
    if !engine() {
        return;
    }
    let folder = probe(&["chat"], "");
    let line = "\"$0\" run t --quiet 2>&1";
    let ran = Ran::of(folder.command("sh", &["-c", line, env!("CARGO_BIN_EXE_xtask")]).output().unwrap());
    // Behind it stand our own words of how it ended. docker cuts lines where it switches between the two.
    let task: String = ran.out().chars().take_while(|it| *it != 'F').collect();
    for letter in ['o', 'e'] {
        assert_eq!(task.matches(letter).count(), 200_000, "{letter}");
    }
}

#[test]
fn a_container_whose_run_was_killed_is_found_by_the_next_run() {
    if !engine() {
        return;
    }
    for (exclusive, code) in [("exclusive = true", 125), ("", 0)] {
        let folder = probe(&["sleep"], exclusive);
        let mut running = Running::start(folder.xtask(&["run", "t"]));
        running.wait_for("up");
        running.signal(Signal::KILL);
        running.child.wait().unwrap();
        if code != 0 {
            let ran = folder.run(&["run", "t"]);
            assert!(ran.code == Some(code) && ran.err().contains("still runs (Up"), "{}", ran.err());
        }
        // docker's own command line goes too, as it does when it next writes something.
        let id = left().pop().unwrap();
        let cli = format!("docker start --attach .*{id}");
        folder.command("pkill", &["-KILL", "-f", &cli]).status().unwrap();
        while folder.command("pgrep", &["-f", &cli]).status().unwrap().success() {
            std::thread::sleep(Duration::from_millis(10));
        }

        let short = folder.read("tasks.toml").replace("[\"sleep\"]", "[\"exit\", \"0\"]");
        fs::write(folder.path().join("tasks.toml"), short).unwrap();
        let ran = folder.run(&["run", "t"]);
        assert_eq!(ran.code, Some(code), "{}", ran.err());
        assert!(ran.err().contains("still runs (Up"), "{}", ran.err());
        assert!(ran.err().contains("docker rm --force --volumes xtask-t-"), "{}", ran.err());
        assert_eq!(left().len(), 1);
        folder.command("docker", &["rm", "--force", "--volumes", &id]).output().unwrap();
        let ran = folder.run(&["run", "t"]);
        assert!(ran.code == Some(0) && !ran.err().contains("still runs"), "{}", ran.err());
    }
}

#[test]
fn entrypoint_and_command_are_put_together_as_on_ecs() {
    if !engine() {
        return;
    }
    let base = format!(
        "default-environment = \"docker\"\n[environments.docker]\nrunner = \"docker\"\n[tasks.t]\nimage = \"{IMAGE}\"\n"
    );
    for (keys, arguments, expected) in [
        ("", &["run", "t"][..], Err(33)),
        ("", &["run", "t", "--", "exit", "5"][..], Err(5)),
        ("command = [\"show\", \"a b\"]", &["run", "t", "--", "", "--help"][..], Ok("[\"a b\", \"\", \"--help\"]")),
        ("entrypoint = [\"/bin/probe\", \"show\", \"x\"]\ncommand = [\"y\"]", &["run", "t"][..], Ok("[\"x\", \"y\"]")),
        ("entrypoint = [\"probe\", \"show\"]", &["run", "t"][..], Ok("[]")),
    ] {
        let ran = Folder::new(&format!("{base}{keys}\n")).run(arguments);
        match expected {
            Err(code) => assert_eq!(ran.code, Some(code), "{keys}: {}", ran.err()),
            Ok(list) => {
                assert_eq!(ran.out().lines().next(), Some(&*format!("arguments {list}")), "{keys}: {}", ran.err());
            }
        }
    }
}

#[test]
fn variables_reach_the_container_whatever_is_in_them() {
    if !engine() {
        return;
    }
    let folder = probe(
        &["show"],
        "variables.EMPTY = \"\"\nvariables.MANY = \"a\\nb = 'c' $d\"\nvariables.HOME = \"/app\"\nvariables.DOCKER_HOST = \"tcp://nowhere\"\n\
         variables.PATH = \"/bin\"\nsecrets = { TOKEN = \"/app/token\" }",
    );
    let ran = Ran::of(folder.xtask(&["run", "t"]).env("TOKEN", "s3\ncret").env("UNRELATED", "x").output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let out = ran.out();
    for line in [
        "\"EMPTY\"=\"\"",
        "\"MANY\"=\"a\\nb = 'c' $d\"",
        "\"HOME\"=\"/app\"",
        "\"DOCKER_HOST\"=\"tcp://nowhere\"",
        "\"PATH\"=\"/bin\"",
        "\"TOKEN\"=\"s3\\ncret\"",
    ] {
        assert!(out.lines().any(|it| it == line), "{line} is not in {out}");
    }
    assert!(out.contains("\"XTASK_RUN_ID\"=") && out.contains("\"XTASK_RUN_BY\"=\"somebody@"), "{out}");
    assert!(!out.contains("UNRELATED"));
    let ran = folder.run(&["run", "t"]);
    assert!(ran.code == Some(2) && ran.err().contains("`TOKEN` is not set"), "{}", ran.err());
}

#[test]
fn what_docker_cannot_start_or_create_is_not_the_containers_exit_code() {
    if !engine() {
        return;
    }
    let base = "default-environment = \"docker\"\n[environments.docker]\nrunner = \"docker\"\n[tasks.t]\n";
    for (keys, message) in [
        (format!("image = \"{IMAGE}\"\nentrypoint = [\"bin/none\"]"), "bin/none"),
        (format!("image = \"{IMAGE}\"\ndocker-args = [\"--no-such-flag\"]"), "--no-such-flag"),
        ("image = \"127.0.0.1:9/none:1\"".to_owned(), "cannot pull `127.0.0.1:9/none:1`"),
    ] {
        let ran = Folder::new(&format!("{base}{keys}\n")).run(&["run", "t"]);
        assert_eq!((ran.code, ran.out().as_str()), (Some(125), ""), "{}", ran.err());
        assert!(ran.err().contains(message), "{}", ran.err());
    }
    let folder = probe(&["exit", "0"], "");
    let ran = Ran::of(folder.xtask(&["run", "t"]).env("DOCKER_HOST", "unix:///no/such/socket").output().unwrap());
    assert_eq!(ran.code, Some(125));
    assert!(ran.err().contains("Is the docker daemon running?") && ran.err().contains("start docker"), "{}", ran.err());
    let ran = Ran::of(folder.xtask(&["run", "t"]).env("PATH", "/nowhere").output().unwrap());
    assert!(ran.code == Some(125) && ran.err().contains("command not found"), "{}", ran.err());
}

#[test]
fn sizes_limit_the_container_and_an_end_for_want_of_memory_is_told() {
    if !engine() {
        return;
    }
    let ran = probe(&["eat"], "").run(&["run", "t", "--memory", "32", "--cpu", "65536"]);
    assert_eq!(ran.code, Some(137), "{}", ran.err());
    assert!(ran.err().contains("out of memory"), "{}", ran.err());
    assert!(ran.err().contains("fewer CPUs"), "{}", ran.err());
    assert_eq!(left(), [""; 0]);
}

#[test]
fn docker_args_are_docker_creates() {
    if !engine() {
        return;
    }
    let folder = probe(&["touch", "/data/made"], "docker-args = [\"--volume\", \"./data:/data\"]");
    fs::create_dir(folder.path().join("data")).unwrap();
    assert_eq!(folder.run(&["run", "t"]).code, Some(0));
    assert!(folder.has("data/made"));
}

#[test]
fn standard_input_is_only_an_interactive_tasks() {
    if !engine() {
        return;
    }
    for (more, expected) in
        [("", "0 bytes, terminals false false\n"), ("interactive = true", "5 bytes, terminals false false\n")]
    {
        let folder = probe(&["stdin"], more);
        fs::write(folder.path().join("input"), "12345").unwrap();
        let input = fs::File::open(folder.path().join("input")).unwrap();
        let ran = Ran::of(folder.xtask(&["run", "t"]).stdin(Stdio::from(input)).output().unwrap());
        assert_eq!((ran.code, ran.out().as_str()), (Some(0), expected), "{}", ran.err());
    }
}

#[test]
fn a_signal_stops_the_container_although_it_has_no_handler() {
    if !engine() {
        return;
    }
    // The image's own stop signal, else the grace of 30 seconds would pass.
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let folder = probe(&["sleep"], "docker-args = [\"--stop-signal\", \"SIGKILL\"]");
        let mut running = Running::start(folder.xtask(&["run", "t"]));
        running.wait_for("up");
        let start = Instant::now();
        running.signal(signal);
        let ran = running.finish();
        assert_eq!((ran.code, ran.out().as_str()), (Some(code), "up\n"), "{}", ran.err());
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(left(), [""; 0]);
    }
}

#[test]
fn shards_are_containers_side_by_side() {
    if !engine() {
        return;
    }
    let folder = probe(&["shard"], "shards = 5\nparallel = 3");
    let ran = folder.run(&["run", "t"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let mut lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, (0..5).map(|it| format!("[{it}/5] out {it} of 5")).collect::<Vec<_>>());
    for shard in 0..5 {
        assert!(ran.err().contains(&format!("\n[{shard}/5] err {shard}\n")), "{}", ran.err());
    }
    assert_eq!(left(), [""; 0]);

    // The first that fails ends the others, and none that was not started is.
    let more = "shards = 5\nparallel = 3\ndocker-args = [\"--stop-signal\", \"SIGKILL\"]";
    let folder = probe(&["shard", "long"], more);
    let ran = folder.run(&["run", "t"]);
    assert_eq!(ran.code, Some(7), "{}", ran.err());
    assert!(ran.err().contains("of 5 shards: 1 failed, 2 not run, 2 stopped\n"), "{}", ran.err());
    assert_eq!(left(), [""; 0]);

    // The image is pulled before them, once: here, where it is nowhere, no shard asks for it.
    let nowhere = "127.0.0.1:9/none:1";
    let tasks = format!(
        "default-environment = \"docker\"\n[environments.docker]\nrunner = \"docker\"\n[tasks.t]\nimage = \"{nowhere}\"\n{more}"
    );
    let ran = Folder::new(&tasks).run(&["run", "t"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(125), ""), "{}", ran.err());
    assert_eq!(ran.err().matches(&format!("pulling {nowhere}")).count(), 1, "{}", ran.err());
    assert_eq!(ran.err().matches(&format!("cannot pull `{nowhere}`")).count(), 1, "{}", ran.err());

    // A signal ends all of them.
    let folder = probe(&["sleep"], more);
    let mut running = Running::start(folder.xtask(&["run", "t"]));
    for shard in 0..3 {
        running.wait_for(&format!("[{shard}/5] up"));
    }
    running.signal(Signal::TERM);
    let ran = running.finish();
    assert_eq!(ran.code, Some(143), "{}", ran.err());
    assert!(ran.err().contains("of 5 shards: 3 interrupted, 2 not run\n"), "{}", ran.err());
    assert_eq!(left(), [""; 0]);
}

#[test]
fn a_second_signal_kills_the_container_within_its_grace() {
    if !engine() {
        return;
    }
    let folder = probe(&["sleep"], "");
    let mut running = Running::start(folder.xtask(&["run", "t"]));
    running.wait_for("up");
    running.signal(Signal::INT);
    running.wait_for_stderr("stopping the container");
    assert!(running.child.try_wait().unwrap().is_none());
    let start = Instant::now();
    running.signal(Signal::TERM);
    let ran = running.finish();
    assert_eq!(ran.code, Some(130), "{}", ran.err());
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(left(), [""; 0]);
}

#[test]
fn the_timeout_stops_the_container() {
    if !engine() {
        return;
    }
    let folder = probe(&["sleep"], "timeout = \"1s\"\ndocker-args = [\"--stop-signal\", \"SIGKILL\"]");
    let ran = folder.run(&["run", "t"]);
    assert_eq!((ran.code, ran.out().as_str()), (Some(124), "up\n"), "{}", ran.err());
    assert_eq!(left(), [""; 0]);
}

#[test]
fn a_signal_at_any_time_leaves_no_container() {
    if !engine() {
        return;
    }
    for milliseconds in (0..600).step_by(60) {
        let folder = probe(&["sleep"], "docker-args = [\"--stop-signal\", \"SIGKILL\"]");
        let running = Running::start(folder.xtask(&["run", "t"]));
        // The binary has to listen by then; a signal before that ends it as any process.
        std::thread::sleep(Duration::from_millis(40 + milliseconds));
        running.signal(Signal::INT);
        let ran = running.finish();
        assert!(matches!(ran.code, Some(130) | None), "{milliseconds}: {:?} {}", ran.code, ran.err());
        assert_eq!(left(), [""; 0], "{milliseconds}");
    }
}

#[test]
fn an_interactive_container_has_the_terminal() {
    if !engine() {
        return;
    }
    let folder = probe(&["line"], "interactive = true");
    let Some(mut terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    terminal.wait_for("up true true");
    terminal.type_in("hello\n");
    let (code, screen) = terminal.finish();
    assert!(code == Some(9) && screen.contains("read \"hello\\n\""), "{code:?} {screen}");
    assert_eq!(left(), [""; 0]);
}

#[test]
fn an_interactive_container_ends_with_the_run() {
    if !engine() {
        return;
    }
    // Ctrl-C goes to the container as a byte; its terminal makes SIGINT of it.
    let folder = probe(&["line"], "interactive = true");
    let Some(mut terminal) = OnTerminal::start(&folder, &["run", "t"]) else { return };
    terminal.wait_for("up true true");
    terminal.type_in("\x03");
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(130), "{screen}");
    assert_eq!(left(), [""; 0]);
}

#[test]
fn an_engine_that_cannot_be_reached_is_told_from_one_that_is_not_named() {
    if !engine() {
        return;
    }
    let folder = probe(&["exit", "0"], "");
    for (host, hint) in [
        ("http://x:y:z", "write DOCKER_HOST like `unix:///var/run/docker.sock`"),
        ("tcp://127.0.0.1:1", "start docker, or choose an engine that runs"),
    ] {
        let ran = Ran::of(folder.xtask(&["run", "t"]).env("DOCKER_HOST", host).output().unwrap());
        assert_eq!(ran.code, Some(125), "{}", ran.err());
        assert!(ran.err().contains(hint) && !ran.err().contains("filters="), "{host}: {}", ran.err());
    }
}
