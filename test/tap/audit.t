# The worker seals the audit behind its writers, and costs nothing when there is
# nothing to seal; what an operator looks at is the tenant's to see.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'autovacuum' => 'off' });
$node->start;
$node->install('postgres');
my $acme = SaasTenant->create($node, 'postgres', 'Acme');
my $org  = $acme->org_id;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub sealed_ok
{
	my ($name) = @_;
	ok( $node->poll_query_until('postgres',
			"select is_intact and unsealed = 0 and checked > 0 from saas.verify_audit('$org')"), $name);
	return;
}

sealed_ok('the worker seals what there is');
sql("select saas.set_plan('$org', 'pro')");
sealed_ok('and what comes');

# Each look of the worker changes its state; three looks see nothing to do.
my $turn = q{select state_change from pg_stat_activity where application_name = 'pg_saas poller' and datname = 'postgres'};
$node->poll_query_until('postgres', 'select not exists (select from saas.audit_event e
	where not exists (select from saas_private.audit_seal s where s.event_id = e.id))');
sub worker_takes_a_turn
{
	my $before = sql($turn);
	return $node->poll_query_until('postgres', "select state_change <> '$before' and state = 'idle'
		from pg_stat_activity where application_name = 'pg_saas poller' and datname = 'postgres'");
}
worker_takes_a_turn();
my $next = sql('select pg_snapshot_xmax(pg_current_snapshot())');
ok(worker_takes_a_turn(), 'the worker looks') foreach 1 .. 3;
is(sql('select pg_snapshot_xmax(pg_current_snapshot())'), $next, 'without anything to seal it gives no transaction an id');

# An open transaction of one writer holds up nobody else's seals.
my $writer = $node->background_psql('postgres');
$writer->query_safe("begin; select saas_private.audit('thing.made', 'thing', 'late', null, null, '$org')");
sql("select saas_private.audit('thing.made', 'thing', 'soon', null, null, '$org')");
ok( $node->poll_query_until('postgres', q{select count(*) = 1 from saas.audit_event e
		join saas_private.audit_seal s on s.event_id = e.id where e.object_id = 'soon'}),
	'what is committed is sealed while an older transaction is open');
$writer->query_safe('commit');
$writer->quit;
ok( $node->poll_query_until('postgres', q{select count(*) = 1 from saas.audit_event e
		join saas_private.audit_seal s on s.event_id = e.id where e.object_id = 'late'}),
	'and what commits late is not skipped');
sealed_ok('the chain holds both');

# Rolled back or not.
sql('create role helper login; grant saas_operator to helper');
my $user = sql("select user_id from saas.membership where org_id = '$org'");
my ($status, undef, $error) = $node->psql('postgres', "select saas.open_ticket('$org', 'to look')", extra_params => [ '-U', 'helper' ]);
is($status, 0, 'an operator opens a ticket') or diag($error);
($status, undef, $error) = $node->psql('postgres',
	"begin; select saas.assume_identity('$user', '$org'); rollback", extra_params => [ '-U', 'helper' ]);
is($status, 0, 'looks, and leaves nothing behind') or diag($error);
ok( $node->poll_query_until('postgres', "select count(*) = 1 from saas.audit_event e
		where e.org_id = '$org' and e.action = 'identity.assumed' and e.source = 'operator' and e.login = 'helper'
		  and e.actor_id = '$user' and e.ticket_id is not null"),
	"but an event of the tenant's audit");
is(sql("select login from saas.audit_event where org_id = '$org' and action = 'ticket.opened'"), 'helper', 'after the ticket');

# A look at mail is a way into an account.
my $mail = sql("select id from saas.outbox where recipient = '" . $acme->email . "' limit 1");
($status, undef, $error) = $node->psql('postgres', "begin; select saas.read_mail('$mail'); rollback", extra_params => [ '-U', 'helper' ]);
is($status, 0, 'an operator reads a mail and rolls back') or diag($error);
ok( $node->poll_query_until('postgres', "select count(*) = 1 from saas.audit_event e
		where e.org_id = '$org' and e.action = 'mail.read' and e.object_id = '$mail' and e.source = 'operator' and e.login = 'helper'
		  and e.actor_id is null and e.ticket_id is not null and e.after ->> 'template' is not null"),
	"that too is an event of the tenant's audit");

# A forged head is said in the log.
my $offset = $node->log_size;
sealed_ok('all is sealed');
sql("update saas_private.audit_chain set hash = sha256('forged') where org_id = '$org';
	select saas_private.audit('thing.made', 'thing', 'after', null, null, '$org')");
ok( $node->poll_query_until('postgres', "select broken_at is not null from saas_private.audit_chain where org_id = '$org'"),
	'sealing finds a forged head');
like($node->log_since($offset), qr/the audit of organization \Q$org\E was tampered with/, 'and says so in the log');

# Others are not held up by it.
my $other = SaasTenant->create($node, 'postgres', 'Other');
ok( $node->poll_query_until('postgres', "select is_intact and unsealed = 0 and checked > 0
		from saas.verify_audit('" . $other->org_id . "')"), 'other organizations are sealed on');

# Gone but for the tombstone.
sql("select saas_private.remove_organization('" . $other->org_id . "', 'owner')");
ok( $node->poll_query_until('postgres', "select count(*) = 0 from saas.audit_event where org_id = '" . $other->org_id . "'"),
	'the audit of an organization that is gone goes too');
like(sql("select is_intact, checked, last_sequence from saas.verify_audit('" . $other->org_id . "')"),
	qr/^t\|0\|[1-9]/, 'but for the head of its chain');

# A superuser who deletes what must be there gets an error, no crash.
sql('create table kept as select * from saas_private.audit_sealing; delete from saas_private.audit_sealing');
($status, undef, $error) = $node->psql('postgres', 'call saas.seal_audit()');
isnt($status, 0, 'without its row sealing fails');
like($error, qr/a row of pg_saas' own tables is missing/, 'and says why');
is(sql("select unsealed from saas.verify_audit('$org')"), 1, 'what waits for its seal is still counted');
sql('insert into saas_private.audit_sealing select * from kept; drop table kept');
ok( $node->poll_query_until('postgres', 'select is_intact and unsealed = 0 and checked > 0 from saas.verify_audit(null)'),
	'with it the worker goes on');

$node->stop;
unlike($node->log_since(0), qr/terminated by signal|PANIC/, 'no process crashed');
done_testing();
