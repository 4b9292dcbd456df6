//! The terminal on standard input, put back as it was after a program that may have died in raw mode.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios};

/// The terminal's settings, restored when this is dropped.
#[derive(Debug)]
pub struct Saved(Option<Termios>);

/// Keeps the settings of the terminal on standard input; does nothing where that is none.
pub fn save() -> Saved {
    let stdin = io::stdin();
    Saved(if stdin.is_terminal() { rustix::termios::tcgetattr(stdin.as_fd()).ok() } else { None })
}

impl Drop for Saved {
    fn drop(&mut self) {
        let stdin = io::stdin();
        let Some(settings) = &self.0 else { return };
        // From the background the call would stop this process.
        let foreground = rustix::termios::tcgetpgrp(stdin.as_fd()).is_ok_and(|it| it == rustix::process::getpgrp());
        if foreground {
            let _ = rustix::termios::tcsetattr(stdin.as_fd(), OptionalActions::Drain, settings);
        }
    }
}

/// Whether this process has a terminal at all, whatever its streams are: a child could open it by name.
pub fn exists() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
