-- The guard: new tables of a schema are protected when their transaction
-- commits, or are refused.  Its check waits until then because nobody can make
-- and protect a table in one statement.

create function saas_private.is_bounded(relation oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_and(
               c.relkind in ('r', 'p') and c.relrowsecurity and c.relforcerowsecurity
               and (a.attnum is null
                    or a.attnotnull and not exists (select from saas_private.widening_policies(t.relation)))), true)
      from saas_private.relation_tree(is_bounded.relation) t
      join pg_class c on c.oid = t.relation
      left join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
$$;
comment on function saas_private.is_bounded(oid) is
'Whether a table with all its parts has forced row-level security and, where it has org_id, no row without one and no policy that widens.';

create function saas_private.note_new_tables() returns event_trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into saas_private.unguarded_table (relation)
    select distinct c.oid
      from pg_event_trigger_ddl_commands() e
     cross join lateral (
            select e.objid where e.classid = 'pg_class'::regclass
            union all
            select p.polrelid from pg_policy p where e.classid = 'pg_policy'::regclass and p.oid = e.objid
            union all
            -- A schema that takes a guarded name brings its tables.
            select t.oid from pg_class t where e.classid = 'pg_namespace'::regclass and t.relnamespace = e.objid) as o (oid)
      join pg_class c on c.oid = o.oid
      join pg_namespace n on n.oid = c.relnamespace
      join saas.guarded_schema g on g.name = n.nspname
     where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't' and not saas_private.is_bounded(c.oid)
    on conflict do nothing;
end
$$;
alter function saas_private.note_new_tables() owner to saas_service;
comment on function saas_private.note_new_tables() is
'Event trigger of the guard: remembers tables of guarded schemas that a statement left unprotected until the transaction commits.';

create function saas_private.check_new_table() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_mode text;
    relation_name text;
    root text := saas_private.tree_root(new.relation);
begin
    delete from saas_private.unguarded_table u where u.relation = new.relation;
    select g.mode, c.oid::regclass::text into found_mode, relation_name
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      join saas.guarded_schema g on g.name = n.nspname
     where c.oid = new.relation and not saas_private.is_bounded(c.oid);
    if found_mode = 'refuse' then
        perform saas_private.raise_error('55000', format('%s is not protected', relation_name), null,
            format('Run select saas.protect(%L) in the same transaction, or force row-level security on a table that belongs to no organization.', root));
    elsif found_mode = 'warn' then
        raise warning using message = format('%s is not protected', relation_name),
            hint = format('Run select saas.protect(%L), or force row-level security on a table that belongs to no organization.', root);
    end if;
    return null;
end
$$;
alter function saas_private.check_new_table() owner to saas_service;
comment on function saas_private.check_new_table() is
'Deferred trigger of the guard: at commit, warns of or refuses a table that is still not protected.';

create function saas.guard_schema(schema_name name, mode text default 'warn') returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_superuser('saas.guard_schema');
    perform saas_private.require_installed();
    if guard_schema.mode is null or guard_schema.mode not in ('warn', 'refuse', 'off') then
        perform saas_private.raise_fields('invalid input', 'mode', 'must be warn, refuse or off');
    end if;
    if guard_schema.schema_name is null or guard_schema.mode <> 'off' and to_regnamespace(quote_ident(guard_schema.schema_name)) is null then
        perform saas_private.raise_error('3F000', format('schema "%s" does not exist', guard_schema.schema_name));
    end if;
    -- Two that guard or free schemas at once would both see the other's row, or neither.
    lock table saas.guarded_schema in share row exclusive mode;
    perform saas_private.audit('guard.changed', 'schema', guard_schema.schema_name::text,
        (select jsonb_build_object('mode', g.mode) from saas.guarded_schema g where g.name = guard_schema.schema_name),
        jsonb_build_object('mode', guard_schema.mode), '00000000-0000-0000-0000-000000000000');
    if guard_schema.mode = 'off' then
        delete from saas.guarded_schema g where g.name = guard_schema.schema_name;
    else
        insert into saas.guarded_schema (name, mode) values (guard_schema.schema_name, guard_schema.mode)
        on conflict (name) do update set mode = excluded.mode;
    end if;
    if not exists (select from saas.guarded_schema) then
        drop event trigger if exists saas_guard;
    elsif not exists (select from pg_event_trigger e where e.evtname = 'saas_guard') then
        create event trigger saas_guard on ddl_command_end
            when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE POLICY', 'ALTER POLICY',
                         'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA', 'CREATE SCHEMA', 'ALTER SCHEMA')
            execute function saas_private.note_new_tables();
    end if;
end
$$;
comment on function saas.guard_schema(name, text) is
'From now on tables that are made in the schema, or lose their protection, are noticed when their transaction commits: mode warn warns, refuse fails the commit with 55000, off ends it. Accepted are tables with forced row-level security that have no org_id or bind it. Existing tables are left to saas.check_isolation. Errors: PT403 for non-superusers, 22023, 3F000, 55000 before saas.install().';

create function saas_private.require_nothing_protected() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    tables text;
begin
    select string_agg(p.polrelid::regclass::text, ', ' order by p.polrelid::regclass::text) into tables
      from pg_policy p
      join pg_class c on c.oid = p.polrelid
     where saas_private.protection_note(p.polrelid) is not null and p.polname = 'saas: an organization reads its own rows'
       and not exists (select from pg_inherits i where i.inhrelid = c.oid);
    if tables is not null then
        perform saas_private.raise_error('55000', 'tables are protected by pg_saas', tables,
            'Take the protection away with select saas.unprotect(table) first: the tables would be open or unusable.');
    end if;
end
$$;
comment on function saas_private.require_nothing_protected() is
'Raises 55000 with their names in DETAIL while tables are protected.';
