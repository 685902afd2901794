# pg_cron, where it is installed, does the periodic work, and may be the only one that does.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.maintenance_enabled' => 'off' });
$node->start;
$node->install('postgres');
my ($code, $out, $err) = $node->psql('postgres', 'select saas.install_schedules()');
like($err, qr/pg_cron is not installed in this database/, 'without pg_cron there is nothing to schedule with');
is($node->safe_psql('postgres', 'select saas.remove_schedules()'), '0', 'and nothing to take back');
if ($node->safe_psql('postgres', q{select count(*) from pg_available_extensions where name = 'pg_cron'}) eq '0')
{
	done_testing();
	exit;
}

$node->append_conf('postgresql.conf', sprintf(q{
shared_preload_libraries = 'pg_saas,pg_cron'
cron.database_name = 'postgres'
cron.host = '%s'
}, $node->safe_psql('postgres', 'show unix_socket_directories')));
$node->restart;
$node->safe_psql('postgres', 'create extension pg_cron');
my $tenant = SaasTenant->create($node, 'postgres', 'Acme');
$node->safe_psql('postgres', q{
	insert into saas.connection (org_id, kind, name, account_key, config, origin, poll_interval, is_active)
	select o.id, 'prometheus', 'a', 'a', '{}', 'https://a.example:443', '1 hour', false from saas.organization o});

is( $node->safe_psql('postgres', q{select string_agg(job || ': ' || command, ', ' order by job) from saas.install_schedules()}),
	'pg_saas maintain: call saas.maintain(), pg_saas purge: select saas.purge_organizations(), pg_saas seal_audit: call saas.seal_audit()',
	'pg_cron is told what to do');
$node->safe_psql('postgres', 'select saas.install_schedules()');
is($node->safe_psql('postgres', q{select count(*) from cron.job}), '3', 'twice makes no more jobs');
is($node->safe_psql('postgres', 'select scheduled_by from saas.maintenance_status()'), 'others', 'the worker leaves it to others');
ok($node->poll_query_until('postgres', q{
		select count(distinct j.jobname) = 2 from cron.job_run_details d join cron.job j using (jobid) where d.status = 'succeeded'}),
	'its jobs succeed');
ok($node->poll_query_until('postgres', q{select started_at is not null and finished_at is not null and behind = 0 from saas.maintenance_status()}),
	'and roll up');
is($node->safe_psql('postgres', q{select count(*) from saas.audit_event where action = 'schedule.installed'}), '2', 'who scheduled is audited');

($code, $out, $err) = $node->psql('postgres', 'set role saas_operator; select saas.install_schedules()');
like($err, qr/permission denied/, 'an operator may not');
is($node->safe_psql('postgres', 'select saas.remove_schedules()'), '3', 'they can be taken back');
is($node->safe_psql('postgres', q{select count(*) from cron.job}), '0', 'all of them');

done_testing();
