-- What organizations require of who works in them.  What requests are checked
-- against is read with the identity (src/state/lookup.c).  Leans on
-- organizations, second_factor, audit.

create function saas_private.require_patch(patch jsonb, known text[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    stranger text;
begin
    if jsonb_typeof(coalesce(require_patch.patch, 'null')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'patch', 'must be an object');
    elsif saas_private.json_is_longer(require_patch.patch, 65536) then
        perform saas_private.raise_fields('invalid input', 'patch', 'must have at most 64 kB');
    end if;
    select k into stranger from jsonb_object_keys(require_patch.patch) k where k <> all (require_patch.known) limit 1;
    if stranger is not null then
        perform saas_private.raise_fields('invalid input', left(stranger, 63), 'is not a known key');
    end if;
end
$$;
comment on function saas_private.require_patch(jsonb, text[]) is
'Raises 22023 with the field unless the patch is an object of known keys.';

create function saas_private.patch_text(patch jsonb, field text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(patch -> field) not in ('string', 'null') then
        perform saas_private.raise_fields('invalid input', field, 'must be a text or null');
    end if;
    return nullif(btrim(patch ->> field), '');
end
$$;
comment on function saas_private.patch_text(jsonb, text) is
'The trimmed text of a patch; NULL when it is null, empty or not there. 22023 for anything else.';

create function saas_private.patch_boolean(patch jsonb, field text) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(patch -> field) is distinct from 'boolean' then
        perform saas_private.raise_fields('invalid input', field, 'must be true or false');
    end if;
    return (patch ->> field)::boolean;
end
$$;
comment on function saas_private.patch_boolean(jsonb, text) is
'The boolean of a patch, or 22023 with the field.';

create function saas_private.patch_texts(patch jsonb, field text, most integer) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(patch -> field) = 'null' then
        return null;
    elsif jsonb_typeof(patch -> field) <> 'array'
          -- Strict: a lax path would look into arrays within the array.
          or jsonb_path_exists(patch -> field, 'strict $[*] ? (@.type() != "string")') then
        perform saas_private.raise_fields('invalid input', field, 'must be an array of texts or null');
    elsif jsonb_array_length(patch -> field) > most then
        perform saas_private.raise_fields('invalid input', field, format('must have at most %s elements', most));
    end if;
    return (select nullif(array_agg(btrim(t.value) order by t.n), '{}')
              from jsonb_array_elements_text(patch -> field) with ordinality as t (value, n));
end
$$;
comment on function saas_private.patch_texts(jsonb, text, integer) is
'The trimmed texts of an array of a patch; NULL for null and for []. 22023 with the field for anything else or too many.';

create function saas_private.client_is_within(networks cidr[]) returns boolean
language c stable parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_client_is_within';
comment on function saas_private.client_is_within(cidr[]) is
'Whether the request''s client, as saas.trusted_proxies lets it be known, has an address in one of the networks; true for NULL. False for a Unix socket, and behind a proxy that does not say who its client is.';

create function saas_private.require_networks(field text, value text[]) returns cidr[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    networks cidr[];
begin
    begin
        select array_agg(distinct network(n::inet)) into networks from unnest(require_networks.value) n;
    exception when data_exception then
        perform saas_private.raise_fields('invalid input', field,
            'must hold addresses and networks such as 203.0.113.0/24 or 2001:db8::/32');
    end;
    if not saas_private.client_is_within(networks) then
        perform saas_private.raise_fields('invalid input', field, 'must hold the address that you come from');
    end if;
    return networks;
end
$$;
comment on function saas_private.require_networks(text, text[]) is
'The networks, or 22023 with the field when one is none, or when they would lock their author out.';

create function saas_private.require_session_age(field text, value text) returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    age interval;
begin
    begin
        -- As time from now: a month of an interval is 30 days, or 31.
        age := now() + value::interval - now();
    exception when data_exception then
        age := '0';
    end;
    if age not between interval '15 minutes' and interval '90 days' then
        perform saas_private.raise_fields('invalid input', field, 'must be between 15 minutes and 90 days, or null');
    end if;
    return age;
end
$$;
comment on function saas_private.require_session_age(text, text) is
'The interval, or 22023 with the field.';

create function saas_private.require_domains(field text, value text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    domains text[] := (select array_agg(distinct lower(d)) from unnest(require_domains.value) d);
begin
    if exists (select from unnest(domains) d
                where length(d) > 253
                   or d !~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])$') then
        perform saas_private.raise_fields('invalid input', field, 'must be domains such as example.com');
    end if;
    return domains;
end
$$;
comment on function saas_private.require_domains(text, text[]) is
'The domains in lower case, or 22023 with the field.';

create function saas_private.merge_notifications(field text, before jsonb, patch jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    merged jsonb;
begin
    if jsonb_typeof(merge_notifications.patch) <> 'object'
       or exists (select from jsonb_each(merge_notifications.patch) e
                   where e.key !~ '^[a-z][a-z0-9_]{0,62}$' or jsonb_typeof(e.value) not in ('boolean', 'null')) then
        perform saas_private.raise_fields('invalid input', field, 'must be an object of names with true, false or null');
    end if;
    merged := jsonb_strip_nulls(merge_notifications.before || merge_notifications.patch);
    if (select count(*) from jsonb_object_keys(merged)) > 100 then
        perform saas_private.raise_fields('invalid input', field, 'must have at most 100 names');
    end if;
    return merged;
end
$$;
comment on function saas_private.merge_notifications(text, jsonb, jsonb) is
'Preferences for notices with a patch laid over them; null removes a name. 22023 with the field.';

create function saas_api.update_organization_settings(patch jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    changes jsonb := update_organization_settings.patch;
    before jsonb;
    after jsonb;
    stored record;
begin
    perform saas.require_permission('manage_settings');
    perform saas_private.refuse_api_key();
    org := saas.org_if('manage_settings');
    perform saas_private.require_patch(changes, '{requires_second_factor,max_session_age,allowed_networks,allowed_email_domains,role_changes_by_owners,notifications}');
    -- Two who change settings do so one after the other.
    select o.max_session_age, o.allowed_networks into stored from saas.organization o where o.id = org for no key update;
    before := (select to_jsonb(s) from saas_api.organization_settings s where s.org_id = org);
    -- Whom it restrains does not lift it.
    if changes ? 'role_changes_by_owners' and saas.current_role_name() is distinct from 'owner'
       and saas_private.patch_boolean(changes, 'role_changes_by_owners')
           is distinct from coalesce((before ->> 'role_changes_by_owners')::boolean, false) then
        perform saas_private.raise_error('PT403', 'Requires owner role or higher', null,
            'Only an owner says who changes roles.');
    end if;
    if changes ? 'requires_second_factor' then
        perform saas_api.require_second_factor(saas_private.patch_boolean(changes, 'requires_second_factor'));
    end if;
    if changes ? 'max_session_age' then
        stored.max_session_age := saas_private.require_session_age('max_session_age',
            saas_private.patch_text(changes, 'max_session_age'));
    end if;
    if changes ? 'allowed_networks' then
        stored.allowed_networks := saas_private.require_networks('allowed_networks',
            saas_private.patch_texts(changes, 'allowed_networks', 64));
    end if;
    update saas.organization o
       set max_session_age = stored.max_session_age, allowed_networks = stored.allowed_networks, updated_at = now()
     where o.id = org;
    insert into saas.organization_settings as s (org_id) values (org)
    on conflict on constraint organization_settings_pkey do nothing;
    update saas.organization_settings s
       set allowed_email_domains = case when changes ? 'allowed_email_domains'
               then saas_private.require_domains('allowed_email_domains',
                        saas_private.patch_texts(changes, 'allowed_email_domains', 100))
               else s.allowed_email_domains end,
           role_changes_by_owners = case when changes ? 'role_changes_by_owners'
               then saas_private.patch_boolean(changes, 'role_changes_by_owners')
               else s.role_changes_by_owners end,
           notifications = case when changes ? 'notifications'
               then saas_private.merge_notifications('notifications', s.notifications, changes -> 'notifications')
               else s.notifications end,
           updated_at = now()
     where s.org_id = org;
    after := (select to_jsonb(s) from saas_api.organization_settings s where s.org_id = org);
    perform saas_private.audit('organization.settings_changed', 'organization', org::text, before, after);
    return after;
end
$$;
alter function saas_api.update_organization_settings(jsonb) owner to saas_owner;
comment on function saas_api.update_organization_settings(jsonb) is
'Changes what the patch names of the current organization''s settings: requires_second_factor; max_session_age (15 minutes to 90 days since the sign-in: older sessions are refused in the organization, API keys and mapped logins are not concerned); allowed_networks (at most 64 addresses and networks, which must hold the caller''s own address: from elsewhere sessions, API keys and mapped logins are refused); allowed_email_domains (at most 100, for who joins from now on); role_changes_by_owners (an owner''s to change); notifications (names with true or false, laid over what is there). null takes a requirement away. All counts from the next transaction on. Answers the row of saas_api.organization_settings. Errors: PT401, PT403 without manage_settings or with an API key, to others than owners for role_changes_by_owners, and for requires_second_factor without one in the own session, 22023 with the field. For saas_user with manage_settings.';

create function saas_private.require_allowed_email(org_id uuid, email text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from saas.organization_settings s
                where s.org_id = require_allowed_email.org_id
                  and coalesce(lower(substring(require_allowed_email.email from '@([^@]*)$')), '')
                      <> all (s.allowed_email_domains)) then
        perform saas_private.raise_error('PT403', 'the organization does not allow addresses at this domain', null,
            'Use an address at one of its domains, or ask an owner to allow yours.');
    end if;
end
$$;
alter function saas_private.require_allowed_email(uuid, text) owner to saas_service;
comment on function saas_private.require_allowed_email(uuid, text) is
'Raises PT403 unless the organization takes members with addresses at that domain; a domain below an allowed one is another. To be asked whenever somebody joins. For saas_service''s functions only.';
