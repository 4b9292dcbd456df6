//! README tells the truth: its tables are generated, its files parse, its commands run and print what it shows.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use xtask::config::{self, Key, Layer};
use xtask::flags::Cli;
use xtask::model::Source;

use crate::harness::Folder;
use crate::real;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// A fenced block: its language and its text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, body)), None) => writeln!(body, "{line}").unwrap(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Holds the text between `<!-- name -->` and `<!-- /name -->` against what it must be. UPDATE_EXPECT=1 writes it.
fn section(name: &str, expected: &str) {
    let path = root().join("README.md");
    let text = readme();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("README has no {begin}")) + begin.len();
    let to = from + text[from..].find(&end).unwrap_or_else(|| panic!("README has no {end}"));
    if text[from..to] == *expected {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, format!("{}{expected}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    panic!("README's section `{name}` is not up to date; UPDATE_EXPECT=1 rewrites it to:\n{expected}");
}

/// One test for all, because they rewrite the same file.
#[test]
fn the_tables_are_those_of_the_code() {
    let cli = Cli::description();
    let mut commands = "| command | does |\n|---|---|\n".to_owned();
    for verb in cli.get_subcommands().filter(|it| !it.is_hide_set()) {
        let arguments: String = verb
            .get_positionals()
            .map(|it| {
                let names = it.get_value_names().unwrap_or_default();
                if it.is_last_set() {
                    " [-- ARGS…]".to_owned()
                } else if matches!(it.get_action(), clap::ArgAction::Append) {
                    format!(" [{}…]", names.first().map(ToString::to_string).unwrap_or_default())
                } else {
                    format!(" {}", it.get_id().as_str().to_uppercase())
                }
            })
            .collect();
        let about = verb.get_about().unwrap().to_string();
        writeln!(commands, "| `{}{arguments}` | {about} |", verb.get_name()).unwrap();
    }
    section("commands", &commands);
    section("run", &flags(cli.find_subcommand("run").unwrap()));
    section("everywhere", &flags(&cli));
    section("exit-codes", &exit_codes());
    section("keys", &keys());
}

fn flags(command: &clap::Command) -> String {
    let mut table = "| flag | does |\n|---|---|\n".to_owned();
    for flag in command.get_arguments().filter(|it| it.get_long().is_some()) {
        let short = flag.get_short().map(|it| format!("-{it}, ")).unwrap_or_default();
        let value = flag.get_value_names().filter(|_| flag.get_action().takes_values()).unwrap_or_default();
        let value: String = value.iter().map(|it| format!(" {it}")).collect();
        let help = flag.get_help().unwrap().to_string().replace('|', "\\|");
        writeln!(table, "| `{short}--{}{value}` | {help} |", flag.get_long().unwrap()).unwrap();
    }
    table
}

fn exit_codes() -> String {
    let mut table = "| code | means |\n|---|---|\n".to_owned();
    for (code, meaning) in xtask::verb::help::exit_codes() {
        writeln!(table, "| {code} | {meaning} |").unwrap();
    }
    table
}

fn keys() -> String {
    let mut text = String::new();
    let part = |title: &str, wanted: &dyn Fn(&Key) -> bool| {
        let mut table = format!("**{title}**\n\n| key | takes | does |\n|---|---|---|\n");
        for key in config::keys().iter().filter(|it| wanted(it)) {
            writeln!(table, "| `{}` | {} | {} |", key.name, key.takes, key.about).unwrap();
        }
        table.push('\n');
        table
    };
    let only = |layer: Layer| move |key: &Key| key.layers == [layer];
    text.push_str(&part("The top of the file", &only(Layer::Root)));
    text.push_str(&part("`[images.X]`", &|it| it.layers.contains(&Layer::Image)));
    text.push_str(&part("`[tasks.X]` only", &only(Layer::Task)));
    text.push_str(&part("`[environments.X]` and `[defaults]` only", &|it| {
        it.layers.contains(&Layer::Environment) && !it.layers.contains(&Layer::Task)
    }));
    text.push_str(&part("`[environments.X]`, `[tasks.X]`, `[tasks.X.on.ENV]` and `[defaults]`", &|it| {
        it.layers.contains(&Layer::Environment) && it.layers.contains(&Layer::Task)
    }));
    text.push_str(&part("`logs`", &|it| it.layers.contains(&Layer::Logs)));
    text.push_str(&part("`retry`", &|it| it.layers.contains(&Layer::Retry)));
    text
}

#[test]
fn every_tasks_file_parses() {
    let mut n_files = 0;
    for (language, text) in blocks(&readme()) {
        // Manifests of cargo say so in their first line.
        if language != "toml" || text.starts_with("# Cargo.toml") || text.starts_with("# xtask/Cargo.toml") {
            continue;
        }
        config::parse(&Arc::new(Source { path: "README.md".to_owned(), text })).unwrap();
        n_files += 1;
    }
    assert!(n_files > 0, "README shows no tasks.toml");
}

#[test]
fn the_json_is_json() {
    for (_, text) in blocks(&readme()).iter().filter(|it| it.0 == "json") {
        serde_json::from_str::<serde_json::Value>(text).unwrap();
    }
}

/// cargo compiles the example.
#[test]
fn the_rust_is_the_example() {
    let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own_xtask.rs")).unwrap();
    let blocks = blocks(&readme());
    let rust: Vec<&str> = blocks.iter().filter(|it| it.0 == "rust").map(|it| it.1.as_str()).collect();
    assert_eq!(rust.len(), 1);
    assert!(example.ends_with(rust[0]), "examples/own_xtask.rs is to end with README's block");
}

/// The commands that a reader can type anywhere are run here; those of the emulator and of taking the tool in have tests of their own.
#[test]
fn the_commands_print_what_it_shows() {
    let folder = Folder::new();
    let mut n_run = 0;
    for (_, text) in blocks(&readme()).iter().filter(|it| it.0 == "console") {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").expect("a console block begins with a command");
            let mut shown = String::new();
            while let Some(line) = lines.next_if(|it| !it.starts_with("$ ")) {
                writeln!(shown, "{line}").unwrap();
            }
            let Some(arguments) = command.strip_prefix("cargo xtask") else { continue };
            let printed = run(&folder, arguments);
            assert_eq!(redacted(&printed), redacted(&shown), "$ {command}\n{printed}");
            n_run += 1;
        }
    }
    assert!(n_run >= 4, "README shows {n_run} commands");
}

/// The emulator is another one, on another port; the lines are README's.
#[test]
fn the_emulators_commands_run_the_whole_way() {
    let Some(url) = real::ministack() else { return };
    let readme = readme();
    let section =
        readme.split("## The whole way without an AWS account").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = blocks(section);
    let line = |wanted: &str| {
        let lines = blocks.iter().filter(|it| it.0 == "console").flat_map(|it| it.1.lines());
        let found = lines.filter_map(|it| it.strip_prefix("$ ")).find(|it| it.contains(wanted));
        found.unwrap_or_else(|| panic!("README has no command with {wanted}")).replace("http://127.0.0.1:4566", &url)
    };
    // The repository, but for the port in tasks.toml.
    let folder = Folder::new();
    let host = url.strip_prefix("http://").unwrap();
    let tasks = fs::read_to_string(root().join("tasks.toml")).unwrap().replace("127.0.0.1:4566", host);
    fs::write(folder.path().join("tasks.toml"), tasks).unwrap();
    for name in ["examples", "target", "xtask", ".cargo", "Cargo.toml", "Cargo.lock"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    let run = |line: &str| {
        let line = line.replace("cargo xtask", env!("CARGO_BIN_EXE_xtask"));
        let mut command = Command::new("sh");
        command.args(["-c", &line]).current_dir(folder.path()).env_remove("GITHUB_ACTIONS").stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "$ {line}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&line("curl "));
    let printed = run(&line("-e emulator"));
    let shown = &blocks.iter().find(|it| it.0 == "text").unwrap().1;
    let shown: String = shown.lines().filter(|it| !it.starts_with(' ')).map(|it| format!("{it}\n")).collect();
    assert_eq!(printed, shown);
}

/// Runs the binary as `cargo xtask` would, in the repository, with both streams in one.
fn run(folder: &Folder, arguments: &str) -> String {
    let broken = "[environments.local]\nrunner = \"host\"\n\n[tasks.db-migrate]\ndescription = \"Migrate\"\ncomand = [\"bin/migrate\"]\n";
    fs::write(folder.path().join("broken.toml"), broken).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let in_repository = !arguments.contains("broken.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(arguments.split_whitespace())
        .current_dir(if in_repository { root() } else { folder.path().to_owned() })
        .env("GUESTBOOK_DATABASE", folder.path().join("guestbook.sqlite3"))
        .env_remove("XTASK_ENV")
        .env_remove("CI")
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut reader, &mut printed).unwrap();
    child.wait().unwrap();
    printed
}

/// Without what differs from run to run: run ids and times.
fn redacted(text: &str) -> String {
    let mut redacted = String::new();
    for line in text.lines() {
        let line = match line.split_once("; run ") {
            Some((before, _)) => format!("{before}; run ID"),
            None => line.to_owned(),
        };
        let line = match line.split_once(" after ") {
            Some((before, _)) if line.trim_start().starts_with("Finished") => format!("{before} after TIME"),
            _ => line,
        };
        writeln!(redacted, "{line}").unwrap();
    }
    redacted
}
