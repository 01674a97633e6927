// A minimal function in Node, with the clients that `send-message` has: its start is compared.
// They are made, and the database is connected, before the first event is asked for.

import { ApiGatewayManagementApiClient, PostToConnectionCommand } from "@aws-sdk/client-apigatewaymanagementapi";
import { MongoClient } from "mongodb";

const database = new MongoClient(process.env.MONGODB_URI, { writeConcern: { w: "majority" } });
const sockets = new ApiGatewayManagementApiClient({ endpoint: process.env.MANAGEMENT_ENDPOINT });
await database.connect();
await database.db("admin").command({ ping: 1 });

export async function handler(event) {
  const messages = database.db(process.env.MONGODB_DATABASE).collection("chat_messages");
  await messages.insertOne({ message: event.body, timestamp: new Date().toISOString() });
  const ConnectionId = event.requestContext.connectionId;
  await sockets.send(new PostToConnectionCommand({ ConnectionId, Data: event.body }));
  return { statusCode: 200 };
}
