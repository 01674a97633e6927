// A token issuer: a key that it publishes, and tokens of any lifetime.

import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";

const AUDIENCE = "page-tests";
const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export class Issuer {
  static async start() {
    const issuer = new Issuer();
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    issuer.key = privateKey;
    const keys = [{ ...publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256", use: "sig" }];
    issuer.server = createServer((request, response) => response.end(JSON.stringify({ keys })));
    await new Promise((listening) => issuer.server.listen(0, "127.0.0.1", listening));
    issuer.url = `http://127.0.0.1:${issuer.server.address().port}`;
    return issuer;
  }

  /** Flags that make a chat trust this issuer. */
  get flags() {
    const parameters = {
      Auth: "jwt",
      JwtIssuer: this.url,
      JwtAudience: AUDIENCE,
      JwtKeysUrl: `${this.url}/keys`,
    };
    return Object.entries(parameters).flatMap(([name, value]) => ["--parameter", `${name}=${value}`]);
  }

  /** Returns a token of a user, issued `age` seconds ago with a lifetime of `seconds`. */
  token(user, { seconds = 3_600, age = 0 } = {}) {
    const iat = Math.floor(Date.now() / 1_000) - age;
    const claims = { iss: this.url, aud: AUDIENCE, sub: user, iat, exp: iat + seconds };
    const content = `${base64url({ alg: "ES256", kid: "1", typ: "JWT" })}.${base64url(claims)}`;
    const signature = sign("sha256", Buffer.from(content), { key: this.key, dsaEncoding: "ieee-p1363" });
    return `${content}.${signature.toString("base64url")}`;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}
