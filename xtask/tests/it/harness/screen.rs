//! What a terminal shows after these bytes: just enough of one for a status line that is drawn again and again.

/// The lines on the screen, colours left out, blanks at the ends of lines cut.
pub fn screen(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\x08' => column = usize::saturating_sub(column, 1),
            '\x07' => {}
            '\x1b' => {
                if rest.next_if_eq(&'[').is_none() {
                    continue;
                }
                let mut parameters = String::new();
                while let Some(it) = rest.next_if(|it| !it.is_ascii_alphabetic()) {
                    parameters.push(it);
                }
                let number = parameters.parse::<usize>().unwrap_or(0);
                match rest.next() {
                    Some('A') => row = usize::saturating_sub(row, number.max(1)),
                    Some('B') => row = (row + number.max(1)).min(lines.len() - 1),
                    Some('C') => column += number.max(1),
                    Some('D') => column = usize::saturating_sub(column, number.max(1)),
                    Some('G') => column = number.max(1) - 1,
                    Some('K') if number == 2 => lines[row].clear(),
                    Some('K') if number == 0 => lines[row].truncate(column),
                    Some('J') if number == 0 => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    _ => {}
                }
            }
            _ => {
                let line = &mut lines[row];
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = char;
                column += 1;
            }
        }
    }
    let lines = lines.iter().map(|it| it.iter().collect::<String>().trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrawn_line_is_seen_once() {
        for (bytes, expected) in [
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("\x1b[2K\rPENDING 1s\x1b[2K\rPENDING 2s\r\x1b[2Kdone\r\n", "done\n"),
            ("\x1b[1;32mgreen\x1b[0m", "green"),
            ("long line\rcut\x1b[K", "cut"),
            ("a\r\nb\r\n\x1b[1A\x1b[2Kc", "a\nc\n"),
        ] {
            assert_eq!(screen(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
