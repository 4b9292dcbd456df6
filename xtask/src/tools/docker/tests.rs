//! What docker is told, and what its answers mean.

use super::*;

fn words(arguments: &[OsString]) -> String {
    arguments.iter().map(|it| it.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_arguments_of_a_build_follow_the_builder() {
    let build = Build {
        file: Some(Path::new("/app/Dockerfile")),
        context: Some(Path::new("/app")),
        tag: "r/x:t",
        platform: Some("linux/arm64"),
        target: Some("runtime"),
        build_args: [("TOKEN", "hidden"), ("HTTP_PROXY", "http://proxy")].into(),
        secrets: vec!["id=a,src=b"],
        options: vec!["--ssh", "default"],
        no_cache: true,
        pull: true,
    };
    let common = "build --tag r/x:t --file /app/Dockerfile --platform linux/arm64 --target runtime \
                  --build-arg HTTP_PROXY=http://proxy --build-arg TOKEN --secret id=a,src=b";
    for (builder, load, variables) in [
        (Builder::Buildx, " --load", "TOKEN=hidden DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1"),
        (Builder::BuildKit, "", "TOKEN=hidden DOCKER_BUILDKIT=1"),
        (Builder::Classic, "", "TOKEN=hidden DOCKER_BUILDKIT=0"),
    ] {
        assert_eq!(words(&build.arguments(builder)), format!("{common}{load} --no-cache --pull --ssh default /app"));
        let set: Vec<_> = build.variables(builder).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(set.join(" "), variables);
    }
    let small = Build { context: Some(Path::new(".")), tag: "t", ..Build::default() };
    assert_eq!(words(&small.arguments(Builder::Classic)), "build --tag t .");
}

#[test]
fn the_builder_is_buildkit_where_it_can_be_had() {
    for (asked, version, has_buildx, expected) in [
        (None, Some("28.2.2"), true, Some(Builder::Buildx)),
        (None, Some("28.2.2"), false, Some(Builder::Classic)),
        (Some("1"), Some("28.2.2"), true, Some(Builder::Buildx)),
        (Some("1"), Some("28.2.2"), false, None),
        (Some("0"), Some("28.2.2"), true, Some(Builder::Classic)),
        (Some("false"), Some("20.10.24+dfsg1"), true, Some(Builder::Classic)),
        (None, Some("20.10.24+dfsg1"), true, Some(Builder::BuildKit)),
        (None, Some("19.03.1"), false, Some(Builder::BuildKit)),
        (None, Some("dev"), true, Some(Builder::Buildx)),
        (None, None, false, Some(Builder::Classic)),
    ] {
        assert_eq!(builder(asked, version, has_buildx).ok(), expected, "{asked:?} {version:?} {has_buildx}");
    }
}

#[test]
fn base_images_are_told_from_stages() {
    let dockerfile = "# FROM comment\n\
        ARG VERSION=3.4\n\
        arg REGISTRY\n\
        ARG NAMES=ruby OTHER=\"x:${VERSION}\"\n\
        FROM --platform=$BUILDPLATFORM $NAMES:${VERSION}-slim AS Build\n\
        ARG VERSION=9\n\
        FROM ${REGISTRY:-docker.io}/debian\n\
        FROM build as next\n\
        FROM scratch\n\
        FROM $OTHER\n\
        FROM $UNKNOWN\n\
        FROM ${VERSION:+x}\n\
        FROM $OTHER\n\
        COPY --from=next / /\n";
    for (args, expected) in [
        (BTreeMap::new(), "ruby:3.4-slim docker.io/debian x:3.4"),
        ([("VERSION", "3.5"), ("REGISTRY", "r.example")].into(), "ruby:3.5-slim r.example/debian x:3.5"),
    ] {
        assert_eq!(base_images(dockerfile, &args).join(" "), expected);
    }
}

#[test]
fn a_local_repository_has_a_name_that_docker_takes() {
    for (image, expected) in
        [("app", "xtask-app"), ("My_App", "xtask-my-app"), ("a..b-", "xtask-a-b"), ("-x", "xtask-x")]
    {
        assert_eq!(local_repository(image), expected);
    }
}

#[test]
fn a_failed_push_says_what_can_follow() {
    for (complaints, expected) in [
        (
            "tag invalid: The image tag 'xtask-1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.",
            PushFailure::TagTaken,
        ),
        (
            "tag invalid: The image tag 'xtask-1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable.",
            PushFailure::TagTaken,
        ),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", PushFailure::LoginExpired),
        ("no basic auth credentials", PushFailure::LoginExpired),
        (
            "name unknown: The repository with name 'app' does not exist in the registry with id '111122223333'",
            PushFailure::NoRepository,
        ),
        ("write tcp 10.0.0.1:1->10.0.0.2:443: write: connection reset by peer", PushFailure::Transient),
        ("Put \"https://r/v2/app/blobs/uploads/1\": EOF", PushFailure::Transient),
        ("received unexpected HTTP status: 503 Service Unavailable", PushFailure::Transient),
        ("toomanyrequests: Rate exceeded", PushFailure::Transient),
        (
            "denied: User: arn:aws:iam::1:user/x is not authorized to perform: ecr:InitiateLayerUpload",
            PushFailure::Denied,
        ),
        ("An image does not exist locally with the tag: x", PushFailure::Other),
        ("", PushFailure::Other),
    ] {
        assert_eq!(push_failure(complaints), expected, "{complaints}");
    }
}

#[test]
fn an_engine_out_of_reach_is_one_sentence_and_a_hint() {
    for (complaint, message, hint) in [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "cannot use docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock",
            "start docker",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get \"http://x\": dial unix /var/run/docker.sock: connect: permission denied",
            "cannot use docker: permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "group `docker`",
        ),
        (
            "Failed to initialize: unable to resolve docker endpoint: context \"nope\": context not found: open /x",
            "cannot use docker: Failed to initialize: unable to resolve docker endpoint: context \"nope\": context not found: open /x",
            "DOCKER_CONTEXT",
        ),
        ("", "cannot use docker: `docker version` failed without a word", "start docker"),
    ] {
        let problem = out_of_reach(complaint).problems.remove(0);
        assert_eq!(problem.message, message);
        assert!(problem.hint.is_some_and(|it| it.contains(hint)), "{complaint}");
    }
}

#[test]
fn options_that_are_decided_elsewhere_are_refused() {
    for (option, refused) in [
        ("--platform=linux/arm64", true),
        ("--platform", true),
        ("-f", true),
        ("--push", true),
        ("--ssh", false),
        ("default", false),
        ("--label=a=b", false),
        ("--provenance=true", false),
    ] {
        assert_eq!(misplaced_option(option).is_some(), refused, "{option}");
    }
}
