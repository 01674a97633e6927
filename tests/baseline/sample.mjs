// The chat as a sample in Node has it: one function for all routes, a row for each connection, and the
// receiver's connections looked up by user. The clients are made, and the database is connected, before
// the first event is requested. The indexes are those of `tests/harness/baseline.rs`.

import { ApiGatewayManagementApiClient, GoneException, PostToConnectionCommand } from "@aws-sdk/client-apigatewaymanagementapi";
import { MongoClient } from "mongodb";

const client = new MongoClient(process.env.MONGODB_URI, { writeConcern: { w: "majority" } });
const database = client.db(process.env.MONGODB_DATABASE);
const messages = database.collection("chat_messages");
const connections = database.collection("connections");
const api = new ApiGatewayManagementApiClient({ endpoint: process.env.MANAGEMENT_ENDPOINT });
await client.connect();
await database.command({ ping: 1 });

export async function handler(event) {
  const { routeKey, connectionId } = event.requestContext;
  switch (routeKey) {
    case "$connect":
      await connections.insertOne({
        _id: connectionId,
        user_id: event.queryStringParameters.user_id,
        connected_at: new Date(),
      });
      break;
    case "$disconnect":
      await connections.deleteOne({ _id: connectionId });
      break;
    case "sendMessage":
      await sendMessage(JSON.parse(event.body));
      break;
    default:
      return { statusCode: 400, body: "unknown action" };
  }
  return { statusCode: 200 };
}

async function sendMessage({ sender_id, receiver_id, message }) {
  const document = {
    conversation_id: [sender_id, receiver_id].sort().join(":"),
    sender_id,
    receiver_id,
    message,
    timestamp: new Date().toISOString(),
  };
  const { insertedId } = await messages.insertOne({ ...document });
  const receivers = await connections.find({ user_id: receiver_id }).toArray();
  const frame = JSON.stringify({ type: "message", message_id: insertedId, ...document });
  await Promise.all(receivers.map((receiver) => post(receiver._id, frame)));
}

async function post(ConnectionId, Data) {
  try {
    await api.send(new PostToConnectionCommand({ ConnectionId, Data }));
  } catch (error) {
    if (!(error instanceof GoneException)) throw error;
    await connections.deleteOne({ _id: ConnectionId });
  }
}
