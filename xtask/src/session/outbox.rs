//! What goes to the agent: keys that wait to become messages, messages that wait for their acknowledgement, and when each of those is
//! sent again.

use std::collections::VecDeque;
use std::time::Duration;

use super::message::payload;

/// Keys that may wait. So much that a person's escape behind them is still read while the other side is dead.
const MOST_WAITING: usize = 1 << 20;
/// The agent reads the terminal's input in pieces of this size.
const LONGEST: usize = 1024;
/// Messages on the way at once.
const WINDOW: usize = 64;
/// The service cuts sessions that send over 1,000 messages a second.
const SPACING: Duration = Duration::from_micros(1_500);
/// How far a pause lets the next messages go faster than that.
const BURST: Duration = Duration::from_millis(60);

const RTT_START: Duration = Duration::from_millis(100);
const RTO_START: Duration = Duration::from_millis(200);
const RTO_MOST: Duration = Duration::from_secs(1);
const VARIATION_LEAST: Duration = Duration::from_millis(10);
/// Messages sent again at one time.
const AGAIN_AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Sent {
    sequence: i64,
    bytes: Vec<u8>,
    at: Duration,
    times: u32,
    due: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outbox {
    next_sequence: i64,
    /// Handshake and sizes: before any keys.
    messages: VecDeque<(u32, Vec<u8>)>,
    keys: VecDeque<u8>,
    sent: VecDeque<Sent>,
    rtt: Duration,
    variation: Duration,
    rto: Duration,
    /// From when the next new message may go.
    free_at: Duration,
    again: usize,
    again_at: Duration,
    /// When the oldest message's turn began, over however many channels.
    heard_at: Duration,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox {
            next_sequence: 0,
            messages: VecDeque::new(),
            keys: VecDeque::new(),
            sent: VecDeque::new(),
            rtt: RTT_START,
            variation: Duration::ZERO,
            rto: RTO_START,
            free_at: Duration::ZERO,
            again: 0,
            again_at: Duration::ZERO,
            heard_at: Duration::ZERO,
        }
    }
}

/// What to send next.
#[derive(Debug)]
pub(super) enum Next {
    Nothing,
    /// These bytes once more.
    Again(Vec<u8>),
    /// This as a new message; tell its bytes to [`Outbox::sent`].
    New {
        sequence: i64,
        payload_type: u32,
        payload: Vec<u8>,
    },
}

impl Outbox {
    pub fn room(&self) -> usize {
        MOST_WAITING.saturating_sub(self.keys.len())
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.messages.is_empty() && self.sent.is_empty()
    }

    pub fn keys(&mut self, bytes: &[u8]) {
        self.keys.extend(bytes);
    }

    pub fn message(&mut self, payload_type: u32, payload: Vec<u8>) {
        // Only the newest of sizes that wait is worth sending.
        if payload_type == payload::SIZE {
            self.messages.retain(|it| it.0 != payload::SIZE);
        }
        self.messages.push_back((payload_type, payload));
    }

    /// A new channel: nothing that was on the way is.
    pub fn all_due(&mut self, now: Duration) {
        for sent in &mut self.sent {
            sent.due = now;
        }
        self.again = 0;
        self.heard_at = now;
    }

    pub fn acknowledged(&mut self, sequence: i64, now: Duration) {
        let Some(index) = self.sent.iter().position(|it| it.sequence == sequence) else { return };
        let Some(sent) = self.sent.remove(index) else { return };
        self.heard_at = now;
        // What was sent twice tells nothing about the time that one answer takes.
        if sent.times == 1 {
            let rtt = now.saturating_sub(sent.at);
            self.variation = self.variation * 3 / 4 + self.rtt.abs_diff(rtt) / 4;
            self.rtt = self.rtt * 7 / 8 + rtt / 8;
            self.rto = (self.rtt + VARIATION_LEAST.max(self.variation * 4)).min(RTO_MOST);
        }
    }

    pub fn sent(&mut self, sequence: i64, bytes: Vec<u8>, now: Duration) {
        if self.sent.is_empty() {
            self.heard_at = now;
        }
        self.sent.push_back(Sent { sequence, bytes, at: now, times: 1, due: now + self.rto });
        self.free_at = self.free_at.max(now.saturating_sub(BURST)) + SPACING;
    }

    pub fn next(&mut self, now: Duration, keys_too: bool) -> Next {
        if now >= self.again_at {
            self.again = 0;
        }
        if self.again < AGAIN_AT_ONCE
            && let Some(sent) = self.sent.iter_mut().find(|it| it.due <= now)
        {
            sent.times += 1;
            sent.due = now + (self.rto * sent.times.min(4)).min(RTO_MOST);
            self.again += 1;
            self.again_at = now + self.rto / 8;
            return Next::Again(sent.bytes.clone());
        }
        if self.sent.len() >= WINDOW || now < self.free_at {
            return Next::Nothing;
        }
        let (payload_type, payload) = match self.messages.pop_front() {
            Some(message) => message,
            None if keys_too && !self.keys.is_empty() => {
                let length = self.keys.len().min(LONGEST);
                (payload::OUTPUT, self.keys.drain(..length).collect())
            }
            None => return Next::Nothing,
        };
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Next::New { sequence, payload_type, payload }
    }

    pub fn wake_at(&self, keys_too: bool) -> Duration {
        let again = self.sent.iter().map(|it| it.due).min().unwrap_or(Duration::MAX);
        let again = if self.again >= AGAIN_AT_ONCE { again.max(self.again_at) } else { again };
        let waits = !self.messages.is_empty() || (keys_too && !self.keys.is_empty());
        let new = if waits && self.sent.len() < WINDOW { self.free_at } else { Duration::MAX };
        again.min(new)
    }

    pub fn is_hopeless(&self, now: Duration) -> bool {
        !self.sent.is_empty() && now > self.heard_at + PATIENCE
    }
}
