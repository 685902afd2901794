# What a tenant's open transaction holds back of the rollups, which is its own
# connections only, and what writers of readings hold back.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasSession;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.bcrypt_cost'         => 10,
		'saas.allowed_networks'    => '127.0.0.0/8',
		'saas.allow_plain_http'    => 'on',
		'saas.maintenance_enabled' => 'off',
		'saas.refresh_cooldown'    => '0' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');
my $beta     = SaasTenant->create($node, 'postgres', 'Beta');
my $gamma    = SaasTenant->create($node, 'postgres', 'Gamma');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub serve
{
	my ($text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	return;
}

sub scrape
{
	my ($tenant, $id, $text) = @_;
	serve($text);
	my $answers = $tenant->refresh($id);
	return $answers->[0]{error} // "$answers->[0]{samples} samples";
}

sub connect_to
{
	my ($tenant, $name) = @_;
	my $id = $tenant->connect('prometheus', $name, { url => $upstream->url . "/metrics?n=$name" }, {}, '1 day');
	ok($tenant->wait_for($id, 'last_polled_at is not null and lease_id is null'), "$name: the first poll is over");
	return $id;
}

# A tenant's session that does something and then nothing more.
sub linger
{
	my ($tenant, $sql, $role) = @_;
	my $session = open_session($node);
	(my $statements = $tenant->statements($sql)) =~ s/ commit;\n\z//;
	$statements =~ s/role saas_user/role $role/ if $role;
	unlike(say_to($session, $statements), qr/ERROR/, 'a session begins a transaction');
	return $session;
}

sub end_session
{
	my ($session, $end) = @_;
	say_to($session, "$end;");
	close_session($session);
	return;
}

sub is_closing { return sql('select saas_private.closed_until(20) is not null'); }

serve("a 1\n");
my $kept  = connect_to($acme, 'kept');
my $going = connect_to($beta, 'going');
sql('call saas.maintain()');

# The middle of a bucket that is long over.
my $time = (int(time / 300) - 20) * 300 + 100;

sub rolled_up
{
	my ($id, $at) = @_;
	$at //= $time;
	return sql(qq{
		select string_agg(format('%s %s', r.count[u.place], r.sum[u.place]), ', ' order by r.at)
		  from saas.reading_5m r join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id,
		       unnest(l.series_ids) with ordinality u (id, place) join saas.series s on s.id = u.id and s.metric = 'a'
		 where r.connection_id = '$id' and r.at between to_timestamp($at) - interval '5 minutes' and to_timestamp($at)});
}

# Count and sum of the buckets around a time, before the day of the first poll.
sub by_level
{
	my ($id, $level, $at) = @_;
	return sql(qq{
		select string_agg(format('%s %s', r.count[u.place], r.sum[u.place]), ', ' order by r.at)
		  from saas.reading_$level r join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id,
		       unnest(l.series_ids) with ordinality u (id, place) join saas.series s on s.id = u.id and s.metric = 'a'
		 where r.connection_id = '$id' and r.at >= to_timestamp($at) - interval '1 day' and r.at < to_timestamp($at) + interval '1 day'});
}

sub readings_of { return sql("select count(*) from saas.reading where connection_id = '$_[0]'"); }

sub rows_of
{
	my ($id) = @_;
	return sql('select ' . join ' + ', map { "(select count(*) from $_ where connection_id = '$id')" }
		  qw(saas.reading saas.reading_5m saas.reading_1h saas.reading_1d saas.series saas.layout
			 saas_private.rollup_progress saas_private.late_window));
}

sub left_of
{
	my ($tenant) = @_;
	return sql('select ' . join ' + ', map { "(select count(*) from $_ where org_id = '" . $tenant->org_id . "')" }
		  qw(saas.connection saas.reading saas.reading_5m saas.reading_1h saas.reading_1d saas.series saas.layout
			 saas_private.rollup_progress saas_private.late_window));
}

# They may be of another month than today; who deletes a connection keeps them from being made.
my $past = connect_to($acme, 'past');
sub make_partitions
{
	my (@times) = @_;
	is(scrape($acme, $past, join '', map {"b 1 ${_}000\n"} @times), @times . ' samples', 'partitions of those times are made');
	sql('call saas.maintain()');
	return;
}

#
# Who deletes and does not end
#
make_partitions($time);
my $idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
is(is_closing(), 't', 'a session that has deleted a connection and does not end does not hold back time');
is(scrape($acme, $kept, "a 4 ${time}000\n"), '1 samples', 'others are polled');
sql('call saas.maintain()');
is(rolled_up($kept), '1 4', 'and rolled up');
is(readings_of($going), '1', 'nothing is gone before it ends');
end_session($idle, 'rollback');
is(scrape($beta, $going, "a 5 ${time}000\n"), '1 samples', 'when it is rolled back the connection is polled');
sql('call saas.maintain()');
is(rolled_up($going), '1 5', 'and rolled up');

# What comes late on both sides of a midnight, meanwhile: days before what else is stored, whatever the time of day.
my $night    = connect_to($acme, 'night');
my $midnight = int(time / 86400) * 86400 - 3 * 86400;
my @around   = ($midnight - 400, $midnight - 10, $midnight, $midnight + 10, $midnight + 400);
make_partitions(@around);
$idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
is(scrape($acme, $night, join '', map { "a $_ $around[$_]000\n" } 0 .. $#around), '5 samples', 'five samples around midnight come late');
sql('call saas.maintain()');
is(by_level($night, $_->[0], $midnight), $_->[1], "are rolled up by $_->[0]")
  foreach [ '5m', '1 0, 1 1, 2 5, 1 4' ], [ '1h', '2 1, 3 9' ], [ '1d', '2 1, 3 9' ];
end_session($idle, 'rollback');

# A savepoint takes back what the transaction said of itself, with the deletion.
$idle = linger($beta, 'savepoint before; select 1 from saas_api.delete_connection(' . "'$going', 'going'); rollback to before");
is(is_closing(), 't', 'a deletion that is taken back holds nothing back');
end_session($idle, 'commit');
is(readings_of($going), '2', 'and deletes nothing');

# An account goes with an organization that it alone is in.
my $gone = connect_to($gamma, 'gone');
$idle = linger($gamma, "select saas_private.remove_organization('" . $gamma->org_id . "', 'no_members')", 'saas_service');
is(is_closing(), 't', 'nor does one that deletes an organization');
is(scrape($acme, $kept, "a 6 ${time}000\n"), '1 samples', 'meanwhile a correction comes late');
sql('call saas.maintain()');
is(rolled_up($kept), '1 6', 'and is rolled up');
cmp_ok(left_of($gamma), '>=', 4, 'nothing is gone before it ends');
end_session($idle, 'commit');
is(left_of($gamma), '0', 'and of the organization nothing is left');
sql('call saas.maintain()');
is(left_of($gamma), '0', 'nor comes again');

# Partitions of rollups need a lock on the connections' table: what is of a
# month that has none waits, and nothing else does.
my $long_ago = int(time / 300) * 300 - 100 * 86400 + 100;
my $history  = connect_to($acme, 'history');
$idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
sql('call saas.maintain()');
sql(qq{
	do \$\$ begin perform saas_private.ensure_reading_partition(to_timestamp($long_ago)); end \$\$;
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select l.org_id, l.connection_id, to_timestamp($long_ago), l.id, '{8}' from saas.layout l where l.connection_id = '$history' limit 1;
	insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
	select c.org_id, c.id, to_timestamp($long_ago) - interval '1 minute', to_timestamp($long_ago) + interval '1 minute' from saas.connection c where c.id = '$history'});
is(scrape($acme, $kept, "a 9 ${time}000\n"), '1 samples', 'and one of today');
sql('call saas.maintain()');
is(rolled_up($kept), '1 9', 'today\'s is rolled up while somebody keeps the partition from being made');
is(sql("select count(*) from saas_private.late_window where connection_id = '$history'"), '1', 'the other waits');
# So does what a connection begins with.
my $new = connect_to($acme, 'new');
sql("delete from saas_private.rollup_progress where connection_id = '$new'; delete from saas.reading where connection_id = '$new'");
sql(qq{
	do \$\$ begin perform saas_private.ensure_reading_partition(to_timestamp($long_ago) - interval '100 days'); end \$\$;
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select l.org_id, l.connection_id, to_timestamp($long_ago) - interval '100 days', l.id, '{1}'
	  from saas.layout l where l.connection_id = '$new' limit 1});
is(scrape($acme, $kept, "a 2 ${time}000\n"), '1 samples', 'another correction');
sql('call saas.maintain()');
is(rolled_up($kept), '1 2', 'is rolled up behind a connection that waits');
is(sql("select rolled_until from saas_private.rollup_progress where connection_id = '$new'"), '-infinity', 'which has not begun');
end_session($idle, 'rollback');
sql('call saas.maintain()');
is(rolled_up($history, $long_ago), '1 8', 'and goes on when that ends');
is(sql("select sum(count[1]) from saas.reading_5m where connection_id = '$new'"), '1', 'as what the new one begins with');
is(sql('select count(*) from saas_private.late_window'), '0', 'no note is left');

#
# Who writes and does not end
#
my $writer = open_session($node);
say_to($writer, 'begin;');
my $at = $time + 20;
is(say_to($writer, qq{
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select org_id, connection_id, to_timestamp($at), layout_id, "values" from saas.reading
	 where connection_id = '$kept' and at = to_timestamp($time);}), '', 'somebody writes a reading');
is(is_closing(), 'f', 'which holds back time');
$idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
is(is_closing(), 'f', 'while others delete, too');
end_session($idle, 'rollback');
end_session($writer, 'rollback');
is(is_closing(), 't', 'until it ends');

#
# A poll whose connection is deleted before its answer comes
#
my $flight = connect_to($acme, 'flight');
$upstream->control(DELETE => 'faults');
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'held' });
$acme->make_due($flight);
ok($node->poll_query_until('postgres', 'select in_flight = 1 from saas.poller_status() where database = current_database()'), 'a poll waits for its answer');
is($acme->sql("select saas_api.delete_connection('$flight', 'flight') ->> 'name'"), 'flight', 'its connection is deleted');
$upstream->control(DELETE => 'faults');
ok($node->poll_query_until('postgres', 'select in_flight = 0 from saas.poller_status() where database = current_database()'), 'the answer comes');
is(scrape($acme, $kept, "a 7\n"), '1 samples', 'the poller goes on');
sql('call saas.maintain()');
is(rows_of($flight), '0', 'of the connection nothing came after');

#
# Backfills by SQL
#
my $filled = $time - 7200;
$idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
$writer = open_session($node);
say_to($writer, 'begin;');
is(say_to($writer, qq{
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select r.org_id, r.connection_id, to_timestamp($filled + n), r.layout_id, array[n]
	  from saas.reading r, generate_series(1, 3) n where r.connection_id = '$kept' and r.at = to_timestamp($time);
	insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
	values ('} . $acme->org_id . qq{', '$kept', to_timestamp($filled + 2), to_timestamp($filled + 3));}), '',
	'a backfill notes what it fills');
is(is_closing(), 'f', 'and holds back time until it ends');
sql("do \$\$ begin perform saas_private.roll_late(10); end \$\$");
end_session($writer, 'commit');
is(is_closing(), 't', 'which the deletion does not');
sql('call saas.maintain()');
is(rolled_up($kept, $filled), '3 6', 'it is rolled up by whole buckets');
end_session($idle, 'rollback');

#
# Several pollers
#
$node->append_conf('postgresql.conf', 'saas.poller_workers = 2');
$node->reload;
ok($node->poll_query_until('postgres', 'select count(*) = 2 from saas.poller_status() where pid is not null'), 'two pollers run');
my @many = map { connect_to($acme, "many$_") } 1 .. 6;
$idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
serve("a 3 ${time}000\n");
my $since = sql('select now()');
$acme->make_due($_) foreach @many;
ok($acme->wait_for($_, "last_polled_at > '$since' and lease_id is null"), 'a connection is polled') foreach @many;
sql('call saas.maintain()');
is(rolled_up($_), '1 3', 'and rolled up') foreach @many;
is(sql('select count(*) from saas_private.late_window'), '0', 'no note is left');

#
# A writer that is killed
#
my $before = rolled_up($kept);
$writer = open_session($node);
say_to($writer, 'begin;');
my $pid = say_to($writer, "select pg_backend_pid();");
say_to($writer, qq{update saas.reading set "values" = '{99}' where connection_id = '$kept'; select saas_private.deletes_readings();});
kill KILL => $pid;
$writer->{run}->kill_kill;
$idle->{run}->kill_kill;
# A server that has not begun anew yet still counts it among those that run.
ok($node->poll_query_until('postgres', "select not exists (select from pg_stat_activity where pid = $pid)"), 'the server begins anew');
is(is_closing(), 't', 'nobody holds back time after that');
sql("insert into saas_private.late_window (org_id, connection_id, from_at, until_at) select org_id, id, to_timestamp($time) - interval '1 hour', to_timestamp($time) + interval '1 hour' from saas.connection where id = '$kept'");
sql('call saas.maintain()');
is(rolled_up($kept), $before, 'and what it wrote is nowhere');
is(readings_of($going) > 0, 1, 'nor is anything deleted');

#
# What tenants can lock
#
$idle = linger($acme, join '; ',
	(map {"select pg_advisory_xact_lock($_)"} 0, 0x5341, "'saas.reading'::regclass::oid::bigint << 32"),
	"select pg_advisory_xact_lock('saas.reading'::regclass::oid::integer, 0)", 'lock table saas.reading in access share mode');
is(sql('select count(*) > 0 and bool_and(objsubid in (1, 2)) from pg_locks where locktype = \'advisory\''), 't',
	'advisory locks of tenants are of other classes');
is(is_closing(), 't', 'what they can lock holds nothing back');
end_session($idle, 'commit');
like($acme->error_of('select saas_private.deletes_readings()'), qr/42501/, 'nor can they say that they only delete');
like($acme->error_of("lock table saas.reading in $_ mode"), qr/42501|PT403/, "nor take $_") foreach 'row exclusive', 'share update exclusive', 'share';

done_testing();
