# $disconnect: takes the connection out of the store.

import os, pathlib, urllib.parse

def handler(event, context):
    name = urllib.parse.quote_plus(event["requestContext"]["connectionId"])
    (pathlib.Path(os.environ["STORE"]) / name).unlink()
    return {"statusCode": 200}
