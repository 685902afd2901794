-- Amazon Web Services: signing requests.  Leans on errors.

create function saas.aws_sigv4(method text, url text, headers jsonb, body bytea, credentials jsonb,
                               region text, service text, at timestamptz default now())
returns jsonb
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_aws_sigv4';
comment on function saas.aws_sigv4(text, text, jsonb, bytea, jsonb, text, text, timestamptz) is
'Headers that sign an HTTP request with AWS Signature Version 4: {"Host", "X-Amz-Date", "Authorization"} and, with a session token, "X-Amz-Security-Token"; send them together with the given ones. url: absolute, path and query as they are sent (a blank in the query as %20). headers: an object of strings, all of which are signed; NULL for none. body: NULL for none. credentials: {access_key_id, secret_access_key, session_token}, the last one optional. at: the time of the request, within 5 minutes of AWS''s. Not for S3, whose paths follow other rules. Errors: 22023 for anything missing, malformed or unknown, and for headers that signing makes itself; 22008. For saas_operator.';
