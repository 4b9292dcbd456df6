//! `guestbook migrate`: the schema's history, and how far a database is in it. There is no way back: a migration is undone
//! by another one.

use crate::error::Error;
use rusqlite::{Connection, TransactionBehavior};
use std::io::Write;

/// A step of the schema's history.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The file's name without `.sql`: `0001_create_entries`. Names sort in the order of application.
    pub name: &'static str,
    /// One or more statements. They run inside a transaction, so they begin and commit none themselves.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration { name: $name, sql: include_str!(concat!("../migrations/", $name, ".sql")) }),*]
    };
}

/// All migrations, oldest first.
pub const MIGRATIONS: &[Migration] =
    migrations!["0001_create_entries", "0002_index_entries_by_time", "0003_create_daily_totals", "0004_count_words",];

/// Applies the pending ones of `migrations`, each in a transaction of its own, and writes a line for each. Refuses before
/// the first change if the database knows one that `migrations` lacks or has otherwise. Any number of processes may do this
/// at once: each migration is applied by one of them.
pub fn run(connection: &mut Connection, migrations: &[Migration], out: &mut dyn Write) -> Result<(), Error> {
    let mut n_applied = 0;
    while let Some(migration) = apply_next(connection, migrations)? {
        writeln!(out, "applied {}", migration.name)?;
        n_applied += 1;
    }
    match (n_applied, migrations.last()) {
        (0, Some(newest)) => writeln!(out, "nothing to do: the schema is at {}", newest.name)?,
        (0, None) => writeln!(out, "nothing to do: there are no migrations")?,
        (1, _) => writeln!(out, "1 migration applied")?,
        (_, _) => writeln!(out, "{n_applied} migrations applied")?,
    }
    Ok(())
}

/// Fails unless every migration of this build is applied, so that a job never works on a schema it was not written for.
pub fn require_newest(connection: &Connection) -> Result<(), Error> {
    let applied = if has_table(connection)? { read_applied(connection)? } else { Vec::new() };
    match pending(MIGRATIONS, &applied)?.first() {
        None => Ok(()),
        Some(migration) => {
            Err(Error::Failed(format!("`{}` is not applied yet: run `guestbook migrate` first", migration.name)))
        }
    }
}

/// Applies the first pending migration. What is pending is read inside the transaction that applies it: IMMEDIATE takes
/// the write lock before the read, so a second process waits here, and then sees what the first one did.
fn apply_next<'a>(connection: &mut Connection, migrations: &'a [Migration]) -> Result<Option<&'a Migration>, Error> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| Error::failed("cannot lock the database", error))?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             name       TEXT NOT NULL PRIMARY KEY,
             checksum   TEXT NOT NULL,
             applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
         ) STRICT",
    )?;
    let applied = read_applied(&transaction)?;
    let Some(migration) = pending(migrations, &applied)?.first() else {
        return Ok(None);
    };
    let failed = |error| {
        let kept = "nothing of it was kept";
        Error::failed(format_args!("migration `{}` failed, {kept}", migration.name), error)
    };
    transaction.execute_batch(migration.sql).map_err(failed)?;
    transaction.execute(
        "INSERT INTO schema_migrations (name, checksum) VALUES (?1, ?2)",
        [migration.name, &checksum(migration.sql)],
    )?;
    transaction.commit().map_err(failed)?;
    Ok(Some(migration))
}

/// A row of `schema_migrations`.
struct Applied {
    name: String,
    checksum: String,
}

fn has_table(connection: &Connection) -> Result<bool, Error> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0)
}

fn read_applied(connection: &Connection) -> Result<Vec<Applied>, Error> {
    let mut statement = connection.prepare("SELECT name, checksum FROM schema_migrations ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok(Applied { name: row.get(0)?, checksum: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The migrations behind the applied ones. The applied ones have to be the beginning of `migrations`, unchanged: SQL that
/// differs from what this database went through says nothing about its schema.
fn pending<'a>(migrations: &'a [Migration], applied: &[Applied]) -> Result<&'a [Migration], Error> {
    for (position, applied) in applied.iter().enumerate() {
        let Some(migration) = migrations.iter().find(|it| it.name == applied.name) else {
            return Err(Error::Failed(format!(
                "the database has migration `{}`, which this build of guestbook does not know",
                applied.name
            )));
        };
        let checksum = checksum(migration.sql);
        if checksum != applied.checksum {
            return Err(Error::Failed(format!(
                "migration `{}` was changed after it was applied (checksum {checksum}, applied as {}): write a new migration instead",
                applied.name, applied.checksum
            )));
        }
        if migrations[position].name != applied.name {
            return Err(Error::Failed(format!(
                "migration `{}` is pending, but the later `{}` is applied: give the new one the highest number",
                migrations[position].name, applied.name
            )));
        }
    }
    Ok(&migrations[applied.len()..])
}

/// 64-bit FNV-1a in hexadecimal: it notices an edited file, which is all it is for. Carriage returns don't count, because
/// git may add them on Windows.
fn checksum(sql: &str) -> String {
    let hash = sql
        .bytes()
        .filter(|byte| *byte != b'\r')
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { name: "0001_one", sql: "CREATE TABLE one (id INTEGER);" };
    const TWO: Migration = Migration { name: "0002_two", sql: "CREATE TABLE two (id INTEGER);" };
    const THREE: Migration = Migration { name: "0003_three", sql: "CREATE TABLE three (id INTEGER);" };

    fn migrate(connection: &mut Connection, migrations: &[Migration]) -> (String, String) {
        let mut out = Vec::new();
        let error = run(connection, migrations, &mut out).err().map_or_else(String::new, |error| error.to_string());
        (String::from_utf8(out).unwrap(), error)
    }

    #[test]
    fn every_file_is_listed_in_order() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = MIGRATIONS.iter().map(|it| format!("{}.sql", it.name)).collect();
        assert_eq!(listed, files);
        for (number, migration) in (1..).zip(MIGRATIONS) {
            assert!(migration.name.starts_with(&format!("{number:04}_")), "{}", migration.name);
        }
    }

    #[test]
    fn applies_what_is_pending() {
        let mut connection = Connection::open_in_memory().unwrap();
        for (migrations, out) in [
            (&[ONE][..], "applied 0001_one\n1 migration applied\n"),
            (&[ONE], "nothing to do: the schema is at 0001_one\n"),
            (&[ONE, TWO, THREE], "applied 0002_two\napplied 0003_three\n2 migrations applied\n"),
            (&[ONE, TWO, THREE], "nothing to do: the schema is at 0003_three\n"),
        ] {
            assert_eq!(migrate(&mut connection, migrations), (out.to_owned(), String::new()));
        }
        connection.execute_batch("SELECT * FROM one, two, three").unwrap();
    }

    #[test]
    fn refuses_a_history_that_is_not_its_own() {
        let changed = Migration { name: ONE.name, sql: "CREATE TABLE one (id TEXT);" };
        for (migrations, error) in [
            (
                &[changed, TWO, THREE][..],
                "migration `0001_one` was changed after it was applied (checksum b9cfcb2f7d09ea5f, applied as \
                 a52c9707373f248a): write a new migration instead",
            ),
            (&[ONE], "the database has migration `0003_three`, which this build of guestbook does not know"),
            (
                &[ONE, TWO, THREE],
                "migration `0002_two` is pending, but the later `0003_three` is applied: give the new one the highest number",
            ),
        ] {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, &[ONE, THREE]);
            assert_eq!(migrate(&mut connection, migrations), (String::new(), error.to_owned()));
        }
    }

    #[test]
    fn keeps_what_succeeded_and_nothing_of_what_failed() {
        let broken = Migration { name: "0002_two", sql: "CREATE TABLE two (id INTEGER); INSERT INTO tow VALUES (1);" };
        let mut connection = Connection::open_in_memory().unwrap();
        let (out, error) = migrate(&mut connection, &[ONE, broken]);
        assert_eq!(out, "applied 0001_one\n");
        assert!(
            error.starts_with("migration `0002_two` failed, nothing of it was kept: no such table: tow"),
            "{error}"
        );
        // The same name with other SQL: the failed attempt left neither the table nor a record.
        let expected = "applied 0002_two\n1 migration applied\n".to_owned();
        assert_eq!(migrate(&mut connection, &[ONE, TWO]), (expected, String::new()));
    }

    #[test]
    fn the_checksum_notices_content_and_not_line_ends() {
        // The published value of the algorithm for this input.
        assert_eq!(checksum("foobar"), "85944171f73967e8");
        assert_eq!(checksum("a\r\nb\r\n"), checksum("a\nb\n"));
        assert_ne!(checksum("a\nb"), checksum("a b"));
    }
}
