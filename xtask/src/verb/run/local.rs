//! The host and docker runners: the lock of an exclusive task, the image, the process.

use crate::error::{Error, Result, exit};
use crate::model::{Ending, ImageChoice, Outcome, ResolvedTask, Runner, Shard, Shards, Timings};
use crate::stage::local::{Holder, Locked};
use crate::stage::{local, publish};
use crate::tools::git;
use crate::tools::signals::Signals;
use crate::verb::logs;
use crate::verb::run::Run;

impl Run<'_> {
    /// Runs a process or a container to its end.
    pub(super) async fn on_this_machine(&self, task: &ResolvedTask, signals: &mut Signals) -> Result<Ending> {
        // Held until the task has ended.
        let lock = match task.exclusive {
            true => match local::lock(&self.cx, task, &self.run_id, &logs::now().to_string()).await? {
                Locked::Ours(lock) => Some(lock),
                Locked::Held(holder) => return Ok(self.timed(self.already_running(task, &holder))),
            },
            false => None,
        };
        if let Some(shards) = task.shards.as_ref().filter(|it| it.is_many()) {
            return self.shards_here(task, shards, signals).await;
        }
        let run = local::Run {
            id: self.run_id.clone(),
            shard: task.shards.as_ref().map(|it| Shard { index: 0, of: it.of }),
            commit: git::commit(&self.cx.sh, &self.cx.root).await,
            json: self.json,
            lock,
            grace: local::GRACE,
        };
        let ending = match task.runner.value {
            Runner::Docker => {
                let image = self.local_image(task, signals).await?;
                let ending = local::docker(&self.cx, task, &image.0, &run, signals).await?;
                Ending { timings: Timings { build: image.1, ..ending.timings }, ..ending }
            }
            _ => local::host(&self.cx, task, &run, signals).await?,
        };
        Ok(self.timed(ending))
    }

    /// Runs many processes or containers to their end.
    async fn shards_here(&self, task: &ResolvedTask, shards: &Shards, signals: &mut Signals) -> Result<Ending> {
        let commit = git::commit(&self.cx.sh, &self.cx.root).await;
        let image = match task.runner.value {
            Runner::Docker => Some(self.local_image(task, signals).await?),
            _ => None,
        };
        let order = local::shards::Order {
            id: &self.run_id,
            commit: commit.as_ref(),
            image: image.as_ref().map(|it| it.0.as_str()),
            grace: local::GRACE,
        };
        let (outcome, exit_code, ends) = local::shards::shards(&self.cx, task, shards, &order, signals).await?;
        let hint = self.hint_of_shards(&task.environment.value, &ends);
        let timings = Timings { build: image.and_then(|it| it.1), ..Timings::default() };
        let run_id = self.run_id.clone();
        let ending =
            Ending { outcome, exit_code, run_id, hint, shards: Some(Box::new(ends)), timings, ..Ending::default() };
        Ok(self.timed(ending))
    }

    /// Another process or container of this machine runs it.
    fn already_running(&self, task: &ResolvedTask, holder: &Holder) -> Ending {
        Ending {
            outcome: Outcome::AlreadyRunning,
            exit_code: exit::FAILED,
            run_id: self.run_id.clone(),
            explanation: Some(format!(
                "`{}` runs already in `{}`: {}",
                task.task, task.environment.value, holder.words
            )),
            hint: Some(holder.hint.clone()),
            ..Ending::default()
        }
    }

    /// What docker runs, and how long its build took, in seconds.
    async fn local_image(&self, task: &ResolvedTask, signals: &mut Signals) -> Result<(String, Option<f64>)> {
        let crate::cx::Cx { root, sh, ui, .. } = &self.cx;
        match task.image.as_ref().map(|it| &it.value) {
            Some(ImageChoice::Build(spec)) => {
                let platform = task.settings.platform.as_ref().map(|it| it.value.as_str());
                let built = publish::build_local(root, sh, ui, spec, platform, task.rebuild, signals).await?;
                Ok((built.id, built.build_seconds))
            }
            Some(ImageChoice::Reference(reference)) => Ok((reference.clone(), None)),
            Some(ImageChoice::Deployed) | None => {
                Err(Error::refused(format!("`{}` has no image to run on docker", task.task)))
            }
        }
    }
}
