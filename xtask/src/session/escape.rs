//! The one key sequence that is ours, for when the other side is dead: as in ssh, `~` behind Enter.

/// What the keys mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// For the remote side.
    Send(Vec<u8>),
    /// `~.`: end the session.
    End,
    /// `~^Z`: suspend this program.
    Suspend,
    /// `~?`: say what there is.
    Help,
}

/// Tells escapes from keys.
#[derive(Debug)]
pub struct Escapes {
    line_start: bool,
    tilde: bool,
}

impl Default for Escapes {
    fn default() -> Escapes {
        Escapes { line_start: true, tilde: false }
    }
}

impl Escapes {
    /// Takes what was typed or pasted. A `~` that begins a line waits for the key behind it.
    pub fn keys(&mut self, bytes: &[u8]) -> Vec<Keys> {
        let mut found = Vec::new();
        let mut plain = Vec::new();
        for &byte in bytes {
            if self.tilde {
                self.tilde = false;
                let escape = match byte {
                    b'.' => Some(Keys::End),
                    0x1a => Some(Keys::Suspend),
                    b'?' => Some(Keys::Help),
                    _ => None,
                };
                if let Some(escape) = escape {
                    if !plain.is_empty() {
                        found.push(Keys::Send(std::mem::take(&mut plain)));
                    }
                    self.line_start = true;
                    found.push(escape);
                    continue;
                }
                plain.push(b'~');
                if byte == b'~' {
                    self.line_start = false;
                    continue;
                }
            } else if self.line_start && byte == b'~' {
                self.tilde = true;
                continue;
            }
            plain.push(byte);
            self.line_start = byte == b'\r' || byte == b'\n';
        }
        if !plain.is_empty() {
            found.push(Keys::Send(plain));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(inputs: &[&str]) -> Vec<Keys> {
        let mut escapes = Escapes::default();
        inputs.iter().flat_map(|it| escapes.keys(it.as_bytes())).collect()
    }

    fn send(text: &str) -> Keys {
        Keys::Send(text.into())
    }

    #[test]
    fn escapes_stand_at_the_start_of_a_line_only() {
        assert_eq!(all(&["~."]), [Keys::End]);
        assert_eq!(all(&["ls\r", "~", "."]), [send("ls\r"), Keys::End]);
        assert_eq!(all(&["ls\r~.x"]), [send("ls\r"), Keys::End, send("x")]);
        assert_eq!(all(&["a~."]), [send("a~.")]);
        assert_eq!(all(&["cd ~.\r"]), [send("cd ~.\r")]);
        assert_eq!(all(&["~~."]), [send("~.")]);
        assert_eq!(all(&["~/x\r"]), [send("~/x\r")]);
        assert_eq!(all(&["~\r~."]), [send("~\r"), Keys::End]);
        assert_eq!(all(&["~\u{1a}", "~?"]), [Keys::Suspend, Keys::Help]);
    }
}
