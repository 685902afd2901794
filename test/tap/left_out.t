# Samples that are left out, for their times or for series beyond the limit: the
# poll is good all the same, and the connection says what is missing.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8',
		'saas.allow_plain_http' => 'on',
		'saas.refresh_cooldown' => '0',
		'saas.max_series'       => '5' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');

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
	my ($id, $text) = @_;
	serve($text);
	my $answers = $tenant->refresh($id);
	return $answers->[0]{error} // "$answers->[0]{samples} samples";
}

sub health
{
	my ($id) = @_;
	return $tenant->sql("select concat_ws(' ', status, health, health_reason) from saas_api.connections where id = '$id'");
}

sub latest
{
	my ($id) = @_;
	return $tenant->sql(qq{select string_agg(coalesce(labels ->> 'pod', metric) || '=' || value, ' ' order by labels ->> 'pod', metric)
		from saas_api.latest_samples where connection_id = '$id'});
}

sub series
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "select count(*) from saas.series where connection_id = '$id'");
}

sub pods { return join '', map {"a{pod=\"$_\"} ${_}0\n"} @_; }

serve(pods(1 .. 3));
my $id = $tenant->connect('prometheus', 'churn', { url => $upstream->url . '/metrics' }, {}, '1 day');
ok($tenant->wait_for($id, 'last_polled_at is not null'), 'the first poll is over');
is(health($id), 'active ok', 'three series of five');

# Labels that come and go

is(scrape($id, pods(4 .. 6)), '2 samples', 'three more: two are stored');
is(latest($id), '4=40 5=50', 'those that come first');
is(health($id), 'active degraded 1 of 3 samples left out: the connection has its 5 series', 'and the connection says so');
is(scrape($id, pods(7 .. 9)), '0 samples', 'when no label is known nothing is stored');
is(latest($id), '4=40 5=50', 'the newest values stay');
is(health($id), 'active degraded 3 of 3 samples left out: the connection has its 5 series', 'the poll is good');
is(scrape($id, pods(9, 2, 8, 5)), '2 samples', 'known series are stored among unknown ones');
is(latest($id), '2=20 5=50', 'each with its own value');
is(scrape($id, pods(9, 2, 8, 5)), '2 samples', 'the same again');
is(health($id), 'active degraded 2 of 4 samples left out: the connection has its 5 series', 'is told again');
is(series($id), '5', 'there are no more series than the limit');
is($node->safe_psql('postgres', qq{select sum(failures) from saas.poller_history where connection_id = '$id'}), '0', 'no poll has failed');
is($node->safe_psql('postgres', qq{select sum(samples) from saas.poller_history where connection_id = '$id'}), '9', 'its history counts what was stored');
is(scrape($id, pods(1, 3)), '2 samples', 'fewer labels');
is(health($id), 'active ok', 'and all is well again');
$node->safe_psql('postgres', 'alter system set saas.max_series = 6');
$node->reload;
ok(eventually(sub { return scrape($id, pods(1, 7, 8)) eq '2 samples'; }), 'a higher limit lets one more in');
is(latest($id), '1=10 7=70', 'with its value');
is(series($id), '6', 'up to it');

# Times that are not believed, or that nobody would see

my $now = time;
sub at { my ($metric, $seconds) = @_; return sprintf "%s 1 %d000\n", $metric, $now + $seconds; }

my $times = $tenant->connect('prometheus', 'times', { url => $upstream->url . '/metrics?times' }, {}, '1 day');
$tenant->wait_for($times, "last_polled_at is not null");
# The poller's own first poll may have brought as many series as the limit allowed.
$node->safe_psql('postgres', 'alter system set saas.max_series = 1000');
$node->reload;
ok(eventually(sub { return scrape($times, at('now', -60) . at('ahead', 600)) eq '1 samples'; }), 'a sample from ten minutes ahead');
is(health($times), 'active degraded 1 of 2 samples left out: more than 5 minutes ahead', 'is told');
is(scrape($times, at('now', -50) . at('old', -32 * 86400)), '1 samples', 'one from 32 days ago');
is(health($times), 'active degraded 1 of 2 samples left out: more than 31 days past', 'is told');
$node->safe_psql('postgres', "update saas.organization set plan = 'free'");
is(scrape($times, at('now', -40) . at('week', -7 * 86400) . at('ahead', 900)), '1 samples', 'one that the plan does not keep');
is(health($times), 'active degraded 1 of 3 samples left out: more than 5 minutes ahead; 1 of 3 samples left out: the plan keeps them for 1 days',
	'is told along with the others');
is($node->safe_psql('postgres', "select count(*) from saas.series where connection_id = '$times' and metric in ('ahead', 'old', 'week')"), '0', 'none of them makes a series');
is(scrape($times, at('now', -30) . at('yesterday', -86000)), '2 samples', 'what it keeps is stored');
is(health($times), 'active ok', 'and all is well again');

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
