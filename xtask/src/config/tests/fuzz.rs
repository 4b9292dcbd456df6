//! Arbitrary files: whatever is done to tasks.toml, reading it ends with a config that can be resolved or with problems that point into
//! the file, never with a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::model::Selection;
use crate::random::{Random, rounds};
use crate::resolve::resolve;

/// What people (and merges) leave in a file where something else belongs.
const PIECES: &[&str] = &[
    "=",
    "\"",
    "'''",
    "[",
    "]",
    "[[",
    "{",
    "}",
    ",",
    ".",
    "#",
    "\n",
    "\r\n",
    "\t",
    "\u{feff}",
    "ü",
    "\u{0}",
    "true",
    "-1",
    "0",
    "1e999",
    "nan",
    "9223372036854775808",
    "1979-05-27",
    "\"\"",
    "[]",
    "{}",
    "\"15m\"",
    "\"0s\"",
    "\"99999999999999h\"",
    "command",
    "image = \"app\"",
    "runner = \"docker\"",
    "environment",
    "[tasks.x]",
    "[defaults]",
    "[images.app]",
    "on.local.image = \"app\"",
    "needs = [\"x\"]",
    "cpu = 3",
    "<<<<<<< HEAD",
];

fn mangle(text: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(4) {
        let places: Vec<usize> = text.char_indices().map(|it| it.0).chain([text.len()]).collect();
        let place = |random: &mut Random| places[random.below(places.len() as u64) as usize];
        let (at, other) = (place(random), place(random));
        let (start, end) = (at.min(other), at.max(other));
        let piece = PIECES[random.below(PIECES.len() as u64) as usize];
        match random.below(5) {
            0 => text.insert_str(at, piece),
            1 => drop(text.drain(start..end.min(start + 20).max(start)).collect::<Vec<_>>()),
            2 => {
                // A value is another one.
                let from = text[at..].find("= ").map_or(text.len(), |it| at + it + 2);
                let to = text[from..].find('\n').map_or(text.len(), |it| from + it);
                text.replace_range(from..to, piece);
            }
            3 => {
                let mut lines: Vec<&str> = text.lines().collect();
                let (one, two) = (random.below(lines.len() as u64) as usize, random.below(lines.len() as u64) as usize);
                lines.swap(one, two);
                text = lines.join("\n");
            }
            _ => {
                let line = text[..at].rfind('\n').map_or(0, |it| it + 1);
                let line = text[line..].lines().next().unwrap_or_default().to_owned();
                text.push_str(&format!("\n{line}\n"));
            }
        }
        if text.is_empty() {
            text.push('\n');
        }
    }
    text
}

fn check(text: &str) {
    match parse(&source(text)) {
        Ok(config) => {
            for (task, environment) in
                config.tasks.iter().flat_map(|task| config.environments.iter().map(move |it| (task, it)))
            {
                let selection = Selection {
                    task: task.name.value.clone(),
                    environment: Some(environment.name.clone()),
                    ..Selection::default()
                };
                if let Err(error) = resolve(&config, &selection) {
                    assert_eq!(error.exit_code(), 2);
                    points_into(&error.problems, text);
                }
            }
        }
        Err(error) => {
            assert_eq!(error.exit_code(), 2);
            points_into(&error.problems, text);
        }
    }
}

fn points_into(problems: &[Problem], text: &str) {
    assert!(!problems.is_empty(), "no problem is told");
    for problem in problems {
        assert!(!problem.message.is_empty());
        if let Some(Span { start, end }) = problem.span {
            assert!(text.get(start..end).is_some(), "{start}..{end} is no place in the file: {}", problem.message);
        }
    }
}

#[test]
fn any_file_gives_a_config_or_problems_with_a_place() {
    for seed in 0..rounds(1_000) {
        let mut random = Random::new(seed);
        let text = mangle(if seed % 2 == 0 { EXAMPLE } else { BASE }, &mut random);
        let checked = catch_unwind(AssertUnwindSafe(|| check(&text)));
        assert!(checked.is_ok(), "seed {seed}, see above, with this file:\n{text}");
    }
}
