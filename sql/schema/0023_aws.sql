-- How long plans keep samples, and polls that are good in part.  Leans on
-- plans, connections and their view.

alter table saas.plan add column if not exists retention_days integer
    check (retention_days between 1 and 36500);
comment on column saas.plan.retention_days is
'Days that samples of an organization on the plan are kept, and that the first polls of a kind with a past, such as aws, read back (30 at most); NULL: for ever.';
alter table saas.plan no force row level security;
update saas.plan p
   set retention_days = case p.name when 'free' then 1 when 'starter' then 30 when 'pro' then 400 end
 where p.name in ('free', 'starter', 'pro') and p.retention_days is null;
alter table saas.plan force row level security;
create policy "the poller reads plans" on saas.plan
    for select to saas_poller using (true);
grant select on saas.plan to saas_poller;

alter table saas.connection_status add column last_warning text;
comment on column saas.connection_status.last_warning is
'What the last poll, good otherwise, could not read; NULL when nothing is missing.';

create or replace view saas_api.connections with (security_invoker = true) as
select c.org_id, c.id, c.kind, c.name, c.external_account_id, c.config, c.environment, c.tags,
       case when c.is_active then s.status else 'inactive' end as status,
       case when not c.is_active or s.status = 'pending' then 'unknown'
            when s.status = 'reauth_required' or s.consecutive_failures >= 5 then 'error'
            when s.consecutive_failures > 0 or s.last_warning is not null
                 or s.last_success_at < now() - greatest(c.poll_interval * 3, interval '5 minutes') then 'degraded'
            else 'ok' end as health,
       case when not c.is_active then 'polling is turned off'
            when s.consecutive_failures >= 5 and s.next_poll_at > now() and s.next_poll_at < 'infinity'
                then format('%s (paused after %s failures in a row; tried again at %s)', s.last_error,
                            s.consecutive_failures,
                            to_char(s.next_poll_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
            when s.last_error is not null then s.last_error
            when s.last_warning is not null then s.last_warning
            when s.last_success_at < now() - greatest(c.poll_interval * 3, interval '5 minutes')
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
comment on view saas_api.connections is
'Connections of the current organization with their state, newest first; no secrets. health: ok, degraded (failing, stale, or good in part), error (failing for long, or reauth_required), unknown before the first poll; health_reason says why. environment_color: production red, staging yellow, development blue. Filter by kind, environment, tags (tags @> ''{"team": "sales"}''), group_id, status, health, is_active, is_personal. For saas_user with view_dashboard.';
