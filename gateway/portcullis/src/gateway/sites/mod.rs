//! Sites that are not proxied: the widget of a form, and the call by which its backend verifies.
//!
//! ```text
//! page of another origin            gateway                                   the site's backend
//!   widget.js ──── challenge ─────► SiteKey::admit, the route's verdict ─► puzzle
//!   solves    ──── redeem ────────► Solution::verify, Evidence::judge   ─► response
//!   form with the response ────────────────────────────────────────────────► siteverify ─► filters,
//!                                                                            the response, once
//! ```
//!
//! Visitors are judged by a route of the policy, as requests that are proxied: its access rules, bans, filters and
//! limits, and the score, of which the site's preset says how much is too much.

mod usage;
mod verdict;
mod verify;
mod watch;
mod widget;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use pingora::http::RequestHeader;
use pingora::prelude::{Result, Session};
use portcullis_challenge::site::{SiteKey, SiteKeys};
use portcullis_challenge::{KeyRing, LIBRARY_HEADERS, SpentSet, Texts, UnixMillis, page};
use portcullis_policy::{RouteId, RuleSet};
use portcullis_signals::CanonicalRequest;

use super::Gateway;
use super::head::head_of;
use super::reply::Reply;
use super::request::RequestContext;
use crate::accept::ConnInfo;
use crate::settings::{LoadedSites, SitesSettings};

pub use usage::{Event, KeptUsage, SiteUsage};
pub(crate) use watch::SitesWatch;

use usage::SiteState;

/// What the paths begin with on every host; the file's names follow.
const PATHS: &str = "/.well-known/portcullis/site/";

/// Everything about sites that are not proxied.
#[derive(Debug)]
pub struct Sites {
    settings: SitesSettings,
    table: ArcSwap<SiteTable>,
    /// What was counted of every site that there was, by its name: a reload loses no count.
    states: Mutex<BTreeMap<String, Arc<SiteState>>>,
    /// Signs puzzles and responses. Made anew by each process, as what was spent is forgotten with it.
    ring: KeyRing,
    puzzles: SpentSet,
    responses: SpentSet,
    counted: SpentSet,
    /// What no site can be named for.
    nameless: SiteState,
}

/// The sites in force.
#[derive(Debug)]
struct SiteTable {
    keys: SiteKeys,
    states: BTreeMap<String, Arc<SiteState>>,
    version: [u8; 32],
}

impl SiteTable {
    /// A site with what is counted of it.
    fn with_state<'a>(&'a self, site: Option<&'a SiteKey>) -> Option<(&'a SiteKey, &'a SiteState)> {
        let site = site?;
        Some((site, self.states.get(&site.name)?))
    }
}

/// What one request to these paths came to, for its record.
#[derive(Clone, Debug)]
pub struct SiteSeen {
    /// The internal name of the site; empty where none could be named.
    pub site: String,
    /// What happened.
    pub event: Event,
}

/// One of the paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SitePath {
    Widget,
    Solver,
    Challenge,
    Redeem,
    Siteverify,
}

impl SitePath {
    /// A path on a host of which `short` says whether it is the gateway's own.
    fn of(path: &str, short: impl FnOnce() -> bool) -> Option<Self> {
        if let Some(name) = path.strip_prefix(PATHS) {
            return Self::named(name);
        }
        let found = match path {
            // Where stock clients ask whose host alone can be set.
            "/recaptcha/api/siteverify" | "/turnstile/v0/siteverify" => Some(Self::Siteverify),
            _ => path.strip_prefix('/').and_then(Self::named),
        };
        found.filter(|_| short())
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "widget.js" => Self::Widget,
            "solver.js" => Self::Solver,
            "challenge" => Self::Challenge,
            "redeem" => Self::Redeem,
            "siteverify" => Self::Siteverify,
            _ => return None,
        })
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::Widget | Self::Solver => "GET, HEAD",
            Self::Challenge | Self::Redeem | Self::Siteverify => "POST",
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.allow().split(", ").any(|known| known == method.as_str())
    }
}

impl Sites {
    /// The sites of a file, with places for so many puzzles that were redeemed.
    pub fn new(settings: SitesSettings, loaded: LoadedSites, ring: KeyRing, capacity: usize) -> Self {
        let sites = Self {
            settings,
            table: ArcSwap::from_pointee(SiteTable {
                keys: SiteKeys::default(),
                states: BTreeMap::new(),
                version: [0; 32],
            }),
            states: Mutex::default(),
            ring,
            puzzles: SpentSet::new(capacity),
            responses: SpentSet::new(capacity),
            // Of one challenge two things can be counted.
            counted: SpentSet::new(capacity.saturating_mul(2)),
            nameless: SiteState::default(),
        };
        sites.replace(loaded);
        sites
    }

    /// Where the sites are written down.
    pub const fn settings(&self) -> &SitesSettings {
        &self.settings
    }

    /// Puts other sites in force. What was counted of those that stay goes on.
    pub fn replace(&self, loaded: LoadedSites) {
        let LoadedSites { keys, version, .. } = loaded;
        let mut known = self.states.lock();
        let states = keys.sites().iter().map(|site| {
            let state = known.entry(site.name.clone()).or_default();
            (site.name.clone(), Arc::clone(state))
        });
        let states = states.collect();
        self.table.store(Arc::new(SiteTable { keys, states, version }));
    }

    /// Whether these are the sites in force.
    pub fn are(&self, loaded: &LoadedSites) -> bool {
        self.table.load().version == loaded.version
    }

    /// How many sites there are.
    pub fn count(&self) -> usize {
        self.table.load().keys.sites().len()
    }

    /// What was counted of each site in the month of `now`, in the order written.
    pub fn usage(&self, now: UnixMillis) -> Vec<SiteUsage> {
        let table = self.table.load();
        let sites = table.keys.sites().iter();
        sites.filter_map(|site| Some(SiteUsage::of(site, table.states.get(&site.name)?, now))).collect()
    }

    /// The names of routes that judge a site and are not among these rules.
    pub fn missing_routes(&self, rules: &RuleSet) -> Vec<String> {
        let table = self.table.load();
        let routes = table.keys.sites().iter().map(|site| &site.route).filter(|route| !route.is_empty());
        routes.filter(|route| route_named(rules, route).is_none()).cloned().collect()
    }

    /// Which of the paths a request asks for.
    fn path(&self, header: &RequestHeader) -> Option<SitePath> {
        let own_host = || {
            let request = CanonicalRequest::of(&head_of(header, None));
            self.settings.hosts.iter().any(|host| host == request.host())
        };
        SitePath::of(header.uri.path(), own_host)
    }
}

/// The route that judges a site's visitors: the one named, or what the rules say of requests that no route takes.
fn route_of(rules: &RuleSet, site: &SiteKey) -> RouteId {
    route_named(rules, &site.route).unwrap_or_default()
}

fn route_named(rules: &RuleSet, name: &str) -> Option<RouteId> {
    let at = rules.routes().iter().position(|route| *route.name == *name)?;
    u32::try_from(at).ok().map(RouteId)
}

impl Gateway {
    /// Whether a request is to one of the paths of sites, whose bodies are read there and nowhere else.
    pub(super) fn is_for_sites(&self, header: &RequestHeader) -> bool {
        self.sites.as_ref().is_some_and(|sites| sites.path(header).is_some())
    }

    /// Serves the paths of sites that are not proxied; none where the request is to another.
    pub(super) async fn site_path(
        &self,
        session: &mut Session,
        conn: &ConnInfo,
        ctx: &mut RequestContext,
    ) -> Result<Option<Reply>> {
        let Some(sites) = &self.sites else { return Ok(None) };
        let header = session.req_header();
        let Some(path) = sites.path(header) else { return Ok(None) };
        if !path.allows(&header.method) {
            widget::set_aside(ctx);
            return Ok(Some(
                Reply::new(StatusCode::METHOD_NOT_ALLOWED)
                    .with("allow", path.allow())
                    .with("cache-control", "no-store"),
            ));
        }
        match path {
            SitePath::Widget => {
                widget::set_aside(ctx);
                Ok(Some(library(page::widget(texts(header.uri.query(), &header.headers)))))
            }
            SitePath::Solver => {
                widget::set_aside(ctx);
                Ok(Some(library(page::solver().to_owned())))
            }
            SitePath::Challenge => self.site_challenge(sites, session, conn, ctx).await.map(Some),
            SitePath::Redeem => self.site_redeem(sites, session, conn, ctx).await.map(Some),
            SitePath::Siteverify => {
                widget::set_aside(ctx);
                self.siteverify(sites, session, ctx).await.map(Some)
            }
        }
    }
}

/// A script for pages of any origin: there is nothing of any client in it.
fn library(script: String) -> Reply {
    Reply::new(StatusCode::OK).with_all(&LIBRARY_HEADERS).with("access-control-allow-origin", "*").body(script)
}

/// The language of `?lang=`, where it is spoken, or else of `Accept-Language`.
fn texts(query: Option<&str>, headers: &HeaderMap) -> &'static Texts {
    let asked = query.into_iter().flat_map(|query| query.split('&')).find_map(|field| field.strip_prefix("lang="));
    let accepted = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    asked.and_then(Texts::for_language).unwrap_or_else(|| Texts::negotiate(accepted.unwrap_or_default()))
}

/// Looks at one field of a form whose values are never encoded, as those of public keys.
fn plain_field<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    // What was cut off behind it may have cut a character.
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(body.get(..error.valid_up_to())?).ok()?,
    };
    text.split('&').find_map(|field| field.split_once('=').filter(|(known, _)| *known == name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_paths_are_those_of_the_gateways_own_hosts_only() {
        for (path, anywhere, own) in [
            ("/.well-known/portcullis/site/widget.js", Some(SitePath::Widget), Some(SitePath::Widget)),
            ("/.well-known/portcullis/site/siteverify", Some(SitePath::Siteverify), Some(SitePath::Siteverify)),
            ("/.well-known/portcullis/site/", None, None),
            ("/.well-known/portcullis/redeem", None, None),
            ("/widget.js", None, Some(SitePath::Widget)),
            ("/siteverify", None, Some(SitePath::Siteverify)),
            ("/recaptcha/api/siteverify", None, Some(SitePath::Siteverify)),
            ("/turnstile/v0/siteverify", None, Some(SitePath::Siteverify)),
            ("/siteverify/", None, None),
            ("/", None, None),
        ] {
            assert_eq!(SitePath::of(path, || false), anywhere, "{path}");
            assert_eq!(SitePath::of(path, || true), own, "{path} on an own host");
        }
    }

    #[test]
    fn a_field_is_found_also_before_what_was_cut() {
        for (body, value) in [
            (&b"site=pk_1"[..], Some("pk_1")),
            (b"a=b&site=pk_1&solution=x", Some("pk_1")),
            (b"site=pk_1&evidence=\xc3", Some("pk_1")),
            (b"site=", Some("")),
            (b"website=pk_1", None),
            (b"\xff", None),
        ] {
            assert_eq!(plain_field(body, "site"), value);
        }
    }

    #[test]
    fn the_widget_speaks_the_language_that_is_asked_for() {
        let mut headers = HeaderMap::new();
        assert_eq!(texts(None, &headers).language, "en");
        headers.insert("accept-language", http::HeaderValue::from_static("fr-CA, en;q=0.5"));
        assert_eq!(texts(None, &headers).language, "fr");
        assert_eq!(texts(Some("v=1&lang=de"), &headers).language, "de");
        assert_eq!(texts(Some("lang=xx"), &headers).language, "fr");
    }
}
