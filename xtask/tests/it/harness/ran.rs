//! What a run left: its exit code and everything that it said, to be compared whole.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;

use super::diff::diff;
use super::redact::Redactions;
use super::screen::screen;

/// The end of a run.
#[derive(Debug, Clone)]
#[must_use = "look at the exit code at least"]
pub struct Ran {
    words: Vec<OsString>,
    status: ExitStatus,
    pub took: Duration,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// What was on the terminal, where there was one, to the byte.
    pub terminal: Vec<u8>,
    redactions: Redactions,
}

impl Ran {
    pub(super) fn new(
        redactions: &Redactions,
        words: &[OsString],
        status: ExitStatus,
        took: Duration,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        terminal: Vec<u8>,
    ) -> Ran {
        Ran { words: words.to_vec(), status, took, stdout, stderr, terminal, redactions: redactions.clone() }
    }

    /// stdout as text, what differs from run to run replaced.
    pub fn stdout_text(&self) -> String {
        self.redactions.apply(&String::from_utf8_lossy(&self.stdout))
    }

    /// stderr as text, what differs from run to run replaced.
    pub fn stderr_text(&self) -> String {
        self.redactions.apply(&String::from_utf8_lossy(&self.stderr))
    }

    /// What the terminal shows at the end, line by line, what differs from run to run replaced.
    pub fn screen(&self) -> String {
        self.redactions.apply(&screen(&self.terminal))
    }

    /// The events of `--format json`, one a line on stdout.
    pub fn events(&self) -> Vec<Value> {
        let lines = String::from_utf8_lossy(&self.stdout).into_owned();
        let parsed = lines.lines().map(|it| {
            serde_json::from_str(it).unwrap_or_else(|error| panic!("not a JSON object ({error}): {it}\n{}", self.all()))
        });
        parsed.collect()
    }

    /// Everything, for the message of a test that fails.
    pub fn all(&self) -> String {
        let mut text = format!("--- {:?}: {}, {:.2} s\n", self.words, self.status, self.took.as_secs_f64());
        for (name, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr), ("terminal", &self.terminal)] {
            if !bytes.is_empty() {
                let shown = &bytes[..bytes.len().min(20_000)];
                text.push_str(&format!("--- {name}\n{}\n", String::from_utf8_lossy(shown)));
            }
        }
        text + "---"
    }

    /// Exit code, stdout and stderr, whole.
    #[track_caller]
    pub fn expect(self, code: i32, stdout: &str, stderr: &str) {
        let _ = self.code(code).stdout(stdout).stderr(stderr);
    }

    /// The exit code is this.
    #[track_caller]
    pub fn code(self, code: i32) -> Ran {
        assert!(self.status.code() == Some(code), "expected exit code {code}:\n{}", self.all());
        self
    }

    /// It was killed by this signal.
    #[track_caller]
    pub fn killed_by(self, signal: i32) -> Ran {
        assert!(self.status.signal() == Some(signal), "expected the end by signal {signal}:\n{}", self.all());
        self
    }

    /// The exit code, where it ended by itself.
    pub fn exit_code(&self) -> Option<i32> {
        self.status.code()
    }

    /// stdout is this, whole.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Ran {
        self.same("stdout", expected, &self.stdout_text());
        self
    }

    /// stderr is this, whole.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Ran {
        self.same("stderr", expected, &self.stderr_text());
        self
    }

    /// stdout is this to the byte, nothing replaced.
    #[track_caller]
    pub fn stdout_bytes(self, expected: &[u8]) -> Ran {
        if self.stdout != expected {
            let place = self.stdout.iter().zip(expected).take_while(|(a, b)| a == b).count();
            let around = |bytes: &[u8]| {
                let from = place.saturating_sub(40);
                String::from_utf8_lossy(&bytes[from..bytes.len().min(place + 40)]).into_owned()
            };
            panic!(
                "stdout differs at byte {place} ({} bytes, expected {}):\n  expected …{:?}…\n  actual   …{:?}…\n{}",
                self.stdout.len(),
                expected.len(),
                around(expected),
                around(&self.stdout),
                String::from_utf8_lossy(&self.stderr)
            );
        }
        self
    }

    /// The terminal shows this at the end, whole.
    #[track_caller]
    pub fn screen_is(self, expected: &str) -> Ran {
        self.same("the screen", expected, &self.screen());
        self
    }

    /// stderr has this somewhere.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Ran {
        assert!(self.stderr_text().contains(text), "stderr lacks `{text}`:\n{}", self.all());
        self
    }

    /// stderr has this nowhere.
    #[track_caller]
    pub fn stderr_lacks(self, text: &str) -> Ran {
        assert!(!self.stderr_text().contains(text), "stderr has `{text}`:\n{}", self.all());
        self
    }

    /// stdout has this somewhere.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Ran {
        assert!(self.stdout_text().contains(text), "stdout lacks `{text}`:\n{}", self.all());
        self
    }

    /// The terminal shows this somewhere at the end.
    #[track_caller]
    pub fn screen_has(self, text: &str) -> Ran {
        assert!(self.screen().contains(text), "the screen lacks `{text}`:\n{}", self.all());
        self
    }

    #[track_caller]
    fn same(&self, name: &str, expected: &str, actual: &str) {
        assert!(expected == actual, "{name} differs (- expected, + actual):\n{}{}", diff(expected, actual), self.all());
    }
}
