//! CloudWatch Logs: pages of one stream by forward token. Never by time: events that share a millisecond would be lost or repeated.

use super::{Aws, AwsError};
use crate::model::{LogEvent, Timestamp};

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
        let answer = self
            .logs()
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .start_from_head(true)
            .set_next_token(token)
            .set_start_time(from.map(|it| it.0))
            .send()
            .await
            .map_err(|it| AwsError::new("GetLogEvents", it));
        match answer {
            Ok(answer) => Ok(LogRead::Page(LogPage {
                events: answer
                    .events
                    .unwrap_or_default()
                    .into_iter()
                    .map(|it| LogEvent {
                        timestamp: Timestamp(it.timestamp.unwrap_or_default()),
                        message: it.message.unwrap_or_default(),
                    })
                    .collect(),
                next_token: answer.next_forward_token,
            })),
            Err(error) if error.is("ResourceNotFoundException") => Ok(LogRead::Missing(error.message)),
            Err(error) => Err(error),
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
