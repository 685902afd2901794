-- Schemas whose new tables must be protected.  Leans on the functions of protect.

create table saas.guarded_schema (
    name name primary key,
    mode text not null check (mode in ('warn', 'refuse'))
);
comment on table saas.guarded_schema is
'Schemas that saas.guard_schema() guards: a table there without protection is warned of, or refused, at commit.';
alter table saas.guarded_schema enable row level security;
alter table saas.guarded_schema force row level security;
create policy "the guard knows its schemas" on saas.guarded_schema
    to saas_service using (true) with check (true);
grant select on saas.guarded_schema to saas_service;

create table saas_private.unguarded_table (
    relation regclass primary key,
    noted_at timestamptz not null default now()
);
comment on table saas_private.unguarded_table is
'Tables of guarded schemas that the running transaction left unprotected. Empty between transactions.';
alter table saas_private.unguarded_table enable row level security;
alter table saas_private.unguarded_table force row level security;
create policy "the guard keeps its list" on saas_private.unguarded_table
    to saas_service using (true) with check (true);
grant select, insert, delete on saas_private.unguarded_table to saas_service;
create constraint trigger unguarded_table_check after insert on saas_private.unguarded_table
    deferrable initially deferred for each row execute function saas_private.check_new_table();

create table saas_private.hardening (
    kind text not null check (kind in ('database', 'function', 'table')),
    object text not null,
    grantee text not null,
    is_granted boolean not null,
    primary key (kind, object, grantee)
);
comment on table saas_private.hardening is
'The rights that saas.harden() took or granted in this database, for saas.unharden(): EXECUTE on functions, SELECT on tables, TEMPORARY on the database, whose object is empty.';
alter table saas_private.hardening enable row level security;
alter table saas_private.hardening force row level security;
create policy "only superusers harden" on saas_private.hardening
    to saas_service using (false);
