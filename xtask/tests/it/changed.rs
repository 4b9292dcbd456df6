//! `--if-changed`: what it says, its outcome, and that nothing runs.

use xtask::model::Outcome;

use crate::ecs;
use crate::harness::{Docker, Test};

/// A repository with a branch `work` off `main`, on which this file is new; `None`: the machine has no git.
fn repository(test: Test, file: &str) -> Option<Test> {
    if !test.real_program("git") {
        crate::real::skipped("no git");
        return None;
    }
    let script = format!(
        "cd {} && export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.com GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.com \
         && git init -q --initial-branch main && git add . && git commit -qm one && git checkout -qb work \
         && mkdir -p $(dirname {file}) && echo new > {file} && git add . && git commit -qm two",
        test.project().display()
    );
    let status = std::process::Command::new("sh").args(["-c", &script]).env("GIT_CONFIG_NOSYSTEM", "1").status();
    assert!(status.unwrap().success());
    Some(test.redact(r"\b[0-9a-f]{12}\b", "[commit]"))
}

const RUN: &str = "run db-migrate -e staging --run-id r1 --if-changed db/migrate/** --base main";

#[test]
fn a_branch_that_does_not_touch_it_runs_nothing() {
    let fake = ecs::account();
    let Some(test) = repository(ecs::project(&fake).docker(Docker::new()), "lib/a.rb") else { return };
    let expected = "    Resolved db-migrate in staging, on ECS; run r1
     Skipped db-migrate in staging: nothing had to run
             no file that matches `db/migrate/**` has changed since `main` ([commit])
";
    test.run(RUN).expect(0, "", expected);
    let ran = test.run(&format!("{RUN} --format json")).code(0);
    let last = String::from_utf8(ran.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&last["outcome"], &last["exit_code"]), (&Outcome::Skipped.as_str().into(), &0.into()));
    // Neither AWS nor docker was asked.
    assert_eq!(fake.operations(), [""; 0]);
    assert!(test.docker_calls().is_empty());
    // A wrong name is told all the same.
    let _ = test.run("run db-migrat -e staging --if-changed a --base main").code(2).stderr_has("db-migrat");
}

#[test]
fn a_branch_that_touches_it_runs_and_without_a_base_nothing_is_guessed() {
    let fake = ecs::account();
    let Some(test) = repository(ecs::project(&fake), "db/migrate/1.sql") else { return };
    let _ = test.run(&format!("{RUN} --dry-run -v")).code(0).stderr_has("changed since main: db/migrate/1.sql");
    assert!(fake.count("GetCallerIdentity") == 1, "{:?}", fake.operations());
    let n_calls = fake.operations().len();

    let hint = "\n  hint: fetch that branch with its history first: `git fetch origin BRANCH`; a CI checkout needs all of it (`fetch-depth: 0`)\n";
    let ran = test.run(&RUN.replace("--base main", "--base origin/gone")).code(2);
    let _ = ran.stderr_has("error: cannot tell what changed since `origin/gone`: ").stderr_has(hint);
    let _ = test.command(["run", "db-migrate", "--if-changed", "a", "--base", ""]).run().code(2);
    let _ = test.run("run db-migrate -e staging --if-changed a").code(2).stderr_has("--base");
    assert_eq!(fake.operations().len(), n_calls);
    // The first push of a branch has nothing before it: everything is new.
    let ran = test.run(&RUN.replace("--base main", &format!("--base {} --dry-run -v", "0".repeat(40)))).code(0);
    let _ = ran.stderr_has("there is no commit to compare with: everything counts as changed");
}

/// A pattern that cannot match anything would skip the task for ever, with success.
#[test]
fn patterns_that_match_nothing_whatever_changes_are_refused() {
    let fake = ecs::account();
    let Some(test) = repository(ecs::project(&fake), "db/migrate/1.sql") else { return };
    for (pattern, said) in [
        ("[", "a `[` without its `]`"),
        ("!**", "leaves every file out"),
        ("!**/*", "leaves every file out"),
        ("../db/**", "relative to the folder of tasks.toml"),
    ] {
        let arguments = ["run", "db-migrate", "-e", "staging", "--base", "main", "--if-changed", "db/**", pattern];
        let _ = test.command(arguments).run().code(2).stderr_has(said);
    }
    let words = ["run", "--if-changed", "db/**", "db-migrate", "--base", "main"];
    let _ = test.command(words).run().code(2).stderr_has("TASK is missing: --if-changed takes every word behind it");
    assert_eq!(fake.operations(), [""; 0]);
}

#[test]
fn without_a_repository_nothing_is_guessed() {
    let fake = ecs::account();
    let test = ecs::project(&fake);
    if !test.real_program("git") {
        crate::real::skipped("no git");
        return;
    }
    let ran = test.run(RUN).code(2).stderr_has("is in no git repository");
    let _ = ran.stderr_has("hint: run it in a clone, or leave --if-changed out");
}
