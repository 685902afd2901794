-- Attacks of a proof of isolation on tables: by statements, privileges, keys,
-- references, cascades and what reads the tables.  What the proof knows stands
-- in temporary tables of its subtransaction.  Leans on proof_rows.

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
    -- Rights and policies alone must hold.
    perform set_config('saas.restrict_sessions', 'off', true);
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
