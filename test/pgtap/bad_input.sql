-- Bad input to every function that a client reaches, made from the catalog:
-- each argument in turn gets every hostile value of its type.  The answer is
-- an error that a client can act upon, never one from inside.
\i test/lib/tenants.sql
set client_min_messages = warning;
set saas.bcrypt_cost = 10;
call tenants.hold_poller();
select plan(7);

create schema hostile;
grant usage on schema hostile to public;

create table hostile.input (type regtype, label text, value text, primary key (type, label));
insert into hostile.input
select t.type, v.label, v.value
  from (values ('text'::regtype), ('name')) as t (type),
       (values ('null', null), ('empty', ''), ('blanks', E' \t '), ('control characters', E'a\x01\x1b\r\nSet-Cookie: b'),
               ('over-long', repeat('x', 1000000)), ('over-long and wide', repeat('ü', 300000)),
               ('directions and joiners', E'\u202e\u200d\ufeff\U000e0001'), ('a quote', $v$'; drop table saas.app_user; --$v$),
               ('a pattern', '%_\(['), ('a format', '%s%n%1$I')) as v (label, value);
insert into hostile.input
select 'uuid', v.label, v.value
  from (values ('null', null), ('nobody''s', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
               ('zero', '00000000-0000-0000-0000-000000000000')) as v (label, value);
insert into hostile.input
select 'jsonb', v.label, v.value
  from (values ('null', null), ('json null', 'null'), ('a number', '1e400'), ('a string', '"\u0001\r\n"'), ('an array', '[[],{},null]'),
               ('deep', repeat('[', 3000) || repeat(']', 3000)), ('unknown keys', '{"": null, "a\u001bb": {"c": []}}'),
               ('a long key', '{"' || repeat('k', 100000) || '": 1}'),
               ('a long value', '{"name": "' || repeat('v', 1000000) || '", "url": "' || repeat('u', 1000000) || '"}')) as v (label, value);
insert into hostile.input
select t.type, v.label, v.value
  from (values ('integer'::regtype), ('bigint')) as t (type),
       (values ('null', null), ('zero', '0'), ('negative', '-2147483648'), ('large', '2147483647')) as v (label, value);
insert into hostile.input
select 'interval', v.label, v.value
  from (values ('null', null), ('zero', '0'), ('negative', '-1 second'), ('endless', '178000000 years'),
               ('tiny', '1 microsecond')) as v (label, value);
insert into hostile.input
select 'timestamptz', v.label, v.value
  from (values ('null', null), ('the end of time', 'infinity'), ('its beginning', '-infinity'), ('long ago', '4713-01-01 BC'),
               ('far ahead', '294276-12-31')) as v (label, value);
insert into hostile.input
select t.type, v.label, v.value
  from (values ('text[]'::regtype), ('uuid[]')) as t (type),
       (values ('null', null), ('empty', '{}'), ('of nulls', '{NULL,NULL}'), ('of two dimensions', '{{NULL},{NULL}}')) as v (label, value);
insert into hostile.input
select 'text[]', v.label, v.value
  from (values ('of control characters', E'{"\x01\x1b\r\n"}'), ('of empty texts', '{"",""}'),
               ('over-long', '{' || repeat('x', 1000000) || '}'),
               ('of very many', '{' || repeat('a,', 100000) || 'a}')) as v (label, value);
insert into hostile.input values
    ('double precision[]', 'null', null), ('double precision[]', 'empty', '{}'), ('double precision[]', 'odd', '{NULL,NaN,Infinity,-Infinity,1e308,5e-324}'),
    ('double precision[]', 'of two dimensions', '{{NULL},{1}}'), ('timestamptz[]', 'null', null), ('timestamptz[]', 'empty', '{}'),
    ('timestamptz[]', 'odd', '{NULL,infinity,-infinity,"4713-01-01 BC"}');
insert into hostile.input
select 'uuid[]', 'of very many', '{' || string_agg(gen_random_uuid()::text, ',') || '}' from generate_series(1, 20000);
insert into hostile.input values
    ('boolean', 'null', null), ('regclass', 'null', null), ('regclass', 'a catalog', 'pg_catalog.pg_class'),
    ('inet', 'null', null), ('inet', 'everything', '0.0.0.0/0'),
    ('bytea', 'null', null), ('bytea', 'empty', ''), ('bytea', 'zeroes', '\x' || repeat('00', 1000000)),
    ('double precision', 'null', null), ('double precision', 'no number', 'NaN'), ('double precision', 'endless', '-Infinity'),
    ('numeric', 'null', null), ('numeric', 'no number', 'NaN'), ('numeric', 'endless', '-Infinity'), ('numeric', 'long', repeat('9', 1000)),
    ('date', 'null', null), ('date', 'the end of time', 'infinity'), ('date', 'long ago', '4713-01-01 BC'), ('date', 'far ahead', '5874897-12-31'),
    ('interval[]', 'of two dimensions', '{{1 day},{2 days}}'), ('interval[]', 'null', null), ('interval[]', 'empty', '{}'), ('interval[]', 'odd', '{NULL,"-1 second","178000000 years"}'),
    ('saas.sealed', 'null', null);
create table hostile.plain (type regtype primary key, value text);
insert into hostile.plain values
    ('text', 'something'), ('name', 'something'), ('uuid', 'ffffffff-ffff-ffff-ffff-fffffffffffe'), ('jsonb', '{}'), ('integer', '1'),
    ('bigint', '1'), ('interval', '1 hour'), ('timestamptz', 'now'), ('text[]', '{something}'),
    ('uuid[]', '{ffffffff-ffff-ffff-ffff-fffffffffffe}'), ('boolean', 'true'), ('regclass', 'public.nothing'), ('inet', '192.0.2.1'),
    ('bytea', 'something'), ('double precision[]', '{1}'), ('timestamptz[]', '{now}'), ('double precision', '1'), ('numeric', '1'), ('date', '2026-01-01'),
    ('interval[]', '{1 hour}'), ('saas.sealed', null);
create table public.nothing ();

create table hostile.call (
    as_role text, function regprocedure, argument text, label text, statement text, sqlstate text, words text
);
grant select, insert on all tables in schema hostile to public;

create function hostile.arguments(function regprocedure, out number integer, out argument text, out type regtype) returns setof record
language sql stable as $$
    select a.number::integer, coalesce(p.proargnames[a.number], a.number::text), a.type::regtype
      from pg_proc p, unnest(p.proargtypes) with ordinality as a (type, number)
     where p.oid = $1
$$;

create function hostile.statement(function regprocedure, hostile_number integer, hostile_value text) returns text
language sql stable as $$
    select format('select %s(%s)', hostile_function.name, string_agg(
               format('%L::%s', case when a.number = $2 then $3 else p.value end, a.type), ', ' order by a.number))
      from (select format('%I.%I', n.nspname, f.proname) as name
              from pg_proc f join pg_namespace n on n.oid = f.pronamespace where f.oid = $1) as hostile_function,
           hostile.arguments($1) a left join hostile.plain p on p.type = a.type
     group by hostile_function.name
$$;

-- Calls as the session's role; what a call did is undone.
create procedure hostile.try(as_role text, function regprocedure, argument text, label text, statement text)
language plpgsql as $$
declare
    state text; message text; detail text; hint text;
begin
    begin
        execute statement;
        raise exception using errcode = 'ZZ000';
    exception when others then
        get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail,
                                hint = pg_exception_hint;
    end;
    insert into hostile.call values (as_role, function, argument, label, left(statement, 300),
                                     nullif(state, 'ZZ000'), concat_ws(' | ', message, detail, hint));
end
$$;

create procedure hostile.try_all(as_role name)
language plpgsql as $$
declare
    attempt record;
begin
    for attempt in
        select p.oid::regprocedure as function, a.number, a.argument, i.label, i.value
          from pg_proc p
         cross join lateral hostile.arguments(p.oid::regprocedure) a
          join hostile.input i on i.type = a.type
         where p.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace) and p.prokind = 'f'
           and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
           and has_function_privilege(as_role, p.oid, 'execute')
         order by p.oid, a.number, i.label
    loop
        call hostile.try(as_role, attempt.function, attempt.argument, attempt.label,
                         hostile.statement(attempt.function, attempt.number, attempt.value));
    end loop;
end
$$;
grant execute on all routines in schema hostile to public;

select org_id as org, user_id as owner from tenants.found('hostile') \gset
begin;
select saas.assume_identity(:'owner', :'org') as ok \gset
set local role saas_user;
call hostile.try_all('saas_user');
commit;
begin;
set local role saas_anon;
call hostile.try_all('saas_anon');
commit;
begin;
set local role saas_operator;
call hostile.try_all('saas_operator');
commit;

select is_empty($$
    select distinct a.type, p.oid::regprocedure
      from pg_proc p cross join lateral hostile.arguments(p.oid::regprocedure) a
     where p.pronamespace in ('saas'::regnamespace, 'saas_api'::regnamespace) and p.prokind = 'f'
       and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
       and exists (select from unnest(array['saas_anon', 'saas_user', 'saas_operator']) r where has_function_privilege(r, p.oid, 'execute'))
       and not exists (select from hostile.input i where i.type = a.type)
$$, 'there are hostile values for every type of argument');
select ok(count(*) > 1000, 'many calls were made: ' || count(*)) from hostile.call;
select is_empty($$
    select as_role, function, argument, label, sqlstate, left(words, 200)
      from hostile.call
     where sqlstate is not null
       and sqlstate !~ '^(22...|PT4..|PT503|23505|25001|42501|0A000)$'
       -- What is wrong with a table, for who administers it.
       and not (as_role = 'saas_operator' and function::text ~ 'protect' and sqlstate in ('42P01', '42809', '23502', '55000'))
$$, 'every refusal is one that its caller can act upon');
select is_empty($$
    select as_role, function, argument, label, sqlstate, left(words, 200)
      from hostile.call
     where as_role = 'saas_user' and label = 'of two dimensions' and sqlstate !~ '^(22023|PT4..|PT503|42501)$'
$$, 'a tenant''s array of two dimensions is refused in our own words');
select is_empty($$
    select as_role, function, argument, label, sqlstate, left(words, 200)
      from hostile.call
     where words ~ '[\x01-\x08\x0b-\x1f\x7f]'
$$, 'no refusal repeats control characters');
select is_empty($$
    select as_role, function, argument, label, sqlstate, length(words)
      from hostile.call
     where length(words) > 2000
$$, 'no refusal repeats over-long input');
select is((select count(*) from saas.app_user)::integer, 1, 'and nothing happened');
select * from finish();
