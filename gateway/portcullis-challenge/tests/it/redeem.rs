//! Bodies of redeem requests.

use portcullis_challenge::evidence::MAX_EVIDENCE_BYTES;
use portcullis_challenge::{
    MAX_REDEEM_BYTES, MAX_RETURN_BYTES, MAX_SOLUTION_BYTES, Proof, RedeemForm, Refusal, Solution,
};
use proptest::prelude::*;

#[test]
fn a_body_is_read_as_the_page_the_widget_and_programs_send_it() {
    let solution = Proof::Solution(Solution::parse("token.nonces").unwrap());
    for (body, proof, evidence, site, return_to) in [
        ("token.nonces", solution, None, None, None),
        ("solution=token.nonces", solution, None, None, None),
        ("solution=token.nonces&evidence=%7B%22v%22%3A1%7D", solution, Some("{\"v\":1}"), None, None),
        ("site=pk_1&solution=token.nonces&evidence=", solution, Some(""), Some("pk_1"), None),
        ("wait=abc-_&return=%2Fa%3Fb%3Dc+d", Proof::Wait("abc-_"), None, None, Some("/a?b=c d")),
        ("difficulty_bits=1&solution=token.nonces&count=1", solution, None, None, None),
    ] {
        let form = RedeemForm::parse(body.as_bytes()).unwrap();
        assert_eq!(form.proof, proof, "{body}");
        assert_eq!(form.evidence.as_deref(), evidence, "{body}");
        assert_eq!(form.site.as_deref(), site, "{body}");
        assert_eq!(form.return_to.as_deref(), return_to, "{body}");
    }
}

#[test]
fn a_body_without_one_proof_is_refused() {
    for (body, refusal) in [
        (&b""[..], Refusal::Malformed),
        (b"=", Refusal::Malformed),
        (b"solution=", Refusal::Malformed),
        (b"solution=token", Refusal::Malformed),
        (b"evidence={}", Refusal::Malformed),
        (b"solution=a.b&solution=c.d", Refusal::Malformed),
        (b"solution=a.b&wait=c", Refusal::Malformed),
        (b"solution=a.b&evidence=1&evidence=2", Refusal::Malformed),
        (b"solution=a.b&evidence=%7", Refusal::Malformed),
        (b"solution=a.b&evidence=%ff", Refusal::Malformed),
        (b"solution=\xff.\xff", Refusal::Malformed),
    ] {
        assert_eq!(RedeemForm::parse(body).unwrap_err(), refusal, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_megabyte_of_evidence_is_refused_unread() {
    let body = |bytes: usize| format!("solution=a.b&evidence={}", "%7B".repeat(bytes));
    assert_eq!(RedeemForm::parse(body(1 << 20).as_bytes()).unwrap_err(), Refusal::TooLarge);
    let longest = format!(
        "solution={}&return={}&evidence={}",
        format_args!("a.{}", "b".repeat(MAX_SOLUTION_BYTES - 2)),
        "%41".repeat(MAX_RETURN_BYTES),
        "%41".repeat(MAX_EVIDENCE_BYTES),
    );
    assert!(longest.len() <= MAX_REDEEM_BYTES, "what we ask for can be sent");
    assert!(RedeemForm::parse(longest.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        _ = RedeemForm::parse(&body);
    }

    #[test]
    fn arbitrary_forms_never_panic(body in "(solution|wait|evidence|site|return|=|&|%|\\+|[a-z.]){0,40}") {
        _ = RedeemForm::parse(body.as_bytes());
    }
}
