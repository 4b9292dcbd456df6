//! The image of a container where the engine does not have it: `docker pull`, whose progress people see.

use xshell::{Shell, cmd};

use super::{not_started, within_patience};
use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::model::ResolvedTask;
use crate::tools::{self, Signals};

/// Pulls the image where the engine has none of this name, before several containers ask for it at once: each would pull it by itself, over
/// the others' progress. What else docker complains of is left to the containers, which tell it.
pub async fn provide(cx: &Cx, task: &ResolvedTask, image: &str, signals: &mut Signals) -> Result<()> {
    let (sh, format) = (&cx.sh, "{{.Id}}");
    let inspect = cmd!(sh, "docker image inspect --format {format} {image}");
    let captured = within_patience(tools::capture_whole(inspect, None)).await?;
    if captured.ended.success() || !is_missing(&captured.complaint()) {
        return Ok(());
    }
    pull(cx, sh, image, task.settings.platform.as_ref().map(|it| it.value.as_str()), signals).await
}

/// Whether docker says that it lacks the image, or has it for other machines only.
pub fn is_missing(complaint: &str) -> bool {
    let complaint = complaint.to_lowercase();
    complaint.contains("no such image") || complaint.contains("does not match the specified platform")
}

/// Pulls the image, with docker's own progress on standard error.
pub async fn pull(cx: &Cx, sh: &Shell, image: &str, platform: Option<&str>, signals: &mut Signals) -> Result<()> {
    let platform = platform.iter().flat_map(|it| ["--platform", it]);
    cx.ui.emit(Event::Status { status: "PENDING".to_owned(), detail: Some(format!("pulling {image}")) });
    cx.ui.sync().await;
    let done = tools::to_stderr(cmd!(sh, "docker pull {platform...} {image}"), signals).await?;
    match done {
        tools::Done { signal: Some(signal), .. } => Err(not_started(signal)),
        done if done.ended.success() => Ok(()),
        done => Err(Error::failed(format!("cannot pull `{image}`: docker pull failed with {}", done.ended))
            .hint("check the reference, and that `docker login` was done for its registry")),
    }
}
