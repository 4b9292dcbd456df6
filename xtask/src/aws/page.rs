//! Reads the JSON of a page of log events, ten thousand lines at a time. The SDK's own way goes from byte to byte, which in a build
//! without optimisation is most of the time that a long output takes; here whole runs of bytes are compared and searched. What this
//! does not understand it leaves to the SDK.

use memchr::{memchr, memchr2, memmem};

use crate::model::{LogEvent, Timestamp};

/// The forward token alone, of a page whose events are read later. `None`: it stands somewhere else than usual.
pub fn next_token(body: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"nextForwardToken\":\"";
    // Behind the events or before them. No line can look like this: its quotes are escaped.
    let ends = [&body[body.len().saturating_sub(1024)..], &body[..body.len().min(1024)]];
    ends.into_iter().find_map(|it| {
        let from = memmem::rfind(it, KEY)? + KEY.len();
        let token = &it[from..from + memchr(b'"', &it[from..])?];
        if token.contains(&b'\\') { None } else { String::from_utf8(token.to_vec()).ok() }
    })
}

/// The events of a page and its forward token. `None`: not what CloudWatch Logs usually sends.
pub fn read(body: &[u8]) -> Option<(Vec<LogEvent>, Option<String>)> {
    // Checked once for all lines.
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader { text, body, at: 0 };
    let (mut events, mut next_token) = (Vec::new(), None);
    reader.expect(b'{')?;
    loop {
        match reader.key()? {
            b"events" => events = reader.events()?,
            b"nextForwardToken" => next_token = Some(reader.text()?),
            _ => reader.skip()?,
        }
        if !reader.another(b'}')? {
            return reader.peek().is_none().then_some((events, next_token));
        }
    }
}

/// What stands around the three values of an event, in the order in which the event before had them: AWS writes all alike.
#[derive(Default)]
struct Layout {
    members: Vec<Member>,
    end: Vec<u8>,
    /// The timestamp without its last four digits, and what it is worth: neighbours share it.
    shared: (Vec<u8>, i64),
}

impl Layout {
    fn timestamp(&self, digits: &[u8]) -> Option<i64> {
        let (high, low) = digits.split_last_chunk::<4>()?;
        if *high != self.shared.0[..] {
            return number(digits);
        }
        let mut value = 0;
        let mut index = 0;
        // A loop without an iterator: in a build without optimisation that is several times faster.
        while index < 4 {
            if !low[index].is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(low[index] - b'0');
            index += 1;
        }
        Some(self.shared.1 + value)
    }
}

struct Member {
    /// Up to the value; of a text with its quote.
    before: Vec<u8>,
    kind: Kind,
    /// Of a number.
    length: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Message,
    Timestamp,
    Other,
}

struct Reader<'a> {
    text: &'a str,
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.body.get(self.at) {
            self.at += 1;
        }
        self.body.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        found.then_some(())
    }

    /// Whether there is a comma; else this must be the end.
    fn another(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' { Some(true) } else { (byte == end).then_some(false) }
    }

    /// A key with its colon. One with an escape in it is none of ours.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let from = self.at;
        self.at += memchr(b'"', &self.body[from..])?;
        let key = &self.body[from..self.at];
        self.at += 1;
        self.expect(b':')?;
        Some(key)
    }

    fn text(&mut self) -> Option<String> {
        self.expect(b'"')?;
        self.rest_of_text()
    }

    /// A text from behind its first quote on.
    fn rest_of_text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let from = self.at;
            self.at += memchr2(b'"', b'\\', &self.body[from..])?;
            let run = self.text.get(from..self.at)?;
            let is_end = self.body[self.at] == b'"';
            self.at += 1;
            if is_end && text.is_empty() {
                return Some(run.to_owned());
            }
            text.push_str(run);
            if is_end {
                return Some(text);
            }
            text.push(self.escaped()?);
        }
    }

    /// What stands for itself behind a backslash, and the frequent rest.
    fn escaped(&mut self) -> Option<char> {
        let byte = *self.body.get(self.at)?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = self.unit()?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    if !self.body.get(self.at..)?.starts_with(b"\\u") {
                        return None;
                    }
                    self.at += 2;
                    vec![first, self.unit()?]
                } else {
                    vec![first]
                };
                let mut decoded = char::decode_utf16(units);
                decoded.next()?.ok().filter(|_| decoded.next().is_none())?
            }
            _ => return None,
        })
    }

    /// The four digits of an escaped unit of UTF-16.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Option<i64> {
        self.peek()?;
        let digits = self.body[self.at..].iter().take_while(|it| it.is_ascii_digit() || **it == b'-').count();
        let number = number(&self.body[self.at..self.at + digits])?;
        self.at += digits;
        Some(number)
    }

    /// A value that is of no interest. One that is neither a text nor a number is left to the SDK.
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.text().map(|_| ()),
            _ => self.number().map(|_| ()),
        }
    }

    fn events(&mut self) -> Option<Vec<LogEvent>> {
        // About as many as there are, so that a page takes no more memory than it must.
        let (mut events, mut layout) = (Vec::with_capacity(self.body.len() / 128), Layout::default());
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(events);
        }
        loop {
            let from = self.at;
            let event = match self.alike(&layout) {
                Some(event) => event,
                None => {
                    self.at = from;
                    self.event(&mut layout)?
                }
            };
            events.push(event);
            // By far the most frequent case first.
            if self.body.get(self.at) == Some(&b',') {
                self.at += 1;
            } else if !self.another(b']')? {
                return Some(events);
            }
        }
    }

    /// An event that looks as the one before.
    fn alike(&mut self, layout: &Layout) -> Option<LogEvent> {
        let (mut message, mut timestamp) = (None, 0);
        let body = self.body;
        let mut at = self.at;
        for member in &layout.members {
            if !body.get(at..)?.starts_with(&member.before) {
                return None;
            }
            at += member.before.len();
            if member.kind == Kind::Message {
                self.at = at;
                message = Some(self.rest_of_text()?);
                at = self.at;
            } else {
                if member.kind == Kind::Timestamp {
                    timestamp = layout.timestamp(body.get(at..at + member.length)?)?;
                }
                at += member.length;
            }
        }
        if !body.get(at..)?.starts_with(&layout.end) {
            return None;
        }
        self.at = at + layout.end.len();
        Some(LogEvent { timestamp: Timestamp(timestamp), message: message? })
    }

    /// Any event; what it looks like is remembered.
    fn event(&mut self, layout: &mut Layout) -> Option<LogEvent> {
        *layout = Layout::default();
        let (mut message, mut timestamp) = (String::new(), 0);
        let mut from = self.at;
        self.expect(b'{')?;
        loop {
            let key = self.key()?;
            let kind = match key {
                b"message" => Kind::Message,
                b"timestamp" => Kind::Timestamp,
                _ => Kind::Other,
            };
            self.peek()?;
            let value = self.at;
            match kind {
                Kind::Message => message = self.text()?,
                Kind::Timestamp => {
                    timestamp = self.number()?;
                    let digits = &self.body[value..self.at];
                    if timestamp >= 10_000 {
                        layout.shared = (digits[..digits.len() - 4].to_vec(), timestamp / 10_000 * 10_000);
                    }
                }
                Kind::Other => drop(self.number()?),
            }
            let before = self.body[from..value + usize::from(kind == Kind::Message)].to_vec();
            layout.members.push(Member { before, kind, length: self.at - value });
            from = self.at;
            if !self.another(b'}')? {
                break;
            }
        }
        layout.end = self.body[from..self.at].to_vec();
        Some(LogEvent { timestamp: Timestamp(timestamp), message })
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What serde makes of it.
    fn expected(body: &str) -> (Vec<LogEvent>, Option<String>) {
        let page: Value = serde_json::from_str(body).unwrap();
        let events = page["events"].as_array().unwrap().iter().map(|it| LogEvent {
            timestamp: Timestamp(it["timestamp"].as_i64().unwrap()),
            message: it["message"].as_str().unwrap().to_owned(),
        });
        (events.collect(), page["nextForwardToken"].as_str().map(str::to_owned))
    }

    const MESSAGES: [&str; 12] = [
        "plain",
        "",
        "a \"quoted\" word",
        "\\",
        "\"",
        "ends in \\\"",
        "tab\tand\nline",
        "\u{1}\u{7f}",
        "größer 日本",
        "\u{1f600}\u{301}",
        "\"nextForwardToken\":\"f/9\"",
        "{\"message\":\"x\"},[",
    ];

    #[test]
    fn it_reads_what_serde_reads() {
        let events = |order: [&str; 3]| -> Vec<Value> {
            let mut events = Vec::new();
            for number in 0..60_i64 {
                let mut event = serde_json::Map::new();
                for name in order {
                    let value = match name {
                        "message" => json!(MESSAGES[(number * 7 % 12) as usize]),
                        "timestamp" => json!(
                            [0, 7, 1_764_000_009_998 + number * 13, 1_764_000_000_000, -1][(number / 5 % 5) as usize]
                        ),
                        _ => json!(1_764_000_000_000 + number * number * 1_000),
                    };
                    event.insert(name.to_owned(), value);
                }
                events.push(event.into());
            }
            events
        };
        for order in [
            ["ingestionTime", "message", "timestamp"],
            ["timestamp", "message", "ingestionTime"],
            ["message", "timestamp", "ingestionTime"],
        ] {
            let before = json!({ "nextForwardToken": "f/1", "nextBackwardToken": "b/1", "events": events(order) });
            let behind = json!({ "events": events(order), "nextBackwardToken": "b/1", "nextForwardToken": "f/1" });
            for page in [before, behind] {
                for body in [page.to_string(), serde_json::to_string_pretty(&page).unwrap(), ascii(&page.to_string())] {
                    assert_eq!(read(body.as_bytes()), Some(expected(&body)), "{body}");
                }
                assert_eq!(next_token(page.to_string().as_bytes()).as_deref(), Some("f/1"));
            }
        }
        // Members that come in another order from one event to the next, and others.
        let mixed: Vec<Value> = events(["message", "timestamp", "ingestionTime"])
            .into_iter()
            .zip(events(["timestamp", "message", "ingestionTime"]))
            .flat_map(|(a, b)| [a, b])
            .collect();
        let body = json!({ "searched": 7, "events": mixed }).to_string();
        assert_eq!(read(body.as_bytes()), Some(expected(&body)));
        for body in [r#"{"events":[]}"#, r#"{"events":[],"nextForwardToken":"f/\u002f"}"#] {
            assert_eq!(read(body.as_bytes()), Some(expected(body)));
        }
    }

    /// As some servers escape.
    fn ascii(text: &str) -> String {
        let mut escaped = String::new();
        for character in text.chars() {
            if character.is_ascii() {
                escaped.push(character);
            } else {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|it| escaped.push_str(&format!("\\u{it:04x}")));
            }
        }
        escaped
    }

    /// Cut anywhere and with any byte changed it is read as serde reads it, or left to the SDK.
    #[test]
    fn what_is_broken_is_left_alone() {
        let event = |message: &str| json!({ "ingestionTime": 1_764_000_000_000_i64, "message": message, "timestamp": 1_764_000_000_001_i64 });
        let events: Vec<Value> = ["one \"1\"", "two\\", "drei größer"].map(event).into();
        let body = json!({ "events": events, "nextForwardToken": "f/1" }).to_string().into_bytes();
        let check = |body: &[u8]| {
            if let Some(page) = read(body) {
                let text = std::str::from_utf8(body).unwrap();
                assert_eq!(page, expected(text), "{text}");
            }
            let _ = next_token(body);
        };
        for at in 0..body.len() {
            assert_eq!(read(&body[..at]), None, "{at}");
            for byte in [b'"', b'\\', b',', b'{', b'}', b'[', b']', b':', b' ', b'0', b'x', b'-', 0xff] {
                let mut changed = body.clone();
                changed[at] = byte;
                if serde_json::from_slice::<Value>(&changed).is_ok_and(|it| is_page(&it)) {
                    check(&changed);
                }
                // Whatever it says: no panic.
                let _ = (read(&changed), next_token(&changed));
                changed.insert(at, byte);
                let _ = (read(&changed), next_token(&changed));
            }
        }
    }

    fn is_page(page: &Value) -> bool {
        let events = page["events"].as_array();
        events.is_some_and(|it| it.iter().all(|it| it["message"].is_string() && it["timestamp"].is_i64()))
    }
}
