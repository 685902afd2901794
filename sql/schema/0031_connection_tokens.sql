-- A connection token that an API key has made ends with the key.  Leans on
-- connections and API keys.

alter table saas.connection_token add column api_key_id uuid;
alter table saas.connection_token add foreign key (org_id, api_key_id)
    references saas.api_key (org_id, id) on delete cascade;
comment on column saas.connection_token.api_key_id is
'The API key that made it, with which it ends; NULL when its maker had none.';

create or replace view saas_api.connection_tokens with (security_invoker = true) as
select t.org_id, t.id, t.kind, t.name, t.config, t.environment, t.tags, t.poll_interval,
       case when t.used_at is not null then 'used'
            when t.revoked_at is not null then 'revoked'
            when t.expires_at <= now() then 'expired'
            else 'pending' end as status,
       t.created_by, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.connection_id, t.api_key_id
  from saas.connection_token t
 order by t.id desc;
