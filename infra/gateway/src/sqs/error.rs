//! Errors of the API.
//!
//! SDKs read the type from the body, or the older code of the same error from the header
//! `x-amzn-query-error`:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-api-responses.html>.

use hyper::StatusCode;

/// An error of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// The type in the body: `com.amazonaws.sqs#QueueDoesNotExist`.
    pub kind: String,
    /// The code in the header, and of an entry of a batch: `AWS.SimpleQueueService.NonExistentQueue`.
    pub code: String,
    /// For people.
    pub message: String,
}

impl ApiError {
    fn of_sqs(kind: &str, code: &str, message: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: format!("com.amazonaws.sqs#{kind}"),
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// Returns an error whose older code is its name with a prefix.
    pub fn prefixed(kind: &str, message: &str) -> Self {
        Self::of_sqs(kind, &format!("AWS.SimpleQueueService.{kind}"), message)
    }

    /// Returns the error for the name or the URL of no queue.
    pub fn no_such_queue() -> Self {
        let code = "AWS.SimpleQueueService.NonExistentQueue";
        let message = "The specified queue does not exist.";
        Self::of_sqs("QueueDoesNotExist", code, message)
    }

    /// Returns the error for a body with characters that no message may have.
    pub fn invalid_contents() -> Self {
        let message = "Invalid binary character was found in the message body, the set of allowed \
                       characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to \
                       #x10FFFF";
        Self::of_sqs("InvalidMessageContents", "InvalidMessageContents", message)
    }

    /// Returns the error for a malformed receipt handle.
    pub fn invalid_receipt_handle() -> Self {
        let message = "The input receipt handle is invalid.";
        Self::of_sqs("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", message)
    }

    /// Returns the error for an attribute that no queue has.
    pub fn invalid_attribute(name: &str) -> Self {
        let message = format!("Unknown Attribute {name}.");
        Self::of_sqs("InvalidAttributeName", "InvalidAttributeName", &message)
    }

    /// Returns the error for an action that is not served here.
    pub fn unsupported(action: &str) -> Self {
        Self::prefixed(
            "UnsupportedOperation",
            &format!("{action} is not served here"),
        )
    }

    /// Returns the error for a parameter with a bad value.
    pub fn invalid(message: &str) -> Self {
        Self::of_sqs("InvalidParameterValue", "InvalidParameterValue", message)
    }

    /// Returns the error for a parameter that is required.
    pub fn missing(parameter: &str) -> Self {
        let message = format!("The request must contain the parameter {parameter}.");
        Self::of_sqs("MissingParameter", "MissingParameter", &message)
    }

    /// Returns an error that services of AWS have in common.
    pub fn common(status: StatusCode, kind: &str, message: &str) -> Self {
        Self {
            status,
            kind: format!("com.amazon.coral.service#{kind}"),
            code: kind.to_owned(),
            message: message.to_owned(),
        }
    }

    /// Returns the error for a body that is not the JSON of its action.
    pub fn malformed(why: &str) -> Self {
        Self::common(StatusCode::BAD_REQUEST, "SerializationException", why)
    }

    /// Returns the error for a message without room in memory, which AWS does not have. SDKs retry it.
    pub fn no_room(limit: usize) -> Self {
        let message = format!("the messages of all queues have {limit} bytes of memory: no room");
        Self::common(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            &message,
        )
    }

    /// Returns `Sender` if the caller is at fault, else `Receiver`.
    pub fn fault(&self) -> &'static str {
        match self.status.is_client_error() {
            true => "Sender",
            false => "Receiver",
        }
    }
}
