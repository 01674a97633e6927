//! Region, account, ARNs of functions and queues, and URLs of queues.

/// The region in the environment of functions and in ARNs.
pub const REGION: &str = "us-east-1";

/// The account id in ARNs and events.
pub const ACCOUNT_ID: &str = "123456789012";

/// The ARN of the stack: `AWS::StackId`, and in the events of custom resources.
pub const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/local/\
                        00000000-0000-0000-0000-000000000000";

/// Returns the name of the function in an ARN, or in the URI of an integration with one.
pub fn function_name(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":function:")?;
    rest.split([':', '/']).next()
}

/// Returns the ARN of a function.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}")
}

/// Returns the ARN of a queue.
pub fn queue_arn(name: &str) -> String {
    format!("{}{name}", queue_arn_start())
}

/// Returns the name of the queue in an ARN of our region and account.
pub fn queue_name(arn: &str) -> Option<&str> {
    arn.strip_prefix(&queue_arn_start())
}

fn queue_arn_start() -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT_ID}:")
}

/// Returns the base URL of SQS on AWS.
pub fn sqs_url() -> String {
    format!("https://sqs.{REGION}.amazonaws.com")
}

/// Returns the URL of a queue behind the base URL of SQS.
pub fn queue_url(base: &str, name: &str) -> String {
    format!("{base}/{ACCOUNT_ID}/{name}")
}
