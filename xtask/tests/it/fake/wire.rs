//! What goes over the wire, as values: a request told apart by service and operation, an answer, a refusal in the words and the
//! format of its service. ECS, ECR and CloudWatch Logs speak AWS JSON 1.1, STS speaks AWS query and answers in XML. No sockets here.

use serde_json::{Map, Value, json};

/// The services that share the one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Ecs,
    Ecr,
    Logs,
    Sts,
    Ssm,
    Kms,
}

impl Service {
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Ecs => "ecs",
            Service::Ecr => "ecr",
            Service::Logs => "logs",
            Service::Sts => "sts",
            Service::Ssm => "ssm",
            Service::Kms => "kms",
        }
    }
}

/// A call as a client sent it.
#[derive(Debug, Clone)]
pub struct Request {
    pub service: Service,
    pub operation: String,
    /// The JSON that was sent; of STS the form's fields as an object.
    pub body: Value,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// Tells what an HTTP request asks for. `Err` says what is wrong with it: no client of AWS sends that.
    pub fn parse(method: &str, path: &str, headers: Vec<(String, String)>, body: &[u8]) -> Result<Request, String> {
        let header = |name: &str| headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str());
        if method != "POST" || path != "/" {
            return Err(format!("{method} {path}: every AWS call here is a POST to /"));
        }
        if header("authorization").is_none() {
            return Err("the request is not signed".to_owned());
        }
        let text = std::str::from_utf8(body).map_err(|it| format!("the body is not UTF-8: {it}"))?;
        let Some(target) = header("x-amz-target") else {
            let fields = form(text);
            let operation = fields.get("Action").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Ok(Request { service: Service::Sts, operation, body: Value::Object(fields), headers });
        };
        let (service, operation) = match target.split_once('.') {
            Some(("AmazonEC2ContainerServiceV20141113", it)) => (Service::Ecs, it.to_owned()),
            Some(("AmazonEC2ContainerRegistry_V20150921", it)) => (Service::Ecr, it.to_owned()),
            Some(("Logs_20140328", it)) => (Service::Logs, it.to_owned()),
            Some(("AmazonSSM", it)) => (Service::Ssm, it.to_owned()),
            Some(("TrentService", it)) => (Service::Kms, it.to_owned()),
            _ => return Err(format!("unknown X-Amz-Target: {target}")),
        };
        match header("content-type") {
            Some("application/x-amz-json-1.1") => {}
            other => return Err(format!("{target}: content type {other:?}")),
        }
        let body = serde_json::from_str(text).map_err(|it| format!("{target}: the body is not JSON: {it}"))?;
        Ok(Request { service, operation, body, headers })
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// A string field of the body.
    pub fn str(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// The strings of a list field of the body; empty where there is none.
    pub fn strings(&self, field: &str) -> Vec<String> {
        let list = self.body.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// The fields of an `application/x-www-form-urlencoded` body.
fn form(text: &str) -> Map<String, Value> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    let hex = std::str::from_utf8(&hex).unwrap_or_default();
                    bytes.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
                }
                _ => bytes.push(byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = text.split('&').filter_map(|it| it.split_once('='));
    pairs.map(|(name, value)| (decoded(name), Value::String(decoded(value)))).collect()
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// A call that AWS refuses, or fails at.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// More members of the error, for example `resourceIds`.
    pub more: Vec<(String, Value)>,
}

impl Refusal {
    /// A refusal of the client's doing.
    pub fn new(code: &str, message: impl Into<String>) -> Refusal {
        Refusal { status: 400, code: code.to_owned(), message: message.into(), more: Vec::new() }
    }

    /// ECS's word for a parameter that it will not take.
    pub fn parameter(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidParameterException", message)
    }

    /// ECS's word for most other things that cannot be done.
    pub fn client(message: impl Into<String>) -> Refusal {
        Refusal::new("ClientException", message)
    }

    pub fn status(mut self, status: u16) -> Refusal {
        self.status = status;
        self
    }

    pub fn with(mut self, member: &str, value: Value) -> Refusal {
        self.more.push((member.to_owned(), value));
        self
    }

    /// In the format of the service.
    pub fn answer(&self, service: Service) -> Answer {
        if service == Service::Sts {
            let kind = if self.status < 500 { "Sender" } else { "Receiver" };
            let body = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>{kind}</Type>\n    \
                 <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  <RequestId>{REQUEST_ID}</RequestId>\n\
                 </ErrorResponse>\n",
                xml(&self.code),
                xml(&self.message)
            );
            return Answer { status: self.status, content_type: "text/xml", body };
        }
        let mut body = json!({ "__type": self.code, "message": self.message });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more.clone());
        }
        Answer { status: self.status, content_type: JSON, body: body.to_string() }
    }
}

/// The request id of every answer.
pub const REQUEST_ID: &str = "f4ce0000-0000-4000-8000-000000000000";
const JSON: &str = "application/x-amz-json-1.1";

/// What a call gave: the text of the body, or a refusal.
pub type Reply = Result<String, Refusal>;

/// The answer to a request.
pub fn answer(service: Service, reply: Reply) -> Answer {
    match reply {
        Ok(body) => Answer { status: 200, content_type: if service == Service::Sts { "text/xml" } else { JSON }, body },
        Err(refusal) => refusal.answer(service),
    }
}

/// Text between tags.
pub fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
