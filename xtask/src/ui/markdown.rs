//! The Markdown of a job summary, in which nothing that others wrote can end a cell, a row or a fence.

use std::fmt::Write;
use std::time::Duration;

use crate::follow::words;
use crate::model::Timings;
use crate::ui::text;

/// Columns of the timeline.
const TIMELINE: f64 = 30.0;

/// Text of others as code in a cell of a Markdown table: without anything that could end the span, the cell or the row.
pub(super) fn code(text: &str) -> String {
    let text = text::clean(text.trim()).replace(['\n', '\t'], " ").replace('`', "'").replace('|', "\\|");
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Text of ours, which may quote others, in Markdown: what has a meaning there is escaped, backticks apart, which are meant.
pub(super) fn prose(text: &str) -> String {
    let mut escaped = String::new();
    for character in text::clean(text.trim()).replace(['\n', '\t'], " ").chars() {
        if "\\*_{}[]<>()#|!".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// A table of two columns without a head; rows without a value are left out.
pub(super) fn table(text: &mut String, rows: &[(&str, String)]) {
    text.push_str("| | |\n|---|---|\n");
    for (key, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "| {key} | {value} |");
    }
    text.push('\n');
}

/// How long each part took, one behind the other: a picture that needs no diagram support.
pub(super) fn timeline(text: &mut String, timings: &Timings) {
    let parts = [
        ("build", timings.build),
        ("push", timings.push),
        ("queue", timings.queue),
        ("pull", timings.pull),
        ("run", timings.run),
        ("stop", timings.stop),
    ];
    let parts: Vec<(&str, f64)> = parts.into_iter().filter_map(|(name, it)| Some((name, it?.max(0.0)))).collect();
    let sum: f64 = parts.iter().map(|(_, it)| it).sum();
    if sum <= 0.0 {
        return;
    }
    text.push_str("| part | time | |\n|---|--:|---|\n");
    let mut from = 0.0;
    let column = |seconds: f64| (seconds / sum * TIMELINE).round() as usize;
    for (name, seconds) in parts {
        let (begin, end) = (column(from), column(from + seconds));
        let bar = ["·".repeat(begin), "█".repeat(end - begin), "·".repeat(TIMELINE as usize - end)].concat();
        let _ = writeln!(text, "| {name} | {} | `{bar}` |", seconds_in_words(seconds));
        from += seconds;
    }
    if let Some(total) = timings.total {
        let _ = writeln!(text, "| total | {} | |", seconds_in_words(total));
    }
    text.push('\n');
}

fn seconds_in_words(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map(words).unwrap_or_default()
}

/// Lines in a fence longer than any row of backticks in them, so that they cannot end it.
pub(super) fn fenced(text: &mut String, lines: &[String]) {
    let longest = lines.iter().flat_map(|it| it.split(|it| it != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let _ = writeln!(text, "{fence}text");
    for line in lines {
        let _ = writeln!(text, "{}", text::clean(line));
    }
    let _ = write!(text, "{fence}\n\n");
}
