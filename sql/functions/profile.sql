-- What people say of themselves: names, picture, e-mail address.  Definer
-- functions of saas_service.  Leans on recovery, account_deletion.

create function saas_private.require_https_url(field text, value text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := saas_private.require_field(field, value, 2048);
begin
    -- Without a user, quotes or brackets: it ends up in pages and mails.
    if cleaned !~ '^https://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?([/?#][A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?$' then
        perform saas_private.raise_fields('invalid input', field, 'must be an https:// URL without user and password');
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_https_url(text, text) is
'The trimmed URL, or 22023 with the field''s name unless it is one of https, of at most 2048 characters, without user and password.';

create function saas_api.update_profile(first_name text default null, last_name text default null,
                                        avatar_url text default null)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own_id uuid := saas.current_user_id();
    given_first text;
    given_last text;
    given_avatar text := btrim(update_profile.avatar_url);
begin
    perform saas_private.require_session();
    if update_profile.first_name is not null then
        given_first := saas_private.require_field('first_name', update_profile.first_name, 100);
    end if;
    if update_profile.last_name is not null then
        given_last := saas_private.require_field('last_name', update_profile.last_name, 100);
    end if;
    if given_avatar <> '' then
        given_avatar := saas_private.require_https_url('avatar_url', given_avatar);
    end if;
    update saas.app_user u
       set first_name = coalesce(given_first, u.first_name), last_name = coalesce(given_last, u.last_name),
           avatar_url = nullif(coalesce(given_avatar, u.avatar_url), ''), updated_at = now()
     where u.id = own_id;
    return saas_api.me() -> 'user';
end
$$;
alter function saas_api.update_profile(text, text, text) owner to saas_service;
comment on function saas_api.update_profile(text, text, text) is
'Changes my first name, last name and picture (an https:// URL; '''' removes it); what is NULL stays. Answers the user as me() does. Errors: PT401, PT403 (with an API key or a mapped login), 22023 with the field. For saas_user.';

create function saas_api.request_email_change(new_email text, password text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    began_at timestamptz := clock_timestamp();
    person record;
    given_email text;
    mail_token text := saas_private.random_token();
begin
    perform saas_private.require_session();
    given_email := saas_private.require_email(request_email_change.new_email);
    perform saas_private.require_own_password(request_email_change.password, 'password');
    perform saas_private.count_mail_request(given_email);
    select u.id, u.email, u.first_name into person from saas.app_user u where u.id = saas.current_user_id();
    if given_email = person.email then
        perform saas_private.raise_fields('invalid input', 'email', 'is your address already');
    end if;
    insert into saas_private.email_change (user_id, new_email, token_hash, expires_at)
    values (person.id, given_email, saas_private.token_hash(mail_token), now() + interval '24 hours')
    on conflict on constraint email_change_pkey
    do update set new_email = excluded.new_email, token_hash = excluded.token_hash,
                  created_at = now(), expires_at = excluded.expires_at;
    -- An address that somebody else has is told nothing and asked nothing.
    if not exists (select from saas.app_user u where lower(u.email) = lower(given_email) and u.id <> person.id) then
        perform saas_private.queue_mail(given_email, 'change_email', jsonb_build_object('valid_hours', 24),
                                        mail_token, null, interval '24 hours');
    end if;
    perform saas_private.queue_mail(person.email, 'security_notice', jsonb_build_object('event',
        format('a change of its e-mail address to %s was asked for.', saas_private.masked_email(given_email))));
    return saas_private.answer_alike(began_at, 'Check the mail to the new address.');
end
$$;
alter function saas_api.request_email_change(text, text) owner to saas_service;
comment on function saas_api.request_email_change(text, text) is
'Asks for another e-mail address, which needs the password: a link (24 hours, single use) goes to the new address and a notice to the old one, which stays until the link is followed. An earlier request ends. The answer is the same when somebody else has the address. Errors: PT401, PT403 (with an API key or a mapped login), 22023 with the field email or password, PT429. For saas_user.';

create function saas_api.confirm_email_change(token text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    wanted record;
begin
    perform saas_private.require_installed();
    select c.user_id, c.new_email, u.email as old_email into wanted
      from saas_private.email_change c join saas.app_user u on u.id = c.user_id and u.is_active
     where c.token_hash = saas_private.token_hash(coalesce(confirm_email_change.token, '')) and c.expires_at > now()
       for update;
    if wanted.user_id is null then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask for another change of the address.');
    end if;
    begin
        update saas.app_user u set email = wanted.new_email, email_verified_at = now(), updated_at = now()
         where u.id = wanted.user_id;
    exception when unique_violation then
        perform saas_private.raise_error('22023', 'invalid or expired token', null,
            'Ask for another change of the address.');
    end;
    perform saas_private.forget_mailed(wanted.user_id, 'change_email');
    perform saas_private.forget_mailed(wanted.user_id, 'verify_email');
    perform saas_private.forget_mailed(wanted.user_id, 'reset_password');
    perform saas_private.queue_mail(wanted.old_email, 'security_notice', jsonb_build_object('event',
        format('its e-mail address was changed to %s.', saas_private.masked_email(wanted.new_email))));
    perform saas_private.audit_user('user.email_changed', wanted.user_id,
        jsonb_build_object('email', saas_private.masked_email(wanted.old_email)),
        jsonb_build_object('email', saas_private.masked_email(wanted.new_email)));
    return jsonb_build_object('message', 'Email changed.');
end
$$;
alter function saas_api.confirm_email_change(text) owner to saas_service;
comment on function saas_api.confirm_email_change(text) is
'Gives the account the address that the mailed link was sent to, verified; other mailed links end, and the old address gets a notice. Errors: 22023. For saas_anon and saas_user.';
