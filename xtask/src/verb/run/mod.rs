//! `run`: from a name in tasks.toml to the task's exit code. The stages in their order; each step is in its file, and what is read, decided
//! and written is the stages'.

mod beside;
mod confirm;
mod ecs;
mod local;
mod prepare;
mod shards;

use tokio::time::Instant;

use crate::aws::Aws;
use crate::cx::{Cx, TasksFile};
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere, Format};
use crate::model::{Ending, Outcome};
use crate::tools::random::random_bytes;
use crate::tools::signals::Signals;
use crate::ui::Ui;
use crate::verb::changed;
use prepare::Prepared;

/// Runs the task and returns the exit code. What goes wrong before the task's own end is an error, for the caller to show. `aws`: the
/// caller's clients, in place of those that tasks.toml and the environment lead to.
pub async fn run(
    file: &TasksFile,
    flags: &flags::Run,
    everywhere: &Everywhere,
    run_id: &str,
    ui: &Ui,
    signals: &mut Signals,
    aws: Option<Aws>,
) -> Result<u8> {
    let cx = Cx::new(file, ui.clone())?;
    let json = everywhere.format == Format::Json;
    let run = Run { cx, flags, everywhere, run_id: run_id.to_owned(), json, aws, start: Instant::now() };
    let task = run.resolve(&file.config()?)?;
    if let Some(mut ending) = changed::skipped(&run.cx, flags, run_id, signals).await? {
        ending.timings.total = Some(run.start.elapsed().as_secs_f64());
        return Ok(run.finish(ending));
    }
    run.refuse_without_confirmation(&task)?;
    let prepared = Box::pin(run.prepare(task, signals)).await?;
    let ending = match Box::pin(run.needless(&prepared, signals)).await? {
        Some(ending) => ending,
        None if flags.dry_run => return Ok(run.planned()),
        None => {
            prepared.check()?;
            run.confirm(&prepared, signals).await?;
            run.carry_out(&prepared, signals).await?
        }
    };
    Ok(run.finish(ending))
}

/// What every step of a run knows.
struct Run<'a> {
    cx: Cx,
    flags: &'a flags::Run,
    everywhere: &'a Everywhere,
    run_id: String,
    json: bool,
    aws: Option<Aws>,
    start: Instant,
}

/// This run's id: the one of the flag, else a random one.
pub fn run_id(flags: &flags::Run) -> Result<String> {
    flags.run_id.clone().map_or_else(random_id, Ok)
}

impl Run<'_> {
    /// The end of a run that has nothing to start, because somebody else's ECS task does (or did) the work. `None`: it is to be started, or
    /// would be if this were no dry run.
    async fn needless(&self, prepared: &Prepared, signals: &mut Signals) -> Result<Option<Ending>> {
        match prepared {
            Prepared::Machine(_) => Ok(None),
            // On the heap: the futures of the SDK's calls are large.
            Prepared::Ecs(there) => Box::pin(self.joined(there, signals)).await,
        }
    }

    /// Writes: whatever is built, registered and started, to the task's end.
    async fn carry_out(&self, prepared: &Prepared, signals: &mut Signals) -> Result<Ending> {
        match prepared {
            Prepared::Machine(task) => self.on_this_machine(task, signals).await,
            Prepared::Ecs(there) => {
                let ready = Box::pin(self.publish(there, signals)).await?;
                match &there.plan.shards {
                    Some(shards) if shards.is_many() => Box::pin(self.run_shards(there, shards, &ready, signals)).await,
                    _ => Box::pin(self.run_once(there, &ready, signals)).await,
                }
            }
        }
    }

    /// The end of a dry run. For programs the last event is the same whatever happened; people have seen the plan.
    fn planned(&self) -> u8 {
        if self.json {
            let explanation = Some("a dry run: nothing was built, written or started".to_owned());
            let (outcome, exit_code) = (Outcome::Skipped, exit::OK);
            let ending = Ending { outcome, exit_code, run_id: self.run_id.clone(), explanation, ..Ending::default() };
            self.cx.ui.emit(Event::Finished(Box::new(self.timed(ending))));
        }
        exit::OK
    }

    /// The last event, and its exit code.
    fn finish(&self, ending: Ending) -> u8 {
        let exit_code = ending.exit_code;
        self.cx.ui.emit(Event::Finished(Box::new(ending)));
        exit_code
    }

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
