//! What git says about the work tree.

use std::path::Path;
use std::time::Duration;

use xshell::{Shell, cmd};

use super::{Captured, capture_whole};
use crate::error::{Error, Result};
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

/// What [`changed`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// There is nothing to compare with, as for the first push of a branch: everything is new.
    NoBase,
    /// The files that match, relative to `root`, and the commit that they differ from.
    Files {
        /// The commit from which this work tree's branched off.
        since: String,
        /// The paths, sorted.
        files: Vec<String>,
    },
}

/// The files below `root` that match one of the patterns and differ from where HEAD branched off `base`: in commits, in the work tree, or
/// because git does not know them yet. Patterns are git's own: `*` stays in a folder, `**` does not, a folder means all in it, and
/// `!` leaves files out.
pub async fn changed(sh: &Shell, root: &Path, base: &str, patterns: &[String]) -> Result<Changes> {
    // What GitHub gives as the commit before the first push of a branch.
    if base.len() >= 40 && base.bytes().all(|it| it == b'0') {
        return Ok(Changes::NoBase);
    }
    let failed = |why: String| {
        if why.starts_with("not a git repository") {
            return Error::refused(format!("cannot tell what changed: `{}` is in no git repository", root.display()))
                .hint("run it in a clone, or leave --if-changed out");
        }
        Error::refused(format!("cannot tell what changed since `{base}`: {why}")).hint(
            "fetch that branch with its history first: `git fetch origin BRANCH`; a CI checkout needs all of it (`fetch-depth: 0`)",
        )
    };
    let ask = async |cmd: xshell::Cmd<'_>| -> Result<String> {
        let captured = capture_whole(cmd, None).await?;
        let complaint = captured.complaint().trim_start_matches("fatal: ").to_owned();
        match good(captured) {
            Some(captured) => Ok(String::from_utf8_lossy(&captured.stdout).into_owned()),
            None if complaint.is_empty() => Err(failed("it has no commit in common with HEAD here".to_owned())),
            None => Err(failed(complaint)),
        }
    };
    let commit = format!("{base}^{{commit}}");
    let commit = ask(cmd!(sh, "git -C {root} rev-parse --verify --end-of-options {commit}")).await?;
    let commit = commit.trim();
    let since = ask(cmd!(sh, "git -C {root} merge-base {commit} HEAD")).await?.trim().to_owned();
    let patterns: Vec<String> = patterns
        .iter()
        .map(|it| match it.strip_prefix('!') {
            Some(it) => format!(":(exclude,glob){it}"),
            None => format!(":(glob){it}"),
        })
        .collect();
    let patterns = patterns.as_slice();
    let differ = cmd!(
        sh,
        "git --no-optional-locks -C {root} diff --name-only -z --no-renames --no-ext-diff --relative {since} -- {patterns...}"
    );
    let unknown = cmd!(sh, "git -C {root} ls-files --others --exclude-standard -z -- {patterns...}");
    let (differ, unknown) = tokio::join!(ask(differ), ask(unknown));
    let (differ, unknown) = (differ?, unknown?);
    let mut files: Vec<String> =
        differ.split('\0').chain(unknown.split('\0')).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(Changes::Files { since, files })
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
            // Said past the capturing of tests that pass; where nothing may be skipped, it is a failure.
            assert!(std::env::var_os("XTASK_REQUIRE_REAL").is_none(), "may not be skipped: no git");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: no git\n");
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

    #[tokio::test]
    async fn what_changed_since_a_branch() {
        let folder = Folder::new("changed");
        let (sh, root) = (Shell::new().unwrap(), folder.0.join("app"));
        std::fs::create_dir_all(root.join("db/migrate/deep")).unwrap();
        if !git(&sh, &folder.0, &["init", "--quiet", "--initial-branch", "main"]) {
            // Said past the capturing of tests that pass; where nothing may be skipped, it is a failure.
            assert!(std::env::var_os("XTASK_REQUIRE_REAL").is_none(), "may not be skipped: no git");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: no git\n");
            return;
        }
        let write = |name: &str, text: &str| std::fs::write(folder.0.join(name), text).unwrap();
        let save = || assert!(git(&sh, &folder.0, &["add", "."]) && git(&sh, &folder.0, &["commit", "-qm", "x"]));
        let ask = async |base: &str, patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|it| (*it).to_owned()).collect();
            match changed(&sh, &root, base, &patterns).await {
                Ok(Changes::Files { files, .. }) => files,
                Ok(Changes::NoBase) => vec!["no base".to_owned()],
                Err(error) => vec![error.to_string()],
            }
        };
        let migrations: &[&str] = &["db/migrate/**"];
        let none: [&str; 0] = [];
        assert_eq!(
            ask("main", migrations).await,
            ["cannot tell what changed since `main`: Needed a single revision"],
            "no commit yet"
        );
        write("app/db/migrate/1.sql", "1");
        write("app/db/migrate/2.sql", "2");
        write("elsewhere.sql", "1");
        save();
        assert!(git(&sh, &folder.0, &["checkout", "--quiet", "-b", "work"]));
        assert_eq!(ask("main", migrations).await, none);
        // In a commit, outside of the folder of tasks.toml, and in a folder below.
        write("elsewhere.sql", "2");
        write("app/other.rb", "2");
        save();
        assert_eq!(ask("main", migrations).await, none);
        assert_eq!(ask("main", &["*.rb"]).await, ["other.rb"]);
        assert_eq!(ask("main", &["**"]).await, ["other.rb"]);
        write("app/db/migrate/deep/ü 3.sql", "3");
        save();
        assert_eq!(ask("main", migrations).await, ["db/migrate/deep/ü 3.sql"]);
        assert_eq!(ask("main", &["db/migrate/*.sql"]).await, none, "one star stays in its folder");
        assert_eq!(ask("main", &["db"]).await, ["db/migrate/deep/ü 3.sql"], "a folder means all in it");
        assert_eq!(ask("main", &["**", "!db/**"]).await, ["other.rb"]);
        // Not committed, and moved away.
        write("app/db/migrate/4.sql", "4");
        assert!(git(&sh, &root, &["mv", "db/migrate/2.sql", "two.sql"]));
        assert_eq!(ask("main", migrations).await, ["db/migrate/2.sql", "db/migrate/4.sql", "db/migrate/deep/ü 3.sql"]);
        save();
        // What came to main meanwhile is not this branch's.
        assert!(git(&sh, &folder.0, &["checkout", "--quiet", "main"]));
        write("app/db/migrate/9.sql", "9");
        save();
        assert!(git(&sh, &folder.0, &["checkout", "--quiet", "work"]));
        assert_eq!(ask("main", &["db/migrate/9.sql"]).await, none);

        assert_eq!(ask(&"0".repeat(40), migrations).await, ["no base"]);
        assert_eq!(
            ask("origin/main", migrations).await,
            ["cannot tell what changed since `origin/main`: Needed a single revision"]
        );
        assert_eq!(
            ask("--help", migrations).await,
            ["cannot tell what changed since `--help`: Needed a single revision"]
        );
        assert!(git(&sh, &folder.0, &["checkout", "--quiet", "--orphan", "strange"]));
        save();
        assert_eq!(
            ask("main", migrations).await,
            ["cannot tell what changed since `main`: it has no commit in common with HEAD here"]
        );
    }
}
