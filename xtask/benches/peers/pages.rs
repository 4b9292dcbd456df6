//! A server that is never the bottleneck: the pages of a log of a million lines, made before anybody asks, so that an answer is one
//! write. Every other call is passed on to the fake AWS.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// CloudWatch Logs gives no more at once.
pub const PAGE: usize = 10_000;

/// The server. Its threads live as long as the process.
#[derive(Debug)]
pub struct Pages {
    pub port: u16,
    pub lines: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backend: SocketAddr,
    /// Each a whole answer; the last is the empty one of the end.
    answers: Vec<Vec<u8>>,
    /// When each page was asked for, since the last start.
    asked: Mutex<Vec<Instant>>,
}

impl Pages {
    /// So many lines, before this server.
    pub fn open(lines: usize, backend: SocketAddr) -> Pages {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port can be had");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let pages = lines / PAGE;
        let answers = (0..=pages).map(|page| answer(page, pages)).collect();
        let shared = Arc::new(Shared { backend, answers, asked: Mutex::default() });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let theirs = Arc::clone(&theirs);
                // A client that goes away is its own affair.
                thread::spawn(move || drop(serve(&theirs, &client)));
            }
        });
        Pages { port, lines: pages * PAGE, shared }
    }

    /// Forgets who asked so far.
    pub fn start(&self) {
        self.asked().clear();
    }

    /// When each page was asked for.
    pub fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client has to have printed.
    pub fn text(&self) -> String {
        (0..self.lines).map(|it| line(it) + "\n").collect()
    }

    /// Reads all of it and does nothing with it: how fast the server is.
    pub fn read_raw(&self) -> Duration {
        let start = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server is there");
        let mut buffer = vec![0; 1 << 20];
        for (page, expected) in self.shared.answers.iter().enumerate() {
            let body = format!("{{\"nextToken\":\"{}\"}}", token(page));
            let head = format!(
                "POST / HTTP/1.1\r\nX-Amz-Target: Logs_20140328.GetLogEvents\r\nContent-Length: {}",
                body.len()
            );
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("the server listens");
            let mut left = expected.len();
            while left > 0 {
                left -= stream.read(&mut buffer).expect("the server answers");
            }
        }
        start.elapsed()
    }
}

/// As an application logs; one in ten has quotes in it.
fn line(number: usize) -> String {
    let worker = number % 16;
    if number.is_multiple_of(10) {
        format!("INFO worker-{worker:02} order {number:07} moved from \"open\" to \"paid\" in {} ms", number % 97)
    } else {
        format!("INFO worker-{worker:02} order {number:07} recomputed, {} rows, {} ms", number % 1009, number % 97)
    }
}

fn token(page: usize) -> String {
    format!("f/{page:056}/s")
}

fn answer(page: usize, pages: usize) -> Vec<u8> {
    let mut body = String::from("{\"events\":[");
    let from = page * PAGE;
    let to = if page == pages { from } else { from + PAGE };
    for number in from..to {
        let comma = if number == from { "" } else { "," };
        let at = 1_764_000_000_000_i64 + number as i64;
        let message = serde_json::Value::from(line(number));
        write!(body, "{comma}{{\"ingestionTime\":{at},\"message\":{message},\"timestamp\":{at}}}")
            .expect("a string takes it");
    }
    let (next, back) = (token((page + 1).min(pages)), token(page).replace('f', "b"));
    write!(body, "],\"nextBackwardToken\":\"{back}\",\"nextForwardToken\":\"{next}\"}}").expect("a string takes it");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nx-amzn-RequestId: 1";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn serve(shared: &Shared, mut client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    loop {
        let (head, body) = message(&mut reader)?;
        if !head.to_lowercase().contains("x-amz-target: logs_20140328.getlogevents") {
            let mut server = TcpStream::connect(shared.backend)?;
            server.write_all(head.as_bytes())?;
            server.write_all(&body)?;
            let (head, body) = message(&mut BufReader::new(&server))?;
            client.write_all(&[head.as_bytes(), &body[..]].concat())?;
            continue;
        }
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        let body = String::from_utf8_lossy(&body);
        let page = body.split_once("\"f/").and_then(|(_, it)| it.split_once("/s\""));
        let page = page.and_then(|(it, _)| it.parse::<usize>().ok()).unwrap_or(0);
        client.write_all(&shared.answers[page.min(shared.answers.len() - 1)])?;
    }
}

/// A head with its empty line, and a body of the length that it names.
fn message(reader: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let from = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = head[from..].trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}
