//! What is wrong with a tasks.toml: one mistake at a time, ten at once, and the same ten with their lines in another order.

use super::*;

#[test]
fn toml_itself() {
    for (marked, message, hint) in [
        ("[tasks.t]\nimage = «app»", "`app` is not quoted", "write `\"app\"`"),
        ("[tasks.t]\ncpu = «1 vCPU»", "`1 vCPU` is not quoted", "write `\"1 vCPU\"`"),
        ("[tasks.t]\nspot = «True»", "unknown value `True`", "write `true`"),
        ("[tasks.t]\nimage = «\"app»\ncpu = 1024", "the string is never closed", "end it with `\"`"),
        ("[tasks.t]\nimage = «'app»\ncpu = 1024", "the string is never closed", "end it with `'`"),
        (
            "[tasks.t]\ndescription = «\"\"\"»app\n[tasks.u]\ncpu = 1024",
            "the string is never closed",
            "end it with `\"\"\"`",
        ),
        ("[tasks.t]\ncommand = «[»'a', 'b'\ncpu = 1024\n[tasks.u]", "the list is never closed", "end it with `]`"),
        ("[tasks.t]\ncommand = «[»\n  'a',\n  'b',\n[tasks.u]", "the list is never closed", "end it with `]`"),
        ("[tasks.t]\nvariables = «{» A = 'a'\ncpu = 1024\n[tasks.u]", "the table is never closed", "end it with `}`"),
        ("[tasks.t]\ncommand = ['a' «'b'»]\ncpu = 1024", "a comma is missing before `'b'`", "put a `,` between them"),
        (
            "[tasks.t]\ncommand = [\n  'a'\n  «'b'»\n]\ncpu = 1024",
            "a comma is missing before `'b'`",
            "put a `,` between them",
        ),
        ("[tasks.t]\ncommand = ['a',«,» 'b']\ncpu = 1024", "one comma too many", "take it out"),
        ("[tasks.t]\nvariables = { A = 'a' «B» = 'b' }", "a comma is missing before `B`", "put a `,` between them"),
        ("[tasks.t]\n«command»\ncpu = 1024", "`command` has no value", "write `command = …`"),
        ("[tasks.t]\n  «command» =\ncpu = 1024", "`command` has no value", "write `command = …`"),
        ("[tasks.t]\ncpu «:» 1024", "`cpu` is followed by `:`", "write `cpu = …`"),
        (
            "[tasks.t]\nimage = 'app' «x»\ncpu = 1024",
            "unexpected `x` after the value",
            "begin a new line for it, or take it out",
        ),
        (
            r#"[tasks.t]
command = ["a«\q»"]"#,
            "a backslash begins an unknown escape",
            "write `\\\\` for a backslash, or put the string into single quotes",
        ),
        (
            "«[tasks.t»\nimage = 'app'\n[tasks.u]\ncpu = 1024",
            "the header of the table is never closed",
            "write `[tasks.t]`",
        ),
        ("[tasks.t]\nimage = 'app'\n«image» = 'app'", "`image` is set twice", "keep one of them"),
        ("[tasks.t]\nvariables = { A = 'a', «A» = 'b' }", "`A` is set twice", "keep one of them"),
        (
            "[tasks.t]\nimage = 'app'\n[tasks.«t»]\nimage = 'app'\ncpu = 1024",
            "`t` is defined twice",
            "put everything into one of them",
        ),
        (
            "[tasks.t]\nimage = 'app'\n[tasks.t.«image»]\na = 1",
            "`image` is defined twice",
            "put everything into one of them",
        ),
        (
            "[tasks.t]\nimage = 'app'\n«image».x = 1",
            "`image` has a value already and cannot be a table too",
            "keep one of them",
        ),
        ("«[[tasks.t]]»\nimage = 'app'", "`t` takes a table, not a list", "write `[tasks.t]`"),
    ] {
        assert_one(marked, message, hint);
    }
    // Nothing of it may keep the reader busy for ever, or panic.
    for text in [
        "=",
        "= 3",
        "] x",
        "[]",
        "[a.]\nb. = 3",
        "\0",
        "'",
        "\"\"\"",
        "[[",
        "[tasks",
        "a = [",
        "a = {",
        "[tasks.x]\ny = \"\\",
        "\u{feff}",
        "é = ü",
        "a.b.",
        "[é",
        "a = '''ü",
    ] {
        assert_eq!(parse(&source(text)).is_ok(), text == "\u{feff}", "{text}");
        for line in ["a = [\n", "[x\n", "'\n"] {
            assert!(parse(&source(&format!("{}{text}", line.repeat(50)))).is_err());
        }
    }
}

#[test]
fn keys_and_types() {
    for (marked, message, hint) in [
        (
            "[environments.e]\n«clutser» = 'c'\nservice = 's'",
            "unknown key `clutser` in `environments.e`",
            "did you mean `cluster`?",
        ),
        (
            "[environments.e]\ncluster = 'c'\n«servce» = 's'",
            "unknown key `servce` in `environments.e`",
            "did you mean `service`?",
        ),
        ("[tasks.t]\n«env» = { A = 'a' }", "unknown key `env` in `tasks.t`", "did you mean `variables`?"),
        ("[tasks.t]\n«depends-on» = ['migrate']", "unknown key `depends-on` in `tasks.t`", "did you mean `needs`?"),
        (
            "[tasks.t.on.local]\n«comand» = ['a']",
            "unknown key `comand` in `tasks.t.on.local`",
            "did you mean `command`?",
        ),
        (
            "[tasks.t]\non.local.«comand» = ['a']",
            "unknown key `comand` in `tasks.t.on.local`",
            "did you mean `command`?",
        ),
        ("[images.i]\n«args» = { A = 'a' }", "unknown key `args` in `images.i`", "did you mean `build-args`?"),
        ("[images.i]\n«dokerfile» = 'a'", "unknown key `dokerfile` in `images.i`", "did you mean `dockerfile`?"),
        (
            "[images.i]\n«colour» = 'a'",
            "unknown key `colour` in `images.i`",
            "keys here: context, dockerfile, target, build-secrets, build-options, prepare, repository, registry, registry-profile, create-repository, build-args",
        ),
        ("[«task».t]\ncommand = ['a']", "unknown key `task` at the top of the file", "did you mean `tasks`?"),
        (
            "[«db-migrate»]\ncommand = ['a']",
            "unknown key `db-migrate` at the top of the file",
            "a task stands in `[tasks.db-migrate]`, an environment in `[environments.db-migrate]`",
        ),
        (
            "[tasks.t.logs]\ngroup = 'g'\n«prefx» = 'p'",
            "unknown key `prefx` in `tasks.t.logs`",
            "did you mean `prefix`?",
        ),
        (
            "[tasks.t]\ncommand = «'bin/rails db:migrate'»",
            "`command` takes a list: the program and its arguments, not a string",
            "write `command = [\"bin/rails\", \"db:migrate\"]`",
        ),
        (
            "[tasks.t]\ncommand = «'''sh -c \"a b\" 'c d' '''»",
            "`command` takes a list: the program and its arguments, not a string",
            "write `command = [\"sh\", \"-c\", \"a b\", \"c d\"]`",
        ),
        (
            "[tasks.t]\ncommand = «'a && b \"c\"'»",
            "`command` takes a list: the program and its arguments, not a string",
            "write `command = [\"sh\", \"-c\", \"a && b \\\"c\\\"\"]`",
        ),
        ("[tasks.t]\ncommand = «[]»", "`command` has no program", "leave it out, or begin the list with the program"),
        (
            "[tasks.t]\ncommand = [«''», 'a']",
            "`command` has no program",
            "leave it out, or begin the list with the program",
        ),
        (
            "[tasks.t]\ncommand = ['sleep', «5»]",
            "`command` takes a list: the program and its arguments; this element is a number",
            "quote it: `\"5\"`",
        ),
        (
            "[tasks.t]\nneeds = «'migrate'»",
            "`needs` takes a list of strings, not a string",
            "write `needs = [\"migrate\"]`",
        ),
        ("[tasks.t]\nimage = «['app']»", "`image` takes a string, not a list", "write `image = \"app\"`"),
        (
            "[tasks.t]\ntimeout = «15»",
            "`timeout` takes a duration (`\"15m\"`), not a number",
            "write `timeout = \"15s\"`",
        ),
        ("[tasks.t]\ntimeout = «'15'»", "the duration `15` has no unit", "write `15s` or `15m`"),
        ("[tasks.t]\ntimeout = «''»", "`` is not a duration", "write a number and a unit: `30s`, `15m`, `1h30m`"),
        (
            "[tasks.t]\ncpu = «0.5»",
            "`cpu` takes a number or a string (`1024`, `\"1 vCPU\"`), not a number with a fraction",
            "write `cpu = \"0.5 vCPU\"`",
        ),
        ("[tasks.t]\ncpu = «-1»", "`cpu` cannot be -1", "it is 128 to 196608"),
        (
            "[tasks.t]\ncpu = «'1 GB'»",
            "`1 GB` is not a number of CPUs",
            "write `1 vCPU`, `.5 vCPU`, or units of 1/1024 vCPU: `1024`",
        ),
        ("[tasks.t]\nmemory = «0xffffffffffff»", "`memory` cannot be 0xffffffffffff", "it is 6 to 33554432"),
        ("[tasks.t]\nephemeral-storage = «20»", "`ephemeral-storage` cannot be 20", "it is 21 to 200"),
        ("[tasks.t]\nephemeral-storage = «201»", "`ephemeral-storage` cannot be 201", "it is 21 to 200"),
        (
            "[tasks.t]\nephemeral-storage = «'50'»",
            "`ephemeral-storage` takes a number, not a string",
            "write `ephemeral-storage = 50`",
        ),
        ("[tasks.t]\nspot = «'yes'»", "`spot` takes `true` or `false`, not a string", "write `spot = true`"),
        ("[tasks.t]\nspot = «1»", "`spot` takes `true` or `false`, not a number", "write `true` or `false`"),
        (
            "[defaults]\naccount = «111122223333»",
            "`account` takes a string, not a number",
            "write `account = \"111122223333\"`",
        ),
        (
            "[defaults]\naccount = «011122223333»",
            "`account` takes a string, not a number",
            "write `account = \"011122223333\"`",
        ),
        ("[tasks.t]\nvariables = { A = «500» }", "`A` takes a string, not a number", "write `A = \"500\"`"),
        (
            "[tasks.t]\nvariables = { 'a.b' = «true» }",
            "`a.b` takes a string, not a boolean",
            "write `\"a.b\" = \"true\"`",
        ),
        ("[tasks.t]\nvariables = «['A=b']»", "`variables` takes a table of names and strings, not a list", ""),
        (
            "[tasks.t]\nvariables = { «XTASK_SHARD» = '1' }",
            "the variable `XTASK_SHARD` is reserved",
            "names that begin with XTASK_ are set by this tool: use another",
        ),
        (
            "[tasks.t]\nvariables = { «'A B'» = '1' }",
            "`A B` is not the name of a variable",
            "use letters, digits and `_`, not a digit first",
        ),
        ("[tasks.t]\ntags = { «'aws:x'» = '1' }", "the tag `aws:x` is reserved", "it is AWS's own: use another key"),
        ("[tasks.t]\nsecrets = { A = «'ssm:/a'» }", "`ssm:/a` does not name a secret", "a bare name is SSM's: `/a`"),
        (
            "[tasks.t]\nlogs = «'/ecs/x'»",
            "`logs` takes a table (`{ group = \"/ecs/one-off\" }`), not a string",
            "write `logs = { group = \"/ecs/x\" }`",
        ),
        (
            "[tasks.t]\nlogs = «{ prefix = 'x' }»",
            "`logs` has no `group`",
            "`logs` takes a table (`{ group = \"/ecs/one-off\" }`)",
        ),
        (
            "[tasks.t]\nretry = «{ on = 'any' }»",
            "`retry` has no `attempts`",
            "`retry` takes a table (`{ on = \"spot\", attempts = 2 }`)",
        ),
        (
            "[tasks.t]\nretry = { on = «'sport'», attempts = 2 }",
            "unknown value of `on` `sport`",
            "did you mean `spot`?",
        ),
        ("[tasks.t]\nretry = { on = 'any', attempts = «0» }", "`attempts` cannot be 0", "it is 1 to 10"),
        (
            "[tasks.t]\nsidecars = «'envoy'»",
            "unknown value of `sidecars`: `envoy`",
            "write `\"all\"`, `\"none\"`, or a list of containers to keep: `[\"envoy\"]`",
        ),
        ("[tasks.t]\nsidecars = ['a', «'a'»]", "`a` stands twice in `sidecars`", "keep one of them"),
        (
            "[tasks.t]\ncapacity-providers = «['FARGATE']»",
            "`capacity-providers` takes a table of weights (`{ FARGATE = 1 }`), not a list",
            "write `capacity-providers = { FARGATE = 1 }`",
        ),
        ("[tasks.t]\ncapacity-providers = { «fargate» = 1 }", "unknown capacity provider `fargate`", "write `FARGATE`"),
        ("[tasks.t]\ncapacity-providers = { a = «1001» }", "`a` cannot be 1001", "it is 0 to 1000"),
        (
            "[tasks.t]\ncapacity-providers = «{ a = 0 }»",
            "no capacity provider has a weight",
            "give one a weight above 0: `{ FARGATE = 1 }`",
        ),
        ("[tasks.t]\nrunner = «'esc'»", "unknown runner `esc`", "did you mean `ecs`?"),
        ("[tasks.t]\nrunner = «'lambda'»", "unknown runner `lambda`", "write one of ecs, docker, host"),
        ("[tasks.t]\non-interrupt = «'kill'»", "unknown value of `on-interrupt` `kill`", "write one of stop, detach"),
        ("[tasks.t]\nsubnets = [«'web'»]", "`web` is not the id of a subnet", "write the id: `subnet-…`"),
        ("[tasks.t]\nsubnets = «[]»", "`subnets` is empty", "leave it out, or name at least one"),
        (
            "[tasks.t]\nsecurity-groups = «['sg-1', 'sg-2', 'sg-3', 'sg-4', 'sg-5', 'sg-6']»",
            "6 security-groups are too many",
            "ECS takes at most 5",
        ),
        (
            "[tasks.t]\ndocker-args = [«'data:/data'»]",
            "`data:/data` is not an option",
            "begin with an option: one that starts with `-`",
        ),
        (
            "[tasks.t]\ndocker-args = ['-v', 'a:/b', «'--rm'»]",
            "`--rm` of `docker run` is set by this tool",
            "leave it out: the container is named and removed by this tool",
        ),
        (
            "[images.i]\nbuild-options = ['--ssh', 'default', «'--target=x'»]",
            "`--target` of `docker build` is set by this tool",
            "use `target`",
        ),
        (
            "[images.i]\nregistry = «'https://r.example.com'»",
            "`https://r.example.com` is not the host of a registry",
            "write the host alone: `r.example.com`",
        ),
        ("[images.i]\nrepository = «'Acme'»", "`Acme` is not the name of a repository", "write `acme`"),
        (
            "[images.i]\nbuild-args = { «'a-b'» = 'x' }",
            "`a-b` is not the name of a build argument",
            "use letters, digits and `_`",
        ),
        (
            "[images.«deployed»]\nrepository = 'app'",
            "an image cannot have the name `deployed`",
            "`image = \"deployed\"` means what the service runs now: use another name",
        ),
        (
            "[tasks.t]\ndescription = «\"a\\nb\"»",
            "the text is longer than one line",
            "keep it to the one line that `list` shows",
        ),
        ("[tasks.t]\ncluster = «''»", "the value is empty", "leave the key out, or give it a value"),
        ("[tasks.t]\non = «'local'»", "`on` takes a table of tables, not a string", ""),
    ] {
        assert_one(marked, message, hint);
    }
    assert_alone("environments.e = «'x'»", "`e` takes a table, not a string", "");
    assert_alone(
        "default-environment = «3»",
        "`default-environment` takes a string, not a number",
        "write `default-environment = \"3\"`",
    );
}

#[test]
fn names_that_must_exist() {
    for (marked, message, hint) in [
        (
            "[tasks.«db:migrate»]\ncommand = ['a']",
            "`db:migrate` is not a name for a task",
            "use lowercase letters, digits and `-`: `db-migrate`",
        ),
        (
            "[tasks.«\"db:migrate\"»]\ncommand = ['a']",
            "`db:migrate` is not a name for a task",
            "use lowercase letters, digits and `-`: `db-migrate`",
        ),
        (
            "[environments.«Dev»]\nrunner = 'host'",
            "`Dev` is not a name for an environment",
            "use lowercase letters, digits and `-`: `dev`",
        ),
        (
            "[images.«my_app»]\nrepository = 'app'",
            "`my_app` is not a name for an image",
            "use lowercase letters, digits and `-`: `my-app`",
        ),
        ("[tasks.t]\nimage = «'ap'»", "unknown image `ap`", "did you mean `app`? images: app, deployed"),
        (
            "[tasks.t]\nimage = «'alpine'»",
            "unknown image `alpine`",
            "images: app, deployed; a reference has a `/` or a tag: `alpine:latest`",
        ),
        (
            "[tasks.t]\nimage = «'depolyed'»",
            "unknown image `depolyed`",
            "did you mean `deployed`? images: app, deployed",
        ),
        (
            "[tasks.t]\nimage = «'Acme/App:1'»",
            "`Acme/App:1` is not a reference to an image",
            "write one like `registry.example.com/acme/app:1.2`, in lowercase",
        ),
        ("[defaults]\nimage = «'ap'»", "unknown image `ap`", "did you mean `app`? images: app, deployed"),
        ("[tasks.t]\non.local.image = «'ap'»", "unknown image `ap`", "did you mean `app`? images: app, deployed"),
        (
            "[tasks.t]\nenvironments = ['local', «'stagng'»]",
            "unknown environment `stagng`",
            "did you mean `staging`? environments: local, staging",
        ),
        (
            "[tasks.t]\nenvironments = ['local', «'local'»]",
            "`local` stands twice in `environments`",
            "keep one of them",
        ),
        ("[tasks.t]\nenvironments = «[]»", "`environments` is empty", "leave it out, or name at least one"),
        (
            "[tasks.t.on.«stagng»]\ncpu = 1024",
            "unknown environment `stagng`",
            "did you mean `staging`? environments: local, staging",
        ),
        (
            "[tasks.t]\non.«stagng».cpu = 1024",
            "unknown environment `stagng`",
            "did you mean `staging`? environments: local, staging",
        ),
        (
            "[tasks.t]\nenvironments = ['local']\non.«staging».cpu = 1024",
            "`t` never runs in `staging`, so this says nothing",
            "add `staging` to its `environments`, or take the block out",
        ),
        (
            "[tasks.t]\nneeds = ['migrate', «'migrat'»]",
            "unknown task `migrat`",
            "did you mean `migrate`? tasks: migrate, t",
        ),
        ("[tasks.t]\nneeds = [«'t'»]", "`needs` goes round in a circle: t → t", "take one of them out"),
        (
            "[tasks.a]\nneeds = ['migrate', «'b'»]\n[tasks.b]\nneeds = ['c']\n[tasks.c]\nneeds = ['a']",
            "`needs` goes round in a circle: a → b → c → a",
            "take one of them out",
        ),
        (
            "[tasks.a]\non.staging.needs = [«'b'»]\n[tasks.b]\nneeds = ['a']",
            "`needs` goes round in a circle: a → b → a",
            "take one of them out",
        ),
        (
            "[tasks.a]\nneeds = [«'b'»]\n[tasks.b]\nenvironments = ['local']",
            "`a` needs `b`, which may not run in `staging`",
            "add `staging` to the `environments` of `b`, or need it in an `on` block",
        ),
    ] {
        assert_one(marked, message, hint);
    }
    assert_alone(
        "default-environment = «'locl'»\n[environments.local]\nrunner = 'host'",
        "unknown environment `locl`",
        "did you mean `local`?",
    );
    assert_alone("default-environment = «'local'»", "unknown environment `local`", "add `[environments.local]`");
    assert_alone(
        "[tasks.t]\nimage = «'app'»",
        "unknown image `app`",
        "images: deployed; a reference has a `/` or a tag: `app:latest`",
    );
}

#[test]
fn parts_that_do_not_fit_together() {
    let ecs = "[environments.e]\ncluster = 'c'\nservice = 's'\n";
    for (marked, message, hint) in [
        (
            "[environments.e]\ncluster = 'c'\nservice = 's'\nlaunch-type = 'FARGATE'\ncapacity-providers = «{ FARGATE = 1 }»",
            "`launch-type` and `capacity-providers` exclude each other",
            "keep one of them",
        ),
        (
            "[tasks.t]\nvariables = { A = 'a' }\nsecrets = { A = «'/a'» }",
            "`A` is in `variables` and in `secrets`",
            "keep one of them",
        ),
        (
            "[environments.«e»]\nservice = 's'",
            "the environment `e` has no `cluster`",
            "add `cluster = \"…\"`, or `runner = \"host\"` to run on this machine",
        ),
        (
            "[environments.«e»]\ncluster = 'c'",
            "the environment `e` has no `service` and no `task-definition`",
            "add `service = \"…\"`, or `task-definition = \"…\"` to do without a service",
        ),
        (
            "[tasks.t]\non.local.runner = «'ecs'»\ncluster = 'c'",
            "`t` runs on ECS in `local`, which has no `service` and no `task-definition`",
            "add `service = \"…\"`, or `task-definition = \"…\"` to do without a service",
        ),
        (
            "[environments.e]\ncluster = 'c'\nservice = 's'\naccount = '111122223333'\nprotected = «true»",
            "`e` is protected and has no `region`",
            "add `region = \"…\"` to `[environments.e]`",
        ),
        (
            "[environments.e]\ncluster = 'c'\nservice = 's'\nregion = 'eu-west-1'\nprotected = «true»",
            "`e` is protected and has no `account`",
            "add `account = \"…\"` to `[environments.e]`",
        ),
        (
            "[images.«i»]\ntarget = 'x'\n[tasks.t]\nimage = 'i'",
            "the image `i` runs on ECS and has no `repository`",
            "add `repository = \"…\"`: the ECR repository that it is pushed to",
        ),
        (
            "[tasks.t]\nexclusive = true\nshards = «2»",
            "`shards` and `exclusive` exclude each other",
            "keep one of them: shards are many ECS tasks at a time",
        ),
        (
            "[tasks.t]\ncpu = 1024\nmemory = «512»\nlaunch-type = 'FARGATE'",
            "Fargate has no size with cpu 1024 and memory 512",
            "for cpu 1024, memory is 2048 to 8192 in steps of 1024",
        ),
        (
            "[tasks.t]\ncpu = «1000»\nmemory = 512\ncapacity-providers = { FARGATE_SPOT = 1 }",
            "Fargate has no size with cpu 1000",
            "cpu is one of 256, 512, 1024, 2048, 4096, 8192, 16384",
        ),
        (
            "[tasks.t]\nmemory = 512\nlaunch-type = 'FARGATE'\non.local.cpu = «'4 vCPU'»",
            "Fargate has no size with cpu 4096 and memory 512",
            "for cpu 4096, memory is 8192 to 30720 in steps of 1024",
        ),
    ] {
        assert_one(marked, message, hint);
    }
    // The order of environments decides which of the two is told.
    assert_alone(
        "[environments.a]\ncluster = 'c'\nservice = 's'\n[environments.a-b]\ncluster = 'c'\nservice = 's'\n[tasks.b-c]\nenvironments = ['a']\n[tasks.«c»]\nenvironments = ['a-b']",
        "`c` in `a-b` and `b-c` in `a` have the same task definition family `xtask-a-b-c`",
        "give the task another name",
    );
    let many: String = (0..41).map(|it| format!("t{it:02} = {}\n", if it == 40 { "«'x'»" } else { "'x'" })).collect();
    assert_one(&format!("[tasks.t.tags]\n{many}"), "41 tags are too many", "ECS takes 50, of which 40 are yours");

    for fine in [
        // A stronger layer that says one of two exclusive keys unsays the other.
        format!("{ecs}launch-type = 'FARGATE'\n[tasks.t]\ncapacity-providers = {{ mine = 1 }}\ncpu = 300"),
        // Across layers the stronger one says whether it is a secret.
        format!("{ecs}secrets = {{ A = '/a' }}\n[tasks.t]\nvariables = {{ A = 'a' }}"),
        // Not written down as Fargate: the service says what it is.
        format!("{ecs}[tasks.t]\ncpu = 300\nmemory = 77"),
        format!("{ecs}[tasks.t]\ncpu = 300\ncapacity-providers = {{ FARGATE = 1, mine = 1 }}"),
        // Only what comes together is held together.
        "[environments.e]\ncluster = 'c'\nservice = 's'\ncpu = 4096\nlaunch-type = 'FARGATE'\n[tasks.t]\nmemory = 8192\non.e.cpu = 1024".to_owned(),
        // Every task brings what the environment lacks.
        "[environments.e]\n[tasks.t]\ncluster = 'c'\ntask-definition = 'app'".to_owned(),
        "[defaults]\ncluster = 'c'\ntask-definition = 'app'\n[environments.e]\n[tasks.t]".to_owned(),
        // On this machine there is no account to check.
        "[environments.e]\nrunner = 'host'\nprotected = true\n[tasks.t]\ncommand = ['a']".to_owned(),
        "[images.i]\n[environments.e]\nrunner = 'docker'\n[tasks.t]\nimage = 'i'".to_owned(),
        String::new(),
        "[tasks.t]\ncommand = ['a']".to_owned(),
    ] {
        assert_eq!(problems(&fine), [], "{fine}");
    }
}

#[test]
fn a_place_is_named_once_however_many_tasks_meet_there() {
    let text = "
        [environments.a]
        [environments.b]
        cluster = 'c'
        service = 's'
        [defaults]
        launch-type = 'FARGATE'
        cpu = 1000
        [images.i]
        [tasks.t]
        image = 'i'
        [tasks.u]
        image = 'i'
    ";
    let found: Vec<(String, String)> = problems(text).into_iter().map(|it| (it.0, it.1)).collect();
    let expected = [
        ("a", "the environment `a` has no `cluster`"),
        ("a", "the environment `a` has no `service` and no `task-definition`"),
        ("1000", "Fargate has no size with cpu 1000"),
        ("i", "the image `i` runs on ECS and has no `repository`"),
    ];
    assert_eq!(found, expected.map(|it| (it.0.to_owned(), it.1.to_owned())));
}

/// A file with ten mistakes of different kinds: tables, their lines, the offending tokens marked. Beside each its message.
const TEN: &[(&str, &[(&str, &str)])] = &[
    (
        "[environments.local]",
        &[("runner = 'host'", ""), ("«clutser» = 'main'", "unknown key `clutser` in `environments.local`")],
    ),
    (
        "[environments.staging]",
        &[
            ("cluster = 'main'", ""),
            ("service = 'web'", ""),
            ("account = «111122223333»", "`account` takes a string, not a number"),
            ("region = «eu-west-1»", "`eu-west-1` is not quoted"),
        ],
    ),
    (
        "[images.app]",
        &[("context = '.'", ""), ("repository = «'Acme/App'»", "`Acme/App` is not the name of a repository")],
    ),
    (
        "[tasks.migrate]",
        &[
            ("image = «'ap'»", "unknown image `ap`"),
            ("timeout = «'15'»", "the duration `15` has no unit"),
            ("command = ['bin/rails' «'db:migrate'»]", "a comma is missing before `'db:migrate'`"),
        ],
    ),
    (
        "[tasks.backfill]",
        &[
            ("launch-type = 'FARGATE'", ""),
            ("cpu = 1024", ""),
            ("memory = «512»", "Fargate has no size with cpu 1024 and memory 512"),
            ("needs = ['migrate', «'backfill'»]", "`needs` goes round in a circle: backfill → backfill"),
            ("environments = ['staging']", ""),
        ],
    ),
    ("[tasks.«db:seed»]", &[("command = ['bin/seed']", "`db:seed` is not a name for a task")]),
];

/// The file's text, marks included, with tables and lines in the order that `shuffle` makes.
fn ten(mut shuffle: impl FnMut(usize) -> Vec<usize>) -> String {
    let mut text = String::new();
    for table in shuffle(TEN.len()) {
        let (header, lines) = TEN[table];
        text.push_str(&format!("{header}\n"));
        for line in shuffle(lines.len()) {
            text.push_str(&format!("{}\n", lines[line].0));
        }
    }
    text
}

/// Token and message of every mistake.
fn ten_expected() -> Vec<(String, &'static str)> {
    let token = |marked: &str| marked.split(['«', '»']).nth(1).map(str::to_owned);
    let mut expected = Vec::new();
    for (header, lines) in TEN {
        for (line, message) in lines.iter().filter(|it| !it.1.is_empty()) {
            expected.push((token(line).or(token(header)).expect("each mistake is marked"), *message));
        }
    }
    expected
}

#[test]
fn ten_mistakes_are_ten_messages() {
    let (text, spans) = unmark(&ten(|count| (0..count).collect()));
    let error = parse(&source(&text)).expect_err("ten mistakes");
    assert_eq!(spans.len(), 10);
    let found: Vec<(Option<Span>, &str)> = error.problems.iter().map(|it| (it.span, it.message.as_str())).collect();
    let expected: Vec<(Option<Span>, &str)> =
        spans.iter().map(|it| Some(*it)).zip(ten_expected().into_iter().map(|it| it.1)).collect();
    assert_eq!(found, expected);
    for problem in &error.problems {
        assert!(problem.hint.is_some(), "{}", problem.message);
        assert!(problem.message.starts_with(|it: char| !it.is_uppercase() || problem.message.starts_with("Fargate")));
        assert!(!problem.message.ends_with('.'));
    }
}

#[test]
fn the_place_follows_the_token_when_lines_are_swapped() {
    let mut state: u64 = 1;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut expected = ten_expected();
    expected.sort();
    let mut orders = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let marked = ten(|count| {
            let mut order: Vec<usize> = (0..count).collect();
            for it in (1..count).rev() {
                order.swap(it, random(it + 1));
            }
            order
        });
        let (text, spans) = unmark(&marked);
        let error = parse(&source(&text)).expect_err("ten mistakes");
        let found: Vec<Option<Span>> = error.problems.iter().map(|it| it.span).collect();
        assert_eq!(found, spans.into_iter().map(Some).collect::<Vec<_>>(), "{text}\n{:#?}", error.problems);
        let token = |it: &Problem| it.span.map(|it| text[it.start..it.end].to_owned()).unwrap_or_default();
        let mut found: Vec<(String, &str)> = error.problems.iter().map(|it| (token(it), it.message.as_str())).collect();
        found.sort();
        assert_eq!(found, expected, "{text}");
        orders.insert(text);
    }
    assert!(orders.len() > 150, "the lines are really swapped");
}

#[test]
fn each_of_the_ten_is_found_alone() {
    let expected = ten_expected();
    assert_eq!(expected.len(), 10);
    for (_, message) in &expected {
        // Every other mistake put right.
        let mut text = String::new();
        for (header, lines) in TEN {
            let name_is_wrong = header.contains('«');
            let keep_name = lines.iter().any(|it| it.1 == *message);
            text.push_str(&if name_is_wrong && !keep_name {
                "[tasks.db-seed]".to_owned()
            } else {
                (*header).to_owned()
            });
            text.push('\n');
            for (line, says) in *lines {
                let right = match *says {
                    it if it.is_empty() || it == *message || name_is_wrong => line,
                    it if it.contains("clutser") => "cluster = 'main'",
                    it if it.contains("account") => "account = '111122223333'",
                    it if it.contains("eu-west-1") => "region = 'eu-west-1'",
                    it if it.contains("repository") => "repository = 'acme/app'",
                    it if it.contains("image `ap`") => "image = 'app'",
                    it if it.contains("duration") => "timeout = '15m'",
                    it if it.contains("comma") => "command = ['bin/rails', 'db:migrate']",
                    it if it.contains("Fargate") => "memory = 2048",
                    _ => "needs = ['migrate']",
                };
                text.push_str(&format!("{right}\n"));
            }
        }
        let hint = parse(&source(&unmark(&text).0)).expect_err(message).problems[0].hint.clone();
        assert_alone(&text, message, &hint.unwrap_or_default());
    }
}

#[test]
fn no_damage_to_the_text_makes_it_panic_or_point_outside() {
    let mut state: u64 = 7;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let pieces = ["[", "]", "\"", "'", "\"\"\"", "=", "{", "}", ",", "\n", "\\", ".", "#", "ü", "0", "\r\n", "\u{0}"];
    for _ in 0..400 {
        let mut characters: Vec<char> = EXAMPLE.chars().take(1500).collect();
        for _ in 0..=random(3) {
            let at = random(characters.len());
            match random(3) {
                0 => drop(characters.drain(at..(at + 1 + random(9)).min(characters.len()))),
                _ => drop(characters.splice(at..at, pieces[random(pieces.len())].chars())),
            }
        }
        let text: String = characters.into_iter().collect();
        let Err(error) = parse(&source(&text)) else { continue };
        assert!(!error.problems.is_empty());
        for problem in error.problems {
            let span = problem.span.expect("every problem has a place");
            assert!(text.get(span.start..span.end).is_some(), "{span:?} {text}");
        }
    }
}
