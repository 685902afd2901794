-- A connection token ends with the very key that made it, also when another key
-- of the same name stays good.  Leans on connections and API keys.

alter table saas_private.connection_token_hash add column api_key_hash bytea check (octet_length(api_key_hash) = 32);
comment on column saas_private.connection_token_hash.api_key_hash is
'SHA-256 of the API key that made the token; of one rotated since, the one of before. NULL when its maker had none.';

create or replace view saas_api.connection_tokens with (security_invoker = true) as
select t.org_id, t.id, t.kind, t.name, t.config, t.environment, t.tags, t.poll_interval,
       case when t.used_at is not null then 'used'
            when t.revoked_at is not null then 'revoked'
            when t.expires_at <= now() then 'expired'
            when t.id in (select e.id from saas_private.connection_tokens_without_key() e (id)) then 'key_ended'
            else 'pending' end as status,
       t.created_by, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.connection_id, t.api_key_id
  from saas.connection_token t
 order by t.id desc;
