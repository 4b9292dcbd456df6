//! One session: its agent, its terminal, and the network between them and the client. A thread that waits for events.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};

use super::agent::{Agent, Heard, channel_closed};
use super::wire::crypt::DataKey;
use super::{Shared, pty};
use crate::fake::random::Random;

/// Messages that the agent has on the way at most before it reads more of its terminal.
const ON_THE_WAY: usize = 200;

#[derive(Debug)]
pub enum Event {
    /// A channel with its number, the way to write to it, and the token that it must begin with.
    Channel(usize, TcpStream, String),
    Bytes(usize, Vec<u8>),
    Gone(usize),
    Output(Vec<u8>),
    OutputEnds,
    End(String),
}

#[derive(Debug, Default)]
struct Memory {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.incoming.read(into) }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Channel {
    number: usize,
    websocket: WebSocket<Memory>,
    stream: TcpStream,
    token: String,
    begun: bool,
}

struct Worker {
    shared: Arc<Shared>,
    id: String,
    target: String,
    agent: Agent,
    channel: Option<Channel>,
    random: Random,
    start: Instant,
    terminal: Option<pty::Pty>,
    words: Vec<String>,
    on_the_way: Arc<AtomicUsize>,
    /// Late messages: when, and to whom.
    late: Vec<(Instant, bool, Vec<u8>)>,
    from_client: usize,
    cuts: Vec<usize>,
    ending: Option<(Instant, String)>,
    events: Sender<Event>,
    shaken: bool,
    begun: bool,
}

/// Starts a session and gives the way to it.
pub fn start(shared: Arc<Shared>, id: String, target: String, words: Vec<String>) -> Sender<Event> {
    let (events, receiver) = channel();
    let of_thread = events.clone();
    std::thread::spawn(move || {
        let (seed, cuts) = (shared.net.seed, shared.net.cuts.clone());
        let mut worker = Worker {
            shared,
            id,
            target,
            agent: Agent::new(),
            channel: None,
            random: Random::new(seed),
            start: Instant::now(),
            terminal: None,
            words,
            on_the_way: Arc::default(),
            late: Vec::new(),
            from_client: 0,
            cuts,
            ending: None,
            events: of_thread,
            shaken: false,
            begun: false,
        };
        worker.run(&receiver);
        worker.shared.is_over(&worker.id);
        if let Some(mut terminal) = worker.terminal.take() {
            drop(terminal.master);
            let _ = terminal.child.kill();
            let _ = terminal.child.wait();
        }
    });
    events
}

impl Worker {
    fn run(&mut self, events: &Receiver<Event>) {
        self.agent.up = self.shared.net.slow_terminal.is_zero();
        loop {
            let event = match events.recv_timeout(Duration::from_millis(2)) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match event {
                Some(Event::Channel(number, stream, token)) => {
                    let websocket = WebSocket::from_raw_socket(Memory::default(), Role::Server, None);
                    self.channel = Some(Channel { number, websocket, stream, token, begun: false });
                }
                Some(Event::Bytes(number, bytes)) => self.bytes(number, &bytes),
                Some(Event::Gone(number)) => self.channel = self.channel.take().filter(|it| it.number != number),
                Some(Event::Output(bytes)) => {
                    let now = self.now();
                    let frame = self.agent.output(&bytes, now);
                    self.carry(false, frame);
                }
                Some(Event::OutputEnds) => {
                    self.ending.get_or_insert((Instant::now() + Duration::from_secs(10), String::new()));
                }
                Some(Event::End(text)) => {
                    self.close(&text);
                    return;
                }
                None => {}
            }
            self.tick();
            self.on_the_way.store(self.agent.on_the_way(), Ordering::SeqCst);
            if let Some((until, text)) = &self.ending
                && (self.agent.is_drained() || Instant::now() > *until)
            {
                let text = text.clone();
                self.close(&text);
                return;
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed().mul_f64(self.shared.net.speed)
    }

    fn tick(&mut self) {
        if !self.agent.up && self.start.elapsed() >= self.shared.net.slow_terminal {
            self.agent.up = true;
        }
        if self.channel.is_none() {
            return;
        }
        let now = Instant::now();
        let due: Vec<_> = self.late.extract_if(.., |it| it.0 <= now).collect();
        for (_, to_agent, frame) in due {
            self.deliver(to_agent, frame);
        }
        let now = self.now();
        if let Some(frame) = self.agent.tick(now) {
            self.carry(false, frame);
        }
    }

    /// Bytes of a channel.
    fn bytes(&mut self, number: usize, bytes: &[u8]) {
        let Some(channel) = self.channel.as_mut().filter(|it| it.number == number) else { return };
        channel.websocket.get_mut().incoming.extend(bytes);
        loop {
            let Some(channel) = &mut self.channel else { return };
            match channel.websocket.read() {
                Ok(Message::Text(text)) => {
                    let first: serde_json::Value =
                        serde_json::from_str(text.as_str()).expect("the first frame is JSON");
                    assert_eq!(first["MessageSchemaVersion"], "1.0");
                    assert_eq!(first["TokenValue"], channel.token, "the token of this channel");
                    assert!(!channel.begun, "one first frame for a channel");
                    channel.begun = true;
                    let token = channel.token.clone();
                    self.shared.seen().tokens.push(token);
                    self.begin();
                }
                Ok(Message::Binary(frame)) => {
                    assert!(channel.begun, "the token comes first");
                    self.from_client += 1;
                    if self.cuts.first().is_some_and(|it| *it <= self.from_client) {
                        self.cuts.remove(0);
                        self.shared.seen().cuts += 1;
                        let _ = channel.stream.shutdown(std::net::Shutdown::Both);
                        self.channel = None;
                        // What was on the way is lost.
                        self.late.clear();
                        return;
                    }
                    self.carry(true, frame.to_vec());
                }
                Ok(_) => {
                    let _ = channel.websocket.flush();
                    self.write();
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.channel = None;
                    return;
                }
            }
        }
    }

    /// The client is there for the first time.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some(text) = self.shared.net.closes_with.clone() {
            self.ending = Some((Instant::now(), text));
            return;
        }
        match self.shared.net.kms.clone() {
            Some(challenge) => {
                let now = self.now();
                let frame =
                    self.agent.shake(Some("arn:aws:kms:eu-west-1:111122223333:key/k"), challenge.as_deref(), now);
                self.carry(false, frame);
            }
            None => self.start_terminal(),
        }
    }

    fn start_terminal(&mut self) {
        self.shaken = true;
        let terminal = match pty::start(&self.words, self.shared.net.no_shell) {
            Ok(terminal) => terminal,
            Err(text) => {
                self.ending = Some((Instant::now(), text));
                return;
            }
        };
        let mut master = terminal.master.try_clone().expect("a file can be cloned");
        let (events, on_the_way) = (self.events.clone(), Arc::clone(&self.on_the_way));
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            loop {
                while on_the_way.load(Ordering::SeqCst) > ON_THE_WAY {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let count = master.read(&mut buffer).unwrap_or(0);
                let event = if count == 0 { Event::OutputEnds } else { Event::Output(buffer[..count].to_vec()) };
                on_the_way.fetch_add(1, Ordering::SeqCst);
                if events.send(event).is_err() || count == 0 {
                    return;
                }
            }
        });
        self.terminal = Some(terminal);
    }

    /// Over the network, with what that does.
    fn carry(&mut self, to_agent: bool, frame: Vec<u8>) {
        let net = &self.shared.net;
        let acknowledgement = frame[4..15] == *b"acknowledge";
        let mut hits = |per_cent: u64| per_cent > 0 && self.random.below(100) < per_cent;
        let lost = hits(net.loss) || (acknowledgement && hits(net.lost_acknowledgements));
        let (twice, is_late) = (hits(net.repeat), hits(net.reorder));
        if lost || twice || is_late {
            self.shared.seen().mishaps += 1;
        }
        if lost {
            return;
        }
        if twice {
            self.deliver(to_agent, frame.clone());
        }
        if is_late {
            self.late.push((Instant::now() + Duration::from_millis(3), to_agent, frame));
        } else {
            self.deliver(to_agent, frame);
        }
    }

    fn deliver(&mut self, to_agent: bool, frame: Vec<u8>) {
        if !to_agent {
            if let Some(channel) = self.channel.as_mut().filter(|it| it.begun) {
                let _ = channel.websocket.send(Message::binary(frame));
                self.write();
            }
            return;
        }
        let now = self.now();
        let (heard, answers) = self.agent.frame(&frame, now);
        for answer in answers {
            self.carry(false, answer);
        }
        for heard in heard {
            self.heard(heard);
        }
    }

    fn heard(&mut self, heard: Heard) {
        let now = self.now();
        match heard {
            Heard::Input(bytes) => {
                self.shared.seen().input.extend_from_slice(&bytes);
                if let Some(terminal) = &mut self.terminal {
                    let _ = terminal.master.write_all(&bytes);
                }
            }
            Heard::Size(columns, rows) => {
                self.shared.seen().sizes.push((columns, rows));
                if let Some(terminal) = &self.terminal {
                    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    let _ = rustix::termios::tcsetwinsize(&terminal.master, size);
                }
            }
            Heard::EncryptedKey(text, challenged) => {
                let encrypted = data_encoding::BASE64.decode(text.as_bytes()).expect("base64");
                let (plain, context) = self.shared.decrypt(&encrypted).expect("a key that KMS gave");
                assert_eq!(context["aws:ssm:SessionId"], self.id);
                assert_eq!(context["aws:ssm:TargetId"], self.target);
                let challenge = self.shared.net.kms.clone().flatten();
                assert_eq!(context["aws:ssm:RandomChallenge"].as_str(), challenge.as_deref());
                assert_eq!(challenged, challenge.is_some());
                let frame = self.agent.challenge(&DataKey { plain, encrypted }, now);
                self.carry(false, frame);
            }
            Heard::Shaken if !self.shaken => self.start_terminal(),
            Heard::Shaken => {}
            Heard::Refused(text) => {
                self.ending = Some((Instant::now(), format!("Handshake failed: {text}")));
            }
        }
    }

    fn write(&mut self) {
        let Some(channel) = &mut self.channel else { return };
        let bytes = std::mem::take(&mut channel.websocket.get_mut().outgoing);
        if channel.stream.write_all(&bytes).is_err() {
            self.channel = None;
        }
    }

    /// The service's last word.
    fn close(&mut self, text: &str) {
        let mut seen: Vec<i64> = self.agent.seen.clone();
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        self.shared.seen().duplicates += all - seen.len();
        let frame = channel_closed(text, !self.shared.net.long_header);
        if let Some(channel) = self.channel.as_mut().filter(|it| it.begun) {
            let _ = channel.websocket.send(Message::binary(frame));
            self.write();
        }
        if let Some(channel) = &self.channel {
            let _ = channel.stream.shutdown(std::net::Shutdown::Write);
        }
    }
}
