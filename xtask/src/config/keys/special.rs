//! Keys whose values have more to them than a type and a shape.

use super::Takes::{self, List, Number, Weights};
use crate::config::reader::{Entry, Reader};
use crate::config::suggest;
use crate::config::values::{self, Wrong};
use crate::model::{OnInterrupt, RetryOn, Runner, Sidecars, Sourced};

/// One of a few words.
pub(super) fn one_of<T: Clone>(name: &str, words: &[(&str, T)], text: &str) -> Result<T, Wrong> {
    if let Some((_, value)) = words.iter().find(|it| it.0 == text) {
        return Ok(value.clone());
    }
    let names: Vec<&str> = words.iter().map(|it| it.0).collect();
    let wrong = Wrong::new(format!("unknown {name} `{text}`"));
    match suggest::closest(text, names.iter().copied()) {
        Some(it) => Err(wrong.hint(format!("did you mean `{it}`?"))),
        None => Err(wrong.hint(format!("write one of {}", suggest::list(&names)))),
    }
}

pub(super) fn runner(text: &str) -> Result<Runner, Wrong> {
    one_of("runner", &[("ecs", Runner::Ecs), ("docker", Runner::Docker), ("host", Runner::Host)], text)
}

pub(super) fn on_interrupt(text: &str) -> Result<OnInterrupt, Wrong> {
    one_of("value of `on-interrupt`", &[("stop", OnInterrupt::Stop), ("detach", OnInterrupt::Detach)], text)
}

pub(super) fn retry_on(text: &str) -> Result<RetryOn, Wrong> {
    let words = [("spot", RetryOn::Spot), ("never-started", RetryOn::NeverStarted), ("any", RetryOn::Any)];
    one_of("value of `on`", &words, text)
}

pub(super) fn log_prefix(text: &str) -> Result<String, Wrong> {
    match text.contains([':', '*']) {
        true => Err(Wrong::new(format!("`{text}` cannot be the prefix of a log stream")).hint("leave `:` and `*` out")),
        false => values::filled(text),
    }
}

pub(super) fn build_arg(text: &str) -> Result<(), Wrong> {
    let fine = |it: char| it.is_ascii_alphanumeric() || it == '_';
    match text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') && text.chars().all(fine) {
        true => Ok(()),
        false => {
            Err(Wrong::new(format!("`{text}` is not the name of a build argument")).hint("use letters, digits and `_`"))
        }
    }
}

/// Options of a docker command: what does not begin with a dash can only be the value of the option before it.
pub(super) fn options(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    shape: fn(&str) -> Result<String, Wrong>,
) -> Option<Vec<Sourced<String>>> {
    let items = reader.elements(entry, List, shape)?;
    match items.first() {
        Some(first) if !first.value.starts_with('-') => {
            let wrong = Wrong::new(format!("`{}` is not an option", first.value));
            reader.wrong(
                wrong.hint("begin with an option: one that starts with `-`"),
                first.span().unwrap_or(entry.span),
            );
            None
        }
        _ => Some(items),
    }
}

pub(super) fn at_most(
    reader: &mut Reader<'_>,
    entry: &Entry<'_>,
    list: Sourced<Vec<String>>,
    most: usize,
) -> Option<Sourced<Vec<String>>> {
    if list.value.len() <= most {
        return Some(list);
    }
    let wrong = Wrong::new(format!("{} {} are too many", list.value.len(), entry.name));
    reader.wrong(wrong.hint(format!("ECS takes at most {most}")), entry.span);
    None
}

pub(super) fn weights(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Sourced<Vec<(String, u32)>>> {
    let Some(table) = entry.value.as_table() else {
        reader.mismatch(entry, Weights);
        return None;
    };
    let found = reader.problems.len();
    let mut weights = Vec::new();
    for inner in reader.entries(table, &entry.path) {
        if let Err(wrong) = values::capacity_provider(inner.name) {
            reader.wrong(wrong, inner.key);
        } else if let Some(weight) = reader.number(&inner, Number, (0, 1000)) {
            weights.push((inner.name.to_owned(), weight.value));
        }
    }
    if reader.problems.len() > found {
        return None;
    }
    let wrong = if weights.len() > 20 {
        Wrong::new(format!("{} capacity providers are too many", weights.len())).hint("ECS takes at most 20")
    } else if weights.iter().all(|it| it.1 == 0) {
        Wrong::new("no capacity provider has a weight").hint("give one a weight above 0: `{ FARGATE = 1 }`")
    } else {
        return Some(Sourced::new(weights, entry.origin()));
    };
    reader.wrong(wrong, entry.span);
    None
}

pub(super) fn sidecars(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Sourced<Sidecars>> {
    if entry.value.is_array() {
        let names = reader.set(entry, true, values::container)?;
        return Some(names.map(|it| if it.is_empty() { Sidecars::None } else { Sidecars::Keep(it) }));
    }
    reader.text(entry, Takes::Sidecars, |text| match text {
        "all" => Ok(Sidecars::All),
        "none" => Ok(Sidecars::None),
        _ => Err(Wrong::new(format!("unknown value of `sidecars`: `{text}`"))
            .hint(format!("write `\"all\"`, `\"none\"`, or a list of containers to keep: `[\"{text}\"]`"))),
    })
}
