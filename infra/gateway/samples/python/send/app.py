# sendmessage: posts to all connections in the store.

import boto3, json, os, urllib.parse

def handler(event, context):
    context = event["requestContext"]
    endpoint = f"https://{context['domainName']}/{context['stage']}"
    client = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
    data = json.loads(event["body"])["data"]
    for name in os.listdir(os.environ["STORE"]):
        client.post_to_connection(ConnectionId=urllib.parse.unquote_plus(name), Data=data)
    return {"statusCode": 200}
