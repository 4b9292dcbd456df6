//! ECS Exec and what belongs to it: ExecuteCommand, ResumeSession and TerminateSession of Systems Manager, GenerateDataKey of KMS. The
//! sessions themselves are the gateway's.

use serde_json::{Value, json};

use super::life::Millis;
use super::state::State;
use super::tasks;
use super::wire::{Refusal, Reply, Request};

/// ECS's words for two things.
pub const NOT_RUNNING: &str = "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn’t running. Wait and try again or run a new task with execute command enabled and try again.";
/// Right after the agent has started, and whenever it cannot reach the service.
pub const NOT_CONNECTED: &str = "The execute command failed due to an internal error. Try again later.";

/// ExecuteCommand.
pub fn execute(state: &mut State, request: &Request, now: Millis) -> Reply {
    let cluster = tasks::known_cluster(state, request)?;
    if request.body["interactive"] != true {
        return Err(Refusal::parameter("Amazon ECS only supports initiating interactive sessions."));
    }
    let reference = request.str("task").unwrap_or_default();
    let task = state.tasks.iter().find(|it| it.cluster == cluster && tasks::is_named(it, reference));
    let task = task.ok_or_else(|| Refusal::parameter("The referenced task was not found."))?;
    let document = tasks::document(task, now, false);
    let container = request.str("container").unwrap_or_default();
    let found = document["containers"].as_array().into_iter().flatten().find(|it| it["name"] == container);
    let found = found.ok_or_else(|| Refusal::parameter("The container was not found in the task."))?;
    let agent = found["managedAgents"].as_array().into_iter().flatten().find(|it| it["name"] == "ExecuteCommandAgent");
    if agent.is_none_or(|it| it["lastStatus"] != "RUNNING") {
        return Err(Refusal::parameter(NOT_RUNNING));
    }
    if state.not_connected > 0 {
        state.not_connected -= 1;
        return Err(Refusal::new("TargetNotConnectedException", NOT_CONNECTED));
    }
    let Some(gateway) = &state.gateway else {
        return Err(Refusal::new("TargetNotConnectedException", NOT_CONNECTED));
    };
    let runtime = found["runtimeId"].as_str().unwrap_or_default();
    let command = request.str("command").unwrap_or_default();
    let (id, url, token) = gateway.start(&cluster, &task.id, runtime, command);
    Ok(json!({
        "clusterArn": document["clusterArn"], "taskArn": task.arn, "containerName": container, "interactive": true,
        "session": { "sessionId": id, "streamUrl": url, "tokenValue": token },
    })
    .to_string())
}

/// Systems Manager.
pub fn ssm(state: &mut State, request: &Request) -> Option<Reply> {
    let gateway = state.gateway.clone()?;
    let id = request.str("SessionId").unwrap_or_default();
    Some(match request.operation.as_str() {
        "ResumeSession" => match gateway.resume(id) {
            Some(token) => Ok(json!({ "SessionId": id, "TokenValue": token }).to_string()),
            None => Ok(json!({ "SessionId": id, "TokenValue": null, "StreamUrl": null }).to_string()),
        },
        "TerminateSession" => {
            gateway.terminate(id);
            Ok(json!({ "SessionId": id }).to_string())
        }
        _ => return None,
    })
}

/// KMS.
pub fn kms(state: &mut State, request: &Request) -> Option<Reply> {
    let gateway = state.gateway.clone()?;
    if request.operation != "GenerateDataKey" {
        return None;
    }
    if request.body["NumberOfBytes"] != 64 || request.body["KeyId"] != "arn:aws:kms:eu-west-1:111122223333:key/k" {
        return Some(Err(Refusal::new("ValidationException", "the session's key has 64 bytes")));
    }
    let (plain, encrypted) = gateway.data_key(request.body.get("EncryptionContext").unwrap_or(&Value::Null));
    let base64 = |it: &[u8]| data_encoding::BASE64.encode(it);
    Some(Ok(
        json!({ "KeyId": request.body["KeyId"], "Plaintext": base64(&plain), "CiphertextBlob": base64(&encrypted) })
            .to_string(),
    ))
}
