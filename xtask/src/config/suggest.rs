//! What to say about a name that does not exist: the one that was probably meant, or a list of those that do exist.

/// More names than this are not listed in a hint.
const MOST_LISTED: usize = 12;

/// The candidate that `name` was probably meant to be: a few keystrokes away, or written with other separators or in other case.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = simple(name);
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|it| (distance(&name, &simple(it)), it))
        .filter(|(distance, it)| *distance <= allowed && *distance < it.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

/// The hint for an unknown name of a `kind` (in the plural: `environments`). `None`: there is nothing to name.
pub fn hint(name: &str, kind: &str, candidates: &[&str]) -> Option<String> {
    let list = list(candidates);
    match closest(name, candidates.iter().copied()) {
        Some(it) if candidates.len() == 1 => Some(format!("did you mean `{it}`?")),
        Some(it) => Some(format!("did you mean `{it}`? {kind}: {list}")),
        None if candidates.is_empty() => None,
        None => Some(format!("{kind}: {list}")),
    }
}

/// The names with commas between them; of many only the first.
pub fn list(names: &[&str]) -> String {
    let mut text = names.iter().take(MOST_LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST_LISTED {
        text.push_str(&format!(" and {} more", names.len() - MOST_LISTED));
    }
    text
}

/// `taskDefinition`, `task_definition` and `task-definition` are one name to a reader.
fn simple(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut after_lowercase = false;
    for it in name.chars() {
        if it.is_uppercase() && after_lowercase {
            text.push('-');
        }
        after_lowercase = it.is_lowercase();
        text.extend(if matches!(it, '_' | ':' | '.' | ' ') { '-' } else { it }.to_lowercase());
    }
    text
}

/// Insertions, deletions, replacements and swaps of neighbours that make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_found_and_a_far_one_is_not() {
        let keys = ["cluster", "service", "task-definition", "cpu", "on"];
        for (name, expected) in [
            ("clutser", Some("cluster")),
            ("Cluster", Some("cluster")),
            ("servce", Some("service")),
            ("task_definition", Some("task-definition")),
            ("taskDefinition", Some("task-definition")),
            ("cpus", Some("cpu")),
            ("xyz", None),
            ("description", None),
            ("o", Some("on")),
            ("a", None),
        ] {
            assert_eq!(closest(name, keys), expected, "{name}");
        }
    }

    #[test]
    fn a_hint_names_what_exists() {
        assert_eq!(hint("stagng", "environments", &["local", "staging"]).as_deref(), {
            Some("did you mean `staging`? environments: local, staging")
        });
        assert_eq!(hint("stagng", "environments", &["staging"]).as_deref(), Some("did you mean `staging`?"));
        assert_eq!(hint("zzz", "tasks", &["a", "b"]).as_deref(), Some("tasks: a, b"));
        assert_eq!(hint("zzz", "tasks", &[]), None);
        let many: Vec<&str> = vec!["abcdefgh"; 15];
        assert!(list(&many).ends_with("abcdefgh and 3 more"));
    }
}
