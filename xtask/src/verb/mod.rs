//! What each verb of the command line does, and the way there: the printer, the runtime, and the exit code of what went wrong.

pub mod attach;
pub mod changed;
pub mod check;
pub mod clean;
pub mod complete;
mod conclude;
pub mod exec;
pub mod help;
pub mod ids;
pub mod init;
pub mod list;
pub mod logs;
pub mod policy;
pub mod ps;
mod reach;
pub mod run;
pub mod stop;

use std::path::PathBuf;

use crate::cx::TasksFile;
use crate::error::{Error, Result, exit};
use crate::event::Event;
use crate::flags::{Cli, Everywhere, Format, Verb};
use crate::tools::captured::is_captured;
use crate::tools::signals::Signals;
use crate::ui::{self, GithubFiles, Ui, UiOptions};
use crate::verb::ids::Ids;

/// Does what the command line says and returns the exit code.
pub fn dispatch(cli: Cli) -> u8 {
    // One thread: the work is waiting. A thread that waits for a terminal's answer must not hold up the end.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return complain(&Error::failed(format!("cannot start the runtime: {error}")));
        }
    };
    let exit_code = runtime.block_on(until_written(cli));
    runtime.shutdown_background();
    exit_code
}

/// Runs the verb, shows what failed, and waits until all is written: for as long as that takes, unless a signal says otherwise.
async fn until_written(cli: Cli) -> u8 {
    let (task, timings) = match &cli.verb {
        Some(Verb::Run(flags)) => (Some(flags.task.clone()), flags.timings),
        _ => (None, false),
    };
    // What acts goes on without a reader; of everything else the output is all there is.
    let acts =
        matches!(cli.verb, Some(Verb::Run(_) | Verb::Attach(_) | Verb::Exec(_) | Verb::Stop(_) | Verb::Clean(_)));
    let ui = Ui::new(UiOptions { timings, product: !acts, ..ui_options(&cli.everywhere, task) });
    let written = ui.clone();
    let mut signals = None;
    let mut run_id = String::new();
    let result = verb(&cli, &ui, &mut run_id, &mut signals).await;
    let exit_code = match result {
        Ok(exit_code) => exit_code,
        Err(error) => {
            ui.error(&error);
            if matches!(cli.verb, Some(Verb::Run(_) | Verb::Attach(_))) && cli.everywhere.format == Format::Json {
                // For programs the last event is the same whatever happened.
                ui.emit(Event::Finished(Box::new(run::ending_of(&error, &run_id))));
            }
            error.exit_code()
        }
    };
    match signals {
        Some(mut signals) => {
            tokio::select! {
                () = ui.close() => {}
                _ = Signals::next(&mut signals) => {}
            }
        }
        None => ui.close().await,
    }
    // Of an error the exit code says more.
    let lost = !acts && written.stdout_is_lost() && matches!(exit_code, exit::OK | exit::PROBLEM);
    if lost { exit::FAILED } else { exit_code }
}

/// Shows an error that comes before any verb.
pub fn complain(error: &Error) -> u8 {
    let ui = Ui::new(UiOptions::default());
    ui.error(error);
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
        runtime.block_on(ui.close());
    }
    error.exit_code()
}

/// `signals` is set by a verb that handles signals itself; until then they end the process as they always do.
async fn verb(cli: &Cli, ui: &Ui, run_id: &mut String, signals: &mut Option<Signals>) -> Result<u8> {
    let everywhere = &cli.everywhere;
    let file = everywhere.file.as_deref();
    let goes_somewhere = !matches!(
        cli.verb,
        None | Some(Verb::List | Verb::Init | Verb::Help(_) | Verb::Completions(_) | Verb::Complete(_))
    );
    if let Some(Verb::Run(flags)) = &cli.verb {
        *run_id = run::run_id(flags)?;
    }
    if goes_somewhere {
        reach::check_variables()?;
    }
    match &cli.verb {
        None | Some(Verb::List) => {
            let file = TasksFile::require(file)?;
            let config = file.config()?;
            ui.print(list::table(&config, everywhere.format == Format::Json));
            Ok(exit::OK)
        }
        Some(Verb::Run(flags)) => {
            let file = TasksFile::require(file)?;
            let signals = signals.insert(Signals::new()?);
            run::run(&file, flags, everywhere, run_id, ui, signals, None).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Exec(flags)) => {
            let file = TasksFile::require(file)?;
            let signals = signals.insert(Signals::new()?);
            Box::pin(exec::exec(&file, flags, everywhere, ui, signals)).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Check(flags)) => {
            let file = TasksFile::require(file)?;
            let signals = signals.insert(Signals::new()?);
            Box::pin(check::check(&file, flags, everywhere, ui, signals)).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Policy(flags)) => {
            let file = TasksFile::require(file)?;
            Box::pin(policy::policy(&file, flags, everywhere, ui)).await.map_err(|it| it.in_source(&file.source))?;
            Ok(exit::OK)
        }
        Some(Verb::Clean(flags)) => {
            let file = TasksFile::require(file)?;
            let signals = signals.insert(Signals::new()?);
            Box::pin(clean::clean(&file, flags, everywhere, ui, signals))
                .await
                .map_err(|it| it.in_source(&file.source))?;
            Ok(exit::OK)
        }
        Some(Verb::Attach(flags)) => {
            let file = TasksFile::require(file)?;
            let signals = signals.insert(Signals::new()?);
            attach::attach(&file, flags, everywhere, ui, signals).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Logs(flags)) => {
            let file = TasksFile::require(file)?;
            logs::logs(&file, flags, everywhere, ui).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Ps(flags)) => {
            let file = TasksFile::require(file)?;
            ps::ps(&file, flags, everywhere, ui).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Stop(flags)) => {
            let file = TasksFile::require(file)?;
            let signals = signals.insert(Signals::new()?);
            stop::stop(&file, flags, everywhere, ui, signals).await.map_err(|it| it.in_source(&file.source))
        }
        Some(Verb::Init) => {
            let folder =
                std::env::current_dir().map_err(|it| Error::failed(format!("cannot find the current folder: {it}")))?;
            ui.print(init::init(&folder, file)?);
            Ok(exit::OK)
        }
        Some(Verb::Help(flags)) => {
            ui.print(help::help(flags.topic.as_deref(), everywhere.format == Format::Json)?);
            Ok(exit::OK)
        }
        Some(Verb::Completions(flags)) => {
            ui.print(complete::script(flags.shell));
            Ok(exit::OK)
        }
        Some(Verb::Complete(flags)) if flags.refresh => {
            let file = TasksFile::require(file)?;
            let environment = everywhere.env.as_deref().unwrap_or_default();
            if let Some(ids) = Ids::of(&file, environment, everywhere.profile.as_deref(), reach::variable) {
                ids.look(&file, everywhere, ui).await?;
            }
            Ok(exit::OK)
        }
        Some(Verb::Complete(flags)) => {
            // A shell shows nothing of what goes wrong here: no names are offered then.
            let words: Vec<String> = flags.words.iter().map(|it| it.to_string_lossy().into_owned()).collect();
            ui.print(complete::lines(&completed(&words, everywhere)));
            Ok(exit::OK)
        }
    }
}

/// The candidates for the last of these words.
fn completed(words: &[String], everywhere: &Everywhere) -> Vec<complete::Candidate> {
    // The line that is typed may name another tasks file.
    let typed = Cli::global_flags(words);
    let everywhere = &Everywhere { file: typed.file.or_else(|| everywhere.file.clone()), ..typed };
    let file = TasksFile::find(everywhere.file.as_deref()).ok().flatten();
    let config = file.as_ref().and_then(|it| it.config().ok());
    let ids = |environment: Option<&str>| {
        let default = config.as_ref().and_then(|it| it.default_environment.as_ref()).map(|it| it.value.clone());
        let environment = environment.map(str::to_owned).or_else(|| reach::variable("XTASK_ENV")).or(default);
        let (Some(file), Some(environment)) = (&file, environment) else { return Vec::new() };
        let ids = Ids::of(file, &environment, everywhere.profile.as_deref(), reach::variable);
        let Some(ids) = ids else { return Vec::new() };
        if ids.is_old() {
            ids.look_in_background(everywhere, &environment);
        }
        ids.known()
    };
    complete::candidates(words, config.as_ref(), &ids)
}

fn ui_options(everywhere: &Everywhere, task: Option<String>) -> UiOptions {
    let github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|it| it == "true");
    let path = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    UiOptions {
        format: match everywhere.format {
            Format::Human => ui::Format::Human,
            Format::Json => ui::Format::Json,
        },
        quiet: everywhere.quiet,
        verbose: everywhere.verbose,
        plain: everywhere.plain,
        github,
        github_files: GithubFiles {
            summary: path("GITHUB_STEP_SUMMARY"),
            output: path("GITHUB_OUTPUT"),
            folder: std::env::current_dir().ok(),
            captured: github && is_captured(),
        },
        task,
        timings: false,
        product: false,
    }
}
