//! A model of what ECS documents, with callers that go by the production code: [`xtask::exclusive::Claim`] decides every step of theirs, and
//! [`xtask::exclusive::token`] (or a broken one) makes their tokens. Here is only what happens to them and what ECS answers.
//!
//! - Time goes in ticks, one to a millisecond of `Claim`'s clock, without an end: ages saturate, windows are counted from the present one.
//! - ECS keeps a client token until an hour after its ECS task has stopped, or for a day; a token whose call failed it keeps for an
//!   hour, or not at all. The same token with the same parameters gets the first answer again, with others a ConflictException
//!   that names the ECS tasks (just after RunTask: perhaps nobody yet).
//! - ListTasks may lag behind: an ECS task younger than the lag may be listed or not. A second list is never older than the first. An
//!   hour after its stop an ECS task is listed no more.
//! - DescribeTasks is read together with the second list. MISSING makes its reader lose, which is an end like a crash's.
//! - An ECS task runs, is asked to stop (or ends), and is STOPPED, each after any time: more than a day, or none.
//! - A request may be lost, or take effect at any time from its sending until [`World::hold`] after the last moment at which it could have
//!   been sent; its answer may be lost; its sender may give up while it is under way, or crash. RunTask may fail with `failures[]`.
//! - A caller may rest for any time between any two steps, and begins anew after its end: as another run.
//!
//! What bounds the exploration are the numbers of [`World`]: callers at a time, ECS tasks that matter at a time, requests without a
//! sender at a time, failures that ECS remembers at a time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use xtask::exclusive::{Claim, Desired, Link, Moment, Place, Rules, Seen, Status, Step};
use xtask::model::Timestamp;

use super::small::Small;

/// No caller, no task.
const NONE: u8 = u8::MAX;
/// The result of a token whose call failed.
const FAILED: u8 = u8::MAX - 1;
/// The number of the present window, for the production code.
const PRESENT: i64 = 1000;
/// Room for these many; [`World`] says how many there may be.
pub const MOST_CALLERS: usize = 3;
pub const MOST_TASKS: usize = 4;

/// How a token is made.
pub type TokenOf = fn(&Place, &Link) -> String;

/// What is explored.
#[derive(Clone, Copy)]
pub struct World {
    /// What the callers go by, in ticks.
    pub rules: Rules,
    /// How long ListTasks may lag behind.
    pub lag: u8,
    /// How long the last possible request of a window may take to its effect.
    pub hold: u8,
    /// How long ECS keeps what has stopped.
    pub hour: u8,
    /// How long ECS keeps a token of an ECS task that still runs.
    pub day: u8,
    pub callers: usize,
    /// ECS tasks that matter at a time.
    pub tasks: usize,
    /// Requests at a time whose sender has given up or crashed.
    pub orphans: usize,
    /// Tokens of failed calls that ECS remembers at a time.
    pub failures: usize,
    pub token: TokenOf,
    /// Whether what ECS keeps of earlier windows is left out where nobody can ask for it. True only of tokens that name their window,
    /// and of windows that are no longer than ECS's memory; it is the whole difference between a second and a minute.
    pub forgets_early: bool,
}

/// A world, with the production code's tokens and decisions by what they depend on: asking it anew for each of millions of states would
/// take hours.
pub struct Model {
    world: World,
    place: Place,
    tokens: RefCell<HashMap<Short, Rc<str>>>,
    decisions: RefCell<HashMap<(Caller, i64, Fact), Option<Caller>>>,
}

/// What a caller learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fact {
    /// Time has passed.
    Again,
    Looked(Small<Sight, MOST_TASKS>),
    Started(Sight),
    Described(Sight),
    /// With this task, or nobody.
    Conflict(u8),
    Failures,
    Unanswered,
}

/// A task as a caller sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Sight {
    task: u8,
    is_stopped: bool,
    age: u8,
    is_ours: bool,
}

impl std::ops::Deref for Model {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Life {
    #[default]
    Running,
    /// Desired STOPPED, and not STOPPED yet.
    Stopping,
    Stopped,
    /// An hour later; kept while a token names it.
    Forgotten,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Task {
    life: Life,
    age: u8,
    /// Since its stop.
    since: u8,
    /// The caller whose present run started it.
    owner: u8,
}

/// A link, with the window counted from the present one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Short {
    window: i8,
    last: u8,
    n: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Token {
    link: Short,
    /// A task, or [`FAILED`].
    result: u8,
    /// The caller whose present attempt has these parameters.
    parameters: u8,
    /// Of a failed one.
    age: u8,
}

/// A request whose sender has given up, or crashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Orphan {
    link: Short,
    parameters: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    #[default]
    Idle,
    /// Waits for the next window.
    Waits,
    /// Will look.
    MayLook,
    /// Has the first list, with these tasks on it.
    Listed(u8),
    /// Sends RunTask when it comes to it, or has sent it and waits: which of the two, shows only when something comes of it.
    Ready,
    /// Will describe the task that its token is in use for.
    Describes(u8),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Caller {
    phase: Phase,
    link: Option<Short>,
    is_unanswered: bool,
    was_empty: bool,
}

/// Everything at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// Where in the window.
    position: u8,
    /// In the order of their creation.
    tasks: Small<Task, MOST_TASKS>,
    tokens: Small<Token, { MOST_TASKS + 2 }>,
    orphans: Small<Orphan, 2>,
    callers: Small<Caller, MOST_CALLERS>,
}

/// A way on: what happens to which caller, task or request, whether it needs no bad luck, and what is then.
pub struct Move {
    pub what: (&'static str, usize),
    /// Neither a fault nor a crash nor a new run: with such moves alone every run must come to its end.
    pub is_fair: bool,
    pub to: State,
}

impl Model {
    pub fn new(world: World) -> Model {
        let place = Place { cluster: "cluster/c".to_owned(), family: "f".to_owned(), name: "exclusive".to_owned() };
        Model { world, place, tokens: RefCell::default(), decisions: RefCell::default() }
    }

    /// Nobody, nothing.
    pub fn start(&self) -> State {
        let mut callers = Small::default();
        (0..self.callers).for_each(|_| callers.push(Caller::default()));
        State { position: 0, tasks: Small::default(), tokens: Small::default(), orphans: Small::default(), callers }
    }

    fn cap(&self) -> u8 {
        let window = u8::try_from(self.rules.window).expect("windows are short here");
        self.day.max(window).max(self.lag).max(self.hour)
    }

    fn token_of(&self, short: Short) -> Rc<str> {
        let mut tokens = self.tokens.borrow_mut();
        Rc::clone(tokens.entry(short).or_insert_with(|| (self.token)(&self.place, &link(short)).into()))
    }

    /// What the production code makes of a fact. `None`: the run is over.
    fn decide(&self, caller: Caller, position: i64, fact: Fact) -> Option<Caller> {
        let key = (Caller { phase: Phase::Idle, ..caller }, position, fact);
        if let Some(decided) = self.decisions.borrow().get(&key) {
            return *decided;
        }
        let decided = self.ask(caller, position, fact);
        self.decisions.borrow_mut().insert(key, decided);
        decided
    }

    fn ask(&self, caller: Caller, position: i64, fact: Fact) -> Option<Caller> {
        let now = Timestamp(PRESENT * self.rules.window + position);
        let moment = Moment { earliest: now, latest: now };
        let seen = |it: Sight| Seen {
            arn: format!("task/{}", it.task),
            status: if it.is_stopped { Status::Stopped } else { Status::Alive },
            created_at: Some(Timestamp(now.0 - i64::from(it.age))),
            started_by: Some(if it.is_ours { "us" } else { "another" }.to_owned()),
            in_chain: true,
            suffices: false,
        };
        let mut claim = Claim::new(self.place.clone(), "us".to_owned(), self.rules);
        claim.link = caller.link.map(link);
        (claim.is_unanswered, claim.was_empty) = (caller.is_unanswered, caller.was_empty);
        let step = match fact {
            Fact::Again => claim.again(moment),
            Fact::Looked(sights) => {
                let seen: Vec<Seen> = sights.iter().copied().map(seen).collect();
                claim.looked(moment, &seen, moment)
            }
            Fact::Started(it) => claim.started(&seen(it), moment),
            Fact::Described(it) => claim.described(&[seen(it)], moment),
            Fact::Conflict(NONE) => claim.conflict(Vec::new(), moment),
            Fact::Conflict(task) => claim.conflict(vec![format!("task/{task}")], moment),
            Fact::Failures => {
                claim.failures();
                claim.again(moment)
            }
            Fact::Unanswered => {
                claim.unanswered();
                claim.again(moment)
            }
        };
        let phase = match step {
            Step::Run(_) | Step::Pause => Phase::Ready,
            Step::Look => Phase::MayLook,
            Step::Wait(_) => Phase::Waits,
            Step::Describe(arns) => Phase::Describes(index_of(&arns[0])),
            Step::Held(_) | Step::Won(_) | Step::Misplaced(_) | Step::Suffices(_) => return None,
        };
        Some(Caller {
            phase,
            link: claim.link.as_ref().map(short),
            is_unanswered: claim.is_unanswered,
            was_empty: claim.was_empty,
        })
    }

    /// The state after a caller has learnt something.
    fn learns(&self, mut state: State, caller: usize, fact: Fact) -> State {
        match self.decide(state.callers[caller], i64::from(state.position), fact) {
            Some(it) => {
                state.callers[caller] = it;
                state
            }
            None => state.ended(caller),
        }
    }

    fn sight(state: &State, task: usize, caller: usize) -> Sight {
        let it = &state.tasks[task];
        Sight { task: task as u8, is_stopped: it.life >= Life::Stopped, age: it.age, is_ours: it.owner == caller as u8 }
    }

    /// Every way on.
    pub fn moves(&self, state: &State) -> Vec<Move> {
        let mut moves = Vec::with_capacity(32);
        moves.push(Move { what: ("a tick passes", 0), is_fair: true, to: self.tick(state) });
        for (index, task) in state.tasks.iter().enumerate() {
            let next = match task.life {
                Life::Running => Life::Stopping,
                Life::Stopping => Life::Stopped,
                Life::Stopped | Life::Forgotten => continue,
            };
            let mut to = *state;
            to.tasks[index].life = next;
            moves.push(Move { what: ("goes on to its end: task", index), is_fair: true, to });
        }
        for caller in 0..self.callers {
            self.moves_of(state, caller, &mut moves);
        }
        for orphan in 0..state.orphans.len() {
            let mut without = *state;
            let Orphan { link, parameters } = without.orphans.remove(orphan);
            moves.push(Move { what: ("is lost: orphan", orphan), is_fair: true, to: without });
            if self.may_have_effect(state, link) {
                self.effects(&without, link, parameters, NONE, &mut moves);
            }
        }
        moves.iter_mut().for_each(|it| self.canonical(&mut it.to));
        moves
    }

    fn moves_of(&self, state: &State, caller: usize, moves: &mut Vec<Move>) {
        let mut add = |what, is_fair, to| moves.push(Move { what: (what, caller), is_fair, to });
        let it = state.callers[caller];
        if it.phase != Phase::Idle {
            add("crashes: caller", false, state.ended(caller));
        }
        match it.phase {
            Phase::Idle | Phase::MayLook => {
                for listed in self.list(state, self.rules.lists[0]).iter() {
                    let mut to = *state;
                    to.callers[caller].phase = Phase::Listed(*listed);
                    add("has the first list: caller", it.phase == Phase::MayLook, to);
                }
            }
            Phase::Waits => {}
            Phase::Listed(first) => {
                for second in self.list(state, self.rules.lists[1]).iter() {
                    let listed = first | second;
                    let mut sights = Small::default();
                    for task in (0..state.tasks.len()).filter(|it| listed & (1 << it) != 0) {
                        sights.push(Model::sight(state, task, caller));
                    }
                    let to = self.learns(*state, caller, Fact::Looked(sights));
                    add("has the second list: caller", true, to);
                }
            }
            Phase::Ready => {
                let now = self.learns(*state, caller, Fact::Again);
                if now.callers[caller].phase != Phase::Ready {
                    add("finds that it may not send: caller", true, now);
                }
                let Some(link) = it.link.filter(|it| self.may_have_effect(state, *it)) else { return };
                let unanswered = self.learns(*state, caller, Fact::Unanswered);
                add("loses its request: caller", false, unanswered);
                if state.orphans.len() < self.orphans {
                    let mut crashed = state.ended(caller);
                    crashed.orphans.push(Orphan { link, parameters: NONE });
                    add("crashes with a request under way: caller", false, crashed);
                    let mut given_up = unanswered;
                    given_up.orphans.push(Orphan { link, parameters: caller as u8 });
                    add("gives its request up: caller", false, given_up);
                }
                self.effects(state, link, caller as u8, caller as u8, moves);
            }
            Phase::Describes(task) => {
                let sight = Model::sight(state, usize::from(task), caller);
                add("describes its token's task: caller", true, self.learns(*state, caller, Fact::Described(sight)));
            }
        }
    }

    /// What a list may show, as sets of tasks.
    fn list(&self, state: &State, desired: Desired) -> Small<u8, 16> {
        let mut lists = Small::default();
        lists.push(0);
        for (index, task) in state.tasks.iter().enumerate() {
            let is_on_it = match desired {
                Desired::Running => task.life == Life::Running,
                Desired::Stopped => matches!(task.life, Life::Stopping | Life::Stopped),
            };
            if !is_on_it {
                continue;
            }
            let without = lists;
            lists.iter_mut().for_each(|it| *it |= 1 << index);
            if task.age < self.lag {
                without.iter().for_each(|it| lists.push(*it));
            }
        }
        lists
    }

    /// Whether a request for this link may be sent now, or may have been sent so late that it still is under way.
    fn may_have_effect(&self, state: &State, link: Short) -> bool {
        let caller = Caller { link: Some(link), ..Caller::default() };
        let sent = i64::from(state.position) - i64::from(self.hold);
        self.decide(caller, sent, Fact::Again).is_some_and(|it| it.phase == Phase::Ready)
    }

    /// What RunTask may do and answer. `sender`: who hears it, if anybody.
    fn effects(&self, state: &State, link: Short, parameters: u8, sender: u8, moves: &mut Vec<Move>) {
        let is_heard = sender != NONE;
        // The answer comes, or is lost.
        let mut answered = |what, is_fair, mut to: State, fact: Fact| {
            let unheard = if is_heard { self.learns(to, usize::from(sender), Fact::Unanswered) } else { to };
            moves.push(Move { what: (what, usize::from(sender)), is_fair: is_fair && !is_heard, to: unheard });
            if is_heard {
                if fact == Fact::Failures {
                    // The next attempt's parameters are others.
                    to.disown_parameters(sender);
                }
                let heard = self.learns(to, usize::from(sender), fact);
                moves.push(Move { what: (what, usize::from(sender)), is_fair, to: heard });
            }
        };
        let token = self.token_of(link);
        let used = state.tokens.iter().find(|it| self.token_of(it.link) == token);
        match used {
            Some(used) if used.parameters == parameters && parameters != NONE => match used.result {
                FAILED => answered("fails as before: caller", true, *state, Fact::Failures),
                task => {
                    let sight = Model::sight(state, usize::from(task), usize::from(sender));
                    answered("gets its task again: caller", true, *state, Fact::Started(sight));
                }
            },
            Some(used) if used.result == FAILED => {
                answered("conflicts with a failure: caller", true, *state, Fact::Conflict(NONE));
            }
            Some(used) => {
                answered("conflicts: caller", true, *state, Fact::Conflict(used.result));
                // Just after RunTask the conflict may name nobody yet, but not so long that it does so twice.
                let is_new = state.tasks[usize::from(used.result)].age == 0;
                if is_new && is_heard && !state.callers[usize::from(sender)].was_empty {
                    answered("conflicts with somebody's call: caller", true, *state, Fact::Conflict(NONE));
                }
            }
            None => {
                if state.tasks.len() < self.tasks {
                    let mut to = *state;
                    let task = to.tasks.len() as u8;
                    to.tasks.push(Task { life: Life::Running, age: 0, since: 0, owner: parameters });
                    to.tokens.push(Token { link, result: task, parameters, age: 0 });
                    let sight = Model::sight(&to, usize::from(task), usize::from(sender));
                    answered("starts a task: caller", true, to, Fact::Started(sight));
                }
                answered("fails: caller", false, *state, Fact::Failures);
                if state.tokens.iter().filter(|it| it.result == FAILED).count() < self.failures {
                    let mut to = *state;
                    to.tokens.push(Token { link, result: FAILED, parameters, age: 0 });
                    answered("fails, which ECS remembers: caller", false, to, Fact::Failures);
                }
            }
        }
    }

    fn tick(&self, state: &State) -> State {
        let mut to = *state;
        let cap = self.cap();
        for task in to.tasks.iter_mut() {
            task.age = (task.age + 1).min(cap);
            if task.life == Life::Stopped {
                task.since += 1;
                if task.since >= self.hour {
                    task.life = Life::Forgotten;
                }
            }
        }
        to.tokens.iter_mut().filter(|it| it.result == FAILED).for_each(|it| it.age += 1);
        to.position += 1;
        if i64::from(to.position) == self.rules.window {
            to.position = 0;
            let older = |it: &mut Short| it.window = (it.window - 1).max(-9);
            to.tokens.iter_mut().for_each(|it| older(&mut it.link));
            to.orphans.iter_mut().for_each(|it| older(&mut it.link));
            for caller in to.callers.iter_mut() {
                caller.link.iter_mut().for_each(older);
                // What was looked at in the window before is of no use: the production code says so itself, of a link of that window.
                if matches!(caller.phase, Phase::Listed(_) | Phase::Waits) {
                    caller.phase = Phase::MayLook;
                }
            }
        }
        to
    }

    /// Takes away what makes no difference any more, and gives equal states one form.
    fn canonical(&self, state: &mut State) {
        let (tasks, hour, day) = (state.tasks, self.hour, self.day);
        let forgets_early = self.forgets_early;
        let mut orphans = state.orphans;
        orphans.retain(|it| self.may_have_effect(state, it.link));
        state.orphans = orphans;
        // Whether somebody may still ask with a token of the window before.
        let asks_late = state.orphans.iter().any(|it| it.link.window < 0)
            || state.callers.iter().any(|it| {
                it.phase == Phase::Ready && it.link.is_some_and(|it| it.window < 0 && self.may_have_effect(state, it))
            });
        state.tokens.retain(|it| {
            let is_kept = match it.result {
                FAILED => it.age < hour,
                task => {
                    let task = &tasks[usize::from(task)];
                    task.life != Life::Forgotten && (task.life == Life::Stopped || task.age < day)
                }
            };
            let is_needed = it.link.window == 0 || asks_late;
            is_kept && (is_needed || !forgets_early)
        });
        let at = *state;
        for caller in state.callers.iter_mut() {
            let Some(link) = &mut caller.link else { continue };
            if link.window < 0 && !(caller.phase == Phase::Ready && self.may_have_effect(&at, *link)) {
                // The link's window is over, and only whether a request was answered still counts.
                *link = Short { window: -1, last: NONE, n: 0 };
                caller.was_empty = false;
                if matches!(caller.phase, Phase::Ready | Phase::MayLook) {
                    caller.phase = Phase::MayLook;
                    if !caller.is_unanswered {
                        caller.link = None;
                    }
                }
            }
        }
        // Tasks that nothing can ask for any more.
        let mut index = 0;
        while index < state.tasks.len() {
            let in_window = state.tasks[index].age <= state.position;
            let cap = self.cap();
            let task = &mut state.tasks[index];
            let is_over = task.life >= Life::Stopped;
            if !in_window && (is_over || forgets_early) {
                task.age = cap;
            }
            if forgets_early {
                // Neither an hour nor a day passes in a window.
                task.since = 0;
            }
            let is_needless = is_over && !in_window && task.owner == NONE || task.life == Life::Forgotten;
            if is_needless && !state.names(index as u8) {
                state.remove_task(index as u8);
            } else {
                index += 1;
            }
        }
        state.tokens.sort();
        state.orphans.sort();
        self.sort_callers(state);
    }

    /// Callers are alike: of the states that differ in their numbers, one stands for all.
    fn sort_callers(&self, state: &mut State) {
        // What a caller is, apart from its number.
        let key = |caller: usize| {
            let number = caller as u8;
            let mut mask = 0_u32;
            let mut bit = |is: bool| mask = mask << 1 | u32::from(is);
            state.tasks.iter().for_each(|it| bit(it.owner == number));
            state.tokens.iter().for_each(|it| bit(it.parameters == number));
            state.orphans.iter().for_each(|it| bit(it.parameters == number));
            (state.callers[caller], mask, number)
        };
        let mut keyed: Small<(Caller, u32, u8), MOST_CALLERS> = Small::default();
        (0..self.callers).for_each(|it| keyed.push(key(it)));
        keyed.sort();
        if keyed.iter().enumerate().all(|(new, it)| new == usize::from(it.2)) {
            return;
        }
        let mut new_of = [NONE; MOST_CALLERS];
        for (new, it) in keyed.iter().enumerate() {
            new_of[usize::from(it.2)] = new as u8;
            state.callers[new] = it.0;
        }
        let rename = |it: &mut u8| {
            if *it != NONE {
                *it = new_of[usize::from(*it)];
            }
        };
        state.tasks.iter_mut().for_each(|it| rename(&mut it.owner));
        state.tokens.iter_mut().for_each(|it| rename(&mut it.parameters));
        state.orphans.iter_mut().for_each(|it| rename(&mut it.parameters));
        state.tokens.sort();
        state.orphans.sort();
    }
}

impl State {
    /// How many ECS tasks there are at once: two are one too many.
    pub fn alive(&self) -> usize {
        self.tasks.iter().filter(|it| it.life < Life::Stopped).count()
    }

    /// Whether every run has come to its end.
    pub fn is_idle(&self) -> bool {
        self.callers.iter().all(|it| it.phase == Phase::Idle)
    }

    /// The run of this caller is over, however it ended.
    fn ended(mut self, caller: usize) -> State {
        let number = caller as u8;
        self.callers[caller] = Caller::default();
        self.disown_parameters(number);
        self.tasks.iter_mut().filter(|it| it.owner == number).for_each(|it| it.owner = NONE);
        self
    }

    /// From now on nobody sends these parameters.
    fn disown_parameters(&mut self, number: u8) {
        self.tokens.iter_mut().filter(|it| it.parameters == number).for_each(|it| it.parameters = NONE);
        self.orphans.iter_mut().filter(|it| it.parameters == number).for_each(|it| it.parameters = NONE);
    }

    /// Whether something still names this task.
    fn names(&self, task: u8) -> bool {
        self.tokens.iter().any(|it| it.result == task || it.link.last == task)
            || self.orphans.iter().any(|it| it.link.last == task)
            || self.callers.iter().any(|it| {
                it.link.is_some_and(|it| it.last == task)
                    || match it.phase {
                        Phase::Listed(mask) => mask & (1 << task) != 0,
                        Phase::Describes(it) => it == task,
                        _ => false,
                    }
            })
    }

    fn remove_task(&mut self, task: u8) {
        self.tasks.remove(usize::from(task));
        let down = |it: &mut u8| {
            if *it != NONE && *it != FAILED && *it > task {
                *it -= 1;
            }
        };
        for token in self.tokens.iter_mut() {
            down(&mut token.result);
            down(&mut token.link.last);
        }
        self.orphans.iter_mut().for_each(|it| down(&mut it.link.last));
        for caller in self.callers.iter_mut() {
            caller.link.iter_mut().for_each(|it| down(&mut it.last));
            match &mut caller.phase {
                Phase::Listed(mask) => *mask = (*mask & ((1 << task) - 1)) | (*mask >> (task + 1) << task),
                Phase::Describes(it) => down(it),
                _ => {}
            }
        }
    }
}

/// The production code's link.
fn link(short: Short) -> Link {
    let last = (short.last != NONE).then(|| format!("task/{}", short.last));
    Link { window: PRESENT + i64::from(short.window), last, n: u32::from(short.n) }
}

fn short(link: &Link) -> Short {
    let last = link.last.as_ref().map_or(NONE, |it| index_of(it));
    let window = i8::try_from(link.window - PRESENT).expect("windows are counted from the present one");
    Short { window, last, n: u8::try_from(link.n).expect("failures are bounded") }
}

fn index_of(arn: &str) -> u8 {
    arn.strip_prefix("task/").and_then(|it| it.parse().ok()).expect("tasks have this name here")
}
