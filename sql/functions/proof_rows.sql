-- Rows for a proof of isolation: one of each side in every table of tenants.
-- Leans on proof_values.

create function saas_private.row_values(relation oid, columns name[], texts text[]) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select coalesce(format('(%s) overriding system value values (%s)', string_agg(quote_ident(u.name::text), ', ' order by u.n),
                           string_agg(format('%L::%s', u.value, format_type(a.atttypid, a.atttypmod)), ', ' order by u.n)),
                    'default values')
      from unnest(row_values.columns, row_values.texts) with ordinality as u (name, value, n)
      join pg_attribute a on a.attrelid = row_values.relation and a.attname = u.name);
end
$$;
comment on function saas_private.row_values(oid, name[], text[]) is
'Columns and values of an INSERT, those of identity columns too: a sequence that moved would stay so.';

-- The columns of a constraint or unique index of the table or of a part of it;
-- a refusal without a name comes from partition bounds.
create function saas_private.constraint_columns(relation oid, name text) returns name[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select coalesce(
        (select saas_private.column_names(k.conrelid, k.conkey)
           from pg_constraint k join saas_private.relation_tree(constraint_columns.relation) t on t.relation = k.conrelid
          where k.conname = constraint_columns.name limit 1),
        (select saas_private.column_names(i.indrelid, i.indkey::smallint[])
           from pg_index i join saas_private.relation_tree(constraint_columns.relation) t on t.relation = i.indrelid
           join pg_class c on c.oid = i.indexrelid
          where c.relname = constraint_columns.name limit 1),
        (select array_agg(h.attname)
           from saas_private.relation_tree(constraint_columns.relation) t
           join pg_partitioned_table p on p.partrelid = t.relation
           join pg_attribute h on h.attrelid = p.partrelid and h.attnum = any (p.partattrs::smallint[])
          where constraint_columns.name = ''),
        (select array_agg(h.attname)
           from pg_inherits i
           join pg_partitioned_table p on p.partrelid = i.inhparent
           join pg_attribute h on h.attrelid = p.partrelid and h.attnum = any (p.partattrs::smallint[])
          where i.inhrelid = constraint_columns.relation and constraint_columns.name = ''),
        '{}'));
end
$$;
comment on function saas_private.constraint_columns(oid, text) is
'The columns of a constraint or unique index by name; those of the partition key for a nameless refusal.';

-- The row that others of the side refer to.  Tables without org_id belong to all,
-- but for organizations, users and what belongs to these: there any row does.
create function saas_private.parent_row(relation oid, side text, depth integer) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    as_side text := parent_row.side;
    found_row jsonb;
    made record;
begin
    if parent_row.relation not in ('saas.organization'::regclass, 'saas.app_user'::regclass)
       and not exists (select from pg_attribute a where a.attrelid = parent_row.relation and a.attname = 'org_id' and not a.attisdropped)
       and not exists (select from pg_constraint k where k.conrelid = parent_row.relation and k.contype = 'f'
                          and k.confrelid in ('saas.organization'::regclass, 'saas.app_user'::regclass)) then
        as_side := 'shared';
    end if;
    select r.content into found_row from pg_temp.proof_row r where r.relation = parent_row.relation and r.side = as_side;
    if found then
        return found_row;
    end if;
    if as_side = 'shared' then
        found_row := saas_private.as_owner(parent_row.relation, format('select to_jsonb(t) from %s t limit 1', parent_row.relation::regclass));
    end if;
    if found_row is null and parent_row.depth < 30 then
        -- Who refers back to a row that is being made finds none.
        insert into pg_temp.proof_row (relation, side) values (parent_row.relation, as_side);
        made := saas_private.make_row(parent_row.relation, as_side, true, parent_row.depth);
        found_row := made.content;
        update pg_temp.proof_row r
           set content = made.content, problem = made.problem
         where r.relation = parent_row.relation and r.side = as_side;
    else
        insert into pg_temp.proof_row (relation, side, content) values (parent_row.relation, as_side, found_row);
    end if;
    return found_row;
end
$$;
comment on function saas_private.parent_row(oid, text, integer) is
'A side''s row of a table, made when there is none yet; NULL when it cannot be made.';

-- One row of the side: the victim ('victim'), the attacker ('attacker') or what
-- all share ('shared').  A row that cannot be made leaves the reason.
create function saas_private.make_row(relation oid, side text, keep boolean, depth integer default 0,
                                      out content jsonb, out columns name[], out texts text[], out problem text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    home record;
    item record;
    key record;
    parent jsonb;
    names name[];
    candidates jsonb;
    given jsonb := '{}';
    chosen jsonb := '{}';
    stage integer := 0;
    state text;
    said text;
    constraint_found text;
    column_found text;
    bumped boolean;
    was_made boolean := false;
    taken jsonb;
    number integer;
    statement text;
begin
    select s.mark, s.org_id, s.user_id into home from pg_temp.proof_side s where s.side = make_row.side;
    number := nextval('pg_temp.proof_number');
    if exists (select from pg_attribute a where a.attrelid = make_row.relation and a.attname = 'org_id' and not a.attisdropped) then
        given := jsonb_build_object('org_id', home.org_id);
    end if;
    if make_row.relation in ('saas.organization'::regclass, 'saas.app_user'::regclass) then
        given := jsonb_build_object('id', case make_row.relation when 'saas.organization'::regclass then home.org_id else home.user_id end);
    end if;
    for key in
        select k.oid, k.confrelid, saas_private.column_names(k.conrelid, k.conkey) as child_columns,
               saas_private.column_names(k.confrelid, k.confkey) as parent_columns
          from pg_constraint k
         where k.conrelid = make_row.relation and k.contype = 'f' and k.confrelid <> k.conrelid
           and not exists (select from pg_constraint p where p.oid = k.conparentid and p.conrelid = k.conrelid)
         order by k.confrelid = 'saas.organization'::regclass desc, cardinality(k.conkey) desc, k.oid
    loop
        parent := saas_private.parent_row(key.confrelid, make_row.side, make_row.depth + 1);
        continue when parent is null;
        for i in 1 .. cardinality(key.child_columns) loop
            if not given ? key.child_columns[i] then
                given := given || jsonb_build_object(key.child_columns[i], parent -> key.parent_columns[i]);
            end if;
        end loop;
    end loop;
    -- stage 0: as much as can be filled; 1: what must be, and references; 2: what must be.
    for try in 1 .. 150 loop
        if candidates is null then
            candidates := '{}';
            names := '{}';
            for item in
                select a.attname, a.attnum, a.attnotnull, a.atthasdef, t.typnotnull,
                       a.atttypid = 'uuid'::regtype as is_uuid, saas_private.base_type(a.atttypid) as base,
                       a.attidentity <> '' or coalesce(pg_get_expr(d.adbin, d.adrelid) ~ '\mnextval\(', false) as is_numbered,
                       exists (select from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'f' and a.attnum = any (k.conkey)) as is_reference
                  from pg_attribute a
                  join pg_type t on t.oid = a.atttypid
                  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                 where a.attrelid = make_row.relation and a.attnum > 0 and not a.attisdropped
                   and a.attgenerated = ''
                 order by a.attnum
            loop
                if given ? item.attname and (stage < 2 or item.attnotnull or item.attname = 'org_id') then
                    names := names || item.attname;
                    candidates := candidates || jsonb_build_object(item.attname, jsonb_build_array(given -> item.attname));
                elsif item.is_reference and not (item.attnotnull or item.typnotnull) then
                    continue;
                elsif item.is_numbered then
                    -- A sequence does not go back.
                    names := names || item.attname;
                    candidates := candidates || jsonb_build_object(item.attname, jsonb_build_array(
                        case item.base when 'int2'::regtype then 30000 else 2100000000 end + number));
                elsif item.atthasdef and not (item.is_uuid and stage = 0) then
                    continue;
                elsif stage > 0 and not (item.attnotnull or item.typnotnull) then
                    continue;
                else
                    names := names || item.attname;
                    candidates := candidates || jsonb_build_object(item.attname,
                        to_jsonb(saas_private.column_values(make_row.relation, item.attnum, home.mark, number)));
                end if;
            end loop;
            chosen := '{}';
        end if;
        make_row.columns := names;
        texts := array(select candidates -> n.name::text ->> coalesce((chosen ->> n.name::text)::integer, 0)
                         from unnest(names) with ordinality as n (name, i) order by n.i);
        statement := format('insert into %s as r %s returning to_jsonb(r)', make_row.relation::regclass,
                            saas_private.row_values(make_row.relation, names, texts));
        begin
            make_row.content := saas_private.as_owner(make_row.relation, statement);
            if make_row.content is null then
                problem := 'a trigger or rule let no row in';
                return;
            end if;
            was_made := true;
            if not make_row.keep then
                raise exception sqlstate 'ZZP00';
            end if;
            problem := null;
            return;
        exception
            when others then
                if was_made then
                    problem := null;
                    return;
                end if;
                get stacked diagnostics state = returned_sqlstate, said = message_text,
                    constraint_found = constraint_name, column_found = column_name;
        end;
        problem := format('%s %s', state, said);
        if state in ('55P03', '40P01') then
            perform saas_private.be_impatient();
            exit;
        end if;
        if state = '23505' and taken is null then
            taken := jsonb_build_object('columns', to_jsonb(names), 'texts', to_jsonb(texts), 'problem', problem);
        end if;
        -- What a constraint refused gets its next value; others keep theirs.
        bumped := false;
        if state in ('23514', '23505', '23P01') then
            for item in
                select n.name
                  from unnest(names) as n (name)
                 where jsonb_array_length(candidates -> n.name::text) > coalesce((chosen ->> n.name::text)::integer, 0) + 1
                   and n.name = any (saas_private.constraint_columns(make_row.relation, constraint_found))
                 order by (chosen ->> n.name::text)::integer nulls first
                 limit 1
            loop
                chosen := chosen || jsonb_build_object(item.name, coalesce((chosen ->> item.name::text)::integer, 0) + 1);
                bumped := true;
            end loop;
            if not bumped and (state <> '23514' or stage > 0) and try < 8 then
                number := nextval('pg_temp.proof_number');
                candidates := null;
                bumped := true;
            end if;
        end if;
        if not bumped then
            exit when stage = 2;
            stage := stage + 1;
            candidates := null;
        end if;
    end loop;
    make_row.content := null;
    if taken is not null then
        -- A key that is taken says more than what came of other values.
        make_row.columns := array(select c.name::name from jsonb_array_elements_text(taken -> 'columns') with ordinality as c (name, n) order by c.n);
        texts := array(select v.value from jsonb_array_elements_text(taken -> 'texts') with ordinality as v (value, n) order by v.n);
        problem := taken ->> 'problem';
    end if;
exception when lock_not_available or deadlock_detected then
    -- Expressions in the catalogs are read under a lock, too.
    get stacked diagnostics state = returned_sqlstate, said = message_text;
    make_row.content := null;
    problem := format('%s %s', state, said);
    perform saas_private.be_impatient();
end
$$;
comment on function saas_private.make_row(oid, text, boolean, integer) is
'Inserts a row for a side of the proof, filled by type, default, constraint and foreign key, and keeps it or not: its content, the columns and values given, or the problem.';
