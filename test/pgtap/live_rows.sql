-- The live view shows what unfolding each newest reading and joining it with the
-- series shows, whatever is stored and whoever asks.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
select saas.set_plan_retention('free', 3, 4, 8, 16) as changed \gset

create schema live;
grant usage on schema live to public;
-- The view as it was defined before.
create view live.unfolded with (security_invoker = true) as
select c.org_id, c.id as connection_id, s.id as series_id, s.metric, s.labels, r.at, v.value
  from saas.connection c
 cross join lateral (
        select n.at, n.layout_id, n."values"
          from saas.reading n
         where n.org_id = c.org_id and n.connection_id = c.id and n.at >= (select saas.visible_since())
         order by n.at desc
         limit 1) r
  join saas.layout l on l.org_id = c.org_id and l.id = r.layout_id
 cross join lateral saas.unfold(l.series_ids, r."values") as v
  join saas.series s on s.org_id = c.org_id and s.connection_id = c.id and s.id = v.series_id;
grant select on live.unfolded to public;

create table live.org as
select n as name, f.user_id, f.org_id, case n when 'windowed' then 'free' else 'enterprise' end as plan
  from unnest('{windowed,endless,empty}'::text[]) n, lateral tenants.found(n) f;
update saas.organization o set plan = l.plan from live.org l where l.org_id = o.id;
create table live.connection as
select o.name as org, o.org_id, n as name, tenants.connect(o.org_id, n) as id
  from live.org o,
       unnest('{plain,changed,missing,wide,backwards,old,old_and_new,silent,strange,short,long,special,nothing,lost,lent,again,ended}'::text[]) n
 where o.name <> 'empty';

create function live.series(prefix text, count integer) returns jsonb
language sql as $$
    select coalesce(jsonb_agg(jsonb_build_object('metric', prefix || '_' || k, 'labels', jsonb_build_object('k', k, 'Zweck', E'"\\\n'))), '[]')
      from generate_series(1, series.count) k
$$;
create function live.lay(connection live.connection, series jsonb) returns uuid
language sql as $$ select tenants.lay_out(connection.org_id, connection.id, lay.series) $$;
create function live.read(connection live.connection, layout_id uuid, age interval, numbers double precision[]) returns void
language plpgsql as $$
begin
    perform saas_private.ensure_reading_partition(now() - age);
    insert into saas.reading (org_id, connection_id, at, layout_id, "values")
    values (connection.org_id, connection.id, now() - age, read.layout_id, read.numbers);
end
$$;
create function live.ids(connection_id uuid) returns uuid[]
language sql as $$ select array_agg(s.id order by s.id) from saas.series s where s.connection_id = ids.connection_id $$;
-- A layout of just these.
create function live.lay_ids(connection live.connection, ids uuid[]) returns uuid
language sql as $$
    insert into saas.layout (org_id, connection_id, fingerprint, series_ids)
    values (connection.org_id, connection.id, sha256(convert_to(lay_ids.ids::text, 'UTF8')), lay_ids.ids) returning id
$$;

do $$
declare
    c live.connection;
    first uuid;
    second uuid;
    numbers constant double precision[] := array[1, 2, 3.25];
begin
    for c in select * from live.connection loop
        first := live.lay(c, live.series(c.name, case c.name when 'wide' then 700 else 3 end));
        case c.name
        when 'plain', 'again' then
            perform live.read(c, first, '2 minutes', '{7,8,9}'), live.read(c, first, '1 minute', numbers);
        when 'changed' then
            -- Two of the series go on, one is new, one of before has no value any more.
            second := live.lay(c, live.series('new', 1) || live.series('changed', 2));
            perform live.read(c, first, '2 minutes', numbers), live.read(c, second, '1 minute', '{10,20,30}');
        when 'missing' then
            perform live.read(c, first, '1 minute', '{null,2,null}');
        when 'wide' then
            perform live.read(c, first, '1 minute', array(select case when k % 3 > 0 then k / 7.0::double precision end from generate_series(1, 700) k));
        when 'backwards' then
            perform live.read(c, live.lay_ids(c, (select array_agg(i order by i desc) from unnest(live.ids(c.id)) i)), '1 minute', '{3,null,1}');
        when 'old' then
            perform live.read(c, first, '4 days', numbers);
        when 'old_and_new' then
            perform live.read(c, first, '40 days', '{7,8,9}'), live.read(c, first, '2 days', numbers);
        when 'silent' then
            null;
        when 'ended' then
            -- Nearly 8 days after its series were noted last.
            update saas.series s set seen_at = now() - interval '21 days 23 hours' where s.connection_id = c.id;
            perform live.read(c, first, '14 days', numbers);
        when 'strange' then
            -- Series of the other connections, of the other organization, of nobody.
            perform live.read(c, live.lay_ids(c, array[gen_random_uuid()] || (select array_agg(o.id order by o.id) from saas.series o where o.metric ~ '_1$')),
                              '1 minute', array(select generate_series(1.0, 60)::double precision));
        when 'short' then
            perform live.read(c, first, '1 minute', '{5}');
        when 'long' then
            perform live.read(c, first, '1 minute', '{5,null,7,8,9}');
        when 'special' then
            perform live.read(c, first, '1 minute', '{NaN,-Infinity,-0}');
        when 'nothing' then
            perform live.read(c, live.lay_ids(c, '{}'), '1 minute', '{}');
        when 'lost' then
            perform live.read(c, gen_random_uuid(), '1 minute', numbers);
        when 'lent' then
            -- A layout of another connection.
            perform live.read(c, (select l.id from saas.layout l join live.connection p on p.id = l.connection_id and p.org_id = c.org_id and p.name = 'plain'), '1 minute', numbers);
        end case;
    end loop;
end
$$;

create function live.both(query text) returns text
language plpgsql as $$
declare
    result text;
begin
    execute format($q$
        with own as (select x::text as t from (%1$s) x), other as (select x::text as t from (%2$s) x)
        select (select count(*) from own) || ' rows, ' || (select count(*) from (select * from own except all select * from other) d)
               || ' too many, ' || (select count(*) from (select * from other except all select * from own) d) || ' missing'
    $q$, format(query, 'saas.latest_sample'), format(query, 'live.unfolded')) into result;
    return result;
end
$$;
grant execute on function live.both(text) to public;
create function live.rows_for(name text, query text default 'select * from %s') returns text
language sql as $$
    select tenants.answer(format('live.both(%L)', query), o.user_id, o.org_id) from live.org o where o.name = rows_for.name
$$;
grant select on live.connection to public;

-- 700 of the wide one, four times two or three, and so on; "old" and "ended" are outside the window of one.
select is(live.rows_for('endless'), '734 rows, 0 too many, 0 missing', 'a member of an organization that keeps everything sees the same');
select is(live.rows_for('windowed'), '728 rows, 0 too many, 0 missing', 'and so does one whose plan hides older readings');
select is(live.rows_for('empty'), '0 rows, 0 too many, 0 missing', 'and one without connections');
select is(live.both('select * from %s'), '1468 rows, 0 too many, 0 missing', 'a superuser sees all of all');
begin;
set local role saas_user;
select is(live.both('select * from %s'), '0 rows, 0 too many, 0 missing', 'who has no identity sees nothing');
rollback;
begin;
set local role saas_owner;
select is(live.both('select * from %s'), '0 rows, 0 too many, 0 missing', 'nor do the functions that the owner of the tables runs');
rollback;
-- The policies of saas_user hide what is older, from others the view itself does.
begin;
select saas.assume_identity(o.user_id, o.org_id) from live.org o where o.name = 'windowed' \g /dev/null
set local role saas_owner;
select is(live.both('select * from %s'), '728 rows, 0 too many, 0 missing', 'but for the identity they run for, as far as its plan goes back');
rollback;
select is(tenants.answer($$live.both('select * from %s')$$, w.user_id, e.org_id), E'PT404\nno such active member of the organization', 'a stranger does not get in')
  from live.org w, live.org e where w.name = 'windowed' and e.name = 'endless';
select is(tenants.answer(format($q$(select count(*) from saas.latest_sample s where s.connection_id in (select c.id from live.connection c where c.org_id = %L))$q$, e.org_id), w.user_id, w.org_id),
          '0', 'and sees nothing of others from where he is')
  from live.org w, live.org e where w.name = 'windowed' and e.name = 'endless';
select is(live.rows_for('windowed', q), a, format('the same of: %s', q))
  from (values ($$select connection_id, metric, labels, at, value from %s where metric like 'wide\_1%%'$$, '111 rows, 0 too many, 0 missing'),
               ($$select * from %s where labels @> '{"k": 3}' and value > 2$$, '5 rows, 0 too many, 0 missing'),
               ($$select metric, count(*), sum(value) from %s group by metric$$, '728 rows, 0 too many, 0 missing'),
               ($$select * from %s where value is null$$, '239 rows, 0 too many, 0 missing'),
               ($$select * from %s where at < now() - interval '1 day'$$, '3 rows, 0 too many, 0 missing'),
               ($$select s.* from live.connection c join %s s on s.connection_id = c.id where c.name = 'changed'$$, '3 rows, 0 too many, 0 missing')) v (q, a);
select is(live.rows_for('endless', format('select * from %%s where connection_id = %L', c.id)),
          format('%s rows, 0 too many, 0 missing', case c.name when 'wide' then 700 when 'silent' then 0 when 'nothing' then 0 when 'lost' then 0 when 'lent' then 0
                                                               when 'strange' then 1 else 3 end), 'of the connection ' || c.name)
  from live.connection c where c.org = 'endless';
select is(tenants.answer($$(select string_agg(s.metric || '=' || coalesce(s.value::text, '-'), ' ' order by s.metric)
                            from saas.latest_sample s join live.connection c on c.id = s.connection_id and c.name in ('changed', 'special', 'short', 'backwards'))$$,
                         o.user_id, o.org_id),
          'backwards_1=1 backwards_2=- backwards_3=3 changed_1=20 changed_2=30 new_1=10 short_1=5 short_2=- short_3=- special_1=NaN special_2=-Infinity special_3=-0',
          'with its own values')
  from live.org o where o.name = 'windowed';
-- However the planner goes about it.
create function live.rows_without(ways text[]) returns text
language plpgsql as $$
declare
    result text;
begin
    perform set_config('enable_' || w, 'off', true) from unnest(ways) w;
    result := live.rows_for('windowed');
    perform set_config('enable_' || w, 'on', true) from unnest(ways) w;
    return result;
end
$$;
select is(live.rows_without(ways), '728 rows, 0 too many, 0 missing', format('the same without %s', ways))
  from (values ('{hashjoin}'::text[]), ('{hashjoin,mergejoin}'), ('{nestloop}'), ('{seqscan,hashjoin,indexscan}'), ('{seqscan,bitmapscan,nestloop,hashjoin}')) v (ways);

-- The functions below it

create function live.value(ids uuid[], numbers double precision[], id uuid) returns text
language sql as $$
    select case when saas.opened_has(r, id) then coalesce(saas.opened_value(r, id)::text, 'NULL') else coalesce(saas.opened_value(r, id)::text, 'none') end
      from saas.open_reading(ids, numbers) r
$$;
create function live.id(n integer) returns uuid
language sql immutable as $$ select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
select is((select string_agg(live.value(array(select live.id(i) from unnest(v.ids) with ordinality u (i, p) order by p), v.numbers, live.id(w.n)), ' ' order by w.n)
             from generate_series(0, 5) w (n)), v.answer, format('%s with %s', v.ids, v.numbers))
  from (values ('{1,2,3}'::integer[], '{10,20,30}'::double precision[], 'none 10 20 30 none none'),
               ('{5,1,4}', '{50,10,40}', 'none 10 none none 40 50'),
               ('{4,2}', '{null,20}', 'none none 20 none NULL none'),
               ('{4,2}', '{}', 'none none NULL none NULL none'),
               ('{2}', '{null,1}', 'none none NULL none none none'),
               ('{}', '{1}', 'none none none none none none')) v (ids, numbers, answer);
-- One call after another in a row: what was found before is only a guess.
select is((select string_agg(coalesce(saas.opened_value(r.opened, live.id(w.n))::text, '-'), ' ' order by w.p)
             from (select saas.open_reading(array[live.id(g), live.id(3), live.id(7)], array[g, 3 * g, 7 * g]) as opened, g from generate_series(1, 2) g offset 0) r,
                  unnest('{1,3,7,7,3,1,2,9,3,7}'::integer[]) with ordinality w (n, p)
            where r.g = 1), '1 3 7 7 3 1 - - 3 7', 'in any order');
select is((select string_agg(coalesce(saas.opened_value(r.opened, live.id(2))::text, '-'), ' ' order by r.g)
             from (select saas.open_reading(case g when 2 then '{}' else array[live.id(1), live.id(2)] end, array[g, 10 * g]) as opened, g from generate_series(1, 3) g offset 0) r),
          '10 - 30', 'from one reading to the next');
-- The third place of the first has the bits of the last value of the second, which has two.
select is((select string_agg(saas.opened_has(r.opened, r.id)::text, ' ' order by r.n)
             from (values (1, saas.open_reading(array[live.id(1), live.id(2), live.id(3)], '{}'), live.id(2)),
                          (2, decode(repeat('00', 32) || repeat('ff', 18), 'hex'), 'ffffffff-ffff-ffff-ffff-ffffffffffff')) r (n, opened, id)),
          'true false', 'and no further than a reading goes');
select is((select string_agg(format('%s %s', saas.opened_has(b, n), saas.opened_value(b, n) is null), ', ')
             from unnest(array['', '\x00', decode(repeat('00', 24), 'hex'), decode(repeat('ff', 26), 'hex'), decode(repeat('ff', 1000), 'hex')]::bytea[]) b,
                  cast('00000000-0000-0000-0000-000000000000' as uuid) n),
          'f t, f t, f t, f t, f t', 'what nobody opened has nothing');
select is(saas.open_reading(null, '{1}'), null, 'NULL is not opened');
select throws_ok($$select saas.open_reading(array[null]::uuid[], '{1}')$$, '22023', null, 'nor a series that is NULL');
select throws_ok($$select saas.open_reading('{}', '{{1,2}}')$$, '22023', null, 'nor values of two dimensions');
select * from finish();
