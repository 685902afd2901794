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
# Anonymous requests and tokens that do not hold are counted by address.
#
sub counted
{
	my ($answer) = @_;
	return join ' ', map { $_ // '-' } $answer->{status}, @{ $answer->{headers} }{qw(ratelimit-limit ratelimit-remaining)};
}
my $undoing = SaasGateway->start($node, 'postgres', '--trust', '--allow-rollback');
my $key = $tenant->sql(q{select saas_api.create_api_key('bot', array['view_dashboard'])});
my ($key_id, $api_key) = @{ $json->decode($key) }{qw(id key)};

# The gateway wants a role in it; the database looks at the signature.
my $unsigned = 'Bearer x.eyJyb2xlIjoic2Fhc191c2VyIn0.x';

sub get { return $undoing->call(GET => $_[0], undef, { from($_[1])->%*, prefer => 'tx=rollback', @_[ 2 .. $#_ ] }); }

is(counted(get('/rpc/jwks', '192.0.2.20')), '200 1000 999', 'an anonymous request is counted by its address');
sql(q{select saas.set_rate_limit('address', null, 6, '1 hour')});
# This connection has read the limit: within two seconds it sees the change.
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
my $number   = 0;
until (get('/rpc/jwks', '198.51.100.' . $number++ % 250)->{headers}{'ratelimit-limit'} == 6 || time > $deadline) { }
is(counted(get('/rpc/jwks', '192.0.2.21')),                    '200 6 5', 'a change of the limit counts');
is(counted(get('/rpc/jwks', '203.0.113.66, 192.0.2.21')),      '200 6 4', 'and every one, whatever the client forwards itself');
is(counted(get('/rpc/me',   '192.0.2.21', authorization => $unsigned)), '401 6 3', 'a token that does not hold is one');
is(counted(get('/rpc/me',   '192.0.2.21', authorization => "Bearer ${token}x")), '401 6 2', 'a forged one too');
is(counted(get('/rpc/me',   '192.0.2.21', 'x-api-key' => 'saas_nonsense')), '401 6 1', 'and a key');
is(counted(get('/rpc/me',   '192.0.2.21', 'x-api-key' => $api_key, authorization => "Bearer $token")), '400 6 0', 'and both at once');
$answer = get('/rpc/jwks', '192.0.2.21', 'x-request-id' => 'late');
is(counted($answer), '429 6 0', 'the next is too much: a rollback forgets none');
is($answer->{json}{message}, 'Too many requests from your address, please try again later.', 'it says so');
like($answer->{headers}{'retry-after'}, qr/^[1-9][0-9]*$/, 'and when to try again');
is($answer->{headers}{'x-request-id'}, 'late', 'with the request\'s id');
$answer = get('/rpc/me', '192.0.2.21', authorization => $unsigned);
is(counted($answer), '429 6 0', 'nobody is told any more that a token does not hold');
is($answer->{json}{message}, 'Too many requests from your address, please try again later.', 'for the same reason');
is(counted(get('/rpc/me', '192.0.2.21', authorization => "Bearer $token")) =~ s/ \d+$//r, '200 1000',
	'who is signed in is not held up by others at the same address');
is(counted(get('/rpc/jwks', '192.0.2.22')), '200 6 5', 'other addresses go on');
is(counted(get('/rpc/me', '192.0.2.22', authorization => "Bearer $token")) =~ s/ \d+$//r, '200 1000', 'a good token is counted by its organization');
is(counted(get('/rpc/me', '192.0.2.22', 'x-api-key' => $api_key)) =~ s/ \d+$//r, '200 1000', 'and a key');
is(counted(get('/rpc/jwks', '192.0.2.22')), '200 6 4', 'not by the address');
is(counted(get('/rpc/jwks', $_)), '200 - -', "who says nothing of a client is not counted: $_") foreach 'nonsense', '10.0.0.7', '127.0.0.1';
is(counted(get('/rpc/me', 'nonsense', authorization => "Bearer ${token}x")), '401 - -', 'with a bad token neither');
sql('call saas.poll()');
ok($node->poll_query_until('postgres', q{select count(*) > 0 from saas_private.security_event e where e.kind = 'rate_limited'
	and e.payload = '{"by": "address", "limit": 6, "address": "192.0.2.21", "method": "GET", "path": "/rpc/jwks"}'}),
	'an exceeded limit is noted with address, method and path');

# What JSON makes of it must not hide who it is.
is(in_request('{"x-forwarded-for": "192.0.2.23", "x-forwarded-for": "192.0.2.24"}', 'saas_private.client_subject()'), 'local',
	'headers that cannot be read name nobody');
is((split /\n/, sql(qq{begin; set local request.headers = '\{'; select saas.pre_request();
	select current_setting('response.headers')::jsonb \@> '[{"RateLimit-Remaining": "5"}]'; commit}))[-1], 't', 'and their proxy is counted itself');

#
# An API key's limit counts besides its organization's.
#
$tenant->sql("select saas_api.set_api_key_rate_limit('$key_id', 2, '1 hour')");
# A new connection has not read the limit: asking until it is seen would use up the organization's.
$undoing->stop;
$undoing = SaasGateway->start($node, 'postgres', '--trust', '--allow-rollback');
is(counted(get('/rpc/me', '192.0.2.30', 'x-api-key' => $api_key)), "200 2 $_", 'a key has its own limit') foreach 1, 0;
$answer = get('/rpc/me', '192.0.2.30', 'x-api-key' => $api_key);
is(counted($answer), '429 2 0', 'and is held to it');
is($answer->{json}{message}, 'Too many requests with your API key, please try again later.', 'it says so');
is(counted(get('/rpc/me', '192.0.2.30', authorization => "Bearer $token")) =~ s/ \d+$//r, '200 1000', 'the organization goes on');
ok($node->poll_query_until('postgres', qq{select count(*) > 0 from saas_private.security_event e where e.kind = 'rate_limited'
	and e.subject = '@{[ $tenant->org_id ]}' and e.payload \@> '{"by": "key", "api_key_id": "$key_id", "address": "192.0.2.30", "path": "/rpc/me"}'}),
	'which is noted with the organization');
$undoing->stop;

#
# Without a named proxy nobody's word counts.
#
$node->append_conf('postgresql.conf', "saas.trusted_proxies = ''");
$node->restart;
is(in_request({ 'x-forwarded-for' => '192.0.2.1' }, 'saas_private.client_address()'), '', 'a forged header is ignored');
is(in_request({ 'x-forwarded-for' => '192.0.2.1' }, 'saas_private.client_subject()'), '', 'and nobody counted');
my $unnamed = SaasGateway->start($node, 'postgres');
is(counted($unnamed->call(GET => '/rpc/jwks', undef, from('192.0.2.21'))), '200 - -', 'nor limited: everybody comes from one place');
is(counted($unnamed->call(GET => '/rpc/me', undef, from('192.0.2.21', authorization => $unsigned))), '401 - -', 'with a bad token neither');
$unnamed->stop;

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
