//! What cargo puts into the environment of a program that it runs, taken out again for our children: `cargo run` as a host
//! entrypoint would otherwise build with another toolchain's variables, and a dynamic loader look into our build's folders.
//!
//! Measured with `cargo run` (1.95) behind rustup: CARGO, CARGO_MANIFEST_*, CARGO_PKG_*, OUT_DIR of a build script, RUSTUP_TOOLCHAIN,
//! RUSTUP_TOOLCHAIN_SOURCE, RUST_RECURSION_COUNT and the front of LD_LIBRARY_PATH (DYLD_FALLBACK_LIBRARY_PATH on macOS). What the user set for
//! cargo (CARGO_HOME, CARGO_TARGET_DIR, CARGO_TERM_COLOR, CARGO_REGISTRIES_*, …) stays.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// The changes that undo cargo's: a name, and the value to set or `None` to remove it. Empty where cargo did not start this process.
pub fn without_cargo(variables: &BTreeMap<OsString, OsString>) -> Vec<(OsString, Option<OsString>)> {
    let has = |name: &str| variables.contains_key(OsStr::new(name));
    if !has("CARGO") || !has("CARGO_MANIFEST_DIR") {
        return Vec::new();
    }
    // rustup says where the toolchain was chosen; `env` means that the user's own RUSTUP_TOOLCHAIN is there.
    let chosen_by_user = variables.get(OsStr::new("RUSTUP_TOOLCHAIN_SOURCE")).is_some_and(|it| it == "env");
    let toolchains = variables.get(OsStr::new("RUSTUP_HOME")).map(|it| Path::new(it).join("toolchains"));
    let mut changes = Vec::new();
    for (name, value) in variables {
        let Some(text) = name.to_str() else { continue };
        let change = match text {
            "CARGO"
            | "CARGO_MANIFEST_DIR"
            | "CARGO_MANIFEST_PATH"
            | "CARGO_CRATE_NAME"
            | "CARGO_BIN_NAME"
            | "CARGO_PRIMARY_PACKAGE"
            | "CARGO_TARGET_TMPDIR"
            | "RUSTUP_TOOLCHAIN_SOURCE"
            | "RUST_RECURSION_COUNT" => None,
            "RUSTUP_TOOLCHAIN" if !chosen_by_user => None,
            "OUT_DIR" if is_build_script_output(Path::new(value)) => None,
            "LD_LIBRARY_PATH" | "DYLD_FALLBACK_LIBRARY_PATH" => match users_part(value, toolchains.as_deref()) {
                Some(rest) if rest == *value => continue,
                rest => rest,
            },
            _ if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_BIN_EXE_") => None,
            _ => continue,
        };
        changes.push((name.clone(), change));
    }
    changes
}

/// `…/build/PACKAGE-HASH/out`.
fn is_build_script_output(path: &Path) -> bool {
    let build = path.parent().and_then(Path::parent).and_then(Path::file_name);
    path.file_name().is_some_and(|it| it == "out") && build.is_some_and(|it| it == "build")
}

/// A library path without cargo's part, which is in front: the build's folders, then the toolchain's. `None` if nothing is left.
fn users_part(value: &OsStr, toolchains: Option<&Path>) -> Option<OsString> {
    let entries: Vec<PathBuf> = std::env::split_paths(value).collect();
    let of_toolchain = |it: &PathBuf| {
        it.components().any(|it| it == Component::Normal(OsStr::new("rustlib")))
            || toolchains.is_some_and(|toolchains| it.starts_with(toolchains))
    };
    let start = entries.iter().position(of_toolchain).unwrap_or(0);
    let rest: Vec<PathBuf> = entries.into_iter().skip(start).skip_while(of_toolchain).collect();
    if rest.is_empty() { None } else { std::env::join_paths(rest).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(variables: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let text = |it: OsString| it.into_string().unwrap();
        without_cargo(&variables).into_iter().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    const RUN: [(&str, &str); 3] =
        [("CARGO", "/r/toolchains/stable/bin/cargo"), ("CARGO_MANIFEST_DIR", "/work"), ("RUSTUP_HOME", "/r")];

    #[test]
    fn cargos_own_go_and_the_users_stay() {
        for (name, value, gone) in [
            ("CARGO_MANIFEST_PATH", "/work/Cargo.toml", true),
            ("CARGO_PKG_VERSION_MAJOR", "0", true),
            ("RUSTUP_TOOLCHAIN", "stable", true),
            ("RUSTUP_TOOLCHAIN_SOURCE", "cli", true),
            ("RUST_RECURSION_COUNT", "1", true),
            ("OUT_DIR", "/work/target/xtask/build/xtask-0123/out", true),
            ("OUT_DIR", "/data/out", false),
            ("CARGO_HOME", "/root/.cargo", false),
            ("CARGO_TARGET_DIR", "/t", false),
            ("CARGO_TERM_COLOR", "always", false),
            ("CARGO_REGISTRIES_ACME_TOKEN", "x", false),
            ("RUST_LOG", "debug", false),
            ("PATH", "/bin", false),
        ] {
            let mut variables = RUN.to_vec();
            variables.push((name, value));
            assert_eq!(changes(&variables).iter().any(|it| it.0 == name), gone, "{name}");
            // Without cargo above us it is the user's, whatever its name is.
            assert_eq!(changes(&[(name, value)]), [], "{name}");
        }
    }

    #[test]
    fn a_toolchain_that_the_user_chose_by_variable_stays() {
        let mut variables = RUN.to_vec();
        variables.extend([("RUSTUP_TOOLCHAIN", "nightly"), ("RUSTUP_TOOLCHAIN_SOURCE", "env")]);
        let changes = changes(&variables);
        assert!(!changes.iter().any(|it| it.0 == "RUSTUP_TOOLCHAIN"), "{changes:?}");
    }

    #[test]
    fn the_users_part_of_the_library_path_is_restored() {
        let lib = "/r/toolchains/stable/lib/rustlib/x86_64-unknown-linux-gnu/lib:/r/toolchains/stable/lib";
        for (value, expected) in [
            (format!("/w/target/xtask/build/a-1/out:/w/target/xtask:/w/target/xtask/deps:{lib}"), Some(None)),
            (format!("/w/target/xtask:/w/target/xtask/deps:{lib}:/opt/a:/opt/b"), Some(Some("/opt/a:/opt/b"))),
            ("/w/target/xtask:/usr/lib/rustlib/x86_64-unknown-linux-gnu/lib:/opt/a".to_owned(), Some(Some("/opt/a"))),
            ("/opt/a:/opt/b".to_owned(), None),
        ] {
            let mut variables = RUN.to_vec();
            variables.push(("LD_LIBRARY_PATH", &value));
            let change = changes(&variables).into_iter().find(|it| it.0 == "LD_LIBRARY_PATH");
            assert_eq!(change.map(|it| it.1), expected.map(|it| it.map(str::to_owned)), "{value}");
        }
    }
}
