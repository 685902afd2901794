# Organizations over time and addresses: where requests may come from, hosts
# below the base domain, polls that stop and go on, the client id that
# Salesforce connections share, and the worker that removes what was deleted.
use strict;
use warnings;

use JSON::PP ();
use SaasCluster;
use SaasGateway;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $json = JSON::PP->new->canonical;
my $node = SaasCluster->create('main', settings => {
		'saas.bcrypt_cost'       => 10,
		'saas.trusted_proxies'   => 'local, 192.0.2.0/24',
		'saas.base_domain'       => 'app.example.com',
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'  => 'on',
		'saas.refresh_cooldown'  => '0',
		'saas.min_poll_interval' => '1s' });
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');

my $acme = SaasTenant->create($node, 'postgres', 'Acme');
my $beta = SaasTenant->create($node, 'postgres', 'Beta');

sub sql { return $node->safe_psql('postgres', @_); }

# What statements say in a request that is forwarded for that address: the last
# line of the result, or SQLSTATE and message of the error.
sub from
{
	my ($address, @statements) = @_;
	my $headers = defined $address ? $json->encode({ 'x-forwarded-for' => $address }) : '{}';
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nbegin; set local request.headers = '$headers'; " . join('; ', @statements) . '; commit',
		on_error_stop => 1);
	return $1 if $err =~ /ERROR:  (.*)/;
	return (split /\n/, $out)[-1] // '';
}

sub sign_in
{
	my ($address) = @_;
	return $json->decode(from($address, "select saas_api.sign_in('" . $acme->email . "', '" . $acme->password . "')"));
}

sub enter
{
	my ($token, $address, @statements) = @_;
	return from($address, "do \$\$ begin perform saas.authenticate('$token'); end \$\$", 'set local role saas_user',
		@statements ? @statements : "select 'accepted'");
}

#
# Where requests may come from
#
my $refused = 'PT403: the organization does not allow requests from this address';
my $signed  = sign_in('203.0.113.5');
my $token   = $signed->{access_token};
my $key = enter($token, '203.0.113.5', q{select saas_api.create_api_key('k', '{view_dashboard}') ->> 'key'});
sql(q{create role bi_acme login; grant saas_user to bi_acme});
sql("select saas.map_login('bi_acme', '" . $acme->user_id . "', '" . $acme->org_id . "')");

sub as_login
{
	my ($headers) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nbegin; set local request.headers = '$headers'; select count(*) from saas.organization; commit",
		connstr => $node->connstr('postgres') . ' user=bi_acme', on_error_stop => 1);
	return $err =~ /ERROR:  (.*)/ ? $1 : (split /\n/, $out)[-1];
}

sub allow
{
	my ($address, $list) = @_;
	return enter($token, $address,
		"select saas_api.update_organization_settings('{\"allowed_networks\": $list}') -> 'allowed_networks'");
}

is(as_login('{}'), '1', 'a mapped login is in before');
is(allow('203.0.113.5', '["198.51.100.0/24"]'), '22023: invalid input', 'nobody locks themselves out');
is(enter($token, '203.0.113.5'), 'accepted', 'nothing has changed');
is(allow(undef, '["0.0.0.0/0"]'), '22023: invalid input', 'nor who has no address');
is(allow('203.0.113.5', '["203.0.113.77/24", "2001:db8::/32", "10.0.0.1"]'),
	'["10.0.0.1/32", "203.0.113.0/24", "2001:db8::/32"]', 'an owner allows networks, the own among them');
foreach my $case (
	[ '203.0.113.5',                'accepted', 'from the network' ],
	[ '203.0.113.255',              'accepted', 'from its end' ],
	[ '::ffff:203.0.113.7',         'accepted', 'mapped into IPv6' ],
	[ '2001:db8:1::1',              'accepted', 'from the IPv6 network' ],
	[ '10.0.0.1',                   'accepted', 'from the one address' ],
	[ '198.51.100.1, 203.0.113.9',  'accepted', 'behind whatever the client claims' ],
	[ '203.0.113.9, 192.0.2.1',     'accepted', 'through a second named proxy' ],
	[ '203.0.114.1',                $refused,   'from beside it' ],
	[ '10.0.0.2',                   $refused,   'from beside the address' ],
	[ '2001:db9::1',                $refused,   'from another IPv6 network' ],
	[ '203.0.113.5, 198.51.100.1',  $refused,   'with a forged address in front' ],
	[ '127.0.0.1',                  $refused,   'from a proxy that nobody has named' ],
	[ 'nonsense',                   $refused,   'from no address' ],
	[ undef,                        $refused,   'through a proxy that says nothing' ])
{
	my ($address, $said, $name) = @$case;
	is(enter($token, $address), $said, "a session $name");
	is(enter($key,   $address), $said, "an API key $name");
}
is(as_login('{}'), $refused, 'a mapped login without an address is refused');
is(as_login('{"x-forwarded-for": "203.0.113.5"}'), '1', 'with one it is let in');
is(sql("do \$\$ begin perform saas.assume_identity('" . $acme->user_id . "', '" . $acme->org_id . "'); end \$\$; select 'in'"), 'in',
	'a superuser acts from anywhere');
my $outside = sign_in('198.51.100.1');
is($outside->{organization}, undef, 'a sign-in from elsewhere ends outside');
is(enter($outside->{access_token}, '198.51.100.1', q{select saas_api.switch_organization('acme')}), $refused, 'nor is it switched to');
is(enter($outside->{access_token}, '203.0.113.8', q{select saas_api.switch_organization('acme') #>> '{organization,slug}'}), 'acme', 'from the network it is');
is($json->decode(from('198.51.100.1', "select saas_api.refresh_session('$signed->{refresh_token}')"))->{organization}, undef,
	'a session that is refreshed elsewhere goes on outside');
is(allow('203.0.113.5', '["198.51.100.0/24"]'), '22023: invalid input', 'a list without the own address is refused later too');

my $gateway = SaasGateway->start($node, 'postgres');
my $answer  = $gateway->call(GET => '/organization', undef, { authorization => "Bearer $token", 'x-forwarded-for' => '203.0.113.6' });
is($answer->{status}, 200, 'over HTTP a request from the network is answered');
$answer = $gateway->call(GET => '/organization', undef, { authorization => "Bearer $token", 'x-forwarded-for' => '198.51.100.1' });
is($answer->{status}, 403, 'one from elsewhere is not');
is($answer->{json}{message}, 'the organization does not allow requests from this address', 'and is told why');
is(allow('203.0.113.5', 'null'), 'null', 'an owner allows all again');
is(enter($token, '198.51.100.1'), 'accepted', 'and from elsewhere it works');

#
# Hosts
#
sql("update saas.organization set subdomain = 'go' where slug = 'acme'");
foreach my $case (
	[ 'acme.app.example.com',      'Acme' ],
	[ 'GO.App.Example.com:443',    'Acme' ],
	[ 'go.app.example.com.',       'Acme' ],
	[ 'beta.app.example.com',      'Beta' ],
	[ 'app.example.com',           undef ],
	[ '.app.example.com',          undef ],
	[ 'x.acme.app.example.com',    undef ],
	[ 'acmeapp.example.com',       undef ],
	[ 'acme.app.example.com.evil.example', undef ],
	[ 'nobody.app.example.com',    undef ])
{
	my ($host, $name) = @$case;
	$answer = $gateway->call(POST => '/rpc/resolve_organization', { host_or_slug => $host });
	is($answer->{status}, defined $name ? 200 : 404, "$host: the status");
	is($answer->{json}{name}, $name, "$host: whose it is");
}
is(enter($token, '203.0.113.5', q{select saas_api.update_organization('{"domain": "acme.app.example.com"}')}), '22023: invalid input',
	'a host below the base domain is nobody\'s to claim');
my ($status, $out, $err) = $node->psql('postgres', q{alter system set saas.base_domain = '.Example'});
like($err, qr/invalid value for parameter "saas.base_domain".*\nDETAIL:  It is a domain/, 'a base domain is one');

#
# Polls stop and go on
#
my $upstream = SaasUpstream->start;

sub connect_to
{
	my ($tenant, $name) = @_;
	return $tenant->salesforce($upstream->control(POST => 'orgs', {}), $name, poll_interval => '1 day');
}

my $of_acme = connect_to($acme, 'Sales');
my $of_beta = connect_to($beta, 'Sales');
ok($_->[0]->wait_for($_->[1], "last_success_at is not null"), "the connection of $_->[0]{name} is polled")
  foreach [ $acme, $of_acme ], [ $beta, $of_beta ];

# Acme's is due for longer; when Beta's has been polled, Acme's would have been.
sub stays_away
{
	my ($name) = @_;
	my $before = $acme->status($of_acme)->{last_polled_at};
	my $polled = $beta->status($of_beta)->{last_polled_at};
	sql("update saas.connection_status set next_poll_at = now() - interval '1 hour' where connection_id = '$of_acme'");
	$beta->make_due($of_beta);
	ok($beta->wait_for($of_beta, "last_polled_at > '$polled' and next_poll_at > now()"), "$name: another organization's connection is polled");
	is($acme->status($of_acme)->{last_polled_at}, $before, "$name: its own is not");
	is(sql('select due from saas.poller_status() where database = current_database()'), '0', "$name: nor is it due");
	return $before;
}

sql("select saas.suspend_organization('" . $acme->org_id . "', 'Invoice 7 is unpaid')");
$answer = $gateway->call(GET => '/organization', undef, { authorization => "Bearer $token" });
is($answer->{status}, 403, 'a suspended organization is refused over HTTP');
is($answer->{json}{details}, 'Invoice 7 is unpaid', 'with the reason');
my $last = stays_away('suspended');
is(sql("select count(*) from saas.reading where connection_id = '$of_acme'"), '1', 'nothing is lost');
sql("select saas.activate_organization('" . $acme->org_id . "')");
ok($acme->wait_for($of_acme, "last_polled_at > '$last'"), 'once activated it is polled at once');

is(enter($token, '203.0.113.5', q{select saas_api.delete_organization('Acme') ->> 'status'}), 'deleting', 'its owner deletes it');
$last = stays_away('being deleted');
my $without = sign_in('203.0.113.5');
is($without->{organization}, undef, 'the owner signs in without an organization');
is(enter($without->{access_token}, '203.0.113.5', "select saas_api.restore_organization('" . $acme->org_id . "') ->> 'status'"), 'active', 'and restores it');
ok($acme->wait_for($of_acme, "last_polled_at > '$last'"), 'then it is polled again');

#
# One client id for all Salesforce connections
#
my $org = $upstream->control(POST => 'orgs', {});
is(enter($token, '203.0.113.5', "select saas_api.update_organization('"
			. $json->encode({ salesforce => { map { $_ => $org->{$_} } qw(instance_url login_url client_id client_secret) } })
			. "') ->> 'slug'"), 'acme', 'an owner gives a client id and its secret');
my $shared = $acme->connect('salesforce', 'Shared', { org_id => $org->{org_id} }, { refresh_token => $org->{refresh_token} }, '1 day');
ok($acme->wait_for($shared, "last_success_at is not null and status = 'active'"), 'a connection with neither gets a token and is polled');
is(sql("select string_agg(name, ' ' order by name) from saas_private.connection_secret where connection_id = '$shared' and name like 'client%'"), '',
	'and keeps neither');
# Bound to where they were given for: a default that somebody moves does not open.
$last = $acme->status($shared)->{last_polled_at};
sql(q{update saas.salesforce_default set origin = 'https://evil.example:443'});
sql("delete from saas_private.connection_secret where connection_id = '$shared' and name = 'access_token'");
$acme->make_due($shared);
ok($acme->wait_for($shared, "last_polled_at > '$last' and status = 'reauth_required'"), 'a default for another origin is not used');

#
# The worker removes what was deleted
#
sql(q{
	create table public.note (org_id uuid not null default saas.current_org_id(), body text);
	alter table public.note enable row level security;
	alter table public.note force row level security;
	create policy own on public.note using (org_id = saas.org_if('view_dashboard'))});
sql("insert into public.note select '" . $_->org_id . "', 'n' || n from generate_series(1, 20) n") foreach $acme, $beta;
$token = sign_in('203.0.113.5')->{access_token};
is(enter($token, '203.0.113.5', q{select saas_api.delete_organization('Acme') ->> 'status'}), 'deleting', 'it is deleted for good');
sql(q{update saas.organization set purge_after = now() - interval '1 second' where status = 'deleting'});
$node->restart;
ok($node->poll_query_until('postgres', q{select count(*) = 1 from saas_private.deleted_organization where purged_at is not null}), 'the worker removes it');
is(sql("select count(*) from saas.organization where id = '" . $acme->org_id . "'"), '0', 'the organization');
is(sql("select count(*) from saas.reading where org_id = '" . $acme->org_id . "'"), '0', 'its readings');
is(sql("select count(*) from saas_private.data_key where org_id = '" . $acme->org_id . "'"), '0', 'its keys');
is(sql("select string_agg(distinct org_id::text, ' ') from public.note"), $beta->org_id, 'and its rows in a protected table, of nobody else');
is(sql('select count(*) from public.note'), '20', 'others keep all of theirs');

done_testing();
