//! `init`: a commented tasks.toml to begin with, fitted to what the folder holds. Never overwrites one.

use std::path::Path;

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

/// Writes tasks.toml into the folder and says what to do next.
pub fn init(folder: &Path) -> Result<String> {
    use std::io::Write;
    let path = folder.join(TASKS_FILE);
    // `create_new`: a file that is there stays as it is, whoever made it a moment ago.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::refused(format!("{TASKS_FILE} exists already"))
            .hint("edit it, or move it away first; it was not changed"),
        _ => Error::failed(format!("cannot write `{}`: {error}", path.display())),
    })?;
    file.write_all(template(folder).as_bytes())
        .map_err(|it| Error::failed(format!("cannot write `{}`: {it}", path.display())))?;
    Ok(format!(
        "wrote {TASKS_FILE}: put your cluster and service into it, then\n\n    \
         cargo xtask run db-migrate -e staging --dry-run\n\nshows what a run would do, and writes nothing\n"
    ))
}

/// The text for this folder.
pub fn template(folder: &Path) -> String {
    let framework = FRAMEWORKS.iter().find(|it| folder.join(it.file).exists());
    let migrate = framework.map_or(r#"["bin/migrate"]"#, |it| it.migrate);
    let console = framework.map_or(r#"["bin/console"]"#, |it| it.console);
    let name = folder.file_name().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "app" } else { name };
    format!(
        r#"# The one-off jobs of this application: `cargo xtask` lists them, `cargo xtask run db-migrate` runs one.
# README.md of xtask has every key.

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
        for (folder, repository) in [("/nowhere/Acme Shop", "acme-shop"), ("/", "app"), ("/nowhere/___", "app")] {
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
        init(&folder).unwrap();
        let written = std::fs::read_to_string(folder.join(TASKS_FILE)).unwrap();
        assert!(written.contains(r#"["bin/rails", "db:migrate"]"#));
        let error = init(&folder).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert_eq!(std::fs::read_to_string(folder.join(TASKS_FILE)).unwrap(), written);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
