//! stdout that is full, closed or captured, and variables that are no text.

use std::os::unix::ffi::OsStrExt;

use crate::local::{Folder, Ran};

const TASKS: &str = "default-environment = \"local\"\n[environments.local]\nrunner = \"host\"\n[environments.far]\nrunner = \"host\"\n\
                     [tasks.t]\ncommand = [\"sh\", \"-c\", \"echo up; echo ::set-env name=A::b >&2; exit 3\"]\n";

/// A line for sh, in which `$0` is the binary.
fn sh(folder: &Folder, line: &str) -> Ran {
    let mut command = folder.command("bash", &["-c", line, env!("CARGO_BIN_EXE_xtask")]);
    Ran::of(command.env("SET_IN_SHELL", "1").output().unwrap())
}

#[test]
fn what_is_for_its_output_alone_fails_where_that_cannot_be_written() {
    let folder = Folder::new(TASKS);
    for arguments in [
        "",
        "list",
        "list --format json",
        "completions bash",
        "help exit-codes",
        "help tasks.toml --format json",
        "--help",
        "run --help",
        "--version",
    ] {
        let ran = sh(&folder, &format!("\"$0\" {arguments} > /dev/full"));
        assert_eq!(ran.code, Some(125), "{arguments}: {}", ran.err());
        let expected = "error: cannot write to stdout: No space left on device (os error 28)\n";
        assert_eq!(ran.err(), expected, "{arguments}");
        let ran = sh(&folder, &format!("set -o pipefail; \"$0\" {arguments} | true"));
        assert_eq!((ran.code, ran.err().as_str()), (Some(0), ""), "{arguments}");
    }
    let ran = sh(&folder, "\"$0\" init > /dev/full; cat tasks.toml");
    assert!(ran.err().starts_with("error: "), "{}", ran.err());
}

#[test]
fn a_run_goes_on_without_a_stdout() {
    let folder = Folder::new(TASKS);
    for line in ["\"$0\" run t --format json > /dev/full", "\"$0\" run t > /dev/full"] {
        let ran = sh(&folder, line);
        assert_eq!(ran.code, Some(3), "{line}: {}", ran.err());
    }
}

#[test]
fn on_github_a_captured_stdout_holds_the_output_alone() {
    let folder = Folder::new(TASKS);
    let github = "export GITHUB_ACTIONS=true; ";
    for line in [
        "\"$0\" run t > file; cat file",
        "out=$(\"$0\" run t); echo \"$out\"",
        "\"$0\" run t > /dev/null; echo up",
        "x() { \"$0\" run t; }; echo \"$(x)\"",
    ] {
        let ran = sh(&folder, &format!("{github}{line}"));
        assert_eq!(ran.out(), "up\n", "{line}");
        // What the task writes to stderr is in the log, and is guarded there.
        let err = ran.err();
        let (_, guarded) = err.split_once("::stop-commands::").expect("a marker");
        let (token, guarded) = guarded.split_once('\n').unwrap();
        let (guarded, _) = guarded.split_once(&format!("::{token}::\n")).expect("the other marker");
        assert!(guarded.contains("::set-env name=A::b\n"), "{line}: {err}");
    }
    // Here it is the log, or may be.
    for line in ["\"$0\" run t", "exec \"$0\" run t", "\"$0\" run t | cat", "\"$0\" run t 2>&1"] {
        let ran = sh(&folder, &format!("{github}{line}"));
        assert!(ran.out().contains("::stop-commands::"), "{line}: {}", ran.out());
    }
}

#[test]
fn a_variable_that_is_no_text_does_not_count_as_unset() {
    let folder = Folder::new(TASKS);
    for name in ["XTASK_ENV", "AWS_PROFILE", "AWS_REGION"] {
        for arguments in [&["run", "t"][..], &["check"], &["ps", "-e", "far"], &["run", "t", "--format", "json"]] {
            let mut command = folder.xtask(arguments);
            let ran = Ran::of(command.env(name, std::ffi::OsStr::from_bytes(b"f\xe4r")).output().unwrap());
            assert_eq!(ran.code, Some(2), "{name} {arguments:?}: {}", ran.err());
            let both = format!("{}{}", ran.out(), ran.err());
            assert!(both.contains(&format!("the variable {name} is not UTF-8")), "{both}");
        }
    }
}

#[test]
fn mistakes_are_named() {
    let folder = Folder::new(TASKS);
    std::fs::write(folder.path().join("latin.toml"), b"[tasks.t]\n# gr\xfcn\n").unwrap();
    let nul = "[environments.local]\nrunner = \"host\"\n[tasks.t]\ncommand = [\"sh\", \"-c\", \"a\\u0000b\"]\n";
    std::fs::write(folder.path().join("nul.toml"), nul).unwrap();
    for (line, said) in [
        ("\"$0\" list --file latin.toml", "`latin.toml` is not UTF-8: the byte 0xfc in line 2, column 5"),
        ("\"$0\" list --file nul.toml", "the argument has a NUL character"),
        ("\"$0\" run t --region ''", "expected a name, not nothing"),
        ("\"$0\" run t -e \"$UNSET\"", "expected a name, not nothing"),
        ("\"$0\" stop -e far", "nothing is named to be stopped"),
        ("\"$0\" stop -e far", "or --run RUN"),
    ] {
        let ran = sh(&folder, line);
        assert!(ran.code == Some(2) && ran.err().contains(said), "{line}: {:?} {}", ran.code, ran.err());
    }
    let github = "export GITHUB_ACTIONS=true GITHUB_OUTPUT=/no/such/file GITHUB_STEP_SUMMARY=/no/summary; \"$0\" run t";
    let ran = sh(&folder, github);
    assert_eq!((ran.code, ran.err().matches("cannot write to `/no/such/file`").count()), (Some(3), 1), "{}", ran.err());
}

#[test]
fn init_writes_the_file_that_is_named() {
    let folder = Folder::new(TASKS);
    std::fs::create_dir(folder.path().join("ops")).unwrap();
    let ran = folder.run(&["init", "--file", "ops/jobs.toml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains("wrote ops/jobs.toml") && ran.out().contains("--file ops/jobs.toml"), "{}", ran.out());
    assert_eq!(folder.read("tasks.toml"), TASKS);
    assert_eq!(folder.run(&["list", "--file", "ops/jobs.toml"]).code, Some(0));
    for (file, said) in [
        ("ops/jobs.toml", "ops/jobs.toml exists already"),
        ("ops", "is a folder"),
        ("none/tasks.toml", "does not exist"),
    ] {
        let ran = folder.run(&["init", "--file", file]);
        assert!(ran.code == Some(2) && ran.err().contains(said), "{file}: {}", ran.err());
    }
}

#[test]
fn reads_that_nobody_answers_say_what_they_wait_for_and_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Connections are taken and held.
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let folder = Folder::new(&format!(
        "[environments.far]\ncluster = \"c\"\ntask-definition = \"d\"\nregion = \"eu-west-1\"\nendpoint-url = \"{url}\"\n\
         [tasks.t]\nimage = \"deployed\"\ncommand = [\"x\"]\n"
    ));
    for arguments in [&["ps"][..], &["stop", "0123"]] {
        let mut command = folder.xtask(arguments);
        command.args(["-e", "far"]).env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let ran = Ran::of(command.env("XTASK_TEST_SPEED", "60").output().unwrap());
        assert_eq!((ran.code, ran.out().as_str()), (Some(125), ""), "{arguments:?}: {}", ran.err());
        let waits = format!("still waiting for an answer of AWS at {url}");
        assert!(ran.err().contains(&waits), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains(&format!("no answer of AWS at {url} within 2m")), "{arguments:?}: {}", ran.err());
    }
}
