# Samples that carry times of their own: none is lost, doubled or believed blindly.
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
		'saas.refresh_cooldown' => '0' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');

# A whole minute, some minutes ago: well inside what is believed.
my $time  = (int(time / 60) - 10) * 60;
my $other = $time + 1;

sub scrape
{
	my ($id, $text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	my $answers = $tenant->refresh($id);
	return $answers->[0]{error} // "$answers->[0]{samples} samples";
}

sub samples_at
{
	my ($id, $epoch) = @_;
	return $node->safe_psql('postgres', qq{
		select string_agg(format('%s%s=%s', s.metric, nullif(s.labels::text, '{}'), s.value), ' '
		                  order by s.metric, s.labels::text)
		  from saas.sample s where s.connection_id = '$id' and s.at = to_timestamp($epoch)});
}

sub line { my ($series, $value, $at) = @_; return "$series $value ${at}000\n"; }

my $id = $tenant->connect('prometheus', 'late', { url => $upstream->url . '/metrics' }, {}, '1 day');
ok($tenant->wait_for($id, 'last_polled_at is not null'), 'the first poll is over');

is(scrape($id, line('a', 1, $time) . line('b', 2, $time)), '2 samples', 'two series of one time');
is(samples_at($id, $time), 'a=1 b=2', 'are one reading');

is(scrape($id, line('a', 1, $time) . line('b', 3, $other)), '2 samples', 'one of them moves on');
is(samples_at($id, $time), 'a=1 b=2', 'its old value stays');
is(samples_at($id, $other), 'b=3', 'and the new one is a reading of its own');

is(scrape($id, line('c{n="1"}', 4, $time) . line('a', 5, $time)), '2 samples', 'a late series and a correction');
is(samples_at($id, $time), 'a=5 b=2 c{"n": "1"}=4', 'join the reading of their time');

is(scrape($id, line('a', 5, $time)), '1 samples', 'the same again');
is(samples_at($id, $time), 'a=5 b=2 c{"n": "1"}=4', 'changes nothing');
is( $node->safe_psql('postgres', qq{
		select count(*) from saas.reading r join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id
		 where r.connection_id = '$id' and cardinality(l.series_ids) <> cardinality(r."values")}),
	'0', 'every reading has as many values as its layout has series');

my $now = time;
is(scrape($id, line('a', 6, $now - 32 * 86400) . line('a', 7, $now + 600) . line('a', 8, $time + 2)),
	'1 samples', 'times more than 31 days past or 5 minutes ahead are not believed');
is(samples_at($id, $time + 2), 'a=8', 'the rest is stored');

is(scrape($id, "a NaN ${time}000\nb +Inf ${time}000\n"), '2 samples', 'numbers that are none');
is(samples_at($id, $time), 'a=NaN b=Infinity c{"n": "1"}=4', 'are kept as they are');

is(scrape($id, "d 1\nd 2\nd{n=\"1\"} 3\nd{n=\"1\"} 3\n"), '2 samples', 'a series that comes twice');
is( $node->safe_psql('postgres', qq{
		select string_agg(distinct s.value::text, ' ') from saas.sample s where s.connection_id = '$id' and s.metric = 'd'}),
	'1 3', 'counts once, with the first of its values');

# The time of a poll that is there already. Only a trigger can make sure of that.
my @ids = ($id, map { $tenant->connect('prometheus', "new $_", { url => $upstream->url . "/metrics?$_" }, {}, '1 day') } 1 .. 9);
ok($tenant->wait_for($_, 'last_polled_at is not null'), 'polled') foreach @ids;
$node->safe_psql('postgres', qq{
	delete from saas.reading where connection_id = '$id';
	create function public.same_time() returns trigger language plpgsql as \$\$
	begin
		new.at := date_trunc('week', new.at, 'UTC');
		return new;
	end \$\$;
	create trigger same_time before insert on saas.reading for each row
	when (new.connection_id = '$id') execute function public.same_time()});
sub refresh_all
{
	my ($text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	return join ' ', map { $_->{error} // $_->{samples} } @{ $tenant->refresh(@ids) };
}
is(refresh_all("a 1\n"), join(' ', (1) x 10), 'ten polls at once');
is(refresh_all("a 2\n"), join(' ', (1) x 10), 'and again, one of them with a time that it has had');
is($node->safe_psql('postgres', qq{select values from saas.reading where connection_id = '$id'}), '{2}', 'whose value is replaced');
is(refresh_all("a 2\n"), join(' ', (1) x 10), 'or the same');
is( $node->safe_psql('postgres', qq{select count(*), min(n) from (select count(*) as n from saas.sample
		where connection_id <> '$id' and metric = 'a' group by connection_id) c}),
	'9|3', 'the others have all of theirs');

done_testing();
