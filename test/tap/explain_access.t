# explain_access against the truth: people, roles, settings and requests by
# chance, and what authenticate and has_permission say to the same.
use strict;
use warnings;

use SaasCluster;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.trusted_proxies' => 'local', 'saas.poller_enabled' => 'off' });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into saas.app_user (email, first_name, last_name, email_verified_at)
	select name || '@example.com', name, 'Example', now() from unnest(array['ada', 'abe', 'mia', 'vic', 'cho', 'dan', 'eve']) name;
	create table public.team as
	select saas_private.add_organization(u.id, 'Acme', null, false) as org_id from saas.app_user u where u.first_name = 'ada';
	select saas_private.add_organization(u.id, 'Evil', null, false) from saas.app_user u where u.first_name = 'eve';
	select saas.register_permission('crm.edit', 'd', '{admin}'), saas.register_permission('crm.view', 'd', '{viewer,member}');
	insert into saas.role (org_id, name, is_builtin, permissions, rank)
	select org_id, r.name, false, r.permissions, r.rank
	  from public.team, (values ('chief', '{manage_members,crm.edit,view_dashboard}'::text[], 35), ('dealer', '{crm.view,export_data}', 5)) r (name, permissions, rank);
	insert into saas.membership (org_id, user_id, role)
	select t.org_id, u.id, r.role
	  from public.team t, (values ('abe', 'admin'), ('mia', 'member'), ('vic', 'viewer'), ('cho', 'chief'), ('dan', 'dealer')) r (name, role)
	  join saas.app_user u on u.first_name = r.name;
	create table public.seen (who text, permission text, source text, settings jsonb, error text, held boolean, mine jsonb, others jsonb, of_chief jsonb);

	-- One case: what is so, what a request is told, and what is explained.
	create procedure public.try_case() language plpgsql as $$
	declare
		acme uuid := (select org_id from public.team);
		person record;
		wanted text := (array['view_dashboard', 'manage_members', 'manage_settings', 'export_data', 'crm.edit', 'crm.view', 'crm.no', ''])[1 + floor(random() * 9)];
		via text := (array['session', 'session', 'session', 'api_key', 'superuser'])[1 + floor(random() * 5)];
		settings jsonb := jsonb_build_object(
			'status', case when random() < 0.1 then 'suspended' else 'active' end, 'is_active', random() < 0.9,
			'requires_factor', random() < 0.4, 'max_age', case when random() < 0.4 then '1 hour' end, 'networks', case when random() < 0.4 then '{203.0.113.0/24}' end,
			'has_factor', random() < 0.5, 'saw_factor', random() < 0.7, 'age', case when random() < 0.3 then '2 hours' else '5 minutes' end, 'is_inside', random() < 0.6);
		token text;
		made record;
		session_id uuid := saas.uuidv7();
		key_id uuid := saas.uuidv7();
		it public.seen;
	begin
		select u.id, u.first_name into person from saas.app_user u order by random() limit 1;
		update saas.organization set status = settings ->> 'status', requires_second_factor = (settings ->> 'requires_factor')::boolean,
		       max_session_age = (settings ->> 'max_age')::interval, allowed_networks = (settings ->> 'networks')::cidr[] where id = acme;
		update saas.app_user u set is_active = u.id <> person.id or (settings ->> 'is_active')::boolean;
		delete from saas_private.second_factor;
		insert into saas_private.second_factor (user_id, secret, confirmed_at)
		select person.id, saas_private.seal_signing_secret(acme, key_id, 'x'), now() where (settings ->> 'has_factor')::boolean;
		settings := settings || jsonb_build_object('saw_factor', (settings ->> 'saw_factor')::boolean and (settings ->> 'has_factor')::boolean);
		insert into saas_private.session (id, user_id, expires_at, created_at, second_factor_at)
		values (session_id, person.id, now() + interval '1 day', now() - (settings ->> 'age')::interval, case when (settings ->> 'saw_factor')::boolean then now() end);
		token := saas_private.issue_access_token(person.id, session_id, acme, 600) ->> 'access_token';
		if via = 'api_key' then
			made := saas_private.new_api_key();
			insert into saas.api_key (org_id, id, name, prefix, permissions, created_by)
			values (acme, key_id, 'k', made.prefix, (select array_agg(p) from unnest(array['view_dashboard', 'manage_settings', 'export_data', 'crm.edit', 'crm.view']) p where random() < 0.5 or p = 'view_dashboard'), person.id);
			insert into saas_private.api_key_hash (org_id, api_key_id, key_hash) values (acme, key_id, made.key_hash);
			token := made.key;
		end if;
		perform set_config('request.headers', jsonb_build_object('x-forwarded-for', case when (settings ->> 'is_inside')::boolean then '203.0.113.9' else '198.51.100.1' end)::text, false);
		it := row(person.first_name, wanted, via, settings);
		commit;
		begin
			if via = 'superuser' then
				perform saas.assume_identity(person.id, acme);
			else
				perform saas.authenticate(token);
			end if;
			it.held := saas.has_permission(wanted);
			it.mine := saas.explain_access(null, wanted);
		exception when others then
			it.error := sqlstate || ' ' || sqlerrm;
		end;
		commit;
		it.others := saas.explain_access(person.id, wanted, acme);
		commit;
		begin
			perform saas.assume_identity(u.id, acme) from saas.app_user u where u.first_name = 'cho';
			it.of_chief := saas.explain_access(person.id, wanted);
		exception when others then
			null;
		end;
		insert into public.seen select it.*;
		commit;
	end $$});
my $seed = $ENV{SAAS_TEST_SEED} || 1;
sql("select setseed(1.0 / $seed); " . 'call public.try_case(); ' x 600);

# What each answer is worth is in how often it was a yes and a no.
foreach my $source (qw(session api_key superuser))
{
	my ($yes, $no, $refused) = split /\|/, sql("select count(*) filter (where held), count(*) filter (where not held), count(*) filter (where error is not null) from public.seen where source = '$source'");
	cmp_ok($_, '>=', 5, "by $source many cases of each kind: $yes yes, $no no, $refused refused") foreach $yes, $no, $refused;
}
is(sql(q{select string_agg(distinct left(error, 5), ' ' order by left(error, 5)) from public.seen}), 'PT401 PT403 PT404', 'refused for every reason');
is(sql(q{select string_agg(distinct r ->> 'check', ' ' order by r ->> 'check') from public.seen, jsonb_array_elements(others -> 'reasons' || coalesce(mine -> 'reasons', '[]')) r}),
	'account address api_key membership organization permission role second_factor session_age', 'every reason is given');
is(sql(q{select to_jsonb(s) from public.seen s where held <> (mine ->> 'allowed')::boolean limit 1}), '', 'asked about oneself it says what has_permission says');
is(sql(q{select to_jsonb(s) from public.seen s where exists (select from jsonb_array_elements(mine -> 'reasons') r where r ->> 'check' in ('second_factor', 'session_age', 'address') and not (r ->> 'passed')::boolean) limit 1}), '',
	'a request that was let in meets what the organization requires');
# Of others it speaks of a session that meets the conditions: as this one does.
my $good = q{source = 'session' and (not (settings ->> 'has_factor')::boolean or (settings ->> 'saw_factor')::boolean)
	and (settings ->> 'max_age' is null or settings ->> 'age' = '5 minutes') and (settings ->> 'networks' is null or (settings ->> 'is_inside')::boolean)};
cmp_ok(sql("select count(*) from public.seen where $good"), '>=', 100, 'many sessions meet the conditions');
is(sql("select to_jsonb(s) from public.seen s where $good and coalesce(held, false) <> (others ->> 'allowed')::boolean limit 1"), '', 'asked about others it says what such a session may');
is(sql("select to_jsonb(s) from public.seen s where source = 'session' and held and not (others ->> 'allowed')::boolean limit 1"), '', 'whatever a session may is never denied');
cmp_ok(sql('select count(*) from public.seen where of_chief is not null'), '>=', 100, 'a member with manage_members asks too');
is(sql(q{select to_jsonb(s) from public.seen s where who <> 'cho' and of_chief <> others limit 1}), '', 'and is told the same as a superuser');
is(sql(q{select to_jsonb(s) from public.seen s where who = 'eve' and others -> 'reasons' <> (select jsonb_agg(r) from jsonb_array_elements(others -> 'reasons') r where r ->> 'check' in ('permission', 'membership')) limit 1}), '',
	'of a stranger nothing is said but that');
done_testing();
