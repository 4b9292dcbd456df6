//! A session's channel: a websocket over a connection that is open already. tungstenite reads and writes memory, and the bytes go to
//! and from the connection here, so that waiting for either direction can be dropped at any moment and nothing is lost.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use data_encoding::BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::protocol::{WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::connect::{Connection, Url};

/// No message of a session is nearly as long.
const LONGEST_MESSAGE: usize = 1 << 20;
/// How long the upgrade may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the rest of a refusal's text is waited for, and how much of it is read.
const REFUSAL: Duration = Duration::from_millis(500);
const LONGEST_REFUSAL: usize = 4096;

/// Why there is no channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status, where the service answered.
    pub status: Option<u16>,
    /// For people.
    pub message: String,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A frame of the session.
    Frame(Vec<u8>),
    /// A ping or a pong: the service is there.
    Alive,
}

/// An open channel.
pub struct Channel {
    websocket: WebSocket<Memory>,
    read: ReadHalf<Connection>,
    write: WriteHalf<Connection>,
    buffer: Box<[u8; 16_384]>,
    flush: bool,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}

/// The bytes between tungstenite and the connection.
#[derive(Debug, Default)]
struct Memory {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.incoming.read(into)
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

impl Channel {
    /// Makes the connection a websocket. `headers`: beside those of every upgrade.
    pub async fn open(connection: Connection, url: &Url, headers: &[(String, String)]) -> Result<Channel, Refused> {
        let upgrade = upgrade(connection, url, headers);
        tokio::time::timeout(PATIENCE, upgrade)
            .await
            .unwrap_or_else(|_| Err(refused("the service does not answer the upgrade to a websocket")))
    }

    /// Puts a text frame on its way.
    pub fn send_text(&mut self, text: String) {
        self.send(Message::text(text));
    }

    /// Puts a binary frame on its way.
    pub fn send_binary(&mut self, bytes: Vec<u8>) {
        self.send(Message::binary(bytes));
    }

    /// Asks whether the service is there.
    pub fn ping(&mut self) {
        self.send(Message::Ping(b"keepalive".as_slice().into()));
    }

    fn send(&mut self, message: Message) {
        // Memory takes everything; that the channel is closed is told by reading.
        let _ = self.websocket.send(message);
    }

    /// Waits for the next frame, and meanwhile writes what is on its way. Dropped before it is ready, it loses nothing.
    pub async fn next(&mut self) -> Result<Heard, String> {
        loop {
            match self.websocket.read() {
                Ok(Message::Binary(bytes)) => return Ok(Heard::Frame(bytes.to_vec())),
                Ok(Message::Text(text)) => return Ok(Heard::Frame(text.as_bytes().to_vec())),
                Ok(Message::Close(frame)) => {
                    let why = frame.map(|it| format!(" ({} {})", it.code, it.reason)).unwrap_or_default();
                    return Err(format!("the service closed the channel{why}"));
                }
                Ok(_) => {
                    // The answer to a ping is written with the next flush.
                    let _ = self.websocket.flush();
                    return Ok(Heard::Alive);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(format!("the channel broke: {error}")),
            }
            self.exchange().await?;
        }
    }

    /// Writes all that is on its way: for the last words.
    pub async fn flush(&mut self) -> Result<(), String> {
        let bytes = std::mem::take(&mut self.websocket.get_mut().outgoing);
        let broke = |it: io::Error| format!("the channel broke: {it}");
        self.write.write_all(&bytes).await.map_err(broke)?;
        self.write.flush().await.map_err(broke)
    }

    /// Moves bytes in whichever direction is ready.
    async fn exchange(&mut self) -> Result<(), String> {
        let broke = |it: io::Error| format!("the channel broke: {it}");
        let Channel { websocket, read, write, buffer, flush } = self;
        let memory = websocket.get_mut();
        let written = async {
            if memory.outgoing.is_empty() {
                write.flush().await.map(|()| None)
            } else {
                write.write(&memory.outgoing).await.map(Some)
            }
        };
        tokio::select! {
            count = written, if *flush || !memory.outgoing.is_empty() => match count.map_err(broke)? {
                Some(0) => return Err("the channel broke: it takes no more".to_owned()),
                Some(count) => {
                    memory.outgoing.drain(..count);
                    *flush = true;
                }
                None => *flush = false,
            },
            count = read.read(&mut buffer[..]) => {
                let count = count.map_err(broke)?;
                if count == 0 {
                    return Err("the channel broke: the connection was closed".to_owned());
                }
                memory.incoming.extend(&buffer[..count]);
            }
        }
        Ok(())
    }
}

async fn upgrade(connection: Connection, url: &Url, headers: &[(String, String)]) -> Result<Channel, Refused> {
    let key: [u8; 16] = ring::rand::generate(&ring::rand::SystemRandom::new())
        .map_err(|_| refused("the operating system gives no random numbers"))?
        .expose();
    let scheme = if url.secure { "wss" } else { "ws" };
    let mut request = http::Request::get(format!("{scheme}://{}{}", url.authority, url.path))
        .header("Host", &url.authority)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", BASE64.encode(&key));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|it| refused(&format!("the session's URL is not usable: {it}")))?;
    let config =
        WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE)).max_frame_size(Some(LONGEST_MESSAGE));
    let mut handshake = ClientHandshake::start(Memory::default(), request, Some(config))
        .map_err(|it| refused(&format!("the session's URL is not usable: {it}")))?;
    let (mut read, mut write) = tokio::io::split(connection);
    let broke = |it: io::Error| refused(&format!("the upgrade to a websocket broke off: {it}"));
    let mut buffer = Box::new([0; 16_384]);
    loop {
        match handshake.handshake() {
            Ok((websocket, _)) => return Ok(Channel { websocket, read, write, buffer, flush: false }),
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let status = answer.status().as_u16();
                let length = answer.headers().get("content-length").and_then(|it| it.to_str().ok()?.parse().ok());
                let mut body = answer.into_body().unwrap_or_default();
                // What AWS says about a refusal may come a moment after the refusal.
                while body.len() < length.unwrap_or(0).min(LONGEST_REFUSAL) {
                    match tokio::time::timeout(REFUSAL, read.read(&mut buffer[..])).await {
                        Ok(Ok(count @ 1..)) => body.extend_from_slice(&buffer[..count]),
                        _ => break,
                    }
                }
                return Err(answered(status, &body));
            }
            Err(HandshakeError::Failure(error)) => {
                return Err(refused(&format!("the upgrade to a websocket failed: {error}")));
            }
            Err(HandshakeError::Interrupted(again)) => handshake = again,
        }
        let memory = handshake.get_mut().get_mut();
        if memory.outgoing.is_empty() {
            let count = read.read(&mut buffer[..]).await.map_err(broke)?;
            if count == 0 {
                return Err(refused("the upgrade to a websocket broke off: the connection was closed"));
            }
            memory.incoming.extend(&buffer[..count]);
        } else {
            write.write_all(&std::mem::take(&mut memory.outgoing)).await.map_err(broke)?;
            write.flush().await.map_err(broke)?;
        }
    }
}

fn refused(message: &str) -> Refused {
    Refused { status: None, message: message.to_owned() }
}

fn answered(status: u16, body: &[u8]) -> Refused {
    let text = String::from_utf8_lossy(body);
    let text: String = text.trim().chars().take(300).collect();
    let text = if text.is_empty() { text } else { format!(": {text}") };
    Refused {
        status: Some(status),
        message: format!("the service refuses the channel with HTTP status {status}{text}"),
    }
}
