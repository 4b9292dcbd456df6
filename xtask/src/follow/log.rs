//! The part of following that reads the log: what a page, a missing stream, an expired token and a failed read mean, and when the next
//! read is due.

use std::time::Duration;

use super::{
    Action, CALM_READS, DRAIN_INTERVAL, EMPTY_PAGE_PAUSE, FAST_STATUS, Follow, LOG_INTERVAL, MOST_PACE, QUIET, SILENCE,
    SILENT_LOG_INTERVAL, Trouble, words,
};
use crate::event::Event;
use crate::model::LogEvent;

impl Follow {
    pub(super) fn page(
        &mut self,
        mut events: Vec<LogEvent>,
        next_token: Option<String>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.log_in_flight = false;
        let put_off = std::mem::take(&mut self.put_off);
        if self.log_faults.n > 0 {
            // How it was meanwhile nobody knows: the end has the usual time to be seen from here on.
            self.read_again_at = Some(now);
        }
        if let Some(since) = self.log_faults.end() {
            let message = format!("the output can be read again, after {}", words(now.saturating_sub(since)));
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        self.calm_reads += 1;
        if self.calm_reads >= CALM_READS {
            self.pace = (self.pace / 2).max(1);
            self.calm_reads = 0;
        }
        self.log_fault = None;
        self.had_page = true;
        let moved = !events.is_empty();
        let seems_whole = self.target.of_many && !is_full(&events);
        self.forget_printed(&mut events);
        // A missing token is taken for an unmoved one: asking with the old one again is always right.
        let at_end = next_token.is_none() || next_token == self.log_token;
        let first = self.log_token.is_none();
        if next_token.is_some() {
            self.log_token = next_token;
        }
        if moved {
            self.grown(now);
            // Only what came after the end had been seen is late; the rest of a long output is not.
            if let (Some(stopped), Some(_)) = (self.container_stopped_since, self.quiet_since) {
                self.late_by = now.saturating_sub(stopped);
            }
        }
        if !events.is_empty() {
            self.remember_printed(&events);
            self.printing = true;
            actions.push(Action::Print(events));
        }
        if !at_end || moved {
            self.quiet_since = None;
            self.drained = false;
            self.hasty |= put_off && moved;
            // The end of the log is where a read finds nothing beyond it. So early that it cannot say so, a read would be wasted.
            if seems_whole && !self.hasty && (moved || first) {
                let draining = self.container_stopped_since.is_some();
                self.put_off = draining;
                self.quiet_since = draining.then_some(now);
                self.log_at = Some(now + if draining { self.quiet() } else { LOG_INTERVAL * self.pace });
                return;
            }
            self.log_at = Some(now + if moved { Duration::ZERO } else { EMPTY_PAGE_PAUSE });
            return;
        }
        self.hasty = false;
        let since = *self.quiet_since.get_or_insert(now);
        if self.container_stopped_since.is_none() || self.drained {
            self.log_at = Some(now + self.log_interval(now));
        } else if self.log_asked_at >= since + self.quiet() {
            self.drained = true;
            self.log_at = Some(now + self.log_interval(now));
        } else {
            // The last read is due when it has been quiet for long enough, however rarely throttling lets us read.
            self.log_at = Some((now + DRAIN_INTERVAL * self.pace).min((since + self.quiet()).max(now)));
        }
    }

    /// The pause before the next read of a log whose end has been seen while the container runs. One line makes it short again.
    pub(super) fn log_interval(&self, now: Duration) -> Duration {
        let silence = now.saturating_sub(self.grown_at.or(self.log_first_asked_at).unwrap_or(now));
        (silence / SILENCE).clamp(LOG_INTERVAL, SILENT_LOG_INTERVAL).max(LOG_INTERVAL * self.pace)
    }

    /// After an expired token: takes out what is printed already.
    pub(super) fn forget_printed(&mut self, events: &mut Vec<LogEvent>) {
        let Some((time, mut left)) = self.skip else { return };
        let mut beyond = false;
        events.retain(|it| {
            beyond |= it.timestamp > time;
            let again = it.timestamp == time && left > 0;
            left -= usize::from(again);
            !again
        });
        self.skip = Some((time, left)).filter(|_| left > 0 && !beyond);
    }

    pub(super) fn remember_printed(&mut self, events: &[LogEvent]) {
        for event in events {
            self.printed_to = match self.printed_to {
                Some((time, n)) if time == event.timestamp => Some((time, n + 1)),
                Some((time, n)) if time > event.timestamp => Some((time, n)),
                _ => Some((event.timestamp, 1)),
            };
        }
    }

    /// The place in the log is lost: it is found again by the time of the newest line. Lines of that very time are counted, not
    /// compared, since equal lines are no repetition.
    pub(super) fn token_expired(&mut self, cause: String, now: Duration, actions: &mut Vec<Action>) {
        if self.log_token.is_none() {
            // Without a token it was refused for something else.
            self.log_failed(cause, Trouble::Refused, now, actions);
            return;
        }
        self.log_in_flight = false;
        self.log_token = None;
        self.log_from = self.printed_to.map(|it| it.0);
        self.skip = self.printed_to;
        self.quiet_since = None;
        self.drained = false;
        self.log_at = Some(now + FAST_STATUS);
        let message =
            format!("CloudWatch Logs forgot the place in the output ({cause}): reading on from the last line");
        actions.push(Action::Tell(Event::Warning { message, hint: None }));
    }

    pub(super) fn log_missing(&mut self, message: &str, now: Duration) {
        self.log_in_flight = false;
        self.log_fault = Some(message.to_owned());
        self.log_at = Some(
            now + match self.container_stopped_since {
                // Its container has written nothing so far, and most likely never will.
                Some(_) if self.target.of_many => QUIET,
                Some(_) => DRAIN_INTERVAL,
                None => self.log_interval(now),
            },
        );
    }

    pub(super) fn log_failed(&mut self, cause: String, trouble: Trouble, now: Duration, actions: &mut Vec<Action>) {
        self.log_in_flight = false;
        let pause = self.log_faults.next(trouble, self.seed, now);
        if trouble == Trouble::Throttled {
            self.pace = (self.pace * 2).min(MOST_PACE);
            self.calm_reads = 0;
        }
        if self.log_faults.is_worth_a_word() {
            let message = format!("cannot read the output: {cause}; trying again");
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        self.log_fault = Some(cause);
        self.log_at = Some(now + if trouble.passes() { pause } else { pause.max(Duration::from_secs(5)) });
    }
}

/// Whether a page is so large that there is more behind it: CloudWatch Logs gives up to 10,000 events or 1 MB.
fn is_full(events: &[LogEvent]) -> bool {
    let bytes: usize = events.iter().map(|it| it.message.len() + 26).sum();
    events.len() >= 9_000 || bytes >= 700_000
}
