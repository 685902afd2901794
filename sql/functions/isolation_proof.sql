-- saas.prove_isolation: two made-up organizations get a row in every table of
-- tenants, and the one attacks the other as each role.  Everything happens in
-- one subtransaction that is always rolled back; what it finds comes out as
-- result rows, which a rollback leaves.  What the proof knows meanwhile stands
-- in temporary tables of that subtransaction.  Every value that belongs to the
-- victim holds the victim's mark, eight random hexadecimal digits, where its
-- type lets it.  Leans on protect and isolation_checks.

create function saas_private.begin_proof() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_begin_proof';
comment on function saas_private.begin_proof() is
'Lets the current subtransaction switch identities until it is rolled back; it cannot be committed. Limits, notes and waits do nothing meanwhile. Errors: PT403 unless the session''s and the current user are superusers, 25001 outside a subtransaction and when the transaction has had an identity.';

create function saas_private.prove_as(user_id uuid, org_id uuid, role text) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_prove_as';
comment on function saas_private.prove_as(uuid, uuid, text) is
'Switches the identity in a proof: a built-in role''s, an API key''s with every permission (role ''''), one without an organization (role NULL), or none (user NULL). Errors: PT403 as saas_private.begin_proof, 25001 outside a proof.';

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

create function saas_private.is_valid_input(value text, type text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('select %L::%s', is_valid_input.value, is_valid_input.type);
    return true;
exception when others then
    return false;
end
$$;
comment on function saas_private.is_valid_input(text, text) is
'Whether a type takes a text as a value; a domain checks it too.';

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
       from pg_partitioned_table p
       join pg_inherits i on i.inhparent = p.partrelid
       join pg_class c on c.oid = i.inhrelid
      where p.partrelid = column_constraints.relation and column_constraints.number = any (p.partattrs::smallint[])
      order by c.oid limit 3)
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
language plpgsql stable
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
     where saas_private.is_valid_input(c.value, item.type);
    -- Patterns and words come first; a mere length bounds what has the mark.
    if item.typtype = 'd' then
        from_type := array(select v from unnest(from_type) as v where saas_private.is_valid_input(v, item.type));
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
        (select saas_private.column_names(p.partrelid, p.partattrs::smallint[])
           from pg_partitioned_table p
          where p.partrelid = constraint_columns.relation and constraint_columns.name = ''),
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
        execute format('select to_jsonb(t) from %s t limit 1', parent_row.relation::regclass) into found_row;
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
            -- As triggers without a path of their own would find things.
            perform set_config('search_path', current_setting('saas_proof.path'), true);
            execute statement into make_row.content;
            perform set_config('search_path', 'pg_catalog, pg_temp', true);
            if make_row.content is null then
                problem := 'a trigger or rule let no row in';
                return;
            end if;
            if not make_row.keep then
                raise exception sqlstate 'ZZP00';
            end if;
            problem := null;
            return;
        exception
            when sqlstate 'ZZP00' then
                problem := null;
                return;
            when others then
                get stacked diagnostics state = returned_sqlstate, said = message_text,
                    constraint_found = constraint_name, column_found = column_name;
        end;
        problem := format('%s %s', state, said);
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
end
$$;
comment on function saas_private.make_row(oid, text, boolean, integer) is
'Inserts a row for a side of the proof, filled by type, default, constraint and foreign key, and keeps it or not: its content, the columns and values given, or the problem.';

-- The scene

create function saas_private.copier(role name) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('saas_proof_%s_%s', pg_backend_pid(), copier.role)
$$;
comment on function saas_private.copier(name) is
'The role that stands for a tenants'' role in attacks by COPY.';

create function saas_private.prepare_proof(schemas name[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    made record;
    side_row record;
    copied_role name;
begin
    perform set_config('track_counts', 'on', true);
    perform set_config('row_security', 'on', true);
    perform set_config('lock_timeout', '2s', true);
    perform set_config('saas_proof.path', s.reset_val, true) from pg_settings s where s.name = 'search_path';
    -- Short statements that look expensive.
    perform set_config('jit', 'off', true);
    create temp sequence proof_number;
    create temp table proof_schema as
    select n.oid from pg_namespace n
     where n.nspname = any (prepare_proof.schemas)
        or prepare_proof.schemas is null and n.nspname !~ '^pg_' and n.nspname <> 'information_schema';
    create temp table proof_side (side text primary key, mark text, org_id uuid, user_id uuid);
    create temp table proof_row (relation oid, side text, content jsonb, problem text, primary key (relation, side));
    create temp table proof_spare (relation oid, side text, columns name[], texts text[], problem text, primary key (relation, side));
    create temp table proof_table (relation oid primary key, name text, kind "char", is_part boolean, is_ours boolean,
                                   owner name, own_rows bigint, state text);
    create temp table proof_attack (relation oid, n integer, attack text, statement text, judged text, as_copier boolean);
    create index on proof_attack (relation, n);
    create function pg_temp.proof_sees_row() returns boolean language plpgsql volatile as $body$
    begin
        perform set_config('saas_proof.seen', (current_setting('saas_proof.seen')::bigint + 1)::text, true);
        if current_setting('saas_proof.seen')::bigint > current_setting('saas_proof.allowed')::bigint then
            raise exception sqlstate 'ZZP01' using message = 'more rows than the organization''s own are seen';
        end if;
        return false;
    end
    $body$;
    create function pg_temp.proof_takes_row() returns boolean language sql volatile as
        'select not pg_temp.proof_sees_row()';
    -- COPY to a file needs more rights than tenants have: members of theirs get them.
    foreach copied_role in array array['saas_user', 'saas_anon'] loop
        execute format('create role %I in role %I, pg_read_server_files, pg_write_server_files',
                       saas_private.copier(copied_role), copied_role);
    end loop;
    -- Told apart by the first digit.
    insert into proof_side
    select m.side, m.mark, (m.mark || right(gen_random_uuid()::text, -8))::uuid, (m.mark || right(gen_random_uuid()::text, -8))::uuid
      from (select s.side, s.digit || substr(md5(gen_random_uuid()::text), 1, 7) as mark
              from (values ('victim', 'b'), ('attacker', 'a'), ('shared', 'c')) as s (side, digit)) as m;
    insert into proof_table (relation, name, kind, is_part, is_ours, owner)
    select t.relation, t.name, t.kind, exists (select from pg_inherits i join saas_private.tenant_tables() p on p.relation = i.inhparent
                                                where i.inhrelid = t.relation),
           n.nspname in ('saas', 'saas_private'), pg_get_userbyid(t.owner)
      from saas_private.tenant_tables() t
      join pg_class c on c.oid = t.relation
      join pg_namespace n on n.oid = c.relnamespace
     where t.kind in ('r', 'p') and n.oid in (select p.oid from pg_temp.proof_schema p);

    for side_row in select * from proof_side s where s.side <> 'shared' order by s.side loop
        perform saas_private.parent_row('saas.organization'::regclass, side_row.side, 0);
        perform saas_private.parent_row('saas.app_user'::regclass, side_row.side, 0);
        perform saas_private.prove_as(side_row.user_id, side_row.org_id, 'owner');
        for item in
            -- Twice: where tables refer to each other, the first was made without the second.
            select t.relation from proof_table t cross join generate_series(1, 2) as pass where not t.is_part order by pass, t.name
        loop
            delete from proof_row r where r.relation = item.relation and r.side = side_row.side and r.content is null;
            perform saas_private.parent_row(item.relation, side_row.side, 0);
        end loop;
    end loop;
    -- Parts that tenants reach directly, where the whole table's row is in another.
    for side_row in select * from proof_side s where s.side <> 'shared' order by s.side loop
        perform saas_private.prove_as(side_row.user_id, side_row.org_id, 'owner');
        for item in select t.* from proof_table t
                     where t.is_part and t.kind = 'r'
                       and concat(saas_private.tenants_holding(t.relation, 'SELECT'), saas_private.tenants_holding(t.relation, 'INSERT'),
                                  saas_private.tenants_holding(t.relation, 'UPDATE')) <> '' loop
            perform saas_private.parent_row(item.relation, side_row.side, 0);
        end loop;
    end loop;
    begin
        set constraints all immediate;
    exception when others then
        -- Rows that refer to each other in a circle: they go anyway.
        null;
    end;
    -- Rows that could be added, for both.
    for side_row in select * from proof_side s where s.side <> 'shared' order by s.side loop
        perform saas_private.prove_as(side_row.user_id, side_row.org_id, 'owner');
        for item in
            select t.relation from proof_table t join proof_row r on r.relation = t.relation and r.side = side_row.side
             where r.content is not null
        loop
            made := saas_private.make_row(item.relation, side_row.side, false);
            -- A second row of the same key serves too: policies come before keys.
            insert into proof_spare values (item.relation, side_row.side, made.columns, made.texts,
                                            case when made.problem !~ '^23505 ' then made.problem end);
        end loop;
    end loop;
    perform saas_private.prove_as(null, null, null);
    for item in select t.relation, t.name from proof_table t loop
        update proof_table t
           set state = saas_private.victim_state(item.relation), own_rows = saas_private.attacker_rows(item.relation)
         where t.relation = item.relation;
        perform saas_private.prepare_attacks(item.relation);
    end loop;
    analyze proof_table, proof_attack, proof_row, proof_spare;
end
$$;
comment on function saas_private.prepare_proof(name[]) is
'Makes the temporary tables of a proof, two organizations and their rows, and the attacks on each table of the schemas, of all for NULL.';

create function saas_private.victim_state(relation oid) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    result text;
begin
    execute format('select coalesce(string_agg(t.tableoid::text || t.ctid::text, '' '' order by t.tableoid, t.ctid), '''') from %s t where t.org_id = %L',
                   victim_state.relation::regclass, (select s.org_id from pg_temp.proof_side s where s.side = 'victim'))
       into result;
    return result;
end
$$;
comment on function saas_private.victim_state(oid) is
'The versions of the victim''s rows in a table: differs whenever anybody touches one.';

-- Those of no organization, such as the platform's defaults, may be seen too.
create function saas_private.attacker_rows(relation oid) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    result bigint;
begin
    execute format('select (select count(*) from %1$s t where t.org_id = %2$L) + (select count(*) from %1$s t where t.org_id is null)',
                   attacker_rows.relation::regclass, (select s.org_id from pg_temp.proof_side s where s.side = 'attacker'))
       into result;
    return result;
end
$$;
comment on function saas_private.attacker_rows(oid) is
'How many rows of a table the attacker may see.';

-- How often rows of each table were written, rolled back or not.
create function saas_private.write_counters() returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select jsonb_object_agg(t.relation, pg_stat_get_xact_tuples_inserted(t.relation) + pg_stat_get_xact_tuples_updated(t.relation)
                                        + pg_stat_get_xact_tuples_deleted(t.relation))
      from pg_temp.proof_table t where t.kind = 'r');
end
$$;
comment on function saas_private.write_counters() is
'How many rows of each tenant''s table this transaction has written.';

-- Tables where the victim's rows are no longer what they were.
create function saas_private.tables_touched(counters jsonb) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    now_counted jsonb := saas_private.write_counters();
begin
    if now_counted = tables_touched.counters then
        return null;
    end if;
    return (
    select string_agg(t.name, ', ' order by t.name)
      from pg_temp.proof_table t
     where t.kind = 'r' and now_counted -> t.relation::text <> tables_touched.counters -> t.relation::text
       and t.state <> saas_private.victim_state(t.relation));
end
$$;
comment on function saas_private.tables_touched(jsonb) is
'The tables in which a row of the victim came, changed or went since the counters were read; NULL for none.';

-- Attacks

-- Runs a statement as a role, with the search_path of a new session, and rolls
-- it back.  said is the statement's only value, or its error.
create function saas_private.attempt(as_role name, statement text, wants_answer boolean default false,
                                     prelude text default null, is_write boolean default true,
                                     out state text, out said text, out rows bigint, out touched text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    counters jsonb;
    detail text;
begin
    begin
        if attempt.prelude is not null then
            execute attempt.prelude;
        end if;
        if attempt.is_write then
            counters := saas_private.write_counters();
        end if;
        perform set_config('search_path', current_setting('saas_proof.path'), true);
        execute format('set local session authorization %I', attempt.as_role);
        if attempt.wants_answer then
            execute attempt.statement into said;
        else
            execute attempt.statement;
        end if;
        get diagnostics rows = row_count;
        reset session authorization;
        perform set_config('search_path', 'pg_catalog, pg_temp', true);
        if attempt.is_write then
            touched := saas_private.tables_touched(counters);
        end if;
        raise exception sqlstate 'ZZP00';
    exception
        when sqlstate 'ZZP00' then
            null;
        when others then
            get stacked diagnostics state = returned_sqlstate, said = message_text, detail = pg_exception_detail;
            said := concat_ws(' / ', said, nullif(detail, ''));
    end;
end
$$;
comment on function saas_private.attempt(name, text, boolean, text, boolean) is
'Runs a statement as a role in a subtransaction that is rolled back: SQLSTATE and message, or answer and rows, and the tables where the victim''s rows were touched.';

-- The same for many statements that are judged by their rows alone, with the
-- role taken once: in the loop only functions of the system are called.
create function saas_private.attempt_all(as_role name, statements text[], own_rows bigint[])
returns table (n integer, state text, said text, rows bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    detail text;
begin
    begin
        perform set_config('search_path', current_setting('saas_proof.path'), true);
        execute format('set local session authorization %I', attempt_all.as_role);
        for i in 1 .. coalesce(cardinality(attempt_all.statements), 0) loop
            n := i;
            state := null;
            said := null;
            rows := null;
            begin
                perform pg_catalog.set_config('saas_proof.seen', '0', true),
                        pg_catalog.set_config('saas_proof.allowed', attempt_all.own_rows[i]::text, true);
                execute attempt_all.statements[i];
                get diagnostics rows = row_count;
                raise exception sqlstate 'ZZP00';
            exception
                when sqlstate 'ZZP00' then
                    null;
                when others then
                    get stacked diagnostics state = returned_sqlstate, said = message_text, detail = pg_exception_detail;
                    said := pg_catalog.concat_ws(' / ', said, nullif(detail, ''));
            end;
            return next;
        end loop;
        raise exception sqlstate 'ZZP02';
    exception when sqlstate 'ZZP02' then
        null;
    end;
end
$$;
comment on function saas_private.attempt_all(name, text[], bigint[]) is
'Runs statements as a role, each in a subtransaction that is rolled back: SQLSTATE and message, or rows.';

-- How an attack is judged: 'unseen': it must reach no row; 'refused': it must
-- fail; 'counted': it must see no more than the attacker's rows.
create function saas_private.prepare_attacks(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := prepare_attacks.relation::regclass::text;
    victim uuid := (select s.org_id from pg_temp.proof_side s where s.side = 'victim');
    attacker uuid := (select s.org_id from pg_temp.proof_side s where s.side = 'attacker');
    spare record;
    -- Outside the keys where there is one, so that none gets into the way.
    free_column name := (
        select a.attname
          from pg_attribute a
         where a.attrelid = prepare_attacks.relation and a.attnum > 0 and not a.attisdropped and a.attname <> 'org_id'
           and a.attgenerated = '' and a.attidentity <> 'a'
         order by exists (select from pg_constraint k where k.conrelid = a.attrelid and a.attnum = any (k.conkey)
                                                        and k.contype in ('p', 'u', 'f')), a.attnum desc
         limit 1);
    new_row text;
begin
    select * into spare from pg_temp.proof_spare p where p.relation = prepare_attacks.relation and p.side = 'victim';
    if spare.problem is null and spare.columns is not null then
        new_row := saas_private.row_values(prepare_attacks.relation, spare.columns, spare.texts);
    end if;
    free_column := coalesce(free_column, 'org_id');
    insert into pg_temp.proof_attack
    select prepare_attacks.relation, row_number() over (), a.attack, a.statement, a.judged, coalesce(a.as_copier, false)
      from (values
        ('select', format('select from %s t where t.org_id = %L', name, victim), 'unseen', false),
        ('select without a condition', format('select from %s t where pg_temp.proof_sees_row()', name), 'counted', false),
        ('select with an expression that fails', format('select from %s t where 1 / (t.org_id <> %L)::integer = 1', name, victim), 'counted', false),
        ('select with row_security off', format('set local row_security = off; select from %s t where t.org_id = %L', name, victim), 'unseen', false),
        ('select for update', format('select from %s t where t.org_id = %L for update', name, victim), 'unseen', false),
        ('select for key share', format('select from %s t where t.org_id = %L for key share', name, victim), 'unseen', false),
        ('cursor', format('declare saas_proof cursor for select * from %s t where t.org_id = %L; fetch all from saas_proof', name, victim), 'unseen', false),
        ('copy out of a query', format('copy (select from %s t where t.org_id = %L) to ''/dev/null''', name, victim), 'unseen', true),
        ('copy in', format('copy %s from ''/dev/null''', name), 'refused', true),
        ('insert', format('insert into %s %s', name, new_row), 'refused', false),
        ('insert returning', format('insert into %s %s returning *', name, new_row), 'refused', false),
        ('insert unless it exists', format('insert into %s %s on conflict do nothing', name, new_row), 'refused', false),
        ('update', format('update %s t set %2$I = t.%2$I where t.org_id = %3$L', name, free_column, victim), 'unseen', false),
        ('update without a condition', format('update %s t set %2$I = null where pg_temp.proof_sees_row()', name, free_column), 'counted', false),
        ('update returning', format('update %s t set %2$I = t.%2$I where t.org_id = %3$L returning *', name, free_column, victim), 'unseen', false),
        ('change of org_id', format('update %s t set org_id = %L where t.org_id = %L', name, victim, attacker), 'unseen', false),
        -- Who reads no column is bound by the policies of UPDATE alone.
        ('change of org_id without a condition', format('update %s set org_id = %L where pg_temp.proof_takes_row()', name, victim), 'unseen', false),
        ('delete', format('delete from %s t where t.org_id = %L', name, victim), 'unseen', false),
        ('delete without a condition', format('delete from %s t where pg_temp.proof_sees_row()', name), 'counted', false),
        ('delete returning', format('delete from %s t where t.org_id = %L returning *', name, victim), 'unseen', false),
        ('merge', case when current_setting('server_version_num')::integer >= 150000 then
                       format('merge into %s t using (values (1)) v on t.org_id = %L when matched then delete', name, victim) end, 'unseen', false)
      ) as a (attack, statement, judged, as_copier)
     where a.statement is not null
    union all
    select prepare_attacks.relation, 100 + row_number() over (), format('upsert by %s', u.columns),
           format('insert into %s %s on conflict (%s) do update set %4$I = excluded.%4$I', name,
                  saas_private.row_values(prepare_attacks.relation, spare.columns,
                      array(select case when c.name = any (u.names) and r.content ->> c.name::text is not null
                                        then r.content ->> c.name::text else c.value end
                              from unnest(spare.columns, spare.texts) with ordinality as c (name, value, n) order by c.n)),
                  u.columns, free_column), 'refused', false
      from (select distinct on (x.columns) x.columns, x.names
              from (select i.indexrelid, saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1]) as names,
                           saas_private.column_list(saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1])) as columns
                      from pg_index i
                     where i.indrelid = prepare_attacks.relation and i.indisunique and i.indimmediate
                       and i.indpred is null and i.indexprs is null) as x) as u
      join pg_temp.proof_row r on r.relation = prepare_attacks.relation and r.side = 'victim'
     where new_row is not null and u.names <@ spare.columns;
end
$$;
comment on function saas_private.prepare_attacks(oid) is
'Writes down the statements that attack a table.';

-- Whether an attempt was held off; NULL when that cannot be said.
create function saas_private.is_held(judged text, state text, rows bigint, touched text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when is_held.state is null then
            is_held.touched is null and is_held.judged <> 'refused' and (is_held.judged = 'counted' or is_held.rows = 0)
        when is_held.state = 'ZZP01' then false
        -- Past the policies, at a key or a check.
        when is_held.state ~ '^2[23]' and is_held.state <> '22023' then false
        when is_held.state ~ '^(42|0A|PT|22023|55000|25)' then true
    end
$$;
comment on function saas_private.is_held(text, text, bigint, text) is
'Judges an attempt: true when it was refused or reached nothing, false when it got through, NULL for an error that says neither.';

create function saas_private.attempt_text(state text, said text, rows bigint, touched text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when attempt_text.state is not null then concat_ws(' ', attempt_text.state, attempt_text.said)
                else concat_ws(', ', format('%s rows', attempt_text.rows), 'changed rows of the other organization in ' || attempt_text.touched) end
$$;
comment on function saas_private.attempt_text(text, text, bigint, text) is
'What an attempt came to, for people.';

-- Who attacks: a database role with an identity.
create function saas_private.proof_roles()
returns table (as_role text, db_role name, has_user boolean, role text, is_main boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s, %s', r.db_role, r.title), r.db_role, r.has_user, r.role, r.is_main
      from (values ('saas_user'::name, 'owner', true, 'owner', true),
                   ('saas_user', 'admin', true, 'admin', false),
                   ('saas_user', 'member', true, 'member', false),
                   ('saas_user', 'viewer', true, 'viewer', false),
                   ('saas_user', 'api key', true, '', false),
                   ('saas_user', 'no organization', true, null, false),
                   ('saas_user', 'no identity', false, null, true),
                   ('saas_anon', 'no identity', false, null, true)) as r (db_role, title, has_user, role, is_main)
    union all
    -- Members with rights of their own.
    select format('%s, owner', t.name), t.name, true, 'owner', true
      from saas_private.tenant_roles() t
      join pg_roles r on r.oid = t.role
     where t.name not in ('saas_user', 'saas_anon')
       and (r.rolbypassrls
            or exists (select from pg_shdepend d join pg_database b on b.oid = d.dbid
                        where b.datname = current_database() and d.refclassid = 'pg_authid'::regclass and d.refobjid = t.role
                          and d.deptype in ('a', 'o', 'r')))
$$;
comment on function saas_private.proof_roles() is
'The roles of a proof: every kind of identity of saas_user, saas_anon, and members of these that have rights of their own.';

create function saas_private.prove_statements(db_role name, is_owner boolean default false)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    batch record;
begin
    for batch in
        select a.as_copier, array_agg(t.name order by t.name, a.n) as names, array_agg(a.attack order by t.name, a.n) as attacks,
               array_agg(a.statement order by t.name, a.n) as statements, array_agg(a.judged order by t.name, a.n) as judged,
               array_agg(t.own_rows order by t.name, a.n) as own_rows
          from pg_temp.proof_table t
          join pg_temp.proof_attack a on a.relation = t.relation
         where t.state <> ''
           and (not prove_statements.is_owner or t.owner = prove_statements.db_role and not a.as_copier)
           and (not t.is_part or a.n <= 2 or has_any_column_privilege(prove_statements.db_role, t.relation, 'SELECT, INSERT, UPDATE')
                or has_table_privilege(prove_statements.db_role, t.relation, 'DELETE'))
           and (not a.as_copier or prove_statements.db_role in ('saas_user', 'saas_anon'))
         group by a.as_copier
    loop
        return query
        select batch.names[d.n], batch.attacks[d.n], j.held,
               case when j.held is distinct from true then saas_private.attempt_text(d.state, d.said, d.rows, null) end
          from saas_private.attempt_all(case when batch.as_copier then saas_private.copier(prove_statements.db_role)
                                             else prove_statements.db_role end, batch.statements, batch.own_rows) d
         cross join lateral (select saas_private.is_held(batch.judged[d.n], d.state, d.rows, null) as held) as j;
    end loop;
end
$$;
comment on function saas_private.prove_statements(name, boolean) is
'Attacks every table with statements as a role, or those of an owner as this owner.';

-- What policies do not bind.
create function saas_private.prove_privileges(db_role name)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
begin
    for item in
        select t.name, t.relation, p.privilege, p.attack, has_table_privilege(prove_privileges.db_role, t.relation, p.privilege) as has
          from pg_temp.proof_table t
         cross join (values ('TRUNCATE', 'truncate'), ('REFERENCES', 'foreign key made by a tenant'), ('TRIGGER', 'trigger made by a tenant'),
                            ('UPDATE, DELETE, TRUNCATE', 'lock table')) as p (privilege, attack)
         order by t.name, p.attack
    loop
        object := item.name;
        attack := item.attack;
        -- With the privilege it would succeed, and lock out others meanwhile.
        held := not item.has;
        detail := case when item.has then format('%s holds %s', prove_privileges.db_role, item.privilege) end;
        if attack = 'lock table' and item.has then
            held := null;
            detail := 'whoever may update or delete may lock the whole table: it shows nothing, but others wait';
        elsif attack in ('lock table', 'truncate') and not item.has then
            done := saas_private.attempt(prove_privileges.db_role,
                                         case attack when 'truncate' then format('truncate %s', item.name)
                                                     else format('lock table %s in access exclusive mode nowait', item.name) end, is_write => false);
            held := done.state = '42501';
            detail := case when not held then saas_private.attempt_text(done.state, done.said, done.rows, done.touched) end;
        end if;
        return next;
    end loop;
    for item in
        select c.oid::regclass::text as name
          from pg_class c
          join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
          join pg_temp.proof_table t on t.relation = d.refobjid
         where c.relkind = 'S'
    loop
        done := saas_private.attempt(prove_privileges.db_role, format('select s.last_value from %s s', item.name), is_write => false);
        object := item.name;
        attack := 'read a sequence';
        held := done.state is not null;
        detail := case when not held then 'it counts the rows of all organizations' end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_privileges(name) is
'Attacks with what policies do not bind: TRUNCATE, LOCK TABLE, foreign keys, triggers, sequences.';

-- The attacker's new row with values of the victim's, or with others.
create function saas_private.spare_with(relation oid, given jsonb) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select format('insert into %s %s', s.relation::regclass,
                  saas_private.row_values(s.relation, s.columns || added.names,
                      array(select case when spare_with.given ? c.name::text then spare_with.given ->> c.name::text else c.value end
                              from unnest(s.columns || added.names, s.texts) with ordinality as c (name, value, n) order by c.n)))
      from pg_temp.proof_spare s
     cross join lateral (select coalesce(array_agg(k.key::name), '{}') as names
                           from jsonb_object_keys(spare_with.given) as k (key) where k.key <> all (s.columns::text[])) as added
     where s.relation = spare_with.relation and s.side = 'attacker' and s.problem is null);
end
$$;
comment on function saas_private.spare_with(oid, jsonb) is
'An INSERT of a new row of the attacker with some values replaced; NULL when no such row can be made.';

create function saas_private.prove_keys(db_role name, is_owner boolean default false)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
    statement text;
begin
    for item in
        select t.name, t.relation, c.relname, i.indisprimary, r.content,
               array(select a.attname from pg_attribute a
                      where a.attrelid = i.indrelid and a.attnum > 0 and a.attname <> 'org_id'
                        and (a.attnum = any ((i.indkey::smallint[])[0:i.indnkeyatts - 1])
                             or exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                                           and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum))) as names
          from pg_temp.proof_table t
          join pg_index i on i.indrelid = t.relation
          join pg_class c on c.oid = i.indexrelid
          join pg_temp.proof_row r on r.relation = t.relation and r.side = 'victim' and r.content is not null
         where not t.is_part and saas_private.reveals_values(i.indexrelid)
           and (not prove_keys.is_owner or t.owner = prove_keys.db_role)
         order by t.name, c.relname
    loop
        statement := saas_private.spare_with(item.relation,
            (select jsonb_object_agg(n.name, item.content -> n.name::text) from unnest(item.names) as n (name)));
        object := item.name;
        attack := format('unique key %I', item.relname);
        if statement is null then
            held := null;
            detail := 'no row to try it with could be made';
            return next;
            continue;
        end if;
        done := saas_private.attempt(prove_keys.db_role, statement);
        held := case when done.state in ('23505', '23P01') and done.said ~ item.relname then case when item.indisprimary then null else false end
                     else true end;
        detail := case when held is distinct from true then saas_private.attempt_text(done.state, done.said, done.rows, done.touched) end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_keys(name, boolean) is
'Tries whether unique keys tell that another organization has a value; NULL for primary keys, which tell it of a number.';

create function saas_private.prove_references(db_role name, is_owner boolean default false)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    found_answer text;
    absent_answer text;
    done record;
    existing jsonb;
    absent jsonb;
begin
    for item in
        select t.name, t.relation, k.conname, v.content,
               saas_private.column_names(k.conrelid, k.conkey) as child_columns,
               saas_private.column_names(k.confrelid, k.confkey) as parent_columns, k.confrelid
          from pg_temp.proof_table t
          join pg_constraint k on k.conrelid = t.relation and k.contype = 'f'
          join pg_temp.proof_table p on p.relation = k.confrelid
          join pg_temp.proof_row v on v.relation = k.confrelid and v.side = 'victim' and v.content is not null
         where not t.is_part and not p.is_part
           and (not prove_references.is_owner or t.owner = prove_references.db_role)
         order by t.name, k.conname
    loop
        object := item.name;
        attack := format('foreign key %I', item.conname);
        held := true;
        detail := null;
        select jsonb_object_agg(u.child, item.content -> u.parent::text),
               jsonb_object_agg(u.child, (saas_private.type_values(a.atttypid, a.atttypmod, 'd0d0d0d0', 77777))[1])
          into existing, absent
          from unnest(item.child_columns, item.parent_columns) as u (child, parent)
          join pg_attribute a on a.attrelid = item.relation and a.attname = u.child
         where u.child <> 'org_id';
        if existing is null then
            continue;
        elsif saas_private.spare_with(item.relation, existing) is null then
            held := null;
            detail := 'no row to try it with could be made';
            return next;
            continue;
        end if;
        done := saas_private.attempt(prove_references.db_role, saas_private.spare_with(item.relation, existing));
        found_answer := saas_private.without_values(saas_private.attempt_text(done.state, done.said, done.rows, done.touched), existing);
        if done.state is null then
            held := false;
            detail := 'a row refers to the other organization''s';
        else
            done := saas_private.attempt(prove_references.db_role, saas_private.spare_with(item.relation, absent));
            absent_answer := saas_private.without_values(saas_private.attempt_text(done.state, done.said, done.rows, done.touched), absent);
            if found_answer <> absent_answer then
                held := false;
                detail := format('%s against %s', found_answer, absent_answer);
            end if;
        end if;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_references(name, boolean) is
'Refers to the victim''s rows through each foreign key, and compares with rows that nobody has.';

-- Values may also be part of other words: only whole ones of some length count.
create function saas_private.without_values(said text, given jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    item text;
begin
    said := regexp_replace(without_values.said, '\)=\([^)]*\)', ')=(?)', 'g');
    for item in select v.value from jsonb_each_text(without_values.given) as v where length(v.value) >= 8 loop
        said := replace(said, item, '?');
    end loop;
    return said;
end
$$;
comment on function saas_private.without_values(text, jsonb) is
'A message without the values that were given.';

-- The victim's rows come to refer to the attacker's, where nothing refuses it.
create function saas_private.cross_references(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
begin
    for item in
        select t.relation, t.name, a.content,
               saas_private.column_names(k.conrelid, k.conkey) as child_columns,
               saas_private.column_names(k.confrelid, k.confkey) as parent_columns
          from pg_constraint k
          join pg_temp.proof_table t on t.relation = k.conrelid
          join pg_temp.proof_row a on a.relation = k.confrelid and a.side = 'attacker' and a.content is not null
         where k.contype = 'f' and k.confrelid = cross_references.relation and k.confdeltype in ('c', 'n', 'd') and not t.is_part
    loop
        begin
            execute (select format('update %s t set %s where t.org_id = %L', item.name,
                                   string_agg(format('%I = %L', u.child, item.content ->> u.parent::text), ', '),
                                   (select s.org_id from pg_temp.proof_side s where s.side = 'victim'))
                       from unnest(item.child_columns, item.parent_columns) as u (child, parent) where u.child <> 'org_id');
        exception when others then
            -- That is how it should be.
            null;
        end;
    end loop;
    update pg_temp.proof_table t set state = saas_private.victim_state(t.relation)
     where t.relation in (select k.conrelid from pg_constraint k where k.contype = 'f' and k.confrelid = cross_references.relation
                          union all
                          select r.relation from pg_constraint k cross join lateral saas_private.relation_tree(k.conrelid) r
                           where k.contype = 'f' and k.confrelid = cross_references.relation);
end
$$;
comment on function saas_private.cross_references(oid) is
'Makes the victim''s rows refer to the attacker''s row of a table where its foreign keys allow it.';

create function saas_private.prove_cascades(db_role name, is_owner boolean default false)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
    attacker uuid := (select s.org_id from pg_temp.proof_side s where s.side = 'attacker');
begin
    for item in
        select t.name, t.relation, w.attack, w.statement, w.prelude
          from pg_temp.proof_table t
         cross join lateral (values
            ('cascade of deleting own rows', 'DELETE', format('delete from %s t where t.org_id = %L', t.name, attacker),
             format('select saas_private.cross_references(%s)', t.relation)),
            ('triggers of inserting an own row', 'INSERT', saas_private.spare_with(t.relation, '{}'), null),
            ('triggers of updating own rows', 'UPDATE', format('update %s t set org_id = t.org_id where t.org_id = %L', t.name, attacker), null)
         ) as w (attack, privilege, statement, prelude)
         where t.state <> '' and not t.is_part and (not prove_cascades.is_owner or t.owner = prove_cascades.db_role)
           and w.statement is not null
           and case when w.privilege = 'DELETE' then has_table_privilege(prove_cascades.db_role, t.relation, 'DELETE')
                    else has_any_column_privilege(prove_cascades.db_role, t.relation, w.privilege) end
         order by t.name, w.attack
    loop
        done := saas_private.attempt(prove_cascades.db_role, item.statement, prelude => item.prelude);
        object := item.name;
        attack := item.attack;
        held := done.touched is null;
        detail := case when not held then saas_private.attempt_text(done.state, done.said, done.rows, done.touched) end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_cascades(name, boolean) is
'Deletes, adds and changes the attacker''s own rows and looks whether cascades and triggers reach the victim''s.';

-- What superusers and roles that no policy binds must not do by mistake.
create function saas_private.prove_protection()
returns table (object text, attack text, as_role text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
    victim uuid := (select s.org_id from pg_temp.proof_side s where s.side = 'victim');
    attacker uuid := (select s.org_id from pg_temp.proof_side s where s.side = 'attacker');
begin
    for item in
        select t.*, c.relrowsecurity, c.relforcerowsecurity, saas_private.protection_note(t.relation) is not null as is_protected
          from pg_temp.proof_table t join pg_class c on c.oid = t.relation order by t.name
    loop
        object := item.name;
        as_role := item.owner;
        attack := 'row-level security';
        held := item.relrowsecurity and item.relforcerowsecurity;
        detail := case when not item.relrowsecurity then 'it is off' when not item.relforcerowsecurity then 'it does not bind the owner' end;
        return next;
        if item.is_protected and not item.is_part and item.state <> '' then
            done := saas_private.attempt(session_user, format('update %s t set org_id = %L where t.org_id = %L', item.name, victim, attacker));
            as_role := session_user;
            attack := 'change of org_id';
            -- A foreign key may come first, by chance; then the trigger must be there.
            held := done.state is not null
                    and (done.state !~ '^23'
                         or exists (select from pg_trigger g where g.tgrelid = item.relation and g.tgenabled in ('O', 'A')
                                       and g.tgfoid = 'saas.refuse_org_change()'::regprocedure));
            detail := case when not held then 'no trigger refuses it' end;
            return next;
        end if;
    end loop;
    for item in
        select m.name, r.rolsuper, r.rolbypassrls
          from saas_private.tenant_members() m join pg_roles r on r.oid = m.role order by m.name
    loop
        object := quote_ident(item.name);
        as_role := item.name;
        attack := 'role that no policy binds';
        held := not item.rolsuper and not item.rolbypassrls;
        detail := case when item.rolsuper then 'it is a superuser' when item.rolbypassrls then 'it has BYPASSRLS' end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_protection() is
'Verdicts that hold for a table or role whoever attacks: row-level security is on and forced, org_id cannot change, tenants'' roles do not bypass it.';

create function saas_private.is_foreign_object(catalog regclass, object oid, namespace oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname ~ '^pg_' or n.nspname = 'information_schema'
           or n.nspname not in ('saas', 'saas_api', 'saas_private')
              and saas_private.is_of_extension(is_foreign_object.catalog, is_foreign_object.object)
      from pg_namespace n where n.oid = is_foreign_object.namespace
$$;
comment on function saas_private.is_foreign_object(regclass, oid, oid) is
'Whether an object is the system''s or another extension''s.';

-- Whatever else tenants may read: views, and tables without org_id into which
-- making the rows has put something.  A materialized view holds at the next
-- refresh what its query says now.
create function saas_private.prove_relations(db_role name, has_user boolean)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
    way record;
    mark text := (select s.mark from pg_temp.proof_side s where s.side = 'victim');
begin
    for item in
        select c.oid, c.oid::regclass::text as name, c.relkind, c.relowner,
               (select a.attname from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 order by a.attnum limit 1) as first_column
          from pg_class c
         where (c.relkind in ('v', 'm')
                or c.relkind = 'r' and not exists (select from pg_temp.proof_table t where t.relation = c.oid)
                   and not exists (select from pg_temp.proof_row r where r.relation = c.oid)
                   and pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) > 0)
           and c.relpersistence <> 't' and c.relnamespace in (select p.oid from pg_temp.proof_schema p)
           and has_schema_privilege(prove_relations.db_role, c.relnamespace, 'USAGE')
           and has_any_column_privilege(prove_relations.db_role, c.oid, 'SELECT, UPDATE')
           and not saas_private.is_foreign_object('pg_class', c.oid, c.relnamespace)
         order by 2
    loop
        object := item.name;
        if item.relkind = 'm' then
            attack := 'select';
            done := saas_private.attempt(session_user, format('select from (%s) as t where t::text ~ %L limit 1',
                                                              rtrim(pg_get_viewdef(item.oid), '; '), mark), is_write => false);
            held := case when done.state is null then done.rows = 0 end;
            detail := case when not held then 'the next refresh shows it rows of the other organization'
                           when held is null then saas_private.attempt_text(done.state, done.said, done.rows, done.touched) end;
            return next;
            continue;
        end if;
        for way in
            select w.* from (values
                ('select', format('select from %s t where t::text ~ %L', item.name, mark), 'SELECT'),
                ('delete', format('delete from %s t where t::text ~ %L', item.name, mark), 'DELETE'),
                ('update', format('update %s t set %2$I = t.%2$I where t::text ~ %3$L', item.name, item.first_column, mark), 'UPDATE')
            ) as w (attack, statement, privilege)
             where case when w.privilege = 'DELETE' then has_table_privilege(prove_relations.db_role, item.oid, 'DELETE')
                        else has_any_column_privilege(prove_relations.db_role, item.oid, w.privilege) end
        loop
            done := saas_private.attempt(prove_relations.db_role, way.statement, is_write => way.attack <> 'select');
            attack := case item.relkind when 'r' then 'copy of a row, ' else '' end || way.attack;
            held := saas_private.is_held('unseen', done.state, done.rows, done.touched);
            detail := case when held is distinct from true then saas_private.attempt_text(done.state, done.said, done.rows, done.touched) end;
            return next;
        end loop;
    end loop;
end
$$;
comment on function saas_private.prove_relations(name, boolean) is
'Looks for the victim''s rows in views, materialized views and copies that a role may read.';

-- Functions

-- What of the victim's could be named in a call.
create function saas_private.prepare_findings() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    create temp table proof_finding (what text, type oid, existing text, absent text, weight integer);
    insert into pg_temp.proof_finding
    select 'organization', 'uuid'::regtype, s.org_id::text, 'd0d0d0d0' || right(gen_random_uuid()::text, -8), 3
      from pg_temp.proof_side s where s.side = 'victim'
    union all
    select 'user', 'uuid'::regtype, s.user_id::text, 'd0d0d0d0' || right(gen_random_uuid()::text, -8), 2
      from pg_temp.proof_side s where s.side = 'victim'
    union all
    select c.relname || '.' || a.attname, saas_private.base_type(a.atttypid), r.content ->> a.attname::text,
           case when saas_private.base_type(a.atttypid) = 'uuid'::regtype then 'd0d0d0d0' || right(gen_random_uuid()::text, -8)
                when t.typcategory = 'N' then ((r.content ->> a.attname::text)::numeric + 7777)::text
                else replace(r.content ->> a.attname::text, s.mark, 'd0d0d0d0') end,
           case when i.indisprimary then 1 else 0 end
      from pg_temp.proof_row r
      join pg_temp.proof_side s on s.side = r.side and s.side = 'victim'
      join pg_class c on c.oid = r.relation
      join pg_index i on i.indrelid = r.relation and i.indisunique
      join pg_attribute a on a.attrelid = r.relation and a.attname <> 'org_id'
      join pg_type t on t.oid = saas_private.base_type(a.atttypid)
     where r.content ->> a.attname::text is not null and not c.relispartition
       and (a.attnum = any (i.indkey) or a.attname in ('email', 'slug', 'name', 'metric'))
       and t.oid in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype, 'int4'::regtype, 'int8'::regtype)
       and (t.typcategory = 'N' or t.oid = 'uuid'::regtype or r.content ->> a.attname::text ~ s.mark);
end
$$;
comment on function saas_private.prepare_findings() is
'Collects the ids and names of the victim that calls of functions could name.';

-- One call for each parameter that can take something of the victim's; the
-- others keep their defaults or get a harmless value.
create function saas_private.proof_calls(function oid)
returns table (parameter text, existing text, absent text, with_existing text, with_absent text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with parameter as materialized (
        select i.i, p.proargnames[i.i] as name, saas_private.base_type(p.proargtypes[i.i - 1]) as type,
               format_type(p.proargtypes[i.i - 1], null) as type_name,
               i.i > p.pronargs - p.pronargdefaults as has_default
          from pg_proc p cross join generate_series(1, p.pronargs) as i (i)
         where p.oid = proof_calls.function
    ), finding as materialized (
        select distinct on (p.i, f.existing) p.i, f.*, p.type as taken_as,
               f.weight + case when p.name ~ 'org' and f.what = 'organization' then 9
                               when p.name ~ '_id$' and strpos(f.what, regexp_replace(p.name, '_id$', '')) > 0 then 8
                               when strpos(f.what, '.' || p.name) > 0 then 5 else 0 end as rank
          from parameter p
          join pg_temp.proof_finding f
            on f.type = p.type
            or f.type = 'uuid'::regtype and p.type in ('uuid[]'::regtype, 'text'::regtype) and f.what in ('organization', 'user')
            or f.type = 'varchar'::regtype and p.type = 'text'::regtype or f.type = 'text'::regtype and p.type = 'varchar'::regtype
         order by p.i, f.existing, f.weight desc, length(f.what)
    ), chosen as (
        select f.*, row_number() over (partition by f.i order by f.rank desc, f.what) as place from finding f
    )
    select coalesce(p.name, '$' || p.i) || ', ' || c.what, c.existing, c.absent,
           concat(others.before, format(shape.text, c.existing), others.after),
           concat(others.before, format(shape.text, c.absent), others.after)
      from parameter p
      join chosen c on c.i = p.i and c.place <= 8
     cross join lateral (select concat(case when p.name is not null then format('%I => ', p.name) end,
                                       case p.type when 'uuid[]'::regtype then 'array[%L]::uuid[]' else '%L' end, '::', p.type_name) as text) as shape
     cross join lateral (
        select string_agg(o.text || ', ', '' order by o.i) filter (where o.i < p.i) as before,
               string_agg(', ' || o.text, '' order by o.i) filter (where o.i > p.i) as after
          from (select q.i, concat(case when q.name is not null then format('%I => ', q.name) end, saas_private.harmless_value(q.type, q.type_name)) as text
                  from parameter q where q.i <> p.i and not (q.has_default and q.name is not null)) as o) as others
    union all
    select null, null, null,
           (select string_agg(concat(case when q.name is not null then format('%I => ', q.name) end, saas_private.harmless_value(q.type, q.type_name)), ', ' order by q.i)
              from parameter q where not (q.has_default and q.name is not null)), null;
end
$$;
comment on function saas_private.proof_calls(oid) is
'Arguments for calls of a function: with something of the victim''s and with the like that nobody has; without a parameter, harmless ones.';

create function saas_private.harmless_value(type oid, type_name text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select concat(case harmless_value.type when 'uuid'::regtype then quote_literal(gen_random_uuid())
                                           when 'text'::regtype then quote_literal('sample')
                                           when 'jsonb'::regtype then quote_literal('{}')
                                           when 'int4'::regtype then '1'
                                           when 'bool'::regtype then 'false'
                                           else 'null' end, '::', harmless_value.type_name));
end
$$;
comment on function saas_private.harmless_value(oid, text) is
'A value of a type for a parameter that is not attacked.';

-- What a function answers, without what differs between two calls of the same.
create function saas_private.plain_answer(state text, said text, given text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select regexp_replace(regexp_replace(regexp_replace(
               replace(concat_ws(' ', plain_answer.state, plain_answer.said), coalesce(nullif(plain_answer.given, ''), '?'), '?'),
               '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}', 'id', 'g'),
               '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+]+', 'time', 'g'),
               '[A-Za-z0-9+/=_.-]{40,}', 'token', 'g')
$$;
comment on function saas_private.plain_answer(text, text, text) is
'A function''s answer or error with the given value, new ids, times and tokens replaced.';

-- A function with its caller's rights does nothing that the caller could not do;
-- called are those with their owner's, and all of ours.
create function saas_private.proof_functions(db_role name)
returns table (function oid, name text, call text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select p.oid, p.oid::regprocedure::text,
           case p.prokind when 'p' then format('call %I.%I(%%s)', n.nspname, p.proname)
                          else format('select jsonb_agg(to_jsonb(f))::text from %I.%I(%%s) as f', n.nspname, p.proname) end
      from pg_proc p
      join pg_namespace n on n.oid = p.pronamespace
      join pg_language l on l.oid = p.prolang
     where p.prokind in ('f', 'p') and n.oid in (select s.oid from pg_temp.proof_schema s)
       and (p.prosecdef or n.nspname = 'saas_api')
       and has_schema_privilege(proof_functions.db_role, n.oid, 'USAGE')
       and has_function_privilege(proof_functions.db_role, p.oid, 'EXECUTE')
       and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'cstring'::regtype)
       and not p.proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[]
       and (l.lanname not in ('c', 'internal') or n.nspname in ('saas', 'saas_api', 'saas_private'))
       and not saas_private.is_foreign_object('pg_proc', p.oid, p.pronamespace)
     order by 2;
end
$$;
comment on function saas_private.proof_functions(name) is
'The functions and procedures that a role may call and that run with other rights than its own, with those of saas_api.';

create function saas_private.prove_functions(db_role name)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    call record;
    done record;
    absent record;
    found_answer text;
    absent_answer text;
    mark text := (select s.mark from pg_temp.proof_side s where s.side = 'victim');
begin
    for item in select * from saas_private.proof_functions(prove_functions.db_role) loop
        for call in select * from saas_private.proof_calls(item.function) loop
            object := item.name;
            attack := coalesce('call with ' || call.parameter, 'call');
            held := true;
            detail := null;
            done := saas_private.attempt(prove_functions.db_role, format(item.call, call.with_existing), true);
            found_answer := saas_private.plain_answer(done.state, done.said, call.existing);
            if replace(coalesce(done.said, ''), coalesce(call.existing, ' '), '') ~ mark then
                held := false;
                detail := 'the answer holds the other organization''s: ' || left(found_answer, 200);
            elsif done.touched is not null then
                held := false;
                detail := 'it changed rows of the other organization in ' || done.touched;
            elsif done.state = '2D000' then
                held := null;
                detail := 'a procedure that ends transactions cannot be called here';
            elsif call.parameter is not null and item.function <> 'saas_api.create_organization(text, text)'::regprocedure then
                -- A slug is unique among all organizations by nature.
                absent := saas_private.attempt(prove_functions.db_role, format(item.call, call.with_absent), true);
                absent_answer := saas_private.plain_answer(absent.state, absent.said, call.absent);
                if '55P03' in (done.state, absent.state) then
                    held := null;
                    detail := 'another session held a lock';
                elsif found_answer is distinct from absent_answer then
                    held := false;
                    detail := format('what the other organization has answers %s, what nobody has %s', left(found_answer, 200), left(absent_answer, 200));
                end if;
            end if;
            return next;
        end loop;
    end loop;
end
$$;
comment on function saas_private.prove_functions(name) is
'Calls functions with what the victim has and with the like that nobody has, and compares the answers.';

-- What a session could be talked into.
create function saas_private.prove_session(db_role name, has_user boolean)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
    victim record;
begin
    select * into victim from pg_temp.proof_side s where s.side = 'victim';
    for item in
        select * from (values
            ('identity assumed', format('select saas.assume_identity(%L, %L)', victim.user_id, victim.org_id)),
            ('identity set', format('set saas.identity = %L', 's|' || victim.user_id || '|' || victim.org_id || '|||40|8191|owner|')),
            ('identity switched', format('select saas_private.prove_as(%L, %L, ''owner'')', victim.user_id, victim.org_id)),
            ('proof begun', 'select saas_private.begin_proof()'),
            ('role saas_owner', 'set role saas_owner'), ('role saas_service', 'set role saas_service'),
            ('role saas_poller', 'set role saas_poller'), ('role saas_operator', 'set role saas_operator'),
            ('cursor that outlives the transaction', 'declare saas_proof cursor with hold for select 1'),
            ('replication role', 'set session_replication_role = replica'),
            ('library loaded', 'load ''pg_saas''')
        ) as s (attack, statement)
         where prove_session.has_user or s.attack <> 'cursor that outlives the transaction'
    loop
        done := saas_private.attempt(prove_session.db_role, item.statement, is_write => false);
        object := 'session';
        attack := item.attack;
        held := done.state is not null;
        detail := case when not held then 'it succeeded' end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_session(name, boolean) is
'Attacks on the session: other identities, service roles, cursors that stay.';

-- A session of a pool may hold what the request before has left: temporary
-- tables that are named like real ones, and a search_path that finds them first.
create function saas_private.prove_pool(db_role name)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    done record;
    decoys oid[] := '{}';
    used bigint;
    use_count constant text := 'select sum(pg_stat_get_xact_numscans(d) + pg_stat_get_xact_tuples_inserted(d)) from unnest($1) as d';
    attacker uuid := (select s.org_id from pg_temp.proof_side s where s.side = 'attacker');
begin
    begin
        for item in
            select distinct on (c.relname) c.relname, c.oid::regclass::text as name
              from pg_class c
             where c.relnamespace in (select p.oid from pg_temp.proof_schema p) and c.relkind in ('r', 'p') and not c.relispartition
               and c.relname !~ '^proof_' and not saas_private.is_foreign_object('pg_class', c.oid, c.relnamespace)
             order by c.relname, c.oid
             limit 500
        loop
            execute format('create temp table %1$I (like %2$s); grant all on pg_temp.%1$I to public', item.relname, item.name);
            decoys := decoys || to_regclass(format('pg_temp.%I', item.relname))::oid;
        end loop;
        perform set_config('saas_proof.path', 'pg_temp, ' || current_setting('saas_proof.path'), true);
        for item in
            select t.name, w.statement, w.attack
              from pg_temp.proof_table t
             cross join lateral (values
                ('inserting', saas_private.spare_with(t.relation, '{}')),
                ('deleting', format('delete from %s t where t.org_id = %L', t.name, attacker)),
                ('updating', format('update %s t set org_id = t.org_id where t.org_id = %L', t.name, attacker))) as w (attack, statement)
             where t.state <> '' and not t.is_part and w.statement is not null
               and has_any_column_privilege(prove_pool.db_role, t.relation, 'INSERT, UPDATE')
            union all
            select f.name, format(f.call, c.with_existing), 'calling'
              from saas_private.proof_functions(prove_pool.db_role) f cross join lateral saas_private.proof_calls(f.function) c
             where c.parameter is null
        loop
            execute use_count into used using decoys;
            perform saas_private.attempt(prove_pool.db_role, item.statement, is_write => false);
            object := item.name;
            attack := 'temporary tables in the way when ' || item.attack;
            execute use_count || ' having sum(pg_stat_get_xact_numscans(d) + pg_stat_get_xact_tuples_inserted(d)) > $2' into used using decoys, used;
            held := used is null;
            detail := case when not held then 'a function or trigger uses a temporary table that another request may have left' end;
            return next;
        end loop;
        raise exception sqlstate 'ZZP02';
    exception when sqlstate 'ZZP02' then
        null;
    end;
end
$$;
comment on function saas_private.prove_pool(name) is
'Writes own rows and calls functions in a session that holds temporary tables named like the real ones, first in its search_path, and looks whether they are used.';

create function saas_private.isolation_verdicts(schemas name[] default null)
returns table (object text, attack text, as_role text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    persona record;
    attacker record;
    owner name;
begin
    begin
        perform saas_private.begin_proof();
        perform saas_private.prepare_proof(isolation_verdicts.schemas);
        perform saas_private.prepare_findings();
        return query
            select t.name, 'rows', session_user::text, null::boolean, 'no row could be made: ' || coalesce(r.problem, 'it refers to itself in a circle')
              from pg_temp.proof_table t
              left join pg_temp.proof_row r on r.relation = t.relation and r.side = 'victim'
             where t.state = '' and not t.is_part
             order by t.name;
        return query select * from saas_private.prove_protection();
        select * into attacker from pg_temp.proof_side s where s.side = 'attacker';
        for persona in select * from saas_private.proof_roles() loop
            perform saas_private.prove_as(case when persona.has_user then attacker.user_id end, attacker.org_id, persona.role);
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_statements(persona.db_role) p;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_relations(persona.db_role, persona.has_user) p;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_session(persona.db_role, persona.has_user) p;
            continue when not persona.is_main;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_privileges(persona.db_role) p;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_functions(persona.db_role) p;
            continue when not persona.has_user;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_keys(persona.db_role) p;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_references(persona.db_role) p;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_cascades(persona.db_role) p;
            return query select p.object, p.attack, persona.as_role, p.held, p.detail
                           from saas_private.prove_pool(persona.db_role) p;
        end loop;
        -- Views and functions that run as an owner of tables have its rights.
        for owner in
            select distinct t.owner from pg_temp.proof_table t join pg_roles r on r.rolname = t.owner
             where not r.rolsuper and not exists (select from saas_private.proof_roles() p where p.db_role = t.owner)
        loop
            perform saas_private.prove_as(attacker.user_id, attacker.org_id, 'owner');
            return query select p.object, p.attack, owner || ', owner', p.held, p.detail
                           from saas_private.prove_statements(owner, true) p;
            return query select p.object, p.attack, owner || ', owner', p.held, p.detail
                           from saas_private.prove_keys(owner, true) p;
            return query select p.object, p.attack, owner || ', owner', p.held, p.detail
                           from saas_private.prove_references(owner, true) p;
            return query select p.object, p.attack, owner || ', owner', p.held, p.detail
                           from saas_private.prove_cascades(owner, true) p;
        end loop;
        raise exception sqlstate 'ZZP00';
    exception when sqlstate 'ZZP00' then
        null;
    end;
end
$$;
comment on function saas_private.isolation_verdicts(name[]) is
'The verdicts of saas.prove_isolation, on the tables, views and functions of some schemas or of all (NULL).';

create function saas.prove_isolation()
returns table (object text, attack text, as_role text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_superuser('saas.prove_isolation');
    perform saas_private.require_installed();
    return query select * from saas_private.isolation_verdicts();
end
$$;
comment on function saas.prove_isolation() is
'Attacks the isolation of organizations: two made-up ones get a row in every table with org_id, and the one tries to see, change, sense and reach the other''s as every role, through statements, keys, references, cascades, views and functions. All of it is rolled back. held: true when the attack got nothing, false when it got through, NULL when that could not be tried, with the reason in detail. Errors: PT403 for non-superusers, 25001 when the transaction has had an identity, 55000 before saas.install().';
