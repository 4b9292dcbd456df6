//! A task's shards: which of them run, and how they ended.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Outcome;

/// One of a task's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// From 0, as in XTASK_SHARD.
    pub index: u32,
    /// How many there are, as in XTASK_SHARDS.
    pub of: u32,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What of a task with `shards` is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    /// How many there are.
    pub of: u32,
    /// Which of them run, in order and each once.
    pub chosen: Vec<u32>,
    /// How many at a time.
    pub parallel: u32,
    /// Whether one that fails leaves the others alone.
    pub keep_going: bool,
}

impl Shards {
    /// Whether there is anything to tell apart: one shard of one is an ordinary run.
    pub fn is_many(&self) -> bool {
        self.of > 1
    }

    /// Whether all of them run.
    pub fn is_all(&self) -> bool {
        self.chosen.len() == self.of as usize
    }
}

/// How a shard ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardEnd {
    /// From 0.
    pub shard: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The code that a run of it alone would have had.
    pub exit_code: u8,
    /// The ECS task, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// In a few words, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How the shards of a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShardsEnd {
    /// How many shards the task has.
    pub of: u32,
    /// How many ended with each outcome, those that did not run (`not-run`) included.
    pub outcomes: BTreeMap<&'static str, u32>,
    /// Those that did not succeed, in the order in which they ended.
    pub failed: Vec<ShardEnd>,
    /// Those that were not started at all.
    pub not_run: Vec<u32>,
}

/// How far the shards of a run are, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ShardCounts {
    /// Not started yet.
    pub waiting: u32,
    /// RunTask is under way, or ECS has not started the container yet.
    pub starting: u32,
    /// The container runs, or is being stopped.
    pub running: u32,
    /// Over, with success.
    pub succeeded: u32,
    /// Over, without.
    pub failed: u32,
}

/// Numbers of shards as the command line takes them, short: `3,7,9-12`.
pub fn ranges(shards: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for shard in shards {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *shard => *last = *shard,
            _ => parts.push((*shard, *shard)),
        }
    }
    let words = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_numbers_are_short() {
        for (shards, expected) in [
            (&[][..], ""),
            (&[3], "3"),
            (&[3, 4], "3,4"),
            (&[3, 7, 9, 10, 11, 12], "3,7,9-12"),
            (&[0, 1, 2, 5, 6, 8], "0-2,5,6,8"),
        ] {
            assert_eq!(ranges(shards), expected);
        }
    }
}
