-- Prices of metrics, and what an organization's connections cost.  Leans on
-- metrics, connections, audit.

create function saas_api.set_metric_price(metric text, price numeric, currency text default 'USD', valid_from date default null,
                                          per_units numeric default 1, fn text default 'sum')
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    -- The day in UTC, whatever the session's time zone is.
    from_day constant date := coalesce(set_metric_price.valid_from, (now() at time zone 'UTC')::date);
    units constant numeric := coalesce(set_metric_price.per_units, 1);
    counted constant text := coalesce(set_metric_price.fn, 'sum');
    name text;
    before jsonb;
    after jsonb;
begin
    perform saas.require_permission('manage_settings');
    org := saas.org_if('manage_settings');
    name := saas_private.require_field('metric', set_metric_price.metric, 255);
    if octet_length(name) > 255 then
        perform saas_private.raise_fields('invalid input', 'metric', 'must have at most 255 bytes');
    elsif set_metric_price.price is null or not (set_metric_price.price >= 0 and set_metric_price.price < 1000000000000) then
        perform saas_private.raise_fields('invalid input', 'price', 'must be 0 or more and below 1000000000000');
    elsif not (units > 0 and units < 1000000000000000) then
        perform saas_private.raise_fields('invalid input', 'per_units', 'must be above 0 and below 1000000000000000');
    elsif coalesce(set_metric_price.currency, 'USD') !~ '^[A-Z]{3}$' then
        perform saas_private.raise_fields('invalid input', 'currency', 'must be a code of three capital letters');
    elsif from_day not between '1970-01-01' and '2999-12-31' then
        perform saas_private.raise_fields('invalid input', 'valid_from', 'must be between 1970 and 2999');
    elsif counted not in ('sum', 'increase') then
        perform saas_private.raise_fields('invalid input', 'fn', 'must be sum or increase');
    end if;
    -- One at a time: two could pass the limit together.
    perform saas_private.hold('prices of ' || org);
    select to_jsonb(p) - '{org_id,id,created_at,created_by}'::text[] into before
      from saas.metric_price p where p.org_id = org and p.metric = name and p.valid_from = from_day;
    if before is null and (select count(*) from saas.metric_price p where p.org_id = org) >= 1000 then
        perform saas_private.raise_fields('invalid input', 'metric', 'an organization has at most 1000 prices');
    end if;
    insert into saas.metric_price as p (org_id, metric, valid_from, price, per_units, currency, fn, created_by)
    values (org, name, from_day, set_metric_price.price, units, coalesce(set_metric_price.currency, 'USD'), counted, saas.current_user_id())
        on conflict on constraint metric_price_history do update
       set price = excluded.price, per_units = excluded.per_units, currency = excluded.currency, fn = excluded.fn,
           created_by = excluded.created_by, created_at = excluded.created_at
    returning to_jsonb(p) - '{org_id,id,created_at,created_by}'::text[] into after;
    perform saas_private.audit('metric_price.set', 'metric_price', name, before, after);
    return after;
end
$$;
alter function saas_api.set_metric_price(text, numeric, text, date, numeric, text) owner to saas_owner;
comment on function saas_api.set_metric_price(text, numeric, text, date, numeric, text) is
'Sets what per_units units of a metric cost from a day on (in UTC; NULL: today), until the metric''s next price; the one of the same day is replaced, and 0 ends an earlier one. fn: units are the sum of the samples, or the increase of a counter. Answers {metric, valid_from, price, per_units, currency, fn}. Errors: PT401, PT403, 22023 with fields, also beyond 1000 prices. For saas_user with manage_settings.';

create function saas_api.delete_metric_price(metric text, valid_from date) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    before jsonb;
begin
    perform saas.require_permission('manage_settings');
    delete from saas.metric_price p
     where p.org_id = saas.org_if('manage_settings') and p.metric = delete_metric_price.metric and p.valid_from = delete_metric_price.valid_from
    returning to_jsonb(p) - '{org_id,id,created_at,created_by}'::text[] into before;
    if before is null then
        perform saas_private.raise_error('PT404', 'price not found');
    end if;
    perform saas_private.audit('metric_price.deleted', 'metric_price', delete_metric_price.metric, before);
    return before;
end
$$;
alter function saas_api.delete_metric_price(text, date) owner to saas_owner;
comment on function saas_api.delete_metric_price(text, date) is
'Deletes the price of a metric that begins on a day: the one before it goes on. Answers what it was. Errors: PT401, PT403, PT404. For saas_user with manage_settings.';

create function saas_api.cost_report(since timestamptz default null, until timestamptz default now(), group_by text default 'connection',
                                     connection_ids uuid[] default null)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    to_time constant timestamptz := coalesce(nullif(cost_report.until, now()), now() + interval '1 microsecond');
    from_time constant timestamptz := coalesce(cost_report.since, date_trunc('month', coalesce(cost_report.until, now()), 'UTC'));
    kind constant text := coalesce(cost_report.group_by, 'connection');
    most constant integer := saas_private.most_values();
    ids uuid[];
    times timestamptz[];
    answer jsonb;
begin
    perform saas.require_permission('view_reports');
    perform saas.require_permission('view_dashboard');
    org := saas.org_if('view_reports');
    perform saas_private.require_metric_range(from_time, to_time);
    if kind not in ('connection', 'group', 'metric', 'organization') then
        perform saas_private.raise_fields('invalid input', 'group_by', 'must be connection, group, metric or organization');
    end if;
    ids := saas_private.metric_connections(cost_report.connection_ids, null, null, null);
    -- One pass over sums: what lies between two days on which any price begins.
    times := array(select t.at
                     from (select from_time as at union select to_time union
                           select p.valid_from::timestamp at time zone 'UTC' from saas.metric_price p where p.org_id = org) t
                    where t.at between from_time and to_time
                    order by 1);
    with span as materialized (
        select p.metric, p.fn, p.price, p.per_units, p.currency,
               greatest(from_time, p.valid_from::timestamp at time zone 'UTC') as from_at,
               least(to_time, coalesce(lead(p.valid_from) over (partition by p.metric order by p.valid_from)::timestamp at time zone 'UTC', to_time)) as until_at
          from saas.metric_price p
         where p.org_id = org
    ), counted as (
        select m.metric, m.connection_id, times[m.slot] as at, m.value
          from saas_private.metric_figures(array(select distinct s.metric from span s where s.fn = 'sum' and s.from_at < s.until_at),
                                           times, '{}', ids) m
    ), gained as (
        -- What one query may read, for all metrics together.
        select r.metric, r.connection_id, r.at, r.value
          from (select i.metric, g.connection_id, g.at, g.increase as value, count(*) over (rows unbounded preceding) as so_far
                  from (select s.metric, min(s.from_at) as from_at, max(s.until_at) as until_at from span s
                         where s.fn = 'increase' and s.from_at < s.until_at group by s.metric) i
                 cross join lateral saas_private.metric_increases(i.metric, i.from_at, i.until_at, 3, '{}', ids) g) r
         where case when r.so_far > most then saas_private.refuse_range(most) else true end
    ), used as materialized (
        select s.metric, s.currency, s.price, s.per_units, q.connection_id, saas_private.total(q.value) as quantity
          from (select 'sum' as fn, c.* from counted c union all select 'increase', g.* from gained g) q
          join span s on s.metric = q.metric and s.fn = q.fn and q.at >= s.from_at and q.at < s.until_at
         group by s.metric, s.from_at, s.currency, s.price, s.per_units, q.connection_id
    ), line as materialized (
        select u.metric, u.currency, c.id as connection_id, c.name, c.group_id, c.group_name, u.quantity,
               -- Rounded here, so that every total is the sum of what is shown.
               case when abs(u.quantity) < 'Infinity' then round(u.quantity::numeric * u.price / u.per_units, 6) end as cost
          from used u
          join saas_api.connections c on c.id = u.connection_id
    ), part as (
        select case kind when 'connection' then l.connection_id::text when 'group' then l.group_id::text when 'metric' then l.metric
                         else org::text end as key,
               case kind when 'connection' then l.name when 'group' then l.group_name when 'metric' then l.metric end as name,
               l.currency, l.metric, saas_private.total(l.quantity) as quantity, sum(l.cost) as cost, bool_or(l.cost is null) as is_partial
          from line l
         group by 1, 2, 3, 4
    ), item as (
        select p.key, p.name, p.currency, sum(p.cost) as cost, sum(sum(p.cost)) over (partition by p.currency) as whole, bool_or(p.is_partial) as is_partial,
               jsonb_agg(jsonb_build_object('metric', p.metric, 'quantity', p.quantity, 'cost', p.cost) order by p.cost desc nulls last, p.metric) as metrics
          from part p
         group by p.key, p.name, p.currency
    )
    select jsonb_build_object(
               'since', from_time, 'until', to_time, 'group_by', kind,
               'totals', (select coalesce(jsonb_agg(jsonb_build_object('currency', t.currency, 'cost', t.cost) order by t.currency), '[]')
                            from (select l.currency, coalesce(sum(l.cost), 0) as cost from line l group by l.currency) t),
               'items', (select coalesce(jsonb_agg(
                             case kind when 'connection' then jsonb_build_object('connection_id', i.key, 'name', i.name)
                                       when 'group' then jsonb_build_object('group_id', i.key, 'name', i.name)
                                       when 'metric' then jsonb_build_object('metric', i.key)
                                       else jsonb_build_object('org_id', i.key, 'name', (select o.name from saas_api.organization o)) end
                             || jsonb_build_object('currency', i.currency, 'cost', i.cost,
                                                   'share_percent', round(100 * i.cost / nullif(i.whole, 0), 2),
                                                   'is_partial', i.is_partial, 'metrics', i.metrics)
                             order by i.currency, i.cost desc nulls last, i.key), '[]') from item i))
      into answer;
    return answer;
end
$$;
alter function saas_api.cost_report(timestamptz, timestamptz, text, uuid[]) owner to saas_owner;
comment on function saas_api.cost_report(timestamptz, timestamptz, text, uuid[]) is
'What a range cost by the prices of its days, by connection, group, metric or organization: {since, until, group_by, totals [{currency, cost}], items [{connection_id or group_id or metric or org_id, name, currency, cost, share_percent, is_partial, metrics [{metric, quantity, cost}]}]}, the dearest first; currencies are never added up. since NULL: the month''s beginning in UTC. Each metric of a connection is rounded to 6 digits for each price, and everything else is the sum of that. Connections without a group have group_id NULL; a connection counts for the group that it is in now, and is gone from the report when it is deleted. is_partial: a quantity is not finite, and costs nothing here. As far back as the plan keeps rollups. Sums, and counters, read as much as query_metric may. Errors: PT401, PT403, 22023 with fields. For saas_user with view_reports and view_dashboard.';
