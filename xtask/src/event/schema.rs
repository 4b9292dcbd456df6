//! The JSON schema of `--format json`: one object a line. A table of the events and their fields, held against the types by a test.
//!
//! What a program has read it can go on reading: while [`VERSION`] stays, an event may get a field and a stream may get a new kind of
//! event; nothing may go, change its type or become optional. A test compares with the file and asks for a new version otherwise.

use serde_json::{Map, Value, json};

use super::VERSION;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    /// RFC 3339 in UTC.
    Time,
    Number,
    Integer,
    Boolean,
    Texts,
    /// One of these.
    Words(&'static [&'static str]),
    /// Anything of ECS's own.
    Object,
    PlanLines,
    Timings,
    Attempt,
    Attempts,
    TaskEnds,
    Shards,
}

/// A field: its name, what it holds, whether it is always there, and what it says.
type Field = (&'static str, Holds, bool, &'static str);

const RUNNERS: Holds = Holds::Words(&["host", "docker", "ecs"]);
const STEPS: Holds = Holds::Words(&["prepare", "build", "push"]);
const LOG_ENDS: Holds = Holds::Words(&["complete", "never-started", "may-be-cut", "open"]);
const OUTCOMES: Holds = Holds::Words(&[
    "succeeded",
    "failed",
    "never-started",
    "stopped",
    "timed-out",
    "interrupted",
    "detached",
    "refused",
    "already-running",
    "skipped",
    "unknown",
]);

/// Of every event.
const HEAD: &[Field] = &[
    ("version", Holds::Integer, false, "in the first event of a stream only"),
    ("time", Holds::Time, true, "when it happened"),
    ("task", Holds::Text, true, "the task's name in tasks.toml; null where the command names none"),
    ("shard", Holds::Integer, false, "which shard it is of, from 0; absent where it is of none, or of all"),
];

/// The kinds of events, in the order of a run.
const EVENTS: &[(&str, &str, &[Field])] = &[
    (
        "resolved",
        "the name is resolved; nothing was asked or written yet",
        &[
            ("environment", Holds::Text, true, "the environment's name"),
            ("runner", RUNNERS, true, "what runs it"),
            ("run_id", Holds::Text, true, "this run's id"),
            (
                "command",
                Holds::Texts,
                true,
                "the arguments of the process, as far as tasks.toml and the command line give them",
            ),
        ],
    ),
    (
        "planned",
        "everything is read and decided",
        &[
            ("dry_run", Holds::Boolean, true, "true: nothing is written, and `finished` follows"),
            ("needs", Holds::Texts, false, "the tasks that run first, in their order"),
            ("skipped", Holds::Texts, false, "tasks that are needed and left out by --skip"),
            ("lines", Holds::PlanLines, true, "the plan as it is shown"),
            (
                "register_task_definition",
                Holds::Object,
                false,
                "the request, in ECS's own JSON; an image that is yet to be built by its tag, whose digest will be registered",
            ),
            ("run_task", Holds::Object, false, "the request, in ECS's own JSON"),
        ],
    ),
    (
        "turn",
        "of several tasks, this one begins",
        &[
            ("number", Holds::Integer, true, "which of them, from 1"),
            ("of", Holds::Integer, true, "how many there are"),
        ],
    ),
    (
        "building",
        "a long local step starts",
        &[("image", Holds::Text, true, "the image's name or reference"), ("step", STEPS, true, "which step")],
    ),
    (
        "pushed",
        "the image is in the registry",
        &[
            ("image", Holds::Text, true, "the image by digest"),
            ("reused", Holds::Boolean, true, "true: it was there before"),
        ],
    ),
    (
        "registered",
        "the task definition is there",
        &[
            ("task_definition", Holds::Text, true, "the revision's ARN"),
            ("reused", Holds::Boolean, true, "true: an earlier revision is equal"),
        ],
    ),
    (
        "launched",
        "ECS took the ECS task, or the local process started",
        &[
            ("task_arn", Holds::Text, false, "the ECS task"),
            ("cluster", Holds::Text, false, "its cluster"),
            ("console_url", Holds::Text, false, "its page in the AWS console"),
        ],
    ),
    (
        "attached",
        "an ECS task that another process started is followed from here on",
        &[
            ("task_arn", Holds::Text, true, "the ECS task"),
            ("cluster", Holds::Text, true, "its cluster"),
            ("by", Holds::Text, false, "the ARN of who started it"),
            ("since", Holds::Time, false, "when ECS accepted it"),
            ("console_url", Holds::Text, false, "its page in the AWS console"),
        ],
    ),
    (
        "status",
        "the ECS task's status changed",
        &[
            ("status", Holds::Text, true, "ECS's word, for example RUNNING"),
            ("detail", Holds::Text, false, "what it waits for, or why it stops"),
        ],
    ),
    (
        "shards",
        "how far the shards are",
        &[
            ("of", Holds::Integer, true, "how many shards the task has"),
            ("waiting", Holds::Integer, true, "how many are not started yet"),
            ("starting", Holds::Integer, true, "how many are not RUNNING yet"),
            ("running", Holds::Integer, true, "how many run, or are being stopped"),
            ("succeeded", Holds::Integer, true, "how many are over, with success"),
            ("failed", Holds::Integer, true, "how many are over, without"),
        ],
    ),
    (
        "log",
        "a line of the task's output",
        &[
            ("message", Holds::Text, true, "the line without its end"),
            ("timestamp", Holds::Time, true, "when the container wrote it"),
            ("container", Holds::Text, true, "which container wrote it"),
        ],
    ),
    (
        "retrying",
        "an attempt is over, and another one starts after a pause",
        &[
            ("attempt", Holds::Integer, true, "the number of the attempt to come, from 2"),
            ("of", Holds::Integer, true, "how many there may be"),
            ("pause", Holds::Number, true, "the pause, in seconds"),
            ("last", Holds::Attempt, true, "the one that is over"),
        ],
    ),
    (
        "warning",
        "worth knowing; the run goes on",
        &[("message", Holds::Text, true, "what it is"), ("hint", Holds::Text, false, "one thing to do")],
    ),
    (
        "finished",
        "a task (with `shard`: a shard) is over; the last event is of the one asked for",
        &[
            ("outcome", OUTCOMES, true, "how it ended"),
            ("exit_code", Holds::Integer, true, "the exit code of this command"),
            ("run_id", Holds::Text, true, "this run's id"),
            (
                "followed_run_id",
                Holds::Text,
                false,
                "the run that started the ECS task, where this one only followed it",
            ),
            ("task_arn", Holds::Text, false, "the ECS task; of another run where the outcome is `already-running`"),
            ("task_definition", Holds::Text, false, "the revision that ran"),
            ("image", Holds::Text, false, "the image that ran, by digest"),
            ("stop_code", Holds::Text, false, "ECS's stop code"),
            ("stopped_reason", Holds::Text, false, "ECS's reason"),
            ("container_reason", Holds::Text, false, "the chosen container's reason"),
            ("log", LOG_ENDS, false, "whether the output is whole"),
            ("reason", Holds::Text, false, "in a sentence, what the outcome alone does not say; who holds the place"),
            ("attempts", Holds::Attempts, false, "every attempt in order, where there was more than one"),
            (
                "tasks",
                Holds::TaskEnds,
                false,
                "where others came first: every task of the run in its order, the one that was asked for last",
            ),
            ("shards", Holds::Shards, false, "how the shards ended; in the last event of a run of shards"),
            ("hint", Holds::Text, false, "one thing to do"),
            ("timings", Holds::Timings, true, "how long each part took, in seconds"),
        ],
    ),
    (
        "error",
        "something failed, or is wrong in tasks.toml: one event a problem",
        &[
            ("message", Holds::Text, true, "what was tried and the cause"),
            ("hint", Holds::Text, false, "one thing to do"),
            ("file", Holds::Text, false, "the file that is the cause"),
            ("line", Holds::Integer, false, "from 1"),
            ("column", Holds::Integer, false, "from 1, in characters"),
            ("done", Holds::Text, false, "what had already been done when it failed"),
        ],
    ),
];

/// The schema of one line.
pub fn schema() -> Value {
    let events: Vec<Value> = EVENTS.iter().map(|it| json!({ "$ref": format!("#/definitions/{}", it.0) })).collect();
    let mut definitions = Map::new();
    for (name, about, fields) in EVENTS {
        definitions.insert((*name).to_owned(), event(name, about, fields));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "An event of cargo xtask --format json",
        "description": "One object a line on stdout. New fields and new kinds of events may come without a new version.",
        "oneOf": events,
        "definitions": definitions,
    })
}

/// The schema as the file holds it.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// The kinds of events with what each says, and their fields: name, what it says, whether it is always there.
pub fn events() -> impl Iterator<Item = (&'static str, &'static str, Vec<(&'static str, &'static str, bool)>)> {
    EVENTS.iter().map(|(name, about, fields)| {
        let fields = fields.iter().map(|(name, _, always, about)| (*name, *about, *always)).collect();
        (*name, *about, fields)
    })
}

fn event(name: &str, about: &str, fields: &[Field]) -> Value {
    let mut properties = Map::new();
    properties.insert("event".to_owned(), json!({ "const": name }));
    let mut required = vec!["event"];
    for (name, holds, always, about) in HEAD.iter().chain(fields) {
        let mut field = match *name {
            "version" => json!({ "const": VERSION }),
            "task" => json!({ "type": ["string", "null"] }),
            _ => value(*holds),
        };
        field["description"] = json!(about);
        properties.insert((*name).to_owned(), field);
        if *always {
            required.push(name);
        }
    }
    json!({ "type": "object", "description": about, "properties": properties, "required": required })
}

fn value(holds: Holds) -> Value {
    match holds {
        Holds::Text => json!({ "type": "string" }),
        Holds::Time => json!({ "type": "string", "format": "date-time" }),
        Holds::Number => json!({ "type": "number", "minimum": 0 }),
        Holds::Integer => json!({ "type": "integer", "minimum": 0 }),
        Holds::Boolean => json!({ "type": "boolean" }),
        Holds::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Holds::Words(words) => json!({ "type": "string", "enum": words }),
        Holds::Object => json!({ "type": "object" }),
        Holds::PlanLines => json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "key": { "type": "string", "description": "ECS's word for it" },
                    "value": { "type": "string", "description": "the value" },
                    "origin": { "type": "string", "description": "where it came from; may be empty" },
                },
                "required": ["key", "value", "origin"],
            },
        }),
        Holds::Attempt => json!({
            "type": "object",
            "properties": {
                "task_arn": { "type": "string", "description": "its ECS task" },
                "outcome": value(OUTCOMES),
                "exit_code": { "type": "integer", "minimum": 0, "description": "what the exit code would have been" },
                "stop_code": { "type": "string", "description": "ECS's stop code" },
                "reason": { "type": "string", "description": "ECS's reason, or in a sentence what happened" },
            },
            "required": ["outcome", "exit_code"],
        }),
        Holds::Attempts => json!({ "type": "array", "items": value(Holds::Attempt) }),
        Holds::TaskEnds => json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "task": { "type": "string", "description": "its name in tasks.toml" },
                    "outcome": value(OUTCOMES),
                    "exit_code": { "type": "integer", "minimum": 0 },
                    "seconds": { "type": "number", "minimum": 0, "description": "how long it took, from its turn on" },
                },
                "required": ["task"],
                "description": "without an outcome: it did not run",
            },
        }),
        Holds::Shards => {
            let numbers = json!({ "type": "array", "items": value(Holds::Integer) });
            let end = json!({
                "type": "object",
                "properties": {
                    "shard": value(Holds::Integer),
                    "outcome": value(OUTCOMES),
                    "exit_code": value(Holds::Integer),
                    "task_arn": value(Holds::Text),
                    "reason": value(Holds::Text),
                },
                "required": ["shard", "outcome", "exit_code"],
            });
            json!({
                "type": "object",
                "properties": {
                    "of": value(Holds::Integer),
                    "outcomes": { "type": "object", "additionalProperties": value(Holds::Integer) },
                    "failed": { "type": "array", "items": end },
                    "not_run": numbers,
                },
                "required": ["of", "outcomes", "failed", "not_run"],
            })
        }
        Holds::Timings => {
            let parts = ["build", "push", "queue", "pull", "run", "stop", "total"];
            let properties: Map<String, Value> =
                parts.into_iter().map(|it| (it.to_owned(), value(Holds::Number))).collect();
            json!({ "type": "object", "properties": properties })
        }
    }
}

#[cfg(test)]
mod tests;
