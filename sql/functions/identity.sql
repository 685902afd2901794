-- Who the current transaction acts for.  Leans on errors.

create function saas.authenticate(token text) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_authenticate';
comment on function saas.authenticate(text) is
'Verifies an access token against keys and live rows (session, user, membership, organization) and gives the current transaction its identity. Errors: PT401 for a bad, expired or revoked token, PT403 for a suspended organization, 25001 when the transaction already acts for someone else. Callable by everyone with a token.';

create function saas.clear_identity() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_clear_identity';
comment on function saas.clear_identity() is
'Drops the identity for the rest of the transaction. A different identity is still refused in it.';

create function saas.current_user_id() returns uuid
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_user_id';
comment on function saas.current_user_id() is
'The user the transaction acts for; NULL when nobody is signed in.';

create function saas.current_org_id() returns uuid
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_org_id';
comment on function saas.current_org_id() is
'The organization the transaction acts in; NULL when there is none.';

create function saas.current_role_name() returns text
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_role_name';
comment on function saas.current_role_name() is
'The role of the user in the current organization (owner, admin, member, viewer or a custom one); empty with an API key, NULL without an organization.';

create function saas.current_session_id() returns uuid
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_session_id';
comment on function saas.current_session_id() is
'The session behind the identity; NULL when it does not come from one.';

create function saas.has_permission(permission text) returns boolean
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_has_permission';
comment on function saas.has_permission(text) is
'Whether the identity holds the permission in its organization. Never NULL: unknown permissions and missing identities are false.';

create function saas.org_if(permission text) returns uuid
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_org_if';
comment on function saas.org_if(text) is
'The current organization if the identity holds the permission, else NULL. The building block of policies: org_id = saas.org_if(''view_dashboard'').';

create function saas.is_authenticated() returns boolean
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_is_authenticated';
comment on function saas.is_authenticated() is
'Whether the transaction has an identity.';

create function saas.require_permission(permission text) returns void
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_require_permission';
comment on function saas.require_permission(text) is
'Raises PT401 without an identity and PT403 with the permission''s name in DETAIL when the identity does not hold it.';

create function saas.assume_identity(user_id uuid, org_id uuid) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_assume_identity';
comment on function saas.assume_identity(uuid, uuid) is
'Lets the transaction act for a member without their token. For superusers, and for members of saas_operator who hold an open, committed ticket for the organization. Always writes a line to the server log. Errors: PT403 without a ticket, PT404 for no such active member.';

create function saas_private.has_open_ticket(org_id uuid) returns boolean
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_has_open_ticket';
comment on function saas_private.has_open_ticket(uuid) is
'Whether the session''s login is an operator with an open ticket for the organization, opened by an earlier transaction: this one could still roll it back.';

create function saas.builtin_roles(out name text, out rank integer, out permissions text[])
returns setof record
language c immutable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_builtin_roles';
comment on function saas.builtin_roles() is
'The four built-in roles with their rank and permissions. They cannot be changed.';

create function saas_private.issue_access_token(user_id uuid, session_id uuid, org_id uuid, lifetime integer default null)
returns jsonb
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_issue_access_token';
comment on function saas_private.issue_access_token(uuid, uuid, uuid, integer) is
'Signs an access token from live rows: {"access_token", "expires_in"}. It is good for lifetime seconds; NULL: saas.access_token_lifetime. For saas_service''s functions only.';

create function saas.open_ticket(org_id uuid, reason text, valid_for interval default '1 hour')
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ticket_id uuid := saas.uuidv7();
begin
    if coalesce(btrim(left(open_ticket.reason, 1000)), '') = '' then
        perform saas_private.raise_fields('a ticket needs a reason', 'reason', 'is required');
    end if;
    -- Compared as times: as intervals years of months equal 30 days each.
    if open_ticket.valid_for is null or now() + open_ticket.valid_for <= now()
       or now() + open_ticket.valid_for > now() + interval '24 hours' then
        perform saas_private.raise_fields('a ticket is valid for at most 24 hours',
                                          'valid_for', 'must be above zero and at most 24 hours');
    end if;
    if not exists (select from saas.organization o where o.id = open_ticket.org_id) then
        perform saas_private.raise_error('PT404', 'organization not found');
    end if;
    insert into saas_private.ticket (org_id, id, opened_by, opened_by_oid, reason, valid_until)
    values (open_ticket.org_id, ticket_id, session_user,
            (select r.oid from pg_roles r where r.rolname = session_user), open_ticket.reason,
            now() + open_ticket.valid_for);
    perform saas_private.audit('ticket.opened', 'ticket', ticket_id::text, null,
        jsonb_build_object('reason', open_ticket.reason, 'valid_until', now() + open_ticket.valid_for), open_ticket.org_id);
    return ticket_id;
end
$$;
alter function saas.open_ticket(uuid, text, interval) owner to saas_service;
comment on function saas.open_ticket(uuid, text, interval) is
'Opens an operator''s permission to look at one organization, at most 24 hours. It counts once committed. Errors: 22023, PT404. For saas_operator.';

create function saas.current_permissions() returns text[]
language c stable parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_permissions';
comment on function saas.current_permissions() is
'The permissions that the identity holds in its organization; empty without one.';

create function saas.require_membership(org uuid, min_role text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    needed integer := (select b.rank from saas.builtin_roles() b where b.name = require_membership.min_role);
begin
    if needed is null then
        perform saas_private.raise_fields('invalid input', 'min_role', 'must be viewer, member, admin or owner');
    end if;
    if require_membership.org is null or require_membership.org is distinct from saas.current_org_id() then
        perform saas_private.raise_error('PT403', 'Not a member of this organization');
    end if;
    if coalesce(saas_private.current_rank(), 0) < needed then
        perform saas_private.raise_error('PT403', format('Requires %s role or higher', require_membership.min_role));
    end if;
end
$$;
alter function saas.require_membership(uuid, text) owner to saas_owner;
comment on function saas.require_membership(uuid, text) is
'Raises PT403 unless the identity is in the organization with at least that role. min_role is a built-in role.';

create function saas_private.current_rank() returns integer
language c stable leakproof parallel safe
as 'MODULE_PATHNAME', 'pg_saas_current_rank';
comment on function saas_private.current_rank() is
'The rank of the current role: viewer 10, member 20, admin 30, owner 40; NULL without an organization.';
