-- The C readers and verifiers as functions of their own: for operators, and to
-- check them from SQL.  Leans on errors.

create function saas.verify_jwt(token text, jwks jsonb, options jsonb default '{}') returns jsonb
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_verify_jwt';
comment on function saas.verify_jwt(text, jsonb, jsonb) is
'The claims of a token that verifies against the JWKS, or PT401. options: issuer, audience, type, leeway_s (default 30), now (Unix seconds), algorithms (an array of the accepted ones; default all). Algorithms: ES256, ES384, RS256, PS256, EdDSA (Ed25519) and HS256 (kty oct); each key is for one of them, an RSA key without alg for RS256. Errors: 22023 for a malformed key set and for unknown options or algorithms. For saas_operator.';

create function saas.parse_exposition(body text, format text default 'prometheus',
                                      out metric text, out labels jsonb, out value double precision,
                                      out at timestamptz)
returns setof record
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_parse_exposition';
comment on function saas.parse_exposition(text, text) is
'The samples of a Prometheus text exposition, or of an OpenMetrics one with format openmetrics. Errors: 22P02 with the line number. For saas_operator.';

create function saas.read_salesforce_limits(body text, out limit_name text, out max double precision,
                                            out remaining double precision)
returns setof record
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_read_salesforce_limits';
comment on function saas.read_salesforce_limits(text) is
'The limits of a Salesforce /limits document; nested ones as Parent.Child. Errors: 22P02. For saas_operator.';

create function saas.check_address(url text, out address inet, out allowed boolean, out reason text)
returns setof record
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_check_address';
comment on function saas.check_address(text) is
'What the poller''s guard says of each address that a URL''s host has: whether a connection may go there under saas.allowed_networks, and why not. The name is looked up in the calling session, for 5 seconds at most. Errors: 22023 for a URL that the poller does not take, 08001 when the look-up fails. For saas_operator.';
