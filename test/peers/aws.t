# moto from PyPI as AWS, with signatures and policies checked: roles that
# refuse, roles that are open, sessions that are kept, metrics of two regions.
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasTenant;
use Test::More;

my $json = JSON::PP->new->canonical->utf8;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $url  = "http://127.0.0.1:$port";
my $log  = "$PostgreSQL::Test::Utils::log_path/moto.log";
my $pid  = fork;
die "fork: $!" unless defined $pid;
if (!$pid)
{
	open STDIN,  '<',  '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>&', \*STDOUT;
	{
		exec '/usr/bin/python3', 'test/peers/aws/server', '127.0.0.1', $port;
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
until (HTTP::Tiny->new(timeout => 5)->get("$url/moto-api/")->{status} == 200)
{
	die "moto did not start:\n" . PostgreSQL::Test::Utils::slurp_file($log)
	  if waitpid($pid, POSIX::WNOHANG()) == $pid || time > $deadline;
	select undef, undef, undef, 0.1;
}

# Does something at moto without asking who may; then it asks again.
sub arrange
{
	my (@arguments) = @_;
	my $out = '';
	foreach my $step ([ 'check', 'off' ], \@arguments, [ 'check', 'on' ])
	{
		open my $pipe, '-|', '/usr/bin/python3', 'test/peers/aws/account', $url, @$step
		  or die "test/peers/aws/account: $!";
		local $/ = undef;
		$out .= <$pipe> // '';
		close $pipe or die "test/peers/aws/account @$step failed";
	}
	return $out;
}

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'  => '127.0.0.0/8',
		'saas.allow_plain_http'  => 'on',
		'saas.aws_endpoints'     => $url,
		'saas.aws_accounts'      => '999999999999',
		'saas.refresh_cooldown'  => '0',
		'saas.poller_request_timeout' => '20s',
		'saas.bcrypt_cost'       => 10 });
$node->start;
$node->install('postgres');
my $acme    = SaasTenant->create($node, 'postgres', 'Acme');
my $account = '123456789012';

sub sql { return $node->safe_psql('postgres', @_); }

my ($key, $secret) = split ' ', arrange('user', 'poller');
my %keys = (access_key_id => $key, secret_access_key => $secret);

# The config of a connection to a role, over what is given.
sub config
{
	my ($role, %more) = @_;
	return { account_id => $account, role_arn => "arn:aws:iam::$account:role/$role", regions => [ 'eu-west-1', 'us-east-1' ],
		sts_endpoint => $url, cloudwatch_endpoint => $url, %more };
}

sub test_of { return $json->decode($acme->sql("select saas_api.test_connection('$_[0]', 30000)")); }

sub readings { return sql("select count(*) from saas.reading where connection_id = '$_[0]'"); }

sub requests { my $count = () = PostgreSQL::Test::Utils::slurp_file($log) =~ /"POST \/ HTTP/g; return $count; }

# One connection for all, since an account can be connected once; it is no
# poll of the schedule's that changes it meanwhile.
my $id = $acme->connect('aws', 'Mail', config('reader'), \%keys, '1 day');
my $policies = $json->decode($acme->sql("select saas_api.aws_role_policies('$id')"));
is($policies->{external_id}, "pg-saas-$id", 'the external id is made from the connection');
my $permission = $json->encode($policies->{permission_policy});

# What the role's owner pastes, with the account of the connection's own keys.
my $trust = $json->encode($policies->{trust_policy});
like($trust, qr/arn:aws:iam::999999999999:root/, 'the trust policy names the operator');
$trust =~ s/999999999999:root/$account:user\/poller/;

sub set_role
{
	my ($role) = @_;
	$acme->sql("select saas_api.update_connection('$id', \$json\$"
		  . $json->encode({ config => { role_arn => "arn:aws:iam::$account:role/$role" } }) . '$json$)');
	return;
}

arrange('role', 'closed', $json->encode({ Version => '2012-10-17', Statement => [] }), $permission);
set_role('closed');
my $answer = test_of($id);
ok(!$answer->{ok}, 'a role that trusts nobody');
like($answer->{error}, qr/trust policy must name this service and the external id pg-saas-\Q$id\E/, 'its owner reads what to do');
is($answer->{details}{external_id_required}, undef, 'it is not said to require the external id');

my $open = $json->encode({ Version => '2012-10-17', Statement => [
			{ Effect => 'Allow', Action => 'sts:AssumeRole', Principal => { AWS => "arn:aws:iam::$account:user/poller" } } ] });
arrange('role', 'open', $open, $permission);
set_role('open');
$answer = test_of($id);
like($answer->{error}, qr/can be assumed without an external id/, 'a role that asks for no external id is refused');
ok(!$answer->{details}{external_id_required}, 'and the details say so');
$acme->refresh($id);
is($acme->status($id)->{status}, 'reauth_required', 'nor is it polled');
is(readings($id), 0, 'nothing was read');

arrange('role', 'blind', $trust);
set_role('blind');
$answer = test_of($id);
like($answer->{error}, qr/may not read metrics in eu-west-1 \(AccessDenied\).*cloudwatch:GetMetricData/,
	'a role without the permission policy');

# Metrics in both regions: the newest complete window, some hours ago and yesterday.
my $time      = int((time - 600) / 300) * 300;
my $before    = $time - 3 * 3600;
my $yesterday = $time - 30 * 3600;
arrange('put', 'eu-west-1', 'AWS/SES', 'Send', "$time=412", "$before=7", "$yesterday=3");
arrange('put', 'us-east-1', 'AWS/SES', 'Bounce', "$time=9");
arrange('role', 'reader', $trust, $permission);
set_role('reader');
$answer = test_of($id);
ok($answer->{ok}, 'a role with the policies as they were given') or diag($answer->{error});
ok($answer->{details}{external_id_required}, 'which requires the external id');

my $refreshed = $acme->refresh($id)->[0];
ok($refreshed->{ok}, 'it is polled') or diag($refreshed->{error});
is(sql("select string_agg(format('%s %s %s %s', metric, labels ->> 'region', extract(epoch from at)::bigint, value), E'\\n' order by at, metric)
          from saas.sample where connection_id = '$id' and extract(epoch from at) >= $before and value is not null"),
	"aws_ses_send_sum eu-west-1 $before 7\naws_ses_bounce_sum us-east-1 $time 9\naws_ses_send_sum eu-west-1 $time 412",
	'and the values are there, with their times and regions');
like(sql("select string_agg(name, ' ' order by name) from saas_private.connection_secret where connection_id = '$id'"),
	qr/progress.*session_access_key_id session_secret_access_key session_token/, 'the session is kept, sealed');
like($acme->status($id)->{token_expires_at}, qr/^20/, 'with its end');

# A late value: the last windows are read again, and the past is filled in by the second poll.
arrange('put', 'eu-west-1', 'AWS/SES', 'Send', "$time=8");
my $requests = requests();
$refreshed = $acme->refresh($id)->[0];
ok($refreshed->{ok}, 'again') or diag($refreshed->{error});
is(requests() - $requests, 4, 'with the same session: two regions, what is new and a piece of the past');
is(sql("select value from saas.sample where connection_id = '$id' and metric = 'aws_ses_send_sum' and extract(epoch from at) = $time"),
	420, 'late data replace what was there');
is(sql("select value from saas.sample where connection_id = '$id' and metric = 'aws_ses_send_sum' and extract(epoch from at) = $yesterday"),
	3, 'the past is filled in');

$acme->sql("select saas_api.set_connection_secrets('$id', \$json\$" . $json->encode({ %keys, secret_access_key => "${secret}x" }) . '$json$)');
$answer = test_of($id);
like($answer->{error}, qr/\(SignatureDoesNotMatch\): the secret access key is wrong/, 'moto checks signatures: a wrong key');
$acme->sql("select saas_api.set_connection_secrets('$id', \$json\$" . $json->encode({ %keys, access_key_id => 'AKIANOBODY' }) . '$json$)');
like(test_of($id)->{error}, qr/does not know the access key \(InvalidClientTokenId\)/, 'an unknown one');

like($acme->error_of('select ' . $acme->connect_call('aws', 'Elsewhere',
			config('reader', account_id => '210987654321', role_arn => 'arn:aws:iam::210987654321:role/r', sts_endpoint => 'http://127.0.0.1:1'), \%keys)),
	qr/is not an endpoint that the operator allows/, 'another endpoint is refused');
like($acme->error_of('select ' . $acme->connect_call('aws', 'Keyless',
			config('reader', account_id => '210987654321', role_arn => 'arn:aws:iam::210987654321:role/r'), {})),
	qr/secrets\.access_key_id.*is required with an endpoint of one/, 'an own endpoint without own keys, too');

# The same signer from SQL.
sub caller_identity
{
	my ($secret_key) = @_;
	my $body    = 'Action=GetCallerIdentity&Version=2011-06-15';
	my $type    = 'application/x-www-form-urlencoded';
	my $headers = $json->decode(sql("select saas.aws_sigv4('POST', '$url/', '{\"Content-Type\": \"$type\"}', '$body',
		'" . $json->encode({ %keys, secret_access_key => $secret_key }) . "', 'us-east-1', 'sts')"));
	delete $headers->{Host};
	return HTTP::Tiny->new->post("$url/", { headers => { %$headers, 'Content-Type' => $type }, content => $body });
}
like(caller_identity($secret)->{content}, qr/user\/poller/, 'saas.aws_sigv4 signs');
is(caller_identity("${secret}x")->{status}, 403, 'and moto would have refused a wrong signature');

$node->stop;
done_testing();
