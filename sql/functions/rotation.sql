-- Rotation of master and data keys, their state, and their end.  Definer
-- functions of saas_service.  Leans on vault, audit, organizations.

create procedure saas.rewrap_data_keys()
language c
as 'MODULE_PATHNAME', 'pg_saas_rewrap_data_keys';
comment on procedure saas.rewrap_data_keys() is
'Wraps every data key with the newest master key, 1,000 in a transaction, while everything runs; afterwards older master keys can go from the file. Values are not touched. Says by NOTICE how many it wrapped; called again it does what is left. Runs outside a transaction block: call saas.rewrap_data_keys() alone. Errors: 2D000 inside a transaction block, 55000 naming the needed and the found fingerprint when a key''s master key is missing, after all others are wrapped. For superusers and members of saas_operator.';

create procedure saas.rotate_data_keys(org uuid default null, older_than interval default '0')
language c
as 'MODULE_PATHNAME', 'pg_saas_rotate_data_keys';
comment on procedure saas.rotate_data_keys(uuid, interval) is
'Goes on with a rotation that did not finish, otherwise begins one: makes a new version of every data key (of org, the organization of zeros being the platform) whose current version is older than older_than, seals every value under older versions again, 200 in a transaction, while everything runs, and drops versions that nothing uses: superseded for saas.data_key_grace, not in any sealed column, before every running transaction. What others hold locked is tried for a second; what is left then is said by NOTICE and done by the next call. Applications'' columns are updated as their tables'' owners, so their triggers run. Runs outside a transaction block. Errors: 2D000 inside a transaction block, 22023 for a negative interval, PT404 for an organization without a key, 55P03 while another rotation runs, 55000 without a usable master key. For superusers and members of saas_operator.';

create function saas.vault_status(out fact text, out subject text, out value bigint, out detail text)
returns setof record
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_vault_status';
comment on function saas.vault_status() is
'The vault in one row per fact: master_key (version; data keys it wraps; fingerprint, found or missing), data_keys (by state; how many), oldest_key_days, most_used_key (values sealed, about), unfinished_rotation (values sealed again so far), old_values (a column; values under superseded keys), keyless_values (a column; values that never open), unregistered_column (its values), destroyed_organizations. Scans the tables with sealed columns. For superusers and members of saas_operator.';

create function saas_private.next_data_key(org_id uuid, sealed_count bigint) returns integer
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_next_data_key';
comment on function saas_private.next_data_key(uuid, bigint) is
'Makes the next version of a data key that has sealed half of what it may, and returns it; NULL for one that has not. For saas_service''s functions only.';

create function saas_private.count_data_key(org_id uuid, version integer, sealed bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    total bigint;
    next_version integer;
begin
    update saas_private.data_key k set sealed_count = k.sealed_count + count_data_key.sealed
     where k.org_id = count_data_key.org_id and k.version = count_data_key.version
    returning k.sealed_count into total;
    -- Of a superseded version, or of one that is dropped.
    if total is null
       or exists (select from saas_private.data_key k
                   where k.org_id = count_data_key.org_id and k.version > count_data_key.version) then
        return;
    end if;
    -- What is counted stays counted, so that sealing stops at the bound.
    begin
        next_version := saas_private.next_data_key(count_data_key.org_id, total);
        if next_version is not null then
            perform saas_private.audit('data_key.rotated', 'data_key', next_version::text, null,
                jsonb_build_object('version', next_version, 'sealed', total), count_data_key.org_id);
        end if;
    exception when others then
        raise log 'could not make the next version of the data key of %: %', count_data_key.org_id, sqlerrm;
    end;
end
$$;
alter function saas_private.count_data_key(uuid, integer, bigint) owner to saas_service;
comment on function saas_private.count_data_key(uuid, integer, bigint) is
'Adds to what a data key has sealed, and makes its next version, audited, when that is half of what it may. For saas_private.write_note.';

create function saas_private.lock_data_keys(org_id uuid) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_lock_data_keys';
comment on function saas_private.lock_data_keys(uuid) is
'Keeps everybody else from making or destroying keys of the organization until the transaction ends; then every process forgets the keys it has opened. The transaction cannot be prepared. For saas_service''s functions only.';

create function saas_private.destroy_data_keys(org_id uuid) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    destroyed integer;
begin
    if destroy_data_keys.org_id = '00000000-0000-0000-0000-000000000000' then
        perform saas_private.raise_error('22023', 'the platform''s data keys cannot be destroyed');
    end if;
    perform saas_private.lock_data_keys(destroy_data_keys.org_id);
    insert into saas_private.destroyed_key (org_id) values (destroy_data_keys.org_id) on conflict do nothing;
    delete from saas_private.data_key k where k.org_id = destroy_data_keys.org_id;
    get diagnostics destroyed = row_count;
    return destroyed;
end
$$;
alter function saas_private.destroy_data_keys(uuid) owner to saas_service;
comment on function saas_private.destroy_data_keys(uuid) is
'Deletes every data key of an organization and leaves a tombstone, so that none is ever made again; returns how many there were. From the commit on no process opens what was sealed for it. For saas_service''s functions only.';

create function saas.destroy_keys(org uuid, confirm text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
    destroyed integer;
begin
    select o.id, o.name, o.slug, o.status into target from saas.organization o
     where o.id = destroy_keys.org for no key update;
    if target.id is null then
        if not exists (select from saas_private.deleted_organization d where d.id = destroy_keys.org) then
            perform saas_private.raise_error('PT404', 'organization not found');
        elsif destroy_keys.confirm is distinct from destroy_keys.org::text then
            perform saas_private.raise_fields('invalid input', 'confirm',
                'must be the id of the organization: its name is gone');
        end if;
    elsif destroy_keys.confirm is null or destroy_keys.confirm not in (target.name, target.slug) then
        perform saas_private.raise_fields('invalid input', 'confirm', 'must be the name or the slug of the organization');
    elsif target.status <> 'deleting' then
        perform saas_private.raise_error('PT409', format('organization is %s', target.status), null,
            'Keys are destroyed only of an organization that is being deleted.');
    end if;
    destroyed := saas_private.destroy_data_keys(destroy_keys.org);
    perform saas_private.audit('data_key.destroyed', 'organization', destroy_keys.org::text, null,
        jsonb_build_object('versions', destroyed), '00000000-0000-0000-0000-000000000000');
    if target.id is not null then
        perform saas_private.audit('data_key.destroyed', 'organization', destroy_keys.org::text, null,
            jsonb_build_object('versions', destroyed), destroy_keys.org);
    end if;
    return destroyed;
end
$$;
alter function saas.destroy_keys(uuid, text) owner to saas_service;
comment on function saas.destroy_keys(uuid, text) is
'Destroys the data keys of an organization that is being deleted, whose name or slug confirm must be, or of one that is gone already, whose id confirm must be; returns how many versions there were. From the commit on nothing that was sealed for it opens in this database, and nothing is sealed for it again, so it cannot be restored. Backups still hold the wrapped keys: docs/operations.md. Removing a deleted organization after 30 days destroys its keys too. Errors: 22023, PT404, PT409 for one that is not being deleted. For saas_operator.';

create function saas.register_sealed_column(relation regclass, column_name name, purpose text,
                                            context_column name default null) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    perform saas_private.require_installed();
    select c.oid, c.relkind, c.relpersistence, c.relispartition, n.nspname into target
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = register_sealed_column.relation;
    if target.oid is null or target.relkind not in ('r', 'p') or target.relpersistence = 't' or target.relispartition
       or target.nspname in ('saas', 'saas_api', 'saas_private') then
        perform saas_private.raise_fields('invalid input', 'relation',
            'must be a table of an application, not temporary and no partition');
    elsif not exists (select from pg_attribute a
                       where a.attrelid = target.oid and a.attname = 'org_id' and a.atttypid = 'uuid'::regtype
                         and not a.attisdropped) then
        perform saas_private.raise_fields('invalid input', 'relation', 'must have a column org_id of type uuid');
    elsif not exists (select from pg_attribute a
                       where a.attrelid = target.oid and a.attname = register_sealed_column.column_name
                         and a.atttypid = 'saas.sealed'::regtype and not a.attisdropped) then
        perform saas_private.raise_fields('invalid input', 'column_name', 'must be a column of type saas.sealed');
    elsif register_sealed_column.context_column is not null
          and not exists (select from pg_attribute a
                           where a.attrelid = target.oid and a.attname = register_sealed_column.context_column
                             and a.attnum > 0 and not a.attisdropped) then
        perform saas_private.raise_fields('invalid input', 'context_column', 'must be a column of the table');
    elsif register_sealed_column.purpose is null or octet_length(register_sealed_column.purpose) not between 1 and 255
          or register_sealed_column.purpose ~ '^pg_saas:' then
        perform saas_private.raise_fields('invalid input', 'purpose',
            'must have 1 to 255 bytes and not begin with pg_saas:');
    end if;
    insert into saas_private.sealed_column as s (relation, column_name, purpose, context_column)
    values (target.oid, register_sealed_column.column_name, register_sealed_column.purpose,
            register_sealed_column.context_column)
    on conflict on constraint sealed_column_pkey do update
       set purpose = excluded.purpose, context_column = excluded.context_column;
    perform saas_private.audit('sealed_column.registered', 'sealed_column',
        format('%s.%s', target.oid::regclass, register_sealed_column.column_name), null,
        jsonb_build_object('purpose', register_sealed_column.purpose,
                           'context_column', register_sealed_column.context_column),
        '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.register_sealed_column(regclass, name, text, name) owner to saas_service;
comment on function saas.register_sealed_column(regclass, name, text, name) is
'Lets rotations seal the values of an application''s column again: a column of type saas.sealed in a table with org_id, sealed with saas.seal(..., purpose, context), the context being the text of context_column (NULL: the empty one). Again: another purpose or context. A rotation updates the rows as the table''s owner, with an identity of their organization that holds every permission. Values that do not open with that purpose and context are left alone and reported. Errors: 22023. For saas_operator.';

create function saas.unregister_sealed_column(relation regclass, column_name name) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from saas_private.sealed_column s
     where s.relation = unregister_sealed_column.relation
       and s.column_name = unregister_sealed_column.column_name;
    if not found then
        perform saas_private.raise_error('PT404', 'the column is not registered');
    end if;
    perform saas_private.audit('sealed_column.unregistered', 'sealed_column',
        format('%s.%s', unregister_sealed_column.relation, unregister_sealed_column.column_name), null, null,
        '00000000-0000-0000-0000-000000000000');
end
$$;
alter function saas.unregister_sealed_column(regclass, name) owner to saas_service;
comment on function saas.unregister_sealed_column(regclass, name) is
'Takes an application''s column out of rotations. While it holds values, superseded data keys are not dropped. Errors: PT404 for one that is not registered. For saas_operator.';
