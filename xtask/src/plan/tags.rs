//! Tags say who runs what from which commit. One, `xtask=1`, marks what this tool may touch.

use serde_json::{Value, json};

use super::Planner;
use crate::error::Problem;
use crate::model::{Facts, Sourced};

/// The tag with the timeout in seconds. Only who follows an ECS task enforces it; others see by it that nobody does.
pub const TIMEOUT_TAG: &str = "xtask:timeout";
/// The tag with the page of the CI job.
pub const CI_JOB_TAG: &str = "xtask:ci-job";
/// ECS's limit for a resource.
const MOST: usize = 50;

/// The commit in one word, where there is one: a dirty tree is not that commit.
pub(super) fn commit(facts: &Facts) -> Option<String> {
    facts.commit.as_ref().map(|it| if it.dirty { format!("{}+dirty", it.id) } else { it.id.clone() })
}

/// The tags of the definition: those which do not change from run to run, so that revisions do not multiply.
pub(super) fn of_definition(planner: &Planner<'_>) -> Vec<Value> {
    let mut tags = ours(planner);
    tags.extend(planner.task.settings.tags.iter().map(|(key, value)| tag(key, &value.value)));
    tags
}

/// Decides the ECS task's tags and checks the user's.
pub(super) fn tags(planner: &mut Planner<'_>) -> Vec<Value> {
    let facts = planner.facts;
    let mut tags = ours(planner);
    tags.push(tag("xtask:run", &clean(&facts.run_id)));
    tags.push(tag("xtask:by", &clean(&facts.identity.arn)));
    tags.extend(commit(facts).map(|it| tag("xtask:commit", &clean(&it))));
    tags.extend(facts.ci_job.iter().map(|it| tag(CI_JOB_TAG, &clean(it))));
    tags.extend(planner.task.timeout.iter().map(|it| tag(TIMEOUT_TAG, &it.value.as_secs().to_string())));
    let n_ours = tags.len();
    for (key, value) in &planner.task.settings.tags {
        planner.problems.extend(tag_problem(key, value));
        tags.push(tag(key, &value.value));
    }
    if tags.len() > MOST {
        let span = planner.task.settings.tags.values().find_map(Sourced::span);
        planner.problem(
            Problem::new(format!("{} tags are too many: ECS takes {MOST}, and {n_ours} are this tool's", tags.len()))
                .at(span)
                .hint(format!("leave {} out", tags.len() - MOST)),
        );
    }
    tags
}

fn ours(planner: &Planner<'_>) -> Vec<Value> {
    vec![
        tag("xtask", "1"),
        tag("xtask:environment", &clean(&planner.task.environment.value)),
        tag("xtask:task", &clean(&planner.task.task)),
    ]
}

fn tag(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}

fn allowed(letter: char) -> bool {
    letter.is_alphanumeric() || letter == ' ' || "+-=._:/@".contains(letter)
}

/// A value of ours as a tag can hold it: a link to a CI job may have a query, an ARN's session name a comma.
fn clean(value: &str) -> String {
    value.chars().map(|it| if allowed(it) { it } else { '_' }).take(256).collect()
}

/// The user's tags are not altered: a cost report would miss them.
fn tag_problem(key: &str, value: &Sourced<String>) -> Option<Problem> {
    let lower = key.to_lowercase();
    let bad = |text: &str| text.chars().find(|it| !allowed(*it));
    let letters = "letters, digits, spaces and + - = . _ : / @ are allowed";
    let (cause, hint) = if lower == "xtask" || lower.starts_with("xtask:") {
        ("this tool sets it itself".to_owned(), "use another key")
    } else if lower.starts_with("aws:") {
        ("`aws:` is reserved for AWS".to_owned(), "use another key")
    } else if key.is_empty() || key.chars().count() > 128 {
        ("a key has 1 to 128 characters".to_owned(), "use another key")
    } else if value.value.chars().count() > 256 {
        (
            format!("its value has {} characters, and 256 is the most", value.value.chars().count()),
            "use a shorter value",
        )
    } else if let Some(letter) = bad(key).or_else(|| bad(&value.value)) {
        (format!("`{}` is not allowed", letter.escape_default()), letters)
    } else {
        return None;
    };
    Some(Problem::new(format!("cannot set the tag `{key}`: {cause}")).at(value.span()).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_ours_are_made_to_fit() {
        assert_eq!(clean("https://ci.example.com/job/7?x=1&y"), "https://ci.example.com/job/7_x=1_y");
        assert_eq!(clean(&"é".repeat(300)).chars().count(), 256);
    }

    #[test]
    fn tags_that_ecs_refuses_are_problems() {
        for (key, value, cause) in [
            ("xtask", "1", "itself"),
            ("XTASK:run", "1", "itself"),
            ("AWS:x", "1", "reserved"),
            ("a,b", "1", "`,`"),
            ("a", "x\n", "`\\n`"),
            ("", "1", "1 to 128"),
        ] {
            let problem = tag_problem(key, &Sourced::default(value.to_owned()));
            assert!(problem.is_some_and(|it| it.message.contains(cause)), "{key} {value}");
        }
        assert_eq!(tag_problem("team", &Sourced::default("platform & co".replace('&', "+"))), None);
        assert_eq!(tag_problem("xtasks", &Sourced::default(String::new())), None);
    }
}
