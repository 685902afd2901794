-- Signed requests: the signature covers everything that it says, counts once,
-- and only for a short time.
select no_plan();
\ir ../lib/tenants.sql

set saas.bcrypt_cost = 10;
\set invalid '\'PT401 Invalid signature\''
select user_id as ada, org_id as org_a from tenants.found('ada') \gset
select user_id as bob, org_id as org_b from tenants.found('bob') \gset
select tenants.join('mia', :'org_a', 'admin') as mia \gset
create temp table made (label text primary key, id uuid, key text, secret text);
grant all on made to public;
create function pg_temp.make(label text, user_id uuid, org_id uuid) returns uuid language plpgsql as $$
declare
    answer jsonb := tenants.answer(format('saas_api.create_api_key(%L, ''{view_dashboard}'')', label), user_id, org_id)::jsonb;
begin
    insert into made values (label, (answer ->> 'id')::uuid, answer ->> 'key');
    return (answer ->> 'id')::uuid;
end
$$;

-- The headers of a request, signed by pgcrypto; each part is another one's to alter.
create function pg_temp.signed(label text, method text default 'POST', path text default '/rpc/é', query text default 'a=1&b=2',
                               body bytea default '\x00ff', at bigint default 0,
                               nonce text default replace(gen_random_uuid()::text, '-', ''), encoding text default 'hex')
returns jsonb language sql as $$
    select jsonb_build_object('x-api-key', m.key, 'x-saas-timestamp', t.at, 'x-saas-nonce', signed.nonce, 'x-saas-signature',
               case encoding when 'hex' then encode(s.mac, 'hex') else rtrim(translate(encode(s.mac, 'base64'), '+/', '-_'), '=') end)
      from made m,
           lateral (select (floor(extract(epoch from clock_timestamp()))::bigint + signed.at)::text as at) t,
           lateral (select hmac(convert_to(concat_ws(E'\n', signed.method, signed.path, signed.query, t.at, signed.nonce,
                                                     encode(sha256(signed.body), 'hex')), 'utf8'),
                                m.secret::bytea, 'sha256') as mac) s
     where m.label = signed.label
$$;
-- What verifying answers; the identity itself is undone, the nonce is not.
create function pg_temp.verdict(headers jsonb, method text default 'POST', path text default '/rpc/é', query text default 'a=1&b=2',
                                body bytea default '\x00ff') returns text language plpgsql as $$
begin
    perform saas.verify_request(method, path, query, body, headers);
    raise exception using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then
        return 'accepted';
    when others then
        return sqlstate || ' ' || sqlerrm;
end
$$;

--
-- The secret
--
select pg_temp.make('a', :'ada', :'org_a') as id_a \gset
select pg_temp.make('plain', :'ada', :'org_a') as id_plain \gset
select pg_temp.make('b', :'bob', :'org_b') as id_b \gset
update made set secret = 'nothing yet';
select is(pg_temp.verdict(pg_temp.signed('plain')), 'PT401 This API key has no signing secret', 'a key without a secret signs nothing');
update made m set secret = tenants.answer(format('saas_api.create_signing_secret(%L) ->> ''signing_secret''', :'id_a'), :'ada', :'org_a')
 where label = 'a';
update made m set secret = tenants.answer(format('saas_api.create_signing_secret(%L, false) ->> ''signing_secret''', :'id_b'), :'bob', :'org_b')
 where label = 'b';
select matches(secret, '^[A-Za-z0-9_-]{43}$', 'a secret has 256 bits') from made where label = 'a';
select is_empty($$select from saas_private.api_key_signing s, made m where s::text like '%' || m.secret || '%'$$, 'it is kept sealed');
select is(tenants.answer(format('saas_api.create_signing_secret(%L)', :'id_a'), :'mia', :'org_a'),
          E'PT403\nonly its creator renews an API key', 'only the key''s creator makes one');
select is(tenants.answer(format('saas_api.create_signing_secret(%L)', :'id_a'), :'bob', :'org_b'),
          E'PT404\nAPI key not found', 'and nobody of another organization');

--
-- Good requests
--
begin;
set local role saas_anon;
select is(saas.verify_request('POST', '/rpc/é', 'a=1&b=2', '\x00ff', pg_temp.signed('a')),
          jsonb_build_object('org_id', :'org_a', 'user_id', :'ada', 'api_key_id', :'id_a'), 'a signed request is accepted');
select is(saas.current_api_key_id(), :'id_a', 'and gives the transaction the key''s identity');
select is(saas.current_permissions(), '{view_dashboard}', 'with its permissions');
commit;
select is(pg_temp.verdict(pg_temp.signed('a', encoding => 'base64url')), 'accepted', 'in base64url too');
select is(pg_temp.verdict(pg_temp.signed('a') || jsonb_build_object('accept', 1, 'x', '{"x-saas-nonce": 1}'::jsonb)), 'accepted',
          'other headers do not matter');
select is(pg_temp.verdict((select jsonb_object_agg(upper(h.key), h.value) from jsonb_each(pg_temp.signed('a')) h)), 'accepted',
          'nor does the case of names');
select is(pg_temp.verdict(pg_temp.signed('a', query => '', body => ''), query => null, body => null), 'accepted',
          'no query and no body are empty ones');
select is(pg_temp.verdict(pg_temp.signed('a', at => -290)), 'accepted', 'a request may be a while on its way');
select is(pg_temp.verdict(pg_temp.signed('a', at => 290)), 'accepted', 'or from a clock that is ahead');

--
-- What was signed is what counts
--
select is(pg_temp.verdict(pg_temp.signed('a'), method => 'DELETE'), :invalid, 'another method');
select is(pg_temp.verdict(pg_temp.signed('a'), method => 'post'), :invalid, 'the method in small letters');
select is(pg_temp.verdict(pg_temp.signed('a'), path => '/rpc/e'), :invalid, 'another path');
select is(pg_temp.verdict(pg_temp.signed('a'), path => '/rpc/é/'), :invalid, 'a longer path');
select is(pg_temp.verdict(pg_temp.signed('a'), query => 'a=1&b=3'), :invalid, 'another query');
select is(pg_temp.verdict(pg_temp.signed('a'), query => null), :invalid, 'no query');
select is(pg_temp.verdict(pg_temp.signed('a'), body => '\x00fe'), :invalid, 'another body');
select is(pg_temp.verdict(pg_temp.signed('a'), body => null), :invalid, 'no body');
select is(pg_temp.verdict(pg_temp.signed('a') || jsonb_build_object(header, value)), :invalid, format('another %s (%s)', header, left(value, 20)))
  from (select 'x-saas-timestamp' as header, (floor(extract(epoch from clock_timestamp())) - 5)::bigint::text as value
        union all select 'x-saas-timestamp', v from unnest(array['', ' 1', '1e9', '-1', '+1', '9999999999999', '99999999999999999999999', '0x10']) v
        union all select 'x-saas-nonce', v from unnest(array['', 'short', repeat('n', 15), repeat('n', 129), repeat('n', 20),
                                                             repeat('n', 20) || E'\n', repeat('ö', 20), repeat('n', 16) || ' ']) v
        union all select 'x-saas-signature', v from unnest(array['', 'x', repeat('0', 64), repeat('0', 63), repeat('0', 65), repeat('A', 43),
                                                                 repeat('A', 42) || '=', repeat('g', 64), repeat('0', 1000000)]) v) c;
select is(pg_temp.verdict(pg_temp.signed('a') - header), :invalid, format('without %s', header))
  from unnest(array['x-api-key', 'x-saas-timestamp', 'x-saas-nonce', 'x-saas-signature']) header;
select is(pg_temp.verdict(pg_temp.signed('a') || jsonb_build_object(header, value)), :invalid, format('%s of %s is no text', header, value))
  from unnest(array['x-api-key', 'x-saas-timestamp', 'x-saas-nonce', 'x-saas-signature']) header,
       unnest(array['1'::jsonb, 'null', '["x"]', '{}']) value;
select is(pg_temp.verdict(pg_temp.signed('a') || '{"X-Saas-Nonce": "0123456789abcdef"}'), :invalid, 'a header twice');
select is(pg_temp.verdict(pg_temp.signed('a') || jsonb_build_object('x-api-key', (select key from made where label = 'b'))), :invalid,
          'another key');
select is(pg_temp.verdict(pg_temp.signed('a') || '{"x-api-key": "saas_x"}'), 'PT401 Invalid or expired API key', 'no key');
select is(pg_temp.verdict(headers), '22023 headers must be an object', format('headers of %s', headers))
  from unnest(array[null, '1'::jsonb, '[]', '"x"']) headers;
select is(pg_temp.verdict(pg_temp.signed('a'), method => null), '22023 method is required', 'a method is needed');
select is(pg_temp.verdict(pg_temp.signed('a'), path => null), '22023 path is required', 'and a path');
-- Two requests that would have the same string to sign.
select is(pg_temp.verdict(pg_temp.signed('a', path => '/x', query => E'y\nz'), path => E'/x\ny', query => 'z'),
          '22023 path must not hold control characters', 'a line feed in the path');
select is(pg_temp.verdict(pg_temp.signed('a', path => E'/x\ny', query => 'z'), path => '/x', query => E'y\nz'),
          '22023 query must not hold control characters', 'or in the query');

--
-- When, and how often
--
select is(pg_temp.verdict(pg_temp.signed('a', at => -310)), :invalid, 'a stale request');
select is(pg_temp.verdict(pg_temp.signed('a', at => 310)), :invalid, 'one from the future');
select pg_temp.signed('a') as headers \gset
select is(pg_temp.verdict(:'headers'), 'accepted', 'the first time');
select is(pg_temp.verdict(:'headers'), :invalid, 'a replay, though the first transaction was rolled back');
select is(pg_temp.verdict(pg_temp.signed('a', nonce => :'headers'::jsonb ->> 'x-saas-nonce', path => '/other'), path => '/other'), :invalid,
          'the nonce for another request');
select is(pg_temp.verdict(pg_temp.signed('b', nonce => :'headers'::jsonb ->> 'x-saas-nonce')), 'accepted', 'keys share no nonces');
select is(pg_temp.verdict(pg_temp.signed('a', nonce => 'forged-then-good-1') || jsonb_build_object('x-saas-signature', repeat('0', 64))),
          :invalid, 'a forged request');
select is(pg_temp.verdict(pg_temp.signed('a', nonce => 'forged-then-good-1')), 'accepted', 'does not use the nonce up');

--
-- Keys that need it
--
create function pg_temp.alone(label text) returns text language plpgsql as $$
begin
    perform saas.authenticate((select m.key from made m where m.label = alone.label));
    return 'accepted';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
select is(pg_temp.alone('a'), 'PT401 This API key works with signed requests only', 'a key with a secret is refused alone');
select is(pg_temp.alone('b'), 'accepted', 'unless it need not be signed');
update made m set secret = tenants.answer(format('saas_api.create_signing_secret(%L) ->> ''signing_secret''', :'id_a'), :'ada', :'org_a')
 where label = 'plain';
select is(pg_temp.verdict(pg_temp.signed('a')), :invalid, 'a new secret replaces the old one');
update made a set secret = p.secret from made p where a.label = 'a' and p.label = 'plain';
select is(pg_temp.verdict(pg_temp.signed('a')), 'accepted', 'and signs from then on');

-- Two secrets at once, for the time of a change.
insert into made select 'old', m.id, m.key, m.secret from made m where m.label = 'a';
insert into made select 'older', m.id, m.key, m.secret from made m where m.label = 'a';
create function pg_temp.renew(call text) returns text language plpgsql as $$
declare
    answer text := tenants.answer(format('saas_api.create_signing_secret(%s) ->> ''signing_secret''', call), k.created_by, k.org_id)
                     from saas.api_key k where k.id = split_part(call, '''', 2)::uuid;
begin
    if answer ~ '^[A-Za-z0-9_-]{43}$' then
        update made m set secret = o.secret from made o where m.label = 'older' and o.label = 'old';
        update made m set secret = o.secret from made o where m.label = 'old' and o.label = 'a';
        update made m set secret = answer where m.label = 'a';
        return 'renewed';
    end if;
    return answer;
end
$$;
create function pg_temp.verdicts() returns text language sql as $$
    select string_agg(label || case when pg_temp.verdict(pg_temp.signed(label)) = 'accepted' then ' +' else ' -' end, ' ' order by label)
      from unnest(array['a', 'old', 'older']) label
$$;
select matches(pg_temp.renew(format('%L, true, %L::interval', :'id_a', wrong)), '^22023', format('an overlap of %s is refused', wrong))
  from unnest(array['-1 second', '31 days']) wrong;
select is(pg_temp.renew(format('%L, true, ''1 hour''', :'id_a')), 'renewed', 'a change with an overlap');
select is(pg_temp.verdicts(), 'a + old + older +', 'leaves the secret of before good');
select is(pg_temp.renew(format('%L, true, ''1 hour''', :'id_a')), 'renewed', 'another one');
select is(pg_temp.verdicts(), 'a + old + older -', 'ends the one before the last');
update saas_private.api_key_signing set previous_valid_until = now() where api_key_id = :'id_a';
select is(pg_temp.verdicts(), 'a + old - older -', 'with its time it ends');
select is(pg_temp.renew(format('%L', :'id_a')), 'renewed', 'without a rotation of the key');
select is(pg_temp.verdicts(), 'a + old - older -', 'there is no overlap');
select is_empty(format('select from saas_private.api_key_signing where api_key_id = %L and previous_signing_secret is not null', :'id_a'), 'and nothing is kept');
select tenants.answer(format('saas_api.rotate_api_key(%L, ''2 hours'') ->> ''key''', :'id_a'), :'ada', :'org_a') as rotated \gset
select is(pg_temp.renew(format('%L', :'id_a')), 'renewed', 'after a rotation of the key');
select is(pg_temp.verdicts(), 'a + old + older -', 'old key and old secret are good');
select results_eq(format('select s.previous_valid_until = k.overlap_until from saas_private.api_key_signing s join saas.api_key k on k.id = s.api_key_id where k.id = %L', :'id_a'),
                  array[true], 'for the same time');
update made set key = :'rotated' where label in ('a', 'old', 'older');
select is(pg_temp.verdicts(), 'a + old + older -', 'the new key with either');
select is(pg_temp.renew(format('%L, true, ''0''', :'id_a')), 'renewed', 'an overlap of nothing');
select is(pg_temp.verdicts(), 'a + old - older -', 'is none');
select tenants.answer(format('saas_api.revoke_api_key(%L)', :'id_a'), :'mia', :'org_a') as ok \gset
select is(pg_temp.verdict(pg_temp.signed('a')), 'PT401 Invalid or expired API key', 'a revoked key signs nothing');

select * from finish();
