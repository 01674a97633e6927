//! Errors in words. The driver's own sentences hold its view of all servers, or whole responses, and not what to do.

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};

/// The server's code for an operation that its user may not do.
const UNAUTHORIZED: i32 = 13;

/// Returns an error and its causes in one line, the driver's in words for the operator.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let driver = cause.downcast_ref::<DriverError>();
        let text = driver.map_or_else(|| cause.to_string(), of_driver);
        // Some libraries repeat the cause in their own sentence.
        if !line.contains(&text) {
            let separator = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{separator}{text}");
        }
        // Its causes are in its words.
        if driver.is_some() {
            break;
        }
    }
    line
}

fn of_driver(error: &DriverError) -> String {
    match &*error.kind {
        ErrorKind::ServerSelection { .. } => {
            "no server of the database responds: is it up, does the connection string name it and its TLS, and may this \
             machine reach it?"
                .to_owned()
        }
        ErrorKind::Authentication { message, .. } => {
            format!("{message}: are user and password of the connection string right?")
        }
        ErrorKind::Command(error) if error.code == UNAUTHORIZED => format!(
            "{}: infra/README.md has the role that the operator's user needs",
            error.message
        ),
        ErrorKind::Command(error) => error.message.clone(),
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.message.clone(),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => error.message.clone(),
        ErrorKind::Io(error) => format!("the connection to the database broke: {error}; try again"),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use chat::Error;

    use super::*;

    #[test]
    fn the_cause_is_named_once_and_without_what_the_driver_knows_beside_it() {
        let refused = std::io::Error::other("refused");
        let error = Error::unavailable("ping of the database")(DriverError::from(refused));
        let error = anyhow::Error::from(error).context("not done");
        assert_eq!(
            in_words(&error),
            "not done: ping of the database failed: the connection to the database broke: refused; try again"
        );
    }
}
