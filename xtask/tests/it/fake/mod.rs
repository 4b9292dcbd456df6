//! A scripted fake of AWS: ECS, ECR, CloudWatch Logs and STS on one loopback endpoint, as documents of ECS and a clock of its own.
//! It proves that we do what AWS documents when AWS, the network or the user misbehave; it does not prove what AWS does.
//!
//! ```ignore
//! let fake = Fake::new()
//!     .cluster("staging")
//!     .task_definition(json!({ "family": "app", … }))                  // as RegisterTaskDefinition takes it
//!     .service("staging", json!({ "serviceName": "web", "taskDefinition": "app" }))
//!     .image("acme/app", "xtask-0123", "sha256:…")
//!     .task_life(Life::prints(["one", "two"]).exits(7))                 // of every ECS task; next_life: of the next one
//!     .fault("RunTask", 1, Fault::DropAfter)                            // its first call has its effect and no answer
//!     .latency(seed, 5..50);                                            // real milliseconds for each answer
//! fake.at_request(4, Moment::Acted, move || child.signal(Signal::INT)); // a pause point
//! // … run the binary with fake.env() …
//! assert_eq!(fake.count("RunTask"), 1);
//! assert!(fake.alive().is_empty());
//! ```
//!
//! - **One `handle`** (below): request, state and time in, answer out. No sockets, no real time. [`http`] is the door for the binary,
//!   [`memory`] the one for the library under tokio's paused clock.
//! - **Time** is the fake's own: [`Fake::new`] runs it [`SPEED`] times faster than real time, and gives the binary the same number
//!   (`XTASK_TEST_SPEED`) for its own waits. Every duration of a [`Life`] and of a fault is on that clock, in milliseconds.
//! - **Nothing ticks**: what an ECS task is at a moment follows from its life, RunTask and StopTask ([`life`]).
//! - **What is sent is checked**: a member that AWS would silently ignore, an operation without a script or an unsigned call fails
//!   the test that owns the fake, with the request; what ECS refuses is refused.

pub mod behind;
pub mod clock;
pub mod definitions;
pub mod ecr;
pub mod ecs;
pub mod exec;
pub mod faults;
pub mod hooks;
pub mod http;
pub mod life;
pub mod logs;
pub mod memory;
#[path = "../../../src/tests/random.rs"]
pub mod random;
pub mod record;
pub mod run_task;
pub mod shapes;
pub mod state;
pub mod sts;
pub mod tasks;
pub mod told;
pub mod wire;

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use serde_json::Value;

pub use faults::{Calls, Fault};
pub use hooks::Moment;
pub use life::{ContainerLife, Life, Millis, OnSigterm};
pub use record::Record;
pub use told::Started;

use behind::Behind;
use clock::Clock;
use faults::Faults;
use hooks::{Hook, Point};
use random::Random;
use state::{Cluster, Paging, Repository, State};
use wire::{Answer, Refusal, Reply, Request, Service};

/// How much faster than real time the fake's clock runs, without another word. Fast enough for a run of 30 s in half a second, and
/// slow enough that a busy machine's pauses do not look like seconds.
pub const SPEED: f64 = 60.0;
pub const ACCOUNT: &str = "111122223333";
pub const REGION: &str = "eu-west-1";
pub const ACCESS_KEY: &str = "AKIAFAKEFAKEFAKEFAKE";
/// Planted: these may stand in no output of ours.
const SECRET_KEY: &str = "planted-secret-access-key-Zq3vT9";
const SESSION_TOKEN: &str = "planted-session-token-Yw8mK2";
const ECR_PASSWORD: &str = "planted-ecr-password-Xe5rN7";

/// The answer to a request at a time. `Err(problem)`: a call without a script.
pub fn handle(state: &mut State, request: &Request, now: Millis) -> Result<Reply, String> {
    let reply = match request.service {
        Service::Ecs => ecs::handle(state, request, now),
        Service::Ecr => ecr::handle(state, request, now),
        Service::Logs => logs::handle(state, request, now),
        Service::Sts => sts::handle(state, request),
        Service::Ssm => exec::ssm(state, request),
        Service::Kms => exec::kms(state, request),
    };
    let unscripted = || format!("a call without a script: {} {}", request.operation, request.body);
    reply.ok_or_else(unscripted)
}

#[derive(Debug)]
struct Inner {
    state: State,
    faults: Faults,
    /// How many requests there were, and how many of each operation.
    requests: usize,
    counts: HashMap<String, u64>,
    /// Empty where nobody wants them kept.
    records: Vec<Record>,
    keeps_records: bool,
    latency: Option<(Random, Range<u64>)>,
    pushes: Option<PathBuf>,
    pushes_read: usize,
    date_is_fake: bool,
}

/// What a door needs: it brings requests in and carries out what comes of them.
#[derive(Debug)]
pub struct Core {
    clock: Clock,
    inner: Mutex<Inner>,
    hooks: Mutex<Vec<Hook>>,
    /// Whether connections are refused, those that are open included.
    refuses: AtomicBool,
    /// Of the door.
    port: OnceLock<u16>,
    n_faults: AtomicUsize,
    /// Who answers instead of [`handle`].
    behind: Option<Behind>,
}

/// A request under way.
#[derive(Debug)]
pub struct Exchange {
    pub index: usize,
    pub nth: u64,
    pub request: Request,
    pub fault: Option<Fault>,
    /// For a door to wait, in real time, half before the effect and half after it.
    pub latency: Duration,
    /// For a door to let pass before the answer, on the fake's clock.
    pub slow: Millis,
}

/// What a door does at the end of a request.
#[derive(Debug)]
pub enum Act {
    Answer(Answer),
    /// The first half of it, and the connection closes.
    Half(Answer),
    Close,
    Silence,
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that fails in a hook must still show what happened.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A request is here: it gets its number, and what will go wrong with it is decided.
    pub fn arrive(&self, request: Request) -> Exchange {
        let now = self.clock.now();
        let arrived = self.clock.elapsed();
        let inner = &mut *self.lock();
        let index = inner.requests;
        inner.requests += 1;
        let count = inner.counts.entry(request.operation.clone()).or_default();
        *count += 1;
        let nth = *count;
        let fault = inner.faults.pick(&request.operation, index, nth, now);
        let is_by = |key: &str| request.header("authorization").is_some_and(|it| it.contains(key));
        let fault = fault.filter(|it| !matches!(it, Fault::ExpiredKey(key) if !is_by(key)));
        self.n_faults.fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
        if inner.keeps_records {
            inner.records.push(Record {
                index,
                nth,
                request: request.clone(),
                arrived,
                answered: None,
                at: now,
                status: 0,
                answer: String::new(),
            });
        }
        let latency =
            inner.latency.as_mut().map_or(0, |(random, range)| range.start + random.below(range.end - range.start));
        let slow = if let Some(Fault::Slow(span)) = fault { span } else { 0 };
        Exchange { index, nth, request, fault, latency: Duration::from_millis(latency), slow }
    }

    /// Its effect, if it has one, and what the door does then.
    pub fn act(&self, exchange: &Exchange) -> Act {
        let now = self.clock.now();
        let request = &exchange.request;
        let (expired, caller) = {
            let state = &self.lock().state;
            (memory::is_expired(request, &state.keys, now).then_some(Fault::ExpiredToken), state.caller_arn())
        };
        let fault = expired.as_ref().or(exchange.fault.as_ref());
        let acts = fault.is_none_or(Fault::acts);
        let answer = match &self.behind {
            _ if !acts => {
                let body = fault.and_then(|it| it.answer(request)).unwrap_or_default();
                wire::answer(request.service, Ok(body))
            }
            // Others' answers take their time: nobody waits for them with the lock held.
            Some(behind) => behind.ask(request),
            None => {
                let inner = &mut *self.lock();
                read_pushes(inner, now);
                let reply = handle(&mut inner.state, request, now).unwrap_or_else(|problem| {
                    inner.state.problems.push(problem.clone());
                    Err(Refusal::new("UnknownOperationException", problem))
                });
                wire::answer(request.service, reply)
            }
        };
        let refusal = fault.and_then(|it| it.refusal(request.service, &request.operation, &caller));
        if let Some(refusal) = refusal {
            return Act::Answer(refusal.answer(request.service));
        }
        match fault {
            None | Some(Fault::Slow(_) | Fault::EmptyPage | Fault::Missing) => Act::Answer(answer),
            Some(Fault::HalfBody) => Act::Half(answer),
            Some(Fault::NeverAnswer | Fault::NeverAnswerAfter) => Act::Silence,
            Some(_) => Act::Close,
        }
    }

    /// The answer is about to leave.
    pub fn answered(&self, exchange: &Exchange, answer: &Answer) {
        let answered = self.clock.elapsed();
        let inner = &mut *self.lock();
        let Some(record) = inner.records.get_mut(exchange.index) else { return };
        (record.answered, record.status) = (Some(answered), answer.status);
        record.answer.clone_from(&answer.body);
    }

    /// Does what waits for this moment.
    pub fn hook(&self, exchange: &Exchange, moment: Moment) {
        let mut hooks = self.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut due = Vec::new();
        let mut index = 0;
        while index < hooks.len() {
            let here = hooks[index].moment == moment
                && match &hooks[index].point {
                    Point::Request(it) => *it == exchange.index,
                    Point::Call(operation, nth) => *operation == exchange.request.operation && *nth == exchange.nth,
                };
            if here {
                due.push(hooks.remove(index));
            } else {
                index += 1;
            }
        }
        drop(hooks);
        for hook in due {
            (hook.run)();
        }
    }

    /// From now on connections are refused, for so long in real time.
    pub fn refuse_for(self: &Arc<Core>, span: Duration) {
        self.refuses.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = self.port.get().map(|it| std::net::TcpStream::connect(("127.0.0.1", *it)));
        let core = Arc::clone(self);
        std::thread::spawn(move || {
            std::thread::sleep(span);
            core.refuses.store(false, Ordering::SeqCst);
        });
    }

    /// Another run starts its ECS task now: the same as the newest RunTask asks for, but for who started it.
    pub fn run_beside(&self, started_by: &str) {
        let now = self.clock.now();
        let inner = &mut *self.lock();
        let asked = inner.records.iter().rfind(|it| it.request.operation == "RunTask").expect("RunTask was called");
        let mut body = asked.request.body.clone();
        body["startedBy"] = started_by.into();
        let reference = asked.request.str("taskDefinition").unwrap_or_default();
        let definition = definitions::find(&inner.state, reference).expect("it is registered").clone();
        let cluster = inner.state.cluster(body["cluster"].as_str()).expect("there is a cluster").name.clone();
        let task = run_task::start(&mut inner.state, &cluster, &definition, &body, now);
        inner.state.tasks.push(task);
    }

    /// Lets a span of the fake's clock pass.
    pub fn pass(&self, span: Millis) {
        self.clock.pass(span);
    }

    /// Service and operation of every request, in the order of arrival.
    pub fn calls(&self) -> Vec<(&'static str, String)> {
        let inner = self.lock();
        inner.records.iter().map(|it| (it.request.service.as_str(), it.request.operation.clone())).collect()
    }

    /// Something that the test must fail for.
    pub fn problem(&self, problem: String) {
        self.lock().state.problems.push(problem);
    }

    /// For the header Date: real time, unless the fake's clock was asked for.
    fn date(&self) -> String {
        let fake = self.lock().date_is_fake;
        let now = if fake { self.clock.now() } else { Clock::new(1.0).now() };
        http_date(now)
    }
}

/// Images that a fake docker has pushed since: lines of `repository tag digest` in a file.
fn read_pushes(inner: &mut Inner, now: Millis) {
    let Some(path) = &inner.pushes else { return };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(inner.pushes_read) {
        let words: Vec<&str> = line.split(' ').collect();
        if let [repository, tag, digest] = words[..] {
            ecr::add_image(&mut inner.state, repository, tag, digest, now);
        }
    }
    inner.pushes_read = lines.len();
}

/// `Sun, 22 Nov 2026 12:00:00 GMT`.
fn http_date(at: Millis) -> String {
    let stamp = xtask::model::Timestamp(at).to_string();
    let (day, month) = (&stamp[8..10], stamp[5..7].parse::<usize>().unwrap_or(1));
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][at.div_euclid(86_400_000).rem_euclid(7) as usize];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    format!("{weekday}, {day} {} {} {} GMT", months[month - 1], &stamp[..4], &stamp[11..19])
}

/// The fake and its open door. A problem that nobody looked at fails the test when it is dropped.
#[derive(Debug)]
pub struct Fake {
    core: Arc<Core>,
    /// `None`: the other door is used, which is always open.
    door: Option<http::Door>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake::new()
    }
}

/// Before the run: what there is and what will happen.
impl Fake {
    /// An account with nothing in it.
    pub fn new() -> Fake {
        Fake::with_speed(SPEED)
    }

    /// The same, the clock standing still but for [`Fake::advance`]: for a client inside of the test.
    pub fn by_hand() -> Fake {
        Fake::with_speed(0.0)
    }

    /// In front of another's AWS, which answers instead, in real time; only the faults are the fake's.
    pub fn before(url: &str) -> Fake {
        let core = Fake::closed(1.0, Some(Behind::new(url)));
        let door = Some(http::Door::open(Arc::clone(&core)));
        Fake { core, door }
    }

    /// The same, the clock so much faster than real time.
    pub fn with_speed(speed: f64) -> Fake {
        Fake::made(speed, None)
    }

    fn made(speed: f64, behind: Option<Behind>) -> Fake {
        let core = Fake::closed(speed, behind);
        let door = Some(http::Door::open(Arc::clone(&core)));
        Fake { core, door }
    }

    fn closed(speed: f64, behind: Option<Behind>) -> Arc<Core> {
        let state = State {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            random: Random::new(7),
            clusters: Vec::new(),
            services: Vec::new(),
            definitions: Vec::new(),
            tasks: Vec::new(),
            tokens: HashMap::new(),
            repositories: Vec::new(),
            groups: Vec::new(),
            next_lives: std::collections::VecDeque::new(),
            life: Life::new(),
            shard_lives: HashMap::new(),
            room: None,
            next_failures: std::collections::VecDeque::new(),
            missing_first: 0,
            list_lag: 0,
            paging: Paging { seed: 0, most: 10_000, random: false, empty: 0 },
            token_life: 86_400_000,
            ecr_password: ECR_PASSWORD.to_owned(),
            keys: Vec::new(),
            gateway: None,
            not_connected: 0,
            problems: Vec::new(),
        };
        let inner = Inner {
            state,
            faults: Faults::default(),
            requests: 0,
            counts: HashMap::new(),
            records: Vec::new(),
            keeps_records: true,
            latency: None,
            pushes: None,
            pushes_read: 0,
            date_is_fake: false,
        };
        Arc::new(Core {
            clock: Clock::new(speed),
            inner: Mutex::new(inner),
            hooks: Mutex::new(Vec::new()),
            refuses: AtomicBool::new(false),
            port: OnceLock::new(),
            n_faults: AtomicUsize::new(0),
            behind,
        })
    }

    fn change(self, change: impl FnOnce(&mut Inner, Millis)) -> Fake {
        let now = self.core.clock.now();
        change(&mut self.core.lock(), now);
        self
    }

    /// A cluster with Fargate's capacity providers.
    pub fn cluster(self, name: &str) -> Fake {
        self.cluster_with(name, &["FARGATE", "FARGATE_SPOT"])
    }

    /// A cluster with these capacity providers.
    pub fn cluster_with(self, name: &str, capacity_providers: &[&str]) -> Fake {
        self.change(|inner, _| {
            let arn = format!("arn:aws:ecs:{}:{}:cluster/{name}", inner.state.region, inner.state.account);
            let capacity_providers = capacity_providers.iter().map(|it| (*it).to_owned()).collect();
            let configuration = Value::Null;
            inner.state.clusters.push(Cluster { name: name.to_owned(), arn, capacity_providers, configuration });
        })
    }

    /// The `configuration` of the cluster that came last.
    pub fn cluster_configuration(self, configuration: Value) -> Fake {
        self.change(|inner, _| {
            inner.state.clusters.last_mut().expect("there is a cluster").configuration = configuration;
        })
    }

    /// A revision, as RegisterTaskDefinition takes it (`tags` among it). The log groups that it names exist.
    pub fn task_definition(self, request: Value) -> Fake {
        self.change(|inner, now| {
            let definition = definitions::add(&mut inner.state, &request, now - 86_400_000);
            inner.state.groups.extend(logs::groups_of(definition.containers()));
        })
    }

    /// Deregisters a revision, by `family:revision`.
    pub fn inactive(self, revision: &str) -> Fake {
        self.change(|inner, _| {
            let found = inner.state.definitions.iter_mut().find(|it| it.arn.ends_with(&format!("/{revision}")));
            let definition = found.expect("there is that revision");
            definition.active = false;
            definition.document["status"] = serde_json::json!("INACTIVE");
        })
    }

    /// A service, and its ECS tasks that run. See [`ecs::add_service`] for what is filled in.
    pub fn service(self, cluster: &str, members: Value) -> Fake {
        self.change(|inner, now| ecs::add_service(&mut inner.state, cluster, &members, now))
    }

    /// An empty repository.
    pub fn repository(self, name: &str, immutable: bool) -> Fake {
        self.change(|inner, _| {
            inner.state.repositories.push(Repository {
                name: name.to_owned(),
                immutable,
                images: Vec::new(),
                policy: Value::Null,
            });
        })
    }

    /// An image in a repository, which is made where it is missing.
    pub fn image(self, repository: &str, tag: &str, digest: &str) -> Fake {
        self.change(|inner, now| ecr::add_image(&mut inner.state, repository, tag, digest, now))
    }

    /// The own policy of the repository that came last.
    pub fn repository_policy(self, policy: Value) -> Fake {
        self.change(|inner, _| {
            inner.state.repositories.last_mut().expect("there is a repository").policy = policy;
        })
    }

    /// The manifest of the image that came last into the repository that came last.
    pub fn manifest(self, manifest: Value) -> Fake {
        self.change(|inner, _| {
            let repository = inner.state.repositories.last_mut().expect("there is a repository");
            repository.images.last_mut().expect("there is an image").manifest = manifest;
        })
    }

    /// A log group.
    pub fn log_group(self, name: &str) -> Fake {
        self.change(|inner, _| inner.state.groups.push(name.to_owned()))
    }

    /// No log group at all, whatever the task definitions name.
    pub fn no_log_groups(self) -> Fake {
        self.change(|inner, _| inner.state.groups.clear())
    }

    /// The life of every ECS task that has none of its own.
    pub fn task_life(self, life: Life) -> Fake {
        self.change(|inner, _| inner.state.life = life)
    }

    /// The life of the next ECS task; said again, of the one after it.
    pub fn next_life(self, life: Life) -> Fake {
        self.change(|inner, _| inner.state.next_lives.push_back(life))
    }

    /// The life of a shard, by its number: of its first ECS task and of those that follow.
    pub fn shard_life(self, shard: u32, life: Life) -> Fake {
        self.change(|inner, _| drop(inner.state.shard_lives.insert(shard, life)))
    }

    /// Sessions of ECS Exec go there.
    pub fn exec(self, gateway: &crate::gateway::Gateway) -> Fake {
        self.change(|inner, _| inner.state.gateway = Some(gateway.shared()))
    }

    /// ExecuteCommand says so often that the agent is not connected.
    pub fn not_connected(self, calls: u32) -> Fake {
        self.change(|inner, _| inner.state.not_connected = calls)
    }

    /// The next RunTask (said again: the one after it) answers 200 with these failures and no ECS task; none: with neither.
    pub fn run_task_fails(self, reasons: &[&str]) -> Fake {
        let failures = reasons.iter().map(|it| ((*it).to_owned(), None)).collect();
        self.change(|inner, _| inner.state.next_failures.push_back(failures))
    }

    /// Fargate has room for so many ECS tasks at a time; of one more RunTask says that there is none at present.
    pub fn capacity(self, most: usize) -> Fake {
        let words = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
        self.room_for(most, words)
    }

    /// RunTask answers 200 with this failure while so many ECS tasks are not STOPPED.
    pub fn room_for(self, most: usize, reason: &str) -> Fake {
        self.change(|inner, _| inner.state.room = Some((most, reason.to_owned())))
    }

    /// DescribeTasks says MISSING so often of every new ECS task.
    pub fn missing_first(self, calls: u32) -> Fake {
        self.change(|inner, _| inner.state.missing_first = calls)
    }

    /// ListTasks does not know a new ECS task for so long.
    pub fn list_lag(self, span: Millis) -> Fake {
        self.change(|inner, _| inner.state.list_lag = span)
    }

    /// Pages of up to `most` events, as many as the seed says, up to `empty` empty pages with a new token at any place.
    pub fn log_pages(self, seed: u64, most: u64, empty: u64) -> Fake {
        self.change(|inner, _| inner.state.paging = Paging { seed, most, random: true, empty })
    }

    /// CloudWatch Logs forgets a forward token after so long; a day without this.
    pub fn log_tokens_live(self, span: Millis) -> Fake {
        self.change(|inner, _| inner.state.token_life = span)
    }

    /// What goes wrong with which calls of an operation (`*`: of any), numbered from 1: `1`, `2..=4`, `3..`, `..`.
    pub fn fault(self, operation: &str, calls: impl Calls, fault: Fault) -> Fake {
        self.change(|inner, _| inner.faults.calls(operation, calls, fault))
    }

    /// What goes wrong with the request of this number, from 0.
    pub fn fault_at(self, request: usize, fault: Fault) -> Fake {
        self.change(|inner, _| inner.faults.request(request, fault))
    }

    /// What goes wrong from now on plus `from` until now plus `to`, on the fake's clock.
    pub fn fault_during(self, operation: &str, from: Millis, to: Millis, fault: Fault) -> Fake {
        self.change(|inner, now| inner.faults.during(operation, now + from, now + to, fault))
    }

    /// Throttles as AWS does, by token buckets, where it is strictest with reads of the log: 10 a second.
    pub fn throttles_like_aws(self) -> Fake {
        self.throttles_like_aws_at(10.0)
    }

    /// The same in a region that allows so many reads of a stream a second.
    pub fn throttles_like_aws_at(self, log_reads: f64) -> Fake {
        self.change(|inner, now| inner.faults.buckets(log_reads, now))
    }

    /// Requests and answers are counted and not kept: for many of them.
    pub fn keeps_no_records(self) -> Fake {
        self.change(|inner, _| inner.keeps_records = false)
    }

    /// Real milliseconds that each answer takes, by seed.
    pub fn latency(self, seed: u64, range: Range<u64>) -> Fake {
        self.change(|inner, _| inner.latency = Some((Random::new(seed), range)))
    }

    /// The header Date tells the fake's clock; without this real time, since the SDK signs by what it finds there.
    pub fn dates_by_its_clock(self) -> Fake {
        self.change(|inner, _| inner.date_is_fake = true)
    }

    /// A file to which a fake docker appends what it pushed: `repository tag digest` a line.
    pub fn watch_pushes(&self, path: PathBuf) {
        let inner = &mut *self.core.lock();
        (inner.pushes, inner.pushes_read) = (Some(path), 0);
    }
}

/// During the run.
impl Fake {
    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.door.as_ref().expect("it has a door for others").port)
    }

    /// The variables with which a client finds the fake. No region.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("XTASK_TEST_SPEED", self.core.clock.speed().to_string()),
        ]
    }

    /// What may stand in no output.
    pub fn secrets(&self) -> Vec<String> {
        let encoded = aws_smithy_types::base64::encode(format!("AWS:{ECR_PASSWORD}"));
        vec![SECRET_KEY.to_owned(), SESSION_TOKEN.to_owned(), ECR_PASSWORD.to_owned(), encoded]
    }

    /// Something to do, once, at a moment of the request of this number, from 0. The request waits for it.
    pub fn at_request(&self, request: usize, moment: Moment, run: impl FnOnce() + Send + 'static) {
        self.add_hook(Point::Request(request), moment, Box::new(run));
    }

    /// Something to do, once, at a moment of the `nth` call of an operation, from 1. The request waits for it.
    pub fn at_call(&self, operation: &str, nth: u64, moment: Moment, run: impl FnOnce() + Send + 'static) {
        self.add_hook(Point::Call(operation.to_owned(), nth), moment, Box::new(run));
    }

    fn add_hook(&self, point: Point, moment: Moment, run: Box<dyn FnOnce() + Send>) {
        let mut hooks = self.core.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hooks.push(Hook { point, moment, run });
    }

    /// Other pages from now on: see [`Fake::log_pages`].
    pub fn set_log_pages(&self, seed: u64, most: u64, empty: u64) {
        self.core.lock().state.paging = Paging { seed, most, random: true, empty };
    }

    /// Other latencies from now on: see [`Fake::latency`].
    pub fn set_latency(&self, seed: u64, range: Range<u64>) {
        self.core.lock().latency = Some((Random::new(seed), range));
    }

    /// Somebody else stops every ECS task that RunTask made.
    pub fn stop_task_from_outside(&self, reason: &str) {
        let now = self.core.clock.now();
        let inner = &mut *self.core.lock();
        for task in inner.state.tasks.iter_mut().filter(|it| it.service.is_none() && it.stop.is_none()) {
            let (code, reason) = ("UserInitiated".to_owned(), reason.to_owned());
            task.stop = Some(life::Stop { at: now, code, reason });
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, span: Millis) {
        self.core.clock.advance(span);
    }

    /// The fake's time.
    pub fn now(&self) -> Millis {
        self.core.clock.now()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.verify();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_http_dates() {
        assert_eq!(http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
