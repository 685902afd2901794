-- What organizations say of themselves, what they require, how they end.  Leans
-- on accounts, connections and the plans' organization view.

-- What every look-up of an identity reads stands on the organization itself.
alter table saas.organization
    add column subdomain text unique check (subdomain ~ '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$'),
    add column domain text check (length(domain) <= 253 and domain ~ '^[a-z0-9-]+([.][a-z0-9-]+)+$'),
    add column domain_challenge text check (length(domain_challenge) between 32 and 100),
    add column domain_verified_at timestamptz,
    add column max_session_age interval check (max_session_age between interval '15 minutes' and interval '90 days'),
    add column allowed_networks cidr[] check (cardinality(allowed_networks) between 1 and 64),
    add column status_reason text check (length(status_reason) between 1 and 500),
    add column suspended_at timestamptz,
    add column deleted_at timestamptz,
    add column purge_after timestamptz;
update saas.organization set deleted_at = updated_at, purge_after = now() + interval '30 days' where status = 'deleting';
alter table saas.organization
    add constraint organization_domain_has_challenge check ((domain is null) = (domain_challenge is null)),
    add constraint organization_only_claims_are_verified check (domain is not null or domain_verified_at is null);
create unique index organization_verified_domain_key on saas.organization (domain) where domain_verified_at is not null;
create index organization_purge_after_idx on saas.organization (purge_after) where purge_after is not null;
comment on column saas.organization.subdomain is 'Resolves below saas.base_domain, as the slug does; it may change.';
comment on column saas.organization.domain is
'A domain that the organization claims; it resolves once domain_verified_at is set. Any number may claim one, one may have it verified.';
comment on column saas.organization.domain_challenge is 'What a TXT record of the domain has to say; random, new with every claim.';
comment on column saas.organization.domain_verified_at is 'When saas.confirm_domain() was told that DNS says so.';
comment on column saas.organization.max_session_age is
'How long after its sign-in a session may work in the organization; NULL: as long as it lasts.';
comment on column saas.organization.allowed_networks is
'Where requests may come from: sessions, API keys and mapped logins alike; NULL: anywhere.';
comment on column saas.organization.status_reason is 'Why it is not active, as its members are told.';
comment on column saas.organization.purge_after is 'While the status is deleting: until then an owner may restore it.';

create table saas.organization_profile (
    org_id uuid primary key references saas.organization (id) on delete cascade,
    website text check (length(website) <= 2048 and website ~ '^https?://[^[:space:]"<>]+$'),
    industry text check (industry in ('technology', 'healthcare', 'finance', 'ecommerce', 'manufacturing', 'other')),
    size text check (size in ('1-10', '11-50', '51-200', '201-1000', '1000+')),
    use_case text check (length(use_case) between 1 and 1000),
    goals text[] not null default '{}' check (cardinality(goals) <= 20),
    default_region text check (default_region ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    billing_email text check (length(billing_email) between 3 and 255),
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    logo bytea check (octet_length(logo) between 1 and 262144),
    logo_type text check (logo_type in ('image/png', 'image/jpeg', 'image/webp', 'image/svg+xml')),
    updated_at timestamptz not null default now(),
    constraint organization_profile_logo_has_type check ((logo is null) = (logo_type is null))
);
comment on table saas.organization_profile is
'What an organization says of itself; no row: nothing. Its name and domain are saas.organization''s, colours and white-label name saas.organization_branding''s.';
comment on column saas.organization_profile.logo is 'An image of at most 256 KiB, of the type that its first bytes say; an SVG as saas_private.sanitize_svg() wrote it.';
comment on column saas.organization_profile.metadata is 'Free facts, at most 16 kB.';
alter table saas.organization_profile enable row level security;
alter table saas.organization_profile force row level security;
create policy "a member reads the organization's profile" on saas.organization_profile
    for select using (org_id = saas.current_org_id());
create policy "holders of manage_settings add a profile" on saas.organization_profile
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change the profile" on saas.organization_profile
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "the service reads every profile" on saas.organization_profile
    for select to saas_service using (true);
grant select on saas.organization_profile to saas_user, saas_service;

create table saas.salesforce_default (
    org_id uuid primary key references saas.organization (id) on delete cascade,
    instance_url text not null check (length(instance_url) <= 2048),
    login_url text not null check (length(login_url) <= 2048),
    origin text not null check (length(origin) between 1 and 300),
    updated_at timestamptz not null default now()
);
comment on table saas.salesforce_default is
'What an organization''s Salesforce connections use where they bring nothing of their own.';
comment on column saas.salesforce_default.origin is
'Scheme, host and port of login_url: where the sealed client id and secret may be sent, and nowhere else.';
alter table saas.salesforce_default enable row level security;
alter table saas.salesforce_default force row level security;
create policy "holders of manage_connections read the Salesforce defaults" on saas.salesforce_default
    for select using (org_id = saas.org_if('manage_connections'));
-- Without it they could neither replace nor remove what they have set.
create policy "holders of manage_settings read the Salesforce defaults" on saas.salesforce_default
    for select using (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings add Salesforce defaults" on saas.salesforce_default
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change the Salesforce defaults" on saas.salesforce_default
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings remove the Salesforce defaults" on saas.salesforce_default
    for delete using (org_id = saas.org_if('manage_settings'));
create policy "the poller reads every Salesforce default" on saas.salesforce_default
    for select to saas_poller using (true);
grant select on saas.salesforce_default to saas_user, saas_poller;

create table saas_private.salesforce_default_secret (
    org_id uuid not null references saas.salesforce_default (org_id) on delete cascade,
    name text not null check (name in ('client_id', 'client_secret')),
    value saas.sealed not null,
    updated_at timestamptz not null default now(),
    primary key (org_id, name)
);
comment on table saas_private.salesforce_default_secret is
'Sealed client id and secret of saas.salesforce_default, opened only in the poller''s memory.';
alter table saas_private.salesforce_default_secret enable row level security;
alter table saas_private.salesforce_default_secret force row level security;
create policy "holders of manage_settings replace default secrets" on saas_private.salesforce_default_secret
    using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_connections see default secrets" on saas_private.salesforce_default_secret
    for select using (org_id = saas.org_if('manage_connections'));
create policy "the poller reads every default secret" on saas_private.salesforce_default_secret
    for select to saas_poller using (true);
grant select on saas_private.salesforce_default_secret to saas_poller;

create table saas.organization_settings (
    org_id uuid primary key references saas.organization (id) on delete cascade,
    allowed_email_domains text[] check (cardinality(allowed_email_domains) between 1 and 100),
    role_changes_by_owners boolean not null default false,
    notifications jsonb not null default '{}' check (jsonb_typeof(notifications) = 'object'),
    updated_at timestamptz not null default now()
);
comment on table saas.organization_settings is
'What an organization requires and wants; no row: the defaults. What every request is checked against is on saas.organization: requires_second_factor, max_session_age, allowed_networks.';
comment on column saas.organization_settings.allowed_email_domains is
'Who joins has an address at one of these domains; NULL: at any. Members who are there already stay.';
comment on column saas.organization_settings.role_changes_by_owners is
'Whether only owners change roles, not everybody with manage_members.';
comment on column saas.organization_settings.notifications is
'Which notices the organization wants: names with true or false; one that is not there is as the platform has it.';
alter table saas.organization_settings enable row level security;
alter table saas.organization_settings force row level security;
create policy "a member reads the organization's settings" on saas.organization_settings
    for select using (org_id = saas.current_org_id());
create policy "holders of manage_settings add settings" on saas.organization_settings
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change settings" on saas.organization_settings
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "the service reads every organization's settings" on saas.organization_settings
    for select to saas_service using (true);
grant select on saas.organization_settings to saas_user, saas_service;

create table saas.onboarding_step (
    org_id uuid not null references saas.organization (id) on delete cascade,
    step text not null check (step in ('organization_info', 'team', 'first_connection')),
    completed_at timestamptz not null default now(),
    completed_by uuid,
    primary key (org_id, step)
);
comment on table saas.onboarding_step is
'The steps of its first days that an organization has done or skipped.';
alter table saas.onboarding_step enable row level security;
alter table saas.onboarding_step force row level security;
create policy "a member reads the organization's onboarding" on saas.onboarding_step
    for select using (org_id = saas.current_org_id());
create policy "holders of manage_connections complete onboarding" on saas.onboarding_step
    for insert with check (org_id = saas.org_if('manage_connections'));
create policy "holders of manage_connections open onboarding again" on saas.onboarding_step
    for delete using (org_id = saas.org_if('manage_connections'));
grant select on saas.onboarding_step to saas_user;

create table saas.user_preference (
    user_id uuid primary key references saas.app_user (id) on delete cascade,
    completed_tours text[] not null default '{}' check (cardinality(completed_tours) <= 200),
    preferences jsonb not null default '{}' check (jsonb_typeof(preferences) = 'object'),
    updated_at timestamptz not null default now()
);
comment on table saas.user_preference is
'What a person has seen and prefers, in every organization alike.';
alter table saas.user_preference enable row level security;
alter table saas.user_preference force row level security;
create policy "the service keeps preferences" on saas.user_preference
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas.user_preference to saas_service;

create table saas.organization_configuration (
    org_id uuid primary key references saas.organization (id) on delete cascade,
    field_mappings jsonb not null default '{}' check (jsonb_typeof(field_mappings) = 'object'),
    risk_rules jsonb not null check (jsonb_typeof(risk_rules) = 'object'),
    priority_weights jsonb not null check (jsonb_typeof(priority_weights) = 'object'),
    updated_at timestamptz not null default now()
);
comment on table saas.organization_configuration is
'How an organization reads and scores its deals; no row: the defaults.';
comment on column saas.organization_configuration.field_mappings is
'Fields of a deal and where in the CRM they stand: {"amount": "Amount", "owner": "Owner.Name"}.';
alter table saas.organization_configuration enable row level security;
alter table saas.organization_configuration force row level security;
create policy "a member reads the organization's configuration" on saas.organization_configuration
    for select using (org_id = saas.current_org_id());
create policy "holders of manage_settings add a configuration" on saas.organization_configuration
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change the configuration" on saas.organization_configuration
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
grant select on saas.organization_configuration to saas_user;

create table saas_private.deleted_organization (
    id uuid primary key,
    deleted_at timestamptz not null,
    reason text not null check (reason in ('owner', 'no_members', 'account')),
    began_at timestamptz not null default now(),
    purged_at timestamptz,
    retry_at timestamptz not null default now(),
    problem text check (length(problem) <= 200)
);
comment on table saas_private.deleted_organization is
'Organizations whose removal has begun, and the tombstones of those that are gone: nothing of theirs but the id.';
comment on column saas_private.deleted_organization.reason is
'owner: an owner deleted it; no_members: its last member''s account went; account: it was personal, and the account went.';
comment on column saas_private.deleted_organization.purged_at is 'When the last row was gone; NULL: there may be some.';
comment on column saas_private.deleted_organization.problem is
'SQLSTATE and table that keep the rest from going; tried again after retry_at.';
create index deleted_organization_retry_at_idx on saas_private.deleted_organization (retry_at) where purged_at is null;
alter table saas_private.deleted_organization enable row level security;
alter table saas_private.deleted_organization force row level security;
create policy "the service keeps tombstones" on saas_private.deleted_organization
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.deleted_organization to saas_service;

create or replace view saas_api.organization with (security_invoker = true) as
select o.id, o.name, o.slug, o.is_personal, o.status, o.created_at, o.updated_at, o.plan,
       o.subdomain, o.domain, '_pg-saas.' || o.domain as domain_txt_name, o.domain_challenge as domain_txt_value,
       o.domain_verified_at, p.website, p.industry, p.size, p.use_case, coalesce(p.goals, '{}') as goals,
       p.default_region, p.billing_email, coalesce(p.metadata, '{}') as metadata,
       p.logo_type, octet_length(p.logo) as logo_bytes
  from saas.organization o
  left join saas.organization_profile p on p.org_id = o.id;
comment on view saas_api.organization is
'The current organization and what it says of itself. While domain_verified_at is NULL the claim waits for a TXT record domain_txt_name that says domain_txt_value. For saas_user.';

create view saas_api.organization_settings with (security_invoker = true) as
select o.id as org_id, o.requires_second_factor, o.max_session_age, o.allowed_networks, s.allowed_email_domains,
       coalesce(s.role_changes_by_owners, false) as role_changes_by_owners,
       coalesce(s.notifications, '{}') as notifications
  from saas.organization o
  left join saas.organization_settings s on s.org_id = o.id
 where o.id = saas.org_if('manage_settings');
comment on view saas_api.organization_settings is
'What the current organization requires: second factor, age of sessions, networks, e-mail domains, who changes roles; and which notices it wants. For saas_user with manage_settings.';
grant select on saas_api.organization_settings to saas_user;

create view saas_api.salesforce_defaults with (security_invoker = true) as
select d.org_id, d.instance_url, d.login_url, d.updated_at
  from saas.salesforce_default d;
comment on view saas_api.salesforce_defaults is
'What Salesforce connections of the current organization use where they bring nothing of their own; no secrets. For saas_user with manage_connections or manage_settings.';
grant select on saas_api.salesforce_defaults to saas_user;

create view saas_api.onboarding with (security_invoker = true) as
select o.id as org_id,
       max(s.completed_at) filter (where s.step = 'organization_info') as organization_info_at,
       max(s.completed_at) filter (where s.step = 'team') as team_at,
       max(s.completed_at) filter (where s.step = 'first_connection') as first_connection_at,
       count(s.step) = 3 as is_complete
  from saas.organization o
  left join saas.onboarding_step s on s.org_id = o.id
 group by o.id;
comment on view saas_api.onboarding is
'How far the current organization has got with its first steps. For saas_user.';
grant select on saas_api.onboarding to saas_user;

create view saas_api.preferences with (security_invoker = true) as
select p.user_id, p.completed_tours, p.preferences, p.updated_at
  from saas_private.my_preferences() p;
comment on view saas_api.preferences is
'My preferences and the tours that I have completed. For saas_user.';
grant select on saas_api.preferences to saas_user;

create view saas_api.configuration with (security_invoker = true) as
select o.id as org_id, coalesce(c.field_mappings, '{}') as field_mappings,
       coalesce(c.risk_rules, saas.default_risk_rules()) as risk_rules,
       coalesce(c.priority_weights, saas.default_priority_weights()) as priority_weights,
       c.updated_at
  from saas.organization o
  left join saas.organization_configuration c on c.org_id = o.id;
comment on view saas_api.configuration is
'Where the current organization''s deals have their fields and how they are scored. For saas_user.';
grant select on saas_api.configuration to saas_user;
