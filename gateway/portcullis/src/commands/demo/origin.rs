//! The origin of the demo: a small shop that knows one password.

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

/// The shop.
#[derive(Debug)]
pub(super) struct Shop;

/// The password of every account.
pub(super) const PASSWORD: &str = "correct horse";

/// The longest body that is read; the rest is of no interest.
const MAX_BODY_BYTES: usize = 16 * 1024;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

const HOME: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>The shop</title>\n\
<h1>The shop</h1>\n<p>You have reached the origin, so the gateway let you through.</p>\n</html>\n";

#[async_trait]
impl ServeHttp for Shop {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let body = body(session).await;
        let request = session.req_header();
        let told = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let for_people = told("accept").is_some_and(|accept| accept.contains("text/html")) || request.uri.path() == "/";
        if for_people && request.method == Method::GET {
            return answer(StatusCode::OK, HTML, HOME.to_owned());
        }
        // Whatever stands before the last segment, so that `/v1/login` is a login as well.
        let login = request.method == Method::POST && request.uri.path().rsplit('/').next() == Some("login");
        let (status, says) = match login {
            true if has_password(&body) => (StatusCode::OK, "welcome"),
            true => (StatusCode::UNAUTHORIZED, "wrong password"),
            false => (StatusCode::OK, "hello from the origin"),
        };
        let shown = serde_json::json!({
            "says": says,
            "path": request.uri.path(),
            "score": told("portcullis-score"),
            "action": told("portcullis-action"),
            "reasons": told("portcullis-reasons"),
            "client": told("x-forwarded-for"),
        });
        answer(status, JSON, format!("{shown}\n"))
    }
}

/// The body, as far as it is of interest.
async fn body(session: &mut ServerSession) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = session.read_request_body().await {
        let room = MAX_BODY_BYTES.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
    }
    body
}

/// Whether a form or a JSON text has the password in it.
fn has_password(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).replace('+', " ").replace("%20", " ");
    text.contains(PASSWORD)
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Vec<u8>> {
    let length = text.len();
    let mut response = Response::new(text.into_bytes());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_found_in_a_form_and_in_json() {
        for (body, has) in [
            ("user=a&password=correct+horse", true),
            ("user=a&password=correct%20horse", true),
            (r#"{"password":"correct horse"}"#, true),
            ("password=guess", false),
            ("", false),
        ] {
            assert_eq!(has_password(body.as_bytes()), has, "{body}");
        }
    }
}
