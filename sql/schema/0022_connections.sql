-- Groups of connections, personal ones, features, tokens that let the other
-- side connect its account, and limits by plan.  Leans on connections, teams
-- and plans.

create table saas.plan_limit (
    plan text not null references saas.plan (name) on delete cascade,
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    value bigint not null check (value >= 0),
    primary key (plan, name)
);
comment on table saas.plan_limit is
'How many of a thing an organization on a plan may have; no row: any number. Changed with saas.set_plan_limit(). connections: connections of all kinds, those that are turned off too.';
alter table saas.plan_limit enable row level security;
insert into saas.plan_limit (plan, name, value)
values ('free', 'connections', 1), ('starter', 'connections', 1), ('pro', 'connections', 3);
alter table saas.plan_limit force row level security;
create policy "the service keeps limits of plans" on saas.plan_limit
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas.plan_limit to saas_service;

-- Who hosts pg_saas for themselves sells no plans.
alter table saas.organization alter column plan set default 'enterprise';

create table saas.connection_group (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    name text not null check (length(name) between 1 and 255),
    description text check (length(description) <= 1000),
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (org_id, id)
);
create unique index connection_group_name_idx on saas.connection_group (org_id, lower(name));
comment on table saas.connection_group is
'Groups of connections, a team''s or a project''s. A connection is in one at most, so that figures by group add up; tags are for everything else.';
alter table saas.connection_group enable row level security;
alter table saas.connection_group force row level security;
create policy "holders of view_dashboard read groups" on saas.connection_group
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "holders of manage_connections add groups" on saas.connection_group
    for insert with check (org_id = saas.org_if('manage_connections'));
create policy "holders of manage_connections change groups" on saas.connection_group
    for update using (org_id = saas.org_if('manage_connections'))
    with check (org_id = saas.org_if('manage_connections'));
create policy "holders of manage_connections delete groups" on saas.connection_group
    for delete using (org_id = saas.org_if('manage_connections'));
grant select on saas.connection_group to saas_user;

alter table saas.connection add column group_id uuid;
alter table saas.connection add column owner_id uuid;
alter table saas.connection add column features jsonb not null default '{}' check (jsonb_typeof(features) = 'object');
alter table saas.connection add constraint connection_group_id_fkey
    foreign key (org_id, group_id) references saas.connection_group (org_id, id);
create index connection_group_id_idx on saas.connection (org_id, group_id) where group_id is not null;
create index connection_owner_id_idx on saas.connection (owner_id) where owner_id is not null;
comment on column saas.connection.group_id is 'The group that it is in; NULL: none.';
comment on column saas.connection.owner_id is
'The member whose own token it uses: nobody else gives it secrets or another config, and its secrets are destroyed when the member leaves. NULL: the organization''s.';
comment on column saas.connection.features is 'What is switched on for it, by kind: true or false by name.';

create policy "the service connects accounts for tokens and counts connections" on saas.connection
    to saas_service using (true) with check (true);
create policy "the service starts and ends schedules" on saas.connection_status
    to saas_service using (true) with check (true);
create policy "the service seals and destroys secrets" on saas_private.connection_secret
    to saas_service using (true) with check (true);
grant select, insert, update on saas.connection to saas_service;
grant select, insert, update on saas.connection_status to saas_service;
grant select, insert, delete on saas_private.connection_secret to saas_service;

-- Under an identity only: the policies are for whoever holds a permission.
grant select on saas.salesforce_default, saas_private.salesforce_default_secret to saas_service;

create table saas.connection_token (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    kind text not null check (length(kind) between 1 and 63),
    name text check (length(name) between 1 and 255),
    config jsonb not null default '{}' check (jsonb_typeof(config) = 'object'),
    environment text check (environment in ('production', 'staging', 'development')),
    tags jsonb not null default '{}' check (jsonb_typeof(tags) = 'object'),
    poll_interval interval check (poll_interval between '1 second' and '31 days'),
    created_by uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    revoked_at timestamptz,
    connection_id uuid,
    primary key (org_id, id),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
);
comment on table saas.connection_token is
'Tokens with which the other side connects its account to an organization: 10 minutes, good once. What the token fixes the other side cannot change. Kept for 30 days.';
comment on column saas.connection_token.connection_id is 'The connection that was made with it.';
alter table saas.connection_token enable row level security;
alter table saas.connection_token force row level security;
create policy "holders of manage_connections read connection tokens" on saas.connection_token
    for select using (org_id = saas.org_if('manage_connections'));
create policy "the service keeps connection tokens" on saas.connection_token
    to saas_service using (true) with check (true);
grant select on saas.connection_token to saas_user;
grant select, insert, update, delete on saas.connection_token to saas_service;

create table saas_private.connection_token_hash (
    org_id uuid not null,
    token_id uuid not null,
    token_hash bytea not null check (octet_length(token_hash) = 32),
    primary key (org_id, token_id),
    foreign key (org_id, token_id) references saas.connection_token (org_id, id) on delete cascade
);
-- Not unique: a tenant's unique keys lead with the organization, and 256 random bits do not meet.
create index connection_token_hash_token_hash_idx on saas_private.connection_token_hash (token_hash);
comment on table saas_private.connection_token_hash is
'SHA-256 of every connection token that may still be good.';
alter table saas_private.connection_token_hash enable row level security;
alter table saas_private.connection_token_hash force row level security;
create policy "the service keeps hashes of connection tokens" on saas_private.connection_token_hash
    to saas_service using (true) with check (true);
grant select, insert, delete on saas_private.connection_token_hash to saas_service;

create view saas_api.connection_tokens with (security_invoker = true) as
select t.org_id, t.id, t.kind, t.name, t.config, t.environment, t.tags, t.poll_interval,
       case when t.used_at is not null then 'used'
            when t.revoked_at is not null then 'revoked'
            when t.expires_at <= now() then 'expired'
            else 'pending' end as status,
       t.created_by, t.created_at, t.expires_at, t.used_at, t.revoked_at, t.connection_id
  from saas.connection_token t
 order by t.id desc;
comment on view saas_api.connection_tokens is
'Connection tokens of the current organization, newest first: pending, used, revoked or expired; what has ended is kept for 30 days. For saas_user with manage_connections.';
grant select on saas_api.connection_tokens to saas_user;

create view saas_api.connection_groups with (security_invoker = true) as
select g.org_id, g.id, g.name, g.description,
       (select count(*) from saas.connection c where c.org_id = g.org_id and c.group_id = g.id) as connections,
       g.created_by, g.created_at, g.updated_at
  from saas.connection_group g;
comment on view saas_api.connection_groups is
'Groups of connections of the current organization with how many are in each; which ones, saas_api.connections tells. For saas_user with view_dashboard.';
grant select on saas_api.connection_groups to saas_user;

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
'Connections of the current organization with their state, newest first; no secrets. health: ok, degraded (failing or stale), error (failing for long, or reauth_required), unknown before the first poll. environment_color: production red, staging yellow, development blue. Filter by kind, environment, tags (tags @> ''{"team": "sales"}''), group_id, status, health, is_active, is_personal. For saas_user with view_dashboard.';
