//! What a person at a terminal sees and types: on a good network, on a bad one, and encrypted. Each test is one sentence of what a
//! console must do, and runs on each of them.

use std::time::Duration;

use super::World;
use crate::gateway::Net;
use crate::harness::{Child, Ran, Running, Signal, Terminal, Test, find_program, has_terminal, wait_until};

/// The networks that everything must work on.
fn networks() -> Vec<(&'static str, Net)> {
    let kms = Net { kms: Some(Some("Y2hhbGxlbmdl".to_owned())), ..Net::default() };
    vec![
        ("good", Net::default()),
        ("bad", Net::bad(3)),
        ("encrypted", kms.clone()),
        ("both", Net { kms: kms.kms, ..Net::bad(5) }),
    ]
}

/// Runs a console on each network: the remote shell's prompt is there, then `act`; then `exit N` must give N, leave the terminal
/// as it was, and no ECS task.
fn on_each_network(code: u8, act: impl Fn(&Running<'_>, &World)) {
    if !has_terminal() {
        return;
    }
    for (name, net) in networks() {
        println!("on a network that is {name}");
        let cuts = net.cuts.len();
        let world = World::new(net);
        let running = world.test.command(["run", "console", "-e", "staging"]).terminal(Terminal::All).start();
        let before = running.settings();
        running.wait_for_stdout("$ ");
        act(&running, &world);
        running.types(&format!("exit {code}\r"));
        let (ran, after) = running.finish_with_settings();
        let ran = ran.code(i32::from(code));
        assert_eq!(before, after, "the terminal is not as it was:\n{}", ran.all());
        assert_eq!(world.fake.alive(), [""; 0], "{}", ran.all());
        let seen = world.gateway.seen();
        if cuts > 0 {
            assert!(seen.mishaps > 0, "nothing happened on the bad network");
            assert_eq!(seen.cuts, 2, "both cuts happened");
        }
        // A cut right at the end is not worth another channel.
        assert!(seen.tokens.len() == 1 + seen.cuts || seen.tokens.len() == seen.cuts, "one token for each channel");
    }
}

#[test]
fn exit_codes_arrive() {
    for code in [0, 7, 130, 255] {
        on_each_network(code, |running, _| {
            for word in ["one", "two", "three"] {
                running.types(&format!("echo {word}-$((40+2))\r"));
                running.wait_for_stdout(&format!("{word}-42"));
            }
        });
    }
}

#[test]
fn the_size_arrives_and_so_does_each_new_one() {
    on_each_network(0, |running, world| {
        running.types("stty size; trap 'stty size' WINCH\r");
        running.wait_for_stdout("30 100\r\n");
        running.resize(77, 22);
        wait_until("the size arrives", || world.gateway.seen().sizes.last() == Some(&(77, 22)));
        running.types("echo; stty size\r");
        running.wait_for_stdout("22 77\r\n");
        assert_eq!(world.gateway.seen().sizes.first(), Some(&(100, 30)));
    });
}

#[test]
fn letters_of_all_kinds_go_both_ways() {
    on_each_network(0, |running, _| {
        running.types("printf '%s\\n' 'Grüße, 世界 🦀' | od -An -tx1 | tr -d ' \\n'; echo\r");
        let hex: String = "Grüße, 世界 🦀\n".bytes().map(|it| format!("{it:02x}")).collect();
        running.wait_for_stdout(&hex);
        running.types("printf '\\342\\206\\222\\360\\237\\246\\200<\\n'\r");
        running.wait_for_stdout("→🦀<");
    });
}

#[test]
fn control_keys_reach_the_remote_side() {
    on_each_network(0, |running, _| {
        // Whenever it comes after that word, the loop hears it.
        running.types("sh -c 'trap \"echo got-int; exit\" INT; echo re''ady; while :; do sleep 0.05; done'\r");
        running.wait_for_stdout("ready\r\n");
        running.types("\x03");
        running.wait_for_stdout("got-int\r\n");
        running.types("cat; echo cat-$((40+2))\r");
        running.wait_for_stdout("cat-$((40+2))\r\n");
        running.types("\x04");
        running.wait_for_stdout("cat-42");
    });
}

#[test]
fn ctrl_z_stops_the_remote_job_and_not_us() {
    if !has_terminal() || find_program("bash").is_none() {
        return;
    }
    on_each_network(0, |running, _| {
        running.types("PS1='b''> ' bash --norc --noprofile\r");
        running.wait_for_stdout("b> ");
        // What says so has the terminal, as bash leaves it to its job. It starts nothing: a shell whose child is stopped before its exec
        // is not stopped itself.
        running.types("sh -c 'echo re\"\"ady; read line'\r");
        running.wait_for_stdout("ready\r\n");
        running.types("\x1a");
        running.wait_for_stdout("Stopped");
        running.types("kill -9 %1; sleep 0.3\r");
        running.wait_for_stdout("Killed");
        running.types("exit\r");
        std::thread::sleep(Duration::from_millis(200));
    });
}

#[test]
fn a_large_paste_arrives_whole() {
    on_each_network(0, |running, _| {
        // 100 kB in lines that a terminal takes.
        let line = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(2);
        let paste: String = (0..1370).map(|it| format!("{it:04} {line}\r")).collect();
        assert!(paste.len() > 100_000, "{}", paste.len());
        running.types("stty -echo; echo re''ady; cksum; echo done-$((40+2))\r");
        running.wait_for_stdout("ready\r\n");
        running.pastes(paste.as_bytes());
        running.types("\x04");
        let expected = cksum(paste.replace('\r', "\n").as_bytes());
        running.wait_for_stdout(&format!("{expected} {}", paste.len()));
        running.types("stty echo\r");
    });
}

#[test]
fn many_lines_come_back_whole() {
    if !has_terminal() {
        return;
    }
    for (name, net) in networks() {
        println!("on a network that is {name}");
        let cuts = net.cuts.len();
        let world = World::new(net);
        let script = "stty -opost; seq 100000; exit 3";
        let command = ["run", "script", "-e", "staging", "--", script];
        let running = world.test.command(command).terminal(Terminal::All).limit(Duration::from_secs(90)).start();
        let ran = running.finish().code(3);
        let text = String::from_utf8_lossy(&ran.terminal).into_owned();
        let expected: String = (1..=100_000).map(|it| format!("{it}\n")).collect();
        assert!(text.contains(&expected), "some of the lines are missing or out of order");
        let seen = world.gateway.seen();
        assert_eq!((seen.cuts, seen.tokens.len()), (cuts, 1 + cuts), "cuts, and a channel after each");
    }
}

#[test]
fn less_and_vi_redraw() {
    if !has_terminal() {
        return;
    }
    let have = |it: &str| find_program(it).is_some();
    if !have("less") || !have("vi") {
        crate::real::skipped("no less or no vi");
    }
    on_each_network(0, |running, _| {
        if have("less") {
            running.types("seq 1 500 | less\r");
            running.wait_for_stdout("\x1b[?1049h");
            running.wait_for_stdout("29\r\n");
            running.types("G");
            running.wait_for_stdout("(END)");
            running.types("q");
            running.wait_for_stdout("\x1b[?1049l");
        }
        if have("vi") {
            running.types("vi -n -u NONE /tmp/xtask-console-test; echo vi-$((40+2))\r");
            running.wait_for_stdout("~");
            std::thread::sleep(Duration::from_millis(300));
            running.types("ihello-from-vi\x1b");
            running.wait_for_stdout("hello-from-vi");
            std::thread::sleep(Duration::from_millis(250));
            running.types(":q!\r");
            running.wait_for_stdout("vi-42");
            running.types("echo back-$((40+2))\r");
            running.wait_for_stdout("back-42");
        }
    });
}

#[test]
fn the_terminal_is_raw_only_while_the_session_is() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = world.test.command(["run", "console", "-e", "staging"]).terminal(Terminal::All).start();
    let before = running.settings();
    running.wait_for_stdout("$ ");
    assert_ne!(running.settings(), before, "raw mode");
    // Suspended from outside, as a shell's `kill -TSTP` does: the terminal is the shell's meanwhile.
    let child: Child = running.child();
    running.signal(Signal::TSTP);
    wait_until("it stops with the terminal as it was", || running.settings() == before);
    std::thread::sleep(Duration::from_millis(100));
    child.signal(Signal::CONT);
    wait_until("it goes on in raw mode", || running.settings() != before);
    running.types("echo still-$((40+2))\r");
    running.wait_for_stdout("still-42");
    // By the escape, as ssh has it.
    running.types("~\x1a");
    wait_until("it stops with the terminal as it was", || running.settings() == before);
    std::thread::sleep(Duration::from_millis(100));
    child.signal(Signal::CONT);
    wait_until("it goes on in raw mode", || running.settings() != before);
    running.types("exit\r");
    let (ran, after) = running.finish_with_settings();
    let _ = ran.code(0);
    assert_eq!(before, after);
}

/// What the next one runs in a terminal of its own.
#[test]
fn panics_in_raw_mode() {
    if std::env::var_os("XTASK_TEST_PANIC").is_none() {
        return;
    }
    // Forgotten: nothing but the hook can restore it.
    std::mem::forget(xtask::tools::terminal::Raw::enter().expect("it has a terminal"));
    panic!("on purpose");
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    if !has_terminal() {
        return;
    }
    let this = std::env::current_exe().expect("a process has a program").display().to_string();
    let script = format!("XTASK_TEST_PANIC=1 exec {this} --exact console::terminal::panics_in_raw_mode --nocapture");
    let test = Test::new().program("panics", &script).instead("panics");
    let running = test.command([""; 0]).terminal(Terminal::All).start();
    let before = running.settings();
    let (ran, after) = running.finish_with_settings();
    let _ = ran.code(101).screen_has("on purpose");
    assert_eq!(before, after);
}

#[test]
fn the_escape_ends_a_dead_session() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net { cuts: vec![3], dead_after_cut: true, ..Net::default() });
    let running = world.test.command(["run", "console", "-e", "staging"]).terminal(Terminal::All).start();
    let before = running.settings();
    running.wait_for_stdout("$ ");
    running.types("echo one\recho two\recho three\r");
    running.wait_for_stdout("the connection is lost");
    running.types("x\r~?");
    running.wait_for_stdout("~. ends the session");
    running.types("\r~.");
    let (ran, after) = running.finish_with_settings();
    let ran: Ran = ran.code(130).screen_has("ended with ~.");
    assert_eq!(before, after, "{}", ran.all());
    assert_eq!(world.fake.alive(), [""; 0]);
}

#[test]
fn what_a_cut_program_left_switched_on_is_switched_off() {
    if !has_terminal() {
        return;
    }
    let world = World::new(Net::default());
    let running = world.test.command(["run", "console", "-e", "staging"]).terminal(Terminal::All).start();
    running.wait_for_stdout("$ ");
    running.types("printf '\\033[?1049h\\033[?25l<%s>' here\r");
    running.wait_for_stdout("<here>");
    running.signal(Signal::TERM);
    let ran = running.finish().code(143);
    let text = String::from_utf8_lossy(&ran.terminal).into_owned();
    assert!(text.contains("\x1b[?25h\x1b[?1049l\x1b[0m"), "{text:?}");
}

/// The checksum that `cksum` prints.
fn cksum(bytes: &[u8]) -> u32 {
    let mut crc = 0_u32;
    let mut feed = |byte: u8| {
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
    };
    bytes.iter().for_each(|it| feed(*it));
    let mut length = bytes.len();
    while length > 0 {
        feed(length as u8);
        length >>= 8;
    }
    !crc
}
