//! The chosen container's log configuration: what is followed is CloudWatch Logs, whole and in order.

use serde_json::{Value, json};

use super::{Planner, json};
use crate::error::Problem;
use crate::model::{LogLocation, Origin, Sourced};

/// The stream prefix where nobody gives one: without a prefix the stream's name cannot be known.
const STREAM_PREFIX: &str = "xtask";
/// Options of awslogs that join or delay lines, or that docker refuses together with `mode=blocking`.
const DROPPED_LOG_OPTIONS: &[&str] = &["awslogs-multiline-pattern", "awslogs-datetime-format", "max-buffer-size"];

/// awslogs with a prefix, so that the stream's name is known, and blocking, so that no line is lost where ECS's default drops.
pub(super) fn logs(planner: &mut Planner<'_>, base: &Value) -> Option<(Value, Sourced<LogLocation>)> {
    let container = json::container(base, planner.container)?;
    let of_base = container.get("logConfiguration");
    let driver = of_base.and_then(|it| json::text(it, "logDriver"));
    let base_options = of_base.filter(|_| driver == Some("awslogs")).and_then(|it| it.get("options")?.as_object());
    let mut options = base_options.cloned().unwrap_or_default();
    let origin = match &planner.task.settings.logs {
        Some(logs) => {
            let region = logs.value.region.clone().unwrap_or_else(|| planner.region().to_owned());
            let prefix = logs.value.prefix.clone().unwrap_or_else(|| STREAM_PREFIX.to_owned());
            options.insert("awslogs-group".to_owned(), Value::String(logs.value.group.clone()));
            options.insert("awslogs-region".to_owned(), Value::String(region));
            options.insert("awslogs-stream-prefix".to_owned(), Value::String(prefix));
            logs.origin.clone()
        }
        None if driver == Some("awslogs") => Origin::TaskDefinition,
        None => {
            let what = match driver {
                Some(driver) => format!("its log driver in `{}` is `{driver}`", planner.base_name()),
                None => format!("it has no log configuration in `{}`", planner.base_name()),
            };
            let group = json::text(base, "family").unwrap_or("app");
            planner.problem(
                Problem::new(format!("the output of `{}` cannot be followed: {what}", planner.container))
                    .at(planner.task.task_span)
                    .hint(format!("put its output into CloudWatch Logs: `logs = {{ group = \"/ecs/{group}\" }}`")),
            );
            return None;
        }
    };
    for option in DROPPED_LOG_OPTIONS {
        options.shift_remove(*option);
    }
    options.insert("mode".to_owned(), Value::String("blocking".to_owned()));
    let region = planner.region().to_owned();
    let mut option = |key: &str, default: &str| {
        let value = options.get(key).and_then(Value::as_str).filter(|it| !it.is_empty()).unwrap_or(default).to_owned();
        options.insert(key.to_owned(), Value::String(value.clone()));
        value
    };
    let location = LogLocation {
        group: option("awslogs-group", ""),
        region: option("awslogs-region", &region),
        prefix: option("awslogs-stream-prefix", STREAM_PREFIX),
        container: planner.container.to_owned(),
    };
    if location.group.is_empty() {
        planner.problem(
            Problem::new(format!("the log configuration of `{}` names no group", planner.container))
                .at(planner.task.task_span)
                .hint("set `logs = { group = \"…\" }`"),
        );
        return None;
    }
    let configuration = json!({ "logDriver": "awslogs", "options": options });
    Some((configuration, Sourced::new(location, origin)))
}
