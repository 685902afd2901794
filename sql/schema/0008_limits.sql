-- Rate limits, and what the journal holds once it is written down.  Leans on
-- accounts.

create table saas.rate_limit (
    id uuid primary key default saas.uuidv7(),
    scope text not null check (scope in ('organization', 'address')),
    org_id uuid references saas.organization (id) on delete cascade,
    max_requests integer not null check (max_requests between 1 and 1000000000),
    window_length interval not null
        check (window_length between interval '1 second' and interval '1 day'),
    changed_at timestamptz not null default now(),
    constraint rate_limit_one_each unique nulls not distinct (scope, org_id),
    constraint rate_limit_addresses_have_no_organization check (scope = 'organization' or org_id is null)
);
create index rate_limit_org_id_idx on saas.rate_limit (org_id);
comment on table saas.rate_limit is
'How many requests an organization, or an address that nobody has signed in from, may make within a window that slides. Changed with saas.set_rate_limit(); a change counts within two seconds.';
comment on column saas.rate_limit.org_id is
'The organization with a limit of its own; NULL for the limit of all others, and of addresses.';
alter table saas.rate_limit enable row level security;
alter table saas.rate_limit force row level security;
create policy "the service keeps rate limits" on saas.rate_limit
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas.rate_limit to saas_service;

-- The owner is bound by the policies too.
alter table saas.rate_limit no force row level security;
insert into saas.rate_limit (scope, max_requests, window_length)
values ('organization', 1000, interval '15 minutes'), ('address', 1000, interval '15 minutes');
alter table saas.rate_limit force row level security;

create table saas_private.security_event (
    id uuid primary key default saas.uuidv7(),
    at timestamptz not null,
    kind text not null check (length(kind) between 1 and 63),
    subject uuid,
    payload jsonb not null default '{}'
);
create index security_event_at_idx on saas_private.security_event (at);
create index security_event_subject_idx on saas_private.security_event (subject, at);
comment on table saas_private.security_event is
'What was noted though its transaction may have failed: exceeded limits, denials, reuse of tokens. Kept for 90 days.';
comment on column saas_private.security_event.subject is
'Whom it is about: a user, a session, an organization, as the kind says.';
alter table saas_private.security_event enable row level security;
alter table saas_private.security_event force row level security;
create policy "the service keeps security events" on saas_private.security_event
    to saas_service using (true) with check (true);
grant select, insert, delete on saas_private.security_event to saas_service;
