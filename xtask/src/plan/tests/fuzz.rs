//! Arbitrary bases: whatever DescribeTaskDefinition and DescribeServices answer, the plan is made or refused, never with a panic, and what is
//! made keeps the promises that no base may break.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::random::{Random, rounds};

const BASES: &[&str] = &[
    "codedeploy",
    "ebs-volume",
    "ec2-bridge",
    "ec2-host",
    "essential-sidecar",
    "external",
    "fargate-spot",
    "fargate-web",
    "firelens",
    "graviton",
    "init-container",
    "no-logs",
    "private-registry",
    "report-after",
    "shell-entrypoint",
];

fn odd(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(0),
        4 => json!(u64::MAX),
        5 => json!(1.5),
        6 => json!(""),
        7 => json!("web"),
        8 => json!("ü".repeat(300)),
        9 => json!([]),
        10 => json!({}),
        _ => json!([{ "name": "x", "value": null }, 7]),
    }
}

/// Changes one value somewhere below.
fn mangle(value: &mut Value, random: &mut Random) {
    let is_here = random.below(4) == 0;
    match value {
        Value::Object(members) if !members.is_empty() => {
            let at = random.below(members.len() as u64) as usize;
            let name = members.keys().nth(at).cloned().unwrap_or_default();
            match (is_here, random.below(3)) {
                (true, 0) => drop(members.remove(&name)),
                (true, _) => drop(members.insert(name, odd(random))),
                (false, _) => mangle(members.get_mut(&name).unwrap(), random),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len() as u64) as usize;
            match (is_here, random.below(3)) {
                (true, 0) => drop(items.remove(at)),
                (true, 1) => items[at] = odd(random),
                (true, _) => items.reverse(),
                (false, _) => mangle(&mut items[at], random),
            }
        }
        other => *other = odd(random),
    }
}

fn check(case: &Case) {
    match (case.plan(), case.plan()) {
        (Ok(plan), Ok(again)) => {
            assert_eq!(plan.run_task, again.run_task, "the same facts give the same plan");
            assert_eq!(plan.definition, again.definition);
            let all = json::list(&plan.definition, "containerDefinitions");
            let is_chosen = |it: &&Value| json::text(it, "name") == Some(plan.container.as_str());
            for container in all.iter().filter(|it| it.is_object()) {
                assert_eq!(container["essential"], json!(is_chosen(&container)), "the chosen one alone is essential");
            }
            let chosen = all.iter().find(is_chosen).unwrap();
            assert_eq!(chosen["logConfiguration"]["logDriver"], "awslogs");
            assert_eq!(chosen["logConfiguration"]["options"]["mode"], "blocking");
            assert_eq!(chosen_override(&plan)["name"], plan.container.as_str());
            assert!(overrides(&plan).to_string().chars().count() <= 8192);
            assert_eq!(
                (&plan.run_task["count"], &plan.run_task["startedBy"]),
                (&json!(1), &json!("xtask/db-migrate/k3v9x2m7q1"))
            );
            assert!(
                plan.run_task.get("launchType").is_none() || plan.run_task.get("capacityProviderStrategy").is_none()
            );
            assert_eq!(plan.definition["tags"][0], json!({ "key": "xtask", "value": "1" }));
            assert_eq!(definition_with_image(&plan, "image").1, definition_with_image(&again, "image").1);
        }
        (Err(error), _) => assert!(!error.problems.is_empty() && !error.problems[0].message.is_empty()),
        (Ok(_), Err(_)) => panic!("the same facts give another plan"),
    }
}

#[test]
fn any_base_gives_a_plan_or_a_refusal() {
    let mut planned = 0;
    for seed in 0..rounds(1_500) {
        let mut random = Random::new(seed);
        let mut case = Case::new(BASES[random.below(BASES.len() as u64) as usize]);
        if random.below(2) == 0 {
            case = case.logs().container("web");
        }
        for _ in 0..=random.below(2) {
            match &mut case.facts.service {
                Some(service) if random.below(3) == 0 => mangle(service, &mut random),
                _ => mangle(&mut case.facts.base, &mut random),
            }
        }
        let checked = catch_unwind(AssertUnwindSafe(|| check(&case)));
        let (base, service) = (&case.facts.base, &case.facts.service);
        assert!(checked.is_ok(), "seed {seed}, see above, with {base:#}\n{service:#?}");
        planned += u64::from(case.plan().is_ok());
    }
    assert!(planned >= rounds(1_500) / 4, "only {planned} plans: this proves little");
}
