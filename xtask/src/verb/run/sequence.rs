//! The tasks of a run one after the other: which of them have to run at all, each one's turn, and what the first failure leaves undone.

use tokio::time::Instant;

use crate::error::{Error, Problem, Result, exit};
use crate::event::Event;
use crate::model::{Ending, Outcome, TaskEnd};
use crate::tools::signals::{self, Signals};
use crate::verb::run::beside::Joined;
use crate::verb::run::prepare::Prepared;
use crate::verb::run::ready::{self, Made, Ready};
use crate::verb::run::{Run, Whole, ending_of};

/// All tasks of a run, prepared, in their order.
pub(super) struct Sequence<'a, 'b> {
    whole: &'b Whole<'a>,
    tasks: Vec<(Run<'a>, Prepared)>,
    /// ECS tasks that are followed instead of starting another one.
    joined: Vec<Option<Joined>>,
    /// The first that has its turn; those before were run by an earlier process of this run, or are not needed.
    first: usize,
    ends: Vec<TaskEnd>,
}

impl<'a, 'b> Sequence<'a, 'b> {
    pub fn new(whole: &'b Whole<'a>, tasks: Vec<(Run<'a>, Prepared)>) -> Sequence<'a, 'b> {
        let joined = tasks.iter().map(|_| None).collect();
        let end = |it: &(Run<'_>, Prepared)| TaskEnd { task: it.1.task().task.clone(), ..TaskEnd::default() };
        let ends = tasks.iter().map(end).collect();
        Sequence { whole, tasks, joined, first: 0, ends }
    }

    fn last(&self) -> usize {
        self.tasks.len() - 1
    }

    fn name(&self, index: usize) -> &str {
        &self.tasks[index].1.task().task
    }

    /// Looks, before anything is built, for ECS tasks that do the work already or are in the way; the task that was asked for first. `Some`: the
    /// run is over.
    ///
    /// Where the last task's work is done by an ECS task that is joined, what it needs was seen to by whoever started that. Where this
    /// very run has started one of the tasks, it has run all before it.
    pub async fn look_around(&mut self, signals: &mut Signals) -> Result<Option<Ending>> {
        let last = self.last();
        for index in std::iter::once(last).chain((0..last).rev()) {
            let (run, prepared) = &self.tasks[index];
            let Prepared::Ecs(there) = prepared else { continue };
            let joined = run.joined(there, signals).await?;
            let starts_here = match &joined {
                None => continue,
                Some(Joined::Over(_) | Joined::GoesOn) => true,
                Some(Joined::Follow { is_this_run, .. }) => index == last || *is_this_run,
            };
            if let Some(Joined::Over(ending)) = joined {
                return Ok(Some(self.over(index, *ending)));
            }
            self.joined[index] = joined.filter(|it| !matches!(it, Joined::GoesOn));
            if starts_here {
                self.first = index;
                for before in 0..index {
                    let name = self.name(index);
                    self.tasks[before].0.warn(&format!("it is not run again: `{name}`, which comes after it, runs"));
                    self.ends[before].outcome = Some(Outcome::Skipped);
                }
                break;
            }
        }
        Ok(None)
    }

    /// Refuses what cannot run on this machine, all of it in one go.
    pub fn check(&self) -> Result<()> {
        let problems: Vec<Problem> =
            self.to_start().iter().filter_map(|it| it.check().err()).flat_map(|it| it.problems).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::all_refused(problems)) }
    }

    fn starts(&self, index: usize) -> bool {
        index >= self.first && self.joined[index].is_none()
    }

    /// Those that are going to be started.
    pub fn to_start(&self) -> Vec<&Prepared> {
        (0..self.tasks.len()).filter(|it| self.starts(*it)).map(|it| &self.tasks[it].1).collect()
    }

    /// Makes all of them ready, and then gives each its turn. The ending is that of the task that was asked for.
    pub async fn carry_out(&mut self, signals: &mut Signals) -> Result<Ending> {
        let starting: Vec<usize> = (0..self.tasks.len()).filter(|it| self.starts(*it)).collect();
        let made = {
            let tasks: Vec<(&Run<'_>, &Prepared)> =
                starting.iter().map(|it| (&self.tasks[*it].0, &self.tasks[*it].1)).collect();
            Box::pin(ready::make(&tasks, signals)).await?
        };
        let ready = match made {
            Made::Ready(ready) => ready,
            Made::Held(index, ending) => return Ok(self.over(starting[index], *ending)),
        };
        let mut ready = ready.into_iter();
        for index in self.first..self.tasks.len() {
            let ready = if self.joined[index].is_some() { None } else { ready.next() };
            if self.tasks.len() == 1 {
                return self.turn(index, ready, signals).await;
            }
            // One that came between two turns, when nobody listened.
            let signal = tokio::select! {
                biased;
                signal = signals.next() => Some(signal),
                () = tokio::task::yield_now() => None,
            };
            if let Some(signal) = signal {
                return Ok(self.interrupted(signal));
            }
            self.tasks[index].0.start = Instant::now();
            self.tasks[index].0.cx.ui.emit(Event::Turn { number: index + 1, of: self.tasks.len() });
            let ending = match self.turn(index, ready, signals).await {
                Ok(ending) => ending,
                Err(error) => {
                    let run = &self.tasks[index].0;
                    let error = error.in_source(&run.cx.source);
                    run.cx.ui.error(&error);
                    run.timed(ending_of(&error, &run.run_id))
                }
            };
            if index == self.last() || ending.outcome != Outcome::Succeeded {
                return Ok(self.over(index, ending));
            }
            self.took(index, &ending);
            self.tasks[index].0.cx.ui.emit(Event::Finished(Box::new(ending)));
        }
        Err(Error::failed("the run has no task"))
    }

    /// Runs one to its end, or follows what runs already.
    async fn turn(&mut self, index: usize, ready: Option<Ready>, signals: &mut Signals) -> Result<Ending> {
        let (run, prepared) = &self.tasks[index];
        match (prepared, ready, self.joined[index].take()) {
            (Prepared::Ecs(there), _, Some(Joined::Follow { found, .. })) => {
                Box::pin(run.follow(there, &found, signals)).await
            }
            (_, _, Some(Joined::Over(ending))) => Ok(*ending),
            (Prepared::Ecs(there), Some(Ready::Ecs(ready)), None) => Box::pin(run.on_ecs(there, &ready, signals)).await,
            (Prepared::Machine(task), Some(Ready::Machine { lock, image }), None) => {
                run.on_this_machine(task, image.as_ref(), lock, signals).await
            }
            _ => Err(Error::failed(format!("`{}` was not made ready", prepared.task().task))),
        }
    }

    /// Takes down how one ended.
    fn took(&mut self, index: usize, ending: &Ending) {
        let seconds = self.tasks[index].0.start.elapsed().as_secs_f64();
        let end = &mut self.ends[index];
        (end.outcome, end.exit_code) = (Some(ending.outcome), Some(ending.exit_code));
        end.seconds = Some(seconds);
    }

    /// The ending of the task that was asked for, after this one was the last that had its turn; if that is another one, its own is told.
    fn over(&mut self, index: usize, ending: Ending) -> Ending {
        if self.tasks.len() == 1 {
            return ending;
        }
        self.took(index, &ending);
        let mut last = ending;
        if index < self.last() {
            let (run, prepared) = &self.tasks[index];
            let name = &prepared.task().task;
            let (outcome, exit_code) = (last.outcome.as_str(), last.exit_code);
            let refused = Ending {
                outcome: Outcome::Refused,
                exit_code: if exit_code == exit::OK { exit::FAILED } else { exit_code },
                run_id: self.whole.run_id.to_owned(),
                explanation: Some(format!(
                    "`{name}`, which comes first, ended as {outcome} with exit code {exit_code}; {}",
                    self.undone()
                )),
                ..Ending::default()
            };
            run.cx.ui.emit(Event::Finished(Box::new(last)));
            last = refused;
        }
        self.whole(last)
    }

    /// A signal came between two turns.
    fn interrupted(&self, signal: u8) -> Ending {
        let name = signals::name(signal.into());
        self.whole(Ending {
            outcome: Outcome::Interrupted,
            exit_code: 128 + signal,
            run_id: self.whole.run_id.to_owned(),
            explanation: Some(format!("{name} came between two tasks; {}", self.undone())),
            ..Ending::default()
        })
    }

    /// Which have not run.
    fn undone(&self) -> String {
        let names = self.ends.iter().filter(|it| it.outcome.is_none()).map(|it| format!("`{}`", it.task));
        format!("not run: {}", names.collect::<Vec<_>>().join(", "))
    }

    fn whole(&self, ending: Ending) -> Ending {
        let mut ending = Ending { tasks: self.ends.clone(), ..ending };
        ending.timings.total = Some(self.whole.start.elapsed().as_secs_f64());
        ending
    }
}
