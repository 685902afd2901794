-- Second factors: authenticator applications, recovery codes, sign-ins that wait
-- for one; and database logins that act for one member each.  Leans on accounts.

alter table saas.organization add column requires_second_factor boolean not null default false;
comment on column saas.organization.requires_second_factor is
'Whether only sessions with a second factor may work in the organization.';
alter table saas_private.session add column second_factor_at timestamptz;
comment on column saas_private.session.second_factor_at is
'When the session''s person proved a second factor; NULL when they did not.';

create table saas_private.second_factor (
    user_id uuid primary key references saas.app_user (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    secret saas.sealed not null,
    last_step bigint not null default -1,
    created_at timestamptz not null default now(),
    confirmed_at timestamptz
);
comment on table saas_private.second_factor is
'The authenticator application of a person. It counts once confirmed.';
comment on column saas_private.second_factor.id is
'Tells one enrolment from the next: a step that was used is used for this secret.';
comment on column saas_private.second_factor.last_step is
'The newest step of 30 seconds since 1970 whose code was used; it and older ones are refused. -1: none yet.';
alter table saas_private.second_factor enable row level security;
alter table saas_private.second_factor force row level security;
create policy "the service keeps second factors" on saas_private.second_factor
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.second_factor to saas_service;

create table saas_private.recovery_code (
    user_id uuid not null references saas.app_user (id) on delete cascade,
    code_hash bytea not null check (octet_length(code_hash) = 32),
    created_at timestamptz not null default now(),
    used_at timestamptz,
    primary key (user_id, code_hash)
);
comment on table saas_private.recovery_code is
'Hashes of single-use codes of 80 random bits for those who lost their authenticator application.';
alter table saas_private.recovery_code enable row level security;
alter table saas_private.recovery_code force row level security;
create policy "the service keeps recovery codes" on saas_private.recovery_code
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.recovery_code to saas_service;

create table saas_private.sign_in_challenge (
    challenge_hash bytea primary key check (octet_length(challenge_hash) = 32),
    user_id uuid not null references saas.app_user (id) on delete cascade,
    is_remembered boolean not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sign_in_challenge_user_id_idx on saas_private.sign_in_challenge (user_id);
comment on table saas_private.sign_in_challenge is
'Sign-ins whose password was right and whose second factor is awaited: hashes of the tokens that stand for them.';
alter table saas_private.sign_in_challenge enable row level security;
alter table saas_private.sign_in_challenge force row level security;
create policy "the service keeps challenges" on saas_private.sign_in_challenge
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.sign_in_challenge to saas_service;

create table saas_private.login_mapping (
    org_id uuid not null references saas.organization (id) on delete cascade,
    login_oid oid not null,
    login name not null,
    user_id uuid not null references saas.app_user (id) on delete cascade,
    mapped_by name not null default session_user,
    mapped_at timestamptz not null default now(),
    primary key (org_id, login_oid)
);
create index login_mapping_login_oid_idx on saas_private.login_mapping (login_oid);
create index login_mapping_user_id_idx on saas_private.login_mapping (user_id);
comment on table saas_private.login_mapping is
'Database logins whose transactions act for one member of one organization. saas.map_login() keeps a login to one row; with two it has no identity.';
comment on column saas_private.login_mapping.login_oid is
'The login itself; it counts only together with its name, so that neither a role made anew under the name nor one that has the number in a restored copy holds the mapping.';
alter table saas_private.login_mapping enable row level security;
alter table saas_private.login_mapping force row level security;
create policy "the service reads login mappings" on saas_private.login_mapping
    for select to saas_service using (true);
grant select on saas_private.login_mapping to saas_service;
