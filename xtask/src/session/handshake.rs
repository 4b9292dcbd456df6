//! The handshake that an agent asks for where the cluster has a KMS key. Without one a session of ECS Exec has none at all.

use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::crypt::{Crypt, DataKey};
use super::message::payload;
use super::{Action, CLIENT_VERSION, HANDSHAKE, Phase, Session};

/// The answers so far; the data key's is missing.
#[derive(Debug)]
pub(super) struct Handshake {
    processed: Vec<Value>,
    with_challenge: bool,
}

impl Session {
    /// The agent's wishes.
    pub(super) fn shake(&mut self, bytes: &[u8], now: Duration, actions: &mut Vec<Action>) {
        self.phase = Phase::Shaking(now + HANDSHAKE);
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let wishes = body.get("RequestedClientActions").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut handshake = Handshake { processed: Vec::new(), with_challenge: false };
        let mut key = None;
        let mut refused = None;
        for wish in wishes {
            let text = |path: &str| wish.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let action = text("/ActionType");
            match action.as_str() {
                "SessionType" => {
                    let session_type = text("/ActionParameters/SessionType");
                    let shell = ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands"];
                    if shell.contains(&session_type.as_str()) {
                        handshake.processed.push(processed(&action, 1, &Value::Null, ""));
                    } else {
                        let error = format!("a session of type {session_type} is none with a terminal");
                        handshake.processed.push(processed(&action, 3, &Value::Null, &error));
                        refused = Some(error);
                    }
                }
                "KMSEncryption" => {
                    let mut context = vec![
                        ("aws:ssm:SessionId".to_owned(), self.settings.session_id.clone()),
                        ("aws:ssm:TargetId".to_owned(), self.settings.target_id.clone()),
                    ];
                    let challenge = text("/ActionParameters/Challenge");
                    if !challenge.is_empty() {
                        context.push(("aws:ssm:RandomChallenge".to_owned(), challenge));
                        handshake.with_challenge = true;
                    }
                    key = Some((text("/ActionParameters/KMSKeyId"), context));
                }
                _ => {
                    handshake.processed.push(processed(
                        &action,
                        3,
                        &Value::Null,
                        &format!("{action} is not known here"),
                    ));
                }
            }
        }
        match (key, refused) {
            (Some((key_id, context)), None) => {
                self.handshake = Some(handshake);
                actions.push(Action::NeedKey { key_id, context });
            }
            (_, refused) => {
                self.respond(&handshake.processed);
                if let Some(error) = refused {
                    self.fail(error, actions);
                }
            }
        }
    }

    /// KMS's answer: the agent gets the encrypted key and asks KMS for the same.
    pub(super) fn key(&mut self, answer: Result<DataKey, String>, actions: &mut Vec<Action>) {
        let Some(mut handshake) = self.handshake.take() else { return };
        let error = match answer {
            Ok(key) => {
                let mut nonce = [0; 12];
                nonce.copy_from_slice(&self.random(b"nonce", 0)[..12]);
                self.crypt = Crypt::client(&key, nonce);
                let mut result =
                    json!({ "KMSCipherTextKey": BASE64.encode(&key.encrypted), "KMSCipherTextHash": null });
                if handshake.with_challenge {
                    result["ChallengeAcknowledgement"] = json!(true);
                }
                handshake.processed.push(processed("KMSEncryption", 1, &result, ""));
                None
            }
            Err(error) => {
                handshake.processed.push(processed("KMSEncryption", 2, &Value::Null, &error));
                Some(error)
            }
        };
        self.respond(&handshake.processed);
        if let Some(error) = error {
            // The agent ends the session when it hears that, and says so in its own words.
            actions.push(Action::Note(format!("no data key for the session: {error}")));
        }
    }

    fn respond(&mut self, processed: &[Value]) {
        let body = json!({ "ClientVersion": CLIENT_VERSION, "ProcessedClientActions": processed, "Errors": null });
        self.outbox.message(payload::HANDSHAKE_RESPONSE, body.to_string().into_bytes());
    }

    /// The agent wants to see that both have the same key.
    pub(super) fn challenge(&mut self, bytes: &[u8], actions: &mut Vec<Action>) {
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let sealed = body.get("Challenge").and_then(Value::as_str).and_then(|it| BASE64.decode(it.as_bytes()).ok());
        let answer = sealed.and_then(|sealed| {
            let crypt = self.crypt.as_mut()?;
            let plain = crypt.open(&sealed)?;
            crypt.seal(&plain)
        });
        match answer {
            Some(answer) => {
                let body = json!({ "Challenge": BASE64.encode(&answer) }).to_string();
                self.outbox.message(payload::CHALLENGE_RESPONSE, body.into_bytes());
            }
            None => self.fail("the agent's proof of the session's key is wrong".to_owned(), actions),
        }
    }
}

fn processed(action: &str, status: u8, result: &Value, error: &str) -> Value {
    json!({ "ActionType": action, "ActionStatus": status, "ActionResult": result, "Error": error })
}
