//! The main job on ECS, through the built binary and the fake AWS: image, task definition, ECS task, output, exit code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::fake::state::sha256;
use crate::fake::{Fake, Fault, Life, Moment, OnSigterm};
use crate::harness::{Docker, Ran, Says, Signal, Test, wait_until};

/// A team's tasks.toml with one environment on the fake.
pub const TASKS: &str = r#"
[images.app]
context = "app"
repository = "acme/app"

[environments.staging]
region = "eu-west-1"
endpoint-url = "{endpoint}"
cluster = "staging"
service = "web"

[tasks.db-migrate]
image = "app"
command = ["bin/migrate"]
"#;

/// The account of that environment.
pub fn account() -> Fake {
    account_on(Fake::new())
}

/// The same, on a fake of another speed.
pub fn account_on(fake: Fake) -> Fake {
    fake.cluster("staging")
        .repository("acme/app", true)
        .task_definition(json!({
            "family": "app",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "containerDefinitions": [{
                "name": "web",
                "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1",
                "portMappings": [{ "containerPort": 8080 }],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "app",
                    },
                },
            }],
        }))
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "app" }))
}

/// The project of that team, with a docker.
pub fn project(fake: &Fake) -> Test {
    Test::new()
        .fake(fake)
        .without_endpoint_variable()
        .docker(Docker::new())
        .file("app/Dockerfile", "FROM scratch\nCOPY program /program\n")
        .file("app/program", "the application\n")
        .tasks(TASKS)
}

/// The commands of the docker calls so far.
fn docker_commands(test: &Test) -> Vec<String> {
    test.docker_calls().iter().map(|it| it.command()).collect()
}

#[test]
fn from_a_name_to_the_exit_code() {
    let fake = account().task_life(Life::prints(["one", "two"]).exits(7).unhurried());
    let test = project(&fake);
    test.run("run db-migrate -e staging").expect(7, "one\ntwo\n", STDERR);
    assert_eq!((fake.count("RunTask"), fake.count("RegisterTaskDefinition")), (1, 1));
    let started = fake.started();
    assert_eq!(started[0].request["overrides"]["containerOverrides"][0]["command"], json!(["bin/migrate"]));
    let revision = &fake.revisions("xtask-staging-db-migrate")[0];
    let image = revision["containerDefinitions"][0]["image"].as_str().unwrap();
    assert!(image.starts_with("111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:"), "{image}");
}

const STDERR: &str = "    Resolved db-migrate in staging, on ECS; run [run]
     Planned db-migrate in staging
             account    111122223333
             region     eu-west-1
             cluster    staging
             service    web
             container  web
             image      111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-[hash], to be built and pushed
             command    bin/migrate
    Building app
#1 building 111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-[hash]
     Pushing app
The push refers to repository [111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app]
xtask-[hash]: digest: sha256:[digest] size: 1234
      Pushed image 111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:[digest]
  Registered task definition xtask-staging-db-migrate:1
    Launched arn:aws:ecs:eu-west-1:111122223333:task/staging/[id]
      Status PROVISIONING
      Status PENDING
      Status ACTIVATING
      Status RUNNING
      Status DEACTIVATING: Essential container in task exited
      Status STOPPING: Essential container in task exited
      Status DEPROVISIONING: Essential container in task exited
      Status STOPPED
      Failed db-migrate in staging: exit code 7 after [seconds]
             ECS: EssentialContainerExited: Essential container in task exited
             the output is complete
             ECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/[id]
";

#[test]
fn with_nothing_changed_there_is_nothing_to_build_or_register() {
    let fake = account().task_life(Life::new().at_once());
    let test = project(&fake);
    let _ = test.run("run db-migrate -e staging").code(0);
    let calls = test.docker_calls().len();
    assert!(calls > 0 && fake.count("RegisterTaskDefinition") == 1);
    let mut runs = 1;
    for seed in 0..10 {
        // On a busy machine a request can leave late, after the answer to one that it did not wait for. One that really waits
        // does so every time.
        let shortest = (0..5)
            .map(|_| {
                let requests = fake.records().len();
                fake.set_latency(seed, 5..50);
                let _ = test.run("run db-migrate -e staging").code(0);
                runs += 1;
                assert_eq!(test.docker_calls().len(), calls, "{:?}", docker_commands(&test));
                assert_eq!((fake.count("RegisterTaskDefinition"), fake.count("RunTask")), (1, runs));
                fake.longest_chain_from(requests, "RunTask")
            })
            .find(|it| it.len() <= 3);
        assert!(shortest.is_some(), "seed {seed}: always more than three\n{}", fake.story());
    }
}

/// The content tag of the project's image, so that a fake can have it from the start: no docker, half the time.
pub fn content_tag() -> String {
    static TAG: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let find = || {
        // The context has nothing in it that differs from test to test.
        let fake = account().task_life(Life::new().at_once());
        let test = project(&fake);
        let _ = test.run("run db-migrate -e staging").code(0);
        // It asks for the tag of each platform; what it pushes is the one that runs.
        let pushed = test.docker_calls().into_iter().find(|it| it.command() == "push").expect("it pushes");
        let reference = pushed.arguments.last().expect("it pushes a reference");
        reference.rsplit(':').next().expect("with a tag").to_owned()
    };
    TAG.get_or_init(find).clone()
}

/// Does something for every case, on a few threads; gives what came of each.
pub fn side_by_side<T: Sync, R: Send>(cases: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    so_many_side_by_side(4, cases, run)
}

/// The same, on so many threads.
pub fn so_many_side_by_side<T: Sync, R: Send>(n: usize, cases: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            done.push(run(case));
        }
        done
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|it| it.join().unwrap_or_else(|it| std::panic::resume_unwind(it))).collect()
    })
}

/// The ECS tasks that still run and that nobody was told of.
pub fn left_behind(fake: &Fake, ran: &Ran) -> Vec<String> {
    fake.settle();
    let told = String::from_utf8_lossy(&ran.stderr);
    fake.alive().into_iter().filter(|arn| !told.contains(arn)).collect()
}

/// A signal at a moment of a request, by its number.
#[derive(Debug, Clone, Copy)]
struct Interruption {
    request: usize,
    moment: Moment,
    signal: Signal,
    code: i32,
}

/// Runs once for each interruption, and fails where that leaves an ECS task which nobody was told of or which nobody stopped, cuts
/// a line, launches twice, or ends with another code. `stopped`: whatever was launched was stopped by us, not by its own end.
fn interrupt(cases: &[Interruption], tag: &str, life: &Life, stopped: bool) {
    let done = side_by_side(cases, |case| {
        let fake = account_on(Fake::with_speed(100.0)).image("acme/app", tag, &sha256("app")).task_life(life.clone());
        let test = project(&fake);
        let (child, hit) = (test.child(), Arc::new(AtomicBool::new(false)));
        let (set, signal) = (Arc::clone(&hit), case.signal);
        fake.at_request(case.request, case.moment, move || {
            set.store(true, Ordering::SeqCst);
            child.signal(signal);
        });
        let ran = test.run("run db-migrate -e staging");
        let hit = hit.load(Ordering::SeqCst);
        let mut wrong = Vec::new();
        if !left_behind(&fake, &ran).is_empty() {
            wrong.push("an ECS task is alive, and nobody was told");
        }
        if fake.started().iter().any(|it| stopped && it.document["stopCode"] != "UserInitiated") {
            wrong.push("an ECS task was not stopped");
        }
        if fake.count("RunTask") > 1 {
            wrong.push("there were two launches");
        }
        if !"one\ntwo\nthree\n".starts_with(&ran.stdout_text()) {
            wrong.push("stdout is not a part of the output");
        }
        // Towards its end a run may be over before the signal is taken.
        if hit && ran.exit_code() != Some(case.code) && (stopped || ran.exit_code() != Some(0)) {
            wrong.push("the exit code is another");
        }
        (hit, (!wrong.is_empty()).then(|| format!("{case:?}: {}\n{}\n{}", wrong.join(", "), ran.all(), fake.story())))
    });
    let hits = done.iter().filter(|(hit, _)| *hit).count();
    // How many requests there are at the end depends on how busy the machine is.
    let enough = if stopped { done.len() } else { 2 };
    assert!(hits >= enough, "{hits} of {} signals were sent", done.len());
    let broken: Vec<String> = done.into_iter().filter_map(|(_, broken)| broken).collect();
    assert!(broken.is_empty(), "{} of {hits}:\n{}", broken.len(), broken.join("\n\n"));
}

#[test]
fn a_signal_at_any_request_stops_what_was_started() {
    let tag = content_tag();
    let lines = ["one", "two", "three"];
    // How many requests there are without a signal: reading, launching, following, draining.
    let hurried = Life::prints(lines).hurried(3_000);
    let fake = account_on(Fake::with_speed(100.0)).image("acme/app", &tag, &sha256("app")).task_life(hurried.clone());
    let _ = project(&fake).run("run db-migrate -e staging").code(0);
    let requests = fake.records().len();
    let launch = fake.operations().iter().position(|it| it == "RunTask").unwrap();
    assert!(launch > 4, "{}", fake.story());
    // Up to a while after RunTask: in the middle of everything, by both signals.
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for request in 0..launch + 8 {
        for (signal, code) in [(Signal::INT, 130), (Signal::QUIT, 131), (Signal::TERM, 143)] {
            for moment in [Moment::Arrived, Moment::Acted, Moment::Answered] {
                if signal == Signal::INT || request <= launch + 1 {
                    early.push(Interruption { request, moment, signal, code });
                }
            }
        }
    }
    interrupt(&early, &tag, &Life::prints(lines).hurried(90_000), true);
    // From there to the end.
    for request in launch + 8..requests.max(launch + 16) {
        late.push(Interruption { request, moment: Moment::Arrived, signal: Signal::INT, code: 130 });
        late.push(Interruption { request, moment: Moment::Answered, signal: Signal::INT, code: 130 });
    }
    interrupt(&late, &tag, &hurried, false);
}

#[test]
fn a_signal_while_docker_works_ends_docker_and_the_run() {
    for (command, signal, code) in [
        ("build", Signal::INT, 130),
        ("push", Signal::INT, 130),
        ("build", Signal::TERM, 143),
        ("push", Signal::TERM, 143),
    ] {
        let fake = account();
        let says = Says::new().stderr("docker is at it\n").hangs_until_told("docker was told\n");
        let test = project(&fake).docker(Docker::new().on(command, says));
        let running = test.command("run db-migrate -e staging".split(' ')).start();
        running.wait_for_stderr("docker is at it");
        running.signal(signal);
        let ran = running.finish().code(code).stdout("").stderr_has("docker was told");
        assert!(left_behind(&fake, &ran).is_empty());
        assert_eq!(fake.count("RunTask"), 0);
    }
}

#[test]
fn a_timeout_stops_the_ecs_task() {
    let fake = account().task_life(Life::prints(["one"]).runs_forever());
    let ran = project(&fake).run("run db-migrate -e staging --timeout 20s").code(124).stdout("one\n");
    assert!(left_behind(&fake, &ran).is_empty() && fake.alive().is_empty());
    let task = &fake.started()[0].document;
    assert_eq!(task["stopCode"], "UserInitiated");
    assert!(task["stoppedReason"].as_str().unwrap().contains("timeout of 20s"), "{task}");
}

#[test]
fn a_dry_runs_events_end_like_any_runs_and_name_the_image_to_be() {
    let fake = account();
    let test = project(&fake);
    let ran = test.run("run db-migrate -e staging --dry-run --run-id r1 --format json").code(0);
    let events = ran.events();
    let planned = events.iter().find(|it| it["event"] == "planned").unwrap();
    let image = planned["register_task_definition"]["containerDefinitions"][0]["image"].as_str().unwrap();
    assert!(image.contains("/acme/app:xtask-"), "{image}");
    let end = events.last().unwrap();
    assert_eq!(
        (&end["event"], &end["outcome"], &end["exit_code"], &end["run_id"]),
        (&"finished".into(), &"skipped".into(), &0.into(), &"r1".into())
    );
    assert!(end["reason"].as_str().unwrap().contains("dry run"), "{end}");
    assert_eq!(fake.started().len(), 0);
}

#[test]
fn the_second_signal_does_not_wait_for_the_end() {
    let fake = account().task_life(Life::new().runs_forever().on_sigterm(OnSigterm::Ignores));
    let test = project(&fake);
    let running = test.command("run db-migrate -e staging".split(' ')).start();
    running.wait_for_stderr("RUNNING");
    running.signal(Signal::INT);
    running.wait_for_stderr("stopping the ECS task");
    // Before the answer to StopTask it would say that there is none; two looks later it has come.
    wait_until("it asks ECS to stop the ECS task", || fake.count("StopTask") > 0);
    let looks = fake.count("DescribeTasks");
    wait_until("it goes on looking at the ECS task", || fake.count("DescribeTasks") >= looks + 2);
    running.signal(Signal::INT);
    let ran = running.finish().code(130);
    assert!(left_behind(&fake, &ran).is_empty());
    let _ = ran
        .stdout("")
        .stderr_has("ECS stops the ECS task, which was not waited for; follow it with `cargo xtask attach ");
}

/// What `seq` prints.
fn seq(last: u32) -> String {
    (1..=last).map(|it| format!("{it}\n")).collect()
}

/// A fake whose seconds are long enough that a busy machine's pauses are no silence of its log: that one is given up after 15 s.
fn patient() -> Fake {
    Fake::with_speed(20.0)
}

/// The whole number of lines where XTASK_TEST_FULL is 1, else a part of it for most seeds: the suite is to be quick.
fn how_many(seed: u64) -> u32 {
    let full = std::env::var("XTASK_TEST_FULL").as_deref() == Ok("1");
    if full || seed < 2 { 200_000 } else { 10_000 }
}

#[test]
fn a_long_output_is_whole_whatever_the_pages() {
    let tag = content_tag();
    let seeds: Vec<u64> = (0..20).collect();
    side_by_side(&seeds, |&seed| {
        let lines = how_many(seed);
        let life = Life::counts_to(lines).hurried(4_000).late(seed, 2_500);
        // Some of the last lines come after STOPPED. Nobody waits for longer than three seconds without a line.
        let life = if seed % 2 == 0 { life.stops_at_once().last_lines_late(37, 2_500) } else { life };
        let fake = account_on(patient()).image("acme/app", &tag, &sha256("app")).task_life(life);
        let most = [10_000, 3_000, u64::from(lines) / 40][seed as usize % 3];
        let fake = fake.log_pages(seed, most, seed % 4);
        let ran = project(&fake).run("run db-migrate -e staging").code(0);
        let _ = ran.stdout_bytes(seq(lines).as_bytes()).stderr_lacks("may be cut");
    });
}

#[test]
fn a_short_output_is_whole_however_late() {
    let tag = content_tag();
    let lives = [
        ("over before the first poll", Life::counts_to(500).at_once()),
        ("as on EC2", Life::counts_to(500).hurried(3_000).stops_at_once()),
        ("the stream comes late", Life::counts_to(500).hurried(2_000).stream_after(5_000)),
        ("the stream is missing a few times", Life::counts_to(500).at_once().stream_missing(5)),
        ("all in one millisecond", Life::counts_to(12_345).hurried(2_000).same_millisecond()),
        ("the last after STOPPED", Life::counts_to(500).hurried(2_000).stops_at_once().last_lines_late(499, 2_500)),
    ];
    side_by_side(&lives, |(name, life)| {
        let lines = life.main.lines.len() as u32;
        let fake = account_on(patient()).image("acme/app", &tag, &sha256("app")).task_life(life.clone());
        let ran = project(&fake).run("run db-migrate -e staging");
        assert!(
            ran.exit_code() == Some(0) && ran.stdout == seq(lines).as_bytes(),
            "{name}:\n{}\n{}",
            ran.all(),
            fake.story()
        );
    });
}

#[test]
fn stdout_is_what_cloudwatch_holds() {
    let odd = [
        "",
        " leading",
        "trailing ",
        "\"quoted\" \\",
        "tab\tbell\u{7}",
        "::error::x",
        "naïve ☕",
        "\u{1b}[31mred",
        "{\"a\":1}",
    ];
    let long = "x".repeat(150_000);
    let lines: Vec<&str> = odd.into_iter().chain([long.as_str()]).collect();
    let fake = account().task_life(Life::prints(lines.clone()));
    let expected: String = lines.iter().map(|it| format!("{it}\n")).collect();
    let _ = project(&fake).run("run db-migrate -e staging").code(0).stdout_bytes(expected.as_bytes());
}

#[test]
fn a_run_id_that_is_used_again_is_not_answered_by_its_old_ecs_task() {
    let fake = account().dates_by_its_clock().task_life(Life::prints(["old"]).at_once()).fault(
        "RunTask",
        2..,
        Fault::ServerError,
    );
    let test = project(&fake);
    let _ = test.run("run db-migrate -e staging --run-id r1").code(0).stdout("old\n");
    fake.advance(120_000);
    let ran = test.run("run db-migrate -e staging --run-id r1 --format json").code(125);
    let out = ran.stdout_text();
    assert!(!out.contains("\"log\""), "{out}");
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    // Whether something was started nobody knows, so it is not said that nothing was.
    assert_eq!((&last["outcome"], &last["exit_code"]), (&json!("unknown"), &json!(125)), "{out}");
    assert!(out.contains("ECS lists no ECS task of this run"), "{out}");
}
