# CREATE EXTENSION in several databases of a server at once: they share the
# roles, and none is made twice or left out.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use Test::More;

my $node = SaasCluster->create('main');
$node->start;

my @databases = map { "at_once_$_" } 1 .. 4;
$node->safe_psql('postgres', "create database $_") foreach @databases;

# What each of them said that ran the statements at the same time.
sub at_once
{
	my ($statements) = @_;
	my @outputs = ('') x @databases;
	my @runs = map {
		IPC::Run::start(
			[ $node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($databases[$_]),
				'-c', 'set client_min_messages = warning', '-c', $statements ],
			'>', \$outputs[$_], '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default))
	} 0 .. $#databases;
	$_->finish foreach @runs;
	return @outputs;
}

foreach my $turn ('without the roles', 'with them')
{
	is_deeply([ at_once('create extension pg_saas cascade') ], [ ('') x @databases ],
		"$turn: four databases get the extension at once");
	is_deeply([ grep { !/ installed: / } at_once('select saas.install()') ], [], 'and their tables');
	is($node->safe_psql($databases[0], q{select count(*) from pg_roles where rolname ~ '^saas_'}), 6, 'the roles are there');
	is_deeply([ map { $node->safe_psql($_, q{select saas_api.sign_up('ada@example.com', 'correct horse', 'Ada', 'L') ->> 'message'}) } @databases ],
		[ ('Check your email to verify your account.') x @databases ], 'each database works');
	is_deeply([ grep { !/uninstalled/ } map { $node->safe_psql($_, "select saas.uninstall('$_')") } @databases ], [],
		'their tables can be removed');
	is_deeply([ at_once('drop extension pg_saas') ], [ ('') x @databases ], 'and the extension dropped at once');
	is($node->safe_psql($_, q{select count(*) from pg_namespace where nspname ~ '^saas'}), 0, "which leaves nothing in $_")
	  foreach @databases;
}
unlike($node->log_since(0), qr/terminated by signal|TRAP: |PANIC: /, 'no process crashed in all of this');

done_testing();
