//! One canonical form of a path, for matching and for forwarding (CVE-2019-9901, CVE-2021-29492).

use crate::rig::Rig;
use crate::{CURL, OPEN};

fn guarded() -> String {
    format!(
        "{OPEN}
[[route]]
name = \"admin\"
paths = [\"/admin\", \"/admin/{{*rest}}\"]
origin = \"app\"
[[route.rule]]
name = \"nobody\"
when = {{ ip = [\"127.0.0.0/8\"] }}
action = \"block\"
"
    )
}

#[test]
fn no_spelling_of_a_path_passes_its_rule() {
    let rig = Rig::start(&guarded());
    for path in [
        "/admin",
        "/admin/",
        "/admin/users",
        "//admin/users",
        "/./admin/users",
        "/x/../admin/users",
        "/%61dmin/users",
        "/%61%64%6d%69%6e",
        "/admin/./users",
        "/open/%2e%2e/admin/users",
        "/open/%2E%2e/admin",
        "/open/..//admin/users",
        "/../admin",
        "/admin?/../open",
    ] {
        let mut connection = rig.client().connect().unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n");
        let answer = connection.send_raw(head.as_bytes()).unwrap();
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.json()["code"], "API.RULE_BLOCKED", "{path}");
    }
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn a_path_that_servers_read_differently_is_refused() {
    let rig = Rig::start(&guarded());
    for path in [
        "/open%2f..%2fadmin",
        "/open%2F%2e%2e%2Fadmin",
        "/open\\..\\admin",
        "/open%5c..%5cadmin",
        "/admin%00.png",
        "/open;/../admin",
        "/admin;jsessionid=1/users",
        "/%c0%ae%c0%ae/admin",
        "/%252e%252e/admin",
        "/a%zz",
        "/a%0d%0aX:%20y",
    ] {
        let mut connection = rig.client().connect().unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n");
        let answer = connection.send_raw(head.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{path}");
    }
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn the_origin_sees_the_form_that_was_judged() {
    let rig = Rig::start(OPEN);
    for (sent, forwarded) in [
        ("/a//b/./c/../d?x=%2f&y=../z", "/a/b/d?x=%2f&y=../z"),
        ("/%7Euser/%41", "/~user/A"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/same/path", "/same/path"),
    ] {
        let mut connection = rig.client().connect().unwrap();
        connection
            .send_raw(format!("GET {sent} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n").as_bytes())
            .unwrap();
        let seen = rig.origin.take_requests();
        assert_eq!(seen[0].target, forwarded, "{sent}");
    }
    let h2 = rig.tls_client(&["h2"]);
    h2.get_h2("/a//b/%2e%2e/c?q", CURL).unwrap();
    assert_eq!(rig.origin.take_requests()[0].target, "/a/c?q");
}

#[test]
fn the_host_has_one_form_for_matching() {
    let rig = Rig::start(
        "[[route]]\nname = \"shop\"\nhosts = [\"shop.example\"]\npaths = [\"/{*rest}\"]\norigin = \"app\"\n\
         [[route.rule]]\nname = \"nobody\"\nwhen = { ip = [\"127.0.0.0/8\"] }\naction = \"block\"\n\
         [[route]]\nname = \"rest\"\npaths = [\"/{*rest}\"]\norigin = \"app\"\n",
    );
    for host in ["shop.example", "SHOP.example", "shop.example:8080", "shop.example.", "Shop.Example.:80"] {
        assert_eq!(rig.client().host(host).get("/x", CURL).unwrap().status, 403, "{host}");
    }
    assert_eq!(rig.client().host("other.example").get("/x", CURL).unwrap().status, 200);
}

/// A target that is no path is judged as one path by one reader and as another by the next.
#[test]
fn a_target_that_is_no_path_is_refused() {
    let rig = Rig::start(&guarded());
    for target in [
        "admin/users",
        "x/../admin/users",
        "\\admin/users",
        "?/admin/users",
        "@shop.example/admin/users",
        "shop.example/admin/users",
        "ftp://shop.example/admin/users",
        "*",
    ] {
        let mut connection = rig.client().connect().unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n");
        let answer = connection.send_raw(head.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{target}");
    }
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn a_url_as_target_is_judged_and_forwarded_as_its_path() {
    let rig = Rig::start(&guarded());
    let ask = |target: &str| {
        let mut connection = rig.client().connect().unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n");
        connection.send_raw(head.as_bytes()).unwrap().status
    };
    assert_eq!(ask("http://shop.example/admin/users"), 403);
    assert_eq!(ask("http://shop.example/x/../admin"), 403);
    assert!(rig.origin.take_requests().is_empty());
    assert_eq!(ask("http://shop.example/open?a=//b"), 200);
    assert_eq!(rig.origin.take_requests()[0].target, "/open?a=//b");
}

/// The canonical form may be longer than what was sent; where it cannot be forwarded, nothing is.
#[test]
fn a_path_whose_canonical_form_is_too_long_is_refused() {
    let rules = format!("{OPEN}ambiguous_paths = \"allow\"\n");
    let rig = Rig::start_with(&rules, "[limits]\nmax_header_bytes = 60000\n", crate::rig::usual_origin);
    let mut connection = rig.client().connect().unwrap();
    let head =
        format!("GET /x/../{} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n", "\"".repeat(23_000));
    let answer = connection.send_raw(head.as_bytes()).unwrap();
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(rig.origin.take_requests().is_empty());
}

#[test]
fn a_method_in_another_case_is_no_way_around_a_route() {
    let rig = Rig::start(&guarded());
    for method in ["get", "Get", "pOST"] {
        let mut connection = rig.client().connect().unwrap();
        let head = format!("{method} /open HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n");
        assert_eq!(connection.send_raw(head.as_bytes()).unwrap().status, 400, "{method}");
    }
    let mut connection = rig.client().connect().unwrap();
    let trace = b"TRACE /open HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8.5.0\r\n\r\n";
    assert_eq!(connection.send_raw(trace).unwrap().status, 405);
    assert!(rig.origin.take_requests().is_empty());
}
