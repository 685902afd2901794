# A dump restores to the same system, which does not act until it is told to.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my %settings = (
	'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
	'saas.allow_plain_http'  => 'on',
	'saas.refresh_cooldown'  => '0',
	'saas.min_poll_interval' => '1s');

my $node = SaasCluster->create('main', settings => \%settings);
$node->start;
$node->install('postgres');
my $upstream = SaasUpstream->start;

#
# Something in every table
#
my $acme = SaasTenant->create($node, 'postgres', 'Acme');
my $beta = SaasTenant->create($node, 'postgres', 'Beta & Söhne "quoted"');
my $org  = $upstream->control(POST => 'orgs', { rotate_refresh_tokens => JSON::PP::true });
my $sf   = $acme->salesforce($org, 'limits', poll_interval => '1 hour');
my $page = $beta->connect('prometheus', 'page', { url => $upstream->url . '/metrics?auth=bearer' },
	{ bearer_token => 'scrape-token' }, '1 hour');
ok($acme->wait_for($sf, "status = 'active'") && $beta->wait_for($page, "status = 'active'"),
	'connections are polled');
$node->safe_psql('postgres', qq{
	create table public.note (org_id uuid, id integer, body saas.sealed, primary key (org_id, id));
	grant select, insert on public.note to saas_user;
	create table public.kept (id uuid primary key, kept_by uuid references public.kept on delete set null);
	select saas.protect('public.kept', 'view_dashboard');
	select saas.guard_schema('public', 'refuse');
	select saas.harden();
	select saas_api.sign_in('} . $acme->email . q{', '} . $acme->password . q{');
	select saas.open_ticket('} . $acme->org_id . q{', 'a look', '2 hours')});
$acme->sql(q{select saas_api.create_api_key('deploy', array['view_dashboard'])});
$acme->sql(q{select saas_api.invite_member('guest@example.com', 'member')});
$node->safe_psql('postgres', q{select saas.register_permission('crm.edit_deals', 'Edit deals', '{admin}')});
$node->safe_psql('postgres', 'create role acme_bi login');
$node->safe_psql('postgres', sprintf(q{select saas.map_login('acme_bi', m.user_id, m.org_id)
	from saas.membership m where m.org_id = '%s'}, $acme->org_id));
$node->safe_psql('postgres', q{
	insert into saas_private.api_key_signing (org_id, api_key_id, signing_secret)
	select k.org_id, k.id, saas_private.seal_signing_secret(k.org_id, k.id, 'a secret') from saas.api_key k;
	insert into saas_private.second_factor (user_id, secret)
	select u.id, saas_private.seal_for_platform('a secret', 'pg_saas:totp', u.id::text) from saas.app_user u;
	insert into saas_private.recovery_code (user_id, code_hash)
	select u.id, sha256(u.id::text::bytea) from saas.app_user u;
	insert into saas_private.sign_in_challenge (challenge_hash, user_id, is_remembered, expires_at)
	select sha256(u.id::text::bytea), u.id, false, now() + interval '1 hour' from saas.app_user u;
	insert into saas_private.email_change (user_id, new_email, token_hash, expires_at)
	select u.id, 'new@example.com', sha256(u.id::text::bytea), now() + interval '1 day' from saas.app_user u;
	insert into saas.organization_branding (org_id, footer_text) select o.id, E'two\\nlines' from saas.organization o;
	select saas_private.write_note('denied', u.id, now(), '{}') from saas.app_user u});
$acme->sql(qq{insert into public.note select saas.current_org_id(), 1, saas.seal('what nobody reads', 'note', '1')});
$acme->sql(q{
	select saas_api.update_organization('{"use_case": "limits", "domain": "crm.acme.example",
	    "salesforce": {"instance_url": "https://acme.example", "client_id": "x"}}');
	select saas_api.update_organization_settings('{"max_session_age": "12 hours", "allowed_email_domains": ["example.com"]}');
	select saas_api.complete_onboarding_step('team');
	select saas_api.set_field_mapping('amount', 'Amount');
	select saas_api.complete_tour('first.steps');
	select saas.blind_index('what somebody seeks', 'note');
	select saas_api.create_connection_group('Sales');
	select saas_api.set_metric_price('hits', 0.5);
	select saas_api.save_view('Mine', '{"metrics": ["hits"]}');
	select saas_api.create_connection_token('prometheus', 'Another one')});
$node->safe_psql('postgres', q{
	insert into saas_private.deleted_organization (id, deleted_at, reason, purged_at)
	values (saas.uuidv7(), now(), 'owner', now());
	insert into saas_private.destroyed_key (org_id) select d.id from saas_private.deleted_organization d;
	select saas.register_sealed_column('public.note', 'body', 'note', 'id')});
$node->safe_psql('postgres', 'call saas.rotate_data_keys()');
$node->safe_psql('postgres', 'call saas.seal_audit()');
# Partitions apart from this week's, with nulls and odd numbers in them.
$node->safe_psql('postgres', q{
	set role saas_poller;
	select saas_private.ensure_reading_partition(now() - interval '20 days')});
$node->safe_psql('postgres', qq{
	insert into saas.reading
	select r.org_id, r.connection_id, r.at - interval '20 days', r.layout_id,
	       array['NaN', 'Infinity', null, 1e-300, 0.1]::float8[]
	  from saas.reading r where r.connection_id = '$page'});
$node->safe_psql('postgres', 'call saas.maintain()');
$node->safe_psql('postgres', qq{
	insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
	values ('} . $beta->org_id . qq{', '$page', now() - interval '1 hour', now())});
is( $node->safe_psql('postgres', q{
	select string_agg(c.oid::regclass::text, ' ' order by c.oid::regclass::text)
	  from pg_class c
	 where c.relkind = 'r' and c.relnamespace in ('saas'::regnamespace, 'saas_private'::regnamespace)
	   and not c.relispartition and c.relname <> 'unguarded_table'
	   and (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %s', c.oid::regclass),
	                                            false, true, '')))[1]::text = '0'}),
	'', 'every table has rows');

# The schedule stands still while dumps are compared.
$node->append_conf('postgresql.conf', 'saas.poller_enabled = off');
$node->reload;
ok($node->poll_query_until('postgres', "select state = 'disabled' and in_flight = 0 from saas.poller_status()"),
	'the poller is off');
my $checkpoint = $node->safe_psql('postgres', "select saas.audit_checkpoint('" . $acme->org_id . "')");

#
# What a database is made of, in words
#
my $catalog = q{
set search_path = pg_catalog;
with ours as (
	select n.oid, n.nspname from pg_namespace n where n.nspname in ('saas', 'saas_api', 'saas_private', 'public')
), described as (
	select 'schema', o.nspname, n.nspowner::regrole::text,
	       array(select a::text from unnest(n.nspacl) a order by 1)::text, obj_description(n.oid, 'pg_namespace')
	  from pg_namespace n join ours o using (oid)
	union all
	select 'relation', c.oid::regclass::text,
	       concat_ws(' ', c.relkind, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
	                 c.relpersistence, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid)),
	       concat_ws(' ', c.reloptions::text, array(select a::text from unnest(c.relacl) a order by 1)::text),
	       obj_description(c.oid, 'pg_class')
	  from pg_class c join ours o on o.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S')
	union all
	select 'column', c.oid::regclass || '.' || a.attname,
	       concat_ws(' ', a.attnum - (select count(*) from pg_attribute d
	                                   where d.attrelid = c.oid and d.attisdropped and d.attnum < a.attnum),
	                 format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage,
	                 a.attcollation::regcollation),
	       concat_ws(' ', pg_get_expr(d.adbin, d.adrelid), a.attacl::text,
	                 -- What the server counts itself differs by itself.
	                 nullif(array(select p from unnest(a.attoptions) p where p !~ '^pg_attver='), '{}')::text),
	       col_description(c.oid, a.attnum)
	  from pg_attribute a join pg_class c on c.oid = a.attrelid join ours o on o.oid = c.relnamespace
	  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
	 where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm')
	union all
	select 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), null, null
	  from pg_class c join ours o on o.oid = c.relnamespace where c.relkind in ('v', 'm')
	union all
	select 'policy', p.polrelid::regclass || '.' || p.polname,
	       concat_ws(' ', p.polcmd, p.polpermissive,
	                 array(select coalesce(nullif(r, 0)::regrole::text, 'public')
	                         from unnest(p.polroles) r order by 1)::text),
	       concat_ws(' check ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)),
	       obj_description(p.oid, 'pg_policy')
	  from pg_policy p
	union all
	-- "not null" is a constraint from PostgreSQL 18 on.  Nobody names it, and the
	-- name that it is given depends on the order in which tables are created.
	select 'constraint', n.conrelid::regclass || '.' || case n.contype when 'n' then 'not null' else n.conname end,
	       pg_get_constraintdef(n.oid),
	       concat_ws(' ', n.convalidated, n.conislocal, case when n.contype = 'c' then n.connoinherit end),
	       obj_description(n.oid, 'pg_constraint')
	  from pg_constraint n join ours o on o.oid = n.connamespace where n.conrelid <> 0
	union all
	select 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid),
	       concat_ws(' ', i.indisvalid, i.indisunique, i.indisreplident), obj_description(i.indexrelid, 'pg_class')
	  from pg_index i join pg_class c on c.oid = i.indexrelid join ours o on o.oid = c.relnamespace
	union all
	select 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text, null
	  from pg_trigger t where not t.tgisinternal
	union all
	select 'function', p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid)),
	       concat_ws(' ', p.proowner::regrole, array(select a::text from unnest(p.proacl) a order by 1)::text),
	       obj_description(p.oid, 'pg_proc')
	  from pg_proc p join ours o on o.oid = p.pronamespace where p.prokind <> 'a'
	union all
	select 'type', t.oid::regtype::text,
	       concat_ws(' ', t.typtype, t.typlen, t.typalign, t.typstorage, t.typinput, t.typoutput, t.typowner::regrole),
	       array(select a::text from unnest(t.typacl) a order by 1)::text, obj_description(t.oid, 'pg_type')
	  from pg_type t join ours o on o.oid = t.typnamespace where t.typrelid = 0 and t.typelem = 0
	union all
	select 'default privileges',
	       concat_ws(' ', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace, d.defaclobjtype),
	       array(select a::text from unnest(d.defaclacl) a order by 1)::text, null, null
	  from pg_default_acl d
	union all
	select 'extension', e.extname, e.extversion, e.extowner::regrole::text, n.nspname
	  from pg_extension e join pg_namespace n on n.oid = e.extnamespace
	union all
	select 'member', pg_describe_object(d.classid, d.objid, 0), e.extname, null, null
	  from pg_depend d join pg_extension e on e.oid = d.refobjid
	 where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = 'pg_saas'
)
select described::text from described order by 1};

my $rows = q{
select string_agg(format('%s %s', t.name,
	(xpath('/row/h/text()', query_to_xml(format(
	    'select count(*) || '' '' || md5(coalesce(string_agg(r::text, E''\n'' order by r::text), '''')) as h from %s r',
	    t.name), false, true, '')))[1]), E'\n' order by t.name)
  from (select c.oid::regclass::text as name from pg_class c
         where c.relkind in ('r', 'p') and not c.relispartition
           and c.relnamespace in ('saas'::regnamespace, 'saas_private'::regnamespace, 'public'::regnamespace)) t};

my $catalog_of_origin = $node->safe_psql('postgres', $catalog);
my $rows_of_origin    = $node->safe_psql('postgres', $rows);
cmp_ok(scalar(split /\n/, $catalog_of_origin), '>', 500, 'there is something to compare');

sub compare
{
	my ($catalog_before, $rows_before, $where, $database, $name) = @_;
	my $catalog_after = $where->safe_psql($database, $catalog);
	my (%before, %after);
	$before{$_} = 1 foreach split /\n/, $catalog_before;
	$after{$_}  = 1 foreach split /\n/, $catalog_after;
	is_deeply([ grep { !$after{$_} } sort keys %before ], [], "$name: nothing of the catalog is missing or other");
	is_deeply([ grep { !$before{$_} } sort keys %after ], [], "$name: nothing was added to it");
	is($where->safe_psql($database, $rows), $rows_before, "$name: every row of every table is the same");
	return;
}

# What a person is told of the metrics, up to a time that is over.
my $asked_at = $node->safe_psql('postgres', 'select now()');
sub metrics_of
{
	my ($tenant, $where, $database) = @_;
	return $tenant->on($where, $database)->sql(qq{
		select jsonb_build_object('values', (
		           select jsonb_agg(jsonb_build_array(m.metric, v.fn, v.step, q.bucket_at, q.grp, q.value)
		                            order by m.metric, v.fn, v.step, q.bucket_at, q.grp)
		             from (select distinct l.metric from saas_api.latest_samples l) m,
		                  (values ('sum', '1 hour'), ('last', '5 minutes'), ('increase', '1 day'), ('p95', '1 hour')) v (fn, step),
		                  saas_api.query_metric(m.metric, '$asked_at'::timestamptz - interval '25 days', '$asked_at', v.step::interval, v.fn,
		                                        group_by => '{connection}') q),
		       'costs', saas_api.cost_report('$asked_at'::timestamptz - interval '25 days', '$asked_at'),
		       'views', (select jsonb_agg(w order by w.id) from saas_api.saved_views w))});
}
my %metrics = map { $_->org_id => metrics_of($_, $node, 'postgres') } $acme, $beta;
like($metrics{ $beta->org_id }, qr/"values": \[/, 'there are metrics to ask about');
like($metrics{ $acme->org_id }, qr/"name": "Mine"/, 'and saved views');

# What a person does with the accounts of a copy.
sub sign_in_works
{
	my ($tenant, $where, $database, $name) = @_;
	my $answer = decode_json($where->safe_psql($database,
		"select saas_api.sign_in('" . $tenant->email . "', '" . $tenant->password . "')"));
	is( $where->safe_psql($database, qq{
			begin; set local role saas_user;
			do \$\$ begin perform saas.authenticate('$answer->{access_token}'); end \$\$;
			select organization ->> 'id' from jsonb_to_record(saas_api.me()) as m (organization jsonb)}),
		$tenant->org_id,
		"$name: a member signs in and the token is good");
	is($tenant->on($where, $database)->sql(q{
			reset role; select saas.unseal(body, 'note', '1') from public.note}),
		'what nobody reads', "$name: sealed values open");
	return;
}

# The chain over the audit, up to the checkpoint, and on from there.
sub audit_holds
{
	my ($where, $database, $name) = @_;
	my $verify = "select is_intact, unsealed from saas.verify_audit('" . $acme->org_id . "', '$checkpoint')";
	is($where->safe_psql($database, $verify), 't|0', "$name: the audit is intact");
	$where->safe_psql($database, "select saas.set_plan('" . $acme->org_id . "', 'pro')");
	is($where->safe_psql($database, $verify), 't|1', "$name: a new event waits for its seal");
	$where->safe_psql($database, 'call saas.seal_audit()');
	is($where->safe_psql($database, $verify), 't|0', "$name: and gets it");
	return;
}

# Nobody asks the upstream until saas.adopt().
sub acts_when_adopted
{
	my ($tenant, $where, $database, $name) = @_;
	my $copy     = $tenant->on($where, $database);
	my $requests = $upstream->control(GET => 'stats')->{requests};
	$copy->make_due($sf, $page);
	ok( $where->poll_query_until($database,
			'select state = \'copy\' from saas.poller_status() where database = current_database()'),
		"$name: the poller knows a copy");
	is( $copy->refresh($sf)->[0]{error},
		'this database is a copy: its poller waits for saas.adopt()',
		"$name: a refresh says what to do");
	my ($status, $out, $err) = $where->psql($database, "\\set VERBOSITY verbose\ncall saas.poll()");
	like($err, qr/55000.*copy/, "$name: call saas.poll() too");
	is($upstream->control(GET => 'stats')->{requests}, $requests, "$name: the upstream was not asked");

	my $readings = $where->safe_psql($database, 'select count(*) from saas.reading');
	$where->safe_psql($database, 'select saas.adopt()');
	is($copy->refresh($sf)->[0]{ok}, JSON::PP::true, "$name: an adopted copy polls with the restored secrets");
	cmp_ok($where->safe_psql($database, 'select count(*) from saas.reading'),
		'>', $readings, "$name: into the restored tables");
	return;
}

#
# Into another database of the same cluster
#
my $dumps  = PostgreSQL::Test::Utils::tempdir();
my @pg     = ('-h', $node->host, '-p', $node->port);
$node->command_ok([ 'pg_dump', @pg, '-Fc', '-f', "$dumps/custom", 'postgres' ], 'pg_dump into an archive');
$node->command_ok([ 'pg_dump', @pg, '-f', "$dumps/plain", 'postgres' ], 'pg_dump into a script');
my $script = slurp_file("$dumps/plain");
is_deeply(
	[ grep { index($script, $_) >= 0 } $acme->password, 'scrape-token', 'what nobody reads',
		map { $org->{$_} } qw(client_secret access_token refresh_token) ],
	[], 'no secret is in a dump');

$node->safe_psql('postgres', "create database $_") foreach qw(from_archive from_script);
$node->command_ok([ 'pg_restore', @pg, '-e', '-j', '2', '-d', 'from_archive', "$dumps/custom" ],
	'pg_restore from an archive');
$node->command_ok(
	[   'psql', @pg, '-XqAt', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', 'from_script',
		'-f', "$dumps/plain" ],
	'psql from a script');
foreach my $database (qw(from_archive from_script))
{
	compare($catalog_of_origin, $rows_of_origin, $node, $database, $database);
	sign_in_works($acme, $node, $database, $database);
	is(metrics_of($_, $node, $database), $metrics{ $_->org_id }, "$database: metrics are answered as before") foreach $acme, $beta;
}
$node->append_conf('postgresql.conf', 'saas.poller_enabled = on');
$node->reload;
audit_holds($node, 'from_archive', 'from_archive');
acts_when_adopted($acme, $node, 'from_archive', 'from_archive');
is($node->safe_psql('from_archive', 'select saas.migrate()') =~ / 0 migrations ran/, 1,
	'a restored database has nothing to migrate');
$node->command_ok([ 'pg_dump', @pg, '-Fc', '-f', "$dumps/second", 'from_script' ], 'a copy can be dumped');
$node->safe_psql('postgres', 'create database from_copy');
$node->command_ok([ 'pg_restore', @pg, '-e', '-d', 'from_copy', "$dumps/second" ], 'and restored');
compare($node->safe_psql('from_script', $catalog), $node->safe_psql('from_script', $rows),
	$node, 'from_copy', 'a copy of a copy');
is($node->safe_psql('from_script', "select saas.protect('public.kept')"), '-- nothing to change',
	'a protected table is protected in the copy');
like(($node->psql('from_script', 'create table public.bare (id integer)'))[2], qr/public\.bare is not protected/,
	'and the guard stands');
$node->safe_psql('from_script', "select saas.guard_schema('public', 'off'); select saas.unprotect('public.kept')");
is( $node->safe_psql('from_script', "select pg_get_constraintdef(oid) from pg_constraint where conname = 'kept_kept_by_fkey'"),
	'FOREIGN KEY (kept_by) REFERENCES kept(id) ON DELETE SET NULL', 'it can be unprotected there');
like($node->safe_psql('from_script', "select saas.uninstall('from_script')"),
	qr/uninstalled/, 'the tables of a restored database can be removed');
$node->safe_psql('from_script', 'drop table public.note; drop extension pg_saas');
is($node->safe_psql('from_script', "select count(*) from pg_namespace where nspname ~ '^saas'"),
	0, 'and the extension dropped');
$node->append_conf('postgresql.conf', 'saas.poller_enabled = off');
$node->reload;

#
# Into another cluster, with the same master key and with another one
#
my $other = SaasCluster->create('other', settings => { %settings, 'saas.poller_enabled' => 'off' });
my $other_key = slurp_file($other->master_key_file);
copy_key(slurp_file($node->master_key_file));

sub copy_key
{
	my ($lines) = @_;
	open my $file, '>', $other->master_key_file or die $other->master_key_file . ": $!";
	print $file $lines;
	close $file;
	return;
}

$other->start;
$other->safe_psql('postgres', 'create database restored');
@pg = ('-h', $other->host, '-p', $other->port);
$other->command_ok([ 'pg_restore', @pg, '-e', '-d', 'restored', "$dumps/custom" ], 'pg_restore into another cluster');
compare($catalog_of_origin, $rows_of_origin, $other, 'restored', 'another cluster');
sign_in_works($acme, $other, 'restored', 'another cluster');
audit_holds($other, 'restored', 'another cluster');

copy_key($other_key);
$other->restart;
my ($status, $out, $err) = $other->psql('restored',
	"\\set VERBOSITY verbose\nselect saas_api.sign_in('" . $acme->email . "', '" . $acme->password . "')");
like($err, qr/^psql\S* ERROR: +55000: /, 'with another master key nobody signs in');
my $ours = $other->safe_psql('restored', 'select distinct master_fingerprint from saas_private.data_key');
my ($key) = slurp_file($other->master_key_file) =~ /:([0-9a-f]{64})/i;
my $theirs = substr(sha256_hex(pack('H*', $key)), 0, 16);
like($err, qr/\Q$ours\E/, 'the error names the fingerprint of the key that is needed');
like($err, qr/\Q$theirs\E/, 'and of the one that is there');
my $there = $acme->on($other, 'restored');
like($there->error_of(q{reset role; select saas.unseal(body, 'note', '1') from public.note}),
	qr/\Q$ours\E/, 'so does opening a sealed value');
$other->append_conf('postgresql.conf', 'saas.poller_enabled = on');
$other->reload;
$other->safe_psql('restored', 'select saas.adopt()');
like($there->refresh($sf)->[0]{error}, qr/^cannot open the connection's secrets: the master key does not open/,
	'and a connection says that much');

# Told apart by the cluster, with the same key.
copy_key(slurp_file($node->master_key_file));
$other->safe_psql('postgres', 'create database again');
$other->command_ok([ 'pg_restore', @pg, '-e', '-d', 'again', "$dumps/custom" ],
	'once more, with the right key again');
$other->restart;
$other->poll_query_until('again',
	'select count(*) = 1 from saas.poller_status() where database = current_database() and pid is not null');
acts_when_adopted($acme, $other, 'again', 'another cluster');

$_->stop foreach $node, $other;
unlike($_->log_since(0), qr/terminated by signal|PANIC/, $_->name . ': no process crashed') foreach $node, $other;

done_testing();
