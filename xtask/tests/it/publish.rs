//! `publish` in a process of its own (it reads variables of its environment), with a fake `docker` on PATH and a small ECR on loopback:
//! what a registry may answer, without a docker engine. `real_publish` uses the same stage with real ones.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use xshell::Shell;
use xtask::aws::{Aws, AwsOptions};
use xtask::error::Error;
use xtask::model::{
    Identity, ImageChoice, ImageSpec, OnInterrupt, Origin, PlannedImage, ResolvedTask, Runner, Settings, Sourced, Span,
};
use xtask::stage::publish;
use xtask::tools::Signals;
use xtask::ui::{Ui, UiOptions};

const PASSWORD: &str = "the-password-of-the-test";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// What the child is to do, and everything around it. Every folder is below one that is removed at the end.
pub struct World {
    pub folder: PathBuf,
    pub ecr: Ecr,
    /// The keys of the job: `action`, and what [`child`] reads.
    pub job: Value,
    pub variables: Vec<(String, String)>,
}

/// How it ended.
pub struct End {
    /// `{"ok": {…}}` or `{"error": {…}}`.
    pub answer: Value,
    /// Everything that was printed.
    pub output: String,
}

impl World {
    pub fn new(name: &str) -> World {
        let folder = std::env::temp_dir().join(format!("xtask-publish-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for part in ["root", "home/.docker", "bin", "tmp"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let world = World {
            ecr: Ecr::start(),
            job: json!({ "action": "publish", "registry": "127.0.0.1:1", "tag": "xtask-1" }),
            variables: Vec::new(),
            folder,
        };
        world.write("root/Dockerfile", "FROM scratch\nCOPY hello /\n");
        world.write("root/hello", "hello\n");
        world
    }

    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A shell script on the child's PATH, in front of everything.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join(path)).unwrap_or_default()
    }

    /// What is left in the child's folder for temporary files.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        fs::read_dir(self.folder.join("tmp")).unwrap().map(|it| it.unwrap().path()).collect()
    }

    pub fn start(&self) -> Child {
        let job = self.write("job.json", &self.job.to_string());
        let _ = fs::remove_file(self.folder.join("answer.json"));
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap());
        let output = fs::File::create(self.folder.join("output")).unwrap();
        command(std::env::current_exe().unwrap())
            .args(["publish::child", "--exact", "--nocapture", "--include-ignored"])
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.join("home"))
            .env("TMPDIR", self.folder.join("tmp"))
            .env("AWS_ACCESS_KEY_ID", "111122223333")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("XTASK_TEST_JOB", job)
            .envs(std::env::var(crate::harness::MUTANT).map(|it| (crate::harness::MUTANT, it)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }

    pub fn end(&self, mut child: Child) -> End {
        let status = child.wait().unwrap();
        let output = self.read("output");
        assert!(status.success(), "{output}");
        let answer = serde_json::from_str(&self.read("answer.json")).unwrap_or_else(|_| panic!("{output}"));
        assert!(!output.contains(PASSWORD), "{output}");
        End { answer, output }
    }

    pub fn run(&self) -> End {
        self.end(self.start())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl End {
    #[track_caller]
    pub fn ok(&self) -> &Value {
        assert!(self.answer["error"].is_null(), "{}\n{}", self.answer, self.output);
        &self.answer["ok"]
    }

    #[track_caller]
    pub fn error(&self) -> &str {
        self.answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{}\n{}", self.answer, self.output))
    }
}

#[expect(clippy::disallowed_methods, reason = "the rule is for the tool's own children")]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

// --------------------------------------------------------------------------------------------------------------- the child

/// Not a test by itself: what [`World::run`] starts.
#[test]
fn child() {
    let Ok(job) = std::env::var("XTASK_TEST_JOB") else { return };
    let job: Value = serde_json::from_str(&fs::read_to_string(job).unwrap()).unwrap();
    let folder = PathBuf::from(job["folder"].as_str().map_or_else(
        || std::env::var("XTASK_TEST_JOB").unwrap().trim_end_matches("job.json").to_owned(),
        str::to_owned,
    ));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(act(&job, &folder.join("root")));
    let answer = match answer {
        Ok(ok) => json!({ "ok": ok }),
        Err(error) => json!({ "error": {
            "message": error.to_string(),
            "code": error.exit_code(),
            "done": error.done,
            "hint": error.problems[0].hint,
            "at": error.problems[0].span.map(|it| it.start),
        } }),
    };
    fs::write(folder.join("answer.json"), answer.to_string()).unwrap();
}

async fn act(job: &Value, root: &Path) -> Result<Value, Error> {
    let mut signals = Signals::new()?;
    let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    let at = |value: String, start: usize| {
        Sourced::new(value, Origin::File { key: "images.app".to_owned(), span: Span { start, end: start + 1 } })
    };
    let list = |key: &str| -> Vec<String> {
        job[key].as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let spec = ImageSpec {
        name: "app".to_owned(),
        context: at(".".to_owned(), 1),
        dockerfile: None,
        target: None,
        build_args: job["args"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, it)| (name.clone(), at(it.as_str().unwrap().to_owned(), 2)))
            .collect(),
        build_secrets: list("secrets").into_iter().map(|it| at(it, 3)).collect(),
        build_options: list("options").into_iter().map(|it| at(it, 4)).collect(),
        prepare: Some(list("prepare")).filter(|it| !it.is_empty()).map(|it| {
            Sourced::new(it, Origin::File { key: "images.app.prepare".to_owned(), span: Span { start: 5, end: 6 } })
        }),
        repository: Some(at("acme/app".to_owned(), 6)),
        registry: Some(at(text("registry"), 8)),
        registry_profile: job["profile"].as_str().map(|it| at(it.to_owned(), 9)),
        create_repository: job["create"].as_bool().unwrap_or(false),
    };
    let sh = Shell::new().unwrap();
    let ui = Ui::new(UiOptions { ..UiOptions::default() });
    let platform = job["platform"].as_str();
    let rebuild = job["rebuild"].as_bool().unwrap_or(false);
    if text("action") == "local" {
        let built = publish::build_local(root, &sh, &ui, &spec, platform, rebuild, &mut signals).await?;
        return Ok(json!({ "id": built.id, "tag": built.tag, "built": built.build_seconds.is_some() }));
    }
    if text("action") == "prepare" {
        let inputs = publish::prepare_and_fingerprint(root, &sh, &ui, &spec, &publish::PLATFORMS, &mut signals).await?;
        return Ok(json!({ "tags": inputs.tags }));
    }
    let registry = text("registry");
    let task = ResolvedTask {
        task: "migrate".to_owned(),
        task_span: None,
        environment: Sourced::default("test".to_owned()),
        runner: Sourced::default(Runner::Ecs),
        image: Some(at(String::new(), 7).map(|_| ImageChoice::Build(spec.clone()))),
        entrypoint: None,
        command: None,
        variables: Default::default(),
        secrets: Default::default(),
        interactive: false,
        timeout: None,
        start_timeout: Sourced::default(Duration::from_secs(60)),
        on_interrupt: OnInterrupt::Stop,
        protected: false,
        rebuild,
        exclusive: false,
        once: false,
        shards: None,
        settings: Settings::default(),
        warnings: Vec::new(),
    };
    let options = AwsOptions {
        region: Some(Sourced::default("eu-west-1".to_owned())),
        endpoint_url: job["endpoint"].as_str().map(|it| Sourced::default(it.to_owned())),
        speed: 50.0,
        ..AwsOptions::default()
    };
    let aws = Aws::connect(options).await?;
    if text("action") == "fact" {
        let identity = Identity { account: "111122223333".to_owned(), arn: String::new() };
        let destination = publish::Destination::new(&task, &spec, &identity, "eu-west-1")?;
        let inputs = publish::fingerprint(root, &spec, &publish::PLATFORMS).await?;
        let inputs = if spec.prepare.is_some() { None } else { Some(&inputs) };
        let fact = publish::image_fact(&destination.aws(&aws), &destination, &spec, inputs).await?;
        return Ok(json!({ "fact": format!("{fact:?}") }));
    }
    let image = PlannedImage::Build {
        registry,
        repository: "acme/app".to_owned(),
        tag: text("tag"),
        platform: platform.unwrap_or("linux/amd64").to_owned(),
        create: job["create"].as_bool().unwrap_or(false),
    };
    let published = publish::publish(root, &sh, &ui, &aws, &task, &image, &mut signals).await?;
    ui.sync().await;
    Ok(json!({
        "reference": published.reference,
        "reused": published.reused,
        "built": published.build_seconds.is_some(),
        "pushed": published.push_seconds.is_some(),
    }))
}

// ----------------------------------------------------------------------------------------------------------------- the ECR

/// Answers GetAuthorizationToken, CreateRepository and DescribeImages, and keeps the names of what was asked.
pub struct Ecr {
    pub url: String,
    pub asked: Arc<Mutex<Vec<String>>>,
    /// The same with `access key/region` and the body's `registryId`.
    pub asked_by: Arc<Mutex<Vec<String>>>,
    /// What every tag points to; an empty text: there is no repository.
    pub digest: Arc<Mutex<Option<String>>>,
    /// The password that a login gets.
    pub password: Arc<Mutex<String>>,
}

impl Ecr {
    fn start() -> Ecr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ecr = Ecr {
            url: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            asked_by: Arc::default(),
            digest: Arc::default(),
            password: Arc::new(Mutex::new(PASSWORD.to_owned())),
        };
        let shared = ecr.share();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.share();
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        ecr
    }

    fn share(&self) -> Ecr {
        Ecr {
            url: self.url.clone(),
            asked: Arc::clone(&self.asked),
            asked_by: Arc::clone(&self.asked_by),
            digest: Arc::clone(&self.digest),
            password: Arc::clone(&self.password),
        }
    }

    fn asked(&self) -> String {
        self.asked.lock().unwrap().join(" ")
    }
}

fn serve(mut stream: TcpStream, ecr: &Ecr) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut operation, mut scope, mut length) = (String::new(), String::new(), 0);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_lowercase();
            if lower.starts_with("x-amz-target:") {
                operation = line.trim().rsplit('.').next().unwrap().to_owned();
            } else if let Some((_, credential)) = line.split_once("Credential=") {
                let parts: Vec<_> = credential.split('/').collect();
                scope = format!("{}/{}", parts[0], parts[2]);
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        ecr.asked.lock().unwrap().push(operation.clone());
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = body["registryId"].as_str().unwrap_or("-");
        ecr.asked_by.lock().unwrap().push(format!("{operation} {scope} {id}"));
        let (status, answer) = match operation.as_str() {
            "GetAuthorizationToken" => {
                let token = base64(format!("AWS:{}", ecr.password.lock().unwrap()).as_bytes());
                (200, json!({ "authorizationData": [{ "authorizationToken": token }] }))
            }
            "CreateRepository" => (200, json!({ "repository": {} })),
            "DescribeImages" => match &*ecr.digest.lock().unwrap() {
                Some(digest) if digest.is_empty() => {
                    (400, json!({ "__type": "RepositoryNotFoundException", "message": "no such repository" }))
                }
                Some(digest) => (200, json!({ "imageDetails": [{ "imageDigest": digest }] })),
                None => (400, json!({ "__type": "ImageNotFoundException", "message": "no such image" })),
            },
            other => (400, json!({ "__type": "UnknownOperationException", "message": other })),
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, it| n << 8 | u32::from(*it)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

// ----------------------------------------------------------------------------------------------------- with a fake docker

/// Notes its arguments; `push` fails with each line of `push-failures`, once.
const FAKE_DOCKER: &str = r#"
echo "$@" >> "$WORLD/docker.log"
case "$1" in
version) echo '{"Client":{"Version":"28.2.2"},"Server":{"Os":"linux","Arch":"amd64"}}';;
buildx) exit 1;;
login) cat > "$WORLD/password"; ls -ld "$DOCKER_CONFIG" > "$WORLD/config-mode"; cat "$DOCKER_CONFIG/config.json" > "$WORLD/config-seen";;
build) env > "$WORLD/build-variables"; echo "building in $PWD";;
image) echo '{"Id":"sha256:cc","Os":"linux","Architecture":"amd64","RepoDigests":["127.0.0.1:1/acme/app@DIGEST"]}';;
push)
  echo pushing
  if [ -s "$WORLD/push-failures" ]; then
    head -n 1 "$WORLD/push-failures" >&2
    sed -i 1d "$WORLD/push-failures"
    exit 1
  fi;;
esac
"#;

fn faked(name: &str) -> World {
    let mut world = World::new(name);
    world.program("docker", &FAKE_DOCKER.replace("DIGEST", DIGEST));
    world.job["endpoint"] = world.ecr.url.clone().into();
    world.variables.push(("WORLD".to_owned(), world.folder.display().to_string()));
    world
}

/// The first words of each call of docker.
fn calls(world: &World) -> String {
    let log = world.read("docker.log");
    log.lines().map(|it| it.split(' ').next().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_image_is_built_pushed_and_named_by_its_digest() {
    let mut world = faked("good");
    world.job["args"] = json!({ "TOKEN": "hidden-value", "RUBY_VERSION": "3.4" });
    world.write("home/.docker/config.json", "{\"credsStore\": \"keychain\"}\n");
    let end = world.run();
    assert_eq!(
        end.ok(),
        &json!({ "reference": format!("127.0.0.1:1/acme/app@{DIGEST}"), "reused": false, "built": true, "pushed": true })
    );
    assert_eq!(calls(&world), "version buildx login build image push image");
    assert_eq!(world.ecr.asked(), "GetAuthorizationToken");
    assert!(end.output.contains("building in") && end.output.contains("pushing"), "{}", end.output);
    // The password only through stdin, values of build arguments only through the environment.
    assert_eq!(world.read("password"), PASSWORD);
    let log = world.read("docker.log");
    assert!(!log.contains(PASSWORD) && !log.contains("hidden-value"), "{log}");
    assert!(log.contains("login --username AWS --password-stdin 127.0.0.1:1\n"), "{log}");
    assert!(log.contains("--platform linux/amd64 --build-arg RUBY_VERSION --build-arg TOKEN"), "{log}");
    assert!(world.read("build-variables").contains("TOKEN=hidden-value\n"));
    assert!(!end.output.contains("hidden-value"), "{}", end.output);
    // The private configuration was private, said where the login belongs, and is gone.
    assert!(world.read("config-mode").starts_with("drwx------"), "{}", world.read("config-mode"));
    let seen: Value = serde_json::from_str(&world.read("config-seen")).unwrap();
    assert_eq!(seen, json!({ "credsStore": "keychain", "credHelpers": { "127.0.0.1:1": "" } }));
    assert_eq!(world.leftovers(), [""; 0].map(PathBuf::from));
    assert_eq!(world.read("home/.docker/config.json"), "{\"credsStore\": \"keychain\"}\n");
}

#[test]
fn another_accounts_registry_is_asked_in_its_region_with_the_credentials_named_for_it() {
    for (profile, key) in [(None, "111122223333"), (Some("acme-shared"), "AKIASHARED")] {
        let mut world = faked("shared");
        let registry = "999988887777.dkr.ecr.us-east-2.amazonaws.com";
        world.job["registry"] = registry.into();
        world.job["profile"] = profile.into();
        world.job["create"] = true.into();
        world.write(
            "home/.aws/credentials",
            "[acme-shared]\naws_access_key_id = AKIASHARED\naws_secret_access_key = x\n",
        );
        let end = world.run();
        // docker notes no digest for this name, so ECR is asked what the tag points to, and does not know.
        assert_eq!(end.error(), format!("{registry}/acme/app:xtask-1 was pushed, but the registry does not know it"));
        assert_eq!(
            end.answer["error"]["done"],
            "the repository `acme/app` was created, the image is pushed, no ECS task was started"
        );
        assert_eq!(
            *world.ecr.asked_by.lock().unwrap(),
            [
                format!("CreateRepository {key}/us-east-2 999988887777"),
                format!("GetAuthorizationToken {key}/us-east-2 -"),
                format!("DescribeImages {key}/us-east-2 999988887777"),
            ]
        );
        *world.ecr.digest.lock().unwrap() = Some(OTHER.to_owned());
        assert_eq!(world.run().ok()["reference"], format!("{registry}/acme/app@{OTHER}"));
    }
}

#[test]
fn the_registry_is_asked_for_each_platforms_tag_and_a_missing_repository_is_told_before_anything_is_built() {
    let mut world = faked("fact");
    world.job["action"] = "fact".into();
    let fact = |world: &World| world.run().ok()["fact"].as_str().unwrap().to_owned();
    let nothing = fact(&world);
    assert!(nothing.contains("digests: {}, repository_exists: true"), "{nothing}");
    *world.ecr.digest.lock().unwrap() = Some(DIGEST.to_owned());
    let found = fact(&world);
    assert!(found.contains(&format!("{{\"linux/amd64\": {DIGEST:?}, \"linux/arm64\": {DIGEST:?}}}")), "{found}");
    *world.ecr.digest.lock().unwrap() = Some(String::new());
    let end = world.run();
    assert_eq!(end.error(), "the repository `acme/app` does not exist in 127.0.0.1:1");
    assert_eq!((&end.answer["error"]["code"], &end.answer["error"]["at"]), (&json!(2), &json!(6)));
    world.job["create"] = true.into();
    let missing = fact(&world);
    assert!(missing.contains("digests: {}, repository_exists: false"), "{missing}");
    assert_eq!(world.ecr.asked(), ["DescribeImages"; 8].join(" "));
    world.job["prepare"] = json!(["true"]);
    assert_eq!(fact(&world), "Unprepared { registry: \"127.0.0.1:1\", repository: \"acme/app\" }");
    assert_eq!((world.ecr.asked(), calls(&world)), (["DescribeImages"; 8].join(" "), String::new()));
}

#[test]
fn a_missing_repository_is_created_before_the_build() {
    let mut world = faked("create");
    world.job["create"] = true.into();
    world.run().ok();
    assert_eq!(world.ecr.asked(), "CreateRepository GetAuthorizationToken");
}

#[test]
fn a_failed_push_is_tried_again_where_that_can_help() {
    const EXPIRED: &str = "denied: Your authorization token has expired. Reauthenticate and try again.";
    const RESET: &str = "write tcp 10.0.0.1:1->10.0.0.2:443: write: connection reset by peer";
    const IMMUTABLE: &str = "tag invalid: The image tag 'xtask-1' already exists in the 'acme/app' repository and cannot be \
                             overwritten because the tag is immutable.";
    const DENIED: &str = "denied: User: x is not authorized to perform: ecr:InitiateLayerUpload";
    const UNKNOWN: &str =
        "name unknown: The repository with name 'acme/app' does not exist in the registry with id '1'";
    let good = format!("127.0.0.1:1/acme/app@{DIGEST}");
    let theirs = format!("127.0.0.1:1/acme/app@{OTHER}");
    let failed = |cause: &str| Err(format!("cannot push 127.0.0.1:1/acme/app:xtask-1: {cause}"));
    for (failures, there, expected, calls_after_build) in [
        (vec![EXPIRED], None, Ok(&good), "image push login push image"),
        (vec![RESET], None, Ok(&good), "image push push image"),
        (vec![RESET, EXPIRED], None, Ok(&good), "image push push login push image"),
        (vec![RESET, RESET], None, failed(RESET), "image push push"),
        (vec![EXPIRED, EXPIRED], None, failed(EXPIRED), "image push login push"),
        (vec![IMMUTABLE], Some(OTHER), Ok(&theirs), "image push"),
        (vec![IMMUTABLE], None, failed(IMMUTABLE), "image push"),
        (vec![DENIED], None, failed(DENIED), "image push"),
        (vec![UNKNOWN], None, failed(UNKNOWN), "image push"),
    ] {
        let world = faked("push");
        *world.ecr.digest.lock().unwrap() = there.map(str::to_owned);
        world.write("push-failures", &format!("{}\n", failures.join("\n")));
        let end = world.run();
        assert_eq!(calls(&world), format!("version buildx login build {calls_after_build}"), "{failures:?}");
        match expected {
            Ok(reference) => {
                assert_eq!(end.ok()["reference"], **reference, "{failures:?}");
                assert_eq!(end.ok()["reused"], there.is_some());
            }
            Err(message) => {
                assert_eq!(end.error(), message);
                assert_eq!(end.answer["error"]["code"], 125);
                assert_eq!(end.answer["error"]["done"], "nothing was pushed, no ECS task was started");
            }
        }
        assert_eq!(world.leftovers(), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn what_docker_cannot_do_here_is_told_before_anything_is_done() {
    let mut world = faked("cannot");
    world.job["secrets"] = json!(["id=npmrc,src=.npmrc"]);
    let end = world.run();
    assert_eq!(end.error(), "image `app` has build secrets, which docker's classic builder does not know");
    assert_eq!((&end.answer["error"]["code"], &end.answer["error"]["at"]), (&json!(2), &json!(3)));
    assert_eq!((calls(&world).as_str(), world.ecr.asked().as_str()), ("version buildx", ""));

    let mut world = faked("options");
    world.job["options"] = json!(["--platform=linux/arm64"]);
    let end = world.run();
    assert_eq!(end.error(), "`--platform` cannot stand in `build-options`");
    assert_eq!((&end.answer["error"]["at"], calls(&world).as_str()), (&json!(4), ""));

    // ECR's password is for ECR only.
    let mut world = faked("stranger");
    world.job["registry"] = "ghcr.io".into();
    world.job["endpoint"] = Value::Null;
    let end = world.run();
    assert_eq!(end.error(), "cannot push to ghcr.io: it is not an ECR registry");
    assert_eq!((&end.answer["error"]["at"], calls(&world).as_str()), (&json!(8), ""));
    assert_eq!(world.ecr.asked(), "");
}

#[test]
fn a_build_for_another_platform_is_an_error_and_not_a_surprise_on_ecs() {
    let mut world = faked("platform");
    world.job["platform"] = "linux/arm64".into();
    let end = world.run();
    assert_eq!(end.error(), "docker built image `app` for linux/amd64, not for linux/arm64");
    // The classic builder's cache does not tell platforms apart, so it was asked a second time without it.
    assert_eq!(calls(&world), "version buildx login build image build image");
    assert_eq!(world.read("docker.log").matches("--no-cache").count(), 1);
}

#[test]
fn docker_that_is_missing_or_out_of_reach_is_one_sentence_and_a_hint() {
    let mut world = faked("missing");
    world.program("docker", "exit 1");
    fs::remove_file(world.folder.join("bin/docker")).unwrap();
    world.variables.push(("PATH".to_owned(), world.folder.join("bin").display().to_string()));
    let end = world.run();
    assert_eq!(end.error(), "cannot start `docker`: command not found");
    assert!(!end.answer["error"]["hint"].is_null());

    let mut world = faked("down");
    world.program(
        "docker",
        "echo 'Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?' >&2; exit 1",
    );
    world.job["create"] = true.into();
    let end = world.run();
    assert_eq!(end.error(), "cannot use docker: Cannot connect to the Docker daemon at unix:///x.sock");
    assert_eq!(world.ecr.asked(), "");
    assert_eq!(world.leftovers(), [""; 0].map(PathBuf::from));
}

#[test]
fn prepare_runs_in_the_folder_of_tasks_toml_before_the_context_is_read() {
    let mut world = faked("prepare");
    world.job["action"] = "prepare".into();
    let without = world.run().ok()["tags"].clone();
    assert_ne!(without["linux/amd64"], without["linux/arm64"]);
    world.job["prepare"] = json!(["sh", "-c", "echo made > made; echo preparing"]);
    let end = world.run();
    assert_ne!(end.ok()["tags"], without);
    assert_eq!(world.read("root/made"), "made\n");
    assert!(end.output.contains("preparing\n"), "{}", end.output);

    world.job["prepare"] = json!(["sh", "-c", "exit 3"]);
    let end = world.run();
    assert_eq!(end.error(), "cannot prepare image `app`: `sh -c exit 3`: exit code 3");
    assert_eq!((&end.answer["error"]["code"], &end.answer["error"]["at"]), (&json!(125), &json!(5)));
    assert_eq!(end.answer["error"]["done"], "nothing was pushed, no ECS task was started");
}

#[test]
fn a_signal_ends_each_step_and_leaves_nothing_behind() {
    const SLEEP: &str = "touch \"$WORLD/there\"; exec sleep 20";
    for (step, when) in [
        ("prepare", "while `prepare` ran"),
        ("login", "while docker logged in"),
        ("build", "while the image was built"),
        ("push", "while the image was pushed"),
    ] {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let mut world = faked("signal");
            if step == "prepare" {
                world.job["action"] = "prepare".into();
                world.job["prepare"] = json!(["sh", "-c", SLEEP]);
            } else {
                let script = FAKE_DOCKER.replace("DIGEST", DIGEST);
                world.program(
                    "docker",
                    &script.replace(&format!("\n{step})"), &format!("\n{step}) {SLEEP};;\nno-{step})")),
                );
            }
            let child = world.start();
            for _ in 0..1000 {
                if world.folder.join("there").exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(command("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success());
            let end = world.end(child);
            assert_eq!(end.error(), format!("interrupted by SIG{signal} {when}"));
            assert_eq!(end.answer["error"]["code"], code);
            assert_eq!(end.answer["error"]["done"], "nothing was pushed, no ECS task was started");
            assert_eq!(world.leftovers(), [""; 0].map(PathBuf::from));
        }
    }
}
