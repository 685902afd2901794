-- The keys that sign access tokens: a new one is published first, then signs,
-- while the old one still verifies.  Leans on accounts, identity.

create function saas_private.create_token_key(active_at timestamptz) returns text
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_create_token_key';
comment on function saas_private.create_token_key(timestamptz) is
'Makes a key of saas.jwt_algorithm that signs from that time on, and gives its kid. Errors: 55000 without a usable master key. For saas_service''s functions only.';

create function saas_private.change_token_keys() returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_change_token_keys';
comment on function saas_private.change_token_keys() is
'Keeps other transactions from changing the token keys, and makes every session, and PostgREST, read them again once this one has ended. Called before a change. For saas_service''s functions only.';

create function saas.token_keys(out kid text, out algorithm text, out state text, out created_at timestamptz,
                                out active_at timestamptz, out retired_at timestamptz)
returns setof record
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    select k.kid, k.algorithm,
           case when k.retired_at <= m.moment then 'retired'
                when k.active_at > m.moment then 'published'
                when k.kid = first_value(k.kid) over (
                         order by coalesce(k.retired_at <= m.moment, false), k.active_at > m.moment, k.active_at desc, k.kid)
                then 'current' else 'retiring' end,
           k.created_at, k.active_at, k.retired_at
      from saas_private.jwt_key k cross join (select clock_timestamp()) m (moment)
     order by k.active_at desc, k.kid
$$;
alter function saas.token_keys() owner to saas_service;
comment on function saas.token_keys() is
'The keys of access tokens as they are now: published (in the key set, signs from active_at on), current (signs), retiring (verifies until retired_at) or retired. For saas_operator.';

create function saas.rotate_token_keys(activate_after interval default '5 minutes', keep_old interval default '25 hours')
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    delay interval := coalesce(rotate_token_keys.activate_after, interval '5 minutes');
    keep interval := coalesce(rotate_token_keys.keep_old, interval '25 hours');
    moment timestamptz;
    new_kid text;
begin
    perform saas_private.require_installed();
    -- Compared as times: as intervals years of months equal 30 days each.
    if now() + delay < now() or now() + delay > now() + interval '7 days' then
        perform saas_private.raise_fields('invalid input', 'activate_after', 'must be between 0 and 7 days');
    elsif now() + keep < now() or now() + keep > now() + interval '90 days' then
        perform saas_private.raise_fields('invalid input', 'keep_old', 'must be between 0 and 90 days');
    end if;
    perform saas_private.change_token_keys();
    moment := clock_timestamp();
    if exists (select from saas.token_keys() k where k.state = 'published') then
        perform saas_private.raise_error('PT409', 'a new token key waits for its time already', null,
            'Wait until it is active, or retire it with saas.retire_token_key().');
    end if;
    -- The key set that verifies has room for 32.
    if (select count(*) from saas.token_keys() k where k.state <> 'retired') >= 16 then
        perform saas_private.raise_error('PT409', 'too many token keys are in use', null,
            'Retire those that are not needed with saas.retire_token_key().');
    end if;
    delete from saas_private.jwt_key k where k.retired_at < moment - interval '30 days';
    -- Where nothing signs there is nothing to wait for.
    if not exists (select from saas.token_keys() k where k.state = 'current') then
        delay := interval '0';
    end if;
    new_kid := saas_private.create_token_key(moment + delay);
    update saas_private.jwt_key k
       set retired_at = moment + delay + keep
     where k.kid <> new_kid and k.retired_at is null;
    perform saas_private.audit('signing_key.rotated', 'signing_key', new_kid, null,
        jsonb_build_object('active_at', moment + delay, 'others_retire_at', moment + delay + keep),
        '00000000-0000-0000-0000-000000000000');
    return new_kid;
end
$$;
alter function saas.rotate_token_keys(interval, interval) owner to saas_service;
comment on function saas.rotate_token_keys(interval, interval) is
'Publishes a new key for access tokens, of saas.jwt_algorithm, and gives its kid. It signs once activate_after has passed (at most 7 days), so that whoever caches the key set knows it by then; tokens of the old key stay good for keep_old more (at most 90 days). Every session follows with its next transaction, PostgREST by notification. Keys retired for 30 days are deleted. Errors: 22023, PT409 while another new key waits or 16 keys are in use, 55000 without a usable master key. For saas_operator.';

create function saas.retire_token_key(kid text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    moment timestamptz;
    target_state text;
begin
    perform saas_private.require_installed();
    perform saas_private.change_token_keys();
    moment := clock_timestamp();
    target_state := (select k.state from saas.token_keys() k where k.kid = retire_token_key.kid);
    if target_state is null then
        perform saas_private.raise_error('PT404', 'token key not found');
    end if;
    if target_state = 'published' then
        -- Its predecessor has no end any more.
        update saas_private.jwt_key k set retired_at = null
         where k.kid = (select c.kid from saas.token_keys() c where c.state = 'current');
    end if;
    update saas_private.jwt_key k set retired_at = moment
     where k.kid = retire_token_key.kid and target_state <> 'retired';
    if target_state = 'current' then
        update saas_private.jwt_key k set active_at = moment
         where k.active_at > moment and k.retired_at is null;
        if not found then
            perform saas_private.create_token_key(moment);
        end if;
    end if;
    if target_state <> 'retired' then
        perform saas_private.audit('signing_key.retired', 'signing_key', retire_token_key.kid,
                                   jsonb_build_object('state', target_state), null,
                                   '00000000-0000-0000-0000-000000000000');
    end if;
end
$$;
alter function saas.retire_token_key(text) owner to saas_service;
comment on function saas.retire_token_key(text) is
'Ends a key of access tokens at once, because it leaked for example: its tokens are refused from every session''s next transaction on. When it was the one that signs, the published key takes over, or a new one is made. Errors: PT404, 55000 without a usable master key. For saas_operator.';
