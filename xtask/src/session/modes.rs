//! What a remote program has switched on in the local terminal: after a cut or an end by force nobody would switch it off again.

/// The longest sequence that is looked at.
const LONGEST: usize = 32;

/// Watches the output.
#[derive(Debug, Default)]
pub struct Modes {
    /// Private modes that differ from how a terminal usually is, with what sets them back.
    changed: Vec<(u16, char)>,
    sequence: Vec<u8>,
}

impl Modes {
    /// The next piece of output.
    pub fn watch(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == 0x1b {
                self.sequence.clear();
                self.sequence.push(byte);
                continue;
            }
            if self.sequence.is_empty() {
                continue;
            }
            self.sequence.push(byte);
            let is_part = match self.sequence.len() {
                2 => byte == b'[',
                3 => byte == b'?',
                _ => byte.is_ascii_digit() || byte == b';',
            };
            if is_part && self.sequence.len() < LONGEST {
                continue;
            }
            if self.sequence.len() > 3 && (byte == b'h' || byte == b'l') {
                let numbers = String::from_utf8_lossy(&self.sequence[3..self.sequence.len() - 1]).into_owned();
                for number in numbers.split(';').filter_map(|it| it.parse().ok()) {
                    self.set(number, byte == b'h');
                }
            }
            self.sequence.clear();
        }
    }

    fn set(&mut self, mode: u16, on: bool) {
        // A visible cursor and lines that wrap are the modes that are usually on.
        let usually_on = matches!(mode, 7 | 25);
        self.changed.retain(|it| it.0 != mode);
        if on != usually_on {
            self.changed.push((mode, if usually_on { 'h' } else { 'l' }));
        }
    }

    /// What sets the terminal back; empty where there is nothing to set back.
    pub fn reset(&mut self) -> Vec<u8> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let modes = std::mem::take(&mut self.changed).into_iter().rev();
        let text: String = modes.map(|(mode, end)| format!("\x1b[?{mode}{end}")).collect();
        format!("{text}\x1b[0m").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_switched_on_is_switched_off_in_reverse() {
        for (output, expected) in [
            ("plain \x1b[31mred\x1b[0m", ""),
            ("\x1b[?1049h\x1b[?25l\x1b[?2004h", "\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b[0m"),
            ("\x1b[?1049h…\x1b[?1049l\x1b[?25l\x1b[?25h", ""),
            ("\x1b[?1000;1006h", "\x1b[?1006l\x1b[?1000l\x1b[0m"),
            ("\x1b[?1h\x1b[?7l", "\x1b[?7h\x1b[?1l\x1b[0m"),
            ("\x1b[?hx\x1b[?99999999h\x1b[?", ""),
        ] {
            for size in 1..4 {
                let mut modes = Modes::default();
                output.as_bytes().chunks(size).for_each(|it| modes.watch(it));
                assert_eq!(String::from_utf8(modes.reset()).unwrap(), expected, "{output:?}");
                assert_eq!(modes.reset(), b"");
            }
        }
    }
}
