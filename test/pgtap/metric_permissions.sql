-- Who may ask for metrics, dashboards, charts, exports, costs and saved views:
-- members and API keys with each single permission, with none, with pairs and
-- with all call every function; each answers, names the first permission that is
-- missing in the order that its comment has, or shows nothing, as documented.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'UTC';

create schema perms;
select (t).user_id as owner, (t).org_id as org from tenants.found('owner') t \gset
select (t).user_id as other, (t).org_id as other_org from tenants.found('other') t \gset

select (t).user_id as empty, (t).org_id as empty_org from tenants.found('empty') t \gset
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

-- Those that are documented without PT403 answer as if there were nothing.
create table perms.call (n serial primary key, statement text, needs text[], is_silent boolean);
insert into perms.call (statement, needs, is_silent)
select replace(v.statement, 'DAY', $$'2026-03-01', '2026-03-02'$$), v.needs::text[], v.is_silent
  from (values ('(select string_agg(q::text, '' '') from saas_api.query_metric(''hits'', DAY) q)', '{view_dashboard}', true),
               ('saas_api.explain_metric(''hits'', DAY)', '{view_dashboard}', true),
               ('saas_api.metric_totals(''hits'', DAY)', '{view_dashboard}', true),
               ('(select string_agg(q::text, '' '') from saas_api.compare_metric(''hits'', DAY, periods => ''{1 day}'') q)', '{view_dashboard}', true),
               ('(select string_agg(q::text, '' '') from saas_api.metric_ratio(''hits'', ''misses'', DAY) q)', '{view_dashboard}', true),
               ('(select string_agg(q::text, '' '') from saas_api.bounce_rate(DAY) q)', '{view_dashboard}', true),
               ('(select string_agg(q::text, '' '') from saas_api.top_metric(''hits'', DAY) q)', '{view_dashboard}', true),
               ('saas_api.limits_overview()', '{view_dashboard}', true),
               ('saas_api.line_chart(''hits'', DAY)', '{view_dashboard}', true),
               ('saas_api.bar_chart(''hits'', DAY)', '{view_dashboard}', true),
               ('saas_api.sparkline(''hits'', DAY)', '{view_dashboard}', true),
               ('saas_api.gauge(''hits'')', '{view_dashboard}', true),
               ('saas_api.metrics_overview()', '{view_dashboard}', false),
               ('saas_api.dashboard_cards()', '{view_dashboard}', false),
               ('saas_api.recent_activity()', '{view_dashboard}', false),
               ('saas_api.export_csv()', '{export_data,view_dashboard}', false),
               ('saas_api.export_openmetrics()', '{export_data,view_dashboard}', false),
               ('saas_api.set_metric_price(''misses'', 1)', '{manage_settings}', false),
               ('saas_api.delete_metric_price(''hits'', ''2026-01-01'')', '{manage_settings}', false),
               ('saas_api.cost_report()', '{view_reports,view_dashboard}', false),
               ('saas_api.save_view(''mine'', ''{}'')', '{view_dashboard}', false),
               ('saas_api.save_view(''ours'', ''{}'', true)', '{view_dashboard,manage_connections}', false),
               ('saas_api.delete_saved_view(''0196a3b0-0000-7000-8000-000000000001'')', '{view_dashboard,manage_connections}', false)) v (statement, needs, is_silent);

-- What is read directly is empty instead.
create table perms.reads (relation text primary key, needs_any text[]);
insert into perms.reads
select v.relation, v.needs::text[]
  from (values ('saas_api.samples', '{view_dashboard}'), ('saas_api.latest_samples', '{view_dashboard}'), ('saas_api.saved_views', '{view_dashboard}'),
               ('saas.series', '{view_dashboard}'), ('saas.layout', '{view_dashboard}'), ('saas.reading', '{view_dashboard}'), ('saas.reading_5m', '{view_dashboard}'),
               ('saas.reading_1h', '{view_dashboard}'), ('saas.reading_1d', '{view_dashboard}'),
               ('saas_api.metric_prices', '{view_reports,manage_settings}')) v (relation, needs);

-- Something of everything, in another organization too.
create function perms.fill(owner uuid, org uuid) returns void
language plpgsql as $$
declare
    layout uuid := tenants.lay_out(org, tenants.connect(org, 'Web', 'salesforce'), '[{"metric": "hits"}, {"metric": "misses"}, {"metric": "aws_ses_send_sum"}, {"metric": "aws_ses_bounce_sum"}, {"metric": "salesforce_limit_max", "labels": {"limit": "A"}}, {"metric": "salesforce_limit_remaining", "labels": {"limit": "A"}}]');
begin
    perform tenants.read(org, layout, '2026-03-01 12:01', 5, 6, 100, 1, 10, 5);
    insert into saas.metric_price (org_id, metric, valid_from, price, per_units, currency, fn, created_by)
    values (org, 'hits', '2026-01-01', 1, 1, 'USD', 'sum', fill.owner);
    insert into saas_private.saved_view (org_id, id, name, selection, created_by)
    values (org, '0196a3b0-0000-7000-8000-000000000001', 'shared', '{}', fill.owner);
    perform saas_private.ensure_rollup_partition(l, '2026-03-01') from unnest('{5m,1h,1d}'::text[]) l;
    insert into saas.reading_5m select org_id, connection_id, date_bin('5 minutes', at, '2000-01-03'), layout_id, array_fill(1::float8, '{6}'), "values", "values", "values", "values", "values", array_fill(0::float8, '{6}')
      from saas.reading r where r.org_id = org;
    insert into saas.reading_1h select * from saas.reading_5m r where r.org_id = org;
    insert into saas.reading_1d select * from saas.reading_5m r where r.org_id = org;
end
$$;
select perms.fill(:'owner', :'org') as filled, perms.fill(:'other', :'other_org') as filled_too \gset

-- The sets of permissions, each of a role of its own.
create table perms.holder (n integer primary key, permissions text[], user_id uuid, key text, org_id uuid);
insert into perms.holder (n, permissions)
select row_number() over (order by cardinality(v.p), v.p), v.p
  from (select array[k.name] from saas_private.known_permissions() k
        union all values ('{}'::text[]), ('{export_data,view_dashboard}'), ('{view_dashboard,view_reports}'), ('{manage_connections,view_dashboard}'), ('{manage_settings,view_reports}')
        union all select array_agg(k.name order by k.name) from saas_private.known_permissions() k) v (p);
insert into saas.role (org_id, name, is_builtin, permissions, rank)
select :'org', 'set_' || n, false, permissions, 5 from perms.holder;
update perms.holder set org_id = :'org', user_id = tenants.join('member' || n, :'org', 'set_' || n);
insert into saas.role (org_id, name, is_builtin, permissions, rank) values (:'org', 'fading', false, '{manage_applications}', 5);
select tenants.join('fading', :'org', 'fading') as fading \gset
select format($$update perms.holder set key = substring(tenants.answer(%L, %L, %L) from '"key": "([^"]+)"') where n = %s$$,
              format('saas_api.create_api_key(%L, %L)', 'key ' || n, case permissions when '{}' then '{manage_applications}' else permissions end),
              case permissions when '{}' then :'fading' else :'owner' end, :'org', n) from perms.holder \gexec
-- A key never holds more than who made it.
update saas.role set permissions = '{}' where name = 'fading';
select is((select count(*) from perms.holder where key is null), 0::bigint, 'there is a key of each set');

-- The answers of all, of which nothing stays, and whether there are rows.
create function perms.answers(holder perms.holder, is_key boolean) returns text[]
language plpgsql as $$
declare
    calls constant text[] := array(select c.statement from perms.call c order by c.n);
    relations constant text[] := array(select r.relation from perms.reads r order by r.relation);
    answers text[] := '{}';
    statement text;
    answer text;
    missing text;
begin
    if is_key then
        perform saas.authenticate(holder.key);
    else
        perform saas.assume_identity(holder.user_id, holder.org_id);
    end if;
    set local session authorization saas_user;
    foreach statement in array calls loop
        begin
            execute format('select (%s)::text', statement) into answer;
            raise exception using errcode = 'ZZ001';
        exception when sqlstate 'ZZ001' then
            answers := answers || coalesce(answer, '');
        when others then
            get stacked diagnostics missing = pg_exception_detail;
            answers := answers || concat_ws(' ', sqlstate, nullif(missing, ''), case when sqlstate <> 'PT403' then sqlerrm end);
        end;
    end loop;
    foreach statement in array relations loop
        execute format('select case when exists (select from %s) then ''rows'' else ''none'' end', statement) into answer;
        answers := answers || answer;
    end loop;
    reset session authorization;
    return answers;
end
$$;
-- Of an organization that has nothing, to somebody who may do everything.
create table perms.nothing as select perms.answers((0, null, :'empty', null, :'empty_org'), false) as answers;
create function perms.outcomes(answers text[]) returns text[]
language sql as $$
    select array_agg(case when a.answer ~ '^[0-9A-Z]{5} |^(rows|none)$' then a.answer
                          when c.is_silent and a.answer = n.answers[a.n] then 'nothing' else 'answered' end order by a.n)
      from perms.nothing n, unnest(outcomes.answers) with ordinality a (answer, n) left join perms.call c using (n)
$$;
create function perms.expected(permissions text[]) returns text[]
language sql as $$
    select array(select case when c.is_silent then case when c.needs <@ permissions then 'answered' else 'nothing' end
                             else coalesce((select 'PT403 ' || p.name from unnest(c.needs) with ordinality as p (name, n)
                                             where p.name <> all (permissions) order by p.n limit 1), 'answered') end
                   from perms.call c order by c.n)
           || array(select case when r.needs_any && permissions then 'rows' else 'none' end from perms.reads r order by r.relation)
$$;
select format('select is(perms.outcomes(perms.answers(h, %L)), perms.expected(h.permissions), %L) from perms.holder h where n = %s',
              is_key, case when is_key then 'a key with ' else 'a member with ' end || permissions::text, n)
  from perms.holder, unnest('{f,t}'::boolean[]) is_key order by n, is_key \gexec

-- None of which needed to be guessed, or was left out.
select is((select count(*) from perms.holder), 19::bigint, 'with each permission, none, pairs and all');
select set_eq($$select p.proname::text from pg_proc p where p.pronamespace = 'saas_api'::regnamespace
                   and (p.proname ~ '(metric|chart|spark|gauge|export_|bounce|cost_report|saved?_view|dashboard)' or p.proname in ('limits_overview', 'recent_activity'))$$,
              $$select distinct substring(statement from 'saas_api\.(\w+)\(') from perms.call$$, 'every function is called');
select is((select array_agg(format('%s: %s', p.proname, d.said) order by p.proname)
             from pg_proc p
             join (select substring(statement from 'saas_api\.(\w+)\(') as name, array_agg(distinct needs) as needs from perms.call group by 1) c on c.name = p.proname
            cross join lateral (select substring(obj_description(p.oid, 'pg_proc') from 'For saas_user with ([^.]*)\.') as said) d
            where p.pronamespace = 'saas_api'::regnamespace
              and d.said <> case when p.proname in ('save_view', 'delete_saved_view') then 'view_dashboard; with manage_connections for shared ones'
                                 else array_to_string((select needs from perms.call x where substring(x.statement from 'saas_api\.(\w+)\(') = p.proname limit 1), ' and ') end),
          null, 'and needs what its comment says');

select set_eq($$select p.proname::text from pg_proc p where p.pronamespace = 'saas_api'::regnamespace and obj_description(p.oid, 'pg_proc') !~ 'PT403'
                   and p.proname in (select substring(c.statement from 'saas_api\.(\w+)\(') from perms.call c)$$,
              $$select distinct substring(statement from 'saas_api\.(\w+)\(') from perms.call where is_silent$$, 'those that refuse nobody by name say so');

-- Nobody at all.
select format('select is(split_part(tenants.answer(%L), E''\n'', 1), %L, %L)', statement, 'PT401', 'nobody: ' || statement) from perms.call order by n \gexec

select * from finish();
