//! Another workspace's xtask that hands to this crate what it does not know itself. README shows it.

use xtask as ecs_xtask;

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("codegen") => std::process::ExitCode::SUCCESS, // your own verbs
        _ => ecs_xtask::main(std::env::args_os()),
    }
}
