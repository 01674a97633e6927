//! A message as it was sent, with its attributes and hashes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// A time, in milliseconds since 1970.
pub type Millis = u64;

/// Limit of the attributes of a message.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_ATTRIBUTES: usize = 10;

/// Size limit of a trace header, in bytes \[U\]: AWS documents none, and X-Ray's have about a hundred.
const MAX_TRACE_HEADER_BYTES: usize = 1_024;

/// Size of the members of an event's record that are not the sender's, with room to spare, in bytes.
const RECORD_BYTES: usize = 1_024;

/// Size of the names of an attribute's members, with room to spare, in bytes.
const ATTRIBUTE_BYTES: usize = 128;

/// Memory that a message takes beside its body and attributes, in bytes.
const OVERHEAD_BYTES: usize = 512;

/// The attributes of a message, by name.
pub type Attributes = BTreeMap<String, Attribute>;

/// An attribute of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a label: `Number.float`.
    pub data_type: String,
    /// The value, unless it is binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value in base64, if it is binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, a UUID.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// The system attribute `AWSTraceHeader`.
    pub trace_header: Option<String>,
    /// When it was sent.
    pub sent_at: Millis,
}

impl Message {
    /// Checks its size, its characters and its attributes.
    ///
    /// # Errors
    ///
    /// `InvalidMessageContents` or `InvalidParameterValue`.
    pub fn check(&self, max_bytes: usize) -> Result<(), ApiError> {
        if self.body.is_empty() {
            return Err(ApiError::missing("MessageBody"));
        }
        if !self.body.chars().all(is_allowed) {
            return Err(ApiError::invalid_contents());
        }
        let is_too_long = |header: &String| header.len() > MAX_TRACE_HEADER_BYTES;
        if self.trace_header.as_ref().is_some_and(is_too_long) {
            return Err(ApiError::invalid("AWSTraceHeader is too long."));
        }
        self.check_attributes()?;
        if self.bytes() > max_bytes {
            return Err(ApiError::invalid(&format!(
                "One or more parameters are invalid. Reason: Message must be shorter than \
                 {max_bytes} bytes."
            )));
        }
        Ok(())
    }

    fn check_attributes(&self) -> Result<(), ApiError> {
        if self.attributes.len() > MAX_ATTRIBUTES {
            return Err(ApiError::invalid(&format!(
                "Number of message attributes exceeds the allowed maximum [{MAX_ATTRIBUTES}]."
            )));
        }
        for (name, attribute) in &self.attributes {
            let texts = [name, &attribute.data_type];
            let mut texts = texts.into_iter().chain(&attribute.string_value);
            let is_allowed = texts.all(|text| text.chars().all(is_allowed));
            if !is_allowed || value(attribute).is_none_or(|(_, value)| value.is_empty()) {
                return Err(ApiError::invalid(&format!(
                    "The message attribute '{name}' must contain non-empty message attribute value for \
                     message attribute type '{}'.",
                    attribute.data_type
                )));
            }
        }
        Ok(())
    }

    /// Returns its size as SQS counts it, in bytes: its body, and the names, types and values of its
    /// attributes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = value(attribute).map_or(0, |(_, value)| value.len());
            name.len() + attribute.data_type.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }

    /// Returns the memory that it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes() + OVERHEAD_BYTES
    }

    /// Returns the size limit of its record in an event, in bytes.
    pub fn record_bytes(&self) -> usize {
        // Characters that JSON writes as two bytes are the only ones that grow: others are not allowed.
        let escaped =
            |text: &str| text.len() + text.bytes().filter(|byte| is_escaped(*byte)).count();
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = attribute.string_value.as_deref().map_or(0, escaped);
            let binary = attribute.binary_value.as_ref().map_or(0, String::len);
            escaped(name) + escaped(&attribute.data_type) + value + binary + ATTRIBUTE_BYTES
        });
        // Any character may be in a header, and the longest escape has six.
        let trace_header = self
            .trace_header
            .as_ref()
            .map_or(0, |header| 6 * header.len());
        escaped(&self.body) + attributes.sum::<usize>() + trace_header + RECORD_BYTES
    }

    /// Returns the MD5 hash of its body, in hex.
    pub fn body_hash(&self) -> String {
        hex::encode(Md5::digest(&self.body))
    }

    /// Returns the MD5 hash of its attributes, in hex; `None` if it has none.
    pub fn attributes_hash(&self) -> Option<String> {
        attributes_hash(&self.attributes)
    }

    /// Returns the MD5 hash of its system attributes, in hex; `None` if it has none.
    pub fn system_attributes_hash(&self) -> Option<String> {
        let attribute = Attribute {
            data_type: "String".to_owned(),
            string_value: Some(self.trace_header.clone()?),
            binary_value: None,
        };
        attributes_hash(&[("AWSTraceHeader".to_owned(), attribute)].into())
    }
}

/// Returns the MD5 hash of attributes that are sorted by name; `None` if there are none.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
pub fn attributes_hash(attributes: &Attributes) -> Option<String> {
    let mut hash = Md5::new();
    let add = |bytes: &[u8], hash: &mut Md5| {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        hash.update(length.to_be_bytes());
        hash.update(bytes);
    };
    for (name, attribute) in attributes {
        let (kind, value) = value(attribute)?;
        add(name.as_bytes(), &mut hash);
        add(attribute.data_type.as_bytes(), &mut hash);
        hash.update([kind]);
        add(&value, &mut hash);
    }
    (!attributes.is_empty()).then(|| hex::encode(hash.finalize()))
}

/// Returns the value of an attribute after the number of its kind: 1 of text and numbers, 2 of bytes.
/// `None` if it has no value of its type.
fn value(attribute: &Attribute) -> Option<(u8, Vec<u8>)> {
    let kind = attribute.data_type.split('.').next();
    match kind? {
        "String" | "Number" => Some((1, attribute.string_value.clone()?.into_bytes())),
        "Binary" => Some((2, STANDARD.decode(attribute.binary_value.as_ref()?).ok()?)),
        _ => None,
    }
}

/// Whether a body may have a character \[U\]: AWS's own pages differ in whether others are rejected or
/// replaced.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn is_allowed(character: char) -> bool {
    matches!(
        character,
        '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..
    )
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn message(body: &str, attributes: Attributes) -> Message {
        Message {
            id: "id".to_owned(),
            body: body.to_owned(),
            attributes,
            trace_header: None,
            sent_at: 0,
        }
    }

    fn attributes(list: serde_json::Value) -> Attributes {
        serde_json::from_value(list).expect("attributes")
    }

    /// Texts of characters that a message may have.
    const ALLOWED: &str =
        "[\\x09\\x0A\\x0D\\x20-\\x{D7FF}\\x{E000}-\\x{FFFD}\\x{10000}-\\x{10FFFF}]{1,40}";

    #[test]
    fn hashes_are_those_of_aws() {
        let text = json!({"DataType": "String", "StringValue": "example attribute value"});
        let message = message("hello world", attributes(json!({"ExampleAttribute": text})));
        assert_eq!(message.body_hash(), "5eb63bbbe01eeed093cb22bb8f5acdc3");
        // Calculated from the documented layout by another program.
        let hash = message.attributes_hash().expect("it has attributes");
        assert_eq!(hash, "70644d8f002bd64ac1bd97651d8f43ef");
    }

    #[test]
    fn a_message_without_a_good_body_or_attribute_is_rejected() {
        let of = |attribute: serde_json::Value| message("x", attributes(json!({"a": attribute})));
        for message in [
            message("", Attributes::new()),
            message("a\u{0}", Attributes::new()),
            message("\u{FFFE}", Attributes::new()),
            message(&"a".repeat(11), Attributes::new()),
            of(json!({"DataType": "String"})),
            of(json!({"DataType": "String", "StringValue": ""})),
            of(json!({"DataType": "Text", "StringValue": "a"})),
            of(json!({"DataType": "String", "StringValue": "\u{0}"})),
            of(json!({"DataType": "Binary", "BinaryValue": "?"})),
            of(json!({"DataType": "String", "StringValue": "12345"})),
        ] {
            assert!(message.check(10).is_err(), "{message:?}");
        }
        let good = of(json!({"DataType": "Binary.png", "BinaryValue": "AA=="}));
        assert_eq!(good.bytes(), 1 + 1 + "Binary.png".len() + 1);
        good.check(13).expect("it fits");
    }

    proptest! {
        #[test]
        fn a_record_is_no_larger_than_counted(body in ALLOWED, name in ALLOWED, value in ALLOWED,
            header in ".*")
        {
            let text = json!({"DataType": "String", "StringValue": value});
            let mut message = message(&body, attributes(json!({name: text})));
            prop_assert_eq!(message.check(usize::MAX), Ok(()));
            message.trace_header = Some(header);
            let received = crate::sqs::queue::Received {
                message: std::sync::Arc::new(message),
                receipt_handle: "0".repeat(56),
                receive_count: u32::MAX,
                first_received_at: u64::MAX,
            };
            let record = crate::sqs::event::record(&received, &"a".repeat(120));
            prop_assert!(record.to_string().len() <= received.message.record_bytes());
        }
    }
}
