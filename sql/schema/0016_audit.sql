-- The audit: who did what to which object, append-only, and the chain that seals
-- it.  Leans on accounts, identity and vault.

create table saas.audit_event (
    org_id uuid not null,
    id uuid not null default saas.uuidv7(),
    at timestamptz not null default clock_timestamp(),
    tx xid8 not null default pg_current_xact_id(),
    actor_id uuid,
    source text not null check (source in ('session', 'api_key', 'login', 'operator', 'superuser', 'database')),
    api_key_id uuid,
    session_id uuid,
    login text not null check (length(login) between 1 and 63),
    ticket_id uuid,
    action text not null check (action ~ '^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$'),
    object_type text not null check (length(object_type) between 1 and 255),
    object_id text check (length(object_id) <= 255),
    before jsonb,
    after jsonb,
    ip inet,
    request_id text check (length(request_id) <= 64),
    primary key (org_id, id)
);
create index audit_event_tx_idx on saas.audit_event (tx, id);
comment on table saas.audit_event is
'What was done: one row per committed change of rights, keys, connections, settings, and per act of an operator. Written by saas_private.audit(), sealed by saas.seal_audit(). Rows never change; they go only with saas.prune_audit() and some seconds after their organization.';
comment on column saas.audit_event.org_id is
'The organization that it concerns; all zeros: the platform. No foreign key: what happened stays when the organization goes, until the chain''s head is kept as a tombstone.';
comment on column saas.audit_event.at is 'By the clock, when it was done.';
comment on column saas.audit_event.tx is 'The transaction that did it: sealing finds what committed late by it.';
comment on column saas.audit_event.actor_id is 'The user; NULL when nobody was signed in, an operator for example.';
comment on column saas.audit_event.source is
'What the identity came from; database: a database login acted without one.';
comment on column saas.audit_event.login is
'The database login that did it, on behalf of actor_id where there is one.';
comment on column saas.audit_event.ticket_id is 'The ticket of an operator who acts in the user''s name.';
comment on column saas.audit_event.object_type is 'A word, or the name of a protected table with its schema.';
comment on column saas.audit_event.object_id is 'A uuid, a name, or NULL where the type says it all.';
comment on column saas.audit_event.before is 'What it was; secrets are masked, what is long is cut.';
comment on column saas.audit_event.after is 'What it became; secrets are masked, what is long is cut.';
comment on column saas.audit_event.request_id is 'X-Request-Id of the HTTP answer.';
alter table saas.audit_event enable row level security;
alter table saas.audit_event force row level security;
create policy "holders of view_reports read the organization's audit" on saas.audit_event
    for select using (org_id = saas.org_if('view_reports'));
create policy "the service reads the audit" on saas.audit_event
    for select to saas_service using (true);
create policy "the service appends to the audit" on saas.audit_event
    for insert to saas_service with check (true);
grant select on saas.audit_event to saas_user;
grant select, insert on saas.audit_event to saas_service;

-- Not even the owner's functions change or remove an event; the code that prunes
-- (saas_private.erase_audit) asks for no privilege and fires no trigger.
revoke update, delete, truncate on saas.audit_event from saas_owner;
create trigger audit_event_is_append_only before update or delete or truncate on saas.audit_event
    for each statement execute function saas_private.refuse_change();
alter table saas.audit_event enable always trigger audit_event_is_append_only;

create table saas_private.audit_seal (
    org_id uuid not null,
    sequence bigint not null check (sequence > 0),
    event_id uuid not null,
    sealed_at timestamptz not null,
    key_version integer not null,
    hash bytea not null check (octet_length(hash) = 32),
    primary key (org_id, sequence),
    unique (org_id, event_id)
);
comment on table saas_private.audit_seal is
'The chain over an organization''s audit: entry by entry the HMAC-SHA-256 of the event and of the hash before it (docs/audit.md). Rows never change.';
comment on column saas_private.audit_seal.org_id is 'The organization; all zeros: the platform.';
comment on column saas_private.audit_seal.sequence is 'From 1, without a gap, in the order of sealing.';
alter table saas_private.audit_seal enable row level security;
alter table saas_private.audit_seal force row level security;
create policy "the service reads the chain" on saas_private.audit_seal
    for select to saas_service using (true);
create policy "the service appends to the chain" on saas_private.audit_seal
    for insert to saas_service with check (true);
grant select, insert on saas_private.audit_seal to saas_service;
revoke update, delete, truncate on saas_private.audit_seal from saas_owner;
create trigger audit_seal_is_append_only before update or delete or truncate on saas_private.audit_seal
    for each statement execute function saas_private.refuse_change();
alter table saas_private.audit_seal enable always trigger audit_seal_is_append_only;

create table saas_private.audit_chain (
    org_id uuid primary key,
    sequence bigint not null,
    hash bytea not null check (octet_length(hash) = 32),
    start_sequence bigint not null default 0,
    start_hash bytea not null check (octet_length(start_hash) = 32),
    key_version integer not null,
    mac bytea not null check (octet_length(mac) = 32),
    broken_at timestamptz,
    constraint audit_chain_goes_forward check (start_sequence between 0 and sequence)
);
comment on table saas_private.audit_chain is
'Start and head of each organization''s chain. It outlives the organization: with all entries pruned it is the tombstone, whose sequence is the number of events that there have been.';
comment on column saas_private.audit_chain.org_id is 'The organization, also after it is gone; all zeros: the platform.';
comment on column saas_private.audit_chain.start_sequence is 'The last entry that was pruned; 0: none was.';
comment on column saas_private.audit_chain.mac is 'HMAC-SHA-256 of start and head.';
comment on column saas_private.audit_chain.broken_at is
'When sealing found that start or head were tampered with; until somebody has looked (docs/audit.md) it seals nothing more here.';
alter table saas_private.audit_chain enable row level security;
alter table saas_private.audit_chain force row level security;
create policy "the service keeps the heads of chains" on saas_private.audit_chain
    to saas_service using (true) with check (true);
grant select, insert, update on saas_private.audit_chain to saas_service;

create table saas_private.audit_key (
    version integer primary key check (version > 0),
    secret saas.sealed not null,
    created_at timestamptz not null default now()
);
comment on table saas_private.audit_key is
'What the chains'' HMAC takes: 32 random bytes in hex, sealed for the platform. The newest seals, all verify.';
alter table saas_private.audit_key enable row level security;
alter table saas_private.audit_key force row level security;
create policy "the service keeps the keys of chains" on saas_private.audit_key
    to saas_service using (true) with check (true);
grant select, insert on saas_private.audit_key to saas_service;

create table saas_private.audit_sealing (
    is_only_row boolean primary key default true check (is_only_row),
    sealed_below xid8 not null default '0',
    sealed_id uuid not null default '00000000-0000-0000-0000-000000000000',
    system_identifier bigint not null default 0
);
comment on table saas_private.audit_sealing is
'How far sealing has come; who seals or prunes locks the row.';
comment on column saas_private.audit_sealing.sealed_below is
'Every event of a transaction below it is sealed. Transactions that were running then are above it, so what they commit late is found.';
comment on column saas_private.audit_sealing.sealed_id is
'Of the transaction sealed_below itself the events up to that one are sealed.';
comment on column saas_private.audit_sealing.system_identifier is
'The cluster that sealed_below counts in: in another one, after a restore, it says nothing.';
alter table saas_private.audit_sealing enable row level security;
insert into saas_private.audit_sealing default values;
alter table saas_private.audit_sealing force row level security;
create policy "the service keeps how far sealing has come" on saas_private.audit_sealing
    to saas_service using (true) with check (true);
grant select, update on saas_private.audit_sealing to saas_service;

create view saas_api.audit_log with (security_invoker = true) as
select e.org_id, e.id, e.at, e.actor_id, e.source, e.login, e.api_key_id, e.session_id, e.ticket_id, e.action,
       e.object_type, e.object_id, e.before, e.after, e.ip, e.request_id
  from saas.audit_event e;
comment on view saas_api.audit_log is
'Who did what in the current organization, with what it was before and after; order and page by id. For saas_user with view_reports.';
grant select on saas_api.audit_log to saas_user;

create view saas_api.activity_feed with (security_invoker = true) as
select a.org_id, a.id, a.at, a.actor_id, a.actor_name, a.action, a.object_type, a.object_id, a.object_name, a.summary
  from saas_private.my_activity() a;
comment on view saas_api.activity_feed is
'The newest thousand things that happened in the current organization, each in a sentence; order by id. What was changed and from where is in audit_log. For saas_user with view_dashboard.';
grant select on saas_api.activity_feed to saas_user;
