//! The build context as docker sees it: what of a folder is left after its `.dockerignore`, read for the fingerprint.
//!
//! Follows BuildKit where the two builders differ, because it never sees less than the classic one: with more in the hash than a build
//! uses, an image is at worst built once too often.

pub mod cache;
pub mod ignore;

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::{Error, Problem, Result};
use crate::fingerprint::{self, Content, Digest, Entry, Inputs, Kind};
use crate::model::ImageSpec;
use cache::{Cache, Learnt, Stamp};
use ignore::{Matched, Rules};

/// How many threads read files. More do not help on the disks that people have.
const READERS: usize = 4;

/// The files of a build, found but not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The context, with every symbolic link on the way resolved, as docker resolves them.
    pub folder: PathBuf,
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// The ignore file that applies, where there is one.
    pub ignore_file: Option<PathBuf>,
    /// The ignore file is the Dockerfile's own (`Dockerfile.dockerignore`), which only BuildKit knows.
    pub needs_buildkit: bool,
}

/// What a fingerprint is made of, and what is worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// For [`fingerprint::tag`].
    pub inputs: Inputs,
    /// Things in the context that make the tag change without need.
    pub warnings: Vec<String>,
}

/// One path of the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the context.
    pub path: PathBuf,
    /// What it is.
    pub kind: FoundKind,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its owner may execute it.
        executable: bool,
        /// For the cache of digests.
        stamp: Stamp,
    },
    /// A symbolic link.
    Symlink,
    /// A named pipe or a device. Sockets are not found at all: docker leaves them out.
    Special,
}

/// Finds the context, the Dockerfile and the ignore file. What is missing is an error at its place in tasks.toml.
pub fn locate(root: &Path, spec: &ImageSpec) -> Result<Located> {
    let name = &spec.name;
    let context = &spec.context;
    if is_remote(&context.value) && !root.join(&context.value).is_dir() {
        let problem = Problem::new(format!("the context of image `{name}` must be a folder, not `{}`", context.value));
        return Err(problem.at(context.span()).hint("check the sources out and name their folder").refused());
    }
    let written = root.join(&context.value);
    let folder = fs::canonicalize(&written).map_err(|it| {
        let problem =
            Problem::new(format!("cannot open the context of image `{name}`, {}: {}", written.display(), cause(&it)));
        let hint = match spec.prepare.is_none() && it.kind() == io::ErrorKind::NotFound {
            true => "`context` is relative to the folder of tasks.toml; `prepare` can make it before every build",
            false => "`context` is relative to the folder of tasks.toml",
        };
        problem.at(context.span()).hint(hint).refused()
    })?;
    if !folder.is_dir() {
        let problem = Problem::new(format!("the context of image `{name}`, {}, is not a folder", written.display()));
        return Err(problem.at(context.span()).refused());
    }

    let dockerfile = match &spec.dockerfile {
        Some(it) => root.join(&it.value),
        // docker takes the lowercase name too where the usual one does not exist.
        None => ["Dockerfile", "dockerfile"]
            .map(|it| folder.join(it))
            .into_iter()
            .find(|it| it.is_file())
            .unwrap_or_else(|| folder.join("Dockerfile")),
    };
    if !dockerfile.is_file() {
        let cause = if dockerfile.exists() { "is not a file" } else { "does not exist" };
        let problem = Problem::new(format!("the Dockerfile of image `{name}`, {}, {cause}", dockerfile.display()));
        let (span, hint) = match &spec.dockerfile {
            Some(it) => (it.span(), "`dockerfile` is relative to the folder of tasks.toml"),
            None => (context.span(), "set `dockerfile` in the image, relative to the folder of tasks.toml"),
        };
        return Err(problem.at(span).hint(hint).refused());
    }

    let mut own = dockerfile.clone().into_os_string();
    own.push(".dockerignore");
    let own = PathBuf::from(own);
    let shared = folder.join(".dockerignore");
    let needs_buildkit = own.is_file();
    let ignore_file = if needs_buildkit { Some(own) } else { Some(shared).filter(|it| it.is_file()) };
    Ok(Located { folder, dockerfile, ignore_file, needs_buildkit })
}

/// Reads everything that a build of the image could see, but for what `store` knows of it: see [`cache`]. Blocks; ends early, with an
/// error that nobody reads, once `cancelled` is set.
pub fn read(root: &Path, spec: &ImageSpec, store: Option<&Path>, cancelled: &AtomicBool) -> Result<Contents> {
    read_by(root, spec, &|folder| Cache::open(store, folder), cancelled)
}

fn read_by(root: &Path, spec: &ImageSpec, open: &dyn Fn(&Path) -> Cache, cancelled: &AtomicBool) -> Result<Contents> {
    let located = locate(root, spec)?;
    // Before anything is looked at: it holds the time of that.
    let cache = open(&located.folder);
    let rules_text = match &located.ignore_file {
        Some(file) => Some(fs::read(file).map_err(|it| unreadable(file, &it))?),
        None => None,
    };
    let rules = rules(&located, rules_text.as_deref().unwrap_or_default())?;
    let found = walk(&located.folder, &rules, cancelled)?;
    let warnings = warnings(spec, &located.folder, &found);
    let context = digest(&located.folder, &found, &cache, cancelled)?;

    let mut named_contexts = BTreeMap::new();
    for (name, folder) in local_named_contexts(spec) {
        let folder = root.join(folder);
        let folder = fs::canonicalize(&folder).map_err(|it| unreadable(&folder, &it))?;
        // Its own .dockerignore applies in newer versions of BuildKit only, so everything counts.
        let cache = open(&folder);
        let found = walk(&folder, &Rules::default(), cancelled)?;
        named_contexts.insert(name, digest(&folder, &found, &cache, cancelled)?);
    }

    let dockerfile = fs::read(&located.dockerfile).map_err(|it| unreadable(&located.dockerfile, &it))?;
    let inputs = Inputs {
        context,
        named_contexts,
        dockerfile: Content::of(&dockerfile),
        ignore_file: rules_text.as_deref().map(Content::of),
        build_args: spec.build_args.iter().map(|(name, it)| (name.clone(), it.value.clone())).collect(),
        target: spec.target.as_ref().map(|it| it.value.clone()),
        options: spec.build_options.iter().map(|it| it.value.clone()).collect(),
        secrets: spec.build_secrets.iter().map(|it| it.value.clone()).collect(),
    };
    Ok(Contents { inputs, warnings })
}

/// The rules of the ignore file.
pub fn rules(located: &Located, text: &[u8]) -> Result<Rules> {
    Rules::parse(&String::from_utf8_lossy(text)).map_err(|bad| {
        let file = located.ignore_file.as_deref().unwrap_or(Path::new(".dockerignore"));
        Error::refused(format!("line {} of {} is not a pattern: `{}`", bad.line, file.display(), bad.text))
            .hint("close every `[`, put something behind `!`, and no `\\` at the end")
    })
}

/// Everything in the folder that the rules leave, directories included, in no order that matters.
pub fn walk(folder: &Path, rules: &Rules, cancelled: &AtomicBool) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut state = Walk { folder, rules, cancelled, found: &mut found };
    state.directory(Path::new(""), &Matched::default(), false)?;
    Ok(found)
}

struct Walk<'a> {
    folder: &'a Path,
    rules: &'a Rules,
    cancelled: &'a AtomicBool,
    found: &'a mut Vec<Found>,
}

impl Walk<'_> {
    /// Adds what is below `directory`. `ignored`: it is ignored itself, and only looked into for exceptions.
    fn directory(&mut self, directory: &Path, matched: &Matched, ignored: bool) -> Result<()> {
        stop_if(self.cancelled)?;
        let path = self.folder.join(directory);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // docker reads nothing there either.
            Err(error) if ignored && error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|it| unreadable(&path, &it))?;
            let relative = directory.join(entry.file_name());
            let text = relative.to_string_lossy();
            let (ignored, matched) = self.rules.check(&text, matched);
            let kind = entry.file_type().map_err(|it| unreadable(&entry.path(), &it))?;
            if kind.is_dir() {
                if ignored && !self.rules.may_have_exceptions_in(&text) {
                    continue;
                }
                let before = self.found.len();
                self.directory(&relative, &matched, ignored)?;
                // An ignored directory exists in the image all the same once something in it does.
                if !ignored || self.found.len() > before {
                    self.found.push(Found { path: relative, kind: FoundKind::Directory });
                }
            } else if !ignored && !kind.is_socket() {
                let kind = if kind.is_symlink() {
                    FoundKind::Symlink
                } else if kind.is_file() {
                    let metadata = entry.metadata().map_err(|it| unreadable(&entry.path(), &it))?;
                    FoundKind::File { executable: is_executable(&metadata), stamp: Stamp::of(&metadata) }
                } else {
                    FoundKind::Special
                };
                self.found.push(Found { path: relative, kind });
            }
        }
        Ok(())
    }
}

/// What one thread has read.
#[derive(Default)]
struct Seen {
    entries: Vec<Entry>,
    learnt: Vec<Learnt>,
    /// Inodes of files that the cache knew.
    known: Vec<u64>,
}

/// The digest of what was found, every file that the cache does not know read once, by several threads.
fn digest(folder: &Path, found: &[Found], cache: &Cache, cancelled: &AtomicBool) -> Result<Digest> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Seen::default());
    let failure = Mutex::new(None);
    let work = || {
        let mut buffer = vec![0; 256 * 1024];
        let mut mine = Seen::default();
        while let Some(it) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = entry(folder, it, cache, &mut mine, &mut buffer, cancelled) {
                failure.lock().expect("no reader panics").get_or_insert(error);
                // The others need not read on.
                next.store(found.len(), Ordering::Relaxed);
                return;
            }
        }
        let mut all = all.lock().expect("no reader panics");
        all.entries.append(&mut mine.entries);
        all.learnt.append(&mut mine.learnt);
        all.known.append(&mut mine.known);
    };
    let n_readers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS).min(found.len());
    std::thread::scope(|scope| {
        for _ in 1..n_readers {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failure.into_inner().expect("no reader panics") {
        return Err(error);
    }
    let Seen { entries, learnt, known } = all.into_inner().expect("no reader panics");
    cache.save(learnt, known);
    Ok(fingerprint::of_tree(&entries))
}

fn entry(
    folder: &Path,
    found: &Found,
    cache: &Cache,
    seen: &mut Seen,
    buffer: &mut [u8],
    cancelled: &AtomicBool,
) -> Result<()> {
    let kind = match &found.kind {
        FoundKind::Directory => Kind::Directory,
        FoundKind::Special => Kind::Special,
        FoundKind::Symlink => {
            let path = folder.join(&found.path);
            let target = fs::read_link(&path).map_err(|it| unreadable(&path, &it))?;
            Kind::Symlink(target.into_os_string().as_bytes().to_vec())
        }
        FoundKind::File { executable, stamp } => {
            let content = match cache.get(stamp) {
                Some(digest) => {
                    seen.known.push(stamp.inode);
                    digest
                }
                None => {
                    let path = folder.join(&found.path);
                    let (digest, after) = content(&path, buffer, cancelled)?.map_err(|it| unreadable(&path, &it))?;
                    seen.learnt.extend(cache.learn(*stamp, after, digest));
                    digest
                }
            };
            Kind::File { executable: *executable, content }
        }
    };
    seen.entries.push(Entry { path: found.path.as_os_str().as_bytes().to_vec(), kind });
    Ok(())
}

/// The digest of a file's bytes, and what its inode said after they were read. The outer error is that of being given up.
fn content(path: &Path, buffer: &mut [u8], cancelled: &AtomicBool) -> Result<io::Result<(Digest, Stamp)>> {
    let mut content = Content::new();
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        stop_if(cancelled)?;
        match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => content.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(file.metadata().map(|it| (content.finish(), Stamp::of(&it))))
}

/// Git's rule: the owner's bit. Others differ by umask from one checkout to the next.
fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o100 != 0
}

/// What docker takes for something else than a folder: standard input, an archive or a repository to fetch.
fn is_remote(context: &str) -> bool {
    context == "-" || context.contains("://") || ["git@", "github.com/"].iter().any(|it| context.starts_with(it))
}

/// The folders of `--build-context NAME=FOLDER`: inputs of the build that lie outside the context.
fn local_named_contexts(spec: &ImageSpec) -> Vec<(String, String)> {
    let mut contexts = Vec::new();
    let mut options = spec.build_options.iter().map(|it| it.value.as_str());
    while let Some(option) = options.next() {
        let value = match option.strip_prefix("--build-context") {
            Some("") => options.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        let Some((name, source)) = value.and_then(|it| it.split_once('=')) else { continue };
        // An image, an OCI layout, another stage, or something to fetch: named by the option itself.
        if !is_remote(source) && !source.starts_with("target:") {
            contexts.push((name.to_owned(), source.to_owned()));
        }
    }
    contexts
}

/// What changes from one run to the next without changing the application, so that every run would build again.
fn warnings(spec: &ImageSpec, folder: &Path, found: &[Found]) -> Vec<String> {
    // By bytes: to compare names one by one takes its time with many files.
    let has = |path: &Path| found.iter().any(|it| it.path.as_os_str() == path.as_os_str());
    let mut warnings = Vec::new();
    let mut warn = |path: &Path, why: &str| {
        let (name, path) = (&spec.name, path.display());
        warnings.push(format!("the context of image `{name}` has `{path}` in it, so {why}: add it to .dockerignore"));
    };
    if has(Path::new(".git")) {
        warn(Path::new(".git"), "every commit and fetch makes a new image");
    }
    // This very program is in cargo's target directory, and everything beside it changes with it.
    let program = std::env::current_exe().and_then(fs::canonicalize).ok();
    if let Some(program) = program.as_deref().and_then(|it| it.strip_prefix(folder).ok())
        && has(program)
        && let Some(Component::Normal(first)) = program.components().next()
    {
        warn(Path::new(first), "every build of the tools there makes a new image");
    }
    warnings
}

fn stop_if(cancelled: &AtomicBool) -> Result<()> {
    match cancelled.load(Ordering::Relaxed) {
        true => Err(Error::failed("reading the build context was given up")),
        false => Ok(()),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "make it readable for this user, or add it to .dockerignore",
        io::ErrorKind::NotFound => "something else changes the build context at the same time: run again",
        _ => "check the disk, or add it to .dockerignore",
    };
    Error::failed(format!("cannot read {} for the build context: {}", path.display(), cause(error))).hint(hint)
}

/// The system's words, lowercase and without its number.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory => "not a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
