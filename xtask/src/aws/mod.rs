//! AWS: credentials, region, endpoint and the four clients. This folder is the only place that names `aws_sdk_*`; everything above
//! speaks the words of `model` and gets an [`AwsError`] that says whether the call can have had an effect.

use std::error::Error as StdError;
use std::sync::{Once, OnceLock};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::shared::IntoShared;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::error::{Error, Problem};
use crate::hints;
use crate::model::{Identity, Origin, Sourced, Span};

/// A service's configuration with the trace on it, where there is one: the shared configuration has no room for it.
macro_rules! traced {
    ($builder:expr, $trace:expr) => {
        match &$trace {
            Some(trace) => $builder.interceptor(trace.clone()),
            None => $builder,
        }
    };
}

pub mod clock;
// Behind the macro, which they use.
pub mod channel;
pub mod connect;
pub mod ecr;
pub mod ecs;
pub mod logs;
mod page;
pub mod revisions;
pub mod session;
pub mod sign;
pub mod trace;

/// What tasks.toml and the flags say about reaching AWS.
#[derive(Debug, Clone, Default)]
pub struct AwsOptions {
    /// Profile of the shared configuration files.
    pub profile: Option<Sourced<String>>,
    /// Region; from AWS's own configuration if `None`.
    pub region: Option<Sourced<String>>,
    /// Endpoint of an emulator, for every service.
    pub endpoint_url: Option<Sourced<String>>,
    /// How much faster than usual our own waits go. Only a loopback endpoint may set it: see [`Aws::speed`].
    pub speed: f64,
    /// Told of each call, for `-v`.
    pub trace: Option<trace::Trace>,
}

/// The clients of one environment.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    /// The configuration is the caller's, not loaded here.
    given: bool,
    options: AwsOptions,
    trace: Option<trace::Trace>,
    /// The region in use.
    pub region: Sourced<String>,
    /// The endpoint in use, where it isn't AWS's own.
    pub endpoint_url: Option<String>,
    /// 1, or more on a loopback endpoint: our own waits are divided by it.
    pub speed: f64,
    /// AWS's time, by ECS's answers.
    pub clock: clock::Clock,
    pub(crate) ecs: aws_sdk_ecs::Client,
    sts: aws_sdk_sts::Client,
    // A client takes a millisecond to make, most of it to read the table of AWS's partitions. These two are made when they are asked
    // for, which is while something else is waited for.
    ecr: OnceLock<aws_sdk_ecr::Client>,
    logs: OnceLock<aws_sdk_cloudwatchlogs::Client>,
    /// Where it is not `region`.
    logs_region: Option<String>,
    /// What its calls do by themselves about faults.
    logs_retries: bool,
}

impl Aws {
    /// Loads credentials providers, region and endpoint; makes no call to a service.
    ///
    /// Fails, as a refusal, when no region is known.
    pub async fn connect(options: AwsOptions) -> Result<Aws, Error> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(&profile.value);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.value.clone()));
        }
        if let Some(endpoint_url) = &options.endpoint_url {
            loader = loader.endpoint_url(&endpoint_url.value);
        }
        Aws::on(loader.load().await, options, false)
    }

    /// The same on a configuration that the caller has: its credentials, its HTTP client, its time. Timeouts and retries are ours.
    pub fn with_config(config: SdkConfig, options: AwsOptions) -> Result<Aws, Error> {
        Aws::on(config, options, true)
    }

    fn on(config: SdkConfig, options: AwsOptions, given: bool) -> Result<Aws, Error> {
        let kept = options.clone();
        let region = match (options.region, config.region()) {
            (Some(region), _) => region,
            (None, Some(region)) => Sourced::new(region.to_string(), Origin::AwsConfig),
            (None, None) => {
                return Err(Error::refused("no AWS region is known").hint(
                    "set `region` in the environment of tasks.toml, or AWS_REGION, or `region` in the AWS profile",
                ));
            }
        };
        let endpoint_url = config.endpoint_url().map(str::to_owned);
        let speed = if endpoint_url.as_deref().is_some_and(is_loopback) { options.speed.max(1.0) } else { 1.0 };
        // An answer that takes longer than this is taken for lost; the SDK retries reads by itself.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5).div_f64(speed.min(10.0)))
            .operation_attempt_timeout(Duration::from_secs(30).div_f64(speed.min(15.0)))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(4)
            .with_initial_backoff(Duration::from_secs(1).div_f64(speed))
            .with_max_backoff(Duration::from_secs(10).div_f64(speed));
        let config = config.into_builder().timeout_config(timeouts).retry_config(retries).build();
        let trace = options.trace;
        let clock = clock::Clock::new(speed);
        let ecs = aws_sdk_ecs::config::Builder::from(&config).interceptor(clock.clone());
        let sts = aws_sdk_sts::config::Builder::from(&config);
        Ok(Aws {
            ecs: aws_sdk_ecs::Client::from_conf(traced!(ecs, trace).build()),
            sts: aws_sdk_sts::Client::from_conf(traced!(sts, trace).build()),
            ecr: OnceLock::new(),
            logs: OnceLock::new(),
            logs_region: None,
            logs_retries: true,
            config,
            given,
            options: kept,
            trace,
            region,
            endpoint_url,
            speed,
            clock,
        })
    }

    /// The same credentials, with CloudWatch Logs in another region.
    pub fn with_logs_region(mut self, region: &str) -> Aws {
        self.logs_region = Some(region.to_owned()).filter(|it| *it != self.region.value);
        self.logs = OnceLock::new();
        self
    }

    /// The same for a follower, which tries again by itself, for hours if it must, and wants to hear of each fault.
    pub fn without_retries(mut self) -> Aws {
        let ecs = self.ecs.config().to_builder().retry_config(RetryConfig::disabled());
        self.ecs = aws_sdk_ecs::Client::from_conf(ecs.build());
        self.logs_retries = false;
        self.logs = OnceLock::new();
        self
    }

    /// ECR's client, from now on at hand.
    pub(crate) fn ecr(&self) -> &aws_sdk_ecr::Client {
        self.ecr.get_or_init(|| {
            let ecr = aws_sdk_ecr::config::Builder::from(&self.config);
            aws_sdk_ecr::Client::from_conf(traced!(ecr, self.trace).build())
        })
    }

    /// CloudWatch Logs' client.
    fn logs(&self) -> &aws_sdk_cloudwatchlogs::Client {
        self.logs.get_or_init(|| {
            let mut logs = aws_sdk_cloudwatchlogs::config::Builder::from(&self.config);
            if let Some(region) = &self.logs_region {
                logs = logs.region(Region::new(region.clone()));
            }
            if !self.logs_retries {
                logs = logs.retry_config(RetryConfig::disabled());
            }
            aws_sdk_cloudwatchlogs::Client::from_conf(traced!(logs, self.trace).build())
        })
    }

    /// The same with credentials from their source: files that somebody has renewed are read again.
    pub async fn renewed(&self) -> Result<Aws, Error> {
        if self.given {
            let nothing_kept = aws_config::identity::IdentityCache::lazy().build();
            let config = self.config.to_builder().identity_cache(nothing_kept).build();
            return Aws::with_config(config, self.options.clone());
        }
        Aws::connect(self.options.clone()).await
    }

    /// Who calls: account and ARN.
    pub async fn caller_identity(&self) -> Result<Identity, AwsError> {
        let answer = self.sts.get_caller_identity().send().await.map_err(|it| AwsError {
            profile: self.options.profile.as_ref().map(|it| it.value.clone()),
            ..AwsError::new("GetCallerIdentity", it)
        })?;
        // Who asks this goes on to ECR more often than not, and other answers are still under way.
        self.ecr();
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Identity { account, arn }),
            _ => Err(AwsError::unexpected("GetCallerIdentity", "the answer has no account or ARN")),
        }
    }
}

/// The HTTP client: one TLS stack, proxies from the environment as the SDK's own default client has them.
fn http_client() -> OnFirstCall {
    let connector =
        || Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).proxy_config(ProxyConfig::from_env());
    // The first connector of a process reads the machine's certificates, and that takes as long as everything else before the
    // first call. It is read meanwhile.
    static READ: Once = Once::new();
    READ.call_once(|| drop(std::thread::spawn(move || connector().build())));
    OnFirstCall(
        Builder::new()
            .build_with_connector_fn(move |settings, components| {
                let mut builder = connector();
                builder.set_connector_settings(settings.cloned());
                if let Some(components) = components {
                    builder.set_sleep_impl(components.sleep_impl());
                }
                builder.build()
            })
            .into_shared(),
    )
}

/// The SDK's client without the connector that it makes, and throws away, for each client of a service that is built on it.
#[derive(Debug)]
struct OnFirstCall(SharedHttpClient);

impl HttpClient for OnFirstCall {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

/// Whether an endpoint's host is this machine.
pub fn is_loopback(endpoint_url: &str) -> bool {
    let host = endpoint_url.split_once("://").map_or(endpoint_url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    host.starts_with("127.") || host.starts_with("localhost:") || host == "localhost" || host.starts_with("[::1]")
}

/// What is known about the effect of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// AWS refused it: nothing happened.
    None,
    /// Too many calls: nothing happened, later it may work.
    Throttled,
    /// It never left this machine: no credentials, no connection.
    NotSent,
    /// No answer, or one that says nothing: it may have happened.
    Unknown,
}

/// A call that failed.
#[derive(Debug, Clone)]
pub struct AwsError {
    /// The operation, for example `RunTask`.
    pub operation: &'static str,
    /// AWS's error code, where AWS answered.
    pub code: Option<String>,
    /// AWS's message, or the chain of causes.
    pub message: String,
    /// Whether it can have happened.
    pub effect: Effect,
    /// The profile whose credentials it wanted, where one is named.
    pub profile: Option<String>,
}

impl AwsError {
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
    pub(crate) fn new<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> AwsError
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().map(str::to_owned);
                let status = service.raw().status().as_u16();
                let throttled = status == 429
                    || code.as_deref().is_some_and(|it| {
                        it.contains("Throttl") || it == "TooManyRequestsException" || it == "RequestLimitExceeded"
                    });
                let effect = match status {
                    _ if throttled => Effect::Throttled,
                    500.. => Effect::Unknown,
                    _ => Effect::None,
                };
                let message = service.err().message().map_or_else(|| format!("HTTP status {status}"), str::to_owned);
                AwsError { operation, code, message, effect, profile: None }
            }
            SdkError::ConstructionFailure(_) => AwsError::plain(operation, chain(&error), Effect::NotSent),
            SdkError::DispatchFailure(dispatch) => {
                let message = chain(&error);
                // The identity resolver's failures come as dispatch failures of kind "other"; a refused connection says so.
                let not_sent = message.contains("credential")
                    || message.contains("identity")
                    || message.contains("Connection refused")
                    || dispatch.is_user();
                AwsError::plain(operation, message, if not_sent { Effect::NotSent } else { Effect::Unknown })
            }
            SdkError::TimeoutError(_) => AwsError::plain(operation, "no answer in time".to_owned(), Effect::Unknown),
            _ => AwsError::plain(operation, chain(&error), Effect::Unknown),
        }
    }

    /// An answer that lacks what it must have.
    pub(crate) fn unexpected(operation: &'static str, message: &str) -> AwsError {
        AwsError::plain(operation, message.to_owned(), Effect::Unknown)
    }

    fn plain(operation: &'static str, message: String, effect: Effect) -> AwsError {
        AwsError { operation, code: None, message, effect, profile: None }
    }

    /// Whether the code is this one.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the same call may succeed later: throttling, a fault of the network or of AWS.
    pub fn is_transient(&self) -> bool {
        match self.effect {
            Effect::Throttled | Effect::Unknown => true,
            Effect::NotSent => !self.message.contains("credential") && !self.message.contains("identity"),
            Effect::None => false,
        }
    }

    /// Whether the credentials are to blame: expired, or not to be had.
    pub fn is_credentials(&self) -> bool {
        const CODES: [&str; 3] = ["UnrecognizedClientException", "InvalidClientTokenId", "InvalidIdentityToken"];
        match &self.code {
            Some(code) => code.contains("Expired") || CODES.contains(&code.as_str()),
            None => {
                self.effect == Effect::NotSent
                    && (self.message.contains("credential") || self.message.contains("identity"))
            }
        }
    }

    /// The cause as it stands behind the colon of an error: `Code: message`.
    pub fn cause(&self) -> String {
        match &self.code {
            Some(code) => format!("{code}: {}", self.message.trim_end_matches('.')),
            None => format!("{}: {}", self.operation, self.message.trim_end_matches('.')),
        }
    }

    /// A located problem: `cannot {tried}: {cause}`, with the hint of the table.
    pub fn problem(&self, tried: &str, span: Option<Span>) -> Problem {
        let mut problem = Problem::new(format!("cannot {tried}: {}", self.cause())).at(span);
        problem.hint = hints::of_aws_error(self.operation, self.code.as_deref(), &self.message);
        if let (Some(hint), Some(profile)) = (&mut problem.hint, &self.profile) {
            // As it can be typed.
            *hint = hint.replace("`aws sso login`", &format!("`aws sso login --profile {profile}`"));
        }
        problem
    }
}

/// The messages of an error and its causes, each once. The SDK's own `Display` says only "service error".
fn chain(error: &dyn StdError) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Some causes repeat what the outer error says already.
        if !parts.iter().any(|it| it.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.len() > 1 && parts[0] == "dispatch failure" {
        parts.remove(0);
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_endpoints_are_told_from_others() {
        for (url, expected) in [
            ("http://127.0.0.1:4566", true),
            ("http://localhost:4566/x", true),
            ("https://localhost", true),
            ("http://[::1]:80", true),
            ("http://localhost.example.com", false),
            ("https://ecs.eu-west-1.amazonaws.com", false),
            ("http://10.127.0.0.1:80", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
