//! The rows of the fault matrix, by the order of a run: what is read, built, registered, launched, followed and stopped.

use Left::{Nothing as Gone, Told as Runs, Untold};
use Output::{Cut, Nothing, Part, Unread, Whole};

use super::*;
use crate::fake::Fault::*;
use crate::fake::{ContainerLife, OnSigterm};
use crate::harness::Says;

const RESET: &str = "trying again";
/// Another job pushes between the look and the push.
const TAKEN: &str = r#"
for word in "$@"; do reference=$word; done
tag=${reference##*:}
echo "acme/app $tag sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" >> "$folder/pushes"
echo "tag invalid: The image tag '$tag' already exists in the 'acme/app' repository and cannot be overwritten because the tag is immutable." >&2
exit 1
"#;

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

#[rustfmt::skip]
fn reads() -> Vec<Row> {
    vec![
        // What goes wrong, the world, exit code, ECS tasks started, output, what is left, what is told.
        row("GetCallerIdentity: a burst of throttling", |it| it.fault("GetCallerIdentity", 1..=2, Throttle), 0, 1, Whole, Gone, ""),
        row("GetCallerIdentity: the credentials have expired", |it| it.fault("GetCallerIdentity", .., ExpiredToken), 125, 0, Nothing, Gone, "nothing was built or written"),
        row("DescribeServices: minutes of throttling", |it| it.fault("DescribeServices", .., Throttle), 125, 0, Nothing, Gone, "Rate exceeded"),
        row("the credentials are for another account", |it| it, 2, 0, Nothing, Gone, "is in account 999988887777").tasks(|it| it.replace("cluster =", "account = \"999988887777\"\ncluster =")),
        row("DescribeServices: not allowed", |it| it.fault("DescribeServices", .., AccessDenied), 125, 0, Nothing, Gone, "not authorized to perform: ecs:DescribeServices"),
        row("DescribeTaskDefinition: HTTP 500 twice", |it| it.fault("DescribeTaskDefinition", 1..=2, ServerError), 0, 1, Whole, Gone, ""),
        row("DescribeTaskDefinition: a burst of throttling", |it| it.fault("DescribeTaskDefinition", 1..=3, Throttle), 0, 1, Whole, Gone, ""),
        row("DescribeTaskDefinition: not allowed", |it| it.fault("DescribeTaskDefinition", .., AccessDenied), 125, 0, Nothing, Gone, "ecs:DescribeTaskDefinition"),
        row("ListTasks: a burst of throttling", |it| it.fault("ListTasks", 1..=3, Throttle), 0, 1, Whole, Gone, ""),
        row("ListTasks: not allowed", |it| it.fault("ListTasks", .., AccessDenied), 0, 1, Whole, Gone, "cannot look whether `db-migrate` still runs").tasks(|it| it.replace("service = \"web\"", "task-definition = \"app\"\nlaunch-type = \"FARGATE\"\nsubnets = [\"subnet-0a\"]")),
        row("DescribeImages: a burst of throttling", |it| it.fault("DescribeImages", 1..=3, Throttle), 0, 1, Whole, Gone, ""),
        row("DescribeImages: not allowed", |it| it.fault("DescribeImages", .., AccessDenied), 125, 0, Nothing, Gone, "ecr:DescribeImages"),
        row("DescribeImages: HTTP 503 twice", |it| it.fault("DescribeImages", 1..=2, Unavailable), 0, 1, Whole, Gone, ""),
        row("DescribeImages: the connection is reset", |it| it.fault("DescribeImages", 1, DropBefore), 0, 1, Whole, Gone, ""),
        row("DescribeServices: no answer, once", |it| it.fault("DescribeServices", 1, NeverAnswer), 0, 1, Whole, Gone, ""),
        row("every call: connection refused", |it| it, 125, 0, Nothing, Gone, "nothing was built or written").tasks(|it| it.replace("{endpoint}", "http://127.0.0.1:1")),
        row("every call: the clock of this machine is wrong", |it| it.fault("*", .., Refuse("InvalidSignatureException", "Signature expired: 20261124T000000Z is now earlier than 20261124T001000Z")), 125, 0, Nothing, Gone, "clock"),
        row("every call: answers take 6 s", |it| it.fault("*", .., Slow(6_000)), 0, 1, Whole, Gone, "").slowly(),
    ]
}

#[rustfmt::skip]
fn images() -> Vec<Row> {
    vec![
        row("GetAuthorizationToken: a burst of throttling", |it| it.fault("GetAuthorizationToken", 1..=2, Throttle), 0, 1, Whole, Gone, "").cold(),
        row("GetAuthorizationToken: not allowed", |it| it.fault("GetAuthorizationToken", .., AccessDenied), 125, 0, Nothing, Gone, "ecr:GetAuthorizationToken").cold(),
        row("docker build: docker dies", |it| it, 125, 0, Nothing, Gone, "no ECS task was started").docker(|| Docker::new().on("build", Says::new().stderr("step 1\n").dies(9))),
        row("docker build: the disk is full", |it| it, 125, 0, Nothing, Gone, "no ECS task was started").docker(|| Docker::new().on("build", Says::new().stderr("write /var/lib/docker/tmp: no space left on device\n").exits(1))),
        row("docker push: the login expires in the middle", |it| it, 0, 1, Whole, Gone, "token has expired").docker(|| Docker::new().on_nth("push", 1, Says::new().stderr("denied: Your authorization token has expired. Reauthenticate and try again.\n").exits(1))),
        row("docker push: the login expires again and again", |it| it, 125, 0, Nothing, Gone, "no ECS task was started").docker(|| Docker::new().on("push", Says::new().stderr("denied: Your authorization token has expired. Reauthenticate and try again.\n").exits(1))),
        row("docker push: the connection is reset", |it| it, 0, 1, Whole, Gone, "pushing again").docker(|| Docker::new().on_nth("push", 1, Says::new().stderr("write tcp 10.0.0.1:443: connection reset by peer\n").exits(1))),
        row("docker push: the connection is reset again and again", |it| it, 125, 0, Nothing, Gone, "no ECS task was started").docker(|| Docker::new().on("push", Says::new().stderr("write tcp 10.0.0.1:443: connection reset by peer\n").exits(1))),
        row("docker push: somebody has pushed the same tag meanwhile", |it| it, 0, 1, Whole, Gone, "").docker(|| Docker::new().on("push", Says::new().script(TAKEN))),
        row("docker push: docker dies", |it| it, 125, 0, Nothing, Gone, "no ECS task was started").docker(|| Docker::new().on("push", Says::new().stderr("pushing\n").dies(9))),
    ]
}

#[rustfmt::skip]
fn registration() -> Vec<Row> {
    vec![
        row("RegisterTaskDefinition: a burst of throttling", |it| it.fault("RegisterTaskDefinition", 1..=6, Throttle), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: minutes of throttling", |it| it.fault("RegisterTaskDefinition", .., Throttle), 125, 0, Nothing, Gone, "no ECS task was started"),
        row("the newest revision is another one", |it| it.task_definition(older()), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: others register, too", |it| it.fault("RegisterTaskDefinition", 1..=2, Refuse("ClientException", "Too many concurrent attempts to create a new revision of the specified family.")), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: the answer is lost", |it| it.fault("RegisterTaskDefinition", 1, DropAfter), 0, 1, Whole, Gone, ""),
        row("RegisterTaskDefinition: not allowed", |it| it.fault("RegisterTaskDefinition", .., AccessDenied), 125, 0, Nothing, Gone, "no ECS task was started"),
    ]
}

#[rustfmt::skip]
fn launches() -> Vec<Row> {
    vec![
        row("RunTask: a burst of throttling", |it| it.fault("RunTask", 1..=3, Throttle), 0, 1, Whole, Gone, RESET),
        row("RunTask: minutes of throttling", |it| it.fault("RunTask", .., Throttle), 125, 0, Nothing, Gone, "no ECS task was started"),
        row("RunTask: minutes of HTTP 500", |it| it.fault("RunTask", .., ServerError), 125, 0, Nothing, Gone, "RunTask was sent and not answered"),
        row("RunTask: minutes of HTTP 500, while another run starts its own", |it| { let core = it.core(); it.at_call("RunTask", 2, Moment::Arrived, move || core.run_beside("xtask/db-migrate/another")); it.fault("RunTask", .., ServerError) }, 125, 1, Nothing, Gone, "ECS lists no ECS task of this run"),
        row("RunTask: the connection is reset before the effect", |it| it.fault("RunTask", 1, DropBefore), 0, 1, Whole, Gone, RESET),
        row("RunTask: the answer is lost", |it| it.fault("RunTask", 1, DropAfter), 0, 1, Whole, Gone, RESET),
        row("RunTask: HTTP 500 after the effect", |it| it.fault("RunTask", 1, ServerErrorAfter), 0, 1, Whole, Gone, RESET),
        row("RunTask: half an answer", |it| it.fault("RunTask", 1, HalfBody), 0, 1, Whole, Gone, RESET),
        row("RunTask: no answer after the effect", |it| it.fault("RunTask", 1, NeverAnswerAfter), 0, 1, Whole, Gone, RESET).slowly(),
        row("RunTask: its answer is always lost", |it| it.fault("RunTask", .., DropAfter), 0, 1, Whole, Gone, "ECS knows an ECS task of this run"),
        row("RunTask: the answer is lost, and then the token is in use", |it| it.fault("RunTask", 1, DropAfter).fault("RunTask", 2, Refuse("ConflictException", "The provided client token is already in use.")), 0, 1, Whole, Gone, "the client token is in use"),
        row("RunTask: the answer is lost, and the user interrupts", |it| it.fault("RunTask", 1, DropAfter), 130, 1, Nothing, Gone, "was started and is being stopped").life(forever).when(Act::SignalAt("RunTask", Moment::Acted, Signal::INT)),
        row("RunTask: not allowed", |it| it.fault("RunTask", .., AccessDenied), 125, 0, Nothing, Gone, "no ECS task was started"),
        row("RunTask: RESOURCE:MEMORY", |it| it.run_task_fails(&["RESOURCE:MEMORY"]), 125, 0, Nothing, Gone, "RESOURCE:MEMORY"),
        row("RunTask: AGENT, for a moment", |it| it.run_task_fails(&["AGENT"]).run_task_fails(&["AGENT"]), 0, 1, Whole, Gone, "AGENT"),
        row("RunTask: AGENT, for good", |it| (0..8).fold(it, |it, _| it.run_task_fails(&["AGENT"])), 125, 0, Nothing, Gone, "the ECS agent of the instances is not connected"),
        row("RunTask: AGENT beside a failure that stays", |it| it.run_task_fails(&["AGENT", "RESOURCE:CPU"]), 125, 0, Nothing, Gone, "RESOURCE:CPU"),
        row("RunTask: RESOURCE:CPU", |it| it.run_task_fails(&["RESOURCE:CPU"]), 125, 0, Nothing, Gone, "lower `cpu` or add capacity"),
        row("RunTask: RESOURCE:PORTS", |it| it.run_task_fails(&["RESOURCE:PORTS"]), 125, 0, Nothing, Gone, "the ports are taken on every instance"),
        row("RunTask: RESOURCE:GPU", |it| it.run_task_fails(&["RESOURCE:GPU"]), 125, 0, Nothing, Gone, "has not enough of that resource"),
        row("RunTask: RESOURCE:ENI, for a moment", |it| it.run_task_fails(&["RESOURCE:ENI"]), 0, 1, Whole, Gone, "RESOURCE:ENI"),
        row("RunTask: ATTRIBUTE", |it| it.run_task_fails(&["ATTRIBUTE"]), 125, 0, Nothing, Gone, "no instance has what the task definition asks for"),
        row("RunTask: LOCATION", |it| it.run_task_fails(&["LOCATION"]), 125, 0, Nothing, Gone, "LOCATION"),
        row("RunTask: no capacity of Fargate, for a moment", |it| it.run_task_fails(&["Capacity is unavailable at this time. Please try again later or in a different availability zone"]), 0, 1, Whole, Gone, "Capacity is unavailable"),
        row("RunTask: several failures", |it| it.run_task_fails(&["RESOURCE:CPU", "ATTRIBUTE"]), 125, 0, Nothing, Gone, "RESOURCE:CPU"),
        row("RunTask: neither an ECS task nor a failure", |it| it.run_task_fails(&[]), 125, 0, Nothing, Gone, "neither an ECS task nor a failure"),
        row("DescribeTasks: MISSING after RunTask", |it| it.missing_first(3), 0, 1, Whole, Gone, ""),
        row("DescribeTasks: MISSING for good", |it| it.missing_first(100_000), 125, 1, Cut, Runs, "ECS does not know the ECS task").life(|| usual().runs(300_000)),
        row("exclusive, RunTask: the answer is lost, and the ECS task is over at once", |it| it.fault("RunTask", 1, DropAfter), 0, 1, Whole, Gone, RESET).exclusive().life(|| usual().runs(100).at_once()),
        row("exclusive, RunTask: HTTP 500 after the effect", |it| it.fault("RunTask", 1, ServerErrorAfter), 0, 1, Whole, Gone, RESET).exclusive(),
        row("exclusive, RunTask: AGENT, for a moment", |it| it.run_task_fails(&["AGENT"]).run_task_fails(&["AGENT"]), 0, 1, Whole, Gone, "AGENT").exclusive(),
        row("exclusive, RunTask: a conflict that names nobody", |it| it.fault("RunTask", 1..=2, Refuse("ConflictException", "The provided client token is already in use.")), 0, 1, Whole, Gone, "").exclusive(),
    ]
}

/// Of a run whose ECS task goes on for a while: the first two calls belong to the survey and to the launch.
#[rustfmt::skip]
fn following() -> Vec<Row> {
    vec![
        row("DescribeTasks: one HTTP 500", |it| it.fault("DescribeTasks", 4, ServerError), 0, 1, Whole, Gone, ""),
        row("DescribeTasks: a minute of throttling", |it| it.fault("DescribeTasks", 4..=10, Throttle), 0, 1, Whole, Gone, "cannot ask for the ECS task's status"),
        row("DescribeTasks: the network is gone for a minute", |it| it.fault("DescribeTasks", 4..=10, DropBefore), 0, 1, Whole, Gone, "ECS tells the ECS task's status again"),
        row("DescribeTasks: no answer, once", |it| it.fault("DescribeTasks", 4, NeverAnswer), 0, 1, Whole, Gone, "").slowly(),
        row("DescribeTasks: the credentials expire and are renewed", |it| it.fault("DescribeTasks", 4..=8, ExpiredToken), 0, 1, Whole, Gone, "renew the credentials"),
        row("every call: the credentials expire, and their file has new ones", |it| it.fault("DescribeTasks", 4.., ExpiredKey(crate::fake::ACCESS_KEY)).fault("GetLogEvents", 4.., ExpiredKey(crate::fake::ACCESS_KEY)), 0, 1, Whole, Gone, "renew the credentials").renews(),
        row("DescribeTasks: not allowed for a moment", |it| it.fault("DescribeTasks", 4..=6, AccessDenied), 0, 1, Whole, Gone, "ecs:DescribeTasks"),
        row("DescribeTasks: throttled beyond the start timeout", |it| it.fault("DescribeTasks", 2..=8, Throttle), 0, 1, Whole, Gone, "cannot ask for the ECS task's status").life(|| usual().runs(100_000)).tasks(|it| it.replace("image = \"app\"", "image = \"app\"\nstart-timeout = \"20s\"")),
        row("it does not reach RUNNING in time", |it| it.task_life(usual().pending(100_000)), 125, 1, Nothing, Gone, "not RUNNING after 20s").tasks(|it| it.replace("image = \"app\"", "image = \"app\"\nstart-timeout = \"20s\"")),
        row("it runs longer than its timeout", |it| it.task_life(usual().runs(200_000)), 124, 1, Part, Gone, "the timeout of 50s has passed").tasks(|it| it.replace("image = \"app\"", "image = \"app\"\ntimeout = \"50s\"")),
        row("DescribeTasks: not allowed any more", |it| it.fault("DescribeTasks", 4.., AccessDenied), 125, 1, Cut, Runs, "ecs:DescribeTasks").life(|| usual().runs(300_000)),
        row("every call: the network is gone for minutes", |it| it.fault("DescribeTasks", 5..=17, DropBefore).fault("GetLogEvents", 3..=15, DropBefore), 0, 1, Whole, Gone, "the output can be read again"),
        row("every call: connection refused for a while", |it| { let core = it.core(); it.at_call("DescribeTasks", 5, Moment::Answered, move || core.refuse_for(std::time::Duration::from_millis(2_500))); it }, 0, 1, Whole, Gone, "ECS tells the ECS task's status again").life(|| usual().runs(100_000)),
    ]
}

#[rustfmt::skip]
fn output() -> Vec<Row> {
    vec![
        row("GetLogEvents: a burst of throttling", |it| it.fault("GetLogEvents", 3..=6, Throttle), 0, 1, Whole, Gone, "cannot read the output"),
        row("GetLogEvents: the connection is reset, again and again", |it| it.fault("GetLogEvents", 3..=5, DropAfter), 0, 1, Whole, Gone, "cannot read the output"),
        row("GetLogEvents: minutes of throttling, beyond the end", |it| it.fault("GetLogEvents", 4..=13, Throttle), 0, 1, Whole, Gone, "the output can be read again"),
        row("GetLogEvents: HTTP 503 twice", |it| it.fault("GetLogEvents", 3..=4, Unavailable), 0, 1, Whole, Gone, "cannot read the output"),
        row("GetLogEvents: half an answer", |it| it.fault("GetLogEvents", 3, HalfBody), 0, 1, Whole, Gone, ""),
        row("GetLogEvents: no answer, once", |it| it.fault("GetLogEvents", 3, NeverAnswerAfter), 0, 1, Whole, Gone, "").slowly(),
        row("GetLogEvents: the token has expired", |it| it.fault("GetLogEvents", 7, Refuse("InvalidParameterException", "The specified nextToken has expired.")), 0, 1, Whole, Gone, "reading on from the last line"),
        row("GetLogEvents: the token has expired among events of one millisecond", |it| it.log_pages(3, 2, 1).task_life(usual().same_millisecond()).fault("GetLogEvents", 13, Refuse("InvalidParameterException", "The specified nextToken has expired.")), 0, 1, Whole, Gone, "reading on from the last line"),
        row("GetLogEvents: the request is refused", |it| it.fault("GetLogEvents", .., Refuse("InvalidParameterException", "1 validation error detected")), 0, 1, Cut, Gone, "cannot read the output: InvalidParameterException"),
        row("GetLogEvents: not allowed", |it| it.fault("GetLogEvents", .., AccessDenied), 0, 1, Cut, Gone, "logs:GetLogEvents"),
        row("GetLogEvents: not allowed any more", |it| it.fault("GetLogEvents", 5.., AccessDenied), 0, 1, Cut, Gone, "the output may be cut"),
        row("the log group does not exist", Fake::no_log_groups, 0, 1, Cut, Gone, "The specified log group does not exist"),
        row("the log stream is never created", |it| it.task_life(usual().no_stream()), 0, 1, Cut, Gone, "The specified log stream does not exist"),
        row("the log stream is late", |it| it.task_life(usual().stream_missing(6)), 0, 1, Whole, Gone, ""),
        row("empty pages in the middle", |it| it.log_pages(7, 2, 3), 0, 1, Whole, Gone, ""),
        row("many empty pages in the middle", |it| it.log_pages(7, 2, 30), 0, 1, Whole, Gone, "").slowly(),
        row("all events of one millisecond", |it| it.task_life(usual().same_millisecond()), 0, 1, Whole, Gone, ""),
        row("the last lines are late", |it| it.task_life(usual().stops_at_once().last_lines_late(3, 2_500)), 0, 1, Whole, Gone, "").slowly().life(|| usual().stops_at_once()),
        row("the last lines are late after a long silence", |it| it.task_life(usual().runs(80_000).stops_at_once().last_lines_late(1, 2_500)), 0, 1, Whole, Gone, "").slowly().life(|| usual().runs(80_000).stops_at_once()),
        row("a base definition without a stream prefix", |it| it.task_definition(no_prefix()), 0, 1, Whole, Gone, "").tasks(|it| it.replace("service = \"web\"", "service = \"web\"\ntask-definition = \"no-prefix\"")),
        row("a log driver that cannot be followed", |it| it.task_definition(firelens()), 2, 0, Nothing, Gone, "put its output into CloudWatch Logs").tasks(|it| it.replace("service = \"web\"", "service = \"web\"\ntask-definition = \"firelens\"")),
    ]
}

#[rustfmt::skip]
fn ends() -> Vec<Row> {
    let taken = |code: &'static str, reason: &'static str| {
        move |it: Fake| {
            it.task_life(usual().runs(60_000).taken_after(20_000, code, reason).on_sigterm(OnSigterm::Exits(0, 500)))
        }
    };
    vec![
        row("an essential sidecar dies first", |it| it.task_definition(with_proxy()).task_life(usual().container("proxy", ContainerLife::exits(9, 500))), 0, 1, Whole, Gone, "").tasks(|it| it.replace("service = \"web\"", "service = \"web\"\ntask-definition = \"with-proxy\"\ncontainer = \"web\"")),
        row("exit code 0 after a Spot interruption", taken("SpotInterruption", "Your Spot Task was interrupted."), 125, 1, Part, Gone, "its capacity was taken away"),
        row("exit code 0 after a termination notice", taken("TerminationNotice", "Your Spot Task was interrupted."), 125, 1, Part, Gone, "its capacity was taken away"),
        row("exit code 0 after somebody's StopTask", taken("UserInitiated", "deploying"), 125, 1, Part, Gone, "somebody stopped the ECS task"),
        row("exit code 0 after the scheduler's stop", taken("ServiceSchedulerInitiated", "scaling"), 125, 1, Part, Gone, "the service scheduler stopped the ECS task"),
        row("the host is lost", taken("InfrastructureHealth", "Host EC2 terminated."), 125, 1, Part, Gone, "the host failed"),
        row("no exit code", |it| it.task_life(usual().exits_without_code("DockerTimeoutError: Could not transition to stopped")), 125, 1, Whole, Gone, "gives no exit code"),
        row("out of memory", |it| it.task_life(usual().runs_out_of_memory()), 137, 1, Whole, Gone, "ran out of memory"),
        row("out of memory, and exit code 0", |it| it.task_life(usual().runs_out_of_memory().exits(0)), 125, 1, Whole, Gone, "ran out of memory"),
        row("exit code 7", |it| it.task_life(usual().exits(7)), 7, 1, Whole, Gone, "exit code 7"),
        row("an exit code that is more than a byte", |it| it.task_life(usual().exits(256)), 125, 1, Whole, Gone, "not between 0 and 255"),
        row("killed by SIGKILL", |it| it.task_life(usual().exits(137)), 137, 1, Whole, Gone, "was killed by SIGKILL"),
        row("a crash", |it| it.task_life(usual().exits(139)), 139, 1, Whole, Gone, "crashed with SIGSEGV"),
        row("the image cannot be pulled", |it| it.task_life(Life::never_starts("CannotPullContainerError: pull image manifest has been retried 5 time(s): not found")), 125, 1, Nothing, Gone, "never started"),
        row("a secret cannot be read", |it| it.task_life(Life::never_starts("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed")), 125, 1, Nothing, Gone, "the execution role needs to read the secret"),
        row("exec format error", |it| it.task_life(Life::never_starts("CannotStartContainerError: exec /bin/migrate: exec format error")), 125, 1, Nothing, Gone, "the image is for another architecture"),
        row("no capacity after RunTask's answer", |it| it.task_life(Life::never_placed("TaskFailedToStart: RESOURCE:MEMORY")), 125, 1, Nothing, Gone, "RESOURCE:MEMORY"),
        row("a stop that takes two minutes", |it| it.task_life(usual().takes_to_stop(120_000)), 0, 1, Whole, Gone, ""),
    ]
}

/// The user interrupts a run whose ECS task would go on.
#[rustfmt::skip]
fn stops() -> Vec<Row> {
    let act = Act::Signal(Signal::INT);
    vec![
        row("StopTask: throttled", |it| it.fault("StopTask", 1..=3, Throttle), 130, 1, Part, Gone, "cannot stop the ECS task").life(forever).when(act),
        row("StopTask: minutes of throttling", |it| it.fault("StopTask", 1..=12, Throttle), 130, 1, Part, Gone, "cannot stop the ECS task").life(forever).when(act),
        row("StopTask: the connection is reset before the effect", |it| it.fault("StopTask", 1..=2, DropBefore), 130, 1, Part, Gone, "cannot stop the ECS task").life(forever).when(act),
        row("StopTask: HTTP 500 after the effect", |it| it.fault("StopTask", 1, ServerErrorAfter), 130, 1, Part, Gone, "").life(forever).when(act),
        row("StopTask: the credentials expire and are renewed", |it| it.fault("StopTask", 1..=3, ExpiredToken), 130, 1, Part, Gone, "cannot stop the ECS task: ExpiredTokenException").life(forever).when(act),
        row("StopTask: not allowed for a moment", |it| it.fault("StopTask", 1..=3, AccessDenied), 130, 1, Part, Gone, "ecs:StopTask").life(forever).when(act),
        row("StopTask: never accepted, and the user interrupts again", |it| it.fault("StopTask", .., Throttle), 130, 1, Unread, Runs, "the ECS task may run on: ThrottlingException").life(forever).when(Act::Twice(Signal::INT)),
        row("StopTask: the stop takes two minutes", |it| it.task_life(forever().on_sigterm(OnSigterm::Exits(0, 500)).takes_to_stop(120_000)), 130, 1, Part, Gone, "").life(forever).when(act),
        row("StopTask: the answer is lost", |it| it.fault("StopTask", 1, DropAfter), 130, 1, Part, Gone, "").life(forever).when(act),
        row("StopTask: no answer, once", |it| it.fault("StopTask", 1, NeverAnswer), 130, 1, Part, Gone, "").slowly().life(forever).when(act),
        row("StopTask: not allowed", |it| it.fault("StopTask", .., AccessDenied), 130, 1, Part, Gone, "ecs:StopTask").life(|| usual().runs(60_000)).when(act),
        row("StopTask: the container ignores SIGTERM", |it| it.task_life(forever().on_sigterm(OnSigterm::Ignores)), 130, 1, Part, Gone, "").life(forever).when(act),
    ]
}

#[rustfmt::skip]
fn machine() -> Vec<Row> {
    vec![
        row("SIGHUP", |it| it, 129, 1, Unread, Runs, "cargo xtask attach").life(|| usual().runs(100_000)).fault_is(Act::Signal(Signal::HUP)),
        row("the terminal is closed", |it| it, 129, 1, Unread, Untold, "").life(|| usual().runs(101_000)).fault_is(Act::CloseTerminal),
        row("stdout is a pipe that nobody reads", |it| it, 0, 1, Unread, Gone, "stdout is closed").fault_is(Act::BrokenPipe),
        row("stdout is a full disk", |it| it, 0, 1, Unread, Gone, "cannot write to stdout").fault_is(Act::FullDisk),
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

/// A definition whose second container is essential, too.
fn with_proxy() -> serde_json::Value {
    let mut definition = firelens();
    definition["family"] = "with-proxy".into();
    definition["executionRoleArn"] = "arn:aws:iam::111122223333:role/execution".into();
    definition["containerDefinitions"][0]["logConfiguration"] = serde_json::json!({
        "logDriver": "awslogs",
        "options": { "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "app" },
    });
    let proxy = serde_json::json!({ "name": "proxy", "image": "envoy:1", "essential": true });
    definition["containerDefinitions"].as_array_mut().unwrap().push(proxy);
    definition
}

/// A definition whose streams cannot be known.
fn no_prefix() -> serde_json::Value {
    let mut definition = with_proxy();
    definition["family"] = "no-prefix".into();
    definition["containerDefinitions"].as_array_mut().unwrap().truncate(1);
    let options = definition.pointer_mut("/containerDefinitions/0/logConfiguration/options").unwrap();
    options.as_object_mut().unwrap().remove("awslogs-stream-prefix");
    // Fargate refuses it without one, instances do not.
    definition["requiresCompatibilities"] = serde_json::json!(["EC2"]);
    definition
}

/// A revision of ours, made from something else.
fn older() -> serde_json::Value {
    let mut definition = with_proxy();
    definition["family"] = "xtask-staging-db-migrate".into();
    definition["tags"] = serde_json::json!([{ "key": "xtask", "value": "1" }]);
    definition["containerDefinitions"].as_array_mut().unwrap().truncate(1);
    definition["containerDefinitions"][0]["dockerLabels"] =
        serde_json::json!({ "xtask.definition": "of something else" });
    definition["containerDefinitions"][0]["logConfiguration"]["options"]["awslogs-group"] = "/ecs/old".into();
    definition
}
