//! `logs`: the output of an ECS task so far.

use std::time::{Duration, SystemTime};

use crate::cx::TasksFile;
use crate::error::{Result, exit};
use crate::event::Event;
use crate::flags::{self, Everywhere};
use crate::model::Timestamp;
use crate::stage::find::{self, For, Sought};
use crate::stage::replay;
use crate::ui::Ui;
use crate::verb::reach;

/// Finds it and prints its output.
pub async fn logs(file: &TasksFile, flags: &flags::Logs, everywhere: &Everywhere, ui: &Ui) -> Result<u8> {
    let grounds = reach::grounds(file, everywhere, ui).await?;
    let find = Box::pin(find::find(&grounds, &flags.id, For::Looking));
    let (ground, name, id, logs) = match reach::patiently(&grounds, everywhere, ui, find).await? {
        Sought::Task(found) => {
            let output = find::output(&found).await?;
            (found.ground, found.name, found.task.id().to_owned(), output.logs)
        }
        Sought::Forgotten(forgotten) => (forgotten.ground, forgotten.name, forgotten.id, forgotten.logs),
    };
    let ui = ui.for_task(&name);
    let from = flags.since.map(before_now);
    if !replay::replay(&ground.aws, &ui, &logs, &id, from).await? {
        let message = format!("there is no output of {id}: the log stream `{}` does not exist (yet)", logs.stream(&id));
        ui.emit(Event::Warning { message, hint: None });
    }
    Ok(exit::OK)
}

/// The time so long ago.
fn before_now(span: Duration) -> Timestamp {
    let Timestamp(now) = now();
    Timestamp(now.saturating_sub(span.as_millis().try_into().unwrap_or(i64::MAX)))
}

/// By this machine's clock.
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_1970.as_millis().try_into().unwrap_or(i64::MAX))
}
