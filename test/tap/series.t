# Series and layouts of which nothing is left go, whatever a poller remembers of
# them, and leave room for others.
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
		'saas.allowed_networks'    => '127.0.0.0/8',
		'saas.allow_plain_http'    => 'on',
		'saas.refresh_cooldown'    => '0',
		'saas.maintenance_enabled' => 'off',
		'saas.max_series'          => '6',
		'log_lock_waits'           => 'on',
		'deadlock_timeout'         => '10ms' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub serve
{
	my ($text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	return;
}

sub pods { return join '', map {"a{pod=\"$_\"} ${_}0\n"} @_; }

serve(pods(1 .. 3));
my $id = $tenant->connect('prometheus', 'churn', { url => $upstream->url . '/metrics' }, {}, '1 day');
ok($tenant->wait_for($id, 'last_polled_at is not null'), 'the first poll is over');
sql("select saas.set_plan_retention('free', 1, 2, 3, 20); update saas.organization set plan = 'free'");

sub scrape
{
	my (@pods) = @_;
	serve(pods(@pods));
	my $answers = $tenant->refresh($id);
	return $answers->[0]{error} // "$answers->[0]{samples} samples";
}

sub latest
{
	return $tenant->sql(qq{select string_agg(labels ->> 'pod' || '=' || value, ' ' order by labels ->> 'pod')
		from saas_api.latest_samples where connection_id = '$id'});
}

sub series
{
	return sql(qq{select string_agg(labels ->> 'pod', ' ' order by labels ->> 'pod') from saas.series where connection_id = '$id'});
}

# As if the pods were last seen so many days ago, with what was stored of them.
sub age
{
	my ($days, @pods) = @_;
	my $list = join ',', @pods;
	sql(qq{
		update saas.series set seen_at = now() - interval '$days days' where labels ->> 'pod' in (select unnest('{$list}'::text[]));
		update saas.layout l set seen_at = now() - interval '$days days'
		 where not exists (select from unnest(l.series_ids) u (id) join saas.series s on s.id = u.id where s.seen_at > now() - interval '$days days');
		delete from saas.reading r using saas.layout l where l.id = r.layout_id and l.seen_at < now() - interval '1 day'});
	return;
}

sub maintain
{
	sql(q{update saas_private.rollup_progress set trimmed_at = '-infinity'});
	sql('call saas.maintain()');
	return;
}

# Of which every value has its name.
sub nameless
{
	return sql(q{select count(*) from saas.reading r
		where not exists (select from saas.layout l where l.id = r.layout_id
		                     and (select count(*) from saas.series s where s.id = any (l.series_ids)) = cardinality(l.series_ids))});
}

# The poller does not forget them by itself.
is(scrape(4 .. 6), '3 samples', 'six series');
is(scrape(7), '0 samples', 'leave no room for another');
age(27, 1 .. 3);
maintain();
is(series(), '1 2 3 4 5 6', 'what was seen 27 days ago may have values of 20 days ago: it stays');
is(scrape(7), '0 samples', 'and is counted');
age(30, 1 .. 3);
maintain();
is(series(), '4 5 6', 'what was seen 30 days ago has none left: it goes');
is(sql('select count(*) from saas.layout'), '1', 'with its layout');
is(scrape(1 .. 3), '3 samples', 'and when it comes again');
is(latest(), '1=10 2=20 3=30', 'the poller has noticed');
is(scrape(7), '0 samples', 'six again');
age(30, 4 .. 6);
maintain();
is(scrape(7 .. 9), '3 samples', 'others are admitted where some went');
is(latest(), '7=70 8=80 9=90', 'with their values');

# What is kept for long does not keep others out for as long.
sql("update saas.organization set plan = 'enterprise'");
age(32, 1 .. 3);
maintain();
is(series(), '1 2 3 7 8 9', 'where everything is kept no series goes');
is(scrape(10 .. 12), '3 samples', 'but those not seen for a month make room');
is(series(), '1 10 11 12 2 3 7 8 9', 'for as many');
sql('select saas_private.forget_layouts()');
is(scrape(1 .. 3), '3 samples', 'what comes back is known');
is(sql(q{select count(*) from saas.series where seen_at > now() - interval '1 day'}), '9', 'and seen');
is(sql(q{select count(*) from saas.layout where seen_at > now() - interval '1 day'}), '3', 'and its layout');
is(scrape(13), '0 samples', 'there is no room again');

# However it comes that something is used again, it is seen.
sql(q{update saas.series set seen_at = now() - interval '10 days' where labels ->> 'pod' in ('2', '3', '10')});
is(scrape(2, 3), '2 samples', 'known series that have not come together before');
is(sql(q{select string_agg(labels ->> 'pod', ' ') from saas.series where seen_at < now() - interval '1 day'}), '10', 'are seen');
my $late = $tenant->connect('prometheus', 'late', { url => $upstream->url . '/metrics?late' }, {}, '1 day');
ok($tenant->wait_for($late, 'last_polled_at is not null'), 'another connection');
my $time = time - 100;
sub scrape_at
{
	my ($metric, $at) = @_;
	serve("$metric 1 ${at}000\n");
	return $tenant->refresh($late)->[0]{samples};
}
is(scrape_at('a', $time) . scrape_at('b', $time), '11', 'two series of one time that come one after the other');
my $merged = sql(qq{select layout_id from saas.reading where connection_id = '$late' and at = to_timestamp($time)});
sql("update saas.layout set seen_at = now() - interval '10 days' where id = '$merged'");
is(scrape_at('a', $time + 1) . scrape_at('b', $time + 1), '11', 'again');
is(sql("select seen_at > now() - interval '1 day' from saas.layout where id = '$merged'"), 't', 'the layout of both is seen');

# A poll of what is just being deleted waits, or is stored with the next one.
sql("update saas.organization set plan = 'free'");
age(40, 7 .. 12);
sql('select saas_private.forget_layouts()');
my $maintenance = open_session($node);
say_to($maintenance, 'begin;');
is(say_to($maintenance, qq{select saas_private.delete_unused(org_id, id, now() - interval '30 days', 100) from saas.connection where id = '$id';}),
	'8', 'two layouts and their series are being deleted');
my $offset = $node->log_size;
serve(pods(7 .. 9));
my $refresh = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'),
		'-c', "update saas.connection_status set next_poll_at = now() where connection_id = '$id'", '-c', 'call saas.poll()' ],
	'>', \my $out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
ok(eventually(sub { return $node->log_since($offset) =~ /still waiting for \w+ on transaction/ }), 'while a poll wants them');
say_to($maintenance, 'commit;');
close_session($maintenance);
IPC::Run::finish($refresh);
is(scrape(7 .. 9), '3 samples', 'they are stored');
is(latest(), '7=70 8=80 9=90', 'under series of their own');
is(nameless(), '0', 'no value has lost its name');

sub eventually
{
	my ($holds) = @_;
	my $give_up_at = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($holds->())
	{
		return 0 if time > $give_up_at;
	}
	return 1;
}

done_testing();
