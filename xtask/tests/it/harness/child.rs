//! One run of the binary: started, watched, signalled, waited for.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::{LIMIT, Ran, Test, find_program};

/// A process that can be signalled from anywhere, also before it is there.
#[derive(Debug, Clone, Default)]
pub struct Child {
    pid: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    NotYet,
    Runs(Pid),
    Over,
}

impl Child {
    /// Sends a signal, waiting for the process to be there, and then a little for it to be taken. One that has ended is left alone.
    pub fn signal(&self, signal: Signal) {
        let (lock, changed) = &*self.pid;
        let guard = lock.lock().expect("no test panics with this lock");
        let (guard, _) = changed
            .wait_timeout_while(guard, Duration::from_secs(10), |it| matches!(it, State::NotYet))
            .expect("no test panics with this lock");
        // The lock is held, so the process cannot be reaped and its number given to another meanwhile.
        if let State::Runs(pid) = *guard {
            kill_process(pid, signal).expect("our own child can be signalled");
        }
        drop(guard);
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Its number.
    pub fn pid(&self) -> Option<Pid> {
        match *self.pid.0.lock().expect("no test panics with this lock") {
            State::Runs(pid) => Some(pid),
            _ => None,
        }
    }

    fn set(&self, state: State) {
        *self.pid.0.lock().expect("no test panics with this lock") = state;
        self.pid.1.notify_all();
    }
}

/// Which of the streams are a terminal. It is the process's controlling one, so Ctrl-C written to it is SIGINT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// All three.
    All,
    /// stdin and stderr; stdout is a pipe, as in `xtask run … > file`.
    AllButStdout,
}

/// A run to be described.
#[derive(Debug)]
#[must_use = "nothing has run yet"]
pub struct Command<'a> {
    test: &'a Test,
    arguments: Vec<OsString>,
    env: Vec<(String, String)>,
    stdin: Option<Vec<u8>>,
    stdout: Option<File>,
    folder: Option<String>,
    terminal: Option<(Terminal, u16, u16)>,
    limit: Duration,
}

impl<'a> Command<'a> {
    pub(super) fn new(test: &'a Test, arguments: Vec<OsString>) -> Command<'a> {
        Command {
            test,
            arguments,
            env: Vec::new(),
            stdin: None,
            stdout: None,
            folder: None,
            terminal: None,
            limit: LIMIT,
        }
    }

    /// A variable for this run only.
    pub fn env(mut self, name: &str, value: &str) -> Command<'a> {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it reads; without this nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Command<'a> {
        self.stdin = Some(bytes.into());
        self
    }

    /// Another stdout than a pipe to the test, for example `/dev/full`.
    pub fn stdout(mut self, file: File) -> Command<'a> {
        self.stdout = Some(file);
        self
    }

    /// Runs in a folder of the project.
    pub fn folder(mut self, path: &str) -> Command<'a> {
        self.folder = Some(path.to_owned());
        self
    }

    /// On a terminal of 100 columns. See [`super::has_terminal`].
    pub fn terminal(self, which: Terminal) -> Command<'a> {
        self.terminal_of(which, 100, 30)
    }

    /// On a terminal of that size.
    pub fn terminal_of(mut self, which: Terminal, columns: u16, rows: u16) -> Command<'a> {
        self.terminal = Some((which, columns, rows));
        self
    }

    /// Another limit than [`LIMIT`].
    pub fn limit(mut self, limit: Duration) -> Command<'a> {
        self.limit = limit;
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Ran {
        self.start().finish()
    }

    /// Starts, to be watched.
    pub fn start(self) -> Running<'a> {
        let new = |program: &std::ffi::OsStr| std::process::Command::new(program);
        let mut command = match self.terminal {
            Some(_) => {
                let mut command = new(find_program("setsid").expect("has_terminal() was asked").as_os_str());
                command.arg("--ctty").arg(&self.test.program);
                command
            }
            None => new(self.test.program.as_os_str()),
        };
        let folder = self.test.project().join(self.folder.as_deref().unwrap_or("."));
        command.args(&self.arguments).current_dir(folder).env_clear();
        command.envs(self.test.env.iter().map(|(name, value)| (name, value)));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut master = None;
        match self.terminal {
            Some((which, columns, rows)) => {
                let (our_end, its_end) = open_terminal(columns, rows);
                let end = || Stdio::from(its_end.try_clone().expect("a file can be cloned"));
                command.stdin(end()).stderr(end()).stdout(match which {
                    Terminal::All => end(),
                    Terminal::AllButStdout => Stdio::piped(),
                });
                command.env("TERM", "xterm-256color");
                master = Some(Master(Arc::new(Mutex::new(Some(our_end)))));
            }
            None => {
                command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
                command.stderr(Stdio::piped());
                command.stdout(self.stdout.map_or_else(Stdio::piped, Stdio::from));
            }
        }
        let started = Instant::now();
        let mut process = command.spawn().unwrap_or_else(|it| panic!("cannot start {:?}: {it}", self.test.program));
        drop(command);
        let child = self.test.next_child.borrow_mut().take().unwrap_or_default();
        child.set(State::Runs(Pid::from_child(&process)));
        let stdout = process.stdout.take().map_or_else(Output::none, Output::read);
        let stderr = process.stderr.take().map_or_else(Output::none, Output::read);
        let screen = match &master {
            Some(master) => Output::read(master.clone()),
            None => Output::none(),
        };
        if let (Some(bytes), Some(mut pipe)) = (self.stdin, process.stdin.take()) {
            // A process that does not read must not stop the test.
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        Running {
            test: self.test,
            words: self.arguments,
            process,
            child,
            stdout,
            stderr,
            screen,
            stdout_on_terminal: matches!(self.terminal, Some((Terminal::All, _, _))),
            master,
            started,
            deadline: started + self.limit,
        }
    }
}

fn open_terminal(columns: u16, rows: u16) -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    // A copy of our end in the child (or in that of another test) would keep the terminal from hanging up.
    #[cfg(target_os = "linux")]
    let flags = flags | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a pseudo-terminal can be had");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let path = name.to_str().expect("the name is ASCII");
    let slave = OpenOptions::new().read(true).write(true).open(path).expect("the other end can be opened");
    rustix::io::ioctl_fionbio(&master, true).expect("it is ours");
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).expect("it has a size");
    (File::from(master), slave)
}

/// Our end of a terminal. There is one file and it never blocks, so that dropping it is what closing a window is: the system hangs
/// the terminal up.
#[derive(Debug, Clone)]
struct Master(Arc<Mutex<Option<File>>>);

impl Master {
    fn with<T>(&self, act: impl FnOnce(&File) -> std::io::Result<T>) -> std::io::Result<T> {
        match &*self.0.lock().expect("no test panics with this lock") {
            Some(file) => act(file),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    fn settings(&self) -> String {
        let settings = self.with(|file| Ok(rustix::termios::tcgetattr(file)?)).expect("the terminal is there");
        format!("{settings:?}")
    }

    fn hang_up(&self) {
        *self.0.lock().expect("no test panics with this lock") = None;
    }
}

impl Read for Master {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.with(|mut file| file.read(buffer)) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => return other,
            }
        }
    }
}

/// What a stream has said so far, read by a thread.
#[derive(Debug, Clone)]
struct Output {
    shared: Arc<(Mutex<Said>, Condvar)>,
}

/// The bytes, and whether that was all.
type Said = (Vec<u8>, bool);

impl Output {
    fn none() -> Output {
        Output { shared: Arc::new((Mutex::new((Vec::new(), true)), Condvar::new())) }
    }

    fn read(mut from: impl Read + Send + 'static) -> Output {
        let output = Output { shared: Arc::new((Mutex::new((Vec::new(), false)), Condvar::new())) };
        let shared = Arc::clone(&output.shared);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                // A terminal whose other end is closed gives an error instead of an end.
                let n = from.read(&mut buffer).unwrap_or(0);
                let mut state = shared.0.lock().expect("no test panics with this lock");
                state.0.extend_from_slice(&buffer[..n]);
                state.1 = n == 0;
                drop(state);
                shared.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        output
    }

    fn bytes(&self) -> Vec<u8> {
        self.shared.0.lock().expect("no test panics with this lock").0.clone()
    }

    /// Waits until this holds of what was said, or nothing more will be said. Gives whether it holds.
    fn wait(&self, until: Instant, holds: impl Fn(&[u8]) -> bool) -> bool {
        let mut state = self.shared.0.lock().expect("no test panics with this lock");
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if holds(&state.0) || state.1 || left.is_zero() {
                return holds(&state.0);
            }
            state = self.shared.1.wait_timeout(state, left).expect("no test panics with this lock").0;
        }
    }

    /// Waits for its end. Gives whether it came.
    fn wait_for_end(&self, until: Instant) -> bool {
        self.wait(until, |_| false);
        self.shared.0.lock().expect("no test panics with this lock").1
    }
}

/// A run under way.
#[derive(Debug)]
#[must_use = "what came of it is to be looked at"]
pub struct Running<'a> {
    test: &'a Test,
    words: Vec<OsString>,
    process: std::process::Child,
    child: Child,
    stdout: Output,
    stderr: Output,
    screen: Output,
    master: Option<Master>,
    stdout_on_terminal: bool,
    started: Instant,
    deadline: Instant,
}

impl Running<'_> {
    /// Waits until stderr (or the terminal) says this.
    pub fn wait_for_stderr(&self, text: &str) {
        let stream = if self.master.is_some() { &self.screen } else { &self.stderr };
        self.wait_for(stream, "stderr", text);
    }

    /// Waits until stdout (or the terminal) says this.
    pub fn wait_for_stdout(&self, text: &str) {
        let stream = if self.stdout_on_terminal { &self.screen } else { &self.stdout };
        self.wait_for(stream, "stdout", text);
    }

    /// Waits until this holds of all that stderr (or the terminal) said.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let stream = if self.master.is_some() { &self.screen } else { &self.stderr };
        let found = stream.wait(self.deadline, |it| holds(&String::from_utf8_lossy(it)));
        assert!(found, "stderr never said {what}:\n{}", self.so_far());
    }

    fn wait_for(&self, stream: &Output, name: &str, text: &str) {
        let found = stream.wait(self.deadline, |it| String::from_utf8_lossy(it).contains(text));
        assert!(found, "{name} never said `{text}`:\n{}", self.so_far());
    }

    /// Sends a signal to the process alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// The process, to be signalled from somewhere else.
    pub fn child(&self) -> Child {
        self.child.clone()
    }

    /// Types on the terminal: `\x03` is Ctrl-C, `\x13` Ctrl-S, `\x11` Ctrl-Q.
    pub fn types(&self, text: &str) {
        let master = self.master.as_ref().expect("it runs on a terminal");
        master.with(|mut file| file.write_all(text.as_bytes())).expect("the terminal can be written to");
    }

    /// Types a lot, at the pace at which the terminal takes it.
    pub fn pastes(&self, bytes: &[u8]) {
        let master = self.master.as_ref().expect("it runs on a terminal");
        let mut rest = bytes;
        while !rest.is_empty() {
            assert!(Instant::now() < self.deadline, "the terminal takes no more:\n{}", self.so_far());
            match master.with(|mut file| file.write(rest)) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("the terminal cannot be written to: {error}"),
            }
        }
    }

    /// Gives the terminal another size, as dragging its window does.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let master = self.master.as_ref().expect("it runs on a terminal");
        master.with(|file| Ok(rustix::termios::tcsetwinsize(file, size)?)).expect("it has a size");
    }

    /// The terminal's settings, all of what `stty -a` shows but the size.
    pub fn settings(&self) -> String {
        self.master.as_ref().expect("it runs on a terminal").settings()
    }

    /// Waits for its end, and gives the terminal's settings then.
    pub fn finish_with_settings(self) -> (Ran, String) {
        let master = self.master.clone().expect("it runs on a terminal");
        let ran = self.finish();
        (ran, master.settings())
    }

    /// Takes the terminal away, as closing its window does: SIGHUP to the process, and from then on errors for who writes there.
    pub fn close_terminal(&self) {
        self.master.as_ref().expect("it runs on a terminal").hang_up();
    }

    /// What it has said so far.
    pub fn so_far(&self) -> String {
        let text = |output: &Output| String::from_utf8_lossy(&output.bytes()).into_owned();
        format!(
            "--- {:?} after {:.1} s\n--- stdout\n{}\n--- stderr\n{}\n--- terminal\n{}\n---",
            self.words,
            self.started.elapsed().as_secs_f64(),
            text(&self.stdout),
            text(&self.stderr),
            text(&self.screen)
        )
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ran {
        let status = loop {
            // Reaped with the lock held: see `Child::signal`.
            let mut state = self.child.pid.0.lock().expect("no test panics with this lock");
            let ended = self.process.try_wait().expect("our own child can be waited for");
            if let Some(status) = ended {
                *state = State::Over;
                break status;
            }
            drop(state);
            if Instant::now() > self.deadline {
                let so_far = self.so_far();
                let _ = self.process.kill();
                let _ = self.process.wait();
                panic!("it takes too long and was killed:\n{so_far}");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = self.started.elapsed();
        let soon = Instant::now() + Duration::from_secs(3);
        for (output, name) in [(&self.stdout, "stdout"), (&self.stderr, "stderr"), (&self.screen, "terminal")] {
            let ended = output.wait_for_end(soon);
            assert!(ended, "it has ended, but something that it started holds its {name} open:\n{}", self.so_far());
        }
        let ran = Ran::new(
            &self.test.redactions,
            &self.words,
            status,
            took,
            self.stdout.bytes(),
            self.stderr.bytes(),
            self.screen.bytes(),
        );
        self.test.check_secrets("stdout", &ran.stdout);
        self.test.check_secrets("stderr", &ran.stderr);
        self.test.check_secrets("the terminal", &ran.terminal);
        self.check_events(&ran);
        self.test.check_calls();
        ran
    }

    /// What `--format json` wrote of a run is what docs/events.schema.json says.
    fn check_events(&self, ran: &Ran) {
        let words: Vec<String> = self.words.iter().map(|it| it.to_string_lossy().into_owned()).collect();
        let ours = words.iter().take_while(|it| *it != "--");
        let json =
            ours.clone().any(|it| it == "--format=json") || words.windows(2).any(|it| it == ["--format", "json"]);
        let of_a_run = words.iter().any(|it| it == "run" || it == "attach");
        if json && of_a_run && !self.stdout_on_terminal {
            crate::events::check_events(&ran.stdout);
        }
    }
}

impl Drop for Running<'_> {
    /// A test that fails half-way leaves no process behind.
    fn drop(&mut self) {
        if self.child.pid().is_some() {
            let _ = self.process.kill();
            let _ = self.process.wait();
            self.child.set(State::Over);
        }
    }
}
