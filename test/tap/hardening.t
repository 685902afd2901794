# What a hostile review tried against servers: owners of databases, templates,
# locks, terminated sessions, foreign settings and encodings.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my %settings = (
	'saas.allowed_networks'       => '127.0.0.0/8, ::1/128',
	'saas.allow_plain_http'       => 'on',
	'saas.min_poll_interval'      => '1s',
	'saas.refresh_cooldown'       => '0',
	'saas.bcrypt_cost'            => 10,
	'max_prepared_transactions'   => 4);

my $upstream = SaasUpstream->start;
my $node = SaasCluster->create('main', settings => \%settings);
$node->start;

sub sql { return $node->safe_psql(@_); }

# psql's error with its SQLSTATE, '' without one.
sub error_of
{
	my ($database, $sql, %options) = @_;
	my ($status, $out, $err) =
	  $node->psql($database, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1, %options);
	return $status == 0 ? '' : $err;
}

# A psql that stays: a function that runs statements and returns what they
# printed, errors included; without statements it ends the session.
sub session
{
	my ($database) = @_;
	my ($in, $out, $count) = ('', '', 0);
	my $run = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr($database) ],
		'<', \$in, '>', \$out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return sub {
		my ($statements) = @_;
		if (!defined $statements)
		{
			$run->finish;
			return '';
		}
		my $mark = 'ran ' . ++$count;
		$out = '';
		$in .= "$statements;\n\\echo $mark\n";
		$run->pump until $out =~ /^\Q$mark\E$/m;
		(my $printed = $out) =~ s/^\Q$mark\E\n//m;
		chomp $printed;
		return $printed;
	};
}

sub poller_pid
{
	my ($database) = @_;
	return sql('postgres',
		"select pid from pg_stat_activity where backend_type = 'pg_saas poller' and datname = '$database'");
}

sub wait_for_poller
{
	my ($database, $other_than, $name) = @_;
	return ok($node->poll_query_until('postgres', qq{
			select count(*) = 1 from pg_stat_activity where backend_type = 'pg_saas poller'
			   and datname = '$database' and pid <> coalesce(nullif('$other_than', ''), '0')::integer}), $name);
}

# A database with the extension and its tables.
sub make_database
{
	my ($database, $options) = @_;
	sql('postgres', "create database $database " . ($options || ''));
	$node->install($database);
	return;
}

#
# A database's owner is not its superuser.
#
sql('postgres', 'create role dbo login');
sql('postgres', 'create database owned owner dbo');
sql('owned', 'create schema ext; create extension pgcrypto schema ext', connstr => $node->connstr('owned') . ' user=dbo');
sql('owned', 'create extension pg_saas; select saas.install()');
sql('owned', q{
	create table public.stolen (password text);
	grant insert on public.stolen to public;
	create function public.crypt(text, text) returns text language plpgsql security definer as
		$$ begin insert into public.stolen values ($1); return '$2a$06$' || repeat('x', 53); end $$;
	create function public.gen_salt(text, integer) returns text language plpgsql security definer as
		$$ begin insert into public.stolen values ('salt'); return '$2a$06$' || repeat('x', 22); end $$;
	alter extension pgcrypto add function public.crypt(text, text);
	alter extension pgcrypto add function public.gen_salt(text, integer)},
	connstr => $node->connstr('owned') . ' user=dbo');
my $owned = SaasTenant->create($node, 'owned', 'Owned');
is(sql('owned', 'select count(*) from public.stolen'), 0, 'a function that the owner added to pgcrypto does not get the password');
like(sql('owned', 'select hash from saas_private.password'), qr/^\$2a\$10\$/, 'which pgcrypto has hashed');
like(error_of('owned', sprintf q{set role saas_anon; select saas_api.sign_in('%s', 'not that one')}, $owned->email),
	qr/PT401/, 'a wrong password is wrong');
is(error_of('owned', sprintf q{set role saas_anon; select saas_api.sign_in('%s', '%s')}, $owned->email, $owned->password),
	'', 'the right one is right');
is(sql('owned', 'select count(*) from public.stolen'), 0, 'and was seen by nobody else');

#
# Locks that anybody may take
#
make_database('one');
my $tenant = SaasTenant->create($node, 'one', 'Acme');
my $holder = session('one');
like($holder->(q{set role saas_user; select 'taken', pg_advisory_lock(hashtextextended('pg_saas:reading_partition', d.oid::bigint))
		from pg_database d where d.datname = current_database()}), qr/taken/, 'a tenant holds the advisory lock that partitions had');
is(sql('one', q{select count(*) from pg_inherits where inhparent = 'saas.reading'::regclass}), 0, 'there is no partition');
my $metrics = $tenant->connect('prometheus', 'metrics', { url => $upstream->url . '/metrics' }, {}, '1 second');
my $answer = $tenant->refresh($metrics)->[0];
ok($answer->{ok}, 'and a poll stores its readings in a new one') or diag($answer->{error});
cmp_ok(sql('one', 'select count(*) from saas.reading'), '>', 0, 'which are there');
is(error_of('one', q{set lock_timeout = '2s'; set role saas_poller; select saas_private.ensure_reading_partition('2031-01-01')}),
	'', 'others follow');
$holder->();

#
# An error's text is its tenant's.
#
my $chatty = $tenant->connect('http_json', 'chatty',
	{ url => $upstream->url . '/fault/status?code=403', metrics => [ { name => 'x', path => '$.value' } ] });
$tenant->refresh($chatty);
like($tenant->status($chatty)->{last_error}, qr/\w+ \w+/, 'its tenant reads what went wrong');
ok($node->poll_query_until('one', q{
		select failures > 0 and last_error is not null from saas.poller_status() where database = 'one'}),
	'the operators that something did');
like(sql('one', q{select last_error from saas.poller_status() where database = 'one'}),
	qr/\A[0-9A-Z]{5}\z/, 'by its SQLSTATE only');
is(sql('one', q{select last_error from saas.poller_status() where database = 'one'}),
	$tenant->status($chatty)->{last_error_code}, 'the failed poll\'s');

#
# A connection that is deleted while a poll writes down what it brought
#
sql('one', 'update saas.connection_status set next_poll_at = now() + interval \'1 day\'');
my $doomed = $tenant->connect('prometheus', 'doomed', { url => $upstream->url . '/metrics?instance=doomed' }, {}, '1 hour');
ok($tenant->refresh($doomed)->[0]{ok}, 'a connection has been polled');
my $ingest = session('one');
my $mine   = "org_id = '" . $tenant->org_id . "' and connection_id = '$doomed'";
is($ingest->(qq{begin; set local role saas_poller;
	with touched as (update saas.connection_status set last_polled_at = now() where $mine returning connection_id)
	select count(*) from touched}), 1, 'an ingest holds its status');
my $deletion = $tenant->start_sql("select saas_api.delete_connection('$doomed', 'doomed') ->> 'name'");
ok($node->poll_query_until('one', q{
		select count(*) = 1 from pg_stat_activity where datname = 'one' and wait_event_type = 'Lock'
		   and query ~ 'delete_connection'}), 'so that its deletion waits');
is($ingest->(qq{insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select org_id, connection_id, now() + n * interval '1 ms', layout_id, "values"
	  from (select * from saas.reading where $mine limit 1) as r, generate_series(1, 2) as n;
	commit}), '', 'the ingest adds readings');
is($deletion->(), 'doomed', 'and the deletion goes on');
is(sql('one', "select count(*) from $_ where $mine"), 0, "leaving nothing in $_")
  foreach qw(saas.reading saas.series saas.layout saas.connection_status saas_private.connection_secret);
$ingest->();

#
# Keys of a transaction that was prepared and rolled back
#
make_database('prepared');
my $session = session('prepared');
my $sign_up = q{select saas_api.sign_up('%s@example.com', 'correct horse', 'Ada', 'Tester') ->> 'message'};
like($session->('begin; ' . sprintf($sign_up, 'gone') . "; prepare transaction 'p'"), qr/Check your email/, 'somebody signs up and it is prepared');
is($session->("rollback prepared 'p'"), '', 'and rolled back');
like($session->(sprintf $sign_up, 'here'), qr/Check your email/, 'the next one signs up in the same session');
$session->();
is(sql('prepared', 'select recipient from saas.outbox'), 'here@example.com', 'whose mail is the only one');
my ($opened, $token, $reason) = $node->psql('prepared', q{select saas.read_mail(id) ->> 'token' from saas.outbox});
is($opened, 0, 'and opens for another session') or diag($reason);
is(sql('prepared', "set role saas_anon; select saas_api.verify_email('$token') ->> 'message'"), 'Email verified.', 'with a token that counts')
  if $token;

#
# What CREATE and ALTER DATABASE meet
#
my $pid = poller_pid('one');
my $blocker = session('postgres');
is($blocker->('begin; lock table pg_database in share mode'), '', 'something holds up the end of CREATE DATABASE');
my $copy_run = IPC::Run::start(
	[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', 'create database copied template one' ],
	'<', \undef, '>', \my $copy_out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
ok($node->poll_query_until('postgres', q{
		select count(*) = 1 from pg_stat_activity where query ~ '^create database copied' and wait_event_type = 'Lock'}),
	'which waits');
is(poller_pid('one'), '', 'with the poller of its template stopped');
is(sql('postgres', q{select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^create database copied'}), 't', 'and is terminated');
$copy_run->finish;
like($copy_out, qr/terminating connection/, 'so that it ends');
$blocker->('rollback');
$blocker->();
wait_for_poller('one', $pid, 'whereupon the poller comes back');

sql('template1', 'create extension pg_saas cascade');
make_database('later', 'template template0');
wait_for_poller('later', '', 'once the extension is in template1 another database gets a poller');
is(poller_pid('template1'), '', 'template1 none');
sql('postgres', 'create role builder login createdb');
is(error_of('postgres', 'create database built', connstr => $node->connstr('postgres') . ' user=builder'),
	'', 'who may create databases still may');
is(sql('built', q{select count(*) from pg_extension where extname = 'pg_saas'}), 1, 'with the extension');
wait_for_poller('one', '', 'and the poller elsewhere runs');
sql('template1', 'drop extension pg_saas; drop extension pgcrypto');

$pid = poller_pid('later');
my $place = PostgreSQL::Test::Utils::tempdir();
sql('postgres', "create tablespace elsewhere location '$place'");
is(error_of('postgres', 'alter database later set tablespace elsewhere'), '', 'a database moves while its poller runs');
wait_for_poller('later', $pid, 'which comes back');
is(error_of('postgres', 'alter database later set tablespace pg_default'), '', 'and back');
like(error_of('postgres', 'alter database later set tablespace no_such'), qr/42704/, 'a move that fails');
wait_for_poller('later', '', 'leaves a poller');

#
# A database's settings are meant for others.
#
my $reader = SaasTenant->create($node, 'later', 'Later');
sql('postgres', "alter database later set default_transaction_read_only = on");
sql('postgres', "alter database later set default_transaction_isolation = 'serializable'");
$pid = poller_pid('later');
sql('postgres', "select pg_terminate_backend($pid)");
wait_for_poller('later', $pid, 'a poller starts in a database that is read-only by default');
my $writes = sprintf 'select %s', $reader->connect_call('prometheus', 'metrics', { url => $upstream->url . '/metrics' }, {}, '1 second');
like(error_of('later', $reader->statements($writes)), qr/25006/, 'where nobody writes who does not say so');
isnt($reader->sql($writes, begin => 'begin isolation level read committed read write'), '', 'somebody does');
ok($node->poll_query_until('later', 'select count(*) > 1 from saas.reading'), 'and it polls');
is(sql('later', q{select count(*) from saas.connection_status where status = 'active' and last_error is null}), 1, 'without an error');

#
# Another encoding than UTF-8
#
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	make_database('latin', "encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0");
	my $latin = SaasTenant->create($node, 'latin', 'Grosshandel');
	my $id = $latin->sql(sprintf q{select saas_api.create_connection('http_json', 'Zähler Köln', '{"url": "%s/echo-json",
		"method": "POST", "body": {"größe": 42}, "headers": {"X-Note": "déjà"},
		"metrics": [{"name": "size", "path": "$.body[\"größe\"]", "labels": {"ort": "Köln"}}]}', poll_interval => '1 hour') ->> 'id'},
		$upstream->url);
	like($id, qr/^[0-9a-f-]{36}$/, 'a connection with other characters than ASCII is made in a LATIN1 database');
	is(sql('latin', 'select name, length(name) from saas.connection'), 'Zähler Köln|11', 'its name is right');
	is(sql('latin', q{select config #>> '{body,größe}', config #>> '{metrics,0,labels,ort}', length(config #>> '{metrics,0,labels,ort}'),
		config #>> '{headers,X-Note}' from saas.connection}), '42|Köln|4|déjà', 'its config too');
	my $polled = $latin->refresh($id)->[0];
	ok($polled->{ok}, 'it is polled') or diag($polled->{error});
	is(sql('latin', 'select metric, labels ->> \'ort\', value from saas.latest_sample'), 'size|Köln|42', 'with what the upstream got and answered');
	like($latin->error_of(q{select saas_api.create_connection('http_json', 'Zähler', '{"größe": 1}')}),
		qr/22023.*"field":"größe"/s, 'an error names a field as it was given');
}

#
# Few slots for databases: each without the extension gives its own back.
#
$node->append_conf('postgresql.conf', 'saas.max_databases = 2');
sql('postgres', "create database empty_$_") foreach 1 .. 4;
sql('postgres', "drop database $_") foreach qw(owned prepared latin built);
$node->restart;
sql('postgres', "alter database $_ reset all") foreach qw(one later);
wait_for_poller($_, '', "with two slots for databases, database $_ gets one") foreach qw(one later);
is(sql('postgres', q{select count(*) from pg_stat_activity where backend_type = 'pg_saas poller'}), 2, 'and no other');

#
# pg_upgrade's server works on nobody's behalf.
#
$node->stop;
my $offset = $node->log_size;
my @pg_ctl = ($node->installed_command('pg_ctl'), '-w', '-D', $node->data_dir, '-l', $node->logfile);
system_or_bail(@pg_ctl, '-o', '-b -c log_min_messages=debug1', 'start');
is(sql('one', q{select count(*) from pg_stat_activity where backend_type ~ '^pg_saas'}), 0, 'in binary upgrade mode neither launcher nor poller runs');
system_or_bail(@pg_ctl, 'stop');
my $upgrade_log = $node->log_since($offset);
like($upgrade_log, qr/database system is ready to accept connections/, 'once the server was up');
unlike($upgrade_log, qr/starting background worker process "pg_saas/, 'none was even started');
unlike($node->log_since(0), qr/terminated by signal|TRAP: |PANIC: /, 'no process crashed in all of this');

done_testing();
