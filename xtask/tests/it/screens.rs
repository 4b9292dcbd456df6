//! What a person sees: screens of a real terminal (tmux) at 80 columns, kept as expectations, and looks at others at 60 and 200, without
//! colours and on a dumb one.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::ecs;
use crate::expect;
use crate::fake::{Fake, Life};
use crate::harness::{Test, find_program};
use crate::real;

/// A terminal with one command in it; ended with the test.
struct Tmux<'a> {
    test: &'a Test,
    socket: String,
}

impl<'a> Tmux<'a> {
    /// Starts the binary with these words; `None`: the machine has no tmux.
    fn start(test: &'a Test, columns: u16, variables: &[(&str, &str)], words: &str) -> Option<Tmux<'a>> {
        if find_program("tmux").is_none() {
            real::skipped("no tmux");
            return None;
        }
        let script = test.home().join("run.sh");
        let quoted = |value: &str| format!("'{}'", value.replace('\'', r"'\''"));
        let exports: String =
            test.variables().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        let more: String = variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        let binary = env!("CARGO_BIN_EXE_xtask");
        // What is typed stands above, as in a shell. The pane stays alive: tmux may lose what a process wrote just before its end.
        let text = format!(
            "cd {}\nprintf '$ cargo xtask %s\\n' {}\n{exports}{more}{binary} {words}\nprintf '[%s]\\n' $?\nexec /bin/sleep 60\n",
            quoted(&test.project().display().to_string()),
            quoted(words)
        );
        fs::write(&script, text).unwrap();
        let tmux = Tmux { test, socket: test.home().join("tmux").display().to_string() };
        let size = columns.to_string();
        let shell = format!("sh {}", script.display());
        let output = tmux.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &size, "-y", "60", &shell]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(tmux)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        command.env("TERM", "xterm-256color").output().unwrap()
    }

    /// What is on it; `with_colours`: escape sequences too.
    fn shown(&self, with_colours: bool) -> String {
        let arguments: &[&str] = if with_colours {
            &["capture-pane", "-p", "-e", "-S", "-"]
        } else {
            &["capture-pane", "-p", "-J", "-S", "-"]
        };
        String::from_utf8(self.tmux(arguments).stdout).unwrap()
    }

    /// Waits until it shows this.
    fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |it| it.contains(text))
    }

    /// Waits until this holds of what it shows.
    fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let shown = self.shown(false);
            if holds(&shown) {
                return shown;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "the screen never shows `{what}`:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the command's end, with this exit code.
    fn end(&self, code: i32) -> String {
        self.wait_for(&format!("\n[{code}]\n"))
    }

    /// The screen as the tests keep it: what differs from run to run by something as long, lines broken as the terminal breaks them.
    fn kept(&self, shown: &str, columns: usize) -> String {
        let mut lines = String::new();
        let (shown, _) = shown.rsplit_once("]\n").expect("the exit code is on the screen");
        for line in format!("{shown}]").lines().map(str::trim_end) {
            // Which of the statuses on their way are seen depends on the machine.
            if line.starts_with("      Status ") && !line.ends_with(" RUNNING") {
                continue;
            }
            let line = self.test.redacted(line);
            let characters: Vec<char> = line.chars().collect();
            if characters.is_empty() {
                lines.push('\n');
            }
            for row in characters.chunks(columns) {
                lines.push_str(row.iter().collect::<String>().trim_end());
                lines.push('\n');
            }
        }
        lines.trim_end().to_owned() + "\n"
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// A world whose ids and times are as long as real ones.
fn world(fake: &Fake) -> Test {
    let same = |from: &str| "0".repeat(from.len());
    ecs::project(fake)
        .tasks(&format!(
            "{}\n[tasks.db-backup]\ndescription = \"Take a snapshot of the database\"\ncommand = [\"bin/backup\"]\n\
             environments = [\"staging\"]\n[environments.local]\nrunner = \"host\"\n[tasks.hello]\ndescription = \"Say hello\"\n\
             command = [\"/bin/sh\", \"-c\", \"echo hello\"]\nenvironments = [\"local\"]\n",
            ecs::TASKS.replace("command = [\"bin/migrate\"]", "description = \"Apply pending database migrations\"\ncommand = [\"bin/migrate\"]")
        ))
        .redact(r"\[id\]", &same("0123456789abcdef0123456789abcdef"))
        .redact(r"xtask-\[hash\]", "xtask-0123456789abcdef")
        .redact(r"\[digest\]", &"0".repeat(64))
        .redact(r"(after|ran|total) +(\[seconds\]|(\d+m)?\d+s)", "$1 1.0s")
}

/// Starts, waits for the end and compares; nothing where there is no tmux.
fn screen(name: &str, test: &Test, variables: &[(&str, &str)], words: &str, code: i32) {
    let Some(tmux) = Tmux::start(test, 80, variables, words) else { return };
    let shown = tmux.end(code);
    expect::file(&format!("screens/{name}.txt"), &tmux.kept(&shown, 80));
}

#[test]
fn list() {
    let fake = ecs::account();
    screen("list", &world(&fake), &[], "list", 0);
}

#[test]
fn a_run_on_a_terminal_while_it_runs_and_at_its_end() {
    let fake = ecs::account().task_life(Life::prints(["== CreateUsers: migrating"]).unhurried().runs(120_000));
    let test = world(&fake);
    let Some(tmux) = Tmux::start(&test, 80, &[], "run db-migrate -e staging --run-id r1 --timings") else { return };
    let shown = tmux.wait_for("RUNNING");
    let status = shown.lines().filter(|it| it.contains("RUNNING")).count();
    assert_eq!(status, 1, "the status is one line that is drawn again:\n{shown}");
    let shown = tmux.end(0);
    assert!(!shown.contains("RUNNING"), "the status line is gone at the end:\n{shown}");
    // Bars and their numbers are measured.
    let kept: String = tmux
        .kept(&shown, 80)
        .lines()
        .map(|it| match it.trim_start().split(' ').next() {
            Some(part @ ("build" | "push" | "queue" | "pull" | "run" | "stop")) => format!("             {part} …\n"),
            _ => format!("{it}\n"),
        })
        .collect();
    expect::file("screens/run.txt", &kept);
}

#[test]
fn a_run_in_ci() {
    let fake = ecs::account().task_life(Life::prints(["== CreateUsers: migrating"]).unhurried());
    let test = world(&fake);
    // stderr of a CI job is no terminal.
    let Some(tmux) = Tmux::start(&test, 80, &[("CI", "true")], "run db-migrate -e staging --run-id r1 2>&1 | /bin/cat")
    else {
        return;
    };
    let shown = tmux.end(0);
    expect::file("screens/ci.txt", &tmux.kept(&shown, 80));
}

#[test]
fn failures() {
    let life = Life::prints(["== CreateUsers: migrating", "PG::UndefinedTable: relation \"users\" does not exist"]);
    let fake = ecs::account().task_life(life.exits(1).unhurried());
    screen("failure", &world(&fake), &[], "run db-migrate -e staging --run-id r1", 1);
    let fake = ecs::account();
    let test = world(&fake);
    test.write("tasks.toml", &ecs::TASKS.replace("cluster =", "clutser ="));
    screen("broken", &test, &[], "run db-migrate -e staging --run-id r1", 2);
    let never = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref";
    let fake = ecs::account().task_life(Life::never_starts(never).unhurried());
    screen("never-started", &world(&fake), &[], "run db-migrate -e staging --run-id r1", 125);
}

#[test]
fn ps() {
    let fake = ecs::account().task_life(Life::prints(["x"]).runs_forever());
    let test = world(&fake).redact(r"\d+[smh]( ?\d+[ms])? ago", "1s ago");
    let _ = test.run("run db-migrate -e staging --run-id r1 --detach").code(0);
    let _ = test.run("run db-backup -e staging --run-id r2 --detach").code(0);
    fake.advance(60_000);
    screen("ps", &test, &[], "ps -e staging", 0);
}

#[test]
fn a_dry_run() {
    let fake = ecs::account();
    screen("dry-run", &world(&fake), &[], "run db-migrate -e staging --run-id r1 --dry-run", 0);
    assert_eq!((fake.count("RunTask"), fake.count("RegisterTaskDefinition")), (0, 0));
}

#[test]
fn a_run_on_this_machine_and_help() {
    let fake = ecs::account();
    screen("host", &world(&fake), &[], "run hello -e local --run-id r1", 0);
    let test = world(&fake);
    let Some(tmux) = Tmux::start(&test, 80, &[], "run -h") else { return };
    let shown = tmux.end(0);
    assert!(shown.lines().all(|it| it.trim_end().chars().count() <= 80), "{shown}");
    assert!(shown.contains("\nExamples:\n  cargo xtask run db-migrate -e staging\n"), "{shown}");
}

/// No line of the status is longer than the terminal, however narrow: it would be drawn below itself again and again.
#[test]
fn narrow_and_wide_terminals() {
    for columns in [60, 200] {
        let fake = ecs::account().task_life(Life::prints(["== CreateUsers: migrating"]).unhurried().runs(300_000));
        let test = world(&fake);
        let Some(tmux) = Tmux::start(&test, columns, &[], "run db-migrate -e staging --run-id r1") else { return };
        // Once, and again after it was drawn anew: which seconds are seen depends on the machine.
        let status = |shown: &str| -> Vec<String> {
            shown.lines().filter(|it| it.contains("Status RUNNING")).map(str::to_owned).collect()
        };
        let shown = tmux.wait_for("Status RUNNING");
        let first = status(&shown);
        assert_eq!(first.len(), 1, "{columns} columns:\n{shown}");
        let shown = tmux.wait_until("another status", |it| !status(it).is_empty() && status(it) != first);
        assert_eq!(status(&shown).len(), 1, "{columns} columns:\n{shown}");
        let shown = tmux.end(0);
        let kept = tmux.kept(&shown, usize::from(columns));
        expect::file(&format!("screens/run-{columns}.txt"), &kept);
    }
}

/// Colours only where the terminal and the user want them; nothing is drawn again where that cannot be.
#[test]
fn colours_and_terminals_without_them() {
    const ESCAPE: char = '\u{1b}';
    for (variables, words, coloured, redrawn) in [
        (&[][..], "", true, true),
        (&[("NO_COLOR", "1")], "", false, true),
        (&[("TERM", "dumb")], "", false, false),
        (&[], " --plain", false, false),
        (&[("CLICOLOR_FORCE", "1")], " 2>&1 | /bin/cat", true, false),
        (&[], " 2>&1 | /bin/cat", false, false),
    ] {
        let fake = ecs::account().task_life(Life::prints(["out"]).unhurried());
        let test = world(&fake).env("TERM", "xterm-256color");
        let words = format!("run db-migrate -e staging --run-id r1{words}");
        let Some(tmux) = Tmux::start(&test, 80, variables, &words) else { return };
        tmux.end(0);
        let shown = tmux.shown(true);
        let verb = shown.lines().find(|it| it.contains("Finished")).expect("it has finished");
        assert_eq!(verb.contains(ESCAPE), coloured, "{variables:?} {words}\n{shown}");
        // Where no line is drawn again, each status is a line of its own.
        assert_eq!(shown.contains(" RUNNING"), !redrawn, "{variables:?} {words}\n{shown}");
    }
}

#[test]
fn check() {
    let fake = ecs::account();
    screen("check", &world(&fake), &[], "check -e staging", 1);
}
