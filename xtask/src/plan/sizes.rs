//! CPU, memory and ephemeral storage: overrides of RunTask for the ECS task and, where the base gives the chosen container a share of
//! its own, for that container, so that it can use what was asked for.

use serde_json::Value;

use super::launch::Capacity;
use super::{Planner, json};
use crate::error::Problem;
use crate::model::{Origin, Sourced};

/// Docker reserves at least this for a container.
const LEAST_MEMORY: u32 = 6;

/// What the ECS task has, and what has to be overridden for that.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// As it will be, for the plan: the ECS task's, or the container's where the ECS task has no size.
    pub cpu: Option<Sourced<u32>>,
    pub memory: Option<Sourced<u32>>,
    pub ephemeral_storage: Option<Sourced<u32>>,
    /// The ECS task's overrides.
    pub task_cpu: Option<u32>,
    pub task_memory: Option<u32>,
    pub task_ephemeral_storage: Option<u32>,
    /// The chosen container's overrides.
    pub container_cpu: Option<u32>,
    pub container_memory: Option<u32>,
    pub container_memory_reservation: Option<u32>,
}

/// Decides the sizes for the derived definition.
pub(super) fn sizes(planner: &mut Planner<'_>, definition: &Value, capacity: &Capacity) -> Sizes {
    let settings = &planner.task.settings;
    let base_cpu = amount(definition.get("cpu"), "vcpu");
    let base_memory = amount(definition.get("memory"), "gb");
    let from_base = |it: Option<u32>| it.map(|it| Sourced::new(it, Origin::TaskDefinition));
    let container = json::container(definition, planner.container);
    let own = |key: &str| container.and_then(|it| json::positive(it, key));
    let others = || {
        let containers = json::list(definition, "containerDefinitions").iter();
        containers.filter(|it| json::text(it, "name") != Some(planner.container))
    };

    let mut sizes = Sizes {
        cpu: settings.cpu.clone().or(from_base(base_cpu)),
        memory: settings.memory.clone().or(from_base(base_memory)),
        ..Sizes::default()
    };
    let mut problems = Vec::new();

    if let Some(cpu) = &settings.cpu {
        if capacity.fargate || base_cpu.is_some() {
            sizes.task_cpu = Some(cpu.value);
            let taken = sum(others().filter_map(|it| json::positive(it, "cpu")));
            // A container without a share of its own may use the whole of the ECS task's, if nobody else has one.
            if own("cpu").is_some() || taken > 0 {
                match cpu.value.checked_sub(taken).filter(|it| *it > 0) {
                    Some(left) => sizes.container_cpu = Some(left),
                    None => problems.push(nothing_left("cpu", cpu, taken, planner.container, "units")),
                }
            }
        } else {
            sizes.container_cpu = Some(cpu.value);
        }
    } else if base_cpu.is_none() {
        sizes.cpu = from_base(own("cpu"));
    }

    if let Some(memory) = &settings.memory {
        let (limit, reservation) = (own("memory"), own("memoryReservation"));
        if capacity.fargate || base_memory.is_some() {
            sizes.task_memory = Some(memory.value);
            let taken = sum(others()
                .filter_map(|it| json::positive(it, "memory").or_else(|| json::positive(it, "memoryReservation"))));
            match memory.value.checked_sub(taken).filter(|it| *it >= LEAST_MEMORY) {
                Some(left) => {
                    sizes.container_memory = limit.map(|_| left);
                    // The reservation stays as it is if it still fits; with a hard limit it must be below that.
                    let most = if limit.is_some() { left - 1 } else { left };
                    sizes.container_memory_reservation = reservation.filter(|it| *it > most).map(|_| most);
                }
                None => problems.push(nothing_left("memory", memory, taken, planner.container, "MiB")),
            }
        } else {
            sizes.container_memory = Some(memory.value);
            // An instance is chosen by the reservation where there is one; it must be below the limit.
            sizes.container_memory_reservation = reservation.map(|_| memory.value.saturating_sub(1).max(1));
        }
    } else if base_memory.is_none() {
        sizes.memory = from_base(own("memory").or_else(|| own("memoryReservation")));
    }

    if capacity.fargate {
        problems.extend(fargate_problem(planner, &sizes, base_cpu, base_memory));
    }
    let base_storage = definition.get("ephemeralStorage").and_then(|it| json::positive(it, "sizeInGiB"));
    sizes.ephemeral_storage = settings.ephemeral_storage.clone().or(from_base(base_storage));
    if let Some(storage) = &settings.ephemeral_storage {
        sizes.task_ephemeral_storage = Some(storage.value);
        if !capacity.fargate {
            problems.push(
                Problem::new(format!("ephemeral-storage is for Fargate, and this runs on {}", capacity.name()))
                    .at(storage.span())
                    .hint("leave `ephemeral-storage` out"),
            );
        } else if !(21..=200).contains(&storage.value) {
            problems.push(
                Problem::new(format!("ephemeral-storage {} is not between 21 and 200 GiB", storage.value))
                    .at(storage.span())
                    .hint("20 GiB are there without it"),
            );
        }
    }
    planner.problems.extend(problems);
    sizes
}

fn sum(sizes: impl Iterator<Item = u32>) -> u32 {
    sizes.fold(0, u32::saturating_add)
}

fn nothing_left(what: &str, size: &Sourced<u32>, taken: u32, container: &str, unit: &str) -> Problem {
    Problem::new(format!(
        "{what} {} leaves nothing for `{container}`: the other containers take {taken} {unit}",
        size.value
    ))
    .at(size.span())
    .hint(format!("raise `{what}`, or leave containers out with `sidecars = \"none\"`"))
}

/// Whether the pair that results from tasks.toml and the base is one that Fargate has. A pair that is the base's alone is.
fn fargate_problem(
    planner: &Planner<'_>,
    sizes: &Sizes,
    base_cpu: Option<u32>,
    base_memory: Option<u32>,
) -> Option<Problem> {
    let (Some(cpu), Some(memory)) = (sizes.task_cpu.or(base_cpu), sizes.task_memory.or(base_memory)) else {
        let missing = if sizes.task_cpu.or(base_cpu).is_none() { "cpu" } else { "memory" };
        return Some(missing_size(planner, missing));
    };
    if sizes.task_cpu.is_none() && sizes.task_memory.is_none() {
        return None;
    }
    let hint = fargate_size_hint(cpu, memory)?;
    let settings = &planner.task.settings;
    let origin = |it: &Option<Sourced<u32>>| it.as_ref().map_or(Origin::TaskDefinition, |it| it.origin.clone());
    Some(
        Problem::new(format!(
            "Fargate has no size with cpu {cpu} (from {}) and memory {memory} (from {})",
            origin(&settings.cpu),
            origin(&settings.memory)
        ))
        .at(settings.memory.as_ref().and_then(Sourced::span).or(settings.cpu.as_ref().and_then(Sourced::span)))
        .hint(hint),
    )
}

fn missing_size(planner: &Planner<'_>, missing: &str) -> Problem {
    Problem::new(format!(
        "Fargate needs a size, and the base task definition `{}` gives the ECS task no {missing}",
        planner.base_name()
    ))
    .at(planner.task.task_span)
    .hint(format!("set `{missing}` on the task"))
}

/// Fargate's sizes: CPU units, and the memory that they may have in MiB: from, to, step.
const FARGATE: &[(u32, u32, u32, u32)] = &[
    (256, 512, 2048, 512), // without 1536: see `has`
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

fn has(row: &(u32, u32, u32, u32), memory: u32) -> bool {
    let (cpu, from, to, step) = *row;
    (from..=to).contains(&memory) && (memory - from).is_multiple_of(step) && (cpu, memory) != (256, 1536)
}

/// `None`: Fargate has this size. Otherwise what it has that is nearest, as a thing to do.
pub fn fargate_size_hint(cpu: u32, memory: u32) -> Option<String> {
    let row = FARGATE.iter().find(|row| row.0 == cpu);
    if row.is_some_and(|row| has(row, memory)) {
        return None;
    }
    let cpus: Vec<String> = FARGATE.iter().filter(|row| has(row, memory)).map(|row| row.0.to_string()).collect();
    let with_memory = (!cpus.is_empty()).then(|| format!("with memory {memory}, cpu can be {}", cpus.join(", ")));
    let with_cpu = row.map(|row| match *row {
        (256, ..) => "with cpu 256, memory can be 512, 1024 or 2048".to_owned(),
        (cpu, from, to, step) => format!("with cpu {cpu}, memory can be {from} to {to} in steps of {step}"),
    });
    Some(match (with_cpu, with_memory) {
        (Some(with_cpu), Some(with_memory)) => format!("{with_cpu}; {with_memory}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => {
            let nearest = FARGATE.iter().min_by_key(|row| row.0.abs_diff(cpu)).map_or(256, |row| row.0);
            format!("cpu can be 256, 512, 1024, 2048, 4096, 8192 or 16384; the nearest is {nearest}")
        }
    })
}

/// A size of a definition: a number, or text such as `1024`, `1 vCPU`, `2 GB` or `.5 vcpu`, which ECS takes and its answers no longer have.
fn amount(value: Option<&Value>, unit: &str) -> Option<u32> {
    match value? {
        Value::Number(number) => number.as_u64().and_then(|it| u32::try_from(it).ok()),
        Value::String(text) => {
            let text = text.trim().to_ascii_lowercase();
            match text.strip_suffix(unit) {
                Some(number) => {
                    let units = number.trim().parse::<f64>().ok()? * 1024.0;
                    (units.is_finite() && units >= 0.0 && units <= f64::from(u32::MAX)).then_some(units as u32)
                }
                None => text.parse().ok(),
            }
        }
        _ => None,
    }
    .filter(|it| *it > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fargate_sizes_are_those_of_the_documentation() {
        for (cpu, memory) in [
            (256, 512),
            (256, 1024),
            (256, 2048),
            (512, 1024),
            (512, 4096),
            (1024, 2048),
            (1024, 8192),
            (2048, 16_384),
            (4096, 30_720),
            (8192, 16_384),
            (8192, 61_440),
            (16_384, 32_768),
            (16_384, 122_880),
        ] {
            assert_eq!(fargate_size_hint(cpu, memory), None, "{cpu} {memory}");
        }
        for (cpu, memory, hint) in [
            (256, 1536, "with cpu 256, memory can be 512, 1024 or 2048"),
            (256, 4096, "with cpu 256, memory can be 512, 1024 or 2048; with memory 4096, cpu can be 512, 1024, 2048"),
            (512, 512, "with cpu 512, memory can be 1024 to 4096 in steps of 1024; with memory 512, cpu can be 256"),
            (
                8192,
                18_432,
                "with cpu 8192, memory can be 16384 to 61440 in steps of 4096; with memory 18432, cpu can be 4096",
            ),
            (1000, 2048, "with memory 2048, cpu can be 256, 512, 1024"),
            (1000, 100, "cpu can be 256, 512, 1024, 2048, 4096, 8192 or 16384; the nearest is 1024"),
        ] {
            assert_eq!(fargate_size_hint(cpu, memory).as_deref(), Some(hint), "{cpu} {memory}");
        }
    }

    #[test]
    fn sizes_of_definitions_are_read_in_every_form() {
        for (value, unit, expected) in [
            (json!("1024"), "vcpu", Some(1024)),
            (json!(512), "vcpu", Some(512)),
            (json!("1 vCPU"), "vcpu", Some(1024)),
            (json!(".5 vcpu"), "vcpu", Some(512)),
            (json!("2GB"), "gb", Some(2048)),
            (json!("0.5 GB"), "gb", Some(512)),
            (json!("lots"), "gb", None),
            (json!("-1 GB"), "gb", None),
            (json!(0), "gb", None),
            (json!(null), "gb", None),
        ] {
            assert_eq!(amount(Some(&value), unit), expected, "{value}");
        }
    }
}
