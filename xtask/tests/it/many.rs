//! Hundreds of shards in seconds: the whole verb on the fake's door in memory and a paused clock, AWS's own rate limits on it. No line is
//! lost or doubled, the time is near to what the limits allow, and no fault of one is anybody else's.
//!
//! An SDK that is compiled without optimisation takes a millisecond for a call, and the suite is to be quick: only with XTASK_TEST_FULL it
//! is 1,000 shards of 1,000 lines, hundreds with faults, and 100 in real time. `benches/shards.rs` has the table and the memory.

use xtask::tools::signals::Signals;

use crate::fake::{Fake, Fault, Millis, Moment};
use crate::inside::fleet::{self, floor, run, shard_life, staging, tasks};

/// Whether all of it is to be run, as in CI.
fn is_full() -> bool {
    std::env::var("XTASK_TEST_FULL").as_deref() == Ok("1")
}

/// How many shards there are where something goes wrong: more than the 100 that RunTask and StopTask allow at once.
fn many() -> u32 {
    if is_full() { 300 } else { 120 }
}

#[test]
fn all_lines_in_nearly_the_time_that_the_limits_allow() {
    let (shards, lines) = if is_full() { (1_000, 1_000) } else { (150, 50) };
    for log_reads in [25.0, 10.0] {
        let fake = staging(Fake::in_memory()).task_life(shard_life(lines)).throttles_like_aws_at(log_reads);
        let ran = run(fake.keeps_no_records(), &tasks(shards, ""), "", None);
        let floor = floor(shards, log_reads);
        println!(
            "{shards} shards at {log_reads} reads a second: {:.1} s, floor {floor:.1} s, {:?}",
            ran.seconds, ran.calls
        );
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.is_whole(shards, lines);
        assert!(ran.seconds < floor * 1.3, "{} s, and the limits allow {floor} s", ran.seconds);
    }
}

/// What goes wrong with every so manieth call, and that nothing comes of it but time.
#[test]
fn faults_cost_nothing_but_time() {
    const SECOND: Millis = 1_000;
    let rows: &[(&str, &str, u64, Fault)] = &[
        ("RunTask throttled", "RunTask", 10, Fault::Throttle),
        ("RunTask has its effect, and no answer", "RunTask", 4, Fault::DropAfter),
        ("RunTask fails before anything happens", "RunTask", 4, Fault::DropBefore),
        ("RunTask has its effect, and says 500", "RunTask", 5, Fault::ServerErrorAfter),
        ("RunTask is never answered", "RunTask", 20, Fault::NeverAnswerAfter),
        ("DescribeTasks throttled", "DescribeTasks", 2, Fault::Throttle),
        ("DescribeTasks answers half", "DescribeTasks", 3, Fault::HalfBody),
        ("DescribeTasks hangs", "DescribeTasks", 7, Fault::NeverAnswer),
        ("GetLogEvents throttled", "GetLogEvents", 3, Fault::Throttle),
        ("GetLogEvents answers half", "GetLogEvents", 4, Fault::HalfBody),
        ("GetLogEvents hangs", "GetLogEvents", 30, Fault::NeverAnswer),
        ("GetLogEvents takes 20 s", "GetLogEvents", 40, Fault::Slow(20 * SECOND)),
        ("everything says 503", "*", 5, Fault::Unavailable),
    ];
    let (shards, lines) = (if is_full() { 200 } else { 25 }, 20);
    for (name, operation, every, fault) in rows {
        let mut fake =
            staging(Fake::in_memory()).task_life(shard_life(lines)).throttles_like_aws_at(25.0).missing_first(1);
        for nth in (1..5_000).filter(|it| it % every == 0) {
            fake = match *operation {
                // Not of what is asked before RunTask.
                "*" => fake.fault_at(nth as usize + 20, fault.clone()),
                operation => fake.fault(operation, nth, fault.clone()),
            };
        }
        let ran = run(fake.keeps_no_records(), &tasks(shards, ""), "", None);
        println!("{name}: {:.1} s, {:?}", ran.seconds, ran.calls);
        assert_eq!(ran.code, 0, "{name}: {}\n{:?}", ran.stderr, ran.output.events("finished"));
        ran.is_whole(shards, lines);
    }
}

#[test]
fn credentials_that_expire_are_renewed_once_for_all() {
    let fake = staging(Fake::in_memory()).task_life(shard_life(20)).throttles_like_aws_at(25.0);
    // At their source they are renewed only after a while.
    let ran = run(fake.keys_expire(2_000, 3_000).keys_expire(8_000, 0), &tasks(many(), ""), "", None);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.is_whole(many(), 20);
}

#[test]
fn capacity_for_half_of_them_takes_twice_as_long() {
    let fake = staging(Fake::in_memory()).task_life(shard_life(20)).throttles_like_aws_at(25.0);
    let fake = fake.capacity(many() as usize / 2);
    let ran = run(fake.keeps_no_records(), &tasks(many(), ""), "", None);
    println!("capacity for half of {}: {:.1} s, {:?}", many(), ran.seconds, ran.calls);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.is_whole(many(), 20);
    let told: Vec<String> = ran.output.events("warning").iter().map(|it| it["message"].to_string()).collect();
    assert!(told.iter().any(|it| it.contains("has no room for")), "{told:?}");
    assert!(ran.calls["RunTask"] < u64::from(many()) * 3 / 2, "asked for room again and again: {:?}", ran.calls);
    assert!(ran.seconds < 2.0 * floor(many(), 25.0), "{} s", ran.seconds);
}

#[test]
fn spot_takes_some_and_the_others_end_well() {
    let (shards, lines) = (many(), 20);
    let mut fake = staging(Fake::in_memory()).task_life(shard_life(lines)).throttles_like_aws_at(25.0);
    for shard in (0..shards).filter(|it| it % 10 == 3) {
        fake = fake.shard_life(shard, shard_life(lines).loses_spot_after(2_000));
    }
    let ran = run(fake, &tasks(shards, ""), "--keep-going", None);
    assert_eq!((ran.code, ran.alive), (125, 0), "{}", ran.stderr);
    assert_eq!(ran.output.wrong(), [] as [String; 0]);
    // SIGTERM comes half a second after Spot, the end 0.2 s later: 2.7 s of 5.
    let expected = |shard: u32| if shard % 10 == 3 { lines * 27 / 50 } else { lines };
    assert_eq!(ran.output.lines(), (0..shards).map(|it| (it, expected(it))).collect());
    assert!(ran.started.values().all(|it| *it == 1), "{:?}", ran.started);
    let last = ran.output.events("finished").pop().expect("there is a last event");
    let expected = serde_json::json!({ "stopped": shards / 10, "succeeded": shards - shards / 10 });
    assert_eq!(last["shards"]["outcomes"], expected, "{last}");
}

#[test]
fn the_first_failure_stops_the_others() {
    let life = shard_life(20).runs(60_000);
    let mut fake = staging(Fake::in_memory()).task_life(life).throttles_like_aws_at(25.0).keeps_no_records();
    fake = fake.shard_life(7, shard_life(20).exits(3));
    let ran = run(fake, &tasks(many(), ""), "", None);
    println!("stopped after a failure: {} were started, {:.1} s, {:?}", ran.started.len(), ran.seconds, ran.calls);
    assert_eq!((ran.code, ran.alive), (3, 0), "{}", ran.stderr);
    assert_eq!((ran.output.wrong(), ran.output.lines()[&7]), (Vec::new(), 20));
    assert!(ran.seconds < 45.0, "nobody waits for the others' end or for RunTask: {} s", ran.seconds);
    assert!(ran.started.values().all(|it| *it == 1), "{:?}", ran.started);
}

#[test]
fn an_interrupt_stops_all_of_them_at_the_rate_of_ecs() {
    let fake = staging(Fake::in_memory()).task_life(shard_life(20).runs(600_000)).throttles_like_aws_at(25.0);
    let (relay, signals) = Signals::relayed();
    // All are started by then.
    fake.at_call("DescribeTasks", if is_full() { 60 } else { 20 }, Moment::Answered, move || {
        relay.send(2).expect("somebody listens");
    });
    let shards = many() as usize;
    let ran = run(fake, &tasks(many(), ""), "", Some(signals));
    println!("interrupted: {:.1} s, {:?}", ran.seconds, ran.calls);
    assert_eq!((ran.code, ran.alive, ran.started.len()), (130, 0, shards), "{}", ran.stderr);
    assert_eq!(ran.output.wrong(), [] as [String; 0]);
    let stopped = ran.calls["StopTask"] as usize;
    assert!((shards..shards + 10).contains(&stopped), "one each, and few are refused: {stopped}");
    // 100 at once, 40 a second after that.
    let least = (shards as f64 - 100.0) / 40.0;
    let asked = ran.stopped_within.expect("ECS tasks were stopped");
    assert!(asked < least * 1.3 + 0.5, "{asked} s from the first StopTask to the last, and the limits allow {least} s");
}

#[test]
fn shards_through_the_binary_at_the_limits_of_aws() {
    let (shards, speed) = if is_full() { (100, 1.0) } else { (10, 10.0) };
    let fake = staging(Fake::with_speed(speed)).task_life(shard_life(200)).throttles_like_aws_at(25.0);
    let fake = fake.keeps_no_records();
    let ran = fleet::process(&fake, &tasks(shards, ""), "");
    let floor = floor(shards, 25.0);
    let seconds = ran.time.as_secs_f64() * speed;
    println!("{shards} shards in real time × {speed}: {seconds:.1} s, floor {floor:.1} s, {:?}", fake.counts());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.output.wrong(), [] as [String; 0]);
    assert_eq!(ran.output.lines(), (0..shards).map(|it| (it, 200)).collect());
    assert_eq!((fake.started().len(), fake.alive().len()), (shards as usize, 0));
    // Faster than real time the machine's own work counts as well.
    assert!(speed > 1.0 || seconds < floor * 1.3, "{seconds} s, and the limits allow {floor} s");
}
