//! What is said of many shards: each one's own where it is its own, and once where it is the same of many.

use std::time::Duration;

use crate::event::Event;
use crate::model::{Ending, LogEnd, Outcome, Shard, ShardCounts, ranges};
use crate::tools::signals;
use crate::ui::Ui;

/// Counts are told no more often.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Say {
    ui: Ui,
    of: u32,
    /// Of one moment: a message and of which shards it is.
    warnings: Vec<(String, Option<String>, Vec<u32>)>,
    told: Option<(ShardCounts, Duration)>,
    /// Counts that wait to be told.
    wanted: Option<ShardCounts>,
    is_slow: bool,
}

impl Say {
    pub fn new(ui: Ui, of: u32) -> Say {
        Say { ui, of, warnings: Vec::new(), told: None, wanted: None, is_slow: false }
    }

    fn shard(&self, index: u32) -> Ui {
        self.ui.for_shard(Shard { index, of: self.of })
    }

    /// What a shard's machine tells.
    pub fn event(&mut self, shard: u32, event: Event) {
        let Event::Warning { message, hint } = event else {
            self.shard(shard).emit(event);
            return;
        };
        match self.warnings.iter_mut().find(|it| it.0 == message) {
            Some((_, _, shards)) => shards.push(shard),
            None => self.warnings.push((message, hint, vec![shard])),
        }
    }

    /// Tells the warnings of this moment.
    pub fn warnings(&mut self) {
        for (message, hint, mut shards) in std::mem::take(&mut self.warnings) {
            match shards[..] {
                [shard] => self.shard(shard).emit(Event::Warning { message, hint }),
                _ => {
                    shards.sort_unstable();
                    let message = format!("{message} (shards {})", ranges(&shards));
                    self.ui.emit(Event::Warning { message, hint });
                }
            }
        }
    }

    pub fn finished(&mut self, shard: u32, ending: Ending) {
        self.warnings();
        self.shard(shard).emit(Event::Finished(Box::new(ending)));
    }

    pub fn counts(&mut self, counts: ShardCounts, now: Duration) {
        match self.told {
            Some((told, _)) if told == counts => self.wanted = None,
            Some((_, at)) if now < at + COUNTS_EVERY => self.wanted = Some(counts),
            _ => {
                self.told = Some((counts, now));
                self.wanted = None;
                self.ui.emit(Event::Shards { of: self.of, counts });
            }
        }
    }

    /// The end of it, if it is not told yet.
    pub fn last_counts(&mut self, counts: ShardCounts) {
        self.warnings();
        if self.told.is_none_or(|it| it.0 != counts) {
            self.ui.emit(Event::Shards { of: self.of, counts });
        }
    }

    pub fn wake_at(&self) -> Option<Duration> {
        self.wanted?;
        self.told.map(|it| it.1 + COUNTS_EVERY)
    }

    fn warn(&self, message: String) {
        self.ui.emit(Event::Warning { message, hint: None });
    }

    pub fn no_room(&self, most: u32, why: &str) {
        self.warn(format!(
            "ECS has no room for more than {most} at a time: {why}; what does not fit waits for the end of others"
        ));
    }

    pub fn reads_are_slow(&mut self, per_second: f64) {
        if !std::mem::replace(&mut self.is_slow, true) {
            self.ui.note(format!("CloudWatch Logs throttles: {per_second:.0} reads a second from here on"));
        }
    }

    pub fn stopping_others(&self, failed: u32, others: usize) {
        let stopping = match others {
            0 => String::new(),
            1 => ", and the one that runs is stopped".to_owned(),
            n => format!(", and the {n} that run are stopped"),
        };
        self.warn(format!("shard {failed} has failed: no more are started{stopping}; --keep-going runs all"));
    }

    pub fn stopping(&self, signal: u8, alive: usize) {
        let name = signals::name(signal.into());
        self.warn(format!(
            "{name}: no more shards are started, {alive} are being stopped; the same signal again leaves them as they are"
        ));
    }
}

/// Why a shard did not succeed, in a few words.
pub(super) fn reason(ending: &Ending) -> Option<String> {
    if ending.outcome == Outcome::Succeeded {
        return None;
    }
    let cut = match &ending.log {
        Some(LogEnd::MayBeCut(why)) => Some(why.clone()),
        _ => None,
    };
    let of_ecs = || ending.stopped_reason.clone().filter(|_| ending.outcome != Outcome::Failed);
    let reason = ending.explanation.clone().or_else(|| ending.container_reason.clone()).or_else(of_ecs);
    match (reason, cut) {
        (Some(reason), Some(cut)) => Some(format!("{reason}; {cut}")),
        (reason, cut) => reason.or(cut),
    }
}
