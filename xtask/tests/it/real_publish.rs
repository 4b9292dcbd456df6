//! `publish` with a real docker engine and a real registry that asks for a password.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::publish::{World, base64, command};
use crate::real;

const PASSWORD: &str = "the-password-of-the-test";
/// bcrypt of the same: the registry takes no other.
const HTPASSWD: &str = "AWS:$2b$04$CVYgO9JZ1N/M4VSz1/WT7unfu3rFc1kP9PqggaMNKXyGlkg3l.phu\n";

/// A docker engine that answers.
pub struct DockerEngine {
    pub has_buildx: bool,
}

/// The engine, where there is one.
pub fn engine() -> Option<DockerEngine> {
    let answers = |arguments: &[&str]| command("docker").args(arguments).output().is_ok_and(|it| it.status.success());
    real::docker_engine().then(|| DockerEngine { has_buildx: answers(&["buildx", "version"]) })
}

/// A registry on a free loopback port, ended when dropped.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(folder: &Path) -> Option<Registry> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (data, users, config) = (folder.join("registry"), folder.join("htpasswd"), folder.join("registry.yml"));
        fs::write(&users, HTPASSWD).unwrap();
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: none\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
            data.display(),
            users.display()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.join("registry.log")).unwrap();
        let mut program = command("docker-registry");
        let program = program.arg("serve").arg(&config).stdin(Stdio::null());
        let Ok(child) = program.stdout(log.try_clone().unwrap()).stderr(log).spawn() else {
            real::skipped("no docker-registry on PATH");
            return None;
        };
        let registry = Registry { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "the registry did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the registry itself says a tag points to.
    fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let login = base64(format!("AWS:{PASSWORD}").as_bytes());
        write!(
            stream,
            "HEAD /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: r\r\nAuthorization: Basic {login}\r\n\
             Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, \
             application/vnd.oci.image.index.v1+json\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let line = answer.lines().find(|it| it.to_lowercase().starts_with("docker-content-digest:"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn docker(arguments: &[&str], config: &Path, stdin: &str) -> String {
    let mut command = command("docker");
    command
        .args(arguments)
        .env("DOCKER_CONFIG", config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn world(name: &str) -> Option<(World, Registry)> {
    engine()?;
    let mut world = World::new(name);
    let registry = Registry::start(&world.folder)?;
    world.job["registry"] = registry.host().into();
    world.job["endpoint"] = world.ecr.url.clone().into();
    world.job["tag"] = format!("xtask-{name}-{}", std::process::id()).into();
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        world.variables.push(("DOCKER_HOST".to_owned(), host));
    }
    Some((world, registry))
}

fn remove_image(world: &World, reference: &str) {
    let config = world.folder.join("nobody");
    let _ = command("docker").args(["rmi", "--force", reference]).env("DOCKER_CONFIG", config).output();
}

#[test]
fn an_image_is_pushed_with_the_users_contexts_helpers_and_plugins_and_their_configuration_is_untouched() {
    let Some((mut world, registry)) = world("whole") else { return };
    let tag = world.job["tag"].as_str().unwrap().to_owned();
    let log = world.folder.join("helper.log");

    // A base image that only a credential helper can reach: the same registry by another name.
    let admin = world.folder.join("admin");
    let other = format!("localhost:{}", registry.port);
    let base = format!("{other}/base:{}", std::process::id());
    world.write("base/Dockerfile", "FROM scratch\nCOPY Dockerfile /from-base\n");
    docker(&["login", "--username", "AWS", "--password-stdin", &other], &admin, PASSWORD);
    docker(&["build", "--quiet", "--tag", &base, &world.folder.join("base").display().to_string()], &admin, "");
    docker(&["push", &base], &admin, "");
    docker(&["rmi", "--force", &base], &admin, "");
    world.write("root/Dockerfile", &format!("FROM {base}\nCOPY hello /\nCMD [\"x\"]\n"));
    world.program(
        "docker-credential-recording",
        &format!(
            "read host\necho \"$1 $host\" >> '{log}'\n\
             case \"$1 $host\" in\n\
             list*) echo '{{\"{other}\":\"AWS\"}}';;\n\
             'get {other}') echo '{{\"ServerURL\":\"{other}\",\"Username\":\"AWS\",\"Secret\":\"{PASSWORD}\"}}';;\n\
             *) echo 'credentials not found in native keychain'; exit 1;;\n\
             esac\n",
            log = log.display()
        ),
    );

    // A context that is not the default one, and a plugin: `docker build` is handed to it.
    let users = world.folder.join("home/.docker");
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    docker(&["context", "create", "mine", "--docker", &format!("host={host}")], &users, "");
    world.variables.retain(|it| it.0 != "DOCKER_HOST");
    let plugin = world.folder.join("home/.docker/cli-plugins/docker-buildx");
    world.program(
        "docker-buildx",
        &format!(
            "[ \"$1\" = docker-cli-plugin-metadata ] && {{\n\
             echo '{{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"test\",\"Version\":\"v0.99.0\"}}'; exit; }}\n\
             shift\n\
             [ \"$1\" = version ] && {{ echo 'github.com/docker/buildx v0.99.0'; exit; }}\n\
             echo \"$@\" >> '{log}'\n\
             echo \"attestations $BUILDX_NO_DEFAULT_ATTESTATIONS\" >> '{log}'\n\
             for it; do shift; [ \"$it\" = --load ] || set -- \"$@\" \"$it\"; done\n\
             DOCKER_BUILDKIT=0 exec docker \"$@\"\n",
            log = world.folder.join("plugin.log").display()
        ),
    );
    fs::create_dir_all(plugin.parent().unwrap()).unwrap();
    fs::rename(world.folder.join("bin/docker-buildx"), &plugin).unwrap();
    let config = "{\n\t\"credsStore\":   \"recording\", \"currentContext\": \"mine\",\n\t\"HttpHeaders\": {\"X-Kept\": \"1.50\"}\n}\n";
    world.write("home/.docker/config.json", config);
    let before = snapshot(&users);

    let end = world.run();
    let digest = registry.digest("acme/app", &tag).expect("it was pushed");
    assert_eq!(end.ok()["reference"], format!("{}/acme/app@{digest}", registry.host()));
    assert_eq!(end.ok()["reused"], false);
    // docker's own words, live.
    assert!(end.output.contains("Successfully built") && end.output.contains("digest: sha256:"), "{}", end.output);

    let calls = world.read("helper.log");
    assert!(calls.contains(&format!("get {other}\n")), "{calls}");
    assert!(!calls.contains(&registry.host()), "{calls}");
    assert!(!calls.contains("store"), "{calls}");
    let plugin = world.read("plugin.log");
    assert!(plugin.starts_with("build --tag ") && plugin.contains(" --load "), "{plugin}");
    assert!(plugin.contains("attestations 1"), "{plugin}");
    assert_eq!(snapshot(&users), before);
    assert_eq!(world.leftovers(), [""; 0].map(std::path::PathBuf::from));

    // From fresh base images: the helper is asked for them again.
    let calls_before = world.read("helper.log").len();
    world.job["rebuild"] = true.into();
    world.job["tag"] = format!("{tag}-again").into();
    let again = world.run();
    assert_eq!(
        again.ok()["reference"],
        format!("{}/acme/app@{}", registry.host(), registry.digest("acme/app", &format!("{tag}-again")).unwrap())
    );
    assert!(world.read("plugin.log").contains(" --no-cache --pull "), "{}", world.read("plugin.log"));
    assert!(world.read("helper.log")[calls_before..].contains(&format!("get {other}\n")));
    remove_image(&world, &format!("{}/acme/app:{tag}-again", registry.host()));

    // It runs by that digest on a machine that has only the registry.
    let reference = end.ok()["reference"].as_str().unwrap();
    remove_image(&world, &format!("{}/acme/app:{tag}", registry.host()));
    docker(&["login", "--username", "AWS", "--password-stdin", &registry.host()], &admin, PASSWORD);
    docker(&["pull", reference], &admin, "");
    docker(&["rmi", "--force", reference], &admin, "");
    remove_image(&world, &base);
}

/// Every file of a folder with its bytes.
fn snapshot(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_wrong_password_is_an_error_without_the_password() {
    let Some((world, registry)) = world("wrong") else { return };
    *world.ecr.password.lock().unwrap() = "not-the-one".to_owned();
    let end = world.run();
    let start = format!("cannot log in to {}: ", registry.host());
    assert!(end.error().starts_with(&start) && end.error().to_lowercase().contains("unauthorized"), "{}", end.error());
    assert!(!end.output.contains("not-the-one") && !end.answer.to_string().contains("not-the-one"));
    assert_eq!(end.answer["error"]["done"], "nothing was pushed, no ECS task was started");
    assert_eq!(world.leftovers(), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn a_rebuild_pulls_base_images_unless_one_is_only_here() {
    let Some((mut world, registry)) = world("rebuild") else { return };
    let local = format!("xtask-test-base:{}", std::process::id());
    let config = world.folder.join("nobody");
    docker(&["build", "--quiet", "--tag", &local, &world.folder.join("root").display().to_string()], &config, "");
    world.write("root/Dockerfile", &format!("FROM {local}\nCOPY hello /again\n"));
    world.job["rebuild"] = true.into();
    let end = world.run();
    let tag = world.job["tag"].as_str().unwrap();
    let digest = registry.digest("acme/app", tag).expect("it was pushed");
    assert_eq!(end.ok()["reference"], format!("{}/acme/app@{digest}", registry.host()));
    assert!(end.output.contains(&format!("`{local}` is only on this machine")), "{}", end.output);
    remove_image(&world, &format!("{}/acme/app:{tag}", registry.host()));
    remove_image(&world, &local);
}

#[test]
fn an_image_for_this_machine_is_built_once() {
    let Some((mut world, _registry)) = world("local") else { return };
    world.job["action"] = "local".into();
    world.write("root/hello", &format!("{}\n", std::process::id()));
    let first = world.run();
    assert_eq!(first.ok()["built"], true);
    let second = world.run();
    assert_eq!((&second.ok()["id"], &second.ok()["built"]), (&first.ok()["id"], &json!(false)));
    world.write("root/hello", &format!("{} changed\n", std::process::id()));
    let third = world.run();
    assert_eq!(third.ok()["built"], true);
    assert_ne!(third.ok()["id"], first.ok()["id"]);

    // For the other platform: the classic builder's cache would give this machine's image.
    let other =
        if first.ok()["id"].is_string() && cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    world.job["platform"] = other.into();
    let foreign = world.run();
    let config = world.folder.join("nobody");
    let id = foreign.ok()["id"].as_str().unwrap();
    let platform = docker(&["image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", id], &config, "");
    assert_eq!(platform, other);
    for end in [&first, &third, &foreign] {
        remove_image(&world, end.ok()["tag"].as_str().unwrap());
    }
}
