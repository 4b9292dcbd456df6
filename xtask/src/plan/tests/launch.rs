//! Where it runs: network, capacity, placement, volumes, sizes, and the limit of overrides.

use super::*;

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
fn spot_only_where_it_is_asked_for() {
    let plan = Case::new("fargate-spot").expect();
    holds_always(&plan);
    assert_eq!(
        plan.run_task["capacityProviderStrategy"],
        json!([{ "capacityProvider": "FARGATE", "weight": 5, "base": 1 }])
    );
    assert_eq!(plan.run_task["platformVersion"], "1.4.0");
    assert_eq!(line(&plan, "capacity providers"), ("FARGATE", "the service, with FARGATE for FARGATE_SPOT"));

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
    let container = |it: &mut Settings| it.container = Some(here("environments.staging.container", "api".to_owned()));
    let anywhere = without(Case::new("ec2-bridge")).settings(container).planned();
    assert!(
        anywhere.run_task.get("launchType").is_none() && anywhere.run_task.get("capacityProviderStrategy").is_none()
    );
    one_warning(&anywhere, "the cluster's default capacity providers decide");
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
fn fargate_has_no_instances_to_place_on() {
    let case = Case::new("fargate-web").facts(|it| {
        it.service.as_mut().unwrap()["placementStrategy"] = json!([{ "type": "spread", "field": "host" }]);
    });
    assert!(case.planned().run_task.get("placementStrategy").is_none());
    let on_ec2 = case.settings(|it| it.launch_type = Some(here("tasks.db-migrate.launch-type", LaunchType::Ec2)));
    assert_eq!(on_ec2.planned().run_task["placementStrategy"], json!([{ "type": "spread", "field": "host" }]));
    assert!(on_ec2.planned().run_task.get("platformVersion").is_none());
}
