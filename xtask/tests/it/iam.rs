//! What IAM decides: a policy's statements against an action, a resource and a context, and which of those AWS asks for when a request
//! comes. The latter follows AWS's Service Authorization Reference and knows nothing of the table that policies are made from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fake::definitions::{list, text};
use crate::fake::wire::{Request, Service};
use crate::fake::{ACCOUNT, Fake};

/// Something that a caller must be allowed to do for a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub action: String,
    pub resource: String,
    pub context: BTreeMap<&'static str, String>,
}

impl Asked {
    fn new(action: &str, resource: impl Into<String>) -> Asked {
        Asked { action: action.to_owned(), resource: resource.into(), context: BTreeMap::new() }
    }

    fn with(mut self, key: &'static str, value: &str) -> Asked {
        self.context.insert(key, value.to_owned());
        self
    }
}

/// A policy, whose statements all allow.
#[derive(Debug, Clone)]
pub struct Policy(pub Value);

impl Policy {
    /// The statements that allow it, by their `Sid`.
    pub fn allowing(&self, asked: &Asked) -> Vec<String> {
        let statements = list(&self.0, "Statement").filter(|it| allows(it, asked));
        statements.map(|it| text(it, "Sid").to_owned()).collect()
    }

    /// Every `Sid`, in order.
    pub fn sids(&self) -> Vec<String> {
        list(&self.0, "Statement").map(|it| text(it, "Sid").to_owned()).collect()
    }

    /// Every action, sorted, each once.
    pub fn actions(&self) -> Vec<String> {
        let mut actions: Vec<String> = list(&self.0, "Statement").flat_map(|it| texts(&it["Action"])).collect();
        actions.sort();
        actions.dedup();
        actions
    }
}

fn allows(statement: &Value, asked: &Asked) -> bool {
    assert_eq!(statement["Effect"], "Allow");
    let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
    let members = statement.as_object().expect("a statement is an object");
    assert!(members.keys().all(|it| known.contains(&it.as_str())), "{statement}");
    texts(&statement["Action"]).contains(&asked.action)
        && texts(&statement["Resource"]).iter().any(|it| matches(it, &asked.resource))
        && conditions_hold(&statement["Condition"], asked)
}

fn conditions_hold(conditions: &Value, asked: &Asked) -> bool {
    conditions.as_object().into_iter().flatten().all(|(operator, keys)| {
        keys.as_object().expect("an operator has keys").iter().all(|(key, wanted)| {
            // A key that the request does not have holds no condition of these.
            let Some(value) = asked.context.get(key.as_str()) else { return false };
            texts(wanted).iter().any(|wanted| match operator.as_str() {
                "StringEquals" | "ArnEquals" if !wanted.contains(['*', '?']) => wanted == value,
                "StringLike" | "ArnEquals" | "ArnLike" => matches(wanted, value),
                _ => panic!("the operator {operator} is not known here"),
            })
        })
    })
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// `*` is any text, `?` any character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|it| *it == '*')
}

/// What AWS asks for when a request comes. Fails for a request that it knows nothing of.
pub fn asked(request: &Request) -> Vec<Asked> {
    // The region is the one that the request is signed for.
    let scope = request.header("authorization").and_then(|it| it.split_once("Credential=")).expect("it is signed").1;
    let region = scope.split('/').nth(2).expect("a scope has a region");
    let arn = |service: &str, rest: String| format!("arn:aws:{service}:{region}:{ACCOUNT}:{rest}");
    let cluster_name = request.str("cluster").unwrap_or("default").rsplit('/').next().unwrap_or_default();
    let cluster = arn("ecs", format!("cluster/{cluster_name}"));
    let action = format!("{}:{}", request.service.as_str(), request.operation);
    let of_cluster = |resource: String| Asked::new(&action, resource).with("ecs:cluster", &cluster);
    let tagged = !texts_of_tags(request).is_empty();
    match (request.service, request.operation.as_str()) {
        // "No permissions are required to perform this operation."
        (Service::Sts, "GetCallerIdentity") => Vec::new(),
        (Service::Ecs, "DescribeTaskDefinition") => vec![Asked::new(&action, "*")],
        (Service::Ecs, "DescribeServices") => {
            let services = request.strings("services");
            services.iter().map(|it| of_cluster(arn("ecs", format!("service/{cluster_name}/{it}")))).collect()
        }
        (Service::Ecs, "ListTasks") => vec![of_cluster(arn("ecs", format!("container-instance/{cluster_name}/*")))],
        (Service::Ecs, "DescribeTasks") => request.strings("tasks").into_iter().map(of_cluster).collect(),
        (Service::Ecs, "StopTask") => vec![of_cluster(request.str("task").unwrap_or_default().to_owned())],
        (Service::Ecs, "RegisterTaskDefinition") => {
            let family = request.str("family").unwrap_or_default();
            let definition = arn("ecs", format!("task-definition/{family}:1"));
            let mut asked = vec![Asked::new(&action, &definition)];
            if tagged {
                let create = ("ecs:CreateAction", "RegisterTaskDefinition");
                asked.push(Asked::new("ecs:TagResource", definition).with(create.0, create.1));
            }
            asked.extend(passed(&request.body));
            asked
        }
        (Service::Ecs, "RunTask") => {
            let mut asked = vec![of_cluster(request.str("taskDefinition").unwrap_or_default().to_owned())];
            if tagged {
                let task = arn("ecs", format!("task/{cluster_name}/0123456789abcdef0123456789abcdef"));
                asked.push(Asked::new("ecs:TagResource", task).with("ecs:CreateAction", "RunTask"));
            }
            asked.extend(passed(&request.body["overrides"]));
            for volume in list(&request.body, "volumeConfigurations") {
                let role = volume.pointer("/managedEBSVolume/roleArn").and_then(Value::as_str).unwrap_or_default();
                asked.push(Asked::new("iam:PassRole", role).with("iam:PassedToService", "ecs.amazonaws.com"));
            }
            asked
        }
        (Service::Ecs, "ExecuteCommand") => {
            let container = request.str("container").unwrap_or_default();
            let task = request.str("task").unwrap_or_default().to_owned();
            vec![
                of_cluster(task).with("ecs:container-name", container),
                of_cluster(cluster.clone()).with("ecs:container-name", container),
            ]
        }
        (Service::Logs, "GetLogEvents") => {
            let (group, stream) = (request.str("logGroupName"), request.str("logStreamName"));
            let (group, stream) = (group.unwrap_or_default(), stream.unwrap_or_default());
            vec![Asked::new(&action, arn("logs", format!("log-group:{group}:log-stream:{stream}")))]
        }
        (Service::Ecr, "GetAuthorizationToken") => vec![Asked::new(&action, "*")],
        (Service::Ecr, "DescribeImages" | "CreateRepository") => {
            let account = request.str("registryId").unwrap_or(ACCOUNT);
            let name = request.str("repositoryName").unwrap_or_default();
            vec![Asked::new(&action, format!("arn:aws:ecr:{region}:{account}:repository/{name}"))]
        }
        (service, operation) => panic!("nobody said what AWS asks for at {}:{operation}", service.as_str()),
    }
}

fn texts_of_tags(request: &Request) -> Vec<&Value> {
    list(&request.body, "tags").collect()
}

/// The roles of a definition or of overrides, which ECS gets passed.
fn passed(body: &Value) -> Vec<Asked> {
    let roles = ["taskRoleArn", "executionRoleArn"].into_iter().filter_map(|it| body.get(it)?.as_str());
    let asked = |it| Asked::new("iam:PassRole", it).with("iam:PassedToService", "ecs-tasks.amazonaws.com");
    roles.map(asked).collect()
}

/// Everything that AWS asked for in these calls, from a request's index on, with the operation.
pub fn asked_by(fake: &Fake, from: usize) -> Vec<(String, Asked)> {
    let records = fake.records();
    let records = records.iter().skip(from);
    records.flat_map(|it| asked(&it.request).into_iter().map(|asked| (it.request.operation.clone(), asked))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_and_conditions_decide_as_in_iam() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("a:b/*", "a:b/c/d", true),
            ("a:b/*", "a:bc/d", false),
            ("a*c*e", "abcde", true),
            ("a?c", "abc", true),
            ("a?c", "abbc", false),
            ("abc", "abc", true),
            ("abc*", "abc", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        let policy = Policy(json!({ "Statement": [{
            "Sid": "A", "Effect": "Allow", "Action": ["ecs:RunTask"], "Resource": "arn:x:*",
            "Condition": { "ArnEquals": { "ecs:cluster": "arn:c" } },
        }] }));
        let asked = Asked::new("ecs:RunTask", "arn:x:1");
        assert_eq!(policy.allowing(&asked.clone().with("ecs:cluster", "arn:c")), ["A"]);
        assert_eq!(policy.allowing(&asked.clone().with("ecs:cluster", "arn:d")), [""; 0]);
        assert_eq!(policy.allowing(&asked), [""; 0]);
        assert_eq!(policy.allowing(&Asked::new("ecs:RunTask", "arn:y").with("ecs:cluster", "arn:c")), [""; 0]);
        assert_eq!(policy.allowing(&Asked::new("ecs:StopTask", "arn:x:1").with("ecs:cluster", "arn:c")), [""; 0]);
    }
}
