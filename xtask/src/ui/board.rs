//! The shards of a run as people see them: counts and a row for each that is worth one while they run, a list of those that did
//! not succeed at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::follow::words;
use crate::model::{Outcome, ShardCounts, ShardEnd, ShardsEnd, ranges};

/// So many rows a terminal has room for beside what else it shows.
const ROWS: usize = 8;
/// Of more shards than there are rows, those that have been at it for the longest.
const LONGEST: usize = 5;
/// At the end so many shards have a line each; beyond that one line holds all that ended alike.
const LINES: usize = 20;

/// What is known of the shards that are alive.
#[derive(Debug, Default)]
pub(super) struct Board {
    of: u32,
    counts: ShardCounts,
    alive: BTreeMap<u32, Alive>,
}

#[derive(Debug)]
struct Alive {
    /// ECS's word.
    status: String,
    /// Of that status.
    since: Duration,
    /// Of the shard.
    begun: Duration,
}

/// A shard below the line that is redrawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// `[3/16] RUNNING`
    pub(super) what: String,
    /// Of that.
    pub(super) since: Duration,
}

impl Board {
    pub(super) fn count(&mut self, of: u32, counts: ShardCounts) {
        (self.of, self.counts) = (of, counts);
    }

    pub(super) fn set(&mut self, shard: u32, status: &str, now: Duration) {
        let alive = self.alive.entry(shard).or_insert(Alive { status: String::new(), since: now, begun: now });
        if alive.status != status {
            status.clone_into(&mut alive.status);
            alive.since = now;
        }
    }

    pub(super) fn remove(&mut self, shard: u32) {
        self.alive.remove(&shard);
    }

    /// `3 running, 9 succeeded, 4 waiting of 16 shards`
    pub(super) fn summary(&self) -> String {
        let ShardCounts { waiting, starting, running, succeeded, failed } = self.counts;
        let parts = [
            (running, "running"),
            (starting, "starting"),
            (succeeded, "succeeded"),
            (failed, "failed"),
            (waiting, "waiting"),
        ];
        let told: Vec<String> = parts.iter().filter(|it| it.0 > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if told.is_empty() {
            return "launching".to_owned();
        }
        format!("{} of {} shards", told.join(", "), self.of)
    }

    /// A row for each, or for those that run the longest.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut alive: Vec<(&u32, &Alive)> = self.alive.iter().collect();
        if alive.len() > ROWS {
            alive.sort_by_key(|it| (it.1.begun, *it.0));
            alive.truncate(LONGEST);
        }
        let row = |(shard, alive): (&u32, &Alive)| Row {
            what: format!("[{shard}/{}] {}", self.of, alive.status),
            since: alive.since,
        };
        alive.into_iter().map(row).collect()
    }
}

/// The end of a shard in a few words.
pub(super) fn how(end: &ShardEnd) -> String {
    let reason = end.reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
    match end.outcome {
        Outcome::Failed => format!("exit code {}{reason}", end.exit_code),
        outcome => format!("{}{reason}", outcome.as_str()),
    }
}

/// How all of them ended: the counts, a line for each that did not succeed (or for all that ended alike), those that were not run.
pub(super) fn ends(shards: &ShardsEnd) -> Vec<String> {
    let counts: Vec<String> =
        shards.outcomes.iter().map(|(outcome, n)| format!("{n} {}", outcome.replace('-', " "))).collect();
    let mut lines = vec![format!("of {} shards: {}", shards.of, counts.join(", "))];
    if shards.failed.len() <= LINES {
        lines.extend(shards.failed.iter().map(|end| {
            let arn = end.task_arn.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
            format!("[{}/{}] {}{arn}", end.shard, shards.of, how(end))
        }));
    } else {
        let mut alike: Vec<(String, Vec<u32>)> = Vec::new();
        for end in &shards.failed {
            let how = how(end);
            match alike.iter_mut().find(|it| it.0 == how) {
                Some((_, shards)) => shards.push(end.shard),
                None => alike.push((how, vec![end.shard])),
            }
        }
        for (how, mut shards) in alike {
            shards.sort_unstable();
            lines.push(format!("{how}: {}", ranges(&shards)));
        }
    }
    if !shards.not_run.is_empty() {
        lines.push(format!("not run: {}", ranges(&shards.not_run)));
    }
    lines
}

/// `3.2s` of a row.
pub(super) fn age(row: &Row, now: Duration) -> String {
    words(Duration::from_secs(now.saturating_sub(row.since).as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_longest_have_a_row() {
        let mut board = Board::default();
        board.count(16, ShardCounts { waiting: 4, running: 3, succeeded: 9, ..ShardCounts::default() });
        assert_eq!(board.summary(), "3 running, 9 succeeded, 4 waiting of 16 shards");
        for shard in 0..9 {
            board.set(shard, "PENDING", Duration::from_secs(u64::from(20 - shard)));
        }
        let rows = |board: &Board| board.rows().into_iter().map(|it| it.what).collect::<Vec<_>>();
        assert_eq!(rows(&board)[..2], ["[8/16] PENDING", "[7/16] PENDING"]);
        assert_eq!(rows(&board).len(), LONGEST);
        board.remove(4);
        assert_eq!(rows(&board).len(), 8);
        board.set(0, "RUNNING", Duration::from_secs(60));
        let first = &board.rows()[0];
        assert_eq!((first.what.as_str(), age(first, Duration::from_secs(75))), ("[0/16] RUNNING", "15s".to_owned()));
    }

    #[test]
    fn many_that_ended_alike_share_a_line() {
        let end = |shard, exit_code| ShardEnd {
            shard,
            outcome: Outcome::Failed,
            exit_code,
            task_arn: Some("arn".to_owned()),
            reason: None,
        };
        let few = ShardsEnd {
            of: 16,
            outcomes: [("failed", 2), ("not-run", 3), ("succeeded", 11)].into(),
            failed: vec![end(7, 1), end(3, 2)],
            not_run: vec![9, 10, 11],
        };
        assert_eq!(
            ends(&few),
            [
                "of 16 shards: 2 failed, 3 not run, 11 succeeded",
                "[7/16] exit code 1 (arn)",
                "[3/16] exit code 2 (arn)",
                "not run: 9-11"
            ]
        );
        let failed = (0..100).rev().map(|it| end(it, if it == 50 { 2 } else { 1 })).collect();
        let many = ShardsEnd { of: 100, outcomes: [("failed", 100)].into(), failed, not_run: Vec::new() };
        assert_eq!(ends(&many)[1..], ["exit code 1: 0-49,51-99", "exit code 2: 50"]);
    }
}
