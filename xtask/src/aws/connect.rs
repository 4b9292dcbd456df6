//! A byte stream to an endpoint, for what the SDK has no client for: through the proxy that the environment names, and over TLS with
//! the machine's certificates or those of AWS_CA_BUNDLE.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// How long a connection may take, TLS and proxy included.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is read from and written to.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}
/// An open connection.
pub type Connection = Box<dyn Bytes>;

/// The parts of an `http`, `https`, `ws` or `wss` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS is spoken there.
    pub secure: bool,
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as the header Host has them.
    pub authority: String,
    /// Path and query as they are written, `/` at least.
    pub path: String,
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, it)| it);
        let (host, port) = host_and_port(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Some(Url { secure, host, port, authority: authority.to_owned(), path })
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (authority, None),
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Opens a connection. The error says what failed, for people.
pub async fn connect(url: &Url) -> Result<Connection, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let attempt = async {
        let stream = match proxy(url, variable)? {
            Some(proxy) => through(&proxy, url).await?,
            None => direct(&url.host, url.port).await?,
        };
        if url.secure { tls(stream, &url.host).await } else { Ok(stream) }
    };
    match tokio::time::timeout(PATIENCE, attempt).await {
        Ok(result) => result,
        Err(_) => Err(format!("no connection to {} within {} s", url.authority, PATIENCE.as_secs())),
    }
}

async fn direct(host: &str, port: u16) -> Result<Connection, String> {
    let stream =
        TcpStream::connect((host, port)).await.map_err(|it| format!("cannot connect to {host}:{port}: {it}"))?;
    // A key is a small packet, and somebody waits for it.
    let _ = stream.set_nodelay(true);
    Ok(Box::new(stream))
}

async fn tls(stream: Connection, host: &str) -> Result<Connection, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|it| format!("`{host}` is no name for TLS: {it}"))?;
    let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|it| !it.is_empty());
    let mut roots = RootCertStore::empty();
    match bundle {
        Some(path) => {
            let shown = path.to_string_lossy().into_owned();
            let unread = |it: &dyn std::fmt::Display| format!("cannot read AWS_CA_BUNDLE `{shown}`: {it}");
            for certificate in CertificateDer::pem_file_iter(&path).map_err(|it| unread(&it))? {
                roots.add(certificate.map_err(|it| unread(&it))?).map_err(|it| unread(&it))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|it| format!("TLS: {it}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|it| format!("TLS with {host}: {it}"))?;
    Ok(Box::new(stream))
}

#[derive(Debug, PartialEq, Eq)]
struct Proxy {
    url: Url,
    authorization: Option<String>,
}

/// The proxy for a URL, by the variables that every tool knows.
fn proxy(url: &Url, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let either = |upper: &str| variable(&upper.to_lowercase()).or_else(|| variable(upper));
    let loopback = url.host == "localhost" || url.host == "::1" || url.host.starts_with("127.");
    // HTTP_PROXY is for requests in the clear, which only emulators take.
    let named = if url.secure { either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")) } else { None };
    let Some(text) = named.filter(|_| !loopback) else { return Ok(None) };
    let host = url.host.to_lowercase();
    let exempt = either("NO_PROXY").unwrap_or_default();
    let matches = |it: &str| {
        let it = it.trim().trim_start_matches('*').trim_start_matches('.').to_lowercase();
        !it.is_empty() && (host == it || host.ends_with(&format!(".{it}")))
    };
    if exempt.split(',').any(|it| it.trim() == "*" || matches(it)) {
        return Ok(None);
    }
    let with_scheme = if text.contains("://") { text } else { format!("http://{text}") };
    // The address may hold a password: it is not repeated.
    let url = Url::parse(&with_scheme).ok_or("the proxy of HTTPS_PROXY is no http or https URL")?;
    let rest = with_scheme.split_once("://").map_or("", |it| it.1);
    let user = rest.split(['/', '?']).next().and_then(|it| it.rsplit_once('@')).map(|it| it.0);
    let authorization = user.map(|it| format!("Basic {}", BASE64.encode(&percent_decoded(it))));
    Ok(Some(Proxy { url, authorization }))
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let hex =
            more.get(..2).and_then(|it| std::str::from_utf8(it).ok()).and_then(|it| u8::from_str_radix(it, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

async fn through(proxy: &Proxy, url: &Url) -> Result<Connection, String> {
    let at = &proxy.url.authority;
    let failed = |it: std::io::Error| format!("the proxy {at}: {it}");
    let stream = direct(&proxy.url.host, proxy.url.port).await.map_err(|it| format!("the proxy: {it}"))?;
    let mut stream = if proxy.url.secure { tls(stream, &proxy.url.host).await? } else { stream };
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let target = format!("{host}:{}", url.port);
    let authorization =
        proxy.authorization.as_ref().map(|it| format!("Proxy-Authorization: {it}\r\n")).unwrap_or_default();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() > 16_384 {
            return Err(format!("the proxy {at} answers without end"));
        }
        // Byte by byte: what follows the answer belongs to the other side.
        answer.push(stream.read_u8().await.map_err(failed)?);
    }
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(stream),
        _ => Err(format!("the proxy {at} refuses to connect to {target}: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_keep_their_query() {
        let url =
            Url::parse("wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/x?role=a&cell-number=A+/==").unwrap();
        assert_eq!((url.secure, url.port), (true, 443));
        assert_eq!(url.host, "ssmmessages.eu-west-1.amazonaws.com");
        assert_eq!(url.path, "/v1/data-channel/x?role=a&cell-number=A+/==");
        let url = Url::parse("ws://[::1]:81").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str(), url.authority.as_str()),
            ("::1", 81, "/", "[::1]:81")
        );
        for bad in ["", "ftp://x", "https://", "http://x:port", "//x"] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_proxy_is_the_one_of_the_environment() {
        let find = |url: &str, variables: &[(&str, &str)]| {
            let variable = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
            proxy(&Url::parse(url).unwrap(), variable)
        };
        let there = "wss://ssmmessages.eu-west-1.amazonaws.com/";
        let found = find(there, &[("HTTPS_PROXY", "http://us%40er:pa%3Ass@proxy:3128")]).unwrap().unwrap();
        assert_eq!((found.url.host.as_str(), found.url.port), ("proxy", 3128));
        assert_eq!(found.authorization.unwrap(), format!("Basic {}", BASE64.encode(b"us@er:pa:ss")));
        assert_eq!(find(there, &[("https_proxy", "proxy:1")]).unwrap().unwrap().url.port, 1);
        assert_eq!(find(there, &[("ALL_PROXY", "http://p")]).unwrap().unwrap().url.port, 80);
        for no_proxy in
            ["amazonaws.com", ".amazonaws.com", "*.amazonaws.com", "x, ssmmessages.eu-west-1.amazonaws.com", "*"]
        {
            assert_eq!(find(there, &[("HTTPS_PROXY", "http://p"), ("no_proxy", no_proxy)]), Ok(None), "{no_proxy}");
        }
        assert!(find(there, &[("HTTPS_PROXY", "http://p"), ("NO_PROXY", "onaws.com")]).unwrap().is_some());
        assert_eq!(find("ws://127.0.0.1:1/", &[("HTTPS_PROXY", "http://p")]), Ok(None));
        assert!(find(there, &[("HTTPS_PROXY", "socks5://secret@p")]).is_err_and(|it| !it.contains("secret")));
    }
}
