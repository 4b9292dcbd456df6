//! The built binary, run as its users run it: whole stdout, stderr and exit codes. What a job does in detail is tested beside
//! the job.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MIGRATED: &str = "\
applied 0001_create_entries
applied 0002_index_entries_by_time
applied 0003_create_daily_totals
applied 0004_count_words
4 migrations applied
";

/// A directory of its own with a database that is made on first use.
struct Guestbook {
    directory: PathBuf,
}

impl Guestbook {
    fn new(test: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&directory); // What an earlier run left, if there was one.
        fs::create_dir_all(&directory).expect("the build's directory for tests is writable");
        Self { directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guestbook"));
        command.args(arguments).current_dir(&self.directory).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().expect("the binary starts").into()
    }

    fn console(&self, input: &str) -> Ended {
        let mut child = self.command(&["console"]).stdin(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(input.as_bytes()).expect("the console reads all of it");
        drop(stdin);
        child.wait_with_output().expect("the binary ends").into()
    }
}

/// Exit code, stdout, stderr.
#[derive(Debug, PartialEq, Eq)]
struct Ended(i32, String, String);

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Self(output.status.code().expect("no signal ended it"), text(output.stdout), text(output.stderr))
    }
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended(code, stdout.to_owned(), stderr.to_owned())
}

#[test]
fn migrates_once() {
    let guestbook = Guestbook::new("migrates_once");
    assert_eq!(guestbook.run(&["migrate"]), ended(0, MIGRATED, ""));
    assert!(guestbook.directory.join("guestbook.sqlite3").is_file());
    for _ in 0..2 {
        assert_eq!(guestbook.run(&["migrate"]), ended(0, "nothing to do: the schema is at 0004_count_words\n", ""));
    }
}

#[test]
fn the_database_is_where_the_variable_says() {
    let guestbook = Guestbook::new("the_database_is_where_the_variable_says");
    let database = guestbook.directory.join("missing/too/book.sqlite3");
    let output = guestbook.command(&["migrate"]).env("GUESTBOOK_DATABASE", &database).output().unwrap();
    assert_eq!(Ended::from(output), ended(0, MIGRATED, ""));
    assert!(database.is_file());

    fs::write(guestbook.directory.join("file"), "").unwrap();
    let output = guestbook.command(&["migrate"]).env("GUESTBOOK_DATABASE", "file/book.sqlite3").output().unwrap();
    let Ended(code, stdout, stderr) = output.into();
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("guestbook: cannot open the database `file/book.sqlite3`: "), "{stderr}");
}

#[test]
fn a_changed_migration_is_refused() {
    let guestbook = Guestbook::new("a_changed_migration_is_refused");
    guestbook.run(&["migrate"]);
    let change = "UPDATE schema_migrations SET checksum = 'other' WHERE name = '0002_index_entries_by_time';";
    assert_eq!(guestbook.console(change), ended(0, "", ""));
    let Ended(code, stdout, stderr) = guestbook.run(&["migrate"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    let expected = "guestbook: migration `0002_index_entries_by_time` was changed after it was applied (checksum ";
    assert!(stderr.starts_with(expected), "{stderr}");
}

#[test]
fn each_migration_is_applied_by_one_of_many_processes() {
    let guestbook = Guestbook::new("each_migration_is_applied_by_one_of_many_processes");
    let children: Vec<_> = (0..8).map(|_| guestbook.command(&["migrate"]).spawn().unwrap()).collect();
    let mut applied = Vec::new();
    for child in children {
        let Ended(code, stdout, stderr) = child.wait_with_output().unwrap().into();
        assert_eq!((code, stderr.as_str()), (0, ""));
        applied.extend(stdout.lines().filter(|line| line.starts_with("applied ")).map(str::to_owned));
    }
    applied.sort();
    let expected: Vec<&str> = MIGRATED.lines().filter(|line| line.starts_with("applied ")).collect();
    assert_eq!(applied, expected);
}

#[test]
fn seeds_and_backfills() {
    let guestbook = Guestbook::new("seeds_and_backfills");
    for job in ["seed", "backfill"] {
        let expected = "guestbook: `0001_create_entries` is not applied yet: run `guestbook migrate` first\n";
        assert_eq!(guestbook.run(&[job]), ended(1, "", expected), "{job}");
    }
    guestbook.run(&["migrate"]);
    assert_eq!(guestbook.run(&["seed"]), ended(0, "added 1000 entries: the guestbook has 1000\n", ""));
    let entry = ended(0, "added 1 entry: the guestbook has 1001\n", "");
    assert_eq!(guestbook.run(&["seed", "--entries", "1"]), entry);
    let progress = "500 of 1001 entries\n1000 of 1001 entries\n1001 of 1001 entries\nbackfill finished\n";
    for _ in 0..2 {
        assert_eq!(guestbook.run(&["backfill"]), ended(0, progress, ""));
    }
    let totals = "SELECT count(*), sum(entries), sum(words) FROM totals_by_day;
                  SELECT * FROM totals_by_day ORDER BY day LIMIT 1;";
    assert_eq!(guestbook.console(totals), ended(0, "30\t1001\t5720\n2026-01-01\t34\t197\n", ""));
}

#[test]
fn shards_side_by_side_cover_every_entry_once() {
    let guestbook = Guestbook::new("shards_side_by_side_cover_every_entry_once");
    guestbook.run(&["migrate"]);
    guestbook.run(&["seed"]);
    let shards: Vec<_> = (0..4)
        .map(|shard: u32| {
            let mut command = guestbook.command(&["backfill", "--batch", "200"]);
            command.env("XTASK_SHARD", shard.to_string()).env("XTASK_SHARDS", "4").spawn().unwrap()
        })
        .collect();
    for (shard, child) in shards.into_iter().enumerate() {
        let lines = ["200 of 250 entries", "250 of 250 entries", "backfill finished"];
        let expected: String = lines.iter().map(|line| format!("shard {shard} of 4: {line}\n")).collect();
        assert_eq!(Ended::from(child.wait_with_output().unwrap()), ended(0, &expected, ""));
    }
    let totals =
        "SELECT sum(entries), sum(words), (SELECT count(*) FROM entries WHERE words IS NULL) FROM totals_by_day";
    assert_eq!(guestbook.console(totals), ended(0, "1000\t5717\t0\n", ""));
}

#[test]
fn a_shard_that_cannot_be_is_refused() {
    let guestbook = Guestbook::new("a_shard_that_cannot_be_is_refused");
    let output = guestbook.command(&["backfill"]).env("XTASK_SHARD", "4").env("XTASK_SHARDS", "4").output().unwrap();
    let expected = "guestbook: `XTASK_SHARD=4`: expected a whole number from 0 to 3\n";
    assert_eq!(Ended::from(output), ended(1, "", expected));
    assert!(!guestbook.directory.join("guestbook.sqlite3").exists());
}

#[test]
fn the_console_takes_a_pipe_or_arguments() {
    let guestbook = Guestbook::new("the_console_takes_a_pipe_or_arguments");
    assert_eq!(guestbook.console("select 1, 'a';\n.quit\nselect 2;\n"), ended(0, "1\ta\n", ""));
    assert_eq!(guestbook.console("select 1;\nexit 42\n"), ended(42, "1\n", ""));
    let expected = ended(1, "1\n", "guestbook: no such table: visitors\n");
    assert_eq!(guestbook.console("select 1;\nselect * from visitors;\nselect 2;\n"), expected);
    assert_eq!(guestbook.run(&["console", "select 1;", "exit 255"]), ended(255, "1\n", ""));
    assert_eq!(guestbook.run(&["console", "select", "1"]), ended(0, "1\n", ""));
}

#[test]
fn help_is_output_and_mistakes_are_errors() {
    let guestbook = Guestbook::new("help_is_output_and_mistakes_are_errors");
    let Ended(code, help, stderr) = guestbook.run(&["help"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for (arguments, problem) in [
        (&[][..], "which job?"),
        (&["migrat"], "unknown subcommand `migrat`"),
        (&["migrate", "--pretend"], "unexpected argument `--pretend`"),
        (&["seed", "--entries", "0"], "`--entries 0`: expected a whole number from 1 to 4294967295"),
    ] {
        let expected = format!("guestbook: {problem}\n\n{help}");
        assert_eq!(guestbook.run(arguments), ended(2, "", &expected), "{arguments:?}");
    }
    assert!(!guestbook.directory.join("guestbook.sqlite3").exists());
}
