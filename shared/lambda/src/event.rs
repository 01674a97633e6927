//! The connection and the user of an event of the WebSocket API.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequestContext;
use chat::{ConnectionId, Error, Identity, Result};

/// Returns the connection that the event is about.
///
/// # Errors
///
/// [`Error::Unavailable`]: it is no event of a WebSocket API.
pub fn connection_id(context: &ApiGatewayWebsocketProxyRequestContext) -> Result<ConnectionId> {
    let connection_id = context.connection_id.clone().ok_or_else(|| {
        Error::unavailable("reading of the event")("it has no requestContext.connectionId")
    })?;
    Ok(connection_id.into())
}

/// Returns the user whom the authorizer has found, if there is one.
pub fn identity(context: &ApiGatewayWebsocketProxyRequestContext) -> Option<Identity> {
    Identity::read(&context.authorizer.fields)
}
