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
    object_type text not null check (object_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    object_id text check (length(object_id) <= 255),
    before jsonb,
    after jsonb,
    ip inet,
    request_id text check (length(request_id) <= 64),
    primary key (org_id, id)
);
create index audit_event_tx_idx on saas.audit_event (tx);
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
