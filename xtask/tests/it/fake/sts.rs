//! STS: who calls. Answers in XML.

use super::state::State;
use super::wire::{REQUEST_ID, Reply, Request, xml};

/// `None`: there is no script for this operation.
pub fn handle(state: &State, request: &Request) -> Option<Reply> {
    if request.operation != "GetCallerIdentity" {
        return None;
    }
    let (arn, account) = (xml(&state.caller_arn()), xml(&state.account));
    Some(Ok(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <GetCallerIdentityResult>\n    \
         <Arn>{arn}</Arn>\n    <UserId>AROAFAKE:somebody</UserId>\n    <Account>{account}</Account>\n  \
         </GetCallerIdentityResult>\n  <ResponseMetadata>\n    <RequestId>{REQUEST_ID}</RequestId>\n  \
         </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
    )))
}
