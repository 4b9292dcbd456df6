//! The life of an ECS task: the script of it ([`Life`]), and what has become of it at a point in time ([`timeline`]), which is a
//! pure function of the script, the moment of RunTask and the moment of StopTask. Nothing ticks.
//!
//! Durations are on the fake's clock. A life without further words is Fargate's, in short: 5 s PROVISIONING, 10 s PENDING while the
//! image is pulled, 1 s ACTIVATING, 2 s RUNNING, and 7 s from the container's end to STOPPED; exit code 0 and no output.

use std::sync::Arc;

use super::random::Random;

/// A millisecond count on the fake's clock: a point in time since 1970, or a span.
pub type Millis = i64;

/// What a container does about SIGTERM.
#[derive(Debug, Clone, Copy)]
pub enum OnSigterm {
    /// Exits with this code after a while.
    Exits(i32, Millis),
    /// Goes on until it is killed: 137.
    Ignores,
}

/// A line of output.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it is written, from the container's start: its timestamp.
    pub at: Millis,
    /// When a reader can have it, from the container's start.
    pub seen: Millis,
    pub text: Arc<str>,
}

/// What one container does.
#[derive(Debug, Clone)]
pub struct ContainerLife {
    /// How long it runs; `None`: until it is stopped.
    pub runs: Option<Millis>,
    /// `None`: ECS has no exit code of it.
    pub exit_code: Option<i32>,
    /// For example OutOfMemoryError.
    pub reason: Option<String>,
    pub on_sigterm: OnSigterm,
    pub lines: Arc<Vec<Line>>,
}

impl ContainerLife {
    /// What the containers beside the chosen one do: run until they are stopped, then exit with 0.
    pub fn sidecar() -> ContainerLife {
        ContainerLife {
            runs: None,
            exit_code: Some(0),
            reason: None,
            on_sigterm: OnSigterm::Exits(0, 200),
            lines: Arc::default(),
        }
    }

    /// Runs for so long and exits with this code: an init container, or a sidecar that dies.
    pub fn exits(code: i32, after: Millis) -> ContainerLife {
        ContainerLife { runs: Some(after), exit_code: Some(code), ..ContainerLife::sidecar() }
    }

    /// Its output, spread evenly over the time that it runs, the last line at its end.
    pub fn prints<T: Into<Arc<str>>>(mut self, lines: impl IntoIterator<Item = T>) -> ContainerLife {
        let texts: Vec<Arc<str>> = lines.into_iter().map(Into::into).collect();
        let (count, span) = (texts.len() as i64, self.runs.unwrap_or(1000));
        let lines = texts.into_iter().zip(1..).map(|(text, number)| {
            let at = span * number / count;
            Line { at, seen: at, text }
        });
        self.lines = Arc::new(lines.collect());
        self
    }
}

/// The script of an ECS task's life. See the module for what it is without further words.
#[derive(Debug, Clone)]
pub struct Life {
    pub provisioning: Millis,
    pub pending: Millis,
    pub activating: Millis,
    pub deactivating: Millis,
    pub stopping: Millis,
    pub deprovisioning: Millis,
    /// The container that the other words are about; the first essential one if `None`.
    pub chosen: Option<String>,
    pub main: ContainerLife,
    /// The other containers by name; [`ContainerLife::sidecar`] where there is no word about one.
    pub others: Vec<(String, ContainerLife)>,
    /// It never starts: ECS's reason, and the chosen container's.
    pub fails_to_start: Option<(String, Option<String>)>,
    /// Stopped from outside so long after RUNNING: stop code and reason.
    pub taken: Option<(Millis, String, String)>,
    /// The stream exists so long after the container's start.
    pub stream_after: Millis,
    /// GetLogEvents says ResourceNotFoundException for so many calls.
    pub stream_missing: u32,
    /// The stream never exists.
    pub no_stream: bool,
    /// The agent of ECS Exec runs so long after its container's start.
    pub agent_after: Millis,
    /// It does not run but has stopped, with this reason.
    pub agent_stops: Option<String>,
}

impl Default for Life {
    fn default() -> Life {
        Life {
            provisioning: 5_000,
            pending: 10_000,
            activating: 1_000,
            deactivating: 1_000,
            stopping: 1_000,
            deprovisioning: 5_000,
            chosen: None,
            main: ContainerLife {
                runs: Some(2_000),
                exit_code: Some(0),
                reason: None,
                on_sigterm: OnSigterm::Exits(143, 200),
                lines: Arc::default(),
            },
            others: Vec::new(),
            fails_to_start: None,
            taken: None,
            stream_after: 0,
            stream_missing: 0,
            no_stream: false,
            agent_after: 0,
            agent_stops: None,
        }
    }
}

impl Life {
    /// Runs for 2 s, prints nothing, exits with 0.
    pub fn new() -> Life {
        Life::default()
    }

    /// Prints these lines while it runs, the last right at its end. Say before how long it [runs](Life::runs).
    pub fn prints<T: Into<Arc<str>>>(lines: impl IntoIterator<Item = T>) -> Life {
        Life::new().and_prints(lines)
    }

    /// The same, of a life that something else was said about before.
    pub fn and_prints<T: Into<Arc<str>>>(mut self, lines: impl IntoIterator<Item = T>) -> Life {
        self.main = self.main.prints(lines);
        self
    }

    /// What `seq` prints.
    pub fn counts_to(last: u32) -> Life {
        Life::prints((1..=last).map(|it| it.to_string()))
    }

    /// How long the chosen container runs; the lines are spread over it anew.
    pub fn runs(mut self, span: Millis) -> Life {
        self.main.runs = Some(span);
        let lines = Arc::clone(&self.main.lines);
        if !lines.is_empty() {
            self.main = self.main.prints(lines.iter().map(|it| Arc::clone(&it.text)));
        }
        self
    }

    /// Runs until it is stopped.
    pub fn runs_forever(mut self) -> Life {
        self.main.runs = None;
        self
    }

    pub fn exits(mut self, code: i32) -> Life {
        self.main.exit_code = Some(code);
        self
    }

    /// ECS gives no exit code, and this reason.
    pub fn exits_without_code(mut self, reason: &str) -> Life {
        (self.main.exit_code, self.main.reason) = (None, Some(reason.to_owned()));
        self
    }

    /// Killed for want of memory: 137 and ECS's reason.
    pub fn runs_out_of_memory(mut self) -> Life {
        self.main.exit_code = Some(137);
        self.main.reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        self
    }

    pub fn on_sigterm(mut self, it: OnSigterm) -> Life {
        self.main.on_sigterm = it;
        self
    }

    /// It never starts, with this reason of its container: `CannotPullContainerError: …`, `ResourceInitializationError: …`.
    pub fn never_starts(container_reason: &str) -> Life {
        let mut life = Life::new();
        life.fails_to_start = Some(("Task failed to start".to_owned(), Some(container_reason.to_owned())));
        life
    }

    /// It never starts, with this reason of the ECS task itself: `TaskFailedToStart: RESOURCE:MEMORY` and the like.
    pub fn never_placed(stopped_reason: &str) -> Life {
        let mut life = Life::new();
        life.fails_to_start = Some((stopped_reason.to_owned(), None));
        life
    }

    /// Taken away so long after RUNNING, with this stop code and reason.
    pub fn taken_after(mut self, span: Millis, stop_code: &str, reason: &str) -> Life {
        self.taken = Some((span, stop_code.to_owned(), reason.to_owned()));
        self
    }

    /// Taken away by Spot.
    pub fn loses_spot_after(self, span: Millis) -> Life {
        self.taken_after(span, "SpotInterruption", "Your Spot Task was interrupted.")
    }

    /// How long it stays PENDING.
    pub fn pending(mut self, span: Millis) -> Life {
        self.pending = span;
        self
    }

    /// Every status lasts for several polls, so that each is seen.
    pub fn unhurried(mut self) -> Life {
        (self.provisioning, self.pending, self.activating) = (10_000, 10_000, 10_000);
        (self.deactivating, self.stopping, self.deprovisioning) = (10_000, 10_000, 10_000);
        self.runs(10_000)
    }

    /// Every status is over within a second or two, RUNNING after `span`: for many runs in a row.
    pub fn hurried(mut self, span: Millis) -> Life {
        (self.provisioning, self.pending, self.activating) = (1_500, 1_500, 500);
        (self.deactivating, self.stopping, self.deprovisioning) = (500, 500, 1_000);
        self.runs(span)
    }

    /// From RunTask's answer to RUNNING almost no time passes, and from its end to STOPPED none: over before the first poll.
    pub fn at_once(mut self) -> Life {
        (self.provisioning, self.pending, self.activating) = (1, 1, 1);
        (self.deactivating, self.stopping, self.deprovisioning) = (0, 0, 0);
        self.runs(1)
    }

    /// STOPPED right with the container's end, as on EC2.
    pub fn stops_at_once(mut self) -> Life {
        (self.deactivating, self.stopping, self.deprovisioning) = (0, 0, 0);
        self
    }

    /// From the container's end (or StopTask) to STOPPED.
    pub fn takes_to_stop(mut self, span: Millis) -> Life {
        (self.deactivating, self.stopping, self.deprovisioning) = (span / 4, span / 4, span / 2);
        self
    }

    /// Each line can be read up to `most` after it was written, as the seed says; lines never overtake each other.
    pub fn late(mut self, seed: u64, most: Millis) -> Life {
        let mut random = Random::new(seed);
        let mut lag = 0;
        let mut before = 0;
        let lines = self.main.lines.iter().map(|line| {
            // CloudWatch takes lines in in batches, so the lag jumps now and then and shrinks in between.
            lag = if random.below(50) == 0 { random.below(most as u64 + 1) as Millis } else { lag * 9 / 10 };
            before = before.max(line.at + lag);
            Line { seen: before, ..line.clone() }
        });
        self.main.lines = Arc::new(lines.collect());
        self
    }

    /// The last `count` lines can be read only so long after the container's end.
    pub fn last_lines_late(mut self, count: usize, span: Millis) -> Life {
        let mut lines = self.main.lines.as_ref().clone();
        let end = self.main.runs.unwrap_or(0);
        for line in lines.iter_mut().rev().take(count) {
            line.seen = end + span;
        }
        self.main.lines = Arc::new(lines);
        self
    }

    /// Every line has the timestamp of the container's end.
    pub fn same_millisecond(mut self) -> Life {
        let end = self.main.runs.unwrap_or(0);
        self.main.lines =
            Arc::new(self.main.lines.iter().map(|it| Line { at: end, seen: end, ..it.clone() }).collect());
        self
    }

    /// GetLogEvents says ResourceNotFoundException for so many calls.
    pub fn stream_missing(mut self, calls: u32) -> Life {
        self.stream_missing = calls;
        self
    }

    /// The stream appears only so long after the container's start.
    pub fn stream_after(mut self, span: Millis) -> Life {
        self.stream_after = span;
        self
    }

    /// The stream never appears.
    pub fn no_stream(mut self) -> Life {
        self.no_stream = true;
        self
    }

    /// The agent of ECS Exec runs so long after its container's start.
    pub fn agent_after(mut self, span: Millis) -> Life {
        self.agent_after = span;
        self
    }

    /// The agent of ECS Exec stops with this reason instead of running.
    pub fn agent_stops(mut self, reason: &str) -> Life {
        self.agent_stops = Some(reason.to_owned());
        self
    }

    /// What another container of the definition does.
    pub fn container(mut self, name: &str, life: ContainerLife) -> Life {
        self.others.push((name.to_owned(), life));
        self
    }

    /// The script of the container of that name.
    pub fn of(&self, name: &str, chosen: &str) -> ContainerLife {
        if name == chosen {
            return self.main.clone();
        }
        let other = self.others.iter().find(|(it, _)| it == name).map(|(_, life)| life.clone());
        other.unwrap_or_else(ContainerLife::sidecar)
    }
}

/// What the timeline must know of a container of the task definition.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    pub name: String,
    pub essential: bool,
    /// `stopTimeout`, in milliseconds.
    pub stop_timeout: Millis,
    /// The containers that must have ended before it starts.
    pub after: Vec<String>,
}

/// A stop that was asked for.
#[derive(Debug, Clone)]
pub struct Stop {
    pub at: Millis,
    pub code: String,
    pub reason: String,
}

/// A container's part of a timeline.
#[derive(Debug, Clone)]
pub struct ContainerTimes {
    pub name: String,
    pub started: Option<Millis>,
    /// When it ended (or will end), with exit code and reason.
    pub ended: Option<(Millis, Option<i32>, Option<String>)>,
}

/// When everything happens (or will) in an ECS task's life.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// Status and the moment from which it holds, in order.
    pub statuses: Vec<(&'static str, Millis)>,
    pub containers: Vec<ContainerTimes>,
    pub pull_started: Option<Millis>,
    pub pull_stopped: Option<Millis>,
    pub started: Option<Millis>,
    pub execution_stopped: Option<Millis>,
    /// From here on desired STOPPED, with stop code and reason.
    pub stop: Option<Stop>,
    pub stopped: Option<Millis>,
}

impl Timeline {
    /// The status at a point in time.
    pub fn status(&self, now: Millis) -> &'static str {
        self.statuses.iter().rev().find(|(_, at)| *at <= now).map_or("PROVISIONING", |(status, _)| status)
    }

    /// Whether it is STOPPED.
    pub fn is_stopped(&self, now: Millis) -> bool {
        self.stopped.is_some_and(|at| at <= now)
    }
}

/// The whole timeline of an ECS task created at `created`, `user` being the StopTask that was asked for, if one was.
pub fn timeline(life: &Life, specs: &[ContainerSpec], created: Millis, user: Option<&Stop>) -> Timeline {
    let pull = created + life.provisioning;
    let pulled = pull + life.pending;
    let mut statuses = vec![("PROVISIONING", created), ("PENDING", pull)];
    let chosen = chosen_container(life, specs).unwrap_or_default();
    let never = |at: Millis, stop: Stop, reason: Option<String>, mut statuses: Vec<(&'static str, Millis)>| {
        statuses.retain(|(_, from)| *from < at);
        statuses.push(("DEPROVISIONING", at));
        let stopped = at + life.deprovisioning;
        statuses.push(("STOPPED", stopped));
        let containers = specs.iter().map(|it| {
            let reason = if it.name == chosen { reason.clone() } else { None };
            ContainerTimes { name: it.name.clone(), started: None, ended: Some((at, None, reason)) }
        });
        Timeline {
            statuses,
            containers: containers.collect(),
            pull_started: Some(pull).filter(|it| *it < at),
            pull_stopped: Some(pulled).filter(|it| *it < at),
            started: None,
            execution_stopped: None,
            stop: Some(stop),
            stopped: Some(stopped),
        }
    };
    // Stopped before anything could start.
    if let Some(stop) = user.filter(|it| it.at < pulled + life.activating) {
        return never(stop.at, stop.clone(), None, statuses);
    }
    if let Some((reason, container_reason)) = &life.fails_to_start {
        let stop = Stop { at: pulled, code: "TaskFailedToStart".to_owned(), reason: reason.clone() };
        return never(pulled, stop, container_reason.clone(), statuses);
    }
    statuses.push(("ACTIVATING", pulled));
    // When each container would start and end if nothing stopped it; init containers first, since others start after them.
    let base = pulled + life.activating;
    let mut natural: Vec<(usize, Millis, Option<Millis>)> = Vec::new();
    let mut left: Vec<usize> = (0..specs.len()).collect();
    while !left.is_empty() {
        let ready = left.iter().position(|index| {
            specs[*index].after.iter().all(|name| natural.iter().any(|(it, _, _)| specs[*it].name == *name))
        });
        let index = left.remove(ready.expect("dependsOn has no cycle: registering it was refused"));
        let ends = specs[index].after.iter().filter_map(|name| {
            let (_, _, end) = natural.iter().find(|(it, _, _)| specs[*it].name == *name)?;
            Some(end.unwrap_or(Millis::MAX / 4))
        });
        let start = ends.max().unwrap_or(base);
        let runs = life.of(&specs[index].name, &chosen).runs;
        natural.push((index, start, runs.map(|it| start + it)));
    }
    let running = natural.iter().map(|(_, start, _)| *start).max().unwrap_or(base);
    // What stops it: whatever comes first.
    let essential = natural.iter().filter(|(index, _, _)| specs[*index].essential).filter_map(|(_, _, end)| *end).min();
    let essential = essential.map(|at| Stop {
        at,
        code: "EssentialContainerExited".to_owned(),
        reason: "Essential container in task exited".to_owned(),
    });
    let taken = life.taken.as_ref().map(|(span, code, reason)| Stop {
        at: running + span,
        code: code.clone(),
        reason: reason.clone(),
    });
    let stop = [essential, taken, user.cloned()].into_iter().flatten().min_by_key(|it| it.at);
    let mut containers: Vec<(usize, ContainerTimes)> = Vec::new();
    for (index, start, end) in natural {
        let (spec, script) = (&specs[index], life.of(&specs[index].name, &chosen));
        let natural_end = end.map(|at| (at, script.exit_code, script.reason.clone()));
        let ended = match &stop {
            Some(stop) if start >= stop.at => Some((stop.at, None, None)),
            Some(stop) if end.is_none_or(|at| at > stop.at) => {
                let sigterm = stop.at + if stop.code == "EssentialContainerExited" { 0 } else { life.deactivating };
                let killed = match script.on_sigterm {
                    OnSigterm::Exits(code, after) if after < spec.stop_timeout => (sigterm + after, Some(code), None),
                    _ => (sigterm + spec.stop_timeout, Some(137), None),
                };
                // It may end by itself in its grace.
                natural_end.filter(|(at, _, _)| *at <= killed.0).or(Some(killed))
            }
            _ => natural_end,
        };
        let started = Some(start).filter(|it| stop.as_ref().is_none_or(|stop| *it < stop.at));
        containers.push((index, ContainerTimes { name: spec.name.clone(), started, ended }));
    }
    containers.sort_by_key(|(index, _)| *index);
    let containers: Vec<ContainerTimes> = containers.into_iter().map(|(_, it)| it).collect();
    let started = Some(running).filter(|it| stop.as_ref().is_none_or(|stop| *it <= stop.at));
    statuses.extend(started.map(|at| ("RUNNING", at)));
    let (mut execution_stopped, mut stopped) = (None, None);
    if let Some(stop) = &stop {
        let over = containers.iter().filter_map(|it| it.ended.as_ref().map(|(at, _, _)| *at)).max().unwrap_or(stop.at);
        statuses.push(("DEACTIVATING", stop.at));
        statuses.push(("STOPPING", stop.at + life.deactivating));
        let deprovisioning = over.max(stop.at + life.deactivating + life.stopping);
        statuses.push(("DEPROVISIONING", deprovisioning));
        statuses.push(("STOPPED", deprovisioning + life.deprovisioning));
        execution_stopped = Some(over);
        stopped = Some(deprovisioning + life.deprovisioning);
    }
    Timeline {
        statuses,
        containers,
        pull_started: Some(pull),
        pull_stopped: Some(pulled),
        started,
        execution_stopped,
        stop,
        stopped,
    }
}

/// The name of the container that the script is about.
pub fn chosen_container(life: &Life, specs: &[ContainerSpec]) -> Option<String> {
    let first = specs.iter().find(|it| it.essential).or(specs.first());
    life.chosen.clone().or_else(|| first.map(|it| it.name.clone()))
}
