//! The schemas and the timeline against tools that others wrote: a validator, two TOML language servers, Mermaid itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::config::schema;

use crate::harness::Folder;
use crate::real;

const EXAMPLE: &str = include_str!("../../src/config/example.toml");

/// Beginnings of tasks.toml that an editor is to mark, and the line, from 1, that the mistake is on.
const BAD: &[(&str, usize)] = &[
    ("[tasks.t]\ncommnd = ['a']\n", 2),
    ("[tasks.t]\ntimeout = '15'\n", 2),
    ("[tasks.t]\ntimeout = 15\n", 2),
    ("[tasks.t]\ncommand = 'bin/rails db:migrate'\n", 2),
    ("[tasks.t]\ncommand = []\n", 2),
    ("[tasks.t]\ncpu = '1 GB'\n", 2),
    ("[tasks.t]\nephemeral-storage = 20\n", 2),
    ("[tasks.t]\nrunner = 'lambda'\n", 2),
    ("[tasks.t]\nsidecars = 'envoy'\n", 2),
    ("[tasks.t]\nvariables = { XTASK_SHARD = '1' }\n", 2),
    ("[tasks.t]\nvariables = { BATCH = 500 }\n", 2),
    ("[tasks.t]\ncapacity-providers = { fargate = 1 }\n", 2),
    ("[tasks.t]\nsubnets = ['web']\n", 2),
    ("[tasks.t]\nlogs = { prefix = 'x' }\n", 2),
    ("[tasks.t]\nretry = { on = 'spot', attempts = 0 }\n", 2),
    ("[environments.e]\naccount = '1111-2222-3333'\n", 2),
    ("[environments.e]\nregion = 'eu-west'\n", 2),
    ("[images.i]\nrepository = 'Acme/App'\n", 2),
    ("[images.i]\nbuild-options = ['--target=x']\n", 2),
    ("[images.i]\nregistry = 'https://r.example.com'\n", 2),
];

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A repository with the schema where its tasks.toml looks for it.
fn repository() -> Folder {
    let folder = Folder::new();
    let path = folder.path().join(schema::PLACE);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, schema::text()).unwrap();
    folder
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A validator of JSON schemas takes both schemas, and agrees with ours about good and bad files.
#[test]
fn a_validator_agrees() {
    let Some(python) = real::python_tool("python") else { return };
    let folder = repository();
    let script = folder.path().join("validate.py");
    fs::write(
        &script,
        "import json, sys, tomllib\n\
         from jsonschema import Draft7Validator\n\
         schema = json.load(open(sys.argv[1]))\n\
         Draft7Validator.check_schema(schema)\n\
         validator = Draft7Validator(schema)\n\
         for name in sys.argv[2:]:\n    \
             text = open(name, 'rb').read().decode()\n    \
             documents = map(json.loads, text.splitlines()) if name.endswith('.jsonl') else [tomllib.loads(text)]\n    \
             print(name, sum(1 for it in documents if not validator.is_valid(it)))\n",
    )
    .unwrap();
    let validate = |schema: &Path, files: &[PathBuf]| -> Vec<u32> {
        let output = Command::new(&python).arg(&script).arg(schema).args(files).output().unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|it| it.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    };
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut files = vec![root().join("tasks.toml"), write("example.toml", EXAMPLE)];
    let n_good = files.len();
    files.extend(BAD.iter().enumerate().map(|(index, (text, _))| write(&format!("bad-{index}.toml"), text)));
    let found = validate(&folder.path().join(schema::PLACE), &files);
    assert_eq!(found[..n_good], [0, 0], "{files:?}");
    let missed: Vec<_> = found[n_good..].iter().zip(BAD).filter(|it| *it.0 == 0).collect();
    assert!(missed.is_empty(), "{missed:?}");

    // What the binary says of a run, and what it does not say.
    let project = crate::local::Folder::new(
        "default-environment = 'l'\n[environments.l]\nrunner = 'host'\n[tasks.t]\ncommand = ['echo', 'a']\n",
    );
    let events = project.run(&["run", "t", "--format", "json"]).out();
    assert!(events.lines().count() >= 4, "{events}");
    let events = write("events.jsonl", &events);
    let other = write("other.jsonl", "{\"event\": \"log\", \"time\": \"x\"}\n{\"event\": \"weather\"}\n");
    assert_eq!(validate(&root().join("docs/events.schema.json"), &[events, other]), [0, 2]);
}

/// Two language servers find the schema by the first line of tasks.toml, and mark what is wrong where it is wrong.
#[test]
fn language_servers_find_it_and_mark_mistakes() {
    let (Some(taplo), Some(tombi)) = (real::python_tool("taplo"), real::python_tool("tombi")) else { return };
    let folder = repository();
    let first = format!("#:schema ./{}\n", schema::PLACE);
    assert!(fs::read_to_string(root().join("tasks.toml")).unwrap().starts_with(&first));
    let lint = |program: &Path, arguments: &[&str], text: &str| {
        fs::write(folder.path().join("tasks.toml"), text).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg("tasks.toml").current_dir(folder.path()).env("HOME", folder.path());
        let output = command.env("NO_COLOR", "1").output().unwrap();
        (output.status.success(), text_of(&output))
    };
    for (program, arguments) in [(&taplo, &["lint"][..]), (&tombi, &["lint", "--offline"][..])] {
        for text in [format!("{first}{EXAMPLE}"), fs::read_to_string(root().join("tasks.toml")).unwrap()] {
            let (good, said) = lint(program, arguments, &text);
            assert!(good, "{program:?}\n{said}");
        }
        for (text, line) in BAD {
            let (good, said) = lint(program, arguments, &format!("{first}{text}"));
            assert!(!good, "{program:?} takes {text}");
            let place = format!("tasks.toml:{}:", line + 1);
            assert!(said.contains(&place), "{program:?} does not mark line {line} of {text}\n{said}");
        }
    }
}

/// The chart of every summary that the tests keep, with times of all sizes in it, is drawn by Mermaid.
#[test]
fn mermaid_draws_the_timeline() {
    let Some(mermaid) = real::python_tool("mermaidx") else { return };
    let folder = Folder::new();
    let draw = |text: &str| {
        let (source, picture) = (folder.path().join("chart.mmd"), folder.path().join("chart.svg"));
        fs::write(&source, text).unwrap();
        let output = Command::new(&mermaid).arg("-i").arg(&source).arg("-o").arg(&picture).output().unwrap();
        let drawn = output.status.success().then(|| fs::read_to_string(&picture).unwrap());
        drawn.ok_or_else(|| text_of(&output))
    };
    let kept =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/github/failed.summary.md"));
    let kept = kept.unwrap();
    let (_, chart) = kept.split_once("```mermaid\n").expect("the summary has a chart");
    let (chart, _) = chart.split_once("```").expect("the chart ends");
    // The kept one has no times.
    let mut begin = 0_i64;
    for spans in
        [[40_000, 8_000, 5_000, 9_500, 30_000, 2_500], [1, 1, 1, 1, 1, 1], [7_000_000, 1, 60_000, 3, 90_000_000, 2]]
    {
        let mut text = String::new();
        let mut spans = spans.into_iter();
        for line in chart.lines() {
            match line.strip_suffix(" [time]") {
                Some(part) => {
                    let span = spans.next().expect("six parts");
                    text.push_str(&format!("{part} {}s :{begin}, {span}ms\n", span / 1000));
                    begin += span;
                }
                None => text.push_str(&format!("{}\n", line.replace("[time]", "1m35s"))),
            }
        }
        let picture = draw(&text).unwrap_or_else(|it| panic!("{it}\n{text}"));
        for word in ["build", "push", "queue", "pull", "run", "stop", "1m35s in total"] {
            assert!(picture.contains(word), "{word} is not in the picture of\n{text}");
        }
    }
    assert!(draw("gantt\n    dateFormat x\n    build : : 0\n bogus").is_err(), "it can say no");
}
