//! The binary messages of an ECS Exec session: one layout in both directions, integers big-endian, the UUID with its halves swapped.

use ring::digest::{SHA256, digest};

/// What a peer's header may say of its own length: the service leaves the payload type out of its own messages.
const SHORT_HEADER: usize = 112;
/// With the payload type. The header's length does not count the payload's length behind it.
const HEADER: usize = 116;

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `input_stream_data`: from us.
    Input,
    /// `output_stream_data`: from the agent.
    Output,
    /// `acknowledge`: both ways.
    Acknowledge,
    /// `channel_closed`: the service says that the session is over.
    ChannelClosed,
    /// `start_publication`: the agent's own channel is up.
    StartPublication,
    /// `pause_publication`: the agent's own channel is down.
    PausePublication,
    /// Anything else.
    Other(String),
}

impl Kind {
    fn name(&self) -> &str {
        match self {
            Kind::Input => "input_stream_data",
            Kind::Output => "output_stream_data",
            Kind::Acknowledge => "acknowledge",
            Kind::ChannelClosed => "channel_closed",
            Kind::StartPublication => "start_publication",
            Kind::PausePublication => "pause_publication",
            Kind::Other(name) => name,
        }
    }

    /// The kind of that name.
    pub fn of(name: &str) -> Kind {
        match name {
            "input_stream_data" => Kind::Input,
            "output_stream_data" => Kind::Output,
            "acknowledge" => Kind::Acknowledge,
            "channel_closed" => Kind::ChannelClosed,
            "start_publication" => Kind::StartPublication,
            "pause_publication" => Kind::PausePublication,
            other => Kind::Other(other.to_owned()),
        }
    }
}

/// What a payload is, by number.
pub mod payload {
    /// Bytes of the terminal, either way.
    pub const OUTPUT: u32 = 1;
    /// A text about an error.
    pub const ERROR: u32 = 2;
    /// The terminal's size.
    pub const SIZE: u32 = 3;
    /// The agent's wishes.
    pub const HANDSHAKE_REQUEST: u32 = 5;
    /// What became of them.
    pub const HANDSHAKE_RESPONSE: u32 = 6;
    /// The session can begin.
    pub const HANDSHAKE_COMPLETE: u32 = 7;
    /// Proof of the key: the agent's.
    pub const CHALLENGE_REQUEST: u32 = 8;
    /// Proof of the key: ours.
    pub const CHALLENGE_RESPONSE: u32 = 9;
    /// Standard error, where the agent keeps the streams apart.
    pub const ERROR_OUTPUT: u32 = 11;
    /// `EXIT_CODE: 7`, where the agent knows one.
    pub const EXIT_CODE: u32 = 12;
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Of stream data, from 0 in each direction; 0 for everything else.
    pub sequence: i64,
    /// Bit 0 SYN, bit 1 FIN.
    pub flags: u64,
    /// In the order in which a UUID is written.
    pub id: [u8; 16],
    /// See [`payload`]; 0 for acknowledgements and the service's own.
    pub payload_type: u32,
    /// The bytes; of an encrypted session the ciphertext.
    pub payload: Vec<u8>,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end before the payload begins.
    TooShort,
    /// The header says that it is shorter or longer than any is.
    HeaderLength(u32),
    /// There is no type.
    NoType,
    /// There is no date.
    NoDate,
    /// The payload is shorter than the header says, or not what its digest says.
    Damaged,
}

impl Message {
    /// The bytes of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + 4 + self.payload.len());
        bytes.extend_from_slice(&(HEADER as u32).to_be_bytes());
        let mut name = [b' '; 32];
        for (to, from) in name.iter_mut().zip(self.kind.name().bytes()) {
            *to = from;
        }
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&1_u32.to_be_bytes());
        bytes.extend_from_slice(&self.created.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(&self.id[8..]);
        bytes.extend_from_slice(&self.id[..8]);
        bytes.extend_from_slice(digest(&SHA256, &self.payload).as_ref());
        bytes.extend_from_slice(&self.payload_type.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads a frame.
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        let length = u32::from_be_bytes(part(bytes, 0)?);
        let header = length as usize;
        if !(SHORT_HEADER..=HEADER).contains(&header) {
            return Err(Malformed::HeaderLength(length));
        }
        let name: [u8; 32] = part(bytes, 4)?;
        let name = String::from_utf8_lossy(&name);
        let kind = Kind::of(name.trim_end_matches(['\0', ' ']));
        let created = u64::from_be_bytes(part(bytes, 40)?);
        let sequence = i64::from_be_bytes(part(bytes, 48)?);
        let flags = u64::from_be_bytes(part(bytes, 56)?);
        let (low, high): ([u8; 8], [u8; 8]) = (part(bytes, 64)?, part(bytes, 72)?);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high);
        id[8..].copy_from_slice(&low);
        let expected: [u8; 32] = part(bytes, 80)?;
        let payload_type = if header >= HEADER { u32::from_be_bytes(part(bytes, 112)?) } else { 0 };
        let length = u32::from_be_bytes(part(bytes, header)?) as usize;
        let payload = bytes.get(header + 4..).unwrap_or_default().to_vec();
        if kind == Kind::Other(String::new()) {
            return Err(Malformed::NoType);
        }
        if created == 0 {
            return Err(Malformed::NoDate);
        }
        // The service's notes about the agent's channel carry no digest.
        let bare = matches!(kind, Kind::StartPublication | Kind::PausePublication);
        if !bare && (payload.len() != length || digest(&SHA256, &payload).as_ref() != expected) {
            return Err(Malformed::Damaged);
        }
        Ok(Message { kind, created, sequence, flags, id, payload_type, payload })
    }
}

fn part<const N: usize>(bytes: &[u8], from: usize) -> Result<[u8; N], Malformed> {
    bytes.get(from..from + N).and_then(|it| it.try_into().ok()).ok_or(Malformed::TooShort)
}

/// A UUID as it is written.
pub fn uuid_text(id: &[u8; 16]) -> String {
    let hex: String = id.iter().map(|it| format!("{it:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "00000074696e7075745f73747265616d5f6461746120202020202020202020202020202000000001000001a0b9a99dfb000000000000000700000000000000008899aabbccddeeff0011223344556677edf7359c89077b608a6b3e8b19e63bbfc7aa724989a05ea371a9966a6e9db7cc00000003000000167b22636f6c73223a3132302c22726f7773223a34307d";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|it| u8::from_str_radix(&hex[it..it + 2], 16).unwrap()).collect()
    }

    fn known() -> Message {
        Message {
            kind: Kind::Input,
            created: 1_789_821_296_123,
            sequence: 7,
            flags: 0,
            id: bytes("00112233445566778899aabbccddeeff").try_into().unwrap(),
            payload_type: payload::SIZE,
            payload: br#"{"cols":120,"rows":40}"#.to_vec(),
        }
    }

    #[test]
    fn the_known_message_has_the_known_bytes() {
        assert_eq!(known().encode(), bytes(KNOWN));
        assert_eq!(Message::decode(&bytes(KNOWN)), Ok(known()));
        assert_eq!(uuid_text(&known().id), "00112233-4455-6677-8899-aabbccddeeff");
    }

    /// What the service sends at the end of a session: no payload type, and a name that is padded with NUL.
    fn short(name: &str, text: &str) -> Vec<u8> {
        let mut long = Message { kind: Kind::of(name), payload: text.into(), ..known() }.encode();
        long[..4].copy_from_slice(&112_u32.to_be_bytes());
        for byte in &mut long[4 + name.len()..36] {
            *byte = 0;
        }
        long.drain(112..116);
        long
    }

    #[test]
    fn a_header_without_payload_type_is_read() {
        let message = Message::decode(&short("channel_closed", "{}")).unwrap();
        assert_eq!((message.kind, message.payload_type, message.payload), (Kind::ChannelClosed, 0, b"{}".to_vec()));
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let good = known().encode();
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            Message::decode(&bytes).unwrap_err()
        };
        assert_eq!(changed(3, 0), Malformed::HeaderLength(0));
        assert_eq!(changed(3, 117), Malformed::HeaderLength(117));
        assert_eq!(changed(120, b'x'), Malformed::Damaged);
        assert_eq!(changed(90, 0), Malformed::Damaged);
        assert_eq!(changed(119, 9), Malformed::Damaged);
        let mut dateless = good.clone();
        dateless[40..48].fill(0);
        assert_eq!(Message::decode(&dateless), Err(Malformed::NoDate));
        let mut nameless = good.clone();
        nameless[4..36].fill(b' ');
        assert_eq!(Message::decode(&nameless), Err(Malformed::NoType));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = known().encode();
        for length in 0..good.len() {
            assert!(Message::decode(&good[..length]).is_err(), "{length}");
        }
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = (state >> 20) as u8;
            }
            bytes.truncate((state >> 40) as usize % (good.len() + 1));
            let _ = Message::decode(&bytes);
        }
    }

    #[test]
    fn publication_notes_need_no_digest() {
        let mut bytes = Message { kind: Kind::StartPublication, payload: b"start".to_vec(), ..known() }.encode();
        bytes[80..112].fill(0);
        assert_eq!(Message::decode(&bytes).unwrap().kind, Kind::StartPublication);
    }
}
