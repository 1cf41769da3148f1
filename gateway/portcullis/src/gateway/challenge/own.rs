//! The paths of the challenge that belong to the gateway on every host.

use http::{Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::prelude::{Result, Session};
use portcullis_challenge::rung::{Client, SignIn};
use portcullis_challenge::{Clearance, LIBRARY_HEADERS, MAX_REDEEM_BYTES, Refusal, SCRIPT_HEADERS, page};
use portcullis_policy::model::{Action, Route};
use portcullis_signals::{CanonicalRequest, RequestHead};
use portcullis_velocity::Event;

use super::redeem::{Granted, Redeeming, refused};
use super::wait::{Ending, arriving, going_to, own_target};
use super::{
    ARRIVED_PATH, Challenged, Holder, Issued, REDEEM_PATH, RENEW_PATH, RENEWAL_SCRIPT_PATH, SOLVER_PATH, Seen,
    WAIT_PATH, asking, stands_beside_a_wait,
};
use crate::accept::ConnInfo;
use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::body::read_body;
use crate::gateway::enforce::{self, Form};
use crate::gateway::gather::Judged;
use crate::gateway::head::{head_of, holder, user_agent_of};
use crate::gateway::reply::Reply;
use crate::gateway::request::RequestContext;

/// What a request to one of these paths shows.
struct Visit<'a> {
    holder: Holder,
    judged: &'a Judged,
    user_agent: String,
    /// The text of the clearance that it carries, which is good.
    held: Option<(Clearance, String)>,
    reference_id: &'a str,
    now: Now,
}

impl Visit<'_> {
    fn redeeming(&self) -> Redeeming<'_> {
        Redeeming {
            holder: &self.holder,
            family: self.judged.claim.family,
            user_agent: &self.user_agent,
            held: self.held.as_ref().map(|(held, text)| (*held, text.as_str())),
            reference_id: self.reference_id,
            now: self.now,
        }
    }
}

impl Gateway {
    /// Serves the paths of the challenge; none where the path is not one of them.
    pub(in crate::gateway) async fn challenge_path(
        &self,
        session: &mut Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
    ) -> Result<Option<Reply>> {
        let header = session.req_header();
        let Some(judged) = &ctx.judged else { return Ok(None) };
        let (method, path) = (header.method.clone(), header.uri.path().to_owned());
        let visit = self.visit(header, conn, judged, ctx.id.as_str());
        let (reply, seen) = match (method, path.as_str()) {
            (Method::GET | Method::HEAD, SOLVER_PATH) => {
                (Reply::new(StatusCode::OK).with_all(&SCRIPT_HEADERS).body(page::solver()), None)
            }
            (Method::GET | Method::HEAD, RENEWAL_SCRIPT_PATH) => {
                (Reply::new(StatusCode::OK).with_all(&LIBRARY_HEADERS).body(page::renewal()), None)
            }
            (Method::POST, REDEEM_PATH) => {
                let body = read_body(session, MAX_REDEEM_BYTES, self.bounds.body_timeout).await?;
                let (reply, seen) = self.challenge.redeem(body, &visit.redeeming()).await;
                (reply, Some(seen))
            }
            (Method::POST, WAIT_PATH) => {
                let body = read_body(session, MAX_REDEEM_BYTES, self.bounds.body_timeout).await?;
                self.end_wait(session.req_header(), ctx, &visit, &body)
            }
            (Method::GET, WAIT_PATH) => {
                let query = header.uri.query().unwrap_or_default().to_owned();
                self.end_wait(session.req_header(), ctx, &visit, query.as_bytes())
            }
            (Method::GET, ARRIVED_PATH) => (self.arrived(header, &visit), None),
            (Method::POST, RENEW_PATH) => (self.renewal(&visit), None),
            (_, SOLVER_PATH | RENEWAL_SCRIPT_PATH | ARRIVED_PATH) => (not_allowed("GET"), None),
            (_, REDEEM_PATH | RENEW_PATH) => (not_allowed("POST"), None),
            (_, WAIT_PATH) => (not_allowed("GET, POST"), None),
            _ => return Ok(None),
        };
        if let (Some(seen), Some(keys)) = (&seen, &judged.conduct_keys)
            && seen.is_bad()
        {
            self.note_standing(keys, Event::ChallengeFailed, visit.now);
        }
        ctx.seen = seen;
        Ok(Some(reply))
    }

    fn visit<'a>(
        &self,
        header: &RequestHeader,
        conn: &ConnInfo,
        judged: &'a Judged,
        reference_id: &'a str,
    ) -> Visit<'a> {
        let (holder, now) = (holder(header, conn, judged), self.clock.now());
        let held = judged.held.and_then(|held| {
            let head = head_of(header, None);
            let text = self.challenge.text_of(&held, &CanonicalRequest::of(&head), &holder, now)?.to_owned();
            Some((held, text))
        });
        Visit { holder, judged, user_agent: user_agent_of(header).into_owned(), held, reference_id, now }
    }

    /// What a browser without a script gets that comes back from its wait.
    fn end_wait(
        &self,
        header: &RequestHeader,
        ctx: &RequestContext,
        visit: &Visit<'_>,
        form: &[u8],
    ) -> (Reply, Option<Seen>) {
        let ending = match Ending::parse(form) {
            Ok(ending) => ending,
            Err(refusal) => return (refused(refusal, visit.reference_id), Some(Seen::refused(refusal))),
        };
        // What does not open the route, as work for a cheaper one, gives way to the wait: else it would be waited for ever.
        let route = self.route_of(header, ctx, &ending.return_to);
        let redeeming = visit.redeeming();
        let held = redeeming.held.filter(|(held, _)| stands_beside_a_wait(held, route));
        match self.challenge.end_wait(&ending, &Redeeming { held, ..redeeming }) {
            Ok(Granted { cookie, seen }) => (arriving(&ending.return_to, cookie), Some(seen)),
            // The button and the refresh came both, or another tab was first.
            Err(_) if visit.held.is_some() => (going_to(ending.return_to), None),
            Err(Refusal::TooEarly) => {
                (self.wait_again(header, ctx, visit, &ending), Some(Seen::refused(Refusal::TooEarly)))
            }
            Err(refusal) => {
                (self.ended(page::End::Refused, refusal, header, route, visit, &ending), Some(Seen::refused(refusal)))
            }
        }
    }

    /// The page once more for who came too early, with a new wait.
    fn wait_again(&self, header: &RequestHeader, ctx: &RequestContext, visit: &Visit<'_>, ending: &Ending) -> Reply {
        let route = self.route_of(header, ctx, &ending.return_to);
        let decision = &visit.judged.decision;
        let issued = self.challenge.challenge(&Challenged {
            route,
            ask: asking(route, decision.raw, decision.posture, self.sign_in()),
            client: Client::WithoutScript,
            holder: &visit.holder,
            family: visit.judged.claim.family,
            method: &Method::GET,
            target: &ending.return_to,
            headers: &header.headers,
            reference_id: visit.reference_id,
            now: visit.now,
        });
        match issued {
            Ok(Issued::Challenge(reply, _)) => reply,
            Ok(Issued::StepUp) | Err(_) => {
                self.ended(page::End::Failed, Refusal::TooEarly, header, route, visit, ending)
            }
        }
    }

    /// Sends a browser on that kept its cookie, and tells the other, once, that it did not.
    fn arrived(&self, header: &RequestHeader, visit: &Visit<'_>) -> Reply {
        let query = header.uri.query().unwrap_or_default();
        let return_to = query.split('&').find_map(|field| field.strip_prefix("return=")).unwrap_or("%2F");
        let decoded = percent_encoding::percent_decode_str(return_to).decode_utf8().unwrap_or_default();
        let return_to = own_target(&decoded);
        if visit.held.is_some() {
            return going_to(return_to);
        }
        self.challenge
            .end(page::End::NoCookies, &return_to, &header.headers, visit.reference_id)
            .unwrap_or_else(|_| unavailable(Form::Page, visit.reference_id))
    }

    fn renewal(&self, visit: &Visit<'_>) -> Reply {
        // Scoring goes on: who is refused, or would be, does not get more time.
        let refused = matches!(visit.judged.decision.verdict, Action::Block | Action::Ban);
        let held = visit.held.as_ref().map(|(held, _)| held).filter(|_| !refused);
        self.challenge
            .renewal(held, &visit.holder, visit.now)
            .unwrap_or_else(|refusal| self::refused(refusal, visit.reference_id))
    }

    /// Says that a wait leads no further, in the form that its route takes.
    fn ended(
        &self,
        end: page::End,
        refusal: Refusal,
        header: &RequestHeader,
        route: &Route,
        visit: &Visit<'_>,
        ending: &Ending,
    ) -> Reply {
        if Form::of(route.clients, &header.headers) == Form::Problem {
            return refused(refusal, visit.reference_id);
        }
        self.challenge
            .end(end, &ending.return_to, &header.headers, visit.reference_id)
            .unwrap_or_else(|_| unavailable(Form::Page, visit.reference_id))
    }

    /// The route that a path of this host is on.
    fn route_of<'a>(&self, header: &RequestHeader, ctx: &'a RequestContext, target: &str) -> &'a Route {
        let rules = ctx.policy.rules();
        let head = RequestHead { method: &Method::GET, target: target.as_bytes(), ..head_of(header, None) };
        rules.route(rules.plan(&CanonicalRequest::of(&head)))
    }

    /// Whether a stronger sign-in can be offered.
    pub(in crate::gateway) fn sign_in(&self) -> SignIn {
        if self.challenge.sign_in().is_some() { SignIn::Offered } else { SignIn::Absent }
    }
}

impl Seen {
    /// Whether it shows that the client is not what it should be, rather than late or unlucky.
    ///
    /// Only a puzzle of its own whose work it left undone does: with anything else any page can have the browsers of its
    /// readers ask here, by a picture or a form, and they are not to stand the worse for it.
    const fn is_bad(&self) -> bool {
        matches!(self.step, super::Step::Refused(Refusal::Unsolved))
    }
}

fn unavailable(form: Form, reference_id: &str) -> Reply {
    enforce::failed(StatusCode::SERVICE_UNAVAILABLE, form, reference_id)
}

fn not_allowed(methods: &'static str) -> Reply {
    Reply::new(StatusCode::METHOD_NOT_ALLOWED).with("allow", methods).with("cache-control", "no-store")
}
