-- Dashboards: a page's data in one jsonb each, under the identity.  The grid of
-- limits stands with the metrics.  Leans on metrics, connections, members, audit.

create function saas_private.rate_level(percent double precision, review double precision, pause double precision) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when percent >= pause then 'pause' when percent >= review then 'review' when percent is not null then 'ok' end;
end
$$;
comment on function saas_private.rate_level(double precision, double precision, double precision) is
'ok, review or pause: at or above these percents Amazon SES may look at an account, or stop it. NULL without a rate. For the functions of saas_owner.';

create function saas_private.rate_json(part double precision, whole double precision, previous_part double precision,
                                       previous_whole double precision, review double precision, pause double precision) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    rate constant double precision := saas_private.percent(coalesce(part, 0), whole);
    rate_before constant double precision := saas_private.percent(coalesce(previous_part, 0), previous_whole);
begin
    return jsonb_build_object('percent', round(rate::numeric, 4), 'previous', round(rate_before::numeric, 4),
                              'change_points', round((rate - rate_before)::numeric, 4),
                              'level', saas_private.rate_level(rate, review, pause),
                              'review_percent', review, 'pause_percent', pause);
end
$$;
comment on function saas_private.rate_json(double precision, double precision, double precision, double precision, double precision, double precision) is
'A rate of the overview, now and in the period before; NULL where nothing was sent. For the functions of saas_owner.';

create function saas_api.metrics_overview(since timestamptz default now() - interval '24 hours', until timestamptz default now(),
                                          metrics text[] default '{aws_ses_send_sum,aws_ses_delivery_sum,aws_ses_bounce_sum,aws_ses_complaint_sum}',
                                          connection_ids uuid[] default null, group_ids uuid[] default null,
                                          environments text[] default null, tags jsonb default '{}',
                                          bucket interval default null, time_zone text default 'UTC', top integer default 12)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    from_time constant timestamptz := coalesce(metrics_overview.since, now() - interval '24 hours');
    to_time constant timestamptz := coalesce(nullif(metrics_overview.until, now()), now() + interval '1 microsecond');
    before_time timestamptz;
    names constant text[] := coalesce(metrics_overview.metrics, '{aws_ses_send_sum,aws_ses_delivery_sum,aws_ses_bounce_sum,aws_ses_complaint_sum}');
    most constant integer := coalesce(metrics_overview.top, 12);
    scope record;
    ids uuid[];
    shown uuid[];
    totals jsonb;
    accounts jsonb;
    rates jsonb;
    lines jsonb;
begin
    perform saas.require_permission('view_dashboard');
    perform saas_private.require_metric_range(from_time, to_time);
    before_time := saas_private.move_back(from_time, to_time - from_time, 'UTC');
    if array_ndims(names) > 1 then
        perform saas_private.raise_fields('invalid input', 'metrics', 'must be a list');
    elsif cardinality(names) not between 1 and 10 or array_position(names, null) is not null
       or (select count(distinct n) from unnest(names) n) < cardinality(names) then
        perform saas_private.raise_fields('invalid input', 'metrics', 'must be 1 to 10 different metrics');
    elsif most not between 1 and 100 then
        perform saas_private.raise_fields('invalid input', 'top', 'must be 1 to 100');
    end if;
    perform saas_private.require_field('metrics', n, 255) from unnest(names) n;
    select * into scope from saas_private.metric_scope(from_time, to_time, metrics_overview.bucket, 'sum', metrics_overview.time_zone);
    ids := saas_private.metric_connections(metrics_overview.connection_ids, metrics_overview.group_ids, metrics_overview.environments,
                                           metrics_overview.tags);
    with asked as (
        select m.name, m.n from unnest(names) with ordinality as m (name, n)
    ), figure as materialized (
        select f.metric as name, f.connection_id, max(f.value) filter (where f.slot = 2) as value,
               max(f.value) filter (where f.slot = 1) as previous
          from saas_private.metric_figures(names, array[before_time, from_time, to_time], '{}', ids) f
         group by f.metric, f.connection_id
    ), whole as materialized (
        select a.name, a.n, saas_private.total(f.value) as value, saas_private.total(f.previous) as previous
          from asked a left join figure f on f.name = a.name
         group by a.name, a.n
    ), member as materialized (
        select c.id, c.name, c.kind, c.environment, c.environment_color, c.status, c.health, c.last_success_at, c.last_error,
               g.first_value
          from saas_api.connections c
          left join (select f.connection_id, max(f.value) filter (where f.name = names[1]) as first_value
                       from figure f group by f.connection_id) g on g.connection_id = c.id
         where c.id = any (ids)
           and (g.connection_id is not null
                or c.kind = 'aws' and exists (select from asked a where starts_with(a.name, 'aws_')))
    ), measured as materialized (
        select m.id, jsonb_object_agg(w.name, jsonb_build_object(
                         'value', f.value, 'previous', f.previous,
                         'share_percent', round(saas_private.percent(f.value, w.value)::numeric, 2))) as metrics
          from member m
         cross join whole w
          left join figure f on f.name = w.name and f.connection_id = m.id
         group by m.id
    ), mail as materialized (
        select f.connection_id, max(f.value) filter (where f.name = 'aws_ses_send_sum') as sent,
               max(f.previous) filter (where f.name = 'aws_ses_send_sum') as sent_before,
               max(f.value) filter (where f.name = 'aws_ses_bounce_sum') as bounced,
               max(f.previous) filter (where f.name = 'aws_ses_bounce_sum') as bounced_before,
               max(f.value) filter (where f.name = 'aws_ses_complaint_sum') as complained,
               max(f.previous) filter (where f.name = 'aws_ses_complaint_sum') as complained_before
          from (select f.connection_id, f.name, f.value, f.previous from figure f
                 union all
                select null, w.name, w.value, w.previous from whole w) f
         group by f.connection_id
    ), rate as materialized (
        select m.connection_id,
               (case when names @> '{aws_ses_send_sum,aws_ses_bounce_sum}' then jsonb_build_object('bounce_rate',
                         saas_private.rate_json(m.bounced, m.sent, m.bounced_before, m.sent_before, 5, 10)) else '{}' end)
               || (case when names @> '{aws_ses_send_sum,aws_ses_complaint_sum}' then jsonb_build_object('complaint_rate',
                            saas_private.rate_json(m.complained, m.sent, m.complained_before, m.sent_before, 0.1, 0.5)) else '{}' end) as rates
          from mail m
    )
    select (select jsonb_agg(jsonb_build_object('metric', w.name, 'total', w.value, 'previous', w.previous,
                                                'change_percent', round(saas_private.change_percent(w.value, w.previous)::numeric, 2))
                             order by w.n) from whole w),
           (select r.rates from rate r where r.connection_id is null),
           (select coalesce(jsonb_agg(jsonb_build_object(
                       'connection_id', m.id, 'name', m.name, 'kind', m.kind, 'environment', m.environment,
                       'environment_color', m.environment_color, 'status', m.status, 'health', m.health,
                       'last_updated', m.last_success_at, 'error', m.last_error,
                       'metrics', d.metrics, 'rates', coalesce(r.rates, '{}'))
                       order by m.first_value desc nulls last, m.name, m.id), '[]')
              from member m
              join measured d on d.id = m.id
              left join rate r on r.connection_id = m.id),
           array(select m.id from member m where m.first_value is not null order by m.first_value desc, m.name, m.id limit most)
      into totals, rates, accounts, shown;
    select coalesce(jsonb_agg(jsonb_build_object('connection_id', l.id, 'points', l.points) order by l.n), '[]')
      into lines
      from (select u.id, u.n, jsonb_agg(jsonb_build_array(q.bucket_at, q.value) order by q.bucket_at) as points
              from unnest(shown) with ordinality as u (id, n)
              join saas_api.query_metric(names[1], from_time, to_time, scope.step, 'sum', '{}', shown, '{connection_id}',
                                         metrics_overview.time_zone) q
                on (q.grp ->> 'connection_id')::uuid = u.id
             group by u.id, u.n) l;
    return jsonb_build_object('since', from_time, 'until', to_time, 'previous_since', before_time,
                              'bucket_seconds', extract(epoch from scope.step), 'totals', totals, 'rates', coalesce(rates, '{}'),
                              'accounts', accounts, 'series', lines);
end
$$;
alter function saas_api.metrics_overview(timestamptz, timestamptz, text[], uuid[], uuid[], text[], jsonb, interval, text, integer) owner to saas_owner;
comment on function saas_api.metrics_overview(timestamptz, timestamptz, text[], uuid[], uuid[], text[], jsonb, interval, text, integer) is
'The overview of all accounts, of mail by default: {since, until, previous_since, bucket_seconds, totals [{metric, total, previous, change_percent}], rates {bounce_rate, complaint_rate}, accounts [{connection_id, name, kind, environment, environment_color, status, health, last_updated, error, metrics {METRIC: {value, previous, share_percent}}, rates}], series [{connection_id, points [[bucket, value]]}]}. Sums of the metrics (1 to 10) over the range, and over the range as long before it. Accounts have any of these metrics in one of both, or are AWS where AWS metrics are asked for; those with the most of the first metric come first, and the first top of them (1 to 100) have a line of it in series. Rates, where their metrics are among these: {percent, previous, change_points, level, review_percent, pause_percent}, of what was sent; level: ok, review from 5 percent bounced or 0.1 complained about, pause from 10 or 0.5, as Amazon SES has it. Connections are filtered as in query_metric, and the sums, and the lines, read as much as that may. Errors: PT401, PT403, 22023 with fields. For saas_user with view_dashboard.';

create function saas_private.member_counts(out members bigint, out signed_in bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select count(*), count(*) filter (where u.last_login_at >= now() - interval '30 days')
      into members, signed_in
      from saas.membership m
      join saas.app_user u on u.id = m.user_id
     where m.org_id = saas.org_if('view_dashboard');
end
$$;
alter function saas_private.member_counts() owner to saas_service;
comment on function saas_private.member_counts() is
'How many members the current organization has, and how many of them have signed in within 30 days. For the functions of saas_owner.';

create function saas_api.dashboard_cards() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('view_dashboard');
    return (select jsonb_build_object(
                       'connections', jsonb_build_object('active', c.active, 'total', c.total, 'failing', c.failing),
                       'members', jsonb_build_object('signed_in_30_days', m.signed_in, 'total', m.members))
              from (select count(*) as total, count(*) filter (where c.is_active) as active,
                           count(*) filter (where c.health in ('degraded', 'error')) as failing
                      from saas_api.connections c) c,
                   saas_private.member_counts() m);
end
$$;
alter function saas_api.dashboard_cards() owner to saas_owner;
comment on function saas_api.dashboard_cards() is
'Cards of a start page: {connections {active, total, failing}, members {signed_in_30_days, total}}. active: turned on; failing: of health degraded or error. Members who have signed in count wherever they went on to. Errors: PT401, PT403. For saas_user with view_dashboard.';

create function saas_api.recent_activity(count integer default 20) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('view_dashboard');
    if coalesce(recent_activity.count, 20) not between 1 and 1000 then
        perform saas_private.raise_fields('invalid input', 'count', 'must be between 1 and 1000');
    end if;
    return (select coalesce(jsonb_agg(jsonb_build_object(
                       'id', a.id, 'at', a.at, 'actor_id', a.actor_id, 'actor_name', a.actor_name, 'action', a.action,
                       'object_type', a.object_type, 'object_id', a.object_id, 'object_name', a.object_name,
                       'summary', a.summary) order by a.id desc), '[]')
              from (select f.* from saas_private.my_activity() f order by f.id desc limit coalesce(recent_activity.count, 20)) a);
end
$$;
alter function saas_api.recent_activity(integer) owner to saas_owner;
comment on function saas_api.recent_activity(integer) is
'The newest events of the organization''s activity feed, at most 1000: [{id, at, actor_id, actor_name, action, object_type, object_id, object_name, summary}], newest first. Errors: PT401, PT403, 22023 with fields. For saas_user with view_dashboard.';
