//! The table against the types, the file against the table, and the version against both.

use std::collections::BTreeSet;

use super::*;
use crate::config::schema::validator;
use crate::event::{BuildStep, Event};
use crate::model::{
    Attempt, Ending, LogEnd, Outcome, PlanLine, Runner, ShardCounts, ShardEnd, ShardsEnd, TaskEnd, Timestamp, Timings,
};

/// Each kind of event with everything that it can have, and with nothing that it can lack. No `..Default`: a new field does not
/// compile here until it is in the table too.
fn events() -> Vec<(Event, Event)> {
    let some = |text: &str| Some(text.to_owned());
    let text = |text: &str| text.to_owned();
    let line = PlanLine { key: text("cluster"), value: text("main"), origin: text("") };
    let timings = |value: Option<f64>| Timings {
        build: value,
        push: value,
        queue: value,
        pull: value,
        run: value,
        stop: value,
        total: value,
    };
    let attempt = Attempt {
        task_arn: some("a"),
        outcome: Outcome::Stopped,
        exit_code: 125,
        stop_code: some("c"),
        reason: some("r"),
    };
    let task_end = TaskEnd { task: text("t"), outcome: Some(Outcome::Failed), exit_code: Some(1), seconds: Some(0.5) };
    let end = ShardEnd { shard: 1, outcome: Outcome::Failed, exit_code: 1, task_arn: some("a"), reason: some("r") };
    let shards = ShardsEnd { of: 2, outcomes: [("failed", 1)].into(), failed: vec![end], not_run: vec![0] };
    let full = Ending {
        outcome: Outcome::Failed,
        exit_code: 255,
        run_id: text("r"),
        followed_run_id: some("q"),
        task_arn: some("a"),
        task_definition: some("d"),
        image: some("i"),
        stop_code: some("c"),
        stopped_reason: some("r"),
        container_reason: some("r"),
        log: Some(LogEnd::Complete),
        shards: Some(Box::new(shards)),
        explanation: some("e"),
        hint: some("h"),
        attempts: vec![attempt.clone(), Attempt::default()],
        tasks: vec![task_end, TaskEnd::default()],
        timings: timings(Some(0.5)),
    };
    let bare = Ending {
        outcome: Outcome::Unknown,
        exit_code: 0,
        run_id: text(""),
        followed_run_id: None,
        task_arn: None,
        task_definition: None,
        image: None,
        stop_code: None,
        stopped_reason: None,
        container_reason: None,
        log: None,
        shards: None,
        explanation: None,
        hint: None,
        attempts: Vec::new(),
        tasks: Vec::new(),
        timings: timings(None),
    };
    let resolved =
        Event::Resolved { environment: text("e"), runner: Runner::Ecs, run_id: text("r"), command: vec![text("c")] };
    let building = Event::Building { image: text("i"), step: BuildStep::Prepare };
    let pushed = Event::Pushed { image: text("i"), reused: true };
    let registered = Event::Registered { task_definition: text("d"), reused: false };
    let log = Event::Log { message: text("m"), timestamp: Timestamp(0), container: text("c") };
    let same = |event: Event| (event.clone(), event);
    vec![
        same(resolved),
        (
            Event::Planned {
                dry_run: true,
                more: false,
                needs: vec![text("n")],
                skipped: vec![text("s")],
                lines: vec![line],
                register_task_definition: Some(json!({})),
                run_task: Some(json!({})),
            },
            Event::Planned {
                dry_run: false,
                more: true,
                needs: Vec::new(),
                skipped: Vec::new(),
                lines: Vec::new(),
                register_task_definition: None,
                run_task: None,
            },
        ),
        same(Event::Turn { number: 1, of: 2 }),
        same(building),
        same(pushed),
        same(registered),
        (
            Event::Launched { task_arn: some("a"), cluster: some("c"), console_url: some("u") },
            Event::Launched { task_arn: None, cluster: None, console_url: None },
        ),
        (
            Event::Attached {
                task_arn: text("a"),
                cluster: text("c"),
                by: some("b"),
                since: Some(Timestamp(0)),
                console_url: some("u"),
            },
            Event::Attached { task_arn: text("a"), cluster: text("c"), by: None, since: None, console_url: None },
        ),
        (
            Event::Status { status: text("RUNNING"), detail: some("d") },
            Event::Status { status: text("RUNNING"), detail: None },
        ),
        same(Event::Shards { of: 2, counts: ShardCounts::default() }),
        same(log),
        same(Event::Retrying { attempt: 2, of: 3, pause: 5.5, last: attempt }),
        (Event::Warning { message: text("m"), hint: some("h") }, Event::Warning { message: text("m"), hint: None }),
        (Event::Finished(Box::new(full)), Event::Finished(Box::new(bare))),
        (
            Event::Error {
                message: text("m"),
                hint: some("h"),
                file: some("f"),
                line: Some(1),
                column: Some(1),
                done: some("d"),
            },
            Event::Error { message: text("m"), hint: None, file: None, line: None, column: None, done: None },
        ),
    ]
}

/// The place of each kind of event in the table. A new kind does not compile until it is here.
fn place(event: &Event) -> usize {
    match event {
        Event::Resolved { .. } => 0,
        Event::Planned { .. } => 1,
        Event::Turn { .. } => 2,
        Event::Building { .. } => 3,
        Event::Pushed { .. } => 4,
        Event::Registered { .. } => 5,
        Event::Launched { .. } => 6,
        Event::Attached { .. } => 7,
        Event::Status { .. } => 8,
        Event::Shards { .. } => 9,
        Event::Log { .. } => 10,
        Event::Retrying { .. } => 11,
        Event::Warning { .. } => 12,
        Event::Finished(_) => 13,
        Event::Error { .. } => 14,
    }
}

fn line_of(event: &Event) -> Value {
    let mut line = serde_json::to_value(event).expect("events are JSON");
    line["time"] = json!(Timestamp(0).to_string());
    line["task"] = Value::Null;
    line
}

#[test]
fn the_table_is_what_the_types_are() {
    let schema = schema();
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().into_iter().flatten().map(|it| it.0.clone()).collect()
    };
    let events = events();
    assert_eq!(events.len(), EVENTS.len());
    for (index, (full, bare)) in events.iter().enumerate() {
        assert_eq!((place(full), place(bare)), (index, index));
        let (name, _, _) = EVENTS[index];
        let (full, bare) = (line_of(full), line_of(bare));
        assert_eq!(full["event"], name);
        let definition = &schema["definitions"][name];
        let mut known = names(&definition["properties"]);
        known.remove("version");
        known.remove("shard");
        assert_eq!(names(&full), known, "{name}");
        let required: BTreeSet<String> = definition["required"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| it.as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(names(&bare), required, "{name}");
        for line in [&full, &bare] {
            assert_eq!(validator::wrong(&schema, line), None);
            // And it can say no.
            let mut unknown = line.clone();
            unknown["event"] = json!("unheard-of");
            assert!(validator::wrong(&schema, &unknown).is_some());
            for field in &required {
                let mut lacking = line.clone();
                lacking.as_object_mut().expect("a table").remove(field);
                assert!(validator::wrong(&schema, &lacking).is_some(), "{name} without {field}");
                let mut other = line.clone();
                other[field] = json!([[0.5]]);
                assert!(validator::wrong(&schema, &other).is_some(), "{name} with a list as {field}");
            }
        }
    }
}

#[test]
fn the_words_are_the_types() {
    let word = |holds: Holds| match holds {
        Holds::Words(words) => words.to_vec(),
        _ => Vec::new(),
    };
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::NeverStarted,
        Outcome::Stopped,
        Outcome::TimedOut,
        Outcome::Interrupted,
        Outcome::Detached,
        Outcome::Refused,
        Outcome::AlreadyRunning,
        Outcome::Skipped,
        Outcome::Unknown,
    ];
    assert_eq!(word(OUTCOMES), outcomes.map(Outcome::as_str));
    let ends = [LogEnd::Complete, LogEnd::NeverStarted, LogEnd::MayBeCut(String::new()), LogEnd::Open];
    assert_eq!(word(LOG_ENDS), ends.each_ref().map(LogEnd::as_str));
    let json = |it: Value| it.as_str().expect("a word").to_owned();
    let runners = [Runner::Host, Runner::Docker, Runner::Ecs].map(|it| json(serde_json::to_value(it).expect("JSON")));
    assert_eq!(word(RUNNERS), runners);
    let steps =
        [BuildStep::Prepare, BuildStep::Build, BuildStep::Push].map(|it| json(serde_json::to_value(it).expect("JSON")));
    assert_eq!(word(STEPS), steps);
}

/// What a program that reads `old` would miss in `new`.
fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let table = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (name, old) in table(&old["definitions"]) {
        let Some(new) = new["definitions"].get(&name) else {
            broken.push(format!("the event `{name}` is gone"));
            continue;
        };
        for field in old["required"].as_array().into_iter().flatten() {
            if !new["required"].as_array().is_some_and(|it| it.contains(field)) {
                broken.push(format!("{field} of `{name}` may be missing now"));
            }
        }
        for (field, old) in table(&old["properties"]) {
            let shape = |value: &Value| {
                let mut value = value.clone();
                if let Some(table) = value.as_object_mut() {
                    table.remove("description");
                    // More words or parts are no break; the version is what changes in the end.
                    table.remove("enum");
                    table.remove("properties");
                    table.remove("items");
                    table.remove("const").filter(|_| field != "version").map(|it| table.insert("const".to_owned(), it));
                }
                value
            };
            let Some(new) = new["properties"].get(&field) else {
                broken.push(format!("`{field}` of `{name}` is gone"));
                continue;
            };
            if shape(&old) != shape(new) {
                broken.push(format!("`{field}` of `{name}` is another type"));
            }
            for word in old["enum"].as_array().into_iter().flatten() {
                if !new["enum"].as_array().is_some_and(|it| it.contains(word)) {
                    broken.push(format!("{word} of `{field}` of `{name}` is gone"));
                }
            }
            for part in table(&old["properties"]).keys().chain(table(&old["items"]["properties"]).keys()) {
                if new["properties"].get(part).or_else(|| new["items"]["properties"].get(part)).is_none() {
                    broken.push(format!("`{field}.{part}` of `{name}` is gone"));
                }
            }
        }
    }
    broken
}

fn version_of(schema: &Value) -> u64 {
    schema["definitions"]["resolved"]["properties"]["version"]["const"].as_u64().unwrap_or_default()
}

/// The file is what the table says, and the version changes exactly when a reader of the last one would break.
/// `UPDATE_EXPECT=1` writes the file.
#[test]
fn the_file_is_up_to_date_and_the_version_with_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.schema.json");
    // A repository that took in `xtask/` alone has no `docs/`.
    if !path.parent().is_some_and(std::path::Path::is_dir) {
        return;
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    if let Ok(old) = serde_json::from_str::<Value>(&file) {
        let broken = breaks(&old, &schema());
        let same = version_of(&old) == u64::from(VERSION);
        assert!(broken.is_empty() || !same, "event::VERSION has to go up: {broken:#?}");
        assert!(!broken.is_empty() || same, "nobody's program breaks: event::VERSION stays {}", version_of(&old));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, text()).expect("the file can be written");
        return;
    }
    assert!(file == text(), "docs/events.schema.json is old: run the tests with UPDATE_EXPECT=1");
}

#[test]
fn what_breaks_a_reader_is_found() {
    let old = schema();
    let changed = |change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new["definitions"]);
        breaks(&old, &new)
    };
    assert_eq!(changed(|_| ()), [""; 0]);
    // What may come.
    assert_eq!(changed(|it| it["new"] = json!({ "properties": {} })), [""; 0]);
    assert_eq!(changed(|it| it["log"]["properties"]["colour"] = json!({ "type": "integer" })), [""; 0]);
    assert_eq!(changed(|it| it["log"]["properties"]["message"]["description"] = json!("other words")), [""; 0]);
    let more =
        |it: &mut Value| it["finished"]["properties"]["outcome"]["enum"].as_array_mut().unwrap().push(json!("x"));
    assert_eq!(changed(more), [""; 0]);
    // What may not.
    for (change, expected) in [
        ((|it| drop(it.as_object_mut().unwrap().remove("status"))) as fn(&mut Value), "the event `status` is gone"),
        (
            |it| drop(it["log"]["properties"].as_object_mut().unwrap().remove("container")),
            "`container` of `log` is gone",
        ),
        (
            |it| it["finished"]["properties"]["exit_code"]["type"] = json!("string"),
            "`exit_code` of `finished` is another type",
        ),
        (|it| drop(it["log"]["required"].as_array_mut().unwrap().pop()), "\"container\" of `log` may be missing now"),
        (
            |it| drop(it["finished"]["properties"]["outcome"]["enum"].as_array_mut().unwrap().remove(0)),
            "\"succeeded\" of `outcome` of `finished` is gone",
        ),
        (
            |it| drop(it["finished"]["properties"]["timings"]["properties"].as_object_mut().unwrap().remove("pull")),
            "`timings.pull` of `finished` is gone",
        ),
    ] {
        assert_eq!(changed(change), [expected]);
    }
}
