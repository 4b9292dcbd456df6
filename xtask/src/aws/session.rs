//! ECS Exec: starting a session in an ECS task, its channel, and the calls that keep it. Systems Manager and KMS are called by hand:
//! their SDK crates take minutes to compile, for one or two operations each.

use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::channel::{Channel, Refused};
use super::connect::{Url, connect};
use super::sign::{Unsigned, signature};
use super::{Aws, AwsError, Effect};
use crate::session::DataKey;

/// How often a call is made at most where its failure passes.
const ATTEMPTS: u32 = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session that ECS or Systems Manager gave. `Debug` leaves the token out.
#[derive(Clone)]
pub struct StreamSession {
    /// The session's id.
    pub id: String,
    /// Where its channel is.
    pub stream_url: String,
    /// What opens a channel.
    pub token: String,
}

impl std::fmt::Debug for StreamSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSession").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Aws {
    /// ExecuteCommand, once: whether to try again is the caller's decision.
    pub async fn execute_command(
        &self,
        cluster: &str,
        task: &str,
        container: &str,
        command: &str,
    ) -> Result<StreamSession, AwsError> {
        let operation = "ExecuteCommand";
        let answer = self
            .ecs
            .execute_command()
            .cluster(cluster)
            .task(task)
            .container(container)
            .command(command)
            // ECS takes no other.
            .interactive(true)
            .send()
            .await
            .map_err(|it| AwsError::new(operation, it))?;
        let session = answer.session.ok_or_else(|| AwsError::unexpected(operation, "the answer has no session"))?;
        match (session.session_id, session.stream_url, session.token_value) {
            (Some(id), Some(stream_url), Some(token)) => Ok(StreamSession { id, stream_url, token }),
            _ => Err(AwsError::unexpected(operation, "the answer lacks the session's id, URL or token")),
        }
    }

    /// A new token for a session whose channel was cut. `None`: the session is over.
    pub async fn resume_session(&self, session: &StreamSession) -> Result<Option<StreamSession>, AwsError> {
        let body = json!({ "SessionId": session.id });
        let answer = self.call("ssm", "AmazonSSM", "ResumeSession", &body).await;
        let answer = match answer {
            Err(error) if error.is("DoesNotExistException") => return Ok(None),
            other => other?,
        };
        let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned);
        Ok(text("TokenValue").map(|token| StreamSession {
            id: session.id.clone(),
            stream_url: text("StreamUrl").unwrap_or_else(|| session.stream_url.clone()),
            token,
        }))
    }

    /// Ends a session on both sides.
    pub async fn terminate_session(&self, id: &str) -> Result<(), AwsError> {
        self.call("ssm", "AmazonSSM", "TerminateSession", &json!({ "SessionId": id })).await.map(drop)
    }

    /// A fresh data key of 64 bytes.
    pub async fn data_key(&self, key_id: &str, context: &[(String, String)]) -> Result<DataKey, AwsError> {
        let operation = "GenerateDataKey";
        let context: serde_json::Map<String, Value> =
            context.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let body = json!({ "KeyId": key_id, "NumberOfBytes": 64, "EncryptionContext": context });
        let answer = self.call("kms", "TrentService", operation, &body).await?;
        let bytes = |name: &str| {
            let text = answer.get(name).and_then(Value::as_str)?;
            data_encoding::BASE64.decode(text.as_bytes()).ok()
        };
        match (bytes("Plaintext").and_then(|it| it.try_into().ok()), bytes("CiphertextBlob")) {
            (Some(plain), Some(encrypted)) => Ok(DataKey { plain, encrypted }),
            _ => Err(AwsError::unexpected(operation, "the answer has no key of 64 bytes")),
        }
    }

    /// Opens a session's channel: a websocket whose upgrade is signed with credentials that are asked for anew.
    pub async fn open_channel(&self, stream_url: &str) -> Result<Channel, Refused> {
        let plain = |it: String| Refused { status: None, message: it };
        let url =
            Url::parse(stream_url).ok_or_else(|| plain("the session's URL is not one of a websocket".to_owned()))?;
        // AWS may have signed it already.
        let presigned = url.path.to_lowercase().contains("x-amz-signature=");
        let headers = if presigned {
            Vec::new()
        } else {
            let credentials = self.credentials().await.map_err(|it| plain(it.message))?;
            let region = region_of(&url.host).unwrap_or(&self.region.value);
            let shown = format!("https://{}{}", url.authority, url.path);
            let request = Unsigned { method: "GET", url: &shown, headers: &[], body: b"" };
            signature(request, credentials, region, "ssmmessages", SystemTime::now()).map_err(plain)?
        };
        let connection = connect(&url).await.map_err(plain)?;
        Channel::open(connection, &url, &headers).await
    }

    async fn credentials(&self) -> Result<Credentials, AwsError> {
        let operation = "credentials";
        let provider = self
            .config
            .credentials_provider()
            .ok_or_else(|| AwsError::plain(operation, "no credentials are configured".to_owned(), Effect::NotSent))?;
        provider.provide_credentials().await.map_err(|it| {
            let message = format!("no credentials: {}", super::chain(&it));
            AwsError::plain(operation, message, Effect::NotSent)
        })
    }

    /// A call in AWS JSON 1.1, with attempts enough for what passes.
    async fn call(
        &self,
        service: &'static str,
        target: &str,
        operation: &'static str,
        body: &Value,
    ) -> Result<Value, AwsError> {
        let mut pause = Duration::from_millis(500);
        for attempt in 1.. {
            let begun = Instant::now();
            let called = tokio::time::timeout(PATIENCE, self.call_once(service, target, operation, body)).await;
            let answer = called
                .unwrap_or_else(|_| Err(AwsError::plain(operation, "no answer in time".to_owned(), Effect::Unknown)));
            if let Some(trace) = &self.trace {
                let end = answer.as_ref().map_or_else(AwsError::cause, |_| "HTTP 200".to_owned());
                trace.tell(format!("AWS {operation}: {end} in {} ms", begun.elapsed().as_millis()));
            }
            match answer {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(pause.div_f64(self.speed)).await;
                    pause *= 2;
                }
                other => return other,
            }
        }
        Err(AwsError::unexpected(operation, "not called"))
    }

    async fn call_once(
        &self,
        service: &'static str,
        target: &str,
        operation: &'static str,
        body: &Value,
    ) -> Result<Value, AwsError> {
        let unsent = |it: String| AwsError::plain(operation, it, Effect::NotSent);
        let unknown = |it: String| AwsError::plain(operation, it, Effect::Unknown);
        let endpoint = self.endpoint_of(service);
        let url = Url::parse(&endpoint).ok_or_else(|| unsent(format!("`{endpoint}` is no endpoint")))?;
        let credentials = self.credentials().await.map_err(|it| AwsError { operation, ..it })?;
        let text = body.to_string();
        let target = format!("{target}.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let shown = format!("{}://{}/", if url.secure { "https" } else { "http" }, url.authority);
        let request = Unsigned { method: "POST", url: &shown, headers: &headers, body: text.as_bytes() };
        let signed = signature(request, credentials, &self.region.value, service, SystemTime::now()).map_err(unsent)?;

        let connection = connect(&url).await.map_err(unsent)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|it| unsent(format!("{}: {it}", url.authority)))?;
        let mut request = http::Request::post("/").header("host", &url.authority);
        for (name, value) in headers.iter().copied().chain(signed.iter().map(|it| (it.0.as_str(), it.1.as_str()))) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(text))).map_err(|it| unsent(it.to_string()))?;
        let talk = async {
            let answer = sender.send_request(request).await.map_err(|it| unknown(it.to_string()))?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.map_err(|it| unknown(it.to_string()))?;
            Ok::<_, AwsError>((status, body.to_bytes()))
        };
        tokio::pin!(talk, connection);
        let (status, bytes) = tokio::select! {
            answer = &mut talk => answer?,
            // When the connection's own half ends first, the answer says why.
            _ = &mut connection => talk.await?,
        };
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        Err(refusal(operation, status, &answer))
    }

    /// Where a service is that is called by hand, as the SDK would find it.
    fn endpoint_of(&self, service: &str) -> String {
        let own = std::env::var(format!("AWS_ENDPOINT_URL_{}", service.to_uppercase())).ok();
        let ignored = std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_ok_and(|it| it == "true");
        if let Some(endpoint) = own.filter(|it| !it.is_empty() && !ignored).or_else(|| self.endpoint_url.clone()) {
            return endpoint;
        }
        let fips = self.config.use_fips().unwrap_or(false);
        let dual_stack = self.config.use_dual_stack().unwrap_or(false);
        endpoint(service, &self.region.value, fips, dual_stack)
    }
}

fn endpoint(service: &str, region: &str, fips: bool, dual_stack: bool) -> String {
    let fips = if fips { "-fips" } else { "" };
    let suffix = match (region.split('-').next(), dual_stack) {
        (Some("cn"), false) => "amazonaws.com.cn",
        (Some("cn"), true) => "api.amazonwebservices.com.cn",
        (_, false) => "amazonaws.com",
        (_, true) => "api.aws",
    };
    format!("https://{service}{fips}.{region}.{suffix}")
}

/// The region in the host name of a service.
fn region_of(host: &str) -> Option<&str> {
    let mut parts = host.split('.');
    let (service, region) = (parts.next()?, parts.next()?);
    (service.starts_with("ssmmessages") && region.contains('-')).then_some(region)
}

fn refusal(operation: &'static str, status: u16, answer: &Value) -> AwsError {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    // `com.amazonaws.ssm#AccessDeniedException` and plain codes are both in use.
    let code = text("__type").map(|it| it.rsplit('#').next().unwrap_or(it).to_owned());
    let throttled = status == 429 || code.as_deref().is_some_and(|it| it.contains("Throttl"));
    let effect = match status {
        _ if throttled => Effect::Throttled,
        500.. => Effect::Unknown,
        _ => Effect::None,
    };
    let message =
        text("message").or_else(|| text("Message")).map_or_else(|| format!("HTTP status {status}"), str::to_owned);
    AwsError { operation, code, message, effect, profile: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_the_regions_own() {
        for (service, region, fips, dual_stack, expected) in [
            ("ssm", "eu-west-1", false, false, "https://ssm.eu-west-1.amazonaws.com"),
            ("kms", "cn-north-1", false, false, "https://kms.cn-north-1.amazonaws.com.cn"),
            ("kms", "us-gov-west-1", true, false, "https://kms-fips.us-gov-west-1.amazonaws.com"),
            ("ssm", "us-east-1", false, true, "https://ssm.us-east-1.api.aws"),
        ] {
            assert_eq!(endpoint(service, region, fips, dual_stack), expected);
        }
        assert_eq!(region_of("ssmmessages.us-east-1.amazonaws.com"), Some("us-east-1"));
        assert_eq!(region_of("127.0.0.1"), None);
    }

    #[test]
    fn refusals_have_aws_code_and_message() {
        let error = refusal("ResumeSession", 400, &json!({ "__type": "a.b#AccessDeniedException", "Message": "no" }));
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some("AccessDeniedException"), "no"));
        assert!(!error.is_transient());
        assert!(refusal("ResumeSession", 500, &Value::Null).is_transient());
        assert!(refusal("ResumeSession", 400, &json!({ "__type": "ThrottlingException" })).is_transient());
    }

    #[test]
    fn tokens_and_keys_are_not_in_debug_output() {
        let session =
            StreamSession { id: "id".to_owned(), stream_url: "wss://x".to_owned(), token: "secret".to_owned() };
        assert!(!format!("{session:?}").contains("secret"));
    }
}
