//! A folder with a tasks.toml, and the built binary run in it as a user would: whole streams, the exit code, signals, a terminal.

#![expect(clippy::unwrap_used, reason = "a harness of tests: what cannot be had fails the test")]
#![expect(clippy::disallowed_methods, reason = "the rule is for the tool's own children")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Longer than anything here takes, on a machine busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of one test, removed at its end.
pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    /// With this tasks.toml in it.
    pub fn new(tasks: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("xtask-local-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let path = path.canonicalize().unwrap();
        fs::write(path.join("tasks.toml"), tasks).unwrap();
        Folder { path }
    }

    /// The binary in this folder with nothing of the test's own environment but the way to programs and docker.
    pub fn xtask(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_xtask"), arguments)
    }

    pub fn command(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.path).env_clear().env("HOME", &self.path).env("USER", "somebody");
        for (name, value) in std::env::vars_os() {
            if name == "PATH" || name == crate::harness::MUTANT || name.to_string_lossy().starts_with("DOCKER_") {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Running::start(self.xtask(arguments)).finish()
    }

    pub fn has(&self, file: &str) -> bool {
        self.path.join(file).exists()
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The events of `--format json`.
    pub fn events(&self) -> Vec<serde_json::Value> {
        crate::events::check_events(&self.stdout);
        self.out().lines().map(|it| serde_json::from_str(it).unwrap_or_else(|error| panic!("{error}: {it}"))).collect()
    }

    /// The messages of the `log` events.
    pub fn messages(&self) -> Vec<String> {
        let events = self.events();
        let logs = events.iter().filter(|it| it["event"] == "log");
        logs.map(|it| it["message"].as_str().unwrap().to_owned()).collect()
    }
}

/// A run that goes on while the test does something to it.
pub struct Running {
    pub child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    told: Vec<u8>,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let stdout = listen(child.stdout.take().unwrap());
        let stderr = listen(child.stderr.take().unwrap());
        Running { child, stdout, stderr, seen: Vec::new(), told: Vec::new() }
    }

    /// Waits until its standard output has this text.
    pub fn wait_for(&mut self, text: &str) {
        if !came(&self.stdout, &mut self.seen, text) {
            let _ = self.child.kill();
            self.told.extend(self.stderr.iter().flatten());
            let (stdout, stderr) = (String::from_utf8_lossy(&self.seen), String::from_utf8_lossy(&self.told));
            panic!("`{text}` never came, only: {stdout}\n--- stderr\n{stderr}");
        }
    }

    /// Waits until its standard error has this text.
    pub fn wait_for_stderr(&mut self, text: &str) {
        let came = came(&self.stderr, &mut self.told, text);
        assert!(came, "`{text}` never came, only: {}", String::from_utf8_lossy(&self.told));
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    pub fn finish(mut self) -> Ran {
        let status = wait(&mut self.child);
        let mut stdout = std::mem::take(&mut self.seen);
        stdout.extend(rest(&self.stdout, "standard output"));
        let mut stderr = std::mem::take(&mut self.told);
        stderr.extend(rest(&self.stderr, "standard error"));
        Ran { code: status, stdout, stderr }
    }
}

impl Drop for Running {
    /// A test that fails half-way leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a stream still has after the end of the process. Something that the process left behind may hold it open.
fn rest(stream: &Receiver<Vec<u8>>, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match stream.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(more) => bytes.extend(more),
            Err(RecvTimeoutError::Disconnected) => return bytes,
            Err(RecvTimeoutError::Timeout) => panic!("its {name} is held open after its end"),
        }
    }
}

/// A run on a terminal of its own, as its foreground job.
pub struct OnTerminal {
    child: Child,
    terminal: File,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl OnTerminal {
    /// `None`, after saying so, where the program `setsid` cannot give it a terminal.
    pub fn start(folder: &Folder, arguments: &[&str]) -> Option<OnTerminal> {
        OnTerminal::start_program(folder, env!("CARGO_BIN_EXE_xtask"), arguments)
    }

    /// The same with another program as the terminal's first.
    pub fn start_program(folder: &Folder, program: &str, arguments: &[&str]) -> Option<OnTerminal> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut all = vec!["--ctty", program];
        all.extend(arguments);
        let mut command = folder.command("setsid", &all);
        command.env("TERM", "xterm").stdin(open()).stdout(open()).stderr(open());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                crate::real::skipped(&format!("no setsid: {error}"));
                return None;
            }
        };
        drop(command);
        let terminal = File::from(controller);
        let output = listen(terminal.try_clone().unwrap());
        Some(OnTerminal { child, terminal, output, seen: Vec::new() })
    }

    pub fn wait_for(&mut self, text: &str) {
        assert!(
            came(&self.output, &mut self.seen, text),
            "`{text}` never came, only: {}",
            String::from_utf8_lossy(&self.seen)
        );
    }

    pub fn type_in(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Tells later whether the terminal still edits and echoes lines.
    pub fn settings(&self) -> impl Fn() -> bool + use<> {
        let terminal = self.terminal.try_clone().unwrap();
        move || {
            let modes = rustix::termios::tcgetattr(&terminal).unwrap().local_modes;
            modes.contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO)
        }
    }

    /// The exit code and everything that was on the terminal.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        // The terminal says that it is over when its last holder has closed it.
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(2)) {
            self.seen.extend(bytes);
        }
        (status, String::from_utf8_lossy(&self.seen).replace("\r\n", "\n"))
    }
}

fn listen(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if sender.send(buffer[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Whether this text comes, in what was there or in what is said now.
fn came(receiver: &Receiver<Vec<u8>>, seen: &mut Vec<u8>, text: &str) -> bool {
    let end = Instant::now() + PATIENCE;
    while !String::from_utf8_lossy(seen).contains(text) {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(bytes) => seen.extend(bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

fn wait(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > end {
            let _ = child.kill();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process lives; one that is dead but not collected does not.
pub fn is_alive(id: &str) -> bool {
    let out = Command::new("ps").args(["-o", "stat=", "-p", id.trim()]).output().unwrap();
    let state = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// Waits until a process is stopped, or goes on.
pub fn is_stopped(id: &str, stopped: bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let out = Command::new("ps").args(["-o", "stat=", "-p", id.trim()]).output().unwrap();
        // D: it waits for a child that is stopped on its way to its program.
        if String::from_utf8_lossy(&out.stdout).trim().starts_with(['T', 'D']) == stopped {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Waits until a process is gone.
pub fn is_gone(id: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while is_alive(id) {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
