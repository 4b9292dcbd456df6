//! Reading values with their places out of the parsed TOML, and collecting what is wrong with them. It goes on after each problem, so
//! that all of them are told in one go. It knows TOML's types, not the keys.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::keys::Takes;
use super::values::{Read, Wrong};
use crate::error::Problem;
use crate::model::{Origin, Sourced, Span};

/// A key of a table and its value.
pub(super) struct Entry<'a> {
    /// The full key: `environments.staging.cluster`.
    pub path: String,
    /// Its last segment.
    pub name: &'a str,
    /// The place of the key.
    pub key: Span,
    /// The value.
    pub value: &'a DeValue<'a>,
    /// The place of the value; of the key where the value is a table with a header or dotted keys of its own.
    pub span: Span,
}

impl Entry<'_> {
    /// Where a value of this key came from.
    pub fn origin(&self) -> Origin {
        Origin::File { key: self.path.clone(), span: self.span }
    }
}

/// The text, the problems so far, and the places that the model has no room for.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// Names of keys that were written but could not be read: that they are missing is no second problem.
    pub unread: BTreeSet<String>,
    /// The places of a list's elements by the start of the list.
    elements: BTreeMap<usize, Vec<Span>>,
}

/// A range of the parser's as a span.
pub(super) fn span(range: std::ops::Range<usize>) -> Span {
    Span { start: range.start, end: range.end }
}

impl<'t> Reader<'t> {
    /// A reader of this text.
    pub fn new(text: &'t str) -> Reader<'t> {
        Reader { text, problems: Vec::new(), unread: BTreeSet::new(), elements: BTreeMap::new() }
    }

    /// The place of one element of a list.
    pub fn element(&self, list: Option<Span>, index: usize) -> Option<Span> {
        self.elements.get(&list?.start)?.get(index).copied()
    }

    /// The keys of a table in the order of the file.
    pub fn entries<'a>(&self, table: &'a DeTable<'a>, path: &str) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = table
            .iter()
            .map(|(key, value)| {
                let name: &str = key.get_ref();
                let (key, value_span) = (span(key.span()), span(value.span()));
                let in_place = !value.get_ref().is_table() || self.text[value_span.start..].starts_with('{');
                Entry {
                    path: if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") },
                    name,
                    key,
                    value: value.get_ref(),
                    span: if in_place { value_span } else { key },
                }
            })
            .collect();
        entries.sort_by_key(|it| it.key);
        entries
    }

    /// Adds a problem that a shape found in the bytes at `span`.
    pub fn wrong(&mut self, wrong: Wrong, span: Span) {
        self.problems.push(Problem { message: wrong.message, span: Some(span), hint: wrong.hint });
    }

    /// The value has another type than the key takes.
    pub fn mismatch(&mut self, entry: &Entry<'_>, takes: Takes) {
        let message = format!("`{}` takes {takes}, not {}", entry.name, type_name(entry.value));
        let hint = self.other_form(entry, takes);
        self.problems.push(Problem { message, span: Some(entry.span), hint });
    }

    /// A string of that shape.
    pub fn text<T>(
        &mut self,
        entry: &Entry<'_>,
        takes: Takes,
        shape: impl FnOnce(&str) -> Read<T>,
    ) -> Option<Sourced<T>> {
        let Some(text) = entry.value.as_str() else {
            self.mismatch(entry, takes);
            return None;
        };
        match shape(text) {
            Ok(value) => Some(Sourced::new(value, entry.origin())),
            Err(wrong) => {
                self.wrong(wrong, entry.span);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, entry: &Entry<'_>) -> Option<Sourced<bool>> {
        let value = entry.value.as_bool();
        if value.is_none() {
            self.mismatch(entry, Takes::Boolean);
        }
        value.map(|it| Sourced::new(it, entry.origin()))
    }

    /// A whole number of that range.
    pub fn number(&mut self, entry: &Entry<'_>, takes: Takes, range: (u32, u32)) -> Option<Sourced<u32>> {
        let Some(integer) = entry.value.as_integer() else {
            self.mismatch(entry, takes);
            return None;
        };
        let value = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        match value.and_then(|it| u32::try_from(it).ok()).filter(|it| (range.0..=range.1).contains(it)) {
            Some(value) => Some(Sourced::new(value, entry.origin())),
            None => {
                let raw = self.text.get(entry.span.start..entry.span.end).unwrap_or_default();
                let wrong = Wrong::new(format!("`{}` cannot be {raw}", entry.name));
                self.wrong(wrong.hint(format!("it is {} to {}", range.0, range.1)), entry.span);
                None
            }
        }
    }

    /// A size: a number, or a string with a unit.
    pub fn size(
        &mut self,
        entry: &Entry<'_>,
        takes: Takes,
        range: (u32, u32),
        shape: fn(&str) -> Read<u32>,
    ) -> Option<Sourced<u32>> {
        match entry.value {
            DeValue::String(_) => self.text(entry, takes, shape),
            _ => self.number(entry, takes, range),
        }
    }

    /// A list of strings of that shape, each with its place.
    pub fn elements(
        &mut self,
        entry: &Entry<'_>,
        takes: Takes,
        shape: impl Fn(&str) -> Read<String>,
    ) -> Option<Vec<Sourced<String>>> {
        let Some(array) = entry.value.as_array() else {
            self.mismatch(entry, takes);
            return None;
        };
        let mut values = Vec::with_capacity(array.len());
        for element in array.iter() {
            let place = span(element.span());
            match element.get_ref().as_str().map(&shape) {
                Some(Ok(value)) => {
                    values.push(Sourced::new(value, Origin::File { key: entry.path.clone(), span: place }));
                }
                Some(Err(wrong)) => self.wrong(wrong, place),
                None => {
                    let found = type_name(element.get_ref());
                    let message = format!("`{}` takes {takes}; this element is {found}", entry.name);
                    self.problems.push(Problem {
                        message,
                        span: Some(place),
                        hint: self.quoted(element.get_ref(), place),
                    });
                }
            }
        }
        (values.len() == array.len()).then_some(values)
    }

    /// The same, as one value.
    pub fn list(
        &mut self,
        entry: &Entry<'_>,
        takes: Takes,
        shape: impl Fn(&str) -> Read<String>,
    ) -> Option<Sourced<Vec<String>>> {
        let values = self.elements(entry, takes, shape)?;
        let places = values.iter().filter_map(Sourced::span).collect();
        self.elements.insert(entry.span.start, places);
        Some(Sourced::new(values.into_iter().map(|it| it.value).collect(), entry.origin()))
    }

    /// A list of names that may each stand there once, and of which there must be one unless `may_be_empty`.
    pub fn set(
        &mut self,
        entry: &Entry<'_>,
        may_be_empty: bool,
        shape: impl Fn(&str) -> Read<String>,
    ) -> Option<Sourced<Vec<String>>> {
        let list = self.list(entry, Takes::List, shape)?;
        if list.value.is_empty() && !may_be_empty {
            self.wrong(
                Wrong::new(format!("`{}` is empty", entry.name)).hint("leave it out, or name at least one"),
                entry.span,
            );
            return None;
        }
        for (index, value) in list.value.iter().enumerate() {
            if list.value[..index].contains(value) {
                let place = self.element(list.span(), index).unwrap_or(entry.span);
                self.wrong(
                    Wrong::new(format!("`{value}` stands twice in `{}`", entry.name)).hint("keep one of them"),
                    place,
                );
            }
        }
        Some(list)
    }

    /// A program and its arguments.
    pub fn command(&mut self, entry: &Entry<'_>) -> Option<Sourced<Vec<String>>> {
        let list = self.list(entry, Takes::Command, super::values::argument)?;
        match list.value.first().map(String::as_str) {
            Some(program) if !program.trim().is_empty() => Some(list),
            program => {
                let place = program.and(self.element(list.span(), 0)).unwrap_or(entry.span);
                let wrong = Wrong::new(format!("`{}` has no program", entry.name));
                self.wrong(wrong.hint("leave it out, or begin the list with the program"), place);
                None
            }
        }
    }

    /// A table whose keys are names of the user's and whose values are strings.
    pub fn names(
        &mut self,
        entry: &Entry<'_>,
        name: impl Fn(&str) -> Read<()>,
        value: impl Fn(&str) -> Read<String>,
    ) -> BTreeMap<String, Sourced<String>> {
        let Some(table) = entry.value.as_table() else {
            self.mismatch(entry, Takes::Names);
            return BTreeMap::new();
        };
        let mut found = BTreeMap::new();
        for inner in self.entries(table, &entry.path) {
            let name = match name(inner.name) {
                Ok(()) => Some(inner.name),
                Err(wrong) => {
                    self.wrong(wrong, inner.key);
                    None
                }
            };
            let value = self.text(&inner, Takes::Text, &value);
            if let (Some(name), Some(value)) = (name, value) {
                found.insert(name.to_owned(), value);
            }
        }
        found
    }

    /// What the value would look like in the form that the key takes, where that is plain.
    fn other_form(&self, entry: &Entry<'_>, takes: Takes) -> Option<String> {
        let name = if plain(entry.name) { entry.name.to_owned() } else { format!("{:?}", entry.name) };
        let write = |value: String| Some(format!("write `{name} = {value}`"));
        let raw = self.text.get(entry.span.start..entry.span.end).unwrap_or_default();
        match (takes, entry.value) {
            (Takes::Duration, DeValue::Integer(_)) => write(format!("\"{raw}s\"")),
            (Takes::Cpu, DeValue::Float(_)) => write(format!("\"{raw} vCPU\"")),
            (Takes::Memory, DeValue::Float(_)) => write(format!("\"{raw} GB\"")),
            (Takes::Command, DeValue::String(line)) => write(list_form(line)),
            (Takes::List, DeValue::String(it)) => write(format!("[{}]", quote(it))),
            (Takes::Logs, DeValue::String(it)) => write(format!("{{ group = {} }}", quote(it))),
            (Takes::Table(_), DeValue::Array(_)) if raw.starts_with("[[") => {
                Some(format!("write `{}`", &raw[1..raw.len() - 1]))
            }
            (Takes::Weights, DeValue::String(it)) => write(format!("{{ {it} = 1 }}")),
            (Takes::Weights, DeValue::Array(it)) => {
                let names: Option<Vec<&str>> = it.iter().map(|it| it.get_ref().as_str()).collect();
                let weights: Vec<String> = names?.iter().map(|it| format!("{it} = 1")).collect();
                write(format!("{{ {} }}", weights.join(", ")))
            }
            (Takes::Boolean, DeValue::String(it)) => match it.to_lowercase().as_str() {
                it @ ("true" | "false") => write(it.to_owned()),
                "yes" | "on" | "1" => write("true".to_owned()),
                "no" | "off" | "0" => write("false".to_owned()),
                _ => Some("write `true` or `false`".to_owned()),
            },
            (Takes::Boolean, _) => Some("write `true` or `false`".to_owned()),
            (Takes::Number, DeValue::String(it)) if it.parse::<u32>().is_ok() => write(it.to_string()),
            (Takes::Text | Takes::OneOf(_), DeValue::Array(it)) if it.len() == 1 => {
                it.first().and_then(|it| it.get_ref().as_str()).and_then(|it| write(quote(it)))
            }
            (Takes::Text | Takes::OneOf(_), value) => self.quoted(value, entry.span).and(write(format!("\"{raw}\""))),
            _ => None,
        }
    }

    /// The same value as a string, where it is a number, a date or a boolean.
    fn quoted(&self, value: &DeValue<'_>, place: Span) -> Option<String> {
        let raw = self.text.get(place.start..place.end)?;
        let single =
            matches!(value, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_));
        single.then(|| format!("quote it: `\"{raw}\"`"))
    }
}

/// Whether a key needs no quotes.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
}

/// A string as TOML writes it.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A command line as the list of its words, through a shell where it needs one.
fn list_form(line: &str) -> String {
    if line.contains(['|', '&', ';', '<', '>', '$', '`', '*', '(', '\\', '\n']) {
        return format!("[\"sh\", \"-c\", {}]", quote(line));
    }
    let mut words: Vec<String> = Vec::new();
    let (mut open, mut in_word) = (None, false);
    for it in line.chars() {
        match open {
            Some(mark) if it == mark => open = None,
            None if it == '\'' || it == '"' => {
                open = Some(it);
                if !std::mem::replace(&mut in_word, true) {
                    words.push(String::new());
                }
            }
            None if it.is_whitespace() => in_word = false,
            _ => {
                if !std::mem::replace(&mut in_word, true) {
                    words.push(String::new());
                }
                if let Some(word) = words.last_mut() {
                    word.push(it);
                }
            }
        }
    }
    let words: Vec<String> = words.iter().map(|it| quote(it)).collect();
    format!("[{}]", words.join(", "))
}

/// A value's type in words.
fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
