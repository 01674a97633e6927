"""The chat as a sample in Python has it: one function for all routes, a row for each connection, and
the receiver's connections looked up by user.

The clients are made, and the database is connected, before the first event is requested. The indexes
are those of ``tests/harness/baseline.rs``.
"""

import json
import os
from datetime import datetime, timezone

import boto3
from pymongo import MongoClient, WriteConcern

client = MongoClient(os.environ["MONGODB_URI"])
database = client.get_database(os.environ["MONGODB_DATABASE"], write_concern=WriteConcern("majority"))
messages = database["chat_messages"]
connections = database["connections"]
api = boto3.client("apigatewaymanagementapi", endpoint_url=os.environ["MANAGEMENT_ENDPOINT"])
database.command("ping")


def handler(event, _):
    route, connection_id = event["requestContext"]["routeKey"], event["requestContext"]["connectionId"]
    if route == "$connect":
        connections.insert_one(
            {
                "_id": connection_id,
                "user_id": event["queryStringParameters"]["user_id"],
                "connected_at": datetime.now(timezone.utc),
            }
        )
    elif route == "$disconnect":
        connections.delete_one({"_id": connection_id})
    elif route == "sendMessage":
        send_message(json.loads(event["body"]))
    else:
        return {"statusCode": 400, "body": "unknown action"}
    return {"statusCode": 200}


def send_message(frame):
    sender_id, receiver_id = frame["sender_id"], frame["receiver_id"]
    document = {
        "conversation_id": ":".join(sorted([sender_id, receiver_id])),
        "sender_id": sender_id,
        "receiver_id": receiver_id,
        "message": frame["message"],
        "timestamp": datetime.now(timezone.utc).isoformat(),
    }
    # The driver adds `_id` to what it is given.
    inserted = messages.insert_one(dict(document))
    pushed = json.dumps({"type": "message", "message_id": str(inserted.inserted_id), **document})
    for receiver in connections.find({"user_id": receiver_id}):
        post(receiver["_id"], pushed)


def post(connection_id, frame):
    try:
        api.post_to_connection(ConnectionId=connection_id, Data=frame)
    except api.exceptions.GoneException:
        connections.delete_one({"_id": connection_id})
