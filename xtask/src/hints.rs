//! One table from AWS's error codes and ECS's reasons to one thing to do.

/// A row: what the text must contain (all of them, without regard to case), and the hint.
type Row = (&'static [&'static str], &'static str);

/// For errors of AWS calls: matched against `Operation Code message`.
const AWS_ERRORS: &[Row] = &[
    (
        &["requires following cargo feature", "credentials-login"],
        "compile with `--features login`, or use another credential source",
    ),
    (&["Signature expired"], "set this machine's clock: AWS takes no request that is minutes old"),
    (&["Signature not yet current"], "set this machine's clock: AWS takes no request from the future"),
    (&["sso", "expired"], "run `aws sso login`"),
    (&["SSO token"], "run `aws sso login`"),
    (&["token", "expired"], "get new credentials: run `aws sso login`, or renew the ones in the environment"),
    (
        &["credential"],
        "set AWS_PROFILE or `profile` in tasks.toml, or put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the environment",
    ),
    (
        &["UnrecognizedClient"],
        "the credentials are not valid in this account or region: check AWS_PROFILE and AWS_ACCESS_KEY_ID",
    ),
    (&["InvalidClientTokenId"], "the credentials are not valid: check AWS_PROFILE and AWS_ACCESS_KEY_ID"),
    (&["SignatureDoesNotMatch"], "check the secret key, and that this machine's clock is right"),
    (&["iam:PassRole"], "allow iam:PassRole on the task's roles for ecs-tasks.amazonaws.com"),
    (&["RunTask", "AccessDenied"], "allow ecs:RunTask on the family, and iam:PassRole on its roles"),
    (&["AccessDenied"], "allow this action for the caller, or use another profile"),
    (&["not authorized"], "allow this action for the caller, or use another profile"),
    (&["RepositoryNotFound"], "create the repository, or set `create-repository = true` in the image"),
    (&["ClusterNotFound"], "check `cluster`, `region` and the profile"),
    (&["Throttl"], "AWS limits the rate of calls: try again in a minute"),
    (&["Connection refused"], "check the endpoint: nothing listens there"),
    (&["dns error"], "check the network, and that the region's name is right"),
    (&["no answer in time"], "check the network, a proxy (HTTPS_PROXY) or a VPC endpoint"),
];

/// For ECS's stop reasons and container reasons.
const ECS_REASONS: &[Row] = &[
    (&["CannotPullContainer", "platform"], "the image is for another architecture: set `platform` on the task"),
    (&["CannotPullContainer", "not found"], "the image is gone from the registry: run again with --rebuild"),
    (
        &["CannotPullContainer", "timeout"],
        "the subnets need a way to ECR: a NAT gateway, VPC endpoints, or assign-public-ip = true",
    ),
    (&["CannotPullContainer"], "the execution role needs to read the repository, and the subnets a way to it"),
    (&["exec format error"], "the image is for another architecture: set `platform` on the task"),
    (
        &["ResourceInitializationError", "secret"],
        "the execution role needs to read the secret, and the subnets a way to Secrets Manager or SSM",
    ),
    (
        &["ResourceInitializationError", "log"],
        "the execution role needs logs:CreateLogStream, and the log group must exist",
    ),
    (&["ResourceInitializationError"], "the execution role or the way from the subnets to AWS's endpoints is missing"),
    (&["OutOfMemory"], "give it more: `memory` on the task, or --memory"),
    (&["CannotStartContainer", "no such file"], "the program is not in the image: check `entrypoint` and `command`"),
    (
        &["CannotStartContainer", "executable file not found"],
        "the program is not in the image: check `entrypoint` and `command`",
    ),
    (&["Spot"], "it ran on Spot capacity and was taken away: set `spot = false`, or run it again"),
    (&["RESOURCE:ENI"], "no network interface is free on the instances: use another capacity provider or wait"),
    (&["RESOURCE:CPU"], "the cluster has no instance with enough free CPU: lower `cpu` or add capacity"),
    (&["RESOURCE:MEMORY"], "the cluster has no instance with enough free memory: lower `memory` or add capacity"),
    (&["RESOURCE:PORTS"], "the ports are taken on every instance"),
    (&["RESOURCE:"], "the cluster has not enough of that resource: add capacity"),
    (&["AGENT"], "the ECS agent of the instances is not connected: try again in a minute"),
    (&["ATTRIBUTE"], "no instance has what the task definition asks for (architecture, ENI trunking, a plugin)"),
    (&["Capacity is unavailable"], "Fargate has no capacity there now: add subnets of other zones, or try again"),
    (&["INACTIVE"], "the task definition is no longer active"),
];

/// The hint for a failed AWS call, if the table has one.
pub fn of_aws_error(operation: &str, code: Option<&str>, message: &str) -> Option<String> {
    find(AWS_ERRORS, &format!("{operation} {} {message}", code.unwrap_or_default()))
}

/// The hint for a reason that ECS gave, if the table has one.
pub fn of_reason(reason: &str) -> Option<String> {
    find(ECS_REASONS, reason)
}

fn find(table: &[Row], text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let row = table.iter().find(|(needles, _)| needles.iter().all(|it| text.contains(&it.to_lowercase())));
    row.map(|(_, hint)| (*hint).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each row, in the table's order, a text as AWS or the SDK writes it.
    const AWS_SAYS: &[&str] = &[
        "GetCallerIdentity  dispatch failure: This behavior requires following cargo feature(s) enabled: credentials-login",
        "GetCallerIdentity InvalidSignatureException Signature expired: 20261124T000000Z is now earlier than 20261124T001000Z",
        "GetCallerIdentity InvalidSignatureException Signature not yet current: 20261124T001000Z is still later than 20261124T000500Z",
        "GetCallerIdentity  the SSO session associated with this profile has expired or is otherwise invalid",
        "GetCallerIdentity  the credential provider was not properly configured: no cached SSO token",
        "GetCallerIdentity ExpiredToken The security token included in the request is expired",
        "GetCallerIdentity  no providers in chain provided credentials",
        "DescribeServices UnrecognizedClientException The security token included in the request is invalid.",
        "GetCallerIdentity InvalidClientTokenId The security token included in the request is invalid.",
        "GetCallerIdentity SignatureDoesNotMatch The request signature we calculated does not match the signature you provided.",
        "RunTask AccessDeniedException User: x is not authorized to perform: iam:PassRole on resource: y",
        "RunTask AccessDeniedException User: x is not authorized to perform: ecs:RunTask on resource: y",
        "StopTask AccessDeniedException User: x is not authorized to perform: ecs:StopTask on resource: y",
        "StopTask ClientException User: x is not authorized to perform: ecs:StopTask",
        "DescribeImages RepositoryNotFoundException The repository with name 'x' does not exist in the registry with id '1'",
        "ListTasks ClusterNotFoundException Cluster not found.",
        "DescribeTasks ThrottlingException Rate exceeded",
        "DescribeTasks  client error (Connect): tcp connect error: Connection refused (os error 111)",
        "DescribeTasks  client error (Connect): dns error: failed to lookup address information",
        "DescribeTasks  no answer in time",
    ];

    const ECS_SAYS: &[&str] = &[
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'",
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref x: not found",
        "CannotPullContainerError: dial tcp 10.0.0.1:443: i/o timeout",
        "CannotPullContainerError: pull access denied for x, repository may require authorization",
        "CannotStartContainerError: exec /bin/migrate: exec format error",
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed",
        "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times",
        "ResourceInitializationError: failed to configure ENI: failed to setup regular eni",
        "OutOfMemoryError: Container killed due to memory usage",
        "CannotStartContainerError: OCI runtime create failed: exec: \"bin/x\": stat bin/x: no such file or directory",
        "CannotStartContainerError: OCI runtime create failed: exec: \"x\": executable file not found in $PATH",
        "Your Spot Task was interrupted.",
        "RESOURCE:ENI",
        "TaskFailedToStart: RESOURCE:CPU",
        "RESOURCE:MEMORY",
        "RESOURCE:PORTS",
        "RESOURCE:GPU",
        "AGENT",
        "ATTRIBUTE",
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        "INACTIVE",
    ];

    #[test]
    fn every_row_is_met_by_what_aws_says() {
        for (table, says) in [(AWS_ERRORS, AWS_SAYS), (ECS_REASONS, ECS_SAYS)] {
            assert_eq!(table.len(), says.len(), "a text for each row");
            for (index, text) in says.iter().enumerate() {
                let text = text.to_lowercase();
                let meets = |(needles, _): &Row| needles.iter().all(|it| text.contains(&it.to_lowercase()));
                assert_eq!(table.iter().position(meets), Some(index), "{text}: {}", table[index].1);
            }
        }
    }

    #[test]
    fn the_first_matching_row_gives_the_hint() {
        for (reason, expected) in [
            (
                "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'",
                "platform",
            ),
            ("CannotPullContainerError: pull image manifest has been retried 1 time(s): not found", "--rebuild"),
            ("OutOfMemoryError: Container killed due to memory usage", "--memory"),
            ("ResourceInitializationError: unable to pull secrets or registry auth", "secret"),
            ("RESOURCE:MEMORY", "memory"),
            ("Your Spot Task was interrupted.", "spot = false"),
        ] {
            assert!(of_reason(reason).is_some_and(|it| it.contains(expected)), "{reason}");
        }
        assert_eq!(of_reason("Essential container in task exited"), None);
        let hint =
            of_aws_error("RunTask", Some("AccessDeniedException"), "not authorized to perform: iam:PassRole on x");
        assert!(hint.is_some_and(|it| it.contains("PassRole")));
    }
}
