//! The session against the agent's half of it, over a network of the tests' own that loses, repeats, reorders and cuts.

use super::message::payload;
use super::*;

/// The same agent that the tests through the built binary use.
mod agent;
mod wire {
    pub use crate::session::{crypt, message};
}
use agent::{Agent, Heard, channel_closed};

const MILLISECOND: Duration = Duration::from_millis(1);

fn settings() -> Settings {
    Settings {
        session_id: "ecs-execute-command-0123".to_owned(),
        target_id: "ecs:c_t_r".to_owned(),
        seed: [3; 32],
        epoch: 1_789_821_296_000,
    }
}

fn open(now: Duration) -> Session {
    let mut session = Session::new(settings());
    session.on(Input::Opened, now);
    session
}

fn sends(actions: &[Action]) -> Vec<Message> {
    let frames = actions.iter().filter_map(|it| match it {
        Action::Send(bytes) => Message::decode(bytes).ok(),
        _ => None,
    });
    frames.collect()
}

fn prints(actions: &[Action]) -> Vec<u8> {
    actions.iter().flat_map(|it| if let Action::Print(bytes) = it { bytes.clone() } else { Vec::new() }).collect()
}

#[test]
fn the_first_frame_keeps_the_client_and_changes_the_request() {
    let mut session = Session::new(settings());
    let (one, two) = (session.first_frame("token"), session.first_frame("token2"));
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (one, two) = (read(&one), read(&two));
    assert_eq!(one["MessageSchemaVersion"], "1.0");
    assert_eq!(one["ClientVersion"], "1.2.764.0");
    assert_eq!((&one["TokenValue"], &two["TokenValue"]), (&json!("token"), &json!("token2")));
    assert_eq!(one["ClientId"], two["ClientId"]);
    assert_ne!(one["RequestId"], two["RequestId"]);
    let id = one["RequestId"].as_str().unwrap();
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
}

#[test]
fn nothing_is_sent_before_the_agent_is_there() {
    let mut session = open(Duration::ZERO);
    assert_eq!(session.on(Input::Size(120, 40), Duration::ZERO), []);
    assert_eq!(session.on(Input::Keys(b"ls\r"), 100 * MILLISECOND), []);
    let mut agent = Agent::new();
    let actions = session.on(Input::Frame(&agent.output(b"$ ", Duration::ZERO)), 200 * MILLISECOND);
    assert!(actions.contains(&Action::Ready));
    assert_eq!(prints(&actions), b"$ ");
    let sent = sends(&actions);
    let kinds: Vec<(i64, u32)> =
        sent.iter().filter(|it| it.kind == Kind::Input).map(|it| (it.sequence, it.payload_type)).collect();
    assert_eq!(kinds, [(0, payload::SIZE), (1, payload::OUTPUT)]);
    assert_eq!(sent.last().unwrap().payload, b"ls\r");
    assert_eq!(sent.last().unwrap().created, 1_789_821_296_200);
}

#[test]
fn a_silent_program_gets_its_input() {
    let mut session = open(Duration::ZERO);
    session.on(Input::Size(80, 24), Duration::ZERO);
    session.on(Input::Keys(b"x"), Duration::ZERO);
    assert_eq!(session.wake_at(), SILENCE);
    let actions = session.on(Input::Tick, SILENCE);
    assert_eq!(sends(&actions).len(), 2);
    assert!(actions.contains(&Action::Ready));
}

#[test]
fn duplicates_are_acknowledged_again_and_printed_once() {
    let mut session = open(Duration::ZERO);
    let mut agent = Agent::new();
    let (one, two) = (agent.output(b"one", Duration::ZERO), agent.output(b"two", Duration::ZERO));
    let early = session.on(Input::Frame(&two), Duration::ZERO);
    assert_eq!((sends(&early).len(), prints(&early)), (1, vec![]));
    let both = session.on(Input::Frame(&one), Duration::ZERO);
    assert_eq!(prints(&both), b"onetwo");
    for frame in [&one, &two, &one] {
        let again = session.on(Input::Frame(frame), Duration::ZERO);
        assert_eq!((sends(&again).len(), prints(&again)), (1, vec![]));
        assert_eq!(sends(&again)[0].kind, Kind::Acknowledge);
    }
}

#[test]
fn what_is_far_ahead_is_not_acknowledged() {
    let mut session = open(Duration::ZERO);
    let message = |sequence| Message {
        kind: Kind::Output,
        created: 1,
        sequence,
        flags: 0,
        id: [1; 16],
        payload_type: payload::OUTPUT,
        payload: b"x".to_vec(),
    };
    assert_eq!(session.on(Input::Frame(&message(10_001).encode()), Duration::ZERO), []);
    assert_eq!(session.on(Input::Frame(&message(i64::MAX).encode()), Duration::ZERO), []);
    assert_eq!(session.on(Input::Frame(&message(10_000).encode()), Duration::ZERO).len(), 1);
    // A number before the first is a duplicate of nothing; it must not be printed.
    assert_eq!(prints(&session.on(Input::Frame(&message(-1).encode()), Duration::ZERO)), b"");
}

#[test]
fn keys_wait_for_room() {
    let mut session = open(Duration::ZERO);
    session.on(Input::Tick, SILENCE);
    let room = session.room();
    let actions = session.on(Input::Keys(&vec![b'x'; 300_000]), SILENCE);
    // As much as may be on the way at once and in this time.
    assert!(sends(&actions).len() <= 64);
    let more = session.on(Input::Tick, SILENCE + 100 * MILLISECOND);
    assert!(sends(&actions).len() + sends(&more).len() <= 64);
    assert!(session.room() < room && session.room() >= room - 300_000);
    assert!(!session.is_delivered());
}

#[test]
fn sizes_that_wait_are_replaced_and_equal_ones_not_sent() {
    let mut session = open(Duration::ZERO);
    session.on(Input::Size(80, 24), Duration::ZERO);
    let actions = session.on(Input::Tick, SILENCE);
    assert_eq!(sends(&actions)[0].payload, br#"{"cols":80,"rows":24}"#);
    assert_eq!(session.on(Input::Size(80, 24), SILENCE), []);
    session.on(Input::Cut, SILENCE);
    session.on(Input::Size(81, 24), SILENCE);
    session.on(Input::Size(82, 25), SILENCE);
    let actions = session.on(Input::Opened, SILENCE);
    let sizes: Vec<Vec<u8>> = sends(&actions).into_iter().map(|it| it.payload).collect();
    assert_eq!(sizes, [br#"{"cols":80,"rows":24}"#.to_vec(), br#"{"cols":82,"rows":25}"#.to_vec()]);
}

#[test]
fn an_unanswered_message_comes_again_until_it_is_hopeless() {
    let mut session = open(Duration::ZERO);
    session.on(Input::Tick, SILENCE);
    session.on(Input::Keys(b"x"), SILENCE);
    let mut again = 0;
    let now = loop {
        let now = session.wake_at();
        let actions = session.on(Input::Tick, now);
        again += sends(&actions).len();
        if let Some(Action::Failed(text)) = actions.last() {
            assert!(text.contains("five minutes"));
            break now;
        }
        assert!(now < Duration::from_secs(400));
    };
    assert!(again > 250, "{again}");
    assert_eq!(session.on(Input::Keys(b"y"), now), []);
}

#[test]
fn a_session_of_another_kind_is_refused() {
    let mut session = open(Duration::ZERO);
    let body = json!({ "RequestedClientActions": [
        { "ActionType": "SessionType", "ActionParameters": { "SessionType": "Port" } },
        { "ActionType": "Dance" },
    ] });
    let message = Message {
        kind: Kind::Output,
        created: 1,
        sequence: 0,
        flags: 1,
        id: [1; 16],
        payload_type: payload::HANDSHAKE_REQUEST,
        payload: body.to_string().into_bytes(),
    };
    let actions = session.on(Input::Frame(&message.encode()), Duration::ZERO);
    assert!(matches!(actions.last(), Some(Action::Failed(text)) if text.contains("Port")));
}

#[test]
fn a_closed_channel_gives_its_text_and_what_came_early() {
    for (short, text) in [(true, ""), (false, "----------ERROR-------\nUnable to start command")] {
        let mut session = open(Duration::ZERO);
        let actions = session.on(Input::Frame(&channel_closed(text, short)), Duration::ZERO);
        assert_eq!(actions, [Action::Closed(text.to_owned())]);
    }
    // Something is missing: it may still come.
    let mut session = open(Duration::ZERO);
    let mut agent = Agent::new();
    let frames: Vec<_> = ["one", "two", "three"].iter().map(|it| agent.output(it.as_bytes(), Duration::ZERO)).collect();
    session.on(Input::Frame(&frames[2]), Duration::ZERO);
    assert_eq!(session.on(Input::Frame(&channel_closed("", true)), Duration::ZERO), []);
    assert!(session.is_closing());
    session.on(Input::Frame(&frames[1]), 10 * MILLISECOND);
    let actions = session.on(Input::Frame(&frames[0]), 20 * MILLISECOND);
    assert_eq!(prints(&actions), b"onetwothree");
    assert_eq!(actions.last(), Some(&Action::Closed(String::new())));

    let mut session = open(Duration::ZERO);
    session.on(Input::Frame(&frames[2]), Duration::ZERO);
    session.on(Input::Frame(&channel_closed("", true)), Duration::ZERO);
    let actions = session.on(Input::Tick, session.wake_at());
    assert_eq!(prints(&actions), b"three");
    assert!(matches!(&actions[1], Action::Note(text) if text.contains("missing")));
}

/// A pseudo-random network.
struct Net {
    state: u64,
    loss: u64,
    /// Frames on their way: when they arrive, and whether they go to the agent.
    way: Vec<(Duration, bool, Vec<u8>)>,
    lost_acknowledgements: bool,
}

impl Net {
    fn random(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn carry(&mut self, to_agent: bool, frame: &[u8], now: Duration) {
        let is_acknowledgement = frame[4..15] == *b"acknowledge";
        let mut copies = 1;
        if self.random(100) < self.loss || (self.lost_acknowledgements && is_acknowledgement && self.random(2) == 0) {
            copies = 0;
        } else if self.random(100) < self.loss {
            copies = 2;
        }
        for _ in 0..copies {
            let late = if self.random(100) < self.loss { 40 } else { 0 };
            let delay = Duration::from_millis(5 + self.random(10) + late);
            self.way.push((now + delay, to_agent, frame.to_vec()));
        }
    }

    fn arrived(&mut self, now: Duration) -> Vec<(bool, Vec<u8>)> {
        let mut arrived: Vec<_> = self.way.extract_if(.., |it| it.0 <= now).collect();
        arrived.sort_by_key(|it| it.0);
        arrived.into_iter().map(|it| (it.1, it.2)).collect()
    }
}

struct Outcome {
    printed: Vec<u8>,
    heard: Vec<u8>,
    notes: Vec<String>,
    sizes: Vec<(u16, u16)>,
    took: Duration,
}

/// A whole session: `input` goes there, `output` comes back, and both end when all is acknowledged.
fn exchange(seed: u64, loss: u64, cuts: &[u64], kms: Option<Option<&str>>, lost_acknowledgements: bool) -> Outcome {
    let input: Vec<u8> = (0..60_000_u32).map(|it| (it.wrapping_mul(seed as u32 + 7) >> 3) as u8).collect();
    let output: Vec<u8> = (0..90_000_u32).map(|it| (it.wrapping_mul(seed as u32 + 3) >> 5) as u8).collect();
    let key = DataKey { plain: std::array::from_fn(|it| it as u8 ^ seed as u8), encrypted: b"sealed".to_vec() };
    let mut net = Net { state: seed, loss, way: Vec::new(), lost_acknowledgements };
    let mut agent = Agent::new();
    let mut session = Session::new(settings());
    let mut outcome = Outcome { printed: vec![], heard: vec![], notes: vec![], sizes: vec![], took: Duration::ZERO };
    let mut now = Duration::ZERO;
    let mut actions = session.on(Input::Opened, now);
    actions.extend(session.on(Input::Size(100, 30), now));
    let (mut given, mut written, mut ready, mut up_again) = (0, 0, kms.is_none(), None);
    let mut cuts: Vec<Duration> = cuts.iter().rev().map(|it| Duration::from_millis(*it)).collect();
    if let Some(challenge) = kms {
        let frame = agent.shake(Some("arn:key"), challenge, now);
        net.carry(false, &frame, now);
    }
    loop {
        if cuts.last().is_some_and(|it| *it <= now) {
            cuts.pop();
            // Everything on the way is lost, both ways.
            net.way.clear();
            actions.extend(session.on(Input::Cut, now));
            up_again = Some(now + 700 * MILLISECOND);
        }
        if up_again.is_some_and(|it| it <= now) {
            up_again = None;
            actions.extend(session.on(Input::Opened, now));
        }
        let connected = up_again.is_none();
        if given < input.len() && session.room() > 0 {
            let piece = &input[given..input.len().min(given + 1 + net.random(3000) as usize)];
            given += piece.len();
            actions.extend(session.on(Input::Keys(piece), now));
        }
        if (300..3000).contains(&now.as_millis()) && net.random(50) == 0 {
            actions.extend(session.on(Input::Size(100, 30 + net.random(20) as u16), now));
        }
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Send(frame) if connected => net.carry(true, &frame, now),
                // Made just before the cut.
                Action::Send(_) => {}
                Action::Print(bytes) => outcome.printed.extend(bytes),
                Action::Note(text) => outcome.notes.push(text),
                Action::NeedKey { key_id, context } => {
                    assert_eq!(key_id, "arn:key");
                    assert_eq!(context[0], ("aws:ssm:SessionId".to_owned(), "ecs-execute-command-0123".to_owned()));
                    assert_eq!(context[1], ("aws:ssm:TargetId".to_owned(), "ecs:c_t_r".to_owned()));
                    assert_eq!(context.get(2).map(|it| it.1.as_str()), kms.flatten());
                    actions.extend(session.on(Input::Key(Ok(key.clone())), now));
                }
                Action::Ready => {}
                other => panic!("{other:?}"),
            }
        }
        if connected {
            if ready && written < output.len() && agent.on_the_way() < 200 {
                let piece = &output[written..output.len().min(written + 1 + net.random(1024) as usize)];
                written += piece.len();
                let frame = agent.output(piece, now);
                net.carry(false, &frame, now);
            }
            if let Some(frame) = agent.tick(now) {
                net.carry(false, &frame, now);
            }
            for (to_agent, frame) in net.arrived(now) {
                if !to_agent {
                    actions.extend(session.on(Input::Frame(&frame), now));
                    continue;
                }
                let (heard, answers) = agent.frame(&frame, now);
                answers.into_iter().for_each(|it| net.carry(false, &it, now));
                for heard in heard {
                    match heard {
                        Heard::Input(bytes) => outcome.heard.extend(bytes),
                        Heard::Size(columns, rows) => outcome.sizes.push((columns, rows)),
                        Heard::EncryptedKey(text, challenged) => {
                            assert_eq!(text, data_encoding::BASE64.encode(b"sealed"));
                            assert_eq!(challenged, kms.flatten().is_some());
                            let frame = agent.challenge(&key, now);
                            net.carry(false, &frame, now);
                        }
                        Heard::Shaken => ready = true,
                        Heard::Refused(text) => panic!("{text}"),
                    }
                }
            }
        }
        if session.wake_at() <= now {
            actions.extend(session.on(Input::Tick, now));
        }
        let all = given == input.len() && written == output.len();
        if all && session.is_delivered() && agent.is_drained() && actions.is_empty() {
            break;
        }
        now += MILLISECOND;
        assert!(now < Duration::from_secs(1000), "it hangs: {} {}", outcome.printed.len(), outcome.heard.len());
    }
    assert!(outcome.printed == output, "the output differs with seed {seed}");
    assert!(outcome.heard == input, "the input differs with seed {seed}");
    outcome.took = now;
    outcome
}

#[test]
fn a_clean_network_needs_no_second_copy() {
    let outcome = exchange(1, 0, &[], None, false);
    assert_eq!(outcome.sizes.first(), Some(&(100, 30)));
    assert!(outcome.took < Duration::from_secs(3), "{:?}", outcome.took);
}

#[test]
fn everything_arrives_once_and_in_order_whatever_the_network_does() {
    for seed in 1..=30 {
        let loss = [0, 5, 5, 20, 40][seed as usize % 5];
        let cuts: &[u64] = [&[][..], &[400, 2500], &[100, 101, 1500]][seed as usize % 3];
        let kms = [None, Some(None), Some(Some("Y2hhbGxlbmdl")), None][seed as usize % 4];
        exchange(seed, loss, cuts, kms, seed % 2 == 0);
    }
}

#[test]
fn an_encrypted_session_says_so() {
    let outcome = exchange(5, 5, &[], Some(None), false);
    assert_eq!(outcome.notes, ["This session is encrypted using AWS KMS."]);
}

#[test]
fn without_a_data_key_the_agent_hears_why() {
    let mut session = open(Duration::ZERO);
    let mut agent = Agent::new();
    let frame = agent.shake(Some("arn:key"), None, Duration::ZERO);
    session.on(Input::Frame(&frame), Duration::ZERO);
    let actions = session.on(Input::Key(Err("not allowed".to_owned())), Duration::ZERO);
    assert!(matches!(&actions[0], Action::Note(text) if text.contains("not allowed")));
    let Some(Action::Send(frame)) = actions.last() else { panic!("{actions:?}") };
    let (heard, _) = agent.frame(frame, Duration::ZERO);
    assert_eq!(heard, [Heard::Refused("not allowed".to_owned())]);
    // Nothing more happens: the handshake has its own end.
    let actions = session.on(Input::Tick, Duration::from_secs(61));
    assert!(actions.iter().any(|it| matches!(it, Action::Failed(_))));
}

/// Random events in random order: no panic, nothing printed twice, nothing sent while no channel is open.
#[test]
fn no_order_of_events_breaks_it() {
    for seed in 1..400_u64 {
        let mut net = Net { state: seed, loss: 0, way: Vec::new(), lost_acknowledgements: false };
        let mut session = Session::new(settings());
        let mut agent = Agent::new();
        let mut frames = vec![b"garbage".to_vec(), Vec::new(), channel_closed("", seed % 2 == 0)];
        let (mut now, mut is_open, mut printed, mut total) = (Duration::ZERO, false, 0, 0);
        for _ in 0..200 {
            now += Duration::from_millis(net.random(400));
            let choice = net.random(12);
            if choice < 4 {
                total += 1;
                frames.push(agent.output(b"x", now));
            }
            if choice == 11 && seed % 5 == 0 {
                frames.push(agent.shake(Some("k"), None, now));
            }
            let which = net.random(frames.len() as u64) as usize;
            // The end comes rarely.
            let frame = if which == 2 && net.random(30) != 0 { &frames[1] } else { &frames[which] };
            let mut mangled = frame.clone();
            if choice == 5 && !mangled.is_empty() {
                let at = net.random(mangled.len() as u64) as usize;
                mangled[at] ^= 1 << net.random(8);
            }
            let input = match choice {
                0..=5 => Input::Frame(&mangled),
                6 => Input::Opened,
                7 => Input::Cut,
                8 => Input::Keys(b"keys"),
                9 => Input::Size(net.random(300) as u16, 24),
                10 => Input::Key(Ok(DataKey { plain: [1; 64], encrypted: vec![] })),
                _ => Input::Tick,
            };
            match input {
                Input::Opened => is_open = true,
                Input::Cut => is_open = false,
                _ => {}
            }
            for action in session.on(input, now) {
                match action {
                    Action::Send(bytes) => {
                        assert!(is_open, "sent into no channel, seed {seed}");
                        Message::decode(&bytes).expect("what is sent is whole");
                    }
                    Action::Print(bytes) => printed += bytes.len(),
                    _ => {}
                }
            }
        }
        assert!(printed <= total, "printed {printed} of {total}, seed {seed}");
    }
}
