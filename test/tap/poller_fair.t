# Turns between organizations, by weight: counted in the order in which polls
# begin, so time decides nothing.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;
use Time::HiRes qw(time);

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.min_poll_interval'      => '1s',
		'saas.poller_request_timeout' => '60s',
		'saas.poller_enabled'         => 'off',
		'saas.poller_max_in_flight'   => 1,
		'max_worker_processes'        => 12 });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;

sub sql { return $node->safe_psql('postgres', @_); }

sub set_up
{
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', "$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	return;
}

sub error_of
{
	my ($statement) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement", on_error_stop => 1);
	return $status == 0 ? '' : $err;
}

# Without create_connection, which takes its time.
sub connect_many
{
	my ($tenant, $name, $count, $path, $due) = @_;
	my ($org, $url) = ($tenant->org_id, $upstream->url);
	sql(qq{
		insert into saas.connection (org_id, kind, name, account_key, config, origin, poll_interval)
		select '$org', 'prometheus', format('$name %s', n), format('$name %s', n),
		       jsonb_build_object('url', format('$url$path=$name%s', n)), '$url', '1 hour'
		  from generate_series(1, $count) as n;
		insert into saas.connection_status (org_id, connection_id, next_poll_at)
		select c.org_id, c.id, $due from saas.connection c where c.org_id = '$org' and c.name like '$name %';
		analyze saas.connection, saas.connection_status});
	return;
}

sub due_at
{
	my ($name, $due) = @_;
	return sql(qq{
		update saas.connection_status s set next_poll_at = $due from saas.connection c
		 where c.org_id = s.org_id and c.id = s.connection_id and c.name like '$name %'});
}

# Of one organization's connections as $name matches.
sub count_of
{
	my ($name, $condition) = @_;
	return sql(qq{
		select count(*) from saas.connection c join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id
		 where c.name like '$name %' and $condition});
}

# Whose polls began, in order, since the last call.
my $since = '-infinity';
sub order
{
	my $seen = sql(qq{
		select coalesce(string_agg(substr(c.name, 1, 1), '' order by s.last_polled_at), '')
		  from saas.connection c join saas.connection_status s on s.org_id = c.org_id and s.connection_id = c.id
		 where s.last_polled_at > '$since'});
	$since = sql(q{select coalesce(max(last_polled_at), '-infinity') from saas.connection_status});
	return $seen;
}

#
# What weights there are
#
is(sql('select string_agg(name || poll_weight, \' \' order by name) from saas.plan'),
	'enterprise4 free1 pro2 starter1', 'higher plans weigh more');
foreach my $bad (
	[ "set_plan_weight('pro', 0)",    'weight' ], [ "set_plan_weight('pro', 101)", 'weight' ],
	[ "set_plan_weight('pro', null)", 'weight' ], [ "set_plan_weight('gold', 1)",  'plan' ],
	[ "set_organization_weight('00000000-0000-0000-0000-000000000001', 0)", 'weight' ])
{
	like(error_of("set role saas_operator; select saas.$bad->[0]"), qr/22023.*"$bad->[1]"/s, "not saas.$bad->[0]");
}
like(error_of("set role saas_operator; select saas.set_organization_weight('00000000-0000-0000-0000-000000000001', 2)"),
	qr/PT404/, 'no weight for an organization that is not there');
like(error_of("set role saas_user; select saas.set_plan_weight('free', 9)"), qr/42501/, 'nor may a tenant give one');
sql(q{set role saas_operator; select saas.set_plan_weight('enterprise', 1)});
is( sql(q{select detail_before || ' ' || detail_after from (select before::text as detail_before, after::text as detail_after
		from saas.audit_event where action = 'plan.weight_changed') e}),
	'{"poll_weight": 4} {"poll_weight": 1}', 'a change is audited');

#
# One of ten thousand and one of one
#
my $large = SaasTenant->create($node, 'postgres', 'Large');
my $small = SaasTenant->create($node, 'postgres', 'Small');
connect_many($large, 'a', 10000, '/metrics?instance', q{now() - interval '1 hour'});
connect_many($small, 'b', 1,     '/metrics?instance', 'now()');
order();
sql('call saas.poll(2)');
is(count_of('b', 'last_polled_at is not null'), 1, 'of the first two polls one is of the organization with one connection');
is(count_of('a', 'last_polled_at is not null'), 1, 'and one of that with ten thousand, all of which were due before');
my $seen = order();
is(length $seen, 2, 'and that is all');

# The same where one claim takes them.
set_up('saas.poller_max_in_flight' => 50);
due_at('b', 'now()');
sql('call saas.poll(3)');
is(count_of('b', 'last_polled_at is not null and next_poll_at > now()'), 1, 'nor does it wait for a claim of several');

# Many large ones, and a place for one only.
my @large = map { SaasTenant->create($node, 'postgres', "Large$_") } 'c' .. 'h';
my $letter = 'c';
connect_many($_, $letter++, 300, '/metrics?instance', q{now() - interval '2 hours'}) foreach @large;
set_up('saas.poller_max_in_flight' => 1);
due_at('b', 'now()');
order();
sql('call saas.poll(8)');
is(join('', sort split //, order()), 'abcdefgh', 'eight organizations, eight polls: one of each');
due_at('b', 'now()');
sql('call saas.poll(15)');
is(join('', sort split //, order()), 'aabccddeeffgghh', 'and again, but for the one that has no more');
due_at($_, q{'infinity'}) foreach 'a' .. 'h';

#
# Weights
#
my $org = $large[0]->org_id;
sql("set role saas_operator; select saas.set_organization_weight('$org', 2)");
is(sql(q{select count(*) from saas.audit_event where action = 'organization.weight_changed'}), 1, 'an organization\'s weight is audited');

foreach my $in_flight (1, 2, 3, 5)
{
	set_up('saas.poller_max_in_flight' => $in_flight);
	due_at($_, 'now()') foreach 'c', 'd';
	order();
	sql('call saas.poll(60)');
	$seen = order();
	is(($seen =~ tr/c//) . ':' . ($seen =~ tr/d//), '40:20', "with weights 2 and 1, of 60 polls two thirds and one third, $in_flight at once");
	next if $in_flight > 1;
	like($seen, qr/^(ccd|cdc|dcc)\1{19}$/, 'two and one in every turn');
}
due_at($_, q{now() - interval '1 hour'}) foreach 'c', 'd';
set_up('saas.poller_max_in_flight' => 100);
order();
sql('call saas.poll(90)');
$seen = order();
is(($seen =~ tr/c//) . ':' . ($seen =~ tr/d//), '60:30', 'and in one claim');
due_at($_, q{'infinity'}) foreach 'c', 'd';

# The plan's weight, and none of its own any more.
sql("set role saas_operator; select saas.set_organization_weight('$org', null); select saas.set_plan('$org', 'pro');"
	. ' select saas.set_plan_weight(\'pro\', 3)');
due_at($_, 'now()') foreach 'c', 'd';
order();
sql('call saas.poll(40)');
$seen = order();
is(($seen =~ tr/c//) . ':' . ($seen =~ tr/d//), '30:10', 'a plan\'s weight counts where the organization has none of its own');
due_at($_, q{'infinity'}) foreach 'c', 'd';

# How often a plan lets poll counts for what has a shorter interval, whoever asks.
sub next_of
{
	my ($name) = @_;
	return count_of($name, "next_poll_at > last_polled_at + interval '20 hours' and next_poll_at < 'infinity'") . ' of ' . count_of($name, "next_poll_at < 'infinity'");
}
sql("set role saas_operator; select saas.set_plan_poll_interval('pro', '4 days')");
due_at($_, q{case when c.name like '% 1' then now() else 'infinity' end}) foreach 'c', 'd';
sql('call saas.poll()');
is(next_of('c') . ', ' . next_of('d'), '1 of 1, 0 of 1', 'a connection is polled no more often than its plan allows');
my $asked = sql(q{select id from saas.connection where name = 'c 1'});
due_at('c', q{'infinity'});
is($large[0]->refresh($asked)->[0]{ok}, JSON::PP::true, 'a poll on demand');
is(next_of('c'), '1 of 1', 'changes nothing about that');
sql("set role saas_operator; select saas.set_plan_poll_interval('pro', null)");
due_at($_, q{'infinity'}) foreach 'c', 'd';

# However heavy: saas.poller_max_per_org is a bound.
sql("set role saas_operator; select saas.set_organization_weight('$org', 100)");
set_up('saas.poller_max_in_flight' => 20, 'saas.poller_max_per_org' => 4, 'saas.poller_enabled' => 'on');
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'held' });
due_at($_, q{now() - interval '1 minute'}) foreach 'c', 'd';
sql('do $$ begin perform saas_private.wake_poller(); end $$');
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until ($upstream->control(GET => 'faults')->[0]{hits} >= 8)
{
	BAIL_OUT('the upstream is not asked') if time > $deadline;
	select undef, undef, undef, 0.02;
}
is(count_of('c', 'lease_id is not null') . ' ' . count_of('d', 'lease_id is not null'),
	'4 4', 'no weight goes over saas.poller_max_per_org');
set_up('saas.poller_enabled' => 'off');
due_at($_, q{'infinity'}) foreach 'c', 'd';
$upstream->control(DELETE => 'faults');
ok($node->poll_query_until('postgres', 'select count(*) = 0 from saas.connection_status where lease_id is not null'), 'all end');
due_at($_, q{'infinity'}) foreach 'c', 'd';

# Two large ones whose upstream hangs, each below its limit, leave places to others.
set_up('saas.poller_max_in_flight' => 16, 'saas.poller_max_per_org' => 12);
sql("set role saas_operator; select saas.set_organization_weight('$org', null)");
connect_many($large[2], 'x', 100, '/fault/stall?n', q{now() - interval '1 hour'});
connect_many($large[3], 'y', 100, '/fault/stall?n', q{now() - interval '1 hour'});
set_up('saas.poller_enabled' => 'on');
ok($node->poll_query_until('postgres', q{select sum(in_flight) = 14 from saas.poller_status()}),
	'two organizations whose upstreams hang leave two of sixteen places');
due_at('b', 'now()');
sql('do $$ begin perform saas_private.wake_poller(); end $$');
ok($node->poll_query_until('postgres', q{
		select last_polled_at is not null and next_poll_at > now() from saas.connection c
		  join saas.connection_status s on s.connection_id = c.id where c.name = 'b 1'}),
	'in which a third one is polled');
is(count_of('x', 'lease_id is not null') + count_of('y', 'lease_id is not null'), 14, 'while they hang');
is(count_of('x', 'last_polled_at is not null') + count_of('y', 'last_polled_at is not null'), 0, 'all of them');
set_up('saas.poller_enabled' => 'off');
sql(q{delete from saas.connection where name ~ '^[xy] '});
# What hangs is cut off.
$upstream->restart;
ok($node->poll_query_until('postgres', q{select sum(in_flight + waiting) = 0 from saas.poller_status()}), 'the polls of those end');

# One whose requests hang at a host that others use leaves connections to them.
set_up('saas.poller_max_in_flight' => 50, 'saas.poller_max_per_org' => 40, 'saas.poller_max_per_host' => 16);
$upstream->control(DELETE => 'stats');
connect_many($large[2], 'x', 40, '/fault/stall?n', q{now() - interval '1 hour'});
due_at('b', q{'infinity'});
set_up('saas.poller_enabled' => 'on');
$deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until ($upstream->control(GET => 'stats')->{in_flight_peak} >= 14)
{
	BAIL_OUT('the upstream is not asked') if time > $deadline;
	select undef, undef, undef, 0.02;
}
ok($node->poll_query_until('postgres', q{select sum(in_flight) = 40 from saas.poller_status()}), 'forty polls of one organization go to one host');
due_at('b', 'now()');
sql('do $$ begin perform saas_private.wake_poller(); end $$');
ok($node->poll_query_until('postgres', q{
		select next_poll_at > now() and next_poll_at < 'infinity' from saas.connection c
		  join saas.connection_status s on s.connection_id = c.id where c.name = 'b 1'}),
	'another organization is answered there');
is(count_of('x', 'last_polled_at is not null'), 0, 'while they hang');
is($upstream->control(GET => 'stats')->{in_flight_peak}, 15, 'fourteen of sixteen connections, and one that was kept');
set_up('saas.poller_enabled' => 'off', 'saas.poller_max_per_host' => 100);
sql(q{delete from saas.connection where name ~ '^x '});
$upstream->restart;
ok($node->poll_query_until('postgres', q{select sum(in_flight + waiting) = 0 from saas.poller_status()}), 'those polls end too');

#
# Turns among what waits in the poller: on demand, more than may be under way
#
set_up('saas.poller_max_in_flight' => 1, 'saas.poller_max_per_org' => 500);
sql("set role saas_operator; select saas.set_organization_weight('$org', 2)");
sql(q{delete from saas.connection c using saas.connection_status s where s.org_id = c.org_id and s.connection_id = c.id
	and c.name ~ '^[cd] ' and (substr(c.name, 3)::integer > 20)});
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'held' });
order();
my $first = $large[0]->start_sql('select jsonb_array_length(saas_api.refresh_connections(null, 60000))');
until ($upstream->control(GET => 'faults')->[0]{hits} >= 1) { select undef, undef, undef, 0.02; }
my $second = $large[1]->start_sql('select jsonb_array_length(saas_api.refresh_connections(null, 60000))');
ok($node->poll_query_until('postgres', q{select sum(waiting) = 39 from saas.poller_status()}), 'two sessions ask for forty polls');
$upstream->control(DELETE => 'faults');
is($first->() . ' ' . $second->(), '20 20', 'all are done');
$seen = order();
is($seen, 'ccd' x 10 . 'd' x 10, 'by weight, whoever came first');

# Who asks for more than can be begun in time hears so, and the connections are not to blame.
set_up('saas.poller_request_timeout' => '1s');
my $asker = SaasTenant->create($node, 'postgres', 'Asker');
connect_many($asker, 'z', 10, '/fault/stall?n', q{now() + interval '1 hour'});
is( $asker->sql(q{select string_agg(e ->> 'error', ' ' order by e ->> 'error') filter (where e ->> 'error' ~ 'before'), count(*)
		from jsonb_array_elements(saas_api.refresh_connections(null, 60000)) e}),
	join(' ', ('too many polls were before this one') x 9) . '|10', 'of ten, one place and a hanging upstream nine are not begun');
is(count_of('z', 'consecutive_failures = 1') . ' ' . count_of('z', q{last_polled_at is null and status = 'pending'}),
	'1 9', 'which counts as no failure');
is(count_of('z', 'lease_id is null'), 10, 'and all are given back');
sql(q{delete from saas.connection where name ~ '^z '});
set_up('saas.poller_request_timeout' => '60s');

#
# What is not polled is not looked at either
#
# An automatic analyze would keep what is dead from being vacuumed away.
set_up('saas.poller_max_in_flight' => 20, autovacuum => 'off');
my $idle   = SaasTenant->create($node, 'postgres', 'Idle');
my $closed = SaasTenant->create($node, 'postgres', 'Closed');
connect_many($idle,   'i', 50000, '/metrics?instance', q{now() - interval '1 day'});
connect_many($closed, 'k', 50000, '/metrics?instance', q{now() - interval '1 day'});
connect_many($small,  's', 5,     '/metrics?instance', 'now()');
sql(q{update saas.connection set is_active = false where name like 'i %'});
sql("set role saas_operator; select saas.suspend_organization('" . $closed->org_id . "', 'unpaid')");

# A session's figures are there when it is gone.
sub reads_so_far
{
	$node->poll_query_until('postgres', q{select count(*) = 1 from pg_stat_activity where backend_type = 'client backend'});
	return sql(q{select seq_tup_read + idx_tup_fetch + (select sum(idx_tup_read) from pg_stat_user_indexes
			where relid = 'saas.connection_status'::regclass)
		from pg_stat_user_tables where relid = 'saas.connection_status'::regclass});
}

# Rows and index entries of the schedule that a statement reads.
sub reads_of
{
	my ($statement) = @_;
	my $before = reads_so_far();
	sql($statement);
	return reads_so_far() - $before;
}

cmp_ok(reads_of('call saas.poll()'), '>', 50000, 'the first look after an organization was closed puts its connections aside');
is(count_of('s', 'last_polled_at is not null'), 5, 'others are polled');
is(count_of('k', 'not is_open'), 50000, 'all of them, whatever is due');
is(count_of('i', 'not s.is_active'), 50000, 'those that are turned off have been, without a look');
sql('vacuum saas.connection_status');
due_at('s', 'now()');
cmp_ok(my $reads = reads_of('call saas.poll()'), '<', 2000, 'afterwards a poll reads no row of 100,000 that are due and closed or turned off');
note("$reads rows and entries");
is(count_of('s', 'next_poll_at > now()'), 5, 'and those that are open are polled');
is(count_of('i', 'last_polled_at is not null') + count_of('k', 'last_polled_at is not null'), 0, 'and no other');

# Nothing of it is lost.
due_at('k', q{'infinity'});
due_at('k 1', q{now()}) if sql(q{update saas.connection set name = 'k 1 ' where name = 'k 1' returning 1});
sql("set role saas_operator; select saas.activate_organization('" . $closed->org_id . "')");
ok($node->poll_query_until('postgres', q{select not exists (select from saas.connection_status where not is_open)}),
	'open again, all have their place again');
sql('call saas.poll()');
is(count_of('k 1', 'last_polled_at is not null'), 1, 'and what is due is polled');
my $one = sql(q{select id from saas.connection where name = 'i 1'});
is($idle->sql("select saas_api.set_connection_active('$one', true) ->> 'is_active'"), 'true', 'a connection is turned on');
sql('call saas.poll()');
is(sql("select is_active and last_polled_at is not null from saas.connection_status where connection_id = '$one'"),
	't', 'and polled at once');
$idle->sql("select 1 from saas_api.set_connection_active('$one', false)");
is(sql("select is_active from saas.connection_status where connection_id = '$one'"), 'f', 'and turned off');
$idle->sql("select 1 from saas_api.update_connection('$one', '{\"name\": \"i renamed\", \"tags\": {\"a\": \"b\"}}')");
sql("update saas.connection_status set next_poll_at = now(), last_polled_at = null where connection_id = '$one'");
sql('call saas.poll()');
is(sql("select last_polled_at is null from saas.connection_status where connection_id = '$one'"), 't', 'whatever its schedule says');

# Whoever locks a connection does not keep an operator from closing the organization.
my $locker = $node->background_psql('postgres');
$locker->query_safe("begin; select from saas.connection_status where org_id = '" . $closed->org_id . "' for update");
is(sql("set lock_timeout = '5s'; set role saas_operator; select saas.suspend_organization('" . $closed->org_id . "', 'unpaid')"),
	'', 'an organization is closed while a connection of it is locked');
due_at('s', 'now()');
sql('call saas.poll()');
is(count_of('s', 'next_poll_at > now()'), 5, 'and others are polled');
$locker->query_safe('rollback');
$locker->quit;

# What the planner knows of what is due is old when it matters: claims do not go by it.
sql('analyze saas.connection_status');
sql(q{update saas.connection set is_active = true where name like 'i %'});
sql('vacuum saas.connection_status');
due_at('s', 'now()');
cmp_ok($reads = reads_of('call saas.poll(20)'), '<', 2000, 'nor does a poll read 50,000 that are due when the statistics know of none');
note("$reads rows and entries");
is(count_of('i', q{last_polled_at is not null and name <> 'i renamed'}) + count_of('s', 'next_poll_at > now()'), 20, 'both organizations are polled');
is(count_of('s', 'next_poll_at > now()'), 5, 'the smaller one wholly');

unlike($node->log_since(0), qr/PANIC|TRAP|exited with exit code [02-9]/, 'nothing crashed');
done_testing();
