-- Signs in, and gives the transaction that it leaves open the identity of @PERSON@.
\set password `cat @DIR@/@PERSON@.password`
begin;
set local role saas_anon;
select saas_api.sign_in('@EMAIL@', :'password') ->> 'access_token' as token \gset
commit;
\unset password
begin;
set local role saas_user;
select saas.authenticate(:'token') as authenticated \gset
\unset token
