//! `check`: everything in order, everything broken at once, and everything out of reach.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::fake::{Fake, Fault};
use crate::harness::{Docker, Ran, Says, Test};

const ACCOUNT: &str = "111122223333";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// An `aws` on PATH: for each call the answer of the first pattern that its words match, else a denial. Its calls are kept.
#[derive(Default)]
struct AwsCli(Vec<(String, Answer)>);

/// JSON, or AWS's code and message.
type Answer = Result<Value, (&'static str, &'static str)>;

impl AwsCli {
    fn on(mut self, pattern: &str, answer: Value) -> AwsCli {
        self.0.push((pattern.to_owned(), Ok(answer)));
        self
    }

    fn refuses(mut self, pattern: &str, code: &'static str, message: &'static str) -> AwsCli {
        self.0.push((pattern.to_owned(), Err((code, message))));
        self
    }

    fn script(&self) -> String {
        let mut text = "echo \"$AWS_PROFILE|$*\" >> \"$HOME/aws-calls\"\ncase \"$*\" in\n".to_owned();
        for (pattern, answer) in &self.0 {
            let pattern = pattern.split('*').map(|it| format!("'{it}'")).collect::<Vec<_>>().join("*");
            let action = match answer {
                Ok(answer) => format!("cat <<'END'\n{answer}\nEND\n"),
                Err((code, message)) => {
                    format!("echo 'An error occurred ({code}) when calling the X operation: {message}' >&2; exit 254")
                }
            };
            let _ = writeln!(text, "*{pattern}*) {action}\n;;");
        }
        text + "*) echo 'An error occurred (AccessDenied) when calling the X operation: not authorized' >&2; exit 254;;\nesac"
    }

    /// What a healthy account answers.
    fn healthy() -> AwsCli {
        let subnet = |id: &str| json!({ "SubnetId": id, "VpcId": "vpc-1", "AvailabilityZone": "eu-west-1a", "AvailableIpAddressCount": 9 });
        let trust = |service: &str| {
            json!({ "Statement": [{
                "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole",
            }] })
        };
        let role = |name: &str, service: &str| {
            json!({ "Role": {
                "Arn": format!("arn:aws:iam::{ACCOUNT}:role/{name}"), "AssumeRolePolicyDocument": trust(service),
            } })
        };
        AwsCli::default()
            .on("ec2 describe-subnets", json!({ "Subnets": [subnet("subnet-0a"), subnet("subnet-0b")] }))
            .on(
                "ec2 describe-security-groups",
                json!({ "SecurityGroups": [{
                "GroupId": "sg-0c", "VpcId": "vpc-1", "IpPermissionsEgress": [{ "IpProtocol": "-1" }],
            }] }),
            )
            .on("get-role --role-name deployer", role("ci/deployer", "ec2.amazonaws.com"))
            .on("get-role --role-name execution", role("execution", "ecs-tasks.amazonaws.com"))
            .on("get-role --role-name web", role("web", "ecs-tasks.amazonaws.com"))
            .on(
                "simulate-principal-policy",
                json!({ "EvaluationResults": [
                { "EvalActionName": "x", "EvalResourceName": "*", "EvalDecision": "allowed" },
            ] }),
            )
            .on(
                "ssm describe-parameters",
                json!({ "Parameters": [{ "Name": "/app/token", "KeyId": "alias/aws/ssm" }] }),
            )
            .on("secretsmanager describe-secret", json!({ "Name": "app/key" }))
    }

    /// The same, what is said here coming first.
    fn but(mut self, other: AwsCli) -> AwsCli {
        let mut patterns = other.0;
        patterns.append(&mut self.0);
        AwsCli(patterns)
    }
}

/// What the aws command line was asked, a line each, with the profile in front.
fn cli_calls(test: &Test) -> Vec<String> {
    let text = std::fs::read_to_string(test.home().join("aws-calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn definition(family: &str, container: Value) -> Value {
    json!({
        "family": family, "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "taskRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/web"),
        "executionRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/execution"),
        "containerDefinitions": [container],
    })
}

fn container() -> Value {
    json!({
        "name": "web", "image": format!("{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1"), "essential": true,
        "secrets": [{ "name": "TOKEN", "valueFrom": "/app/token" }],
        "logConfiguration": { "logDriver": "awslogs", "options": {
            "awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web",
        } },
    })
}

fn healthy() -> Fake {
    Fake::new()
        .cluster("staging")
        .task_definition(definition("web", container()))
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "web" }))
        .image("acme/app", "v1", DIGEST)
}

const TASKS: &str = r#"
[images.app]
repository = "acme/app"

[environments.staging]
endpoint-url = "{endpoint}"
region = "eu-west-1"
account = "111122223333"
cluster = "staging"
service = "web"
profile = "acme"

[environments.local]
runner = "host"

[tasks.migrate]
image = "app"
command = ["migrate"]
environments = ["staging", "local"]

[tasks.report]
image = "deployed"
command = ["report"]
environments = ["staging"]
secrets = { KEY = "secretsmanager:app/key" }
"#;

fn project(fake: &Fake, tasks: &str, cli: &AwsCli) -> Test {
    Test::new()
        .fake(fake)
        .docker(Docker::new())
        .program("aws", &cli.script())
        .file("Dockerfile", "FROM scratch\n")
        .tasks(tasks)
}

/// Nothing was written, by the SDK or by the command line.
fn only_read(fake: &Fake, test: &Test, ran: &Ran) {
    let reads = ["Describe", "List", "Get", "BatchGet"];
    let writes: Vec<String> =
        fake.operations().into_iter().filter(|it| !reads.iter().any(|read| it.starts_with(read))).collect();
    assert_eq!(writes, [""; 0], "{}", ran.all());
    for call in cli_calls(test) {
        let words: Vec<&str> = call.split_once('|').unwrap().1.split(' ').collect();
        assert!(["describe-", "get-role", "simulate-"].iter().any(|it| words[1].starts_with(it)), "{call}");
        assert!(!call.contains("get-parameter") && !call.contains("get-secret-value"), "{call}");
    }
    let commands: Vec<String> = test.docker_calls().iter().map(|it| it.command()).collect();
    assert!(commands.iter().all(|it| ["version", "buildx version", "buildx inspect"].contains(&it.as_str())));
}

#[test]
fn everything_in_order_is_said_so() {
    let fake = healthy();
    let test = project(&fake, TASKS, &AwsCli::healthy());
    let ran = test.run("check -e staging").code(0).stderr("");
    only_read(&fake, &test, &ran);
    // The command line reaches AWS as the SDK does.
    let calls = cli_calls(&test);
    assert!(
        calls.iter().all(|it| it.starts_with("acme|") && it.contains("--region eu-west-1 --endpoint-url http://127"))
    );
    let _ = ran.stdout(include_str!("check/healthy.txt"));
}

#[test]
fn twelve_things_broken_at_once_are_all_found() {
    let tasks = TASKS
        // 1. the account
        .replace("account = \"111122223333\"", "account = \"999988887777\"")
        // 2. capacity that the cluster does not have
        .replace("[tasks.migrate]", "[tasks.migrate]\ncapacity-providers = { big-machines = 1 }")
        // 3. a repository that is not there
        .replace("repository = \"acme/app\"", "repository = \"acme/typo\"")
        // 4. more than ECS takes
        .replace("[\"report\"]", &format!("[\"report\", \"{}\"]", "x".repeat(9000)))
        // 5. a task definition that is not there, 6. no addresses, 7. a role that is not there, 8. a log group that is not there
        + r#"
[tasks.gone]
image = "deployed"
command = ["gone"]
task-definition = "gone"

[tasks.narrow]
image = "deployed"
command = ["narrow"]
subnets = ["subnet-full"]
task-role = "missing"
logs = { group = "/ecs/missing" }
secrets = { OLD = "/app/old", KEY = "secretsmanager:app/deleted" }
"#;
    let fake = healthy();
    // 9. docker does not answer
    let no_engine =
        Says::new().stderr("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n").exits(1);
    let denied = |action: &str, resource: &str| {
        json!({ "EvaluationResults": [
            { "EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "implicitDeny" },
        ] })
    };
    let broken = AwsCli::default()
        .on(
            "Values=subnet-full",
            json!({ "Subnets": [{
            "SubnetId": "subnet-full", "VpcId": "vpc-2", "AvailabilityZone": "eu-west-1a", "AvailableIpAddressCount": 0,
        }] }),
        )
        .refuses("get-role --role-name missing", "NoSuchEntity", "The role with name missing cannot be found.")
        // 10. a role that ECS cannot take on
        .on("get-role --role-name execution", json!({ "Role": { "AssumeRolePolicyDocument": { "Statement": [] } } }))
        // 11. a secret that is not there, 12. one that is going, 13. what the caller may not do
        .on("Values=/app/old", json!({ "Parameters": [] }))
        .on("secret:app/deleted", json!({ "Name": "app/deleted", "DeletedDate": "2026-11-01T00:00:00Z" }))
        .on("ecs:RunTask", denied("ecs:RunTask", "arn:aws:ecs:eu-west-1:111122223333:task-definition/x:0"));
    let test = project(&fake, &tasks, &AwsCli::healthy().but(broken));
    let test = test.docker(Docker::new().on("version", no_engine));
    let ran = test.run("check -e staging").code(1);
    only_read(&fake, &test, &ran);
    let text = ran.stdout_text();
    for (message, hint) in [
        ("docker: cannot use docker: Cannot connect to the Docker daemon", "start docker"),
        ("account: `staging` is in account 999988887777", "use credentials for 999988887777"),
        ("capacity providers: the cluster does not have big-machines", "the cluster has FARGATE, FARGATE_SPOT"),
        (
            "repository acme/typo: does not exist in 111122223333.dkr.ecr.eu-west-1.amazonaws.com",
            "create it, or set `create-repository",
        ),
        ("plan: command, variables and sizes are", "keep large values in the image"),
        ("base task definition: `gone` has no ACTIVE revision", "check the family's name and the region (eu-west-1)"),
        ("subnets: no address is free in subnet-full", "add a subnet with free addresses"),
        ("security groups: are not of the subnets' VPC vpc-2: sg-0c", "name groups of the VPC of the subnets"),
        (
            "task role missing: arn:aws:iam::111122223333:role/missing does not exist",
            "create it, or name another task role",
        ),
        ("execution role execution: its trust policy does not name ecs-tasks.amazonaws.com", "allow sts:AssumeRole"),
        ("log group /ecs/missing: does not exist in eu-west-1", "aws logs create-log-group --region eu-west-1"),
        ("/app/old: there is no such parameter in eu-west-1", "aws ssm put-parameter --region eu-west-1"),
        ("secret:app/deleted: is scheduled for deletion", "aws secretsmanager restore-secret"),
        (
            "RunTasks: ecs:RunTask on arn:aws:ecs:eu-west-1:111122223333:task-definition/x:0 is denied",
            "cargo xtask policy",
        ),
    ] {
        let mut lines = text.lines().skip_while(|it| !it.contains(message));
        let line = lines.next().unwrap_or_else(|| panic!("`{message}` is not reported:\n{text}"));
        assert!(line.trim_start().starts_with("failed"), "{line}");
        let after: Vec<&str> = lines.take(2).collect();
        let has = after.iter().any(|it| it.trim_start().starts_with("hint: ") && it.contains(hint));
        assert!(has, "no hint `{hint}` behind `{message}`:\n{text}");
    }
    let failed = text.lines().filter(|it| it.trim_start().starts_with("failed")).count();
    let hints = text.lines().filter(|it| it.trim_start().starts_with("hint: ")).count();
    assert_eq!(failed, hints, "each failure has its hint:\n{text}");
    assert!(text.lines().last().is_some_and(|it| it.starts_with(&format!("{failed} failed, "))), "{text}");
}

#[test]
fn without_the_command_line_the_rest_is_checked() {
    let fake = healthy();
    let test = Test::new().fake(&fake).docker(Docker::new()).file("Dockerfile", "FROM scratch\n").tasks(TASKS);
    let ran = test.run("check -e staging").code(0);
    let ran = ran.stdout_has("  skipped  aws command line: not on PATH");
    let ran = ran.stdout_has("  skipped  roles that ECS takes on: the aws command line is not on PATH");
    let _ = ran.stdout_has("  ok       service web: ACTIVE, 1 of 1 ECS tasks run").stdout_has("0 failed, 5 skipped");
}

#[test]
fn what_the_command_line_may_not_ask_is_skipped() {
    let fake = healthy();
    let test = project(&fake, TASKS, &AwsCli::default());
    let ran = test.run("check -e staging").code(0);
    let _ = ran.stdout_has("  skipped  subnets: cannot be read: AccessDenied: not authorized");
}

#[test]
fn missing_credentials_and_clusters_do_not_stop_it() {
    let fake = healthy().fault("GetCallerIdentity", .., Fault::ExpiredToken);
    let test = project(&fake, TASKS, &AwsCli::healthy());
    let ran = test.run("check -e staging").code(1);
    let ran = ran.stdout_has("  failed   credentials: cannot ask AWS who calls: ExpiredToken");
    let _ = ran
        .stdout_has("  skipped  everything in AWS: there are no credentials to ask with")
        .stdout_has("ok       docker");

    let fake = Fake::new().cluster("production").cluster("tools");
    let test = project(&fake, TASKS, &AwsCli::healthy());
    let ran = test.run("check -e staging").code(1);
    let ran = ran.stdout_has(
        "  failed   cluster staging: does not exist\n           at: tasks.toml:9:11\n           hint: clusters in eu-west-1: production, tools\n",
    );
    let _ = ran.stdout_has("  skipped  service web: the cluster `staging` could not be read");

    let fake = Fake::new().cluster("staging");
    let test = project(&fake, TASKS, &AwsCli::healthy());
    let ran = test.run("check -e staging").code(1);
    let _ = ran.stdout_has("  failed   service web: does not exist").stdout_has("the service could not be read");
}

#[test]
fn an_image_for_another_architecture_is_found() {
    let index = |architecture: &str| json!({ "schemaVersion": 2, "manifests": [{ "platform": { "os": "linux", "architecture": architecture } }] });
    for (architecture, code) in [("amd64", 0), ("arm64", 1)] {
        let fake = healthy().manifest(index(architecture));
        let test = project(&fake, TASKS, &AwsCli::healthy());
        let ran = test.run("check -e staging report").code(code);
        if code == 1 {
            let message = format!("architecture: the image {DIGEST} is for linux/arm64, and it runs on linux/amd64");
            assert!(String::from_utf8_lossy(&ran.stdout).contains(&message), "{}", ran.all());
        }
    }
    // One that is gone.
    let fake = healthy();
    let tasks = TASKS
        .replace("image = \"deployed\"", &format!("image = \"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v9\""));
    let ran = project(&fake, &tasks, &AwsCli::healthy()).run("check -e staging report").code(1);
    let _ = ran.stdout_has("acme/app:v9` is not in the registry");
}

#[test]
fn a_repository_of_another_account_must_let_the_role_pull() {
    let shared = "999988887777.dkr.ecr.eu-west-1.amazonaws.com";
    let tasks =
        TASKS.replace("repository = \"acme/app\"", &format!("repository = \"acme/app\"\nregistry = \"{shared}\""));
    let allow = json!({ "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }, "Action": "ecr:*",
    }] });
    for (policy, code) in [(Value::Null, 1), (allow, 0)] {
        let fake = healthy().repository_policy(policy);
        let ran = project(&fake, &tasks, &AwsCli::healthy()).run("check -e staging migrate").code(code);
        if code == 1 {
            let _ = ran.stdout_has("policy of acme/app: its policy does not allow ecr:BatchGetImage");
        }
    }
}

#[test]
fn a_broken_tasks_file_is_told_whole() {
    let fake = healthy();
    let tasks = TASKS.replace("image = \"app\"", "imagee = \"app\"").replace("service = \"web\"", "servise = \"web\"");
    let test = project(&fake, &tasks, &AwsCli::healthy());
    let ran = test.run("check -e staging").code(1);
    let ran = ran.stdout_has("tasks.toml:10:1").stdout_has("tasks.toml:17:1").stdout_has("ok       docker");
    let _ = ran.stdout_has("  skipped  everything in AWS: tasks.toml could not be read");
    assert_eq!(fake.operations(), [""; 0]);
    // What is asked for wrongly is no finding.
    let test = project(&fake, TASKS, &AwsCli::healthy());
    let _ = test.run("check -e stagng").code(2).stdout("").stderr_has("did you mean `staging`");
    let _ = test.run("check -e staging migrat").code(2).stdout("").stderr_has("did you mean `migrate`");
}

#[test]
fn programs_get_a_line_for_each_check() {
    let fake = healthy().no_log_groups();
    let test = project(&fake, TASKS, &AwsCli::healthy());
    let ran = test.run("check -e staging --format json").code(1).stderr("");
    let lines = ran.events();
    assert_eq!(lines[0]["version"], 1);
    let failed: Vec<&Value> = lines.iter().filter(|it| it["state"] == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["branch"], "logs");
    assert_eq!(failed[0]["check"], "log group /ecs/web");
    assert!(failed[0]["hint"].as_str().is_some_and(|it| it.contains("create-log-group")));
    assert!(lines.iter().all(|it| it["state"].is_string() && it["branch"].is_string()));
}

#[test]
fn on_this_machine_there_is_little_to_check() {
    let test = Test::new().tasks(&TASKS.replace("{endpoint}", "http://127.0.0.1:1"));
    let ran = test.run("check -e local").code(0);
    let _ = ran.stdout(
        "this machine\n  ok       tasks.toml: 1 of 2 tasks\n  ok       task migrate: can run in [dir]/project\n  \
         skipped  docker: no task builds an image\n0 failed, 1 skipped, 2 ok\n",
    );
}
