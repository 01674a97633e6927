// sendmessage: posts to all connections in the store.

import { readdirSync } from "node:fs";
import { ApiGatewayManagementApiClient, PostToConnectionCommand } from "@aws-sdk/client-apigatewaymanagementapi";

export const handler = async ({ body, requestContext }) => {
  const endpoint = `https://${requestContext.domainName}/${requestContext.stage}`;
  const client = new ApiGatewayManagementApiClient({ endpoint });
  const Data = JSON.parse(body).data;
  const ids = readdirSync(process.env.STORE).map(decodeURIComponent);
  const posts = ids.map((ConnectionId) => client.send(new PostToConnectionCommand({ ConnectionId, Data })));
  await Promise.all(posts);
  return { statusCode: 200 };
};
