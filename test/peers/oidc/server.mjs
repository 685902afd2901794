// oidc-provider as the sign-in of one Salesforce org: refresh tokens that are
// good once and whose reuse revokes the grant, signed assertions, and a page
// of limits for whoever holds a live access token.
//
//   server.mjs STATE PUBLIC_KEY     writes its port to the file STATE
import { decodeJwt, importSPKI, jwtVerify } from "jose";
import fs from "node:fs";
import http from "node:http";
import Provider, { errors } from "oidc-provider";

const [state, publicKeyFile] = process.argv.slice(2);
const CLIENT = "consumer-key";
const ACCOUNT = "poller@example.com";
const SCOPE = "openid offline_access";
const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const LIMITS = JSON.stringify({ DailyApiRequests: { Max: 15000, Remaining: 14000 } });
const key = await importSPKI(fs.readFileSync(publicKeyFile, "utf8"), "RS256");

const seen = { refreshes: 0, assertions: 0, refused: [], revoked: 0, limits: 0, unauthorized: 0 };
let hangs = false; // the limits, while a test wants it

const server = http.createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address();
const issuer = `http://localhost:${port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT,
      client_secret: "consumer-secret",
      grant_types: ["authorization_code", "refresh_token", JWT_BEARER],
      redirect_uris: [`${issuer}/callback`],
      token_endpoint_auth_method: "client_secret_post",
    },
    {
      client_id: "signing-key",
      grant_types: ["authorization_code", JWT_BEARER],
      redirect_uris: [`${issuer}/callback`],
      token_endpoint_auth_method: "none",
    },
  ],
  routes: { token: "/services/oauth2/token" },
  rotateRefreshToken: true,
  features: { devInteractions: { enabled: false } },
  // Shorter than what a poll takes for about to expire, so that every poll refreshes.
  ttl: { AccessToken: 120, Grant: 86400, IdToken: 120, RefreshToken: 86400, Session: 86400 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});

provider.registerGrantType(
  JWT_BEARER,
  async (ctx) => {
    const { client, params } = ctx.oidc;
    try {
      const { payload } = await jwtVerify(params.assertion, key, {
        algorithms: ["RS256"],
        audience: issuer,
        issuer: client.clientId,
        subject: ACCOUNT,
        requiredClaims: ["exp"],
      });
      if (payload.exp > Date.now() / 1000 + 180) throw new Error("exp is too far ahead");
    } catch (error) {
      throw new errors.InvalidGrant(error.message);
    }
    const token = new provider.AccessToken({ accountId: ACCOUNT, client, gty: JWT_BEARER, scope: "openid" });
    seen.assertions += 1;
    ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: "Bearer" };
  },
  ["assertion"],
);

provider.on("grant.success", (ctx) => {
  if (ctx.oidc.params.grant_type === "refresh_token") seen.refreshes += 1;
});
provider.on("grant.error", (ctx, error) => seen.refused.push(error.error_detail || error.error));
provider.on("grant.revoked", () => (seen.revoked += 1));
provider.on("server_error", (ctx, error) => console.error(error));

// What signing in and consenting would leave behind.
async function authorize() {
  const client = await provider.Client.find(CLIENT);
  const grant = new provider.Grant({ accountId: ACCOUNT, clientId: CLIENT });
  grant.addOIDCScope(SCOPE);
  const common = { accountId: ACCOUNT, client, grantId: await grant.save(), gty: "authorization_code", scope: SCOPE };
  return {
    access_token: await new provider.AccessToken(common).save(),
    refresh_token: await new provider.RefreshToken(common).save(),
  };
}

function answer(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(body);
}

async function limits(request, response) {
  const token = await provider.AccessToken.find((request.headers.authorization || "").replace(/^Bearer /, ""));
  if (!token) {
    seen.unauthorized += 1;
    return answer(response, 401, '[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]');
  }
  seen.limits += 1;
  return hangs ? undefined : answer(response, 200, LIMITS);
}

function issuerOf(assertion) {
  try {
    return decodeJwt(assertion).iss;
  } catch {
    return "";
  }
}

// An assertion names its client, which this library wants to have in the form.
function withClient(request, response) {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    if (form.get("grant_type") === JWT_BEARER) form.set("client_id", issuerOf(form.get("assertion")));
    request.body = Object.fromEntries(form);
    provider.callback()(request, response);
  });
}

server.on("request", async (request, response) => {
  const { pathname } = new URL(request.url, issuer);
  if (pathname === "/_seen") answer(response, 200, JSON.stringify(seen));
  else if (pathname === "/_hang") answer(response, 200, JSON.stringify((hangs = request.method === "POST")));
  else if (pathname === "/_authorize") answer(response, 200, JSON.stringify(await authorize()));
  else if (pathname === "/services/data/v66.0/limits/") await limits(request, response);
  else if (pathname === "/services/oauth2/token") withClient(request, response);
  else answer(response, 404, "{}");
});

fs.writeFileSync(`${state}.new`, String(port));
fs.renameSync(`${state}.new`, state);
