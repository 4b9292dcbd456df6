//! The worlds in which everybody is measured: the fake AWS of the tests for exact times, and ministack with a docker engine for runs
//! with the build in them; a project with a tasks.toml, the script beside it, and the variables with which each finds its server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fake::{Fake, Life};
use crate::page;
use crate::process::find_program;

/// Where the other tools are.
#[derive(Debug, Clone)]
pub struct Tools {
    pub folder: PathBuf,
}

impl Tools {
    /// Installs what is missing: into XTASK_BENCH_VENV, else below the target folder.
    pub fn install() -> Tools {
        let usual = || page::root().join("target/peers");
        let folder = std::env::var_os("XTASK_BENCH_VENV").map_or_else(usual, PathBuf::from);
        let status = Command::new(here().join("install.sh")).arg(&folder).stdin(Stdio::null()).status();
        assert!(status.is_ok_and(|it| it.success()), "benches/peers/install.sh failed: it needs python3 and PyPI");
        for program in ["jq", "docker", "git"] {
            assert!(
                find_program(program).is_some(),
                "the script beside which it is measured needs {program}: install it"
            );
        }
        Tools { folder }
    }

    pub fn peer(&self, name: &str) -> PathBuf {
        self.folder.join("peers/bin").join(name)
    }
}

/// The folder of this benchmark's sources.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

/// A folder that goes away at the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("xtask-peers-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A project and the way to its server.
#[derive(Debug)]
pub struct World {
    folder: Folder,
    tools: Tools,
    env: Vec<(String, String)>,
}

/// The exit code of the task that everybody runs.
pub const CODE: i32 = 7;
/// How many lines it prints.
pub const LINES: u32 = 20;

impl World {
    fn new(name: &str, tools: &Tools, region: &str, environment: &str, files: usize) -> World {
        let folder = Folder::new(name);
        let path = |it: &str| folder.path().join(it);
        for name in ["project/app", "home"] {
            fs::create_dir_all(path(name)).expect("the folder is ours");
        }
        let write = |name: &str, text: &str| fs::write(path("project").join(name), text).expect("the folder is ours");
        let tasks = format!(
            "[images.app]\ncontext = \"app\"\nrepository = \"acme/app\"\n\n[environments.staging]\nregion = \"{region}\"\n\
             cluster = \"staging\"\nservice = \"web\"\n{environment}\n[tasks.count]\nimage = \"app\"\ncommand = [\"{LINES}\"]\n"
        );
        write("tasks.toml", &tasks);
        write("app/Dockerfile", "FROM scratch\nCOPY program /program\nCOPY files /files\nENTRYPOINT [\"/program\"]\n");
        fs::create_dir_all(path("project/app/files")).expect("the folder is ours");
        for number in 0..files {
            write(&format!("app/files/{number}"), &format!("{number}\n").repeat(1000));
        }
        write("app/files/changed", "");
        let path_variable = std::env::var("PATH").unwrap_or_default();
        let peers = tools.folder.join("peers/bin");
        let env = [
            ("PATH", format!("{}:{path_variable}", peers.display())),
            ("HOME", path("home").display().to_string()),
            ("TMPDIR", std::env::temp_dir().display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("AWS_DEFAULT_REGION", region.to_owned()),
            ("AWS_REGION", region.to_owned()),
            ("CLUSTER", "staging".to_owned()),
            ("SERVICE", "web".to_owned()),
            ("REPOSITORY", "acme/app".to_owned()),
            ("CONTEXT", "app".to_owned()),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut world = World { folder, tools: tools.clone(), env };
        for variable in ["DOCKER_HOST", "XDG_RUNTIME_DIR"] {
            std::env::var(variable).into_iter().for_each(|it| world.set(variable, it));
        }
        // A repository, as a project is one: ours asks it for the commit.
        for words in
            ["init --quiet", "add .", "-c user.name=a -c user.email=a@example.com commit --quiet --message first"]
        {
            let status = world.command(Path::new("git")).args(words.split(' ')).status();
            assert!(status.is_ok_and(|it| it.success()), "git {words} failed");
        }
        world
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.retain(|(it, _)| it != name);
        self.env.push((name.to_owned(), value.into()));
    }

    pub fn set_all(&mut self, env: Vec<(&'static str, String)>) {
        for (name, value) in env {
            self.set(name, value);
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A program in this world.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let env = self.env.iter().map(|(name, value)| (name, value));
        command.current_dir(self.path().join("project")).env_clear().envs(env);
        command
    }

    /// Ours.
    pub fn ours(&self, words: &[&str]) -> Command {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_xtask")));
        command.args(["run", "count", "-e", "staging"]).args(words);
        command
    }

    /// The script.
    pub fn script(&self) -> Command {
        let mut command = self.command(&here().join("script.sh"));
        command.arg(LINES.to_string());
        command
    }

    /// ecs-deploy, which builds nothing, follows nothing and gives no exit code.
    pub fn ecs_deploy(&self) -> Command {
        let mut command = self.command(&self.tools.peer("ecs"));
        command.args([
            "run",
            "staging",
            "app",
            "--launchtype",
            "FARGATE",
            "--subnet",
            "subnet-0a",
            "--securitygroup",
            "sg-0c",
        ]);
        command.args(["--command", "web", &LINES.to_string()]);
        command
    }

    /// The aws CLI.
    pub fn aws(&self, words: &[&str]) -> String {
        let output =
            self.command(&self.tools.peer("aws")).args(words).stdin(Stdio::null()).output().expect("aws starts");
        assert!(output.status.success(), "aws {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The boto3 loop.
    pub fn boto3(&self, group: &str, stream: &str) -> Command {
        let mut command = self.command(&self.tools.peer("python3"));
        command.arg(here().join("boto3_loop.py")).args([group, stream]);
        command
    }
}

/// An image that is in the registry.
pub const IMAGE: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app:v1";

/// An account with a service, in which every ECS task lives like this.
pub fn account(life: Life) -> Fake {
    let options = json!({ "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "app" });
    Fake::with_speed(1.0)
        .cluster("staging")
        .repository("acme/app", true)
        .image("acme/app", "v1", &format!("sha256:{}", "1".repeat(64)))
        .task_definition(json!({
            "family": "app", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "containerDefinitions": [{
                "name": "web", "image": IMAGE,
                "logConfiguration": { "logDriver": "awslogs", "options": options },
            }],
        }))
        .service("staging", json!({ "serviceName": "web", "taskDefinition": "app" }))
        .task_life(life)
}

/// Where a fake listens.
pub fn address(fake: &Fake) -> SocketAddr {
    fake.endpoint().trim_start_matches("http://").parse().expect("it is an address")
}

/// A project on a fake that is behind this address.
pub fn on_fake(name: &str, tools: &Tools, fake: &Fake, url: &str) -> World {
    let mut world = World::new(name, tools, "eu-west-1", &format!("endpoint-url = \"{url}\"\n"), 1);
    world.set_all(fake.env());
    world.set("AWS_ENDPOINT_URL", url);
    world.set("IMAGE", IMAGE);
    world
}

/// An emulator that runs containers, as a process of its own.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    pub address: SocketAddr,
}

impl Emulator {
    pub fn start(tools: &Tools, folder: &Path) -> Emulator {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port can be had");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        let log = fs::File::create(folder.join("ministack.log")).expect("the folder is ours");
        let mut command = Command::new(tools.folder.join("emulator/bin/ministack"));
        command.env("GATEWAY_PORT", address.port().to_string()).env("BIND_HOST", "127.0.0.1").current_dir(folder);
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a file can be cloned")).stdout(log);
        let child = command.spawn().expect("ministack starts");
        let emulator = Emulator { child, address };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "ministack does not listen: {}", folder.join("ministack.log").display());
            thread::sleep(Duration::from_millis(100));
        }
        emulator
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // It stops its containers at SIGTERM.
        pid.map(|it| rustix::process::kill_process(it, rustix::process::Signal::TERM));
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && self.child.try_wait().is_ok_and(|it| it.is_none()) {
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A project whose service is on that emulator, with a program in its image that counts.
pub fn on_emulator(tools: &Tools, url: &str) -> World {
    let host = url.trim_start_matches("http://");
    let environment = format!("endpoint-url = \"{url}\"\nregistry = \"{host}\"\n");
    // An application of a thousand files.
    let mut world = World::new("build", tools, "us-east-1", &environment, 1000);
    for (name, value) in [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("REGISTRY", host),
        ("TAG", "v1"),
    ] {
        world.set(name, value);
    }
    static_program(&world.path().join("project/app"));
    let options = json!({
        "awslogs-group": "/ecs/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app", "awslogs-create-group": "true",
    });
    let containers = json!([{
        "name": "web", "image": "unused", "essential": true, "logConfiguration": { "logDriver": "awslogs", "options": options },
    }]);
    let network = "awsvpcConfiguration={subnets=[subnet-0a],securityGroups=[sg-0c]}";
    world.aws(&["ecs", "create-cluster", "--cluster-name", "staging"]);
    world.aws(&["ecr", "create-repository", "--repository-name", "acme/app"]);
    let definition = ["ecs", "register-task-definition", "--family", "app", "--network-mode", "awsvpc", "--cpu", "256"];
    let more = [
        "--memory",
        "512",
        "--requires-compatibilities",
        "FARGATE",
        "--container-definitions",
        &containers.to_string(),
    ];
    world.aws(&[&definition[..], &more[..]].concat());
    let service =
        ["ecs", "create-service", "--cluster", "staging", "--service-name", "web", "--task-definition", "app"];
    let more = ["--desired-count", "0", "--launch-type", "FARGATE", "--network-configuration", network];
    world.aws(&[&service[..], &more[..]].concat());
    world
}

/// Prints as many lines as it is told and exits with the code that everybody has to give.
fn static_program(folder: &Path) {
    let source = format!(
        "fn main() {{ let n: u32 = std::env::args().nth(1).unwrap().parse().unwrap(); for it in 1..=n {{ println!(\"{{it}}\") }} \
         std::process::exit({CODE}) }}"
    );
    fs::write(folder.join("../program.rs"), source).expect("the folder is ours");
    let options =
        ["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o", "program"];
    let status = Command::new("rustc").args(options).arg("../program.rs").current_dir(folder).status();
    assert!(status.is_ok_and(|it| it.success()), "rustc failed");
}
