//! One of many that a process follows: its reads wait for their turns, none is wasted, and waiting is no reason to give up.

use super::*;

fn many() -> Follow {
    Follow::new(Target { of_many: true, timeout: None, ..target() })
}

fn described(status: &str, container: &str) -> Fact {
    let over = container == "STOPPED";
    Fact::Described(Box::new(EcsTask {
        arn: target().arn,
        last_status: Some(status.to_owned()),
        started_at: Some(Timestamp(1)),
        stop_code: (status == "STOPPED").then(|| "EssentialContainerExited".to_owned()),
        containers: vec![EcsContainer {
            name: "app".to_owned(),
            last_status: Some(container.to_owned()),
            exit_code: over.then_some(0),
            ..EcsContainer::default()
        }],
        ..EcsTask::default()
    }))
}

fn page(lines: usize, next_token: &str) -> Fact {
    let event = |_| LogEvent { timestamp: Timestamp(1), message: "line".to_owned() };
    Fact::Page { events: (0..lines).map(event).collect(), next_token: Some(next_token.to_owned()) }
}

fn wants_to_read(actions: &[Action]) -> bool {
    actions.iter().any(|it| matches!(it, Action::ReadLog { .. }))
}

fn finish(actions: Vec<Action>) -> Option<Finish> {
    actions.into_iter().find_map(|it| if let Action::Finish(finish) = it { Some(*finish) } else { None })
}

/// A machine whose ECS task is STOPPED at 10 s and that wants its first read.
fn stopped() -> Follow {
    let mut machine = many();
    machine.on(Fact::Tick, Duration::ZERO);
    let actions = machine.on(described("STOPPED", "STOPPED"), seconds(10.0));
    assert!(wants_to_read(&actions));
    machine
}

#[test]
fn two_reads_are_enough() {
    let mut machine = stopped();
    assert!(machine.is_draining());
    machine.on(Fact::LogSent, seconds(10.0));
    let actions = machine.on(page(1000, "a"), seconds(10.1));
    assert!(!wants_to_read(&actions));
    machine.on(Fact::Printed, seconds(10.2));
    // So early it could not say that this was the end.
    assert!(!wants_to_read(&machine.on(Fact::Tick, seconds(13.0))));
    assert_eq!(machine.wake_at(), seconds(13.1));
    assert!(wants_to_read(&machine.on(Fact::Tick, seconds(13.1))));
    machine.on(Fact::LogSent, seconds(13.1));
    let finish = finish(machine.on(page(0, "a"), seconds(13.2))).expect("it is the end");
    assert_eq!((finish.how, finish.log), (How::Stopped, LogEnd::Complete));
}

#[test]
fn an_empty_log_takes_two_reads_as_well() {
    let mut machine = stopped();
    machine.on(Fact::LogSent, seconds(10.0));
    machine.on(page(0, "a"), seconds(10.1));
    assert!(wants_to_read(&machine.on(Fact::Tick, seconds(13.2))));
    machine.on(Fact::LogSent, seconds(13.2));
    assert_eq!(finish(machine.on(page(0, "a"), seconds(13.3))).expect("it is the end").log, LogEnd::Complete);
}

#[test]
fn a_read_that_waits_for_its_turn_is_not_given_up() {
    let mut machine = stopped();
    // Minutes in the queue, throttled and put back: nothing of it says anything of the log.
    for minute in 1..5 {
        assert_eq!(finish(machine.on(Fact::Tick, seconds(60.0 * f64::from(minute)))), None);
    }
    machine.on(Fact::LogSent, seconds(300.0));
    assert_eq!(finish(machine.on(Fact::LogPutBack, seconds(310.0))), None);
    assert_eq!(finish(machine.on(Fact::Tick, seconds(600.0))), None);
    machine.on(Fact::LogSent, seconds(600.0));
    let actions = machine.on(page(3, "a"), seconds(601.0));
    assert_eq!(finish(actions), None);
    machine.on(Fact::Printed, seconds(601.0));
    assert!(wants_to_read(&machine.on(Fact::Tick, seconds(604.0))));
    assert_eq!(finish(machine.on(Fact::Tick, seconds(900.0))), None);
    machine.on(Fact::LogSent, seconds(900.0));
    assert_eq!(finish(machine.on(page(0, "a"), seconds(901.0))).expect("it is the end").log, LogEnd::Complete);
}

#[test]
fn what_was_not_the_end_is_read_on_at_once() {
    let mut machine = stopped();
    machine.on(Fact::LogSent, seconds(10.0));
    machine.on(page(3, "a"), seconds(10.1));
    machine.on(Fact::Printed, seconds(10.1));
    machine.on(Fact::Tick, seconds(13.1));
    machine.on(Fact::LogSent, seconds(13.1));
    // A page may be short without being the last.
    machine.on(page(3, "b"), seconds(13.2));
    assert!(wants_to_read(&machine.on(Fact::Printed, seconds(13.2))), "nothing is put off now");
    machine.on(Fact::LogSent, seconds(13.2));
    machine.on(page(3, "c"), seconds(13.3));
    assert!(wants_to_read(&machine.on(Fact::Printed, seconds(13.3))));
    machine.on(Fact::LogSent, seconds(13.3));
    // The end is seen; it has to stay there for a while.
    assert_eq!(finish(machine.on(page(0, "c"), seconds(13.4))), None);
    let mut reads = 0;
    let mut now = 13.4;
    let end = loop {
        now += 0.1;
        if !wants_to_read(&machine.on(Fact::Tick, seconds(now))) {
            continue;
        }
        reads += 1;
        machine.on(Fact::LogSent, seconds(now));
        if let Some(finish) = finish(machine.on(page(0, "c"), seconds(now))) {
            break finish;
        }
    };
    assert_eq!(end.log, LogEnd::Complete);
    assert!(now < 18.0 && reads < 12, "{now} {reads}");
}

#[test]
fn a_full_page_has_more_behind_it() {
    let mut machine = stopped();
    machine.on(Fact::LogSent, seconds(10.0));
    machine.on(page(10_000, "a"), seconds(10.1));
    assert!(wants_to_read(&machine.on(Fact::Printed, seconds(10.2))));
}

#[test]
fn a_live_log_is_read_in_its_turn_and_first_when_its_container_stops() {
    let mut machine = many();
    machine.on(Fact::Tick, Duration::ZERO);
    assert!(wants_to_read(&machine.on(described("RUNNING", "RUNNING"), seconds(5.0))));
    assert!(!machine.is_draining());
    machine.on(Fact::LogSent, seconds(9.0));
    machine.on(page(3, "a"), seconds(9.1));
    machine.on(Fact::Printed, seconds(9.1));
    assert!(!wants_to_read(&machine.on(Fact::Tick, seconds(9.5))), "it is not read again at once");
    assert!(wants_to_read(&machine.on(described("DEPROVISIONING", "STOPPED"), seconds(9.6))));
    assert!(machine.is_draining());
    machine.on(Fact::LogSent, seconds(9.6));
    machine.on(page(1, "b"), seconds(9.7));
    machine.on(Fact::Printed, seconds(9.7));
    assert!(wants_to_read(&machine.on(Fact::Tick, seconds(12.7))));
    machine.on(Fact::LogSent, seconds(12.7));
    machine.on(page(0, "b"), seconds(12.8));
    // Its output is whole: what it still reads until STOPPED comes after all others'.
    assert!(!machine.is_draining());
    assert!(finish(machine.on(described("STOPPED", "STOPPED"), seconds(14.0))).is_some());
}

#[test]
fn another_ones_failure_stops_what_this_process_started() {
    for (launched_here, stops) in [(true, 1), (false, 0)] {
        let mut machine = Follow::new(Target { of_many: true, launched_here, ..target() });
        machine.on(Fact::Tick, Duration::ZERO);
        machine.on(described("RUNNING", "RUNNING"), seconds(1.0));
        let actions = machine.on(Fact::OtherFailed, seconds(2.0));
        let stopped = actions.iter().filter(|it| matches!(it, Action::Stop(_))).count();
        assert_eq!(stopped, stops, "{actions:?}");
        // Told once, for all.
        assert!(!actions.iter().any(|it| matches!(it, Action::Tell(_))), "{actions:?}");
    }
}

#[test]
fn a_call_that_others_make_takes_it_along() {
    let mut machine = many();
    machine.on(Fact::Tick, Duration::ZERO);
    machine.on(described("PENDING", "PENDING"), seconds(1.0));
    assert!(!machine.take_describe(seconds(1.0), seconds(0.5)));
    assert!(machine.take_describe(seconds(1.0), seconds(1.0)));
    // It waits for that one's answer.
    assert!(!machine.take_describe(seconds(9.0), seconds(1.0)));
    assert!(!machine.on(Fact::Tick, seconds(9.0)).contains(&Action::Describe));
}
