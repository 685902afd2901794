# docs/grafana.md: its login and every query in it, as Grafana would send them
# and in plain SQL, see one organization's rows.
use strict;
use warnings;

use FindBin;
use SaasCluster;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main',
	settings => { 'saas.bcrypt_cost' => 10, 'saas.poller_enabled' => 'off', 'saas.maintenance_enabled' => 'off' });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', @_); }

# What psql said, of one session of the login.
sub as_login
{
	my ($text) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $text,
		connstr => $node->connstr('postgres') . ' user=grafana_acme', on_error_stop => 1);
	return join "\n", grep { length } $out, $err =~ s/^psql:<stdin>:\d+: //mgr;
}

open my $page, '<', "$FindBin::Bin/../../docs/grafana.md" or die "no docs/grafana.md: $!";
my $text = do { local $/; <$page> };
my ($setup) = $text =~ /^```sql setup\n(.*?)^```$/ms;
my @queries;
push @queries, [ $1, $2 ] while $text =~ /^([^\n]+):\n\n```sql\n(.*?)^```$/gms;
cmp_ok(scalar @queries, '>=', 11, 'the page has queries');

my $acme  = SaasTenant->create($node, 'postgres', 'Acme');
my $bravo = SaasTenant->create($node, 'postgres', 'Bravo');
sql("\\i $FindBin::Bin/../lib/tenants.sql");
sql(q{update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;
	select tenants.join('viewer', '} . $acme->org_id . q{', 'viewer');
	update saas.app_user set email = 'viewer@acme.example' where email = 'viewer@example.com'});
# The same names of metrics and labels; every name and number of the other one tells whose it is.
foreach ([ $acme, 'Acme', 1 ], [ $bravo, 'Bravo', 1000 ])
{
	my ($tenant, $name, $times) = @$_;
	my $org = $tenant->org_id;
	sql(qq{
		do \$\$
		declare
		    web uuid := tenants.connect('$org', '$name web', environment => 'production');
		    crm uuid := tenants.connect('$org', '$name crm', 'salesforce');
		    pages uuid := tenants.lay_out('$org', web, '[{"metric": "hits"}, {"metric": "requests_total", "labels": {"code": "200"}}]');
		    limits uuid := tenants.lay_out('$org', crm, '[{"metric": "salesforce_limit_used", "labels": {"limit": "$name calls"}},
		                                               {"metric": "salesforce_limit_percent", "labels": {"limit": "$name calls"}}]');
		begin
		    perform tenants.read('$org', pages, timestamptz '2026-03-02 10:00+00' + n * interval '1 minute', n * $times, n * 60 * $times)
		       from generate_series(0, 9) n;
		    perform tenants.read('$org', limits, '2026-03-02 10:00+00', 8 * $times, 80);
		    perform saas_private.audit('thing.made', 'thing', null, null, '{"name": "$name thing"}', '$org');
		end \$\$});
}

# The page's own statements, as a superuser.
sql($setup);

my %macro = (
	'$__timeFrom()'            => "'2026-03-02T10:00:00Z'",
	'$__timeTo()'              => "'2026-03-02T10:10:00Z'",
	'$__timeFilter(at)'        => "at BETWEEN '2026-03-02T10:00:00Z' AND '2026-03-02T10:10:00Z'",
	'$__interval'              => '5m',
	'${metric:sqlstring}'      => "'hits'",
	'${environment:sqlstring}' => "'production'");
# The page's third column.
my %plain = (%macro,
	'$__timeFrom()'     => "now() - interval '6 hours'",
	'$__timeTo()'       => 'now()',
	'$__timeFilter(at)' => "at between now() - interval '6 hours' and now()",
	'$__interval'       => '5 minutes');

sub replaced
{
	my ($query, %with) = @_;
	$query =~ s/\Q$_\E/$with{$_}/g foreach sort { length $b <=> length $a } keys %with;
	return $query;
}

my @answers = (
	"2026-03-02 10:00:00+00|Acme web|2\n2026-03-02 10:05:00+00|Acme web|7",
	"2026-03-02 10:00:00+00|200|0.8\n2026-03-02 10:05:00+00|200|1",
	'2026-03-01 23:00:00+00|45',
	"2026-03-02 10:00:00+00|production|4\n2026-03-02 10:05:00+00|production|9",
	"hits\nrequests_total\nsalesforce_limit_percent\nsalesforce_limit_used",
	join("\n", map { "2026-03-02 10:0$_:00+00|$_" } 0 .. 9),
	join("\n", 'Acme crm||salesforce_limit_percent|{"limit": "Acme calls"}|80|2026-03-02 10:00:00+00',
		'Acme crm||salesforce_limit_used|{"limit": "Acme calls"}|8|2026-03-02 10:00:00+00',
		'Acme web|production|hits|{}|9|2026-03-02 10:09:00+00',
		'Acme web|production|requests_total|{"code": "200"}|540|2026-03-02 10:09:00+00'),
	'Acme crm Acme calls|80|warning',
	"Acme crm|unknown|polling is turned off|\nAcme web|unknown|polling is turned off|",
	'45|',
	'');
foreach my $n (0 .. $#queries)
{
	my ($title, $query) = @{ $queries[$n] };
	is(as_login("set timezone = 'UTC';" . replaced($query, %macro)), $answers[$n], "$title: what it answers");
	unlike(as_login(replaced($query, %plain)), qr/Bravo|ERROR/, "$title: in plain SQL");
}
# Of the events this minute there are those of the setup too.
my $events = as_login(replaced($queries[-1][1], %plain));
like($events, qr/Acme thing/, 'the annotations have the organization\'s events');
unlike($events, qr/Bravo/, 'and no other\'s');

#
# Nothing else
#
is(as_login('select distinct org_id from saas_api.samples union select org_id from saas_api.connections union select org_id from saas_api.activity_feed'),
	$acme->org_id, 'whatever is asked for, the rows are of one organization');
my $theirs = sql("select id from saas.connection where org_id = '" . $bravo->org_id . "' and name = 'Bravo web'");
is(as_login("select * from saas_api.query_metric('hits', '2026-03-02', '2026-03-03', '1 day', connection_ids => array['$theirs']::uuid[])"),
	'', 'another organization\'s connection has no rows');
like(as_login("select saas_api.create_connection_group('x')"), qr/ERROR:  permission denied by the organization's roles/,
	'it changes nothing');
like(as_login('set default_transaction_read_only = off; insert into saas.reading select * from saas.reading'),
	qr/ERROR:  permission denied|PT403|not allowed/, 'nor writes samples');
like(as_login("select saas_api.export_csv('2026-03-02', '2026-03-03')"), qr/ERROR:  permission denied by/, 'nor exports');
sql("select saas.unmap_login('grafana_acme')");
is(as_login('select count(*) from saas_api.samples'), 0, 'without its mapping it sees nothing');
like(as_login("select * from saas_api.query_metric('hits')"), qr/ERROR:  Access token required/, 'and asks for nothing');

done_testing();
