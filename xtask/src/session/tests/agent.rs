//! The agent's half of a session, without I/O: what the agent of ECS does with messages, by its published behaviour. It sends again
//! only the oldest message that is not acknowledged, acknowledges duplicates, keeps what comes early, and acknowledges no input before
//! its pseudo-terminal is there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::wire::crypt::{Crypt, DataKey};
use super::wire::message::{Kind, Message, payload, uuid_text};

const RTO: Duration = Duration::from_millis(200);

/// What the agent heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Input(Vec<u8>),
    Size(u16, u16),
    /// The client has answered the handshake: its encrypted data key, and whether it met the challenge.
    EncryptedKey(String, bool),
    /// The handshake is over.
    Shaken,
    /// The client cannot do what was asked.
    Refused(String),
}

#[derive(Debug)]
struct Waiting {
    sequence: i64,
    bytes: Vec<u8>,
    at: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Agent {
    sequence: i64,
    expected: i64,
    early: BTreeMap<i64, Message>,
    waiting: VecDeque<Waiting>,
    ids: u128,
    /// Whether the pseudo-terminal is there.
    pub up: bool,
    pub crypt: Option<Crypt>,
    challenge: Vec<u8>,
    ready: bool,
    /// Every number of a stream message that the client sent, duplicates included.
    pub seen: Vec<i64>,
}

impl Agent {
    /// Without a handshake, as sessions of ECS Exec usually are.
    pub fn new() -> Agent {
        Agent {
            sequence: 0,
            expected: 0,
            early: BTreeMap::new(),
            waiting: VecDeque::new(),
            ids: 0,
            up: true,
            crypt: None,
            challenge: Vec::new(),
            ready: true,
            seen: Vec::new(),
        }
    }

    /// Asks for a handshake, with encryption under a KMS key where one is given.
    pub fn shake(&mut self, key_id: Option<&str>, challenge: Option<&str>, now: Duration) -> Vec<u8> {
        self.ready = false;
        let mut actions = vec![json!({
            "ActionType": "SessionType",
            "ActionParameters": { "SessionType": "InteractiveCommands", "Properties": null },
        })];
        if let Some(key_id) = key_id {
            let mut parameters = json!({ "KMSKeyId": key_id });
            if let Some(challenge) = challenge {
                parameters["Challenge"] = json!(challenge);
            }
            actions.push(json!({ "ActionType": "KMSEncryption", "ActionParameters": parameters }));
        }
        let body = json!({ "AgentVersion": "3.3.2299.0", "RequestedClientActions": actions });
        self.send(payload::HANDSHAKE_REQUEST, body.to_string().into_bytes(), now)
    }

    /// The agent's KMS has decrypted the client's key: it wants a proof.
    pub fn challenge(&mut self, key: &DataKey, now: Duration) -> Vec<u8> {
        let mut crypt = Crypt::agent(key, [7; 12]).expect("the key has the right length");
        self.challenge = (0..64).map(|it| it * 3).collect();
        let sealed = crypt.seal(&self.challenge).expect("it can be encrypted");
        self.crypt = Some(crypt);
        let body = json!({ "Challenge": data_encoding::BASE64.encode(&sealed) });
        self.send(payload::CHALLENGE_REQUEST, body.to_string().into_bytes(), now)
    }

    pub fn complete(&mut self, text: &str, now: Duration) -> Vec<u8> {
        self.ready = true;
        let body = json!({ "HandshakeTimeToComplete": 1_000_000, "CustomerMessage": text });
        self.send(payload::HANDSHAKE_COMPLETE, body.to_string().into_bytes(), now)
    }

    /// Output of the terminal, at most 1,024 bytes: a frame to send.
    pub fn output(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        let bytes = match &mut self.crypt {
            Some(crypt) => crypt.seal(bytes).expect("it can be encrypted"),
            None => bytes.to_vec(),
        };
        self.send(payload::OUTPUT, bytes, now)
    }

    fn id(&mut self) -> [u8; 16] {
        self.ids += 1;
        (self.ids | 1 << 100).to_be_bytes()
    }

    fn send(&mut self, payload_type: u32, payload: Vec<u8>, now: Duration) -> Vec<u8> {
        let sequence = self.sequence;
        self.sequence += 1;
        let id = self.id();
        let flags = u64::from(sequence == 0);
        let message = Message { kind: Kind::Output, created: 1, sequence, flags, id, payload_type, payload };
        let bytes = message.encode();
        self.waiting.push_back(Waiting { sequence, bytes: bytes.clone(), at: now });
        bytes
    }

    /// Whether all output has been acknowledged.
    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How much is on the way.
    pub fn on_the_way(&self) -> usize {
        self.waiting.len()
    }

    /// What is to be sent again now.
    pub fn tick(&mut self, now: Duration) -> Option<Vec<u8>> {
        let oldest = self.waiting.front_mut().filter(|it| now >= it.at + RTO)?;
        oldest.at = now;
        Some(oldest.bytes.clone())
    }

    /// A frame of the client: what was heard, and the frames to send.
    pub fn frame(&mut self, bytes: &[u8], now: Duration) -> (Vec<Heard>, Vec<Vec<u8>>) {
        let (mut heard, mut answers) = (Vec::new(), Vec::new());
        let message = Message::decode(bytes).expect("the client's messages are whole");
        match message.kind {
            Kind::Acknowledge => {
                assert_eq!((message.flags, message.sequence, message.payload_type), (3, 0, 0));
                let body: Value = serde_json::from_slice(&message.payload).expect("an acknowledgement is JSON");
                assert_eq!(body["AcknowledgedMessageType"], "output_stream_data");
                assert_eq!(body["IsSequentialMessage"], true);
                let sequence = body["AcknowledgedMessageSequenceNumber"].as_i64().expect("it has a number");
                self.waiting.retain(|it| it.sequence != sequence);
            }
            Kind::Input => {
                assert!(message.payload.len() <= 1024 + 28, "too long: {}", message.payload.len());
                assert_eq!(message.flags, 0);
                self.seen.push(message.sequence);
                // Not acknowledged: it will come again.
                if !self.up && matches!(message.payload_type, payload::OUTPUT | payload::SIZE) {
                    return (heard, answers);
                }
                let id = self.id();
                let body = json!({
                    "AcknowledgedMessageType": "input_stream_data",
                    "AcknowledgedMessageId": uuid_text(&message.id),
                    "AcknowledgedMessageSequenceNumber": message.sequence,
                    "IsSequentialMessage": true,
                });
                let acknowledgement = Message {
                    kind: Kind::Acknowledge,
                    created: 1,
                    sequence: 0,
                    flags: 3,
                    id,
                    payload_type: 0,
                    payload: body.to_string().into_bytes(),
                };
                answers.push(acknowledgement.encode());
                if message.sequence >= self.expected {
                    self.early.insert(message.sequence, message);
                }
                while let Some(message) = self.early.remove(&self.expected) {
                    self.expected += 1;
                    self.handle(&message, now, &mut heard, &mut answers);
                }
            }
            other => panic!("the client sent {other:?}"),
        }
        (heard, answers)
    }

    fn handle(&mut self, message: &Message, now: Duration, heard: &mut Vec<Heard>, answers: &mut Vec<Vec<u8>>) {
        let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        match message.payload_type {
            // What comes before the end of the handshake is lost.
            payload::OUTPUT | payload::SIZE if !self.ready => {}
            payload::OUTPUT => {
                let bytes = match &self.crypt {
                    Some(crypt) => crypt.open(&message.payload).expect("the client encrypts with its key"),
                    None => message.payload.clone(),
                };
                heard.push(Heard::Input(bytes));
            }
            payload::SIZE => {
                let part = |name: &str| body[name].as_u64().and_then(|it| u16::try_from(it).ok()).expect("a size");
                heard.push(Heard::Size(part("cols"), part("rows")));
            }
            payload::HANDSHAKE_RESPONSE => {
                assert_eq!(body["ClientVersion"], "1.2.764.0");
                let mut key = None;
                for action in body["ProcessedClientActions"].as_array().into_iter().flatten() {
                    if action["ActionStatus"] != 1 {
                        heard.push(Heard::Refused(action["Error"].as_str().unwrap_or_default().to_owned()));
                        return;
                    }
                    if action["ActionType"] == "KMSEncryption" {
                        let result = &action["ActionResult"];
                        let text = result["KMSCipherTextKey"].as_str().expect("the encrypted key");
                        key = Some((text.to_owned(), result["ChallengeAcknowledgement"] == true));
                    }
                }
                match key {
                    Some((key, acknowledged)) => heard.push(Heard::EncryptedKey(key, acknowledged)),
                    None => {
                        answers.push(self.complete("", now));
                        heard.push(Heard::Shaken);
                    }
                }
            }
            payload::CHALLENGE_RESPONSE => {
                let sealed = data_encoding::BASE64.decode(body["Challenge"].as_str().expect("a challenge").as_bytes());
                let crypt = self.crypt.as_ref().expect("a challenge was sent");
                let plain = crypt.open(&sealed.expect("base64")).expect("the client encrypts with its key");
                assert_eq!(plain, self.challenge);
                answers.push(self.complete("This session is encrypted using AWS KMS.", now));
                heard.push(Heard::Shaken);
            }
            other => panic!("the client sent the payload type {other}"),
        }
    }
}

/// The service's last word. `short`: with the header that it really has, 112 bytes and a name padded with NUL.
pub fn channel_closed(text: &str, short: bool) -> Vec<u8> {
    let body = json!({
        "MessageId": "0", "CreatedDate": "2026-01-01", "DestinationId": "d", "SessionId": "s",
        "MessageType": "channel_closed", "SchemaVersion": 1, "Output": text,
    });
    let message = Message {
        kind: Kind::ChannelClosed,
        created: 1,
        sequence: 0,
        flags: 0,
        id: [9; 16],
        payload_type: 0,
        payload: body.to_string().into_bytes(),
    };
    let mut bytes = message.encode();
    if short {
        bytes[..4].copy_from_slice(&112_u32.to_be_bytes());
        bytes[4 + "channel_closed".len()..36].fill(0);
        bytes.drain(112..116);
    }
    bytes
}
