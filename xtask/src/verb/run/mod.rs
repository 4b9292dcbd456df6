//! `run`: from a name in tasks.toml to the exit code. The stages in their order: all tasks of the run are read and planned, confirmed, built
//! and registered together, and then run one after the other. Each step is in its file; what is read, decided and written is the stages'.

mod beside;
mod confirm;
mod ecs;
mod local;
mod prepare;
mod ready;
mod retry;
mod sequence;
mod shards;
mod survey;

use tokio::time::Instant;

use crate::aws::Aws;
use crate::cx::{Cx, TasksFile};
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere, Format};
use crate::model::{Ending, Outcome, ResolvedTask, Timings};
use crate::tools::random::random_bytes;
use crate::tools::signals::Signals;
use crate::ui::Ui;
use crate::verb::changed;
use sequence::Sequence;

/// Runs the task, and what it needs before it, and returns the exit code. What goes wrong before the task's own end is an error, for the
/// caller to show. `aws`: the caller's clients, in place of those that tasks.toml and the environment lead to.
pub async fn run(
    file: &TasksFile,
    flags: &flags::Run,
    everywhere: &Everywhere,
    run_id: &str,
    ui: &Ui,
    signals: &mut Signals,
    aws: Option<Aws>,
) -> Result<u8> {
    let whole = Whole { cx: Cx::new(file, ui.clone())?, flags, everywhere, run_id, aws, start: Instant::now() };
    let (turns, skipped) = prepare::resolve(&whole, &file.config()?)?;
    if let Some(mut ending) = changed::skipped(&whole.cx, flags, run_id, signals).await? {
        ending.timings.total = Some(whole.start.elapsed().as_secs_f64());
        return Ok(whole.finish(ending));
    }
    for turn in &turns {
        turn.run.refuse_without_confirmation(&turn.task)?;
    }
    let prepared = Box::pin(prepare::prepare(turns, &skipped, signals)).await?;
    let mut sequence = Sequence::new(&whole, prepared);
    let needless = Box::pin(sequence.look_around(signals)).await?;
    if flags.dry_run {
        return Ok(whole.planned());
    }
    let ending = match needless {
        Some(ending) => ending,
        None => {
            sequence.check()?;
            confirm::confirm(&whole, &sequence.to_start(), signals).await?;
            Box::pin(sequence.carry_out(signals)).await?
        }
    };
    Ok(whole.finish(ending))
}

/// What all tasks of a run have in common.
struct Whole<'a> {
    /// Of the task that was asked for.
    cx: Cx,
    flags: &'a flags::Run,
    everywhere: &'a Everywhere,
    run_id: &'a str,
    aws: Option<Aws>,
    start: Instant,
}

/// What every step of one task's run knows.
struct Run<'a> {
    cx: Cx,
    /// Those that concern this task.
    flags: flags::Run,
    everywhere: &'a Everywhere,
    run_id: String,
    json: bool,
    /// Another task was asked for, and needs this one.
    is_need: bool,
    aws: Option<Aws>,
    start: Instant,
}

/// A task and its run.
struct Turn<'a> {
    run: Run<'a>,
    task: ResolvedTask,
}

/// This run's id: the one of the flag, else a random one.
pub fn run_id(flags: &flags::Run) -> Result<String> {
    flags.run_id.clone().map_or_else(random_id, Ok)
}

impl<'a> Whole<'a> {
    /// The run of one of its tasks.
    fn of(&self, task: &str) -> Run<'a> {
        let is_need = task != self.flags.task;
        Run {
            cx: self.cx.for_task(task),
            flags: if is_need { self.flags.of_need(task) } else { self.flags.clone() },
            everywhere: self.everywhere,
            run_id: self.run_id.to_owned(),
            json: self.everywhere.format == Format::Json,
            is_need,
            aws: self.aws.clone(),
            start: self.start,
        }
    }

    /// The end of a dry run. For programs the last event is the same whatever happened; people have seen the plan.
    fn planned(&self) -> u8 {
        if self.everywhere.format == Format::Json {
            let explanation = Some("a dry run: nothing was built, written or started".to_owned());
            let (outcome, exit_code) = (Outcome::Skipped, exit::OK);
            let timings = Timings { total: Some(self.start.elapsed().as_secs_f64()), ..Timings::default() };
            let run_id = self.run_id.to_owned();
            let ending = Ending { outcome, exit_code, run_id, explanation, timings, ..Ending::default() };
            self.cx.ui.emit(Event::Finished(Box::new(ending)));
        }
        exit::OK
    }

    /// The last event, and its exit code.
    fn finish(&self, ending: Ending) -> u8 {
        let exit_code = ending.exit_code;
        self.cx.ui.emit(Event::Finished(Box::new(ending)));
        exit_code
    }
}

impl Run<'_> {
    /// An ending of this process's own task: it has taken this long.
    fn timed(&self, mut ending: Ending) -> Ending {
        ending.timings.total = Some(self.start.elapsed().as_secs_f64());
        ending
    }

    fn warn(&self, message: &str) {
        self.cx.ui.emit(Event::Warning { message: message.to_owned(), hint: None });
    }
}

/// The last event of a run that failed before or beside an ECS task's own end.
pub fn ending_of(error: &Error, run_id: &str) -> Ending {
    Ending {
        outcome: error.outcome(),
        exit_code: error.exit_code(),
        run_id: run_id.to_owned(),
        task_arn: error.task_arn().map(str::to_owned),
        ..Ending::default()
    }
}

/// Twelve letters and digits: the same id twice in a cluster is out of the question.
fn random_id() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random_bytes::<12>()?;
    Ok(bytes.iter().map(|it| char::from(ALPHABET[usize::from(it % 32)])).collect())
}
