-- How long metrics are kept, and what is shown of them, by plan and level.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';

select (tenants.found('short')).org_id as short \gset
select (tenants.found('long')).org_id as long \gset
select (tenants.found('ever')).org_id as ever \gset
select results_eq('select name, retention_days, retention_5m_days, retention_1h_days, retention_1d_days from saas.plan order by name',
                  $$values ('enterprise', null::integer, null::integer, null::integer, null::integer), ('free', 1, 7, 30, 90),
                           ('pro', 400, 400, 800, 3650), ('starter', 30, 90, 400, 1500)$$, 'what plans keep');
select lives_ok($$select saas.set_plan_retention('free', 2, 4, 8, 16)$$, 'an operator changes it');
select is((select after from saas.audit_event where action = 'plan.retention_changed'),
          '{"readings": 2, "rollups_5m": 4, "rollups_1h": 8, "rollups_1d": 16}'::jsonb, 'which is audited');
select throws_ok(format('select saas.set_plan_retention(%s)', arguments), '22023', 'invalid input', format('%s is refused', arguments))
  from unnest(array['''free'', 0, 4, 8, 16', '''free'', 5, 4, 8, 16', '''free'', null, 4, 8, 16', '''free'', 2, 4, null, 16', '''free'', 2, 4, 8, -1', '''free'', 2, 4, 8, 36501',
                  '''free'', 36501, 36501, 36501, 36501']) arguments;
select throws_ok($$select saas.set_plan_retention('none', 1, 1, 1, 1)$$, 'PT404', 'there is no such plan', 'an unknown plan too');
select saas.set_plan_retention('pro', 40, 40, 40, 40) as changed \gset
update saas.organization set plan = case id when :'short' then 'free' when :'long' then 'pro' else plan end;

-- Ten readings at noon of each of 60 days.
create table public.source as
select o.org, c.id as connection_id, tenants.lay_out(o.org, c.id, '[{"metric": "m"}]') as layout_id
  from (select unnest(array[:'short', :'long', :'ever']::uuid[]) as org) o, lateral (select tenants.connect(o.org, 'One') as id) c;
create function public.days_ago(days integer) returns timestamptz
language sql stable as $$ select date_trunc('day', now(), 'UTC') - make_interval(days => days) + interval '12 hours' $$;
select count(tenants.read(s.org, s.layout_id, days_ago(d) + m * interval '1 minute', 1)) as stored
  from public.source s, generate_series(1, 60) d, generate_series(0, 9) m \gset
-- Rolled up by hand: what is to be trimmed is here still.
select count(saas_private.roll_due(date_bin('5 minutes', now(), '2000-01-03'), 10)) as rolled from generate_series(1, 62) \gset
select is((select count(*) from saas.reading_5m), 3 * 60 * 2::bigint, 'all is rolled up');

create function public.oldest(org uuid, bucket text) returns integer
language plpgsql as $$
declare
    answer text;
begin
    answer := tenants.answer(format('(select extract(day from date_trunc(''day'', now(), ''UTC'') - date_trunc(''day'', min(bucket_at), ''UTC'')) from saas_api.query_metric(''m'', now() - %L::interval, fn => ''sum'', bucket => %L))', case bucket when '5 minutes' then '30 days' else '90 days' end, bucket), m.user_id, m.org_id)
       from saas.membership m where m.org_id = oldest.org;
    return answer;
end
$$;
create function public.kept(org uuid) returns integer[]
language sql as $$
    select array[(select count(distinct date_trunc('day', at)) from saas.reading where org_id = kept.org),
                 (select count(distinct date_trunc('day', at)) from saas.reading_5m where org_id = kept.org),
                 (select count(distinct date_trunc('day', at)) from saas.reading_1h where org_id = kept.org),
                 (select count(*) from saas.reading_1d where org_id = kept.org)]::integer[]
$$;
-- Before anything is deleted: within a day of the limit, whatever the time.
select ok(oldest(:'short', bucket) between days - 1 and days, format('buckets of %s show %s days', bucket, days))
  from (values ('13 minutes', 2), ('5 minutes', 4), ('1 hour', 8), ('1 day', 16)) as v (bucket, days);
select is(oldest(:'long', '1 day') between 39 and 40, true, 'another plan shows its own');
select is(oldest(:'ever', '1 day'), 60, 'and one without a limit everything');
select ok((select tenants.answer('(select min(at) from saas_api.samples)', m.user_id, m.org_id)::timestamptz >= now() - interval '2 days'), 'so does the view of samples')
  from saas.membership m where m.org_id = :'short';
select is((select count(*) from saas.sample where org_id = :'short'), 600::bigint, 'nobody in particular sees everything');
-- The tables themselves, for a member with a login, whichever way the rows are asked for.
select ok(tenants.answer(format('(select extract(day from now() - min(at)) from saas.%I)', t), m.user_id, m.org_id)::integer between days - 1 and days,
          format('%s shows a member %s days', t, days))
  from saas.membership m, (values ('reading', 2), ('reading_5m', 4), ('reading_1h', 8), ('reading_1d', 16)) as v (t, days) where m.org_id = :'short';
select is(tenants.answer(format('(select count(*) from saas.%I where at < now() - interval ''%s days'' or at = any (array(select days_ago(d) from generate_series(%s, 60) d)))', t, days, days + 1),
                         m.user_id, m.org_id), '0', format('and whoever asks %s for older ones gets none', t))
  from saas.membership m, (values ('reading', 2), ('reading_5m', 4), ('reading_1h', 8), ('reading_1d', 16)) as v (t, days) where m.org_id = :'short';
select is(tenants.answer('(select count(*) from saas.reading)', m.user_id, m.org_id), '600', 'without a limit all are shown') from saas.membership m where m.org_id = :'ever';
select is(tenants.answer(format('(select count(*) from %s)', i.inhrelid::regclass), m.user_id, m.org_id), e'42501\npermission denied for table ' || c.relname, 'a partition is nobody''s to read')
  from saas.membership m, pg_inherits i join pg_class c on c.oid = i.inhrelid where m.org_id = :'short' and i.inhparent = 'saas.reading'::regclass order by c.relname limit 1;
select is(saas_private.window_since(level), '-infinity'::timestamptz, 'without an organization there is no limit') from generate_series(0, 3) level;
select throws_ok('select saas_private.window_since(4)', '22023', 'there is no such level', 'there is no fifth level');

-- Deleted

create table public.partition_before as select inhrelid::regclass as part from pg_inherits where inhparent = 'saas.reading'::regclass;
call saas.maintain();
select is(kept(:'short'), array[2, 4, 8, 16], 'of a plan that keeps little, that is left');
select is(kept(:'long'), array[40, 40, 40, 40], 'of one with more, more');
select is(kept(:'ever'), array[60, 60, 60, 60], 'and of one without a limit all');
select is_empty('select part from public.partition_before except select inhrelid::regclass from pg_inherits', 'no partition went that somebody keeps');
select ok(oldest(:'short', '1 day') between 15 and 16, 'rollups outlive their readings');
-- Nothing that was trimmed comes back, or goes, when something comes late.
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select org, connection_id, days_ago(20), days_ago(0) from public.source where org = :'short';
select tenants.read(s.org, s.layout_id, days_ago(3) + interval '90 seconds', 7) as stored from public.source s where s.org = :'short' \gset
call saas.maintain();
select is((select r.sum from saas.reading_5m r where r.org_id = :'short' and r.at = days_ago(3)), array[5]::float8[],
          'a bucket whose readings are gone is not made anew of the one that came late');
delete from saas.reading where org_id = :'short' and at < days_ago(2);
select is(kept(:'short'), array[2, 4, 8, 16], 'a late reading does not bring back or take away anything else');
-- The first day of those that are kept is whole.
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select org, connection_id, days_ago(2), days_ago(2) + interval '5 minutes' from public.source where org = :'short';
select tenants.read(s.org, s.layout_id, days_ago(2) + interval '90 seconds', 7) as stored from public.source s where s.org = :'short' \gset
call saas.maintain();
select is((select r.sum from saas.reading_5m r where r.org_id = :'short' and r.at = days_ago(2)), array[12]::float8[],
          'what comes late on the oldest day that is kept is rolled up');
-- A plan that keeps more brings back no reading.
update saas.organization set plan = 'enterprise' where id = :'short';
insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
select org, connection_id, days_ago(3), days_ago(3) + interval '5 minutes' from public.source where org = :'short';
select tenants.read(s.org, s.layout_id, days_ago(3) + interval '90 seconds', 7) as stored from public.source s where s.org = :'short' \gset
call saas.maintain();
select is((select r.sum from saas.reading_5m r where r.org_id = :'short' and r.at = days_ago(3)), array[5]::float8[],
          'nor is it made anew after a change to a plan that keeps more');
update saas.organization set plan = 'free' where id = :'short';
delete from saas.reading where org_id = :'short' and at < days_ago(2);

-- In bounded batches.
select count(tenants.read(s.org, s.layout_id, days_ago(30) + m * interval '1 minute', 1)) as stored
  from public.source s, generate_series(0, 99) m where s.org = :'short' \gset
update saas_private.rollup_progress set trimmed_at = '-infinity';
select is(saas_private.trim_expired(10, 30), 30, 'as many rows as were asked for');
select is((select count(*) from saas.reading where org_id = :'short' and at < now() - interval '5 days'), 70::bigint, 'and no more');
call saas.maintain();
select is((select count(*) from saas.reading where org_id = :'short' and at < now() - interval '5 days'), 0::bigint, 'until all are gone');

-- Whole partitions, once nobody is left who keeps them.
update saas.organization set plan = 'pro' where id = :'ever';
select saas.set_plan_retention('pro', 10, 20, 30, 400) as changed \gset
update saas_private.rollup_progress set trimmed_at = now() - interval '6 hours 1 second';
call saas.maintain();
select is((select count(*) from public.partition_before b where not exists (select from pg_inherits i where i.inhrelid = b.part::oid)) >= 6, true,
          'partitions past every plan''s retention are dropped')
  from (select 1) x;
select is(kept(:'ever'), array[10, 20, 30, 60], 'the rest is trimmed');
-- Not before every connection has noted that its readings of that time are gone.
select saas_private.ensure_reading_partition('2001-01-03') as made \gset
update saas_private.rollup_progress set trimmed_at = now(), kept_since = case when connection_id = (select connection_id from public.source where org = :'long') then '2001-01-03' else kept_since end;
call saas.maintain();
select is(saas_private.drop_expired(), 0, 'a partition stays as long as a connection takes it for kept');
select isnt(to_regclass('saas.reading_2001_w01'), null, 'as it does here');
update saas_private.rollup_progress set trimmed_at = '-infinity';
call saas.maintain();
select is(to_regclass('saas.reading_2001_w01'), null, 'and goes when it does not');
select is(saas_private.drop_partition('reading', '-infinity'), 0, 'nothing ends before all time');
select throws_ok($$select saas_private.drop_partition('plan', now())$$, '22023', 'there is no such level', 'and nothing else is dropped');
-- What is too old to be seen goes with its connection all the same.
select count(tenants.read(s.org, s.layout_id, days_ago(30) + m * interval '1 minute', 1)) as stored from public.source s, generate_series(0, 9) m where s.org = :'short' \gset
select is(tenants.answer(format('saas_api.delete_connection(%L, ''One'')', s.connection_id), m.user_id, m.org_id) !~ '^[0-9P]', true, 'a connection is deleted')
  from public.source s join saas.membership m on m.org_id = s.org where s.org = :'short';
select is(array(select (select count(*) from saas.reading r where r.org_id = :'short') + (select count(*) from saas.reading_1d r where r.org_id = :'short')), array[0::bigint], 'with what nobody is shown any more');
select is(tenants.answer('saas.visible_since() between now() - interval ''2 days 1 hour'' and now() - interval ''2 days''', m.user_id, m.org_id), 'true', 'visible_since tells')
  from saas.membership m where m.org_id = :'short';
select is(saas.visible_since(), '-infinity'::timestamptz, 'without an organization there is no limit');

-- Series and layouts go once nothing of them can be left: 16 days, and 8 for
-- what is written before it is noted as seen.
create table public.churned as select c.id, tenants.lay_out(:'short', c.id, '[{"metric": "gone"}, {"metric": "stays"}]') as layout_id
  from (select tenants.connect(:'short', 'Churn') as id) c;
select tenants.lay_out(:'short', id, '[{"metric": "stays"}]') as stays from public.churned \gset
create function public.churned(of_series interval, of_layout interval) returns text
language plpgsql as $$
begin
    update saas.series s set seen_at = now() - of_series from public.churned c where s.connection_id = c.id and s.metric = 'gone';
    update saas.layout l set seen_at = now() - of_layout from public.churned c where l.id = c.layout_id;
    update saas_private.rollup_progress set trimmed_at = '-infinity';
    perform saas_private.trim_expired(10, 1000);
    return (select string_agg(s.metric, ' ' order by s.metric) from saas.series s join public.churned c on c.id = s.connection_id)
           || (select format(' %s', count(*)) from saas.layout l join public.churned c on c.id = l.connection_id);
end
$$;
call saas.maintain();
select is(public.churned('24 days', '24 days'), 'gone stays 2', 'what may have a value within them stays');
select is(public.churned('25 days', '24 days'), 'stays 2', 'a series goes by itself');
select is(public.churned('25 days', '25 days'), 'stays 1', 'and so does a layout');
select count(tenants.lay_out(:'short', id, format('[{"metric": "m%s"}]', n)::jsonb)) as laid from public.churned, generate_series(1, 20) n \gset
select tenants.lay_out(:'ever', s.connection_id, '[{"metric": "old"}]') as laid from public.source s where s.org = :'ever' \gset
update saas.series set seen_at = now() - interval '300 days' where metric ~ 'm\d+|old';
update saas.layout set seen_at = now() - interval '300 days'
 where created_at > now() - interval '1 hour' and id <> :'stays' and series_ids && array(select id from saas.series where metric ~ 'm\d+|old');
update saas_private.rollup_progress set trimmed_at = case connection_id when (select id from public.churned) then '-infinity' else 'infinity' end::timestamptz;
select is(saas_private.trim_expired(10, 10), 1, 'of layouts, which may be large, a tenth of the rows that were asked for');
select is(saas_private.trim_expired(10, 200), 39, 'then the others and their series');
select is(saas_private.trim_expired(10, 200), 1, 'then the connection is done with');
select is(saas_private.trim_expired(10, 200), 0, 'until none is due');
update saas_private.rollup_progress set trimmed_at = '-infinity';
call saas.maintain();
select results_eq($$select metric from saas.series where metric ~ 'm\d+|old'$$, array['old'], 'where days are kept for longer their series are');
update saas.organization set plan = 'enterprise' where id = :'ever';
update saas.series set seen_at = now() - interval '9000 days' where metric = 'old';
update saas.layout set seen_at = now() - interval '9000 days' where org_id = :'ever';
update saas_private.rollup_progress set trimmed_at = '-infinity';
call saas.maintain();
select results_eq($$select metric from saas.series where metric ~ 'm\d+|old'$$, array['old'], 'for ever where they are kept for ever');

-- Rollups of two layouts make one that is seen, too.
select saas_private.union_layout(:'short', id, array[layout_id, :'stays']) as union_id from public.churned \gset
update saas.layout set seen_at = now() - interval '8 days' where id = :'union_id';
select saas_private.union_layout(:'short', id, array[layout_id, :'stays']) = :'union_id' as same from public.churned \gset
select ok((select seen_at > now() - interval '1 day' from saas.layout where id = :'union_id'), 'the layout of several is seen when it is used again');

select * from finish();
