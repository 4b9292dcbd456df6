//! The table of tests/mutants, which breaks each guard on purpose: that it still fits the sources and the tests that it names. What it
//! proves takes minutes, and `tests/mutants/run.py` proves it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::de::DeTable;

use crate::faults;

fn text<'a>(row: &'a DeTable<'_>, key: &str) -> Option<&'a str> {
    row.get(key).and_then(|it| it.get_ref().as_str())
}

#[test]
fn every_guard_stands_where_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|it| panic!("{path}: {it}"));
    let table = read("tests/mutants/table.toml");
    let table = DeTable::parse(&table).unwrap();
    let rows = table.get_ref()["mutant"].get_ref().as_array().unwrap();
    let rows: Vec<&DeTable<'_>> = rows.iter().filter_map(|it| it.get_ref().as_table()).collect();
    assert!(rows.len() >= 60, "{} guards", rows.len());
    let page = read("../docs/mutants.md");
    let of_matrix: BTreeSet<&str> = faults::names();
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for row in rows {
        let get = |key: &str| text(row, key).unwrap_or_else(|| panic!("a row without `{key}`: {row:?}"));
        let (name, file, guard, was) = (get("name"), get("file"), get("guard"), get("text"));
        let mut check = |holds: bool, what: String| {
            if !holds {
                problems.push(format!("{name}: {what}"));
            }
        };
        check(names.insert(name.to_owned()), "the name is taken".to_owned());
        let n = read(&format!("src/{file}")).matches(was).count();
        check(n == 1, format!("`{}` stands {n} times in src/{file}", was.trim()));
        let other = [text(row, "instead"), text(row, "rewrite")];
        check(other.iter().flatten().count() == 1, "one of `instead` and `rewrite`".to_owned());
        check(text(row, "rewrite").is_none_or(|it| it.contains("MUTANT")), "nothing turns it on".to_owned());
        let fails = row.get("fails").and_then(|it| it.get_ref().as_array());
        let fails: Vec<&str> = fails.into_iter().flatten().filter_map(|it| it.get_ref().as_str()).collect();
        check(fails.is_empty() == row.contains_key("survives"), "one of `fails` and `survives`".to_owned());
        for test in fails {
            let known = match test.split_once(": ") {
                // `module::test`, in a file of that name or of the module's folder.
                Some(("lib" | "it", path)) => {
                    let parts: Vec<&str> = path.split("::").collect();
                    let of_it = test.starts_with("it: ");
                    let module = parts[..parts.len() - 1].iter().filter(|it| of_it || **it != "tests");
                    let module = module.copied().collect::<Vec<_>>().join("/");
                    let base = if of_it { "tests/it" } else { "src" };
                    let files = [
                        format!("{base}/{module}.rs"),
                        format!("{base}/{module}/mod.rs"),
                        format!("{base}/{module}/tests.rs"),
                    ];
                    let function = format!("fn {}()", parts[parts.len() - 1]);
                    files.iter().any(|it| fs::read_to_string(root.join(it)).is_ok_and(|it| it.contains(&function)))
                }
                _ => of_matrix.contains(test),
            };
            check(known, format!("there is no test `{test}`"));
        }
        let line = format!("| {guard} | `{file}` |");
        check(
            page.contains(&line),
            "docs/mutants.md does not have it: `python3 xtask/tests/mutants/run.py` writes it".to_owned(),
        );
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
