-- The one way by which a connection's secret comes out: an operator's, with a
-- ticket, and never unseen.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

select user_id as ada, org_id as org_a from tenants.found('ada') \gset
select org_id as org_b from tenants.found('bob') \gset
select tenants.connect(:'org_a', 'Exporter', secrets => '{"bearer_token": "planted-secret-4711", "password": "für alle"}') as connection \gset
select tenants.connect(:'org_b', 'Foreign', secrets => '{"bearer_token": "planted-secret-4712"}') as foreign_connection \gset
create role reveal_operator login;
grant saas_operator to reveal_operator;
grant usage on schema tenants to reveal_operator;

create function pg_temp.reveal(connection_id text, name text) returns text
language plpgsql as $$
begin
    return saas.reveal_secret(reveal.connection_id::uuid, reveal.name);
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
create function pg_temp.events() returns text
language sql as $$
    select coalesce(string_agg(concat_ws(' ', e.login, e.source, e.object_type, e.after, e.ticket_id is not null), '; ' order by e.id), 'none')
      from saas.audit_event e where e.action = 'secret.revealed'
$$;
\set needs_ticket '\'PT403 an open ticket for the organization is needed\''

select is(tenants.answer(format('saas.reveal_secret(%L, ''bearer_token'')', :'connection'), :'ada', :'org_a'),
          '42501' || E'\n' || 'permission denied for function reveal_secret', 'a tenant reveals nothing, not even its own');
select is(pg_temp.reveal(:'connection', 'bearer_token'), :needs_ticket, 'a superuser needs a ticket too');

set session authorization reveal_operator;
select is(pg_temp.reveal(:'connection', 'bearer_token'), :needs_ticket, 'an operator needs a ticket');
begin;
select saas.open_ticket(:'org_a', 'to see what was stored') \g /dev/null
select is(pg_temp.reveal(:'connection', 'bearer_token'), :needs_ticket, 'one that could still be rolled back does not count');
rollback;
select saas.open_ticket(:'org_a', 'to see what was stored') \g /dev/null
select is(pg_temp.reveal(:'connection', 'bearer_token'), 'planted-secret-4711', 'with a committed ticket the secret comes out');
select is(pg_temp.reveal(:'connection', 'password'), 'für alle', 'as it was given');
select is(pg_temp.reveal(:'foreign_connection', 'bearer_token'), :needs_ticket, 'not that of another organization');
select is(pg_temp.reveal(:'connection', 'api_key'), 'PT404 the connection has no secret of that name', 'one that is not there is not found');
select is(pg_temp.reveal(gen_random_uuid()::text, 'bearer_token'), 'PT404 connection not found', 'nor a connection that is not');
select is(pg_temp.reveal(null, 'bearer_token'), '22023 reveal_secret needs a connection and the name of a secret', 'nothing is needed of nothing');
select is(pg_temp.reveal(:'connection', null), '22023 reveal_secret needs a connection and the name of a secret', 'nor by no name');
begin;
select pg_temp.reveal(:'connection', 'bearer_token') \g /dev/null
rollback;
reset session authorization;

-- The worker writes them down within seconds.
select saas.adopt();
create procedure tenants.wait_for_events(expected bigint)
language plpgsql as $$
declare
    give_up_at timestamptz := clock_timestamp() + interval '1 minute';
begin
    while (select count(*) from saas.audit_event e where e.action = 'secret.revealed') < expected
          and clock_timestamp() < give_up_at loop
        commit;
    end loop;
end
$$;
call tenants.wait_for_events(3);
select is(pg_temp.events(),
          'reveal_operator operator connection {"revealed": "bearer_token"} t; '
          'reveal_operator operator connection {"revealed": "password"} t; '
          'reveal_operator operator connection {"revealed": "bearer_token"} t',
          'every look is in the audit, that of a transaction that rolled back too');
select is_empty($$select from saas.audit_event e where e::text ~ 'planted|für alle'$$, 'and no secret is');
select is(tenants.answer($$(select count(*) from saas_api.audit_log where action = 'secret.revealed')$$, :'ada', :'org_a'), '3',
          'for the organization to see');

-- Moved or altered, it does not open, and the look is noted all the same.

update saas.connection set origin = 'https://elsewhere.example:443' where id = :'connection';
set session authorization reveal_operator;
select is(pg_temp.reveal(:'connection', 'bearer_token'), '22023 cannot open the sealed value', 'what belongs to another destination does not open');
reset session authorization;

select * from finish();
