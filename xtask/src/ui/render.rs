//! Errors for people, in rustc's shape: the message, the place in tasks.toml, its line with carets, the hint. Written by hand
//! because the shape is ours (a fixed gutter, `hint:` beside it) and it is less than a library's setup.

use std::borrow::Cow;
use std::fmt::Write;

use crate::error::{Error, ErrorKind, Problem};
use crate::model::{Source, Span};
use crate::plan;
use crate::ui::text::{self, BAD, FRAME, GOING, Paint, STRONG, WARN};

/// A line of tasks.toml is shown this wide at most; of a longer one, the part around the carets.
const LONGEST: usize = 140;
/// How much of a cut line stands before the carets.
const BEFORE: usize = 40;

/// The line and the column of a byte, both from 1; columns count characters. An offset beyond the end is the end's.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let offset = floor(text, offset);
    let start = line_start(text, offset);
    (text[..start].matches('\n').count() + 1, text[start..offset].chars().count() + 1)
}

/// Renders an error: each problem, and what was already done.
pub(super) fn error(error: &Error, paint: Paint) -> String {
    let heading = match error.kind {
        // Who pressed Ctrl-C knows why; there is nothing to be alarmed about.
        ErrorKind::Interrupted(_) => paint.paint(WARN, "interrupted"),
        ErrorKind::Refused | ErrorKind::Failed => paint.paint(BAD, "error"),
    };
    let source = error.source.as_deref();
    let places = error.problems.iter().filter_map(|it| source.zip(it.span));
    let lines = places.map(|(source, span)| line_and_column(&source.text, span.start).0);
    // Two digits at least, so that the frames of most errors line up.
    let gutter = lines.max().unwrap_or(0).to_string().len().max(2);
    let mut out = String::new();
    for (index, problem) in error.problems.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        message(&mut out, &heading, &problem.message, paint);
        if let Some((source, span)) = source.zip(problem.span) {
            place(&mut out, source, span, gutter, paint);
        }
        hint(&mut out, problem.hint.as_deref(), paint);
    }
    if let Some(done) = &error.done {
        note(&mut out, done, paint);
    }
    out
}

/// Renders an error that is known by its event only: without the line itself.
pub(super) fn problem(problem: &Problem, place: Option<&str>, done: Option<&str>, paint: Paint) -> String {
    let mut out = String::new();
    message(&mut out, &paint.paint(BAD, "error"), &problem.message, paint);
    if let Some(place) = place {
        let _ = writeln!(out, "  {} {place}", paint.paint(FRAME, "-->"));
    }
    hint(&mut out, problem.hint.as_deref(), paint);
    if let Some(done) = done {
        note(&mut out, done, paint);
    }
    out
}

/// `heading: message`, in one or more lines.
pub(super) fn message(out: &mut String, heading: &str, message: &str, paint: Paint) {
    let message = text::hang(message, "  ");
    let _ = writeln!(out, "{heading}{}", paint.paint(STRONG, &format!(": {message}")));
}

/// The one thing to do.
pub(super) fn hint(out: &mut String, hint: Option<&str>, paint: Paint) {
    if let Some(hint) = hint {
        let _ = writeln!(out, "  {} {}", paint.paint(GOING, "hint:"), text::hang(hint, "  "));
    }
}

fn note(out: &mut String, note: &str, paint: Paint) {
    let _ = writeln!(out, "  {} {}", paint.paint(STRONG, "note:"), text::hang(note, "  "));
}

fn place(out: &mut String, source: &Source, span: Span, gutter: usize, paint: Paint) {
    let text = source.text.as_str();
    let start = floor(text, span.start);
    let line_begin = line_start(text, start);
    let line = text[line_begin..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let line_end = line_begin + line.len();
    // A span that begins in the line end points behind the last character; of one over several lines the first is shown.
    let before = text[line_begin..start.min(line_end)].chars().count();
    let end = floor(text, span.end).clamp(start, line_end.max(start));
    let marked = text[start..end].chars().count().max(1);
    let (line_number, column) = line_and_column(text, start);

    // Stars for each character, so that the count of characters before the carets stays true.
    let line = plan::covered(line, start - line_begin..end - line_begin);
    let (line, before) = part_of_line(&line, before);
    // The padding repeats the line's own tabs and takes two spaces for a wide character, so that the carets stand below theirs.
    let padding: String = line
        .chars()
        .take(before)
        .map(|it| if it == '\t' { Cow::Borrowed("\t") } else { Cow::Owned(" ".repeat(text::width(it))) })
        .collect();
    let carets: usize = line.chars().skip(before).take(marked).map(|it| text::width(it).max(1)).sum();

    let bar = paint.paint(FRAME, "|");
    let blank = " ".repeat(gutter);
    let numbered = format!("{line_number:>gutter$}");
    let _ = writeln!(out, "{blank}{} {}:{line_number}:{column}", paint.paint(FRAME, "-->"), source.path);
    let _ = writeln!(out, "{blank} {bar}");
    let _ = writeln!(out, "{} {bar}{}{line}", paint.paint(FRAME, &numbered), if line.is_empty() { "" } else { " " });
    let _ = writeln!(out, "{blank} {bar} {padding}{}", paint.paint(BAD, &"^".repeat(carets.max(1))));
}

/// The line as it is shown, and how many of its characters stand before the carets: without control characters, and of a very long
/// one only the part around them.
fn part_of_line(line: &str, before: usize) -> (String, usize) {
    let safe = |it: char| if it.is_control() && it != '\t' { char::REPLACEMENT_CHARACTER } else { it };
    let length = line.chars().count();
    if length <= LONGEST {
        return (line.trim_end().chars().map(safe).collect(), before);
    }
    let from = before.saturating_sub(BEFORE);
    let mut part: String = line.chars().skip(from).take(LONGEST).map(safe).collect();
    if from + LONGEST < length {
        part.push('…');
    }
    if from > 0 {
        part.insert(0, '…');
    }
    (part, before - from + usize::from(from > 0))
}

fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |it| it + 1)
}

/// The nearest start of a character at or before the offset.
fn floor(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn span_of(text: &str, needle: &str) -> Span {
        let start = text.find(needle).expect("the needle is in the text");
        Span { start, end: start + needle.len() }
    }

    fn rendered(text: &str, span: Span) -> String {
        let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: text.to_owned() });
        error(&Problem::new("m").at(span).refused().in_source(&source), Paint(false))
    }

    /// The three lines that depend on the place, without the frame's empty one.
    fn at(text: &str, span: Span) -> [String; 3] {
        let rendered = rendered(text, span);
        let lines: Vec<_> = rendered.lines().collect();
        assert_eq!((lines[0], lines[2], lines.len()), ("error: m", "   |", 5), "{rendered}");
        [lines[1].to_owned(), lines[3].to_owned(), lines[4].to_owned()]
    }

    #[test]
    fn an_error_has_its_place_its_line_and_a_hint() {
        let text = format!("{}cluster = \"stagng\"\n", "\n".repeat(6));
        let source = Arc::new(Source { path: "tasks.toml".to_owned(), text });
        let span = span_of(&source.text, "\"stagng\"");
        let message = "cannot start `db-migrate` in `staging`: ClusterNotFoundException: Cluster not found.";
        let failed = Problem::new(message)
            .at(span)
            .hint("clusters in eu-west-1: staging, tools")
            .failed()
            .in_source(&source)
            .done("the image is pushed, no ECS task was started");
        let expected = "\
error: cannot start `db-migrate` in `staging`: ClusterNotFoundException: Cluster not found.
  --> tasks.toml:7:11
   |
 7 | cluster = \"stagng\"
   |           ^^^^^^^^
  hint: clusters in eu-west-1: staging, tools
  note: the image is pushed, no ECS task was started
";
        assert_eq!(error(&failed, Paint(false)), expected);
        let coloured = error(&failed, Paint(true));
        assert!(coloured.contains("\u{1b}["), "{coloured}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), expected);
    }

    #[test]
    fn several_problems_are_apart_and_share_a_gutter() {
        let text = format!("\na = 1\n{}b = 2\n", "\n".repeat(120));
        let source = Arc::new(Source { path: "t".to_owned(), text });
        let problems = vec![
            Problem::new("first").at(span_of(&source.text, "1")),
            Problem::new("second\nof two lines"),
            Problem::new("third").at(span_of(&source.text, "b")).hint("so"),
        ];
        let expected = "\
error: first
   --> t:2:5
    |
  2 | a = 1
    |     ^

error: second
  | of two lines

error: third
   --> t:123:1
    |
123 | b = 2
    | ^
  hint: so
";
        assert_eq!(error(&Error::all_refused(problems).in_source(&source), Paint(false)), expected);
    }

    #[test]
    fn without_a_source_or_for_a_signal() {
        let span = Span { start: 0, end: 1 };
        let lost = Problem::new("no file").at(span).hint("run `cargo xtask init`").refused();
        assert_eq!(error(&lost, Paint(false)), "error: no file\n  hint: run `cargo xtask init`\n");
        let interrupted = Error::interrupted(2, "no ECS task was started").done("the image is pushed");
        let expected = "interrupted: no ECS task was started\n  note: the image is pushed\n";
        assert_eq!(error(&interrupted, Paint(false)), expected);
    }

    #[test]
    fn carets_stand_below_their_characters() {
        for (text, needle, expected) in [
            ("key = value", "value", ["  --> tasks.toml:1:7", " 1 | key = value", "   |       ^^^^^"]),
            ("a\n\tkey =\tvalue\n", "value", ["  --> tasks.toml:2:8", " 2 | \tkey =\tvalue", "   | \t     \t^^^^^"]),
            ("日本 = 語語", "語語", ["  --> tasks.toml:1:6", " 1 | 日本 = 語語", "   |        ^^^^"]),
            ("e\u{301} = x", "x", ["  --> tasks.toml:1:6", " 1 | e\u{301} = x", "   |     ^"]),
            ("a = 1\r\nb = 2\r\n", "2", ["  --> tasks.toml:2:5", " 2 | b = 2", "   |     ^"]),
            ("a = 1\r\nb = 2\r\n", "\r\nb", ["  --> tasks.toml:1:6", " 1 | a = 1", "   |      ^"]),
            ("a = [\n  1,\n]\n", "[\n  1,\n]", ["  --> tasks.toml:1:5", " 1 | a = [", "   |     ^"]),
            ("x = '\u{1b}[2J'", "'\u{1b}[2J'", ["  --> tasks.toml:1:5", " 1 | x = '\u{fffd}[2J'", "   |     ^^^^^^"]),
            ("a = 1  \n", "1", ["  --> tasks.toml:1:5", " 1 | a = 1", "   |     ^"]),
        ] {
            assert_eq!(at(text, span_of(text, needle)), expected, "{text:?}");
        }
    }

    #[test]
    fn ends_and_odd_spans() {
        let span = |start, end| Span { start, end };
        for (text, span, expected) in [
            ("a = 1", span(5, 5), ["  --> tasks.toml:1:6", " 1 | a = 1", "   |      ^"]),
            ("a = 1\n", span(6, 6), ["  --> tasks.toml:2:1", " 2 |", "   | ^"]),
            ("a = 1\n", span(99, 120), ["  --> tasks.toml:2:1", " 2 |", "   | ^"]),
            ("", span(0, 0), ["  --> tasks.toml:1:1", " 1 |", "   | ^"]),
            ("a = 1", span(2, 2), ["  --> tasks.toml:1:3", " 1 | a = 1", "   |   ^"]),
            ("a = 1", span(4, 2), ["  --> tasks.toml:1:5", " 1 | a = 1", "   |     ^"]),
            ("é = 1", span(1, 2), ["  --> tasks.toml:1:1", " 1 | é = 1", "   | ^"]),
        ] {
            assert_eq!(at(text, span), expected, "{text:?} {span:?}");
        }
    }

    #[test]
    fn of_a_long_line_the_part_around_the_carets_is_shown() {
        let text = format!("{}needle{}", "a".repeat(1000), "b".repeat(1000));
        let [place, line, carets] = at(&text, span_of(&text, "needle"));
        assert_eq!(place, "  --> tasks.toml:1:1001");
        assert_eq!(line, format!(" 1 | …{}needle{}…", "a".repeat(BEFORE), "b".repeat(LONGEST - BEFORE - 6)));
        assert_eq!(carets, format!("   | {}^^^^^^", " ".repeat(BEFORE + 1)));
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "ab\nçd\r\n\nx";
        for (offset, expected) in [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (1, 3)),
            (3, (2, 1)),
            (4, (2, 1)),
            (5, (2, 2)),
            (8, (3, 1)),
            (9, (4, 1)),
            (10, (4, 2)),
            (1000, (4, 2)),
        ] {
            assert_eq!(line_and_column(text, offset), expected, "{offset}");
        }
    }
}
