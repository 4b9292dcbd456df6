//! `policy`: each request of a run is held against the statement that must allow it, and each statement against the requests that need
//! it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use crate::fake::wire::{Request, Service};
use crate::fake::{Fake, Life};
use crate::harness::{Docker, Test};
use crate::iam::{Policy, asked_by};

const ROLE: &str = "arn:aws:iam::111122223333:role";

/// A service on Fargate with roles and a log group in another region.
fn fake() -> Fake {
    Fake::new()
        .cluster("staging")
        .task_definition(json!({
            "family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"],
            "taskRoleArn": format!("{ROLE}/web"), "executionRoleArn": format!("{ROLE}/ecs/execution"),
            "containerDefinitions": [{
                "name": "web", "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1", "essential": true,
                "logConfiguration": { "logDriver": "awslogs", "options": {
                    "awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web",
                } },
            }],
        }))
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "web" }))
        .task_life(Life::prints(["done"]).exits(0))
}

const TASKS: &str = r#"
[images.app]
repository = "acme/app"

[images.new]
repository = "acme/new"
registry = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
create-repository = true

[environments.staging]
endpoint-url = "{endpoint}"
region = "eu-west-1"
account = "111122223333"
cluster = "staging"
service = "web"

[environments.local]
runner = "host"

[tasks.migrate]
image = "app"
command = ["migrate"]

[tasks.slow]
image = "deployed"
command = ["slow"]
timeout = "2s"
environments = ["staging"]
task-role = "slow"
logs = { group = "/ecs/slow", region = "us-east-1", prefix = "slow" }

[tasks.fresh]
image = "new"
command = ["fresh"]
environments = ["staging"]
"#;

fn world(fake: &Fake) -> Test {
    let test = Test::new().fake(fake).docker(Docker::new()).tasks(TASKS);
    test.file("Dockerfile", "FROM scratch\n")
}

fn policy(test: &Test, words: &str) -> Policy {
    let ran = test.run(words).code(0);
    Policy(serde_json::from_str(&ran.stdout_text()).expect("a policy is JSON"))
}

/// Runs a task under a policy: every request must be allowed. Gives the statements that allowed something.
fn run_under(policy: &Policy, fake: &Fake, test: &Test, task: &str, code: i32) -> Vec<String> {
    let from = fake.records().len();
    let _ = test.run(&format!("run {task} -e staging")).code(code);
    let mut used = Vec::new();
    for (operation, asked) in asked_by(fake, from) {
        let by = policy.allowing(&asked);
        assert!(!by.is_empty(), "{operation} is not allowed: {asked:#?}\nby {:#}", policy.0);
        used.extend(by);
    }
    used.sort();
    used.dedup();
    used
}

#[test]
fn it_is_this_for_a_task_that_is_built() {
    let fake = fake().repository("acme/app", true);
    let test = world(&fake);
    let ran = test.run("policy -e staging migrate");
    let expected = include_str!("policy/migrate.json");
    ran.expect(0, expected, "");
    // Nothing is written for it.
    let operations = fake.operations();
    assert!(operations.iter().all(|it| it.starts_with("Describe") || it.starts_with("Get") || it.starts_with("List")));
    assert!(test.docker_calls().is_empty());
}

#[test]
fn every_request_is_allowed_and_every_statement_needed() {
    for (task, code, beside) in [
        // docker's pushes go to the registry and never through here.
        ("migrate", 0, &["PushImages"][..]),
        ("fresh", 0, &["PushImages"]),
        ("slow", 124, &[]),
    ] {
        let fake = match task {
            "slow" => fake().image("acme/app", "v1", DIGEST).task_life(Life::new().runs_forever()),
            _ => fake().repository("acme/app", true),
        };
        let test = world(&fake);
        let policy = policy(&test, &format!("policy -e staging {task}"));
        let mut used = run_under(&policy, &fake, &test, task, code);
        used.extend(beside.iter().map(|it| (*it).to_owned()));
        let unused: Vec<String> = policy.sids().into_iter().filter(|it| !used.contains(it)).collect();
        // The image of a service with an ECS task is read off that; it is looked up where none runs.
        let expected: &[&str] = if task == "slow" { &["LookUpImages"] } else { &[] };
        assert_eq!(unused, expected, "{task}: {:#}", policy.0);
    }
}

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

#[test]
fn the_policy_of_all_is_enough_for_each_and_of_one_not_for_another() {
    let fake = fake().repository("acme/app", true);
    let test = world(&fake);
    let all = policy(&test, "policy -e staging");
    let migrate = policy(&test, "policy -e staging migrate");
    for (task, code) in [("migrate", 0), ("fresh", 0)] {
        run_under(&all, &fake, &test, task, code);
    }
    let from = fake.records().len();
    let _ = test.run("run fresh -e staging").code(0);
    let denied: Vec<String> = asked_by(&fake, from)
        .into_iter()
        .filter(|(_, asked)| migrate.allowing(asked).is_empty())
        .map(|(_, asked)| format!("{} {}", asked.action, asked.resource))
        .collect();
    let task_definition = "arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-fresh:1";
    assert_eq!(
        denied,
        [
            "ecr:DescribeImages arn:aws:ecr:eu-central-1:111122223333:repository/acme/new".to_owned(),
            "ecr:DescribeImages arn:aws:ecr:eu-central-1:111122223333:repository/acme/new".to_owned(),
            format!("ecs:RunTask {task_definition}"),
        ]
    );
}

#[test]
fn another_cluster_account_or_role_is_not_allowed() {
    let fake = fake().repository("acme/app", true);
    let test = world(&fake);
    let policy = policy(&test, "policy -e staging migrate");
    let from = fake.records().len();
    let _ = test.run("run migrate -e staging").code(0);
    for (operation, asked) in asked_by(&fake, from) {
        if asked.resource != "*" && !asked.resource.contains("container-instance") {
            for (from, to) in [
                ("111122223333", "999988887777"),
                ("/staging", "/production"),
                ("xtask-staging-migrate", "xtask-staging-other"),
                ("role/", "role/admin/"),
                ("/ecs/web", "/ecs/other"),
                ("acme/app", "acme/other"),
                (":eu-west-1:", ":us-east-1:"),
            ] {
                let mut other = asked.clone();
                other.resource = asked.resource.replace(from, to);
                if other.resource != asked.resource {
                    assert!(policy.allowing(&other).is_empty(), "{operation} is allowed on {}", other.resource);
                }
            }
        }
        // A service's ARN has the cluster in it.
        for key in asked.context.keys().filter(|_| asked.action != "ecs:DescribeServices") {
            let mut other = asked.clone();
            other.context.insert(key, "arn:aws:ecs:eu-west-1:111122223333:cluster/production".to_owned());
            assert!(policy.allowing(&other).is_empty(), "{operation} is allowed whatever {key} is");
        }
    }
}

#[test]
fn a_role_can_trust_github() {
    // With account and region in tasks.toml AWS is not asked.
    let test = Test::new().tasks(&TASKS.replace("{endpoint}", "http://127.0.0.1:1"));
    let ran = test.run("policy -e staging --trust github:acme/app:ref:refs/heads/main").code(0).stderr("");
    let policy: Value = serde_json::from_str(&ran.stdout_text()).unwrap();
    let statement = &policy["Statement"][0];
    assert_eq!(
        statement["Principal"]["Federated"],
        "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
    );
    let condition = &statement["Condition"]["StringEquals"];
    assert_eq!(condition["token.actions.githubusercontent.com:sub"], "repo:acme/app:ref:refs/heads/main");
    let _ = test.run("policy -e staging --trust acme/app").code(2).stderr_has("expected github:OWNER/REPO");
}

#[test]
fn what_it_cannot_say_is_refused() {
    let fake = fake();
    let test = world(&fake);
    let _ = test.run("policy -e local").code(2).stderr_has("tasks in `local` run on this machine");
    let _ = test.run("policy -e staging migrate typo").code(2).stderr_has("unknown task `typo`");
    let _ = test.run("policy -e stagng").code(2).stderr_has("unknown environment `stagng`");
    assert_eq!(fake.operations(), [""; 0]);
}

#[test]
fn what_others_decide_is_said_beside_it() {
    let fake = fake();
    let tasks = TASKS.replace("repository = \"acme/app\"", "repository = \"acme/app\"\nregistry-profile = \"shared\"");
    let test = Test::new().fake(&fake).tasks(&tasks);
    let policy = test.run("policy -e staging migrate").code(0).stderr_has("profile `shared`");
    assert!(!policy.stdout_text().contains("\"ecr:"));
}

#[test]
fn a_call_without_a_row_is_found() {
    let fake = Fake::new();
    let test = Test::new().fake(&fake);
    let request = |operation: &str| Request {
        service: Service::Ecs,
        operation: operation.to_owned(),
        body: json!({}),
        headers: Vec::new(),
    };
    let core = fake.core();
    let _ = core.arrive(request("RunTask"));
    test.check_calls();
    let _ = core.arrive(request("PutClusterCapacityProviders"));
    let found = catch_unwind(AssertUnwindSafe(|| test.check_calls())).expect_err("it is in no row");
    let message = found.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(message.contains("ecs:PutClusterCapacityProviders"), "{message}");
}
