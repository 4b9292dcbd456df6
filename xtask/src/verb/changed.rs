//! `--if-changed`: whether a run has anything to do, by what changed since another commit.

use crate::cx::Cx;
use crate::error::{Error, Result, exit};
use crate::flags;
use crate::model::{Ending, Outcome, Timings};
use crate::tools::git::{self, Changes};
use crate::tools::signals::Signals;

/// The end of a run that has nothing to do; `None`: it has.
pub async fn skipped(cx: &Cx, flags: &flags::Run, run_id: &str, signals: &mut Signals) -> Result<Option<Ending>> {
    let (patterns, Some(base)) = (&flags.if_changed, &flags.base) else { return Ok(None) };
    if base.trim().is_empty() {
        let error = Error::refused("--base is empty: there is nothing to compare with");
        return Err(error.hint("give it a commit or a branch: the variable that it comes from may be unset"));
    }
    // Nothing could be left to change: the task would be skipped for ever, with success.
    let is_all = |it: &str| matches!(it.trim_start_matches("./"), "**" | "**/*" | "**/**");
    let left_out = |it: &&String| it.strip_prefix('!').is_some_and(is_all);
    if let Some(pattern) = patterns.iter().find(left_out) {
        return Err(Error::refused(format!("--if-changed `{pattern}` leaves every file out"))
            .hint("name the files that count, and leave out fewer"));
    }
    let changes = tokio::select! {
        changes = git::changed(&cx.sh, &cx.root, base, patterns) => changes?,
        signal = signals.next() => return Err(Error::interrupted(signal, "nothing was built or written")),
    };
    let since = match changes {
        Changes::NoBase => {
            cx.ui.note("there is no commit to compare with: everything counts as changed");
            return Ok(None);
        }
        Changes::Files { files, .. } if !files.is_empty() => {
            cx.ui.note(format!("changed since {base}: {}", files.join(", ")));
            return Ok(None);
        }
        Changes::Files { since, .. } => since,
    };
    let since: String = since.chars().take(12).collect();
    let since = if base.starts_with(&since) { format!("`{since}`") } else { format!("`{base}` ({since})") };
    let patterns: Vec<String> = patterns.iter().map(|it| format!("`{it}`")).collect();
    Ok(Some(Ending {
        outcome: Outcome::Skipped,
        exit_code: exit::OK,
        run_id: run_id.to_owned(),
        explanation: Some(format!("no file that matches {} has changed since {since}", patterns.join(", "))),
        timings: Timings::default(),
        ..Ending::default()
    }))
}
