//! Shards on ministack, an AWS emulator that others wrote: the guestbook's backfill, in 20 real containers with one database.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::local::{Folder, Ran};
use crate::real;
use crate::real_ecs::{call, command};

const SHARDS: u32 = 20;

/// The repository of this crate's workspace, which has the guestbook.
fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a workspace").to_owned()
}

/// A project whose image is the guestbook, with a folder of this machine for its database.
fn project(url: &str) -> Folder {
    let name = format!("shards-{}", std::process::id());
    let host = url.strip_prefix("http://").unwrap();
    let shared = format!(
        r#"
[images.guestbook]
repository = "acme/{name}"
create-repository = true

[environments.{name}]
endpoint-url = "{url}"
registry = "{host}"
region = "us-east-1"
cluster = "default"
task-definition = "{name}"
subnets = ["subnet-00000000"]

[defaults]
image = "guestbook"

[tasks.db-migrate]
command = ["migrate"]

[tasks.seed]
command = ["seed"]

[tasks.backfill]
command = ["backfill"]
shards = {SHARDS}
parallel = 8
"#
    );
    let folder = Folder::new(&shared);
    let built = repository().join("target/guestbook-image/guestbook");
    let prepared = Command::new(repository().join("examples/guestbook/prepare")).stdin(Stdio::null()).output().unwrap();
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    fs::copy(built, folder.path().join("guestbook")).unwrap();
    fs::copy(repository().join("examples/guestbook/Dockerfile"), folder.path().join("Dockerfile")).unwrap();
    fs::write(folder.path().join(".dockerignore"), "*\n!guestbook\n").unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let definition = json!({
        "family": name, "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "volumes": [{ "name": "data", "host": { "sourcePath": data.display().to_string() } }],
        "containerDefinitions": [{
            "name": "app", "image": "unused", "essential": true,
            "mountPoints": [{ "sourceVolume": "data", "containerPath": "/data" }],
            "logConfiguration": { "logDriver": "awslogs", "options": {
                "awslogs-group": format!("/ecs/{name}"), "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x",
                "awslogs-create-group": "true",
            } },
        }],
    });
    call(url, "RegisterTaskDefinition", &definition.to_string());
    folder
}

fn run(folder: &Folder, arguments: &[&str]) -> Ran {
    Ran::of(command(folder, arguments).output().unwrap())
}

#[test]
fn twenty_shards_of_the_backfill_share_the_work() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url);
    for task in ["db-migrate", "seed"] {
        let ran = run(&folder, &["run", task]);
        assert_eq!(ran.code, Some(0), "{}", ran.err());
    }
    let ran = run(&folder, &["run", "backfill", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out(), ran.err());
    let events: Vec<Value> = ran.out().lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!(
        last["shards"],
        json!({ "of": SHARDS, "outcomes": { "succeeded": SHARDS }, "failed": [], "not_run": [] })
    );
    // Each shard said of itself what the event says of it, and had a part of the entries.
    let mut finished: BTreeMap<u64, u32> = BTreeMap::new();
    for event in events.iter().filter(|it| it["event"] == "log") {
        let (shard, message) = (event["shard"].as_u64().unwrap(), event["message"].as_str().unwrap());
        assert!(message.starts_with(&format!("shard {shard} of {SHARDS}: ")), "{event}");
        *finished.entry(shard).or_default() += u32::from(message.ends_with("backfill finished"));
    }
    assert_eq!(finished, (0..u64::from(SHARDS)).map(|it| (it, 1)).collect());
    let launched = events.iter().filter(|it| it["event"] == "launched").count();
    assert_eq!(launched, SHARDS as usize);

    // Again, alone, for people.
    let ran = run(&folder, &["run", "backfill", "--shard", "3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
    assert!(lines.iter().all(|it| it.starts_with("[3/20] shard 3 of 20: ")), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("[3/20] shard 3 of 20: backfill finished"));
}
