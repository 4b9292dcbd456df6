//! A verb in this process: on the fake's door in memory and tokio's paused clock, with everything that it would print in hand. For runs
//! that last hours, or that start a thousand ECS tasks. What the binary itself does (streams, signals, the environment) is left to the
//! harness.

pub mod fleet;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use xtask::cx::TasksFile;
use xtask::flags::{Cli, Format, Verb};
use xtask::model::Source;
use xtask::tools::signals::Signals;
use xtask::ui::{self, Ui, UiOptions};
use xtask::verb::run;

use crate::fake::Fake;
use crate::harness::Folder;

/// How a run ended, and all that it said.
#[derive(Debug)]
pub struct Ended {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

/// A stream that is kept.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panics")).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a test in a runtime like the binary's own. The clock is paused by [`Fake::pauses_at`]; what the fake is asked about its ECS tasks
/// is asked in here, since outside it is another time.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(future)
}

/// `cargo xtask run …`, with these words behind `run`. `signals`: what this process would get.
pub async fn run(fake: &Fake, tasks: &str, words: &str, signals: Option<Signals>) -> Ended {
    let stdout = Kept::default();
    let (code, stderr) = run_into(fake, tasks, words, signals, stdout.clone()).await;
    Ended { code, stdout: stdout.text(), stderr }
}

/// The same with a stdout of the test's own. Gives the exit code and stderr.
pub async fn run_into(
    fake: &Fake,
    tasks: &str,
    words: &str,
    signals: Option<Signals>,
    stdout: impl Write + Send + 'static,
) -> (u8, String) {
    let folder = Folder::new();
    let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: tasks.to_owned() });
    let file = TasksFile { root: folder.path().to_owned(), source };
    let arguments = ["xtask", "run"].into_iter().chain(words.split_whitespace()).map(Into::into);
    let cli = Cli::read(arguments).unwrap_or_else(|error| panic!("{error}"));
    let Some(Verb::Run(flags)) = &cli.verb else { unreachable!("the first word is `run`") };
    let stderr = Kept::default();
    let options = UiOptions {
        format: if cli.everywhere.format == Format::Json { ui::Format::Json } else { ui::Format::Human },
        task: Some(flags.task.clone()),
        timings: flags.timings,
        ..UiOptions::default()
    };
    let ui = Ui::to_writers(options, stdout, stderr.clone());
    // A relay that is gone passes nothing on.
    let mut signals = signals.unwrap_or_else(|| Signals::relayed().1);
    let run_id = run::run_id(flags).expect("a run has an id");
    let aws = Some(fake.aws());
    let code = match Box::pin(run::run(&file, flags, &cli.everywhere, &run_id, &ui, &mut signals, aws)).await {
        Ok(code) => code,
        Err(error) => {
            let error = error.in_source(&file.source);
            ui.error(&error);
            error.exit_code()
        }
    };
    ui.close().await;
    (code, stderr.text())
}
