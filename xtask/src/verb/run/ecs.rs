//! A task on ECS, from RunTask on: the ECS task, its end, and another one after an end that is tried again.

use crate::console::oneoff::OneOff;
use crate::cx::Cx;
use crate::error::{Error, Result, exit};
use crate::follow::Target;
use crate::model::{Attempt, Ending, Outcome, Timings};
use crate::retry::{Attempts, Ended, FIRST_PAUSE};
use crate::stage::exclusive::{self, Look};
use crate::stage::launch::{Order, RunningTask, Settled};
use crate::stage::{follow, launch};
use crate::tools::signals::Signals;
use crate::verb::conclude::{conclude, or_signal};
use crate::verb::run::beside::{self, Joined};
use crate::verb::run::prepare::OnEcs;
use crate::verb::run::ready::OnceReady;
use crate::verb::run::{Run, ending_of};
use crate::verb::{attach, reach};

impl Run<'_> {
    /// Runs the task to its end: one ECS task, and another one after an end that is tried again; or its shards, which are
    /// many at a time.
    pub(super) async fn on_ecs(&self, there: &OnEcs, ready: &OnceReady, signals: &mut Signals) -> Result<Ending> {
        let OnEcs { task, aws, facts, plan, .. } = there;
        if let Some(shards) = plan.shards.as_ref().filter(|it| it.is_many()) {
            return self.run_shards(there, shards, ready, signals).await;
        }
        let mut attempts = Attempts::new(task.settings.retry.as_ref().map(|it| it.value), FIRST_PAUSE);
        let mut look = there.look.clone();
        loop {
            let (ending, ended, error) =
                match Box::pin(self.run_once(there, ready, look, attempts.arns(), signals)).await {
                    Ok((ending, ended)) => (ending, ended, None),
                    Err(error) => {
                        let ended = Ended { is_over: error.no_room, ..Ended::over(error.outcome()) };
                        let explanation = Some(error.to_string());
                        (Ending { explanation, ..ending_of(&error, &self.run_id) }, ended, Some(error))
                    }
                };
            let Some(pause) = attempts.ended(Attempt::of(&ending), &ended, Run::jitter()?) else {
                let is_first = attempts.next() == 2;
                let attempts = attempts.history();
                return match error {
                    None => Ok(self.timed(Ending { attempts, ..ending })),
                    Some(error) if is_first => Err(error),
                    Some(error) => {
                        // The history is told with the ending, which an error has none of.
                        self.cx.ui.error(&error.in_source(&self.cx.source));
                        Ok(self.timed(Ending { attempts, explanation: None, ..ending }))
                    }
                };
            };
            if let Some(signal) = self.pause(&attempts, pause, aws.speed, signals).await {
                return Ok(self.timed(self.ended_in_pause(attempts, signal)));
            }
            look = match &there.look {
                Some(_) => {
                    let look = exclusive::look(aws, &facts.cluster, &facts.family);
                    let look = async {
                        Box::pin(look).await.map_err(|it| it.problem("look who holds the place", None).failed())
                    };
                    Some(or_signal(look, signals).await?)
                }
                None => None,
            };
        }
    }

    /// Starts one ECS task and follows it to its end. `look`: of an exclusive task, who was seen in the place. `former`: the ECS tasks of the
    /// attempts before.
    async fn run_once(
        &self,
        there: &OnEcs,
        ready: &OnceReady,
        look: Option<Look>,
        former: Vec<String>,
        signals: &mut Signals,
    ) -> Result<(Ending, Ended)> {
        let OnEcs { task, aws, plan, .. } = there;
        let stop_run = format!("stop --run {}", self.run_id);
        let stop_run = reach::again(self.everywhere, &task.environment.value, &stop_run);
        let wish = beside::wish(there, &ready.image.reference, Some(&ready.definition.arn));
        let order = Order {
            plan,
            definition: &ready.definition,
            cluster: there.cluster(),
            stop_run: &stop_run,
            single: wish.clone().zip(look),
            former,
            many: None,
        };
        match Box::pin(launch::launch(aws, &self.cx.ui, order, signals)).await? {
            Settled::Running(running) => self.follow_own(there, ready, &running, signals).await,
            settled => {
                let ending = match self.not_started(there, wish.as_ref(), &settled)? {
                    Some(Joined::Follow { found, .. }) => self.follow(there, &found, signals).await?,
                    Some(Joined::Over(ending)) => *ending,
                    Some(Joined::GoesOn) | None => return Err(Error::failed("nothing was started")),
                };
                // Not this run's to start again.
                let ended = Ended { is_over: false, ..Ended::over(ending.outcome) };
                Ok((ending, ended))
            }
        }
    }

    /// Follows what this process has started, to its end.
    async fn follow_own(
        &self,
        there: &OnEcs,
        ready: &OnceReady,
        running: &RunningTask,
        signals: &mut Signals,
    ) -> Result<(Ending, Ended)> {
        let OnEcs { task, aws, plan, .. } = there;
        let Cx { sh, ui, .. } = &self.cx;
        let environment = &task.environment.value;
        let by_hand = attach::by_hand(self.everywhere, environment, &running.task);
        let mut ending = self.begun(ready, running.task.arn.clone());
        if self.flags.detach && running.signal.is_none() {
            ending.outcome = Outcome::Detached;
            ending.exit_code = exit::OK;
            ending.explanation = Some(by_hand);
            return Ok((ending, Ended { is_over: false, ..Ended::over(Outcome::Detached) }));
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
            let ended = Ended { is_over: false, ..Ended::over(ending.outcome) };
            return Ok((ending, ended));
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
        let ended = Ended::of(&ending, &finish);
        Ok((ending, ended))
    }

    /// What the last event says in any case.
    pub(super) fn begun(&self, ready: &OnceReady, arn: impl Into<Option<String>>) -> Ending {
        let OnceReady { image, definition } = ready;
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
