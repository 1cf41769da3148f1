use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use portcullis_testkit::{Answer, Gateway, Origin, ReadyCheck, run_to_end, wait_until};

/// Says `up` and then `reloaded` at every SIGHUP; ends with 7 at SIGTERM.
const SERVER: &str = r#"trap 'echo reloaded >&2' HUP; trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"#;

fn shell() -> &'static Path {
    Path::new("/bin/sh")
}

#[test]
fn a_gateway_starts_reloads_ends_and_tells_what_it_printed() {
    let ready = Origin::start(|request| match request.target.as_str() {
        "/ready" => Answer::status(200),
        _ => Answer::status(503),
    });
    let mut gateway = Gateway::start(shell(), &["-c", SERVER], &ReadyCheck::http(ready.address(), "/ready"));
    gateway.wait_for_output("up\n");
    gateway.reload();
    gateway.wait_for_output("reloaded\n");
    assert_eq!((gateway.stdout().as_str(), gateway.stderr().as_str()), ("up\n", "reloaded\n"));
    assert!(gateway.rss_bytes() > 100_000, "a shell has {} bytes", gateway.rss_bytes());
    assert_eq!(gateway.terminate().code(), Some(7));
}

#[test]
fn a_gateway_that_ends_before_it_is_ready_fails_the_test_with_its_words() {
    let ready = Origin::start(|_| Answer::status(503));
    let ready = ReadyCheck::http(ready.address(), "/ready");
    let panic = catch_unwind(|| Gateway::start(shell(), &["-c", "echo no such file >&2; exit 3"], &ready)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("exit status: 3") && message.contains("no such file"), "{message}");
}

#[test]
fn a_gateway_that_is_never_ready_fails_the_test_with_its_words() {
    let ready = Origin::start(|_| Answer::status(503));
    let mut gateway = Gateway::spawn(shell(), &["-c", SERVER]);
    gateway.wait_for_output("up");
    let check = ReadyCheck::http(ready.address(), "/ready").within(Duration::from_millis(20));
    let panic = catch_unwind(AssertUnwindSafe(|| gateway.wait_ready(&check))).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("/ready") && message.contains("up\n"), "{message}");
}

#[test]
fn a_dropped_gateway_is_gone() {
    let gateway = Gateway::spawn(shell(), &["-c", SERVER]);
    let proc = format!("/proc/{}", gateway.pid());
    assert!(Path::new(&proc).exists());
    drop(gateway);
    assert!(!Path::new(&proc).exists());
}

#[test]
fn cpu_time_counts_what_the_process_used() {
    let mut gateway = Gateway::spawn(shell(), &["-c", "while :; do :; done"]);
    let wanted = Duration::from_millis(30);
    wait_until("a busy process to use 30 ms", Duration::from_secs(30), || gateway.cpu_time() >= wanted);
    gateway.begin_termination();
    assert_eq!(gateway.wait_exit(Duration::from_secs(10)).signal(), Some(15));
}

#[test]
fn a_command_is_fed_and_read_to_its_end() {
    let input = vec![b'x'; 300_000];
    let output = run_to_end(shell(), &["-c", "cat; echo done >&2; exit 1"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.len(), input.len(), "more than a pipe holds");
    assert_eq!(output.stderr, b"done\n");
    // A command that does not read its input is not a fault either.
    assert!(run_to_end(shell(), &["-c", "exit 0"], &input).status.success());
}
