//! The channel of a session over its life: opened, cut, opened again with a new token and fresh credentials.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::Aws;
use crate::aws::channel::{Channel, Heard, Refused};
use crate::aws::session::StreamSession;

/// How long a cut channel is tried to be opened again: a laptop that changes its network, a proxy that restarts.
pub const MOST: Duration = Duration::from_secs(300);
/// The first channel of a session: what fails then is hardly the network.
const FIRST: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What came of an attempt.
#[derive(Debug)]
pub enum Reopened {
    /// It is open; its token is to be sent first.
    Open(StreamSession, Box<Channel>),
    /// Not now.
    Again(String),
    /// The session is over.
    Over,
    /// It will not open.
    Never {
        /// Why.
        why: String,
        /// One thing to do.
        hint: Option<String>,
    },
}

/// What happened.
#[derive(Debug)]
pub enum Next {
    /// A frame, or a sign of life.
    Heard(Heard),
    /// The channel is gone.
    Cut(String),
    /// An attempt to open one is over.
    Reopened(Reopened),
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Reopened> + 'a>>;

/// The channel, or the way to the next.
pub struct Link<'a> {
    aws: &'a Aws,
    stream: StreamSession,
    channel: Option<Box<Channel>>,
    attempt: Option<Attempt<'a>>,
    attempts: u32,
    since: Instant,
    was_open: bool,
}

impl<'a> Link<'a> {
    /// The way to the first channel.
    pub fn first(aws: &'a Aws, stream: StreamSession) -> Link<'a> {
        Link { aws, stream, channel: None, attempt: None, attempts: 0, since: Instant::now(), was_open: false }
    }

    /// Whether there is a channel.
    pub fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    /// Puts a frame on its way.
    pub fn send(&mut self, bytes: Vec<u8>) {
        if let Some(channel) = &mut self.channel {
            channel.send_binary(bytes);
        }
    }

    /// Asks whether the service is there.
    pub fn ping(&mut self) {
        if let Some(channel) = &mut self.channel {
            channel.ping();
        }
    }

    /// What happens next on the channel, or on the way to one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Next {
        match &mut self.channel {
            Some(channel) => match channel.next().await {
                Ok(heard) => Next::Heard(heard),
                Err(why) => Next::Cut(why),
            },
            None => Next::Reopened(self.reopened().await),
        }
    }

    /// This is the channel now.
    pub fn open(&mut self, stream: StreamSession, channel: Box<Channel>) {
        self.stream = stream;
        self.channel = Some(channel);
        self.was_open = true;
        self.attempts = 0;
    }

    /// The channel is gone.
    pub fn cut(&mut self) {
        self.channel = None;
        self.attempt = None;
        self.attempts = 0;
        self.since = Instant::now();
    }

    /// Whether so many attempts have failed that somebody wonders.
    pub fn is_worth_telling(&self) -> bool {
        self.attempts == 2
    }

    /// What is on its way goes out before the channel is closed.
    pub async fn farewell(&mut self) {
        if let Some(channel) = &mut self.channel {
            // An end that is not heard is told by TerminateSession.
            let _ = channel.flush().await;
        }
    }

    async fn reopened(&mut self) -> Reopened {
        let attempt = match &mut self.attempt {
            Some(attempt) => attempt,
            None => {
                let pause = match (self.was_open, self.attempts) {
                    (_, 0) => Duration::ZERO,
                    (_, n) => (PAUSE * 2_u32.pow(n.min(6) - 1)).min(LONGEST_PAUSE),
                };
                let next = attempt(self.aws, self.stream.clone(), self.was_open, pause.div_f64(self.aws.speed));
                self.attempts += 1;
                self.attempt.insert(Box::pin(next))
            }
        };
        let reopened = attempt.await;
        self.attempt = None;
        let patience = if self.was_open { MOST } else { FIRST };
        match reopened {
            Reopened::Again(why) if self.since.elapsed().mul_f64(self.aws.speed.min(10.0)) > patience => {
                Reopened::Never {
                    why: format!("the connection is lost: {why}"),
                    hint: Some("check the network, and a proxy that may end long connections".to_owned()),
                }
            }
            other => other,
        }
    }
}

async fn attempt(aws: &Aws, stream: StreamSession, resume: bool, pause: Duration) -> Reopened {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let stream = if resume {
        match aws.resume_session(&stream).await {
            Ok(Some(stream)) => stream,
            Ok(None) => return Reopened::Over,
            Err(error) if error.is_transient() => return Reopened::Again(error.cause()),
            Err(error) => {
                let why = format!("the session cannot be resumed: {}", error.cause());
                let denied = error.code.as_deref().is_some_and(|it| it.contains("AccessDenied"));
                let hint = denied.then(|| "allow ssm:ResumeSession for the caller".to_owned());
                return Reopened::Never { why, hint };
            }
        }
    } else {
        stream
    };
    match aws.open_channel(&stream.stream_url).await {
        Ok(channel) => Reopened::Open(stream, Box::new(channel)),
        Err(Refused { status: Some(status @ 400..500), message }) if status != 429 => {
            let hint = match status {
                401 | 403 => Some("the caller may lack ssmmessages:OpenDataChannel".to_owned()),
                _ => Some("try again with --plugin".to_owned()),
            };
            Reopened::Never { why: message, hint }
        }
        Err(refused) => Reopened::Again(refused.message),
    }
}
