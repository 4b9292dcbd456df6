//! Single flight on ECS without a lock table: who may start an ECS task in a place is decided by ECS's own idempotency. Facts go in
//! with AWS's time, the next step comes out; no I/O.
//!
//! AWS's clock is cut into windows, shorter than the hour for which ECS keeps a client token and lists a stopped ECS task. Inside a window
//! the tokens are one chain: the first link is the window alone, each further one names the ECS task that the link before it started, and is
//! asked for only after that one was seen STOPPED. ECS starts at most one ECS task for a token, so at most one runs. Between windows
//! the lists decide: nothing is created in the last minutes of a window, so the first list of the next one shows whatever still runs.
//!
//! What remains, and cannot be closed without a table: a list that lags more than [`Rules::quiet`] behind, a second list older than the first,
//! or a request that the network holds for more than [`Rules::attempt`] and over the window's edge. `tests/it/exclusivity` is a
//! model of all the rest, explored to the end.

pub mod once;

use std::time::Duration;

use ring::digest::{SHA256, digest};

use crate::model::{EcsTask, Timestamp};
pub use crate::plan::{EXCLUSIVE, PLACE as PLACE_VARIABLE};

/// How long to wait between two conflicts that name no ECS task, before they are believed.
pub const EMPTY_CONFLICT_PAUSE: Duration = Duration::from_secs(10);

/// A desired status that ListTasks is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// What runs or will.
    Running,
    /// What has stopped, or has been asked to and is in the grace of its SIGTERM.
    Stopped,
}

/// The lengths that the proof needs, in milliseconds, and the order of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A window. Shorter than the hour for which ECS keeps a token and lists a stopped ECS task.
    pub window: i64,
    /// The last part of a window, in which nothing may be created: the longest that ListTasks lags behind.
    pub quiet: i64,
    /// From the sending of RunTask to the last moment at which it can take effect.
    pub attempt: i64,
    /// One after the other: whoever goes from RUNNING to STOPPED in between is in both, and the other way round it would be in none.
    pub lists: [Desired; 2],
}

/// What production goes by.
pub const RULES: Rules =
    Rules { window: 40 * 60_000, quiet: 2 * 60_000, attempt: 30_000, lists: [Desired::Running, Desired::Stopped] };

impl Rules {
    /// The window that a time is in.
    pub fn window_of(&self, at: Timestamp) -> i64 {
        at.0.div_euclid(self.window)
    }

    fn start(&self, window: i64) -> i64 {
        window * self.window
    }

    /// Whether what RunTask is sent for now is created, if at all, before the quiet part of this window.
    fn may_send(&self, window: i64, now: Moment) -> bool {
        now.latest.0 + self.attempt <= self.start(window + 1) - self.quiet
    }

    fn may_be_created(&self, window: i64, at: Timestamp) -> bool {
        (self.start(window)..=self.start(window + 1) - self.quiet).contains(&at.0)
    }
}

/// Now, by AWS's clock, as narrow as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// It is not earlier than this.
    pub earliest: Timestamp,
    /// It is not later than this.
    pub latest: Timestamp,
}

/// What at most one ECS task at a time may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The cluster's ARN: every caller writes it the same, whatever tasks.toml calls the cluster.
    pub cluster: String,
    /// The family.
    pub family: String,
    /// What of the family excludes each other: [`EXCLUSIVE`], or the identity of what `--once` runs once.
    pub name: String,
}

impl Place {
    /// The value of [`PLACE_VARIABLE`] for an attempt.
    pub fn variable(&self, attempt: u32) -> String {
        format!("{}/{attempt}", self.name)
    }

    fn is_held_by(&self, variable: &str) -> bool {
        variable.rsplit_once('/').is_some_and(|(name, _)| name == self.name)
    }
}

/// A link of the chain of tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The window that the chain belongs to.
    pub window: i64,
    /// The ARN of the ECS task that the link before it started. `None`: the first link of the window.
    pub last: Option<String>,
    /// How many tokens of this link ECS has used up without starting anything.
    pub n: u32,
}

/// The client token of a link: the same for every caller, and for nothing else.
pub fn token(place: &Place, link: &Link) -> String {
    let (window, n) = (link.window.to_string(), link.n.to_string());
    let last = link.last.as_deref().unwrap_or_default();
    let mut text = String::from("xtask exclusive 1");
    for part in [place.cluster.as_str(), &place.family, &place.name, &window, last, &n] {
        // A zero byte stands in none of them, so no two lists of parts make the same text.
        text.push('\0');
        text.push_str(part);
    }
    // 64 characters: as many as ECS takes.
    digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// How far an ECS task is, as far as exclusion goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It was listed (or named by a conflict), and DescribeTasks does not know it (yet): it counts as alive.
    Missing,
    /// Anything before STOPPED, the grace of a SIGTERM included.
    Alive,
    /// STOPPED.
    Stopped,
}

/// An ECS task of the place's family, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its ARN.
    pub arn: String,
    /// How far it is.
    pub status: Status,
    /// When ECS created it.
    pub created_at: Option<Timestamp>,
    /// Who started it, as `startedBy` has it. Absent in the answer to a repeated call for one that has stopped.
    pub started_by: Option<String>,
    /// Whether a link of this place's chain started it.
    pub in_chain: bool,
    /// Whether it makes another run needless: for `--once`, the same has succeeded.
    pub suffices: bool,
}

impl Seen {
    /// `task`: what DescribeTasks (or RunTask) said of it; `None`: MISSING.
    pub fn new(arn: &str, task: Option<&EcsTask>, place: &Place, suffices: bool) -> Seen {
        let variable = task.and_then(|it| it.variable(PLACE_VARIABLE));
        Seen {
            arn: arn.to_owned(),
            status: match task {
                None => Status::Missing,
                Some(task) if task.is_stopped() => Status::Stopped,
                Some(_) => Status::Alive,
            },
            created_at: task.and_then(|it| it.created_at),
            started_by: task.and_then(|it| it.started_by.clone()),
            in_chain: variable.is_some_and(|it| place.is_held_by(it)),
            suffices,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// List in the order of [`Rules::lists`], describe what was listed, and say [`Claim::looked`].
    Look,
    /// Wait until this time of AWS's clock, the start of the next window; then look.
    Wait(Timestamp),
    /// Call RunTask with this token, and with [`Place::variable`] for the claim's attempt among the variables; then say
    /// [`Claim::started`], [`Claim::conflict`], [`Claim::failures`] or [`Claim::unanswered`]. After any other refusal, [`Claim::again`].
    Run(String),
    /// Wait for [`EMPTY_CONFLICT_PAUSE`]; then say [`Claim::again`].
    Pause,
    /// Describe these, and say [`Claim::described`].
    Describe(Vec<String>),
    /// Somebody else's ECS tasks hold the place.
    Held(Vec<String>),
    /// This ECS task is ours.
    Won(String),
    /// This one is ours, and it was created when nothing may be: it is to be stopped at once.
    Misplaced(String),
    /// Nothing needs to run: this one did, and succeeded.
    Suffices(String),
}

/// One run's way to the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The place.
    pub place: Place,
    /// Our `startedBy`.
    pub started_by: String,
    /// The lengths.
    pub rules: Rules,
    /// The link to ask for; `None` before the first look.
    pub link: Option<Link>,
    /// Which attempt of this run: another one after a definite no, because ECS repeats its answer to the same parameters.
    pub attempt: u32,
    /// Whether a RunTask of ours may have started an ECS task that we do not know.
    pub is_unanswered: bool,
    /// Whether the last answer was a conflict that named nobody.
    pub was_empty: bool,
    /// What a run of the same id had started before: a run id may be used again, and a run may have attempts.
    pub before: Vec<String>,
}

impl Claim {
    /// Before the first look.
    pub fn new(place: Place, started_by: String, rules: Rules) -> Claim {
        Claim {
            place,
            started_by,
            rules,
            link: None,
            attempt: 1,
            is_unanswered: false,
            was_empty: false,
            before: Vec::new(),
        }
    }

    /// What the lists and DescribeTasks showed of the family. `at`: when the first list was asked for; `now` may be much later.
    pub fn looked(&mut self, at: Moment, seen: &[Seen], now: Moment) -> Step {
        let is_new = |it: &&Seen| self.is_ours(it) && !self.before.contains(&it.arn);
        if let Some(ours) = seen.iter().filter(|_| self.is_unanswered).find(is_new) {
            return self.won(ours);
        }
        if !self.is_unanswered {
            let new: Vec<String> = seen.iter().filter(is_new).map(|it| it.arn.clone()).collect();
            self.before.extend(new);
        }
        let held: Vec<String> =
            seen.iter().filter(|it| it.status != Status::Stopped).map(|it| it.arn.clone()).collect();
        if !held.is_empty() {
            return Step::Held(held);
        }
        if let Some(it) = seen.iter().find(|it| it.suffices) {
            return Step::Suffices(it.arn.clone());
        }
        let window = self.rules.window_of(at.earliest);
        let of_window = |it: &&Seen| it.in_chain && it.created_at.is_some_and(|at| self.rules.window_of(at) == window);
        let last = seen.iter().filter(of_window).max_by_key(|it| it.created_at).map(|it| it.arn.clone());
        self.ask_for(Link { window, last, n: 0 });
        self.again(now)
    }

    /// The next step for the present link.
    pub fn again(&self, now: Moment) -> Step {
        let Some(link) = &self.link else { return Step::Look };
        let next = Timestamp(self.rules.start(link.window + 1));
        if self.rules.may_send(link.window, now) {
            Step::Run(token(&self.place, link))
        } else if now.earliest >= next {
            Step::Look
        } else {
            Step::Wait(next)
        }
    }

    /// RunTask answered with an ECS task.
    pub fn started(&mut self, seen: &Seen, now: Moment) -> Step {
        // Of an ECS task that has stopped, the answer to a repeated call says nothing but that.
        if seen.started_by.is_none() {
            return Step::Describe(vec![seen.arn.clone()]);
        }
        self.described(std::slice::from_ref(seen), now)
    }

    /// RunTask answered that the token is in use for something else, and for which ECS tasks.
    pub fn conflict(&mut self, arns: Vec<String>, now: Moment) -> Step {
        if !arns.is_empty() {
            self.was_empty = false;
            return Step::Describe(arns);
        }
        if !self.was_empty {
            // It may be that somebody's call is under way, and its ECS task not known yet.
            self.was_empty = true;
            return Step::Pause;
        }
        if let Some(link) = self.link.clone() {
            self.ask_for(Link { n: link.n + 1, ..link });
        }
        self.again(now)
    }

    /// What DescribeTasks says of those that hold our token.
    pub fn described(&mut self, seen: &[Seen], now: Moment) -> Step {
        // One that had stopped before we ever asked is an earlier run's, even if that had our run id.
        let ours = |it: &&Seen| self.is_ours(it) && (self.is_unanswered || it.status != Status::Stopped);
        if let Some(ours) = seen.iter().find(ours) {
            return self.won(ours);
        }
        let held: Vec<String> =
            seen.iter().filter(|it| it.status != Status::Stopped).map(|it| it.arn.clone()).collect();
        if !held.is_empty() {
            return Step::Held(held);
        }
        if let Some(it) = seen.iter().find(|it| it.suffices) {
            return Step::Suffices(it.arn.clone());
        }
        let last = seen.iter().max_by_key(|it| it.created_at).map(|it| it.arn.clone());
        if let (Some(link), Some(last)) = (self.link.clone(), last) {
            self.ask_for(Link { last: Some(last), n: 0, ..link });
        }
        self.again(now)
    }

    /// RunTask answered with `failures[]`: nothing was started, and the same call would be told the same.
    pub fn failures(&mut self) {
        self.attempt += 1;
        (self.is_unanswered, self.was_empty) = (false, false);
    }

    /// RunTask may have had its effect.
    pub fn unanswered(&mut self) {
        self.is_unanswered = true;
    }

    /// The token of the link before is somebody else's, or used up: whatever of ours is still under way with it starts nothing.
    fn ask_for(&mut self, link: Link) {
        self.link = Some(link);
        (self.is_unanswered, self.was_empty) = (false, false);
    }

    fn is_ours(&self, seen: &Seen) -> bool {
        seen.started_by.as_deref() == Some(&self.started_by)
    }

    fn won(&self, seen: &Seen) -> Step {
        let window = self.link.as_ref().map(|it| it.window);
        match (seen.created_at, window) {
            (Some(at), Some(window)) if !self.rules.may_be_created(window, at) => Step::Misplaced(seen.arn.clone()),
            _ => Step::Won(seen.arn.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
