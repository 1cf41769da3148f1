//! `portcullis solve`: a request as curl makes it, that pays with work where it is challenged.
//!
//! It speaks the protocol of the challenge crate and believes a server no more than a server believes it: the work is
//! bounded, the solution goes to where the challenge came from and nowhere else, and all of it has one deadline.

mod work;

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use portcullis_challenge::{Refusal, encode_nonces};
use rustls::crypto::aws_lc_rs;
use serde::Deserialize;
use ureq::config::{AutoHeaderValue, Config};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body};

use super::{tell, tell_error};
use crate::cli::SolveArgs;
use crate::intel::fetch::printable;
use work::{Challenge, Task};

/// Asks, pays where that is asked for, and asks again.
pub(crate) fn run(args: &SolveArgs) -> ExitCode {
    match Asking::of(args).and_then(|asking| asking.through()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tell_error(&fault.what);
            if let Some(help) = fault.help {
                tell(format_args!("  = help: {help}\n"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Why nothing came of it.
#[derive(Debug)]
struct Fault {
    what: String,
    help: Option<&'static str>,
}

impl Fault {
    fn new(what: impl Into<String>, help: &'static str) -> Self {
        Self { what: what.into(), help: Some(help) }
    }

    fn bare(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }
}

/// What the gateway knows its client again by.
const CLIENT_HEADERS: [HeaderName; 5] = [
    header::USER_AGENT,
    header::HOST,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// What is sent as the name of the client, unless a header says otherwise: a clearance hangs on it.
const USER_AGENT: &str = concat!("portcullis-solve/", env!("CARGO_PKG_VERSION"));

/// Whether an answer is a challenge that only a browser can take.
fn is_page(headers: &HeaderMap) -> bool {
    headers.get("portcullis-action").is_some_and(|action| action == "challenge")
}

fn for_browsers() -> Fault {
    Fault::new(
        "the request was challenged by a page, which is for browsers",
        "its route is for browsers, by `clients = \"browser\"`; give programs a route of their own",
    )
}

/// The longest problem that is read, in bytes: a puzzle is less than one.
const MAX_PROBLEM_BYTES: u64 = 64 << 10;

/// The longest body that is sent, in bytes. It is kept, to be sent again.
const MAX_DATA_BYTES: u64 = 256 << 20;

/// How many puzzles are solved for one request: one that came too late, or whose key is gone, is made good by another.
const MAX_PUZZLES: usize = 3;

/// How often a solution is handed in while the gateway says that it is busy.
const MAX_REDEEMS: usize = 5;

/// How long it is left alone in between.
const BUSY: Duration = Duration::from_secs(2);

struct Asking<'a> {
    args: &'a SolveArgs,
    agent: Agent,
    url: Uri,
    method: Method,
    headers: HeaderMap,
    data: Option<Vec<u8>>,
    deadline: Instant,
}

#[derive(Debug, Deserialize)]
struct Problem {
    challenge: Option<Challenge>,
    code: Option<String>,
    detail: Option<String>,
}

/// What a request was answered.
enum Answer {
    Challenge(Box<Challenge>),
    /// A problem that is none of ours, whole.
    Read(Box<Response<()>>, Vec<u8>),
    /// Anything else, its body still to come.
    Other(Box<Response<Body>>),
}

impl<'a> Asking<'a> {
    fn of(args: &'a SolveArgs) -> Result<Self, Fault> {
        let url: Uri = args.url.parse().ok().filter(is_web).ok_or_else(|| {
            Fault::new(
                format!("`{}` is no URL of `http` or `https`", printable(&args.url)),
                "as in `https://shop.example/`",
            )
        })?;
        let data = args.data.as_deref().map(data).transpose()?;
        let usual = if data.is_some() { Method::POST } else { Method::GET };
        let method = match &args.request {
            Some(name) => Method::from_bytes(name.as_bytes())
                .map_err(|_| Fault::new(format!("`{}` is no method", printable(name)), "as in `-X PUT`"))?,
            None => usual,
        };
        let mut headers = headers(&args.headers)?;
        if data.is_some() {
            // As curl does.
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.entry(header::CONTENT_TYPE).or_insert(form);
        }
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let deadline = Instant::now()
            .checked_add(args.timeout)
            .ok_or_else(|| Fault::new("`--timeout` is too long", "as in `--timeout 15m`"))?;
        Ok(Self { args, agent: agent(args)?, url, method, headers, data, deadline })
    }

    fn through(&self) -> Result<(), Fault> {
        let mut clearance = None;
        for _ in 0..MAX_PUZZLES {
            let challenge = match self.ask(clearance.as_deref())? {
                Answer::Challenge(challenge) => challenge,
                Answer::Read(response, _) if is_page(response.headers()) => return Err(for_browsers()),
                Answer::Other(response) if is_page(response.headers()) => return Err(for_browsers()),
                _ if self.args.cookie => {
                    tell("the request was not challenged, so there is no clearance to be had\n");
                    return Ok(());
                }
                Answer::Read(response, body) => return self.print(&response, &mut body.as_slice()),
                Answer::Other(response) => {
                    let (parts, body) = response.into_parts();
                    return self.print(&Response::from_parts(parts, ()), &mut body.into_reader());
                }
            };
            if clearance.is_some() {
                return Err(Fault::new(
                    "the clearance was not accepted",
                    "it is good for one network and one User-Agent: is there a proxy in between that changes them?",
                ));
            }
            clearance = self.pay(&challenge)?;
            if let (Some(cookie), true) = (&clearance, self.args.cookie) {
                return print_line(&format!("Cookie: {cookie}\n"));
            }
        }
        // Each came too late, or the gateway was started anew in between.
        match self.ask(clearance.as_deref())? {
            Answer::Challenge(_) => Err(Fault::new(
                "the work was not done in time",
                "a challenge has to be solved within some minutes: give it more `--threads`, or a faster machine",
            )),
            Answer::Read(response, body) => self.print(&response, &mut body.as_slice()),
            Answer::Other(response) => {
                let (parts, body) = response.into_parts();
                self.print(&Response::from_parts(parts, ()), &mut body.into_reader())
            }
        }
    }

    fn ask(&self, clearance: Option<&str>) -> Result<Answer, Fault> {
        let mut headers = self.headers.clone();
        if let Some(clearance) = clearance {
            let own = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
            let cookies = own.map_or_else(|| clearance.to_owned(), |own| format!("{own}; {clearance}"));
            let cookies = HeaderValue::try_from(cookies).map_err(|_| Fault::bare("the clearance is no cookie"))?;
            headers.insert(header::COOKIE, cookies);
        }
        let response = self.send(&self.url, &self.method, headers, self.data.as_deref())?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_problem = kind.is_some_and(|kind| kind.split(';').next() == Some("application/problem+json"));
        if !is_problem {
            return Ok(Answer::Other(Box::new(response)));
        }
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(MAX_PROBLEM_BYTES).read_to_vec().map_err(|error| self.failed(&error))?;
        let challenge = serde_json::from_slice::<Problem>(&body).ok().and_then(|problem| problem.challenge);
        match challenge.filter(|_| parts.status == StatusCode::FORBIDDEN) {
            Some(challenge) => Ok(Answer::Challenge(Box::new(challenge))),
            None => Ok(Answer::Read(Box::new(Response::from_parts(parts, ())), body)),
        }
    }

    /// Does the work and hands it in. None where a new puzzle is needed.
    fn pay(&self, challenge: &Challenge) -> Result<Option<String>, Fault> {
        let task = Task::of(challenge)?;
        let redeem = self.redeem_url(challenge)?;
        let began = Instant::now();
        tell(format_args!("challenged: {task}\n"));
        let nonces = task.solve(self.threads(), self.deadline)?;
        tell(format_args!("solved in {:.1} s\n", began.elapsed().as_secs_f64()));
        let solution = format!("solution={}.{}", challenge.token, encode_nonces(&nonces));
        for _ in 0..MAX_REDEEMS {
            let mut headers = HeaderMap::new();
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
            for name in CLIENT_HEADERS {
                for value in self.headers.get_all(&name) {
                    headers.append(name.clone(), value.clone());
                }
            }
            let response = self.send(&redeem, &Method::POST, headers, Some(solution.as_bytes()))?;
            if response.status().is_success() {
                return clearance(&response).map(Some);
            }
            let status = response.status();
            let body = response.into_body().with_config().limit(MAX_PROBLEM_BYTES).read_to_vec();
            let body = body.map_err(|error| self.failed(&error))?;
            match self.refused(status, &body)? {
                Again::SameSolution => std::thread::sleep(BUSY.min(self.left()?)),
                Again::NewPuzzle => return Ok(None),
            }
        }
        Err(Fault::new("the gateway is busy", "try again in a few minutes"))
    }

    /// What a redeem that was refused asks for.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Result<Again, Fault> {
        let problem = serde_json::from_slice::<Problem>(body).ok();
        let code = problem.as_ref().and_then(|problem| problem.code.as_deref()).unwrap_or_default();
        let stale = [Refusal::Expired, Refusal::UnknownKey, Refusal::NotYetValid, Refusal::Spent];
        if code == Refusal::Busy.reason() {
            return Ok(Again::SameSolution);
        }
        if stale.iter().any(|refusal| refusal.reason() == code) {
            tell(format_args!("refused as `{}`; asking for a new puzzle\n", printable(code)));
            return Ok(Again::NewPuzzle);
        }
        let detail = problem.as_ref().and_then(|problem| problem.detail.as_deref()).unwrap_or_default();
        let what = format!("the solution was refused with {status}: {} {}", printable(code), printable(detail));
        Err(if code == Refusal::OtherBinding.reason() {
            Fault::new(
                what.trim_end(),
                "the requests came from two networks, or a proxy changed the User-Agent in between",
            )
        } else {
            Fault::bare(what.trim_end())
        })
    }

    /// Where the solution goes: a path of where the challenge came from.
    fn redeem_url(&self, challenge: &Challenge) -> Result<Uri, Fault> {
        let path = &challenge.redeem;
        let own = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
        let (scheme, authority) = self.url.scheme().zip(self.url.authority()).ok_or_else(|| Fault::bare("no host"))?;
        let url = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path.as_str());
        url.build().ok().filter(|_| own).ok_or_else(|| {
            Fault::new(
                format!("the challenge says to redeem it at `{}`, which is not on its own host", printable(path)),
                "a solution goes nowhere else: tell whoever runs the server",
            )
        })
    }

    fn send(
        &self,
        url: &Uri,
        method: &Method,
        headers: HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Response<Body>, Fault> {
        let mut request = Request::new(());
        *request.uri_mut() = url.clone();
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers;
        let left = Some(self.left()?);
        let sent = match body {
            Some(body) => {
                let request = request.map(|()| body.to_vec());
                self.agent.run(self.agent.configure_request(request).timeout_global(left).build())
            }
            None => self.agent.run(self.agent.configure_request(request).timeout_global(left).build()),
        };
        sent.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &ureq::Error) -> Fault {
        if matches!(error, ureq::Error::Timeout(_)) {
            return self.late();
        }
        Fault::bare(format!(
            "cannot ask {}: {}",
            self.url.authority().map_or("", |at| at.as_str()),
            printable(&error.to_string())
        ))
    }

    fn late(&self) -> Fault {
        late(self.args.timeout)
    }

    fn left(&self) -> Result<Duration, Fault> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(self.late()) } else { Ok(left) }
    }

    fn threads(&self) -> usize {
        let usual = || std::thread::available_parallelism().map_or(1, usize::from);
        self.args.threads.map_or_else(usual, usize::from)
    }

    fn print(&self, response: &Response<()>, body: &mut dyn io::Read) -> Result<(), Fault> {
        let mut out = io::stdout().lock();
        let mut head = Vec::new();
        if self.args.include {
            let reason = response.status().canonical_reason().unwrap_or_default();
            let status = format!("{:?} {} {reason}", response.version(), response.status().as_str());
            head.extend_from_slice(status.trim_end().as_bytes());
            head.extend_from_slice(b"\r\n");
            for (name, value) in response.headers() {
                head.extend_from_slice(name.as_str().as_bytes());
                head.extend_from_slice(b": ");
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"\r\n");
        }
        let done = out.write_all(&head).and_then(|()| io::copy(body, &mut out)).and_then(|_| out.flush());
        match done {
            Ok(()) => Ok(()),
            // Whoever reads has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Fault::bare(format!("the answer cannot be passed on: {error}"))),
        }
    }
}

/// What to do about a redeem that was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Again {
    SameSolution,
    NewPuzzle,
}

const LONGER: &str = "give it longer, as in `--timeout 30m`";

fn late(after: Duration) -> Fault {
    Fault::new(format!("nothing came of it within {} s", after.as_secs()), LONGER)
}

fn is_web(url: &Uri) -> bool {
    matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
}

fn headers(written: &[String]) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for field in written {
        let strange =
            || Fault::new(format!("`{}` is no header field", printable(field)), "as in `-H 'accept: text/csv'`");
        let (name, value) = field.split_once(':').ok_or_else(strange)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| strange())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| strange())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What is sent: the text itself, or what is in a file.
fn data(written: &str) -> Result<Vec<u8>, Fault> {
    let Some(name) = written.strip_prefix('@') else { return Ok(written.as_bytes().to_vec()) };
    let mut bytes = Vec::new();
    let read = match name {
        "-" => io::stdin().lock().take(MAX_DATA_BYTES + 1).read_to_end(&mut bytes),
        name => std::fs::File::open(name).and_then(|file| file.take(MAX_DATA_BYTES + 1).read_to_end(&mut bytes)),
    };
    match read {
        Ok(length) if length as u64 <= MAX_DATA_BYTES => Ok(bytes),
        Ok(_) => Err(Fault::bare(format!("`{}` is longer than {MAX_DATA_BYTES} bytes", printable(name)))),
        Err(error) => {
            Err(Fault::new(format!("cannot read `{}`: {error}", printable(name)), "`@` before the name of a file"))
        }
    }
}

/// The cookie of the clearance in the answer to a redeem.
fn clearance(response: &Response<Body>) -> Result<String, Fault> {
    let cookies = response.headers().get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs: Vec<&str> = cookies.filter_map(|cookie| cookie.split(';').next()).map(str::trim).collect();
    let plain = pairs.iter().all(|pair| pair.contains('=') && pair.bytes().all(|byte| byte.is_ascii_graphic()));
    if pairs.is_empty() || !plain {
        return Err(Fault::bare("the solution was accepted, and yet no clearance came with the answer"));
    }
    Ok(pairs.join("; "))
}

fn print_line(line: &str) -> Result<(), Fault> {
    io::stdout().lock().write_all(line.as_bytes()).map_err(|error| Fault::bare(format!("cannot write: {error}")))
}

fn agent(args: &SolveArgs) -> Result<Agent, Fault> {
    let roots = args.cacert.as_deref().map_or(Ok(RootCerts::WebPki), trusted)?;
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .root_certs(roots)
        .disable_verification(args.insecure)
        .build();
    let config = Config::builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        // As curl: a redirect is an answer.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(AutoHeaderValue::None)
        .accept(AutoHeaderValue::None)
        .accept_encoding(AutoHeaderValue::None)
        .build();
    Ok(Agent::new_with_config(config))
}

fn trusted(path: &Path) -> Result<RootCerts, Fault> {
    let pem = std::fs::read(path)
        .map_err(|error| Fault::bare(format!("cannot read the certificates in `{}`: {error}", path.display())))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem).filter_map(certificate).collect();
    if certificates.is_empty() {
        return Err(Fault::bare(format!("there is no certificate in `{}`", path.display())));
    }
    Ok(RootCerts::from(certificates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_and_a_url_are_read_as_curl_reads_them() {
        let read = headers(&["accept: text/csv".to_owned(), "X-Tag:a:b".to_owned()]).unwrap();
        assert_eq!(read.get("accept").unwrap(), "text/csv");
        assert_eq!(read.get("x-tag").unwrap(), "a:b");
        for wrong in ["accept", "a b: c", ": c", "a: \u{7}"] {
            assert!(headers(&[wrong.to_owned()]).is_err(), "{wrong:?}");
        }
        for (url, web) in [
            ("http://127.0.0.1:1/", true),
            ("https://shop.example", true),
            ("ftp://shop.example/", false),
            ("/a", false),
        ] {
            assert_eq!(url.parse::<Uri>().is_ok_and(|url| is_web(&url)), web, "{url}");
        }
    }
}
