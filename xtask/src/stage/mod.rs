//! The stages of a run, in the order of ARCHITECTURE.md: effects that carry out what was decided.

pub mod publish;
