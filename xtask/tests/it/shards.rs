//! A task with `shards`, through the built binary and the fake AWS: many ECS tasks, their output, their end.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::ecs::{TASKS, account, project};
use crate::fake::{Fake, Fault, Life, Moment, OnSigterm, Started};
use crate::harness::{Ran, Signal, Test};

/// The team's tasks.toml with a task of so many shards, so many at a time.
fn with_shards(fake: &Fake, shards: u32, parallel: u32) -> Test {
    let task = format!(
        "\n[tasks.backfill]\nimage = \"deployed\"\ncommand = [\"bin/backfill\"]\nshards = {shards}\nparallel = {parallel}\n"
    );
    project(fake).tasks(&format!("{TASKS}{task}"))
}

fn variable(started: &Started, name: &str) -> String {
    let variables =
        started.request["overrides"]["containerOverrides"][0]["environment"].as_array().expect("there are some");
    let found = variables.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name} in {variables:?}"));
    found["value"].as_str().expect("a text").to_owned()
}

fn shard(started: &Started) -> u32 {
    variable(started, "XTASK_SHARD").parse().expect("a number")
}

fn shards(fake: &Fake) -> Vec<u32> {
    fake.started().iter().map(shard).collect()
}

/// The output's lines, sorted: shards write when they like.
fn lines(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran.stdout_text().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn last(ran: &Ran) -> Value {
    ran.events().pop().expect("there are events")
}

/// Every shard once, whatever went wrong.
fn each_once(fake: &Fake, expected: std::ops::Range<u32>) {
    let mut started = shards(fake);
    started.sort_unstable();
    assert_eq!(started, expected.collect::<Vec<_>>(), "{}", fake.story());
}

#[test]
fn each_shard_is_an_ecs_task_and_its_lines_have_its_number() {
    let fake = account().task_life(Life::prints(["one", "two"]));
    let test = with_shards(&fake, 3, 3);
    let ran = test.run("run backfill -e staging").code(0);
    assert_eq!(lines(&ran), ["[0/3] one", "[0/3] two", "[1/3] one", "[1/3] two", "[2/3] one", "[2/3] two"]);
    each_once(&fake, 0..3);
    assert!(fake.started().iter().all(|it| variable(it, "XTASK_SHARDS") == "3"));
    let tokens: BTreeSet<String> =
        fake.sent("RunTask").iter().map(|it| it["clientToken"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(tokens.len(), 3);
    let text = ran.stderr_text();
    for expected in [
        "Launched [2/3] arn:aws:ecs:eu-west-1:111122223333:task/staging/[id]\n",
        "Finished [1/3] succeeded",
        "    Finished backfill in staging: succeeded",
        "of 3 shards: 3 succeeded\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}
