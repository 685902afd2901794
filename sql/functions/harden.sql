-- What only a superuser can take from tenants: rights that PostgreSQL gives to
-- PUBLIC, by which sessions of one role see, signal or wait for each other.
-- Leans on isolation_checks; what was taken is remembered in saas_private.hardening.

-- The objects by reason, in the order of the statements.  keeper is who goes on
-- using them; superusers do anyway.
create function saas_private.hardening_targets()
returns table (place integer, reason text, kind text, object oid, keeper text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with topic (place, reason, names, keeper) as (values
        (2, 'sessions of one role see each other''s statements, and who is connected',
         '^pg_stat_get_(activity|progress_info|wal_senders|subscription|wal_receiver)$|^pg_stat_get_backend_', 'pg_read_all_stats'),
        (3, 'counters tell how much every organization reads and writes',
         '^pg_stat_get_(?!activity$|progress_info$|wal_senders$|subscription$|wal_receiver$|backend_)', 'pg_read_all_stats'),
        (4, 'locks and prepared transactions tell who works on what; prepared statements of the session are its last users'' too',
         '^pg_(lock_status|blocking_pids|safe_snapshot_blocking_pids|prepared_xact|prepared_statement)$', 'pg_read_all_stats'),
        (5, 'sizes tell how much every organization stores',
         '^pg_(relation|table|indexes|total_relation|database|tablespace)_size$', 'pg_read_all_stats'),
        (6, 'a tenant could end the statements and sessions of others who share the role',
         '^pg_(cancel|terminate)_backend$', 'pg_signal_backend'),
        (7, 'every session of the database hears a notification', '^pg_notify$', null),
        -- saas_private.answer_alike() writes one.
        (14, 'whoever decodes the WAL could take a tenant''s message for the application''s', '^pg_logical_emit_message$', 'saas_service'),
        (8, 'a tenant could hold connections that all share', '^pg_sleep(_for|_until)?$', null),
        (9, 'advisory locks are of all organizations, and stay in the session', '^pg_(try_)?advisory_(xact_)?lock(_shared)?$', null),
        (10, 'large objects belong to no organization, and no policy binds them',
         '^lo_(creat|create|from_bytea|open|close|get|put|unlink|lseek|lseek64|tell|tell64|truncate|truncate64)$|^lo(read|write)$', null),
        (11, 'a sequence''s last value in the session is its last user''s', '^(currval|lastval)$', null),
        (12, 'a tenant could choose what random() gives the session''s next user', '^setseed$', null)
    )
    select 1, 'temporary objects stay in the session, in the way of its next user', 'database', d.oid, null
      from pg_database d where d.datname = current_database()
    union all
    select t.place, t.reason, 'function', p.oid, t.keeper
      from topic t join pg_proc p on p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ t.names
     where p.prokind = 'f'
    union all
    select 13, 'statements of other organizations under the same role', case when o.kind = 'pg_proc' then 'function' else 'table' end,
           o.object, 'pg_read_all_stats'
      from pg_extension e
     cross join lateral (
        select 'pg_proc', p.oid from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
         where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        union all
        select 'pg_class', c.oid from pg_class c join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid
         where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and c.relkind in ('v', 'r')
     ) as o (kind, object)
     where e.extname in ('pg_stat_statements', 'pg_stat_monitor', 'pg_stat_kcache')
$$;
comment on function saas_private.hardening_targets() is
'What saas.harden takes from PUBLIC: the place of its statement, the reason, the kind of object, its oid, and the role that keeps the right.';

create function saas_private.object_name(kind text, object oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case object_name.kind
        when 'function' then object_name.object::regprocedure::text
        when 'table' then object_name.object::regclass::text
        else (select quote_ident(d.datname) from pg_database d where d.oid = object_name.object) end
$$;
comment on function saas_private.object_name(text, oid) is
'The name of a database, function or table as statements write it.';

-- The grantees of the one right that matters, 0 for PUBLIC.
create function saas_private.right_holders(kind text, object oid) returns oid[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(a.grantee), '{}')
      from (select coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc p
             where right_holders.kind = 'function' and p.oid = right_holders.object
            union all
            select coalesce(c.relacl, acldefault('r', c.relowner)) from pg_class c
             where right_holders.kind = 'table' and c.oid = right_holders.object
            union all
            select coalesce(d.datacl, acldefault('d', d.datdba)) from pg_database d
             where right_holders.kind = 'database' and d.oid = right_holders.object) as o (acl)
     cross join lateral aclexplode(o.acl) a
     where a.privilege_type = case right_holders.kind when 'function' then 'EXECUTE' when 'table' then 'SELECT' else 'TEMPORARY' end
$$;
comment on function saas_private.right_holders(text, oid) is
'Who was granted EXECUTE on a function, SELECT on a table, TEMPORARY on a database; 0 is PUBLIC.';

-- A login mapped to a member may have been given TEMP on purpose, for its tool;
-- what serves visitors is shared.
create function saas_private.shared_roles() returns table (role oid, name name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select t.role, t.name
      from saas_private.tenant_roles() t
     where t.name in ('saas_user', 'saas_anon') or pg_has_role(t.role, 'saas_anon', 'MEMBER')
$$;
comment on function saas_private.shared_roles() is
'The roles of tenants whose sessions serve many of them: saas_user, saas_anon and the members of saas_anon.';

-- Each change alone; harden puts those of one kind into one statement.
create function saas_private.hardening_changes()
returns table (place integer, reason text, kind text, object text, grantee text, is_granted boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with target as materialized (
        select t.*, saas_private.object_name(t.kind, t.object) as name, saas_private.right_holders(t.kind, t.object) as holders
          from saas_private.hardening_targets() t
    )
    select t.place, t.reason, t.kind, t.name, 'public', false from target t where 0 = any (t.holders)
    union all
    select t.place, t.reason, t.kind, t.name, quote_ident(r.name), false
      from target t join saas_private.shared_roles() r on r.role = any (t.holders) where t.kind = 'database'
    union all
    -- Only where PUBLIC loses it now: whoever took it from the keeper since had a reason.
    select t.place, t.reason, t.kind, t.name, t.keeper, true
      from target t join pg_roles r on r.rolname = t.keeper
     where 0 = any (t.holders) and r.oid <> all (t.holders)
$$;
comment on function saas_private.hardening_changes() is
'What saas.harden would change now: a right on an object that a grantee loses, or is granted.';

create function saas_private.logins_losing_temp() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(quote_ident(r.rolname), ', ' order by r.rolname)
      from pg_roles r
      join pg_database d on d.datname = current_database()
     where r.rolcanlogin and not r.rolsuper and has_database_privilege(r.oid, d.oid, 'TEMPORARY')
       and not exists (select from unnest(saas_private.right_holders('database', d.oid)) as h (role)
                        where h.role <> 0 and h.role not in (select s.role from saas_private.shared_roles() s)
                          and pg_has_role(r.oid, h.role, 'USAGE'))
$$;
comment on function saas_private.logins_losing_temp() is
'The logins that saas.harden takes the right to temporary objects from; NULL for none.';

create function saas_private.right_statement(kind text, objects text[], grantee text, is_granted boolean) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s %s on %s %s %s %s;',
                  case when right_statement.is_granted then 'grant' else 'revoke' end,
                  case right_statement.kind when 'function' then 'execute' when 'table' then 'select' else 'temporary' end,
                  right_statement.kind, array_to_string(right_statement.objects, ', '),
                  case when right_statement.is_granted then 'to' else 'from' end, right_statement.grantee)
$$;
comment on function saas_private.right_statement(text, text[], text, boolean) is
'A GRANT or REVOKE of EXECUTE on functions, SELECT on tables or TEMPORARY on the database.';

create function saas.harden(dry_run boolean default false) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    place integer := 0;
    lines text[] := '{}';
    logins text;
begin
    perform saas_private.require_superuser('saas.harden');
    perform saas_private.require_installed();
    -- Two at once would both change the same rights.
    lock table saas_private.hardening in share row exclusive mode;
    for item in
        select c.place, c.reason, c.kind, c.grantee, c.is_granted, array_agg(c.object order by c.object) as objects
          from saas_private.hardening_changes() c
         group by c.place, c.reason, c.kind, c.grantee, c.is_granted
         order by c.place, c.is_granted, c.kind, c.grantee
    loop
        if item.place <> place then
            lines := lines || ('-- ' || item.reason);
            place := item.place;
            logins := case when item.kind = 'database' then saas_private.logins_losing_temp() end;
            if logins is not null then
                lines := lines || ('-- loses it: ' || logins);
            end if;
        end if;
        lines := lines || saas_private.right_statement(item.kind, item.objects, item.grantee, item.is_granted);
        if not harden.dry_run then
            insert into saas_private.hardening (kind, object, grantee, is_granted)
            select item.kind, case when item.kind = 'database' then '' else o end, item.grantee, item.is_granted
              from unnest(item.objects) as o
            on conflict do nothing;
            execute lines[cardinality(lines)];
        end if;
    end loop;
    return case when lines = '{}' then '-- nothing to change' else array_to_string(lines, E'\n') end;
end
$$;
comment on function saas.harden(boolean) is
'Takes from PUBLIC, and from the roles that tenants share, rights by which tenants see, signal or wait for others, or leave something in a pooled session: temporary objects, activity and statistics, locks, sizes, signals, notifications, sleeping, advisory locks, large objects, last values of sequences, the seed of random(). pg_monitor and superusers go on as before; another role that needs a function is granted it. Returns the statements with their reasons; dry_run runs none. A second call changes nothing; saas.unharden takes it back. Counts for this database only. Errors: PT403 for non-superusers, 55000 before saas.install().';

create function saas.unharden(dry_run boolean default false) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    lines text[] := '{}';
begin
    perform saas_private.require_superuser('saas.unharden');
    perform saas_private.require_installed();
    lock table saas_private.hardening in share row exclusive mode;
    for item in
        select h.kind, h.grantee, h.is_granted, array_agg(o.name order by o.name) as objects
          from saas_private.hardening h
         cross join lateral (select case h.kind
                when 'function' then to_regprocedure(h.object)::text
                when 'table' then to_regclass(h.object)::text
                else quote_ident(current_database()) end) as o (name)
         -- What is gone since, a role or an extension's function, has nothing to give back.
         where o.name is not null and (h.grantee = 'public' or to_regrole(h.grantee) is not null)
         group by h.kind, h.grantee, h.is_granted
         order by h.is_granted, h.kind, h.grantee
    loop
        lines := lines || saas_private.right_statement(item.kind, item.objects, item.grantee, not item.is_granted);
        if not unharden.dry_run then
            execute lines[cardinality(lines)];
        end if;
    end loop;
    if not unharden.dry_run then
        delete from saas_private.hardening;
    end if;
    return case when lines = '{}' then '-- nothing to change' else array_to_string(lines, E'\n') end;
end
$$;
comment on function saas.unharden(boolean) is
'Gives back exactly what saas.harden took in this database, and takes what it granted; rights that somebody else revoked stay revoked. Returns the statements; dry_run runs none. Run it before pg_upgrade and harden again after it. Errors: PT403 for non-superusers, 55000 before saas.install().';
