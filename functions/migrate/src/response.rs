//! The response to CloudFormation: a PUT to the URL that came with the request.
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

/// The id of the resource, always the same. Another one would be a replacement, after which
/// CloudFormation deletes the old resource.
const PHYSICAL_ID: &str = "migration";

/// Size limit of a reason, in bytes: a whole response has at most 4,096 of them.
const MAX_REASON_BYTES: usize = 2_000;

/// Attempts to send a response. With the pauses that makes 15 seconds at most.
const ATTEMPTS: u32 = 4;

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause after the first attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(400);

/// A response that has no outcome yet.
#[derive(Debug)]
pub struct CustomResourceResponse {
    url: String,
    response: ResourceResponse,
}

impl CustomResourceResponse {
    /// Returns the response to a request, which goes to `url`; `ids` are those of the stack, of the
    /// request and of the resource in its template.
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

    /// Sends the outcome to CloudFormation: the summary of the migration, nothing if it did not have to
    /// run, or the reason for which it failed.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: no attempt reached it.
    pub async fn send(mut self, outcome: Result<Option<Summary>, String>) -> Result<()> {
        let response = &mut self.response;
        let reason = match outcome {
            Ok(Some(summary)) => {
                let Summary {
                    numbered,
                    skipped,
                    conversations,
                } = summary;
                let data = [
                    ("Numbered", numbered),
                    ("LeftAlone", skipped),
                    ("Conversations", conversations),
                ];
                let data = data.map(|(name, count)| (name.to_owned(), count.to_string()));
                response.data.extend(data);
                format!(
                    "{numbered} old messages numbered, {skipped} documents left alone, members of \
                     {conversations} conversations recorded"
                )
            }
            Ok(None) => "nothing to do".to_owned(),
            Err(reason) => {
                response.status = Status::Failed;
                reason
            }
        };
        response.reason = Some(shortened(&reason));
        let body = serde_json::to_vec(response).expect("all its fields are texts");
        put(&self.url, body.into()).await
    }
}

/// Returns a reason in one line of at most [`MAX_REASON_BYTES`].
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

/// Sends a response until CloudFormation has accepted it.
async fn put(url: &str, body: Bytes) -> Result<()> {
    let client = http_client::new();
    let mut pause = FIRST_PAUSE;
    let mut attempts = 1;
    loop {
        match put_once(&client, url, body.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if attempts == ATTEMPTS => return Err(error),
            Err(error) => tracing::warn!(cause = error.chain(), "response not accepted yet"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        attempts += 1;
    }
}

async fn put_once(client: &Client, url: &str, body: Bytes) -> Result<()> {
    const RESPOND: &str = "response to CloudFormation";
    // Without a content type: the signature in the URL is for none.
    let request = Request::put(url)
        .body(Full::new(body))
        .map_err(Error::unavailable(RESPOND))?;
    let response = tokio::time::timeout(ATTEMPT_TIMEOUT, client.request(request)).await;
    let response = response
        .map_err(Error::unavailable(RESPOND))?
        .map_err(Error::unavailable(RESPOND))?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(Error::unavailable(RESPOND)(status.to_string())),
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
