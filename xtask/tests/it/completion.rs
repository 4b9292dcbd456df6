//! Completion in the shells themselves, at a terminal: words and Tab are typed, and what the shell then runs is what counts.

use crate::harness::{Terminal, Test, find_program, has_terminal};

const TASKS: &str = r#"
[environments.local]
runner = "host"
[environments.staging]
runner = "host"
[environments.production]
runner = "host"
[tasks.db-migrate]
description = "Apply pending database migrations"
command = ["a"]
[tasks.db-backup]
command = ["a"]
environments = ["production"]
[tasks.console]
command = ["a"]
"#;

/// The programs that a shell's own start needs.
const PROGRAMS: &[&str] = &["sed", "seq", "cat", "uname", "stty", "tput", "hostname"];

#[derive(Clone, Copy, Debug)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        }
    }

    /// Without the machine's own start-up files.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Shell::Bash => &["--norc", "--noprofile", "-i"],
            Shell::Zsh => &["-f", "-i"],
            Shell::Fish => &["--no-config", "-i"],
        }
    }

    /// What a user has in the start-up file, and a prompt that says that it is done.
    fn start(self) -> &'static str {
        match self {
            Shell::Bash => "bind 'set bell-style none'; source <(xtask-built completions bash); PS1='re''ady> '\n",
            Shell::Zsh => {
                "unsetopt beep; autoload -U compinit; compinit -u; source <(xtask-built completions zsh); PS1='re''ady> '\n"
            }
            Shell::Fish => {
                "function fish_prompt; printf '%s> ' rea''dy; end; xtask-built completions fish | source; echo so''urced\n"
            }
        }
    }
}

/// A project whose binary is built, and a cargo that tells what it was called with. `None`: the machine has no such shell.
fn world(shell: Shell) -> Option<Test> {
    if !has_terminal() {
        return None;
    }
    if find_program(shell.name()).is_none() {
        crate::real::skipped(&format!("no {}", shell.name()));
        return None;
    }
    let built = env!("CARGO_BIN_EXE_xtask");
    let test = Test::new()
        .tasks(TASKS)
        .program("cargo", "echo \"$*\" >> \"$HOME/calls\"")
        .program("xtask-built", &format!("exec {built} \"$@\""));
    for name in PROGRAMS.iter().chain([&shell.name()]) {
        test.real_program(name);
    }
    let folder = test.project().join("target/xtask");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(built, folder.join("xtask")).unwrap();
    std::fs::create_dir_all(test.project().join("deep/er")).unwrap();
    Some(test.env("SHELL", shell.name()).instead(shell.name()))
}

/// Types each line and Enter in a new shell; gives what cargo was called with, and what the terminal showed meanwhile.
fn typed(shell: Shell, folder: &str, lines: &[&str]) -> Option<(Vec<String>, String)> {
    let test = world(shell)?;
    let running = test.command(shell.arguments()).folder(folder).terminal_of(Terminal::All, 200, 50).start();
    running.types(shell.start());
    running.wait_for_stdout(if matches!(shell, Shell::Fish) { "sourced" } else { "ready> " });
    for (index, line) in lines.iter().enumerate() {
        // A shell takes its keys one after the other, however fast they come.
        running.types(line);
        running.types(&format!("; echo don''e {index}\n"));
        running.wait_for_stdout(&format!("done {index}"));
    }
    running.types("exit\n");
    let ran = running.finish();
    let calls = std::fs::read_to_string(test.home().join("calls")).unwrap_or_default();
    Some((calls.lines().map(|it| it.trim().to_owned()).collect(), String::from_utf8_lossy(&ran.terminal).into_owned()))
}

fn completes(shell: Shell) {
    let lines = [
        "cargo xta\tru\tdb-m\t-e st\t",
        "cargo xtask run con\t--env pro\t--dry-r\t",
        "cargo xtask run db-b\t--env=pro\t",
        // Where it may not run it is not offered.
        "cargo xtask run -e staging db-\t",
        "cargo xtask comp\tfi\t",
        "cargo xtask help exit\t",
        "cargo xtask --format js\tlist",
        // The task's own arguments are none of ours.
        "cargo xtask run console -- db-m\t",
    ];
    let Some((calls, _)) = typed(shell, ".", &lines) else { return };
    let expected = [
        "xtask run db-migrate -e staging",
        "xtask run console --env production --dry-run",
        "xtask run db-backup --env=production",
        "xtask run -e staging db-migrate",
        "xtask completions fish",
        "xtask help exit-codes",
        "xtask --format json list",
        "xtask run console -- db-m",
    ];
    assert_eq!(calls, expected, "{shell:?}");

    // From a folder below, and where more than one fits: what they are is shown.
    let line = match shell {
        Shell::Bash => "cargo xtask run d\t\t\tm\t",
        Shell::Zsh => "cargo xtask run d\t\tm\t",
        Shell::Fish => "cargo xtask run d\tm\t",
    };
    let (calls, shown) = typed(shell, "deep/er", &[line]).expect("it was there before");
    assert_eq!(calls, ["xtask run db-migrate"], "{shell:?}:\n{shown}");
    assert!(shown.contains("db-backup"), "{shell:?}:\n{shown}");
    let describes = matches!(shell, Shell::Zsh | Shell::Fish);
    assert!(!describes || shown.contains("Apply pending database migrations"), "{shell:?}:\n{shown}");
}

#[test]
fn bash_completes() {
    completes(Shell::Bash);
}

#[test]
fn zsh_completes() {
    completes(Shell::Zsh);
}

#[test]
fn fish_completes() {
    completes(Shell::Fish);
}

/// Every other word of cargo belongs to the completion that was there before; bash's is found in a function.
#[test]
fn other_words_of_cargo_are_completed_as_before() {
    for (shell, before) in [
        (Shell::Bash, "before() { COMPREPLY=(build-by-others); }; complete -F before cargo\n"),
        (
            Shell::Zsh,
            "autoload -U compinit; compinit -u; before() { compadd build-by-others; }; compdef before cargo\n",
        ),
        (Shell::Fish, "complete -c cargo -f -a build-by-others\n"),
    ] {
        let Some(test) = world(shell) else { return };
        let running = test.command(shell.arguments()).terminal_of(Terminal::All, 200, 50).start();
        running.types(before);
        // In zsh without a second compinit, which would forget.
        running.types(&shell.start().replace("autoload -U compinit; compinit -u;", ""));
        running.wait_for_stdout(if matches!(shell, Shell::Fish) { "sourced" } else { "ready> " });
        for line in ["cargo bui\t", "cargo xtask run db-mi\t"] {
            running.types(line);
            running.types(&format!("; echo don''e {}\n", line.len()));
            running.wait_for_stdout(&format!("done {}", line.len()));
        }
        running.types("exit\n");
        let ran = running.finish();
        let calls = std::fs::read_to_string(test.home().join("calls")).unwrap_or_default();
        let calls: Vec<&str> = calls.lines().map(str::trim).collect();
        assert_eq!(calls, ["build-by-others", "xtask run db-migrate"], "{shell:?}:\n{}", ran.screen());
    }
}
