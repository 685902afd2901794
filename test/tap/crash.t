# Backends killed in the middle of what they do in shared memory: the server
# starts over by itself, memory begins anew, and what was written is there.
use strict;
use warnings;

use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main', settings => {
	'saas.bcrypt_cost'     => 10,
	'saas.limit_entries'   => 1024,
	'saas.journal_entries' => 64 });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', @_); }

my $tenant = SaasTenant->create($node, 'postgres', 'Acme');
my $token = decode_json(sql(sprintf q{select saas_api.sign_in('%s', '%s')}, $tenant->email, $tenant->password))->{access_token};
my $kid = sql(q{select kid from saas.token_keys() where state = 'current'});
my $key = $tenant->sql(q{select saas_api.create_api_key('key', '{view_dashboard}') ->> 'key'}, begin => 'begin');

# Without an end; each turn is a transaction of its own.
my %bursts = (
	requests  => q{perform saas_private.check_rate_limit(('10.0.0.' || n % 250)::inet)},
	attempts  => q{perform saas_private.take_attempt('burst', (n % 99)::text, 5, '1 s', '1 min', '1 h'),
		saas_private.forget_attempts('burst', (n % 7)::text)},
	uses      => q{perform saas_private.use_once('burst', (n % 99)::text, '1 s'), saas_private.is_used('burst', n::text)},
	sessions  => q{perform saas_private.end_session_now(md5((n % 99)::text)::uuid),
		saas_private.session_is_ended(md5(n::text)::uuid)},
	refreshes => q{perform saas_private.use_refresh(md5((n % 99)::text)::uuid, n, '1 min')},
	journal   => q{perform saas_private.note('burst', null, jsonb_build_object('n', n))},
	tokens    => qq{perform saas.authenticate('$token')},
	rotations => qq{perform saas.rotate_token_keys('0');
		perform saas.retire_token_key(k.kid) from saas.token_keys() k
		  where k.state = 'retiring' and k.kid <> '$kid'},
	keys      => qq{perform saas.authenticate('$key')});

sub start_bursts
{
	my @runs;
	foreach my $name (sort keys %bursts)
	{
		push @runs, IPC::Run::start(
			[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name",
				'-c', "do \$\$ declare n integer := 0; begin loop n := n + 1; $bursts{$name}; commit; end loop; end \$\$" ],
			'>', \my $out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	}
	return @runs;
}

# All at once, then one of each kind is killed in turn.
my $rounds = 0;
foreach my $victim (sort keys %bursts)
{
	my @runs = start_bursts();
	my $count = keys %bursts;
	ok($node->poll_query_until('postgres', qq{
			select (select bool_and(used > 0) from saas.limits_status() where memory not in ('journal', 'nonces'))
			   and (select count(*) = $count from pg_stat_activity where query ~ '^do ' and state = 'active')
			   and exists (select from saas_private.security_event where kind = 'burst')}),
		"$victim: the bursts are under way");
	my $pid = sql("select pid from pg_stat_activity where application_name = '$victim'");
	is(kill('KILL', $pid), 1, 'a backend is killed');
	$rounds++;
	$_->finish foreach @runs;

	ok($node->poll_query_until('postgres', 'select true'), 'the server is back');
	is(sql(q{select (saas_private.check_rate_limit('192.0.2.1')).allowed,
			saas_private.take_attempt('after', 'x', 1, '1 h', '1 h', '1 h'), saas_private.use_once('after', 'x', '1 h'),
			saas_private.use_once('after', 'x', '1 h')}),
		't|0|t|f', 'memory counts, from the beginning');
	sql(qq{select saas_private.note('after', null, '{"round": $rounds}')});
	ok($node->poll_query_until('postgres', "select count(*) = $rounds from saas_private.security_event where kind = 'after'"),
		'the worker is back and writes, and what was written is there');
	is(sql(qq{begin; select saas.authenticate('$token') is not null; rollback;
			begin; select saas.authenticate('$key') is not null; rollback}), "t\nt", 'tokens and keys of before are good');
	isnt(sql(sprintf q{select saas_api.sign_in('%s', '%s') ->> 'access_token'}, $tenant->email, $tenant->password), '',
		'and one signs in');
}
my $log = $node->log_since(0);
is(scalar(() = $log =~ /was terminated by signal 9/g), $rounds, 'nobody but the killed has crashed');
unlike($log, qr/terminated by signal (?!9\b)|TRAP: |PANIC: /, 'whatever else happened');

#
# A stop loses what the journal holds and nobody has written, and nothing else.
#
sql('create database unwatched');
$node->safe_psql('unwatched', 'create extension pg_saas cascade');
sql(q{select saas_private.note('kept', null, '{}')});
ok($node->poll_query_until('postgres', q{select count(*) = 1 from saas_private.security_event where kind = 'kept'}),
	'a note is written down');
$node->safe_psql('unwatched', q{select count(saas_private.note('held', null, to_jsonb(n))) from generate_series(1, 10) n});
cmp_ok(sql(q{select used from saas.limits_status() where memory = 'journal'}), '>=', 10, 'others are held, where nobody writes');
my $before = sql(q{select count(*) from saas_private.security_event where kind <> 'burst'});
$node->restart;
is(sql(q{select used, lost from saas.limits_status() where memory = 'journal'}), '0|0', 'a restart empties the journal');
is(sql(q{select count(*) from saas_private.security_event where kind <> 'burst'}), $before, 'and leaves what was written');
sql(q{select saas_private.note('kept', null, '{}')});
ok($node->poll_query_until('postgres', q{select count(*) = 2 from saas_private.security_event where kind = 'kept'}),
	'which goes on');

done_testing();
