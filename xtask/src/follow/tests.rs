//! A little world around the state machine: ECS and CloudWatch Logs answer from a script, on a clock that only moves forward.

use super::*;
use crate::model::{EcsContainer, Timestamp};

mod fuzz;
mod many;

const TIMEOUT: Duration = Duration::from_secs(600);

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn target() -> Target {
    Target {
        arn: "arn:aws:ecs:eu-west-1:111122223333:task/staging/0123".to_owned(),
        container: "app".to_owned(),
        timeout: Some(TIMEOUT),
        start_timeout: Some(Duration::from_secs(300)),
        on_interrupt: OnInterrupt::Stop,
        launched_here: true,
        attended: false,
        of_many: false,
    }
}

/// What happens to the ECS task and its log, in seconds.
#[derive(Debug, Clone)]
struct World {
    running: f64,
    /// The container's end; the ECS task is STOPPED `grace` later.
    ends: f64,
    grace: f64,
    /// When each line can be read.
    lines: Vec<f64>,
    /// The stream exists from here on.
    stream: f64,
    /// Lines a page.
    page: usize,
    /// Every n-th read gives an empty page with a new token although there are lines behind it.
    empty_every: usize,
    /// Pages that take so long to be taken by stdout.
    slow_output: f64,
    /// How long an answer takes.
    latency: f64,
    /// StopTask answers this often with a fault first.
    stop_faults: usize,
    signals: Vec<(f64, u8)>,
}

impl Default for World {
    fn default() -> World {
        World {
            running: 5.0,
            ends: 20.0,
            grace: 5.0,
            lines: vec![6.0, 7.0, 19.9],
            stream: 6.0,
            page: 2,
            empty_every: 0,
            slow_output: 0.0,
            latency: 0.05,
            stop_faults: 0,
            signals: Vec::new(),
        }
    }
}

struct Run {
    finish: Finish,
    printed: Vec<usize>,
    /// When each was.
    printed_at: Vec<f64>,
    at: f64,
    n_describes: usize,
    n_reads: usize,
    stops: Vec<String>,
    told: Vec<String>,
}

fn task_at(world: &World, stop_at: Option<f64>, now: f64) -> EcsTask {
    let ends = stop_at.map_or(world.ends, |it| it.min(world.ends));
    let by_us = stop_at.is_some_and(|it| it < world.ends);
    let status = match now {
        _ if now >= ends + world.grace => "STOPPED",
        _ if now >= ends => "DEPROVISIONING",
        _ if now >= world.running => "RUNNING",
        _ => "PENDING",
    };
    let over = now >= ends;
    let started = ends > world.running && now >= world.running;
    EcsTask {
        arn: target().arn,
        last_status: Some(status.to_owned()),
        started_at: started.then_some(Timestamp(1)),
        stop_code: (status == "STOPPED")
            .then(|| if by_us { "UserInitiated" } else { "EssentialContainerExited" }.to_owned()),
        containers: vec![EcsContainer {
            name: "app".to_owned(),
            last_status: Some(if over { "STOPPED" } else { status }.to_owned()),
            exit_code: (over && (started || ends > world.running)).then_some(0),
            ..EcsContainer::default()
        }],
        ..EcsTask::default()
    }
}

/// Runs the machine in the world until it finishes.
fn run(world: &World, target: Target) -> Run {
    let mut machine = Follow::new(target);
    let mut now = 0.0_f64;
    // Answers under way: when they come, and what they are.
    let mut under_way: Vec<(f64, Fact)> = world.signals.iter().map(|(at, it)| (*at, Fact::Signal(*it))).collect();
    let mut run = Run {
        finish: Finish {
            how: How::Stopped,
            task: None,
            ours: None,
            log: LogEnd::Open,
            stop_failed: None,
            stop_accepted: false,
        },
        printed: Vec::new(),
        printed_at: Vec::new(),
        at: 0.0,
        n_describes: 0,
        n_reads: 0,
        stops: Vec::new(),
        told: Vec::new(),
    };
    let mut stop_at = None;
    let mut actions = machine.on(Fact::Tick, Duration::ZERO);
    for _ in 0..1_000_000 {
        let (mut describes, mut reads, mut prints) = (0, 0, 0);
        for action in actions {
            match action {
                Action::Describe => {
                    describes += 1;
                    run.n_describes += 1;
                    let task = task_at(world, stop_at, now);
                    under_way.push((now + world.latency, Fact::Described(Box::new(task))));
                }
                Action::ReadLog { token, .. } => {
                    reads += 1;
                    run.n_reads += 1;
                    under_way.push((now + world.latency, page(world, token, now, run.n_reads)));
                }
                Action::Stop(reason) => {
                    run.stops.push(reason);
                    if run.stops.len() <= world.stop_faults {
                        let cause = "ThrottlingException".to_owned();
                        under_way.push((now + world.latency, Fact::StopFailed { cause, trouble: Trouble::Throttled }));
                    } else {
                        stop_at = Some(now + 1.0);
                        under_way.push((now + world.latency, Fact::StopAccepted));
                    }
                }
                Action::Tell(Event::Status { status, .. }) => run.told.push(status),
                Action::Tell(Event::Warning { message, .. }) => run.told.push(message),
                Action::Tell(_) => {}
                Action::Print(events) => {
                    prints += 1;
                    run.printed_at.extend(events.iter().map(|_| now));
                    run.printed.extend(events.iter().map(|it| it.message.parse::<usize>().unwrap()));
                    under_way.push((now + world.slow_output, Fact::Printed));
                }
                Action::Finish(finish) => {
                    run.finish = *finish;
                    run.at = now;
                    assert!(machine.on(Fact::Tick, seconds(now + 99.0)).is_empty(), "finished is finished");
                    return run;
                }
            }
        }
        assert!(describes <= 1 && reads <= 1 && prints <= 1, "one call of a kind at a time");
        let wake = machine.wake_at();
        under_way.sort_by(|one, other| one.0.total_cmp(&other.0));
        let next = under_way.first().map_or(f64::MAX, |it| it.0);
        let wake = if wake == Duration::MAX { f64::MAX } else { wake.as_secs_f64() };
        assert!(next < f64::MAX || wake < f64::MAX, "it waits for nothing");
        let fact = if next <= wake { under_way.remove(0).1 } else { Fact::Tick };
        now = next.min(wake).max(now);
        actions = machine.on(fact, seconds(now));
    }
    panic!("a busy loop at {now}");
}

/// The answer to a read: tokens are positions, with a letter that changes on an empty page.
fn page(world: &World, token: Option<String>, now: f64, n_reads: usize) -> Fact {
    if now < world.stream {
        return Fact::LogMissing("The specified log stream does not exist.".to_owned());
    }
    let from: usize = token.as_deref().map_or(0, |it| it.trim_matches(|it: char| it.is_alphabetic()).parse().unwrap());
    let readable = world.lines.iter().take_while(|it| **it <= now).count();
    if world.empty_every > 0 && n_reads.is_multiple_of(world.empty_every) && from < readable {
        let letter = if n_reads.is_multiple_of(2) { "a" } else { "b" };
        return Fact::Page { events: Vec::new(), next_token: Some(format!("{letter}{from}")) };
    }
    let to = readable.min(from + world.page);
    let events: Vec<LogEvent> =
        (from..to).map(|it| LogEvent { timestamp: Timestamp(0), message: it.to_string() }).collect();
    // The end: the token that was sent comes back.
    let next_token = if events.is_empty() { token.or(Some("f0".to_owned())) } else { Some(format!("f{to}")) };
    Fact::Page { events, next_token }
}

fn all_lines(world: &World) -> Vec<usize> {
    (0..world.lines.len()).collect()
}

#[test]
fn the_whole_output_is_printed_once_and_in_order() {
    let late: Vec<f64> = (0..200).map(|it| 10.0 + f64::from(it) * 0.07).collect();
    for world in [
        World::default(),
        World { empty_every: 2, ..World::default() },
        World { empty_every: 3, page: 1, ..World::default() },
        World { lines: vec![], ..World::default() },
        World { lines: vec![], stream: f64::MAX, ..World::default() },
        // Events that CloudWatch shows only after the container's end, the last of them after STOPPED.
        World { lines: late.clone(), ..World::default() },
        World { lines: late, grace: 0.5, empty_every: 2, page: 7, ..World::default() },
        World { lines: vec![6.0, 22.5, 25.0, 27.9], grace: 1.0, ..World::default() },
        // Over before the first question, and the stream appears late.
        World { running: 0.0, ends: 0.001, grace: 0.0, lines: vec![0.0; 9], stream: 4.0, ..World::default() },
        World { running: 0.0, ends: 0.001, grace: 0.0, lines: vec![0.0; 9], stream: 14.0, ..World::default() },
        World { slow_output: 40.0, lines: vec![6.0; 20], ..World::default() },
        World { latency: 2.5, ..World::default() },
    ] {
        let run = run(&world, target());
        assert_eq!(run.printed, all_lines(&world), "{world:?}");
        assert_eq!(run.finish.how, How::Stopped, "{world:?}");
        let no_stream = world.stream == f64::MAX;
        match run.finish.log {
            LogEnd::Complete => assert!(!no_stream, "{world:?}"),
            LogEnd::MayBeCut(_) => assert!(no_stream, "{world:?}"),
            other => panic!("{other:?} {world:?}"),
        }
    }
}

#[test]
fn it_ends_soon_after_the_end() {
    // As on Fargate, five seconds between the container's end and STOPPED: the log is drained meanwhile.
    let fargate = World { lines: vec![6.0], latency: 0.02, ..World::default() };
    let at = run(&fargate, target()).at;
    assert!(at - (fargate.ends + fargate.grace) < 1.1, "{at}");
    // Both at once: three quiet seconds are waited for.
    let at_once = World { lines: vec![6.0], grace: 0.0, latency: 0.02, ..World::default() };
    let at = run(&at_once, target()).at - at_once.ends;
    assert!((3.0..4.5).contains(&at), "{at}");
    // A log that never comes is given up.
    let none = World { stream: f64::MAX, lines: vec![], ..World::default() };
    let at = run(&none, target()).at - (none.ends + none.grace);
    assert!((15.0..17.0).contains(&at), "{at}");
}

#[test]
fn late_lines_are_waited_for_as_long_as_they_come() {
    // A line every second until a minute after STOPPED, as a very late ingestion would give them.
    let lines: Vec<f64> = (0..60).map(|it| 21.0 + f64::from(it)).collect();
    let world = World { lines, ..World::default() };
    let run = run(&world, target());
    assert_eq!(run.printed, all_lines(&world));
    assert_eq!(run.finish.log, LogEnd::Complete);
}

#[test]
fn a_log_that_lags_has_to_be_quiet_for_as_long() {
    // The container ends at 20; what comes 5 seconds late is followed by a silence of almost 4, and that by one of 7.6.
    let world = World { lines: vec![6.0, 20.5, 22.5, 25.0, 28.9, 36.5], grace: 1.0, ..World::default() };
    let run = run(&world, target());
    assert_eq!(run.printed, all_lines(&world));
    assert_eq!(run.finish.log, LogEnd::Complete);
    // Twelve seconds are the most.
    assert!((48.0..50.0).contains(&run.at), "{}", run.at);
}

#[test]
fn a_slow_answer_tells_how_the_log_was_when_it_was_asked_for() {
    let mut follow = Follow::new(target());
    let end = || Fact::Page { events: Vec::new(), next_token: Some("f0".to_owned()) };
    let read = Action::ReadLog { token: Some("f0".to_owned()), from: None };
    let finishes = |actions: &[Action]| actions.iter().any(|it| matches!(it, Action::Finish(_)));
    let stopped = task_at(&World::default(), None, 100.0);
    follow.on(Fact::Described(Box::new(stopped)), seconds(100.0));
    follow.on(end(), seconds(100.1));
    follow.on(end(), seconds(100.2));
    assert!(follow.on(Fact::Tick, seconds(100.7)).contains(&read));
    // It was asked for half a second after the end was first seen, so it proves half a second of quiet.
    let actions = follow.on(end(), seconds(104.5));
    assert!(!finishes(&actions) && actions.contains(&read), "{actions:?}");
    assert!(finishes(&follow.on(end(), seconds(104.6))));
}

#[test]
fn an_hour_of_silence_costs_few_calls() {
    // Answers that take no time at all are the dearest.
    let world = World { running: 0.0, stream: 0.0, ends: 3600.0, lines: vec![6.0], latency: 0.0, ..World::default() };
    let quiet = run(&world, Target { timeout: None, ..target() });
    let calls = quiet.n_describes + quiet.n_reads;
    assert!(calls <= 2_500, "{} + {}", quiet.n_describes, quiet.n_reads);
    assert!(quiet.n_reads > 1_000, "{}", quiet.n_reads);
    // Neither does a stream that never comes into being cost more.
    let never = World { stream: f64::MAX, lines: vec![], ..world };
    let never = run(&never, Target { timeout: None, ..target() });
    assert!(never.n_describes + never.n_reads <= 2_500 + 30, "{} + {}", never.n_describes, never.n_reads);
}

/// How long after it could be read each line was asked for.
fn delays(world: &World) -> Vec<f64> {
    let run = run(world, Target { timeout: None, ..target() });
    assert_eq!(run.printed, all_lines(world));
    run.printed_at.iter().zip(&world.lines).map(|(at, line)| at - line).collect()
}

#[test]
fn lines_are_shown_soon_and_after_a_silence_at_once_sooner_again() {
    let world = World { ends: 3600.0, page: 100, latency: 0.02, ..World::default() };
    // A line every few seconds is never a second and two answers late.
    for gap in [0.3, 1.7, 5.3, 19.1] {
        let lines: Vec<f64> = (0..60).map(|it| 7.0 + f64::from(it) * gap).collect();
        let worst = delays(&World { lines, ..world.clone() }).into_iter().fold(0.0, f64::max);
        assert!(worst < 1.05, "every {gap} s: {worst} s");
    }
    // After half an hour the first line waits for three seconds at most, the next ones for one.
    for shift in 0..30 {
        let first = 1800.0 + f64::from(shift) / 10.0;
        let lines: Vec<f64> = (0..10).map(|it| first + f64::from(it) * 3.7).collect();
        let delays = delays(&World { lines, ..world.clone() });
        assert!(delays[0] < 3.05, "{delays:?}");
        assert!(delays[1..].iter().all(|it| *it < 1.05), "{delays:?}");
    }
}

#[test]
fn the_rest_of_a_silent_log_is_read_as_fast_as_that_of_any_other() {
    let at = |lines: Vec<f64>| {
        let world = World { ends: 1801.0, lines, latency: 0.02, ..World::default() };
        let run = run(&world, Target { timeout: None, ..target() });
        assert_eq!((run.printed, run.finish.log), (all_lines(&world), LogEnd::Complete));
        run.at
    };
    let talking = at((0..1790).map(|it| 6.0 + f64::from(it)).collect());
    let silent = at(vec![6.0]);
    // The last words of a log that was silent until then.
    let surprised = at(vec![6.0, 1800.9]);
    assert!((silent - talking).abs() < 1.1 && (surprised - talking).abs() < 1.1, "{talking} {silent} {surprised}");
}

#[test]
fn a_timeout_stops_it_once_and_is_told() {
    let world = World { ends: 100_000.0, ..World::default() };
    let run = run(&world, target());
    assert_eq!(run.stops, ["xtask: timeout of 10m passed"]);
    assert_eq!(run.finish.ours, Some(OurDoing::TimedOut));
    assert!((605.0..606.0 + 10.0).contains(&run.at), "{}", run.at);
    assert!(run.told.iter().any(|it| it.contains("timeout of 10m")), "{:?}", run.told);
}

#[test]
fn a_start_that_takes_too_long_is_stopped() {
    let world = World { running: 100_000.0, ends: 200_000.0, stream: f64::MAX, lines: vec![], ..World::default() };
    let run = run(&world, target());
    assert_eq!(run.stops.len(), 1);
    assert_eq!(run.finish.ours, Some(OurDoing::StartTimedOut));
    assert_eq!(run.finish.log, LogEnd::NeverStarted);
}

#[test]
fn without_an_answer_of_ecs_no_start_is_too_long() {
    let world = World { ends: 100_000.0, ..World::default() };
    let mut machine = Follow::new(target());
    machine.on(Fact::Described(Box::new(task_at(&world, None, 1.0))), seconds(1.0));
    let mut now = 2.0;
    while now < 400.0 {
        let failed = Fact::DescribeFailed { cause: "no answer in time".to_owned(), trouble: Trouble::Passing };
        let actions = machine.on(failed, seconds(now));
        assert!(!actions.iter().any(|it| matches!(it, Action::Stop(_))), "{now}: {actions:?}");
        let wake = machine.wake_at().as_secs_f64();
        assert!(wake > now, "a busy loop at {now}");
        now = wake;
        let actions = machine.on(Fact::Tick, seconds(now));
        assert!(!actions.iter().any(|it| matches!(it, Action::Stop(_))), "{now}: {actions:?}");
    }
    // It runs, as ECS can say now.
    let actions = machine.on(Fact::Described(Box::new(task_at(&world, None, now))), seconds(now));
    assert!(!actions.iter().any(|it| matches!(it, Action::Stop(_))), "{actions:?}");
    // Neither does the time that this process did not have.
    let mut machine = Follow::new(target());
    machine.on(Fact::Described(Box::new(task_at(&world, None, 1.0))), seconds(1.0));
    let actions = machine.on(Fact::Tick, seconds(4_000.0));
    assert!(!actions.iter().any(|it| matches!(it, Action::Stop(_))), "{actions:?}");
    // But its answer does.
    let actions = machine.on(Fact::Described(Box::new(task_at(&world, None, 1.0))), seconds(4_001.0));
    assert!(actions.iter().any(|it| matches!(it, Action::Stop(_))), "{actions:?}");
}

#[test]
fn a_stop_for_a_late_start_is_withdrawn_when_it_starts() {
    let world = World { running: 301.0, ends: 1_000.0, ..World::default() };
    let at = |now| Fact::Described(Box::new(task_at(&world, None, now)));
    let wants_stop = |actions: &[Action]| actions.iter().any(|it| matches!(it, Action::Stop(_)));
    let late = || {
        let mut machine = Follow::new(target());
        assert!(wants_stop(&machine.on(at(300.0), seconds(300.0))));
        machine
    };
    let throttled = || Fact::StopFailed { cause: "slow down".to_owned(), trouble: Trouble::Throttled };
    let mut machine = late();
    machine.on(throttled(), seconds(300.8));
    assert!(!wants_stop(&machine.on(at(301.2), seconds(301.2))));
    assert_eq!((&machine.stop, machine.ours), (&Stop::No, None));
    assert!(!wants_stop(&machine.on(Fact::Tick, seconds(310.0))));
    // The other timeout counts from here.
    assert!(wants_stop(&machine.on(Fact::Tick, seconds(301.2) + TIMEOUT)));
    assert_eq!(machine.ours, Some(OurDoing::TimedOut));
    // One that ECS may have stays.
    let mut machine = late();
    machine.on(at(301.2), seconds(301.2));
    assert_eq!(machine.ours, Some(OurDoing::StartTimedOut));
    let mut machine = late();
    machine.on(throttled(), seconds(300.8));
    let stopping = EcsTask { desired_status: Some("STOPPED".to_owned()), ..task_at(&world, None, 301.2) };
    machine.on(Fact::Described(Box::new(stopping)), seconds(301.2));
    assert_eq!(machine.ours, Some(OurDoing::StartTimedOut));
}

#[test]
fn the_first_signal_stops_and_the_second_leaves() {
    for (signals, on_interrupt, launched_here, n_stops, how, ours) in [
        (vec![(8.0, 2)], OnInterrupt::Stop, true, 1, How::Stopped, Some(OurDoing::Signal(2))),
        (vec![(8.0, 15)], OnInterrupt::Stop, true, 1, How::Stopped, Some(OurDoing::Signal(15))),
        (vec![(0.0, 2)], OnInterrupt::Stop, true, 1, How::Stopped, Some(OurDoing::Signal(2))),
        (vec![(8.0, 2), (8.3, 2)], OnInterrupt::Stop, true, 1, How::Detached(2), Some(OurDoing::Signal(2))),
        (vec![(8.0, 1)], OnInterrupt::Stop, true, 0, How::Detached(1), None),
        (vec![(8.0, 2)], OnInterrupt::Detach, true, 0, How::Detached(2), None),
        // What another process launched is never stopped from here.
        (vec![(8.0, 2)], OnInterrupt::Stop, false, 0, How::Detached(2), None),
    ] {
        let world = World { signals, ..World::default() };
        let run = run(&world, Target { on_interrupt, launched_here, ..target() });
        assert_eq!((run.stops.len(), &run.finish.how), (n_stops, &how), "{world:?}");
        assert_eq!(run.finish.ours, ours, "{world:?}");
    }
}

#[test]
fn a_signal_while_the_rest_of_the_log_is_read_only_gives_that_up() {
    let world = World { signals: vec![(22.5, 2)], grace: 0.0, ..World::default() };
    let run = run(&world, target());
    assert_eq!((run.stops.len(), run.finish.how, run.at), (0, How::Stopped, 22.5));
    assert_eq!(run.finish.ours, Some(OurDoing::Signal(2)));
    assert!(matches!(run.finish.log, LogEnd::MayBeCut(_)));
}

#[test]
fn a_stop_that_is_throttled_is_sent_again() {
    let world = World { stop_faults: 3, signals: vec![(8.0, 2)], ..World::default() };
    let run = run(&world, target());
    assert_eq!(run.stops.len(), 4);
    assert_eq!((run.finish.how, run.finish.stop_failed), (How::Stopped, None));
}

#[test]
fn a_refused_stop_is_told_at_the_end() {
    let mut machine = Follow::new(target());
    machine.on(Fact::Signal(2), Duration::ZERO);
    machine.on(Fact::StopFailed { cause: "AccessDenied".to_owned(), trouble: Trouble::Refused }, seconds(1.0));
    let actions = machine.on(Fact::Signal(2), seconds(2.0));
    let Some(Action::Finish(finish)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(finish.stop_failed.as_deref(), Some("AccessDenied"));
}

#[test]
fn a_refused_stop_is_no_matter_once_it_has_stopped() {
    let mut machine = Follow::new(target());
    machine.on(Fact::Signal(2), Duration::ZERO);
    machine.stop = Stop::Refused("AccessDenied".to_owned());
    machine.on(Fact::Described(Box::new(task_at(&World::default(), None, 30.0))), seconds(30.0));
    let actions = machine.on(Fact::Signal(2), seconds(31.0));
    let finish = is_finished(&actions).unwrap();
    assert_eq!((&finish.how, &finish.stop_failed), (&How::Stopped, &None));
}

#[test]
fn a_refusal_of_the_stop_has_to_last() {
    let refused = || Fact::StopFailed { cause: "AccessDenied".to_owned(), trouble: Trouble::Refused };
    // The stops that are sent after it and when, and what is told, until it counts as refused or is accepted at last.
    let stopped = |accepted_after: usize| {
        let mut machine = Follow::new(Target { start_timeout: None, ..target() });
        machine.on(Fact::Signal(2), Duration::ZERO);
        let (mut now, mut n_stops, mut told) = (0.0, 1, Vec::new());
        while matches!(machine.stop, Stop::Wanted { .. }) {
            let fact = if n_stops > accepted_after { Fact::StopAccepted } else { refused() };
            let mut actions = machine.on(fact, seconds(now));
            told.extend(warnings(&actions).into_iter().map(str::to_owned));
            while let Stop::Wanted { in_flight: false, .. } = machine.stop {
                let wake = machine.wake_at().as_secs_f64();
                assert!(wake > now, "a busy loop at {now}");
                now = wake;
                actions = machine.on(Fact::Tick, seconds(now));
                n_stops += actions.iter().filter(|it| matches!(it, Action::Stop(_))).count();
                if actions.contains(&Action::Describe) {
                    machine.on(Fact::Described(Box::new(task_at(&World::default(), None, 6.0))), seconds(now));
                }
            }
        }
        (machine, now, n_stops, told)
    };
    let (machine, _, n_stops, told) = stopped(3);
    assert_eq!((&machine.stop, n_stops), (&Stop::Accepted, 4));
    assert_eq!(told, ["cannot stop the ECS task: AccessDenied; trying again"]);
    let (mut machine, now, n_stops, told) = stopped(usize::MAX);
    assert_eq!(machine.stop, Stop::Refused("AccessDenied".to_owned()));
    assert!((90.0..110.0).contains(&now) && (5..20).contains(&n_stops), "{now} {n_stops}");
    let expected = ["cannot stop the ECS task: AccessDenied; trying again", "cannot stop the ECS task: AccessDenied"];
    assert_eq!(told, expected);
    let actions = machine.on(Fact::Signal(2), seconds(now));
    assert_eq!(is_finished(&actions).and_then(|it| it.stop_failed.as_deref()), Some("AccessDenied"));
}

#[test]
fn faults_of_reading_never_end_it() {
    let mut machine = Follow::new(target());
    let mut now = 0.0;
    machine.on(Fact::Tick, Duration::ZERO);
    for _ in 0..1000 {
        let failed = Fact::DescribeFailed { cause: "no answer in time".to_owned(), trouble: Trouble::Passing };
        let actions = machine.on(failed, seconds(now));
        assert!(!actions.iter().any(|it| matches!(it, Action::Finish(_))));
        let wake = machine.wake_at().as_secs_f64();
        assert!(wake > now && wake <= now + 20.0, "{wake} {now}");
        now = wake;
        machine.on(Fact::Tick, seconds(now));
    }
}

#[test]
fn an_ecs_task_that_stays_unknown_is_lost() {
    let mut machine = Follow::new(target());
    machine.on(Fact::Tick, Duration::ZERO);
    let mut now = 0.0;
    loop {
        assert!(now < 1000.0, "it is not given up");
        let mut actions = machine.on(Fact::Missing("MISSING".to_owned()), seconds(now));
        actions.extend(machine.on(Fact::Tick, seconds(now + 0.5)));
        if let Some(Action::Finish(finish)) = actions.last() {
            assert!(matches!(&finish.how, How::Lost(why) if why.contains("MISSING")), "{finish:?}");
            break;
        }
        now += 1.0;
    }
    // Two minutes of grace, and the time for a read of the output that nobody answers.
    assert!((165.0..170.0).contains(&now), "{now}");
}

#[test]
fn durations_read_as_people_write_them() {
    for (duration, text) in [
        (seconds(0.0), "0s"),
        (seconds(1.5), "1.5s"),
        (seconds(59.9), "59s"),
        (seconds(60.0), "1m"),
        (seconds(90.0), "1m30s"),
        (seconds(3600.0), "1h"),
        (seconds(5400.0), "1h30m"),
        (seconds(3661.0), "1h1m1s"),
    ] {
        assert_eq!(words(duration), text);
    }
}

fn is_finished(actions: &[Action]) -> Option<&Finish> {
    match actions.last() {
        Some(Action::Finish(finish)) => Some(finish),
        _ => None,
    }
}

fn warnings(actions: &[Action]) -> Vec<&str> {
    actions
        .iter()
        .filter_map(|it| match it {
            Action::Tell(Event::Warning { message, .. }) => Some(message.as_str()),
            _ => None,
        })
        .collect()
}

/// Answers DescribeTasks with the same fault for so long. Gives when that ended the following, and how often it was told.
fn with_fault(trouble: Trouble, attended: bool, until: f64) -> (Option<f64>, usize) {
    let mut machine = Follow::new(Target { attended, start_timeout: None, ..target() });
    machine.on(Fact::Tick, Duration::ZERO);
    let (mut now, mut told) = (0.0, 0);
    while now < until {
        let actions = machine.on(Fact::DescribeFailed { cause: "x".to_owned(), trouble }, seconds(now));
        told += warnings(&actions).len();
        loop {
            let wake = machine.wake_at();
            assert!(wake.as_secs_f64() < now + 70.0, "it sleeps too long");
            now = wake.as_secs_f64();
            let actions = machine.on(Fact::Tick, wake);
            if is_finished(&actions).is_some() {
                return (Some(now), told);
            }
            if actions.contains(&Action::Describe) {
                break;
            }
        }
    }
    (None, told)
}

#[test]
fn only_what_stays_refused_ends_the_following() {
    let hours = 6.0 * 3600.0;
    for (trouble, attended, ends) in [
        (Trouble::Passing, false, None),
        (Trouble::Throttled, false, None),
        // Somebody may renew them, however long that takes.
        (Trouble::Credentials, true, None),
        (Trouble::Credentials, false, Some(15.0 * 60.0)),
        (Trouble::Refused, true, Some(90.0)),
    ] {
        let (ended, told) = with_fault(trouble, attended, hours);
        // And the time for the rest of the output.
        let expected = ends.map(|it: f64| it..it + 70.0);
        let fits = match (&ended, &expected) {
            (Some(at), Some(range)) => range.contains(at),
            (None, None) => true,
            _ => false,
        };
        assert!(fits, "{trouble:?} {attended}: {ended:?}");
        assert!((1..100).contains(&told), "{trouble:?}: told {told} times");
    }
}

#[test]
fn a_token_that_expires_costs_no_line_and_doubles_none() {
    let event = |at: i64, text: &str| LogEvent { timestamp: Timestamp(at), message: text.to_owned() };
    let page = |events: Vec<LogEvent>, token: &str| Fact::Page { events, next_token: Some(token.to_owned()) };
    let printed = |actions: &[Action]| -> Vec<String> {
        let lines = actions.iter().filter_map(|it| match it {
            Action::Print(events) => Some(events.iter().map(|it| it.message.clone()).collect::<Vec<_>>()),
            _ => None,
        });
        lines.flatten().collect()
    };
    let mut machine = Follow::new(target());
    let world = World::default();
    machine.on(Fact::Tick, Duration::ZERO);
    machine.on(Fact::Described(Box::new(task_at(&world, None, 6.0))), seconds(6.0));
    let actions = machine.on(page(vec![event(1, "a"), event(2, "b"), event(2, "b")], "f3"), seconds(7.0));
    assert_eq!(printed(&actions), ["a", "b", "b"]);
    machine.on(Fact::Printed, seconds(7.0));
    let actions = machine.on(Fact::LogTokenExpired("InvalidParameterException: x".to_owned()), seconds(8.0));
    assert_eq!(warnings(&actions).len(), 1);
    let actions = machine.on(Fact::Tick, seconds(9.5));
    assert!(actions.contains(&Action::ReadLog { token: None, from: Some(Timestamp(2)) }), "{actions:?}");
    // One of that millisecond is new, though it looks like the others; they come in two pages.
    let actions = machine.on(page(vec![event(2, "b")], "g1"), seconds(10.0));
    assert_eq!(printed(&actions), [""; 0]);
    let actions = machine.on(page(vec![event(2, "b"), event(2, "b"), event(3, "c")], "g4"), seconds(11.0));
    assert_eq!(printed(&actions), ["b", "c"]);
    machine.on(Fact::Printed, seconds(11.0));
    let actions = machine.on(page(vec![event(3, "c")], "g5"), seconds(12.0));
    assert_eq!(printed(&actions), ["c"], "nothing is skipped any more");
    // Refused without a token: that is another matter, and no busy loop.
    let mut machine = Follow::new(target());
    machine.on(Fact::Described(Box::new(task_at(&world, None, 6.0))), seconds(6.0));
    machine.on(Fact::LogTokenExpired("x".to_owned()), seconds(7.0));
    let actions = machine.on(Fact::Tick, seconds(8.0));
    assert!(!actions.iter().any(|it| matches!(it, Action::ReadLog { .. })), "{actions:?}");
}

#[test]
fn a_log_that_can_be_read_again_is_read_to_its_end() {
    let mut machine = Follow::new(target());
    let world = World { ends: 6.0, grace: 0.0, ..World::default() };
    machine.on(Fact::Described(Box::new(task_at(&world, None, 7.0))), seconds(7.0));
    let end = || Fact::Page { events: Vec::new(), next_token: None };
    machine.on(end(), seconds(7.1));
    // Every line is there already, but for two minutes nobody could have known.
    let mut now = 8.0;
    while now < 128.0 {
        machine.on(Fact::Tick, seconds(now));
        let actions = machine.on(Fact::LogFailed { cause: "x".to_owned(), trouble: Trouble::Throttled }, seconds(now));
        assert!(is_finished(&actions).is_none(), "{actions:?}");
        now = machine.wake_at().as_secs_f64();
    }
    machine.quiet_since = None;
    loop {
        assert!(now < 150.0, "it does not end");
        machine.on(Fact::Tick, seconds(now));
        let actions = machine.on(end(), seconds(now + 0.1));
        if let Some(finish) = is_finished(&actions) {
            assert_eq!(finish.log, LogEnd::Complete);
            break;
        }
        now = machine.wake_at().as_secs_f64();
    }
}

#[test]
fn a_throttled_log_is_read_more_rarely_until_it_is_calm() {
    let mut machine = Follow::new(target());
    let world = World { ends: 100_000.0, ..World::default() };
    machine.on(Fact::Described(Box::new(task_at(&world, None, 6.0))), seconds(6.0));
    let end = || Fact::Page { events: Vec::new(), next_token: None };
    let gap = |machine: &Follow, now: f64| machine.log_at.unwrap().as_secs_f64() - now;
    machine.on(end(), seconds(7.0));
    assert_eq!(gap(&machine, 7.0), 1.0);
    for _ in 0..5 {
        machine.on(Fact::LogFailed { cause: "x".to_owned(), trouble: Trouble::Throttled }, seconds(8.0));
    }
    machine.on(end(), seconds(60.0));
    assert_eq!(gap(&machine, 60.0), 8.0);
    for _ in 0..120 {
        machine.on(end(), seconds(70.0));
    }
    // It has been silent for a minute by now.
    assert_eq!(gap(&machine, 70.0), 3.0);
}

#[test]
fn an_ecs_task_that_is_lost_keeps_its_output() {
    let mut machine = Follow::new(target());
    let world = World::default();
    machine.on(Fact::Tick, Duration::ZERO);
    machine.on(Fact::Described(Box::new(task_at(&world, None, 6.0))), seconds(6.0));
    machine.on(Fact::Missing("MISSING".to_owned()), seconds(7.0));
    // As after a night asleep: the next answer says that it is forgotten, and the log has grown.
    let actions = machine.on(Fact::Missing("MISSING".to_owned()), seconds(30_000.0));
    assert!(is_finished(&actions).is_none(), "{actions:?}");
    let line = LogEvent { timestamp: Timestamp(1), message: "last".to_owned() };
    let actions = machine.on(Fact::Page { events: vec![line], next_token: Some("f1".to_owned()) }, seconds(30_000.1));
    assert!(matches!(actions[0], Action::Print(_)), "{actions:?}");
    machine.on(Fact::Printed, seconds(30_000.1));
    let mut now = 30_000.2;
    loop {
        assert!(now < 30_030.0, "it does not end");
        let actions = machine.on(Fact::Page { events: Vec::new(), next_token: Some("f1".to_owned()) }, seconds(now));
        if let Some(finish) = is_finished(&actions) {
            assert!(matches!(finish.how, How::Lost(_)) && matches!(finish.log, LogEnd::MayBeCut(_)), "{finish:?}");
            break;
        }
        now = machine.wake_at().as_secs_f64().max(now + 0.1);
        machine.on(Fact::Tick, seconds(now));
    }
}

#[test]
fn a_stop_alone_reads_no_output_and_ends_with_the_end_or_the_refusal() {
    let follower = Target { launched_here: false, timeout: None, start_timeout: None, ..target() };
    let start = || {
        let mut machine = Follow::stopping(follower.clone(), "xtask: stopped by alice".to_owned());
        let actions = machine.on(Fact::Tick, Duration::ZERO);
        assert!(actions.contains(&Action::Stop("xtask: stopped by alice".to_owned())), "{actions:?}");
        machine
    };
    let world = World::default();
    let mut machine = start();
    machine.on(Fact::StopAccepted, seconds(0.1));
    for now in [6.0, 12.0, 21.0] {
        let actions = machine.on(Fact::Described(Box::new(task_at(&world, None, now))), seconds(now));
        assert!(!actions.iter().any(|it| matches!(it, Action::ReadLog { .. })), "{actions:?}");
        assert!(is_finished(&actions).is_none());
    }
    let actions = machine.on(Fact::Described(Box::new(task_at(&world, None, 26.0))), seconds(26.0));
    assert_eq!(is_finished(&actions).map(|it| &it.how), Some(&How::Stopped));

    let mut machine = start();
    let failed = |trouble| Fact::StopFailed { cause: "x".to_owned(), trouble };
    assert!(is_finished(&machine.on(failed(Trouble::Throttled), seconds(1.0))).is_none());
    let actions = machine.on(failed(Trouble::Refused), seconds(3.0));
    assert!(matches!(is_finished(&actions).map(|it| &it.how), Some(How::Lost(_))), "{actions:?}");
    let actions = start().on(Fact::Signal(2), seconds(1.0));
    assert_eq!(is_finished(&actions).map(|it| &it.how), Some(&How::Detached(2)));
}

#[test]
fn time_that_this_process_did_not_have_is_no_silence_of_the_log() {
    let mut machine = Follow::new(target());
    let world = World { ends: 6.0, grace: 0.0, ..World::default() };
    machine.on(Fact::Described(Box::new(task_at(&world, None, 7.0))), seconds(7.0));
    machine.on(Fact::Page { events: Vec::new(), next_token: None }, seconds(7.1));
    // It wakes up a minute later: what came meanwhile is read before the log is given up.
    let actions = machine.on(Fact::Tick, seconds(70.0));
    assert!(is_finished(&actions).is_none(), "{actions:?}");
    assert!(actions.iter().any(|it| matches!(it, Action::ReadLog { .. })), "{actions:?}");
    let actions = machine.on(Fact::Page { events: Vec::new(), next_token: None }, seconds(70.1));
    assert_eq!(is_finished(&actions).map(|it| &it.log), Some(&LogEnd::Complete));
}
