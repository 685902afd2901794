-- Whom a proof of isolation acts as: identities, roles, and statements of somebody
-- else's making.  Tables bring code of their owners: none of it may run as the
-- superuser.  Leans on protect.

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
