//! Drives the state machine of `session` for one session: its channel, the terminal, signals, time, and a look at the ECS task now and
//! then. Every call is a future that lives on until it is answered, as in `stage::follow`.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::resume::{self, Link, Next, Reopened};
use crate::aws::channel::Heard;
use crate::aws::ecs::Described;
use crate::aws::{Aws, AwsError, session::StreamSession};
use crate::error::Result;
use crate::event::Event;
use crate::model::{EcsTask, Timestamp};
use crate::session::command::{Marks, Seen, Shape, piped, piped_end};
use crate::session::escape::{Escapes, Keys};
use crate::session::modes::Modes;
use crate::session::{Action, DataKey, Input, Session, Settings};
use crate::tools::signals::{Signals, TerminalSignal, TerminalSignals};
use crate::tools::terminal::{self, Raw, Screen};
use crate::ui::Ui;

/// How often the ECS task is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often the service is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// Without a word for so long the channel is taken for cut: two pings and some more.
const DEAF: Duration = Duration::from_secs(75);
/// From the command's end to ours, for the service to close the session itself.
const LINGER: Duration = Duration::from_secs(1);
/// Output that may be unwritten while more is read.
const UNWRITTEN: usize = 1 << 20;
/// Bytes of piped input taken at once are at most twice as many when they are escaped.
const FEED_ROOM: usize = 16_384;
/// How long an end by force may take on the other side.
const FAREWELL: Duration = Duration::from_secs(3);
/// Session Manager's idle limit, which ECS Exec does not let anybody change.
const IDLE: Duration = Duration::from_secs(19 * 60);

const LIMITS: &str = "[ECS ends a session after 20 minutes without a key; ~. behind Enter ends it at once]\r\n";
const HELP: &str = "\r\n[~. ends the session, ~^Z suspends this program, ~~ sends ~; behind Enter only]\r\n";

/// How a session ended.
#[derive(Debug)]
pub enum End {
    /// The command ended by itself, with this code.
    Exited(u8),
    /// The service ended the session and the command told no code.
    Closed {
        /// What failed, in the agent's words; usually empty.
        text: String,
        /// Whether nothing was typed or printed for so long that this may be the reason.
        idle: bool,
        /// Whether the command printed anything.
        silent: bool,
        /// Whether it was over when a lost connection was to be resumed: nobody saw how it ended.
        unseen: bool,
    },
    /// The session ended as one does behind its command, and nothing could tell the command's code.
    NoCode,
    /// The channel was cut and could not be opened again, or the service refused it.
    Lost {
        /// Why.
        why: String,
        /// One thing to do.
        hint: Option<String>,
    },
    /// The person at the keyboard ended it with the escape.
    Escaped,
    /// A signal ended it.
    Signal(u8),
    /// The ECS task is stopping or has stopped.
    Stopped(Box<EcsTask>),
    /// The time was over.
    TimedOut,
    /// Nobody can read the output any more.
    OutputGone,
}

/// Which session, and how it is shown.
#[derive(Debug)]
pub struct Setting<'a> {
    /// The clients.
    pub aws: &'a Aws,
    /// The printer.
    pub ui: &'a Ui,
    /// The cluster.
    pub cluster: &'a str,
    /// The ECS task's ARN.
    pub task: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// `ecs:CLUSTER_TASK_RUNTIME`.
    pub target_id: String,
    /// What the marks of the command are known by.
    pub token: String,
    /// Whether the command writes marks at all.
    pub marked: bool,
    /// Where the bytes go.
    pub shape: Shape,
    /// Whether lines are told as events.
    pub json: bool,
    /// When the time is over.
    pub deadline: Option<Instant>,
}

/// The local end: what is typed, and the terminal as it is now. Made once and used for every session of a command.
#[derive(Debug, Default)]
pub struct Local {
    typed: Option<mpsc::Receiver<Vec<u8>>>,
    signals: Option<TerminalSignals>,
}

type Call<'a, T> = Option<Pin<Box<dyn Future<Output = T> + 'a>>>;

struct Drive<'a> {
    setting: &'a Setting<'a>,
    local: &'a mut Local,
    session: Session,
    stream: StreamSession,
    marks: Marks,
    escapes: Escapes,
    modes: Modes,
    screen: Option<Screen>,
    raw: Option<Raw>,
    /// Whether input may go: the script has begun, or there is none.
    feeding: bool,
    input_over: bool,
    exit: Option<u8>,
    exit_at: Option<Instant>,
    printed: bool,
    line: Vec<u8>,
    lines: Vec<Event>,
    start: Instant,
    last_heard: Instant,
    last_pinged: Instant,
    last_active: Instant,
    end: Option<End>,
}

/// Carries a session through to its end. The terminal is as it was before when this returns.
pub async fn drive(
    setting: &Setting<'_>,
    stream: StreamSession,
    local: &mut Local,
    signals: &mut Signals,
) -> Result<End> {
    let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let settings = Settings {
        session_id: stream.id.clone(),
        target_id: setting.target_id.clone(),
        seed: crate::tools::random::random_bytes::<32>()?,
        epoch: u64::try_from(epoch.as_millis()).unwrap_or(0),
    };
    let now = Instant::now();
    let mut drive = Drive {
        setting,
        local,
        session: Session::new(settings),
        stream,
        marks: Marks::new(&setting.token),
        escapes: Escapes::default(),
        modes: Modes::default(),
        screen: None,
        raw: None,
        feeding: setting.shape == Shape::Terminal || !setting.marked,
        input_over: false,
        exit: None,
        exit_at: None,
        printed: false,
        line: Vec::new(),
        lines: Vec::new(),
        start: now,
        last_heard: now,
        last_pinged: now,
        last_active: now,
        end: None,
    };
    drive.run(signals).await
}

impl Drive<'_> {
    async fn run(&mut self, signals: &mut Signals) -> Result<End> {
        let aws = self.setting.aws;
        let speed = aws.speed;
        // Keeping a channel alive is between machines: a test that hurries everything must not cut channels on a busy one.
        let calm = speed.min(10.0);
        let mut link = Link::first(aws, self.stream.clone());
        let mut look: Call<'_, Option<EcsTask>> = None;
        let mut look_at = Instant::now() + LOOK.div_f64(speed);
        let mut key: Call<'_, Result<DataKey, AwsError>> = None;
        let mut log: Call<'_, ()> = None;
        let mut actions = Vec::new();
        if let Some((columns, rows)) = terminal::size().filter(|_| self.setting.shape == Shape::Terminal) {
            actions = self.session.on(Input::Size(columns, rows), self.now());
        }
        loop {
            let mut key_wanted = None;
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Send(bytes) => link.send(bytes),
                    Action::NeedKey { key_id, context } => key_wanted = Some((key_id, context)),
                    Action::Ready => self.ready(signals).await?,
                    other => self.act(other),
                }
            }
            if let Some((key_id, context)) = key_wanted {
                key = Some(Box::pin(async move { aws.data_key(&key_id, &context).await }));
            }
            if !self.lines.is_empty() && log.is_none() {
                let lines = std::mem::take(&mut self.lines);
                log = Some(Box::pin(self.setting.ui.log(lines)));
            }
            if let Some(end) = self.end.take() {
                return Ok(self.leave(end, link, log, signals).await);
            }

            let wake = self.wake_at(speed, calm, link.is_open());
            let backlog = self.screen.as_ref().is_some_and(|it| it.waiting() > UNWRITTEN) || log.is_some();
            if backlog {
                // The service is not asked while nobody listens.
                self.last_heard = Instant::now();
            }
            let may_type = self.session.is_ready()
                && self.feeding
                && !self.input_over
                && self.exit.is_none()
                && self.session.room() > FEED_ROOM;
            actions = tokio::select! {
                // Signals first: a flood of output must not make them wait.
                biased;
                signal = signals.next() => {
                    self.end = Some(End::Signal(signal));
                    Vec::new()
                }
                signal = terminal_signal(&mut self.local.signals) => self.on_terminal(signal),
                () = gone(&self.screen) => {
                    self.end = Some(End::OutputGone);
                    Vec::new()
                }
                () = sleep_until(self.setting.deadline) => {
                    self.end = Some(End::TimedOut);
                    Vec::new()
                }
                typed = typed(&mut self.local.typed), if may_type => self.on_typed(typed),
                event = link.next(), if !(backlog && link.is_open()) => match event {
                    Next::Heard(heard) => {
                        self.last_heard = Instant::now();
                        match heard {
                            Heard::Frame(bytes) => self.session.on(Input::Frame(&bytes), self.now()),
                            Heard::Alive => Vec::new(),
                        }
                    }
                    Next::Cut(why) => self.cut(&mut link, &why),
                    Next::Reopened(reopened) => self.on_reopened(&mut link, reopened),
                },
                () = drained(&self.screen), if backlog && log.is_none() => Vec::new(),
                () = done(&mut log), if log.is_some() => Vec::new(),
                answer = done(&mut key), if key.is_some() => {
                    let answer = answer.map_err(|it| it.cause());
                    self.session.on(Input::Key(answer), self.now())
                }
                task = done(&mut look), if look.is_some() => {
                    look_at = Instant::now() + LOOK.div_f64(speed);
                    if let Some(task) = task.filter(is_ending) {
                        self.end = Some(End::Stopped(Box::new(task)));
                    }
                    Vec::new()
                }
                () = tokio::time::sleep_until(wake.min(look_at)) => {
                    if look.is_none() && Instant::now() >= look_at {
                        look_at = Instant::now() + Duration::from_secs(3600);
                        look = Some(Box::pin(describe(aws, self.setting.cluster, self.setting.task)));
                    }
                    self.on_time(&mut link, calm)
                }
            };
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed().mul_f64(self.setting.aws.speed)
    }

    fn wake_at(&self, speed: f64, calm: f64, open: bool) -> Instant {
        let of_session = self.session.wake_at();
        let far = Instant::now() + Duration::from_secs(3600);
        let mut wake = match of_session {
            Duration::MAX => far,
            at => self.start + at.div_f64(speed),
        };
        if open {
            wake = wake.min(self.last_pinged + PING.div_f64(calm)).min(self.last_heard + DEAF.div_f64(calm));
        }
        match self.exit_at {
            Some(at) => wake.min(at),
            None => wake,
        }
    }

    /// The other side is there: from here on the terminal is its terminal.
    async fn ready(&mut self, signals: &mut Signals) -> Result<()> {
        let setting = self.setting;
        if self.screen.is_none() && !setting.json {
            tokio::select! {
                () = setting.ui.sync() => {}
                signal = signals.next() => {
                    self.end = Some(End::Signal(signal));
                    return Ok(());
                }
            }
            let screen = Screen::new()?;
            if setting.shape == Shape::Terminal {
                screen.write(LIMITS.as_bytes().to_vec());
            }
            self.screen = Some(screen);
        }
        if setting.shape == Shape::Terminal && self.raw.is_none() {
            if self.local.signals.is_none() {
                self.local.signals = Some(TerminalSignals::new()?);
            }
            self.raw = Raw::enter();
        }
        if self.local.typed.is_none() {
            self.local.typed = Some(terminal::typed());
        }
        Ok(())
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Print(bytes) => self.print(&bytes),
            Action::Note(text) => self.tell(&text),
            Action::ExitCode(code) => {
                self.exited(u8::try_from(code).unwrap_or(crate::error::exit::FAILED));
            }
            Action::Closed(text) => {
                let end = match self.exit {
                    Some(code) => End::Exited(code),
                    None => End::Closed {
                        text,
                        idle: self.last_active.elapsed().mul_f64(self.setting.aws.speed) >= IDLE,
                        silent: !self.printed,
                        unseen: false,
                    },
                };
                self.end.get_or_insert(end);
            }
            Action::Failed(why) => {
                let end = match self.exit {
                    Some(code) => End::Exited(code),
                    None => End::Lost { why, hint: Some("try again with --plugin".to_owned()) },
                };
                self.end.get_or_insert(end);
            }
            Action::Send(_) | Action::NeedKey { .. } | Action::Ready => {}
        }
    }

    fn print(&mut self, bytes: &[u8]) {
        self.last_active = Instant::now();
        for seen in self.marks.read(bytes) {
            match seen {
                Seen::Bytes(bytes) => self.show(bytes),
                Seen::Started => self.feeding = true,
                Seen::Exited(code) => self.exited(code),
            }
        }
    }

    fn exited(&mut self, code: u8) {
        if self.exit.is_none() {
            self.exit = Some(code);
            self.exit_at = Some(Instant::now() + LINGER.div_f64(self.setting.aws.speed.min(10.0)));
        }
    }

    fn show(&mut self, bytes: Vec<u8>) {
        self.printed = true;
        if self.setting.json {
            self.line.extend_from_slice(&bytes);
            while let Some(end) = self.line.iter().position(|it| *it == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                self.tell_line(&line);
            }
            return;
        }
        self.modes.watch(&bytes);
        if let Some(screen) = &self.screen {
            screen.write(bytes);
        }
    }

    fn tell_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.lines.push(Event::Log {
            message: String::from_utf8_lossy(line).into_owned(),
            timestamp: Timestamp(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)),
            container: self.setting.container.to_owned(),
        });
    }

    /// Says something of ours, in between.
    fn tell(&self, text: &str) {
        match (&self.raw, &self.screen) {
            (Some(_), Some(screen)) => screen.write(format!("\r\n[{text}]\r\n").into_bytes()),
            _ => self.setting.ui.emit(Event::Warning { message: text.to_owned(), hint: None }),
        }
    }

    fn on_typed(&mut self, typed: Option<Vec<u8>>) -> Vec<Action> {
        self.last_active = Instant::now();
        let plain = self.setting.shape == Shape::Plain;
        let Some(bytes) = typed else {
            self.input_over = true;
            return if plain { self.session.on(Input::Keys(&piped_end()), self.now()) } else { Vec::new() };
        };
        if plain {
            return self.session.on(Input::Keys(&piped(&bytes)), self.now());
        }
        let mut actions = Vec::new();
        for keys in self.escapes.keys(&bytes) {
            match keys {
                Keys::Send(keys) => actions.extend(self.session.on(Input::Keys(&keys), self.now())),
                Keys::End => {
                    self.end = Some(End::Escaped);
                    break;
                }
                Keys::Suspend => actions.extend(self.suspend()),
                Keys::Help => {
                    if let Some(screen) = &self.screen {
                        screen.write(HELP.as_bytes().to_vec());
                    }
                }
            }
        }
        actions
    }

    fn on_terminal(&mut self, signal: TerminalSignal) -> Vec<Action> {
        match signal {
            TerminalSignal::Suspend => self.suspend(),
            // Whoever stopped this program has set the terminal to what it was.
            TerminalSignal::Continued => self.back(),
            TerminalSignal::Resized => self.resized(),
        }
    }

    fn suspend(&mut self) -> Vec<Action> {
        if let Some(raw) = &self.raw {
            raw.pause();
        }
        terminal::suspend();
        self.back()
    }

    fn back(&mut self) -> Vec<Action> {
        if let Some(raw) = &self.raw {
            raw.apply();
        }
        self.resized()
    }

    fn resized(&mut self) -> Vec<Action> {
        match terminal::size() {
            Some((columns, rows)) if self.setting.shape == Shape::Terminal => {
                self.session.on(Input::Size(columns, rows), self.now())
            }
            _ => Vec::new(),
        }
    }

    fn cut<'a>(&mut self, link: &mut Link<'a>, why: &str) -> Vec<Action> {
        let actions = self.session.on(Input::Cut, self.now());
        if let Some(code) = self.exit {
            // All that counts has come.
            self.end.get_or_insert(End::Exited(code));
            return actions;
        }
        if !self.session.is_closing() {
            self.setting.ui.note(format!("{why}; opening the channel again"));
        }
        link.cut();
        actions
    }

    fn on_reopened<'a>(&mut self, link: &mut Link<'a>, reopened: Reopened) -> Vec<Action> {
        match reopened {
            Reopened::Open(stream, mut channel) => {
                channel.send_text(self.session.first_frame(&stream.token));
                self.stream = stream.clone();
                link.open(stream, channel);
                self.last_heard = Instant::now();
                self.last_pinged = Instant::now();
                self.session.on(Input::Opened, self.now())
            }
            Reopened::Again(why) => {
                if link.is_worth_telling() {
                    self.tell(&format!(
                        "the connection is lost ({why}); trying to get it back, ~. behind Enter ends the session"
                    ));
                }
                Vec::new()
            }
            Reopened::Over => {
                let idle = self.last_active.elapsed().mul_f64(self.setting.aws.speed) >= IDLE;
                let silent = !self.printed;
                self.end.get_or_insert(End::Closed { text: String::new(), idle, silent, unseen: true });
                Vec::new()
            }
            Reopened::Never { why, hint } => {
                self.end.get_or_insert(End::Lost { why, hint });
                Vec::new()
            }
        }
    }

    fn on_time<'a>(&mut self, link: &mut Link<'a>, calm: f64) -> Vec<Action> {
        let now = Instant::now();
        if let (Some(code), Some(at)) = (self.exit, self.exit_at)
            && now >= at
        {
            self.end.get_or_insert(End::Exited(code));
            return Vec::new();
        }
        let mut actions = Vec::new();
        if link.is_open() {
            if now >= self.last_heard + DEAF.div_f64(calm) {
                actions.extend(self.cut(link, "the service has not answered"));
            } else if now >= self.last_pinged + PING.div_f64(calm) {
                self.last_pinged = now;
                link.ping();
            }
        }
        actions.extend(self.session.on(Input::Tick, self.now()));
        actions
    }

    /// The end: the terminal becomes what it was, what is unwritten is written, and the other side hears of it if it does not know.
    async fn leave(&mut self, end: End, mut link: Link<'_>, log: Call<'_, ()>, signals: &mut Signals) -> End {
        let aws = self.setting.aws;
        let rest = self.marks.rest();
        if !rest.is_empty() {
            self.show(rest);
        }
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.tell_line(&line);
        }
        if let Some(screen) = &self.screen {
            let reset = self.modes.reset();
            if self.raw.is_some() && !reset.is_empty() {
                screen.write(reset);
            }
        }
        let lines = std::mem::take(&mut self.lines);
        let written = async {
            if let Some(log) = log {
                log.await;
            }
            if !lines.is_empty() {
                self.setting.ui.log(lines).await;
            }
            if let Some(screen) = &self.screen {
                screen.down_to(0).await;
            }
        };
        // A terminal that takes nothing (Ctrl-S, a closed window) must not hold up what costs money.
        let patience = if matches!(end, End::Exited(_) | End::Closed { .. }) { None } else { Some(FAREWELL) };
        tokio::select! {
            () = written => {}
            _ = signals.next() => {}
            () = async { match patience { Some(it) => tokio::time::sleep(it.div_f64(aws.speed.min(10.0))).await, None => std::future::pending().await } } => {}
        }
        self.raw = None;
        let known = matches!(end, End::Closed { .. } | End::Stopped(_)) || self.session.is_closing();
        if !known {
            let farewell = async {
                link.farewell().await;
                if let Err(error) = aws.terminate_session(&self.stream.id).await {
                    self.setting.ui.note(format!("the session may stay open until it is idle: {}", error.cause()));
                }
            };
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
        }
        end
    }
}

/// Whether it is on its way out, or out.
fn is_ending(task: &EcsTask) -> bool {
    task.is_stopped() || task.desired_status.as_deref() == Some("STOPPED")
}

async fn describe(aws: &Aws, cluster: &str, task: &str) -> Option<EcsTask> {
    let described = aws.describe_tasks(cluster, &[task.to_owned()]).await.ok()?;
    match described.into_iter().next()? {
        (_, Described::Task(task)) => Some(*task),
        (_, Described::Missing(_)) => None,
    }
}

async fn done<T>(call: &mut Call<'_, T>) -> T {
    match call {
        Some(future) => {
            let value = future.await;
            *call = None;
            value
        }
        None => std::future::pending().await,
    }
}

async fn typed(typed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

async fn terminal_signal(signals: &mut Option<TerminalSignals>) -> TerminalSignal {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

async fn gone(screen: &Option<Screen>) {
    match screen {
        Some(screen) => screen.broken().await,
        None => std::future::pending().await,
    }
}

async fn drained(screen: &Option<Screen>) {
    match screen {
        Some(screen) => screen.down_to(UNWRITTEN / 2).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

pub use resume::MOST as RESUME_PATIENCE;
