//! What the benchmarks share: `docs/performance.md`, of which each rewrites its own sections, the setting that figures were measured
//! in, and medians. A benchmark takes it in with `mod page;`, under `#[expect(dead_code)]` where it needs a part of it only.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Rewrites what stands between `<!-- name -->` and `<!-- /name -->` of docs/performance.md; at its end where there is no such
/// section yet. Benchmarks that run side by side wait for each other.
pub fn write(name: &str, body: &str) {
    let path = root().join("docs/performance.md");
    let lock = File::options().read(true).write(true).open(&path).expect("docs/performance.md is there");
    lock.lock().expect("it can be locked");
    let mut text = String::new();
    (&lock).read_to_string(&mut text).expect("it can be read");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    if !text.contains(&begin) {
        write!(text, "\n{begin}{end}\n").expect("a string takes it");
    }
    let from = text.find(&begin).expect("it has just been put there") + begin.len();
    let to = from + text[from..].find(&end).expect("a section that is begun is ended");
    fs::write(&path, format!("{}{}\n{}", &text[..from], body.trim_end(), &text[to..])).expect("it can be written");
}

/// Where and when it was measured, in one sentence: figures of two machines, or of a busy one, say nothing beside each other.
pub fn setting() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|it| it.strip_prefix("model name")?.split_once(':').map(|it| it.1.trim().to_owned()))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let on = if load.is_empty() { String::new() } else { format!(", load {load} at the end") };
    format!("{cores} cores of {processor}, {} {}{on}.", std::env::consts::OS, kernel.trim())
}

/// The median, with the least and the most: the spread.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        Spread { min: at(0), median: at(sorted.len() / 2), max: at(sorted.len().saturating_sub(1)) }
    }

    /// In milliseconds.
    pub fn of_times(times: &[Duration]) -> Spread {
        Spread::of(&times.iter().map(|it| it.as_secs_f64() * 1000.0).collect::<Vec<_>>())
    }
}

/// `median (min–max)`, with as many decimals as are worth something.
impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = match self.median {
            it if it >= 100.0 => 0,
            it if it >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

/// A Markdown table.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        writeln!(text, "| {} |", row.join(" | ")).expect("a string takes it");
    }
    text
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
