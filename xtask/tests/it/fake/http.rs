//! The door for the built binary (and for any other client): HTTP/1.1 on a loopback port, a thread for each connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Core;
use super::hooks::Moment;
use super::wire::{Answer, REQUEST_ID, Refusal, Request, Service};
use super::{Act, Exchange};

/// The open door. Dropping it closes it.
#[derive(Debug)]
pub struct Door {
    pub port: u16,
    open: Arc<AtomicUsize>,
    closing: Arc<AtomicBool>,
}

impl Door {
    pub fn open(core: Arc<Core>) -> Door {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let open = Arc::new(AtomicUsize::new(0));
        let closing = Arc::new(AtomicBool::new(false));
        let door = Door { port, open: Arc::clone(&open), closing: Arc::clone(&closing) };
        let _ = core.port.set(port);
        std::thread::spawn(move || {
            let mut listener = listener;
            loop {
                let stream = listener.accept().map(|it| it.0);
                if closing.load(Ordering::SeqCst) {
                    return;
                }
                if core.refuses.load(Ordering::SeqCst) {
                    drop((stream, listener));
                    while core.refuses.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is still ours");
                    continue;
                }
                let Ok(stream) = stream else { continue };
                let (core, open, closing) = (Arc::clone(&core), Arc::clone(&open), Arc::clone(&closing));
                open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // A client that goes away is its own affair.
                    let _ = serve(&core, &stream, &closing);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        door
    }

    /// Waits until nobody is connected any more: what a client that has ended had sent has then had its effect.
    pub fn wait_until_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut quiet = 0;
        while quiet < 3 {
            assert!(Instant::now() < deadline, "somebody is still connected to the fake");
            quiet = if self.open.load(Ordering::SeqCst) == 0 { quiet + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Serves one connection until the client closes it, or a fault does.
fn serve(core: &Core, stream: &TcpStream, closing: &AtomicBool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        if !wait_for_byte(&mut reader, stream, closing)? {
            return Ok(());
        }
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = match read(&mut reader)? {
            _ if core.refuses.load(Ordering::SeqCst) => {
                core.n_faults.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            Ok(request) => request,
            Err(problem) => {
                core.problem(problem.clone());
                let answer = Refusal::new("UnknownOperationException", problem).answer(Service::Ecs);
                write(stream, core, &answer, false)?;
                continue;
            }
        };
        let exchange = core.arrive(request);
        if !carry_out(core, stream, &exchange, closing)? {
            return Ok(());
        }
    }
}

/// Gives whether the connection stays open.
fn carry_out(core: &Core, mut stream: &TcpStream, exchange: &Exchange, closing: &AtomicBool) -> io::Result<bool> {
    core.hook(exchange, Moment::Arrived);
    std::thread::sleep(exchange.latency / 2);
    let act = core.act(exchange);
    core.hook(exchange, Moment::Acted);
    std::thread::sleep(exchange.latency / 2);
    core.pass(exchange.slow);
    match act {
        Act::Answer(answer) => {
            core.answered(exchange, &answer);
            write(stream, core, &answer, false)?;
            core.hook(exchange, Moment::Answered);
            Ok(true)
        }
        Act::Half(answer) => {
            write(stream, core, &answer, true)?;
            stream.shutdown(std::net::Shutdown::Both)?;
            core.hook(exchange, Moment::Answered);
            Ok(false)
        }
        Act::Close => {
            stream.shutdown(std::net::Shutdown::Both)?;
            core.hook(exchange, Moment::Answered);
            Ok(false)
        }
        Act::Silence => {
            stream.set_read_timeout(Some(Duration::from_millis(20)))?;
            let mut byte = [0];
            while !closing.load(Ordering::SeqCst) {
                match stream.read(&mut byte) {
                    Err(error) if is_timeout(&error) => {}
                    _ => break,
                }
            }
            Ok(false)
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Waits for the next request of a kept connection. `false`: there will be none.
fn wait_for_byte(reader: &mut BufReader<&TcpStream>, stream: &TcpStream, closing: &AtomicBool) -> io::Result<bool> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    loop {
        match reader.fill_buf() {
            Ok(bytes) => return Ok(!bytes.is_empty()),
            Err(error) if is_timeout(&error) && !closing.load(Ordering::SeqCst) => {}
            Err(error) if is_timeout(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Reads a request. The inner error is the sender's mistake.
fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Result<Request, String>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
    let Some(length) = header("content-length").and_then(|it| it.parse::<usize>().ok()) else {
        return Ok(Err(format!("{method} {path} has no Content-Length")));
    };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request::parse(&method, &path, headers, &body))
}

fn write(mut stream: &TcpStream, core: &Core, answer: &Answer, half: bool) -> io::Result<()> {
    let mut bytes = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nDate: {}\r\nx-amzn-RequestId: {REQUEST_ID}\r\n\r\n",
        answer.status,
        if answer.status < 400 { "OK" } else { "Error" },
        answer.content_type,
        answer.body.len(),
        core.date(),
    )
    .into_bytes();
    let body = answer.body.as_bytes();
    bytes.extend_from_slice(if half { &body[..body.len() / 2] } else { body });
    stream.write_all(&bytes)
}
