//! The challenge in real browsers: Chromium and Firefox meet it as people's do.
//!
//! `examples/challenge/gateway.cjs` starts the real binary and drives a browser; here it is run, and skipped with a word
//! where the browser, Node or its packages (`npm ci` in that folder) are not installed.

use std::path::Path;
use std::process::{Command, Stdio};

fn drive(kind: &str, program: &str) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/challenge"));
    let runs = |name: &str| {
        let mut command = Command::new(name);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs("node") || !runs(program) || !folder.join("node_modules/axe-core").exists() {
        eprintln!("skipped: needs node, {program}, and `npm ci` in examples/challenge");
        return;
    }
    let output = Command::new("node")
        .args(["gateway.cjs", env!("CARGO_BIN_EXE_portcullis"), kind])
        .current_dir(folder)
        .output()
        .unwrap();
    let [said, log] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success() && said.contains(" good\n"), "{said}\n{log}");
}

#[test]
fn chromium_climbs_every_rung_with_and_without_scripts_cookies_and_workers() {
    drive("chromium", "chromium");
}

#[test]
fn firefox_climbs_every_rung_with_and_without_scripts_cookies_and_workers() {
    drive("firefox", "firefox-esr");
}
