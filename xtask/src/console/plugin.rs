//! AWS's own session-manager-plugin instead of ours, where ours fails: it shows the session, and tells no exit code.

use std::process::Stdio;
use std::time::Duration;

use tokio::time::Instant;
use xshell::cmd;

use super::{End, Request, ready, target_id};
use crate::aws::Aws;
use crate::aws::ecs::Described;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::session::command;
use crate::tools::signals::{self, Signals};
use crate::tools::{Group, Io, Process, capture_whole, our_stdout, terminal};
use crate::ui::Ui;

const PLUGIN: &str = "session-manager-plugin";
/// The variable in which the plugin reads the session: on the command line everybody could read its token.
const VARIABLE: &str = "AWS_SSM_START_SESSION_RESPONSE_XTASK";
/// How often the ECS task is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The first version that reads the variable. Older ones are not used.
const READS_VARIABLE: [u32; 3] = [1, 2, 536];

/// Opens a session and hands it to the plugin.
pub(super) async fn session(aws: &Aws, ui: &Ui, request: &Request<'_>, signals: &mut Signals) -> Result<End> {
    let sh = request.folder;
    let version = capture_whole(cmd!(sh, "{PLUGIN} --version"), None)
        .await
        .map_err(|it| it.hint("install AWS's session-manager-plugin, or leave --plugin out: this tool needs none"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    if request.json {
        return Err(Error::refused("--plugin writes to the terminal itself and cannot be told as JSON")
            .hint("leave --plugin or --format json out"));
    }
    if !reads_variable(&version) {
        let message = format!(
            "`{PLUGIN}` {version} is too old: it takes the session's token on its command line, where everybody can read it"
        );
        let hint = "update it to 1.2.536 or newer, or leave --plugin out: this tool needs none";
        return Err(Error::refused(message).hint(hint));
    }
    let shell = ["sh".to_owned()];
    let argv = if request.argv.is_empty() { &shell } else { request.argv };
    let started = match ready::execute(aws, ui, request, &command::quoted(argv), signals).await? {
        ready::Executed::Started(started) => started,
        ready::Executed::Ended(end) => return Ok(end),
    };
    let stream = started.stream;
    let response = serde_json::json!({
        "SessionId": stream.id, "StreamUrl": stream.stream_url, "TokenValue": stream.token,
        "sessionId": stream.id, "streamUrl": stream.stream_url, "tokenValue": stream.token,
    })
    .to_string();
    let target = serde_json::json!({ "Target": target_id(request) }).to_string();
    let region = &aws.region.value;
    let endpoint = aws.endpoint_url.clone().unwrap_or_else(|| format!("https://ssm.{region}.amazonaws.com"));
    let profile = std::env::var("AWS_PROFILE").unwrap_or_default();
    let cmd = cmd!(sh, "{PLUGIN} {VARIABLE} {region} StartSession {profile} {target} {endpoint}");
    let cmd = cmd.env(VARIABLE, &response);
    let message = "AWS's plugin tells no exit code: the session's end counts as success".to_owned();
    ui.emit(Event::Warning { message, hint: None });
    ui.sync().await;
    let _saved = terminal::save();
    let io = Io { stdin: Stdio::inherit(), stdout: our_stdout()?, stderr: Stdio::inherit() };
    let mut process = Process::start(cmd, io, Group::Ours)?;
    let mut look = tokio::time::interval_at(Instant::now() + LOOK.div_f64(aws.speed), LOOK.div_f64(aws.speed));
    let mut end = None;
    loop {
        tokio::select! {
            ended = process.wait() => {
                let ended = ended?;
                return Ok(match end {
                    Some(end) => end,
                    None if ended.success() => End::NoCode,
                    None => End::Lost { why: format!("`{PLUGIN}` failed: {ended}"), hint: None },
                });
            }
            // The terminal has sent it to the plugin as well, which passes it on.
            signal = signals.next() => if !matches!(signal, signals::INTERRUPT | signals::QUIT) {
                end.get_or_insert(End::Signal(signal));
                process.send(signal);
            },
            () = async { match request.deadline { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } }, if end.is_none() => {
                end = Some(End::TimedOut);
                process.send(signals::TERMINATE);
            }
            _ = look.tick(), if end.is_none() => {
                let described = aws.describe_tasks(request.cluster, std::slice::from_ref(&request.task.arn)).await;
                if let Some((_, Described::Task(task))) = described.ok().and_then(|it| it.into_iter().next())
                    && (task.is_stopped() || task.desired_status.as_deref() == Some("STOPPED"))
                {
                    end = Some(End::Stopped(task));
                    process.send(signals::TERMINATE);
                }
            }
        }
    }
}

fn reads_variable(version: &str) -> bool {
    let mut parts = version.split('.').map(|it| it.parse().unwrap_or(0));
    let parts: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap_or(0));
    parts >= READS_VARIABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_plugins_do_not_read_the_variable() {
        for (version, expected) in
            [("1.2.535.0", false), ("1.2.536.0", true), ("1.2.764.0", true), ("1.3.0.0", true), ("", false)]
        {
            assert_eq!(reads_variable(version), expected, "{version}");
        }
    }
}
