//! The house rules that a compiler does not hold: floors, who may touch what, how files begin, reasons beside dependencies. Reads the
//! sources as text, tests and comments left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the lowest. A module uses lower floors, and its own where that makes no circle.
const FLOORS: &[&[&str]] = &[
    // Words.
    &["model", "event", "error"],
    // Decisions.
    &[
        "config",
        "resolve",
        "fingerprint",
        "plan",
        "ours",
        "exclusive",
        "follow",
        "session",
        "verdict",
        "hints",
        "permissions",
        "retention",
        "retry",
        "checks",
        "shards",
    ],
    // Effects.
    &["aws", "tools", "ui", "context"],
    // Stages.
    &["cx", "stage", "console"],
    // Verbs. `lib` is the front door, `main` the binary.
    &["flags", "verb", "lib", "main"],
];

/// What may stand only where: a text, the places (a folder of `src`, or a file), and why.
const ONLY_IN: &[(&[&str], &[&str], &str)] = &[
    (&["aws_sdk_"], &["aws/"], "the SDK's types stay behind `aws`"),
    (
        &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        &["ui/"],
        "stages emit events, `ui` prints; a macro panics when its stream is closed",
    ),
    // Children's output is passed on where they are watched.
    (&["io::stdout()", "io::stderr()"], &["ui/", "tools/"], "`ui` owns both streams"),
    (&["process::exit", "process::abort"], &["main.rs"], "whoever exits elsewhere leaves children and locks behind"),
    (
        &["tokio::process", "process::Command", "Command::new", ".spawn()?", "CommandExt"],
        &["tools/"],
        "every child process is started where its group, its variables and its signals are looked after",
    ),
    (&["tokio::signal"], &["tools/"], "signals come from one place"),
];

/// What decisions and words know nothing of.
const NOT_BELOW_EFFECTS: &[&str] = &[
    "tokio",
    "xshell",
    "aws_sdk_",
    "aws_config",
    "aws_smithy_",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder, sorted, by their path from it.
fn rust_files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("the folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let name = path.strip_prefix(folder).expect("it is in there").display().to_string();
                found.insert(name, fs::read_to_string(path).expect("a source is UTF-8"));
            }
        }
    }
    found
}

/// The sources of the crate as they are shipped: without tests and comments.
fn shipped() -> BTreeMap<String, String> {
    let files = rust_files(&root().join("src"));
    let tests = |name: &str| name.split('/').any(|it| it == "tests" || it == "tests.rs");
    files.into_iter().filter(|(name, _)| !tests(name)).map(|(name, text)| (name, code(&text))).collect()
}

/// A source without comments and without what is compiled for tests only.
fn code(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        if bare.starts_with("#[cfg(test)]") {
            // The item behind it ends with its line, or with the bracket that stands as far in as it does.
            let item = lines.by_ref().find(|it| !it.trim_start().starts_with("#[")).unwrap_or_default();
            if item.trim_end().ends_with('{') {
                let end = |it: &&str| it.strip_prefix(indent).is_some_and(|it| it.starts_with('}'));
                lines.by_ref().find(end);
            }
        } else if !bare.starts_with("//") {
            kept.push_str(line.split(" // ").next().unwrap_or(line));
            kept.push('\n');
        }
    }
    kept
}

/// The module of the crate's root that a file belongs to.
fn module_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|it| it.contains(&module))
}

/// The modules of the crate's root that a source names: `crate::a`, and each of `crate::{a, b::c}`.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        let word = |text: &str| text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect::<String>();
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (index, char) in group.char_indices() {
                    match char {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && !char.is_whitespace() => {
                            found.insert(word(&group[index..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    // A macro or an item of the root itself is no module.
    found.retain(|it| floor_of(it).is_some() || it.chars().next().is_some_and(char::is_lowercase));
    found
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn a_module_uses_lower_floors_only() {
    let mut broken = Vec::new();
    let mut beside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in shipped() {
        let module = module_of(&file).to_owned();
        let Some(floor) = floor_of(&module) else {
            broken.push(format!("src/{file} is on no floor: put `{module}` into FLOORS"));
            continue;
        };
        if module == "lib" {
            continue;
        }
        for used in uses(&code).into_iter().filter(|it| *it != module) {
            match floor_of(&used) {
                Some(other) if other > floor => broken.push(format!("src/{file} uses `{used}` from floor {other}")),
                Some(other) if other == floor => drop(beside.entry(module.clone()).or_default().insert(used)),
                Some(_) => {}
                None => broken.push(format!("src/{file} uses `{used}`, which is on no floor")),
            }
        }
    }
    // Within a floor: no way leads back to where it started.
    for start in beside.keys() {
        let mut open: Vec<&String> = beside[start].iter().collect();
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        while let Some(module) = open.pop() {
            if module == start {
                broken.push(format!("`{start}` uses itself by way of others on its floor"));
                break;
            }
            if seen.insert(module) {
                open.extend(beside.get(module).into_iter().flatten());
            }
        }
    }
    report("a module uses lower floors, and its own without a circle", &broken);
}

#[test]
fn decisions_touch_nothing_outside() {
    let mut broken = Vec::new();
    for (file, code) in shipped() {
        if floor_of(module_of(&file)).is_none_or(|it| it > 1) {
            continue;
        }
        for (number, line) in (1..).zip(code.lines()) {
            for banned in NOT_BELOW_EFFECTS.iter().filter(|it| names(line, it)) {
                broken.push(format!("src/{file} (line {number} of its code) names {banned}: {}", line.trim()));
            }
        }
    }
    report("words and decisions know no tokio, no processes, no AWS, no environment, no files, no clock", &broken);
}

/// Whether a line names something: as a word's beginning, not within another word.
fn names(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(place, _)| {
        let before = line[..place].chars().next_back();
        !before.is_some_and(|it| it.is_alphanumeric() || it == '_')
    })
}

#[test]
fn each_thing_has_its_place() {
    let mut broken = Vec::new();
    for (file, code) in shipped() {
        for (texts, places, reason) in ONLY_IN {
            if places.iter().any(|it| file.starts_with(it)) {
                continue;
            }
            // Asking whether a stream is a terminal writes nothing.
            for line in code.lines().filter(|it| !it.contains(".is_terminal()")) {
                for text in texts.iter().filter(|it| names(line, it)) {
                    broken.push(format!("src/{file} has `{text}`, only for {places:?} ({reason}): {}", line.trim()));
                }
            }
        }
    }
    report("each thing has its place", &broken);
}

#[test]
fn the_binary_is_a_few_lines() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("there is a main.rs");
    assert!(main.lines().count() <= 20, "main.rs parses, runs, exits: the rest is in the library");
}

#[test]
fn files_begin_with_what_they_are_for() {
    let mut broken = Vec::new();
    for (folder, files) in [("src", rust_files(&root().join("src"))), ("tests", rust_files(&root().join("tests")))] {
        for (file, text) in files {
            let file = format!("{folder}/{file}");
            if !text.starts_with("//! ") {
                broken.push(format!("{file} does not begin with `//!`"));
            }
            for (number, line) in (1..).zip(text.lines()) {
                // rustfmt keeps the code to 120 columns and leaves comments as they are.
                if line.trim_start().starts_with("//") && line.chars().count() > 150 {
                    broken.push(format!("{file}:{number} is a comment of more than 150 characters"));
                }
                // In two parts, so that this file does not break its own rule.
                if [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")].iter().any(|it| names(line, it)) {
                    broken.push(format!("{file}:{number} puts something off: {}", line.trim()));
                }
            }
            if text.lines().count() > 800 {
                broken.push(format!("{file} is longer than 800 lines: split it by responsibility"));
            }
        }
    }
    report("files say what they are for, and can be read", &broken);
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("there is a Cargo.toml");
    let mut broken = Vec::new();
    // One reason may stand above several crates of one family (`aws-`, `clap`).
    let (mut in_dependencies, mut family) = (false, None);
    let mut explained = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
            (family, explained) = (None, false);
        } else if line.starts_with('#') {
            (family, explained) = (None, true);
        } else if line.is_empty() {
            (family, explained) = (None, false);
        } else if in_dependencies && let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            let first: String = name.chars().take(4).collect();
            let of_family = family.as_ref().is_none_or(|it| *it == first);
            if !explained || !of_family {
                broken.push(format!("{name} has no comment that says why"));
            }
            family = Some(first);
        }
    }
    report("every dependency in Cargo.toml has its reason above it", &broken);
}

#[test]
fn every_invariant_names_a_test_that_is_there() {
    let root = root().parent().unwrap().to_owned();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let invariants = text.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut broken = Vec::new();
    for invariant in invariants.split("- Invariant: ").skip(1) {
        let names: Vec<&str> = invariant.split('`').skip(1).step_by(2).filter(|it| it.ends_with(".rs")).collect();
        let is_there = |it: &&str| {
            root.join("xtask/tests/it").join(it).exists()
                || root.join(it).exists()
                || root.join("xtask").join(it).exists()
        };
        broken.extend(names.iter().filter(|it| !is_there(it)).map(|it| format!("{it} is not there: {invariant}")));
        if names.is_empty() && !invariant.contains("harness") {
            broken.push(format!("no test: {invariant}"));
        }
    }
    report("every invariant of ARCHITECTURE.md names its test", &broken);
}

#[test]
fn a_test_that_cannot_run_says_so() {
    let mut broken = Vec::new();
    let (ignored, skipped) = (concat!("#[ign", "ore"), concat!("\"skip", "ped: "));
    for (file, text) in rust_files(&root().join("tests")) {
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with(ignored) {
                broken.push(format!(
                    "tests/{file}:{number} is never run: let it say `skipped: no …` where it cannot run"
                ));
            }
            if line.contains(skipped) && file != "it/real.rs" {
                broken.push(format!("tests/{file}:{number} says by itself that it is skipped: `real::skipped` does"));
            }
        }
    }
    report("a test that cannot run here says so by `real::skipped`", &broken);
}

/// A copy of `xtask/` may lack `tests/`, and all its targets compile there.
#[test]
fn a_benchmark_that_takes_in_tests_is_a_feature() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut broken = Vec::new();
    for (file, text) in rust_files(&root().join("benches")) {
        if !text.lines().any(|it| it.trim_start().starts_with("#[path = ") && it.contains("tests/")) {
            continue;
        }
        let name = file.trim_end_matches("/main.rs").trim_end_matches(".rs");
        let entry = manifest.split("[[bench]]").find(|it| it.contains(&format!("name = \"{name}\"\n")));
        if !entry.is_some_and(|it| it.contains("required-features = [\"benches\"]")) {
            broken.push(format!("benches/{file} takes in files of tests/: its [[bench]] lacks `required-features`"));
        }
    }
    report("what needs tests/ is compiled on request", &broken);
}

#[test]
fn these_tests_can_read() {
    let text = "\
use crate::{aws::Aws, model::{Plan, Task}, ui};
// crate::comment is none.
fn a() { crate::verb::run(); } // crate::neither
#[cfg(test)]
mod tests {
    use crate::stage;
}
#[cfg(test)]
mod other;
fn b() { crate::cx::Cx; }
";
    let code = code(text);
    assert_eq!(uses(&code).into_iter().collect::<Vec<_>>(), ["aws", "cx", "model", "ui", "verb"]);
    assert!(names("use tokio::time;", "tokio") && !names("let my_tokio = 1;", "tokio"));
    assert!(names("println!(1)", "print!") == names("println!(1)", "rintln!"));
}
