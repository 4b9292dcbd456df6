//! Whose log is read next, where many streams share the account's reads. Those whose container has stopped come first: two reads and
//! they are done. What still runs shares the rest, with a small part of its own, so that none of it waits for ever.

use std::collections::VecDeque;

/// Every so manieth read is one of a stream that is still written.
const LIVE_TURN: u32 = 20;

/// The reads that wait for their turn.
#[derive(Debug, Default)]
pub struct Reads {
    draining: VecDeque<u32>,
    live: VecDeque<u32>,
    turn: u32,
}

impl Reads {
    /// A shard's read waits from now on; `draining`: its container has stopped.
    pub fn push(&mut self, shard: u32, draining: bool) {
        if draining { self.draining.push_back(shard) } else { self.live.push_back(shard) }
    }

    /// A read that was throttled comes first when there is a turn again.
    pub fn push_front(&mut self, shard: u32, draining: bool) {
        if draining { self.draining.push_front(shard) } else { self.live.push_front(shard) }
    }

    /// A shard's container has stopped while its read waits.
    pub fn has_stopped(&mut self, shard: u32) {
        if let Some(place) = self.live.iter().position(|it| *it == shard) {
            self.live.remove(place);
            self.draining.push_back(shard);
        }
    }

    /// A shard wants nothing any more.
    pub fn remove(&mut self, shard: u32) {
        self.draining.retain(|it| *it != shard);
        self.live.retain(|it| *it != shard);
    }

    /// Whether a read waits. `live`: whether those count that are still written.
    pub fn is_waiting(&self, live: bool) -> bool {
        !self.draining.is_empty() || (!self.live.is_empty() && (live || self.is_lives_turn()))
    }

    fn is_lives_turn(&self) -> bool {
        !self.draining.is_empty() && self.turn + 1 >= LIVE_TURN
    }

    /// The next one. `live`: whether the calls allow for one that is still written, beside its small part.
    pub fn pop(&mut self, live: bool) -> Option<u32> {
        if self.is_lives_turn()
            && let Some(shard) = self.live.pop_front()
        {
            self.turn = 0;
            return Some(shard);
        }
        match self.draining.pop_front() {
            Some(shard) => {
                self.turn += 1;
                Some(shard)
            }
            None if live => self.live.pop_front(),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_stopped_comes_first_and_nothing_waits_for_ever() {
        let mut reads = Reads::default();
        for shard in 0..100 {
            reads.push(shard, shard >= 10);
        }
        reads.has_stopped(9);
        reads.push_front(200, true);
        let order: Vec<u32> = std::iter::from_fn(|| reads.pop(false)).collect();
        assert_eq!(order[..3], [200, 10, 11]);
        assert_eq!(order.iter().position(|it| *it == 0), Some(19), "{order:?}");
        assert_eq!(order.iter().filter(|it| **it < 9).count(), 4);
        assert_eq!(order.last(), Some(&9));
        assert!(!reads.is_waiting(false) && reads.is_waiting(true));
        reads.remove(5);
        let rest: Vec<u32> = std::iter::from_fn(|| reads.pop(true)).collect();
        assert_eq!(rest, [4, 6, 7, 8]);
    }
}
