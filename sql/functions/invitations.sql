-- Invitations by e-mail: sent, resent, revoked, accepted, declined.  Definer
-- functions of saas_service, which name the organization themselves.  Leans on
-- members, recovery.

create function saas_private.end_invitation(org_id uuid, invitation_id uuid, status text, user_id uuid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from saas.outbox o
     using saas_private.invitation_token t
     where t.org_id = end_invitation.org_id and t.invitation_id = end_invitation.invitation_id
       and o.id = t.mail_id and o.status = 'queued';
    delete from saas_private.invitation_token t
     where t.org_id = end_invitation.org_id and t.invitation_id = end_invitation.invitation_id;
    update saas.invitation i
       set status = end_invitation.status, ended_at = now(), accepted_by = end_invitation.user_id
     where i.org_id = end_invitation.org_id and i.id = end_invitation.invitation_id;
end
$$;
alter function saas_private.end_invitation(uuid, uuid, text, uuid) owner to saas_service;
comment on function saas_private.end_invitation(uuid, uuid, text, uuid) is
'Ends a pending invitation with its token, and its mail where that waits still. For saas_service''s functions only.';

create function saas_private.send_invitation(org_id uuid, invitation_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    lifetime interval := current_setting('saas.invitation_lifetime')::interval;
    token text := saas_private.random_token();
    invited record;
    new_mail_id uuid;
begin
    delete from saas.outbox o
     using saas_private.invitation_token t
     where t.org_id = send_invitation.org_id and t.invitation_id = send_invitation.invitation_id
       and o.id = t.mail_id and o.status = 'queued';
    update saas.invitation i
       set invited_by = saas.current_user_id(), sent_at = now(), expires_at = now() + lifetime
     where i.org_id = send_invitation.org_id and i.id = send_invitation.invitation_id
    returning i.email, i.role into strict invited;
    new_mail_id := saas_private.queue_mail(invited.email, 'invitation',
        jsonb_build_object('role', invited.role,
            'inviter_name', (select saas.full_name(u.first_name, u.last_name)
                               from saas.app_user u where u.id = saas.current_user_id()),
            'valid_hours', ceil(extract(epoch from lifetime) / 3600)::integer),
        token, send_invitation.org_id, lifetime);
    insert into saas_private.invitation_token (org_id, invitation_id, token_hash, mail_id)
    values (send_invitation.org_id, send_invitation.invitation_id, saas_private.token_hash(token), new_mail_id)
    on conflict on constraint invitation_token_pkey
    do update set token_hash = excluded.token_hash, mail_id = excluded.mail_id;
end
$$;
alter function saas_private.send_invitation(uuid, uuid) owner to saas_service;
comment on function saas_private.send_invitation(uuid, uuid) is
'Mails an invitation in the signed-in member''s name, good for saas.invitation_lifetime from now on; the token of an earlier mail ends. For saas_service''s functions only.';

-- Before anything is looked up, and counted even if the transaction rolls back:
-- nobody makes an organization a source of mail.
create function saas_private.count_invitation(org_id uuid, email text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_attempt('invite', count_invitation.org_id::text, 100, interval '1 minute',
                                         interval '1 hour', interval '1 hour');
    perform saas_private.count_mail_request(count_invitation.email);
end
$$;
alter function saas_private.count_invitation(uuid, text) owner to saas_service;
comment on function saas_private.count_invitation(uuid, text) is
'Counts a mail of an organization to an address: a hundred are free, then each further one waits, PT429; and so for the address.';

create function saas_private.invitation_json(org_id uuid, invitation_id uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select to_jsonb(i) from saas_api.invitations i
             where i.org_id = invitation_json.org_id and i.id = invitation_json.invitation_id);
end
$$;
alter function saas_private.invitation_json(uuid, uuid) owner to saas_owner;
comment on function saas_private.invitation_json(uuid, uuid) is
'An invitation as saas_api.invitations shows it.';

create function saas_api.invite_member(email text, role text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    address text := saas_private.require_email(invite_member.email);
    new_id uuid := saas.uuidv7();
begin
    perform saas_private.require_below(mine.role, mine.rank,
                                       saas_private.require_role(mine.org_id, invite_member.role));
    perform saas_private.require_allowed_email(mine.org_id, address);
    perform saas_private.count_invitation(mine.org_id, address);
    if exists (select from saas.membership m join saas.app_user u on u.id = m.user_id
                where m.org_id = mine.org_id and lower(u.email) = lower(address)) then
        perform saas_private.raise_error('23505', 'is a member of the organization already', null,
            'Change the role with change_member_role.');
    end if;
    perform saas_private.end_invitation(i.org_id, i.id, 'expired')
       from saas.invitation i
      where i.org_id = mine.org_id and lower(i.email) = lower(address)
        and i.status = 'pending' and i.expires_at <= now();
    if exists (select from saas.invitation i
                where i.org_id = mine.org_id and lower(i.email) = lower(address) and i.status = 'pending') then
        perform saas_private.raise_error('23505', 'is invited to the organization already', null,
            'Send it again with resend_invitation, or end it with revoke_invitation.');
    end if;
    perform saas_private.require_seat(mine.org_id);
    insert into saas.invitation (org_id, id, email, role, invited_by, expires_at)
    values (mine.org_id, new_id, address, invite_member.role, saas.current_user_id(), now());
    perform saas_private.send_invitation(mine.org_id, new_id);
    perform saas_private.audit('invitation.sent', 'invitation', new_id::text, null,
        jsonb_build_object('email', address, 'role', invite_member.role));
    return saas_private.invitation_json(mine.org_id, new_id);
end
$$;
alter function saas_api.invite_member(text, text) owner to saas_service;
comment on function saas_api.invite_member(text, text) is
'Mails an invitation into the current organization to an address, with a role below my own (owners: any). Its link is good once, for whoever has proven that address, for saas.invitation_lifetime, and as long as I may invite to that role. Answers the row of saas_api.invitations. Errors: PT401, PT403 (a role not below mine, a domain that the organization does not allow; with an API key), 22023 with the field email or role, 23505 for a member and for somebody invited already, PT402 when all seats are taken, PT429. For saas_user with manage_members.';

create function saas_private.pending_invitation(org_id uuid, invitation_id uuid, out email text, out role text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    target record;
begin
    select i.email, i.role, i.status into target
      from saas.invitation i
     where i.org_id = pending_invitation.org_id and i.id = pending_invitation.invitation_id
       for update;
    if target.status is null then
        perform saas_private.raise_error('PT404', 'invitation not found');
    elsif target.status <> 'pending' then
        perform saas_private.raise_error('PT409', format('the invitation is %s', target.status), null,
            'Invite the person again.');
    end if;
    pending_invitation.email := target.email;
    pending_invitation.role := target.role;
end
$$;
alter function saas_private.pending_invitation(uuid, uuid) owner to saas_service;
comment on function saas_private.pending_invitation(uuid, uuid) is
'Locks an invitation of the organization that has not ended, though it may have expired. Errors: PT404, PT409. For saas_service''s functions only.';

create function saas_api.resend_invitation(invitation_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    target record := saas_private.pending_invitation(mine.org_id, resend_invitation.invitation_id);
begin
    perform saas_private.require_below(mine.role, mine.rank, saas_private.require_role(mine.org_id, target.role));
    perform saas_private.count_invitation(mine.org_id, target.email);
    perform saas_private.require_seat(mine.org_id);
    perform saas_private.send_invitation(mine.org_id, resend_invitation.invitation_id);
    perform saas_private.audit('invitation.resent', 'invitation', resend_invitation.invitation_id::text, null,
        jsonb_build_object('email', target.email, 'role', target.role));
    return saas_private.invitation_json(mine.org_id, resend_invitation.invitation_id);
end
$$;
alter function saas_api.resend_invitation(uuid) owner to saas_service;
comment on function saas_api.resend_invitation(uuid) is
'Mails a pending or expired invitation again, now in my name, with a new link and its full time; the old link ends. Answers the row of saas_api.invitations. Errors: PT401, PT403 (a role not below mine; with an API key), PT404, PT409 for one that was accepted, declined or revoked, PT402 when all seats are taken, PT429. For saas_user with manage_members.';

create function saas_api.revoke_invitation(invitation_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine record := saas_private.manage_team('manage_members');
    target record := saas_private.pending_invitation(mine.org_id, revoke_invitation.invitation_id);
begin
    perform saas_private.require_below(mine.role, mine.rank, saas_private.require_role(mine.org_id, target.role));
    perform saas_private.end_invitation(mine.org_id, revoke_invitation.invitation_id, 'revoked');
    perform saas_private.audit('invitation.revoked', 'invitation', revoke_invitation.invitation_id::text,
        jsonb_build_object('email', target.email, 'role', target.role));
    return saas_private.invitation_json(mine.org_id, revoke_invitation.invitation_id);
end
$$;
alter function saas_api.revoke_invitation(uuid) owner to saas_service;
comment on function saas_api.revoke_invitation(uuid) is
'Ends a pending invitation: its link is good for nothing any more, and a mail that waits is not sent. Answers the row of saas_api.invitations. Errors: PT401, PT403 (a role not below mine; with an API key), PT404, PT409 for one that has ended already. For saas_user with manage_members.';

create function saas_private.inviter_may(org_id uuid, inviter_id uuid, role text) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_and(m.is_active and 'manage_members' = any (m.permissions)
                             and (m.role = 'owner' or m.rank > r.rank)), false)
      from saas_private.member_rights(inviter_may.org_id, inviter_may.inviter_id) m
      join saas.role r on r.org_id = inviter_may.org_id and r.name = inviter_may.role
$$;
alter function saas_private.inviter_may(uuid, uuid, text) owner to saas_service;
comment on function saas_private.inviter_may(uuid, uuid, text) is
'Whether a person is still a member who may invite to the role. For saas_service''s functions only.';

-- One answer for a token that is unknown, used up, expired, revoked, somebody
-- else's, or whose sender has lost the right.
create function saas_private.find_invitation(token text, email text, out org_id uuid, out id uuid, out role text,
                                             out invited_by uuid)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    select i.org_id, i.id, i.role, i.invited_by
      into find_invitation.org_id, find_invitation.id, find_invitation.role, find_invitation.invited_by
      from saas_private.invitation_token t
      join saas.invitation i on i.org_id = t.org_id and i.id = t.invitation_id
     where t.token_hash = saas_private.token_hash(coalesce(find_invitation.token, ''))
       and i.status = 'pending' and i.expires_at > clock_timestamp()
       and lower(i.email) = lower(find_invitation.email)
       and saas_private.inviter_may(i.org_id, i.invited_by, i.role);
    if find_invitation.id is null then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Sign in with the address that the invitation was sent to, or ask for another one.');
    end if;
end
$$;
alter function saas_private.find_invitation(text, text) owner to saas_service;
comment on function saas_private.find_invitation(text, text) is
'The invitation that a mailed token to the address opens, or 22023. For saas_service''s functions only.';

-- Found once to know which organization to lock, and again under the lock: of
-- two who come with one token, or for the last seat, the second waits and then
-- sees what the first has done.
create function saas_private.take_invitation(token text, user_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    address text;
    invited record;
    organization record;
begin
    select u.email into address from saas.app_user u where u.id = take_invitation.user_id for key share;
    invited := saas_private.find_invitation(take_invitation.token, address);
    perform saas_private.lock_members(invited.org_id);
    invited := saas_private.find_invitation(take_invitation.token, address);
    select o.id, o.name, o.slug, o.status into organization
      from saas.organization o where o.id = invited.org_id;
    if organization.status <> 'active' then
        perform saas_private.raise_error('PT403', format('organization is %s', organization.status));
    elsif exists (select from saas.membership m
                   where m.org_id = invited.org_id and m.user_id = take_invitation.user_id) then
        perform saas_private.raise_error('23505', 'is a member of the organization already');
    end if;
    perform saas_private.require_allowed_email(invited.org_id, address);
    perform saas_private.require_seat(invited.org_id);
    insert into saas.membership (org_id, user_id, role, invited_by)
    values (invited.org_id, take_invitation.user_id, invited.role, invited.invited_by);
    perform saas_private.end_invitation(invited.org_id, invited.id, 'accepted', take_invitation.user_id);
    perform saas_private.audit('invitation.accepted', 'invitation', invited.id::text, null,
        jsonb_build_object('user_id', take_invitation.user_id, 'role', invited.role), invited.org_id);
    return jsonb_build_object(
        'organization', jsonb_build_object('id', organization.id, 'name', organization.name, 'slug', organization.slug),
        'membership', jsonb_build_object('role', invited.role, 'joined_at', now()));
end
$$;
alter function saas_private.take_invitation(text, uuid) owner to saas_service;
comment on function saas_private.take_invitation(text, uuid) is
'Makes a person whose address is proven a member by the token of an invitation. Errors: 22023, PT403, 23505, PT402. For saas_service''s functions only.';

-- Counted before the token is looked at, whatever becomes of the transaction.  A
-- success that is rolled back has given nothing away: the mail says as much.
create function saas_private.begin_answer() returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    perform saas_private.refuse_api_key();
    perform saas_private.require_attempt('invitation', saas.current_user_id()::text, 10, interval '1 second',
                                         interval '15 minutes', interval '1 hour');
    return (select u.email from saas.app_user u
             where u.id = saas.current_user_id() and u.email_verified_at is not null);
end
$$;
alter function saas_private.begin_answer() owner to saas_service;
comment on function saas_private.begin_answer() is
'Counts the signed-in person''s try at an invitation and gives their proven address, NULL without one. Errors: PT401, PT403 (with an API key), PT429. For saas_service''s functions only.';

create function saas_api.accept_invitation(token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    address text := saas_private.begin_answer();
begin
    perform saas_private.find_invitation(accept_invitation.token, address);
    return saas_private.take_invitation(accept_invitation.token, saas.current_user_id());
end
$$;
alter function saas_api.accept_invitation(text) owner to saas_service;
comment on function saas_api.accept_invitation(text) is
'Makes me a member of the organization that the mailed token invites my verified address to: {organization, membership}; switch_organization enters it. A token is good once; one that has expired, was used or revoked, is another address'' or whose sender may no longer invite is answered alike. Who has no account yet gives the token to sign_up. Errors: PT401, PT403 (a suspended organization, a domain that it does not allow; with an API key), 22023, 23505 for a member, PT402 when all seats are taken, PT429 after many tries. For saas_user.';

create function saas_api.decline_invitation(token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    address text := saas_private.begin_answer();
    invited record;
begin
    invited := saas_private.find_invitation(decline_invitation.token, address);
    perform saas_private.lock_members(invited.org_id);
    invited := saas_private.find_invitation(decline_invitation.token, address);
    perform saas_private.end_invitation(invited.org_id, invited.id, 'declined');
    perform saas_private.audit('invitation.declined', 'invitation', invited.id::text, null,
        jsonb_build_object('user_id', saas.current_user_id()), invited.org_id);
    return jsonb_build_object('message', 'Invitation declined.');
end
$$;
alter function saas_api.decline_invitation(text) owner to saas_service;
comment on function saas_api.decline_invitation(text) is
'Declines the invitation that the mailed token is for, sent to my verified address: its token ends. Errors: PT401, PT403 (with an API key), 22023 as accept_invitation, PT429. For saas_user.';

-- The address is proven by the token, so that the answer may tell of an account.
create function saas_private.join_invited(user_id uuid, password_hash text, token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if join_invited.user_id is null then
        perform saas_private.raise_error('23505', 'the address has an account already', null,
            'Sign in, and call accept_invitation.');
    end if;
    perform saas_private.set_password(join_invited.user_id, join_invited.password_hash);
    perform saas_private.mark_verified(join_invited.user_id);
    return jsonb_build_object('message', 'Your account is ready: sign in.')
           || saas_private.take_invitation(join_invited.token, join_invited.user_id);
end
$$;
alter function saas_private.join_invited(uuid, text, text) owner to saas_service;
comment on function saas_private.join_invited(uuid, text, text) is
'Ends a sign-up with the token of an invitation: password, proven address, membership. Errors: 23505 without a person, and take_invitation''s. For saas_service''s functions only.';
