//! Whole outputs of the printer for people.

use super::*;
use crate::error::Problem;
use crate::model::Timestamp;
use crate::ui::USUAL_SIZE;
use crate::ui::{Of, samples};

const PLAIN: Looks = Looks {
    paint: Paint(false),
    redraw: false,
    stdout_is_terminal: false,
    quiet: false,
    verbose: false,
    timings: false,
    columns: None,
};
const TERMINAL: Looks = Looks { redraw: true, stdout_is_terminal: true, ..PLAIN };

/// Shows events a second apart.
fn shown(looks: Looks, events: &[Event]) -> Output {
    let mut human = Human::new(looks);
    let mut out = Output::default();
    for (second, event) in (0..).zip(events) {
        let now = Moment { elapsed: Duration::from_secs(second), ..samples::now() };
        human.event(&Of::named("db-migrate"), event, now, &mut out);
        human.tick(now, &|| USUAL_SIZE, &mut out);
    }
    out
}

#[test]
fn a_run_without_a_terminal() {
    let out = shown(PLAIN, &samples::run());
    assert_eq!(out.on_stdout(), "== CreateUsers: migrating\nboom\n");
    let expected = "    \
    Resolved db-migrate in staging, on ECS; run r-1
     Planned db-migrate in staging
             account  111122223333
             cluster  staging
             image    111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123
             command  bin/rails db:migrate
    Building app
     Pushing app
      Pushed image 111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd
   Unchanged task definition xtask-staging-db-migrate:7
    Launched arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
             https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef
      Status PENDING
      Status RUNNING
warning: cannot read the output: timeout; trying again
      Failed db-migrate in staging: exit code 1 after 1m35s (ran 30s)
             ECS: EssentialContainerExited: Essential container in task exited
             the output is complete
             ECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
";
    assert_eq!(out.on_stderr(), expected);
}

#[test]
fn quiet_keeps_warnings_and_an_end_that_is_no_success() {
    let quiet = Looks { quiet: true, ..PLAIN };
    let out = shown(quiet, &samples::run());
    assert_eq!(out.on_stdout(), "== CreateUsers: migrating\nboom\n");
    let lines: Vec<String> = out.on_stderr().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "warning: cannot read the output: timeout; trying again");
    assert!(lines[1].starts_with("      Failed db-migrate in staging: exit code 1"), "{lines:?}");
    assert_eq!(lines.len(), 5, "{lines:?}");

    let good = Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0)));
    assert_eq!(shown(quiet, &[samples::resolved(Runner::Ecs), good]).on_stderr(), "");
    let mut cut = samples::ending(Outcome::Succeeded, 0);
    cut.log = Some(LogEnd::MayBeCut("the output may be cut: timeout".to_owned()));
    let told = shown(quiet, &[Event::Finished(Box::new(cut))]).on_stderr();
    assert!(told.contains("succeeded") && told.contains("may be cut"), "{told}");
}

#[test]
fn on_a_terminal_the_status_makes_room_and_comes_back() {
    let events = [samples::status("RUNNING"), samples::status("RUNNING"), samples::log("one"), samples::log("two")];
    // The first status is younger than 250 ms at its tick; the second replaces it, so the third event's tick is the first
    // to draw.
    let expected = "one\n\r\x1b[2K      Status RUNNING 1s\r\x1b[2Ktwo\n\r\x1b[2K      Status RUNNING 2s";
    assert_eq!(shown(TERMINAL, &events).on_both(), expected);
    // A file as stdout needs no room on the terminal.
    let elsewhere = shown(Looks { stdout_is_terminal: false, ..TERMINAL }, &events);
    assert_eq!(elsewhere.on_stdout(), "one\ntwo\n");
    assert_eq!(elsewhere.on_stderr(), "\r\x1b[2K      Status RUNNING 1s\r\x1b[2K      Status RUNNING 2s");
}

#[test]
fn whatever_comes_the_terminal_never_keeps_a_piece_of_the_status() {
    // Everything that prints erases a status line that stands there first.
    let error = Problem::new("no").failed();
    type Print<'a> = &'a dyn Fn(&mut Human, &mut Output);
    let prints: [(&str, Print); 6] = [
        ("error", &|human, out| human.error(&error, out)),
        ("print", &|human, out| human.print("result\n", out)),
        ("note", &|human, out| human.note("detail", out)),
        ("ask", &|human, out| human.ask("Sure? ", out)),
        ("warning", &|human, out| human.warning("w", None, out)),
        ("sync", &|human, out| human.end_status(out)),
    ];
    let events = samples::run().into_iter().filter(|it| !matches!(it, Event::Status { .. }));
    let events: Vec<Event> = events.collect();
    let check = |name: &str, print: Print| {
        let mut human = Human::new(Looks { verbose: true, ..TERMINAL });
        let mut out = Output::default();
        human.event(&Of::named("t"), &samples::status("RUNNING"), samples::now(), &mut out);
        let later = Moment { elapsed: samples::now().elapsed + Duration::from_secs(1), ..samples::now() };
        human.tick(later, &|| USUAL_SIZE, &mut out);
        let mut out = Output::default();
        print(&mut human, &mut out);
        assert!(out.on_both().starts_with("\r\x1b[2K"), "{name}: {:?}", out.on_both());
    };
    for (name, print) in prints {
        check(name, print);
    }
    for event in &events {
        check(&format!("{event:?}"), &|human, out| human.event(&Of::named("t"), event, samples::now(), out));
    }
}

#[test]
fn a_dry_run_shows_the_plan_whole_with_its_origins() {
    let out = shown(PLAIN, &[samples::resolved(Runner::Ecs), samples::planned(true)]);
    let expected = "    \
    Resolved db-migrate in staging, on ECS; run r-1
     Planned db-migrate in staging
             account   111122223333          (environments.staging.account)
             cluster   staging               (environments.staging.cluster)
             platform  linux/amd64           (default)
             image     111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123  (tasks.db-migrate.image)
             command   bin/rails db:migrate
     Dry run nothing was built, pushed, registered or started
";
    assert_eq!(out.on_stderr(), expected);
    assert_eq!(out.on_stdout(), "");
    // It is the result: -q leaves it.
    let quiet = shown(Looks { quiet: true, ..PLAIN }, &[samples::planned(true)]).on_stderr();
    assert!(quiet.contains("Planned") && quiet.contains("(default)"), "{quiet}");
    let verbose = shown(Looks { verbose: true, ..PLAIN }, &[samples::planned(true)]).on_stderr();
    let request = "     Request RegisterTaskDefinition\n{\n  \"family\": \"xtask-staging-db-migrate\"\n}\n";
    assert!(verbose.contains(request), "{verbose}");
}

#[test]
fn a_local_run_says_where_and_what() {
    let launched = Event::Launched { task_arn: None, cluster: None, console_url: None };
    let ending = Ending {
        task_arn: None,
        stop_code: None,
        stopped_reason: None,
        log: None,
        ..samples::ending(Outcome::Succeeded, 0)
    };
    let events = [samples::resolved(Runner::Host), launched, Event::Finished(Box::new(ending))];
    let expected = "    \
    Resolved db-migrate in staging, on this machine; run r-1
     Running `bin/rails db:migrate`
    Finished db-migrate in staging: succeeded after 1m35s (ran 30s)
";
    // On a terminal too: no status line stands between the process and its terminal.
    for looks in [PLAIN, TERMINAL] {
        assert_eq!(shown(looks, &events).on_stderr(), expected);
    }
}

#[test]
fn each_end_says_what_a_reader_needs() {
    let with = |outcome, exit_code, explanation: Option<&str>, reason: &str, log| Ending {
        stop_code: Some("TaskFailedToStart".to_owned()).filter(|_| !reason.is_empty()),
        stopped_reason: Some(reason.to_owned()).filter(|_| !reason.is_empty()),
        explanation: explanation.map(str::to_owned),
        log,
        timings: crate::model::Timings { total: Some(61.2), ..Default::default() },
        task_arn: None,
        ..samples::ending(outcome, exit_code)
    };
    for (ending, expected) in [
        (
            with(Outcome::NeverStarted, 125, None, "CannotPullContainerError: x\ny", Some(LogEnd::NeverStarted)),
            "      Failed t: never started; exit code 125 after 1m1s\n             \
                 ECS: TaskFailedToStart: CannotPullContainerError: x\n             | y\n",
        ),
        (
            with(
                Outcome::Stopped,
                125,
                Some("its capacity was taken away"),
                "",
                Some(LogEnd::MayBeCut("the output may be cut: x".to_owned())),
            ),
            "     Stopped t: stopped from outside; exit code 125 after 1m1s\n             \
                 its capacity was taken away\n             the output may be cut: x\n",
        ),
        (
            with(Outcome::TimedOut, 124, None, "", Some(LogEnd::Complete)),
            "   Timed out t: timed out; exit code 124 after 1m1s\n             the output is complete\n",
        ),
        (
            with(Outcome::Interrupted, 130, Some("the ECS task was stopped"), "", Some(LogEnd::Open)),
            " Interrupted t: interrupted; exit code 130 after 1m1s\n             the ECS task was stopped\n             \
                 the output was not read to its end\n",
        ),
        (
            with(Outcome::Detached, 129, None, "", Some(LogEnd::Open)),
            "    Detached t: goes on without this process after 1m1s\n",
        ),
        (
            with(Outcome::AlreadyRunning, 125, None, "", None),
            "     Refused t: another one is running; exit code 125 after 1m1s\n",
        ),
        (with(Outcome::Refused, 2, None, "", None), "     Refused t: nothing was started; exit code 2 after 1m1s\n"),
        (with(Outcome::Skipped, 0, None, "", None), "     Skipped t: nothing had to run\n"),
        (
            with(Outcome::Unknown, 125, None, "", None),
            "     Unknown t: ECS cannot say how it ended; exit code 125 after 1m1s\n",
        ),
        (with(Outcome::Failed, 7, None, "", None), "      Failed t: exit code 7 after 1m1s\n"),
    ] {
        let mut out = Output::default();
        Human::new(PLAIN).event(&Of::named("t"), &Event::Finished(Box::new(ending)), samples::now(), &mut out);
        assert_eq!(out.on_stderr(), expected);
    }
}

#[test]
fn reasons_and_hints_stand_below_and_others_text_is_harmless() {
    let mut ending = samples::ending(Outcome::Failed, 137);
    ending.container_reason = Some("OutOfMemoryError: \u{1b}[2Jkilled".to_owned());
    ending.explanation = Some("the container was killed because it ran out of memory".to_owned());
    ending.hint = Some("give it more: `memory` on the task, or --memory".to_owned());
    let out = shown(PLAIN, &[Event::Finished(Box::new(ending))]);
    let expected = "      \
      Failed db-migrate: exit code 137 after 1m35s (ran 30s)
             the container was killed because it ran out of memory
             ECS: EssentialContainerExited: Essential container in task exited
             container: OutOfMemoryError: \u{fffd}[2Jkilled
             the output is complete
             ECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
  hint: give it more: `memory` on the task, or --memory
";
    assert_eq!(out.on_stderr(), expected);
}

#[test]
fn the_tasks_output_is_not_touched() {
    let message = "\u{1b}[31mred\u{1b}[0m\ttab\rback\u{7}  ";
    for looks in [PLAIN, TERMINAL, Looks { paint: Paint(true), quiet: true, ..PLAIN }] {
        let event = Event::Log { message: message.to_owned(), timestamp: Timestamp(0), container: "web".to_owned() };
        assert_eq!(shown(looks, &[event]).on_stdout(), format!("{message}\n"));
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let plain = shown(PLAIN, &samples::run()).on_stderr();
    let coloured = shown(Looks { paint: Paint(true), ..PLAIN }, &samples::run()).on_stderr();
    assert_ne!(coloured, plain);
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn errors_by_event_have_their_place() {
    let event = Event::Error {
        message: "cannot push".to_owned(),
        hint: Some("log in".to_owned()),
        file: Some("tasks.toml".to_owned()),
        line: Some(3),
        column: Some(9),
        done: Some("the image is built".to_owned()),
    };
    let expected = "error: cannot push\n  --> tasks.toml:3:9\n  hint: log in\n  note: the image is built\n";
    assert_eq!(shown(PLAIN, &[event]).on_stderr(), expected);
}

#[test]
fn an_open_question_gets_its_line_end() {
    let mut human = Human::new(PLAIN);
    let mut out = Output::default();
    human.ask("Type `production`: ", &mut out);
    human.warning("SIGINT", None, &mut out);
    human.ask("Again: ", &mut out);
    human.answered();
    human.warning("not confirmed", None, &mut out);
    let expected = "Type `production`: \nwarning: SIGINT\nAgain: warning: not confirmed\n";
    assert_eq!(out.on_stderr(), expected, "the terminal echoes the line end that was typed");
}

#[test]
fn notes_are_for_v_and_long_waits_are_told() {
    let mut human = Human::new(PLAIN);
    let mut out = Output::default();
    human.note("hidden", &mut out);
    human.event(&Of::default(), &samples::launched(), Moment { elapsed: Duration::ZERO, ..samples::now() }, &mut out);
    let before = out.on_stderr();
    human.tick(Moment { elapsed: Duration::from_secs(31), ..samples::now() }, &|| USUAL_SIZE, &mut out);
    assert_eq!(out.on_stderr(), format!("{before}      Status still waiting for ECS after 31s\n"));
    let mut out = Output::default();
    Human::new(Looks { verbose: true, ..PLAIN }).note("docker version", &mut out);
    assert_eq!(out.on_stderr(), "        Note docker version\n");
}

#[test]
fn the_console_has_a_page_for_each_ecs_task() {
    for (arn, expected) in [
        (samples::ARN, Some("https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef")),
        (
            "arn:aws-cn:ecs:cn-north-1:111122223333:task/c/1",
            Some("https://cn-north-1.console.amazonaws.cn/ecs/v2/clusters/c/tasks/1"),
        ),
        (
            "arn:aws-us-gov:ecs:us-gov-west-1:1:task/c/1",
            Some("https://us-gov-west-1.console.amazonaws-us-gov.com/ecs/v2/clusters/c/tasks/1"),
        ),
        // The old form has no cluster.
        ("arn:aws:ecs:eu-west-1:111122223333:task/1", None),
        ("arn:aws:ecs:eu-west-1:111122223333:service/c/s", None),
        ("arn:aws-iso:ecs:us-iso-east-1:1:task/c/1", None),
        ("0123456789abcdef", None),
    ] {
        assert_eq!(console_url(arn).as_deref(), expected, "{arn}");
    }
}

fn shard(index: u32) -> Of {
    Of { shard: Some(Shard { index, of: 3 }), ..Of::named("backfill") }
}

/// A run of three shards, of which one fails.
fn shards() -> Vec<(Of, Event)> {
    let all = Of::named("backfill");
    let counts = |waiting, starting, running, succeeded, failed| Event::Shards {
        of: 3,
        counts: crate::model::ShardCounts { waiting, starting, running, succeeded, failed },
    };
    let arn = samples::ARN;
    let launched = || Event::Launched {
        task_arn: Some(arn.to_owned()),
        cluster: None,
        console_url: Some("https://example.com".to_owned()),
    };
    let end = crate::model::ShardEnd {
        shard: 1,
        outcome: Outcome::Failed,
        exit_code: 7,
        task_arn: Some(arn.to_owned()),
        reason: None,
    };
    let ends = crate::model::ShardsEnd {
        of: 3,
        outcomes: [("failed", 1), ("not-run", 1), ("succeeded", 1)].into(),
        failed: vec![end],
        not_run: vec![2],
    };
    let total = Ending {
        task_arn: None,
        stop_code: None,
        stopped_reason: None,
        log: None,
        hint: Some("run them again with `…`".to_owned()),
        shards: Some(Box::new(ends)),
        ..samples::ending(Outcome::Failed, 7)
    };
    vec![
        (all.clone(), samples::resolved(Runner::Ecs)),
        (all.clone(), counts(3, 0, 0, 0, 0)),
        (shard(0), launched()),
        (shard(1), launched()),
        (all.clone(), counts(1, 2, 0, 0, 0)),
        (shard(0), samples::status("RUNNING")),
        (shard(0), samples::log("one")),
        (shard(1), Event::Warning { message: "slow".to_owned(), hint: None }),
        (shard(0), Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0)))),
        (shard(1), Event::Finished(Box::new(samples::ending(Outcome::Failed, 7)))),
        (all, Event::Finished(Box::new(total))),
    ]
}

fn show(looks: Looks, events: &[(Of, Event)]) -> Output {
    let mut human = Human::new(looks);
    let mut out = Output::default();
    for (second, (of, event)) in (0..).zip(events) {
        let now = Moment { elapsed: Duration::from_secs(second), ..samples::now() };
        human.event(of, event, now, &mut out);
        human.tick(now, &|| USUAL_SIZE, &mut out);
    }
    out
}

#[test]
fn shards_without_a_terminal() {
    let out = show(PLAIN, &shards());
    assert_eq!(out.on_stdout(), "[0/3] one\n");
    let arn = samples::ARN;
    let expected = format!(
        "    Resolved backfill in staging, on ECS; run r-1
    Launched [0/3] {arn}
    Launched [1/3] {arn}
warning: [1/3] slow
    Finished [0/3] succeeded after 1m35s (ran 30s)
      Failed [1/3] exit code 7 after 1m35s (ran 30s)
             ECS: EssentialContainerExited: Essential container in task exited
      Failed backfill in staging: exit code 7 after 1m35s (ran 30s)
             of 3 shards: 1 failed, 1 not run, 1 succeeded
             [1/3] exit code 7 ({arn})
             not run: 2
  hint: run them again with `…`
"
    );
    assert_eq!(out.on_stderr(), expected);
    // Their counts come now and then.
    let mut human = Human::new(PLAIN);
    let mut out = Output::default();
    for (of, event) in &shards()[..5] {
        human.event(of, event, Moment { elapsed: Duration::ZERO, ..samples::now() }, &mut out);
    }
    let mut late = Output::default();
    human.tick(Moment { elapsed: Duration::from_secs(30), ..samples::now() }, &|| USUAL_SIZE, &mut late);
    assert_eq!(late.on_stderr(), "      Status 2 starting, 1 waiting of 3 shards after 30s\n");
}

#[test]
fn shards_on_a_terminal_are_lines_that_are_redrawn() {
    let events = shards();
    let out = show(TERMINAL, &events[..6]);
    let text = out.on_stderr();
    let last = text.rsplit("Launched [1/3]").next().expect("it is there");
    let frames: Vec<&str> = last.split("\r\x1b[2K").collect();
    // Three lines, redrawn from the last one up.
    assert_eq!(
        frames.last(),
        Some(
            &"\x1b[1A\x1b[2K\x1b[1A\x1b[2K      Status 2 starting, 1 waiting of 3 shards 4s\n             [0/3] RUNNING 0s\n             [1/3] PROVISIONING 2s"
        ),
        "{text:?}"
    );
    // A success is counted, a failure has its line, and nothing stays below the end.
    let text = show(TERMINAL, &events).on_stderr();
    assert!(!text.contains("Finished [0/3]") && text.contains("Failed [1/3] exit code 7"), "{text:?}");
    let (_, behind) = text.rsplit_once("\x1b[2K").expect("it was redrawn");
    assert!(behind.contains("Failed backfill in staging: exit code 7"), "{behind:?}");
}
