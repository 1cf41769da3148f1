//! The call of a site's backend.

use http::{StatusCode, header};
use pingora::prelude::{Result, Session};
use portcullis_challenge::site::{Environment, SiteKey, SiteMode, Subject};
use portcullis_challenge::siteverify::{
    Answer, Details, ErrorCode, Judgement, MAX_SITEVERIFY_BYTES, SiteverifyRequest,
};
use portcullis_challenge::{Billable, Refusal, UnixMillis, VerifiedResponse};

use super::usage::{Event, SiteState};
use super::verdict::{Filtered, Verdict, mode};
use super::widget::audience;
use super::{SiteSeen, Sites, route_of};
use crate::clock::Now;
use crate::gateway::Gateway;
use crate::gateway::body::read_body;
use crate::gateway::reply::Reply;
use crate::gateway::request::RequestContext;

impl Gateway {
    /// Answers whether a form was sent by whom the widget let through.
    pub(super) async fn siteverify(
        &self,
        sites: &Sites,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Reply> {
        let body = read_body(session, MAX_SITEVERIFY_BYTES, self.bounds.body_timeout).await?;
        let header = session.req_header();
        let kind = header.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let query = header.uri.query().unwrap_or_default();
        let asked = SiteverifyRequest::parse(kind.unwrap_or_default(), &body, query);
        let table = sites.table.load();
        let known = asked.and_then(|request| {
            let site = table.with_state(table.keys.by_secret(&request.secret)).ok_or(ErrorCode::InvalidSecret)?;
            Ok((request, site))
        });
        match known {
            Ok((request, (site, state))) => Ok(self.verify(sites, (site, state), &request, ctx)),
            Err(code) => {
                let event = Event::NotVerified(code);
                sites.nameless.note(event);
                ctx.site = Some(SiteSeen { site: String::new(), event });
                Ok(rendered(&Answer::error(code)))
            }
        }
    }

    fn verify(
        &self,
        sites: &Sites,
        (site, state): (&SiteKey, &SiteState),
        request: &SiteverifyRequest,
        ctx: &mut RequestContext,
    ) -> Reply {
        let now = self.clock.now();
        state.usage().record_siteverify(now.unix_millis());
        let finish = |ctx: &mut RequestContext, event: Event, answer: &Answer<'_>| {
            state.note(event);
            ctx.site = Some(SiteSeen { site: site.name.clone(), event });
            rendered(answer)
        };
        if request.site_key.as_ref().is_some_and(|key| *key != site.public) {
            let code = ErrorCode::InvalidResponse;
            return finish(ctx, Event::NotVerified(code), &Answer::error(code));
        }
        let rules = ctx.policy.rules();
        let route = route_of(rules, site);
        let mode = mode(site, rules, route);
        // The filters come first; what they say of a visitor does not hang on the response.
        let filtered = match ctx.judged.as_ref().map(|judged| judged.client.0) {
            Some(caller) => self.filter_visitor(rules, route, Subject::of(request.remote_ip, caller), now),
            None => Filtered { verdict: Verdict::Pass, reasons: Vec::new() },
        };
        let redeemed = redeem(sites, site, &request.response, now.unix_millis());
        let (response, environment) = match (redeemed, filtered.verdict, mode) {
            (Ok(redeemed), ..) => redeemed,
            (Err(_), Verdict::Block(code), SiteMode::Enforce) => {
                return finish(ctx, Event::VerifyBlocked, &Answer::blocked(code));
            }
            (Err(refusal), ..) => {
                let code = ErrorCode::from(refusal);
                return finish(ctx, Event::NotVerified(code), &Answer::error(code));
            }
        };
        let verdict = filtered.verdict.with_score(site, response.score_thousandths);
        let mut reasons: Vec<&str> = filtered.reasons;
        reasons.extend(response.signals.iter().map(portcullis_challenge::evidence::Signal::name));
        let details = Details {
            score_thousandths: response.score_thousandths,
            sense: site.score,
            solved_at: response.solved_at,
            hostname: &response.hostname,
            reasons: &reasons,
        };
        let judgement = match verdict {
            Verdict::Block(code) => Judgement::Block(code),
            Verdict::Pass | Verdict::Allow | Verdict::Throttle(..) => Judgement::Pass,
        };
        let answer = Answer::judged(judgement, mode, details);
        let event = match judgement {
            Judgement::Pass => Event::Verified,
            Judgement::Block(_) if answer.is_enforced_block() => Event::VerifyBlocked,
            Judgement::Block(_) => Event::VerifyWouldBlock,
        };
        if answer.is_enforced_block() {
            self.bill_block(sites, state, environment, response.id, now);
        }
        finish(ctx, event, &answer)
    }

    fn bill_block(&self, sites: &Sites, state: &SiteState, of: Environment, id: [u8; 16], now: Now) {
        state.bill(Billable::EnforcedBlock, of, id, now.unix_millis(), &sites.counted);
    }
}

/// Checks a response and uses it up; says where it was solved, too.
fn redeem(
    sites: &Sites,
    site: &SiteKey,
    text: &str,
    now: UnixMillis,
) -> std::result::Result<(VerifiedResponse, Environment), Refusal> {
    let redeem = |environment| {
        let whom = audience(site, environment);
        VerifiedResponse::redeem(&sites.ring, text, &whom, now, &sites.responses).map(|found| (found, environment))
    };
    match redeem(Environment::Production) {
        // What is not for the site itself was not used up.
        Err(Refusal::OtherBinding) => redeem(Environment::Testing),
        found => found,
    }
}

fn rendered(answer: &Answer<'_>) -> Reply {
    let mut body = String::new();
    answer.render(&mut body);
    let status = StatusCode::from_u16(answer.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    Reply::new(status)
        .with("content-type", "application/json")
        .with("cache-control", "no-store")
        .with("x-content-type-options", "nosniff")
        .body(body)
}
