//! Fetching from servers that are slow, endless, taken over or no servers of data at all.

use std::io::Write;
use std::time::Duration;

use portcullis::intel::{Bounds, Document, FetchError, Fetched, Fetcher, Reach, Validators};
use portcullis_testkit::TestCertificate;

use super::Folder;
use super::feed_server::{FeedServer, Stream, hang, ok};

/// The largest document of these tests, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A time that what is answered at all is answered in.
const AMPLE: Duration = Duration::from_secs(20);

fn certificate() -> TestCertificate {
    TestCertificate::for_names(&["127.0.0.1"])
}

fn fetcher(trusted: &TestCertificate, redirected: &[&str]) -> Fetcher {
    let folder = Folder::new();
    let ca_file = folder.write("ca.pem", trusted.certificate_pem());
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let reach = Reach { named: networks(&["127.0.0.0/8"]), redirected: networks(redirected) };
    Fetcher::new(Some(&ca_file), Some("ops@shop.example"), &reach).unwrap()
}

fn fetch(fetcher: &Fetcher, url: &str, total_time: Duration) -> Result<Fetched, FetchError> {
    fetcher.fetch(url, &Validators::default(), Bounds { max_bytes: MAX_BYTES, total_time })
}

/// The error of a server that answers like this.
#[track_caller]
fn refusal(
    total_time: Duration,
    answer: impl Fn(&mut Stream) -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    let certificate = certificate();
    let server = FeedServer::start(&certificate, move |_, stream| answer(stream));
    fetch(&fetcher(&certificate, &["127.0.0.0/8"]), &server.url("/feed"), total_time).unwrap_err().to_string()
}

#[test]
fn a_document_comes_as_it_is_and_the_next_request_names_it() {
    let certificate = certificate();
    let server = FeedServer::start(&certificate, |head, stream| {
        if head.contains("if-none-match: \"one\"") {
            write!(stream, "HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nConnection: close\r\n\r\n")
        } else {
            ok(
                stream,
                "ETag: \"one\"\r\nLast-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n",
                "\u{1f}\u{8b}192.0.2.0/24\n",
            )
        }
    });
    let fetcher = fetcher(&certificate, &[]);
    let validators = Validators {
        etag: Some("\"one\"".to_owned()),
        last_modified: Some("Sat, 21 Nov 2026 08:00:00 GMT".to_owned()),
    };
    let document = Document { bytes: "\u{1f}\u{8b}192.0.2.0/24\n".into(), validators: validators.clone() };
    assert_eq!(fetch(&fetcher, &server.url("/tor?key=1"), AMPLE).unwrap(), Fetched::Fresh(document));
    let bounds = Bounds { max_bytes: MAX_BYTES, total_time: AMPLE };
    assert_eq!(fetcher.fetch(&server.url("/tor"), &validators, bounds).unwrap(), Fetched::Unchanged);
    let [first, second] = &server.requests()[..] else { panic!("two requests") };
    let (first, second) = (first.to_lowercase(), second.to_lowercase());
    assert!(first.starts_with("get /tor?key=1 http/1.1\r\n"), "{first}");
    let agent = concat!("user-agent: portcullis/", env!("CARGO_PKG_VERSION"), " (ops@shop.example)\r\n");
    assert!(first.contains(agent) && !first.contains("if-none-match"), "{first}");
    assert!(!first.contains("accept-encoding"), "{first}");
    assert!(second.contains("if-modified-since: sat, 21 nov 2026 08:00:00 gmt\r\n"), "{second}");
}

#[test]
fn a_server_that_does_not_come_to_an_end_is_left() {
    let brief = Duration::from_millis(400);
    let silent = refusal(brief, hang);
    assert!(silent.contains("longer than 0.4 s"), "{silent}");
    let stalled = refusal(brief, |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.0/24\n")?;
        hang(stream)
    });
    assert!(stalled.contains("longer than 0.4 s"), "{stalled}");
    let half_a_header = refusal(brief, |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-")?;
        hang(stream)
    });
    assert!(half_a_header.contains("longer than 0.4 s"), "{half_a_header}");
    let dripping = refusal(brief, |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
        let (_never, drip) = std::sync::mpsc::channel::<()>();
        loop {
            write!(stream, "#")?;
            stream.flush()?;
            let _ = drip.recv_timeout(Duration::from_millis(20));
        }
    });
    assert!(dripping.contains("longer than 0.4 s"), "{dripping}");
    let endless = refusal(AMPLE, |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'#'; 8192])?;
        }
    });
    assert!(endless.contains("larger than 65536 bytes"), "{endless}");
    let endless_header = refusal(AMPLE, |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
        loop {
            write!(stream, "X-Filler: {}\r\n", "x".repeat(1000))?;
        }
    });
    assert!(!endless_header.is_empty());
}

#[test]
fn what_is_no_document_is_refused() {
    for (answer, said) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answered 500"),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", "answered 304"),
        ("HTTP/1.1 206 Partial\r\nContent-Length: 1\r\n\r\nx", "answered 206"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "nothing in it"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n", "larger than 65536 bytes"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\n1.2.3", "a web page"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n\n<!DOCTYPE html><title>Log in", "a web page"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n192.0.2.0/24\n", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n192.0\r\n", ""),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", ""),
        ("HTTP/1.1 302 Found\r\n\r\n", "does not say where to"),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/feed\r\n\r\n", "not HTTPS"),
        ("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "no URL"),
        ("HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", "more than can be meant"),
    ] {
        let error = refusal(AMPLE, move |stream| stream.write_all(answer.as_bytes()));
        assert!(error.contains(said), "{answer:?}: {error}");
        // How a connection fails is said by the library; that it fails is what counts.
        assert!(!error.is_empty() && !error.contains('\n'), "{answer:?}: {error}");
    }
}

#[test]
fn a_redirect_leads_to_no_address_that_is_not_public() {
    let certificate = certificate();
    let inside = FeedServer::of(&certificate, "secret\n");
    for target in [inside.url("/"), "https://169.254.169.254/latest/meta-data/".to_owned(), "https://[::1]/".to_owned()]
    {
        let server = FeedServer::start(&certificate, move |_, stream| {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
        });
        let error = fetch(&fetcher(&certificate, &[]), &server.url("/feed"), AMPLE).unwrap_err();
        assert!(matches!(error, FetchError::Forbidden(_)), "{error}");
        assert!(error.to_string().contains("which is not public"), "{error}");
    }
    assert_eq!(inside.requests(), Vec::<String>::new());
}

#[test]
fn a_redirect_to_where_one_may_go_is_followed() {
    let certificate = certificate();
    let server = FeedServer::start(&certificate, |head, stream| {
        if head.starts_with("GET /list ") {
            ok(stream, "", "192.0.2.0/24\n")
        } else {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: /list\r\nContent-Length: 0\r\n\r\n")
        }
    });
    let fetched = fetch(&fetcher(&certificate, &["127.0.0.1/32"]), &server.url("/latest"), AMPLE).unwrap();
    assert!(matches!(fetched, Fetched::Fresh(document) if document.bytes == b"192.0.2.0/24\n"));
}

#[test]
fn a_server_that_cannot_show_who_it_is_is_sent_no_request() {
    let trusted = certificate();
    for shown in [certificate(), TestCertificate::for_names(&["lists.shop.example"])] {
        let server = FeedServer::of(&shown, "192.0.2.0/24\n");
        let error = fetch(&fetcher(&trusted, &[]), &server.url("/feed"), AMPLE).unwrap_err();
        assert!(matches!(error, FetchError::Transport(_)), "{error}");
        assert_eq!(server.requests(), Vec::<String>::new());
        // The right issuer is not enough: the name must be in the certificate.
        let by_name = fetch(&fetcher(&shown, &[]), &server.url("/feed"), AMPLE);
        assert_eq!(by_name.is_ok(), server.requests().len() == 1);
    }
    let other_name = TestCertificate::for_names(&["lists.shop.example"]);
    let server = FeedServer::of(&other_name, "192.0.2.0/24\n");
    assert!(fetch(&fetcher(&other_name, &[]), &server.url("/feed"), AMPLE).is_err());
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn without_a_mirror_in_the_settings_this_machine_is_not_asked() {
    let certificate = certificate();
    let server = FeedServer::of(&certificate, "192.0.2.0/24\n");
    let fetcher = Fetcher::new(None, None, &Reach::default()).unwrap();
    let error = fetch(&fetcher, &server.url("/feed"), AMPLE).unwrap_err();
    assert!(matches!(error, FetchError::Forbidden(_)), "{error}");
    for url in ["http://lists.shop.example/", "ftp://lists.shop.example/", "/etc/passwd", ""] {
        assert!(matches!(fetch(&fetcher, url, AMPLE), Err(FetchError::NotHttps)), "{url}");
    }
}
