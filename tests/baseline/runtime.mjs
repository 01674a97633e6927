// Runs a handler as Lambda's own runtime for Node does: `node runtime.mjs sample.mjs`. That one has a
// client in C++, which is not built here: this loop is smaller, and not slower to start.

import http from "node:http";
import { pathToFileURL } from "node:url";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function request(method, path, body) {
  return new Promise((resolve, reject) => {
    const options = { host, port, method, agent, path: `/2018-06-01/runtime/${path}` };
    http.request(options, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      resolve({ headers: response.headers, text });
    }).on("error", reject).end(body);
  });
}

const { handler } = await import(pathToFileURL(process.argv[2]));
for (;;) {
  const event = await request("GET", "invocation/next");
  const invocation = `invocation/${event.headers["lambda-runtime-aws-request-id"]}`;
  try {
    const result = await handler(JSON.parse(event.text));
    await request("POST", `${invocation}/response`, JSON.stringify(result));
  } catch (error) {
    const told = { errorType: error.name, errorMessage: error.message };
    await request("POST", `${invocation}/error`, JSON.stringify(told));
  }
}
