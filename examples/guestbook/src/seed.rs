//! `guestbook seed`: example entries, the same ones on every machine. Words are left uncounted, as they are in entries
//! from before there was a count.

use crate::error::Error;
use crate::migrate;
use rusqlite::{Connection, TransactionBehavior, params};
use std::io::Write;
use std::num::NonZeroU32;

/// How many entries are added unless told otherwise.
pub const ENTRIES: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");

/// 2026-01-01T00:00:00Z in seconds since 1970.
const FIRST_DAY: i64 = 1_767_225_600;
const SECONDS_A_DAY: i64 = 86_400;
/// The days that entries are spread over.
const DAYS: i64 = 30;

/// Seven, so that each day gets all of them.
const MESSAGES: [&str; 7] = [
    "What a lovely place",
    "We will be back next summer with the whole family",
    "Thank you",
    "The view from the tower alone is worth the journey",
    "Greetings from the other side of the lake",
    "Nice and quiet",
    "See you soon",
];

/// Adds `entries` entries in one transaction and writes how many there are now.
pub fn run(connection: &mut Connection, entries: NonZeroU32, out: &mut dyn Write) -> Result<(), Error> {
    migrate::require_newest(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let n_before: i64 = transaction.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?;
    let n_after = n_before + i64::from(entries.get());
    {
        let mut insert =
            transaction.prepare("INSERT INTO entries (author, message, created_at) VALUES (?1, ?2, ?3)")?;
        for number in n_before..n_after {
            let message = MESSAGES[number as usize % MESSAGES.len()];
            // 7,919 is a prime: times of day look arbitrary, and stay the same.
            let created_at = FIRST_DAY + number % DAYS * SECONDS_A_DAY + number * 7_919 % SECONDS_A_DAY;
            insert.execute(params![format!("guest {}", number + 1), message, created_at])?;
        }
    }
    transaction.commit()?;
    let noun = if entries.get() == 1 { "entry" } else { "entries" };
    writeln!(out, "added {entries} {noun}: the guestbook has {n_after}")?;
    Ok(())
}
