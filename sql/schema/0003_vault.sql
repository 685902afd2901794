-- Data keys, wrapped by master keys that never enter the database.  Leans on
-- accounts.

create table saas_private.data_key (
    org_id uuid not null,
    version integer not null check (version > 0),
    master_version integer not null check (master_version > 0),
    master_fingerprint text not null check (master_fingerprint ~ '^[0-9a-f]{16}$'),
    wrapped_key bytea not null check (octet_length(wrapped_key) = 60),
    created_at timestamptz not null default now(),
    primary key (org_id, version)
);
comment on table saas_private.data_key is
'Data keys wrapped with AES-256-GCM: nonce, key, tag. The organization of all zeros is the platform itself.';
comment on column saas_private.data_key.master_fingerprint is
'First 8 bytes of the SHA-256 of the wrapping master key, so that a wrong key file says so.';
alter table saas_private.data_key enable row level security;
alter table saas_private.data_key force row level security;
create policy "the service keeps data keys" on saas_private.data_key
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.data_key to saas_service;
