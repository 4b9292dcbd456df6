//! The session of ECS Exec as a state machine without I/O: what comes in and what time it is goes in, what is to be done comes out.
//!
//! Each direction numbers its stream messages from 0, and the receiver acknowledges each one. What is not acknowledged is sent again
//! for as long as the session lives, over as many channels as that takes: a cut channel loses nothing. A duplicate is acknowledged
//! again, since its sender sends it because our first acknowledgement was lost.

pub mod command;
pub mod crypt;
pub mod escape;
mod handshake;
pub mod message;
pub mod modes;
mod outbox;

use std::collections::BTreeMap;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crypt::Crypt;
pub use crypt::DataKey;
use handshake::Handshake;
use message::{Kind, Message, payload, uuid_text};
use outbox::Outbox;

/// What we say that we are: the oldest version of AWS's own plugin that the service still takes.
pub const CLIENT_VERSION: &str = "1.2.764.0";
/// What the agent keeps of messages that came too early; ours is the same.
const INBOX: usize = 10_000;
/// Without a word from the agent the keyboard opens all the same: a silent program waits for input.
const SILENCE: Duration = Duration::from_secs(3);
/// How long messages that are still missing may take after the service said that the session is over.
const LINGER: Duration = Duration::from_secs(1);
/// How long a handshake may take. The agent gives up after 15 s for each step, and says so.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// What a session is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As ExecuteCommand gave it.
    pub session_id: String,
    /// `ecs:CLUSTER_TASK_RUNTIME`, for the data key's context.
    pub target_id: String,
    /// Random bytes, from which all ids and nonces are made.
    pub seed: [u8; 32],
    /// Milliseconds since 1970 at time 0.
    pub epoch: u64,
}

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// A channel is open and has its token: the first one, or another after a cut.
    Opened,
    /// The channel is gone.
    Cut,
    /// A frame, binary or text.
    Frame(&'a [u8]),
    /// For the remote terminal.
    Keys(&'a [u8]),
    /// The local terminal's columns and rows.
    Size(u16, u16),
    /// KMS's answer.
    Key(Result<DataKey, String>),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this as a binary frame.
    Send(Vec<u8>),
    /// Output of the remote terminal.
    Print(Vec<u8>),
    /// The other side is there.
    Ready,
    /// Tell this to the user.
    Note(String),
    /// Ask KMS for 64 bytes under this key, with this context.
    NeedKey {
        /// The key's id or ARN.
        key_id: String,
        /// The encryption context.
        context: Vec<(String, String)>,
    },
    /// The agent knows the exit code.
    ExitCode(i32),
    /// The service has ended the session; with a text if something failed.
    Closed(String),
    /// The session cannot go on.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    Waiting,
    /// The agent has asked for a handshake, which must be done by then.
    Shaking(Duration),
    Ready,
    /// The service has closed it; what is missing may come until then.
    Closing(Duration),
    Over,
}

/// The session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    ids: u64,
    phase: Phase,
    open: bool,
    opened_at: Duration,
    expected: i64,
    inbox: BTreeMap<i64, Message>,
    outbox: Outbox,
    handshake: Option<Handshake>,
    crypt: Option<Crypt>,
    size: Option<(u16, u16)>,
    closed_text: String,
}

impl Session {
    /// A session of which no channel is open yet.
    pub fn new(settings: Settings) -> Session {
        Session {
            settings,
            ids: 0,
            phase: Phase::Waiting,
            open: false,
            opened_at: Duration::ZERO,
            expected: 0,
            inbox: BTreeMap::new(),
            outbox: Outbox::default(),
            handshake: None,
            crypt: None,
            size: None,
            closed_text: String::new(),
        }
    }

    /// The first frame of every channel, as text.
    pub fn first_frame(&mut self, token: &str) -> String {
        let client = self.derived(b"client", 0);
        let request = self.id();
        json!({
            "MessageSchemaVersion": "1.0",
            "RequestId": uuid_text(&request),
            "TokenValue": token,
            "ClientId": uuid_text(&client),
            "ClientVersion": CLIENT_VERSION,
        })
        .to_string()
    }

    /// How many bytes of [`Input::Keys`] fit in now.
    pub fn room(&self) -> usize {
        self.outbox.room()
    }

    /// Whether everything that was put in has been acknowledged.
    pub fn is_delivered(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether the other side is there.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether the service has said that the session is over.
    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// When it wants the next [`Input::Tick`].
    pub fn wake_at(&self) -> Duration {
        let phase = match self.phase {
            Phase::Waiting if self.open => self.opened_at + SILENCE,
            Phase::Closing(until) | Phase::Shaking(until) => until,
            _ => Duration::MAX,
        };
        match (self.open, self.phase) {
            (true, Phase::Waiting | Phase::Shaking(_) | Phase::Ready) => {
                phase.min(self.outbox.wake_at(self.phase == Phase::Ready))
            }
            _ => phase,
        }
    }

    /// The one way in.
    pub fn on(&mut self, input: Input<'_>, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase == Phase::Over {
            return actions;
        }
        match input {
            Input::Opened => {
                self.open = true;
                self.opened_at = now;
                self.outbox.all_due(now);
            }
            Input::Cut => self.open = false,
            Input::Frame(bytes) => self.frame(bytes, now, &mut actions),
            Input::Keys(bytes) => self.outbox.keys(bytes),
            Input::Size(columns, rows) => {
                if self.size.replace((columns, rows)) != Some((columns, rows)) && self.phase == Phase::Ready {
                    self.send_size();
                }
            }
            Input::Key(answer) => self.key(answer, &mut actions),
            Input::Tick => {}
        }
        self.due(now, &mut actions);
        actions
    }

    fn frame(&mut self, bytes: &[u8], now: Duration, actions: &mut Vec<Action>) {
        let Ok(message) = Message::decode(bytes) else {
            // The service's notes have been seen as bare words, too. Anything else that is damaged will be sent again.
            if bytes == b"channel_closed" {
                self.close(String::new(), now);
            }
            return;
        };
        match message.kind {
            Kind::Output => self.stream(message, now, actions),
            Kind::Acknowledge => {
                let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                if let Some(sequence) = body.get("AcknowledgedMessageSequenceNumber").and_then(Value::as_i64) {
                    self.outbox.acknowledged(sequence, now);
                }
            }
            Kind::ChannelClosed => {
                let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                let text = body.get("Output").and_then(Value::as_str).unwrap_or_default();
                self.close(text.to_owned(), now);
            }
            // The agent's own channel: it sends again what it has to, and so do we.
            Kind::StartPublication | Kind::PausePublication | Kind::Input | Kind::Other(_) => {}
        }
    }

    fn close(&mut self, text: String, now: Duration) {
        self.closed_text = text;
        if !matches!(self.phase, Phase::Closing(_)) {
            self.phase = Phase::Closing(if self.inbox.is_empty() { now } else { now + LINGER });
        }
    }

    /// A message of the agent's stream: in its place, early, or again.
    fn stream(&mut self, message: Message, now: Duration, actions: &mut Vec<Action>) {
        if message.sequence > self.expected {
            let far = message.sequence - self.expected > INBOX as i64;
            // Without an acknowledgement it comes again.
            if far || (self.inbox.len() >= INBOX && !self.inbox.contains_key(&message.sequence)) {
                return;
            }
        }
        self.acknowledge(&message, now, actions);
        if message.sequence < self.expected {
            return;
        }
        self.inbox.insert(message.sequence, message);
        while let Some(message) = self.inbox.remove(&self.expected) {
            self.expected += 1;
            self.handle(&message, now, actions);
            if self.phase == Phase::Over {
                return;
            }
        }
        if matches!(self.phase, Phase::Closing(_)) && self.inbox.is_empty() {
            self.phase = Phase::Closing(now);
        }
    }

    fn acknowledge(&mut self, message: &Message, now: Duration, actions: &mut Vec<Action>) {
        let body = json!({
            "AcknowledgedMessageType": "output_stream_data",
            "AcknowledgedMessageId": uuid_text(&message.id),
            "AcknowledgedMessageSequenceNumber": message.sequence,
            "IsSequentialMessage": true,
        });
        let acknowledgement = Message {
            kind: Kind::Acknowledge,
            created: self.created(now),
            sequence: 0,
            flags: 3,
            id: self.id(),
            payload_type: 0,
            payload: body.to_string().into_bytes(),
        };
        if self.open {
            actions.push(Action::Send(acknowledgement.encode()));
        }
    }

    fn handle(&mut self, message: &Message, now: Duration, actions: &mut Vec<Action>) {
        match message.payload_type {
            payload::OUTPUT | payload::ERROR_OUTPUT | payload::EXIT_CODE => {
                let Some(bytes) = self.opened(&message.payload) else {
                    self.fail("the session's output cannot be decrypted".to_owned(), actions);
                    return;
                };
                self.ready(actions);
                if message.payload_type == payload::EXIT_CODE {
                    let text = String::from_utf8_lossy(&bytes);
                    let code = text.trim().rsplit(' ').next().and_then(|it| it.parse().ok());
                    actions.extend(code.map(Action::ExitCode));
                } else {
                    actions.push(Action::Print(bytes));
                }
            }
            payload::ERROR => {
                actions.push(Action::Note(String::from_utf8_lossy(&message.payload).into_owned()));
            }
            payload::HANDSHAKE_REQUEST => self.shake(&message.payload, now, actions),
            payload::CHALLENGE_REQUEST => self.challenge(&message.payload, actions),
            payload::HANDSHAKE_COMPLETE => {
                let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                let text = body.get("CustomerMessage").and_then(Value::as_str).unwrap_or_default();
                if !text.is_empty() {
                    actions.push(Action::Note(text.to_owned()));
                }
                self.ready(actions);
            }
            _ => {}
        }
    }

    fn opened(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match &self.crypt {
            Some(crypt) => crypt.open(bytes),
            None => Some(bytes.to_vec()),
        }
    }

    fn ready(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Waiting | Phase::Shaking(_)) {
            self.phase = Phase::Ready;
            self.send_size();
            actions.push(Action::Ready);
        }
    }

    fn send_size(&mut self) {
        if let Some((columns, rows)) = self.size {
            // A size that waits is out of date now.
            let body = json!({ "cols": columns, "rows": rows }).to_string();
            self.outbox.message(payload::SIZE, body.into_bytes());
        }
    }

    fn fail(&mut self, text: String, actions: &mut Vec<Action>) {
        self.phase = Phase::Over;
        actions.push(Action::Failed(text));
    }

    /// What time demands.
    fn due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let Phase::Closing(until) = self.phase {
            if now < until {
                return;
            }
            // What is still missing will never come; the rest is better than nothing.
            let missing = !self.inbox.is_empty();
            for (_, message) in std::mem::take(&mut self.inbox) {
                self.handle(&message, now, actions);
            }
            if missing {
                actions.push(Action::Note("some of the session's last output is missing".to_owned()));
            }
            self.phase = Phase::Over;
            actions.push(Action::Closed(std::mem::take(&mut self.closed_text)));
            return;
        }
        if self.phase == Phase::Waiting && self.open && now >= self.opened_at + SILENCE {
            self.ready(actions);
        }
        if matches!(self.phase, Phase::Shaking(until) if now >= until) {
            self.fail("the handshake of the session did not come to its end".to_owned(), actions);
        }
        if !self.open || self.phase == Phase::Over {
            return;
        }
        // Before it is ready the agent acknowledges keys and throws them away.
        let keys_too = self.phase == Phase::Ready;
        loop {
            let next = self.outbox.next(now, keys_too);
            let (sequence, id, payload_type, plain) = match next {
                outbox::Next::Nothing => break,
                outbox::Next::Again(bytes) => {
                    actions.push(Action::Send(bytes));
                    continue;
                }
                outbox::Next::New { sequence, payload_type, payload } => (sequence, self.id(), payload_type, payload),
            };
            let payload = match &mut self.crypt {
                Some(crypt) if payload_type == payload::OUTPUT => crypt.seal(&plain).unwrap_or_default(),
                _ => plain,
            };
            let message = Message {
                kind: Kind::Input,
                created: self.created(now),
                sequence,
                flags: 0,
                id,
                payload_type,
                payload,
            };
            let bytes = message.encode();
            self.outbox.sent(sequence, bytes.clone(), now);
            actions.push(Action::Send(bytes));
        }
        if self.outbox.is_hopeless(now) {
            self.fail("the other side has acknowledged nothing for five minutes".to_owned(), actions);
        }
    }

    fn created(&self, now: Duration) -> u64 {
        self.settings.epoch + u64::try_from(now.as_millis()).unwrap_or(0)
    }

    /// A fresh UUID of version 4.
    fn id(&mut self) -> [u8; 16] {
        self.ids += 1;
        self.derived(b"id", self.ids)
    }

    fn derived(&self, purpose: &[u8], number: u64) -> [u8; 16] {
        let bytes = self.random(purpose, number);
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[..16]);
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }

    fn random(&self, purpose: &[u8], number: u64) -> [u8; 32] {
        let mut text = self.settings.seed.to_vec();
        text.extend_from_slice(purpose);
        text.extend_from_slice(&number.to_be_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &text).as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests;
