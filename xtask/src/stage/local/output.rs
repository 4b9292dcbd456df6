//! A task's output that comes through us: as `log` events, or to the byte.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use crate::event::Event;
use crate::model::Timestamp;
use crate::ui::{Stream, Ui};

/// How long a stream may stay silent after the task's end while something that the task left behind holds it open.
const SILENCE: Duration = Duration::from_secs(1);

/// As much as a pipe holds.
const BUFFER: usize = 64 * 1024;

/// Emits every line of the stream as an event until it ends; `over` tells that the task has ended.
pub async fn log(ui: &Ui, container: &str, stream: impl AsyncRead + Unpin, over: oneshot::Receiver<()>) {
    by_line(stream, over, async |lines| {
        let timestamp = now();
        let event = |message| Event::Log { message, timestamp, container: container.to_owned() };
        ui.log(lines.into_iter().map(event).collect()).await;
    })
    .await;
}

/// Hands every line of a shard's standard error on to ours, with its number, until it ends; `over` as above.
pub async fn complaints(ui: &Ui, stream: impl AsyncRead + Unpin, over: oneshot::Receiver<()>) {
    by_line(stream, over, async |lines| ui.complaints(lines).await).await;
}

async fn by_line(
    mut stream: impl AsyncRead + Unpin,
    mut over: oneshot::Receiver<()>,
    mut take: impl AsyncFnMut(Vec<String>),
) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; BUFFER];
    let mut ended = false;
    loop {
        let read = read(&mut stream, &mut buffer, &mut over, &mut ended).await;
        let found = if read == 0 { lines.finish().into_iter().collect() } else { lines.push(&buffer[..read]) };
        if !found.is_empty() {
            take(found).await;
        }
        if read == 0 {
            return;
        }
    }
}

/// Hands every byte of the stream on to one of ours until it ends; `over` tells that the task has ended. Goes on where ours is broken:
/// whoever writes into the other end must not hear of that.
pub async fn copy(ui: &Ui, to: Stream, mut stream: impl AsyncRead + Unpin, mut over: oneshot::Receiver<()>) {
    let mut buffer = vec![0; BUFFER];
    let mut ended = false;
    loop {
        match read(&mut stream, &mut buffer, &mut over, &mut ended).await {
            0 => return,
            read => ui.raw(to, buffer[..read].to_vec()).await,
        }
    }
}

/// How many bytes came; none at the end.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    over: &mut oneshot::Receiver<()>,
    ended: &mut bool,
) -> usize {
    if !*ended {
        tokio::select! {
            // A pipe that cannot be read has ended.
            read = stream.read(buffer) => return read.unwrap_or(0),
            _ = over => *ended = true,
        }
    }
    let read = tokio::time::timeout(SILENCE, stream.read(buffer)).await;
    read.map_or(0, |it| it.unwrap_or(0))
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
