//! What it costs to compile the tool once: a cold build as `cargo xtask` makes it, beside one of the same sources whose dependencies have
//! their default features, in cargo's own dev profile. CPU seconds, because they are the same on a busy machine and on one with
//! more cores. Takes minutes, and fetches the crates that only the other side has.
//!
//!     cargo bench --profile xtask --package xtask --bench build

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and times processes from outside"
)]

#[expect(dead_code, reason = "nothing here is measured more than once")]
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One side.
struct Side {
    /// Where cargo is run.
    folder: PathBuf,
    /// For cargo build.
    profile: &'static str,
    /// Where the binary lies in the target folder.
    place: &'static str,
}

/// What a side cost.
struct Cost {
    cpu: f64,
    crates: usize,
    target: u64,
    binary: u64,
}

fn main() {
    let scratch = std::env::temp_dir().join(format!("xtask-bench-build-{}", std::process::id()));
    fs::create_dir_all(&scratch).expect("a temporary folder");
    let plain = scratch.join("plain");
    write_plain(&plain);
    let sides = [
        Side { folder: page::root(), profile: "xtask", place: "xtask/xtask" },
        Side { folder: plain, profile: "dev", place: "debug/xtask" },
    ];
    for side in &sides {
        run(side, &["fetch"]);
    }
    let [ours, plain] = sides.map(|side| cost(&side, &scratch.join(format!("target-{}", side.profile))));
    fs::remove_dir_all(&scratch).expect("the temporary folder is ours");

    let mega = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
    let row = |name: &str, it: &Cost| {
        vec![name.to_owned(), format!("{:.0}", it.cpu), it.crates.to_string(), mega(it.target), mega(it.binary)]
    };
    let ratio = |a: f64, b: f64| format!("{:.2}", a / b);
    let rows = [
        row("as `cargo xtask` builds it", &ours),
        row("default features, default dev profile", &plain),
        vec![
            "**ratio**".to_owned(),
            format!("**{}**", ratio(ours.cpu, plain.cpu)),
            ratio(ours.crates as f64, plain.crates as f64),
            ratio(ours.target as f64, plain.target as f64),
            ratio(ours.binary as f64, plain.binary as f64),
        ],
    ];
    let table = page::table(&["a cold build", "CPU s", "crates", "target, MB", "binary, MB"], &rows);
    let text = format!(
        "`cargo bench --profile xtask --package xtask --bench build`: the same sources twice, one after the other; the second with every \
         `default-features = false` taken out of xtask/Cargo.toml, and without .cargo/config.toml. User and system time of cargo and all \
         that it starts; {}\n\n{table}",
        page::setting()
    );
    println!("{text}");
    page::write("build", &text);
}

/// A package of the same sources and the same direct dependencies, with their default features and no profile of its own. It has our
/// lock file, so that what both sides have is of the same version.
fn write_plain(folder: &Path) {
    copy(&page::root().join("xtask/src"), &folder.join("src"));
    fs::copy(page::root().join("xtask/tasks.schema.json"), folder.join("tasks.schema.json")).expect("it is there");
    let manifest = fs::read_to_string(page::root().join("xtask/Cargo.toml")).expect("there is a manifest");
    // Benchmarks and tests are not built by `cargo build`.
    let (kept, _) = manifest.split_once("[dev-dependencies]").expect("tests have dependencies");
    let kept = kept.replace("default-features = false, ", "").replace(", default-features = false", "");
    assert!(!kept.contains("default-features"), "a dependency is written in another way");
    fs::write(folder.join("Cargo.toml"), format!("{kept}\n[workspace]\nresolver = \"3\"\n")).expect("it is ours");
    fs::copy(page::root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("there is a lock file");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary folder is writable");
    for entry in fs::read_dir(from).expect("the sources can be read").flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("the temporary folder is writable")),
        }
    }
}

fn cost(side: &Side, target: &Path) -> Cost {
    let target_text = target.to_str().expect("a temporary folder's name");
    let build = ["build", "--quiet", "--profile", side.profile, "--package", "xtask", "--target-dir", target_text];
    let cpu = run(side, &build);
    let tree = ["tree", "--package", "xtask", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let output = cargo(side, &tree).output().expect("cargo is on PATH");
    assert!(output.status.success(), "cargo tree failed");
    let crates: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|it| it.trim_end_matches(" (*)").trim_end_matches(" (proc-macro)").to_owned())
        .collect();
    let binary = fs::metadata(target.join(side.place)).expect("it was built").len();
    let cost = Cost { cpu, crates: crates.len(), target: size(target), binary };
    fs::remove_dir_all(target).expect("the temporary folder is ours");
    cost
}

/// Runs cargo to its end and gives the CPU seconds of it and its children: the second line of what a shell's `times` prints.
fn run(side: &Side, arguments: &[&str]) -> f64 {
    let cargo = cargo(side, arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" >&2 || exit; times", "sh"]).arg(cargo.get_program()).args(cargo.get_args());
    shell.current_dir(&side.folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell.output().expect("there is a shell");
    assert!(output.status.success(), "cargo {arguments:?} failed");
    let text = String::from_utf8_lossy(&output.stdout);
    let children = text.lines().last().unwrap_or_default();
    let seconds = |it: &str| -> Option<f64> {
        let (minutes, seconds) = it.trim_end_matches('s').split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.replace(',', ".").parse::<f64>().ok()?)
    };
    children.split_whitespace().map(|it| seconds(it).expect("`times` prints minutes and seconds")).sum()
}

/// cargo as from a terminal: without what the cargo that runs this has set, and without what would compile in another way.
fn cargo(side: &Side, arguments: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(&side.folder);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let own = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
        let compiles_otherwise = ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"].contains(&text.as_ref());
        if compiles_otherwise || (text.starts_with("CARGO") && !own.iter().any(|it| text.starts_with(it))) {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn size(folder: &Path) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(folder).expect("it can be read").flatten() {
        let metadata = entry.metadata().expect("nothing changes it");
        total += if metadata.is_dir() { size(&entry.path()) } else { metadata.len() };
    }
    total
}
