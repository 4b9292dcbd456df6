//! tasks.toml as a whole: the example of every key, each kind of mistake with the token it points at, ten of them at once.

use super::*;

/// The example of the README and of every key.
const EXAMPLE: &str = include_str!("example.toml");

/// Tables that a mistake can be put beside, so that it is the only one.
const BASE: &str = "
[environments.local]
runner = 'host'
[environments.staging]
cluster = 'main'
service = 'web'
[images.app]
repository = 'acme/app'
[tasks.migrate]
image = 'app'
";

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source { path: "tasks.toml".to_owned(), text: text.to_owned() })
}

/// Takes the marks out and gives what stood between them.
fn unmark(marked: &str) -> (String, Vec<Span>) {
    let (mut text, mut spans) = (String::new(), Vec::new());
    let mut start = 0;
    for it in marked.chars() {
        match it {
            '«' => start = text.len(),
            '»' => spans.push(Span { start, end: text.len() }),
            it => text.push(it),
        }
    }
    (text, spans)
}

/// The problems as text: what is marked, the message, the hint.
fn problems(text: &str) -> Vec<(String, String, String)> {
    let Err(error) = parse(&source(text)) else {
        schema::tests::takes(text);
        return Vec::new();
    };
    assert!(error.source.is_some());
    assert_eq!(error.exit_code(), 2);
    assert!(error.problems.is_sorted_by_key(|it| it.span), "in the order of the file: {:?}", error.problems);
    let token = |it: &Problem| it.span.map(|it| text[it.start..it.end].to_owned()).unwrap_or_default();
    error.problems.iter().map(|it| (token(it), it.message.clone(), it.hint.clone().unwrap_or_default())).collect()
}

/// One mistake, marked, after [`BASE`]: that one problem at that place and no other.
fn assert_one(marked: &str, message: &str, hint: &str) {
    assert_alone(&format!("{BASE}{marked}\n"), message, hint);
}

/// The same without [`BASE`].
fn assert_alone(marked: &str, message: &str, hint: &str) {
    let (text, spans) = unmark(marked);
    let Err(error) = parse(&source(&text)) else { panic!("no problem found in: {marked}") };
    let found: Vec<_> = error.problems.iter().map(|it| (it.message.as_str(), it.hint.as_deref())).collect();
    assert_eq!(found, [(message, Some(hint).filter(|it| !it.is_empty()))], "{marked}");
    assert_eq!(error.problems[0].span, spans.first().copied(), "{marked}");
    assert_eq!(spans.len(), 1, "a test marks one token: {marked}");
    schema::tests::rejects(&text, message);
}

#[test]
fn the_example_parses() {
    if let Err(error) = parse(&source(EXAMPLE)) {
        panic!("{:#?}", error.problems);
    }
}

#[test]
fn the_example_says_what_it_says() {
    let config = parse(&source(EXAMPLE)).expect("it parses");
    let names: Vec<&str> = config.environments.iter().map(|it| it.name.value.as_str()).collect();
    assert_eq!(names, ["local", "docker", "staging", "production", "emulator"], "in the order of the file");
    let names: Vec<&str> = config.tasks.iter().map(|it| it.name.value.as_str()).collect();
    assert_eq!(names, ["db-backup", "db-migrate", "console", "backfill"]);
    assert_eq!(config.default_environment.as_ref().map(|it| it.value.as_str()), Some("local"));
    assert_eq!(config.defaults.timeout.as_ref().map(|it| it.value.as_secs()), Some(1800));

    let image = &config.images[0];
    assert_eq!((image.name.as_str(), image.context.value.as_str()), ("app", "."));
    assert_eq!(image.build_args["RUBY_VERSION"].value, "3.4");
    assert_eq!(image.build_secrets[0].value, "id=npmrc,src=.npmrc");
    assert_eq!(image.build_options.iter().map(|it| it.value.as_str()).collect::<Vec<_>>(), ["--ssh", "default"]);
    assert_eq!(image.prepare.as_ref().map(|it| it.value.len()), Some(3));
    assert!(!image.create_repository);

    let production = &config.environments[3].settings;
    assert_eq!(production.subnets.as_ref().map(|it| it.value.len()), Some(2));
    let weights = production.capacity_providers.as_ref().map(|it| it.value.clone());
    assert_eq!(weights, Some(vec![("FARGATE".to_owned(), 1)]));
    let logs = production.logs.as_ref().map(|it| &it.value).expect("written");
    assert_eq!((logs.group.as_str(), logs.prefix.as_deref()), ("/ecs/one-off", Some("one-off")));
    assert_eq!(production.sidecars.as_ref().map(|it| &it.value), Some(&crate::model::Sidecars::All));
    assert!(production.protected.as_ref().is_some_and(|it| it.value));

    let console = &config.tasks[2];
    assert_eq!(console.on["local"].image.as_ref().map(|it| it.value.as_str()), Some("app"));
    let backfill = &config.tasks[3];
    assert_eq!(backfill.on["production"].memory.as_ref().map(|it| it.value), Some(8192));
    assert_eq!(backfill.settings.secrets["KEY"].value, "secretsmanager:app/key");
    let retry = backfill.settings.retry.as_ref().map(|it| (it.value.on, it.value.attempts));
    assert_eq!(retry, Some((crate::model::RetryOn::Spot, 2)));
}

#[test]
fn every_value_knows_where_it_stands() {
    let config = parse(&source(EXAMPLE)).expect("it parses");
    let staging = &config.environments[2];
    for (key, origin, token) in [
        ("environments.staging", &staging.name.origin, "staging"),
        ("environments.staging.cluster", &staging.settings.cluster.as_ref().expect("written").origin, "\"staging\""),
        ("environments.staging.variables.RAILS_ENV", &staging.settings.variables["RAILS_ENV"].origin, "\"staging\""),
        (
            "tasks.console.on.local.image",
            &config.tasks[2].on["local"].image.as_ref().expect("written").origin,
            "\"app\"",
        ),
        ("images.app.build-options", &config.images[0].build_options[1].origin, "\"default\""),
    ] {
        assert_eq!(origin.to_string(), key);
        let span = origin.span().expect("in the file");
        assert_eq!(&EXAMPLE[span.start..span.end], token, "{key}");
    }
}

#[test]
fn the_example_has_every_key_of_the_table_or_the_table_says_more() {
    // What the example does not show, on purpose.
    let unshown = ["launch-type", "platform-version", "execution-role", "runner", "build-args"];
    for key in keys() {
        let shown = EXAMPLE.lines().any(|it| {
            let before_comment = it.split(" #").next().unwrap_or_default();
            before_comment.contains(key.name)
        });
        assert!(shown || unshown.contains(&key.name), "{} is not in the example", key.name);
        assert!(!key.about.is_empty() && !key.layers.is_empty() && !key.about.contains('\n'), "{}", key.name);
    }
    for (index, key) in keys().iter().enumerate() {
        for other in &keys()[..index] {
            let twice = other.name == key.name && other.layers.iter().any(|it| key.layers.contains(it));
            assert!(!twice, "{} is in the table twice for one layer", key.name);
        }
    }
    for (words, key) in OTHER_WORDS {
        assert!(keys().iter().any(|it| it.name == *key), "{key}");
        let really_a_key = words.iter().find(|it| keys::find(Layer::Task, it).is_some());
        assert_eq!(really_a_key, None, "another word for `{key}` is a key itself");
    }
}

/// A value that the key accepts, as TOML.
fn fine_value(key: &Key) -> &'static str {
    match (key.takes, key.name) {
        (Takes::Table(_) | Takes::Tables(_), _) => "{}",
        (_, "account") => "'111122223333'",
        (_, "region") => "'eu-west-1'",
        (_, "endpoint-url") => "'http://127.0.0.1:4566'",
        (_, "subnets") => "['subnet-1']",
        (_, "security-groups") => "['sg-1']",
        (_, "docker-args" | "build-options") => "['--init']",
        (_, "build-secrets") => "['id=a']",
        (_, "needs") => "['other']",
        (_, "environments") => "['e']",
        (_, "image") => "'deployed'",
        (_, "default-environment") => "'e'",
        (_, "platform-version") => "'1.4.0'",
        (_, "on") => "'spot'",
        (_, "attempts") => "2",
        (Takes::Text, _) => "'name'",
        (Takes::OneOf(words), _) => match words[0] {
            "ecs" => "'ecs'",
            "FARGATE" => "'FARGATE'",
            "linux/amd64" => "'linux/amd64'",
            _ => "'stop'",
        },
        (Takes::Boolean, _) => "false",
        (Takes::Number, _) => "30",
        (Takes::Duration, _) => "'15m'",
        (Takes::Cpu, _) => "1024",
        (Takes::Memory, _) => "'2 GB'",
        (Takes::List, _) => "['a']",
        (Takes::Command, _) => "['bin/run', 'a']",
        (Takes::Names, _) => "{ A = 'b' }",
        (Takes::Weights, _) => "{ FARGATE = 1 }",
        (Takes::Sidecars, _) => "['a']",
        (Takes::Logs, _) => "{ group = 'a' }",
        (Takes::Retry, _) => "{ on = 'any', attempts = 2 }",
    }
}

/// The text of a file that has the key in that layer.
fn file_with(key: &Key, layer: Layer, value: &str) -> String {
    let line = format!("{} = {value}", key.name);
    let rest = "
        [environments.e]
        cluster = 'c'
        service = 's'
        [tasks.other]
    ";
    match layer {
        Layer::Root if matches!(key.takes, Takes::Table(_) | Takes::Tables(_)) => line,
        Layer::Root => format!("{line}\n{rest}"),
        Layer::Defaults => {
            format!("[defaults]\n{}\n[tasks.other]\nneeds = []{}", line, rest.replace("[tasks.other]", ""))
        }
        Layer::Image => format!("[images.i]\n{line}\n{rest}"),
        Layer::Environment => {
            format!("[environments.e2]\n{line}\n[tasks.t]\nenvironments = ['e']\n{rest}\nneeds = []")
        }
        Layer::Task => format!("[tasks.t]\n{line}\n{rest}"),
        Layer::On => format!("[tasks.t.on.e]\n{line}\n{rest}"),
        Layer::Logs => {
            format!("[tasks.t.logs]\ngroup = 'g'\n{rest}").replace("group = 'g'", &line_with(&line, "group", "'g'"))
        }
        Layer::Retry => {
            let line = line_with(&line, "on", "'any'");
            format!("[tasks.t.retry]\n{}\n{rest}", line_with(&line, "attempts", "2"))
        }
    }
}

/// The line, and the key that the table cannot do without where it is not that one.
fn line_with(line: &str, key: &str, value: &str) -> String {
    let has = line.lines().any(|it| it.starts_with(&format!("{key} =")));
    if has { line.to_owned() } else { format!("{line}\n{key} = {value}") }
}

#[test]
fn every_key_of_the_table_is_read_in_each_of_its_layers_and_refuses_another_type() {
    for key in keys() {
        for layer in key.layers.iter().copied() {
            let file = file_with(key, layer, fine_value(key));
            // An environment that says little is incomplete; that is another test's.
            let found: Vec<_> =
                problems(&file).into_iter().filter(|it| !it.1.contains("the environment `e2` has no")).collect();
            assert!(found.is_empty(), "{file}\n{found:?}");
            schema::tests::takes(&file);
            schema::tests::rejects(&file_with(key, layer, "[[0.5]]"), "a list of lists");

            let file = file_with(key, layer, "1979-05-27");
            let found = problems(&file);
            let expected = format!("`{}` takes {}, not a date", key.name, key.takes);
            assert!(found.iter().any(|it| it.0 == "1979-05-27" && it.1 == expected), "{expected}\n{file}\n{found:?}");
        }
    }
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    let layers = [Layer::Root, Layer::Defaults, Layer::Image, Layer::Environment, Layer::Task, Layer::On];
    for key in keys().iter().filter(|it| !matches!(it.layers, [Layer::Logs | Layer::Retry])) {
        for layer in layers {
            // Another key may have the same name there.
            if keys::find(layer, key.name).is_none() {
                let file = file_with(key, layer, fine_value(key));
                let found = problems(&file);
                let told = found
                    .iter()
                    .any(|it| it.0 == key.name && it.1.contains("cannot stand") && it.2.contains("belongs"));
                assert!(told, "{file}\n{found:?}");
            }
        }
    }
    assert_one(
        "[tasks.t]\n«region» = 'eu-west-1'",
        "`region` cannot stand in `tasks.t`",
        "it belongs into `[defaults]` or `[environments.X]`",
    );
    assert_one(
        "[tasks.t.on.local]\n«protected» = false",
        "`protected` cannot stand in `tasks.t.on.local`",
        "it belongs into `[defaults]` or `[environments.X]`",
    );
    assert_one(
        "[defaults]\n«description» = 'x'",
        "`description` cannot stand in `defaults`",
        "it belongs into `[tasks.X]`",
    );
    assert_alone(
        "«cluster» = 'x'",
        "`cluster` cannot stand at the top of the file",
        "it belongs into `[defaults]` or `[environments.X]` or `[tasks.X]` or `[tasks.X.on.ENV]`",
    );
}

mod fuzz;
mod mistakes;
