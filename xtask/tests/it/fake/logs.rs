//! CloudWatch Logs: GetLogEvents over the output of the ECS tasks. A stream belongs to a container with an awslogs configuration and
//! exists from the container's start on (or later, or never, as its life says).
//!
//! A page may be shorter than asked for, or empty with a new token, and the end is where the token stays as it was: all of that
//! follows from the seed and the place in the stream, so that reading twice gives the same pages.

use std::fmt::Write;

use serde_json::{Value, json};

use super::definitions::text;
use super::life::{Line, Millis};
use super::random::Random;
use super::state::{Paging, State};
use super::tasks::container_times;
use super::wire::{Refusal, Reply, Request};

/// A page has at most a megabyte; CloudWatch counts 26 bytes for each event beside its text.
const MOST_BYTES: usize = 1 << 20;
const EVENT_BYTES: usize = 26;

/// `None`: there is no script for this operation.
pub fn handle(state: &mut State, request: &Request, now: Millis) -> Option<Reply> {
    match request.operation.as_str() {
        "GetLogEvents" => Some(get_log_events(state, request, now)),
        "DescribeLogGroups" => {
            let prefix = request.str("logGroupNamePrefix").unwrap_or_default();
            let groups = state.groups.iter().filter(|it| it.starts_with(prefix));
            let groups: Vec<Value> = groups.map(|it| json!({ "logGroupName": it, "storedBytes": 0 })).collect();
            Some(Ok(json!({ "logGroups": groups }).to_string()))
        }
        _ => None,
    }
}

/// What a line has in the place of this program's shard.
const SHARD: &str = "$XTASK_SHARD";

/// A stream as it is now: the container's start and the lines that can be read.
struct Stream {
    start: Millis,
    /// The container's variable XTASK_SHARD, which its lines may name: the text of a thousand shards is kept once.
    shard: Option<String>,
    lines: std::sync::Arc<Vec<Line>>,
    count: usize,
}

fn get_log_events(state: &mut State, request: &Request, now: Millis) -> Reply {
    let group = request.str("logGroupName").or_else(|| request.str("logGroupIdentifier")).unwrap_or_default();
    let name = request.str("logStreamName").unwrap_or_default();
    let not_found =
        |what: &str| Refusal::new("ResourceNotFoundException", format!("The specified log {what} does not exist."));
    if !state.groups.iter().any(|it| it == group) {
        return Err(not_found("group"));
    }
    let (paging, token_life) = (state.paging, state.token_life);
    let Some(stream) = find(state, group, name, now) else { return Err(not_found("stream")) };
    let from_head = request.body["startFromHead"] == true;
    let most = request.body["limit"].as_u64().unwrap_or(10_000);
    if !(1..=10_000).contains(&most) {
        return Err(Refusal::parameter("limit must be between 1 and 10000."));
    }
    let token = request.str("nextToken");
    let (place, empties) = match token {
        Some(token) => {
            if !from_head {
                return Err(Refusal::parameter("A forward token needs startFromHead to be true."));
            }
            let (place, issued, empties) =
                parse_token(token).ok_or_else(|| Refusal::parameter("The specified nextToken is invalid."))?;
            if now - issued > token_life {
                return Err(Refusal::parameter("The specified nextToken is invalid."));
            }
            (place, empties)
        }
        None if from_head => (0, 0),
        None => (stream.count.saturating_sub(most as usize), 0),
    };
    let mut random = Random::new(paging.seed.wrapping_mul(1_000_003).wrapping_add(place as u64));
    let wanted_empties = random.below(paging.empty + 1);
    if place < stream.count && empties < wanted_empties {
        let forward = forward_token(place, now, empties + 1);
        return Ok(answer(&stream, place, place, &forward, request));
    }
    let most = most.min(page_size(paging, &mut random)) as usize;
    let mut to = place;
    let mut bytes = 0;
    while to < stream.count && to - place < most {
        bytes += stream.lines[to].text.len() + EVENT_BYTES;
        if bytes > MOST_BYTES && to > place {
            break;
        }
        to += 1;
    }
    // At the end the token stays as it was, empty pages that were counted in it included.
    let forward = match token {
        Some(token) if to == place => token.to_owned(),
        _ => forward_token(to, now, if to == place { empties } else { 0 }),
    };
    Ok(answer(&stream, place, to, &forward, request))
}

fn page_size(paging: Paging, random: &mut Random) -> u64 {
    if paging.random { 1 + random.below(paging.most) } else { paging.most }
}

/// The stream of a container: `prefix/container/task-id`.
fn find(state: &mut State, group: &str, name: &str, now: Millis) -> Option<Stream> {
    let (prefix, rest) = name.rsplit_once('/')?;
    let (prefix, container) = prefix.rsplit_once('/')?;
    let task = state.tasks.iter_mut().find(|it| it.id == rest)?;
    let spec = task.definition.containers().iter().find(|it| text(it, "name") == container)?;
    let option = |name: &str| spec.pointer("/logConfiguration/options").and_then(|it| it[name].as_str());
    if option("awslogs-group") != Some(group) || option("awslogs-stream-prefix") != Some(prefix) {
        return None;
    }
    let times = container_times(task, container)?;
    let start = times.started.filter(|it| it + task.life.stream_after <= now)?;
    if task.life.no_stream {
        return None;
    }
    if task.stream_missing > 0 {
        task.stream_missing -= 1;
        return None;
    }
    let chosen = super::life::chosen_container(&task.life, &task.definition.specs()).unwrap_or_default();
    let lines = task.life.of(container, &chosen).lines;
    // What it had not written when it was ended, it never wrote.
    let end = times.ended.map_or(Millis::MAX, |(at, _, _)| at - start);
    let written = lines.partition_point(|it| it.at <= end);
    let count = lines[..written].partition_point(|it| start + it.seen <= now);
    let shard =
        super::ecs::container_override(&task.request, container).and_then(super::ecs::shard_of).map(str::to_owned);
    Some(Stream { start, shard, lines, count })
}

fn answer(stream: &Stream, from: usize, to: usize, forward: &str, request: &Request) -> String {
    let start_time = request.body["startTime"].as_i64().unwrap_or(i64::MIN);
    let end_time = request.body["endTime"].as_i64().unwrap_or(i64::MAX);
    // By hand, since a page may have ten thousand of them and tests run without optimisation.
    let mut text = String::with_capacity(80 * (to - from) + 300);
    text.push_str("{\"events\":[");
    let mut comma = "";
    for line in &stream.lines[from..to] {
        let timestamp = stream.start + line.at;
        if !(start_time..end_time).contains(&timestamp) {
            continue;
        }
        let ingested = stream.start + line.seen;
        let _ = write!(text, "{comma}{{\"ingestionTime\":{ingested},\"message\":");
        match &stream.shard {
            Some(shard) => push_json(&mut text, &line.text.replace(SHARD, shard)),
            None => push_json(&mut text, &line.text),
        }
        let _ = write!(text, ",\"timestamp\":{timestamp}}}");
        comma = ",";
    }
    let _ = write!(text, "],\"nextBackwardToken\":\"b/{from:056}/s\",\"nextForwardToken\":\"{forward}\"}}");
    text
}

fn push_json(text: &mut String, message: &str) {
    if message.bytes().all(|it| it >= 0x20 && it != b'"' && it != b'\\') {
        text.push('"');
        text.push_str(message);
        text.push('"');
    } else {
        text.push_str(&json!(message).to_string());
    }
}

/// 56 digits as on AWS: the place of the next event, when the token was given out, and how many empty pages there were at the place.
fn forward_token(place: usize, now: Millis, empties: u64) -> String {
    format!("f/{place:028}{now:020}{empties:08}/s")
}

fn parse_token(token: &str) -> Option<(usize, Millis, u64)> {
    let digits = token.strip_prefix("f/")?.strip_suffix("/s").filter(|it| it.len() == 56)?;
    Some((digits[..28].parse().ok()?, digits[28..48].parse().ok()?, digits[48..].parse().ok()?))
}

/// The log groups that a definition's containers write to.
pub fn groups_of(containers: &[Value]) -> Vec<String> {
    let groups = containers.iter().filter_map(|it| it.pointer("/logConfiguration/options/awslogs-group"));
    groups.filter_map(Value::as_str).map(str::to_owned).collect()
}
