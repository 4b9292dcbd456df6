//! The Markdown of a job summary, in which nothing that others wrote can end a cell, a row or a fence.

use std::fmt::Write;

use crate::model::{ShardsEnd, Timestamp, Timings, ranges};
use crate::ui::bars::{self, Part};
use crate::ui::board;
use crate::ui::text;

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

/// A table of the shards that did not succeed. A summary has room for many, not for any number.
pub(super) fn shards(text: &mut String, ends: &ShardsEnd) {
    const MOST: usize = 200;
    let counts: Vec<String> =
        ends.outcomes.iter().map(|(outcome, n)| format!("{n} {}", outcome.replace('-', " "))).collect();
    let _ = write!(text, "Of {} shards: {}.\n\n", ends.of, counts.join(", "));
    if !ends.failed.is_empty() {
        text.push_str("| shard | how it ended | ECS task |\n|---|---|---|\n");
        for end in ends.failed.iter().take(MOST) {
            let arn = end.task_arn.as_deref().map(code).unwrap_or_default();
            let _ = writeln!(text, "| {} | {} | {arn} |", end.shard, prose(&board::how(end)));
        }
        if ends.failed.len() > MOST {
            let rest: Vec<u32> = ends.failed.iter().skip(MOST).map(|it| it.shard).collect();
            let _ = writeln!(text, "| {} | did not succeed either | |", ranges(&rest));
        }
        text.push('\n');
    }
    if !ends.not_run.is_empty() {
        let _ = write!(text, "Not run: {}.\n\n", ranges(&ends.not_run));
    }
}

/// How long each part took, as a Gantt chart that GitHub draws.
pub(super) fn timeline(text: &mut String, timings: &Timings, now: Timestamp) {
    let parts: Vec<Part> = bars::parts(timings).into_iter().filter(|it| it.seconds > 0.0).collect();
    let Some(end) = parts.last().map(|it| it.from + it.seconds) else { return };
    // The axis shows a time of day. Of an hour or more that is what it should be; below it counts from nought, in any time zone.
    let (begin, axis) = if end < 3600.0 { (0, "%M:%S") } else { (now.0 - milliseconds(end), "%H:%M") };
    let title = timings.total.map(|it| format!("    title {} in total\n", bars::in_words(it))).unwrap_or_default();
    let _ = write!(text, "```mermaid\ngantt\n    dateFormat x\n    axisFormat {axis}\n{title}");
    for part in parts {
        let from = begin + milliseconds(part.from);
        // A bar of no width is none.
        let span = milliseconds(part.seconds).max(1);
        let _ = writeln!(text, "    {} {} :{from}, {span}ms", part.name, bars::in_words(part.seconds));
    }
    text.push_str("```\n\n");
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
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
