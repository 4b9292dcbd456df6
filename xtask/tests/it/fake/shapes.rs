//! The shapes of the requests that are sent as hand-made JSON, and the check that a request has one. AWS ignores a member that it
//! does not know, so a misspelt one would silently do nothing: here that is an error.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

type Members = Vec<(&'static str, bool, &'static str)>;

fn shapes() -> &'static HashMap<&'static str, Members> {
    static SHAPES: OnceLock<HashMap<&'static str, Members>> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let lines = include_str!("shapes.txt").lines().filter(|it| !it.starts_with('#'));
        lines
            .map(|line| {
                let (name, members) = line.split_once(' ').expect("a shape has members");
                let members = members.split(' ').map(|it| {
                    let (member, kind) = it.split_once('=').expect("a member has a type");
                    (member.trim_end_matches('!'), member.ends_with('!'), kind)
                });
                (name, members.collect())
            })
            .collect()
    })
}

/// What is wrong with a value as the request of this operation: each mistake with its path. Empty where all is well.
pub fn mistakes(operation: &str, value: &Value) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    check(operation, value, operation.to_owned(), &mut mistakes);
    mistakes
}

/// A mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// AWS would ignore this member.
    Unknown(String),
    /// AWS would answer SerializationException.
    Type(String),
    /// AWS would answer that the member must not be null.
    Missing(String),
    /// AWS would refuse the value.
    Value(String),
}

fn check(kind: &str, value: &Value, path: String, mistakes: &mut Vec<Mistake>) {
    let inner = |kind: &str| kind[1..kind.len() - 1].to_owned();
    match (kind.chars().next(), value) {
        (Some('['), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check(&inner(kind), item, format!("{path}[{index}]"), mistakes);
            }
        }
        (Some('{'), Value::Object(members)) => {
            for (name, item) in members {
                check(&inner(kind), item, format!("{path}.{name}"), mistakes);
            }
        }
        (Some('s'), Value::String(text)) => {
            if let Some(allowed) = kind.strip_prefix("s:")
                && !allowed.split('|').any(|it| it == text)
            {
                mistakes.push(Mistake::Value(format!("{path}: `{text}` is none of {allowed}")));
            }
        }
        (Some('i'), Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Some('b'), Value::Bool(_)) => {}
        (Some(first), Value::Object(members)) if first.is_uppercase() => {
            let shape = shapes().get(kind).unwrap_or_else(|| panic!("shapes.txt has no {kind}"));
            for (name, value) in members {
                match shape.iter().find(|(it, _, _)| it == name) {
                    Some((_, _, kind)) => check(kind, value, format!("{path}.{name}"), mistakes),
                    None => mistakes.push(Mistake::Unknown(format!("{path}.{name}"))),
                }
            }
            for (name, _, _) in shape.iter().filter(|(name, required, _)| *required && !members.contains_key(*name)) {
                mistakes.push(Mistake::Missing(format!("{path}.{name}")));
            }
        }
        _ => mistakes.push(Mistake::Type(format!("{path}: {value} is not {kind}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_mistake_is_found_with_its_path() {
        let request = json!({
            "family": "app", "cpu": 256, "networkMode": "vpc", "containerDefinitons": [],
            "containerDefinitions": [{ "name": "web", "secrets": [{ "name": "KEY" }], "dockerLabels": { "a": 1 } }],
        });
        assert_eq!(
            mistakes("RegisterTaskDefinition", &request),
            [
                Mistake::Type("RegisterTaskDefinition.cpu: 256 is not s".to_owned()),
                Mistake::Value(
                    "RegisterTaskDefinition.networkMode: `vpc` is none of bridge|host|awsvpc|none".to_owned()
                ),
                Mistake::Unknown("RegisterTaskDefinition.containerDefinitons".to_owned()),
                Mistake::Missing("RegisterTaskDefinition.containerDefinitions[0].secrets[0].valueFrom".to_owned()),
                Mistake::Type("RegisterTaskDefinition.containerDefinitions[0].dockerLabels.a: 1 is not s".to_owned()),
            ]
        );
    }

    #[test]
    fn every_shape_that_is_named_exists() {
        for members in shapes().values() {
            for (_, _, kind) in members {
                let name = kind.trim_matches(|it| "[]{}".contains(it));
                assert!(!name.starts_with(char::is_uppercase) || shapes().contains_key(name), "{name}");
            }
        }
    }
}
