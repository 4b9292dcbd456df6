//! What the aws command line is asked: networks of EC2, roles and simulations of IAM, secrets of SSM and Secrets Manager.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use super::{Checker, Seen, side_by_side};
use crate::checks::{self, Denied, Finding, Secret};
use crate::model::Identity;
use crate::permissions::{self, Statement};
use crate::plan;
use crate::tools::aws_cli::{AwsCli, Complaint};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
/// The calls that may be under way at once: each is a process.
const AT_ONCE: usize = 4;

impl Checker<'_> {
    pub(super) async fn by_cli(&self, cli: &AwsCli, identity: &Identity, seen: &Seen) {
        for (subnets, groups) in &seen.networks {
            self.network(cli, subnets, groups).await;
        }
        let mut missing = Vec::new();
        let roles: Vec<(&String, &&str)> = seen.roles.iter().collect();
        let asked: Vec<Answer<'_, _>> = roles
            .iter()
            .map(|(arn, what)| -> Answer<'_, _> { Box::pin(self.role(cli, arn, what, identity)) })
            .collect();
        for ((arn, _), finding) in roles.iter().zip(all(asked).await) {
            if finding.state == checks::State::Failed {
                missing.push((*arn).clone());
            }
            self.tell("roles", finding);
        }
        self.execution(cli, seen, &missing).await;
        self.consoles(cli, seen, &missing).await;
        self.secrets(cli, identity, seen, &missing).await;
        self.caller(cli, identity, seen).await;
    }

    async fn network(&self, cli: &AwsCli, subnets: &[String], groups: &[String]) {
        let region = self.aws.region.value.as_str();
        let filter = |name: &str, values: &[String]| format!("Name={name},Values={}", values.join(","));
        let (of_subnets, of_groups) = (filter("subnet-id", subnets), filter("group-id", groups));
        let described =
            |answer: &Value, key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let words = ["ec2", "describe-subnets", "--filters", &of_subnets];
        let group_words = ["ec2", "describe-security-groups", "--filters", &of_groups];
        let (found_subnets, found_groups) = tokio::join!(cli.ask(region, &words), cli.ask(region, &group_words));
        let vpc = match found_subnets {
            Ok(answer) => {
                let (finding, vpc) = checks::subnets(subnets, &described(&answer, "Subnets"));
                self.tell("network", finding);
                vpc
            }
            Err(complaint) => {
                self.tell("network", unasked("subnets", &complaint));
                None
            }
        };
        if groups.is_empty() {
            self.tell("network", Finding::ok("security groups", "the VPC's default group"));
            return;
        }
        self.tell(
            "network",
            match found_groups {
                Ok(answer) => checks::groups(groups, &described(&answer, "SecurityGroups"), vpc.as_deref()),
                Err(complaint) => unasked("security groups", &complaint),
            },
        );
    }

    /// Whether a role is there and ECS may take it on.
    async fn role(&self, cli: &AwsCli, arn: &str, what: &str, identity: &Identity) -> Finding {
        let name = format!("{what} {}", name_of(arn));
        let words = ["iam", "get-role", "--role-name", name_of(arn)];
        match cli.ask(&self.aws.region.value, &words).await {
            Ok(answer) => {
                let trust = answer.pointer("/Role/AssumeRolePolicyDocument").cloned().unwrap_or_default();
                match checks::assumable(&trust, &identity.account) {
                    Ok(()) => Finding::ok(name, arn),
                    Err(message) => Finding::failed(
                        name,
                        message,
                        "allow sts:AssumeRole to ecs-tasks.amazonaws.com in the role's trust policy",
                    ),
                }
            }
            Err(complaint) if complaint.is_missing() => {
                Finding::failed(name, format!("{arn} does not exist"), format!("create it, or name another {what}"))
            }
            Err(complaint) => unasked(&name, &complaint),
        }
    }

    /// What the execution roles may do for ECS.
    async fn execution(&self, cli: &AwsCli, seen: &Seen, missing: &[String]) {
        let mut groups: BTreeMap<(&String, &str), Vec<(&str, &str)>> = BTreeMap::new();
        for (role, what, action, resource) in &seen.execution {
            groups.entry((role, what)).or_default().push((action, resource));
        }
        let asked: Vec<Answer<'_, _>> = groups
            .iter()
            .map(|((role, what), grants)| -> Answer<'_, _> {
                Box::pin(async move {
                    let name = format!("{} may {what}", name_of(role));
                    if missing.contains(role) {
                        return Finding::skipped(name, "the role does not exist, or ECS cannot take it on");
                    }
                    self.allowed(cli, name, role, grants).await
                })
            })
            .collect();
        for finding in all(asked).await {
            self.tell("roles", finding);
        }
    }

    /// What the task roles of consoles may do for the agent of ECS Exec.
    async fn consoles(&self, cli: &AwsCli, seen: &Seen, missing: &[String]) {
        let mut groups: BTreeMap<&String, Vec<(&str, &str)>> = BTreeMap::new();
        for (role, action, resource) in &seen.consoles {
            groups.entry(role).or_default().push((action, resource));
        }
        for (role, grants) in groups {
            let name = format!("{} may open sessions", name_of(role));
            let finding = match missing.contains(role) {
                true => Finding::skipped(name, "the role does not exist, or ECS cannot take it on"),
                false => self.allowed(cli, name, role, &grants).await,
            };
            self.tell("roles", finding);
        }
    }

    /// Whether a role is allowed all of these.
    async fn allowed(&self, cli: &AwsCli, name: String, role: &str, grants: &[(&str, &str)]) -> Finding {
        let mut denied = Vec::new();
        // One call for each resource: a simulation asks for every action on every resource.
        let mut by_resource: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (action, resource) in grants {
            by_resource.entry(resource).or_default().push(action);
        }
        for (resource, actions) in by_resource {
            match self.simulate(cli, role, &actions, &[resource], &[]).await {
                Ok(found) => denied.extend(found),
                Err(complaint) => return unasked(&name, &complaint),
            }
        }
        match denied.is_empty() {
            true => Finding::ok(name, grants.iter().map(|it| it.0).collect::<Vec<_>>().join(", ")),
            false => Finding::failed(name, said(&denied), format!("allow it to {role}")),
        }
    }

    async fn simulate(
        &self,
        cli: &AwsCli,
        principal: &str,
        actions: &[&str],
        resources: &[&str],
        context: &[String],
    ) -> Result<Vec<Denied>, Complaint> {
        let mut words = vec!["iam", "simulate-principal-policy", "--policy-source-arn", principal, "--action-names"];
        words.extend(actions);
        if resources != ["*"] {
            words.push("--resource-arns");
            words.extend(resources);
        }
        if !context.is_empty() {
            words.push("--context-entries");
            words.extend(context.iter().map(String::as_str));
        }
        cli.ask(&self.aws.region.value, &words).await.map(|it| checks::denied(&it))
    }

    /// Whether the secrets are there, and the execution role may read them.
    async fn secrets(&self, cli: &AwsCli, identity: &Identity, seen: &Seen, missing: &[String]) {
        let asked: Vec<Answer<'_, _>> = seen
            .secrets
            .iter()
            .map(|(value_from, role)| -> Answer<'_, _> {
                Box::pin(self.secret(cli, identity, value_from, role.as_deref(), missing))
            })
            .collect();
        for finding in all(asked).await {
            self.tell("secrets", finding);
        }
    }

    async fn secret(
        &self,
        cli: &AwsCli,
        identity: &Identity,
        value_from: &str,
        role: Option<&str>,
        missing: &[String],
    ) -> Finding {
        let region = &self.aws.region.value;
        let partition = plan::partition(identity, region);
        let Some(secret) = checks::secret(value_from, partition, region, &identity.account) else {
            let hint = "write a parameter's name, `secretsmanager:NAME` or an ARN of SSM or Secrets Manager";
            return Finding::failed(value_from, "is neither SSM's nor Secrets Manager's", hint);
        };
        // Only what is told about it, never its value.
        let (action, arn, key) = match &secret {
            Secret::Parameter { name, arn, region } => {
                let filter = format!("Key=Name,Values={name}");
                let words = ["ssm", "describe-parameters", "--parameter-filters", &filter];
                let answer = match cli.ask(region, &words).await {
                    Ok(answer) => answer,
                    Err(complaint) => return unasked(value_from, &complaint),
                };
                let Some(found) = answer.pointer("/Parameters/0") else {
                    let hint = format!(
                        "create it: `aws ssm put-parameter --region {region} --type SecureString --name {name}`"
                    );
                    return Finding::failed(value_from, format!("there is no such parameter in {region}"), hint);
                };
                let key = found.get("KeyId").and_then(Value::as_str).filter(|it| *it != "alias/aws/ssm");
                ("ssm:GetParameters", arn, key.map(str::to_owned))
            }
            Secret::Secret { arn, region } => {
                let words = ["secretsmanager", "describe-secret", "--secret-id", arn];
                let answer = match cli.ask(region, &words).await {
                    Ok(answer) => answer,
                    Err(complaint) if complaint.is_missing() => {
                        let hint = "create it in Secrets Manager, or correct its name";
                        return Finding::failed(value_from, format!("there is no such secret in {region}"), hint);
                    }
                    Err(complaint) => return unasked(value_from, &complaint),
                };
                if answer.get("DeletedDate").is_some_and(|it| !it.is_null()) {
                    let hint =
                        format!("restore it: `aws secretsmanager restore-secret --region {region} --secret-id {arn}`");
                    return Finding::failed(value_from, "is scheduled for deletion", hint);
                }
                let key = answer.get("KmsKeyId").and_then(Value::as_str).filter(|it| !it.contains("alias/aws/"));
                ("secretsmanager:GetSecretValue", arn, key.map(str::to_owned))
            }
        };
        let Some(role) = role else {
            return Finding::failed(value_from, "there is no execution role to read it", "set `execution-role`");
        };
        if missing.iter().any(|it| it == role) {
            return Finding::skipped(value_from, "the execution role does not exist, or ECS cannot take it on");
        }
        let mut grants = vec![(action, arn.as_str())];
        let key = key.filter(|it| it.starts_with("arn:"));
        grants.extend(key.iter().map(|it| ("kms:Decrypt", it.as_str())));
        self.allowed(cli, value_from.to_owned(), role, &grants).await
    }

    /// Whether the caller may do what a run does: the statements of `policy`, each simulated.
    async fn caller(&self, cli: &AwsCli, identity: &Identity, seen: &Seen) {
        let branch = "permissions";
        if identity.arn.ends_with(":root") {
            self.tell(branch, Finding::ok("caller", "the root user may do everything"));
            return;
        }
        let principal = match checks::role_of_session(&identity.arn) {
            None => identity.arn.clone(),
            // A session's ARN lacks the path of its role.
            Some(role) => {
                let words = ["iam", "get-role", "--role-name", role];
                let found = cli.ask(&self.aws.region.value, &words).await;
                match found.as_ref().map(|it| it.pointer("/Role/Arn").and_then(Value::as_str)) {
                    Ok(Some(arn)) => arn.to_owned(),
                    Ok(None) => {
                        return self.tell(branch, Finding::skipped("caller", format!("IAM tells no ARN of `{role}`")));
                    }
                    Err(complaint) => return self.tell(branch, unasked("caller", complaint)),
                }
            }
        };
        let statements = permissions::statements(&seen.needs);
        // Whoever may not simulate once may not at all.
        if let Err(complaint) = self.simulate(cli, &principal, &["ecs:RunTask"], &["*"], &[]).await {
            self.tell(branch, unasked("what the caller may do", &complaint));
            return;
        }
        let asked: Vec<Answer<'_, _>> =
            statements.iter().map(|it| -> Answer<'_, _> { Box::pin(self.statement(cli, &principal, it)) }).collect();
        for finding in all(asked).await {
            self.tell(branch, finding);
        }
    }

    async fn statement(&self, cli: &AwsCli, principal: &str, statement: &Statement) -> Finding {
        let actions: Vec<&str> = statement.actions.iter().map(String::as_str).collect();
        // A simulation takes resources, not patterns of them.
        let resources: Vec<String> = statement
            .resources
            .iter()
            .map(|it| match it.strip_suffix('*').filter(|it| !it.is_empty()) {
                Some(start) => format!("{start}0"),
                None => it.clone(),
            })
            .collect();
        let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
        let context: Vec<String> = statement
            .conditions
            .iter()
            .map(|(_, key, value)| format!("ContextKeyName={key},ContextKeyValues={value},ContextKeyType=string"))
            .collect();
        match self.simulate(cli, principal, &actions, &resources, &context).await {
            Ok(denied) if denied.is_empty() => Finding::ok(&statement.sid, actions.join(", ")),
            Ok(denied) => {
                let explicit = denied.iter().any(|it| it.explicit);
                let hint = match explicit {
                    true => "a policy, a boundary or the organization denies it: take that away, or use another role",
                    false => "allow it: `cargo xtask policy` prints the whole policy",
                };
                Finding::failed(&statement.sid, said(&denied), hint)
            }
            Err(complaint) => unasked(&statement.sid, &complaint),
        }
    }
}

/// Waits for all, a few at a time.
async fn all<T: Unpin>(asked: Vec<Answer<'_, T>>) -> Vec<T> {
    let mut answers = Vec::new();
    let mut asked = asked.into_iter().peekable();
    while asked.peek().is_some() {
        answers.extend(side_by_side(asked.by_ref().take(AT_ONCE).collect()).await);
    }
    answers
}

/// What could not be asked is no failure: whoever checks may see less than ECS.
fn unasked(name: &str, complaint: &Complaint) -> Finding {
    Finding::skipped(name, format!("cannot be read: {}", complaint.cause()))
}

fn said(denied: &[Denied]) -> String {
    let each = denied.iter().map(|it| format!("{} on {} is denied", it.action, it.resource));
    each.collect::<Vec<_>>().join("; ")
}

/// The last part of a role's ARN.
fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
