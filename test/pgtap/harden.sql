-- What saas.harden takes and saas.unharden gives back, and the statements that
-- tenants are refused because they reach or outlast others.
select no_plan();

\ir ../lib/tenants.sql
call tenants.hold_poller();
set saas.bcrypt_cost = 10;
set client_min_messages = error;
select user_id as ada, org_id as acme from tenants.found('ada') \gset

create role harden_web login noinherit;
grant saas_anon, saas_user to harden_web;
create role harden_pool login inherit;
grant saas_user to harden_pool;
create role harden_bi login;
grant saas_user to harden_bi;
create role harden_report login;
create role harden_watch login;
grant pg_monitor, pg_signal_backend to harden_watch;
create role harden_support login;
grant saas_operator, saas_user to harden_support;
create role harden_definer;
select saas.map_login('harden_bi', :'ada', :'acme');

create table public.note (id integer);
grant all on public.note to saas_user;
create sequence public.counter;
grant all on schema public to saas_user, saas_anon, harden_bi, harden_web;
grant usage on sequence public.counter to public;
create function public.counts_rows() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    execute 'explain select 1';
    execute 'notify harden_test';
end
$$;
alter function public.counts_rows() owner to harden_definer;

-- SQLSTATE and message of a statement as a login that has perhaps become another
-- role; what it did is undone.
create function pg_temp.tried(login name, statement text, role name default 'none') returns text language plpgsql as $$
begin
    execute format('set local session authorization %I', tried.login);
    execute format('set local role %I', tried.role);
    execute tried.statement;
    raise exception using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return 'ran';
    when others then return sqlstate || ' ' || sqlerrm;
end
$$;
create view pg_temp.refused (what, statement, stays) as values
    ('LISTEN', 'listen harden_test', false),
    ('NOTIFY', 'notify harden_test, ''x''', false),
    ('EXPLAIN', 'explain select 1', false),
    ('EXPLAIN', 'explain analyze select 1', false),
    ('LOCK TABLE', 'lock table public.note in access exclusive mode', false),
    ('LOCK TABLE', 'lock table public.note in share update exclusive mode', false),
    ('changing a role', 'alter role current_user set work_mem = ''64kB''', false),
    ('changing a role', 'alter role current_user password ''x''', false),
    ('changing a role', 'grant harden_web to harden_report', false),
    ('DROP OWNED or REASSIGN OWNED', 'drop owned by current_user', false),
    ('DROP OWNED or REASSIGN OWNED', 'reassign owned by current_user to current_user', false),
    ('DECLARE ... WITH HOLD', 'declare held cursor with hold for select 1', true),
    ('PREPARE', 'prepare held as select 1', true),
    ('creating temporary objects', 'create temp table held (id integer)', true),
    ('creating temporary objects', 'create table pg_temp.held (id integer)', true),
    ('creating temporary objects', 'create temp table held as select 1', true),
    ('creating temporary objects', 'create temp view held as select 1', true),
    ('creating temporary objects', 'create temp sequence held', true),
    ('creating temporary objects', 'create function pg_temp.held() returns integer language sql as ''select 1''', true);

-- Before anything is hardened: the statements

select is(pg_temp.tried('harden_web', r.statement, p.role), format('PT403 %s is not allowed to tenants', r.what),
          format('%s through the pool: %s', p.role, r.statement))
  from pg_temp.refused r, (values ('saas_user'::name), ('saas_anon')) p (role);
select is(pg_temp.tried('harden_pool', r.statement), format('PT403 %s is not allowed to tenants', r.what),
          format('a pool that has the rights itself: %s', r.statement))
  from pg_temp.refused r;
select is(pg_temp.tried('harden_bi', r.statement), case when r.stays then 'ran' else format('PT403 %s is not allowed to tenants', r.what) end,
          format('a mapped login: %s', r.statement))
  from pg_temp.refused r where r.what <> 'DECLARE ... WITH HOLD';
select is(pg_temp.tried('harden_bi', 'declare held cursor with hold for select 1'), '0A000 WITH HOLD cursors are not allowed while an identity is set',
          'a mapped login has no cursor that stays either');
select isnt(left(pg_temp.tried('postgres', r.statement), 5), 'PT403', format('a superuser: %s', r.statement)) from pg_temp.refused r;
select isnt(left(pg_temp.tried('harden_support', r.statement), 5), 'PT403', format('an operator: %s', r.statement)) from pg_temp.refused r;
select isnt(left(pg_temp.tried('harden_report', r.statement), 5), 'PT403', format('a login without tenants: %s', r.statement)) from pg_temp.refused r;

select is(pg_temp.tried('harden_web', s, 'saas_user'), 'ran', format('a tenant still may: %s', s))
  from unnest(array['unlisten *', 'reset all', 'reset role', 'set role saas_anon', 'set local work_mem = ''1MB''', 'set constraints all deferred',
                    'set local role saas_anon', 'declare c cursor for select 1', 'lock table public.note in row exclusive mode',
                    'deallocate all', 'select public.counts_rows()']) s;

-- Leaving the role, or the transaction, changes nothing.
select is(pg_temp.tried('harden_web', 'set local role saas_anon; reset role; listen harden_test'), 'PT403 LISTEN is not allowed to tenants',
          'who has left saas_anon is no other');
select is(pg_temp.tried('harden_web', 'explain select 1'), 'PT403 EXPLAIN is not allowed to tenants', 'nor is the login of a session that has served');

-- The setting
set saas.restrict_sessions = off;
select is(pg_temp.tried('harden_web', r.statement, 'saas_user'), 'ran', format('without saas.restrict_sessions: %s', r.statement))
  from pg_temp.refused r where r.statement !~ '^(grant|drop)';
reset saas.restrict_sessions;
select is(pg_temp.tried('harden_web', 'set saas.restrict_sessions = off', 'saas_user'),
          '42501 permission denied to set parameter "saas.restrict_sessions"', 'which no tenant turns off');
select is(pg_temp.tried('harden_web', 'set local saas.restrict_sessions = off'),
          '42501 permission denied to set parameter "saas.restrict_sessions"', 'nor their login');

-- harden

select is(pg_temp.tried('harden_report', 'select saas.harden()'), '42501 permission denied for schema saas', 'not for anybody');
select is(pg_temp.tried('harden_support', 'select saas.harden()'), '42501 permission denied for function harden', 'nor for operators');
grant execute on function saas.harden(boolean), saas.unharden(boolean), saas_private.require_superuser(text), saas_private.raise_error(text, text, text, text) to saas_operator;
grant usage on schema saas_private to saas_operator;
select is(pg_temp.tried('harden_support', s), 'PT403 ' || substr(s, 8, length(s) - 9) || ' needs a superuser', 'whoever is granted it: ' || s)
  from unnest(array['select saas.harden()', 'select saas.unharden()']) s;
revoke execute on function saas.harden(boolean), saas.unharden(boolean), saas_private.require_superuser(text), saas_private.raise_error(text, text, text, text) from saas_operator;
revoke usage on schema saas_private from saas_operator;

-- Every right of PUBLIC and of roles, to compare.
create view pg_temp.rights as
select p.oid::regprocedure::text as object, a.grantee, a.privilege_type
  from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where p.pronamespace = 'pg_catalog'::regnamespace
union all
select 'database', a.grantee, a.privilege_type
  from pg_database d cross join lateral aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a where d.datname = current_database();
-- Somebody's own decisions, which are no business of ours.
revoke execute on function pg_catalog.pg_sleep_until(timestamptz) from public;
grant execute on function pg_catalog.pg_notify(text, text) to harden_report;
grant temporary on database :"DBNAME" to harden_bi, harden_web;
create temp table before_all as table pg_temp.rights;
create temp table checked_before as select * from saas.check_isolation();
select saas.harden(dry_run => true) as plan \gset
select set_eq('table pg_temp.rights', 'table before_all', 'a dry run changes nothing');
select is((select count(*) from saas_private.hardening), 0::bigint, 'and remembers nothing');
select matches(:'plan'::text, E'\n-- loses it: [^\n]*harden_pool[^\n]*harden_report[^\n]*harden_support[^\n]*harden_watch', 'it names the logins that lose TEMP');
select doesnt_match(:'plan'::text, 'loses it:[^\n]*harden_bi', 'but not one that was granted it');
select matches(:'plan'::text, 'from harden_web', 'and takes it from the pool''s login');
select is((select count(*) from regexp_split_to_table(:'plan'::text, E'\n') l where l !~ '^(-- .+|(revoke|grant) .+;)$'), 0::bigint,
          'every line is a reason or a statement');
select is(saas.harden(), :'plan'::text, 'harden runs what the dry run said');
select is(saas.harden(), '-- nothing to change', 'once');
select is(saas.harden(true), '-- nothing to change', 'and says so');
select set_eq('select * from saas.check_isolation()', 'table checked_before', 'saas.check_isolation finds what it found');

select is(left(pg_temp.tried(l.login, 'select ' || c.call, l.role), 5), '42501', format('%s as %s: %s', l.login, l.role, c.call))
  from (values ('harden_web'::name, 'saas_user'::name), ('harden_web', 'saas_anon'), ('harden_web', 'none'), ('harden_bi', 'none'), ('harden_report', 'none')) l (login, role),
       unnest(array['count(*) from pg_stat_activity', 'count(*) from pg_stat_get_activity(null)', 'pg_stat_get_backend_activity(1)',
                    'count(*) from pg_stat_get_backend_idset()', 'count(*) from pg_stat_replication', 'count(*) from pg_stat_ssl',
                    'count(*) from pg_stat_progress_vacuum', 'count(n_live_tup) from pg_stat_user_tables', 'count(heap_blks_hit) from pg_statio_user_tables',
                    'pg_stat_get_xact_tuples_inserted(1)', 'count(xact_commit) from pg_stat_database', 'count(*) from pg_locks',
                    'pg_blocking_pids(1)', 'count(*) from pg_prepared_xacts', 'count(*) from pg_prepared_statements',
                    'pg_relation_size(1259)', 'pg_total_relation_size(1259)', 'pg_table_size(1259)', 'pg_database_size(1)',
                    'pg_cancel_backend(0)', 'pg_terminate_backend(0)', 'pg_logical_emit_message(false, ''a'', ''b'')',
                    '"pg_sleep"(0)', '"pg_sleep_for"(''0'')', '"pg_sleep_until"(now())', 'pg_advisory_lock(1)', 'pg_try_advisory_lock(1)', 'pg_advisory_xact_lock_shared(1, 2)',
                    'lo_create(0)', 'lo_from_bytea(0, '''')', 'lo_get(1)', 'lastval()', 'setseed(0.5)', 'currval(''public.counter'')']) c (call);
select is(pg_temp.tried('harden_web', 'select pg_notify(''harden_test'', '''')', 'saas_user'), '42501 permission denied for function pg_notify', 'pg_notify');
select is(pg_temp.tried('harden_report', 'select pg_notify(''harden_test'', '''')'), 'ran', 'but by a role that was granted it');
select is(left(pg_temp.tried('harden_report', 'create temp table t (id integer)'), 5), '42501', 'TEMP is gone');
select is(pg_temp.tried('harden_web', 'set local saas.restrict_sessions = off; create temp table t (id integer)'), '42501 permission denied to set parameter "saas.restrict_sessions"', 'for the pool');
select is(pg_temp.tried('harden_bi', 'create temp table t (id integer)'), 'ran', 'and kept by who was granted it');
select is(pg_temp.tried('harden_watch', 'select ' || c), 'ran', 'a member of pg_monitor goes on: ' || c)
  from unnest(array['count(*) from pg_stat_activity', 'count(n_live_tup) from pg_stat_all_tables', 'count(*) from pg_stat_database', 'count(*) from pg_locks',
                    'count(*) from pg_prepared_xacts', 'pg_database_size(current_database())', 'pg_total_relation_size(1259)',
                    'count(*) from pg_stat_replication', 'count(*) from pg_stat_bgwriter', 'pg_cancel_backend(0)']) c;
select is(pg_temp.tried('postgres', 'select ' || c), 'ran', 'a superuser goes on: ' || c)
  from unnest(array['count(*) from pg_stat_activity', '"pg_sleep"(0)', 'pg_notify(''a'', ''b'')', 'pg_advisory_xact_lock(1)', 'lo_create(0)', 'count(*) from pg_locks']) c;
select is(pg_temp.tried('harden_web', 'select ' || c, 'saas_user'), 'ran', 'a tenant goes on: ' || c)
  from unnest(array['set_config(''work_mem'', ''1MB'', true)', 'current_setting(''work_mem'')', 'pg_advisory_unlock_all()', 'pg_backend_pid()',
                    'nextval(''public.counter'')', 'count(*) from pg_stats', 'count(*) from pg_class', 'pg_get_functiondef(''saas.version()''::regprocedure) is null',
                    'pg_current_xact_id()']) c;

-- What pg_saas does itself: as each role that its functions run as, which is
-- saas_service for those that definer functions alone may call.
select is_empty($$
    select f.oid::regprocedure, t.object::regprocedure
      from pg_proc f
      join saas_private.hardening_targets() t on t.kind = 'function'
      join pg_proc p on p.oid = t.object
     cross join lateral (select f.proowner where f.prosecdef
                         union all
                         select 'saas_service'::regrole where not f.prosecdef and has_function_privilege('saas_service', f.oid, 'EXECUTE')) as r (caller)
     where f.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
       and f.prosrc ~ format('\m%s\s*\(', p.proname) and not has_function_privilege(r.caller, t.object, 'EXECUTE')$$,
    'the functions of pg_saas keep what they call');
select is(pg_temp.tried('harden_web', 'select saas_api.request_password_reset(''nobody@example.com'')', 'saas_anon'), 'ran', 'as a request for a mail shows');

-- unharden

select saas.unharden(dry_run => true) as plan \gset
select is(saas.harden(true), '-- nothing to change', 'a dry run of unharden changes nothing');
select is(saas.unharden(), :'plan'::text, 'unharden runs what its dry run said');
select set_eq('table pg_temp.rights', 'table before_all', 'and every right is as it was, what others had decided too');
select is(saas.unharden(), '-- nothing to change', 'once');
select isnt(saas.harden(), '-- nothing to change', 'harden again');
revoke execute on function pg_catalog.pg_lock_status() from pg_read_all_stats;
select is(saas.harden(), '-- nothing to change', 'a keeper''s right that somebody took is not given again');
grant execute on function pg_catalog."pg_sleep"(double precision) to public;
select matches(saas.harden(), E'^-- [^\n]*\nrevoke execute on function pg_sleep\\(double precision\\) from public;$', 'what was opened since is closed again, and only that');
drop role harden_support;
select isnt(saas.unharden(), '-- nothing to change', 'and back');

select isnt(saas.harden(), '-- nothing to change', 'hardened once more');
select matches(saas.uninstall(current_database()), '^pg_saas uninstalled', 'pg_saas goes');

select is_empty('table before_all except table pg_temp.rights', 'with everything that it took given back');

drop owned by harden_web, harden_bi, harden_report, harden_watch, harden_pool, harden_definer cascade;
drop role harden_web, harden_bi, harden_report, harden_watch, harden_pool, harden_definer;
select finish();
