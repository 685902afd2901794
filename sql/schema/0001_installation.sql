-- Which migrations ran here, and which database this is.  Leans on nothing.

create table saas.schema_migration (
    version integer primary key check (version > 0),
    name text not null,
    applied_at timestamptz not null default now()
);
comment on table saas.schema_migration is
'Schema migrations of pg_saas that ran in this database.';
grant select on saas.schema_migration to saas_service, saas_poller, saas_operator;

create table saas_private.installation (
    is_only_row boolean primary key default true check (is_only_row),
    system_identifier bigint not null,
    database_oid oid not null,
    installed_at timestamptz not null default now(),
    adopted_at timestamptz
);
comment on table saas_private.installation is
'The cluster and database that pg_saas was installed in. Where they differ from the real ones this is a copy, and the poller stays off until saas.adopt().';
grant select on saas_private.installation to saas_service, saas_poller;
