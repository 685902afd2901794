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

create table saas.organization_branding (
    org_id uuid primary key references saas.organization (id) on delete cascade,
    product_name text check (length(product_name) between 1 and 100) check (product_name !~ '[[:cntrl:]]'),
    logo_url text check (length(logo_url) <= 2048 and logo_url ~ '^https://[^[:space:]"<>]+$'),
    primary_color text check (primary_color ~ '^#[0-9a-f]{6}$'),
    support_email text check (length(support_email) between 3 and 255)
        check (support_email !~ '[[:cntrl:][:space:]]'),
    footer_text text check (length(footer_text) between 1 and 1000),
    updated_at timestamptz not null default now()
);
comment on table saas.organization_branding is
'What an organization puts on its mail and pages; NULL: what the platform does.';
comment on column saas.organization_branding.product_name is
'White-label name, in place of the platform''s.';
comment on column saas.organization_branding.footer_text is
'Ends every mail of the organization; lines end in line feeds.';
alter table saas.organization_branding enable row level security;
alter table saas.organization_branding force row level security;
create policy "a member reads the organization's branding" on saas.organization_branding
    for select using (org_id = saas.current_org_id());
create policy "holders of manage_settings add branding" on saas.organization_branding
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change branding" on saas.organization_branding
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "the service reads every branding" on saas.organization_branding
    for select to saas_service using (true);
grant select on saas.organization_branding to saas_user, saas_service;

create policy "holders of manage_settings read the organization's templates" on saas.mail_template
    for select using (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings add templates" on saas.mail_template
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change templates" on saas.mail_template
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings remove templates" on saas.mail_template
    for delete using (org_id = saas.org_if('manage_settings'));

create view saas_api.branding with (security_invoker = true) as
select b.org_id, b.product_name, b.logo_url, b.primary_color, b.support_email, b.footer_text, b.updated_at
  from saas.organization_branding b;
comment on view saas_api.branding is
'Name, logo, colour and footer of the current organization; no row when it has none of its own. For saas_user.';
grant select on saas_api.branding to saas_user;

create view saas_api.mail_templates with (security_invoker = true) as
select t.name, t.subject, t.text_body, t.html_body, t.is_customized, t.parameters, t.updated_at
  from saas_private.my_mail_templates() t;
comment on view saas_api.mail_templates is
'What the mails of the current organization say: its own words or everybody''s (is_customized), and the parameters that each may name. For saas_user with manage_settings.';
grant select on saas_api.mail_templates to saas_user;

alter table saas_private.api_key_signing
    add column previous_signing_secret saas.sealed,
    add column previous_valid_until timestamptz,
    add constraint api_key_signing_previous_ends
        check ((previous_signing_secret is null) = (previous_valid_until is null));
comment on column saas_private.api_key_signing.previous_signing_secret is
'The secret of before the last change, accepted until previous_valid_until.';
