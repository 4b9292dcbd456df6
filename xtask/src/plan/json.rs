//! Reading AWS's JSON: a field that is absent, null or of another type is simply not there.

use serde_json::{Map, Value};

/// The string of a field.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The elements of a field; none where it is absent.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of a field; none where it is absent.
pub(super) fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The number of a field, where it is more than 0 (ECS says 0 for "not set").
pub(super) fn positive(value: &Value, key: &str) -> Option<u32> {
    value.get(key).and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0)
}

/// The container of that name in a task definition.
pub(super) fn container<'a>(definition: &'a Value, name: &str) -> Option<&'a Value> {
    list(definition, "containerDefinitions").iter().find(|it| text(it, "name") == Some(name))
}

/// A task definition as people write it: `family:revision`.
pub(super) fn definition_name(definition: &Value) -> String {
    let family = text(definition, "family").unwrap_or("?");
    match definition.get("revision").and_then(Value::as_u64) {
        Some(revision) => format!("{family}:{revision}"),
        None => family.to_owned(),
    }
}

/// Takes out every null: ECS's older answers and exported files have them, its requests must not.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, it)| !it.is_null()).map(|(key, it)| (key.clone(), without_nulls(it))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().filter(|it| !it.is_null()).map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Keeps the elements of a field that `keep` likes; an empty field goes away with the last.
pub(super) fn retain(map: &mut Map<String, Value>, key: &str, keep: impl FnMut(&Value) -> bool) {
    let Some(items) = map.get_mut(key).and_then(Value::as_array_mut) else { return };
    let before = items.len();
    items.retain(keep);
    if items.is_empty() && before > 0 {
        map.shift_remove(key);
    }
}
