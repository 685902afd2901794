-- What organizations say of themselves and require: profile, logo, domain,
-- Salesforce defaults, settings, onboarding, preferences.  Addresses are
-- test/tap/organizations.t's.
select no_plan();
\ir ../lib/refusals.sql
\ir ../lib/tenants.sql
call tenants.hold_poller();

set saas.bcrypt_cost = 10;
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
select tenants.join('mia', :'works', 'admin') as mia, tenants.join('vic', :'works', 'viewer') as vic \gset

-- What a call answers a member, without its line ends; it stays done.
create function pg_temp.as_member(who uuid, org uuid, call text) returns text language plpgsql as $$
declare
    answer text;
    state text;
    message text;
    detail text;
begin
    perform saas.assume_identity(who, org);
    set local session authorization saas_user;
    execute format('select (%s)::text', call) into answer;
    reset session authorization;
    return answer;
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
    return concat_ws(' ', state, message, case when detail like '[%' then '(' || (detail::jsonb #>> '{0,field}') || ' ' || (detail::jsonb #>> '{0,message}') || ')' else nullif(detail, '') end);
end
$$;
create function pg_temp.ada(call text) returns text language sql as $$
    select pg_temp.as_member(u.id, o.id, call) from saas.app_user u, saas.organization o where u.email = 'ada@example.com' and o.slug = 'ada-works'
$$;
create function pg_temp.update(patch text) returns text language sql as $$ select pg_temp.ada(format('saas_api.update_organization(%L)', patch)) $$;
create function pg_temp.settings(patch text) returns text language sql as $$ select pg_temp.ada(format('saas_api.update_organization_settings(%L)', patch)) $$;
create function pg_temp.last_event() returns text language sql as $$ select action from saas.audit_event order by id desc limit 1 $$;

--
-- Who may
--
select is(pg_temp.as_member(:'mia', :'works', call), 'PT403 permission denied by the organization''s roles manage_settings', format('an admin does not call %s', call))
  from unnest(array['saas_api.update_organization(''{}'')', 'saas_api.set_logo(null)', 'saas_api.update_organization_settings(''{}'')',
                    'saas_api.update_configuration(''{}'')', 'saas_api.set_field_mapping(''a'', ''b'')']) call;
select is(pg_temp.as_member(:'vic', :'works', 'saas_api.complete_onboarding_step(''team'')'), 'PT403 permission denied by the organization''s roles manage_connections', 'a viewer completes nothing');
set role saas_user;
select is(pg_temp.refusal(format('select %s', call)), 'PT401 Access token required', format('nobody calls %s', call))
  from unnest(array['saas_api.update_organization(''{}'')', 'saas_api.set_logo(null)', 'saas_api.update_organization_settings(''{}'')',
                    'saas_api.update_configuration(''{}'')', 'saas_api.set_field_mapping(''a'', ''b'')', 'saas_api.score_deal(''{}'')',
                    'saas_api.complete_onboarding_step(''team'')', 'saas_api.set_preferences(''{}'')', 'saas_api.complete_tour(''a'')']) call;
reset role;

--
-- Profile
--
select is(pg_temp.update(bad), '22023 invalid input ' || said, format('%s is refused', left(coalesce(bad, 'NULL'), 60)))
  from (values
    (null, '(patch must be an object)'), ('[]', '(patch must be an object)'), ('"x"', '(patch must be an object)'),
    ('{"colour": 1}', '(colour is not a known key)'),
    ('{"slug": "new"}', '(slug does not change after creation)'),
    ('{"metadata": {"x": "' || repeat('y', 66000) || '"}}', '(patch must have at most 64 kB)'),
    ('{"name": null}', '(name is required)'), ('{"name": " "}', '(name is required)'), ('{"name": 7}', '(name must be a text or null)'),
    ('{"name": "' || repeat('x', 256) || '"}', '(name must have at most 255 characters)'),
    ('{"subdomain": "-a"}', '(subdomain must have 1 to 63 letters, digits and hyphens and neither begin nor end with a hyphen)'),
    ('{"subdomain": "www"}', '(subdomain is reserved)'),
    ('{"domain": "localhost"}', '(domain must be a domain such as crm.example.com)'),
    ('{"domain": "a..example.com"}', '(domain must be a domain such as crm.example.com)'),
    ('{"domain": "10.0.0.1"}', '(domain must be a domain such as crm.example.com)'),
    ('{"website": "javascript:alert(1)"}', '(website must be an https:// URL without user and password)'),
    ('{"website": "https://a@b.example"}', '(website must be an https:// URL without user and password)'),
    ('{"industry": "mining"}', '(industry must be technology, healthcare, finance, ecommerce, manufacturing or other)'),
    ('{"size": "2-3"}', '(size must be 1-10, 11-50, 51-200, 201-1000 or 1000+)'),
    ('{"use_case": "' || repeat('x', 1001) || '"}', '(use_case must have at most 1000 characters)'),
    ('{"goals": "one"}', '(goals must be an array of texts or null)'), ('{"goals": [1]}', '(goals must be an array of texts or null)'),
    ('{"goals": [["one"]]}', '(goals must be an array of texts or null)'), ('{"goals": [[]]}', '(goals must be an array of texts or null)'),
    ('{"goals": [""]}', '(goals is required)'),
    ('{"goals": [' || repeat('"x",', 20) || '"x"]}', '(goals must have at most 20 elements)'),
    ('{"default_region": "EU west"}', '(default_region must have 1 to 63 lower-case letters, digits and hyphens)'),
    ('{"billing_email": "nobody"}', '(billing_email is not a valid e-mail address)'),
    ('{"metadata": []}', '(metadata must be an object of at most 16 kB)'),
    ('{"metadata": {"x": "' || repeat('y', 16400) || '"}}', '(metadata must be an object of at most 16 kB)')) as v (bad, said);
select pg_temp.update('{"name": " Ada & Sons ", "website": "https://ada.example/", "industry": "technology", "size": "11-50",
    "use_case": "Limits", "goals": ["see", "act"], "default_region": "eu-west-1", "billing_email": "pay@ada.example",
    "metadata": {"crm": 7}, "subdomain": "Ada"}')::jsonb as updated \gset
select is(:'updated'::jsonb - '{id,created_at,updated_at,plan,is_personal,status,domain,domain_txt_name,domain_txt_value,domain_verified_at,logo_type,logo_bytes}'::text[],
          '{"name": "Ada & Sons", "slug": "ada-works", "website": "https://ada.example/", "industry": "technology", "size": "11-50",
            "use_case": "Limits", "goals": ["see", "act"], "default_region": "eu-west-1", "billing_email": "pay@ada.example",
            "metadata": {"crm": 7}, "subdomain": "ada"}'::jsonb, 'an owner says what the organization is');
select is(pg_temp.last_event(), 'organization.updated', 'the audit knows it');
select is(pg_temp.update('{"website": null, "goals": null, "metadata": null, "size": ""}')::jsonb - '{id,created_at,updated_at,plan,is_personal,status,domain,domain_txt_name,domain_txt_value,domain_verified_at,logo_type,logo_bytes}'::text[],
          '{"name": "Ada & Sons", "slug": "ada-works", "website": null, "industry": "technology", "size": null,
            "use_case": "Limits", "goals": [], "default_region": "eu-west-1", "billing_email": "pay@ada.example",
            "metadata": {}, "subdomain": "ada"}'::jsonb, 'null and nothing empty a field, the others stay');
select is(pg_temp.as_member(:'vic', :'works', '(select name || '' '' || use_case from saas_api.organization)'), 'Ada & Sons Limits', 'every member reads it');
select is(pg_temp.as_member(:'bob', :'other', '(select name || coalesce(use_case, '' says nothing'') from saas_api.organization)'), 'Bob Works says nothing', 'others their own');
select is(pg_temp.as_member(:'bob', :'other', 'saas_api.update_organization(''{"subdomain": "ada"}'')'), '23505 subdomain is already taken', 'a subdomain is one organization''s');
select is(pg_temp.as_member(:'bob', :'other', 'saas_api.update_organization(''{"subdomain": "ADA-works"}'')'), '23505 subdomain is already taken', 'nor is it another''s slug');
select is(pg_temp.as_member(:'bob', :'other', 'saas_api.create_organization(''X'', ''ada'')'), '23505 slug is already taken', 'nor a slug another''s subdomain');
select is(pg_temp.ada('saas_api.update_organization(''{"subdomain": "ada-works"}'') ->> ''subdomain'''), 'ada-works', 'its own slug may be its subdomain');

--
-- Logo
--
select is(pg_temp.ada(format('saas_api.set_logo(%L)', bad)), '22023 invalid input ' || said, name)
  from (values ('\x'::bytea, '(image must be a PNG, JPEG, WebP or SVG image)', 'nothing is no logo'),
               ('<svg xmlns="http://www.w3.org/2000/svg"/>'::bytea, '(image has nothing that may be shown)', 'an empty SVG is none'),
               ('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'::bytea, '(image has nothing that may be shown)', 'nor is a script'),
               ('<svg xmlns="http://www.w3.org/2000/svg"><path/>'::bytea, '(image must be well-formed XML)', 'nor what is not well-formed'),
               ('<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>'::bytea, '(image must not have a DOCTYPE)', 'nor one that declares entities'),
               ('<html><svg xmlns="http://www.w3.org/2000/svg"><path/></svg></html>'::bytea, '(image must be an svg element of the namespace http://www.w3.org/2000/svg)', 'nor a page'),
               ('\x47494638396101'::bytea, '(image must be a PNG, JPEG, WebP or SVG image)', 'so is a GIF'),
               ('\x89504e470d0a1a'::bytea, '(image must be a PNG, JPEG, WebP or SVG image)', 'a PNG needs all of its signature'),
               ('\x524946460000000057415645'::bytea, '(image must be a PNG, JPEG, WebP or SVG image)', 'a sound is no picture'),
               ('\x89504e470d0a1a0a' || decode(repeat('00', 262137), 'hex'), '(image must have at most 256 KiB)', 'one byte too many is')) as v (bad, said, name);
select is(pg_temp.ada(format('saas_api.set_logo(%L)', good))::jsonb, jsonb_build_object('logo_type', type, 'logo_bytes', octet_length(good)), type || ' is a logo')
  from (values ('\xffd8ffe0'::bytea, 'image/jpeg'), ('\x524946460000000057454250'::bytea, 'image/webp'),
               ('\x89504e470d0a1a0a' || decode(repeat('00', 262136), 'hex'), 'image/png')) as v (good, type);
select is(saas_api.organization_logo('ada-works') ->> 'type', 'image/png', 'everybody sees it');
select is(octet_length(decode(saas_api.organization_logo('ada-works') ->> 'image', 'base64')), 262144, 'all of it');
\set svg '<?xml version="1.0"?>\n<!-- x --><svg viewBox="0 0 9 9" onload="alert(1)" xmlns="http://www.w3.org/2000/svg"><style>@import url(//evil.example);</style><a href="javascript:alert(1)">x</a><path d="M0 0h9" fill="url(#a)"/><rect fill="url(https://evil.example)"/></svg>'
\set sanitized '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9"><path d="M0 0h9" fill="url(#a)"/><rect/></svg>'
select is(pg_temp.ada(format('saas_api.set_logo(%L)', convert_to(:'svg', 'UTF8')))::jsonb,
          jsonb_build_object('logo_type', 'image/svg+xml', 'logo_bytes', octet_length(:'sanitized')), 'an SVG is a logo');
select is(convert_from(p.logo, 'UTF8'), :'sanitized', 'that is stored without what runs, loads or refers outside')
  from saas.organization_profile p where p.org_id = :'works';
select is(convert_from(decode(saas_api.organization_logo('ada-works') ->> 'image', 'base64'), 'UTF8'), :'sanitized', 'and shown so');
select is(pg_temp.ada(format('saas_api.set_logo(%L)', '\xefbbbf'::bytea || convert_to(:'sanitized', 'UTF8')))::jsonb,
          jsonb_build_object('logo_type', 'image/svg+xml', 'logo_bytes', octet_length(:'sanitized')), 'stored again it is the same');
select is(saas_private.sanitize_svg(null), null, 'nothing is sanitized to nothing');
-- The server uses the same library, with handlers of its own.
select pg_temp.refusal('select xmlparse(document ''<a b=""</a>'')') as of_server \gset
select is((saas_private.sanitize_svg('<svg &')).problem, 'must be well-formed XML', 'what is broken is told in our words');
select is(pg_temp.refusal('select xmlparse(document ''<a b=""</a>'')'), :'of_server', 'and the server''s own XML is told in its words as before');
select is(pg_temp.ada('saas_private.sanitize_svg(''x'')'), '42501 permission denied for schema saas_private', 'nobody calls the sanitizer');
select is(pg_temp.ada('saas_api.set_logo(null)')::jsonb, '{"logo_type": null, "logo_bytes": null}', 'NULL removes it');
select is(pg_temp.refusal('select saas_api.organization_logo(''ada-works'')'), 'PT404 logo not found', 'then there is none');
select is(pg_temp.last_event(), 'organization.logo_changed', 'the audit knows it');

--
-- Domain
--
select pg_temp.update('{"domain": " CRM.Ada.example. "}')::jsonb as claimed \gset
select is(:'claimed'::jsonb ->> 'domain', 'crm.ada.example', 'a domain is claimed in lower case');
select is(:'claimed'::jsonb ->> 'domain_txt_name', '_pg-saas.crm.ada.example', 'a TXT record below it');
select matches(:'claimed'::jsonb ->> 'domain_txt_value', '^pg-saas-[A-Za-z0-9_-]{40,}$', 'has to say something that nobody guesses');
select is(:'claimed'::jsonb ->> 'domain_verified_at', null, 'before that it counts for nothing');
select is(pg_temp.update('{"domain": "crm.ada.example"}')::jsonb ->> 'domain_txt_value', :'claimed'::jsonb ->> 'domain_txt_value', 'claiming it again changes nothing');
select results_eq('select org_id, domain, txt_name from saas.domain_claims()', format('values (%L::uuid, ''crm.ada.example'', ''_pg-saas.crm.ada.example'')', :'works'), 'an operator sees what is claimed');
select is(pg_temp.as_member(:'bob', :'other', 'saas_api.update_organization(''{"domain": "crm.ada.example"}'') ->> ''domain'''), 'crm.ada.example', 'another may claim it too');
select is(pg_temp.refusal(format('select saas.confirm_domain(%L, %L)', org, domain)), said, format('confirming %s: %s', domain, said))
  from (values (saas.uuidv7(), 'crm.ada.example', 'PT404 organization not found'), (:'works'::uuid, 'ada.example', 'PT409 the organization does not claim this domain'),
               (:'works'::uuid, null, 'PT409 the organization does not claim this domain'),
               (:'works'::uuid, 'CRM.ada.example', 'accepted'), (:'works'::uuid, 'crm.ada.example', 'accepted'),
               (:'other'::uuid, 'crm.ada.example', '23505 the domain is another organization''s already')) as v (org, domain, said);
select is((select count(*) from saas.audit_event where action = 'organization.domain_confirmed'), 1::bigint, 'the audit knows it once');
select is(pg_temp.update('{"domain": "other.ada.example"}')::jsonb ->> 'domain_verified_at', null, 'another domain is another claim');
select isnt(pg_temp.update('{"domain": "crm.ada.example"}')::jsonb ->> 'domain_txt_value', :'claimed'::jsonb ->> 'domain_txt_value', 'and going back is a new one');
select is(pg_temp.update('{"domain": null}')::jsonb ->> 'domain_txt_value', null, 'a claim is given up');
select ok(not has_function_privilege('saas_user', f, 'execute'), format('members do not call %s', f))
  from unnest(array['saas.confirm_domain(uuid, text)', 'saas.domain_claims()']) f;

--
-- Salesforce defaults
--
select matches(pg_temp.update(format('{"salesforce": %s}', bad)), said, format('salesforce: %s is refused', bad))
  from (values ('7', '^22023 invalid input .patch must be an object.$'), ('{"x": 1}', '^22023 invalid input .x is not a known key.$'),
               ('{"client_id": "x"}', '^22023 .*instance_url is required'),
               ('{"instance_url": "https://a.my.salesforce.com"}', 'salesforce.client_id is required with another login_url'),
               ('{"instance_url": "https://a.my.salesforce.com", "client_secret": "x"}', 'salesforce.client_id is required with client_secret'),
               ('{"instance_url": "https://a.my.salesforce.com", "client_id": 7}', 'client_id must be a text or null'),
               ('{"instance_url": "ftp://a.my.salesforce.com", "client_id": "x"}', '^22023 .*instance_url')) as v (bad, said);
select is(pg_temp.as_member(:'mia', :'works', $$saas_api.create_connection('salesforce', 'Main', '{"org_id": "00D000000000001EAA", "instance_url": "https://a.my.salesforce.com"}', '{"refresh_token": "r"}')$$),
          '22023 invalid configuration for a salesforce connection (secrets.client_id is required with refresh_token)', 'without defaults a connection needs a client id of its own');
select is(pg_temp.update('{"salesforce": {"instance_url": "https://a.my.salesforce.com", "client_id": "THE-CLIENT", "client_secret": "THE-SECRET"}}')::jsonb ->> 'slug', 'ada-works', 'an owner gives a client id to all');
select results_eq('select instance_url, login_url, origin from saas.salesforce_default',
                  $$values ('https://a.my.salesforce.com', 'https://login.salesforce.com', 'https://login.salesforce.com:443')$$, 'bound to where it may go');
select is(pg_temp.as_member(:'mia', :'works', '(select instance_url from saas_api.salesforce_defaults)'), 'https://a.my.salesforce.com', 'who connects sees where to');
select is(pg_temp.as_member(:'vic', :'works', '(select instance_url from saas_api.salesforce_defaults)'), null, 'others do not');
select is((select count(*) from saas_private.salesforce_default_secret s where s::text ~ 'THE-'), 0::bigint, 'id and secret are sealed');
select is((select count(*) from saas.audit_event e where e::text ~ 'THE-'), 0::bigint, 'and not in the audit');
select is(pg_temp.as_member(:'mia', :'works', $$saas_api.create_connection('salesforce', 'Main', '{"org_id": "00D000000000001EAA"}', '{"refresh_token": "r"}') -> 'config' ->> 'instance_url'$$),
          'https://a.my.salesforce.com', 'a connection that brings none is made');
select is((select string_agg(s.name, ' ' order by s.name) from saas_private.connection_secret s), 'refresh_token', 'it stores nothing of the default');
select is(pg_temp.as_member(:'mia', :'works', $$saas_api.create_connection('salesforce', 'Evil', '{"org_id": "00D000000000002EAA", "login_url": "https://evil.example"}', '{"refresh_token": "r"}')$$),
          '22023 invalid input (secrets.client_id is required: the organization''s own goes to another login_url)', 'the default is sent nowhere else');
select is(pg_temp.as_member(:'mia', :'works', $$saas_api.create_connection('salesforce', 'Own', '{"org_id": "00D000000000002EAA", "login_url": "https://evil.example"}', '{"refresh_token": "r", "client_id": "own"}') ->> 'name'$$),
          'Own', 'with its own it may ask elsewhere');
select is(pg_temp.as_member(:'mia', :'works', format('saas_api.set_connection_secrets(%L, ''{"refresh_token": "r"}'')', (select id from saas.connection where name = 'Own'))),
          '22023 invalid input (secrets.client_id is required: the organization''s own goes to another login_url)', 'which it cannot give up later');
select is(pg_temp.as_member(:'mia', :'works', format('saas_api.set_connection_secrets(%L, ''{"refresh_token": "s"}'') ->> ''name''', (select id from saas.connection where name = 'Main'))),
          'Main', 'the other may have new secrets without a client id');
select is(pg_temp.as_member(:'bob', :'other', $$saas_api.create_connection('salesforce', 'Main', '{"org_id": "00D000000000001EAA", "instance_url": "https://a.my.salesforce.com"}', '{"refresh_token": "r"}')$$),
          '22023 invalid configuration for a salesforce connection (secrets.client_id is required with refresh_token)', 'another organization has no default');
select is(pg_temp.update('{"salesforce": {"instance_url": "https://b.my.salesforce.com"}}')::jsonb ->> 'slug', 'ada-works', 'another instance keeps the client id');
select is((select count(*) from saas_private.salesforce_default_secret), 2::bigint, 'and the secret');
select matches(pg_temp.update('{"salesforce": {"instance_url": "https://b.my.salesforce.com", "login_url": "https://test.salesforce.com"}}'), 'client_id is required with another login_url', 'another login_url does not');
select is(pg_temp.update('{"salesforce": null}')::jsonb ->> 'slug', 'ada-works', 'null removes all');
select is((select count(*) from saas_private.salesforce_default_secret) + (select count(*) from saas.salesforce_default), 0::bigint, 'all of it');

-- The permission that sets them is enough to set them.
select pg_temp.ada('saas_api.create_role(''setter'', ''{manage_settings}'', 35)') is not null as ok \gset
update saas.membership set role = 'setter' where user_id = :'vic' and org_id = :'works';
create function pg_temp.setter(defaults text) returns text language sql as $$
    select pg_temp.as_member(m.user_id, m.org_id, format('saas_api.update_organization(%L) ->> ''slug''', jsonb_build_object('salesforce', defaults::jsonb)))
      from saas.membership m where m.role = 'setter'
$$;
select is(pg_temp.setter(defaults), 'ada-works', format('salesforce: %s by who holds manage_settings alone', defaults))
  from unnest(array['{"instance_url": "https://a.my.salesforce.com", "client_id": "a", "client_secret": "b"}', '{"instance_url": "https://b.my.salesforce.com", "client_id": "c"}',
                    '{"instance_url": "https://c.my.salesforce.com"}']) defaults;
select results_eq('select instance_url, s.name from saas.salesforce_default d join saas_private.salesforce_default_secret s using (org_id)',
                  $$values ('https://c.my.salesforce.com', 'client_id')$$, 'is done');
select is(pg_temp.as_member(:'vic', :'works', '(select instance_url from saas_api.salesforce_defaults)'), 'https://c.my.salesforce.com', 'and seen');
select is(pg_temp.setter('null'), 'ada-works', 'and undone');
select is((select count(*) from saas.salesforce_default), 0::bigint, 'in truth');
update saas.membership set role = 'viewer' where user_id = :'vic' and org_id = :'works';

--
-- Settings
--
select is(pg_temp.settings(bad), '22023 invalid input ' || said, format('%s is refused', left(bad, 60)))
  from (values
    ('{"x": 1}', '(x is not a known key)'),
    ('{"requires_second_factor": 1}', '(requires_second_factor must be true or false)'), ('{"role_changes_by_owners": null}', '(role_changes_by_owners must be true or false)'),
    ('{"max_session_age": "1 minute"}', '(max_session_age must be between 15 minutes and 90 days, or null)'),
    ('{"max_session_age": "91 days"}', '(max_session_age must be between 15 minutes and 90 days, or null)'),
    ('{"max_session_age": "soon"}', '(max_session_age must be between 15 minutes and 90 days, or null)'),
    ('{"max_session_age": "-10000 months 300000 days 20 minutes"}', '(max_session_age must be between 15 minutes and 90 days, or null)'),
    ('{"max_session_age": 3600}', '(max_session_age must be a text or null)'),
    ('{"allowed_networks": "10.0.0.0/8"}', '(allowed_networks must be an array of texts or null)'),
    ('{"allowed_networks": ["10.0.0.0/33"]}', '(allowed_networks must hold addresses and networks such as 203.0.113.0/24 or 2001:db8::/32)'),
    ('{"allowed_networks": ["example.com"]}', '(allowed_networks must hold addresses and networks such as 203.0.113.0/24 or 2001:db8::/32)'),
    ('{"allowed_networks": ["0.0.0.0/0", "::/0"]}', '(allowed_networks must hold the address that you come from)'),
    ('{"allowed_networks": [' || repeat('"10.0.0.1",', 64) || '"10.0.0.1"]}', '(allowed_networks must have at most 64 elements)'),
    ('{"allowed_email_domains": ["@example.com"]}', '(allowed_email_domains must be domains such as example.com)'),
    ('{"allowed_email_domains": ["example"]}', '(allowed_email_domains must be domains such as example.com)'),
    ('{"notifications": []}', '(notifications must be an object of names with true, false or null)'),
    ('{"notifications": {"A": true}}', '(notifications must be an object of names with true, false or null)'),
    ('{"notifications": {"a": 1}}', '(notifications must be an object of names with true, false or null)'),
    ('{"notifications": {' || (select string_agg(format('"n%s": true', n), ',') from generate_series(1, 101) n) || '}}', '(notifications must have at most 100 names)')) as v (bad, said);
select is((select max_session_age::text || role_changes_by_owners from saas_api.organization_settings limit 1), null, 'an operator sees no settings through the view');
select is(pg_temp.settings('{"max_session_age": "12 hours", "allowed_email_domains": ["Example.com", "ada.example", "example.com"], "role_changes_by_owners": true, "notifications": {"digest": true, "alarm": false}}')::jsonb,
          jsonb_build_object('org_id', :'works', 'requires_second_factor', false, 'max_session_age', '12:00:00', 'allowed_networks', null,
                             'allowed_email_domains', '["ada.example", "example.com"]'::jsonb, 'role_changes_by_owners', true, 'notifications', '{"digest": true, "alarm": false}'::jsonb), 'an owner requires this and that');
select is(pg_temp.last_event(), 'organization.settings_changed', 'the audit knows it');
select is(pg_temp.settings('{"notifications": {"digest": null, "news": true}}')::jsonb -> 'notifications', '{"news": true, "alarm": false}', 'notices are laid over what is there');
select is(pg_temp.as_member(:'mia', :'works', '(select count(*) from saas_api.organization_settings)'), '0', 'without manage_settings they are not shown');
select is(pg_temp.settings('{"requires_second_factor": true}'), 'PT403 Second factor required', 'who requires a second factor has one');
select is(pg_temp.refusal(format('select saas_private.require_allowed_email(%L, %L)', org, email)), said, format('%s: %s', coalesce(email, 'NULL'), said))
  from (values (:'works'::uuid, 'new@example.com', 'accepted'), (:'works'::uuid, 'new@ADA.Example', 'accepted'),
               (:'works'::uuid, 'new@sub.example.com', 'PT403 the organization does not allow addresses at this domain'),
               (:'works'::uuid, 'new@example.com@evil.example', 'PT403 the organization does not allow addresses at this domain'),
               (:'works'::uuid, 'example.com', 'PT403 the organization does not allow addresses at this domain'),
               (:'works'::uuid, null, 'PT403 the organization does not allow addresses at this domain'),
               (:'other'::uuid, 'new@evil.example', 'accepted')) as v (org, email, said);
select is(pg_temp.settings('{"allowed_email_domains": null, "max_session_age": null, "role_changes_by_owners": false}')::jsonb - '{org_id,notifications}'::text[],
          '{"requires_second_factor": false, "max_session_age": null, "allowed_networks": null, "allowed_email_domains": null, "role_changes_by_owners": false}'::jsonb, 'null takes a requirement away');
select is(pg_temp.refusal(format('select saas_private.require_allowed_email(%L, ''new@evil.example'')', :'works')), 'accepted', 'then every address will do');

-- The age of sessions.
select saas_api.sign_in('ada@example.com', 'correct horse ada') as signed \gset
select :'signed'::jsonb ->> 'access_token' as token, :'signed'::jsonb ->> 'refresh_token' as refresh \gset
begin;
select saas.authenticate(:'token') as ok \gset
select saas_api.create_api_key('k', '{view_dashboard,manage_settings}') ->> 'key' as key \gset
select saas_api.create_organization('Second', 'second') ->> 'id' as second \gset
commit;
select is(pg_temp.verdict(:'token', 'select pg_temp.settings(''{"max_session_age": "1 hour"}'')'), '25001 this transaction already acts for another identity', 'the check of the age is not fooled by this test');
select pg_temp.settings('{"max_session_age": "1 hour"}') is not null as ok \gset
select is(pg_temp.verdict(:'token'), 'accepted', 'a session that is young enough works');
update saas_private.session set created_at = now() - interval '59 minutes';
select is(pg_temp.verdict(:'token'), 'accepted', 'for nearly an hour');
update saas_private.session set created_at = now() - interval '61 minutes';
select is(pg_temp.verdict(:'token'), 'PT401 Session is too old for this organization', 'and not after it');
select is(pg_temp.verdict(:'key'), 'accepted', 'API keys are not concerned');
begin;
select is(saas_api.refresh_session(:'refresh') #>> '{organization,slug}', 'second', 'a refreshed session goes on in another organization');
rollback;
select pg_temp.refusal('select 1') is not null as ok \gset
delete from saas.membership where org_id = :'second';
select saas_api.sign_in('ada@example.com', 'correct horse ada') as signed2 \gset
update saas_private.session set created_at = now() - interval '61 minutes';
select is(pg_temp.refusal(format('select saas_api.refresh_session(%L)', :'signed2'::jsonb ->> 'refresh_token')), 'PT401 Session is too old for this organization', 'without another the person is to sign in again');
select is(saas_api.sign_in('ada@example.com', 'correct horse ada') #>> '{organization,slug}', 'ada-works', 'which lets them in');
insert into saas.membership (org_id, user_id, role) values (:'second', :'ada', 'owner');
select saas_api.sign_in('ada@example.com', 'correct horse ada') as signed3 \gset
begin;
select saas.authenticate(:'signed3'::jsonb ->> 'access_token') as ok \gset
select saas_api.switch_organization('second') ->> 'access_token' as in_second \gset
commit;
update saas_private.session set created_at = now() - interval '61 minutes';
begin;
select saas.authenticate(:'in_second') as ok \gset
set local role saas_user;
select is(pg_temp.refusal('select saas_api.switch_organization(''ada-works'')'), 'PT401 Session is too old for this organization', 'an old session is not switched in');
commit;
begin;
select saas.authenticate(:'key') as ok \gset
set local role saas_user;
select is(pg_temp.refusal('select saas_api.update_organization_settings(''{"max_session_age": null}'')'), 'PT403 not possible with an API key', 'a key changes no requirement');
commit;

--
-- Onboarding and preferences
--
select is(pg_temp.as_member(:'mia', :'works', format('saas_api.complete_onboarding_step(%L)', bad)), '22023 invalid input (step must be organization_info, team or first_connection)', format('%s is no step', coalesce(bad, 'NULL')))
  from unnest(array['', 'Team', null]) bad;
select is((pg_temp.as_member(:'mia', :'works', 'saas_api.complete_onboarding_step(''team'')')::jsonb ->> 'team_at') is not null, true, 'an admin completes a step');
select is(pg_temp.as_member(:'mia', :'works', 'saas_api.complete_onboarding_step(''team'') -> ''is_complete'''), 'false', 'which may be done twice');
select pg_temp.ada('saas_api.complete_onboarding_step(''organization_info'')') is not null as ok \gset
select is(pg_temp.ada('saas_api.complete_onboarding_step(''first_connection'') -> ''is_complete'''), 'true', 'three are all');
select is(pg_temp.as_member(:'vic', :'works', '(select is_complete from saas_api.onboarding)'), 'true', 'every member sees it');
select is(pg_temp.as_member(:'bob', :'other', '(select is_complete from saas_api.onboarding)'), 'false', 'others have their own');
select is(pg_temp.ada('saas_api.complete_onboarding_step(''team'', false) -> ''team_at'''), 'null', 'a step is opened again');
select is(pg_temp.ada(format('saas_api.set_preferences(%L)', bad)), '22023 invalid input ' || said, format('preferences of %s are none', left(coalesce(bad, 'NULL'), 20)))
  from (values (null, '(patch must be an object)'), ('[]', '(patch must be an object)'), ('{"x": "' || repeat('y', 16400) || '"}', '(patch must leave at most 16 kB)')) as v (bad, said);
select is(pg_temp.ada('saas_api.set_preferences(''{"theme": "dark", "rows": 50, "x": null, "y": {"z": null}}'')')::jsonb, '{"completed_tours": [], "preferences": {"theme": "dark", "rows": 50, "y": {"z": null}}}', 'a person prefers things: null removes a key, not what is in one');
select pg_temp.ada('saas_api.set_preferences(''{"y": null}'')') is not null as ok \gset
select is(pg_temp.ada('saas_api.set_preferences(''{"rows": null, "page": {"a": null}}'')')::jsonb -> 'preferences', '{"theme": "dark", "page": {"a": null}}', 'a patch is laid over them');
select is(pg_temp.ada(format('saas_api.complete_tour(%L)', bad)), '22023 invalid input (tour must have 1 to 63 lower-case letters, digits, dots, hyphens and underscores)', format('%s is no tour', coalesce(bad, 'NULL')))
  from unnest(array['', 'A', ' a', repeat('a', 64), null]) bad;
select is(pg_temp.ada('saas_api.complete_tour(''first.steps'')')::jsonb -> 'completed_tours', '["first.steps"]', 'a tour is completed');
select is(pg_temp.ada('saas_api.complete_tour(''first.steps'')')::jsonb -> 'completed_tours', '["first.steps"]', 'once');
select is(pg_temp.as_member(:'ada', :'second', '(select completed_tours::text from saas_api.preferences)'), '{first.steps}', 'in every organization');
select is(pg_temp.as_member(:'mia', :'works', '(select completed_tours::text || preferences from saas_api.preferences)'), '{}{}', 'others have not');
select is(pg_temp.ada('saas_api.complete_tour(''first.steps'', false)')::jsonb -> 'completed_tours', '[]', 'and forgotten');
update saas.user_preference set completed_tours = (select array_agg('t' || n) from generate_series(1, 200) n) where user_id = :'ada';
select is(pg_temp.ada('saas_api.complete_tour(''one.more'')'), '22023 invalid input (tour would be one too many: 200 are kept)', '200 are kept');
begin;
select saas.authenticate(:'key') as ok \gset
set local role saas_user;
select is(pg_temp.refusal(format('select %s', call)), 'PT403 not possible with an API key', format('a key does not call %s', call))
  from unnest(array['saas_api.set_preferences(''{}'')', 'saas_api.complete_tour(''a'')']) call;
select is_empty('select * from saas_api.preferences', 'nor does it see its owner''s preferences');
commit;

select * from finish();
