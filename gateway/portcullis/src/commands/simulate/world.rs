//! A scenario played to a gateway, by a clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use portcullis_policy::model::{Action, BodyPrefix};
use portcullis_signals::BodyEnd;
use portcullis_velocity::{Counters, Secret};
use serde_json::{Map, Value};

use super::dice::Dice;
use super::report::Tally;
use super::scenario::{Arrivals, Clients, Moves, Prints, Request, Scenario, Users};
use super::stacks::{Stack, Wanted};
use super::text::Filling;
use crate::accept::{ConnInfo, PeerAddr, TlsInfo};
use crate::clock::Now;
use crate::commands::explain::captured::{CapturedRequest, Kind, LineFault};
use crate::gateway::{Answer, Gateway, Judged, Policy};

/// A gateway that nobody else talks to, its clock, and those who ask it.
///
/// What it does with a request is what it does with one from a socket: the same code judges it, bans its client and
/// counts its answer. Only sockets, clock, chance and origins are played. A request that is not allowed does not reach
/// the origin, and nobody solves a challenge.
pub(super) struct World<'a> {
    scenario: &'a Scenario,
    gateway: Gateway,
    policy: Arc<Policy>,
    start: Now,
    players: Vec<Player>,
    /// Who asks next, and when.
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Numbers that clients of a kind share: of `{next}`, and of users.
    shared: Vec<Shared>,
    tallies: Vec<Tally>,
}

#[derive(Clone, Copy, Default)]
struct Shared {
    next: u64,
    users: u64,
}

/// A client.
struct Player {
    kind: usize,
    number: u32,
    dice: Dice,
    /// The stack, where it has one of its own.
    stack: Option<Box<Stack>>,
    user: String,
    visits: u32,
    /// The next request of the visit, and how often it was sent in it.
    request: usize,
    times: u32,
    next_visit: Duration,
    own: u64,
    has_cookie: bool,
    connection: Option<Connection>,
}

struct Connection {
    conn: ConnInfo,
    last: Duration,
}

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// The memory for counters, in bytes: that of a gateway without settings.
const COUNTERS_BYTES: usize = 16 << 20;

impl<'a> World<'a> {
    /// Begins with a gateway that has seen nothing.
    pub(super) fn new(scenario: &'a Scenario, mut gateway: Gateway) -> Self {
        // What a table forgets depends on its hashes, which are to be the same every time.
        let mut secret = [0x5a; 16];
        secret.iter_mut().zip(scenario.seed.to_le_bytes()).for_each(|(byte, seed)| *byte ^= seed);
        gateway.counters = Counters::new(COUNTERS_BYTES, Secret(secret));
        gateway.intel = Arc::new(ArcSwap::from_pointee(scenario.intel.clone()));
        let mut world = Self {
            scenario,
            policy: gateway.policy.load_full(),
            start: gateway.clock.started(),
            gateway,
            players: Vec::new(),
            due: BinaryHeap::new(),
            shared: vec![Shared::default(); scenario.kinds.len()],
            tallies: scenario.kinds.iter().map(Tally::of).collect(),
        };
        for (number, kind) in scenario.kinds.iter().enumerate() {
            for client in 0..kind.count {
                world.add(number, kind, client);
            }
        }
        world
    }

    fn add(&mut self, number: usize, kind: &Clients, client: u32) {
        let place = u64::try_from(number).unwrap_or(u64::MAX);
        let mut dice = Dice::of([self.scenario.seed, place, u64::from(client)]);
        let first = match kind.arrivals {
            Arrivals::Even => kind.apart.mul_f64(f64::from(client) / f64::from(kind.count)),
            Arrivals::Random => dice.until_next(kind.apart),
        };
        let first = kind.from + first;
        let stack = match kind.prints {
            Prints::Stack => None,
            Prints::Client => stack_of(self.scenario, kind, client).map(|stack| Box::new(stack.altered(&mut dice))),
        };
        self.due.push(Reverse((first, self.players.len())));
        self.players.push(Player {
            kind: number,
            number: client,
            dice,
            stack,
            user: String::new(),
            visits: 0,
            request: 0,
            times: 0,
            next_visit: first,
            own: 0,
            has_cookie: false,
            connection: None,
        });
    }

    /// Plays to the end, and says what came of each kind of clients.
    ///
    /// # Errors
    ///
    /// Where a request cannot be sent as it is written.
    pub(super) fn play(mut self) -> Result<Vec<Tally>, LineFault> {
        while let Some(Reverse((at, number))) = self.due.pop() {
            let Some(player) = self.players.get_mut(number) else { continue };
            let scenario = self.scenario;
            let Some(kind) = scenario.kinds.get(player.kind) else { continue };
            if at >= kind.until.min(scenario.lasts) {
                continue;
            }
            let Some(shared) = self.shared.get_mut(player.kind) else { continue };
            if player.request == 0 && player.times == 0 {
                player.begin_visit(kind, shared, at);
            }
            let is_open = kind.hours.is_none_or(|(from, until)| (from..until).contains(&(at.as_secs() / 3_600 % 24)));
            let next = player.next_request(kind).filter(|_| is_open);
            if let Some(request) = next {
                let sent = player.send(scenario, kind, request, shared)?;
                let now = self.start.later(at);
                let judged = player.ask(scenario, kind, &sent, &self.gateway, &self.policy, at, now);
                if let Some(judged) = judged {
                    let answer = player.answer(request, &judged, &self.policy);
                    self.gateway.ban_if_decided(&self.policy, &judged, now);
                    self.gateway.settle(&self.policy, &judged, answer.as_ref(), now);
                    player.connection.iter().for_each(|open| open.conn.end_request());
                    if let Some(tally) = self.tallies.get_mut(player.kind) {
                        tally.count(at, &judged.decision);
                    }
                }
            }
            let next = player.after(kind, at, next.is_some());
            self.due.push(Reverse((next, number)));
        }
        Ok(self.tallies)
    }
}

/// The stack of a client: those of its kind are dealt in turn.
fn stack_of<'a>(scenario: &'a Scenario, kind: &Clients, client: u32) -> Option<&'a Stack> {
    let of = u32::try_from(kind.stacks.len()).unwrap_or(u32::MAX).max(1);
    let at = kind.stacks.get(usize::try_from(client % of).ok()?)?;
    scenario.stacks.stack(*at)
}

/// A request as it is sent.
struct Sent {
    request: CapturedRequest,
    body: Vec<u8>,
}

impl Player {
    fn begin_visit(&mut self, kind: &Clients, shared: &mut Shared, at: Duration) {
        self.visits = self.visits.wrapping_add(1);
        self.next_visit = at
            + match kind.arrivals {
                Arrivals::Even => kind.apart,
                Arrivals::Random => self.dice.until_next(kind.apart),
            };
        let listed = |number: u64| format!("user-{number}@shop.example");
        self.user = match kind.users {
            Users::Own => format!("{}-{}@shop.example", kind.name, self.number).replace(' ', "-"),
            Users::New => format!("new-{}@shop.example", shared.users),
            Users::Next(of) => listed(shared.users % u64::from(of.max(1))),
            Users::Any(of) => listed(self.dice.below(of).into()),
        };
        shared.users += 1;
    }

    /// The request that is sent now; what chance leaves out is passed over. None where the visit is over.
    fn next_request<'a>(&mut self, kind: &'a Clients) -> Option<&'a Request> {
        loop {
            let request = kind.requests.get(self.request)?;
            let wants = self.times > 0 || self.dice.happens(request.chance);
            if wants && self.times < request.times {
                self.times += 1;
                return Some(request);
            }
            self.request += 1;
            self.times = 0;
        }
    }

    /// When the client comes again; at once it never does.
    fn after(&mut self, kind: &Clients, at: Duration, has_sent: bool) -> Duration {
        let more = kind.requests.get(self.request).is_some_and(|request| self.times < request.times)
            || self.request + 1 < kind.requests.len();
        if has_sent && more {
            let gap = match kind.arrivals {
                Arrivals::Even => kind.gap,
                Arrivals::Random => self.dice.about(kind.gap),
            };
            return at + gap.max(Duration::from_millis(1));
        }
        self.request = 0;
        self.times = 0;
        self.next_visit.max(at + Duration::from_millis(1))
    }

    fn send(
        &mut self,
        scenario: &Scenario,
        kind: &Clients,
        request: &Request,
        shared: &mut Shared,
    ) -> Result<Sent, LineFault> {
        let mut filling = Filling {
            user: &self.user,
            client: self.number,
            next: &mut shared.next,
            own: &mut self.own,
            dice: &mut self.dice,
        };
        let target = request.path.filled(&mut filling);
        let headers: Vec<_> =
            request.headers.iter().map(|(name, text)| (name.clone(), text.filled(&mut filling))).collect();
        let members: Map<String, Value> =
            request.body.iter().map(|(name, text)| (name.clone(), text.filled(&mut filling).into())).collect();
        let body = if members.is_empty() { Vec::new() } else { Value::Object(members).to_string().into_bytes() };
        let template = stack_of(scenario, kind, self.number).and_then(|stack| stack.template(request.like));
        let template = template.ok_or_else(|| {
            LineFault::new("a stack has no such request".to_owned(), "capture one, or take another stack")
        })?;
        let cookie = format!("sid={}-{}", self.kind, self.number);
        let wanted = Wanted {
            method: &request.method,
            target: &target,
            headers: &headers,
            cookie: (self.has_cookie && template.returns_cookies()).then_some(&*cookie),
            body_bytes: body.len(),
        };
        Ok(Sent { request: template.request(&wanted)?, body })
    }

    #[expect(clippy::too_many_arguments, reason = "who asks, whom, what and when")]
    fn ask(
        &mut self,
        scenario: &Scenario,
        kind: &Clients,
        sent: &Sent,
        gateway: &Gateway,
        policy: &Policy,
        at: Duration,
        now: Now,
    ) -> Option<Box<Judged>> {
        let address = self.address(kind)?;
        let is_open = |open: &Connection| open.conn.client.ip() == address && at.saturating_sub(open.last) < IDLE;
        if !self.connection.as_ref().is_some_and(is_open) {
            let stack = self.stack.as_deref().or_else(|| stack_of(scenario, kind, self.number))?;
            let conn = connection(stack, &mut self.dice, SocketAddr::new(address, 49_152), now);
            self.connection = Some(Connection { conn, last: at });
        }
        let open = self.connection.as_mut()?;
        open.last = at;
        open.conn.begin_request();
        let body = BodyPrefix { bytes: &sent.body, end: BodyEnd::Reached };
        let http = sent.request.http();
        Some(gateway.judge(policy, &sent.request.head(), &open.conn, http, Some(body), now))
    }

    fn address(&self, kind: &Clients) -> Option<IpAddr> {
        let of = u32::try_from(kind.addresses.len()).unwrap_or(u32::MAX).max(1);
        let at = match kind.moves {
            Moves::Keep => self.number,
            // Each client goes through all addresses, and no two are at the same one at a time.
            Moves::EachVisit => self.number.wrapping_add(self.visits.wrapping_mul(kind.count | 1)),
        };
        kind.addresses.get(usize::try_from(at % of).ok()?).copied()
    }

    /// What the origin answers; nothing where it is not asked.
    fn answer(&mut self, request: &Request, judged: &Judged, policy: &Policy) -> Option<Answer> {
        if judged.decision.action != Action::Allow {
            return None;
        }
        let fell = self.dice.share();
        let drawn = request.answers.iter().find(|(up_to, _)| fell < *up_to);
        let status = drawn.map_or(request.answer, |(_, status)| *status);
        let sets_cookie = request.like == Kind::Page && !self.has_cookie;
        self.has_cookie |= sets_cookie;
        let is_page = request.like == Kind::Page && status == 200;
        let route = policy.rules().route(judged.decision.route);
        Some(Answer { sets_cookie, is_page, ..Answer::played(status, route) })
    }
}

/// A connection as a stack begins it.
fn connection(stack: &Stack, dice: &mut Dice, client: SocketAddr, now: Now) -> ConnInfo {
    let tls = TlsInfo::new(stack.next_hello(dice), stack.agreed);
    let accepted_at = UNIX_EPOCH + Duration::from_millis(now.unix_millis().0);
    let conn =
        ConnInfo::new("scenario".into(), PeerAddr(client), client, accepted_at, now.instant, Some(Box::new(tls)));
    if let Some(print) = &stack.http2 {
        conn.keep_http2_print(Box::new(print.clone()));
    }
    conn
}
