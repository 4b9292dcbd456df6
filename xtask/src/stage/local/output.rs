//! A task's standard output as `log` events.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use crate::event::Event;
use crate::model::Timestamp;
use crate::ui::Ui;

/// How long a stream may stay silent after the task's end while something that the task left behind holds it open.
const SILENCE: Duration = Duration::from_secs(1);

/// Emits every line of the stream as an event until it ends; `over` tells that the task has ended.
pub async fn log(ui: &Ui, container: &str, mut stream: impl AsyncRead + Unpin, mut over: oneshot::Receiver<()>) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut ended = false;
    loop {
        let read = if ended {
            tokio::time::timeout(SILENCE, stream.read(&mut buffer)).await.unwrap_or(Ok(0))
        } else {
            tokio::select! {
                read = stream.read(&mut buffer) => read,
                _ = &mut over => { ended = true; continue }
            }
        };
        // A pipe that cannot be read has ended.
        let read = read.unwrap_or(0);
        let found = if read == 0 { lines.finish().into_iter().collect() } else { lines.push(&buffer[..read]) };
        let timestamp = now();
        let event = |message| Event::Log { message, timestamp, container: container.to_owned() };
        let events: Vec<_> = found.into_iter().map(event).collect();
        if !events.is_empty() {
            ui.log(events).await;
        }
        if read == 0 {
            return;
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Bytes into lines, however they are cut.
#[derive(Debug, Default)]
struct Lines {
    /// A line whose end has not come yet.
    partial: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete, without their newlines.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let Some(last) = bytes.iter().rposition(|it| *it == b'\n') else {
            self.partial.extend_from_slice(bytes);
            return Vec::new();
        };
        self.partial.extend_from_slice(&bytes[..last]);
        let lines = self.partial.split(|it| *it == b'\n').map(text).collect();
        self.partial.clear();
        self.partial.extend_from_slice(&bytes[last + 1..]);
        lines
    }

    /// The last line, where it has no newline.
    fn finish(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        (!partial.is_empty()).then(|| text(&partial))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        let long = "x".repeat(150_000);
        for (bytes, expected) in [
            (b"".to_vec(), vec![]),
            (b"\n".to_vec(), vec![""]),
            (b"a\nb\n".to_vec(), vec!["a", "b"]),
            (b"a\n\nb".to_vec(), vec!["a", "", "b"]),
            (b"a\r\nb\rc\n".to_vec(), vec!["a\r", "b\rc"]),
            ("grün\nö".as_bytes().to_vec(), vec!["grün", "ö"]),
            (b"a\xff\nb".to_vec(), vec!["a\u{fffd}", "b"]),
            (format!("{long}\nend").into_bytes(), vec![&long, "end"]),
        ] {
            for size in [1, 2, 3, 7, 4096, 1 << 20] {
                if size < 4096 && bytes.len() > 10_000 {
                    continue;
                }
                let mut lines = Lines::default();
                let mut found: Vec<String> = bytes.chunks(size).flat_map(|it| lines.push(it)).collect();
                found.extend(lines.finish());
                assert!(found == expected, "{size}: {found:?}");
            }
        }
    }
}
