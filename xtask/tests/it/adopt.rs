//! Another repository takes the tool in, as README says. `.ci/run` builds it there; here it is enough that cargo accepts it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Folder;

/// Copies a folder, as `cp -r` does.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn a_workspace_needs_two_folders_and_a_member() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let manifest = readme.split("```toml\n# Cargo.toml").nth(1).unwrap().split("```").next().unwrap();

    let folder = Folder::new();
    copy(crate_folder, &folder.path().join("xtask"));
    copy(&root.join(".cargo"), &folder.path().join(".cargo"));
    fs::remove_dir_all(folder.path().join("xtask/tests")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), format!("# Cargo.toml{manifest}")).unwrap();
    // Only so that cargo asks no registry here.
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();

    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--no-deps"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("warning"), "{told}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(metadata["packages"].as_array().unwrap().len(), 1);
    assert_eq!(metadata["packages"][0]["name"], "xtask");
}

/// The lints are written twice, because a copied folder can inherit nothing.
#[test]
fn the_lints_are_those_of_the_workspace() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lints = |path: &Path, prefix: &str| {
        let text = fs::read_to_string(path).unwrap();
        let from = text.find(&format!("[{prefix}lints.rust]")).unwrap();
        let lines = text[from..].lines().take_while(|it| !it.starts_with("# What"));
        lines.filter(|it| !it.is_empty()).map(|it| it.replace(prefix, "")).collect::<Vec<_>>().join("\n")
    };
    let own = lints(&crate_folder.join("Cargo.toml"), "");
    assert_eq!(own, lints(&crate_folder.parent().unwrap().join("Cargo.toml"), "workspace."));
}
