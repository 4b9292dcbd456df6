//! A task on ECS, from the first write on: the image, the task definition, the ECS task, its end.

use crate::console::oneoff::OneOff;
use crate::cx::Cx;
use crate::error::{Error, Result, exit};
use crate::follow::Target;
use crate::model::{Ending, Outcome, Plan, PlannedImage, Timings};
use crate::stage::launch::{Order, RunningTask, Settled};
use crate::stage::publish::{self, Published};
use crate::stage::register::{self, TaskDefinition};
use crate::stage::{follow, launch};
use crate::tools::signals::Signals;
use crate::verb::conclude::conclude;
use crate::verb::run::Run;
use crate::verb::run::beside;
use crate::verb::run::prepare::OnEcs;
use crate::verb::{attach, reach};

/// All that is written before RunTask.
#[derive(Debug)]
pub(super) struct Ready {
    /// The image.
    pub image: Published,
    /// The revision.
    pub definition: TaskDefinition,
}

impl Run<'_> {
    /// Puts the image into the registry and registers the task definition.
    pub(super) async fn publish(&self, there: &OnEcs, signals: &mut Signals) -> Result<Ready> {
        let OnEcs { task, aws, plan, .. } = there;
        let Cx { root, sh, ui, .. } = &self.cx;
        let image = publish::publish(root, sh, ui, aws, task, &plan.image, signals).await?;
        let definition = tokio::select! {
            definition = register::register(aws, ui, plan, &image.reference) => {
                definition.map_err(|it| it.done(done_by(plan)))?
            }
            signal = signals.next() => {
                return Err(Error::interrupted(signal, "the task definition may be registered").done(done_by(plan)));
            }
        };
        Ok(Ready { image, definition })
    }

    /// Starts one ECS task and follows it to its end. A task that is more than one ECS task is to branch off here: the image and the task
    /// definition are the same for all of them.
    pub(super) async fn run_once(&self, there: &OnEcs, ready: &Ready, signals: &mut Signals) -> Result<Ending> {
        let OnEcs { task, aws, plan, look, .. } = there;
        let stop_run = format!("stop --run {}", self.run_id);
        let stop_run = reach::again(self.everywhere, &task.environment.value, &stop_run);
        let wish = beside::wish(there, &ready.image.reference, Some(&ready.definition.arn));
        let order = Order {
            plan,
            definition: &ready.definition,
            cluster: there.cluster(),
            stop_run: &stop_run,
            single: wish.clone().zip(look.clone()),
            many: None,
        };
        match Box::pin(launch::launch(aws, &self.cx.ui, order, signals)).await? {
            Settled::Running(running) => self.follow_own(there, ready, &running, signals).await,
            settled => {
                let ending = self.not_started(there, wish.as_ref(), &settled, signals).await?;
                ending.ok_or_else(|| Error::failed("nothing was started"))
            }
        }
    }

    /// Follows what this process has started, to its end.
    async fn follow_own(
        &self,
        there: &OnEcs,
        ready: &Ready,
        running: &RunningTask,
        signals: &mut Signals,
    ) -> Result<Ending> {
        let OnEcs { task, aws, plan, .. } = there;
        let Cx { sh, ui, .. } = &self.cx;
        let environment = &task.environment.value;
        let by_hand = attach::by_hand(self.everywhere, environment, &running.task);
        let mut ending = self.begun(ready, running.task.arn.clone());
        if self.flags.detach && running.signal.is_none() {
            ending.outcome = Outcome::Detached;
            ending.exit_code = exit::OK;
            ending.explanation = Some(by_hand);
            return Ok(self.timed(ending));
        }
        if let Some(console) = &plan.console {
            let stop = reach::again(self.everywhere, environment, &format!("stop {}", running.task.id()));
            let one_off = OneOff {
                aws,
                ui,
                cluster: there.cluster(),
                task: &running.task,
                container: &plan.container,
                console,
                start_timeout: plan.start_timeout,
                timeout: plan.timeout,
                json: self.json,
                plugin: self.flags.plugin,
                sh,
                by_hand: format!("stop it with `{stop}`"),
            };
            one_off.run(&mut ending, running.signal, signals).await;
            return Ok(self.timed(ending));
        }
        let target = Target {
            arn: running.task.arn.clone(),
            container: plan.container.clone(),
            timeout: plan.timeout,
            start_timeout: Some(plan.start_timeout),
            on_interrupt: plan.on_interrupt,
            launched_here: true,
            attended: ui.can_ask(),
            of_many: false,
        };
        let finish = follow::follow(aws, ui, there.cluster(), target, &plan.logs, signals, running.signal).await;
        conclude(&mut ending, &finish, &plan.container, &by_hand);
        Ok(self.timed(ending))
    }

    /// What the last event says in any case.
    pub(super) fn begun(&self, ready: &Ready, arn: impl Into<Option<String>>) -> Ending {
        let Ready { image, definition } = ready;
        Ending {
            outcome: Outcome::Unknown,
            // Until the end is known: what is not concluded has not succeeded.
            exit_code: exit::FAILED,
            run_id: self.run_id.clone(),
            task_arn: arn.into(),
            task_definition: Some(definition.arn.clone()),
            image: Some(definition.image.clone()),
            timings: Timings { build: image.build_seconds, push: image.push_seconds, ..Timings::default() },
            ..Ending::default()
        }
    }
}

/// What was done before RunTask.
fn done_by(plan: &Plan) -> &'static str {
    match plan.image {
        PlannedImage::Build { .. } => "the image is pushed, no ECS task was started",
        _ => "no ECS task was started",
    }
}
