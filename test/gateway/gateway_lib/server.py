"""server.py: a request's transaction, in PostgREST's order."""
import argparse
import http.server
import json
import os
import threading
import urllib.parse

from gateway_lib import errors, query, tokens
from gateway_lib.database import Connection, ServerError

SETTINGS = ["pgrst." + name for name in ("db_schemas", "db_anon_role", "db_pre_request", "jwt_secret", "jwt_aud")]
CONFIG = ("select x, current_setting(x, true) from unnest($1::text[]) x join saas.postgrest_config() _ on true")
FUNCTIONS = """
select p.proname, p.provolatile, t.typtype <> 'c' and p.prorettype <> 'record'::regtype and not p.proretset, t.typname = '*/*',
       coalesce((select json_object_agg(a.name, format_type(a.type, null))
          from unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) as a (name, type)), '{}')
  from pg_proc p join pg_type t on t.oid = p.prorettype
 where p.pronamespace = (select n.oid from pg_namespace n where n.nspname = $1)"""


class Gateway:
    """One pooled connection, so that every request uses what the one before has left."""

    def __init__(self, options):
        self.options, self.lock = options, threading.Lock()
        self.connection = Connection(options.conninfo)
        settings = dict(self.connection.rows(CONFIG, ["{" + ",".join(SETTINGS) + "}"]))
        self.schema, self.anon, self.pre_request, jwks, self.audience = (settings[name] for name in SETTINGS)
        self.jwks = json.loads(jwks)
        self.functions = {name: {"name": name, "reads": volatility != "v", "is_scalar": scalar == "t", "is_raw": raw == "t",
                                 "arguments": json.loads(arguments)}
                          for name, volatility, scalar, raw, arguments in self.connection.rows(FUNCTIONS, [self.schema])}

    def claims(self, headers):
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        token = token.strip()
        return tokens.claims_of(token) if self.options.trust else tokens.verify(token, self.jwks, self.audience)

    def plan(self, method, path, parameters, body):
        """The statement, its values, and whether it only reads."""
        reads = method in ("GET", "HEAD")
        if not path.startswith("/rpc/"):
            if not reads:
                raise query.BadRequest(method)
            return (*query.of_view(self.schema, path[1:], parameters), True)
        function = self.functions.get(path[5:])
        if function is None:
            raise KeyError(path)
        if not reads:
            function = dict(function, keys=list(json.loads(body or "{}")))
            if not set(function["keys"]) <= set(function["arguments"]):
                raise KeyError(path)
        sql, values = query.of_function(self.schema, function, parameters, None if reads else body or "{}")
        return sql, values, reads or function["reads"]

    def settings(self, method, path, headers, claims):
        role = claims.get("role", self.anon) if claims else self.anon
        cookies = dict(pair.strip().split("=", 1) for pair in headers.get("cookie", "").split(";") if "=" in pair)
        return {"search_path": query.identifier(self.schema), "role": role,
                "request.jwt.claims": json.dumps(dict(claims or {}, role=role)),
                "request.method": method, "request.path": path,
                "request.headers": json.dumps(headers, ensure_ascii=False),
                "request.cookies": json.dumps(cookies, ensure_ascii=False)}

    def run(self, method, target, headers, body):
        """status, reason, headers, body"""
        url = urllib.parse.urlsplit(target)
        try:
            claims = self.claims(headers)
        except tokens.BadToken as error:
            return 401, None, [("WWW-Authenticate", f'Bearer error="invalid_token", error_description="{error}"')], \
                {"code": "PGRST301", "message": str(error), "details": None, "hint": None}
        try:
            sql, values, reads = self.plan(method, url.path, urllib.parse.parse_qsl(url.query, keep_blank_values=True), body)
        except KeyError:
            return 404, None, [], {"code": "PGRST202", "message": "no such function", "details": None, "hint": None}
        except (query.BadRequest, ValueError):
            return 400, None, [], {"code": "PGRST100", "message": "cannot parse", "details": None, "hint": None}
        settings = self.settings(method, url.path, headers, claims)
        with self.lock:
            try:
                return self.transaction(sql, values, reads, settings, "tx=rollback" in headers.get("prefer", ""))
            except ServerError as error:
                self.connection.rows("rollback")
                return errors.answer(error.fields, claims is not None)

    def transaction(self, sql, values, reads, settings, wants_rollback):
        self.connection.rows("begin isolation level read committed " + ("read only" if reads else "read write"))
        self.connection.rows("select " + ", ".join(f"set_config('{name}', ${number + 1}, true)"
                                                   for number, name in enumerate(settings)), list(settings.values()))
        self.connection.rows(f"select {self.pre_request}()")
        body, headers, status = self.connection.rows(sql, values)[0]
        self.connection.rows("rollback" if wants_rollback and self.options.allow_rollback else "commit")
        pairs = [pair for one in json.loads(headers or "[]") for pair in one.items()]
        return int(status or 200), None, pairs, json.loads(body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value.encode("latin-1").decode("utf-8", "replace") for name, value in self.headers.items()}
        status, reason, pairs, answer = self.server.gateway.run(self.command, self.path, headers, body)
        media_type = next((value for name, value in pairs if name.lower() == "content-type"), None)
        is_raw = isinstance(answer, str) and media_type is not None and "json" not in media_type
        content = answer.encode() if is_raw else json.dumps(answer, ensure_ascii=False).encode()
        if media_type is None:
            pairs = [*pairs, ("Content-Type", "application/json; charset=utf-8")]
        # Not send_response and send_header: what the database says goes out as it is.
        lines = [f"HTTP/1.1 {status} {reason or self.responses.get(status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in pairs] + [f"Content-Length: {len(content)}", "", ""]
        self.wfile.write("\r\n".join(lines).encode() + (b"" if self.command == "HEAD" else content))

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--conninfo", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--allow-rollback", action="store_true")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    server.gateway = Gateway(options)
    with open(options.state + ".new", "w", encoding="utf-8") as file:
        json.dump({"port": server.server_address[1]}, file)
    os.rename(options.state + ".new", options.state)
    server.serve_forever()
