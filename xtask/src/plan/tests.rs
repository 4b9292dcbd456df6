//! The rules for the derived task definition and the launch, each on a base as DescribeTaskDefinition and DescribeServices answer it
//! (`tests/fixtures/definitions` and `services`). The whole plan of each is kept beside them (`tests/fixtures/plans`); UPDATE_EXPECT=1
//! writes it anew. What a rule is about is asserted here as well, so that a plan that changed for the worse is not just written anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::model::*;

const ACCOUNT: &str = "111122223333";
const REGISTRY: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";
const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(folder: &str, name: &str) -> Option<Value> {
    let text = fs::read_to_string(fixtures().join(folder).join(format!("{name}.json"))).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn at(key: &str) -> Origin {
    // The span is the key's length: enough to see that it is handed on.
    Origin::File { key: key.to_owned(), span: Span { start: key.len(), end: key.len() + 1 } }
}

fn here<T>(key: &str, value: T) -> Sourced<T> {
    Sourced::new(value, at(key))
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|it| (*it).to_owned()).collect()
}

/// A task that is run in an environment, and what was read for it.
#[derive(Clone)]
struct Case {
    name: &'static str,
    task: ResolvedTask,
    facts: Facts,
}

impl Case {
    /// `db-migrate` with the service and the base of this name.
    fn new(name: &'static str) -> Case {
        Case::named(name, name)
    }

    /// The same with a name of its own for the expectation.
    fn named(name: &'static str, fixture_name: &str) -> Case {
        let base = fixture("definitions", fixture_name).unwrap()["taskDefinition"].take();
        let service = fixture("services", fixture_name).map(|mut it| it["services"][0].take());
        let image = ImageSpec {
            name: "app".to_owned(),
            context: Sourced::default(".".to_owned()),
            dockerfile: None,
            target: None,
            build_args: BTreeMap::new(),
            build_secrets: Vec::new(),
            build_options: Vec::new(),
            prepare: None,
            repository: Some(here("images.app.repository", "acme/app".to_owned())),
            registry: None,
            registry_profile: None,
            create_repository: false,
        };
        let command = here("tasks.db-migrate.command", texts(&["bin/rails", "db:migrate"]));
        let settings = Settings {
            account: Some(here("environments.staging.account", ACCOUNT.to_owned())),
            cluster: Some(here("environments.staging.cluster", "staging".to_owned())),
            service: Some(here(
                "environments.staging.service",
                service.as_ref().map_or("web", |it| it["serviceName"].as_str().unwrap()).to_owned(),
            )),
            tags: BTreeMap::from([("team".to_owned(), here("environments.staging.tags.team", "platform".to_owned()))]),
            ..Settings::default()
        };
        let task = ResolvedTask {
            task: "db-migrate".to_owned(),
            task_span: Some(Span { start: 7, end: 17 }),
            environment: Sourced::new("staging".to_owned(), Origin::Flag("-e")),
            runner: Sourced::default(Runner::Ecs),
            image: Some(here("tasks.db-migrate.image", ImageChoice::Build(image))),
            entrypoint: None,
            command: Some(command),
            variables: BTreeMap::new(),
            secrets: BTreeMap::new(),
            interactive: false,
            timeout: Some(here("tasks.db-migrate.timeout", Duration::from_secs(900))),
            start_timeout: Sourced::default(Duration::from_secs(600)),
            on_interrupt: OnInterrupt::Stop,
            protected: false,
            rebuild: false,
            settings,
            warnings: Vec::new(),
        };
        let tags = [("linux/amd64", "xtask-aaaa"), ("linux/arm64", "xtask-bbbb")];
        let facts = Facts {
            identity: Identity {
                account: ACCOUNT.to_owned(),
                arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/Developer/jo@example.com"),
            },
            region: here("environments.staging.region", "eu-west-1".to_owned()),
            cluster: "staging".to_owned(),
            service,
            base,
            family: "xtask-staging-db-migrate".to_owned(),
            newest_revision: None,
            running_platform: None,
            image: ImageFact::Content {
                registry: REGISTRY.to_owned(),
                repository: "acme/app".to_owned(),
                tags: tags.iter().map(|(platform, tag)| ((*platform).to_owned(), (*tag).to_owned())).collect(),
                digests: BTreeMap::new(),
                repository_exists: true,
            },
            commit: Some(Commit { id: "4f2c9e1".repeat(5) + "4f2c9", dirty: false }),
            run_id: "k3v9x2m7q1".to_owned(),
            ci_job: None,
            warnings: Vec::new(),
        };
        Case { name, task, facts }
    }

    fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Case {
        change(&mut self.task.settings);
        self
    }

    fn task(mut self, change: impl FnOnce(&mut ResolvedTask)) -> Case {
        change(&mut self.task);
        self
    }

    fn facts(mut self, change: impl FnOnce(&mut Facts)) -> Case {
        change(&mut self.facts);
        self
    }

    fn logs(self) -> Case {
        let logs = LogsSpec { group: "/ecs/one-off".to_owned(), region: None, prefix: None };
        self.settings(|it| it.logs = Some(here("tasks.db-migrate.logs", logs)))
    }

    fn container(self, name: &str) -> Case {
        self.settings(|it| it.container = Some(here("environments.staging.container", name.to_owned())))
    }

    fn sidecars(self, sidecars: Sidecars) -> Case {
        self.settings(|it| it.sidecars = Some(here("tasks.db-migrate.sidecars", sidecars)))
    }

    fn variable(self, name: &str, value: &str, origin: Origin) -> Case {
        self.task(|it| drop(it.variables.insert(name.to_owned(), Sourced::new(value.to_owned(), origin))))
    }

    fn secret(self, name: &str, reference: &str, origin: Origin) -> Case {
        self.task(|it| drop(it.secrets.insert(name.to_owned(), Sourced::new(reference.to_owned(), origin))))
    }

    fn reference(self, reference: &str) -> Case {
        let image = ImageChoice::Reference(reference.to_owned());
        self.task(|it| it.image = Some(Sourced::new(image, Origin::Flag("--image"))))
            .facts(|it| it.image = ImageFact::Given)
    }

    fn deployed(self, reference: &str, origin: Origin) -> Case {
        self.task(|it| it.image = Some(here("tasks.db-migrate.image", ImageChoice::Deployed)))
            .facts(|it| it.image = ImageFact::Deployed(Sourced::new(reference.to_owned(), origin)))
    }

    fn pushed(self) -> Case {
        self.facts(|it| {
            if let ImageFact::Content { digests, .. } = &mut it.image {
                digests.insert("linux/amd64".to_owned(), DIGEST.to_owned());
            }
        })
    }

    fn plan(&self) -> Result<Plan> {
        plan(&self.task, &self.facts)
    }

    #[track_caller]
    fn planned(&self) -> Plan {
        self.plan().unwrap_or_else(|error| panic!("{}: {error:#?}", self.name))
    }

    /// The problems, of which there must be some.
    #[track_caller]
    fn problems(&self) -> Vec<Problem> {
        let error = self.plan().expect_err(self.name);
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(!error.problems.is_empty());
        error.problems
    }

    /// Compares the whole plan with the one that is kept, and returns it.
    #[track_caller]
    fn expect(&self) -> Plan {
        let plan = self.planned();
        let image = match &plan.image {
            PlannedImage::Use { reference } => reference.clone(),
            _ => format!("{REGISTRY}/acme/app@{DIGEST}"),
        };
        let (definition, _) = definition_with_image(&plan, &image);
        let mut text = String::new();
        for warning in &plan.warnings {
            text += &format!("warning: {warning}\n");
        }
        for PlanLine { key, value, origin } in &plan.lines {
            let origin = if origin.is_empty() { String::new() } else { format!("  ({origin})") };
            text += &format!("{key:>22}  {value}{origin}\n");
        }
        text += &format!("\nRegisterTaskDefinition {definition:#}\n\nRunTask {:#}\n", plan.run_task);
        let path = fixtures().join("plans").join(format!("{}.txt", self.name));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            expected == text,
            "{} differs (UPDATE_EXPECT=1 writes it):\n{}",
            path.display(),
            diff(&expected, &text)
        );
        plan
    }
}

/// The lines that differ, those before and after them left out.
fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let minus = old[same..old.len() - tail].iter().map(|it| format!("-{it}\n"));
    let plus = new[same..new.len() - tail].iter().map(|it| format!("+{it}\n"));
    format!("at line {}:\n{}", same + 1, minus.chain(plus).collect::<String>())
}

fn container<'a>(plan: &'a Plan, name: &str) -> &'a Value {
    json::container(&plan.definition, name).unwrap_or_else(|| panic!("no container {name}"))
}

fn names(plan: &Plan) -> Vec<&str> {
    json::list(&plan.definition, "containerDefinitions").iter().filter_map(|it| json::text(it, "name")).collect()
}

fn overrides(plan: &Plan) -> &Value {
    &plan.run_task["overrides"]
}

fn chosen_override(plan: &Plan) -> &Value {
    let all = json::list(overrides(plan), "containerOverrides");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["name"], plan.container.as_str());
    &all[0]
}

fn line<'a>(plan: &'a Plan, key: &str) -> (&'a str, &'a str) {
    let line = plan.lines.iter().find(|it| it.key == key).unwrap_or_else(|| panic!("no line {key}"));
    (&line.value, &line.origin)
}

fn has_line(plan: &Plan, key: &str) -> bool {
    plan.lines.iter().any(|it| it.key == key)
}

#[track_caller]
fn one_warning(plan: &Plan, part: &str) {
    assert_eq!(plan.warnings.iter().filter(|it| it.contains(part)).count(), 1, "{part}: {:?}", plan.warnings);
}

/// What holds for every plan, whatever the base.
#[track_caller]
fn holds_always(plan: &Plan) {
    let definition = &plan.definition;
    for key in [
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
    ] {
        assert!(definition.get(key).is_none(), "{key} is read-only");
    }
    assert_eq!(definition["family"], "xtask-staging-db-migrate");
    assert_eq!(definition["tags"][0], json!({ "key": "xtask", "value": "1" }));
    assert!(!definition.to_string().contains("null"), "a null");
    assert!(!definition.to_string().contains("hostPort"), "a host port");
    let containers = json::list(definition, "containerDefinitions");
    for container in containers {
        assert_eq!(container["essential"], container["name"] == plan.container.as_str());
        for dependency in json::list(container, "dependsOn") {
            let on = json::text(dependency, "containerName").unwrap();
            assert!(names(plan).contains(&on), "{on} is not there");
            assert!(on != plan.container || dependency["condition"] == "START", "{dependency}");
        }
    }
    let chosen = container(plan, &plan.container);
    assert_eq!(chosen["image"], "");
    assert!(chosen.get("healthCheck").is_none() && chosen.get("restartPolicy").is_none());
    let logs = &chosen["logConfiguration"];
    assert_eq!(logs["logDriver"], "awslogs");
    assert_eq!(logs["options"]["mode"], "blocking");
    assert_eq!(logs["options"]["awslogs-stream-prefix"], plan.logs.prefix.as_str());
    assert_eq!(logs["options"]["awslogs-group"], plan.logs.group.as_str());
    assert_eq!(logs["options"]["awslogs-region"], plan.logs.region.as_str());
    for option in ["max-buffer-size", "awslogs-datetime-format", "awslogs-multiline-pattern"] {
        assert!(logs["options"].get(option).is_none(), "{option}");
    }
    let run_task = &plan.run_task;
    assert_eq!(run_task["startedBy"], "xtask/db-migrate/k3v9x2m7q1");
    assert_eq!(run_task["count"], 1);
    assert!(run_task.get("launchType").is_none() || run_task.get("capacityProviderStrategy").is_none());
    assert_eq!(run_task.get("networkConfiguration").is_some(), definition["networkMode"] == "awsvpc");
    for key in ["taskDefinition", "clientToken", "propagateTags"] {
        assert!(run_task.get(key).is_none(), "{key}");
    }
    let environment = json::list(chosen_override(plan), "environment");
    for name in ["XTASK_RUN_ID", "XTASK_RUN_BY", "XTASK_COMMIT"] {
        assert!(environment.iter().any(|it| it["name"] == name), "{name}");
    }
    assert!(overrides(plan).to_string().chars().count() <= 8192);
}

#[test]
fn a_fargate_service_gives_everything() {
    let plan = Case::new("fargate-web")
        .variable("BATCH", "500", at("tasks.db-migrate.variables.BATCH"))
        .secret("TOKEN", "/app/token", at("tasks.db-migrate.secrets.TOKEN"))
        .secret("KEY", "secretsmanager:app/key:json", at("tasks.db-migrate.secrets.KEY"))
        .expect();
    holds_always(&plan);
    let web = container(&plan, "web");
    assert_eq!(web["portMappings"][0]["containerPort"], 3000);
    assert_eq!(web["stopTimeout"], 60);
    assert_eq!(web["command"], json!(["bin/rails", "server"]), "the base's command stays; RunTask overrides it");
    assert_eq!(web["logConfiguration"]["options"]["awslogs-create-group"], "true");
    let secrets: Vec<&str> = json::list(web, "secrets").iter().filter_map(|it| json::text(it, "name")).collect();
    assert_eq!(secrets, ["DATABASE_URL", "SECRET_KEY_BASE", "KEY", "TOKEN"]);
    assert_eq!(web["secrets"][2]["valueFrom"], "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/key:json::");
    assert_eq!(plan.definition["executionRoleArn"], "arn:aws:iam::111122223333:role/app-execution");
    assert_eq!(chosen_override(&plan)["command"], json!(["bin/rails", "db:migrate"]));
    assert_eq!(plan.run_task["launchType"], "FARGATE");
    assert_eq!(plan.run_task["platformVersion"], "1.4.0", "the deployment's, not the service's LATEST");
    let image = PlannedImage::Build {
        registry: REGISTRY.to_owned(),
        repository: "acme/app".to_owned(),
        tag: "xtask-aaaa".to_owned(),
        platform: "linux/amd64".to_owned(),
        create: false,
    };
    assert_eq!(plan.image, image);
    assert_eq!(line(&plan, "platform"), ("linux/amd64", "the base task definition"));
}

#[test]
fn firelens_needs_a_log_group_of_its_own() {
    let problems = Case::new("firelens").container("app").problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("`awsfirelens`"), "{problems:?}");
    assert!(problems[0].hint.as_ref().is_some_and(|it| it.contains("logs = { group = \"/ecs/app\" }")), "{problems:?}");

    let plan = Case::new("firelens").container("app").logs().expect();
    holds_always(&plan);
    assert_eq!(names(&plan), ["app", "datadog-agent"], "nobody needs the log router any more");
    assert_eq!(
        container(&plan, "app")["dependsOn"],
        json!([{ "containerName": "datadog-agent", "condition": "START" }])
    );
    assert!(container(&plan, "app")["logConfiguration"].get("secretOptions").is_none());
    assert_eq!(plan.logs.group, "/ecs/one-off");
    assert_eq!(plan.logs.region, "eu-west-1");
    assert_eq!(plan.logs.prefix, "xtask");
    assert_eq!(line(&plan, "left out"), ("log_router", "no container sends it logs any more"));
}

#[test]
fn a_log_router_stays_while_somebody_needs_it() {
    let mut case = Case::new("firelens").container("app").logs();
    case.facts.base["containerDefinitions"][2]["logConfiguration"] =
        json!({ "logDriver": "awsfirelens", "options": {} });
    assert_eq!(names(&case.planned()), ["app", "log_router", "datadog-agent"]);
    let asked_for = Case::new("firelens").container("app").logs().sidecars(Sidecars::Keep(texts(&["log_router"])));
    assert_eq!(names(&asked_for.planned()), ["app", "log_router"]);
    let problems = case.sidecars(Sidecars::Keep(texts(&["datadog-agent"]))).problems();
    assert!(problems[0].message.contains("`datadog-agent` sends its logs to `log_router`"), "{problems:?}");
}

#[test]
fn only_the_chosen_container_is_essential_and_nobody_waits_for_its_health() {
    let problems = Case::new("essential-sidecar").problems();
    assert!(problems[0].message.contains("cannot tell which container"), "{problems:?}");
    assert!(problems[0].hint.as_ref().is_some_and(|it| it.contains("container = \"shop\"")), "{problems:?}");

    let plan = Case::new("essential-sidecar").container("shop").expect();
    holds_always(&plan);
    assert_eq!(names(&plan), ["shop", "nginx", "envoy"]);
    assert_eq!(container(&plan, "nginx")["dependsOn"], json!([{ "containerName": "shop", "condition": "START" }]));
    assert_eq!(
        container(&plan, "shop")["dependsOn"],
        json!([{ "containerName": "envoy", "condition": "HEALTHY" }]),
        "another's health check still counts"
    );
    assert!(container(&plan, "envoy").get("healthCheck").is_some());
    assert_eq!(plan.definition["proxyConfiguration"]["containerName"], "envoy");
    one_warning(&plan, "Service Connect");

    let alone =
        Case::named("essential-sidecar-alone", "essential-sidecar").container("shop").sidecars(Sidecars::None).expect();
    holds_always(&alone);
    assert_eq!(names(&alone), ["shop"]);
    assert!(container(&alone, "shop").get("dependsOn").is_none());
    assert!(alone.definition.get("proxyConfiguration").is_none(), "its container is left out");
}

#[test]
fn ec2_with_bridge_gets_free_ports_and_a_stream_prefix() {
    let case = Case::new("ec2-bridge").container("api");
    let plan = case.expect();
    holds_always(&plan);
    assert_eq!(
        container(&plan, "api")["portMappings"],
        json!([{ "containerPort": 3000, "protocol": "tcp" }, { "containerPort": 9394, "protocol": "tcp" }])
    );
    assert_eq!(container(&plan, "redis")["portMappings"], json!([{ "containerPort": 6379, "protocol": "tcp" }]));
    assert_eq!(plan.logs.prefix, "xtask");
    assert_eq!(plan.run_task["capacityProviderStrategy"][0]["capacityProvider"], "asg-general");
    assert!(plan.run_task.get("platformVersion").is_none());
    assert_eq!(plan.run_task["placementConstraints"][0]["expression"], "attribute:stack == api");
    assert_eq!(plan.run_task["placementStrategy"].as_array().map(Vec::len), Some(2));
    assert_eq!(plan.definition["placementConstraints"][0]["expression"], "attribute:ecs.instance-type =~ m6i.*");
    assert_eq!(line(&plan, "network mode"), ("bridge", "the base task definition"));
    assert_eq!(line(&plan, "memory"), ("1024 MiB", "the base task definition"));

    let few = case.sidecars(Sidecars::Keep(texts(&["statsd"]))).planned();
    assert_eq!(container(&few, "api")["links"], json!(["statsd:metrics"]));
    assert!(container(&few, "api").get("volumesFrom").is_none());
    one_warning(&few, "`api` has no volumes from `assets`");
}

#[test]
fn a_size_on_ec2_without_one_for_the_ecs_task_is_the_containers() {
    let plan = Case::named("ec2-bridge-sizes", "ec2-bridge")
        .container("api")
        .settings(|it| {
            it.cpu = Some(Sourced::new(512, Origin::Flag("--cpu")));
            it.memory = Some(here("tasks.db-migrate.memory", 4096));
        })
        .expect();
    assert!(overrides(&plan).get("cpu").is_none() && overrides(&plan).get("memory").is_none());
    let chosen = chosen_override(&plan);
    assert_eq!(
        (&chosen["cpu"], &chosen["memory"], &chosen["memoryReservation"]),
        (&json!(512), &json!(4096), &json!(4095))
    );
}

#[test]
fn host_network_reserves_no_port() {
    let plan = Case::new("ec2-host").expect();
    holds_always(&plan);
    assert!(container(&plan, "edge").get("portMappings").is_none());
    assert_eq!(plan.run_task["launchType"], "EC2");
    let warned = Case::new("ec2-host")
        .settings(|it| it.subnets = Some(here("defaults.subnets", texts(&["subnet-1"]))))
        .planned();
    one_warning(&warned, "defaults.subnets");
    assert!(warned.run_task.get("networkConfiguration").is_none());
}

#[test]
fn ecs_anywhere_is_a_launch_type_like_others() {
    let plan = Case::new("external").expect();
    holds_always(&plan);
    assert_eq!(plan.run_task["launchType"], "EXTERNAL");
}

#[test]
fn a_shell_entrypoint_would_cut_the_command() {
    let problems = Case::new("shell-entrypoint").problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("would run only `bin/rails`"), "{problems:?}");
    assert_eq!(problems[0].span, at("tasks.db-migrate.command").span());

    let one = here("tasks.db-migrate.command", texts(&["bin/rails db:migrate"]));
    let plan = Case::new("shell-entrypoint").task(|it| it.command = Some(one)).expect();
    holds_always(&plan);
    assert_eq!(container(&plan, "app")["entryPoint"], json!(["sh", "-c"]));

    let own = Case::named("shell-entrypoint-cleared", "shell-entrypoint")
        .task(|it| it.entrypoint = Some(here("tasks.db-migrate.entrypoint", Vec::new())))
        .expect();
    assert!(container(&own, "app").get("entryPoint").is_none(), "the image's own");
    assert_eq!(line(&own, "entrypoint"), ("the image's own", "tasks.db-migrate.entrypoint"));

    let other = Case::new("shell-entrypoint")
        .task(|it| it.entrypoint = Some(here("tasks.db-migrate.entrypoint", texts(&["bin/run"]))))
        .planned();
    assert_eq!(container(&other, "app")["entryPoint"], json!(["bin/run"]));
    assert!(container(&other, "app").get("command").is_none(), "the old entrypoint's arguments");

    for (entrypoint, cuts) in [
        (&["/bin/bash", "-ec"][..], true),
        (&["bash", "-o", "pipefail", "-c"], true),
        (&["sh", "-c", "exec \"$@\"", "--"], false),
        (&["tini", "--"], false),
        (&["/docker-entrypoint.sh"], false),
        (&["-c"], false),
        (&["app", "--config-c"], false),
    ] {
        let case = Case::new("shell-entrypoint")
            .task(|it| it.entrypoint = Some(here("tasks.db-migrate.entrypoint", texts(entrypoint))));
        assert_eq!(case.plan().is_err(), cuts, "{entrypoint:?}");
    }
}

#[test]
fn credentials_of_a_registry_stay_only_for_its_images() {
    let built = Case::new("private-registry").expect();
    holds_always(&built);
    assert!(container(&built, "crm").get("repositoryCredentials").is_none());
    assert!(built.warnings.is_empty(), "a rollout does not matter to an image of our own: {:?}", built.warnings);

    let reference = format!("registry.example.com/acme/crm@{DIGEST}");
    let deployed =
        Case::named("private-registry-deployed", "private-registry").deployed(&reference, Origin::RunningTask).expect();
    holds_always(&deployed);
    assert!(container(&deployed, "crm").get("repositoryCredentials").is_some());
    assert_eq!(line(&deployed, "image"), (reference.as_str(), "a running ECS task of the service"));
    one_warning(&deployed, "a rollout of the service `crm` is in progress");

    let by_tag =
        Case::new("private-registry").deployed("registry.example.com/acme/crm:5.2", Origin::TaskDefinition).planned();
    one_warning(&by_tag, "digest could not be found");

    for (reference, kept) in [("registry.example.com/acme/tools:1", true), ("ghcr.io/acme/tools:1", false)] {
        let plan = Case::new("private-registry").reference(reference).planned();
        assert_eq!(container(&plan, "crm").get("repositoryCredentials").is_some(), kept);
        assert_eq!(line(&plan, "image"), (reference, "--image"));
    }
    let kept =
        Case::new("private-registry").task(|it| it.image = None).facts(|it| it.image = ImageFact::Given).planned();
    assert_eq!(line(&kept, "image"), ("registry.example.com/acme/crm:5.2", "the base task definition"));
}

#[test]
fn without_a_log_configuration_there_is_nothing_to_follow() {
    let problems = Case::new("no-logs").problems();
    assert!(problems[0].message.contains("no log configuration in `app:2`"), "{problems:?}");
    // ECS refuses to register awslogs for Fargate without an execution role.
    let problems = Case::new("no-logs").logs().problems();
    assert!(problems[0].message.contains("execution role to write to CloudWatch Logs"), "{problems:?}");
    let plan = Case::new("no-logs")
        .logs()
        .settings(|it| {
            it.execution_role = Some(here("environments.staging.execution-role", "one-off-execution".to_owned()));
            it.task_role = Some(here("tasks.db-migrate.task-role", "jobs/migrations".to_owned()));
        })
        .expect();
    holds_always(&plan);
    let role = "arn:aws:iam::111122223333:role/one-off-execution";
    assert_eq!(plan.definition["executionRoleArn"], role);
    assert_eq!(overrides(&plan)["executionRoleArn"], role);
    assert_eq!(overrides(&plan)["taskRoleArn"], "arn:aws:iam::111122223333:role/jobs/migrations");
    assert!(plan.definition.get("taskRoleArn").is_none(), "an override, so that revisions do not multiply");
    let emulator = Case::new("no-logs").logs().settings(|it| {
        it.endpoint_url = Some(here("environments.emulator.endpoint-url", "http://127.0.0.1:4566".to_owned()));
    });
    holds_always(&emulator.planned());
    for driver in ["splunk", "json-file", "awsfirelens", "fluentd"] {
        let mut case = Case::new("fargate-web");
        case.facts.base["containerDefinitions"][0]["logConfiguration"] = json!({ "logDriver": driver });
        assert!(case.problems()[0].message.contains(driver));
    }
}

#[test]
fn logs_in_tasks_toml_replace_the_bases() {
    let logs =
        LogsSpec { group: "/one".to_owned(), region: Some("us-east-1".to_owned()), prefix: Some("jobs".to_owned()) };
    let plan = Case::new("fargate-web").settings(|it| it.logs = Some(here("defaults.logs", logs))).planned();
    holds_always(&plan);
    assert_eq!(
        (plan.logs.group.as_str(), plan.logs.region.as_str(), plan.logs.prefix.as_str()),
        ("/one", "us-east-1", "jobs")
    );
    assert_eq!(line(&plan, "log group"), ("/one in us-east-1, stream prefix jobs", "defaults.logs"));
}

#[test]
fn the_platform_is_the_tasks_the_definitions_what_runs_or_x86() {
    let graviton = Case::new("graviton").expect();
    holds_always(&graviton);
    assert!(
        matches!(&graviton.image, PlannedImage::Build { platform, tag, .. } if platform == "linux/arm64" && tag == "xtask-bbbb")
    );
    assert_eq!(line(&graviton, "platform"), ("linux/arm64", "the base task definition"));
    assert!(graviton.warnings.is_empty());

    let running = Case::new("graviton-ec2").facts(|it| it.running_platform = Some("linux/arm64".to_owned())).expect();
    holds_always(&running);
    assert_eq!(line(&running, "platform"), ("linux/arm64", "a running ECS task of the service"));
    assert!(running.definition.get("runtimePlatform").is_none(), "as the service has it");
    assert_eq!(line(&Case::new("graviton-ec2").planned(), "platform"), ("linux/amd64", "default"));

    let written = Case::named("graviton-platform", "graviton")
        .settings(|it| it.platform = Some(here("tasks.db-migrate.platform", "linux/amd64".to_owned())))
        .expect();
    assert_eq!(line(&written, "platform"), ("linux/amd64", "tasks.db-migrate.platform"));
    assert_eq!(
        written.definition["runtimePlatform"],
        json!({ "cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX" })
    );
    one_warning(&written, "the platform is linux/amd64, the base task definition `app:77` has linux/arm64");
    let added = Case::new("fargate-spot")
        .settings(|it| it.platform = Some(here("tasks.db-migrate.platform", "linux/arm64".to_owned())))
        .planned();
    assert_eq!(
        added.definition["runtimePlatform"],
        json!({ "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" })
    );
    assert!(added.warnings.is_empty());
}

#[test]
fn init_containers_run_and_are_told() {
    let case = Case::new("init-container").container("app");
    let plan = case.expect();
    holds_always(&plan);
    assert_eq!(names(&plan), ["app", "fetch-config", "otel-collector"]);
    assert_eq!(line(&plan, "init containers").0, "fetch-config (also run, to their end)");
    assert_eq!(line(&plan, "sidecars").0, "otel-collector (also run)");
    assert!(!has_line(&plan, "left out"));

    let kept = case.clone().sidecars(Sidecars::Keep(texts(&["fetch-config"]))).planned();
    holds_always(&kept);
    assert_eq!(names(&kept), ["app", "fetch-config"]);
    let alone = case.clone().sidecars(Sidecars::None).planned();
    holds_always(&alone);
    assert_eq!(names(&alone), ["app"]);
    one_warning(&alone, "the init container `fetch-config` is left out (tasks.db-migrate.sidecars)");
    let problems = case.sidecars(Sidecars::Keep(texts(&["fetch-confg"]))).problems();
    assert!(problems[0].message.contains("no container `fetch-confg`"), "{problems:?}");
    assert_eq!(problems[0].span, at("tasks.db-migrate.sidecars").span());
}

#[test]
fn what_starts_only_after_the_chosen_container_has_ended_is_left_out() {
    let plan = Case::new("report-after").container("etl").expect();
    holds_always(&plan);
    assert_eq!(names(&plan), ["etl"], "neither what waits for it nor what waits for that");
    let left_out: Vec<&str> = plan.lines.iter().filter(|it| it.key == "left out").map(|it| it.value.as_str()).collect();
    assert_eq!(left_out, ["report", "notify"]);
    assert_eq!(line(&plan, "left out").1, "it would start only after `etl` has ended");
    let report = Case::new("report-after").planned();
    assert_eq!(names(&report), ["etl", "report", "notify"]);
    assert_eq!(line(&report, "init containers").0, "etl (also run, to their end)");
}

#[test]
fn the_chosen_container_is_certain_or_asked_for() {
    let chosen = |case: &Case| chosen_container(&case.task, &case.facts.base).unwrap_or_else(|it| it.to_string());
    assert_eq!(chosen(&Case::new("fargate-web")), "web");
    let mut case = Case::new("init-container");
    // The collector could be meant as well.
    let unclear = "cannot tell which container of the base task definition `app:63` runs `db-migrate`: app, fetch-config, otel-collector";
    assert_eq!(chosen(&case), unclear);
    case.facts.base["containerDefinitions"][2]["essential"] = json!(false);
    assert_eq!(chosen(&case), "app");
    case.facts.base["containerDefinitions"][2]["essential"] = json!(null);
    assert_eq!(chosen(&case), unclear, "essential is the default");
    let mut case = Case::new("firelens");
    assert!(chosen(&case).starts_with("cannot tell"));
    case.facts.base["containerDefinitions"][2]["essential"] = json!(false);
    assert_eq!(chosen(&case), "app", "an essential log router is none");
    case.facts.base["containerDefinitions"] = json!([]);
    assert_eq!(chosen(&case), "the base task definition `app:7` has no containers");
    let wrong = Case::new("fargate-web").container("wbe");
    let problem = chosen_container(&wrong.task, &wrong.facts.base).unwrap_err().problems.remove(0);
    assert_eq!(problem.hint.as_deref(), Some("its containers: web"));
    assert_eq!(problem.span, at("environments.staging.container").span());
}

#[test]
fn spot_only_where_it_is_asked_for() {
    let plan = Case::new("fargate-spot").expect();
    holds_always(&plan);
    assert_eq!(
        plan.run_task["capacityProviderStrategy"],
        json!([{ "capacityProvider": "FARGATE", "weight": 5, "base": 1 }])
    );
    assert_eq!(plan.run_task["platformVersion"], "1.4.0");
    assert_eq!(line(&plan, "capacity providers"), ("FARGATE", "the service"));

    let spot = |value| move |it: &mut Settings| it.spot = Some(here("tasks.db-migrate.spot", value));
    let asked = Case::named("fargate-spot-asked", "fargate-spot").settings(spot(true)).expect();
    assert_eq!(
        asked.run_task["capacityProviderStrategy"],
        json!([{ "capacityProvider": "FARGATE", "weight": 1 }, { "capacityProvider": "FARGATE_SPOT", "weight": 4 }]),
        "without the base, which the first ECS task of each launch would fall under"
    );
    one_warning(&Case::new("fargate-web").settings(spot(true)).planned(), "changes nothing on FARGATE");

    let written = |it: &mut Settings| {
        it.capacity_providers =
            Some(here("environments.staging.capacity-providers", vec![("FARGATE_SPOT".to_owned(), 1)]));
    };
    let plan = Case::new("fargate-web").settings(written).planned();
    assert_eq!(plan.run_task["capacityProviderStrategy"], json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]));
    let refused = Case::new("fargate-web").settings(written).settings(spot(false)).planned();
    assert_eq!(refused.run_task["capacityProviderStrategy"], json!([{ "capacityProvider": "FARGATE", "weight": 1 }]));
}

#[test]
fn capacity_is_what_was_written_nearest() {
    let providers = |key| move |it: &mut Settings| it.capacity_providers = Some(here(key, vec![("asg".to_owned(), 1)]));
    let launch_type = |key| move |it: &mut Settings| it.launch_type = Some(here(key, LaunchType::Fargate));
    let run_task = |case: Case| case.planned().run_task;
    let nearer = Case::new("fargate-web").settings(providers("environments.staging.capacity-providers"));
    let both = nearer.clone().settings(launch_type("tasks.db-migrate.launch-type"));
    assert_eq!(run_task(nearer)["capacityProviderStrategy"][0]["capacityProvider"], "asg");
    assert_eq!(run_task(both)["launchType"], "FARGATE");
    let both = Case::new("fargate-web")
        .settings(providers("tasks.db-migrate.on.staging.capacity-providers"))
        .settings(launch_type("tasks.db-migrate.launch-type"));
    assert!(run_task(both).get("launchType").is_none());
    let same = Case::new("fargate-web")
        .settings(providers("tasks.db-migrate.capacity-providers"))
        .settings(launch_type("tasks.db-migrate.launch-type"));
    assert!(same.problems()[0].message.contains("exclude each other"));
    let nothing = Case::new("fargate-web").settings(|it| {
        it.capacity_providers = Some(here("defaults.capacity-providers", vec![("FARGATE".to_owned(), 0)]));
    });
    assert!(nothing.problems()[0].message.contains("weight above 0"));
    let wrong = Case::new("graviton-ec2").settings(launch_type("tasks.db-migrate.launch-type"));
    assert!(wrong.problems()[0].message.contains("cannot run on Fargate"));
}

#[test]
fn without_a_service_tasks_toml_and_the_base_decide() {
    let without = |case: Case| case.facts(|it| it.service = None).settings(|it| it.service = None);
    let problems = without(Case::new("fargate-web")).problems();
    assert!(problems[0].message.contains("nothing says in which subnets"), "{problems:?}");
    let network = |it: &mut Settings| {
        it.task_definition = Some(here("environments.staging.task-definition", "app".to_owned()));
        it.subnets = Some(here("environments.staging.subnets", texts(&["subnet-1"])));
        it.security_groups = Some(here("environments.staging.security-groups", texts(&["sg-1"])));
        it.assign_public_ip = Some(here("environments.staging.assign-public-ip", true));
    };
    let plan = without(Case::named("task-definition", "fargate-web")).settings(network).expect();
    holds_always(&plan);
    assert_eq!(plan.run_task["launchType"], "FARGATE");
    assert_eq!(line(&plan, "launch type"), ("FARGATE", "the base task definition"));
    assert!(plan.run_task.get("platformVersion").is_none());
    let network_json = json!({ "subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED" });
    assert_eq!(plan.run_task["networkConfiguration"]["awsvpcConfiguration"], network_json);
    let open = without(Case::new("ec2-host")).planned();
    assert!(open.run_task.get("launchType").is_none() && open.run_task.get("capacityProviderStrategy").is_none());
    assert_eq!(line(&open, "capacity"), ("the cluster's default capacity", "default"));

    // Key by key over a service.
    let some = Case::new("fargate-web")
        .settings(|it| it.assign_public_ip = Some(here("defaults.assign-public-ip", true)))
        .planned();
    assert_eq!(line(&some, "public IP"), ("yes", "defaults.assign-public-ip"));
    assert_eq!(line(&some, "subnets").1, "the service");
}

#[test]
fn a_service_that_codedeploy_deploys_has_task_sets() {
    let plan = Case::new("codedeploy").expect();
    holds_always(&plan);
    let network = &plan.run_task["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["subnets"], json!(["subnet-0blue"]), "the PRIMARY's");
    assert_eq!(network["assignPublicIp"], "ENABLED");
    let deployed =
        Case::new("codedeploy").deployed(&format!("{REGISTRY}/acme/app@{DIGEST}"), Origin::RunningTask).planned();
    one_warning(&deployed, "a rollout of the service `pay`");
}

#[test]
fn an_ebs_volume_is_made_for_the_ecs_task_and_deleted_with_it() {
    let case = Case::new("ebs-volume").container("index");
    let plan = case.expect();
    holds_always(&plan);
    let volume = &plan.run_task["volumeConfigurations"][0];
    assert_eq!(volume["managedEBSVolume"]["terminationPolicy"], json!({ "deleteOnTermination": true }));
    assert_eq!(volume["managedEBSVolume"]["sizeInGiB"], 100);
    assert!(volume["managedEBSVolume"]["tagSpecifications"][0].get("propagateTags").is_none());
    let problems = case
        .clone()
        .facts(|it| it.service.as_mut().unwrap()["deployments"][0]["volumeConfigurations"] = json!([]))
        .problems();
    assert!(problems[0].message.contains("the volume `data` of `index:12`"), "{problems:?}");
    // The other container does not mount it: without the one that does, no volume is made.
    let other = case.container("metrics").sidecars(Sidecars::None).planned();
    assert!(other.run_task.get("volumeConfigurations").is_none());
    assert!(other.definition.get("volumes").is_none());
}

#[test]
fn sizes_are_the_ecs_tasks_and_the_chosen_containers() {
    let sized = |cpu: Option<u32>, memory: Option<u32>| {
        Case::new("ebs-volume").container("index").settings(|it| {
            it.cpu = cpu.map(|it| here("tasks.db-migrate.cpu", it));
            it.memory = memory.map(|it| here("tasks.db-migrate.memory", it));
        })
    };
    let plan = sized(Some(2048), Some(8192)).planned();
    assert_eq!((&overrides(&plan)["cpu"], &overrides(&plan)["memory"]), (&json!("2048"), &json!("8192")));
    let chosen = chosen_override(&plan);
    assert_eq!((&chosen["cpu"], &chosen["memory"]), (&json!(1792), &json!(7680)), "what the sidecar leaves");
    assert!(chosen.get("memoryReservation").is_none());
    assert_eq!(line(&plan, "cpu"), ("2048 (2 vCPU)", "tasks.db-migrate.cpu"));

    let memory = sized(None, Some(4096)).planned();
    assert!(overrides(&memory).get("cpu").is_none() && chosen_override(&memory).get("cpu").is_none());
    // Without a share of its own a container may use all that the ECS task has.
    let free =
        Case::new("fargate-web").settings(|it| it.memory = Some(here("tasks.db-migrate.memory", 2048))).planned();
    assert_eq!(overrides(&free)["memory"], "2048");
    assert!(chosen_override(&free).get("memory").is_none());

    let problems = sized(None, Some(9000)).problems();
    assert_eq!(
        problems[0].message,
        "Fargate has no size with cpu 1024 (from the base task definition) and memory 9000 (from tasks.db-migrate.memory)"
    );
    assert_eq!(problems[0].hint.as_deref(), Some("with cpu 1024, memory can be 2048 to 8192 in steps of 1024"));
    assert_eq!(problems[0].span, at("tasks.db-migrate.memory").span());
    let problems = sized(Some(256), Some(512)).problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|it| it.message.contains("leaves nothing for `index`")), "{problems:?}");
}

#[test]
fn ephemeral_storage_is_fargates() {
    let sized = |case: Case, size| {
        case.settings(|it| it.ephemeral_storage = Some(here("tasks.db-migrate.ephemeral-storage", size)))
    };
    assert_eq!(
        overrides(&sized(Case::new("fargate-web"), 50).planned())["ephemeralStorage"],
        json!({ "sizeInGiB": 50 })
    );
    assert!(sized(Case::new("fargate-web"), 20).problems()[0].message.contains("between 21 and 200"));
    assert!(sized(Case::new("ec2-host"), 50).problems()[0].message.contains("runs on EC2"));
}

#[test]
fn an_image_that_is_there_is_run_by_digest_and_its_revision_used_again() {
    let case = Case::new("fargate-web").pushed();
    let plan = case.planned();
    let reference = format!("{REGISTRY}/acme/app@{DIGEST}");
    assert_eq!(plan.image, PlannedImage::Use { reference: reference.clone() });
    assert_eq!(line(&plan, "task definition").0, "the first revision of xtask-staging-db-migrate");
    let (definition, hash) = definition_with_image(&plan, &reference);
    let chosen = json::container(&definition, "web").unwrap();
    assert_eq!(chosen["image"], reference.as_str());
    assert_eq!(chosen["dockerLabels"][HASH_LABEL], hash.as_str());
    assert_eq!(chosen["dockerLabels"]["com.datadoghq.tags.service"], "app");

    let newest = |hash: &str| {
        let arn = "arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:12".to_owned();
        Some(NewestRevision { arn, ours: true, hash: Some(hash.to_owned()) })
    };
    let again = case.clone().facts(|it| it.newest_revision = newest(&hash)).planned();
    assert_eq!(line(&again, "task definition").0, "xtask-staging-db-migrate:12, used again");
    let changed = case.clone().facts(|it| it.newest_revision = newest("other")).planned();
    assert_eq!(
        line(&changed, "task definition").0,
        "a new revision of xtask-staging-db-migrate, after xtask-staging-db-migrate:12"
    );

    // What is an override makes no new revision; what is not does.
    let hash_of = |case: Case| definition_with_image(&case.planned(), &reference).1;
    let overridden = case
        .clone()
        .variable("BATCH", "1", Origin::Flag("--var"))
        .settings(|it| {
            it.memory = Some(here("tasks.db-migrate.memory", 2048));
            it.task_role = Some(here("tasks.db-migrate.task-role", "other".to_owned()));
        })
        .task(|it| it.command = Some(here("tasks.db-migrate.command", texts(&["other"]))))
        .facts(|it| it.run_id = "other".to_owned());
    assert_eq!(hash_of(overridden), hash);
    let mut reordered = case.clone();
    let containers = &mut reordered.facts.base["containerDefinitions"][0];
    containers["environment"].as_array_mut().unwrap().reverse();
    containers["secrets"].as_array_mut().unwrap().reverse();
    reordered.facts.base["revision"] = json!(42);
    assert_eq!(hash_of(reordered), hash);
    assert_ne!(hash_of(case.clone().logs()), hash);
    let entrypoint = here("tasks.db-migrate.entrypoint", texts(&["x"]));
    assert_ne!(hash_of(case.clone().task(|it| it.entrypoint = Some(entrypoint))), hash);
    assert_ne!(definition_with_image(&plan, "other").1, hash);

    // A base of our own has a label already.
    let mut ours = case.clone();
    ours.facts.base["containerDefinitions"][0]["dockerLabels"][HASH_LABEL] = json!("old");
    assert_eq!(hash_of(ours), hash);

    let rebuilt = case.task(|it| it.rebuild = true).planned();
    assert!(matches!(&rebuilt.image, PlannedImage::Build { tag, .. } if tag == "xtask-aaaa-k3v9x2m7q1"));
}

#[test]
fn a_missing_repository_is_created_only_on_request() {
    let missing = |case: Case| {
        case.facts(|it| {
            if let ImageFact::Content { repository_exists, .. } = &mut it.image {
                *repository_exists = false;
            }
        })
    };
    let problems = missing(Case::new("fargate-web")).problems();
    assert_eq!(problems[0].hint.as_deref(), Some("create it, or set `create-repository = true` in `[images.app]`"));
    assert_eq!(problems[0].span, at("images.app.repository").span());
    let plan = missing(Case::new("fargate-web"))
        .task(|it| {
            if let Some(Sourced { value: ImageChoice::Build(spec), .. }) = &mut it.image {
                spec.create_repository = true;
            }
        })
        .planned();
    assert!(matches!(plan.image, PlannedImage::Build { create: true, .. }));
    assert_eq!(line(&plan, "repository").0, "acme/app, created");
}

#[test]
fn a_dry_run_before_prepare_has_no_tag_yet() {
    let unprepared = ImageFact::Unprepared { registry: REGISTRY.to_owned(), repository: "acme/app".to_owned() };
    let plan = Case::new("fargate-web").facts(|it| it.image = unprepared).planned();
    assert!(line(&plan, "image").0.contains("its tag known after `prepare`"));
}

#[test]
fn a_name_is_a_variable_or_a_secret() {
    let case = Case::new("fargate-web");
    let secret_names = |plan: &Plan| -> Vec<String> {
        json::list(container(plan, "web"), "secrets").iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    // Over a secret of the base.
    let plan = case.clone().variable("DATABASE_URL", "postgres://u:p@h/d", Origin::Flag("--var")).planned();
    assert_eq!(secret_names(&plan), ["SECRET_KEY_BASE"]);
    assert_eq!(line(&plan, "variable"), ("DATABASE_URL=postgres://u:…@h/d", "--var"));
    // A secret over the base's variable and the base's secret.
    let plan = case
        .clone()
        .secret("RAILS_ENV", "/app/env", at("tasks.db-migrate.secrets.RAILS_ENV"))
        .secret(
            "DATABASE_URL",
            "arn:aws:ssm:eu-west-1:111122223333:parameter/owner",
            at("tasks.db-migrate.secrets.DATABASE_URL"),
        )
        .planned();
    assert_eq!(secret_names(&plan), ["SECRET_KEY_BASE", "DATABASE_URL", "RAILS_ENV"]);
    assert_eq!(container(&plan, "web")["environment"], json!([{ "name": "RAILS_LOG_TO_STDOUT", "value": "1" }]));
    // Between the two tables the nearer place wins.
    let both = |variable: Origin, secret: Origin| case.clone().variable("X", "1", variable).secret("X", "/x", secret);
    let plan = both(Origin::Flag("--var"), at("tasks.db-migrate.secrets.X")).planned();
    assert!(!secret_names(&plan).contains(&"X".to_owned()) && line(&plan, "variable").0 == "X=1");
    let plan = both(at("environments.staging.variables.X"), at("tasks.db-migrate.secrets.X")).planned();
    assert!(secret_names(&plan).contains(&"X".to_owned()) && !has_line(&plan, "variable"));
    let problems = both(at("tasks.db-migrate.variables.X"), at("tasks.db-migrate.secrets.X")).problems();
    assert_eq!(problems[0].message, "`X` is both a variable and a secret");
}

#[test]
fn overrides_beyond_the_limit_name_what_is_large() {
    let with =
        |length: usize| {
            Case::new("fargate-web")
                .variable("BIG", &"x".repeat(length), at("tasks.db-migrate.variables.BIG"))
                .variable("SMALL", "1", at("tasks.db-migrate.variables.SMALL"))
        };
    let rest = overrides(&with(0).planned()).to_string().len();
    assert_eq!(overrides(&with(8192 - rest).planned()).to_string().len(), 8192);
    let problems = with(8193 - rest).problems();
    assert!(
        problems[0].message.starts_with(
            "command, variables and sizes are 8193 characters as JSON, and ECS takes 8192: the variable `BIG` takes "
        ),
        "{problems:?}"
    );
    assert_eq!(problems[0].span, at("tasks.db-migrate.variables.BIG").span());
}

#[test]
fn the_account_and_the_family_are_guarded() {
    let other = Case::new("fargate-web").facts(|it| it.identity.account = "444455556666".to_owned());
    let problems = other.problems();
    assert!(
        problems[0]
            .message
            .starts_with("`staging` is in account 111122223333, but the credentials are for account 444455556666"),
        "{problems:?}"
    );
    assert_eq!(problems[0].span, at("environments.staging.account").span());
    let open = other.settings(|it| it.account = None).planned();
    assert_eq!(line(&open, "account"), ("444455556666", ""));
    let foreign =
        NewestRevision {
            arn: "arn:…:task-definition/xtask-staging-db-migrate:1".to_owned(), ours: false, hash: None
        };
    let problems = Case::new("fargate-web").facts(|it| it.newest_revision = Some(foreign)).problems();
    assert!(problems[0].message.contains("cannot register into the family `xtask-staging-db-migrate`"), "{problems:?}");
    assert!(Case::new("windows").problems()[0].message.contains("is for Windows"));
}

#[test]
fn all_problems_are_told_in_one_go() {
    let problems = Case::new("no-logs").settings(|it| {
        it.memory = Some(here("tasks.db-migrate.memory", 3000));
        it.tags.insert("xtask".to_owned(), here("tasks.db-migrate.tags.xtask", "2".to_owned()));
        it.ephemeral_storage = Some(here("tasks.db-migrate.ephemeral-storage", 5));
    });
    assert_eq!(problems.problems().len(), 5, "{:#?}", problems.problems());
}

#[test]
fn tags_and_variables_say_who_runs_what() {
    let plan = Case::named("ci-production", "fargate-web")
        .task(|it| {
            it.protected = true;
            it.interactive = true;
        })
        .facts(|it| {
            it.commit.as_mut().unwrap().dirty = true;
            it.ci_job = Some("https://github.com/acme/app/actions/runs/17?attempt=2".to_owned());
        })
        .variable("API_TOKEN", "t0p", Origin::Flag("--var"))
        .variable("XTASK_RUN_ID", "mine", at("tasks.db-migrate.variables.XTASK_RUN_ID"))
        .expect();
    holds_always(&plan);
    let tags: BTreeMap<&str, &str> = json::list(&plan.run_task, "tags")
        .iter()
        .map(|it| (it["key"].as_str().unwrap(), it["value"].as_str().unwrap()))
        .collect();
    assert_eq!(tags["xtask"], "1");
    assert_eq!(tags["xtask:by"], "arn:aws:sts::111122223333:assumed-role/Developer/jo@example.com");
    assert!(tags["xtask:commit"].ends_with("+dirty"));
    assert_eq!(tags["xtask:ci-job"], "https://github.com/acme/app/actions/runs/17_attempt=2");
    assert_eq!(tags["team"], "platform");
    let ids: Vec<&Value> =
        json::list(chosen_override(&plan), "environment").iter().filter(|it| it["name"] == "XTASK_RUN_ID").collect();
    assert_eq!(ids, [&json!({ "name": "XTASK_RUN_ID", "value": "k3v9x2m7q1" })]);
    one_warning(&plan, "uncommitted changes");
    one_warning(&plan, "`API_TOKEN` can be read");
    assert_eq!(line(&plan, "variable"), ("API_TOKEN=…", "--var"));
    assert!(!format!("{:?}", plan.lines).contains("t0p"));
    assert_eq!(container(&plan, "web")["linuxParameters"], json!({ "initProcessEnabled": true }));
    assert!(!shown(&plan.run_task).to_string().contains("t0p"));
    let many = Case::new("fargate-web").settings(|it| {
        it.tags = (0..45).map(|n| (format!("t{n}"), here("tasks.db-migrate.tags.t", String::new()))).collect();
    });
    assert!(many.problems()[0].message.contains("ECS takes 50"));
}

#[test]
fn other_partitions_have_their_own_arns() {
    let plan = Case::new("fargate-web")
        .facts(|it| it.identity.arn = "arn:aws-cn:sts::111122223333:assumed-role/x/y".to_owned())
        .settings(|it| it.task_role = Some(here("defaults.task-role", "jobs".to_owned())))
        .secret("K", "secretsmanager:k", at("defaults.secrets.K"))
        .planned();
    assert_eq!(overrides(&plan)["taskRoleArn"], "arn:aws-cn:iam::111122223333:role/jobs");
    assert!(
        container(&plan, "web")["secrets"]
            .to_string()
            .contains("arn:aws-cn:secretsmanager:eu-west-1:111122223333:secret:k\"")
    );
}
