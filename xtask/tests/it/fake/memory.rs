//! The door for the library in the same process: an HTTP client of the SDK that hands requests to the fake and answers, delays and breaks
//! on tokio's clock. Where that clock is paused, six hours pass in seconds.
//!
//! Nothing else may wait for anything real then, since a paused clock jumps whenever nothing else is to be done. So the library gets
//! everything from here: an [`Aws`] on this client, its time and its credentials. What runs in real time before (git) is done by the time
//! of the call that [`Fake::pauses_at`] names.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper::body::{Body, Bytes, Frame};
use xtask::aws::{Aws, AwsOptions};

use super::hooks::Moment;
use super::life::Millis;
use super::wire::{Answer, REQUEST_ID, Refusal, Request, Service};
use super::{ACCESS_KEY, Act, Core, Fake, REGION, SECRET_KEY, SESSION_TOKEN};

/// The open door: SDK's HTTP client, its clock, and the source of its credentials.
#[derive(Debug, Clone)]
struct Door(Arc<Core>);

impl Fake {
    /// An account with nothing in it, for a client in the same process: time is tokio's.
    pub fn in_memory() -> Fake {
        Fake { core: Fake::closed(1.0, None), door: None }
    }

    /// The library's clients of this fake. Needs no runtime.
    pub fn aws(&self) -> Aws {
        let door = Door(self.core());
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .http_client(door.clone())
            .time_source(door.clone())
            .credentials_provider(SharedCredentialsProvider::new(door))
            .build();
        Aws::with_config(config, AwsOptions::default()).expect("there is a region")
    }

    /// From the first call of this operation on tokio's clock is paused: until then real things happen in real time.
    pub fn pauses_at(self, operation: &str) -> Fake {
        self.at_call(operation, 1, Moment::Arrived, tokio::time::pause);
        self
    }

    /// So long from now on the keys that were given out so far are refused as expired; their source has new ones after `renewed`.
    pub fn keys_expire(self, after: Millis, renewed: Millis) -> Fake {
        self.change(|inner, now| inner.state.keys.push((now + after, now + after + renewed)))
    }
}

impl HttpClient for Door {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Door {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(serve(Arc::clone(&self.0), request))
    }
}

async fn serve(core: Arc<Core>, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let path = request.uri().split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let path = format!("/{}", path.map_or("", |(_, path)| path));
    let headers = request.headers().iter().map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let body = request.body().bytes().expect("no request of ours streams its body");
    let request = match Request::parse(request.method(), &path, headers, body) {
        Ok(request) => request,
        Err(problem) => {
            core.problem(problem.clone());
            return Ok(response(&core, &Refusal::new("UnknownOperationException", problem).answer(Service::Ecs), None));
        }
    };
    let exchange = core.arrive(request);
    core.hook(&exchange, Moment::Arrived);
    sleep(exchange.latency / 2).await;
    let act = core.act(&exchange);
    core.hook(&exchange, Moment::Acted);
    sleep(exchange.latency / 2 + Duration::from_millis(exchange.slow.max(0) as u64)).await;
    let answer = match act {
        Act::Answer(answer) => {
            core.answered(&exchange, &answer);
            Ok(response(&core, &answer, None))
        }
        Act::Half(answer) => {
            let half = Half(Some(Bytes::copy_from_slice(&answer.body.as_bytes()[..answer.body.len() / 2])));
            Ok(response(&core, &answer, Some(half)))
        }
        Act::Close => Err(ConnectorError::io("connection closed before message completed".into())),
        Act::Silence => return std::future::pending().await,
    };
    core.hook(&exchange, Moment::Answered);
    answer
}

/// Not even a sleep of no time: it lasts until the clock's next millisecond.
async fn sleep(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}

fn response(core: &Core, answer: &Answer, half: Option<Half>) -> HttpResponse {
    let body = half.map_or_else(|| SdkBody::from(answer.body.as_str()), SdkBody::from_body_1_x);
    let mut response = HttpResponse::new(answer.status.try_into().expect("it is an HTTP status"), body);
    let headers = response.headers_mut();
    headers.insert("content-type", answer.content_type);
    headers.insert("content-length", answer.body.len().to_string());
    headers.insert("date", super::http_date(core.clock.now()));
    headers.insert("x-amzn-requestid", REQUEST_ID);
    response
}

/// The first half of a body, and the end of the connection.
#[derive(Debug)]
struct Half(Option<Bytes>);

impl Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let frame = self.0.take().map(Frame::data);
        Poll::Ready(Some(frame.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())))
    }
}

impl TimeSource for Door {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.clock.now() as u64)
    }
}

impl ProvideCredentials for Door {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let now = self.0.clock.now();
        let renewed = self.0.lock().state.keys.iter().filter(|(_, renewed)| *renewed <= now).count();
        let token = Some(SESSION_TOKEN.to_owned());
        future::ProvideCredentials::ready(Ok(Credentials::new(
            access_key(renewed),
            SECRET_KEY,
            token,
            None,
            "the fake",
        )))
    }
}

/// The access key after so many that have expired.
pub fn access_key(generation: usize) -> String {
    format!("{}{generation:04}", &ACCESS_KEY[..ACCESS_KEY.len() - 4])
}

/// Whether a request is signed with a key that has expired. The keys are told as (when it expires, when its source has the next).
pub fn is_expired(request: &Request, keys: &[(Millis, Millis)], now: Millis) -> bool {
    let expired = keys.iter().filter(|(expires, _)| *expires <= now).count();
    let authorization = request.header("authorization").unwrap_or_default();
    (0..expired).any(|generation| authorization.contains(&access_key(generation)))
}
