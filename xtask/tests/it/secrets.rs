//! Nothing secret in our own words: secrets are planted wherever a user may have them, and everything is run that says much. What is
//! printed is looked through by the harness, after every run of every test (`check_secrets`); here it gets something to find.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use crate::fake::{Fake, Fault, Life};
use crate::harness::{Docker, Says, Test};

fn fake() -> Fake {
    Fake::new()
        .cluster("staging")
        .repository("acme/app", true)
        .task_definition(json!({
            "family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"],
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "containerDefinitions": [
                {
                    "name": "web", "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1", "essential": true,
                    "environment": [
                        { "name": "SESSION_SECRET", "value": "planted-in-the-base" },
                        { "name": "REDIS_URL", "value": "redis://:planted-in-the-bases-url@cache" },
                    ],
                    "logConfiguration": { "logDriver": "awslogs", "options": {
                        "awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web",
                    } },
                },
                {
                    "name": "agent", "image": "agent", "essential": false,
                    "logConfiguration": { "logDriver": "splunk", "options": { "splunk-token": "planted-in-an-option" } },
                },
            ],
        }))
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "web" }))
        .task_life(Life::prints(["done"]).exits(0))
}

const TASKS: &str = r#"
[images.app]
repository = "acme/app"
build-args = { NPM_TOKEN = "planted-in-a-build-argument" }

[environments.staging]
endpoint-url = "{endpoint}"
region = "eu-west-1"
cluster = "staging"
service = "web"
container = "web"

[environments.local]
runner = "host"

[environments.docker]
runner = "docker"

[tasks.migrate]
image = "app"
command = ["/bin/echo", "postgres://app:planted-in-the-command@db/app"]
variables = { API_TOKEN = "planted-in-a-variable", DATABASE_URL = "postgres://app:planted-in-a-url@db/app" }

[tasks.fetch]
image = "app"
command = ["/bin/true"]
secrets = { SIGNING_KEY = "/app/key" }
"#;

fn world(fake: &Fake) -> Test {
    Test::new()
        .fake(fake)
        .docker(Docker::new())
        .file("Dockerfile", "FROM scratch\nARG NPM_TOKEN\n")
        .tasks(TASKS)
        .env("SIGNING_KEY", "planted-in-the-environment")
}

/// All that a run can be asked to say.
const WAYS: [&str; 5] = ["", " -v", " --format json", " --format json -v", " --plain -v"];
const FLAGS: &str = "--var DB_PASSWORD=planted-in-a-flag --run-id r1";

#[test]
fn runs_on_ecs_say_none() {
    for way in WAYS {
        let fake = fake();
        let test = world(&fake);
        let arguments = "-- x://u:planted-in-an-argument@h/";
        let _ = test.run(&format!("run migrate -e staging --dry-run {FLAGS}{way} {arguments}")).code(0);
        let _ = test.run(&format!("run migrate -e staging {FLAGS}{way} {arguments}")).code(0);
        let _ = test.run(&format!("run migrate -e staging --detach {FLAGS}{way} {arguments}")).code(0);
        let _ = test.run(&format!("attach migrate -e staging{way}")).code(0);
        let _ = test.run(&format!("ps --all -e staging{way}")).code(0);
        // They got where they belong.
        let sent = fake.sent("RunTask")[0].to_string();
        for planted in ["in-a-flag", "in-a-variable", "in-a-url", "in-an-argument"] {
            assert!(sent.contains(&format!("planted-{planted}")), "{planted}: {sent}");
        }
        let _ = test.run(&format!("policy -e staging migrate{way}")).code(0);
        let _ = test.run(&format!("check -e staging{way}"));
        let _ = test.run(&format!("clean -e staging --yes{way}")).code(0);
        let _ = test.run(&format!("list{way}")).code(0);
    }
}

#[test]
fn a_stop_says_none() {
    for way in WAYS {
        let fake = fake().task_life(Life::prints(["up"]).runs_forever());
        let test = world(&fake);
        let arguments = "-- x://u:planted-in-an-argument@h/";
        let _ = test.run(&format!("run migrate -e staging --detach {FLAGS} {arguments}")).code(0);
        let _ = test.run(&format!("stop --run r1 -e staging{way}")).code(0);
        assert!(fake.alive().is_empty());
    }
}

#[test]
fn failures_say_none() {
    for way in [" -v", " --format json"] {
        for operation in
            ["DescribeServices", "GetAuthorizationToken", "RegisterTaskDefinition", "RunTask", "DescribeTasks"]
        {
            let fake = fake().fault(operation, .., Fault::AccessDenied);
            let _ = world(&fake).run(&format!("run migrate -e staging {FLAGS}{way}")).code(125);
        }
        for command in ["build", "push", "login"] {
            let fake = fake();
            let docker = Docker::new().on(command, Says::new().stderr("no\n").exits(1));
            let _ = world(&fake).docker(docker).run(&format!("run migrate -e staging {FLAGS}{way}")).code(125);
        }
        // More than ECS takes: the message tells names and sizes.
        let fake = fake();
        let much = format!("--var DB_PASSWORD=planted-{}", "x".repeat(9000));
        let _ = world(&fake).run(&format!("run migrate -e staging {much}{way}")).code(2);
    }
}

#[test]
fn mistakes_in_tasks_toml_show_their_line_without_them() {
    let fake = fake();
    let tasks = TASKS.replace("DATABASE_URL = \"", "BATCH = [1], DATABASE_URL = \"");
    let test = world(&fake).tasks(&tasks);
    for way in WAYS {
        let ran = test.run(&format!("run migrate -e staging{way}")).code(2);
        if way.is_empty() {
            let _ = ran.stderr_has("variables = { API_TOKEN = \"*********************\", BATCH = [1], DATABASE_URL");
        }
        let _ = test.run(&format!("check -e staging{way}")).code(1);
    }
    let tasks = TASKS.replace("\nbuild-args = { NPM_TOKEN", "\nbuild-args = { 5, NPM_TOKEN");
    let _ = world(&fake).tasks(&tasks).run("list").code(2);
}

#[test]
fn runs_on_this_machine_say_none() {
    let tasks = TASKS.replace("{endpoint}", "http://127.0.0.1:1").replace("\"/bin/echo\", ", "\"/bin/true\", ");
    // What a command itself holds is in the command line of the container's making as well.
    let without = tasks.replace(", \"postgres://app:planted-in-the-command@db/app\"", "");
    for way in WAYS {
        for (environment, tasks, code) in [("local", &tasks, 0), ("docker", &without, 125)] {
            let test = Test::new()
                .tasks(tasks)
                .file("Dockerfile", "FROM scratch\nARG NPM_TOKEN\n")
                // Up to the command line that makes the container: it is looked through, too.
                .docker(Docker::new().on("ps", Says::new().exits(0)).on("create", Says::new().stderr("no\n").exits(1)))
                .env("SIGNING_KEY", "planted-in-the-environment");
            let _ = test.run(&format!("run migrate -e {environment} --dry-run {FLAGS}{way}")).code(0);
            let _ = test.run(&format!("run migrate -e {environment} {FLAGS}{way}")).code(code);
            let _ = test.run(&format!("run fetch -e {environment}{way}")).code(code);
            let made = test.docker_calls().iter().filter(|it| it.command() == "create").count();
            assert_eq!(made, if environment == "docker" { 2 } else { 0 });
        }
    }
}

#[test]
fn github_is_told_what_not_to_show_before_anything_else() {
    let fake = fake();
    let test = world(&fake).env("GITHUB_ACTIONS", "true");
    let ran = test.run(&format!("run migrate -e staging {FLAGS}")).code(0);
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    let first: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(
        first,
        ["::add-mask::planted-in-a-variable", "::add-mask::planted-in-a-url", "::add-mask::planted-in-a-flag",],
        "{text}"
    );
    // What is no secret is not masked, and nowhere but on GitHub.
    assert_eq!(text.matches("::add-mask::").count(), 3, "{text}");
    let _ = test.run(&format!("run migrate -e staging --plain {FLAGS}")).code(0).stderr_lacks("add-mask");
    let ran = test.run("run fetch -e local").code(0);
    let _ = ran.stderr_has("::add-mask::planted-in-the-environment\n");
}

#[test]
fn one_that_is_printed_is_found() {
    let test = Test::new()
        .tasks("[environments.local]\nrunner = \"host\"\n[tasks.leak]\ncommand = [\"/bin/echo\", \"planted-x\"]\n");
    let found = catch_unwind(AssertUnwindSafe(|| drop(test.run("run leak"))));
    assert!(found.is_err(), "the harness lets a secret pass");
}
