# Rotation while everything runs: readers, writers and the poller see no failed
# read while data keys and master keys change under them; a rotation that was
# killed goes on; what others hold stays and is done later; destroyed keys are
# gone from every process.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IPC::Run ();
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasSession;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main',
	settings => {
		'saas.allow_plain_http'     => 'on',
		'saas.allowed_networks'     => '127.0.0.0/8, ::1/128',
		'saas.min_poll_interval'    => '1s',
		'saas.data_key_grace'       => '0',
		'max_prepared_transactions' => '2' });
$node->start;
$node->install('postgres');
my $upstream = SaasUpstream->start;
my $key_file = $node->master_key_file;
my ($first)  = PostgreSQL::Test::Utils::slurp_file($key_file) =~ /^1:([0-9a-f]{64})$/m;
my $second   = 'c0ffee' x 10 . 'c0de';

# At once, as an operator should: nobody reads half a file.
sub write_keys
{
	my (@lines) = @_;
	open my $file, '>', "$key_file.new" or die "$key_file.new: $!";
	print $file map { "$_\n" } @lines;
	close $file or die "$key_file.new: $!";
	chmod 0600, "$key_file.new" or die "chmod: $!";
	rename "$key_file.new", $key_file or die "rename: $!";
	$node->reload;
	return;
}

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# What a call says by NOTICE; dies of an error.
sub call
{
	my ($statement) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $statement, on_error_stop => 1);
	die "$statement: $err" if $status != 0;
	return $err;
}

sub rotate
{
	return call('call saas.rotate_data_keys(' . (@_ ? $_[0] : '') . ')');
}

sub fingerprint
{
	return substr sha256_hex(pack 'H*', $_[0]), 0, 16;
}

my $ada  = SaasTenant->create($node, 'postgres', 'Ada Works');
my $bob  = SaasTenant->create($node, 'postgres', 'Bob Works');
my $ada_org = $ada->org_id;
my $assume  = "saas.assume_identity('" . $ada->user_id . "', '$ada_org')";
sql(q{
	create schema app;
	grant usage on schema app to saas_user;
	create table app.note (org_id uuid not null, id integer not null, body saas.sealed not null, primary key (org_id, id));
	select saas.protect('app.note');
	select saas.register_sealed_column('app.note', 'body', 'note', 'id')});

sub add_notes
{
	my ($from, $to) = @_;
	sql("begin; do \$\$ begin perform $assume; end \$\$;"
		  . " insert into app.note select '$ada_org', n, saas.seal('body ' || n, 'note', n::text) from generate_series($from, $to) n; commit");
	return;
}

# How many notes of ada open as they should, in a session of its own.
sub good_notes
{
	my ($id) = split /\n/, sql("begin; do \$\$ begin perform $assume; end \$\$;"
		  . " select count(*) from app.note where saas.unseal(body, 'note', id::text) = 'body ' || id; commit");
	return $id;
}

sub versions
{
	return sql("select string_agg(version::text, ' ' order by version) from saas_private.data_key where org_id = '$_[0]'");
}

sub named
{
	return sql("select string_agg(distinct saas.describe(body) ->> 'key_version', ' ' order by saas.describe(body) ->> 'key_version') from app.note");
}

# Old keys stay while anybody's transaction is older, the worker's too.
sub rotate_until_dropped
{
	for (1 .. 100)
	{
		rotate("older_than => '1 year'");
		return 1 if sql('select count(*) from saas_private.data_key where retired_at is not null') eq '0';
	}
	return 0;
}

# Everything runs

add_notes(1, 1000);
my $connection = $ada->connect('prometheus', 'exporter', { url => $upstream->url . '/metrics?auth=bearer' },
	{ bearer_token => 'scrape-token' }, '1 second');
$ada->wait_for($connection, "status = 'active'");
sql('create table public.stop (id integer); create table public.done (what text, rounds integer)');

# Loops that end when the table says so; an error ends them with a status.
sub start_loop
{
	my ($what, $body) = @_;
	my %loop = (what => $what, in => "do \$\$
		declare
			rounds integer := 0;
			opened text;
			n integer;
		begin
			while not exists (select from public.stop) loop
				perform $assume;
				n := 1 + floor(random() * 1000);
				$body
				rounds := rounds + 1;
				commit;
			end loop;
			insert into public.done values ('$what', rounds);
		end \$\$;\n", out => '');
	$loop{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', \$loop{in}, '>', \$loop{out}, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$loop{run}->pump while length $loop{in};
	return \%loop;
}

my $read = q{
	select saas.unseal(t.body, 'note', t.id::text) into opened from app.note t where t.org_id = saas.current_org_id() and t.id = n;
	if opened is distinct from 'body ' || n then
		raise exception 'note % says %', n, opened;
	end if;};
my @loops = (
	(map { start_loop("reader $_", $read) } 1 .. 2),
	start_loop('writer',
		q{update app.note t set body = saas.seal('body ' || n, 'note', n::text) where t.org_id = saas.current_org_id() and t.id = n;}),
	start_loop('replacer', q{
		delete from app.note t where t.org_id = saas.current_org_id() and t.id = 1000 + n;
		insert into app.note values (saas.current_org_id(), 1000 + n, saas.seal('body ' || 1000 + n, 'note', (1000 + n)::text));}));
my $polls = $ada->status($connection)->{last_polled_at};

rotate() for 1 .. 5;
write_keys("1:$first", "2:$second");
like(call('call saas.rewrap_data_keys()'), qr/wrapped [1-9]\d* data keys with version 2/, 'a rewrap wraps');
write_keys("2:$second");
rotate() for 1 .. 5;
$ada->make_due($connection);
ok($ada->wait_for($connection, "last_polled_at > '$polls'"), 'the poller goes on');
is(sql('select count(*) from saas_private.data_key where master_version = 1'), 0, 'no key is wrapped by what is gone');
sql('insert into public.stop values (1)');
foreach my $loop (@loops)
{
	$loop->{run}->finish;
	is($loop->{out}, '', "nothing failed for the $loop->{what}");
}
is(sql('select count(*) from public.done where rounds > 0'), scalar @loops, 'and each did something');
is($ada->status($connection)->{status}, 'active', 'no poll failed');
is(sql("select failures from saas.poller_status() where database = 'postgres'"), 0, 'as the worker counts');
ok(rotate_until_dropped(), 'then the old keys go');
is(versions($ada_org), 11, 'all of them');
is(good_notes(), sql('select count(*) from app.note'), 'every value opens in a new session');
sql('delete from app.note where id > 1000');

# Master keys

write_keys("1:$first", "2:$second", "3:" . ('ab' x 32));
write_keys("3:" . ('ab' x 32));
my ($status, $out, $err) = $node->psql('postgres', "begin; do \$\$ begin perform $assume; end \$\$; select saas.unseal(body, 'note', id::text) from app.note limit 1; commit");
like($err, qr/the master key does not open this database's data keys/, 'a key taken away before the rewrap is missed');
like($err, qr/Version 2 with fingerprint @{[fingerprint($second)]} is needed; \S.* has none/, 'by version and fingerprint');
($status, $out, $err) = $node->psql('postgres', 'call saas.rewrap_data_keys()');
like($err, qr/Version 2 with fingerprint @{[fingerprint($second)]} is needed/, 'the rewrap says so too');
like(sql("select string_agg(detail, ' ') from saas.vault_status() where fact = 'master_key'"), qr/fingerprint @{[fingerprint($second)]}, missing/, 'and the status');
write_keys("2:$second", "3:" . ('ab' x 32));
is(good_notes(), 1000, 'put back, it opens');
call('call saas.rewrap_data_keys()');
write_keys("3:" . ('ab' x 32));
is(good_notes(), 1000, 'after the rewrap it may go');
like(call('call saas.rewrap_data_keys()'), qr/wrapped 0 data keys/, 'and nothing is left to wrap');

# Rows that somebody holds

my $holder = open_session($node);
say_to($holder, 'begin; select from app.note where id <= 3 for update;');
like(rotate(), qr/\b3 values are left, because other transactions hold them/, 'locked rows are left and said');
is(named(), '11 12', 'all others are done');
is(sql('select count(*) from saas_private.key_rotation where finished_at is null'), 1, 'the rotation is not finished');
is(sql("select value from saas.vault_status() where fact = 'old_values' and subject = 'app.note.body'"), 3, 'which the status shows');
say_to($holder, 'commit;');
like(rotate(), qr/went on with the rotation/, 'the next call goes on with it');
is(named(), '12', 'and makes no version more');
is(sql('select count(*) from saas_private.key_rotation where finished_at is null'), 0, 'then it is finished');
ok(rotate_until_dropped(), 'its old keys go');

# A snapshot from before

say_to($holder, 'begin isolation level repeatable read;');
say_to($holder, "do \$\$ begin perform $assume; end \$\$;");
is(say_to($holder, 'select count(*) from app.note where id = 7;'), 1, 'a transaction has its snapshot');
rotate();
rotate("older_than => '1 year'");
is(versions($ada_org), '12 13', 'the key that its snapshot needs stays');
is(say_to($holder, "select saas.describe(body) ->> 'key_version' || saas.unseal(body, 'note', '7') from app.note where id = 7;"), '12body 7', 'and opens what it sees');
say_to($holder, 'commit;');
ok(rotate_until_dropped(), 'without it the key goes');
is(versions($ada_org), '13', 'for good');

# Prepared transactions hold what they hold

sql("begin; do \$\$ begin perform $assume; end \$\$; insert into app.note values ('$ada_org', 5000, saas.seal('body 5000', 'note', '5000')); prepare transaction 'late'");
rotate();
rotate("older_than => '1 year'");
is(versions($ada_org), '13 14', 'what is prepared keeps its key');
sql("commit prepared 'late'");
is(good_notes(), 1001, 'so it opens when it is committed');
ok(rotate_until_dropped(), 'and then its key goes');
is(named(), '14', 'because it is sealed again');
is(good_notes(), 1001, 'and opens');

# Killed in the middle

sql(q{
	create function app.wait() returns trigger language plpgsql as $$
	begin
		-- The first batch, of 200, passes and is committed; the second waits.
		if (select count(*) from app.note n where saas.describe(n.body) ->> 'key_version' = '15') >= 200 then
			perform pg_catalog.set_config('lock_timeout', '0', true);
			perform pg_catalog.pg_advisory_xact_lock_shared(4711);
		end if;
		return new;
	end $$;
	create trigger wait before update on app.note for each row execute function app.wait()});
say_to($holder, 'select pg_advisory_lock(4711);');
my $killed = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', 'call saas.rotate_data_keys()' ],
	'<', \'', '>', \my $killed_out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$node->poll_query_until('postgres', "select exists (select from pg_stat_activity where query = 'call saas.rotate_data_keys()' and wait_event = 'advisory')")
  or die 'the rotation does not come to its second batch';
($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\ncall saas.rotate_data_keys()");
like($err, qr/55P03: another rotation of data keys is running/, 'there is one rotation at a time');
my $pid = sql("select pid from pg_stat_activity where query = 'call saas.rotate_data_keys()' and wait_event = 'advisory'");
kill 'KILL', $pid;
$killed->finish;
like($killed_out, qr/terminat|server closed|connection/i, 'the rotation is killed');
eval { close_session($holder) };
$node->poll_query_until('postgres', 'select true') or die 'the server does not come back';
is(named(), '14 15', 'some values are under the new key, some under the old');
is(good_notes(), 1001, 'all open');
sql('drop trigger wait on app.note');
is(sql("select count(*) from saas.vault_status() where fact = 'unfinished_rotation'"), 1, 'the status says that it is unfinished');
like(rotate(), qr/went on with the rotation/, 'called again it goes on');
is(named(), '15', 'to the end');
is(sql("select max(version) from saas_private.data_key where org_id = '$ada_org'"), 15, 'without another version');
is(good_notes(), 1001, 'and everything opens');

# What a key has sealed is counted though it rolls back

my $count = "select sealed_count from saas_private.data_key where org_id = '$ada_org' and version = 15";
my $before = sql($count);
sql("begin; do \$\$ begin perform $assume; perform saas.seal('x', 'note') from generate_series(1, 160000); end \$\$; rollback");
# 160,000 values are 20 blocks on average; none at all has a chance of 3e-9.
ok($node->poll_query_until('postgres', "select ($count) > $before"), 'blocks are counted');
call('call saas.poll()');
cmp_ok(sql($count) - $before, '<=', 60 * 8192, 'about as many as it sealed');
sql("update saas_private.data_key set sealed_count = (1::bigint << 31) where org_id = '$ada_org' and version = 15");
sql("begin; do \$\$ begin perform $assume; perform saas.seal('x', 'note') from generate_series(1, 160000); end \$\$; rollback");
ok($node->poll_query_until('postgres', "select exists (select from saas_private.data_key where org_id = '$ada_org' and version = 16)"),
	'at half of the budget the worker makes the next version');

# Other processes

my $session = open_session($node);
my $sealing = "begin; do \$\$ begin perform $assume; end \$\$; select saas.describe(saas.seal('x', 'note')) ->> 'key_version'; commit;";
is(say_to($session, $sealing), '16', 'a session seals with the current version');
rotate("'$ada_org'");
is(say_to($session, $sealing), '17', 'and with the next as soon as there is one');
my $opening = "begin; do \$\$ begin perform $assume; end \$\$; select saas.unseal(body, 'note', id::text) from app.note where id = 1; commit;";
is(say_to($session, $opening), 'body 1', 'it opens');
my $deleting = "update saas.organization set status = 'deleting', status_reason = 'deleted by an owner', deleted_at = now(), purge_after = now() + interval '30 days' where id = '$ada_org'";
($status, $out, $err) = $node->psql('postgres', "begin; $deleting; select saas.destroy_keys('$ada_org', 'Ada Works'); prepare transaction 'never'");
like($err, qr/cannot PREPARE a transaction that has changed data keys/, 'keys are not destroyed in a prepared transaction');
is(say_to($session, $opening), 'body 1', 'what was rolled back destroyed nothing');
sql("begin; $deleting; select saas.destroy_keys('$ada_org', 'Ada Works'); commit;");
sql("update saas.organization set status = 'active', status_reason = null, deleted_at = null, purge_after = null where id = '$ada_org'");
like(say_to($session, $opening), qr/cannot open the sealed value/, 'destroyed keys are gone from other sessions at once');
say_to($session, 'rollback;');
like(say_to($session, $sealing), qr/data keys were destroyed/, 'which seal nothing more');
close_session($session);
$ada->make_due($connection);
ok($ada->wait_for($connection, "last_error_code = '55000'"), 'and from the poller');
is($bob->sql("select saas.describe(saas.seal('x', 'note')) ->> 'length'"), 1, 'others go on');

done_testing();
