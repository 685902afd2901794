-- Named selections of metrics for dashboards.  Leans on teams.

create table saas_private.saved_view (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    owner_id uuid,
    name text not null check (length(name) between 1 and 255),
    selection jsonb not null check (jsonb_typeof(selection) = 'object'),
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (org_id, id),
    -- Goes with the membership; what is shared stays.
    foreign key (org_id, owner_id) references saas.membership (org_id, user_id) on delete cascade
);
create unique index saved_view_name_idx on saas_private.saved_view (org_id, owner_id, lower(name)) where owner_id is not null;
create unique index saved_view_shared_name_idx on saas_private.saved_view (org_id, lower(name)) where owner_id is null;
comment on table saas_private.saved_view is
'Named selections of connections, metrics, range and grouping, a member''s own or shared in the organization.';
comment on column saas_private.saved_view.owner_id is 'The member whose it is, who alone sees it; NULL: everybody''s in the organization.';
alter table saas_private.saved_view enable row level security;
alter table saas_private.saved_view force row level security;
-- Whose of an organization's it is, the functions and the view look at: no tenant reads the table.
create policy "holders of view_dashboard keep views" on saas_private.saved_view
    using (org_id = saas.org_if('view_dashboard'))
    with check (org_id = saas.org_if('view_dashboard'));

create view saas_api.saved_views with (security_invoker = true) as
select v.org_id, v.id, v.name, v.owner_id, v.owner_id is null as is_shared, v.selection, v.created_by, v.created_at, v.updated_at
  from saas_private.my_saved_views() v;
comment on view saas_api.saved_views is
'My saved views and those that are shared in the current organization. For saas_user with view_dashboard.';
grant select on saas_api.saved_views to saas_user;
