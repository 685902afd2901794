# Single flight: fifty Salesforce connections of one login, each with a refresh
# token that is good once, raced by several pollers, callers of saas.poll() and
# sessions that ask on demand.
use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.poller_enabled'         => 'off',
		'max_worker_processes'        => 16 });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');
my $true     = JSON::PP::true;
my $count    = 50;

sub sql { return $node->safe_psql('postgres', @_); }

sub set_up
{
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	return;
}

sub wake { return sql('do $$ begin perform saas_private.wake_poller(); end $$'); }

my @login = (client_id => 'one login', client_secret => 'of fifty');
my $orgs  = $upstream->control(POST => 'orgs', [ map { { @login, rotate_refresh_tokens => $true } } 1 .. $count ]);
$acme->sql(join ";\n", map { 'select 1 from ' . $acme->connect_call('salesforce', "org $_", $acme->salesforce_of($orgs->[ $_ - 1 ]), '1 hour') }
	  1 .. $count);
sql('call saas.poll()');

sub all_are
{
	my ($condition) = @_;
	return $node->poll_query_until('postgres', qq{
		select count(*) = $count from saas.connection c join saas.connection_status s on s.connection_id = c.id
		 where s.lease_id is null and $condition});
}

# [token requests by how many orgs made that many, refresh tokens shown twice, states]
sub seen
{
	my (%requests, %states);
	my $reuses = 0;
	foreach my $org (@$orgs)
	{
		my $stats = $upstream->control(GET => "orgs/$org->{org_id}/stats");
		$requests{ $stats->{token_requests} }++;
		$states{ $stats->{refresh_token_state} }++;
		$reuses += $stats->{refresh_token_reuses};
	}
	return [ \%requests, $reuses, \%states ];
}

sub expire_all
{
	$upstream->control(POST => "orgs/$_->{org_id}/expire") foreach @$orgs;
	return;
}

ok(all_are("s.status = 'active'"), "$count connections are polled once");
my $rounds = 0;
foreach my $workers (2, 4)
{
	set_up('saas.poller_workers' => $workers, 'saas.poller_enabled' => 'on');
	ok($node->poll_query_until('postgres', qq{
			select count(*) filter (where state = 'idle') = $workers and count(*) = $workers
			  from saas.poller_status() where pid is not null}), "$workers pollers run");

	# The schedule alone: each of them once, however many look.
	expire_all();
	sql('delete from saas.poller_history');
	$upstream->control(POST => 'settings', { latency_ms => 20 });
	sql(q{update saas.connection_status set next_poll_at = now()});
	wake() foreach 1 .. 3;
	ok(all_are("s.status = 'active' and s.next_poll_at > now()"), "$workers pollers poll what is due");
	$rounds++;
	is_deeply(seen(), [ { $rounds => $count }, 0, { current => $count } ], 'with one token request each');
	is(sql('select count(*), sum(polls), sum(failures) from saas.poller_history'), "$count|$count|0", 'and one poll each');

	# Everybody at once: pollers, callers, and two who ask for all of them.
	foreach my $latency (0, 30)
	{
		expire_all();
		$upstream->control(POST => 'settings', { latency_ms => $latency });
		my $since   = sql('select clock_timestamp()');
		my @callers = map { $node->background_psql('postgres') } 1 .. 2;
		sql(q{update saas.connection_status set next_poll_at = now()});
		$_->query_until(qr/go/, "\\echo go\ncall saas.poll();\n") foreach @callers;
		my @askers = map { $acme->start_sql(
				q{select count(*) filter (where (e ->> 'ok')::boolean) from jsonb_array_elements(saas_api.refresh_connections(null, 60000)) e}) } 1 .. 2;
		wake();
		is($_->(), $count, 'who asks is told of every connection') foreach @askers;
		$_->query_safe('select 1') foreach @callers;
		$_->quit foreach @callers;
		ok(all_are("s.status = 'active' and s.last_polled_at > '$since'"), "$workers pollers, two callers and two sessions, $latency ms");
		$rounds++;
		is_deeply(seen(), [ { $rounds => $count }, 0, { current => $count } ], 'make one token request each');
	}

	# A poller that ends when its connections have new tokens, which it stored before it used them.
	expire_all();
	$upstream->control(POST => 'settings', { latency_ms => 0 });
	$upstream->control(POST => 'faults', { path => '/services/data', fault => 'held' });
	sql(q{update saas.connection_status set next_poll_at = now(), token_expires_at = now()});
	wake();
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($upstream->control(GET => 'faults')->[0]{hits} >= $count)
	{
		BAIL_OUT('the upstream is not asked') if time > $deadline;
		select undef, undef, undef, 0.02;
	}
	my $pid = sql('select pid from saas.poller_status() where pid is not null and worker = 1');
	kill 'KILL', $pid;
	ok($node->poll_query_until('postgres', qq{
			select count(*) = $workers and bool_and(pid <> $pid) from saas.poller_status() where pid is not null}),
		'kill -9 of a poller whose connections wait for an answer, each with a new token');
	$upstream->control(DELETE => 'faults');
	sql(q{update saas.connection_status set lease_until = now() - interval '1 s' where lease_id is not null});
	wake();
	ok(all_are("s.status = 'active' and s.next_poll_at > now()"), 'the others poll what it had');
	$rounds++;
	is_deeply(seen(), [ { $rounds => $count }, 0, { current => $count } ], 'with the tokens that it had stored');
}

unlike($node->log_since(0), qr/PANIC|TRAP|exited with exit code [02-9]/, 'nothing crashed but what was killed');
done_testing();
