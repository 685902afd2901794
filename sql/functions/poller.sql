-- The worker's SQL side.  Leans on connections and metrics tables.

create procedure saas.poll(max_connections integer default null)
language c
as 'MODULE_PATHNAME', 'pg_saas_poll';
comment on procedure saas.poll(integer) is
'Polls the connections that are due, at most max_connections (all when NULL), in the calling session, as the worker would. Runs outside a transaction block: call saas.poll() alone. Errors: 22023 for a negative number, 2D000 inside a transaction block, 55000 before saas.install() and where it must not poll, as in a copy, PT403. For superusers and members of saas_operator.';

create function saas.poller_status(out database name, out pid integer, out state text,
                                   out in_flight integer, out due integer, out lag interval,
                                   out polls bigint, out failures bigint, out last_poll_at timestamptz,
                                   out last_error text, out worker integer, out started_at timestamptz,
                                   out waiting integer, out polls_per_second double precision,
                                   out sweep_started_at timestamptz, out sweep_done bigint, out sweep_left bigint,
                                   out sweep_time_left interval)
returns setof record
language c volatile parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_poller_status';
comment on function saas.poller_status() is
'One row per poller: saas.poller_workers of each database, numbered from 0, or the first alone while none runs. Its process and state (stopped, starting, not installed, copy, other version, not migrated, disabled, idle, polling; docs/install.md); polls in_flight and waiting for a limit''s sake; polls and failures since the poller''s start, polls_per_second of the last minute, and the SQLSTATE of the last failure, whose text is the tenant''s, in saas_api.connections. Worker 0 also looks, once a second at most, at what all have before them: due (counted to 100,000) and lag, how late the oldest is. sweep_*: since when something was due without a break, this poller''s polls since, what is left, and how long that will take at this pace; NULL while nothing is due. For saas_operator.';

-- After the row that they repeat was written, and by its new content alone.
create function saas_private.repeat_connection_activity() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.connection_status s
       set is_active = new.is_active
     where s.org_id = new.org_id and s.connection_id = new.id;
    return null;
end
$$;
alter function saas_private.repeat_connection_activity() owner to saas_service;
comment on function saas_private.repeat_connection_activity() is
'Trigger of saas.connection: writes is_active into the connection''s status, whose indexes leave out what is turned off.';

create function saas_private.take_over_connection_activity() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.connection_status s
       set is_active = false
      from saas.connection c
     where c.org_id = new.org_id and c.id = new.connection_id and not c.is_active
       and s.org_id = new.org_id and s.connection_id = new.connection_id;
    return null;
end
$$;
alter function saas_private.take_over_connection_activity() owner to saas_service;
comment on function saas_private.take_over_connection_activity() is
'Trigger of saas.connection_status: the same for a connection that is made turned off.';

create function saas_private.settle_closed_organizations() returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    reopened integer;
    closed integer;
begin
    -- From one organization to the next, not through all that each has.  The orders keep to the
    -- partial indexes: a scan of the table that finds nothing reads all of it.
    with recursive closed_org as (
        select (select s.org_id from saas.connection_status s where not s.is_open order by s.org_id limit 1) as org_id
         union all
        select (select s.org_id from saas.connection_status s where not s.is_open and s.org_id > c.org_id
                 order by s.org_id limit 1)
          from closed_org c where c.org_id is not null
    ), open_again as (
        select s.org_id, s.connection_id
          from closed_org c
          join saas.organization o on o.id = c.org_id and o.status = 'active'
         cross join lateral (select p.org_id, p.connection_id from saas.connection_status p
                              where p.org_id = c.org_id and not p.is_open
                              order by p.connection_id limit 2000) as s
         limit 2000
    )
    update saas.connection_status s
       set is_open = true
      from (select h.org_id, h.connection_id from open_again a
              join saas.connection_status h on h.org_id = a.org_id and h.connection_id = a.connection_id
               for no key update of h skip locked) as held
     where s.org_id = held.org_id and s.connection_id = held.connection_id;
    get diagnostics reopened = row_count;
    with left_due as (
        select s.org_id, s.connection_id
          from saas.organization o
         cross join lateral (select p.org_id, p.connection_id from saas.connection_status p
                              where p.org_id = o.id and p.is_active and p.is_open and p.next_poll_at <= now()
                                and (p.lease_until is null or p.lease_until < now())
                              order by p.next_poll_at limit 2000) as s
         where o.status <> 'active'
         limit 2000
    ), closed_org as (
        -- It stays closed until the end of this transaction, or it is left for the next time.
        select o.id from saas.organization o
         where o.id in (select d.org_id from left_due d) and o.status <> 'active'
           for share skip locked
    )
    update saas.connection_status s
       set is_open = false
      from (select h.org_id, h.connection_id from left_due d
              join closed_org c on c.id = d.org_id
              join saas.connection_status h on h.org_id = d.org_id and h.connection_id = d.connection_id
               for no key update of h skip locked) as held
     where s.org_id = held.org_id and s.connection_id = held.connection_id;
    get diagnostics closed = row_count;
    return reopened + closed;
end
$$;
alter function saas_private.settle_closed_organizations() owner to saas_service;
comment on function saas_private.settle_closed_organizations() is
'Takes what is due of organizations that are not active out of the poller''s indexes, and puts back what belongs to those that are open again: up to 2000 connections each, none that somebody has locked. Returns how many. For the worker, which calls it before it claims, once a second at most.';

create function saas_private.require_weight(weight integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_weight.weight not between 1 and 100 then
        perform saas_private.raise_fields('invalid input', 'weight', 'must be between 1 and 100');
    end if;
end
$$;
comment on function saas_private.require_weight(integer) is
'22023 for a weight that is not 1 to 100; NULL is none.';

create function saas.set_plan_weight(plan text, weight integer) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted text := saas_private.require_plan(set_plan_weight.plan);
    old integer;
begin
    perform saas_private.require_weight(coalesce(set_plan_weight.weight, 0));
    select p.poll_weight into old from saas.plan p where p.name = wanted for no key update;
    update saas.plan p set poll_weight = set_plan_weight.weight where p.name = wanted;
    perform saas_private.audit('plan.weight_changed', 'plan', wanted, jsonb_build_object('poll_weight', old),
        jsonb_build_object('poll_weight', set_plan_weight.weight), '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.set_plan_weight(text, integer) owner to saas_service;
comment on function saas.set_plan_weight(text, integer) is
'Sets how many polls organizations on a plan start in a turn, 1 to 100, from the next claim on. Errors: 22023 with the field plan or weight. For saas_operator.';

create function saas.set_organization_weight(org_id uuid, weight integer) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    old integer;
begin
    perform saas_private.require_weight(set_organization_weight.weight);
    select o.poll_weight into old from saas.organization o
     where o.id = set_organization_weight.org_id for no key update;
    if not found then
        perform saas_private.raise_error('PT404', 'organization not found');
    end if;
    update saas.organization o set poll_weight = set_organization_weight.weight, updated_at = now()
     where o.id = set_organization_weight.org_id;
    perform saas_private.audit('organization.weight_changed', 'organization', set_organization_weight.org_id::text,
        jsonb_build_object('poll_weight', old), jsonb_build_object('poll_weight', set_organization_weight.weight),
        set_organization_weight.org_id);
end
$$;
alter function saas.set_organization_weight(uuid, integer) owner to saas_service;
comment on function saas.set_organization_weight(uuid, integer) is
'Sets how many polls one organization starts in a turn, 1 to 100, from the next claim on; NULL: as many as its plan says. Errors: 22023 with the field weight, PT404. For saas_operator.';

create function saas_private.prune_poller_history() returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    keep_days constant integer := current_setting('saas.poller_history_retention')::integer;
    deleted integer;
begin
    delete from saas.poller_history h
     using (select o.org_id, o.connection_id, o.hour_at from saas.poller_history o
             where o.hour_at < now() - make_interval(days => keep_days) order by o.hour_at limit 10000) as old
     where h.org_id = old.org_id and h.connection_id = old.connection_id and h.hour_at = old.hour_at;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
alter function saas_private.prune_poller_history() owner to saas_service;
comment on function saas_private.prune_poller_history() is
'Deletes up to 10,000 rows of saas.poller_history older than saas.poller_history_retention days and returns how many. For saas_service and the worker, which calls it every hour.';

create function saas.poller_totals(since timestamptz default now() - interval '24 hours')
returns table (hour_at timestamptz, organizations bigint, connections bigint, polls bigint, failures bigint,
               samples bigint, average_ms bigint, max_ms integer, average_late_ms bigint, max_late_ms bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_installed();
    return query
    select h.hour_at, count(distinct h.org_id), count(*), sum(h.polls)::bigint, sum(h.failures)::bigint,
           sum(h.samples)::bigint, (sum(h.duration_ms) / greatest(sum(h.polls), 1))::bigint, max(h.max_duration_ms),
           (sum(h.late_ms) / greatest(sum(h.polls), 1))::bigint, max(h.max_late_ms)
      from saas.poller_history h
     where h.hour_at >= poller_totals.since
     group by h.hour_at
     order by h.hour_at;
end
$$;
alter function saas.poller_totals(timestamptz) owner to saas_service;
comment on function saas.poller_totals(timestamptz) is
'How all polls went, by hour (UTC) since then, of no organization in particular: how many organizations and connections were polled, polls, failures and samples, and in milliseconds how long polls took and how late they began. Reads saas.poller_history. Errors: 55000 before saas.install(). For saas_operator.';

-- Partitions are made apart and attached, so that the parent is locked for an
-- instant only.  They have row-level security and no policy of their own:
-- read directly they show nothing.
create function saas_private.ensure_reading_partition(at timestamptz) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    from_time timestamptz := date_trunc('week', ensure_reading_partition.at);
    part text := format('reading_%s', to_char(from_time, 'IYYY_"w"IW'));
begin
    if to_regclass('saas.' || quote_ident(part)) is not null then
        return;
    end if;
    -- Nobody else may lock this table, as they may any advisory key.
    lock table saas_private.installation in share row exclusive mode;
    -- By a query: to_regclass may still answer from before the wait.
    if exists (select from pg_class c where c.relnamespace = 'saas'::regnamespace and c.relname = part) then
        return;
    end if;
    execute format('create table saas.%I (like saas.reading including defaults including constraints)', part);
    execute format('alter table saas.%I enable row level security', part);
    execute format('alter table saas.%I force row level security', part);
    execute format('alter table saas.reading attach partition saas.%I for values from (%L) to (%L)',
                   part, from_time, from_time + interval '1 week');
end
$$;
alter function saas_private.ensure_reading_partition(timestamptz) owner to saas_owner;
comment on function saas_private.ensure_reading_partition(timestamptz) is
'Makes the weekly partition of saas.reading that holds the time, if it is missing.';
