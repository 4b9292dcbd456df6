//! The last step of a task definition, once the image's reference is known: the image goes in, and a hash of what will be sent, by
//! which a later run finds that it need not register again.

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use crate::model::{Plan, PlannedImage};

/// The docker label of the chosen container that keeps the hash. ECS fills in defaults, so what it describes never equals what was
/// sent; a label comes back as it was.
pub const HASH_LABEL: &str = "xtask.definition";

/// The request of RegisterTaskDefinition with this image, and its hash (which is in the request as a label).
pub fn definition_with_image(plan: &Plan, image: &str) -> (Value, String) {
    let mut request = plan.definition.clone();
    if let Some(container) = chosen(&mut request, &plan.container) {
        container.insert("image".to_owned(), Value::String(image.to_owned()));
    }
    let hash = hash(&request);
    if let Some(container) = chosen(&mut request, &plan.container) {
        let labels = container.entry("dockerLabels").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(labels) = labels {
            labels.insert(HASH_LABEL.to_owned(), Value::String(hash.clone()));
        }
    }
    (request, hash)
}

/// The request as far as the plan knows it: an image that is not built yet by its tag, where that is known.
pub fn definition_to_be(plan: &Plan) -> Value {
    let image = match &plan.image {
        PlannedImage::Use { reference } => reference.clone(),
        PlannedImage::Build { registry, repository, tag, .. } => format!("{registry}/{repository}:{tag}"),
        PlannedImage::Unprepared { registry, repository, .. } => format!("{registry}/{repository}"),
    };
    let mut request = plan.definition.clone();
    if let Some(container) = chosen(&mut request, &plan.container) {
        container.insert("image".to_owned(), Value::String(image));
    }
    request
}

fn chosen<'a>(request: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let containers = request.get_mut("containerDefinitions")?.as_array_mut()?;
    containers.iter_mut().find(|it| it.get("name").and_then(Value::as_str) == Some(name))?.as_object_mut()
}

fn hash(request: &Value) -> String {
    let mut text = String::new();
    canonical(request, "", &mut text);
    digest(&SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .take(16)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Writes the same text for requests that mean the same: ECS describes the fields of an object, and objects in a list, in any order.
fn canonical(value: &Value, key: &str, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in fields {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                canonical(value, key, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            let mut texts: Vec<String> = items
                .iter()
                .map(|item| {
                    let mut text = String::new();
                    canonical(item, "", &mut text);
                    text
                })
                .collect();
            // Lists of strings are arguments and search paths, where the order counts; so does that of environment files, which
            // ECS reads one after the other.
            let ordered = items.iter().any(|it| !it.is_object()) && key != "requiresCompatibilities";
            if !ordered && key != "environmentFiles" {
                texts.sort();
            }
            text.push('[');
            for item in texts {
                text.push_str(&item);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_does_not_see_the_order_that_means_nothing() {
        let one = json!({
            "family": "a", "requiresCompatibilities": ["EC2", "FARGATE"],
            "containerDefinitions": [{ "name": "x", "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] }, { "name": "y" }],
        });
        let two = json!({
            "containerDefinitions": [{ "name": "y" }, { "environment": [{ "value": "2", "name": "B" }, { "name": "A", "value": "1" }], "name": "x" }],
            "requiresCompatibilities": ["FARGATE", "EC2"], "family": "a",
        });
        assert_eq!(hash(&one), hash(&two));
        assert_eq!(hash(&one).len(), 32);
    }

    #[test]
    fn the_hash_sees_everything_else() {
        let all = [
            json!({ "containerDefinitions": [{ "name": "x", "command": ["a", "b"] }] }),
            json!({ "containerDefinitions": [{ "name": "x", "command": ["b", "a"] }] }),
            json!({ "containerDefinitions": [{ "name": "x", "command": ["a,b"] }] }),
            json!({ "containerDefinitions": [{ "name": "x", "environmentFiles": [{ "value": "a" }, { "value": "b" }] }] }),
            json!({ "containerDefinitions": [{ "name": "x", "environmentFiles": [{ "value": "b" }, { "value": "a" }] }] }),
            json!({ "containerDefinitions": [{ "name": "x", "cpu": 1 }] }),
            json!({ "containerDefinitions": [{ "name": "x", "cpu": "1" }] }),
        ];
        let hashes: std::collections::BTreeSet<String> = all.iter().map(hash).collect();
        assert_eq!(hashes.len(), all.len());
    }
}
