# What a connection's first polls look up: each series once, whatever the planner
# knows of the tables, which is nothing here.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $SERIES = 60;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'    => '127.0.0.0/8',
		'saas.allow_plain_http'    => 'on',
		'saas.poller_enabled'      => 'off',
		'saas.maintenance_enabled' => 'off',
		'autovacuum'               => 'off' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');

sub serve { return serve_text(join '', map {"a{pod=\"$_\"} ${_}0\n"} @_); }

sub serve_text
{
	my ($text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	return;
}

sub nodes_of
{
	my ($plan) = @_;
	return ($plan, map { nodes_of($_) } @{ $plan->{Plans} // [] });
}

# Rows that a plan's node took up, those that it threw away with them.
sub looked_at
{
	my ($plan_node) = @_;
	my $rows = 0;
	$rows += $plan_node->{$_} // 0
		for 'Actual Rows', 'Rows Removed by Filter', 'Rows Removed by Join Filter', 'Rows Removed by Index Recheck';
	return $rows * ($plan_node->{'Actual Loops'} // 0);
}

# All that a poll of what is due ran, as auto_explain tells it.
sub poll
{
	$node->safe_psql('postgres', 'update saas.connection_status set next_poll_at = now()');
	my ($status, $out, $messages) = $node->psql('postgres', q{
		load 'auto_explain';
		set auto_explain.log_format = json;
		set auto_explain.log_analyze = on;
		set auto_explain.log_timing = off;
		set auto_explain.log_nested_statements = on;
		set auto_explain.log_level = notice;
		set auto_explain.log_min_duration = 0;
		call saas.poll()});
	is($status, 0, 'the poll') or diag($messages);
	my @plans;
	push @plans, JSON::PP->new->utf8->decode($1) while $messages =~ /plan:\n(\{\n.*?\n\})\n/gs;
	return grep { $_->{'Query Text'} =~ /saas\.(series|layout)\b/ } @plans;
}

# The most that one node of one statement took up.
sub most
{
	my (@plans) = @_;
	my ($most, $what) = (0, '');
	for my $plan (@plans)
	{
		for my $plan_node (nodes_of($plan->{Plan}))
		{
			next if looked_at($plan_node) <= $most;
			$most = looked_at($plan_node);
			$what = JSON::PP->new->pretty->encode($plan);
		}
	}
	return ($most, $what);
}

sub is_bounded
{
	my ($name, @plans) = @_;
	my ($most, $what) = most(@plans);
	cmp_ok($most, '>', 1, "$name: plans were told of " . @plans . ' statements');
	cmp_ok($most, '<=', 2 * $SERIES, "$name: no statement takes up much more than the series that it is about")
		or diag($what);
	return;
}

sub connect_some
{
	my (@names) = @_;
	return map { $tenant->connect('prometheus', $_, { url => $upstream->url . "/metrics?$_" }, {}) } @names;
}

sub state_of
{
	my ($id) = @_;
	return $node->safe_psql('postgres', qq{
		select s.status || ' ' || s.last_sample_count || ' ' || (select count(*) from saas.series x where x.connection_id = s.connection_id)
		       || ' ' || (select string_agg(cardinality(l.series_ids)::text, ',' order by l.created_at)
		                    from saas.layout l where l.connection_id = s.connection_id)
		  from saas.connection_status s where s.connection_id = '$id'});
}

sub misnamed
{
	return $node->safe_psql('postgres',
		q{select count(*) from saas.sample s where s.value <> 10 * (s.labels ->> 'pod')::integer});
}

serve(1 .. $SERIES);
my @ids = connect_some('one', 'two', 'three', 'four');
my @first = poll();
is_bounded('first polls', @first);
my @inserts = grep { $_->{'Query Text'} =~ /^insert into saas\.series\b/ } @first;
is(scalar @inserts,                                               scalar @ids, 'one insert of series each');
is(scalar(grep { $_->{Plan}{'Conflict Resolution'} } @inserts), 0,           'without a look for conflicts');
is(state_of($_), "active $SERIES $SERIES $SERIES", 'made its series and a layout of them') for @ids;

serve(2 .. $SERIES + 1);
is_bounded('a series comes and one goes', poll());
is(state_of($_), join(' ', 'active', $SERIES, $SERIES + 1, "$SERIES,$SERIES"), 'added the one that is new') for @ids;
is(misnamed(), '0', 'every value has the name it came with');

# Some were seen last so long ago that their mark is renewed.
$node->safe_psql('postgres', q{
	update saas.series set seen_at = now() - interval '8 days' where (labels ->> 'pod')::integer % 2 = 0});
serve(1 .. $SERIES + 1);
is_bounded('all that are known, half of them of last week', poll());
is($node->safe_psql('postgres', q{select count(*) from saas.series where seen_at < now() - interval '7 days'}),
	'0', 'are marked as seen');

# Beyond the limit, what is known stays.
$node->safe_psql('postgres', 'alter system set saas.max_series = ' . ($SERIES + 3));
$node->reload;
serve(1 .. $SERIES + 9);
is_bounded('more than there is room for', poll());
is(state_of($ids[0]), join(' ', 'active', $SERIES + 3, $SERIES + 3, join(',', $SERIES, $SERIES, $SERIES + 1, $SERIES + 3)),
	'the others are left out');
is(misnamed(), '0', 'every value has the name it came with');

# Of many layouts, those that a reading of a time has one after the other.
$node->safe_psql('postgres', qq{
	insert into saas.layout (org_id, connection_id, fingerprint, series_ids)
	select l.org_id, l.connection_id, sha256(convert_to('of before ' || n, 'UTF8')), l.series_ids[1:1]
	  from saas.layout l, generate_series(1, 500) n where l.id in (select distinct on (x.connection_id) x.id from saas.layout x)});
my $at = time - 600;
serve_text("a{pod=\"1\"} 10 ${at}000\n");
is_bounded('a sample with a time of its own', poll());
serve_text("a{pod=\"2\"} 20 ${at}000\n");
my @late = poll();
is_bounded('another series of that time', @late);
is(scalar(grep { $_->{'Query Text'} =~ /update saas\.reading\b/ } @late), scalar @ids, 'joins its reading');
is($node->safe_psql('postgres', qq{
	select string_agg(distinct r."values"::text, ' ') || ' ' || count(*) from saas.reading r where r.at = to_timestamp($at)}),
	'{10,20} ' . @ids, 'which has both');
is(misnamed(), '0', 'under their names');

done_testing();
