//! A run's private docker configuration: the user's own, except that the login of one registry stays in it. So the login neither lands
//! in a keychain nor outlives the run, while contexts, plugins, builders and credential helpers for base images work as ever.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};
use xshell::Shell;

use crate::error::{Error, Result};

/// What docker looks for beside config.json. The three `.pem` files are the keys of an engine reached by TLS.
const LINKED: &[&str] = &["contexts", "cli-plugins", "buildx", "trust", "ca.pem", "cert.pem", "key.pem"];

/// The folder, removed when this is dropped.
#[derive(Debug)]
pub struct PrivateConfig {
    folder: PathBuf,
}

impl PrivateConfig {
    /// Copies the user's configuration (`users`: its folder, if there is one) into a folder that only this user can read.
    pub fn create(users: Option<&Path>, registry: &str) -> Result<PrivateConfig> {
        let text = match users.map(|it| it.join("config.json")) {
            Some(file) => match fs::read(&file) {
                Ok(text) => Some((file, text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(unusable(&file, &error.to_string())),
            },
            None => None,
        };
        let config = match &text {
            Some((file, text)) => with_login_in_file(text, registry).map_err(|it| unusable(file, &it))?,
            None => with_login_in_file(b"{}", registry).expect("an empty object is valid"),
        };

        let folder = std::env::temp_dir().join(format!("xtask-docker-{}", random()?));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|it| cannot_create(&folder, &it))?;
        // From here on it is removed again whatever happens.
        let private = PrivateConfig { folder };
        let file = private.folder.join("config.json");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut it| it.write_all(&config))
            .map_err(|it| cannot_create(&file, &it))?;
        for name in LINKED {
            if let Some(users) = users.map(|it| it.join(name)).filter(|it| it.exists()) {
                let link = private.folder.join(name);
                symlink(users, &link).map_err(|it| cannot_create(&link, &it))?;
            }
        }
        Ok(private)
    }

    /// For DOCKER_CONFIG.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for PrivateConfig {
    fn drop(&mut self) {
        // Links are removed, not followed. Nobody could do anything about a failure here, and the login in it ends by itself.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the user's configuration: DOCKER_CONFIG, or `.docker` in the home directory.
pub fn users_folder(sh: &Shell) -> Option<PathBuf> {
    let set = |name: &str| sh.var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|it| it.join(".docker")))?;
    // Links must point to the same place from wherever they are followed.
    std::path::absolute(folder).ok()
}

/// The same configuration, except that the credentials of this one host are kept in the file itself: an empty name of a helper says so.
fn with_login_in_file(config: &[u8], registry: &str) -> Result<Vec<u8>, String> {
    let config: Value = match config.iter().all(u8::is_ascii_whitespace) {
        // docker takes an empty file too.
        true => Value::Object(Map::new()),
        false => serde_json::from_slice(config).map_err(|it| it.to_string())?,
    };
    let Value::Object(mut config) = config else { return Err("it is not a JSON object".to_owned()) };
    match config.entry("credHelpers").or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(helpers) => {
            helpers.insert(registry.to_owned(), Value::String(String::new()));
        }
        other if other.is_null() => *other = serde_json::json!({ registry: "" }),
        _ => return Err("`credHelpers` is not an object".to_owned()),
    }
    serde_json::to_vec_pretty(&config).map_err(|it| it.to_string())
}

fn random() -> Result<String> {
    let mut bytes = [0; 8];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled
        .map_err(|_| Error::failed("cannot make a private docker configuration: the system gives no random bytes"))?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect())
}

fn unusable(file: &Path, cause: &str) -> Error {
    Error::failed(format!("cannot read docker's configuration {}: {cause}", file.display()))
        .hint("mend it, or set DOCKER_CONFIG to another folder")
}

fn cannot_create(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot make a private docker configuration: {}: {error}", path.display()))
        .hint("set TMPDIR to a folder that can be written to")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_entry_of_the_registry_changes() {
        for (config, expected) in [
            ("{}", r#"{"credHelpers":{"r.example":""}}"#),
            ("", r#"{"credHelpers":{"r.example":""}}"#),
            (r#"{"credHelpers":null}"#, r#"{"credHelpers":{"r.example":""}}"#),
            (
                r#"{"credsStore":"keychain","currentContext":"remote","credHelpers":{"r.example":"ecr-login","o":"x"},"n":1.50}"#,
                r#"{"credsStore":"keychain","currentContext":"remote","credHelpers":{"r.example":"","o":"x"},"n":1.5}"#,
            ),
        ] {
            let written: Value =
                serde_json::from_slice(&with_login_in_file(config.as_bytes(), "r.example").unwrap()).unwrap();
            assert_eq!(written.to_string(), expected);
        }
        for bad in ["[]", "{", r#"{"credHelpers":[]}"#] {
            assert!(with_login_in_file(bad.as_bytes(), "r.example").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_folder_is_private_linked_and_removed_without_following_links() {
        let users = std::env::temp_dir().join(format!("xtask-test-{}", random().unwrap()));
        fs::create_dir_all(users.join("contexts/meta")).unwrap();
        fs::write(users.join("config.json"), "{\"credsStore\": \"x\"}").unwrap();
        let private = PrivateConfig::create(Some(&users), "r.example").unwrap();
        let folder = private.folder().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("config.json"))), (0o700, 0o600));
        assert!(folder.join("contexts/meta").is_dir());
        assert!(!folder.join("cli-plugins").exists());
        drop(private);
        assert!(!folder.exists());
        assert!(users.join("contexts/meta").is_dir());
        assert_eq!(fs::read_to_string(users.join("config.json")).unwrap(), "{\"credsStore\": \"x\"}");
        fs::remove_dir_all(users).unwrap();
    }
}
