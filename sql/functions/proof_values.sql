-- Values for rows of a proof of isolation: such as types and constraints take.
-- Every value that belongs to the victim holds the victim's mark, eight random
-- hexadecimal digits, where its type lets it.  Leans on proof_actors.
--
-- Mostly in PL/pgSQL, which keeps plans: these are called for every table or value.

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
       from pg_partitioned_table whole
      cross join lateral saas_private.relation_tree(whole.partrelid) t
       join pg_partitioned_table p on p.partrelid = t.relation
       join pg_inherits i on i.inhparent = p.partrelid
       join pg_class c on c.oid = i.inhrelid
       join pg_attribute h on h.attrelid = p.partrelid and h.attnum = any (p.partattrs::smallint[])
       join pg_attribute a on a.attrelid = column_constraints.relation and a.attname = h.attname
      where whole.partrelid = column_constraints.relation and a.attnum = column_constraints.number
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
