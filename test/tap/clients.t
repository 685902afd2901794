# Where requests come from: named proxies, forged headers, and what is counted
# by the client's address.
use strict;
use warnings;

use JSON::PP ();
use SaasCluster;
use SaasGateway;
use SaasTenant;
use Test::More;

my $json = JSON::PP->new->canonical;
my $node = SaasCluster->create('main',
	settings => { 'saas.bcrypt_cost' => 10, 'saas.trusted_proxies' => 'local, 10.0.0.0/8, fd00::/8' });
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');
my $tenant = SaasTenant->create($node, 'postgres', 'Acme');
$node->safe_psql('postgres', "select saas_api.sign_in('" . $tenant->email . "', '" . $tenant->password . "')");

sub sql { return $node->safe_psql('postgres', @_); }

# The value of an expression in a request with those headers.
sub in_request
{
	my ($headers, $expression) = @_;
	my $text = ref $headers ? $json->encode($headers) : $headers;
	return (split /\n/, sql("begin; set local request.headers = \$h\$$text\$h\$; select $expression; commit"))[-1] // '';
}

#
# saas_private.client_address()
#
foreach my $case (
	[ { 'x-forwarded-for' => '192.0.2.1' },                          '192.0.2.1',   '192.0.2.1', 'the client of a named proxy' ],
	[ { 'x-forwarded-for' => '203.0.113.66, 192.0.2.1, 10.1.2.3' },  '192.0.2.1',   '192.0.2.1', 'behind a chain of them' ],
	[ { 'x-forwarded-for' => '::ffff:192.0.2.1' },                   '192.0.2.1',   '192.0.2.1', 'mapped into IPv6' ],
	[ { 'x-forwarded-for' => '[2001:db8:1:2:3::7]:443, fd00::1' }, '2001:db8:1:2:3::7', '2001:db8:1:2::/64', 'an IPv6 one, which counts by its network' ],
	[ { 'x-forwarded-for' => '192.0.2.1, 127.0.0.1' },             '127.0.0.1', '',      'a proxy that nobody has named' ],
	[ { 'x-forwarded-for' => 'nonsense' },                         '',          'local', 'no address' ],
	[ { 'x-forwarded-for' => '10.0.0.9, nonsense, 10.0.0.7' },     '10.0.0.7',  '10.0.0.7', 'none behind the last good one' ],
	[ { 'x-forwarded-for' => 7 },                                  '',          'local', 'a number' ],
	[ { 'x-real-ip' => '192.0.2.1', 'forwarded' => 'for=192.0.2.1' }, '',       'local', 'other headers' ],
	[ {},                                                          '',          'local', 'nothing forwarded' ],
	[ '{"x-forwarded-for": "192.0.2.1"',                           '',          'local', 'headers that cannot be read' ])
{
	my ($headers, $address, $subject, $name) = @$case;
	is(in_request($headers, 'host(saas_private.client_address())'), $address, "address: $name");
	is(in_request($headers, 'saas_private.client_subject()'),       $subject, "counted as: $name");
}
is(in_request({ 'x-forwarded-for' => ('203.0.113.66,' x 5000) . ' 192.0.2.1', 'x-other' => '"' x 50000 }, 'saas_private.client_address()'),
	'192.0.2.1', 'long headers are read all the same');
is(sql('select saas_private.client_address()'), '', 'outside a request there is none');

#
# Who uses it
#
my $gateway = SaasGateway->start($node, 'postgres');
my %good    = (email => $tenant->email, password => $tenant->password);

sub from { return { 'x-forwarded-for' => $_[0], @_[ 1 .. $#_ ] }; }

my $answer = $gateway->call(POST => '/rpc/sign_in', \%good, from('203.0.113.66, 192.0.2.7'));
is($answer->{status}, 200, 'somebody signs in behind a proxy');
my $token = $answer->{json}{access_token};
is(sql('select host(ip) from saas_private.session order by created_at desc limit 1'), '192.0.2.7', 'the session knows the address');
$gateway->call(POST => '/rpc/sign_in', { %good, password => 'wrong' }, from('192.0.2.8'));
ok($node->poll_query_until('postgres', q{select count(*) = 1 from saas.sign_ins() s where s::text ~ 'invalid_credentials' and s::text ~ '192\.0\.2\.8'}),
	'the log of sign-ins does');

# Of other accounts each time: only the client is the same.
sub guess
{
	my ($number, $address) = @_;
	return $gateway->call(POST => '/rpc/sign_in', { email => "nobody$number\@example.com", password => 'wrong' }, from($address));
}
# Ten beyond the free ones: the wait is minutes.
sql(q{select count(saas_private.take_attempt('sign_in_client', '192.0.2.9', 60, '1 hour', '1 hour', '1 hour')) from generate_series(1, 60)});
$answer = guess(1, '192.0.2.9');
is($answer->{status}, 429, 'a client that guesses on is slowed down');
is($answer->{json}{message}, 'Too many attempts', 'and told so');
is($json->decode($answer->{json}{details})->{retry_after}, $answer->{headers}{'retry-after'}, 'Retry-After says for how long');
is(guess(2, '203.0.113.66, 192.0.2.9')->{status}, 429, 'whatever it forwards itself');
is(guess(3, '192.0.2.10')->{status}, 401, 'others are not');

#
# Without a named proxy nobody's word counts.
#
$node->append_conf('postgresql.conf', "saas.trusted_proxies = ''");
$node->restart;
is(in_request({ 'x-forwarded-for' => '192.0.2.1' }, 'saas_private.client_address()'), '', 'a forged header is ignored');
is(in_request({ 'x-forwarded-for' => '192.0.2.1' }, 'saas_private.client_subject()'), '', 'and nobody counted');

foreach my $bad ('nonsense', '10.0.0.1/8', 'local,')
{
	my ($status, $out, $err) = $node->psql('postgres', "alter system set saas.trusted_proxies = '$bad'");
	like($err, qr/invalid value for parameter "saas.trusted_proxies".*\nDETAIL:  .*\nHINT:  Give addresses/, "\"$bad\" names no proxies");
}
my ($status, $out, $err) = $node->psql('postgres', "set role saas_user; show saas.trusted_proxies");
like($err, qr/permission denied|must be superuser|pg_read_all_settings/, 'not everybody sees them');

$gateway->stop;
$node->stop;
done_testing();
