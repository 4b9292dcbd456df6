//! The way to AWS for every verb: which profile, region and endpoint, and the guard over an endpoint that tasks.toml does not know of.

use crate::aws::trace::Trace;
use crate::aws::{Aws, AwsOptions};
use crate::error::{Problem, Result};
use crate::model::{Settings, Sourced};
use crate::ui::Ui;

/// AWS as these settings reach it. No call is made.
pub async fn connect(settings: &Settings, ui: &Ui) -> Result<Aws> {
    let printer = ui.clone();
    let options = AwsOptions {
        trace: Some(Trace::new(move |line| printer.note(line))),
        profile: settings.profile.clone(),
        region: settings.region.clone(),
        endpoint_url: settings.endpoint_url.clone(),
        speed: variable("XTASK_TEST_SPEED").and_then(|it| it.parse().ok()).unwrap_or(1.0),
    };
    Aws::connect(options).await
}

/// An endpoint from outside tasks.toml would send a run somewhere else than tasks.toml says: a warning, and where it is protected a
/// refusal.
pub fn guard_endpoint(settings: &Settings, environment: &Sourced<String>, protected: bool) -> Result<Vec<String>> {
    if settings.endpoint_url.is_some() || variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").as_deref() == Some("true") {
        return Ok(Vec::new());
    }
    let names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().filter(|_| !value.is_empty()))
        .filter(|it| it.starts_with("AWS_ENDPOINT_URL"))
        .collect();
    let Some(name) = names.first() else { return Ok(Vec::new()) };
    if protected {
        return Err(Problem::new(format!("{name} is set, and `{}` is protected", environment.value))
            .at(environment.span())
            .hint(format!("unset {name}, or write `endpoint-url` into the environment of tasks.toml"))
            .refused());
    }
    Ok(vec![format!("{name} is set: AWS is reached there instead of at its own endpoints")])
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
