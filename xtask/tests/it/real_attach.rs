//! `attach`, `logs`, `ps` and `stop` on ministack, an AWS emulator that others wrote: what a killed process left is found again.

use rustix::process::Signal;

use crate::local::{Folder, Running};
use crate::real;
use crate::real_ecs::{command, project, run};

/// Starts a task and kills the process that follows it, once the first line is there. Gives the ARN.
fn crash(folder: &Folder, task: &str, id: &str) -> String {
    let mut running = Running::start(command(folder, &["run", task, "--run-id", id]));
    running.wait_for(&format!("one {id}\n"));
    running.signal(Signal::KILL);
    let ran = running.finish();
    ran.err().lines().find_map(|it| it.trim().strip_prefix("Launched ").map(str::to_owned)).unwrap()
}

#[test]
fn a_killed_run_is_attached_to_with_its_whole_output_and_its_code() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "attach");
    let run_id = format!("crash-{}", std::process::id());
    let arn = crash(&folder, "exit-7", &run_id);
    let id = arn.rsplit('/').next().unwrap();
    for name in [arn.as_str(), id, &id[..12], "exit-7"] {
        let ran = run(&folder, &["attach", name]);
        assert_eq!(ran.code, Some(7), "{name}: {}", ran.err());
        let mut lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, [format!("one {run_id}"), "three, on stderr".to_owned(), "two".to_owned()], "{name}");
    }
    let logs = run(&folder, &["logs", id]);
    assert_eq!((logs.code, logs.out().lines().count()), (Some(0), 3), "{}", logs.err());
    let ps = run(&folder, &["ps", "--all"]);
    let row = ps.out().lines().find(|it| it.contains(id)).map(str::to_owned).unwrap_or_default();
    assert!(row.starts_with("exit-7") && row.contains("exit code 7") && row.contains(&run_id), "{}", ps.out());
    assert!(!run(&folder, &["ps"]).out().contains(id));
}

#[test]
fn what_a_killed_run_left_running_is_listed_and_stopped() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "left");
    let run_id = format!("left-{}", std::process::id());
    let arn = crash(&folder, "long", &run_id);
    let id = arn.rsplit('/').next().unwrap();
    assert!(run(&folder, &["ps"]).out().contains(id));
    // Not a second time, in CI.
    let second = run(&folder, &["run", "long"]);
    assert_eq!(second.code, Some(2), "{}", second.err());
    assert!(second.err().contains(&format!("cargo xtask attach {id}")), "{}", second.err());
    let stopped = run(&folder, &["stop", "--run", &run_id]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.err());
    assert!(
        stopped.out().starts_with("stopped: long") && stopped.out().contains("xtask: stopped by"),
        "{}",
        stopped.out()
    );
    let attached = run(&folder, &["attach", id]);
    assert_eq!(attached.code, Some(125), "{}", attached.err());
    assert!(attached.out().contains(&format!("one {run_id}")));
}
