//! The reads that several tasks of one run have in common, each made once: who calls, the service, definitions, the image. A second task that
//! asks while the first one's call is under way waits for the same answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::aws::ecs::Described;
use crate::aws::{Aws, AwsError};
use crate::error;
use crate::model::{Identity, ImageFact, ImageSpec};
use crate::stage::publish::{self, Destination, ImageInputs};

type Answer<T> = Result<T, AwsError>;

/// The reads of one run.
#[derive(Debug)]
pub struct Reads<'a> {
    /// The clients.
    pub aws: &'a Aws,
    identity: Once<Answer<Identity>>,
    services: Once<Answer<Option<Value>>>,
    definitions: Once<Answer<Option<Value>>>,
    lists: Once<Answer<Vec<String>>>,
    tasks: Once<Answer<Vec<(String, Described)>>>,
    images: Once<error::Result<ImageFact>>,
}

impl<'a> Reads<'a> {
    /// None is made yet.
    pub fn new(aws: &'a Aws) -> Reads<'a> {
        Reads {
            aws,
            identity: Once::default(),
            services: Once::default(),
            definitions: Once::default(),
            lists: Once::default(),
            tasks: Once::default(),
            images: Once::default(),
        }
    }

    /// Who calls.
    pub(super) async fn identity(&self) -> Answer<Identity> {
        self.identity.get(&[], Box::pin(self.aws.caller_identity())).await
    }

    pub(super) async fn service(&self, cluster: &str, service: &str) -> Answer<Option<Value>> {
        self.services.get(&[cluster, service], Box::pin(self.aws.describe_service(cluster, service))).await
    }

    pub(super) async fn definition(&self, reference: &str) -> Answer<Option<Value>> {
        self.definitions.get(&[reference], Box::pin(self.aws.describe_task_definition(reference))).await
    }

    /// The ECS tasks of a service by their ARNs.
    pub(super) async fn service_tasks(&self, cluster: &str, service: &str) -> Answer<Vec<String>> {
        self.lists.get(&[cluster, service], Box::pin(self.aws.service_tasks(cluster, service))).await
    }

    /// The ECS tasks of a service.
    pub(super) async fn tasks(&self, cluster: &str, arns: &[String]) -> Answer<Vec<(String, Described)>> {
        let mut key = vec![cluster];
        key.extend(arns.iter().map(String::as_str));
        self.tasks.get(&key, Box::pin(self.aws.describe_tasks(cluster, arns))).await
    }
}

impl Reads<'_> {
    /// What the registry knows of an image by its content tags.
    pub(super) async fn image(
        &self,
        destination: &Destination,
        spec: &ImageSpec,
        inputs: Option<&ImageInputs>,
    ) -> error::Result<ImageFact> {
        let mut key = vec![spec.name.as_str(), &destination.registry, &destination.repository];
        key.extend(inputs.iter().flat_map(|it| it.tags.values()).map(String::as_str));
        let read = async {
            let ecr = destination.aws(self.aws);
            publish::image_fact(&ecr, destination, spec, inputs).await
        };
        self.images.get(&key, Box::pin(read)).await
    }
}

/// Answers by what was asked.
#[derive(Debug)]
struct Once<T>(RefCell<BTreeMap<String, Rc<OnceCell<T>>>>);

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        Once(RefCell::default())
    }
}

impl<T: Clone> Once<T> {
    /// `read` is on the heap: the futures of the SDK's calls are large.
    async fn get(&self, key: &[&str], read: Pin<Box<dyn Future<Output = T> + '_>>) -> T {
        let cell = Rc::clone(self.0.borrow_mut().entry(key.join("\n")).or_default());
        cell.get_or_init(|| read).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn two_that_ask_the_same_at_a_time_make_one_call() {
        let (once, calls) = (Once::default(), Cell::new(0));
        let read = |answer: u32| {
            let calls = &calls;
            Box::pin(async move {
                calls.set(calls.get() + 1);
                tokio::task::yield_now().await;
                answer
            })
        };
        let (one, same, other) =
            tokio::join!(once.get(&["a", "b"], read(1)), once.get(&["a", "b"], read(2)), once.get(&["a"], read(3)));
        assert_eq!((one, same, other), (1, 1, 3));
        assert_eq!(once.get(&["a"], read(4)).await, 3);
        assert_eq!(calls.get(), 2);
    }
}
