//! What a verb does at the end of a stage, or when a signal comes before it.

use crate::error::{Error, Result};
pub use crate::follow::conclude;
use crate::tools::signals::Signals;

/// The stage's result, unless a signal comes first: then nothing was written.
pub async fn or_signal<T>(stage: impl Future<Output = Result<T>>, signals: &mut Signals) -> Result<T> {
    tokio::select! {
        result = stage => result,
        signal = signals.next() => Err(Error::interrupted(signal, "nothing was built or written")),
    }
}
