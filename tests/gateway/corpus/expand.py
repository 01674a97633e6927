"""Expands SAM templates as a deployment does: reads a JSON list of templates, and writes the list of the
expanded ones. An error stands as {"error": ...} in the place of its template."""

import json
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.public.translator import ManagedPolicyLoader  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402


class NoPolicies(ManagedPolicyLoader):
    def __init__(self):
        super().__init__(None)

    def load(self):
        return {}


def long_form(node):
    """`!GetAtt A.B` is a list, as the SAM CLI reads it."""
    if isinstance(node, list):
        return [long_form(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("Fn::GetAtt"), str):
        return {"Fn::GetAtt": node["Fn::GetAtt"].split(".", 1)}
    return {name: long_form(value) for name, value in node.items()}


def expand(template):
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    try:
        return transform(long_form(template), {}, NoPolicies())
    except Exception as error:  # The test shows it.
        causes = getattr(error, "causes", [error])
        return {"error": "; ".join(str(getattr(cause, "message", cause)) for cause in causes)}


json.dump([expand(template) for template in json.load(sys.stdin)], sys.stdout)
