//! Turns the planned definition into a revision: the newest one where it is equal, else a new one.

use std::time::Duration;

use crate::aws::{Aws, Effect};
use crate::error::Result;
use crate::event::Event;
use crate::model::Plan;
use crate::plan::definition_with_image;
use crate::ui::Ui;

/// How often a refusal that means "not just now" is tried again.
const ATTEMPTS: u32 = 6;

/// A revision that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDefinition {
    /// Its ARN.
    pub arn: String,
    /// The image in it, by digest where it was built here.
    pub image: String,
}

/// Registers the plan's definition with this image, unless the newest revision was made from the same.
pub async fn register(aws: &Aws, ui: &Ui, plan: &Plan, image: &str) -> Result<TaskDefinition> {
    let (request, hash) = definition_with_image(plan, image);
    if let Some(newest) = &plan.newest_revision
        && newest.ours
        && newest.hash.as_deref() == Some(&hash)
    {
        ui.emit(Event::Registered { task_definition: newest.arn.clone(), reused: true });
        return Ok(TaskDefinition { arn: newest.arn.clone(), image: image.to_owned() });
    }
    let mut attempt = 1;
    let arn = loop {
        let error = match aws.register_task_definition(&request).await {
            Ok(arn) => break arn,
            Err(error) => error,
        };
        // ECS refuses two registrations of one family at a time, and lets one a second pass. A lost answer leaves at most an
        // unused revision behind.
        let busy = error.message.contains("Too many concurrent attempts");
        let again = busy || matches!(error.effect, Effect::Throttled | Effect::Unknown);
        if !again || attempt == ATTEMPTS {
            let family = request.get("family").and_then(|it| it.as_str()).unwrap_or_default();
            return Err(error.problem(&format!("register a revision of `{family}`"), None).failed());
        }
        let pause = Duration::from_millis(500 * u64::from(attempt)).div_f64(aws.speed);
        ui.note(format!("RegisterTaskDefinition: {}; trying again", error.cause()));
        tokio::time::sleep(pause).await;
        attempt += 1;
    };
    ui.emit(Event::Registered { task_definition: arn.clone(), reused: false });
    Ok(TaskDefinition { arn, image: image.to_owned() })
}
