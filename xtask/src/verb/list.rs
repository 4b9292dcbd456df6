//! `list`: the tasks by name, with their descriptions and where they may run. Never touches AWS or docker.

use crate::model::Config;

/// The table as `list` prints it; for programs as one JSON object a line.
pub fn table(config: &Config, json: bool) -> String {
    let environments: Vec<&str> = config.environments.iter().map(|it| it.name.value.as_str()).collect();
    let allowed = |task: &crate::model::TaskSpec| -> Vec<String> {
        match &task.environments {
            Some(names) => names.value.clone(),
            None => environments.iter().map(|it| (*it).to_owned()).collect(),
        }
    };
    let mut text = String::new();
    if json {
        for task in &config.tasks {
            let line = serde_json::json!({
                "task": task.name.value,
                "description": task.description,
                "environments": allowed(task),
                "default_environment": config.default_environment.as_ref().map(|it| &it.value),
            });
            text.push_str(&format!("{line}\n"));
        }
        return text;
    }
    if config.tasks.is_empty() {
        return "no tasks: add a [tasks.NAME] to tasks.toml\n".to_owned();
    }
    let width = config.tasks.iter().map(|it| it.name.value.chars().count()).max().unwrap_or_default();
    let described = |it: &crate::model::TaskSpec| {
        it.description.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    };
    let description_width = config.tasks.iter().map(|it| described(it).chars().count()).max().unwrap_or_default();
    for task in &config.tasks {
        let names = allowed(task);
        // What may run everywhere needs no list beside it.
        let place = if names.len() == environments.len() { String::new() } else { format!("({})", names.join(", ")) };
        let line = format!("{:width$}  {:description_width$}  {place}", task.name.value, described(task));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if !environments.is_empty() {
        let named = environments.iter().map(|it| {
            let is_default = config.default_environment.as_ref().is_some_and(|default| default.value == *it);
            if is_default { format!("{it} (default)") } else { (*it).to_owned() }
        });
        text.push_str(&format!("\nenvironments: {}\n", named.collect::<Vec<_>>().join(", ")));
    }
    text
}
