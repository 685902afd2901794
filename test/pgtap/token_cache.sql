-- A token that was verified once is not believed for longer than its keys, its
-- settings and its rows stand.
select plan(8);
\ir ../lib/tenants.sql
\ir ../lib/refusals.sql

\set bad '\'PT401 Invalid or expired token\''
set saas.bcrypt_cost = 10;
select user_id as ada, org_id as org_a from tenants.found('ada') \gset
select saas_api.sign_in('ada@example.com', 'correct horse ada') ->> 'access_token' as token \gset
select split_part(:'token', '.', 1) as header, split_part(:'token', '.', 2) || '.' || split_part(:'token', '.', 3) as rest \gset
-- The same token under a key that nobody knows: the keys are read again.
select translate(encode(convert_to(regexp_replace(convert_from(decode(translate(:'header', '-_', '+/')
           || repeat('=', (4 - length(:'header') % 4) % 4), 'base64'), 'utf8'), '"kid":"[^"]+"', '"kid":"unknown"'), 'utf8'),
           'base64'), E'+/=\n', '-_') || '.' || :'rest' as unknown \gset

select is(pg_temp.verdict(:'token'), 'accepted', 'a token is accepted');
select is(pg_temp.verdict(:'token'), 'accepted', 'and again');
set saas.jwt_audience = 'elsewhere';
select is(pg_temp.verdict(:'token'), :bad, 'not for another audience');
reset saas.jwt_audience;
select is(pg_temp.verdict(overlay(:'token' placing 'A' from length(:'token') - 10 for 1))
          || pg_temp.verdict(overlay(:'token' placing 'B' from length(:'token') - 10 for 1)) ~ 'PT401', true,
          'not with another signature');
begin;
update saas_private.session set ended_at = now() where user_id = :'ada';
select is(pg_temp.verdict(:'token'), :bad, 'not with an ended session');
rollback;
begin;
select saas.retire_token_key(kid) as ok from saas_private.jwt_key \gset
select is(pg_temp.verdict(:'unknown'), :bad, 'a token of an unknown key has the keys read again');
select is(pg_temp.verdict(:'token'), :bad, 'and what a retired key has signed is refused');
rollback;
select is(pg_temp.verdict(:'token'), 'accepted', 'it was the key that did not count');

select * from finish();
