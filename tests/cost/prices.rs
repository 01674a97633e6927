//! The one table of prices: us-east-1, US dollars, without free tiers and without discounts.

/// Date of the table. Each line names the page that it is from.
pub const DATE: &str = "2026-11-22";

/// Region of these prices.
pub const REGION: &str = "us-east-1";

/// A GB-second of a function on arm64, the default of the template; up to 7.5 billion a month.
///
/// <https://aws.amazon.com/lambda/pricing/>
pub const LAMBDA_ARM64_GB_SECOND: f64 = 0.000_013_333_4;

/// An invocation of a function.
///
/// <https://aws.amazon.com/lambda/pricing/>
pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;

/// A message of a WebSocket API in either direction, for each started 32 KB; up to a billion a month.
/// Control frames and handshakes cost nothing.
///
/// <https://aws.amazon.com/api-gateway/pricing/#WebSocket_APIs>
pub const WEBSOCKET_MESSAGE: f64 = 1.00 / 1e6;

/// Bytes of a billed message.
///
/// <https://aws.amazon.com/api-gateway/pricing/#WebSocket_APIs>
pub const WEBSOCKET_MESSAGE_BYTES: f64 = 32.0 * 1024.0;

/// A minute of an open connection.
///
/// <https://aws.amazon.com/api-gateway/pricing/#WebSocket_APIs>
pub const CONNECTION_MINUTE: f64 = 0.25 / 1e6;

/// A request to an HTTP API, for each started 512 KB; up to 300 million a month.
///
/// <https://aws.amazon.com/api-gateway/pricing/#HTTP_APIs>
pub const HTTP_REQUEST: f64 = 1.00 / 1e6;

/// Bytes of a billed request to an HTTP API.
///
/// <https://aws.amazon.com/api-gateway/pricing/#HTTP_APIs>
pub const HTTP_REQUEST_BYTES: f64 = 512.0 * 1024.0;

/// A request to a standard queue, for each started 64 KB; up to 100 billion a month.
///
/// <https://aws.amazon.com/sqs/pricing/>
pub const QUEUE_REQUEST: f64 = 0.40 / 1e6;

/// A byte of log that CloudWatch ingests, standard class; up to 10 TB a month. Storage costs a
/// sixteenth of that a month.
///
/// <https://aws.amazon.com/cloudwatch/pricing/>
pub const LOG_BYTE: f64 = 0.50 / 1e9;

/// A custom metric a month, for the first ten thousand.
///
/// <https://aws.amazon.com/cloudwatch/pricing/>
pub const CUSTOM_METRIC_MONTH: f64 = 0.30;

/// A metric that an alarm watches, a month.
///
/// <https://aws.amazon.com/cloudwatch/pricing/>
pub const ALARM_METRIC_MONTH: f64 = 0.10;

/// A dashboard a month.
///
/// <https://aws.amazon.com/cloudwatch/pricing/>
pub const DASHBOARD_MONTH: f64 = 3.00;

/// A recorded trace.
///
/// <https://aws.amazon.com/xray/pricing/>
pub const TRACE: f64 = 5.00 / 1e6;

/// A byte to the internet, for the first 10 TB a month.
///
/// <https://aws.amazon.com/ec2/pricing/on-demand/#Data_Transfer>
pub const BYTE_OUT: f64 = 0.09 / 1e9;
