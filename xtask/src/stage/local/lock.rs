//! `exclusive` on this machine: a lock on a file of the user's, one for each task in an environment of a folder. It goes with this process,
//! however that ends; the file stays, since whoever removed it could remove somebody else's lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::{machine, who};
use crate::error::{Error, Result};
use crate::model::ResolvedTask;

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What came of asking for it.
#[derive(Debug)]
pub enum Locked {
    /// It is ours.
    Ours(Lock),
    /// Another process has it: who, since when, in words.
    Held(String),
}

/// Asks for the lock of a task; `now` is RFC 3339, for those who come later.
pub fn lock(root: &Path, task: &ResolvedTask, run_id: &str, now: &str) -> Result<Locked> {
    lock_in(&folder(), root, task, run_id, now)
}

/// The same for every process of the user, whatever its TMPDIR and session are.
fn folder() -> PathBuf {
    match std::env::var_os("HOME").filter(|it| !it.is_empty()) {
        Some(home) => PathBuf::from(home).join(".cache").join("xtask").join("locks"),
        None => std::env::temp_dir().join("xtask-locks"),
    }
}

fn lock_in(folder: &Path, root: &Path, task: &ResolvedTask, run_id: &str, now: &str) -> Result<Locked> {
    let path = folder.join(name(root, task));
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::failed(format!("cannot {what} the lock of `{}`: `{}`: {error}", task.task, path.display()))
            .hint("exclusive tasks need a folder that can be written to: check HOME")
    };
    fs::create_dir_all(folder).map_err(|it| failed("make", &it))?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(|it| failed("open", &it))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Its holder may be about to write it.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            return Ok(Locked::Held(if holder.is_empty() { "another process" } else { holder }.to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(failed("take", &error)),
    }
    let who = who(|it| std::env::var(it).ok(), machine().as_deref());
    let text = format!("run {run_id}, started by {who}, process {}, since {now}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(|it| failed("write", &it))?;
    Ok(Locked::Ours(Lock { _file: file }))
}

/// Other folders have other databases.
fn name(root: &Path, task: &ResolvedTask) -> String {
    let hex: String = digest(&SHA256, root.as_os_str().as_encoded_bytes())
        .as_ref()
        .iter()
        .take(8)
        .map(|it| format!("{it:02x}"))
        .collect();
    format!("{}-{}-{hex}", task.environment.value, task.task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Runner;
    use crate::stage::local::tests::task;

    #[test]
    fn one_at_a_time_and_the_loser_hears_who() {
        let folder = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let ask = |root: &str, run: &str| {
            lock_in(&folder, Path::new(root), &task(Runner::Host), run, "2026-11-22T12:00:00.000Z").unwrap()
        };
        let Locked::Ours(lock) = ask("/a", "r1") else { panic!("nobody has it") };
        let Locked::Held(holder) = ask("/a", "r2") else { panic!("r1 has it") };
        assert!(holder.starts_with("run r1, started by ") && holder.contains("since 2026-11-22"), "{holder}");
        assert!(matches!(ask("/b", "r3"), Locked::Ours(_)), "another folder");
        drop(lock);
        assert!(matches!(ask("/a", "r4"), Locked::Ours(_)), "r1 is gone");
        fs::remove_dir_all(&folder).unwrap();
    }
}
