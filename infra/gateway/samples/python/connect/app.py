# $connect: puts the connection into the store, a folder here. On AWS it is a table of DynamoDB.

import os, pathlib, urllib.parse

def handler(event, context):
    store = pathlib.Path(os.environ["STORE"])
    store.mkdir(parents=True, exist_ok=True)
    (store / urllib.parse.quote_plus(event["requestContext"]["connectionId"])).touch()
    return {"statusCode": 200}
