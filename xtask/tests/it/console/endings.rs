//! However a session ends, no ECS task is left running without a word: the fake lists none alive, or its ARN is on stderr.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{World, quick};
use crate::fake::{Fake, Fault, Life};
use crate::gateway::Net;
use crate::harness::{Ran, Running, Signal, Terminal, has_terminal};

fn start<'a>(world: &'a World, task: &str) -> Running<'a> {
    world.test.command(["run", task, "-e", "staging"]).terminal(Terminal::All).start()
}

/// No ECS task runs, the terminal is as it was, and the exit code is this.
fn ended(world: &World, running: Running<'_>, before: &str, code: i32) -> Ran {
    let (ran, after) = running.finish_with_settings();
    let ran = ran.code(code);
    assert_eq!(before, after, "the terminal is not as it was:\n{}", ran.all());
    assert_eq!(world.fake.alive(), [""; 0], "{}", ran.all());
    assert_eq!(world.fake.count("RunTask"), 1);
    ran
}

#[test]
fn by_a_signal() {
    if !has_terminal() {
        return;
    }
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::QUIT, 131)] {
        let world = World::new(Net::default());
        let running = start(&world, "console");
        let before = running.settings();
        running.wait_for_stdout("$ ");
        running.signal(signal);
        let _ = ended(&world, running, &before, code);
    }
}

#[test]
fn by_a_closed_window() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = start(&world, "console");
    running.wait_for_stdout("$ ");
    running.close_terminal();
    let _ = running.finish().code(129);
    assert_eq!(world.fake.alive(), [""; 0]);
}

#[test]
fn by_a_signal_before_there_is_a_session() {
    let world = World::with(Net::default(), |it| it.task_life(Life::new().pending(60_000)));
    let running = world.test.command(["run", "console", "-e", "staging"]).start();
    running.wait_for_stderr("PENDING");
    running.signal(Signal::TERM);
    let _ = running.finish().code(143).stderr_has("SIGTERM");
    assert_eq!(world.fake.alive(), [""; 0]);
    assert_eq!(world.fake.count("ExecuteCommand"), 0);
}

#[test]
fn by_an_error_of_the_agent() {
    let text = "----------ERROR-------\nPlugin with name InteractiveCommands not found. Step name: x";
    let world = World::new(Net { closes_with: Some(text.to_owned()), ..Net::default() });
    let ran = world.test.run("run console -e staging").code(125);
    let _ = ran.stderr_has("the session ended: Plugin with name InteractiveCommands not found").stderr_has("full /tmp");
    assert_eq!(world.fake.alive(), [""; 0]);
}

#[test]
fn by_a_long_last_word() {
    let world = World::new(Net { closes_with: Some("no".to_owned()), long_header: true, ..Net::default() });
    let _ = world.test.run("run console -e staging").code(125).stderr_has("the session ended: no");
    assert_eq!(world.fake.alive(), [""; 0]);
}

#[test]
fn by_a_connection_that_does_not_come_back() {
    if !has_terminal() {
        return;
    }
    // The service says that the session is over.
    let world = World::new(Net { cuts: vec![3], no_resume: true, ..Net::default() });
    let running = start(&world, "console");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    running.types("echo one\r");
    let ran = ended(&world, running, &before, 125).screen_has("told no exit code");
    assert!(ran.took < Duration::from_secs(10));

    // The caller may not resume.
    let world =
        World::with(Net { cuts: vec![3], ..Net::default() }, |it| it.fault("ResumeSession", .., Fault::AccessDenied));
    let running = start(&world, "console");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    running.types("echo one\r");
    let _ = ended(&world, running, &before, 125).screen_has("allow ssm:ResumeSession");
}

#[test]
fn by_a_refused_channel() {
    for (status, said) in [(403, "the caller may lack ssmmessages:OpenDataChannel"), (400, "--plugin")] {
        let world = World::new(Net { refused_upgrades: vec![status; 9], ..Net::default() });
        let _ = world.test.run("run console -e staging").code(125).stderr_has(said).stderr_has("not authorized");
        assert_eq!(world.fake.alive(), [""; 0]);
    }
}

#[test]
fn not_by_a_channel_that_opens_late() {
    if !has_terminal() {
        return;
    }
    // Closed connections and a service that is down for a moment are tried again.
    let world = World::new(Net {
        refused_upgrades: vec![0, 503, 429],
        slow_terminal: Duration::from_millis(300),
        ..Net::default()
    });
    let running = start(&world, "console");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    running.types("exit 5\r");
    let _ = ended(&world, running, &before, 5);
    assert_eq!(world.gateway.seen().upgrades, 4);
}

#[test]
fn by_the_timeout() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = start(&world, "limited");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    let _ = ended(&world, running, &before, 124).screen_has("the timeout of 30s passed");
}

#[test]
fn by_the_end_of_the_ecs_task() {
    if !has_terminal() {
        return;
    }
    let life = quick().loses_spot_after(40_000);
    let world = World::with(Net::default(), |it| it.task_life(life));
    let running = start(&world, "console");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    let _ = ended(&world, running, &before, 125).screen_has("Your Spot Task was interrupted.");
    assert_eq!(world.fake.count("StopTask"), 0, "it has stopped already");
}

#[test]
fn by_somebody_who_stops_the_ecs_task() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = start(&world, "console");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    world.fake.stop_task_from_outside("tidying up");
    let _ = ended(&world, running, &before, 125).screen_has("tidying up");
}

#[test]
fn by_max_lifetime_when_we_are_killed() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = start(&world, "short");
    running.wait_for_stdout("$ ");
    running.signal(Signal::KILL);
    let _ = running.finish().killed_by(9);
    assert_eq!(world.fake.alive().len(), 1, "nobody stopped it");
    let started = &world.fake.started()[0];
    assert_eq!(started.request["overrides"]["containerOverrides"][0]["command"], json!(["60"]));
    world.fake.advance(80_000);
    assert_eq!(world.fake.alive(), [""; 0], "its main process ends by itself");
}

#[test]
fn by_max_lifetime_in_a_session() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = start(&world, "short");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    let _ = ended(&world, running, &before, 124).screen_has("max-lifetime of 1m passed");
}

#[test]
fn or_the_line_to_stop_it_is_told() {
    if !has_terminal() {
        return;
    }
    for fault in [Fault::AccessDenied, Fault::ServerError] {
        let world = World::with(Net::default(), |it| it.fault("StopTask", .., fault));
        let running = start(&world, "console");
        running.wait_for_stdout("$ ");
        running.types("exit\r");
        let ran = running.finish().code(0);
        let arn = world.fake.alive().remove(0);
        let text = String::from_utf8_lossy(&ran.terminal).into_owned();
        assert!(text.contains(&format!("cargo xtask stop {} -e staging", arn.rsplit('/').next().unwrap())), "{text}");
    }
}

#[test]
fn a_lost_answer_or_a_refusal_of_stop_task_is_asked_for_again() {
    if !has_terminal() {
        return;
    }
    for fault in [Fault::DropBefore, Fault::AccessDenied] {
        let world = World::with(Net::default(), |it| it.fault("StopTask", 1..=2, fault));
        let running = start(&world, "console");
        let before = running.settings();
        running.wait_for_stdout("$ ");
        running.types("exit 9\r");
        let _ = ended(&world, running, &before, 9);
        assert_eq!(world.fake.count("StopTask"), 3);
    }
}

#[test]
fn not_yet_is_waited_for() {
    if !has_terminal() {
        return;
    }
    let world = World::with(Net::default(), |it| it.task_life(quick().agent_after(8_000)).not_connected(3));
    let running = start(&world, "console");
    let before = running.settings();
    running.wait_for_stdout("$ ");
    running.types("exit\r");
    let _ = ended(&world, running, &before, 0);
    assert_eq!(world.fake.count("ExecuteCommand"), 4);
}

#[test]
fn never_is_told_from_not_yet() {
    let never = |life: Life, change: fn(Fake) -> Fake, said: &str| {
        let world = World::with(Net::default(), |it| change(it.task_life(life)));
        let ran = world.test.run("run console -e staging").code(125).stderr_has(said);
        assert_eq!(world.fake.alive(), [""; 0], "{}", ran.all());
    };
    let life = quick();
    never(life.clone().agent_stops("no space left"), |it| it, "the agent of ECS Exec has stopped: no space left");
    never(life.clone().agent_after(900_000), |it| it, "did not start within 1m30s");
    never(life, |it| it.not_connected(1000), "ssmmessages:CreateControlChannel");
    never(
        Life::never_starts("CannotStartContainerError: exec: \"sleep\": executable file not found in $PATH"),
        |it| it,
        "an interactive task needs `sleep` and `sh` in its image",
    );
    // Its `sleep` is no sleep: that is neither max-lifetime nor the command's success.
    for code in [0, 3] {
        let ends = Life::prints(["usage: sleep"]).runs(300).exits(code).agent_after(60_000);
        let said = format!("with exit code {code}, instead of waiting");
        never(ends, |it| it, &said);
    }
}

#[test]
fn a_launch_that_fails_leaves_nothing() {
    let world = World::with(Net::default(), |it| it.run_task_fails(&["RESOURCE:MEMORY"]));
    let _ = world.test.run("run console -e staging").code(125);
    assert_eq!(world.fake.started().len(), 0);
    let _ = world.test.run("run console -e staging --detach").code(2).stderr_has("--detach leaves nobody");
}

#[test]
fn the_ecs_task_only_waits() {
    let world = World::new(Net { closes_with: Some("enough".to_owned()), ..Net::default() });
    let _ = world.test.run("run console -e staging").code(125);
    let started = &world.fake.started()[0];
    assert_eq!(started.request["enableExecuteCommand"], true);
    assert_eq!(started.request["overrides"]["containerOverrides"][0]["command"], json!(["7200"]));
    let revision = &world.fake.revisions("xtask-staging-console")[0];
    let container = &revision["containerDefinitions"][0];
    assert_eq!(container["entryPoint"], json!(["sleep"]));
    assert_eq!(container["linuxParameters"]["initProcessEnabled"], true);
    let deadline = Instant::now() + Duration::from_secs(5);
    while world.gateway.seen().commands.is_empty() {
        assert!(Instant::now() < deadline);
    }
    let command = &world.gateway.seen().commands[0];
    assert_eq!(command[..2], ["sh", "-c"]);
    assert_eq!(command[3..], ["sh", "sh"], "the script's name, and the task's command");
}
