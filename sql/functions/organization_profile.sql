-- What organizations say of themselves: names, domain, logo, what their
-- Salesforce connections use by default.  Leans on organization_settings.

create function saas_private.is_taken_label(label text, except_org_id uuid) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from saas.organization o
                    where (o.slug = is_taken_label.label or o.subdomain = is_taken_label.label)
                      and o.id is distinct from is_taken_label.except_org_id);
end
$$;
alter function saas_private.is_taken_label(text, uuid) owner to saas_service;
comment on function saas_private.is_taken_label(text, uuid) is
'Whether a slug or subdomain of another organization is that word.';

-- Slugs and subdomains are two columns of one set of words, which no index keeps
-- apart.
create function saas_private.hold_label(label text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform saas_private.hold('label ' || hold_label.label);
end
$$;
comment on function saas_private.hold_label(text) is
'Until the transaction ends nobody else takes that word as slug or subdomain: who asks for it waits, and then sees whether it is taken. To be called before is_taken_label(), in a statement of its own.';

create function saas_private.require_subdomain(label text, org_id uuid) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := lower(require_subdomain.label);
    problem text;
begin
    problem := case
        when cleaned !~ '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$'
            then 'must have 1 to 63 letters, digits and hyphens and neither begin nor end with a hyphen'
        when saas_private.is_reserved_slug(cleaned) then 'is reserved' end;
    if problem is not null then
        perform saas_private.raise_fields('invalid input', 'subdomain', problem);
    elsif saas_private.is_taken_label(cleaned, require_subdomain.org_id) then
        perform saas_private.raise_error('23505', 'subdomain is already taken', null, 'Choose another one.');
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_subdomain(text, uuid) is
'The subdomain in lower case; NULL for NULL. 22023 with the field, 23505 when another organization has it as slug or subdomain.';

create function saas_private.require_domain(domain text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    cleaned text := lower(rtrim(left(require_domain.domain, 300), '.'));
    base constant text := nullif(lower(current_setting('saas.base_domain')), '');
begin
    if length(cleaned) > 253
       or cleaned !~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])$' then
        perform saas_private.raise_fields('invalid input', 'domain', 'must be a domain such as crm.example.com');
    elsif cleaned = base or right(cleaned, length(base) + 1) = '.' || base then
        perform saas_private.raise_fields('invalid input', 'domain', 'belongs to this service');
    end if;
    return cleaned;
end
$$;
comment on function saas_private.require_domain(text) is
'The domain in lower case without a dot at its end; NULL for NULL. 22023 with the field for what is none, or is at saas.base_domain.';

create function saas_private.set_salesforce_defaults(org_id uuid, defaults jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := set_salesforce_defaults.org_id;
    given constant jsonb := set_salesforce_defaults.defaults;
    secrets jsonb := '{}';
    checked record;
    login_origin text;
begin
    if jsonb_typeof(given) = 'null' then
        delete from saas.salesforce_default d where d.org_id = org;
        return;
    end if;
    perform saas_private.require_patch(given, '{instance_url,login_url,client_id,client_secret}');
    if saas_private.patch_text(given, 'client_id') is not null then
        secrets := jsonb_strip_nulls(jsonb_build_object('client_id', saas_private.patch_text(given, 'client_id'),
                                                        'client_secret', saas_private.patch_text(given, 'client_secret')));
    elsif saas_private.patch_text(given, 'client_secret') is not null then
        perform saas_private.raise_fields('invalid input', 'salesforce.client_id', 'is required with client_secret');
    end if;
    -- The connector judges the URLs; the rest it needs is made up.
    checked := saas_private.check_connection('salesforce',
        jsonb_strip_nulls(jsonb_build_object('org_id', '00D000000000001',
            'instance_url', given -> 'instance_url', 'login_url', given -> 'login_url')),
        '{"refresh_token": "none", "client_id": "none"}'::jsonb || secrets);
    login_origin := split_part(checked.origin, ' ', 2);
    if secrets = '{}' and not exists (select from saas.salesforce_default d
                                       where d.org_id = org and d.origin = login_origin) then
        perform saas_private.raise_fields('invalid input', 'salesforce.client_id', 'is required with another login_url');
    end if;
    insert into saas.salesforce_default as d (org_id, instance_url, login_url, origin)
    values (org, checked.config_to_store ->> 'instance_url', checked.config_to_store ->> 'login_url', login_origin)
    on conflict on constraint salesforce_default_pkey
    do update set instance_url = excluded.instance_url, login_url = excluded.login_url, origin = excluded.origin,
                  updated_at = now();
    if secrets <> '{}' then
        delete from saas_private.salesforce_default_secret s where s.org_id = org;
        insert into saas_private.salesforce_default_secret (org_id, name, value)
        select org, s.name, s.value
          from saas_private.seal_secrets(org, '00000000-0000-0000-0000-000000000000', login_origin, secrets) s;
    end if;
end
$$;
comment on function saas_private.set_salesforce_defaults(uuid, jsonb) is
'Keeps {instance_url, login_url, client_id, client_secret}, id and secret sealed and bound to the origin of login_url, which they are never sent beyond; null removes all. Without client_id the stored ones stay, unless that origin is another. 22023 with fields.';

create function saas_private.with_salesforce_defaults(kind text, config jsonb, secrets jsonb,
                                                      out config_to_check jsonb, out secrets_to_check jsonb,
                                                      out login_origin text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    defaults record;
begin
    config_to_check := with_salesforce_defaults.config;
    secrets_to_check := coalesce(with_salesforce_defaults.secrets, '{}');
    if with_salesforce_defaults.kind is distinct from 'salesforce' or jsonb_typeof(config_to_check) <> 'object'
       or jsonb_typeof(secrets_to_check) <> 'object' then
        return;
    end if;
    select d.instance_url, d.login_url, d.origin,
           exists (select from saas_private.salesforce_default_secret s where s.org_id = d.org_id) as has_secrets
      into defaults from saas.salesforce_default d where d.org_id = saas.org_if('manage_connections');
    if defaults.origin is null then
        return;
    end if;
    config_to_check := jsonb_build_object('instance_url', defaults.instance_url, 'login_url', defaults.login_url)
                       || config_to_check;
    if defaults.has_secrets and secrets_to_check ?| '{refresh_token,private_key}' and not secrets_to_check ?| '{client_id,client_secret}' then
        secrets_to_check := secrets_to_check || '{"client_id": "default"}';
        login_origin := defaults.origin;
    end if;
end
$$;
comment on function saas_private.with_salesforce_defaults(text, jsonb, jsonb) is
'A Salesforce connection''s config and secrets as its connector is to check them: what they lack is the organization''s default. login_origin is set when client id and secret are the default ones: the connection''s login_url must be there.';

create function saas_private.require_login_origin(origin text, login_origin text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if split_part(require_login_origin.origin, ' ', 2) <> require_login_origin.login_origin then
        perform saas_private.raise_fields('invalid input', 'secrets.client_id',
            'is required: the organization''s own goes to another login_url');
    end if;
end
$$;
comment on function saas_private.require_login_origin(text, text) is
'Raises 22023 when a connection would send the organization''s default client id elsewhere; login_origin NULL: it brings its own.';

create function saas_private.patch_profile(org_id uuid, patch jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := patch_profile.org_id;
    given constant jsonb := patch_profile.patch;
    new_website constant text := saas_private.patch_text(given, 'website');
    new_industry constant text := saas_private.patch_text(given, 'industry');
    new_size constant text := saas_private.patch_text(given, 'size');
    new_use_case constant text := saas_private.patch_text(given, 'use_case');
    new_region constant text := saas_private.patch_text(given, 'default_region');
    new_billing_email constant text := saas_private.patch_text(given, 'billing_email');
    new_goals constant text[] := saas_private.patch_texts(given, 'goals', 20);
begin
    if new_website is not null then
        perform saas_private.require_https_url('website', regexp_replace(new_website, '^http://', 'https://'));
    end if;
    if new_industry not in ('technology', 'healthcare', 'finance', 'ecommerce', 'manufacturing', 'other') then
        perform saas_private.raise_fields('invalid input', 'industry',
            'must be technology, healthcare, finance, ecommerce, manufacturing or other');
    elsif new_size not in ('1-10', '11-50', '51-200', '201-1000', '1000+') then
        perform saas_private.raise_fields('invalid input', 'size', 'must be 1-10, 11-50, 51-200, 201-1000 or 1000+');
    elsif new_region !~ '^[a-z0-9][a-z0-9-]{0,62}$' then
        perform saas_private.raise_fields('invalid input', 'default_region',
            'must have 1 to 63 lower-case letters, digits and hyphens');
    elsif given ? 'metadata' and (jsonb_typeof(given -> 'metadata') not in ('object', 'null')
                                  or saas_private.json_is_longer(given -> 'metadata', 16384)) then
        perform saas_private.raise_fields('invalid input', 'metadata', 'must be an object of at most 16 kB');
    end if;
    if new_use_case is not null then
        perform saas_private.require_field('use_case', new_use_case, 1000);
    end if;
    perform saas_private.require_field('goals', g, 200) from unnest(new_goals) g;
    if new_billing_email is not null then
        perform saas_private.require_field_email('billing_email', new_billing_email);
    end if;
    insert into saas.organization_profile (org_id) values (org)
    on conflict on constraint organization_profile_pkey do nothing;
    update saas.organization_profile p
       set website = case when given ? 'website' then new_website else p.website end,
           industry = case when given ? 'industry' then new_industry else p.industry end,
           size = case when given ? 'size' then new_size else p.size end,
           use_case = case when given ? 'use_case' then new_use_case else p.use_case end,
           goals = case when given ? 'goals' then coalesce(new_goals, '{}') else p.goals end,
           default_region = case when given ? 'default_region' then new_region else p.default_region end,
           billing_email = case when given ? 'billing_email' then new_billing_email else p.billing_email end,
           metadata = case when given ? 'metadata' then coalesce(nullif(given -> 'metadata', 'null'), '{}') else p.metadata end,
           updated_at = now()
     where p.org_id = org;
end
$$;
comment on function saas_private.patch_profile(uuid, jsonb) is
'Lays a patch over an organization''s profile. 22023 with the field.';

create function saas_private.patch_names(org_id uuid, patch jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    org constant uuid := patch_names.org_id;
    given constant jsonb := patch_names.patch;
    new_name text;
    new_subdomain text;
    new_domain text;
begin
    if given ? 'name' then
        new_name := saas_private.require_field('name', saas_private.patch_text(given, 'name'), 255);
    end if;
    if given ? 'subdomain' then
        perform saas_private.hold_label(lower(saas_private.patch_text(given, 'subdomain')));
        new_subdomain := saas_private.require_subdomain(saas_private.patch_text(given, 'subdomain'), org);
    end if;
    if given ? 'domain' then
        new_domain := saas_private.require_domain(saas_private.patch_text(given, 'domain'));
    end if;
    begin
        update saas.organization o
           set name = coalesce(new_name, o.name),
               subdomain = case when given ? 'subdomain' then new_subdomain else o.subdomain end,
               updated_at = now()
         where o.id = org;
    exception when unique_violation then
        perform saas_private.raise_error('23505', 'subdomain is already taken', null, 'Choose another one.');
    end;
    -- The same domain again is the same claim.
    update saas.organization o
       set domain = new_domain, domain_verified_at = null,
           domain_challenge = case when new_domain is not null then 'pg-saas-' || saas_private.random_token() end
     where o.id = org and given ? 'domain' and o.domain is distinct from new_domain;
end
$$;
comment on function saas_private.patch_names(uuid, jsonb) is
'Lays a patch over what an organization is called: name, subdomain, claimed domain. 22023 with the field, 23505.';

create function saas_api.update_organization(patch jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    changes jsonb := update_organization.patch;
    before jsonb;
    after jsonb;
begin
    perform saas.require_permission('manage_settings');
    org := saas.org_if('manage_settings');
    if jsonb_typeof(changes) = 'object' and changes ? 'slug' then
        perform saas_private.raise_fields('invalid input', 'slug', 'does not change after creation');
    end if;
    perform saas_private.require_patch(changes, '{name,subdomain,domain,website,industry,size,use_case,goals,default_region,billing_email,metadata,salesforce}');
    perform from saas.organization o where o.id = org for no key update;
    before := (select to_jsonb(o) from saas_api.organization o where o.id = org);
    perform saas_private.patch_names(org, changes);
    perform saas_private.patch_profile(org, changes);
    if changes ? 'salesforce' then
        perform saas_private.set_salesforce_defaults(org, changes -> 'salesforce');
    end if;
    after := (select to_jsonb(o) from saas_api.organization o where o.id = org);
    perform saas_private.audit('organization.updated', 'organization', org::text, before, after);
    return after;
end
$$;
alter function saas_api.update_organization(jsonb) owner to saas_owner;
comment on function saas_api.update_organization(jsonb) is
'Changes what the patch names of the current organization, null empties: name; subdomain; domain (a claim: it counts once its TXT record is seen); website; industry (technology, healthcare, finance, ecommerce, manufacturing, other); size (1-10, 11-50, 51-200, 201-1000, 1000+); use_case; goals (at most 20 texts); default_region; billing_email; metadata (an object of at most 16 kB); salesforce ({instance_url, login_url, client_id, client_secret} for connections that bring none, id and secret sealed). Answers the row of saas_api.organization. Errors: PT401, PT403, 22023 with the field (slug does not change), 23505 for a subdomain that is taken. For saas_user with manage_settings.';

create function saas_private.sanitize_svg(image bytea, out svg bytea, out problem text) returns record
language c immutable strict parallel safe
as 'MODULE_PATHNAME', 'pg_saas_sanitize_svg';
comment on function saas_private.sanitize_svg(bytea) is
'Writes an SVG picture anew of the elements, attributes and values that are known to draw and do nothing else; what it gives, given again, stays as it is. problem: why there is none, such as no well-formed XML in UTF-8, a DOCTYPE, nothing left that could be shown, or more than 256 KiB. For saas_owner''s functions.';

create function saas_private.require_logo(image bytea, out logo bytea, out type text) returns record
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    problem text;
begin
    logo := require_logo.image;
    type := case
        when substring(logo for 8) = '\x89504e470d0a1a0a' then 'image/png'
        when substring(logo for 3) = '\xffd8ff' then 'image/jpeg'
        when substring(logo for 4) = '\x52494646' and substring(logo from 9 for 4) = '\x57454250' then 'image/webp'
        when substring(ltrim(logo, '\xefbbbf090a0d20') for 1) = '\x3c' then 'image/svg+xml' end;
    if octet_length(logo) > 262144 then
        perform saas_private.raise_fields('invalid input', 'image', 'must have at most 256 KiB');
    elsif logo is not null and type is null then
        perform saas_private.raise_fields('invalid input', 'image', 'must be a PNG, JPEG, WebP or SVG image');
    elsif type = 'image/svg+xml' then
        select s.svg, s.problem into logo, problem from saas_private.sanitize_svg(logo) s;
        if problem is not null then
            perform saas_private.raise_fields('invalid input', 'image', problem);
        end if;
    end if;
end
$$;
comment on function saas_private.require_logo(bytea) is
'The image to store and its type by its first bytes: PNG, JPEG and WebP as they are, SVG sanitized; NULL for NULL. Errors: 22023 with the field image. For saas_owner''s functions.';

create function saas_api.set_logo(image bytea) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    given record;
begin
    perform saas.require_permission('manage_settings');
    org := saas.org_if('manage_settings');
    select l.logo, l.type into given from saas_private.require_logo(set_logo.image) l;
    insert into saas.organization_profile as p (org_id, logo, logo_type) values (org, given.logo, given.type)
    on conflict on constraint organization_profile_pkey
    do update set logo = excluded.logo, logo_type = excluded.logo_type, updated_at = now();
    perform saas_private.audit('organization.logo_changed', 'organization', org::text, null,
        jsonb_build_object('type', given.type, 'bytes', octet_length(given.logo)));
    return jsonb_build_object('logo_type', given.type, 'logo_bytes', octet_length(given.logo));
end
$$;
alter function saas_api.set_logo(bytea) owner to saas_owner;
comment on function saas_api.set_logo(bytea) is
'Stores the current organization''s logo: a PNG, JPEG, WebP or SVG image of at most 256 KiB, by its first bytes; NULL removes it. An SVG is written anew without whatever could run, load or refer outside, and stored so. Answers {logo_type, logo_bytes}. Errors: PT401, PT403, 22023. For saas_user with manage_settings.';

create function saas.domain_claims()
returns table (org_id uuid, domain text, txt_name text, txt_value text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select o.id, o.domain, '_pg-saas.' || o.domain, o.domain_challenge
      from saas.organization o
     where o.domain is not null and o.domain_verified_at is null and o.status = 'active'
     order by o.updated_at, o.id;
end
$$;
alter function saas.domain_claims() owner to saas_service;
comment on function saas.domain_claims() is
'The domains that organizations claim and nobody has confirmed: the TXT record to ask DNS for, and what it has to say. For saas_operator.';

create function saas.confirm_domain(org_id uuid, domain text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given text := lower(rtrim(left(confirm_domain.domain, 300), '.'));
    claim record;
begin
    select o.id, o.domain, o.domain_verified_at into claim
      from saas.organization o where o.id = confirm_domain.org_id for no key update;
    if claim.id is null then
        perform saas_private.raise_error('PT404', 'organization not found');
    elsif claim.domain is distinct from given then
        perform saas_private.raise_error('PT409', 'the organization does not claim this domain');
    end if;
    begin
        update saas.organization o set domain_verified_at = coalesce(o.domain_verified_at, now()), updated_at = now()
         where o.id = claim.id;
    exception when unique_violation then
        perform saas_private.raise_error('23505', 'the domain is another organization''s already');
    end;
    if claim.domain_verified_at is null then
        perform saas_private.audit('organization.domain_confirmed', 'organization', claim.id::text, null,
            jsonb_build_object('domain', given), claim.id);
    end if;
end
$$;
alter function saas.confirm_domain(uuid, text) owner to saas_service;
comment on function saas.confirm_domain(uuid, text) is
'Says that DNS proves an organization''s claim: the TXT record of saas.domain_claims() is there. The domain resolves from then on. Errors: PT404, PT409 when it does not claim that domain (any more), 23505 when another has it. For saas_operator.';
