//! Without a terminal (CI, pipes), `exec`, and arguments.

use std::time::Duration;

use serde_json::json;

use super::{World, quick};
use crate::fake::Fault;
use crate::gateway::Net;
use crate::gateway::proxy::{HOST, Proxy, ca_bundle};
use crate::harness::{Signal, Terminal, has_terminal};

/// The networks that everything must work on.
fn networks() -> Vec<Net> {
    let kms = Some(None);
    vec![Net::default(), Net::bad(7), Net { kms, ..Net::bad(9) }]
}

#[test]
fn stdin_and_stdout_arrive_as_they_are() {
    if !has_terminal() {
        return;
    }
    // Every byte, and lines longer than a terminal's.
    let mut bytes: Vec<u8> = (0..=255_u8).filter(|it| *it != 0x1e).collect();
    bytes.extend(b"\n\n\nx".repeat(30));
    bytes.extend([b'y'; 20_000]);
    bytes.extend((0..60_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8));
    for net in networks() {
        let world = World::new(net);
        let command = ["run", "binary", "-e", "staging"];
        let ran = world.test.command(command).stdin(bytes.as_slice()).limit(Duration::from_secs(60)).run().code(0);
        let _ = ran.stdout_bytes(&bytes);
        assert_eq!(world.fake.alive(), [""; 0]);
    }
}

#[test]
fn a_script_on_stdin_is_run_by_the_shell() {
    if !has_terminal() {
        return;
    }
    for net in networks() {
        let world = World::new(net);
        let task = world.service_task();
        let script = "echo one; echo two >&2; exit 9\n";
        let ran = world.test.command(["exec", &task, "-e", "staging"]).stdin(script.as_bytes()).run().code(9);
        let _ = ran.stdout_bytes(b"one\ntwo\n");
        assert_eq!(world.fake.count("StopTask"), 0, "exec stops nothing");
        assert_eq!(world.fake.count("RunTask"), 0);
    }
}

#[test]
fn arguments_reach_the_remote_process_as_given() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let hard = [
        "",
        " ",
        "a b",
        "it's",
        "\"quoted\"",
        "$HOME `id` \\n",
        "# no comment",
        "two\nlines",
        "ü→☃",
        "*",
        "-n",
        "a'\\''b",
    ];
    let mut command = vec!["exec", "--service", "-e", "staging", "--", "printf", "<%s>\\n"];
    command.extend(hard);
    let expected: String = hard.iter().map(|it| format!("<{it}>\n")).collect();
    let _ = world.test.command(command).run().code(0).stdout_bytes(expected.as_bytes());
    // The same through a task of tasks.toml.
    let mut command = vec!["run", "script", "-e", "staging", "--", "printf '<%s>\\n' \"$@\"", "sh"];
    command.extend(hard);
    let _ = world.test.command(command).run().code(0).stdout_bytes(expected.as_bytes());
}

#[test]
fn codes_of_commands_that_cannot_run_are_a_shells() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let exec = |command: &[&str]| {
        let words = ["exec", "--service", "-e", "staging", "--"].iter().chain(command);
        world.test.command(words.copied()).run()
    };
    let _ = exec(&["no-such-program-here"]).code(127);
    let _ = exec(&["/"]).code(126);
    let _ = exec(&["sh", "-c", "kill -9 $$"]).code(137);
    let _ = exec(&["true"]).code(0).stdout("");
}

#[test]
fn output_alone_can_be_piped_from_a_terminal() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let command = ["exec", "--service", "-e", "staging", "--", "sh", "-c", "read line; printf 'a\\nb\\n'; echo $line"];
    let running = world.test.command(command).terminal(Terminal::AllButStdout).start();
    std::thread::sleep(Duration::from_millis(300));
    running.types("typed\n");
    let _ = running.finish().code(0).stdout_bytes(b"a\nb\ntyped\n");
}

#[test]
fn json_has_the_lines_as_events() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let command = ["run", "script", "-e", "staging", "--format", "json", "--", "printf 'one\\ntwo'; exit 3"];
    let ran = world.test.command(command).run().code(3);
    let events = ran.events();
    let lines: Vec<&str> =
        events.iter().filter(|it| it["event"] == "log").filter_map(|it| it["message"].as_str()).collect();
    assert_eq!(lines, ["one", "two"], "{}", ran.all());
    let last = events.last().expect("there is an end");
    assert_eq!(
        (&last["event"], &last["outcome"], &last["exit_code"]),
        (&json!("finished"), &json!("failed"), &json!(3))
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_session() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let (reader, writer) = std::io::pipe().expect("a pipe can be had");
    let command = ["exec", "--service", "-e", "staging", "--", "yes"];
    let running = world.test.command(command).stdout(std::os::fd::OwnedFd::from(writer).into()).start();
    std::thread::sleep(Duration::from_millis(500));
    drop(reader);
    let _ = running.finish().code(141);
    assert_eq!(world.gateway.seen().terminated, 1);
}

#[test]
fn a_slow_reader_gets_everything() {
    if !has_terminal() {
        return;
    }
    use std::io::Read;
    let world = World::new(Net::default());
    let (mut reader, writer) = std::io::pipe().expect("a pipe can be had");
    let command = ["exec", "--service", "-e", "staging", "--", "seq", "400000"];
    let running = world.test.command(command).stdout(std::os::fd::OwnedFd::from(writer).into()).start();
    std::thread::sleep(Duration::from_millis(1500));
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("it is text");
    let _ = running.finish().code(0);
    let expected: String = (1..=400_000).map(|it| format!("{it}\n")).collect();
    assert!(text == expected, "{} bytes of {}", text.len(), expected.len());
}

#[test]
fn a_signal_ends_the_session_on_both_sides() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running =
        world.test.command(["exec", "--service", "-e", "staging", "--", "sh", "-c", "echo up; sleep 60"]).start();
    running.wait_for_stdout("up");
    running.signal(Signal::TERM);
    let _ = running.finish().code(143).stderr_has("SIGTERM");
    assert_eq!(world.gateway.seen().terminated, 1);
    assert_eq!(world.fake.count("StopTask"), 0);
}

#[test]
fn a_container_without_a_shell_runs_the_command_alone() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net { no_shell: true, ..Net::default() });
    let ran = world.test.run("exec --service -e staging -- echo hello").code(0);
    let _ = ran.stdout_has("hello").stderr_has("has no `sh`").stderr_has("exit code stays unknown");
    let ran = world.test.run("exec --service -e staging").code(125);
    let _ = ran.stderr_has("has no shell").stderr_has("give the program to run behind `--`");
}

#[test]
fn without_a_data_key_it_says_what_is_missing() {
    if !has_terminal() {
        return;
    }
    let world = World::with(Net { kms: Some(None), ..Net::default() }, |it| {
        it.fault("GenerateDataKey", .., Fault::AccessDenied)
    });
    let ran = world.test.run("run console -e staging").code(125);
    let _ = ran.stderr_has("GenerateDataKey").stderr_has("kms:GenerateDataKey");
    assert_eq!(world.fake.alive(), [""; 0]);
}

#[test]
fn an_encrypted_session_says_so() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net { kms: Some(None), ..Net::default() });
    let ran = world.test.run("exec --service -e staging -v -- echo secret").code(0);
    let ran = ran.stdout("secret\n").stderr_has("This session is encrypted using AWS KMS.");
    let ran = ran.stderr_has("AWS GenerateDataKey: HTTP 200");
    assert!(!ran.stderr_text().contains("planted-token"), "{}", ran.all());
    assert_eq!(world.fake.count("GenerateDataKey"), 1);
}

#[test]
fn exec_says_why_there_can_be_no_session() {
    let world = World::new(Net::default());
    let run = |words: &str| world.test.run(words);
    let _ = run("exec").code(2).stderr_has("ID");
    let _ = run("exec 00000000000000000000000000000000 -e staging").code(2).stderr_has("has no ECS task");
    let _ = run("exec --service -e elsewhere").code(2).stderr_has("is in account 999999999999");
    let _ = run("exec --service -e local").code(2).stderr_has("is on this machine");
    let _ = run("exec --service -e production").code(2).stderr_has("add --yes");
    let _ = run("exec --service -e staging --container nope").code(2).stderr_has("its containers: web");
    assert_eq!(world.fake.count("ExecuteCommand"), 0);
}

#[test]
fn a_session_beside_a_running_console() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = world.test.command(["run", "console", "-e", "staging"]).terminal(Terminal::All).start();
    running.wait_for_stdout("$ ");
    let id = world.fake.alive()[0].rsplit('/').next().unwrap().to_owned();
    for name in ["console", &id[..6], &id] {
        let _ = world
            .test
            .command(["exec", name, "-e", "staging", "--", "echo", "beside"])
            .run()
            .code(0)
            .stdout("beside\n");
    }
    assert_eq!(world.fake.alive().len(), 1);
    running.types("exit\r");
    let _ = running.finish().code(0);
    let _ = world.test.command(["exec", "console", "-e", "staging"]).run().code(2).stderr_has("is stopping");
}

#[test]
fn exec_in_an_ecs_task_without_it_says_so() {
    let world = World::with(Net::default(), |it| {
        it.cluster("plain").service(
            "plain",
            json!({
                "serviceName": "plain", "taskDefinition": "app", "launchType": "FARGATE",
                "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0a"] } },
            }),
        )
    });
    let world = World {
        test: world.test.tasks("[environments.plain]\nregion = 'eu-west-1'\ncluster = 'plain'\nservice = 'plain'\n"),
        ..world
    };
    let _ = world.test.run("exec --service -e plain").code(2).stderr_has("--enable-execute-command");
    let plain = world.fake.service_tasks().remove(1);
    let _ = world.test.run(&format!("exec {plain} -e plain")).code(125).stderr_has("it was started without ECS Exec");
}

#[test]
fn proxies_and_the_companys_certificates_are_used() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net { behind_proxy: true, ..Net::bad(2) });
    let proxy = Proxy::open(world.gateway.shared().port(), false);
    let with = |world: World, proxy: &Proxy, bundle: &str| World {
        test: world
            .test
            .env("HTTPS_PROXY", &format!("http://somebody:planted-password@127.0.0.1:{}", proxy.port))
            .env("AWS_CA_BUNDLE", bundle),
        ..world
    };
    let bundle = ca_bundle().display().to_string();
    let world = with(world, &proxy, &bundle);
    // Enough of it that the channel is cut before the end, however few messages it takes.
    let exec = "exec --service -e staging -- seq 50000";
    let expected: String = (1..=50_000).map(|it| format!("{it}\n")).collect();
    let _ = world.test.run(exec).code(0).stdout(&expected);
    let heads = proxy.heads();
    let channels = world.gateway.seen().tokens.len();
    assert!(channels > 1 && heads.len() == channels, "one for each channel: {heads:?}");
    assert!(heads[0].starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n")), "{}", heads[0]);
    assert!(heads[0].contains("Proxy-Authorization: Basic c29tZWJvZHk6cGxhbnRlZC1wYXNzd29yZA=="), "{}", heads[0]);

    // Without the company's certificates nobody is believed, and a proxy's refusal is told without the password.
    let unknown = world.test.project().join("none.pem");
    std::fs::write(&unknown, "").expect("the test's folder can be written to");
    let world = with(world, &proxy, &unknown.display().to_string());
    let _ = world.test.run(exec).code(125).stderr_has(&format!("TLS with {HOST}"));
    let refusing = Proxy::open(1, true);
    let world = with(world, &refusing, &bundle);
    let ran = world.test.run(exec).code(125).stderr_has("407 Proxy Authentication Required");
    assert!(!ran.stderr_text().contains("planted-password"), "{}", ran.all());
}

#[test]
fn aws_own_plugin_can_do_it() {
    if !has_terminal() {
        return;
    }
    let plugin = |version: &str| {
        format!(
            "if [ \"$1\" = --version ]; then echo {version}; exit; fi\n{{ printf '%s\\n' \"$@\"; env | grep ^AWS_SSM_START; }} | sed s/planted-/fake-/g; true"
        )
    };
    let world = World::new(Net::default());
    let _ = world.test.run("exec --service -e staging --plugin -- ls").code(125).stderr_has("session-manager-plugin");
    let world = World { test: world.test.program("session-manager-plugin", &plugin("1.2.764.0")), ..world };
    let ran = world.test.run("exec --service -e staging --plugin -- ls -l").code(0);
    let text = ran.stdout_text();
    assert!(
        text.starts_with("AWS_SSM_START_SESSION_RESPONSE_XTASK\neu-west-1\nStartSession\n\n{\"Target\":\"ecs:staging_"),
        "{text}"
    );
    assert!(text.contains("\"TokenValue\":\"fake-token-"), "{text}");
    assert_eq!(world.gateway.seen().commands.last().unwrap(), &["ls", "-l"]);
    let ran = world.test.run("run console -e staging --plugin").code(0);
    assert!(ran.stderr_text().contains("tells no exit code"));
    assert_eq!(world.fake.alive(), [""; 0]);
    // An older one would get the session's token on its command line: it is not even given a session.
    let sessions = world.gateway.seen().commands.len();
    let world = World { test: world.test.program("session-manager-plugin", &plugin("1.2.535.0")), ..world };
    let ran = world.test.run("exec --service -e staging --plugin -- ls").code(2).stdout("");
    let _ = ran.stderr_has("1.2.535.0 is too old").stderr_has("update it to 1.2.536 or newer");
    let _ = world.test.run("run console -e staging --plugin").code(125).stdout("").stderr_has("is too old");
    assert_eq!(world.fake.alive(), [""; 0]);
    assert_eq!(world.gateway.seen().commands.len(), sessions);
}

#[test]
fn the_plugin_ends_with_the_ecs_task() {
    if !has_terminal() {
        return;
    }
    let script = "if [ \"$1\" = --version ]; then echo 1.2.764.0; exit; fi\necho up; exec sleep 60";
    let life = quick().loses_spot_after(40_000);
    let world = World::with(Net::default(), |it| it.task_life(life));
    let world = World { test: world.test.program("session-manager-plugin", script), ..world };
    let ran = world.test.run("run console -e staging --plugin").code(125);
    let _ = ran.stderr_has("Your Spot Task was interrupted.");
}

#[test]
fn the_plugins_success_is_none_where_the_ecs_task_was_stopped() {
    if !has_terminal() {
        return;
    }
    let script = "if [ \"$1\" = --version ]; then echo 1.2.764.0; exit; fi\necho up; read -r line";
    let world = World::new(Net::default());
    let world = World { test: world.test.program("session-manager-plugin", script), ..world };
    let running = world.test.command(["run", "console", "-e", "staging", "--plugin"]).terminal(Terminal::All).start();
    running.wait_for_stdout("up");
    world.fake.stop_task_from_outside("tidying up");
    running.types("\r");
    let ran = running.finish().code(125);
    let text = String::from_utf8_lossy(&ran.terminal).into_owned();
    assert!(text.contains("tidying up"), "{text}");
}
