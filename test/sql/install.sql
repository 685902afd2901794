-- The database that the other tests of this schedule use.
set client_min_messages = warning;
create extension pg_saas cascade;
reset client_min_messages;
select saas.install() ~ '^pg_saas .* installed' as installed;
