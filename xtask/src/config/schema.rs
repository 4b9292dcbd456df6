//! The JSON schema of tasks.toml for editors: completion, help and the first mistakes while typing. Made from the table of keys, so
//! that a key is here exactly where the parser knows it.
//!
//! A schema says less than the parser: it knows no names declared elsewhere in the file and adds nothing up. It must never reject
//! what the parser takes; a test holds every mistake that the parser's tests know against it.
//!
//! Draft 7, and patterns without looking ahead: what the TOML language servers in use understand.

use serde_json::{Map, Value, json};

use super::keys::{Key, Layer, Takes, keys};
use super::values;

/// Where the file is, seen from tasks.toml, in a repository that has `xtask/`: it moves with the parser that it describes.
pub const PLACE: &str = "xtask/tasks.schema.json";

/// The layers that have a definition of their own, and its name.
const DEFINITIONS: &[(Layer, &str)] = &[
    (Layer::Defaults, "defaults"),
    (Layer::Image, "image"),
    (Layer::Environment, "environment"),
    (Layer::Task, "task"),
    (Layer::On, "on"),
    (Layer::Logs, "logs"),
    (Layer::Retry, "retry"),
];

const FILLED: &str = r"\S";
const NAME: &str = "^[a-z0-9][a-z0-9-]*$";
const WORD: &str = "^[A-Za-z0-9_+=,.@/:-]+$";
const CONTAINER: &str = "^[A-Za-z0-9_-]+$";
const REPOSITORY: &str = r"^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$";
const REGISTRY: &str = r"^(\[[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]+)?$";
const SECRET: &str = concat!(
    "^(arn:[^:]*:(ssm|secretsmanager):[^:]*:[^:]*:[A-Za-z0-9/_.+=@:-]+",
    "|secretsmanager:[A-Za-z0-9/_.+=@:-]+|[A-Za-z0-9/_.-]+)$"
);
/// What a tag cannot hold of ASCII. Letters of all languages are fine, and no two engines name them alike.
const TAG: &str = r"^[^!-*,;<>?\[-^`{-~\u0000-\u001f]*$";
const NO_NUL: &str = r"^[^\u0000]*$";

/// The schema, whole.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for (layer, name) in DEFINITIONS {
        definitions.insert((*name).to_owned(), table(*layer));
    }
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("tasks.toml"));
    root.insert("description".to_owned(), json!("The one-off jobs of an application, run by `cargo xtask run TASK`"));
    if let Value::Object(table) = table(Layer::Root) {
        root.extend(table);
    }
    root.insert("definitions".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

/// The schema as the file holds it.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// The table that a layer is.
fn table(layer: Layer) -> Value {
    let here: Vec<&Key> = keys().iter().filter(|it| it.layers.contains(&layer)).collect();
    let properties: Map<String, Value> = here.iter().map(|it| (it.name.to_owned(), property(layer, it))).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if here.iter().any(|it| it.name == "launch-type") {
        // They exclude each other.
        table["not"] = json!({ "required": ["launch-type", "capacity-providers"] });
    }
    match layer {
        Layer::Logs => table["required"] = json!(["group"]),
        Layer::Retry => table["required"] = json!(["on", "attempts"]),
        _ => {}
    }
    table
}

fn property(layer: Layer, key: &Key) -> Value {
    let mut schema = value(layer, key);
    let described = match key.takes {
        Takes::Duration => format!("{}; a duration such as \"15m\" or \"1h30m\"", key.about),
        Takes::Cpu => format!("{}; 1024 or \"1 vCPU\"", key.about),
        Takes::Memory => format!("{}; 4096 or \"4 GB\"", key.about),
        _ => key.about.to_owned(),
    };
    // Draft 7 has nothing beside a `$ref`.
    if schema.get("$ref").is_some() {
        schema = json!({ "allOf": [schema] });
    }
    schema["description"] = json!(described);
    schema
}

fn reference(layer: Layer) -> Value {
    let name = DEFINITIONS.iter().find(|it| it.0 == layer).map(|it| it.1).unwrap_or_default();
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn value(layer: Layer, key: &Key) -> Value {
    match key.takes {
        Takes::Text => text_of(key.name),
        Takes::OneOf(words) => json!({ "type": "string", "enum": words }),
        Takes::Boolean => json!({ "type": "boolean" }),
        Takes::Number => {
            let (least, most) = range_of(layer, key.name);
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Takes::Duration => json!({
            "type": "string",
            "minLength": 2,
            "allOf": [
                { "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" },
                { "pattern": "[1-9]" },
            ],
        }),
        Takes::Cpu => size(values::CPU, r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([vV][cC][pP][uU])?\s*$"),
        Takes::Memory => size(values::MEMORY, r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([gGmM][iI]?[bB])?\s*$"),
        Takes::List => list_of(key.name),
        Takes::Command => json!({
            "type": "array",
            "minItems": 1,
            "items": [{ "type": "string", "pattern": FILLED }],
            "additionalItems": { "type": "string" },
        }),
        Takes::Names => names_of(key.name),
        Takes::Weights => {
            let weight = json!({ "type": "integer", "minimum": 0, "maximum": 1000 });
            let of = |about: &str| {
                let mut weight = weight.clone();
                weight["description"] = json!(about);
                weight
            };
            json!({
                "type": "object",
                "propertyNames": {
                    "pattern": CONTAINER,
                    "maxLength": 255,
                    "not": {
                        "pattern": "^[Ff][Aa][Rr][Gg][Aa][Tt][Ee]([_-][Ss][Pp][Oo][Tt])?$",
                        "not": { "enum": ["FARGATE", "FARGATE_SPOT"] },
                    },
                },
                "properties": {
                    "FARGATE": of("the weight of FARGATE"),
                    "FARGATE_SPOT": of("the weight of FARGATE_SPOT, which becomes FARGATE unless `spot = true`"),
                },
                "additionalProperties": weight,
                // One of them has to be above 0.
                "not": { "additionalProperties": { "const": 0 } },
                "maxProperties": 20,
            })
        }
        Takes::Sidecars => json!({
            "anyOf": [
                { "type": "string", "enum": ["all", "none"] },
                { "type": "array", "uniqueItems": true, "items": text_of("container") },
            ],
        }),
        Takes::Logs => reference(Layer::Logs),
        Takes::Retry => reference(Layer::Retry),
        Takes::Table(layer) => reference(layer),
        Takes::Tables(layer) => {
            let mut names = json!({ "pattern": NAME, "maxLength": 64 });
            if layer == Layer::Image {
                names["not"] = json!({ "enum": ["deployed"] });
            }
            json!({ "type": "object", "propertyNames": names, "additionalProperties": reference(layer) })
        }
    }
}

fn size((least, most): (u32, u32), pattern: &str) -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, { "type": "string", "pattern": pattern }] })
}

fn range_of(layer: Layer, name: &str) -> (u32, u32) {
    match (layer, name) {
        (Layer::Retry, _) => values::ATTEMPTS,
        (_, "ephemeral-storage") => values::EPHEMERAL_STORAGE,
        _ => values::SHARDS,
    }
}

/// A string, by the key's name: the shapes are those of `values`.
fn text_of(name: &str) -> Value {
    let pattern = |it: &str| json!({ "type": "string", "pattern": it });
    match name {
        "default-environment" => pattern(NAME),
        "context" | "dockerfile" => {
            json!({ "type": "string", "pattern": FILLED, "not": { "pattern": "://|^-$" } })
        }
        "target" | "cluster" | "service" | "task-definition" | "task-role" | "execution-role" => pattern(WORD),
        "repository" => json!({
            "type": "string", "minLength": 2, "maxLength": 256,
            "pattern": REPOSITORY, "not": { "pattern": r"^[^/]*\.amazonaws\.com/" },
        }),
        "registry" => pattern(REGISTRY),
        "region" => pattern("^[a-z]+(-[a-z]+)+-[0-9]{1,2}$"),
        "account" => pattern("^[0-9]{12}$"),
        "endpoint-url" => pattern(r"^https?://[^\s/:]\S*$"),
        "container" => json!({ "type": "string", "pattern": CONTAINER, "maxLength": 255 }),
        "platform-version" => pattern(r"^(LATEST|[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5})$"),
        "description" => json!({
            "type": "string", "allOf": [{ "pattern": FILLED }, { "pattern": r"^\s*[^\n]*\s*$" }],
        }),
        "group" => json!({ "type": "string", "pattern": "^[A-Za-z0-9_/.#-]+$", "maxLength": 512 }),
        "prefix" => json!({ "type": "string", "pattern": FILLED, "not": { "pattern": "[:*]" } }),
        _ => pattern(FILLED),
    }
}

/// A list of strings, by the key's name.
fn list_of(name: &str) -> Value {
    let set = |pattern: &str, least: usize| json!({ "type": "array", "minItems": least, "uniqueItems": true, "items": { "type": "string", "pattern": pattern } });
    match name {
        "environments" => set(NAME, 1),
        "needs" => set(NAME, 0),
        "subnets" => {
            let mut list = set("^subnet-[A-Za-z0-9-]+$", 1);
            list["maxItems"] = json!(16);
            list
        }
        "security-groups" => {
            let mut list = set("^sg-[A-Za-z0-9-]+$", 0);
            list["maxItems"] = json!(5);
            list
        }
        "build-secrets" => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "(^|,)id=[^,]" } })
        }
        "build-options" => options(values::BUILD_OPTIONS),
        "docker-args" => options(values::RUN_OPTIONS),
        _ => json!({ "type": "array", "items": { "type": "string" } }),
    }
}

/// Options of docker, those left out that this tool gives itself.
fn options(ours: &[(&[&str], &str)]) -> Value {
    let patterns: Vec<String> = ours
        .iter()
        .flat_map(|it| it.0)
        // A short option may have its value behind it: `-fDockerfile`.
        .map(|it| if it.len() == 2 { format!("^{it}") } else { format!("^{it}(=|$)") })
        .collect();
    let item = json!({ "type": "string", "not": { "pattern": patterns.join("|") } });
    let mut first = item.clone();
    first["pattern"] = json!("^-");
    json!({ "type": "array", "items": [first], "additionalItems": item })
}

/// A table of strings by names of the user's, by the key's name.
fn names_of(name: &str) -> Value {
    let variable = json!({
        "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$", "not": { "pattern": "^[Xx][Tt][Aa][Ss][Kk]_" },
    });
    let (names, value) = match name {
        "secrets" => (variable, json!({ "type": "string", "pattern": SECRET })),
        "variables" => (variable, json!({ "type": "string", "pattern": NO_NUL })),
        "tags" => (
            json!({
                "allOf": [{ "pattern": TAG }, { "pattern": FILLED }],
                "maxLength": 128,
                "not": { "pattern": "^([Aa][Ww][Ss]:|[Xx][Tt][Aa][Ss][Kk]($|[-+ =._:/@]))" },
            }),
            json!({ "type": "string", "pattern": TAG, "maxLength": 256 }),
        ),
        _ => (json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }), json!({ "type": "string", "pattern": NO_NUL })),
    };
    json!({ "type": "object", "propertyNames": names, "additionalProperties": value })
}

#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
pub(crate) mod validator;
