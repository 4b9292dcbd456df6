//! The way to the server, which is the same for all: a proxy on loopback that holds every byte back for half of the delay in each
//! direction, and notes when each request left its client and when the answer was back there. It follows HTTP as far as it needs to
//! tell requests apart; what is in them passes unchanged, a registry's uploads too.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A request and its answer, as the client sees them.
#[derive(Debug, Clone)]
pub struct Call {
    id: u64,
    /// An operation of AWS, or method and kind of a registry's resource.
    pub what: String,
    pub sent: Instant,
    pub answered: Option<Instant>,
    pub status: u16,
}

#[derive(Debug)]
struct Shared {
    backend: SocketAddr,
    /// Of each direction, in microseconds.
    half: AtomicU64,
    calls: Mutex<Vec<Call>>,
    next: AtomicU64,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy. Its thread lives as long as the process.
#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before this server.
    pub fn open(backend: SocketAddr) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (half, next, calls) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        let shared = Arc::new(Shared { backend, half, calls, next, changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that goes away is its own affair.
                let _ = connect(&theirs, client);
            }
        });
        Proxy { port, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on every call takes so much longer; what was noted so far is forgotten.
    pub fn start(&self, delay: Duration) {
        self.shared.half.store((delay / 2).as_micros() as u64, Ordering::SeqCst);
        self.shared.lock().clear();
    }

    /// Waits for the answer of the first call of an operation and gives the moment. `None`: the process was over, or the time.
    pub fn wait_for(&self, what: &str, mut is_over: impl FnMut() -> bool) -> Option<Instant> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut last_look = false;
        let mut calls = self.shared.lock();
        loop {
            if let Some(call) = calls.iter().find(|it| it.what == what && it.answered.is_some()) {
                return call.answered;
            }
            if last_look || Instant::now() > deadline {
                return None;
            }
            let waited = self.shared.changed.wait_timeout(calls, Duration::from_millis(20));
            calls = waited.unwrap_or_else(PoisonError::into_inner).0;
            last_look = is_over();
        }
    }

    /// What there was since [`Proxy::start`].
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().clone()
    }
}

/// The calls that waited for each other up to the first of this operation: the longest chain of those that were each sent when the
/// answer to the one before was there.
pub fn chain(calls: &[Call], until: &str) -> usize {
    let Some(last) = calls.iter().position(|it| it.what == until) else { return 0 };
    let mut sorted: Vec<&Call> = calls.iter().filter(|it| it.sent <= calls[last].sent).collect();
    sorted.sort_by_key(|it| it.sent);
    let mut lengths: Vec<usize> = Vec::new();
    for (index, call) in sorted.iter().enumerate() {
        let before = (0..index).filter(|it| sorted[*it].answered.is_some_and(|answered| answered <= call.sent));
        lengths.push(1 + before.map(|it| lengths[it]).max().unwrap_or(0));
    }
    lengths.last().copied().unwrap_or(0)
}

/// What is known of one connection, from both of its directions.
#[derive(Debug, Default)]
struct Exchange {
    /// The head of the request as far as it came; empty once it is told.
    head: Vec<u8>,
    /// Its id among the calls, which may be forgotten before its answer comes.
    call: Option<u64>,
    /// Bytes of the answer have come: the next byte of the client begins another request.
    is_answered: bool,
    sent: Option<Instant>,
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    let server = TcpStream::connect(shared.backend)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let exchange = Arc::new(Mutex::new(Exchange { is_answered: true, ..Exchange::default() }));
    let (up, down) = (mpsc::channel(), mpsc::channel());
    let (theirs, ours) = (Arc::clone(shared), Arc::clone(&exchange));
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        read(from, &theirs, &up.0, |bytes| on_request(&theirs, &mut lock(&ours), bytes));
    });
    thread::spawn(move || write(to, &up.1, |_| ()));
    let theirs = Arc::clone(shared);
    thread::spawn(move || read(server, &theirs, &down.0, |_| ()));
    let theirs = Arc::clone(shared);
    thread::spawn(move || write(client, &down.1, |bytes| on_answer(&theirs, &mut lock(&exchange), bytes)));
    Ok(())
}

fn lock(exchange: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(mut from: TcpStream, shared: &Shared, to: &Sender<(Instant, Vec<u8>)>, mut seen: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..count]);
        let due = Instant::now() + Duration::from_micros(shared.half.load(Ordering::SeqCst));
        if to.send((due, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
}

fn write(mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>, mut written: impl FnMut(&[u8])) {
    while let Ok((due, bytes)) = from.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Before it is written: the client may use it before this thread gets to run again.
        written(&bytes);
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn on_request(shared: &Shared, exchange: &mut Exchange, bytes: &[u8]) {
    if exchange.is_answered {
        *exchange = Exchange { sent: Some(Instant::now()), ..Exchange::default() };
    }
    if exchange.call.is_some() {
        return;
    }
    exchange.head.extend_from_slice(bytes);
    let text = String::from_utf8_lossy(&exchange.head);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return };
    let Some(what) = name(head, body) else { return };
    let sent = exchange.sent.unwrap_or_else(Instant::now);
    let id = shared.next.fetch_add(1, Ordering::SeqCst);
    exchange.call = Some(id);
    shared.lock().push(Call { id, what, sent, answered: None, status: 0 });
    exchange.head.clear();
}

/// `None`: the body that tells it is not there yet.
fn name(head: &str, body: &str) -> Option<String> {
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|it| it.split_once(':'));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if let Some(target) = header("x-amz-target") {
        return Some(target.rsplit('.').next().unwrap_or(target).to_owned());
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if path != "/" {
        let kind = ["/blobs/", "/manifests/"].into_iter().find(|it| path.contains(it)).unwrap_or("/v2/");
        return Some(format!("{method} {kind}"));
    }
    let action = body.split('&').find_map(|it| it.strip_prefix("Action="));
    action.map(str::to_owned)
}

fn on_answer(shared: &Shared, exchange: &mut Exchange, bytes: &[u8]) {
    let status =
        String::from_utf8_lossy(&bytes[..bytes.len().min(12)]).rsplit(' ').next().and_then(|it| it.parse().ok());
    if status == Some(100) {
        return;
    }
    let mut calls = shared.lock();
    if let Some(call) = exchange.call.and_then(|id| calls.iter_mut().find(|it| it.id == id)) {
        call.answered = Some(Instant::now());
        if !exchange.is_answered {
            call.status = status.unwrap_or(0);
        }
    }
    exchange.is_answered = true;
    drop(calls);
    shared.changed.notify_all();
}
