//! Rows of settings, right and wrong. The wording of faults is held by snapshots.

use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use portcullis_policy::SourceFile;

use super::*;

fn read(text: &str) -> Result<Loaded, Diagnostics> {
    Settings::read(SourceFile::new("portcullis.toml", text), Path::new("/etc/portcullis"))
}

/// What is said about settings that are wrong.
#[track_caller]
fn faults(text: &str) -> String {
    match read(text) {
        Ok(loaded) => panic!("these settings were taken: {:?}", loaded.settings),
        Err(diagnostics) => diagnostics.to_string(),
    }
}

/// What is said about settings that are right, with a listener added.
#[track_caller]
fn warnings(text: &str) -> String {
    read(&format!("{LISTENER}{text}")).unwrap_or_else(|faults| panic!("{faults}")).warnings.to_string()
}

/// The least that settings can be.
const LISTENER: &str = "[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:8080\"\n";

#[test]
fn the_least_settings_have_defaults_for_the_rest() {
    let settings = read(LISTENER).unwrap().settings;
    assert_eq!(settings.rules, Path::new("/etc/portcullis/rules"));
    assert_eq!(settings.admin, DEFAULT_ADMIN);
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.memory, Memory::default());
    assert_eq!(settings.state.as_deref(), Some(Path::new("/etc/portcullis/state")));
    assert_eq!(settings.alarms.print_share, PrintShare(900));
    assert_eq!(settings.listeners[0].transport, Transport::Plain);
    assert_eq!(settings.listeners[0].proxy_from, None);
    assert!(settings.verdict.is_none());
    assert!(warnings("").is_empty());
}

#[test]
fn whole_settings_mean_what_they_say() {
    let text = r#"
        rules = "policy"
        [[listener]]
        name = "https"
        address = "0.0.0.0:8443"
        tls = true
        proxy_from = ["192.0.2.0/24", "2001:db8::1"]
        [[certificate]]
        chain = "certs/a.crt"
        key = "/secret/a.key"
        [limits]
        header_timeout_ms = 4_000
        send_timeout_ms = 7_000
        idle_timeout_secs = 20
        max_header_bytes = 16384
        [client_address]
        trusted_proxies = ["198.51.100.0/24"]
        header = "forwarded"
        [[origin]]
        name = "shop-api"
        servers = ["127.0.0.1:3000", "[::1]:3000"]
        host = "api.shop.example"
        tls = true
        connect_timeout_ms = 500
        health = { path = "/healthz", interval_secs = 3 }
        [intel]
        asn = "asn.mmdb"
        [memory]
        max_bans = 7
        state = "/var/lib/portcullis"
        [alarms]
        print_share = 0.75
        [challenge]
        contact = "help@shop.example"
        [verdict]
        secret_file = "verdict.key"
        [audit]
        path = "audit.jsonl"
        allowed = "all"
        [admin]
        address = "127.0.0.1:9999"
        [server]
        threads = 2
        grace_secs = 1
        on_fault = "open"
        [log]
        format = "json"
    "#;
    let Loaded { settings, warnings } = read(text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(warnings.is_empty());
    assert_eq!(settings.rules, Path::new("/etc/portcullis/policy"));
    assert_eq!(settings.certificates[0].chain, Path::new("/etc/portcullis/certs/a.crt"));
    assert_eq!(settings.certificates[0].key, Path::new("/secret/a.key"));
    assert_eq!(settings.listeners[0].proxy_from.as_ref().unwrap().len(), 2);
    assert_eq!(settings.limits.accept.header_timeout, Duration::from_secs(4));
    assert_eq!(settings.limits.send_timeout, Duration::from_secs(7));
    assert_eq!(settings.limits.accept.idle_timeout, Duration::from_secs(20));
    // Connections are cut with the process, so leave is taken before.
    assert_eq!(settings.limits.accept.drain_timeout, Duration::from_secs(1));
    assert_eq!(settings.client_address.header, ForwardedBy::Forwarded);
    assert_eq!(settings.origins[0].tls_name.as_deref(), Some("api.shop.example"));
    assert_eq!(settings.origins[0].connect_timeout, Duration::from_millis(500));
    assert_eq!(settings.origins[0].health.as_ref().unwrap().interval, Duration::from_secs(3));
    assert_eq!(settings.intel.asn.as_deref(), Some(Path::new("/etc/portcullis/asn.mmdb")));
    assert_eq!(settings.memory.max_bans, 7);
    assert_eq!(settings.state.as_deref(), Some(Path::new("/var/lib/portcullis")));
    assert_eq!(settings.alarms.print_share, PrintShare(750));
    assert_eq!(settings.verdict.as_ref().unwrap().secret_file, Path::new("/etc/portcullis/verdict.key"));
    assert_eq!(settings.audit.scope, Scope::All);
    assert_eq!(settings.server.on_fault, OnFault::Open);
    assert_eq!(settings.log, LogFormat::Json);
}

#[test]
fn arbitrary_text_is_read_or_refused_and_never_panics() {
    proptest::proptest!(|(text in "\\PC{0,200}")| {
        let _ = read(&text).map_err(|faults| faults.to_string());
    });
}

#[test]
fn settings_cut_anywhere_are_read_or_refused() {
    let text = format!(
        "rules = \"é\"\n{LISTENER}[[origin]]\nname = \"a\"\nservers = [\"127.0.0.1:1\"]\nhealth = {{ path = \"/\" }}\n"
    );
    for start in (0..text.len()).filter_map(|end| text.get(..end)) {
        let _ = read(start).map_err(|faults| faults.to_string());
    }
}

#[test]
fn settings_without_a_listener_are_refused() {
    assert_snapshot!(faults(""), @r#"
    error: there is no `[[listener]]`, so nobody could connect
     |
     = help: add
             [[listener]]
             name = "https"
             address = "0.0.0.0:8443"
             tls = true
    "#);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    assert_snapshot!(faults(&format!("rule = \"x\"\n{LISTENER}tsl = true\n[limits]\nheader_timeout = 5\n[colours]\n")), @r#"
    error: unknown key `rule` in the settings
     --> portcullis.toml:1:1
      |
    1 | rule = "x"
      | ^^^^ no such key
      |
      = help: did you mean `rules`?

    error: unknown key `tsl` in `[[listener]]`
     --> portcullis.toml:5:1
      |
    5 | tsl = true
      | ^^^ no such key
      |
      = help: did you mean `tls`?

    error: unknown key `header_timeout` in `[limits]`
     --> portcullis.toml:7:1
      |
    7 | header_timeout = 5
      | ^^^^^^^^^^^^^^ no such key
      |
      = help: did you mean `header_timeout_ms`?

    error: unknown key `colours` in the settings
     --> portcullis.toml:8:2
      |
    8 | [colours]
      |  ^^^^^^^ no such key
      |
      = help: known are `rules`, `server`, `limits`, `admin`, `listener`, `certificate`, `client_address`, `origin`, `intel`, `memory`, `alarms`, `challenge`, `verdict`, `identity`, `sites`, `audit` and `log`
    "#);
}

#[test]
fn a_unit_in_the_value_is_turned_into_that_of_the_key() {
    assert_snapshot!(faults(&format!("{LISTENER}[limits]\nheader_timeout_ms = \"10s\"\n[memory]\ncounters_bytes = \"64MB\"\n")), @r#"
    error: `header_timeout_ms` is not a number
     --> portcullis.toml:5:21
      |
    5 | header_timeout_ms = "10s"
      |                     ^^^^^ found a text
      |
      = help: the unit is in the key: write `header_timeout_ms = 10000`

    error: `counters_bytes` is not a number
     --> portcullis.toml:7:18
      |
    7 | counters_bytes = "64MB"
      |                  ^^^^^^ found a text
      |
      = help: the unit is in the key: write `counters_bytes = 67108864`
    "#);
}

#[test]
fn a_number_out_of_range_is_told_its_range() {
    assert_snapshot!(faults(&format!("{LISTENER}[limits]\nmax_connections = 0\nmax_hello_bytes = -1\n[server]\nthreads = 99999999999999999999\n")), @r#"
    error: `max_connections` is out of range
     --> portcullis.toml:5:19
      |
    5 | max_connections = 0
      |                   ^ not from 1 to 10000000
      |
      = help: write a whole number from 1 to 10000000

    error: `max_hello_bytes` is out of range
     --> portcullis.toml:6:19
      |
    6 | max_hello_bytes = -1
      |                   ^^ not from 512 to 65536
      |
      = help: write a whole number from 512 to 65536

    error: `threads` is out of range
     --> portcullis.toml:8:11
      |
    8 | threads = 99999999999999999999
      |           ^^^^^^^^^^^^^^^^^^^^ not from 1 to 1024
      |
      = help: write a whole number from 1 to 1024
    "#);
}

#[test]
fn a_value_of_the_wrong_kind_is_told_the_right_one() {
    assert_snapshot!(faults("rules = 5\n[[listener]]\nname = \"http\"\naddress = 8080\ntls = \"yes\"\nproxy_from = \"192.0.2.0/24\"\n"), @r#"
    error: `rules` is not a text
     --> portcullis.toml:1:9
      |
    1 | rules = 5
      |         ^ found a whole number
      |
      = help: write it in quotes

    error: `address` is not a text
     --> portcullis.toml:4:11
      |
    4 | address = 8080
      |           ^^^^ found a whole number
      |
      = help: write it in quotes

    error: `tls` is neither true nor false
     --> portcullis.toml:5:7
      |
    5 | tls = "yes"
      |       ^^^^^ found a text
      |
      = help: write `true` or `false`, without quotes

    error: `proxy_from` is not a list
     --> portcullis.toml:6:14
      |
    6 | proxy_from = "192.0.2.0/24"
      |              ^^^^^^^^^^^^^^ found a text
      |
      = help: write it in brackets: `["192.0.2.0/24"]`
    "#);
}

#[test]
fn a_table_in_place_of_a_list_of_tables_is_told_its_brackets() {
    assert_snapshot!(faults("[listener]\nname = \"http\"\n"), @r#"
    error: `listener` is not a list of tables
     --> portcullis.toml:1:1
      |
    1 | [listener]
      | ^^^^^^^^^^ found a table
      |
      = help: write `[[listener]]`, with two brackets on each side
    "#);
}

#[test]
fn a_listener_lacks_its_name_and_address() {
    assert_snapshot!(faults("[[listener]]\ntls = false\n"), @r#"
    error: `name` is missing in `[[listener]]`
     --> portcullis.toml:1:1
      |
    1 | [[listener]]
      | ^^^^^^^^^^^^ has no `name`
      |
      = help: add `name = "https"`

    error: `address` is missing in `[[listener]]`
     --> portcullis.toml:1:1
      |
    1 | [[listener]]
      | ^^^^^^^^^^^^ has no `address`
      |
      = help: add `address = "0.0.0.0:8443"`
    "#);
}

#[test]
fn an_address_used_twice_shows_both_places() {
    assert_snapshot!(faults(&format!("{LISTENER}\n{LISTENER}\n[[listener]]\nname = \"metrics\"\naddress = \"127.0.0.1:9090\"\n")), @r#"
    error: the name `http` is used twice
     --> portcullis.toml:6:8
      |
    2 | name = "http"
      |        ------ first used here
    ...
    6 | name = "http"
      |        ^^^^^^ again here
      |
      = help: give each its own name

    error: the address `127.0.0.1:8080` is used twice
     --> portcullis.toml:7:11
      |
    3 | address = "127.0.0.1:8080"
      |           ---------------- first used here
    ...
    7 | address = "127.0.0.1:8080"
      |           ^^^^^^^^^^^^^^^^ again here
      |
      = help: give each its own address

    error: the address `127.0.0.1:9090` is used twice
      --> portcullis.toml:11:11
       |
    11 | address = "127.0.0.1:9090"
       |           ^^^^^^^^^^^^^^^^ again here
       |
       = help: the admin listener has it unless `[admin]` says otherwise
       = help: give each its own address
    "#);
}

#[test]
fn a_listener_with_tls_needs_a_certificate() {
    assert_snapshot!(faults(&format!("{LISTENER}tls = true\n")), @r#"
    error: a listener speaks TLS, but there is no `[[certificate]]`
     --> portcullis.toml:4:7
      |
    4 | tls = true
      |       ^^^^ needs a certificate
      |
      = help: add
              [[certificate]]
              chain = "certs/shop.example.crt"
              key = "certs/shop.example.key"
    "#);
}

#[test]
fn a_proxy_list_that_is_empty_or_strange_is_refused() {
    assert_snapshot!(faults(&format!("{LISTENER}proxy_from = []\n[client_address]\ntrusted_proxies = [\"10.0.0.0/33\", \"0.0.0.0/0\"]\nheader = \"x-real-ip\"\n")), @r#"
    error: `proxy_from` is empty
     --> portcullis.toml:4:14
      |
    4 | proxy_from = []
      |              ^^ nobody is in it
      |
      = help: name a network as in `["192.0.2.0/24"]`, or leave the key out

    error: `10.0.0.0/33` in `trusted_proxies` is not a network
     --> portcullis.toml:6:20
      |
    6 | trusted_proxies = ["10.0.0.0/33", "0.0.0.0/0"]
      |                    ^^^^^^^^^^^^^ not a network
      |
      = help: write it as in `192.0.2.0/24`

    error: `trusted_proxies` believes everyone
     --> portcullis.toml:6:35
      |
    6 | trusted_proxies = ["10.0.0.0/33", "0.0.0.0/0"]
      |                                   ^^^^^^^^^^^ every address is in it
      |
      = help: name the proxies in front of the gateway only: whoever is believed can take any address

    error: `header` cannot be `x-real-ip`
     --> portcullis.toml:7:10
      |
    7 | header = "x-real-ip"
      |          ^^^^^^^^^^^ no such choice
      |
      = help: write `x-forwarded-for` or `forwarded`
    "#);
}

#[test]
fn a_share_is_a_number_of_thousandths_within_its_bounds() {
    let share = |text: &str| {
        let settings = read(&format!("{LISTENER}[alarms]\nprint_share = {text}\n"));
        settings.map(|loaded| loaded.settings.alarms.print_share).map_err(|faults| faults.to_string())
    };
    for (text, thousandths) in [("0.5", 500), ("0.999", 999), ("1.0", 1000), ("1", 1000), ("0.90", 900), ("9e-1", 900)]
    {
        assert_eq!(share(text), Ok(PrintShare(thousandths)), "{text}");
    }
    for text in ["0.499", "0", "1.001", "2", "nan", "inf", "-0.9", "99999999999"] {
        assert!(share(text).is_err_and(|fault| fault.contains("out of range")), "{text}");
    }
    let all = format!("{LISTENER}[alarms]\nprint_share = \"90%\"\nprint_shares = 0.9\n");
    assert_snapshot!(faults(&all), @r#"
    error: `print_share` is not a number
     --> portcullis.toml:5:15
      |
    5 | print_share = "90%"
      |               ^^^^^ found a text
      |
      = help: write a number from 0.5 to 1

    error: unknown key `print_shares` in `[alarms]`
     --> portcullis.toml:6:1
      |
    6 | print_shares = 0.9
      | ^^^^^^^^^^^^ no such key
      |
      = help: did you mean `print_share`?
    "#);
    assert_snapshot!(share("90").unwrap_err(), @"
    error: `print_share` is out of range
     --> portcullis.toml:5:15
      |
    5 | print_share = 90
      |               ^^ not from 0.5 to 1
      |
      = help: write a number from 0.5 to 1
    ");
    assert_snapshot!(share("0.9999").unwrap_err(), @"
    error: `print_share` is too fine
     --> portcullis.toml:5:15
      |
    5 | print_share = 0.9999
      |               ^^^^^^ more than three decimals
      |
      = help: write a number from 0.5 to 1, in thousandths
    ");
}

#[test]
fn an_origin_names_servers_that_exist_and_its_certificate() {
    assert_snapshot!(faults(&format!("{LISTENER}[[origin]]\nname = \"shop api\"\nservers = []\n[[origin]]\nname = \"b\"\nservers = [\"localhost:80\", \"127.0.0.1:80\", \"127.0.0.1:80\"]\ntls = true\nhealth = {{ path = \"healthz\" }}\n")), @r#"
    error: `name` has other characters than letters, digits, `-`, `_` and `.`, or more than 64
     --> portcullis.toml:5:8
      |
    5 | name = "shop api"
      |        ^^^^^^^^^^ not a plain name
      |
      = help: write one as in `shop-api`

    error: `servers` is empty
     --> portcullis.toml:6:11
      |
    6 | servers = []
      |           ^^ no server in it
      |
      = help: write `servers = ["127.0.0.1:8080"]`

    error: `localhost:80` in `servers` is not an address with a port
     --> portcullis.toml:9:12
      |
    9 | servers = ["localhost:80", "127.0.0.1:80", "127.0.0.1:80"]
      |            ^^^^^^^^^^^^^^ not an address with a port
      |
      = help: write it as in `127.0.0.1:8080`

    error: `servers` has a server twice
     --> portcullis.toml:9:44
      |
    9 | servers = ["localhost:80", "127.0.0.1:80", "127.0.0.1:80"]
      |                                            ^^^^^^^^^^^^^^ already in the list
      |
      = help: name each server once, with its port

    error: an origin with TLS needs its `host`
      --> portcullis.toml:10:7
       |
    10 | tls = true
       |       ^^^^ whose certificate?
       |
       = help: add `host = "api.shop.example"`, the name in its certificate

    error: `path` is not a path
      --> portcullis.toml:11:19
       |
    11 | health = { path = "healthz" }
       |                   ^^^^^^^^^ does not begin with `/`, or cannot be asked for
       |
       = help: write one as in `/healthz`
    "#);
}

#[test]
fn verdicts_need_a_secret() {
    assert_snapshot!(faults(&format!("{LISTENER}[verdict]\nenabled = true\nkey_id = \"a b\"\n")), @r#"
    error: verdicts cannot be signed without a secret
     --> portcullis.toml:5:11
      |
    5 | enabled = true
      |           ^^^^ has no `secret_file`
      |
      = help: make one with `openssl rand -hex 32`, and name its file with `secret_file`

    error: `key_id` has other characters than letters, digits, `.`, `-`, `_`, `:` and `/`, or more than 64
     --> portcullis.toml:6:10
      |
    6 | key_id = "a b"
      |          ^^^^^ not a plain name
      |
      = help: write one as in `1`
    "#);
}

#[test]
fn a_word_that_is_no_choice_is_told_the_nearest() {
    assert_snapshot!(faults(&format!("{LISTENER}[server]\non_fault = \"close\"\n[log]\nformat = \"xml\"\n[audit]\nallowed = \"\"\n")), @r#"
    error: `on_fault` cannot be `close`
     --> portcullis.toml:5:12
      |
    5 | on_fault = "close"
      |            ^^^^^^^ no such choice
      |
      = help: did you mean `closed`?

    error: `format` cannot be `xml`
     --> portcullis.toml:7:10
      |
    7 | format = "xml"
      |          ^^^^^ no such choice
      |
      = help: write `text` or `json`

    error: `allowed` is empty
     --> portcullis.toml:9:11
      |
    9 | allowed = ""
      |           ^^ nothing in it
      |
      = help: write something, or leave the key out
    "#);
}

#[test]
fn a_broken_line_is_reported_alone() {
    assert_snapshot!(faults("rules = \nlisten = 5\n[[listener]\n"), @r#"
    error: this is not valid TOML
     --> portcullis.toml:1:9
      |
    1 | rules = 
      |         ^ string values must be quoted, expected literal string

    error: this is not valid TOML
     --> portcullis.toml:3:12
      |
    3 | [[listener]
      |            ^ unclosed array table, expected `]`
    "#);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    assert_snapshot!(warnings("[admin]\naddress = \"0.0.0.0:9090\"\n[[certificate]]\nchain = \"a\"\nkey = \"b\"\n"), @r#"
    warning: the admin listener can be reached from other machines
     --> portcullis.toml:5:11
      |
    5 | address = "0.0.0.0:9090"
      |           ^^^^^^^^^^^^^^ anyone there can read the metrics
      |
      = help: metrics have no password: use `127.0.0.1`, or let only the scraper through a firewall

    warning: no listener speaks TLS, so no certificate is served
     --> portcullis.toml:6:1
      |
    6 | [[certificate]]
      | ^^^^^^^^^^^^^^^ not used
      |
      = help: write `tls = true` in the `[[listener]]` that is to serve it
    "#);
}

#[test]
fn addresses_that_cannot_both_be_listened_on_are_refused() {
    let check = |listener: &str, admin: &str, collides: bool| {
        let text = format!("[[listener]]\nname = \"http\"\naddress = \"{listener}\"\n[admin]\naddress = \"{admin}\"\n");
        assert_eq!(read(&text).is_err(), collides, "{listener} and {admin}");
    };
    check("0.0.0.0:9090", "127.0.0.1:9090", true);
    check("127.0.0.1:9090", "0.0.0.0:9090", true);
    check("[::]:9090", "127.0.0.1:9090", true);
    check("[::1]:9090", "[::]:9090", true);
    check("[::1]:9090", "0.0.0.0:9090", false);
    check("127.0.0.2:9090", "127.0.0.1:9090", false);
    check("0.0.0.0:9091", "127.0.0.1:9090", false);
    check("0.0.0.0:0", "127.0.0.1:0", false);
}

#[test]
fn an_address_within_that_of_the_admin_listener_shows_both_places() {
    assert_snapshot!(faults("[[listener]]\nname = \"http\"\naddress = \"0.0.0.0:9999\"\n[admin]\naddress = \"127.0.0.1:9999\"\n"), @r#"
    error: the address `0.0.0.0:9999` collides with `127.0.0.1:9999`
     --> portcullis.toml:3:11
      |
    3 | address = "0.0.0.0:9999"
      |           ^^^^^^^^^^^^^^ cannot be listened on as well
    4 | [admin]
    5 | address = "127.0.0.1:9999"
      |           ---------------- first used here
      |
      = help: give each its own port
    "#);
}

#[test]
fn an_origin_that_is_the_gateway_itself_is_refused() {
    let check = |listener: &str, server: &str, is_loop: bool| {
        let text = format!(
            "[[listener]]\nname = \"http\"\naddress = \"{listener}\"\n[[origin]]\nname = \"app\"\nservers = [\"{server}\"]\n"
        );
        assert_eq!(read(&text).is_err(), is_loop, "{server} behind {listener}");
    };
    check("127.0.0.1:8080", "127.0.0.1:8080", true);
    check("0.0.0.0:8080", "127.0.0.1:8080", true);
    check("[::]:8080", "127.0.0.1:8080", true);
    check("[::]:8080", "[::ffff:127.0.0.1]:8080", true);
    check("127.0.0.1:8080", "0.0.0.0:8080", true);
    check("0.0.0.0:8080", "[::1]:8080", false);
    check("0.0.0.0:8080", "192.0.2.7:8080", false);
    check("127.0.0.1:8080", "127.0.0.1:8081", false);
    assert_snapshot!(faults(&format!("{LISTENER}[[origin]]\nname = \"app\"\nservers = [\"127.0.0.1:8080\"]\n")), @r#"
    error: `servers` has a listener of this gateway
     --> portcullis.toml:6:12
      |
    3 | address = "127.0.0.1:8080"
      |           ---------------- listened to here
    ...
    6 | servers = ["127.0.0.1:8080"]
      |            ^^^^^^^^^^^^^^^^ requests would come back for ever
      |
      = help: name the address of the service behind the gateway
    "#);
}

#[test]
fn a_header_that_nobody_may_write_is_warned_of() {
    assert_snapshot!(warnings("[client_address]\nheader = \"forwarded\"\n"), @r#"
    warning: `header` is not read, because no proxy is trusted
     --> portcullis.toml:5:10
      |
    5 | header = "forwarded"
      |          ^^^^^^^^^^^ nobody's word is taken
      |
      = help: name the proxies that write it, as in `trusted_proxies = ["192.0.2.0/24"]`
    "#);
    assert!(warnings("[client_address]\nheader = \"x-forwarded-for\"\n").is_empty());
}

#[test]
fn more_memory_than_a_machine_is_likely_to_have_is_refused() {
    let text = |bytes: u64| format!("{LISTENER}[memory]\ncounters_bytes = {bytes}\n");
    assert!(read(&text(16 << 30)).is_ok());
    assert!(faults(&text((16 << 30) + 1)).contains("not from 1048576 to 17179869184"));
}

#[test]
fn own_signals_need_somebody_whom_they_are_believed_from() {
    let settings = read(&format!(
        "{LISTENER}[identity]\nheaders_from = [\"10.0.0.0/8\"]\nheaders = {{ account_age_days = \"x-account-age\" }}\n\
         [identity.token]\npublic_key_file = \"jwt.pem\"\nalgorithm = \"ES256\"\nissuer = \"shop\"\nclaims = {{ tier = \"tier\", orders = \"/shop/orders\" }}\n"
    ))
    .unwrap()
    .settings;
    let identity = settings.identity;
    assert_eq!(identity.headers_from.len(), 1);
    assert_eq!(&*identity.headers[0].0, "account_age_days");
    let claims = identity.token.unwrap().claims;
    assert_eq!(claims, [("orders".into(), "/shop/orders".to_owned()), ("tier".into(), "/tier".to_owned())]);
    let faulty = faults(&format!(
        "{LISTENER}[identity]\nheaders = {{ \"account age\" = \"x-account-age\" }}\n[identity.token]\npublic_key_file = \"jwt.pem\"\n"
    ));
    for words in ["names the own signal `account age`", "nobody may write the headers", "with which algorithm?"] {
        assert!(faulty.contains(words), "{words} in {faulty}");
    }
    let many: String =
        (0..=portcullis_signals::OwnSignal::MOST).map(|number| format!("n{number} = \"x-{number}\", ")).collect();
    let many = format!(
        "{LISTENER}[identity]\nheaders_from = [\"10.0.0.0/8\"]\nheaders = {{ {} }}\n",
        many.trim_end_matches(", ")
    );
    assert!(faults(&many).contains("own signals are more than a request can have"));
}
