//! Each shape with what it takes, what it refuses, and what it says instead.

use std::time::Duration;

use super::*;

/// The value, or message and hint joined by a bar.
fn shown<T: fmt::Debug>(result: Read<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(wrong) => format!("{} | {}", wrong.message, wrong.hint.unwrap_or_default()),
    }
}

fn assert_shape<T: fmt::Debug>(shape: impl Fn(&str) -> Read<T>, fine: &[&str], wrong: &[(&str, &str)]) {
    for text in fine {
        assert!(shape(text).is_ok(), "{text}: {}", shown(shape(text)));
    }
    for (text, expected) in wrong {
        let found = shown(shape(text));
        assert!(found.contains(" | ") && found.contains(expected), "{text}: {found}");
        assert!(found.split(" | ").nth(1).is_some_and(|it| !it.is_empty()), "{text} has a hint: {found}");
    }
}

#[test]
fn durations() {
    for (text, milliseconds) in [
        ("30s", 30_000),
        ("15m", 900_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("500ms", 500),
        ("90m", 5_400_000),
        ("366d", 366 * 86_400_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for (text, expected) in [
        ("30", "the duration `30` has no unit | write `30s` or `30m`"),
        ("", "`` is not a duration | "),
        ("s", "`s` is not a duration | "),
        ("1.5h", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("1m1m", "is not a duration"),
        ("1h 30m", "is not a duration"),
        ("-5m", "is not a duration"),
        ("5min", "is not a duration"),
        ("1h30", "is not a duration"),
        ("é5m", "is not a duration"),
        ("5µs", "is not a duration"),
        ("99999999999999999999s", "is not a duration"),
        ("0s", "is no time at all | leave it out"),
        ("367d", "is too long | write at most `366d`"),
        ("18446744073709551615ms", "is too long"),
    ] {
        assert!(shown(duration(text)).contains(expected), "{text}: {}", shown(duration(text)));
    }
}

#[test]
fn sizes() {
    for (text, expected) in
        [("1024", 1024), ("1 vCPU", 1024), (".5 vCPU", 512), ("0.25vCPU", 256), ("16 VCPU", 16384), ("0.125 vCPU", 128)]
    {
        assert_eq!(cpu(text), Ok(expected), "{text}");
    }
    for (text, expected) in
        [("4096", 4096), ("2 GB", 2048), ("0.5 GB", 512), ("512 MB", 512), ("1GiB", 1024), ("30gb", 30720)]
    {
        assert_eq!(memory(text), Ok(expected), "{text}");
    }
    assert_shape(
        cpu,
        &[],
        &[
            ("", "not a number of CPUs"),
            ("half", "not a number of CPUs"),
            ("1 GB", "not a number of CPUs"),
            ("1.2.3 vCPU", "not a number"),
            (".3 vCPU", "not a number"),
            ("-1", "not a number"),
            ("4", "`cpu` cannot be 4 | it is 128 to 196608"),
            ("500 vCPU", "cannot be 512000"),
        ],
    );
    assert_shape(
        memory,
        &[],
        &[
            ("2 TB", "not an amount"),
            ("0.3 MB", "not an amount"),
            ("1", "`memory` cannot be 1"),
            ("99999999999", "not an amount"),
        ],
    );
}

#[test]
fn names() {
    assert_shape(
        |it| name("task", it),
        &["a", "db-migrate", "2fa", "a--b", "a-"],
        &[
            (
                "db:migrate",
                "`db:migrate` is not a name for a task | use lowercase letters, digits and `-`: `db-migrate`",
            ),
            ("DB_Migrate", ": `db-migrate`"),
            ("-a", ": `a`"),
            ("", "digits and `-`"),
            ("ü", "digits and `-`"),
            (&"a".repeat(65), "too long"),
        ],
    );
    assert!(shown(name("environment", "A")).contains("a name for an environment"));
}

#[test]
fn accounts_and_regions() {
    assert_shape(
        account,
        &["111122223333", "000000000000"],
        &[
            ("1111-2222-3333", "write `111122223333`"),
            ("11112222333", "12 digits"),
            ("acme", "12 digits"),
            ("", "12 digits"),
        ],
    );
    assert_shape(
        region,
        &["eu-west-1", "us-gov-west-1", "ap-southeast-5", "cn-north-1", "us-iso-east-1", "eusc-de-east-1"],
        &[
            ("eu-west-1a", "write `eu-west-1`"),
            ("EU-West-1", "write `eu-west-1`"),
            ("eu_west_1", "write `eu-west-1`"),
            ("ireland", "one like `eu-west-1`"),
            ("eu-west", "one like"),
            ("eu-1", "one like"),
            ("", "one like"),
            ("eu--1", "one like"),
        ],
    );
}

#[test]
fn hosts_and_urls() {
    assert_shape(
        url,
        &["http://127.0.0.1:4566", "https://ecs.example.com/", "http://[::1]:4566"],
        &[
            ("127.0.0.1:4566", "write `http://127.0.0.1:4566`"),
            ("ftp://x", "not an http(s) URL"),
            ("http://", "has no host"),
            ("http://:80", "has no host"),
            ("http://a b", "has no host"),
            ("", "not an http(s) URL"),
        ],
    );
    let fine = [
        "999988887777.dkr.ecr.eu-west-1.amazonaws.com",
        "127.0.0.1:4566",
        "localhost:5000",
        "[::1]:5000",
        "[::1]",
        "registry",
    ];
    assert_shape(
        registry,
        &fine,
        &[
            ("https://registry.example.com/acme", "write the host alone: `registry.example.com`"),
            ("registry.example.com/", "write the host alone: `registry.example.com`"),
            (
                "registry.example.com/acme/app",
                "`registry = \"registry.example.com\"`, and `acme/app` into `repository`",
            ),
            ("localhost:port", "and a port"),
            ("localhost:0", "and a port"),
            ("localhost:70000", "and a port"),
            ("a b", "write a host"),
            ("", "write a host"),
            ("::1", "write a host"),
        ],
    );
    assert_shape(
        repository,
        &["app", "acme/app", "a-b/c_d.e", "a1"],
        &[
            ("Acme/App", "write `acme/app`"),
            ("acme/app:latest", "write `acme/app`"),
            (
                "1.dkr.ecr.eu-west-1.amazonaws.com/app",
                "`repository = \"app\"`, and `1.dkr.ecr.eu-west-1.amazonaws.com` into",
            ),
            ("/app", "use lowercase"),
            ("acme//app", "use lowercase"),
            ("a--b", "use lowercase"),
            ("app-", "use lowercase"),
            ("a", "use lowercase"),
            ("", "use lowercase"),
        ],
    );
}

#[test]
fn words_of_ecs() {
    assert_shape(
        word,
        &["web", "arn:aws:ecs:eu-west-1:1:cluster/a", "app:12", "role/path+x@y"],
        &[("a b", "full ARN"), ("", "value")],
    );
    assert_shape(
        container,
        &["web", "log_router-1"],
        &[("a.b", "task definition"), ("", "value"), (&"a".repeat(256), "name")],
    );
    assert_shape(
        |it| with_prefix("subnet", "subnet-", it),
        &["subnet-0a"],
        &[
            ("subnet", "write the id: `subnet-…`"),
            ("subnet-", "write the id"),
            ("sg-1", "`sg-1` is not the id of a subnet"),
        ],
    );
    assert_shape(
        platform,
        &["linux/amd64", "linux/arm64"],
        &[
            ("arm64", "write `linux/arm64`"),
            ("X86_64", "write `linux/amd64`"),
            ("linux/arm64/v8", "write `linux/arm64`"),
            ("linux/aarch64", "write `linux/arm64`"),
            ("windows/amd64", "`linux/amd64` or `linux/arm64`"),
            ("", "`linux/amd64` or"),
        ],
    );
    assert_shape(
        platform_version,
        &["LATEST", "1.4.0"],
        &[("latest", "`LATEST`"), ("1.4", "`1.4.0`"), ("", "`LATEST`")],
    );
    assert_shape(
        launch_type,
        &["FARGATE", "EC2", "EXTERNAL"],
        &[
            ("fargate", "write `FARGATE`"),
            ("FARGATE_SPOT", "capacity-providers = { FARGATE_SPOT = 1 }"),
            ("LAMBDA", "`FARGATE`, `EC2` or `EXTERNAL`"),
        ],
    );
    assert_shape(
        capacity_provider,
        &["FARGATE", "FARGATE_SPOT", "my-asg_1"],
        &[
            ("fargate", "write `FARGATE`"),
            ("Fargate-Spot", "write `FARGATE_SPOT`"),
            ("a b", "use letters"),
            ("", "use letters"),
        ],
    );
    assert_shape(log_group, &["/ecs/one-off", "a.b#c"], &[("a b", "/ecs/one-off"), ("", "value")]);
}

#[test]
fn variables_secrets_and_tags() {
    assert_shape(
        variable,
        &["A", "_a1", "spring.datasource.url", "A-B", "XTASKS"],
        &[
            ("1A", "not a digit first"),
            ("A=B", "name of a variable"),
            ("A B", "name of a variable"),
            ("", "name of a variable"),
            ("XTASK_SHARD", "is reserved"),
            ("xtask_run_id", "is reserved"),
        ],
    );
    assert_shape(variable_value, &["", "a\nb"], &[("a\0b", "NUL")]);
    let fine = [
        "/app/token",
        "token",
        "secretsmanager:app/key",
        "secretsmanager:app/key:username::",
        "arn:aws:ssm:eu-west-1:1:parameter/app/token",
        "arn:aws-cn:secretsmanager:cn-north-1:1:secret:app-AbCdEf:user::",
    ];
    assert_shape(
        secret,
        &fine,
        &[
            ("ssm:/app/token", "a bare name is SSM's: `/app/token`"),
            ("arn:aws:s3:::bucket", "an ARN here"),
            ("arn:aws:ssm:eu-west-1", "an ARN here"),
            ("vault:app", "secretsmanager:NAME"),
            ("secretsmanager:", "secretsmanager:NAME"),
            ("my secret", "SSM parameter"),
            ("", "SSM parameter"),
        ],
    );
    assert_shape(
        tag_key,
        &["team", "cost center", "xtasks", "größe", &"k".repeat(128)],
        &[
            ("aws:x", "AWS's own"),
            ("AWS:x", "AWS's own"),
            ("xtask", "this tool's own"),
            ("xtask:run", "this tool's own"),
            ("a;b", "cannot hold `;`"),
            ("", "1 to 128"),
            (&"k".repeat(129), "1 to 128"),
        ],
    );
    assert_shape(
        tag_value,
        &["", "platform", &"ü".repeat(256)],
        &[(&"v".repeat(257), "256"), ("a\nb", "cannot hold `\\n`")],
    );
}

#[test]
fn references_to_images() {
    let digest = format!("app@sha256:{}", "0a".repeat(32));
    let tagged_digest = format!("127.0.0.1:5000/app:1@sha256:{}", "0a".repeat(32));
    let fine =
        ["alpine:3", "acme/app", "registry.example.com/acme/app:1.2_x-y", "localhost/app", &digest, &tagged_digest];
    assert_shape(
        image_reference,
        &fine,
        &[
            ("https://registry.example.com/app", "without the scheme: `registry.example.com/app`"),
            ("Acme/App:1", "in lowercase"),
            ("app:", "after `:` comes a tag"),
            ("app:-1", "after `:` comes a tag"),
            ("app@sha256:abc", "64 hexadecimal"),
            ("app@1.2", "64 hexadecimal"),
            ("127.0.0.1:x/app", "and a port"),
            ("acme//app", "write one like"),
            ("my app:1", "write one like"),
        ],
    );
    for (text, expected) in [("app", false), ("app:1", true), ("a/b", true), ("a@b", true), ("a.b", true)] {
        assert_eq!(looks_like_reference(text), expected, "{text}");
    }
}

#[test]
fn options_of_docker() {
    assert_shape(
        build_option,
        &["--ssh", "default", "--no-cache", "--pull", "--cache-from=x", "--targets", "tag"],
        &[
            ("--platform", "`--platform` of `docker build` is set by this tool | use `platform` of the task"),
            ("--platform=linux/arm64", "`--platform` of"),
            ("-t", "hash of the build's inputs"),
            ("--tag", "hash of the build's inputs"),
            ("-tapp", "hash of the build's inputs"),
            ("--push", "leave it out"),
            ("--output=type=local", "leave it out"),
            ("-o", "leave it out"),
            ("--iidfile", "digest itself"),
            ("--metadata-file", "digest itself"),
            ("--file", "use `dockerfile`"),
            ("-fDockerfile.dev", "use `dockerfile`"),
            ("--target", "use `target`"),
            ("--build-arg", "use `build-args`"),
            ("--secret", "use `build-secrets`"),
        ],
    );
    assert_shape(
        run_option,
        &["--volume", "a:/b", "-v", "--network=host", "--env-file", "-p", "--init", "--add-host"],
        &[
            ("--name", "leave it out"),
            ("--rm", "leave it out"),
            ("-d", "followed to its end"),
            ("-it", "interactive = true"),
            ("--entrypoint=sh", "use `entrypoint`"),
            ("-m", "--memory of `run`"),
            ("--cpus=2", "--cpu of `run`"),
            ("--platform", "use `platform`"),
        ],
    );
    assert_shape(
        build_secret,
        &["id=npmrc,src=.npmrc", "type=env,id=TOKEN"],
        &[(".npmrc", "write `id=npmrc"), ("id=", "write")],
    );
    assert_shape(
        path,
        &[".", "docker/Dockerfile"],
        &[("https://x/y.git", "relative to tasks.toml"), ("-", "relative"), ("", "value")],
    );
    assert_shape(line, &["one line"], &[("two\nlines", "one line"), (" ", "value")]);
}
