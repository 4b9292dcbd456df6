//! A guestbook's one-off jobs: `migrate`, `seed`, `backfill`, `console`. The application that `cargo xtask` runs in its
//! README and its tests. There is no web server in it: only the jobs matter here.

mod backfill;
mod command;
mod console;
mod database;
mod error;
mod migrate;
mod seed;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    command::run(std::env::args_os().skip(1)).unwrap_or_else(|error| {
        // With stderr gone there is nobody left to tell; the exit code still says it.
        let _ = writeln!(io::stderr(), "guestbook: {error}");
        error.exit_code()
    })
}
