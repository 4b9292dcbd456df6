//! Runs an application's one-off jobs on AWS ECS: `cargo xtask run db-migrate`.
//!
//! A library, so that another workspace's xtask can call it; `main.rs` is a few lines. ARCHITECTURE.md has the map of the floors.

pub mod aws;
pub mod context;
pub mod error;
pub mod event;
pub mod fingerprint;
pub mod follow;
pub mod hints;
pub mod model;
pub mod stage;
pub mod tools;
pub mod verdict;
