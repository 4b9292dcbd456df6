//! The life of an ECS task as the client sees it: client tokens, statuses, stops, failures, what ECS forgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use xtask::aws::Aws;
use xtask::aws::ecs::{Described, Failure, Launched};
use xtask::model::EcsTask;

use super::{app, changed, run_task, staging, with_client};
use crate::fake::{ContainerLife, Fake, Life, Moment, OnSigterm};

async fn launch(aws: &Aws) -> EcsTask {
    match aws.run_task(&run_task()).await.unwrap() {
        Launched::Task(task) => *task,
        Launched::Failures(failures) => panic!("{failures:?}"),
    }
}

async fn described(aws: &Aws, arn: &str) -> Option<EcsTask> {
    match aws.describe_tasks("staging", &[arn.to_owned()]).await.unwrap().remove(0).1 {
        Described::Task(task) => Some(*task),
        Described::Missing(reason) => {
            assert_eq!(reason, "MISSING");
            None
        }
    }
}

/// Asks again and again until it is STOPPED: the statuses in between, and the end.
async fn followed(fake: &Fake, aws: &Aws, arn: &str) -> (Vec<String>, EcsTask) {
    let mut statuses: Vec<String> = Vec::new();
    loop {
        if let Some(task) = described(aws, arn).await {
            let status = task.last_status.clone().unwrap();
            if statuses.last() != Some(&status) {
                statuses.push(status);
            }
            if task.is_stopped() {
                return (statuses, task);
            }
        }
        // No status is shorter than a second.
        fake.advance(300);
    }
}

#[test]
fn a_life_from_start_to_end() {
    let life = Life::new().exits(7).container("proxy", ContainerLife::exits(1, 500));
    with_client("task::a_life_from_start_to_end", staging().task_life(life).missing_first(2), async |fake, aws| {
        let launched = launch(aws).await;
        assert_eq!(launched.last_status.as_deref(), Some("PROVISIONING"));
        assert_eq!(launched.started_by.as_deref(), Some("xtask/db-migrate/k3v9"));
        assert_eq!(described(aws, &launched.arn).await, None);
        assert_eq!(described(aws, &launched.arn).await, None);
        assert_eq!(fake.alive(), [launched.arn.as_str()]);
        let (statuses, task) = followed(fake, aws, &launched.arn).await;
        assert_eq!(
            statuses,
            [
                "PROVISIONING",
                "PENDING",
                "ACTIVATING",
                "RUNNING",
                "DEACTIVATING",
                "STOPPING",
                "DEPROVISIONING",
                "STOPPED"
            ]
        );
        assert_eq!(task.stop_code.as_deref(), Some("EssentialContainerExited"));
        assert_eq!(task.stopped_reason.as_deref(), Some("Essential container in task exited"));
        assert_eq!(task.container("web").unwrap().exit_code, Some(7));
        assert_eq!(task.container("proxy").unwrap().exit_code, Some(1));
        assert!(task.container("web").unwrap().image_digest.as_ref().unwrap().starts_with("sha256:"));
        assert_eq!(task.platform.as_deref(), Some("linux/amd64"));
        let seconds = |from: Option<xtask::model::Timestamp>, to: Option<xtask::model::Timestamp>| {
            to.unwrap().seconds_since(from.unwrap())
        };
        assert_eq!(seconds(task.created_at, task.pull_started_at), 5.0);
        assert_eq!(seconds(task.pull_started_at, task.pull_stopped_at), 10.0);
        assert_eq!(seconds(task.pull_stopped_at, task.started_at), 1.0);
        assert_eq!(seconds(task.started_at, task.execution_stopped_at), 2.0);
        assert_eq!(seconds(task.execution_stopped_at, task.stopped_at), 7.0);
        assert!(fake.alive().is_empty());
        // An hour later ECS knows nothing of it.
        fake.advance(3_590_000);
        assert!(described(aws, &launched.arn).await.is_some());
        fake.advance(20_000);
        assert_eq!(described(aws, &launched.arn).await, None);
    });
}

#[test]
fn a_token_starts_one_task() {
    let life = Life::new().at_once();
    with_client("task::a_token_starts_one_task", staging().task_life(life), async |fake, aws| {
        let first = changed(run_task(), &[("/clientToken", json!("token-1"))]);
        let arn = async |request: &Value| match aws.run_task(request).await.unwrap() {
            Launched::Task(task) => task.arn,
            Launched::Failures(failures) => panic!("{failures:?}"),
        };
        let one = arn(&first).await;
        assert_eq!(arn(&first).await, one);
        followed(fake, aws, &one).await;
        assert_eq!(arn(&first).await, one, "also when it has stopped");
        let other = changed(first.clone(), &[("/startedBy", json!("xtask/db-migrate/other"))]);
        let conflict = aws.run_task(&other).await.unwrap_err();
        assert!(conflict.is("ConflictException"), "{conflict:?}");
        let answer: Value = serde_json::from_str(&fake.records().last().unwrap().answer).unwrap();
        assert_eq!(answer["resourceIds"], json!([one]));
        assert_ne!(arn(&changed(other, &[("/clientToken", json!("token-2"))])).await, one);
        assert_eq!(fake.started().len(), 2);
        fake.advance(3_590_000);
        assert_eq!(arn(&first).await, one);
        fake.advance(20_000);
        assert_ne!(arn(&first).await, one, "the token has expired with its ECS task");
    });
}

#[test]
fn a_token_of_a_long_task_lives_for_a_day() {
    let life = Life::new().runs_forever();
    with_client("task::a_token_of_a_long_task_lives_for_a_day", staging().task_life(life), async |fake, aws| {
        let request = changed(run_task(), &[("/clientToken", json!("token-1"))]);
        let _ = aws.run_task(&request).await.unwrap();
        fake.advance(86_400_000 - 60_000);
        let _ = aws.run_task(&request).await.unwrap();
        assert_eq!(fake.started().len(), 1);
        fake.advance(120_000);
        let _ = aws.run_task(&request).await.unwrap();
        assert_eq!(fake.started().len(), 2);
    });
}

#[test]
fn nothing_may_start_although_all_is_well() {
    let fake = staging().run_task_fails(&["RESOURCE:MEMORY", "AGENT"]).run_task_fails(&[]);
    with_client("task::nothing_may_start_although_all_is_well", fake, async |fake, aws| {
        let Ok(Launched::Failures(failures)) = aws.run_task(&run_task()).await else { panic!("it started") };
        let reasons: Vec<(&str, bool)> =
            failures.iter().map(|it: &Failure| (it.reason.as_str(), it.arn.is_some())).collect();
        assert_eq!(reasons, [("RESOURCE:MEMORY", true), ("AGENT", true)]);
        assert!(matches!(aws.run_task(&run_task()).await, Ok(Launched::Failures(it)) if it.is_empty()));
        assert!(fake.started().is_empty());
        launch(aws).await;
        assert_eq!(fake.started().len(), 1);
    });
}

#[test]
fn every_end_has_its_words() {
    type Row = (Life, &'static str, &'static str, Option<i32>, Option<&'static str>);
    let table: Vec<Row> = vec![
        (
            Life::new().runs_out_of_memory(),
            "EssentialContainerExited",
            "Essential",
            Some(137),
            Some("OutOfMemoryError"),
        ),
        (Life::new().exits_without_code("lost"), "EssentialContainerExited", "Essential", None, Some("lost")),
        (
            Life::never_starts("CannotPullContainerError: not found"),
            "TaskFailedToStart",
            "Task failed to start",
            None,
            Some("CannotPullContainerError: not found"),
        ),
        (Life::never_placed("TaskFailedToStart: RESOURCE:MEMORY"), "TaskFailedToStart", "RESOURCE:MEMORY", None, None),
        (Life::new().runs(60_000).loses_spot_after(1_000), "SpotInterruption", "Spot", Some(143), None),
        (
            Life::new().runs(60_000).on_sigterm(OnSigterm::Exits(0, 10)).loses_spot_after(1_000),
            "SpotInterruption",
            "Spot",
            Some(0),
            None,
        ),
        (
            Life::new().runs(1_500).container("proxy", ContainerLife::exits(3, 100)),
            "EssentialContainerExited",
            "Essential",
            Some(0),
            None,
        ),
    ];
    let mut fake = staging();
    for (life, ..) in &table {
        fake = fake.next_life(life.clone());
    }
    with_client("task::every_end_has_its_words", fake, async |fake, aws| {
        for (life, stop_code, stopped_reason, code, reason) in table {
            let (_, task) = followed(fake, aws, &launch(aws).await.arn).await;
            let web = task.container("web").unwrap();
            assert_eq!(task.stop_code.as_deref(), Some(stop_code), "{life:?}");
            assert!(task.stopped_reason.as_ref().unwrap().contains(stopped_reason), "{life:?}: {task:?}");
            assert_eq!(web.exit_code, code, "{life:?}");
            assert_eq!(web.reason.as_ref().map(|it| it.starts_with(reason.unwrap_or("none"))), reason.map(|_| true));
            assert_eq!(task.started_at.is_none(), stop_code == "TaskFailedToStart");
        }
    });
}

#[test]
fn an_essential_sidecar_takes_the_task_with_it() {
    let mut definition = app();
    definition["containerDefinitions"][1]["essential"] = json!(true);
    let mut life = Life::new().runs_forever().container("proxy", ContainerLife::exits(3, 1_000));
    life.chosen = Some("web".to_owned());
    let fake = Fake::by_hand().cluster("staging").task_definition(definition).task_life(life);
    with_client("task::an_essential_sidecar_takes_the_task_with_it", fake, async |fake, aws| {
        let (_, task) = followed(fake, aws, &launch(aws).await.arn).await;
        assert_eq!(task.stop_code.as_deref(), Some("EssentialContainerExited"));
        assert_eq!(task.container("proxy").unwrap().exit_code, Some(3));
        assert_eq!(task.container("web").unwrap().exit_code, Some(143));
    });
}

#[test]
fn an_init_container_runs_first() {
    let mut definition = app();
    definition["containerDefinitions"][0]["dependsOn"] = json!([{ "containerName": "proxy", "condition": "SUCCESS" }]);
    let life = Life::new().runs(60_000).container("proxy", ContainerLife::exits(0, 30_000));
    let fake = Fake::by_hand().cluster("staging").task_definition(definition).task_life(life);
    with_client("task::an_init_container_runs_first", fake, async |fake, aws| {
        let arn = launch(aws).await.arn;
        let (mut seen_waiting, mut seen_running) = (false, false);
        while !seen_running {
            let task = described(aws, &arn).await.unwrap();
            let status = |name: &str| task.container(name).unwrap().last_status.clone().unwrap();
            match (status("proxy").as_str(), status("web").as_str()) {
                ("RUNNING", web) => {
                    assert_eq!((web, task.last_status.as_deref()), ("PENDING", Some("ACTIVATING")));
                    seen_waiting = true;
                }
                ("STOPPED", "RUNNING") => {
                    assert_eq!(task.last_status.as_deref(), Some("RUNNING"));
                    seen_running = true;
                }
                _ => {}
            }
            fake.advance(1_000);
        }
        assert!(seen_waiting);
    });
}

#[test]
fn stopping_takes_its_time_and_the_tags() {
    let fake = staging()
        .next_life(Life::new().runs_forever())
        .next_life(Life::new().runs_forever().on_sigterm(OnSigterm::Ignores))
        .next_life(Life::new().pending(600_000));
    with_client("task::stopping_takes_its_time_and_the_tags", fake, async |fake, aws| {
        for (code, least) in [(Some(143), 0.0), (Some(137), 30.0)] {
            let arn = launch(aws).await.arn;
            while described(aws, &arn).await.unwrap().last_status.as_deref() != Some("RUNNING") {
                fake.advance(300);
            }
            assert_eq!(fake.started().last().unwrap().document["tags"], json!([{ "key": "xtask", "value": "1" }]));
            aws.stop_task("staging", &arn, "because").await.unwrap();
            assert_eq!(fake.started().last().unwrap().document["tags"], json!([]));
            let (statuses, task) = followed(fake, aws, &arn).await;
            assert_eq!(statuses.last().unwrap(), "STOPPED");
            assert_eq!(task.stop_code.as_deref(), Some("UserInitiated"));
            assert_eq!(task.stopped_reason.as_deref(), Some("because"));
            assert_eq!(task.container("web").unwrap().exit_code, code);
            assert!(task.execution_stopped_at.unwrap().seconds_since(task.stopping_at.unwrap()) >= least);
            aws.stop_task("staging", &arn, "again").await.unwrap();
            assert_eq!(described(aws, &arn).await.unwrap().stopped_reason.as_deref(), Some("because"));
        }
        let arn = launch(aws).await.arn;
        aws.stop_task("staging", &arn, "early").await.unwrap();
        let (_, task) = followed(fake, aws, &arn).await;
        assert_eq!((task.container("web").unwrap().exit_code, task.started_at), (None, None));
        let missing = aws.stop_task("staging", "0123", "x").await.unwrap_err();
        assert!(missing.is("InvalidParameterException"), "{missing:?}");
    });
}

#[test]
fn lists_say_what_is_desired() {
    let fake = staging().task_life(Life::new().runs_forever()).list_lag(20_000);
    with_client("task::lists_say_what_is_desired", fake, async |fake, aws| {
        let mut arns = Vec::new();
        for _ in 0..3 {
            arns.push(launch(aws).await.arn);
        }
        let by = async || aws.tasks_started_by("staging", "xtask/db-migrate/k3v9").await.unwrap();
        assert!(by().await.is_empty(), "lists lag");
        fake.advance(20_000);
        arns.reverse();
        assert_eq!(by().await, arns);
        aws.stop_task("staging", &arns[0], "x").await.unwrap();
        assert_eq!(aws.family_tasks("staging", "app", true).await.unwrap(), arns[..1]);
        let running = aws.family_tasks("staging", "app", false).await.unwrap();
        assert_eq!(running.len(), 3, "those of the service too");
        assert_eq!(by().await, arns[1..]);
        assert!(aws.tasks_started_by("elsewhere", "x").await.unwrap_err().is("ClusterNotFoundException"));
    });
}

#[test]
fn long_lists_come_in_pages() {
    with_client("task::long_lists_come_in_pages", staging().task_life(Life::new().runs_forever()), async |_, aws| {
        let ten = changed(run_task(), &[("/count", json!(10))]);
        for _ in 0..25 {
            let _ = aws.run_task(&ten).await.unwrap();
        }
        assert_eq!(aws.tasks_started_by("staging", "xtask/db-migrate/k3v9").await.unwrap().len(), 250);
    });
}

#[test]
fn hooks_run_at_their_moment() {
    with_client("task::hooks_run_at_their_moment", staging(), async |fake, aws| {
        let seen = Arc::new(AtomicUsize::new(0));
        for (moment, value) in [(Moment::Arrived, 1), (Moment::Acted, 10), (Moment::Answered, 100)] {
            let seen = Arc::clone(&seen);
            fake.at_call("RunTask", 2, moment, move || {
                seen.fetch_add(value, Ordering::SeqCst);
            });
        }
        let first = Arc::clone(&seen);
        fake.at_request(0, Moment::Arrived, move || first.store(1000, Ordering::SeqCst));
        launch(aws).await;
        assert_eq!(seen.load(Ordering::SeqCst), 1000);
        launch(aws).await;
        // The last comes after the answer, so it may still be on its way.
        while seen.load(Ordering::SeqCst) != 1111 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn side_by_side_is_told_from_one_after_the_other() {
    let fake = staging().latency(3, 5..50);
    with_client("task::side_by_side_is_told_from_one_after_the_other", fake, async |fake, aws| {
        let (identity, service, image) = tokio::join!(
            aws.caller_identity(),
            aws.describe_service("staging", "web"),
            aws.image_digest(None, "acme/app", "x")
        );
        assert!(identity.is_ok() && service.is_ok() && image.is_ok());
        assert_eq!(fake.longest_chain(None).len(), 1, "{}", fake.story());
        let _ = aws.describe_task_definition("app").await;
        launch(aws).await;
        let chain = fake.longest_chain(Some("RunTask"));
        assert_eq!(chain.len(), 3, "{chain:?}");
        assert!(chain[2].contains("RunTask"));
    });
}
