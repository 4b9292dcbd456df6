//! What every verb works with: the folder of tasks.toml, its text and content, the shell for child processes, and the printer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xshell::Shell;

use crate::config;
use crate::error::{Error, Result};
use crate::model::{Config, Source};
use crate::ui::Ui;

/// The name of the tasks file.
pub const TASKS_FILE: &str = "tasks.toml";

/// The tasks file as it was found: read, not parsed.
#[derive(Debug, Clone)]
pub struct TasksFile {
    /// The folder that it is in; relative paths in it start there.
    pub root: PathBuf,
    /// Its text, named as the user would type it.
    pub source: Arc<Source>,
}

impl TasksFile {
    /// Reads the given file, else tasks.toml in the current folder or the nearest one above. `Ok(None)`: there is none.
    pub fn find(file: Option<&Path>) -> Result<Option<TasksFile>> {
        let current =
            std::env::current_dir().map_err(|it| Error::refused(format!("cannot find the current folder: {it}")))?;
        let path = match file {
            Some(file) => current.join(file),
            None => match current.ancestors().map(|it| it.join(TASKS_FILE)).find(|it| it.is_file()) {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        // As short as it can be typed: relative where it is below the current folder.
        let shown = path.strip_prefix(&current).unwrap_or(&path).display().to_string();
        let bytes = std::fs::read(&path).map_err(|it| {
            Error::refused(format!("cannot read `{shown}`: {it}")).hint("give the file's path to --file")
        })?;
        let text = String::from_utf8(bytes).map_err(|it| not_text(&shown, &it))?;
        let root = path.parent().unwrap_or(&current).to_owned();
        Ok(Some(TasksFile { root, source: Arc::new(Source { path: shown, text }) }))
    }

    /// The same, where a verb can't do without.
    pub fn require(file: Option<&Path>) -> Result<TasksFile> {
        TasksFile::find(file)?.ok_or_else(|| {
            Error::refused(format!("there is no {TASKS_FILE} in this folder or in one above"))
                .hint("write one with `cargo xtask init`, or name it with --file")
        })
    }

    /// Parses and checks it.
    pub fn config(&self) -> Result<Config> {
        config::parse(&self.source)
    }
}

fn not_text(shown: &str, error: &std::string::FromUtf8Error) -> Error {
    let (good, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
    let line = good.iter().filter(|it| **it == b'\n').count() + 1;
    let of_line = good.rsplit(|it| *it == b'\n').next().unwrap_or_default();
    let column = String::from_utf8_lossy(of_line).chars().count() + 1;
    let byte = rest.first().copied().unwrap_or_default();
    Error::refused(format!("`{shown}` is not UTF-8: the byte 0x{byte:02x} in line {line}, column {column}"))
        .hint("save the file as UTF-8")
}

/// The first parameter of every stage that needs more than one of these.
#[derive(Debug)]
pub struct Cx {
    /// The folder of tasks.toml.
    pub root: PathBuf,
    /// Starts child processes, in `root`.
    pub sh: Shell,
    /// The printer.
    pub ui: Ui,
    /// tasks.toml, for errors that point into it.
    pub source: Arc<Source>,
}

impl Cx {
    /// The same with another printer.
    pub fn with_ui(&self, ui: Ui) -> Cx {
        Cx { root: self.root.clone(), sh: self.sh.clone(), ui, source: Arc::clone(&self.source) }
    }

    /// For the tasks file that was found.
    pub fn new(file: &TasksFile, ui: Ui) -> Result<Cx> {
        let sh = Shell::new().map_err(|it| Error::failed(format!("cannot find the current folder: {it}")))?;
        sh.change_dir(&file.root);
        Ok(Cx { root: file.root.clone(), sh, ui, source: Arc::clone(&file.source) })
    }

    /// The same for another task of tasks.toml: what is told carries that name.
    pub fn for_task(&self, task: &str) -> Cx {
        Cx {
            root: self.root.clone(),
            sh: self.sh.clone(),
            ui: self.ui.for_task(task),
            source: Arc::clone(&self.source),
        }
    }
}
