//! The command of a session. The agent splits it into words as a shell would and runs no shell, and it never tells an exit code: so
//! a small script runs the command with its arguments as they are, and writes the code behind the output, between marks that are
//! taken out here.

/// The mark's first and last byte: a control character that no terminal shows and hardly a program writes.
const MARK: u8 = 0x1e;
/// The longest mark, in bytes.
const LONGEST: usize = 64;
/// End of input, in a terminal's line mode.
const END: u8 = 0x04;
/// Takes the next byte's meaning away.
const LITERAL: u8 = 0x16;
/// Bytes of piped input between two pushes: a terminal's line holds 4,095.
const PIECE: usize = 512;

/// Where the bytes of a session go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A terminal at both ends.
    Terminal,
    /// Pipes or files on our side: the remote terminal must change nothing.
    Plain,
}

/// Words as a shell would write them, so that splitting them gives the same words again.
pub fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|it| format!("'{}'", it.replace('\'', r"'\''"))).collect();
    quoted.join(" ")
}

/// What ExecuteCommand gets: `argv`, or a shell where that is empty. `token`: letters and digits that the output does not have.
pub fn wrapped(argv: &[String], token: &str, shape: Shape) -> String {
    let run = match (argv, shape) {
        ([], Shape::Terminal) => "if command -v bash >/dev/null 2>&1; then bash; else sh; fi",
        // A shell whose input is a terminal would prompt.
        ([], Shape::Plain) => "cat | sh",
        _ => "\"$@\"",
    };
    // A trap rather than ignoring: the command itself gets the signal, and the script outlives it.
    let trap = "trap : INT QUIT";
    let before = match shape {
        Shape::Terminal => trap.to_owned(),
        Shape::Plain => format!(
            "{trap}; stty -echo -onlcr -isig -ixon -icrnl icanon iexten eof ^D lnext ^V 2>/dev/null; \
             stty erase ^- kill ^- werase ^- rprnt ^- eol ^- 2>/dev/null; printf \"\\036{token}+\\036\""
        ),
    };
    let script = format!("{before}; {run}; printf \"\\036{token}:%d\\036\" $?");
    let mut words = vec!["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
    words.extend_from_slice(argv);
    quoted(&words)
}

/// A part of the remote output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// For whoever reads.
    Bytes(Vec<u8>),
    /// The script has begun: input may come.
    Started,
    /// The command has ended with this code.
    Exited(u8),
}

/// Finds the marks in the output, in whatever pieces it comes.
#[derive(Debug)]
pub struct Marks {
    token: Vec<u8>,
    held: Vec<u8>,
}

impl Marks {
    /// For the token that the command was wrapped with.
    pub fn new(token: &str) -> Marks {
        Marks { token: token.as_bytes().to_vec(), held: Vec::new() }
    }

    /// The next piece of output.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut plain = Vec::new();
        for &byte in bytes {
            if self.held.is_empty() {
                if byte == MARK {
                    self.held.push(byte);
                } else {
                    plain.push(byte);
                }
                continue;
            }
            self.held.push(byte);
            if byte == MARK
                && self.held.len() > 1
                && let Some(mark) = self.mark()
            {
                if !plain.is_empty() {
                    seen.push(Seen::Bytes(std::mem::take(&mut plain)));
                }
                seen.push(mark);
                self.held.clear();
                continue;
            }
            if !self.may_be_mark() {
                // The byte that breaks it may be the first of another.
                let last = self.held.pop().unwrap_or_default();
                plain.append(&mut self.held);
                if last == MARK { self.held.push(last) } else { plain.push(last) }
            }
        }
        if !plain.is_empty() {
            seen.push(Seen::Bytes(plain));
        }
        seen
    }

    /// What is held back when no more comes.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn mark(&self) -> Option<Seen> {
        let inner = &self.held[1..self.held.len() - 1];
        match inner.strip_prefix(self.token.as_slice())? {
            b"+" => Some(Seen::Started),
            [b':', code @ ..] => std::str::from_utf8(code).ok()?.parse().ok().map(Seen::Exited),
            _ => None,
        }
    }

    fn may_be_mark(&self) -> bool {
        let inner = &self.held[1..];
        let common = inner.len().min(self.token.len());
        self.held.len() < LONGEST
            && inner[..common] == self.token[..common]
            && inner[common..].iter().all(|it| it.is_ascii_digit() || b"+:".contains(it))
    }
}

/// Piped input for a terminal in line mode, so that each byte arrives as it is and the end is an end.
pub fn piped(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len() + 8);
    for piece in bytes.chunks(PIECE) {
        let mut in_line = true;
        for &byte in piece {
            if byte == END || byte == LITERAL {
                encoded.push(LITERAL);
            }
            encoded.push(byte);
            in_line = byte != b'\n';
        }
        if in_line {
            // Pushes an unfinished line to its reader; right behind a line's end it would mean the end of all.
            encoded.push(END);
        }
    }
    encoded
}

/// The end of piped input.
pub fn piped_end() -> Vec<u8> {
    vec![END]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|it| (*it).to_owned()).collect()
    }

    /// Splits as the agent does: quotes, backslashes outside of single ones, `#` for comments at the start of a word.
    fn split(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut word: Option<String> = None;
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                ' ' | '\n' | '\t' | '\r' => found.extend(word.take()),
                '#' if word.is_none() => break,
                '\'' => {
                    let word = word.get_or_insert_default();
                    word.extend(rest.by_ref().take_while(|it| *it != '\''));
                }
                '"' => panic!("no double quotes outside of single ones: {text}"),
                '\\' => word.get_or_insert_default().extend(rest.next()),
                other => word.get_or_insert_default().push(other),
            }
        }
        found.extend(word);
        found
    }

    #[test]
    fn words_survive_the_agents_splitting() {
        let hard =
            words(&["", " ", "a b", "it's", "''", "\"", "$HOME `x` \\", "# no", "line\nline", "ü→☃", "*", "a'\\''b"]);
        assert_eq!(split(&quoted(&hard)), hard);
        let split = split(&wrapped(&hard, "T", Shape::Plain));
        assert_eq!(split[..2], ["sh", "-c"]);
        assert_eq!(split[3], "sh");
        assert_eq!(split[4..], hard);
    }

    fn read(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Seen>, Vec<u8>) {
        let mut marks = Marks::new("tok1");
        let (mut bytes, mut others) = (Vec::new(), Vec::new());
        for seen in pieces.iter().flat_map(|it| marks.read(it)) {
            match seen {
                Seen::Bytes(more) => bytes.extend(more),
                other => others.push(other),
            }
        }
        (bytes, others, marks.rest())
    }

    #[test]
    fn marks_are_found_in_any_pieces_and_nothing_else_is_touched() {
        let text = b"\x1etok1+\x1ehello\x1e\x1etok1:255\x1e".as_slice();
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            let (bytes, others, rest) = read(&pieces);
            assert_eq!(bytes, b"hello\x1e", "{size}");
            assert_eq!(others, [Seen::Started, Seen::Exited(255)], "{size}");
            assert!(rest.is_empty());
        }
        for other in
            [b"\x1etok2:1\x1e".as_slice(), b"\x1etok1:256\x1ex", b"\x1etok1:\x1ex", b"\x1etok1x", b"\x1e\x1e\x1ex"]
        {
            let (bytes, others, rest) = read(&[other]);
            assert_eq!((bytes.len() + rest.len(), others.len()), (other.len(), 0), "{other:?}");
        }
    }

    #[test]
    fn piped_bytes_are_pushed_and_escaped() {
        assert_eq!(piped(b"one\n"), b"one\n");
        assert_eq!(piped(b"one\ntw"), b"one\ntw\x04");
        assert_eq!(piped(b"a\x04b\x16\n"), b"a\x16\x04b\x16\x16\n");
        assert_eq!(piped(&[b'x'; 600]).iter().filter(|it| **it == 4).count(), 2);
        assert_eq!(piped(b""), b"");
    }
}
