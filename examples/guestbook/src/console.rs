//! `guestbook console`: SQL in, rows out. For people with a terminal (a prompt, aligned columns, mistakes are forgiven) and
//! for pipes (tabs between columns, the first mistake ends it). It has no history and no completion.

use crate::error::Error;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection};
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

const PROMPT: &str = "guestbook> ";
/// While a statement has no semicolon yet.
const CONTINUATION: &str = "      ...> ";

/// Runs the SQL in `lines`, or in stdin where there are none, until it ends or `.quit`, `exit N` or `.exit N` is read.
pub fn run(connection: &Connection, lines: &[String], out: &mut dyn Write) -> Result<ExitCode, Error> {
    let mut console = Console { connection, pending: String::new(), people: false };
    if !lines.is_empty() {
        return console.run(&mut lines.join("\n").as_bytes(), out);
    }
    let stdin = io::stdin();
    console.people = stdin.is_terminal();
    if console.people {
        writeln!(out, "SQL ends with a semicolon, the console with .quit or Ctrl-D")?;
    }
    console.run(&mut stdin.lock(), out)
}

struct Console<'a> {
    connection: &'a Connection,
    /// Lines of a statement that has not ended yet.
    pending: String,
    /// Whether somebody sits at a terminal.
    people: bool,
}

impl Console<'_> {
    fn run(&mut self, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<ExitCode, Error> {
        loop {
            if self.people {
                write!(out, "{}", if self.pending.is_empty() { PROMPT } else { CONTINUATION })?;
                out.flush()?;
            }
            let mut line = String::new();
            let n_bytes = input.read_line(&mut line).map_err(|error| Error::failed("cannot read stdin", error))?;
            if n_bytes == 0 {
                if self.people {
                    writeln!(out)?; // Ctrl-D leaves the cursor behind the prompt.
                } else {
                    self.execute_pending(out)?; // A last statement may lack its semicolon.
                }
                return Ok(ExitCode::SUCCESS);
            }
            match self.line(&line, out) {
                Ok(None) => {}
                Ok(Some(code)) => return Ok(ExitCode::from(code)),
                Err(error) if self.people => writeln!(io::stderr(), "guestbook: {error}")?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Handles one line; returns the exit code if it ends the console.
    fn line(&mut self, line: &str, out: &mut dyn Write) -> Result<Option<u8>, Error> {
        if self.pending.is_empty() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => return Ok(None),
                // Kept, it would make a statement of the next line, even of `.quit`.
                [comment, ..] if comment.starts_with("--") => return Ok(None),
                [".quit" | ".exit" | "quit" | "exit"] => return Ok(Some(0)),
                [".exit" | "exit", code] => match code.parse() {
                    Ok(code) => return Ok(Some(code)),
                    Err(_) => {
                        return Err(Error::Failed(format!("`exit {code}`: expected a whole number from 0 to 255")));
                    }
                },
                [command, ..] if command.starts_with('.') => {
                    return Err(Error::Failed(format!("unknown command `{command}`: there are `.quit` and `.exit N`")));
                }
                _ => {}
            }
        }
        self.pending.push_str(line);
        if ends_a_statement(&self.pending) { self.execute_pending(out).map(|()| None) } else { Ok(None) }
    }

    fn execute_pending(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        let sql = std::mem::take(&mut self.pending);
        let mut statements = Batch::new(self.connection, &sql);
        let failed = |error| Error::Failed(describe(&error));
        while let Some(mut statement) = statements.next().map_err(failed)? {
            let n_columns = statement.column_count();
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let n_changes = self.connection.total_changes();
            let mut rows = statement.raw_query();
            let mut table = Vec::new();
            while let Some(row) = rows.next().map_err(failed)? {
                let cells = (0..n_columns).map(|column| row.get_ref(column).map(show)).collect::<Result<Vec<_>, _>>();
                let cells = cells.map_err(failed)?;
                if self.people {
                    table.push(cells); // Widths are known only after the last row.
                } else {
                    writeln!(out, "{}", cells.join("\t"))?;
                }
            }
            if self.people && n_columns > 0 {
                write_table(&names, &table, out)?;
            } else if self.people {
                let n_changes = self.connection.total_changes() - n_changes;
                writeln!(out, "ok, {n_changes} {} changed", if n_changes == 1 { "row" } else { "rows" })?;
            }
        }
        Ok(())
    }
}

/// SQLite's message alone: the statement that rusqlite repeats in it is what the reader just wrote.
fn describe(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        _ => error.to_string(),
    }
}

/// Whether `sql` ends with a semicolon that is not inside of a string, a quoted name or a comment. Bodies of triggers, which
/// have semicolons inside, have to be on one line.
fn ends_a_statement(sql: &str) -> bool {
    let mut ended = false;
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (end, starts_with, significant) = match first {
            '\'' => ("'", 1, true),
            '"' => ("\"", 1, true),
            '`' => ("`", 1, true),
            '[' => ("]", 1, true),
            '-' if rest.starts_with("--") => ("\n", 2, false),
            '/' if rest.starts_with("/*") => ("*/", 2, false),
            _ => {
                if !first.is_whitespace() {
                    ended = first == ';';
                }
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        let Some(length) = rest[starts_with..].find(end) else {
            return ended && end == "\n";
        };
        ended &= !significant;
        rest = &rest[starts_with + length + end.len()..];
    }
    ended
}

/// One cell as text, on one line whatever is in it: control characters are escaped, as a terminal would obey them.
fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Blob(bytes) => {
            format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).chars().fold(String::new(), |mut text, character| {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
            text
        }),
    }
}

fn write_table(names: &[String], rows: &[Vec<String>], out: &mut dyn Write) -> Result<(), Error> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([names[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    for row in [names, &rule].into_iter().chain(rows.iter().map(Vec::as_slice)) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a console writes for `input`, and the exit code or the error in the end.
    fn console(input: &str, people: bool) -> (String, Result<ExitCode, String>) {
        let connection = Connection::open_in_memory().unwrap();
        let mut out = Vec::new();
        let mut console = Console { connection: &connection, pending: String::new(), people };
        let end = console.run(&mut input.as_bytes(), &mut out).map_err(|error| error.to_string());
        (String::from_utf8(out).unwrap(), end)
    }

    #[test]
    fn a_pipe_gets_plain_rows() {
        for (input, expected) in [
            ("", ""),
            ("select 1", "1\n"),
            ("select 1;\nselect 2, 3;\n", "1\n2\t3\n"),
            ("select 1; select 2;\n", "1\n2\n"),
            ("select\n  1\n;\n", "1\n"),
            ("-- a comment\n\nselect 1; -- and one more\n", "1\n"),
            ("select null, 1.0, 'a', x'00ff', '';\n", "NULL\t1.0\ta\tx'00ff'\t\n"),
            ("select 'a\n;\nb' || char(9) || 'ü' || char(27);\n", "a\\n;\\nb\\tü\\u{1b}\n"),
            ("create table t (a); insert into t values (1), (2); select a from t;\n", "1\n2\n"),
            ("begin;\ncreate table t (a);\nrollback;\nselect count(*) from sqlite_schema;\n", "0\n"),
            ("select 1;\n.quit\nselect 2;\n", "1\n"),
            ("-- a comment;\n.quit\nselect 2;\n", ""),
            ("create table t (a); insert into t values (7) returning a;", "7\n"),
        ] {
            let (out, end) = console(input, false);
            assert_eq!((out.as_str(), end), (expected, Ok(ExitCode::SUCCESS)), "{input:?}");
        }
    }

    #[test]
    fn a_pipe_ends_at_the_first_mistake() {
        for (input, expected_out, expected_error) in [
            ("select 1;\nselect x;\nselect 2;\n", "1\n", "no such column: x"),
            ("select 1; nonsense; select 2;\n", "1\n", "near \"nonsense\": syntax error"),
            ("select 'a", "", "unrecognized token: \"'a\""),
            (".tables\n", "", "unknown command `.tables`: there are `.quit` and `.exit N`"),
            ("exit 256\n", "", "`exit 256`: expected a whole number from 0 to 255"),
            ("select abs(-9223372036854775808);\n", "", "integer overflow"),
        ] {
            let (out, end) = console(input, false);
            assert_eq!((out.as_str(), end), (expected_out, Err(expected_error.to_owned())), "{input:?}");
        }
    }

    #[test]
    fn people_get_a_prompt_columns_and_another_chance() {
        let input = "create table t (id integer, name text);\n\
                     insert into t values (1, 'one'), (200, null);\n\
                     selec;\n\
                     select id,\n\
                     name as n from t;\n\
                     select 1 where 0;\n";
        let expected = "guestbook> ok, 0 rows changed\n\
                        guestbook> ok, 2 rows changed\n\
                        guestbook> guestbook>       ...> id   n\n\
                        ---  ----\n\
                        1    one\n\
                        200  NULL\n\
                        guestbook> 1\n\
                        -\n\
                        guestbook> \n";
        assert_eq!(console(input, true), (expected.to_owned(), Ok(ExitCode::SUCCESS)));
    }

    #[test]
    fn the_exit_code_is_the_one_asked_for() {
        for (line, code) in [(".quit", 0), (".exit", 0), ("quit", 0), ("exit", 0), ("exit 7", 7), (" .exit  255 ", 255)]
        {
            for people in [false, true] {
                assert_eq!(console(line, people).1, Ok(ExitCode::from(code)), "{line}");
            }
        }
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for (sql, expected) in [
            ("select 1;", true),
            ("select 1; \n", true),
            ("select 1", false),
            ("select ';'", false),
            ("select ';';", true),
            ("select 'it''s;", false),
            ("select 'it''s';", true),
            ("select \";\" , [;], `;`;", true),
            ("select [;", false),
            ("select 1; -- done", true),
            ("select 1 -- done;", false),
            ("select 1; /* done */", true),
            ("select 1; /* done ;", false),
            ("select 1 - /* ; */ 2 / 1;", true),
            ("select 1; select 'a'", false),
        ] {
            assert_eq!(ends_a_statement(sql), expected, "{sql:?}");
        }
    }
}
