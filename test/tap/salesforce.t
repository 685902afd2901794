# Salesforce connections whose tokens end at the wrong moment: one request for
# a new one whoever asks, new tokens that survive what follows, signed
# assertions, the daily limit.
use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;
use Time::HiRes qw(time);

# Nothing but what must be is flushed at a commit.
my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http' => 'on',
		'saas.refresh_cooldown' => '0',
		'synchronous_commit'    => 'off',
		'wal_writer_delay'      => '10s' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');
my $true     = JSON::PP::true;
my $json     = JSON::PP->new->canonical;

sub sql { return $node->safe_psql('postgres', @_); }

sub new_org { return $upstream->control(POST => 'orgs', {@_}); }

sub stats_of { return $upstream->control(GET => "orgs/$_[0]{org_id}/stats"); }

sub expire { return $upstream->control(POST => "orgs/$_[0]{org_id}/expire"); }

sub fault { return $upstream->control(POST => 'faults', {@_}); }

sub no_fault { return $upstream->control(DELETE => 'faults'); }

sub wait_for_hits
{
	my ($hits) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($upstream->control(GET => 'faults')->[0]{hits} >= $hits)
	{
		BAIL_OUT('the upstream is not asked') if time > $deadline;
		select undef, undef, undef, 0.02;
	}
	return;
}

# Polls it as if it were due and waits until that is stored.
sub poll
{
	my ($id) = @_;
	my $last = $acme->status($id)->{last_polled_at};
	$acme->make_due($id);
	$acme->wait_for($id, (defined $last ? "last_polled_at > '$last'" : 'last_polled_at is not null') . ' and lease_id is null')
	  or BAIL_OUT('the connection is not polled');
	return $acme->status($id);
}

sub pem
{
	my ($file, @options) = @_;
	my ($out, $err) = run_command([ 'openssl', @options, $file ]);
	return "$out\n";
}

#
# Signed assertions
#
my $dir = PostgreSQL::Test::Utils::tempdir();
system_log('openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$dir/key$_.pem")
  foreach 1, 2;
my $signing = new_org(public_key => pem("$dir/key1.pem", qw(pkey -pubout -in)), client_id => 'consumer & key');

sub jwt_secrets { return { client_id => $signing->{client_id}, private_key => slurp_file("$dir/key$_[0].pem") }; }

my $signs = $acme->connect('salesforce', 'signs', {
		org_id       => $signing->{org_id},
		instance_url => $signing->{instance_url},
		login_url    => $signing->{login_url},
		auth         => 'jwt_bearer',
		username     => $signing->{username} }, jwt_secrets(1), '1 hour');
ok($acme->wait_for($signs, "status = 'active' and token_expires_at > now() + interval '1 hour'"),
	'an assertion signed with the connection\'s key gets a token');
is(stats_of($signing)->{tokens_issued}, 1, 'one');
poll($signs);
is(stats_of($signing)->{token_requests}, 1, 'which the next poll uses');
expire($signing);
is(poll($signs)->{status}, 'active', 'until it is refused: then the next assertion gets another');
is(stats_of($signing)->{token_requests}, 2, 'with one request');
is( sql("select string_agg(name, ' ' order by name) from saas_private.connection_secret where connection_id = '$signs'"),
	'access_token client_id private_key', 'nothing but the access token is new');

sub give
{
	my ($secrets) = @_;
	my $text = $json->encode($secrets);
	$acme->sql("select 1 from saas_api.set_connection_secrets('$signs', \$json\$$text\$json\$)");
	return $acme->wait_for($signs, 'last_polled_at is not null and lease_id is null and status <> \'pending\'');
}

give(jwt_secrets(2));
my $status = $acme->status($signs);
is("$status->{status} $status->{next_poll_at}", 'reauth_required infinity', 'a key that the app does not know ends it');
is( $status->{last_error},
	'Salesforce refused the private key or the user name of this connection (invalid_grant)', 'and the owner hears why');
give(jwt_secrets(1));
is($acme->status($signs)->{status}, 'active', 'the right one heals it');
like($acme->error_of("select saas_api.set_connection_secrets('$signs', '{\"client_id\": \"c\", \"private_key\": \"x\"}')"),
	qr/22023.*secrets\.private_key.*is not an unencrypted RSA private key in PEM/s, 'what is no key is refused at once');

#
# The organization's own client
#
my $patch = $json->encode({ salesforce => { map { $_ => $signing->{$_} } qw(instance_url login_url client_id) } });
SKIP:
{
	my $error = $acme->error_of("select saas_api.update_organization(\$json\$$patch\$json\$)");
	skip "defaults cannot be set this way: $error", 1 if $error ne '';
	my $second = new_org(public_key => pem("$dir/key1.pem", qw(pkey -pubout -in)), client_id => $signing->{client_id});
	my $id = $acme->connect('salesforce', 'by default', {
			org_id => $second->{org_id}, auth => 'jwt_bearer', username => $second->{username} },
		{ private_key => slurp_file("$dir/key1.pem") }, '1 hour');
	ok($acme->wait_for($id, "status = 'active'"), 'a key alone is enough where the organization has a client id');
	$acme->sql('select saas_api.update_organization(\'{"salesforce": null}\')');
}

#
# One request for a new token
#
my $count = 50;
my @login = (client_id => 'one login', client_secret => 'of fifty');
my $orgs  = $upstream->control(POST => 'orgs', [ map { { @login, rotate_refresh_tokens => $true } } 1 .. $count ]);
$acme->sql(join ";\n", map { 'select 1 from ' . $acme->connect_call('salesforce', "org $_", $acme->salesforce_of($orgs->[ $_ - 1 ]), '1 hour') }
	  1 .. $count);
my @ids = split /\n/, sql("select id from saas.connection where name like 'org %'");

sub all_are
{
	my ($condition) = @_;
	return $node->poll_query_until('postgres', qq{
		select count(*) = $count from saas.connection c join saas.connection_status s on s.connection_id = c.id
		 where c.name like 'org %' and s.lease_id is null and $condition});
}

# [token requests, orgs with that many, reuses of a refresh token, states]
sub seen
{
	my %requests;
	my $reuses = 0;
	my %states;
	foreach my $org (@$orgs)
	{
		my $stats = stats_of($org);
		$requests{ $stats->{token_requests} }++;
		$states{ $stats->{refresh_token_state} }++;
		$reuses += $stats->{refresh_token_reuses};
	}
	return [ \%requests, $reuses, \%states ];
}

my $refresh_all = 'select count(*) filter (where (e ->> \'ok\')::boolean)'
  . " from jsonb_array_elements(saas_api.refresh_connections(null, 60000)) e where e ->> 'name' like 'org %'";

ok(all_are("s.status = 'active'"), "$count connections of one login are polled");
expire($_) foreach @$orgs;
fault(path => '/services/oauth2/token', fault => 'held');
$acme->make_due(@ids);
wait_for_hits($count);
my @askers = map { $acme->start_sql($refresh_all) } 1 .. 3;
ok( $node->poll_query_until('postgres', q{select count(*) = 3 from pg_stat_activity
		where wait_event_type = 'Extension' and backend_type = 'client backend'}),
	'three sessions ask for all of them while the poller waits for their tokens');
sql('call saas.poll()');
is($upstream->control(GET => 'faults')->[0]{hits}, $count, 'neither they nor a call of saas.poll() ask for a token again');
no_fault();
is($_->(), $count, 'each is told of every connection') foreach @askers;
ok(all_are("s.status = 'active'"), 'all go on');
is_deeply(seen(), [ { 1 => $count }, 0, { current => $count } ], 'each connection asked for one token');

# The same where all begin at once and nobody waits for anybody.
foreach my $round (2 .. 4)
{
	expire($_) foreach @$orgs;
	$upstream->control(POST => 'settings', { latency_ms => 5 });
	my $since = sql('select now()');
	sql("update saas.connection_status set next_poll_at = now() where connection_id in (select id from saas.connection where name like 'org %')");
	my @callers = map { $node->background_psql('postgres') } 1 .. 3;
	$_->query_until(qr/go/, "\\echo go\ncall saas.poll();\n") foreach @callers;
	sql('do $$ begin perform saas_private.wake_poller(); end $$');
	my $asker = $acme->start_sql($refresh_all);
	$asker->();
	$_->query_safe('select 1') foreach @callers;
	$_->quit foreach @callers;
	ok(all_are("s.last_polled_at > '$since' and s.status = 'active'"), "round $round: three callers, an owner and the poller");
	is_deeply(seen(), [ { $round => $count }, 0, { current => $count } ], 'ask for one token each');
}
$upstream->control(POST => 'settings', { latency_ms => 0 });

#
# What follows a rotation
#
my $rotating = new_org(rotate_refresh_tokens => $true);
my $id       = $acme->salesforce($rotating, 'rotating', poll_interval => '1 hour');
$acme->wait_for($id, "status = 'active'");
foreach my $fault ([ status => (code => 503) ], [ status => (code => 404) ], ['reset'], ['not-json'])
{
	my ($name, @options) = @$fault;
	expire($rotating);
	fault(path => '/services/data', fault => $name, skip => 1, @options, org => $rotating->{org_id});
	is(poll($id)->{status}, 'error', "the limits fail behind a new token: @$fault");
	no_fault();
	expire($rotating);
	is(poll($id)->{status}, 'active', 'the poll after that has the newest refresh token');
}
is(stats_of($rotating)->{refresh_token_reuses}, 0, 'and none was shown twice');

sub kill_poller
{
	my ($pid) = sql('select pid from saas.poller_status()');
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', "select coalesce(bool_or(pid <> $pid), false) from saas.poller_status()")
	  or BAIL_OUT('the poller does not come back');
	# Before the successor may take the connection over.
	no_fault();
	sql('update saas.connection_status set lease_until = now() where lease_id is not null;'
		  . ' do $$ begin perform saas_private.wake_poller(); end $$');
	return;
}

foreach my $round (1 .. 3)
{
	expire($rotating);
	fault(path => '/services/data', fault => 'stall', skip => 1, org => $rotating->{org_id});
	$acme->make_due($id);
	wait_for_hits(1);
	my $before = stats_of($rotating)->{token_requests};
	kill_poller();
	$acme->wait_for($id, 'lease_id is null and next_poll_at > now()') or BAIL_OUT('the successor does not poll');
	is($acme->status($id)->{status}, 'active', "kill -9, $round: between the new token and the limits");
	is(stats_of($rotating)->{token_requests}, $before, 'the new token is used: nothing that was stored is lost');
}
is(stats_of($rotating)->{refresh_token_reuses}, 0, 'and no refresh token was shown twice');

# An answer that never arrives is lost with the token that it names: no client can help that.
expire($rotating);
fault(path => '/services/oauth2/token', fault => 'slow-header', ms => 60000);
$acme->make_due($id);
wait_for_hits(1);
# Here nothing has been flushed yet: without this the crash takes along that it was due.
sql('checkpoint');
kill_poller();
$acme->wait_for($id, 'lease_id is null and next_poll_at > now()') or BAIL_OUT('the successor does not poll');
is($acme->status($id)->{status}, 'reauth_required', 'kill -9 before the answer: the owner must sign in again');
is($acme->status($id)->{last_error}, 'Access token expired. Please re-authenticate this connection.', 'and hears so');

#
# The daily limit
#
my $spent = new_org(limits => { DailyApiRequests => { Max => 1000, Remaining => 1 } });
my $budget = $acme->salesforce($spent, 'budget', poll_interval => '1 minute');
$acme->wait_for($budget, "status = 'active'");
$status = poll($budget);
is($status->{last_error}, 'the organization\'s daily API request limit is used up (REQUEST_LIMIT_EXCEEDED)',
	'the daily limit has a message of its own');
is( sql("select next_poll_at - last_polled_at between interval '59 minutes' and interval '2 hours'"
		  . " from saas.connection_status where connection_id = '$budget'"),
	't', 'and an hour\'s pause, which the next poll shows');
$acme->make_due($signs);
poll($signs);
is(stats_of($spent)->{limit_exceeded}, 1, 'nobody asks meanwhile');
$upstream->control(POST => "orgs/$spent->{org_id}/limits", { DailyApiRequests => { Remaining => 500 } });
is($acme->refresh($budget)->[0]{ok}, JSON::PP::true, 'but the owner may, and ends the pause');

unlike($node->log_since(0), qr/BEGIN (RSA )?PRIVATE KEY/, 'no private key is in the server\'s log');
done_testing();
