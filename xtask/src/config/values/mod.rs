//! The shapes of single values: durations, sizes, names, hosts. Each function takes the text and gives the value, or says what is
//! wrong with it. The flags of the command line use the same functions, so that `--timeout` and `timeout` cannot differ.

use std::fmt;
use std::time::Duration;

use crate::model::LaunchType;

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Lowercase, no full stop, the value in backticks.
    pub message: String,
    /// One thing to do.
    pub hint: Option<String>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Wrong {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |it| write!(f, " ({it})"))
    }
}

impl std::error::Error for Wrong {}

/// The result of reading one value.
pub type Read<T> = Result<T, Wrong>;

/// Longer than any job; keeps additions to a point in time from overflowing.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Units of durations, each smaller than the one before.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `30s`, `15m`, `1h30m`, `500ms`, `2d`.
pub fn duration(text: &str) -> Read<Duration> {
    const EXAMPLES: &str = "write a number and a unit: `30s`, `15m`, `1h30m`";
    let bad = || Wrong::new(format!("`{text}` is not a duration")).hint(EXAMPLES);
    if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) {
        return Err(
            Wrong::new(format!("the duration `{text}` has no unit")).hint(format!("write `{text}s` or `{text}m`"))
        );
    }
    let mut rest = text;
    let mut units = UNITS;
    let mut milliseconds: u64 = 0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let unit = rest[number..].find(|it: char| it.is_ascii_digit()).map_or(rest.len(), |it| number + it);
        let position = units.iter().position(|it| it.0 == &rest[number..unit]).ok_or_else(bad)?;
        let count: u64 = rest[..number].parse().map_err(|_| bad())?;
        let part = count.checked_mul(units[position].1).ok_or_else(bad)?;
        milliseconds = milliseconds.checked_add(part).ok_or_else(bad)?;
        units = &units[position + 1..];
        rest = &rest[unit..];
    }
    match Duration::from_millis(milliseconds) {
        Duration::ZERO if text.is_empty() => Err(bad()),
        Duration::ZERO => {
            Err(Wrong::new(format!("the duration `{text}` is no time at all")).hint("leave it out for no limit"))
        }
        it if it > LONGEST => {
            Err(Wrong::new(format!("the duration `{text}` is too long")).hint("write at most `366d`"))
        }
        it => Ok(it),
    }
}

/// vCPU × 1024: `1024`, `1 vCPU`, `.5 vCPU`.
pub fn cpu(text: &str) -> Read<u32> {
    size(text, &[("vcpu", 1024), ("", 1)])
        .ok_or_else(|| {
            Wrong::new(format!("`{text}` is not a number of CPUs"))
                .hint("write `1 vCPU`, `.5 vCPU`, or units of 1/1024 vCPU: `1024`")
        })
        .and_then(|it| in_range("cpu", it, CPU))
}

/// MiB: `4096`, `2 GB`, `512 MB`.
pub fn memory(text: &str) -> Read<u32> {
    size(text, &[("gb", 1024), ("gib", 1024), ("mb", 1), ("mib", 1), ("", 1)])
        .ok_or_else(|| {
            Wrong::new(format!("`{text}` is not an amount of memory")).hint("write `2 GB`, `512 MB`, or MiB: `2048`")
        })
        .and_then(|it| in_range("memory", it, MEMORY))
}

/// What ECS takes for `cpu`: 0.125 to 192 vCPU.
pub const CPU: (u32, u32) = (128, 196_608);
/// What docker and ECS take for `memory`: from 6 MiB to the largest machine's.
pub const MEMORY: (u32, u32) = (6, 33_554_432);
/// What Fargate takes for `ephemeral-storage`, in GiB.
pub const EPHEMERAL_STORAGE: (u32, u32) = (21, 200);
/// `shards` and `parallel`.
pub const SHARDS: (u32, u32) = (1, 10_000);
/// `attempts` of `retry`.
pub const ATTEMPTS: (u32, u32) = (1, 10);

/// Refuses a number outside of the limits.
pub fn in_range(name: &str, value: u32, (least, most): (u32, u32)) -> Read<u32> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Wrong::new(format!("`{name}` cannot be {value}")).hint(format!("it is {least} to {most}")))
}

/// A decimal number with one of the units, as a whole number of the smallest.
fn size(text: &str, units: &[(&str, u32)]) -> Option<u32> {
    let text = text.trim().to_lowercase();
    let number = text.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
    let (number, unit) = (&text[..text.len() - number.len()], number.trim_start());
    let (_, factor) = units.iter().find(|it| it.0 == unit)?;
    let value = number.parse::<f64>().ok()? * f64::from(*factor);
    (value.fract() == 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
}

/// Anything but nothing.
pub fn filled(text: &str) -> Read<String> {
    if text.trim().is_empty() {
        return Err(Wrong::new("the value is empty").hint("leave the key out, or give it a value"));
    }
    Ok(text.to_owned())
}

/// One line of text.
pub fn line(text: &str) -> Read<String> {
    let text = filled(text)?;
    if text.trim().contains('\n') {
        return Err(Wrong::new("the text is longer than one line").hint("keep it to the one line that `list` shows"));
    }
    Ok(text.trim().to_owned())
}

/// The name of a task, an environment or an image: `[a-z0-9][a-z0-9-]*`.
pub fn name(kind: &str, text: &str) -> Read<()> {
    const LONGEST_NAME: usize = 64; // task and environment stand in a family (255) and in started_by (128)
    let fine = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    if text.len() > LONGEST_NAME {
        return Err(Wrong::new(format!("the {kind} name `{text}` is too long"))
            .hint(format!("at most {LONGEST_NAME} characters")));
    }
    if text.starts_with(fine) && text.chars().all(|it| fine(it) || it == '-') {
        return Ok(());
    }
    let wrong = Wrong::new(format!("`{text}` is not a name for {} {kind}", article(kind)));
    let mut better = String::new();
    for it in text.to_lowercase().chars() {
        if fine(it) {
            better.push(it);
        } else if !better.is_empty() && !better.ends_with('-') {
            better.push('-');
        }
    }
    match better.trim_end_matches('-') {
        "" => Err(wrong.hint("use lowercase letters, digits and `-`")),
        better => Err(wrong.hint(format!("use lowercase letters, digits and `-`: `{better}`"))),
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }
}

/// Twelve digits.
pub fn account(text: &str) -> Read<String> {
    if text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new(format!("`{text}` is not an AWS account id"));
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        12 if text.chars().all(|it| it.is_ascii_digit() || it == '-' || it == ' ') => {
            Err(wrong.hint(format!("write `{digits}`")))
        }
        _ => Err(wrong.hint("an account id has 12 digits: `aws sts get-caller-identity` shows yours")),
    }
}

/// `eu-west-1`, `us-gov-west-1`.
pub fn region(text: &str) -> Read<String> {
    let is_region = |text: &str| {
        let parts: Vec<&str> = text.split('-').collect();
        let (number, words) = parts.split_last().map_or(("", &[][..]), |(number, words)| (*number, words));
        words.len() >= 2
            && words.iter().all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase()))
            && (1..=2).contains(&number.len())
            && number.bytes().all(|it| it.is_ascii_digit())
    };
    if is_region(text) {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new(format!("`{text}` is not an AWS region"));
    let zone = text.trim_end_matches(|it: char| it.is_ascii_lowercase());
    let better = if is_region(zone) { zone.to_owned() } else { text.to_lowercase().replace([' ', '_'], "-") };
    match is_region(&better) {
        true => Err(wrong.hint(format!("write `{better}`"))),
        false => Err(wrong.hint("write one like `eu-west-1`")),
    }
}

/// `http://…` or `https://…`.
pub fn url(text: &str) -> Read<String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['/', ':']) && !text.contains(char::is_whitespace) => {
            Ok(text.to_owned())
        }
        Some(_) => Err(Wrong::new(format!("`{text}` has no host")).hint("write one like `http://127.0.0.1:4566`")),
        None if !text.contains("://") && !text.trim().is_empty() => {
            Err(Wrong::new(format!("`{text}` is not a URL")).hint(format!("write `http://{}`", text.trim())))
        }
        None => {
            Err(Wrong::new(format!("`{text}` is not an http(s) URL")).hint("write one like `http://127.0.0.1:4566`"))
        }
    }
}

/// A registry's host, with a port where there is one.
pub fn registry(text: &str) -> Read<String> {
    let wrong = Wrong::new(format!("`{text}` is not the host of a registry"));
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(wrong.hint(format!("write the host alone: `{host}`")));
    }
    if let Some((host, path)) = text.split_once('/') {
        return Err(match path.trim_end_matches('/') {
            "" => wrong.hint(format!("write the host alone: `{host}`")),
            path => wrong.hint(format!("write `registry = \"{host}\"`, and `{path}` into `repository`")),
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_is_fine = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(address) => {
            address.contains(':') && address.bytes().all(|it| it.is_ascii_hexdigit() || it == b':' || it == b'.')
        }
        None => {
            host.starts_with(|it: char| it.is_ascii_alphanumeric())
                && host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.'))
        }
    };
    if host_is_fine && port.is_none_or(|it| it.parse::<u16>().is_ok_and(|it| it > 0)) {
        return Ok(text.to_owned());
    }
    Err(wrong.hint("write a host, and a port where there is one: `127.0.0.1:5000`"))
}

/// The name of an ECR repository.
pub fn repository(text: &str) -> Read<String> {
    let part = |it: &str| {
        let fine = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
        let mut before = '.';
        let separated = it.chars().all(|it| {
            let good = fine(it) || (matches!(it, '.' | '_' | '-') && fine(before));
            before = it;
            good
        });
        separated && it.ends_with(fine)
    };
    let (first, rest) = text.split_once('/').unwrap_or(("", ""));
    // A host has the shape of a name too, but nobody means one by it.
    if (2..=256).contains(&text.len()) && text.split('/').all(part) && !first.ends_with(".amazonaws.com") {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new(format!("`{text}` is not the name of a repository"));
    Err(if first.contains(['.', ':']) && registry(first).is_ok() {
        wrong.hint(format!("write `repository = \"{rest}\"`, and `{first}` into `registry`"))
    } else if let Some((name, _)) = text.split_once([':', '@']).filter(|it| it.0.split('/').all(part)) {
        wrong.hint(format!("write `{name}`: the tag is the hash of the build's inputs"))
    } else if text.to_lowercase().split('/').all(part) && text.len() > 1 {
        wrong.hint(format!("write `{}`", text.to_lowercase()))
    } else {
        wrong.hint("use lowercase letters and digits, with `-`, `_`, `.` or `/` between them: `acme/app`")
    })
}

/// A name or an ARN as ECS and IAM take them: one word.
pub fn word(text: &str) -> Read<String> {
    let fine = |it: char| it.is_ascii_alphanumeric() || "_-+=,.@/:".contains(it);
    match filled(text)? {
        it if it.chars().all(fine) => Ok(it),
        _ => Err(Wrong::new(format!("`{text}` is not a name or an ARN"))
            .hint("use letters, digits, `-` and `_`, or the full ARN")),
    }
}

/// The name of a container of a task definition.
pub fn container(text: &str) -> Read<String> {
    let fine = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    match filled(text)? {
        it if it.len() <= 255 && it.chars().all(fine) => Ok(it),
        _ => {
            Err(Wrong::new(format!("`{text}` is not the name of a container"))
                .hint("use its name in the task definition"))
        }
    }
}

/// A value that ECS knows by its prefix: `subnet-…`, `sg-…`.
pub fn with_prefix(kind: &str, prefix: &str, text: &str) -> Read<String> {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    if !rest.is_empty() && rest.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("`{text}` is not the id of a {kind}")).hint(format!("write the id: `{prefix}…`")))
}

/// `linux/amd64` or `linux/arm64`.
pub fn platform(text: &str) -> Read<String> {
    let architecture = text.rsplit("linux/").next().unwrap_or_default().to_lowercase();
    let better = match architecture.as_str() {
        "amd64" | "x86_64" | "x86-64" | "x64" | "intel" => "linux/amd64",
        "arm64" | "aarch64" | "arm64/v8" | "arm" | "graviton" => "linux/arm64",
        _ => {
            return Err(Wrong::new(format!("unknown platform `{text}`")).hint("write `linux/amd64` or `linux/arm64`"));
        }
    };
    match text == better {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("unknown platform `{text}`")).hint(format!("write `{better}`"))),
    }
}

/// `LATEST` or a version such as `1.4.0`.
pub fn platform_version(text: &str) -> Read<String> {
    let numbers: Vec<&str> = text.split('.').collect();
    let is_version = numbers.len() == 3 && numbers.iter().all(|it| it.parse::<u16>().is_ok());
    if is_version || text == "LATEST" {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("`{text}` is not a Fargate platform version")).hint("write `LATEST` or one like `1.4.0`"))
}

/// ECS's launch types.
pub fn launch_type(text: &str) -> Read<LaunchType> {
    match text {
        "FARGATE" => Ok(LaunchType::Fargate),
        "EC2" => Ok(LaunchType::Ec2),
        "EXTERNAL" => Ok(LaunchType::External),
        _ => {
            let wrong = Wrong::new(format!("unknown launch type `{text}`"));
            Err(match text.to_uppercase().as_str() {
                upper @ ("FARGATE" | "EC2" | "EXTERNAL") => wrong.hint(format!("write `{upper}`")),
                "FARGATE_SPOT" | "FARGATE-SPOT" => {
                    wrong.hint("Spot is a capacity provider: `capacity-providers = { FARGATE_SPOT = 1 }`")
                }
                _ => wrong.hint("write `FARGATE`, `EC2` or `EXTERNAL`"),
            })
        }
    }
}

/// The name of a capacity provider.
pub fn capacity_provider(text: &str) -> Read<()> {
    let upper = text.to_uppercase().replace('-', "_");
    if matches!(upper.as_str(), "FARGATE" | "FARGATE_SPOT") && upper != text {
        return Err(Wrong::new(format!("unknown capacity provider `{text}`")).hint(format!("write `{upper}`")));
    }
    let fine = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
    match !text.is_empty() && text.len() <= 255 && text.chars().all(fine) {
        true => Ok(()),
        false => Err(Wrong::new(format!("`{text}` is not the name of a capacity provider"))
            .hint("use letters, digits, `-` and `_`")),
    }
}

/// The name of a variable. Dots and dashes are no shell's, but frameworks read such variables.
pub fn variable(text: &str) -> Read<()> {
    if text.to_uppercase().starts_with("XTASK_") {
        return Err(Wrong::new(format!("the variable `{text}` is reserved"))
            .hint("names that begin with XTASK_ are set by this tool: use another"));
    }
    let fine = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '-');
    if text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') && text.chars().all(fine) {
        return Ok(());
    }
    Err(Wrong::new(format!("`{text}` is not the name of a variable"))
        .hint("use letters, digits and `_`, not a digit first"))
}

/// An argument of a process.
pub fn argument(text: &str) -> Read<String> {
    match text.contains('\0') {
        true => {
            Err(Wrong::new("the argument has a NUL character").hint("no process can get such an argument: take it out"))
        }
        false => Ok(text.to_owned()),
    }
}

/// A value of `variables`.
pub fn variable_value(text: &str) -> Read<String> {
    match text.contains('\0') {
        true => {
            Err(Wrong::new("the value has a NUL character").hint("no process can get such a variable: take it out"))
        }
        false => Ok(text.to_owned()),
    }
}

/// A value of `secrets`: an SSM parameter's name, `secretsmanager:NAME`, or an ARN of either.
pub fn secret(text: &str) -> Read<String> {
    const FORMS: &str = "write the name of an SSM parameter, `secretsmanager:NAME`, or the ARN of either";
    let fine = |it: &str, more: &str| {
        !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || "/_.-".contains(it) || more.contains(it))
    };
    let wrong = Wrong::new(format!("`{text}` does not name a secret"));
    if let Some(rest) = text.strip_prefix("arn:") {
        let parts: Vec<&str> = rest.splitn(5, ':').collect();
        return match parts[..] {
            [_, "ssm" | "secretsmanager", _, _, name] if fine(name, "+=@:") => Ok(text.to_owned()),
            _ => Err(wrong.hint("an ARN here is one of SSM's parameters or Secrets Manager's secrets")),
        };
    }
    match text.split_once(':') {
        Some(("secretsmanager", name)) if fine(name, "+=@:") => Ok(text.to_owned()),
        Some(("ssm", name)) if fine(name, "") => Err(wrong.hint(format!("a bare name is SSM's: `{name}`"))),
        None if fine(text, "") => Ok(text.to_owned()),
        _ => Err(wrong.hint(FORMS)),
    }
}

/// The key of an ECS tag.
pub fn tag_key(text: &str) -> Read<()> {
    let lower = text.to_lowercase();
    let ours = lower.strip_prefix("xtask").is_some_and(|it| !it.starts_with(|it: char| it.is_alphanumeric()));
    if lower.starts_with("aws:") || ours {
        let whose = if ours { "this tool" } else { "AWS" };
        return Err(
            Wrong::new(format!("the tag `{text}` is reserved")).hint(format!("it is {whose}'s own: use another key"))
        );
    }
    match text.trim().is_empty() || text.chars().count() > 128 {
        true => Err(Wrong::new(format!("`{text}` cannot be the key of a tag")).hint("a key has 1 to 128 characters")),
        false => tag_characters(text),
    }
}

/// The value of an ECS tag.
pub fn tag_value(text: &str) -> Read<String> {
    if text.chars().count() > 256 {
        return Err(Wrong::new("the value of the tag is too long").hint("a value has at most 256 characters"));
    }
    tag_characters(text).map(|()| text.to_owned())
}

fn tag_characters(text: &str) -> Read<()> {
    match text.chars().find(|it| !(it.is_alphanumeric() || *it == ' ' || "+-=._:/@".contains(*it))) {
        None => Ok(()),
        Some(it) => Err(Wrong::new(format!("a tag cannot hold `{}`", it.escape_debug()))
            .hint("use letters, digits, spaces and `+ - = . _ : / @`")),
    }
}

/// What `image` says where it is no name: a full reference.
pub fn image_reference(text: &str) -> Read<()> {
    let wrong = Wrong::new(format!("`{text}` is not a reference to an image"));
    if let Some((_, rest)) = text.split_once("://") {
        return Err(wrong.hint(format!("write it without the scheme: `{rest}`")));
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it)) {
            return Err(wrong.hint("a digest is `@sha256:` and 64 hexadecimal digits"));
        }
    }
    // A colon after the last slash begins the tag; one before it the registry's port.
    let after_slash = name.rfind('/').map_or(0, |it| it + 1);
    let (name, tag) = match name[after_slash..].split_once(':') {
        Some((last, tag)) => (&name[..after_slash + last.len()], Some(tag)),
        None => (name, None),
    };
    let tag_is_fine = |it: &str| {
        (1..=128).contains(&it.len())
            && it.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_')
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it))
    };
    if !tag.is_none_or(tag_is_fine) {
        return Err(wrong.hint("after `:` comes a tag of letters, digits, `_`, `.` and `-`"));
    }
    let path = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            registry(first).map_err(|it| Wrong { hint: it.hint, ..wrong.clone() })?;
            path
        }
        _ => name,
    };
    let part = |it: &str| {
        it.starts_with(|it: char| it.is_ascii_lowercase() || it.is_ascii_digit())
            && it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"._-".contains(&it))
    };
    match path.split('/').all(part) {
        true => Ok(()),
        false => Err(wrong.hint("write one like `registry.example.com/acme/app:1.2`, in lowercase")),
    }
}

/// Whether `image` is meant as a reference: a bare name is always one of `[images]`.
pub fn looks_like_reference(text: &str) -> bool {
    text.contains(['/', ':', '.', '@'])
}

/// Options of `docker build` that this tool gives itself, and the key that says the same.
pub(super) const BUILD_OPTIONS: &[(&[&str], &str)] = &[
    (&["--platform"], "use `platform` of the task"),
    (&["--tag", "-t"], "use `repository`: the tag is the hash of the build's inputs"),
    (&["--push", "--load", "--output", "-o"], "leave it out: the image is pushed where the runner needs it"),
    (&["--iidfile", "--metadata-file"], "leave it out: this tool reads the image's digest itself"),
    (&["--file", "-f"], "use `dockerfile`"),
    (&["--target"], "use `target`"),
    (&["--build-arg"], "use `build-args`"),
    (&["--secret"], "use `build-secrets`"),
];

/// Options of `docker run` that this tool gives itself, and the key that says the same.
pub(super) const RUN_OPTIONS: &[(&[&str], &str)] = &[
    (&["--name", "--rm", "--cidfile"], "leave it out: the container is named and removed by this tool"),
    (&["--detach", "-d", "--restart"], "leave it out: the container is followed to its end"),
    (&["--attach", "-a", "--sig-proxy"], "leave it out: the container's streams and signals are this tool's"),
    (&["--interactive", "-i", "--tty", "-t", "-it", "-ti"], "use `interactive = true` on the task"),
    (&["--entrypoint"], "use `entrypoint`"),
    (&["--platform"], "use `platform`"),
    (&["--cpus"], "use --cpu of `run`"),
    (&["--memory", "-m"], "use --memory of `run`"),
];

/// An element of `build-options`.
pub fn build_option(text: &str) -> Read<String> {
    option("docker build", BUILD_OPTIONS, text)
}

/// An element of `docker-args`.
pub fn run_option(text: &str) -> Read<String> {
    option("docker run", RUN_OPTIONS, text)
}

fn option(command: &str, ours: &[(&[&str], &str)], text: &str) -> Read<String> {
    let name = text.split('=').next().unwrap_or_default();
    // docker also takes a short option with its value behind it: `-fDockerfile`. What does not begin with a dash is a value.
    let is =
        |option: &str| name == option || (option.len() == 2 && text.starts_with(option) && !text.starts_with("--"));
    match ours.iter().find(|(options, _)| options.iter().any(|it| is(it))) {
        Some((_, hint)) => Err(Wrong::new(format!("`{name}` of `{command}` is set by this tool")).hint(*hint)),
        None => Ok(text.to_owned()),
    }
}

/// A value of `build-secrets`: what `docker build --secret` takes.
pub fn build_secret(text: &str) -> Read<String> {
    match text.split(',').any(|it| it.strip_prefix("id=").is_some_and(|it| !it.is_empty())) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("the build secret `{text}` has no id")).hint("write `id=npmrc,src=.npmrc`")),
    }
}

/// A path relative to tasks.toml.
pub fn path(text: &str) -> Read<String> {
    match filled(text)? {
        it if it.contains("://") || it == "-" => {
            Err(Wrong::new(format!("`{it}` is not a path")).hint("write a path relative to tasks.toml"))
        }
        it => Ok(it),
    }
}

/// The name of a CloudWatch Logs group.
pub fn log_group(text: &str) -> Read<String> {
    let fine = |it: char| it.is_ascii_alphanumeric() || "_-/.#".contains(it);
    match filled(text)? {
        it if it.len() <= 512 && it.chars().all(fine) => Ok(it),
        _ => Err(Wrong::new(format!("`{text}` is not the name of a log group")).hint("write one like `/ecs/one-off`")),
    }
}

#[cfg(test)]
mod tests;
