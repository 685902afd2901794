# A PostgreSQL connection's own certificates: whom it trusts and who it is; and
# what test_connection tells of each step of a session.
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
my %ca = (ours => slurp_file("$certificates/ca.pem"), theirs => slurp_file("$strangers/ca.pem"));

# Who the connection is: two that the server knows by their authority, one that it does not.
my $client = PostgreSQL::Test::Utils::tempdir();

sub run_quietly { system_or_bail('sh', '-c', 'exec "$@" 2>/dev/null', 'sh', @_); return; }

sub make_client
{
	my ($name, $subject, $key, $authority) = @_;
	run_quietly('openssl', 'genpkey', @$key, '-out', "$client/$name.key");
	run_quietly('openssl', 'req', '-new', '-key', "$client/$name.key", '-subj', "/CN=$subject", '-out', "$client/$name.csr");
	run_quietly('openssl', 'x509', '-req', '-in', "$client/$name.csr", '-days', '30', '-CA', "$client/$authority.pem",
		'-CAkey', "$client/$authority.key", '-CAcreateserial', '-out', "$client/$name.pem");
	return {
		client_certificate => slurp_file("$client/$name.pem"),
		client_key         => slurp_file("$client/$name.key") };
}
my @curve = qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256);
foreach my $authority (qw(known foreign))
{
	run_quietly('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
		'-subj', "/CN=$authority clients", '-keyout', "$client/$authority.key", '-out', "$client/$authority.pem");
}
my $known   = make_client('watcher', 'watcher', \@curve, 'known');
my $other   = make_client('other', 'other', \@curve, 'known');
my $foreign = make_client('intruder', 'watcher', \@curve, 'foreign');

#
# The server that is asked
#
my $target = SaasCluster->create('target', preload => '', settings => {
		'listen_addresses'    => '127.0.0.1',
		'ssl'                 => 'on',
		'ssl_ca_file'         => "$client/known.pem",
		'ssl_cert_file'       => "$certificates/good.pem",
		'ssl_key_file'        => "$certificates/good.key",
		'password_encryption' => 'scram-sha-256' });
unlink $target->data_dir . '/pg_hba.conf';
$target->append_conf('pg_hba.conf', <<'HBA');
local   all   all trust
host    plain all 127.0.0.1/32 scram-sha-256
hostssl certs all 127.0.0.1/32 cert
hostssl twofold all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all   nobody 127.0.0.1/32 reject
hostssl all   all 127.0.0.1/32 scram-sha-256
HBA
$target->start;
my $password = 'hunter2hunter2';
$target->safe_psql('postgres', qq{
	create role watcher login password '$password';
	create role nobody login password '$password';
	create database shop;
	create database plain;
	create database certs;
	create database twofold;
	create database closed;
	revoke connect on database closed from public});

sub serve_with
{
	my ($dir, $name) = @_;
	$target->append_conf('postgresql.conf', "ssl_cert_file = '$dir/$name.pem'\nssl_key_file = '$dir/$name.key'");
	$target->reload;
	$target->poll_query_until('postgres', "select current_setting('ssl_cert_file') = '$dir/$name.pem'")
	  or BAIL_OUT('the server does not take another certificate');
	# The postmaster has read it before it takes the next session that sees it.
	$target->poll_query_until('postgres', 'select true');
	return;
}

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.1, ::1',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.min_poll_interval'      => '1s' });
$node->start;
$node->install('postgres');
my ($acme, $beta) = map { SaasTenant->create($node, 'postgres', $_) } qw(Acme Beta);
my $count = 0;

sub config
{
	my (%config) = @_;
	return { host => 'localhost', port => $target->port + 0, dbname => 'shop', user => 'watcher', %config };
}

# A connection that only a test polls; removed again.
sub test_of
{
	my ($secrets, %config) = @_;
	my $name = 'try ' . ++$count;
	my $id = $acme->connect('postgresql', $name, config(%config), $secrets, '1 day');
	$acme->wait_for($id, "status <> 'pending'") or BAIL_OUT('the first poll does not come');
	my $test = decode_json($acme->sql("select saas_api.test_connection('$id', 60000)"));
	$acme->sql("select 1 from saas_api.delete_connection('$id', '$name')");
	return $test;
}

# "resolve connect TLS!": the steps by name, the one that failed with a mark.
sub steps
{
	my ($answer) = @_;
	return join ' ', map { $_->{step} . ($_->{ok} ? '' : '!') } @{ $answer->{steps} };
}

sub outcome
{
	my $test = test_of(@_);
	return $test->{ok} ? 'ok' : $test->{error};
}

my %good = (password => $password, ca_certificate => $ca{ours});

#
# Steps
#
my $test = test_of(\%good);
is(steps($test), 'resolve connect tls authenticate authorize read parse', 'all steps of a session over TLS');
ok(!(grep { !$_->{ok} || defined $_->{error} || defined $_->{hint} || $_->{ms} !~ /^\d+$/ } @{ $test->{steps} }),
	'each is well and has its time');
is(steps(test_of({ password => $password }, dbname => 'plain', sslmode => 'disable')),
	'resolve connect authenticate authorize read parse', 'without TLS there is no such step');
my $double = SaasPostgresDouble->start;
my %here   = (port => $double->port + 0, sslmode => 'disable');
my $closed = PostgreSQL::Test::Cluster::get_free_port();
my @cases = (
	[ 'a host that is not there', { host => 'nowhere.invalid' }, 'resolve!', qr/DNS/ ],
	[ 'a port that nobody listens on', { port => $closed + 0 }, 'resolve connect!', qr/firewall/ ],
	[ 'an address that is not allowed', { host => '10.1.2.3' }, 'resolve connect!', qr/saas\.allowed_networks/ ],
	[ 'a certificate that is not trusted', { ca => $ca{theirs} }, 'resolve connect tls!', qr/ca_certificate/ ],
	[ 'a server without TLS', { port => $double->port + 0 }, 'resolve connect tls!', qr/certificate/ ],
	[ 'a wrong password', { secret => 'wrong' }, 'resolve connect tls authenticate!', qr/password/ ],
	[ 'a user that pg_hba.conf rejects', { user => 'nobody' }, 'resolve connect tls authenticate!', qr/pg_hba\.conf/ ],
	[ 'a server that says nothing', { %here, dbname => 'silent' }, 'resolve connect authenticate!', qr/./ ],
	[ 'a database that is not there', { dbname => 'none' }, 'resolve connect tls authenticate authorize!', qr/dbname/ ],
	[ 'a database that is closed', { dbname => 'closed' }, 'resolve connect tls authenticate authorize!', qr/CONNECT/ ],
	[ 'a server that is full', { %here, dbname => 'code-53300' }, 'resolve connect authenticate authorize read!', qr/./ ],
	[ 'a server that goes away', { %here, dbname => 'vanish' }, 'resolve connect authenticate authorize read!', qr/upstream/ ]);
foreach my $case (@cases)
{
	my ($what, $config, $expected, $hint) = @$case;
	my %secrets = (password => delete $config->{secret} || $password);
	my $ca = delete $config->{ca} || $ca{ours};
	$secrets{ca_certificate} = $ca if ($config->{sslmode} || '') ne 'disable';
	my $is_silent = ($config->{dbname} || '') eq 'silent';
	$node->limit_polls_to('3s', '5s') if $is_silent;
	$test = test_of(\%secrets, %$config);
	cmp_ok($test->{steps}[-1]{ms}, '>=', 2000, "$what: the time that a step took is its own") if $is_silent;
	$node->limit_polls_to('1min', '1min') if $is_silent;
	is(steps($test), $expected, "$what: the step that failed is the last") or diag($test->{error});
	like($test->{steps}[-1]{hint} || '', $hint, "$what: and says what to do");
	is($test->{steps}[-1]{error}, $test->{error}, "$what: with the error");
}

#
# Whom it trusts
#
my $untrusted = 'the certificate of localhost comes from an authority that is not trusted';
is(outcome({ password => $password }), $untrusted, 'the authority is not the system\'s');
is(outcome(\%good), 'ok', 'with its own it is trusted');
is(outcome({ password => $password }), $untrusted, 'by that connection alone, right after');
is(outcome({ %good, ca_certificate => $ca{theirs} }), $untrusted, 'another authority does not help');
is(outcome({ %good, ca_certificate => $ca{theirs} . $ca{ours} }), 'ok', 'one of several does');
my @both = map { $beta->connect('postgresql', "both $_->[0]", config(dbname => $_->[0]), { password => $password, %{ $_->[1] } }, '1 day') }
  [ 'shop', { ca_certificate => $ca{ours} } ], [ 'postgres', {} ], [ 'template1', { ca_certificate => $ca{theirs} } ];
my $ids = join ', ', map { "'$_'" } @both;
foreach my $round (1 .. 3)
{
	is( $beta->sql("select string_agg(r ->> 'ok', ' ' order by r ->> 'name' = 'both template1', r ->> 'name' = 'both postgres')"
			  . " from jsonb_array_elements(saas_api.refresh_connections(array[$ids]::uuid[], 60000)) r"),
		'true false false', "round $round: each trusts its own, at the same time too");
}
serve_with($certificates, 'wrong-host');
is(outcome(\%good), 'the certificate of localhost is for another host name', 'another host\'s certificate is refused still');
is(outcome({ %good, ca_certificate => $ca{ours} }, sslmode => 'verify-ca'), 'ok', 'but with verify-ca, where the operator allows it');
is(outcome({ %good, ca_certificate => $ca{theirs} }, sslmode => 'verify-ca'), $untrusted, 'which checks the authority');
serve_with($certificates, 'expired');
is(outcome(\%good), 'the certificate of localhost has expired', 'one that has expired is refused');
serve_with($certificates, 'self-signed');
is(outcome(\%good), 'the certificate of localhost is self-signed', 'a self-signed one is');
is(outcome({ %good, ca_certificate => slurp_file("$certificates/self-signed.pem") }), 'ok',
	'and trusted when the connection brings that one itself');
serve_with($certificates, 'good');
$node->append_conf('postgresql.conf', "saas.ca_file = '$certificates/ca.pem'");
$node->reload;
$node->poll_query_until('postgres', "select current_setting('saas.ca_file') <> ''");
is(outcome({ password => $password }), 'ok', 'with the operator\'s file the host is trusted');
is(outcome({ %good, ca_certificate => $ca{theirs} }), $untrusted, 'but by who brings authorities of its own');
is(outcome({ password => $password }), 'ok', 'others go on');

#
# Who it is
#
is(outcome({ %$known }, dbname => 'certs'), 'ok', 'a client certificate lets in, without a password');
is(outcome({ %good, %$known }, dbname => 'certs'), 'ok', 'and with authorities of its own');
$test = test_of({ %good, %$other }, dbname => 'certs');
is(steps($test), 'resolve connect tls authenticate!', 'somebody else\'s does not');
$test = test_of(\%good, dbname => 'certs');
is(steps($test), 'resolve connect tls authenticate!', 'none does not');
like($test->{error}, qr/requires a valid client certificate/, 'as the server says');
like($test->{steps}[-1]{hint}, qr/client_certificate and client_key/, 'and what to give is told');
is(outcome({ %good, %$known }, dbname => 'twofold'), 'ok', 'certificate and password together');
$test = test_of({ %good, %$known, password => 'wrong' }, dbname => 'twofold');
is(steps($test), 'resolve connect tls authenticate!', 'a wrong password is not redeemed by the certificate');
$test = test_of({ %good, %$foreign }, dbname => 'certs');
is(steps($test), 'resolve connect tls!', 'a certificate that the server does not know fails with TLS');
like($test->{error}, qr/^localhost:\d+ refuses the client certificate: .*unknown ca/, 'as what it is');
$test = test_of({%$known}, dbname => 'shop');
is($test->{error}, 'localhost asks for a password, and the connection has none', 'a server that wants a password gets none');
is(steps($test), 'resolve connect tls authenticate!', 'and that is the step');
is(outcome(\%good), 'ok', 'others go on');
$target->append_conf('postgresql.conf', "ssl_max_protocol_version = 'TLSv1.2'");
$target->reload;
$target->poll_query_until('postgres', "select current_setting('ssl_max_protocol_version') = 'TLSv1.2'");
is(outcome({ %good, %$known }, dbname => 'twofold'), 'ok', 'the same with TLS 1.2');
is(outcome({ password => $password, ca_certificate => $ca{theirs} }), $untrusted, 'where trust is the same');
is(steps(test_of({ %good, %$foreign }, dbname => 'certs')), 'resolve connect tls!', 'and a certificate that is not known');

unlike($node->log_since(0), qr/PRIVATE KEY|terminated by signal|PANIC|could not store/, 'none of it is in the log');

#
# What is refused when the connection is made
#
sub refusal
{
	my ($secrets, %config) = @_;
	return $acme->error_of('select ' . $acme->connect_call('postgresql', 'refused', config(dbname => 'refused', %config), $secrets));
}
like(refusal({ %good, ca_certificate => 'x' }), qr/secrets\.ca_certificate.*must be certificates in PEM/, 'an authority that is none');
like(refusal({ %good, %$known, client_key => $other->{client_key} }), qr/secrets\.client_key.*must be the private key/, 'another\'s key');
like(refusal({ %good, client_key => $known->{client_key} }), qr/secrets\.client_certificate.*is required/, 'a key without a certificate');
like(refusal({ client_certificate => $known->{client_certificate} }), qr/secrets\.client_key.*is required/, 'a certificate without a key');
run_quietly('openssl', 'pkey', '-in', "$client/watcher.key", '-aes128', '-passout', 'pass:x', '-out', "$client/locked.key");
like(refusal({ %good, %$known, client_key => slurp_file("$client/locked.key") }), qr/secrets\.client_key.*without a passphrase/,
	'a key with a passphrase');
like(refusal({ ca_certificate => $ca{ours} }), qr/secrets\.password.*is required/, 'nothing to sign in with');
like(refusal(\%good, sslmode => 'disable'), qr/secrets\.ca_certificate.*is not used with sslmode disable/, 'an authority without TLS');

# Who may change a connection need not know its password, and cannot have it sent with less verification.
my $kept = $beta->connect('postgresql', 'kept', config(dbname => 'certs', user => 'kept'), \%good, '1 day');
sub change_of
{
	my (%config) = @_;
	my $patch = JSON::PP->new->canonical->encode({ config => config(dbname => 'certs', user => 'kept', %config) });
	return $beta->error_of("select saas_api.update_connection('$kept', \$json\$$patch\$json\$)");
}
like(change_of(sslmode => $_), qr/secrets\.password.*is required/, "sslmode $_ needs the secrets again") foreach qw(verify-ca disable);
is(change_of(user => 'another'), '', 'another user does not');

#
# Nothing is left, and nothing is shown
#
my $pid = $node->safe_psql('postgres', "select pid from pg_stat_activity where backend_type = 'pg_saas poller'");

sub descriptors { return map { [ $_, readlink($_) || '' ] } glob "/proc/$pid/fd/*"; }
my $before = scalar descriptors();
my $id = $beta->connect('postgresql', 'twofold', config(dbname => 'twofold'), { %good, %$known }, '1 day');
is(join(' ', map { $beta->refresh($id)->[0]{ok} ? 'ok' : 'failed' } 1 .. 10), join(' ', ('ok') x 10), 'polls with all three certificates');
my @files = grep { $_->[1] =~ m{^/memfd:pg_saas} } descriptors();
is(scalar @files, 3, 'the poller has three files of its own for all of them');
is(join(' ', map { -s $_->[0] } @files), '0 0 0', 'which are empty');
is(join(' ', map { sprintf '%o', (stat $_->[0])[2] & 07777 } @files), '600 600 600', 'and nobody else\'s to read');
cmp_ok(scalar descriptors(), '<=', $before + 3, 'no descriptor is left of a poll');
is($acme->sql("select count(*) from saas_api.connections c where to_jsonb(c)::text ~ 'CERTIFICATE|PRIVATE'"), '0',
	'nothing of it is shown');
is($node->safe_psql('postgres', "select pid from pg_stat_activity where backend_type = 'pg_saas poller'"), $pid,
	'by the poller that was there before');

# The operator's word stands: a connection's own authority does not lower it.
$node->append_conf('postgresql.conf', "saas.allow_plain_http = 'off'");
$node->reload;
$node->poll_query_until('postgres', "select current_setting('saas.allow_plain_http') = 'off'");
like(refusal(\%good, sslmode => 'verify-ca'), qr/must be verify-full: the operator allows no other/,
	'verify-ca is refused where the operator allows no less than verify-full, whatever the connection brings');

$double->stop;
$target->stop;
$node->stop;
done_testing();
