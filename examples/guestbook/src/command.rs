//! The command line: which job, with which options. Jobs get their options as values and stdout as a writer.

use crate::error::Error;
use crate::{backfill, console, database, migrate, seed};
use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::process::ExitCode;

const USAGE: &str = "\
usage: guestbook migrate                applies pending migrations
       guestbook seed [--entries N]     adds example entries (default 1000)
       guestbook backfill [--batch N]   counts words and recomputes the totals of each day (default 500 entries a batch);
                                        with XTASK_SHARD and XTASK_SHARDS only this shard's entries
       guestbook console [LINE...]      runs SQL from the lines given, else from stdin; `.quit` or `.exit N` ends it
       guestbook help                   prints this

GUESTBOOK_DATABASE is the path of the SQLite database (default guestbook.sqlite3)
";

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Migrate,
    Seed { entries: NonZeroU32 },
    Backfill { batch: NonZeroU32 },
    Console { lines: Vec<String> },
}

/// Runs the job that `arguments` (without the program's name) ask for, and returns the code to end with.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Error> {
    let command = parse(arguments)?;
    let mut stdout = io::stdout();
    match command {
        Command::Help => stdout.write_all(USAGE.as_bytes())?,
        Command::Migrate => migrate::run(&mut database::open()?, migrate::MIGRATIONS, &mut stdout)?,
        Command::Seed { entries } => seed::run(&mut database::open()?, entries, &mut stdout)?,
        Command::Backfill { batch } => {
            let shard = backfill::Shard::of_this_process()?;
            backfill::run(&mut database::open()?, shard, batch, &mut stdout)?;
        }
        Command::Console { lines } => return console::run(&database::open()?, &lines, &mut stdout),
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Error> {
    let mut arguments = arguments
        .map(|it| it.into_string().map_err(|it| usage(&format!("`{}` is not UTF-8", it.display()))))
        .collect::<Result<Vec<String>, Error>>()?
        .into_iter();
    let Some(name) = arguments.next() else {
        return Err(usage("which job?"));
    };
    let command = match name.as_str() {
        "help" | "--help" | "-h" => Command::Help,
        "migrate" => Command::Migrate,
        "seed" => Command::Seed { entries: number("--entries", &mut arguments)?.unwrap_or(seed::ENTRIES) },
        "backfill" => Command::Backfill { batch: number("--batch", &mut arguments)?.unwrap_or(backfill::BATCH) },
        "console" => Command::Console { lines: arguments.by_ref().collect() },
        _ => return Err(usage(&format!("unknown subcommand `{name}`"))),
    };
    match arguments.next() {
        None => Ok(command),
        Some(argument) => Err(usage(&format!("unexpected argument `{argument}`"))),
    }
}

/// The number behind `option`, where the next argument is that option: `--option N` or `--option=N`.
fn number(option: &str, arguments: &mut std::vec::IntoIter<String>) -> Result<Option<NonZeroU32>, Error> {
    let Some(first) = arguments.as_slice().first() else {
        return Ok(None);
    };
    let value = match first.strip_prefix(option) {
        Some("") => {
            arguments.next();
            arguments.next().ok_or_else(|| usage(&format!("`{option}` needs a number")))?
        }
        Some(rest) if rest.starts_with('=') => {
            let value = rest[1..].to_owned();
            arguments.next();
            value
        }
        _ => return Ok(None),
    };
    match value.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(usage(&format!("`{option} {value}`: expected a whole number from 1 to {}", u32::MAX))),
    }
}

fn usage(problem: &str) -> Error {
    Error::Usage(format!("{problem}\n\n{}", USAGE.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_a_command() {
        let number = |it| NonZeroU32::new(it).unwrap();
        for (line, expected) in [
            ("help", Command::Help),
            ("-h", Command::Help),
            ("migrate", Command::Migrate),
            ("seed", Command::Seed { entries: number(1000) }),
            ("seed --entries 7", Command::Seed { entries: number(7) }),
            ("seed --entries=4294967295", Command::Seed { entries: number(u32::MAX) }),
            ("backfill", Command::Backfill { batch: number(500) }),
            ("backfill --batch 1", Command::Backfill { batch: number(1) }),
            ("console", Command::Console { lines: vec![] }),
            ("console a b", Command::Console { lines: vec!["a".to_owned(), "b".to_owned()] }),
        ] {
            assert_eq!(parse(line.split_whitespace().map(OsString::from)).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        for (line, expected) in [
            ("", "which job?"),
            ("migrat", "unknown subcommand `migrat`"),
            ("migrate now", "unexpected argument `now`"),
            ("help me", "unexpected argument `me`"),
            ("seed 7", "unexpected argument `7`"),
            ("seed --entries", "`--entries` needs a number"),
            ("seed --entries 0", "`--entries 0`: expected a whole number from 1 to 4294967295"),
            ("seed --entries=-1", "`--entries -1`: expected a whole number from 1 to 4294967295"),
            ("seed --entries=", "`--entries `: expected a whole number from 1 to 4294967295"),
            ("seed --entriesx 1", "unexpected argument `--entriesx`"),
            ("seed --entries 1 2", "unexpected argument `2`"),
            ("backfill --entries 1", "unexpected argument `--entries`"),
            ("backfill --batch 4294967296", "`--batch 4294967296`: expected a whole number from 1 to 4294967295"),
        ] {
            let error = parse(line.split_whitespace().map(OsString::from)).unwrap_err();
            assert!(matches!(error, Error::Usage(_)), "{line}: {error:?}");
            assert_eq!(error.to_string().lines().next().unwrap(), expected, "{line}");
        }
    }
}
