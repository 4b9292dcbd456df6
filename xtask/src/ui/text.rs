//! Text for people: colours, the width of characters on a terminal, what is safe to show of text that others wrote.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

/// The verbs of lines that say what was done.
pub(super) const GOOD: Style = AnsiColor::BrightGreen.on_default().bold();
/// The verbs of lines that say what goes on.
pub(super) const GOING: Style = AnsiColor::BrightCyan.on_default().bold();
/// Warnings, and ends that are nobody's failure.
pub(super) const WARN: Style = AnsiColor::BrightYellow.on_default().bold();
/// Errors and failures.
pub(super) const BAD: Style = AnsiColor::BrightRed.on_default().bold();
/// Line numbers and arrows beside a line of tasks.toml.
pub(super) const FRAME: Style = AnsiColor::BrightBlue.on_default().bold();
/// The message of an error or a warning.
pub(super) const STRONG: Style = Style::new().bold();
/// What is worth less than its line.
pub(super) const FAINT: Style = Style::new().dimmed();

/// Puts colours on text, where the stream wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn paint(self, style: Style, text: &str) -> Cow<'_, str> {
        if self.0 && !text.is_empty() { Cow::Owned(format!("{style}{text}{style:#}")) } else { Cow::Borrowed(text) }
    }
}

/// Text that others wrote, made harmless for a terminal: control characters would move the cursor or change colours. Line ends
/// become `\n`.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(|it: char| it.is_control() && it != '\n' && it != '\t') {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    let keep = |it: char| if it.is_control() && it != '\n' && it != '\t' { char::REPLACEMENT_CHARACTER } else { it };
    Cow::Owned(text.chars().map(keep).collect())
}

/// Text of several lines under a first line: each further line begins with `indent` and a bar. The bar keeps it from being read as
/// a workflow command, for which GitHub's runner looks behind leading spaces too.
pub(super) fn hang(text: &str, indent: &str) -> String {
    clean(text.trim_end()).replace('\n', &format!("\n{indent}| "))
}

/// Columns that a character takes on a terminal. Tabs are the caller's business.
pub(super) fn width(character: char) -> usize {
    match u32::from(character) {
        0..0x20 | 0x7f..0xa0 => 0,
        0x20..0x7f | 0xa0..0x300 => 1,
        // Combining marks, joiners, variation selectors.
        0x300..0x370 | 0x483..0x48a | 0x591..0x5be | 0x610..0x61b | 0x64b..0x660 | 0x1ab0..0x1b00 | 0x1dc0..0x1e00 => 0,
        0x200b..0x2010 | 0x2028..0x202f | 0x2060..0x2065 | 0x20d0..0x2100 | 0xfe00..0xfe10 | 0xfe20..0xfe30 => 0,
        0xfeff | 0xe0100..0xe01f0 => 0,
        // East Asian wide and full-width forms, emoji.
        0x1100..0x1160 | 0x231a..0x231c | 0x23e9..0x23ed | 0x2e80..0x303f | 0x3041..0xa4d0 | 0xa960..0xa980 => 2,
        0xac00..0xd7a4 | 0xf900..0xfb00 | 0xfe30..0xfe70 | 0xff01..0xff61 | 0xffe0..0xffe7 => 2,
        0x2705
        | 0x274c
        | 0x2728
        | 0x26a1
        | 0x1f300..0x1f650
        | 0x1f680..0x1f700
        | 0x1f900..0x1fb00
        | 0x20000..0x3fffe => 2,
        _ => 1,
    }
}

/// Columns that a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The text cut to so many columns, with `…` where something is missing.
pub(super) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if columns(text) <= limit {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut shown = String::new();
    for character in text.chars() {
        used += width(character);
        if used >= limit {
            break;
        }
        shown.push(character);
    }
    if limit > 0 {
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Spaces behind a text, up to so many columns.
pub(super) fn pad(text: &str, columns_wanted: usize) -> String {
    " ".repeat(columns_wanted.saturating_sub(columns(text)))
}

/// Arguments as a person would type them in a shell.
pub(super) fn command_line(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|it| {
        let plain = |it: char| it.is_alphanumeric() || "_@%+=:,./-".contains(it);
        if !it.is_empty() && it.chars().all(plain) { it.clone() } else { format!("'{}'", it.replace('\'', r"'\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_text_is_harmless() {
        for (text, expected) in [
            ("plain\ttext", "plain\ttext"),
            ("a\r\nb", "a\nb"),
            ("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
            ("over\rwritten", "over\u{fffd}written"),
        ] {
            assert_eq!(clean(text), expected);
        }
        assert_eq!(hang("one\n::error::two\n", "  "), "one\n  | ::error::two");
    }

    #[test]
    fn cutting_counts_columns() {
        for (text, limit, expected) in [
            ("status", 6, "status"),
            ("status", 5, "stat…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, limit), expected, "{text} {limit}");
            assert!(columns(&cut(text, limit)) <= limit);
        }
    }

    #[test]
    fn commands_are_quoted_where_a_shell_would_need_it() {
        let words = ["bin/rails", "db:migrate", "", "it's", "$HOME *"].map(str::to_owned);
        assert_eq!(command_line(&words), r"bin/rails db:migrate '' 'it'\''s' '$HOME *'");
    }
}
