//! Precedence, the choice of the environment, what flags do on which runner, and every refusal.

use std::sync::Arc;

use super::*;
use crate::config::parse;
use crate::model::Source;

const FILE: &str = r#"
default-environment = "local"

[defaults]
timeout = "30m"
variables = { A = "defaults", B = "defaults", C = "defaults", D = "defaults" }
build-args = { X = "defaults", Y = "defaults" }
registry = "defaults.example.com"

[images.app]
repository = "acme/app"
build-args = { X = "image", Z = "image" }

[images.shared]
repository = "acme/shared"
registry = "shared.example.com"
registry-profile = "shared"

[environments.local]
runner = "host"
entrypoint = ["cargo", "run", "--"]

[environments.docker]
runner = "docker"

[environments.staging]
region = "eu-west-1"
profile = "acme-staging"
cluster = "staging"
service = "web"
timeout = "20m"
variables = { B = "environment", C = "environment", D = "environment" }
build-args = { Z = "environment" }
secrets = { TOKEN = "/staging/token" }
capacity-providers = { FARGATE = 1 }

[environments.production]
region = "eu-west-1"
account = "444455556666"
protected = true
cluster = "production"
service = "web"

[environments.emulator]
registry = "127.0.0.1:4566"
cluster = "default"
task-definition = "app"

[tasks.db-migrate]
image = "app"
command = ["bin/rails", "db:migrate"]
timeout = "15m"
variables = { C = "task", D = "task" }
on.staging.variables = { D = "on" }
on.staging.on-interrupt = "detach"
on.local.variables = { TOKEN = "of my own" }

[tasks.console]
image = "deployed"
command = ["bin/rails", "console"]
interactive = true
cpu = 1024
memory = 2048

[tasks.backfill]
image = "alpine:3"
entrypoint = ["bin/run"]
environments = ["staging", "production"]

[tasks.bare]

[tasks.tools]
image = "shared"
launch-type = "EC2"
"#;

fn config(text: &str) -> Config {
    let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: text.to_owned() });
    parse(&source).unwrap_or_else(|error| panic!("{:#?}", error.problems))
}

fn selection(task: &str, environment: &str) -> Selection {
    let environment = (!environment.is_empty()).then(|| Sourced::new(environment.to_owned(), Origin::Flag("-e")));
    Selection { task: task.to_owned(), environment, ..Selection::default() }
}

fn flag<T>(name: &'static str, value: T) -> Option<Sourced<T>> {
    Some(Sourced::new(value, Origin::Flag(name)))
}

fn resolved(task: &str, environment: &str) -> ResolvedTask {
    resolve(&config(FILE), &selection(task, environment)).unwrap_or_else(|error| panic!("{:#?}", error.problems))
}

/// Each problem as `token: message | hint`.
fn refusals(text: &str, selection: &Selection) -> Vec<String> {
    let Err(error) = resolve(&config(text), selection) else { return Vec::new() };
    assert_eq!(error.exit_code(), 2);
    let shown = |it: &Problem| {
        let token = it.span.map(|it| format!("{}: ", &text[it.start..it.end])).unwrap_or_default();
        format!("{token}{} | {}", it.message, it.hint.as_deref().unwrap_or_default())
    };
    error.problems.iter().map(shown).collect()
}

fn words(list: &Option<Sourced<Vec<String>>>) -> Vec<&str> {
    list.iter().flat_map(|it| it.value.iter().map(String::as_str)).collect()
}

#[test]
fn the_stronger_layer_wins_and_tables_of_names_merge() {
    let task = resolved("db-migrate", "staging");
    let variables: Vec<(&str, &str)> = task.variables.iter().map(|it| (it.0.as_str(), it.1.value.as_str())).collect();
    assert_eq!(variables, [("A", "defaults"), ("B", "environment"), ("C", "task"), ("D", "on")]);
    assert_eq!(task.variables["D"].origin.to_string(), "tasks.db-migrate.on.staging.variables.D");
    assert_eq!(task.timeout.as_ref().map(|it| it.value.as_secs()), Some(900));
    assert_eq!(resolved("backfill", "staging").timeout.map(|it| it.value.as_secs()), Some(1200));
    assert_eq!(resolved("backfill", "production").timeout.map(|it| it.value.as_secs()), Some(1800));
    assert_eq!(task.on_interrupt, OnInterrupt::Detach);
    assert_eq!(resolved("db-migrate", "production").on_interrupt, OnInterrupt::Stop);
    assert_eq!(task.start_timeout, Sourced::default(Duration::from_secs(600)));
    assert_eq!(task.secrets.keys().collect::<Vec<_>>(), ["TOKEN"]);
    assert_eq!(task.runner, Sourced::default(Runner::Ecs));
    assert_eq!(task.settings.cluster.map(|it| it.value).as_deref(), Some("staging"));
    assert!(!task.protected && resolved("db-migrate", "production").protected);
}

#[test]
fn flags_win_over_the_file() {
    let selection = Selection {
        profile: flag("--profile", "mine".to_owned()),
        region: flag("--region", "us-east-1".to_owned()),
        timeout: flag("--timeout", Duration::from_secs(5)),
        cpu: flag("--cpu", 512),
        memory: flag("--memory", 1024),
        image: flag("--image", "registry.example.com/app:2".to_owned()),
        task_definition: flag("--task-definition", "app:7".to_owned()),
        variables: vec![("D".to_owned(), "flag".to_owned()), ("TOKEN".to_owned(), "plain".to_owned())],
        ..selection("db-migrate", "staging")
    };
    let task = resolve(&config(FILE), &selection).expect("fine");
    let settings = &task.settings;
    let text = |it: &Option<Sourced<String>>| it.as_ref().map(|it| format!("{} from {}", it.value, it.origin));
    assert_eq!(text(&settings.profile).as_deref(), Some("mine from --profile"));
    assert_eq!(text(&settings.region).as_deref(), Some("us-east-1 from --region"));
    assert_eq!(text(&settings.task_definition).as_deref(), Some("app:7 from --task-definition"));
    assert_eq!(task.timeout.as_ref().map(|it| it.value.as_secs()), Some(5));
    assert_eq!(
        (settings.cpu.as_ref().map(|it| it.value), settings.memory.as_ref().map(|it| it.value)),
        (Some(512), Some(1024))
    );
    assert_eq!(task.image.map(|it| it.value), Some(ImageChoice::Reference("registry.example.com/app:2".to_owned())));
    assert_eq!(task.variables["D"], Sourced::new("flag".to_owned(), Origin::Flag("--var")));
    assert_eq!(task.variables["TOKEN"].value, "plain");
    assert!(task.secrets.is_empty(), "a variable of the command line stands in for the secret");
}

#[test]
fn aws_profile_wins_on_ecs_and_is_nothing_elsewhere() {
    let profile = Some(Sourced::new("mine".to_owned(), Origin::Variable("AWS_PROFILE")));
    for (environment, expected) in [("staging", Some("mine")), ("local", None)] {
        let selection = Selection { profile: profile.clone(), ..selection("db-migrate", environment) };
        let task = resolve(&config(FILE), &selection).expect("fine");
        assert_eq!(task.settings.profile.map(|it| it.value).as_deref(), expected);
    }
}

#[test]
fn the_environment_is_chosen_by_flag_default_or_because_it_is_the_only_one() {
    assert_eq!(resolved("db-migrate", "docker").environment.origin, Origin::Flag("-e"));
    let by_default = resolved("db-migrate", "").environment;
    assert_eq!((by_default.value.as_str(), by_default.origin.to_string().as_str()), ("local", "default-environment"));
    let one = config("[environments.here]\nrunner = 'host'\n[tasks.t]\ncommand = ['a']");
    let only = resolve(&one, &selection("t", "")).expect("fine").environment;
    assert_eq!(only, Sourced::default("here".to_owned()));

    let two = "[environments.a]\nrunner = 'host'\n[environments.b]\nrunner = 'host'\n[tasks.t]\ncommand = ['a']";
    let from_variable = Sourced::new("stagng".to_owned(), Origin::Variable("XTASK_ENV"));
    for (text, selection, expected) in [
        (
            two,
            selection("t", ""),
            "no environment is given for `t` | choose one with -e, or set `default-environment`; environments: a, b",
        ),
        (
            "[tasks.t]",
            selection("t", ""),
            "no environment to run `t` in | tasks.toml declares none: add `[environments.local]` with `runner = \"host\"` to run on this machine",
        ),
        (
            "[tasks.t]",
            selection("t", "staging"),
            "unknown environment `staging` | tasks.toml declares none: add `[environments.local]` with `runner = \"host\"` to run on this machine",
        ),
        (
            FILE,
            selection("db-migrate", "stagng"),
            "unknown environment `stagng` | did you mean `staging`? environments: local, docker, staging, production, emulator",
        ),
        (
            two,
            Selection { environment: Some(from_variable), ..selection("t", "") },
            "unknown environment `stagng` (from XTASK_ENV) | environments: a, b",
        ),
        (
            FILE,
            selection("db-migrat", "local"),
            "unknown task `db-migrat` | did you mean `db-migrate`? tasks: db-migrate, console, backfill, bare, tools",
        ),
        (
            "[environments.a]\nrunner = 'host'",
            selection("t", ""),
            "unknown task `t` | tasks.toml has no tasks: add `[tasks.db-migrate]`",
        ),
        (
            FILE,
            selection("backfill", "local"),
            "[\"staging\", \"production\"]: `backfill` may not run in `local` | choose another with -e: staging, production",
        ),
        (
            FILE,
            selection("backfill", ""),
            "[\"staging\", \"production\"]: `backfill` may not run in `local` (the default environment) | choose another with -e: staging, production",
        ),
    ] {
        assert_eq!(refusals(text, &selection), [expected]);
    }
    assert_eq!(refusals(FILE, &selection("nothing", "nowhere")).len(), 2, "both are told at once");
}

#[test]
fn on_a_ci_machine_it_says_that_it_runs_there() {
    let ci = |environment: &str, task: &str| Selection { ci: true, ..selection(task, environment) };
    let warnings = |text: &str, selection: &Selection| resolve(&config(text), selection).expect("fine").warnings;
    assert_eq!(
        warnings(FILE, &ci("", "db-migrate")),
        [
            "CI is set and no environment is given: `db-migrate` runs on this machine, in `local`; choose another with -e or XTASK_ENV"
        ]
    );
    assert_eq!(warnings(FILE, &ci("local", "db-migrate")).len(), 0, "asked for");
    assert_eq!(warnings(FILE, &selection("db-migrate", "")).len(), 0, "not on CI");
    let ecs = FILE.replace("default-environment = \"local\"", "default-environment = \"staging\"");
    assert_eq!(warnings(&ecs, &ci("", "db-migrate")).len(), 0, "not on this machine");
    let docker = FILE.replace("default-environment = \"local\"", "default-environment = \"docker\"");
    assert_eq!(warnings(&docker, &ci("", "db-migrate")).len(), 1);
}

#[test]
fn arguments_are_appended_each_as_one() {
    let with = |task: &str, environment: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(|it| (*it).to_owned()).collect();
        resolve(&config(FILE), &Selection { arguments, ..selection(task, environment) }).expect("fine")
    };
    let task = with("db-migrate", "staging", &["a b", "", "--x"]);
    assert_eq!(words(&task.command), ["bin/rails", "db:migrate", "a b", "", "--x"]);
    let task = with("backfill", "staging", &["all"]);
    assert_eq!((words(&task.entrypoint), words(&task.command)), (vec!["bin/run"], vec!["all"]));
    assert_eq!(task.command.map(|it| it.origin), Some(Origin::Flag("--")));
    assert_eq!(with("backfill", "staging", &[]).command, None, "the image's own");
    let task = with("bare", "local", &["a"]);
    assert_eq!((words(&task.entrypoint), words(&task.command)), (vec!["cargo", "run", "--"], vec!["a"]));
}

#[test]
fn the_image_is_what_the_runner_needs() {
    let image = |task: &str, environment: &str| resolved(task, environment).image.map(|it| it.value);
    assert!(matches!(image("db-migrate", "staging"), Some(ImageChoice::Build(it)) if it.name == "app"));
    assert_eq!(image("db-migrate", "local"), None, "a plain process has none");
    assert_eq!(image("backfill", "staging"), Some(ImageChoice::Reference("alpine:3".to_owned())));
    assert_eq!(image("bare", "staging"), None, "the base's own");
    let selection = Selection { image: flag("--image", "deployed".to_owned()), ..selection("db-migrate", "staging") };
    let task = resolve(&config(FILE), &selection).expect("fine");
    assert_eq!(task.image.map(|it| it.value), Some(ImageChoice::Deployed));
}

#[test]
fn build_arguments_and_registry_come_from_the_layers_too() {
    let built = |task: &str, environment: &str| match resolved(task, environment).image.map(|it| it.value) {
        Some(ImageChoice::Build(spec)) => spec,
        other => panic!("{other:?}"),
    };
    let spec = built("db-migrate", "staging");
    let arguments: Vec<(&str, &str)> = spec.build_args.iter().map(|it| (it.0.as_str(), it.1.value.as_str())).collect();
    assert_eq!(arguments, [("X", "image"), ("Y", "defaults"), ("Z", "environment")]);
    let registry = |it: &ImageSpec| it.registry.as_ref().map(|it| it.value.clone());
    assert_eq!(registry(&spec).as_deref(), Some("defaults.example.com"));
    let spec = built("tools", "staging");
    assert_eq!(registry(&spec).as_deref(), Some("shared.example.com"));
    assert_eq!(spec.registry_profile.map(|it| it.value).as_deref(), Some("shared"));
    let spec = built("tools", "emulator");
    assert_eq!(registry(&spec).as_deref(), Some("127.0.0.1:4566"));
    assert_eq!(spec.registry_profile, None, "it is another registry's");
}

#[test]
fn the_two_keys_of_capacity_are_one_choice() {
    let settings = resolved("tools", "staging").settings;
    assert!(settings.launch_type.is_some() && settings.capacity_providers.is_none());
    let settings = resolved("db-migrate", "staging").settings;
    assert!(settings.launch_type.is_none() && settings.capacity_providers.is_some());
}

#[test]
fn a_stronger_layer_says_whether_it_is_a_secret() {
    let text = FILE
        .replace("[tasks.bare]", "[tasks.bare]\nsecrets = { A = '/a' }\non.staging.variables = { TOKEN = 'plain' }");
    let task = resolve(&config(&text), &selection("bare", "staging")).expect("fine");
    assert!(task.secrets.contains_key("A") && !task.variables.contains_key("A"));
    assert!(task.variables.contains_key("TOKEN") && !task.secrets.contains_key("TOKEN"));
    let task = resolve(&config(&text), &selection("bare", "local")).expect("fine");
    assert!(task.secrets.contains_key("A"), "kept, for the caller to see that the variable is set");
}

#[test]
fn a_flag_that_would_do_nothing_is_refused() {
    let all = |environment: &str| Selection {
        profile: flag("--profile", "p".to_owned()),
        region: flag("--region", "eu-west-1".to_owned()),
        task_definition: flag("--task-definition", "app".to_owned()),
        cpu: flag("--cpu", 1024),
        memory: flag("--memory", 2048),
        image: flag("--image", "alpine:3".to_owned()),
        ..selection("db-migrate", environment)
    };
    let refused = |environment: &str| -> Vec<String> {
        let flags = refusals(FILE, &all(environment));
        flags.iter().map(|it| it.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(refused("local"), ["--task-definition", "--profile", "--region", "--cpu", "--memory", "--image"]);
    assert_eq!(refused("docker"), ["--task-definition", "--profile", "--region"]);
    assert_eq!(refused("staging"), [""; 0]);
    let expected =
        "--cpu does nothing on the host runner of `local` | leave it out, or choose another environment with -e";
    assert!(refusals(FILE, &all("local")).contains(&expected.to_owned()));

    let rebuild = Selection { rebuild: true, ..selection("db-migrate", "local") };
    assert_eq!(refusals(FILE, &rebuild).len(), 1);
    assert!(
        resolve(&config(FILE), &Selection { rebuild: true, ..selection("db-migrate", "docker") })
            .expect("fine")
            .rebuild
    );
}

#[test]
fn docker_takes_the_sizes_of_the_command_line_only() {
    let text = FILE.replace("image = \"deployed\"", "image = \"app\"");
    let settings = resolve(&config(&text), &selection("console", "docker")).expect("fine").settings;
    assert_eq!((settings.cpu, settings.memory), (None, None), "the file's are of ECS's machines");
    let asked = Selection { cpu: flag("--cpu", 2048), ..selection("console", "docker") };
    let settings = resolve(&config(&text), &asked).expect("fine").settings;
    assert_eq!(settings.cpu, flag("--cpu", 2048));
}

#[test]
fn what_cannot_run_is_refused() {
    let on_production =
        |region: &str| Selection { region: flag("--region", region.to_owned()), ..selection("bare", "production") };
    let image = |image: &str, environment: &str| Selection {
        image: flag("--image", image.to_owned()),
        ..selection("db-migrate", environment)
    };
    let rebuild = |task: &str, environment: &str| Selection { rebuild: true, ..selection(task, environment) };
    let variable = |name: &str| Selection {
        variables: vec![(name.to_owned(), "x".to_owned())],
        ..selection("db-migrate", "local")
    };
    let size = |cpu: u32, memory: u32| Selection {
        cpu: flag("--cpu", cpu),
        memory: flag("--memory", memory),
        ..selection("db-migrate", "staging")
    };
    for (selection, expected) in [
        (
            selection("console", "docker"),
            "\"deployed\": `deployed` means nothing on the docker runner of `docker` | add `on.docker.image = \"app\"` to `[tasks.console]`",
        ),
        (
            selection("console", "local"),
            "\"deployed\": `deployed` means nothing on the host runner of `local` | add `on.local.image = \"app\"` to `[tasks.console]`",
        ),
        (
            image("deployed", "docker"),
            "`deployed` means nothing on the docker runner of `docker` | give --image a full reference",
        ),
        (
            image("app", "staging"),
            "--image takes a full reference, and `app` is an image to build | leave --image out, or use --rebuild to build it anew",
        ),
        (
            image("alpine", "staging"),
            "--image takes a full reference, not `alpine` | write it with a tag: `alpine:latest`",
        ),
        (
            image("a b:1", "docker"),
            "--image takes a full reference, not `a b:1` | write one like `registry.example.com/acme/app:1.2`, in lowercase",
        ),
        (
            selection("bare", "docker"),
            "bare: `bare` has no image to run on docker | add `image = \"…\"`, or give --image",
        ),
        (
            rebuild("backfill", "staging"),
            "\"alpine:3\": --rebuild: `backfill` runs `alpine:3`, which is not built here | leave it out",
        ),
        (rebuild("bare", "staging"), "--rebuild: `bare` has no image to build | leave it out"),
        (
            Selection { rebuild: true, ..image("alpine:3", "staging") },
            "--rebuild and --image exclude each other | leave one of them out",
        ),
        (
            variable("XTASK_RUN_ID"),
            "--var XTASK_RUN_ID: the variable `XTASK_RUN_ID` is reserved | names that begin with XTASK_ are set by this tool: use another",
        ),
        (variable("1"), "--var 1: `1` is not the name of a variable | use letters, digits and `_`, not a digit first"),
        (
            size(1024, 512),
            "Fargate has no size with cpu 1024 and memory 512 | for cpu 1024, memory is 2048 to 8192 in steps of 1024",
        ),
        (
            on_production("us-east-1"),
            "\"eu-west-1\": `production` is protected and is in eu-west-1, not in us-east-1 | leave --region out",
        ),
        (
            Selection { region: flag("--region", "ireland".to_owned()), ..selection("bare", "staging") },
            "--region: `ireland` is not an AWS region | write one like `eu-west-1`",
        ),
        (
            Selection { task_definition: flag("--task-definition", "a b".to_owned()), ..selection("bare", "staging") },
            "--task-definition: `a b` is not a name or an ARN | use letters, digits, `-` and `_`, or the full ARN",
        ),
    ] {
        assert_eq!(refusals(FILE, &selection), [expected]);
    }
    assert_eq!(refusals(FILE, &on_production("eu-west-1")), [""; 0], "the same one is no contradiction");
    assert_eq!(refusals(FILE, &size(1024, 2048)), [""; 0]);
    let no_entrypoint = FILE.replace("entrypoint = [\"cargo\", \"run\", \"--\"]", "");
    assert_eq!(
        refusals(&no_entrypoint, &selection("bare", "local")),
        [
            "bare: `bare` has no command to run on this machine | add `command = […]` to the task, or `entrypoint = […]` to the environment"
        ]
    );
}

#[test]
fn shards_are_all_or_those_that_are_chosen() {
    let text = "
        [environments.local]
        runner = 'host'
        [environments.staging]
        cluster = 'c'
        service = 's'
        [tasks.t]
        command = ['a']
        shards = 16
        on.staging.parallel = 8
        [tasks.one]
        command = ['a']
    ";
    let select =
        |environment: &str, shards: &[(u32, u32)]| Selection { shards: shards.to_vec(), ..selection("t", environment) };
    let shards = |selection: &Selection| resolve(&config(text), selection).expect("fine").shards.expect("it has some");
    let all = shards(&select("staging", &[]));
    assert_eq!((all.of, all.parallel, all.chosen.len(), all.is_all()), (16, 8, 16, true));
    assert_eq!(shards(&select("local", &[])).parallel, 1, "this machine's are one after the other");
    let some = shards(&select("staging", &[(9, 11), (3, 3), (10, 10)]));
    assert_eq!((some.of, some.chosen, some.keep_going), (16, vec![3, 9, 10, 11], false));
    assert_eq!(
        refusals(text, &select("staging", &[(3, 16)])),
        ["16: --shard 16: `t` has 16 shards | they are numbered from 0 to 15"]
    );
    let flags = Selection { keep_going: true, shards: vec![(0, 0)], ..selection("one", "staging") };
    let hint = "leave it out, or set `shards` on the task";
    assert_eq!(
        refusals(text, &flags),
        [
            format!("one: --shard is for a task with `shards`, and `one` has none | {hint}"),
            format!("one: --keep-going is for a task with `shards`, and `one` has none | {hint}"),
        ]
    );
}

/// Tasks that need others: `d` closes a diamond, `b` needs more in one environment than elsewhere.
const NEEDS: &str = "
    [environments.local]
    runner = 'host'
    [environments.other]
    runner = 'host'
    [defaults]
    command = ['a']
    [tasks.d]
    needs = ['c', 'b']
    [tasks.c]
    needs = ['a']
    [tasks.b]
    needs = ['a']
    on.other.needs = ['e', 'a']
    [tasks.a]
    [tasks.e]
";

#[test]
fn what_is_needed_comes_first_depth_first_and_once() {
    let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: NEEDS.to_owned() });
    let config = parse(&source).unwrap();
    for (task, environment, skip, names, skipped) in [
        ("d", "local", &[][..], &["a", "c", "b", "d"][..], &[][..]),
        ("d", "other", &[], &["a", "c", "e", "b", "d"], &[]),
        ("a", "local", &[], &["a"], &[]),
        // What only it needs goes with it, and nothing else does.
        ("d", "other", &["b"], &["a", "c", "d"], &["e", "b"]),
        ("d", "other", &["c"], &["e", "a", "b", "d"], &["c"]),
        ("d", "local", &["c", "b"], &["d"], &["a", "c", "b"]),
        ("d", "local", &["a"], &["c", "b", "d"], &["a"]),
    ] {
        let skip: Vec<String> = skip.iter().map(|it: &&str| (*it).to_owned()).collect();
        let order = order(&config, &selection(task, environment), &skip).unwrap();
        assert_eq!(
            (order.names, order.skipped),
            (
                names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
                skipped.iter().map(|it: &&str| (*it).to_owned()).collect::<Vec<_>>(),
            )
        );
    }
    for (task, name) in [("d", "d"), ("d", "x"), ("a", "b")] {
        let error = order(&config, &selection(task, "local"), &[name.to_owned()]).unwrap_err();
        assert_eq!(error.problems[0].message, format!("--skip {name}: `{task}` does not need `{name}`"));
    }
    let both = ["d".to_owned(), "b".to_owned(), "x".to_owned()];
    assert_eq!(with_needs(&config, &selection("", "local"), &both), ["a", "c", "b", "d", "x"]);
}
