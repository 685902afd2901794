# A hardened database: an HTTP layer, drivers, poolers and the poller work as
# before; arbitrary SQL through a pooled connection leaves nothing to the next
# tenant; a dump carries it.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasGateway;
use SaasSession;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $upstream = SaasUpstream->start;
my $node = SaasCluster->create('main', preload => 'pg_saas,pg_stat_statements',
	settings => {
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'  => 'on',
		'saas.min_poll_interval' => '1s',
		'saas.refresh_cooldown'  => '0',
		'saas.bcrypt_cost'       => 10,
	});
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');

sub sql { return $node->safe_psql('postgres', @_); }

sql('create extension pg_stat_statements');
my %tenant = map { $_ => SaasTenant->create($node, 'postgres', $_) } qw(Acme Globex);
sql("select saas_api.sign_in('" . $tenant{Acme}->email . "', '" . $tenant{Acme}->password . "')");
# What an application may do wrong behind our back.
sql(q{
	create function saas_api.run(statement text) returns text language plpgsql as $$
	declare answer text;
	begin
		if statement ~ '^(select|show) ' then execute statement into answer; else execute statement; end if;
		return answer;
	end $$;
	grant execute on function saas_api.run(text) to saas_anon, saas_user});

my $report = sql('select saas.harden()');
like($report, qr/revoke execute on function public\.pg_stat_statements\(boolean\)/, 'pg_stat_statements is among what is taken');
is(sql('select saas.harden()'), '-- nothing to change', 'a second time nothing is');

#
# A login that waits for news, as PostgREST's does
#
my $listener = open_session($node, 'authenticator');
is(say_to($listener, 'listen pgrst;'), '', 'the HTTP layer\'s login listens');
sql('select saas.rotate_token_keys()');
like(say_to($listener, 'select 1;'), qr/"pgrst" with payload "reload config"/, 'and hears of new keys');
close_session($listener);

#
# The whole way through the gateway, on one connection
#
my $gateway = SaasGateway->start($node, 'postgres');
my %token;

sub ask
{
	my ($who, $method, $path, $body) = @_;
	return $gateway->call($method => $path, $body, $who ? { authorization => "Bearer $token{$who}" } : {});
}

sub run_as
{
	my ($who, $statement) = @_;
	return ask($who, POST => '/rpc/run', { statement => $statement });
}

my $signed_up = ask(undef, POST => '/rpc/sign_up', { email => 'eve@example.com', password => 'correct horse eve',
		first_name => 'Eve', last_name => 'Example' });
is($signed_up->{status}, 200, 'somebody signs up') or diag($signed_up->{content});
foreach my $who (keys %tenant)
{
	my $answer = ask(undef, POST => '/rpc/sign_in', { email => $tenant{$who}->email, password => $tenant{$who}->password });
	is($answer->{status}, 200, "$who signs in");
	$token{$who} = $answer->{json}{access_token};
	is(ask($who, POST => '/rpc/create_connection', { kind => 'prometheus', name => "$who exporter",
			config => { url => $upstream->url . "/metrics?instance=$who" } })->{status}, 200, 'connects an upstream');
	$answer = ask($who, POST => '/rpc/refresh_connections', {});
	is($answer->{status}, 200, 'has it polled') or diag($answer->{content});
	is_deeply([ map { $_->{name} } @{ ask($who, GET => '/connections?select=name')->{json} } ], ["$who exporter"], 'and sees its own');
	cmp_ok(scalar @{ ask($who, GET => '/latest_samples?select=metric')->{json} }, '>', 0, 'with what it measured');
	my $key = ask($who, POST => '/rpc/create_api_key', { name => 'k', permissions => ['view_dashboard'] })->{json}{key};
	is($gateway->call(GET => '/connections?select=name', undef, { 'x-api-key' => $key })->{json}[0]{name}, "$who exporter", 'by an API key too');
	is(ask($who, POST => '/rpc/invite_member', { email => 'eve@example.com', role => 'viewer' })->{status}, 200, 'invites somebody');
}
is(ask(undef, GET => '/connections')->{status}, 401, 'nobody sees nothing');

#
# What a tenant's SQL gets, and leaves
#
my %refused = (
	'listen news'                                         => 'LISTEN is not allowed to tenants',
	q{notify pgrst, 'reload schema'}                      => 'NOTIFY is not allowed to tenants',
	'explain select from saas.connection'                 => 'EXPLAIN is not allowed to tenants',
	'alter role saas_user set statement_timeout = 1'      => 'changing a role is not allowed to tenants',
	'reset role; alter role authenticator password null'  => 'changing a role is not allowed to tenants',
	'reset role; listen news'                             => 'LISTEN is not allowed to tenants',
	'create temp table connection as select 1'            => 'creating temporary objects is not allowed to tenants',
	q{set work_mem = '64kB'}                              => 'setting "work_mem" would outlive the transaction',
	q{select set_config('work_mem', '64kB', false)}       => 'setting "work_mem" would outlive the transaction',
	q{select set_config('app.name', 'x', false)}          => 'setting "app.name" would outlive the transaction',
	q{set datestyle = 'SQL, DMY'}                         => 'setting "DateStyle" would outlive the transaction',
	q{reset role; set datestyle = 'SQL, DMY'}             => 'setting "DateStyle" would outlive the transaction',
	q{set role saas_anon; set work_mem = '64kB'}          => 'setting "work_mem" would outlive the transaction',
	q{set work_mem = '64kB'; set local work_mem = '1MB'}  => 'setting "work_mem" would outlive the transaction',
	q{do 'begin perform set_config(''work_mem'', ''64kB'', false); end'} => 'setting "work_mem" would outlive the transaction',
	'set session characteristics as transaction read only' => 'setting "default_transaction_read_only" would outlive the transaction',
);
foreach my $statement (sort keys %refused)
{
	my $answer = run_as('Acme', $statement);
	is($answer->{status}, 403, "a tenant's request is refused: $statement");
	is($answer->{json}{message}, $refused{$statement}, 'with the reason');
}
# As a visitor, whose request has no identity.
foreach my $statement ('reset role; listen news', q{reset role; set work_mem = '64kB'}, q{set work_mem = '64kB'})
{
	is(run_as(undef, $statement)->{status}, 403, "a visitor's too: $statement");
}
foreach my $statement ('select query from pg_stat_activity limit 1', 'select query from public.pg_stat_statements limit 1', 'select "pg_sleep"(0)',
	'select pg_notify($$pgrst$$, $$reload schema$$)', 'select pg_advisory_lock(1)', 'select lo_create(0)', 'select count(*) from pg_locks')
{
	is(run_as('Acme', $statement)->{json}{code}, '42501', "hardened: $statement");
}
is(run_as('Acme', $_)->{status}, 200, "what does not stay is the tenant's own affair: $_")
  foreach q{set local work_mem = '64kB'}, q{select set_config('work_mem', '64kB', true)}, q{set work_mem = '64kB'; reset work_mem};

is(run_as('Globex', "select current_setting('$_')")->{json}, sql("show $_"), "the next tenant has the server's $_")
  foreach qw(work_mem DateStyle default_transaction_read_only statement_timeout);
is(run_as('Globex', q{select coalesce(current_setting('app.name', true), '')})->{json}, '', 'no setting of the one before');
is(run_as('Globex', q{select count(*) from pg_class where relpersistence = 't'})->{json}, '0', 'no temporary table');
is(run_as('Globex', q{select count(*) from pg_listening_channels()})->{json}, '0', 'and hears no channel');
is_deeply([ map { $_->{name} } @{ ask('Globex', GET => '/connections?select=name')->{json} } ], ['Globex exporter'], 'but sees its rows');
is(sql(q{select count(*) from pg_stat_activity where usename = 'authenticator'}), 1, 'all of it in one session');
is(sql(q{select rolconfig is null from pg_roles where rolname = 'saas_user'}), 't', 'the role that all share is as it was');
$gateway->stop;

#
# Drivers and poolers
#
my $pool = open_session($node, 'authenticator');
my $as_tenant = sprintf q{begin; set local role saas_user; select saas.authenticate('%s'); commit;}, $token{Acme};
is(say_to($pool, q{set extra_float_digits = 3; set application_name = 'driver'; set search_path = public; set statement_timeout = '1min';}), '',
	'a driver sets up its connection');
is(say_to($pool, $as_tenant), '', 'which then serves a tenant');
is(say_to($pool, q{set client_encoding = 'UTF8'; set datestyle = 'ISO, MDY'; set timezone = 'UTC'; set application_name = 'pooler';}), '',
	'a pooler goes on setting what clients bring');
like(say_to($pool, q{set search_path = evil;}), qr/would outlive/, 'but not anything');
like(say_to($pool, q{listen news;}), qr/LISTEN is not allowed to tenants/, 'nor may it listen: a tenant could have ended the transaction');
is(say_to($pool, $_), '', "it cleans up: $_")
  foreach 'discard all;', 'select pg_advisory_unlock_all(); close all; unlisten *; reset all;',
  'set session authorization default; reset all; discard sequences; discard temp;';
is(say_to($pool, 'begin; set transaction isolation level serializable; set transaction read only; set local role saas_user; commit;'), '',
	'and begins transactions as it likes');
close_session($pool);

my $script = PostgreSQL::Test::Utils::tempdir() . '/requests.sql';
append_to_file($script, "\\set id 7\nbegin;\nset local role saas_user;\nselect set_config('request.path', :id::text, true);\n"
	  . "select saas.is_authenticated(), :id::integer;\ncommit;\n");
$node->command_ok([ 'pgbench', '-n', '-t', 20, '-M', 'prepared', '-f', $script, '-d', $node->connstr('postgres') . ' user=authenticator' ],
	'prepared statements of the protocol work');

#
# A login of one person's may be let do more.
#
sql('create role bi login; grant saas_user to bi');
sql(sprintf q{select saas.map_login('bi', '%s', '%s')}, $tenant{Acme}->user_id, $tenant{Acme}->org_id);
my $bi = open_session($node, 'bi');
is(say_to($bi, q{set work_mem = '64kB'; set extra_float_digits = 3; show work_mem;}), '64kB', 'a mapped login sets what it likes in its own session');
like(say_to($bi, 'explain select 1;'), qr/EXPLAIN is not allowed/, 'but explains nothing');
like(say_to($bi, 'create temp table t (id integer);'), qr/permission denied to create temporary tables/, 'and has no TEMP');
close_session($bi);
sql('alter role bi set saas.restrict_sessions = off; grant temporary on database postgres to bi');
$bi = open_session($node, 'bi');
like(say_to($bi, 'explain select 1;'), qr/Result/, 'a superuser turns the refusals off for it');
is(say_to($bi, 'create temp table t (id integer); select count(*) from t;'), '0', 'and grants it TEMP');
is(sql('select saas.harden()'), '-- nothing to change', 'which hardening leaves');
close_session($bi);

#
# Dump and restore
#
my $dumps = PostgreSQL::Test::Utils::tempdir();
my @pg = ('-d', $node->connstr('postgres'));
$node->command_ok([ 'pg_dump', @pg, '-Fc', '-f', "$dumps/hardened" ], 'a hardened database is dumped');
sql('create database restored');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), "$dumps/hardened" ], 'and restored');
my $left = $node->safe_psql('restored', 'select saas.harden(true)');
like($left, qr/\A-- temporary.*\n-- loses it: .*\nrevoke temporary on database restored from public;\z/,
	'with all but the database\'s own rights');
is($node->safe_psql('restored', 'select saas.harden()'), $left, 'which a second hardening takes');
is($node->safe_psql('restored', 'select saas.harden()'), '-- nothing to change', 'once');
isnt($node->safe_psql('restored', 'select saas.unharden()'), '-- nothing to change', 'and the copy can be undone');
my ($plain, $err) = run_command([ $node->installed_command('pg_dump'), '--schema-only', '-d', $node->connstr('restored') ]);
is_deeply([ grep { /pg_catalog\.(?:pg|lo)_|pg_stat_statements.* (?:TO|FROM) / } split /\n/, $plain ], [], 'after which a dump has no rights of the catalog');
($plain, $err) = run_command([ $node->installed_command('pg_dump'), '--schema-only', '--create', '-d', $node->connstr('postgres') ]);
like($plain, qr/REVOKE (?:TEMPORARY|CONNECT,TEMPORARY|ALL) ON DATABASE postgres FROM PUBLIC/, 'pg_dump --create carries those of the database');

done_testing();
