//! The host and docker runners: the process, or the container, and another one after an end that is tried again.

use std::time::Duration;

use crate::error::{Result, exit};
use crate::model::{Attempt, Ending, Outcome, ResolvedTask, Runner, Shard, Shards, Timings};
use crate::retry::{Attempts, Ended};
use crate::stage::local::{self, Holder, Lock};
use crate::tools::git;
use crate::tools::signals::Signals;
use crate::verb::run::Run;
use crate::verb::run::ready::Image;

/// A process needs no capacity, so the pauses are shorter than on ECS.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Runs a process or a container to its end.
    pub(super) async fn on_this_machine(
        &self,
        task: &ResolvedTask,
        image: Option<&Image>,
        lock: Option<Lock>,
        signals: &mut Signals,
    ) -> Result<Ending> {
        if let Some(shards) = task.shards.as_ref().filter(|it| it.is_many()) {
            return self.shards_here(task, shards, image, signals).await;
        }
        let run = local::Run {
            id: self.run_id.clone(),
            shard: task.shards.as_ref().map(|it| Shard { index: 0, of: it.of }),
            commit: git::commit(&self.cx.sh, &self.cx.root).await,
            json: self.json,
            lock,
            grace: local::GRACE,
        };
        let mut attempts = Attempts::new(task.settings.retry.as_ref().map(|it| it.value), FIRST_PAUSE);
        loop {
            let ending = match image {
                Some(image) if task.runner.value == Runner::Docker => {
                    let ending = local::docker(&self.cx, task, &image.reference, &run, signals).await?;
                    Ending { timings: Timings { build: image.build_seconds, ..ending.timings }, ..ending }
                }
                _ => local::host(&self.cx, task, &run, signals).await?,
            };
            let (last, ended) = (Attempt::of(&ending), Ended::over(ending.outcome));
            let Some(pause) = attempts.ended(last, &ended, Run::jitter()?) else {
                return Ok(self.timed(Ending { attempts: attempts.history(), ..ending }));
            };
            if let Some(signal) = self.pause(&attempts, pause, 1.0, signals).await {
                return Ok(self.timed(self.ended_in_pause(attempts, signal)));
            }
        }
    }

    /// Runs many processes or containers to their end.
    async fn shards_here(
        &self,
        task: &ResolvedTask,
        shards: &Shards,
        image: Option<&Image>,
        signals: &mut Signals,
    ) -> Result<Ending> {
        let commit = git::commit(&self.cx.sh, &self.cx.root).await;
        let image = image.filter(|_| task.runner.value == Runner::Docker);
        let order = local::shards::Order {
            id: &self.run_id,
            commit: commit.as_ref(),
            image: image.map(|it| it.reference.as_str()),
            grace: local::GRACE,
            retry: (task.settings.retry.as_ref().map(|it| it.value), FIRST_PAUSE),
        };
        let (outcome, exit_code, ends) = local::shards::shards(&self.cx, task, shards, &order, signals).await?;
        let hint = self.hint_of_shards(&task.environment.value, &ends);
        let timings = Timings { build: image.and_then(|it| it.build_seconds), ..Timings::default() };
        let run_id = self.run_id.clone();
        let ending =
            Ending { outcome, exit_code, run_id, hint, shards: Some(Box::new(ends)), timings, ..Ending::default() };
        Ok(self.timed(ending))
    }

    /// Another process or container of this machine runs it.
    pub(super) fn held_here(&self, task: &ResolvedTask, holder: &Holder) -> Ending {
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
}
