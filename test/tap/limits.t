# What counts in shared memory: exact under concurrency, bounded, written down
# by the worker, forgotten by a restart.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main', init => { allows_streaming => 1 }, settings => {
	'saas.bcrypt_cost'     => 10,
	'saas.limit_entries'   => 1024,
	'saas.journal_entries' => 64 });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', @_); }

# What each of several sessions printed that ran the statement at the same time.
sub at_once
{
	my ($count, $statement) = @_;
	my @outputs = ('') x $count;
	my @runs;
	my $gate = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \my $in, '>', \my $out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$in = "begin; lock table gate in access exclusive mode;\n\\echo locked\n";
	$gate->pump until $out =~ /locked/;
	foreach my $n (0 .. $count - 1)
	{
		push @runs, IPC::Run::start(
			[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'),
				'-c', 'select count(*) from gate', '-c', $statement ],
			'>', \$outputs[$n], IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	}
	$node->poll_query_until('postgres',
		"select count(*) = $count from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'from gate'")
	  or die 'the sessions do not wait';
	$in .= "commit;\n\\q\n";
	$gate->finish;
	$_->finish foreach @runs;
	return map { (split /\n/)[-1] } @outputs;
}

sub status
{
	my ($memory, $column) = @_;
	return sql("select $column from saas.limits_status() where memory = '$memory'");
}

sql('create table gate ()');

#
# Concurrency: not one too many, not one too few.
#
sql("select saas.set_rate_limit('address', null, 400000, '1 day')");
my $hammer = q{select count(*) filter (where (v).allowed) from
	(select saas_private.check_rate_limit('192.0.2.1') as v from generate_series(1, 100000) offset 0) c};
my @allowed = at_once(8, $hammer);
my $sum = 0;
$sum += $_ foreach @allowed;
is($sum, 400000, 'of 800,000 requests of 8 sessions at once the limit\'s 400,000 are allowed') or diag("@allowed");

# A key besides its organization, each the tighter one once.
my $initech = SaasTenant->create($node, 'postgres', 'Initech');
my ($key, $key_id) = split /\|/, $initech->sql(q{select k ->> 'key', k ->> 'id' from saas_api.create_api_key('bot', array['view_dashboard']) k});
my $org_id = $initech->org_id;
my $with_key = sub {
	return qq{begin; do \$\$ begin perform saas.authenticate('$key'); end \$\$; select count(*) filter (where (v).allowed) from
		(select saas_private.check_rate_limit() as v from generate_series(1, $_[0]) offset 0) c; rollback};
};
sql("select saas.set_rate_limit('organization', '$org_id', 50000, '1 day')");
sql("select saas.set_rate_limit('key', '$org_id', 20000, '1 day', api_key_id => '$key_id')");
@allowed = at_once(8, $with_key->(5000));
$sum = 0;
$sum += $_ foreach @allowed;
is($sum, 20000, 'of 40,000 requests with a key in 8 sessions at once its 20,000 are allowed') or diag("@allowed");
sql("select saas.set_rate_limit('key', '$org_id', 100000, '1 day', api_key_id => '$key_id')");
@allowed = at_once(8, $with_key->(5000));
$sum = 0;
$sum += $_ foreach @allowed;
is($sum, 30000, 'and with more for the key what is left of the organization\'s 50,000') or diag("@allowed");
my $remaining = $with_key->(1) =~ s/count\(\*\).*allowed\)/max((v).remaining)/r;
is(sql($remaining), 0, 'nothing is left of it');
sql("select saas.set_rate_limit('organization', '$org_id', 200000, '1 day')");
is(sql($remaining), 100000 - 50001, 'and what the organization refused was not counted for the key');

my @first = at_once(8, q{select count(*) filter (where saas_private.use_once('race', n::text, '1 day')) from generate_series(1, 60) n});
$sum = 0;
$sum += $_ foreach @first;
is($sum, 60, 'of 60 things that 8 sessions use at once each is used once') or diag("@first");

my @attempts = at_once(8, q{select count(*) filter (where saas_private.take_attempt('race', 'x', 20, '1 day', '1 day', '1 day') = 0) from generate_series(1, 10) n});
$sum = 0;
$sum += $_ foreach @attempts;
is($sum, 20, 'of 80 attempts in 8 sessions at once the 20 free ones go on') or diag("@attempts");

#
# The worker writes; nobody calls saas.poll() here.
#
my $tenant = SaasTenant->create($node, 'postgres', 'Acme');
sql(q{begin; select saas_private.note('denied', null, '{"seen": 1}'); rollback});
ok($node->poll_query_until('postgres', q{select payload = '{"seen": 1}' from saas_private.security_event where kind = 'denied'}),
	'the worker writes a note of a transaction that was rolled back');
sql(sprintf q{select saas_api.sign_in('%s', '%s')}, $tenant->email, $tenant->password);
sql('begin; select saas_private.end_session_now(id) from saas_private.session; rollback');
ok($node->poll_query_until('postgres', 'select bool_and(ended_at is not null) from saas_private.session'),
	'and that a session has ended');
ok($node->poll_query_until('postgres', q{select used = 0 from saas.limits_status() where memory = 'ended sessions'}),
	'memory lets go of it then');

my $offset = $node->log_size;
sql(q{select saas_private.note('', null, '{}'); select saas_private.note('after', null, '{}')});
ok($node->poll_query_until('postgres', q{select count(*) = 1 from saas_private.security_event where kind = 'after'}),
	'a note that cannot be written does not keep the next one from being');
like($node->log_since($offset), qr/LOG:  could not write down a note of kind ""/, 'the log says so');

sql('update saas_private.installation set database_oid = 0');
sql(q{select saas_private.note('in_a_copy', null, '{}')});
ok($node->poll_query_until('postgres', q{select count(*) = 1 from saas_private.security_event where kind = 'in_a_copy'}),
	'notes are written in a copy too');

#
# Bounds
#
is(sql(q{select count(*) from generate_series(1, 20000) n,
	lateral saas_private.check_rate_limit(('10.0.' || n / 256 || '.' || n % 256)::inet) v where v.allowed}),
	20000, '20,000 addresses are counted in 1,024 entries');
is(status('requests', 'used <= capacity and capacity = 1024 and lost > 18000'), 't', 'by forgetting others');
is(sql(q{select saas_private.use_once('race', '1', '1 day')}), 'f', 'which has not touched what was used once');
is(sql(q{select saas_private.take_attempt('race', 'x', 20, '1 day', '1 day', '1 day') > 0}), 't', 'nor attempts');

my ($code, $out, $err) = $node->psql('postgres',
	q{select count(saas_private.use_once('flood', n::text, '1 day')) from generate_series(1, 2000) n});
like($err, qr/the server keeps too many counters/, 'what is used once is refused when its memory is full');
is(sql(q{select saas_private.use_once('race', '1', '1 day')}), 'f', 'and nothing of it forgotten');
is(status('used once', 'used <= capacity and lost > 0'), 't', 'which the operator sees');
is(sql(q{select saas_private.take_attempt('race', 'y', 20, '1 day', '1 day', '1 day')}), 0, 'other memories have room');
is(sql(q{select count(*) from generate_series(1, 20000) n
	where saas_private.take_attempt('flood', n::text, 5, '1 day', '1 day', '1 day') = 0}), 20000,
	'no flood of attempts on made-up subjects keeps others from theirs');
is(sql(q{select saas_private.take_attempt('race', 'x', 20, '1 day', '1 day', '1 day') > 0}), 't',
	'it makes room for itself: who has to wait is not forgotten');
is(status('attempts', 'used <= capacity and lost > 18000'), 't', 'which the operator sees');

# One tenant's signed requests leave room for those of others, and are counted
# apart from what second factors use once, whose memory is full by now.
sub signed
{
	my ($owner, $times) = @_;
	my $made = $owner->sql(q{select k ->> 'key', s ->> 'signing_secret'
		from saas_api.create_api_key('signs', '{view_dashboard}') k, saas_api.create_signing_secret((k ->> 'id')::uuid) s});
	my ($key, $secret) = split /\|/, $made;
	return sql(qq{select count(saas.verify_request('GET', '/', null, null, jsonb_build_object('x-api-key', '$key',
			'x-saas-timestamp', t, 'x-saas-nonce', n, 'x-saas-signature',
			encode(hmac(concat_ws(E'\\n', 'GET', '/', '', t, n, encode(sha256(''), 'hex')), '$secret', 'sha256'), 'hex'))))
		from (select extract(epoch from now())::bigint::text as t,
		             replace(gen_random_uuid()::text, '-', '') as n from generate_series(1, $times)) as request});
}
my $other = SaasTenant->create($node, 'postgres', 'Other');
sql(q{create function replay(key text, secret text, times integer) returns bigint language plpgsql as $$
	declare
		headers jsonb;
		done bigint := 0;
	begin
		headers := jsonb_build_object('x-api-key', key, 'x-saas-timestamp', extract(epoch from now())::bigint::text,
			'x-saas-nonce', 'one-nonce-for-all-of-them', 'x-saas-signature', encode(hmac(concat_ws(E'\n', 'GET', '/', '',
				extract(epoch from now())::bigint::text, 'one-nonce-for-all-of-them', encode(sha256(''), 'hex')), secret, 'sha256'), 'hex'));
		for n in 1..times loop
			begin
				perform saas.verify_request('GET', '/', null, null, headers);
				done := done + 1;
			exception when sqlstate 'PT401' then
				null;
			end;
		end loop;
		return done;
	end $$});
my ($key, $secret) = split /\|/, $other->sql(q{select k ->> 'key', s ->> 'signing_secret'
	from saas_api.create_api_key('replayed', '{view_dashboard}') k, saas_api.create_signing_secret((k ->> 'id')::uuid) s});
is(sql("select replay('$key', '$secret', 200)"), 1, 'a replayed request is refused');
is(signed($tenant, 128), 128, 'an eighth of the nonces is for one organization');
ok(!eval { signed($tenant, 1) }, 'and no more');
like($@, qr/Too many signed requests from your organization/, 'whatever key signs');
is(signed($other, 127), 127, 'there is room for others, and replays took none');

# No worker looks at a database without the extension's tables.
sql('create database unwatched');
$node->safe_psql('unwatched', 'create extension pg_saas cascade');
my $lost = status('journal', 'lost');
$node->safe_psql('unwatched', q{select count(saas_private.note('flood', null, to_jsonb(n))) from generate_series(1, 164) n});
is(status('journal', "used <= capacity and lost - $lost >= 100"), 't', 'the journal loses the oldest notes and counts them');
sql(q{select saas_private.note('among_others', null, '{}')});
ok($node->poll_query_until('postgres', q{select count(*) = 1 from saas_private.security_event where kind = 'among_others'}),
	'another database\'s are written all the same');
is(sql(q{select count(*) from saas_private.security_event where kind = 'flood'}), 0, 'each in its own');

is(sql(q{select saas_private.is_used('race', '1')}) . $node->safe_psql('unwatched', q{select saas_private.is_used('race', '1')}),
	'tf', 'databases of a server know nothing of each other');

#
# A restart forgets.
#
sql(q{insert into saas_private.security_event (at, kind) select now() - interval '91 days', 'old' from generate_series(1, 25000)});
$node->restart;
is(sql(q{select saas_private.is_used('race', '1'), saas_private.take_attempt('race', 'x', 20, '1 day', '1 day', '1 day')}),
	'f|0', 'a restart forgets what was used and attempted');
is(sql(q{select (saas_private.check_rate_limit('192.0.2.1')).remaining}), 399999, 'and requests');
ok($node->poll_query_until('postgres', q{select count(*) = 0 from saas_private.security_event where kind = 'old'}),
	'however many events are old enough, the worker deletes them all');

#
# A standby counts for itself.
#
$node->backup('base');
my $standby = SaasCluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{select pg_is_in_recovery(), (saas_private.check_rate_limit('192.0.2.1')).remaining,
	saas_private.use_once('race', '1', '1 day'), saas_private.use_once('race', '1', '1 day'),
	saas_private.take_attempt('race', 'x', 1, '1 day', '1 day', '1 day')}), 't|399999|t|f|0', 'a standby counts too, for itself');
my $session = q{'5cf37266-3473-4006-984f-9325122678b7'};
is($standby->safe_psql('postgres', qq{select saas_private.end_session_now($session);
	select saas_private.note('standby', null, '{}'); select saas_private.session_is_ended($session)}), "\n\nt",
	'and ends sessions at once');
$standby->promote;
ok($standby->poll_query_until('postgres', q{select count(*) = 1 from saas_private.security_event where kind = 'standby'}),
	'what was noted on it is written once it is promoted');
unlike($_->log_since(0), qr/terminated by signal|TRAP: |PANIC: /, 'no process crashed in all of this') foreach $node, $standby;

done_testing();
