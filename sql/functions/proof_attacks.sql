-- Attacks of a proof of isolation on tables by statements, kept plans and
-- privileges, and on what reads the tables.  Leans on proof_scene and proof_keys.

-- How an attack is judged: 'unseen': it must reach no row; 'refused': it must
-- fail; 'counted': it must see no more than the attacker's rows; 'untouched': it
-- may be told why not, but must reach no row.
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
    -- Where the victim's first row lies.
    place text[] := (select regexp_match(t.state, '^(\d+)(\(\d+,\d+\))') from pg_temp.proof_table t where t.relation = prepare_attacks.relation);
begin
    select * into spare from pg_temp.proof_spare p where p.relation = prepare_attacks.relation and p.side = 'victim';
    if spare.problem is null and spare.columns is not null then
        new_row := saas_private.row_values(prepare_attacks.relation, spare.columns, spare.texts);
    end if;
    free_column := coalesce(free_column, 'org_id');
    insert into pg_temp.proof_attack
    select prepare_attacks.relation, row_number() over (), a.attack, a.statement, a.judged
      from (values
        ('select', format('select from %s t where t.org_id = %L', name, victim), 'unseen'),
        ('select without a condition', format('select from %s t where pg_temp.proof_sees_row()', name), 'counted'),
        ('select with an expression that fails', format('select from %s t where 1 / (t.org_id <> %L)::integer = 1', name, victim), 'counted'),
        ('select with row_security off', format('set local row_security = off; select from %s t where t.org_id = %L', name, victim), 'unseen'),
        ('select from only', format('select from only %s t where pg_temp.proof_sees_row()', name), 'counted'),
        ('select of a sample', format('select from %s t tablesample system (100) where pg_temp.proof_sees_row()', name), 'counted'),
        ('select by place', format('select from %s t where t.ctid = %L and t.tableoid = %L', name, place[2], place[1]), 'unseen'),
        ('select for update', format('select from %s t where t.org_id = %L for update', name, victim), 'unseen'),
        ('select for no key update', format('select from %s t where t.org_id = %L for no key update', name, victim), 'unseen'),
        ('select for share', format('select from %s t where t.org_id = %L for share', name, victim), 'unseen'),
        ('select for key share', format('select from %s t where t.org_id = %L for key share', name, victim), 'unseen'),
        ('cursor', format('declare saas_proof cursor for select * from %s t where t.org_id = %L; fetch all from saas_proof', name, victim), 'unseen'),
        ('copy out of a query', format('copy (select from %s t where t.org_id = %L) to stdout', name, victim), 'unseen'),
        ('copy in', format('copy %s from stdin', name), 'refused'),
        ('insert', format('insert into %s %s', name, new_row), 'refused'),
        ('insert returning', format('insert into %s %s returning *', name, new_row), 'refused'),
        ('insert unless it exists', format('insert into %s %s on conflict do nothing', name, new_row), 'refused'),
        ('update', format('update %s t set %2$I = t.%2$I where t.org_id = %3$L', name, free_column, victim), 'unseen'),
        ('update without a condition', format('update %s t set %2$I = null where pg_temp.proof_sees_row()', name, free_column), 'counted'),
        ('update returning', format('update %s t set %2$I = t.%2$I where t.org_id = %3$L returning *', name, free_column, victim), 'unseen'),
        ('update returning its place', format('update %s t set %2$I = t.%2$I where t.org_id = %3$L returning t.tableoid, t.ctid', name, free_column, victim), 'unseen'),
        ('update from', format('update %s t set %2$I = t.%2$I from (values (%3$L::uuid)) as v (org) where t.org_id = v.org', name, free_column, victim), 'unseen'),
        ('update of only', format('update only %s t set %2$I = t.%2$I where t.org_id = %3$L', name, free_column, victim), 'unseen'),
        ('change of org_id', format('update %s t set org_id = %L where t.org_id = %L', name, victim, attacker), 'unseen'),
        -- Who reads no column is bound by the policies of UPDATE alone.
        ('change of org_id without a condition', format('update %s set org_id = %L where pg_temp.proof_takes_row()', name, victim), 'unseen'),
        ('delete', format('delete from %s t where t.org_id = %L', name, victim), 'unseen'),
        ('delete without a condition', format('delete from %s t where pg_temp.proof_sees_row()', name), 'counted'),
        ('delete returning', format('delete from %s t where t.org_id = %L returning *', name, victim), 'unseen'),
        ('delete using', format('delete from %s t using (values (%L::uuid)) as v (org) where t.org_id = v.org', name, victim), 'unseen'),
        ('delete in a with', format('with gone as (delete from %s t where t.org_id = %L returning 1) select from gone', name, victim), 'unseen'),
        ('update in a with', format('with changed as (update %s t set %2$I = t.%2$I where t.org_id = %3$L returning 1) select from changed', name, free_column, victim), 'unseen'),
        ('insert in a with', format('with made as (insert into %s %s returning 1) select from made', name, new_row), 'refused'),
        ('merge that inserts', case when current_setting('server_version_num')::integer >= 150000 then
                       format('merge into %s t using (values (1)) v on false when not matched then insert %s', name, new_row) end, 'refused'),
        ('merge', case when current_setting('server_version_num')::integer >= 150000 then
                       format('merge into %s t using (values (1)) v on t.org_id = %L when matched then delete', name, victim) end, 'unseen')
      ) as a (attack, statement, judged)
     where a.statement is not null
    union all
    select prepare_attacks.relation, 100 + row_number() over (), format('upsert by %s', u.columns),
           format('insert into %s %s on conflict (%s) do update set %4$I = excluded.%4$I', name,
                  saas_private.row_values(prepare_attacks.relation, spare.columns,
                      array(select case when c.name = any (u.names) and r.content ->> c.name::text is not null
                                        then r.content ->> c.name::text else c.value end
                              from unnest(spare.columns, spare.texts) with ordinality as c (name, value, n) order by c.n)),
                  u.columns, free_column), 'refused'
      from (select distinct on (x.columns) x.columns, x.names
              from (select i.indexrelid, saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1]) as names,
                           saas_private.column_list(saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1])) as columns
                      from pg_index i
                     where i.indrelid = prepare_attacks.relation and i.indisunique and i.indimmediate
                       and i.indpred is null and i.indexprs is null) as x) as u
      join pg_temp.proof_row r on r.relation = prepare_attacks.relation and r.side = 'victim'
     where new_row is not null and u.names <@ spare.columns
    union all
    -- A row of one's own under a key that the victim's holds.
    select prepare_attacks.relation, 200 + row_number() over (), format('upsert onto the other''s by %s', u.columns),
           format('%s on conflict (%s) do update set %3$I = excluded.%3$I', u.statement, u.columns, free_column), 'untouched'
      from (select distinct on (x.columns) x.columns,
                   saas_private.spare_with(prepare_attacks.relation,
                       (select jsonb_object_agg(n.name, r.content -> n.name::text) from unnest(x.names) as n (name))) as statement
              from (select saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1]) as names,
                           saas_private.column_list(saas_private.column_names(i.indrelid, (i.indkey::smallint[])[0:i.indnkeyatts - 1])) as columns
                      from pg_index i
                     where i.indrelid = prepare_attacks.relation and i.indisunique and i.indimmediate
                       and i.indpred is null and i.indexprs is null) as x
              join pg_temp.proof_row r on r.relation = prepare_attacks.relation and r.side = 'victim'
             where 'org_id' <> all (x.names)
               and not exists (select from unnest(x.names) as n (name) where r.content ->> n.name::text is null)) as u
     where u.statement is not null;
end
$$;
comment on function saas_private.prepare_attacks(oid) is
'Writes down the statements that attack a table.';

create function saas_private.prove_statements(db_role name, is_owner boolean default false)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    batch record;
begin
    for batch in
        select array_agg(t.name order by t.name, a.n) as names, array_agg(a.attack order by t.name, a.n) as attacks,
               array_agg(a.statement order by t.name, a.n) as statements, array_agg(a.judged order by t.name, a.n) as judged,
               array_agg(t.own_rows order by t.name, a.n) as own_rows
          from pg_temp.proof_table t
          join pg_temp.proof_attack a on a.relation = t.relation
         where t.state <> ''
           and (not prove_statements.is_owner or t.owner = prove_statements.db_role)
           and (not t.is_part or a.n <= 2 or has_any_column_privilege(prove_statements.db_role, t.relation, 'SELECT, INSERT, UPDATE')
                or has_table_privilege(prove_statements.db_role, t.relation, 'DELETE'))
    loop
        return query
        select batch.names[d.n], batch.attacks[d.n], j.held,
               case when j.held is distinct from true then saas_private.attempt_text(d.state, d.said, d.rows, null) end
          from saas_private.attempt_all(prove_statements.db_role, batch.statements, batch.own_rows) d
         cross join lateral (select saas_private.is_held(batch.judged[d.n], d.state, d.rows, null) as held) as j;
    end loop;
end
$$;
comment on function saas_private.prove_statements(name, boolean) is
'Attacks every table with statements as a role, or those of an owner as this owner.';

-- A session of a pool keeps plans: what was decided for one organization when
-- its plan was made must not hold for the next.
create function saas_private.prove_plans(db_role name)
returns table (object text, attack text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    item record;
    victim record;
    attacker record;
    state text;
    said text;
begin
    select * into victim from pg_temp.proof_side s where s.side = 'victim';
    select * into attacker from pg_temp.proof_side s where s.side = 'attacker';
    for item in select t.* from pg_temp.proof_table t where t.state <> '' and not t.is_part order by t.name loop
        object := item.name;
        attack := 'plan of the other''s';
        state := null;
        if exists (select from pg_prepared_statements p where p.name = 'saas_proof') then
            execute 'deallocate saas_proof';
        end if;
        begin
            execute format('prepare saas_proof as select from %s t where pg_temp.proof_sees_row()', item.name);
            perform set_config('saas_proof.seen', '0', true), set_config('saas_proof.allowed', '9000000000000000000', true);
            perform saas_private.prove_as(victim.user_id, victim.org_id, 'owner');
            perform saas_private.run_confined(prove_plans.db_role, 'execute saas_proof');
            perform saas_private.prove_as(attacker.user_id, attacker.org_id, 'owner');
            perform set_config('saas_proof.seen', '0', true), set_config('saas_proof.allowed', item.own_rows::text, true);
            perform saas_private.run_confined(prove_plans.db_role, 'execute saas_proof');
            raise exception sqlstate 'ZZP00';
        exception
            when sqlstate 'ZZP00' then
                null;
            when others then
                get stacked diagnostics state = returned_sqlstate, said = message_text;
        end;
        execute 'deallocate saas_proof';
        perform saas_private.prove_as(attacker.user_id, attacker.org_id, 'owner');
        held := saas_private.is_held('counted', state, 0, null);
        detail := case when held is distinct from true then saas_private.attempt_text(state, said, 0, null) end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_plans(name) is
'Reads each table by a plan that was made and used while the session acted for the other organization.';

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
         where t.is_made is not true
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
        select c.oid::regclass::text as name, has_sequence_privilege(prove_privileges.db_role, c.oid, 'USAGE, UPDATE') as has_numbers
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
        -- By the privilege: a sequence that moved would stay so.
        attack := 'numbers of a sequence';
        held := not item.has_numbers;
        detail := case when not held then 'nextval counts the rows of all organizations, currval tells what the request before has taken' end;
        return next;
    end loop;
end
$$;
comment on function saas_private.prove_privileges(name) is
'Attacks with what policies do not bind: TRUNCATE, LOCK TABLE, foreign keys, triggers, sequences.';

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
          from pg_temp.proof_table t join pg_class c on c.oid = t.relation where t.is_made is not true order by t.name
    loop
        object := item.name;
        as_role := item.owner;
        attack := 'row-level security';
        held := item.relrowsecurity and item.relforcerowsecurity;
        detail := case when not item.relrowsecurity then 'it is off' when not item.relforcerowsecurity then 'it does not bind the owner' end;
        return next;
        if item.is_protected and not item.is_part and item.state <> '' then
            done := saas_private.attempt(saas_private.row_maker(item.relation),
                format('update %s t set org_id = %L where t.org_id = %L', item.name, victim, attacker), past_force => true);
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
          from saas_private.tenant_members() m join pg_roles r on r.oid = m.role
         where m.name <> saas_private.proof_role('maker') order by m.name
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
        select c.oid, c.oid::regclass::text as name, c.relkind, o.rolname, o.rolsuper,
               exists (select from pg_inherits i where i.inhparent = c.oid) as is_parent,
               (select a.attname from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 order by a.attnum limit 1) as first_column
          from pg_class c
          join pg_roles o on o.oid = c.relowner
         where (c.relkind in ('v', 'm')
                or c.relkind = 'r' and not exists (select from pg_temp.proof_table t where t.relation = c.oid)
                   and not exists (select from pg_temp.proof_row r where r.relation = c.oid)
                   and (pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) > 0
                        or exists (select from pg_inherits i join pg_temp.proof_table t on t.relation = i.inhrelid where i.inhparent = c.oid)))
           and c.relpersistence <> 't' and c.relnamespace in (select p.oid from pg_temp.proof_schema p)
           and has_schema_privilege(prove_relations.db_role, c.relnamespace, 'USAGE')
           and has_any_column_privilege(prove_relations.db_role, c.oid, 'SELECT, UPDATE')
           and not saas_private.is_foreign_object('pg_class', c.oid, c.relnamespace)
         order by 2
    loop
        object := item.name;
        if item.relkind = 'm' then
            attack := 'select';
            -- As REFRESH does: as the owner.
            done := saas_private.attempt(case when item.rolsuper then saas_private.proof_role('reader') else item.rolname end,
                                         format('select from (%s) as t where t::text ~ %L limit 1',
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
            attack := case when item.is_parent then 'row of a child, ' when item.relkind = 'r' then 'copy of a row, ' else '' end || way.attack;
            held := saas_private.is_held('unseen', done.state, done.rows, done.touched);
            detail := case when held is distinct from true then saas_private.attempt_text(done.state, done.said, done.rows, done.touched) end;
            return next;
        end loop;
    end loop;
end
$$;
comment on function saas_private.prove_relations(name, boolean) is
'Looks for the victim''s rows in views, materialized views and copies that a role may read.';
