//! `policy`: the least-privilege IAM policy of running tasks in an environment, read off their plans; or the trust policy of the role.

use serde_json::Value;

use crate::aws::Aws;
use crate::cx::TasksFile;
use crate::error::{Error, Problem, Result};
use crate::event::Event;
use crate::flags::{self, Everywhere};
use crate::model::{Config, Facts, Identity, Plan, ResolvedEnvironment, ResolvedTask, Runner, Selection};
use crate::permissions::{self, MOST_CHARACTERS, Needs};
use crate::plan;
use crate::resolve;
use crate::stage::survey;
use crate::ui::Ui;
use crate::verb::reach::{connect, guard_endpoint};

/// Prints the policy.
pub async fn policy(file: &TasksFile, flags: &flags::Policy, everywhere: &Everywhere, ui: &Ui) -> Result<()> {
    let config = file.config()?;
    let selection = everywhere.selection(|it| std::env::var(it).ok());
    let environment = resolve::environment_itself(&config, &selection)?;
    if environment.runner.value != Runner::Ecs {
        let message = format!("tasks in `{}` run on this machine, which takes no IAM policy", environment.name.value);
        let hint = "choose an environment on ECS with -e";
        return Err(Problem::new(message).at(environment.runner.span()).hint(hint).refused());
    }
    if let Some(warning) = guard_endpoint(&environment.name, &environment.settings)? {
        warn(ui, warning);
    }
    if let Some(trust) = &flags.trust {
        let document = trust_document(trust, &environment, ui).await?;
        ui.print(pretty(&document));
        return Ok(());
    }
    let tasks = tasks(&config, &selection, &environment, &flags.tasks)?;
    let mut needs: Vec<Needs> = Vec::new();
    for task in &tasks {
        let aws = connect(&task.settings, ui).await?;
        needs.push(of_task(&aws, task).await?);
    }
    let mut remarks: Vec<String> = Vec::new();
    for remark in needs.iter().flat_map(|it| &it.remarks) {
        if !remarks.contains(remark) {
            remarks.push(remark.clone());
        }
    }
    let document = permissions::document(&permissions::statements(&needs));
    let characters = document.to_string().chars().filter(|it| !it.is_whitespace()).count();
    if characters > MOST_CHARACTERS {
        remarks.push(format!(
            "the policy has {characters} characters, and IAM takes {MOST_CHARACTERS}: make one for each of some tasks"
        ));
    }
    for remark in remarks {
        warn(ui, remark);
    }
    ui.print(pretty(&document));
    Ok(())
}

/// The tasks that are named, else all that may run there; each as `run` would have it.
pub fn tasks(
    config: &Config,
    selection: &Selection,
    environment: &ResolvedEnvironment,
    named: &[String],
) -> Result<Vec<ResolvedTask>> {
    let allowed = config.tasks.iter().filter(|it| resolve::may_run(it, &environment.name.value));
    let names: Vec<String> = match named {
        [] => allowed.map(|it| it.name.value.clone()).collect(),
        named => resolve::with_needs(config, selection, named),
    };
    if names.is_empty() {
        return Err(Error::refused(format!("no task may run in `{}`", environment.name.value))
            .hint("add a [tasks.NAME] to tasks.toml"));
    }
    let (mut tasks, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match resolve::resolve(config, &Selection { task: name, ..selection.clone() }) {
            // A key of the task itself may send it elsewhere.
            Ok(task) if task.runner.value == Runner::Ecs => tasks.push(task),
            Ok(task) if named.is_empty() => drop(task),
            Ok(task) => problems.push(
                Problem::new(format!("`{}` runs on this machine, which takes no IAM policy", task.task))
                    .at(task.runner.span()),
            ),
            Err(error) => problems.extend(error.problems),
        }
    }
    problems.dedup();
    if problems.is_empty() { Ok(tasks) } else { Err(Error::all_refused(problems)) }
}

async fn of_task(aws: &Aws, task: &ResolvedTask) -> Result<Needs> {
    let (facts, plan) = planned(aws, task).await?;
    let key = if task.interactive { session_key(aws, &facts.cluster).await? } else { None };
    Ok(permissions::needs(task, &facts, &plan, key.as_deref()))
}

/// The plan of a run without looking at the build context: what is built changes nothing of what is allowed.
async fn planned(aws: &Aws, task: &ResolvedTask) -> Result<(Facts, Plan)> {
    let reads = survey::Reads::new(aws);
    let first = Box::pin(survey::first(&reads, task)).await?;
    let around =
        survey::Around { inputs: None, commit: None, run_id: "policy".to_owned(), ci_job: None, warnings: Vec::new() };
    let facts = Box::pin(survey::second(&reads, task, first, around)).await?.facts;
    let plan = plan::plan(task, &facts)?;
    Ok((facts, plan))
}

/// The KMS key that the cluster encrypts ECS Exec sessions with.
async fn session_key(aws: &Aws, cluster: &str) -> Result<Option<String>> {
    let described = aws.describe_cluster(cluster).await;
    let described =
        described.map_err(|it| it.problem(&format!("read the configuration of `{cluster}`"), None).failed())?;
    Ok(described.and_then(|it| it.pointer(SESSION_KEY).and_then(Value::as_str).map(str::to_owned)))
}

/// Where DescribeClusters has it.
const SESSION_KEY: &str = "/configuration/executeCommandConfiguration/kmsKeyId";

async fn trust_document(trust: &permissions::Trust, environment: &ResolvedEnvironment, ui: &Ui) -> Result<Value> {
    let settings = &environment.settings;
    let name = &environment.name.value;
    let (account, region) = match (&settings.account, &settings.region) {
        // With both written down AWS need not be asked.
        (Some(account), Some(region)) => (account.value.clone(), region.value.clone()),
        _ => {
            let aws = connect(settings, ui).await?;
            let identity: Identity =
                aws.caller_identity().await.map_err(|it| it.problem("ask AWS who calls", None).failed())?;
            plan::guard_account(&environment.name.value, settings, &identity)?;
            (identity.account, aws.region.value)
        }
    };
    if trust.context.is_none() {
        warn(
            ui,
            match environment.protected {
                true => format!(
                    "`{name}` is protected, so only jobs with `environment: {name}` are trusted; name others behind the repository"
                ),
                false => {
                    "every branch of the repository is trusted; name one behind it: `:ref:refs/heads/main`".to_owned()
                }
            },
        );
    }
    Ok(permissions::trust_policy(trust, &account, &region, name, environment.protected))
}

fn pretty(document: &Value) -> String {
    // A Value has string keys only, and so can always be written.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

fn warn(ui: &Ui, message: String) {
    ui.emit(Event::Warning { message, hint: None });
}
