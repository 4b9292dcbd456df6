//! x
use crate::cx::TasksFile;
use crate::error::Result;
use crate::flags::{self, Everywhere};
use crate::tools::signals::Signals;
use crate::ui::Ui;
/// x
pub async fn clean(_: &TasksFile, _: &flags::Clean, _: &Everywhere, _: &Ui, _: &mut Signals) -> Result<()> {
    Ok(())
}
