//! Ids and attributes of resources that follow from their names.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html>
//! (the section "Return values" of each type)

use crate::model::{ACCOUNT_ID, REGION};

/// A type whose resources have a name: that of the template, else one that AWS makes. In the patterns, `{name}`,
/// `{path}`, `{region}` and `{account}` stand for values.
pub struct Named {
    kind: &'static str,
    /// The property with the name.
    pub property: &'static str,
    /// The pattern of the value of `Ref`.
    pub id: &'static str,
    /// The patterns of attributes.
    attributes: &'static [(&'static str, &'static str)],
}

const fn named(
    kind: &'static str,
    property: &'static str,
    id: &'static str,
    attributes: &'static [(&'static str, &'static str)],
) -> Named {
    Named {
        kind,
        property,
        id,
        attributes,
    }
}

const NAME: &str = "{name}";
const BUS: &str = "arn:aws:events:{region}:{account}:event-bus/{name}";
const EDGE_FUNCTION: &str = "arn:aws:cloudfront::{account}:function/{name}";
const FUNCTION: &str = "arn:aws:lambda:{region}:{account}:function:{name}";
/// As of functions, there is but one version.
const LAYER: &str = "arn:aws:lambda:{region}:{account}:layer:{name}:1";
const LOG_GROUP: &str = "arn:aws:logs:{region}:{account}:log-group:{name}:*";
const ROLE: &str = "arn:aws:iam::{account}:role{path}{name}";
/// AWS ends it with six random letters.
const SECRET: &str = "arn:aws:secretsmanager:{region}:{account}:secret:{name}-000000";
const STATE_MACHINE: &str = "arn:aws:states:{region}:{account}:stateMachine:{name}";
const STREAM: &str = "arn:aws:kinesis:{region}:{account}:stream/{name}";
const TABLE: &str = "arn:aws:dynamodb:{region}:{account}:table/{name}";
const TOPIC: &str = "arn:aws:sns:{region}:{account}:{name}";

const BUCKET: &[(&str, &str)] = &[
    ("Arn", "arn:aws:s3:::{name}"),
    ("DomainName", "{name}.s3.amazonaws.com"),
    (
        "DualStackDomainName",
        "{name}.s3.dualstack.{region}.amazonaws.com",
    ),
    ("RegionalDomainName", "{name}.s3.{region}.amazonaws.com"),
];

const TYPES: &[Named] = &[
    named("AWS::ApiGatewayV2::DomainName", "DomainName", NAME, &[]),
    named("AWS::ApiGatewayV2::Stage", "StageName", NAME, &[]),
    named(
        "AWS::CloudFront::Function",
        "Name",
        EDGE_FUNCTION,
        &[("FunctionARN", EDGE_FUNCTION)],
    ),
    named("AWS::DynamoDB::Table", "TableName", NAME, &[("Arn", TABLE)]),
    named(
        "AWS::Events::EventBus",
        "Name",
        NAME,
        &[("Arn", BUS), ("Name", NAME)],
    ),
    named("AWS::IAM::Role", "RoleName", NAME, &[("Arn", ROLE)]),
    named("AWS::KMS::Alias", "AliasName", NAME, &[]),
    named("AWS::Kinesis::Stream", "Name", NAME, &[("Arn", STREAM)]),
    named(
        "AWS::Lambda::Function",
        "FunctionName",
        NAME,
        &[("Arn", FUNCTION)],
    ),
    named("AWS::Lambda::LayerVersion", "LayerName", LAYER, &[]),
    named(
        "AWS::Logs::LogGroup",
        "LogGroupName",
        NAME,
        &[("Arn", LOG_GROUP)],
    ),
    named("AWS::S3::Bucket", "BucketName", NAME, BUCKET),
    named(
        "AWS::SNS::Topic",
        "TopicName",
        TOPIC,
        &[("TopicArn", TOPIC), ("TopicName", NAME)],
    ),
    named("AWS::SSM::Parameter", "Name", NAME, &[]),
    named(
        "AWS::SecretsManager::Secret",
        "Name",
        SECRET,
        &[("Id", SECRET)],
    ),
    named(
        "AWS::Serverless::Function",
        "FunctionName",
        NAME,
        &[("Arn", FUNCTION)],
    ),
    named("AWS::Serverless::LayerVersion", "LayerName", LAYER, &[]),
    named(
        "AWS::Serverless::SimpleTable",
        "TableName",
        NAME,
        &[("Arn", TABLE)],
    ),
    named(
        "AWS::Serverless::StateMachine",
        "Name",
        STATE_MACHINE,
        &[("Arn", STATE_MACHINE), ("Name", NAME)],
    ),
    named(
        "AWS::StepFunctions::StateMachine",
        "StateMachineName",
        STATE_MACHINE,
        &[("Arn", STATE_MACHINE), ("Name", NAME)],
    ),
];

/// Returns the entry of a type, if its ids follow from names.
pub fn of(kind: &str) -> Option<&'static Named> {
    TYPES.iter().find(|named| named.kind == kind)
}

impl Named {
    /// Returns the pattern of an attribute, if it follows from the name.
    pub fn attribute(&self, attribute: &str) -> Option<&'static str> {
        let mut attributes = self.attributes.iter();
        attributes
            .find(|(name, _)| *name == attribute)
            .map(|(_, pattern)| *pattern)
    }
}

/// Returns a pattern with its values.
pub fn filled(pattern: &str, name: &str, path: &str) -> String {
    pattern
        .replace("{region}", REGION)
        .replace("{account}", ACCOUNT_ID)
        .replace("{path}", path)
        .replace("{name}", name)
}
