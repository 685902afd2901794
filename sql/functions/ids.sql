-- Identifiers.  Leans on schemas.

create function saas.uuidv7() returns uuid
language c volatile parallel safe
as 'MODULE_PATHNAME', 'pg_saas_uuidv7';
comment on function saas.uuidv7() is
'A time-ordered UUID (RFC 9562, version 7). Within one session each is greater than the one before.';

create function saas_private.random_token() returns text
language c volatile parallel safe
as 'MODULE_PATHNAME', 'pg_saas_random_token';
comment on function saas_private.random_token() is
'256 bits from the system''s CSPRNG as base64url: refresh tokens and the tokens of mailed links.';

create function saas_private.token_hash(token text) returns bytea
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_token_hash';
comment on function saas_private.token_hash(text) is
'SHA-256 of a token. Tokens hold at least 128 random bits, so a fast hash suffices.';
