# What identity withstands outside of one SQL session: start-up options,
# configuration files, values stored while the library was absent, forged and
# foreign tokens, pooled logins, tickets across sessions, a hot standby.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64url decode_base64url);
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasSession;
use Test::More;

my $json    = JSON::PP->new->canonical;
my $tempdir = PostgreSQL::Test::Utils::tempdir();

sub connstr
{
	my ($node, $user) = @_;
	return $node->connstr('postgres') . ' user=' . ($user || 'postgres');
}

# Everything psql said, of one session that runs the statements.
sub run_as
{
	my ($node, $user, $sql) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', $sql, connstr => connstr($node, $user), on_error_stop => 0);
	return join "\n", grep { length } $out, $err;
}

sub people
{
	my ($node) = @_;
	$node->safe_psql('postgres', q{
		set saas.bcrypt_cost = 10;
		do $$ begin
			perform saas_api.sign_up('ada@tap.example', 'correct horse', 'Ada', 'Lovelace', 'Tap A');
			perform saas_api.sign_up('bob@tap.example', 'correct horse', 'Bob', 'Babbage', 'Tap B');
			perform saas.confirm_user(id) from saas.app_user;
		end $$;
		create role web login noinherit;
		grant saas_anon, saas_user to web;
		create view public.who as select coalesce(saas.current_org_id()::text, 'nobody') || ' ' || saas.is_authenticated() as who;
		grant select on public.who to public;
		create function public.verdict(token text) returns text language plpgsql as $f$
		begin
			perform saas.authenticate(token);
			raise exception using errcode = 'ZZ000', message = concat_ws(' ', 'accepted', saas.current_role_name());
		exception when others then
			return case when sqlstate = 'ZZ000' then '' else sqlstate || ' ' end || sqlerrm;
		end $f$;
	});
	my ($ada) = $node->safe_psql('postgres', q{select id from saas.app_user where email like 'ada@%'});
	my %of = (ada => $ada);
	$of{bob}   = $node->safe_psql('postgres', q{select id from saas.app_user where email like 'bob@%'});
	$of{org_a} = $node->safe_psql('postgres', q{select id from saas.organization where slug = 'tap-a'});
	$of{org_b} = $node->safe_psql('postgres', q{select id from saas.organization where slug = 'tap-b'});
	$of{forged} = "o|$of{bob}|$of{org_b}||40|8191|owner|postgres";
	return \%of;
}

sub sign_in
{
	my ($node, $name) = @_;
	return $node->safe_psql('postgres',
		"select saas_api.sign_in('$name\@tap.example', 'correct horse') ->> 'access_token'");
}

sub verdict
{
	my ($node, $token) = @_;
	return $node->safe_psql('postgres', "select public.verdict('$token')");
}

my $node = SaasCluster->create('main',
	settings => { max_prepared_transactions => 5 },
	init     => { allows_streaming => 1 });
$node->start;
$node->install('postgres');
my $of     = people($node);
my $ada    = sign_in($node, 'ada');
my $bob    = sign_in($node, 'bob');
my $forged = $of->{forged};
my $nobody = 'nobody false';

#
# Start-up options
#
foreach my $user ('web', 'postgres')
{
	my $refused = $user eq 'web' ? qr/permission denied to set parameter "saas\.identity"/ : qr/parameter "saas\.identity" cannot be set/;
	(my $option = $forged) =~ s/([ \\])/\\$1/g;
	local $ENV{PGOPTIONS} = "-c saas.identity=$option";
	my ($status, $out, $err) = $node->psql('postgres', 'table who', connstr => connstr($node, $user));
	isnt($status, 0, "$user gets no session with PGOPTIONS that set an identity");
	like($err, $refused, "and is told why");
	$ENV{PGOPTIONS} = "--saas.identity=$option";
	($status, $out, $err) = $node->psql('postgres', 'table who', connstr => connstr($node, $user));
	like($err, $refused, "nor with the long form");
	delete $ENV{PGOPTIONS};
	($status, $out, $err) =
	  $node->psql('postgres', 'table who', connstr => connstr($node, $user) . " options='-c saas.identity=x'");
	like($err, $refused, "nor with an option of the connection");
}

#
# Configuration files
#
like(run_as($node, 'postgres', "alter system set saas.identity = '$forged'"),
	qr/parameter "saas\.identity" cannot be changed/, 'ALTER SYSTEM does not set an identity');
my $offset = $node->log_size;
PostgreSQL::Test::Utils::append_to_file($node->data_dir . '/postgresql.auto.conf', "saas.identity = '$forged'\n");
$node->reload;
$node->wait_for_log(qr/parameter "saas\.identity" cannot be (?:set|changed)|invalid value for parameter "saas\.identity"/, $offset);
is($node->safe_psql('postgres', 'table who'), $nobody, 'an edited postgresql.auto.conf sets none');
$node->restart;
is($node->safe_psql('postgres', 'table who'), $nobody, 'nor does it at a restart');
is($node->safe_psql('postgres', "begin; do \$\$ begin perform saas.authenticate('$ada'); end \$\$; table who; commit; table who"),
	"$of->{org_a} true\n$nobody", 'and it does not disturb a real identity');
unlink $node->data_dir . '/postgresql.auto.conf';
$node->append_conf('postgresql.conf', "saas.identity = '$forged'");
$node->restart;
is($node->safe_psql('postgres', 'table who'), $nobody, 'postgresql.conf sets none');
$node->adjust_conf('postgresql.conf', 'saas.identity', undef);
$node->restart;

#
# A pooled login
#
my $who  = 'set role saas_anon; table who; reset role;';
my $pool = open_session($node, 'web');
is(say_to($pool, "begin; set local role saas_user; select saas.authenticate('$ada') is null; table who; commit;"),
	"f\n$of->{org_a} true", 'a request of one tenant');
is(say_to($pool, $who), $nobody, 'leaves nobody to the next');
is(say_to($pool, "begin; set local role saas_user; select saas.authenticate('$bob') is null; table who; rollback; $who"),
	"f\n$of->{org_b} true\n$nobody", 'nor does one that is rolled back');
is(say_to($pool, "set role saas_anon; select saas.authenticate('$ada') is null; $who"), "f\n$nobody",
	'nor a single statement');
like(say_to($pool, "set saas.identity = '$forged';"), qr/permission denied to set parameter/, 'the login forges none');
like(say_to($pool, "reset role; set saas.identity = '$forged';"), qr/permission denied to set parameter/, 'in no role');
is(say_to($pool, 'discard all; ' . $who), $nobody, 'DISCARD ALL leaves nobody');
like(say_to($pool, "begin; set local role saas_user; select saas.authenticate('$ada') is null;"
	  . ' select 1 / 0; commit; ' . $who), qr/division by zero\n\Q$nobody\E$/, 'a failed request leaves nobody');
like(say_to($pool, "begin; set local role saas_user; select saas.authenticate('$ada') is null; prepare transaction 'pool'; $who"),
	qr/^f\n\Q$nobody\E$/, 'PREPARE TRANSACTION leaves nobody');
is(say_to($pool, "set role saas_user; commit prepared 'pool'; $who"), $nobody, 'nor does its commit bring anyone back');
close_session($pool);

#
# Forged tokens, signed with a key that the system trusts
#
sub openssl
{
	my ($input, @arguments) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'openssl', @arguments ], '<', \$input, '>', \$out, '2>', \$err)
	  or die "openssl @arguments: $err";
	return $out;
}

sub new_key
{
	my ($kid) = @_;
	my $file = "$tempdir/$kid.pem";
	openssl('', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', $file);
	my $point = substr openssl('', 'ec', '-in', $file, '-pubout', '-outform', 'DER'), -64;
	return {
		kid  => $kid,
		file => $file,
		jwk  => {
			kty => 'EC', crv => 'P-256', alg => 'ES256', use => 'sig', kid => $kid,
			x   => encode_base64url(substr $point, 0, 32),
			y   => encode_base64url(substr $point, 32) } };
}

# The two numbers of a DER signature, 32 bytes each (RFC 7518, section 3.4).
sub raw_signature
{
	my ($der) = @_;
	my ($r_length) = unpack 'x3 C', $der;
	my ($r, $s) = unpack "x4 a$r_length x C/a", $der;
	return join '', map { substr "\0" x 32 . $_, -32 } $r, $s;
}

sub token
{
	my ($key, $claims, $header) = @_;
	$header = { alg => 'ES256', typ => 'JWT', kid => $key->{kid}, %{ $header || {} } };
	delete @$header{ grep { !defined $header->{$_} } keys %$header };
	my $signed = encode_base64url($json->encode($header)) . '.' . encode_base64url(ref $claims ? $json->encode($claims) : $claims);
	my $signature = raw_signature(openssl($signed, 'dgst', '-sha256', '-sign', $key->{file}, '-binary'));
	return "$signed." . encode_base64url($signature);
}

my $key   = new_key('tap-key');
my $other = new_key('tap-other');
$node->safe_psql('postgres', "insert into saas_private.jwt_key (kid, algorithm, public_jwk, private_key, active_at)"
	  . " select '$key->{kid}', 'ES256', '" . $json->encode($key->{jwk}) . "', private_key, '-infinity' from saas_private.jwt_key");
my $claims = $json->decode(decode_base64url((split /\./, $ada)[1]));
my $bobs   = $json->decode(decode_base64url((split /\./, $bob)[1]));
my $bad    = 'PT401 Invalid or expired token';

sub claims_with
{
	my %with = (%$claims, @_);
	delete @with{ grep { !defined $with{$_} } keys %with };
	return \%with;
}

is(verdict($node, token($key, $claims)), 'accepted owner', 'a token that the test signs is good');
is(verdict($node, token($key, claims_with(org_role => 'viewer', role => 'postgres', permissions => []))), 'accepted owner',
	'the role comes from the membership and not from the token');
is(verdict($node, token($key, claims_with(aud => [ 'x', 'pg_saas' ]))), 'accepted owner', 'the audience may be one of several');
my @refused = (
	[ 'an expired token',                         { exp => time - 3600 } ],
	[ 'a token without an end',                   { exp => undef } ],
	[ 'a token that ends at a word',              { exp => 'never' } ],
	[ 'a token that is not good yet',             { nbf => time + 3600 } ],
	[ 'a token from the future',                  { iat => time + 3600 } ],
	[ 'another issuer\'s token',                  { iss => 'elsewhere' } ],
	[ 'a token without an issuer',                { iss => undef } ],
	[ 'a token for another audience',             { aud => 'elsewhere' } ],
	[ 'a token for other audiences',              { aud => [ 'x', 'y' ] } ],
	[ 'a token for no audience',                  { aud => undef } ],
	[ 'a token of no user',                       { sub => undef } ],
	[ 'a token of a user that is no id',          { sub => 'ada' } ],
	[ 'a token of no session',                    { sid => undef } ],
	[ 'a token of a session that is no id',       { sid => "' or true" } ],
	[ 'a token of another user\'s session',       { sid => $bobs->{sid} } ],
	[ 'a token for an organization that is no id', { org => '*' } ]);
is(verdict($node, token($key, claims_with(%{ $_->[1] }))), $bad, "$_->[0] is refused") foreach @refused;
is(verdict($node, token($key, claims_with(type => 'refresh'))), 'PT401 Invalid token type', 'a token of another type is refused');
is(verdict($node, token($key, claims_with(type => undef))), 'PT401 Invalid token type', 'a token of no type is refused');
is(verdict($node, token($key, claims_with(org => $of->{org_b}))), 'PT401 Invalid organization access',
	'a token for an organization of others is refused');
is(verdict($node, token($key, claims_with(sub => $of->{bob}))), $bad, 'a token for another user with one\'s own session is refused');
is(verdict($node, token($key, claims_with(sub => '00000000-0000-7000-8000-000000000000'))), 'PT401 User not found or inactive',
	'a token of a user who does not exist is refused');
(my $twice = $json->encode($claims)) =~ s/\}$/,"org":"$of->{org_b}"}/;
is(verdict($node, token($key, $twice)), $bad, 'a claim given twice is refused');
is(verdict($node, token($key, '[]')), $bad, 'claims that are no object are refused');
is(verdict($node, token($key, '{')), $bad, 'claims that are no JSON are refused');
is(verdict($node, token($key, claims_with(email => 'x' x 8000))), $bad, 'a token of more than 8 KB is refused');

is(verdict($node, token($other, $claims)), $bad, 'a key that nobody knows is refused');
is(verdict($node, token($other, $claims, { kid => $key->{kid} })), $bad, 'under the name of a known one too');
is(verdict($node, token($other, $claims, { jwk => $other->{jwk} })), $bad, 'a key that the token brings is refused');
is(verdict($node, token($other, $claims, { kid => $key->{kid}, jwk => $other->{jwk} })), $bad, 'under a known name too');
is(verdict($node, token($key, $claims, { kid => undef })), $bad, 'with several keys a token must name its own');
is(verdict($node, token($key, $claims, { crit => ['exp'] })), $bad, 'a critical extension is refused');
is(verdict($node, token($key, $claims, { alg => $_ })), $bad, "alg $_ does not fit the key") foreach qw(none None HS256 RS256 ES384 es256);
my ($head, $body) = map { encode_base64url($json->encode($_)) } { alg => 'none', kid => $key->{kid} }, $claims;
is(verdict($node, "$head.$body."), $bad, 'alg none without a signature is refused');
$head = encode_base64url($json->encode({ alg => 'HS256', typ => 'JWT', kid => $key->{kid} }));
my $public = openssl('', 'ec', '-in', $key->{file}, '-pubout');
foreach my $secret ($public, $json->encode($key->{jwk}), decode_base64url($key->{jwk}{x}), '')
{
	is(verdict($node, "$head.$body." . encode_base64url(hmac_sha256("$head.$body", $secret))), $bad, 'a public key is no secret to sign with');
}
my $good = token($key, $claims);
$node->safe_psql('postgres', "update saas_private.jwt_key set retired_at = now() where kid = '$key->{kid}'");
is(verdict($node, $good), $bad, 'a retired key is refused');
is(verdict($node, $ada), 'accepted owner', 'which leaves the other');

#
# The log says who assumed an identity; tickets count across sessions
#
$node->safe_psql('postgres', 'create role support login; grant saas_operator to support');
my $assume   = "select saas.assume_identity('$of->{ada}', '$of->{org_a}') is null;";
my $assumed  = qr/LOG:  "support" assumes the identity of user $of->{ada} in organization $of->{org_a}/;
my $needs    = qr/an open ticket for the organization is needed/;
my $mail     = $node->safe_psql('postgres', q{select id from saas.outbox where recipient like 'ada@%'});
my $read     = "select saas.read_mail('$mail') ->> 'recipient';";
my $unread   = qr/reading mail needs a superuser or an open ticket/;
$offset = $node->log_size;
$node->safe_psql('postgres', $assume);
like($node->log_since($offset), qr/LOG:  "postgres" assumes the identity of user $of->{ada} in organization $of->{org_a}/,
	'the log says which superuser assumed an identity');
$offset = $node->log_size;
my $opener = open_session($node, 'support');
my $looker = open_session($node, 'support');
like(say_to($looker, $assume), $needs, 'without a ticket no identity');
like(say_to($looker, $read), $unread, 'and no mail');
say_to($opener, "begin; select saas.open_ticket('$of->{org_a}', 'a customer asked');");
like(say_to($opener, 'savepoint s; ' . $assume . ' rollback to s;'), $needs, 'the ticket\'s own transaction cannot use it');
like(say_to($opener, 'savepoint s; ' . $read . ' rollback to s;'), $unread, 'for mail neither');
say_to($opener, "savepoint t; select saas.open_ticket('$of->{org_a}', 'from a subtransaction'); release t;");
like(say_to($opener, 'savepoint s; ' . $read . ' rollback to s;'), $unread, 'nor one of its subtransactions');
like(say_to($looker, $assume), $needs, 'another session does not see it');
say_to($looker, 'begin isolation level repeatable read; select 1;');
say_to($opener, 'commit;');
like(say_to($looker, $assume . ' rollback;'), $needs, 'nor does an older snapshot');
unlike($node->log_since($offset), $assumed, 'the log names no identity that was refused');
is(say_to($looker, "begin; $assume table who; commit; table who;"), "f\n$of->{org_a} true\n$nobody", 'once committed it counts');
like($node->log_since($offset), $assumed, 'and the log says who used it');
is(say_to($looker, $read), 'ada@tap.example', 'it opens the mail of the organization\'s people');
like(say_to($looker, "select saas.assume_identity('$of->{bob}', '$of->{org_b}');"), $needs, 'but not another organization');
$node->safe_psql('postgres', q{update saas_private.ticket set valid_until = clock_timestamp() - interval '1 second'});
like(say_to($looker, $assume), $needs, 'it expires while the session goes on');
like(say_to($looker, $read), $unread, 'for mail too');
close_session($opener);
close_session($looker);

# What is not for clients goes to the log.
$offset = $node->log_size;
my $internal = run_as($node, 'postgres', "\\set VERBOSITY verbose\nset request.method = 'GET'; select saas_private.raise_error('55000', 'the gears are stuck', 'It was Ada.', 'Oil them.')");
like($internal, qr/PGRST.*"internal error"/, 'inside a request an internal error says nothing');
unlike($internal, qr/gears|Ada|Oil/, 'of what it is');
my $logged = $node->log_since($offset);
like($logged, qr/LOG:  request failed with SQLSTATE 55000: the gears are stuck/, 'which the log says');
like($logged, qr/DETAIL:  It was Ada\./, 'with its detail');

#
# A hot standby
#
$node->backup('base');
my $standby = SaasCluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'select pg_is_in_recovery()'), 't', 'the standby is one');
is(run_as($standby, 'web', "begin; set local role saas_user; do \$\$ begin perform saas.authenticate('$ada'); end \$\$;"
	  . ' select pg_current_xact_id_if_assigned() is null; select slug from saas_api.organization; commit; set role saas_anon; table who'),
	"t\ntap-a\n$nobody", 'a standby verifies tokens and shows the organization');
is(run_as($standby, 'postgres', "begin; do \$\$ begin perform saas.assume_identity('$of->{ada}', '$of->{org_a}'); end \$\$; table who; commit"),
	"$of->{org_a} true", 'a superuser assumes an identity there');
is(verdict($standby, substr($ada, 0, -8) . 'AAAAAAAA'), $bad, 'a tampered token is refused there');
my $sign_in_there = run_as($standby, 'web', "set role saas_anon; select saas_api.sign_in('ada\@tap.example', 'correct horse')");
like($sign_in_there, qr/ERROR: +Sign-in is not possible on a standby/, 'nobody signs in there');
unlike($sign_in_there, qr/access_token/, 'or gets a token');
is($standby->safe_psql('postgres', q{select count(*) from pg_stat_activity where backend_type in ('pg_saas launcher', 'pg_saas poller')}), '0',
	'no poller runs there');
$node->safe_psql('postgres', q{update saas_private.session set ended_at = now() where user_id = '} . $of->{ada} . q{'});
$node->wait_for_catchup($standby);
is(verdict($standby, $ada), $bad, 'a session that ended on the primary has ended there');
is(verdict($standby, $bob), 'accepted owner', 'and no other');
$standby->promote;
ok($standby->poll_query_until('postgres', q{select count(*) = 1 from pg_stat_activity where backend_type = 'pg_saas launcher'}),
	'after a promotion the launcher runs');
unlike($standby->safe_psql('postgres', "select saas_api.sign_in('ada\@tap.example', 'correct horse') ->> 'access_token'"), qr/^$/,
	'and people sign in');
$standby->stop;

#
# A cluster that knew the setting before it knew the library
#
my $bare = SaasCluster->create('bare', preload => '');
$bare->start;
my $needs_preload = qr/pg_saas must be loaded via "shared_preload_libraries"/;
my $said = run_as($bare, 'postgres', 'create extension pg_saas cascade');
like($said, $needs_preload, 'without the preload CREATE EXTENSION says what is missing');
like($said, qr/HINT:  Add pg_saas to shared_preload_libraries and restart the server/, 'and what to do');
like(run_as($bare, 'postgres', "load 'pg_saas'"), $needs_preload, 'so does LOAD');
like(run_as($bare, 'postgres', "set saas.identity = '$forged'; load 'pg_saas'; show saas.identity; load 'pg_saas'"), $needs_preload,
	'also after a placeholder was set');
like(run_as($bare, 'postgres', "create function f(text) returns void language c as 'pg_saas', 'pg_saas_authenticate'"), $needs_preload,
	'so does a function of the library');
{
	local $ENV{PGOPTIONS} = '-c session_preload_libraries=pg_saas';
	my ($status, $out, $err) = $bare->psql('postgres', 'select 1');
	isnt($status, 0, 'loading it for a session fails');
	like($err, $needs_preload, 'for the same reason');
}
$bare->safe_psql('postgres', qq{
	create role app login;
	create role everywhere login;
	alter role app set saas.identity = '$forged';
	alter role app in database postgres set saas.identity = '$forged';
	alter database postgres set saas.identity = '$forged';
	alter role all set saas.identity = '$forged'});
is($bare->safe_psql('postgres', 'show saas.identity'), $forged, 'a setting without a library holds anything');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_saas'");
$bare->restart;
$bare->install('postgres');
my $there = people($bare);
is($bare->safe_psql('postgres', q{select count(*) from pg_db_role_setting where setconfig::text like '%saas.identity%'}), '4',
	'the values are stored still');
$bare->safe_psql('postgres', 'grant saas_anon, saas_user to app, everywhere');
foreach my $user ('app', 'everywhere', 'postgres')
{
	my ($status, $out, $err) = $bare->psql('postgres', 'table who', connstr => connstr($bare, $user));
	is($out, $nobody, "what was stored before the library came gives $user no identity");
	like($err, qr/WARNING:  parameter "saas\.identity" cannot be set/, 'and the session is told so');
}
my $force = $bare->safe_psql('postgres', q{select name from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query')});
my $theirs = sign_in($bare, 'ada');
is(run_as_quietly($bare, 'app', "set $force = on; table who"), $nobody, 'a parallel worker takes no stored identity either');
is(run_as_quietly($bare, 'app', "set $force = on; begin; set local role saas_user; do \$\$ begin perform saas.authenticate('$theirs'); end \$\$; table who; commit; table who"),
	"$there->{org_a} true\n$nobody", 'and takes the real one');

sub run_as_quietly
{
	my ($cluster, $user, $sql) = @_;
	my ($status, $out, $err) = $cluster->psql('postgres', $sql, connstr => connstr($cluster, $user), on_error_stop => 1);
	return $status == 0 ? $out : $err;
}

#
# Another cluster's tokens
#
is(verdict($bare, $theirs), 'accepted owner', 'a cluster takes its own tokens');
is(verdict($bare, $bob), $bad, 'but not another cluster\'s');
is(verdict($node, $theirs), $bad, 'nor the other way around');

done_testing();
