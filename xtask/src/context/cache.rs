//! Digests of files that were read before, so that only what changed is read again: a file of the user's cache for each context.
//!
//! A file's digest is taken from here only if everything that its inode says is as it was: number, size, and both times to the
//! nanosecond. A program can set the time of modification back, but not that of the last change of the inode. What that leaves is a
//! file that is written twice within one tick of the file system's clock, between which it was read; so nothing is kept of a file
//! that was changed less than [`SETTLED`] before the reading began, nor of one that comes from the future. A cache that was written in
//! the future, by somebody else, or not to its end is not there.
//!
//! A file system that other machines write to has its own clock and may answer from memory, and one without inodes of its own does not
//! tell changes; there everything is read each time.

use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::fingerprint::{Content, Digest};

/// Raised whenever the bytes mean something else.
const MAGIC: &[u8; 16] = b"xtask context 1\n";
/// The coarsest clock of a file system, FAT's, ticks every two seconds.
const SETTLED: i128 = 2_000_000_000;
/// A cache that nothing has used for so long is removed.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);
/// A cache that is used says so once in a while.
const USED: Duration = Duration::from_secs(24 * 3600);

const STAMP: usize = 48;
const RECORD: usize = STAMP + 32;
/// The magic, whose context it is, when it was written.
const HEAD: usize = 16 + 32 + 16;

/// What an inode says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    device: u64,
    /// Its number.
    pub inode: u64,
    size: u64,
    /// In nanoseconds, as are all times here.
    modified: i128,
    changed: i128,
}

impl Stamp {
    /// Of a file's metadata.
    pub fn of(metadata: &Metadata) -> Stamp {
        let time = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Without the device, whose number may be another one after a restart.
    fn bytes(&self) -> [u8; STAMP] {
        let mut bytes = [0; STAMP];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.modified.to_le_bytes());
        bytes[32..].copy_from_slice(&self.changed.to_le_bytes());
        bytes
    }
}

/// What is known of the files of one context.
#[derive(Debug)]
pub struct Cache {
    /// `None`: nothing is kept.
    file: Option<PathBuf>,
    /// Whose context it is.
    context: Digest,
    /// The context's own: of what is mounted below it nothing is kept.
    device: u64,
    /// When the reading began.
    started: i128,
    /// Records, by inode.
    known: Vec<u8>,
    /// Of the same records.
    inodes: Vec<u64>,
}

/// What was found out of a file.
#[derive(Debug, Clone, Copy)]
pub struct Learnt {
    stamp: Stamp,
    digest: Digest,
}

/// Where the caches of this user are.
pub fn store() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("xtask"))
}

impl Cache {
    /// The cache of a context, a folder without symbolic links on the way; empty where there is none, or none that can be trusted.
    pub fn open(store: Option<&Path>, folder: &Path) -> Cache {
        Cache::open_at(store, folder, now())
    }

    fn open_at(store: Option<&Path>, folder: &Path, started: i128) -> Cache {
        let context = Content::of(folder.as_os_str().as_bytes());
        let mut cache = Cache { file: None, context, device: 0, started, known: Vec::new(), inodes: Vec::new() };
        let (Some(store), Ok(metadata)) = (store, fs::metadata(folder)) else { return cache };
        // In the context it would change what it is a cache of.
        if resolved(store).starts_with(folder) || is_untold(folder) {
            return cache;
        }
        let name: String = context.iter().take(8).map(|it| format!("{it:02x}")).collect();
        let file = store.join(format!("context-{name}"));
        cache.device = metadata.dev();
        if let Some(known) = load(&file, &context, cache.started) {
            cache.inodes = known
                .chunks_exact(RECORD)
                .map(|it| u64::from_le_bytes([it[0], it[1], it[2], it[3], it[4], it[5], it[6], it[7]]))
                .collect();
            cache.known = known;
        }
        cache.file = Some(file);
        cache
    }

    /// The digest of a file's bytes, if it is the same file as when they were read.
    pub fn get(&self, stamp: &Stamp) -> Option<Digest> {
        if stamp.device != self.device {
            return None;
        }
        let index = self.inodes.binary_search(&stamp.inode).ok()?;
        let record = self.known.get(index * RECORD..(index + 1) * RECORD)?;
        let mut digest = Digest::default();
        digest.copy_from_slice(&record[STAMP..]);
        (record[..STAMP] == stamp.bytes()).then_some(digest)
    }

    /// What is worth keeping of a file that was read between two looks at its inode.
    pub fn learn(&self, before: Stamp, after: Stamp, digest: Digest) -> Option<Learnt> {
        let settled = before.modified.max(before.changed) + SETTLED <= self.started;
        let keep = self.file.is_some() && before == after && before.device == self.device && settled;
        keep.then_some(Learnt { stamp: before, digest })
    }

    /// Writes what was learnt beside what was known, of which these inodes were of use. A cache that cannot be written is none.
    pub fn save(&self, mut learnt: Vec<Learnt>, mut useful: Vec<u64>) {
        let Some(file) = &self.file else { return };
        if learnt.is_empty() {
            let used = fs::metadata(file).and_then(|it| it.modified()).ok();
            if used.and_then(|it| it.elapsed().ok()).is_some_and(|it| it > USED) {
                let _ = File::options().write(true).open(file).and_then(|it| it.set_modified(SystemTime::now()));
            }
            return;
        }
        learnt.sort_by_key(|it| it.stamp.inode);
        learnt.dedup_by_key(|it| it.stamp.inode);
        // Two images may see different parts of one context, so what this run had no use for stays, within limits.
        let keep_all = self.inodes.len() <= 4 * (useful.len() + learnt.len()) + 1000;
        useful.sort_unstable();
        let kept = |inode: &u64| keep_all || useful.binary_search(inode).is_ok();
        let _ = write(file, &self.bytes(&learnt, kept), self.started);
        forget_old(file);
    }

    fn bytes(&self, learnt: &[Learnt], kept: impl Fn(&u64) -> bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.known.len() + learnt.len() * RECORD + 32);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.context);
        bytes.extend_from_slice(&self.started.to_le_bytes());
        let mut learnt = learnt.iter().peekable();
        let push = |bytes: &mut Vec<u8>, it: &Learnt| {
            bytes.extend_from_slice(&it.stamp.bytes());
            bytes.extend_from_slice(&it.digest);
        };
        for (record, inode) in self.known.chunks_exact(RECORD).zip(&self.inodes) {
            while let Some(it) = learnt.next_if(|it| it.stamp.inode < *inode) {
                push(&mut bytes, it);
            }
            match learnt.next_if(|it| it.stamp.inode == *inode) {
                Some(it) => push(&mut bytes, it),
                None if kept(inode) => bytes.extend_from_slice(record),
                None => {}
            }
        }
        learnt.for_each(|it| push(&mut bytes, it));
        let sum = Content::of(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }
}

/// The records of a cache file, if it is whole, of this context, this user's alone and from the past.
fn load(file: &Path, context: &Digest, now: i128) -> Option<Vec<u8>> {
    let metadata = fs::symlink_metadata(file).ok()?;
    let ours =
        metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    let mut bytes = if ours { fs::read(file).ok()? } else { return None };
    let end = bytes.len().checked_sub(32).filter(|it| *it >= HEAD && (it - HEAD).is_multiple_of(RECORD))?;
    let written = i128::from_le_bytes(bytes[48..HEAD].try_into().ok()?);
    if bytes[..16] != *MAGIC || bytes[16..48] != *context || written > now || Content::of(&bytes[..end]) != bytes[end..]
    {
        return None;
    }
    bytes.truncate(end);
    bytes.drain(..HEAD);
    Some(bytes)
}

/// In one step, so that another run sees the old one or the new one.
fn write(file: &Path, bytes: &[u8], started: i128) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)?;
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}-{started}", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut it| it.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes the caches of contexts that nobody builds any more, and what a run that was killed has left.
fn forget_old(file: &Path) {
    let Some(entries) = file.parent().and_then(|it| fs::read_dir(it).ok()) else { return };
    for entry in entries.flatten().filter(|it| it.file_name().as_bytes().starts_with(b"context-")) {
        let used = entry.metadata().and_then(|it| it.modified()).ok();
        if used.and_then(|it| it.elapsed().ok()).is_some_and(|it| it > FORGOTTEN) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A path that may not exist yet, with the symbolic links of what does exist of it resolved.
fn resolved(path: &Path) -> PathBuf {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(path), _, _) => path,
        (Err(_), Some(parent), Some(name)) => resolved(parent).join(name),
        (Err(_), _, _) => path.to_owned(),
    }
}

/// Whether another machine, or the host of this virtual one, may change the files behind this one's back, or changes leave no trace.
#[cfg(target_os = "linux")]
fn is_untold(folder: &Path) -> bool {
    // NFS, SMB in three ages, FUSE, 9P, Ceph, AFS, a virtual machine's shared folder; FAT, exFAT.
    const UNTOLD: [u32; 11] = [
        0x6969,
        0x517b,
        0xfe53_4d42,
        0xff53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x786f_4256,
        0x4d44,
        0x2011_bab0,
    ];
    // Its width differs from one architecture to the next; the numbers are of 32 bits.
    rustix::fs::statfs(folder).is_ok_and(|it| UNTOLD.contains(&(it.f_type as u32)))
}

/// The same; elsewhere inodes are believed.
#[cfg(not(target_os = "linux"))]
fn is_untold(_folder: &Path) -> bool {
    false
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests;
