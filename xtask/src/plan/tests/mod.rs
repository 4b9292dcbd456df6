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

mod definition;
mod fuzz;
mod launch;
mod whole;

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
            exclusive: false,
            once: false,
            shards: None,
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
