-- Keys of blind indexes, one per organization.  Leans on organizations and
-- vault.

create table saas_private.blind_index_key (
    org_id uuid primary key references saas.organization (id) on delete cascade,
    key saas.sealed not null,
    created_at timestamptz not null default now()
);
comment on table saas_private.blind_index_key is
'HMAC keys of saas.blind_index(): 32 random bytes in hex, sealed for the organization, made when first needed. They never change, or nothing that was indexed would be found.';
alter table saas_private.blind_index_key enable row level security;
alter table saas_private.blind_index_key force row level security;
create policy "the service keeps keys of blind indexes" on saas_private.blind_index_key
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.blind_index_key to saas_service;
