//! The fake AWS tried out with the crate's own client, which is the real SDK: what it answers parses, and it does what AWS documents.

mod calls;
mod log;
mod task;

use serde_json::{Value, json};
use xtask::aws::{Aws, AwsOptions};
use xtask::model::{Origin, Sourced};

use crate::fake::{ACCESS_KEY, Fake, REGION};

/// Runs a test of this program again in a process that has the fake's credentials in its environment, and gives whether this is that
/// process. The SDK finds credentials there, and no test may change the environment of its own process.
fn has_credentials(fake: &Fake, test: &str) -> bool {
    if std::env::var("AWS_ACCESS_KEY_ID").as_deref() == Ok(ACCESS_KEY) {
        return true;
    }
    let program = std::env::current_exe().expect("a test program has a path");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", &format!("fake_tests::{test}"), "--nocapture"]).env_clear().envs(fake.env());
    let output = command.output().expect("this program can be started again");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Runs a test with a client of the fake.
fn with_client(test: &str, fake: Fake, run: impl AsyncFnOnce(&Fake, &Aws)) {
    if !has_credentials(&fake, test) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be had");
    runtime.block_on(async {
        let options = AwsOptions {
            profile: None,
            region: Some(Sourced::new(REGION.to_owned(), Origin::Default)),
            endpoint_url: Some(Sourced::new(fake.endpoint(), Origin::Default)),
            speed: crate::fake::SPEED,
            trace: None,
        };
        let aws = Aws::connect(options).await.expect("region and endpoint are given");
        run(&fake, &aws).await;
    });
    fake.verify();
}

/// A definition as a team would have it.
fn app() -> Value {
    json!({
        "family": "app",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
        "containerDefinitions": [
            {
                "name": "web",
                "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1",
                "portMappings": [{ "containerPort": 8080 }],
                "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "app",
                    },
                },
            },
            { "name": "proxy", "image": "envoy:1", "essential": false, "stopTimeout": 2 },
        ],
    })
}

/// A cluster `staging` with the service `web` of that definition.
fn staging() -> Fake {
    Fake::by_hand()
        .cluster("staging")
        .task_definition(app())
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "app" }))
}

/// A request of RunTask that ECS takes.
fn run_task() -> Value {
    json!({
        "cluster": "staging",
        "taskDefinition": "app:1",
        "launchType": "FARGATE",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0a"], "assignPublicIp": "DISABLED" } },
        "overrides": { "containerOverrides": [{ "name": "web", "command": ["bin/migrate"] }] },
        "startedBy": "xtask/db-migrate/k3v9",
        "tags": [{ "key": "xtask", "value": "1" }],
    })
}

/// The request with other values at some pointers; null takes the member away.
fn changed(mut request: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let parent = request.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        match (parent, value) {
            (Value::Object(members), Value::Null) => drop(members.shift_remove(member)),
            (parent, value) => match member.parse::<usize>() {
                Ok(index) => parent[index] = value.clone(),
                Err(_) => parent[member] = value.clone(),
            },
        }
    }
    request
}
