use aws_sigv4::http_request::{SignableBody, SignableRequest};
use hyper::Request;
use proptest::prelude::*;

use super::*;
use crate::http::sigv4::instructions;

const POST: (&str, &str) = ("POST", "/prod/@connections/PJqB0fHsqRcCHlw%3D");

/// Returns a request signed as the SDK does it.
fn signed(
    key: &AccessKey,
    time: SystemTime,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: SignableBody<'_>,
) -> Parts {
    let headers = [&[("host", "127.0.0.1:3001")][..], headers].concat();
    let uri = format!("http://127.0.0.1:3001{path}");
    let signable = SignableRequest::new(method, uri, headers.iter().copied(), body);
    let signable = signable.expect("valid");
    let instructions = instructions(signable, "execute-api", key, time).expect("signed");
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for header in instructions.into_parts().0 {
        request = request.header(header.name(), header.value());
    }
    request.body(()).expect("valid").into_parts().0
}

fn key(text: &str) -> AccessKey {
    text.parse().expect("ID:SECRET")
}

fn verifier(service: &'static str) -> Verifier {
    Verifier::new(
        service,
        vec![key("other:key"), key("AKIDEXAMPLE:a/secret+with:signs")],
    )
}

/// Returns the kind of the rejection.
fn check(verifier: &Verifier, parts: &Parts, body: &[u8]) -> &'static str {
    let verified = verifier
        .check_head(parts)
        .and_then(|claim| claim.check_body(body));
    verified.err().map_or("good", |rejection| rejection.kind)
}

#[test]
fn a_signature_is_valid_for_exactly_its_request_key_and_time() {
    let (ours, now) = (key("AKIDEXAMPLE:a/secret+with:signs"), SystemTime::now());
    let sign = |key: &AccessKey, time| signed(key, time, POST, &[], SignableBody::Bytes(b"hi"));
    let verifier = verifier("execute-api");
    let check = |parts: &Parts, body: &[u8]| check(&verifier, parts, body);
    // The signing key of the day is derived once.
    for _ in 0..2 {
        assert_eq!(check(&sign(&ours, now), b"hi"), "good");
    }
    let invalid = "InvalidSignatureException";
    assert_eq!(check(&sign(&ours, now), b"ho"), invalid);
    let long_ago = now - Duration::from_secs(16 * 60);
    assert_eq!(check(&sign(&ours, long_ago), b"hi"), invalid);
    assert_eq!(check(&sign(&key("AKIDEXAMPLE:wrong"), now), b"hi"), invalid);
    let unknown = sign(&key("nobody:secret"), now);
    assert_eq!(check(&unknown, b"hi"), "UnrecognizedClientException");
    let mut unsigned = sign(&ours, now);
    unsigned.headers.remove("authorization");
    assert_eq!(
        check(&unsigned, b"hi"),
        "MissingAuthenticationTokenException"
    );
    let mut moved = sign(&ours, now);
    moved.uri = "/prod/@connections/other".parse().expect("valid");
    assert_eq!(check(&moved, b"hi"), invalid);
    let mut changed = sign(&ours, now);
    changed.method = hyper::Method::DELETE;
    assert_eq!(check(&changed, b"hi"), invalid);
    let elsewhere = super::tests::verifier("lambda");
    assert_eq!(
        super::tests::check(&elsewhere, &sign(&ours, now), b"hi"),
        invalid
    );
}

/// A head with the hash of the body is rejected before the body is read.
#[test]
fn a_head_with_the_hash_of_the_body_is_checked_before_the_body() {
    let (ours, now) = (key("AKIDEXAMPLE:a/secret+with:signs"), SystemTime::now());
    let verifier = verifier("execute-api");
    let of_hi = hash(b"hi");
    let sign = |key: &AccessKey, hash: &str, body| signed(key, now, POST, &[(HASH, hash)], body);
    let kind = |result: Result<(), Rejection>| result.map_err(|rejection| rejection.kind);
    let invalid = Err("InvalidSignatureException");

    let good = sign(&ours, &of_hi, SignableBody::Bytes(b"hi"));
    let claim = verifier.check_head(&good).expect("a good head");
    assert_eq!(kind(claim.check_body(b"hi")), Ok(()));
    assert_eq!(kind(claim.check_body(b"ho")), invalid);

    let unsigned = sign(&ours, UNSIGNED, SignableBody::UnsignedPayload);
    let claim = verifier.check_head(&unsigned).expect("a good head");
    assert_eq!(kind(claim.check_body(b"anything")), Ok(()));

    let wrong = key("AKIDEXAMPLE:wrong");
    for (hash, body) in [
        (of_hi.as_str(), SignableBody::Bytes(b"hi")),
        (UNSIGNED, SignableBody::UnsignedPayload),
    ] {
        let bad = sign(&wrong, hash, body);
        assert_eq!(
            kind(verifier.check_head(&bad).map(|_| ())),
            invalid,
            "{hash}"
        );
    }
    let without = signed(&wrong, now, POST, &[], SignableBody::Bytes(b"hi"));
    let claim = verifier.check_head(&without).expect("its body is needed");
    assert_eq!(kind(claim.check_body(b"hi")), invalid);
}

#[test]
fn a_signing_key_is_that_of_its_day() {
    let keys = [key("AKIDEXAMPLE:a/secret+with:signs"), key("other:key")];
    let verifier = verifier("execute-api");
    for (key, day) in [
        (&keys[0], "20260209"),
        (&keys[0], "20260210"),
        (&keys[0], "20260210"),
        (&keys[1], "20260210"),
    ] {
        let time = parse_date(&format!("{day}T120000Z")).expect("valid");
        let derived = generate_signing_key(&key.secret, time, REGION, "execute-api");
        let signature = verifier.sign(key, day, time, "text");
        assert_eq!(signature, calculate_signature(derived, b"text"), "{day}");
    }
}

proptest! {
    /// Whatever the SDK signs is verified: paths and queries with any characters, and headers
    /// with any spaces.
    #[test]
    fn the_signature_of_any_request_is_verified(
        method in prop::sample::select(vec!["GET", "POST", "DELETE"]),
        segments in prop::collection::vec("[A-Za-z0-9_~@=$,-]{1,9}(%(3D|40|2F|20|25))?", 1..4),
        query in prop::collection::vec(("[a-zA-Z0-9%_.~ +-]{1,6}", "[a-zA-Z0-9 =/~-]{0,6}"), 0..4),
        header in "[!-~]( {0,3}[!-~]){0,6}",
        body in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        let separator = if query.is_empty() { "" } else { "?" };
        let path = format!("/{}{separator}{query}", segments.join("/"));
        let ours = key("AKIDEXAMPLE:a/secret+with:signs");
        let headers = [("x-amz-meta", header.as_str())];
        let parts = signed(&ours, SystemTime::now(), (method, &path), &headers, SignableBody::Bytes(&body));
        prop_assert_eq!(check(&verifier("execute-api"), &parts, &body), "good", "{}", path);
    }
}
