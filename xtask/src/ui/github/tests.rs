//! Whole outputs of the printer for GitHub Actions.

use std::sync::Arc;

use super::*;
use crate::error::Problem;
use crate::model::{LogEnd, Shard, Source, Span};
use crate::ui::text::Paint;
use crate::ui::{Of, samples};

fn github(folder: Option<&str>) -> Github {
    let looks = Looks {
        paint: Paint(false),
        redraw: true,
        stdout_is_terminal: false,
        quiet: false,
        verbose: false,
        timings: false,
        columns: None,
    };
    let files = GithubFiles {
        summary: Some(PathBuf::from("summary")),
        output: Some(PathBuf::from("output")),
        folder: folder.map(PathBuf::from),
        captured: false,
    };
    let mut number = 0;
    let token = move || {
        number += 1;
        format!("T{number}")
    };
    Github::new(looks, files, Box::new(token))
}

fn shown(events: &[Event]) -> Output {
    let mut github = github(None);
    let mut out = Output::default();
    for event in events {
        github.event(&Of::named("db-migrate"), event, samples::now(), &mut out);
    }
    github.end(&mut out);
    out
}

/// What a process writes to stderr by itself is guarded there; on ECS there is no such thing.
#[test]
fn a_captured_stdout_has_the_output_alone() {
    let show = |events: &[Event]| {
        let mut github = github(None);
        github.files.captured = true;
        let mut out = Output::default();
        for event in events {
            github.event(&Of::named("db-migrate"), event, samples::now(), &mut out);
        }
        github.end(&mut out);
        out
    };
    let out = show(&samples::run());
    assert_eq!(out.on_stdout(), "== CreateUsers: migrating\nboom\n");
    let err = out.on_stderr();
    assert!(err.contains("\n::error title=db-migrate::") && !err.contains("stop-commands"), "{err}");
    let launched = Event::Launched { task_arn: None, cluster: None, console_url: None };
    let out = show(&[launched, Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0)))]);
    assert_eq!(out.on_stdout(), "");
    assert!(out.on_stderr().contains("::stop-commands::T") && out.on_stderr().contains("\n::T"), "{}", out.on_stderr());
}

/// What a shard on this machine writes to its standard error is in the log, wherever stdout goes.
#[test]
fn no_command_is_taken_from_what_a_shard_complains() {
    for captured in [false, true] {
        let mut github = github(None);
        github.files.captured = captured;
        let mut out = Output::default();
        let of = Of { shard: Some(Shard { index: 3, of: 8 }), ..Of::named("backfill") };
        github.event(
            &of,
            &Event::Launched { task_arn: None, cluster: None, console_url: None },
            samples::now(),
            &mut out,
        );
        github.complaints(&of, &["##[error]no".to_owned()], &mut out);
        github.end(&mut out);
        let shown = out.on_both();
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("`{text}` in {shown}"));
        assert!(at("::stop-commands::T") < at("[3/8] ##[error]no\n") && at("[3/8] ") < at("\n::T"), "{shown}");
    }
}

#[test]
fn the_log_has_groups_and_the_output_is_guarded() {
    let out = shown(&samples::run());
    // T1 and T2 delimit outputs.
    let expected = "\
::stop-commands::T3
== CreateUsers: migrating
boom
::T3::
::warning title=db-migrate::cannot read the output: timeout; trying again
::error title=db-migrate::db-migrate in staging: exit code 1%0AECS: EssentialContainerExited: Essential container in task exited%0Athe output is complete%0AECS task arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef
";
    assert_eq!(out.on_stdout(), expected);
    let expected = "    \
    Resolved db-migrate in staging, on ECS; run r-1
     Planned db-migrate in staging
             account  111122223333
             cluster  staging
             image    111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:xtask-0123
             command  bin/rails db:migrate
::group::Build app
::endgroup::
::group::Push app
::endgroup::
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
fn no_command_is_given_between_the_markers() {
    let both = shown(&samples::run()).on_both();
    let (_, rest) = both.split_once("::stop-commands::T3\n").expect("it begins");
    let (guarded, after) = rest.split_once("\n::T3::\n").expect("it ends");
    assert!(!guarded.lines().any(|it| it.starts_with("::")), "{guarded}");
    assert!(guarded.contains("boom") && guarded.contains("warning: cannot read"), "{guarded}");
    assert!(after.starts_with("::warning "), "{after}");
}

#[test]
fn a_local_process_may_leave_its_last_line_open() {
    let launched = Event::Launched { task_arn: None, cluster: None, console_url: None };
    let ending = Ending { task_arn: None, log: None, ..samples::ending(Outcome::Succeeded, 0) };
    let events = [samples::resolved(Runner::Host), launched, Event::Finished(Box::new(ending))];
    assert_eq!(shown(&events).on_stdout(), "::stop-commands::T2\n\n::T2::\n");
}

#[test]
fn whatever_ends_the_run_ends_guard_and_group() {
    // The end of the program.
    let out = shown(&[samples::launched(), samples::log("x")]);
    assert_eq!(out.on_stdout(), "::stop-commands::T2\nx\n::T2::\n");
    let building = Event::Building { image: "a%b\n".to_owned(), step: BuildStep::Prepare };
    assert_eq!(shown(std::slice::from_ref(&building)).on_stderr(), "::group::Prepare a%25b%0A\n::endgroup::\n");
    // An error; what comes after it is guarded anew.
    let mut github = github(None);
    let mut out = Output::default();
    github.event(&Of::default(), &samples::launched(), samples::now(), &mut out);
    github.error(&Of::default(), &Problem::new("no answer").failed(), &mut out);
    github.event(&Of::default(), &samples::log("x"), samples::now(), &mut out);
    github.end(&mut out);
    assert_eq!(
        out.on_stdout(),
        "::stop-commands::T2\n::T2::\n::error title=xtask::no answer\n::stop-commands::T3\nx\n::T3::\n"
    );
    assert!(out.on_both().contains("::T2::\nerror: no answer\n::error title=xtask::no answer\n"));
}

#[test]
fn problems_of_tasks_toml_are_annotations_at_their_place() {
    let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: "a = 1\nb = \"x\"\n".to_owned() });
    let error = Error::all_refused(vec![
        Problem::new("50% of `a`,\nor: so").at(Span { start: 0, end: 1 }).hint("see, there"),
        Problem::new("bad value").at(Span { start: 10, end: 13 }),
        Problem::new("no place"),
    ])
    .in_source(&source);
    for (folder, file) in [(None, "tasks.toml"), (Some("/repo/a,b"), "/repo/a%2Cb/tasks.toml")] {
        let mut github = github(folder);
        let mut out = Output::default();
        github.error(&Of::named("t"), &error, &mut out);
        let expected = format!(
            "::error file={file},line=1,col=1,title=t::50%25 of `a`,%0Aor: so%0Ahint: see, there\n\
                 ::error file={file},line=2,col=5,title=t::bad value\n::error title=t::no place\n"
        );
        let stderr = out.on_stderr();
        assert!(stderr.ends_with(&expected), "{stderr}");
        assert!(stderr.starts_with("error: 50% of `a`,\n  | or: so\n  --> tasks.toml:1:1\n"), "{stderr}");
    }
}

#[test]
fn an_interruption_and_a_detachment_are_no_errors() {
    let mut github = github(None);
    let mut out = Output::default();
    github.error(&Of::named("t"), &Error::interrupted(2, "no ECS task was started"), &mut out);
    github.end(&mut out);
    assert_eq!(out.on_stderr(), "interrupted: no ECS task was started\n");
    assert!(out.in_file("output").contains("outcome<<T2\ninterrupted\n"), "{}", out.in_file("output"));
    assert!(out.in_file("output").contains("exit-code<<T1\n130\n"));
    let out = shown(&[Event::Finished(Box::new(samples::ending(Outcome::Detached, 129)))]);
    assert!(!out.on_stderr().contains("::error"));
}

#[test]
fn outputs_are_written_once_each_as_soon_as_known() {
    let out = shown(&samples::run());
    let expected = format!(
        "run-id<<T1\nr-1\nT1\ntask-arn<<T2\n{}\nT2\nexit-code<<T4\n1\nT4\noutcome<<T5\nfailed\nT5\nimage<<T6\n{}\nT6\n",
        samples::ARN,
        samples::IMAGE
    );
    assert_eq!(out.in_file("output"), expected);
    // A run that is killed later has told where it is.
    let out = shown(&[samples::resolved(Runner::Ecs), samples::launched()]);
    assert_eq!(out.in_file("output"), format!("run-id<<T1\nr-1\nT1\ntask-arn<<T2\n{}\nT2\n", samples::ARN));
}

#[test]
fn the_summary_says_what_ran_where_and_how_it_ended() {
    let out = shown(&samples::run());
    let expected = "\
### db-migrate in staging: exit code 1

| | |
|---|---|
| command | `bin/rails db:migrate` |
| runner | ecs |
| account | `111122223333` |
| cluster | `staging` |
| ECS task | [`arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef`](https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/staging/tasks/0123456789abcdef) |
| task definition | `arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:7` |
| image | `111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd` |
| run | `r-1` |
| outcome | failed |
| exit code | 1 |
| stop code | `EssentialContainerExited` |
| stopped reason | `Essential container in task exited` |

```mermaid
gantt
    dateFormat x
    axisFormat %M:%S
    title 1m35s in total
    build 40s :0, 40000ms
    push 8s :40000, 8000ms
    queue 5s :48000, 5000ms
    pull 9.5s :53000, 9500ms
    run 30s :62500, 30000ms
    stop 2.5s :92500, 2500ms
```

The last lines of the output:

```text
== CreateUsers: migrating
boom
```

";
    assert_eq!(out.in_file("summary"), expected);
}

#[test]
fn a_good_end_needs_no_lines_and_an_early_one_has_its_errors() {
    let events = [samples::log("x"), Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0)))];
    let summary = shown(&events).in_file("summary");
    assert!(summary.starts_with("### db-migrate: succeeded\n") && !summary.contains("```text"), "{summary}");
    assert!(!summary.contains("stop code"), "{summary}");

    let mut github = github(None);
    let mut out = Output::default();
    github.event(&Of::named("t"), &samples::resolved(Runner::Ecs), samples::now(), &mut out);
    github.error(&Of::named("t"), &Problem::new("cannot reach `AWS`").failed(), &mut out);
    github.end(&mut out);
    let summary = out.in_file("summary");
    assert!(summary.starts_with("### t in staging: never-started\n"), "{summary}");
    assert!(summary.contains("| exit code | 125 |") && summary.contains("```text\ncannot reach `AWS`\n```"));
    // Said by Finished already: one summary.
    let mut github = self::github(None);
    let mut out = Output::default();
    github.error(&Of::named("t"), &Problem::new("first").failed(), &mut out);
    github.event(
        &Of::named("t"),
        &Event::Finished(Box::new(samples::ending(Outcome::Refused, 2))),
        samples::now(),
        &mut out,
    );
    github.end(&mut out);
    assert_eq!(out.in_file("summary").matches("### ").count(), 1);
}

#[test]
fn nothing_in_the_output_breaks_out_of_the_summary() {
    let mut events: Vec<Event> = (0..30).map(|number| samples::log(&format!("line {number}"))).collect();
    events.push(samples::log("````"));
    events.push(samples::log("before ````` after"));
    events.push(samples::log("```\n# heading\u{1b}[31m"));
    events.push(samples::log(&"é".repeat(5000)));
    let mut ending = samples::ending(Outcome::Failed, 1);
    ending.stopped_reason = Some("a | b ` c\n# d".to_owned());
    ending.explanation = Some("see <script> | *this* [x](y)".to_owned());
    ending.log = Some(LogEnd::Complete);
    events.push(Event::Finished(Box::new(ending)));
    let summary = shown(&events).in_file("summary");
    let (_, fenced) = summary.split_once("\n``````text\n").expect("the fence is longer than any row of backticks");
    let (lines, rest) = fenced.split_once("\n``````\n").expect("the fence is closed");
    assert_eq!(rest, "\n");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!((lines[0], lines.len()), ("line 14", 21), "20 messages, one of two lines");
    assert_eq!(lines.last().map(|it| it.chars().count()), Some(1001), "a long line is cut");
    assert!(!summary.contains('\u{1b}'));
    assert!(summary.contains("| stopped reason | `a \\| b ' c # d` |"), "{summary}");
    assert!(summary.contains("| explanation | see \\<script\\> \\| \\*this\\* \\[x\\]\\(y\\) |"), "{summary}");
}

#[test]
fn tokens_cannot_be_guessed() {
    let (one, other) = (random_token(), random_token());
    assert_ne!(one, other);
    assert!(one.len() == "xtask-".len() + 32 && one[6..].chars().all(|it| it.is_ascii_hexdigit()), "{one}");
}

#[test]
fn the_summary_lists_the_shards_that_did_not_succeed() {
    let end = crate::model::ShardEnd {
        shard: 3,
        outcome: Outcome::Failed,
        exit_code: 7,
        task_arn: Some(samples::ARN.to_owned()),
        reason: None,
    };
    let shards = crate::model::ShardsEnd {
        of: 16,
        outcomes: [("failed", 1), ("succeeded", 15)].into(),
        failed: vec![end],
        not_run: Vec::new(),
    };
    let mut text = String::new();
    crate::ui::markdown::shards(&mut text, &shards);
    let expected = format!(
        "Of 16 shards: 1 failed, 15 succeeded.\n\n| shard | how it ended | ECS task |\n|---|---|---|\n| 3 | exit code 7 | `{}` |\n\n",
        samples::ARN
    );
    assert_eq!(text, expected);
}
