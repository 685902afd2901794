-- What another organization would try on every relation, foreign key and
-- function, made from the catalog.  Leans on tenants.sql.  An attack runs in a
-- subtransaction that is always rolled back, with the session's authorization
-- changed, so that functions that ask who logged in see no superuser.

create schema attack;
grant usage on schema attack to public;

-- One row: who attacks, and what the victim's rows are known by.
create table attack.scene (
    user_id uuid not null,
    org_id uuid not null,
    victim_org_id uuid not null,
    mark text not null
);

-- What the victim has that could be named in a call, and the like that nobody has.
create table attack.finding (
    what text not null,
    existing text not null,
    absent text not null,
    is_id boolean not null
);

create view attack.relation as
select c.oid::regclass as relation, c.relkind as kind, c.relispartition as is_partition
  from pg_class c
 where c.relnamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
   and c.relkind in ('r', 'p', 'v', 'm', 'f');

create function attack.row_texts(relation regclass) returns setof text
language plpgsql as $$
begin
    return query execute format('select t::text from %s t', relation);
end
$$;

-- Every id that stands in a table.
create function attack.ids() returns setof text
language sql as $$
    select distinct m[1]
      from attack.relation r, attack.row_texts(r.relation) as t,
           regexp_matches(t, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'g') as m
     where r.kind in ('r', 'p')
$$;

create function attack.count_rows(relation regclass, pattern text, matching boolean) returns bigint
language sql as $$
    select count(*) from attack.row_texts(relation) t where (t ~ pattern) = matching
$$;

-- A row that matches, as JSON.
create function attack.row_like(relation regclass, pattern text, matching boolean default true) returns jsonb
language plpgsql as $$
declare
    found_row jsonb;
begin
    execute format('select to_jsonb(t) from %s t where (t::text ~ $1) = $2 limit 1', relation)
       into found_row using pattern, matching;
    return found_row;
end
$$;

-- The versions of the victim's rows: differs whenever anybody touches one.
create function attack.victim_state() returns text[]
language plpgsql as $$
declare
    query text;
    state text[];
begin
    select string_agg(format('select md5(tableoid::text || ctid::text || t::text) from %s t where t::text ~ %L',
                             r.relation, s.mark), ' union all ')
      into query
      from attack.relation r, attack.scene s
     where r.kind = 'r'
       -- The worker writes it at times of its own.
       and r.relation <> 'saas_private.security_event'::regclass;
    execute format('select array_agg(v order by v) from (%s) as version (v)', query) into state;
    return state;
end
$$;

-- Runs a statement as somebody.  answer is the statement's only value when it
-- gives one and was asked for it; touched: a row of the victim changed, went or
-- came; harmed: one changed or went.
create function attack.attempt(as_role name, signed_in boolean, statement text, prelude text default null,
                               wants_answer boolean default false,
                               out state text, out said text, out answer text,
                               out rows bigint, out touched boolean, out harmed boolean)
language plpgsql as $$
declare
    before text[];
    after text[];
    detail text;
begin
    begin
        if as_role = 'saas_test_nobody' then
            create role saas_test_nobody nologin noinherit;
            grant usage on schema saas, saas_api, saas_private to saas_test_nobody;
        end if;
        if prelude is not null then
            execute prelude;
        end if;
        if signed_in then
            perform saas.assume_identity(s.user_id, s.org_id) from attack.scene s;
        end if;
        execute format('set local session authorization %I', as_role);
        if wants_answer then
            execute statement into answer;
        else
            execute statement;
        end if;
        get diagnostics rows = row_count;
        reset session authorization;
        after := attack.victim_state();
        raise exception using errcode = 'UNDO0';
    exception
        when sqlstate 'UNDO0' then
            before := attack.victim_state();
            touched := after is distinct from before;
            harmed := not before <@ after;
        when others then
            get stacked diagnostics state = returned_sqlstate, said = message_text, detail = pg_exception_detail;
            said := concat_ws(' / ', said, nullif(detail, ''));
    end;
end
$$;

-- The attacks on one relation.  must_refuse: success without any effect would
-- already tell something.  may_see: how many rows may come out.
create function attack.statements(relation regclass)
returns table (attack text, statement text, prelude text, must_refuse boolean, may_see bigint)
language plpgsql as $$
declare
    scene attack.scene := (select s from attack.scene s);
    mark text := scene.mark;
    kind "char" := (select c.relkind from pg_class c where c.oid = relation);
    victim_row jsonb := coalesce(attack.row_like(relation, mark), attack.row_like(relation, ''));
    -- Outside the key, so that no foreign key gets into the way.
    free_column name := (
        select a.attname
          from pg_attribute a
         where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
           and not exists (select from pg_constraint k where k.conrelid = relation and a.attnum = any (k.conkey)
                                                         and k.contype in ('p', 'u', 'f'))
         order by a.attnum desc limit 1);
    has_org boolean := exists (select from pg_attribute a where a.attrelid = relation and a.attname = 'org_id');
    files text := 'alter role %1$I inherit; grant pg_read_server_files, pg_write_server_files to %1$I';
    new_row text := format('select (jsonb_populate_record(null::%s, %L)).*', relation, victim_row);
begin
    return query
    select a.attack, a.statement, a.prelude, a.must_refuse, a.may_see
      from (values
        ('select', format('select from %s t where t::text ~ %L', relation, mark), null, false, 0),
        ('select with a predicate that tells', format('select from %s t where t::text ~ %L and t::text::integer > 0', relation, mark), null, false, 0),
        ('select for update', format('select from %s t where t::text ~ %L for update', relation, mark), null, false, 0),
        ('select for key share', format('select from %s t where t::text ~ %L for key share', relation, mark), null, false, 0),
        ('copy out of a query', format('copy (select from %s t where t::text ~ %L) to ''/dev/null''', relation, mark), files, false, 0),
        ('copy out', format('copy %s to ''/dev/null''', relation), files, false,
            attack.count_rows(relation, mark, false)),
        ('copy in', format('copy %s from ''/dev/null''', relation), files, true, 0),
        ('insert', format('insert into %s %s', relation, new_row), null, true, 0),
        ('insert unless it exists', format('insert into %s %s on conflict do nothing', relation, new_row), null, true, 0),
        ('update', format('update %s t set %2$I = %2$I where t::text ~ %3$L', relation, free_column, mark), null, false, 0),
        ('update of all', format('update %1$s set %2$I = (jsonb_populate_record(null::%1$s, %3$L)).%2$I', relation, free_column, victim_row), null, false, null),
        ('delete', format('delete from %s t where t::text ~ %L', relation, mark), null, false, 0),
        ('delete of all', format('delete from %s', relation), null, false, null),
        ('merge', format('merge into %s t using (values (1)) v on t::text ~ %L when matched then delete', relation, mark), null, false, 0),
        ('truncate', format('truncate %s cascade', relation), null, true, 0),
        ('lock in share mode', format('lock table %s in row share mode nowait', relation), null, true, 0),
        ('lock', format('lock table %s in access exclusive mode nowait', relation), null, true, 0),
        ('trigger', format('create trigger spy after insert on %s execute function suppress_redundant_updates_trigger()', relation), null, true, 0),
        ('policy', format('create policy spy on %s using (true)', relation), null, true, 0),
        ('rule', format('create rule spy as on insert to %s do also notify spy', relation), null, true, 0),
        ('ownership', format('alter table %s owner to saas_user', relation), null, true, 0)
      ) as a (attack, statement, prelude, must_refuse, may_see)
    union all
    select 'move of own rows into the other organization',
           format('update %s set org_id = %L', relation, scene.victim_org_id), null, false, null
     where has_org
    union all
    select 'statistics',
           format('select from pg_stats p where p.schemaname = %L and p.tablename = %L and p::text ~ %L',
                  n.nspname, c.relname, mark), format('analyze %s', relation), false, 0
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = relation and kind in ('r', 'p', 'm')
    union all
    select u.attack, u.statement, null, true, 0
      from attack.upserts(relation, mark, free_column) u;
end
$$;

-- The attacker's own row with the victim's key, for every key.
create function attack.upserts(relation regclass, mark text, free_column name)
returns table (attack text, statement text)
language sql as $$
    with unique_key as (
        select i.indexrelid, array_agg(a.attname order by k.n) as columns
          from pg_index i
         cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, n)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
         where i.indrelid = relation and i.indisunique and i.indexprs is null and i.indpred is null
         group by i.indexrelid
    ), new_row as (
        select u.indexrelid, u.columns,
               attack.row_like(relation, mark, false)
               || (select jsonb_object_agg(v.key, v.value)
                     from jsonb_each(attack.row_like(relation, mark)) v where v.key = any (u.columns)) as content
          from unique_key u
    )
    select format('upsert by %s, %s', n.indexrelid::regclass, action.name),
           format('insert into %1$s select (jsonb_populate_record(null::%1$s, %2$L)).* on conflict (%3$s) %4$s',
                  relation, n.content, (select string_agg(quote_ident(c), ', ') from unnest(n.columns) c),
                  action.clause)
      from new_row n
     cross join lateral (values
           ('nothing', 'do nothing'),
           ('update', format('do update set %1$I = excluded.%1$I', free_column))) as action (name, clause)
     where n.content is not null
$$;

-- What got through on one relation, one attack a line; '' when all held.  A
-- table without any tenant's rows may show nothing at all, but to operators.  The owner
-- of the tables cannot be kept from TRUNCATE, LOCK and DDL: catalog.sql looks
-- at what its functions hold.
create function attack.holes(relation regclass, as_role name, signed_in boolean) returns text
language plpgsql as $$
declare
    refused constant text[] := array['42501', '0A000', '55000', '42809'];
    is_owner boolean := as_role = (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = relation);
    is_platform boolean := attack.is_platform(relation) and as_role <> 'saas_operator';
    item record;
    done record;
    holes text[] := '{}';
    held boolean;
begin
    if is_owner and is_platform then
        return '';
    end if;
    for item in select * from attack.statements(relation) loop
        continue when is_owner and (item.attack ~ '^(truncate|lock|trigger|policy|rule|ownership)'
                                    or item.attack = 'copy out' and is_platform);
        done := attack.attempt(as_role, signed_in, item.statement, format(item.prelude, as_role));
        held := case when done.state is not null then done.state = any (refused)
                     when item.must_refuse or is_platform and item.attack <> 'statistics' then false
                     else not done.touched and (item.may_see is null or done.rows <= item.may_see) end;
        if not held then
            holes := holes || format('%s: %s', item.attack,
                                     coalesce(done.state || ' ' || done.said,
                                              format('%s rows%s', done.rows, case when done.touched then ', changed' end)));
        end if;
    end loop;
    return array_to_string(holes, E'\n');
end
$$;

create function attack.is_platform(relation regclass) returns boolean
language sql as $$
    select r.kind in ('r', 'p') and not r.is_partition
           and attack.count_rows(relation, s.mark, true) = 0
      from attack.relation r, attack.scene s where r.relation = is_platform.relation
$$;

-- Every foreign key: my row with a reference to a row that only the victim has,
-- against one to a row that nobody has.  '' when nobody can tell them apart.
create function attack.reference_holes(foreign_key oid, as_role name, out holes text, out reached boolean)
language plpgsql as $$
declare
    scene attack.scene := (select s from attack.scene s);
    k pg_constraint := (select c from pg_constraint c where c.oid = foreign_key);
    own_row jsonb := attack.row_like(k.conrelid, scene.mark, false);
    way text;
    found_answers text[];
    existing jsonb := attack.reference_values(k, true);
    absent jsonb := attack.reference_values(k, false);
    done record;
    values_given jsonb;
begin
    holes := '';
    reached := false;
    foreach way in array array['insert', 'update'] loop
        found_answers := '{}';
        foreach values_given in array array[existing, absent] loop
            done := attack.attempt(as_role, true, attack.reference_statement(way, k, own_row, values_given));
            reached := reached or coalesce(done.state, '') = '23503';
            found_answers := found_answers
                || format('%s %s, %s rows', coalesce(done.state, 'done'),
                          attack.without(done.said, values_given), coalesce(done.rows::text, 'no'));
        end loop;
        if found_answers[1] <> found_answers[2] then
            holes := holes || format(E'%s: %s against %s\n', way, found_answers[1], found_answers[2]);
        end if;
    end loop;
end
$$;

-- org_id stays the attacker's own unless nothing else refers.
create function attack.reference_values(k pg_constraint, existing boolean) returns jsonb
language plpgsql as $$
declare
    pair record;
    given jsonb := '{}';
    victim_row jsonb := (select attack.row_only_victim_has(k.confrelid, s.mark) from attack.scene s);
begin
    for pair in
        select a.attname as referring, b.attname as referred, a.atttypid
          from unnest(k.conkey, k.confkey) as c (referring, referred)
          join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.referring
          join pg_attribute b on b.attrelid = k.confrelid and b.attnum = c.referred
    loop
        continue when pair.referring = 'org_id' and cardinality(k.conkey) > 1;
        given := given || jsonb_build_object(pair.referring,
            case when existing then victim_row ->> pair.referred
                 when pair.atttypid = 'uuid'::regtype then gen_random_uuid()::text
                 else 'nobody_has_it' end);
    end loop;
    return given;
end
$$;

-- The victim's row whose name, where it has one, is not among the attacker's.
create function attack.row_only_victim_has(relation regclass, mark text) returns jsonb
language plpgsql as $$
declare
    found_row jsonb;
begin
    execute format($query$
        select to_jsonb(t) from %1$s t
         where t::text ~ $1
           and not exists (select from %1$s o where not o::text ~ $1 and to_jsonb(o) -> 'name' = to_jsonb(t) -> 'name')
         limit 1 $query$, relation) into found_row using mark;
    return found_row;
end
$$;

create function attack.reference_statement(way text, k pg_constraint, own_row jsonb, given jsonb) returns text
language plpgsql as $$
declare
    relation regclass := k.conrelid;
    fresh jsonb;
begin
    if way = 'update' then
        return format('update %s t set %s where not t::text ~ %L', relation,
                      (select string_agg(format('%I = %L', g.key, g.value), ', ') from jsonb_each_text(given) g),
                      (select s.mark from attack.scene s));
    end if;
    -- A fresh key, so that the reference is what gets refused.
    select coalesce(jsonb_object_agg(a.attname,
               case a.atttypid when 'uuid'::regtype then gen_random_uuid()::text
                               when 'bytea'::regtype then sha256(gen_random_uuid()::text::bytea)::text
                               else 'fresh' end), '{}')
      into fresh
      from pg_attribute a
     where a.attrelid = relation and a.attname <> 'org_id' and not a.attname = any (array(select jsonb_object_keys(given)))
       and a.atttypid in ('uuid'::regtype, 'bytea'::regtype, 'text'::regtype)
       and exists (select from pg_index i where i.indrelid = relation and i.indisunique and a.attnum = any (i.indkey));
    return format('insert into %1$s select (jsonb_populate_record(null::%1$s, %2$L)).*', relation,
                  own_row || fresh || given);
end
$$;

create function attack.without(said text, given jsonb) returns text
language plpgsql as $$
declare
    item text;
begin
    for item in select value from jsonb_each_text(given) loop
        said := replace(said, item, '?');
    end loop;
    return said;
end
$$;

-- The many calls of this test would run into throttles, sooner on the one side
-- than on the other: attempts on what is given, on the harmless value of
-- attack.calls() and of the attacker are forgotten.
create function attack.forget_attempts(given text) returns void
language sql as $$
    select saas_private.forget_attempts(kind.name, subject.name)
      from unnest(array['sign_in', 'mail', 'verify_email_code', 'own_password', 'second_factor',
                      'invitation', 'invite']) as kind (name),
           attack.scene s,
           unnest(array[saas_private.email_subject(given), saas_private.email_subject('sample_metric'),
                        s.user_id::text, s.org_id::text]) as subject (name)
$$;

-- What a function answers, with everything replaced that differs between two
-- calls of the same.
create function attack.call_answer(function regprocedure, arguments text, as_role name, signed_in boolean, given text)
returns text
language plpgsql as $$
declare
    done record;
begin
    perform attack.forget_attempts(given);
    done := attack.attempt(as_role, signed_in,
        format('select jsonb_agg(to_jsonb(f))::text from %s(%s) as f',
               (select format('%I.%I', n.nspname, p.proname)
                  from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid = function), arguments),
        wants_answer => true);
    return regexp_replace(regexp_replace(regexp_replace(
               replace(concat_ws(' ', done.state, done.said, done.answer, case when done.harmed then 'harmed' end),
                       given, '?'),
               '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}', 'id', 'g'),
               '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+]+', 'time', 'g'),
               '[A-Za-z0-9+/=_.-]{40,}', 'token', 'g');
end
$$;

-- Calls a function with everything that the victim has and with the like that
-- nobody has, in each of its parameters.  '' when the answers are the same.
create function attack.function_holes(function regprocedure, as_role name, signed_in boolean) returns text
language plpgsql as $$
declare
    scene attack.scene := (select s from attack.scene s);
    call record;
    existing text;
    absent text;
    holes text := '';
begin
    for call in select * from attack.calls(function) loop
        existing := attack.call_answer(function, call.with_existing, as_role, signed_in, call.existing);
        absent := attack.call_answer(function, call.with_absent, as_role, signed_in, call.absent);
        if existing ~ scene.mark or existing <> absent or existing ~ '^PT429 ' then
            holes := holes || format(E'%s: %s against %s\n', call.parameter, left(existing, 200), left(absent, 200));
        end if;
    end loop;
    return holes;
end
$$;

-- One call for each parameter that can take something of the victim's; the
-- others keep their defaults or get a harmless value.
create function attack.calls(function regprocedure)
returns table (parameter text, existing text, absent text, with_existing text, with_absent text)
language sql as $$
    with parameter as (
        select p.proargnames[i] as name, p.proargtypes[i - 1]::regtype as type,
               i > p.pronargs - p.pronargdefaults as has_default
          from pg_proc p, generate_series(1, p.pronargs) as i
         where p.oid = function
    )
    select p.name || ' ' || f.what, f.existing, f.absent,
           others.list || format('%I => %s', p.name, format(shape.of, f.existing)),
           others.list || format('%I => %s', p.name, format(shape.of, f.absent))
      from parameter p
      join attack.finding f on p.type = 'text'::regtype and (not f.is_id or f.what = 'saas.organization.id')
                            or p.type in ('uuid'::regtype, 'uuid[]'::regtype) and f.is_id
     cross join lateral (select case p.type when 'uuid[]'::regtype then 'array[%L]::uuid[]' else '%L' end) as shape (of)
     cross join lateral (
        select coalesce(string_agg(format('%I => %s, ', o.name,
                   case o.type when 'uuid'::regtype then 'saas.uuidv7()'
                               when 'text'::regtype then quote_literal('sample_metric')
                               when 'jsonb'::regtype then quote_literal('{}')
                               else format('null::%s', o.type) end), ''), '')
          from parameter o where o.name <> p.name and not o.has_default) as others (list)
$$;

create function attack.findings() returns setof attack.finding
language plpgsql as $$
declare
    scene attack.scene := (select s from attack.scene s);
    item record;
begin
    for item in
        select r.relation, a.attname
          from attack.relation r
          join pg_attribute a on a.attrelid = r.relation and a.attnum > 0 and not a.attisdropped
         where r.kind in ('r', 'p') and not r.is_partition
           and (a.atttypid = 'uuid'::regtype and a.attname = any (array['id', 'layout_id'])
                or a.attname in ('slug', 'email', 'name', 'metric'))
    loop
        return query execute format($query$
            select %1$L || '.' || %2$L, (t.%2$I)::text,
                   case when pg_typeof(t.%2$I) = 'uuid'::regtype then gen_random_uuid()::text
                        else regexp_replace((t.%2$I)::text, '[Vv]ictim', 'nobody') end,
                   pg_typeof(t.%2$I) = 'uuid'::regtype
              from %1$s t
             where (t.%2$I)::text ~ %3$L limit 1 $query$, item.relation, item.attname, scene.mark);
    end loop;
end
$$;
