//! The process behind a session: on a real pseudo-terminal of its own, as the agent starts it.

use std::fs::{File, OpenOptions};
use std::process::{Child, Stdio};

use crate::harness::find_program;

/// A process and the other end of its terminal.
#[derive(Debug)]
pub struct Pty {
    pub child: Child,
    pub master: File,
}

/// The words of a command, by the rules of a shell without variables: the agent runs none.
pub fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => {
                let _ = rest.by_ref().find(|it| *it == '\n');
            }
            '\'' => word.get_or_insert_default().extend(rest.by_ref().take_while(|it| *it != '\'')),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(character) = rest.next() {
                    match character {
                        '"' => break,
                        '\\' => word.extend(rest.next()),
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(rest.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Starts the words on a terminal without a size, as the agent does. The error is the agent's text.
pub fn start(words: &[String], no_shell: bool) -> Result<Pty, String> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let program = words.first().map(String::as_str).unwrap_or_default();
    let found = find_program(program).filter(|_| !(no_shell && program == "sh"));
    let Some(found) = found else {
        return Err(format!(
            "----------ERROR-------\nUnable to start command: Failed to start pty: fork/exec {program}: no such file or directory"
        ));
    };
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a pseudo-terminal can be had");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let slave =
        OpenOptions::new().read(true).write(true).open(name.to_str().expect("ASCII")).expect("it can be opened");
    let end = || Stdio::from(slave.try_clone().expect("a file can be cloned"));
    #[expect(clippy::disallowed_methods, reason = "the process behind the fake gateway")]
    let mut command = std::process::Command::new(find_program("setsid").expect("has_terminal() was asked"));
    command.arg("--ctty").arg(found).args(&words[1..]).stdin(end()).stdout(end()).stderr(end()).env_clear();
    command
        .env("TERM", "xterm-256color")
        .env("LANG", "C.UTF-8")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("PS1", "$ ").env("HOME", "/nonexistent").current_dir("/");
    let child = command.spawn().expect("it can be started");
    Ok(Pty { child, master: File::from(master) })
}

#[test]
fn commands_are_split_as_a_shell_would() {
    for (text, words) in [
        ("sh -c 'echo \"a b\"'", &["sh", "-c", "echo \"a b\""][..]),
        ("echo hello && echo two", &["echo", "hello", "&&", "echo", "two"]),
        (r#"a\ b "c \" d" '' # no"#, &["a b", "c \" d", ""]),
    ] {
        assert_eq!(split(text), words);
    }
}
