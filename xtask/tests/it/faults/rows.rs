//! The rows of the fault matrix, by the order of a run: what is read, built, registered, launched, followed and stopped.
#![expect(clippy::wildcard_imports, reason = "a table reads better without the names of its columns' types in front of each cell")]

use Left::{Nothing as Gone, Told as Runs, Untold};
use Output::{Cut, Nothing, Unread, Whole};

use super::*;
use crate::fake::Fault::*;
use crate::fake::{ContainerLife, OnSigterm};
use crate::harness::Says;

const RESET: &str = "trying again";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = reads();
    rows.extend(images());
    rows.extend(registration());
    rows.extend(launches());
    rows.extend(following());
    rows.extend(output());
    rows.extend(ends());
    rows.extend(stops());
    rows.extend(machine());
    rows
}

fn reads() -> Vec<Row> {
    vec![
        // fault                                                       world                                                      code started output left told
        row("GetCallerIdentity: a burst of throttling", |it| it.fault("GetCallerIdentity", 1..=2, Throttle), 0, 1, Whole, Gone, ""),
        row("GetCallerIdentity: the credentials have expired", |it| it.fault("GetCallerIdentity", .., ExpiredToken), 125, 0, Nothing, Gone, "nothing was built or written"),
        row("DescribeServices: minutes of throttling", |it| it.fault("DescribeServices", .., Throttle), 125, 0, Nothing, Gone, "Rate exceeded"),
        row("DescribeServices: not allowed", |it| it.fault("DescribeServices", .., AccessDenied), 125, 0, Nothing, Gone, "not authorized to perform: ecs:DescribeServices"),
        row("DescribeTaskDefinition: HTTP 500 twice", |it| it.fault("DescribeTaskDefinition", 1..=2, ServerError), 0, 1, Whole, Gone, ""),
        row("DescribeTaskDefinition: not allowed", |it| it.fault("DescribeTaskDefinition", .., AccessDenied), 125, 0, Nothing, Gone, "ecs:DescribeTaskDefinition"),
        row("ListTasks: a burst of throttling", |it| it.fault("ListTasks", 1..=3, Throttle), 0, 1, Whole, Gone, ""),
        row("DescribeImages: HTTP 503 twice", |it| it.fault("DescribeImages", 1..=2, Unavailable), 0, 1, Whole, Gone, ""),
        row("DescribeImages: the connection is reset", |it| it.fault("DescribeImages", 1, DropBefore), 0, 1, Whole, Gone, ""),
        row("DescribeServices: no answer, once", |it| it.fault("DescribeServices", 1, NeverAnswer), 0, 1, Whole, Gone, ""),
        row("every call: connection refused", |it| it, 125, 0, Nothing, Gone, "nothing was built or written")
            .tasks(|it| it.replace("{endpoint}", "http://127.0.0.1:1")),
        row("every call: the clock of this machine is wrong", |it| it.fault("*", .., Refuse("InvalidSignatureException", "Signature expired: 20261124T000000Z is now earlier than 20261124T001000Z")), 125, 0, Nothing, Gone, "clock"),
        row("every call: answers take 30 s", |it| it.fault("*", .., Slow(30_000)), 0, 1, Whole, Gone, "").life(|| Life::counts_to(9).runs(200_000)),
    ]
}

fn images() -> Vec<Row> {
    vec![
        row("GetAuthorizationToken: a burst of throttling", |it| it.fault("GetAuthorizationToken", 1..=2, Throttle), 0, 1, Whole, Gone, "").cold(),
        row("GetAuthorizationToken: not allowed", |it| it.fault("GetAuthorizationToken", .., AccessDenied), 125, 0, Nothing, Gone, "ecr:GetAuthorizationToken").cold(),
        row("docker build: docker dies", |it| it, 125, 0, Nothing, Gone, "no ECS task was started")
            .docker(|| Docker::new().on("build", Says::new().stderr("step 1\n").dies(9))),
        row("docker build: the disk is full", |it| it, 125, 0, Nothing, Gone, "no ECS task was started")
            .docker(|| Docker::new().on("build", Says::new().stderr("write /var/lib/docker/tmp: no space left on device\n").exits(1))),
        row("docker push: the login expires in the middle", |it| it, 0, 1, Whole, Gone, "token has expired")
            .docker(|| Docker::new().on_nth("push", 1, Says::new().stderr("denied: Your authorization token has expired. Reauthenticate and try again.\n").exits(1))),
        row("docker push: docker dies", |it| it, 125, 0, Nothing, Gone, "no ECS task was started")
            .docker(|| Docker::new().on("push", Says::new().stderr("pushing\n").dies(9))),
    ]
}

fn registration() -> Vec<Row> {
    vec![
        row("RegisterTaskDefinition: a burst of throttling", |it| it.fault("RegisterTaskDefinition", 1..=3, Throttle), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: others register, too", |it| it.fault("RegisterTaskDefinition", 1..=2, Refuse("ClientException", "Too many concurrent attempts to create a new revision of the specified family.")), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: the answer is lost", |it| it.fault("RegisterTaskDefinition", 1, DropAfter), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: not allowed", |it| it.fault("RegisterTaskDefinition", .., AccessDenied), 125, 0, Nothing, Gone, "no ECS task was started"),
    ]
}

fn launches() -> Vec<Row> {
    vec![
        row("RunTask: a burst of throttling", |it| it.fault("RunTask", 1..=3, Throttle), 0, 1, Whole, Gone, RESET),
        row("RunTask: minutes of HTTP 500", |it| it.fault("RunTask", .., ServerError), 125, 0, Nothing, Gone, "RunTask was sent and not answered"),
        row("RunTask: the connection is reset before the effect", |it| it.fault("RunTask", 1, DropBefore), 0, 1, Whole, Gone, RESET),
        row("RunTask: the answer is lost", |it| it.fault("RunTask", 1, DropAfter), 0, 1, Whole, Gone, RESET),
        row("RunTask: HTTP 500 after the effect", |it| it.fault("RunTask", 1, ServerErrorAfter), 0, 1, Whole, Gone, RESET),
        row("RunTask: half an answer", |it| it.fault("RunTask", 1, HalfBody), 0, 1, Whole, Gone, RESET),
        row("RunTask: no answer after the effect", |it| it.fault("RunTask", 1, NeverAnswerAfter), 0, 1, Whole, Gone, RESET),
        row("RunTask: no answer is ever there", |it| it.fault("RunTask", .., DropAfter), 125, 1, Nothing, Gone, "was started and is being stopped"),
        row("RunTask: the answer is lost, and the user interrupts", |it| it.fault("RunTask", 1, DropAfter), 130, 1, Nothing, Gone, "was started and is being stopped")
            .life(forever)
            .when(Act::SignalAt("RunTask", Moment::Acted, Signal::INT)),
        row("RunTask: not allowed", |it| it.fault("RunTask", .., AccessDenied), 125, 0, Nothing, Gone, "no ECS task was started"),
        row("RunTask: RESOURCE:MEMORY", |it| it.run_task_fails(&["RESOURCE:MEMORY"]), 125, 0, Nothing, Gone, "RESOURCE:MEMORY"),
        row("RunTask: AGENT, for a moment", |it| it.run_task_fails(&["AGENT"]).run_task_fails(&["AGENT"]), 0, 1, Whole, Gone, "AGENT"),
        row("RunTask: several failures", |it| it.run_task_fails(&["RESOURCE:CPU", "ATTRIBUTE"]), 125, 0, Nothing, Gone, "RESOURCE:CPU"),
        row("RunTask: neither an ECS task nor a failure", |it| it.run_task_fails(&[]), 125, 0, Nothing, Gone, "neither an ECS task nor a failure"),
        row("DescribeTasks: MISSING after RunTask", |it| it.missing_first(3), 0, 1, Whole, Gone, ""),
    ]
}

/// Of a run whose ECS task goes on for a while: the first two calls belong to the survey and to the launch.
fn following() -> Vec<Row> {
    vec![
        row("DescribeTasks: one HTTP 500", |it| it.fault("DescribeTasks", 4, ServerError), 0, 1, Whole, Gone, ""),
        row("DescribeTasks: a minute of throttling", |it| it.fault("DescribeTasks", 4..=10, Throttle), 0, 1, Whole, Gone, "cannot ask for the ECS task's status"),
        row("DescribeTasks: the network is gone for a minute", |it| it.fault("DescribeTasks", 4..=10, DropBefore), 0, 1, Whole, Gone, "ECS tells the ECS task's status again"),
        row("DescribeTasks: no answer, once", |it| it.fault("DescribeTasks", 4, NeverAnswer), 0, 1, Whole, Gone, ""),
        row("DescribeTasks: the credentials expire and are renewed", |it| it.fault("DescribeTasks", 4..=8, ExpiredToken), 0, 1, Whole, Gone, "renew the credentials"),
        row("DescribeTasks: not allowed any more", |it| it.fault("DescribeTasks", 4.., AccessDenied), 125, 1, Whole, Runs, "ecs:DescribeTasks")
            .life(|| usual().runs(300_000)),
        row("every call: the network is gone for two minutes", |it| it.fault("DescribeTasks", 5..=13, DropBefore).fault("GetLogEvents", 3..=11, DropBefore), 0, 1, Whole, Gone, "the output can be read again"),
    ]
}

fn output() -> Vec<Row> {
    vec![
        row("GetLogEvents: a burst of throttling", |it| it.fault("GetLogEvents", 3..=6, Throttle), 0, 1, Whole, Gone, "cannot read the output"),
        row("GetLogEvents: the connection is reset, again and again", |it| it.fault("GetLogEvents", 3..=5, DropAfter), 0, 1, Whole, Gone, "cannot read the output"),
        row("GetLogEvents: half an answer", |it| it.fault("GetLogEvents", 3, HalfBody), 0, 1, Whole, Gone, ""),
        row("GetLogEvents: no answer, once", |it| it.fault("GetLogEvents", 3, NeverAnswerAfter), 0, 1, Whole, Gone, ""),
        row("GetLogEvents: the token has expired", |it| it.fault("GetLogEvents", 5, Refuse("InvalidParameterException", "The specified nextToken has expired.")), 0, 1, Whole, Gone, "reading on from the last line"),
        row("GetLogEvents: not allowed", |it| it.fault("GetLogEvents", .., AccessDenied), 0, 1, Cut, Gone, "logs:GetLogEvents"),
        row("GetLogEvents: not allowed any more", |it| it.fault("GetLogEvents", 5.., AccessDenied), 0, 1, Cut, Gone, "the output may be cut"),
        row("the log group does not exist", Fake::no_log_groups, 0, 1, Cut, Gone, "The specified log group does not exist"),
        row("the log stream is never created", |it| it.task_life(usual().no_stream()), 0, 1, Cut, Gone, "The specified log stream does not exist"),
        row("the log stream is late", |it| it.task_life(usual().stream_missing(6)), 0, 1, Whole, Gone, ""),
        row("empty pages in the middle", |it| it.log_pages(7, 2, 3), 0, 1, Whole, Gone, ""),
        row("all events of one millisecond", |it| it.task_life(usual().same_millisecond()), 0, 1, Whole, Gone, ""),
        row("the last lines are late", |it| it.task_life(usual().last_lines_late(3, 9_000)), 0, 1, Whole, Gone, ""),
        row("a log driver that cannot be followed", |it| it.task_definition(firelens()), 2, 0, Nothing, Gone, "put its output into CloudWatch Logs")
            .tasks(|it| it.replace("service = \"web\"", "service = \"web\"\ntask-definition = \"firelens\"")),
    ]
}

fn ends() -> Vec<Row> {
    let taken = |code: &'static str, reason: &'static str| move |it: Fake| it.task_life(usual().runs(60_000).taken_after(20_000, code, reason).on_sigterm(OnSigterm::Exits(0, 500)));
    vec![
        row("a sidecar dies first", |it| it.task_life(usual().container("proxy", ContainerLife::exits(9, 500))), 0, 1, Whole, Gone, ""),
        row("exit code 0 after a Spot interruption", taken("SpotInterruption", "Your Spot Task was interrupted."), 125, 1, Cut, Gone, "its capacity was taken away"),
        row("exit code 0 after a termination notice", taken("TerminationNotice", "Your Spot Task was interrupted."), 125, 1, Cut, Gone, "its capacity was taken away"),
        row("exit code 0 after somebody's StopTask", taken("UserInitiated", "deploying"), 125, 1, Cut, Gone, "somebody stopped the ECS task"),
        row("exit code 0 after the scheduler's stop", taken("ServiceSchedulerInitiated", "scaling"), 125, 1, Cut, Gone, "the service scheduler stopped the ECS task"),
        row("the host is lost", taken("InfrastructureHealth", "Host EC2 terminated."), 125, 1, Cut, Gone, "the host failed"),
        row("no exit code", |it| it.task_life(usual().exits_without_code("DockerTimeoutError: Could not transition to stopped")), 125, 1, Whole, Gone, "gave no exit code"),
        row("out of memory", |it| it.task_life(usual().runs_out_of_memory()), 137, 1, Whole, Gone, "ran out of memory"),
        row("the image cannot be pulled", |it| it.task_life(Life::never_starts("CannotPullContainerError: pull image manifest has been retried 5 time(s): not found")), 125, 1, Nothing, Gone, "CannotPullContainerError"),
        row("a secret cannot be read", |it| it.task_life(Life::never_starts("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed")), 125, 1, Nothing, Gone, "ResourceInitializationError"),
        row("exec format error", |it| it.task_life(Life::never_starts("CannotStartContainerError: exec /bin/migrate: exec format error")), 125, 1, Nothing, Gone, "exec format error"),
        row("no capacity after RunTask's answer", |it| it.task_life(Life::never_placed("TaskFailedToStart: RESOURCE:MEMORY")), 125, 1, Nothing, Gone, "RESOURCE:MEMORY"),
        row("a stop that takes two minutes", |it| it.task_life(usual().takes_to_stop(120_000)), 0, 1, Whole, Gone, ""),
    ]
}

/// The user interrupts a run whose ECS task would go on.
fn stops() -> Vec<Row> {
    let act = Act::Signal(Signal::INT);
    vec![
        row("StopTask: throttled", |it| it.fault("StopTask", 1..=3, Throttle), 130, 1, Whole, Gone, "cannot stop the ECS task").life(forever).when(act),
        row("StopTask: the answer is lost", |it| it.fault("StopTask", 1, DropAfter), 130, 1, Whole, Gone, "").life(forever).when(act),
        row("StopTask: no answer, once", |it| it.fault("StopTask", 1, NeverAnswer), 130, 1, Whole, Gone, "").life(forever).when(act),
        row("StopTask: not allowed", |it| it.fault("StopTask", .., AccessDenied), 130, 1, Whole, Gone, "ecs:StopTask").life(|| usual().runs(60_000)).when(act),
        row("StopTask: the container ignores SIGTERM", |it| it.task_life(forever().on_sigterm(OnSigterm::Ignores)), 130, 1, Whole, Gone, "").life(forever).when(act),
    ]
}

fn machine() -> Vec<Row> {
    vec![
        row("SIGHUP", |it| it, 129, 1, Unread, Runs, "cargo xtask attach").life(|| usual().runs(100_000)).fault_is(Act::Signal(Signal::HUP)),
        row("the terminal is closed", |it| it, 129, 1, Unread, Untold, "").life(|| usual().runs(101_000)).fault_is(Act::CloseTerminal),
        row("stdout is a pipe that nobody reads", |it| it, 0, 1, Unread, Gone, "").fault_is(Act::BrokenPipe),
        row("stdout is a full disk", |it| it, 0, 1, Unread, Gone, "").fault_is(Act::FullDisk),
    ]
}

fn firelens() -> serde_json::Value {
    serde_json::json!({
        "family": "firelens",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{
            "name": "web",
            "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1",
            "logConfiguration": { "logDriver": "awsfirelens", "options": { "Name": "stdout" } },
        }],
    })
}
