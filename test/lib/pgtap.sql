-- pgTAP in a schema of its own, so that it is no part of what the tests examine.
create schema tap;
create extension pgtap schema tap;
grant usage on schema tap to public;
alter database :"database" set search_path to "$user", public, tap;
