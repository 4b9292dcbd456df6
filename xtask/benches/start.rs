//! What it costs to start: `xtask list` beside an empty program, and `cargo xtask list` whole beside them. Prints medians and ratios,
//! and writes them into docs/performance.md.
//!
//!     cargo bench --profile xtask --package xtask --bench start

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const RUNS: usize = 41;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    let folder = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let empty = empty_program(&folder);

    #[expect(clippy::disallowed_methods, reason = "a benchmark times processes from outside")]
    let command = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut rows = [
        ("fn main() {}", command(&empty, &[]), Vec::new()),
        ("xtask list", command(Path::new(env!("CARGO_BIN_EXE_xtask")), &["list"]), Vec::new()),
        ("xtask --help", command(Path::new(env!("CARGO_BIN_EXE_xtask")), &["--help"]), Vec::new()),
        ("cargo xtask list", command(&cargo, &["xtask", "list"]), Vec::new()),
    ];
    // In turn, so that a machine that slows down slows all of them; the first round warms up.
    for round in 0..=RUNS {
        for (name, command, times) in &mut rows {
            let start = Instant::now();
            let status = command.status().expect("it starts");
            let time = start.elapsed();
            assert!(status.success(), "{name} failed");
            if round > 0 {
                times.push(time);
            }
        }
    }
    std::fs::remove_dir_all(&folder).expect("the temporary folder is ours");

    let base = page::Spread::of_times(&rows[0].2).median;
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, _, times)| {
            let spread = page::Spread::of_times(times);
            let over = format!("{:+.1}", spread.median - base);
            vec![format!("`{name}`"), spread.to_string(), over, format!("{:.1}", spread.median / base)]
        })
        .collect();
    let table = page::table(&["", "ms", "over the empty one", "ratio"], &rows);
    let text = format!(
        "`cargo bench --profile xtask --package xtask --bench start`, medians of {RUNS} (least–most), {}\n\n{table}",
        page::setting()
    );
    println!("{text}");
    page::write("start", &text);
}

/// Compiles `fn main() {}`.
fn empty_program(folder: &Path) -> PathBuf {
    let source = folder.join("empty.rs");
    std::fs::write(&source, "fn main() {}\n").expect("the temporary folder is writable");
    let program = folder.join("empty");
    #[expect(clippy::disallowed_methods, reason = "a benchmark, not the tool")]
    let status = Command::new("rustc").arg(&source).arg("-o").arg(&program).status().expect("rustc is on PATH");
    assert!(status.success(), "rustc failed");
    program
}
