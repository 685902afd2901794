-- Sealed values open only where they belong, and nothing else opens them.
\ir ../lib/tenants.sql
call tenants.hold_poller();
select no_plan();

create schema vault;
grant usage on schema vault to public;
create table vault.tenant (name text primary key, user_id uuid, org_id uuid);
insert into vault.tenant select n, (t).user_id, (t).org_id from (select n, tenants.found(n) as t from unnest(array['ada', 'bob']) n) f;

-- Runs an expression in the name of a tenant, with a superuser's rights; the
-- SQLSTATE, message, DETAIL and HINT when it fails.
create function vault.as_tenant(name text, expression text) returns text
language plpgsql as $$
declare
    result text;
    state text;
    message text;
    detail text;
    hint text;
begin
    perform saas.assume_identity(t.user_id, t.org_id) from vault.tenant t where t.name = as_tenant.name;
    execute 'select (' || expression || ')::text' into result;
    return result;
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text,
                            detail = pg_exception_detail, hint = pg_exception_hint;
    return concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
end
$$;
create function vault.from_bytes(bytes bytea) returns text
language sql as $$ select translate(encode(bytes, 'base64'), E'\n', '') $$;

-- What every value that does not open answers.
\set closed '22023 | cannot open the sealed value | It opens only for the organization, purpose and context it was sealed for.'
\set invalid '22P02 | invalid input for type saas.sealed | Only what saas.seal() made can be stored.'

-- Round trips

select is(vault.as_tenant('ada', format('saas.unseal(saas.seal(%L, ''note''), ''note'')', plaintext)), plaintext,
          format('%s opens again', what))
  from (values ('an empty value', ''), ('one byte', 'x'), ('unicode', E'Zo\u00eb \U0001F511 \u202e'),
               ('lines and quotes', E'a\r\n''b"\\c'), ('one MB', repeat('x', 1048576))) as v (what, plaintext);
select is(vault.as_tenant('ada', 'saas.seal(repeat(''x'', 1048577), ''note'')'),
          '22023 | a value to seal may have at most 1048576 bytes', 'a value over one MB is refused');
select is(vault.as_tenant('ada', 'saas.seal(repeat(e''\u00eb'', 524289), ''note'')'),
          '22023 | a value to seal may have at most 1048576 bytes', 'the limit counts bytes');
select is(vault.as_tenant('ada', 'saas.seal(null, ''note'')'), null, 'NULL is sealed as NULL');
select is(vault.as_tenant('ada', 'saas.unseal(null, ''note'')'), null, 'and opens as NULL');
select is(vault.as_tenant('ada', 'saas.unseal(saas.seal(''x'', ''note'', null), ''note'', '''')'), 'x',
          'no context is the empty one');
select isnt(vault.as_tenant('ada', 'saas.seal(''x'', ''note'')'), vault.as_tenant('ada', 'saas.seal(''x'', ''note'')'),
            'the same value is never sealed to the same bytes');

select vault.as_tenant('ada', 'saas.seal(''attack at dawn'', ''note'', ''row 1'')') as sealed \gset

select is(vault.as_tenant('ada', format('saas.unseal(%L, ''note'', ''row 1'')', :'sealed')), 'attack at dawn',
          'the text form opens');
select is((:'sealed'::text::saas.sealed)::text, :'sealed', 'the text form is read back as it was written');
select is(saas.describe(:'sealed'), '{"format": 1, "key_version": 1, "length": 14}', 'describe tells format, key and length');
select is(saas.describe(null), null, 'describe of NULL is NULL');
select unalike(:'sealed'::text, '%' || encode('attack at dawn', 'base64') || '%', 'the plaintext is not in it');

-- Bound to organization, purpose and context

select is(vault.as_tenant('bob', format('saas.unseal(%L, ''note'', ''row 1'')', :'sealed')), :'closed',
          'it does not open for another organization');
select is(vault.as_tenant('ada', format('saas.unseal(%L, %L, %L)', :'sealed', purpose, context)), :'closed',
          format('it does not open for %s', what))
  from (values ('another purpose', 'Note', 'row 1'),
               ('another context', 'note', 'row 2'),
               ('no context', 'note', ''),
               ('a shift of context into the purpose', 'noter', 'ow 1'),
               ('a shift of purpose into the context', 'not', 'erow 1')) as v (what, purpose, context);
select is(vault.as_tenant('ada', format('saas.unseal(%L, ''note'', ''row 1'')',
                                        saas_private.seal_for_platform('attack at dawn', 'note', 'row 1')::text)), :'closed',
          'a value of the platform does not open for an organization');
select is(vault.as_tenant('ada', format('saas_private.unseal_for_platform(%L, ''note'', ''row 1'')', :'sealed')), :'closed',
          'a value of an organization does not open for the platform');
select is(saas_private.unseal_for_platform(saas_private.seal_for_platform('key', 'pg_saas:test', 'c'), 'pg_saas:test', 'c'), 'key',
          'the platform opens its own');

-- Altered values

select decode(:'sealed', 'base64') as bytes \gset
create table vault.altered as
select 'bit ' || bit as what, vault.from_bytes(set_bit(:'bytes'::bytea, bit, 1 - get_bit(:'bytes'::bytea, bit))) as value
  from generate_series(0, 8 * length(:'bytes'::bytea) - 1) as bit
union all
select 'the first ' || n || ' bytes', vault.from_bytes(substr(:'bytes'::bytea, 1, n))
  from generate_series(0, length(:'bytes'::bytea) - 1) as n
union all
select 'a byte more', vault.from_bytes(:'bytes'::bytea || '\x00'::bytea)
union all
select 'key version ' || version,
       vault.from_bytes(substr(:'bytes'::bytea, 1, 1) || int4send(version) || substr(:'bytes'::bytea, 6))
  from unnest(array[0, -1, 2, 2147483647, -2147483648]) as version
union all
select 'format ' || n, vault.from_bytes(set_byte(:'bytes'::bytea, 0, n)) from unnest(array[0, 2, 255]) as n;
select cmp_ok((select count(*) from vault.altered), '>', 400::bigint, 'the sealed value was altered in every bit and cut at every byte');
select set_eq(
    format($$select answer from vault.altered a,
                    vault.as_tenant('ada', format('saas.unseal(%%L, ''note'', ''row 1'')', a.value)) as answer$$),
    array[:'closed', :'invalid'],
    'no altered value opens, and all are refused in one of two ways');
select is_empty(
    format($$select what from vault.altered a
              where what ~ '^key version|^bit ([89]|[1-9]\d|\d{3})$'
                and vault.as_tenant('ada', format('saas.unseal(%%L, ''note'', ''row 1'')', a.value)) <> %L$$, :'closed'),
    'one whose form is right answers as one of another purpose');

-- Changed at random: bytes exchanged, cut out, doubled, drawn; several changes each.
select setseed(0.4711);
create function vault.mutated(bytes bytea) returns bytea
language plpgsql volatile as $$
declare
    result bytea := bytes;
    place integer;
begin
    for i in 1 .. 1 + floor(random() * 4)::integer loop
        place := floor(random() * greatest(length(result), 1))::integer;
        result := case floor(random() * 5)::integer
            when 0 then set_byte(result, place, floor(random() * 256)::integer)
            when 1 then substr(result, 1, place) || substr(result, place + 2)
            when 2 then substr(result, 1, place) || substr(result, greatest(place - 3, 1))
            when 3 then substr(result, place + 1) || substr(result, 1, place)
            else overlay(result placing int4send(floor(random() * 2147483647)::integer) from place + 1) end;
        exit when length(result) = 0;
    end loop;
    return result;
end
$$;
create table vault.fuzzed as
select m.bytes, vault.from_bytes(m.bytes) as value
  from (select vault.mutated(:'bytes'::bytea) as bytes from generate_series(1, 3000)) m
 where m.bytes <> :'bytes'::bytea;
select cmp_ok((select count(*) from vault.fuzzed), '>', 2500::bigint, 'thousands were changed');
select set_eq(
    format($$select answer from vault.fuzzed f,
                    vault.as_tenant('ada', format('saas.unseal(%%L, ''note'', ''row 1'')', f.value)) as answer$$),
    array[:'closed', :'invalid'], 'none opens, none crashes, and all are refused in one of two ways');

-- Input

select is(vault.as_tenant('ada', format('%L::saas.sealed', input)), :'invalid', format('%s is refused and not quoted', what))
  from (values ('a plaintext', 'hunter2 hunter2'), ('an empty text', ''), ('base64 of a plaintext', encode('hunter2', 'base64')),
               ('base64 with a tail', :'sealed' || '*'), ('base64 in lines', left(:'sealed', 8) || 'ü' || substr(:'sealed', 9)),
               ('something long', repeat('hunter2', 100000))) as v (what, input);
select is(vault.as_tenant('ada', format('%L::saas.sealed', vault.from_bytes('\x01'::bytea || decode(repeat('00', 32 + 1048577), 'hex')))),
          :'invalid', 'more than a sealed MB is refused');

create table vault.kept (id integer, value saas.sealed);
insert into vault.kept values (1, :'sealed'), (2, vault.as_tenant('ada', 'saas.seal(repeat(''long '', 100000), ''note'')')::saas.sealed), (3, null);
create table vault.copied (like vault.kept);
select current_setting('data_directory') || '/sealed.bin' as file \gset
copy vault.kept to :'file' (format binary);
copy vault.copied from :'file' (format binary);
select is(count(*), 3::bigint, 'binary COPY brings back what it took')
  from vault.kept k join vault.copied c on c.id = k.id and c.value::text is not distinct from k.value::text;
select is(vault.as_tenant('ada', 'length(saas.unseal((select value from vault.copied where id = 2), ''note''))'), '500000',
          'and it opens');
create table vault.raw (value bytea);
insert into vault.raw values ('hunter2');
copy vault.raw to :'file' (format binary);
create table vault.taken (value saas.sealed);
create function vault.copy_in(file text) returns void
language plpgsql as $$ begin execute format('copy vault.taken from %L (format binary)', file); end $$;
select is(vault.as_tenant('ada', format('vault.copy_in(%L)', :'file')), :'invalid',
          'binary input refuses what was not sealed and does not quote it');

-- Purposes

select is(vault.as_tenant('ada', format('saas.seal(''x'', %L)', purpose)), answer, format('%s is refused', what))
  from (values ('a reserved purpose', 'pg_saas:connection', '22023 | purposes that begin with "pg_saas:" are reserved'),
               ('an empty purpose', '', '22023 | a purpose must have 1 to 255 bytes'),
               ('no purpose', null, '22023 | a purpose must have 1 to 255 bytes'),
               ('a purpose of 256 bytes', repeat('p', 256), '22023 | a purpose must have 1 to 255 bytes')) as v (what, purpose, answer);
select is(vault.as_tenant('ada', format('saas.unseal(%L, ''pg_saas:connection'')', :'sealed')),
          '22023 | purposes that begin with "pg_saas:" are reserved', 'a reserved purpose opens nothing');
select is(vault.as_tenant('ada', format('saas.unseal(saas.seal(''x'', %1$L), %1$L)', repeat('p', 255))), 'x',
          'a purpose may have 255 bytes');
select is(vault.as_tenant('nobody', 'saas.seal(''x'', ''note'')'), 'PT401 | Access token required',
          'sealing needs an identity');
select is(vault.as_tenant('nobody', format('saas.unseal(%L, ''note'')', :'sealed')), 'PT401 | Access token required',
          'and so does opening');

-- Who may

select is(tenants.answer('saas.describe(saas.seal(''x'', ''note'')) ->> ''length''', t.user_id, t.org_id), '1',
          'a tenant seals') from vault.tenant t where t.name = 'ada';
select matches(tenants.answer(call, t.user_id, t.org_id), '^42501', format('a tenant cannot call %s', call))
  from vault.tenant t,
       unnest(array[format('saas.unseal(%L, ''note'', ''row 1'')', :'sealed'),
                    format('saas_private.unseal_for_platform(%L, ''note'', ''row 1'')', :'sealed'),
                    'saas_private.seal_for_platform(''x'', ''note'', '''')',
                    format('saas_private.create_data_key(%L)', t.org_id),
                    format('saas_private.seal_secrets(%L, %L, ''o'', ''{}'')', t.org_id, t.org_id),
                    'saas_private.hash_password(''password'')',
                    'saas_private.check_password(''password'', ''hash'')',
                    format('saas_private.issue_access_token(%L, %L, %L)', t.user_id, t.user_id, t.org_id),
                    'saas_private.run_script(''select 1'')',
                    'saas_private.random_token()']) as call
 where t.name = 'ada';

-- Nothing compares or converts

select is_empty($$select oprname from pg_operator where 'saas.sealed'::regtype in (oprleft, oprright)$$,
                'no operator takes sealed values');
select is_empty($$select castsource::regtype, casttarget::regtype from pg_cast
                   where 'saas.sealed'::regtype in (castsource, casttarget)$$, 'no cast reads or makes them');
select is_empty($$select opcname from pg_opclass where opcintype = 'saas.sealed'::regtype$$, 'no index holds them');
select throws_ok($$select from vault.kept k join vault.kept c on k.value = c.value$$, '42883', null, 'they are not equal to each other');
select throws_ok($$select distinct value from vault.kept$$, '42883', null, 'nor distinct');
select throws_ok($$select from vault.kept order by value$$, '42883', null, 'nor in an order');
select throws_ok($$select value::bytea from vault.kept$$, '42846', null, 'nor bytes');
select is_empty($$select p.oid::regprocedure from pg_proc p
                   where 'saas.sealed'::regtype = any (p.proargtypes::oid[]) and p.prorettype in ('text'::regtype, 'bytea'::regtype)
                     and p.oid <> all (array['saas.unseal(saas.sealed, text, text)',
                                             'saas_private.unseal_for_platform(saas.sealed, text, text)',
                                             'saas_private.sealed_send(saas.sealed)']::regprocedure[])$$,
                'only unseal opens them');

-- Data keys

-- An error in a transaction wipes the keys that the session has opened.
create function vault.forget_keys() returns void
language plpgsql as $$ begin raise exception 'forget'; exception when raise_exception then null; end $$;
select is(count(*), count(distinct k.wrapped_key), 'every organization has a data key of its own')
  from saas_private.data_key k;
select matches(vault.as_tenant('ada', 'saas.unseal(saas.seal(''x'', ''note''), ''note'')'), '^x$', 'which opens');
begin;
update saas_private.data_key k
   set wrapped_key = (select o.wrapped_key from saas_private.data_key o join vault.tenant t on t.org_id = o.org_id where t.name = 'bob')
  from vault.tenant t where t.name = 'ada' and k.org_id = t.org_id;
select vault.forget_keys();
select vault.as_tenant('ada', 'saas.seal(''x'', ''note'')') as moved \gset
rollback;
select matches(:'moved'::text, '^55000 \| the master key does not open this database''s data keys', 'one moved to another organization does not');
begin;
delete from saas_private.data_key k using vault.tenant t where t.name = 'ada' and k.org_id = t.org_id;
select vault.forget_keys();
select vault.as_tenant('ada', format('saas.unseal(%L, ''note'', ''row 1'')', :'sealed')) as destroyed \gset
rollback;
select is(:'destroyed'::text, :'closed', 'what was sealed under a destroyed key never opens again');

-- Connections

create function vault.create_connection(name text, secret text) returns text
language sql as $$
    select tenants.answer(format($call$
        saas_api.create_connection('prometheus', %L, '{"url": "https://metrics.example.com/metrics"}',
                                   %L)->>'name' $call$, create_connection.name,
        jsonb_build_object('bearer_token', secret)), t.user_id, t.org_id)
      from vault.tenant t where t.name = 'ada'
$$;
-- Where a text stands in our tables, in the clear or in the usual codes.
create function vault.places(needle text) returns setof text
language plpgsql as $$
declare
    place record;
    is_there boolean;
begin
    for place in
        select a.attrelid::regclass as relation, a.attname as name
          from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
           and c.relnamespace in ('saas'::regnamespace, 'saas_api'::regnamespace, 'saas_private'::regnamespace)
    loop
        execute format('select exists (select from %s t where t.%I::text ~ $1)', place.relation, place.name)
           into is_there
          using concat_ws('|', needle, encode(needle::bytea, 'hex'), rtrim(encode(needle::bytea, 'base64'), '='));
        if is_there then
            return next place.relation || '.' || place.name;
        end if;
    end loop;
end
$$;
select is(vault.create_connection('Unusual name', 'exposed-secret-4711'), 'Unusual name', 'a connection with a secret is created');
select is(count(*), 1::bigint, 'its secret is stored')
  from saas_private.connection_secret s join vault.tenant t on t.org_id = s.org_id where s.name = 'bearer_token';
select is_empty($$select vault.places('exposed-secret-4711')$$, 'the secret stands nowhere in the clear');
select set_eq($$select vault.places('Unusual name')$$, array['saas.connection.name', 'saas.audit_event.after'], 'the search finds what stands in the clear');
select unalike(tenants.answer(format('saas_api.create_connection(''prometheus'', ''Other'', ''{"url": "nonsense"}'', %L)',
                                    '{"bearer_token": "exposed-secret-4711", "hunter": "exposed-secret-4712"}'), t.user_id, t.org_id),
              '%exposed%', 'a refused secret is not quoted')
  from vault.tenant t where t.name = 'ada';
select ok(not exists (select from saas_private.connection_secret s where s.value::text ~ 'exposed'), 'nor stored');
select matches(vault.as_tenant('ada', format('saas.unseal(%L, %L, %L)', s.value, 'connection', s.connection_id)), '^22023',
               'no purpose that a tenant may name opens a connection''s secret')
  from saas_private.connection_secret s;

select * from finish();
