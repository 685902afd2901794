-- Upstream accounts: create, change, test, refresh.  Definer functions of
-- saas_owner, which is itself under the forced policies.  Leans on
-- organizations and vault.

create function saas_private.check_connection(kind text, config jsonb, secrets jsonb,
                                              out config_to_store jsonb, out account_key text,
                                              out external_account_id text, out origin text)
language c stable parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_check_connection';
comment on function saas_private.check_connection(text, jsonb, jsonb) is
'Lets the kind''s connector validate config and secrets (NULL secrets: config only). 22023 with DETAIL [{"field","message"}].';

create function saas_private.connection_kinds(out kind text, out title text, out secret_names text[])
returns setof record
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_connection_kinds';
comment on function saas_private.connection_kinds() is
'The kinds of connection that this library serves.';

create function saas_private.default_poll_interval(kind text) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case kind when 'salesforce' then interval '30 minutes' else interval '60 seconds' end
$$;
comment on function saas_private.default_poll_interval(text) is
'How often a connection of the kind is polled when its owner does not say.';

create function saas_private.connection_json(connection_id uuid) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(c) from saas_api.connections c where c.id = connection_json.connection_id);
end
$$;
comment on function saas_private.connection_json(uuid) is
'A connection as saas_api.connections shows it.';

create function saas_private.require_connection_fields(environment text, tags jsonb) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_connection_fields.environment not in ('production', 'staging', 'development') then
        perform saas_private.raise_fields('invalid input', 'environment',
                                          'must be production, staging or development');
    elsif jsonb_typeof(coalesce(require_connection_fields.tags, '{}')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'tags', 'must be an object');
    elsif saas_private.json_is_longer(require_connection_fields.tags, 8192) then
        perform saas_private.raise_fields('invalid input', 'tags', 'must have at most 8 kB');
    end if;
end
$$;
comment on function saas_private.require_connection_fields(text, jsonb) is
'Raises 22023 with the field unless environment and tags are what a connection may have; NULL is neither.';

create function saas_private.replace_secrets(org_id uuid, connection_id uuid, origin text, secrets jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from saas_private.connection_secret s
     where s.org_id = replace_secrets.org_id and s.connection_id = replace_secrets.connection_id;
    insert into saas_private.connection_secret (org_id, connection_id, name, value)
    select replace_secrets.org_id, replace_secrets.connection_id, s.name, s.value
      from saas_private.seal_secrets(replace_secrets.org_id, replace_secrets.connection_id, replace_secrets.origin,
                                     replace_secrets.secrets) s;
end
$$;
comment on function saas_private.replace_secrets(uuid, uuid, text, jsonb) is
'Puts these secrets, bound to the origin, in the place of all that a connection has.';

create function saas_private.poll_anew(org_id uuid, connection_id uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.connection_status s
       set status = 'pending', next_poll_at = now(), consecutive_failures = 0,
           last_error = null, last_error_code = null, token_expires_at = null,
           -- What a poll that is under way brings no longer counts.
           lease_until = null, lease_id = null
     where s.org_id = poll_anew.org_id and s.connection_id = poll_anew.connection_id;
    perform saas_private.wake_poller();
end
$$;
comment on function saas_private.poll_anew(uuid, uuid) is
'Lets a connection whose config or secrets have changed be polled as if it were new.';

create function saas_private.plan_limit(org_id uuid, name text) returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select l.value
      from saas.organization o
      join saas.plan_limit l on l.plan = o.plan and l.name = plan_limit.name
     where o.id = plan_limit.org_id
$$;
alter function saas_private.plan_limit(uuid, text) owner to saas_service;
comment on function saas_private.plan_limit(uuid, text) is
'How many of a thing the organization''s plan allows; NULL: any number. For saas_service''s functions only.';

create function saas.set_plan_limit(plan text, name text, value bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := saas_private.require_plan(set_plan_limit.plan);
    old bigint;
begin
    if set_plan_limit.name is distinct from 'connections' then
        perform saas_private.raise_fields('invalid input', 'name', 'must be connections');
    elsif set_plan_limit.value < 0 then
        perform saas_private.raise_fields('invalid input', 'value', 'must not be negative');
    end if;
    select l.value into old from saas.plan_limit l where l.plan = wanted and l.name = set_plan_limit.name for update;
    delete from saas.plan_limit l where l.plan = wanted and l.name = set_plan_limit.name;
    insert into saas.plan_limit (plan, name, value)
    select wanted, set_plan_limit.name, set_plan_limit.value where set_plan_limit.value is not null;
    perform saas_private.audit('plan.limit_changed', 'plan', wanted, jsonb_build_object(set_plan_limit.name, old),
        jsonb_build_object(set_plan_limit.name, set_plan_limit.value), '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.set_plan_limit(text, text, bigint) owner to saas_service;
comment on function saas.set_plan_limit(text, text, bigint) is
'Sets how many of a thing organizations on a plan may have; NULL: any number. name: connections. What is there already stays. Errors: 22023 with the field plan, name or value. For saas_operator.';

create function saas_private.require_connection_room(org_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    allowed bigint;
    there bigint;
begin
    if saas_private.plan_limit(require_connection_room.org_id, 'connections') is null then
        return;
    end if;
    -- One at a time from here to the end of the transaction; the count comes after the wait.
    perform saas_private.lock_members(require_connection_room.org_id);
    allowed := saas_private.plan_limit(require_connection_room.org_id, 'connections');
    select count(*) into there from saas.connection c where c.org_id = require_connection_room.org_id;
    if there >= allowed then
        -- Who confirms a token is told no figures of somebody else's organization.
        if require_connection_room.org_id is distinct from saas.org_if('manage_connections') then
            perform saas_private.raise_error('PT402', 'the plan allows no more connections', null,
                'Ask whoever gave you the token.');
        end if;
        perform saas_private.raise_error('PT402', 'the plan allows no more connections',
            jsonb_build_object('limit', 'connections', 'allowed', allowed, 'connections', there)::text,
            'Delete a connection or change the plan.');
    end if;
end
$$;
alter function saas_private.require_connection_room(uuid) owner to saas_service;
comment on function saas_private.require_connection_room(uuid) is
'Raises PT402, for holders of manage_connections with the limit in DETAIL, when the organization''s plan allows no further connection; what it finds holds until the end of the transaction. For the functions that add connections.';

create function saas_api.connection_limit() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
begin
    perform saas.require_permission('view_dashboard');
    org := saas.org_if('view_dashboard');
    return jsonb_build_object(
        'plan', (select o.plan from saas.organization o where o.id = org),
        'allowed', saas_private.plan_limit(org, 'connections'),
        'connections', (select count(*) from saas.connection c where c.org_id = org));
end
$$;
alter function saas_api.connection_limit() owner to saas_service;
comment on function saas_api.connection_limit() is
'How many connections the current organization has and its plan allows (null: any number): {plan, allowed, connections}. Errors: PT401, PT403. For saas_user with view_dashboard.';

create function saas_private.require_features(kind text, features jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    known jsonb := case require_features.kind
                       when 'aws' then '{"sendingEnabled": false, "eventTracking": false, "historyStorage": false}'
                       else '{}' end;
    given jsonb := coalesce(nullif(require_features.features, 'null'), '{}');
    feature record;
begin
    if jsonb_typeof(given) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'features', 'must be an object');
    end if;
    for feature in select e.key, e.value from jsonb_each(given) e order by e.key loop
        if not known ? feature.key then
            perform saas_private.raise_fields('invalid input', 'features.' || left(feature.key, 63),
                                              'is not a feature of this kind');
        elsif jsonb_typeof(feature.value) <> 'boolean' then
            perform saas_private.raise_fields('invalid input', 'features.' || feature.key, 'must be true or false');
        end if;
    end loop;
    return known || given;
end
$$;
comment on function saas_private.require_features(text, jsonb) is
'The features of a connection of that kind, those that are not given switched off. aws: sendingEnabled, eventTracking, historyStorage; other kinds have none. 22023 with the field for anything else.';

create function saas_private.merge_features(features jsonb, patch jsonb) returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    -- Whatever is no object is left for require_features to refuse.
    select case when jsonb_typeof(merge_features.patch) = 'object' then merge_features.features || merge_features.patch
                else merge_features.patch end
$$;
comment on function saas_private.merge_features(jsonb, jsonb) is
'Features with what a patch says of some of them.';

create function saas_private.patch_uuid(patch jsonb, field text) returns uuid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return saas_private.patch_text(patch_uuid.patch, patch_uuid.field)::uuid;
exception
    when invalid_text_representation then
        perform saas_private.raise_fields('invalid input', patch_uuid.field, 'must be a UUID or null');
end
$$;
comment on function saas_private.patch_uuid(jsonb, text) is
'The UUID of a patch; NULL when it is null or not there. 22023 for anything else.';

-- A personal connection speaks with its member's token: another config would
-- let others use it for what they choose, and so would an API key.
create function saas_private.require_connection_owner(owner_id uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_connection_owner.owner_id is null then
        return;
    elsif require_connection_owner.owner_id is distinct from saas.current_user_id() then
        perform saas_private.raise_error('PT403', 'the connection is another member''s own', null,
            'Only they give it secrets, another config or features, and turn it on; it can be turned off or deleted.');
    end if;
    perform saas_private.refuse_api_key();
end
$$;
comment on function saas_private.require_connection_owner(uuid) is
'Raises PT403 when a connection belongs to another member, or to me and I come with an API key, a mapped login or an operator''s ticket; NULL belongs to the organization.';

-- Whoever ends the membership or the account meanwhile waits for this and finds
-- the connection, or has ended them before.
create function saas_private.hold_own_membership() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record;
begin
    perform from saas.app_user u where u.id = saas.current_user_id() for share;
    perform saas_private.lock_members(saas.current_org_id());
    mine := saas_private.member_rights(saas.current_org_id(), saas.current_user_id());
    if not coalesce(mine.is_active and 'manage_connections' = any (mine.permissions), false) then
        perform saas_private.raise_error('PT403', 'permission denied by the organization''s roles',
            'manage_connections', 'Your role was changed a moment ago.');
    end if;
end
$$;
alter function saas_private.hold_own_membership() owner to saas_service;
comment on function saas_private.hold_own_membership() is
'Keeps my membership and account as they are until the end of the transaction; PT403 when I am no member with manage_connections any more.';

create function saas_private.hold_group(group_id uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform 1 from saas.connection_group g
      where g.org_id = saas.org_if('manage_connections') and g.id = hold_group.group_id
        for key share;
    if not found and hold_group.group_id is not null then
        perform saas_private.raise_error('PT404', 'group not found');
    end if;
end
$$;
comment on function saas_private.hold_group(uuid) is
'Keeps a group of connections from being deleted until the end of the transaction; PT404 when it is none of the organization''s. NULL is no group.';

-- For saas_owner under an identity, and for saas_service without one.
create function saas_private.add_connection(org_id uuid, kind text, name text, config jsonb, secrets jsonb,
                                            environment text, tags jsonb, poll_interval interval,
                                            features jsonb, created_by uuid, owner_id uuid default null,
                                            group_id uuid default null)
returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    new_id uuid := saas.uuidv7();
    given_name text;
    completed record;
    checked record;
    every interval;
    switches jsonb;
begin
    given_name := saas_private.require_field('name', add_connection.name, 255);
    perform saas_private.require_connection_fields(add_connection.environment, add_connection.tags);
    if saas_private.json_is_longer(add_connection.config, 65536) then
        perform saas_private.raise_fields('invalid input', 'config', 'must have at most 64 kB');
    elsif saas_private.json_is_longer(add_connection.secrets, 65536) then
        perform saas_private.raise_fields('invalid input', 'secrets', 'must have at most 64 kB');
    end if;
    every := saas_private.require_poll_interval(add_connection.org_id, add_connection.kind, add_connection.poll_interval);
    switches := saas_private.require_features(add_connection.kind, add_connection.features);
    -- The defaults are those of the identity's organization, which a token's need not be.
    if add_connection.org_id = saas.org_if('manage_connections') then
        completed := saas_private.with_salesforce_defaults(add_connection.kind, add_connection.config,
                                                           add_connection.secrets);
    else
        select add_connection.config as config_to_check, coalesce(add_connection.secrets, '{}') as secrets_to_check,
               null::text as login_origin
          into completed;
    end if;
    checked := saas_private.check_connection(add_connection.kind, completed.config_to_check,
                                             completed.secrets_to_check);
    perform saas_private.require_login_origin(checked.origin, completed.login_origin);
    perform saas_private.require_connection_room(add_connection.org_id);
    insert into saas.connection (org_id, id, kind, name, account_key, external_account_id, config, origin,
                                 environment, tags, poll_interval, features, group_id, owner_id, created_by)
    values (add_connection.org_id, new_id, add_connection.kind, given_name, checked.account_key,
            checked.external_account_id, checked.config_to_store, checked.origin, add_connection.environment,
            coalesce(add_connection.tags, '{}'), every, switches, add_connection.group_id, add_connection.owner_id,
            add_connection.created_by)
    on conflict on constraint connection_account_key do nothing;
    if not found then
        perform saas_private.raise_error('23505', 'already connected', null,
            'This upstream account is a connection of the organization already.');
    end if;
    insert into saas_private.connection_secret (org_id, connection_id, name, value)
    select add_connection.org_id, new_id, s.name, s.value
      from saas_private.seal_secrets(add_connection.org_id, new_id, checked.origin, add_connection.secrets) s;
    insert into saas.connection_status (org_id, connection_id) values (add_connection.org_id, new_id);
    perform saas_private.audit('connection.created', 'connection', new_id::text, null,
        jsonb_build_object('name', given_name, 'kind', add_connection.kind, 'config', checked.config_to_store,
                           'environment', add_connection.environment, 'tags', coalesce(add_connection.tags, '{}'),
                           'poll_interval', every, 'group_id', add_connection.group_id, 'features', switches,
                           'sealed_names', (select jsonb_agg(n) from jsonb_object_keys(add_connection.secrets) n))
        || case when add_connection.owner_id is null then '{}' else jsonb_build_object('owner_id', add_connection.owner_id) end,
        add_connection.org_id);
    perform saas_private.wake_poller();
    return new_id;
end
$$;
comment on function saas_private.add_connection(uuid, text, text, jsonb, jsonb, text, jsonb, interval, jsonb, uuid, uuid, uuid) is
'Checks and adds a connection with its secrets and its schedule. Errors: 22023 with fields, PT402, 23505. For functions that have checked who asks.';

create function saas_api.create_connection(kind text, name text, config jsonb, secrets jsonb default '{}',
                                           environment text default null, tags jsonb default '{}',
                                           poll_interval interval default null, group_id uuid default null,
                                           features jsonb default '{}', personal boolean default false)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    new_id uuid;
begin
    perform saas.require_permission('manage_connections');
    if create_connection.personal then
        perform saas_private.refuse_api_key();
    end if;
    perform saas_private.hold_group(create_connection.group_id);
    if create_connection.personal then
        perform saas_private.hold_own_membership();
    end if;
    new_id := saas_private.add_connection(
        saas.org_if('manage_connections'), create_connection.kind, create_connection.name, create_connection.config,
        create_connection.secrets, create_connection.environment, create_connection.tags,
        create_connection.poll_interval, create_connection.features, saas.current_user_id(),
        case when create_connection.personal then saas.current_user_id() end, create_connection.group_id);
    return saas_private.connection_json(new_id);
end
$$;
alter function saas_api.create_connection(text, text, jsonb, jsonb, text, jsonb, interval, uuid, jsonb, boolean) owner to saas_owner;
comment on function saas_api.create_connection(text, text, jsonb, jsonb, text, jsonb, interval, uuid, jsonb, boolean) is
'Connects an upstream account; its first poll starts at commit. kind: salesforce, prometheus, http_json, aws or postgresql; config and secrets by kind (docs/connections.md). A salesforce connection that brings no instance_url, login_url or client id uses the organization''s. Secrets are sealed before they are stored and never come out again. A personal one belongs to me: nobody else gives it secrets, another config or features, or turns it on, and its secrets are destroyed when I leave. Errors: PT401, PT403 (a personal one with an API key), PT404 for the group, 22023 with fields, 23505 "already connected", PT402 when the plan allows no more connections. For saas_user with manage_connections.';

create function saas.reveal_secret(connection_id uuid, name text) returns text
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_reveal_secret';
comment on function saas.reveal_secret(uuid, text) is
'A connection''s secret in the clear, for the rare case in which an operator must see it. Every call is written to the server log and to the organization''s audit (secret.revealed), whatever becomes of the transaction. Errors: PT403 without an open ticket for the organization that an earlier transaction committed, or when saas.reveal_secrets_enabled is off; PT404 without such a connection or secret, 22023 for NULL and when it does not open. For saas_operator; a superuser needs a ticket too.';

create function saas_private.least_poll_interval(org_id uuid) returns interval
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select greatest(current_setting('saas.min_poll_interval')::interval,
                    (select p.min_poll_interval
                       from saas.organization o
                       join saas.plan p on p.name = o.plan
                      where o.id = least_poll_interval.org_id))
$$;
alter function saas_private.least_poll_interval(uuid) owner to saas_service;
comment on function saas_private.least_poll_interval(uuid) is
'How often an organization''s connections may be polled: what operator and plan allow. For functions that have checked who asks.';

create function saas_private.plan_poll_interval() returns interval
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
begin
    return (select p.min_poll_interval
              from saas.organization o
              join saas.plan p on p.name = o.plan
             where o.id = org);
end
$$;
alter function saas_private.plan_poll_interval() owner to saas_service;
comment on function saas_private.plan_poll_interval() is
'How often the plan of the current organization lets its connections be polled; NULL without an organization, or when the plan says nothing. For saas_api.connections.';

create function saas.set_plan_poll_interval(plan text, min_poll_interval interval) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := saas_private.require_plan(set_plan_poll_interval.plan);
    old interval;
begin
    if set_plan_poll_interval.min_poll_interval not between interval '1 second' and interval '31 days' then
        perform saas_private.raise_fields('invalid input', 'min_poll_interval', 'must be between 1 second and 31 days, or NULL');
    end if;
    select p.min_poll_interval into old from saas.plan p where p.name = wanted for no key update;
    update saas.plan p set min_poll_interval = set_plan_poll_interval.min_poll_interval where p.name = wanted;
    perform saas_private.audit('plan.poll_interval_changed', 'plan', wanted,
        jsonb_build_object('min_poll_interval', old),
        jsonb_build_object('min_poll_interval', set_plan_poll_interval.min_poll_interval),
        '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.set_plan_poll_interval(text, interval) owner to saas_service;
comment on function saas.set_plan_poll_interval(text, interval) is
'Sets how often connections of organizations on a plan are polled at most, 1 second to 31 days; NULL: as often as saas.min_poll_interval allows. What has a shorter interval keeps it and is polled that often, from its next poll on. Errors: 22023 with the field plan or min_poll_interval. For saas_operator.';

create function saas_private.require_poll_interval(org_id uuid, kind text, given interval) returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    least_interval interval := saas_private.least_poll_interval(require_poll_interval.org_id);
    every interval;
begin
    -- As time from now: '-10000 months 300000 days 1 minute' equals a minute,
    -- and would always be due.
    begin
        every := now() + given - now();
    exception
        -- Beyond the end of time, or before its beginning.
        when datetime_field_overflow or interval_field_overflow then
            every := interval '0';
    end;
    if every is null then
        return greatest(saas_private.default_poll_interval(kind), least_interval);
    elsif every < least_interval or every > interval '31 days' then
        perform saas_private.raise_fields('invalid input', 'poll_interval',
            format('must be between %s and 31 days', least_interval));
    end if;
    return every;
end
$$;
comment on function saas_private.require_poll_interval(uuid, text, interval) is
'The interval to poll at, or 22023 when it is outside what operator and plan allow.';

create function saas_api.set_connection_secrets(connection_id uuid, secrets jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
    completed record;
begin
    perform saas.require_permission('manage_connections');
    select c.org_id, c.id, c.name, c.kind, c.config, c.origin, c.owner_id into target
      from saas.connection c
     where c.org_id = saas.org_if('manage_connections') and c.id = set_connection_secrets.connection_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'connection not found');
    end if;
    perform saas_private.require_connection_owner(target.owner_id);
    completed := saas_private.with_salesforce_defaults(target.kind, target.config, set_connection_secrets.secrets);
    perform saas_private.check_connection(target.kind, target.config, completed.secrets_to_check);
    perform saas_private.require_login_origin(target.origin, completed.login_origin);
    perform saas_private.replace_secrets(target.org_id, target.id, target.origin, set_connection_secrets.secrets);
    perform saas_private.poll_anew(target.org_id, target.id);
    perform saas_private.audit('connection.resealed', 'connection', target.id::text,
        jsonb_build_object('name', target.name),
        jsonb_build_object('name', target.name, 'sealed_names',
                           (select jsonb_agg(n) from jsonb_object_keys(set_connection_secrets.secrets) n)));
    return saas_private.connection_json(target.id);
end
$$;
alter function saas_api.set_connection_secrets(uuid, jsonb) owner to saas_owner;
comment on function saas_api.set_connection_secrets(uuid, jsonb) is
'Replaces all secrets of a connection, after reauth_required for instance, and polls it soon. Errors: PT401, PT403 (another member''s personal one too, or my own with an API key), PT404, 22023 with fields. For saas_user with manage_connections.';

-- A secret belongs to the destination it was given for: with another one the
-- secrets come in the same call or are gone.
create function saas_api.update_connection(connection_id uuid, patch jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given constant jsonb := update_connection.patch;
    target record;
    completed record;
    checked record;
    new_config jsonb;
    new_secrets jsonb;
    new_group uuid;
    destination_changes boolean;
begin
    perform saas.require_permission('manage_connections');
    perform saas_private.require_patch(given, '{name,config,secrets,environment,tags,poll_interval,group_id,features}');
    -- Before the connection, as whoever deletes the group takes them.
    if given ? 'group_id' then
        new_group := saas_private.patch_uuid(given, 'group_id');
        perform saas_private.hold_group(new_group);
    end if;
    select c.* into target
      from saas.connection c
     where c.org_id = saas.org_if('manage_connections') and c.id = update_connection.connection_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'connection not found');
    elsif jsonb_typeof(coalesce(given -> 'config', '{}')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'config', 'must be an object');
    elsif jsonb_typeof(coalesce(given -> 'secrets', '{}')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'secrets', 'must be an object');
    end if;
    if given ?| '{config,secrets,features}' then
        perform saas_private.require_connection_owner(target.owner_id);
    end if;
    perform saas_private.require_connection_fields(saas_private.patch_text(given, 'environment'),
                                                   nullif(given -> 'tags', 'null'));
    select coalesce(jsonb_object_agg(e.key, e.value), '{}') into new_config
      from jsonb_each(target.config || coalesce(given -> 'config', '{}')) e where e.value <> 'null';
    checked := saas_private.check_connection(target.kind, new_config, null);
    -- An origin says how a server is verified, too: a password for a verified one is not for whoever answers in its place.
    destination_changes := checked.origin <> target.origin;
    if given ? 'secrets' or destination_changes then
        new_secrets := coalesce(given -> 'secrets', '{}');
        completed := saas_private.with_salesforce_defaults(target.kind, new_config, new_secrets);
        checked := saas_private.check_connection(target.kind, new_config, completed.secrets_to_check);
        perform saas_private.require_login_origin(checked.origin, completed.login_origin);
    end if;
    begin
        update saas.connection c
           set name = case when given ? 'name' then saas_private.require_field('name', saas_private.patch_text(given, 'name'), 255) else c.name end,
               config = checked.config_to_store, account_key = checked.account_key,
               external_account_id = checked.external_account_id, origin = checked.origin,
               environment = case when given ? 'environment' then saas_private.patch_text(given, 'environment')
                                  else c.environment end,
               tags = case when given ? 'tags' then coalesce(nullif(given -> 'tags', 'null'), '{}') else c.tags end,
               poll_interval = case when given ? 'poll_interval'
                                    then saas_private.require_poll_interval(c.org_id, c.kind, (given ->> 'poll_interval')::interval)
                                    else c.poll_interval end,
               group_id = case when given ? 'group_id' then new_group else c.group_id end,
               features = case when given ? 'features' then
                                   saas_private.require_features(c.kind, saas_private.merge_features(c.features, given -> 'features'))
                               else c.features end,
               updated_at = now()
         where c.org_id = target.org_id and c.id = target.id;
    exception
        when unique_violation then
            perform saas_private.raise_error('23505', 'already connected', null,
                'This upstream account is a connection of the organization already.');
        when invalid_datetime_format or datetime_field_overflow or interval_field_overflow then
            perform saas_private.raise_fields('invalid input', 'poll_interval', 'must be an interval');
    end;
    if new_secrets is not null then
        perform saas_private.replace_secrets(target.org_id, target.id, checked.origin, new_secrets);
    elsif checked.config_to_store <> target.config then
        -- What the poller has bought was for the old scope, audience or user.
        delete from saas_private.connection_secret s
         where s.org_id = target.org_id and s.connection_id = target.id and s.name = 'access_token'
           and (target.kind = 'http_json'
                or exists (select from saas_private.connection_secret k
                            where k.org_id = target.org_id and k.connection_id = target.id and k.name = 'private_key'));
    end if;
    if new_secrets is not null or checked.config_to_store <> target.config then
        perform saas_private.poll_anew(target.org_id, target.id);
    end if;
    perform saas_private.audit('connection.updated', 'connection', target.id::text,
        jsonb_build_object('name', target.name, 'config', target.config, 'environment', target.environment,
                           'tags', target.tags, 'poll_interval', target.poll_interval, 'group_id', target.group_id,
                           'features', target.features),
        (select jsonb_build_object('name', c.name, 'config', c.config, 'environment', c.environment, 'tags', c.tags,
                                   'poll_interval', c.poll_interval, 'group_id', c.group_id, 'features', c.features)
                || case when new_secrets is null then '{}' else jsonb_build_object('sealed_names',
                       (select coalesce(jsonb_agg(n), '[]') from jsonb_object_keys(new_secrets) n)) end
           from saas.connection c where c.org_id = target.org_id and c.id = target.id));
    return saas_private.connection_json(target.id);
end
$$;
alter function saas_api.update_connection(uuid, jsonb) owner to saas_owner;
comment on function saas_api.update_connection(uuid, jsonb) is
'Changes what the patch names of a connection: name, config (its keys one by one, null removes a key), secrets (they replace all), environment, tags, poll_interval (null: the kind''s default), group_id (null: none), features (one by one). A config that leads to another host, or to a PostgreSQL server that is no longer verified, clears the secrets, so those that the kind needs must come in the same call. With another config or other secrets the connection is polled soon. Errors: PT401, PT403 (config, secrets and features of another member''s personal one too, or of my own with an API key), PT404 for the group too, 22023 with fields, 23505 "already connected". For saas_user with manage_connections.';

create function saas_api.set_connection_active(connection_id uuid, active boolean) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas.require_permission('manage_connections');
    if set_connection_active.active is null then
        perform saas_private.raise_fields('invalid input', 'active', 'is required');
    end if;
    select c.org_id, c.id, c.name, c.is_active, c.owner_id, c.poll_interval into target
      from saas.connection c
     where c.org_id = saas.org_if('manage_connections') and c.id = set_connection_active.connection_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'connection not found');
    elsif target.is_active = set_connection_active.active then
        return saas_private.connection_json(target.id);
    end if;
    if set_connection_active.active then
        perform saas_private.require_connection_owner(target.owner_id);
    end if;
    update saas.connection c
       set is_active = set_connection_active.active, updated_at = now()
     where c.org_id = target.org_id and c.id = target.id;
    -- Off and on again is no way around the interval, nor around the pause after
    -- failures or that an upstream has asked for.
    update saas.connection_status s
       set next_poll_at = least(s.next_poll_at, greatest(now(), s.last_polled_at
               + greatest(target.poll_interval, saas_private.least_poll_interval(target.org_id))))
     where s.org_id = target.org_id and s.connection_id = target.id
       and set_connection_active.active and s.consecutive_failures = 0 and s.status <> 'reauth_required';
    perform saas_private.wake_poller();
    perform saas_private.audit(case when set_connection_active.active then 'connection.activated' else 'connection.deactivated' end,
                               'connection', target.id::text,
                               jsonb_build_object('name', target.name, 'is_active', target.is_active),
                               jsonb_build_object('name', target.name, 'is_active', set_connection_active.active));
    return saas_private.connection_json(target.id);
end
$$;
alter function saas_api.set_connection_active(uuid, boolean) owner to saas_owner;
comment on function saas_api.set_connection_active(uuid, boolean) is
'Turns polling of a connection on or off; its history stays. One that is turned on is due at its interval after its last poll, at once with new secrets or another config, and one that has failed when it would have been tried again; again is no error and changes nothing. Errors: PT401, PT403 (turning on another member''s personal one too, or my own with an API key), PT404, 22023. For saas_user with manage_connections.';

create function saas_private.poll_now(org_id uuid, connection_ids uuid[], is_test boolean, timeout_ms integer,
                                      out connection_id uuid, out ok boolean, out error text, out details jsonb,
                                      out samples integer, out duration_ms integer, out from_store boolean,
                                      out steps jsonb)
returns setof record
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_poll_now';
comment on function saas_private.poll_now(uuid, uuid[], boolean, integer) is
'Hands connections to this database''s poller and waits for its answers. Errors: 25001 when the transaction has written, PT503 without a poller, 22023.';

create function saas_private.require_timeout(timeout_ms integer) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(timeout_ms, 10000) not between 100 and 60000 then
        perform saas_private.raise_fields('invalid input', 'timeout_ms', 'must be between 100 and 60000');
    end if;
    return coalesce(timeout_ms, 10000);
end
$$;
comment on function saas_private.require_timeout(integer) is
'The time limit of an on-demand poll in milliseconds, 10 seconds when NULL, or 22023.';

create function saas_api.refresh_connections(connection_ids uuid[] default null, timeout_ms integer default 10000)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    time_limit integer := saas_private.require_timeout(refresh_connections.timeout_ms);
    org uuid;
    wanted uuid[];
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    if cardinality(refresh_connections.connection_ids) > 10000 then
        perform saas_private.raise_fields('invalid input', 'connection_ids', 'must have at most 10000 elements');
    end if;
    select coalesce(array_agg(c.id order by c.id), '{}') into wanted
      from saas.connection c
     where c.org_id = org and c.is_active
       and (refresh_connections.connection_ids is null or c.id = any (refresh_connections.connection_ids));
    -- The answers lie in memory that all tenants share.
    if cardinality(wanted) > 10000 then
        perform saas_private.raise_fields('invalid input', 'connection_ids',
                                          'is required: the organization has more than 10000 active connections');
    end if;
    return (
        with answer as (
            select * from saas_private.poll_now(org, wanted, false, time_limit)
        ), asked as (
            select distinct u.id from unnest(coalesce(refresh_connections.connection_ids, wanted)) as u (id)
        )
        select coalesce(jsonb_agg(jsonb_build_object(
                   'connection_id', asked.id, 'name', c.name,
                   'ok', coalesce(answer.ok, false),
                   'error', case when c.id is null then 'connection not found'
                                 when not c.is_active then 'connection is inactive'
                                 else answer.error end,
                   'samples', coalesce(answer.samples, 0),
                   'duration_ms', coalesce(answer.duration_ms, 0),
                   'from_store', coalesce(answer.from_store, false)) order by c.name, asked.id), '[]')
          from asked
          left join answer on answer.connection_id = asked.id
          left join saas.connection c on c.org_id = org and c.id = asked.id);
end
$$;
alter function saas_api.refresh_connections(uuid[], integer) owner to saas_owner;
comment on function saas_api.refresh_connections(uuid[], integer) is
'Polls some or all active connections, at most 10000, now and waits at most timeout_ms milliseconds (100 to 60000): [{connection_id, name, ok, error, samples, duration_ms, from_store}], every connection answering for itself. One polled well within saas.refresh_cooldown answers from_store. Errors: PT401, PT403, 22023, 25001 when the transaction has written, PT429 when eight of the organization''s wait already, PT503 without a poller. For saas_user with manage_connections.';

create function saas_api.test_connection(connection_id uuid, timeout_ms integer default 10000) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    time_limit integer := saas_private.require_timeout(test_connection.timeout_ms);
    org uuid;
    target record;
    answer record;
begin
    perform saas.require_permission('manage_connections');
    org := saas.org_if('manage_connections');
    select c.id, c.is_active, c.owner_id into target
      from saas.connection c
     where c.org_id = org and c.id = test_connection.connection_id;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'connection not found');
    elsif not target.is_active then
        perform saas_private.require_connection_owner(target.owner_id);
    end if;
    select * into answer
      from saas_private.poll_now(org, array[test_connection.connection_id], true, time_limit);
    return jsonb_build_object('ok', coalesce(answer.ok, false), 'error', answer.error,
                              'details', coalesce(answer.details, '{}'),
                              'duration_ms', coalesce(answer.duration_ms, 0),
                              'steps', coalesce(answer.steps, '[]'));
end
$$;
alter function saas_api.test_connection(uuid, integer) owner to saas_owner;
comment on function saas_api.test_connection(uuid, integer) is
'Asks the upstream once, stores no samples, and waits at most timeout_ms milliseconds (100 to 60000): {ok, error, details, duration_ms, steps}. steps are what was reached of resolve, connect, tls, authenticate, authorize, read and parse, over a connection of its own: [{step, ok, ms, error, hint}], the last one with error and hint when it failed. The upstream decides about authenticate and authorize with its answer: the wait for it is authenticate''s. [] when nothing was asked, because the secrets do not open for instance. Errors: PT401, PT403 (another member''s personal one that is turned off too), PT404, 22023, 25001 when the transaction has written, PT429 when eight of the organization''s wait already, PT503 without a poller. For saas_user with manage_connections.';

create function saas_api.delete_connection(connection_id uuid, confirm_name text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas.require_permission('manage_connections');
    select c.org_id, c.id, c.name into target
      from saas.connection c
     where c.org_id = saas.org_if('manage_connections') and c.id = delete_connection.connection_id
       for update;
    if target.id is null then
        perform saas_private.raise_error('PT404', 'connection not found');
    elsif delete_connection.confirm_name is distinct from target.name then
        perform saas_private.raise_fields('invalid input', 'confirm_name', 'must be the name of the connection');
    end if;
    -- The readings last: until its status is gone a poll may still add some.
    delete from saas.connection c where c.org_id = target.org_id and c.id = target.id;
    perform saas_private.deletes_readings();
    delete from saas.reading r where r.org_id = target.org_id and r.connection_id = target.id;
    perform saas_private.audit('connection.deleted', 'connection', target.id::text, jsonb_build_object('name', target.name));
    return jsonb_build_object('id', target.id, 'name', target.name);
end
$$;
alter function saas_api.delete_connection(uuid, text) owner to saas_owner;
comment on function saas_api.delete_connection(uuid, text) is
'Deletes a connection with its secrets and its history; confirm_name must be its name. Errors: PT401, PT403, PT404, 22023. For saas_user with manage_connections.';
