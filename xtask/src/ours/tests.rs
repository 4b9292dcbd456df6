//! Ids as they are typed, kinship, and what a task definition tells of an ECS task's output.

use serde_json::json;

use super::*;

fn task(by: &str, command: &[&str], variables: &[(&str, &str)]) -> EcsTask {
    let marks = [(RUN_ID, "k3v9"), (RUN_BY, by), (COMMIT, "abc")];
    EcsTask {
        overridden: Some(Overridden {
            container: "web".to_owned(),
            command: (!command.is_empty()).then(|| command.iter().map(|it| (*it).to_owned()).collect()),
            variables: marks.iter().chain(variables).map(|(name, it)| ((*name).to_owned(), (*it).to_owned())).collect(),
        }),
        ..EcsTask::default()
    }
}

#[test]
fn an_id_is_read_as_it_is_meant() {
    let id = "0123456789abcdef0123456789abcdef";
    let arn = |cluster: &str| format!("arn:aws:ecs:eu-west-1:111122223333:task/{cluster}{id}");
    let of_arn = |cluster: Option<&str>| {
        Ok(Wanted::Arn { region: "eu-west-1".to_owned(), cluster: cluster.map(str::to_owned), id: id.to_owned() })
    };
    for (text, expected) in [
        ("db-migrate".to_owned(), Ok(Wanted::Task("db-migrate".to_owned()))),
        // It could be the start of an id as well.
        ("cafe".to_owned(), Ok(Wanted::Task("cafe".to_owned()))),
        (arn("staging/"), of_arn(Some("staging"))),
        (arn(""), of_arn(None)),
        (id.to_uppercase(), Ok(Wanted::Id(id.to_owned()))),
        ("01".to_owned(), Ok(Wanted::Start("01".to_owned()))),
        ("0123-4".to_owned(), Ok(Wanted::Start("0123-4".to_owned()))),
        ("db-migrat".to_owned(), Err("`db-migrat` is neither a task of tasks.toml nor an ECS task's id".to_owned())),
        (String::new(), Err("`` is neither a task of tasks.toml nor an ECS task's id".to_owned())),
        (
            "arn:aws:ecs:eu-west-1:111122223333:service/staging/web".to_owned(),
            Err("`arn:aws:ecs:eu-west-1:111122223333:service/staging/web` is not the ARN of an ECS task".to_owned()),
        ),
    ] {
        assert_eq!(wanted(&text, &["db-migrate", "cafe"]), expected, "{text}");
    }
}

#[test]
fn only_the_same_work_of_the_same_caller_is_a_twin() {
    let alice = "arn:aws:iam::111122223333:user/alice";
    let session = |name: &str| format!("arn:aws:sts::111122223333:assumed-role/deploy/{name}");
    let environment = json!([
        { "name": "BATCH", "value": "500" },
        { "name": "A", "value": "1" },
        { "name": RUN_ID, "value": "new" },
        { "name": RUN_BY, "value": alice },
    ]);
    let run_task = json!({ "overrides": { "containerOverrides": [
        { "name": "web", "command": ["bin/migrate", "up"], "environment": environment },
    ] } });
    let same: &[(&str, &str)] = &[("A", "1"), ("BATCH", "500")];
    let command: &[&str] = &["bin/migrate", "up"];
    let with_job = |mut task: EcsTask| {
        task.tags.insert(CI_JOB_TAG.to_owned(), "https://ci.example.com/1".to_owned());
        task
    };
    for (name, task, run_id, caller, ci, expected) in [
        ("the same", task(alice, command, same), "new", alice, false, Kin::Twin),
        ("this run", task("arn:x", command, same), "k3v9", alice, false, Kin::ThisRun),
        ("its id, another command", task(alice, &["other"], same), "k3v9", alice, false, Kin::Namesake),
        ("its id, another variable", task(alice, command, &[("A", "1")]), "k3v9", alice, false, Kin::Namesake),
        (
            "somebody else's",
            task("arn:aws:iam::111122223333:user/bob", command, same),
            "new",
            alice,
            false,
            Kin::Stranger,
        ),
        ("another command", task(alice, &["bin/migrate"], same), "new", alice, false, Kin::Stranger),
        ("no command", task(alice, &[], same), "new", alice, false, Kin::Stranger),
        ("another variable", task(alice, command, &[("A", "1"), ("BATCH", "5")]), "new", alice, false, Kin::Stranger),
        (
            "a variable more",
            task(alice, command, &[("A", "1"), ("B", "1"), ("BATCH", "500")]),
            "new",
            alice,
            false,
            Kin::Stranger,
        ),
        ("another session", task(&session("job-1"), command, same), "new", &session("job-2"), false, Kin::Stranger),
        ("another job", with_job(task(&session("job-1"), command, same)), "new", &session("job-2"), true, Kin::Twin),
        ("a person's session", task(&session("bob"), command, same), "new", &session("job-2"), true, Kin::Stranger),
        ("no marks", EcsTask::default(), "new", alice, false, Kin::Stranger),
    ] {
        assert_eq!(kin(&task, &Starting { run_id, caller, ci, run_task: &run_task }), expected, "{name}");
    }
    // The image's own command on both sides.
    let bare = json!({ "overrides": { "containerOverrides": [{ "name": "web", "environment": [] }] } });
    let starting = Starting { run_id: "new", caller: alice, ci: false, run_task: &bare };
    assert_eq!(kin(&task(alice, &[], &[]), &starting), Kin::Twin);
}

#[test]
fn the_output_is_where_its_own_definition_says() {
    let logs = |options: Value| json!({ "logDriver": "awslogs", "options": options });
    let definition = |configuration: Value| {
        json!({ "containerDefinitions": [
            { "name": "proxy" },
            { "name": "web", "dockerLabels": { HASH_LABEL: "abc" }, "logConfiguration": configuration },
        ] })
    };
    let whole = json!({ "awslogs-group": "/ecs/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app" });
    let here = definition(logs(whole));
    assert_eq!(chosen_container(&here, None).as_deref(), Some("web"));
    let location = log_location(&here, "web", "eu-west-1").unwrap();
    assert_eq!(
        (location.region.as_str(), location.stream("arn:x:task/staging/01").as_str()),
        ("us-east-1", "app/web/01")
    );
    for (configuration, expected) in [
        (json!({ "logDriver": "awsfirelens" }), "the log driver of `web` is `awsfirelens`"),
        (Value::Null, "the log driver of `web` is none"),
        (logs(json!({ "awslogs-stream-prefix": "app" })), "the log configuration of `web` names no group"),
        (logs(json!({ "awslogs-group": "/ecs/app" })), "the log configuration of `web` has no stream prefix"),
    ] {
        assert_eq!(log_location(&definition(configuration), "web", "eu-west-1").unwrap_err(), expected);
    }
    let unlabelled = json!({ "containerDefinitions": [{ "name": "proxy" }, { "name": "web" }] });
    assert_eq!(chosen_container(&unlabelled, None), None);
    assert_eq!(chosen_container(&unlabelled, task("x", &[], &[]).overridden.as_ref()).as_deref(), Some("web"));
}

#[test]
fn overdue_is_what_runs_longer_than_it_may() {
    let running = |tag: Option<&str>, started: Option<i64>, status: &str| {
        let mut task = task("x", &[], &[]);
        task.last_status = Some(status.to_owned());
        task.started_at = started.map(Timestamp);
        task.tags.extend(tag.map(|it| (TIMEOUT_TAG.to_owned(), it.to_owned())));
        task
    };
    let minutes = |n: u64| Some(Duration::from_secs(n * 60));
    for (task, of_file, expected) in [
        (running(Some("60"), Some(0), "RUNNING"), minutes(5), minutes(9)),
        (running(None, Some(0), "RUNNING"), minutes(5), minutes(5)),
        (running(Some("600"), Some(0), "RUNNING"), None, None),
        (running(None, Some(0), "RUNNING"), None, None),
        (running(Some("60"), None, "PENDING"), None, None),
        (running(Some("60"), Some(0), "STOPPED"), None, None),
        (running(Some("60"), Some(9_999_999), "RUNNING"), None, None),
    ] {
        assert_eq!(overdue(&task, of_file, Timestamp(600_000)), expected, "{task:?}");
    }
}

#[test]
fn names_are_read_from_arns() {
    for (arn, name) in [
        ("arn:aws:iam::111122223333:user/alice", "alice"),
        ("arn:aws:sts::111122223333:assumed-role/deploy/GitHubActions", "deploy/GitHubActions"),
        ("arn:aws:iam::111122223333:root", "root"),
        ("somebody@machine", "somebody@machine"),
    ] {
        assert_eq!(caller(arn), name);
    }
    let definition = "arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:7";
    assert_eq!(family_of(definition), family("staging", "db-migrate"));
    let task = EcsTask { started_by: Some("xtask/db-migrate/k3v9".to_owned()), ..EcsTask::default() };
    assert_eq!(run_id(&task), Some("k3v9"));
    let foreign = EcsTask { started_by: Some("ecs-svc/1234".to_owned()), ..EcsTask::default() };
    assert_eq!(run_id(&foreign), None);
}
