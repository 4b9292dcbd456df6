//! Runs an application's one-off jobs on AWS ECS: `cargo xtask run db-migrate`.
//!
//! A library, so that another workspace's xtask can call it; `main.rs` is a few lines. ARCHITECTURE.md has the map of the floors.

pub mod aws;
pub mod checks;
pub mod config;
pub mod console;
pub mod context;
pub mod cx;
pub mod error;
pub mod event;
pub mod exclusive;
pub mod fingerprint;
pub mod flags;
pub mod follow;
pub mod hints;
pub mod model;
pub mod ours;
pub mod permissions;
pub mod plan;
#[cfg(test)]
#[path = "tests/random.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod random;
pub mod resolve;
pub mod retention;
pub mod retry;
pub mod session;
pub mod shards;
pub mod stage;
pub mod tools;
pub mod ui;
pub mod verb;
pub mod verdict;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::flags::Cli;

/// Does what the command line says and returns the process's exit code. `arguments`: the program's name first, as in
/// `std::env::args_os()`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap tells the two apart, and prints each to its own stream.
            if let Err(fault) = error.print()
                && !error.use_stderr()
                && fault.kind() != std::io::ErrorKind::BrokenPipe
            {
                let error = error::Error::failed(format!("cannot write to stdout: {fault}"));
                return ExitCode::from(verb::complain(&error));
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::exit::REFUSED));
        }
    };
    ExitCode::from(verb::dispatch(cli))
}
