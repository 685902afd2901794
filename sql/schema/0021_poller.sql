-- How polls went: history by connection and hour, and an open circuit where
-- its tenant sees it.  Leans on connections.

create table saas.poller_history (
    org_id uuid not null,
    connection_id uuid not null,
    hour_at timestamptz not null,
    polls integer not null default 0,
    failures integer not null default 0,
    samples bigint not null default 0,
    duration_ms bigint not null default 0,
    max_duration_ms integer not null default 0,
    late_ms bigint not null default 0,
    max_late_ms bigint not null default 0,
    last_error_code text,
    primary key (org_id, connection_id, hour_at),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
) with (fillfactor = 80);
comment on table saas.poller_history is
'How the polls of each connection went, summed up by hour: a row per connection and hour, however often it is polled. Written with the polls'' results, so each poll counts once; kept for saas.poller_history_retention days. Tenants read theirs in saas_api.poll_history.';
comment on column saas.poller_history.hour_at is 'The hour''s beginning, UTC; a poll belongs to the hour in which it began.';
comment on column saas.poller_history.duration_ms is 'Of all polls together: divided by polls, their average.';
comment on column saas.poller_history.late_ms is 'How long after they were due the polls began, together; on demand: 0.';
comment on column saas.poller_history.last_error_code is 'SQLSTATE of the last failure in the hour.';
-- For the worker, which deletes what is old.
create index poller_history_hour_at_idx on saas.poller_history (hour_at);
alter table saas.poller_history enable row level security;
alter table saas.poller_history force row level security;
create policy "holders of view_dashboard read how polls went" on saas.poller_history
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the poller reads how polls went" on saas.poller_history
    for select to saas_poller using (true);
create policy "the poller writes down how polls went" on saas.poller_history
    for insert to saas_poller with check (true);
create policy "the poller sums up how polls went" on saas.poller_history
    for update to saas_poller using (true) with check (true);
create policy "the service sums up and prunes how polls went" on saas.poller_history
    to saas_service using (true) with check (true);
grant select on saas.poller_history to saas_user;
grant select, insert, update on saas.poller_history to saas_poller;
grant select, delete on saas.poller_history to saas_service;

create view saas_api.poll_history with (security_invoker = true) as
select h.org_id, h.connection_id, h.hour_at, h.polls, h.failures, h.samples,
       h.duration_ms / greatest(h.polls, 1) as average_ms, h.max_duration_ms as max_ms,
       h.late_ms / greatest(h.polls, 1) as average_late_ms, h.max_late_ms, h.last_error_code
  from saas.poller_history h;
comment on view saas_api.poll_history is
'How the polls of the current organization''s connections went, by connection and hour (UTC), milliseconds. For saas_user with view_dashboard.';
grant select on saas_api.poll_history to saas_user;

create or replace view saas_api.connections with (security_invoker = true) as
select c.org_id, c.id, c.kind, c.name, c.external_account_id, c.config, c.environment, c.tags,
       case when c.is_active then s.status else 'inactive' end as status,
       case when not c.is_active or s.status = 'pending' then 'unknown'
            when s.status = 'reauth_required' or s.consecutive_failures >= 5 then 'error'
            when s.consecutive_failures > 0
                 or s.last_success_at < now() - greatest(c.poll_interval * 3, interval '5 minutes') then 'degraded'
            else 'ok' end as health,
       case when not c.is_active then 'polling is turned off'
            when s.consecutive_failures >= 5 and s.next_poll_at > now() and s.next_poll_at < 'infinity'
                then format('%s (paused after %s failures in a row; tried again at %s)', s.last_error,
                            s.consecutive_failures,
                            to_char(s.next_poll_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
            when s.last_error is not null then s.last_error
            when s.last_success_at < now() - greatest(c.poll_interval * 3, interval '5 minutes')
                then 'no poll for a while' end as health_reason,
       c.is_active, c.poll_interval, s.next_poll_at, s.last_polled_at, s.last_success_at, s.last_tested_at,
       s.last_error, s.last_error_code, s.consecutive_failures, s.token_expires_at,
       c.created_by, c.created_at, c.updated_at
  from saas.connection c
  join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id;
