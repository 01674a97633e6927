//! Gateways with queues, and the SDK's client of them.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    Message, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use serde_json::Value;
use tests::{LocalGateway, queue, until};

use crate::socket::Observer;
use crate::target::{local_target, template};

/// A gateway with the queues of `queues.yaml`.
pub struct Queues {
    /// The gateway.
    pub gateway: LocalGateway,
    /// A client with the key of the gateway.
    pub client: Client,
}

impl Queues {
    /// Starts the gateway with parameters of the template, and further flags.
    pub async fn start(parameters: &[&str], flags: &[&str]) -> Self {
        let parameters = parameters
            .iter()
            .flat_map(|parameter| ["--parameter", parameter]);
        let flags: Vec<&str> = parameters.chain(flags.iter().copied()).collect();
        let gateway = LocalGateway::start(&template("queues"), &flags).await;
        let gateway = gateway.expect("the template is served");
        let client = queue::client(&gateway, "local");
        Self { gateway, client }
    }

    /// Opens a socket to which the function reports its events.
    pub async fn observer(&self) -> Observer {
        Observer::open(&local_target(&self.gateway, &[])).await
    }

    /// Returns the URL of a queue.
    pub async fn url(&self, queue: &str) -> String {
        let found = self.client.get_queue_url().queue_name(queue).send().await;
        found
            .expect("there is one")
            .queue_url
            .expect("it has a URL")
    }

    /// Sends a message with instructions for the function, and returns its id.
    pub async fn send(&self, queue: &str, instructions: &Value) -> String {
        let message = self.client.send_message().queue_url(self.url(queue).await);
        let sent = message.message_body(instructions.to_string()).send().await;
        sent.expect("sent").message_id.expect("an id")
    }

    /// Sends up to ten messages with the same instructions.
    pub async fn send_batch(&self, queue: &str, instructions: &Value, count: usize) {
        let entries = (0..count).map(|number| {
            SendMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .message_body(instructions.to_string())
                .build()
                .expect("it is complete")
        });
        let batch = self
            .client
            .send_message_batch()
            .queue_url(self.url(queue).await);
        let sent = batch
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .expect("sent");
        assert_eq!(sent.successful.len(), count);
    }

    /// Waits for a message and receives it, with all attributes that SQS adds.
    pub async fn receive(&self, queue: &str) -> Message {
        let receive = self.client.receive_message();
        let receive = receive
            .queue_url(self.url(queue).await)
            .wait_time_seconds(20);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = receive.send().await.expect("a response").messages;
        received
            .and_then(|mut messages| messages.pop())
            .expect("a message within 20 seconds")
    }

    /// Returns how many messages of a queue are visible, and how many in flight.
    pub async fn counts(&self, queue: &str) -> (usize, usize) {
        let wanted = self
            .client
            .get_queue_attributes()
            .queue_url(self.url(queue).await);
        let wanted = wanted.attribute_names(QueueAttributeName::All);
        let attributes = wanted.send().await.expect("a response").attributes;
        let attributes = attributes.expect("they are there");
        let count = |name| attributes[&name].parse().expect("a number");
        (
            count(QueueAttributeName::ApproximateNumberOfMessages),
            count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )
    }

    /// Waits until a queue has no messages.
    pub async fn wait_empty(&self, queue: &str) {
        until(async || self.counts(queue).await == (0, 0)).await;
    }
}

/// Returns the members of the records of an event.
pub fn member<'a>(event: &'a Value, pointer: &str) -> Vec<&'a str> {
    let records = event["Records"].as_array();
    let records = records
        .unwrap_or_else(|| panic!("no records: {event}"))
        .iter();
    let values = records.map(|record| record.pointer(pointer).and_then(Value::as_str));
    values.map(|value| value.expect("a text")).collect()
}
