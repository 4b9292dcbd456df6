//! What git says about the work tree.

use std::path::Path;
use std::time::Duration;

use xshell::{Shell, cmd};

use super::{Captured, capture_whole};
use crate::model::Commit;

/// A run does not wait longer than this for the state of a huge work tree or one on a slow disk.
const PATIENCE: Duration = Duration::from_secs(3);

/// The commit that is checked out in `root`, and whether the work tree differs from it. `None` without git, without a repository or a
/// commit in it, and where git refuses to read it (another user's, a broken one): a run does not need it.
///
/// Where git takes too long to look at every file, the work tree counts as dirty: nobody can say that it is clean.
pub async fn commit(sh: &Shell, root: &Path) -> Option<Commit> {
    let head = cmd!(sh, "git -C {root} rev-parse --verify HEAD");
    // Without the lock, a commit that the user makes meanwhile does not fail on ours.
    let status = cmd!(sh, "git --no-optional-locks -C {root} status --porcelain --untracked-files=normal");
    let (head, status) = tokio::join!(
        tokio::time::timeout(PATIENCE, capture_whole(head, None)),
        tokio::time::timeout(PATIENCE, capture_whole(status, None)),
    );
    let id = String::from_utf8(good(head.ok()?.ok()?)?.stdout).ok()?.trim().to_owned();
    let is_id = id.len() >= 40 && id.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_id {
        return None;
    }
    let dirty = match status {
        Ok(status) => !good(status.ok()?)?.stdout.is_empty(),
        Err(_) => true,
    };
    Some(Commit { id, dirty })
}

fn good(captured: Captured) -> Option<Captured> {
    captured.ended.success().then_some(captured)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed at its end.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("xtask-git-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn git(sh: &Shell, root: &Path, arguments: &[&str]) -> bool {
        // Neither the user's nor the machine's configuration (signing, hooks) has a say in the test.
        let command = cmd!(sh, "git -C {root} -c user.name=test -c user.email=test@example.com {arguments...}");
        let command = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command.quiet().ignore_stderr().output().is_ok_and(|it| it.status.success())
    }

    #[tokio::test]
    async fn the_commit_and_whether_the_tree_differs() {
        let folder = Folder::new("states");
        let (sh, root) = (Shell::new().unwrap(), folder.0.as_path());
        assert_eq!(commit(&sh, root).await, None, "no repository");
        if !git(&sh, root, &["init", "--quiet"]) {
            println!("skipped: no git");
            return;
        }
        assert_eq!(commit(&sh, root).await, None, "no commit yet");
        std::fs::write(root.join("a"), "1").unwrap();
        assert!(git(&sh, root, &["add", "a"]) && git(&sh, root, &["commit", "--quiet", "-m", "one"]));
        let clean = commit(&sh, root).await.unwrap();
        assert!(!clean.dirty && clean.id.len() == 40, "{clean:?}");
        std::fs::write(root.join("a"), "2").unwrap();
        assert_eq!(commit(&sh, root).await, Some(Commit { dirty: true, ..clean.clone() }), "a tracked file differs");
        std::fs::write(root.join("a"), "1").unwrap();
        std::fs::write(root.join("b"), "").unwrap();
        assert_eq!(commit(&sh, root).await, Some(Commit { dirty: true, ..clean.clone() }), "an untracked file");
        std::fs::write(root.join(".gitignore"), "b\n.gitignore\n").unwrap();
        assert_eq!(commit(&sh, root).await, Some(clean), "an ignored file does not count");
    }
}
