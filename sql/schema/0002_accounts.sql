-- Users, organizations, memberships and roles; sessions and what proves an
-- identity.  Leans on the identity functions.

create table saas.app_user (
    id uuid primary key default saas.uuidv7(),
    email text not null check (length(email) between 3 and 255),
    first_name text not null check (length(first_name) between 1 and 100),
    last_name text not null check (length(last_name) between 1 and 100),
    avatar_url text check (length(avatar_url) <= 2048),
    is_active boolean not null default true,
    email_verified_at timestamptz,
    last_login_at timestamptz,
    last_org_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index app_user_email_key on saas.app_user (lower(email));
comment on table saas.app_user is
'People. Global: one person may belong to many organizations.';
comment on column saas.app_user.last_org_id is
'The organization the user worked in last; sign-in returns there.';
alter table saas.app_user enable row level security;
alter table saas.app_user force row level security;
create policy "a user reads the own account" on saas.app_user
    for select using (id = saas.current_user_id());
create policy "the service reads every account" on saas.app_user
    for select to saas_service using (true);
create policy "the service adds accounts" on saas.app_user
    for insert to saas_service with check (true);
create policy "the service changes accounts" on saas.app_user
    for update to saas_service using (true) with check (true);
grant select on saas.app_user to saas_user;
grant select, insert, update on saas.app_user to saas_service;

create table saas_private.password (
    user_id uuid primary key references saas.app_user (id) on delete cascade,
    hash text not null,
    changed_at timestamptz not null default now()
);
comment on table saas_private.password is
'bcrypt hashes of passwords.';
alter table saas_private.password enable row level security;
alter table saas_private.password force row level security;
create policy "the service keeps passwords" on saas_private.password
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.password to saas_service;

create table saas.organization (
    id uuid primary key default saas.uuidv7(),
    name text not null check (length(name) between 1 and 255),
    slug text not null unique check (slug ~ '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$'),
    is_personal boolean not null default false,
    status text not null default 'active' check (status in ('active', 'suspended', 'deleting')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table saas.organization is
'Tenants: customer, team and billing boundary. Its id is the org_id of every other table.';
comment on column saas.organization.slug is 'Unique name for URLs; it does not change after creation.';
alter table saas.organization enable row level security;
alter table saas.organization force row level security;
create policy "a member reads the current organization" on saas.organization
    for select using (id = saas.current_org_id());
create policy "holders of manage_settings change the organization" on saas.organization
    for update using (id = saas.org_if('manage_settings'))
    with check (id = saas.org_if('manage_settings'));
create policy "the service reads every organization" on saas.organization
    for select to saas_service using (true);
create policy "the service adds organizations" on saas.organization
    for insert to saas_service with check (true);
create policy "the service changes organizations" on saas.organization
    for update to saas_service using (true) with check (true);
create policy "the poller reads every organization" on saas.organization
    for select to saas_poller using (true);
grant select on saas.organization to saas_user, saas_poller;
grant select, insert, update on saas.organization to saas_service;

create table saas.role (
    org_id uuid not null references saas.organization (id) on delete cascade,
    name text not null check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    is_builtin boolean not null,
    permissions text[],
    rank integer not null check (rank between 1 and 40),
    created_at timestamptz not null default now(),
    primary key (org_id, name),
    constraint role_builtin_has_no_own_permissions check (is_builtin = (permissions is null)),
    constraint role_builtin_names check (is_builtin = (name in ('owner', 'admin', 'member', 'viewer')))
);
comment on table saas.role is
'Roles of an organization. The four built-in ones are rows too, so that memberships can refer to them; their permissions are saas.builtin_roles()''s.';
alter table saas.role enable row level security;
alter table saas.role force row level security;
create policy "a member reads the organization's roles" on saas.role
    for select using (org_id = saas.current_org_id());
create policy "the service reads every role" on saas.role
    for select to saas_service using (true);
create policy "the service adds roles" on saas.role
    for insert to saas_service with check (true);
grant select on saas.role to saas_user;
grant select, insert on saas.role to saas_service;

create table saas.membership (
    org_id uuid not null references saas.organization (id) on delete cascade,
    user_id uuid not null references saas.app_user (id) on delete cascade,
    role text not null,
    attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object'),
    invited_by uuid,
    joined_at timestamptz not null default now(),
    primary key (org_id, user_id),
    foreign key (org_id, role) references saas.role (org_id, name)
);
create index membership_user_id_idx on saas.membership (user_id);
comment on table saas.membership is
'Who belongs to which organization, with one role in each.';
comment on column saas.membership.attributes is 'Free facts about the member, a Salesforce user id for example.';
alter table saas.membership enable row level security;
alter table saas.membership force row level security;
create policy "holders of view_dashboard read the organization's memberships" on saas.membership
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the service reads every membership" on saas.membership
    for select to saas_service using (true);
create policy "the service adds memberships" on saas.membership
    for insert to saas_service with check (true);
create policy "the service changes memberships" on saas.membership
    for update to saas_service using (true) with check (true);
create policy "the service ends memberships" on saas.membership
    for delete to saas_service using (true);
grant select on saas.membership to saas_user;
grant select, insert, update, delete on saas.membership to saas_service;

create table saas_private.session (
    id uuid primary key default saas.uuidv7(),
    user_id uuid not null references saas.app_user (id) on delete cascade,
    active_org_id uuid,
    is_remembered boolean not null default false,
    ip inet,
    user_agent text check (length(user_agent) <= 1024),
    created_at timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz
);
create index session_user_id_idx on saas_private.session (user_id);
comment on table saas_private.session is
'Sign-ins. Ending one ends its access tokens with the next transaction.';
alter table saas_private.session enable row level security;
alter table saas_private.session force row level security;
create policy "the service keeps sessions" on saas_private.session
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.session to saas_service;

create table saas_private.refresh_token (
    id uuid primary key default saas.uuidv7(),
    session_id uuid not null references saas_private.session (id) on delete cascade,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    rotated_at timestamptz
);
create index refresh_token_session_id_idx on saas_private.refresh_token (session_id);
comment on table saas_private.refresh_token is
'Hashes of refresh tokens. Each is good for one rotation.';
alter table saas_private.refresh_token enable row level security;
alter table saas_private.refresh_token force row level security;
create policy "the service keeps refresh tokens" on saas_private.refresh_token
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.refresh_token to saas_service;

create table saas_private.email_token (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    user_id uuid not null references saas.app_user (id) on delete cascade,
    purpose text not null check (purpose in ('verify_email')),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
create index email_token_user_id_idx on saas_private.email_token (user_id);
comment on table saas_private.email_token is
'Hashes of single-use tokens that went out by mail.';
alter table saas_private.email_token enable row level security;
alter table saas_private.email_token force row level security;
create policy "the service keeps mailed tokens" on saas_private.email_token
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.email_token to saas_service;

create table saas_private.jwt_key (
    kid text primary key check (length(kid) between 1 and 64),
    algorithm text not null check (algorithm in ('ES256')),
    public_jwk jsonb not null,
    private_key saas.sealed not null,
    is_current boolean not null default true,
    created_at timestamptz not null default now(),
    retired_at timestamptz
);
create unique index jwt_key_one_current on saas_private.jwt_key (is_current) where is_current;
comment on table saas_private.jwt_key is
'Key pairs that sign access tokens; the private halves are sealed under the platform''s key.';
alter table saas_private.jwt_key enable row level security;
alter table saas_private.jwt_key force row level security;
create policy "the service keeps signing keys" on saas_private.jwt_key
    to saas_service using (true) with check (true);
grant select, insert, update on saas_private.jwt_key to saas_service;

create table saas_private.ticket (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    opened_by name not null,
    opened_by_oid oid not null,
    reason text not null check (length(reason) between 1 and 1000),
    opened_at timestamptz not null default now(),
    valid_until timestamptz not null,
    primary key (org_id, id)
);
comment on table saas_private.ticket is
'Operators'' time-boxed permissions to look at one organization.';
comment on column saas_private.ticket.opened_by_oid is
'The login itself: one that was dropped and made anew under the same name holds no ticket.';
alter table saas_private.ticket enable row level security;
alter table saas_private.ticket force row level security;
create policy "the service keeps tickets" on saas_private.ticket
    to saas_service using (true) with check (true);
grant select, insert on saas_private.ticket to saas_service;

create table saas.outbox (
    id uuid primary key default saas.uuidv7(),
    org_id uuid references saas.organization (id) on delete cascade,
    recipient text not null check (length(recipient) between 3 and 255),
    template text not null check (template ~ '^[a-z][a-z0-9_]{0,62}$'),
    parameters jsonb not null default '{}' check (jsonb_typeof(parameters) = 'object'),
    token saas.sealed,
    status text not null default 'queued' check (status in ('queued', 'sent', 'failed')),
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
comment on table saas.outbox is
'Mail to send: template and parameters. A token in it is sealed and erased once the mail is sent.';
comment on column saas.outbox.org_id is 'The organization whose branding the mail carries; NULL for mail of the platform itself.';
alter table saas.outbox enable row level security;
alter table saas.outbox force row level security;
create policy "the service keeps the outbox" on saas.outbox
    to saas_service using (true) with check (true);
grant select, insert, update on saas.outbox to saas_service;
