//! The stages of a run, each with the effects that it needs: survey, publish, register, launch, follow for ECS, and `local` for the
//! host and docker runners; `find` and `replay` for what earlier runs started. A stage takes what only the one before can make, and
//! emits events instead of printing.

pub mod check;
pub mod clean;
pub mod exclusive;
pub mod find;
pub mod follow;
pub mod launch;
pub mod local;
pub mod publish;
pub mod register;
pub mod replay;
pub mod shards;
pub mod survey;
