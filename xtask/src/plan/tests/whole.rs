//! The plan as a whole: image, platform, guards, tags, what is shown.

use super::*;

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
    assert_eq!(line(&plan, "repository").0, "acme/app, to be created");
}

#[test]
fn a_dry_run_before_prepare_has_no_tag_yet() {
    let unprepared = ImageFact::Unprepared { registry: REGISTRY.to_owned(), repository: "acme/app".to_owned() };
    let plan = Case::new("fargate-web").facts(|it| it.image = unprepared).planned();
    assert!(line(&plan, "image").0.contains("its tag known after `prepare`"));
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
    one_warning(&plan, "tasks.db-migrate.variables.XTASK_RUN_ID is not used");
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

/// AWS may answer what nobody has seen yet: whatever the shape of one field, there is a plan or a problem, never a panic.
#[test]
fn no_answer_of_aws_makes_it_panic() {
    let names = ["firelens", "essential-sidecar", "ec2-bridge", "ebs-volume"];
    for name in names {
        let case = Case::new(name).logs().settings(|it| {
            it.memory = Some(Sourced::new(4096, Origin::Flag("--memory")));
            it.cpu = Some(Sourced::new(1024, Origin::Flag("--cpu")));
        });
        let root = json!({ "base": case.facts.base, "service": case.facts.service });
        let mut pointers = Vec::new();
        collect_pointers(&root, String::new(), &mut pointers);
        assert!(pointers.len() > 50, "{name}");
        for pointer in pointers {
            for other in [json!(null), json!({}), json!([[{ "name": 7 }]]), json!(u32::MAX)] {
                let mut changed = root.clone();
                *changed.pointer_mut(&pointer).unwrap() = other;
                let changed = case.clone().facts(|it| {
                    it.base = changed["base"].take();
                    it.service = Some(changed["service"].take());
                });
                if let Ok(plan) = changed.plan() {
                    assert!(!definition_with_image(&plan, "image").1.is_empty());
                }
            }
        }
    }
}

fn collect_pointers(value: &Value, path: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, it)| collect_pointers(it, format!("{path}/{}", key.replace('/', "~1")), pointers));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, it)| collect_pointers(it, format!("{path}/{index}"), pointers));
        }
        _ => {}
    }
    if path.len() > "/service".len() {
        pointers.push(path);
    }
}

#[test]
fn a_session_needs_what_ecs_exec_needs() {
    let interactive = |case: Case| case.task(|it| it.interactive = true);
    let chosen = |it: &mut Facts, key: &str, value: Value| {
        let containers = it.base["containerDefinitions"].as_array_mut().unwrap();
        containers.iter_mut().find(|it| it["name"] == "web").unwrap()[key] = value;
    };
    let all = interactive(Case::new("fargate-web"))
        .settings(|it| it.platform_version = Some(here("tasks.db-migrate.platform-version", "1.3.0".to_owned())))
        .facts(|it| {
            it.base.as_object_mut().unwrap().remove("taskRoleArn");
            chosen(it, "readonlyRootFilesystem", json!(true));
        });
    let problems = all.problems();
    let said: Vec<&str> = problems.iter().map(|it| it.message.as_str()).collect();
    for part in ["a task role", "platform version 1.4.0 at least, and it is 1.3.0", "a writable file system"] {
        assert_eq!(said.iter().filter(|it| it.contains(part)).count(), 1, "{part}: {said:?}");
    }
    assert!(problems.iter().all(|it| it.hint.is_some()));
    // The same base is fine for a task that needs no session.
    let plain = Case::new("fargate-web").facts(|it| chosen(it, "readonlyRootFilesystem", json!(true)));
    assert_eq!(plain.planned().console, None);

    let shadowed =
        interactive(Case::new("fargate-web")).variable("AWS_ACCESS_KEY_ID", "AKIA", at("tasks.db-migrate.variables.X"));
    one_warning(&shadowed.planned(), "instead of the task role");

    let plan = interactive(Case::new("fargate-web")).planned();
    assert_eq!(plan.console.as_ref().unwrap().argv, ["bin/rails", "db:migrate"]);
    assert_eq!(chosen_override(&plan)["command"], json!(["14400"]));
    assert_eq!(plan.run_task["enableExecuteCommand"], true);
    assert_eq!(container(&plan, "web")["entryPoint"], json!(["sleep"]));
    assert_eq!(line(&plan, "max lifetime"), ("4h", "default"));
    // Without a command of its own it is a shell, not the server that the base runs.
    let shell = interactive(Case::new("fargate-web")).task(|it| it.command = None).planned();
    assert_eq!(shell.console.unwrap().argv, [""; 0]);
}
