-- Dashboards: overview of accounts, cards, recent activity.  The grid of limits
-- is tested with the metrics.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema dash;
create table dash.person (name text primary key, user_id uuid, org_id uuid);
insert into dash.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
insert into dash.person select n, tenants.join(n, p.org_id, 'viewer'), p.org_id from dash.person p, unnest(array['viewer', 'blind']) n where p.name = 'owner';
select org_id as org, user_id as owner from dash.person where name = 'owner' \gset
select org_id as other_org from dash.person where name = 'stranger' \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'org', 'nothing', false, '{}', 5);
update saas.membership m set role = 'nothing' from dash.person p where p.name = 'blind' and m.user_id = p.user_id;
create function dash.ask(call text, person text default 'viewer') returns jsonb
language sql as $$
    select case when a ~ '^[0-9P]' then to_jsonb(a) else a::jsonb end
      from dash.person p, tenants.answer(call, p.user_id, p.org_id) a where p.name = person
$$;

select tenants.connect(:'org', 'Alpha', kind => 'aws', environment => 'production', tags => '{"team": "crm"}') as alpha \gset
select tenants.connect(:'org', 'Beta', kind => 'aws', environment => 'staging') as beta \gset
select tenants.connect(:'org', 'Silent', kind => 'aws') as silent \gset
select tenants.connect(:'org', 'Web') as web \gset
select tenants.connect(:'other_org', 'Gamma', kind => 'aws') as gamma \gset
update saas.connection_status set last_error = 'AccessDenied' where connection_id = :'silent';
select tenants.lay_out(o, c, (select jsonb_agg(jsonb_build_object('metric', 'aws_ses_' || m || '_sum', 'labels', jsonb_build_object('region', r)) order by n, r)
                                from unnest(array['send', 'delivery', 'bounce', 'complaint']) with ordinality as v (m, n), unnest(array['eu-central-1', 'us-east-1']) r)) as layout, o, c
  from (values (:'org'::uuid, :'alpha'::uuid), (:'org', :'beta'), (:'other_org', :'gamma')) as v (o, c) \g /dev/null
select tenants.lay_out(:'org', :'web', '[{"metric": "aws_ses_sent"}, {"metric": "hits"}]') as web_layout \gset
-- Two days by five minutes of whole numbers, so that sums are exact.
select setseed(0.3) as seeded \gset
select count(tenants.read(l.org_id, l.id, g.at, variadic array(
           select case when random() < 0.05 then null
                       else case when n <= 4 then 900 + floor(random() * 100) when n <= 6 then floor(random() * 120) else floor(random() * 12) end end
             from generate_series(1, 8) n where g.at is not null))) as stored
  from saas.layout l, generate_series(timestamptz '2026-03-02 00:00', '2026-03-03 23:55', '5 minutes') g (at)
 where l.connection_id in (:'alpha', :'beta', :'gamma') \gset
select tenants.read(:'org', :'web_layout', '2026-03-03 10:00', 5, 7) as reading \gset
call saas.maintain();

-- By force, from single samples.
create function dash.total(metrics text[], connections uuid[], since timestamptz, until timestamptz) returns double precision
language sql as $$
    select sum(s.value) from saas.sample s
     where s.metric = any (metrics) and s.connection_id = any (connections) and s.at >= since and s.at < until
$$;
select array[:'alpha', :'beta']::uuid[] as both \gset
\set now '''2026-03-03 00:00''::timestamptz, ''2026-03-04 00:00''::timestamptz'
\set before '''2026-03-02 00:00''::timestamptz, ''2026-03-03 00:00''::timestamptz'
create table dash.shown as select dash.ask($$saas_api.metrics_overview('2026-03-03', '2026-03-04', bucket => '1 hour')$$) as o;

select is(o - '{totals,rates,accounts,series}'::text[],
          '{"since": "2026-03-03T00:00:00+00:00", "until": "2026-03-04T00:00:00+00:00", "previous_since": "2026-03-02T00:00:00+00:00", "bucket_seconds": 3600}',
          'the range, the one before, the bucket') from dash.shown;
select is(o -> 'totals', (select jsonb_agg(jsonb_build_object('metric', m, 'total', t, 'previous', p, 'change_percent', round((100 * (t - p) / p)::numeric, 2)) order by n)
                            from unnest(array['aws_ses_send_sum', 'aws_ses_delivery_sum', 'aws_ses_bounce_sum', 'aws_ses_complaint_sum']) with ordinality as v (m, n),
                                 dash.total(array[m], :'both', :now) t, dash.total(array[m], :'both', :before) p), 'totals are those of the samples') from dash.shown;
create function dash.rate(part text, connections uuid[], review float8, pause float8) returns jsonb
language sql as $$
    select jsonb_build_object('percent', round(n::numeric, 4), 'previous', round(b::numeric, 4), 'change_points', round((n - b)::numeric, 4),
                              'level', case when n >= pause then 'pause' when n >= review then 'review' else 'ok' end, 'review_percent', review, 'pause_percent', pause)
      from (select 100 * dash.total(array[part], connections, '2026-03-03', '2026-03-04') / dash.total('{aws_ses_send_sum}', connections, '2026-03-03', '2026-03-04') as n,
                   100 * dash.total(array[part], connections, '2026-03-02', '2026-03-03') / dash.total('{aws_ses_send_sum}', connections, '2026-03-02', '2026-03-03') as b) r
$$;
select is(o -> 'rates', jsonb_build_object('bounce_rate', dash.rate('aws_ses_bounce_sum', :'both', 5, 10), 'complaint_rate', dash.rate('aws_ses_complaint_sum', :'both', 0.1, 0.5)),
          'rates are of what all accounts sent') from dash.shown;
select is(o #>> '{rates,bounce_rate,level}', 'review', 'six percent bounced are to be looked at') from dash.shown;
select is(o #>> '{rates,complaint_rate,level}', 'pause', 'more than half a percent of complaints may stop the account') from dash.shown;
select is(jsonb_path_query_array(o, '$.accounts[*].name'), (select jsonb_agg(name order by t desc nulls last) from (values ('Alpha', :'alpha'), ('Beta', :'beta'), ('Silent', :'silent')) v (name, id),
          dash.total('{aws_ses_send_sum}', array[id]::uuid[], :now) t), 'the accounts, with most sent first, the ones without figures last') from dash.shown;
select is((select a - '{metrics,rates}'::text[] from jsonb_array_elements(o -> 'accounts') a where a ->> 'name' = 'Alpha'),
          jsonb_build_object('connection_id', :'alpha', 'name', 'Alpha', 'kind', 'aws', 'environment', 'production', 'environment_color', 'red', 'status', 'inactive',
                             'health', 'unknown', 'last_updated', null, 'error', null), 'what an account is') from dash.shown;
select is(a -> 'metrics', (select jsonb_object_agg(m, jsonb_build_object('value', t, 'previous', dash.total(array[m], array[id]::uuid[], :before),
                                                                         'share_percent', round((100 * t / dash.total(array[m], :'both', :now))::numeric, 2)))
                             from unnest(array['aws_ses_send_sum', 'aws_ses_delivery_sum', 'aws_ses_bounce_sum', 'aws_ses_complaint_sum']) m,
                                  dash.total(array[m], array[id]::uuid[], :now) t), format('figures and shares of %s', name))
  from dash.shown, jsonb_array_elements(o -> 'accounts') a, (values ('Alpha', :'alpha'), ('Beta', :'beta')) v (name, id) where a ->> 'name' = name;
select is(a -> 'rates', jsonb_build_object('bounce_rate', dash.rate('aws_ses_bounce_sum', array[id]::uuid[], 5, 10), 'complaint_rate', dash.rate('aws_ses_complaint_sum', array[id]::uuid[], 0.1, 0.5)),
          format('and rates of %s', name))
  from dash.shown, jsonb_array_elements(o -> 'accounts') a, (values ('Alpha', :'alpha'), ('Beta', :'beta')) v (name, id) where a ->> 'name' = name;
select is((select jsonb_build_array(a -> 'error', a #> '{metrics,aws_ses_send_sum}', a -> 'rates') from jsonb_array_elements(o -> 'accounts') a where a ->> 'name' = 'Silent'),
          '["AccessDenied", {"value": null, "previous": null, "share_percent": null}, {}]', 'an account that never answered is there with its error') from dash.shown;
select is(o -> 'series', (select jsonb_agg(jsonb_build_object('connection_id', x.id, 'points', x.points) order by x.total desc)
                            from (select id, dash.total('{aws_ses_send_sum}', array[id]::uuid[], :now) as total,
                                         (select jsonb_agg(jsonb_build_array(h, dash.total('{aws_ses_send_sum}', array[id]::uuid[], h, h + interval '1 hour')) order by h)
                                            from generate_series(timestamptz '2026-03-03', '2026-03-03 23:00', '1 hour') h) as points
                                    from unnest(:'both'::uuid[]) id) x), 'a line of what each account sent') from dash.shown;
select is(jsonb_array_length(dash.ask($$saas_api.metrics_overview('2026-03-03', '2026-03-04', top => 1)$$) -> 'series'), 1, 'of the largest only');
select is(dash.ask($$saas_api.metrics_overview('2026-03-03', '2026-03-04', environments => '{staging}')$$) #> '{totals,0,total}', to_jsonb(dash.total('{aws_ses_send_sum}', array[:'beta']::uuid[], :now)),
          'connections are filtered');
select is(jsonb_path_query_array(dash.ask($$saas_api.metrics_overview('2026-03-03', '2026-03-04', '{hits}')$$), '$.accounts[*].name') || (dash.ask($$saas_api.metrics_overview('2026-03-03', '2026-03-04', '{hits}')$$) -> 'rates'),
          '["Web", {}]', 'of other metrics: who has them, without rates');
select is(dash.ask($$saas_api.metrics_overview('2020-01-01', '2020-01-02', '{nothing}')$$) - '{since,until,previous_since,bucket_seconds}'::text[],
          '{"rates": {}, "series": [], "totals": [{"metric": "nothing", "total": null, "previous": null, "change_percent": null}], "accounts": []}', 'an unknown metric has nothing');
select is(saas_private.rate_level(p, 5, 10), level, format('%s percent', p)) from (values (4.999, 'ok'), (5, 'review'), (9.999, 'review'), (10, 'pause'), (null, null)) v (p, level);

-- Cards and activity

update saas.app_user set last_login_at = now() - interval '29 days' where id = :'owner';
update saas.app_user set last_login_at = now() - interval '31 days' from dash.person p where p.name = 'viewer' and id = p.user_id;
update saas.connection set is_active = true where id in (:'alpha', :'web');
update saas.connection_status set status = 'active', last_success_at = now(), next_poll_at = 'infinity' where connection_id = :'alpha';
update saas.connection_status set status = 'error', consecutive_failures = 5, next_poll_at = 'infinity' where connection_id = :'web';
select is(dash.ask('saas_api.dashboard_cards()'), '{"connections": {"active": 2, "total": 4, "failing": 1}, "members": {"signed_in_30_days": 1, "total": 3}}', 'the cards');
select is(dash.ask('saas_api.dashboard_cards()', 'stranger'), '{"connections": {"active": 0, "total": 1, "failing": 0}, "members": {"signed_in_30_days": 0, "total": 1}}', 'of somebody else their own');
begin;
select saas.assume_identity(:'owner', :'org') \g /dev/null
set local session authorization saas_user;
select saas_api.create_connection_group('Group ' || n) from generate_series(1, 3) n \g /dev/null
reset session authorization;
commit;
select is(jsonb_path_query_array(dash.ask('saas_api.recent_activity(2)'), '$[*].summary'), '["The operator created connection group Group 3", "The operator created connection group Group 2"]', 'what happened last');
select is((select array_agg(k order by k) from jsonb_object_keys(dash.ask('saas_api.recent_activity()') -> 0) k),
          '{action,actor_id,actor_name,at,id,object_id,object_name,object_type,summary}', 'without what was changed');
select is(jsonb_path_exists(dash.ask('saas_api.recent_activity(1000)', 'stranger'), '$[*] ? (@.object_name starts with "Group")'), false, 'is the organization''s own');

-- Others, and bad input

select is(dash.ask(call, 'blind'), to_jsonb(E'PT403\npermission denied by the organization''s roles\nview_dashboard'::text), format('%s needs view_dashboard', call))
  from unnest(array['saas_api.metrics_overview()', 'saas_api.dashboard_cards()', 'saas_api.recent_activity()']) call;
select is(jsonb_path_query_array(dash.ask($$saas_api.metrics_overview('2026-03-03', '2026-03-04')$$, 'stranger'), '$.accounts[*].name'), '["Gamma"]', 'a stranger sees their own accounts');
select is(dash.ask(format($$saas_api.metrics_overview('2026-03-03', '2026-03-04', connection_ids => array[%L]::uuid[])$$, :'gamma')) -> 'accounts', '[]', 'a foreign connection is none');
select is(split_part(dash.ask(call) #>> '{}', E'\n', 3), problem, call)
  from (values ($$saas_api.metrics_overview('2026-03-04', '2026-03-03')$$, '[{"field": "since", "message": "must be before until, both finite"}]'),
               ($$saas_api.metrics_overview(metrics => '{}')$$, '[{"field": "metrics", "message": "must be 1 to 10 different metrics"}]'),
               ($$saas_api.metrics_overview(metrics => '{a,a}')$$, '[{"field": "metrics", "message": "must be 1 to 10 different metrics"}]'),
               ($$saas_api.metrics_overview(metrics => '{a,NULL}')$$, '[{"field": "metrics", "message": "must be 1 to 10 different metrics"}]'),
               ($$saas_api.metrics_overview(top => 0)$$, '[{"field": "top", "message": "must be 1 to 100"}]'),
               ($$saas_api.metrics_overview(top => 101)$$, '[{"field": "top", "message": "must be 1 to 100"}]'),
               ($$saas_api.metrics_overview('2020-01-01', '2026-01-01', bucket => '1 second')$$, '[{"field": "bucket", "message": "cuts the range into more than 11000 buckets"}]'),
               ($$saas_api.metrics_overview(tags => '[]')$$, '[{"field": "tags", "message": "must be an object"}]'),
               ($$saas_api.recent_activity(0)$$, '[{"field": "count", "message": "must be between 1 and 1000"}]'),
               ($$saas_api.recent_activity(1001)$$, '[{"field": "count", "message": "must be between 1 and 1000"}]')) v (call, problem);

-- One pass over what is stored, however many metrics and ranges.
create function dash.scans() returns numeric
language sql as $$
    select sum(pg_stat_get_xact_numscans(i.indexrelid))
      from unnest(array['saas.reading', 'saas.reading_5m', 'saas.reading_1h', 'saas.reading_1d']) r (name), pg_partition_tree(r.name::regclass) t
      join pg_index i on i.indrelid = t.relid
$$;
create function dash.scans_of(metrics text[]) returns numeric
language plpgsql as $$
declare
    before constant numeric := dash.scans();
begin
    perform saas_private.metric_figures(metrics, '{2026-03-02,2026-03-03,2026-03-03 11:07}', '{}', array(select c.id from saas.connection c));
    return dash.scans() - before;
end
$$;
begin;
select saas.assume_identity(:'owner', :'org') \g /dev/null
select dash.scans_of('{aws_ses_send_sum}') as once \gset
select cmp_ok(:once::numeric, '>', 0::numeric, 'the sums of a metric are looked up');
select is(dash.scans_of('{aws_ses_send_sum,aws_ses_delivery_sum,aws_ses_bounce_sum,aws_ses_complaint_sum}'), :once::numeric, 'those of four in the same scans');
commit;

select * from finish();
