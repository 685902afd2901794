-- Hostile tokens against saas.authenticate() and saas.verify_jwt().  The key is
-- a secret of HS256, which the test opens: what it signs is truly signed, and
-- only the check in question can refuse it.  (Every algorithm:
-- test/unit/test_jwt_hostile.c.)
select no_plan();
\ir ../lib/refusals.sql

create function pg_temp.base64url(value bytea) returns text language sql as $$
    select translate(encode(value, 'base64'), E'+/=\n', '-_')
$$;
create function pg_temp.from_base64url(value text) returns bytea language sql as $$
    select decode(translate(value, '-_', '+/') || repeat('=', (4 - length(value) % 4) % 4), 'base64')
$$;
create function pg_temp.forge(header bytea, payload bytea, secret bytea) returns text language sql as $$
    select input || '.' || pg_temp.base64url(hmac(input::bytea, secret, 'sha256'))
      from (select pg_temp.base64url(header) || '.' || pg_temp.base64url(payload)) i (input)
$$;
create function pg_temp.forge(header text, payload text, secret bytea) returns text language sql as $$
    select pg_temp.forge(convert_to(header, 'utf8'), convert_to(payload, 'utf8'), secret)
$$;
\set bad '\'PT401 Invalid or expired token\''

set saas.bcrypt_cost = 10;
select saas_api.sign_up('ada@hostile.example', 'correct horse', 'Ada', 'Lovelace', 'Hostile') as ok \gset
select count(saas.confirm_user(id)) as ok from saas.app_user \gset
select saas_api.sign_in('ada@hostile.example', 'correct horse') ->> 'access_token' as es_token \gset
select kid as es_kid from saas.token_keys() \gset
set saas.jwt_algorithm = 'HS256';
select saas.rotate_token_keys('0') as kid \gset
select saas_api.sign_in('ada@hostile.example', 'correct horse') ->> 'access_token' as token \gset

create table public.scene as
select k.kid, (k.jwk ->> 'kid') = k.kid as fits, pg_temp.from_base64url(k.jwk ->> 'k') as secret,
       convert_from(pg_temp.from_base64url(split_part(:'token', '.', 2)), 'utf8')::jsonb as claims,
       pg_temp.from_base64url(e.public_jwk ->> 'x') as x, pg_temp.from_base64url(e.public_jwk ->> 'y') as y,
       e.public_jwk as es_jwk
  from (select kid, saas_private.unseal_for_platform(private_key, 'pg_saas:jwt-key', kid)::jsonb as jwk
          from saas_private.jwt_key where kid = :'kid') k,
       saas_private.jwt_key e where e.kid = :'es_kid';
select is((select fits and octet_length(secret) = 32 from public.scene), true, 'the secret is opened');

-- A header and a payload with a few members changed; NULL takes one away.
create function pg_temp.sign(header jsonb default '{}', claims jsonb default '{}') returns text language sql as $$
    select pg_temp.forge((jsonb_build_object('alg', 'HS256', 'typ', 'JWT', 'kid', s.kid) || sign.header)::text,
                         (s.claims || sign.claims)::text, s.secret)
      from public.scene s
$$;
-- The same with text spliced in before the last brace.
create function pg_temp.splice(header text default '', claims text default '') returns text language sql as $$
    select pg_temp.forge(format('{"alg":"HS256","typ":"JWT","kid":"%s"%s}', s.kid, splice.header),
                         left(s.claims::text, -1) || splice.claims || '}', s.secret)
      from public.scene s
$$;
select is(pg_temp.verdict(pg_temp.sign()), 'accepted', 'what the test signs is good');
select is(pg_temp.verdict(pg_temp.splice()), 'accepted', 'either way');
select is(pg_temp.verdict(:'es_token'), 'accepted', 'the ES256 key is good too');

-- Headers
select is(pg_temp.verdict(pg_temp.sign(h)), :bad, 'header ' || h::text)
  from unnest(array[
      '{"alg": "none"}', '{"alg": "None"}', '{"alg": "nOnE"}', '{"alg": "hs256"}', '{"alg": "HS384"}', '{"alg": "ES256"}',
      '{"alg": "RS256"}', '{"alg": "EdDSA"}', '{"alg": ""}', '{"alg": null}', '{"alg": 1}', '{"alg": ["HS256"]}',
      '{"kid": null}', '{"kid": 1}', '{"kid": []}', '{"kid": {}}', '{"kid": ""}', '{"kid": "../../dev/null"}',
      '{"kid": "'' or ''1''=''1"}', '{"kid": "x''; drop table saas_private.jwt_key; --"}', '{"kid": "%"}',
      '{"jwk": {"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}', '{"jku": "https://evil.example/jwks.json"}',
      '{"x5u": "https://evil.example"}', '{"x5c": ["MIIB"]}', '{"crit": ["exp"]}', '{"crit": []}',
      '{"b64": false}', '{"b64": false, "crit": ["b64"]}', '{"zip": "DEF"}', '{"enc": "A256GCM"}', '{"typ": 1}']::jsonb[]) h;
select is(pg_temp.verdict(pg_temp.sign(jsonb_build_object('kid', repeat('k', 4000)))), :bad, 'a huge kid');
select is(pg_temp.verdict(pg_temp.sign(jsonb_build_object('kid', :'es_kid'))), :bad, 'HS256 under the kid of the ES256 key');
select is(pg_temp.verdict(pg_temp.splice(header => h)), :bad, 'header with ' || h)
  from unnest(array[',"alg":"none"', ',"\u0061lg":"none"', ',"x":"\u0000"', ',"x":"\ud800"', ',"x":1e999', ',', '}{']) h;

-- Claims
select is(pg_temp.verdict(pg_temp.sign(claims => c)), :bad, 'claims ' || c::text)
  from unnest(array[
      '{"exp": null}', '{"exp": "2000000000"}', '{"exp": -1}', '{"exp": 0}', '{"exp": 1.5}', '{"exp": 1e300}',
      '{"exp": 9223372036854775807}', '{"exp": 99999999999999999999}', '{"exp": [2000000000]}', '{"exp": true}',
      '{"nbf": 9000000000}', '{"iat": 9000000000}', '{"nbf": "0"}', '{"iat": -1}', '{"iss": "elsewhere"}', '{"iss": null}',
      '{"iss": ["pg_saas"]}', '{"aud": "elsewhere"}', '{"aud": []}', '{"aud": [["pg_saas"]]}', '{"aud": {"pg_saas": 1}}',
      '{"sub": null}', '{"sub": 1}', '{"sub": ["x"]}', '{"sub": "x"}', '{"sub": ""}', '{"sid": {}}', '{"sid": null}',
      '{"org": 1}', '{"org": "*"}']::jsonb[]) c;
select is(pg_temp.verdict(pg_temp.sign(claims => c)), 'PT401 Invalid token type', 'claims ' || c::text)
  from unnest(array['{"type": "refresh"}', '{"type": null}', '{"type": ["access"]}', '{"type": "ACCESS"}']::jsonb[]) c;
select is(pg_temp.verdict(pg_temp.splice(claims => c)), :bad, 'claims with ' || c)
  from unnest(array[',"exp":9000000000', ',"\u0065xp":9000000000', ',"x":{"a":1,"a":2}', ',"x":"\u0000"', ',"x":"\udfff"', ',"x":1e999',
                    ',"x":NaN', ',"x":0x1', ',', ',"x":' || repeat('[', 3000)]) c;
select is(pg_temp.verdict(pg_temp.forge(convert_to(h, 'utf8'), convert_to(left(claims::text, -1), 'utf8') || p, secret)), :bad, 'bytes ' || p::text)
  from public.scene, format('{"alg":"HS256","kid":"%s"}', kid) h,
       unnest(array['\x2c2278223a22ff227d', '\x2c2278223a22c080227d', '\x2c2278223a22eda080227d', '\x2c2278223a2200227d', '\x7d00']::bytea[]) p;
select is(pg_temp.verdict(pg_temp.sign(claims => jsonb_build_object('x', repeat('x', 7000)))), :bad, 'more than 8 KiB');

-- Shapes and signatures
select is(pg_temp.verdict(t), :bad, 'shape ' || row_number() over ())
  from public.scene, pg_temp.sign() good, split_part(good, '.', 1) h, split_part(good, '.', 2) p, split_part(good, '.', 3) s,
       unnest(array[h || '.' || p, h || '.' || p || '.', good || '.', good || '.AAAA', '.' || good, h || '..' || s, good || '=', good || 'A',
                    left(good, -1), ' ' || good, good || ' ', good || E'\n', good || E'\t', 'Bearer ' || good, h || '.' || p || '.' || repeat('A', 43),
                    h || '=.' || p || '.' || s, replace(good, '.', ','), upper(good),
                    '{"protected":"' || h || '","payload":"' || p || '","signature":"' || s || '"}']) t;
-- 32 bytes leave two bits of the last digit unused.
select is(pg_temp.verdict(left(good, -1) || substr(d, strpos(d, right(good, 1)) + 1, 1)), :bad, 'stray bits in the last digit')
  from pg_temp.sign() good, (values ('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')) v (d);
select is(pg_temp.verdict(split_part(:'es_token', '.', 1) || '.' || split_part(:'es_token', '.', 2) || '.' || pg_temp.base64url(b)), :bad,
          'an ES256 signature of ' || n)
  from (values ('zeros', decode(repeat('00', 64), 'hex')), ('ones', decode(repeat('ff', 64), 'hex')),
               ('n and n', decode(repeat('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 2), 'hex')),
               ('1 and 1', decode(repeat(repeat('00', 31) || '01', 2), 'hex')),
               ('DER', decode('3006020101020101', 'hex')), ('nothing', decode('', 'hex'))) v (n, b);

-- A public key is no secret
select is(pg_temp.verdict(pg_temp.forge(h, s.claims::text, k.secret)), :bad, format('HS256 with %s and header %s', what, h))
  from public.scene s,
       lateral (select '\x3059301306072a8648ce3d020106082a8648ce3d030107034200'::bytea || '\x04'::bytea || s.x || s.y) d (der),
       lateral (select E'-----BEGIN PUBLIC KEY-----\n' || regexp_replace(replace(encode(der, 'base64'), E'\n', ''), '(.{64})', E'\\1\n', 'g')
                       || E'\n-----END PUBLIC KEY-----\n') p (pem),
       lateral (values ('the PEM', convert_to(pem, 'utf8')), ('the PEM without line end', convert_to(rtrim(pem, E'\n'), 'utf8')), ('the DER', der),
                       ('the point', s.x || s.y), ('x', s.x), ('the JWK', convert_to(s.es_jwk::text, 'utf8')),
                       ('the key set', convert_to(saas_api.jwks()::text, 'utf8')), ('nothing', ''::bytea)) k (what, secret),
       lateral unnest(array[format('{"alg":"HS256","kid":"%s"}', :'es_kid'), format('{"alg":"HS256","kid":"%s"}', s.kid), '{"alg":"HS256"}']) h;

-- verify_jwt: RS256 to HS256, and the same where both kinds of keys are known
create table public.rsa as
select n, '\x30820122300d06092a864886f70d01010105000382010f003082010a0282010100'::bytea || n || '\x0203010001'::bytea as der
  from (select set_byte(set_byte(string_agg(decode(md5('n' || i), 'hex'), ''::bytea order by i), 0, 200), 255, 1) from generate_series(1, 16) i) v (n);
alter table public.rsa add jwks jsonb;
update public.rsa set jwks = jsonb_build_object('keys', jsonb_build_array(
    jsonb_build_object('kty', 'RSA', 'kid', 'r', 'n', pg_temp.base64url(n), 'e', 'AQAB'),
    jsonb_build_object('kty', 'oct', 'kid', 's', 'k', pg_temp.base64url((select secret from public.scene)))));
select is((select saas.verify_jwt(pg_temp.forge('{"alg":"HS256","kid":"s"}', '{"exp":9000000000,"sub":"x"}', secret), jwks) ->> 'sub'
             from public.rsa, public.scene), 'x', 'a key set with a secret verifies HS256');
select throws_ok(format('select saas.verify_jwt(%L, %L)', pg_temp.forge(h, '{"exp":9000000000}', k.secret), r.jwks), 'PT401', 'Invalid or expired token',
                 format('HS256 with %s of RSA and header %s', what, h))
  from public.rsa r,
       lateral (values ('the DER', der), ('n', n),
                       ('the PEM', convert_to(E'-----BEGIN PUBLIC KEY-----\n' || regexp_replace(replace(encode(der, 'base64'), E'\n', ''), '(.{64})', E'\\1\n', 'g')
                                              || E'\n-----END PUBLIC KEY-----\n', 'utf8'))) k (what, secret),
       unnest(array['{"alg":"HS256","kid":"r"}', '{"alg":"HS256","kid":"s"}', '{"alg":"HS256"}', '{"alg":"RS256","kid":"s"}']) h;
select throws_ok(format('select saas.verify_jwt(%L, %L)', pg_temp.forge('{"alg":"HS256","kid":"r"}', '{"exp":9000000000}', s.secret), r.jwks),
                 'PT401', 'Invalid or expired token', 'the right secret under the kid of the RSA key') from public.rsa r, public.scene s;
select throws_ok(format('select saas.verify_jwt(%L, %L, ''{"algorithms": ["RS256", "ES256"]}'')',
                        pg_temp.forge('{"alg":"HS256","kid":"s"}', '{"exp":9000000000}', s.secret), r.jwks),
                 'PT401', 'Invalid or expired token', 'HS256 where it is not accepted') from public.rsa r, public.scene s;
select throws_ok(format('select saas.verify_jwt(%L, %L, ''{"algorithms": ["%s"]}'')', :'token', r.jwks, a), '22023',
                 'option "algorithms" names an unknown algorithm', 'algorithm ' || a) from public.rsa r, unnest(array['none', 'None', 'es256', 'HS512']) a;

select is(pg_temp.verdict(pg_temp.sign()), 'accepted', 'after all of this the good one is good');
select is((select count(*) from saas.token_keys()), 2::bigint, 'and no key is gone');
select * from finish();
