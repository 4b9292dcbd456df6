//! Precedence: `tasks.X.on.ENV` > `tasks.X` > `environments.ENV` > `defaults`. Tables of names merge by name, everything else
//! replaces.

use std::collections::BTreeMap;

use crate::model::{Config, EnvironmentSpec, LaunchType, Settings, Sourced, TaskSpec};

/// The layers that speak about one task in one environment, the strongest first.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a>([Option<&'a Settings>; 4]);

impl<'a> Layers<'a> {
    /// Of a task in an environment. Without a task: what the environment says alone.
    pub fn new(config: &'a Config, environment: Option<&'a EnvironmentSpec>, task: Option<&'a TaskSpec>) -> Layers<'a> {
        let on = task.and_then(|task| task.on.get(&environment?.name.value));
        Layers([on, task.map(|it| &it.settings), environment.map(|it| &it.settings), Some(&config.defaults)])
    }

    /// The value of a key that replaces.
    pub fn get<T>(&self, key: impl Fn(&'a Settings) -> &'a Option<Sourced<T>>) -> Option<&'a Sourced<T>> {
        self.0.iter().flatten().find_map(|it| key(it).as_ref())
    }

    /// How strong the layer is that says it: the smaller, the stronger.
    pub fn rank<T: 'a>(&self, key: impl Fn(&'a Settings) -> &'a Option<Sourced<T>>) -> Option<usize> {
        self.0.iter().position(|it| it.is_some_and(|it| key(it).is_some()))
    }

    /// Whether a boolean key says true.
    pub fn is(&self, key: impl Fn(&'a Settings) -> &'a Option<Sourced<bool>>) -> bool {
        self.get(key).is_some_and(|it| it.value)
    }

    /// Whether what tasks.toml says leaves no other place than Fargate.
    pub fn says_fargate(&self) -> bool {
        // The two keys are one choice: the strongest layer that says either makes it.
        let layer = self.0.iter().flatten().find(|it| it.launch_type.is_some() || it.capacity_providers.is_some());
        layer.is_some_and(|it| match (&it.launch_type, &it.capacity_providers) {
            (Some(launch_type), _) => launch_type.value == LaunchType::Fargate,
            (None, Some(providers)) => {
                providers.value.iter().all(|it| matches!(it.0.as_str(), "FARGATE" | "FARGATE_SPOT"))
            }
            (None, None) => false,
        })
    }

    /// The entries of a table of names in every layer, the strongest first.
    pub fn names<T: 'a>(
        &self,
        table: impl Fn(&'a Settings) -> &'a BTreeMap<String, T>,
    ) -> impl Iterator<Item = (&'a String, &'a T)> {
        self.0.into_iter().flatten().flat_map(table)
    }

    /// All keys of all layers.
    pub fn merged(&self) -> Settings {
        let mut merged = Settings::default();
        for layer in self.0.iter().rev().flatten() {
            lay_over(&mut merged, layer);
        }
        merged
    }
}

/// Puts a stronger layer over what there is.
fn lay_over(base: &mut Settings, layer: &Settings) {
    // One choice in two keys: saying one of them unsays the other.
    if layer.launch_type.is_some() {
        base.capacity_providers = None;
    }
    if layer.capacity_providers.is_some() {
        base.launch_type = None;
    }
    // A variable is a secret or a plain one: the stronger layer says which.
    base.secrets.retain(|name, _| !layer.variables.contains_key(name));
    base.variables.retain(|name, _| !layer.secrets.contains_key(name));
    macro_rules! replace {
        ($($key:ident),* ; $($names:ident),*) => {
            // Named one by one, so that a new key cannot be forgotten here.
            let Settings { $($key,)* $($names,)* } = layer;
            $(if $key.is_some() {
                base.$key.clone_from($key);
            })*
            $(base.$names.extend($names.iter().map(|(name, value)| (name.clone(), value.clone())));)*
        };
    }
    replace!(
        runner, region, profile, account, endpoint_url, registry, protected, docker_args, cluster, service, task_definition,
        container, subnets, security_groups, assign_public_ip, capacity_providers, launch_type, platform_version, task_role,
        execution_role, logs, sidecars, spot, image, entrypoint, command, cpu, memory, ephemeral_storage, platform,
        interactive, timeout, start_timeout, on_interrupt, exclusive, needs, max_lifetime, shards, parallel, retry;
        variables, secrets, tags, build_args
    );
}
