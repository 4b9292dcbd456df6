//! `exclusive` on this machine: a lock on a file, one for each task in an environment of a folder, for whoever runs it there.
//!
//! The task's process holds it too: where this process is killed the task runs on, and so does its place. A task's end frees the place
//! also where something that it left behind (a build daemon) still has the file. On docker the container can outlive every process of
//! ours: it carries the place as a label and is looked for.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use rustix::io::Errno;
use rustix::process::Pid;

use super::{docker, machine, who};
use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::model::{ResolvedTask, Runner};

/// For every user, and gone with the next start of the machine. Not on every system.
const FOLDER_OF_LOCKS: &str = "/run/lock";
/// What every system has. Not what TMPDIR says: that is another one for each user or session.
const FOLDER_OF_ALL: &str = "/tmp";

/// Held until it is dropped, and by the process that was started with [`Lock::file`].
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// What the task's process has to hold.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Notes for those who come later that this process (and its group) holds it too.
    pub fn taken_along(&self, process: i32) {
        // Who cannot be told does without.
        let _ = (&self.file).write_all(format!("{GROUP}{process}\n").as_bytes());
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only while it is held may it be removed, and only by who may: in a folder of all users, its maker. Whoever has opened it
        // meanwhile sees that it is another file now.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// What came of asking for it.
#[derive(Debug)]
pub enum Locked {
    /// It is ours.
    Ours(Lock),
    /// Something else has it.
    Held(Holder),
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who, since when.
    pub words: String,
    /// One thing to do.
    pub hint: String,
    /// Its process has ended, and what that started has not.
    is_gone: bool,
}

/// Asks for the lock of a task; `now` is RFC 3339, for those who come later.
pub async fn lock(cx: &Cx, task: &ResolvedTask, run_id: &str, now: &str) -> Result<Locked> {
    let place = place(&cx.root, task);
    let locked = lock_in(&folder(Path::new(FOLDER_OF_LOCKS)), &place, task, run_id, now)?;
    let followed = matches!(&locked, Locked::Held(holder) if !holder.is_gone);
    if task.runner.value == Runner::Docker
        && !followed
        && let Some(container) = docker::containers_of(&cx.sh, &place).await?.into_iter().next()
    {
        return Ok(Locked::Held(Holder { words: container.words(), hint: container.hint(), is_gone: true }));
    }
    Ok(locked)
}

/// The same for every process on this machine, whoever's it is.
fn folder(of_locks: &Path) -> PathBuf {
    // Whether all may write there is the same answer for all.
    let open = fs::metadata(of_locks).is_ok_and(|it| it.is_dir() && it.mode() & 0o1007 == 0o1007);
    let parent = if open { of_locks } else { Path::new(FOLDER_OF_ALL) };
    parent.join("xtask")
}

/// How often a lock is looked for that was removed, or made by another, between two calls of ours. Each holder does that once.
const TURNS: usize = 1_000;

fn lock_in(folder: &Path, place: &str, task: &ResolvedTask, run_id: &str, now: &str) -> Result<Locked> {
    let path = folder.join(place);
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Error::failed(format!("cannot {what} the lock of `{}`: `{}`: {error}", task.task, path.display()))
            .hint(format!("exclusive tasks need `{}`, which every user can write to (mode 1777)", folder.display()))
    };
    make_folder(folder).map_err(|it| failed("make", &it))?;
    for _ in 0..TURNS {
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(failed("open", &error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Locked::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(failed("take", &error)),
        }
        // Its last holder may have removed it between our opening and our lock.
        let (ours, there) = (file.metadata().map_err(|it| failed("look at", &it))?, fs::symlink_metadata(&path));
        if !there.is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())) {
            continue;
        }
        if !ours.is_file() || ours.nlink() != 1 {
            return Err(failed("take", &"something else than a plain file"));
        }
        let who = who(|it| std::env::var(it).ok(), machine().as_deref());
        let text = format!("run {run_id}, started by {who}, since {now}\n{PROCESS}{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(|it| failed("write", &it))?;
        return Ok(Locked::Ours(Lock { file, path }));
    }
    Err(failed("take", &"it is removed and made again all the time"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        // Every user makes and opens files in it, and removes only their own.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o1777)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// An existing file, else a new one. In two steps: where the folder is open to all, Linux lets nobody open another user's file by a
/// call that would also make one.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(NO_FOLLOW);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = options.create_new(true).open(path)?;
            // Other users write who they are when they have it.
            file.set_permissions(Permissions::from_mode(0o666))?;
            Ok(file)
        }
        opened => opened,
    }
}

/// A link in a folder of all users leads to a file that somebody wants to have overwritten.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

const PROCESS: &str = "process ";
const GROUP: &str = "group ";

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let is_gone =
        |it: i32| Pid::from_raw(it).is_some_and(|it| rustix::process::test_kill_process(it) == Err(Errno::SRCH));
    // Its holder may be about to write it.
    let _ = file.read_to_string(&mut text);
    held_by(&text, is_gone)
}

fn held_by(text: &str, is_gone: impl Fn(i32) -> bool) -> Holder {
    let number = |name: &str| text.lines().find_map(|it| it.strip_prefix(name)).and_then(|it| it.parse::<i32>().ok());
    let process = number(PROCESS);
    let by = match text.lines().next().filter(|it| !it.is_empty()) {
        Some(line) => line.to_owned(),
        None => "another process".to_owned(),
    };
    if let Some(process) = process.filter(|it| is_gone(*it)) {
        let runs_on = format!("{by}; its own process {process} is gone, but what it started runs on");
        let (words, hint) = match number(GROUP) {
            Some(group) => (
                format!("{runs_on}, as process group {group}"),
                format!("wait for its end, or end it with `kill -- -{group}`"),
            ),
            // It was gone before it could write the group down.
            None => (runs_on, "wait for its end and run again".to_owned()),
        };
        return Holder { words, hint, is_gone: true };
    }
    let process = process.map(|it| format!(", process {it}")).unwrap_or_default();
    Holder { words: format!("{by}{process}"), hint: "wait for its end and run again".to_owned(), is_gone: false }
}

/// The name of a task's place. Other folders have other databases; the same folder by another name has not.
pub fn place(root: &Path, task: &ResolvedTask) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
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
    use crate::stage::local::tests::task;

    #[test]
    fn one_at_a_time_and_the_loser_hears_who() {
        let folder = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        let ask = |place: &str, run: &str| {
            lock_in(&folder, place, &task(Runner::Host), run, "2026-11-22T12:00:00.000Z").unwrap()
        };
        let Locked::Ours(lock) = ask("a", "r1") else { panic!("nobody has it") };
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o1777, "for all users");
        assert_eq!(fs::metadata(folder.join("a")).unwrap().mode() & 0o777, 0o666, "for all users");
        let Locked::Held(holder) = ask("a", "r2") else { panic!("r1 has it") };
        assert!(holder.words.starts_with("run r1, started by "), "{holder:?}");
        assert!(holder.words.contains(", since 2026-11-22"), "{holder:?}");
        assert!(matches!(ask("b", "r3"), Locked::Ours(_)), "another place");
        drop(lock);
        assert!(!folder.join("a").exists(), "nothing is left");
        assert!(matches!(ask("a", "r4"), Locked::Ours(_)), "r1 is gone");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_link_in_the_folder_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("xtask-lock-link-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("precious"), "data").unwrap();
        std::os::unix::fs::symlink("precious", folder.join("a")).unwrap();
        fs::hard_link(folder.join("precious"), folder.join("b")).unwrap();
        for (place, failed) in [("a", "cannot open"), ("b", "cannot take")] {
            let error = lock_in(&folder, place, &task(Runner::Host), "r1", "now").unwrap_err();
            assert!(error.to_string().contains(&format!("{failed} the lock of `db-migrate`")), "{error}");
        }
        assert_eq!(fs::read_to_string(folder.join("precious")).unwrap(), "data");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_folder_is_where_all_may_write() {
        let folder_of = |mode: u32| {
            let path = std::env::temp_dir().join(format!("xtask-lock-mode-{mode:o}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let found = folder(&path);
            fs::remove_dir_all(&path).unwrap();
            (found, path.join("xtask"))
        };
        let (found, open) = folder_of(0o1777);
        assert_eq!(found, open);
        assert_eq!(folder_of(0o755).0, Path::new("/tmp/xtask"));
        assert_eq!(folder(Path::new("/no/such/folder")), Path::new("/tmp/xtask"));
    }

    #[test]
    fn a_holder_whose_process_is_gone_is_told_from_one_that_lives() {
        let text = "run r1, started by ada@tower, since 2026-11-22\nprocess 12\ngroup 34\n";
        for (text, gone, words, hint) in [
            ("", false, "another process", "wait for its end and run again"),
            (
                text,
                false,
                "run r1, started by ada@tower, since 2026-11-22, process 12",
                "wait for its end and run again",
            ),
            (text, true, "as process group 34", "kill -- -34"),
            (
                "run r1\nprocess 12\n",
                true,
                "run r1; its own process 12 is gone, but what it started runs on",
                "wait for its end",
            ),
        ] {
            let holder = held_by(text, |_| gone);
            assert!(holder.words.contains(words) && holder.hint.contains(hint), "{holder:?}");
        }
    }
}
