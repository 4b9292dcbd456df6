//! Runs the shards of a task as ECS tasks, up to thousands in one process: launches them within ECS's rates, follows each by the
//! state machine of `follow`, and shares the calls between them. What each fact means is `follow`'s and `crate::shards`'s business.
//!
//! Every call is a task of the runtime with its answer in one queue, so that one that is slow holds up nobody. How many there are at a
//! time is bounded for each kind: futures of the SDK are large, and so are pages of a log.

mod calls;
pub mod gate;
mod say;
pub mod stop;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::aws::Aws;
use crate::error::{Error, ErrorKind};
use crate::follow::{self, Action, Fact, Finish, Follow, How, Target, Trouble};
use crate::model::{EcsTask, Ending, OnInterrupt, Outcome, Plan, Retry, Shard, ShardEnd, Shards, ShardsEnd};
use crate::retry;
use crate::shards::again::Again;
use crate::shards::rate::Rate;
use crate::shards::reads::Reads;
use crate::shards::{Fleet, Halt};
use crate::stage::follow::{Clock, fact_of_description, fact_of_read, trouble};
use crate::stage::launch::Settled;
use crate::stage::register::TaskDefinition;
use crate::tools::random::random_bytes;
use crate::tools::signals::{self, Relay, Signals};
use crate::ui::Ui;
use crate::verdict::{OurDoing, verdict};
use calls::{Answer, Shared};
use say::Say;

/// RunTask calls under way, their retries included.
const LAUNCHES: usize = 32;
/// StopTask calls under way.
const STOPS: usize = 32;
/// DescribeTasks calls under way.
const DESCRIBES: usize = 4;
/// Reads of logs under way, or with lines that nobody has taken yet: each may be 1 MB.
const READS: usize = 32;
/// DescribeTasks takes so many.
const BATCH: usize = 100;
/// Between calls of DescribeTasks, where there is another batch.
const NEXT_BATCH: Duration = Duration::from_millis(200);
/// Between calls of DescribeTasks where one takes all: those that come meanwhile go with the next.
const NEXT_ROUND: Duration = Duration::from_secs(1);
/// GetLogEvents: burst, calls a second where an account allows as much as most, and the least that is tried.
const READ_RATE: (f64, f64, f64) = (5.0, 25.0, 1.0);
/// Of these, for output that is still being written. Others in the account read logs, too.
const LIVE_RATE: (f64, f64) = (5.0, 12.5);
/// If no read at all was answered for so long, throttling is each stream's own fault to bear.
const ALL_THROTTLED: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug)]
pub struct Order {
    /// The clients.
    pub aws: Aws,
    /// The printer, for the task.
    pub ui: Ui,
    /// The request, and how it is called.
    pub plan: Plan,
    /// The revision.
    pub definition: TaskDefinition,
    /// As tasks.toml has it.
    pub cluster: String,
    /// Which, and how many at a time.
    pub shards: Shards,
    /// ECS tasks that this run has started before: they are followed on.
    pub adopted: Vec<(u32, EcsTask)>,
    /// The command line that stops what this run has started.
    pub stop_run: String,
    /// What the end of each shard says in any case.
    pub ending: Ending,
    /// Whether they are started and left alone.
    pub detach: bool,
    /// Which ends are tried again; each shard by itself.
    pub retry: Option<Retry>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// How the run ended.
    pub outcome: Outcome,
    /// Of the first shard that failed, or of the signal.
    pub exit_code: u8,
    /// What became of each.
    pub shards: ShardsEnd,
    /// The ECS tasks whose end was not waited for, and whether ECS is stopping them.
    pub left: Vec<(u32, String, bool)>,
    /// Shards whose RunTask was given up without an answer: ECS may have started them.
    pub perhaps: Vec<u32>,
}

/// Runs them to their end, or until a signal says to leave them.
pub async fn run(order: Order, signals: &mut Signals) -> Ended {
    Engine::new(order).run(signals).await
}

/// An ECS task that is followed.
struct Follower {
    machine: Follow,
    arn: Arc<str>,
    /// When it was launched: its machine's time begins there.
    begun: Duration,
    /// What the machine wants read when its turn comes.
    read: Option<calls::Read>,
    /// When it wakes.
    wake_at: Duration,
    /// That ECS says it is over was taken note of.
    is_over: bool,
    /// Whether this process has started it; what it has not, it does not start again.
    launched_here: bool,
}

struct Engine {
    shared: Arc<Shared>,
    ui: Ui,
    of: u32,
    adopted: BTreeMap<u32, EcsTask>,
    ending: Ending,
    detach: bool,
    again: Again,
    fleet: Fleet,
    followers: BTreeMap<u32, Follower>,
    launching: BTreeMap<u32, Relay>,
    /// When which machine wants to be asked again.
    wakes: BTreeSet<(Duration, u32)>,
    calls: JoinSet<Answer>,
    n_stops: usize,
    n_describes: usize,
    n_reads: usize,
    stops: VecDeque<(u32, String)>,
    descriptions: VecDeque<u32>,
    describe_at: Duration,
    reads: Reads,
    read_rate: Rate,
    live_rate: Rate,
    read_at: Duration,
    /// Credentials are being asked for.
    renewing: bool,
    say: Say,
    left: Vec<(u32, String, bool)>,
    perhaps: Vec<u32>,
    n_signals: u32,
    /// ECS had no room for all: why, until it is told for how many.
    no_room: Option<String>,
}

impl Engine {
    fn new(order: Order) -> Engine {
        let Order { aws, ui, plan, definition, cluster, shards, adopted, stop_run, ending, detach, retry } = order;
        let clock = Clock::new(aws.speed);
        let mut fleet = Fleet::new(shards.clone());
        for (shard, _) in &adopted {
            fleet.adopt(*shard);
        }
        let shared = Shared::new(aws, plan, definition, cluster, stop_run, clock);
        Engine {
            say: Say::new(ui.clone(), shards.of),
            ui,
            of: shards.of,
            adopted: adopted.into_iter().collect(),
            ending,
            detach,
            again: Again::new(retry, retry::FIRST_PAUSE),
            fleet,
            followers: BTreeMap::new(),
            launching: BTreeMap::new(),
            wakes: BTreeSet::new(),
            calls: JoinSet::new(),
            n_stops: 0,
            n_describes: 0,
            n_reads: 0,
            stops: VecDeque::new(),
            descriptions: VecDeque::new(),
            describe_at: Duration::ZERO,
            reads: Reads::default(),
            read_rate: Rate::new(READ_RATE.0, READ_RATE.1, READ_RATE.2),
            live_rate: Rate::new(LIVE_RATE.0, LIVE_RATE.1, LIVE_RATE.1),
            read_at: Duration::ZERO,
            renewing: false,
            left: Vec::new(),
            perhaps: Vec::new(),
            n_signals: 0,
            no_room: None,
            shared: Arc::new(shared),
        }
    }

    fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    async fn run(mut self, signals: &mut Signals) -> Ended {
        for (shard, task) in std::mem::take(&mut self.adopted) {
            self.follow(shard, task, false, None);
        }
        loop {
            self.start_calls();
            self.say.counts(self.fleet.counts(), self.now());
            if self.fleet.is_over() {
                break;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                // Signals first: a flood of answers must not make them wait.
                biased;
                signal = signals.next() => self.signal(signal),
                Some(answer) = self.calls.join_next(), if !self.calls.is_empty() => match answer {
                    Ok(answer) => self.answered(answer),
                    Err(error) => {
                        // None is cancelled; a panic is this process's end, as it would be without a task of the runtime.
                        if let Ok(panic) = error.try_into_panic() {
                            std::panic::resume_unwind(panic);
                        }
                    }
                },
                () = self.shared.clock.sleep_until(wake_at) => {}
            }
            self.wake();
        }
        // No more attempts are wanted: the last ones are how these ended.
        for (shard, ending) in self.again.left() {
            let reason = say::reason(&ending);
            self.over(shard, ending, reason);
        }
        self.say.last_counts(self.fleet.counts());
        let (outcome, exit_code, shards) = self.fleet.end();
        Ended { outcome, exit_code, shards, left: self.left, perhaps: self.perhaps }
    }

    /// The next moment at which something is due although nothing happens.
    fn wake_at(&mut self) -> Duration {
        let now = self.now();
        let mut times = vec![self.wakes.first().map(|it| it.0), self.fleet.wake_at(), self.say.wake_at()];
        if !self.stops.is_empty() && self.n_stops < STOPS {
            times.push(Some(now + self.shared.gate.wait_to_stop()));
        }
        if !self.descriptions.is_empty() && self.n_describes < DESCRIBES {
            times.push(Some(self.describe_at));
        }
        if self.n_reads < READS && self.reads.is_waiting(true) {
            times.push(Some(self.read_at));
        }
        times.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// Gives each machine that waits for its time what it waits for.
    fn wake(&mut self) {
        let now = self.now();
        while let Some((at, shard)) = self.wakes.first().copied()
            && at <= now
        {
            self.wakes.pop_first();
            self.fact(shard, Fact::Tick);
        }
        self.say.warnings();
    }

    // ----------------------------------------------------------------------------------------------------------- calls

    /// Sends what is due, as far as rates and numbers allow.
    fn start_calls(&mut self) {
        let now = self.now();
        while self.launching.len() < LAUNCHES
            && let Some(shard) = self.fleet.next(now)
        {
            self.launch(shard);
        }
        if self.launching.is_empty()
            && let Some(why) = self.no_room.take()
        {
            self.say.no_room(self.fleet.busy(), &why);
        }
        self.shared.gate.set_others(self.fleet.others());
        while self.n_stops < STOPS && !self.stops.is_empty() && self.shared.gate.may_stop() {
            if let Some((shard, reason)) = self.stops.pop_front()
                && let Some(follower) = self.followers.get(&shard)
            {
                self.n_stops += 1;
                self.calls.spawn(Arc::clone(&self.shared).stop(shard, Arc::clone(&follower.arn), reason));
            }
        }
        while self.n_describes < DESCRIBES && !self.descriptions.is_empty() && now >= self.describe_at {
            self.describe(now);
        }
        self.start_reads(now);
    }

    fn launch(&mut self, shard: u32) {
        let (relay, signals) = Signals::relayed();
        self.launching.insert(shard, relay);
        let ui = self.ui.for_shard(Shard { index: shard, of: self.of });
        let former = self.again.begins(shard);
        self.calls.spawn(Arc::clone(&self.shared).launch(shard, ui, former, signals));
    }

    fn describe(&mut self, now: Duration) {
        if self.descriptions.len() < BATCH {
            // A call that is made anyway takes along whom it would be asked for next.
            for (shard, follower) in &mut self.followers {
                if follower.machine.take_describe(now.saturating_sub(follower.begun), NEXT_ROUND) {
                    self.descriptions.push_back(*shard);
                }
            }
        }
        let n = self.descriptions.len().min(BATCH);
        let batch: Vec<(u32, Arc<str>)> = self
            .descriptions
            .drain(..n)
            .filter_map(|shard| Some((shard, Arc::clone(&self.followers.get(&shard)?.arn))))
            .collect();
        if batch.is_empty() {
            return;
        }
        self.n_describes += 1;
        self.describe_at = now + if self.descriptions.len() >= BATCH { NEXT_BATCH } else { NEXT_ROUND };
        self.calls.spawn(Arc::clone(&self.shared).describe(batch));
    }

    fn start_reads(&mut self, now: Duration) {
        while self.n_reads < READS && self.reads.is_waiting(true) {
            let live = self.live_rate.wait(now);
            let is_due = self.reads.is_waiting(live.is_zero());
            let wait = self.read_rate.wait(now);
            if !is_due || !wait.is_zero() {
                self.read_at = now + if is_due { wait } else { wait.max(live) };
                return;
            }
            let Some(shard) = self.reads.pop(live.is_zero()) else { return };
            let Some(follower) = self.followers.get_mut(&shard) else { continue };
            let Some(read) = follower.read.clone() else { continue };
            self.read_rate.take(now);
            if !follower.machine.is_draining() {
                self.live_rate.take(now);
            }
            self.n_reads += 1;
            let arn = Arc::clone(&follower.arn);
            self.calls.spawn(Arc::clone(&self.shared).read(shard, arn, read, now));
            self.fact(shard, Fact::LogSent);
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Launched { shard, settled } => self.launched(shard, settled),
            Answer::Described { batch, described } => {
                self.n_describes -= 1;
                match described {
                    Ok(described) => {
                        let mut described = described.into_iter().map(|it| it.1);
                        for (shard, _) in batch {
                            self.fact(shard, fact_of_description(described.next()));
                        }
                    }
                    Err(error) => {
                        let (trouble, cause) = (self.trouble(&error), error.cause());
                        for (shard, _) in batch {
                            self.fact(shard, Fact::DescribeFailed { cause: cause.clone(), trouble });
                        }
                    }
                }
            }
            Answer::Read { shard, sent, page } => match fact_of_read(page) {
                Ok(fact) => {
                    self.n_reads -= 1;
                    self.shared.read_answered(self.now());
                    self.read_done(shard, fact);
                }
                Err(error) => {
                    self.n_reads -= 1;
                    self.read_failed(shard, sent, &error);
                }
            },
            Answer::Printed { shard } => {
                self.n_reads -= 1;
                self.fact(shard, Fact::Printed);
            }
            Answer::Stopped { shard, reason, stopped } => {
                self.n_stops -= 1;
                match stopped {
                    Ok(()) => self.fact(shard, Fact::StopAccepted),
                    Err(error) if trouble(&error) == Trouble::Throttled => {
                        // It has not failed: it was too early.
                        self.shared.gate.stop_throttled();
                        self.stops.push_front((shard, reason));
                    }
                    Err(error) => {
                        let (trouble, cause) = (self.trouble(&error), error.cause());
                        self.fact(shard, Fact::StopFailed { cause, trouble });
                    }
                }
            }
            Answer::Renewed => self.renewing = false,
        }
    }

    fn read_done(&mut self, shard: u32, fact: Fact) {
        if let Some(follower) = self.followers.get_mut(&shard) {
            follower.read = None;
        }
        self.fact(shard, fact);
    }

    /// What is throttled was too early: it comes first when there is a turn again, and its stream does not hear of it. Unless no
    /// stream gets through any more.
    fn read_failed(&mut self, shard: u32, sent: Duration, error: &crate::aws::AwsError) {
        let now = self.now();
        let trouble = self.trouble(error);
        if trouble == Trouble::Throttled {
            let first = self.read_rate.throttled(sent, now);
            let none_gets_through = now.saturating_sub(self.shared.read_answered_at()) > ALL_THROTTLED;
            if !none_gets_through && let Some(follower) = self.followers.get(&shard) {
                self.reads.push_front(shard, follower.machine.is_draining());
                if first {
                    self.say.reads_are_slow(self.read_rate.per_second());
                }
                self.fact(shard, Fact::LogPutBack);
                return;
            }
        }
        self.read_done(shard, Fact::LogFailed { cause: error.cause(), trouble });
    }

    /// What kind of fault it is. Credentials that have expired are asked for again at their source, once for all.
    fn trouble(&mut self, error: &crate::aws::AwsError) -> Trouble {
        let trouble = trouble(error);
        if trouble == Trouble::Credentials && !self.renewing {
            self.renewing = true;
            self.calls.spawn(Arc::clone(&self.shared).renew());
        }
        trouble
    }

    // ---------------------------------------------------------------------------------------------------------- shards

    fn launched(&mut self, shard: u32, settled: Result<Settled, Error>) {
        let relay = self.launching.remove(&shard);
        match settled {
            Ok(Settled::Running(running)) => {
                self.fleet.launched(shard);
                if self.detach && running.signal.is_none() && self.n_signals == 0 {
                    let (outcome, exit_code) = (Outcome::Detached, crate::error::exit::OK);
                    let task_arn = Some(running.task.arn.clone());
                    let ending = Ending { outcome, exit_code, task_arn, ..self.ending.clone() };
                    self.over(shard, ending, None);
                    return;
                }
                let signal = running.signal.filter(|_| relay.is_some() && self.n_signals > 0);
                self.follow(shard, running.task, true, signal);
            }
            Ok(Settled::NoRoom(why)) => {
                if self.fleet.no_room(shard, self.now()) {
                    self.no_room = Some(why);
                }
            }
            // Nobody else's place is asked for; whoever gets here all the same has started nothing.
            Ok(Settled::Held(task) | Settled::Suffices(task)) => {
                let explanation = Some(format!("{} is in its place", task.arn));
                self.over(shard, Ending { outcome: Outcome::AlreadyRunning, explanation, ..self.ending.clone() }, None);
            }
            Err(error)
                if error.started.is_none()
                    && self.fleet.halt() == Some(Halt::Failed)
                    && matches!(error.kind, ErrorKind::Interrupted(_)) =>
            {
                self.fleet.withdrawn(shard);
            }
            Err(error) => {
                let message = error.to_string();
                let ending = Ending {
                    outcome: error.outcome(),
                    exit_code: error.exit_code(),
                    task_arn: error.task_arn().map(str::to_owned),
                    explanation: Some(match &error.done {
                        Some(done) => format!("{message}; {done}"),
                        None => message.clone(),
                    }),
                    hint: error.problems.iter().find_map(|it| it.hint.clone()),
                    ..self.ending.clone()
                };
                if error.started == Some(crate::error::Started::Perhaps) {
                    self.perhaps.push(shard);
                }
                let ended = retry::Ended { is_over: error.no_room, ..retry::Ended::over(ending.outcome) };
                let reason = (!matches!(error.kind, ErrorKind::Interrupted(_))).then_some(message);
                self.attempted(shard, ending, &ended, true, reason);
            }
        }
    }

    fn follow(&mut self, shard: u32, task: EcsTask, launched_here: bool, signal: Option<u8>) {
        let plan = &self.shared.plan;
        let machine = Follow::new(Target {
            arn: task.arn.clone(),
            container: plan.container.clone(),
            timeout: plan.timeout.filter(|_| launched_here),
            start_timeout: launched_here.then_some(plan.start_timeout),
            on_interrupt: plan.on_interrupt,
            launched_here,
            attended: self.ui.can_ask(),
            of_many: true,
        });
        let begun = self.now();
        let follower = Follower {
            machine,
            arn: task.arn.into(),
            begun,
            read: None,
            wake_at: Duration::MAX,
            is_over: false,
            launched_here,
        };
        self.followers.insert(shard, follower);
        self.fact(shard, signal.map_or(Fact::Tick, Fact::Signal));
        // Another one may have failed while RunTask was under way.
        if self.fleet.halt() == Some(Halt::Failed) {
            self.fact(shard, Fact::OtherFailed);
        }
    }

    /// Hands a fact to a shard's machine and does what comes of it.
    fn fact(&mut self, shard: u32, fact: Fact) {
        let now = self.now();
        let Some(follower) = self.followers.get_mut(&shard) else { return };
        let was_draining = follower.machine.is_draining();
        let actions = follower.machine.on(fact, now.saturating_sub(follower.begun));
        let wake_at = follower.machine.wake_at();
        let wake_at = if wake_at == Duration::MAX { wake_at } else { follower.begun + wake_at };
        if wake_at != follower.wake_at {
            self.wakes.remove(&(follower.wake_at, shard));
            follower.wake_at = wake_at;
        }
        if wake_at != Duration::MAX {
            self.wakes.insert((wake_at, shard));
        }
        if !was_draining && follower.machine.is_draining() && follower.read.is_some() {
            self.reads.has_stopped(shard);
        }
        let mut finish = None;
        for action in actions {
            self.act(shard, action, &mut finish);
        }
        self.look_at(shard);
        if let Some(finish) = finish {
            self.finished(shard, &finish);
        }
    }

    fn act(&mut self, shard: u32, action: Action, finish: &mut Option<Finish>) {
        match action {
            Action::Describe => self.descriptions.push_back(shard),
            Action::ReadLog { token, from } => {
                if let Some(follower) = self.followers.get_mut(&shard) {
                    follower.read = Some(calls::Read { token, from });
                    self.reads.push(shard, follower.machine.is_draining());
                }
            }
            Action::Stop(reason) => self.stops.push_back((shard, reason)),
            Action::Tell(event) => self.say.event(shard, event),
            Action::Print(events) => {
                // It has the place of its read until somebody takes the lines.
                self.n_reads += 1;
                let ui = self.ui.for_shard(Shard { index: shard, of: self.of });
                self.calls.spawn(Arc::clone(&self.shared).print(shard, ui, events));
            }
            Action::Finish(finished) => *finish = Some(*finished),
        }
    }

    /// Takes note of what ECS says of a shard.
    fn look_at(&mut self, shard: u32) {
        let Some(follower) = self.followers.get_mut(&shard) else { return };
        let Some(task) = follower.machine.task() else { return };
        self.fleet.status(shard, task.last_status.as_deref() == Some("RUNNING"));
        if follower.is_over || !task.is_stopped() {
            return;
        }
        follower.is_over = true;
        let ours = follower.machine.ours().or_else(|| OurDoing::of_reason(task));
        let verdict = verdict(task, &self.shared.plan.container, ours);
        let ended = retry::Ended { outcome: verdict.outcome, stop_code: task.stop_code.clone(), ours, is_over: true };
        let launched_here = follower.launched_here;
        if self.may_go_on(launched_here) && self.again.goes_on(shard, &ended) {
            self.fleet.stopped_for_now(shard);
        } else if self.fleet.stopped(shard, verdict.outcome, verdict.exit_code) {
            self.stop_others(shard);
        }
    }

    fn stop_others(&mut self, failed: u32) {
        let alive: Vec<u32> = self.followers.iter().filter(|it| !it.1.machine.is_over()).map(|it| *it.0).collect();
        self.say.stopping_others(failed, alive.len() + self.launching.len());
        for shard in alive {
            self.fact(shard, Fact::OtherFailed);
        }
        // Those that wait to be launched would do so for long, now that the stops take what ECS allows. Not a signal to what comes of it:
        // it is followed, and stopped like the others.
        for relay in self.launching.values() {
            let _ = relay.send(signals::TERMINATE);
        }
    }

    fn finished(&mut self, shard: u32, finish: &Finish) {
        let Some(follower) = self.followers.remove(&shard) else { return };
        self.wakes.remove(&(follower.wake_at, shard));
        self.reads.remove(shard);
        let mut ending = Ending { task_arn: Some(follower.arn.to_string()), ..self.ending.clone() };
        let by_hand = format!("stop all of this run with `{}`", self.shared.stop_run);
        follow::conclude(&mut ending, finish, &self.shared.plan.container, &by_hand);
        if !matches!(finish.how, How::Stopped) || finish.stop_failed.is_some() {
            self.left.push((shard, follower.arn.to_string(), finish.stop_accepted));
        }
        let total = self.now().saturating_sub(follower.begun).as_secs_f64();
        ending.timings.total = Some(self.shared.clock.real(Duration::from_secs_f64(total)).as_secs_f64());
        // What to do is the same for all, and said once.
        let reason = say::reason(&ending).map(|it| it.replace(&format!("; {by_hand}"), ""));
        let ended = retry::Ended::of(&ending, finish);
        self.attempted(shard, ending, &ended, follower.launched_here, reason);
    }

    /// Whether another attempt is wanted at all.
    fn may_go_on(&self, launched_here: bool) -> bool {
        launched_here && self.fleet.halt().is_none()
    }

    /// Takes down the end of an attempt: the shard is tried again after a pause, or it is over.
    fn attempted(
        &mut self,
        shard: u32,
        ending: Ending,
        ended: &retry::Ended,
        launched_here: bool,
        reason: Option<String>,
    ) {
        let may = self.may_go_on(launched_here);
        let jitter = random_bytes::<1>().map_or(0.5, |it| f64::from(it[0]) / 255.0);
        match self.again.ended(shard, ending, ended, may, jitter) {
            Ok((pause, event)) => {
                self.say.event(shard, event);
                self.fleet.again(shard, self.now() + pause);
            }
            Err(ending) => self.over(shard, *ending, reason),
        }
    }

    fn over(&mut self, shard: u32, ending: Ending, reason: Option<String>) {
        let end = ShardEnd {
            shard,
            outcome: ending.outcome,
            exit_code: ending.exit_code,
            task_arn: ending.task_arn.clone(),
            reason,
        };
        self.say.finished(shard, ending);
        if self.fleet.over(end) {
            self.stop_others(shard);
        }
    }

    // --------------------------------------------------------------------------------------------------------- signals

    fn signal(&mut self, signal: u8) {
        self.n_signals += 1;
        let leaves =
            signal == signals::HANGUP || self.n_signals > 1 || self.shared.plan.on_interrupt == OnInterrupt::Detach;
        self.fleet.signal(signal);
        if !leaves {
            let alive = self.followers.values().filter(|it| !it.machine.is_over()).count() + self.launching.len();
            self.say.stopping(signal, alive);
        }
        let followers: Vec<u32> = self.followers.keys().copied().collect();
        for shard in followers {
            self.fact(shard, Fact::Signal(signal));
        }
        for relay in self.launching.values() {
            // One that was answered meanwhile is followed, and hears of it there.
            let _ = relay.send(signal);
        }
        if leaves {
            self.leave(signal);
        }
    }

    /// Answers of RunTask that are still under way are not waited for: what they start is told.
    fn leave(&mut self, signal: u8) {
        let launching: Vec<u32> = std::mem::take(&mut self.launching).into_keys().collect();
        for shard in launching {
            self.perhaps.push(shard);
            let ending = Ending {
                outcome: Outcome::Detached,
                exit_code: 128 + signal,
                explanation: Some(format!(
                    "RunTask was under way: ECS may start it; stop all of this run with `{}`",
                    self.shared.stop_run
                )),
                ..self.ending.clone()
            };
            self.over(shard, ending, None);
        }
    }
}
