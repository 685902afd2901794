-- How often plans let their organizations poll.  Leans on plans, connections and
-- their view.

alter table saas.plan add column min_poll_interval interval
    check (min_poll_interval between interval '1 second' and interval '31 days');
comment on column saas.plan.min_poll_interval is
'Connections of organizations on the plan are polled no more often, whatever their own interval is; NULL: as often as saas.min_poll_interval allows. Changed with saas.set_plan_poll_interval().';
alter table saas.plan no force row level security;
update saas.plan p set min_poll_interval = interval '60 seconds' where p.name in ('free', 'starter', 'pro');
alter table saas.plan force row level security;

create or replace view saas_api.connections with (security_invoker = true) as
select c.org_id, c.id, c.kind, c.name, c.external_account_id, c.config, c.environment, c.tags,
       case when c.is_active then s.status else 'inactive' end as status,
       case when not c.is_active or s.status = 'pending' then 'unknown'
            when s.status = 'reauth_required' or s.consecutive_failures >= 5 then 'error'
            when s.consecutive_failures > 0 or s.last_warning is not null
                 or s.last_success_at < now() - greatest(c.poll_interval * 3, (select saas_private.plan_poll_interval()) * 3, interval '5 minutes') then 'degraded'
            else 'ok' end as health,
       case when not c.is_active then 'polling is turned off'
            when s.consecutive_failures >= 5 and s.next_poll_at > now() and s.next_poll_at < 'infinity'
                then format('%s (paused after %s failures in a row; tried again at %s)', s.last_error,
                            s.consecutive_failures,
                            to_char(s.next_poll_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
            when s.last_error is not null then s.last_error
            when s.last_warning is not null then s.last_warning
            when s.last_success_at < now() - greatest(c.poll_interval * 3, (select saas_private.plan_poll_interval()) * 3, interval '5 minutes')
                then 'no poll for a while' end as health_reason,
       c.is_active, c.poll_interval, s.next_poll_at, s.last_polled_at, s.last_success_at, s.last_tested_at,
       s.last_error, s.last_error_code, s.consecutive_failures, s.token_expires_at,
       c.created_by, c.created_at, c.updated_at,
       case c.environment when 'production' then 'red' when 'staging' then 'yellow'
                          when 'development' then 'blue' end as environment_color,
       c.group_id,
       (select g.name from saas.connection_group g where g.org_id = c.org_id and g.id = c.group_id) as group_name,
       c.owner_id, c.owner_id is not null as is_personal, c.features
  from saas.connection c
  join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id
 order by c.created_at desc, c.id desc;
