-- Applications seal columns of their own and search them by equality.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

create schema crm;
grant usage on schema crm to public;
create table crm.tenant (name text primary key, user_id uuid, org_id uuid);
insert into crm.tenant select n, (t).user_id, (t).org_id
  from (select n, tenants.found(n) as t from unnest(array['ada', 'bob']) n) f;
create table crm.customer (
    id uuid primary key default saas.uuidv7(),
    email saas.sealed not null,
    email_index bytea not null
);
select lives_ok($$select saas.protect('crm.customer')$$, 'a table with a sealed column is protected');
grant select, insert, update, delete on crm.customer to saas_user;
create index customer_email on crm.customer (org_id, email_index);

create function crm.answer(name text, expression text) returns text
language sql as $$
    select tenants.answer(answer.expression, t.user_id, t.org_id) from crm.tenant t where t.name = answer.name
$$;
create function crm.store(name text, email text) returns void
language plpgsql as $$
declare
    who crm.tenant;
begin
    select * into who from crm.tenant t where t.name = store.name;
    perform saas.assume_identity(who.user_id, who.org_id);
    set local role saas_user;
    insert into crm.customer (email, email_index)
    values (saas.seal(store.email, 'customer.email'), saas.blind_index(lower(store.email), 'customer.email'));
    reset role;
end
$$;

select crm.store('ada', 'Grace@example.com');
select crm.store('ada', 'alan@example.com');
select crm.store('bob', 'grace@example.com');

select is(crm.answer('ada', $$(select count(*) from crm.customer
                                where email_index = saas.blind_index('grace@example.com', 'customer.email'))$$),
          '1', 'a value is found by its blind index');
select is(crm.answer('ada', $$(select count(*) from crm.customer
                                where email_index = saas.blind_index('grace@example.com', 'customer.name'))$$),
          '0', 'not under another purpose');
select is(crm.answer('ada', $$(select count(*) from crm.customer
                                where email_index = saas.blind_index('edsger@example.com', 'customer.email'))$$),
          '0', 'nor another value');
select is((select count(distinct email_index) from crm.customer), 3::bigint,
          'the same value has another index in another organization');
select is((select max(length(email_index)) from crm.customer), 16, 'an index has 16 bytes');
select is(crm.answer('ada', $$saas.blind_index('a', 'bc') = saas.blind_index('ca', 'b')$$), 'false',
          'purpose and value do not run into each other');
select is(crm.answer('ada', $$saas.blind_index('', 'note') = saas.blind_index('', 'note')$$), 'true', 'the empty value has one too');
select is(crm.answer('ada', $$saas.blind_index(null, 'note')$$), null, 'NULL has none');
select is(crm.answer('ada', format('length(saas.blind_index(%L, ''note''))', repeat('x', 1000000))), '16', 'a long one is as short');

-- Its key

select is((select count(*) from saas_private.blind_index_key), 2::bigint, 'each organization that used one has a key');
select unalike((select string_agg(k.key::text, '') from saas_private.blind_index_key k),
               '%' || (select encode(email_index, 'hex') from crm.customer limit 1) || '%', 'which is sealed');

-- Errors

select is(crm.answer('ada', call), answer, format('%s is refused', call))
  from (values ('saas.blind_index(''x'', ''pg_saas:connection'')', E'22023\npurposes that begin with "pg_saas:" are reserved'),
               ('saas.blind_index(''x'', '''')', E'22023\na purpose must have 1 to 255 bytes'),
               ('saas.blind_index(''x'', null)', E'22023\na purpose must have 1 to 255 bytes')) as v (call, answer);
select throws_ok($$select saas.blind_index('x', 'note')$$, 'PT401', null, 'without an identity there is none');
select matches(crm.answer('ada', 'saas.unseal((select email from crm.customer limit 1), ''customer.email'')'), '^42501',
               'a tenant opens nothing');
select has_index('crm', 'customer', 'customer_email', 'the index is there');

-- A key that was never committed is not kept.

create function crm.count_keys() returns bigint language sql as $$ select count(*) from saas_private.blind_index_key $$;
select tenants.found('eve') as eve \gset
create function crm.use_and_fail(name text) returns text
language plpgsql as $$
declare
    who record;
    made bytea;
begin
    select u.id as user_id, m.org_id into who
      from saas.app_user u join saas.membership m on m.user_id = u.id where u.email = use_and_fail.name || '@example.com';
    begin
        perform saas.assume_identity(who.user_id, who.org_id);
        made := saas.blind_index('x', 'note');
        raise exception 'fail';
    exception when raise_exception then
        null;
    end;
    return encode(made, 'hex');
end
$$;
select crm.use_and_fail('eve') as lost \gset
select is(crm.count_keys(), 2::bigint, 'a failed transaction leaves no key');
select isnt((select tenants.answer($$encode(saas.blind_index('x', 'note'), 'hex')$$, u.id, m.org_id)
               from saas.app_user u join saas.membership m on m.user_id = u.id where u.email = 'eve@example.com'),
            :'lost', 'and its key is forgotten');

-- What is cached is not read again.

create function crm.reads() returns bigint language sql volatile as $$
    select coalesce(sum(pg_stat_get_xact_numscans(i.indexrelid)), 0)::bigint + sum(pg_stat_get_xact_numscans(i.indrelid))::bigint
      from pg_index i where i.indrelid in ('saas_private.data_key'::regclass, 'saas_private.blind_index_key'::regclass)
$$;
begin;
select saas.assume_identity(t.user_id, t.org_id) from crm.tenant t where t.name = 'ada';
select count(saas.unseal(saas.seal('x', 'note'), 'note')), count(saas.blind_index('x', 'note')) from generate_series(1, 3) \g /dev/null
select crm.reads() as before \gset
select cmp_ok(:'before'::bigint, '>', 0::bigint, 'keys are read from their tables');
select count(saas.unseal(saas.seal(n::text, 'note'), 'note')), count(saas.blind_index(n::text, 'note')) from generate_series(1, 1000) n \g /dev/null
-- But for the block of its budget that chance may have it note.
select cmp_ok(crm.reads() - :'before'::bigint, '<=', 20::bigint, 'a thousand seals, openings and indexes under cached keys read no table');
commit;

select * from finish();
