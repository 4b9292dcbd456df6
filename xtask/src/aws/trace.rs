//! `-v`: a line for each call to AWS. Names, status and time only: bodies and headers hold secrets.

use std::sync::Arc;
use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

/// Takes the lines.
#[derive(Clone)]
pub struct Trace(Arc<dyn Fn(String) + Send + Sync>);

impl Trace {
    /// Hands each line to this function.
    pub fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Trace {
        Trace(Arc::new(tell))
    }

    /// A line about a call that the SDK does not make.
    pub(super) fn tell(&self, line: String) {
        (self.0)(line);
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace")
    }
}

/// When the attempt began.
#[derive(Debug)]
struct Begun(Instant);

impl Storable for Begun {
    type Storer = StoreReplace<Begun>;
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Trace {
    fn name(&self) -> &'static str {
        "Trace"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Begun(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("a call", |it| it.name());
        let end = match context.response() {
            Some(response) => {
                let id = response.headers().get("x-amzn-requestid").map(|it| format!(", request {it}"));
                format!("HTTP {}{}", response.status().as_u16(), id.unwrap_or_default())
            }
            None => "no answer".to_owned(),
        };
        let time = config.load::<Begun>().map(|it| format!(" in {} ms", it.0.elapsed().as_millis()));
        (self.0)(format!("AWS {operation}: {end}{}", time.unwrap_or_default()));
        Ok(())
    }
}
