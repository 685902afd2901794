# The readers as functions say of a document what polling it stores.
use strict;
use warnings;

use Encode qw(decode);
use File::Basename qw(dirname);
use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http' => 'on',
		'saas.refresh_cooldown' => '0' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');

my $odd = <<'END';
# TYPE odd gauge
{"odd.name","a label"="é"} 7
odd{text="a\nb \"c\" \d"} NaN
odd{le="+Inf"} +Inf
odd{le="-1"} -1.5e-3
odd{le="-1"} 2
END
my %page = (
	'the example of the text format' => [ 'text/plain; version=0.0.4', 'prometheus', fixture('prometheus-0.0.4.txt') ],
	'the example of OpenMetrics'     => [
		'application/openmetrics-text; version=1.0.0', 'openmetrics', fixture('openmetrics-1.0.0.txt') ],
	'odd names and numbers' => [ 'text/plain; version=1.0.0; escaping=allow-utf-8', 'prometheus', $odd ]);

sub fixture { return slurp_file(dirname(__FILE__) . "/../fixtures/$_[0]"); }

# Metric, labels and value of rows that have them, one a line, each series once with its first value.
sub lines
{
	my ($from) = @_;
	return $node->safe_psql('postgres', qq{
		select string_agg(format('%s%s %s', t.metric, t.labels, t.value), E'\\n' order by t.metric, t.labels::text)
		  from (select distinct on (r.metric, r.labels) r.metric, r.labels, r.value from $from order by r.metric, r.labels, r.n) t});
}

foreach my $name (sort keys %page)
{
	my ($type, $format, $text) = @{ $page{$name} };
	(my $case = $name) =~ s/ /-/g;
	$upstream->control(POST => 'faults',
		{ path => '/metrics', query => { case => $case }, fault => 'body', body => decode('UTF-8', $text), content_type => $type });
	my $id = $tenant->connect('prometheus', $name, { url => $upstream->url . "/metrics?case=$case" });
	ok($tenant->wait_for($id, "status = 'active'"), "$name is polled");
	is( lines("(select s.metric, s.labels, s.value, 1 as n from saas.sample s where s.connection_id = '$id') r"),
		lines("(select p.metric, p.labels, p.value, p.n from rows from (saas.parse_exposition(\$page\$$text\$page\$, '$format'))"
			  . " with ordinality p (metric, labels, value, at, n) where p.at is null or p.at > now() - interval '31 days') r"),
		'and what is stored is what saas.parse_exposition reads');
}
my $bad = $tenant->connect('prometheus', 'malformed', { url => $upstream->url . '/json' });
ok($tenant->wait_for($bad, 'last_error is not null'), 'a malformed page is refused');
my (undef, undef, $error) = $node->psql('postgres', q{select * from saas.parse_exposition('{"status":"ok"}')});
my ($reason) = $error =~ /ERROR:\s+(line 1: .*)/;
like($tenant->status($bad)->{last_error}, qr/\Q$reason\E$/, 'for the same reason');

my $org = $upstream->control(POST => 'orgs', {
		limits => { Odd => { Max => 0, Remaining => -5 }, Nested => { Max => 2, Remaining => 1, Child => { Max => 10, Remaining => 7.5 } } } });
my $limits   = $tenant->salesforce($org, 'limits');
ok($tenant->wait_for($limits, "status = 'active'"), 'the limits of an org are polled');
my $document = encode_json($upstream->control(GET => "orgs/$org->{org_id}/limits"));
is( $node->safe_psql('postgres', qq{
		select count(*) filter (where s.value = l.max) || ' ' || count(*) filter (where r.value = l.remaining) || ' ' || count(*)
		  from saas.read_salesforce_limits(\$limits\$$document\$limits\$) l
		  left join saas.sample s on s.connection_id = '$limits' and s.metric = 'salesforce_limit_max' and s.labels ->> 'limit' = l.limit_name
		  left join saas.sample r on r.connection_id = '$limits' and r.metric = 'salesforce_limit_remaining' and r.labels ->> 'limit' = l.limit_name}),
	join(' ', ($node->safe_psql('postgres', qq{select count(distinct s.labels) from saas.sample s where s.connection_id = '$limits'})) x 3),
	'and each is stored with the numbers that saas.read_salesforce_limits reads');
$node->stop;

done_testing();
