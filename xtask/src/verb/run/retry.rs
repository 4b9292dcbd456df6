//! The pause between two attempts: told, and ended by a signal.

use std::time::Duration;

use crate::error::Result;
use crate::event::Event;
use crate::model::{Ending, Outcome};
use crate::retry::Attempts;
use crate::tools::random::random_bytes;
use crate::tools::signals::{self, Signals};
use crate::verb::run::Run;

impl Run<'_> {
    /// From 0 to 1.
    pub(super) fn jitter() -> Result<f64> {
        Ok(f64::from(random_bytes::<1>()?[0]) / 255.0)
    }

    /// Says that another attempt follows, and waits. `Some`: a signal came, and none follows. `speed`: of time, on an endpoint of this machine.
    pub(super) async fn pause(
        &self,
        attempts: &Attempts,
        pause: Duration,
        speed: f64,
        signals: &mut Signals,
    ) -> Option<u8> {
        if let Some(last) = attempts.last() {
            self.cx.ui.emit(Event::Retrying {
                attempt: attempts.next(),
                of: attempts.most(),
                pause: pause.as_secs_f64(),
                last: last.clone(),
            });
        }
        tokio::select! {
            biased;
            signal = signals.next() => Some(signal),
            () = tokio::time::sleep(pause.div_f64(speed)) => None,
        }
    }

    /// The end of a task that a signal kept from being tried again.
    pub(super) fn ended_in_pause(&self, attempts: Attempts, signal: u8) -> Ending {
        let name = signals::name(signal.into());
        Ending {
            outcome: Outcome::Interrupted,
            exit_code: 128 + signal,
            run_id: self.run_id.clone(),
            explanation: Some(format!("{name} came in the pause before attempt {}: nothing runs", attempts.next())),
            attempts: attempts.all(),
            ..Ending::default()
        }
    }
}
