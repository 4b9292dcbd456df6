//! `clean`: shows the old revisions of ours that nothing uses, asks, and deletes them.

use serde_json::json;

use crate::config::suggest;
use crate::cx::TasksFile;
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::flags::{self, Everywhere, Format};
use crate::model::{Config, ResolvedEnvironment, Runner};
use crate::ours;
use crate::plan;
use crate::resolve;
use crate::retention::{Fate, Revision};
use crate::stage::clean::{self, Deleted, Survey};
use crate::tools::signals::Signals;
use crate::ui::Ui;
use crate::verb::reach::{connect, guard_endpoint};

/// Deletes what `--keep` leaves over.
pub async fn clean(
    file: &TasksFile,
    flags: &flags::Clean,
    everywhere: &Everywhere,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<()> {
    let config = file.config()?;
    let environment = resolve::environment_itself(&config, &everywhere.selection(|it| std::env::var(it).ok()))?;
    let name = &environment.name.value;
    if environment.runner.value != Runner::Ecs {
        return Err(Problem::new(format!("tasks in `{name}` run on this machine: there are no revisions to delete"))
            .at(environment.runner.span())
            .hint("choose an environment on ECS with -e")
            .refused());
    }
    let families = families(&config, name, &flags.tasks)?;
    if let Some(warning) = guard_endpoint(&environment.name, &environment.settings)? {
        warn(ui, warning);
    }
    if !flags.yes && !flags.dry_run && !ui.can_ask() {
        return Err(Error::refused("there is no terminal to confirm the deletion on")
            .hint("look at it with --dry-run, and add --yes if it is meant"));
    }
    let survey = or_signal(survey(&environment, flags, &families, ui), signals).await?;
    for warning in &survey.warnings {
        warn(ui, warning.clone());
    }
    let going: Vec<Revision> = survey.going().into_iter().cloned().collect();
    if everywhere.format == Format::Human {
        ui.print(shown(&survey, flags.dry_run));
    }
    if flags.dry_run || going.is_empty() {
        if everywhere.format == Format::Json {
            ui.print(lines(&survey, &Deleted::default()));
        }
        return Ok(());
    }
    confirm(&environment, flags, going.len(), ui, signals).await?;

    let aws = connect(&environment.settings, ui).await?;
    let mut deleted = Deleted::default();
    let signal = tokio::select! {
        () = clean::delete(&aws, &going, &mut deleted) => None,
        signal = signals.next() => Some(signal),
    };
    let of = format!("{} of {} revisions are deleted", deleted.deleted.len(), going.len());
    match everywhere.format {
        Format::Json => ui.print(lines(&survey, &deleted)),
        Format::Human => ui.print(format!("{of}\n")),
    }
    if let Some(signal) = signal {
        return Err(Error::interrupted(signal, "the signal came before all were deleted").done(of));
    }
    if deleted.failed.is_empty() {
        return Ok(());
    }
    let problems = deleted.failed.iter().map(|(arn, cause)| Problem::new(format!("cannot delete {arn}: {cause}")));
    let mut error = Error::failed("");
    error.problems = problems.collect();
    Err(error.hint("run it again: what is left is tried once more").done(of))
}

/// The families of the named tasks, else of all. Where a task may run does not count: it may have been able to once.
fn families(config: &Config, environment: &str, named: &[String]) -> Result<Vec<String>> {
    let known: Vec<&str> = config.tasks.iter().map(|it| it.name.value.as_str()).collect();
    let unknown: Vec<Problem> = named
        .iter()
        .filter(|it| !known.contains(&it.as_str()))
        .map(|it| Problem { hint: suggest::hint(it, "tasks", &known), ..Problem::new(format!("unknown task `{it}`")) })
        .collect();
    if !unknown.is_empty() {
        return Err(Error::all_refused(unknown));
    }
    let chosen = known.into_iter().filter(|it| named.is_empty() || named.iter().any(|named| named == it));
    Ok(chosen.map(|it| ours::family(environment, it)).collect())
}

async fn survey(
    environment: &ResolvedEnvironment,
    flags: &flags::Clean,
    families: &[String],
    ui: &Ui,
) -> Result<Survey> {
    let settings = &environment.settings;
    let aws = connect(settings, ui).await?;
    plan::guard_places(&environment.name.value, settings, &aws.region.value)?;
    let identity = aws.caller_identity().await.map_err(|it| it.problem("ask AWS who calls", None).failed())?;
    plan::guard_account(&environment.name.value, settings, &identity)?;
    let cluster = settings.cluster.as_ref().map(|it| it.value.as_str());
    clean::survey(&aws, ui, families, cluster, flags.keep as usize).await
}

async fn confirm(
    environment: &ResolvedEnvironment,
    flags: &flags::Clean,
    count: usize,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<()> {
    if flags.yes {
        return Ok(());
    }
    let name = environment.name.value.as_str();
    // Where it counts, more than a habit is asked for.
    let wanted = if environment.protected { name } else { "yes" };
    let question = format!("Delete {count} revisions in `{name}`? They cannot be restored. Type `{wanted}`: ");
    ui.sync().await;
    let answer = or_signal(async { Ok(ui.ask(&question).await) }, signals).await?;
    match answer.as_deref().map(str::trim) {
        Some(answer) if answer == wanted => Ok(()),
        _ => Err(Error::refused(format!("not confirmed: nothing was deleted in `{name}`"))),
    }
}

/// For people: what goes, and what stays for a reason that is not its age.
fn shown(survey: &Survey, dry_run: bool) -> String {
    let width = survey.revisions.iter().map(|(it, _)| it.name().len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut counts = (0, 0);
    for (revision, fate) in &survey.revisions {
        let what = match fate {
            Fate::Newest => {
                counts.1 += 1;
                continue;
            }
            Fate::Goes => {
                counts.0 += 1;
                if dry_run { "would be deleted".to_owned() } else { "to be deleted".to_owned() }
            }
            _ => format!("stays: {}", reason(fate)),
        };
        text.push_str(&format!("{:width$}  {what}\n", revision.name()));
    }
    let (going, newest) = counts;
    match going {
        0 => text.push_str(&format!("nothing to delete: {newest} revisions are the newest of their families\n")),
        _ => text.push_str(&format!("{going} to delete; {newest} stay as the newest of their families\n")),
    }
    text
}

/// For programs: each revision and what became of it.
fn lines(survey: &Survey, deleted: &Deleted) -> String {
    let mut text = String::new();
    for (revision, fate) in &survey.revisions {
        let failed = deleted.failed.iter().find(|(arn, _)| *arn == revision.arn).map(|(_, cause)| cause.clone());
        let action = match fate {
            Fate::Goes if deleted.deleted.contains(&revision.arn) => "deleted",
            Fate::Goes if failed.is_some() => "failed",
            Fate::Goes => "would-delete",
            _ => "kept",
        };
        let reason = failed.or_else(|| (*fate != Fate::Goes).then(|| reason(fate)));
        let line = json!({ "task_definition": revision.arn, "action": action, "reason": reason });
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn reason(fate: &Fate) -> String {
    match fate {
        Fate::Goes => "nothing needs it".to_owned(),
        Fate::Newest => "one of the newest".to_owned(),
        Fate::Foreign => "it was not made by this tool (no tag `xtask=1`)".to_owned(),
        Fate::Used(by) => format!("{by} uses it"),
    }
}

/// The result, unless a signal comes first: then nothing was deleted.
async fn or_signal<T>(stage: impl Future<Output = Result<T>>, signals: &mut Signals) -> Result<T> {
    tokio::select! {
        result = stage => result,
        signal = signals.next() => Err(Error::interrupted(signal, "nothing was deleted")),
    }
}

fn warn(ui: &Ui, message: String) {
    ui.emit(Event::Warning { message, hint: None });
}
