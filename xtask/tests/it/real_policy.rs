//! `policy` against an AWS that others wrote and that enforces IAM's actions (moto): runs pass with what it prints, and fail with each
//! single action left out. moto knows neither resources of ECS nor conditions, so resources are widened to `*` here; `policy.rs` holds those.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::fake::definitions::text;
use crate::harness::{Docker, Ran, Test};
use crate::iam::Policy;
use crate::real::skipped;

/// moto, in a process of its own.
struct Enforcer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    endpoint: String,
}

impl Enforcer {
    /// XTASK_TEST_MOTO_PYTHON is a python that has moto.
    fn start() -> Option<Enforcer> {
        let Some(python) = std::env::var("XTASK_TEST_MOTO_PYTHON").ok().filter(|it| !it.is_empty()) else {
            skipped("no AWS emulator that enforces IAM: set XTASK_TEST_MOTO_PYTHON to a python with moto[server]");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/policy/enforcer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the python of XTASK_TEST_MOTO_PYTHON starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, mut stdout) = (stdin.expect("it is a pipe"), BufReader::new(stdout.expect("it is a pipe")));
        let port = line(&mut stdout);
        Some(Enforcer { child, stdin, stdout, endpoint: format!("http://127.0.0.1:{port}") })
    }

    /// A world of which nothing has run yet, for a caller with this policy. `still`: ECS tasks run for seconds, if they are not stopped.
    fn world(&mut self, policy: &Value, still: bool) -> Test {
        writeln!(self.stdin, "{}", json!({ "policy": policy, "still": still })).expect("moto is there");
        let keys: Value = serde_json::from_str(&line(&mut self.stdout)).expect("it answers with keys");
        let test = Test::new().docker(Docker::new()).tasks(&TASKS.replace("{endpoint}", &self.endpoint));
        test.file("Dockerfile", "FROM scratch\n")
            .env("AWS_ACCESS_KEY_ID", text(&keys, "id"))
            .env("AWS_SECRET_ACCESS_KEY", text(&keys, "secret"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("XTASK_TEST_SPEED", "60")
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let read = from.read_line(&mut line).expect("moto's answer is text");
    assert!(read > 0, "moto has ended: is moto[server] installed there?");
    line.trim().to_owned()
}

const TASKS: &str = r#"
[images.app]
repository = "acme/app"
create-repository = true

[environments.staging]
endpoint-url = "{endpoint}"
region = "eu-west-1"
cluster = "staging"
service = "web"
task-role = "web"
execution-role = "execution"

[tasks.short]
image = "app"
command = ["short"]

[tasks.slow]
image = "app"
command = ["slow"]
timeout = "2s"
"#;

fn allow(actions: &[String]) -> Value {
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

fn run(enforcer: &mut Enforcer, task: &str, actions: &[String]) -> Ran {
    let test = enforcer.world(&allow(actions), task == "slow");
    test.run(&format!("run {task} -e staging"))
}

#[test]
fn it_is_enough_and_every_action_is_needed() {
    let Some(mut enforcer) = Enforcer::start() else { return };
    let everything = ["*".to_owned()];
    let expected: BTreeSet<String> = xtask::permissions::CALLS
        .iter()
        .flat_map(|it| it.grants)
        .filter(|it| it.proof == xtask::permissions::Proof::Emulated)
        .map(|it| it.action.to_owned())
        .collect();
    let mut shown = BTreeSet::new();
    for task in ["short", "slow"] {
        let test = enforcer.world(&allow(&everything), false);
        let policy = test.run(&format!("policy -e staging {task}")).code(0);
        let policy = Policy(serde_json::from_str(&policy.stdout_text()).expect("a policy is JSON"));
        let actions = policy.actions();

        // What happens where nothing is denied.
        let best = run(&mut enforcer, task, &everything);
        let best_code = if task == "slow" { 124 } else { 0 };
        assert_eq!(best.exit_code(), Some(best_code), "{}", best.all());
        let enough = run(&mut enforcer, task, &actions);
        assert!(!enough.stderr_text().contains("AccessDenied"), "{}", enough.all());
        assert_eq!(enough.exit_code(), best.exit_code(), "{}\n{}", best.all(), enough.all());
        assert!(enough.stderr_text().contains("Launched"), "{}", enough.all());

        // moto does not enforce the others: docs/policy.md has AWS's word for them.
        let to_show: Vec<&String> =
            actions.iter().filter(|it| expected.contains(*it) && !shown.contains(*it)).collect();
        for left_out in to_show {
            let others: Vec<String> = actions.iter().filter(|it| *it != left_out).cloned().collect();
            let ran = run(&mut enforcer, task, &others);
            if ran.stderr_text().contains("AccessDenied") {
                // Said is not enough: it must end otherwise, too. Only the output can be missing from a run that is as good as its task.
                if left_out != "logs:GetLogEvents" {
                    assert_ne!(ran.exit_code(), best.exit_code(), "{left_out}: {}", ran.all());
                }
                shown.insert(left_out.clone());
            }
        }
    }
    assert_eq!(shown, expected, "shown to be needed, and said to be");
}
