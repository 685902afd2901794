-- Tokens with which the other side connects its account: the customer's own
-- administrator, who has no account here.  Leans on connections and limits.

create function saas_private.token_config(kind text, fixed jsonb, config jsonb, account_id text, region text)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    given jsonb := coalesce(nullif(token_config.config, 'null'), '{}');
    account_key text := case token_config.kind when 'aws' then 'account_id' when 'salesforce' then 'org_id' end;
    other record;
begin
    if jsonb_typeof(given) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'config', 'must be an object');
    elsif token_config.account_id is not null and account_key is null then
        perform saas_private.raise_fields('invalid input', 'account_id', 'is not used by this kind');
    elsif token_config.region is not null and token_config.kind <> 'aws' then
        perform saas_private.raise_fields('invalid input', 'region', 'is not used by this kind');
    elsif length(token_config.region) > 50 then
        perform saas_private.raise_fields('invalid input', 'region', 'must have at most 50 characters');
    end if;
    if token_config.account_id is not null then
        given := given || jsonb_build_object(account_key, token_config.account_id);
    end if;
    if token_config.region is not null then
        given := given || jsonb_build_object('regions', jsonb_build_array(token_config.region));
    end if;
    select e.key into other
      from jsonb_each(given) e
     where token_config.fixed ? e.key and token_config.fixed -> e.key <> e.value
     order by e.key limit 1;
    if found then
        perform saas_private.raise_fields('invalid input', 'config.' || left(other.key, 63), 'is fixed by the token');
    end if;
    return given || token_config.fixed;
end
$$;
comment on function saas_private.token_config(text, jsonb, jsonb, text, text) is
'The config of a connection that is confirmed with a token: what the token fixes, and from the other side what it leaves open. account_id is aws'' account_id or salesforce''s org_id, region the one of aws'' regions. 22023 with the field for what the kind does not use and for what is fixed otherwise.';

create function saas_private.api_key_is_good(org_id uuid, api_key_id uuid, key_hash bytea) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from saas.api_key k
                     join saas_private.api_key_hash h on h.org_id = k.org_id and h.api_key_id = k.id
                    where k.org_id = api_key_is_good.org_id and k.id = api_key_is_good.api_key_id
                      and h.key_hash = api_key_is_good.key_hash and k.revoked_at is null
                      and coalesce(k.expires_at > clock_timestamp(), true)
                      and coalesce(h.valid_until > clock_timestamp(), true));
end
$$;
alter function saas_private.api_key_is_good(uuid, uuid, bytea) owner to saas_service;
comment on function saas_private.api_key_is_good(uuid, uuid, bytea) is
'Whether the API key with that SHA-256 is good at this moment: not revoked, nor expired, nor rotated with the overlap over. For saas_service.';

create function saas_private.connection_tokens_without_key() returns setof uuid
language plpgsql stable security definer rows 10
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
        select t.id
          from saas.connection_token t
          join saas_private.connection_token_hash h on h.org_id = t.org_id and h.token_id = t.id
         where t.org_id = saas.org_if('manage_connections') and t.api_key_id is not null
           and not saas_private.api_key_is_good(t.org_id, t.api_key_id, h.api_key_hash);
end
$$;
alter function saas_private.connection_tokens_without_key() owner to saas_service;
comment on function saas_private.connection_tokens_without_key() is
'The current organization''s connection tokens, neither used nor revoked, that were made with an API key that is good no longer. For saas_api.connection_tokens; none without manage_connections.';

create function saas_private.connection_token_json(token_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(t) from saas_api.connection_tokens t
             where t.org_id = saas.org_if('manage_connections') and t.id = connection_token_json.token_id);
end
$$;
alter function saas_private.connection_token_json(uuid) owner to saas_owner;
comment on function saas_private.connection_token_json(uuid) is
'A connection token as saas_api.connection_tokens shows it.';

create function saas_private.require_connection_token(kind text, name text, config jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    names text[];
begin
    select k.secret_names into names from saas_private.connection_kinds() k where k.kind = require_connection_token.kind;
    if names is null then
        perform saas_private.raise_fields('invalid input', 'kind', 'must be one of '
            || (select string_agg(k.kind, ', ') from saas_private.connection_kinds() k));
    elsif require_connection_token.name is not null then
        perform saas_private.require_field('name', require_connection_token.name, 255);
    end if;
    if jsonb_typeof(require_connection_token.config) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'config', 'must be an object');
    elsif saas_private.json_is_longer(require_connection_token.config, 65536) then
        perform saas_private.raise_fields('invalid input', 'config', 'must have at most 64 kB');
    elsif require_connection_token.config ?| names then
        -- It is kept and shown as it is until the other side confirms.
        perform saas_private.raise_fields('invalid input', 'config', 'holds a secret: the other side gives it in secrets');
    end if;
end
$$;
comment on function saas_private.require_connection_token(text, text, jsonb) is
'Raises 22023 with the field unless a connection token can be made of these.';

create function saas_api.create_connection_token(kind text, name text default null, config jsonb default '{}',
                                                 environment text default null, tags jsonb default '{}',
                                                 poll_interval interval default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    fixed jsonb := coalesce(nullif(create_connection_token.config, 'null'), '{}');
    token text := saas_private.random_token();
    new_id uuid := saas.uuidv7();
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    perform saas_private.require_attempt('connection_tokens', org::text, 100, interval '1 second',
                                         interval '1 minute', interval '1 hour');
    perform saas_private.require_connection_token(create_connection_token.kind, create_connection_token.name, fixed);
    perform saas_private.require_connection_fields(create_connection_token.environment, create_connection_token.tags);
    if create_connection_token.poll_interval is not null then
        perform saas_private.require_poll_interval(org, create_connection_token.kind, create_connection_token.poll_interval);
    end if;
    delete from saas.connection_token t where t.org_id = org and t.expires_at < now() - interval '30 days';
    insert into saas.connection_token (org_id, id, kind, name, config, environment, tags, poll_interval, created_by,
                                       api_key_id, expires_at)
    values (org, new_id, create_connection_token.kind, btrim(create_connection_token.name), fixed,
            create_connection_token.environment, coalesce(create_connection_token.tags, '{}'),
            create_connection_token.poll_interval, saas.current_user_id(), saas.current_api_key_id(),
            now() + interval '10 minutes');
    insert into saas_private.connection_token_hash (org_id, token_id, token_hash, api_key_hash)
    values (org, new_id, saas_private.token_hash(token), saas_private.current_api_key_hash());
    perform saas_private.audit('connection_token.created', 'connection_token', new_id::text, null,
        jsonb_build_object('kind', create_connection_token.kind, 'name', create_connection_token.name,
                           'config', fixed, 'environment', create_connection_token.environment));
    return saas_private.connection_token_json(new_id) || jsonb_build_object('token', token);
end
$$;
alter function saas_api.create_connection_token(text, text, jsonb, text, jsonb, interval) owner to saas_service;
comment on function saas_api.create_connection_token(text, text, jsonb, text, jsonb, interval) is
'Makes a token with which somebody without an account connects an upstream account to the current organization, once and within 10 minutes, with confirm_connection_token. What is given here is fixed, what is left out the other side gives; a name that is given is used unless the other side has an alias. Made with an API key it ends with that very key: when it is revoked, has expired, or was rotated and the overlap is over. Answers the row of saas_api.connection_tokens with token, which is told only now. Errors: PT401, PT403, 22023 with fields, PT429. For saas_user with manage_connections.';

create function saas_private.find_connection_token(token text, out org_id uuid, out id uuid, out kind text, out name text,
                                                   out config jsonb, out environment text, out tags jsonb,
                                                   out poll_interval interval, out created_by uuid)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    rights record;
begin
    -- By the clock: now() stands still for whoever holds a transaction open.
    select t.org_id, t.id, t.kind, t.name, t.config, t.environment, t.tags, t.poll_interval, t.created_by
      into find_connection_token.org_id, find_connection_token.id, find_connection_token.kind, find_connection_token.name,
           find_connection_token.config, find_connection_token.environment, find_connection_token.tags,
           find_connection_token.poll_interval, find_connection_token.created_by
      from saas_private.connection_token_hash h
      join saas.connection_token t on t.org_id = h.org_id and t.id = h.token_id
      join saas.organization o on o.id = t.org_id
     where h.token_hash = saas_private.token_hash(coalesce(find_connection_token.token, ''))
       and t.used_at is null and t.revoked_at is null and t.expires_at > clock_timestamp() and o.status = 'active'
       and (t.api_key_id is null or saas_private.api_key_is_good(t.org_id, t.api_key_id, h.api_key_hash))
       for update of t;
    rights := saas_private.member_rights(find_connection_token.org_id, find_connection_token.created_by);
    if not coalesce(rights.is_active and 'manage_connections' = any (rights.permissions), false) then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask whoever gave you the token for a new one.');
    end if;
end
$$;
alter function saas_private.find_connection_token(text) owner to saas_service;
comment on function saas_private.find_connection_token(text) is
'The connection token, locked, or 22023: one that was used or revoked or has expired, whose organization is not active, whose maker may no longer manage connections, or whose API key is good no longer is answered alike. For saas_service''s functions only.';

create function saas_api.confirm_connection_token(token text, account_id text default null, region text default null,
                                                  alias text default null, environment text default null,
                                                  config jsonb default '{}', secrets jsonb default '{}')
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    hash text := encode(saas_private.token_hash(coalesce(confirm_connection_token.token, '')), 'hex');
    mine record;
    new_id uuid;
begin
    perform saas_private.require_installed();
    perform saas_private.count_client('connection_token');
    mine := saas_private.find_connection_token(confirm_connection_token.token);
    -- Guessing it is hopeless; this is for whoever has it and tries out what the organization has connected.
    perform saas_private.require_attempt('connection_token', mine.id::text, 10, interval '1 second',
                                         interval '1 minute', interval '10 minutes');
    if confirm_connection_token.environment <> mine.environment then
        perform saas_private.raise_fields('invalid input', 'environment', 'is fixed by the token');
    elsif coalesce(confirm_connection_token.alias, mine.name) is null then
        perform saas_private.raise_fields('invalid input', 'alias', 'is required');
    elsif saas_private.json_is_longer(confirm_connection_token.config, 65536) then
        perform saas_private.raise_fields('invalid input', 'config', 'must have at most 64 kB');
    end if;
    new_id := saas_private.add_connection(
        mine.org_id, mine.kind, coalesce(confirm_connection_token.alias, mine.name),
        saas_private.token_config(mine.kind, mine.config, confirm_connection_token.config,
                                  confirm_connection_token.account_id, confirm_connection_token.region),
        coalesce(nullif(confirm_connection_token.secrets, 'null'), '{}'),
        coalesce(mine.environment, confirm_connection_token.environment), mine.tags, mine.poll_interval,
        null, mine.created_by);
    -- Last, so that what is refused leaves the token good, and before anything
    -- is told: who rolls back has used it up.
    if not saas_private.use_once('connection_token', hash, interval '15 minutes') then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask whoever gave you the token for a new one.');
    end if;
    update saas.connection_token t set used_at = now(), connection_id = new_id
     where t.org_id = mine.org_id and t.id = mine.id;
    delete from saas_private.connection_token_hash h where h.org_id = mine.org_id and h.token_id = mine.id;
    perform saas_private.audit('connection_token.used', 'connection_token', mine.id::text, null,
        jsonb_build_object('connection_id', new_id), mine.org_id);
    return (select jsonb_build_object('id', c.id, 'kind', c.kind, 'name', c.name,
                                      'external_account_id', c.external_account_id, 'environment', c.environment,
                                      'organization', o.name, 'message', 'Connected.')
              from saas.connection c join saas.organization o on o.id = c.org_id
             where c.org_id = mine.org_id and c.id = new_id);
end
$$;
alter function saas_api.confirm_connection_token(text, text, text, text, text, jsonb, jsonb) owner to saas_service;
comment on function saas_api.confirm_connection_token(text, text, text, text, text, jsonb, jsonb) is
'Connects an account with a token from create_connection_token, by whoever holds it: account_id (aws, salesforce), region (aws), alias (the connection''s name), environment, and config and secrets by kind, as far as the token leaves them open. The first poll starts at commit. Answers {id, kind, name, external_account_id, environment, organization, message}. A call that is refused for what it brings leaves the token good; one that succeeds uses it up, even when the caller rolls back. Errors: 22023 "invalid or expired token" and with fields, 23505 "already connected", PT402 when the plan allows no more connections, PT429 after many tries. For saas_anon and saas_user.';

create function saas_api.revoke_connection_token(token_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    target record;
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    select t.id, t.used_at, t.revoked_at into target
      from saas.connection_token t
     where t.org_id = org and t.id = revoke_connection_token.token_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'connection token not found');
    elsif target.used_at is not null then
        perform saas_private.raise_error('PT409', 'the token was used already', null,
            'Turn off or delete the connection that was made with it.');
    end if;
    if target.revoked_at is null then
        update saas.connection_token t set revoked_at = now() where t.org_id = org and t.id = target.id;
        delete from saas_private.connection_token_hash h where h.org_id = org and h.token_id = target.id;
        perform saas_private.audit('connection_token.revoked', 'connection_token', target.id::text);
    end if;
    return saas_private.connection_token_json(target.id);
end
$$;
alter function saas_api.revoke_connection_token(uuid) owner to saas_service;
comment on function saas_api.revoke_connection_token(uuid) is
'Ends a connection token before it is used; again is no error. Errors: PT401, PT403, PT404, PT409 for one that was used. For saas_user with manage_connections.';
