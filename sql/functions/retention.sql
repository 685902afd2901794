-- How long metrics are kept and shown, by plan and level.  Leans on plans,
-- the tables of metrics and rollups.

create function saas_private.retention_of(org_id uuid, out raw_since timestamptz, out five_since timestamptz,
                                          out hour_since timestamptz, out day_since timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Days of 24 hours: others would depend on the session's time zone.
    select coalesce(now() - make_interval(hours => 24 * p.retention_days), '-infinity'),
           coalesce(now() - make_interval(hours => 24 * p.retention_5m_days), '-infinity'),
           coalesce(now() - make_interval(hours => 24 * p.retention_1h_days), '-infinity'),
           coalesce(now() - make_interval(hours => 24 * p.retention_1d_days), '-infinity')
      into raw_since, five_since, hour_since, day_since
      from saas.organization o join saas.plan p on p.name = o.plan
     where o.id = retention_of.org_id;
end
$$;
alter function saas_private.retention_of(uuid) owner to saas_service;
comment on function saas_private.retention_of(uuid) is
'How far back an organization''s plan keeps readings and rollups of 5 minutes, an hour and a day. For the functions of saas_owner and saas_service.';

create function saas.visible_since() returns timestamptz
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := saas.current_org_id();
begin
    if org is null then
        return '-infinity';
    end if;
    return (select r.raw_since from saas_private.retention_of(org) r);
end
$$;
alter function saas.visible_since() owner to saas_service;
comment on function saas.visible_since() is
'How far back the plan of the current organization shows readings; -infinity without a limit or an organization. For everyone.';

create function saas.set_plan_retention(plan text, readings integer, rollups_5m integer, rollups_1h integer, rollups_1d integer) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    before jsonb;
begin
    perform saas_private.require_installed();
    if coalesce(least(set_plan_retention.readings, rollups_5m, rollups_1h, rollups_1d), 1) < 1
       or greatest(set_plan_retention.readings, rollups_5m, rollups_1h, rollups_1d) > 36500
       or coalesce(set_plan_retention.readings, 2147483647) > coalesce(rollups_5m, 2147483647)
       or coalesce(rollups_5m, 2147483647) > coalesce(rollups_1h, 2147483647)
       or coalesce(rollups_1h, 2147483647) > coalesce(rollups_1d, 2147483647) then
        perform saas_private.raise_fields('invalid input', 'readings', 'must be 1 to 36500 days or NULL, and no coarser level may be kept for a shorter time');
    end if;
    select jsonb_build_object('readings', p.retention_days, 'rollups_5m', p.retention_5m_days,
                              'rollups_1h', p.retention_1h_days, 'rollups_1d', p.retention_1d_days) into before
      from saas.plan p where p.name = set_plan_retention.plan for no key update;
    if not found then
        perform saas_private.raise_error('PT404', 'there is no such plan');
    end if;
    update saas.plan p
       set retention_days = set_plan_retention.readings, retention_5m_days = rollups_5m,
           retention_1h_days = rollups_1h, retention_1d_days = rollups_1d
     where p.name = set_plan_retention.plan;
    perform saas_private.audit('plan.retention_changed', 'plan', set_plan_retention.plan, before,
                               jsonb_build_object('readings', set_plan_retention.readings, 'rollups_5m', rollups_5m,
                                                  'rollups_1h', rollups_1h, 'rollups_1d', rollups_1d));
end
$$;
alter function saas.set_plan_retention(text, integer, integer, integer, integer) owner to saas_service;
comment on function saas.set_plan_retention(text, integer, integer, integer, integer) is
'For how many days a plan keeps and shows readings, and rollups by 5 minutes, hour and day, 36500 at most; NULL: for ever. What is older goes with the next maintenance and cannot be brought back. Errors: 22023, PT404, 55000 before saas.install(). For saas_operator.';

-- Not a subquery of visible_since(): a policy holds none.
create function saas_private.window_since(level integer) returns timestamptz
language c stable leakproof strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_window_since';
comment on function saas_private.window_since(integer) is
'How far back the plan of the current organization shows readings (level 0) and rollups by 5 minutes (1), hour (2) and day (3), the same for the whole transaction; -infinity without a limit or an organization. For the policies of these tables. Errors: 22023.';

create function saas_private.drop_partition(parent text, before timestamptz) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    part name;
    wait_before constant text := current_setting('lock_timeout');
begin
    if parent not in ('reading', 'reading_5m', 'reading_1h', 'reading_1d') then
        perform saas_private.raise_error('22023', 'there is no such level');
    end if;
    select c.relname into part
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = format('saas.%I', parent)::regclass
       and (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz <= drop_partition.before
     order by c.relname limit 1;
    if part is null then
        return 0;
    end if;
    begin
        -- Who polls waits behind this for no longer.
        perform set_config('lock_timeout', '50ms', true);
        execute format('drop table saas.%I', part);
        perform set_config('lock_timeout', wait_before, true);
        return 1;
    exception when lock_not_available then
        -- Somebody reads it: again with the next maintenance.
        return 0;
    end;
end
$$;
alter function saas_private.drop_partition(text, timestamptz) owner to saas_owner;
comment on function saas_private.drop_partition(text, timestamptz) is
'Drops the oldest partition of saas.reading, reading_5m, reading_1h or reading_1d that ends by then, if there is one and nobody holds a lock on it for longer than 50 ms; 1 when it did. For saas_service.';

create function saas_private.drop_expired() returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    -- What no plan in use keeps.
    with kept as (
        select case when bool_or(p.retention_days is null) then null else max(p.retention_days) end as raw,
               case when bool_or(p.retention_5m_days is null) then null else max(p.retention_5m_days) end as five,
               case when bool_or(p.retention_1h_days is null) then null else max(p.retention_1h_days) end as hour,
               case when bool_or(p.retention_1d_days is null) then null else max(p.retention_1d_days) end as day
          from saas.plan p where exists (select from saas.organization o where o.plan = p.name)
    ), noted as materialized (
        -- Where a connection takes its readings for kept still, a late one would
        -- remake rollups of them, once its plan keeps more.
        select coalesce(min(p.kept_since), 'infinity') as since from saas_private.rollup_progress p
    )
    select coalesce(sum(saas_private.drop_partition(v.parent, least(now() - make_interval(hours => 24 * v.days), n.since))), 0)::integer
      from kept k, noted n, lateral (values ('reading', k.raw), ('reading_5m', k.five), ('reading_1h', k.hour), ('reading_1d', k.day)) as v (parent, days)
     where v.days is not null
$$;
alter function saas_private.drop_expired() owner to saas_service;
comment on function saas_private.drop_expired() is
'Drops a partition of each level that is past the retention of every plan that an organization is on, and noted as such for every connection; how many. For saas_service.';

create function saas_private.trim_level(level text, org_id uuid, connection_id uuid, before timestamptz, max_rows integer) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    deleted integer;
begin
    if not isfinite(trim_level.before) then
        return 0;
    end if;
    execute format($trim$
        delete from saas.%1$I r
         where r.org_id = $1 and r.connection_id = $2
           and r.at = any (array(select o.at from saas.%1$I o
                                  where o.org_id = $1 and o.connection_id = $2 and o.at < $3 order by o.at limit $4)) $trim$, level)
      using trim_level.org_id, trim_level.connection_id, trim_level.before, max_rows;
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
comment on function saas_private.trim_level(text, uuid, uuid, timestamptz, integer) is
'Deletes up to max_rows rows of a connection from before then, of saas.reading or a rollup; how many. For saas_service.';

create function saas_private.forget_layouts() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_forget_layouts';
comment on function saas_private.forget_layouts() is
'Has pollers forget the layouts that they remember, once this transaction commits. For saas_service.';

-- What is written to has been seen within 7 days (src/store/layout.c), at most 5
-- minutes before its time: of what was not, for 8 days longer than anything is
-- kept, nothing is left.  A day between is more than any transaction takes.
create function saas_private.delete_unused(org_id uuid, connection_id uuid, kept_since timestamptz, max_rows integer) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    unseen_since constant timestamptz := kept_since - interval '8 days';
    layouts integer;
    deleted integer;
begin
    if not isfinite(delete_unused.kept_since) then
        return 0;
    end if;
    -- One that is just used again is locked. Large ones are many rows.
    delete from saas.layout l
     where l.org_id = delete_unused.org_id
       and l.id = any (array(select o.id from saas.layout o
                              where o.org_id = delete_unused.org_id and o.connection_id = delete_unused.connection_id
                                and o.seen_at < unseen_since
                              order by o.seen_at limit (max_rows + 9) / 10
                                for update skip locked));
    get diagnostics layouts = row_count;
    if layouts > 0 then
        perform saas_private.forget_layouts();
    end if;
    -- Whoever uses a layout again does it before its series: without one none of these is.
    if exists (select from saas.layout l
                where l.org_id = delete_unused.org_id and l.connection_id = delete_unused.connection_id and l.seen_at < unseen_since) then
        return layouts;
    end if;
    delete from saas.series s
     where s.org_id = delete_unused.org_id
       and s.id = any (array(select o.id from saas.series o
                              where o.org_id = delete_unused.org_id and o.connection_id = delete_unused.connection_id
                                and o.seen_at < unseen_since
                              order by o.seen_at limit max_rows - layouts
                                for update skip locked));
    get diagnostics deleted = row_count;
    return layouts + deleted;
end
$$;
comment on function saas_private.delete_unused(uuid, uuid, timestamptz, integer) is
'Deletes up to max_rows layouts and series of a connection whose readings and rollups are all from before then, and deleted; how many. For saas_service.';

create function saas_private.trim_expired(max_connections integer, max_rows integer) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
    deleted integer := 0;
    unused integer;
    seen integer := 0;
begin
    for due in
        with next as materialized (
            select p.org_id, p.connection_id
              from saas_private.rollup_progress p
              join saas.connection c on c.org_id = p.org_id and c.id = p.connection_id
             where p.trimmed_at < now() - interval '6 hours'
             order by p.trimmed_at
             limit max_connections
               for no key update of p skip locked
               for key share of c skip locked
        )
        select n.org_id, n.connection_id, k.*
          from next n
         cross join lateral saas_private.retention_of(n.org_id) k
    loop
        -- Whole days, so that no bucket is rolled up anew from a part of its readings.
        update saas_private.rollup_progress p set kept_since = date_trunc('day', due.raw_since, 'UTC')
         where p.org_id = due.org_id and p.connection_id = due.connection_id and p.kept_since < date_trunc('day', due.raw_since, 'UTC');
        deleted := deleted
                   + saas_private.trim_level('reading', due.org_id, due.connection_id, date_trunc('day', due.raw_since, 'UTC'), max_rows - deleted);
        deleted := deleted
                   + saas_private.trim_level('reading_5m', due.org_id, due.connection_id, date_trunc('day', due.five_since, 'UTC'), max_rows - deleted);
        deleted := deleted
                   + saas_private.trim_level('reading_1h', due.org_id, due.connection_id, date_trunc('day', due.hour_since, 'UTC'), max_rows - deleted);
        deleted := deleted
                   + saas_private.trim_level('reading_1d', due.org_id, due.connection_id, date_trunc('day', due.day_since, 'UTC'), max_rows - deleted);
        exit when deleted >= max_rows;
        unused := saas_private.delete_unused(due.org_id, due.connection_id, date_trunc('day', due.day_since, 'UTC'), max_rows - deleted);
        deleted := deleted + unused;
        -- Until it finds none: it has bounds of its own.
        exit when unused > 0;
        update saas_private.rollup_progress p set trimmed_at = now()
         where p.org_id = due.org_id and p.connection_id = due.connection_id;
        seen := seen + 1;
    end loop;
    return greatest(deleted, seen);
end
$$;
alter function saas_private.trim_expired(integer, integer) owner to saas_service;
comment on function saas_private.trim_expired(integer, integer) is
'Deletes up to max_rows rows that are older than their organization''s plan keeps them, and series and layouts of which nothing is left, of up to max_connections connections, each of which is looked at every 6 hours; 0: none was due. For saas_service.';
