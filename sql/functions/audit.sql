-- The audit of committed changes, and the chain that seals it.  Leans on
-- identity, requests, vault.

create function saas_private.audit(action text, object_type text, object_id text, before jsonb default null,
                                   after jsonb default null, org_id uuid default null)
returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_audit';
comment on function saas_private.audit(text, text, text, jsonb, jsonb, uuid) is
'Appends one event to the audit of org_id; NULL: of the identity''s organization, without one of the platform. Call it after the change, in its transaction. action is object.verb in lower case and past tense: member.role_changed. before and after are masked (saas_private.mask_secrets), and object_id is cut at 255 bytes. Errors: 22023, 23514 for another action or object type. For the functions of saas_owner and saas_service.';

create function saas_private.mask_secrets(value jsonb) returns jsonb
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_mask';
comment on function saas_private.mask_secrets(jsonb) is
'The value as the audit keeps it: "(masked)" in place of what looks like a key, token, password''s hash, sealed value or private key, and of everything but booleans and null below a name that says password, secret, token and the like, at any depth. Strings above 1 kB show their beginning and length, of values above 8 kB the large members only their size, or all only their names; of long strings what is shown is judged. For saas_owner''s and saas_service''s functions.';

create function saas_private.refuse_change() returns trigger
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_refuse_change';
comment on function saas_private.refuse_change() is
'The trigger of the audit''s tables: refuses whatever statement it is for, with PT403, to superusers too.';

create procedure saas.seal_audit()
language c
as 'MODULE_PATHNAME', 'pg_saas_seal_audit';
comment on procedure saas.seal_audit() is
'Seals every committed event of every organization''s audit that has no seal yet, as the worker does every three seconds, and erases the audit of organizations that are gone but for the head of its chain. Waits for whoever else seals. Runs outside a transaction block: call saas.seal_audit() alone. Errors: 2D000 inside a transaction block, 55000 before saas.install() or without a usable master key. For superusers and members of saas_operator.';

create function saas_private.audit_point(org_id uuid, out sequence bigint, out hash bytea, out at timestamptz,
                                         out key_version integer, out mac bytea)
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_audit_point';
comment on function saas_private.audit_point(uuid) is
'The head of an organization''s chain with the time and a MAC of both; NULL when nothing is sealed. Errors: PT409 when the head was tampered with, 55000 without a usable master key. For saas_service''s functions only.';

create function saas_private.verify_chain(org_id uuid, point_sequence bigint, point_hash bytea, point_at timestamptz,
                                          point_key_version integer, point_mac bytea,
                                          out is_intact boolean, out first_sequence bigint, out last_sequence bigint,
                                          out checked bigint, out unsealed bigint, out broken_sequence bigint,
                                          out event_id uuid, out problem text)
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_verify_chain';
comment on function saas_private.verify_chain(uuid, bigint, bytea, timestamptz, integer, bytea) is
'What saas.verify_audit() says; without a checkpoint when a part of it is NULL. For saas_service''s functions only.';

create function saas_private.erase_audit(org_id uuid, through bigint, max_entries integer) returns bigint
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_erase_audit';
comment on function saas_private.erase_audit(uuid, bigint, integer) is
'Erases an audit''s oldest entries, up to and with the sequence, and moves the chain''s start; how many. Errors: PT409 when the chain was tampered with, 55000. For saas_service''s functions only.';

create function saas_private.audit_checkpoint(org_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    point record;
begin
    perform saas_private.require_installed();
    select * into point from saas_private.audit_point(audit_checkpoint.org_id);
    if point.sequence is null then
        return null;
    end if;
    return jsonb_build_object('org_id', audit_checkpoint.org_id, 'sequence', point.sequence,
                              'hash', encode(point.hash, 'hex'), 'at', point.at,
                              'key_version', point.key_version, 'mac', encode(point.mac, 'hex'));
end
$$;
alter function saas_private.audit_checkpoint(uuid) owner to saas_service;
comment on function saas_private.audit_checkpoint(uuid) is
'The checkpoint that saas.audit_checkpoint() and saas_api.audit_checkpoint() give.';

create function saas_private.verify_audit(org_id uuid, checkpoint jsonb,
                                          out is_intact boolean, out first_sequence bigint, out last_sequence bigint,
                                          out checked bigint, out unsealed bigint, out broken_sequence bigint,
                                          out event_id uuid, out problem text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given jsonb := nullif(verify_audit.checkpoint, 'null');
    given_at timestamptz;
begin
    perform saas_private.require_installed();
    if given is not null
       and (jsonb_typeof(given) <> 'object'
            or coalesce(given ->> 'org_id', '') <> verify_audit.org_id::text
            or coalesce(given ->> 'sequence', '') !~ '^\d{1,18}$'
            or coalesce(given ->> 'key_version', '') !~ '^\d{1,9}$'
            or coalesce(given ->> 'hash', '') !~ '^[0-9a-f]{64}$'
            or coalesce(given ->> 'mac', '') !~ '^[0-9a-f]{64}$'
            or coalesce(given ->> 'at', '') !~ '^\d{4}-\d\d-\d\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d{1,6})?[+-][01]\d:[0-5]\d$') then
        perform saas_private.raise_fields('invalid input', 'checkpoint',
                                          'must be a checkpoint of this organization''s audit');
    end if;
    begin
        given_at := given ->> 'at';
    exception when datetime_field_overflow then
        perform saas_private.raise_fields('invalid input', 'checkpoint', 'must have a time that there is');
    end;
    select v.* into is_intact, first_sequence, last_sequence, checked, unsealed, broken_sequence, event_id, problem
      from saas_private.verify_chain(verify_audit.org_id, (given ->> 'sequence')::bigint,
                                     decode(given ->> 'hash', 'hex'), given_at,
                                     (given ->> 'key_version')::integer, decode(given ->> 'mac', 'hex')) v;
end
$$;
alter function saas_private.verify_audit(uuid, jsonb) owner to saas_service;
comment on function saas_private.verify_audit(uuid, jsonb) is
'What saas.verify_audit() and saas_api.verify_audit() say.';

create function saas.verify_audit(org_id uuid, checkpoint jsonb default null,
                                  out is_intact boolean, out first_sequence bigint, out last_sequence bigint,
                                  out checked bigint, out unsealed bigint, out broken_sequence bigint,
                                  out event_id uuid, out problem text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select * from saas_private.verify_audit(coalesce(verify_audit.org_id, '00000000-0000-0000-0000-000000000000'),
                                            verify_audit.checkpoint)
$$;
alter function saas.verify_audit(uuid, jsonb) owner to saas_service;
comment on function saas.verify_audit(uuid, jsonb) is
'Computes the chain over an organization''s audit anew (NULL: the platform''s) and says whether it is intact: the first entry kept, the last one sealed, how many hold, how many events wait for their seal, and of the first entry that does not hold the sequence, the event and the problem. With a checkpoint also whether the chain still runs through it. Reads the whole chain. Errors: 22023 for a checkpoint of something else, 55000 before saas.install() or without a usable master key. For saas_operator.';

create function saas.audit_checkpoint(org_id uuid) returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select saas_private.audit_checkpoint(coalesce(audit_checkpoint.org_id, '00000000-0000-0000-0000-000000000000'))
$$;
alter function saas.audit_checkpoint(uuid) owner to saas_service;
comment on function saas.audit_checkpoint(uuid) is
'The head of an organization''s chain (NULL: the platform''s) to keep elsewhere: {"org_id", "sequence", "hash", "at", "key_version", "mac"}. saas.verify_audit() shows with it that nothing up to there was changed since, by a superuser either. NULL when nothing is sealed. Errors: PT409 when the head was tampered with, 55000 before saas.install() or without a usable master key. For saas_operator.';

create function saas_api.verify_audit(checkpoint jsonb default null) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('view_reports');
    return (select to_jsonb(v) from saas_private.verify_audit(saas.org_if('view_reports'), verify_audit.checkpoint) v);
end
$$;
alter function saas_api.verify_audit(jsonb) owner to saas_service;
comment on function saas_api.verify_audit(jsonb) is
'Whether the organization''s audit is intact: {is_intact, first_sequence, last_sequence, checked, unsealed, broken_sequence, event_id, problem}; with a checkpoint also whether its chain still runs through it. Errors: PT401, PT403, 22023, 55000 without a usable master key. For saas_user with view_reports.';

create function saas_api.audit_checkpoint() returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('view_reports');
    return saas_private.audit_checkpoint(saas.org_if('view_reports'));
end
$$;
alter function saas_api.audit_checkpoint() owner to saas_service;
comment on function saas_api.audit_checkpoint() is
'The head of the chain over the organization''s audit, to keep elsewhere and give to verify_audit later; NULL when nothing is sealed yet. Errors: PT401, PT403, PT409 when the head was tampered with, 55000 without a usable master key. For saas_user with view_reports.';

create function saas.prune_audit(org_id uuid, before timestamptz) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid := coalesce(prune_audit.org_id, '00000000-0000-0000-0000-000000000000');
    through bigint;
    erased bigint;
begin
    perform saas_private.require_installed();
    if prune_audit.before is null or prune_audit.before > now() - interval '30 days' then
        perform saas_private.raise_fields('invalid input', 'before', 'must be at least 30 days ago');
    end if;
    -- Up to the first one to keep: the middle of a chain stays.
    select coalesce((select min(s.sequence) - 1
                       from saas_private.audit_seal s
                       join saas.audit_event e on e.org_id = s.org_id and e.id = s.event_id
                      where s.org_id = c.org_id and e.at >= prune_audit.before), c.sequence)
      into through
      from saas_private.audit_chain c
     where c.org_id = org;
    if through is null then
        return 0;
    end if;
    erased := saas_private.erase_audit(org, through, 100000);
    if erased > 0 then
        perform saas_private.audit('audit.pruned', 'audit', null, null,
            jsonb_build_object('before', prune_audit.before, 'entries', erased), org);
    end if;
    return erased;
end
$$;
alter function saas.prune_audit(uuid, timestamptz) owner to saas_service;
comment on function saas.prune_audit(uuid, timestamptz) is
'Erases the sealed events of an organization''s audit (NULL: the platform''s) from its beginning up to the first one that is not older, at most 100,000 at a time, and returns how many: call it until that is 0. The chain goes on from where it was cut. Errors: 22023 for a time less than 30 days ago, PT409 when the chain was tampered with, 55000 before saas.install() or without a usable master key. For saas_operator.';

create function saas_private.my_activity()
returns table (org_id uuid, id uuid, at timestamptz, actor_id uuid, actor_name text, action text, object_type text,
               object_id text, object_name text, summary text)
language plpgsql stable security definer rows 1000
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select e.org_id, e.id, e.at, e.actor_id, n.actor_name, e.action, e.object_type, e.object_id, n.object_name,
           concat_ws(' ', n.actor_name, replace(split_part(e.action, '.', 2), '_', ' '),
                     replace(split_part(e.action, '.', 1), '_', ' '), n.object_name)
      from saas.audit_event e
      left join saas.app_user u on u.id = e.actor_id
     cross join lateral (select case when e.source in ('operator', 'superuser') then 'The operator'
                                     when e.source <> 'database' then coalesce(saas.full_name(u.first_name, u.last_name), 'A former user')
                                     -- A sign-up or a mailed link comes through the gateway's login.
                                     when pg_has_role(to_regrole(quote_ident(e.login)), 'saas_operator', 'member') then 'The operator'
                                     else 'Somebody not signed in' end,
                                -- Who sees the feed need not be one who may read the application's rows.
                                case when e.action !~ '^row\.' then left(coalesce(e.after ->> 'name', e.before ->> 'name'), 255) end)
                                as n (actor_name, object_name)
     where e.org_id = saas.org_if('view_dashboard')
     order by e.id desc
     limit 1000;
end
$$;
alter function saas_private.my_activity() owner to saas_service;
comment on function saas_private.my_activity() is
'The newest thousand events of the organization''s audit without what they changed and without names out of rows of the application, newest first; none without view_dashboard.';

-- What concerns a person concerns each organization that they belong to.
create function saas_private.audit_user(action text, user_id uuid, before jsonb default null, after jsonb default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit(audit_user.action, 'user', audit_user.user_id::text, audit_user.before,
                               audit_user.after, c.org_id)
       from (select m.org_id from saas.membership m where m.user_id = audit_user.user_id
             union all
             select '00000000-0000-0000-0000-000000000000') as c (org_id);
end
$$;
alter function saas_private.audit_user(text, uuid, jsonb, jsonb) owner to saas_service;
comment on function saas_private.audit_user(text, uuid, jsonb, jsonb) is
'Appends an event about a user to the audit of each of their organizations and to the platform''s. For saas_service''s functions only.';

-- Before they end: what ends with a person or a membership would be gone unsaid.
create function saas_private.audit_keys_ended(user_id uuid, org_id uuid default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit('api_key.revoked', 'api_key', k.id::text,
                               jsonb_build_object('name', k.name, 'prefix', k.prefix), null, k.org_id)
       from saas.api_key k
      where k.created_by = audit_keys_ended.user_id and k.revoked_at is null
        and k.org_id = coalesce(audit_keys_ended.org_id, k.org_id);
end
$$;
alter function saas_private.audit_keys_ended(uuid, uuid) owner to saas_service;
comment on function saas_private.audit_keys_ended(uuid, uuid) is
'Appends an event to their organizations'' audits for each API key of a person that is about to be revoked; with an organization for those there only. For saas_service''s functions only.';

create function saas_private.audit_logins_ended(user_id uuid, org_id uuid default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit('login.unmapped', 'login', m.login::text, jsonb_build_object('user_id', m.user_id), null, m.org_id)
       from saas_private.login_mapping m
      where m.user_id = audit_logins_ended.user_id and m.org_id = coalesce(audit_logins_ended.org_id, m.org_id);
end
$$;
alter function saas_private.audit_logins_ended(uuid, uuid) owner to saas_service;
comment on function saas_private.audit_logins_ended(uuid, uuid) is
'The same for a person''s mapped database logins. For saas_service''s functions only.';

create function saas_private.audit_limit(action text, scope text, org_id uuid, plan text, api_key_id uuid,
                                         before jsonb, after jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.audit(audit_limit.action, 'rate_limit',
        concat_ws(' ', audit_limit.scope, audit_limit.plan, audit_limit.api_key_id), audit_limit.before, audit_limit.after,
        coalesce(audit_limit.org_id, '00000000-0000-0000-0000-000000000000'));
end
$$;
alter function saas_private.audit_limit(text, text, uuid, text, uuid, jsonb, jsonb) owner to saas_service;
comment on function saas_private.audit_limit(text, text, uuid, text, uuid, jsonb, jsonb) is
'Appends an event about a limit of requests to the audit of its organization, or to the platform''s. For saas_service''s functions only.';
