//! The table: every row makes sense, and the documentation has it.

use super::*;

#[test]
fn rows_are_unique_and_name_their_service() {
    let mut seen = BTreeSet::new();
    for call in CALLS {
        assert!(seen.insert((call.service, call.operation)), "{}:{} has two rows", call.service, call.operation);
        for grant in call.grants {
            let service = grant.action.split(':').next().unwrap_or_default();
            assert!(["ecs", "ecr", "logs", "iam", "kms", "ssm", "ssmmessages"].contains(&service), "{}", grant.action);
            assert!(grant.statement.chars().all(|it| it.is_ascii_alphanumeric()), "{}", grant.statement);
        }
        // What nothing depends on, or another verb does, is not in the policy of a run.
        assert!(call.purpose == For::Run || call.grants.is_empty(), "{}", call.operation);
    }
}

#[test]
fn the_documentation_has_a_source_for_every_action() {
    let text = include_str!("../../../docs/policy.md");
    for grant in CALLS.iter().flat_map(|it| it.grants) {
        let row = text.lines().find(|it| it.starts_with('|') && it.contains(&format!("`{}`", grant.action)));
        let row = row.unwrap_or_else(|| panic!("docs/policy.md has no row for {}", grant.action));
        let emulated = row.contains("emulator");
        let documented = row.contains("https://docs.aws.amazon.com/");
        assert!(documented, "{row}");
        if grant.proof == Proof::Emulated {
            assert!(emulated, "{row} does not say that a test with an emulator shows it");
        }
    }
}
