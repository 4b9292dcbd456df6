//! Following one ECS task, as a state machine without I/O: facts go in with the time, actions come out. It decides when to ask ECS
//! and CloudWatch Logs, what a signal does, when a timeout is due, and when the log has been read to its end.
//!
//! Time is the time since the start of following; the driver in `stage/follow.rs` owns the clock.

mod conclude;
mod faults;
mod log;

use std::time::Duration;

use crate::event::Event;
pub use crate::model::LogEnd;
use crate::model::{EcsTask, LogEvent, OnInterrupt, Timestamp};
use crate::verdict::OurDoing;
pub use conclude::conclude;
use faults::Faults;
pub use faults::Trouble;

/// How long ECS may not know an ECS task that it has just accepted: its answers are eventually consistent.
const MISSING_TOLERANCE: Duration = Duration::from_secs(120);
/// Status is asked for every second for this long, since most that goes wrong does so early.
const EARLY: Duration = Duration::from_secs(60);
const FAST_STATUS: Duration = Duration::from_secs(1);
const SLOW_STATUS: Duration = Duration::from_secs(3);
/// CloudWatch Logs allows 10 to 25 reads a second in an account.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// A log that has been silent for a while is read more rarely, the longer the rarer, down to this.
const SILENT_LOG_INTERVAL: Duration = Duration::from_secs(3);
/// The pause between two reads is so small a part of the silence before: 1 s up to 20 s of it, 3 s after a minute.
const SILENCE: u32 = 20;
/// Between the reads of the last seconds: one more read costs less than a missing line.
const DRAIN_INTERVAL: Duration = Duration::from_millis(500);
/// An empty page with a new token is not the end; this keeps a row of them from being a busy loop.
const EMPTY_PAGE_PAUSE: Duration = Duration::from_millis(50);
/// The log counts as complete when its end has not moved for this long after the container stopped.
const QUIET: Duration = Duration::from_secs(3);
/// What came late once may come late again: a log that grew so long after the stop has to be quiet for as long, up to this.
const LONGEST_QUIET: Duration = Duration::from_secs(12);
/// Nothing new for this long after STOPPED, and no clear end either: the log is given up as it is.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// The same where the log could not be read because of faults that pass: they get longer to do so.
const FAULTY_DRAIN_LIMIT: Duration = Duration::from_secs(5 * 60);
/// How long AWS may refuse a call before it is taken at its word: permissions take a moment to reach everywhere, and so does an ECS
/// task that RunTask has just accepted.
const REFUSALS: Duration = Duration::from_secs(90);
/// How long credentials may be expired where nobody is there to renew them.
const EXPIRED: Duration = Duration::from_secs(15 * 60);
/// Reads of the log are at most so many times rarer than usual when CloudWatch Logs throttles: its limit is one for the whole account.
const MOST_PACE: u32 = 8;
/// So many reads in a row without throttling make them more frequent again.
const CALM_READS: u32 = 30;
/// An answer that is under way then may hold the missing lines: one attempt without an answer and a second one are waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);

/// What to follow.
#[derive(Debug, Clone)]
pub struct Target {
    /// The ECS task's ARN.
    pub arn: String,
    /// The chosen container.
    pub container: String,
    /// From RUNNING on.
    pub timeout: Option<Duration>,
    /// From the launch to RUNNING, as ECS tells it: without its answer nothing is stopped.
    pub start_timeout: Option<Duration>,
    /// What the first signal does.
    pub on_interrupt: OnInterrupt,
    /// Whether this process launched it; what it did not start it never stops.
    pub launched_here: bool,
    /// Whether somebody is there who can renew expired credentials: then they are waited for without an end.
    pub attended: bool,
    /// Whether it is one of many that one process follows. Then its reads wait in a queue, none of them is wasted, and what is said
    /// of all is not said of each.
    pub of_many: bool,
}

/// Something that was learnt.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "`cause` is for people")]
pub enum Fact {
    /// DescribeTasks knows the ECS task.
    Described(Box<EcsTask>),
    /// DescribeTasks answers that it does not, with this reason.
    Missing(String),
    /// DescribeTasks failed.
    DescribeFailed { cause: String, trouble: Trouble },
    /// A page of the log.
    Page { events: Vec<LogEvent>, next_token: Option<String> },
    /// Group or stream do not exist (yet).
    LogMissing(String),
    /// The lines of the last [`Action::Print`] are taken: the next ones may come.
    Printed,
    /// The read of the last [`Action::ReadLog`] has waited for its turn, and is sent now.
    LogSent,
    /// It was throttled, which says nothing of this log: it waits for its turn once more.
    LogPutBack,
    /// Reading the log failed.
    LogFailed { cause: String, trouble: Trouble },
    /// CloudWatch Logs no longer takes the token: one lives for 24 hours.
    LogTokenExpired(String),
    /// StopTask was accepted.
    StopAccepted,
    /// StopTask failed.
    StopFailed { cause: String, trouble: Trouble },
    /// This process got a signal, by number: 1, 2, 3 or 15.
    Signal(u8),
    /// Another of many has failed, and this one is not wanted any more.
    OtherFailed,
    /// Time passed.
    Tick,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Action {
    /// Call DescribeTasks.
    Describe,
    /// Call GetLogEvents with this token, for events from this time on.
    ReadLog { token: Option<String>, from: Option<Timestamp> },
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
    /// A StopTask that was accepted. Where the end is another one than STOPPED, that was not waited for.
    pub stop_accepted: bool,
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
    describe_faults: Faults,
    missing_since: Option<Duration>,
    /// When ECS last answered, if only that it does not know the ECS task.
    answered_at: Option<Duration>,
    /// Why ECS cannot say how it ends; the rest of its output is still read.
    lost: Option<(Duration, String)>,
    running_since: Option<Duration>,
    container_stopped_since: Option<Duration>,
    stopped_since: Option<Duration>,
    log_token: Option<String>,
    log_at: Option<Duration>,
    log_in_flight: bool,
    /// Of one of many: since when the read that counts as in flight waits for its turn.
    log_queued: Option<Duration>,
    /// How long reads have waited for their turns since the end of the output was last put off.
    log_waited: Duration,
    /// A read that was put off, because the one before it seemed to have reached the end.
    put_off: bool,
    /// It had not. Until the end is seen nothing is put off.
    hasty: bool,
    /// When the read that is in flight was started: its answer knows nothing newer, however long it takes.
    log_asked_at: Duration,
    /// When it was first asked for.
    log_first_asked_at: Option<Duration>,
    /// Whether lines wait for a slow reader of stdout. Meanwhile the log is neither read nor given up.
    printing: bool,
    log_faults: Faults,
    /// Reads are so many times rarer than usual.
    pace: u32,
    calm_reads: u32,
    /// After an expired token: the time to read from.
    log_from: Option<Timestamp>,
    /// The newest time of a printed event, and how many printed events have it.
    printed_to: Option<(Timestamp, usize)>,
    /// So many events of that time are printed already and come again.
    skip: Option<(Timestamp, usize)>,
    /// Since when the log's end has not moved; reset by every event, by every new token and by the container's stop.
    quiet_since: Option<Duration>,
    /// How long after the container's stop the output last grew beyond an end that had been seen.
    late_by: Duration,
    /// Whether a read has found the end unmoved for long enough after the container's stop: see [`Follow::quiet`].
    drained: bool,
    /// Whether there was a page of any kind.
    had_page: bool,
    /// When the output last grew, or was last taken by a slow reader.
    grown_at: Option<Duration>,
    /// When the log could last be read again after faults.
    read_again_at: Option<Duration>,
    log_fault: Option<String>,
    stop: Stop,
    stop_faults: Faults,
    /// The last of them.
    stop_fault: Option<String>,
    /// Nothing but the stop is wanted: no output is read.
    only_stop: bool,
    ours: Option<OurDoing>,
    seed: u32,
    finished: bool,
}

impl Follow {
    /// Starts following at time zero.
    pub fn new(target: Target) -> Follow {
        let hash = |hash: u32, byte: u8| hash.wrapping_mul(31).wrapping_add(u32::from(byte));
        // Those of one process share their calls: they come back together after a fault.
        let seed = if target.of_many { 7 } else { target.arn.bytes().fold(7, hash) };
        Follow {
            seed,
            target,
            task: None,
            shown_status: None,
            describe_at: Some(Duration::ZERO),
            describe_faults: Faults::default(),
            missing_since: None,
            answered_at: None,
            lost: None,
            running_since: None,
            container_stopped_since: None,
            late_by: Duration::ZERO,
            stopped_since: None,
            log_token: None,
            log_at: None,
            log_in_flight: false,
            log_queued: None,
            log_waited: Duration::ZERO,
            put_off: false,
            hasty: false,
            log_asked_at: Duration::ZERO,
            log_first_asked_at: None,
            printing: false,
            log_faults: Faults::default(),
            pace: 1,
            calm_reads: 0,
            log_from: None,
            printed_to: None,
            skip: None,
            quiet_since: None,
            drained: false,
            had_page: false,
            grown_at: None,
            read_again_at: None,
            log_fault: None,
            stop: Stop::No,
            stop_faults: Faults::default(),
            stop_fault: None,
            only_stop: false,
            ours: None,
            finished: false,
        }
    }

    /// Stops an ECS task that somebody else may be following, and waits for its end. Its output is not read; a refused StopTask ends it.
    pub fn stopping(target: Target, reason: String) -> Follow {
        let stop = Stop::Wanted { reason, at: Duration::ZERO, in_flight: false };
        Follow { stop, only_stop: true, ..Follow::new(target) }
    }

    /// Takes the next DescribeTasks if it is due within this time: a call that others make anyway asks for this one, too.
    pub fn take_describe(&mut self, now: Duration, within: Duration) -> bool {
        let is_soon = self.describe_at.is_some_and(|it| it <= now + within);
        if is_soon {
            self.describe_at = None;
        }
        is_soon
    }

    /// Whether its container has stopped and the end of what it wrote is still to be read.
    pub fn is_draining(&self) -> bool {
        self.container_stopped_since.is_some() && !self.drained
    }

    /// Whether ECS says that it is over, or will never say. Its output may still be read.
    pub fn is_over(&self) -> bool {
        self.over_since().is_some()
    }

    /// Why this process asked for its stop, if it did.
    pub fn ours(&self) -> Option<OurDoing> {
        self.ours
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
            Fact::DescribeFailed { cause, trouble } => self.describe_failed(&cause, trouble, now, &mut actions),
            Fact::Page { events, next_token } => self.page(events, next_token, now, &mut actions),
            Fact::Printed => {
                self.printing = false;
                self.grown(now);
            }
            Fact::LogSent => self.log_sent(now),
            Fact::LogPutBack => self.log_queued = Some(now),
            Fact::LogMissing(message) => self.log_missing(&message, now),
            Fact::LogFailed { cause, trouble } => self.log_failed(cause, trouble, now, &mut actions),
            Fact::LogTokenExpired(cause) => self.token_expired(cause, now, &mut actions),
            Fact::StopAccepted => {
                self.stop = Stop::Accepted;
                self.stop_faults = Faults::default();
                self.describe_at = self.describe_at.map(|at| at.min(now + FAST_STATUS));
            }
            Fact::StopFailed { cause, trouble } => self.stop_failed(&cause, trouble, now, &mut actions),
            Fact::Signal(signal) => self.signal(signal, now, &mut actions),
            Fact::OtherFailed => self.other_failed(now),
            Fact::Tick => {}
        }
        self.deadlines(now, &mut actions);
        self.due(now, &mut actions);
        actions
    }

    /// When to call [`Follow::on`] with [`Fact::Tick`] if nothing else happens.
    pub fn wake_at(&self) -> Duration {
        let mut times = vec![self.describe_at, self.log_at.filter(|_| !self.printing)];
        if let Stop::Wanted { at, in_flight: false, .. } = self.stop
            && self.over_since().is_none()
        {
            times.push(Some(at));
        }
        if self.over_since().is_none() && matches!(self.stop, Stop::No) {
            // The start timeout needs no waking: only an answer of ECS makes it due.
            times.push(self.running_since.and_then(|since| self.target.timeout.map(|it| since + it)));
        }
        times.extend(self.given_up_at().map(Some));
        times.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// Since when it is over as far as ECS says: what is left is to read the rest of the output.
    fn over_since(&self) -> Option<Duration> {
        self.stopped_since.or(self.lost.as_ref().map(|it| it.0))
    }

    /// When the rest of the output is given up, unless it grows or comes to a clear end before.
    fn given_up_at(&self) -> Option<Duration> {
        let over = self.over_since().filter(|_| !self.printing && self.log_queued.is_none())?;
        let faulty = self.log_faults.last.is_some_and(|it| it != Trouble::Refused);
        let limit = if faulty { FAULTY_DRAIN_LIMIT } else { DRAIN_LIMIT };
        let at = self.grown_at.max(self.read_again_at).unwrap_or_default().max(over) + self.log_waited + limit;
        Some(if self.log_in_flight { at.max(self.log_asked_at + ANSWER_LIMIT) } else { at })
    }

    /// A read that is due goes first: this process may not have run for a while, and then the time that passed says nothing of the log.
    fn gives_up(&self, now: Duration) -> bool {
        let due = !self.log_in_flight && self.log_at.is_some_and(|at| at <= now);
        !due && self.given_up_at().is_some_and(|at| now >= at)
    }

    fn described(&mut self, task: EcsTask, now: Duration, actions: &mut Vec<Action>) {
        if let Some(since) = self.describe_faults.end() {
            let message = format!("ECS tells the ECS task's status again, after {}", words(now.saturating_sub(since)));
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        self.missing_since = None;
        self.answered_at = Some(now);
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
        if self.log_at.is_none() && !self.log_in_flight && may_write && !self.only_stop {
            self.log_at = Some(now);
        }
        self.started_after_all(&task, actions);
        self.task = Some(task);
    }

    /// A stop for the start timeout that ECS does not have yet is withdrawn when the ECS task runs.
    fn started_after_all(&mut self, task: &EcsTask, actions: &mut Vec<Action>) {
        // An attempt without an answer may have reached ECS all the same.
        let stopping = task.desired_status.as_deref() == Some("STOPPED");
        let wanted = matches!(self.stop, Stop::Wanted { in_flight: false, .. });
        if self.running_since.is_none() || self.ours != Some(OurDoing::StartTimedOut) || !wanted || stopping {
            return;
        }
        self.stop = Stop::No;
        self.stop_faults = Faults::default();
        self.ours = None;
        if !task.is_stopped() {
            let message = "it is RUNNING after all: the ECS task is not stopped".to_owned();
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
    }

    fn missing(&mut self, reason: &str, now: Duration, actions: &mut Vec<Action>) {
        // ECS answers, though it knows nothing.
        self.describe_faults.end();
        self.answered_at = Some(now);
        let since = *self.missing_since.get_or_insert(now);
        if now.saturating_sub(since) < MISSING_TOLERANCE {
            self.describe_at = Some(now + FAST_STATUS);
            return;
        }
        self.lose(format!("ECS does not know the ECS task (any more): {reason}"), now, actions);
    }

    fn describe_failed(&mut self, cause: &str, trouble: Trouble, now: Duration, actions: &mut Vec<Action>) {
        // Nothing that happens to the network or to AWS ends the following; only what stays refused does.
        let pause = self.describe_faults.next(trouble, self.seed, now);
        let lasts = now.saturating_sub(self.describe_faults.since);
        let patience = match trouble {
            Trouble::Passing | Trouble::Throttled => Duration::MAX,
            Trouble::Credentials if self.target.attended => Duration::MAX,
            Trouble::Credentials => EXPIRED,
            Trouble::Refused => REFUSALS,
        };
        if lasts >= patience {
            self.lose(format!("ECS does not tell the ECS task's status: {cause}"), now, actions);
            return;
        }
        if self.describe_faults.n > 1 && self.log_at.is_none() && !self.log_in_flight && !self.only_stop {
            // It may have begun to write meanwhile, and what it wrote can be read without its status.
            self.log_at = Some(now);
        }
        if self.describe_faults.is_worth_a_word() {
            let lasts = if lasts > FAST_STATUS { format!(" for {} now", words(lasts)) } else { String::new() };
            let message = format!("cannot ask for the ECS task's status{lasts}: {cause}; trying again");
            let hint = match trouble {
                Trouble::Credentials => {
                    Some("renew the credentials: the ECS task is followed on with new ones".to_owned())
                }
                _ => None,
            };
            actions.push(Action::Tell(Event::Warning { message, hint }));
        }
        self.describe_at = Some(now + pause);
    }

    /// ECS will not say how it ends. What there is of the output is read all the same.
    fn lose(&mut self, why: String, now: Duration, actions: &mut Vec<Action>) {
        self.describe_at = None;
        if self.lost.is_some() {
            return;
        }
        self.lost = Some((now, why.clone()));
        if self.only_stop {
            self.finish(How::Lost(why), actions);
            return;
        }
        if self.container_stopped_since.is_none() {
            self.container_stopped_since = Some(now);
            self.quiet_since = None;
        }
        if !self.log_in_flight {
            self.log_at = Some(self.log_at.map_or(now, |at| at.min(now)));
        }
    }

    fn stop_failed(&mut self, cause: &str, trouble: Trouble, now: Duration, actions: &mut Vec<Action>) {
        let Stop::Wanted { reason, .. } = &self.stop else { return };
        let pause = self.stop_faults.next(trouble, self.seed, now);
        let lasts = now.saturating_sub(self.stop_faults.since);
        let again = match trouble {
            Trouble::Passing | Trouble::Throttled => true,
            Trouble::Credentials => self.target.attended || lasts < EXPIRED,
            // What somebody stops by hand has been there for a while, and they wait for the answer.
            Trouble::Refused => !self.only_stop && lasts < REFUSALS,
        };
        self.stop_fault = Some(cause.to_owned());
        if self.stop_faults.is_worth_a_word() || !again {
            let message = format!("cannot stop the ECS task: {cause}{}", if again { "; trying again" } else { "" });
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        if again {
            self.stop = Stop::Wanted { reason: reason.clone(), at: now + pause, in_flight: false };
            return;
        }
        self.stop = Stop::Refused(cause.to_owned());
        self.stop_faults = Faults::default();
        if self.only_stop {
            self.finish(How::Lost(format!("the ECS task was not stopped: {cause}")), actions);
        }
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
        let name = match signal {
            2 => "SIGINT",
            3 => "SIGQUIT",
            _ => "SIGTERM",
        };
        if !self.target.of_many {
            let message = format!("{name}: stopping the ECS task; the same signal again does not wait for its end");
            actions.push(Action::Tell(Event::Warning { message, hint: None }));
        }
        self.want_stop(OurDoing::Signal(signal).reason(name), now);
    }

    /// What this process did not start it does not stop; what is being stopped already keeps its reason.
    fn other_failed(&mut self, now: Duration) {
        if self.target.launched_here && self.over_since().is_none() && matches!(self.stop, Stop::No) {
            self.ours = Some(OurDoing::OtherFailed);
            self.want_stop(OurDoing::OtherFailed.reason(""), now);
        }
    }

    /// The read leaves now: what it will not have seen is what comes from now on, and the time before says nothing of the log.
    fn log_sent(&mut self, now: Duration) {
        if let Some(since) = self.log_queued.take() {
            let from = since.max(self.over_since().unwrap_or(now)).max(self.grown_at.unwrap_or_default());
            self.log_waited += now.saturating_sub(from);
            self.log_asked_at = now;
        }
    }

    fn grown(&mut self, now: Duration) {
        self.grown_at = Some(now);
        self.log_waited = Duration::ZERO;
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
        if self.over_since().is_none() && matches!(self.stop, Stop::No) {
            match (self.running_since, self.target.timeout, self.target.start_timeout) {
                (Some(since), Some(timeout), _) if now >= since + timeout => {
                    self.ours = Some(OurDoing::TimedOut);
                    let message = format!("the timeout of {} has passed: stopping the ECS task", words(timeout));
                    actions.push(Action::Tell(Event::Warning { message, hint: None }));
                    self.want_stop(OurDoing::TimedOut.reason(&words(timeout)), now);
                }
                // While ECS cannot be asked it may have started: only an answer from after the timeout says that it has not.
                (None, _, Some(timeout)) if self.answered_at.is_some_and(|at| at >= timeout) => {
                    self.ours = Some(OurDoing::StartTimedOut);
                    let message = format!("not RUNNING after {}: stopping the ECS task", words(timeout));
                    actions.push(Action::Tell(Event::Warning { message, hint: None }));
                    self.want_stop(OurDoing::StartTimedOut.reason(&words(timeout)), now);
                }
                _ => {}
            }
        }
        if self.stopped_since.is_some() {
            let never_started = self.task.as_ref().is_some_and(|task| {
                task.started_at.is_none()
                    && task.container(&self.target.container).is_none_or(|it| it.exit_code.is_none())
            });
            let given_up = self.gives_up(now);
            if self.only_stop || (!self.printing && ((never_started && !self.had_page) || self.drained || given_up)) {
                self.finish(How::Stopped, actions);
            }
        } else if let Some((_, why)) = &self.lost
            && !self.printing
            && (self.drained || self.gives_up(now))
        {
            let why = why.clone();
            self.finish(How::Lost(why), actions);
        }
    }

    /// How long the end of the log must not move to be taken for the end.
    fn quiet(&self) -> Duration {
        self.late_by.clamp(QUIET, LONGEST_QUIET)
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
            && self.lost.is_none()
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
            self.log_queued = self.target.of_many.then_some(now);
            self.log_first_asked_at.get_or_insert(now);
            actions.push(Action::ReadLog { token: self.log_token.clone(), from: self.log_from });
        }
    }

    fn log_end(&self) -> LogEnd {
        if self.lost.is_some() {
            let why = self.log_fault.as_deref().unwrap_or("ECS does not say whether there is more to come");
            return LogEnd::MayBeCut(format!("the output may be cut: {why}"));
        }
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
            _ if self.stopped_since.is_some() => None,
            Stop::Refused(cause) => Some(cause.clone()),
            Stop::Wanted { .. } => Some(self.stop_fault.clone().unwrap_or_else(|| "there is no answer yet".to_owned())),
            Stop::No | Stop::Accepted => None,
        };
        self.finished = true;
        actions.push(Action::Finish(Box::new(Finish {
            how,
            task: self.task.clone(),
            ours: self.ours,
            log: self.log_end(),
            stop_failed,
            stop_accepted: self.stop == Stop::Accepted,
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
