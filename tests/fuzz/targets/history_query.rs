//! The query string of a history request. The links of an accepted query to other pages parse to
//! the same query.

#![no_main]

use chat::store::Page;
use chat::{Entry, History, Kind, UserId};
use history::page;
use history::query::{MAX_LIMIT, Query, Subject};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Query::parse(text) {
        Ok(query) => check_accepted(&query),
        Err(rejection) => {
            // The message is a constant sentence, at most with a number.
            let sentence = rejection.message;
            assert!(sentence.len() < 100 && sentence.is_ascii(), "{sentence}");
        }
    }
});

fn check_accepted(query: &Query) {
    let users = match &query.subject {
        Subject::Users(users) | Subject::Direct(_, users) => &users[..],
        Subject::Group(_, reader) => reader.as_slice(),
    };
    for user in users {
        assert!((1..=UserId::MAX_BYTES).contains(&user.as_str().len()));
        assert!(!user.as_str().chars().any(char::is_control));
    }
    assert!((1..=MAX_LIMIT).contains(&query.limit));
    let page = Page {
        entries: vec![entry(query, i64::MIN), entry(query, i64::MAX)],
        has_older: true,
        has_newer: true,
    };
    let links = page::links(query, &page).expect("the page has neighbours on both sides");
    let targets: Vec<&str> = links
        .split(", ")
        .map(|link| {
            let target = link.strip_prefix("<?").expect("a relative link");
            target.split_once('>').expect("a link ends with >").0
        })
        .collect();
    let [prev, next] = targets[..] else {
        panic!("two links: {links}");
    };
    let (prev, next) = (parse_link(prev), parse_link(next));
    for link in [&prev, &next] {
        assert_eq!(link.subject, query.subject);
        assert_eq!(
            (link.asked_limit, link.limit),
            (query.asked_limit, query.limit)
        );
    }
    assert_eq!(
        (prev.range.after, prev.range.before),
        (None, Some(i64::MIN))
    );
    assert_eq!(next.range.after, Some(i64::MAX));
}

/// Parses the query of a link, which must be accepted.
fn parse_link(link: &str) -> Query {
    Query::parse(link).expect("the query of a link is accepted")
}

fn entry(query: &Query, seq: i64) -> Entry {
    Entry {
        message_id: "0".repeat(24),
        conversation_id: query.subject.conversation_id(),
        seq,
        sender_id: "a".to_owned(),
        receiver_id: None,
        message: "m".to_owned(),
        timestamp: "2026-01-01T00:00:00.000Z".to_owned(),
        client_message_id: None,
        kind: Kind::Text,
        target_seq: None,
        users: Vec::new(),
        title: None,
        role: None,
        new_owner: None,
        history: History::default(),
        edited_seq: None,
        deleted_seq: None,
        withheld: false,
    }
}
