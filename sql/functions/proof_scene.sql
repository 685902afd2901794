-- The scene of a proof of isolation: two organizations with their rows, the roles
-- that attack, and how an attack is run and judged.  What the proof knows stands
-- in temporary tables of its subtransaction.  Leans on proof_rows.

create function saas_private.prepare_proof(schemas name[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    made record;
    side_row record;
begin
    perform set_config('track_counts', 'on', true);
    perform set_config('row_security', 'on', true);
    -- Rights and policies alone must hold.
    perform set_config('saas.restrict_sessions', 'off', true);
    -- Whoever waits for the proof is to outlive it: it gives up long before
    -- anybody else looks for a deadlock, and finds its own at once.
    perform set_config('lock_timeout', '500ms', true);
    perform set_config('deadlock_timeout', '10ms', true);
    perform set_config('saas_proof.path', s.reset_val, true) from pg_settings s where s.name = 'search_path';
    perform set_config('lc_messages', 'C', true);
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
                                   owner name, own_rows bigint, state text, is_made boolean);
    create temp table proof_attack (relation oid, n integer, attack text, statement text, judged text);
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
    execute format('create role %I bypassrls in role saas_user', saas_private.proof_role('maker'));
    execute format('create role %I bypassrls in role pg_read_all_data', saas_private.proof_role('reader'));
    -- Triggers that wait for the commit are refused to whoever is confined.
    set constraints all immediate;
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
    for item in select t.relation from proof_table t where t.kind = 'p' and not exists (select from pg_inherits i where i.inhparent = t.relation) loop
        perform saas_private.add_partition(item.relation);
    end loop;

    for side_row in select * from proof_side s where s.side <> 'shared' order by s.side loop
        perform saas_private.parent_row('saas.organization'::regclass, side_row.side, 0);
        perform saas_private.parent_row('saas.app_user'::regclass, side_row.side, 0);
        perform saas_private.prove_as(side_row.user_id, side_row.org_id, 'owner');
        for item in
            -- Twice: where tables refer to each other, the first was made without the second.
            select t.relation from proof_table t cross join generate_series(1, 2) as pass where not t.is_part order by pass, t.name
        loop
            -- Or none of their partitions takes what can be made for them.
            perform saas_private.add_partition(p.relation)
               from proof_row r
              cross join lateral saas_private.relation_tree(r.relation) p
              where r.relation = item.relation and r.side = side_row.side and r.problem ~ '^23514 no partition of relation' and p.kind = 'p';
            delete from proof_row r where r.relation = item.relation and r.side = side_row.side and r.content is null;
            perform saas_private.parent_row(item.relation, side_row.side, 0);
        end loop;
    end loop;
    perform saas_private.add_custom_roles();
    -- Parts that tenants reach directly, where the whole table's row is in another.
    for side_row in select * from proof_side s where s.side <> 'shared' order by s.side loop
        perform saas_private.prove_as(side_row.user_id, side_row.org_id, 'owner');
        for item in select t.* from proof_table t
                     where t.is_part and t.kind = 'r' and t.is_made is not true
                       and concat(saas_private.tenants_holding(t.relation, 'SELECT'), saas_private.tenants_holding(t.relation, 'INSERT'),
                                  saas_private.tenants_holding(t.relation, 'UPDATE')) <> '' loop
            perform saas_private.parent_row(item.relation, side_row.side, 0);
        end loop;
    end loop;
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
        begin
            update proof_table t
               set state = saas_private.victim_state(item.relation), own_rows = saas_private.attacker_rows(item.relation)
             where t.relation = item.relation;
        exception when lock_not_available or deadlock_detected then
            perform saas_private.be_impatient();
            update proof_table t set state = '' where t.relation = item.relation;
        end;
        perform saas_private.prepare_attacks(item.relation) from proof_table t where t.relation = item.relation and t.is_made is not true;
    end loop;
    analyze proof_table, proof_attack, proof_row, proof_spare;
end
$$;
comment on function saas_private.prepare_proof(name[]) is
'Makes the temporary tables of a proof, two organizations and their rows, and the attacks on each table of the schemas, of all for NULL.';

-- A table whose partitions do not take what is made for it gets one that does,
-- protected as it should be.  The guard of a schema has nothing to say to it.
create function saas_private.add_partition(relation oid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    part text;
    mode text := current_setting('session_replication_role');
begin
    select n.nspname, p.partstrat, p.partdefid, pg_get_userbyid(c.relowner) as owner,
           exists (select from pg_inherits i where i.inhparent = c.oid) as has_parts
      into item
      from pg_partitioned_table p join pg_class c on c.oid = p.partrelid join pg_namespace n on n.oid = c.relnamespace
     where c.oid = add_partition.relation;
    if item.partdefid <> 0 or item.partstrat = 'h' and item.has_parts then
        return;
    end if;
    part := format('%I.%I', item.nspname, 'saas_proof_' || add_partition.relation);
    perform set_config('session_replication_role', 'replica', true);
    execute format('create table %s partition of %s %s', part, add_partition.relation::regclass,
                   case item.partstrat when 'h' then 'for values with (modulus 1, remainder 0)' else 'default' end);
    perform set_config('session_replication_role', mode, true);
    execute format('alter table %s owner to %I', part, item.owner);
    execute format('alter table %1$s enable row level security, force row level security', part);
    insert into pg_temp.proof_table (relation, name, kind, is_part, is_ours, owner, is_made)
    values (part::regclass, part, 'r', true, false, item.owner, true);
exception when lock_not_available then
    -- The row that cannot be made says why.
    null;
end
$$;
comment on function saas_private.add_partition(oid) is
'Adds a partition for whatever no other takes to a partitioned table, until the proof is rolled back.';

create function saas_private.add_custom_roles() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
begin
    for statement in
        select format('insert into saas.role (org_id, name, is_builtin, permissions, rank) values (%L, %L, false, %L, %L) on conflict do nothing',
                      s.org_id, p.role, p.permissions, p.rank)
          from saas_private.proof_roles() p cross join pg_temp.proof_side s
         where p.permissions is not null and s.side <> 'shared'
    loop
        perform saas_private.as_owner('saas.role'::regclass, statement);
    end loop;
end
$$;
comment on function saas_private.add_custom_roles() is
'Gives the organizations of a proof the custom roles that it attacks as.';

-- Who attacks: a database role with an identity.
create function saas_private.proof_roles()
returns table (as_role text, db_role name, has_user boolean, role text, is_main boolean, permissions text[], rank integer)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select format('%s, %s', r.db_role, r.title), r.db_role, r.has_user, r.role, r.is_main, null::text[], null::integer
      from (values ('saas_user'::name, 'owner', true, 'owner', true),
                   ('saas_user', 'admin', true, 'admin', false),
                   ('saas_user', 'member', true, 'member', false),
                   ('saas_user', 'viewer', true, 'viewer', false),
                   ('saas_user', 'api key', true, '', false),
                   ('saas_user', 'no organization', true, null, false),
                   ('saas_user', 'no identity', false, null, true),
                   ('saas_anon', 'no identity', false, null, true)) as r (db_role, title, has_user, role, is_main)
    union all
    (select format('saas_user, custom role %s', c.title), 'saas_user', true, c.name, false, c.permissions, c.rank
       from saas_private.proof_custom_roles() c order by c.uses desc, c.title limit 20)
    union all
    -- Members with rights of their own.
    select format('%s, owner', t.name), t.name, true, 'owner', true, null, null
      from saas_private.tenant_roles() t
      join pg_roles r on r.oid = t.role
     where t.name not in ('saas_user', 'saas_anon', saas_private.proof_role('maker'))
       and not r.rolsuper
       and (r.rolbypassrls
            or exists (select from pg_shdepend d join pg_database b on b.oid = d.dbid
                        where b.datname = current_database() and d.refclassid = 'pg_authid'::regclass and d.refobjid = t.role
                          and d.deptype in ('a', 'o', 'r')));
end
$$;
comment on function saas_private.proof_roles() is
'The roles of a proof: every kind of identity of saas_user, the twenty most frequent custom roles among them, saas_anon, and members of these that have rights of their own.';

create function saas_private.proof_custom_roles()
returns table (title text, name text, permissions text[], rank integer, uses bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select concat(c.name, case when row_number() over same > 1 then format(' (%s)', row_number() over same) end),
           c.name, c.permissions, c.rank, c.uses
      from (select r.name, r.rank, p.permissions, count(*) as uses
              from saas.role r
             cross join lateral (select coalesce(array_agg(distinct u.name order by u.name), '{}') as permissions from unnest(r.permissions) as u (name)) as p
             where not r.is_builtin and r.org_id not in (select s.org_id from pg_temp.proof_side s)
             group by r.name, r.rank, p.permissions) as c
    window same as (partition by c.name order by c.uses desc, c.rank, c.permissions);
end
$$;
comment on function saas_private.proof_custom_roles() is
'The custom roles of all organizations, those of one name, rank and permissions once.';

create function saas_private.victim_state(relation oid) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return saas_private.as_owner(victim_state.relation, format(
        'select coalesce(string_agg(t.tableoid::text || t.ctid::text, '' '' order by t.tableoid, t.ctid), '''') from %s t where t.org_id = %L',
        victim_state.relation::regclass, (select s.org_id from pg_temp.proof_side s where s.side = 'victim')));
end
$$;
comment on function saas_private.victim_state(oid) is
'The versions of the victim''s rows in a table: differs whenever anybody touches one.';

-- Those of no organization, such as the platform's defaults, may be seen too.
create function saas_private.attacker_rows(relation oid) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return saas_private.as_owner(attacker_rows.relation, format(
        'select (select count(*) from %1$s t where t.org_id = %2$L) + (select count(*) from %1$s t where t.org_id is null)',
        attacker_rows.relation::regclass, (select s.org_id from pg_temp.proof_side s where s.side = 'attacker')));
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

-- Runs a statement as a role, with the search_path of a new session, and rolls
-- it back.  said is the statement's only value, or its error.
create function saas_private.attempt(as_role name, statement text, wants_answer boolean default false,
                                     prelude text default null, is_write boolean default true, past_force boolean default false,
                                     out state text, out said text, out rows bigint, out touched text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    counters jsonb;
    detail text;
    has_ended boolean := false;
begin
    begin
        if attempt.prelude is not null then
            execute attempt.prelude;
        end if;
        if attempt.is_write then
            counters := saas_private.write_counters();
        end if;
        select r.said, r.rows into said, rows
          from saas_private.run_confined(attempt.as_role, attempt.statement, attempt.wants_answer, attempt.past_force) r;
        if attempt.is_write then
            touched := saas_private.tables_touched(counters);
        end if;
        has_ended := true;
        raise exception sqlstate 'ZZP00';
    exception when others then
        -- Whatever ran may raise the same.
        if not has_ended then
            get stacked diagnostics state = returned_sqlstate, said = message_text, detail = pg_exception_detail;
            said := concat_ws(' / ', said, nullif(detail, ''));
        end if;
    end;
end
$$;
comment on function saas_private.attempt(name, text, boolean, text, boolean, boolean) is
'Runs a statement as a role in a subtransaction that is rolled back: SQLSTATE and message, or answer and rows, and the tables where the victim''s rows were touched.';

-- The same for many statements that are judged by their rows alone.
create function saas_private.attempt_all(as_role name, statements text[], own_rows bigint[])
returns table (n integer, state text, said text, rows bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    detail text;
    has_ended boolean;
    statement text;
begin
    for i in 1 .. coalesce(cardinality(attempt_all.statements), 0) loop
        n := i;
        state := null;
        said := null;
        rows := null;
        has_ended := false;
        statement := attempt_all.statements[i];
        begin
            perform set_config('saas_proof.seen', '0', true),
                    set_config('saas_proof.allowed', attempt_all.own_rows[i]::text, true);
            rows := case when statement ~ '^copy ' then (saas_private.copy_confined(attempt_all.as_role, statement)).rows
                         else (saas_private.run_confined(attempt_all.as_role, statement)).rows end;
            has_ended := true;
            raise exception sqlstate 'ZZP00';
        exception when others then
            if not has_ended then
                get stacked diagnostics state = returned_sqlstate, said = message_text, detail = pg_exception_detail;
                said := concat_ws(' / ', said, nullif(detail, ''));
                if state = '55P03' then
                    perform saas_private.be_impatient();
                end if;
            end if;
        end;
        return next;
    end loop;
end
$$;
comment on function saas_private.attempt_all(name, text[], bigint[]) is
'Runs statements as a role, each in a subtransaction that is rolled back: SQLSTATE and message, or rows.';

-- Whether an attempt was held off; NULL when that cannot be said.
create function saas_private.is_held(judged text, state text, rows bigint, touched text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when is_held.state is null then
            is_held.touched is null and is_held.judged <> 'refused' and (is_held.judged = 'counted' or is_held.rows = 0)
        when is_held.state = 'ZZP01' then false
        when is_held.judged = 'untouched' then true
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
