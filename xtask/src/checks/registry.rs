//! Repositories: who may pull from them, and for which platforms an image is.

use serde_json::Value;

const PULL: [&str; 2] = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/// Why a repository's policy keeps a role from pulling, where it does: an explicit denial, or nothing that allows it from another account.
/// Statements with conditions are taken to be meant well.
pub fn pull_refused(policy: Option<&Value>, role: &str, own_account: bool) -> Option<String> {
    let statements: Vec<&Value> = policy.and_then(|it| it.get("Statement")).map(as_list).unwrap_or_default();
    let conditional =
        |it: &Value| it.get("Condition").is_some_and(|it| it.as_object().is_some_and(|it| !it.is_empty()));
    let about = |it: &Value, action: &str| names_principal(it, role) && names_action(it, action);
    for action in PULL {
        let denied = |it: &&&Value| it.get("Effect").and_then(Value::as_str) == Some("Deny") && !conditional(it);
        if statements.iter().filter(denied).any(|it| about(it, action)) {
            return Some(format!("its policy denies {action} to {role}"));
        }
    }
    if own_account {
        return None;
    }
    let allows = |it: &&&Value| it.get("Effect").and_then(Value::as_str) == Some("Allow");
    let missing = PULL.iter().find(|action| !statements.iter().filter(allows).any(|it| about(it, action)))?;
    Some(format!("its policy does not allow {missing} to {role}, which is of another account"))
}

fn names_principal(statement: &Value, role: &str) -> bool {
    let account = role.split(':').nth(4).unwrap_or_default();
    let principals = match statement.get("Principal") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(principals) => texts(principals.get("AWS")),
        None => Vec::new(),
    };
    principals.iter().any(|it| {
        it == "*"
            || it == role
            || it == account
            || (it.starts_with("arn:") && it.ends_with(&format!(":{account}:root")))
    })
}

fn names_action(statement: &Value, action: &str) -> bool {
    texts(statement.get("Action")).iter().any(|it| match it.strip_suffix('*') {
        Some(start) => action.to_lowercase().starts_with(&start.to_lowercase()),
        None => it.eq_ignore_ascii_case(action),
    })
}

pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn as_list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

/// The platforms of an image index. `None`: the manifest is of one image, which tells its platform only in a layer.
pub fn platforms(manifest: &Value) -> Option<Vec<String>> {
    let manifests = manifest.get("manifests")?.as_array()?;
    let platform = |it: &Value| {
        let platform = it.get("platform")?;
        let (os, architecture) = (platform.get("os")?.as_str()?, platform.get("architecture")?.as_str()?);
        // Attestations lie beside the images, for no platform at all.
        (os != "unknown").then(|| format!("{os}/{architecture}"))
    };
    Some(manifests.iter().filter_map(platform).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/execution";

    #[test]
    fn other_accounts_must_be_let_in_and_nobody_shut_out() {
        let statement = |effect: &str, principal: Value, action: Value| json!({ "Statement": [{ "Effect": effect, "Principal": principal, "Action": action }] });
        let pull = json!(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
        let root = json!({ "AWS": "arn:aws:iam::111122223333:root" });
        for (policy, own, expected) in [
            (None, true, None),
            (None, false, Some("does not allow ecr:BatchGetImage")),
            (Some(statement("Allow", root.clone(), pull.clone())), false, None),
            (Some(statement("Allow", json!({ "AWS": [ROLE] }), json!("ecr:*"))), false, None),
            (Some(statement("Allow", json!("*"), json!("ecr:BatchGetImage"))), false, Some("GetDownloadUrlForLayer")),
            (Some(statement("Allow", json!({ "AWS": "999988887777" }), pull.clone())), false, Some("BatchGetImage")),
            (Some(statement("Deny", root, pull.clone())), true, Some("denies ecr:BatchGetImage")),
            (Some(statement("Deny", json!({ "AWS": "999988887777" }), pull)), true, None),
        ] {
            let refused = pull_refused(policy.as_ref(), ROLE, own);
            assert_eq!(refused.is_some(), expected.is_some(), "{policy:?} {refused:?}");
            assert!(expected.is_none_or(|it| refused.is_some_and(|refused| refused.contains(it))), "{policy:?}");
        }
    }

    #[test]
    fn an_index_tells_its_platforms() {
        let index = json!({ "manifests": [
            { "platform": { "os": "linux", "architecture": "arm64" } },
            { "platform": { "os": "unknown", "architecture": "unknown" } },
        ] });
        assert_eq!(platforms(&index), Some(vec!["linux/arm64".to_owned()]));
        assert_eq!(platforms(&json!({ "config": {} })), None);
    }
}
