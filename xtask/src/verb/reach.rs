//! The way to AWS, for every verb that goes there: what this process's environment says about it, the guards, and the command lines that a
//! person types next.

use std::time::Duration;

use crate::aws::trace::Trace;
use crate::aws::{Aws, AwsOptions};
use crate::cx::TasksFile;
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::flags::Everywhere;
use crate::follow::words;
use crate::model::{Selection, Settings, Sourced};
use crate::resolve;
use crate::stage::find::Ground;
use crate::ui::Ui;

/// A variable of this process's environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Variables that decide where something runs, or as whom. One that cannot be read must not count as one that is not set.
const DECISIVE: [&str; 13] = [
    "XTASK_ENV",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

/// Refuses variables that are not text.
pub fn check_variables() -> Result<()> {
    let mut problems = Vec::new();
    for name in DECISIVE {
        let Some(value) = std::env::var_os(name).filter(|it| it.to_str().is_none()) else { continue };
        let is_secret = name.contains("SECRET") || name.contains("TOKEN");
        let shown = if is_secret { String::new() } else { format!(": {value:?}") };
        let problem = Problem::new(format!("the variable {name} is not UTF-8{shown}"));
        problems.push(problem.hint(format!("set it anew, or `unset {name}`")));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::all_refused(problems)) }
}

/// An endpoint from outside tasks.toml would lead somewhere else than tasks.toml says: a warning, or a refusal where that is protected.
pub fn guard_endpoint(environment: &Sourced<String>, settings: &Settings) -> Result<Option<String>> {
    if settings.endpoint_url.is_some() || variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").as_deref() == Some("true") {
        return Ok(None);
    }
    let mut names = std::env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().filter(|_| !value.is_empty()))
        .filter(|it| it.starts_with("AWS_ENDPOINT_URL"));
    let Some(name) = names.next() else { return Ok(None) };
    if settings.protected.as_ref().is_some_and(|it| it.value) {
        return Err(Problem::new(format!("{name} is set, and `{}` is protected", environment.value))
            .at(environment.span())
            .hint(format!("unset {name}, or write `endpoint-url` into the environment of tasks.toml"))
            .refused());
    }
    Ok(Some(format!("{name} is set: AWS is reached there instead of at its own endpoints")))
}

/// The clients that settings lead to.
pub async fn connect(settings: &Settings, ui: &Ui) -> Result<Aws> {
    let ui = ui.clone();
    let options = AwsOptions {
        trace: Some(Trace::new(move |line| ui.note(line))),
        profile: settings.profile.clone(),
        region: settings.region.clone(),
        endpoint_url: settings.endpoint_url.clone(),
        speed: variable("XTASK_TEST_SPEED").and_then(|it| it.parse().ok()).unwrap_or(1.0),
    };
    Box::pin(Aws::connect(options)).await
}

/// The places of the chosen environment, with the way to each.
pub async fn grounds(file: &TasksFile, everywhere: &Everywhere, ui: &Ui) -> Result<Vec<Ground>> {
    let config = file.config()?;
    let environment = resolve::environment(&config, &selection(everywhere))?;
    let mut grounds = Vec::new();
    for (index, place) in environment.places.into_iter().enumerate() {
        if let Some(message) = guard_endpoint(&environment.name, &place.settings)?
            && index == 0
        {
            ui.emit(Event::Warning { message, hint: None });
        }
        let aws = connect(&place.settings, ui).await?;
        grounds.push(Ground { aws, environment: environment.name.value.clone(), place });
    }
    Ok(grounds)
}

/// How long a read may be silent before it says what it waits for.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the reads of one command may take in all: an answer that takes longer is not coming.
const LONGEST: Duration = Duration::from_secs(120);

/// The answer of reads that somebody waits for. Says after a while what is waited for, and gives up where nothing comes.
pub async fn patiently<T>(
    grounds: &[Ground],
    everywhere: &Everywhere,
    ui: &Ui,
    reads: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(Ground { aws, environment, .. }) = grounds.first() else { return reads.await };
    let at = match &aws.endpoint_url {
        Some(url) => format!("AWS at {url}"),
        None => format!("AWS in {}", aws.region.value),
    };
    tokio::pin!(reads);
    tokio::select! {
        read = &mut reads => return read,
        // Hardly faster where time is: a busy machine is no silent endpoint.
        () = tokio::time::sleep(SILENCE.div_f64(aws.speed.min(2.5))) => {}
    }
    ui.emit(Event::Warning { message: format!("still waiting for an answer of {at}"), hint: None });
    match tokio::time::timeout((LONGEST - SILENCE).div_f64(aws.speed), reads).await {
        Ok(read) => read,
        Err(_) => {
            let limit = words(LONGEST);
            let check = again(everywhere, environment, "check");
            Err(Problem::new(format!("no answer of {at} within {limit}"))
                .hint(format!("`{check}` says what can be reached; a proxy or a firewall may hold the calls back"))
                .failed())
        }
    }
}

/// What the command line and the process environment choose, without a task.
fn selection(everywhere: &Everywhere) -> Selection {
    everywhere.selection(variable)
}

/// A command line with which a person goes on, with the flags that lead to the same place: `cargo xtask attach 0123 -e staging`.
pub fn again(everywhere: &Everywhere, environment: &str, words: &str) -> String {
    let mut line = format!("cargo xtask {words} -e {environment}");
    let file = everywhere.file.as_ref().map(|it| it.display().to_string());
    for (flag, value) in [("--profile", &everywhere.profile), ("--region", &everywhere.region), ("--file", &file)] {
        if let Some(value) = value {
            let plain = value.chars().all(|it| it.is_alphanumeric() || "_-./:=,@%+".contains(it));
            let value = if plain { value.clone() } else { format!("'{}'", value.replace('\'', r"'\''")) };
            line.push_str(&format!(" {flag} {value}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_line_leads_to_the_same_place() {
        let everywhere = Everywhere {
            profile: Some("acme".to_owned()),
            file: Some("ops tasks.toml".into()),
            ..Everywhere::default()
        };
        assert_eq!(
            again(&everywhere, "staging", "attach 01"),
            "cargo xtask attach 01 -e staging --profile acme --file 'ops tasks.toml'"
        );
    }
}
