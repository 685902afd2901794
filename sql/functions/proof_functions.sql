-- Attacks of a proof of isolation on functions and on what a session of a pool
-- holds.  Leans on proof_scene and proof_keys.

-- Functions

-- What of the victim's could be named in a call.
create function saas_private.prepare_findings() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    create temp table proof_finding (what text, type oid, existing text, absent text, weight integer);
    -- What nobody has is the victim's with other letters, the digits stay: a mark
    -- such as babcdef1 may be read as a time zone with an offset, and its like
    -- must be read alike.  No side's mark begins with the letter that comes out.
    insert into pg_temp.proof_finding
    select v.what, 'uuid'::regtype, v.id::text, translate(v.id::text, 'abcdef', 'defabc'), v.weight
      from pg_temp.proof_side s
     cross join lateral (values ('organization', s.org_id, 3), ('user', s.user_id, 2)) as v (what, id, weight)
     where s.side = 'victim'
    union all
    select c.relname || '.' || a.attname, saas_private.base_type(a.atttypid), r.content ->> a.attname::text,
           case when saas_private.base_type(a.atttypid) = 'uuid'::regtype then 'd0d0d0d0' || right(gen_random_uuid()::text, -8)
                when t.typcategory = 'N' then ((r.content ->> a.attname::text)::numeric + 7777)::text
                else replace(r.content ->> a.attname::text, s.mark, translate(s.mark, 'abcdef', 'defabc')) end,
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
     cross join lateral (select concat(case when p.name is not null then replace(format('%I => ', p.name), '%', '%%') end,
                                       case p.type when 'uuid[]'::regtype then 'array[%L]::uuid[]' else '%L' end, '::', replace(p.type_name, '%', '%%')) as text) as shape
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
           -- A template, which a name may not be.
           format(case p.prokind when 'p' then 'call %s(%%s)' else 'select jsonb_agg(to_jsonb(f))::text from %s(%%s) as f' end,
                  replace(format('%I.%I', n.nspname, p.proname), '%', '%%'))
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
        object := 'session';
        attack := item.attack;
        held := false;
        detail := null;
        begin
            perform saas_private.run_as_session(prove_session.db_role, item.statement);
            raise exception sqlstate 'ZZP00';
        exception
            when sqlstate 'ZZP00' then
                detail := 'it succeeded';
            when others then
                held := true;
        end;
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
            begin
                execute format('create temp table %1$I (like %2$s); grant all on pg_temp.%1$I to public', item.relname, item.name);
                decoys := decoys || to_regclass(format('pg_temp.%I', item.relname))::oid;
            exception when lock_not_available or deadlock_detected then
                -- Its statements are not tried either.
                null;
            end;
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
