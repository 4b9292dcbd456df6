//! Explores a [`Model`] to its end: every state that can come about, once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::model::{Model, State};

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// All states, and neither of the other two among them.
    Nothing { states: usize, moves: usize },
    /// Two ECS tasks at once, and the way there.
    Two(Vec<String>),
    /// A state from which some run can never end, not even without any more faults, and the way there.
    Stuck(Vec<String>),
}

/// Explores, breadth first, so that the way to what is found is a shortest one. `most`: gives up beyond so many states.
pub fn explore(model: &Model, most: usize) -> Found {
    let mut numbers: HashMap<State, u32, BuildHasherDefault<Fast>> = HashMap::default();
    let mut states: Vec<State> = Vec::new();
    let mut from: Vec<u32> = Vec::new();
    // Fair moves backwards: where each goes, and where it comes from.
    let mut fair: Vec<(u32, u32)> = Vec::new();
    let mut n_moves = 0;
    let start = model.start();
    numbers.insert(start.clone(), 0);
    states.push(start);
    from.push(0);
    let mut next = 0;
    while next < states.len() {
        let here = next as u32;
        let moves = model.moves(&states[next]);
        for it in moves {
            n_moves += 1;
            let is_two = it.to.alive() > 1;
            let there = match numbers.get(&it.to) {
                Some(there) => *there,
                None => {
                    let there = states.len() as u32;
                    numbers.insert(it.to.clone(), there);
                    states.push(it.to);
                    from.push(here);
                    there
                }
            };
            if is_two {
                return Found::Two(way(model, &states, &from, there));
            }
            if it.is_fair && there != here {
                fair.push((there, here));
            }
        }
        assert!(states.len() <= most, "more than {most} states");
        next += 1;
    }
    if let Some(stuck) = stuck(&states, fair) {
        return Found::Stuck(way(model, &states, &from, stuck));
    }
    Found::Nothing { states: states.len(), moves: n_moves }
}

/// A state from which no fair moves lead to the end of every run.
fn stuck(states: &[State], mut fair: Vec<(u32, u32)>) -> Option<u32> {
    fair.sort_unstable();
    let mut ends: Vec<bool> = states.iter().map(State::is_idle).collect();
    let mut open: Vec<u32> = (0..states.len() as u32).filter(|it| ends[*it as usize]).collect();
    while let Some(there) = open.pop() {
        let first = fair.partition_point(|it| it.0 < there);
        for (_, here) in fair[first..].iter().take_while(|it| it.0 == there) {
            if !std::mem::replace(&mut ends[*here as usize], true) {
                open.push(*here);
            }
        }
    }
    ends.iter().position(|it| !it).map(|it| it as u32)
}

/// The moves from the start to a state, a line each.
fn way(model: &Model, states: &[State], from: &[u32], to: u32) -> Vec<String> {
    let mut way = Vec::new();
    let mut there = to;
    while there != 0 {
        let here = from[there as usize];
        let moves = model.moves(&states[here as usize]);
        let it = moves.into_iter().find(|it| it.to == states[there as usize]).expect("it was one of them");
        way.push(format!("{} {}", it.what.0, it.what.1));
        there = here;
    }
    way.reverse();
    way
}

/// A hash that costs little without optimisation, too.
#[derive(Debug, Default)]
pub struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|it| self.write_u64(u64::from(*it)));
    }

    fn write_u8(&mut self, it: u8) {
        self.write_u64(u64::from(it));
    }

    fn write_usize(&mut self, it: usize) {
        self.write_u64(it as u64);
    }

    fn write_u64(&mut self, it: u64) {
        self.0 = (self.0.rotate_left(5) ^ it).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
