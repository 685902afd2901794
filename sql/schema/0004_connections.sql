-- Upstream accounts: what they are, their secrets, and how their polls go.
-- Leans on accounts and vault.

create table saas.connection (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    kind text not null check (length(kind) between 1 and 63),
    name text not null check (length(name) between 1 and 255),
    account_key text not null check (length(account_key) between 1 and 2100),
    external_account_id text check (length(external_account_id) <= 255),
    config jsonb not null check (jsonb_typeof(config) = 'object'),
    origin text not null check (length(origin) between 1 and 600),
    environment text check (environment in ('production', 'staging', 'development')),
    tags jsonb not null default '{}' check (jsonb_typeof(tags) = 'object'),
    poll_interval interval not null check (poll_interval between '1 second' and '31 days'),
    is_active boolean not null default true,
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (org_id, id),
    constraint connection_account_key unique (org_id, kind, account_key)
);
comment on table saas.connection is
'Upstream accounts of an organization, each of a kind that a connector serves.';
comment on column saas.connection.account_key is 'Names the upstream account within its kind: the same twice in one organization is a duplicate.';
comment on column saas.connection.origin is 'Scheme, host and port that the secrets belong to; they do not open for another.';
alter table saas.connection enable row level security;
alter table saas.connection force row level security;
create policy "holders of view_dashboard read connections" on saas.connection
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "holders of manage_connections add connections" on saas.connection
    for insert with check (org_id = saas.org_if('manage_connections'));
create policy "holders of manage_connections change connections" on saas.connection
    for update using (org_id = saas.org_if('manage_connections'))
    with check (org_id = saas.org_if('manage_connections'));
create policy "holders of manage_connections delete connections" on saas.connection
    for delete using (org_id = saas.org_if('manage_connections'));
create policy "the poller reads every connection" on saas.connection
    for select to saas_poller using (true);
grant select on saas.connection to saas_user, saas_poller;

create table saas_private.connection_secret (
    org_id uuid not null,
    connection_id uuid not null,
    name text not null check (length(name) between 1 and 63),
    value saas.sealed not null,
    updated_at timestamptz not null default now(),
    primary key (org_id, connection_id, name),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
);
comment on table saas_private.connection_secret is
'Sealed secrets of connections, opened only in the poller''s memory.';
alter table saas_private.connection_secret enable row level security;
alter table saas_private.connection_secret force row level security;
create policy "holders of manage_connections replace secrets" on saas_private.connection_secret
    using (org_id = saas.org_if('manage_connections'))
    with check (org_id = saas.org_if('manage_connections'));
create policy "the poller reads every secret" on saas_private.connection_secret
    for select to saas_poller using (true);
create policy "the poller stores rotated tokens" on saas_private.connection_secret
    for insert to saas_poller with check (true);
create policy "the poller replaces rotated tokens" on saas_private.connection_secret
    for update to saas_poller using (true) with check (true);
grant select, insert, update on saas_private.connection_secret to saas_poller;

-- Apart from saas.connection, because every poll changes it.
create table saas.connection_status (
    org_id uuid not null,
    connection_id uuid not null,
    status text not null default 'pending'
        check (status in ('pending', 'active', 'error', 'reauth_required')),
    next_poll_at timestamptz not null default now(),
    lease_until timestamptz,
    lease_id uuid,
    last_polled_at timestamptz,
    last_success_at timestamptz,
    last_tested_at timestamptz,
    last_error text,
    last_error_code text,
    last_duration_ms integer,
    last_sample_count integer,
    consecutive_failures integer not null default 0,
    token_expires_at timestamptz,
    primary key (org_id, connection_id),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
) with (fillfactor = 70);
create index connection_status_next_poll_at_idx on saas.connection_status (next_poll_at);
comment on table saas.connection_status is
'How the polls of each connection go and when the next is due. Written by the poller.';
comment on column saas.connection_status.lease_until is 'A poller works on it until then; afterwards another may take it.';
alter table saas.connection_status enable row level security;
alter table saas.connection_status force row level security;
create policy "holders of view_dashboard read how connections do" on saas.connection_status
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "holders of manage_connections start the schedule" on saas.connection_status
    for insert with check (org_id = saas.org_if('manage_connections'));
create policy "holders of manage_connections change the schedule" on saas.connection_status
    for update using (org_id = saas.org_if('manage_connections'))
    with check (org_id = saas.org_if('manage_connections'));
create policy "the poller reads every schedule" on saas.connection_status
    for select to saas_poller using (true);
create policy "the poller changes every schedule" on saas.connection_status
    for update to saas_poller using (true) with check (true);
grant select on saas.connection_status to saas_user;
grant select, update on saas.connection_status to saas_poller;
