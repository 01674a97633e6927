//! Requests to `@connections`: by the SDK, and signed here where the SDK cannot send them.

use std::time::SystemTime;

use aws_sdk_apigatewaymanagement::Client;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tests::client::HttpResponse;
use tests::management;

use crate::target::Target;
use crate::web;

/// Returns the SDK's client of a target's `@connections`.
pub fn sdk(target: &Target) -> Client {
    let credentials = management::credentials(
        &target.access_key_id,
        &target.secret_access_key,
        target.session_token.clone(),
    );
    management::client(&target.management, &target.region, credentials)
}

/// A request to `@connections`, signed without the SDK.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The path segment before the id: `@connections`, perhaps percent-encoded.
    pub folder: &'static str,
    /// The id as it is in the path, percent-encoded or not.
    pub id: String,
    /// The body that is signed.
    pub body: Vec<u8>,
    /// The time in the signature.
    pub time: SystemTime,
    /// The service in the signature.
    pub service: &'static str,
}

impl Call {
    /// Returns a well-formed request without a body.
    pub fn new(method: &'static str, id: &str) -> Self {
        Self {
            method,
            folder: "@connections",
            id: id.to_owned(),
            body: Vec::new(),
            time: SystemTime::now(),
            service: "execute-api",
        }
    }

    /// Adds a body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { body, ..self }
    }

    /// Signs the request with the target's key, sends it and returns the response.
    pub async fn send(&self, target: &Target) -> HttpResponse {
        web::send(self.signed(target)).await
    }

    /// Returns the request with a signature.
    pub fn signed(&self, target: &Target) -> Request<Full<Bytes>> {
        let mut request = self.unsigned(target);
        let identity = management::credentials(
            &target.access_key_id,
            &target.secret_access_key,
            target.session_token.clone(),
        )
        .into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&target.region)
            .name(self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .expect("all parameters are set")
            .into();
        let uri = request.uri().to_string();
        let signable = SignableRequest::new(
            self.method,
            &uri,
            [].into_iter(),
            SignableBody::Bytes(&self.body),
        );
        let signed = sign(signable.expect("a URL"), &parameters).expect("it can be signed");
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        request
    }

    /// Returns the request without a signature.
    pub fn unsigned(&self, target: &Target) -> Request<Full<Bytes>> {
        let body = Full::new(Bytes::copy_from_slice(&self.body));
        Request::builder()
            .method(self.method)
            .uri(format!("{}/{}/{}", target.management, self.folder, self.id))
            .body(body)
            .expect("a URL")
    }
}
