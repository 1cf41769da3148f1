//! `portcullis intel`, run as a person runs it.

use std::path::Path;
use std::process::Output;

use portcullis_testkit::{TestCertificate, run_to_end};
use serde_json::Value;

use super::Folder;
use super::feed_server::{FeedServer, ok};

/// The exit status, and the lines of JSON by the name of their source.
fn run(args: &[&str]) -> (i32, Vec<Value>, String) {
    let Output { status, stdout, stderr } = run_to_end(Path::new(env!("CARGO_BIN_EXE_portcullis")), args, b"");
    let text = String::from_utf8(stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (status.code().unwrap(), lines, String::from_utf8(stderr).unwrap())
}

#[test]
fn an_update_fetches_verifies_and_says_what_is_there() {
    let certificate = TestCertificate::for_names(&["127.0.0.1"]);
    let server = FeedServer::start(&certificate, |head, stream| match head {
        head if head.starts_with("GET /tor ") => ok(stream, "", "# exits\n203.0.114.1\n203.0.114.2\n"),
        head if head.starts_with("GET /cloud ") => {
            ok(stream, "", "{\"prefixes\":[{\"ip_prefix\":\"203.0.114.0/24\"}]}")
        }
        head if head.starts_with("GET /asn ") => ok(stream, "", "no database at all"),
        _ => ok(stream, "Content-Type: text/html\r\n", "<html>"),
    });
    let folder = Folder::new();
    folder.write("ca.pem", certificate.certificate_pem());
    let feed = |name: &str, format: &str, class: &str| {
        format!(
            "[[intel.feed]]\nname = \"{name}\"\nurl = \"{}\"\nformat = \"{format}\"\nclass = \"{class}\"\n\
             licence = \"CC0\"\n",
            server.url(&format!("/{name}"))
        )
    };
    let text = format!(
        "[intel]\nca_file = \"ca.pem\"\nmirrors = [\"127.0.0.0/8\"]\n[[intel.source]]\nname = \"asn\"\nurl = \"{}\"\n{}{}{}",
        server.url("/asn"),
        feed("tor", "text", "tor"),
        feed("cloud", "json", "datacenter"),
        feed("login", "text", "vpn"),
    );
    let sources = folder.write("sources.toml", &text).display().to_string();

    let (code, lines, stderr) = run(&["intel", "update", "--sources", &sources, "--format", "json"]);
    assert_eq!(code, 1, "{stderr}");
    let told: Vec<_> =
        lines.iter().map(|line| (line["source"].as_str().unwrap(), line["result"].as_str().unwrap())).collect();
    assert_eq!(told, [("asn", "refused"), ("tor", "applied"), ("cloud", "applied"), ("login", "failed")], "{stderr}");

    let (code, lines, _) = run(&["intel", "status", "--sources", &sources, "--format", "json"]);
    assert_eq!(code, 0);
    assert_eq!((&lines[1]["entries"], &lines[1]["licence"]), (&Value::from(2), &Value::from("CC0")));
    assert_eq!(lines[2]["entries"], Value::from(1));
    assert!(lines[0]["error"].as_str().unwrap().contains("database"), "{}", lines[0]);
    assert!(lines[3]["error"].as_str().unwrap().contains("web page"), "{}", lines[3]);
    assert!(lines[3].get("age_secs").is_none());
    assert!(folder.path().join("intel/tor.data").exists() && !folder.path().join("intel/asn.data").exists());

    // Within its interval a source is left alone, and one alone can be asked for.
    let (code, lines, _) = run(&["intel", "update", "tor", "--sources", &sources, "--format", "json"]);
    assert_eq!((code, lines.len()), (0, 1));
    assert_eq!(lines[0]["result"], Value::from("not-due"));
    let (code, _, stderr) = run(&["intel", "update", "tro", "--sources", &sources]);
    assert!(code == 1 && stderr.contains("there is no source `tro`"), "{stderr}");
}

#[test]
fn without_a_file_the_default_set_is_meant() {
    let folder = Folder::new();
    let data = folder.path().display().to_string();
    let (code, lines, _) = run(&["intel", "status", "--data", &data, "--format", "json"]);
    assert_eq!(code, 0);
    assert!(lines.len() > 20);
    assert!(lines.iter().all(|line| line["licence"].as_str().is_some_and(|licence| !licence.is_empty())));
    assert!(lines.iter().any(|line| line["source"] == "tor-exits"));
}

#[test]
fn a_lookup_goes_by_what_is_good_also_in_gzip_and_tells_of_what_is_not() {
    let Ok(database) = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/mmdb/maxmind-test/GeoIP2-Anonymous-IP-Test.mmdb"
    )) else {
        eprintln!("skipped: the shared databases are not here");
        return;
    };
    let folder = Folder::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &database).unwrap();
    std::fs::write(folder.path().join("vendor.mmdb.gz"), packed.finish().unwrap()).unwrap();
    let text = "[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:1\"\n\
                [[intel.source]]\nname = \"vendor\"\npath = \"vendor.mmdb.gz\"\n\
                [[intel.source]]\nname = \"lost\"\npath = \"lost.mmdb\"\n";
    let config = folder.write("portcullis.toml", text).display().to_string();
    let (code, lines, stderr) = run(&["lookup", "1.2.0.1", "--config", &config, "--format", "json"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("cannot use the source `lost`"), "{stderr}");
    assert_eq!(lines[0]["classes"][0]["source"], Value::from("vendor"), "{}", lines[0]);
}
