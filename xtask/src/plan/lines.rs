//! The plan as a person reads it before a production migration: where it runs, what runs, with what, and who takes the blame. Each
//! value with the place it came from.

use std::time::Duration;

use serde_json::Value;

use super::definition::{Derived, origin_of_base};
use super::launch::{Capacity, CapacityKind, Network};
use super::overrides::{Roles, words};
use super::secrecy::{shown_value, without_url_password};
use super::sizes::Sizes;
use super::{definition_with_image, json, tags};
use crate::model::{
    Facts, ImageFact, LogLocation, OnInterrupt, Origin, Plan, PlanLine, PlannedImage, ResolvedTask, Sourced, ranges,
};

/// Everything that was decided.
pub(super) struct Shown<'a> {
    pub task: &'a ResolvedTask,
    pub facts: &'a Facts,
    pub plan: &'a Plan,
    pub image_origin: &'a Origin,
    pub platform: &'a Sourced<String>,
    pub capacity: &'a Capacity,
    pub network: Option<&'a Network>,
    pub derived: &'a Derived,
    pub logs: &'a Sourced<LogLocation>,
    pub sizes: &'a Sizes,
    pub roles: &'a Roles,
}

#[derive(Default)]
struct Lines(Vec<PlanLine>);

impl Lines {
    fn add(&mut self, key: &str, value: impl Into<String>, origin: &(impl ToString + ?Sized)) {
        self.0.push(PlanLine { key: key.to_owned(), value: value.into(), origin: origin.to_string() });
    }

    fn sourced<T>(&mut self, key: &str, value: Option<&Sourced<T>>, show: impl FnOnce(&T) -> String) {
        if let Some(value) = value {
            self.add(key, show(&value.value), &value.origin);
        }
    }
}

/// The lines, in the order in which they are shown.
pub(super) fn lines(shown: &Shown<'_>) -> Vec<PlanLine> {
    let mut lines = Lines::default();
    place(shown, &mut lines);
    program(shown, &mut lines);
    capacity(shown, &mut lines);
    surroundings(shown, &mut lines);
    lines.0
}

fn place(shown: &Shown<'_>, lines: &mut Lines) {
    let Shown { task, facts, .. } = shown;
    let settings = &task.settings;
    let checked = settings.account.as_ref().map(|it| it.origin.to_string()).unwrap_or_default();
    lines.add("account", &facts.identity.account, &checked);
    lines.add("caller", &facts.identity.arn, "");
    lines.add("region", &facts.region.value, &facts.region.origin);
    let cluster = settings.cluster.as_ref().map_or(Origin::Default, |it| it.origin.clone());
    lines.add("cluster", &facts.cluster, &cluster);
    if let Some(service) = &facts.service {
        let name = json::text(service, "serviceName").unwrap_or("?");
        lines.add("service", name, &settings.service.as_ref().map(|it| it.origin.to_string()).unwrap_or_default());
    }
    lines.add("base task definition", json::definition_name(&facts.base), &origin_of_base(task, facts));
    lines.add("task definition", revision(shown), "");
}

/// Whether a revision is used again shows in the plan only where the image's reference is known already.
fn revision(shown: &Shown<'_>) -> String {
    let family = &shown.facts.family;
    let Some(newest) = &shown.plan.newest_revision else { return format!("the first revision of {family}") };
    let name = newest.arn.rsplit('/').next().unwrap_or(&newest.arn);
    match &shown.plan.image {
        PlannedImage::Use { reference } => {
            let (_, hash) = definition_with_image(shown.plan, reference);
            match newest.hash.as_ref() == Some(&hash) {
                true => format!("{name}, used again"),
                false => format!("a new revision of {family}, after {name}"),
            }
        }
        PlannedImage::Build { .. } => format!("a new revision of {family}, after {name}"),
        PlannedImage::Unprepared { .. } => format!("a new revision of {family} unless {name} has this image"),
    }
}

fn program(shown: &Shown<'_>, lines: &mut Lines) {
    let Shown { task, facts, plan, derived, .. } = shown;
    let container = match &task.settings.container {
        Some(container) => container.origin.to_string(),
        None if json::list(&facts.base, "containerDefinitions").len() == 1 => "the only container".to_owned(),
        None => "the only essential container".to_owned(),
    };
    lines.add("container", &plan.container, &container);
    let image = match &plan.image {
        PlannedImage::Use { reference } => reference.clone(),
        PlannedImage::Build { registry, repository, tag, .. } => {
            format!("{registry}/{repository}:{tag}, to be built and pushed")
        }
        PlannedImage::Unprepared { registry, repository, .. } => {
            format!("{registry}/{repository}, its tag known after `prepare`")
        }
    };
    lines.add("image", image, shown.image_origin);
    if let PlannedImage::Build { repository, create: true, .. } = &plan.image {
        lines.add("repository", format!("{repository}, to be created"), "");
    }
    // Of an image that is not built here, a guess would say nothing.
    let built = !matches!(facts.image, ImageFact::Deployed(_) | ImageFact::Given);
    if built || shown.platform.origin != Origin::Default {
        lines.add("platform", &shown.platform.value, &shown.platform.origin);
    }
    let arguments = |it: &Vec<String>| without_url_password(&words(it));
    if let Some(console) = &plan.console {
        let session = if console.argv.is_empty() { "a shell".to_owned() } else { arguments(&console.argv) };
        let origin = derived.command.as_ref().map(|it| it.origin.to_string()).unwrap_or_default();
        lines.add("session", session, if console.argv.is_empty() { "" } else { &origin });
        let origin = task.settings.max_lifetime.as_ref().map_or(Origin::Default, |it| it.origin.clone());
        lines.add("max lifetime", duration(console.max_lifetime), &origin);
    } else {
        match &derived.entrypoint {
            Some(entrypoint) => lines.add("entrypoint", arguments(&entrypoint.value), &entrypoint.origin),
            None => lines.add(
                "entrypoint",
                "the image's own",
                &task.entrypoint.as_ref().map(|it| it.origin.to_string()).unwrap_or_default(),
            ),
        }
        match &derived.command {
            Some(command) => lines.add("command", arguments(&command.value), &command.origin),
            None if derived.entrypoint.is_some() => lines.add("command", "none", ""),
            None => lines.add("command", "the image's own", ""),
        }
    }
    for (name, value) in &derived.variables {
        lines.add("variable", format!("{name}={}", shown_value(name, &value.value)), &value.origin);
    }
    for (name, reference) in &derived.secrets {
        lines.add("secret", format!("{name} from {}", reference.value), &reference.origin);
    }
}

fn capacity(shown: &Shown<'_>, lines: &mut Lines) {
    let Shown { facts, plan, capacity, sizes, roles, .. } = shown;
    lines.sourced("cpu", sizes.cpu.as_ref(), |it| format!("{it} ({} vCPU)", thousandths(*it)));
    lines.sourced("memory", sizes.memory.as_ref(), |it| format!("{it} MiB"));
    lines.sourced("ephemeral storage", sizes.ephemeral_storage.as_ref(), |it| format!("{it} GiB"));
    let key = match &capacity.kind.value {
        CapacityKind::LaunchType(_) => "launch type",
        CapacityKind::Strategy(_) => "capacity providers",
        CapacityKind::ClusterDefault => "capacity",
    };
    let changed = if capacity.without_spot { ", with FARGATE for FARGATE_SPOT" } else { "" };
    lines.add(key, capacity.name(), &format!("{}{changed}", capacity.kind.origin));
    lines.sourced("platform version", capacity.platform_version.as_ref(), Clone::clone);
    match shown.network {
        Some(network) => {
            lines.add("subnets", network.subnets.value.join(", "), &network.subnets.origin);
            match network.security_groups.as_ref().filter(|it| !it.value.is_empty()) {
                Some(groups) => lines.add("security groups", groups.value.join(", "), &groups.origin),
                None => lines.add("security groups", "the VPC's default", ""),
            }
            let yes_or_no = |it: &bool| if *it { "yes" } else { "no" }.to_owned();
            match &network.assign_public_ip {
                Some(public) => lines.add("public IP", yes_or_no(&public.value), &public.origin),
                None => lines.add("public IP", "no", &Origin::Default),
            }
        }
        None => {
            let mode = json::text(&facts.base, "networkMode").unwrap_or("bridge");
            lines.add("network mode", mode, &Origin::TaskDefinition);
        }
    }
    for (key, name) in [("placementConstraints", "placement constraints"), ("placementStrategy", "placement strategy")]
    {
        let items = json::list(&plan.run_task, key);
        if !items.is_empty() {
            lines.add(name, items.iter().map(placement).collect::<Vec<_>>().join(", "), &Origin::Service);
        }
    }
    for (name, role, key) in
        [("task role", &roles.task, "taskRoleArn"), ("execution role", &roles.execution, "executionRoleArn")]
    {
        match (role, json::text(&plan.definition, key)) {
            (Some(role), _) => lines.add(name, &role.value, &role.origin),
            (None, Some(role)) => lines.add(name, role, &Origin::TaskDefinition),
            (None, None) => {}
        }
    }
    for volume in json::list(&plan.run_task, "volumeConfigurations") {
        let managed = volume.get("managedEBSVolume").unwrap_or(&Value::Null);
        let size = json::positive(managed, "sizeInGiB").map(|it| format!(" of {it} GiB")).unwrap_or_default();
        let from = json::text(managed, "snapshotId").map(|it| format!(" from {it}")).unwrap_or_default();
        let name = json::text(volume, "name").unwrap_or("?");
        lines.add("volume", format!("{name}: an EBS volume{size}{from}, deleted with the ECS task"), &Origin::Service);
    }
}

fn surroundings(shown: &Shown<'_>, lines: &mut Lines) {
    let Shown { task, facts, derived, logs, .. } = shown;
    let LogLocation { group, region, prefix, .. } = &logs.value;
    let elsewhere = if *region == facts.region.value { String::new() } else { format!(" in {region}") };
    lines.add("log group", format!("{group}{elsewhere}, stream prefix {prefix}"), &logs.origin);
    let (first, beside): (Vec<&String>, Vec<&String>) =
        derived.sidecars.iter().partition(|it| derived.init_containers.contains(it));
    let names = |it: &[&String]| it.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    if !first.is_empty() {
        lines.add("init containers", format!("{} (also run, to their end)", names(&first)), &Origin::TaskDefinition);
    }
    if !beside.is_empty() {
        lines.add("sidecars", format!("{} (also run)", names(&beside)), &Origin::TaskDefinition);
    }
    for (name, reason) in &derived.dropped {
        lines.add("left out", name, reason);
    }
    if let Some(shards) = &task.shards {
        let some = match shards.is_all() {
            true => String::new(),
            false => format!(", of them {}", ranges(&shards.chosen)),
        };
        let settings = &task.settings;
        let origin = |it: &Option<Sourced<u32>>| it.as_ref().map_or(Origin::Default, |it| it.origin.clone());
        lines.add("shards", format!("{}{some}", shards.of), &origin(&settings.shards));
        lines.add("parallel", format!("{} at a time", shards.parallel), &origin(&settings.parallel));
        let what = if shards.keep_going { "all run" } else { "the first that fails stops the others" };
        lines.add("after a failure", what, if shards.keep_going { "--keep-going" } else { "default" });
    }
    if task.exclusive {
        let origin = task.settings.exclusive.as_ref().filter(|it| it.value).map(|it| it.origin.to_string());
        lines.add("exclusive", "one ECS task at a time", &origin.unwrap_or_else(|| "--attach-if-running".to_owned()));
    }
    if task.once {
        lines.add("once", "not again after a success of the same image, command, variables and commit", "--once");
    }
    match &task.timeout {
        Some(timeout) => lines.add("timeout", duration(timeout.value), &timeout.origin),
        None => lines.add("timeout", "none", ""),
    }
    lines.add("start timeout", duration(task.start_timeout.value), &task.start_timeout.origin);
    if task.on_interrupt == OnInterrupt::Detach {
        lines.add("on interrupt", "detach", "");
    }
    match tags::commit(facts) {
        Some(commit) => lines.add("commit", commit, ""),
        None => lines.add("commit", "not a git work tree", ""),
    }
    if let Some(job) = &facts.ci_job {
        lines.add("CI job", job, "");
    }
    for (key, value) in &task.settings.tags {
        lines.add("tag", format!("{key}={}", value.value), &value.origin);
    }
}

/// vCPU of CPU units, without digits that say nothing.
fn thousandths(units: u32) -> String {
    let text = format!("{:.3}", f64::from(units) / 1024.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn placement(item: &Value) -> String {
    let kind = json::text(item, "type").unwrap_or("?");
    match json::text(item, "expression").or_else(|| json::text(item, "field")) {
        Some(what) => format!("{kind} {what}"),
        None => kind.to_owned(),
    }
}

/// As tasks.toml writes it.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|it| it.0 > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { format!("{}ms", duration.as_millis()) } else { text }
}
