# Connections from the outside: how many may wait for the poller, the two clients
# of docs/connections.md word for word, and what a server that allows plain text
# changes for secrets.
use strict;
use warnings;

use IPC::Run ();
use JSON::PP qw(decode_json encode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasGateway;
use SaasTenant;
use SaasUpstream;
use Test::More;
use Time::HiRes qw(time);

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http' => 'on',
		'saas.refresh_cooldown' => '0',
		'saas.poller_request_timeout' => '1min' });
$node->start;
$node->install('postgres');
my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');
my $beta     = SaasTenant->create($node, 'postgres', 'Beta');

sub page
{
	my ($tenant, $name) = @_;
	my $id = $tenant->connect('prometheus', $name, { url => $upstream->url . "/metrics?instance=$name" }, {}, '1 day');
	$tenant->wait_for($id, "status <> 'pending'") or BAIL_OUT('the first poll does not come');
	return $id;
}

sub wait_for_askers
{
	my ($count) = @_;
	return $node->poll_query_until('postgres', qq{
		select count(*) = $count from pg_stat_activity
		 where wait_event_type = 'Extension' and backend_type = 'client backend'});
}

# Eight of an organization wait, whatever its upstream does; a ninth is told so,
# and nobody else.
my @mine  = map { page($acme, "page$_") } 1, 2;
my $their = page($beta, 'page3');
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'stall' });
my @waiting = map { $acme->start_sql("select saas_api.refresh_connections(array['$mine[0]']::uuid[], 60000)") } 1 .. 8;
ok(wait_for_askers(8), 'eight sessions of an organization wait');
like($acme->error_of('select saas_api.refresh_connections()'), qr/PT429.*too many refreshes wait/, 'a ninth is refused');
like($acme->error_of("select saas_api.test_connection('$mine[1]')"), qr/PT429.*too many refreshes wait/, 'with a test too');
$upstream->control(DELETE => 'faults');
is($beta->refresh($their)->[0]{ok}, JSON::PP::true, 'another organization is served meanwhile');
is($node->safe_psql('postgres', q{select count(pg_cancel_backend(pid)) from pg_stat_activity
	where wait_event_type = 'Extension' and backend_type = 'client backend'}) + 0, scalar(@waiting), 'all of them are cancelled');
like($_->(), qr/canceling statement due to user request/, 'one hears of it') foreach @waiting;
is($acme->refresh($mine[1])->[0]{ok}, JSON::PP::true, 'which makes room again');

# A server that is no longer verified is another destination.
my $id = $acme->connect('postgresql', 'db', { host => 'localhost', port => 1, dbname => 'd', user => 'u' }, { password => 'p' }, '1 day');
like($acme->error_of("select saas_api.update_connection('$id', '{\"config\": {\"sslmode\": \"$_\"}}')"),
	qr/22023.*secrets.password.*is required/s, "sslmode $_ needs the password again") foreach qw(disable verify-ca);
is($acme->sql("select saas_api.update_connection('$id', '{\"config\": {\"sslmode\": \"disable\"}, \"secrets\": {\"password\": \"q\"}}') -> 'config' ->> 'sslmode'"),
	'disable', 'which may come along');
is($acme->sql("select saas_api.update_connection('$id', '{\"config\": {\"sslmode\": \"verify-full\"}}') -> 'config' ->> 'sslmode'"),
	'verify-full', 'verifying it again takes no password');

# The clients of the documentation.
my $manual  = slurp_file('docs/connections.md');
my @clients = $manual =~ /```sh\n(.*?)```/gs;
is(scalar(@clients), 2, 'the documentation has two clients');
my $dir = PostgreSQL::Test::Utils::tempdir();
SaasGateway->prepare($node, 'postgres');
$node->safe_psql('postgres', "select saas_api.sign_in('" . $acme->email . "', '" . $acme->password . "') is not null");
my $gateway = SaasGateway->start($node, 'postgres');

sub token_for
{
	my ($name) = @_;
	return $acme->sql("select saas_api.create_connection_token('prometheus', '$name', environment => 'production') ->> 'token'");
}

sub write_file
{
	my ($name, $text) = @_;
	append_to_file("$dir/$name", $text);
	return "$dir/$name";
}

my $script = write_file('connect-account', $clients[0]);
my $token  = token_for('Node');
my $wanted = encode_json({ alias => 'Node 1', config => { url => 'https://node1.example.com/metrics' } });

sub connect_account
{
	my ($input) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'sh', $script, 'http://127.0.0.1:' . $gateway->port ], '<', \$input, '>', \$out, '2>', \$err);
	return ($ok, $out, $err);
}
my ($ok, $out, $err) = connect_account("$token\n$wanted\n");
ok($ok, "the script connects an account: $err");
is(eval { decode_json($out)->{message} }, 'Connected.', 'and prints the answer');
($ok, $out, $err) = connect_account("$token\n$wanted\n");
ok(!$ok, 'with a token that is used up it fails');
like($out, qr/invalid or expired token/, 'and says why');
unlike("$out$err", qr/\Q$token\E/, 'without the token');

write_file('token', token_for('Node') . "\n");
my $service = write_file('service.conf', "[saas]\nhost=" . $node->host . "\nport=" . $node->port . "\ndbname=postgres\nuser=authenticator\n");
(my $psql = $clients[1]) =~ s{//node1\.}{//node2.};
{
	local $ENV{PGSERVICEFILE} = $service;
	local $ENV{PATH}          = $node->config_data('--bindir') . ":$ENV{PATH}";
	($out, $err) = ('', '');
	$ok = IPC::Run::run([ 'sh', '-c', "cd '$dir' && $psql" ], '>', \$out, '2>', \$err);
}
ok($ok, "so does psql: $err");
like($out, qr/Connected\./, 'and prints the answer');
is($acme->sql("select string_agg(config ->> 'url', ' ' order by config ->> 'url') from saas_api.connections where environment = 'production'"),
	'https://node1.example.com/metrics https://node2.example.com/metrics', 'both accounts are connected');

done_testing();
