//! `clean`: what goes, what stays, who is asked, and at what pace.

use serde_json::{Value, json};

use crate::ecs::{TASKS, account, project};
use crate::fake::definitions::text;
use crate::fake::{Fake, Fault, Life};
use crate::harness::{Terminal, has_terminal};

const FAMILY: &str = "xtask-staging-db-migrate";

/// A revision of the task's family, with the tag of this tool or without.
fn revision(fake: Fake, ours: bool) -> Fake {
    let tags = if ours { json!([{ "key": "xtask", "value": "1" }]) } else { json!([]) };
    fake.task_definition(json!({
        "family": FAMILY, "tags": tags, "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{ "name": "web", "image": "x", "essential": true }],
    }))
}

fn revisions(fake: Fake, count: usize) -> Fake {
    (0..count).fold(fake, |fake, _| revision(fake, true))
}

/// The numbers of the family's revisions by status.
fn numbers(fake: &Fake, status: &str) -> Vec<u64> {
    let revisions = fake.revisions(FAMILY).into_iter().filter(|it| text(it, "status") == status);
    revisions.filter_map(|it| it["revision"].as_u64()).collect()
}

/// 1 is used by a service of another cluster, 2 is not ours, 3 by an ECS task that is being stopped, 4 is INACTIVE, 9 is the newest.
fn many() -> Fake {
    let fake = revision(account().cluster("other").task_life(Life::new().runs_forever()), true);
    let fake = revisions(revision(fake, false), 7);
    fake.service("other", json!({ "serviceName": "follower", "taskDefinition": format!("{FAMILY}:1") }))
        .service("other", json!({ "serviceName": "old", "taskDefinition": format!("{FAMILY}:3") }))
        .inactive(&format!("{FAMILY}:4"))
}

#[test]
fn a_dry_run_shows_what_would_go_and_why_others_stay() {
    let fake = many();
    let test = project(&fake);
    test.run("clean -e staging --keep 2 --dry-run").expect(
        0,
        "xtask-staging-db-migrate:7  would be deleted\n\
         xtask-staging-db-migrate:6  would be deleted\n\
         xtask-staging-db-migrate:5  would be deleted\n\
         xtask-staging-db-migrate:4  would be deleted\n\
         xtask-staging-db-migrate:3  stays: the ECS task \
         arn:aws:ecs:eu-west-1:111122223333:task/other/[id] uses it\n\
         xtask-staging-db-migrate:2  stays: it was not made by this tool (no tag `xtask=1`)\n\
         xtask-staging-db-migrate:1  stays: the ECS task \
         arn:aws:ecs:eu-west-1:111122223333:task/other/[id] uses it\n\
         4 to delete; 2 stay as the newest of their families\n",
        "",
    );
    assert_eq!(fake.count("DeregisterTaskDefinition") + fake.count("DeleteTaskDefinitions"), 0);
}

#[test]
fn what_nothing_needs_is_deleted_and_nothing_else() {
    let fake = many();
    let test = project(&fake);
    let ran = test.run("clean -e staging --keep 2 --yes").code(0).stderr("");
    assert!(ran.stdout_text().ends_with("4 of 4 revisions are deleted\n"), "{}", ran.all());
    assert_eq!(numbers(&fake, "DELETE_IN_PROGRESS"), [4, 5, 6, 7]);
    assert_eq!(numbers(&fake, "ACTIVE"), [1, 2, 3, 8, 9]);
    // What was INACTIVE already is not deregistered again.
    assert_eq!(fake.count("DeregisterTaskDefinition"), 3);
    let ran = test.run("clean -e staging --keep 2 --yes").code(0).stdout_has("nothing to delete");
    assert_eq!(fake.count("DeregisterTaskDefinition"), 3, "{}", ran.all());
}

#[test]
fn a_service_without_ecs_tasks_keeps_its_revision() {
    let service = json!({ "serviceName": "idle", "taskDefinition": format!("{FAMILY}:1"), "desiredCount": 0 });
    let fake = revisions(account().cluster("other"), 3).service("other", service);
    let test = project(&fake);
    let ran = test.run("clean -e staging --keep 1 --yes").code(0);
    let _ = ran.stdout_has("xtask-staging-db-migrate:1  stays: the service `idle` of the cluster `other` uses it\n");
    assert_eq!(numbers(&fake, "ACTIVE"), [1, 3]);
}

#[test]
fn other_families_and_environments_are_left_alone() {
    let others = ["xtask-staging-db-migrate-2", "xtask-production-db-migrate", "db-migrate"];
    let fake = others.into_iter().fold(revisions(account(), 3), |fake, family| {
        (0..4).fold(fake, |fake, _| {
            fake.task_definition(json!({
                "family": family, "tags": [{ "key": "xtask", "value": "1" }],
                "containerDefinitions": [{ "name": "web", "image": "x", "memory": 64 }],
            }))
        })
    });
    let _ = project(&fake).run("clean -e staging --keep 1 --yes").code(0);
    assert_eq!(numbers(&fake, "ACTIVE"), [3]);
    for family in others {
        assert!(fake.revisions(family).iter().all(|it| it["status"] == "ACTIVE"), "{family}");
    }
}

#[test]
fn it_is_asked_for() {
    let fake = revisions(account(), 7);
    let test = project(&fake);
    let ran = test.run("clean -e staging").code(2).stdout("");
    let _ = ran.stderr_has("there is no terminal to confirm the deletion on").stderr_has("--yes");
    assert_eq!(fake.operations(), [""; 0]);
    let _ = test.run("clean -e staging typo --yes").code(2).stderr_has("unknown task `typo`");
    let _ = test.run("clean -e staging --keep 0 --yes").code(2);
    if !has_terminal() {
        return;
    }
    for (typed, code, left) in [("no\n", 2, 7), ("\n", 2, 7), ("yes\n", 0, 5)] {
        let running = test.command(["clean", "-e", "staging"]).terminal(Terminal::All).start();
        running.wait_for_stderr("Type `yes`:");
        running.types(typed);
        let ran = running.finish().code(code).screen_has("xtask-staging-db-migrate:2  to be deleted");
        assert_eq!(numbers(&fake, "ACTIVE").len(), left, "{}", ran.all());
    }
    // Where it is protected, its name.
    let fake = revisions(account(), 7);
    let protected = "service = \"web\"\nprotected = true\naccount = \"111122223333\"";
    let test = project(&fake).tasks(&TASKS.replace("service = \"web\"", protected));
    for (typed, code, left) in [("yes\n", 2, 7), ("staging\n", 0, 5)] {
        let running = test.command(["clean", "-e", "staging"]).terminal(Terminal::All).start();
        running.wait_for_stderr("Type `staging`:");
        running.types(typed);
        let ran = running.finish().code(code);
        assert_eq!(numbers(&fake, "ACTIVE").len(), left, "{}", ran.all());
    }
}

#[test]
fn a_hundred_go_without_being_throttled() {
    let fake = revisions(account(), 105).throttles_like_aws();
    let ran = project(&fake).run("clean -e staging --yes").code(0);
    assert_eq!(numbers(&fake, "ACTIVE").len(), 5);
    assert_eq!(numbers(&fake, "DELETE_IN_PROGRESS").len(), 100);
    let refused = fake.records().iter().filter(|it| it.status != 200).count();
    assert_eq!(refused, 0, "{}\n{}", fake.story(), ran.all());
}

#[test]
fn what_ecs_does_not_take_is_said() {
    let fake = revisions(account(), 7).fault("DeregisterTaskDefinition", 1, Fault::AccessDenied);
    let ran = project(&fake).run("clean -e staging --yes").code(125);
    let ran = ran.stderr_has(
        "cannot delete arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:1: AccessDeniedException",
    );
    let _ = ran.stdout_has("1 of 2 revisions are deleted\n");
    assert_eq!(numbers(&fake, "DELETE_IN_PROGRESS"), [2]);
}

#[test]
fn unknown_use_deletes_nothing() {
    for operation in ["ListTasks", "ListServices", "DescribeServices", "DescribeTaskDefinition", "ListTaskDefinitions"]
    {
        let fake = revisions(account(), 7).fault(operation, .., Fault::AccessDenied);
        let ran = project(&fake).run("clean -e staging --yes").code(125).stderr_has("nothing was deleted");
        assert_eq!(numbers(&fake, "ACTIVE").len(), 7, "{}", ran.all());
    }
    // Without the list of clusters the environment's own is searched, and that is said.
    let fake = revisions(account(), 7).fault("ListClusters", .., Fault::AccessDenied);
    let ran = project(&fake).run("clean -e staging --yes").code(0);
    let _ = ran.stderr_has("only `staging` was searched for what uses these revisions");
}

#[test]
fn programs_get_a_line_for_each() {
    let fake = revisions(account(), 3);
    let ran = project(&fake).run("clean -e staging --keep 1 --yes --format json").code(0);
    let lines: Vec<(Value, Value)> =
        ran.events().into_iter().map(|it| (it["task_definition"].clone(), it["action"].clone())).collect();
    let arn = |number| json!(format!("arn:aws:ecs:eu-west-1:111122223333:task-definition/{FAMILY}:{number}"));
    assert_eq!(lines, [(arn(3), json!("kept")), (arn(2), json!("deleted")), (arn(1), json!("deleted"))]);
}
