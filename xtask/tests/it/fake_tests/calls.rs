//! Single calls: what they answer, what they refuse, and what each fault looks like from the client's side.

use std::io::{Read, Write};

use serde_json::{Value, json};
use xtask::aws::ecr::TagFact;
use xtask::aws::ecs::Launched;
use xtask::aws::{AwsError, Effect};

use super::{app, changed, run_task, staging, with_client};
use crate::fake::{Fake, Fault, Life};

#[test]
fn the_caller_is_known() {
    with_client("calls::the_caller_is_known", Fake::new(), async |_, aws| {
        let identity = aws.caller_identity().await.unwrap();
        assert_eq!(identity.account, "111122223333");
        assert_eq!(identity.arn, "arn:aws:sts::111122223333:assumed-role/deployer/somebody");
    });
}

#[test]
fn what_is_described_is_not_what_was_sent() {
    with_client("calls::what_is_described_is_not_what_was_sent", staging(), async |fake, aws| {
        let sent =
            changed(app(), &[("/tags", json!([{ "key": "xtask", "value": "1" }])), ("/memory", json!("0.5 GB"))]);
        let arn = aws.register_task_definition(&sent).await.unwrap();
        assert_eq!(arn, "arn:aws:ecs:eu-west-1:111122223333:task-definition/app:2");
        let answer = aws.describe_task_definition("app").await.unwrap().unwrap();
        assert_eq!(answer["tags"], json!([{ "key": "xtask", "value": "1" }]));
        let described = &answer["taskDefinition"];
        assert_eq!(described["taskDefinitionArn"], arn.as_str());
        let web = &described["containerDefinitions"][0];
        for (pointer, expected) in [
            ("/name", json!("web")),
            ("/cpu", json!(0)),
            ("/essential", json!(true)),
            ("/mountPoints", json!([])),
            ("/volumesFrom", json!([])),
            ("/portMappings/0/hostPort", json!(8080)),
            ("/portMappings/0/protocol", json!("tcp")),
            ("/environment/0/name", json!("B")),
        ] {
            assert_eq!(web.pointer(pointer), Some(&expected), "{pointer} of {web}");
        }
        for (member, expected) in [
            ("memory", json!("512")),
            ("status", json!("ACTIVE")),
            ("revision", json!(2)),
            ("compatibilities", json!(["EC2", "FARGATE"])),
            ("volumes", json!([])),
        ] {
            assert_eq!(described[member], expected, "{member}");
        }
        let first_of = |it: &Value| it["containerDefinitions"][0].as_object().unwrap().keys().next().cloned();
        assert_ne!(first_of(described), first_of(&sent));
        assert!(described["registeredAt"].is_f64());
        assert_eq!(aws.describe_task_definition("nothing").await.unwrap(), None);
        assert_eq!(fake.revisions("app").len(), 2);
    });
}

#[test]
fn a_service_is_described_verbatim() {
    with_client("calls::a_service_is_described_verbatim", staging(), async |_, aws| {
        let service = aws.describe_service("staging", "web").await.unwrap().unwrap();
        assert_eq!(service["deployments"][0]["status"], "PRIMARY");
        assert_eq!(
            service["networkConfiguration"]["awsvpcConfiguration"]["subnets"],
            json!(["subnet-0a", "subnet-0b"])
        );
        assert_eq!(service["launchType"], "FARGATE");
        assert_eq!(aws.describe_service("staging", "wbe").await.unwrap(), None);
        let tasks = aws.service_tasks("staging", "web").await.unwrap();
        assert_eq!(tasks.len(), 1);
        assert_eq!(aws.cluster_names().await, ["staging"]);
        assert_eq!(aws.service_names("staging").await, ["web"]);
        assert!(aws.describe_service("stagng", "web").await.unwrap_err().is("ClusterNotFoundException"));
        assert!(aws.service_tasks("staging", "wbe").await.unwrap_err().is("ServiceNotFoundException"));
    });
}

#[test]
fn ecr_knows_its_images() {
    let fake = Fake::new().image("acme/app", "xtask-1", "sha256:aa").repository("acme/empty", true);
    with_client("calls::ecr_knows_its_images", fake, async |fake, aws| {
        let tag = async |repository: &str, tag: &str| aws.image_digest(None, repository, tag).await.unwrap();
        assert_eq!(tag("acme/app", "xtask-1").await, TagFact::Digest("sha256:aa".to_owned()));
        assert_eq!(tag("acme/app", "xtask-2").await, TagFact::NoTag);
        assert_eq!(tag("acme/new", "xtask-1").await, TagFact::NoRepository);
        aws.create_repository(None, "acme/new").await.unwrap();
        aws.create_repository(None, "acme/new").await.unwrap();
        assert_eq!(tag("acme/new", "xtask-1").await, TagFact::NoTag);
        let login = aws.registry_login().await.unwrap();
        assert_eq!(login.username, "AWS");
        assert!(fake.secrets().contains(&login.password));
    });
}

#[test]
fn each_fault_looks_like_it_should() {
    let table: &[(Fault, Option<&str>, Effect, usize)] = &[
        (Fault::Throttle, Some("ThrottlingException"), Effect::Throttled, 0),
        (Fault::ServerError, Some("ServerException"), Effect::Unknown, 0),
        (Fault::ServerErrorAfter, Some("ServerException"), Effect::Unknown, 1),
        (Fault::Unavailable, Some("ServiceUnavailableException"), Effect::Unknown, 0),
        (Fault::AccessDenied, Some("AccessDeniedException"), Effect::None, 0),
        (Fault::ExpiredToken, Some("ExpiredTokenException"), Effect::None, 0),
        (Fault::Refuse("ClientException", "Too many."), Some("ClientException"), Effect::None, 0),
        (Fault::DropBefore, None, Effect::Unknown, 0),
        (Fault::DropAfter, None, Effect::Unknown, 1),
        (Fault::HalfBody, None, Effect::Unknown, 1),
        (Fault::NeverAnswer, None, Effect::Unknown, 0),
        (Fault::NeverAnswerAfter, None, Effect::Unknown, 1),
    ];
    let mut fake = staging();
    for (nth, (fault, _, _, _)) in (1_u64..).zip(table) {
        fake = fake.fault("RunTask", nth, fault.clone());
    }
    with_client("calls::each_fault_looks_like_it_should", fake, async |fake, aws| {
        for (nth, (fault, code, effect, started)) in (1..).zip(table) {
            let before = fake.started().len();
            let error = aws.run_task(&run_task()).await.unwrap_err();
            assert_eq!((error.code.as_deref(), error.effect), (*code, *effect), "{fault:?}: {error:?}");
            assert_eq!(fake.count("RunTask"), nth, "{fault:?}: it is sent once");
            assert_eq!(fake.started().len() - before, *started, "{fault:?}");
        }
        assert!(matches!(aws.run_task(&run_task()).await, Ok(Launched::Task(_))));
    });
}

#[test]
fn the_sdk_hides_what_passes_soon() {
    let fake = staging()
        .fault("DescribeServices", 1..=2, Fault::Throttle)
        .fault("GetCallerIdentity", 1, Fault::Unavailable)
        .fault("DescribeImages", 1, Fault::DropBefore)
        .fault("DescribeTaskDefinition", .., Fault::AccessDenied)
        .fault("ListTasks", 1, Fault::Slow(5_000));
    with_client("calls::the_sdk_hides_what_passes_soon", fake, async |fake, aws| {
        assert!(aws.describe_service("staging", "web").await.unwrap().is_some());
        assert!(aws.caller_identity().await.is_ok());
        assert_eq!(aws.image_digest(None, "acme/app", "x").await.unwrap(), TagFact::NoRepository);
        assert!(aws.describe_task_definition("app").await.unwrap_err().is("AccessDeniedException"));
        let before = fake.now();
        assert_eq!(aws.service_tasks("staging", "web").await.unwrap().len(), 1);
        assert!(fake.now() - before >= 5_000);
        assert_eq!((fake.count("DescribeServices"), fake.count("GetCallerIdentity")), (3, 2));
        assert_eq!(fake.count("DescribeTaskDefinition"), 1, "{}", fake.story());
    });
}

async fn refusals(table: &[(&str, Value, &str, &str)], valid: Value, call: impl AsyncFn(&Value) -> Option<AwsError>) {
    if let Some(error) = call(&valid).await {
        panic!("the request itself is refused: {error:?}");
    }
    for (pointer, value, code, message) in table {
        let error = call(&changed(valid.clone(), &[(pointer, value.clone())])).await;
        let error = error.unwrap_or_else(|| panic!("{pointer} = {value} is not refused"));
        assert_eq!(error.code.as_deref(), Some(*code), "{pointer} = {value}: {}", error.message);
        assert!(error.message.contains(message), "{pointer} = {value}: {}", error.message);
    }
}

#[test]
fn run_task_refuses_what_ecs_refuses() {
    let parameter = "InvalidParameterException";
    let table: &[(&str, Value, &str, &str)] = &[
        ("/cluster", json!("stagng"), "ClusterNotFoundException", "Cluster not found"),
        ("/cluster", Value::Null, "ClusterNotFoundException", "Cluster not found"),
        ("/taskDefinition", json!("ap"), "ClientException", "TaskDefinition not found"),
        ("/taskDefinition", json!("app:9"), "ClientException", "TaskDefinition not found"),
        ("/networkConfiguration", Value::Null, parameter, "must be provided"),
        ("/networkConfiguration/awsvpcConfiguration/subnets", json!([]), parameter, "subnets"),
        ("/launchType", json!("EC3"), parameter, "none of"),
        ("/capacityProviderStrategy", json!([{ "capacityProvider": "FARGATE" }]), parameter, "both a launch type"),
        ("/startedBy", json!("xtask/db:migrate"), parameter, "startedBy"),
        ("/startedBy", json!("x".repeat(129)), parameter, "startedBy"),
        ("/count", json!(11), parameter, "Count"),
        ("/count", json!("1"), "SerializationException", "count"),
        ("/overrides/containerOverrides/0/name", json!("wbe"), parameter, "not a container"),
        ("/overrides/containerOverrides/0/command/0", json!("x".repeat(8192)), parameter, "8192"),
        ("/overrides/containerOverrides/0/environment", json!([{ "name": "A" }]), parameter, "a value"),
        ("/overrides/cpu", json!(256), "SerializationException", "overrides.cpu"),
        ("/overrides/cpu", json!("300"), parameter, "No Fargate configuration"),
        ("/overrides/ephemeralStorage", json!({ "sizeInGiB": 20 }), parameter, "between 21 and 200"),
        ("/overrides/containerOverrides/0/memory", json!(1024), parameter, "more cpu or memory"),
        ("/tags/0/key", json!("aws:x"), parameter, "tag"),
        ("/tags/0/value", json!("x".repeat(257)), parameter, "tag"),
        ("/tags/0/value", json!("a, b"), parameter, "tag"),
        ("/propagateTags", json!("SERVICE"), parameter, "SERVICE"),
        ("/platformVersion", json!("1.9"), "PlatformUnknownException", "platform"),
        ("/placementStrategy", json!([{ "type": "random" }]), parameter, "not supported with FARGATE"),
        ("/enableExecuteCommand", json!(true), parameter, "taskRoleArn"),
        ("/clientToken", json!("a b"), parameter, "clientToken"),
        ("/clientToken", json!("x".repeat(65)), parameter, "clientToken"),
    ];
    with_client("calls::run_task_refuses_what_ecs_refuses", staging(), async |fake, aws| {
        refusals(table, run_task(), async |it| aws.run_task(it).await.err()).await;
        assert_eq!(fake.started().len(), 1);
    });
}

#[test]
fn registering_refuses_what_ecs_refuses() {
    let client = "ClientException";
    let web = "/containerDefinitions/0";
    let at = |member: &str| -> &'static str { String::leak(format!("{web}{member}")) };
    let table: &[(&str, Value, &str, &str)] = &[
        ("/family", json!("a b"), client, "Family"),
        ("/family", Value::Null, "InvalidParameterException", "family"),
        ("/containerDefinitions", json!([]), client, "empty"),
        ("/networkMode", json!("bridge"), client, "awsvpc"),
        ("/memory", json!("3072"), client, "No Fargate configuration"),
        ("/cpu", json!(256), "SerializationException", "cpu"),
        ("/executionRoleArn", Value::Null, client, "execution role"),
        (at("/essential"), json!(false), client, "essential"),
        (at("/name"), json!("proxy"), client, "Duplicate"),
        (at("/image"), json!(""), client, "image"),
        (at("/portMappings/0/hostPort"), json!(80), client, "must match"),
        (at("/logConfiguration/options/awslogs-stream-prefix"), Value::Null, client, "awslogs-stream-prefix"),
        (at("/logConfiguration/logDriver"), json!("awslog"), "InvalidParameterException", "none of"),
        (at("/logConfiguration/logDriver"), json!("awsfirelens"), client, "FireLens"),
        (at("/mountPoints"), json!([{ "sourceVolume": "data", "containerPath": "/d" }]), client, "Unknown volume"),
        (at("/dependsOn"), json!([{ "containerName": "init", "condition": "START" }]), client, "Unknown container"),
        (at("/dependsOn"), json!([{ "containerName": "proxy", "condition": "HEALTHY" }]), client, "health check"),
        (at("/dependsOn"), json!([{ "containerName": "web", "condition": "START" }]), client, "cycle"),
        (at("/links"), json!(["db"]), client, "links"),
        (at("/stopTimeout"), json!(121), client, "stopTimeout"),
    ];
    with_client("calls::registering_refuses_what_ecs_refuses", staging(), async |fake, aws| {
        refusals(table, app(), async |it| aws.register_task_definition(it).await.err()).await;
        assert_eq!(fake.revisions("app").len(), 2);
    });
}

#[test]
fn what_aws_would_ignore_is_a_problem() {
    let name = "calls::what_aws_would_ignore_is_a_problem";
    with_client(name, staging().task_life(Life::new()), async |fake, aws| {
        let request = changed(run_task(), &[("/overrides/containerOverrides/0/comand", json!(["x"]))]);
        let _ = aws.run_task(&request).await.unwrap();
        let problems = fake.take_problems();
        assert_eq!(
            problems,
            ["AWS would ignore a member that it does not know: RunTask.overrides.containerOverrides[0].comand"]
        );
    });
}

#[test]
fn a_call_without_a_script_is_a_problem() {
    let fake = Fake::new();
    let port = fake.endpoint().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let ask = |request: String| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let post = |target: &str, signed: &str, body: &str| {
        let length = body.len();
        format!(
            "POST / HTTP/1.1\r\nContent-Length: {length}\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n{signed}\r\n{body}"
        )
    };
    let signed = "Authorization: AWS4-HMAC-SHA256 …\r\n";
    let ecs = "AmazonEC2ContainerServiceV20141113";
    let mut expected = Vec::new();
    for (request, problem) in [
        (
            post(&format!("{ecs}.DeleteCluster"), signed, "{\"a\":1}"),
            "a call without a script: DeleteCluster {\"a\":1}",
        ),
        (post(&format!("{ecs}.RunTask"), "", "{}"), "the request is not signed"),
        (post("DynamoDB_20120810.PutItem", signed, "{}"), "unknown X-Amz-Target: DynamoDB_20120810.PutItem"),
        ("GET /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_owned(), "GET /x: every AWS call here is a POST to /"),
    ] {
        let answer = ask(request);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("UnknownOperationException"), "{answer}");
        expected.push(problem);
    }
    assert_eq!(fake.take_problems(), expected);
}
