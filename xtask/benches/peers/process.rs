//! A process under measurement: when it began, what it printed when, how much memory it and everything below it had.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// A program of this machine.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file())
}

/// Something that was printed.
#[derive(Debug)]
pub struct Chunk {
    pub at: Instant,
    pub bytes: Vec<u8>,
    pub is_stdout: bool,
}

/// A process in a group of its own, which ends with it.
#[derive(Debug)]
pub struct Process {
    pub begun: Instant,
    pub child: Child,
    chunks: Option<Receiver<Chunk>>,
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub ended: Instant,
    pub chunks: Vec<Chunk>,
}

impl Ran {
    pub fn text(&self, is_stdout: bool) -> String {
        let bytes: Vec<u8> =
            self.chunks.iter().filter(|it| it.is_stdout == is_stdout).flat_map(|it| it.bytes.clone()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Process {
    /// Starts it; what it prints is noted with the time.
    pub fn start(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (sender, chunks) = mpsc::channel();
        let streams: [(bool, Option<Box<dyn Read + Send>>); 2] = [
            (true, child.stdout.take().map(|it| Box::new(it) as Box<dyn Read + Send>)),
            (false, child.stderr.take().map(|it| Box::new(it) as Box<dyn Read + Send>)),
        ];
        for (is_stdout, stream) in streams {
            let (sender, mut stream) = (sender.clone(), stream.expect("it is piped"));
            thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let chunk = Chunk { at: Instant::now(), bytes: buffer[..count].to_vec(), is_stdout };
                    if sender.send(chunk).is_err() {
                        return;
                    }
                }
            });
        }
        Process { begun, child, chunks: Some(chunks) }
    }

    /// Starts it with stdout in a file, which nobody reads meanwhile.
    pub fn start_into(mut command: Command, stdout: fs::File) -> Process {
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).process_group(0);
        let begun = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Process { begun, child, chunks: None }
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|it| it.is_some())
    }

    /// Waits for its end, and for everything that it printed.
    pub fn wait(mut self) -> Ran {
        let status = self.child.wait().expect("our own child can be waited for");
        let ended = Instant::now();
        let chunks = self.chunks.take().map(|it| it.iter().collect()).unwrap_or_default();
        Ran { status, ended, chunks }
    }

    /// Ends it and everything in its group, and gives what it had printed.
    pub fn end(mut self) -> Vec<Chunk> {
        self.kill();
        self.chunks.take().map(|it| it.iter().collect()).unwrap_or_default()
    }

    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// For its own memory only, without a look at anything else.
    pub fn watch_alone(&self) -> Watch {
        Watch { pid: self.child.id(), over: Arc::default(), peak: Arc::default(), thread: None }
    }

    /// Looks at its memory and that of everything below it until it ends.
    pub fn watch(&self) -> Watch {
        let (pid, over, peak) = (self.child.id(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (theirs, highest) = (Arc::clone(&over), Arc::clone(&peak));
        let thread = thread::spawn(move || {
            while !theirs.load(Ordering::SeqCst) {
                highest.fetch_max(tree_kib(pid), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Watch { pid, over, peak, thread: Some(thread) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_over() {
            self.kill();
        }
    }
}

/// The memory of a process and its descendants.
#[derive(Debug)]
pub struct Watch {
    pid: u32,
    over: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    /// The most so far that the process alone had resident, as the kernel counts it, in MB. Ask before its end.
    pub fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0);
        kib * 1.024 / 1000.0
    }

    /// The most that it and everything below it had at once, pages that they share counted once, in MB.
    pub fn end(mut self) -> f64 {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watching thread does not panic");
        }
        self.peak.load(Ordering::SeqCst) as f64 * 1.024 / 1000.0
    }
}

fn tree_kib(root: u32) -> u64 {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, it)| it.split(' ').nth(1)?.parse::<u32>().ok());
        parents.insert(pid, parent.unwrap_or(0));
    }
    let is_below = |mut pid: u32| {
        while pid != root {
            match parents.get(&pid) {
                Some(parent) if *parent != 0 => pid = *parent,
                _ => return false,
            }
        }
        true
    };
    // Between fork and exec a child shows its parent's memory as its own.
    let program =
        |pid: u32| (fs::read_link(format!("/proc/{pid}/exe")).ok(), fs::read(format!("/proc/{pid}/cmdline")).ok());
    let is_itself = |pid: u32| parents.get(&pid).is_none_or(|parent| program(pid) != program(*parent));
    parents.keys().filter(|it| is_below(**it) && is_itself(**it)).map(|it| pss_kib(*it)).sum()
}

fn pss_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|it| it.strip_prefix("Pss:"));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
