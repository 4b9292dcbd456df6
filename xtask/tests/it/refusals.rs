//! Before the first write: whatever is refused exits with 2, names both sides, and has written nothing.

use serde_json::json;

use crate::ecs::{TASKS, account, project};
use crate::fake::Fake;
use crate::harness::{Terminal, Test, has_terminal};

/// Calls that can have changed something.
fn writes(fake: &Fake) -> Vec<String> {
    let reads = |it: &String| ["Describe", "List", "Get", "BatchGet"].iter().any(|read| it.starts_with(read));
    fake.operations().into_iter().filter(|it| !reads(it)).collect()
}

/// The world of `run db-migrate -e staging` with more keys in the environment.
fn world(fake: &Fake, keys: &str) -> Test {
    let place = "service = \"web\"\n";
    project(fake).tasks(&TASKS.replace(place, &format!("{place}{keys}\n")))
}

/// It is refused, in these words, and nothing was written.
#[track_caller]
fn refused(fake: &Fake, test: &Test, words: &str, message: &str, hint: &str) {
    let ran = test.run(words).code(2).stdout("");
    let ran = ran.stderr_has(&format!("error: {message}\n")).stderr_has(&format!("hint: {hint}"));
    assert_eq!(writes(fake), [""; 0], "{}", ran.all());
    assert!(test.docker_calls().is_empty(), "{}", ran.all());
    assert!(fake.started().is_empty());
}

#[test]
fn what_belongs_elsewhere_is_not_touched() {
    for (keys, message, hint) in [
        (
            "account = \"999988887777\"",
            "`staging` is in account 999988887777, but the credentials are for account 111122223333 \
             (`arn:aws:sts::111122223333:assumed-role/deployer/somebody`)",
            "use credentials for 999988887777",
        ),
        (
            "task-definition = \"arn:aws:ecs:us-east-1:111122223333:task-definition/app:1\"",
            "`staging` is in eu-west-1, but its task definition \
             `arn:aws:ecs:us-east-1:111122223333:task-definition/app:1` is in us-east-1",
            "set `region` to us-east-1, or name a task definition in eu-west-1",
        ),
        (
            "registry = \"111122223333.dkr.ecr.us-east-1.amazonaws.com\"",
            "`staging` is in eu-west-1, but its registry `111122223333.dkr.ecr.us-east-1.amazonaws.com` is in us-east-1",
            "if images are kept in us-east-1, set `registry` in [images.NAME]; else leave it out",
        ),
        (
            "task-role = \"arn:aws:iam::999988887777:role/migrations\"",
            "the task role `arn:aws:iam::999988887777:role/migrations` is in account 999988887777, but the credentials \
             are for 111122223333",
            "use credentials for 999988887777, or name a task role in 111122223333",
        ),
    ] {
        let fake = account();
        refused(&fake, &world(&fake, keys), "run db-migrate -e staging", message, hint);
        // Detached, or as a dry run: the same.
        refused(&fake, &world(&fake, keys), "run db-migrate -e staging --detach", message, hint);
        refused(&fake, &world(&fake, keys), "run db-migrate -e staging --dry-run", message, hint);
    }
}

#[test]
fn a_cluster_or_a_service_of_another_region_is_not_looked_for_here() {
    for (key, resource) in [("cluster = \"staging\"", "cluster/staging"), ("service = \"web\"", "service/staging/web")]
    {
        let (key, what) = (key, resource.split('/').next().unwrap());
        let arn = format!("arn:aws:ecs:us-east-1:111122223333:{resource}");
        let fake = account();
        let test = project(&fake).tasks(&TASKS.replace(key, &format!("{what} = \"{arn}\"")));
        refused(
            &fake,
            &test,
            "run db-migrate -e staging",
            &format!("`staging` is in eu-west-1, but its {what} `{arn}` is in us-east-1"),
            &format!("set `region` to us-east-1, or name a {what} in eu-west-1"),
        );
        assert_eq!(fake.operations(), [""; 0], "a region is known without asking");
        // Asked for on the command line it is the same mistake.
        let test =
            project(&fake).tasks(&TASKS.replace(key, &format!("{what} = \"{}\"", arn.replace("us-east", "eu-west"))));
        refused(
            &fake,
            &test,
            "run db-migrate -e staging --region us-east-1",
            &format!(
                "`staging` is in us-east-1, but its {what} `{}` is in eu-west-1",
                arn.replace("us-east", "eu-west")
            ),
            "set `region` to eu-west-1",
        );
        assert_eq!(fake.operations(), [""; 0]);
    }
}

#[test]
fn a_cluster_of_another_account_is_refused() {
    let fake = account();
    let arn = "arn:aws:ecs:eu-west-1:999988887777:cluster/staging";
    let test = project(&fake).tasks(&TASKS.replace("cluster = \"staging\"", &format!("cluster = \"{arn}\"")));
    let message = format!("the cluster `{arn}` is in account 999988887777, but the credentials are for 111122223333");
    refused(&fake, &test, "run db-migrate -e staging", &message, "use credentials for 999988887777");
}

#[test]
fn an_image_may_be_kept_in_another_region() {
    let fake = account();
    let image = "repository = \"acme/app\"\nregistry = \"111122223333.dkr.ecr.us-east-1.amazonaws.com\"";
    let test = project(&fake).tasks(&TASKS.replace("repository = \"acme/app\"", image));
    let _ = test.run("run db-migrate -e staging --dry-run").code(0);
}

const PROTECTED: &str = "protected = true\naccount = \"111122223333\"";

#[test]
fn a_protected_environment_is_confirmed_or_left_alone() {
    let fake = account();
    let test = world(&fake, PROTECTED);
    let message = "`staging` is protected, and there is no terminal to confirm the run on";
    refused(&fake, &test, "run db-migrate -e staging", message, "add --yes if this run is meant");
    assert_eq!(fake.operations(), [""; 0], "it is known without asking AWS");
    refused(
        &fake,
        &test,
        "run db-migrate -e staging --yes --region us-east-1",
        "`staging` is protected and is in eu-west-1, not in us-east-1",
        "leave --region out",
    );
    // An endpoint that is not in tasks.toml is not where tasks.toml says.
    let test = Test::new().fake(&fake).tasks(&TASKS.replace("endpoint-url = \"{endpoint}\"", PROTECTED));
    refused(
        &fake,
        &test,
        "run db-migrate -e staging --yes",
        "AWS_ENDPOINT_URL is set, and `staging` is protected",
        "unset AWS_ENDPOINT_URL",
    );
}

#[test]
fn on_a_terminal_the_environments_name_is_asked_for() {
    if !has_terminal() {
        return;
    }
    for typed in ["production\n", "yes\n", "\n"] {
        let fake = account();
        let test = world(&fake, PROTECTED);
        let running = test.command(["run", "db-migrate", "-e", "staging"]).terminal(Terminal::All).start();
        running.wait_for_stderr("Type its name to run `db-migrate`");
        running.types(typed);
        let ran = running.finish().code(2);
        let ran = ran.screen_has("not confirmed: nothing was run in `staging`");
        // Whom it would have run as, and what.
        let ran = ran.screen_has("111122223333").screen_has("bin/migrate").screen_has("deployer");
        assert_eq!(writes(&fake), [""; 0], "{}", ran.all());
        assert!(test.docker_calls().is_empty());
    }
    let fake = account();
    let test = world(&fake, PROTECTED);
    let running = test.command(["run", "db-migrate", "-e", "staging"]).terminal(Terminal::All).start();
    running.wait_for_stderr("Type its name to run `db-migrate`");
    running.types("staging\n");
    let _ = running.finish().code(0);
    assert_eq!(fake.count("RunTask"), 1);
}

#[test]
fn a_task_stays_where_it_may_run() {
    let fake = account();
    let tasks = format!("{TASKS}environments = [\"local\"]\n\n[environments.local]\nrunner = \"host\"\n");
    let test = project(&fake).tasks(&tasks);
    let message = "`db-migrate` may not run in `staging`";
    refused(&fake, &test, "run db-migrate -e staging", message, "choose another with -e: local");
    let message = "`db-migrate` may not run in `staging` (from XTASK_ENV)";
    let test = test.env("XTASK_ENV", "staging");
    refused(&fake, &test, "run db-migrate", message, "choose another with -e: local");
    assert_eq!(fake.operations(), [""; 0], "it is known without asking AWS");
}

#[test]
fn a_family_of_somebody_else_gets_no_revision() {
    let fake = account().task_definition(json!({
        "family": "xtask-staging-db-migrate",
        "containerDefinitions": [{ "name": "web", "image": "x", "memory": 64 }],
    }));
    let message = "cannot register into the family `xtask-staging-db-migrate`: its newest revision \
                   `arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:1` was not made by this \
                   tool (it has no tag `xtask=1`)";
    refused(&fake, &project(&fake), "run db-migrate -e staging", message, "rename the task");
}

#[test]
fn the_other_verbs_refuse_the_wrong_account_too() {
    for words in ["policy -e staging", "clean -e staging --yes"] {
        let fake = account();
        let test = world(&fake, "account = \"999988887777\"");
        let message = "`staging` is in account 999988887777, but the credentials are for account 111122223333 \
                       (`arn:aws:sts::111122223333:assumed-role/deployer/somebody`)";
        refused(&fake, &test, words, message, "use credentials for 999988887777");
    }
}

/// Each line is a mistake of another kind; all are told in one go, and nobody is asked for anything.
#[test]
fn ten_mistakes_are_told_at_once_and_nothing_is_touched() {
    let tasks = r#"default-environment = "stagng"

[images.app]
contxt = "."
repository = "Acme/App"

[environments.staging]
account = 111122223333
endpoint-url = "127.0.0.1:4566"
cluster = "staging"
service = "web"

[tasks.db-migrate]
image = "ap"
command = "bin/migrate"
timeout = "15 minutes"
memory = "lots"
variables = { XTASK_RUN_ID = "x" }
needs = ["db-backup"]
"#;
    let fake = account();
    let test = project(&fake).tasks(tasks);
    let ran = test.run("run db-migrate -e staging").code(2).stdout("");
    let places: Vec<String> =
        ran.stderr_text().lines().filter_map(|it| it.trim().strip_prefix("--> ")).map(str::to_owned).collect();
    let expected = ["1:23", "4:1", "5:14", "8:11", "9:16", "14:9", "15:11", "16:11", "17:10", "18:15", "19:10"];
    assert_eq!(places, expected.map(|it| format!("tasks.toml:{it}")), "{}", ran.stderr_text());
    assert_eq!(ran.stderr_text().matches("error: ").count(), expected.len());
    assert_eq!(fake.operations(), [""; 0]);
    assert!(test.docker_calls().is_empty());
}

#[test]
fn an_expired_sso_session_says_what_to_type() {
    let fake = account();
    let test = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        .into_iter()
        .fold(world(&fake, "profile = \"acme\""), Test::without_env);
    let aws = test.home().join(".aws");
    std::fs::create_dir_all(aws.join("sso/cache")).unwrap();
    let config = "[profile acme]\nsso_session = acme\nsso_account_id = 111122223333\nsso_role_name = deployer\nregion = eu-west-1\n\
                  [sso-session acme]\nsso_start_url = https://acme.example/start\nsso_region = eu-west-1\n";
    std::fs::write(aws.join("config"), config).unwrap();
    let login = "hint: run `aws sso login --profile acme`";
    // Never logged in, and logged in long ago: the cache is named by the session's SHA-1.
    let _ = test.run("run db-migrate -e staging").code(125).stdout("").stderr_has(login);
    let token = r#"{"accessToken": "planted-sso", "expiresAt": "2020-01-01T00:00:00Z", "region": "eu-west-1", "startUrl": "https://acme.example/start"}"#;
    let name = "293abb6b76d7791c0732cc517d38c4b5c734b87f.json";
    std::fs::write(aws.join("sso/cache").join(name), token).unwrap();
    let _ = test.run("run db-migrate -e staging").code(125).stdout("").stderr_has(login);
    assert_eq!(writes(&fake), [""; 0]);
}
