//! Runs the built binary in a world of its own and compares everything that came of it.
//!
//! ```ignore
//! let fake = Fake::new().cluster("staging") /* … */;
//! let test = Test::new().fake(&fake).docker(Docker::new()).tasks(r#"…endpoint-url = "{endpoint}"…"#);
//! test.run("run db-migrate -e staging").expect(7, "one\ntwo\n", "   Launched …\n");
//!
//! let running = test.command(["run", "db-migrate"]).start();      // step by step
//! running.wait_for_stderr("RUNNING");
//! running.signal(Signal::INT);
//! let ran = running.finish().code(130);
//!
//! let child = test.child();                                       // at an exact moment of a request
//! fake.at_request(4, Moment::Acted, move || child.signal(Signal::INT));
//! let ran = test.run("run db-migrate -e staging").code(130);
//!
//! test.command(["run", "console"]).terminal(Terminal::All).run().screen_has("RUNNING");
//! ```
//!
//! - The environment is cleared; HOME, TMPDIR and PATH are the test's own. On PATH are the programs that the test puts there and
//!   nothing else, not even `/bin`.
//! - Texts are compared whole, after [`redact::Redactions`] has replaced what differs from run to run.
//! - No output may contain a planted secret, every call to AWS must be in the table that `policy` is made from, and
//!   nothing that the binary started may hold its output open after its end.
//! - A run that takes longer than [`LIMIT`] is killed, and what it had printed is shown.

pub mod child;
pub mod diff;
pub mod docker;
pub mod ran;
pub mod redact;
pub mod screen;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use child::{Child, Command, Running, Signal, Terminal};
pub use docker::{Call, Docker, Says};
pub use ran::Ran;

use crate::fake::{Core, Fake};
use redact::Redactions;

/// How long a run may take in real time.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until something holds that nobody tells of.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A folder that goes away with the test.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("xtask-it-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(fs::canonicalize(path).expect("it was just made"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What turns one of the broken guards on, in the build of tests/mutants/run.py: the one variable of the tests' own that the binary gets.
pub const MUTANT: &str = "XTASK_MUTANT";

/// A world for the binary.
#[derive(Debug)]
pub struct Test {
    folder: Folder,
    program: PathBuf,
    env: Vec<(String, String)>,
    redactions: Redactions,
    secrets: Vec<String>,
    /// Each must know of every call that it gets who is allowed to make it.
    fakes: Vec<Arc<Core>>,
    endpoint: Option<String>,
    /// Of the next run.
    next_child: RefCell<Option<Child>>,
}

impl Default for Test {
    fn default() -> Test {
        Test::new()
    }
}

impl Test {
    /// An empty project, no AWS, no programs.
    pub fn new() -> Test {
        let folder = Folder::new();
        for name in ["project", "home", "tmp", "bin", "programs", "docker"] {
            fs::create_dir(folder.path().join(name)).expect("the folder is empty");
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        let env = [("HOME", path("home")), ("TMPDIR", path("tmp")), ("PATH", path("bin")), ("TZ", "UTC".to_owned())];
        let mutant = std::env::var(MUTANT).ok().map(|it| (MUTANT, it));
        let redactions = Redactions::new(folder.path());
        Test {
            program: PathBuf::from(env!("CARGO_BIN_EXE_xtask")),
            env: env.into_iter().chain(mutant).map(|(name, value)| (name.to_owned(), value)).collect(),
            redactions,
            secrets: Vec::new(),
            fakes: Vec::new(),
            endpoint: None,
            next_child: RefCell::new(None),
            folder,
        }
    }

    /// This fake is the AWS that the binary finds: endpoint, credentials and the speed of time in its environment.
    pub fn fake(mut self, fake: &Fake) -> Test {
        for (name, value) in fake.env() {
            self = self.env(name, &value);
        }
        self.endpoint = Some(fake.endpoint());
        self.secrets.extend(fake.secrets());
        self.fakes.push(fake.core());
        fake.watch_pushes(self.docker_folder().join("pushes"));
        self
    }

    /// The fake is found by `endpoint-url` in tasks.toml only (as `{endpoint}`), not by AWS_ENDPOINT_URL.
    pub fn without_endpoint_variable(mut self) -> Test {
        self.env.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
        self
    }

    /// tasks.toml. `{endpoint}` is the fake's.
    pub fn tasks(self, text: &str) -> Test {
        self.file("tasks.toml", text)
    }

    /// A file of the project. `{endpoint}` is the fake's.
    pub fn file(self, path: &str, text: &str) -> Test {
        self.write(path, text);
        self
    }

    /// The same, between two runs.
    pub fn write(&self, path: &str, text: &str) {
        let text = match &self.endpoint {
            Some(endpoint) => text.replace("{endpoint}", endpoint),
            None => text.to_owned(),
        };
        self.write_bytes(path, text.as_bytes());
    }

    /// A file of the project, to the byte.
    pub fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().expect("it is in the project")).expect("the project can be written to");
        fs::write(path, bytes).expect("the project can be written to");
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Test {
        self.env.retain(|(it, _)| it != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable less.
    pub fn without_env(mut self, name: &str) -> Test {
        self.env.retain(|(it, _)| it != name);
        self
    }

    /// A program on PATH, as a script for sh. The script has the system's PATH.
    pub fn program(self, name: &str, script: &str) -> Test {
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness/program.sh");
        let path = self.folder.path().join("bin").join(name);
        // A second word about a program replaces the first.
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(launcher, path).expect("the test's folder can be written to");
        fs::write(self.folder.path().join("programs").join(name), script).expect("the test's folder can be written to");
        self
    }

    /// A program of this machine on PATH. `false`: the machine has none.
    pub fn real_program(&self, name: &str) -> bool {
        let Some(found) = find_program(name) else { return false };
        std::os::unix::fs::symlink(found, self.folder.path().join("bin").join(name)).is_ok()
    }

    /// A docker on PATH that builds and pushes nothing and remembers what it was asked.
    pub fn docker(self, docker: Docker) -> Test {
        let folder = self.docker_folder();
        docker.install(&folder);
        self.program("docker", &docker::script(&folder))
    }

    /// Every call of that docker, in order.
    pub fn docker_calls(&self) -> Vec<Call> {
        docker::calls(&self.docker_folder())
    }

    /// A program on the test's PATH instead of the built binary, for tests of the harness itself.
    pub fn instead(mut self, program: &str) -> Test {
        self.program = self.folder.path().join("bin").join(program);
        self
    }

    /// What a regular expression matches is shown as this in all output.
    pub fn redact(mut self, pattern: &str, with: &str) -> Test {
        self.redactions.add(pattern, with);
        self
    }

    /// The environment, for a process that the test starts itself.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A text (a file that the binary wrote) as the tests compare it.
    pub fn redacted(&self, text: &str) -> String {
        self.redactions.apply(text)
    }

    /// The folder of tasks.toml.
    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// HOME.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn docker_folder(&self) -> PathBuf {
        self.folder.path().join("docker")
    }

    /// The process of the next run, to be signalled from somewhere else.
    pub fn child(&self) -> Child {
        self.next_child.borrow_mut().get_or_insert_with(Child::default).clone()
    }

    /// Runs with these words as arguments.
    pub fn run(&self, words: &str) -> Ran {
        self.command(words.split_whitespace()).run()
    }

    /// A run to be described further.
    pub fn command<T: Into<std::ffi::OsString>>(&self, arguments: impl IntoIterator<Item = T>) -> Command<'_> {
        Command::new(self, arguments.into_iter().map(Into::into).collect())
    }

    /// Fails where AWS was called in a way of which the table of permissions knows nothing: then `policy` would be too small.
    pub fn check_calls(&self) {
        for (service, operation) in self.fakes.iter().flat_map(|it| it.calls()) {
            assert!(
                xtask::permissions::find(service, &operation).is_some(),
                "{service}:{operation} was called, and src/permissions/table.rs has no row for it"
            );
        }
    }

    /// Fails where a text has a secret in it: one of the fake's, or anything that any test has planted. The one place for a secret is the
    /// command with which GitHub's runner is told not to show it.
    pub fn check_secrets(&self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let shown = text.lines().filter(|it| !it.starts_with("::add-mask::"));
        let planted = [PLANTED.to_owned()];
        for line in shown {
            for secret in self.secrets.iter().chain(&planted) {
                assert!(!line.contains(secret.as_str()), "there is a secret in {what}:\n{text}");
            }
        }
    }
}

/// What every secret begins with that a test plants: nothing that is printed in any run may have it.
pub const PLANTED: &str = "planted-";

impl Drop for Test {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for call in self.docker_calls() {
            // A password goes in by stdin and nowhere else.
            self.check_secrets("docker's arguments", call.arguments.join(" ").as_bytes());
        }
    }
}

/// A program of this machine.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file())
}

/// Whether tests with a terminal can run here. They need setsid, since giving a child its terminal takes a system call that std does
/// not have.
pub fn has_terminal() -> bool {
    let found = cfg!(target_os = "linux") && find_program("setsid").is_some();
    if !found {
        crate::real::skipped("no setsid");
    }
    found
}
