-- Database logins that act for one member each.  Leans on accounts.

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
