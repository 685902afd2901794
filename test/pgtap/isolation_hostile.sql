-- saas.prove_isolation is run by a superuser on tables that others own, with
-- their triggers, defaults, checks, casts and policies: none of that code gets
-- the superuser's rights, neither at once nor by what it leaves in the session.
set client_min_messages = error;
select no_plan();

create role saas_test_hostile nologin;
create schema hostile authorization saas_test_hostile;
grant usage on schema hostile to saas_user, saas_anon;
grant usage on schema saas to saas_test_hostile;
grant execute on function saas.current_org_id(), saas.org_if(text) to saas_test_hostile, saas_user;
grant create on schema public to saas_test_hostile;

-- Who ran the hostile code, and what it got.  A sequence stays through every rollback.
create sequence hostile.ran;
create sequence hostile.won;
alter sequence hostile.ran owner to saas_test_hostile;
alter sequence hostile.won owner to saas_test_hostile;
grant usage on sequence hostile.ran, hostile.won to public;

set session authorization saas_test_hostile;
-- Each way back to the superuser; a win when the code has its rights.
create function hostile.try(way text) returns void language plpgsql as $$
begin
    begin
        execute try.way;
    exception when others then
        null;
    end;
    perform nextval('hostile.ran');
    if (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)
       or (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user)
       or pg_catalog.pg_has_role('pg_write_server_files', 'usage') or pg_catalog.pg_has_role('pg_read_server_files', 'usage')
       or pg_catalog.to_regclass('pg_temp.saas_test_left') is not null
       or exists (select from pg_catalog.pg_prepared_statements p where p.name = 'saas_test_left') then
        perform nextval('hostile.won');
    end if;
end
$$;
create function hostile.attack() returns void language plpgsql as $$
begin
    perform hostile.try('reset session authorization');
    perform hostile.try('set session authorization default');
    perform hostile.try('reset role');
    perform hostile.try('set role none');
    perform hostile.try('set local role postgres');
    perform hostile.try('reset all');
    perform hostile.try('create temp table saas_test_left (a integer)');
    perform hostile.try('prepare saas_test_left as select 1');
    perform hostile.try('select saas_private.begin_proof()');
    perform hostile.try('select saas_private.run_as_session(''postgres'', ''select 1'')');
    -- Names that a superuser's statement would find first from now on.
    perform pg_catalog.set_config('search_path', 'hostile, pg_catalog', false);
    perform pg_catalog.set_config('saas_proof.path', 'hostile, pg_catalog', false);
end
$$;
-- What the superuser's own statements call, should the path stay.
create function hostile.set_config(text, text, boolean) returns text language plpgsql as
    $$ begin perform hostile.attack(); return pg_catalog.set_config($1, $2, $3); end $$;
create function hostile.set_config(text, name, boolean) returns text language plpgsql as
    $$ begin perform hostile.attack(); return pg_catalog.set_config($1, $2::text, $3); end $$;
create function hostile.format(text, variadic text[]) returns text language plpgsql as
    $$ begin perform hostile.attack(); return pg_catalog.format($1, variadic $2); end $$;
create function hostile.fired() returns trigger language plpgsql as $$ begin perform hostile.attack(); return coalesce(new, old); end $$;
create function hostile.value() returns text language plpgsql as $$ begin perform hostile.attack(); return 'x'; end $$;
create function hostile.fits(value text) returns boolean language plpgsql as $$ begin perform hostile.attack(); return true; end $$;
create function hostile.key(value text) returns text language plpgsql immutable as $$ begin perform hostile.attack(); return value; end $$;
create function hostile.sees() returns boolean language plpgsql as $$ begin perform hostile.attack(); return true; end $$;
create domain hostile.word as text check (hostile.fits(value));
create type hostile.mood as enum ('good', 'bad');
create function hostile.mood_json(value hostile.mood) returns json language plpgsql as $$ begin perform hostile.attack(); return '{}'; end $$;
create cast (hostile.mood as json) with function hostile.mood_json(hostile.mood);
reset session authorization;

create function public.plant(statement text) returns void language plpgsql as $$
begin
    set local session authorization saas_test_hostile;
    execute plant.statement;
    reset session authorization;
end
$$;

create table public.way (number integer generated always as identity, kind text, plant text);
insert into public.way (kind, plant) values
('a trigger before each row', 'create trigger a before insert or update or delete on hostile.thing for each row execute function hostile.fired()'),
('a trigger after each row', 'create trigger a after insert or update or delete on hostile.thing for each row execute function hostile.fired()'),
('a trigger for each statement', 'create trigger a before insert or update or delete or truncate on hostile.thing for each statement execute function hostile.fired()'),
('a trigger that waits for the commit', 'create constraint trigger a after insert or update or delete on hostile.thing deferrable initially deferred for each row execute function hostile.fired()'),
('a default', 'alter table hostile.thing alter body set default hostile.value()'),
('a check', 'alter table hostile.thing add check (hostile.fits(body))'),
('a generated column', 'alter table hostile.thing add made text generated always as (hostile.key(body)) stored'),
('an index on an expression', 'create index on hostile.thing (hostile.key(body))'),
('the condition of an index', 'create index on hostile.thing (id) where hostile.key(body) is not null'),
('a domain', 'alter table hostile.thing add word hostile.word not null'),
('a cast to json', 'alter table hostile.thing add mood hostile.mood not null'),
('a policy', 'create policy p on hostile.thing for all using (hostile.sees()) with check (hostile.sees())'),
('a rule', 'create rule r as on insert to hostile.thing do also select hostile.attack()'),
('a view', 'create view hostile.look as select *, hostile.value() as more from hostile.thing; grant all on hostile.look to saas_user'),
('a materialized view', 'create materialized view hostile.kept as select *, hostile.value() as more from hostile.thing with no data; grant select on hostile.kept to saas_user'),
('a definer function', 'create function hostile.open() returns text language sql security definer as ''select hostile.value()''; grant execute on function hostile.open to saas_user'),
('a parent without org_id', 'create table hostile.shared (id uuid primary key default saas.uuidv7(), mood hostile.mood); grant select on hostile.shared to saas_user;
                              insert into hostile.shared (mood) values (''good''); alter table hostile.thing add shared uuid references hostile.shared'),
('a child that a cascade reaches', 'create table hostile.child (org_id uuid not null, thing uuid references hostile.thing on delete cascade on update cascade);
                              create trigger a before insert or update or delete on hostile.child for each row execute function hostile.fired(); grant select on hostile.child to saas_user');
grant execute on function saas.uuidv7() to saas_test_hostile;

-- How often the code ran, and how often it won.
create function public.played(plant text, out ran bigint, out won bigint, out again name) language plpgsql as $$
begin
    begin
        execute format('set local session authorization saas_test_hostile; %s; reset session authorization',
                       'create table hostile.thing (id uuid primary key default saas.uuidv7(), org_id uuid not null default saas.current_org_id(), body text);
                        grant all on hostile.thing to saas_user');
        alter table hostile.thing enable row level security;
        alter table hostile.thing force row level security;
        create policy "by organization" on hostile.thing using (org_id = saas.current_org_id());
        perform public.plant(played.plant);
        perform setval('hostile.ran', 1), setval('hostile.won', 1);
        perform saas_private.isolation_verdicts('{hostile}');
        raise exception sqlstate 'ZZ000';
    exception when sqlstate 'ZZ000' then
        null;
    end;
    ran := (select s.last_value - 1 from hostile.ran s);
    won := (select s.last_value - 1 from hostile.won s);
    again := current_user;
end
$$;
create table public.outcome as
select w.number, w.kind, p.* from public.way w cross join lateral public.played(w.plant) p;
select ok(o.ran > 0, o.kind || ' runs') from public.outcome o order by o.number;
select is(o.won, 0::bigint, o.kind || ' never runs with a superuser''s rights, nor leaves anything') from public.outcome o order by o.number;
select is(array(select distinct o.again from public.outcome o), array[current_user], 'and the superuser is itself again');
select is((select count(*) from pg_prepared_statements where name = 'saas_test_left'), 0::bigint, 'no prepared statement is left');
select isnt(current_setting('search_path'), 'hostile, pg_catalog', 'nor a search_path');

-- In tables of a superuser, the code of those who may only plant triggers there.
create table hostile.granted (id uuid primary key default saas.uuidv7(), org_id uuid not null, body text);
grant trigger on hostile.granted to saas_test_hostile;
select public.plant('create trigger a before insert or update on hostile.granted for each row execute function hostile.fired()');
select setval('hostile.ran', 1) as ok, setval('hostile.won', 1) as ok2 \gset
select count(*) as verdicts from saas_private.isolation_verdicts('{hostile}') \gset
select cmp_ok((select last_value from hostile.ran), '>', 1::bigint, 'a trigger on a superuser''s table runs');
select is((select last_value from hostile.won), 1::bigint, 'without its rights');

-- A proof that a trigger tries to end before its time does not look like one without holes.
create or replace function hostile.fired() returns trigger language plpgsql as $$ begin raise exception sqlstate 'ZZP00'; end $$;
select isnt_empty($$select from saas_private.isolation_verdicts('{hostile}') v where v.attack = 'rows' and v.held is null and v.detail ~ 'ZZP00'$$,
                  'an error that looks like the proof''s own is a reason');

-- Nothing of the kind outside of a proof, and nothing as a superuser within.
select throws_ok('select saas_private.run_confined(''saas_user'', ''select 1'')', '25001', 'no proof of isolation runs', 'statements run as somebody in a proof only');
select throws_ok('select saas_private.run_as_session(''saas_user'', ''select 1'')', '25001', 'no proof of isolation runs', 'as a session, too');
select throws_ok('select saas_private.copy_confined(''saas_user'', ''copy hostile.granted from stdin'')', '25001', 'no proof of isolation runs', 'and COPY');
create function public.confined_in_proof(role name) returns text language plpgsql as $$
begin
    perform saas_private.begin_proof();
    perform saas_private.run_confined(confined_in_proof.role, 'select 1');
    raise exception sqlstate 'ZZ000';
exception when others then
    return sqlstate;
end
$$;
select is(public.confined_in_proof(current_user), '42501', 'a proof runs nothing as a superuser');
select is(public.confined_in_proof('saas_user'), 'ZZ000', 'but as others');

-- Limits do not count in a proof, but nobody guesses codes meanwhile.
create function public.guesses_refused(number integer) returns bigint language plpgsql as $$
declare
    refused bigint;
begin
    perform saas_private.begin_proof();
    refused := (select count(*) from generate_series(1, number)
                 where saas_private.take_attempt('email_code', 'somebody', 5, interval '1 hour', interval '1 hour', interval '1 day') > 0);
    raise exception sqlstate 'ZZ000';
exception when sqlstate 'ZZ000' then
    return refused;
end
$$;
select is(public.guesses_refused(200), 0::bigint, 'a proof makes its attempts');
select is(public.guesses_refused(1000), 800::bigint, 'but not many on one subject');
select is((select count(*) from generate_series(1, 5)
            where saas_private.take_attempt('email_code', 'somebody', 5, interval '1 hour', interval '1 hour', interval '1 day') > 0), 0::bigint,
          'and they count for nobody afterwards');

drop owned by saas_test_hostile cascade;
drop role saas_test_hostile;
select * from finish();
