//! Arbitrary pages: whatever CloudWatch Logs answers within its promises (pages of any size, empty ones, late lines, equal time stamps, expired
//! tokens, faults for a while), every line is printed once, in order, and the following ends and says that the output is complete.

use super::*;
use crate::random::{Random, rounds};

/// A log, and what goes wrong on the way to it.
struct Log {
    /// Time stamp in milliseconds, and from when on it can be read.
    lines: Vec<(i64, f64)>,
    ends: f64,
    grace: f64,
    latency: f64,
    slow_output: f64,
    page: u64,
    empty: u64,
    faults: u64,
    expiries: u64,
    faulty_until: f64,
}

impl Log {
    fn new(random: &mut Random) -> Log {
        let part = |random: &mut Random| random.below(1_000) as f64 / 1_000.0;
        let ends = 6.0 + part(random) * 60.0;
        let count = random.below(60);
        let mut stamps: Vec<i64> =
            (0..count).map(|_| (5_000.0 + part(random) * (ends - 5.0) * 1_000.0) as i64).collect();
        if random.below(2) == 0 {
            // Many of them in one millisecond.
            stamps.iter_mut().for_each(|it| *it -= *it % 4_000);
        }
        stamps.sort_unstable();
        let lag = [0.0, 0.3, 2.4][random.below(3) as usize];
        let mut seen = 0.0_f64;
        let lines = stamps.into_iter().map(|at| {
            seen = seen.max(at as f64 / 1_000.0 + part(random) * lag);
            (at, seen)
        });
        Log {
            lines: lines.collect(),
            ends,
            grace: [0.0, 1.0, 30.0][random.below(3) as usize],
            latency: [0.01, 0.2, 1.5][random.below(3) as usize],
            slow_output: [0.0, 0.0, 5.0][random.below(3) as usize],
            page: 1 + random.below(20),
            empty: random.below(3),
            faults: random.below(3),
            expiries: random.below(3),
            faulty_until: ends + part(random) * 90.0,
        }
    }

    fn read(&self, token: Option<&str>, from: Option<Timestamp>, now: f64, random: &mut Random) -> Fact {
        if now < 5.5 {
            return Fact::LogMissing("The specified log stream does not exist.".to_owned());
        }
        let is_faulty = now < self.faulty_until;
        if is_faulty && random.below(10) < self.faults {
            let trouble = [Trouble::Throttled, Trouble::Passing, Trouble::Credentials][random.below(3) as usize];
            return Fact::LogFailed { cause: "x".to_owned(), trouble };
        }
        if is_faulty && token.is_some() && random.below(20) < self.expiries {
            return Fact::LogTokenExpired("x".to_owned());
        }
        // Without a token it begins with the first line of that time.
        let first = from.map_or(0, |from| self.lines.partition_point(|it| it.0 < from.0));
        let place: usize = token.map_or(first, |it| it.split('-').next().unwrap().parse().unwrap());
        let readable = self.lines.partition_point(|it| it.1 <= now);
        if place >= readable {
            return Fact::Page { events: Vec::new(), next_token: Some(token.unwrap_or("0-0").to_owned()) };
        }
        let nonce = random.next();
        if random.below(4) < self.empty {
            return Fact::Page { events: Vec::new(), next_token: Some(format!("{place}-{nonce}")) };
        }
        let to = readable.min(place + 1 + random.below(self.page) as usize);
        let events = (place..to).map(|it| LogEvent { timestamp: Timestamp(self.lines[it].0), message: it.to_string() });
        let events = events.filter(|it| from.is_none_or(|from| it.timestamp >= from)).collect();
        Fact::Page { events, next_token: Some(format!("{to}-{nonce}")) }
    }
}

#[test]
fn any_pages_print_every_line_once() {
    for seed in 0..rounds(1_500) {
        let mut random = Random::new(seed);
        let log = Log::new(&mut random);
        let world = World { ends: log.ends, grace: log.grace, running: 5.0, ..World::default() };
        let mut machine = Follow::new(Target { timeout: None, attended: true, ..target() });
        let (mut now, mut printed) = (0.0_f64, Vec::<usize>::new());
        let mut under_way: Vec<(f64, Fact)> = Vec::new();
        let mut actions = machine.on(Fact::Tick, Duration::ZERO);
        let finish = 'ends: {
            for _ in 0..20_000 {
                for action in actions {
                    let fact = match action {
                        Action::Describe if now < log.faulty_until && random.below(10) < log.faults => {
                            Fact::DescribeFailed { cause: "x".to_owned(), trouble: Trouble::Passing }
                        }
                        Action::Describe => Fact::Described(Box::new(task_at(&world, None, now))),
                        Action::ReadLog { token, from } => log.read(token.as_deref(), from, now, &mut random),
                        Action::Print(events) => {
                            printed.extend(events.iter().map(|it| it.message.parse::<usize>().unwrap()));
                            under_way.push((now + log.slow_output, Fact::Printed));
                            continue;
                        }
                        Action::Tell(_) => continue,
                        Action::Stop(reason) => panic!("seed {seed}: it stops: {reason}"),
                        Action::Finish(finish) => break 'ends Some(*finish),
                    };
                    under_way.push((now + log.latency * (random.below(1_000) as f64 / 1_000.0), fact));
                }
                under_way.sort_by(|one, other| one.0.total_cmp(&other.0));
                let next = under_way.first().map_or(f64::MAX, |it| it.0);
                let wake = machine.wake_at();
                let wake = if wake == Duration::MAX { f64::MAX } else { wake.as_secs_f64() };
                assert!(next.min(wake) < f64::MAX, "seed {seed}: it waits for nothing");
                let fact = if next <= wake { under_way.remove(0).1 } else { Fact::Tick };
                now = next.min(wake).max(now);
                actions = machine.on(fact, seconds(now));
            }
            None
        };
        let finish = finish.unwrap_or_else(|| panic!("seed {seed}: no end at {now}"));
        assert_eq!(printed, (0..log.lines.len()).collect::<Vec<_>>(), "seed {seed}, at {now}: {:?}", finish.log);
        assert_eq!(finish.log, LogEnd::Complete, "seed {seed}, at {now}");
    }
}
