//! The one table of the calls that this tool makes and what each needs of IAM. `policy` is derived from it, `check` simulates it, and a
//! test fails when a stage makes a call that is not in it. docs/policy.md says for each row where that stands in AWS's documentation.

use super::{By, Call, For, Grant, On, Proof, With};

const fn shown(statement: &'static str, action: &'static str, on: On, with: &'static [With]) -> Grant {
    Grant { statement, action, on, with, proof: Proof::Emulated }
}

const fn documented(statement: &'static str, action: &'static str, on: On, with: &'static [With]) -> Grant {
    Grant { statement, action, on, with, proof: Proof::Documented }
}

const fn sdk(service: &'static str, operation: &'static str, purpose: For, grants: &'static [Grant]) -> Call {
    Call { by: By::Sdk, service, operation, purpose, grants }
}

/// A managed role policy must let ECS hand the roles on, and nobody else.
const PASS_ROLES: Grant =
    documented("PassRoles", "iam:PassRole", On::Roles, &[With::PassedTo("ecs-tasks.amazonaws.com")]);

/// Every call, by service and operation.
pub const CALLS: &[Call] = &[
    // No policy can take this one away.
    sdk("sts", "GetCallerIdentity", For::Run, &[]),
    sdk("ecs", "DescribeServices", For::Run, &[shown("ReadService", "ecs:DescribeServices", On::Service, &[])]),
    // ECS has no resources for it.
    sdk(
        "ecs",
        "DescribeTaskDefinition",
        For::Run,
        &[shown("ReadTaskDefinitions", "ecs:DescribeTaskDefinition", On::Anything, &[])],
    ),
    // Its resource is a container instance, which an ECS task on Fargate has none of: only the cluster can be named.
    sdk("ecs", "ListTasks", For::Run, &[shown("ListTasks", "ecs:ListTasks", On::Anything, &[With::Cluster])]),
    sdk("ecs", "DescribeTasks", For::Run, &[shown("FollowTasks", "ecs:DescribeTasks", On::Tasks, &[With::Cluster])]),
    // Not narrowed to the tag of ours: StopTask deletes an ECS task's tags, and the repetition of one without an answer would be denied.
    sdk("ecs", "StopTask", For::Run, &[shown("FollowTasks", "ecs:StopTask", On::Tasks, &[With::Cluster])]),
    sdk(
        "ecs",
        "RegisterTaskDefinition",
        For::Run,
        &[
            shown("RegisterTaskDefinitions", "ecs:RegisterTaskDefinition", On::Families, &[]),
            documented(
                "TagTaskDefinitions",
                "ecs:TagResource",
                On::Families,
                &[With::CreatedBy("RegisterTaskDefinition")],
            ),
            PASS_ROLES,
        ],
    ),
    sdk(
        "ecs",
        "RunTask",
        For::Run,
        &[
            shown("RunTasks", "ecs:RunTask", On::Families, &[With::Cluster]),
            documented("TagTasks", "ecs:TagResource", On::Tasks, &[With::CreatedBy("RunTask")]),
            PASS_ROLES,
            documented("PassVolumeRoles", "iam:PassRole", On::VolumeRoles, &[With::PassedTo("ecs.amazonaws.com")]),
        ],
    ),
    sdk(
        "ecs",
        "ExecuteCommand",
        For::Run,
        &[documented("OpenSessions", "ecs:ExecuteCommand", On::Sessions, &[With::Container])],
    ),
    // Sent by hand: see aws/session.rs. The first is the upgrade to a session's websocket.
    sdk(
        "ssmmessages",
        "OpenDataChannel",
        For::Run,
        &[documented("KeepSessions", "ssmmessages:OpenDataChannel", On::OpenSessions, &[])],
    ),
    sdk(
        "kms",
        "GenerateDataKey",
        For::Run,
        &[documented("EncryptSessions", "kms:GenerateDataKey", On::SessionKeys, &[])],
    ),
    sdk("ssm", "ResumeSession", For::Run, &[documented("KeepSessions", "ssm:ResumeSession", On::OpenSessions, &[])]),
    sdk(
        "ssm",
        "TerminateSession",
        For::Run,
        &[documented("KeepSessions", "ssm:TerminateSession", On::OpenSessions, &[])],
    ),
    sdk("logs", "GetLogEvents", For::Run, &[shown("ReadOutput", "logs:GetLogEvents", On::LogStreams, &[])]),
    sdk("ecr", "DescribeImages", For::Run, &[shown("LookUpImages", "ecr:DescribeImages", On::Repositories, &[])]),
    sdk(
        "ecr",
        "GetAuthorizationToken",
        For::Run,
        &[shown("LogIn", "ecr:GetAuthorizationToken", On::AnythingToPush, &[])],
    ),
    // Immutable tags and scanning are part of the request and need no action of their own.
    sdk(
        "ecr",
        "CreateRepository",
        For::Run,
        &[shown("CreateRepositories", "ecr:CreateRepository", On::CreatedRepositories, &[])],
    ),
    Call {
        by: By::Docker,
        service: "ecr",
        operation: "docker push",
        purpose: For::Run,
        grants: &[
            documented("PushImages", "ecr:BatchCheckLayerAvailability", On::PushedRepositories, &[]),
            documented("PushImages", "ecr:BatchGetImage", On::PushedRepositories, &[]),
            documented("PushImages", "ecr:CompleteLayerUpload", On::PushedRepositories, &[]),
            documented("PushImages", "ecr:InitiateLayerUpload", On::PushedRepositories, &[]),
            documented("PushImages", "ecr:PutImage", On::PushedRepositories, &[]),
            documented("PushImages", "ecr:UploadLayerPart", On::PushedRepositories, &[]),
        ],
    },
    // Names for a hint; whoever may not list them gets the message without it.
    sdk("ecs", "ListClusters", For::Hints, &[]),
    sdk("ecs", "ListServices", For::Hints, &[]),
    // Reads of `check` and `policy`.
    sdk("ecs", "DescribeClusters", For::Other("check, policy"), &[]),
    sdk("ecr", "DescribeRepositories", For::Other("check"), &[]),
    sdk("ecr", "GetRepositoryPolicy", For::Other("check"), &[]),
    sdk("ecr", "BatchGetImage", For::Other("check"), &[]),
    sdk("logs", "DescribeLogGroups", For::Other("check"), &[]),
    // `clean`.
    sdk("ecs", "ListTaskDefinitions", For::Other("clean"), &[]),
    sdk("ecs", "DeregisterTaskDefinition", For::Other("clean"), &[]),
    sdk("ecs", "DeleteTaskDefinitions", For::Other("clean"), &[]),
];
