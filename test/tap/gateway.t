# HTTP through a double of PostgREST: from sign-up to rows, statuses and headers,
# forged claims, split answers, what GET writes, what a pooled connection keeps.
use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use SaasCluster;
use SaasGateway;
use SaasTenant;
use Test::More;

my $uuid = qr/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
my $json = JSON::PP->new->canonical;

my $node = SaasCluster->create('main', init => { allows_streaming => 1 },
	settings => { 'saas.poller_enabled' => 'off', 'saas.bcrypt_cost' => 10, 'autovacuum' => 'off' });
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');
my %tenant = map { $_ => SaasTenant->create($node, 'postgres', $_) } qw(Acme Globex);

# Makes the first key, which the gateway reads at its start.
$node->safe_psql('postgres', "select saas_api.sign_in('" . $tenant{Acme}->email . "', '" . $tenant{Acme}->password . "')");

# What an application may do wrong behind our back.
$node->safe_psql('postgres', q{
	create function saas_api.echo(value text, state text default null) returns text language plpgsql as $$
	begin
		perform saas.set_header('X-Echo', value), saas.set_header('Set-Cookie', 'a=1'), saas.set_header('Set-Cookie', 'b=2');
		if state is not null then
			perform set_config('response.headers', current_setting('response.headers'), true);
			raise exception using errcode = state, message = value;
		end if;
		return value;
	end $$;
	create function saas_api.refuse(state text, value text) returns text language plpgsql security definer
	set search_path = pg_catalog, pg_temp as $$
	begin
		perform saas.set_header('X-Kept', 'yes'), saas.set_header('Set-Cookie', 'a=1'), saas_private.raise_error(state, value);
	end $$;
	alter function saas_api.refuse(text, text) owner to saas_owner;
	grant execute on function saas_api.echo(text, text), saas_api.refuse(text, text) to saas_anon, saas_user;
});
my $gateway = SaasGateway->start($node, 'postgres');

sub bearer { return { authorization => "Bearer $_[0]", @_[ 1 .. $#_ ] }; }

sub sign_in
{
	my ($to, $who) = @_;
	return $to->call(POST => '/rpc/sign_in', { email => $who->email, password => $who->password })->{json}{access_token};
}

#
# From nobody to a row
#
my $answer = $gateway->call(POST => '/rpc/sign_up',
	{ email => 'eve@example.com', password => 'correct horse eve', first_name => 'Eve', last_name => "\x{d6}m" });
is($answer->{status}, 200, 'nobody signs up');
$node->safe_psql('postgres', q{do $$ begin perform saas.confirm_user(id) from saas.app_user where email = 'eve@example.com'; end $$});
$answer = $gateway->call(POST => '/rpc/sign_in', { email => 'eve@example.com', password => 'correct horse eve' });
is($answer->{status}, 200, 'signs in');
my $eve = $answer->{json}{access_token};
$answer = $gateway->call(GET => '/rpc/me', undef, bearer($eve));
is($answer->{status},               200,               'and asks who they are');
is($answer->{json}{user}{email},    'eve@example.com', 'themselves');
is($answer->{json}{user}{last_name}, "\x{d6}m", 'in UTF-8');
like($answer->{headers}{'x-request-id'}, qr/^$uuid$/, 'the answer has a request id');
is($answer->{headers}{'cache-control'}, 'no-store', 'and is kept by nobody');
is($gateway->call(GET => '/rpc/me', undef, bearer($eve, 'x-request-id' => 'trace/7'))->{headers}{'x-request-id'},
	'trace/7', 'the id may be the client\'s own');
like($gateway->call(GET => '/rpc/me', undef, bearer($eve, 'x-request-id' => '<b>' x 30))->{headers}{'x-request-id'},
	qr/^$uuid$/, 'if it is sane');
$answer = $gateway->call(GET => '/rpc/me', undef, { 'x-api-key' => $eve });
is($answer->{status}, 200, 'a token in X-API-Key makes nobody somebody');
is($answer->{json}{user}{email}, 'eve@example.com', 'with the rights of saas_user');

#
# Statuses and headers of errors
#
$answer = $gateway->call(GET => '/rpc/me');
is($answer->{status}, 401, 'without a token nobody has a self');
$answer = $gateway->call(POST => '/rpc/sign_in', { email => 'eve@example.com', password => 'wrong' },
	{ 'x-request-id' => 'trace-1' });
is($answer->{status},                          401,            'a wrong password is 401');
is($answer->{json}{code},                      'UNAUTHORIZED', 'with a code');
is($answer->{headers}{'www-authenticate'},     'Bearer',       'a challenge');
is($answer->{headers}{'x-request-id'},         'trace-1',      'the request\'s id');
is($answer->{headers}{'cache-control'},        'no-store',     'and no cache');
is($gateway->call(GET => '/rpc/me', undef, bearer("${eve}x"))->{status}, 401, 'a bad token is 401');
is($gateway->call(GET => '/rpc/me', undef, { %{ bearer($eve) }, 'x-api-key' => $eve })->{status}, 400, 'two tokens are 400');
is($gateway->call(GET => '/rpc/nothing')->{status},     404, 'what is not there is 404');
is($gateway->call(GET => '/connections')->{status},     401, 'what saas_anon may not read is 401');
is($gateway->call(GET => '/rpc/sign_out', undef, bearer($eve))->{status}, 405, 'GET of what writes is 405');
is($gateway->call(POST => '/rpc/sign_out', { scope => 'x' }, bearer($eve))->{status}, 400, 'a bad argument is 400');
foreach my $case ([ PT403 => 403 ], [ PT404 => 404 ], [ PT409 => 409 ], [ PT429 => 429 ], [ PT503 => 503 ], [ XX000 => 500 ])
{
	my ($state, $status) = @$case;
	$answer = $gateway->call(POST => '/rpc/refuse', { state => $state, value => "a\r\nX-Evil: yes\x{85}" });
	is($answer->{status},             $status, "$state is $status");
	is($answer->{headers}{'x-kept'},  'yes',   "$state keeps the function's headers");
	is($answer->{headers}{'x-evil'} || $answer->{headers}{'set-cookie'}, undef, "$state splits no answer and sets no cookie");
	is($answer->{headers}{'retry-after'}, $status == 429 ? 1 : undef, "$state and Retry-After");
}
$answer = $gateway->call(POST => '/rpc/echo', { value => "a\r\nX-Evil: yes" });
is($answer->{status},              200,            'a function sets headers');
is($answer->{headers}{'x-echo'},   'aX-Evil: yes', 'that stay in their line');
is($answer->{headers}{'x-evil'},   undef,          'and make no other');
is_deeply($answer->{headers}{'set-cookie'}, [ 'a=1', 'b=2' ], 'and two cookies');
$answer = $gateway->call(POST => '/rpc/echo', { value => "a\r\nX-Evil: yes", state => 'PT418' });
is($answer->{headers}{'x-evil'}, 'yes', 'an application that raises PTxyz itself does split the answer: the double shows it');

#
# The caller rolls back by a filter that fails where the result begins so
#
my $sessions = $node->safe_psql('postgres', 'select count(*) from saas_private.session');
$answer = $gateway->call(POST => '/rpc/sign_in?pgrst_scalar->>token_type=like.B%5C',
	{ email => 'eve@example.com', password => 'correct horse eve' });
is($answer->{status}, 400, 'a filter on the result fails after the outcome is known');
is($node->safe_psql('postgres', 'select count(*) from saas_private.session'), $sessions, 'and rolls the request back');

#
# GET writes nothing
#
my %token = map { $_ => sign_in($gateway, $tenant{$_}) } keys %tenant;
$tenant{$_}->connect('prometheus', "$_ exporter", { url => 'https://192.0.2.1/metrics' }) foreach keys %tenant;
my $xid = $node->safe_psql('postgres', 'select pg_snapshot_xmax(pg_current_snapshot())');
foreach my $path ('/rpc/me', '/connections', '/latest_samples', '/rpc/jwks')
{
	$answer = $gateway->call(GET => $path, undef, bearer($token{Acme}));
	is($answer->{status}, 200, "GET $path answers") or diag($answer->{content});
}
is($node->safe_psql('postgres', 'select pg_snapshot_xmax(pg_current_snapshot())'), $xid, 'and no transaction id was spent');

#
# One pooled connection, two tenants and nobody in turns
#
foreach my $turn (1 .. 2)
{
	foreach my $name (sort keys %tenant)
	{
		is_deeply([ map { $_->{name} } @{ $gateway->call(GET => '/connections', undef, bearer($token{$name}))->{json} } ],
			["$name exporter"], "$name sees its connection, turn $turn");
		is($gateway->call(GET => '/connections')->{status}, 401, "nobody sees none after $name");
		is($gateway->call(POST => '/rpc/echo', { value => 'x' })->{headers}{'x-request-id'} =~ $uuid, 1, "a fresh id after $name");
	}
}
is_deeply($gateway->call(GET => '/connections?org_id=eq.' . $tenant{Globex}->org_id, undef, bearer($token{Acme}))->{json},
	[], 'a filter reaches into no other organization');
is(scalar @{ $gateway->call(GET => '/connections?select=id,kind&name=like.Acme*&order=name.desc&limit=1', undef, bearer($token{Acme}))->{json} },
	1, 'and selects in one\'s own');
is($node->safe_psql('postgres', q{select count(*) from pg_stat_activity where usename = 'authenticator'}), 1, 'all in one session');

#
# An HTTP layer that believes anything
#
my $trusting = SaasGateway->start($node, 'postgres', '--trust');

sub forge
{
	my ($token, %claims) = @_;
	my ($head, $payload, $signature) = split /\./, $token;
	my %all = (%{ $json->decode(MIME::Base64::decode_base64url($payload)) }, %claims);
	return join '.', $head, encode_base64url($json->encode(\%all), ''), $signature;
}
is($trusting->call(GET => '/rpc/me', undef, bearer($token{Acme}))->{status}, 200, 'an unverified good token is verified by the database');
foreach my $claims ({ org => $tenant{Globex}->org_id }, { sub => $tenant{Globex}->user_id }, { org_role => 'owner' }, { exp => 4102444800 })
{
	my $name = join ' ', %$claims;
	$answer = $trusting->call(GET => '/connections', undef, bearer(forge($token{Acme}, %$claims)));
	is($answer->{status}, 401, "the database refuses forged claims: $name");
	unlike($answer->{content}, qr/exporter/, "and shows nothing: $name");
}
foreach my $role (qw(saas_service saas_owner saas_poller saas_operator postgres))
{
	$answer = $trusting->call(GET => '/connections', undef, bearer(forge($token{Acme}, role => $role)));
	is($answer->{status}, 403, "the login may not be $role, whatever the claims say");
}
is($trusting->call(GET => '/connections', undef, { authorization => 'Bearer x.eyJyb2xlIjoic2Fhc191c2VyIn0.x' })->{status},
	401, 'the role alone is no identity');
$trusting->stop;

#
# Rollback by preference
#
my $undoing = SaasGateway->start($node, 'postgres', '--allow-rollback');
$sessions = $node->safe_psql('postgres', 'select count(*) from saas_private.session');
$answer = $undoing->call(POST => '/rpc/sign_in', { email => 'eve@example.com', password => 'correct horse eve' },
	{ prefer => 'tx=rollback' });
is($answer->{status}, 200, 'Prefer: tx=rollback answers');
is($node->safe_psql('postgres', 'select count(*) from saas_private.session'), $sessions, 'and undoes');
is($undoing->call(GET => '/rpc/me', undef, bearer($answer->{json}{access_token}))->{status}, 401, 'its session is none');
$undoing->stop;

#
# Too many requests of one organization
#
my $limited = SaasGateway->start($node, 'postgres', '--allow-rollback');
my $grace = SaasTenant->create($node, 'postgres', 'Initech');
my $busy  = sign_in($limited, $grace);
$node->safe_psql('postgres', "select saas.set_rate_limit('organization', '" . $grace->org_id . "', 3, '1 minute')");
foreach my $request (1 .. 3)
{
	$answer = $limited->call(GET => '/rpc/me', undef, bearer($busy, prefer => 'tx=rollback'));
	is($answer->{status}, 200, "request $request of 3 is answered");
	is($answer->{headers}{'ratelimit-limit'},     3,            'with the limit');
	is($answer->{headers}{'ratelimit-remaining'}, 3 - $request, 'what remains');
	cmp_ok($answer->{headers}{'ratelimit-reset'}, '<=', 64, 'and until when');
}
$answer = $limited->call(GET => '/rpc/me', undef, bearer($busy, 'x-request-id' => 'late'));
is($answer->{status},                        429,            'the next is 429: a rollback forgets none');
is($answer->{json}{code},                    'RATE_LIMITED', 'with a code');
is($answer->{headers}{'ratelimit-remaining'}, 0,             'nothing remains');
like($answer->{headers}{'retry-after'}, qr/^[1-9][0-9]*$/, 'when to try again');
is($answer->{headers}{'x-request-id'}, 'late', 'and the request\'s id');
my $other = sign_in($limited, SaasTenant->create($node, 'postgres', 'Hooli'));
is($limited->call(GET => '/rpc/me', undef, bearer($other))->{status}, 200, 'others are not held up');
$limited->stop;

#
# A hot standby
#
$node->backup('copy');
my $standby = SaasCluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $reading = SaasGateway->start($standby, 'postgres');
$answer = $reading->call(GET => '/connections', undef, bearer($token{Globex}));
is_deeply([ map { $_->{name} } @{ $answer->{json} } ], ['Globex exporter'], 'a standby answers what only reads');
is($answer->{headers}{'ratelimit-limit'}, 1000, 'and counts on its own');
is($reading->call(POST => '/rpc/me', {}, bearer($token{Globex} . 'x'))->{status}, 401, 'and verifies tokens');
$reading->stop;
$standby->stop;

#
# Sign-out counts with the next request
#
is($gateway->call(POST => '/rpc/sign_out', {}, bearer($eve))->{status}, 200, 'signed out');
is($gateway->call(GET => '/rpc/me', undef, bearer($eve))->{status}, 401, 'the token is refused at once');

$gateway->stop;
$node->stop;
done_testing();
