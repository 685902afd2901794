# What upstreams do wrong: each harms its own connection, which shows the reason.
use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $certificates = SaasUpstream->certificates;
my $strangers    = SaasUpstream->certificates('strangers');

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'        => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'        => 'on',
		'saas.ca_file'                 => "$strangers/ca.pem",
		'saas.refresh_cooldown'        => '0',
		'saas.min_poll_interval'       => '1s',
		'saas.poller_max_per_host'     => '1000',
		'saas.poller_max_response'     => '2MB' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my %secure   = map { $_ => SaasUpstream->start(certificate => $_) } qw(good expired wrong-host self-signed);
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');
my %secret   = ($tenant->password => 1);

sub sql { return $node->safe_psql('postgres', @_); }

sub set_up
{
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	return;
}

# Nobody listens on the first; nobody answers on the second, whose queue takes
# the connections; the third's queue is full, so that none is made.
my $closed_port = PostgreSQL::Test::Cluster::get_free_port();
my @listeners;

sub mute_port
{
	my ($backlog) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	push @listeners, IO::Socket::INET->new(
		LocalAddr => '127.0.0.1', LocalPort => $port, Listen => $backlog, ReuseAddr => 1) || die "port $port: $!";
	return $port;
}

my $mute_port = mute_port(100);
my $full_port = mute_port(1);
foreach (1 .. 4)
{
	my $filler = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full_port, Blocking => 0);
	push @listeners, $filler if $filler;
}

#
# One connection for each: name, URL, what it shows, its status
#
my $http       = $upstream->url;
my $first_byte = qr/timed out while waiting for the first byte$/;
my $in_headers = qr/timed out while receiving the headers$/;
my $in_body    = qr/timed out while receiving the body$/;
my $cut_off    = qr/broke the connection off in the middle of the answer$/;
my $no_answer  = qr/broke the connection off without an answer$/;
my $not_http   = qr/does not answer in HTTP$/;
my $too_large  = qr/^the answer is larger than 2097152 bytes$/;
my $not_json   = qr/^the answer is not JSON: line 1, /;
my $is_page    = qr/^the answer \(text\/html\) is not JSON: line 1, /;
my $too_deep   = qr/^the answer is not JSON: .*nested too deeply$/;
my $bad_utf8   = qr/^the answer is not JSON: .*invalid UTF-8$/;
my $bad_number = qr/^the answer is not JSON: .*a number is too large$/;
my $no_metrics = qr/^the answer( \([a-z\/]+\))? is not in the Prometheus text format: line 1: /;
my $is_empty   = qr/^the answer is empty$/;
my $bad_coding = qr/^the answer of \S+ is compressed more than once or in an unknown way$/;
my $big_header = qr/^the answer's headers are too large$/;
my $untrusted  = qr/^the certificate of localhost comes from an authority that is not trusted$/;

# Of another server, in full.
my @elsewhere = (
	[ 'closed port', "http://localhost:$closed_port/json", qr/^could not connect to http:\S+: Connection refused$/ ],
	[   'unknown host', 'http://no-such-host.invalid/',
		qr/^the host name no-such-host\.invalid could not be resolved$|during the name look-up$/ ],
	[ 'full port', "http://localhost:$full_port/json", qr/timed out during the TCP connect$/ ],
	[ 'mute port', "http://localhost:$mute_port/json", $first_byte ],
	[ 'mute tls port', "https://localhost:$mute_port/", qr/timed out during the TLS handshake$/ ],
	[   'http as https', 'https://localhost:' . $upstream->port . '/json',
		qr/^the TLS handshake with \S+ failed$|timed out during the TLS handshake$/ ],
	[ 'https as http', 'http://localhost:' . $secure{good}->port . '/json', qr/$not_http|$no_answer|HTTP 400/ ],
	[ 'expired certificate',     $secure{expired}->url . '/json',       qr/^the certificate of localhost / ],
	[ 'wrong host certificate',  $secure{'wrong-host'}->url . '/json',  qr/^the certificate of localhost / ],
	[ 'self-signed certificate', $secure{'self-signed'}->url . '/json', qr/^the certificate of localhost is self-/ ],
	[ 'unknown authority',       $secure{good}->url . '/json',          $untrusted ],
	[ 'private address',    'http://10.1.2.3/',               qr/^the address 10\.1\.2\.3 is private$/ ],
	[ 'metadata address',   'http://169.254.169.254/latest/', qr/^the address 169\.254\.169\.254 is link-local$/ ],
	[ 'private address v6', 'http://[fd00::1]/',              qr/^the address fd00::1 is unique-local$/ ],
	[ 'no address', 'http://0.0.0.0:' . $upstream->port . '/json', qr/^the address 0\.0\.0\.0 is unspecified$/ ]);

# Of the upstream's /json for this connection alone, of kind http_json.
my @answer = (
	[ 'slow header',          'slow-header?ms=60000',         $first_byte ],
	[ 'dripping header',      'slow-header?ms=40&drip=1',     $in_headers ],
	[ 'slow body',            'slow-body?ms=200',             $in_body ],
	[ 'stall',                'stall',                        $first_byte ],
	[ 'stall after header',   'stall?after_header=1',         $in_body ],
	[ 'slow endless',         'endless?ms=900',               $in_body ],
	[ 'endless',              'endless',                      $too_large ],
	[ '50 MB',                'huge',                         $too_large ],
	[ '50 MB chunked',        'huge?chunked=1',               $too_large ],
	[ 'gzip bomb',            'gzip-bomb?bytes=268435456',    $too_large ],
	[ 'endless headers',      'endless-headers',              $big_header ],
	[ 'endless trailers',     'endless-trailers',             $big_header ],
	[ 'endless interim',      'endless-interim',              $big_header ],
	[ 'gzip in gzip',         'nested-gzip',                  $bad_coding ],
	[ 'gzip in gzip, lines',  'nested-gzip?way=lines',        $bad_coding ],
	[ 'gzip, early hints',    'nested-gzip?way=interim',      $bad_coding ],
	[ 'gzip as framing',      'nested-gzip?header=Transfer-Encoding', $bad_coding ],
	[ 'zstd',                 'coded?coding=zstd',            $bad_coding ],
	[ 'slow endless headers', 'endless-headers?ms=500',       $in_headers ],
	[ 'reset',                'reset',                        $cut_off ],
	[ 'reset at start',       'reset?at=start',               $no_answer ],
	[ 'truncated',            'truncated',                    $cut_off ],
	[ 'close',                'close',                        $no_answer ],
	[ 'not http',             'not-http',                     $not_http ],
	[ 'html',                 'html',                         $is_page ],
	[ 'empty',                'empty',                        qr/^the answer is empty \(HTTP 200\)$/ ],
	[ 'bad gzip',             'bad-gzip',                     qr/^the answer of \S+ could not be decompressed$/ ],
	[ 'cut json',             'body?body=%7B%22served%22%3A1', qr/^the answer is not JSON: .*it ends too early$/ ],
	[ 'clock ahead',          'body?body=%7B%22served%22%3A1%2C%22epoch%22%3A4e9%7D', qr/endpoint's clock is wrong$/ ],
	[ 'not json',             'not-json',                     $not_json ],
	[ 'garbage',              'garbage',                      $not_json ],
	[ 'bad utf8',             'bad-utf8',                     $bad_utf8 ],
	[ 'deep',                 'deep',                         $too_deep ],
	[ 'deep objects',         'deep?objects=1',               $too_deep ],
	[ 'escaped nul',          'nul',                          qr/^the answer is not JSON: .*a NUL character$/ ],
	[ 'raw nul',              'nul?raw=1',                    $not_json ],
	[ 'huge number',          'huge-number',                  $bad_number ],
	[ 'huge number digits',   'huge-number?digits=100000',    $bad_number ],
	[ '200 with error',       '200-with-error',               qr/^no metric found in the answer$/ ],
	[ '204',                  'empty?code=204',               qr/^the answer is empty \(HTTP 204\)$/ ],
	[ '304',                  'empty?code=304',               qr/^the endpoint answered HTTP 304$/ ],
	[   '401', 'status?code=401', qr/^the endpoint refused the credentials \(HTTP 401\)$/, 'reauth_required' ],
	[ '403',                  'status?code=403',              qr/^the endpoint denies access \(HTTP 403\)$/ ],
	[ '404',                  'status?code=404',              qr/^the endpoint has no such resource \(HTTP 404\)$/ ],
	(map { [ $_, "status?code=$_", qr/^the endpoint answered HTTP $_$/ ] }
		400, 402, 405 .. 407, 409 .. 418, 421 .. 426, 428, 431, 451, 499),
	(map { [ $_, "status?code=$_", qr/^the endpoint is not available \(HTTP $_\)$/ ] }
		408, 500 .. 502, 504 .. 508, 510, 511, 599),
	[   '429', 'status?code=429&retry_after=120', qr/^the endpoint asks for fewer requests \(HTTP 429\)$/ ],
	[   '503', 'status?code=503&retry_after=date%3A300', qr/^the endpoint is not available \(HTTP 503\)$/ ],
	[ '999',                  'status?code=999',              qr/HTTP 999|$not_http/ ],
	[ 'redirect loop',        'redirect-loop',                qr/^\S+ redirects more than 3 times$/ ],
	[   'redirect to another host', 'redirect?to=http%3A%2F%2F127.0.0.1%3A' . $upstream->port . '%2Fjson',
		qr{^http://localhost:\d+ redirects to http://127\.0\.0\.1:\d+$} ],
	[   'redirect to https', 'redirect?to=https%3A%2F%2Flocalhost%2Fjson',
		qr{^http://localhost:\d+ redirects to https://localhost:443$} ],
	[   'redirect to a private address', 'redirect?to=http%3A%2F%2F10.0.0.1%2F',
		qr{^http://localhost:\d+ redirects to http://10\.0\.0\.1:80$} ],
	[   'redirect to a file', 'redirect?to=file%3A%2F%2F%2Fetc%2Fpasswd',
		qr/^\S+ redirects to an address that is not acceptable$/ ],
	[ 'redirect without a target', 'redirect?to=', qr/HTTP 404|redirects/ ]);

# Of the upstream's /metrics, by a connection of kind prometheus.
my @page = (
	[ 'html metrics',    'html',                       $no_metrics ],
	[ 'garbage metrics', 'garbage',                    $no_metrics ],
	[ 'json metrics',    'body?body=%7B%22a%22%3A1%7D', qr/^the answer \(application\/json\) is not in the Prom/ ],
	[ 'empty metrics',   'empty',                      qr/^the answer \(application\/json\) holds no samples$/ ],
	[ 'nul metrics',     'body?body=a%201%00%0A&content_type=text%2Fplain', $no_metrics ],
	[ 'bomb of metrics', 'gzip-bomb?bytes=268435456',  $too_large ],
	[ 'endless metrics', 'endless?format=prometheus',  $too_large ],
	[ '50 MB metrics',   'huge?format=prometheus',     $too_large ]);

# Of the upstream itself, for good.
my @wrong = (
	[ 'too many samples', 'metrics?series=25000', qr/^the answer holds more than 20000 samples, the most that a poll/ ],
	[ 'no such page',     'nowhere', qr/^the endpoint has no such resource \(HTTP 404\)$/ ],
	[   'wrong token', 'metrics?auth=bearer',
		qr/^the endpoint refused the credentials \(HTTP 401\)$/, 'reauth_required' ]);

# The same for Salesforce's own paths: an org each, with a rule for its tokens.
sub error_body
{
	my ($code) = @_;
	return (fault => 'body', body => qq{[{"errorCode":"$code","message":"x"}]});
}

my @salesforce_fault = (
	[ 'sf 400', { fault => 'status', code => 400 }, qr/^Salesforce answered HTTP 400 UNKNOWN_EXCEPTION$/ ],
	[ 'sf 401', { fault => 'status', code => 401 }, qr/^Salesforce refused the request \(HTTP 401 UNKNOWN_EXC/ ],
	[   'sf 401 for ever', { error_body('INVALID_SESSION_ID'), code => 401 },
		qr/^Salesforce refused the access token that it has just given \(INVALID_SESSION_ID\)$/ ],
	[   'sf 403', { error_body('API_DISABLED_FOR_ORG'), code => 403 },
		qr/^Salesforce denies access \(HTTP 403 API_DISABLED_FOR_ORG\)$/ ],
	[   'sf limit', { error_body('REQUEST_LIMIT_EXCEEDED'), code => 403 },
		qr/^the organization's API request limit is used up \(REQUEST_LIMIT_EXCEEDED\)$/ ],
	[ 'sf 404', { fault => 'status', code => 404 }, qr/^Salesforce has no such resource \(HTTP 404 UNKNOWN_EXC/ ],
	[   'sf 429', { fault => 'status', code => 429, retry_after => 120 },
		qr/^Salesforce asks for fewer requests \(HTTP 429 / ],
	[ 'sf 500', { fault => 'status', code => 500 }, qr/^Salesforce is not available \(HTTP 500 / ],
	[   'sf 503', { fault => 'status', code => 503, retry_after => 'date:300' },
		qr/^Salesforce is not available \(HTTP 503 SERVER_UNAVAILABLE\)$/ ],
	[   'sf 200 with error', { fault => '200-with-error' },
		qr/^Salesforce answered HTTP 200 with the error UNKNOWN_EXCEPTION$/ ],
	[ 'sf html',         { fault => 'html' },                 $not_json ],
	[ 'sf empty',        { fault => 'empty' },                $is_empty ],
	[ 'sf empty object', { fault => 'body', body => '{}' },   qr/^the answer holds no limits$/ ],
	[ 'sf null',         { fault => 'body', body => 'null' }, qr/^the answer is not an object of limits$/ ],
	[ 'sf deep',         { fault => 'deep' },                 $too_deep ],
	[ 'sf nul',          { fault => 'nul', raw => 1 },        $not_json ],
	[ 'sf bad utf8',     { fault => 'bad-utf8' },             $bad_utf8 ],
	[ 'sf huge number',  { fault => 'huge-number' },          $bad_number ],
	[ 'sf huge',         { fault => 'huge' },                 qr/^the answer is larger than 1048576 bytes$/ ],
	[ 'sf truncated',    { fault => 'truncated' },            $cut_off ],
	[ 'sf reset',        { fault => 'reset' },                $cut_off ],
	[ 'sf stall',        { fault => 'stall' },                $first_byte ],
	[   'sf redirect', { fault => 'redirect', to => "http://127.0.0.1:$closed_port/" },
		qr{^http:\S+ redirects to http://127\.0\.0\.1:$closed_port$} ]);
my $sign_in     = "Salesforce's sign-in";
my $no_token    = qr/^Salesforce's token answer holds no access token$/;
my @token_fault = (
	[   'token 400', { fault => 'status', code => 400 },
		qr/^Salesforce refused to renew the access token \(HTTP 400 unknown_exception\)$/ ],
	[   'token 429', { fault => 'status', code => 429, retry_after => 120 },
		qr/^$sign_in asks for fewer requests \(HTTP 429 / ],
	[ 'token 500',   { fault => 'status', code => 500 }, qr/^$sign_in is not available \(HTTP 500 / ],
	[ 'token html',  { fault => 'html' },                qr/^Salesforce's token answer is not JSON: / ],
	[ 'token empty', { fault => 'empty' },               qr/^Salesforce's token answer is empty$/ ],
	[ 'token none',  { fault => 'body', body => '{"instance_url":"https://evil.example.com"}' }, $no_token ],
	[ 'token control', { fault => 'body', body => '{"access_token":"a\r\nX-Evil: 1"}' }, $no_token ],
	[ 'token huge',  { fault => 'huge' },                qr/^the answer is larger than 65536 bytes$/ ],
	[ 'token stall', { fault => 'stall' },               $first_byte ],
	[ 'token redirect', { fault => 'redirect', to => "http://127.0.0.1:$closed_port/" }, qr/HTTP 302/ ]);

# A rule of the upstream for this case; the URL that it is for.
my $cases = 0;

sub break_path
{
	my ($path, $fault) = @_;
	my ($name, $query) = split /\?/, $fault, 2;
	my $case = ++$cases;
	my %params = map { my ($key, $value) = split /=/; $value =~ s/%(..)/chr hex $1/ge; $key => $value } split /&/, $query // '';
	$upstream->control(POST => 'faults', { %params, path => $path, fault => $name, query => { case => "$case" } });
	return "$http$path?case=$case";
}

my @fault = (
	(map { [ 'http_json', @$_ ] } @elsewhere),
	(map { my ($name, $fault, @rest) = @$_; [ 'http_json', $name, break_path('/json', $fault), @rest ] } @answer),
	(map { my ($name, $fault, @rest) = @$_; [ 'prometheus', $name, break_path('/metrics', $fault), @rest ] } @page),
	(map { my ($name, $path, @rest) = @$_; [ 'prometheus', $name, "$http/$path", @rest ] } @wrong));
my %expected;
foreach (@fault)
{
	my (undef, $name, undef, $reason, $status) = @$_;
	$expected{$name} = { reason => $reason, status => $status || 'error' };
}
$expected{ $_->[0] } = { reason => $_->[2], status => 'error' } foreach @salesforce_fault, @token_fault;

# Those that last as long as a poll may; the others have all the time that they need.
my %hangs = map { $_ => 1 } 'unknown host', 'full port', 'mute tls port', 'http as https',
  grep { my $reason = $expected{$_}{reason}; grep { $reason eq $_ } $first_byte, $in_headers, $in_body } keys %expected;

my $healthy = $tenant->connect('prometheus', 'healthy', { url => "$http/metrics?instance=healthy&auth=bearer" },
	{ bearer_token => 'scrape-token' }, '1 second');
$secret{'scrape-token'} = 1;

sub readings_of
{
	my ($id) = @_;
	return sql("select count(*) from saas.reading where connection_id = '$id'");
}

sub still_polled
{
	my ($name) = @_;
	my $count = readings_of($healthy) + 2;
	return ok($node->poll_query_until('postgres',
			"select count(*) >= $count from saas.reading where connection_id = '$healthy'"), $name);
}

ok($tenant->wait_for($healthy, "status = 'active'"), 'a healthy connection is polled');
my $pid = sql('select pid from saas.poller_status()');

# The most memory that the poller has had, in MB.
sub peak_mb
{
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB$/m;
	return $kb / 1024;
}

my $first_peak = peak_mb();

my (@calls, @hanging_calls);
foreach (@fault)
{
	my ($kind, $name, $url) = @$_;
	my $token = 'bearer-of-' . join '-', split / /, $name;
	$secret{$token} = 1;
	my %config = (url => $url);
	@config{qw(auth metrics)} = ('bearer', [ { name => 'served', path => '$.served', time_path => '$.epoch' } ])
	  if $kind eq 'http_json';
	push @{ $hangs{$name} ? \@hanging_calls : \@calls },
	  $tenant->connect_call($kind, $name, \%config, { bearer_token => $token }, '1 hour');
}
foreach (@salesforce_fault, @token_fault)
{
	my ($name, $rule) = @$_;
	my $org = $upstream->control(POST => 'orgs', {});
	my $is_token = $name =~ /^token/;
	$upstream->control(POST => "orgs/$org->{org_id}/expire") if $is_token;
	$upstream->control(POST => 'faults',
		{ %$rule, path => $is_token ? '/services/oauth2' : '/services/data', org => $org->{org_id} });
	$secret{ $org->{$_} } = 1 foreach qw(client_secret access_token refresh_token);
	my ($config, $secrets) = $tenant->salesforce_of($org);
	push @{ $hangs{$name} ? \@hanging_calls : \@calls },
	  $tenant->connect_call('salesforce', $name, $config, $secrets, '1 hour');
}

# An upstream that quotes what it was given.
my $parrot = $upstream->control(POST => 'orgs', {});
$secret{ $parrot->{$_} } = 1 foreach qw(client_secret access_token refresh_token);
$upstream->control(POST => 'faults',
	{   path => '/services/data', org => $parrot->{org_id}, fault => 'body', code => 400,
		body => '[{"errorCode":"' . $parrot->{access_token} . '","message":"' . $parrot->{refresh_token} . '"}]' });
push @calls, $tenant->connect_call('salesforce', 'sf parrot', $tenant->salesforce_of($parrot), '1 hour');
$expected{'sf parrot'} = { reason => qr/^Salesforce answered HTTP 400$/, status => 'error' };

# Good answers by a detour or of an odd shape.
my %good = ('good redirect' => "$http/fault/redirect?to=%2Fmetrics", 'good page' => "$http/metrics?instance=good");
push @calls, $tenant->connect_call('prometheus', $_, { url => $good{$_} }, {}, '1 hour') foreach sort keys %good;

sub connect_all
{
	my ($name, @wanted) = @_;
	$tenant->sql(join ";\n", map { "select 1 from $_" } @wanted);
	return ok($node->poll_query_until('postgres', q{
			select count(*) = 0 from saas.connection_status where last_polled_at is null}),
		'all ' . @wanted . " $name are polled");
}

sub limit_to
{
	my ($connect, $request) = @_;
	set_up('saas.poller_connect_timeout' => $connect, 'saas.poller_request_timeout' => $request);
	$node->poll_query_until('postgres', "select current_setting('saas.poller_request_timeout') = '$request'")
	  or BAIL_OUT('the server does not take another time limit');
	return;
}

# Where the machine itself stops for a while, the limit is met elsewhere: what hangs is polled again.
sub reach_the_limit
{
	my $list = join ', ', map { "'$_'" } keys %hangs;
	foreach my $round (1 .. 4)
	{
		my @elsewhere = map { $_->[0] } grep { $_->[2] =~ /timed out/ && $_->[2] !~ $expected{ $_->[1] }{reason} }
		  map { [ split /\|/ ] } split /\n/,
		  sql("select c.id, c.name, s.last_error from saas.connection c join saas.connection_status s on s.connection_id = c.id
				where c.name in ($list)");
		last unless @elsewhere;
		my $then = sql('select clock_timestamp()');
		$tenant->make_due(@elsewhere);
		$tenant->wait_for($_, "last_polled_at > '$then' and lease_id is null") foreach @elsewhere;
	}
	return;
}

connect_all('faulty connections', @calls);
still_polled('while the healthy one is polled on');
limit_to('1s', '2s');
connect_all('connections that hang', @hanging_calls);
still_polled('while the healthy one is polled on');
reach_the_limit();

my $rows = decode_json(sql(q{
	select jsonb_object_agg(c.name, to_jsonb(s) || jsonb_build_object(
	           'wait_s', case when s.next_poll_at < 'infinity'
	                          then extract(epoch from s.next_poll_at - s.last_polled_at) end,
	           'left_s', case when s.next_poll_at < 'infinity' then extract(epoch from s.next_poll_at - now()) end,
	           'readings', (select count(*) from saas.reading r where r.connection_id = c.id)))
	  from saas.connection c join saas.connection_status s on s.connection_id = c.id}));

# What hangs would from now on hang for a minute: it rests, once it is not being polled.
my $hanging = join ', ', map { "'$_'" } keys %hangs;
my $rests_by = time + $PostgreSQL::Test::Utils::timeout_default;
while (sql("
	with resting as (update saas.connection_status s set next_poll_at = 'infinity' from saas.connection c
	                  where c.id = s.connection_id and c.name in ($hanging) and s.lease_id is null and s.next_poll_at < 'infinity')
	select count(*) from saas.connection c join saas.connection_status s on s.connection_id = c.id
	 where c.name in ($hanging) and (s.lease_id is not null or s.next_poll_at < 'infinity')") ne '0')
{
	BAIL_OUT('what hangs is polled without end') if time > $rests_by;
}
limit_to('1min', '1min');
foreach my $name (sort keys %expected)
{
	my ($row, $wanted) = ($rows->{$name}, $expected{$name});
	subtest "$name: $row->{last_error}" => sub {
		like($row->{last_error}, $wanted->{reason}, 'the connection shows the reason');
		like($row->{last_error_code}, qr/^[0-9A-Z]{5}$/, 'and an SQLSTATE');
		is($row->{status}, $wanted->{status}, 'in its status');
		ok($row->{consecutive_failures} > 0 && !defined $row->{last_success_at}, 'the poll counts as failed');
		ok($wanted->{status} eq 'reauth_required' ? $row->{next_poll_at} eq 'infinity' : $row->{wait_s} > 0,
			'the next poll is later, or waits for the owner');
		is($row->{readings}, 0, 'nothing is stored');
	};
}
foreach my $name ('429', 'sf 429', 'token 429')
{
	cmp_ok($rows->{$name}{wait_s}, '>=', 119.5, "$name: Retry-After in seconds is honoured");
	# A tenth at random.
	cmp_ok($rows->{$name}{left_s}, '<=', 133,   "$name: and not more");
}
cmp_ok($rows->{$_}{wait_s}, '>=', 295, "$_: Retry-After as a date is honoured") foreach '503', 'sf 503';
is($rows->{$_}{status}, 'active', "$_ is active") foreach sort keys %good;
my $growth = peak_mb() - $first_peak;
cmp_ok($growth, '<', 256, 'of all of them at once the poller needs less than 256 MB more');
note(sprintf 'it needed %.0f MB more', $growth);

#
# What was broken and is whole again is polled well, without anybody's help
#
$upstream->control(DELETE => 'faults');
close $_ foreach @listeners;
my @back = map { SaasUpstream->start(port => $_) } $closed_port, $mute_port, $full_port;
my @heal = grep { $expected{$_}{status} eq 'error' }
  ('closed port', 'mute port', 'full port', map { $_->[0] } @answer, @page, @salesforce_fault, @token_fault);
my $ids = join ', ', map { "'$_'" } @heal;
sql("update saas.connection_status s set next_poll_at = now() from saas.connection c
	  where c.org_id = s.org_id and c.id = s.connection_id and c.name in ($ids);
	do \$\$ begin perform saas_private.wake_poller(); end \$\$");
ok($node->poll_query_until('postgres', "
		select count(*) = 0 from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where c.name in ($ids) and (s.status <> 'active' or s.last_error is not null)"),
	scalar(@heal) . ' connections recover by themselves');
is( sql("select string_agg(c.name || ': ' || s.last_error, E'\n') from saas.connection_status s
		join saas.connection c on c.id = s.connection_id where c.name in ($ids) and s.status <> 'active'"),
	'', 'every one');
is(sql("select s.status from saas.connection_status s join saas.connection c on c.id = s.connection_id where c.name = '401'"),
	'reauth_required', 'one that waits for its owner does not');
$_->stop foreach @back;

#
# Who waits for an answer holds up nobody
#
$upstream->control(POST => 'faults', { path => '/json', query => { wait => '1' }, fault => 'held' });
my $waiting = $upstream->control(GET => 'stats')->{in_flight};
$tenant->sql(join ";\n", map { 'select 1 from ' . $tenant->connect_call('http_json', "held $_",
		{ url => "$http/json?wait=1&n=$_", metrics => [ { name => 'served', path => '$.served' } ] }, {}, '1 hour') } 1 .. 50);
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
1 while $upstream->control(GET => 'stats')->{in_flight} < $waiting + 50 && time < $until;
still_polled('while 50 upstreams let the poller wait the healthy one is polled on');
is(sql("select count(*) from saas.connection_status s join saas.connection c on c.id = s.connection_id
		where c.name like 'held %' and s.last_polled_at is null"), 50, 'and they are still waited for');
$upstream->control(DELETE => 'faults');
ok($node->poll_query_until('postgres', "
		select count(*) = 50 from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where c.name like 'held %' and s.status = 'active'"), 'until they answer');

#
# Nor does anybody who is answered badly, round after round; and what bad answers take of memory is given back
#
sub now_there { return sql('select clock_timestamp()'); }

# By how much the gaps between polls of these exceeded their second, in ms: the 99th percentile.
sub delay_ms
{
	my ($from, $to) = @_;
	return sql("
		select round(1000 * percentile_cont(0.99) within group (order by gap - 1))
		  from (select extract(epoch from r.at - lag(r.at) over (partition by r.connection_id order by r.at)) as gap
		          from saas.reading r join saas.connection c on c.id = r.connection_id
		         where c.name like 'well %' and r.at between '$from' and '$to') as gaps");
}

sub rss_mb
{
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+) kB$/m;
	return $kb / 1024;
}

my $wells = 20;

sub wells_polled_since
{
	my ($when) = @_;
	return $node->poll_query_until('postgres', "
		select count(distinct c.id) = $wells from saas.connection c join saas.reading r on r.connection_id = c.id
		 where c.name like 'well %' and r.at > '$when'");
}

$tenant->sql(join ";\n", map { 'select 1 from ' . $tenant->connect_call('prometheus', "well $_",
		{ url => "$http/metrics?instance=well$_" }, {}, '1 second') } 1 .. $wells);
ok($node->poll_query_until('postgres', "
		select count(*) = $wells from saas.connection c where c.name like 'well %'
		   and (select count(*) from saas.reading r where r.connection_id = c.id) >= 2"), "$wells connections are polled");
my $begun = now_there();
ok($node->poll_query_until('postgres', "
		select count(*) = $wells from saas.connection c where c.name like 'well %'
		   and (select count(*) from saas.reading r where r.connection_id = c.id and r.at > '$begun') >= 6"), 'each second');
my $quiet_ms = delay_ms($begun, now_there());

my @flood = ('endless', 'huge', 'huge?chunked=1', 'gzip-bomb?bytes=268435456', 'endless-headers', 'endless-trailers',
	'endless-interim', 'nested-gzip', 'deep', 'huge-number?digits=1000000', 'garbage?bytes=1900000', 'not-http');
my @floods = map { my ($fault, $url) = ($_, break_path('/json', $_));
	$tenant->connect('http_json', "flood $fault", { url => $url, metrics => [ { name => 'served', path => '$.served' } ] },
		{}, '1 hour') } @flood;
$upstream->control(POST => 'faults', { path => '/json', query => { wait => '1' }, fault => 'held' });
my $in_flight = $upstream->control(GET => 'stats')->{in_flight};
$tenant->make_due(split /\n/, sql("select id from saas.connection where name like 'held %'"));
$until = time + $PostgreSQL::Test::Utils::timeout_default;
1 while $upstream->control(GET => 'stats')->{in_flight} < $in_flight + 50 && time < $until;

$begun = now_there();
my $rounds = 8;
my $settled_mb;
foreach my $round (1 .. $rounds)
{
	my $then = now_there();
	my @refused = grep { !$_->{ok} } @{ $tenant->refresh(@floods) };
	is(scalar @refused, scalar @floods, "round $round: all that is too much is refused");
	ok(wells_polled_since($then), 'and each of the others is polled');
	$settled_mb = rss_mb() if $round == 2;
}
note(sprintf 'p99 of the delay of %d healthy connections: %s ms in peace, %s ms with %d upstreams that hang and %d that flood',
	$wells, $quiet_ms, delay_ms($begun, now_there()), 50, scalar @floods);
is(sql("select count(*) from saas.connection_status s join saas.connection c on c.id = s.connection_id
		where c.name like 'held %' and (s.lease_until > now() or s.last_error ~ 'timed out while waiting for the first byte\$')"),
	50, '50 upstreams have let the poller wait all the while');
my $bound_mb = @floods * 2;
cmp_ok(rss_mb() - $settled_mb, '<', $bound_mb,
	sprintf 'from the second round on the poller grows by less than the %d MB that one round may hold', $bound_mb);
note(sprintf 'it grew by %.1f MB', rss_mb() - $settled_mb);
sql("update saas.connection_status set consecutive_failures = 0 where connection_id in (" . join(', ', map { "'$_'" } @floods) . ')');
$upstream->control(DELETE => 'faults');
$tenant->make_due(@floods);
ok($node->poll_query_until('postgres', "
		select count(*) = @{[ @floods + 50 ]} from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where (c.name like 'flood %' or c.name like 'held %') and s.status = 'active' and s.consecutive_failures = 0"),
	'what flooded or hung recovers');

#
# Many large answers together take a bounded part of the memory, and small ones have room beside them
#
my $heavy = 200;
$upstream->control(POST => 'faults', { path => '/json', query => { heavy => '1' }, fault => 'heavy', bytes => 1900000 });
my $before_mb = peak_mb();
$tenant->sql(join ";\n", map { 'select 1 from ' . $tenant->connect_call('http_json', "heavy $_",
		{ url => "$http/json?heavy=1&n=$_", metrics => [ { name => 'served', path => '$.served' } ] }, {}, '1 hour') } 1 .. $heavy);
ok($node->poll_query_until('postgres', "
		select exists (select from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where c.name like 'heavy %' and s.last_error = 'too many large answers arrived at the same time')"),
	'of too many large answers some are given up');
ok(wells_polled_since(now_there()), 'and none of the small ones');
is(sql("select count(*) from saas.connection_status s join saas.connection c on c.id = s.connection_id
		where c.name like 'well %' and s.last_error is not null"), 0, 'nor have they an error');
cmp_ok(peak_mb() - $before_mb, '<', 256 + 64, 'they take 256 MB together');
note(sprintf 'they took %.0f MB', peak_mb() - $before_mb);
$upstream->control(DELETE => 'faults');
$node->poll_query_until('postgres', "
		select count(*) = 0 from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where c.name like 'heavy %' and s.last_polled_at is null");
$tenant->make_due(split /\n/, sql("select id from saas.connection where name like 'heavy %'"));
ok($node->poll_query_until('postgres', "
		select count(*) = $heavy from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where c.name like 'heavy %' and s.status = 'active'"), 'until there is room for all');

#
# Settings that the operator changes heal or forbid at once
#
sub id_of
{
	my ($name) = @_;
	return sql("select id from saas.connection where name = '$name'");
}

sub outcome
{
	my ($name) = @_;
	my $answer = $tenant->refresh(id_of($name))->[0];
	return $answer->{ok} ? 'ok' : $answer->{error};
}

my $tls = $tenant->connect('prometheus', 'tls', { url => $secure{good}->url . '/metrics' }, {}, '1 hour');
ok($tenant->wait_for($tls, "status = 'error'"), 'a certificate of an unknown authority is refused');
set_up('saas.ca_file' => "$certificates/ca.pem");
ok($node->poll_query_until('postgres', "select current_setting('saas.ca_file') = '$certificates/ca.pem'"),
	'with the authority in saas.ca_file');
is(outcome('tls'), 'ok', 'it is accepted');
my %exchange = map { $_ => SaasUpstream->start(certificate => 'rsa', ciphers => "$_:\@SECLEVEL=0") } 'DHE', 'ECDHE';
$tenant->connect('prometheus', "exchange $_", { url => $exchange{$_}->url . '/metrics' }, {}, '1 hour')
  foreach sort keys %exchange;
is(outcome('exchange ECDHE'), 'ok', 'a key exchange of elliptic curves is good with TLS 1.2');
like(outcome('exchange DHE'), qr/^the TLS handshake with \S+ failed$/,
	'one whose cost is the other side\'s choice is not offered');
$_->stop foreach values %exchange;
is(outcome('expired certificate'), 'the certificate of localhost has expired', 'an expired certificate is not');
is( outcome('wrong host certificate'),
	'the certificate of localhost is for another host name',
	'nor one for another host');
is(outcome('self-signed certificate'), 'the certificate of localhost is self-signed', 'nor a self-signed one');
foreach my $name ('expired', 'wrong-host', 'self-signed')
{
	my $port = $secure{$name}->port;
	$secure{$name}->stop;
	$secure{$name} = SaasUpstream->start(certificate => 'good', port => $port);
	(my $connection = "$name certificate") =~ s/wrong-host/wrong host/;
	is(outcome($connection), 'ok', "the $connection is replaced and all is well");
}

set_up('saas.allowed_networks' => '');
ok($tenant->wait_for($healthy, "last_error = 'the host localhost leads to an address that is not allowed'"),
	'without saas.allowed_networks no private address is reached');
is(outcome('tls'), 'the host localhost leads to an address that is not allowed', 'not over TLS either');
set_up('saas.allowed_networks' => '127.0.0.0/8', 'saas.allow_plain_http' => 'off');
ok($tenant->wait_for($healthy, "last_error ~ 'is not an https address'"),
	'without saas.allow_plain_http nothing is sent unencrypted');
is(outcome('tls'), 'ok', 'while https goes on');
set_up('saas.allow_plain_http' => 'on');
still_polled('what was forbidden heals by itself once it is allowed');

my $fix = $tenant->connect('prometheus', 'comes back', { url => "$http/metrics?instance=back" }, {}, '1 hour');
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'drop' });
$tenant->wait_for($fix, "status = 'active'");
is(outcome('comes back'), 'ok', 'a kept connection that the upstream closed is made anew') foreach 1 .. 3;
$upstream->control(DELETE => 'faults');
$upstream->stop;
like(outcome('comes back'), qr/^could not connect to |$no_answer/, 'an upstream that is down shows as such');
$upstream->restart;
is(outcome('comes back'), 'ok', 'and as good when it is up again');

#
# The worker itself
#
still_polled('after all of it the healthy connection is polled');
is(sql('select pid from saas.poller_status()'), $pid, 'by the same process');
is(sql(q{select count(*) from saas.connection_status where lease_until is not null
		and lease_until < now()}), 0, 'and no lease was forgotten');

my %told = (
	'last_error' => sql(q{select string_agg(last_error, ' ') from saas.connection_status}),
	'poller_status' => sql('select last_error from saas.poller_status()'),
	'answers' => JSON::PP->new->encode($tenant->refresh()));
$told{'the server\'s log'} = $node->log_since(0);
foreach my $where (sort keys %told)
{
	is_deeply([ grep { index($told{$where}, $_) >= 0 } sort keys %secret ], [], "no secret in $where");
}
my $worry = qr/terminated by signal|PANIC|FATAL|ERROR|WARNING|could not store/;
is_deeply([ grep { /$worry/ } split /\n/, $told{'the server\'s log'} ], [], 'nor anything to worry about');
$node->stop;

done_testing();
