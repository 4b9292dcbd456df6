//! Following one ECS task, as a state machine without I/O: facts go in with the time, actions come out. It decides when to ask ECS
//! and CloudWatch Logs, what a signal does, when a timeout is due, and when the log has been read to its end.
//!
//! Time is the time since the start of following; the driver in `stage/follow.rs` owns the clock.

use std::time::Duration;

use crate::event::Event;
pub use crate::model::LogEnd;
use crate::model::{EcsTask, LogEvent, OnInterrupt};
use crate::verdict::OurDoing;

/// How long ECS may not know an ECS task that it has just accepted: its answers are eventually consistent.
const MISSING_TOLERANCE: Duration = Duration::from_secs(120);
/// Status is asked for every second for this long, since most that goes wrong does so early.
const EARLY: Duration = Duration::from_secs(60);
const FAST_STATUS: Duration = Duration::from_secs(1);
const SLOW_STATUS: Duration = Duration::from_secs(3);
/// CloudWatch Logs allows 10 to 25 reads a second in an account.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// Between the reads of the last seconds: one more read costs less than a missing line.
const DRAIN_INTERVAL: Duration = Duration::from_millis(500);
/// An empty page with a new token is not the end; this keeps a row of them from being a busy loop.
const EMPTY_PAGE_PAUSE: Duration = Duration::from_millis(50);
/// The log counts as complete when its end has not moved for this long after the container stopped.
const QUIET: Duration = Duration::from_secs(3);
/// Nothing new for this long after STOPPED, and no clear end either: the log is given up as it is.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// An answer that is under way then may hold the missing lines: one attempt without an answer and a second one are waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);
/// The longest pause after faults.
const MAX_BACKOFF: Duration = Duration::from_secs(15);

/// What to follow.
#[derive(Debug, Clone)]
pub struct Target {
    /// The ECS task's ARN.
    pub arn: String,
    /// The chosen container.
    pub container: String,
    /// From RUNNING on.
    pub timeout: Option<Duration>,
    /// From the launch to RUNNING.
    pub start_timeout: Option<Duration>,
    /// What the first signal does.
    pub on_interrupt: OnInterrupt,
    /// Whether this process launched it; what it did not start it never stops.
    pub launched_here: bool,
}

/// Something that was learnt.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "`cause` is for people; `passing`: the same call may succeed later")]
pub enum Fact {
    /// DescribeTasks knows the ECS task.
    Described(Box<EcsTask>),
    /// DescribeTasks answers that it does not, with this reason.
    Missing(String),
    /// DescribeTasks failed. `passing`: the same call may succeed later.
    DescribeFailed { cause: String, passing: bool },
    /// A page of the log.
    Page { events: Vec<LogEvent>, next_token: Option<String> },
    /// Group or stream do not exist (yet).
    LogMissing(String),
    /// The lines of the last [`Action::Print`] are taken: the next ones may come.
    Printed,
    /// Reading the log failed.
    LogFailed { cause: String, passing: bool },
    /// StopTask was accepted.
    StopAccepted,
    /// StopTask failed.
    StopFailed { cause: String, passing: bool },
    /// This process got a signal, by number: 1, 2 or 15.
    Signal(u8),
    /// Time passed.
    Tick,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Call DescribeTasks.
    Describe,
    /// Call GetLogEvents with this token.
    ReadLog(Option<String>),
    /// Call StopTask with this reason.
    Stop(String),
    /// Tell the user.
    Tell(Event),
    /// Print these lines of the task, and say [`Fact::Printed`]: until then nothing more is read.
    Print(Vec<LogEvent>),
    /// It is over.
    Finish(Box<Finish>),
}

/// How following ended.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// The ECS task is STOPPED.
    Stopped,
    /// It was left running (or in an unknown state) because of this signal.
    Detached(u8),
    /// ECS cannot say how it ended; why.
    Lost(String),
}

/// The end of following.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// How.
    pub how: How,
    /// The last that ECS said of it.
    pub task: Option<EcsTask>,
    /// Why we asked for its stop, if we did.
    pub ours: Option<OurDoing>,
    /// Whether the output is whole.
    pub log: LogEnd,
    /// A StopTask that was never accepted: the ECS task may run on.
    pub stop_failed: Option<String>,
}

/// Pauses that double after each fault in a row.
#[derive(Debug, Clone, Default)]
struct Backoff {
    faults: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        self.faults += 1;
        let seconds = 2_u64.saturating_pow(self.faults.min(5) - 1);
        Duration::from_secs(seconds).min(MAX_BACKOFF)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Stop {
    /// Nobody here asked for it.
    No,
    /// To be sent at this time, or in flight.
    Wanted { reason: String, at: Duration, in_flight: bool },
    /// ECS has accepted it.
    Accepted,
    /// ECS refuses it for good.
    Refused(String),
}

/// The state of following one ECS task.
#[derive(Debug)]
pub struct Follow {
    target: Target,
    task: Option<EcsTask>,
    shown_status: Option<String>,
    describe_at: Option<Duration>,
    describe_backoff: Backoff,
    missing_since: Option<Duration>,
    running_since: Option<Duration>,
    container_stopped_since: Option<Duration>,
    stopped_since: Option<Duration>,
    log_token: Option<String>,
    log_at: Option<Duration>,
    log_in_flight: bool,
    /// When the read that is in flight was started: its answer knows nothing newer, however long it takes.
    log_asked_at: Duration,
    /// Whether lines wait for a slow reader of stdout. Meanwhile the log is neither read nor given up.
    printing: bool,
    log_backoff: Backoff,
    /// Since when the log's end has not moved; reset by every event, by every new token and by the container's stop.
    quiet_since: Option<Duration>,
    /// Whether a read has found the end unmoved for [`QUIET`] after the container's stop.
    drained: bool,
    /// Whether there was a page of any kind.
    had_page: bool,
    /// When the output last grew, or was last taken by a slow reader.
    grown_at: Option<Duration>,
    log_fault: Option<String>,
    stop: Stop,
    ours: Option<OurDoing>,
    finished: bool,
}

impl Follow {
    /// Starts following at time zero.
    pub fn new(target: Target) -> Follow {
        Follow {
            target,
            task: None,
            shown_status: None,
            describe_at: Some(Duration::ZERO),
            describe_backoff: Backoff::default(),
            missing_since: None,
            running_since: None,
            container_stopped_since: None,
            stopped_since: None,
            log_token: None,
            log_at: None,
            log_in_flight: false,
            log_asked_at: Duration::ZERO,
            printing: false,
            log_backoff: Backoff::default(),
            quiet_since: None,
            drained: false,
            had_page: false,
            grown_at: None,
            log_fault: None,
            stop: Stop::No,
            ours: None,
            finished: false,
        }
    }

    /// The last that ECS said.
    pub fn task(&self) -> Option<&EcsTask> {
        self.task.as_ref()
    }

    /// Takes a fact in and gives the actions that follow from it, due timers included.
    pub fn on(&mut self, fact: Fact, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finished {
            return actions;
        }
        match fact {
            Fact::Described(task) => self.described(*task, now, &mut actions),
            Fact::Missing(reason) => self.missing(&reason, now, &mut actions),
            Fact::DescribeFailed { cause, passing } => self.describe_failed(&cause, passing, now, &mut actions),
            Fact::Page { events, next_token } => self.page(events, next_token, now, &mut actions),
            Fact::Printed => {
                self.printing = false;
                self.grown_at = Some(now);
            }
            Fact::LogMissing(message) => self.log_missing(&message, now),
            Fact::LogFailed { cause, passing } => self.log_failed(cause, passing, now, &mut actions),
            Fact::StopAccepted => {
                self.stop = Stop::Accepted;
                self.describe_at = self.describe_at.map(|at| at.min(now + FAST_STATUS));
            }
            Fact::StopFailed { cause, passing } => self.stop_failed(cause, passing, now, &mut actions),
            Fact::Signal(signal) => self.signal(signal, now, &mut actions),
            Fact::Tick => {}
        }
        self.deadlines(now, &mut actions);
        self.due(now, &mut actions);
        actions
    }

    /// When to call [`Follow::on`] with [`Fact::Tick`] if nothing else happens.
    pub fn wake_at(&self) -> Duration {
        let mut times = vec![self.describe_at, self.log_at.filter(|_| !self.printing)];
        if let Stop::Wanted { at, in_flight: false, .. } = self.stop {
            times.push(Some(at));
        }
        if self.stopped_since.is_none() && matches!(self.stop, Stop::No) {
            match self.running_since {
                Some(since) => times.push(self.target.timeout.map(|it| since + it)),
                None => times.push(self.target.start_timeout),
            }
        }
        if let Some(stopped) = self.stopped_since
            && !self.printing
        {
            times.push(Some(self.give_up_at(stopped)));
        }
        times.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    fn described(&mut self, task: EcsTask, now: Duration, actions: &mut Vec<Action>) {
        self.describe_backoff = Backoff::default();
        self.missing_since = None;
        let status = task.last_status.clone().unwrap_or_else(|| "UNKNOWN".to_owned());
        if self.shown_status.as_deref() != Some(&status) {
            self.shown_status = Some(status.clone());
            // A stopped ECS task's reasons stand in the last line of the run.
            let detail = if task.is_stopped() { None } else { task.stopped_reason.clone() };
            actions.push(Action::Tell(Event::Status { status: status.clone(), detail }));
        }
        let chosen = task.container(&self.target.container);
        let chosen_stopped =
            chosen.is_some_and(|it| it.exit_code.is_some() || it.last_status.as_deref() == Some("STOPPED"));
        let any_stopped = task.containers.iter().any(|it| it.last_status.as_deref() == Some("STOPPED"));
        // `startedAt` is set when the ECS task reaches RUNNING, also where that was too short to be seen.
        if self.running_since.is_none() && (status == "RUNNING" || task.started_at.is_some()) {
            self.running_since = Some(now);
        }
        if self.container_stopped_since.is_none() && (chosen_stopped || task.is_stopped()) {
            self.container_stopped_since = Some(now);
            self.quiet_since = None;
            self.log_at = self.log_at.map(|at| at.min(now));
        }
        if task.is_stopped() {
            self.stopped_since.get_or_insert(now);
            self.describe_at = None;
        } else {
            let fast = now < EARLY || any_stopped || chosen_stopped || !matches!(self.stop, Stop::No);
            self.describe_at = Some(now + if fast { FAST_STATUS } else { SLOW_STATUS });
        }
        // The container can write from its own start on, which is before RUNNING where others are waited for.
        let may_write = self.running_since.is_some()
            || chosen_stopped
            || chosen.is_some_and(|it| it.last_status.as_deref() == Some("RUNNING"));
        if self.log_at.is_none() && !self.log_in_flight && may_write {
            self.log_at = Some(now);
        }
        self.task = Some(task);
    }

    fn missing(&mut self, reason: &str, now: Duration, actions: &mut Vec<Action>) {
        let since = *self.missing_since.get_or_insert(now);
        if now.saturating_sub(since) >= MISSING_TOLERANCE {
            let lost = format!("ECS does not know the ECS task (any more): {reason}");
            self.finish(How::Lost(lost), actions);
            return;
        }
        self.describe_at = Some(now + FAST_STATUS);
    }

    fn describe_failed(&mut self, cause: &str, passing: bool, now: Duration, actions: &mut Vec<Action>) {
        // Nothing that happens to the network or to AWS ends the following; only a refusal for good does, said once.
        let pause = self.describe_backoff.next();
        if self.describe_backoff.faults == 1 || self.describe_backoff.faults.is_multiple_of(20) {
            let message = format!("cannot ask for the ECS task's status: {cause}; trying again");
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        if !passing && self.describe_backoff.faults >= 10 {
            self.finish(How::Lost(format!("cannot ask for the ECS task's status: {cause}")), actions);
            return;
        }
        self.describe_at = Some(now + pause);
    }

    fn page(&mut self, events: Vec<LogEvent>, next_token: Option<String>, now: Duration, actions: &mut Vec<Action>) {
        self.log_in_flight = false;
        self.log_backoff = Backoff::default();
        self.log_fault = None;
        self.had_page = true;
        let moved = !events.is_empty();
        // A missing token is taken for an unmoved one: asking with the old one again is always right.
        let at_end = next_token.is_none() || next_token == self.log_token;
        if next_token.is_some() {
            self.log_token = next_token;
        }
        if moved {
            self.grown_at = Some(now);
            self.printing = true;
            actions.push(Action::Print(events));
        }
        if !at_end || moved {
            self.quiet_since = None;
            self.drained = false;
            self.log_at = Some(now + if moved { Duration::ZERO } else { EMPTY_PAGE_PAUSE });
            return;
        }
        let since = *self.quiet_since.get_or_insert(now);
        if self.container_stopped_since.is_none() || self.drained {
            self.log_at = Some(now + LOG_INTERVAL);
        } else if self.log_asked_at >= since + QUIET {
            self.drained = true;
            self.log_at = Some(now + LOG_INTERVAL);
        } else {
            self.log_at = Some((now + DRAIN_INTERVAL).min((since + QUIET).max(now)));
        }
    }

    fn log_missing(&mut self, message: &str, now: Duration) {
        self.log_in_flight = false;
        self.log_fault = Some(message.to_owned());
        self.log_at = Some(now + if self.container_stopped_since.is_some() { DRAIN_INTERVAL } else { LOG_INTERVAL });
    }

    fn log_failed(&mut self, cause: String, passing: bool, now: Duration, actions: &mut Vec<Action>) {
        self.log_in_flight = false;
        let pause = self.log_backoff.next();
        if self.log_backoff.faults == 1 || self.log_backoff.faults.is_multiple_of(20) {
            let message = format!("cannot read the output: {cause}; trying again");
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        self.log_fault = Some(cause);
        // A token lives for 24 hours. Reading from the start again would print everything twice, so that is left to `attach`.
        self.log_at = Some(now + if passing { pause } else { pause.max(Duration::from_secs(5)) });
    }

    fn stop_failed(&mut self, cause: String, passing: bool, now: Duration, actions: &mut Vec<Action>) {
        let Stop::Wanted { reason, .. } = &self.stop else { return };
        let message = format!("cannot stop the ECS task: {cause}{}", if passing { "; trying again" } else { "" });
        actions.push(Action::Tell(Event::Warning { message, hint: None }));
        self.stop = if passing {
            Stop::Wanted { reason: reason.clone(), at: now + FAST_STATUS, in_flight: false }
        } else {
            Stop::Refused(cause)
        };
    }

    fn signal(&mut self, signal: u8, now: Duration, actions: &mut Vec<Action>) {
        const SIGHUP: u8 = 1;
        let second = matches!(self.ours, Some(OurDoing::Signal(_)));
        let leaves_it = !self.target.launched_here || self.target.on_interrupt == OnInterrupt::Detach;
        if self.stopped_since.is_some() {
            // There is nothing left to stop: only the rest of the output is given up.
            self.ours = Some(OurDoing::Signal(signal));
            self.finish(How::Stopped, actions);
            return;
        }
        if signal == SIGHUP || second || leaves_it {
            self.finish(How::Detached(signal), actions);
            return;
        }
        self.ours = Some(OurDoing::Signal(signal));
        let name = if signal == 2 { "SIGINT" } else { "SIGTERM" };
        let message = format!("{name}: stopping the ECS task; the same signal again leaves it as it is");
        actions.push(Action::Tell(Event::Warning { message, hint: None }));
        self.want_stop(format!("xtask: interrupted by {name}"), now);
    }

    fn want_stop(&mut self, reason: String, now: Duration) {
        if matches!(self.stop, Stop::No | Stop::Refused(_)) {
            self.stop = Stop::Wanted { reason, at: now, in_flight: false };
        }
    }

    /// Timeouts, and the end of the drain.
    fn deadlines(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.finished {
            return;
        }
        if self.stopped_since.is_none() && matches!(self.stop, Stop::No) {
            match (self.running_since, self.target.timeout, self.target.start_timeout) {
                (Some(since), Some(timeout), _) if now >= since + timeout => {
                    self.ours = Some(OurDoing::TimedOut);
                    let message = format!("the timeout of {} has passed: stopping the ECS task", words(timeout));
                    actions.push(Action::Tell(Event::Warning { message, hint: None }));
                    self.want_stop(format!("xtask: timeout of {} passed", words(timeout)), now);
                }
                (None, _, Some(timeout)) if now >= timeout => {
                    self.ours = Some(OurDoing::StartTimedOut);
                    let message = format!("not RUNNING after {}: stopping the ECS task", words(timeout));
                    actions.push(Action::Tell(Event::Warning { message, hint: None }));
                    self.want_stop(format!("xtask: not RUNNING after {}", words(timeout)), now);
                }
                _ => {}
            }
        }
        if let Some(stopped) = self.stopped_since {
            let never_started = self.task.as_ref().is_some_and(|task| {
                task.started_at.is_none()
                    && task.container(&self.target.container).is_none_or(|it| it.exit_code.is_none())
            });
            let given_up = now >= self.give_up_at(stopped);
            if !self.printing && ((never_started && !self.had_page) || self.drained || given_up) {
                self.finish(How::Stopped, actions);
            }
        }
    }

    /// When the log is given up as it is, unless it grows or comes to a clear end before.
    fn give_up_at(&self, stopped: Duration) -> Duration {
        let at = self.grown_at.unwrap_or_default().max(stopped) + DRAIN_LIMIT;
        if self.log_in_flight { at.max(self.log_asked_at + ANSWER_LIMIT) } else { at }
    }

    /// Calls that are due.
    fn due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.finished {
            return;
        }
        if let Stop::Wanted { reason, at, in_flight } = &mut self.stop
            && !*in_flight
            && *at <= now
            && self.stopped_since.is_none()
        {
            *in_flight = true;
            actions.push(Action::Stop(reason.clone()));
        }
        if self.describe_at.is_some_and(|at| at <= now) {
            self.describe_at = None;
            actions.push(Action::Describe);
        }
        if !self.printing && self.log_at.is_some_and(|at| at <= now) {
            self.log_at = None;
            self.log_in_flight = true;
            self.log_asked_at = now;
            actions.push(Action::ReadLog(self.log_token.clone()));
        }
    }

    fn log_end(&self) -> LogEnd {
        let Some(task) = &self.task else { return LogEnd::Open };
        if !task.is_stopped() {
            return LogEnd::Open;
        }
        if self.drained {
            return LogEnd::Complete;
        }
        if task.started_at.is_none() && !self.had_page {
            return LogEnd::NeverStarted;
        }
        let why = match &self.log_fault {
            Some(fault) => format!("the output may be cut: {fault}"),
            None => "the output may be cut: it was not read to its end".to_owned(),
        };
        LogEnd::MayBeCut(why)
    }

    fn finish(&mut self, how: How, actions: &mut Vec<Action>) {
        let stop_failed = match &self.stop {
            Stop::Refused(cause) => Some(cause.clone()),
            Stop::Wanted { .. } if self.stopped_since.is_none() => Some("StopTask was not accepted yet".to_owned()),
            _ => None,
        };
        self.finished = true;
        actions.push(Action::Finish(Box::new(Finish {
            how,
            task: self.task.clone(),
            ours: self.ours,
            log: self.log_end(),
            stop_failed,
        })));
    }
}

/// A duration as a person writes it: `1h30m`, `45s`, `1.5s`.
pub fn words(duration: Duration) -> String {
    if duration < Duration::from_secs(10) && duration.subsec_millis() > 0 {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, seconds) {
        (0, 0, _) => format!("{seconds}s"),
        (0, _, 0) => format!("{minutes}m"),
        (0, _, _) => format!("{minutes}m{seconds}s"),
        (_, 0, 0) => format!("{hours}h"),
        (_, _, 0) => format!("{hours}h{minutes}m"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
