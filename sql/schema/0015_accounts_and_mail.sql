-- Accounts that change address or go; what organizations put on their mail; how
-- long mail is kept; signing secrets that overlap.  Leans on accounts, mail and
-- API keys.

create table saas_private.email_change (
    user_id uuid primary key references saas.app_user (id) on delete cascade,
    new_email text not null check (length(new_email) between 3 and 255),
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
comment on table saas_private.email_change is
'Addresses that people asked for and have not proven yet, one a person, with the hash of the token that went there.';
alter table saas_private.email_change enable row level security;
alter table saas_private.email_change force row level security;
create policy "the service keeps pending changes of address" on saas_private.email_change
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.email_change to saas_service;

create policy "the service deletes accounts" on saas.app_user
    for delete to saas_service using (true);
grant delete on saas.app_user to saas_service;
create policy "the service deletes organizations" on saas.organization
    for delete to saas_service using (true);
grant delete on saas.organization to saas_service;
create policy "the service finds a deleted organization's readings" on saas.reading
    for select to saas_service using (true);
create policy "the service deletes a deleted organization's readings" on saas.reading
    for delete to saas_service using (true);
grant select, delete on saas.reading to saas_service;
create policy "the service deletes the keys of deleted accounts" on saas_private.api_key_hash
    for delete to saas_service using (true);
grant delete on saas_private.api_key_hash to saas_service;
create policy "the service deletes the secrets of deleted accounts" on saas_private.api_key_signing
    for delete to saas_service using (true);
grant delete on saas_private.api_key_signing to saas_service;
create index api_key_created_by_idx on saas.api_key (created_by);

grant delete on saas.outbox to saas_service;
create index outbox_recipient_idx on saas.outbox (lower(recipient));
alter table saas.outbox add column token_expires_at timestamptz;
comment on column saas.outbox.token_expires_at is
'When the link in the mail ends: after that the mail is not sent any more, and the token is erased.';
create index outbox_sent_idx on saas.outbox (sent_at) where status = 'sent';
