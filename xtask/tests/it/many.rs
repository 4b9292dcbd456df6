//! Hundreds of shards in seconds: the whole verb on the fake's door in memory and a paused clock, AWS's own rate limits on it. No line is
//! lost or doubled, the time is near to what the limits allow, and no fault of one is anybody else's.
//!
//! With XTASK_TEST_FULL it is 1,000 shards of 1,000 lines, and 100 in real time. `benches/shards.rs` has the table and the memory.

use crate::fake::{Fake, Fault, Millis};
use crate::inside::fleet::{self, floor, run, shard_life, staging, tasks};

/// The suite is to be quick, and an SDK that is compiled without optimisation is not: CI takes all of them.
fn is_full() -> bool {
    std::env::var("XTASK_TEST_FULL").as_deref() == Ok("1")
}

#[test]
fn all_lines_in_nearly_the_time_that_the_limits_allow() {
    let (shards, lines) = if is_full() { (1_000, 1_000) } else { (200, 50) };
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

/// What goes wrong, with 200 shards, and that nothing comes of it but time.
#[test]
fn faults_cost_nothing_but_time() {
    const SECOND: Millis = 1_000;
    let rows: &[(&str, &str, u64, Fault)] = &[
        ("RunTask throttled", "RunTask", 3, Fault::Throttle),
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
    let (shards, lines) = (200, 20);
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
fn a_hundred_for_real() {
    if !is_full() {
        return;
    }
    let fake = staging(Fake::with_speed(1.0)).task_life(shard_life(200)).throttles_like_aws_at(25.0).keeps_no_records();
    let ran = fleet::process(&fake, &tasks(100, ""), "");
    let floor = floor(100, 25.0);
    println!("100 shards in real time: {:.1} s, floor {floor:.1} s, {:?}", ran.time.as_secs_f64(), fake.counts());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.output.wrong(), [] as [String; 0]);
    assert_eq!(ran.output.lines(), (0..100).map(|it| (it, 200)).collect());
    assert_eq!((fake.started().len(), fake.alive().len()), (100, 0));
    assert!(ran.time.as_secs_f64() < floor * 1.3, "{:?}, and the limits allow {floor} s", ran.time);
}
