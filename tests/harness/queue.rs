//! The SDK's client of the queues of a local gateway.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Config, Region};

use crate::{LocalGateway, management};

/// Returns a client that signs as `local` with a secret.
pub fn client(gateway: &LocalGateway, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(management::credentials("local", secret, None))
        .endpoint_url(&gateway.functions)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
