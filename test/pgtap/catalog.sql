-- What must hold for every object of pg_saas, whoever adds one: row-level
-- security, keys, owners, grants, search paths, volatility, comments; and that
-- the whole comes and goes without a trace.
select no_plan();

create schema catalog;
grant usage on schema catalog to public;
create view catalog.namespace as
select n.oid, n.nspname as name from pg_namespace n where n.nspname in ('saas', 'saas_api', 'saas_private');
create view catalog.relation as
select c.*, c.oid::regclass::text as name from pg_class c where c.relnamespace in (select oid from catalog.namespace);
create view catalog.function as
select p.*, p.oid::regprocedure::text as name from pg_proc p where p.pronamespace in (select oid from catalog.namespace);
-- Tables whose rows belong to one organization each.
create view catalog.tenant_table as
select r.* from catalog.relation r
  join pg_attribute a on a.attrelid = r.oid and a.attname = 'org_id' and a.attnotnull
 where r.relkind in ('r', 'p');
-- Row types and arrays are their tables' and elements' own.
create view catalog.type as
select t.*, t.oid::regtype::text as name
  from pg_type t
 where t.typnamespace in (select oid from catalog.namespace)
   and t.typrelid = 0 and not exists (select from pg_type e where e.typarray = t.oid);

-- Tables

select set_eq(
    $$select name from catalog.relation where relkind in ('r', 'p') except select name from catalog.tenant_table$$,
    array['saas.app_user',                 -- people, in many organizations each
          'saas_private.password',         -- of people
          'saas_private.session',          -- of people
          'saas_private.refresh_token',    -- of sessions
          'saas_private.email_token',      -- of people
          'saas_private.email_code',       -- of people
          'saas_private.email_change',     -- of people
          'saas_private.hash_key',         -- the platform's
          'saas_private.common_password',  -- the platform's
          'saas.rate_limit',               -- the platform's, for all organizations or one
          'saas_private.security_event',   -- of people and organizations, before it is known whose
          'saas.organization',             -- the tenants themselves
          'saas.plan',                     -- the platform's
          'saas.plan_limit',               -- the platform's
          'saas.permission',               -- the platform's
          'saas.user_preference',          -- of people
          'saas_private.deleted_organization', -- the platform's, of organizations that are gone
          'saas_private.second_factor',    -- of people
          'saas_private.recovery_code',    -- of people
          'saas_private.sign_in_challenge', -- of people
          'saas.outbox',                   -- the platform's mail has no organization
          'saas.mail_template',            -- nor have the templates of everybody
          'saas_private.jwt_key',          -- the platform's
          'saas.guarded_schema',           -- the platform's
          'saas_private.unguarded_table',  -- the running transaction's
          'saas_private.hardening',        -- the platform's
          'saas_private.audit_key',        -- the platform's
          'saas_private.audit_sealing',    -- the platform's
          'saas_private.key_rotation',     -- the platform's
          'saas_private.sealed_column',    -- the platform's
          'saas_private.maintenance',      -- the platform's
          'saas.schema_migration',         -- the platform's
          'saas_private.installation'],    -- the platform's
    'every table but these has an org_id that is never NULL');
select is_empty(
    $$select name from catalog.relation
       where relkind in ('r', 'p') and not (relrowsecurity and relforcerowsecurity)
         and name not in ('saas.schema_migration', 'saas_private.installation')$$,
    'every table and partition with anybody''s rows has forced row-level security');
select is_empty(
    $$select name from catalog.relation where relkind not in ('r', 'p', 'v', 'i', 'I', 't')$$,
    'there are tables, views and indexes only: no sequence counts what others do');
select is_empty(
    $$select t.name, i.indexrelid::regclass
        from catalog.tenant_table t join pg_index i on i.indrelid = t.oid
       where i.indisunique
         and (select a.attname from pg_attribute a where a.attrelid = t.oid and a.attnum = i.indkey[0]) is distinct from 'org_id'$$,
    'every unique key of a tenant''s table leads with the organization');
select is_empty(
    $$select t.name from catalog.tenant_table t
       where not exists (select from pg_index i where i.indrelid = t.oid and i.indisprimary)$$,
    'every tenant''s table has a primary key');
select is_empty(
    $$select k.conrelid::regclass, k.conname
        from pg_constraint k join catalog.tenant_table t on t.oid = k.conrelid
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
       where k.contype = 'f' and a.attname <> 'org_id'
         -- People are in no organization's table.
         and k.confrelid <> 'saas.app_user'::regclass$$,
    'every foreign key of a tenant''s table leads with the organization');
select is_empty(
    $$select k.conrelid::regclass, k.conname
        from pg_constraint k join catalog.tenant_table t on t.oid = k.confrelid
        join pg_attribute a on a.attrelid = k.confrelid and a.attnum = k.confkey[1]
       where k.contype = 'f' and a.attname <> 'org_id'$$,
    'every foreign key into a tenant''s table names the organization');
select is_empty(
    $$select k.conrelid::regclass, k.conname from pg_constraint k join catalog.relation r on r.oid = k.conrelid
       where k.contype = 'f' and (k.confdeltype in ('n', 'd') or k.confupdtype <> 'a' or not k.convalidated)$$,
    'no foreign key sets NULL or a default, and all are validated');
select is_empty(
    $$select t.tgrelid::regclass, t.tgname from pg_trigger t join catalog.relation r on r.oid = t.tgrelid
       where not t.tgisinternal and t.tgname <> 'unguarded_table_check'
         and not (t.tgname ~ '_is_append_only$' and t.tgenabled = 'A'
                  and t.tgfoid = 'saas_private.refuse_change()'::regprocedure)
         -- AFTER triggers that write what a forgetful function could not: the index of what is due.
         and t.tgname not in ('connection_activity_is_repeated', 'connection_activity_is_taken_over')$$,
    'there is no trigger but the guard''s, which waits for the commit, those that keep the audit append-only, and those that keep what is turned off out of the poller''s indexes');
select is_empty(
    $$select w.ev_class::regclass, w.rulename from pg_rewrite w join catalog.relation r on r.oid = w.ev_class
       where w.rulename <> '_RETURN'$$,
    'there is no rule');
select is_empty(
    $$select name, pg_get_userbyid(relowner) from catalog.relation
       where relkind in ('r', 'p', 'v') and pg_get_userbyid(relowner) <> 'saas_owner'$$,
    'saas_owner owns every table and view');
select is_empty(
    $$select r.name, a.attname
        from catalog.relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
       where r.relkind in ('r', 'p')
         and (a.attname ~ '_at$|_until$' and a.atttypid <> 'timestamptz'::regtype and a.atttypid <> 'boolean'::regtype
              or a.attname ~ '^(is|has)_' and a.atttypid <> 'boolean'::regtype
              or a.attname ~ '^(id|.*_id)$' and a.atttypid <> 'uuid'::regtype and a.attname <> 'external_account_id'
                 -- What an event is about may have a name only; a request's id is the client's own.
                 and not (r.oid = 'saas.audit_event'::regclass and a.attname in ('object_id', 'request_id')))$$,
    'names say the type: _at is a time with time zone, is_ a boolean, _id a uuid');
select is_empty(
    $$select r.name, a.attname
        from catalog.relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0
       where r.relkind in ('r', 'p') and a.attname ~ '(secret|token|password|private_key)$'
         and a.atttypid <> 'saas.sealed'::regtype$$,
    'what is named like a secret is sealed');

-- Policies

create view catalog.policy as
select p.*, r.name as relation, pg_get_expr(p.polqual, p.polrelid) as using_text,
       pg_get_expr(p.polwithcheck, p.polrelid) as check_text, p.polroles = array[0::oid] as is_for_all
  from pg_policy p join catalog.relation r on r.oid = p.polrelid;

select is_empty(
    $$select r.name from catalog.relation r
       where r.relrowsecurity and not r.relispartition
         and not exists (select from pg_policy p where p.polrelid = r.oid)$$,
    'every table with row-level security has a policy');
select is_empty(
    $$select r.name from catalog.relation r join pg_policy p on p.polrelid = r.oid where r.relispartition$$,
    'a partition has no policy of its own: read directly it shows nothing');
select is_empty(
    $$select relation, polname from catalog.policy
       where is_for_all
         and (coalesce(using_text, 'true') || coalesce(check_text, 'true')) !~
             '^(true)?\((org_id = saas\.(org_if\(''[a-z_]+''::text\)|current_org_id\(\))|id = saas\.(org_if\(''manage_settings''::text\)|current_org_id\(\)|current_user_id\(\)))\)(true|\((org_)?id = saas\.org_if\(''[a-z_]+''::text\)\))?$'$$,
    'a policy for everyone compares the organization (or the person) with the identity''s');
select is_empty(
    $$select relation, polname from catalog.policy
       where not is_for_all and polpermissive
         and not (select array_agg(pg_get_userbyid(role)::text) from unnest(polroles) role) <@ array['saas_service', 'saas_poller']$$,
    'a policy across organizations is for service roles only');
select is_empty(
    $$select relation, polname from catalog.policy
       where concat(polqual::text, polwithcheck::text) ~ 'SUBLINK'$$,
    'no policy holds a subquery');
select is_empty(
    $$select p.relation, p.polname, d.refobjid::regprocedure
        from catalog.policy p
        join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_proc'::regclass
        join pg_proc f on f.oid = d.refobjid
       where not (f.proleakproof and f.provolatile = 's' and f.proparallel = 's')$$,
    'policies call leakproof, stable, parallel safe functions only');
select is_empty(
    $$select w.relation, w.polname from catalog.policy w
       where w.polcmd in ('w', 'd')
         and not exists (select from catalog.policy r
                          where r.polrelid = w.polrelid and r.polcmd in ('r', '*') and r.polroles @> w.polroles)$$,
    'who may change rows may read them: otherwise no row would be found');
select is_empty(
    $$select relation, polname, using_text from catalog.policy
       where not polpermissive
         and not (relation ~ '^saas\.reading' and using_text = format('(at >= saas_private.window_since(%s))',
                  array_position(array['saas.reading', 'saas.reading_5m', 'saas.reading_1h', 'saas.reading_1d'], relation::text) - 1))$$,
    'no policy is restrictive but those of the plan''s window');

-- Views

select is_empty(
    $$select name from catalog.relation
       where relkind = 'v' and not coalesce(reloptions @> array['security_invoker=true'], false)$$,
    'every view reads with the caller''s rights');
select is_empty(
    $$select r.name, d.refobjid::regprocedure
        from catalog.relation r
        join pg_rewrite w on w.ev_class = r.oid
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_proc'::regclass
        join catalog.function f on f.oid = d.refobjid
       where r.relkind = 'v' and not has_function_privilege('saas_user', f.oid, 'execute')$$,
    'saas_user may call what its views call');

-- Functions

select is_empty(
    $$select name, pg_get_userbyid(proowner) from catalog.function
       where prosecdef and pg_get_userbyid(proowner) not in ('saas_owner', 'saas_service')$$,
    'every definer function belongs to saas_owner or saas_service, never to a superuser');
select is_empty(
    $$select name from catalog.function
       where (prosecdef or prolang <> (select oid from pg_language where lanname = 'c')) and prokind <> 'a'
         and not coalesce(proconfig @> array['search_path=pg_catalog, pg_temp'], false)$$,
    'every definer function and every function not in C pins its search_path');
select is_empty(
    $$select name, proconfig from catalog.function, unnest(proconfig) as setting
       where setting !~ '^(search_path|TimeZone)='$$,
    'functions set nothing else');
select set_eq(
    $$select name from catalog.function where proleakproof$$,
    array['saas.current_user_id()', 'saas.current_org_id()', 'saas.current_role_name()', 'saas.current_session_id()',
          'saas.has_permission(text)', 'saas.org_if(text)', 'saas.is_authenticated()', 'saas_private.current_rank()',
          'saas.current_api_key_id()', 'saas_private.window_since(integer)'],
    'the accessors of the identity are leakproof, and nothing else is');
select is_empty(
    $$select name from catalog.function
       where proleakproof and not (provolatile = 's' and proparallel = 's'
                                   and prolang = (select oid from pg_language where lanname = 'c'))$$,
    'they are C, stable and parallel safe');
select is_empty(
    $$select name from catalog.function
       where provolatile <> 'v' and proname not in ('migration_scripts', 'protect_policies')  -- They hold statements as text.
         and prosrc ~* '\m(insert\s+into|update\s+saas(_private)?|delete\s+from|for\s+update|for\s+share|create\s+table|random_token|uuidv7|queue_mail|wake_poller)\M'$$,
    'what writes is volatile');
select is_empty(
    $$select name from catalog.function
       where provolatile = 'i' and proname <> 'migration_scripts'
         and prosrc ~* '\m(saas(_private|_api)?\.(?!raise_|require_field|is_reserved|json_is_longer)[a-z_]+|now\(|clock_timestamp|current_setting|current_user|session_user)'$$,
    'what reads tables, settings or the time is not immutable');
select is_empty(
    $$select name from catalog.function
       where proparallel = 's' and prolang <> (select oid from pg_language where lanname = 'c') and prokind <> 'a'$$,
    'only functions in C say that they are parallel safe');
select is_empty(
    $$select name from catalog.function
       where proparallel = 's' and provolatile = 'v'
         and name not in ('saas.uuidv7()', 'saas_private.random_token()', 'saas_private.raise_error(text,text,text,text)')$$,
    'a volatile function is parallel safe only where it writes nothing');
select is_empty(
    $$select name from catalog.function
       where prosecdef
         and prosrc ~* '\m(truncate|lock\s+table|alter|drop|grant|revoke|create|copy|set\s+(local\s+|session\s+)?role|execute)\M'
         -- The audit's query reads columns of one row, by quoted names, and no table.
         and name not in ('saas_private.ensure_reading_partition(timestamp with time zone)', 'saas.audit_change()',
                          'saas_private.ensure_rollup_partition(text,timestamp with time zone)',
                          'saas_private.drop_partition(text,timestamp with time zone)')$$,
    'no definer function holds TRUNCATE, LOCK TABLE, DDL or dynamic SQL, which row-level security does not bound');
select is_empty(
    $$select proname from catalog.function
       where pronamespace = 'saas_api'::regnamespace group by proname having count(*) > 1$$,
    'nothing in saas_api is overloaded');
select is_empty(
    $$select name, argument from catalog.function, unnest(proargnames) as argument
       where pronamespace = 'saas_api'::regnamespace
         and argument in ('select', 'order', 'limit', 'offset', 'columns', 'and', 'or', 'not')$$,
    'no parameter in saas_api has a name that PostgREST takes for itself');
select is_empty(
    $$select name from catalog.function
       where pronamespace = 'saas_api'::regnamespace
         and (not prosecdef or pronargs > 0 and (proargnames is null or '' = any (proargnames)))$$,
    'functions in saas_api are definer functions whose parameters all have names');

-- Comments

select is_empty(
    $$select name from catalog.function where coalesce(obj_description(oid, 'pg_proc'), '') = ''$$,
    'every function has a comment');
select is_empty(
    $$select name from catalog.relation
       where relkind in ('r', 'p', 'v') and not relispartition and coalesce(obj_description(oid, 'pg_class'), '') = ''$$,
    'every table and view has a comment');
select is_empty(
    $$select name from catalog.type where coalesce(obj_description(oid, 'pg_type'), '') = ''$$,
    'every type has a comment');
select is_empty(
    $$select name from catalog.namespace where coalesce(obj_description(oid, 'pg_namespace'), '') = ''$$,
    'every schema has a comment');
select is_empty(
    $$select name from catalog.function
       where pronamespace = 'saas_api'::regnamespace
         and obj_description(oid, 'pg_proc') !~ ' For (saas_anon|saas_user|everyone)\M[^.]*\.$|^[^.]*\. For everyone\.$'$$,
    'the comment of every function in saas_api ends with who may call it');
select is_empty(
    $$select name from catalog.function
       where prosrc ~ 'raise_fields|require_field|require_identity|require_permission' and pronamespace = 'saas_api'::regnamespace
         and obj_description(oid, 'pg_proc') !~ 'Errors: '$$,
    'and names its errors where it has some');
select is_empty(
    $$select r.name, a.attname
        from catalog.relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
        join pg_attribute k on k.attrelid = r.oid and k.attname = 'org_id' and not k.attnotnull
       where r.relkind = 'r' and a.attname = 'org_id' and col_description(r.oid, a.attnum) is null$$,
    'an org_id that may be NULL says what that means');

-- Grants

select is_empty(
    $$select n.name, g.privilege_type from catalog.namespace n join pg_namespace p on p.oid = n.oid, aclexplode(p.nspacl) g
       where g.grantee = 0
      union all
      select r.name, g.privilege_type from catalog.relation r, aclexplode(r.relacl) g where g.grantee = 0
      union all
      select r.name || '.' || a.attname, g.privilege_type
        from catalog.relation r join pg_attribute a on a.attrelid = r.oid, aclexplode(a.attacl) g where g.grantee = 0
      union all
      select f.name, g.privilege_type from catalog.function f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) g
       where g.grantee = 0
      union all
      select t.name, g.privilege_type from catalog.type t, aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) g
       where g.grantee = 0$$,
    'PUBLIC holds nothing');
select is_empty(
    $$select r.name, g.grantee::regrole, g.privilege_type from catalog.relation r, aclexplode(r.relacl) g
       where g.grantee in ('saas_user'::regrole, 'saas_anon'::regrole, 'saas_operator'::regrole)
         and (g.privilege_type <> 'SELECT' or r.relnamespace = 'saas_private'::regnamespace or r.relispartition
              or g.grantee = 'saas_anon'::regrole)$$,
    'saas_user and saas_operator only SELECT, nothing in saas_private and no partition; saas_anon nothing');
select is_empty(
    $$select r.name, g.grantee::regrole, g.privilege_type from catalog.relation r, aclexplode(r.relacl) g
       where g.grantee::regrole::text not in ('saas_owner', 'saas_service', 'saas_poller', 'saas_user', 'saas_operator')
          or g.is_grantable$$,
    'nobody else holds anything on a table, and nobody may pass it on');
select is_empty(
    $$select r.name, g.grantee::regrole, g.privilege_type from catalog.relation r, aclexplode(r.relacl) g
       where g.grantee in ('saas_service'::regrole, 'saas_poller'::regrole)
         and g.privilege_type not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')$$,
    'service roles read and write rows, no more');
select is_empty(
    $$select r.name, a.attname from catalog.relation r join pg_attribute a on a.attrelid = r.oid where a.attacl is not null$$,
    'there are no grants on columns');
select is_empty(
    $$select f.name, g.grantee::regrole from catalog.function f, aclexplode(f.proacl) g
       where g.grantee not in ('saas_owner'::regrole, 'saas_service'::regrole, 'saas_poller'::regrole, f.proowner)
         and f.pronamespace = 'saas_private'::regnamespace
         and f.name not in ('saas_private.sealed_in(cstring)', 'saas_private.sealed_out(saas.sealed)',
                            'saas_private.sealed_recv(internal)', 'saas_private.sealed_send(saas.sealed)',
                            'saas_private.my_organizations()',
                            'saas_private.my_sessions()', 'saas_private.my_sign_ins()', 'saas_private.my_preferences()',
                            'saas_private.my_mail_templates()', 'saas_private.my_members()',
                            'saas_private.known_permissions()', 'saas_private.my_activity()',
                            'saas_private.my_saved_views()', 'saas_private.window_since(integer)',
                            'saas_private.connection_tokens_without_key()', 'saas_private.plan_poll_interval()')$$,
    'functions in saas_private are for service roles, but for those of the type, behind views and in policies');
select set_eq(
    $$select f.name from catalog.function f, aclexplode(f.proacl) g
       where g.grantee = 'saas_anon'::regrole and f.pronamespace = 'saas_api'::regnamespace$$,
    array['saas_api.sign_up(text,text,text,text,text,text)', 'saas_api.verify_email(text)',
          'saas_api.sign_in(text,text,boolean)', 'saas_api.refresh_session(text)', 'saas_api.jwks()', 'saas_api.resolve_organization(text)', 'saas_api.organization_logo(text)',
          'saas_api.confirm_connection_token(text,text,text,text,text,jsonb,jsonb)',
          'saas_api.verify_second_factor(text,text)',
          'saas_api.verify_email_code(text,text)', 'saas_api.resend_verification(text)',
          'saas_api.request_password_reset(text)', 'saas_api.reset_password(text,text)', 'saas_api.confirm_email_change(text)'],
    'saas_anon may sign up, verify, sign in, refresh and recover, and read the public keys and whose host it is');
select is_empty(
    $$select name from catalog.function
       where pronamespace = 'saas_api'::regnamespace and not has_function_privilege('saas_user', oid, 'execute')$$,
    'saas_user may call everything in saas_api');
select is_empty(
    $$select g.grantee::regrole from catalog.function f, aclexplode(f.proacl) g
       where f.proname = 'unseal' and g.grantee <> f.proowner$$,
    'nobody is given saas.unseal');
select is_empty(
    $$select n.name, g.grantee::regrole, g.privilege_type
        from catalog.namespace n join pg_namespace p on p.oid = n.oid, aclexplode(p.nspacl) g
       where g.grantee <> p.nspowner
         and not (g.privilege_type = 'USAGE' and (n.name <> 'saas_private' or g.grantee in ('saas_owner'::regrole, 'saas_service'::regrole, 'saas_poller'::regrole))
                  or g.privilege_type = 'CREATE' and g.grantee = 'saas_owner'::regrole)$$,
    'only service roles get into saas_private, and only saas_owner makes things');

begin;
set local role saas_owner;
create function saas.born() returns integer language sql as 'select 1';
reset role;
select has_function_privilege('saas_user', 'saas.born()', 'execute') as is_open \gset
rollback;
select is(:'is_open'::text, 'f', 'a function that saas_owner makes is born without EXECUTE for PUBLIC');

-- Roles

select is_empty(
    $$select rolname from pg_roles
       where rolname ~ '^saas_(owner|service|poller|operator|user|anon)$'
         and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication or rolinherit)$$,
    'no role of ours can log in, bypass row-level security or make roles');
select is((select count(*) from pg_roles where rolname ~ '^saas_(owner|service|poller|operator|user|anon)$'), 6::bigint,
          'there are six of them');
select is_empty(
    $$select a.roleid::regrole, a.member::regrole from pg_auth_members a
       where a.member::regrole::text ~ '^saas_' or a.roleid::regrole::text ~ '^saas_(owner|service|poller)$'$$,
    'they are members of nothing, and the service roles have no members');

-- Coming and going

select throws_ok('select saas.install()', '42P07', 'pg_saas is already installed in this database',
                 'a second install is refused');
select throws_ok('drop extension pg_saas', '2BP01', null, 'the extension stays while its tables exist');
select throws_ok('drop extension pg_saas cascade', '2BP01', 'cannot drop pg_saas or what it needs while its tables exist',
                 'with CASCADE too');
select throws_ok('drop extension pgcrypto, pg_saas cascade', '2BP01', 'cannot drop pg_saas or what it needs while its tables exist',
                 'and among others');
select throws_ok('drop schema saas cascade', '2BP01', null, 'and its schemas cannot go on their own');
select throws_ok($$select saas.uninstall('yes')$$, '22023', 'the confirmation does not match',
                 'uninstall wants the name of the database');
select throws_ok($$select saas.uninstall(null)$$, '22023', 'the confirmation does not match', 'and no NULL');
select lives_ok('select saas.migrate()', 'migrate has nothing to do and says so');

-- What of pg_saas a database holds.  Default privileges belong to roles, which
-- are the cluster's and stay.
create function catalog.traces() returns setof text
language sql as $$
    select name from catalog.relation where relkind in ('r', 'p', 'v')
    union all select name from catalog.function
    union all select name from catalog.type
    union all select name from catalog.namespace
    union all select 'extension' from pg_extension where extname = 'pg_saas'
    union all select pg_describe_object(d.classid, d.objid, d.objsubid)
      from pg_shdepend d
     where d.dbid = (select oid from pg_database where datname = current_database())
       and d.refclassid = 'pg_authid'::regclass and d.refobjid::regrole::text ~ '^saas_'
       and d.classid <> 'pg_default_acl'::regclass
$$;
-- The error of a statement, as its SQLSTATE and message.
create function catalog.error_of(statement text) returns text
language plpgsql as $$
begin
    execute statement;
    return 'none';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;

set client_min_messages = warning;
select cmp_ok((select count(*) from catalog.traces()), '>', 100::bigint, 'an installed system leaves traces');
begin;
select saas.uninstall(current_database()) as done \gset
select count(*) as tables from catalog.relation where relkind in ('r', 'p', 'v') \gset
select catalog.error_of('select saas.uninstall(current_database())') as again,
       catalog.error_of('select saas.migrate()') as migrate,
       catalog.error_of($$select saas_api.sign_in('a@example.com', 'password')$$) as use \gset
create role saas_test_intruder;
grant saas_service to saas_test_intruder;
select catalog.error_of('select saas.install()') as intruder \gset
drop role saas_test_intruder;
set local role saas_operator;
select catalog.error_of('select saas.install()') as operator \gset
reset role;
drop extension pg_saas;
select coalesce(string_agg(t, ', '), '') as traces from catalog.traces() t \gset

savepoint empty;
create schema saas_private;
select catalog.error_of('create extension pg_saas') as schema \gset
rollback to empty;
alter role saas_owner bypassrls;
select catalog.error_of('create extension pg_saas') as bypassrls \gset
rollback to empty;
alter role saas_user login;
select catalog.error_of('create extension pg_saas') as login \gset
rollback to empty;
create extension pg_saas;
select saas.install() as done \gset
select count(*) as tables_again from catalog.relation where relkind in ('r', 'p', 'v') and not relispartition \gset
rollback;
select is(:tables, 0, 'uninstall removes every table and view');
select is(:'again'::text, '55000 pg_saas has no tables in this database', 'and has nothing to remove a second time');
select is(:'migrate'::text, '55000 pg_saas has no tables in this database', 'migrate says that install is missing');
select is(:'use'::text, '55000 pg_saas has no tables in this database', 'and so do the functions');
select is(:'intruder'::text, '42710 role "saas_test_intruder" is a member of "saas_service"',
          'install refuses a service role that somebody is a member of');
select matches(:'operator'::text, '^42501 ', 'install is for superusers');
select is(:'traces'::text, '', 'drop extension leaves nothing after uninstall');
select matches(:'schema'::text, '^42P06 ', 'create extension refuses a schema that exists');
select is(:'bypassrls'::text, '42710 role "saas_owner" exists with attributes that pg_saas does not allow',
          'create extension refuses a role that bypasses row-level security');
select is(:'login'::text, '42710 role "saas_user" exists with attributes that pg_saas does not allow',
          'create extension refuses a role that can log in');
select is(:tables_again, (select count(*)::integer from catalog.relation where relkind in ('r', 'p', 'v') and not relispartition),
          'it can be installed again in the same database');

select * from finish();
