//! The trust policy of a role that GitHub Actions takes on by OIDC.

use serde_json::{Value, json};

use crate::plan::partition_of;

/// GitHub's issuer of tokens, as IAM names the provider.
const ISSUER: &str = "token.actions.githubusercontent.com";

/// Who may take the role on: `--trust`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// `OWNER/REPO`.
    pub repository: String,
    /// The rest of GitHub's `sub` claim, for example `ref:refs/heads/main` or `environment:production`.
    pub context: Option<String>,
}

/// Reads `github:OWNER/REPO` and `github:OWNER/REPO:CONTEXT`.
pub fn parse_trust(text: &str) -> Result<Trust, String> {
    let form = "expected github:OWNER/REPO, or with a context behind it: github:OWNER/REPO:ref:refs/heads/main";
    let rest = text.strip_prefix("github:").ok_or(form)?;
    let (repository, context) = match rest.split_once(':') {
        Some((repository, context)) => (repository, Some(context)),
        None => (rest, None),
    };
    let is_name = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it));
    let (owner, name) = repository.split_once('/').ok_or(form)?;
    if !is_name(owner) || !is_name(name) || context.is_some_and(str::is_empty) {
        return Err(form.to_owned());
    }
    Ok(Trust { repository: repository.to_owned(), context: context.map(str::to_owned) })
}

/// The trust policy. A protected environment trusts only jobs of the GitHub environment of the same name, where reviewers and branches can
/// be asked for; any other every job of the repository, unless the context says more.
pub fn trust_policy(trust: &Trust, account: &str, region: &str, environment: &str, protected: bool) -> Value {
    let context = match &trust.context {
        Some(context) => context.clone(),
        None if protected => format!("environment:{environment}"),
        None => "*".to_owned(),
    };
    let operator = if context.contains(['*', '?']) { "StringLike" } else { "StringEquals" };
    let (audience, subject) = (format!("{ISSUER}:aud"), format!("{ISSUER}:sub"));
    let mut condition = json!({ "StringEquals": { audience: "sts.amazonaws.com" } });
    condition[operator][subject] = json!(format!("repo:{}:{context}", trust.repository));
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TrustGitHubActions",
            "Effect": "Allow",
            "Principal": { "Federated": format!("arn:{}:iam::{account}:oidc-provider/{ISSUER}", partition_of(region)) },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_a_repository_is_trusted() {
        for (text, expected) in [
            ("github:acme/app", Some(("acme/app", None))),
            ("github:acme/app:ref:refs/heads/main", Some(("acme/app", Some("ref:refs/heads/main")))),
            ("github:acme/app:environment:production", Some(("acme/app", Some("environment:production")))),
            ("github:acme/*", None),
            ("github:acme", None),
            ("github:acme/app:", None),
            ("github:/app", None),
            ("gitlab:acme/app", None),
            ("acme/app", None),
        ] {
            let trust = parse_trust(text).ok();
            assert_eq!(trust.as_ref().map(|it| (it.repository.as_str(), it.context.as_deref())), expected, "{text}");
        }
    }

    #[test]
    fn a_protected_environment_trusts_its_namesake_only() {
        let trust = parse_trust("github:acme/app").unwrap();
        let condition = |trust: &Trust, protected| {
            trust_policy(trust, "111122223333", "eu-west-1", "production", protected)["Statement"][0]["Condition"]
                .clone()
        };
        let audience = "token.actions.githubusercontent.com:aud";
        let subject = "token.actions.githubusercontent.com:sub";
        assert_eq!(
            condition(&trust, true),
            json!({ "StringEquals": { audience: "sts.amazonaws.com", subject: "repo:acme/app:environment:production" } })
        );
        assert_eq!(
            condition(&trust, false),
            json!({
                "StringEquals": { audience: "sts.amazonaws.com" },
                "StringLike": { subject: "repo:acme/app:*" },
            })
        );
        let main = parse_trust("github:acme/app:ref:refs/heads/main").unwrap();
        assert_eq!(condition(&main, true)["StringEquals"][subject], "repo:acme/app:ref:refs/heads/main");
        let china = trust_policy(&trust, "111122223333", "cn-north-1", "p", true);
        assert!(china["Statement"][0]["Principal"]["Federated"].as_str().unwrap().starts_with("arn:aws-cn:iam::"));
    }
}
