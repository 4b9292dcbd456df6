//! Which tasks a run is made of, and in which order: what is needed comes first, each task once.

use crate::config::{Layers, suggest};
use crate::error::{Error, Problem, Result};
use crate::model::{Config, EnvironmentSpec, ImageChoice, ResolvedTask, Selection, Sourced, TaskSpec};
use crate::resolve::{choose_environment, find_task, resolve};

/// The tasks of a run by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Depth first, the needs of each in the order as written, each name once. The last is the task that was asked for.
    pub names: Vec<String>,
    /// What would come first and is left out.
    pub skipped: Vec<String>,
}

/// The tasks of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// In their order. The last is the task that was asked for.
    pub tasks: Vec<ResolvedTask>,
    /// The names of those that would come first and are left out.
    pub skipped: Vec<String>,
}

/// Resolves a task and all that it needs, in the same environment. `skip`: names to leave out. `of_need`: what of the command line concerns a
/// need. All problems of all of them are reported in one go.
pub fn sequence(
    config: &Config,
    selection: &Selection,
    skip: &[String],
    of_need: &dyn Fn(&str) -> Selection,
) -> Result<Sequence> {
    let Order { names, skipped } = match order(config, selection, skip) {
        Ok(order) => order,
        // Both a wrong name and a wrong flag are told in one go.
        Err(error) => {
            let others = resolve(config, selection).err().into_iter().flat_map(|it| it.problems);
            let mut problems = error.problems;
            problems.extend(others);
            return Err(refused(problems));
        }
    };
    let (mut tasks, mut problems) = (Vec::new(), Vec::new());
    for name in &names {
        let is_need = *name != selection.task;
        let resolved = match is_need {
            // What concerns the whole run is told of the task that was asked for.
            true => resolve(config, &Selection { task: name.clone(), ci: false, ..of_need(name) }),
            false => resolve(config, selection),
        };
        match resolved {
            Ok(task) if is_need && task.interactive => problems.push(interactive(&task, &selection.task)),
            Ok(mut task) => {
                let builds = matches!(task.image.as_ref().map(|it| &it.value), Some(ImageChoice::Build(_)));
                task.rebuild |= is_need && selection.rebuild && builds;
                tasks.push(task);
            }
            Err(error) => problems.extend(error.problems),
        }
    }
    if problems.is_empty() { Ok(Sequence { tasks, skipped }) } else { Err(refused(problems)) }
}

/// The order of a task and all that it needs. That nothing goes round in a circle was said when the file was read.
pub fn order(config: &Config, selection: &Selection, skip: &[String]) -> Result<Order> {
    let task = find_task(config, selection).map_err(Problem::refused)?;
    let (environment, _) = choose_environment(config, selection).map_err(Problem::refused)?;
    let name = &task.name.value;
    let mut whole = Vec::new();
    visit(config, environment, task, &[], &mut whole);
    let needs: Vec<&str> = whole.iter().map(String::as_str).filter(|it| it != name).collect();
    let unknown = skip.iter().filter(|it| !needs.contains(&it.as_str()));
    let problems: Vec<Problem> = unknown.map(|it| not_needed(it, name, &needs)).collect();
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    let mut names = Vec::new();
    visit(config, environment, task, skip, &mut names);
    let skipped = whole.iter().filter(|it| !names.contains(it)).cloned().collect();
    Ok(Order { names, skipped })
}

/// These tasks and all that they need, each once; an unknown name stays, for the caller to say so.
pub fn with_needs(config: &Config, selection: &Selection, names: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        let order = order(config, &Selection { task: name.clone(), ..selection.clone() }, &[]);
        for name in order.map_or_else(|_| vec![name.clone()], |it| it.names) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
    }
    all
}

fn visit(config: &Config, environment: &EnvironmentSpec, task: &TaskSpec, skip: &[String], names: &mut Vec<String>) {
    let needs = Layers::new(config, Some(environment), Some(task)).get(|it| &it.needs);
    for need in needs.iter().flat_map(|it| &it.value).filter(|it| !skip.contains(it)) {
        let task = config.tasks.iter().find(|it| it.name.value == *need);
        if let Some(task) = task.filter(|_| !names.contains(need)) {
            visit(config, environment, task, skip, names);
        }
    }
    names.push(task.name.value.clone());
}

fn not_needed(name: &str, task: &str, needs: &[&str]) -> Problem {
    let problem = Problem::new(format!("--skip {name}: `{task}` does not need `{name}`"));
    match suggest::hint(name, "needs", needs) {
        Some(hint) if !needs.is_empty() => problem.hint(hint),
        _ => problem.hint("leave it out: it needs nothing"),
    }
}

fn interactive(need: &ResolvedTask, task: &str) -> Problem {
    let span = need.settings.interactive.as_ref().and_then(Sourced::span);
    let need = &need.task;
    Problem::new(format!("`{task}` needs `{need}`, which is interactive: nobody would be at its terminal"))
        .at(span)
        .hint(format!("leave it out with --skip {need}, or run it by itself"))
}

/// In the order of the file, each once: what two tasks share is wrong in one place.
fn refused(problems: Vec<Problem>) -> Error {
    let mut told: Vec<Problem> = Vec::new();
    for problem in problems {
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    told.sort_by_key(|it| it.span);
    Error::all_refused(told)
}
