//! Rejected posts, and lost, duplicated or delayed pushes.

use std::collections::BTreeSet;

use aws_sdk_apigatewaymanagement::Client as Management;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::management;

use super::{both_ways, set, start};
use crate::probe::Socket;

/// Returns a client of the gateway's `@connections` API.
fn management_of(gateway: &LocalGateway) -> Management {
    let endpoint = gateway.management.as_deref().expect("an address");
    let credentials = management::credentials("local", "local", None);
    management::client(endpoint, "us-east-1", credentials)
}

/// Posts to a connection and returns the status.
async fn post(management: &Management, id: &str, data: &Value) -> u16 {
    let post = management.post_to_connection().connection_id(id);
    match post.data(Blob::new(data.to_string())).send().await {
        Ok(_) => 200,
        Err(error) => {
            let response = error.raw_response();
            response.expect("a response").status().as_u16()
        }
    }
}

/// Posts so many times, one after another, and returns the statuses.
async fn statuses(management: &Management, id: &str, posts: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..posts {
        statuses.push(post(management, id, &json!("post")).await);
    }
    statuses
}

#[tokio::test]
async fn rejected_posts_return_the_status_and_do_not_arrive() {
    for status in [410, 429, 500] {
        let faults = json!({"posts": {status.to_string(): 1}});
        for gateway in both_ways(&faults).await {
            let management = management_of(&gateway);
            let mut socket = Socket::open(&gateway).await;
            assert_eq!(statuses(&management, &socket.id, 5).await, [status; 5]);
            socket.expect_nothing().await;
            set(&gateway, &json!({})).await;
            assert_eq!(post(&management, &socket.id, &json!("now")).await, 200);
            assert_eq!(socket.client.next().await, "now");
            gateway.stop().await.expect("stopped");
        }
    }
}

#[tokio::test]
async fn rejected_posts_are_errors_that_the_sdk_recognizes() {
    let gateway = start(&json!({"posts": {"410": 1}})).await;
    let socket = Socket::open(&gateway).await;
    let management = management_of(&gateway);
    let post_error = async || {
        let post = management.post_to_connection().connection_id(&socket.id);
        let result = post.data(Blob::new("post")).send().await;
        result.expect_err("rejected").into_service_error()
    };
    assert!(post_error().await.is_gone_exception());
    set(&gateway, &json!({"posts": {"429": 1}})).await;
    assert!(post_error().await.is_limit_exceeded_exception());
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_share_of_the_posts_is_rejected_and_the_same_seed_rejects_the_same() {
    const POSTS: usize = 300;
    let faults = |seed: u64| json!({"seed": seed, "posts": {"429": 0.33}});
    let mut runs = Vec::new();
    for gateway in both_ways(&faults(7)).await {
        let (management, mut socket) = (management_of(&gateway), Socket::open(&gateway).await);
        let run = statuses(&management, &socket.id, POSTS).await;
        let rejected = run.iter().filter(|status| **status == 429).count();
        let accepted = run.iter().filter(|status| **status == 200).count();
        assert_eq!(rejected + accepted, POSTS);
        // With a fair random generator, less than one seed in a million is outside of this range.
        assert!((60..140).contains(&rejected), "{rejected} of {POSTS}");
        for _ in 0..accepted {
            assert_eq!(socket.client.next().await, "post");
        }
        socket.expect_nothing().await;
        runs.push(run);
        // The seed starts the random generator again.
        set(&gateway, &faults(7)).await;
        runs.push(statuses(&management, &socket.id, POSTS).await);
        set(&gateway, &faults(8)).await;
        assert_ne!(statuses(&management, &socket.id, POSTS).await, runs[0]);
        gateway.stop().await.expect("stopped");
    }
    assert!(runs.iter().all(|run| *run == runs[0]));
}

#[tokio::test]
async fn posts_may_be_rejected_with_several_statuses() {
    let gateway = start(&json!({"seed": 7, "posts": {"410": 0.3, "429": 0.3, "500": 0.3}})).await;
    let socket = Socket::open(&gateway).await;
    let statuses = statuses(&management_of(&gateway), &socket.id, 100).await;
    let kinds: BTreeSet<_> = statuses.into_iter().collect();
    assert_eq!(kinds, BTreeSet::from([200, 410, 429, 500]));
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn dropped_pushes_are_accepted_and_never_arrive() {
    for gateway in both_ways(&json!({"pushes": {"drop": 1}})).await {
        let mut socket = Socket::open(&gateway).await;
        assert_eq!(
            statuses(&management_of(&gateway), &socket.id, 5).await,
            [200; 5]
        );
        socket.expect_nothing().await;
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn duplicated_pushes_arrive_twice() {
    for gateway in both_ways(&json!({"pushes": {"duplicate": 1}})).await {
        let mut socket = Socket::open(&gateway).await;
        let management = management_of(&gateway);
        for number in 0..5 {
            assert_eq!(post(&management, &socket.id, &json!(number)).await, 200);
            for _ in 0..2 {
                assert_eq!(socket.client.next().await, number);
            }
        }
        socket.expect_nothing().await;
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn delayed_pushes_all_arrive_and_overtake_each_other() {
    const POSTS: u64 = 30;
    for gateway in both_ways(&json!({"seed": 7, "pushes": {"delay_ms": 1_000}})).await {
        let mut socket = Socket::open(&gateway).await;
        let management = management_of(&gateway);
        for number in 0..POSTS {
            assert_eq!(post(&management, &socket.id, &json!(number)).await, 200);
        }
        let mut arrived = Vec::new();
        for _ in 0..POSTS {
            arrived.push(socket.client.next().await.as_u64().expect("a number"));
        }
        assert!(!arrived.is_sorted(), "{arrived:?}");
        arrived.sort_unstable();
        assert_eq!(arrived, (0..POSTS).collect::<Vec<_>>());
        socket.expect_nothing().await;
        gateway.stop().await.expect("stopped");
    }
}
