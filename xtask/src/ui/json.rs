//! The printer for programs: one event a line on stdout, as JSON, and nothing else there.

use serde::Serialize;

use crate::error::Error;
use crate::event::{Event, VERSION};
use crate::model::Timestamp;
use crate::ui::output::Output;
use crate::ui::render::line_and_column;
use crate::ui::{Moment, Of};

/// The printer; it remembers whether the version is told.
#[derive(Debug, Default)]
pub(super) struct Json {
    begun: bool,
}

/// What every event has beside its own fields.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    time: Timestamp,
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u32>,
}

impl Json {
    /// Writes an event's line.
    pub(super) fn event(&mut self, of: &Of, event: &Event, now: Moment, out: &mut Output) {
        let version = (!std::mem::replace(&mut self.begun, true)).then_some(VERSION);
        let head = Head { version, time: now.wall, task: of.task.as_deref(), shard: of.shard.map(|it| it.index) };
        let (Ok(event), Ok(head)) = (serde_json::to_string(event), serde_json::to_string(&head)) else { return };
        // `{"event":"log","message":…}` becomes `{"event":"log","time":…,"task":…,"message":…}`. Put together as text, because a
        // map in between would make a log of a million lines several times slower.
        let name_end = event.find(',').unwrap_or(event.len() - 1);
        let (name, fields) = event.split_at(name_end);
        let line = [name, ",", head.trim_start_matches('{').trim_end_matches('}'), fields, "\n"].concat();
        out.stdout(line.as_bytes());
    }

    /// Writes one `error` event a problem.
    pub(super) fn error(&mut self, of: &Of, error: &Error, now: Moment, out: &mut Output) {
        for event in error_events(error) {
            self.event(of, &event, now, out);
        }
    }
}

/// The events of an error: one a problem, the last with what was already done.
pub(super) fn error_events(error: &Error) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, problem) in error.problems.iter().enumerate() {
        let place = error.source.as_ref().zip(problem.span);
        let numbers = place.map(|(source, span)| line_and_column(&source.text, span.start));
        events.push(Event::Error {
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            file: place.map(|(source, _)| source.path.clone()),
            line: numbers.map(|(line, _)| line),
            column: numbers.map(|(_, column)| column),
            done: error.done.clone().filter(|_| index + 1 == error.problems.len()),
        });
    }
    events
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::error::Problem;
    use crate::model::{Source, Span};
    use crate::ui::samples;

    #[test]
    fn the_first_line_has_the_version_and_every_line_its_head_first() {
        let mut json = Json::default();
        let mut out = Output::default();
        for event in samples::run() {
            json.event(&Of::named("db-migrate"), &event, samples::now(), &mut out);
        }
        let text = out.on_stdout();
        assert_eq!(out.on_stderr(), "");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), samples::run().len());
        assert_eq!(
            lines[0],
            r#"{"event":"resolved","version":1,"time":"2026-11-24T03:00:00.000Z","task":"db-migrate","environment":"staging","runner":"ecs","run_id":"r-1","command":["bin/rails","db:migrate"]}"#
        );
        for (line, event) in lines.iter().zip(samples::run()) {
            let read: Value = serde_json::from_str(line).expect("each line is JSON");
            let Value::Object(mut read) = read else { panic!("{line}") };
            let head: Vec<&str> = read.keys().filter(|it| *it != "version").take(3).map(String::as_str).collect();
            assert_eq!(head, ["event", "time", "task"], "{line}");
            assert_eq!(read.contains_key("version"), read["event"] == "resolved", "{line}");
            for key in ["version", "time", "task"] {
                read.shift_remove(key);
            }
            assert_eq!(Value::Object(read), serde_json::to_value(&event).expect("events are JSON"));
        }
    }

    #[test]
    fn a_log_line_keeps_every_character() {
        let message = "a,b \"c\" {\u{1b}[1m}\r\t\u{0} é日";
        let event = Event::Log { message: message.to_owned(), timestamp: Timestamp(1), container: "app".to_owned() };
        let mut out = Output::default();
        Json { begun: true }.event(&Of::default(), &event, samples::now(), &mut out);
        let text = out.on_stdout();
        assert_eq!(text.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&text).expect("it is JSON");
        let expected = json!({
            "event": "log", "time": "2026-11-24T03:00:00.000Z", "task": null,
            "message": message, "timestamp": "1970-01-01T00:00:00.001Z", "container": "app",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn the_last_event_has_every_field_of_the_contract() {
        let mut out = Output::default();
        let Some(finished) = samples::run().pop() else { panic!("a run has events") };
        Json { begun: true }.event(&Of::named("db-migrate"), &finished, samples::now(), &mut out);
        let expected = concat!(
            r#"{"event":"finished","time":"2026-11-24T03:00:00.000Z","task":"db-migrate","outcome":"failed","exit_code":1,"#,
            r#""run_id":"r-1","task_arn":"arn:aws:ecs:eu-west-1:111122223333:task/staging/0123456789abcdef","#,
            r#""task_definition":"arn:aws:ecs:eu-west-1:111122223333:task-definition/xtask-staging-db-migrate:7","#,
            r#""image":"111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app@sha256:abcd","#,
            r#""stop_code":"EssentialContainerExited","stopped_reason":"Essential container in task exited","#,
            r#""log":"complete","timings":{"build":40.0,"push":8.0,"queue":5.0,"pull":9.5,"run":30.0,"stop":2.5,"total":95.0}}"#,
            "\n"
        );
        assert_eq!(out.on_stdout(), expected);
    }

    #[test]
    fn each_problem_is_an_event() {
        let source = Arc::new(Source { path: "tasks.toml".to_owned(), text: "a = 1\nb = é2\n".to_owned() });
        let error = Error::all_refused(vec![
            Problem::new("unknown key `a`").at(Span { start: 0, end: 1 }).hint("did you mean `b`"),
            Problem::new("bad value").at(Span { start: 12, end: 13 }),
            Problem::new("no place"),
        ])
        .in_source(&source)
        .done("nothing was written");
        let mut out = Output::default();
        Json::default().error(&Of::named("x"), &error, samples::now(), &mut out);
        let head = r#""time":"2026-11-24T03:00:00.000Z","task":"x""#;
        let expected = [
            format!(
                r#"{{"event":"error","version":1,{head},"message":"unknown key `a`","hint":"did you mean `b`","file":"tasks.toml","line":1,"column":1}}"#
            ),
            format!(r#"{{"event":"error",{head},"message":"bad value","file":"tasks.toml","line":2,"column":6}}"#),
            format!(r#"{{"event":"error",{head},"message":"no place","done":"nothing was written"}}"#),
        ];
        assert_eq!(out.on_stdout().lines().collect::<Vec<_>>(), expected);
    }
}
