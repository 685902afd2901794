-- What the catalogs say about a relation and the policies on it.  Leans on
-- identity and errors.

-- What may hold rows of a relation: itself, its partitions and inheriting tables.
create function saas_private.relation_tree(relation oid)
returns table (relation oid, kind "char", is_partition boolean, depth integer)
language sql stable rows 2
set search_path = pg_catalog, pg_temp
as $$
    with recursive tree (oid, depth) as (
        select relation_tree.relation, 0
        union all
        select i.inhrelid, t.depth + 1 from tree t join pg_inherits i on i.inhparent = t.oid
    )
    select c.oid, c.relkind, c.relispartition, min(t.depth)
      from tree t join pg_class c on c.oid = t.oid
     group by c.oid, c.relkind, c.relispartition
$$;
comment on function saas_private.relation_tree(oid) is
'A table with its partitions and inheriting tables at every level; depth 0 is the table itself.';

create function saas_private.tree_root(relation oid) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive ancestor (oid) as (
        select tree_root.relation
        union
        select i.inhparent from ancestor a join pg_inherits i on i.inhrelid = a.oid
    )
    select a.oid::regclass from ancestor a
     where not exists (select from pg_inherits i where i.inhrelid = a.oid)
     order by a.oid::regclass::text limit 1
$$;
comment on function saas_private.tree_root(oid) is
'The table that a partition or inheriting table is a part of at the top: the one to protect. A table of its own is its own.';

create function saas_private.column_names(relation oid, numbers smallint[]) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(a.attname order by u.n), '{}')
      from unnest(column_names.numbers) with ordinality as u (attnum, n)
      join pg_attribute a on a.attrelid = column_names.relation and a.attnum = u.attnum
$$;
comment on function saas_private.column_names(oid, smallint[]) is
'The names of columns by number, in the order given; expressions (number 0) are left out.';

create function saas_private.column_list(names name[]) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(quote_ident(u.name::text), ', ' order by u.n)
      from unnest(column_list.names) with ordinality as u (name, n)
$$;
comment on function saas_private.column_list(name[]) is
'Column names as SQL: quoted where they need it, with commas.';

create function saas_private.has_unique_index(relation oid, names name[]) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_index i
         where i.indrelid = has_unique_index.relation and i.indisunique and i.indisvalid and i.indimmediate
           and i.indpred is null and i.indexprs is null and i.indnkeyatts = cardinality(has_unique_index.names)
           and saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1]) @> has_unique_index.names)
$$;
comment on function saas_private.has_unique_index(oid, name[]) is
'Whether a unique index that a foreign key can refer to holds exactly these columns, in any order.';

create function saas_private.has_leading_index(relation oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_index i
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = has_leading_index.relation and i.indisvalid and i.indpred is null and a.attname = 'org_id')
$$;
comment on function saas_private.has_leading_index(oid) is
'Whether a whole index of the table leads with org_id.';

create function saas_private.object_name(relation oid, suffix text) returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    base text;
    schema oid;
    stem text;
    ending text;
begin
    select c.relname, c.relnamespace into base, schema from pg_class c where c.oid = object_name.relation;
    -- The first may be taken by what belongs to a table that had this one's name before.
    foreach ending in array array[object_name.suffix, '_' || object_name.relation || object_name.suffix] loop
        stem := base;
        if octet_length(stem || ending) > 63 then
            -- Tables whose long names begin alike keep names of their own.
            ending := '_' || left(md5(base), 6) || ending;
            while octet_length(stem || ending) > 63 loop
                stem := left(stem, -1);
            end loop;
        end if;
        exit when not exists (select from pg_class c where c.relnamespace = schema and c.relname = stem || ending);
    end loop;
    return stem || ending;
end
$$;
comment on function saas_private.object_name(oid, text) is
'A name for something that belongs to a table: the table''s with a suffix, shortened to 63 bytes where it must be, with the table''s oid where another relation has the name.';

-- Expressions, as pg_get_expr writes them, without the parentheses around them.
create function saas_private.bare_expression(expression text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    depth integer;
    quote text;
    c text;
    is_wrapped boolean;
begin
    loop
        expression := btrim(bare_expression.expression);
        exit when expression !~ '^\(.*\)$';
        depth := 0;
        quote := '';
        is_wrapped := true;
        for i in 1 .. length(expression) loop
            c := substr(expression, i, 1);
            if quote <> '' then
                quote := case when c = quote then '' else quote end;
            elsif c in ('''', '"') then
                quote := c;
            elsif c = '(' then
                depth := depth + 1;
            elsif c = ')' then
                depth := depth - 1;
                if depth = 0 and i < length(expression) then
                    is_wrapped := false;
                    exit;
                end if;
            end if;
        end loop;
        exit when not is_wrapped;
        expression := substr(expression, 2, length(expression) - 2);
    end loop;
    return expression;
end
$$;
comment on function saas_private.bare_expression(text) is
'An expression without the parentheses that enclose all of it.';

-- The parts that must all hold.  pg_get_expr puts every AND and OR into
-- parentheses of its own, so at the outermost level there is one kind only, and
-- an OR stays in one piece.
create function saas_private.conditions(expression text) returns setof text
language plpgsql stable rows 2
set search_path = pg_catalog, pg_temp
as $$
declare
    bare text := saas_private.bare_expression(conditions.expression);
    depth integer := 0;
    quote text := '';
    start integer := 1;
    parts text[] := '{}';
    c text;
begin
    for i in 1 .. coalesce(length(bare), 0) loop
        c := substr(bare, i, 1);
        if quote <> '' then
            quote := case when c = quote then '' else quote end;
        elsif c in ('''', '"') then
            quote := c;
        elsif c in ('(', '[') then
            depth := depth + 1;
        elsif c in (')', ']') then
            depth := depth - 1;
        elsif depth = 0 and substr(bare, i, 5) = ' AND ' then
            parts := parts || substr(bare, start, i - start);
            start := i + 5;
        end if;
    end loop;
    return query select saas_private.bare_expression(p)
                   from unnest(parts || substr(bare, start)) as p where p is not null;
end
$$;
comment on function saas_private.conditions(text) is
'The conditions of an expression that must all hold, each without parentheses; an OR is one condition.';

create function saas_private.binds_organization(expression text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    -- Nearly every policy is this one.
    select case when binds_organization.expression ~ '^\(org_id = saas\.(org_if\(''[a-z0-9_]+''::text\)|current_org_id\(\))\)$' then true
                else exists (
        select from saas_private.conditions(binds_organization.expression) as c
         where regexp_replace(c, '\( SELECT (saas\.[a-z_]+\((''([^'']|'''')*''::text)?\)) AS [a-z_]+\)', '\1')
               ~ ('^((\w+\.)?org_id = saas\.(org_if\(''([^'']|'''')*''::text\)|current_org_id\(\))'
                  || '|saas\.(org_if\(''([^'']|'''')*''::text\)|current_org_id\(\)) = (\w+\.)?org_id)$')) end);
end
$$;
comment on function saas_private.binds_organization(text) is
'Whether a policy''s expression holds only for rows of the identity''s organization.';

-- A permissive policy adds rows: each must bind them to the organization, but
-- for those that only service roles have.
create function saas_private.widening_policies(relation oid) returns table (policy oid, name name, expression text)
language plpgsql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select p.oid, p.polname, concat_ws(' / ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
      from pg_policy p
     where p.polrelid = widening_policies.relation and p.polpermissive
       and not p.polroles <@ array(select r.oid from pg_roles r where r.rolname in ('saas_service', 'saas_poller'))
       and (p.polqual is not null and not saas_private.binds_organization(pg_get_expr(p.polqual, p.polrelid))
            or p.polwithcheck is not null and not saas_private.binds_organization(pg_get_expr(p.polwithcheck, p.polrelid)))
     order by p.polname;
end
$$;
comment on function saas_private.widening_policies(oid) is
'Permissive policies of a table that let rows of other organizations through.';

create function saas_private.made_policies() returns name[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select array['saas: an organization reads its own rows', 'saas: an organization adds rows of its own',
                 'saas: an organization changes its own rows', 'saas: an organization deletes its own rows']::name[]
$$;
comment on function saas_private.made_policies() is
'The names of the policies that saas.protect makes: for reading first, then for writing.';

-- By the writing policies that are left: somebody may have dropped one, which
-- must not hand the others to whoever reads.
create function saas_private.policy_permission(relation oid, writes boolean) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select max(substring(pg_get_expr(coalesce(p.polqual, p.polwithcheck), p.polrelid) from 'org_if\(''([a-z0-9_.]+)'''))
      from pg_policy p
     where p.polrelid = policy_permission.relation and p.polname = any (saas_private.made_policies())
       and (p.polname <> (saas_private.made_policies())[1]) = policy_permission.writes
$$;
comment on function saas_private.policy_permission(oid, boolean) is
'The permission that the policies of saas.protect ask for reading or for writing; NULL when they ask for none.';

-- What the read policy's comment says about the table before saas.protect.
create function saas_private.protection_note(relation oid) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select substring(obj_description(p.oid, 'pg_policy') from '^Made by saas\.protect; before: (.*)$')
      from pg_policy p
     where p.polrelid = protection_note.relation and p.polname = 'saas: an organization reads its own rows'
$$;
comment on function saas_private.protection_note(oid) is
'How a protected table was before (org_id, its default, row-level security); NULL for a table that saas.protect did not protect.';
