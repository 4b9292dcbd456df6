//! The ECS tasks that completion offers. A shell waits for completion, and AWS takes longer than that: what is offered is what the last look
//! at AWS has left in a file of the user's cache, and a process in the background looks again where that is old.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::digest;

use crate::cx::TasksFile;
use crate::error::Result;
use crate::flags::Everywhere;
use crate::ours;
use crate::stage::find;
use crate::tools;
use crate::ui::Ui;
use crate::verb::complete::Candidate;
use crate::verb::reach;

/// A younger list is not asked for again.
const FRESH: Duration = Duration::from_secs(10);
/// An older one says nothing any more: ECS forgets an ECS task within about an hour.
const STALE: Duration = Duration::from_secs(3600);
/// A look that takes longer is given up; another begins no sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// An ECS task of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// The task's name in tasks.toml.
    pub task: String,
    /// The run that it belongs to; may be empty.
    pub run: String,
    /// ECS's word.
    pub status: String,
    /// Who started it; may be empty.
    pub by: String,
}

impl Known {
    /// Whether it is over.
    pub fn is_stopped(&self) -> bool {
        matches!(self.status.as_str(), "STOPPED" | "DELETED")
    }

    /// What it is, for the person who chooses.
    pub fn candidate(&self, word: &str) -> Candidate {
        let by = if self.by.is_empty() { String::new() } else { format!(", by {}", self.by) };
        Candidate { word: word.to_owned(), help: format!("{}, {}{by}", self.task, self.status) }
    }
}

/// The list of an environment.
#[derive(Debug)]
pub struct Ids {
    path: PathBuf,
}

impl Ids {
    /// That of the environment of a tasks file, as the user reaches it. `None`: there is no place for it.
    pub fn of(
        file: &TasksFile,
        environment: &str,
        profile: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Ids> {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        // Another profile may be another account.
        let profile = profile.map(str::to_owned).or_else(|| variable("AWS_PROFILE")).unwrap_or_default();
        // The path in the source depends on where one stands.
        let file_name = Path::new(&file.source.path).file_name().unwrap_or_default().to_string_lossy();
        let name = [&file.root.display().to_string(), &*file_name, environment, &profile].join("\n");
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let hash: String = hash.as_ref().iter().take(8).map(|it| format!("{it:02x}")).collect();
        Some(Ids { path: cache.join("xtask").join(format!("ids-{hash}")) })
    }

    /// What the last look has left.
    pub fn known(&self) -> Vec<Known> {
        if self.age().is_none_or(|it| it > STALE) {
            return Vec::new();
        }
        read(&fs::read_to_string(&self.path).unwrap_or_default())
    }

    /// Whether somebody should look.
    pub fn is_old(&self) -> bool {
        self.age().is_none_or(|it| it > FRESH) && age(&self.mark()).is_none_or(|it| it > PATIENCE)
    }

    /// Has a process look that outlives this one. What goes wrong is nobody's to see.
    pub fn look_in_background(&self, everywhere: &Everywhere, environment: &str) {
        let Ok(program) = std::env::current_exe() else { return };
        let Some(folder) = self.path.parent() else { return };
        // Before it starts: a shell may complete again meanwhile.
        if make_folder(folder).and_then(|()| fs::write(self.mark(), "")).is_err() {
            return;
        }
        let mut arguments = vec!["complete".into(), "--refresh".into(), "--env".into(), environment.into()];
        for (flag, value) in [("--profile", &everywhere.profile), ("--region", &everywhere.region)] {
            arguments.extend(value.iter().flat_map(|it| [flag.into(), it.into()]));
        }
        if let Some(file) = &everywhere.file {
            arguments.extend(["--file".into(), file.clone().into_os_string()]);
        }
        tools::in_background(&program, &arguments);
    }

    /// Looks, and leaves the list.
    pub async fn look(&self, file: &TasksFile, everywhere: &Everywhere, ui: &Ui) -> Result<()> {
        let look = async {
            let grounds = reach::grounds(file, everywhere, ui).await?;
            let found = find::list(&grounds, None).await?;
            Ok::<_, crate::error::Error>(
                found
                    .iter()
                    .map(|it| Known {
                        id: it.task.id().to_owned(),
                        task: it.name.clone(),
                        run: ours::run_id(&it.task).unwrap_or_default().to_owned(),
                        status: it.task.last_status.clone().unwrap_or_default(),
                        by: ours::run_by(&it.task).map(ours::caller).unwrap_or_default().to_owned(),
                    })
                    .collect::<Vec<_>>(),
            )
        };
        let known = match tokio::time::timeout(PATIENCE, look).await {
            Ok(known) => known?,
            Err(_) => return Ok(()),
        };
        // Whole or not at all, for whoever reads meanwhile.
        let new = self.path.with_extension("new");
        let _ = fs::write(&new, lines(&known)).and_then(|()| fs::rename(&new, &self.path));
        let _ = fs::remove_file(self.mark());
        Ok(())
    }

    fn age(&self) -> Option<Duration> {
        age(&self.path)
    }

    /// There while somebody looks.
    fn mark(&self) -> PathBuf {
        self.path.with_extension("looking")
    }
}

fn age(path: &Path) -> Option<Duration> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(modified).unwrap_or_default())
}

/// The user's own: who runs what is not everyone's business.
fn make_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

/// A line an ECS task, tabs between the fields.
fn lines(known: &[Known]) -> String {
    let clean = |text: &str| text.replace(|it: char| it.is_control(), " ");
    known
        .iter()
        .map(|it| {
            let fields = [&it.id, &it.task, &it.run, &it.status, &it.by].map(|it| clean(it));
            format!("{}\n", fields.join("\t"))
        })
        .collect()
}

fn read(text: &str) -> Vec<Known> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next();
        Some(Known { id: next()?, task: next()?, run: next()?, status: next()?, by: next()? })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let known = |id: &str, by: &str| Known {
            id: id.to_owned(),
            task: "db-migrate".to_owned(),
            run: String::new(),
            status: "RUNNING".to_owned(),
            by: by.to_owned(),
        };
        let all = [known("0123", "jo@laptop"), known("4567", "")];
        assert_eq!(read(&lines(&all)), all);
        // A field cannot end another's.
        assert_eq!(read(&lines(&[known("0123", "a\tb\nc")])), [known("0123", "a b c")]);
        assert_eq!(read("0123\tdb-migrate\n\nx"), []);
        assert_eq!(all[0].candidate("0123").help, "db-migrate, RUNNING, by jo@laptop");
    }
}
