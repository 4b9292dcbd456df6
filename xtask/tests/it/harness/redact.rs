//! Replaces what differs from run to run, so that whole outputs can be compared.

use std::path::Path;

use regex_lite::Regex;

/// Patterns and what they are shown as, in order.
#[derive(Debug, Clone)]
pub struct Redactions {
    patterns: Vec<(Regex, String)>,
}

impl Redactions {
    /// The test's folder, ports, ids of ECS tasks, digests and content tags, run ids, times, and seconds with a fraction.
    pub fn new(folder: &Path) -> Redactions {
        let mut redactions = Redactions { patterns: Vec::new() };
        redactions.add(&regex_lite::escape(&folder.display().to_string()), "[dir]");
        for (pattern, with) in [
            (r"\b127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
            (r"\bsha256:[0-9a-f]{64}\b", "sha256:[digest]"),
            (r"\bxtask-[0-9a-f]{12,64}\b", "xtask-[hash]"),
            (r"\b[0-9a-f]{32}\b", "[id]"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
            (r#""(build|push|queue|pull|run|stop|total)":\d+(\.\d+)?"#, "\"$1\":[seconds]"),
            (r#""timestamp":\d{13}"#, "\"timestamp\":[time]"),
            (r#""run_id":"[^"]*""#, "\"run_id\":\"[run]\""),
            (r"\brun [0-9a-z]{12}\b", "run [run]"),
            (r"\b\d+\.\d+ ?s\b", "[seconds]"),
            // What was measured can be whole seconds, too; a whole number elsewhere is a setting.
            (r"\b(after|ran) \d+s\b", "$1 [seconds]"),
        ] {
            redactions.add(pattern, with);
        }
        redactions
    }

    /// One more, after the others.
    pub fn add(&mut self, pattern: &str, with: &str) {
        let pattern = Regex::new(pattern).unwrap_or_else(|it| panic!("`{pattern}`: {it}"));
        self.patterns.push((pattern, with.to_owned()));
    }

    pub fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, with) in &self.patterns {
            text = pattern.replace_all(&text, with.as_str()).into_owned();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_replaced_and_nothing_else() {
        let redactions = Redactions::new(Path::new("/tmp/a"));
        for (text, expected) in [
            ("/tmp/a/project/tasks.toml:3", "[dir]/project/tasks.toml:3"),
            ("at http://127.0.0.1:34567/", "at http://127.0.0.1:[port]/"),
            ("task/staging/0123456789abcdef0123456789abcdef", "task/staging/[id]"),
            ("acme/app:xtask-0123456789ab", "acme/app:xtask-[hash]"),
            ("2026-11-22T12:00:00.123Z", "[time]"),
            ("after 12.3s, timeout of 15m", "after [seconds], timeout of 15m"),
            ("after 2s (ran 0s), in 4s", "after [seconds] (ran [seconds]), in 4s"),
            (r#"{"run":2.5,"run_id":"x1"}"#, r#"{"run":[seconds],"run_id":"[run]"}"#),
            ("app:12 in 111122223333", "app:12 in 111122223333"),
        ] {
            assert_eq!(redactions.apply(text), expected);
        }
    }
}
