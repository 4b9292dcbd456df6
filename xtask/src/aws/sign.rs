//! AWS's signature for the requests that the SDK does not send: the upgrade to a session's websocket, and calls to services whose
//! whole SDK crate would be compiled for one operation.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;

/// A request to sign.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// `https://host/path?query`, the query as it will be sent.
    pub url: &'a str,
    /// Headers to sign, beside the host and what the signature itself needs.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// The headers that make it a signed one, for this service and region.
pub fn signature(
    request: Unsigned<'_>,
    credentials: Credentials,
    region: &str,
    service: &str,
    time: SystemTime,
) -> Result<Vec<(String, String)>, String> {
    let identity: Identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|it| format!("cannot sign the request: {it}"))?
        .into();
    let signable = SignableRequest::new(
        request.method,
        request.url,
        request.headers.iter().copied(),
        SignableBody::Bytes(request.body),
    )
    .map_err(|it| format!("cannot sign the request: {it}"))?;
    let (instructions, _) =
        sign(signable, &parameters).map_err(|it| format!("cannot sign the request: {it}"))?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Made with the signer of AWS's own plugin.
    #[test]
    fn the_upgrade_has_the_known_signatures() {
        let url = "https://ssmmessages.us-east-1.amazonaws.com/v1/data-channel/ecs-execute-command-0123456789abcdef0?role=publish_subscribe&cell-number=AAEAAa5+Lu4aII4uqX4OUF3zU4cW/kq9fH6Uxx9p457ZgGp2BAAAAAA==";
        // 2026-09-19T12:34:56Z
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_789_821_296);
        for (token, signed, expected) in [
            (None, "host;x-amz-date", "84ee980e5a641b1fe74029dfa11561c566dc1bcc3058e6e10c0894d7560c27c6"),
            (
                Some("SESSIONTOKEN"),
                "host;x-amz-date;x-amz-security-token",
                "6a66801629271bb4533eaed827b1409e1d255204685f436434a12efe43fa95d2",
            ),
        ] {
            let credentials = Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                token.map(str::to_owned),
                None,
                "test",
            );
            let request = Unsigned { method: "GET", url, headers: &[], body: b"" };
            let headers = signature(request, credentials, "us-east-1", "ssmmessages", time).unwrap();
            let header = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
            assert_eq!(header("x-amz-date"), Some("20260919T123456Z"));
            assert_eq!(header("x-amz-security-token"), token);
            let authorization = header("authorization").unwrap();
            assert!(
                authorization.contains(&format!("SignedHeaders={signed}, Signature={expected}")),
                "{authorization}"
            );
            assert!(authorization.contains("20260919/us-east-1/ssmmessages/aws4_request"));
        }
    }
}
