-- Whose slug, subdomain or domain it is; hosts below saas.base_domain are
-- test/tap/organizations.t's.
select no_plan();
\ir ../lib/refusals.sql
\ir ../lib/tenants.sql
call tenants.hold_poller();

set saas.bcrypt_cost = 10;
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
create function pg_temp.resolve(word text) returns text language plpgsql as $$
begin
    return saas_api.resolve_organization(word) ->> 'name';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
insert into saas.organization_branding (org_id, product_name, logo_url, primary_color, support_email, footer_text)
values (:'works', 'Ada CRM', 'https://ada.example/logo.png', '#112233', 'help@ada.example', 'not shown');
insert into saas.organization_profile (org_id, billing_email, metadata) values (:'works', 'pay@ada.example', '{"x": 1}');
update saas.organization set subdomain = 'ada', domain = 'crm.ada.example', domain_challenge = repeat('x', 40) where id = :'works';

set role saas_anon;
select is(saas_api.resolve_organization('ada-works'),
          '{"name": "Ada Works", "branding": {"product_name": "Ada CRM", "logo_url": "https://ada.example/logo.png", "primary_color": "#112233", "support_email": "help@ada.example", "has_logo": false}}'::jsonb,
          'nobody in particular learns name and branding, and no more');
select is(saas_api.resolve_organization('bob-works'),
          '{"name": "Bob Works", "branding": {"product_name": null, "logo_url": null, "primary_color": null, "support_email": null, "has_logo": false}}'::jsonb, 'one without branding has a name');
select is(pg_temp.resolve(word), 'Ada Works', format('%s is it', word))
  from unnest(array['ada-works', ' ADA-Works ', 'ada', 'ada:8080', 'ada.']) word;
select is(pg_temp.resolve(word), 'PT404 organization not found', format('%s is nobody''s', coalesce(to_json(left(word, 40))::text, 'NULL')))
  from unnest(array[null, '', ' ', 'nobody', 'crm.ada.example', 'ada.app.example.com', '.', '..', 'ada-works%', '%', '''', :'works', repeat('a', 100000)]) word;
reset role;
select saas.confirm_domain(:'works', 'crm.ada.example') as ok \gset
set role saas_anon;
select is(pg_temp.resolve(word), 'Ada Works', format('once verified, %s is it', word)) from unnest(array['crm.ada.example', 'CRM.ada.Example.', 'crm.ada.example:443']) word;
select is(pg_temp.resolve(word), 'PT404 organization not found', format('%s is not', word)) from unnest(array['ada.example', 'x.crm.ada.example', 'crm.ada.example.evil.example']) word;
reset role;
select is(pg_temp.resolve('works'), 'PT404 organization not found', 'part of a slug is none');
update saas.organization set subdomain = 'bob-works' where id = :'works';
select is(pg_temp.resolve('bob-works'), 'Bob Works', 'a slug goes before another''s subdomain, should both be there');
update saas.organization set subdomain = 'ada' where id = :'works';
select saas.suspend_organization(:'works', 'unpaid') as ok \gset
select is(pg_temp.resolve(word), 'PT404 organization not found', format('%s of a suspended organization is nobody''s', word)) from unnest(array['ada-works', 'ada', 'crm.ada.example']) word;
select saas.activate_organization(:'works') as ok \gset
select is(pg_temp.resolve('ada'), 'Ada Works', 'an active one is there again');
update saas.organization set status = 'deleting', purge_after = now() + interval '1 day' where id = :'works';
select is(pg_temp.resolve(word), 'PT404 organization not found', format('%s of one that is being deleted is nobody''s', word)) from unnest(array['ada-works', 'ada', 'crm.ada.example']) word;
select is(pg_temp.refusal('select saas_api.organization_logo(''ada'')'), 'PT404 logo not found', 'nor is its logo');
update saas.organization set is_personal = true where id = :'other';
select is(pg_temp.resolve('bob-works'), 'PT404 organization not found', 'a personal organization has a person''s name, and does not resolve');
select * from finish();
