-- saas.check_isolation: what in this database would let one organization see or
-- touch another's rows, or guess at them.  Each check has a code and is described
-- in docs/isolation.md.  Leans on protect.

-- In PL/pgSQL, which keeps plans: these are called for every table.
-- Whoever tenants' requests run as: saas_user, saas_anon and all that may become them.
create function saas_private.tenant_members() returns table (role oid, name name)
language plpgsql stable rows 5
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with recursive tenant (oid) as (
        select r.oid from pg_roles r where r.rolname in ('saas_user', 'saas_anon')
        union
        select m.member from tenant t join pg_auth_members m on m.roleid = t.oid
    )
    select r.oid, r.rolname from tenant t join pg_roles r on r.oid = t.oid;
end
$$;
comment on function saas_private.tenant_members() is
'The roles that tenants'' statements run as, and their members: logins of HTTP layers, mapped logins.';

-- A superuser or service role among them is a finding of its own, not one for
-- each thing that it may do.
create function saas_private.tenant_roles() returns table (role oid, name name)
language plpgsql stable rows 5
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with recursive tenant (oid) as (
        select m.role
          from saas_private.tenant_members() m
          join pg_roles r on r.oid = m.role
         where not r.rolsuper
           and not exists (select from pg_roles s
                            where s.rolname in ('saas_owner', 'saas_service', 'saas_poller') and pg_has_role(m.role, s.oid, 'MEMBER'))
        union
        -- Whom they may become with SET ROLE, also without inheriting from them.
        select r.oid
          from tenant t
          join pg_auth_members m on m.member = t.oid
          join pg_roles r on r.oid = m.roleid
         where not r.rolsuper and r.rolname !~ '^pg_' and r.rolname not in ('saas_owner', 'saas_service', 'saas_poller', 'saas_operator')
    )
    select r.oid, r.rolname from tenant t join pg_roles r on r.oid = t.oid;
end
$$;
comment on function saas_private.tenant_roles() is
'The roles that tenants'' statements run as and those that they may become, without superusers, members of service roles and predefined roles.';

create function saas_private.tenant_tables()
returns table (relation oid, name text, kind "char", is_partition boolean, org_column smallint, is_mandatory boolean,
               is_enabled boolean, is_forced boolean, owner oid)
language sql stable rows 50
set search_path = pg_catalog, pg_temp
as $$
    select c.oid, c.oid::regclass::text, c.relkind, c.relispartition, a.attnum, a.attnotnull,
           c.relrowsecurity, c.relforcerowsecurity, c.relowner
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id' and not a.attisdropped
     where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't'
       and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
$$;
comment on function saas_private.tenant_tables() is
'The tables with a column org_id, in every schema but the system''s and temporary ones.';

create function saas_private.tenants_holding(relation oid, privilege text) returns text
language plpgsql stable
-- Asked last, of what other conditions left.
cost 1000
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
    select string_agg(quote_ident(t.name), ', ' order by t.name)
      from saas_private.tenant_roles() t
     where case when tenants_holding.privilege in ('TRUNCATE', 'DELETE', 'TRIGGER')
                then has_table_privilege(t.role, tenants_holding.relation, tenants_holding.privilege)
                else has_any_column_privilege(t.role, tenants_holding.relation, tenants_holding.privilege) end);
end
$$;
comment on function saas_private.tenants_holding(oid, text) is
'The tenants'' roles that hold a privilege on a table or any column of it, as a list; NULL when none does.';

create function saas_private.safe_owner() returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select pg_get_userbyid(coalesce((select d.datdba from pg_database d
                                      where d.datname = current_database()
                                        and not exists (select from saas_private.tenant_roles() r
                                                         where pg_has_role(r.role, d.datdba, 'MEMBER'))),
                                    (select r.oid from pg_roles r where r.rolsuper order by r.oid limit 1)))
$$;
comment on function saas_private.safe_owner() is
'Whom remedies give a tenant''s table to: the database''s owner, or a superuser where tenants may act as that one.';

create function saas_private.is_of_extension(catalog regclass, object oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_depend d
                    where d.classid = is_of_extension.catalog and d.objid = is_of_extension.object
                      and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e')
$$;
comment on function saas_private.is_of_extension(regclass, oid) is
'Whether an object belongs to an extension.';

-- Tables and org_id

create function saas_private.check_tables()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'row_security_off', 'error', t.name, 'the table has org_id, but no row-level security: whoever may read it reads every organization''s rows',
           format('select saas.protect(%L);', saas_private.tree_root(t.relation))
      from saas_private.tenant_tables() t
     where t.kind in ('r', 'p') and not t.is_partition and not t.is_enabled
    union all
    select 'row_security_not_forced', 'error', t.name, 'row-level security does not bind the table''s owner, nor views and functions that run as the owner',
           format('alter table %s force row level security;', t.name)
      from saas_private.tenant_tables() t
     where t.kind in ('r', 'p') and not t.is_partition and t.is_enabled and not t.is_forced
    union all
    select 'partition_open', 'error', t.name, 'the partition has no forced row-level security: read directly, it shows every organization''s rows',
           format('select saas.protect(%L);', saas_private.tree_root(t.relation))
      from saas_private.tenant_tables() t
     where t.kind in ('r', 'p') and t.is_partition and not (t.is_enabled and t.is_forced)
    union all
    select 'parent_shows_rows', 'error', p.oid::regclass::text, format('it has no row-level security, and who reads it reads the rows of %s, which inherits from it', t.name),
           format('select saas.protect(%L);', saas_private.tree_root(p.oid))
      from saas_private.tenant_tables() t
     cross join lateral (
            with recursive ancestor (oid) as (
                select i.inhparent from pg_inherits i where i.inhrelid = t.relation
                union
                select i.inhparent from ancestor a join pg_inherits i on i.inhrelid = a.oid
            )
            select a.oid from ancestor a) as a
      join pg_class p on p.oid = a.oid
     where not t.is_partition and not p.relrowsecurity
       and not exists (select from saas_private.tenant_tables() o where o.relation = p.oid)
    union all
    select 'org_id_nullable', 'warning', t.name, 'org_id may be NULL: such rows belong to nobody, and policies and keys do not hold them',
           format('alter table %s alter column org_id set not null;', t.name)
      from saas_private.tenant_tables() t
     where t.kind in ('r', 'p') and not t.is_mandatory and not t.is_partition
       -- pg_saas itself keeps rows of the platform beside those of organizations.
       and not (t.name ~ '^saas(_private)?\.'
                and concat(saas_private.tenants_holding(t.relation, 'SELECT'), saas_private.tenants_holding(t.relation, 'INSERT'),
                           saas_private.tenants_holding(t.relation, 'UPDATE')) = '')
    union all
    select 'org_id_changeable', 'warning', t.name, 'org_id can be updated: a role that no policy binds could hand a row to another organization',
           format('select saas.protect(%L);', saas_private.tree_root(t.relation))
      from saas_private.tenant_tables() t
     where t.kind in ('r', 'p')
       -- A partition has its own copy of the trigger, which can be disabled.
       and exists (select from saas_private.tenant_roles() r
                    where has_column_privilege(r.role, case when t.is_partition then pg_partition_root(t.relation)::oid else t.relation end,
                                               'org_id', 'UPDATE'))
       and not exists (select from pg_trigger g
                        where g.tgrelid = t.relation and g.tgenabled in ('O', 'A') and g.tgfoid = 'saas.refuse_org_change()'::regprocedure)
    union all
    select 'foreign_table', 'warning', c.oid::regclass::text, 'row-level security does not reach foreign tables: whoever may read it reads all its rows',
           format('revoke all on %s from public, saas_user, saas_anon;', c.oid::regclass)
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'f' and n.nspname !~ '^pg_'
       and (exists (select from saas_private.tenant_tables() t where t.relation = c.oid)
            or saas_private.tenants_holding(c.oid, 'SELECT') is not null)
    union all
    select 'tenant_owns_table', 'error', t.name, format('%I is a role of tenants, or they may become it, and owns the table: an owner turns row-level security off', r.name),
           format('alter table %s owner to %I;', t.name, saas_private.safe_owner())
      from saas_private.tenant_tables() t join saas_private.tenant_roles() r on r.role = t.owner
    union all
    select 'rule_owner_rights', 'warning', w.ev_class::regclass::text, format('rule %I runs with the rights of the table''s owner', w.rulename),
           format('drop rule %I on %s;', w.rulename, w.ev_class::regclass)
      from saas_private.tenant_tables() t join pg_rewrite w on w.ev_class = t.relation
    union all
    select 'cascade_before_trigger', 'warning', t.name,
           format('trigger %I runs before a change that a foreign key cascades, when FORCE does not hold: a function that reads tables sees every organization', g.tgname),
           'make it an after trigger, or let its function name org_id in every statement'
      from saas_private.tenant_tables() t
      join pg_trigger g on g.tgrelid = t.relation and not g.tgisinternal and (g.tgtype & 1) = 1 and (g.tgtype & 2) = 2
     where g.tgfoid <> 'saas.refuse_org_change()'::regprocedure and g.tgparentid = 0
       and ((g.tgtype & 8) = 8
            and exists (select from pg_constraint k where k.conrelid = t.relation and k.contype = 'f' and k.confdeltype = 'c')
            or (g.tgtype & 16) = 16
            and exists (select from pg_constraint k where k.conrelid = t.relation and k.contype = 'f'
                           and (k.confdeltype in ('n', 'd') or k.confupdtype in ('c', 'n', 'd'))))
$$;
comment on function saas_private.check_tables() is
'The checks of saas.check_isolation on tables and their org_id.';

-- Policies

-- The functions behind an expression, as its tree names them: those of operators too.
create function saas_private.functions_in(tree text) returns table (function oid)
language sql stable rows 3
set search_path = pg_catalog, pg_temp
as $$
    select m[1]::oid
      from regexp_matches(functions_in.tree, ':(?:funcid|opfuncid|hashfuncid|negfuncid|aggfnoid|winfnoid) (\d+)', 'g') as m
     where m[1] <> '0'
    union
    -- Comparisons of rows name operators, those of GREATEST and LEAST only a type.
    select o.oprcode::oid
      from regexp_matches(functions_in.tree, ':opnos \(o ([0-9 ]+)\)', 'g') as m
     cross join lateral regexp_split_to_table(btrim(m[1]), ' +') as n (operator)
      join pg_operator o on o.oid = n.operator::oid
    union
    select p.amproc::oid
      from regexp_matches(functions_in.tree, '\{MINMAX(?:EXPR)? :minmaxtype (\d+) ', 'g') as m
      join pg_opclass c on c.opcintype = m[1]::oid and c.opcdefault
      join pg_am a on a.oid = c.opcmethod and a.amname = 'btree'
      join pg_amproc p on p.amprocfamily = c.opcfamily and p.amproclefttype = m[1]::oid and p.amprocrighttype = m[1]::oid and p.amprocnum = 1
$$;
comment on function saas_private.functions_in(text) is
'The functions that an expression calls by name or operator, from its node tree.';

create function saas_private.check_policies()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with policy as (
        select p.oid, p.polrelid, format('%s, policy %I', t.name, p.polname) as name, t.name as table_name, p.polname,
               coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') as using_text,
               coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') as check_text,
               concat(p.polqual::text, p.polwithcheck::text) as tree,
               p.polroles <@ array(select r.oid from pg_roles r where r.rolname in ('saas_service', 'saas_poller')) as is_service
          from saas_private.tenant_tables() t join pg_policy p on p.polrelid = t.relation
    ), wide as materialized (
        select w.policy, w.expression
          from saas_private.tenant_tables() t cross join lateral saas_private.widening_policies(t.relation) w
    )
    select 'policy_always_true', 'error', p.name, 'the policy is true for the rows of every organization',
           format('drop policy %I on %s; select saas.protect(%L);', p.polname, p.table_name, saas_private.tree_root(p.polrelid))
      from policy p join wide w on w.policy = p.oid
     where saas_private.bare_expression(p.using_text) = 'true' and saas_private.bare_expression(p.check_text) = 'true'
    union all
    select 'policy_not_bound', 'error', p.name, format('the policy does not bind rows to the identity''s organization: %s', w.expression),
           'begin it with org_id = saas.org_if(''permission'') and'
      from policy p join wide w on w.policy = p.oid
     where not (saas_private.bare_expression(p.using_text) = 'true' and saas_private.bare_expression(p.check_text) = 'true')
    union all
    select 'policy_volatile', 'warning', p.name, format('%s is volatile: it runs for every row, can write, and may see each row before the policy decides', f.oid::regprocedure),
           'call a stable, leakproof function such as saas.org_if'
      from policy p cross join lateral saas_private.functions_in(p.tree) c join pg_proc f on f.oid = c.function
     where f.provolatile = 'v'
    union all
    select 'policy_leaky', 'warning', p.name, format('%s is not leakproof: its errors may tell values of rows that the policy hides', f.oid::regprocedure),
           'compare with leakproof operators only: those of uuid, text equality, integers, booleans'
      from policy p cross join lateral saas_private.functions_in(p.tree) c join pg_proc f on f.oid = c.function
     where not f.proleakproof and f.provolatile <> 'v' and not p.is_service
    union all
    select 'policy_converts', 'warning', p.name, 'a conversion through text fails on values that do not fit: its errors tell values of rows that the policy hides',
           'store the column in the type that the policy compares'
      from policy p
     where p.tree ~ '\{COERCEVIAIO ' and not p.is_service
    union all
    select 'policy_reads_tables', 'warning', p.name, 'the policy holds a subquery on a table: slow, and only as true as that table''s own policies and rights',
           'take role, permissions and organization from the identity: saas.org_if, saas.has_permission'
      from policy p
     where p.tree ~ '\{SUBLINK ' and p.tree ~ '\{(RTE|RANGETBLENTRY) '
$$;
comment on function saas_private.check_policies() is
'The checks of saas.check_isolation on policies of tables with org_id.';

-- Keys

create function saas_private.check_keys()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with key as (
        select k.oid, k.conrelid, k.conname, k.confdeltype, k.confupdtype, k.convalidated,
               k.conrelid::regclass::text as child, k.confrelid::regclass::text as parent,
               c.relation is not null as child_is_tenant, p.relation is not null as parent_is_tenant,
               format('%s, foreign key %I', k.conrelid::regclass, k.conname) as name,
               -- org_id with org_id, at the same place of both lists.
               exists (select from unnest(k.conkey, k.confkey) as u (a, b) where u.a = c.org_column and u.b = p.org_column) as carries,
               c.org_column = any (case when k.confdeltype in ('n', 'd') and saas_private.delete_set_columns(k.oid) <> '{}'
                                        then array(select a.attnum from pg_attribute a where a.attrelid = k.conrelid
                                                      and a.attname = any (saas_private.delete_set_columns(k.oid)))
                                        else k.conkey end) as clears_on_delete,
               c.org_column = any (k.conkey) as has_org_id
          from pg_constraint k
          left join saas_private.tenant_tables() c on c.relation = k.conrelid
          left join saas_private.tenant_tables() p on p.relation = k.confrelid
         where k.contype = 'f' and k.conparentid = 0
    )
    select 'unique_key_reveals', case when i.indisprimary then 'notice' else 'warning' end, i.indexrelid::regclass::text,
           format('the unique key of %s has no org_id: an organization learns from its errors which values others have', t.name),
           'make it unique by org_id and these columns'
      from saas_private.tenant_tables() t join pg_index i on i.indrelid = t.relation
     where saas_private.reveals_values(i.indexrelid)
       and not (select c.relispartition from pg_class c where c.oid = i.indexrelid)
       and (t.name !~ '^saas(_private)?\.' or concat(saas_private.tenants_holding(t.relation, 'INSERT'),
                                                     saas_private.tenants_holding(t.relation, 'UPDATE')) <> '')
    union all
    select 'foreign_key_crosses', 'error', k.name,
           format('the foreign key to %s has no org_id: rows can refer to another organization''s, learn that they exist, and go with them', k.parent),
           case when k.has_org_id then format('let its org_id refer to org_id of %s', k.parent)
                else coalesce((select format('change the key: %s', f.problem)
                                 from saas_private.tenant_foreign_keys(k.conrelid) f
                                -- What protect settles once both tables are.
                                where f.oid = k.oid and f.problem !~ ' (is not protected|has no org_id)$'),
                              format('select saas.protect(%L);', saas_private.tree_root(k.conrelid))) end
      from key k where k.child_is_tenant and k.parent_is_tenant and not k.carries
    union all
    select 'foreign_key_from_shared', 'warning', k.name,
           format('%s belongs to no organization and refers to rows of %s: it tells which exist', k.child, k.parent),
           format('give %s an org_id: select saas.protect(%L);', k.child, saas_private.tree_root(k.conrelid))
      from key k where not k.child_is_tenant and k.parent_is_tenant and k.child !~ '^saas(_private)?\.'
    union all
    select 'foreign_key_clears_org_id', 'warning', k.name, 'the foreign key sets org_id to NULL or a default when the row it refers to goes or changes',
           'name the other columns: on delete set null (column)'
      from key k
     where k.has_org_id and (k.confdeltype in ('n', 'd') and k.clears_on_delete or k.confupdtype in ('n', 'd'))
    union all
    select 'foreign_key_not_validated', 'warning', k.name, 'the foreign key was never checked against the rows that were there: some may refer to another organization''s',
           format('alter table %s no force row level security; alter table %s validate constraint %I; alter table %s force row level security;',
                  k.child, k.child, k.conname, k.child)
      from key k where k.child_is_tenant and k.carries and not k.convalidated
$$;
comment on function saas_private.check_keys() is
'The checks of saas.check_isolation on unique and foreign keys.';

-- Views and functions

create function saas_private.check_views()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- As saas_private.views_on, for all tables at once.
    with recursive read_by (oid) as (
        select t.relation from saas_private.tenant_tables() t
        union
        select w.ev_class
          from read_by r
          join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid and d.classid = 'pg_rewrite'::regclass
          join pg_rewrite w on w.oid = d.objid
    ), reader as (
        select c.oid, c.oid::regclass::text as name, c.relkind, c.relowner,
               saas_private.tenants_holding(c.oid, 'SELECT') as readers
          from read_by r join pg_class c on c.oid = r.oid
         where c.relkind in ('v', 'm')
    )
    select 'view_bypasses', 'error', r.name, format('the view reads with the rights of %I, whom no policy binds: it shows every organization''s rows', pg_get_userbyid(r.relowner)),
           format('alter view %s set (security_invoker = true);', r.name)
      from reader r
     where r.relkind = 'v' and not saas_private.is_invoker_view(r.oid) and saas_private.bypasses_row_security(r.relowner)
    union all
    select 'view_owner_rights', 'warning', r.name, format('the view reads with the rights of %I: one change of that role or of FORCE opens it', pg_get_userbyid(r.relowner)),
           format('alter view %s set (security_invoker = true);', r.name)
      from reader r
     where r.relkind = 'v' and not saas_private.is_invoker_view(r.oid) and not saas_private.bypasses_row_security(r.relowner)
    union all
    select 'materialized_view', case when r.readers is null then 'warning' else 'error' end, r.name,
           'the materialized view holds copies of organizations'' rows, and no policy can bind who reads them'
           || coalesce('; granted to ' || r.readers, ''),
           format('revoke all on %s from public, saas_user, saas_anon; read it through a function that filters by saas.current_org_id()', r.name)
      from reader r where r.relkind = 'm'
$$;
comment on function saas_private.check_views() is
'The checks of saas.check_isolation on views and materialized views.';

-- The schemas of a function's own search_path, NULL when it has none.
create function saas_private.pinned_path(settings text[]) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select array(select btrim(s, ' "') from regexp_split_to_table(substr(c, 13), ',') as s where btrim(s, ' "') <> '')
      from unnest(pinned_path.settings) as c where c like 'search\_path=%'
$$;
comment on function saas_private.pinned_path(text[]) is
'The schemas of the search_path that a function sets for itself; NULL when it sets none.';

create function saas_private.check_functions()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with function as (
        select p.oid, p.oid::regprocedure::text as name, p.prosecdef, p.proleakproof, p.proowner, p.prorettype,
               saas_private.pinned_path(p.proconfig) as path,
               saas_private.is_of_extension('pg_proc', p.oid) as is_of_extension,
               exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                        where a.grantee = 0 and a.privilege_type = 'EXECUTE') as is_public,
               n.nspname in ('saas', 'saas_api', 'saas_private') as is_ours
          from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and (p.prosecdef or p.proleakproof)
    )
    select 'definer_open_path', 'error', f.name,
           case when f.path is null then 'the definer function has the caller''s search_path: the caller chooses which tables and functions it means'
                else 'the definer function''s search_path has a schema in which tenants make objects' end,
           format('alter routine %s set search_path = pg_catalog, pg_temp;', f.name)
      from function f
     where f.prosecdef
       and (f.path is null
            or exists (select from unnest(f.path) as s
                         left join pg_namespace n on n.nspname = s
                        where s = '$user'
                           or n.oid is not null and n.nspname !~ '^pg_'
                              and exists (select from saas_private.tenant_roles() r where has_schema_privilege(r.role, n.oid, 'CREATE'))))
    union all
    select 'definer_temp_first', 'warning', f.name,
           'pg_temp is not the last schema of the definer function''s search_path: temporary tables of the caller hide those it means',
           format('alter routine %s set search_path = %s;', f.name,
                  (select string_agg(quote_ident(s), ', ') from unnest(array_remove(f.path, 'pg_temp') || 'pg_temp'::text) as s))
      from function f
     where f.prosecdef and f.path is not null and f.path[cardinality(f.path)] is distinct from 'pg_temp'
       and exists (select from saas_private.tenant_roles() r where has_database_privilege(r.role, current_database(), 'TEMPORARY'))
    union all
    select 'definer_bypasses', 'error', f.name, format('tenants may call the definer function, which runs as %I, whom no policy binds', pg_get_userbyid(f.proowner)),
           format('alter routine %s security invoker;', f.name)
      from function f
     where f.prosecdef and not (f.is_ours and f.is_of_extension) and saas_private.bypasses_row_security(f.proowner)
       and f.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
       and exists (select from saas_private.tenant_roles() r where has_function_privilege(r.role, f.oid, 'EXECUTE'))
    union all
    select 'definer_for_public', 'warning', f.name, 'everybody may call the definer function: EXECUTE is PUBLIC''s by default',
           format('revoke execute on routine %s from public;', f.name)
      from function f
     where f.prosecdef and f.is_public and f.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    union all
    select 'trigger_bypasses', 'warning', t.name,
           format('trigger %I runs a definer function of %I, whom no policy binds', g.tgname, pg_get_userbyid(f.proowner)),
           format('alter routine %s security invoker;', f.name)
      from saas_private.tenant_tables() t
      join pg_trigger g on g.tgrelid = t.relation and not g.tgisinternal and g.tgparentid = 0
      join function f on f.oid = g.tgfoid
     where f.prosecdef and not (f.is_ours and f.is_of_extension) and saas_private.bypasses_row_security(f.proowner)
    union all
    select 'leakproof_function', 'warning', f.name, 'the function says that it is leakproof, so it sees rows before policies decide; no extension vouches for that',
           format('alter routine %s not leakproof;', f.name)
      from function f where f.proleakproof and not f.is_of_extension
$$;
comment on function saas_private.check_functions() is
'The checks of saas.check_isolation on functions.';

-- Rights

create function saas_private.check_privileges()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'public_grant', 'error', t.name, format('PUBLIC holds %s on the table: every role of the cluster, tenant or not', string_agg(distinct a.privilege_type, ', ' order by a.privilege_type)),
           format('revoke all on %s from public;', t.name)
      from saas_private.tenant_tables() t
      join pg_class c on c.oid = t.relation
     cross join lateral (
            select * from aclexplode(c.relacl)
            union all
            select l.* from pg_attribute c cross join lateral aclexplode(c.attacl) l
             where c.attrelid = t.relation and not c.attisdropped) as a
     where a.grantee = 0
     group by t.name
    union all
    select 'unbound_privilege', 'error', t.name,
           format('%s hold %s, which policies do not bind', saas_private.tenants_holding(t.relation, p.name), p.name),
           format('revoke %s on %s from %s;', lower(p.name), t.name, saas_private.tenants_holding(t.relation, p.name))
      from saas_private.tenant_tables() t cross join (values ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) as p (name)
     where saas_private.tenants_holding(t.relation, p.name) is not null
       -- An owner holds everything: a finding of its own.
       and not exists (select from saas_private.tenant_roles() r where r.role = t.owner)
    union all
    select 'default_privileges', 'warning',
           format('default privileges of %I%s', pg_get_userbyid(d.defaclrole), coalesce(' in schema ' || quote_ident(n.nspname), '')),
           format('PUBLIC gets %s on every new %s', string_agg(a.privilege_type, ', ' order by a.privilege_type),
                  case d.defaclobjtype when 'r' then 'table' when 'S' then 'sequence' when 'f' then 'function' when 'T' then 'type' else 'schema' end),
           format('alter default privileges for role %I%s revoke all on %s from public;', pg_get_userbyid(d.defaclrole),
                  coalesce(' in schema ' || quote_ident(n.nspname), ''),
                  case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' else 'schemas' end)
      from pg_default_acl d
      left join pg_namespace n on n.oid = d.defaclnamespace
     cross join lateral aclexplode(d.defaclacl) a
     -- What PostgreSQL itself gives is repeated there once anything is changed.
     where a.grantee = 0 and not (d.defaclobjtype in ('f', 'T') and d.defaclnamespace = 0)
     group by d.defaclrole, n.nspname, d.defaclobjtype
    union all
    select 'schema_create', 'error', n.nspname::text,
           format('%s may make objects in the schema: functions and operators there can take the place of others', string_agg(quote_ident(r.name), ', ' order by r.name)),
           format('revoke create on schema %I from public, %s;', n.nspname, string_agg(quote_ident(r.name), ', ' order by r.name))
      from pg_namespace n
      join saas_private.tenant_roles() r on has_schema_privilege(r.role, n.oid, 'CREATE')
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     group by n.nspname
    union all
    select 'private_schema_open', 'error', 'saas_private', format('%s may look into the schema of secrets and internals', string_agg(quote_ident(r.name), ', ' order by r.name)),
           format('revoke usage on schema saas_private from public, %s;', string_agg(quote_ident(r.name), ', ' order by r.name))
      from saas_private.tenant_roles() r
     where has_schema_privilege(r.role, 'saas_private', 'USAGE')
    having count(*) > 0
    union all
    select 'sequence_readable', 'warning', c.oid::regclass::text, format('%s may read or move the sequence of %s: it counts all organizations'' rows',
                                                                      string_agg(distinct quote_ident(r.name), ', '), t.name),
           format('revoke all on sequence %s from public, %s;', c.oid::regclass, string_agg(distinct quote_ident(r.name), ', '))
      from pg_class c
      join (select d.objid as sequence, d.refobjid as relation
              from pg_depend d
             where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')
            union
            -- One that a default takes numbers from, whoever owns it.
            select d.refobjid, f.adrelid
              from pg_depend d join pg_attrdef f on f.oid = d.objid
             where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass) as u on u.sequence = c.oid
      join saas_private.tenant_tables() t on t.relation = u.relation
      join saas_private.tenant_roles() r on has_sequence_privilege(r.role, c.oid, 'SELECT, UPDATE, USAGE')
     where c.relkind = 'S' and r.role <> t.owner
     group by c.oid, t.name
    union all
    select 'statistics_readable', 'error', c.oid::regclass::text, format('%s may read statistics, which hold values of every organization', saas_private.tenants_holding(c.oid, 'SELECT')),
           format('revoke all on %s from public, %s;', c.oid::regclass, saas_private.tenants_holding(c.oid, 'SELECT'))
      from pg_class c
     where (c.oid in ('pg_statistic'::regclass, 'pg_statistic_ext_data'::regclass)
            -- Nothing depends on catalogs, so the tree of the view must be read.
            or c.relkind in ('v', 'm') and c.relnamespace <> 'pg_catalog'::regnamespace
               and exists (select from pg_rewrite w where w.ev_class = c.oid
                              and w.ev_action::text ~ format(':relid (%s|%s) ', 'pg_statistic'::regclass::oid, 'pg_statistic_ext_data'::regclass::oid)))
       and saas_private.tenants_holding(c.oid, 'SELECT') is not null
    union all
    select 'large_object', 'error', format('large object %s', l.oid), 'tenants may read the large object; large objects have no row-level security',
           format('alter large object %s owner to %I; revoke all on large object %s from %s;', l.oid, saas_private.safe_owner(), l.oid,
                  concat_ws(', ', 'public', string_agg(distinct quote_ident(g.rolname), ', ')))
      from pg_largeobject_metadata l
      join saas_private.tenant_roles() r
        on pg_has_role(r.role, l.lomowner, 'MEMBER')
           or exists (select from aclexplode(l.lomacl) a where a.grantee = 0 or pg_has_role(r.role, nullif(a.grantee, 0), 'MEMBER'))
      left join pg_roles g on g.oid in (select a.grantee from aclexplode(l.lomacl) a) and pg_has_role(r.role, g.oid, 'MEMBER')
     group by l.oid
    union all
    select 'large_objects_open', 'error', 'lo_compat_privileges', 'every role reads and changes every large object', 'alter system set lo_compat_privileges = off;'
     where current_setting('lo_compat_privileges') = 'on'
    union all
    select 'foreign_server', 'warning', format('foreign server %I', m.srvname),
           format('%s may use the server with a user mapping: what it reaches there no policy binds',
                  string_agg(distinct quote_ident(r.name), ', ')),
           format('revoke usage on foreign server %I from public, %s;', m.srvname, string_agg(distinct quote_ident(r.name), ', '))
      from pg_user_mappings m
      join saas_private.tenant_roles() r on (m.umuser = 0 or m.umuser = r.role) and has_server_privilege(r.role, m.srvid, 'USAGE')
     group by m.srvname
    union all
    select 'parameter_grant', 'error', p.parname,
           format('%s may set the parameter, which is for superusers: session_replication_role, for one, turns triggers and foreign keys off',
                  string_agg(quote_ident(r.name), ', ' order by r.name)),
           format('revoke all on parameter %s from public, %s;',
                  (select string_agg(quote_ident(s), '.' order by n) from regexp_split_to_table(p.parname, '\.') with ordinality as u (s, n)),
                  string_agg(quote_ident(r.name), ', ' order by r.name))
      from pg_parameter_acl p
      join saas_private.tenant_roles() r on has_parameter_privilege(r.role, p.parname, 'SET, ALTER SYSTEM')
     group by p.parname
    union all
    select 'publication', 'warning', format('publication %I', p.pubname),
           format('it sends the rows of all organizations: %s', string_agg(t.name, ', ' order by t.name)),
           'publish with a row filter, or only to servers that are as well protected'
      from pg_publication p
      join saas_private.tenant_tables() t
        on p.puballtables
           or exists (select from pg_publication_rel r
                       where r.prpubid = p.oid and (to_jsonb(r) ->> 'prqual') is null
                         and r.prrelid in (select t.relation union all select a.relid from pg_partition_ancestors(t.relation) a))
           or exists (select from pg_class c join pg_publication_namespace n on n.pnnspid = c.relnamespace
                       where n.pnpubid = p.oid and c.oid = t.relation)
     where t.kind <> 'f' and not t.is_partition
     group by p.pubname
$$;
comment on function saas_private.check_privileges() is
'The checks of saas.check_isolation on rights, default privileges, sequences, statistics, large objects, servers, parameters and publications.';

-- Roles

create function saas_private.check_roles()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with holder as (
        select r.oid, r.rolname, r.rolsuper, r.rolbypassrls,
               r.oid in (select t.role from saas_private.tenant_members() t) as is_tenant,
               -- Roles that a tenant's may become with SET ROLE.
               (select string_agg(quote_ident(t.name), ', ' order by t.name)
                  from saas_private.tenant_members() t join pg_roles m on m.oid = t.role
                 where not m.rolsuper and t.role <> r.oid and pg_has_role(t.role, r.oid, 'MEMBER')) as reached_by,
               array(select s.rolname from pg_roles s
                      where s.rolname in ('saas_owner', 'saas_service', 'saas_poller', 'saas_operator')
                        and not r.rolsuper and r.oid <> s.oid and pg_has_role(r.oid, s.oid, 'MEMBER') order by 1) as service_roles
          from pg_roles r
    )
    select 'tenant_superuser', 'error', h.rolname::text, 'a superuser is a member of a role of tenants: no policy binds its sessions',
           format('revoke saas_user, saas_anon from %I;', h.rolname)
      from holder h where h.is_tenant and h.rolsuper
    union all
    select 'tenant_bypasses', 'error', h.rolname::text, 'the role of tenants has BYPASSRLS: no policy binds its sessions',
           format('alter role %I nobypassrls;', h.rolname)
      from holder h where h.is_tenant and h.rolbypassrls and not h.rolsuper
    union all
    select case when h.rolsuper then 'tenant_superuser' else 'tenant_bypasses' end, 'error', h.rolname::text,
           format('%s may become the role with SET ROLE, and no policy binds its sessions', h.reached_by),
           format('revoke %I from %s;', h.rolname, h.reached_by)
      from holder h
     where not h.is_tenant and (h.rolsuper or h.rolbypassrls) and h.reached_by is not null
       -- A finding of their own.
       and h.rolname not in ('saas_owner', 'saas_service', 'saas_poller', 'saas_operator')
    union all
    select 'service_bypasses', 'error', h.rolname::text, 'the role of pg_saas has more rights than it may: its functions would be bound by no policy',
           format('alter role %I nosuperuser nobypassrls nocreaterole;', h.rolname)
      from holder h join pg_roles r on r.oid = h.oid
     where h.rolname in ('saas_owner', 'saas_service', 'saas_poller', 'saas_operator') and (h.rolsuper or h.rolbypassrls)
    union all
    select 'role_of_both_planes', 'error', h.rolname::text,
           format('the role serves tenants and is a member of %s: whoever breaks out of a request owns every organization', array_to_string(h.service_roles, ', ')),
           format('revoke %s from %I;', array_to_string(h.service_roles, ', '), h.rolname)
      from holder h where h.is_tenant and h.service_roles <> '{}'
    union all
    select 'service_role_member', 'error', h.rolname::text, format('the role is a member of %s, which only functions of pg_saas are to act as', s.names),
           format('revoke %s from %I;', s.names, h.rolname)
      from holder h
     cross join lateral (select string_agg(n, ', ') from unnest(h.service_roles) as n where n <> 'saas_operator') as s (names)
     where not h.is_tenant and s.names is not null
    union all
    select 'role_creates_roles', 'warning', r.rolname::text, 'CREATEROLE: before PostgreSQL 16 the role can make itself a member of any role but superusers, afterwards of those it administers',
           format('alter role %I nocreaterole;', r.rolname)
      from pg_roles r where r.rolcreaterole and not r.rolsuper
    union all
    select 'tenant_reads_all', 'error', h.rolname::text,
           format('the role of tenants is a member of %s', string_agg(s.rolname, ', ' order by s.rolname)),
           format('revoke %s from %I;', string_agg(s.rolname, ', ' order by s.rolname), h.rolname)
      from holder h
      join pg_roles s on s.rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_all_stats', 'pg_monitor', 'pg_signal_backend',
                                       'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_database_owner')
     where h.is_tenant and not h.rolsuper and pg_has_role(h.oid, s.oid, 'MEMBER')
     group by h.rolname
$$;
comment on function saas_private.check_roles() is
'The checks of saas.check_isolation on roles and memberships.';

-- Settings.  What we promise about the log holds with bind parameters, and when
-- neither these nor every statement are logged.
create function saas_private.check_settings()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with setting (name, value, place) as (
        select s.name, current_setting(s.name), ''
          from (values ('log_statement'), ('log_min_duration_statement'), ('log_min_duration_sample'), ('log_transaction_sample_rate'),
                       ('log_parameter_max_length'), ('log_parameter_max_length_on_error')) as s (name)
        union all
        select split_part(c, '=', 1), substr(c, strpos(c, '=') + 1),
               concat(' of role ' || quote_ident(r.rolname), ' in database ' || quote_ident(d.datname))
          from pg_db_role_setting s
         cross join lateral unnest(s.setconfig) as c
          left join pg_roles r on r.oid = s.setrole
          left join pg_database d on d.oid = s.setdatabase
         where s.setdatabase = 0 or d.datname = current_database()
    )
    select 'log_statement', 'warning', s.name || s.place, 'every statement goes to the log, with the values of all organizations that stand in it',
           'set log_statement to none or ddl'
      from setting s where s.name = 'log_statement' and s.value in ('all', 'mod')
    union all
    select 'log_parameters', 'warning', s.name || s.place, 'values that clients bind go to the log',
           format('set %s to 0', case s.name when 'log_parameter_max_length_on_error' then s.name else 'log_parameter_max_length' end)
      from setting s
     where s.name = 'log_parameter_max_length_on_error' and s.value <> '0'
        or current_setting('log_parameter_max_length') <> '0'
           and (s.name in ('log_min_duration_statement', 'log_min_duration_sample') and s.value <> '-1'
                or s.name = 'log_transaction_sample_rate' and s.value::double precision > 0)
$$;
comment on function saas_private.check_settings() is
'The checks of saas.check_isolation on settings of the server, the database and roles.';

create function saas_private.isolation_findings()
returns table (code text, severity text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select * from saas_private.check_tables()
    union all select * from saas_private.check_policies()
    union all select * from saas_private.check_keys()
    union all select * from saas_private.check_views()
    union all select * from saas_private.check_functions()
    union all select * from saas_private.check_privileges()
    union all select * from saas_private.check_roles()
    union all select * from saas_private.check_settings()
$$;
comment on function saas_private.isolation_findings() is
'Everything that saas.check_isolation finds, with the codes of the checks.';

create function saas.check_isolation()
returns table (severity text, object text, problem text, remedy text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_installed();
    return query
        select f.severity, f.object, f.code || ': ' || f.problem, f.remedy
          from saas_private.isolation_findings() f
         order by array_position(array['error', 'warning', 'notice'], f.severity), f.code, f.object;
end
$$;
alter function saas.check_isolation() owner to saas_owner;
comment on function saas.check_isolation() is
'What in this database weakens the isolation of organizations: severity (error: rows are open; warning: they could be, or can be guessed at; notice: to know), the object, the problem after the code of the check, and what to do. No row: nothing was found. Reads catalogs and settings only, no rows. Errors: 55000 before saas.install(). For superusers and saas_operator.';
