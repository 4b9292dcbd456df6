//! Reads the output of an ECS task as far as there is any, without following it.

use crate::aws::Aws;
use crate::aws::logs::{LogRead, LogReader};
use crate::error::Result;
use crate::model::{LogLocation, Timestamp};
use crate::ui::Ui;

/// Prints what there is, from a time on where one is given. `false`: there is no output (yet).
pub async fn replay(aws: &Aws, ui: &Ui, logs: &LogLocation, task: &str, from: Option<Timestamp>) -> Result<bool> {
    let aws = aws.clone().with_logs_region(&logs.region);
    let stream = logs.stream(task);
    let reader = LogReader::new(&logs.group, &stream);
    let mut token = None;
    loop {
        let read = reader.page(&aws, token.clone(), from).await;
        let page = match read.map_err(|it| it.problem(&format!("read the output in `{stream}`"), None).failed())? {
            LogRead::Page(page) => page,
            LogRead::Missing(_) => return Ok(false),
        };
        if !page.events.is_empty() {
            ui.lines(&logs.container, page.events).await;
        }
        // An empty page is not the end; the same token again is, and so is a reader who wants no more.
        if page.next_token.is_none() || page.next_token == token || ui.stdout_is_broken() {
            return Ok(true);
        }
        token = page.next_token;
    }
}
