//! Where things are: partition, account and region, as ARNs and registry hosts tell them, held against where the environment is.

use crate::error::{Error, Problem, Result};
use crate::model::{Identity, Settings, Sourced};

/// `aws`, `aws-cn` or `aws-us-gov`: the caller's ARN has it.
pub fn partition<'a>(identity: &'a Identity, region: &str) -> &'a str {
    match identity.arn.split(':').nth(1).filter(|it| !it.is_empty()) {
        Some(partition) => partition,
        None => partition_of(region),
    }
}

/// The partition of a region.
pub fn partition_of(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// What tasks.toml names by ARN or registry host must be where the environment is: a cluster of another region would otherwise be looked
/// for here, and one of the same name would be found.
///
/// An image's own `registry` may be anywhere, and so may a log group. An environment's `registry` stands in for every image's; in another
/// region it is a slip.
pub fn guard_places(environment: &str, settings: &Settings, region: &str) -> Result<()> {
    let mut problems = Vec::new();
    for (what, value) in
        [("cluster", &settings.cluster), ("service", &settings.service), ("task definition", &settings.task_definition)]
    {
        let Some(value) = value else { continue };
        if let Some((theirs, _)) = arn(&value.value).filter(|(theirs, _)| *theirs != region) {
            problems.push(elsewhere(environment, region, what, value, theirs));
        }
    }
    if let Some(registry) = &settings.registry
        && let Some((_, theirs)) = ecr_host(&registry.value)
        && theirs != region
    {
        problems.push(
            elsewhere(environment, region, "registry", registry, &theirs)
                .hint(format!("if images are kept in {theirs}, set `registry` in [images.NAME]; else leave it out")),
        );
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::all_refused(problems)) }
}

fn elsewhere(environment: &str, region: &str, what: &str, value: &Sourced<String>, theirs: &str) -> Problem {
    Problem::new(format!("`{environment}` is in {region}, but its {what} `{}` is in {theirs}", value.value))
        .at(value.span())
        .hint(format!("set `region` to {theirs}, or name a {what} in {region}"))
}

/// What tasks.toml names by ARN must be in the account of the credentials.
pub(super) fn guard_accounts(settings: &Settings, account: &str) -> Result<()> {
    let mut problems = Vec::new();
    for (what, value) in [
        ("cluster", &settings.cluster),
        ("service", &settings.service),
        ("task role", &settings.task_role),
        ("execution role", &settings.execution_role),
    ] {
        let Some(value) = value else { continue };
        if let Some((_, theirs)) = arn(&value.value).filter(|(_, theirs)| *theirs != account) {
            let message =
                format!("the {what} `{}` is in account {theirs}, but the credentials are for {account}", value.value);
            let hint = format!("use credentials for {theirs}, or name a {what} in {account}");
            problems.push(Problem::new(message).at(value.span()).hint(hint));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::all_refused(problems)) }
}

/// Region (empty for IAM) and account of an ARN.
fn arn(text: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, _, region, account, _] => Some((region, account)),
        _ => None,
    }
}

/// Account and region of an ECR host: `111122223333.dkr.ecr.eu-west-1.amazonaws.com`, also with `ecr-fips`, and the newer
/// `111122223333.dkr-ecr.eu-west-1.on.aws`.
pub fn ecr_host(host: &str) -> Option<(String, String)> {
    let (account, rest) = host.split_once('.')?;
    let rest =
        ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."].iter().find_map(|it| rest.strip_prefix(it))?;
    let (region, suffix) = rest.split_once('.')?;
    let known = [
        "amazonaws.com",
        "amazonaws.com.cn",
        "amazonaws.eu",
        "on.aws",
        "on.amazonwebservices.com.cn",
        "c2s.ic.gov",
        "sc2s.sgov.gov",
    ];
    let is_account = account.len() == 12 && account.bytes().all(|it| it.is_ascii_digit());
    (is_account && known.contains(&suffix)).then(|| (account.to_owned(), region.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_and_region_are_read_from_ecr_hosts_only() {
        for (host, expected) in [
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", Some(("111122223333", "eu-west-1"))),
            ("111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some(("111122223333", "us-gov-west-1"))),
            ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", Some(("111122223333", "cn-north-1"))),
            ("111122223333.dkr-ecr.eu-west-1.on.aws", Some(("111122223333", "eu-west-1"))),
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com.example.com", None),
            ("11112222333.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("127.0.0.1:4566", None),
            ("ghcr.io", None),
            ("public.ecr.aws", None),
        ] {
            let found = ecr_host(host);
            assert_eq!(found.as_ref().map(|(a, b)| (a.as_str(), b.as_str())), expected, "{host}");
        }
    }
}
