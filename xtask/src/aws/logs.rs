//! CloudWatch Logs: pages of one stream by forward token. Never by time: events that share a millisecond would be lost or repeated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Aws, AwsError, page};
use crate::model::{LogEvent, Timestamp};

/// Bytes of a page from which on reading it takes so long that a thread does it, and that the next one is asked for meanwhile.
const LARGE: u64 = 64 * 1024;

/// A page of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// May be empty without being the end.
    pub events: Vec<LogEvent>,
    /// Equal to the token that was sent: this is the end for now.
    pub next_token: Option<String>,
}

/// What reading a stream gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRead {
    /// A page.
    Page(LogPage),
    /// Neither group nor stream need exist until the container writes; the message tells which.
    Missing(String),
}

impl Aws {
    /// The page behind a token, or the first page.
    pub async fn log_page(&self, group: &str, stream: &str, token: Option<String>) -> Result<LogRead, AwsError> {
        self.log_page_from(group, stream, token, None).await
    }

    /// The same of the events from a time on; the time goes with each token that it gave.
    pub async fn log_page_from(
        &self,
        group: &str,
        stream: &str,
        token: Option<String>,
        from: Option<Timestamp>,
    ) -> Result<LogRead, AwsError> {
        let place = Place { group: group.to_owned(), stream: stream.to_owned(), token, from };
        let answer = self.log_answer(place.clone()).await?;
        self.read_answer(answer, place).await
    }

    async fn log_answer(&self, place: Place) -> Result<Answer, AwsError> {
        let large = LargePage::default();
        let call = self.log_call(place).customize().interceptor(large.clone()).send().await;
        let call = call.map_err(|it| AwsError::new("GetLogEvents", it));
        match large.take() {
            // Where the call failed all the same it may have come in part.
            Some(body) if call.is_ok() => Ok(Answer::Large(body)),
            _ => answer_of(call),
        }
    }

    fn log_call(
        &self,
        place: Place,
    ) -> aws_sdk_cloudwatchlogs::operation::get_log_events::builders::GetLogEventsFluentBuilder {
        self.logs()
            .get_log_events()
            .log_group_name(place.group)
            .log_stream_name(place.stream)
            .start_from_head(true)
            .set_next_token(place.token)
            .set_start_time(place.from.map(|it| it.0))
    }

    /// What an answer says; `place`: where it comes from.
    async fn read_answer(&self, answer: Answer, place: Place) -> Result<LogRead, AwsError> {
        let body = match answer {
            Answer::Read(read) => return Ok(read),
            Answer::Large(body) => body,
        };
        // A thread that is gone, or a page that is not as usual: the SDK reads it.
        if let Ok(Some((events, next_token))) = spawn_blocking(move || page::read(&body)).await {
            return Ok(LogRead::Page(LogPage { events, next_token }));
        }
        let call = self.log_call(place).send().await;
        match answer_of(call.map_err(|it| AwsError::new("GetLogEvents", it)))? {
            Answer::Read(read) => Ok(read),
            Answer::Large(_) => Err(AwsError::unexpected("GetLogEvents", "the page cannot be read")),
        }
    }

    /// Whether there is a log group of this name.
    pub async fn log_group_exists(&self, group: &str) -> Result<bool, AwsError> {
        // It is a prefix; the name itself comes first of those that begin with it.
        let call = self.logs().describe_log_groups().log_group_name_prefix(group).send().await;
        let answer = call.map_err(|it| AwsError::new("DescribeLogGroups", it))?;
        Ok(answer.log_groups.unwrap_or_default().iter().any(|it| it.log_group_name.as_deref() == Some(group)))
    }
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    group: String,
    stream: String,
    token: Option<String>,
    from: Option<Timestamp>,
}

/// An answer as it came.
#[derive(Debug)]
enum Answer {
    Read(LogRead),
    /// A page with many lines, in memory.
    Large(Vec<u8>),
}

fn answer_of(call: Result<GetLogEventsOutput, AwsError>) -> Result<Answer, AwsError> {
    match call {
        Ok(output) => {
            let events = output.events.unwrap_or_default().into_iter().map(|it| LogEvent {
                timestamp: Timestamp(it.timestamp.unwrap_or_default()),
                message: it.message.unwrap_or_default(),
            });
            let page = LogPage { events: events.collect(), next_token: output.next_forward_token };
            Ok(Answer::Read(LogRead::Page(page)))
        }
        Err(error) if error.is("ResourceNotFoundException") => Ok(Answer::Read(LogRead::Missing(error.message))),
        Err(error) => Err(error),
    }
}

/// Reads one stream. Of a long output it asks for the next page while it reads the one before: the same calls, sooner.
#[derive(Debug)]
pub struct LogReader {
    group: String,
    stream: String,
    ahead: Mutex<Option<Ahead>>,
}

/// A page that nobody has asked for yet.
#[derive(Debug)]
struct Ahead {
    place: Place,
    answer: JoinHandle<Result<Answer, AwsError>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl LogReader {
    /// Of a stream.
    pub fn new(group: &str, stream: &str) -> LogReader {
        LogReader { group: group.to_owned(), stream: stream.to_owned(), ahead: Mutex::new(None) }
    }

    /// As [`Aws::log_page_from`].
    pub async fn page(&self, aws: &Aws, token: Option<String>, from: Option<Timestamp>) -> Result<LogRead, AwsError> {
        let place = Place { group: self.group.clone(), stream: self.stream.clone(), token, from };
        let answer = match self.had(&place).await {
            Some(answer) => answer,
            None => aws.log_answer(place.clone()).await?,
        };
        if let Answer::Large(body) = &answer
            && let Some(next) = page::next_token(body).filter(|it| place.token.as_ref() != Some(it))
        {
            let next = Place { token: Some(next), ..place.clone() };
            let (aws, asked) = (aws.clone(), next.clone());
            let answer = tokio::spawn(async move { aws.log_answer(asked).await });
            *self.lock() = Some(Ahead { place: next, answer });
        }
        aws.read_answer(answer, place).await
    }

    /// What was asked for before its time, where it is of use: an old answer that there is nothing more says nothing about now, and
    /// a call that failed is made again.
    async fn had(&self, place: &Place) -> Option<Answer> {
        let mut ahead = self.lock().take().filter(|it| it.place == *place)?;
        let answer = (&mut ahead.answer).await.ok()?.ok()?;
        let is_new = match &answer {
            Answer::Large(body) => page::next_token(body).is_some_and(|it| place.token.as_ref() != Some(&it)),
            Answer::Read(LogRead::Page(page)) => !page.events.is_empty() && page.next_token != place.token,
            Answer::Read(LogRead::Missing(_)) => false,
        };
        is_new.then_some(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the body of a large page from the SDK, which would hold it twice, and read it byte by byte on the only thread. It passes
/// through here piece by piece, so that timeouts and faults are the SDK's as ever; what the SDK gets in its place is empty.
#[derive(Debug, Clone, Default)]
struct LargePage {
    body: Arc<Mutex<Option<Vec<u8>>>>,
}

impl LargePage {
    fn take(&self) -> Option<Vec<u8>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for LargePage {
    fn name(&self) -> &'static str {
        "LargePage"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        // Of unknown length it may be large.
        let length = response.body().content_length();
        if response.status().as_u16() != 200 || length.is_some_and(|it| it < LARGE) {
            return Ok(());
        }
        *self.lock() = Some(Vec::with_capacity(usize::try_from(length.unwrap_or(LARGE))?));
        let whole = std::mem::replace(response.body_mut(), SdkBody::taken());
        let pieces = self.clone();
        *response.body_mut() = SdkBody::from_body_1_x(whole.map_frame(move |frame| match frame.into_data() {
            Ok(bytes) => {
                pieces.lock().get_or_insert_default().extend_from_slice(&bytes);
                Frame::data(Bytes::new())
            }
            Err(other) => other,
        }));
        config.interceptor_state().store_put(SharedResponseDeserializer::new(Nothing));
        Ok(())
    }
}

/// Reads nothing: the page is elsewhere.
#[derive(Debug)]
struct Nothing;

impl DeserializeResponse for Nothing {
    fn deserialize_nonstreaming_with_config(&self, _response: &HttpResponse, _config: &ConfigBag) -> OutputOrError {
        Ok(Output::erase(GetLogEventsOutput::builder().build()))
    }
}
