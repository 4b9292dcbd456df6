//! Where the SQLite file is and how it is opened. What is in it belongs to `migrate`.

use crate::error::Error;
use rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that says where the database is.
const VARIABLE: &str = "GUESTBOOK_DATABASE";

/// How long a job waits for another one's transaction. Shards of a backfill write one after the other.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The path in `GUESTBOOK_DATABASE`, else `guestbook.sqlite3` in the working directory. An empty variable is an error:
/// SQLite would take it for a temporary database, and a migration of that would "succeed".
pub fn path(variable: Option<OsString>) -> Result<PathBuf, Error> {
    match variable {
        None => Ok(PathBuf::from("guestbook.sqlite3")),
        Some(path) if path.is_empty() => Err(Error::Failed(format!("`{VARIABLE}` is set, but empty"))),
        Some(path) => Ok(PathBuf::from(path)),
    }
}

/// Opens the database of this process, and makes it and its directory where they are missing.
pub fn open() -> Result<Connection, Error> {
    open_at(&path(std::env::var_os(VARIABLE))?)
}

/// Opens the database at `path`, and makes it and its directory where they are missing.
pub fn open_at(path: &Path) -> Result<Connection, Error> {
    let cannot_open = || format!("cannot open the database `{}`", path.display());
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| Error::failed(cannot_open(), error))?;
    }
    // Without SQLITE_OPEN_URI: a path that begins with `file:` is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| Error::failed(cannot_open(), error))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_decides_where_the_database_is() {
        assert_eq!(path(None).unwrap(), Path::new("guestbook.sqlite3"));
        assert_eq!(path(Some("/data/a.sqlite3".into())).unwrap(), Path::new("/data/a.sqlite3"));
        assert_eq!(path(Some("".into())).unwrap_err().to_string(), "`GUESTBOOK_DATABASE` is set, but empty");
    }
}
