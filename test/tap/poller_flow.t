# Polls from end to end: samples, tokens, on-demand polls, and who waits for whom.
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $reauth_message = 'Access token expired. Please re-authenticate this connection.';

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'  => 'on',
		'saas.refresh_cooldown'  => '0',
		'saas.min_poll_interval' => '1s' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');
my $beta     = SaasTenant->create($node, 'postgres', 'Beta');
my %secret;

sub sql { return $node->safe_psql('postgres', @_); }

sub set_up
{
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	return;
}

# psql's error with its SQLSTATE, '' without one.
sub error_of
{
	my ($statements) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$statements", on_error_stop => 1);
	return $status == 0 ? '' : $err;
}

sub readings_of
{
	my ($id) = @_;
	return sql("select count(*) from saas.reading where connection_id = '$id'");
}

# Polls it now, as if it were due, and waits until that is stored.
sub poll
{
	my ($tenant, $id) = @_;
	my $last = $tenant->status($id)->{last_polled_at};
	$tenant->make_due($id);
	my $since = defined $last ? "last_polled_at > '$last'" : 'last_polled_at is not null';
	$tenant->wait_for($id, "$since and lease_id is null") or BAIL_OUT('the connection is not polled');
	return $tenant->status($id);
}

# A connection to an instance of /metrics, polled when a test says so.
sub connect_page
{
	my ($tenant, $name, $instance) = @_;
	return $tenant->connect('prometheus', $name, { url => $upstream->url . "/metrics?instance=$instance" },
		{}, '1 hour');
}

# The SQL that refreshes connections.
sub refresh_of
{
	my ($ids, $timeout_ms) = @_;
	my $list = join ', ', map { "'$_'" } @$ids;
	return sprintf 'saas_api.refresh_connections(array[%s]::uuid[], %d)', $list, $timeout_ms || 60000;
}

sub wait_for_state
{
	my ($state, $name) = @_;
	return ok($node->poll_query_until('postgres', "select state = '$state' from saas.poller_status()"), $name);
}

sub give_secrets
{
	my ($tenant, $id, $grant) = @_;
	my ($config, $secrets) = $tenant->salesforce_of($grant);
	my $text = JSON::PP->new->encode($secrets);
	$tenant->sql("select 1 from saas_api.set_connection_secrets('$id', \$json\$$text\$json\$)");
	return;
}

sub new_org
{
	my (%options) = @_;
	my $org = $upstream->control(POST => 'orgs', \%options);
	$secret{ $org->{$_} } = 1 foreach qw(client_secret access_token refresh_token);
	return $org;
}

sub org_stats { return $upstream->control(GET => "orgs/$_[0]{org_id}/stats"); }

sub org_state { return $upstream->control(GET => "orgs/$_[0]{org_id}"); }

# The one fault that there is, instead of the genuine answer.
sub fault { return $upstream->control(POST => 'faults', {@_}); }

sub no_fault { return $upstream->control(DELETE => 'faults'); }

# The genuine answers below a path, until they are let go: that one's, or all.
sub hold { return fault(path => $_[0], fault => 'held'); }

sub let_go { return $upstream->control(DELETE => $_[0] ? "faults/$_[0]{id}" : 'faults'); }

# What was held is stored by then, too.
sub wait_for_rest
{
	my ($name) = @_;
	return ok($node->poll_query_until('postgres', 'select in_flight = 0 from saas.poller_status()'), $name);
}

sub wait_for_hits
{
	my ($hits) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($upstream->control(GET => 'faults')->[0]{hits} >= $hits)
	{
		BAIL_OUT('the upstream is not asked') if time > $deadline;
		select undef, undef, undef, 0.02;
	}
	return;
}

# Sessions that wait for the poller's answer.
sub wait_for_askers
{
	my ($count) = @_;
	return $node->poll_query_until('postgres', qq{
		select count(*) = $count from pg_stat_activity
		 where wait_event_type = 'Extension' and backend_type = 'client backend'});
}

# How often that instance of /metrics was scraped, seen by the upstream.
my %looked;

sub scrapes
{
	my ($instance) = @_;
	my $page = HTTP::Tiny->new(proxy => undef)->get($upstream->url . "/metrics?instance=$instance")->{content};
	my ($tens) = $page =~ /demo_requests_total\{method="get",code="200"\} (\d+)/;
	return $tens / 10 - ++$looked{$instance};
}

#
# Samples of each kind
#
my $exporter_binary = '/usr/bin/prometheus-node-exporter';
my $exporter_pid;
END { kill 'TERM', $exporter_pid if $exporter_pid; }

SKIP:
{
	skip "$exporter_binary is not installed", 5 unless -x $exporter_binary;

	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $log  = "$PostgreSQL::Test::Utils::log_path/node_exporter.log";
	$exporter_pid = fork;
	die "fork: $!" unless defined $exporter_pid;
	if (!$exporter_pid)
	{
		open STDIN,  '<',  '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		{ exec $exporter_binary, "--web.listen-address=127.0.0.1:$port"; }
		POSIX::_exit(127);
	}
	my $id = $acme->connect('prometheus', 'node exporter', { url => "http://localhost:$port/metrics" },
		{}, '1 second');
	ok($acme->wait_for($id, "status = 'active' and last_sample_count > 100"),
		'a real node exporter is polled, however long it took to start');
	my ($total) = slurp_file('/proc/meminfo') =~ /^MemTotal:\s+(\d+) kB/m;
	is( $acme->sql(qq{select s.value, s.labels from saas_api.latest_samples s
			where s.connection_id = '$id' and s.metric = 'node_memory_MemTotal_bytes'}),
		$total * 1024 . '|{}',
		'its values are the machine\'s');
	my @cpus = slurp_file('/proc/stat') =~ /^(cpu\d+)/mg;
	is( $acme->sql(qq{select count(*) from saas_api.latest_samples s
			where s.connection_id = '$id' and s.metric = 'node_cpu_seconds_total' and s.labels ->> 'mode' = 'idle'}),
		scalar @cpus,
		'with their labels');
	ok($node->poll_query_until('postgres',
			"select count(*) >= 3 from saas.reading where connection_id = '$id'"),
		'poll after poll');
	is( sql("select count(distinct layout_id) <= 2 from saas.reading where connection_id = '$id'"),
		't', 'under the same layout');
	$acme->sql("do \$\$ begin perform saas_api.set_connection_active('$id', false); end \$\$");
	kill 'TERM', $exporter_pid;
	waitpid $exporter_pid, 0;
	undef $exporter_pid;
}

my $org    = new_org();
my $limits = $acme->salesforce($org, 'limits', poll_interval => '1 hour');
ok($acme->wait_for($limits, "status = 'active'"), 'a Salesforce org is polled as soon as it is connected');
my $document = $upstream->control(GET => "orgs/$org->{org_id}/limits");
is( $acme->sql(qq{
		select string_agg(s.metric || '=' || s.value, ' ' order by s.metric) from saas_api.latest_samples s
		 where s.connection_id = '$limits' and s.labels ->> 'limit' = 'DailyApiRequests'
		   and s.metric in ('salesforce_limit_max', 'salesforce_limit_remaining')}),
	"salesforce_limit_max=$document->{DailyApiRequests}{Max}"
	  . " salesforce_limit_remaining=$document->{DailyApiRequests}{Remaining}",
	'its limits are in the tables');
is( $acme->sql(qq{select count(*) from saas_api.latest_samples s
		where s.connection_id = '$limits' and s.labels ->> 'limit' like '%.%'}) > 0,
	1, 'those of single apps too');
is($beta->sql('select count(*) from saas_api.latest_samples'), 0, 'and another organization sees none of it');

my $json = $acme->connect(
	'http_json',
	'json',
	{   url     => $upstream->url . '/json?auth=header',
		auth    => 'api_key',
		metrics => [
			{ name => 'queue_depth', path => '$.queue.depth' },
			{   name   => 'item_value',
				path   => '$.items[*].value',
				labels => { item => '@.name', site => 'north' } } ] },
	{ api_key => 'api-key-secret' },
	'1 hour');
$secret{'api-key-secret'} = 1;
ok($acme->wait_for($json, "status = 'active'"), 'an endpoint that answers JSON is polled');
is( $acme->sql(qq{
		select string_agg(s.metric || ' ' || s.labels || ' ' || s.value, '; ' order by s.metric, s.labels)
		  from saas_api.latest_samples s where s.connection_id = '$json'}),
	join('; ',
		'item_value {"item": "alpha", "site": "north"} 1',
		'item_value {"item": "beta", "site": "north"} 2.5',
		'item_value {"item": "gamma é世", "site": "north"} -1',
		'queue_depth {} 1'),
	'each path is a metric, each match a series');

#
# Tokens
#
sub sealed_token
{
	my ($id, $name) = @_;
	return sql("select value from saas_private.connection_secret where connection_id = '$id' and name = '$name'");
}

my $sealed_before = sealed_token($limits, 'access_token');
$upstream->control(POST => "orgs/$org->{org_id}/expire");
my $status = poll($acme, $limits);
is($status->{status}, 'active', 'a token that has expired is renewed within the poll');
is(org_stats($org)->{token_requests}, 1, 'with one request');
ok($status->{token_expires_at}, 'its expiry is known from then on');
isnt(sealed_token($limits, 'access_token'), $sealed_before, 'the new token is in the place of the old one');
is( sql(qq{select saas.describe(value) ->> 'length' from saas_private.connection_secret
		where connection_id = '$limits' and name = 'access_token'}),
	length(org_state($org)->{access_token}),
	'and sealed');
$secret{ org_state($org)->{access_token} } = 1;
poll($acme, $limits);
is(org_stats($org)->{token_requests}, 1, 'and used by the next poll');
sql("update saas.connection_status set token_expires_at = now() + interval '4 minutes'"
	  . " where connection_id = '$limits'");
poll($acme, $limits);
is(org_stats($org)->{token_requests}, 2, 'a token about to expire is renewed ahead');

my $rotating_org = new_org(rotate_refresh_tokens => JSON::PP::true);
my $rotating     = $acme->salesforce($rotating_org, 'rotating', poll_interval => '1 hour');
$acme->wait_for($rotating, "status = 'active'");
foreach my $round (1 .. 4)
{
	$upstream->control(POST => "orgs/$rotating_org->{org_id}/expire");
	is(poll($acme, $rotating)->{status}, 'active', "rotation $round: the refresh token of the round before is good");
	$secret{ org_state($rotating_org)->{$_} } = 1 foreach qw(access_token refresh_token);
}
my $stats = org_stats($rotating_org);
is("$stats->{tokens_issued} $stats->{refresh_token_reuses} $stats->{refresh_token_state}",
	'4 0 current', 'the upstream saw four refreshes and no token twice');

$sealed_before = sealed_token($rotating, 'refresh_token');
$upstream->control(POST => "orgs/$rotating_org->{org_id}/expire");
fault(path => '/services/data', fault => 'stall', skip => 1);
$acme->make_due($rotating);
wait_for_hits(1);
isnt(sealed_token($rotating, 'refresh_token'),
	$sealed_before, 'a rotated refresh token is committed before the poll goes on');
is(org_stats($rotating_org)->{tokens_issued}, 5, 'while the poll waits for the limits');
my $pid = sql("select pid from saas.poller_status()");
kill 'TERM', $pid;
ok($node->poll_query_until('postgres', "select pid <> $pid from saas.poller_status()"), 'the poller ends there');
no_fault();
sql("update saas.connection_status set lease_until = now() where connection_id = '$rotating'");
$upstream->control(POST => "orgs/$rotating_org->{org_id}/expire");
is(poll($acme, $rotating)->{status}, 'active', 'and its successor goes on with that token');
is(org_stats($rotating_org)->{refresh_token_reuses}, 0, 'and with no older one');
$secret{ org_state($rotating_org)->{$_} } = 1 foreach qw(access_token refresh_token);

$upstream->control(POST => "orgs/$rotating_org->{org_id}/revoke");
$status = poll($acme, $rotating);
is("$status->{status} $status->{next_poll_at}", 'reauth_required infinity',
	'without a grant the connection waits for its owner');
is($status->{last_error}, $reauth_message, 'and says so');
is( $acme->sql(qq{select status || ' ' || health || ' ' || health_reason
		from saas_api.connections where id = '$rotating'}),
	"reauth_required error $reauth_message",
	'to its owner too');
my $grant = $upstream->control(POST => "orgs/$rotating_org->{org_id}/authorize");
$secret{ $grant->{$_} } = 1 foreach qw(access_token refresh_token);
give_secrets($acme, $rotating, $grant);
ok($acme->wait_for($rotating, "status = 'active' and last_error is null and next_poll_at < now() + interval '91 minutes'"),
	'new secrets heal it and put it back on the schedule');

# Secrets that are given while a poll with the old ones is under way win.
$upstream->control(POST => "orgs/$rotating_org->{org_id}/revoke");
my $token_request = hold('/services/oauth2/token');
$acme->make_due($rotating);
wait_for_hits(1);
$grant = $upstream->control(POST => "orgs/$rotating_org->{org_id}/authorize");
$secret{ $grant->{$_} } = 1 foreach qw(access_token refresh_token);
my $answer = $acme->start_sql('select ' . refresh_of([$rotating]) . " -> 0 ->> 'error'");
ok(wait_for_askers(1), 'somebody waits for the poll with the old ones');
# The poll with the new ones is still under way when that one ends.
hold('/services/data');
give_secrets($acme, $rotating, $grant);
let_go($token_request);
like($answer->(), qr/taken over meanwhile/, 'and hears that it no longer counts');
let_go();
ok($acme->wait_for($rotating, "status = 'active' and lease_id is null"), 'its refusal does not touch the new ones');
$upstream->control(POST => "orgs/$rotating_org->{org_id}/expire");
is(poll($acme, $rotating)->{status}, 'active', 'which go on');
$secret{ org_state($rotating_org)->{$_} } = 1 foreach qw(access_token refresh_token);

# The same where the old ones still bring tokens.
hold('/services/oauth2/token');
$upstream->control(POST => "orgs/$rotating_org->{org_id}/expire");
$acme->make_due($rotating);
wait_for_hits(1);
$secret{ org_state($rotating_org)->{$_} } = 1 foreach qw(access_token refresh_token);
$grant = $upstream->control(POST => "orgs/$rotating_org->{org_id}/authorize");
$secret{ $grant->{$_} } = 1 foreach qw(access_token refresh_token);
give_secrets($acme, $rotating, $grant);
ok($acme->wait_for($rotating, "status = 'active' and last_error is null"), 'new secrets are used at once');
let_go();
wait_for_rest('the poll with the old ones has ended');
$upstream->control(POST => "orgs/$rotating_org->{org_id}/expire");
is(poll($acme, $rotating)->{status}, 'active', 'and its tokens were not stored over the new ones');
$secret{ org_state($rotating_org)->{$_} } = 1 foreach qw(access_token refresh_token);

# An endpoint that takes its credentials again, and an owner who asks.
my $moody = connect_page($acme, 'moody', 'moody');
$acme->wait_for($moody, "status = 'active'");
fault(path => '/metrics', fault => 'status', code => 401);
is(poll($acme, $moody)->{status}, 'reauth_required', 'a 401 of another kind wants new credentials too');
no_fault();
is($acme->refresh($moody)->[0]{ok}, JSON::PP::true, 'where the owner finds that it works again');
ok($acme->wait_for($moody, "status = 'active' and next_poll_at < now() + interval '91 minutes'"),
	'it is on the schedule again');

#
# Polls on demand
#
my @page   = map { connect_page($acme, "page $_", "page$_") } 1 .. 3;
my $broken = $acme->connect('prometheus', 'page broken', { url => $upstream->url . '/fault/status?code=503' },
	{}, '1 hour');
my $asleep = connect_page($acme, 'page asleep', 'asleep');
$acme->wait_for($_, 'last_polled_at is not null') foreach @page, $broken, $asleep;
$acme->sql("do \$\$ begin perform saas_api.set_connection_active('$asleep', false); end \$\$");
my $foreign = connect_page($beta, 'other', 'foreign');
$beta->wait_for($foreign, 'last_polled_at is not null');
my $unknown = '01890000-0000-7000-8000-000000000000';

sub summary
{
	my ($answers) = @_;
	return join '; ', map {
		my $how = $_->{ok} ? ($_->{from_store} ? 'stored' : 'ok') : 'failed';
		sprintf '%s %s %s', $_->{name} || '?', $how, $_->{error} || '-'
	} @$answers;
}

my %before = map { $_ => readings_of($_) } @page, $asleep;
my $failed = 'failed the endpoint is not available (HTTP 503)';
is( summary($acme->refresh($page[0], $broken, $asleep, $unknown, $foreign)),
	"page 1 ok -; page asleep failed connection is inactive; page broken $failed;"
	  . ' ? failed connection not found; ? failed connection not found',
	'every connection of a refresh answers for itself');
is(readings_of($page[0]), $before{ $page[0] } + 1, 'the refreshed one has a new reading');
is(readings_of($_), $before{$_}, 'the others have none') foreach $page[1], $asleep;
is(scrapes('asleep'), 1, 'and an inactive one is not asked');
my $all = summary($acme->refresh());
my $names = $acme->sql("select string_agg(name, ' ' order by name) from saas_api.connections where is_active");
is(join(' ', map { /^(.*) (?:ok|failed) / } split /; /, $all), $names, 'a refresh of all is one of all active ones');
is($acme->refresh($page[0])->[0]{samples}, 13, 'it tells how many samples it brought');
is(decode_json($beta->sql('select saas_api.refresh_connections()'))->[0]{name}, 'other',
	'and only those of the own organization');
is($acme->sql("select saas_api.refresh_connections('{}')"), '[]', 'no ids, no answers');
is(summary($acme->refresh($page[0], $page[0])), 'page 1 ok -', 'an id given twice is one poll');

set_up('saas.refresh_cooldown' => '1h');
ok($node->poll_query_until('postgres', q{select current_setting('saas.refresh_cooldown') = '1h'}),
	'with a cooldown');
my $scrapes = scrapes('page1');
is(summary($acme->refresh($page[0], $broken)),
	"page 1 stored -; page broken $failed", 'what was polled well a moment ago answers from the store, failures do not');
is(scrapes('page1'), $scrapes, 'without asking the upstream');
set_up('saas.refresh_cooldown' => '0');

hold('/metrics');
is( summary(decode_json($acme->sql('select ' . refresh_of([ $page[1], $broken ], 2000)))),
	"page 2 failed no answer within 2000 ms; page broken $failed",
	'who does not wait longer hears what is known');
let_go();
wait_for_rest('and the poll ends without them');

my $readings = sql('select count(*) from saas.reading');
my $due_before = $acme->status($page[0])->{next_poll_at};
my $test = decode_json($acme->sql("select saas_api.test_connection('$page[0]', 60000)"));
is("$test->{ok} $test->{details}{samples}", '1 13', 'a test asks the upstream');
is(sql('select count(*) from saas.reading'), $readings, 'and stores no samples');
$status = $acme->status($page[0]);
is($status->{next_poll_at}, $due_before, 'and leaves the schedule alone');
ok($status->{last_tested_at}, 'but says when it was');
$test = decode_json($acme->sql("select saas_api.test_connection('$broken', 60000)"));
is("$test->{ok} $test->{error}", '0 the endpoint is not available (HTTP 503)', 'a failing test says why');
is(decode_json($acme->sql("select saas_api.test_connection('$asleep', 60000)"))->{ok}, JSON::PP::true,
	'an inactive connection can be tested');
like($acme->error_of("select saas_api.test_connection('$unknown')"), qr/PT404/, 'an unknown one cannot');
like($acme->error_of("select saas_api.test_connection('$foreign')"), qr/PT404/, 'another organization\'s neither');

like( $acme->error_of("reset role; create temporary table written (); set local role saas_user;"
		  . ' select ' . refresh_of([ $page[0] ])),
	qr/25001/,
	'no refresh in a transaction that has written');
foreach my $begin ('begin read only', 'begin isolation level repeatable read', 'begin isolation level serializable')
{
	is( summary(decode_json($acme->sql('select ' . refresh_of([ $page[0] ]), begin => $begin))),
		'page 1 ok -', "a refresh works in a transaction after $begin");
}
like($acme->error_of('select saas_api.refresh_connections(null, 99)'), qr/22023/, 'the time limit has bounds');

# One poll for two who ask at the same time.
$scrapes = scrapes('page1');
hold('/metrics');
my @waiting = map { $acme->start_sql('select ' . refresh_of([ $page[0] ])) } 1 .. 2;
ok(wait_for_askers(2), 'two sessions wait for the same connection');
is( sql(q{select bool_and(backend_xid is null) from pg_stat_activity
		where wait_event_type = 'Extension' and backend_type = 'client backend'}),
	't', 'without a transaction id');
let_go();
is(summary(decode_json($_->())), 'page 1 ok -', 'and each has its answer') foreach @waiting;
is(scrapes('page1'), $scrapes + 1, 'of one poll');

# A test is one, with connections of its own, also where a poll is under way.
$scrapes = scrapes('page1');
fault(path => '/metrics', fault => 'held');
$acme->make_due($page[0]);
wait_for_hits(1);
$answer = $acme->start_sql("select saas_api.test_connection('$page[0]', 30000)");
ok(wait_for_askers(1), 'somebody tests a connection while it is polled');
no_fault();
$test = decode_json($answer->());
is(join(' ', map { $_->{step} } @{ $test->{steps} }), 'resolve connect authenticate authorize read parse', 'and sees each step of the test');
is(scrapes('page1'), $scrapes + 2, 'which comes after that poll');

#
# Who waits for whom
#
hold('/metrics');
$acme->make_due($page[0]);
wait_for_hits(1);
# It may be looking at the tables in this moment, but not for long.
ok( $node->poll_query_until('postgres', q{
		select a.backend_xid is null and a.backend_xmin is null and a.xact_start is null
		       and not exists (select from pg_locks l where l.pid = a.pid)
		  from pg_stat_activity a where a.backend_type = 'pg_saas poller'}),
	'while it waits for the network the poller holds no transaction, snapshot or lock');
is(sql("select lease_id is not null from saas.connection_status where connection_id = '$page[0]'"), 't', 'and still waits');
let_go();

set_up('saas.poller_enabled' => 'off');
wait_for_state('disabled', 'the worker is off');
fault(path => '/metrics', fault => 'stall');
$acme->make_due($page[1]);
my $caller = $node->background_psql('postgres', on_error_stop => 0);
my $caller_pid = $caller->query_safe('select pg_backend_pid()');
$caller->query_until(qr/polling/, "\\echo polling\ncall saas.poll(1);\n");
wait_for_hits(1);
is( sql("select backend_xid is null and backend_xmin is null from pg_stat_activity where pid = $caller_pid"),
	't', 'call saas.poll() holds no transaction id and no snapshot while it waits');
is(sql("select count(*) from pg_locks where pid = $caller_pid and locktype = 'relation'"), 0, 'and no table');
sql("select pg_cancel_backend($caller_pid)");
no_fault();
is($caller->query('select 1'), 1, 'it can be cancelled');
$caller->quit;
sql('update saas.connection_status set lease_until = null, next_poll_at = now() + interval \'1 hour\'');

# A tenant's open transaction stops its own connection and no other.
set_up('saas.poller_enabled' => 'on');
wait_for_state('idle', 'the worker is on');
my ($own, $other) = ($page[0], $foreign);
%before = map { $_ => readings_of($_) } $own, $other;
hold('/metrics');
$acme->make_due($own, $other);
wait_for_hits(2);
my $locker = $node->background_psql('postgres');
$locker->query_safe('begin');
$locker->query_safe("update saas.connection_status set last_error = last_error where connection_id = '$own'");
let_go();
ok($node->poll_query_until('postgres',
		"select count(*) = $before{$other} + 1 from saas.reading where connection_id = '$other'"),
	'a locked status row does not delay another tenant\'s reading');
$beta->make_due($other);
ok($node->poll_query_until('postgres',
		"select count(*) = $before{$other} + 2 from saas.reading where connection_id = '$other'"),
	'nor its next poll');
is(readings_of($own), $before{$own}, 'while its own waits');
$locker->query_safe('commit');
ok($node->poll_query_until('postgres',
		"select count(*) = $before{$own} + 1 from saas.reading where connection_id = '$own'"),
	'until the transaction ends');
$locker->query_safe('begin');
$locker->query_safe("update saas.connection_status set last_error = last_error where connection_id = '$own'");
$acme->make_due($page[1]);
poll($beta, $other);
$locker->query_safe('commit');
$locker->quit;

#
# Polls by call
#
set_up('saas.poller_enabled' => 'off');
wait_for_state('disabled', 'the worker is off again');
sql('update saas.connection_status set next_poll_at = now() + interval \'1 hour\'');
$beta->make_due($foreign);
$acme->make_due(@page);
$readings = sql('select count(*) from saas.reading');
sql('call saas.poll(2)');
is(sql('select count(*) from saas.reading'), $readings + 2, 'call saas.poll(2) polls two of four due connections');
sql('call saas.poll(0)');
is(sql('select count(*) from saas.reading'), $readings + 2, 'call saas.poll(0) none');
sql('set role saas_operator; call saas.poll()');
is(sql('select count(*) from saas.reading'), $readings + 4, 'call saas.poll() the rest, for an operator too');
sql('call saas.poll()');
is(sql('select count(*) from saas.reading'), $readings + 4, 'and then there is nothing to do');
like(error_of('begin; call saas.poll()'),              qr/2D000/, 'not inside a transaction block');
like(error_of('call saas.poll(-1)'),                   qr/22023/, 'not a negative number');
like(error_of('set role saas_user; call saas.poll()'), qr/42501/, 'not for a tenant');

my $many = 60;
$acme->sql(join ";\n",
	map { 'select 1 from ' . $acme->connect_call('prometheus', "many $_",
			{ url => $upstream->url . "/metrics?instance=many$_" }, {}, '1 hour') } 1 .. $many);
set_up('saas.poller_max_in_flight' => '10');
$upstream->control(POST => 'settings', { latency_ms => 20 });
$upstream->control(DELETE => 'stats');
my @callers = map { $node->background_psql('postgres') } 1 .. 2;
$_->query_until(qr/go/, "\\echo go\ncall saas.poll();\n") foreach @callers;
set_up('saas.poller_enabled' => 'on');
sql('do $$ begin perform saas_private.wake_poller(); end $$');
ok( $node->poll_query_until('postgres', q{
		select count(*) = 0 from saas.connection c join saas.connection_status s on s.connection_id = c.id
		 where c.name like 'many %' and (s.last_polled_at is null or s.lease_id is not null)}),
	'two callers and the worker poll everything that is due');
$_->query_safe('select 1') foreach @callers;
$_->quit foreach @callers;
is($upstream->control(GET => 'stats')->{requests}, $many, 'each connection once');
is( sql(q{select count(*), min(v.value), max(v.value)
		from saas.sample v join saas.connection c on c.id = v.connection_id
		where c.name like 'many %' and v.metric = 'demo_requests_total' and v.labels @> '{"method": "get"}'}),
	"$many|10|10", 'and each has one reading');
$upstream->control(POST => 'settings', { latency_ms => 0 });

#
# Who is not polled
#
sql("update saas.organization set status = 'suspended' where id = '" . $beta->org_id . "'");
$scrapes = scrapes('foreign');
$beta->make_due($foreign);
poll($acme, $page[0]);
is(sql('select due from saas.poller_status()'), 0, 'a suspended organization has nothing that is due');
is(scrapes('foreign'), $scrapes, 'and is not polled');
sql("update saas.organization set status = 'active' where id = '" . $beta->org_id . "'");
$beta->wait_for($foreign, 'true');
sql('do $$ begin perform saas_private.wake_poller(); end $$');
ok($beta->wait_for($foreign, 'next_poll_at > now()'), 'but again once it is active');
$acme->make_due($asleep);
poll($acme, $page[0]);
is(sql('select due from saas.poller_status()'), 0, 'an inactive connection is not due either');
is(scrapes('asleep'), 2, 'and not polled');
$acme->sql("do \$\$ begin perform saas_api.set_connection_active('$asleep', true); end \$\$");
ok($acme->wait_for($asleep, 'next_poll_at > now() and lease_id is null'), 'until its owner turns it on');
is(scrapes('asleep'), 3, 'and it is polled');

hold('/metrics');
$acme->make_due($page[2]);
wait_for_hits(1);
$answer = $acme->start_sql('select ' . refresh_of([ $page[2] ]) . " -> 0 ->> 'error'");
ok(wait_for_askers(1), 'somebody waits for a connection');
is($acme->sql("select saas_api.delete_connection('$page[2]', 'page 3') ->> 'name'"),
	'page 3', 'that is deleted meanwhile');
let_go();
like($answer->(), qr/deleted or taken over/, 'and hears of it');
is(readings_of($page[2]), 0, 'nothing is stored for it');

#
# Nothing secret where it can be read
#
is(sql('select count(*) from saas.poller_status() where pid is not null'), 1, 'the poller lives');
$node->stop;
my $logs = $node->log_since(0) . $node->master_key_file;
is_deeply([ grep { index($logs, $_) >= 0 } sort keys %secret ], [], 'no secret is in the server\'s log');
my $patterns = PostgreSQL::Test::Utils::tempdir() . '/secrets';
append_to_file($patterns, join "\n", grep { length > 12 } sort keys %secret);
my ($files) = run_command([ 'grep', '-rlaF', '-f', $patterns, $node->data_dir ]);
is($files, '', 'nor in a table, an index or the write-ahead log');
unlike($node->log_since(0), qr/terminated by signal|PANIC|exited with exit code [02-9]/, 'and nothing crashed');

done_testing();
