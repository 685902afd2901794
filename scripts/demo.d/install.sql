-- The extension, its tables, and the login that an HTTP layer would use.
create extension pg_saas cascade;
select saas.install();
create role authenticator login noinherit;
grant saas_anon, saas_user to authenticator;
select saas.harden();
