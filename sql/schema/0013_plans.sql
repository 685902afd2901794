-- Plans of organizations, and limits by plan and by API key.  Leans on limits
-- and API keys.

create table saas.plan (
    name text primary key check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    title text not null check (length(title) between 1 and 100),
    created_at timestamptz not null default now()
);
comment on table saas.plan is
'What an organization can be on. saas.set_plan() puts one on it; a limit of requests may go with it.';
alter table saas.plan enable row level security;
insert into saas.plan (name, title)
values ('free', 'Free'), ('starter', 'Starter'), ('pro', 'Professional'), ('enterprise', 'Enterprise');
alter table saas.plan force row level security;
create policy "the service keeps plans" on saas.plan
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas.plan to saas_service;

alter table saas.organization add column plan text not null default 'free' references saas.plan (name);
comment on column saas.organization.plan is 'The operator''s to change, with saas.set_plan().';

alter table saas.rate_limit add column plan text references saas.plan (name) on delete cascade;
alter table saas.rate_limit add column api_key_id uuid;
alter table saas.rate_limit add foreign key (org_id, api_key_id)
    references saas.api_key (org_id, id) on delete cascade;
alter table saas.rate_limit drop constraint rate_limit_addresses_have_no_organization;
alter table saas.rate_limit drop constraint rate_limit_scope_check;
alter table saas.rate_limit add constraint rate_limit_scope_check
    check (case scope when 'organization' then plan is null and api_key_id is null
                      when 'plan' then plan is not null and org_id is null and api_key_id is null
                      when 'key' then org_id is not null and api_key_id is not null and plan is null
                      when 'address' then org_id is null and plan is null and api_key_id is null
                      else false end);
alter table saas.rate_limit drop constraint rate_limit_one_each;
alter table saas.rate_limit add constraint rate_limit_one_each
    unique nulls not distinct (scope, org_id, plan, api_key_id);
comment on table saas.rate_limit is
'How many requests an organization, an API key, or an address that nobody has signed in from, may make within a window that slides. An organization''s own limit counts, else its plan''s, else that of all; an API key''s counts besides. Changed with saas.set_rate_limit(); a change counts within two seconds.';
comment on column saas.rate_limit.plan is 'For the scope plan.';
comment on column saas.rate_limit.api_key_id is 'For the scope key.';
comment on column saas.rate_limit.org_id is
'The organization with a limit of its own, or that has the API key; NULL for the limit of all others, of plans and of addresses.';

alter table saas.api_key add column max_requests integer check (max_requests between 1 and 1000000000);
alter table saas.api_key add column window_length interval
    check (window_length between interval '1 second' and interval '1 day');
alter table saas.api_key add constraint api_key_limit_is_whole
    check ((max_requests is null) = (window_length is null));
comment on column saas.api_key.max_requests is
'How many requests the organization allows the key within window_length; NULL: as many as itself.';

create or replace view saas_api.api_keys with (security_invoker = true) as
select k.org_id, k.id, k.name, k.prefix, k.permissions, k.requires_signature,
       case when k.revoked_at is not null then 'revoked'
            when k.expires_at <= now() then 'expired'
            else 'active' end as status,
       k.created_by, k.created_at, k.expires_at, k.rotated_at, k.overlap_until, k.revoked_at, k.last_used_at,
       k.max_requests, k.window_length
  from saas.api_key k;

create or replace view saas_api.organization with (security_invoker = true) as
select o.id, o.name, o.slug, o.is_personal, o.status, o.created_at, o.updated_at, o.plan
  from saas.organization o;
