# oidc-provider from npm as Salesforce's sign-in: refresh tokens that are good
# once are never shown twice, whoever polls and whatever dies, and its JOSE
# library accepts our assertions.
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;
use Time::HiRes qw(time);

my $json = JSON::PP->new->canonical->utf8->allow_nonref;
my $dir  = PostgreSQL::Test::Utils::tempdir();
my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.poller_request_timeout' => '30s',
		'synchronous_commit'          => 'off',
		'wal_writer_delay'            => '10s' });
$node->start;
$node->install('postgres');
my $acme = SaasTenant->create($node, 'postgres', 'Acme');

system_log('openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', "$dir/key$_.pem")
  foreach 1, 2;
system_log('openssl', 'pkey', '-in', "$dir/key1.pem", '-pubout', '-out', "$dir/public.pem");

my $state = "$dir/oidc";
my $log   = "$PostgreSQL::Test::Utils::log_path/oidc.log";
# An import finds packages above the file only, and not by NODE_PATH.
my ($packages) = grep { -d "$_/oidc-provider" } split /:/, $ENV{NODE_PATH} || '';
die 'oidc-provider is not installed' unless defined $packages;
PostgreSQL::Test::RecursiveCopy::copypath('test/peers/oidc', "$dir/peer");
symlink $packages, "$dir/node_modules" or die "node_modules: $!";
my $pid = fork;
die "fork: $!" unless defined $pid;
if (!$pid)
{
	open STDIN,  '<',  '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>&', \*STDOUT;
	{
		exec 'node', "$dir/peer/server.mjs", $state, "$dir/public.pem";
	}
	POSIX::_exit(127);
}
END
{
	my $status = $?;
	if ($pid)
	{
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	$? = $status;
}
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until (-e $state)
{
	die "oidc-provider did not start:\n" . slurp_file($log)
	  if waitpid($pid, POSIX::WNOHANG()) == $pid || time > $deadline;
	select undef, undef, undef, 0.05;
}
my $url = 'http://localhost:' . slurp_file($state);

sub ask
{
	my ($method, $path, %request) = @_;
	my $answer = HTTP::Tiny->new(proxy => undef, timeout => 60)->request($method, $url . $path, \%request);
	return $json->decode($answer->{content});
}

sub seen { return ask(GET => '/_seen'); }

sub sql { return $node->safe_psql('postgres', @_); }

sub config
{
	my (%more) = @_;
	return { org_id => '00D5e000001N20Q', instance_url => $url, login_url => $url, %more };
}

# Polls it as if it were due, and returns its status.
sub poll
{
	my ($id) = @_;
	my $last = $acme->status($id)->{last_polled_at};
	$acme->make_due($id);
	$acme->wait_for($id, "last_polled_at > '$last' and lease_id is null") or BAIL_OUT('the connection is not polled');
	return $acme->status($id)->{status};
}

sub kill_poller
{
	my ($poller) = sql('select pid from saas.poller_status()');
	kill 'KILL', $poller;
	$node->poll_query_until('postgres', "select coalesce(bool_or(pid <> $poller), false) from saas.poller_status()")
	  or BAIL_OUT('the poller does not come back');
	sql('update saas.connection_status set lease_until = now() where lease_id is not null;'
		  . ' do $$ begin perform saas_private.wake_poller(); end $$');
	return;
}

#
# Rotation
#
my $grant  = ask(GET => '/_authorize');
my @client = (client_id => 'consumer-key', client_secret => 'consumer-secret');
my $id     = $acme->connect('salesforce', 'rotating', config(), { @client, %$grant }, '1 hour');
ok($acme->wait_for($id, "status = 'active'"), 'a first poll uses the access token of the sign-in');
is(seen()->{refreshes}, 0, 'and asks for none');
sql("update saas.connection_status set token_expires_at = now() where connection_id = '$id'");
is(poll($id), 'active', 'a token that is about to expire is renewed');
is( sql("select token_expires_at - last_polled_at between interval '1 minute' and interval '3 minutes'"
		  . " from saas.connection_status where connection_id = '$id'"),
	't', 'and expires when the provider says');

my $rounds = 25;
my $active = grep { poll($id) eq 'active' } 1 .. $rounds;
is($active, $rounds, "$rounds polls, each with a token about to expire, go well");
is_deeply([ @{ seen() }{qw(refreshes refused revoked unauthorized)} ], [ $rounds + 1, [], 0, 0 ],
	'each with one refresh, and no token is shown twice');

foreach my $round (1 .. 8)
{
	my $since = sql('select now()');
	sql("update saas.connection_status set next_poll_at = now() where connection_id = '$id'");
	my @callers = map { $node->background_psql('postgres') } 1 .. 3;
	$_->query_until(qr/go/, "\\echo go\ncall saas.poll();\n") foreach @callers;
	sql('do $$ begin perform saas_private.wake_poller(); end $$');
	my @askers = map { $acme->start_sql("select saas_api.refresh_connections(null, 60000)") } 1 .. 2;
	$_->() foreach @askers;
	$_->query_safe('select 1') foreach @callers;
	$_->quit foreach @callers;
	$acme->wait_for($id, "last_polled_at > '$since' and lease_id is null") or BAIL_OUT('the connection is not polled');
}
is($acme->status($id)->{status}, 'active', 'where sessions, callers and the poller meet it goes well too');
is_deeply([ @{ seen() }{qw(refused revoked unauthorized)} ], [ [], 0, 0 ], 'and no token is shown twice');

foreach my $round (1 .. 3)
{
	ask(POST => '/_hang');
	my $before = seen();
	$acme->make_due($id);
	my $limit = time + $PostgreSQL::Test::Utils::timeout_default;
	until (seen()->{limits} > $before->{limits})
	{
		BAIL_OUT('the limits are not asked for') if time > $limit;
		select undef, undef, undef, 0.02;
	}
	is(seen()->{refreshes}, $before->{refreshes} + 1, "kill -9, $round: a token is new and not used up yet");
	# Who has asked already gets no answer; the successor gets one, however early it asks.
	ask(GET => '/_hang');
	kill_poller();
	$acme->wait_for($id, 'lease_id is null and next_poll_at > now()') or BAIL_OUT('the successor does not poll');
	is($acme->status($id)->{status}, 'active', 'the successor goes on');
	kill_poller();
	is(poll($id), 'active', 'as does the successor of one that died at rest');
}
is_deeply([ @{ seen() }{qw(refused revoked unauthorized)} ], [ [], 0, 0 ], 'and no token was shown twice');

# That the provider would have noticed.
my $form = join '&', map { "$_->[0]=$_->[1]" }[ grant_type => 'refresh_token' ],
  [ client_id => $client[1] ], [ client_secret => $client[3] ], [ refresh_token => $grant->{refresh_token} ];
is( ask(POST => '/services/oauth2/token', content => $form,
		headers => { 'content-type' => 'application/x-www-form-urlencoded' })->{error},
	'invalid_grant', 'somebody else shows an old one');
is_deeply([ @{ seen() }{qw(refused revoked)} ], [ ['refresh token already used'], 1 ], 'which ends the grant');
is(poll($id), 'reauth_required', 'so that the owner has to sign in again');
is($acme->status($id)->{last_error}, 'Access token expired. Please re-authenticate this connection.', 'and hears so');

#
# Assertions
#
my $signs = $acme->connect('salesforce', 'signs',
	config(org_id => '00D5e000001N20R', auth => 'jwt_bearer', username => 'poller@example.com'),
	{ client_id => 'signing-key', private_key => slurp_file("$dir/key1.pem") }, '1 hour');
ok($acme->wait_for($signs, "status = 'active'"), 'the provider\'s library accepts our assertion');
is(poll($signs), 'active', 'and the next');
is(seen()->{assertions}, 2, 'two in all');
my $other = $json->encode({ client_id => 'signing-key', private_key => slurp_file("$dir/key2.pem") });
$acme->sql("select 1 from saas_api.set_connection_secrets('$signs', \$json\$$other\$json\$)");
ok($acme->wait_for($signs, "status = 'reauth_required'"), 'but none that another key has signed');
is(seen()->{refused}[-1], 'signature verification failed', 'because of its signature');
done_testing();
