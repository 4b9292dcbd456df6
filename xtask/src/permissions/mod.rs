//! What running a task needs of IAM: the table of calls, laid over what a plan will touch, gives a policy that allows that and nothing
//! else. Also the trust policy of a role for GitHub's OIDC.

mod needs;
mod table;
mod trust;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

pub use needs::{Needs, needs};
pub use table::CALLS;
pub use trust::{Trust, parse_trust, trust_policy};

/// The most characters that IAM takes for a managed policy, white space not counted.
pub const MOST_CHARACTERS: usize = 6144;

/// A call to AWS.
#[derive(Debug)]
pub struct Call {
    /// Who makes it.
    pub by: By,
    /// The service's prefix in IAM, for example `ecs`.
    pub service: &'static str,
    /// AWS's name of the operation, or docker's command.
    pub operation: &'static str,
    /// What it is made for.
    pub purpose: For,
    /// What IAM must allow for it.
    pub grants: &'static [Grant],
}

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This tool, by the SDK.
    Sdk,
    /// docker, with the login that it got.
    Docker,
}

/// What a call is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// `run`, and everything that goes on with what it started.
    Run,
    /// Names in a hint; nothing depends on it.
    Hints,
    /// These verbs only.
    Other(&'static str),
}

/// One action that a call needs.
#[derive(Debug)]
pub struct Grant {
    /// The `Sid` of the statement that it goes into, with the other actions of the same resources and conditions.
    pub statement: &'static str,
    /// For example `ecs:RunTask`.
    pub action: &'static str,
    /// On which resources.
    pub on: On,
    /// Under which conditions.
    pub with: &'static [With],
    /// What shows that it is needed.
    pub proof: Proof,
}

/// The resources of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it; `needs` has what each stands for")]
pub enum On {
    /// `*`: AWS has no resources for it.
    Anything,
    /// `*`, where an image is pushed.
    AnythingToPush,
    Service,
    /// Every revision of the family that ours are registered in.
    Families,
    /// Every ECS task of the cluster.
    Tasks,
    Roles,
    /// Of ECS itself, for volumes that it makes.
    VolumeRoles,
    LogStreams,
    /// Where images are looked up.
    Repositories,
    PushedRepositories,
    CreatedRepositories,
    /// The cluster and its ECS tasks, where a task is interactive.
    Sessions,
    SessionKeys,
    /// The sessions themselves, which Systems Manager knows, where a task is interactive.
    OpenSessions,
}

/// A condition of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// `ecs:cluster` is the task's.
    Cluster,
    /// `ecs:CreateAction`: tags only on what this operation makes.
    CreatedBy(&'static str),
    /// `iam:PassedToService`.
    PassedTo(&'static str),
    /// `ecs:container-name` is the chosen container.
    Container,
}

/// What shows that a grant is needed, and enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A run against an emulator that enforces IAM fails without it.
    Emulated,
    /// AWS's documentation: no emulator enforces it. See docs/policy.md.
    Documented,
}

/// The row of a call that the SDK makes.
pub fn find(service: &str, operation: &str) -> Option<&'static Call> {
    CALLS.iter().find(|it| it.by == By::Sdk && it.service == service && it.operation == operation)
}

/// A statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Unique in the policy.
    pub sid: String,
    /// Sorted.
    pub actions: BTreeSet<String>,
    /// Sorted.
    pub resources: BTreeSet<String>,
    /// Operator (`ArnEquals`, `StringEquals`), key and value.
    pub conditions: BTreeSet<(&'static str, &'static str, String)>,
}

/// What these tasks need, as statements in the order of the table.
pub fn statements(needs: &[Needs]) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    let grants = CALLS.iter().filter(|it| it.purpose == For::Run).flat_map(|it| it.grants);
    for grant in grants {
        for needs in needs {
            let resources = needs.resources(grant.on);
            if resources.is_empty() {
                continue;
            }
            let conditions: BTreeSet<_> = grant.with.iter().map(|it| needs.condition(*it)).collect();
            let same = |it: &&mut Statement| it.sid == grant.statement && it.conditions == conditions;
            match statements.iter_mut().find(same) {
                Some(statement) => {
                    statement.actions.insert(grant.action.to_owned());
                    statement.resources.extend(resources);
                }
                None => statements.push(Statement {
                    sid: grant.statement.to_owned(),
                    actions: [grant.action.to_owned()].into(),
                    resources,
                    conditions,
                }),
            }
        }
    }
    // Tasks of different clusters or containers have statements of their own, and no two may have one name.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for statement in &mut statements {
        let count = seen.entry(statement.sid.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            statement.sid.push_str(&count.to_string());
        }
    }
    statements
}

/// The statements as IAM takes them.
pub fn document(statements: &[Statement]) -> Value {
    let statements: Vec<Value> = statements
        .iter()
        .map(|it| {
            let mut members = Map::new();
            members.insert("Sid".to_owned(), json!(it.sid));
            members.insert("Effect".to_owned(), json!("Allow"));
            members.insert("Action".to_owned(), json!(it.actions));
            members.insert("Resource".to_owned(), json!(it.resources));
            if !it.conditions.is_empty() {
                let mut conditions = Map::new();
                for (operator, key, value) in &it.conditions {
                    let operator = conditions.entry(*operator).or_insert_with(|| json!({}));
                    operator[*key] = json!(value);
                }
                members.insert("Condition".to_owned(), Value::Object(conditions));
            }
            Value::Object(members)
        })
        .collect();
    json!({ "Version": "2012-10-17", "Statement": statements })
}
