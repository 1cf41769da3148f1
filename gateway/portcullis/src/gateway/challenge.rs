//! The challenge desk: it gives out puzzles, takes in solutions, and knows clearances.

use std::time::Duration;

use http::StatusCode;
use portcullis_challenge::{
    Binding, Brand, Clearance, CspNonce, ENGLISH, KeyRing, Level, Lifetimes, Network, PAGE_HEADERS, PROBLEM_HEADERS,
    Proof, Puzzle, RedeemForm, Refusal, SCRIPT_HEADERS, Scheme, SpentSet, Strength, cookie_name, page, problem,
    return_target, set_cookie,
};
use portcullis_intel::AddressFacts;
use portcullis_policy::model;
use portcullis_signals::{self as signals, Claim, ClientAddr, Facts};

use super::reply::Reply;
use crate::clock::Now;
use crate::random;

/// What the gateway's own paths begin with, on every host.
pub const OWN_PATHS: &str = "/.well-known/portcullis/";

/// Where solutions are posted.
pub const REDEEM_PATH: &str = "/.well-known/portcullis/redeem";

/// Where the solver's script is.
pub const SOLVER_PATH: &str = "/.well-known/portcullis/solver.js";

/// How long a puzzle may be worked on.
const PUZZLE_TTL: Duration = Duration::from_secs(5 * 60);

/// Gives out puzzles, takes in solutions, and knows clearances.
#[derive(Debug)]
pub struct ChallengeDesk {
    rings: Rings,
    spent: SpentSet,
    contact: Option<String>,
    brand: Brand,
}

/// The keys of a desk, in two rings as puzzles and clearances have different lives.
#[derive(Debug)]
pub struct Rings {
    /// Signs puzzles. Made anew by each process: the spent set begins empty, so that a puzzle which
    /// outlived a restart could be redeemed a second time.
    pub puzzles: KeyRing,
    /// Signs clearances. Where it is kept, clearances outlive a restart.
    pub clearances: KeyRing,
}

/// Whom a puzzle or a clearance is for, as this request shows it.
#[derive(Debug)]
pub struct Holder {
    site: String,
    network: Network,
    family: &'static str,
    scheme: Scheme,
}

impl Holder {
    /// The holder that a request shows.
    pub fn of(site: &str, client: ClientAddr, known: &AddressFacts, claim: &Claim, scheme: Scheme) -> Self {
        Self { site: site.to_owned(), network: network(client, known), family: family(claim), scheme }
    }

    fn binding(&self) -> Binding<'_> {
        binding(&self.site, self.network, self.family)
    }
}

fn binding<'a>(site: &'a str, network: Network, family: &'a str) -> Binding<'a> {
    Binding { site, network, family: family.as_bytes(), ..Binding::default() }
}

fn network(client: ClientAddr, known: &AddressFacts) -> Network {
    Network::of(client.0, known.asn.map(|asn| asn.0))
}

/// What of the User-Agent stays the same while a clearance lasts: the tool's name or the browser family.
fn family(claim: &Claim) -> &'static str {
    claim.name.unwrap_or_else(|| claim.family.name())
}

/// The strength of a route's puzzle, the same when it is asked for and when it is looked for.
fn strength(puzzle: &model::Puzzle) -> Strength {
    Strength::new(puzzle.difficulty_bits, puzzle.count).unwrap_or(Strength::BALANCED)
}

impl ChallengeDesk {
    /// A desk that signs with `rings` and remembers `capacity` spent puzzles.
    pub fn new(rings: Rings, capacity: usize, contact: Option<String>) -> Self {
        Self { rings, spent: SpentSet::new(capacity), contact, brand: Brand::default() }
    }

    /// The puzzles that were redeemed and not yet forgotten.
    pub const fn spent(&self) -> &SpentSet {
        &self.spent
    }

    /// The clearance that a request carries, if it is good for this client, and no less work was done
    /// for it than the route asks for with `asked`.
    pub(crate) fn clearance(
        &self,
        facts: &Facts<'_>,
        scheme: Scheme,
        asked: &model::Puzzle,
        now: Now,
    ) -> Option<signals::Clearance> {
        let value = facts.request.cookie(cookie_name(scheme))?;
        let binding = binding(facts.request.host(), network(facts.client, facts.network), family(&facts.claim));
        let clearance = Clearance::verify(&self.rings.clearances, value, &binding, now.unix_millis()).ok()?;
        // INVARIANT: work that was done for a cheap route opens no route that asks for more.
        if !clearance.covers(strength(asked)) {
            return None;
        }
        match clearance.level {
            Level::ProofOfWork => Some(signals::Clearance::ProofOfWork),
            Level::MemoryHard => Some(signals::Clearance::MemoryHard),
            Level::StepUp => Some(signals::Clearance::StepUp),
            _ => None,
        }
    }

    fn puzzle(&self, route: &model::Route, holder: &Holder, now: Now) -> Result<Puzzle, random::Unavailable> {
        let id = random::bytes()?;
        let lifetimes = Lifetimes { puzzle: PUZZLE_TTL, clearance: route.clearance_ttl };
        let strength = strength(&route.puzzle);
        Ok(Puzzle::issue(&self.rings.puzzles, id, strength, &holder.binding(), now.unix_millis(), lifetimes))
    }

    /// The page for a person: 403, with a puzzle that the page's script solves.
    pub(crate) fn page(
        &self,
        route: &model::Route,
        holder: &Holder,
        target: &str,
        reference_id: &str,
        now: Now,
    ) -> Result<Reply, random::Unavailable> {
        let nonce = CspNonce::new(random::bytes()?);
        let puzzle = self.puzzle(route, holder, now)?;
        let mut body = String::new();
        page::render(
            &page::PageInputs {
                nonce: &nonce,
                puzzle: &puzzle,
                memory: None,
                redeem_path: REDEEM_PATH,
                solver_path: SOLVER_PATH,
                wait: None,
                asked: page::Asked::Page,
                return_to: return_target(target),
                reference_id,
                contact: self.contact.as_deref(),
                brand: &self.brand,
                texts: &ENGLISH,
            },
            &mut body,
        );
        Ok(Reply::new(StatusCode::FORBIDDEN)
            .with_all(&PAGE_HEADERS)
            .with("content-security-policy", page::csp(&nonce))
            .body(body))
    }

    /// The same for a program: 403 with problem+json.
    pub(crate) fn problem(
        &self,
        route: &model::Route,
        holder: &Holder,
        reference_id: &str,
        now: Now,
    ) -> Result<Reply, random::Unavailable> {
        let puzzle = self.puzzle(route, holder, now)?;
        let mut body = String::new();
        problem::render(&problem::Problem::challenge(&puzzle, REDEEM_PATH, reference_id), &mut body);
        Ok(Reply::new(StatusCode::FORBIDDEN).with_all(&PROBLEM_HEADERS).body(body))
    }

    /// Takes in a solution: 204 with the clearance as a cookie, or problem+json that says why not.
    pub(crate) fn redeem(&self, body: &[u8], holder: &Holder, reference_id: &str, now: Now) -> (Reply, Redeem) {
        let solved = RedeemForm::parse(body).and_then(|form| match form.proof {
            Proof::Solution(solution) => {
                solution.verify(&self.rings.puzzles, &holder.binding(), now.unix_millis(), &self.spent)
            }
            // No page of this gateway begins one.
            Proof::Wait(_) => Err(Refusal::Malformed),
        });
        match (solved, random::bytes()) {
            (Ok(solved), Ok(id)) => {
                let clearance = Clearance::for_work(&self.rings.clearances, id, &solved, &holder.binding());
                let reply = Reply::new(StatusCode::NO_CONTENT)
                    .with("cache-control", "no-store")
                    .with("set-cookie", set_cookie(holder.scheme, &clearance, solved.clearance_ttl));
                (reply, Redeem::Solved(solved.took()))
            }
            (Ok(_), Err(_)) => (refused(Refusal::Busy, reference_id), Redeem::Refused(Refusal::Busy)),
            (Err(refusal), _) => (refused(refusal, reference_id), Redeem::Refused(refusal)),
        }
    }

    /// The script of the page and its workers.
    pub(crate) fn solver() -> Reply {
        Reply::new(StatusCode::OK).with_all(&SCRIPT_HEADERS).body(page::solver())
    }
}

/// How a redeem ended.
#[derive(Clone, Copy, Debug)]
pub enum Redeem {
    /// With a clearance; this is how long the client took.
    Solved(Duration),
    /// Without one.
    Refused(Refusal),
}

fn refused(refusal: Refusal, reference_id: &str) -> Reply {
    let detail = refusal.to_string();
    let problem = problem::Problem::redeem(refusal, &detail, reference_id);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut body = String::new();
    problem::render(&problem, &mut body);
    Reply::new(status).with_all(&PROBLEM_HEADERS).body(body)
}
