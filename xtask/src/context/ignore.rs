//! The rules of a `.dockerignore`, as docker applies them. They are not gitignore's: a pattern is anchored at the context's root, it
//! also covers everything below what it matches, and an exception can bring back a file inside an ignored directory.
//!
//! docker turns a pattern into a regular expression of Go's, with consequences that people rely on or at least meet: `[^a]` matches a `/`
//! too, `**` in front of a literal is a plain comparison of the end, so `**log` ignores `catalog`. Both are kept. Everyday patterns do not go
//! through regular expressions here, because those are slow in a build without optimisation.

use regex_lite::Regex;

/// The rules of one file, in order.
#[derive(Debug, Default)]
pub struct Rules {
    patterns: Vec<Pattern>,
    /// There is an exception.
    exceptions: bool,
    /// An exception has a wildcard before its end, so it may apply inside any directory.
    wild_exceptions: bool,
}

/// A line that docker would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRule {
    /// Counted from 1.
    pub line: usize,
    /// The line, trimmed.
    pub text: String,
}

/// Which of the rules matched a path: what its children need to know. Empty for the root.
#[derive(Debug, Clone, Default)]
pub struct Matched(Vec<bool>);

#[derive(Debug)]
struct Pattern {
    text: String,
    exception: bool,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    /// The path is this.
    Exact(String),
    /// `foo/**`: the path starts with this.
    Prefix(String),
    /// `**/foo`: the path ends with this; or, if it starts with `/`, is the rest of it.
    Suffix(String),
    /// `*`, `?`, `**` and `[...]` elsewhere.
    Glob(Vec<Token>),
    /// Escaped letters, and classes with wildcards or escapes in them.
    Regex(Regex),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `[a-z_]` or `[^a]`: first and last of each range.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*`
    Star,
    /// `**/` (or `**`) before something: any directories, none too.
    Directories,
    /// `**` at the end.
    Rest,
}

impl Rules {
    /// Reads the text of a `.dockerignore`.
    pub fn parse(text: &str) -> Result<Rules, BadRule> {
        let mut rules = Rules::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.split('\n').enumerate() {
            // Only a `#` in the first column makes a comment: ` #x` ignores a file of that name.
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let bad = || BadRule { line: index + 1, text: line.to_owned() };
            let (exception, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if pattern.is_empty() {
                return Err(bad());
            }
            let cleaned = clean(pattern);
            let cleaned = if cleaned.len() > 1 { cleaned.strip_prefix('/').unwrap_or(&cleaned) } else { &cleaned };
            let matcher = Matcher::new(cleaned).ok_or_else(bad)?;
            if exception {
                rules.exceptions = true;
                let stem = without_trailing_glob(cleaned);
                rules.wild_exceptions |= stem.contains(['*', '[', ']', '?', '^', '\\']);
            }
            rules.patterns.push(Pattern { text: cleaned.to_owned(), exception, matcher });
        }
        Ok(rules)
    }

    /// Whether a path (relative, `/` between names) is ignored, and what its children need to know. `parent` is what its directory's check
    /// gave.
    ///
    /// The last rule that matches the path or one of its directories decides. A rule that could change nothing is not tried, and then does
    /// not count for the children either: so does docker, and a child can be ignored by that where its own rules alone would not do it.
    pub fn check(&self, path: &str, parent: &Matched) -> (bool, Matched) {
        let mut ignored = false;
        let mut matched = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent.0.get(index).copied().unwrap_or(false);
            if !hit {
                if pattern.exception != ignored {
                    continue;
                }
                hit = pattern.matcher.matches(path);
            }
            matched[index] = hit;
            if hit {
                ignored = !pattern.exception;
            }
        }
        (ignored, Matched(matched))
    }

    /// Whether an exception may bring back something inside an ignored directory. BuildKit's answer; the classic builder never looks
    /// inside for an exception that starts with a wildcard, so it sees no more than this.
    pub fn may_have_exceptions_in(&self, directory: &str) -> bool {
        let inside = format!("{directory}/");
        self.wild_exceptions
            || self.exceptions
                && self
                    .patterns
                    .iter()
                    .any(|it| it.exception && format!("{}/", without_trailing_glob(&it.text)).starts_with(&inside))
    }
}

impl Matcher {
    /// `None`: docker would refuse the pattern.
    fn new(pattern: &str) -> Option<Matcher> {
        if !is_well_formed(pattern) {
            return None;
        }
        let Some(tokens) = tokens(pattern) else {
            return Regex::new(&to_regex(pattern)).ok().map(Matcher::Regex);
        };
        let literal = |it: &[Token]| it.iter().all(|it| matches!(it, Token::Char(_))) && !pattern.contains('\\');
        Some(match tokens.as_slice() {
            it if literal(it) => Matcher::Exact(pattern.to_owned()),
            [Token::Rest] => Matcher::Suffix(String::new()),
            [Token::Directories, rest @ ..] if literal(rest) => Matcher::Suffix(pattern[2..].to_owned()),
            [start @ .., Token::Rest] if literal(start) => Matcher::Prefix(pattern[..pattern.len() - 2].to_owned()),
            _ => Matcher::Glob(tokens),
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(text) => path.starts_with(text.as_str()),
            Matcher::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Matcher::Glob(tokens) => glob(tokens, path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A pattern as tokens. `None`: only a regular expression does what docker's does.
fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        tokens.push(match char {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_none() { Token::Rest } else { Token::Directories }
            }
            '*' => Token::Star,
            '?' => Token::One,
            // `\d` is a digit to docker.
            '\\' => Token::Char(chars.next().filter(|it| !it.is_alphanumeric())?),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while chars.next_if_eq(&']').is_none() {
                    let first = chars.next().filter(is_plain_in_class)?;
                    let last = match chars.next_if_eq(&'-') {
                        Some(_) => chars.next().filter(is_plain_in_class).filter(|it| *it >= first)?,
                        None => first,
                    };
                    ranges.push((first, last));
                }
                Token::Class { negated, ranges }
            }
            ']' => return None,
            char => Token::Char(char),
        });
    }
    Some(tokens)
}

/// docker puts its own translation of `*`, `?` and escapes into a class.
fn is_plain_in_class(char: &char) -> bool {
    !['*', '?', '[', ']', '\\'].contains(char)
}

fn glob(tokens: &[Token], path: &str) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return path.is_empty() };
    match first {
        Token::Char(char) => path.strip_prefix(*char).is_some_and(|it| glob(rest, it)),
        Token::One => {
            let mut chars = path.chars();
            chars.next().is_some_and(|it| it != '/') && glob(rest, chars.as_str())
        }
        Token::Class { negated, ranges } => {
            let mut chars = path.chars();
            let is_in = |it: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&it));
            chars.next().is_some_and(|it| is_in(it) != *negated) && glob(rest, chars.as_str())
        }
        Token::Star => {
            let end = path.find('/').unwrap_or(path.len());
            let stops = path[..end].char_indices().map(|(index, _)| index).chain([end]);
            stops.into_iter().any(|it| glob(rest, &path[it..]))
        }
        Token::Directories => {
            glob(rest, path) || path.match_indices('/').any(|(index, _)| glob(rest, &path[index + 1..]))
        }
        Token::Rest => true,
    }
}

/// The regular expression that docker makes of a pattern, in regex-lite's dialect: a `[` inside a class must be escaped there.
fn to_regex(pattern: &str) -> String {
    let mut go = String::from("^");
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                go.push_str(if chars.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' => go.push_str("[^/]*"),
            '?' => go.push_str("[^/]"),
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => go.extend(['\\', char]),
            '\\' => {
                go.push('\\');
                go.extend(chars.next());
            }
            char => go.push(char),
        }
    }
    go.push('$');

    let mut lite = String::with_capacity(go.len());
    let mut in_class = false;
    let mut chars = go.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                lite.push('\\');
                lite.extend(chars.next());
            }
            '[' if !in_class => {
                in_class = true;
                lite.push('[');
                lite.extend(chars.next_if_eq(&'^'));
                if chars.next_if_eq(&']').is_some() {
                    lite.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                lite.push(']');
            }
            ']' => lite.push_str("\\]"),
            '[' | '&' | '~' => lite.extend(['\\', char]),
            char => lite.push(char),
        }
    }
    lite
}

/// Whether Go's `filepath.Match` takes the pattern: docker asks it first.
fn is_well_formed(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    // One end of a range: not `-`, not `]`, and something must follow.
    fn end(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
        let taken = match chars.next() {
            None | Some('-' | ']') => false,
            Some('\\') => chars.next().is_some(),
            Some(_) => true,
        };
        taken && chars.peek().is_some()
    }
    while let Some(char) = chars.next() {
        match char {
            '\\' if chars.next().is_none() => return false,
            '[' => {
                chars.next_if_eq(&'^');
                let mut ranges = 0;
                while ranges == 0 || chars.next_if_eq(&']').is_none() {
                    if !end(&mut chars) || chars.next_if_eq(&'-').is_some() && !end(&mut chars) {
                        return false;
                    }
                    ranges += 1;
                }
            }
            _ => {}
        }
    }
    true
}

/// Go's `filepath.Clean`: one `/` between names, no `.`, `..` taken back where it can be.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|it| *it != "..") => {
                names.pop();
            }
            ".." if rooted => {}
            name => names.push(name),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn without_trailing_glob(pattern: &str) -> &str {
    let pattern = pattern.strip_suffix("/**").unwrap_or(pattern);
    pattern.strip_suffix("/*").unwrap_or(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(rules: &str, path: &str) -> bool {
        let rules = Rules::parse(rules).unwrap();
        let mut matched = Matched::default();
        let mut ignored = false;
        let ends = path.match_indices('/').map(|it| it.0).chain([path.len()]);
        for end in ends {
            (ignored, matched) = rules.check(&path[..end], &matched);
        }
        ignored
    }

    #[test]
    fn rules_apply_as_docker_applies_them() {
        for (rules, path, expected) in [
            ("", "a", false),
            ("# a\n#b", "# a", false),
            (" #a", "#a", true),
            ("a", "a", true),
            ("a", "b/a", false),
            ("a", "a/b/c", true),
            ("  a\t", "a", true),
            ("a\r\nb\r\n", "a", true),
            ("\u{feff}a", "a", true),
            ("/a", "a", true),
            ("./a/", "a", true),
            ("a//b/../c", "a/c", true),
            ("/", "a", false),
            (".", "a", false),
            ("*", "a/b", true),
            ("*.log", "x.log", true),
            ("*.log", "a/x.log", false),
            ("*.log", "x.log.gz", false),
            ("a/*", "a", false),
            ("a/*", "a/b/c", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a?c", "aéc", true),
            ("*/temp*", "a/temporary", true),
            ("*/temp*", "a/b/temporary", false),
            ("**", "a/b", true),
            ("**/a", "a", true),
            ("**/a", "b/c/a/d", true),
            ("**/a", "b/ca", false),
            ("**a", "b/ca", true),
            ("a/**", "a", false),
            ("a/**", "a/b/c", true),
            ("a**", "abc", true),
            ("a/**/d", "a/d", true),
            ("a/**/d", "a/b/c/d", true),
            ("a/**/d", "a/bd", false),
            ("**/*.pyc", "a/b.pyc", true),
            ("**/*.pyc", "b.pyc", true),
            ("**/a/**", "x/a/b", true),
            ("**/a/**", "x/a", false),
            ("[ab]c", "bc", true),
            ("[^ab]c", "bc", false),
            ("[^a]c", "/c", true),
            ("[!a]c", "!c", true),
            ("x[^a]c", "x/c", true),
            ("[a-c]", "b", true),
            ("[*]", "*", false),
            ("[*]", "[]", true),
            ("[a-c_]x", "_x", true),
            ("[a-c_]x", "dx", false),
            ("[a.]b", ".b", true),
            ("[a.]b", "cb", false),
            ("**/*.py[cod]", "a/b.pyc", true),
            ("**/*.py[cod]", "a/b.py", false),
            (r"\d", "7", true),
            ("**/[^a]", "b/a", true),
            ("**/[^a]", "a", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"\!a", "!a", true),
            ("a.c", "abc", false),
            ("a+(b)|{c}$", "a+(b)|{c}$", true),
            ("a\n!a", "a", false),
            ("a\n!a/b", "a/b", false),
            ("a\n!a/b", "a/c", true),
            ("!a\na", "a", true),
            ("*\n! a/b", "a/b", false),
            ("*\n!**/keep", "a/keep", false),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
        ] {
            assert_eq!(ignores(rules, path), expected, "{rules:?} on {path:?}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused_with_its_line() {
        for (text, line) in [("!", 1), ("a\n[", 2), ("[]a]", 1), ("[a-]", 1), ("[-a]", 1), ("a\\", 1), ("[b", 1)] {
            assert_eq!(Rules::parse(text).map_err(|it| it.line).err(), Some(line), "{text}");
        }
    }

    #[test]
    fn ignored_directories_are_entered_only_for_an_exception_that_could_apply_there() {
        for (rules, directory, expected) in [
            ("a", "a", false),
            ("*\n!b", "a", false),
            ("*\n!a/b", "a", true),
            ("*\n!a/b/c", "a/b", true),
            ("*\n!a/*", "a", true),
            ("*\n!ab", "a", false),
            ("*\n!**/x", "a", true),
            ("*\n!?/x", "a", true),
        ] {
            assert_eq!(Rules::parse(rules).unwrap().may_have_exceptions_in(directory), expected, "{rules:?}");
        }
    }
}
