//! A fake of the service behind ECS Exec: websockets on a loopback port, the agent's half of the protocol, and behind it a real
//! pseudo-terminal with a real process. It loses, repeats, delays and cuts as it is told.
//!
//! ```ignore
//! let gateway = Gateway::new(Net { loss: 5, cuts: vec![40, 90], ..Net::default() });
//! let fake = Fake::new().exec(&gateway) /* … */;
//! ```

#[path = "../../../src/session/tests/agent.rs"]
pub mod agent;
pub mod wire {
    pub use xtask::session::{crypt, message};
}
pub mod proxy;
mod pty;
mod worker;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;

use worker::Event;

/// What the network and the other side do.
#[derive(Debug, Clone, Default)]
pub struct Net {
    pub seed: u64,
    /// Per cent of messages that are lost, in both directions.
    pub loss: u64,
    /// Per cent that come twice.
    pub repeat: u64,
    /// Per cent that come late.
    pub reorder: u64,
    /// Per cent of acknowledgements that are lost.
    pub lost_acknowledgements: u64,
    /// The channel is cut when the client has sent so many messages.
    pub cuts: Vec<usize>,
    /// The answer to the first upgrades instead of a websocket; 0: the connection is closed.
    pub refused_upgrades: Vec<u16>,
    /// What the service closes the session with instead of running anything.
    pub closes_with: Option<String>,
    /// A handshake with a KMS key; with a challenge of its own if there is one.
    pub kms: Option<Option<String>>,
    /// The service's last word has a long header.
    pub long_header: bool,
    /// The pseudo-terminal is there so much later.
    pub slow_terminal: Duration,
    /// The container has no `sh`.
    pub no_shell: bool,
    /// ResumeSession says that the session is over.
    pub no_resume: bool,
    /// The service answers nothing after the first cut: no upgrade works any more.
    pub dead_after_cut: bool,
    /// Its URLs have the service's own name, as AWS's have.
    pub behind_proxy: bool,
    /// How much faster than real time the agent's clock runs.
    pub speed: f64,
}

impl Net {
    /// What a bad network does all at once.
    pub fn bad(seed: u64) -> Net {
        Net { seed, loss: 5, repeat: 5, reorder: 5, lost_acknowledgements: 20, cuts: vec![3, 7], ..Net::default() }
    }
}

/// A data key in plain, and what it was made for.
type KeyAndContext = ([u8; 64], serde_json::Value);

/// A session that was started.
#[derive(Debug)]
struct Started {
    task: String,
    token: String,
    events: Sender<Event>,
}

/// What the agents and the tests share.
#[derive(Debug)]
pub struct Shared {
    pub net: Net,
    sessions: Mutex<HashMap<String, Started>>,
    /// How many there ever were. An id is never given again: the end of its first session would take the second one away.
    started: AtomicUsize,
    /// Data keys by their encrypted form, with the context.
    keys: Mutex<HashMap<Vec<u8>, KeyAndContext>>,
    seen: Mutex<Seen>,
    closing: AtomicBool,
    port: u16,
}

/// What the other side saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Columns and rows in order.
    pub sizes: Vec<(u16, u16)>,
    /// The words of each command as the agent split them.
    pub commands: Vec<Vec<String>>,
    /// Everything that was typed.
    pub input: Vec<u8>,
    /// Upgrades that were asked for.
    pub upgrades: usize,
    /// Tokens that opened channels.
    pub tokens: Vec<String>,
    /// Sessions that TerminateSession ended.
    pub terminated: usize,
    /// Cuts that were made.
    pub cuts: usize,
    /// Messages that the network did something to.
    pub mishaps: usize,
    /// Stream messages of the client that came more than once.
    pub duplicates: usize,
}

/// The open gateway. Dropping it ends everything behind it.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
}

impl Shared {
    fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
        of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        Shared::lock(&self.seen)
    }

    /// ExecuteCommand: a new session. Gives its id, URL and token.
    pub fn start(
        self: &Arc<Shared>,
        cluster: &str,
        task: &str,
        runtime: &str,
        command: &str,
    ) -> (String, String, String) {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        let id = format!("ecs-execute-command-{number:017}");
        let token = format!("planted-token-{number}-0");
        let words = pty::split(command);
        self.seen().commands.push(words.clone());
        let target = format!("ecs:{cluster}_{task}_{runtime}");
        let events = worker::start(Arc::clone(self), id.clone(), target, words);
        let started = Started { task: task.to_owned(), token: token.clone(), events };
        Shared::lock(&self.sessions).insert(id.clone(), started);
        let service = if self.net.behind_proxy {
            format!("wss://{}", proxy::HOST)
        } else {
            format!("ws://127.0.0.1:{}", self.port)
        };
        let url = format!("{service}/v1/data-channel/{id}?role=publish_subscribe&cell-number=AAEAAa5+Lu4a/II4==");
        (id, url, token)
    }

    /// ResumeSession: a new token, if the session lives.
    pub fn resume(&self, id: &str) -> Option<String> {
        let mut sessions = Shared::lock(&self.sessions);
        let session = sessions.get_mut(id).filter(|_| !self.net.no_resume)?;
        let (name, number) = session.token.rsplit_once('-')?;
        session.token = format!("{name}-{}", number.parse::<u32>().ok()? + 1);
        Some(session.token.clone())
    }

    /// TerminateSession.
    pub fn terminate(&self, id: &str) {
        self.seen().terminated += 1;
        if let Some(session) = Shared::lock(&self.sessions).get(id) {
            let _ = session.events.send(Event::End(String::new()));
        }
    }

    /// The ECS task is gone, and with it whatever ran in it.
    pub fn task_stops(&self, task: &str) {
        for session in Shared::lock(&self.sessions).values().filter(|it| it.task == task) {
            let _ = session.events.send(Event::End(String::new()));
        }
    }

    fn is_over(&self, id: &str) {
        Shared::lock(&self.sessions).remove(id);
    }

    /// GenerateDataKey: plain and encrypted.
    pub fn data_key(&self, context: &serde_json::Value) -> ([u8; 64], Vec<u8>) {
        let mut keys = Shared::lock(&self.keys);
        let number = keys.len() as u8;
        let plain = std::array::from_fn(|it| (it as u8).wrapping_mul(7).wrapping_add(number));
        let encrypted = format!("encrypted-{number}").into_bytes();
        keys.insert(encrypted.clone(), (plain, context.clone()));
        (plain, encrypted)
    }

    /// Decrypt, with the agent's context.
    fn decrypt(&self, encrypted: &[u8]) -> Option<KeyAndContext> {
        Shared::lock(&self.keys).get(encrypted).cloned()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many sessions there are.
    pub fn open(&self) -> usize {
        Shared::lock(&self.sessions).len()
    }
}

impl Gateway {
    pub fn new(net: Net) -> Gateway {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let net = Net { speed: if net.speed > 0.0 { net.speed } else { crate::fake::SPEED }, ..net };
        let shared = Arc::new(Shared {
            net,
            sessions: Mutex::default(),
            started: AtomicUsize::new(0),
            keys: Mutex::default(),
            seen: Mutex::default(),
            closing: AtomicBool::new(false),
            port,
        });
        let of_door = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_door.closing.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&of_door);
                std::thread::spawn(move || {
                    // A client that goes away is its own affair.
                    let _ = serve(&shared, stream);
                });
            }
        });
        Gateway { shared }
    }

    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// What the other side saw so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for session in Shared::lock(&self.shared.sessions).values() {
            let _ = session.events.send(Event::End(String::new()));
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.shared.port));
    }
}

/// Answers an upgrade and hands what comes on the channel to the session.
fn serve(shared: &Arc<Shared>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|it| it.split_once(':'));
        lines.filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.trim().to_owned()).next()
    };
    let number = {
        let mut seen = shared.seen();
        seen.upgrades += 1;
        seen.upgrades - 1
    };
    let dead = shared.net.dead_after_cut && shared.seen().cuts > 0;
    match shared.net.refused_upgrades.get(number) {
        Some(0) => return Ok(()),
        _ if dead => return Ok(()),
        Some(status) => {
            let body = "{\"message\":\"not authorized\"}";
            return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
        None => {}
    }
    // AWS refuses an upgrade that is not signed for it.
    let authorization = header("authorization").unwrap_or_default();
    let signed = authorization.starts_with("AWS4-HMAC-SHA256 Credential=")
        && authorization.contains("/ssmmessages/aws4_request")
        && authorization.contains("SignedHeaders=host;x-amz-date")
        && header("x-amz-date").is_some();
    let key = header("sec-websocket-key").unwrap_or_default();
    let id =
        head.split(['/', '?', ' ']).find(|it| it.starts_with("ecs-execute-command-")).unwrap_or_default().to_owned();
    let session = Shared::lock(&shared.sessions).get(&id).map(|it| (it.events.clone(), it.token.clone()));
    let Some((events, token)) = session.filter(|_| signed && !key.is_empty()) else {
        return write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    };
    let accept = derive_accept_key(key.as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    stream.set_read_timeout(None)?;
    let _ = events.send(Event::Channel(number, stream.try_clone()?, token));
    let mut buffer = [0; 16_384];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            let _ = events.send(Event::Gone(number));
            return Ok(());
        }
        if events.send(Event::Bytes(number, buffer[..count].to_vec())).is_err() {
            return Ok(());
        }
    }
}
