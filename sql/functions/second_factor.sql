-- Second factors: enrolment, codes, the second half of a sign-in, organizations
-- that require one.  Definer functions of saas_service.  Leans on sessions and
-- limits.

create function saas_private.random_base32() returns text
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_random_base32';
comment on function saas_private.random_base32() is
'160 random bits in base32: 32 upper-case characters, any of which carry 5 bits each.';

create function saas_private.totp_uri(issuer text, account text, secret text) returns text
language c immutable strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_totp_uri';
comment on function saas_private.totp_uri(text, text, text) is
'The otpauth:// URI that an authenticator application reads from a QR code.';

create function saas_private.match_totp(secret text, code text) returns bigint
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_match_totp';
comment on function saas_private.match_totp(text, text) is
'The step of 30 seconds since 1970 whose code this is: the current one or one next to it; NULL for any other code. The secret is base32.';

-- Before the code is looked at: a caller may roll back what it learns.
create function saas_private.count_factor_attempt(user_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_attempt('second_factor', count_factor_attempt.user_id::text,
                                         5, interval '1 second', interval '15 minutes', interval '1 hour');
end
$$;
alter function saas_private.count_factor_attempt(uuid) owner to saas_service;
comment on function saas_private.count_factor_attempt(uuid) is
'Counts a try at somebody''s second factor. Five in an hour are free, then each further one waits a second and twice as long each time, at most 15 minutes: PT429 with {"retry_after": seconds} in DETAIL.';

create function saas_private.recovery_code_hash(user_id uuid, code text) returns bytea
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(convert_to(recovery_code_hash.user_id || ':' || upper(recovery_code_hash.code), 'UTF8'))
$$;
comment on function saas_private.recovery_code_hash(uuid, text) is
'What is kept of a recovery code. Its 80 random bits need no slow hash.';

create function saas_private.spend_totp(user_id uuid, code text, confirmed boolean default true) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    factor record;
    step bigint;
begin
    select f.id, f.secret, f.last_step into factor
      from saas_private.second_factor f
     where f.user_id = spend_totp.user_id and (f.confirmed_at is not null) = spend_totp.confirmed
       for update;
    step := saas_private.match_totp(
        saas_private.unseal_for_platform(factor.secret, 'pg_saas:totp', spend_totp.user_id::text), spend_totp.code);
    if step is null or step <= factor.last_step
       or not saas_private.use_once('totp', factor.id || ':' || step, interval '2 minutes') then
        return false;
    end if;
    update saas_private.second_factor f set last_step = step where f.user_id = spend_totp.user_id;
    return true;
end
$$;
alter function saas_private.spend_totp(uuid, text, boolean) owner to saas_service;
comment on function saas_private.spend_totp(uuid, text, boolean) is
'Whether the code is the application''s now, and uses its step up: at once, even when the caller rolls back.';

create function saas_private.spend_recovery_code(user_id uuid, code text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    hash bytea := saas_private.recovery_code_hash(spend_recovery_code.user_id, spend_recovery_code.code);
begin
    update saas_private.recovery_code c set used_at = now()
     where c.user_id = spend_recovery_code.user_id and c.code_hash = hash and c.used_at is null;
    if not found or not saas_private.use_once('recovery_code', encode(hash, 'hex'), interval '1 day') then
        return false;
    end if;
    perform saas_private.note('recovery_code_used', spend_recovery_code.user_id,
                              jsonb_build_object('code_hash', encode(hash, 'hex')));
    return true;
end
$$;
alter function saas_private.spend_recovery_code(uuid, text) owner to saas_service;
comment on function saas_private.spend_recovery_code(uuid, text) is
'Whether the code is one of the person''s that is left, and uses it up: at once, even when the caller rolls back.';

create function saas_private.spend_factor_code(user_id uuid, code text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Blanks and hyphens only make a code readable.
    plain text := regexp_replace(left(coalesce(spend_factor_code.code, ''), 100), '[[:space:]-]', '', 'g');
begin
    if plain ~ '^[0-9]{6}$' then
        return saas_private.spend_totp(spend_factor_code.user_id, plain);
    elsif plain ~ '^[A-Za-z2-7]{16}$' then
        return saas_private.spend_recovery_code(spend_factor_code.user_id, plain);
    end if;
    return false;
end
$$;
alter function saas_private.spend_factor_code(uuid, text) owner to saas_service;
comment on function saas_private.spend_factor_code(uuid, text) is
'Whether the code, of the application or for recovery, proves the person''s second factor; it is used up by that.';

create function saas_private.has_second_factor(user_id uuid) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from saas_private.second_factor f
                    where f.user_id = has_second_factor.user_id and f.confirmed_at is not null);
end
$$;
alter function saas_private.has_second_factor(uuid) owner to saas_service;
comment on function saas_private.has_second_factor(uuid) is
'Whether the person has turned a second factor on.';

create function saas_private.require_own_session() returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    if saas.current_session_id() is null then
        perform saas_private.raise_error('PT403', 'second factors are changed in a session of their owner', null,
            'Sign in with a password.');
    end if;
end
$$;
alter function saas_private.require_own_session() owner to saas_service;
comment on function saas_private.require_own_session() is
'Raises PT401 without an identity, PT403 when it does not come from a sign-in.';

create function saas_private.require_own_factor() returns uuid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_own_session();
    if not saas_private.has_second_factor(saas.current_user_id()) then
        perform saas_private.raise_error('PT409', 'Second factor is not on');
    end if;
    return saas.current_user_id();
end
$$;
alter function saas_private.require_own_factor() owner to saas_service;
comment on function saas_private.require_own_factor() is
'The person of this session. Raises PT409 when their second factor is not on, and what require_own_session() raises.';

create function saas_private.mail_notice(user_id uuid, event text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.queue_mail(u.email, 'security_notice', jsonb_build_object('event', mail_notice.event))
       from saas.app_user u where u.id = mail_notice.user_id;
end
$$;
alter function saas_private.mail_notice(uuid, text) owner to saas_service;
comment on function saas_private.mail_notice(uuid, text) is
'Tells a person by mail what has happened to the account.';

create function saas_private.make_recovery_codes(user_id uuid) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    codes text[] := '{}';
    code text;
begin
    delete from saas_private.recovery_code c where c.user_id = make_recovery_codes.user_id;
    while cardinality(codes) < 10 loop
        code := left(saas_private.random_base32(), 16);
        insert into saas_private.recovery_code (user_id, code_hash)
        values (make_recovery_codes.user_id, saas_private.recovery_code_hash(make_recovery_codes.user_id, code));
        codes := codes || rtrim(regexp_replace(lower(code), '(.{4})', '\1-', 'g'), '-');
    end loop;
    return jsonb_build_object('recovery_codes', to_jsonb(codes));
end
$$;
alter function saas_private.make_recovery_codes(uuid) owner to saas_service;
comment on function saas_private.make_recovery_codes(uuid) is
'Ten new recovery codes in place of the old ones; only their hashes are kept.';

-- Whoever holds a stolen session would lock its owner out with a factor of theirs.
create function saas_api.begin_second_factor(password text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    secret text := saas_private.random_base32();
    person_id uuid := saas.current_user_id();
begin
    perform saas_private.require_own_session();
    perform saas_private.require_own_password(begin_second_factor.password, 'password');
    insert into saas_private.second_factor as f (user_id, secret)
    values (person_id, saas_private.seal_for_platform(secret, 'pg_saas:totp', person_id::text))
    on conflict (user_id) do update
       set id = excluded.id, secret = excluded.secret, last_step = excluded.last_step, created_at = excluded.created_at
     where f.confirmed_at is null;
    if not found then
        perform saas_private.raise_error('PT409', 'Second factor is already on', null,
            'Turn it off with disable_second_factor first.');
    end if;
    return jsonb_build_object('secret', secret,
        'uri', (select saas_private.totp_uri(current_setting('saas.second_factor_issuer'), u.email, secret)
                  from saas.app_user u where u.id = person_id));
end
$$;
alter function saas_api.begin_second_factor(text) owner to saas_service;
comment on function saas_api.begin_second_factor(text) is
'Begins to enrol an authenticator application, which needs the password: {secret, uri}, shown this once. It counts after confirm_second_factor; begun again, the old secret is gone. Errors: PT401, PT403 without a session, PT409 when one is on, 22023 for a wrong password, PT429. For saas_user.';

create function saas_api.confirm_second_factor(code text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person_id uuid := saas.current_user_id();
begin
    perform saas_private.require_own_session();
    if saas_private.has_second_factor(person_id) then
        perform saas_private.raise_error('PT409', 'Second factor is already on');
    end if;
    perform saas_private.count_factor_attempt(person_id);
    if not saas_private.spend_totp(person_id, coalesce(confirm_second_factor.code, ''), false) then
        perform saas_private.raise_fields('invalid code', 'code', 'is not the application''s code of this moment');
    end if;
    perform saas_private.forget_attempts('second_factor', person_id::text);
    update saas_private.second_factor f set confirmed_at = now() where f.user_id = person_id;
    update saas_private.session s set second_factor_at = now() where s.id = saas.current_session_id();
    perform saas_private.mail_notice(person_id, 'a second factor was turned on.');
    perform saas_private.audit_user('user.second_factor_enabled', person_id);
    return saas_private.make_recovery_codes(person_id);
end
$$;
alter function saas_api.confirm_second_factor(text) owner to saas_service;
comment on function saas_api.confirm_second_factor(text) is
'Turns the second factor on with a code of the application: {recovery_codes}, ten of them, single use, shown this once. The session counts as one with a second factor from then on; the person''s other sessions do not. Errors: PT401, PT403 without a session, PT409 when one is on, 22023, PT429. For saas_user.';

create function saas_api.disable_second_factor(password text default null, code text default null) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person_id uuid := saas_private.require_own_factor();
    is_proven boolean;
begin
    if num_nonnulls(disable_second_factor.password, disable_second_factor.code) <> 1 then
        perform saas_private.raise_fields('invalid input', 'code', 'give either the password or a code');
    end if;
    perform saas_private.count_factor_attempt(person_id);
    if disable_second_factor.code is not null then
        is_proven := saas_private.spend_factor_code(person_id, disable_second_factor.code);
    else
        is_proven := saas_private.check_password(disable_second_factor.password,
            (select p.hash from saas_private.password p where p.user_id = person_id));
    end if;
    if not is_proven then
        perform saas_private.note_sign_in(case when disable_second_factor.code is null then 'wrong_own_password'
                                               else 'invalid_second_factor' end, person_id, null);
        perform saas_private.raise_fields('invalid password or code',
            case when disable_second_factor.code is null then 'password' else 'code' end, 'is wrong');
    end if;
    perform saas_private.forget_attempts('second_factor', person_id::text);
    delete from saas_private.second_factor f where f.user_id = person_id;
    delete from saas_private.recovery_code c where c.user_id = person_id;
    delete from saas_private.sign_in_challenge c where c.user_id = person_id;
    update saas_private.session s set second_factor_at = null where s.user_id = person_id;
    perform saas_private.mail_notice(person_id, 'the second factor was turned off.');
    perform saas_private.audit_user('user.second_factor_disabled', person_id);
    return jsonb_build_object('message', 'Second factor is off.');
end
$$;
alter function saas_api.disable_second_factor(text, text) owner to saas_service;
comment on function saas_api.disable_second_factor(text, text) is
'Turns the second factor off, with the password or with a code of the application or for recovery. Organizations that require one are closed to all the person''s sessions from the next transaction on. Errors: PT401, PT403 without a session, PT409 when none is on, 22023, PT429. For saas_user.';

create function saas_api.new_recovery_codes(code text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    person_id uuid := saas_private.require_own_factor();
begin
    perform saas_private.count_factor_attempt(person_id);
    if not saas_private.spend_factor_code(person_id, new_recovery_codes.code) then
        perform saas_private.note_sign_in('invalid_second_factor', person_id, null);
        perform saas_private.raise_fields('invalid code', 'code', 'is wrong or was used');
    end if;
    perform saas_private.forget_attempts('second_factor', person_id::text);
    perform saas_private.mail_notice(person_id, 'the recovery codes of the second factor were replaced.');
    perform saas_private.audit_user('user.recovery_codes_replaced', person_id);
    return saas_private.make_recovery_codes(person_id);
end
$$;
alter function saas_api.new_recovery_codes(text) owner to saas_service;
comment on function saas_api.new_recovery_codes(text) is
'Replaces all recovery codes by ten new ones, {recovery_codes}, with a code of the application or for recovery. Errors: PT401, PT403 without a session, PT409 when no second factor is on, 22023, PT429. For saas_user.';

create function saas_api.second_factor() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.require_identity();
    return jsonb_build_object(
        'is_on', saas_private.has_second_factor(saas.current_user_id()),
        'is_session_proven', coalesce((select s.second_factor_at is not null from saas_private.session s
                                        where s.id = saas.current_session_id()), false),
        'recovery_codes_left', (select count(*) from saas_private.recovery_code c
                                 where c.user_id = saas.current_user_id() and c.used_at is null));
end
$$;
alter function saas_api.second_factor() owner to saas_service;
comment on function saas_api.second_factor() is
'My second factor: {is_on, is_session_proven, recovery_codes_left}. Errors: PT401. For saas_user.';

create function saas_private.start_challenge(user_id uuid, remember_me boolean) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    token text := saas_private.random_token();
begin
    delete from saas_private.sign_in_challenge c where c.user_id = start_challenge.user_id and c.expires_at < now();
    insert into saas_private.sign_in_challenge (challenge_hash, user_id, is_remembered, expires_at)
    values (saas_private.token_hash(token), start_challenge.user_id, coalesce(start_challenge.remember_me, false),
            now() + interval '5 minutes');
    return jsonb_build_object('second_factor_required', true, 'challenge', token, 'expires_in', 300);
end
$$;
alter function saas_private.start_challenge(uuid, boolean) owner to saas_service;
comment on function saas_private.start_challenge(uuid, boolean) is
'What sign_in answers to a person with a second factor: {second_factor_required, challenge, expires_in}.';

-- The one way from a proven password, or what stands for it, to a session.
create function saas_private.continue_sign_in(user_id uuid, remember_me boolean) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if saas_private.has_second_factor(continue_sign_in.user_id) then
        return saas_private.start_challenge(continue_sign_in.user_id, continue_sign_in.remember_me);
    end if;
    return saas_private.start_session(continue_sign_in.user_id, continue_sign_in.remember_me);
end
$$;
alter function saas_private.continue_sign_in(uuid, boolean) owner to saas_service;
comment on function saas_private.continue_sign_in(uuid, boolean) is
'A new session, or the challenge for the second factor of a person who has one.';

create function saas_api.verify_second_factor(challenge text, code text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    hash bytea := saas_private.token_hash(coalesce(verify_second_factor.challenge, ''));
    subject text := encode(hash, 'hex');
    waiting record;
begin
    perform saas_private.require_installed();
    -- The lock makes a second use of the same challenge wait and then find none.
    select c.user_id, c.is_remembered, c.created_at into waiting
      from saas_private.sign_in_challenge c
      join saas.app_user u on u.id = c.user_id and u.is_active
     where c.challenge_hash = hash and c.expires_at > now()
       and not exists (select from saas_private.password p
                        where p.user_id = c.user_id and p.changed_at > c.created_at)
       for update of c;
    -- Five tries, whatever becomes of their transactions.
    if waiting.user_id is null or saas_private.is_used('challenge', subject)
       or saas_private.take_attempt('challenge', subject, 5, interval '10 minutes', interval '10 minutes',
                                    interval '10 minutes') > 0 then
        perform saas_private.raise_error('PT401', 'Invalid or expired challenge', null, 'Sign in again.');
    end if;
    perform saas_private.count_factor_attempt(waiting.user_id);
    if not saas_private.spend_factor_code(waiting.user_id, verify_second_factor.code) then
        perform saas_private.note_sign_in('invalid_second_factor', waiting.user_id, null);
        perform saas_private.raise_error('PT401', 'Invalid code');
    elsif not saas_private.use_once('challenge', subject, interval '10 minutes') then
        perform saas_private.raise_error('PT401', 'Invalid or expired challenge', null, 'Sign in again.');
    end if;
    -- Who changes the password waits for this and then ends the session, or has been faster.
    perform from saas_private.password p where p.user_id = waiting.user_id for no key update;
    if exists (select from saas_private.password p
                where p.user_id = waiting.user_id and p.changed_at > waiting.created_at) then
        perform saas_private.raise_error('PT401', 'Invalid or expired challenge', null, 'Sign in again.');
    end if;
    perform saas_private.forget_attempts('second_factor', waiting.user_id::text);
    delete from saas_private.sign_in_challenge c where c.challenge_hash = hash;
    return saas_private.start_session(waiting.user_id, waiting.is_remembered, now());
end
$$;
alter function saas_api.verify_second_factor(text, text) owner to saas_service;
comment on function saas_api.verify_second_factor(text, text) is
'The second half of a sign-in that answered second_factor_required: its challenge and a code of the application, or a recovery code. The challenge is good for 5 minutes, 5 tries and one session. The answer is sign_in''s. Errors: PT401 "Invalid or expired challenge", PT401 "Invalid code", PT429. For saas_anon and saas_user.';

create function saas_api.require_second_factor(required boolean) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas.require_permission('manage_settings');
    perform saas_private.refuse_api_key();
    if require_second_factor.required is null then
        perform saas_private.raise_fields('invalid input', 'required', 'is required');
    elsif require_second_factor.required
          and not exists (select from saas_private.session s
                           where s.id = saas.current_session_id() and s.second_factor_at is not null) then
        perform saas_private.raise_error('PT403', 'Second factor required', null,
            'Turn your own second factor on first: begin_second_factor.');
    end if;
    update saas.organization o
       set requires_second_factor = require_second_factor.required, updated_at = now()
     where o.id = saas.current_org_id();
    perform saas_private.audit('organization.second_factor_required', 'organization', saas.current_org_id()::text, null,
                               jsonb_build_object('requires_second_factor', require_second_factor.required));
    return jsonb_build_object('requires_second_factor', require_second_factor.required);
end
$$;
alter function saas_api.require_second_factor(boolean) owner to saas_service;
comment on function saas_api.require_second_factor(boolean) is
'Whether the organization requires a second factor: sessions without one are refused in it from the next transaction on. API keys and mapped database logins are not concerned. To require one the caller''s own session must have one. Errors: PT401, PT403 without manage_settings or a second factor, or with an API key, a mapped login or an operator''s ticket, 22023. For saas_user with manage_settings.';
