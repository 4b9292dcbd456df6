//! The schema against the parser: every key on both sides, everything that the parser takes, and each mistake that its tests know.

use std::sync::LazyLock;

use toml::de::{DeTable, DeValue};

use super::*;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// Beginnings of the messages about what a schema cannot know.
const BEYOND: &[&str] = &[
    // Names that are declared elsewhere in the file.
    "unknown image `",
    "unknown environment `",
    "unknown task `",
    "`needs` goes round in a circle",
    "`a` needs `b`, which may not run",
    "`t` never runs in `staging`",
    "`A` is in `variables` and in `secrets`",
    // What comes together from several tables.
    "the environment `e` has no",
    "the image `i` runs on ECS and has no `repository`",
    "`t` runs on ECS in `local`, which has no",
    "`e` is protected and has no",
    "`shards` and `exclusive` exclude each other",
    "`c` in `a-b` and `b-c` in `a` have the same",
    "Fargate has no size",
    "41 tags are too many",
    // More than a pattern should say.
    "`Acme/App:1` is not a reference to an image",
];

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(it) => json!(it),
        DeValue::Integer(it) => i64::from_str_radix(it.as_str(), it.radix()).map_or(json!(1e30), |it| json!(it)),
        DeValue::Float(it) => json!(it.as_str().parse::<f64>().unwrap_or(0.5)),
        DeValue::Boolean(it) => json!(it),
        // The language servers give the validator a string.
        DeValue::Datetime(it) => json!(it.to_string()),
        DeValue::Array(items) => items.iter().map(|it| json_of(it.get_ref())).collect(),
        DeValue::Table(table) => table_of(table),
    }
}

fn table_of(table: &DeTable<'_>) -> Value {
    Value::Object(table.iter().map(|(key, it)| (key.get_ref().to_string(), json_of(it.get_ref()))).collect())
}

/// What the schema has against a text; `None`: it is not TOML.
fn wrong(text: &str) -> Option<Option<String>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    errors.is_empty().then(|| validator::wrong(&SCHEMA, &table_of(table.get_ref())))
}

/// The schema takes what the parser takes.
pub(in crate::config) fn takes(text: &str) {
    assert_eq!(wrong(text), Some(None), "the schema rejects what the parser takes:\n{text}");
}

/// The schema rejects what the parser rejects with this message, unless it cannot know.
pub(in crate::config) fn rejects(text: &str, message: &str) {
    let Some(found) = wrong(text) else { return };
    let beyond = BEYOND.iter().any(|it| message.starts_with(it));
    assert!(found.is_some() || beyond, "the schema takes what the parser rejects ({message}):\n{text}");
}

#[test]
fn every_key_of_the_parser_is_in_the_schema_with_a_description_and_the_reverse() {
    let schema = schema();
    let mut found: Vec<(Layer, String)> = Vec::new();
    let tables = std::iter::once((Layer::Root, &schema))
        .chain(DEFINITIONS.iter().map(|(layer, name)| (*layer, &schema["definitions"][*name])));
    for (layer, table) in tables {
        assert_eq!(table["additionalProperties"], false, "{layer}");
        for (name, property) in table["properties"].as_object().expect("a table has properties") {
            let about = property["description"].as_str().unwrap_or_default();
            assert!(about.len() > 3, "`{name}` in {layer} has no description");
            found.push((layer, name.clone()));
        }
    }
    assert_eq!(schema["definitions"].as_object().map(Map::len), Some(DEFINITIONS.len()));
    let mut known: Vec<(Layer, String)> = Vec::new();
    for key in keys() {
        known.extend(key.layers.iter().map(|it| (*it, key.name.to_owned())));
    }
    let sorted = |mut all: Vec<(Layer, String)>| {
        all.sort_by_key(|it| (it.0.to_string(), it.1.clone()));
        all
    };
    assert_eq!(sorted(found), sorted(known));
}

/// The file is what the table of keys says. `UPDATE_EXPECT=1` writes it.
#[test]
fn the_file_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks.schema.json");
    assert!(path.ends_with(PLACE));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, text()).expect("the file can be written");
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(file == text(), "xtask/tasks.schema.json is old: run the tests with UPDATE_EXPECT=1");
}

#[test]
fn what_the_parser_takes_it_takes() {
    takes(include_str!("../example.toml"));
    takes("");
    let base = "[environments.e]\nrunner = 'host'\n[tasks.other]\n";
    for line in [
        "timeout = '500ms'",
        "timeout = '1d2h3m4s5ms'",
        "cpu = '.5 vCPU'",
        "cpu = ' 1024 '",
        "cpu = 0x400",
        "memory = '2 gib'",
        "memory = '2.5GB'",
        "image = 'localhost:5000/a/b:1'",
        "secrets = { A = 'arn:aws:ssm:eu-west-1:111122223333:parameter/a/b' }",
        "secrets = { B = 'secretsmanager:a/b:k::', C = 'a.b' }",
        "variables = { 'a.b-c' = \"\\n\", _A = '' }",
        "tags = { 'größe ü' = '', xtasks = 'a b+c-d=e._:/@' }",
        "docker-args = ['-v', '-', '--volume=a:b']",
        "docker-args = []",
        "sidecars = []",
        "needs = []",
        "security-groups = []",
        "capacity-providers = { FARGATE = 0, FARGATE_SPOT = 1, my-own = 1000 }",
        "platform-version = '1.4.0'",
        "task-role = 'arn:aws:iam::111122223333:role/a/b@c'",
        "command = ['a', '']",
        "description = \" a\\n\"",
    ] {
        both_take(&format!("{base}[tasks.t]\n{line}\n"));
    }
    for text in [
        "[images.i]\nregistry = '[::1]:5000'",
        "[images.i]\nregistry = 'a-b.c:1'\nrepository = 'a.b/b_c'",
        "[images.i]\ndockerfile = '-f'\ncontext = '..'",
        "[defaults]\nendpoint-url = 'https://a'",
    ] {
        both_take(&format!("{base}{text}\n"));
    }
}

fn both_take(text: &str) {
    let source = crate::model::Source { path: "tasks.toml".to_owned(), text: text.to_owned() };
    if let Err(error) = crate::config::parse(&std::sync::Arc::new(source)) {
        panic!("the parser rejects it: {error}\n{text}");
    }
    takes(text);
}
