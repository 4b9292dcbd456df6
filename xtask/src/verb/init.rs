//! `init`: a commented tasks.toml to begin with, fitted to what the folder holds, and its schema for editors where the repository has
//! none in `xtask/`. Never overwrites anything.

use std::path::Path;

use crate::config::schema;
use crate::cx::TASKS_FILE;
use crate::error::{Error, Result};

/// What a framework's repository is recognised by, and its commands.
struct Framework {
    /// A file in the root.
    file: &'static str,
    migrate: &'static str,
    console: &'static str,
}

/// The first that fits is taken.
const FRAMEWORKS: &[Framework] = &[
    Framework { file: "bin/rails", migrate: r#"["bin/rails", "db:migrate"]"#, console: r#"["bin/rails", "console"]"# },
    Framework {
        file: "manage.py",
        migrate: r#"["python", "manage.py", "migrate"]"#,
        console: r#"["python", "manage.py", "shell"]"#,
    },
    Framework {
        file: "artisan",
        migrate: r#"["php", "artisan", "migrate", "--force"]"#,
        console: r#"["php", "artisan", "tinker"]"#,
    },
    Framework { file: "alembic.ini", migrate: r#"["alembic", "upgrade", "head"]"#, console: r#"["python"]"# },
    Framework {
        file: "prisma/schema.prisma",
        migrate: r#"["npx", "prisma", "migrate", "deploy"]"#,
        console: r#"["node"]"#,
    },
    Framework { file: "bin/console", migrate: r#"["bin/migrate"]"#, console: r#"["bin/console"]"# },
];

/// The schema's name beside tasks.toml, in a repository that depends on this crate and has no copy of it.
const SCHEMA_FILE: &str = "tasks.schema.json";

/// Writes tasks.toml, or the file of `--file`, and says what to do next.
pub fn init(current: &Path, file: Option<&Path>) -> Result<String> {
    let path = current.join(file.unwrap_or(Path::new(TASKS_FILE)));
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().filter(|_| !path.is_dir())) else {
        return Err(Error::refused(format!("`{}` is a folder", path.display()))
            .hint(format!("give the file's name too: --file {}", path.join(TASKS_FILE).display())));
    };
    let shown = file.map_or_else(|| TASKS_FILE.to_owned(), |it| it.display().to_string());
    if !folder.is_dir() {
        return Err(Error::refused(format!(
            "cannot write `{shown}`: the folder `{}` does not exist",
            folder.display()
        ))
        .hint("make it first"));
    }
    if !write_new(&path, &template(folder))? {
        return Err(Error::refused(format!("{shown} exists already"))
            .hint("edit it, or move it away first; it was not changed"));
    }
    // The file is found by its usual name alone.
    let flag = if name == TASKS_FILE && file.is_none() { String::new() } else { format!(" --file {shown}") };
    if schema_of(folder) == SCHEMA_FILE {
        write_new(&folder.join(SCHEMA_FILE), &schema::text())?;
    }
    Ok(format!(
        "wrote {shown}: put your cluster and service into it, then\n\n    \
         cargo xtask run db-migrate -e staging --dry-run{flag}\n\nshows what a run would do, and writes nothing\n"
    ))
}

/// Writes a file that is not there yet. `false`: it is, and stays as it is.
fn write_new(path: &Path, text: &str) -> Result<bool> {
    use std::io::Write;
    let failed = |it: std::io::Error| Error::failed(format!("cannot write `{}`: {it}", path.display()));
    // `create_new`: a file that is there stays as it is, whoever made it a moment ago.
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Where the schema is, seen from the folder: with the copy of this crate, whose parser it describes, else beside tasks.toml.
fn schema_of(folder: &Path) -> &'static str {
    if folder.join(schema::PLACE).exists() { schema::PLACE } else { SCHEMA_FILE }
}

/// The text for this folder.
pub fn template(folder: &Path) -> String {
    let framework = FRAMEWORKS.iter().find(|it| folder.join(it.file).exists());
    let migrate = framework.map_or(r#"["bin/migrate"]"#, |it| it.migrate);
    let console = framework.map_or(r#"["bin/console"]"#, |it| it.console);
    let name = folder.file_name().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default();
    let words: Vec<&str> = name.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty()).collect();
    // ECR wants two characters at least.
    let name = Some(words.join("-")).filter(|it| it.len() >= 2).unwrap_or_else(|| "app".to_owned());
    let schema = schema_of(folder);
    format!(
        r#"#:schema ./{schema}
# The one-off jobs of this application: `cargo xtask` lists them, `cargo xtask run db-migrate` runs one.
# `cargo xtask help tasks.toml` has every key.

default-environment = "local"

[images.app]
context = "."
repository = "{name}" # the ECR repository

[environments.local] # this machine, a plain process
runner = "host"

[environments.docker] # the image, on this machine's docker
runner = "docker"

[environments.staging] # an ECS task beside the service, with the code at hand
region = "eu-west-1"
cluster = "staging"
service = "web" # network, roles and the rest are taken from it
# account = "111122223333" # checked before anything is written

# [environments.production]
# account = "444455556666"
# region = "eu-west-1"
# cluster = "production"
# service = "web"
# protected = true # asks for the environment's name; --yes where there is no terminal

[tasks.db-migrate]
description = "Apply pending database migrations"
image = "app"
command = {migrate}
timeout = "30m"

[tasks.console]
description = "Open a console"
image = "app"
command = {console}
interactive = true
environments = ["local", "docker"]
"#
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::model::Source;

    #[test]
    fn the_template_is_a_good_tasks_file() {
        for (folder, repository) in [
            ("/nowhere/Acme Shop", "acme-shop"),
            ("/", "app"),
            ("/nowhere/___", "app"),
            ("/nowhere/t", "app"),
            ("/a--b", "a-b"),
        ] {
            let text = template(Path::new(folder));
            let config = config::parse(&Arc::new(Source { path: TASKS_FILE.to_owned(), text })).unwrap();
            let found = config.images[0].repository.as_ref().map(|it| it.value.as_str());
            assert_eq!(found, Some(repository));
            assert_eq!(config.tasks.len(), 2);
        }
    }

    #[test]
    fn what_stands_there_is_not_overwritten() {
        let folder = std::env::temp_dir().join(format!("xtask-init-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::write(folder.join("bin/rails"), "").unwrap();
        init(&folder, None).unwrap();
        let written = std::fs::read_to_string(folder.join(TASKS_FILE)).unwrap();
        assert!(written.contains(r#"["bin/rails", "db:migrate"]"#));
        // No copy of this crate here: the schema lies beside it.
        assert!(written.starts_with("#:schema ./tasks.schema.json\n"));
        assert_eq!(std::fs::read_to_string(folder.join(SCHEMA_FILE)).unwrap(), schema::text());
        let error = init(&folder, None).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(std::fs::read_to_string(folder.join(TASKS_FILE)).unwrap(), written);
        // With a copy the schema is in it, and nothing is written beside.
        for file in [TASKS_FILE, SCHEMA_FILE] {
            std::fs::remove_file(folder.join(file)).unwrap();
        }
        std::fs::create_dir_all(folder.join("xtask")).unwrap();
        std::fs::write(folder.join(schema::PLACE), "{}").unwrap();
        init(&folder, None).unwrap();
        let written = std::fs::read_to_string(folder.join(TASKS_FILE)).unwrap();
        assert!(written.starts_with("#:schema ./xtask/tasks.schema.json\n"));
        assert!(!folder.join(SCHEMA_FILE).exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
