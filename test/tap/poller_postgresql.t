# PostgreSQL as an upstream: what a good server gives, and what bad ones cannot do.
use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasPostgresDouble;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $certificates = SaasUpstream->certificates;
my $strangers    = SaasUpstream->certificates('strangers');

# A resolver that hangs: getaddrinfo waits for names that say so.
my $shim = PostgreSQL::Test::Utils::tempdir() . '/resolver';
append_to_file("$shim.c", <<'SOURCE');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		dlsym(RTLD_NEXT, "getaddrinfo");

	if (name && strstr(name, ".hangs.example"))
		for (;;)
			pause();
	if (name && strcmp(name, "none.example") == 0)
		return EAI_NONAME;
	return real(name && strcmp(name, "inside.example") == 0 ? "127.0.0.2" : name, service, hints, found);
}
SOURCE
system_or_bail('cc', '-shared', '-fPIC', '-o', "$shim.so", "$shim.c", '-ldl');

#
# The server that is asked
#
my $target = SaasCluster->create('target', preload => '', settings => {
		'listen_addresses'    => '127.0.0.1',
		'ssl'                 => 'on',
		'ssl_cert_file'       => "$certificates/good.pem",
		'ssl_key_file'        => "$certificates/good.key",
		'password_encryption' => 'scram-sha-256',
		'max_prepared_transactions' => '2' });
unlink $target->data_dir . '/pg_hba.conf';
$target->append_conf('pg_hba.conf', <<'HBA');
local   all all trust
host    plain all 127.0.0.1/32 scram-sha-256
host    all nobody 127.0.0.1/32 reject
hostssl all all 127.0.0.1/32 scram-sha-256
HBA
$target->start;
my $password = 'hunter2hunter2';
$target->safe_psql('postgres', qq{
	create role watcher login password '$password';
	grant pg_monitor to watcher;
	create role nobody login password '$password';
	create database plain;
	create database shop;
	create database closed;
	revoke connect on database closed from public});
$target->safe_psql('shop', q{
	create table public.orders (state text, amount numeric, made_at timestamptz default now());
	insert into public.orders values ('open', 12.5), ('open', 7.5), ('paid', 100), (null, 1);
	create table public.hidden (n integer);
	create sequence public.counter;
	grant select on public.orders to watcher;
	grant usage on sequence public.counter to watcher;
	create table public.written (n integer);
	grant all on public.written to watcher;
	create table public.locked (n integer);
	grant select on public.locked to watcher;
	create function public.write() returns integer language sql security definer as
		'insert into public.written values (1) returning n'});
$target->safe_psql('shop', q{begin; lock table public.locked; prepare transaction 'held'});
$target->safe_psql('postgres', q{begin; select pg_advisory_xact_lock(1); prepare transaction 'advised'});

#
# The poller, whose environment would lead libpq astray
#
my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.1, ::1',
		'saas.allow_plain_http'       => 'on',
		'saas.ca_file'                => "$certificates/ca.pem",
		'saas.refresh_cooldown'       => '0',
		'saas.poller_max_response'    => '1MB' });
{
	local %ENV = (%ENV,
		LD_PRELOAD           => "$shim.so",
		PGSERVICE            => 'astray',
		PGPASSWORD           => 'astray',
		PGPASSFILE           => '/astray',
		PGSSLMODE            => 'disable',
		PGSSLROOTCERT        => '/astray',
		PGSSLCRL             => '/astray',
		PGOPTIONS            => '-c search_path=astray -c default_transaction_read_only=off',
		PGREQUIREPEER        => 'astray',
		PGHOSTADDR           => '192.0.2.1',
		PGTARGETSESSIONATTRS => 'standby');
	$node->start;
}
$node->install('postgres');
# The same database twice in one organization is a duplicate: others for what is tried on it.
my ($acme, $beta, $trial, $partly, $refused) =
  map { SaasTenant->create($node, 'postgres', $_) } qw(Acme Beta Trial Partly Refused);

sub sql { return $node->safe_psql('postgres', @_); }

sub config
{
	my (%config) = @_;
	return { host => 'localhost', port => $target->port + 0, dbname => 'shop', user => 'watcher', %config };
}

my $number = 0;

sub connect_to
{
	my ($tenant, $name, $secret, %config) = @_;
	return $tenant->connect('postgresql', $name, config(%config), { password => $secret }, '1 hour');
}

# A poll asked for now: 'ok', or the error.
sub poll
{
	my ($id, $tenant) = @_;
	my $answer = ($tenant || $acme)->refresh($id)->[0];
	return $answer->{ok} ? 'ok' : $answer->{error};
}

# The same where the limit is short: a machine that stops for a while meets it with nothing wrong.
sub poll_in_time
{
	my @asked = @_;
	my $outcome;
	foreach my $attempt (1 .. 4)
	{
		$outcome = poll(@asked);
		last if $outcome !~ /timed out/;
	}
	return $outcome;
}

# The poll of a connection made for it, which is removed again.
sub try_out
{
	my (%config) = @_;
	my $secret = delete $config{password} || $password;
	my $id      = connect_to($trial, 'try ' . ++$number, $secret, %config);
	my $outcome = poll($id, $trial);
	my $status  = $trial->status($id)->{status};
	$trial->sql("select 1 from saas_api.delete_connection('$id', 'try $number')");
	return "$status: $outcome";
}

sub value_of
{
	my ($id, $metric, $labels, $tenant) = @_;
	$labels ||= '{}';
	return ($tenant || $acme)->sql("select value from saas_api.latest_samples where connection_id = '$id'"
		  . " and metric = '$metric' and labels = '$labels'");
}

#
# A good server
#
my $shop = connect_to($acme, 'shop', $password, queries => [
		{ name => 'orders', query => "select state, count(*) as n, sum(amount) as \"Total Amount\", max(made_at)\n"
			. "  from public.orders where state is not null group by state -- by state" },
		{ name => 'answer', query => 'select 42 as value, true as is_so, null::integer as nothing' },
		{ name => 'setting', query => q{select current_setting('transaction_read_only')::boolean as read_only,
			current_setting('search_path') as path, current_setting('application_name') as application,
			ssl::boolean as tls, version as protocol from pg_stat_ssl where pid = pg_backend_pid()} } ]);
is(poll($shop), 'ok', 'a poll over TLS with SCRAM, in spite of the environment');
is(value_of($shop, 'postgresql_server_version_num'), $target->safe_psql('postgres', 'show server_version_num'),
	'the server tells its version');
is(value_of($shop, 'postgresql_max_connections'),
	$target->safe_psql('postgres', 'show max_connections'), 'and its connections at most');
cmp_ok(value_of($shop, 'postgresql_database_size_bytes'), '>', 1_000_000, 'the size of the database');
is(value_of($shop, 'postgresql_in_recovery'), 0, 'that it is no standby');
cmp_ok(value_of($shop, "postgresql_$_"), '>=', 0, $_) foreach qw(cache_hit_ratio deadlocks_total temp_bytes_total
	transactions_committed_total uptime_seconds oldest_xid_age);
is(value_of($shop, 'orders_n', '{"state": "open"}'), 2, 'numbers of a query of the owner, by its text');
is(value_of($shop, 'orders_Total_Amount', '{"state": "paid"}'), 100, 'under a name that is fit for a metric');
is(value_of($shop, 'answer'), 42, 'a column "value" has the name of the query');
is(value_of($shop, 'answer_is_so'), 1, 'yes is 1');
is(value_of($shop, 'answer_nothing'), '', 'null is nothing');
is( value_of($shop, 'setting_read_only',
		'{"path": "\"$user\", public", "application": "pg_saas", "protocol": "TLSv1.3"}'),
	1, 'the session is read-only, and of TLS');
is(value_of($shop, 'postgresql_query_ok', qq({"query": "$_"})), 1, "query $_ went well")
  foreach qw(server size connections replicas orders answer setting);
my $tested = decode_json($acme->sql("select saas_api.test_connection('$shop', 60000)"));
like($tested->{details}{server_version}, qr/^\d+\.\d+$/, 'test_connection tells the version');

#
# Queries that fail leave the others alone
#
$node->limit_polls_to('1min', '4s');
my $partial = connect_to($partly, 'partial', $password, queries => [
		{ name => 'hidden',  query => 'select n from public.hidden' },
		{ name => 'written', query => 'select public.write() as n' },
		{ name => 'counter', query => q{select nextval('public.counter') as n} },
		{ name => 'defiant', query => q{select set_config('transaction_read_only', 'off', false), public.write() as n} },
		{ name => 'slow',    query => 'table public.locked' },
		{ name => 'many',    query => 'select n from generate_series(1, 1000000) as n' },
		{ name => 'words',   query => q{select 'a' as b} },
		{ name => 'wrong',   query => 'select 1 as n) as q; drop table public.orders; select (1' },
		{ name => 'after',   query => 'select 7 as value' } ]);
is(poll_in_time($partial, $partly), 'ok', 'a poll with queries that fail is one');
is(value_of($partial, 'postgresql_query_ok', qq({"query": "$_"}), $partly), 0, "query $_ failed")
  foreach qw(hidden written counter defiant slow many words wrong);
is(value_of($partial, 'after', '{}', $partly), 7, 'the ones behind it are asked');
is(value_of($partial, 'postgresql_in_recovery', '{}', $partly), 0, 'and the standard ones');
is($target->safe_psql('shop', 'select count(*) from public.written'), 0, 'nothing was written');
is($target->safe_psql('shop', 'select count(*) from public.orders'), 4, 'and nothing dropped');
my $denied = connect_to($refused, 'denied', $password, queries => [ { name => 'hidden', query => 'table public.hidden' } ]);
is_deeply(
	decode_json($refused->sql("select saas_api.test_connection('$denied', 60000)"))->{details}{partial},
	[ { query => 'hidden', sqlstate => '42501', error => 'permission denied for table hidden' } ],
	'test_connection names the query and the reason');
my $lifted = connect_to($partly, 'lifted', $password, dbname => 'postgres', queries => [
		{ name => 'lifted', query => q{select set_config('statement_timeout', '0', false) as t, set_config('lock_timeout', '0', false) as l,
			set_config('transaction_read_only', 'off', false) as r, pg_advisory_lock(1)::text as s, 1 as n} },
		{ name => 'kept', query => q{select set_config('search_path', 'elsewhere', false) as s, set_config('statement_timeout', '0', false) as t,
			set_config('default_transaction_read_only', 'off', false) as r, 1 as n} },
		{ name => 'role', query => q{select set_config('role', 'postgres', false) as s, 1 as n} },
		{ name => 'with', query => 'with x as (insert into public.t values (1) returning 1 as n) select n from x' },
		{ name => 'seen', query => q{select current_setting('search_path') as path, current_setting('statement_timeout') as bound,
			current_setting('transaction_read_only') as read_only, current_user::text as role, 1 as value} } ]);
is(poll_in_time($lifted, $partly), 'ok', 'queries that try to lift their bounds');
is(value_of($lifted, 'postgresql_query_ok', qq({"query": "$_->[0]"}), $partly), $_->[1], "query $_->[0]: $_->[1]")
  foreach [ lifted => 0 ], [ kept => 1 ], [ role => 0 ], [ with => 0 ];
is(value_of($lifted, 'seen', '{"path": "\"$user\", public", "role": "watcher", "bound": "2s", "read_only": "on"}', $partly), 1,
	'what a query sets is gone with it');
$node->limit_polls_to('1min', '1min');
my $large = q{select 1 as n, repeat('x', 20000000) as text};
my $long  = q{select n, repeat('x', 1000000) as text from generate_series(1, 100) as n};
is( try_out(queries => [ { name => 'large', query => $large } ]),
	'error: the answer is larger than 1048576 bytes',
	'a value of 20 MB is cut off');
is(try_out(queries => [ { name => 'long', query => $long } ]),
	'error: the answer is larger than 1048576 bytes', 'rows of 100 MB are too');
is(try_out(queries => [ { name => 'large', query => $large } ], sslmode => 'disable', dbname => 'plain'),
	'error: the answer is larger than 1048576 bytes', 'without TLS too');

#
# What a server refuses
#
is(try_out(password => 'wrong password'), 'reauth_required: the server refused the user or the password',
	'a wrong password');
is(try_out(user => 'stranger'), 'reauth_required: the server refused the user or the password', 'a wrong user');
like(try_out(dbname => 'nowhere'), qr/^error: the server refused the session: database "nowhere" does not exist$/,
	'a wrong database');
like(try_out(dbname => 'closed'), qr/^error: the server refused the session: permission denied for database/,
	'a database that one may not connect to');
like(try_out(user => 'nobody'), qr/^error: the server refused the session: pg_hba.conf rejects connection/,
	'a role that is rejected');
like(try_out(sslmode => 'disable'), qr/^error: the server refused the session: no pg_hba.conf entry .*no encryption$/,
	'a server that wants TLS');
is(try_out(sslmode => 'disable', dbname => 'plain'), 'active: ok', 'one that does without');
is(try_out(host => '127.0.0.1'), 'active: ok', 'an address that the certificate names');
$target->append_conf('postgresql.conf', "ssl_cert_file = '$certificates/wrong-host.pem'\nssl_key_file = '$certificates/wrong-host.key'");
$target->reload;
ok($target->poll_query_until('postgres', q{select current_setting('ssl_cert_file') like '%wrong-host%'}), 'another certificate');
is(try_out(), 'error: the certificate of localhost is for another host name',
	'a certificate of another host');
is(try_out(sslmode => 'verify-ca'), 'active: ok', 'which verify-ca lets pass');
$target->append_conf('postgresql.conf', "ssl_cert_file = '$strangers/good.pem'\nssl_key_file = '$strangers/good.key'");
$target->reload;
ok($target->poll_query_until('postgres', q{select current_setting('ssl_cert_file') like '%strangers%'}), 'another authority');
is(try_out(sslmode => $_), 'error: the certificate of localhost comes from an authority that is not trusted',
	"an unknown authority with $_") foreach qw(verify-full verify-ca);
$target->append_conf('postgresql.conf', "ssl_cert_file = '$certificates/good.pem'\nssl_key_file = '$certificates/good.key'");
$target->reload;
ok($target->poll_query_until('postgres', q{select current_setting('ssl_cert_file') like '%ours%'}), 'the good one again');

#
# Names and addresses
#
is(try_out(host => 'none.example'), 'error: the host name none.example could not be resolved', 'a name that is none');
$node->limit_polls_to('1s', '1min');
is(try_out(host => 'hangs.hangs.example', port => 5432),
	'error: hangs.hangs.example:5432 timed out during the name look-up', 'a resolver that hangs');
$node->limit_polls_to('1min', '1min');
is(try_out(host => 'inside.example'), 'error: the host inside.example leads to an address that is not allowed',
	'a name that leads inside');
like($node->log_since(0), qr/DETAIL:  The address is 127\.0\.0\.2 of host inside\.example, which is loopback\.\n/,
	'whose address the log tells');
is(try_out(host => '127.0.0.3'), 'error: the address 127.0.0.3 is loopback', 'an address inside');
is(try_out(host => $_), "error: the host $_ leads to an address that is not allowed", "the same, written as $_")
  foreach '127.2', '0x7f.2', '2130706434', '0177.0.0.2';
is(try_out(host => '::ffff:127.0.0.2'), 'error: the address ::ffff:127.0.0.2 is loopback', 'or for IPv6');
like(try_out(dbname => $_), qr/^error: the server refused the session: database "\Q$_\E" does not exist$/,
	"a database called $_ is one that is not there")
  foreach 'host=127.0.0.2 sslmode=disable', 'postgresql://127.0.0.2/shop', 'shop replication=database';
my $closed = PostgreSQL::Test::Cluster::get_free_port();
like(try_out(port => $closed + 0), qr/^error: could not connect to localhost:$closed: .*Connection refused/, 'a closed port');

#
# Servers that mean harm
#
my $double = SaasPostgresDouble->start;
my $secure = SaasPostgresDouble->start(certificate => 'good');
my %harm   = (
	'silent'      => qr/^error: localhost:\d+ timed out during the sign-in$/,
	'garbage'     => qr/^error: localhost asks for something malformed at the sign-in/,
	'cut'         => qr/^error: the sign-in at localhost:\d+ failed: /,
	'iterations'  => qr/^error: localhost asks for more than 100000 SCRAM iterations at the sign-in/,
	'pieces'      => qr/^error: localhost asks for something malformed at the sign-in/,
	'gss'         => qr/^error: localhost asks for a kind of authentication other than a password at the sign-in/,
	'twice'       => qr/^error: localhost asks for several things at once at the sign-in/,
	'notices'     => qr/^error: localhost sends too much at the sign-in$/,
	'parameters'  => qr/^error: localhost sends too much at the sign-in$/,
	'flood'       => qr/^error: localhost sends too much at the sign-in$/,
	'drown'       => qr/^error: what localhost sends takes too much work$/,
	'names'       => qr/^error: (?:what localhost sends takes too much work|query "server" gives too many rows)$/,
	'columns'     => qr/^error: query "server" gives too many columns$/,
	'both'        => qr/^error: localhost answers with something other than rows$/,
	'copyout'     => qr/^error: localhost answers with something other than rows$/,
	'notify'      => qr/^error: (?:what localhost sends takes too much work|the answer is larger than 1048576 bytes)$/,
	'nostate'     => qr/^error: localhost:\d+ broke the session off: /,
	'chatter'     => qr/^error: the answer is larger than 1048576 bytes$/,
	'copy'        => qr/^error: localhost answers with something other than rows$/,
	'deaf'        => qr/^error: localhost:\d+ timed out during query "server"$/,
	'length'      => qr/^error: the answer is larger than 1048576 bytes$/,
	'vanish'      => qr/^error: localhost:\d+ broke the session off: /,
	'quote'       => qr/^error: the upstream's error quotes a secret and is withheld$/,
	'code-53300'  => qr/^error: the server takes no session now: because of code-53300$/,
	'code-57P03'  => qr/^error: the server takes no session now: because of code-57P03$/,
	'code-28000'  => qr/^error: the server refused the session: because of code-28000$/);
# Where the machine itself stops for a while, a time limit is met elsewhere.
sub outcome_of
{
	my ($expected, @config) = @_;
	my $outcome;
	foreach my $attempt (1 .. 4)
	{
		$outcome = try_out(@config);
		last if $outcome =~ $expected || $outcome !~ /timed out/;
	}
	return $outcome;
}
foreach my $fault (sort { ($a =~ /^(?:silent|deaf)$/) <=> ($b =~ /^(?:silent|deaf)$/) || $a cmp $b } keys %harm)
{
	$node->limit_polls_to('2s', '4s') if $fault eq 'deaf';
	my $user = $fault eq 'quote' ? $password : 'watcher';
	like(outcome_of($harm{$fault}, port => $double->port + 0, sslmode => 'disable', dbname => $fault, user => $user),
		$harm{$fault}, "a server that does \"$fault\"");
	like(outcome_of($harm{$fault}, port => $secure->port + 0, dbname => $fault, user => $user), $harm{$fault}, 'and through TLS')
	  if $fault !~ /^code/;
}
$node->limit_polls_to('1min', '1min');
like(try_out(port => $double->port + 0, sslmode => 'disable', dbname => 'cleartext'),
	qr/^error: localhost asks for the password itself without TLS at the sign-in/, 'one that wants the password in clear');
unlike($double->log, qr/password/, 'does not get it');
like(try_out(port => $double->port + 0, dbname => 'silent'),
	qr/^error: the TLS handshake with localhost:\d+ failed: server does not support SSL/, 'one without TLS');
my $eager = SaasPostgresDouble->start(certificate => 'good', tickets => 20000);
is(try_out(port => $eager->port + 0, dbname => 'deaf'), 'error: localhost sends too much at the sign-in',
	'one that gives session tickets without end');
is($eager->log, '', 'which are not all taken');
my $dear = PostgreSQL::Test::Utils::tempdir();
foreach my $call (
	[ 'genpkey', '-algorithm', 'RSA', '-out', "$certificates/rsa.key" ],
	[ 'req', '-new', '-key', "$certificates/rsa.key", '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-out', "$dear/csr" ],
	[ 'x509', '-req', '-in', "$dear/csr", '-days', 30, '-CA', "$certificates/ca.pem", '-CAkey', "$certificates/ca.key", '-CAcreateserial',
		'-copy_extensions', 'copy', '-out', "$certificates/rsa.pem" ],
	[ 'dhparam', '-dsaparam', '-out', "$dear/dh", 2048 ])
{
	system_or_bail('sh', '-c', 'exec openssl "$@" 2>/dev/null', 'sh', @$call);
}
$eager = SaasPostgresDouble->start(certificate => 'rsa', dh => "$dear/dh");
like(try_out(port => $eager->port + 0, dbname => 'deaf'), qr/^error: the TLS handshake with localhost:\d+ failed: .*handshake failure$/,
	'one that wants to make up the numbers of Diffie-Hellman');
is($eager->log, '', 'finds no cipher');
ok($node->safe_psql('postgres', q{select count(*) = 1 from pg_stat_activity where backend_type = 'pg_saas poller'}),
	'the poller lives');

#
# What the operator forbids
#
$node->append_conf('postgresql.conf', "saas.allow_plain_http = 'off'");
my $plain = connect_to($acme, 'plain', $password, sslmode => 'disable', dbname => 'plain');
is(poll($plain), 'ok', 'a session without TLS');
$node->reload;
ok($node->poll_query_until('postgres', q{select current_setting('saas.allow_plain_http') = 'off'}), 'which the operator forbids');
is(poll($plain), 'the operator allows no connection without a verified server', 'is not made any more');
is(poll($shop), 'ok', 'with TLS it is');
like($acme->error_of('select ' . $acme->connect_call('postgresql', 'p', config(sslmode => 'verify-ca', dbname => 'x'), { password => 'x' })),
	qr/must be verify-full: the operator allows no other/, 'and no connection is made for one');

#
# Nobody waits for another's server
#
my @calls = map {
	(   $beta->connect_call('postgresql', "silent $_", config(port => $secure->port + 0, dbname => "silent~$_"),
			{ password => $password }, '1 hour'),
		$beta->connect_call('postgresql', "hangs $_", config(host => "h$_.hangs.example"),
			{ password => $password }, '1 hour'),
		$beta->connect_call('postgresql', "deaf $_", config(port => $secure->port + 0, dbname => "deaf~$_"),
			{ password => $password }, '1 hour'))
} 1 .. 20;
$beta->sql('select ' . join(', ', @calls));
ok($node->poll_query_until('postgres', 'select in_flight >= 60 from saas.poller_status()'), '60 sessions get nowhere');
is(poll($shop), 'ok', 'another organization is polled meanwhile');
cmp_ok(sql('select in_flight from saas.poller_status()'), '>=', 60, 'while they still get nowhere');

my %told = (
	'the connections' => sql('select json_agg(c) from saas.connection c'),
	'their states'    => sql('select json_agg(s) from saas.connection_status s'),
	"the server's log" => $node->log_since(0));
is(index($told{$_}, $password), -1, "no password in $_") foreach sort keys %told;
unlike($node->log_since(0), qr/terminated by signal|PANIC|could not store/, 'nothing worse in the log');

done_testing();
