-- What mail proves: verification of an address by link and by code, a new
-- password by link; and what a person does with the own password.  Answers never
-- say whether an address has an account.  Leans on accounts, passwords, sessions.

-- Mail that anybody can cause is counted for the address it goes to, and for
-- the client that asks, before anything is looked up.
create function saas_private.count_mail_request(email text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.count_client('mail_client');
    perform saas_private.require_attempt('mail', saas_private.email_subject(count_mail_request.email), 5,
                                         interval '1 minute', interval '1 hour', interval '6 hours');
end
$$;
alter function saas_private.count_mail_request(text) owner to saas_service;
comment on function saas_private.count_mail_request(text) is
'Counts a mail that somebody causes. Five to an address are free, then each further one waits a minute and twice as long each time, at most an hour: PT429.';

-- The commit of a transaction that wrote nothing is faster: with an account or
-- without, something is written, and the answer comes no sooner.
create function saas_private.answer_alike(began_at timestamptz, message text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_logical_emit_message(true, 'pg_saas', '');
    perform saas_private.wait_until(answer_alike.began_at
        + greatest(interval '25 milliseconds', current_setting('saas.sign_in_floor')::interval));
    return jsonb_build_object('message', answer_alike.message);
end
$$;
alter function saas_private.answer_alike(timestamptz, text) owner to saas_service;
comment on function saas_private.answer_alike(timestamptz, text) is
'The answer of a function that must not tell whether an address has an account: at least 25 ms after it began.';

create function saas_private.random_digits() returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    -- 60 random bits leave no digit likelier than another by more than 1e-12.
    select lpad((('x' || left(encode(saas_private.token_hash(saas_private.random_token()), 'hex'), 15))::bit(60)::bigint
                 % 1000000)::text, 6, '0')
$$;
alter function saas_private.random_digits() owner to saas_service;
comment on function saas_private.random_digits() is
'Six random digits.';

create function saas_private.code_hash(code_id uuid, code text) returns bytea
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select saas_private.platform_hash('email_code', code_hash.code_id::text || ':' || code_hash.code)
$$;
alter function saas_private.code_hash(uuid, text) owner to saas_service;
comment on function saas_private.code_hash(uuid, text) is
'What is kept of a mailed code. A plain hash of six digits would be found by trying them all.';

create function saas_private.new_mail_token(user_id uuid, purpose text, valid_for interval) returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    token text := saas_private.random_token();
begin
    perform saas_private.forget_mailed(new_mail_token.user_id, new_mail_token.purpose);
    insert into saas_private.email_token (token_hash, user_id, purpose, expires_at)
    values (saas_private.token_hash(token), new_mail_token.user_id, new_mail_token.purpose,
            now() + new_mail_token.valid_for);
    return token;
end
$$;
alter function saas_private.new_mail_token(uuid, text, interval) owner to saas_service;
comment on function saas_private.new_mail_token(uuid, text, interval) is
'A token for a mailed link, of which only the hash is kept; what was mailed for that purpose before ends.';

create function saas_private.mail_verification(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person record;
    mail_token text;
    code text := saas_private.random_digits();
    code_id uuid := saas.uuidv7();
begin
    select u.email, u.first_name into strict person from saas.app_user u where u.id = mail_verification.user_id;
    -- Before the new code: the old one ends with the old token.
    mail_token := saas_private.new_mail_token(mail_verification.user_id, 'verify_email', interval '24 hours');
    insert into saas_private.email_code (user_id, id, code_hash, expires_at)
    values (mail_verification.user_id, code_id, saas_private.code_hash(code_id, code), now() + interval '10 minutes');
    perform saas_private.queue_mail(person.email, 'verify_email',
        jsonb_build_object('first_name', person.first_name, 'valid_hours', 24, 'code_valid_minutes', 10),
        mail_token || ' ' || code, null, interval '24 hours');
end
$$;
alter function saas_private.mail_verification(uuid) owner to saas_service;
comment on function saas_private.mail_verification(uuid) is
'Mails a new link (24 hours) and code (10 minutes) to verify the address; the earlier ones end.';

create function saas_private.forget_mailed(user_id uuid, purpose text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from saas_private.email_token t
     where t.user_id = forget_mailed.user_id and t.purpose = forget_mailed.purpose;
    delete from saas_private.email_code c
     where c.user_id = forget_mailed.user_id and forget_mailed.purpose = 'verify_email';
    delete from saas_private.email_change c
     where c.user_id = forget_mailed.user_id and forget_mailed.purpose = 'change_email';
end
$$;
alter function saas_private.forget_mailed(uuid, text) owner to saas_service;
comment on function saas_private.forget_mailed(uuid, text) is
'Ends what was mailed to a person for that purpose.';

create function saas_private.mark_verified(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.settle_slug(mark_verified.user_id);
    update saas.app_user u
       set email_verified_at = coalesce(u.email_verified_at, now()), updated_at = now()
     where u.id = mark_verified.user_id;
    perform saas_private.forget_mailed(mark_verified.user_id, 'verify_email');
end
$$;
alter function saas_private.mark_verified(uuid) owner to saas_service;
comment on function saas_private.mark_verified(uuid) is
'The person has proven the address: link and code have done their work.';

create function saas_private.find_mailed(token text, purpose text) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    proven_id uuid;
begin
    -- The lock makes a second use wait and then find the token gone.
    select t.user_id into proven_id
      from saas_private.email_token t
     where t.token_hash = saas_private.token_hash(coalesce(find_mailed.token, ''))
       and t.purpose = find_mailed.purpose and t.used_at is null and t.expires_at > now()
       for update;
    return proven_id;
end
$$;
alter function saas_private.find_mailed(text, text) owner to saas_service;
comment on function saas_private.find_mailed(text, text) is
'Whom a mailed token belongs to, if it is good for that purpose, locked; else NULL.';

create function saas_api.verify_email(token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    proven_id uuid;
begin
    perform saas_private.require_installed();
    proven_id := saas_private.find_mailed(verify_email.token, 'verify_email');
    if proven_id is null then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask for a new verification mail.');
    end if;
    perform saas_private.mark_verified(proven_id);
    return jsonb_build_object('message', 'Email verified.');
end
$$;
alter function saas_api.verify_email(text) owner to saas_service;
comment on function saas_api.verify_email(text) is
'Confirms an e-mail address with the token of the mailed link: 24 hours, single use. Errors: 22023. For saas_anon and saas_user.';

create function saas_api.verify_email_code(email text, code text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    began_at timestamptz := clock_timestamp();
    mailed record;
    is_open boolean := false;
begin
    perform saas_private.require_installed();
    -- A row that waits to be verified is locked, which takes a transaction id:
    -- without this one, SQL could tell it by that.
    perform pg_current_xact_id();
    perform saas_private.count_client('verify_client');
    perform saas_private.require_attempt('verify_email_code', saas_private.email_subject(verify_email_code.email), 10,
                                         interval '10 seconds', interval '15 minutes', interval '1 hour');
    select c.user_id, c.id, c.code_hash, c.used_at is null and c.expires_at > now() as is_good
      into mailed
      from saas.app_user u join saas_private.email_code c on c.user_id = u.id
     where lower(u.email) = saas_private.plain_email(verify_email_code.email)
       for update of c;
    -- Five tries in all, counted before the sixth could be right; a code lives
    -- for a sixth of the time that they are remembered.
    if mailed.is_good then
        is_open := saas_private.take_attempt('email_code', mailed.id::text, 5, interval '1 hour',
                                             interval '1 hour', interval '1 hour') = 0;
    end if;
    if saas_private.code_hash(coalesce(mailed.id, '00000000-0000-0000-0000-000000000000'),
                              btrim(left(coalesce(verify_email_code.code, ''), 100)))
       is distinct from mailed.code_hash or not is_open then
        perform saas_private.wait_until(began_at
            + greatest(interval '25 milliseconds', current_setting('saas.sign_in_floor')::interval));
        perform saas_private.raise_error('22023', 'invalid or expired code', null,
            'After five wrong codes or ten minutes ask for a new verification mail.');
    end if;
    perform saas_private.mark_verified(mailed.user_id);
    return jsonb_build_object('message', 'Email verified.');
end
$$;
alter function saas_api.verify_email_code(text, text) owner to saas_service;
comment on function saas_api.verify_email_code(text, text) is
'Confirms an e-mail address with the six digits of the verification mail: ten minutes, single use, ended by five wrong tries, even when the caller rolls back. Unknown addresses are answered like wrong codes. Errors: 22023, PT429 after too many tries for the address. For saas_anon and saas_user.';

create function saas_api.resend_verification(email text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    began_at timestamptz := clock_timestamp();
    given_email text := saas_private.require_email(resend_verification.email);
    person_id uuid;
begin
    perform saas_private.require_installed();
    perform saas_private.count_mail_request(given_email);
    select u.id into person_id
      from saas.app_user u
     where lower(u.email) = lower(given_email) and u.is_active and u.email_verified_at is null;
    if person_id is not null then
        perform saas_private.mail_verification(person_id);
    end if;
    return saas_private.answer_alike(began_at, 'If the address waits to be verified, a mail is on its way.');
end
$$;
alter function saas_api.resend_verification(text) owner to saas_service;
comment on function saas_api.resend_verification(text) is
'Mails a new verification link and code; the earlier ones end. The answer is the same for every address. Errors: 22023, PT429 after too many mails to the address. For saas_anon and saas_user.';

create function saas_api.request_password_reset(email text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    began_at timestamptz := clock_timestamp();
    given_email text := saas_private.require_email(request_password_reset.email);
    person record;
begin
    perform saas_private.require_installed();
    perform saas_private.count_mail_request(given_email);
    select u.id, u.email, u.first_name into person
      from saas.app_user u where lower(u.email) = lower(given_email) and u.is_active;
    if person.id is not null then
        perform saas_private.queue_mail(person.email, 'reset_password',
            jsonb_build_object('first_name', person.first_name, 'valid_minutes', 60),
            saas_private.new_mail_token(person.id, 'reset_password', interval '1 hour'), null, interval '1 hour');
    end if;
    return saas_private.answer_alike(began_at, 'If the address has an account, a mail is on its way.');
end
$$;
alter function saas_api.request_password_reset(text) owner to saas_service;
comment on function saas_api.request_password_reset(text) is
'Mails a link to choose a new password: one hour, single use; earlier links end. The answer is the same for every address. Errors: 22023, PT429 after too many mails to the address. For saas_anon and saas_user.';

create function saas_private.replace_password(user_id uuid, new_password text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_strong_password(replace_password.new_password);
    perform saas_private.set_password(replace_password.user_id,
                                      saas_private.hash_password(replace_password.new_password));
    perform saas_private.forget_mailed(replace_password.user_id, 'reset_password');
    perform saas_private.queue_mail((select u.email from saas.app_user u where u.id = replace_password.user_id),
                                    'password_changed', '{}');
end
$$;
alter function saas_private.replace_password(uuid, text) owner to saas_service;
comment on function saas_private.replace_password(uuid, text) is
'Sets a new password, ends the links that were mailed to choose one, and tells the owner by mail. Errors: 22023 with the field password.';

-- Where sign-in does not wait for it, somebody may have used an account for
-- whose address they had no proof.
create function saas_private.oust_squatter(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from saas.app_user u where u.id = oust_squatter.user_id and u.email_verified_at is not null) then
        return;
    end if;
    delete from saas_private.second_factor f where f.user_id = oust_squatter.user_id and f.confirmed_at is not null;
    if found then
        perform saas_private.audit_user('user.second_factor_disabled', oust_squatter.user_id);
    end if;
    delete from saas_private.second_factor f where f.user_id = oust_squatter.user_id;
    delete from saas_private.recovery_code c where c.user_id = oust_squatter.user_id;
    delete from saas_private.sign_in_challenge c where c.user_id = oust_squatter.user_id;
    perform saas_private.end_api_keys_of(oust_squatter.user_id);
end
$$;
alter function saas_private.oust_squatter(uuid) owner to saas_service;
comment on function saas_private.oust_squatter(uuid) is
'Before an address is proven by mail for the first time: ends second factors and API keys of whoever used the account until now.';

create function saas_api.reset_password(token text, new_password text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    proven_id uuid;
    address text;
begin
    perform saas_private.require_installed();
    proven_id := saas_private.find_mailed(reset_password.token, 'reset_password');
    select u.email into address from saas.app_user u where u.id = proven_id and u.is_active;
    if address is null then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask for a new mail to reset the password.');
    end if;
    perform saas_private.require_strong_password(reset_password.new_password);
    -- Otherwise who rolls back could have attempts forgotten again and again.
    if not saas_private.use_once('reset_password', encode(saas_private.token_hash(reset_password.token), 'hex'),
                                 interval '1 hour') then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask for a new mail to reset the password.');
    end if;
    perform saas_private.replace_password(proven_id, reset_password.new_password);
    perform saas_private.audit_user('user.password_reset', proven_id);
    perform saas_private.oust_squatter(proven_id);
    perform saas_private.mark_verified(proven_id);
    perform saas_private.forget_mailed(proven_id, 'change_email');
    perform saas_private.end_sessions_of(proven_id, null);
    perform saas_private.forget_attempts('sign_in', saas_private.email_subject(address));
    return jsonb_build_object('message', 'Password changed. Sign in again.');
end
$$;
alter function saas_api.reset_password(text, text) owner to saas_service;
comment on function saas_api.reset_password(text, text) is
'Sets a new password with the token of a mailed link, ends all sessions and counts the address as verified: the mail has reached it. If it was not verified before, second factors and API keys of the account end too: nobody had proven to be its owner. A password that is refused leaves the token good; one that is taken uses it up, even when the caller rolls back. Errors: 22023. For saas_anon and saas_user.';

create function saas_api.change_password(current_password text, new_password text,
                                         end_other_sessions boolean default true)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own_id uuid := saas.current_user_id();
begin
    perform saas_private.require_own_password(change_password.current_password, 'current_password');
    perform saas_private.replace_password(own_id, change_password.new_password);
    perform saas_private.audit_user('user.password_changed', own_id);
    perform saas_private.forget_mailed(own_id, 'change_email');
    if coalesce(change_password.end_other_sessions, true) then
        perform saas_private.end_sessions_of(own_id, saas.current_session_id());
    end if;
    return jsonb_build_object('message', 'Password changed.');
end
$$;
alter function saas_api.change_password(text, text, boolean) owner to saas_service;
comment on function saas_api.change_password(text, text, boolean) is
'Changes my password, which needs the current one, and ends my other sessions unless end_other_sessions is false. Errors: PT401, 22023 with the field current_password or password, PT429 after too many wrong ones. For saas_user.';

-- The owners' rows are locked, so that two last owners cannot leave at once;
-- the organizations', so that nobody joins between the look for other members
-- and the end of the only one, and so that nobody makes the person the owner of
-- one meanwhile.
create function saas_private.require_replaceable(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org_name text;
    held record;
begin
    -- The person first: accepting an invitation takes them in that order too.
    perform from saas.app_user u where u.id = require_replaceable.user_id for update;
    -- One after the other in one order.  Where others are owners nothing but the
    -- team has to wait.
    for held in
        select m.org_id, m.role = 'owner' as is_owner from saas.membership m
         where m.user_id = require_replaceable.user_id order by m.org_id
    loop
        if held.is_owner then
            perform from saas.organization g where g.id = held.org_id for update;
        else
            perform from saas.organization g where g.id = held.org_id for no key update;
        end if;
    end loop;
    -- Whoever counts owners with an older snapshot fails then: see lock_members.
    update saas.organization g set updated_at = g.updated_at
     where g.id in (select m.org_id from saas.membership m where m.user_id = require_replaceable.user_id);
    perform from saas.membership o
      where o.role = 'owner'
        and o.org_id in (select m.org_id from saas.membership m
                          where m.user_id = require_replaceable.user_id and m.role = 'owner')
      order by o.org_id, o.user_id
        for update;
    select g.name into org_name
      from saas.membership m join saas.organization g on g.id = m.org_id
     where m.user_id = require_replaceable.user_id and m.role = 'owner'
       and exists (select from saas.membership o where o.org_id = m.org_id and o.user_id <> m.user_id)
       and not exists (select from saas.membership o join saas.app_user u on u.id = o.user_id
                        where o.org_id = m.org_id and o.role = 'owner' and o.user_id <> m.user_id and u.is_active)
     order by g.name limit 1;
    if org_name is not null then
        perform saas_private.raise_error('PT409', format('"%s" would have no owner', org_name), null,
            'Make another member the owner first.');
    end if;
end
$$;
alter function saas_private.require_replaceable(uuid) owner to saas_service;
comment on function saas_private.require_replaceable(uuid) is
'Raises PT409 for the last active owner of an organization with other members.';

create function saas_private.set_active(user_id uuid, is_active boolean) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update saas.app_user u
       set is_active = set_active.is_active, updated_at = now()
     where u.id = set_active.user_id;
    if not found then
        perform saas_private.raise_error('PT404', 'user not found');
    end if;
    if not set_active.is_active then
        perform saas_private.end_sessions_of(set_active.user_id, null);
        perform saas_private.end_api_keys_of(set_active.user_id);
        perform saas_private.end_personal_connections(set_active.user_id);
        perform saas_private.forget_mailed(set_active.user_id, 'verify_email');
        perform saas_private.forget_mailed(set_active.user_id, 'reset_password');
        perform saas_private.forget_mailed(set_active.user_id, 'change_email');
    end if;
    perform saas_private.audit_user(case when set_active.is_active then 'user.activated' else 'user.deactivated' end,
                                    set_active.user_id);
end
$$;
alter function saas_private.set_active(uuid, boolean) owner to saas_service;
comment on function saas_private.set_active(uuid, boolean) is
'Turns an account on, or off with its sessions, API keys, mailed tokens and the secrets of its personal connections, which stay off when it is turned on again. Errors: PT404.';

create function saas_api.deactivate_account(password text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_own_password(deactivate_account.password, 'password');
    perform saas_private.require_replaceable(saas.current_user_id());
    perform saas_private.set_active(saas.current_user_id(), false);
    return jsonb_build_object('message', 'Account deactivated.');
end
$$;
alter function saas_api.deactivate_account(text) owner to saas_service;
comment on function saas_api.deactivate_account(text) is
'Deactivates my account, which needs the password; all my sessions and API keys end, and the secrets of my personal connections are destroyed. An operator can turn it on again. Errors: PT401, 22023, PT409 for the last owner of an organization with other members, PT429. For saas_user.';

create function saas.deactivate_user(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.set_active(deactivate_user.user_id, false);
end
$$;
alter function saas.deactivate_user(uuid) owner to saas_service;
comment on function saas.deactivate_user(uuid) is
'Turns an account off, also that of an organization''s last owner: its sessions and API keys end at once, and the secrets of its personal connections are destroyed. Errors: PT404. For saas_operator.';

create function saas.activate_user(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.set_active(activate_user.user_id, true);
end
$$;
alter function saas.activate_user(uuid) owner to saas_service;
comment on function saas.activate_user(uuid) is
'Turns a deactivated account on again. Errors: PT404. For saas_operator.';
