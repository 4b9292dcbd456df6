//! Finds the revisions of ours that nothing needs any more, and deletes them at the pace that ECS allows.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::aws::ecs::Described;
use crate::aws::{Aws, AwsError};
use crate::error::{Error, Result};
use crate::retention::{Fate, Pace, Revision, fates};
use crate::stage::survey::is_ours;
use crate::ui::Ui;

/// ECS's buckets are 20 and one a second to deregister, 5 and one a second to delete, 50 and 20 a second to read; some of each is left to
/// others.
const DEREGISTER: (u32, f64) = (15, 0.9);
const DELETE: (u32, f64) = (4, 0.9);
const READ: (u32, f64) = (40, 15.0);
/// DeleteTaskDefinitions takes ten.
const BATCH: usize = 10;
/// How often a refusal that means "not just now" is tried again.
const ATTEMPTS: u32 = 6;

/// What was found: each family's revisions, newest first, with what becomes of them.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// In the order of tasks.toml.
    pub revisions: Vec<(Revision, Fate)>,
    /// Worth knowing before it is decided.
    pub warnings: Vec<String>,
}

impl Survey {
    /// Those that go, oldest first: if it ends half-way, the oldest are gone.
    pub fn going(&self) -> Vec<&Revision> {
        let mut going: Vec<&Revision> =
            self.revisions.iter().filter(|(_, fate)| *fate == Fate::Goes).map(|(it, _)| it).collect();
        going.reverse();
        going
    }
}

/// Reads the families and what uses them. `cluster`: the environment's, in case the others cannot be listed.
pub async fn survey(aws: &Aws, ui: &Ui, families: &[String], cluster: Option<&str>, keep: usize) -> Result<Survey> {
    let clock = Clock { start: Instant::now(), speed: aws.speed };
    let mut pace = Pace::new(READ.0, READ.1);
    let mut of_families: Vec<(&String, Vec<Revision>)> = Vec::new();
    for family in families {
        let tried = format!("list the revisions of `{family}`");
        let mut revisions = Vec::new();
        for active in [true, false] {
            clock.wait(&mut pace).await;
            let arns = aws.revisions(family, active).await.map_err(|it| unread(&it, &tried))?;
            for arn in arns.into_iter().filter(|it| is_of(it, family)) {
                clock.wait(&mut pace).await;
                let described = aws.describe_task_definition(&arn).await.map_err(|it| unread(&it, &tried))?;
                revisions.push(Revision { ours: described.is_some_and(|it| is_ours(&it)), arn, active });
            }
        }
        of_families.push((family, revisions));
    }
    let mut survey = Survey::default();
    let nothing_used = BTreeMap::new();
    let candidates: Vec<&String> = of_families
        .iter()
        .filter(|(_, it)| fates(it, &nothing_used, keep).iter().any(|(_, fate)| *fate == Fate::Goes))
        .map(|(family, _)| *family)
        .collect();
    let used = match candidates.is_empty() {
        true => nothing_used,
        false => {
            let clusters = clusters(aws, cluster, &mut survey.warnings).await?;
            ui.note(format!("looking for users of {} families in {} clusters", candidates.len(), clusters.len()));
            used(aws, &candidates, &clusters, &clock, &mut pace).await?
        }
    };
    survey.revisions = of_families.iter().flat_map(|(_, it)| fates(it, &used, keep)).collect();
    Ok(survey)
}

/// The clusters to look for users in: all of the region, or the one that is known.
async fn clusters(aws: &Aws, known: Option<&str>, warnings: &mut Vec<String>) -> Result<Vec<String>> {
    match (aws.clusters().await, known) {
        (Ok(clusters), _) => Ok(clusters),
        (Err(error), Some(known)) if !error.is_transient() => {
            warnings.push(format!(
                "the clusters of {} cannot be listed ({}): only `{known}` was searched for what uses these revisions",
                aws.region.value,
                error.cause()
            ));
            Ok(vec![known.to_owned()])
        }
        (Err(error), _) => Err(unread(&error, "list the clusters")),
    }
}

/// Who uses which revision: ECS tasks that have not stopped, and services.
async fn used(
    aws: &Aws,
    families: &[&String],
    clusters: &[String],
    clock: &Clock,
    pace: &mut Pace,
) -> Result<BTreeMap<String, String>> {
    let mut used = BTreeMap::new();
    for cluster in clusters {
        let name = cluster.rsplit('/').next().unwrap_or(cluster);
        clock.wait(pace).await;
        let services = aws.service_definitions(cluster).await;
        for it in services.map_err(|it| unread(&it, &format!("read the services of `{name}`")))? {
            let user = format!("the service `{}` of the cluster `{name}`", it.service);
            used.extend(it.definitions.into_iter().map(|arn| (arn, user.clone())));
        }
        for family in families {
            let tried = format!("list the ECS tasks of `{family}` in `{name}`");
            let mut arns = Vec::new();
            // Those that are being stopped are desired STOPPED, and still run.
            for stopped in [false, true] {
                clock.wait(pace).await;
                let listed = aws.family_tasks(cluster, family, stopped).await.map_err(|it| unread(&it, &tried))?;
                arns.extend(listed);
            }
            for arns in arns.chunks(100) {
                clock.wait(pace).await;
                let described = aws.describe_tasks(cluster, arns).await.map_err(|it| unread(&it, &tried))?;
                for (_, described) in described {
                    let Described::Task(task) = described else { continue };
                    if let Some(arn) = task.task_definition_arn.as_ref().filter(|_| !task.is_stopped()) {
                        used.insert(arn.clone(), format!("the ECS task {}", task.arn));
                    }
                }
            }
        }
    }
    Ok(used)
}

/// What deleting came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// ARNs.
    pub deleted: Vec<String>,
    /// ARNs that ECS did not take, and why.
    pub failed: Vec<(String, String)>,
}

/// Deregisters those that are ACTIVE, then deletes all. Drop the future to end it early: `so_far` has what is done.
pub async fn delete(aws: &Aws, revisions: &[Revision], so_far: &mut Deleted) {
    let clock = Clock { start: Instant::now(), speed: aws.speed };
    let (mut deregister, mut delete) = (Pace::new(DEREGISTER.0, DEREGISTER.1), Pace::new(DELETE.0, DELETE.1));
    for revisions in revisions.chunks(BATCH) {
        let mut inactive = Vec::new();
        for revision in revisions {
            if revision.active {
                let call = || aws.deregister_task_definition(&revision.arn);
                if let Err(error) = patiently(&clock, &mut deregister, call).await {
                    so_far.failed.push((revision.arn.clone(), error.cause()));
                    continue;
                }
            }
            inactive.push(revision.arn.clone());
        }
        if inactive.is_empty() {
            continue;
        }
        match patiently(&clock, &mut delete, || aws.delete_task_definitions(&inactive)).await {
            Ok(failures) => {
                for arn in inactive {
                    let failure = failures.iter().find(|it| it.arn.as_deref() == Some(&arn));
                    match failure {
                        Some(failure) => so_far.failed.push((arn, failure.reason.clone())),
                        None => so_far.deleted.push(arn),
                    }
                }
            }
            Err(error) => so_far.failed.extend(inactive.into_iter().map(|it| (it, error.cause()))),
        }
    }
}

/// A call at its pace, again where it failed in a way that passes. Both operations may be repeated: what is done already stays done.
async fn patiently<T, F: Future<Output = Result<T, AwsError>>>(
    clock: &Clock,
    pace: &mut Pace,
    call: impl Fn() -> F,
) -> Result<T, AwsError> {
    let mut attempt = 1;
    loop {
        clock.wait(pace).await;
        match call().await {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
            answer => return answer,
        }
    }
}

/// Time since the start; faster than real time on a loopback endpoint that asks for it.
struct Clock {
    start: Instant,
    speed: f64,
}

impl Clock {
    async fn wait(&self, pace: &mut Pace) {
        let wait = pace.wait(self.start.elapsed().mul_f64(self.speed));
        if wait > Duration::ZERO {
            sleep(wait.div_f64(self.speed)).await;
        }
    }
}

/// The filter of ListTaskDefinitions is called a prefix.
fn is_of(arn: &str, family: &str) -> bool {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    name.rsplit_once(':').is_some_and(|(it, _)| it == family)
}

fn unread(error: &AwsError, tried: &str) -> Error {
    error.problem(tried, None).failed().done("nothing was deleted")
}
