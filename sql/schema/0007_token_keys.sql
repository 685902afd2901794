-- Keys that sign access tokens change by the clock: published, then current,
-- then retiring, then retired.  Leans on accounts.

drop index saas_private.jwt_key_one_current;
alter table saas_private.jwt_key
    drop column is_current,
    add column active_at timestamptz not null default now(),
    alter column public_jwk drop not null,
    drop constraint jwt_key_algorithm_check,
    add constraint jwt_key_algorithm_check check (algorithm in ('ES256', 'HS256')),
    add constraint jwt_key_secret_is_not_public check ((public_jwk is null) = (algorithm = 'HS256'));
update saas_private.jwt_key set active_at = created_at;
comment on table saas_private.jwt_key is
'Keys that sign access tokens. The one that became active last signs; those not retired yet verify. Private halves, and the whole keys of HS256, are sealed under the platform''s key. Changed by saas.rotate_token_keys() and saas.retire_token_key() only: open sessions do not notice other changes.';
comment on column saas_private.jwt_key.public_jwk is 'What saas_api.jwks() shows; NULL for HS256, whose key is a secret.';
comment on column saas_private.jwt_key.private_key is 'ES256: PKCS#8 PEM; HS256: a JWK with the secret.';
comment on column saas_private.jwt_key.active_at is 'From then on the key signs, until the next one does.';
comment on column saas_private.jwt_key.retired_at is 'From then on its tokens are refused; NULL while no other key follows it.';
grant delete on saas_private.jwt_key to saas_service;
