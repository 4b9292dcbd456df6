//! The hash of a build context of 50,000 files and 2 GB: with nothing known of it, from the disk and from memory, beside a bare read of the
//! same bytes; with everything known, with one file changed; and beside `docker build` of the same context with everything cached.
//!
//!     cargo bench --profile xtask --package xtask --bench fingerprint
//!
//! With `-- known` behind it only what is known is hashed, of small files: for a look with a profiler.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and times processes from outside"
)]

mod page;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use xtask::model::{ImageSpec, Origin, Sourced};

const FILES: usize = 50_000;
const BYTES: usize = 2_000_000_000;
/// Of what reads everything, and of what does not.
const FEW: usize = 5;
/// Of builds by docker, which take minutes where the classic builder is sent the whole context.
const BUILDS: usize = 3;
const MANY: usize = 21;

fn main() {
    let scratch = std::env::temp_dir().join(format!("xtask-bench-context-{}", std::process::id()));
    let only_known = std::env::args().any(|it| it == "known");
    let (context, store) = (scratch.join("context"), scratch.join("cache"));
    println!("writing {FILES} files");
    let files = make(&context, if only_known { BYTES / 10 } else { BYTES });
    // What was changed less than two seconds ago is not kept.
    std::thread::sleep(Duration::from_secs(3));
    let hash = |store: Option<&Path>| {
        let start = Instant::now();
        let contents = xtask::context::read(&context, &spec(), store, &AtomicBool::new(false));
        (start.elapsed(), contents.expect("the context can be read").inputs)
    };

    let mut rows = Rows::default();
    if only_known {
        hash(Some(&store));
        (0..MANY).for_each(|_| rows.add("the hash, nothing changed", hash(Some(&store)).0));
        (0..MANY).for_each(|_| rows.add("asking for every inode", timed(|| look_at_all(&files))));
        println!("{}", rows.table("the hash, nothing changed"));
        fs::remove_dir_all(&scratch).expect("the temporary folder is ours");
        return;
    }
    for _ in 0..FEW {
        forget(&files);
        rows.add("reading every byte, from the disk", timed(|| read_all(&files)));
        forget(&files);
        rows.add("the hash, nothing known, from the disk", hash(None).0);
    }
    for _ in 0..FEW {
        rows.add("reading every byte, from memory", timed(|| read_all(&files)));
        rows.add("the hash, nothing known, from memory", hash(None).0);
        let _ = fs::remove_dir_all(&store);
        rows.add("the same, and what was learnt is written", hash(Some(&store)).0);
    }
    let (_, expected) = hash(None);
    for _ in 0..MANY {
        let (time, inputs) = hash(Some(&store));
        assert_eq!(inputs, expected, "what is known gives another hash");
        rows.add("the hash, nothing changed", time);
        rows.add("asking for every inode", timed(|| look_at_all(&files)));
    }
    for small in files.iter().rev().take(MANY) {
        fs::write(small, "changed").expect("the file is ours");
        rows.add("the hash, one file changed", hash(Some(&store)).0);
    }
    let docker = has_docker();
    if docker {
        println!("the first docker build");
        build(&context);
        for _ in 0..BUILDS {
            rows.add("`docker build`, everything cached", timed(|| build(&context)));
        }
        let tag = tag();
        let _ = Command::new("docker").args(["rmi", "--force", &tag]).stdout(Stdio::null()).status();
    }
    let size = fs::read_dir(&store).expect("it was written").flatten().filter_map(|it| it.metadata().ok());
    let size: u64 = size.map(|it| it.len()).sum();
    fs::remove_dir_all(&scratch).expect("the temporary folder is ours");

    let mut text = format!(
        "`cargo bench --profile xtask --package xtask --bench fingerprint`: {FILES} files, {:.1} GB; the file of what is known has \
         {:.1} MB. Medians (least–most) of {FEW}, of {MANY} where something is known and {BUILDS} of docker; \"from the disk\": after the system was told to forget the \
         files; {}\n\n{}",
        BYTES as f64 / 1e9,
        size as f64 / 1e6,
        page::setting(),
        rows.table("the hash, nothing changed"),
    );
    if !docker {
        text.push_str("\nThere was no docker engine to compare with.\n");
    }
    println!("{text}");
    page::write("fingerprint", &text);
}

/// Times by what was measured.
#[derive(Default)]
struct Rows(Vec<(&'static str, Vec<Duration>)>);

impl Rows {
    fn add(&mut self, what: &'static str, time: Duration) {
        match self.0.iter_mut().find(|it| it.0 == what) {
            Some((_, times)) => times.push(time),
            None => self.0.push((what, vec![time])),
        }
    }

    fn table(&self, base: &str) -> String {
        let spreads = self.0.iter().map(|(what, times)| (*what, page::Spread::of_times(times)));
        let spreads: BTreeMap<_, _> = spreads.collect();
        let base = spreads[base].median;
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|(what, _)| {
                let spread = spreads[what];
                vec![(*what).to_owned(), spread.to_string(), format!("{:.1}", spread.median / base)]
            })
            .collect();
        page::table(&["", "ms", "times the hash with nothing changed"], &rows)
    }
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

/// Small files in 500 folders, as sources and dependencies are, and one large one in each.
fn make(context: &Path, bytes: usize) -> Vec<PathBuf> {
    let (folders, small) = (500, bytes / FILES / 5);
    let large = (bytes - (FILES - folders) * small) / folders;
    let mut noise = vec![0_u8; large];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in noise.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    let mut files = Vec::new();
    for index in 0..FILES {
        let folder = context.join(format!("part-{:02}/of-{:03}", index % 20, index % folders));
        if index < folders {
            fs::create_dir_all(&folder).expect("a temporary folder");
        }
        let length = if index < folders { large } else { small };
        let path = folder.join(format!("file-{index:05}.txt"));
        let mut file = File::create(&path).expect("the temporary folder is writable");
        file.write_all(&(index as u64).to_le_bytes()).expect("there is room");
        file.write_all(&noise[..length - 8]).expect("there is room");
        files.push(path);
    }
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY . /\n").expect("the temporary folder is writable");
    // Unlike before, so that docker's cache holds this context and no other.
    fs::write(context.join("unique"), format!("{:?}", std::time::SystemTime::now())).expect("it is ours");
    files
}

/// Drops the files from the system's memory, which can be done only with what the disk has.
fn forget(files: &[PathBuf]) {
    rustix::fs::sync();
    for path in files {
        let file = File::open(path).expect("the file is ours");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the system takes it");
    }
}

/// As many threads as the hash has do the work for every file.
fn for_all(files: &[PathBuf], work: impl Fn(&Path, &mut [u8]) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(4) {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 * 1024];
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(path, &mut buffer);
                }
            });
        }
    });
}

fn read_all(files: &[PathBuf]) {
    for_all(files, |path, buffer| {
        let mut file = File::open(path).expect("the file is ours");
        while file.read(buffer).expect("it can be read") > 0 {}
    });
}

fn look_at_all(files: &[PathBuf]) {
    for_all(files, |path, _| assert!(fs::symlink_metadata(path).is_ok_and(|it| it.is_file())));
}

fn spec() -> ImageSpec {
    ImageSpec {
        name: "app".to_owned(),
        context: Sourced::new(".".to_owned(), Origin::Default),
        dockerfile: None,
        target: None,
        build_args: BTreeMap::new(),
        build_secrets: Vec::new(),
        build_options: Vec::new(),
        prepare: None,
        repository: None,
        registry: None,
        registry_profile: None,
        create_repository: false,
    }
}

fn has_docker() -> bool {
    let version = Command::new("docker").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|it| it.success())
}

fn tag() -> String {
    format!("xtask-bench-context:{}", std::process::id())
}

fn build(context: &Path) {
    let mut docker = Command::new("docker");
    docker.args(["build", "--quiet", "--tag", &tag()]).arg(context).stdout(Stdio::null());
    assert!(docker.status().is_ok_and(|it| it.success()), "docker build failed");
}
