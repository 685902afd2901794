# What test_connection tells of each step, and certificates of a connection's
# own: whom it trusts and who it is, for its own host and nobody else.
use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $certificates = SaasUpstream->certificates;
my $strangers    = SaasUpstream->certificates('strangers');
my %ca = (ours => slurp_file("$certificates/ca.pem"), theirs => slurp_file("$strangers/ca.pem"));

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'  => 'on',
		'saas.refresh_cooldown'  => '0',
		'saas.min_poll_interval' => '1s' });
$node->start;
$node->install('postgres');
my $plain  = SaasUpstream->start;
my %secure = map { $_ => SaasUpstream->start(certificate => $_) } qw(good expired wrong-host);
my $acme   = SaasTenant->create($node, 'postgres', 'Acme');
my $beta   = SaasTenant->create($node, 'postgres', 'Beta');
my $count  = 0;

# A connection that only a test or a refresh polls.
sub page
{
	my ($tenant, $url, $secrets) = @_;
	$count++;
	my $id = $tenant->connect('prometheus', "page $count", { url => "$url?instance=$count" }, $secrets, '1 day');
	$tenant->wait_for($id, "status <> 'pending'") or BAIL_OUT('the first poll does not come');
	return $id;
}

sub test_of
{
	my ($tenant, $id) = @_;
	return decode_json($tenant->sql("select saas_api.test_connection('$id', 60000)"));
}

# "resolve connect TLS!": the steps by name, the one that failed with a mark.
sub steps
{
	my ($answer) = @_;
	return join ' ', map { $_->{step} . ($_->{ok} ? '' : '!') } @{ $answer->{steps} };
}

# What a poll says, over whatever connection there is.
sub refreshed
{
	my ($tenant, $id) = @_;
	my ($answer) = @{ $tenant->refresh($id) };
	return $answer->{ok} ? 'ok' : $answer->{error};
}

# Steps

my $good = page($acme, $plain->url . '/metrics');
my $test = test_of($acme, $good);
is(steps($test), 'resolve connect authenticate authorize read parse', 'over plain HTTP there is no TLS');
is_deeply([ sort keys %$test ], [qw(details duration_ms error ok steps)], 'with all that was told before');
ok(!(grep { !$_->{ok} || defined $_->{error} || defined $_->{hint} || $_->{ms} !~ /^\d+$/ } @{ $test->{steps} }),
	'each is well and has its time');

$plain->control(POST => 'faults', { path => '/metrics', fault => 'slow-header', ms => 300 });
($test) = grep { $_->{step} eq 'authenticate' } @{ test_of($acme, $good)->{steps} };
cmp_ok($test->{ms}, '>=', 300, 'the wait for the answer is authenticate\'s');
$plain->control(DELETE => 'faults');

my @cases = (
	[ 'a host that is not there', 'http://nowhere.invalid/metrics', '', qr/^resolve!$/, qr/DNS/ ],
	[ 'a port that nobody listens on', 'http://127.0.0.1:1/metrics', '', qr/^resolve connect!$/, qr/firewall/ ],
	[ 'an address that is not allowed', 'http://10.1.2.3/metrics', '', qr/^(?:resolve )?connect!$/, qr/saas\.allowed_networks/ ],
	[ 'credentials that are refused', $plain->url . '/metrics', 401, qr/^resolve connect authenticate!$/, qr/set_connection_secrets/ ],
	[ 'an account that may not', $plain->url . '/metrics', 403, qr/^resolve connect authenticate authorize!$/, qr/account/ ],
	[ 'an upstream that is down', $plain->url . '/metrics', 503, qr/^resolve connect authenticate authorize read!$/, qr/upstream/ ],
	[ 'an answer in another format', $plain->url . '/metrics', 'html', qr/^resolve connect authenticate authorize read parse!$/, qr/address/ ],
	[ 'an answer that breaks off', $plain->url . '/metrics', 'close', qr/^resolve connect read!$/, qr/upstream/ ]);
foreach my $case (@cases)
{
	my ($what, $url, $fault, $expected, $hint) = @$case;
	my $id = page($acme, $url);
	$plain->control(POST => 'faults', $fault =~ /^\d/ ? { path => '/metrics', fault => 'status', code => $fault } :
		  { path => '/metrics', fault => $fault })
	  if $fault;
	$test = test_of($acme, $id);
	$plain->control(DELETE => 'faults');
	like(steps($test), $expected, "$what: the step that failed is the last");
	like($test->{steps}[-1]{hint} || '', $hint, "$what: and says what to do");
	is($test->{steps}[-1]{error}, $test->{error}, "$what: with the error");
}

# A connection's own authority

my $https    = $secure{good}->url . '/metrics';
my $trusting = page($acme, $https, { ca_certificate => $ca{ours} });
my $other    = page($acme, $https);
my $foreign  = page($beta, $https);
my $refused  = 'the certificate of localhost comes from an authority that is not trusted';
$test = test_of($acme, $trusting);
is(steps($test), 'resolve connect tls authenticate authorize read parse', 'with its own authority the host is trusted');
$test = test_of($acme, $other);
is(steps($test) . ' ' . $test->{error}, "resolve connect tls! $refused", 'without it it is not');
like($test->{steps}[-1]{hint}, qr/ca_certificate/, 'and what to do is told');
foreach my $round (1 .. 3)
{
	is(refreshed($acme, $trusting), 'ok',     "round $round: it is polled");
	is(refreshed($acme, $other),    $refused, "round $round: another connection to that host is not, right after");
	is(refreshed($beta, $foreign),  $refused, "round $round: nor another organization's");
}
my $both = join ', ', map { "'$_'" } $trusting, $other;
is( $acme->sql("select string_agg(r ->> 'ok', ' ' order by r ->> 'name') from"
		  . " jsonb_array_elements(saas_api.refresh_connections(array[$both]::uuid[], 60000)) r"),
	'true false', 'not even at the same time');
is(refreshed($acme, page($acme, $https, { ca_certificate => $ca{theirs} })), $refused, 'another authority does not help');
is(refreshed($acme, page($acme, $https, { ca_certificate => $ca{theirs} . $ca{ours} })), 'ok', 'one of several does');
is( refreshed($acme, page($acme, $secure{'wrong-host'}->url . '/metrics', { ca_certificate => $ca{ours} })),
	'the certificate of localhost is for another host name',
	'another host\'s certificate is refused still');
is( refreshed($acme, page($acme, $secure{expired}->url . '/metrics', { ca_certificate => $ca{ours} })),
	'the certificate of localhost has expired',
	'and one that has expired');

# The operator's authorities are for everybody, but whoever brings their own.
$node->append_conf('postgresql.conf', "saas.ca_file = '$certificates/ca.pem'");
$node->reload;
$node->poll_query_until('postgres', "select current_setting('saas.ca_file') <> ''");
is(refreshed($acme, $other), 'ok', 'with the operator\'s file the host is trusted');
my $pinned = page($acme, $https, { ca_certificate => $ca{theirs} });
is(refreshed($acme, $pinned), $refused, 'a connection with authorities of its own trusts them only');
is(refreshed($acme, $other), 'ok', 'others go on');
is(refreshed($acme, $pinned), $refused, 'and their connections are not used for it');

# Client certificates

my $client = PostgreSQL::Test::Utils::tempdir();
system_or_bail('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
	'-subj', '/CN=poller', '-keyout', "$client/key", '-out', "$client/pem");
my $server = <<'PYTHON';
import http.server, ssl, sys
connections = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def setup(self):
        global connections
        connections += 1
        super().setup()
    def do_GET(self):
        body = b'connections %d\n' % connections
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain; version=0.0.4')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.load_verify_locations(sys.argv[3])
context.verify_mode = ssl.CERT_REQUIRED
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, sys.argv[4])
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.handle_error = lambda *args: None
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
my %server;
foreach my $version ('TLSv1_2', 'TLSv1_3')
{
	my $pid = open(my $out, '-|', '/usr/bin/python3', '-c', $server, "$certificates/good.pem",
		"$certificates/good.key", "$client/pem", $version)
	  or BAIL_OUT("python3: $!");
	chomp(my $port = <$out>);
	$server{$version} = { pid => $pid, out => $out, url => "https://localhost:$port/metrics" };
}
# Since 1.3 a server says so after the handshake, and its closing may overtake it.
my %refusal = (
	TLSv1_2 => qr/^the TLS handshake with \S+ failed$/,
	TLSv1_3 => qr/^https:\S+ (?:asks for a client certificate|broke the connection off without an answer)$/);
foreach my $version (sort keys %server)
{
	my $url   = $server{$version}{url};
	my $known = page($acme, $url,
		{ client_certificate => slurp_file("$client/pem"), client_key => slurp_file("$client/key") });
	my $unknown = page($acme, $url);
	foreach my $round (1 .. 2)
	{
		is(refreshed($acme, $known), 'ok', "$version, round $round: a client certificate lets in");
		like(refreshed($acme, $unknown), $refusal{$version},
			"$version, round $round: another connection is not let in with it");
	}
	# The page counts network connections: one that is kept would be counted once.
	# The poller's own polls of the two, in between, are counted too.
	my @counts;
	foreach my $round (1 .. 2)
	{
		is(refreshed($acme, $known), 'ok', "$version: another poll");
		push @counts, $acme->sql("select value from saas_api.latest_samples where connection_id = '$known'");
	}
	cmp_ok($counts[1], '>', $counts[0], "$version: its network connection is closed after the poll");
	is(steps(test_of($acme, $known)), 'resolve connect tls authenticate authorize read parse', "$version: all steps are well");
	my $answer = test_of($acme, $unknown);
	is(steps($answer), $version eq 'TLSv1_2' ? 'resolve connect tls!' : 'resolve connect tls read!',
		"$version: who has none fails");
	like($answer->{steps}[-1]{hint}, qr/client_certificate/, 'and is told what to give') if $version eq 'TLSv1_2';
}
is($acme->sql("select count(*) from saas_api.connections c where to_jsonb(c)::text ~ 'CERTIFICATE|PRIVATE'"), '0',
	'none of it is shown');
foreach my $one (values %server)
{
	kill 'TERM', $one->{pid};
	close $one->{out};
}

$_->stop foreach $plain, values %secure;
$node->stop;
done_testing();
