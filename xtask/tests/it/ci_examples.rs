//! The examples of docs/ci: their files are what the platforms take, and their commands do what is promised, against ministack. A small
//! engine a platform carries out what the platform would: which jobs, in which order, with which shell and variables.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::local::Folder;
use crate::{real, real_ecs};

const PROBE: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    println!("migrating as {}", std::env::var("XTASK_RUN_ID").unwrap());
    std::process::exit(arguments[2].parse().unwrap());
}
"#;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/ci")
}

fn yaml(python: &Path, name: &str) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new(python).args(["-c", script]).arg(examples().join(name)).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each against the schema of its platform, as vendored by a validator that others wrote.
#[test]
fn the_platforms_take_the_files() {
    let Some(check) = real::python_tool("check-jsonschema") else { return };
    for (schema, file) in [
        ("github-workflows", "github-actions.yml"),
        ("github-workflows", "github-actions-branch.yml"),
        ("gitlab-ci", "gitlab-ci.yml"),
        ("circle-ci", "circleci.yml"),
    ] {
        let mut command = Command::new(&check);
        command.args(["--builtin-schema", &format!("vendor.{schema}")]).arg(examples().join(file));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stdout));
    }
    let listed = fs::read_to_string(examples().join("README.md")).unwrap();
    for entry in fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || listed.contains(&format!("({name})")), "{name} is not in docs/ci/README.md");
    }
}

/// A checkout on a CI machine, and the programs there: cargo "compiles" the tool by copying it, aws remembers.
struct World {
    folder: Folder,
    env: BTreeMap<String, String>,
}

/// The application, compiled once for all.
fn probe() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = crate::harness::Folder::new();
        real::static_program(folder.path(), "probe", PROBE);
        fs::read(folder.path().join("probe")).unwrap()
    })
}

/// How a job's command ended, and what it said.
struct Step {
    code: i32,
    said: String,
}

impl World {
    fn new(url: &str, name: &str, exit_code: i32) -> World {
        let host = url.strip_prefix("http://").unwrap();
        let folder = Folder::new(&format!(
            r#"
[images.app]
repository = "ci/{name}"
create-repository = true
[environments.staging]
account = "000000000000"
protected = true
endpoint-url = "{url}"
registry = "{host}"
region = "us-east-1"
cluster = "default"
task-definition = "ci-{name}"
subnets = ["subnet-00000000"]
[tasks.db-migrate]
image = "app"
command = ["migrate", "{exit_code}"]
"#
        ));
        let root = folder.path().to_owned();
        fs::write(root.join("probe"), probe()).unwrap();
        fs::set_permissions(root.join("probe"), fs::Permissions::from_mode(0o755)).unwrap();
        for (file, text) in [
            ("Dockerfile", "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\n"),
            (".dockerignore", "*\n!probe\n"),
            (".gitignore", "/home\n/machine\n/bin\n/probe*\n/.xtask-bin\n"),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n"),
            (".cargo/config.toml", "[alias]\n"),
            ("Cargo.lock", ""),
            ("db/migrate/1.sql", "1"),
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        }
        for name in ["home", "machine", "bin"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let program = |name: &str, text: &str| {
            let path = root.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let built = env!("CARGO_BIN_EXE_xtask");
        program(
            "cargo",
            &format!(
                "echo \"$*\" >> ~/cargo-calls\nwhile [ \"$1\" != --target-dir ]; do shift; done\n\
                 mkdir -p \"$2/xtask\" && cp {built} \"$2/xtask/xtask\""
            ),
        );
        program("aws", "echo \"$*\" >> ~/aws-calls");
        let definition = format!(
            r#"{{"family": "ci-{name}", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
                "containerDefinitions": [{{"name": "app", "image": "unused", "essential": true, "logConfiguration": {{"logDriver": "awslogs",
                "options": {{"awslogs-group": "/ecs/{name}", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x", "awslogs-create-group": "true"}}}}}}]}}"#
        );
        real_ecs::call(url, "RegisterTaskDefinition", &definition);

        let path = std::env::var("PATH").unwrap();
        let text = |path: &str| root.join(path).display().to_string();
        let mut env: BTreeMap<String, String> = [
            ("HOME", text("home")),
            ("PATH", format!("{}:{path}", text("bin"))),
            ("CI", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_AUTHOR_NAME", "test".to_owned()),
            ("GIT_AUTHOR_EMAIL", "test@example.com".to_owned()),
            ("GIT_COMMITTER_NAME", "test".to_owned()),
            ("GIT_COMMITTER_EMAIL", "test@example.com".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Ok(host) = std::env::var("DOCKER_HOST") {
            env.insert("DOCKER_HOST".to_owned(), host);
        }
        let world = World { folder, env };
        // Its origin is another folder, as a checkout's is.
        world.shell(
            "git init -q --initial-branch main && git add . && git commit -qm one && git init -q --bare machine/origin \
             && git remote add origin machine/origin && git push -q origin main && git fetch -q origin",
        );
        world
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.insert(name.to_owned(), value.into());
    }

    fn run(&self, shell: &[&str], script: &str) -> Step {
        // Absolute paths of the machine are the test's.
        let script = script.replace("/tmp/", &format!("{}/machine/", self.folder.path().display()));
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg("-c").arg(&script).current_dir(self.folder.path()).env_clear().envs(&self.env);
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut reader, &mut said).unwrap();
        let code = child.wait().unwrap().code().unwrap_or(-1);
        Step { code, said }
    }

    fn shell(&self, script: &str) -> String {
        let step = self.run(&["bash", "-e"], script);
        assert_eq!(step.code, 0, "{script}\n{}", step.said);
        step.said
    }

    /// A branch with a change of this file.
    fn branch(&self, file: &str) {
        self.shell(&format!(
            "git checkout -q -B work origin/main && mkdir -p \"$(dirname {file})\" && echo new > {file} && git add . && git commit -qm two"
        ));
    }

    fn calls(&self, program: &str) -> usize {
        fs::read_to_string(self.folder.path().join("home").join(format!("{program}-calls")))
            .map_or(0, |it| it.lines().count())
    }
}

/// What a platform made of a pipeline: the code of the first job that failed, else 0, and everything that was said.
struct Pipeline {
    code: i32,
    said: String,
}

/// A platform's engine: carries the pipeline of the main branch or of a work branch out.
type Engine = fn(&mut World, &Path, OnBranch) -> Pipeline;

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnBranch {
    Main,
    Work,
}

/// What every example promises.
fn promises(name: &str, engine: Engine) {
    let Some(url) = real::ministack() else { return };
    let Some(python) = real::python_tool("python") else { return };
    // A migration, and then the deployment; the tool is compiled once.
    let mut world = World::new(&url, name, 0);
    for n_times in [1, 2] {
        let done = engine(&mut world, &python, OnBranch::Main);
        assert_eq!(done.code, 0, "{}", done.said);
        assert!(done.said.contains("migrating as "), "{}", done.said);
        assert_eq!(world.calls("aws"), n_times, "{}", done.said);
        assert_eq!(world.calls("cargo"), 1, "compiled in every job:\n{}", done.said);
        assert!(world.shell("git status --porcelain").is_empty(), "the work tree is left clean");
    }

    // A branch: only where it touches the migrations, and no deployment.
    world.branch("app/models/user.rb");
    let skipped = engine(&mut world, &python, OnBranch::Work);
    assert_eq!(skipped.code, 0, "{}", skipped.said);
    assert!(skipped.said.contains("nothing had to run"), "{}", skipped.said);
    assert!(skipped.said.contains("no file that matches `db/migrate/**` has changed since"), "{}", skipped.said);
    assert!(!skipped.said.contains("Launched"), "{}", skipped.said);
    world.branch("db/migrate/2.sql");
    let migrated = engine(&mut world, &python, OnBranch::Work);
    assert!(migrated.code == 0 && migrated.said.contains("migrating as "), "{}", migrated.said);
    assert_eq!(world.calls("aws"), 2);

    // A migration that fails stops it there, with its own code.
    let mut world = World::new(&url, &format!("{name}-bad"), 7);
    let failed = engine(&mut world, &python, OnBranch::Main);
    assert_eq!((failed.code, world.calls("aws")), (7, 0), "{}", failed.said);
    assert!(failed.said.contains("migrating as "), "{}", failed.said);
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

// ---------------------------------------------------------------------------------------------------------- GitHub Actions

#[test]
fn github_actions() {
    promises("github", |world, python, branch| {
        let file = if branch == OnBranch::Main { "github-actions.yml" } else { "github-actions-branch.yml" };
        let workflow = yaml(python, file);
        let root = world.folder.path().to_owned();
        for (name, file) in [
            ("GITHUB_PATH", "path"),
            ("GITHUB_OUTPUT", "output"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("GITHUB_ENV", "env"),
        ] {
            let path = root.join("machine").join(file);
            fs::write(&path, "").unwrap();
            world.set(name, path.display().to_string());
        }
        world.set("GITHUB_ACTIONS", "true");
        world.set("RUNNER_TEMP", root.join("machine/temp").display().to_string());
        let expressions = |text: &str| {
            let mut text = text.to_owned();
            for (expression, value) in
                [("github.run_id", "9876543210"), ("github.run_attempt", "1"), ("github.base_ref", "main")]
            {
                text = text.replace(&format!("${{{{ {expression} }}}}"), value);
            }
            assert!(!text.contains("${{"), "an expression that this test does not know: {text}");
            text
        };
        let (mut said, path) = (String::new(), world.env["PATH"].clone());
        let mut code = 0;
        for job in workflow["jobs"].as_object().unwrap().values() {
            for (name, value) in job["env"].as_object().unwrap() {
                world.set(name, expressions(value.as_str().unwrap()));
            }
            for step in job["steps"].as_array().unwrap() {
                if step.get("uses").is_some() {
                    continue;
                }
                // The cache has the tool from the second time on.
                let cached = root.join("home/.local/xtask/xtask").exists();
                match text(step, "if") {
                    "" => {}
                    "steps.tool.outputs.cache-hit != 'true'" if cached => continue,
                    "steps.tool.outputs.cache-hit != 'true'" => {}
                    "cancelled()" => continue,
                    other => panic!("a condition that this test does not know: {other}"),
                }
                let done =
                    world.run(&["bash", "--noprofile", "--norc", "-eo", "pipefail"], &expressions(text(step, "run")));
                said.push_str(&done.said);
                let added = fs::read_to_string(root.join("machine/path")).unwrap();
                world.set("PATH", format!("{}:{path}", added.trim().replace('\n', ":")));
                if done.code != 0 {
                    code = done.code;
                    break;
                }
            }
        }
        world.set("PATH", path);
        let outputs = fs::read_to_string(root.join("machine/output")).unwrap();
        assert!(outputs.contains("exit-code<<") && outputs.contains("run-id<<"), "{outputs}\n{said}");
        assert!(fs::read_to_string(root.join("machine/summary")).unwrap().starts_with("### db-migrate in staging: "));
        Pipeline { code, said }
    });
}

// --------------------------------------------------------------------------------------------------------------- GitLab CI

#[test]
fn gitlab_ci() {
    promises("gitlab", |world, python, branch| {
        let file = yaml(python, "gitlab-ci.yml");
        let root = world.folder.path().display().to_string();
        let base = world.shell("git merge-base origin/main HEAD");
        world.set("CI_PROJECT_DIR", &root);
        world.set("CI_PIPELINE_ID", "4711");
        world.set("CI_JOB_ID", "1234567890");
        world.set("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.trim());
        world.set("AWS_TOKEN", "token");
        let jobs: &[&str] = if branch == OnBranch::Main { &["migrate", "deploy"] } else { &["migrate-branch"] };
        let (mut code, mut said) = (0, String::new());
        for job in jobs {
            let job = extended(&file, job);
            for (name, value) in job["variables"].as_object().unwrap() {
                let mut value = value.to_string().trim_matches('"').to_owned();
                // The longest name first: `$CI` is the beginning of others.
                let mut known: Vec<_> = world.env.iter().collect();
                known.sort_by_key(|it| std::cmp::Reverse(it.0.len()));
                for (name, is) in known {
                    value = value.replace(&format!("${name}"), is);
                }
                // The engine is the one of the test's machine.
                if name != "DOCKER_HOST" && name != "DOCKER_TLS_CERTDIR" {
                    world.set(name, value);
                }
            }
            let lines = |key: &str| -> Vec<String> {
                let lines = job[key].as_array().map(Vec::as_slice).unwrap_or_default();
                lines.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
            };
            let script = [lines("before_script"), lines("script")].concat().join("\n");
            let done = world.run(&["bash", "-eo", "pipefail"], &script);
            said.push_str(&done.said);
            world.set("CI_JOB_STATUS", if done.code == 0 { "success" } else { "failed" });
            let after = world.run(&["bash", "-eo", "pipefail"], &lines("after_script").join("\n"));
            assert_eq!((after.code, after.said.as_str()), (0, ""), "nothing is to be stopped");
            if done.code != 0 {
                code = done.code;
                break;
            }
        }
        // What the runner does with `CI_PROJECT_DIR.tmp`.
        let _ = fs::remove_dir_all(format!("{root}.tmp"));
        Pipeline { code, said }
    });
}

/// A job with what it extends, tables merged.
fn extended(file: &Value, name: &str) -> Value {
    fn merge(below: &mut Value, above: &Value) {
        match (below, above) {
            (Value::Object(below), Value::Object(above)) => {
                for (key, value) in above {
                    merge(below.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            (below, above) => *below = above.clone(),
        }
    }
    let job = &file[name];
    assert!(job.is_object(), "no job {name}");
    let mut whole = match job["extends"].as_str() {
        Some(parent) => extended(file, parent),
        None => Value::Object(serde_json::Map::new()),
    };
    merge(&mut whole, job);
    whole
}

// ---------------------------------------------------------------------------------------------------------------- CircleCI

#[test]
fn circleci() {
    promises("circle", |world, python, branch| {
        let file = yaml(python, "circleci.yml");
        let path = world.env["PATH"].clone();
        world.set("CIRCLE_OIDC_TOKEN_V2", "token");
        world.set("CIRCLE_WORKFLOW_JOB_ID", "0d2b3e0a-1f1c-4c0e-9d0e-4a6d9a5f8c11");
        let jobs: &[&str] = if branch == OnBranch::Main { &["migrate", "deploy"] } else { &["migrate-branch"] };
        let deploy =
            file["workflows"]["deploy"]["jobs"].as_array().unwrap().iter().find(|it| it.get("deploy").is_some());
        assert_eq!(deploy.unwrap()["deploy"]["requires"][0], "migrate");
        let (mut code, mut said) = (0, String::new());
        'jobs: for job in jobs {
            // A machine of its own, but for what the cache brings.
            let bash_env = world.folder.path().join("machine/bash-env");
            fs::write(&bash_env, "").unwrap();
            world.set("BASH_ENV", bash_env.display().to_string());
            let mut steps: Vec<Value> = Vec::new();
            for step in file["jobs"][job]["steps"].as_array().unwrap() {
                match step.as_str().filter(|it| *it != "checkout") {
                    Some(name) => steps.extend(file["commands"][name]["steps"].as_array().unwrap().clone()),
                    None => steps.push(step.clone()),
                }
            }
            for step in steps.iter().filter(|it| it.get("run").is_some()) {
                let done = world.run(&["bash", "-eo", "pipefail"], text(&step["run"], "command"));
                said.push_str(&done.said);
                if done.code != 0 {
                    code = done.code;
                    break 'jobs;
                }
            }
        }
        world.env.remove("BASH_ENV");
        world.set("PATH", path);
        Pipeline { code, said }
    });
}

// ----------------------------------------------------------------------------------------------------------------- Jenkins

#[test]
fn jenkins() {
    promises("jenkins", |world, _, branch| {
        let file = fs::read_to_string(examples().join("Jenkinsfile")).unwrap();
        let root = world.folder.path().display().to_string();
        let commit = world.shell("git rev-parse HEAD");
        world.set("WORKSPACE_TMP", format!("{root}/machine/workspace@tmp"));
        // Its run id is made of these.
        assert!(file.contains(r#"RUN_ID = "j-${env.BUILD_NUMBER}-${env.GIT_COMMIT}""#));
        world.set("RUN_ID", format!("j-12345-{}", commit.trim()));
        let (mut code, mut said) = (0, String::new());
        for (stage, script) in jenkins_stages(&file) {
            let wanted = match branch {
                OnBranch::Main => stage != "Migrate branch",
                OnBranch::Work => stage == "Tool" || stage == "Migrate branch",
            };
            if wanted {
                let done = world.run(&["sh", "-e"], &script);
                said.push_str(&done.said);
                if done.code != 0 {
                    code = done.code;
                    break;
                }
            }
        }
        Pipeline { code, said }
    });
}

/// The stages in their order, each with its `sh` step; what stands in `post` is no stage.
fn jenkins_stages(file: &str) -> Vec<(String, String)> {
    let (stages, _) = file.split_once("    post {").expect("it has a post section");
    let mut found = Vec::new();
    for stage in stages.split("stage('").skip(1) {
        let name = stage.split('\'').next().unwrap().to_owned();
        let (_, rest) = stage.split_once("sh '").expect("each stage has one sh step");
        let script = match rest.strip_prefix("''") {
            Some(rest) => rest.split_once("'''").unwrap().0.replace("\\\n", ""),
            None => rest.split_once("'\n").unwrap().0.to_owned(),
        };
        found.push((name, script));
    }
    assert_eq!(
        found.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(),
        ["Tool", "Migrate", "Migrate branch", "Deploy"]
    );
    found
}
