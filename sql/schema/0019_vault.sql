-- What the vault remembers of its data keys: how much each has sealed, which
-- are superseded, which were destroyed; rotations; sealed columns of
-- applications.  Leans on 0003 and every table with a sealed column.

alter table saas_private.data_key
    add column sealed_count bigint not null default 0 check (sealed_count >= 0),
    add column retired_at timestamptz,
    add column emptied_at timestamptz,
    add constraint data_key_is_emptied_once_retired check (emptied_at is null or emptied_at >= retired_at);
comment on column saas_private.data_key.sealed_count is
'About how many values were sealed under it: processes sample what they seal and note blocks, which the worker adds.';
comment on column saas_private.data_key.retired_at is
'Since when no process can have it as the current key; NULL for the highest version and for one superseded just now.';
comment on column saas_private.data_key.emptied_at is
'When a rotation had looked at every sealed column and left nothing under it; NULL as long as something is.';

create table saas_private.destroyed_key (
    org_id uuid primary key,
    destroyed_at timestamptz not null default now()
);
comment on table saas_private.destroyed_key is
'Organizations whose data keys were destroyed: nothing is ever sealed for them again.';
alter table saas_private.destroyed_key enable row level security;
alter table saas_private.destroyed_key force row level security;
create policy "the service keeps the tombstones of data keys" on saas_private.destroyed_key
    to saas_service using (true) with check (true);
grant select, insert on saas_private.destroyed_key to saas_service;

create table saas_private.key_rotation (
    id uuid primary key default saas.uuidv7(),
    only_org_id uuid,
    started_at timestamptz not null default clock_timestamp(),
    made_before timestamptz not null,
    finished_at timestamptz,
    resealed_count bigint not null default 0
);
create unique index key_rotation_one_unfinished on saas_private.key_rotation ((finished_at is null)) where finished_at is null;
comment on table saas_private.key_rotation is
'Rotations of data keys; one without finished_at goes on with the next call saas.rotate_data_keys().';
comment on column saas_private.key_rotation.made_before is
'Keys whose current version was made before get a new one: what is done is not done again.';
comment on column saas_private.key_rotation.only_org_id is 'The one organization whose key it rotates; NULL: all keys.';
alter table saas_private.key_rotation enable row level security;
alter table saas_private.key_rotation force row level security;
create policy "the service keeps rotations" on saas_private.key_rotation
    to saas_service using (true) with check (true);
grant select, insert, update on saas_private.key_rotation to saas_service;

create table saas_private.sealed_column (
    relation regclass not null,
    column_name name not null,
    purpose text not null check (octet_length(purpose) between 1 and 255) check (purpose !~ '^pg_saas:'),
    context_column name,
    registered_at timestamptz not null default now(),
    primary key (relation, column_name)
);
comment on table saas_private.sealed_column is
'Sealed columns of applications'' tables, which rotations re-seal: saas.register_sealed_column().';
comment on column saas_private.sealed_column.context_column is
'The column whose text is the context that values are sealed with; NULL: the empty context.';
alter table saas_private.sealed_column enable row level security;
alter table saas_private.sealed_column force row level security;
create policy "the service keeps the list of sealed columns" on saas_private.sealed_column
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.sealed_column to saas_service;

-- What a rotation needs besides what each role has.
create policy "rotations re-seal default secrets" on saas_private.salesforce_default_secret
    for update to saas_poller using (true) with check (true);
grant update on saas_private.salesforce_default_secret to saas_poller;
create policy "rotations re-seal signing secrets" on saas_private.api_key_signing
    for update to saas_service using (true) with check (true);
grant update on saas_private.api_key_signing to saas_service;
grant update on saas_private.audit_key to saas_service;
grant update on saas_private.hash_key to saas_service;
