# What pg_stat_activity tells of the poller and of who waits for it.
use strict;
use warnings;

use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'  => '127.0.0.1',
		'saas.allow_plain_http'  => 'on',
		'saas.poller_request_timeout' => '60s' });
$node->start;
my $upstream = SaasUpstream->start;

# From 17 on extensions name their wait events; before, the server has one name for all.
my $is_named = $node->safe_psql('postgres', 'show server_version_num') >= 170000;

sub becomes
{
	my ($text, $event, $what) = @_;
	$event = 'Extension' if !$is_named;
	my $found = $node->poll_query_until('postgres', qq{
		select exists (select from pg_stat_activity where backend_type = 'pg_saas poller'
		   and application_name = 'pg_saas poller' and state = 'idle' and query = 'pg_saas poller: $text'
		   and xact_start is null and wait_event_type = 'Extension' and wait_event = '$event')});
	ok($found, $what) or diag($node->safe_psql('postgres', "select * from pg_stat_activity where backend_type = 'pg_saas poller'"));
	return;
}

$node->safe_psql('postgres', 'create extension pg_saas cascade');
becomes('waits for saas.install()', 'PgSaasIdle', 'a poller without tables says what it waits for');
$node->safe_psql('postgres', 'select saas.install()');
becomes('waits until a connection is due', 'PgSaasIdle', 'one that has nothing to do says so');

my $acme = SaasTenant->create($node, 'postgres', 'Acme');
$upstream->control(POST => 'faults', { path => '/metrics', fault => 'held' });
my $id = $acme->connect('prometheus', 'page', { url => $upstream->url . '/metrics' }, {}, '1 day');
becomes('waits for upstreams', 'PgSaasNetwork', 'one that polls says so, idle and in no transaction');

my $answer = $acme->start_sql("select saas_api.refresh_connections(array['$id']::uuid[], 60000)");
my $event = $is_named ? 'PgSaasAnswer' : 'Extension';
ok( $node->poll_query_until('postgres', qq{
		select count(*) = 1 from pg_stat_activity
		 where backend_type = 'client backend' and wait_event_type = 'Extension' and wait_event = '$event'
		   and query ~ 'refresh_connections'}),
	'a session that waits for an answer shows its statement');
my $other = $acme->connect('prometheus', 'other', { url => $upstream->url . '/metrics?other' }, {}, '1 day');
is($acme->sql("select count(*) from saas_api.connections"), 2, 'and nobody waits for it');
$upstream->control(DELETE => 'faults');
$upstream->stop;
$answer->();
becomes('waits until a connection is due', 'PgSaasIdle', 'when the upstreams have answered it is as before');
$node->append_conf('postgresql.conf', "saas.poller_enabled = 'off'");
$node->reload;
becomes('waits for saas.poller_enabled', 'PgSaasIdle', 'one that is turned off tells the setting');

$node->stop;
done_testing();
