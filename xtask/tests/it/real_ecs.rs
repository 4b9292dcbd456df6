//! The whole ECS path on ministack, an AWS emulator that others wrote: a real push, a real container, its real exit code.

use std::fs;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::local::{Folder, Ran, Running};
use crate::real;

const PROBE: &str = r#"
use std::io::Write;
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments[1].as_str() {
        // Prints, waits, prints, and ends with a code of its own.
        "work" => {
            println!("one {}", std::env::var("XTASK_RUN_ID").unwrap());
            std::io::stdout().flush().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(arguments[3].parse().unwrap()));
            println!("two");
            eprintln!("three, on stderr");
            std::process::exit(arguments[2].parse().unwrap());
        }
        "lines" => {
            let n: u32 = arguments[2].parse().unwrap();
            let text: String = (1..=n).map(|it| format!("{it}\n")).collect();
            std::io::stdout().write_all(text.as_bytes()).unwrap();
        }
        // A line each so many milliseconds, and a code of its own.
        "count" => {
            for line in 1..=arguments[2].parse().unwrap() {
                std::thread::sleep(std::time::Duration::from_millis(arguments[3].parse().unwrap()));
                println!("{line}");
            }
            std::process::exit(arguments[4].parse().unwrap());
        }
        other => panic!("{other}"),
    }
}
"#;

/// A project whose image is the probe, in a repository and with a base definition of its own.
pub fn project(url: &str, name: &str) -> Folder {
    // An emulator that has run the tests before has nothing of this run; and side by side an equal ECS task of the same caller, in
    // an environment of the same name, would not be started a second time.
    let name = &format!("{name}-{}", std::process::id());
    let host = url.strip_prefix("http://").unwrap();
    let tasks = format!(
        r#"
[images.app]
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
image = "app"
"#
    );
    let mut tasks = tasks;
    for code in [0, 1, 7, 42, 255] {
        tasks.push_str(&format!("[tasks.exit-{code}]\ncommand = [\"work\", \"{code}\", \"1500\"]\n"));
    }
    tasks.push_str("[tasks.lines]\ncommand = [\"lines\", \"2000\"]\n");
    tasks.push_str("[tasks.long]\ncommand = [\"work\", \"0\", \"50000\"]\n");
    let folder = Folder::new(&tasks);
    real::static_program(folder.path(), "probe", PROBE);
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\n").unwrap();
    fs::write(folder.path().join(".dockerignore"), "*\n!probe\n").unwrap();
    let definition = format!(
        r#"{{"family": "{name}", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "containerDefinitions": [{{"name": "app", "image": "unused", "essential": true, "logConfiguration": {{"logDriver": "awslogs",
            "options": {{"awslogs-group": "/ecs/{name}", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x", "awslogs-create-group": "true"}}}}}}]}}"#
    );
    call(url, "RegisterTaskDefinition", &definition);
    folder
}

/// What the emulator's CloudWatch Logs holds of the run that told this on stderr.
fn logged(url: &str, name: &str, stderr: &str) -> String {
    let arn = stderr.lines().find_map(|it| it.trim().strip_prefix("Launched ")).unwrap();
    let id = arn.rsplit('/').next().unwrap();
    let group = format!("/ecs/{name}-{}", std::process::id());
    let mut text = String::new();
    let mut token = Value::Null;
    loop {
        let mut body = json!({ "logGroupName": group, "logStreamName": format!("x/app/{id}"), "startFromHead": true });
        if !token.is_null() {
            body["nextToken"] = token.clone();
        }
        let page = call_service(url, "Logs_20140328", "GetLogEvents", &body.to_string());
        for event in page["events"].as_array().unwrap() {
            text.push_str(&format!("{}\n", event["message"].as_str().unwrap()));
        }
        if page["nextForwardToken"] == token {
            return text;
        }
        token = page["nextForwardToken"].clone();
    }
}

/// One call to the emulator's ECS, which checks no signature; its region is us-east-1 then.
pub fn call(url: &str, operation: &str, body: &str) -> Value {
    call_service(url, "AmazonEC2ContainerServiceV20141113", operation, body)
}

fn call_service(url: &str, service: &str, operation: &str, body: &str) -> Value {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--header",
            "Content-Type: application/x-amz-json-1.1",
            "--header",
        ])
        .arg(format!("X-Amz-Target: {service}.{operation}"))
        .args(["--data", body, &format!("{url}/")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{operation}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.xtask(arguments);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

pub fn run(folder: &Folder, arguments: &[&str]) -> Ran {
    Ran::of(command(folder, arguments).output().unwrap())
}

#[test]
fn the_exit_code_is_the_containers_and_the_output_comes_while_it_runs() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "codes");
    for (index, code) in [0, 1, 7, 42, 255].into_iter().enumerate() {
        let id = format!("run-{code}-{}", std::process::id());
        let started = Instant::now();
        let mut running = Running::start(command(&folder, &["run", &format!("exit-{code}"), "--run-id", &id, "-v"]));
        running.wait_for(&format!("one {id}\n"));
        let first = started.elapsed();
        let ran = running.finish();
        // The first line was on stdout while the container still had something to do.
        assert!(started.elapsed() - first >= std::time::Duration::from_millis(900), "{first:?}");
        assert_eq!(ran.code, Some(code), "{}", ran.err());
        // stdout and stderr of a container arrive in one stream, whose order docker does not promise.
        let mut lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, [format!("one {id}"), "three, on stderr".to_owned(), "two".to_owned()]);
        // Built and pushed once; the tasks differ in their command alone, and that is no part of a revision.
        assert_eq!(ran.err().contains("Building app"), index == 0, "{}", ran.err());
        let arn = ran.err().lines().find_map(|it| it.trim().strip_prefix("Launched ").map(str::to_owned)).unwrap();
        let described = call(&url, "DescribeTasks", &format!(r#"{{"cluster": "default", "tasks": ["{arn}"]}}"#));
        let task = &described["tasks"][0];
        assert_eq!(task["lastStatus"], "STOPPED");
        assert_eq!(task["startedBy"], format!("xtask/exit-{code}/{id}"));
        let definition =
            call(&url, "DescribeTaskDefinition", &format!(r#"{{"taskDefinition": {}}}"#, task["taskDefinitionArn"]));
        let image = definition["taskDefinition"]["containerDefinitions"][0]["image"].as_str().unwrap().to_owned();
        assert!(image.contains(&format!("/acme/codes-{}@sha256:", std::process::id())), "{image}");
    }
}

#[test]
fn nothing_changed_means_no_build_no_push_and_no_new_revision() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "again");
    let first = run(&folder, &["run", "lines"]);
    assert_eq!(first.code, Some(0), "{}", first.err());
    // What the emulator keeps is what must be here; on a busy machine it may not be all.
    let all: String = (1..=2_000).map(|it| format!("{it}\n")).collect();
    assert!(all.starts_with(&first.out()) && first.out().starts_with("1\n2\n"), "{}", first.out());
    assert!(first.out() == logged(&url, "again", &first.err()), "{}", first.err());
    assert!(first.err().contains("Pushing app"), "{}", first.err());

    // A docker that cannot be reached: it is not needed.
    let second = Ran::of(command(&folder, &["run", "lines"]).env("DOCKER_HOST", "tcp://127.0.0.1:1").output().unwrap());
    assert_eq!(second.code, Some(0), "{}", second.err());
    assert!(second.out() == logged(&url, "again", &second.err()), "{}", second.err());
    assert!(
        second.err().contains("Unchanged image") && second.err().contains("Unchanged task definition"),
        "{}",
        second.err()
    );

    // One byte of the context is another image.
    fs::write(folder.path().join(".dockerignore"), "*\n!probe\n!more\n").unwrap();
    fs::write(folder.path().join("more"), "x").unwrap();
    let third = run(&folder, &["run", "lines", "--dry-run"]);
    assert_eq!((third.code, third.out().as_str()), (Some(0), ""));
    assert!(third.err().contains("built and pushed"), "{}", third.err());
}

#[test]
fn an_interrupted_run_stops_its_ecs_task() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "stop");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let id = format!("stop-{code}-{}", std::process::id());
        let mut running = Running::start(command(&folder, &["run", "long", "--run-id", &id]));
        running.wait_for(&format!("one {id}\n"));
        running.signal(signal);
        let ran = running.finish();
        assert_eq!(ran.code, Some(code), "{}", ran.err());
        let body = format!(r#"{{"cluster": "default", "startedBy": "xtask/long/{id}"}}"#);
        assert_eq!(call(&url, "ListTasks", &body)["taskArns"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn a_timeout_stops_the_ecs_task() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "timeout");
    let id = format!("late-{}", std::process::id());
    let ran = run(&folder, &["run", "long", "--timeout", "2s", "--run-id", &id]);
    assert_eq!(ran.code, Some(124), "{}", ran.err());
    let body = format!(r#"{{"cluster": "default", "startedBy": "xtask/long/{id}"}}"#);
    assert_eq!(call(&url, "ListTasks", &body)["taskArns"].as_array().unwrap().len(), 0);
}
