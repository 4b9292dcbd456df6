//! Errors of TOML itself. The parser recovers from some so well that the tree is whole; after others it reads the rest of the file as
//! something else. Those statements are blanked out one by one and the text is parsed again, so that each mistake is told once and
//! everything else is still checked, at its own place.

use std::collections::BTreeSet;

use toml::de::{DeTable, Error};

use crate::error::Problem;
use crate::model::Span;

/// No file has so many mistakes that a reader would want more of them.
const MOST: usize = 100;

/// The text that can be read, and what had to be left out.
#[derive(Default)]
pub(super) struct Syntax {
    /// The text, statements that cannot be read replaced by blanks; every offset is as it was.
    pub text: String,
    /// The errors whose statement was left out.
    pub problems: Vec<Problem>,
    /// The keys of these statements: that they are missing is no second problem.
    pub unread: BTreeSet<String>,
    /// Whether the header of a table was left out, and its name with it.
    pub header_lost: bool,
    /// Errors beside which the tree is whole.
    pub mild: Vec<Mild>,
}

/// An error that left the tree whole.
pub(super) struct Mild {
    /// What is wrong.
    pub problem: Problem,
    /// Whether a problem that the reader finds at the same place says it better.
    pub yields: bool,
    /// Whether it makes a problem that the reader finds at the same place a mere consequence.
    pub hides: bool,
}

/// Reads the text as far as it can be read.
pub(super) fn check(text: &str) -> Syntax {
    let mut syntax = Syntax { text: text.to_owned(), ..Syntax::default() };
    loop {
        let (_, errors) = DeTable::parse_recoverable(&syntax.text);
        let Some(at) = errors.iter().filter(|it| !is_mild(it)).map(|it| place(it, &syntax.text).start).min() else {
            syntax.mild = mild(&errors, text);
            return syntax;
        };
        let before = syntax.text.trim_end().len();
        leave_out(&mut syntax, at);
        let stuck = syntax.text.trim_end().len() == before && syntax.text[at.min(before)..].trim().is_empty();
        if syntax.problems.len() >= MOST || stuck {
            syntax.text.clear();
            syntax.header_lost = true;
            return syntax;
        }
    }
}

/// Blanks out the statement that the first error is in, and says what is wrong with it.
fn leave_out(syntax: &mut Syntax, at: usize) {
    let text = std::mem::take(&mut syntax.text);
    let start = statement_start(&text, at);
    let is_header = text[start..].trim_start().starts_with('[');
    // A header takes the keys below it along: they would be read as another table's.
    let ends = |line: &str| if is_header { starts_header(line) } else { starts_header(line) || key_of(line).is_some() };
    // What is never closed is noticed at the end of the file.
    let at_end = at >= text.trim_end().len();
    let mut end = start;
    for line in text[start..].split_inclusive('\n') {
        // Noticed at the first word of a line that is a statement of its own: it is the line before that never ended.
        let word = end + line.len() - line.trim_start().len();
        if end > start && (word >= at || at_end) && ends(line) {
            break;
        }
        end += line.len();
    }
    let first_line = start + text[start..].find('\n').unwrap_or(text.len() - start);
    let chunk_end = if is_header { first_line } else { end };
    syntax.problems.push(describe(&text, start, chunk_end, at, is_header));
    for line in text[start..end].lines() {
        syntax.unread.extend(key_of(line).into_iter().flatten());
    }
    syntax.header_lost |= is_header;
    let blanks = text[start..end].chars().flat_map(|it| {
        let (blank, count) = if it == '\n' { ('\n', 1) } else { (' ', it.len_utf8()) };
        std::iter::repeat_n(blank, count)
    });
    syntax.text = text[..start].chars().chain(blanks).chain(text[end..].chars()).collect();
}

/// The start of the line on which the statement begins: the last one up to which everything can be read.
fn statement_start(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    let starts = std::iter::once(0).chain(text[..at].match_indices('\n').map(|it| it.0 + 1)).collect::<Vec<_>>();
    let errors = |start: usize| DeTable::parse_recoverable(&text[..start]).1;
    // A string over many lines that is never closed takes the rest of the file: only a line that opens one can be its start.
    let in_string =
        errors(text.len()).iter().any(|it| it.message().contains("multi-line") && place(it, text).start >= at);
    let last = starts.last().copied();
    starts
        .iter()
        .rev()
        .copied()
        .filter(|start| {
            let line = text[*start..].lines().next().unwrap_or_default();
            !in_string || Some(*start) == last || line.contains("\"\"\"") || line.contains("'''")
        })
        .find(|start| errors(*start).iter().all(is_mild))
        .unwrap_or(0)
}

/// The problem of the statement between `start` and `end`; `at` is where the parser noticed.
fn describe(text: &str, start: usize, end: usize, at: usize, is_header: bool) -> Problem {
    let statement = &text[start..end];
    let (_, errors) = DeTable::parse_recoverable(statement);
    if is_header && errors.iter().any(|it| it.message().starts_with("unclosed")) {
        let indent = statement.len() - statement.trim_start().len();
        let header = statement.trim().split('#').next().unwrap_or_default().trim_end();
        let place = Span { start: start + indent, end: start + indent + header.len() };
        return Problem::new("the header of the table is never closed").at(place).hint(format!("write `{header}]`"));
    }
    let last = errors.iter().map(Error::message).find(|it| it.starts_with("unclosed") || it.contains("multi-line"));
    if let (Some(_), Some(opener)) = (last, opener(statement)) {
        let (what, length, closer) = match &statement[opener..] {
            it if it.starts_with("\"\"\"") => ("string", 3, "\"\"\""),
            it if it.starts_with("'''") => ("string", 3, "'''"),
            it if it.starts_with('{') => ("table", 1, "}"),
            _ => ("list", 1, "]"),
        };
        let place = Span { start: start + opener, end: start + opener + length };
        return Problem::new(format!("the {what} is never closed")).at(place).hint(format!("end it with `{closer}`"));
    }
    let first = errors.iter().filter(|it| !is_mild(it)).min_by_key(|it| place(it, statement).start);
    let Some(first) = first else {
        // The statement alone can be read: it is its place in the file that is wrong.
        let place = token(text, Span { start: at, end: at });
        return Problem::new("this cannot be read as TOML").at(place);
    };
    let found = place(first, statement);
    let mut found = token(text, Span { start: start + found.start, end: start + found.end });
    let written = &text[found.start..found.end];
    let key = statement.split('=').next().unwrap_or_default().trim();
    let message = first.message().split(", expected").next().unwrap_or_default();
    let (message, hint) = match message {
        "key with no value" | "string values must be quoted" => {
            let key = key.split([':', '#', '\n']).next().unwrap_or_default().trim();
            let hint = Some(format!("write `{key} = …`"));
            if written.starts_with(':') || written.ends_with(':') {
                (format!("`{key}` is followed by `:`"), hint)
            } else {
                let indent = statement.len() - statement.trim_start().len();
                found = Span { start: start + indent, end: start + indent + key.len() };
                (format!("`{key}` has no value"), hint)
            }
        }
        "unexpected key or value" => {
            let value = statement.split_once('=').map_or("", |it| it.1).split('#').next().unwrap_or_default().trim();
            let hint = match value.contains(['"', '\'', '[', '{']) {
                true => "begin a new line for it, or take it out".to_owned(),
                false => format!("quote the value: `\"{value}\"`"),
            };
            (format!("unexpected `{written}` after the value"), Some(hint))
        }
        it if it.starts_with("missing comma") => {
            (format!("a comma is missing before `{written}`"), Some("put a `,` between them".to_owned()))
        }
        it if it.starts_with("extra comma") => ("one comma too many".to_owned(), Some("take it out".to_owned())),
        it if it.contains("basic string") || it.contains("literal string") => {
            let mark = if it.contains("literal") { '\'' } else { '"' };
            ("the string is never closed".to_owned(), Some(format!("end it with `{mark}`")))
        }
        it if it.contains("escape") => {
            // The parser points behind the backslash, or at the letter after it.
            let backslash = text[..found.end].rfind('\\').unwrap_or(found.start);
            let letter = text[backslash + 1..].chars().next().map_or(0, char::len_utf8);
            found = Span { start: backslash, end: backslash + 1 + letter };
            let hint = "write `\\\\` for a backslash, or put the string into single quotes";
            ("a backslash begins an unknown escape".to_owned(), Some(hint.to_owned()))
        }
        it => (it.to_owned(), None),
    };
    Problem { message, span: Some(found), hint }
}

/// The first byte of the value.
fn opener(statement: &str) -> Option<usize> {
    let equals = statement.find('=')?;
    let rest = &statement[equals + 1..];
    let blank = rest.len() - rest.trim_start().len();
    rest.trim_start().starts_with(['[', '{', '"', '\'']).then_some(equals + 1 + blank)
}

/// The segments of the key that the line begins with, where it reads `key = …`.
fn key_of(line: &str) -> Option<Vec<String>> {
    let mut segments = vec![String::new()];
    let mut open = None;
    for it in line.trim_start().chars() {
        match open {
            Some(mark) if it == mark => open = None,
            None if it == '"' || it == '\'' => open = Some(it),
            None if it == '=' => return (!segments.iter().any(String::is_empty)).then_some(segments),
            None if it == '.' => segments.push(String::new()),
            None if it == ' ' || it == '\t' => {}
            None if !(it.is_ascii_alphanumeric() || it == '-' || it == '_') => return None,
            _ => segments.last_mut()?.push(it),
        }
    }
    None
}

/// Whether the line is `[table]`, and not an element of a list of lists.
fn starts_header(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.strip_prefix('[').map(|it| it.strip_prefix('[').unwrap_or(it).trim_start());
    name.is_some_and(|it| it.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') && !line.contains(','))
}

fn place(error: &Error, text: &str) -> Span {
    let range = error.span().unwrap_or(0..0);
    Span { start: range.start.min(text.len()), end: range.end.min(text.len()) }
}

/// The whole word around a place: the parser points at a byte, or between two.
fn token(text: &str, place: Span) -> Span {
    let is_end = |it: char| it.is_whitespace() || matches!(it, ',' | ']' | '}' | '=' | '[' | '{');
    let mut place = place;
    if place.start == place.end {
        let line = text[..place.start].rfind('\n').map_or(0, |it| it + 1);
        if text[place.start..].starts_with(|it: char| !it.is_whitespace()) {
            let rest = &text[place.start..];
            let length = rest.find(is_end).unwrap_or(rest.len());
            place.end += length.max(rest.chars().next().map_or(0, char::len_utf8));
        } else {
            let before = text[line..place.start].trim_end();
            place.end = line + before.len();
            let word = before.trim_end_matches(|it: char| !is_end(it));
            place.start =
                (line + word.len()).min(place.end.saturating_sub(before.chars().last().map_or(0, char::len_utf8)));
        }
    }
    place
}

fn is_mild(error: &Error) -> bool {
    let has_text = error.span().is_some_and(|it| !it.is_empty());
    let message = error.message();
    ["duplicate key", "cannot extend"].iter().any(|it| message.starts_with(it))
        || has_text
            && ["invalid unquoted key", "string values must be quoted", "unexpected leading zero", "invalid boolean"]
                .iter()
                .any(|it| message.starts_with(it))
}

/// The errors that left the tree whole, in our words.
fn mild(errors: &[Error], text: &str) -> Vec<Mild> {
    let line_of = |at: usize| {
        let start = text[..at].rfind('\n').map_or(0, |it| it + 1);
        &text[start..start + text[start..].find('\n').unwrap_or(text.len() - start)]
    };
    let mut errors: Vec<(Span, &str)> = errors.iter().map(|it| (place(it, text), it.message())).collect();
    errors.sort();
    errors.dedup();
    let mut found = Vec::new();
    let mut double_table_until = 0;
    for (mut place, message) in errors {
        let (mut yields, mut hides) = (false, false);
        let written = &text[place.start..place.end];
        let problem = match message.split(", expected").next().unwrap_or_default() {
            it if it.starts_with("duplicate key") => {
                // The keys of a table that is there twice are each there twice: one mistake.
                if place.start < double_table_until {
                    continue;
                }
                if starts_header(line_of(place.start)) {
                    let rest = &text[place.end..];
                    let next = rest
                        .match_indices('\n')
                        .find(|it| starts_header(&rest[it.0 + 1..]))
                        .map_or(rest.len(), |it| it.0);
                    double_table_until = place.end + next;
                    hides = true;
                    Problem::new(format!("`{written}` is defined twice")).hint("put everything into one of them")
                } else {
                    Problem::new(format!("`{written}` is set twice")).hint("keep one of them")
                }
            }
            it if it.starts_with("cannot extend") => {
                Problem::new(format!("`{written}` has a value already and cannot be a table too"))
                    .hint("keep one of them")
            }
            it if it.starts_with("invalid unquoted key") => {
                let is_end = |it: char| it.is_whitespace() || matches!(it, ']' | '=' | '.' | ',' | '{' | '[');
                place.start -=
                    text[..place.start].chars().rev().take_while(|it| !is_end(*it)).map(char::len_utf8).sum::<usize>();
                place.end += text[place.end..].find(is_end).unwrap_or(text.len() - place.end);
                let written = &text[place.start..place.end];
                yields = true;
                Problem::new(format!("the key `{written}` is not quoted")).hint(format!("write `\"{written}\"`"))
            }
            it if it.starts_with("unexpected leading zero") => {
                place = token(text, Span { start: place.start, end: place.start });
                let written = &text[place.start..place.end];
                yields = true;
                Problem::new(format!("the number `{written}` begins with a zero"))
                    .hint(format!("quote it: `\"{written}\"`"))
            }
            _ => {
                hides = true;
                let boolean = written.to_lowercase();
                match boolean.as_str() {
                    "true" | "false" => {
                        Problem::new(format!("unknown value `{written}`")).hint(format!("write `{boolean}`"))
                    }
                    _ => Problem::new(format!("`{written}` is not quoted")).hint(format!("write `\"{written}\"`")),
                }
            }
        };
        found.push(Mild { problem: problem.at(place), yields, hides });
    }
    found
}
