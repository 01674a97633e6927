//! The one table of prices: us-east-1, US dollars, without free tiers and without discounts.

/// The day on which the table was put together, from the pages that each line names.
pub const DATE: &str = "2026-11-22";

/// Where these prices hold.
pub const REGION: &str = "us-east-1";

/// A GB-second of a function on arm64, up to 7.5 billion a month: what the template uses.
///
/// <https://aws.amazon.com/lambda/pricing/>
pub const LAMBDA_ARM64_GB_SECOND: f64 = 0.000_013_333_4;

/// The same on x86-64, up to 6 billion a month: what a template without `Architectures` gets.
///
/// <https://aws.amazon.com/lambda/pricing/>
pub const LAMBDA_X86_GB_SECOND: f64 = 0.000_016_666_7;

/// An invocation of a function.
///
/// <https://aws.amazon.com/lambda/pricing/>
pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;

/// A message of a WebSocket API in either direction, for each 32 KB begun; up to a billion a month.
/// Control frames and handshakes cost nothing.
///
/// <https://aws.amazon.com/api-gateway/pricing/#WebSocket_APIs>
pub const WEBSOCKET_MESSAGE: f64 = 1.00 / 1e6;

/// The bytes that one message pays for.
///
/// <https://aws.amazon.com/api-gateway/pricing/#WebSocket_APIs>
pub const WEBSOCKET_MESSAGE_BYTES: f64 = 32.0 * 1024.0;

/// A minute of an open socket.
///
/// <https://aws.amazon.com/api-gateway/pricing/#WebSocket_APIs>
pub const CONNECTION_MINUTE: f64 = 0.25 / 1e6;

/// A request to an HTTP API, for each 512 KB begun; up to 300 million a month.
///
/// <https://aws.amazon.com/api-gateway/pricing/#HTTP_APIs>
pub const HTTP_REQUEST: f64 = 1.00 / 1e6;

/// The bytes that one request to an HTTP API pays for.
///
/// <https://aws.amazon.com/api-gateway/pricing/#HTTP_APIs>
pub const HTTP_REQUEST_BYTES: f64 = 512.0 * 1024.0;

/// A byte of log that CloudWatch takes in, standard class; up to 10 TB a month. To keep it costs a
/// sixteenth of that a month.
///
/// <https://aws.amazon.com/cloudwatch/pricing/>
pub const LOG_BYTE: f64 = 0.50 / 1e9;

/// A custom metric a month, of the first ten thousand.
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

/// A byte to the internet, of the first 10 TB a month.
///
/// <https://aws.amazon.com/ec2/pricing/on-demand/#Data_Transfer>
pub const BYTE_OUT: f64 = 0.09 / 1e9;

/// A read unit of DynamoDB on demand: 4 KB, or 8 KB if an older state will do.
///
/// <https://aws.amazon.com/dynamodb/pricing/on-demand/>
pub const DYNAMODB_READ: f64 = 0.125 / 1e6;

/// The bytes of a read unit.
///
/// <https://aws.amazon.com/dynamodb/pricing/on-demand/>
pub const DYNAMODB_READ_BYTES: f64 = 4.0 * 1024.0;

/// A write unit of DynamoDB on demand: 1 KB.
///
/// <https://aws.amazon.com/dynamodb/pricing/on-demand/>
pub const DYNAMODB_WRITE: f64 = 0.625 / 1e6;
