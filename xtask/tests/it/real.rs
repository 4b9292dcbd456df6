//! Real parts that a machine may lack: a docker engine, a registry, an AWS emulator. A test without its part says so and passes;
//! where XTASK_REQUIRE_REAL is set, as in `.ci/run`, it fails.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Says that the calling test is skipped, past the capturing of tests that pass.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("XTASK_REQUIRE_REAL").is_none(), "may not be skipped: {why}");
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or("a test"));
}

/// Whether a docker engine answers.
pub fn docker_engine() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    let answers = *ANSWERS.get_or_init(|| {
        let version = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
        version.is_ok_and(|it| it.status.success())
    });
    if !answers {
        skipped("no docker engine");
    }
    answers
}

/// The endpoint of a running ministack, without a slash at its end.
pub fn ministack() -> Option<String> {
    if !docker_engine() {
        return None;
    }
    match std::env::var("XTASK_TEST_MINISTACK") {
        Ok(url) if !url.is_empty() => Some(url),
        _ => {
            skipped("no AWS emulator: start ministack and set XTASK_TEST_MINISTACK to its URL");
            None
        }
    }
}

/// Compiles a Rust program that needs nothing of the system that it runs on.
pub fn static_program(folder: &std::path::Path, name: &str, source: &str) {
    std::fs::write(folder.join(format!("{name}.rs")), source).unwrap();
    let options = ["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"];
    let output = Command::new("rustc")
        .args(options)
        .args(["-o", name, &format!("{name}.rs")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr));
}

/// A program of the virtual environment with tools that others wrote: XTASK_TEST_VENV names its folder.
pub fn python_tool(name: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("XTASK_TEST_VENV").map(std::path::PathBuf::from);
    let found = folder.map(|it| it.join("bin").join(name)).filter(|it| it.is_file());
    if found.is_none() {
        skipped(&format!("no {name}: set XTASK_TEST_VENV to a virtual environment with what .ci/run installs"));
    }
    found
}
