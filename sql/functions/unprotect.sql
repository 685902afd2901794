-- The way back from saas.protect, made from the comments that it has left.
-- Leans on protect.

-- Statements; those with only_if_empty would lose data of a table with rows.
create function saas_private.plan_unprotection(relation oid) returns table (statement text, only_if_empty boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    part record;
    item record;
    note text;
    statements text[] := '{}';
    last_statements text[] := '{}';
    drops_column boolean;
begin
    if plan_unprotection.relation is null then
        perform saas_private.raise_error('42P01', 'there is no such table');
    elsif saas_private.protection_note(plan_unprotection.relation) is null then
        perform saas_private.raise_error('55000', format('%s was not protected by saas.protect', plan_unprotection.relation::regclass));
    end if;
    drops_column := saas_private.protection_note(plan_unprotection.relation) ~ '^org_id absent';
    for item in
        select k.*, k.conrelid::regclass::text as child, obj_description(k.oid, 'pg_constraint') as note
          from pg_constraint k
         where k.contype = 'f' and k.conparentid = 0
           and obj_description(k.oid, 'pg_constraint') ~ 'Made composite by saas\.protect'
           and (k.conrelid in (select t.relation from saas_private.relation_tree(plan_unprotection.relation) t)
                or k.confrelid in (select t.relation from saas_private.relation_tree(plan_unprotection.relation) t))
         order by 1
    loop
        note := regexp_replace(item.note, E'\n?Made composite by saas\\.protect.*$', '');
        statements := statements
            || format('alter table %s drop constraint %I;', item.child, item.conname)
            || format('alter table %s add constraint %I %s;', item.child, item.conname,
                   saas_private.foreign_key_text(item.oid,
                       array_remove(saas_private.column_names(item.conrelid, item.conkey), 'org_id'),
                       array_remove(saas_private.column_names(item.confrelid, item.confkey), 'org_id'),
                       case when item.note ~ '\(set columns\)' then saas_private.delete_set_columns(item.oid) else '{}' end,
                       item.note ~ '\(match full\)'));
        if note <> '' then
            statements := statements || format('comment on constraint %I on %s is %L;', item.conname, item.child, note);
        end if;
    end loop;
    for part in
        select t.*, t.relation::regclass::text as name, saas_private.protection_note(t.relation) as note
          from saas_private.relation_tree(plan_unprotection.relation) t order by t.depth, 6
    loop
        statements := statements || array(
            select format('drop trigger %I on %s;', g.tgname, part.name)
              from pg_trigger g
             where g.tgrelid = part.relation and not part.is_partition and g.tgname in ('saas_fixed_org_id', 'saas_audit')
             order by g.tgname);
        statements := statements || array(
            select format('alter table %s drop constraint %I;', part.name, k.conname)
              from pg_constraint k
             where k.conrelid = part.relation and k.contype = 'u' and k.conparentid = 0
               and obj_description(k.oid, 'pg_constraint') = 'Made by saas.protect.'
             order by k.conname);
        statements := statements || array(
            select format('drop index %s;', i.indexrelid::regclass)
              from pg_index i
             where i.indrelid = part.relation and obj_description(i.indexrelid, 'pg_class') = 'Made by saas.protect.'
             order by i.indexrelid::regclass::text);
        if part.note is not null then
            statements := statements || array(
                select format('drop policy %I on %s;', p.polname, part.name)
                  from pg_policy p
                 where p.polrelid = part.relation
                   and p.polname = any (saas_private.made_policies())
                 order by p.polname);
            if part.note ~ 'row security off' then
                statements := statements || format('alter table %s disable row level security;', part.name);
            end if;
            if part.note ~ 'force off' then
                last_statements := last_statements || format('alter table %s no force row level security;', part.name);
            end if;
            if part.note ~ 'default none' and (part.depth = 0 or part.note !~ 'org_id absent') then
                statements := statements || format('alter table %s alter column org_id drop default;', part.name);
            end if;
            if part.note ~ 'org_id nullable' or part.depth = 0 and drops_column then
                statements := statements || format('alter table %s alter column org_id drop not null;', part.name);
            elsif part.depth > 0 and part.note ~ 'org_id required' then
                last_statements := last_statements || format('alter table %s alter column org_id set not null;', part.name);
            end if;
            if part.depth > 0 and part.note ~ 'default kept' then
                last_statements := last_statements
                    || format('alter table %s alter column org_id set default saas.current_org_id();', part.name);
            end if;
        end if;
    end loop;
    return query
        select s, false from saas_private.with_force_lifted(plan_unprotection.relation, statements) as s
         where s !~ '^alter table .* force row level security;$'
            or s ~ ' no force row level security;$'
            -- Tables elsewhere get theirs back, and the parts that had it before.
            or not exists (select from unnest(last_statements) as l
                            where l = replace(s, ' force row level security;', ' no force row level security;'));
    return query
        select l, false from unnest(last_statements) as l
         where l !~ ' no force row level security;$' or not exists (
                select from saas_private.with_force_lifted(plan_unprotection.relation, statements) as s where s = l);
    if drops_column then
        return query select format('alter table %s drop column org_id;', plan_unprotection.relation::regclass), true;
    end if;
end
$$;
comment on function saas_private.plan_unprotection(oid) is
'The statements of saas.unprotect. Errors: 55000 for a table that is not protected.';

create function saas.unprotection_plan(relation regclass, out statement text, out only_if_empty boolean)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_installed();
    return query select * from saas_private.plan_unprotection(unprotection_plan.relation);
end
$$;
alter function saas.unprotection_plan(regclass) owner to saas_service;
comment on function saas.unprotection_plan(regclass) is
'What saas.unprotect runs, statement by statement; those with only_if_empty are left out for a table with rows. Errors: 55000. For superusers, saas_operator and owners of tables who were granted it.';

create function saas.unprotect(relation regclass) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    checks_rows constant text := current_setting('row_security');
    item record;
    done text[] := '{}';
    is_empty boolean;
begin
    for item in select * from saas.unprotection_plan(unprotect.relation) loop
        if item.only_if_empty then
            perform set_config('row_security', 'off', true);
            begin
                execute format('select not exists (select from %s)', unprotect.relation) into is_empty;
            exception when insufficient_privilege then
                is_empty := false;
            end;
            perform set_config('row_security', checks_rows, true);
            if not is_empty then
                done := done || format('-- org_id of %s stays, because its rows would lose their organization', unprotect.relation);
                continue;
            end if;
        end if;
        execute item.statement;
        done := done || item.statement;
    end loop;
    return array_to_string(done, E'\n');
end
$$;
comment on function saas.unprotect(regclass) is
'Takes away what saas.protect did: every role with grants on the table sees all rows again, as before. A column org_id that saas.protect added goes only when the table has no rows; else it stays, without NOT NULL and default. Returns the statements it ran. Errors: 55000 for a table that is not protected, 42501 for all but the owner and superusers.';
