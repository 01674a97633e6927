// $connect: puts the connection into the store, a folder here. On AWS it is a table of DynamoDB.

const fs = require("node:fs");
exports.handler = async ({ requestContext }) => {
  fs.mkdirSync(process.env.STORE, { recursive: true });
  fs.writeFileSync(`${process.env.STORE}/${encodeURIComponent(requestContext.connectionId)}`, "");
  return { statusCode: 200 };
};
