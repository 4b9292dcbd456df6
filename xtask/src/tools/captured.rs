//! Whether the stdout of a step is the log of GitHub's runner. The runner reads both streams of a step by a pipe each, so the streams
//! themselves do not tell; what else has a hand on stdout does.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::process::Pid;

use super::pause::parent_of;

/// Whether stdout certainly goes elsewhere: into a file (`run … > file`) or a shell's variable (`$(run …)`). Where it cannot be
/// known, as behind `| tee`, it counts as the log: a marker too many is harmless there, one too few is not.
pub fn is_captured() -> bool {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let (Some(out), Some(err)) = (metadata(&stdout), metadata(&stderr)) else { return false };
    let kind = out.file_type();
    kind.is_file()
        || (kind.is_char_device() && !stdout.is_terminal())
        || (kind.is_fifo() && by_a_shell(identity(&out), identity(&err)))
}

type Identity = (u64, u64);

fn metadata(stream: &impl AsFd) -> Option<Metadata> {
    File::from(stream.as_fd().try_clone_to_owned().ok()?).metadata().ok()
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// A shell that reads our stdout holds its pipe, and not as its own stdout; its stderr is ours, as is that of its subshells in between.
/// The runner, which is the parent of a step that is one `exec`, holds both pipes, but its own stderr is another one. Known on Linux only.
fn by_a_shell(stdout: Identity, stderr: Identity) -> bool {
    let mut parent = rustix::process::getppid();
    while let Some(process) = parent {
        let stream = |name: &str| std::fs::metadata(fd(process, name)).ok().map(|it| identity(&it));
        if stream("2") != Some(stderr) {
            return false;
        }
        let Ok(mut open) = std::fs::read_dir(fd(process, "")) else { return false };
        let is_pipe = |it: io::Result<std::fs::DirEntry>| {
            it.ok().and_then(|it| std::fs::metadata(it.path()).ok()).is_some_and(|it| identity(&it) == stdout)
        };
        if stream("1") != Some(stdout) && open.any(is_pipe) {
            return true;
        }
        parent = parent_of(process).and_then(Pid::from_raw);
    }
    false
}

fn fd(process: Pid, name: &str) -> String {
    format!("/proc/{}/fd/{name}", process.as_raw_nonzero())
}
