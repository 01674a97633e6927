//! The first page of a list of conversations.

use std::time::Instant;

use hyper::Method;
use tests::client::Http;
use tests::{Chat, messages};

use crate::figures::{Report, Samples};

/// Conversations of the users.
const CONVERSATIONS: [i64; 2] = [50, 2_000];

/// Conversations of a page.
const PAGE: usize = 50;

/// Requests for each list.
const ROUNDS: usize = 200;

/// Measures the first page of lists of different lengths, in turn.
pub async fn of_many_conversations(stack: &Chat, report: Report) {
    let mut lists = Vec::new();
    for count in CONVERSATIONS {
        let user = format!("lister-{count}");
        messages::fill_list(&stack.database, &user, count).await;
        let url = format!("{}/chat/conversations?user={user}", stack.http);
        lists.push((count, url, Samples::default()));
    }
    let http = Http::default();
    for _ in 0..ROUNDS {
        for (_, url, samples) in &mut lists {
            let start = Instant::now();
            let page = http.request(Method::GET, url, Vec::new()).await;
            samples.add(start.elapsed());
            assert_eq!(page.messages().len(), PAGE);
        }
    }
    for (count, _, samples) in &lists {
        let figure = format_args!("list, {PAGE} of {count} conversations");
        report.row(figure, samples.summary());
    }
}
