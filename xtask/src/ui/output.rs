//! What the printers make: bytes for stdout and stderr in the order in which they have to be written, and files to append to.

use std::path::PathBuf;

/// One piece of what there is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes for stdout.
    Stdout(Vec<u8>),
    /// Bytes for stderr.
    Stderr(Vec<u8>),
    /// Text for the end of a file.
    Append(PathBuf, String),
}

/// Pieces in order. stdout and stderr are often the same terminal, so the order between them counts.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) pieces: Vec<Piece>,
    /// How much there is, to bound a batch.
    pub(super) bytes: usize,
}

impl Output {
    pub(super) fn stdout(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Stdout(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Stdout(bytes.to_vec())),
        }
    }

    pub(super) fn stdout_lines<'a>(&mut self, prefix: &str, lines: impl Iterator<Item = &'a str>) {
        self.stdout(b"");
        let Some(Piece::Stdout(last)) = self.pieces.last_mut() else { return };
        let before = last.len();
        for line in lines {
            if !prefix.is_empty() {
                last.extend_from_slice(prefix.as_bytes());
            }
            last.extend_from_slice(line.as_bytes());
            last.push(b'\n');
        }
        self.bytes += last.len() - before;
    }

    pub(super) fn stderr(&mut self, text: &str) {
        self.stderr_bytes(text.as_bytes());
    }

    pub(super) fn stderr_bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Stderr(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Stderr(bytes.to_vec())),
        }
    }

    pub(super) fn append(&mut self, path: PathBuf, text: String) {
        self.pieces.push(Piece::Append(path, text));
    }
}

#[cfg(test)]
impl Output {
    /// Everything for stdout.
    pub(super) fn on_stdout(&self) -> String {
        self.text(|it| if let Piece::Stdout(bytes) = it { Some(bytes) } else { None })
    }

    /// Everything for stderr.
    pub(super) fn on_stderr(&self) -> String {
        self.text(|it| if let Piece::Stderr(bytes) = it { Some(bytes) } else { None })
    }

    /// Everything in the order of writing, as a terminal gets it that is both.
    pub(super) fn on_both(&self) -> String {
        self.text(|it| if let Piece::Stdout(bytes) | Piece::Stderr(bytes) = it { Some(bytes) } else { None })
    }

    /// Everything for a file.
    pub(super) fn in_file(&self, name: &str) -> String {
        let texts = self.pieces.iter().filter_map(|it| match it {
            Piece::Append(path, text) if path.as_os_str() == name => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn text(&self, pick: impl Fn(&Piece) -> Option<&Vec<u8>>) -> String {
        let bytes: Vec<u8> = self.pieces.iter().filter_map(pick).flatten().copied().collect();
        String::from_utf8(bytes).expect("the tests' events are text")
    }
}
