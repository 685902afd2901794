-- Which organization a host belongs to, for pages that greet before anybody has
-- signed in.  Leans on organization_profile, branding.

create function saas_private.resolve_host(host_or_slug text) returns uuid
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- A host of a URL: any case, perhaps a port, perhaps the root's dot.
    host text := regexp_replace(lower(btrim(left(resolve_host.host_or_slug, 1000))), '[.]?(:[0-9]{1,5})?$', '');
    base constant text := nullif(lower(current_setting('saas.base_domain')), '');
    label text := case
        when host !~ '[.]' then host
        when right(host, length(base) + 1) = '.' || base then left(host, -(length(base) + 1)) end;
begin
    return (select o.id from saas.organization o
             where o.status = 'active' and not o.is_personal
               and case when label is not null then o.slug = label or o.subdomain = label
                        else o.domain = host and o.domain_verified_at is not null end
             order by o.slug is distinct from label limit 1);
end
$$;
alter function saas_private.resolve_host(text) owner to saas_service;
comment on function saas_private.resolve_host(text) is
'The active organization with that slug or subdomain, alone or below saas.base_domain, or with that verified domain; a slug goes before a subdomain. NULL without one, for personal organizations too: their names are people''s.';

create function saas_api.resolve_organization(host_or_slug text) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
begin
    perform saas_private.require_installed();
    org := saas_private.resolve_host(resolve_organization.host_or_slug);
    if org is null then
        perform saas_private.raise_error('PT404', 'organization not found');
    end if;
    return (select jsonb_build_object('name', o.name, 'branding', jsonb_build_object(
                       'product_name', b.product_name, 'logo_url', b.logo_url, 'primary_color', b.primary_color,
                       'support_email', b.support_email, 'has_logo', p.logo_type is not null))
              from saas.organization o
              left join saas.organization_branding b on b.org_id = o.id
              left join saas.organization_profile p on p.org_id = o.id
             where o.id = org);
end
$$;
alter function saas_api.resolve_organization(text) owner to saas_service;
comment on function saas_api.resolve_organization(text) is
'Whose host or slug it is: {name, branding: {product_name, logo_url, primary_color, support_email, has_logo}} and nothing else. A slug or subdomain, one below saas.base_domain (acme.app.example.com, with a port or not), or a verified domain. Errors: PT404 for what is nobody''s, a claim that is not verified, a personal organization, and one that is suspended or being deleted. For saas_anon and saas_user.';

create function saas_api.organization_logo(host_or_slug text) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    found_logo record;
begin
    perform saas_private.require_installed();
    select p.logo, p.logo_type into found_logo
      from saas.organization_profile p
     where p.org_id = saas_private.resolve_host(organization_logo.host_or_slug);
    if found_logo.logo is null then
        perform saas_private.raise_error('PT404', 'logo not found');
    end if;
    return jsonb_build_object('type', found_logo.logo_type,
                              'image', translate(encode(found_logo.logo, 'base64'), E'\n', ''));
end
$$;
alter function saas_api.organization_logo(text) owner to saas_service;
comment on function saas_api.organization_logo(text) is
'The uploaded logo of what resolve_organization finds: {type, image}, the image in base64. Errors: PT404. For saas_anon and saas_user.';
