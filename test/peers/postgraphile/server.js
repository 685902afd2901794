// PostGraphile as a thin layer over saas_api: it chooses the role, hands the
// headers over and calls saas.pre_request() first in each transaction.
"use strict";

const fs = require("fs");
const http = require("http");
const { makePluginHook, postgraphile } = require("postgraphile");

const [connection, state] = process.argv.slice(2);

const authenticate = {
  withPostGraphileContext(withContext) {
    return (options, callback) =>
      withContext(options, async (context) => {
        await context.pgClient.query("select saas.pre_request()");
        return callback(context);
      });
  },
};

const handler = postgraphile(connection, "saas_api", {
  pluginHook: makePluginHook([authenticate]),
  disableDefaultMutations: true,
  disableQueryLog: true,
  // The functions of saas_api belong to the extension.
  includeExtensionResources: true,
  pgSettings: async (request) => ({
    role: request.headers.authorization ? "saas_user" : "saas_anon",
    "request.headers": JSON.stringify(request.headers),
  }),
});

const server = http.createServer(handler);
server.listen(0, "127.0.0.1", () => {
  fs.writeFileSync(state + ".new", String(server.address().port));
  fs.renameSync(state + ".new", state);
});
