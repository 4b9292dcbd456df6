//! The status of the moment: one line redrawn on a terminal (of shards, with a few below it), a line every 30 s elsewhere.

use std::time::Duration;

use crate::follow::words;
use crate::ui::Size;
use crate::ui::board::{self, Row};
use crate::ui::output::Output;
use crate::ui::text::{self, GOING, Paint};

/// What is over sooner is not worth a line that flashes.
const DRAW_AFTER: Duration = Duration::from_millis(250);
/// Elsewhere than on a terminal: often enough to show that it is alive.
const REPEAT_AFTER: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// Goes to the start of the line and erases it.
const ERASE: &str = "\r\x1b[2K";
/// The same with the line above.
const ERASE_ABOVE: &str = "\x1b[1A\x1b[2K";

#[derive(Debug, Clone, PartialEq)]
struct Shown {
    /// For example `RUNNING`.
    what: String,
    /// What it waits for or the reason, behind the time.
    detail: Option<String>,
    since: Duration,
    /// The next time to draw or to repeat it.
    next: Duration,
    /// Of shards: what stands below.
    rows: Option<Vec<Row>>,
}

/// Owns the last line of the terminal.
#[derive(Debug)]
pub(super) struct Status {
    redraw: bool,
    paint: Paint,
    shown: Option<Shown>,
    /// So many lines stand there.
    drawn: usize,
}

impl Status {
    pub(super) fn new(redraw: bool, paint: Paint) -> Status {
        Status { redraw, paint, shown: None, drawn: 0 }
    }

    /// From now on this is the status.
    pub(super) fn set(&mut self, what: &str, detail: Option<&str>, now: Duration) {
        let first = if self.redraw { DRAW_AFTER } else { REPEAT_AFTER };
        let next = if self.drawn > 0 { now } else { now + first };
        let detail = detail.map(str::to_owned);
        self.shown = Some(Shown { what: what.to_owned(), detail, since: now, next, rows: None });
    }

    /// From now on this is the status of shards. Time goes on from the first of them.
    pub(super) fn set_board(&mut self, what: &str, rows: Vec<Row>, now: Duration) {
        match &mut self.shown {
            Some(shown) if shown.rows.is_some() => {
                // A change is worth a line of its own on a terminal only.
                if self.redraw && shown.what != what {
                    shown.next = shown.next.min(now);
                }
                what.clone_into(&mut shown.what);
                shown.rows = Some(rows);
            }
            _ => {
                self.set(what, None, now);
                if let Some(shown) = &mut self.shown {
                    shown.rows = Some(rows);
                }
            }
        }
    }

    /// There is no status until the next one is set, and the terminal is clear.
    pub(super) fn end(&mut self, out: &mut Output) {
        self.clear(out);
        self.shown = None;
    }

    /// Makes room for other lines. What was visible comes back as soon as there is nothing more to print.
    pub(super) fn clear(&mut self, out: &mut Output) {
        if self.drawn > 0 {
            self.erase(out);
            self.drawn = 0;
            if let Some(shown) = &mut self.shown {
                shown.next = Duration::ZERO;
            }
        }
    }

    /// From the last line up.
    fn erase(&self, out: &mut Output) {
        out.stderr(ERASE);
        for _ in 1..self.drawn {
            out.stderr(ERASE_ABOVE);
        }
    }

    /// When [`Status::tick`] has something to do.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.shown.as_ref().map(|it| it.next)
    }

    /// Draws or repeats what is due. `size` is asked for each time, because windows are resized.
    pub(super) fn tick(&mut self, now: Duration, size: &dyn Fn() -> Size, out: &mut Output) {
        let Some(shown) = &mut self.shown else { return };
        if now < shown.next {
            return;
        }
        let seconds = now.saturating_sub(shown.since).as_secs();
        let (step, elapsed) = (if self.redraw { SECOND } else { REPEAT_AFTER }, words(Duration::from_secs(seconds)));
        let steps = now.saturating_sub(shown.since).as_millis() / step.as_millis();
        shown.next = shown.since + step * u32::try_from(steps + 1).unwrap_or(u32::MAX);
        let detail = shown.detail.as_ref().map(|it| format!(": {}", text::clean(it).replace('\n', " ")));
        let detail = detail.unwrap_or_default();
        if !self.redraw {
            let verb = self.paint.paint(GOING, "      Status");
            let still = if shown.rows.is_some() { "" } else { "still " };
            out.stderr(&format!("{verb} {still}{} after {elapsed}{detail}\n", shown.what));
            return;
        }
        // One column stays free: a line that fills the last one wraps on some terminals.
        let line = format!("      Status {} {elapsed}{detail}", shown.what);
        let Size { columns, rows: most } = size();
        let line = text::cut(&line, columns.saturating_sub(1));
        let (verb, rest) = line.split_at_checked(12).unwrap_or(("", &line));
        let mut text = format!("{}{rest}", self.paint.paint(GOING, verb));
        // What does not fit could not be erased. A line above stays in sight.
        let rows = shown.rows.as_deref().unwrap_or_default();
        let rows = &rows[..rows.len().min(most.saturating_sub(2))];
        for row in rows {
            let line = format!("             {} {}", row.what, board::age(row, now));
            text.push('\n');
            text.push_str(&text::cut(&line, columns.saturating_sub(1)));
        }
        let lines = 1 + rows.len();
        if self.drawn > 0 {
            self.erase(out);
        } else {
            out.stderr(ERASE);
        }
        out.stderr(&text);
        self.drawn = lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn tick(status: &mut Status, milliseconds: u64) -> String {
        let mut out = Output::default();
        status.tick(at(milliseconds), &|| Size { columns: 40, rows: 4 }, &mut out);
        out.on_stderr()
    }

    #[test]
    fn a_terminals_line_appears_late_and_ticks_each_second() {
        let mut status = Status::new(true, Paint(false));
        status.set("PENDING", None, at(1000));
        assert_eq!(status.wake_at(), Some(at(1250)));
        assert_eq!(tick(&mut status, 1249), "");
        assert_eq!(tick(&mut status, 1250), "\r\x1b[2K      Status PENDING 0s");
        assert_eq!(status.wake_at(), Some(at(2000)));
        assert_eq!(tick(&mut status, 1999), "");
        assert_eq!(tick(&mut status, 2003), "\r\x1b[2K      Status PENDING 1s");
        assert_eq!(status.wake_at(), Some(at(3000)));
        // Once a line stands there, its change is shown at once, and time counts from the change.
        status.set("RUNNING", Some("pulling\nthe image from the registry"), at(2500));
        assert_eq!(tick(&mut status, 2500), "\r\x1b[2K      Status RUNNING 0s: pulling the i…");
        // A late wake-up skips the seconds that are over.
        assert_eq!(tick(&mut status, 9700), "\r\x1b[2K      Status RUNNING 7s: pulling the i…");
        assert_eq!(status.wake_at(), Some(at(10_500)));
    }

    #[test]
    fn a_status_of_a_moment_never_flashes() {
        let mut status = Status::new(true, Paint(false));
        status.set("reading", None, at(0));
        let mut out = Output::default();
        status.clear(&mut out);
        status.end(&mut out);
        assert_eq!(out.on_stderr(), "");
        assert_eq!(status.wake_at(), None);
        assert_eq!(tick(&mut status, 5000), "");
    }

    #[test]
    fn after_other_lines_it_comes_back_at_once() {
        let mut status = Status::new(true, Paint(true));
        status.set("RUNNING", None, at(0));
        assert_eq!(tick(&mut status, 250), "\r\x1b[2K\x1b[1m\x1b[96m      Status\x1b[0m RUNNING 0s");
        let mut out = Output::default();
        status.clear(&mut out);
        status.clear(&mut out);
        assert_eq!(out.on_stderr(), ERASE, "erased once");
        assert!(tick(&mut status, 260).contains("RUNNING 0s"));
        status.end(&mut out);
        assert_eq!(status.wake_at(), None);
    }

    #[test]
    fn elsewhere_it_is_repeated_every_half_minute() {
        let mut status = Status::new(false, Paint(false));
        status.set("RUNNING", None, at(5_000));
        assert_eq!(tick(&mut status, 34_999), "");
        assert_eq!(tick(&mut status, 35_000), "      Status still RUNNING after 30s\n");
        assert_eq!(tick(&mut status, 35_001), "");
        assert_eq!(tick(&mut status, 65_000), "      Status still RUNNING after 1m\n");
        assert_eq!(tick(&mut status, 95_500), "      Status still RUNNING after 1m30s\n");
        assert_eq!(status.wake_at(), Some(at(125_000)));
        let mut out = Output::default();
        status.clear(&mut out);
        assert_eq!(out.on_stderr(), "", "there is nothing to erase");
    }

    #[test]
    fn a_board_is_no_higher_than_the_terminal_and_is_erased_whole() {
        let mut status = Status::new(true, Paint(false));
        let row = |shard: u32| Row { what: format!("[{shard}/9] RUNNING"), since: at(0) };
        status.set_board("3 running of 9 shards", (0..3).map(row).collect(), at(0));
        let board = "\r\x1b[2K      Status 3 running of 9 shards 0s\n             [0/9] RUNNING 0s\n             [1/9] RUNNING 0s";
        assert_eq!(tick(&mut status, 250), board);
        let mut out = Output::default();
        status.clear(&mut out);
        assert_eq!(out.on_stderr(), format!("{ERASE}{ERASE_ABOVE}{ERASE_ABOVE}"));
        assert_eq!(tick(&mut status, 260), board, "it comes back");
    }

    #[test]
    fn a_narrow_terminal_gets_what_fits() {
        let mut status = Status::new(true, Paint(true));
        status.set("RUNNING", None, at(0));
        for (width, expected) in [(13, "      Statu…"), (9, "      S…"), (3, " …"), (1, ""), (0, "")] {
            let mut out = Output::default();
            status.shown.as_mut().expect("it was set").next = Duration::ZERO;
            status.tick(at(300), &|| Size { columns: width, rows: 24 }, &mut out);
            let text = out.on_stderr();
            let plain = anstream::adapter::strip_str(text.strip_prefix(ERASE).expect("it erases first")).to_string();
            assert_eq!(plain, expected, "{width}");
        }
    }
}
