//! What our own words must not show: the plan, its JSON, a dry run in a CI log. Names decide, and passwords inside URLs.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use crate::model::Sourced;

/// Stands for what is not shown.
const HIDDEN: &str = "…";

/// Words of a variable's name that make its value a secret.
const SECRET_WORDS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
    "KEY",
    "KEYS",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DSN",
    "SIGNATURE",
];
/// Words that count inside a longer one, too (`MYSQLPASSWORD`, `authtoken`).
const SECRET_PARTS: &[&str] = &["PASSWORD", "SECRET", "TOKEN", "APIKEY", "CREDENTIAL"];

/// Whether the value of a variable of this name is to be hidden.
pub(super) fn is_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    // PWD alone is a shell's working directory.
    upper != "PWD"
        && (upper.split(|it: char| !it.is_alphanumeric()).any(|word| SECRET_WORDS.contains(&word))
            || SECRET_PARTS.iter().any(|part| upper.contains(part)))
}

/// The value as it may be shown.
pub fn shown_value(name: &str, value: &str) -> String {
    if is_secret(name) && !value.is_empty() { HIDDEN.to_owned() } else { without_url_password(value) }
}

/// Hides the password of every `scheme://user:password@host` in a text. A password may hold anything but a slash, a question mark, a hash,
/// a quote or white space; the last `@` before those ends it.
pub fn without_url_password(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for password in url_passwords(text) {
        shown.push_str(&text[from..password.start]);
        shown.push_str(HIDDEN);
        from = password.end;
    }
    shown.push_str(&text[from..]);
    shown
}

/// The values among these variables that a log must not show: those of secret names, and passwords in URLs. Of several lines each for
/// itself, as they would be printed. What is shorter than four characters would black out half of a log.
pub fn secrets(variables: &BTreeMap<String, Sourced<String>>) -> Vec<String> {
    let mut secrets: Vec<String> = Vec::new();
    for (name, value) in variables {
        let value = value.value.as_str();
        let found = if is_secret(name) { vec![value] } else { url_passwords(value).map(|it| &value[it]).collect() };
        for line in found.into_iter().flat_map(str::lines).map(str::trim) {
            if line.chars().count() >= 4 && !secrets.iter().any(|it| it == line) {
                secrets.push(line.to_owned());
            }
        }
    }
    secrets
}

/// A line of tasks.toml as it may be shown in an error: values of secret names and passwords in URLs become stars, one for each character,
/// so that columns stay what they are. `about`: the bytes that the error is about; they stay readable.
pub fn covered(line: &str, about: Range<usize>) -> String {
    let mut hidden: Vec<Range<usize>> = url_passwords(line).collect();
    let mut rest = 0;
    while let Some(sign) = line[rest..].find('=').map(|it| it + rest) {
        rest = sign + 1;
        let key = line[..sign].trim_end().trim_end_matches(['"', '\'']);
        let name = key.rsplit(|it: char| !(it.is_alphanumeric() || "_-".contains(it))).next().unwrap_or_default();
        let value = line[rest..].trim_start();
        let from = line.len() - value.len();
        let Some(quote) = value.chars().next().filter(|it| ['"', '\''].contains(it) && is_secret(name)) else {
            continue;
        };
        let inner = &value[1..];
        let end = inner.find(quote).map_or(line.len(), |it| from + 1 + it);
        hidden.push(from + 1..end);
        rest = end;
    }
    let overlaps = |it: &Range<usize>| it.start < about.end && about.start < it.end;
    hidden.retain(|it| !overlaps(it));
    line.char_indices()
        .map(|(at, it)| if hidden.iter().any(|hidden| hidden.contains(&at)) { '*' } else { it })
        .collect()
}

/// Where the passwords of `scheme://user:password@host` stand in a text.
fn url_passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, it)| {
        let start = at + it.len();
        let after = &text[start..];
        let end = after.find(|it: char| "/?#\"'".contains(it) || it.is_whitespace()).unwrap_or(after.len());
        let (user, _) = after[..end].rsplit_once('@')?;
        let (name, password) = user.split_once(':')?;
        let from = start + name.len() + 1;
        (!password.is_empty()).then(|| from..from + password.len())
    })
}

/// A request (task definition or RunTask) as it may be printed: the values of secret variables and passwords in URLs are hidden.
pub fn shown(request: &Value) -> Value {
    shown_in("", request)
}

/// `field` is the field that holds the value: the options of a log driver and labels are maps from name to text.
fn shown_in(field: &str, value: &Value) -> Value {
    let of_names = matches!(field, "options" | "driverOpts" | "dockerLabels");
    match value {
        Value::Object(map) => {
            let name = map.get("name").and_then(Value::as_str);
            let shown = map.iter().map(|(key, value)| {
                let value = match (name, value) {
                    (Some(name), Value::String(text)) if key == "value" => Value::String(shown_value(name, text)),
                    (_, Value::String(text)) if of_names => Value::String(shown_value(key, text)),
                    _ => shown_in(key, value),
                };
                (key.clone(), value)
            });
            Value::Object(shown.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|it| shown_in(field, it)).collect()),
        Value::String(text) => Value::String(without_url_password(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_tell_secrets() {
        for name in
            ["DB_PASSWORD", "API_KEY", "MYSQLPASSWORD", "authtoken", "AWS_SECRET_ACCESS_KEY", "SENTRY_DSN", "db-pass"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["MONKEY", "RAILS_ENV", "KEYBOARD", "PWD", "BATCH", "COMPASS", "PASSENGER_PORT", "XTASK_RUN_ID"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn passwords_in_urls_are_hidden_and_nothing_else() {
        for (text, expected) in [
            ("postgres://app:s3cret@db:5432/app", "postgres://app:…@db:5432/app"),
            ("postgres://app:s3c@ret@db/app?a=b@c", "postgres://app:…@db/app?a=b@c"),
            ("redis://:pw@cache", "redis://:…@cache"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("https://user@example.com", "https://user@example.com"),
            ("a=x://u:p@h b=y://u:q@i", "a=x://u:…@h b=y://u:…@i"),
            ("plain", "plain"),
        ] {
            assert_eq!(without_url_password(text), expected);
        }
    }

    #[test]
    fn values_to_mask_are_those_of_secret_names_and_passwords_in_urls() {
        let variables = [
            ("API_TOKEN", "t0p-secret"),
            ("BATCH", "5000"),
            ("DATABASE_URL", "postgres://app:pa55word@db/app"),
            ("PIN_KEY", "123"),
            ("SSH_KEY", "-----BEGIN-----\nabcd\n-----END-----\n"),
            ("OTHER_TOKEN", "t0p-secret"),
        ];
        let variables =
            variables.into_iter().map(|(name, value)| (name.to_owned(), Sourced::default(value.to_owned()))).collect();
        assert_eq!(secrets(&variables), ["t0p-secret", "pa55word", "-----BEGIN-----", "abcd", "-----END-----"]);
    }

    #[test]
    fn a_line_of_the_file_is_shown_without_its_secrets() {
        for (line, about, expected) in [
            (
                r#"variables = { API_TOKEN = "s3cret", BATCH = 5 }"#,
                "5",
                r#"variables = { API_TOKEN = "******", BATCH = 5 }"#,
            ),
            (
                r#"variables = { "DB-PASSWORD" = 's3', X = "y" }"#,
                "X",
                r#"variables = { "DB-PASSWORD" = '**', X = "y" }"#,
            ),
            (r#"API_KEY = "s3cr"#, "API_KEY", r#"API_KEY = "****"#),
            (r#"TOKEN = "wrong name""#, "wrong name", r#"TOKEN = "wrong name""#),
            (r#"URL = "x://u:pé@h/", comand = 1"#, "comand", r#"URL = "x://u:**@h/", comand = 1"#),
            (r#"command = ["a"]"#, "a", r#"command = ["a"]"#),
        ] {
            let start = line.find(about).unwrap();
            let shown = covered(line, start..start + about.len());
            assert_eq!(shown, expected);
            assert_eq!(shown.chars().count(), line.chars().count());
        }
    }

    #[test]
    fn a_request_is_shown_without_its_secrets() {
        let request = json!({
            "containerDefinitions": [{
                "name": "web",
                "environment": [{ "name": "API_TOKEN", "value": "t0p" }, { "name": "BATCH", "value": "5" }],
                "secrets": [{ "name": "API_KEY", "valueFrom": "/app/key" }],
                "logConfiguration": { "logDriver": "splunk", "options": { "splunk-token": "t0p" } },
                "command": ["psql", "postgres://app:t0p@db/app"],
            }],
        });
        let text = shown(&request).to_string();
        assert!(!text.contains("t0p"), "{text}");
        assert!(text.contains("/app/key") && text.contains(r#""value":"5""#), "{text}");
    }
}
