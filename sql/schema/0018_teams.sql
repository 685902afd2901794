-- Invitations, seats, custom roles and the permissions of applications.  Leans
-- on accounts.

create table saas.permission (
    name text primary key check (name ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)+$' and length(name) <= 63),
    number integer not null unique check (number between 13 and 62),
    roles text[] not null check (roles <@ array['owner', 'admin', 'member', 'viewer']),
    withdrawn_at timestamptz,
    description text not null check (length(description) between 1 and 500),
    created_at timestamptz not null default now()
);
comment on table saas.permission is
'Permissions that applications have registered with saas.register_permission(), beside the built-in ones. One that saas.unregister_permission() has withdrawn is nobody''s; its row keeps the number until the server has been started anew.';
comment on column saas.permission.number is 'The bit of an identity that stands for it.';
comment on column saas.permission.roles is 'The built-in roles that hold it.';
comment on column saas.permission.withdrawn_at is
'NULL: it is in use. The bit of a withdrawn one may be set in an identity of before: no other permission gets it while a transaction of then can run.';
alter table saas.permission enable row level security;
alter table saas.permission force row level security;
create policy "the service keeps permissions" on saas.permission
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas.permission to saas_service;

create policy "holders of manage_settings add roles" on saas.role
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change roles" on saas.role
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "the service removes roles" on saas.role
    for delete to saas_service using (true);
grant delete on saas.role to saas_service;

alter table saas.organization add column seats integer check (seats >= 1);
comment on column saas.organization.seats is
'How many members it may have; NULL: as many as it likes. The operator''s to change, with saas.set_seats().';

create table saas.invitation (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    email text not null check (length(email) between 3 and 255),
    role text not null,
    status text not null default 'pending'
        check (status in ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    invited_by uuid not null,
    created_at timestamptz not null default now(),
    sent_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    accepted_by uuid,
    primary key (org_id, id),
    constraint invitation_ends check ((status = 'pending') = (ended_at is null)),
    constraint invitation_is_accepted_by_somebody check ((status = 'accepted') = (accepted_by is not null))
);
create unique index invitation_one_pending on saas.invitation (org_id, lower(email)) where status = 'pending';
comment on table saas.invitation is
'Invitations into an organization, without anything that proves one. A pending one whose expires_at is past is good for nothing.';
comment on column saas.invitation.invited_by is
'Who sent it last. It is good as long as they may invite to its role.';
alter table saas.invitation enable row level security;
alter table saas.invitation force row level security;
create policy "holders of manage_members read invitations" on saas.invitation
    for select using (org_id = saas.org_if('manage_members'));
create policy "the service keeps invitations" on saas.invitation
    to saas_service using (true) with check (true);
grant select on saas.invitation to saas_user;
grant select, insert, update, delete on saas.invitation to saas_service;

create table saas_private.invitation_token (
    org_id uuid not null,
    invitation_id uuid not null,
    token_hash bytea not null check (octet_length(token_hash) = 32),
    mail_id uuid not null,
    primary key (org_id, invitation_id),
    foreign key (org_id, invitation_id) references saas.invitation (org_id, id) on delete cascade
);
-- Not unique: a tenant's unique keys lead with the organization, and 256 random bits do not meet.
create index invitation_token_token_hash_idx on saas_private.invitation_token (token_hash);
comment on table saas_private.invitation_token is
'SHA-256 of the token in the last mail of each pending invitation.';
comment on column saas_private.invitation_token.mail_id is
'That mail in the outbox: it is taken back when the invitation ends before it is sent.';
alter table saas_private.invitation_token enable row level security;
alter table saas_private.invitation_token force row level security;
create policy "the service keeps the tokens of invitations" on saas_private.invitation_token
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.invitation_token to saas_service;

create policy "the service ends the login mappings of former members" on saas_private.login_mapping
    for delete to saas_service using (true);
grant delete on saas_private.login_mapping to saas_service;

create view saas_api.members with (security_invoker = true) as
select m.org_id, m.user_id, m.email, m.first_name, m.last_name, m.full_name, m.avatar_url, m.is_active, m.role,
       m.rank, m.attributes, m.invited_by, m.joined_at, m.is_me
  from saas_private.my_members() m;
comment on view saas_api.members is
'The members of the current organization with names, e-mail addresses and roles. For saas_user with view_dashboard.';
grant select on saas_api.members to saas_user;

create view saas_api.invitations with (security_invoker = true) as
select i.org_id, i.id, i.email, i.role,
       case when i.status = 'pending' and i.expires_at <= now() then 'expired' else i.status end as status,
       i.invited_by, i.created_at, i.sent_at, i.expires_at, i.ended_at, i.accepted_by
  from saas.invitation i;
comment on view saas_api.invitations is
'Invitations into the current organization, those that have ended too: pending, accepted, declined, revoked or expired. For saas_user with manage_members.';
grant select on saas_api.invitations to saas_user;

create view saas_api.permissions with (security_invoker = true) as
select p.name, p.description, p.is_builtin
  from saas_private.known_permissions() p;
comment on view saas_api.permissions is
'Every permission there is, built in or registered by an application: what a role can hold. For saas_user.';
grant select on saas_api.permissions to saas_user;
