//! Which old revisions go: those that this tool made, beyond the last few, and that nothing uses. And how fast calls may follow each other
//! where ECS limits them.

use std::collections::BTreeMap;
use std::time::Duration;

/// A revision of a task's family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its ARN.
    pub arn: String,
    /// ACTIVE; otherwise INACTIVE, and only to be deleted.
    pub active: bool,
    /// It has the tag `xtask=1`.
    pub ours: bool,
}

impl Revision {
    /// `family:revision`.
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }

    fn number(&self) -> u64 {
        self.arn.rsplit(':').next().and_then(|it| it.parse().ok()).unwrap_or(u64::MAX)
    }
}

/// What becomes of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted.
    Goes,
    /// It is one of the last few.
    Newest,
    /// It was not made by this tool.
    Foreign,
    /// A service or an ECS task uses it: which.
    Used(String),
}

/// Decides over the revisions of one family, newest first. `used`: who uses an ARN.
pub fn fates(revisions: &[Revision], used: &BTreeMap<String, String>, keep: usize) -> Vec<(Revision, Fate)> {
    let mut sorted: Vec<Revision> = revisions.to_vec();
    sorted.sort_by_key(|it| std::cmp::Reverse(it.number()));
    let mut kept = 0;
    let fates = sorted.into_iter().map(|revision| {
        let fate = if !revision.ours {
            Fate::Foreign
        } else if kept < keep {
            kept += 1;
            Fate::Newest
        } else if let Some(user) = used.get(&revision.arn) {
            Fate::Used(user.clone())
        } else {
            Fate::Goes
        };
        (revision, fate)
    });
    fates.collect()
}

/// A token bucket of our own in front of one of ECS's, so that other callers of the account get theirs, too.
#[derive(Debug, Clone)]
pub struct Pace {
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Duration,
}

impl Pace {
    /// `burst` calls at once, then so many a second.
    pub fn new(burst: u32, per_second: f64) -> Pace {
        Pace { burst: f64::from(burst), per_second, tokens: f64::from(burst), at: Duration::ZERO }
    }

    /// How long the next call has to wait at this time, which never goes back. The call counts as made after that.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = self.at.max(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        let wait = Duration::from_secs_f64(-self.tokens / self.per_second);
        self.at = now + wait;
        self.tokens = 0.0;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64, active: bool, ours: bool) -> Revision {
        Revision { arn: format!("arn:aws:ecs:r:a:task-definition/f:{number}"), active, ours }
    }

    #[test]
    fn ours_beyond_the_last_few_go_unless_something_uses_them() {
        let revisions = [
            revision(9, true, true),
            revision(10, true, true),
            revision(8, true, false),
            revision(7, false, true),
            revision(6, true, true),
            revision(2, true, true),
            revision(1, false, false),
        ];
        let used = BTreeMap::from([
            ("arn:aws:ecs:r:a:task-definition/f:6".to_owned(), "the service web".to_owned()),
            ("arn:aws:ecs:r:a:task-definition/f:10".to_owned(), "the service web".to_owned()),
        ]);
        let decided: Vec<(u64, Fate)> =
            fates(&revisions, &used, 2).into_iter().map(|(it, fate)| (it.number(), fate)).collect();
        assert_eq!(
            decided,
            [
                (10, Fate::Newest),
                (9, Fate::Newest),
                (8, Fate::Foreign),
                (7, Fate::Goes),
                (6, Fate::Used("the service web".to_owned())),
                (2, Fate::Goes),
                (1, Fate::Foreign),
            ]
        );
        assert!(fates(&revisions, &used, 9).iter().all(|(_, fate)| *fate != Fate::Goes));
    }

    #[test]
    fn the_pace_is_never_above_the_buckets() {
        let mut pace = Pace::new(3, 2.0);
        let mut now = Duration::ZERO;
        let mut times = Vec::new();
        for _ in 0..7 {
            now += pace.wait(now);
            times.push(now.as_millis());
        }
        assert_eq!(times, [0, 0, 0, 500, 1000, 1500, 2000]);
        // A pause fills it again, up to the burst.
        now += Duration::from_secs(60);
        let waits: Vec<u128> = (0..4).map(|_| pace.wait(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500]);
    }
}
