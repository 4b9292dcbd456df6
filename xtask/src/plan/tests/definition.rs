//! The derived task definition: containers, logs, entrypoint, secrets, credentials.

use super::*;

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
fn a_shell_entrypoint_would_cut_the_command() {
    let problems = Case::new("shell-entrypoint").problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("would run only `bin/rails`"), "{problems:?}");
    assert_eq!(problems[0].span, at("tasks.db-migrate.command").span());
    let hint = "set `entrypoint = [\"bin/rails\"]` and leave it out of `command`, or write the command as one string";
    assert_eq!(problems[0].hint.as_deref(), Some(hint));

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

/// Older definitions and exported files have nulls, emulators empty strings; ECS takes neither.
#[test]
fn what_says_not_set_is_left_out() {
    let mut case = Case::new("fargate-web");
    case.facts.base["ipcMode"] = json!(null);
    case.facts.base["pidMode"] = json!("");
    case.facts.base["taskRoleArn"] = json!("");
    case.facts.base["containerDefinitions"][0]["dnsSearchDomains"] = json!(null);
    case.facts.base["containerDefinitions"][0]["environment"][0]["value"] = json!("");
    case.facts.base["aFieldOfNextYear"] = json!({ "kept": true });
    let plan = case.planned();
    holds_always(&plan);
    for key in ["ipcMode", "pidMode", "taskRoleArn"] {
        assert!(plan.definition.get(key).is_none(), "{key}");
    }
    assert!(!has_line(&plan, "task role"));
    assert_eq!(container(&plan, "web")["environment"][0]["value"], "", "an empty variable is one");
    assert_eq!(plan.definition["aFieldOfNextYear"]["kept"], true);
}

#[test]
fn an_image_that_was_not_looked_up_is_never_the_bases() {
    let problems = Case::new("fargate-web").facts(|it| it.image = ImageFact::Given).problems();
    assert_eq!(problems[0].message, "it is not known which image runs");
}
