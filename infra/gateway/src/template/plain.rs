//! `AWS::Lambda::Function`, of CloudFormation and of the CDK, in the form of SAM.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html>

use serde_json::Value;

use super::resource::Resource;

/// The metadata in which the CDK gives the folder of a function's code, relative to the template.
const ASSET: &str = "aws:asset:path";

/// Returns a function with its code as SAM has it.
pub fn as_sam(function: &Resource) -> Resource {
    let code = &function.properties["Code"];
    let asset = &function.metadata[ASSET];
    let mut function = function.clone();
    let (name, value) = match (code, asset) {
        (_, Value::String(folder)) => ("CodeUri", folder.as_str().into()),
        (Value::String(folder), _) => ("CodeUri", folder.as_str().into()),
        (code, _) if !code["ZipFile"].is_null() => ("InlineCode", code["ZipFile"].clone()),
        (code, _) if !code["ImageUri"].is_null() => ("PackageType", "Image".into()),
        // In S3.
        (code, _) => ("CodeUri", code.clone()),
    };
    function.properties[name] = value;
    function
}
