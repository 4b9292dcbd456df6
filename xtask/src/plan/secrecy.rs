//! What our own words must not show: the plan, its JSON, a dry run in a CI log. Names decide, and passwords inside URLs.

use serde_json::Value;

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

/// Hides the password of every `scheme://user:password@host` in a text.
pub fn without_url_password(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        shown.push_str(before);
        // A password may hold anything but a slash, a question mark, a hash or white space; the last `@` before those ends it.
        let end = after.find(|it: char| "/?#\"'".contains(it) || it.is_whitespace()).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                match user.split_once(':') {
                    Some((name, password)) if !password.is_empty() => {
                        shown.push_str(name);
                        shown.push(':');
                        shown.push_str(HIDDEN);
                    }
                    _ => shown.push_str(user),
                }
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
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
