//! What goes wrong on purpose: by operation and number of the call, or by the number of the request; and token buckets, which
//! throttle as AWS does. Deciding is separate from doing: a door carries out what [`Fault`] says.

use std::ops::{Bound, RangeBounds};

use serde_json::json;

use super::life::Millis;
use super::wire::{Refusal, Request, Service};

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Too many calls. Nothing happens.
    Throttle,
    /// HTTP 500. Nothing happens.
    ServerError,
    /// HTTP 500, after it has happened.
    ServerErrorAfter,
    /// HTTP 503. Nothing happens.
    Unavailable,
    /// The caller may not.
    AccessDenied,
    /// The credentials have expired.
    ExpiredToken,
    /// The same of these ones only, by their access key.
    ExpiredKey(&'static str),
    /// GetLogEvents answers with an empty page that is not the end. In front of another's AWS only: see [`super::behind`].
    EmptyPage,
    /// DescribeTasks knows none of them.
    Missing,
    /// HTTP 400 with this code and message.
    Refuse(&'static str, &'static str),
    /// It happens, and the answer takes so long, on the fake's clock.
    Slow(Millis),
    /// The connection closes before anything happens.
    DropBefore,
    /// It happens, and the connection closes without an answer.
    DropAfter,
    /// It happens, and the connection closes in the middle of the answer.
    HalfBody,
    /// Nothing happens, and there is no answer; the connection stays open.
    NeverAnswer,
    /// It happens, and there is no answer; the connection stays open.
    NeverAnswerAfter,
}

impl Fault {
    /// Whether the call has its effect.
    pub fn acts(&self) -> bool {
        use Fault::{DropAfter, HalfBody, NeverAnswerAfter, ServerErrorAfter, Slow};
        matches!(self, ServerErrorAfter | Slow(_) | DropAfter | HalfBody | NeverAnswerAfter)
    }

    /// The answer of a call that has no effect and is answered all the same.
    pub fn answer(&self, request: &Request) -> Option<String> {
        match self {
            Fault::EmptyPage => {
                let token = super::behind::after_an_empty_page(request.str("nextToken"));
                Some(json!({ "events": [], "nextForwardToken": token, "nextBackwardToken": "b/" }).to_string())
            }
            Fault::Missing => {
                let failures = request.strings("tasks").into_iter().map(|it| json!({ "arn": it, "reason": "MISSING" }));
                Some(json!({ "tasks": [], "failures": failures.collect::<Vec<_>>() }).to_string())
            }
            _ => None,
        }
    }

    /// The refusal that is sent instead of an answer, in the words of the service.
    pub fn refusal(&self, service: Service, operation: &str, caller: &str) -> Option<Refusal> {
        let sts = service == Service::Sts;
        Some(match self {
            Fault::Throttle if sts => Refusal::new("Throttling", "Rate exceeded"),
            Fault::Throttle => Refusal::new("ThrottlingException", "Rate exceeded"),
            Fault::ServerError | Fault::ServerErrorAfter => {
                let code = if service == Service::Ecs { "ServerException" } else { "InternalFailure" };
                Refusal::new(code, "Service Unavailable. Please try again later.").status(500)
            }
            Fault::Unavailable => {
                let code = if sts { "ServiceUnavailable" } else { "ServiceUnavailableException" };
                Refusal::new(code, "Service is unable to handle request.").status(503)
            }
            Fault::AccessDenied => {
                let action = format!("{}:{operation}", service.as_str());
                let message = format!(
                    "User: {caller} is not authorized to perform: {action} because no identity-based policy allows the {action} action"
                );
                Refusal::new(if sts { "AccessDenied" } else { "AccessDeniedException" }, message).status(if sts {
                    403
                } else {
                    400
                })
            }
            Fault::ExpiredToken | Fault::ExpiredKey(_) if sts => {
                Refusal::new("ExpiredToken", "The security token included in the request is expired").status(403)
            }
            Fault::ExpiredToken | Fault::ExpiredKey(_) => {
                Refusal::new("ExpiredTokenException", "The security token included in the request is expired")
            }
            Fault::Refuse(code, message) => Refusal::new(code, *message),
            _ => return None,
        })
    }
}

/// Which calls a rule is about.
#[derive(Debug, Clone, PartialEq)]
enum Which {
    /// The calls of an operation with these numbers, from 1.
    Calls(String, u64, u64),
    /// The request with this number, from 0, whatever it is.
    Request(usize),
    /// The calls of an operation between these moments of the fake's clock.
    During(String, Millis, Millis),
}

/// The numbers of calls, from 1: `1`, `2..=4`, `3..`, `..` (all).
pub trait Calls {
    fn bounds(self) -> (u64, u64);
}

impl Calls for u64 {
    fn bounds(self) -> (u64, u64) {
        (self, self)
    }
}

macro_rules! ranges {
    ($($range:ty),*) => {
        $(impl Calls for $range {
            fn bounds(self) -> (u64, u64) {
                let first = match self.start_bound() {
                    Bound::Included(first) => *first,
                    _ => 1,
                };
                let last = match self.end_bound() {
                    Bound::Included(last) => *last,
                    Bound::Excluded(end) => *end - 1,
                    Bound::Unbounded => u64::MAX,
                };
                (first, last)
            }
        })*
    };
}
ranges!(std::ops::Range<u64>, std::ops::RangeInclusive<u64>, std::ops::RangeFrom<u64>, std::ops::RangeFull);

/// A token bucket of AWS.
#[derive(Debug, Clone)]
struct Bucket {
    operations: &'static [&'static str],
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Millis,
}

/// Burst and calls a second, in an account and region, of the operations that share a bucket. A call needs a token of each bucket that
/// it is in: Fargate counts RunTask once more.
const BUCKETS: &[(&[&str], f64, f64)] = &[
    (&["RegisterTaskDefinition", "DeregisterTaskDefinition"], 20.0, 1.0),
    (&["DeleteTaskDefinitions"], 5.0, 1.0),
    (&["DescribeTaskDefinition", "ListTaskDefinitions"], 50.0, 20.0),
    (&["RunTask", "StopTask", "ExecuteCommand"], 100.0, 40.0),
    (&["RunTask"], 100.0, 20.0),
    (&["DescribeTasks", "ListTasks"], 100.0, 20.0),
    (&["DescribeServices", "ListServices"], 100.0, 20.0),
    (&["DescribeClusters", "ListClusters"], 50.0, 20.0),
    (&["FilterLogEvents"], 10.0, 10.0),
];
/// Its rate is 10 in some regions and 25 in others, and no burst beyond a second of it.
const LOG_READS: &[&str] = &["GetLogEvents"];

/// All rules and buckets.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Vec<(Which, Fault)>,
    buckets: Vec<Bucket>,
}

impl Faults {
    pub fn calls(&mut self, operation: &str, calls: impl Calls, fault: Fault) {
        let (first, last) = calls.bounds();
        self.rules.push((Which::Calls(operation.to_owned(), first, last), fault));
    }

    pub fn request(&mut self, index: usize, fault: Fault) {
        self.rules.push((Which::Request(index), fault));
    }

    pub fn during(&mut self, operation: &str, from: Millis, to: Millis, fault: Fault) {
        self.rules.push((Which::During(operation.to_owned(), from, to), fault));
    }

    /// Throttles as AWS does in a region that allows so many reads of a stream a second.
    pub fn buckets(&mut self, log_reads: f64, now: Millis) {
        self.buckets = BUCKETS
            .iter()
            .chain(&[(LOG_READS, log_reads, log_reads)])
            .map(|(operations, burst, per_second)| Bucket {
                operations,
                burst: *burst,
                per_second: *per_second,
                tokens: *burst,
                at: now,
            })
            .collect();
    }

    /// What goes wrong with this request: `index` counts all from 0, `nth` those of the operation from 1. Rules come in the order
    /// in which they were made, the operation `*` is any.
    pub fn pick(&mut self, operation: &str, index: usize, nth: u64, now: Millis) -> Option<Fault> {
        let is = |it: &str| it == "*" || it == operation;
        let hit = self.rules.iter().find(|(which, _)| match which {
            Which::Calls(it, first, last) => is(it) && (*first..=*last).contains(&nth),
            Which::Request(it) => *it == index,
            Which::During(it, from, to) => (*from..*to).contains(&now) && is(it),
        });
        if let Some((_, fault)) = hit {
            return Some(fault.clone());
        }
        let mut buckets: Vec<&mut Bucket> =
            self.buckets.iter_mut().filter(|it| it.operations.contains(&operation)).collect();
        for bucket in &mut buckets {
            let refill = (now - bucket.at) as f64 / 1000.0 * bucket.per_second;
            bucket.tokens = (bucket.tokens + refill).min(bucket.burst);
            bucket.at = now;
        }
        if buckets.iter().any(|it| it.tokens < 1.0) {
            return Some(Fault::Throttle);
        }
        buckets.iter_mut().for_each(|it| it.tokens -= 1.0);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hit_their_calls_only() {
        let mut faults = Faults::default();
        faults.calls("RunTask", 2, Fault::DropAfter);
        faults.calls("GetLogEvents", 3.., Fault::Throttle);
        faults.calls("*", 9..11, Fault::ServerError);
        faults.request(4, Fault::NeverAnswer);
        faults.during("StopTask", 1000, 2000, Fault::Unavailable);
        for (operation, index, nth, now, expected) in [
            ("RunTask", 0, 1, 0, None),
            ("RunTask", 1, 2, 0, Some(Fault::DropAfter)),
            ("RunTask", 4, 3, 0, Some(Fault::NeverAnswer)),
            ("GetLogEvents", 5, 2, 0, None),
            ("GetLogEvents", 5, 300, 0, Some(Fault::Throttle)),
            ("DescribeTasks", 5, 8, 0, None),
            ("DescribeTasks", 5, 10, 0, Some(Fault::ServerError)),
            ("DescribeTasks", 5, 11, 0, None),
            ("StopTask", 5, 1, 1999, Some(Fault::Unavailable)),
            ("StopTask", 5, 1, 2000, None),
        ] {
            assert_eq!(faults.pick(operation, index, nth, now), expected, "{operation} {index} {nth} {now}");
        }
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let mut faults = Faults::default();
        faults.buckets(10.0, 0);
        let mut throttled =
            |now| (0..20).filter(|_| faults.pick("GetLogEvents", 0, 0, now) == Some(Fault::Throttle)).count();
        assert_eq!([throttled(0), throttled(0), throttled(500), throttled(60_000)], [10, 20, 15, 10]);
        // 100 at once, then 20 a second though the bucket that it shares with StopTask would give 40.
        let mut run = |now| (0..150).filter(|_| faults.pick("RunTask", 0, 0, now).is_none()).count();
        assert_eq!([run(60_000), run(61_000), run(62_000)], [100, 20, 20]);
        let stopped = (0..150).filter(|_| faults.pick("StopTask", 0, 0, 62_000).is_none()).count();
        assert_eq!(stopped, 40, "what RunTask left of the 100 and the refill of two seconds");
    }
}
