//! A run's timings as a picture: how long each part took, one behind the other.

use std::time::Duration;

use crate::follow::words;
use crate::model::Timings;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// When it began, in seconds since the first part's begin.
    pub(super) from: f64,
    pub(super) seconds: f64,
}

/// The parts that are known, in their order. Without what this tool itself needed between them: the total is larger.
pub(super) fn parts(timings: &Timings) -> Vec<Part> {
    let parts = [
        ("build", timings.build),
        ("push", timings.push),
        ("queue", timings.queue),
        ("pull", timings.pull),
        ("run", timings.run),
        ("stop", timings.stop),
    ];
    let mut from = 0.0;
    let mut known = Vec::new();
    for (name, seconds) in parts {
        let Some(seconds) = seconds.filter(|it| it.is_finite()).map(|it| it.max(0.0)) else { continue };
        known.push(Part { name, from, seconds });
        from += seconds;
    }
    known
}

/// A line a part, with a bar of `#`: no colour, no character that a terminal could lack. Narrow enough for 60 columns.
pub(super) fn lines(timings: &Timings) -> Vec<String> {
    const COLUMNS: usize = 28;
    let parts = parts(timings);
    let sum: f64 = parts.iter().map(|it| it.seconds).sum();
    let column = |seconds: f64| if sum > 0.0 { (seconds / sum * COLUMNS as f64).round() as usize } else { 0 };
    let mut lines = Vec::new();
    for part in &parts {
        let (begin, end) = (column(part.from), column(part.from + part.seconds).min(COLUMNS));
        // What took any time at all is to be seen.
        let (begin, end) = match end > begin || part.seconds <= 0.0 {
            true => (begin, end),
            false => (begin.min(COLUMNS - 1), begin.min(COLUMNS - 1) + 1),
        };
        let bar = [" ".repeat(begin), "#".repeat(end - begin)].concat();
        lines.push(format!("{:<6} {:>6}  {bar}", part.name, in_words(part.seconds)).trim_end().to_owned());
    }
    if let Some(total) = timings.total {
        lines.push(format!("{:<6} {:>6}", "total", in_words(total)));
    }
    lines
}

pub(super) fn in_words(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map(words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_lie_one_behind_the_other() {
        let timings = crate::ui::samples::ending(crate::model::Outcome::Succeeded, 0).timings;
        let expected = [
            "build     40s  ############",
            "push       8s              ##",
            "queue      5s                ##",
            "pull     9.5s                  ##",
            "run       30s                    #########",
            "stop     2.5s                             #",
            "total   1m35s",
        ];
        // One column is 3.4 s.
        let lines = lines(&timings);
        assert_eq!(lines.len(), expected.len());
        assert_eq!(lines, expected);
        assert!(lines.iter().all(|it| it.len() + 13 <= 60));
    }

    #[test]
    fn what_is_not_known_is_left_out_and_what_took_no_time_has_no_bar() {
        let timings = Timings { run: Some(0.0), total: Some(0.2), ..Timings::default() };
        assert_eq!(lines(&timings), ["run        0s", "total    0.2s"]);
        assert_eq!(lines(&Timings::default()), [""; 0]);
        let timings = Timings { build: Some(1e6), push: Some(0.001), run: Some(f64::NAN), ..Timings::default() };
        let lines = lines(&timings);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('#') && lines[1].len() == 15 + 28, "{lines:?}");
    }
}
