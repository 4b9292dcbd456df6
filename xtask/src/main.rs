//! The binary: everything is in the library.

fn main() -> std::process::ExitCode {
    xtask::main(std::env::args_os())
}
