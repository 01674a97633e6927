"""A minimal function in Python, with the clients that `send-message` has: its start is compared.

They are made, and the database is connected, before the first event is asked for.
"""

import os
from datetime import datetime, timezone

import boto3
from pymongo import MongoClient, WriteConcern

database = MongoClient(os.environ["MONGODB_URI"])
messages = database[os.environ["MONGODB_DATABASE"]].get_collection(
    "chat_messages", write_concern=WriteConcern("majority")
)
sockets = boto3.client("apigatewaymanagementapi", endpoint_url=os.environ["MANAGEMENT_ENDPOINT"])
database.admin.command("ping")


def handler(event, _):
    timestamp = datetime.now(timezone.utc).isoformat()
    messages.insert_one({"message": event["body"], "timestamp": timestamp})
    connection_id = event["requestContext"]["connectionId"]
    sockets.post_to_connection(ConnectionId=connection_id, Data=event["body"])
    return {"statusCode": 200}
