//! `guestbook backfill`: counts the words of every entry and recomputes each day's totals, in batches that let other
//! writers in between, and in shards that run side by side. It may be run again at any time: what a shard wrote is replaced.

use crate::error::Error;
use crate::migrate;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::env::VarError;
use std::io::Write;
use std::num::NonZeroU32;

/// How many entries a transaction handles unless told otherwise.
pub const BATCH: NonZeroU32 = NonZeroU32::new(500).expect("it is not zero");

/// A part of all entries: those whose `id % shards` is `shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0 to `shards - 1`.
    shard: u32,
    shards: NonZeroU32,
}

impl Shard {
    /// The part that XTASK_SHARD and XTASK_SHARDS ask for; everything where neither is set.
    pub fn of_this_process() -> Result<Self, Error> {
        Self::parse(variable("XTASK_SHARD")?.as_deref(), variable("XTASK_SHARDS")?.as_deref())
    }

    fn parse(shard: Option<&str>, shards: Option<&str>) -> Result<Self, Error> {
        let (shard, shards) = match (shard, shards) {
            (None, None) => ("0", "1"),
            (Some(shard), Some(shards)) => (shard, shards),
            (Some(_), None) => return Err(Error::Failed("`XTASK_SHARD` is set without `XTASK_SHARDS`".to_owned())),
            (None, Some(_)) => return Err(Error::Failed("`XTASK_SHARDS` is set without `XTASK_SHARD`".to_owned())),
        };
        let n_shards: NonZeroU32 = shards
            .parse()
            .map_err(|_| Error::Failed(format!("`XTASK_SHARDS={shards}`: expected a whole number from 1 on")))?;
        match shard.parse() {
            Ok(shard) if shard < n_shards.get() => Ok(Self { shard, shards: n_shards }),
            _ => {
                let highest = n_shards.get() - 1;
                Err(Error::Failed(format!("`XTASK_SHARD={shard}`: expected a whole number from 0 to {highest}")))
            }
        }
    }

    /// What lines of output begin with, so that they can be told apart where several shards write to one place.
    fn prefix(self) -> String {
        if self.shards.get() == 1 { String::new() } else { format!("shard {} of {}: ", self.shard, self.shards) }
    }
}

fn variable(name: &str) -> Result<Option<String>, Error> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(error @ VarError::NotUnicode(_)) => Err(Error::failed(format_args!("`{name}`"), error)),
    }
}

/// Handles the entries of `shard` that are there now, `batch` in a transaction, and writes a line after each.
pub fn run(connection: &mut Connection, shard: Shard, batch: NonZeroU32, out: &mut dyn Write) -> Result<(), Error> {
    migrate::require_newest(connection)?;
    let (n_entries, last_id) = start(connection, shard)?;
    let prefix = shard.prefix();
    let (mut n_done, mut id) = (0_usize, 0_i64);
    while id < last_id {
        // IMMEDIATE, because a transaction that reads first can't wait for another writer later.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let entries = read_batch(&transaction, shard, id, last_id, batch)?;
        let Some(last) = entries.last() else {
            break; // The rest was deleted meanwhile.
        };
        id = last.id;
        for entry in &entries {
            write_entry(&transaction, shard, entry)?;
        }
        transaction.commit()?;
        n_done += entries.len();
        writeln!(out, "{prefix}{n_done} of {n_entries} entries")?;
    }
    writeln!(out, "{prefix}backfill finished")?;
    Ok(())
}

/// Forgets this shard's totals, and those of a run in another number of shards, which would count twice. Returns how many
/// entries there are to handle, and the highest id among them: entries that are added from now on are not waited for.
fn start(connection: &mut Connection, shard: Shard) -> Result<(i64, i64), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "DELETE FROM daily_totals WHERE shards <> ?1 OR shard = ?2",
        params![shard.shards.get(), shard.shard],
    )?;
    let range = transaction.query_row(
        "SELECT count(*), coalesce(max(id), 0) FROM entries WHERE id % ?1 = ?2",
        params![shard.shards.get(), shard.shard],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    transaction.commit()?;
    Ok(range)
}

struct Entry {
    id: i64,
    /// YYYY-MM-DD, UTC.
    day: String,
    message: String,
}

/// The next entries of `shard` behind `after`, up to `last_id`.
fn read_batch(
    transaction: &Transaction<'_>,
    shard: Shard,
    after: i64,
    last_id: i64,
    batch: NonZeroU32,
) -> Result<Vec<Entry>, Error> {
    let mut statement = transaction.prepare(
        "SELECT id, date(created_at, 'unixepoch'), message FROM entries
         WHERE id % ?1 = ?2 AND id > ?3 AND id <= ?4 ORDER BY id LIMIT ?5",
    )?;
    let rows = statement.query_map(params![shard.shards.get(), shard.shard, after, last_id, batch.get()], |row| {
        Ok(Entry { id: row.get(0)?, day: row.get(1)?, message: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn write_entry(transaction: &Transaction<'_>, shard: Shard, entry: &Entry) -> Result<(), Error> {
    let n_words = i64::try_from(entry.message.split_whitespace().count())
        .expect("a message in memory has fewer words than bytes");
    transaction.execute("UPDATE entries SET words = ?1 WHERE id = ?2", params![n_words, entry.id])?;
    transaction.execute(
        "INSERT INTO daily_totals (day, shards, shard, entries, words) VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT DO UPDATE SET entries = entries + 1, words = words + excluded.words",
        params![entry.day, shard.shards.get(), shard.shard, n_words],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    fn database(entries: u32) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::run(&mut connection, migrate::MIGRATIONS, &mut Vec::new()).unwrap();
        seed::run(&mut connection, NonZeroU32::new(entries).unwrap(), &mut Vec::new()).unwrap();
        connection
    }

    fn backfill(connection: &mut Connection, shard: u32, shards: u32, batch: u32) -> String {
        let mut out = Vec::new();
        let shard = Shard { shard, shards: NonZeroU32::new(shards).unwrap() };
        run(connection, shard, NonZeroU32::new(batch).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Days, entries and words in the totals, and the entries that are still uncounted.
    fn totals(connection: &Connection) -> (i64, i64, i64, i64) {
        let sql = "SELECT count(*), coalesce(sum(entries), 0), coalesce(sum(words), 0),
                          (SELECT count(*) FROM entries WHERE words IS NULL) FROM totals_by_day";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap()
    }

    #[test]
    fn batches_end_where_the_entries_do() {
        for (entries, batch, expected) in [
            (1, 500, "1 of 1 entries\nbackfill finished\n"),
            (4, 2, "2 of 4 entries\n4 of 4 entries\nbackfill finished\n"),
            (5, 2, "2 of 5 entries\n4 of 5 entries\n5 of 5 entries\nbackfill finished\n"),
        ] {
            let mut connection = database(entries);
            assert_eq!(backfill(&mut connection, 0, 1, batch), expected);
            assert_eq!(totals(&connection).1, i64::from(entries));
        }
    }

    #[test]
    fn shards_cover_every_entry_once_and_may_run_again() {
        let mut connection = database(100);
        // 14 rounds of the seven messages, which have 4, 10, 2, 10, 8, 3 and 3 words, and the first two again.
        let all = (30, 100, 14 * 40 + 14, 0);
        backfill(&mut connection, 0, 1, 30);
        assert_eq!(totals(&connection), all);
        for shards in [1, 3, 7, 101] {
            for shard in 0..shards {
                backfill(&mut connection, shard, shards, 9);
            }
            assert_eq!(totals(&connection), all, "{shards} shards");
            backfill(&mut connection, shards - 1, shards, 9);
            assert_eq!(totals(&connection), all, "the last of {shards} shards again");
        }
    }

    #[test]
    fn a_shard_leaves_the_others_alone() {
        let mut connection = database(10);
        let expected = "shard 1 of 4: 2 of 3 entries\nshard 1 of 4: 3 of 3 entries\nshard 1 of 4: backfill finished\n";
        assert_eq!(backfill(&mut connection, 1, 4, 2), expected);
        let ids: String = connection
            .query_row("SELECT group_concat(id, ' ') FROM entries WHERE words IS NOT NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(ids, "1 5 9");
        assert_eq!(totals(&connection).1, 3);
    }

    #[test]
    fn an_empty_guestbook_has_nothing_to_count() {
        let mut connection = database(1);
        connection.execute_batch("DELETE FROM entries").unwrap();
        assert_eq!(backfill(&mut connection, 0, 1, 1), "backfill finished\n");
    }

    #[test]
    fn shards_are_checked() {
        for (shard, shards, expected) in [
            (None, None, Ok((0, 1))),
            (Some("0"), Some("1"), Ok((0, 1))),
            (Some("15"), Some("16"), Ok((15, 16))),
            (Some("1"), None, Err("`XTASK_SHARD` is set without `XTASK_SHARDS`")),
            (None, Some("4"), Err("`XTASK_SHARDS` is set without `XTASK_SHARD`")),
            (Some("4"), Some("4"), Err("`XTASK_SHARD=4`: expected a whole number from 0 to 3")),
            (Some("-1"), Some("4"), Err("`XTASK_SHARD=-1`: expected a whole number from 0 to 3")),
            (Some(""), Some("4"), Err("`XTASK_SHARD=`: expected a whole number from 0 to 3")),
            (Some("0"), Some("0"), Err("`XTASK_SHARDS=0`: expected a whole number from 1 on")),
            (Some("0"), Some("four"), Err("`XTASK_SHARDS=four`: expected a whole number from 1 on")),
        ] {
            let actual =
                Shard::parse(shard, shards).map(|it| (it.shard, it.shards.get())).map_err(|error| error.to_string());
            assert_eq!(actual, expected.map_err(str::to_owned), "{shard:?} {shards:?}");
        }
    }
}
