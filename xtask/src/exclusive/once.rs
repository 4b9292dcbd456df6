//! `--once`: what makes two ECS tasks the same, as far as DescribeTasks tells it: image, command, variables and commit.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::model::{EcsTask, Outcome};
use crate::plan::{COMMIT, OURS};
use crate::verdict::verdict;

/// What a run is going to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Same {
    container: String,
    /// The hash of the task definition with the image in it.
    hash: String,
    /// The ARN of the revision that runs, where it is known already.
    definition: Option<String>,
    image: String,
    command: Option<Vec<String>>,
    variables: BTreeMap<String, String>,
    commit: Option<String>,
}

impl Same {
    /// `run_task`: the request in ECS's JSON. `hash` and `definition`: of the revision; `image`: in it.
    pub fn new(container: &str, run_task: &Value, image: &str, hash: &str, definition: Option<&str>) -> Same {
        let of_container = run_task.pointer("/overrides/containerOverrides/0");
        let command = of_container.and_then(|it| it.get("command")).and_then(Value::as_array);
        let command: Option<Vec<String>> =
            command.map(|it| it.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let variables = of_container.and_then(|it| it.get("environment")).and_then(Value::as_array);
        let mut variables: BTreeMap<String, String> = variables
            .into_iter()
            .flatten()
            .filter_map(|it| Some((it.get("name")?.as_str()?.to_owned(), it.get("value")?.as_str()?.to_owned())))
            .collect();
        let commit = variables.remove(COMMIT);
        variables.retain(|name, _| !OURS.contains(&name.as_str()));
        Same {
            container: container.to_owned(),
            hash: hash.to_owned(),
            definition: definition.map(str::to_owned),
            image: image.to_owned(),
            command: command.filter(|it| !it.is_empty()),
            variables,
            commit,
        }
    }

    /// The commit, where it says all: a dirty work tree's is not what ran.
    fn clean_commit(&self) -> Option<&str> {
        self.commit.as_deref().filter(|it| !it.ends_with("+dirty"))
    }

    /// The digest that the image is named by.
    fn digest(&self) -> Option<&str> {
        self.image.split_once('@').map(|(_, digest)| digest)
    }

    /// The name of the place that only the same shares: every caller that is about to start the same gives it this name.
    pub fn place(&self) -> String {
        let program = match (self.clean_commit(), self.digest()) {
            (Some(commit), Some(digest)) => format!("{digest} {commit}"),
            _ => self.hash.clone(),
        };
        let text = serde_json::json!([program, self.command, self.variables]).to_string();
        let hex: String =
            digest(&SHA256, text.as_bytes()).as_ref().iter().take(8).map(|it| format!("{it:02x}")).collect();
        format!("once-{hex}")
    }

    /// Whether an ECS task runs (or ran) the same.
    ///
    /// Image and commit make the program, where both say all; else only the same revision does: of a dirty work tree, or of a tag that may
    /// point to something else today, the rest is not known.
    pub fn is(&self, task: &EcsTask) -> bool {
        let Some(overridden) = &task.overridden else { return false };
        let mut variables = overridden.variables.clone();
        let commit = variables.remove(COMMIT);
        variables.retain(|name, _| !OURS.contains(&name.as_str()));
        if overridden.command != self.command || variables != self.variables || commit != self.commit {
            return false;
        }
        let same_revision = self.definition.is_some() && task.task_definition_arn == self.definition;
        let image = task.container(&self.container).and_then(|it| it.image_digest.as_deref());
        same_revision || (self.clean_commit().is_some() && image.is_some() && image == self.digest())
    }

    /// Whether an ECS task has done it already.
    pub fn is_done_by(&self, task: &EcsTask) -> bool {
        task.is_stopped() && self.is(task) && verdict(task, &self.container, None).outcome == Outcome::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{EcsContainer, Overridden};

    fn same(commit: &str, image: &str, definition: Option<&str>) -> Same {
        let environment =
            [("A", "1"), ("XTASK_RUN_ID", "r2"), ("XTASK_COMMIT", commit), ("XTASK_PLACE", "exclusive/1")];
        let environment: Vec<Value> =
            environment.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let run_task = json!({ "overrides": { "containerOverrides": [
            { "name": "web", "command": ["migrate"], "environment": environment },
        ] } });
        Same::new("web", &run_task, image, "hash", definition)
    }

    fn task(commit: &str, digest: &str, definition: &str) -> EcsTask {
        let variables = [("A", "1"), ("XTASK_RUN_ID", "r1"), ("XTASK_RUN_BY", "x"), ("XTASK_COMMIT", commit)];
        EcsTask {
            task_definition_arn: Some(definition.to_owned()),
            last_status: Some("STOPPED".to_owned()),
            stop_code: Some("EssentialContainerExited".to_owned()),
            overridden: Some(Overridden {
                container: "web".to_owned(),
                command: Some(vec!["migrate".to_owned()]),
                variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            }),
            containers: vec![EcsContainer {
                name: "web".to_owned(),
                exit_code: Some(0),
                image_digest: Some(digest.to_owned()),
                ..EcsContainer::default()
            }],
            ..EcsTask::default()
        }
    }

    #[test]
    fn the_same_is_image_command_variables_and_commit() {
        let clean = same("c1", "r/app@sha256:1", None);
        for (what, task, expected) in [
            ("the same", task("c1", "sha256:1", "f:1"), true),
            ("another commit", task("c2", "sha256:1", "f:1"), false),
            ("another image", task("c1", "sha256:2", "f:1"), false),
            ("no image known", task("c1", "", "f:1"), false),
        ] {
            assert_eq!(clean.is(&task), expected, "{what}");
        }
        let mut other = task("c1", "sha256:1", "f:1");
        other.overridden.as_mut().unwrap().variables.insert("B".to_owned(), "2".to_owned());
        assert!(!clean.is(&other), "another variable");
        let mut other = task("c1", "sha256:1", "f:1");
        other.overridden.as_mut().unwrap().command = None;
        assert!(!clean.is(&other), "another command");
    }

    #[test]
    fn what_a_dirty_tree_or_a_tag_leaves_open_only_the_same_revision_answers() {
        for (commit, image) in [("c1+dirty", "r/app@sha256:1"), ("c1", "r/app:latest")] {
            assert!(!same(commit, image, None).is(&task(commit, "sha256:1", "f:1")));
            assert!(!same(commit, image, Some("f:2")).is(&task(commit, "sha256:1", "f:1")));
            assert!(same(commit, image, Some("f:1")).is(&task(commit, "sha256:1", "f:1")));
        }
    }

    #[test]
    fn only_a_success_of_its_own_is_remembered() {
        let same = same("c1", "r/app@sha256:1", None);
        let mut done = task("c1", "sha256:1", "f:1");
        assert!(same.is_done_by(&done));
        done.stop_code = Some("UserInitiated".to_owned());
        assert!(!same.is_done_by(&done), "it was stopped");
        done.stop_code = Some("EssentialContainerExited".to_owned());
        done.containers[0].exit_code = Some(1);
        assert!(!same.is_done_by(&done), "it failed");
        done.last_status = Some("RUNNING".to_owned());
        assert!(!same.is_done_by(&done) && same.is(&done), "it still runs");
    }

    #[test]
    fn the_place_of_the_same_is_the_same_for_all() {
        let one = same("c1", "r/app@sha256:1", None);
        assert_eq!(one.place(), same("c1", "other/app@sha256:1", Some("f:7")).place());
        assert_eq!(one.place().len(), "once-0123456789abcdef".len());
        assert_ne!(one.place(), same("c2", "r/app@sha256:1", None).place());
        assert_ne!(one.place(), same("c1", "r/app@sha256:2", None).place());
        assert_ne!(same("c1+dirty", "r/app@sha256:1", None).place(), one.place());
    }
}
