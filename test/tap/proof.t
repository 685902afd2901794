# saas.prove_isolation among others at work: what is locked is told and not waited
# for, tenants write and the poller polls on meanwhile, and nothing of it is left.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasSession;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main');
$node->start;
$node->install('postgres');
my $acme = SaasTenant->create($node, 'postgres', 'Acme');

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sql(q{
	create schema app;
	grant usage on schema app to saas_user;
	create table app.country (code text primary key);
	insert into app.country values ('DE');
	create table app.item (id uuid primary key default saas.uuidv7(), country text not null references app.country, body text);
	create table app.other (id uuid primary key default saas.uuidv7(), body text);
	create view app.look with (security_invoker = true) as select * from app.item;
	select saas.protect(r) from unnest(array['app.item', 'app.other']::regclass[]) as r;
	grant select, insert, update, delete on app.item, app.other, app.look to saas_user;
	grant select on app.country to saas_user;
});

my $rows = q{select v.object, v.detail from saas_private.isolation_verdicts('{app}') v where v.attack = 'rows' order by 1};
my $held = q{select count(*) > 300 and bool_and(v.held is not false) and bool_or(v.object = 'app.other' and v.attack = 'delete' and v.held)
		from saas_private.isolation_verdicts('{app}') v};

my $tenant = open_session($node);
say_to($tenant, 'begin; lock table app.item in access exclusive mode;');
is(sql($rows), 'app.item|no row could be made: 55P03 canceling statement due to lock timeout', 'a locked table is told');
is(sql($held), 't', 'and the others are proven');
say_to($tenant, "rollback; begin; update app.country set code = 'AT';");
is(sql($rows), 'app.item|no row could be made: 55P03 canceling statement due to lock timeout', 'so is a row that another refers to');
is(sql($held), 't', 'and the others are proven');
say_to($tenant, 'rollback;');
is(sql($rows), '', 'once nothing is in the way, every table is proven');

# A whole proof, two that are refused, and tenants who write until it has ended.
my $log   = $node->log_size;
my $prove = open_session($node);
$prove->{in} .= "select count(*) filter (where held), count(*) filter (where not held) from saas.prove_isolation();\n\\echo proven\n";
$prove->{run}->pump_nb;
ok($node->poll_query_until('postgres', q{select count(*) > 0 from pg_locks where locktype = 'object' and mode = 'ExclusiveLock'
		and classid = 'pg_proc'::regclass and objid = 'saas_private.begin_proof'::regproc}), 'a proof runs');
my ($status, undef, $error) = $node->psql('postgres', 'select * from saas.prove_isolation()', on_error_stop => 1);
like($error, qr/another proof of isolation runs in this database/, 'a second one is refused at once');
my $written = 0;
until ($prove->{out} =~ /^proven$/m)
{
	$acme->sql('insert into app.item (country) values (\'DE\'); update app.item set body = \'x\'; delete from app.item where body is null');
	$written++;
	$prove->{run}->pump_nb;
}
cmp_ok($written, '>', 3, 'tenants write meanwhile');
like($prove->{out}, qr/^\d{4,}\|0\n/, 'the proof ends and finds nothing');
unlike($node->log_since($log), qr/deadlock detected|lock timeout/, 'nobody waits in vain');
is(sql(q{select count(*) from pg_roles where rolname ~ '^saas_proof'}), 0, 'no role is left');
close_session($prove);
close_session($tenant);

# Between the attacks the session could be ended at any time: nothing is left either.
my $ended = open_session($node);
$ended->{in} .= "select count(*) from saas.prove_isolation();\n";
$ended->{run}->pump_nb;
$node->poll_query_until('postgres', q{select count(*) > 0 from pg_locks where locktype = 'object' and mode = 'ExclusiveLock'
		and classid = 'pg_proc'::regclass and objid = 'saas_private.begin_proof'::regproc});
sql(q{select pg_cancel_backend(l.pid) from pg_locks l where l.locktype = 'object' and l.mode = 'ExclusiveLock'
		and l.classid = 'pg_proc'::regclass and l.objid = 'saas_private.begin_proof'::regproc});
is(say_to($ended, "select coalesce(saas.current_user_id()::text, 'nobody'), current_user, session_user;"),
	'ERROR:  canceling statement due to user request' . "\nnobody|postgres|postgres", 'a proof that is cancelled leaves nobody');
like(say_to($ended, 'select saas_private.prove_as(null, null, null);'), qr/no proof of isolation runs/, 'and no proof');
is(say_to($ended, "$held;"), 't', 'the session can prove again');
close_session($ended);

done_testing();
