//! Region, account, and ARNs of functions.

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
