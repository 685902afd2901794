-- Isolation for tables of the application's own: saas.protect gives a table
-- org_id, forced row-level security, one policy per command and keys that carry
-- org_id; saas.unprotect takes them away again.  What was there before stands in
-- comments on the objects made, so that dumps and renames keep it.  The plan is
-- made from the catalogs by functions of ours and run with the caller's rights.
-- Leans on protect_catalog.

create function saas_private.require_protectable(relation oid, read text, write text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    found_policies text;
begin
    select c.*, n.nspname as schema, c.oid::regclass::text as name into item
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = require_protectable.relation;
    if not found then
        perform saas_private.raise_error('42P01', 'there is no such table');
    elsif item.relkind not in ('r', 'p') then
        perform saas_private.raise_error('42809', format('%s is not a table', item.name), null,
            case item.relkind when 'f' then 'Row-level security does not reach foreign tables.'
                              when 'v' then 'Protect its tables and make the view security_invoker.' end);
    elsif item.relpersistence = 't' or item.schema ~ '^pg_' or item.schema = 'information_schema'
          or item.schema in ('saas', 'saas_api', 'saas_private') then
        perform saas_private.raise_error('42809', format('%s is not a table of an application', item.name));
    end if;
    select i.inhparent::regclass::text as parent into item
      from pg_inherits i where i.inhrelid = require_protectable.relation limit 1;
    if found then
        perform saas_private.raise_error('22023', format('%s is a part of %s', require_protectable.relation::regclass, item.parent),
            null, 'Protect the table that holds all parts: the policies of a part do not bound who reads the whole.');
    end if;
    select i.inhrelid::regclass::text as part, i.inhparent::regclass::text as parent into item
      from saas_private.relation_tree(require_protectable.relation) t
      join pg_inherits i on i.inhrelid = t.relation
     where t.depth > 0 and i.inhparent not in (select o.relation from saas_private.relation_tree(require_protectable.relation) o)
     limit 1;
    if found then
        perform saas_private.raise_error('22023', format('%s is a part of %s too', item.part, item.parent),
            null, 'A table cannot have the policies of two: end one with alter table ... no inherit.');
    end if;
    select u.permission into item
      from unnest(array[require_protectable.read, require_protectable.write]) as u (permission)
     where length(u.permission) > 63 or u.permission !~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$';
    if found then
        perform saas_private.raise_error('22023', format('%L is no name of a permission', left(item.permission, 63)), null,
            'Permissions are words in lower case such as view_dashboard or shop.view_orders.');
    end if;
    for item in
        select t.relation::regclass::text as name, t.kind, t.relation, a.atttypid, a.attgenerated,
               format_type(a.atttypid, a.atttypmod) as type, pg_get_expr(d.adbin, d.adrelid) as default_value
          from saas_private.relation_tree(require_protectable.relation) t
          left join pg_attribute a on a.attrelid = t.relation and a.attname = 'org_id' and not a.attisdropped
          left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
         order by t.depth, 1
    loop
        if item.kind not in ('r', 'p') then
            perform saas_private.raise_error('42809', format('%s, a part of the table, is a foreign table', item.name), null,
                'Row-level security does not reach foreign tables: detach it first.');
        elsif item.atttypid <> 'uuid'::regtype then
            perform saas_private.raise_error('42804', format('org_id of %s is of type %s', item.name, item.type), null,
                'It names an organization and must be uuid.');
        elsif item.attgenerated <> '' then
            perform saas_private.raise_error('55000', format('org_id of %s is a generated column', item.name));
        elsif item.default_value <> 'saas.current_org_id()' then
            perform saas_private.raise_error('55000', format('org_id of %s has the default %s', item.name, item.default_value),
                null, 'Drop that default first: it must be saas.current_org_id().');
        end if;
        select string_agg(format('%I: %s', w.name, w.expression), '; ') into found_policies
          from saas_private.widening_policies(item.relation) w
         where w.name <> all (saas_private.made_policies());
        if found_policies is not null then
            perform saas_private.raise_error('55000',
                format('%s has policies that let rows of other organizations through', item.name), found_policies,
                'Permissive policies add up. Drop them, make them restrictive, or begin them with org_id = saas.org_if(''permission'') and.');
        end if;
    end loop;
end
$$;
comment on function saas_private.require_protectable(oid, text, text) is
'Refuses what saas.protect cannot protect. Errors: 42P01, 42809 for no table of an application, 22023 for a part of a table, for one that has a part of another or for a bad permission, 42804 for another type of org_id, 55000 for a different default or policies that widen.';

create function saas_private.require_organizations(relation oid, rows_without bigint) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if require_organizations.rows_without > 0 then
        perform saas_private.raise_error('23502',
            format('%s rows of %s have no organization', require_organizations.rows_without, require_organizations.relation::regclass),
            null, case when exists (select from pg_attribute a where a.attrelid = require_organizations.relation
                                       and a.attname = 'org_id' and not a.attisdropped)
                       then 'Fill org_id first.'
                       else 'Add the column org_id uuid and fill it first.' end);
    end if;
end
$$;
comment on function saas_private.require_organizations(oid, bigint) is
'Raises 23502 with the number of rows that have no organization.';

-- The foreign keys that stay within a tenant's rows or must come to: those
-- without org_id between two tables of tenants.  problem: why one stays as it is.
create function saas_private.tenant_foreign_keys(relation oid)
returns table (oid oid, name name, child oid, parent oid, child_columns name[], parent_columns name[], problem text)
language sql stable rows 2
set search_path = pg_catalog, pg_temp
as $$
    with part as (
        select t.relation from saas_private.relation_tree(tenant_foreign_keys.relation) t
    ), tenant as (
        select c.oid, c.oid in (select p.relation from part p) as is_part,
               c.relrowsecurity and c.relforcerowsecurity and a.attnotnull as is_protected
          from pg_class c
          left join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
                                  and a.atttypid = 'uuid'::regtype
         where a.attnum is not null or c.oid in (select p.relation from part p)
    ), key as (
        select k.*, saas_private.column_names(k.conrelid, k.conkey) as child_columns,
               saas_private.column_names(k.confrelid, k.confkey) as parent_columns
          from pg_constraint k
         where k.contype = 'f' and k.conparentid = 0
           and (k.conrelid in (select p.relation from part p) or k.confrelid in (select p.relation from part p))
    )
    select k.oid, k.conname, k.conrelid, k.confrelid, k.child_columns, k.parent_columns,
           case when c.oid is null then format('%s has no org_id', k.conrelid::regclass)
                when not c.is_part and not coalesce(c.is_protected, false) then format('%s is not protected', k.conrelid::regclass)
                when not p.is_part and not coalesce(p.is_protected, false) then format('%s is not protected', k.confrelid::regclass)
                when (select r.relispartition from pg_class r where r.oid = k.confrelid) then 'it refers to a partition'
                when 'org_id' = any (k.parent_columns) then 'another column refers to org_id'
                when k.confmatchtype = 'f' and cardinality(k.conkey) > 1
                     and exists (select from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any (k.conkey)
                                    and not a.attnotnull) then 'it is MATCH FULL over columns that may be NULL'
                when k.confupdtype in ('n', 'd') then 'its ON UPDATE would clear org_id too'
                when k.confdeltype in ('n', 'd') and current_setting('server_version_num')::integer < 150000
                     then 'its ON DELETE would clear org_id too before PostgreSQL 15'
                when pg_get_constraintdef(k.oid) ~ '(NOT ENFORCED|PERIOD)' then 'of its kind'
           end
      from key k
      join tenant p on p.oid = k.confrelid
      left join tenant c on c.oid = k.conrelid
     where 'org_id' <> all (k.child_columns)
     order by k.conrelid::regclass::text, k.conname
$$;
comment on function saas_private.tenant_foreign_keys(oid) is
'Foreign keys without org_id from and to a table and its parts, where the table referred to has tenants'' rows; problem says why one cannot carry org_id.';

create function saas_private.foreign_key_text(key oid, child_columns name[], parent_columns name[], set_columns name[],
                                              is_full boolean)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('foreign key (%s) references %s (%s)', saas_private.column_list(foreign_key_text.child_columns),
                  k.confrelid::regclass, saas_private.column_list(foreign_key_text.parent_columns))
           || case when foreign_key_text.is_full then ' match full' else '' end
           || case k.confupdtype when 'r' then ' on update restrict' when 'c' then ' on update cascade'
                                 when 'n' then ' on update set null' when 'd' then ' on update set default' else '' end
           || case k.confdeltype when 'r' then ' on delete restrict' when 'c' then ' on delete cascade'
                                 when 'n' then ' on delete set null' when 'd' then ' on delete set default' else '' end
           || case when k.confdeltype in ('n', 'd') and foreign_key_text.set_columns <> '{}'
                   then format(' (%s)', saas_private.column_list(foreign_key_text.set_columns)) else '' end
           || case when k.condeferrable then ' deferrable' else '' end
           || case when k.condeferred then ' initially deferred' else '' end
           || case when not k.convalidated then ' not valid' else '' end
      from pg_constraint k where k.oid = foreign_key_text.key
$$;
comment on function saas_private.foreign_key_text(oid, name[], name[], name[], boolean) is
'The definition of a foreign key over other columns, with its actions and properties.';

-- The columns that ON DELETE SET NULL or SET DEFAULT names; before version 15 it names none.
create function saas_private.delete_set_columns(key oid) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select saas_private.column_names(k.conrelid,
               array(select n.value::smallint
                       from jsonb_array_elements_text(nullif(to_jsonb(k) -> 'confdelsetcols', 'null')) as n (value)))
      from pg_constraint k where k.oid = delete_set_columns.key
$$;
comment on function saas_private.delete_set_columns(oid) is
'The columns that a foreign key''s ON DELETE SET NULL or SET DEFAULT names; empty when it means all.';

create function saas_private.protect_columns(relation oid) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A new column reaches every part; a part may have had its own before.  Its
    -- default comes afterwards: rows that policies hide from the owner are an
    -- error then, not the caller's organization's.
    select s.statement
      from saas_private.relation_tree(protect_columns.relation) t
      left join pg_attribute a on a.attrelid = t.relation and a.attname = 'org_id' and not a.attisdropped
     cross join lateral (values
            (1, case when a.attnum is null and t.depth = 0
                     then format('alter table %s add column org_id uuid not null;', t.relation::regclass) end),
            (2, case when not a.atthasdef or a.attnum is null and t.depth = 0
                     then format('alter table %s alter column org_id set default saas.current_org_id();', t.relation::regclass) end),
            (3, case when not a.attnotnull
                     then format('alter table %s alter column org_id set not null;', t.relation::regclass) end)) as s (n, statement)
     where s.statement is not null
     order by t.depth, t.relation::regclass::text, s.n
$$;
comment on function saas_private.protect_columns(oid) is
'The statements that give a table its org_id.';

-- A unique key with org_id beside the primary key and every key that a foreign
-- key refers to; partitions get theirs from the whole.
create function saas_private.protect_keys(relation oid) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with part as (
        select t.relation, t.depth from saas_private.relation_tree(protect_keys.relation) t where not t.is_partition
        union all
        -- Tables elsewhere that these refer to by another key.
        select k.parent, 100 from saas_private.tenant_foreign_keys(protect_keys.relation) k
         where k.problem is null
           and k.parent not in (select t.relation from saas_private.relation_tree(protect_keys.relation) t)
    ), key as (
        select distinct on (p.relation, u.names) p.relation, p.depth, u.names, u.n, u.deferral
          from part p
         cross join lateral (
                select saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1]), 0,
                       case when c.condeferred then ' deferrable initially deferred'
                            when c.condeferrable then ' deferrable' else '' end
                  from pg_index i join pg_constraint c on c.conindid = i.indexrelid and c.contype = 'p'
                 where i.indrelid = p.relation and i.indisprimary and p.depth < 100
                union all
                select k.parent_columns, 1, ''
                  from saas_private.tenant_foreign_keys(protect_keys.relation) k
                 where k.parent = p.relation and k.problem is null) as u (names, n, deferral)
         where 'org_id' <> all (u.names)
         order by p.relation, u.names, u.n desc
    ), missing as (
        select k.*, row_number() over (partition by k.relation order by k.n, k.names)
                    + (select count(*) from pg_constraint c where c.conrelid = k.relation
                          and obj_description(c.oid, 'pg_constraint') = 'Made by saas.protect.' and c.contype = 'u') as number
          from key k
         where not saas_private.has_unique_index(k.relation, 'org_id'::name || k.names)
           and not (k.deferral <> '' and saas_private.has_leading_index(k.relation))
    ), statement as (
        select m.relation, m.depth, m.number * 2 as n,
               format('alter table %s add constraint %I unique (org_id, %s)%s;', m.relation::regclass,
                      saas_private.object_name(m.relation, '_saas_key' || coalesce(nullif(m.number, 1)::text, '')),
                      saas_private.column_list(m.names), m.deferral) as text
          from missing m
        union all
        select m.relation, m.depth, m.number * 2 + 1,
               format('comment on constraint %I on %s is ''Made by saas.protect.'';',
                      saas_private.object_name(m.relation, '_saas_key' || coalesce(nullif(m.number, 1)::text, '')),
                      m.relation::regclass)
          from missing m
        union all
        select p.relation, p.depth, s.n,
               format(s.template, saas_private.object_name(p.relation, '_saas_idx'), p.relation::regclass,
                      n.nspname)
          from part p
          join pg_class c on c.oid = p.relation
          join pg_namespace n on n.oid = c.relnamespace
         cross join (values (0, 'create index %1$I on %2$s (org_id);'),
                            (1, 'comment on index %3$I.%1$I is ''Made by saas.protect.'';')) as s (n, template)
         where p.depth < 100 and not saas_private.has_leading_index(p.relation)
           and not exists (select from missing m where m.relation = p.relation)
    )
    select s.text from statement s order by s.depth, s.relation::regclass::text, s.n
$$;
comment on function saas_private.protect_keys(oid) is
'The statements that give a table and its parts unique keys with org_id, or at least an index that leads with it.';

create function saas_private.protect_foreign_keys(relation oid) returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    set_columns name[];
    note text;
begin
    for item in select * from saas_private.tenant_foreign_keys(protect_foreign_keys.relation) k where k.problem is null loop
        set_columns := saas_private.delete_set_columns(item.oid);
        if set_columns = '{}' then
            set_columns := item.child_columns;
        end if;
        note := obj_description(item.oid, 'pg_constraint');
        return next format('alter table %s drop constraint %I;', item.child::regclass, item.name);
        return next format('alter table %s add constraint %I %s;', item.child::regclass, item.name,
            saas_private.foreign_key_text(item.oid, 'org_id'::name || item.child_columns,
                                          'org_id'::name || item.parent_columns, set_columns, false));
        -- How to tell "all columns" and MATCH FULL from their equals when the key is restored.
        return next format('comment on constraint %I on %s is %L;', item.name, item.child::regclass,
            coalesce(note || E'\n', '') || 'Made composite by saas.protect'
            || case when saas_private.delete_set_columns(item.oid) <> '{}' then ' (set columns)' else '' end
            || case when exists (select from pg_constraint k where k.oid = item.oid and k.confmatchtype = 'f')
                    then ' (match full)' else '' end || '.');
    end loop;
end
$$;
comment on function saas_private.protect_foreign_keys(oid) is
'The statements that make foreign keys between tenants'' tables carry org_id.';

-- Of every update, not "of org_id": that one does not see what a BEFORE trigger
-- assigns.  AFTER, so that no other trigger can change org_id later, and because
-- under a cascade BEFORE triggers run without FORCE.  A row that an update moves
-- to another partition fires no AFTER UPDATE: partitioned tables have it BEFORE,
-- where it misses only triggers whose names come later; its function reads no table.
create function saas_private.protect_triggers(relation oid, audit boolean) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with wanted as (
        select t.relation, t.depth, t.is_partition, t.relation::regclass::text as table_name, w.name, g.oid as found,
               case k.is_partitioned when true then 'before' else 'after' end as time,
               g.tgenabled in ('O', 'A') as is_enabled,
               g.tgfoid = to_regprocedure(w.function) and g.tgparentid <> 0
               or g.tgfoid = to_regprocedure(w.function)
                  and (w.name = 'saas_audit'
                       or (g.tgtype & 2 = 2) = k.is_partitioned and g.tgtype & 17 = 17 and cardinality(g.tgattr::smallint[]) = 0
                          and pg_get_triggerdef(g.oid) ~ ' WHEN \(\(old\.org_id IS DISTINCT FROM new\.org_id\)\) ') as is_right
          from saas_private.relation_tree(protect_triggers.relation) t
         cross join lateral (select exists (select from saas_private.relation_tree(t.relation) p where p.kind = 'p')) as k (is_partitioned)
         cross join (values ('saas_fixed_org_id', 'saas.refuse_org_change()'), ('saas_audit', 'saas.audit_change()')) as w (name, function)
          left join pg_trigger g on g.tgrelid = t.relation and g.tgname = w.name
         where w.name = 'saas_fixed_org_id' or protect_triggers.audit
    )
    select s.statement
      from wanted w
     cross join lateral (values
            (1, format('drop trigger %I on %s;', w.name, w.table_name), not w.is_partition and not w.is_right),
            (2, case w.name when 'saas_audit'
                     then format('create trigger saas_audit after insert or update or delete on %s for each row execute function saas.audit_change();', w.table_name)
                     else format('create trigger saas_fixed_org_id %s update on %s for each row when (old.org_id is distinct from new.org_id) execute function saas.refuse_org_change();',
                                 w.time, w.table_name) end,
             not w.is_partition and w.is_right is not true),
            (3, format('alter table %s enable trigger %I;', w.table_name, w.name), w.is_right and not w.is_enabled)) as s (n, statement, is_due)
     where s.is_due
     order by w.depth, w.table_name, w.name desc, s.n
$$;
comment on function saas_private.protect_triggers(oid, boolean) is
'The statements that make org_id unchangeable and, where wanted, changes audited; also where such a trigger was disabled or replaced.';

-- How a table was before, for the comment that unprotect reads.
create function saas_private.describe_unprotected(relation oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('org_id %s, default %s, row security %s, force %s',
                  case when a.attnum is null then 'absent' when a.attnotnull then 'required' else 'nullable' end,
                  case when a.atthasdef then 'kept' else 'none' end,
                  case when c.relrowsecurity then 'on' else 'off' end,
                  case when c.relforcerowsecurity then 'on' else 'off' end)
      from pg_class c
      left join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
     where c.oid = describe_unprotected.relation
$$;
comment on function saas_private.describe_unprotected(oid) is
'The state of a table that saas.protect is about to change.';

create function saas_private.protect_policies(relation oid, read text, write text) returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    wanted record;
    existing record;
    reads text := 'saas.current_org_id()';
    writes text;
begin
    if protect_policies.read is not null then
        reads := format('saas.org_if(%L::text)', protect_policies.read);
    end if;
    writes := case when protect_policies.write is null then reads
                   else format('saas.org_if(%L::text)', protect_policies.write) end;
    for part in select t.relation, t.relation::regclass::text as name
                  from saas_private.relation_tree(protect_policies.relation) t order by t.depth, 2 loop
        -- PostgreSQL checks a changed row against the policies for reading too,
        -- and drops an equal check.  So the check here is the one for reading,
        -- though our own tables repeat the one for writing: another would cost
        -- an update 4 % of a plain table and 23 % of 16 partitions, and tell
        -- nothing new.  Both depend on the identity only; who may write is asked
        -- of the old row, and write implies read.
        for wanted in
            select * from (values
                ('r', 'saas: an organization reads its own rows', 'for select using (org_id = %1$s)', reads, null),
                ('a', 'saas: an organization adds rows of its own', 'for insert with check (org_id = %2$s)', null, writes),
                ('w', 'saas: an organization changes its own rows', 'for update using (org_id = %1$s) with check (org_id = %2$s)', writes, reads),
                ('d', 'saas: an organization deletes its own rows', 'for delete using (org_id = %1$s)', writes, null))
                as w (command, name, template, using_value, check_value)
        loop
            select p.oid, p.polcmd = wanted.command and p.polpermissive and p.polroles = array[0::oid]
                   and pg_get_expr(p.polqual, p.polrelid) is not distinct from '(org_id = ' || wanted.using_value || ')'
                   and pg_get_expr(p.polwithcheck, p.polrelid) is not distinct from '(org_id = ' || wanted.check_value || ')' as is_right
              into existing
              from pg_policy p where p.polrelid = part.relation and p.polname = wanted.name;
            if existing.oid is not null and not existing.is_right then
                return next format('drop policy %I on %s;', wanted.name, part.name);
            end if;
            if existing.oid is null or not existing.is_right then
                return next format('create policy %I on %s %s;', wanted.name, part.name,
                                   format(wanted.template, wanted.using_value, wanted.check_value));
                if wanted.command = 'r' then
                    return next format('comment on policy %I on %s is %L;', wanted.name, part.name,
                        'Made by saas.protect; before: '
                        || coalesce(saas_private.protection_note(part.relation), saas_private.describe_unprotected(part.relation)));
                end if;
            end if;
        end loop;
        if not (select c.relrowsecurity from pg_class c where c.oid = part.relation) then
            return next format('alter table %s enable row level security;', part.name);
        end if;
    end loop;
end
$$;
comment on function saas_private.protect_policies(oid, text, text) is
'The statements that give a table and its parts one policy per command and enable row-level security.';

-- Under FORCE the owner sees no row: a foreign key would be checked against
-- nothing.  So FORCE is off while keys are made.
create function saas_private.with_force_lifted(relation oid, statements text[]) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with involved as (
        select t.relation, t.depth, true as is_part from saas_private.relation_tree(with_force_lifted.relation) t
        union
        select r.relation, 100, false
          from (select k.child from saas_private.tenant_foreign_keys(with_force_lifted.relation) k where k.problem is null
                union
                select k.parent from saas_private.tenant_foreign_keys(with_force_lifted.relation) k where k.problem is null
                union
                select k.conrelid from pg_constraint k
                 where k.confrelid in (select t.relation from saas_private.relation_tree(with_force_lifted.relation) t)
                   and obj_description(k.oid, 'pg_constraint') ~ 'Made composite by saas\.protect'
                union
                select k.confrelid from pg_constraint k
                 where k.conrelid in (select t.relation from saas_private.relation_tree(with_force_lifted.relation) t)
                   and obj_description(k.oid, 'pg_constraint') ~ 'Made composite by saas\.protect') as r (relation)
         where r.relation not in (select t.relation from saas_private.relation_tree(with_force_lifted.relation) t)
    ), force as (
        select i.*, i.relation::regclass::text as name, c.relforcerowsecurity as is_forced,
               exists (select from unnest(with_force_lifted.statements) as s where s ~ '^alter table .* add constraint .* foreign key ') as has_keys
          from involved i join pg_class c on c.oid = i.relation
    )
    select s.statement
      from (select 1, f.depth, f.name, 0::bigint, format('alter table %s no force row level security;', f.name)
              from force f where f.is_forced and f.has_keys
            union all
            select 2, 0, '', u.n, u.statement from unnest(with_force_lifted.statements) with ordinality as u (statement, n)
            union all
            select 3, f.depth, f.name, 0, format('alter table %s force row level security;', f.name)
              from force f where f.is_forced and f.has_keys or f.is_part and not f.is_forced)
           as s (step, depth, name, n, statement)
     order by s.step, s.n, s.depth, s.name
$$;
comment on function saas_private.with_force_lifted(oid, text[]) is
'Statements with FORCE ROW LEVEL SECURITY off around them where they check rows, and on for the table and its parts at the end.';

create function saas_private.reveals_values(index oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A random uuid cannot be guessed, unless it names what organizations share;
    -- everything else can be tried.
    select (i.indisunique or i.indisexclusion)
           and not exists (select from pg_attribute a where a.attrelid = i.indrelid and a.attname = 'org_id'
                              and a.attnum = any ((i.indkey::smallint[])[0:i.indnkeyatts - 1]))
           and not (i.indexprs is null
                    and exists (select from pg_attribute a
                                 where a.attrelid = i.indrelid and a.atttypid = 'uuid'::regtype
                                   and a.attnum = any ((i.indkey::smallint[])[0:i.indnkeyatts - 1])
                                   and not exists (
                                        select from pg_constraint k
                                         where k.conrelid = i.indrelid and k.contype = 'f' and a.attnum = any (k.conkey)
                                           and not exists (select from pg_attribute o where o.attrelid = k.confrelid
                                                              and o.attname = 'org_id' and not o.attisdropped))))
      from pg_index i where i.indexrelid = reveals_values.index
$$;
comment on function saas_private.reveals_values(oid) is
'Whether a unique index or exclusion constraint tells an organization by its errors which values others have.';

create function saas_private.bypasses_row_security(role oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.rolsuper or r.rolbypassrls or r.rolname in ('saas_service', 'saas_poller')
      from pg_roles r where r.oid = bypasses_row_security.role
$$;
comment on function saas_private.bypasses_row_security(oid) is
'Whether a role reads rows of every organization: superusers, BYPASSRLS and the service roles.';

-- Views and materialized views that read a relation, through other views too.
create function saas_private.views_on(relation oid) returns table (view oid)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
    with recursive reader (oid) as (
        select w.ev_class
          from pg_depend d join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
         where d.refclassid = 'pg_class'::regclass and d.refobjid = views_on.relation and w.ev_class <> views_on.relation
        union
        select w.ev_class
          from reader r
          join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid
          join pg_rewrite w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
         where w.ev_class <> r.oid
    )
    select r.oid from reader r join pg_class c on c.oid = r.oid where c.relkind in ('v', 'm')
$$;
comment on function saas_private.views_on(oid) is
'Views and materialized views that read a relation, directly or through others.';

create function saas_private.is_invoker_view(relation oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((select o.option_value::boolean from pg_class c, pg_options_to_table(c.reloptions) o
                      where c.oid = is_invoker_view.relation and o.option_name = 'security_invoker'), false)
$$;
comment on function saas_private.is_invoker_view(oid) is
'Whether a view reads with the rights of whoever queries it.';

-- What protecting does not settle, as comment lines.
create function saas_private.protection_reports(relation oid, read text, write text) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with part as (
        select t.relation, t.is_partition from saas_private.relation_tree(protection_reports.relation) t
    ), report as (
        select 1 as n, format('foreign key %I of %s stays without org_id: %s', k.name, k.child::regclass, k.problem) as text
          from saas_private.tenant_foreign_keys(protection_reports.relation) k where k.problem is not null
        union all
        select 1, format('foreign key %I of %s does not refer to the org_id of %s by its own', k.conname, k.conrelid::regclass,
                         k.confrelid::regclass)
          from pg_constraint k
          join pg_attribute c on c.attrelid = k.conrelid and c.attname = 'org_id' and c.attnum = any (k.conkey)
          join pg_attribute p on p.attrelid = k.confrelid and p.attname = 'org_id' and not p.attisdropped
         where k.contype = 'f' and k.conparentid = 0
           and (k.conrelid in (select p.relation from part p) or k.confrelid in (select p.relation from part p))
           and not exists (select from unnest(k.conkey, k.confkey) as u (a, b) where u.a = c.attnum and u.b = p.attnum)
        union all
        select 2, format('unique key %s of %s tells organizations which values others have: let it carry org_id',
                         i.indexrelid::regclass, i.indrelid::regclass)
          from part p join pg_index i on i.indrelid = p.relation
         where not p.is_partition and saas_private.reveals_values(i.indexrelid)
        union all
        select distinct 3, case c.relkind
                  when 'm' then format('materialized view %s holds copies of rows without policies', c.oid::regclass)
                  else format('view %s reads with the rights of %I: set security_invoker', c.oid::regclass,
                              pg_get_userbyid(c.relowner)) end
          from part p cross join lateral saas_private.views_on(p.relation) v join pg_class c on c.oid = v.view
         where c.relkind = 'm' or not saas_private.is_invoker_view(c.oid)
        union all
        select 4, format('rule %I of %s runs with the rights of the table''s owner', w.rulename, w.ev_class::regclass)
          from part p join pg_rewrite w on w.ev_class = p.relation
        union all
        select distinct 5, format('permission %s is in no role', u.permission)
          from unnest(array[protection_reports.read, protection_reports.write]) as u (permission)
         where u.permission is not null
           and not exists (select from saas.builtin_roles() b where u.permission = any (b.permissions))
           and not exists (select from saas.role r where u.permission = any (r.permissions))
    )
    -- A name with a line break would end the comment.
    select '-- ' || regexp_replace(r.text, '[[:cntrl:]]', ' ', 'g') from report r order by r.n, r.text
$$;
comment on function saas_private.protection_reports(oid, text, text) is
'What saas.protect leaves to somebody''s judgment, as lines of SQL comments.';

create function saas_private.plan_protection(relation oid, read text, write text, audit boolean, rows_without bigint)
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    statements text[];
begin
    perform saas_private.require_protectable(plan_protection.relation, plan_protection.read, plan_protection.write);
    perform saas_private.require_organizations(plan_protection.relation, plan_protection.rows_without);
    -- Without a word about permissions a protected table keeps those it has.
    if saas_private.protection_note(plan_protection.relation) is not null then
        read := coalesce(plan_protection.read, saas_private.policy_permission(plan_protection.relation, false));
        write := coalesce(plan_protection.write, saas_private.policy_permission(plan_protection.relation, true));
    end if;
    statements := array(
        select s.statement
          from (select 1, c.n, c.statement from saas_private.protect_columns(plan_protection.relation) with ordinality as c (statement, n)
                union all
                select 2, k.n, k.statement from saas_private.protect_keys(plan_protection.relation) with ordinality as k (statement, n)
                union all
                select 3, f.n, f.statement from saas_private.protect_foreign_keys(plan_protection.relation) with ordinality as f (statement, n)
                union all
                select 4, t.n, t.statement from saas_private.protect_triggers(plan_protection.relation, plan_protection.audit) with ordinality as t (statement, n)
                union all
                select 5, p.n, p.statement from saas_private.protect_policies(plan_protection.relation, plan_protection.read, plan_protection.write) with ordinality as p (statement, n))
               as s (step, n, statement)
         order by s.step, s.n);
    return query select * from saas_private.with_force_lifted(plan_protection.relation, statements);
    return query select * from saas_private.protection_reports(plan_protection.relation, plan_protection.read, plan_protection.write);
end
$$;
comment on function saas_private.plan_protection(oid, text, text, boolean, bigint) is
'The statements and reports of saas.protect. rows_without: how many rows have no organization, NULL when unknown.';

create function saas.protection_plan(relation regclass, read text, write text, audit boolean, rows_without bigint)
returns setof text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_installed();
    return query select * from saas_private.plan_protection(protection_plan.relation, protection_plan.read,
                                                            protection_plan.write, protection_plan.audit,
                                                            protection_plan.rows_without);
end
$$;
alter function saas.protection_plan(regclass, text, text, boolean, bigint) owner to saas_service;
comment on function saas.protection_plan(regclass, text, text, boolean, bigint) is
'What saas.protect runs, statement by statement, and what it reports, as SQL comments. Reads catalogs only. Errors: those of saas.protect. For superusers, saas_operator and owners of tables who were granted it.';

create function saas.protect(relation regclass, read text default null, write text default null,
                             audit boolean default false, dry_run boolean default false)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    checks_rows constant text := current_setting('row_security');
    statements text[];
    statement text;
    part record;
    part_rows bigint;
    rows_without bigint;
begin
    if (select c.relkind in ('r', 'p') and c.relpersistence <> 't' from pg_class c where c.oid = protect.relation) then
        if not protect.dry_run then
            -- Those that foreign keys connect may be on their way to protection too:
            -- all in one order, so that two do not wait for each other.
            for part in
                with recursive tree (relation) as (
                    select protect.relation::oid
                    union
                    select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.relation
                )
                select u.relation::regclass as name, u.relation = protect.relation as is_itself
                  from (select protect.relation::oid
                        union
                        select r.oid
                          from pg_constraint k cross join lateral unnest(array[k.conrelid, k.confrelid]) as r (oid)
                         where k.contype = 'f'
                           and (k.conrelid in (select t.relation from tree t) or k.confrelid in (select t.relation from tree t))
                           and has_table_privilege(r.oid, 'SELECT')) as u (relation)
                 order by u.relation
            loop
                execute format('lock table %s in %s mode', part.name,
                               case when part.is_itself then 'access exclusive' else 'access share' end);
            end loop;
        end if;
        -- A count that policies would shorten is an error instead, and unknown.
        perform set_config('row_security', 'off', true);
        begin
            for part in
                with recursive tree (relation) as (
                    select protect.relation::oid
                    union
                    select i.inhrelid from tree t join pg_inherits i on i.inhparent = t.relation
                )
                select t.relation::regclass as name, a.attnum is not null as has_org_id
                  from tree t
                  join pg_class c on c.oid = t.relation and c.relkind = 'r'
                  left join pg_attribute a on a.attrelid = t.relation and a.attname = 'org_id' and not a.attisdropped
            loop
                execute format('select count(*) from only %s %s', part.name, case when part.has_org_id then 'where org_id is null' end)
                   into part_rows;
                rows_without := coalesce(rows_without, 0) + part_rows;
            end loop;
        exception when insufficient_privilege then
            rows_without := null;
        end;
        perform set_config('row_security', checks_rows, true);
    end if;
    statements := array(select p from saas.protection_plan(protect.relation, protect.read, protect.write,
                                                           protect.audit, rows_without) as p);
    if not protect.dry_run then
        foreach statement in array statements loop
            if statement !~ '^--' then
                execute statement;
            end if;
        end loop;
    end if;
    if not exists (select from unnest(statements) as s where s !~ '^--') then
        statements := array_prepend('-- nothing to change', statements);
    end if;
    return array_to_string(statements, E'\n');
end
$$;
comment on function saas.protect(regclass, text, text, boolean, boolean) is
'Isolates a table with its partitions and inheriting tables: org_id (uuid, not null, default saas.current_org_id(), never changed), forced row-level security, one policy per command, unique keys and foreign keys that carry org_id beside the primary key. read and write are permissions that reading and writing need; without read every member reads, without write whoever reads writes; a table that is protected keeps what is not given. audit writes every change of a row to the audit log. dry_run changes nothing. Returns the statements, and as comments what needs a judgment. A second call changes nothing. Errors: 23502 with the number of rows that have no organization, 42809, 42P01, 22023, 42804, 55000, 23503 when a row refers to another organization''s, 42501 for all but the owner and superusers.';

create function saas.refuse_org_change() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.raise_error('22023', 'the organization of a row cannot be changed');
    return null;
end
$$;
alter function saas.refuse_org_change() owner to saas_owner;
comment on function saas.refuse_org_change() is
'Trigger of protected tables: raises 22023 where a row would move to another organization.';

-- to_jsonb runs casts to json, and whoever owns a type makes those: in the audit's
-- trigger they would run as saas_service.  A domain counts as what it is over.
create function saas_private.is_plain_type(type oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive part (oid) as (
        select is_plain_type.type
        union
        select case when t.typtype = 'd' then t.typbasetype else t.typelem end
          from part p join pg_type t on t.oid = p.oid
         where t.typtype = 'd' or t.typcategory = 'A' and t.typelem <> 0
    )
    select bool_and(t.typtype = 'd' or t.typcategory = 'A' and t.typelem <> 0 or t.typtype <> 'c' and r.rolsuper)
      from part p join pg_type t on t.oid = p.oid join pg_roles r on r.oid = t.typowner
$$;
comment on function saas_private.is_plain_type(oid) is
'Whether only superusers decide how values of a type become json: not composite, and its owner or its elements'' is a superuser.';

create function saas_private.row_json_query(relation oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'select jsonb_object_agg(c.name, c.value) from (values '
           || string_agg(format('(%L, ', a.attname)
                         || replace(case when saas_private.is_plain_type(a.atttypid) then 'to_jsonb(?)'
                                         else 'case when num_nulls(?) = 0 then to_jsonb(format(''%s'', ?)) end' end,
                                    '?', '($1).' || quote_ident(a.attname)) || ')', ', ' order by a.attnum)
           || ') as c (name, value)'
      from pg_attribute a
     where a.attrelid = row_json_query.relation and a.attnum > 0 and not a.attisdropped
       -- Types of PostgreSQL's own need no look.
       and exists (select from pg_attribute o
                    where o.attrelid = row_json_query.relation and o.attnum > 0 and not o.attisdropped
                      and o.atttypid >= 16384 and not saas_private.is_plain_type(o.atttypid))
$$;
comment on function saas_private.row_json_query(oid) is
'A query that makes jsonb of a row of the table, parameter $1, with values of types that are not plain as text; NULL where to_jsonb does.';

create function saas.audit_change() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    before jsonb;
    after jsonb;
    relation text := format('%I.%I', tg_table_schema, tg_table_name);
    query text := saas_private.row_json_query(tg_relid);
begin
    if tg_op <> 'INSERT' then
        if query is null then
            before := to_jsonb(old);
        else
            execute query into before using old;
        end if;
        before := saas_private.without_secrets(before, tg_relid);
    end if;
    if tg_op <> 'DELETE' then
        if query is null then
            after := to_jsonb(new);
        else
            execute query into after using new;
        end if;
        after := saas_private.without_secrets(after, tg_relid);
    end if;
    perform saas_private.audit('row.' || case tg_op when 'INSERT' then 'added' when 'UPDATE' then 'changed' else 'deleted' end,
                               relation, left(coalesce(after, before) ->> 'id', 255), before, after,
                               (coalesce(after, before) ->> 'org_id')::uuid);
    return null;
end
$$;
alter function saas.audit_change() owner to saas_service;
comment on function saas.audit_change() is
'Trigger of protected tables with audit: writes the row before and after to the audit log, sealed values and columns named like secrets left out, composite values and those of types that no superuser owns as text.';

create function saas_private.without_secrets(value jsonb, relation oid) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select without_secrets.value - array(
        select a.attname::text from pg_attribute a
         where a.attrelid = without_secrets.relation and a.attnum > 0 and not a.attisdropped
           and (a.atttypid = to_regtype('saas.sealed') or a.attname ~* '(secret|token|password|passwd|private_key|api_key)'))
$$;
comment on function saas_private.without_secrets(jsonb, oid) is
'A row as jsonb without sealed columns and those named like secrets.';
