//! A task with `shards`: many ECS tasks of one image and one task definition, and what is told of all of them at the end.

use crate::error::{Error, Result};
use crate::model::{EcsTask, Ending, Outcome, ShardEnd, Shards, ShardsEnd, ranges};
use crate::ours::{self, Kin, Starting};
use crate::plan;
use crate::stage::shards::{self, Ended, Order};
use crate::tools::signals::Signals;
use crate::verb::reach;
use crate::verb::run::Run;
use crate::verb::run::beside::described;
use crate::verb::run::prepare::OnEcs;
use crate::verb::run::ready::OnceReady;

/// A shard that is there already.
struct There<'a> {
    shard: u32,
    task: &'a EcsTask,
    kin: Kin,
}

impl Run<'_> {
    /// Shards that run already, by the rules of a single ECS task: those of this very run are followed on, those that the same caller has
    /// started before are not started a second time. Whether there are any of this very run.
    pub(super) fn shards_beside(&self, there: &OnEcs) -> Result<bool> {
        let OnEcs { task, .. } = there;
        let found = self.shards_there(there);
        let of = |kind: Kin| found.iter().filter(|it| it.kin == kind).collect::<Vec<_>>();
        let environment = &task.environment.value;
        let shards = |of: &[&There<'_>]| ranges(&of.iter().map(|it| it.shard).collect::<Vec<_>>());
        if let [first, ..] = of(Kin::Namesake)[..] {
            let what = described(first.task, task, "still runs, with another command or other variables");
            if !self.flags.dry_run {
                return Err(self.namesake(task, &what));
            }
            self.warn(&what);
        }
        let mine = of(Kin::ThisRun);
        if !mine.is_empty() {
            let shards = shards(&mine);
            self.warn(&format!("this run has started shards {shards} of `{}` already and follows them on", task.task));
        }
        let twins = of(Kin::Twin);
        let Some(first) = twins.first() else { return Ok(!mine.is_empty()) };
        let what = format!(
            "{}; shards that run: {}",
            described(
                first.task,
                task,
                &format!("still runs, shard {} with the same command and variables", first.shard)
            ),
            shards(&twins)
        );
        if self.flags.dry_run || self.flags.start_another {
            self.warn(&what);
            return Ok(!mine.is_empty());
        }
        let line = |words: &str| reach::again(self.everywhere, environment, words);
        let run = ours::run_id(first.task).unwrap_or_default();
        Err(Error::refused(format!("not started a second time in `{environment}`: {what}")).hint(format!(
            "wait for their end, stop them with `{}`, leave them out with --shard, or start others beside them: --start-another",
            line(&format!("stop --run {run}"))
        )))
    }

    /// The chosen shards that run already, each once.
    fn shards_there<'b>(&self, there: &'b OnEcs) -> Vec<There<'b>> {
        let OnEcs { plan, alive, facts, .. } = there;
        let Some(shards) = &plan.shards else { return Vec::new() };
        let mut found: Vec<There<'b>> = Vec::new();
        for task in alive {
            let number = task.variable(plan::SHARD).and_then(|it| it.parse::<u32>().ok());
            let Some(shard) = number.filter(|it| shards.chosen.binary_search(it).is_ok()) else { continue };
            let run_task = plan::of_shard(&plan.run_task, shard);
            let starting = Starting {
                run_id: &self.run_id,
                caller: &facts.identity.arn,
                ci: facts.ci_job.is_some(),
                run_task: &run_task,
            };
            let kin = ours::kin(task, &starting);
            if kin != Kin::Stranger {
                found.push(There { shard, task, kin });
            }
        }
        // What this run has started itself says more than what is like it.
        found.sort_by_key(|it| (it.shard, it.kin != Kin::ThisRun, it.kin != Kin::Namesake, it.task.created_at));
        found.dedup_by_key(|it| it.shard);
        found
    }

    /// Runs all chosen shards to their end.
    pub(super) async fn run_shards(
        &self,
        there: &OnEcs,
        shards: &Shards,
        ready: &OnceReady,
        signals: &mut Signals,
    ) -> Result<Ending> {
        let OnEcs { task, aws, plan, .. } = there;
        let environment = &task.environment.value;
        let adopted: Vec<(u32, EcsTask)> = self
            .shards_there(there)
            .into_iter()
            .filter(|it| it.kin == Kin::ThisRun)
            .map(|it| (it.shard, it.task.clone()))
            .collect();
        let stop_run = reach::again(self.everywhere, environment, &format!("stop --run {}", self.run_id));
        let order = Order {
            aws: aws.clone(),
            ui: self.cx.ui.clone(),
            plan: plan.clone(),
            definition: ready.definition.clone(),
            cluster: there.cluster().to_owned(),
            shards: shards.clone(),
            adopted,
            stop_run: stop_run.clone(),
            ending: self.begun(ready, None),
            detach: self.flags.detach,
            retry: task.settings.retry.as_ref().map(|it| it.value),
        };
        let ended = shards::run(order, signals).await;
        Ok(self.timed(self.end_of_shards(task.environment.value.as_str(), ready, &stop_run, ended)))
    }

    fn end_of_shards(&self, environment: &str, ready: &OnceReady, stop_run: &str, ended: Ended) -> Ending {
        let Ended { outcome, exit_code, shards, left, perhaps } = ended;
        for (shard, arn, is_stopping) in &left {
            let what = if *is_stopping { "is being stopped" } else { "was left as it is" };
            self.warn(&format!("shard {shard} {what}: {arn}"));
        }
        let mut said = Vec::new();
        if !left.is_empty() || outcome == Outcome::Detached {
            said.push(format!("what was left runs on: stop it with `{stop_run}`"));
        }
        if !perhaps.is_empty() {
            said.push(format!(
                "RunTask was not answered for shards {}: ECS may have started them, and `{stop_run}` stops them",
                ranges(&perhaps)
            ));
        }
        let hint = self.hint_of_shards(environment, &shards);
        Ending {
            outcome,
            exit_code,
            explanation: (!said.is_empty()).then(|| said.join("; ")),
            hint,
            shards: Some(Box::new(shards)),
            ..self.begun(ready, None)
        }
    }

    /// How to run those again that have not done their work.
    pub(super) fn hint_of_shards(&self, environment: &str, shards: &ShardsEnd) -> Option<String> {
        let done = |it: &&ShardEnd| it.outcome != Outcome::Detached;
        let mut again: Vec<u32> = shards.failed.iter().filter(done).map(|it| it.shard).collect();
        again.extend(&shards.not_run);
        again.sort_unstable();
        (!again.is_empty()).then(|| format!("run them again with `{}`", self.again(environment, &again)))
    }

    /// The command line that runs some of the shards, with what this one was given. Values that look secret are not shown.
    fn again(&self, environment: &str, shards: &[u32]) -> String {
        let flags = &self.flags;
        let mut words = vec!["run".to_owned(), flags.task.clone()];
        let mut say = |flag: &str, value: &str| words.extend([flag.to_owned(), value.to_owned()]);
        say("--shard", &ranges(shards));
        for (name, value) in &flags.variables {
            say("--var", &format!("{name}={}", plan::shown_value(name, value)));
        }
        let texts = [("--image", &flags.image), ("--task-definition", &flags.task_definition)];
        for (flag, value) in texts {
            if let Some(value) = value {
                say(flag, value);
            }
        }
        let numbers = [("--cpu", flags.cpu), ("--memory", flags.memory)];
        for (flag, value) in numbers {
            if let Some(value) = value {
                say(flag, &value.to_string());
            }
        }
        if let Some(timeout) = flags.timeout {
            say("--timeout", &plan::duration(timeout));
        }
        for (flag, given) in [("--keep-going", flags.keep_going), ("--yes", flags.yes)] {
            words.extend(given.then(|| flag.to_owned()));
        }
        let line = reach::again(self.everywhere, environment, &plan::words(&words));
        match flags.arguments.as_slice() {
            [] => line,
            arguments => format!("{line} -- {}", plan::without_url_password(&plan::words(arguments))),
        }
    }
}
