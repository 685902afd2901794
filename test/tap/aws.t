# AWS connections against a double of STS and CloudWatch: regions in parallel,
# one of them failing, throttling, a wrong clock, how far back, and the
# operator's own keys, which nobody sees.
use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $json    = JSON::PP->new->canonical;
my $dir     = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/resolver.so";
my $source  = dirname(__FILE__) . '/../lib/resolver.c';
PostgreSQL::Test::Utils::system_or_bail($ENV{CC} || 'cc', qw(-D_GNU_SOURCE -shared -fPIC -O1 -o), $library, $source, '-ldl');

# The double of Amazon's own endpoints, and one that the operator allows.
my $amazon   = SaasUpstream->start(certificate => 'amazon');
my $upstream = SaasUpstream->start;
my $url      = $upstream->url;
my @names    = map { "$_.eu-west-1.amazonaws.com" } qw(sts monitoring);
open my $hosts, '>', "$dir/hosts" or die "hosts: $!";
print $hosts "$_ 127.0.0.1\n" foreach @names;
close $hosts or die "hosts: $!";

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8',
		'saas.allow_plain_http'       => 'on',
		'saas.ca_file'                => SaasUpstream->certificates . '/ca.pem',
		'saas.aws_endpoints'          => $url,
		'saas.aws_accounts'           => '999999999999',
		'saas.refresh_cooldown'       => '0' });
{
	local $ENV{SAAS_TEST_HOSTS}      = "$dir/hosts";
	local $ENV{SAAS_TEST_HTTPS_PORT} = $amazon->port;
	local $ENV{LD_PRELOAD}           = $library;
	$node->start;
}
$node->install('postgres');
my $acme  = SaasTenant->create($node, 'postgres', 'Acme');
my $other = SaasTenant->create($node, 'postgres', 'Other');
my %keys  = (access_key_id => 'AKIATENANT', secret_access_key => 'tenant-secret-key');

sub sql { return $node->safe_psql('postgres', @_); }

sub set
{
	my (%settings) = @_;
	$node->safe_psql('postgres', join '', map { "alter system set $_ = '$settings{$_}';\n" } sort keys %settings);
	$node->reload;
	foreach my $name (keys %settings)
	{
		$node->poll_query_until('postgres', "select current_setting('$name') = '$settings{$name}'")
		  or die "the server does not take $name";
	}
	return;
}

sub use_workers
{
	my ($count) = @_;
	set('saas.poller_workers' => $count);
	$node->poll_query_until('postgres', "select count(*) = $count from saas.poller_status() where pid is not null")
	  or die "there are not $count pollers";
	return;
}

sub role { return "arn:aws:iam::$_[0]:role/reader"; }

# A connection that its own first poll has found untrusted, so that nothing polls it but the test.
sub add
{
	my ($tenant, $name, $config, $secrets) = @_;
	my $id = $tenant->connect('aws', $name, $config, $secrets, '1 day');
	ok($tenant->wait_for($id, "last_error is not null"), "$name: no role trusts it yet");
	return $id;
}

# One to the account by the double that the operator allows.
sub connect_to
{
	my ($tenant, $account, %more) = @_;
	my $is_trusted = delete $more{is_trusted} // 1;
	my $id = add($tenant, "Mail $account", { account_id => $account, role_arn => role($account),
			regions => [ 'eu-west-1', 'us-east-1' ], sts_endpoint => $url, cloudwatch_endpoint => $url, %more }, \%keys);
	trust($upstream, $account => "pg-saas-$id") if $is_trusted;
	return $id;
}

my %roles;

sub trust
{
	my ($double, $account, $external_id) = @_;
	$roles{$double}{ role($account) } = $external_id;
	$double->control(POST => 'aws', { keys => { AKIATENANT => 'tenant-secret-key', AKIAOPERATOR => 'operator-secret-key' },
			roles => $roles{$double} });
	return;
}

sub outcome
{
	my ($tenant, $id) = @_;
	my $answer = $tenant->refresh($id)->[0];
	return $answer->{ok} ? 'ok' : $answer->{error};
}

sub test_of { return $json->decode($_[0]->sql("select saas_api.test_connection('$_[1]', 60000)")); }

sub regions_of
{
	return sql("select string_agg(distinct labels ->> 'region', ' ' order by labels ->> 'region') from saas.sample where connection_id = '$_[0]' and value is not null");
}

sub health { return $_[0]->sql("select health || ': ' || coalesce(health_reason, '') from saas_api.connections where id = '$_[1]'"); }

sub asked { return $upstream->control(GET => 'aws')->{asked}{ $_[0] } // 0; }

#
# Regions overlap: each answer is held until the other region's request is there
#
my $id = connect_to($acme, '111111111111');
is(outcome($acme, $id), 'ok', 'two regions are polled');
is(regions_of($id), 'eu-west-1 us-east-1', 'with metrics of both');
$upstream->control(POST => 'faults', { path => '/', fault => 'held', together => 2 });
is(outcome($acme, $id), 'ok', 'both are asked before either has answered');
is(health($acme, $id), 'ok: ', 'and answer, as neither would alone');
$upstream->control(DELETE => 'faults');

$upstream->control(POST => 'settings', { latency_ms => 300 });
foreach my $limit ('saas.poller_max_per_org', 'saas.poller_max_in_flight')
{
	set($limit => 1);
	$upstream->control(DELETE => 'stats');
	is(outcome($acme, $id), 'ok', "with $limit of one");
	is($upstream->control(GET => 'stats')->{in_flight_peak}, 1, 'regions are asked in turn');
	is(health($acme, $id), 'ok: ', 'all of them');
	$node->safe_psql('postgres', "alter system reset $limit");
}
$node->reload;
$upstream->control(POST => 'settings', { latency_ms => 0 });

#
# One region fails
#
$upstream->control(POST => 'aws', { denied => ['us-east-1'], values => { 'eu-west-1' => 7 } });
is(outcome($acme, $id), 'ok', 'one region that fails does not fail the poll');
is(sql("select string_agg(distinct value::text, ' ') from saas.sample where connection_id = '$id' and labels ->> 'region' = 'eu-west-1'
           and at = (select max(at) from saas.sample where connection_id = '$id')"), '7', 'the other is read');
like(health($acme, $id), qr/^degraded: us-east-1 is missing: the role may not read metrics in us-east-1 \(AccessDeniedException\)/,
	'and the health names it');
my $answer = test_of($acme, $id);
ok($answer->{ok}, 'a test is good');
like($answer->{details}{partial}, qr/^us-east-1 is missing/, 'and tells, too');
$upstream->control(POST => 'faults', { path => '/', fault => 'stall', region => 'us-east-1' });
set('saas.poller_request_timeout' => '2s');
# The other has no more time, and a machine that stops for a while needs it.
my $outcome = '';
foreach my $attempt (1 .. 4)
{
	$outcome = outcome($acme, $id);
	last if $outcome eq 'ok';
}
is($outcome, 'ok', 'nor does one that does not answer');
like(health($acme, $id), qr/^degraded: us-east-1 is missing: \S+ timed out/, 'which is named');
set('saas.poller_request_timeout' => '1min');
$upstream->control(DELETE => 'faults');
$upstream->control(POST => 'aws', { denied => [ 'us-east-1', 'eu-west-1' ] });
like(outcome($acme, $id), qr/^eu-west-1: the role may not read metrics in eu-west-1/, 'where all fail the poll does');
$upstream->control(POST => 'aws', { denied => [] });
is(outcome($acme, $id), 'ok', 'and it recovers');
is(health($acme, $id), 'ok: ', 'in health, too');

#
# How far back: as long as the plan keeps samples
#
my $short = connect_to($other, '222222222222', regions => ['eu-west-1']);
sql("update saas.organization set plan = 'free' where id = '" . $other->org_id . "'");
$upstream->control(DELETE => 'aws');
is(outcome($other, $short), 'ok', 'a connection of a plan that keeps a day') foreach 1 .. 3;
my @windows = sort { $a->[1] <=> $b->[1] } @{ $upstream->control(GET => 'aws')->{windows} };
cmp_ok(time - $windows[0][1], '<', 86400 + 3600 + 1800 + 300, 'never asks for more than that');
$upstream->control(DELETE => 'aws');
is(outcome($other, $short), 'ok', 'once that is there');
is(scalar @{ $upstream->control(GET => 'aws')->{windows} }, 1, 'it asks for what is new only');
sql("update saas.organization set plan = 'enterprise' where id = '" . $other->org_id . "'");
is(outcome($other, $short), 'ok', 'on a longer plan');
@windows = sort { $a->[1] <=> $b->[1] } @{ $upstream->control(GET => 'aws')->{windows} };
cmp_ok(time - $windows[0][1], '>', 86400 + 12 * 3600, 'it goes on into the past');

#
# A wrong clock is corrected by AWS's
#
$upstream->control(POST => 'settings', { clock_ahead_s => 1000 });
my $clock = connect_to($acme, '333333333333');
is(outcome($acme, $clock), 'ok', 'a clock that is off is corrected');
my $behind = test_of($acme, $clock)->{details}{clock_behind_s};
cmp_ok(abs($behind - 1000), '<', 30, 'and a test says by how much');
$upstream->control(POST => 'settings', { clock_ahead_s => -1000 });
is(outcome($acme, $clock), 'ok', 'with a session that is there, too');
$upstream->control(POST => 'settings', { clock_ahead_s => 0 });
is(outcome($acme, $clock), 'ok', 'and with a right one again');

#
# An account and region has one rate, whoever asks: two organizations, two pollers
#
set('saas.aws_requests_per_second' => 1);
my @shared = map { connect_to($_, '444444444444', regions => ['eu-west-1'], is_trusted => 0) } $acme, $other;

# Which of two pollers polls it.
sub share_of { return sql("select (uuid_hash('$_[0]') & 2147483647) % 2"); }

while (share_of($shared[0]) == share_of($shared[1]))
{
	$other->sql("select saas_api.delete_connection('$shared[1]', 'Mail 444444444444')");
	$shared[1] = connect_to($other, '444444444444', regions => ['eu-west-1'], is_trusted => 0);
}
trust($upstream, '444444444444' => undef);
like(outcome($acme, $shared[0]), qr/can be assumed without an external id/, 'a role that asks for none is not used');
trust($upstream, '444444444444' => "pg-saas-$shared[0]");
like(outcome($other, $shared[1]), qr/trust policy must name this service and the external id pg-saas-\Q$shared[1]\E/,
	'nor is one that trusts another organization\'s connection');
is(readings($shared[1]), 0, 'and nothing is read with it');

sub readings { return sql("select count(*) from saas.reading where connection_id = '$_[0]'"); }

is(outcome($acme, $shared[0]), 'ok', 'the one that it trusts is polled');
trust($upstream, '444444444444' => "pg-saas-$shared[1]");
is(outcome($other, $shared[1]), 'ok', 'and, when it trusts the other, that');
use_workers(2);
$upstream->control(DELETE => 'aws');
my $before = sql('select now()');
$acme->make_due(@shared);
ok($acme->wait_for($_, "last_success_at > '$before' and consecutive_failures = 0"), 'what waits for its turn does not fail') foreach @shared;
my @times = map { $_->[1] } @{ $upstream->control(GET => 'aws')->{times} };
is(scalar @times, 4, 'each asks for what is new and a piece of the past');
cmp_ok($times[3] - $times[0], '>', 1.5, 'four requests, one a second, over both') or diag("@times");

# STS's are counted as well: without an external id, with a wrong one, and with the right one, of which one is good.
$upstream->control(DELETE => 'aws');
my @tests = map { $_->[0]->start_sql("select saas_api.test_connection('$_->[1]', 60000)") } [ $acme, $shared[0] ], [ $other, $shared[1] ];
my @told  = map { $_->() } @tests;
like($told[0], qr/trust policy must name this service/, 'a role that trusts another connection');
like($told[1], qr/"external_id_required": true/, 'and the one that it trusts are tested at the same time');
@times = sort { $a <=> $b } @{ $upstream->control(GET => 'aws')->{role_times} };
is(scalar @times, 6, 'each asks for the role three times');
cmp_ok($times[5] - $times[0], '>', 3.5, 'six requests, one a second, over both pollers') or diag("@times");
use_workers(1);

#
# Throttled: the poll waits without a place, others of the organization go on
#
set('saas.aws_requests_per_second' => 25, 'saas.poller_max_per_org' => 1);
my $exporter = $acme->connect('prometheus', 'Exporter', { url => "$url/metrics" }, {}, '1 day');
my $slow     = connect_to($acme, '555555555555', regions => ['eu-west-1']);
is(outcome($acme, $slow), 'ok', 'a connection');
$upstream->control(DELETE => 'aws');
$upstream->control(POST => 'faults', { path => '/', region => 'eu-west-1', fault => 'status', code => 400, retry_after => 15,
		body => '{"__type":"ThrottlingException"}', times => 1 });
my $end = $acme->start_sql("select saas_api.refresh_connections(array['$slow']::uuid[], 60000)");
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until ($upstream->control(GET => 'faults')->[0]{hits} > 0)
{
	die 'the double was not asked' if time > $deadline;
	select undef, undef, undef, 0.02;
}
is(outcome($acme, $exporter), 'ok', 'another connection of the organization is polled meanwhile');
is(asked('eu-west-1'), 0, 'before the throttled one is asked again');
like($end->(), qr/"ok": true/, 'which then is, and well');
is(asked('eu-west-1'), 2, 'the throttled request once more, and the rest');
$upstream->control(DELETE => 'faults');
$node->safe_psql('postgres', 'alter system reset saas.poller_max_per_org');
$node->reload;

#
# The operator's own keys
#
my $file = "$dir/aws-keys";

sub write_keys
{
	my ($mode, $secret) = @_;
	unlink $file;
	open my $out, '>', $file or die "$file: $!";
	print $out "access_key_id:AKIAOPERATOR\nsecret_access_key:$secret\n";
	close $out or die "$file: $!";
	chmod $mode, $file or die "$file: $!";
	return;
}

my $log   = $node->log_size;
my %lent   = (account_id => '666666666666', role_arn => role('666666666666'), regions => ['eu-west-1']);
my $borrow = add($acme, 'Operator', \%lent, {});
trust($amazon, '666666666666' => "pg-saas-$borrow");
is(outcome($acme, $borrow), 'the operator has configured no AWS credentials, and the connection has none', 'no keys at all');
write_keys(0644, 'operator-secret-key');
set('saas.aws_credentials_file' => $file);
my %wrong = (
	'a file that others may read' => [ sub { write_keys(0604, 'operator-secret-key') }, qr/others may read it/ ],
	'one that the group may read' => [ sub { write_keys(0640, 'operator-secret-key') }, qr/others may read it/ ],
	'one that holds something else' => [ sub { write_keys(0600, 'operator secret key') }, qr/does not hold one pair of keys/ ],
	'a link' => [ sub { write_keys(0600, 'operator-secret-key'); rename $file, "$file.real"; symlink "$file.real", $file }, qr/symbolic link/ ]);
foreach my $name (sort keys %wrong)
{
	my $from = $node->log_size;
	$wrong{$name}[0]->();
	is(outcome($acme, $borrow), 'the operator has configured no AWS credentials, and the connection has none',
		"$name: the tenant reads that there are none");
	like($node->log_since($from), qr/could not read the operator's AWS credentials: .*$wrong{$name}[1]/, 'the operator, why');
	unlink $file;
}
is($amazon->control(GET => 'aws')->{asked}{sts}, undef, 'nothing was asked for with them');

write_keys(0600, 'wrong-operator-key');
like(outcome($acme, $borrow), qr/^AWS refuses the signature \(SignatureDoesNotMatch\): the operator's secret access key is wrong$/,
	'a wrong key');
is($acme->status($borrow)->{status}, 'error', 'is not the tenant\'s to mend');
write_keys(0600, 'operator-secret-key');
is(outcome($acme, $borrow), 'ok', 'a connection without keys assumes the role with the operator\'s') or diag($amazon->log);
is_deeply($amazon->control(GET => 'aws')->{assumed_by}, { AKIAOPERATOR => 1 }, 'once');
is(sql("select string_agg(name, ' ' order by name) from saas_private.connection_secret where connection_id = '$borrow'"),
	'progress session_access_key_id session_secret_access_key session_token', 'they are not stored with the connection');
my $described = join "\n", $acme->sql('select to_jsonb(c)::text from saas_api.connections c'), $json->encode(test_of($acme, $borrow)),
  $acme->sql("select saas_api.aws_role_policies('$borrow')"), $acme->sql('select to_jsonb(a)::text from saas_api.audit_log a');
unlike($described, qr/AKIAOPERATOR|operator-secret|aws-keys|ASIA/, 'and nothing that the tenant can read shows them');
unlike($node->log_since($log), qr/operator-secret-key|operator secret key|tenant-secret-key/, 'nor does the log');

# The confused deputy: the account's role trusts Acme's connection.
my $thief = add($other, 'Theirs', \%lent, {});
$amazon->control(DELETE => 'aws');
like(outcome($other, $thief), qr/AWS refuses the role \(AccessDenied\)/, 'another organization cannot read that account with the operator\'s keys');
is_deeply($amazon->control(GET => 'aws')->{assumed_by}, {}, 'the role was not assumed for it');
is(readings($thief), 0, 'nor is a session of the other\'s used');
is(outcome($acme, $borrow), 'ok', 'the account\'s own connection');
is_deeply($amazon->control(GET => 'aws')->{assumed_by}, {}, 'has its session still');

# Deleted and made anew it has another external id.
$acme->sql("select saas_api.delete_connection('$borrow', 'Operator')");
my $anew = add($acme, 'Operator', \%lent, {});
like(outcome($acme, $anew), qr/external id pg-saas-\Q$anew\E/, 'a connection made anew needs its own external id in the policy');

#
# The operator's lists
#
my @call = ('aws', 'Own', { account_id => '999999999999', role_arn => role('999999999999'), regions => ['eu-west-1'] }, {});
like($acme->error_of('select ' . $acme->connect_call(@call)), qr/22023.*service's own/s, 'the operator\'s own account is refused');
set('saas.aws_accounts' => '999999999999,666666666666');
is(outcome($acme, $anew), 'the account is one of this service\'s own', 'one that has become it is polled no more');
set('saas.aws_accounts' => '999999999999');
like($acme->error_of('select ' . $acme->connect_call('aws', 'Keyless', { account_id => '777777777777', role_arn => role('777777777777'),
				regions => ['eu-west-1'], cloudwatch_endpoint => $url }, {})),
	qr/is required with an endpoint of one/, 'the operator\'s keys go to no other endpoint');
set('saas.aws_endpoints' => 'https://elsewhere.example');
$upstream->control(DELETE => 'aws');
is(outcome($acme, $id), "the operator does not allow the endpoint $url", 'an endpoint that is allowed no more');
is_deeply($upstream->control(GET => 'aws')->{asked}, {}, 'is not asked');

$node->stop;
done_testing();
