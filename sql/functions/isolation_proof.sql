-- saas.prove_isolation: two made-up organizations get a row in every table of
-- tenants, and the one attacks the other as each role.  Everything happens in
-- one subtransaction that is always rolled back; what it finds comes out as
-- result rows, which a rollback leaves.  Leans on proof_scene, proof_attacks,
-- proof_keys and proof_functions.

create function saas_private.isolation_verdicts(schemas name[] default null)
returns table (object text, attack text, as_role text, held boolean, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    persona record;
    attacker record;
    owner name;
    has_ended boolean := false;
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
        return query
            select t.name, 'inserts', session_user::text, null::boolean, 'no second row could be made: ' || p.problem
              from pg_temp.proof_table t
              join pg_temp.proof_spare p on p.relation = t.relation and p.side = 'victim'
             where t.state <> '' and not t.is_part and p.problem is not null
             order by t.name;
        return query
            select 'session', 'custom roles', 'saas_user', null::boolean, format('%s custom roles were not tried, only the 20 most frequent', c.n - 20)
              from (select count(*) as n from saas_private.proof_custom_roles()) as c where c.n > 20;
        return query select * from saas_private.prove_protection();
        select * into attacker from pg_temp.proof_side s where s.side = 'attacker';
        for persona in select * from saas_private.proof_roles() loop
            perform saas_private.prove_as(case when persona.has_user then attacker.user_id end, attacker.org_id, persona.role,
                                          persona.permissions, persona.rank);
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
                           from saas_private.prove_plans(persona.db_role) p;
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
        has_ended := true;
        raise exception sqlstate 'ZZP00';
    exception when sqlstate 'ZZP00' then
        -- What is attacked could raise the same, to end the proof before its time.
        if not has_ended then
            raise;
        end if;
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
