//! The confirmation that a protected environment asks for: once for all tasks of a run.

use crate::error::{Error, Problem, Result};
use crate::model::{ResolvedTask, Sourced};
use crate::tools::signals::Signals;
use crate::verb::run::prepare::Prepared;
use crate::verb::run::{Run, Whole};

impl Run<'_> {
    /// Without a terminal a protected environment needs `--yes`; that is known before anything is asked or built.
    pub(super) fn refuse_without_confirmation(&self, task: &ResolvedTask) -> Result<()> {
        if !task.protected || self.flags.yes || self.flags.dry_run || self.cx.ui.can_ask() {
            return Ok(());
        }
        let environment = &task.environment.value;
        let span = task.settings.protected.as_ref().and_then(Sourced::span);
        Err(Problem::new(format!("`{environment}` is protected, and there is no terminal to confirm the run on"))
            .at(span)
            .hint("add --yes if this run is meant")
            .refused())
    }
}

/// Asks for the environment's name where that is protected.
pub(super) async fn confirm(whole: &Whole<'_>, tasks: &[&Prepared], signals: &mut Signals) -> Result<()> {
    let Some(protected) = tasks.iter().find(|it| it.task().protected) else { return Ok(()) };
    if whole.flags.yes {
        return Ok(());
    }
    let environment = &protected.task().environment.value;
    let mut shown = String::new();
    for task in tasks {
        if tasks.len() > 1 {
            shown.push_str(&format!("{}:\n", task.task().task));
        }
        shown.extend(task.lines().iter().map(|it| format!("{:>20}  {}\n", it.key, it.value)));
    }
    let names: Vec<String> = tasks.iter().map(|it| format!("`{}`", it.task().task)).collect();
    let names = names.join(", then ");
    let question = format!("{shown}`{environment}` is protected. Type its name to run {names}: ");
    let answer = tokio::select! {
        answer = whole.cx.ui.ask(&question) => answer,
        signal = signals.next() => {
            return Err(Error::interrupted(signal, "nothing was built or written"));
        }
    };
    match answer.as_deref().map(str::trim) {
        Some(answer) if answer == environment => Ok(()),
        _ => Err(Error::refused(format!("not confirmed: nothing was run in `{environment}`"))),
    }
}
