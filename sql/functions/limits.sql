-- What counts whatever becomes of the transaction: attempts, things used once,
-- sessions ended at once, notes.  Leans on errors and the tables of limits.

create function saas_private.take_attempt(kind text, subject text, free integer, base_wait interval,
                                          max_wait interval, window_length interval)
returns integer
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_take_attempt';
comment on function saas_private.take_attempt(text, text, integer, interval, interval, interval) is
'Counts an attempt before it is verified, whatever becomes of the transaction: 0 to go on, else the seconds to wait. The first free attempts go on; each further one waits after the one before for base_wait, doubled per attempt, at most max_wait. An attempt that must wait is not counted; all are forgotten when none was counted for window_length, and when the server restarts. When the memory is full, the subject with the fewest attempts is forgotten. Errors: 22023. For saas_service''s functions only.';

create function saas_private.forget_attempts(kind text, subject text) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_forget_attempts';
comment on function saas_private.forget_attempts(text, text) is
'Forgets the attempts that take_attempt has counted: the subject has proven itself. For saas_service''s functions only.';

create function saas_private.use_once(kind text, subject text, valid_for interval) returns boolean
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_use_once';
comment on function saas_private.use_once(text, text, interval) is
'True the first time within valid_for, at once for every session, whatever becomes of the transaction. Forgotten when the server restarts: what must stay used is written to a table too. Errors: 22023, PT503 when the memory is full. For saas_service''s functions only.';

create function saas_private.is_used(kind text, subject text) returns boolean
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_is_used';
comment on function saas_private.is_used(text, text) is
'Whether use_once has been called for it within its time. For saas_service''s functions only.';

create function saas_private.end_session_now(session_id uuid) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_end_session_now';
comment on function saas_private.end_session_now(uuid) is
'Ends a session at once, whatever becomes of the transaction: its access tokens are refused from here on, and the worker writes ended_at. A crash before that forgets it. Errors: PT503 when the memory is full. For saas_service''s functions only.';

create function saas_private.session_is_ended(session_id uuid) returns boolean
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_session_is_ended';
comment on function saas_private.session_is_ended(uuid) is
'Whether end_session_now has ended the session and the worker has not written it down yet; afterwards the row says it. For saas_service''s functions only.';

create function saas_private.use_refresh(session_id uuid, generation integer, valid_for interval) returns timestamptz
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_use_refresh';
comment on function saas_private.use_refresh(uuid, integer, interval) is
'Uses the refresh tokens of that generation of a session, whatever becomes of the transaction, and says when they were used first; -infinity when later ones were used already. Memory keeps it for valid_for, or until the worker has written rotated_at. Errors: 22023, PT503 when the memory is full. For saas_service''s functions only.';

create function saas_private.note(kind text, subject uuid, payload jsonb) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_note';
comment on function saas_private.note(text, uuid, jsonb) is
'Notes something whatever becomes of the transaction; the worker writes it with saas_private.write_note within seconds. A payload of 480 bytes or more becomes {"truncated": bytes}. When the journal is full the oldest notes are lost, as they are in a crash: saas.limits_status() counts the former. For saas_service''s functions only.';

create function saas.limits_status(out memory text, out capacity bigint, out used bigint, out lost bigint)
returns setof record
language c volatile parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_limits_status';
comment on function saas.limits_status() is
'One row per bounded memory of the server: its capacity and use in entries, and how many were evicted (requests, attempts), refused (used once, nonces, ended and refreshed sessions) or overwritten (journal) for want of room since the start. For saas_operator.';

create function saas_private.write_note(kind text, subject uuid, at timestamptz, payload jsonb) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if write_note.kind = 'session_ended' then
        update saas_private.session s set ended_at = write_note.at
         where s.id = write_note.subject and s.ended_at is null;
        return;
    elsif write_note.kind = 'refresh_used' then
        -- The use may have rolled back, or have said a later time than another
        -- one that has.
        update saas_private.refresh_token t set rotated_at = write_note.at
         where t.session_id = write_note.subject
           and t.generation <= (write_note.payload ->> 'generation')::integer
           and (t.rotated_at is null
                or (t.rotated_at > write_note.at and t.generation = (write_note.payload ->> 'generation')::integer));
        return;
    elsif write_note.kind = 'recovery_code_used' then
        update saas_private.recovery_code c set used_at = write_note.at
         where c.user_id = write_note.subject and c.used_at is null
           and c.code_hash = decode(write_note.payload ->> 'code_hash', 'hex');
        return;
    elsif write_note.kind = 'key_used' then
        update saas.api_key k set last_used_at = greatest(k.last_used_at, write_note.at)
         where k.org_id = (write_note.payload ->> 'org_id')::uuid and k.id = write_note.subject;
        return;
    elsif write_note.kind = 'data_key_used' then
        perform saas_private.count_data_key(write_note.subject, (write_note.payload ->> 'version')::integer,
                                            (write_note.payload ->> 'count')::bigint);
        return;
    end if;
    if write_note.kind in ('identity_assumed', 'mail_read', 'secret_revealed') then
        insert into saas.audit_event (org_id, at, actor_id, source, login, ticket_id, action, object_type, object_id, after, ip)
        values ((write_note.payload ->> 'org_id')::uuid, write_note.at,
                case write_note.kind when 'identity_assumed' then write_note.subject end, 'operator',
                write_note.payload ->> 'login',
                (select t.id from saas_private.ticket t
                  where t.org_id = (write_note.payload ->> 'org_id')::uuid and t.opened_by = write_note.payload ->> 'login'
                    and t.opened_at <= write_note.at and t.valid_until > write_note.at
                  order by t.opened_at desc limit 1),
                case write_note.kind when 'mail_read' then 'mail.read' when 'secret_revealed' then 'secret.revealed'
                                     else 'identity.assumed' end,
                case write_note.kind when 'mail_read' then 'mail' when 'secret_revealed' then 'connection' else 'user' end,
                write_note.subject::text, nullif(write_note.payload - array['org_id', 'login', 'ip'], '{}'), (write_note.payload ->> 'ip')::inet);
        return;
    end if;
    insert into saas_private.security_event (at, kind, subject, payload)
    values (write_note.at, write_note.kind, write_note.subject, coalesce(write_note.payload, '{}'));
    -- The sign-in that had to wait has rolled back, so the mail comes from here.
    if write_note.kind = 'sign_in' and write_note.payload ->> 'outcome' = 'locked_out' then
        perform saas_private.queue_mail(u.email, 'sign_in_lockout', '{}')
           from saas.app_user u where u.id = write_note.subject;
    end if;
end
$$;
alter function saas_private.write_note(text, uuid, timestamptz, jsonb) owner to saas_service;
comment on function saas_private.write_note(text, uuid, timestamptz, jsonb) is
'Writes down what was noted in the journal: session_ended ends the session, refresh_used and recovery_code_used use tokens and codes up, key_used says when an API key was used last, data_key_used counts what a data key has sealed, identity_assumed, mail_read and secret_revealed become events of the organization''s audit, everything else becomes a row of saas_private.security_event, and a sign-in that was locked out a mail too. For saas_service and the worker.';

create function saas_private.prune_security_events() returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted integer;
begin
    delete from saas_private.security_event e
     where e.id in (select o.id from saas_private.security_event o
                     where o.at < now() - interval '90 days' order by o.at limit 10000);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
alter function saas_private.prune_security_events() owner to saas_service;
comment on function saas_private.prune_security_events() is
'Deletes up to 10,000 security events older than 90 days and returns how many. For saas_service and the worker, which calls it every hour.';

-- The one place that says which limit counts.
create function saas_private.organization_limit(org_id uuid, out max_requests integer, out window_length interval)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select l.max_requests, l.window_length
      from saas.rate_limit l
      left join saas.organization o on o.id = organization_limit.org_id
     where l.scope = 'organization' and (l.org_id is null or l.org_id = o.id)
        or l.scope = 'plan' and l.plan = o.plan
     order by l.org_id is null, l.scope = 'organization'
     limit 1
$$;
alter function saas_private.organization_limit(uuid) owner to saas_service;
comment on function saas_private.organization_limit(uuid) is
'The limit of an organization: its own, else its plan''s, else that of all, which is also what users without an organization have (NULL). NULL when the operator has deleted it.';

create function saas_private.api_key_limit(org_id uuid, api_key_id uuid,
                                           out max_requests integer, out window_length interval)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select c.max_requests, c.window_length
      from (select l.max_requests, l.window_length
              from saas.rate_limit l
             where l.scope = 'key' and l.org_id = api_key_limit.org_id and l.api_key_id = api_key_limit.api_key_id
            union all
            select k.max_requests, k.window_length
              from saas.api_key k
             where k.org_id = api_key_limit.org_id and k.id = api_key_limit.api_key_id
               and k.max_requests is not null) c
     order by c.max_requests / extract(epoch from c.window_length), c.max_requests
     limit 1
$$;
alter function saas_private.api_key_limit(uuid, uuid) owner to saas_service;
comment on function saas_private.api_key_limit(uuid, uuid) is
'The limit of an API key: of what its organization and the operator have set the one with fewer requests per time; NULL without any.';

create function saas_private.check_rate_limit(address inet default null, out allowed boolean,
                                              out max_requests integer, out remaining integer,
                                              out reset_seconds integer, out retry_after integer)
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_check_rate_limit';
comment on function saas_private.check_rate_limit(inet) is
'Counts one request of the identity''s organization (without one: of its user; without an identity: of the address, the client''s own when NULL; IPv6 by its /64), and besides of its API key where that has a limit: both must allow. Says whether it is within the limits and, of the tighter one, how many remain, in how many seconds all are there again, and how long to wait. Counts whatever becomes of the transaction, in READ ONLY ones and on a standby too; forgotten when the server restarts. An exceeded limit is noted at most once per second. For saas_service''s functions only.';

create function saas_private.require_plan(plan text) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := lower(btrim(require_plan.plan));
begin
    if wanted = 'professional' then
        wanted := 'pro';
    end if;
    if wanted is null or not exists (select from saas.plan p where p.name = wanted) then
        perform saas_private.raise_fields('invalid input', 'plan', 'must be a plan that exists');
    end if;
    return wanted;
end
$$;
alter function saas_private.require_plan(text) owner to saas_service;
comment on function saas_private.require_plan(text) is
'The name of a plan, which professional is another one of pro''s for. 22023 for none.';

create function saas.set_plan(org_id uuid, plan text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := saas_private.require_plan(set_plan.plan);
    old text;
begin
    select o.plan into old from saas.organization o where o.id = set_plan.org_id for update;
    update saas.organization o set plan = wanted, updated_at = now() where o.id = set_plan.org_id;
    if not found then
        perform saas_private.raise_error('PT404', 'organization not found');
    end if;
    perform saas_private.audit('organization.plan_changed', 'organization', set_plan.org_id::text,
        jsonb_build_object('plan', old), jsonb_build_object('plan', wanted), set_plan.org_id);
end
$$;
alter function saas.set_plan(uuid, text) owner to saas_service;
comment on function saas.set_plan(uuid, text) is
'Puts an organization on a plan of saas.plan: free, starter, pro (or professional), enterprise. Limits that go with it count within two seconds. Errors: 22023 with the field plan, PT404. For saas_operator.';

-- Which of org_id, plan and api_key_id a scope takes.
create function saas_private.check_limit_subject(scope text, org_id uuid, plan text, api_key_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    is_key boolean := check_limit_subject.scope = 'key';
begin
    if check_limit_subject.scope is null
       or check_limit_subject.scope not in ('organization', 'plan', 'key', 'address') then
        perform saas_private.raise_fields('invalid input', 'scope', 'must be organization, plan, key or address');
    elsif check_limit_subject.scope in ('plan', 'address') and check_limit_subject.org_id is not null then
        perform saas_private.raise_fields('invalid input', 'org_id', 'must be null for plans and addresses');
    elsif is_key and check_limit_subject.org_id is null then
        perform saas_private.raise_fields('invalid input', 'org_id', 'must be the organization of the API key');
    elsif is_key <> (check_limit_subject.api_key_id is not null) then
        perform saas_private.raise_fields('invalid input', 'api_key_id', 'belongs to the scope key');
    elsif (check_limit_subject.scope = 'plan') <> (check_limit_subject.plan is not null) then
        perform saas_private.raise_fields('invalid input', 'plan', 'belongs to the scope plan');
    elsif check_limit_subject.org_id is not null
          and not exists (select from saas.organization o where o.id = check_limit_subject.org_id) then
        perform saas_private.raise_error('PT404', 'organization not found');
    elsif is_key and not exists (select from saas.api_key k where k.org_id = check_limit_subject.org_id
                                                              and k.id = check_limit_subject.api_key_id) then
        perform saas_private.raise_error('PT404', 'API key not found');
    end if;
end
$$;
alter function saas_private.check_limit_subject(text, uuid, text, uuid) owner to saas_service;
comment on function saas_private.check_limit_subject(text, uuid, text, uuid) is
'Raises 22023 unless the scope of a limit goes with organization, plan and API key, PT404 for one that is not there.';

create function saas_private.check_limit(max_requests integer, window_length interval) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(check_limit.max_requests, 0) not between 1 and 1000000000 then
        perform saas_private.raise_fields('invalid input', 'max_requests', 'must be from 1 to 1000000000');
    end if;
    if check_limit.window_length is null
       or check_limit.window_length not between interval '1 second' and interval '1 day' then
        perform saas_private.raise_fields('invalid input', 'window_length', 'must be from one second to one day');
    end if;
end
$$;
comment on function saas_private.check_limit(integer, interval) is
'Raises 22023 unless it is a number of requests and a window that a limit can have.';

create function saas.set_rate_limit(scope text, org_id uuid, max_requests integer,
                                    window_length interval default '15 minutes',
                                    plan text default null, api_key_id uuid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted_plan text := case when set_rate_limit.plan is not null
                             then saas_private.require_plan(set_rate_limit.plan) end;
    old jsonb;
begin
    perform saas_private.check_limit_subject(set_rate_limit.scope, set_rate_limit.org_id, wanted_plan,
                                             set_rate_limit.api_key_id);
    select jsonb_build_object('max_requests', l.max_requests, 'window_length', l.window_length) into old
      from saas.rate_limit l
     where l.scope = set_rate_limit.scope and l.org_id is not distinct from set_rate_limit.org_id
       and l.plan is not distinct from wanted_plan and l.api_key_id is not distinct from set_rate_limit.api_key_id;
    -- The limits that everybody falls back to are only replaced.
    if set_rate_limit.max_requests is null and (set_rate_limit.org_id is not null or wanted_plan is not null) then
        delete from saas.rate_limit l
         where l.scope = set_rate_limit.scope and l.org_id is not distinct from set_rate_limit.org_id
           and l.plan is not distinct from wanted_plan and l.api_key_id is not distinct from set_rate_limit.api_key_id;
        if found then
            perform saas_private.audit_limit('rate_limit.removed', set_rate_limit.scope, set_rate_limit.org_id, wanted_plan,
                                             set_rate_limit.api_key_id, old, null);
        end if;
        return;
    end if;
    perform saas_private.check_limit(set_rate_limit.max_requests, set_rate_limit.window_length);
    insert into saas.rate_limit (scope, org_id, plan, api_key_id, max_requests, window_length)
    values (set_rate_limit.scope, set_rate_limit.org_id, wanted_plan, set_rate_limit.api_key_id,
            set_rate_limit.max_requests, set_rate_limit.window_length)
    on conflict on constraint rate_limit_one_each
    do update set max_requests = excluded.max_requests, window_length = excluded.window_length, changed_at = now();
    perform saas_private.audit_limit('rate_limit.set', set_rate_limit.scope, set_rate_limit.org_id, wanted_plan,
        set_rate_limit.api_key_id, old, jsonb_build_object('max_requests', set_rate_limit.max_requests,
                                                           'window_length', set_rate_limit.window_length));
end
$$;
alter function saas.set_rate_limit(text, uuid, integer, interval, text, uuid) owner to saas_service;
comment on function saas.set_rate_limit(text, uuid, integer, interval, text, uuid) is
'Sets how many requests may be made per window, from one second to one day; it counts within two seconds. scope organization: by the organization (org_id NULL: by every one without a limit of its own or its plan''s); plan: by each organization on the plan; key: by the API key of org_id, besides what its organization may; address: by an anonymous address. NULL requests take an organization''s, a plan''s or a key''s limit away. Errors: 22023 with fields, PT404. For saas_operator.';

create function saas_api.set_api_key_rate_limit(api_key_id uuid, max_requests integer,
                                                window_length interval default '15 minutes')
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    own_window interval := coalesce(set_api_key_rate_limit.window_length, interval '15 minutes');
    ceiling record;
    old record;
begin
    perform saas.require_permission('manage_applications');
    perform saas_private.refuse_api_key();
    org := saas.org_if('manage_applications');
    if set_api_key_rate_limit.max_requests is not null then
        perform saas_private.check_limit(set_api_key_rate_limit.max_requests, own_window);
        ceiling := saas_private.organization_limit(org);
        if set_api_key_rate_limit.max_requests * extract(epoch from ceiling.window_length)
           > ceiling.max_requests * extract(epoch from own_window) then
            perform saas_private.raise_fields('invalid input', 'max_requests',
                format('must not be more than the organization''s %s in %s seconds', ceiling.max_requests,
                       extract(epoch from ceiling.window_length)::integer));
        end if;
    end if;
    select k.name, k.max_requests, k.window_length into old
      from saas.api_key k where k.org_id = org and k.id = set_api_key_rate_limit.api_key_id;
    update saas.api_key k
       set max_requests = set_api_key_rate_limit.max_requests,
           window_length = case when set_api_key_rate_limit.max_requests is not null then own_window end
     where k.org_id = org and k.id = set_api_key_rate_limit.api_key_id;
    if not found then
        perform saas_private.raise_error('PT404', 'API key not found');
    end if;
    perform saas_private.audit('api_key.limit_changed', 'api_key', set_api_key_rate_limit.api_key_id::text, to_jsonb(old),
        jsonb_build_object('name', old.name, 'max_requests', set_api_key_rate_limit.max_requests,
                           'window_length', own_window));
    return saas_private.api_key_json(set_api_key_rate_limit.api_key_id);
end
$$;
alter function saas_api.set_api_key_rate_limit(uuid, integer, interval) owner to saas_owner;
comment on function saas_api.set_api_key_rate_limit(uuid, integer, interval) is
'Sets how many requests an API key of the organization may make per window, from one second to one day, besides what the organization may; NULL requests take the limit away. It counts within two seconds. Answers the row of api_keys. Errors: PT401, PT403 (with an API key too), PT404, 22023 with fields, also for more per time than the organization may. For saas_user with manage_applications.';
