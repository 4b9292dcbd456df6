//! Roles: whether ECS may take one on, what a simulation denies, and what ECS Exec needs.

use serde_json::Value;

use super::registry::{as_list, texts};

/// Why ECS could not take the role on, where it could not: its trust policy, as IAM describes it.
pub fn assumable(trust: &Value, account: &str) -> Result<(), String> {
    let service = "ecs-tasks.amazonaws.com";
    let statements = trust.get("Statement").map(as_list).unwrap_or_default();
    let allows = |it: &&Value| {
        it.get("Effect").and_then(Value::as_str) == Some("Allow")
            && texts(it.get("Action")).iter().any(|it| ["sts:AssumeRole", "sts:*", "*"].contains(&it.as_str()))
            && texts(it.pointer("/Principal/Service")).iter().any(|it| it == service)
    };
    let trusting: Vec<&Value> = statements.into_iter().filter(allows).collect();
    if trusting.is_empty() {
        return Err(format!("its trust policy does not name {service}"));
    }
    // The guard against a confused deputy, pointed at somebody else.
    let of_account = |it: &&Value| {
        let conditions = it.get("Condition").and_then(Value::as_object).into_iter().flatten();
        let accounts: Vec<String> = conditions
            .filter(|(operator, _)| operator.starts_with("StringEquals"))
            .flat_map(|(_, keys)| keys.as_object().into_iter().flatten())
            .filter(|(key, _)| key.eq_ignore_ascii_case("aws:SourceAccount"))
            .flat_map(|(_, value)| texts(Some(value)))
            .collect();
        accounts.is_empty() || accounts.iter().any(|it| it == account)
    };
    match trusting.iter().any(of_account) {
        true => Ok(()),
        false => Err(format!("its trust policy trusts {service} of other accounts than {account} only")),
    }
}

/// What a simulation denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// For example `ecs:RunTask`.
    pub action: String,
    /// The resource that was simulated.
    pub resource: String,
    /// Whether a statement denies it, rather than none allowing it.
    pub explicit: bool,
}

/// What is denied in an answer of SimulatePrincipalPolicy.
pub fn denied(answer: &Value) -> Vec<Denied> {
    let results = answer.get("EvaluationResults").and_then(Value::as_array).into_iter().flatten();
    let text = |it: &Value, key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let found =
        results.flat_map(|it| {
            let action = text(it, "EvalActionName");
            let specific = it.get("ResourceSpecificResults").and_then(Value::as_array).filter(|it| !it.is_empty());
            let decisions: Vec<(String, String)> = match specific {
                Some(results) => {
                    results.iter().map(|it| (text(it, "EvalResourceName"), text(it, "EvalResourceDecision"))).collect()
                }
                None => vec![(text(it, "EvalResourceName"), text(it, "EvalDecision"))],
            };
            decisions.into_iter().filter(|(_, decision)| decision != "allowed").map(move |(resource, decision)| {
                Denied { action: action.clone(), resource, explicit: decision == "explicitDeny" }
            })
        });
    let mut denied: Vec<Denied> = Vec::new();
    for it in found {
        if !denied.contains(&it) {
            denied.push(it);
        }
    }
    denied
}

/// The name of the role behind a session of STS; `None` for a user or the root.
pub fn role_of_session(arn: &str) -> Option<&str> {
    arn.split_once(":assumed-role/")?.1.split('/').next()
}

/// What keeps ECS Exec from opening a session in the chosen container, as far as its definition tells: message and hint.
pub fn exec_needs(container: &Value, task_role: Option<&str>) -> Option<(String, String)> {
    if container.get("readonlyRootFilesystem").and_then(Value::as_bool) == Some(true) {
        let message =
            "the root file system of the chosen container is read-only, and the agent of ECS Exec writes there";
        return Some((message.to_owned(), "leave `readonlyRootFilesystem` out of the base task definition".to_owned()));
    }
    if task_role.is_none() {
        let message = "there is no task role, and the agent of ECS Exec needs one with ssmmessages permissions";
        return Some((message.to_owned(), "set `task-role`".to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_must_trust_ecs_tasks_of_this_account() {
        let trust = |principal: Value, condition: Value| {
            json!({ "Statement": [{
                "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition,
            }] })
        };
        let tasks = json!({ "Service": ["ecs-tasks.amazonaws.com"] });
        let of = |account: &str| json!({ "StringEquals": { "aws:SourceAccount": account } });
        for (document, expected) in [
            (trust(tasks.clone(), json!({})), true),
            (trust(tasks.clone(), of("111122223333")), true),
            (trust(tasks.clone(), json!({ "ArnLike": { "aws:SourceArn": "arn:aws:ecs:*" } })), true),
            (trust(tasks, of("999988887777")), false),
            (trust(json!({ "Service": "ec2.amazonaws.com" }), json!({})), false),
            (trust(json!({ "AWS": "arn:aws:iam::111122223333:root" }), json!({})), false),
            (json!({}), false),
        ] {
            assert_eq!(assumable(&document, "111122223333").is_ok(), expected, "{document}");
        }
    }

    #[test]
    fn a_simulation_tells_what_is_denied() {
        let answer = json!({ "EvaluationResults": [
            { "EvalActionName": "ecs:RunTask", "EvalResourceName": "a", "EvalDecision": "allowed" },
            { "EvalActionName": "ecs:StopTask", "EvalResourceName": "b", "EvalDecision": "implicitDeny" },
            {
                "EvalActionName": "ssm:GetParameters", "EvalResourceName": "*", "EvalDecision": "implicitDeny",
                "ResourceSpecificResults": [
                    { "EvalResourceName": "c", "EvalResourceDecision": "allowed" },
                    { "EvalResourceName": "d", "EvalResourceDecision": "explicitDeny" },
                ],
            },
        ] });
        let denied: Vec<(String, String, bool)> =
            denied(&answer).into_iter().map(|it| (it.action, it.resource, it.explicit)).collect();
        assert_eq!(
            denied,
            [
                ("ecs:StopTask".to_owned(), "b".to_owned(), false),
                ("ssm:GetParameters".to_owned(), "d".to_owned(), true),
            ]
        );
    }

    #[test]
    fn sessions_have_a_role_behind_them() {
        assert_eq!(role_of_session("arn:aws:sts::111122223333:assumed-role/deployer/somebody"), Some("deployer"));
        assert_eq!(role_of_session("arn:aws:iam::111122223333:user/somebody"), None);
    }
}
