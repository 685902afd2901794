-- Rolling up readings, and how that is called: saas.maintain(), the worker, or
-- pg_cron.  Leans on the tables of metrics and rollups.

create function saas_private.roll_values(internal, double precision[]) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_roll_values';
comment on function saas_private.roll_values(internal, double precision[]) is
'The step of saas_private.roll(double precision[]).';
create function saas_private.roll_rollups(internal, double precision[], double precision[], double precision[], double precision[],
                                          double precision[], double precision[], double precision[]) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_roll_rollups';
comment on function saas_private.roll_rollups(internal, double precision[], double precision[], double precision[], double precision[],
                                              double precision[], double precision[], double precision[]) is
'The step of saas_private.roll() over rollups.';
create function saas_private.rolled(internal) returns double precision[]
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_rolled';
comment on function saas_private.rolled(internal) is
'What saas_private.roll() answers.';

create aggregate saas_private.roll(double precision[]) (
    sfunc = saas_private.roll_values, stype = internal, finalfunc = saas_private.rolled, parallel = safe
);
comment on aggregate saas_private.roll(double precision[]) is
'Rolls up arrays position by position, in the order of time: one array of seven blocks, each as long as the longest of them: count, sum, min, max, first, last, increase. NULL counts nothing.';
create aggregate saas_private.roll(double precision[], double precision[], double precision[], double precision[],
                                   double precision[], double precision[], double precision[]) (
    sfunc = saas_private.roll_rollups, stype = internal, finalfunc = saas_private.rolled, parallel = safe
);
comment on aggregate saas_private.roll(double precision[], double precision[], double precision[], double precision[],
                                       double precision[], double precision[], double precision[]) is
'The same of rollups: their count, sum, min, max, first, last and increase, in the order of time.';

create function saas_private.realign("values" double precision[], from_ids uuid[], to_ids uuid[]) returns double precision[]
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_realign';
comment on function saas_private.realign(double precision[], uuid[], uuid[]) is
'The values of one layout''s series in the order of another''s; NULL where it has none.';

-- Sketches (src/pure/sketch.h) are made with hours, of readings, and merged into
-- those of days; rollups by 5 minutes have none.
create function saas_private.sketch_values(internal, double precision[]) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sketch_values';
comment on function saas_private.sketch_values(internal, double precision[]) is
'The step of saas_private.sketch(double precision[]).';
create function saas_private.sketch_sketches(internal, bytea, double precision[], double precision[], double precision[]) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sketch_sketches';
comment on function saas_private.sketch_sketches(internal, bytea, double precision[], double precision[], double precision[]) is
'The step of saas_private.sketch() over sketches. Errors: XX001 for one that cannot be read.';
create function saas_private.sketched(internal) returns bytea
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sketched';
comment on function saas_private.sketched(internal) is
'What saas_private.sketch() answers.';

create aggregate saas_private.sketch(double precision[]) (
    sfunc = saas_private.sketch_values, stype = internal, finalfunc = saas_private.sketched, parallel = safe
);
comment on aggregate saas_private.sketch(double precision[]) is
'The sketches of arrays position by position, in one bytea; in whatever order they come it is the same. That of a position whose values are all the same is empty. NULL counts nothing.';
create aggregate saas_private.sketch(bytea, double precision[], double precision[], double precision[]) (
    sfunc = saas_private.sketch_sketches, stype = internal, finalfunc = saas_private.sketched, parallel = safe
);
comment on aggregate saas_private.sketch(bytea, double precision[], double precision[], double precision[]) is
'The same of rollups: their sketch, count, min and max. NULL when some of their samples are in no sketch.';

create function saas_private.realign_sketches(sketch bytea, from_ids uuid[], to_ids uuid[]) returns bytea
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_realign_sketches';
comment on function saas_private.realign_sketches(bytea, uuid[], uuid[]) is
'The sketches of one layout''s series in the order of another''s. Errors: XX001 for what cannot be read.';
create function saas_private.sketch_at(sketch bytea, place bigint) returns bytea
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sketch_at';
comment on function saas_private.sketch_at(bytea, bigint) is
'The sketch of one series of a rollup, by its place in the layout from 1 on. Errors: XX001 for what cannot be read.';

create function saas_private.sketch_cell(internal, double precision, double precision, double precision, double precision, bytea) returns internal
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sketch_cell';
comment on function saas_private.sketch_cell(internal, double precision, double precision, double precision, double precision, bytea) is
'The step of saas_private.percentile().';
create function saas_private.sketch_percentile(internal) returns double precision
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sketch_percentile';
comment on function saas_private.sketch_percentile(internal) is
'What saas_private.percentile() answers.';
create aggregate saas_private.percentile(fraction double precision, n double precision, least_value double precision,
                                         greatest_value double precision, sketch bytea) (
    sfunc = saas_private.sketch_cell, stype = internal, finalfunc = saas_private.sketch_percentile, parallel = safe
);
comment on aggregate saas_private.percentile(double precision, double precision, double precision, double precision, bytea) is
'The value at a fraction of all samples, as percentile_cont() has it, within 1 percent: of count, min, max and sketch of rollups of one series each; an empty sketch is that of n times the same value. NULL when a rollup has no sketch. Errors: XX001 for one that cannot be read.';

-- PostgreSQL's own raise 22003 where these overflow.
create function saas_private.add(a double precision, b double precision) returns double precision
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_add';
comment on function saas_private.add(double precision, double precision) is
'The sum, infinite when it overflows. For the functions of saas_owner.';
create aggregate saas_private.total(double precision) (
    sfunc = saas_private.add, stype = double precision, combinefunc = saas_private.add, parallel = safe
);
comment on aggregate saas_private.total(double precision) is
'The sum, infinite when it overflows; NULL of nothing. For the functions of saas_owner.';
create function saas_private.divide(part double precision, whole double precision) returns double precision
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_divide';
comment on function saas_private.divide(double precision, double precision) is
'The quotient; NULL of a division by 0. For the functions of saas_owner.';
create function saas_private.percent(part double precision, whole double precision) returns double precision
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_percent';
comment on function saas_private.percent(double precision, double precision) is
'The part in percent of the whole; NULL of 0. For the functions of saas_owner.';
create function saas_private.change_percent(now double precision, before double precision) returns double precision
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_change_percent';
comment on function saas_private.change_percent(double precision, double precision) is
'The change since before in percent of what that was, whatever its sign; NULL when that was 0. For the functions of saas_owner.';
create function saas_private.gained(before double precision, first double precision, increase double precision) returns double precision
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_gained';
comment on function saas_private.gained(double precision, double precision, double precision) is
'What a counter gained from the value before to first, over its beginning anew, and then by increase; without a value before only that. For the functions of saas_owner.';

create function saas_private.closed_until(wait_ms integer) returns timestamptz
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_closed_until';
comment on function saas_private.closed_until(integer) is
'The beginning of the 5 minutes up to which every reading is visible from the next statement on, or will be noted in saas_private.late_window. Waits for transactions that have written readings, wait_ms at most, else NULL; not for those that called saas_private.deletes_readings(). For saas_service.';

create function saas_private.deletes_readings() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_deletes_readings';
comment on function saas_private.deletes_readings() is
'To be called before a transaction deletes readings together with their connection: rollups do not wait for its end, however long its session stays open. What it stores itself afterwards may be missing in rollups. For saas_owner and saas_service.';

create procedure saas.maintain()
language c
as 'MODULE_PATHNAME', 'pg_saas_maintain';
comment on procedure saas.maintain() is
'Rolls up readings by 5 minutes, hours and days, those that came late too, and deletes what is older than its plan''s retention, with the series that nothing is left of, in small transactions; the worker does the same every minute unless saas.maintenance_enabled is off. What it has done stays done when it is interrupted; called again it goes on. Runs outside a transaction block: call saas.maintain() alone. Errors: 2D000 inside a transaction block, 55000 before saas.install(), 55P03 when a transaction that has written readings does not end, or holds a lock. For superusers and members of saas_operator.';

-- As ensure_reading_partition() does it.
create function saas_private.ensure_rollup_partition(level text, at timestamptz) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    unit text := case level when '5m' then 'month' when '1h' then 'quarter' when '1d' then 'year' end;
    from_time timestamptz := date_trunc(unit, ensure_rollup_partition.at);
    parent text := 'reading_' || level;
    part text := format('%s_%s', parent, to_char(from_time, case level when '5m' then 'YYYY_MM' when '1h' then 'YYYY_"q"Q' else 'YYYY' end));
begin
    if to_regclass('saas.' || quote_ident(part)) is not null then
        return;
    end if;
    lock table saas_private.installation in share row exclusive mode;
    if exists (select from pg_class c where c.relnamespace = 'saas'::regnamespace and c.relname = part) then
        return;
    end if;
    execute format('create table saas.%I (like saas.%I including defaults including constraints)', part, parent);
    execute format('alter table saas.%I enable row level security', part);
    execute format('alter table saas.%I force row level security', part);
    execute format('alter table saas.%I attach partition saas.%I for values from (%L) to (%L)', parent, part, from_time,
                   from_time + case level when '5m' then interval '1 month' when '1h' then interval '3 months' else interval '1 year' end);
end
$$;
alter function saas_private.ensure_rollup_partition(text, timestamptz) owner to saas_owner;
comment on function saas_private.ensure_rollup_partition(text, timestamptz) is
'Makes the partition of saas.reading_5m, _1h or _1d (level 5m, 1h, 1d) that holds the time, if it is missing. For saas_service.';

create function saas_private.has_rollup_partitions(level text, from_time timestamptz, until_time timestamptz) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
    return not exists (
        select from (select generate_series(from_time, until_time - interval '1 microsecond', interval '28 days') as at
                      union all select until_time - interval '1 microsecond' where from_time < until_time) t
         where to_regclass(format('saas.reading_%s_%s', level,
                                  to_char(date_trunc(case level when '5m' then 'month' when '1h' then 'quarter' else 'year' end, t.at),
                                          case level when '5m' then 'YYYY_MM' when '1h' then 'YYYY_"q"Q' else 'YYYY' end))) is null);
end
$$;
comment on function saas_private.has_rollup_partitions(text, timestamptz, timestamptz) is
'Whether all partitions of a level (5m, 1h, 1d) are there that a stretch of time needs, as none does that is empty. For saas_service.';

-- A partition needs a lock on saas.connection, which its foreign key refers to:
-- whoever has changed a connection and does not end keeps it from being made.
create function saas_private.make_rollup_partitions(times timestamptz[]) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    wait_before constant text := current_setting('lock_timeout');
begin
    -- Who changes connections waits behind this for no longer.
    perform set_config('lock_timeout', '50ms', true);
    perform saas_private.ensure_rollup_partition(l.level, t.at)
       from unnest(array['5m', '1h', '1d']) as l (level), unnest(times) as t (at) where t.at is not null;
    perform set_config('lock_timeout', wait_before, true);
    return true;
exception when lock_not_available then
    return false;
end
$$;
comment on function saas_private.make_rollup_partitions(timestamptz[]) is
'Makes the partitions of rollups that hold these times and that are missing; false, and none of them, when somebody''s lock keeps it from that for 50 ms. For saas_service.';

create function saas_private.union_layout(org_id uuid, connection_id uuid, layout_ids uuid[]) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    ids uuid[];
    print bytea;
begin
    select array_agg(distinct u.id order by u.id) into ids
      from saas.layout l, unnest(l.series_ids) as u (id)
     where l.org_id = union_layout.org_id and l.id = any (layout_ids);
    print := sha256(convert_to('series ' || array_to_string(ids, ','), 'UTF8'));
    insert into saas.layout (org_id, connection_id, fingerprint, series_ids)
    values (union_layout.org_id, union_layout.connection_id, print, ids)
        on conflict on constraint layout_fingerprint do update
       set seen_at = now() where saas.layout.seen_at < now() - interval '7 days';
    return (select l.id from saas.layout l
             where l.org_id = union_layout.org_id and l.connection_id = union_layout.connection_id and l.fingerprint = print);
end
$$;
comment on function saas_private.union_layout(uuid, uuid, uuid[]) is
'The layout that holds the series of all these, made if it is missing. For saas_service.';

-- Not a definer: its statements are made of the names of levels.  Who calls it
-- sets the time zone to UTC, in which days have 24 hours.
create function saas_private.roll_level(level text, org_ids uuid[], connection_ids uuid[], from_times timestamptz[],
                                        until_times timestamptz[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    step constant interval := case level when '5m' then '5 minutes' when '1h' then '1 hour' when '1d' then '1 day' end;
    source constant text := case level when '5m' then 'saas.reading' when '1h' then 'saas.reading_5m' when '1d' then 'saas.reading_1h' end;
    fields constant text[] := case when level = '5m' then '{"values"}'
                                   else '{count,sum,min,max,first,last,increase}' end;
    plain text := (select string_agg(format('r.%I', f), ', ' order by n) from unnest(fields) with ordinality u (f, n));
    aligned text := (select string_agg(format('saas_private.realign(r.%I, l.series_ids, $6)', f), ', ' order by n)
                       from unnest(fields) with ordinality u (f, n));
    -- In the order of the rollup's layout; only few readings are of another.
    sketch constant text := case level when '1h' then $sketch$ ,
              (select saas_private.sketch(case when v.layout_id = b.layout_id then v."values"
                                               else saas_private.realign(v."values",
                                                      (select f.series_ids from saas.layout f where f.org_id = b.org_id and f.id = v.layout_id),
                                                      (select f.series_ids from saas.layout f where f.org_id = b.org_id and f.id = b.layout_id)) end)
                 from saas.reading v
                where v.org_id = b.org_id and v.connection_id = b.connection_id and v.at >= b.at and v.at < b.at + interval '1 hour') $sketch$
        when '1d' then $sketch$ ,
              (select case when bool_and(v.layout_id = b.layout_id) then saas_private.sketch(v.sketch, v.count, v.min, v.max)
                           else (select saas_private.sketch(saas_private.realign_sketches(h.sketch, f.series_ids, t.series_ids),
                                                            saas_private.realign(h.count, f.series_ids, t.series_ids),
                                                            saas_private.realign(h.min, f.series_ids, t.series_ids),
                                                            saas_private.realign(h.max, f.series_ids, t.series_ids))
                                   from saas.reading_1h h
                                   join saas.layout f on f.org_id = h.org_id and f.id = h.layout_id
                                   join saas.layout t on t.org_id = h.org_id and t.id = b.layout_id
                                  where h.org_id = b.org_id and h.connection_id = b.connection_id
                                    and h.at >= b.at and h.at < b.at + interval '1 day') end
                 from saas.reading_1h v
                where v.org_id = b.org_id and v.connection_id = b.connection_id and v.at >= b.at and v.at < b.at + interval '1 day') $sketch$
        else '' end;
    put constant text := format($put$
        insert into saas.reading_%s as t (org_id, connection_id, at, layout_id, count, sum, min, max, first, last, increase %s)
        select b.org_id, b.connection_id, b.at, b.layout_id, b.a[1:b.n], b.a[b.n+1:2*b.n], b.a[2*b.n+1:3*b.n],
               b.a[3*b.n+1:4*b.n], b.a[4*b.n+1:5*b.n], b.a[5*b.n+1:6*b.n], b.a[6*b.n+1:7*b.n] %s $put$,
        level, case when level <> '5m' then ', sketch' end, sketch);
    conflict constant text := $put$
            on conflict (org_id, connection_id, at) do update
           set layout_id = excluded.layout_id, count = excluded.count, sum = excluded.sum, min = excluded.min, max = excluded.max,
               first = excluded.first, last = excluded.last, increase = excluded.increase $put$
        || case when level <> '5m' then ', sketch = excluded.sketch' else '' end;
    written bigint;
    mixed record;
    whole record;
    union_id uuid;
begin
    -- Of a stretch that is longer than a day only what is at its ends has anything below.
    perform saas_private.ensure_rollup_partition(level, p.at)
       from (select date_trunc(case level when '5m' then 'month' when '1h' then 'quarter' else 'year' end, s.from_time, 'UTC') as at
               from unnest(from_times, until_times) as s (from_time, until_time) where s.from_time < s.until_time
             union
             select date_trunc(case level when '5m' then 'month' when '1h' then 'quarter' else 'year' end, s.until_time - interval '1 second', 'UTC')
               from unnest(from_times, until_times) as s (from_time, until_time) where s.from_time < s.until_time) as p;
    -- Buckets of one layout, which are nearly all, in one statement.
    for mixed in execute format($roll$
        with bucket as materialized (
            select s.org_id, s.connection_id, date_bin($5, r.at, timestamptz '2000-01-03 00:00:00+00') as at, r.layout_id,
                   saas_private.roll(%s order by r.at) as a
              from unnest($1, $2, $3, $4) as s (org_id, connection_id, from_time, until_time)
             cross join lateral (select * from %s o
                                  where o.org_id = s.org_id and o.connection_id = s.connection_id
                                    and o.at >= s.from_time and o.at < s.until_time) r
             group by 1, 2, 3, 4
        ), mixed as materialized (
            select b.org_id, b.connection_id, b.at, array_agg(b.layout_id) as layout_ids
              from bucket b group by 1, 2, 3 having count(*) > 1
        ), put as (
            %s from (select o.*, cardinality(o.a) / 7 as n from bucket o
                      where not exists (select from mixed m
                                         where m.org_id = o.org_id and m.connection_id = o.connection_id and m.at = o.at)
                      order by o.org_id, o.connection_id, o.at) b %s
            returning 1
        )
        select (select count(*) from put) as written, m.* from (select 1) one left join mixed m on true $roll$,
        plain, source, put, conflict)
        using org_ids, connection_ids, from_times, until_times, step
    loop
        written := coalesce(written, mixed.written);
        continue when mixed.org_id is null;
        union_id := saas_private.union_layout(mixed.org_id, mixed.connection_id, mixed.layout_ids);
        select l.id, l.series_ids into whole from saas.layout l where l.org_id = mixed.org_id and l.id = union_id;
        execute format($roll$
            %s from (select o.*, cardinality(o.a) / 7 as n
                       from (select $1 as org_id, $2 as connection_id, $3 as at, $4 as layout_id,
                                    saas_private.roll(%s order by r.at) as a
                               from %s r
                               join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id
                              where r.org_id = $1 and r.connection_id = $2 and r.at >= $3 and r.at < $3 + $5) o) b %s $roll$,
            put, aligned, source, conflict)
        using mixed.org_id, mixed.connection_id, mixed.at, whole.id, step, whole.series_ids;
    end loop;
    return written;
end
$$;
comment on function saas_private.roll_level(text, uuid[], uuid[], timestamptz[], timestamptz[]) is
'Rolls up these stretches, whole buckets of the level (5m, 1h, 1d), of these connections anew, from the level below, and returns how many rows it wrote, but for buckets with several layouts. A bucket without anything below stays as it is. The sketches of hours are made of readings. For saas_service.';

create function saas_private.roll_ranges(org_ids uuid[], connection_ids uuid[], from_times timestamptz[], until_times timestamptz[],
                                         rolled_untils timestamptz[], whole_froms timestamptz[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    hour_froms timestamptz[];
    hour_untils timestamptz[];
    day_froms timestamptz[];
    day_untils timestamptz[];
begin
    select array_agg(date_trunc('hour', s.h, 'UTC') order by s.n),
           array_agg(least(date_trunc('hour', s.u + interval '1 hour' - interval '1 microsecond', 'UTC'), date_trunc('hour', s.w, 'UTC')) order by s.n),
           array_agg(date_trunc('day', s.h, 'UTC') order by s.n),
           array_agg(least(date_trunc('day', s.u + interval '1 day' - interval '1 microsecond', 'UTC'), date_trunc('day', s.w, 'UTC')) order by s.n)
      into hour_froms, hour_untils, day_froms, day_untils
      from unnest(until_times, rolled_untils, whole_froms) with ordinality as s (u, w, h, n);
    perform saas_private.roll_level('5m', org_ids, connection_ids, from_times, until_times);
    perform saas_private.roll_level('1h', org_ids, connection_ids, hour_froms, hour_untils);
    perform saas_private.roll_level('1d', org_ids, connection_ids, day_froms, day_untils);
end
$$;
comment on function saas_private.roll_ranges(uuid[], uuid[], timestamptz[], timestamptz[], timestamptz[], timestamptz[]) is
'Rolls up these stretches, whole 5 minutes, of these connections, and the hours and days from those of whole_froms on that they touch and that are over at rolled_untils. For saas_service.';

create function saas_private.roll_due(closed_until timestamptz, max_connections integer, longest interval default '1 day') returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    batch record;
    skipped integer := 0;
    is_blocked boolean := false;
begin
    loop
        -- A connection that somebody deletes or holds is left for the next time: it
        -- would keep everybody else waiting, or be waiting for what is locked here.
        -- At most so much of each at a time: where there was nothing for long it goes on at what comes next.
        with due as materialized (
            select p.org_id, p.connection_id, p.rolled_until
              from saas_private.rollup_progress p
              join saas.connection c on c.org_id = p.org_id and c.id = p.connection_id
             where p.rolled_until < roll_due.closed_until
             order by p.rolled_until
             limit max_connections offset skipped
               for no key update of p skip locked
               for key share of c skip locked
        ), found as materialized (
            select d.org_id, d.connection_id, n.from_time, coalesce(nullif(d.rolled_until, '-infinity'), n.from_time) as whole_from,
                   coalesce(least(roll_due.closed_until, date_bin(longest, n.from_time, timestamptz '2000-01-03 00:00:00+00') + longest), roll_due.closed_until) as until_time
              from due d
              left join lateral (select date_bin('5 minutes', r.at, timestamptz '2000-01-03 00:00:00+00') as from_time
                                   from saas.reading r
                                  where r.org_id = d.org_id and r.connection_id = d.connection_id
                                    and r.at >= d.rolled_until and r.at < roll_due.closed_until
                                  order by r.at limit 1) n on true
        ), stretch as materialized (
            select f.*,
                   saas_private.has_rollup_partitions('5m', f.from_time, f.until_time) is not false
                   and not exists (select from unnest(array['1h', '1d']) as l (level)
                                    where not saas_private.has_rollup_partitions(l.level, f.whole_from, f.whole_from + interval '1 second')
                                       or not saas_private.has_rollup_partitions(l.level, coalesce(f.from_time, f.until_time - interval '1 second'), f.until_time)) as is_ready
              from found f
        ), moved as (
            update saas_private.rollup_progress p set rolled_until = s.until_time
              from stretch s where s.is_ready and p.org_id = s.org_id and p.connection_id = s.connection_id
            returning 1
        )
        -- Without a reading too, where an hour or a day is over that had some.
        select (select count(*) from moved) as connections, (select count(*) from stretch) as looked_at,
               (select array[u.whole_from, coalesce(u.from_time, u.until_time - interval '1 second'), u.until_time - interval '1 microsecond']
                  from stretch u where not u.is_ready order by u.whole_from limit 1) as missing,
               array_agg(s.org_id order by s.org_id, s.connection_id) as org_ids,
               array_agg(s.connection_id order by s.org_id, s.connection_id) as connection_ids,
               array_agg(coalesce(s.from_time, s.until_time) order by s.org_id, s.connection_id) as from_times,
               array_agg(s.until_time order by s.org_id, s.connection_id) as until_times,
               array_agg(s.whole_from order by s.org_id, s.connection_id) as whole_froms
          into batch
          from stretch s
         where s.is_ready and (s.from_time is not null or date_trunc('hour', s.whole_from, 'UTC') < date_trunc('hour', s.until_time, 'UTC'));
        exit when batch.connections > 0;
        if batch.looked_at > 0 then
            -- The lock is the same for all of them.
            is_blocked := is_blocked or not saas_private.make_rollup_partitions(batch.missing);
            if is_blocked then
                skipped := skipped + max_connections;
            end if;
            continue;
        end if;
        skipped := 0;
        -- At the end of the others only: to find what is new means to look at all of them.
        insert into saas_private.rollup_progress (org_id, connection_id)
        select c.org_id, c.id from saas.connection c
         where not exists (select from saas_private.rollup_progress p where p.org_id = c.org_id and p.connection_id = c.id)
           for key share skip locked
            on conflict do nothing;
        exit when not found;
    end loop;
    if batch.org_ids is not null then
        perform saas_private.roll_ranges(batch.org_ids, batch.connection_ids, batch.from_times, batch.until_times, batch.until_times, batch.whole_froms);
    end if;
    return batch.connections;
end
$$;
alter function saas_private.roll_due(timestamptz, integer, interval) owner to saas_service;
comment on function saas_private.roll_due(timestamptz, integer, interval) is
'Rolls up at most longest (whole hours) of up to max_connections connections, those first that are furthest behind, and returns of how many; 0: all are rolled up until closed_until. For saas_service.';

create function saas_private.roll_late(max_windows integer) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    noted uuid[];
    looked_at bigint;
    missing timestamptz[];
    skipped integer := 0;
    is_blocked boolean := false;
    batch record;
begin
    loop
        -- These are committed, so their readings are seen from here on.
        with pick as materialized (
            select w.id, w.org_id, w.connection_id, w.from_at, w.until_at
              from saas_private.late_window w
              join saas.connection c on c.org_id = w.org_id and c.id = w.connection_id
             order by w.id
             limit max_windows offset skipped
               for key share of c skip locked
        ), note as materialized (
            select k.id, greatest(k.from_at, date_trunc('day', v.raw_since, 'UTC'), p.kept_since) as from_at, k.until_at
              from pick k
              left join saas_private.rollup_progress p on p.org_id = k.org_id and p.connection_id = k.connection_id
             cross join lateral saas_private.retention_of(k.org_id) v
        ), ready as materialized (
            select n.*, not exists (select from unnest(array['5m', '1h', '1d']) as l (level)
                                     where not saas_private.has_rollup_partitions(l.level, n.from_at, n.until_at)) as is_ready
              from note n
        )
        select array_agg(r.id) filter (where r.is_ready), count(*),
               (select array(select generate_series(u.from_at, u.until_at, interval '28 days')) || (u.until_at - interval '1 microsecond')
                  from ready u where not u.is_ready order by u.id limit 1)
          into noted, looked_at, missing
          from ready r;
        exit when looked_at = 0 or noted is not null;
        is_blocked := is_blocked or not saas_private.make_rollup_partitions(missing);
        if is_blocked then
            skipped := skipped + max_windows;
        end if;
    end loop;
    if noted is null then
        return 0;
    end if;
    -- Each day of a connection once, however many notes touch it: what two
    -- stretches share would be counted twice.  Nothing from before the readings
    -- that are still there.  Whole buckets, whatever somebody has noted by SQL.
    with stretch as (
        select w.org_id, w.connection_id, p.rolled_until,
               greatest(min(greatest(date_bin('5 minutes', w.from_at, timestamptz '2000-01-03 00:00:00+00'), d.day)), date_trunc('day', v.raw_since, 'UTC'), p.kept_since) as from_time,
               least(max(least(date_bin('5 minutes', w.until_at + interval '5 minutes' - interval '1 microsecond', timestamptz '2000-01-03 00:00:00+00'),
                              d.day + interval '24 hours')), p.rolled_until) as until_time
          from saas_private.late_window w
          join saas_private.rollup_progress p on p.org_id = w.org_id and p.connection_id = w.connection_id
         cross join lateral saas_private.retention_of(w.org_id) v
         cross join lateral generate_series(date_trunc('day', w.from_at, 'UTC'), w.until_at - interval '1 microsecond',
                                            interval '24 hours') as d (day)
         where w.id = any (noted)
         group by w.org_id, w.connection_id, p.rolled_until, p.kept_since, v.raw_since, d.day
    )
    select array_agg(s.org_id order by s.org_id, s.connection_id, s.from_time) as org_ids,
           array_agg(s.connection_id order by s.org_id, s.connection_id, s.from_time) as connection_ids,
           array_agg(s.from_time order by s.org_id, s.connection_id, s.from_time) as from_times,
           array_agg(s.until_time order by s.org_id, s.connection_id, s.from_time) as until_times,
           array_agg(s.rolled_until order by s.org_id, s.connection_id, s.from_time) as rolled_untils
      into batch
      from stretch s where s.from_time < s.until_time;
    if batch.org_ids is not null then
        perform saas_private.roll_ranges(batch.org_ids, batch.connection_ids, batch.from_times, batch.until_times, batch.rolled_untils, batch.from_times);
    end if;
    delete from saas_private.late_window w where w.id = any (noted);
    return cardinality(noted);
end
$$;
alter function saas_private.roll_late(integer) owner to saas_service;
comment on function saas_private.roll_late(integer) is
'Rolls up anew what up to max_windows notes of late readings say, and returns how many there were. For saas_service.';

create function saas_private.maintain_step(closed_until timestamptz, is_small boolean) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    done integer;
begin
    -- One at a time: two would wait for each other's rows.
    perform from saas_private.maintenance m for no key update;
    -- Ahead of time, so that nothing waits for it then.
    begin
        perform saas_private.ensure_rollup_partition(l.level, now() + a.head) from unnest(array['5m', '1h', '1d']) as l (level), unnest('{1 day,28 days}'::interval[]) as a (head);
    exception when lock_not_available then
        null;
    end;
    done := saas_private.roll_due(maintain_step.closed_until, 50, case when is_small then interval '1 hour' else interval '1 day' end);
    if done = 0 then
        done := saas_private.roll_late(case when is_small then 20 else 200 end);
    end if;
    if done = 0 then
        done := saas_private.drop_expired();
    end if;
    if done = 0 then
        done := saas_private.trim_expired(20, case when is_small then 1000 else 5000 end);
    end if;
    return done;
end
$$;
alter function saas_private.maintain_step(timestamptz, boolean) owner to saas_service;
comment on function saas_private.maintain_step(timestamptz, boolean) is
'One piece of saas.maintain(), or a smaller one for the worker: rollups of what is closed, of what came late, a partition past every retention, rows past their plan''s, series and layouts without any. 0: nothing is left to do. For saas_service and the worker.';

create function saas.maintenance_status(out started_at timestamptz, out finished_at timestamptz, out steps bigint,
                                        out rolled_until timestamptz, out behind bigint, out late bigint,
                                        out scheduled_by text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_installed();
    select m.started_at, m.finished_at, m.steps into started_at, finished_at, steps from saas_private.maintenance m;
    -- Where nothing was rolled up yet there may be nothing at all.
    select min(p.rolled_until), count(*) filter (where p.rolled_until < now() - interval '10 minutes') into rolled_until, behind
      from saas_private.rollup_progress p;
    select count(*) into late from saas_private.late_window;
    scheduled_by := case when current_setting('saas.maintenance_enabled')::boolean then 'worker' else 'others' end;
end
$$;
alter function saas.maintenance_status() owner to saas_service;
comment on function saas.maintenance_status() is
'How the upkeep of metrics goes: when its last run began, when it ended (NULL: it goes on, or was interrupted), its steps so far; up to when every connection is rolled up, how many are more than 10 minutes behind, how many notes of late readings wait; and whether the worker does it (worker) or is told not to by saas.maintenance_enabled (others). Errors: 55000 before saas.install(). For saas_operator.';
