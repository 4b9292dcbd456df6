//! x
use crate::error::Result;
use crate::flags::{self, Everywhere};
use crate::tools::signals::Signals;
use crate::ui::Ui;
/// x
pub async fn check(_: &flags::Check, _: &Everywhere, _: &Ui, _: &mut Signals) -> Result<u8> {
    Ok(0)
}
