# The worker rolls up what polls bring, and anew what they bring late.
use strict;
use warnings;

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

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');
my $id = $tenant->connect('prometheus', 'late', { url => $upstream->url . '/metrics' }, {}, '1 day');
ok($tenant->wait_for($id, 'last_polled_at is not null'), 'the first poll is over');

# The middle of a bucket that is long over.
my $time = (int(time / 300) - 20) * 300 + 100;

sub scrape
{
	my ($text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	my $answers = $tenant->refresh($id);
	return $answers->[0]{error} // "$answers->[0]{samples} samples";
}

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub rolled
{
	return sql(qq{
		select string_agg(format('%s %s', r.count[u.place], r.sum[u.place]), ', ' order by r.at)
		  from saas.reading_5m r join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id,
		       unnest(l.series_ids) with ordinality u (id, place) join saas.series s on s.id = u.id and s.metric = 'a'
		 where r.connection_id = '$id' and r.at between to_timestamp($time) - interval '5 minutes' and to_timestamp($time)});
}

sub notes { return sql('select count(*) from saas_private.late_window') }

sql('call saas.maintain()');
is(scrape("a 1 ${time}000\n"), '1 samples', 'a sample of a time that is over');
is(notes(), '1', 'is noted');
sql('call saas.maintain()');
is(rolled(), '1 1', 'and rolled up');
is(notes(), '0', 'after which the note goes');
is(scrape("a 1 ${time}000\n"), '1 samples', 'the same again');
is(notes(), '0', 'changes nothing, so it is not noted');
my $later = $time + 10;
is(scrape("a 5 ${time}000\na 7 ${later}000\n"), '2 samples', 'a correction and one more');
is(notes(), '1', 'are one note');
is(scrape("b 1 ${time}000\n"), '1 samples', 'another series of that time');
is(notes(), '2', 'is noted too');
sql('call saas.maintain()');
is(rolled(), '2 12', 'and all are rolled up anew');
my $long_ago = $time - 20 * 86400;
is(scrape("a 1 ${long_ago}000\na 8 ${later}000\n"), '2 samples', 'one sample of long ago besides');
is( sql('select string_agg((until_at - from_at)::text, \' \') from saas_private.late_window'),
	'00:05:00 00:05:00', 'does not have the time between rolled up anew');
sql('call saas.maintain()');
is(rolled(), '2 13', 'what is noted is');
is(scrape("a 1\n"), '1 samples', 'a sample of now');
cmp_ok(notes(), '<=', 1, 'is noted only when its five minutes have ended meanwhile');

# A transaction that writes readings holds back the closing of time, and nobody else.
my $writer = open_session($node);
say_to($writer, 'begin;');
is(say_to($writer, qq{
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select org_id, connection_id, to_timestamp($time + 20), layout_id, "values" from saas.reading
	 where connection_id = '$id' and at = to_timestamp($time);}), '', 'somebody writes a reading');
is(sql('select saas_private.closed_until(20) is null'), 't', 'time is not closed while somebody writes');
is(scrape("a 2\n"), '1 samples', 'polls go on');
say_to($writer, 'commit;');
close_session($writer);
is(sql('select saas_private.closed_until(20000) is null'), 'f', 'but when they are done');

# The worker does it by itself.
is(scrape("a 9 ${time}000\n"), '1 samples', 'one more correction');
$node->append_conf('postgresql.conf', 'saas.maintenance_enabled = on');
$node->reload;
ok($node->poll_query_until('postgres', 'select count(*) = 0 from saas_private.late_window'), 'the worker takes notes away');
ok($node->poll_query_until('postgres', 'select finished_at is not null and behind = 0 from saas.maintenance_status()'), 'and rolls up everything');
is(rolled(), '3 22', 'with what came late');

done_testing();
