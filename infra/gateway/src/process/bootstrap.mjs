// Runs a handler as Lambda's runtime for Node does: `node bootstrap.mjs src/app.handler`, in the folder of
// the code. Errors, the context and the ways to respond are those that are documented:
// https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html

import fs from "node:fs";
import http from "node:http";
import module from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import util from "node:util";

const root = process.env.LAMBDA_TASK_ROOT ?? process.cwd();
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const isJson = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";

/** The id of the event that is handled. */
let requestId;

/** Sends a request to the Runtime API. */
function call(method, name, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const options = { host, port, method, agent, headers, path: `/2018-06-01/runtime/${name}` };
    const request = http.request(options, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      if (response.statusCode >= 300) reject(new Error(`${name}: ${response.statusCode}`));
      else resolve({ headers: response.headers, text });
    });
    request.on("error", reject).end(body);
  });
}

/** An error of the runtime, with a type as Lambda names it. */
function runtimeError(type, message, stack) {
  const error = new Error(message);
  error.name = `Runtime.${type}`;
  if (stack) error.stack = stack;
  return error;
}

/** Returns an error as Lambda reports it. */
function described(error) {
  if (!util.types.isNativeError(error) && !(error instanceof Error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  return {
    errorType: error.name?.replaceAll("\x7F", "%7F"),
    errorMessage: error.message?.replaceAll("\x7F", "%7F"),
    trace: (error.stack ?? "").replaceAll("\x7F", "%7F").split("\n"),
  };
}

/** Reports an error of the handler, or of the start, and logs it. */
async function report(where, error, title) {
  const body = described(error);
  console.error(title, isJson ? body : (error?.stack ?? error));
  const type = { "Lambda-Runtime-Function-Error-Type": body.errorType };
  await call("POST", where, JSON.stringify(body), type);
}

/** Prints log lines as objects, as Lambda does with the format JSON. */
function logJson() {
  const levels = { log: "INFO", info: "INFO", debug: "DEBUG", warn: "WARN", error: "ERROR", trace: "TRACE" };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...values) => {
      const message = values.length === 1 && typeof values[0] === "object" ? values[0] : util.format(...values);
      const line = { timestamp: new Date().toISOString(), level, requestId, message };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    };
  }
}

/** Lets modules find packages in NODE_PATH, which Node itself searches for `require` only. */
function searchNodePath() {
  const folders = (process.env.NODE_PATH ?? "").split(":").filter(Boolean);
  if (folders.length === 0) return;
  const hook = `
    const parents = ${JSON.stringify(folders.map((folder) => pathToFileURL(path.join(folder, "x")).href))};
    export async function resolve(name, context, next) {
      try {
        return await next(name, context);
      } catch (error) {
        if (error.code !== "ERR_MODULE_NOT_FOUND" || /^[./]|^[a-z]+:/.test(name)) throw error;
        for (const parentURL of parents) {
          try {
            return await next(name, { ...context, parentURL });
          } catch {
            // The next folder may have it.
          }
        }
        throw error;
      }
    }`;
  // Node has it since 18.19.
  module.register?.(`data:text/javascript,${encodeURIComponent(hook)}`);
}

/** Whether the nearest package.json says that `.js` files are ES modules. */
function isEsm(folder) {
  for (let current = folder; ; current = path.dirname(current)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(current, "package.json"))).type === "module";
    } catch {
      if (current === path.dirname(current)) return false;
    }
  }
}

/** Loads the module of a handler: a file with an ending of Node's, else a package. */
async function load(folder, name) {
  const require = module.createRequire(path.join(root, "index.js"));
  const base = path.resolve(root, folder, name);
  for (const ending of ["", ".js", ".mjs", ".cjs"]) {
    const file = base + ending;
    if (!fs.statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    const isModule = ending === ".mjs" || (ending === ".js" && isEsm(path.dirname(file)));
    return isModule ? import(pathToFileURL(file)) : require(file);
  }
  return require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }));
}

/** Returns the function that a handler such as `src/app.handlers.post` names. */
async function find(handler) {
  if (handler.includes("..")) {
    const message = `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`;
    throw runtimeError("MalformedHandlerName", message);
  }
  const file = path.basename(handler);
  const folder = handler.slice(0, handler.length - file.length);
  const dot = file.indexOf(".");
  if (dot < 0) throw runtimeError("MalformedHandlerName", "Bad handler");
  let found;
  try {
    found = await load(folder, file.slice(0, dot));
  } catch (error) {
    if (error instanceof SyntaxError) throw runtimeError("UserCodeSyntaxError", String(error), error.stack);
    const isMissing = ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(error?.code);
    throw isMissing ? runtimeError("ImportModuleError", String(error), error.stack) : error;
  }
  for (const key of file.slice(dot + 1).split(".")) found = found?.[key];
  if (!found) throw runtimeError("HandlerNotFound", `${handler} is undefined or not exported`);
  if (typeof found !== "function") throw runtimeError("HandlerNotFound", `${handler} is not a function`);
  return found;
}

/** Returns the context of an event. */
function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parsed = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    clientContext: parsed("lambda-runtime-client-context"),
    identity: parsed("lambda-runtime-cognito-identity"),
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** Returns the result of a handler: that of its promise, or of its callback. */
function invoke(handler, event, context) {
  return new Promise((resolve, reject) => {
    let result;
    const settle = () => {
      process.removeListener("beforeExit", settle);
      if (result?.error == null) resolve(result?.value);
      else reject(result.error);
    };
    const callback = (error, value) => {
      result ??= { error, value };
      if (!context.callbackWaitsForEmptyEventLoop) settle();
    };
    const now = (error, value) => {
      context.callbackWaitsForEmptyEventLoop = false;
      callback(error, value);
    };
    context.done = callback;
    context.succeed = (value) => now(null, value);
    context.fail = (error) => now(error ?? new Error("handled"));
    // A handler without a promise has ended when it has called back and nothing is left to do.
    process.on("beforeExit", settle);
    try {
      const returned = handler(event, context, callback);
      if (typeof returned?.then !== "function") return;
      process.removeListener("beforeExit", settle);
      returned.then(resolve, reject);
    } catch (error) {
      callback(error);
      settle();
    }
  });
}

/** Handles one event. */
async function next(handler) {
  const { headers, text } = await call("GET", "invocation/next");
  requestId = headers["lambda-runtime-aws-request-id"];
  process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  const invocation = `invocation/${requestId}`;
  try {
    const result = await invoke(handler, JSON.parse(text), contextOf(headers));
    // What cannot be written as JSON is the handler's error.
    await call("POST", `${invocation}/response`, JSON.stringify(result ?? null) ?? "null");
  } catch (error) {
    await report(`${invocation}/error`, error, "Invoke Error");
  }
  requestId = undefined;
}

/** Reports an error that nothing has caught, and ends the process, as Lambda does. */
function end(code, title, error) {
  const where = requestId ? `invocation/${requestId}/error` : "init/error";
  report(where, error, title).finally(() => process.exit(code));
}

if (isJson) logJson();
process.on("uncaughtException", (error) => end(129, "Uncaught Exception", error));
process.on("unhandledRejection", (reason) => {
  const type = "UnhandledPromiseRejection";
  end(128, "Unhandled Promise Rejection", runtimeError(type, String(reason), reason?.stack));
});
searchNodePath();
try {
  const handler = await find(process.argv[2]);
  for (;;) await next(handler);
} catch (error) {
  await report("init/error", error, "Init Error").catch(() => {});
  process.exit(1);
}
