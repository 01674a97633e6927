// $disconnect: takes the connection out of the store.

const fs = require("node:fs");
exports.handler = async ({ requestContext }) => {
  fs.rmSync(`${process.env.STORE}/${encodeURIComponent(requestContext.connectionId)}`);
  return { statusCode: 200 };
};
