-- Prices of metrics and the report of costs.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();
set timezone = 'Asia/Kolkata';
update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;

create schema cost;
create table cost.person (name text primary key, user_id uuid, org_id uuid);
insert into cost.person select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['owner', 'stranger']) n) f;
insert into cost.person select n, tenants.join(n, p.org_id, 'viewer'), p.org_id from cost.person p, unnest(array['admin', 'viewer', 'clerk', 'setter']) n where p.name = 'owner';
select org_id as org, user_id as owner from cost.person where name = 'owner' \gset
select org_id as other_org from cost.person where name = 'stranger' \gset
insert into saas.role (org_id, name, is_builtin, permissions, rank)
values (:'org', 'clerk', false, '{view_reports}', 5), (:'org', 'setter', false, '{manage_settings}', 5);
update saas.membership m set role = p.name from cost.person p where p.name in ('admin', 'clerk', 'setter') and m.user_id = p.user_id;
-- The answer, or the SQLSTATE with what is wrong.
create function cost.ask(call text, person text default 'owner') returns jsonb
language sql as $$
    select case when a ~ '^[0-9P][0-9T]' then to_jsonb(concat_ws(' ', split_part(a, E'\n', 1), coalesce((select string_agg(e ->> 'field' || ' ' || (e ->> 'message'), '; ')
                                                                          from jsonb_array_elements(case when split_part(a, E'\n', 3) like '[%' then split_part(a, E'\n', 3)::jsonb end) e), split_part(a, E'\n', 2))))
                else a::jsonb end
      from cost.person p, tenants.answer(call, p.user_id, p.org_id) a where p.name = person
$$;

select tenants.connect(:'org', 'Alpha') as alpha \gset
select tenants.connect(:'org', 'Beta') as beta \gset
select tenants.connect(:'other_org', 'Gamma') as gamma \gset
insert into saas.connection_group (org_id, name) values (:'org', 'Sales');
update saas.connection set group_id = (select id from saas.connection_group) where id = :'beta';
select count(tenants.read(l.o, l.layout, g.at, variadic array[n % 7 + l.k, 1, n * 3 + l.k])) as stored
  from (select o, k, tenants.lay_out(o, c, '[{"metric": "mails", "labels": {"n": "1"}}, {"metric": "mails", "labels": {"n": "2"}}, {"metric": "calls_total"}]') as layout
          from (values (:'org'::uuid, :'alpha'::uuid, 1), (:'org', :'beta', 10), (:'other_org', :'gamma', 100)) as v (o, c, k)) l,
       generate_series(timestamptz '2026-03-01 00:00+00', '2026-03-04 23:50+00', '10 minutes') with ordinality as g (at, n) \gset
call saas.maintain();
create function cost.units(metric text, connection uuid, since text, until text) returns numeric
language sql as $$
    select sum(s.value)::numeric from saas.sample s where s.metric = units.metric and s.connection_id = units.connection
       and s.at >= (since || '+00')::timestamptz and s.at < (until || '+00')::timestamptz
$$;

-- Prices

select is(cost.ask($$saas_api.set_metric_price(' mails ', 0.1, 'EUR', '2026-03-01', 1000)$$),
          '{"metric": "mails", "valid_from": "2026-03-01", "price": 0.1, "per_units": 1000, "currency": "EUR", "fn": "sum"}', 'a price is set');
select is(cost.ask($$saas_api.set_metric_price('mails', 0.3, 'EUR', '2026-03-03', 1000)$$) ->> 'price', '0.3', 'a later one');
select is(cost.ask($$saas_api.set_metric_price('mails', 0.2, 'EUR', '2026-03-03', 1000)$$) ->> 'price', '0.2', 'one of the same day takes its place');
select is(cost.ask($$saas_api.set_metric_price('calls_total', 0.01, 'USD', '2026-02-01', fn => 'increase')$$) ->> 'fn', 'increase', 'of a counter');
-- A statement each: a transaction has one identity.
select format($q$select is(cost.ask('(select jsonb_agg(jsonb_build_array(metric, valid_from, valid_until, price) order by metric, valid_from) from saas_api.metric_prices)', %L),
          %L, 'the prices that %s sees')$q$, person, prices, person)
  from (values ('owner', '[["calls_total", "2026-02-01", null, 0.01], ["mails", "2026-03-01", "2026-03-03", 0.1], ["mails", "2026-03-03", null, 0.2]]'),
               ('admin', '[["calls_total", "2026-02-01", null, 0.01], ["mails", "2026-03-01", "2026-03-03", 0.1], ["mails", "2026-03-03", null, 0.2]]'),
               ('clerk', '[["calls_total", "2026-02-01", null, 0.01], ["mails", "2026-03-01", "2026-03-03", 0.1], ["mails", "2026-03-03", null, 0.2]]'),
               ('setter', '[["calls_total", "2026-02-01", null, 0.01], ["mails", "2026-03-01", "2026-03-03", 0.1], ["mails", "2026-03-03", null, 0.2]]'),
               ('viewer', null), ('stranger', null)) v (person, prices) \gexec

-- The report, by force from single samples

create table cost.line as
select v.name, v.id, m.metric, m.currency, case m.metric when 'mails' then a.n + b.n else 3 * 143 end as quantity,
       case m.metric when 'mails' then round(a.n * 0.1 / 1000, 6) + round(b.n * 0.2 / 1000, 6) else round(3 * 143 * 0.01, 6) end as cost
  from (values ('Alpha', :'alpha'::uuid), ('Beta', :'beta')) v (name, id), (values ('mails', 'EUR'), ('calls_total', 'USD')) m (metric, currency),
       cost.units('mails', v.id, '2026-03-02 12:00', '2026-03-03 00:00') a (n), cost.units('mails', v.id, '2026-03-03 00:00', '2026-03-03 12:00') b (n);
update cost.line set quantity = 3 * 144, cost = round(3 * 144 * 0.01, 6) where metric = 'calls_total';
\set range '''2026-03-02 12:00+00'', ''2026-03-03 12:00+00'''
create function cost.items(kind text, person text default 'owner') returns jsonb
language sql as $$ select cost.ask(format('saas_api.cost_report(''2026-03-02 12:00+00'', ''2026-03-03 12:00+00'', %L)', kind), person) $$;
select is(cost.items('connection') -> 'totals', (select jsonb_agg(jsonb_build_object('currency', currency, 'cost', c) order by currency)
                                                   from (select currency, sum(cost) as c from cost.line group by 1) t), 'a total for each currency, by the price of each day');
select is(cost.items('connection') -> 'items',
          (select jsonb_agg(jsonb_build_object('connection_id', id, 'name', name, 'currency', currency, 'cost', cost, 'share_percent', round(100 * cost / whole, 2), 'is_partial', false,
                                               'metrics', jsonb_build_array(jsonb_build_object('metric', metric, 'quantity', quantity, 'cost', cost))) order by currency, cost desc, id::text)
             from (select l.*, sum(cost) over (partition by currency) as whole from cost.line l) l), 'by connection');
select is(cost.items('group') -> 'items',
          (select jsonb_agg(jsonb_build_object('group_id', g, 'name', case when g is not null then 'Sales' end, 'currency', currency, 'cost', cost, 'share_percent', round(100 * cost / whole, 2), 'is_partial', false,
                                               'metrics', jsonb_build_array(jsonb_build_object('metric', metric, 'quantity', quantity, 'cost', cost))) order by currency, cost desc, g::text)
             from (select l.*, c.group_id as g, sum(cost) over (partition by currency) as whole from cost.line l join saas.connection c on c.id = l.id) l), 'by group, and of none');
select is(cost.items(kind) -> 'items',
          (select jsonb_agg(key || jsonb_build_object('currency', currency, 'cost', cost, 'share_percent', 100.00, 'is_partial', false,
                                                      'metrics', jsonb_build_array(jsonb_build_object('metric', metric, 'quantity', quantity, 'cost', cost))) order by currency)
             from (select metric, currency, sum(quantity) as quantity, sum(cost) as cost from cost.line group by 1, 2) l,
                  lateral (select case kind when 'metric' then jsonb_build_object('metric', metric) else jsonb_build_object('org_id', :'org', 'name', 'Owner Works') end as key) k), format('by %s', kind))
  from unnest(array['metric', 'organization']) kind;
select is(cost.ask(format('saas_api.cost_report(%s, connection_ids => array[%L]::uuid[])', $$'2026-03-02 12:00+00', '2026-03-03 12:00+00'$$, :'beta')) #> '{items,0,share_percent}', '100.00', 'of one connection only');
select is(cost.ask($$saas_api.cost_report('2026-01-01', '2026-01-31')$$) - '{since,until}'::text[], '{"group_by": "connection", "totals": [], "items": []}', 'before any price it is empty');
select is((cost.ask('saas_api.cost_report()') ->> 'since')::timestamptz, date_trunc('month', now(), 'UTC'), 'this month by default, in UTC');
select is(cost.ask($$saas_api.set_metric_price('mails', 0, 'EUR', '2026-03-04')$$) ->> 'price', '0', 'nothing costs something too');
select is(cost.ask($$saas_api.cost_report('2026-03-04', '2026-03-05', 'metric')$$) #> '{items,0,share_percent}', (100 * (cost.units('mails', :'alpha', '2026-03-03 18:30', '2026-03-04') + cost.units('mails', :'beta', '2026-03-03 18:30', '2026-03-04')) * 0 + 100.00)::text::jsonb, 'a share is of what costs');
select tenants.read(:'org', l.id, '2026-03-05 00:00+00', 'NaN', 5, 0) as reading from saas.layout l where l.connection_id = :'alpha' and cardinality(l.series_ids) = 3 \gset
insert into saas_private.late_window (org_id, connection_id, from_at, until_at) values (:'org', :'alpha', '2026-03-05', '2026-03-06 12:00');
call saas.maintain();
select is(cost.ask($$saas_api.cost_report('2026-03-05 00:00+00', '2026-03-06 00:00+00')$$) -> 'items' @> '[{"name": "Alpha", "cost": null, "is_partial": true}]', true, 'what is no number costs nothing, and that is said');

-- Rights, other organizations, bad input

select is(cost.items('connection', 'stranger') -> 'items', '[]', 'a stranger has no prices, so nothing costs');
select is(cost.ask($$saas_api.set_metric_price('mails', 7, 'USD', '2026-03-01')$$, 'stranger') ->> 'price', '7', 'and sets their own');
select is(jsonb_path_query_array(cost.items('connection', 'stranger'), '$.items[*].name'), '["Gamma"]', 'for their own connections');
select is(cost.ask($$saas_api.delete_metric_price('calls_total', '2026-02-01')$$, 'stranger'), '"PT404 price not found"', 'a foreign price is not found');
select is(cost.ask(format('saas_api.cost_report(connection_ids => array[%L]::uuid[])', :'gamma')) -> 'items', '[]', 'a foreign connection costs nothing');
select format($q$select is(cost.ask(%L, %L), '"PT403 permission denied by the organization''s roles"', %L)$q$, call, person, person || ': ' || call)
  from (values ('viewer', 'saas_api.cost_report()'), ('setter', 'saas_api.cost_report()'), ('clerk', 'saas_api.cost_report()'),
               ('admin', $$saas_api.set_metric_price('mails', 1)$$), ('clerk', $$saas_api.set_metric_price('mails', 1)$$),
               ('admin', $$saas_api.delete_metric_price('mails', '2026-03-01')$$)) v (person, call) \gexec
select is(cost.ask($$saas_api.set_metric_price('mails', 0.4, 'EUR', '2026-03-01', 1000)$$, 'setter') ->> 'price', '0.4', 'who may change settings replaces a price');
select is(cost.ask(call) #>> '{}', '22023 ' || problem, call)
  from (values ($$saas_api.set_metric_price('', 1)$$, 'metric is required'), ($$saas_api.set_metric_price('m', null)$$, 'price must be 0 or more and below 1000000000000'),
               ($$saas_api.set_metric_price('m', -0.01)$$, 'price must be 0 or more and below 1000000000000'), ($$saas_api.set_metric_price('m', 'NaN')$$, 'price must be 0 or more and below 1000000000000'),
               ($$saas_api.set_metric_price('m', 'Infinity')$$, 'price must be 0 or more and below 1000000000000'),
               ($$saas_api.set_metric_price('m', 1, per_units => 0)$$, 'per_units must be above 0 and below 1000000000000000'), ($$saas_api.set_metric_price('m', 1, per_units => 'NaN')$$, 'per_units must be above 0 and below 1000000000000000'),
               ($$saas_api.set_metric_price('m', 1, 'eur')$$, 'currency must be a code of three capital letters'), ($$saas_api.set_metric_price('m', 1, valid_from => 'infinity')$$, 'valid_from must be between 1970 and 2999'),
               ($$saas_api.set_metric_price('m', 1, fn => 'avg')$$, 'fn must be sum or increase'), ($$saas_api.set_metric_price(repeat('ä', 128), 1)$$, 'metric must have at most 255 bytes'),
               ($$saas_api.cost_report('2026-03-05', '2026-03-04')$$, 'since must be before until, both finite'), ($$saas_api.cost_report(group_by => 'x')$$, 'group_by must be connection, group, metric or organization')) v (call, problem);
select is(cost.ask($$saas_api.delete_metric_price('mails', '2026-03-03')$$) ->> 'price', '0.2', 'a price is deleted');
select is(cost.ask($$saas_api.delete_metric_price('mails', '2026-03-03')$$), '"PT404 price not found"', 'once');
select results_eq(format($$select action, object_id, before ->> 'price', after ->> 'price' from saas.audit_event where object_type = 'metric_price' and org_id = %L order by id$$, :'org'),
    $$values ('metric_price.set', 'mails', null, '0.1'), ('metric_price.set', 'mails', null, '0.3'), ('metric_price.set', 'mails', '0.3', '0.2'), ('metric_price.set', 'calls_total', null, '0.01'),
             ('metric_price.set', 'mails', null, '0'), ('metric_price.set', 'mails', '0.1', '0.4'), ('metric_price.deleted', 'mails', '0.2', null)$$, 'every change is in the audit');
-- A counter whose price changes: what it gained over the change is the later price's.
update saas.metric_price set price = 0.01, fn = 'increase', per_units = 1 where metric = 'calls_total';
select is(cost.ask($$saas_api.set_metric_price('calls_total', 0.02, 'USD', '2026-03-03', fn => 'increase')$$) ->> 'price', '0.02', 'a counter gets dearer');
select is((select jsonb_agg(i -> 'cost') from jsonb_array_elements(cost.items('metric') -> 'items') i where i ->> 'metric' = 'calls_total'),
          jsonb_build_array(2 * (72 * 3 * 0.01 + 72 * 3 * 0.02)::numeric(20, 6)), 'and costs each price for its days');
insert into saas.metric_price (org_id, metric, valid_from, price, currency) select :'org', 'm' || n, '2026-01-01', 1, 'EUR' from generate_series(1, 1000 - (select count(*)::int from saas.metric_price where org_id = :'org')) n;
select is(cost.ask($$saas_api.set_metric_price('one more', 1)$$) #>> '{}', '22023 metric an organization has at most 1000 prices', 'there is an end to prices');
select is(cost.ask($$saas_api.set_metric_price('m1', 2, 'EUR', '2026-01-01')$$) ->> 'price', '2', 'of which one can still be replaced');

select * from finish();
