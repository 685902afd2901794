-- What HTTP layers read: views with the caller's rights.  Leans on all tables.

create view saas_api.organization with (security_invoker = true) as
select o.id, o.name, o.slug, o.is_personal, o.status, o.created_at, o.updated_at
  from saas.organization o;
comment on view saas_api.organization is
'The current organization. For saas_user.';
grant select on saas_api.organization to saas_user;

create view saas_api.my_organizations with (security_invoker = true) as
select m.org_id, m.name, m.slug, m.is_personal, m.status, m.role, m.joined_at, m.is_current
  from saas_private.my_organizations() m;
comment on view saas_api.my_organizations is
'The organizations that I belong to, with my role: the switcher. For saas_user.';
grant select on saas_api.my_organizations to saas_user;

create view saas_api.roles with (security_invoker = true) as
select r.org_id, r.name, r.is_builtin, r.rank, coalesce(r.permissions, b.permissions) as permissions
  from saas.role r
  left join saas.builtin_roles() b on r.is_builtin and b.name = r.name;
comment on view saas_api.roles is
'The roles of the current organization with their permissions. For saas_user.';
grant select on saas_api.roles to saas_user;

create view saas_api.connections with (security_invoker = true) as
select c.org_id, c.id, c.kind, c.name, c.external_account_id, c.config, c.environment, c.tags,
       case when c.is_active then s.status else 'inactive' end as status,
       case when not c.is_active or s.status = 'pending' then 'unknown'
            when s.status = 'reauth_required' or s.consecutive_failures >= 5 then 'error'
            when s.consecutive_failures > 0
                 or s.last_success_at < now() - greatest(c.poll_interval * 3, interval '5 minutes') then 'degraded'
            else 'ok' end as health,
       case when not c.is_active then 'polling is turned off'
            when s.last_error is not null then s.last_error
            when s.last_success_at < now() - greatest(c.poll_interval * 3, interval '5 minutes')
                then 'no poll for a while' end as health_reason,
       c.is_active, c.poll_interval, s.next_poll_at, s.last_polled_at, s.last_success_at, s.last_tested_at,
       s.last_error, s.last_error_code, s.consecutive_failures, s.token_expires_at,
       c.created_by, c.created_at, c.updated_at
  from saas.connection c
  join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id;
comment on view saas_api.connections is
'Connections of the current organization with their state; no secrets. health: ok, degraded (failing or stale), error (failing for long, or reauth_required), unknown before the first poll. For saas_user with view_dashboard.';
grant select on saas_api.connections to saas_user;

create view saas_api.latest_samples with (security_invoker = true) as
select l.org_id, l.connection_id, l.series_id, l.metric, l.labels, l.at, l.value
  from saas.latest_sample l;
comment on view saas_api.latest_samples is
'The newest values of every connection of the current organization. For saas_user with view_dashboard.';
grant select on saas_api.latest_samples to saas_user;

create view saas_api.samples with (security_invoker = true) as
select l.org_id, l.connection_id, l.series_id, l.metric, l.labels, l.at, l.value
  from saas.sample l;
comment on view saas_api.samples is
'Every stored value of the current organization; filter by time. For saas_user with view_dashboard.';
grant select on saas_api.samples to saas_user;
