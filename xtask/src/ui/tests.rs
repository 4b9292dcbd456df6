//! The threads: order, a stdout that is closed, a stdout that nobody reads.

use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::error::Problem;
use crate::model::{Outcome, Runner};

const LOOKS: Looks = Looks {
    paint: Paint(false),
    redraw: false,
    stdout_is_terminal: false,
    quiet: false,
    verbose: false,
    timings: false,
    columns: None,
};

/// A Ui on pipes. `patience`: long where the order counts, short where stdout is known to be stuck.
fn piped(options: UiOptions, looks: Looks, patience: Duration) -> (Ui, PipeReader, PipeReader) {
    let (stdout_reader, stdout) = io::pipe().expect("a pipe can be made");
    let (stderr_reader, stderr) = io::pipe().expect("a pipe can be made");
    let streams = Streams {
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        size: Box::new(|| USUAL_SIZE),
        patience,
        fate: Arc::default(),
        product: false,
    };
    (Ui::with(options, looks, streams, false), stdout_reader, stderr_reader)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made").block_on(future)
}

fn text_of(mut reader: PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("the output is text");
    text
}

fn warning(message: &str) -> Event {
    Event::Warning { message: message.to_owned(), hint: None }
}

/// A stream that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<std::sync::Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("the output is text")
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn writers_of_the_caller_have_everything_at_once() {
    let (stdout, stderr) = (Kept::default(), Kept::default());
    let ui = Ui::to_writers(UiOptions::default(), stdout.clone(), stderr.clone());
    // More than may wait for a slow stream: nothing waits here.
    let large = "x".repeat(UNWRITTEN as usize * 1024);
    block_on(async {
        ui.emit(samples::resolved(Runner::Host));
        for _ in 0..3 {
            ui.log(vec![samples::log(&large)]).await;
        }
        assert_eq!(stdout.text().len(), 3 * (large.len() + 1));
        ui.sync().await;
        ui.print("three\n");
        assert!(stdout.text().ends_with("three\n"));
        let other = ui.clone();
        ui.close().await;
        other.emit(warning("late"));
        other.sync().await;
    });
    assert_eq!(stderr.text(), "    Resolved the task in staging, on this machine; run r-1\n");
}

#[test]
fn a_writer_that_fails_is_told_and_harms_nothing() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stderr = Kept::default();
    let ui = Ui::to_writers(UiOptions::default(), Full, stderr.clone());
    block_on(async {
        ui.log(vec![samples::log("one")]).await;
        ui.log(vec![samples::log("two")]).await;
        ui.close().await;
    });
    assert_eq!(stderr.text(), "warning: cannot write to stdout: no storage space; the run goes on\n");
}

#[test]
fn everything_is_written_in_order_before_close_returns() {
    let (ui, stdout, stderr) = piped(UiOptions::default(), LOOKS, PATIENCE);
    let other = ui.clone();
    block_on(async {
        ui.emit(samples::resolved(Runner::Host));
        ui.log(vec![samples::log("one"), samples::log("two")]).await;
        ui.print("three\n");
        ui.error(&Problem::new("cannot go on").hint("stop").failed());
        ui.close().await;
    });
    // Said after the end: lost, and no harm.
    other.emit(warning("late"));
    block_on(other.sync());
    assert_eq!(text_of(stdout), "one\ntwo\nthree\n");
    assert_eq!(
        text_of(stderr),
        "    Resolved the task in staging, on this machine; run r-1\nerror: cannot go on\n  hint: stop\n"
    );
}

#[test]
fn the_two_streams_keep_their_order_where_they_are_the_same() {
    let (both, stdout) = io::pipe().expect("a pipe can be made");
    let stderr = stdout.try_clone().expect("a pipe can be cloned");
    let patience = Duration::from_secs(60);
    let streams = Streams {
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        size: Box::new(|| USUAL_SIZE),
        patience,
        fate: Arc::default(),
        product: false,
    };
    let ui = Ui::with(UiOptions::default(), LOOKS, streams, false);
    let mut expected = String::new();
    block_on(async {
        for number in 0..200 {
            ui.log(vec![samples::log(&format!("out {number}"))]).await;
            ui.emit(warning(&format!("err {number}")));
            expected.push_str(&format!("out {number}\nwarning: err {number}\n"));
        }
        ui.close().await;
    });
    assert_eq!(text_of(both), expected);
}

#[test]
fn without_close_the_end_of_the_last_clone_writes_the_rest() {
    let (ui, stdout, stderr) = piped(UiOptions::default(), LOOKS, PATIENCE);
    let clone = ui.for_task("other");
    ui.print("a");
    drop(ui);
    clone.print("b");
    drop(clone);
    assert_eq!((text_of(stdout), text_of(stderr)), ("ab".to_owned(), String::new()));
}

#[test]
fn a_closed_stdout_is_told_once_and_the_run_goes_on() {
    for format in [Format::Human, Format::Json] {
        let (ui, stdout, stderr) = piped(UiOptions { format, ..UiOptions::default() }, LOOKS, PATIENCE);
        drop(stdout);
        block_on(async {
            for number in 0..100 {
                ui.log(vec![samples::log(&number.to_string())]).await;
                ui.sync().await;
            }
            ui.emit(warning("still here"));
            ui.close().await;
        });
        let mut expected = "warning: stdout is closed; the run goes on\n".to_owned();
        if format == Format::Human {
            expected.push_str("warning: still here\n");
        }
        assert_eq!(text_of(stderr), expected, "{format:?}");
    }
}

#[test]
fn a_closed_stderr_is_nothing_to_stop_for() {
    let (ui, stdout, stderr) = piped(UiOptions::default(), LOOKS, PATIENCE);
    drop(stderr);
    block_on(async {
        ui.emit(warning("nobody reads this"));
        ui.log(vec![samples::log("one")]).await;
        ui.emit(warning("nor this"));
        ui.close().await;
    });
    assert_eq!(text_of(stdout), "one\n");
}

/// Polls once, without a runtime.
fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_stdout_that_nobody_reads_stops_neither_the_caller_nor_stderr() {
    let (ui, stdout, stderr) = piped(UiOptions::default(), LOOKS, Duration::from_millis(1));
    let mut stderr = BufReader::new(stderr);
    // A batch of a bit over 128 KiB: the pipe takes a fraction of the first, and its permits come back only when all is written.
    let line = "x".repeat(1023);
    let batch = || vec![samples::log(&line); 128];
    let mut taken = 0;
    let mut refused = pin!(ui.log(batch()));
    while poll_once(ui.log(batch())).is_ready() {
        taken += 1;
    }
    assert_eq!(taken, 3, "what is not written is bounded");
    assert!(refused.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());

    // Events still go out, in their order and at once.
    ui.emit(warning("SIGINT: stopping the ECS task"));
    ui.emit(Event::Finished(Box::new(samples::ending(Outcome::Interrupted, 130))));
    let mut told = String::new();
    while !told.contains("Interrupted the task: interrupted; exit code 130") {
        assert_ne!(stderr.read_line(&mut told).expect("stderr is text"), 0);
    }
    assert!(told.starts_with("warning: SIGINT: stopping the ECS task\n"), "{told}");
    // What was promised to be written is not said to be before it is.
    let mut sync = pin!(ui.sync());
    assert!(sync.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());

    // As soon as somebody reads, everything comes, whole and in order.
    let reader = std::thread::spawn(move || text_of(stdout));
    block_on(refused);
    block_on(sync);
    block_on(ui.clone().close());
    let whole = format!("{line}\n").repeat(4 * 128);
    assert!(reader.join().expect("the reader ends") == whole, "512 KiB arrive as they were");
}

#[test]
fn a_million_lines_need_no_more_than_their_bound() {
    let (ui, stdout, stderr) = piped(UiOptions::default(), LOOKS, PATIENCE);
    let reader = std::thread::spawn(move || {
        let mut expected = 0;
        for line in BufReader::new(stdout).lines() {
            assert_eq!(line.expect("stdout is text"), expected.to_string());
            expected += 1;
        }
        expected
    });
    block_on(async {
        for page in 0..100 {
            let lines = (page * 10_000..(page + 1) * 10_000).map(|it| samples::log(&it.to_string()));
            ui.log(lines.collect()).await;
        }
        ui.close().await;
    });
    assert_eq!(reader.join().expect("the reader ends"), 1_000_000);
    assert_eq!(text_of(stderr), "");
}

#[test]
fn json_on_stdout_is_nothing_but_events() {
    let options = UiOptions { format: Format::Json, task: Some("db-migrate".to_owned()), ..UiOptions::default() };
    let (ui, stdout, stderr) = piped(options, Looks { verbose: true, ..LOOKS }, PATIENCE);
    block_on(async {
        ui.note("a detail");
        ui.emit(samples::resolved(Runner::Host));
        ui.for_task("other").emit(warning("careful"));
        ui.error(&Problem::new("broken").failed());
        ui.close().await;
    });
    let stdout = text_of(stdout);
    let mut heads = Vec::new();
    for line in stdout.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        heads.push(format!("{} {} {}", value["event"], value["task"], value["version"]));
    }
    assert_eq!(heads, [r#""resolved" "db-migrate" 1"#, r#""warning" "other" null"#, r#""error" "db-migrate" null"#]);
    assert_eq!(text_of(stderr), "        Note a detail\n");
}

#[test]
fn githubs_files_are_appended_to() {
    let folder = std::env::temp_dir().join(format!("xtask-ui-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let (summary, output) = (folder.join("summary"), folder.join("output"));
    std::fs::write(&output, "earlier=1\n").expect("a file can be written");
    let github_files =
        GithubFiles { summary: Some(summary.clone()), output: Some(output.clone()), folder: None, captured: false };
    let options = UiOptions { github: true, github_files, task: Some("t".to_owned()), ..UiOptions::default() };
    let (ui, stdout, stderr) = piped(options, LOOKS, PATIENCE);
    block_on(async {
        for event in samples::run() {
            ui.emit(event);
        }
        ui.close().await;
    });
    let read = |path| std::fs::read_to_string(path).expect("the file is there");
    assert!(read(&output).starts_with("earlier=1\nrun-id<<"), "{}", read(&output));
    assert!(read(&summary).starts_with("### t in staging: exit code 1"), "{}", read(&summary));
    let stdout = text_of(stdout);
    let (first, rest) = stdout.split_once('\n').expect("there are lines");
    let token = first.strip_prefix("::stop-commands::").expect("the output is guarded");
    assert_eq!(token.len(), "xtask-".len() + 32);
    let commands = rest.strip_prefix(&format!("== CreateUsers: migrating\nboom\n::{token}::\n"));
    assert!(commands.is_some_and(|it| it.lines().all(|it| it.starts_with("::"))), "{rest}");
    assert!(!text_of(stderr).contains("cannot write"));
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");

    // A file that cannot be written is a warning.
    let github_files = GithubFiles { summary: Some(folder.join("gone/summary")), ..GithubFiles::default() };
    let options = UiOptions { github: true, github_files, task: Some("t".to_owned()), ..UiOptions::default() };
    let (ui, stdout, stderr) = piped(options, LOOKS, PATIENCE);
    drop(stdout);
    block_on(async {
        ui.emit(Event::Finished(Box::new(samples::ending(Outcome::Succeeded, 0))));
        ui.close().await;
    });
    let told = text_of(stderr);
    assert!(told.contains("warning: cannot write to `") && told.contains("gone/summary`: "), "{told}");
}

#[test]
fn a_question_is_on_stderr_before_anything_is_read() {
    let (ui, stdout, stderr) = piped(UiOptions::default(), LOOKS, PATIENCE);
    assert!(!ui.can_ask());
    let mut stderr = BufReader::new(stderr);
    // Only the first part of `ask`: the rest reads this process's stdin.
    let (reply, written) = oneshot::channel();
    ui.send(Message::Ask("Type `production`: ".to_owned(), reply));
    block_on(written).expect("it is written");
    let mut question = vec![0; 19];
    stderr.read_exact(&mut question).expect("the question is there");
    assert_eq!(question, b"Type `production`: ");
    drop(stdout);
    for (line, expected) in [
        ("production\n", Some("production")),
        ("production\r\n", Some("production")),
        ("\n", Some("")),
        ("", None),
        ("produc", None),
    ] {
        assert_eq!(typed_line(line).as_deref(), expected, "{line:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_size_is_the_terminals() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal can be opened");
    grantpt(&controller).expect("it can be granted");
    unlockpt(&controller).expect("it can be unlocked");
    let name = ptsname(&controller, Vec::new()).expect("it has a name");
    let terminal = std::fs::File::options()
        .write(true)
        .open(std::ffi::OsStr::new(name.to_str().expect("it is text")))
        .expect("it can be opened");
    assert_eq!(size_of(&terminal), USUAL_SIZE, "a new one has no size");
    tcsetwinsize(&controller, Winsize { ws_row: 45, ws_col: 123, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("it can be sized");
    assert_eq!(size_of(&terminal), Size { columns: 123, rows: 45 });
    assert_eq!(size_of(io::pipe().expect("a pipe can be made").1), USUAL_SIZE);
}
