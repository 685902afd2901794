# Maintenance beside everybody else: several at once, with polls that bring
# late samples, killed in the middle; and beside somebody who holds a
# connection.  Nothing is lost, counted twice, or stands still.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasSession;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8',
		'saas.allow_plain_http' => 'on',
		'saas.maintenance_enabled' => 'off',
		'saas.refresh_cooldown' => '0' });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');
sql('update saas.plan set retention_days = 400, retention_5m_days = 400, retention_1h_days = 400, retention_1d_days = 400');
my @ids = map { $tenant->connect('prometheus', $_, { url => $upstream->url . "/metrics?$_" }, {}, '1 day') } qw(one two);
ok($tenant->wait_for($_, 'last_polled_at is not null'), 'the first poll is over') foreach @ids;

# Rollups that are not what the samples say, but for what is not rolled up yet.
sub differences
{
	return sql(q{
		with rolled as (
			select r.level, r.connection_id, u.series_id, r.at, u.count, u.sum, u.last
			  from (select '5 minutes' as level, f.* from saas.reading_5m f
			         union all select '1 hour', org_id, connection_id, at, layout_id, count, sum, min, max, first, last, increase from saas.reading_1h
			         union all select '1 day', org_id, connection_id, at, layout_id, count, sum, min, max, first, last, increase from saas.reading_1d) r
			  join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id,
			       unnest(l.series_ids, r.count, r.sum, r.last) as u (series_id, count, sum, last)
			 where u.count > 0
		), sampled as (
			select v.level, s.connection_id, s.series_id, date_bin(v.level::interval, s.at, '2000-01-03') as at, count(*)::float8 as count,
			       sum(s.value) as sum, (array_agg(s.value order by s.at desc))[1] as last
			  from saas.sample s join saas_private.rollup_progress p on p.connection_id = s.connection_id,
			       unnest(array['5 minutes', '1 hour', '1 day']) as v (level)
			 where s.value is not null
			   and date_bin(v.level::interval, s.at, '2000-01-03') + v.level::interval <= p.rolled_until
			 group by 1, 2, 3, 4
		)
		select string_agg(d::text, E'\n') from (select 'wrong', * from (table rolled except table sampled) w
			union all select 'missing', * from (table sampled except table rolled) m limit 5) d});
}

sub maintain
{
	my ($name) = @_;
	return IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name",
			map { ('-c', 'call saas.maintain()') } 1 .. 60 ],
		'>', \my $out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
}

# The same again and again, until the server goes down.
my $again = PostgreSQL::Test::Utils::tempdir() . '/again.sql';
append_to_file($again, "call saas.maintain() \\watch 0.01\n");
sub maintain_on
{
	my ($name) = @_;
	return IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name", '-f', $again ],
		'>', \my $out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
}

# What samples were sent last, by series and time; late ones far more than new ones.
my %sent;
my $now = time;
srand(7);
sub scrape
{
	my $body = '';
	foreach my $metric (qw(a b c)[ 0 .. int rand 3 ])
	{
		my %times = map { $now - 60 - int(rand(26 * 3600) / 30) * 30 => 1 } 1 .. 15;
		foreach my $time (sort keys %times)
		{
			my $value = 1 + int rand 1000;
			$body .= "$metric $value ${time}000\n";
			$sent{"$metric $time"} = $value;
		}
	}
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $body, content_type => 'text/plain; version=0.0.4', code => 200 });
	return $tenant->refresh($_[0])->[0]{ok};
}

my $stored = 0;
foreach my $round (1 .. 3)
{
	my @runs = map { maintain_on("maintainer$_") } 1, 2;
	$stored += scrape($ids[0]) ? 1 : 0 foreach 1 .. 12;
	# One that works, else one that waits for it.
	my $pid = '';
	foreach (1 .. 1000)
	{
		$pid = sql(q{select pid from pg_stat_activity where application_name ~ '^maintainer' and state = 'active' order by wait_event_type = 'Lock', pid limit 1});
		last if $pid;
	}
	is(kill('KILL', $pid), 1, 'one that maintains is killed');
	$_->finish foreach @runs;
	ok($node->poll_query_until('postgres', 'select true'), 'the server is back');
	ok($tenant->wait_for($ids[0], 'last_polled_at is not null'), 'polls go on');
	sql('call saas.maintain()');
	is(sql('select count(*) from saas_private.late_window'), '0', 'no note is left');
	is(differences(), '', 'rollups are what the samples say');
}
is($stored, 36, 'every poll was good');
is(sql(q{select string_agg(format('%s %s=%s', metric, extract(epoch from at)::bigint, value), ',' order by metric, at)
	       from saas.sample where connection_id = '} . $ids[0] . q{' and value is not null and at = date_trunc('second', at) and metric in ('a', 'b', 'c')}),
	join(',', map { "$_=$sent{$_}" } sort { my ($m, $t) = split ' ', $a; my ($n, $u) = split ' ', $b; $m cmp $n || $t <=> $u } keys %sent),
	'and samples are what was sent');

# Several that are not killed.
my @runs = map { maintain("maintainer$_") } 1 .. 3;
scrape($ids[0]) foreach 1 .. 5;
$_->finish foreach @runs;
is(join(',', map { $_->result(0) } @runs), '0,0,0', 'several at once wait for each other, and none for ever');
sql('call saas.maintain()');
is(differences(), '', 'and do everything once');

# Who holds or deletes a connection keeps nobody else's metrics waiting.
my $holder = open_session($node);
sql(q{truncate saas.reading_5m, saas.reading_1h, saas.reading_1d; update saas_private.rollup_progress set rolled_until = '-infinity', trimmed_at = '-infinity'});
sql("insert into saas_private.late_window (org_id, connection_id, from_at, until_at)
	select org_id, id, now() - interval '1 day', now() from saas.connection");
is(say_to($holder, "begin; select name from saas.connection where id = '$ids[0]' for update;"), 'one', 'somebody holds a connection');
is(sql('call saas.maintain(); select (saas.maintenance_status()).finished_at is not null'), 't', 'maintenance ends');
is(sql(q{select string_agg(c.name, ',') from saas_private.rollup_progress p join saas.connection c on c.id = p.connection_id where p.rolled_until > '-infinity'}),
	'two', 'and has done the other connection');
is(sql(q{select string_agg(c.name, ',') from saas_private.rollup_progress p join saas.connection c on c.id = p.connection_id where p.trimmed_at > '-infinity'}),
	'two', 'its retention too');
is(sql(q{select string_agg(c.name, ',') from saas_private.late_window w join saas.connection c on c.id = w.connection_id}), 'one', 'the note of the one that is held waits');
say_to($holder, 'commit;');
sql('call saas.maintain()');
is(sql(q{select count(*) from saas_private.rollup_progress where rolled_until > '-infinity'} ), '2', 'it comes next');
is(differences(), '', 'with everything');

# It is being rolled up: who deletes it waits, and is not told of a deadlock.
sql(q{truncate saas.reading_5m; update saas_private.rollup_progress set rolled_until = '-infinity'});
is(say_to($holder, q{begin; select saas_private.roll_due(now() - interval '10 hours', 50);}), '2', 'a piece of maintenance');
my $deleter = $tenant->start_sql("select saas_api.delete_connection('$ids[0]', 'one') ->> 'name'", begin => 'begin');
ok($node->poll_query_until('postgres', q{select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'delete_connection')}), 'a deletion waits for it');
is(say_to($holder, q{select saas_private.roll_due(now() - interval '5 hours', 50);}), '2', 'it goes on');
say_to($holder, 'commit;');
is($deleter->(), "one", "who deletes it is told of no deadlock");
is(sql(q{select count(*) from saas.connection}), '1', 'and the connection goes');
close_session($holder);
sql('call saas.maintain()');
is(differences(), '', 'the others are as they were');

done_testing();
