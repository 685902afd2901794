# The poller's life: where it runs, what it makes way for, what it survives.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my %settings = (
	'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
	'saas.allow_plain_http'  => 'on',
	'saas.min_poll_interval' => '1s',
	'saas.refresh_cooldown'  => '0');

my $upstream = SaasUpstream->start;

sub count_workers
{
	my ($node, $type, $database) = @_;
	my $where = defined $database ? "and datname = '$database'" : '';
	return $node->safe_psql('postgres',
		"select count(*) from pg_stat_activity where backend_type = 'pg_saas $type' $where");
}

sub wait_for_workers
{
	my ($node, $type, $count, $name) = @_;
	return ok($node->poll_query_until('postgres',
			"select count(*) = $count from pg_stat_activity where backend_type = 'pg_saas $type'"), $name);
}

sub poller_pid
{
	my ($node, $database) = @_;
	return $node->safe_psql('postgres',
		"select pid from pg_stat_activity where backend_type = 'pg_saas poller' and datname = '$database'");
}

sub wait_for_state
{
	my ($node, $database, $state, $name) = @_;
	return ok($node->poll_query_until($database,
			"select state = '$state' from saas.poller_status() where database = current_database()"), $name);
}

# Waits for another process than that one; the server may be restarting.
sub wait_for_successor
{
	my ($node, $database, $pid, $name) = @_;
	return ok($node->poll_query_until('postgres', qq{
			select count(*) = 1 from pg_stat_activity
			 where backend_type = 'pg_saas poller' and datname = '$database' and pid <> $pid}), $name);
}

# psql's error with its SQLSTATE, '' without one.
sub error_of
{
	my ($node, $database, $sql) = @_;
	my ($status, $out, $err) =
	  $node->psql($database, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	return $status == 0 ? '' : $err;
}

#
# Where it runs
#
my $node = SaasCluster->create('main', settings => \%settings);
$node->start;
my $started_at = $node->safe_psql('postgres', 'select pg_postmaster_start_time()');

wait_for_workers($node, 'launcher', 1, 'the launcher runs once the server is up');
wait_for_workers($node, 'poller', 0, 'no poller runs where no database has the extension');

$node->safe_psql('postgres', 'create database one');
$node->safe_psql('postgres', 'create database two');
$node->safe_psql('one', 'begin; create extension pg_saas cascade; rollback');
$node->safe_psql($_, 'create extension pg_saas cascade') foreach qw(one two);
wait_for_workers($node, 'poller', 2, 'creating the extension in two databases starts a poller in each');
is(count_workers($node, 'poller', $_), 1, "one poller in database $_") foreach qw(one two);
is($node->safe_psql('postgres', 'select pg_postmaster_start_time()'),
	$started_at, 'without a restart of the server');

wait_for_state($node, 'one', 'not installed', 'before saas.install() the poller waits for the tables');
my $pid_one = poller_pid($node, 'one');
$node->safe_psql($_, 'select saas.install()') foreach qw(one two);
wait_for_state($node, 'one', 'idle', 'after saas.install() the poller has nothing to do');
is(poller_pid($node, 'one'), $pid_one, 'saas.install() needs no new poller');
is( $node->safe_psql('one', "select string_agg(database, ',' order by database) from saas.poller_status()"),
	'one,two',
	'poller_status tells of every database of the cluster');
is($node->safe_psql('one', 'set role saas_operator; select count(*) > 0 from saas.poller_status()'),
	't', 'an operator may ask for it');
like(error_of($node, 'one', 'set role saas_user; select * from saas.poller_status()'),
	qr/42501/, 'a tenant may not');

#
# It polls, and says how it does
#
my $tenant = SaasTenant->create($node, 'one', 'Acme');
my $org    = $upstream->control(POST => 'orgs', { enforce_api_limit => JSON::PP::false });
my $connection = $tenant->salesforce($org, 'limits', poll_interval => '1 second');

sub count_readings { return $node->safe_psql('one', 'select count(*) from saas.reading'); }

sub served
{
	return $upstream->control(GET => "orgs/$org->{org_id}/stats")->{limits_served};
}

# More readings than now: the schedule goes on.
sub wait_for_readings
{
	my ($more, $name) = @_;
	my $count = count_readings() + $more;
	return ok($node->poll_query_until('one', "select count(*) >= $count from saas.reading"), $name);
}

# The upstream answers the one connection no longer, and a poll waits for it.
sub stall
{
	my $fault = $upstream->control(POST => 'faults', { path => '/services/data', fault => 'stall' });
	$node->poll_query_until('one',
		"select in_flight = 1 and state = 'polling' from saas.poller_status() where database = 'one'")
	  or BAIL_OUT('no poll is in flight');
	# The rule has been met: what is in flight is not an answer on its way.
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until ((grep { $_->{id} == $fault->{id} } @{ $upstream->control(GET => 'faults') })[0]{hits} > 0)
	{
		BAIL_OUT('the upstream does not stall') if time > $deadline;
		select undef, undef, undef, 0.05;
	}
	return;
}

sub end_stall
{
	$upstream->control(DELETE => 'faults');
	return;
}

# For what need not wait for a lease to end by itself.
sub end_leases
{
	$node->safe_psql('one',
		'update saas.connection_status set lease_until = now() - interval \'1 s\' where lease_until is not null;'
		  . ' do $$ begin perform saas_private.wake_poller(); end $$');
	return;
}

wait_for_readings(3, 'a connection is polled again and again at its interval');
is( $node->safe_psql('one', q{
		select polls > 0 and failures = 0 and last_poll_at > now() - interval '1 minute' and last_error is null
		  from saas.poller_status() where database = 'one'}),
	't',
	'poller_status counts the polls');
$upstream->control(POST => 'faults', { path => '/services/data', fault => 'status', code => 503, times => 1 });
ok($node->poll_query_until('one', q{
		select failures = 1 and last_error = '08006' from saas.poller_status() where database = 'one'}),
	'poller_status counts failures and shows the SQLSTATE of the last');
wait_for_readings(2, 'after a passing failure the schedule goes on');

#
# Settings
#
$node->append_conf('postgresql.conf', 'saas.poller_enabled = off');
$node->reload;
wait_for_state($node, 'one', 'disabled', 'a reload turns the poller off');
my $served_before = served();
$tenant->make_due($connection);
ok($node->poll_query_until('one',
		"select due = 1 and lag > '0 s' from saas.poller_status() where database = 'one'"),
	'poller_status shows what is due and how late it is');
is(served(), $served_before, 'nothing is polled while it is off');
is($tenant->refresh($connection)->[0]{ok}, JSON::PP::true, 'but on demand');
wait_for_state($node, 'one', 'disabled', 'after which the state is disabled again');
$node->append_conf('postgresql.conf', 'saas.poller_enabled = on');
$node->reload;
wait_for_readings(2, 'a reload turns the poller on again');

#
# Commands that need a database for themselves
#
my $second = SaasTenant->create($node, 'two', 'Beta');
$second->connect('prometheus', 'stalled', { url => $upstream->url . '/fault/stall' });
ok($node->poll_query_until('one', "select in_flight = 1 from saas.poller_status() where database = 'two'"),
	'a poll is in flight in the second database');
my $pid_two = poller_pid($node, 'two');
like(error_of($node, 'one', 'set role saas_operator; drop database two'),
	qr/42501/, 'who may not drop a database');
is(poller_pid($node, 'two'), $pid_two, 'does not stop its poller');
like(error_of($node, 'one', 'begin; drop database two'), qr/25001/, 'a DROP DATABASE that fails');
wait_for_successor($node, 'two', $pid_two, 'gives the poller back');

is(error_of($node, 'postgres', 'drop database two'), '', 'DROP DATABASE succeeds while a poller runs there');
is( $node->safe_psql('one', "select count(*) from saas.poller_status() where database = 'two'"),
	0, 'and poller_status forgets the database');

my $pid = poller_pid($node, 'one');
is(error_of($node, 'postgres', 'alter database one rename to uno'),
	'', 'ALTER DATABASE RENAME succeeds while a poller runs there');
is(error_of($node, 'postgres', 'alter database uno rename to one'), '', 'and back');
wait_for_successor($node, 'one', $pid, 'the poller comes back after a rename');

$pid = poller_pid($node, 'one');
is(error_of($node, 'postgres', 'create database copy template one'),
	'', 'CREATE DATABASE TEMPLATE succeeds while a poller runs in the template');
wait_for_successor($node, 'one', $pid, 'the poller comes back after the database was copied');
wait_for_readings(2, 'and polls');
my $copied = $node->safe_psql('copy', 'select count(*) from saas.reading');
$node->safe_psql('copy', 'do $$ begin perform saas_private.wake_poller(); end $$');
wait_for_state($node, 'copy', 'copy', 'the copy has a poller that waits for saas.adopt()');
is($node->safe_psql('copy', 'select count(*) from saas.reading'), $copied, 'and polls nothing');
is(error_of($node, 'postgres', 'drop database copy'), '', 'the copy can be dropped');

is(error_of($node, 'template1', 'create extension pg_saas cascade'), '', 'the extension in template1');
is(error_of($node, 'postgres', 'create database three'), '', 'does not stand in the way of CREATE DATABASE');
ok($node->poll_query_until('one', 'select count(*) = 1 from saas.poller_status() where pid is not null '
			. "and database = 'one'"), 'and takes no poller from elsewhere');
$node->safe_psql('template1', 'drop extension pg_saas');

#
# The end of the extension
#
is(error_of($node, 'three', 'select saas.install()'), '', 'a database made from template1 can be installed');
my $third = SaasTenant->create($node, 'three', 'Gamma');
like(error_of($node, 'three', 'drop extension pg_saas'), qr/2BP01/, 'DROP EXTENSION is refused over tables');
like(error_of($node, 'three', 'drop extension pg_saas cascade'),
	qr/ERROR: +2BP01: .*tables exist/, 'with CASCADE too');
like(error_of($node, 'three', 'drop extension if exists pgcrypto, pg_saas cascade'),
	qr/2BP01/, 'and among others');
like(error_of($node, 'three', "select saas.uninstall('one')"),
	qr/22023/, 'uninstall wants the name of the database');
is(error_of($node, 'three', "select saas.uninstall('three')"), '', 'and removes the tables');
wait_for_state($node, 'three', 'not installed', 'whereupon the poller waits for the tables again');
is(error_of($node, 'three', 'drop extension pg_saas'), '', 'DROP EXTENSION succeeds while the poller runs');
ok( $node->poll_query_until('one',
		"select not exists (select from saas.poller_status() where database = 'three')"),
	'and the poller is gone');
is(count_workers($node, 'poller', 'three'), 0, 'from the processes too');
$node->safe_psql('postgres', 'drop database three');

#
# A server with no room for another worker: set up here, waited for below.
#
my $small = SaasCluster->create('small', settings => {
		%settings, max_worker_processes => 2, max_logical_replication_workers => 0 });
$small->start;
$small->safe_psql('postgres', 'create database other');
$small->safe_psql('postgres', 'create extension pg_saas cascade');
wait_for_workers($small, 'poller', 1, 'one poller finds a worker slot');
my $small_log = $small->log_size;
$small->safe_psql('other', 'create extension pg_saas cascade');
ok($small->wait_for_log(qr/no background worker slot for the pg_saas poller of database/, $small_log),
	'the next one does not, and the log says so');
like($small->log_since($small_log), qr/HINT:  Raise max_worker_processes/, 'with what to do');
is(count_workers($small, 'poller'), 1, 'the first poller is unharmed');
$small->safe_psql('postgres', 'drop extension pg_saas');

#
# Signals and crashes, each in the middle of the only connection's poll
#
stall();
isnt($node->safe_psql('one', q{with old as (update saas.poller_history set hour_at = hour_at - interval '8 days' returning 1)
		select count(*) from old}), 0, 'there is history');
$pid = poller_pid($node, 'one');
kill 'TERM', $pid;
wait_for_successor($node, 'one', $pid, 'the launcher starts a terminated poller again');
ok( $node->poll_query_until('one', q{select count(*) = 0 from saas.poller_history where hour_at < now() - interval '8 days'}),
	'which deletes old history');
end_stall();
end_leases();
wait_for_readings(2, 'and the schedule goes on');

# A lease lasts for three requests and ten seconds: one is waited for that is as short as can be.
sub limit_requests_to
{
	my ($limit) = @_;
	$node->append_conf('postgresql.conf', "saas.poller_request_timeout = '$limit'");
	$node->reload;
	return ok($node->poll_query_until('one', "select current_setting('saas.poller_request_timeout') = '$limit'"), "requests may last $limit");
}

limit_requests_to('1s');
wait_for_readings(2, 'which holds for what is claimed from then on');
# Stopped first, so that its requests do not time out meanwhile.
my $leased_until = '';
stall();
while ($leased_until eq '')
{
	$pid = poller_pid($node, 'one');
	kill 'STOP', $pid;
	$leased_until = $node->safe_psql('one', 'select lease_until from saas.connection_status');
	kill 'CONT', $pid if $leased_until eq '';
}
my $before = $node->safe_psql('one', "select count(*), md5(string_agg(r::text, '' order by at)) from saas.reading r");
my ($count_before) = split /\|/, $before;
kill 'KILL', $pid;
wait_for_successor($node, 'one', $pid, 'after kill -9 of the poller the server recovers and a poller comes back');
wait_for_workers($node, 'launcher', 1, 'and the launcher');
is( $node->safe_psql('one', qq{
		select count(*), md5(string_agg(r::text, '' order by at))
		  from (select * from saas.reading order by at limit $count_before) r}),
	$before,
	'nothing that was committed is lost');
is($node->safe_psql('one', 'select lease_until from saas.connection_status'),
	$leased_until, 'the dead poller still has its lease');
limit_requests_to('1min');
end_stall();
wait_for_readings(2, 'the schedule goes on by itself');
is( $node->safe_psql('one', qq{
		select min(at) >= '$leased_until' from (select at from saas.reading order by at offset $count_before) r}),
	't',
	'once the lease has ended');

ok($small->poll_query_until('postgres', q{
		select count(*) = 1 from pg_stat_activity where backend_type = 'pg_saas poller' and datname = 'other'}),
	'with a slot free again the launcher starts the poller that had found none');
$small->stop;

stall();
$before = count_readings();
$node->stop('immediate');
$node->start;
is(count_readings(), $before, 'an immediate shutdown in the middle of a poll loses nothing');
end_stall();
end_leases();
wait_for_readings(2, 'and the schedule goes on');

my $launcher = $node->safe_psql('postgres',
	"select pid from pg_stat_activity where backend_type = 'pg_saas launcher'");
$pid = poller_pid($node, 'one');
kill 'TERM', $launcher;
ok( $node->poll_query_until('postgres',
		"select count(*) = 1 from pg_stat_activity where backend_type = 'pg_saas launcher' and pid <> $launcher"),
	'a terminated launcher is started again');
is(poller_pid($node, 'one'), $pid, 'and leaves the pollers alone');

# All of it told by the upstream: every answer that it gave is one reading.
$node->append_conf('postgresql.conf', 'saas.poller_enabled = off');
$node->reload;
wait_for_state($node, 'one', 'disabled', 'the poller is off and has nothing in flight');
is(count_readings(), served(), 'every answer was stored, and stored once');

my $fatal = () = $node->log_since(0) =~ /terminated by signal/g;
is($fatal, 1, 'no process crashed but the one that was killed');
$node->stop;

#
# A standby
#
my $primary = SaasCluster->create('primary', init => { allows_streaming => 1 }, settings => \%settings);
$primary->start;
$primary->install('postgres');
my $delta = SaasTenant->create($primary, 'postgres', 'Delta');
my $far   = $upstream->control(POST => 'orgs', {});
my $there = $delta->salesforce($far, 'limits', poll_interval => '1 second');
ok($delta->wait_for($there, "status = 'active'"), 'the primary polls');
$primary->backup('base');
my $standby = SaasCluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is(count_workers($standby, $_), 0, "no $_ runs on a standby") foreach qw(launcher poller);
is($standby->safe_psql('postgres', 'select count(*) from saas.poller_status()'),
	0, 'and poller_status on a standby shows none');
like($delta->on($standby, 'postgres')->error_of('select saas_api.refresh_connections()'),
	qr/PT503/, 'where a refresh is refused');
$primary->stop('immediate');
my $replayed = $standby->safe_psql('postgres', 'select count(*) from saas.reading');
$standby->promote;
wait_for_workers($standby, 'launcher', 1, 'promotion starts the launcher');
ok($standby->poll_query_until('postgres', "select count(*) > $replayed from saas.reading"),
	'and the promoted server polls');
$standby->stop;

done_testing();
