"""The server of the old kind, which the chat is compared with: one process, and a dictionary of sockets.

- ``WS /ws/chat/{user_id}`` takes ``{"sender_id", "receiver_id", "message"}``, stores it, and
  forwards it with its ``timestamp`` to the receiver if they are connected.
- ``GET /chat/history?user1=&user2=`` answers a JSON array of such messages, oldest first.

It reads MONGODB_URI, MONGODB_DATABASE and PORT, and runs until it is interrupted.
"""

import os
from contextlib import asynccontextmanager
from datetime import datetime, timezone

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pymongo import ASCENDING, AsyncMongoClient, WriteConcern

client = AsyncMongoClient(os.environ["MONGODB_URI"])
messages = client[os.environ["MONGODB_DATABASE"]].get_collection(
    "chat_messages", write_concern=WriteConcern("majority")
)
connected_users: dict[str, WebSocket] = {}


@asynccontextmanager
async def lifespan(_: FastAPI):
    await messages.create_index(
        [("sender_id", ASCENDING), ("receiver_id", ASCENDING), ("timestamp", ASCENDING)]
    )
    yield
    await client.close()


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws/chat/{user_id}")
async def chat(socket: WebSocket, user_id: str):
    await socket.accept()
    connected_users[user_id] = socket
    try:
        while True:
            frame = await socket.receive_json()
            message = {
                "sender_id": frame["sender_id"],
                "receiver_id": frame["receiver_id"],
                "message": frame["message"],
                "timestamp": datetime.now(timezone.utc).isoformat(),
            }
            # The driver adds `_id` to what it is given.
            await messages.insert_one(dict(message))
            if receiver := connected_users.get(message["receiver_id"]):
                await receiver.send_json(message)
    except WebSocketDisconnect:
        pass
    finally:
        # The user may have connected again meanwhile.
        if connected_users.get(user_id) is socket:
            del connected_users[user_id]


@app.get("/chat/history")
async def history(user1: str, user2: str):
    both_ways = {
        "$or": [
            {"sender_id": user1, "receiver_id": user2},
            {"sender_id": user2, "receiver_id": user1},
        ]
    }
    return await messages.find(both_ways, {"_id": False}).sort("timestamp").to_list()


if __name__ == "__main__":
    # uvloop and httptools are taken where they are installed, which they are.
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False
    )
