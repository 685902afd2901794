-- Rows for a proof of isolation: one of each side in every table of tenants, of
-- values that its types and constraints take.  Every value that belongs to the
-- victim holds the victim's mark, eight random hexadecimal digits, where its
-- type lets it.  Leans on protect.

create function saas_private.begin_proof() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_begin_proof';
comment on function saas_private.begin_proof() is
'Lets the current subtransaction switch identities until it is rolled back; it cannot be committed. Limits, notes and waits do nothing meanwhile. Errors: PT403 unless the session''s and the current user are superusers, 25001 outside a subtransaction and when the transaction has had an identity.';

create function saas_private.prove_as(user_id uuid, org_id uuid, role text, permissions text[] default null, rank integer default null) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_prove_as';
comment on function saas_private.prove_as(uuid, uuid, text, text[], integer) is
'Switches the identity in a proof: a role''s (of a custom one with its permissions and rank), an API key''s with every permission (role ''''), one without an organization (role NULL), or none (user NULL). Errors: PT403 as saas_private.begin_proof, 25001 outside a proof.';

-- Tables bring code of their owners: none of it may run as the superuser.
create function saas_private.run_confined(as_role name, statement text, wants_answer boolean default false, past_force boolean default false,
                                          out said text, out rows bigint)
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_run_confined';
comment on function saas_private.run_confined(name, text, boolean, boolean) is
'Runs a statement in a proof as a role that is no superuser, so that nothing it calls gets back to the superuser: no SET ROLE, SET SESSION AUTHORIZATION, temporary object, PREPARE or deferred trigger, and settings are put back. As an owner it may get past FORCE ROW LEVEL SECURITY. Gives the first value and the number of rows. Errors: PT403 as saas_private.begin_proof, 25001 outside a proof, 42501 for a superuser''s role.';

create function saas_private.run_as_session(as_role name, statement text, out said text, out rows bigint)
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_run_as_session';
comment on function saas_private.run_as_session(name, text) is
'Runs a statement in a proof as if a role had connected; for statements that call nobody''s code. Errors as saas_private.run_confined.';

create function saas_private.copy_confined(as_role name, statement text, out said text, out rows bigint)
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_copy_confined';
comment on function saas_private.copy_confined(name, text) is
'Runs COPY of a query to nowhere, or COPY into a table when that is refused, as saas_private.run_confined. Errors as there.';

-- Another session holds what the proof needs: it waits no second time.
create function saas_private.be_impatient() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('lock_timeout', '10ms', true);
end
$$;
comment on function saas_private.be_impatient() is
'Lets the proof hardly wait for locks any more, once it has waited for one in vain.';

-- The role that makes rows
create function saas_private.proof_role(purpose text) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('saas_proof_%s_%s', proof_role.purpose, pg_backend_pid())
$$;
comment on function saas_private.proof_role(text) is
'A role of a proof: maker, which makes rows in tables of superusers, or reader, which reads for their materialized views.';

-- A table's owner; for a superuser''s one with the rights of saas_user that no
-- policy binds.  What either lacks it gets until the proof is rolled back.
create function saas_private.row_maker(relation oid) returns name
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    maker name;
begin
    select n.nspname, n.oid as namespace, r.rolname, r.rolsuper into item
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      join pg_roles r on r.oid = c.relowner
     where c.oid = row_maker.relation;
    maker := case when item.rolsuper then saas_private.proof_role('maker') else item.rolname end;
    if not has_schema_privilege(maker, item.namespace, 'USAGE') then
        execute format('grant usage on schema %I to %I', item.nspname, maker);
    end if;
    if not (has_table_privilege(maker, row_maker.relation, 'SELECT') and has_table_privilege(maker, row_maker.relation, 'INSERT')
            and has_table_privilege(maker, row_maker.relation, 'UPDATE')) then
        execute format('grant select, insert, update on %s to %I', row_maker.relation::regclass, maker);
    end if;
    return maker;
end
$$;
comment on function saas_private.row_maker(oid) is
'The role that reads and writes a table for the proof, past its policies: its owner, or a role of the proof when that is a superuser.';

create function saas_private.as_owner(relation oid, statement text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (saas_private.run_confined(saas_private.row_maker(as_owner.relation), as_owner.statement, true, true)).said;
end
$$;
comment on function saas_private.as_owner(oid, text) is
'Runs a statement on a table as its owner, past its policies, and gives its first value.';

-- Mostly in PL/pgSQL, which keeps plans: these are called for every table or value.

-- Values

-- A text that a regular expression matches, for those of the usual kinds:
-- sets, groups, alternatives (the first), repetitions.
create function saas_private.matching_text(pattern text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    rest text := matching_text.pattern;
    result text := '';
    item text;
    sample text;
    counts text[];
    depth integer;
begin
    while rest <> '' loop
        if rest ~ '^[$^]' then
            rest := substr(rest, 2);
            continue;
        elsif rest ~ '^\|' then
            exit;
        elsif rest ~ '^\(' then
            depth := 0;
            for i in 1 .. length(rest) loop
                depth := depth + case substr(rest, i, 1) when '(' then 1 when ')' then -1 else 0 end;
                item := left(rest, i);
                exit when depth = 0;
            end loop;
            sample := case when item ~ '^\(\?[!=<]' then ''
                           else saas_private.matching_text(regexp_replace(substr(item, 2, length(item) - 2), '^\?:', '')) end;
        elsif rest ~ '^\[' then
            item := substring(rest from '^\[\^?\]?[^\]]*\]');
            sample := coalesce((select c from unnest(string_to_array('a 0 A 1 _ - b . z', ' ')) as c
                                 where c ~ ('^' || item || '$') limit 1),
                               case when item ~ '^\[[^\^\[\\]' then substr(item, 2, 1) else 'x' end);
        elsif rest ~ '^\\' then
            item := left(rest, 2);
            sample := case when item = '\d' then '1' when item = '\w' then 'a' when item = '\s' then ' '
                           when item ~ '[a-zA-Z]' then '' else substr(item, 2) end;
        else
            item := left(rest, 1);
            sample := case item when '.' then 'x' else item end;
        end if;
        rest := substr(rest, length(item) + 1);
        counts := regexp_match(rest, '^(?:\{(\d+)(?:,\d*)?\}|([*+?]))\??');
        if counts is not null then
            rest := regexp_replace(rest, '^(?:\{\d+(?:,\d*)?\}|[*+?])\??', '');
            sample := repeat(sample, least(coalesce(counts[1]::integer, case counts[2] when '+' then 1 else 0 end), 2000));
        end if;
        result := result || sample;
    end loop;
    return result;
exception when others then
    return null;
end
$$;
comment on function saas_private.matching_text(text) is
'A text that a regular expression may match; best effort, NULL for one that it cannot read.';

create function saas_private.is_valid_input(value text, type text, relation oid) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.as_owner(is_valid_input.relation, format('select (%L::%s) is null', is_valid_input.value, is_valid_input.type));
    return true;
exception when others then
    return false;
end
$$;
comment on function saas_private.is_valid_input(text, text, oid) is
'Whether a type takes a text as a value, as a table''s owner: a domain checks it with somebody''s code.';

-- What stands in a constraint: words, numbers, and texts that its patterns match.
create function saas_private.values_in_expression(expression text) returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select v.value
      from (select 1 as step, p.n, case when p.word ~ '^\^|[][\\*+$]' then saas_private.matching_text(p.word) else p.word end as value
              from (select m.n, replace(m.found[1], '''''', '''') as word
                      from regexp_matches(values_in_expression.expression, '''((?:[^'']|'''')*)''', 'g') with ordinality as m (found, n)) as p
            union all
            select 2, m.n, m.found[1]
              from regexp_matches(values_in_expression.expression, '(-?\m\d{1,12}(?:\.\d+)?)\M', 'g') with ordinality as m (found, n)) as v
     where v.value is not null
     order by v.step, v.n;
end
$$;
comment on function saas_private.values_in_expression(text) is
'Literals and numbers of a constraint''s expression, and examples for its regular expressions.';

create function saas_private.base_type(type oid) returns oid
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    base oid := base_type.type;
    below oid;
begin
    loop
        select t.typbasetype into below from pg_type t where t.oid = base and t.typtype = 'd';
        exit when not found;
        base := below;
    end loop;
    return base;
end
$$;
comment on function saas_private.base_type(oid) is
'The type below a domain, or the type itself.';

-- number makes values of one column differ.
create function saas_private.type_values(type oid, modifier integer, mark text, number integer) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    item pg_type := (select t from pg_type t where t.oid = type_values.type);
    word text := 'p' || type_values.mark || type_values.number;
    day date := date '2001-01-01' + type_values.number;
    element text;
begin
    if item.typtype = 'd' then
        return saas_private.type_values(item.typbasetype, item.typtypmod, type_values.mark, type_values.number);
    elsif item.typtype = 'e' then
        return array(select e.enumlabel::text from pg_enum e where e.enumtypid = item.oid order by e.enumsortorder);
    elsif item.typtype = 'c' then
        return array[(select '(' || repeat(',', count(*)::integer - 1) || ')' from pg_attribute a
                       where a.attrelid = item.typrelid and a.attnum > 0 and not a.attisdropped)];
    elsif item.typtype = 'm' then
        return array['{}'];
    elsif item.typtype = 'r' then
        select (saas_private.type_values(r.rngsubtype, -1, type_values.mark, type_values.number))[1] into element
          from pg_range r where r.rngtypid = item.oid;
        return array[format('["%s","%s"]', element, element), 'empty'];
    elsif item.typelem <> 0 and item.typcategory = 'A' then
        element := (saas_private.type_values(item.typelem, type_values.modifier, type_values.mark, type_values.number))[1];
        return array[format('{"%s"}', replace(replace(element, '\', '\\'), '"', '\"')), '{}'];
    end if;
    return case item.typname
        when 'bool' then array['true', 'false']
        when 'uuid' then array[type_values.mark || right(gen_random_uuid()::text, -8)]
        when 'json' then array[format('{"mark": "%s"}', word), '{}', '[]', '"a"', '1']
        when 'jsonb' then array[format('{"mark": "%s"}', word), '{}', '[]', '"a"', '1']
        when 'bytea' then array['\x' || encode(word::bytea, 'hex')]
        when 'sealed' then array[saas_private.seal_for_platform(word, 'proof', '')::text]
        when 'date' then array[day::text, current_date::text]
        when 'timestamp' then array[now()::timestamp::text, day::text]
        when 'timestamptz' then array[(now() + type_values.number * interval '1 second')::text, day::text, (now() - interval '1 day')::text]
        when 'time' then array['12:00:00']
        when 'timetz' then array['12:00:00+00']
        when 'interval' then array[format('%s seconds', type_values.number + 300), '1 day']
        when 'int2' then array[(1000 + type_values.number % 30000)::text, '1', '0', '-1']
        when 'int4' then array[(1000000 + type_values.number)::text, (type_values.number % 100 + 1)::text, '0', '-1']
        when 'int8' then array[(10000000 + type_values.number)::text, (type_values.number % 100 + 1)::text, '0', '-1']
        when 'oid' then array[(10000000 + type_values.number)::text]
        when 'numeric' then array[(type_values.number % 9 + 1)::text, '0.5', '0', '-1']
        when 'float4' then array[(type_values.number)::text, '0.5', '0', '-1']
        when 'float8' then array[(type_values.number)::text, '0.5', '0', '-1']
        when 'money' then array['1']
        when 'inet' then array[format('192.0.2.%s', type_values.number % 250)]
        when 'cidr' then array[format('192.0.2.%s/32', type_values.number % 250)]
        when 'macaddr' then array['02:00:00:00:00:' || lpad(to_hex(type_values.number % 250), 2, '0')]
        when 'macaddr8' then array['02:00:00:00:00:00:00:' || lpad(to_hex(type_values.number % 250), 2, '0')]
        when 'bit' then array[repeat('1', greatest(type_values.modifier, 1))]
        when 'varbit' then array['1']
        when 'point' then array['(1,1)']
        when 'line' then array['{1,1,1}']
        when 'lseg' then array['[(0,0),(1,1)]']
        when 'box' then array['(1,1),(0,0)']
        when 'path' then array['[(0,0),(1,1)]']
        when 'polygon' then array['((0,0),(1,1),(1,0))']
        when 'circle' then array['<(0,0),1>']
        when 'tsvector' then array[word]
        when 'tsquery' then array[word]
        when 'xml' then array[format('<a>%s</a>', word)]
        when 'pg_lsn' then array['0/' || type_values.number]
        when 'regclass' then array['pg_class']
        when 'regtype' then array['text']
        when 'char' then array['a']
        when 'hstore' then array[format('mark=>%s', word)]
        else case when item.typcategory = 'S' then
                 array[left(word, coalesce(nullif(greatest(type_values.modifier - 4, 0), 0), 1000)),
                       left(format('%s@example.com', word), coalesce(nullif(greatest(type_values.modifier - 4, 0), 0), 1000)),
                       left(format('https://example.com/%s', word), coalesce(nullif(greatest(type_values.modifier - 4, 0), 0), 1000)),
                       left(upper(word), coalesce(nullif(greatest(type_values.modifier - 4, 0), 0), 1000)),
                       left((1000000 + type_values.number)::text, coalesce(nullif(greatest(type_values.modifier - 4, 0), 0), 1000)), 'a', '']
             else array['', '0', '1', '{}', 'a'] end
    end;
end
$$;
comment on function saas_private.type_values(oid, integer, text, integer) is
'Values of a type as texts, those that hold the mark first.';

-- The constraints that bound a column: of the table, its domain and, for a
-- partition key, what the partitions hold.
create function saas_private.column_constraints(relation oid, number smallint) returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with recursive domain (oid, base) as (
        select t.oid, t.typbasetype
          from pg_attribute a join pg_type t on t.oid = a.atttypid
         where a.attrelid = column_constraints.relation and a.attnum = column_constraints.number and t.typtype = 'd'
        union all
        select t.oid, t.typbasetype from domain d join pg_type t on t.oid = d.base where t.typtype = 'd'
    )
    select pg_get_constraintdef(k.oid)
      from pg_constraint k
     where k.contype = 'c' and (k.conrelid = column_constraints.relation and column_constraints.number = any (k.conkey)
                                or k.contypid in (select d.oid from domain d))
    union all
    (select pg_get_expr(c.relpartbound, c.oid)
       from saas_private.relation_tree(column_constraints.relation) t
       join pg_partitioned_table p on p.partrelid = t.relation
       join pg_inherits i on i.inhparent = p.partrelid
       join pg_class c on c.oid = i.inhrelid
       join pg_attribute h on h.attrelid = p.partrelid and h.attnum = any (p.partattrs::smallint[])
       join pg_attribute a on a.attrelid = column_constraints.relation and a.attname = h.attname
      where a.attnum = column_constraints.number
      order by c.oid limit 6)
    union all
    select pg_get_expr(c.relpartbound, c.oid)
      from pg_class c
      join pg_inherits i on i.inhrelid = c.oid
      join pg_partitioned_table p on p.partrelid = i.inhparent
      join pg_attribute h on h.attrelid = p.partrelid and h.attnum = any (p.partattrs::smallint[])
      join pg_attribute a on a.attrelid = c.oid and a.attname = h.attname
     where c.oid = column_constraints.relation and c.relispartition and a.attnum = column_constraints.number;
end
$$;
comment on function saas_private.column_constraints(oid, smallint) is
'Texts of the constraints on a column: checks, its domain''s checks, partition bounds.';

create function saas_private.column_values(relation oid, number smallint, mark text, serial integer) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    base oid;
    from_type text[];
    from_constraints text[];
    texts text[];
begin
    select a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod) as type, t.typtype into item
      from pg_attribute a join pg_type t on t.oid = a.atttypid
     where a.attrelid = column_values.relation and a.attnum = column_values.number;
    from_type := saas_private.type_values(item.atttypid, item.atttypmod, column_values.mark, column_values.serial);
    texts := array(select saas_private.column_constraints(column_values.relation, column_values.number));
    if texts = '{}' then
        return from_type;
    end if;
    base := saas_private.base_type(item.atttypid);
    select array_agg(distinct v.value) into from_constraints
      from unnest(texts) as e (expression) cross join lateral saas_private.values_in_expression(e.expression) as v (value);
    -- A number may be a bound or a length.
    select coalesce(array_agg(c.value order by c.step), '{}') into from_constraints
      from (select 1 as step, v.value from unnest(from_constraints) as v (value)
            union all
            select 2, (v.value::numeric + d.d)::text
              from unnest(from_constraints) as v (value), (values (1), (-1)) as d (d)
             where v.value ~ '^-?\d+(\.\d+)?$' and base in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'float8'::regtype)
            union all
            select 2, case base when 'bytea'::regtype then '\x' || repeat(lpad(to_hex(column_values.serial % 256), 2, '0'), v.value::integer)
                                else rpad('p' || column_values.mark || column_values.serial, v.value::integer, '0') end
              from unnest(from_constraints) as v (value)
             where v.value ~ '^\d{1,4}$' and v.value::integer between 1 and 4096
               and base in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype)) as c
     where saas_private.is_valid_input(c.value, item.type, column_values.relation);
    -- Patterns and words come first; a mere length bounds what has the mark.
    if item.typtype = 'd' then
        from_type := array(select v from unnest(from_type) as v where saas_private.is_valid_input(v, item.type, column_values.relation));
    end if;
    return case when exists (select from unnest(texts) as e (expression) where e.expression ~ '''')
                     and base <> all (array['jsonb'::regtype, 'json'::regtype]::oid[])
                then from_constraints || from_type else from_type || from_constraints end;
end
$$;
comment on function saas_private.column_values(oid, smallint, text, integer) is
'Values to try for a column, as texts, the most likely ones first.';

-- Rows

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
