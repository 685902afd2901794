# Many connections: turns between organizations, several pollers of a database, what polls leave behind.
use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.min_poll_interval'      => '1s',
		'saas.poller_enabled'         => 'off',
		'max_worker_processes'        => 12,
		'shared_preload_libraries'    => 'pg_stat_statements, pg_saas',
		'pg_stat_statements.track'    => 'all' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $large    = SaasTenant->create($node, 'postgres', 'Large');
my $small    = SaasTenant->create($node, 'postgres', 'Small');

sub sql { return $node->safe_psql('postgres', @_); }

sub set_up
{
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	return;
}

sub wake { return sql('do $$ begin perform saas_private.wake_poller(); end $$'); }

sub connect_many
{
	my ($tenant, $count, $name, $path) = @_;
	$tenant->sql(join ";\n",
		map { 'select 1 from ' . $tenant->connect_call('prometheus', "$name $_",
				{ url => $upstream->url . "$path=$name$_" }, {}, '1 hour') } 1 .. $count);
	return;
}

# Of one organization's connections as $name matches.
sub count_of
{
	my ($name, $condition) = @_;
	return sql(qq{
		select count(*) filter (where $condition)
		  from saas.connection c join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id
		 where c.name like '$name %'});
}

sub wait_for_all
{
	my ($name, $condition, $count, $what) = @_;
	return ok($node->poll_query_until('postgres', qq{
			select count(*) = $count
			  from saas.connection c join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id
			 where c.name like '$name %' and $condition}), $what);
}

sub wait_for_workers
{
	my ($count, $name) = @_;
	return ok($node->poll_query_until('postgres', qq{
			select count(*) filter (where state in ('idle', 'disabled', 'polling')) = $count and count(*) = $count
			  from saas.poller_status() where pid is not null}), $name);
}

#
# Turns
#
set_up('saas.poller_max_in_flight' => 20, 'saas.poller_max_per_org' => 10);
connect_many($large, 200, 'slow', '/fault/stall?n');
$small->connect('prometheus', 'quick 1', { url => $upstream->url . '/metrics' }, {}, '1 hour');
# The last of all to be due.
sql(q{update saas.connection_status set next_poll_at = now() - interval '1 hour'});
sql(q{update saas.connection_status s set next_poll_at = now() from saas.connection c
	   where c.id = s.connection_id and c.name = 'quick 1'});
set_up('saas.poller_enabled' => 'on');
wait_for_all('quick', 'last_success_at is not null', 1, 'one connection is polled');
is(count_of('slow', 'last_polled_at is not null'), 0, 'before any of 200 of another organization that hang and were due before');
is(count_of('slow', 'lease_id is not null'), 10, 'of which as many are under way as one organization may have');
# The poller reports a little later than it stores.
ok( $node->poll_query_until('postgres', q{
		select (in_flight, waiting, due, sweep_done) = (10, 0, 190, 1) and lag > '50 min' and sweep_started_at is not null and sweep_left >= 200
		  from saas.poller_status()}),
	'poller_status tells what is under way, what is due, how late, and how far the sweep is');
$large->sql('select count(*) from (select saas_api.delete_connection(id, name) from saas_api.connections) d');
set_up('saas.poller_max_in_flight' => 1000, 'saas.poller_max_per_org' => 500);

#
# What several pollers do
#
set_up('saas.poller_enabled' => 'off');
sql('select pg_terminate_backend(pid) from saas.poller_status()');
my $many = 1000;
connect_many($large, $many, 'many', '/metrics?instance');
sql(q{update saas.connection_status set next_poll_at = 'infinity'});

sub sweep
{
	my ($workers) = @_;
	$upstream->control(DELETE => 'stats');
	sql(q{delete from saas.reading});
	sql(q{delete from saas.poller_history});
	sql(q{update saas.connection_status s set next_poll_at = now(), last_polled_at = null, consecutive_failures = 0
		    from saas.connection c where c.id = s.connection_id and c.name like 'many %'});
	set_up('saas.poller_workers' => $workers, 'saas.poller_enabled' => 'on');
	wait_for_workers($workers, "$workers pollers run");
	return wake();
}

sub end_sweep
{
	my ($what) = @_;
	wait_for_all('many', "status = 'active' and next_poll_at > now() and lease_id is null", $many, $what);
	set_up('saas.poller_enabled' => 'off');
	is(sql('select count(*), count(distinct connection_id) from saas.reading'),
		"$many|$many", 'and each has one reading');
	is(sql('select count(*), sum(polls), sum(failures) from saas.poller_history'),
		"$many|$many|0", 'and counts once in the history');
	return;
}

# The first polls make the series, which takes its time.
sweep(1);
end_sweep('one poller polls what is due');

foreach my $workers (2, 4)
{
	sweep($workers);
	end_sweep("$workers pollers poll what is due");
	is($upstream->control(GET => 'stats')->{requests}, $many, 'asking for each connection once');
	is(sql(q{select count(*) from saas.poller_status() where polls > 0}), $workers, 'all of them having done some of it');
}
is(sql(q{select count(*) from (select next_poll_at from saas.connection_status s join saas.connection c
		on c.id = s.connection_id and c.name like 'many %'
		where next_poll_at between now() + interval '25 minutes' and now() + interval '91 minutes') n}),
	$many, 'each is due again in about an hour');
cmp_ok(
	sql(q{select count(distinct date_trunc('minute', s.next_poll_at)) from saas.connection_status s
		    join saas.connection c on c.id = s.connection_id and c.name like 'many %'}),
	'>=', 40, 'spread over that hour');

# One that ends in the middle, and then all of them.
foreach my $how ('TERM', 'KILL')
{
	$upstream->control(POST => 'settings', { latency_ms => 100 });
	set_up('saas.poller_max_in_flight' => 50);
	sweep(2);
	$node->poll_query_until('postgres', 'select exists (select from saas.reading)');
	my $pid = sql('select pid from saas.poller_status() where pid is not null and worker = 1');
	# The lease of the second of the two, which holds for all that it has taken.
	my $lease = '';
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	$lease = sql(q{select lease_id from saas.connection_status
		where lease_id is not null and (uuid_hash(connection_id) & 2147483647) % 2 = 1 limit 1}) while $lease eq '' && time < $until;
	kill $how, $pid;
	$node->poll_query_until('postgres', "select not exists (select from pg_stat_activity where pid = $pid)");
	$upstream->control(POST => 'settings', { latency_ms => 0 });
	set_up('saas.poller_max_in_flight' => 1000);
	# Their leases would end by themselves.
	sql(q{update saas.connection_status set lease_until = now() - interval '1 s' where lease_until is not null}
		  . ($how eq 'TERM' ? " and lease_id = '$lease'" : ''));
	wake();
	end_sweep("after SIG$how in the middle of a sweep nothing is lost");
	wait_for_workers(2, 'and there are two pollers again');
}

#
# On demand, while another poller polls it
#
my $id = sql(q{select id from saas.connection where name = 'many 1'});
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'held' });
$upstream->control(DELETE => 'stats');
my $session = $node->background_psql('postgres');
$session->query_until(qr/go/, "\\echo go\ncall saas.poll();\n")
  if sql("update saas.connection_status set next_poll_at = now() where connection_id = '$id' returning 1");
$node->poll_query_until('postgres', "select lease_id is not null from saas.connection_status where connection_id = '$id'");
my $asker = $large->start_sql("select saas_api.refresh_connections(array['$id']::uuid[], 60000) -> 0 ->> 'ok'");
$node->poll_query_until('postgres', q{
	select count(*) = 2 from pg_stat_activity where wait_event_type = 'Extension' and backend_type = 'client backend'});
$upstream->control(DELETE => 'faults');
is($asker->(), 'true', 'who asks for what another process polls waits for its result');
$session->query_safe('select 1');
$session->quit;
is($upstream->control(GET => 'stats')->{requests}, 1, 'which is not asked for twice');

#
# What is left behind
#
like($large->sql(q{select count(*) || ' ' || sum(polls) from saas_api.poll_history}),
	qr/^1\d\d\d 1\d\d\d$/, 'a tenant reads the history of its connections');
is($small->sql(q{select count(*) from saas_api.poll_history h join saas_api.connections c on c.id = h.connection_id}),
	$small->sql('select count(*) from saas_api.poll_history'), 'and of no others');
is(sql(q{set role saas_operator; select sum(polls) > 1000 and max(organizations) >= 1 from saas.poller_totals()}),
	't', 'an operator reads totals');
my ($status, $out, $err) = $node->psql('postgres', 'set role saas_operator; select * from saas.poller_history');
like($err, qr/permission denied/, 'and no connection\'s');
sql(q{update saas.poller_history set hour_at = hour_at - interval '30 days'});
is(sql('select saas_private.prune_poller_history() > 0'), 't', 'old history is deleted');
is(sql('select count(*) from saas.poller_history'), 0, 'all of it');

# Everything has run by now: more polls bring no new statements.
sql('create extension pg_stat_statements; select pg_stat_statements_reset()');
my $statements = q{select count(*) from pg_stat_statements s join pg_roles r on r.oid = s.userid
                    where r.rolname in ('saas_poller', 'saas_service', 'saas_owner')};
set_up('saas.poller_workers' => 1);
$large->refresh($id);
sweep(1);
end_sweep('one poller polls them all');
my $count = sql($statements);
cmp_ok($count, '<', 80, 'a thousand polls leave few statements in pg_stat_statements');
sweep(1);
end_sweep('and again');
cmp_ok(sql($statements), '<=', $count + 5, 'and a thousand more next to none');

#
# An open circuit
#
set_up('saas.poller_enabled' => 'on');
my $bad = $small->connect('prometheus', 'bad', { url => $upstream->url . '/fault/status?code=503' }, {}, '1 second');
$small->wait_for($bad, 'consecutive_failures >= 1');
sql("update saas.connection_status set consecutive_failures = 4, next_poll_at = now() where connection_id = '$bad'");
wake();
ok($small->wait_for($bad, "consecutive_failures = 5 and next_poll_at between now() + interval '30 s' and now() + interval '1 min'"),
	'after the fifth failure in a row a connection is paused');
like($small->sql("select health || ' ' || health_reason from saas_api.connections where id = '$bad'"),
	qr/^error .*\(paused after 5 failures in a row; tried again at \d{4}-.* UTC\)$/, 'its tenant sees until when');
sql("update saas.connection_status set next_poll_at = now() where connection_id = '$bad'");
wake();
ok($small->wait_for($bad, "consecutive_failures = 6 and next_poll_at > now() + interval '80 s'"),
	'then one poll is tried, which fails and doubles the pause');
my $mended = '{"config": {"url": "' . $upstream->url . '/metrics?instance=good"}}';
$small->sql("select saas_api.update_connection('$bad', '$mended')");
ok($small->wait_for($bad, "status = 'active' and consecutive_failures = 0"), 'one that succeeds closes the circuit');
my $wise = $small->connect('prometheus', 'wise', { url => $upstream->url . '/fault/status?code=429&retry_after=300' }, {}, '1 second');
ok($small->wait_for($wise, "consecutive_failures = 1 and next_poll_at between now() + interval '4 min' and now() + interval '6 min'"),
	'Retry-After is waited for');

#
# Several pollers come and go together
#
ok($node->poll_query_until('postgres', q{
		select count(*) > 0 and bool_and(state = 'idle' and wait_event_type = 'Extension')
		  from pg_stat_activity where backend_type = 'pg_saas poller'}),
	'pg_stat_activity shows pollers idle, waiting in an event of the extension');
set_up('saas.poller_workers' => 3);
sql('create database other');
$node->safe_psql('other', 'create extension pg_saas cascade; select saas.install()');
ok($node->poll_query_until('postgres', q{
		select count(*) = 6 and count(distinct (database, worker)) = 6 from saas.poller_status() where pid is not null}),
	'three pollers in each of two databases');
($status, $out, $err) = $node->psql('postgres', 'drop database other');
is($err, '', 'DROP DATABASE succeeds while several pollers run there');
set_up('saas.poller_workers' => 1);
wait_for_workers(1, 'a reload ends those that are too many');

#
# Versions
#
my $offset = $node->log_size;
sql(q{update pg_extension set extversion = '999' where extname = 'pg_saas'});
wake();
ok($node->poll_query_until('postgres', q{select state = 'other version' from saas.poller_status()}),
	'with an extension of another version than the library the poller waits');
like($node->log_since($offset), qr/the poller waits: .* another version/, 'which the log says');
my $polled = count_of('many', 'last_polled_at > now() - interval \'1 hour\'');
$offset = $node->log_size;
wake();
($status, $out, $err) = $node->psql('postgres', 'call saas.poll()');
like($err, qr/different versions/, 'a session does not poll either');
like(decode_json($large->sql("select saas_api.refresh_connections(array['$id']::uuid[])"))->[0]{error},
	qr/different versions/, 'nor does it on demand');
unlike($node->log_since($offset), qr/the poller waits/, 'which the log says once');
sql(q{update pg_extension set extversion = saas.version() where extname = 'pg_saas'});
wake();
ok($node->poll_query_until('postgres', q{select state in ('idle', 'polling') from saas.poller_status()}),
	'and goes on when they are the same again');
sql(q{delete from saas.schema_migration where version = (select max(version) from saas.schema_migration)});
wake();
ok($node->poll_query_until('postgres', q{select state = 'not migrated' from saas.poller_status()}),
	'nor does it poll before saas.migrate()');

unlike($node->log_since(0), qr/PANIC|TRAP|exited with exit code [02-9]/, 'and nothing crashed but what was killed');

done_testing();
