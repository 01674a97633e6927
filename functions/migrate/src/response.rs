//! What CloudFormation hears, and how: by a PUT to the URL that came with the request.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>

use std::time::Duration;

use aws_lambda_events::cloudformation::{
    CloudFormationCustomResourceResponse as ResourceResponse,
    CloudFormationCustomResourceResponseStatus as Status,
};
use bytes::Bytes;
use chat::migration::Summary;
use chat::{Error, Result};
use chat_lambda::http_client::{self, Client};
use http_body_util::Full;
use hyper::Request;

/// The resource's id for all its life. Another one would be a replacement, after which
/// CloudFormation deletes the one of before.
const PHYSICAL_ID: &str = "migration";

/// The longest reason, in bytes: a whole answer has at most 4,096 of them.
const MAX_REASON_BYTES: usize = 2_000;

/// How often an answer is sent until it is taken. With the pauses that makes 15 seconds at most.
const TRIES: u32 = 4;

/// How long one try may take.
const TRY_TIME: Duration = Duration::from_secs(3);

/// The pause after the first try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(400);

/// An answer that has no outcome yet.
#[derive(Debug)]
pub struct Answer {
    url: String,
    response: ResourceResponse,
}

impl Answer {
    /// The answer to a request, which goes to `url`; `ids` are those of the stack, of the request and
    /// of the resource in its template.
    pub(crate) fn new(url: String, ids: (String, String, String)) -> Self {
        let mut response = ResourceResponse::default();
        (
            response.stack_id,
            response.request_id,
            response.logical_resource_id,
        ) = ids;
        response.physical_resource_id = PHYSICAL_ID.to_owned();
        Self { url, response }
    }

    /// Tells CloudFormation the outcome: what the migration did, nothing if it had not to run, or
    /// the reason why it failed.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: no try reached it.
    pub async fn deliver(mut self, outcome: Result<Option<Summary>, String>) -> Result<()> {
        let response = &mut self.response;
        let reason = match outcome {
            Ok(Some(Summary { numbered, skipped })) => {
                let data = [("Numbered", numbered), ("LeftAlone", skipped)];
                let data = data.map(|(name, count)| (name.to_owned(), count.to_string()));
                response.data.extend(data);
                format!("{numbered} old messages numbered, {skipped} documents left alone")
            }
            Ok(None) => "nothing to do".to_owned(),
            Err(reason) => {
                response.status = Status::Failed;
                reason
            }
        };
        response.reason = Some(shortened(&reason));
        let body = serde_json::to_vec(response).expect("it has but texts");
        send(&self.url, body.into()).await
    }
}

/// A reason in one line of at most [`MAX_REASON_BYTES`].
fn shortened(reason: &str) -> String {
    const CUT: &str = "…";
    let words: Vec<&str> = reason.split_whitespace().collect();
    let mut line = words.join(" ");
    if line.len() > MAX_REASON_BYTES {
        line.truncate(line.floor_char_boundary(MAX_REASON_BYTES - CUT.len()));
        line.push_str(CUT);
    }
    line
}

/// Sends an answer until it is taken.
async fn send(url: &str, body: Bytes) -> Result<()> {
    let client = http_client::new();
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        match try_once(&client, url, body.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if tries == TRIES => return Err(error),
            Err(error) => tracing::warn!(cause = error.chain(), "answer not taken yet"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        tries += 1;
    }
}

async fn try_once(client: &Client, url: &str, body: Bytes) -> Result<()> {
    const ANSWERING: &str = "answer to CloudFormation";
    // Without a content type: the signature in the URL is for none.
    let request = Request::put(url)
        .body(Full::new(body))
        .map_err(Error::unavailable(ANSWERING))?;
    let response = tokio::time::timeout(TRY_TIME, client.request(request)).await;
    let response = response
        .map_err(Error::unavailable(ANSWERING))?
        .map_err(Error::unavailable(ANSWERING))?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(Error::unavailable(ANSWERING)(status.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_fits() {
        assert_eq!(shortened("the\n  end"), "the end");
        let fits = "é".repeat(MAX_REASON_BYTES / 2);
        assert_eq!(shortened(&fits), fits);
        let long = shortened(&format!("{fits}."));
        assert!(long.len() <= MAX_REASON_BYTES && long.ends_with("é…"));
    }
}
