//! Login and `docker push`, with what may go wrong on the way to a registry.

use std::time::Duration;

use super::{Destination, or_signal};
use crate::aws::Aws;
use crate::aws::ecr::TagFact;
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::tools::Signals;
use crate::tools::docker::{self, Docker, PushFailure, uninterrupted};
use crate::ui::Ui;

/// How long to wait before a push is tried again after a fault of the network or the registry.
const PAUSE: Duration = Duration::from_secs(2);

/// How a push ended well.
pub enum End {
    /// This image has the tag now.
    Pushed,
    /// Someone else pushed the same inputs meanwhile; the tag cannot be overwritten and points to this digest.
    TagTaken(String),
}

/// Logs docker in to the registry, for this run only.
pub async fn login(docker: &Docker, aws: &Aws, destination: &Destination, signals: &mut Signals) -> Result<()> {
    let registry = &destination.registry;
    let tried = format!("get a login for {registry}");
    let call = async { aws.registry_login().await.map_err(|it| it.problem(&tried, None).failed()) };
    let login = or_signal(call, signals, "before docker logged in").await?;
    docker.login(registry, &login.username, &login.password, signals).await.map_err(|mut error| {
        if let (Some(hint), Some(problem)) = (destination.login_hint(aws), error.problems.first_mut()) {
            problem.hint = Some(hint.to_owned());
        }
        error
    })
}

/// Pushes. An expired login and a fault of the network are each forgiven once, because layers that arrived are not sent again.
pub async fn push(
    docker: &Docker,
    aws: &Aws,
    ui: &Ui,
    destination: &Destination,
    tag: &str,
    signals: &mut Signals,
) -> Result<End> {
    let Destination { registry, repository, registry_id, .. } = destination;
    let reference = format!("{registry}/{repository}:{tag}");
    let (mut may_log_in, mut may_try_again) = (true, true);
    loop {
        ui.note(format!("running docker push {reference}"));
        let (done, complaints) = docker::watched(docker.cmd(["push", &reference]), signals).await?;
        uninterrupted(done.signal, "while the image was pushed")?;
        if done.ended.success() {
            return Ok(End::Pushed);
        }
        let cause = docker::last_line(&complaints).map_or_else(|| done.ended.to_string(), str::to_owned);
        let warn = |what: &str| {
            let message = format!("pushing {reference} failed: {cause}: {what}");
            ui.emit(Event::Warning { message, hint: None });
        };
        let failure = docker::push_failure(&complaints);
        match failure {
            PushFailure::TagTaken => {
                let tried = format!("look up who pushed {reference} first");
                let call = async {
                    let answer = aws.image_digest(registry_id.as_deref(), repository, tag).await;
                    answer.map_err(|it| it.problem(&tried, destination.span).failed())
                };
                if let TagFact::Digest(digest) = or_signal(call, signals, "while the image was pushed").await? {
                    return Ok(End::TagTaken(digest));
                }
            }
            PushFailure::LoginExpired if may_log_in => {
                may_log_in = false;
                warn("logging in and pushing again");
                login(docker, aws, destination, signals).await?;
                continue;
            }
            PushFailure::Transient if may_try_again => {
                may_try_again = false;
                warn("pushing again");
                let pause = async {
                    tokio::time::sleep(PAUSE.div_f64(aws.speed)).await;
                    Ok(())
                };
                or_signal(pause, signals, "while the image was pushed").await?;
                continue;
            }
            _ => {}
        }
        let problem = Problem::new(format!("cannot push {reference}: {cause}")).at(destination.span);
        return Err(match failure {
            PushFailure::NoRepository => {
                problem.hint("create it, or set `create-repository = true` in the image").failed()
            }
            PushFailure::Denied | PushFailure::LoginExpired => problem
                .hint(
                    "allow ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, \
                     ecr:CompleteLayerUpload and ecr:PutImage on the repository",
                )
                .failed(),
            PushFailure::Transient => {
                problem.hint("check the network and run again: layers that arrived are not sent again").failed()
            }
            PushFailure::TagTaken | PushFailure::Other => problem.failed(),
        });
    }
}

/// The digest that was pushed: docker notes it beside the image.
pub async fn digest(
    docker: &Docker,
    aws: &Aws,
    destination: &Destination,
    tag: &str,
    signals: &mut Signals,
) -> Result<String> {
    let Destination { registry, repository, registry_id, .. } = destination;
    let reference = format!("{registry}/{repository}:{tag}");
    let image = docker.image(&reference, signals).await?;
    let prefix = format!("{registry}/{repository}@");
    let noted = image.map(|it| it.repo_digests).unwrap_or_default();
    let noted: Vec<&str> = noted.iter().filter_map(|it| it.strip_prefix(&prefix)).collect();
    if let [digest] = noted[..] {
        return Ok(digest.to_owned());
    }
    // The same image was pushed there in several encodings, or docker does not note it: then the tag decides, if it is one of ours.
    let tried = format!("look up the digest of {reference}");
    let call = async {
        let answer = aws.image_digest(registry_id.as_deref(), repository, tag).await;
        answer.map_err(|it| it.problem(&tried, destination.span).failed())
    };
    match or_signal(call, signals, "after the image was pushed").await? {
        TagFact::Digest(digest) if noted.is_empty() || noted.contains(&digest.as_str()) => Ok(digest),
        TagFact::Digest(digest) => {
            Err(Error::failed(format!("{reference} is another image now ({digest}) than the one that was pushed"))
                .hint("run again"))
        }
        TagFact::NoTag | TagFact::NoRepository => {
            Err(Error::failed(format!("{reference} was pushed, but the registry does not know it")).hint("run again"))
        }
    }
}
