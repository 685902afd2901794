-- What a database needs before the tests that use an installed system.
create extension pg_saas cascade;
select saas.install();
