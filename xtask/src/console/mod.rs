//! Sessions of ECS Exec: started in an ECS task, shown on the terminal, and carried through to the remote command's exit code.
//! `oneoff` adds what an interactive task needs around one: the wait for the ECS task, and its stop.

mod drive;
pub mod oneoff;
mod plugin;
mod ready;
mod resume;

use tokio::time::Instant;

use crate::aws::Aws;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::model::EcsTask;
use crate::session::command::{self, Shape};
use crate::tools::random::random_bytes;
use crate::tools::signals::Signals;
use crate::tools::terminal;
use crate::ui::Ui;

pub use drive::{End, RESUME_PATIENCE};
pub use ready::Started;

/// A session to open.
#[derive(Debug)]
pub struct Request<'a> {
    /// The cluster's name or ARN.
    pub cluster: &'a str,
    /// The ECS task.
    pub task: &'a EcsTask,
    /// The container's name.
    pub container: &'a str,
    /// The command, each argument as it is to arrive; empty: a shell.
    pub argv: &'a [String],
    /// Whether output is told as events.
    pub json: bool,
    /// Whether AWS's own plugin does it.
    pub plugin: bool,
    /// When the time is over.
    pub deadline: Option<Instant>,
    /// A name for the session in what is told.
    pub folder: &'a xshell::Shell,
}

/// Opens a session and carries it through. An error: there was none.
pub async fn session(aws: &Aws, ui: &Ui, request: &Request<'_>, signals: &mut Signals) -> Result<End> {
    if request.plugin {
        return plugin::session(aws, ui, request, signals).await;
    }
    let shape = if terminal::both_ways() && !request.json { Shape::Terminal } else { Shape::Plain };
    let token: String = random_bytes::<8>()?.iter().map(|it| format!("{it:02x}")).collect();
    let mut local = drive::Local::default();
    let mut marked = true;
    loop {
        let command =
            if marked { command::wrapped(request.argv, &token, shape) } else { command::quoted(request.argv) };
        let started = match ready::execute(aws, ui, request, &command, signals).await? {
            ready::Executed::Started(started) => started,
            ready::Executed::Ended(end) => return Ok(end),
        };
        let setting = drive::Setting {
            aws,
            ui,
            cluster: request.cluster,
            task: &request.task.arn,
            container: request.container,
            target_id: target_id(request),
            token: token.clone(),
            marked,
            shape,
            json: request.json,
            deadline: request.deadline,
        };
        let end = drive::drive(&setting, started.stream, &mut local, signals).await?;
        match end {
            End::Closed { ref text, silent: true, .. } if marked && has_no_shell(text) => {
                if request.argv.is_empty() {
                    return Err(Error::failed(format!(
                        "the container `{}` has no shell: {}",
                        request.container,
                        plain(text)
                    ))
                    .hint("give the program to run behind `--`"));
                }
                let message = format!(
                    "the container `{}` has no `sh`: the command runs without one, and its exit code stays unknown",
                    request.container
                );
                ui.emit(Event::Warning { message, hint: None });
                marked = false;
            }
            end => return Ok(if marked { end } else { without_marks(end) }),
        }
    }
}

/// Without marks the end of the session is all that there is to know, where it may be the command's end.
fn without_marks(end: End) -> End {
    match end {
        End::Closed { ref text, idle: false, unseen: false, .. } if text.is_empty() => End::NoCode,
        end => end,
    }
}

/// What the data key of an encrypted session is bound to.
fn target_id(request: &Request<'_>) -> String {
    let cluster = request.cluster.rsplit('/').next().unwrap_or(request.cluster);
    let runtime = request.task.container(request.container).and_then(|it| it.runtime_id.as_deref()).unwrap_or_default();
    format!("ecs:{cluster}_{}_{runtime}", request.task.id())
}

/// Whether the agent could not start our script's shell.
fn has_no_shell(text: &str) -> bool {
    text.contains("Unable to start command")
        && (text.contains("no such file") || text.contains("executable file not found"))
}

/// The agent's text about a failure, in one line.
pub fn plain(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with("------"));
    lines.collect::<Vec<_>>().join("; ")
}

/// What to do about the agent's text about a failure.
pub fn hint_of(text: &str) -> Option<String> {
    let hint = if text.contains("Plugin with name") {
        "the agent in the container is broken, often by a full /tmp: start the ECS task again"
    } else if text.contains("Handshake timed out") || text.contains("KMS") || text.contains("kms") {
        "allow kms:GenerateDataKey for the caller and kms:Decrypt for the task role on the cluster's key"
    } else if has_no_shell(text) {
        "the program is not in the image: check the command"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_end_may_be_the_commands() {
        let closed = |text: &str, idle, unseen| End::Closed { text: text.to_owned(), idle, silent: false, unseen };
        assert!(matches!(without_marks(closed("", false, false)), End::NoCode));
        for end in [closed("", true, false), closed("", false, true), closed("broken", false, false)] {
            assert!(matches!(without_marks(end), End::Closed { .. }));
        }
        assert!(oneoff::closed("", false, true).contains("while the connection was lost"));
    }

    #[test]
    fn the_agents_texts_are_understood() {
        let text = "----------ERROR-------\nUnable to start command: Failed to start pty: fork/exec /bin/nope: no such file or directory";
        assert!(has_no_shell(text));
        assert_eq!(
            plain(text),
            "Unable to start command: Failed to start pty: fork/exec /bin/nope: no such file or directory"
        );
        assert!(hint_of("Plugin with name InteractiveCommands not found. Step name: x").unwrap().contains("/tmp"));
        assert!(hint_of("Handshake timed out. Please ensure").unwrap().contains("kms:GenerateDataKey"));
        assert_eq!(hint_of("Session timed out"), None);
    }
}
