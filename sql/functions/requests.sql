-- HTTP requests through PostgREST or another thin layer: who asks, the answer's
-- headers, PostgREST's configuration.  Leans on identity, accounts.

create function saas.set_header(name text, value text) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_set_header';
comment on function saas.set_header(text, text) is
'Sets a header of the HTTP answer, in the setting response.headers, until the transaction ends. Replaces a header of the same name, whatever its case; Set-Cookie appends. Control characters are left out of the value. On an error the headers stay but for Set-Cookie, Location, ETag, Last-Modified and Content-*. Errors: 22023 for NULL, for a name that is no RFC 9110 token of at most 64 characters, for a value above 4096 bytes and beyond 64 headers. Callable by everyone.';

-- Invoker on purpose: SET ROLE is refused inside a definer function.
create function saas.pre_request() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_pre_request';
comment on function saas.pre_request() is
'PostgREST''s db-pre-request. Verifies the token of Authorization: Bearer or X-API-Key inside the database, whatever claims the HTTP layer has verified, and gives the transaction its identity; a request without one, or with headers that cannot be read, stays anonymous. After X-API-Key a request that runs as saas_anon goes on as saas_user. Sets the headers X-Request-Id (the client''s own where it has 1 to 64 letters, digits or -._~+/=: characters, else a new UUID), Cache-Control: no-store, Access-Control-Expose-Headers and RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset (seconds). Counts the request in shared memory, whatever becomes of the transaction: somebody''s for the organization (for the user, where there is none) and for the API key where it has a limit, the headers being the tighter one''s; anybody else''s, with a token that does not hold too, for the client''s address, unless that is a proxy''s (saas.trusted_proxies). Writes no row. Errors: those of saas.authenticate, PT400 for both headers at once, PT429 beyond the limit. Callable by everyone.';

create function saas.postgrest_config() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('pgrst.db_schemas', 'saas_api', true),
            set_config('pgrst.db_extra_search_path', '', true),
            set_config('pgrst.db_anon_role', 'saas_anon', true),
            set_config('pgrst.db_pre_request', 'saas.pre_request', true),
            set_config('pgrst.jwt_secret', saas_api.jwks()::text, true),
            set_config('pgrst.jwt_secret_is_base64', 'false', true),
            set_config('pgrst.jwt_role_claim_key', '.role', true),
            set_config('pgrst.jwt_aud', current_setting('saas.jwt_audience'), true),
            set_config('pgrst.db_tx_end', 'commit', true);
end
$$;
alter function saas.postgrest_config() owner to saas_service;
comment on function saas.postgrest_config() is
'PostgREST''s db-pre-config: the public keys of access tokens, their audience, the schema, the anonymous role and the pre-request function, as settings pgrst.* until the transaction ends. PostgREST calls it as its own login role, to which the deployment grants USAGE on schema saas and EXECUTE on this function (docs/postgrest.md). Errors: 55000 before saas.install().';
