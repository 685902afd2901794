-- Attacks of a proof of isolation through keys: what duplicates and references
-- tell, and what cascades and triggers reach.  Leans on proof_scene.

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
            if done.state = '23514' and found_answer = absent_answer then
                held := null;
                detail := 'a check comes before it: ' || absent_answer;
            elsif found_answer <> absent_answer then
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

create function saas_private.key_change(relation oid) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select format('update %s t set %s where t.org_id = %L', key_change.relation::regclass,
                  string_agg(distinct format('%I = %L::%s', c.name, c.value, format_type(a.atttypid, a.atttypmod)), ', '),
                  (select d.org_id from pg_temp.proof_side d where d.side = 'attacker'))
      from pg_temp.proof_spare s
     cross join lateral unnest(s.columns, s.texts) as c (name, value)
      join pg_attribute a on a.attrelid = key_change.relation and a.attname = c.name and a.attidentity <> 'a'
      join pg_constraint k on k.contype = 'f' and k.confrelid = key_change.relation and k.confupdtype in ('c', 'n', 'd') and a.attnum = any (k.confkey)
     where s.relation = key_change.relation and s.side = 'attacker' and s.problem is null and c.name <> 'org_id'
    having count(*) > 0);
end
$$;
comment on function saas_private.key_change(oid) is
'An UPDATE of the attacker''s keys that others refer to with ON UPDATE; NULL where nobody does.';

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
         where k.contype = 'f' and k.confrelid = cross_references.relation and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))
           and not t.is_part
    loop
        begin
            perform saas_private.as_owner(item.relation, (select format('update %s t set %s where t.org_id = %L', item.name,
                                   string_agg(format('%I = %L', u.child, item.content ->> u.parent::text), ', '),
                                   (select s.org_id from pg_temp.proof_side s where s.side = 'victim'))
                       from unnest(item.child_columns, item.parent_columns) as u (child, parent) where u.child <> 'org_id'));
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
            ('cascade of updating own keys', 'UPDATE', saas_private.key_change(t.relation),
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
'Deletes, adds, changes and renumbers the attacker''s own rows and looks whether cascades and triggers reach the victim''s.';
