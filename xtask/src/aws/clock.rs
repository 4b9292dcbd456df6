//! AWS's clock, by the header Date of its answers: the one clock that all callers share. Not this machine's, which may be wrong.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::{DateTime, Format};
use tokio::time::Instant;

use crate::exclusive::Moment;
use crate::model::Timestamp;

/// A point in time of this machine, to be told in AWS's time once an answer has been had.
///
/// Two clocks: the monotonic one stands still while a laptop sleeps, and the other one is set from time to time.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    steady: Instant,
    wall: SystemTime,
}

impl Stamp {
    /// Now.
    pub fn now() -> Stamp {
        Stamp { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// The most time that can have passed since.
    pub fn age(self) -> Duration {
        Duration::from_millis(u64::try_from(self.until(Stamp::now()).1).unwrap_or_default())
    }

    /// The least and the most time from this to a later one, in milliseconds.
    fn until(self, later: Stamp) -> (i64, i64) {
        let millis = |it: Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX / 4);
        let steady = match later.steady.checked_duration_since(self.steady) {
            Some(it) => millis(it),
            None => -millis(self.steady.duration_since(later.steady)),
        };
        let wall = match later.wall.duration_since(self.wall) {
            Ok(it) => millis(it),
            Err(error) => -millis(error.duration()),
        };
        // A clock that is set back must not make less time pass than did, nor one that is set forward more at the other end.
        (steady.min(wall).max(if steady > 0 { 0 } else { i64::MIN }), steady.max(wall))
    }
}

/// An answer's Date, and when its request left and it came.
#[derive(Debug, Clone, Copy)]
struct Sample {
    date: i64,
    sent: Stamp,
    got: Stamp,
}

impl Sample {
    /// A Date has whole seconds, and was written between `sent` and `got`.
    fn at(&self, stamp: Stamp, speed: f64) -> Moment {
        let scaled = |millis: i64| (millis as f64 * speed) as i64;
        let earliest = self.date + scaled(self.got.until(stamp).0);
        let latest = self.date + 999 + scaled(self.sent.until(stamp).1);
        Moment { earliest: Timestamp(earliest), latest: Timestamp(latest) }
    }
}

/// What the answers so far say of AWS's time. Clones share it.
#[derive(Debug, Clone)]
pub struct Clock {
    sample: Arc<Mutex<Option<Sample>>>,
    speed: f64,
}

impl Clock {
    /// Before the first answer. `speed`: how much faster than real time that clock runs, on a loopback endpoint.
    pub fn new(speed: f64) -> Clock {
        Clock { sample: Arc::default(), speed }
    }

    /// A point in time by the newest answer. `None`: no answer has said its Date.
    pub fn at(&self, stamp: Stamp) -> Option<Moment> {
        let sample = match self.sample.lock() {
            Ok(sample) => *sample,
            Err(poisoned) => *poisoned.into_inner(),
        };
        sample.map(|it| it.at(stamp, self.speed))
    }
}

/// When an attempt left.
#[derive(Debug)]
struct Sent(Stamp);

impl Storable for Sent {
    type Storer = StoreReplace<Sent>;
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Sent(Stamp::now()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|it| DateTime::from_str(it, Format::HttpDate).ok()).and_then(|it| it.to_millis().ok());
        let (Some(date), Some(sent), Ok(mut sample)) = (date, config.load::<Sent>(), self.sample.lock()) else {
            return Ok(());
        };
        *sample = Some(Sample { date, sent: sent.0, got: Stamp::now() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_known_as_well_as_its_answer_was_quick() {
        let start = Stamp::now();
        let later = |steady: u64, wall: u64| Stamp {
            steady: start.steady + Duration::from_millis(steady),
            wall: start.wall + Duration::from_millis(wall),
        };
        let sample = Sample { date: 1_000_000, sent: start, got: later(200, 200) };
        let at = |stamp: Stamp| {
            let moment = sample.at(stamp, 1.0);
            (moment.earliest.0 - 1_000_000, moment.latest.0 - 1_000_000)
        };
        assert_eq!(at(later(200, 200)), (0, 1199), "when the answer came");
        assert_eq!(at(start), (-200, 999), "when the request left");
        assert_eq!(at(later(5_200, 5_200)), (5_000, 6_199));
        assert_eq!(at(later(5_200, 3_605_200)), (5_000, 3_606_199), "this machine slept, or its clock was set forward");
        assert_eq!(sample.at(later(1_200, 1_200), 60.0).earliest.0 - 1_000_000, 60_000);
        let back = Stamp { wall: start.wall - Duration::from_secs(3600), ..later(5_200, 0) };
        assert_eq!(at(back), (0, 6_199), "its clock was set back");
    }
}
