# An HTTP JSON connection from end to end: the ways to authenticate, its own
# tokens, bodies, and arrays that become series.
use strict;
use warnings;

use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http' => 'on',
		'saas.refresh_cooldown' => '0' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $http     = $upstream->url;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');
my @metrics  = (metrics => [ { name => 'served', path => '$.served' } ]);

sub sql { return $node->safe_psql('postgres', @_); }

sub outcome
{
	my ($id) = @_;
	my $answer = $tenant->refresh($id)->[0];
	return $answer->{ok} ? 'ok' : $answer->{error};
}

sub latest
{
	my ($id) = @_;
	return $tenant->sql(qq{select string_agg(format('%s%s=%s', s.metric, nullif(s.labels::text, '{}'), s.value), ' '
		                           order by s.metric, s.labels::text)
		  from saas_api.latest_samples s where s.connection_id = '$id'});
}

#
# Credentials
#
my %way = (
	'a token'           => [ 'bearer', { auth => 'bearer' },  { bearer_token => 'scrape-token' } ],
	'a password'        => [ 'basic',  { auth => 'basic' },   { username => 'scraper', password => 'scrape-secret' } ],
	'a key'             => [ 'header', { auth => 'api_key' }, { api_key  => 'api-key-secret' } ],
	'a key of any name' => [ 'header', { auth => 'api_key', api_key_header => 'x-api-key' }, { api_key => 'api-key-secret' } ],
	'a key in the query' => [ 'query', { auth => 'api_key', api_key_query => 'api_key' }, { api_key => 'api-key-secret' } ],
	'a header that is a secret' => [ 'header', {}, { 'header:X-Api-Key' => 'api-key-secret' } ],
	'a scheme of its own'       => [ 'bearer', {}, { 'header:Authorization' => 'Bearer scrape-token' } ]);
foreach my $name (sort keys %way)
{
	my ($auth, $config, $secrets) = @{ $way{$name} };
	(my $case = $name) =~ s/ /-/g;
	my $id = $tenant->connect('http_json', $name, { url => "$http/json?auth=$auth&case=$case", @metrics, %$config }, $secrets);
	is(outcome($id), 'ok', "$name lets in");
	my $wrong = JSON::PP->new->encode({ %$secrets, map { $_ => 'wrong' } grep { $_ ne 'username' } keys %$secrets });
	$tenant->sql("do \$\$ begin perform saas_api.set_connection_secrets('$id', '$wrong'); end \$\$");
	is(outcome($id), 'the endpoint refused the credentials (HTTP 401)', 'a wrong one does not');
}

#
# Tokens of its own
#
my $cases = 0;

sub client_of
{
	my ($client_id) = @_;
	return $upstream->control(GET => "clients/$client_id");
}

sub connect_client
{
	my ($name, $client, %config) = @_;
	return $tenant->connect('http_json', $name, {
			url => "$http/json?auth=client&case=" . ++$cases, auth => 'client_credentials',
			token_url => "$http/oauth/token", @metrics, %config },
		{ map { $_ => $client->{$_} } qw(client_id client_secret) }, '1 hour');
}

sub stored_token
{
	my ($id) = @_;
	return sql("select count(*) || ' ' || coalesce(max(s.value::text), '') from saas_private.connection_secret s
		where s.connection_id = '$id' and s.name = 'access_token'");
}

my $client = $upstream->control(POST => 'clients', { client_secret => 'p&s:w rd', scopes => [qw(read write)], client_auth => 'basic' });
my $id     = connect_client('client', $client, scope => 'read');
ok($tenant->wait_for($id, "status = 'active'"), 'a connection gets its own token');
like(stored_token($id), qr/^1 /, 'and keeps it');
my $token = client_of($client->{client_id})->{access_token};
unlike(stored_token($id), qr/\Q$token\E/, 'sealed');
is(outcome($id), 'ok', 'poll after poll') foreach 1 .. 3;
is(client_of($client->{client_id})->{tokens_issued}, 1, 'with the same token');
ok($tenant->wait_for($id, q{token_expires_at between now() + '55 minutes' and now() + '61 minutes'}), 'whose expiry is known');

$upstream->control(POST => "clients/$client->{client_id}/revoke");
my $before = stored_token($id);
is(outcome($id), 'ok', 'a token that was revoked is renewed in the same poll');
is(client_of($client->{client_id})->{tokens_issued}, 2, 'once');
isnt(stored_token($id), $before, 'and takes the old one\'s place');

sql("update saas.connection_status set token_expires_at = now() + interval '10 seconds' where connection_id = '$id'");
is(outcome($id), 'ok', 'a token that is about to expire is not used');
is(client_of($client->{client_id})->{tokens_issued}, 3, 'but renewed');

my $fault = $upstream->control(POST => 'faults', { path => '/json', query => { auth => 'client' }, fault => 'status', code => 401 });
is(outcome($id), 'the endpoint refused the access token that it has just been given (HTTP 401)',
	'a fresh token that is refused is not renewed again');
is(client_of($client->{client_id})->{tokens_issued}, 4, 'however often it would be');
is($tenant->status($id)->{status}, 'error', 'and the connection is tried again later');
$upstream->control(DELETE => "faults/$fault->{id}");
is(outcome($id), 'ok', 'with success once the endpoint is well');

my $new = $upstream->control(POST => "clients/$client->{client_id}/secret");
$upstream->control(POST => "clients/$client->{client_id}/revoke");
is( outcome($id), 'the token endpoint refused the client id or client secret (invalid_client)',
	'a secret that was changed there needs the owner');
is($tenant->status($id)->{status}, 'reauth_required', 'which the status says');
$tenant->sql(sprintf q{do $$ begin perform saas_api.set_connection_secrets('%s', '%s'); end $$}, $id,
	JSON::PP->new->encode({ client_id => $client->{client_id}, client_secret => $new->{client_secret} }));
is(outcome($id), 'ok', 'who gives the new one');

my $body = $upstream->control(POST => 'clients', { audience => 'https://api.example.com/', client_auth => 'body', token_ttl_s => 5 });
my $short = connect_client('in the body', $body, client_auth => 'body', audience => 'https://api.example.com/');
ok($tenant->wait_for($short, "status = 'active'"), 'credentials in the body, for an audience');
is(outcome($short), 'ok', 'a token that lives shorter than it takes to use it is bought for each poll');
is(client_of($body->{client_id})->{tokens_issued}, 2, 'each time');
is(outcome(connect_client('wrong way', $body, audience => 'https://api.example.com/')),
	'the token endpoint refused the client id or client secret (invalid_client)', 'the wrong way to authenticate is refused');
is(outcome(connect_client('scope', $body, client_auth => 'body', scope => 'admin')),
	'the token endpoint gave no token (invalid_scope)', 'a scope that it has not shows');

foreach my $case (
	[ 'status', { fault => 'status', code => 503, retry_after => 7 }, qr/^the token endpoint is not available \(HTTP 503\b/ ],
	[ 'html', { fault => 'html' }, qr/^the token endpoint's answer is not JSON: / ],
	[ 'huge', { fault => 'huge' }, qr/^the answer is larger than 65536 bytes$/ ],
	[ 'redirect', { fault => 'redirect', to => "http://127.0.0.1:1/" }, qr/^the token endpoint answered HTTP 302$/ ])
{
	my ($name, $rule, $reason) = @$case;
	$upstream->control(POST => 'faults', { path => '/oauth/token', %$rule });
	like(outcome($short), $reason, "a token endpoint with the fault $name");
	$upstream->control(DELETE => 'faults');
	is(outcome($short), 'ok', 'is well again after it');
}

#
# Bodies, arrays, times
#
my $echo = $tenant->connect('http_json', 'echo', {
		url => "$http/echo-json", method => 'POST', body => { n => 42, rows => [ { k => 'a', v => 1.5 }, { k => 'b', v => '2' } ] },
		headers => { 'X-Site' => '7' },
		metrics => [
			{ name => 'n',    path => '$.body.n' },
			{ name => 'site', path => '$.headers["x-site"]' },
			{ name => 'length', path => '$.headers["content-length"]' },
			{ name => 'row',  path => '$.body.rows[*].v', labels => { key => '@.k', at => 'here' } } ] });
is(outcome($echo), 'ok', 'a POST with a body');
is(latest($echo), 'length=53 n=42 row{"at": "here", "key": "a"}=1.5 row{"at": "here", "key": "b"}=2 site=7',
	'whose answer\'s elements are series');
my $at    = int(time) - 600;
my $iso   = POSIX::strftime('%Y-%m-%dT%H:%M:%S.250+00:00', gmtime $at);
my $times = $tenant->connect('http_json', 'times', { url => "$http/json?case=times", metrics => [
			map { { name => $_, path => '$.offset', time_path => "\$.$_" } } qw(timestamp epoch milliseconds) ] });
$upstream->control(POST => 'faults', { path => '/json', query => { case => 'times' }, fault => 'body',
		body => qq({"offset":1,"timestamp":"$iso","epoch":$at.25,"milliseconds":${at}250}) });
is(outcome($times), 'ok', 'times of three kinds');
is( sql("select count(*) from saas.sample where connection_id = '$times' and at = to_timestamp($at.25)"),
	3, 'are the samples\' own');
$upstream->control(DELETE => 'faults');
foreach my $ahead (3600, -40 * 86400)
{
	my $wrong = time + $ahead;
	$upstream->control(POST => 'faults', { path => '/json', query => { case => 'times' }, fault => 'body',
			body => qq({"offset":1,"timestamp":$wrong,"epoch":$wrong,"milliseconds":${wrong}000}) });
	like(outcome($times), $ahead > 0 ? qr/more than 5 minutes ahead: the endpoint's clock is wrong$/ : qr/more than 31 days old$/,
		'a clock that is wrong shows');
	$upstream->control(DELETE => 'faults');
	is(outcome($times), 'ok', 'and is right again by itself');
}
foreach my $empty ([ 204, qr/^the answer is empty \(HTTP 204\)$/ ], [ 304, qr/^the endpoint answered HTTP 304$/ ],
	[ 200, qr/^the answer is empty \(HTTP 200\)$/ ])
{
	my ($code, $reason) = @$empty;
	$upstream->control(POST => 'faults', { path => '/json', query => { case => 'times' }, fault => 'empty', code => $code });
	like(outcome($times), $reason, "an empty answer $code says what came");
	$upstream->control(DELETE => 'faults');
}

#
# No secret is shown
#
my @secrets = ('scrape-token', 'scrape-secret', 'api-key-secret', 'p&s:w rd', $token, $new->{client_secret}, $body->{client_secret});
my %told    = (
	'the log'    => $node->log_since(0),
	'errors'     => sql("select string_agg(last_error, ' ') from saas.connection_status"),
	'connections' => sql("select string_agg(c.config::text, ' ') from saas.connection c"),
	'audit'      => sql("select string_agg(e::text, ' ') from saas.audit_event e"));
foreach my $where (sort keys %told)
{
	is_deeply([ grep { index($told{$where}, $_) >= 0 } @secrets ], [], "no secret in $where");
}
$node->stop;

done_testing();
