//! `portcullis solve`, against the running gateway and against servers that are none.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use portcullis_challenge::problem::{Problem, render};
use portcullis_challenge::{
    Binding, KeyId, KeyRing, Lifetimes, MemoryCost, Puzzle, Scratch, SigningKey, Solution, SpentSet, Strength,
    UnixMillis, Work,
};
use portcullis_testkit::{Answer, Origin, run_to_end};

use crate::rig::Rig;

const GUARDED: &str = r#"
[[route]]
name = "guarded"
paths = ["/{*rest}", "/"]
origin = "app"
clients = "api"
thresholds = { throttle = 0.05, challenge = 0.10, block = 0.90 }
weights = { ua-tool = 0.3 }
puzzle = { difficulty_bits = 6, count = 8 }
"#;

fn solve(arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["solve"].into_iter().chain(arguments.iter().copied()).collect();
    run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), &all, b"from standard input")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_page_that_is_for_browsers_is_called_so() {
    let rig = Rig::start(&GUARDED.replace("\"api\"", "\"browser\""));
    let url = format!("http://{}/items", rig.plain);
    for cookie in [&[][..], &["--cookie"]] {
        let page = solve(&[cookie, &["-H", "user-agent: curl/8.5.0", &url]].concat());
        assert!(!page.status.success() && out(&page).is_empty(), "{}", out(&page));
        assert!(told(&page).contains("challenged by a page, which is for browsers"), "{}", told(&page));
    }
}

#[test]
fn a_program_pays_and_the_answer_is_passed_on_as_it_came() {
    let rig = Rig::start_with(GUARDED, "", |request| {
        Answer::ok(format!("{} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body)))
            .header("x-tag", request.header("x-tag").unwrap_or("none"))
    });
    let url = format!("http://{}/items?page=2", rig.plain);
    let curl = "user-agent: curl/8.5.0";
    let paid = solve(&["-H", curl, &url]);
    assert!(paid.status.success(), "{}", told(&paid));
    assert_eq!(out(&paid), "GET /items?page=2 ");
    assert!(told(&paid).contains("8 parts, some 512 hashes"), "{}", told(&paid));
    let paid = solve(&["-i", "-X", "PUT", "-H", curl, "-H", "x-tag: 7", "-d", "@-", &url]);
    let text = out(&paid);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\r\nx-tag: 7\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nPUT /items?page=2 from standard input"), "{text}");
    let requests = rig.origin.take_requests();
    assert_eq!(requests.len(), 2, "what was challenged did not reach the origin");
    // The clearance by itself is good for other programs of the same name.
    let cookie = solve(&["--cookie", "-H", curl, &url]);
    let line = out(&cookie);
    let (name, value) = line.trim_end().split_once(": ").unwrap();
    let answer = rig.client().host(&rig.plain.to_string());
    let answer = answer.get("/", &[("user-agent", "curl/8.5.0"), ("accept", "*/*"), (name, value)]).unwrap();
    assert_eq!(answer.status, 200);
    rig.await_count("portcullis_challenges_total", &[("outcome", "solved")], 3.0);
}

#[test]
fn a_trusted_proxy_pays_for_the_client_that_it_names() {
    let settings = "[client_address]\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let rig = Rig::start_with(GUARDED, settings, |_| Answer::ok("welcome"));
    let url = format!("http://{}/", rig.plain);
    let as_client = |url: &str, fields: &[&str]| {
        let fields = fields.iter().flat_map(|field| ["-H", field]);
        let paid = solve(&["-H", "user-agent: curl/8.5.0"].into_iter().chain(fields).chain([url]).collect::<Vec<_>>());
        assert_eq!((paid.status.success(), &*out(&paid)), (true, "welcome"), "{}", told(&paid));
    };
    for scheme in ["x-forwarded-proto: http", "x-forwarded-proto: https"] {
        as_client(&url, &["x-forwarded-for: 192.0.2.7", scheme]);
    }
    let rig = Rig::start_with(GUARDED, &format!("{settings}\nheader = \"forwarded\""), |_| Answer::ok("welcome"));
    as_client(&format!("http://{}/", rig.plain), &["forwarded: for=192.0.2.7;proto=https"]);
}

#[test]
fn what_is_not_challenged_is_passed_on_whatever_its_status() {
    let origin = Origin::start(|request| match request.target.as_str() {
        "/moved" => Answer::status(302).header("location", "/"),
        "/problem" => Answer::status(403).header("content-type", "application/problem+json").body("{\"status\":403}"),
        _ => Answer::status(404).body("not here"),
    });
    for (path, body, head) in [
        ("/", "not here", "HTTP/1.1 404 "),
        ("/moved", "", "HTTP/1.1 302 "),
        ("/problem", "{\"status\":403}", "HTTP/1.1 403 "),
    ] {
        let url = format!("http://{}{path}", origin.address());
        let output = solve(&["-i", &url]);
        assert!(output.status.success(), "{}", told(&output));
        assert!(
            out(&output).starts_with(head) && out(&output).ends_with(&format!("\r\n\r\n{body}")),
            "{}",
            out(&output)
        );
    }
    let unasked = solve(&["--cookie", &format!("http://{}/", origin.address())]);
    assert!(unasked.status.success() && out(&unasked).is_empty());
}

#[test]
fn memory_hard_work_is_done_too() {
    let ring = KeyRing::new(&SigningKey::new(KeyId(1), [7; 32]), &[]).unwrap();
    let cost = MemoryCost::new(1, 1, 2, 3).unwrap();
    let work = Work::new(Strength::new(4, 4).unwrap(), Some(cost));
    let now = UnixMillis(1_900_000_000_000);
    let lifetimes = Lifetimes::from(std::time::Duration::from_secs(600));
    let puzzle = Puzzle::issue(&ring, [1; 16], work, &Binding::default(), now, lifetimes);
    let mut body = String::new();
    render(&Problem::challenge(&puzzle, "/redeem", "1"), &mut body);
    let spent = Arc::new(SpentSet::new(10));
    let server = Origin::start(move |request| {
        if request.target == "/redeem" {
            let text = String::from_utf8(request.body.clone()).unwrap();
            let solution = Solution::parse(text.strip_prefix("solution=").unwrap()).unwrap();
            let verified =
                solution.verify_memory_hard(&ring, &Binding::default(), now, &spent, &mut Scratch::new(cost));
            return match verified {
                Ok(_) => Answer::status(204).header("set-cookie", "clearance=1; Path=/; HttpOnly"),
                Err(refusal) => Answer::status(400).body(refusal.reason()),
            };
        }
        match request.header("cookie") {
            Some("mine=1; clearance=1") => Answer::ok("through"),
            _ => Answer::status(403).header("content-type", "application/problem+json").body(body.clone()),
        }
    });
    let output = solve(&["-H", "cookie: mine=1", &format!("http://{}/", server.address())]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(out(&output), "through");
    assert!(told(&output).contains("16 MiB of memory filled"), "{}", told(&output));
}

#[test]
fn the_memory_hard_rung_of_the_gateway_is_climbed() {
    // The last quarter between `challenge` and `block` asks for work that takes memory.
    let rules = GUARDED.replace("block = 0.90", "block = 0.45").replace("ua-tool = 0.3", "ua-tool = 0.39");
    let rig = Rig::start_with(&rules, "", |_| Answer::ok("through"));
    let paid = solve(&["-H", "user-agent: curl/8.5.0", &format!("http://{}/", rig.plain)]);
    assert!(paid.status.success(), "{}", told(&paid));
    assert_eq!(out(&paid), "through");
    assert!(told(&paid).contains("8 parts, some 512 hashes, and 1024 MiB of memory filled"), "{}", told(&paid));
    let labels = [("family", "other"), ("rung", "memory-hard"), ("step", "solved")];
    rig.await_count("portcullis_challenge_steps_total", &labels, 1.0);
}

#[test]
fn a_server_that_asks_for_more_than_is_right_is_told_of_and_left() {
    let challenge = |redeem: &str, bits: u32| {
        format!(
            "{{\"challenge\":{{\"algorithm\":\"sha256\",\"difficulty_bits\":{bits},\"count\":2,\"seed\":\"{}\",\
             \"token\":\"t\",\"redeem\":\"{redeem}\",\"expires_unix_secs\":1}}}}",
            "00".repeat(32)
        )
    };
    let server = Origin::start(move |request| {
        let problem =
            |status, body: String| Answer::status(status).header("content-type", "application/problem+json").body(body);
        match request.target.as_str() {
            "/elsewhere" => problem(403, challenge("//evil.example/redeem", 1)),
            "/elsewhere-too" => problem(403, challenge("https://evil.example/redeem", 1)),
            "/endless" => problem(403, challenge("/ok", 1)),
            "/too-hard" => problem(403, challenge("/ok", 60)),
            "/refused" => problem(403, challenge("/no", 1)),
            "/stale" => problem(403, challenge("/expired", 1)),
            "/slow" => problem(403, challenge("/ok", 24).replace("\"count\":2", "\"count\":16")),
            "/bare" => problem(403, challenge("/empty", 1)),
            "/ok" => Answer::status(204).header("set-cookie", "c=1"),
            "/empty" => Answer::status(204),
            "/no" => problem(400, "{\"code\":\"unsolved\",\"detail\":\"\\u001b[2Jdone\"}".to_owned()),
            "/expired" => problem(403, "{\"code\":\"expired\"}".to_owned()),
            _ => problem(403, "x".repeat(1 << 20)),
        }
    });
    for (path, words) in [
        ("/elsewhere", "which is not on its own host"),
        ("/elsewhere-too", "which is not on its own host"),
        ("/endless", "the clearance was not accepted"),
        ("/too-hard", "out of bounds"),
        ("/refused", "the solution was refused with 400 Bad Request: unsolved"),
        ("/stale", "the work was not done in time"),
        ("/slow", "the time was over before the work was done"),
        ("/bare", "no clearance came with the answer"),
        ("/long", "cannot ask"),
    ] {
        let output = solve(&["--timeout", "3s", &format!("http://{}{path}", server.address())]);
        assert!(!output.status.success() && out(&output).is_empty(), "{path}: {}", out(&output));
        assert!(told(&output).contains(words) && !told(&output).contains('\u{1b}'), "{path}: {}", told(&output));
    }
    for wrong in [&["ftp://shop.example/"][..], &["-H", "x", "http://127.0.0.1:1/"], &["-d", "@/nowhere", "http://a/"]]
    {
        assert!(!solve(wrong).status.success(), "{wrong:?}");
    }
    let nobody = solve(&["http://127.0.0.1:1/"]);
    assert!(told(&nobody).contains("cannot ask 127.0.0.1:1"), "{}", told(&nobody));
}
