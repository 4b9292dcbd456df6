//! An exclusive run that loses, on ministack, an AWS emulator that others wrote: its lists and its Date are enough to find the holder. What
//! client tokens do it does not know, so winning is tested against the fake only (and could take minutes here, at a window's end).

use crate::local::Running;
use crate::real;
use crate::real_ecs::{command, project, run};
use rustix::process::Signal;

#[test]
fn the_loser_hears_of_the_holder_and_can_follow_it() {
    let Some(url) = real::ministack() else { return };
    let folder = project(&url, "exclusive");
    let run_id = format!("holder-{}", std::process::id());
    let mut holder = Running::start(command(&folder, &["run", "long", "--run-id", &run_id]));
    holder.wait_for(&format!("one {run_id}\n"));
    let tasks = folder.read("tasks.toml").replace("[tasks.long]", "[tasks.long]\nexclusive = true");
    std::fs::write(folder.path().join("tasks.toml"), tasks).unwrap();

    let lost = run(&folder, &["run", "long"]);
    assert_eq!(lost.code, Some(125), "{}", lost.err());
    assert!(lost.err().contains("`long` runs already: ECS task") && lost.err().contains(&run_id), "{}", lost.err());

    let mut follower = Running::start(command(&folder, &["run", "long", "--attach-if-running"]));
    follower.wait_for(&format!("one {run_id}\n"));
    follower.signal(Signal::INT);
    assert_eq!(follower.finish().code, Some(130), "it detaches");

    holder.signal(Signal::INT);
    let ended = holder.finish();
    assert_eq!(ended.code, Some(130), "{}", ended.err());
}
