//! Interactive tasks and `exec`, through the built binary, the fake AWS and the fake gateway with a real pseudo-terminal behind it.

mod endings;
mod plain;
mod terminal;

use serde_json::json;

use crate::fake::{Fake, Life};
use crate::gateway::{Gateway, Net};
use crate::harness::Test;

const TASKS: &str = r#"
[environments.staging]
region = "eu-west-1"
cluster = "staging"
service = "web"

[tasks.console]
image = "deployed"
interactive = true
max-lifetime = "2h"
command = ["sh"]

[tasks.script]
image = "deployed"
interactive = true
command = ["sh", "-c"]

[tasks.short]
image = "deployed"
interactive = true
max-lifetime = "60s"
command = ["sh"]

[tasks.limited]
image = "deployed"
interactive = true
timeout = "30s"
command = ["sh"]

[tasks.binary]
image = "deployed"
interactive = true
command = ["cat"]
"#;

/// A protected environment, one without a service, one on this machine.
const OTHERS: &str = r#"
[environments.production]
region = "eu-west-1"
cluster = "staging"
account = "111122223333"
service = "web"
protected = true

[environments.elsewhere]
region = "eu-west-1"
account = "999999999999"
cluster = "staging"
service = "web"

[environments.local]
runner = "host"
"#;

/// An account whose task definition has a task role, on a fake of that speed.
fn account(speed: f64) -> Fake {
    Fake::with_speed(speed)
        .cluster("staging")
        .task_definition(json!({
            "family": "app",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "taskRoleArn": "arn:aws:iam::111122223333:role/app",
            "containerDefinitions": [{
                "name": "web",
                "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1",
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "app",
                    },
                },
            }],
        }))
        .service(
            "staging",
            json!({
                "serviceName": "web", "taskDefinition": "app", "enableExecuteCommand": true, "launchType": "FARGATE",
                "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0a"] } },
            }),
        )
}

/// An ECS task that is RUNNING almost at once: these tests are about what comes then.
fn quick() -> Life {
    Life { provisioning: 500, pending: 500, activating: 500, ..Life::new() }.runs_forever()
}

struct World {
    gateway: Gateway,
    fake: Fake,
    test: Test,
}

impl World {
    fn new(net: Net) -> World {
        World::with(net, |it| it)
    }

    /// The id of an ECS task of the service.
    fn service_task(&self) -> String {
        self.fake.service_tasks().remove(0)
    }

    fn with(net: Net, change: impl FnOnce(Fake) -> Fake) -> World {
        let gateway = Gateway::new(net);
        let fake = change(account(crate::fake::SPEED).exec(&gateway).task_life(quick()));
        let test = Test::new().fake(&fake).tasks(&format!("{TASKS}{OTHERS}"));
        World { gateway, fake, test }
    }
}
