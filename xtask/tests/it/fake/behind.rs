//! Another's AWS behind the fake's door: each request goes on to it and its answer comes back, but for the faults on the way. The fake's own
//! state has no part in it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::wire::{self, Answer, Refusal, Request, Service};

/// Where it is, and what it started.
#[derive(Debug)]
pub struct Behind {
    /// Host and port.
    authority: String,
    started: Mutex<Vec<String>>,
}

impl Behind {
    /// `url`: `http://HOST:PORT`.
    pub fn new(url: &str) -> Behind {
        let authority = url.strip_prefix("http://").expect("an emulator speaks HTTP").trim_end_matches('/').to_owned();
        Behind { authority, started: Mutex::default() }
    }

    /// The ARNs that RunTask answered with, whether or not the answer came any further.
    pub fn started(&self) -> Vec<String> {
        self.started.lock().expect("no test panics with this lock").clone()
    }

    /// Its answer.
    pub fn ask(&self, request: &Request) -> Answer {
        let answer = self.post(request).unwrap_or_else(|error| {
            let problem = format!("the AWS behind the fake does not answer: {error}");
            Refusal::new("InternalFailure", problem).status(500).answer(request.service)
        });
        if request.operation == "RunTask" {
            let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let arns = answer["tasks"].as_array().into_iter().flatten().filter_map(|it| it["taskArn"].as_str());
            self.started.lock().expect("no test panics with this lock").extend(arns.map(str::to_owned));
        }
        answer
    }

    fn post(&self, request: &Request) -> io::Result<Answer> {
        let body = match request.service {
            Service::Sts => form(&request.body),
            _ => without_our_token(&request.body).to_string(),
        };
        let stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut text = format!("POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.authority);
        // What says which service, operation, account and region are meant.
        for name in ["x-amz-target", "content-type", "authorization"] {
            if let Some(value) = request.header(name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        (&stream).write_all(text.as_bytes())?;
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let unread = || io::Error::other(format!("not an answer of HTTP: {line}"));
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok()).ok_or_else(unread)?;
        let mut length = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<u64>().ok();
            }
        }
        let mut body = String::new();
        reader.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body)?;
        Ok(Answer { status, ..wire::answer(request.service, Ok(body)) })
    }
}

fn form(fields: &Value) -> String {
    let encoded = |text: &str| {
        let byte = |it: u8| match it {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(it).to_string(),
            _ => format!("%{it:02X}"),
        };
        text.bytes().map(byte).collect::<String>()
    };
    let fields = fields.as_object().into_iter().flatten();
    let pairs = fields.filter_map(|(name, value)| Some(format!("{}={}", encoded(name), encoded(value.as_str()?))));
    pairs.collect::<Vec<_>>().join("&")
}

const EMPTY: &str = "after-an-empty-page/";

/// A token that another's AWS has not given: behind it stands the one that was sent.
pub fn after_an_empty_page(token: Option<&str>) -> String {
    format!("{EMPTY}{}", token.unwrap_or_default())
}

fn without_our_token(body: &Value) -> Value {
    let mut body = body.clone();
    let token = body["nextToken"].as_str().map(str::to_owned);
    if let (Some(token), Some(members)) = (token.filter(|it| it.starts_with(EMPTY)), body.as_object_mut()) {
        match token.trim_start_matches(EMPTY) {
            "" => members.remove("nextToken"),
            token => members.insert("nextToken".to_owned(), token.into()),
        };
    }
    body
}
