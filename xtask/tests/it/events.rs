//! Holds what `--format json` writes against docs/events.schema.json, in every test that has such a run.

use serde_json::Value;

#[path = "../../src/config/schema/validator.rs"]
mod validator;

/// Fails where a line is no event of docs/events.schema.json, the first lacks the version, or another has it.
pub fn check_events(stdout: &[u8]) {
    static SCHEMA: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema is in the repository");
        serde_json::from_str(&text).expect("it is JSON")
    });
    for (index, line) in String::from_utf8_lossy(stdout).lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|it| panic!("not JSON: {it}\n{line}"));
        // The one of its own kind: what is wrong then says it better than the whole schema.
        let kind = event["event"].as_str().unwrap_or_default();
        let definition = SCHEMA["definitions"].get(kind).unwrap_or_else(|| panic!("an unknown event: {line}"));
        if let Some(wrong) = validator::wrong(definition, &event) {
            panic!("not as docs/events.schema.json says: {wrong}\n{line}");
        }
        assert_eq!(event.get("version").is_some(), index == 0, "the version is in the first event only: {line}");
    }
}
