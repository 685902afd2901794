-- Keys with which programs act for a member.  Leans on accounts and vault.

create table saas.api_key (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    name text not null check (length(name) between 1 and 255),
    prefix text not null check (length(prefix) = 12),
    permissions text[] not null check (cardinality(permissions) between 1 and 64),
    requires_signature boolean not null default false,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    rotated_at timestamptz,
    overlap_until timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    primary key (org_id, id)
);
comment on table saas.api_key is
'API keys of an organization, without anything that proves one.';
comment on column saas.api_key.prefix is 'The first characters of the key, to tell keys apart.';
comment on column saas.api_key.permissions is 'What the key may do, as long as its creator may.';
comment on column saas.api_key.created_by is 'The user in whose name the key acts; it ends with their membership.';
comment on column saas.api_key.overlap_until is 'How long the key of before the last rotation is accepted.';
comment on column saas.api_key.last_used_at is 'Within a minute or two; the time is written behind the requests.';
alter table saas.api_key enable row level security;
alter table saas.api_key force row level security;
create policy "holders of manage_applications read API keys" on saas.api_key
    for select using (org_id = saas.org_if('manage_applications'));
create policy "holders of manage_applications add API keys" on saas.api_key
    for insert with check (org_id = saas.org_if('manage_applications'));
create policy "holders of manage_applications change API keys" on saas.api_key
    for update using (org_id = saas.org_if('manage_applications'))
    with check (org_id = saas.org_if('manage_applications'));
create policy "the service reads every API key" on saas.api_key
    for select to saas_service using (true);
create policy "the service notes when API keys were used" on saas.api_key
    for update to saas_service using (true) with check (true);
grant select on saas.api_key to saas_user;
grant select, update on saas.api_key to saas_service;

create table saas_private.api_key_hash (
    org_id uuid not null,
    api_key_id uuid not null,
    key_hash bytea not null check (octet_length(key_hash) = 32),
    created_at timestamptz not null default now(),
    valid_until timestamptz,
    primary key (org_id, api_key_id, key_hash),
    foreign key (org_id, api_key_id) references saas.api_key (org_id, id) on delete cascade
);
-- Not unique: a tenant's unique keys lead with the organization, and 256 random bits do not meet.
create index api_key_hash_key_hash_idx on saas_private.api_key_hash (key_hash);
comment on table saas_private.api_key_hash is
'SHA-256 of the keys that are accepted: the current one, and until valid_until the one before its rotation.';
alter table saas_private.api_key_hash enable row level security;
alter table saas_private.api_key_hash force row level security;
create policy "holders of manage_applications replace keys" on saas_private.api_key_hash
    using (org_id = saas.org_if('manage_applications'))
    with check (org_id = saas.org_if('manage_applications'));
create policy "the service looks keys up" on saas_private.api_key_hash
    for select to saas_service using (true);
grant select on saas_private.api_key_hash to saas_service;

create table saas_private.api_key_signing (
    org_id uuid not null,
    api_key_id uuid not null,
    signing_secret saas.sealed not null,
    created_at timestamptz not null default now(),
    primary key (org_id, api_key_id),
    foreign key (org_id, api_key_id) references saas.api_key (org_id, id) on delete cascade
);
comment on table saas_private.api_key_signing is
'Sealed secrets with which the holders of API keys sign requests.';
alter table saas_private.api_key_signing enable row level security;
alter table saas_private.api_key_signing force row level security;
create policy "holders of manage_applications see which secrets there are" on saas_private.api_key_signing
    for select using (org_id = saas.org_if('manage_applications'));
create policy "holders of manage_applications add secrets" on saas_private.api_key_signing
    for insert with check (org_id = saas.org_if('manage_applications'));
create policy "holders of manage_applications replace secrets" on saas_private.api_key_signing
    for update using (org_id = saas.org_if('manage_applications'))
    with check (org_id = saas.org_if('manage_applications'));
create policy "the service verifies signatures" on saas_private.api_key_signing
    for select to saas_service using (true);
grant select on saas_private.api_key_signing to saas_service;

create view saas_api.api_keys with (security_invoker = true) as
select k.org_id, k.id, k.name, k.prefix, k.permissions, k.requires_signature,
       case when k.revoked_at is not null then 'revoked'
            when k.expires_at <= now() then 'expired'
            else 'active' end as status,
       k.created_by, k.created_at, k.expires_at, k.rotated_at, k.overlap_until, k.revoked_at, k.last_used_at
  from saas.api_key k;
comment on view saas_api.api_keys is
'API keys of the current organization; never the keys themselves. For saas_user with manage_applications.';
grant select on saas_api.api_keys to saas_user;
