//! Responses of authorizers that are still valid.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::response::Answer;
use crate::model::LambdaAuthorizer;

/// Answers of authorizers that are still remembered.
#[derive(Default)]
pub struct Remembered(Mutex<HashMap<Asked, (Instant, Answer)>>);

/// An authorizer and the identity that it was asked about.
type Asked = (String, Vec<String>);

impl Remembered {
    /// The answer for an identity, if it is young enough.
    pub fn get(&self, authorizer: &LambdaAuthorizer, identity: &[String]) -> Option<Answer> {
        let answers = self.0.lock().expect("no holder panics");
        let (time, answer) = answers.get(&(authorizer.id.clone(), identity.to_vec()))?;
        (time.elapsed() < authorizer.remembered).then(|| answer.clone())
    }

    /// Remembers an answer. Old ones are forgotten.
    pub fn put(&self, authorizer: &LambdaAuthorizer, identity: &[String], answer: &Answer) {
        if authorizer.remembered.is_zero() || identity.is_empty() {
            return;
        }
        let mut answers = self.0.lock().expect("no holder panics");
        answers.retain(|_, (time, _)| time.elapsed() < Duration::from_secs(3_600));
        let key = (authorizer.id.clone(), identity.to_vec());
        answers.insert(key, (Instant::now(), answer.clone()));
    }
}
