//! `ps`: the ECS tasks that this tool started, by whomever and on whatever machine, and how the recent ones ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cx::TasksFile;
use crate::error::{Result, exit};
use crate::flags::{self, Everywhere, Format};
use crate::follow::words;
use crate::model::{EcsTask, Outcome, Timestamp};
use crate::ours;
use crate::stage::find::{self, Found};
use crate::ui::Ui;
use crate::verb::{logs, reach};
use crate::verdict::{OurDoing, Verdict, verdict};

/// Prints the table, or an object a line.
pub async fn ps(file: &TasksFile, flags: &flags::Ps, everywhere: &Everywhere, ui: &Ui) -> Result<u8> {
    let grounds = reach::grounds(file, everywhere, ui).await?;
    let list = Box::pin(find::list(&grounds, None));
    let mut found = reach::patiently(&grounds, everywhere, ui, list).await?;
    if !flags.all {
        found.retain(|it| !it.task.is_stopped());
    }
    let rows: Vec<Row<'_>> = found.iter().map(|it| Row::of(it, logs::now())).collect();
    if everywhere.format == Format::Json {
        ui.print(rows.iter().map(|it| format!("{}\n", it.json())).collect::<String>());
    } else if rows.is_empty() {
        let environment = grounds.first().map(|it| it.environment.as_str()).unwrap_or_default();
        let more = if flags.all { "" } else { " (--all lists the recently stopped ones)" };
        ui.print(format!("no ECS task of this tool in `{environment}`{more}\n"));
    } else {
        ui.print(table(&rows));
    }
    Ok(exit::OK)
}

/// How a STOPPED ECS task ended, as `attach` would judge it.
pub fn judged(task: &EcsTask) -> Option<Verdict> {
    task.is_stopped().then(|| verdict(task, ours::container(task), OurDoing::of_reason(task)))
}

/// The end in a few words: `succeeded`, `exit code 1`, `stopped: deploying`.
pub fn how(task: &EcsTask, verdict: &Verdict) -> String {
    let reason = task.container(ours::container(task)).and_then(|it| it.reason.as_deref());
    let reason = reason.or(task.stopped_reason.as_deref());
    let with_reason = |word: &str| reason.map_or_else(|| word.to_owned(), |it| format!("{word}: {it}"));
    match verdict.outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed => match &verdict.explanation {
            Some(explanation) => format!("exit code {}: {explanation}", verdict.exit_code),
            None => format!("exit code {}", verdict.exit_code),
        },
        Outcome::NeverStarted => with_reason("never started"),
        Outcome::TimedOut => "timed out".to_owned(),
        Outcome::Interrupted => "interrupted".to_owned(),
        _ => with_reason("stopped"),
    }
}

struct Row<'a> {
    found: &'a Found<'a>,
    verdict: Option<Verdict>,
    overdue: Option<Duration>,
    now: Timestamp,
}

impl<'a> Row<'a> {
    fn of(found: &'a Found<'a>, now: Timestamp) -> Row<'a> {
        let placed = found.ground.place.tasks.iter().find(|it| it.name == found.name);
        let overdue = ours::overdue(&found.task, placed.and_then(|it| it.timeout), now);
        Row { found, verdict: judged(&found.task), overdue, now }
    }

    fn json(&self) -> Value {
        let Found { ground, name, task } = self.found;
        let container = task.container(ours::container(task));
        json!({
            "task": name,
            "environment": ground.environment,
            "task_arn": task.arn,
            "cluster": ground.cluster(),
            "task_definition": task.task_definition_arn,
            "status": task.last_status,
            "run_id": ours::run_id(task),
            "shard": ours::shard(task).map(|it| it.index),
            "shards": ours::shard(task).map(|it| it.of),
            "by": ours::run_by(task),
            "commit": ours::commit(task),
            "command": ours::shown_command(task),
            "created_at": task.created_at,
            "started_at": task.started_at,
            "stopped_at": task.stopped_at,
            "overdue": self.overdue.map(|it| it.as_secs()),
            "outcome": self.verdict.as_ref().map(|it| it.outcome),
            "exit_code": self.verdict.as_ref().map(|it| it.exit_code),
            "stop_code": task.stop_code,
            "stopped_reason": task.stopped_reason,
            "container_reason": container.and_then(|it| it.reason.as_ref()),
        })
    }

    fn cells(&self) -> [String; 6] {
        let Found { name, task, .. } = self.found;
        let status = match (&self.verdict, self.overdue) {
            (Some(verdict), _) => {
                // The reason may be long; `attach` and JSON have it whole.
                let how = how(task, verdict);
                let line = how.lines().next().unwrap_or_default();
                if line.chars().count() > 60 {
                    format!("{}…", line.chars().take(59).collect::<String>())
                } else {
                    line.to_owned()
                }
            }
            (None, Some(overdue)) => format!("{}, overdue by {}", status(task), words(overdue)),
            (None, None) => status(task).to_owned(),
        };
        let ago = |at: Option<Timestamp>| {
            let span = Duration::try_from_secs_f64(self.now.seconds_since(at?).max(0.0)).ok()?;
            Some(format!("{} ago", words(Duration::from_secs(span.as_secs()))))
        };
        let since = if task.is_stopped() { task.stopped_at } else { task.created_at };
        [
            match ours::shard(task) {
                Some(shard) => format!("{name} [{shard}]"),
                None => name.clone(),
            },
            status,
            ago(since).unwrap_or_default(),
            ours::run_by(task).map(ours::caller).unwrap_or_default().to_owned(),
            ours::run_id(task).unwrap_or_default().to_owned(),
            task.id().to_owned(),
        ]
    }
}

fn status(task: &EcsTask) -> &str {
    task.last_status.as_deref().unwrap_or("UNKNOWN")
}

fn table(rows: &[Row<'_>]) -> String {
    let head = ["TASK", "STATUS", "SINCE", "BY", "RUN", "ID"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
