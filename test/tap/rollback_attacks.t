# What must survive a failed attempt does: the caller of an HTTP layer makes the
# statement fail after the outcome is known, so that everything is rolled back.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha1);
use IO::Socket::INET;
use JSON::PP ();
use SaasCluster;
use SaasGateway;
use SaasTenant;
use Test::More;

my $password = 'correct horse';

# An address of this machine that is not loopback's: loopback is taken for a
# proxy that everybody comes through.  No datagram is sent.
sub own_address
{
	my $socket = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '192.0.2.1', PeerPort => 9);
	my $address = $socket ? $socket->sockhost : '127.0.0.1';
	return $address =~ /^(127|0)\./ ? undef : $address;
}
my $address = own_address();

my $node = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off', 'saas.bcrypt_cost' => 10 });
if (defined $address)
{
	$node->append_conf('postgresql.conf', "listen_addresses = '$address'");
	$node->append_conf('pg_hba.conf', "host all authenticator $address/32 trust");
}
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');

sub sql { return $node->safe_psql('postgres', @_); }

# What the worker writes within seconds.
sub is_written { return ok($node->poll_query_until('postgres', $_[0]), $_[1]); }

sub person
{
	my ($name) = @_;
	sql("do \$\$ begin perform saas_api.sign_up('$name\@example.com', '$password', 'Ada', 'Tester'); "
		  . "perform saas.confirm_user(u.id) from saas.app_user u where u.email = '$name\@example.com'; end \$\$");
	return "$name\@example.com";
}
my $owner = person('owner');
sql("select saas_api.sign_in('$owner', '$password')");
my $gateway = SaasGateway->start($node, 'postgres');

sub bearer { return { authorization => "Bearer $_[0]" }; }

# A call that stays, its answer or "status message".
sub call
{
	my ($function, $body, $headers) = @_;
	my $answer = $gateway->call(POST => "/rpc/$function", $body, $headers);
	return $answer->{status} == 200 ? $answer->{json} : said($answer);
}
sub said { return "$_[0]{status} " . ($_[0]{json}{message} // ''); }

# One that is undone by a filter on a field of the answer, which fails when there is one.
sub undone
{
	my ($function, $field, $body, $headers) = @_;
	return said($gateway->call(POST => "/rpc/$function?pgrst_scalar->>$field=like.%5C", $body, $headers));
}

# One that is undone by a cast of that field, whose error prints it.
sub printed
{
	my ($function, $field, $body, $headers) = @_;
	my $answer = $gateway->call(POST => "/rpc/$function?select=pgrst_scalar:pgrst_scalar->>$field\::int", $body, $headers);
	return ($answer->{json}{message} // '') =~ /^invalid input syntax for type integer: "(.*)"$/ ? $1 : said($answer);
}

sub sign_in { return call('sign_in', { email => $_[0], password => $_[1] // $password }); }

my $credentials = '401 Invalid credentials';
my $throttled   = '429 Too many attempts';
my $no_token    = '401 Invalid or expired token';
my $no_link     = '400 invalid or expired token';
my $no_code     = '400 invalid or expired code';
my $no_factor   = '401 Invalid code';
my $undone      = '400 LIKE pattern must not end with escape character';

# Whether so many attempts are counted.  The wait is a day's, so that the time
# that has passed does not matter.
sub counted
{
	my ($kind, $subject, $count) = @_;
	return sql("select saas_private.take_attempt('$kind', $subject, $count, '1 day', '1 day', '1 day') > 0") eq 't';
}

# Many more, after which the next one waits for minutes.
sub count_more
{
	my ($kind, $subject) = @_;
	sql("select saas_private.take_attempt('$kind', $subject, 1000, '1 second', '1 second', '1 hour') from generate_series(1, 20)");
	return;
}

sub user_id { return sql("select id from saas.app_user where email = '$_[0]'"); }

# What the newest mail to an address holds: token or code.
sub mailed
{
	my ($address, $what) = @_;
	return sql("select saas.read_mail(id) ->> '$what' from saas.outbox where recipient = '$address' order by id desc limit 1");
}

sub is_verified { return sql("select email_verified_at is not null from saas.app_user where email = '$_[0]'"); }

#
# Passwords
#
my $ada     = person('ada');
my $subject = "saas_private.email_subject('$ada')";
is(undone('sign_in', 'token_type', { email => $ada, password => "wrong $_" }), $credentials, "wrong password $_") foreach 1 .. 5;
ok(counted('sign_in', $subject, 5), 'each is counted');
count_more('sign_in', $subject);
is(sign_in($ada), $throttled, 'and more of them keep even the right one out');

my $bob = person('bob');
is(undone('sign_in', 'token_type', { email => $bob, password => $password }), $undone, 'the right password, undone');
is(sql("select count(*) from saas_private.session where user_id = '" . user_id($bob) . "'"), 0, 'starts no session');
my $token = printed('sign_in', 'access_token', { email => $bob, password => $password });
like($token, qr/^eyJ/, 'a cast prints the access token');
is(call('me', {}, bearer($token)), $no_token, 'of a session that is none');
is(call('refresh_session', { refresh_token => printed('sign_in', 'refresh_token', { email => $bob, password => $password }) }),
	$no_token, 'and so is the refresh token');
my $bobs = sign_in($bob);
is(undone('change_password', 'message', { current_password => "wrong $_", new_password => 'new horse battery' },
		bearer($bobs->{access_token})), '400 invalid password', "the own password, wrong $_") foreach 1 .. 5;
ok(counted('own_password', "'" . user_id($bob) . "'", 5), 'each is counted');

#
# Clients
#
SKIP:
{
	skip 'this machine has no address but loopback\'s', 153 unless defined $address;
	my $remote = SaasGateway->start($node, 'postgres', '--conninfo',
		"host=$address port=" . $node->port . ' dbname=postgres user=authenticator');
	foreach my $case (
		[ 'sign_in', 'sign_in_client', { password => 'wrong' }, $credentials, 'token_type' ],
		[ 'request_password_reset', 'mail_client', {}, $undone, 'message' ],
		[ 'verify_email_code', 'verify_client', { code => '123456' }, $no_code, 'message' ])
	{
		my ($function, $kind, $body, $expected, $field) = @$case;
		foreach my $n (1 .. 50)
		{
			is(said($remote->call(POST => "/rpc/$function?pgrst_scalar->>$field=like.%5C", { %$body, email => "nobody$n\@example.com" })),
				$expected, "$function for address $n");
		}
		ok(counted($kind, "'$address'", 50), "the client's calls of $function are counted");
	}
	$remote->stop;
}

#
# Second factors
#
sub unbase32
{
	my ($digits) = @_;
	my $bits = join '', map { sprintf '%05b', index 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', $_ } split //, $digits;
	return pack 'B*', substr $bits, 0, 8 * int(length($bits) / 8);
}

sub totp
{
	my ($secret) = @_;
	my $digest = hmac_sha1(pack('Q>', int(time / 30)), unbase32($secret));
	my $chosen = ord(substr $digest, 19) & 15;
	return sprintf '%06d', (unpack('N', substr $digest, $chosen, 4) & 0x7fffffff) % 1_000_000;
}

my $cy      = person('cy');
my $cys     = bearer(sign_in($cy)->{access_token});
my $cys_id  = user_id($cy);
my $secret  = call('begin_second_factor', { password => $password }, $cys)->{secret};
is(undone('confirm_second_factor', 'recovery_codes', { code => totp($secret) }, $cys), $undone, 'a confirmation, undone');
is(call('second_factor', {}, $cys)->{is_on}, JSON::PP::false, 'turns nothing on');
# As if the step were over.
my $next_step = "update saas_private.second_factor set id = saas.uuidv7(), last_step = -1 where user_id = '$cys_id'";
sql($next_step);
my @codes = @{ call('confirm_second_factor', { code => totp($secret) }, $cys)->{recovery_codes} };
sql($next_step);

sub challenge { return sign_in($cy)->{challenge}; }

my $challenge = challenge();
my $code      = totp($secret);
$token = printed('verify_second_factor', 'access_token', { challenge => $challenge, code => $code });
like($token, qr/^eyJ/, 'a cast prints what a code has opened');
is(call('me', {}, bearer($token)), $no_token, 'which is no session');
is(call('verify_second_factor', { challenge => $challenge, code => $codes[9] }), '401 Invalid or expired challenge',
	'its challenge is used up');
is(call('verify_second_factor', { challenge => challenge(), code => $code }), $no_factor, 'and so is the code');
is(undone('verify_second_factor', 'token_type', { challenge => challenge(), code => $codes[0] }), $undone, 'a recovery code, undone');
is(call('verify_second_factor', { challenge => challenge(), code => $codes[0] }), $no_factor, 'is used up');
is(undone('new_recovery_codes', 'recovery_codes', { code => $codes[1] }, $cys), $undone, 'one for new codes, undone');
is(call('new_recovery_codes', { code => $codes[1] }, $cys), '400 invalid code', 'is used up too');
is(undone('disable_second_factor', 'message', { code => $codes[2] }, $cys), $undone, 'one to turn it off, undone');
is(call('disable_second_factor', { code => $codes[2] }, $cys), '400 invalid password or code', 'likewise');
is(call('second_factor', {}, $cys)->{is_on}, JSON::PP::true, 'it is still on');

sql("select saas_private.forget_attempts('second_factor', '$cys_id')");
$challenge = challenge();
is(undone('verify_second_factor', 'token_type', { challenge => $challenge, code => "wrong $_" }), $no_factor, "wrong code $_")
  foreach 1 .. 5;
is(call('verify_second_factor', { challenge => $challenge, code => $codes[3] }), '401 Invalid or expired challenge',
	'was the last of the challenge');
ok(counted('second_factor', "'$cys_id'", 5), 'and each is counted for the person');
count_more('second_factor', "'$cys_id'");
is(call('verify_second_factor', { challenge => challenge(), code => $codes[3] }), $throttled,
	'whom more of them keep from another challenge');

#
# Links and codes of mails
#
my $dee = 'dee@example.com';
is(undone('sign_up', 'message', { email => $dee, password => $password, first_name => 'Dee', last_name => 'Tester' }),
	$undone, 'a sign-up, undone');
is(sql("select (select count(*) from saas.app_user where email = '$dee') + (select count(*) from saas.outbox where recipient = '$dee')"),
	0, 'leaves no account and no mail');
call('sign_up', { email => $dee, password => $password, first_name => 'Dee', last_name => 'Tester' });
ok(counted('mail', "saas_private.email_subject('$dee')", 2), 'but counts');
is(undone('verify_email_code', 'message', { email => $dee, code => "wrong $_" }), $no_code, "wrong mailed code $_") foreach 1 .. 5;
is(call('verify_email_code', { email => $dee, code => mailed($dee, 'code') }), $no_code, 'end it');
sql("select saas_private.forget_attempts('mail', saas_private.email_subject('$dee'))");
call('resend_verification', { email => $dee });
is(undone('verify_email_code', 'message', { email => $dee, code => mailed($dee, 'code') }), $undone, 'the right one, undone');
is(undone('verify_email', 'message', { token => mailed($dee, 'token') }), $undone, 'the link, undone');
is(is_verified($dee), 'f', 'prove nothing');
is(call('verify_email', { token => mailed($dee, 'token') })->{message}, 'Email verified.', 'the link is still good');
is(is_verified($dee), 't', 'and proves the address');
is(call('verify_email', { token => mailed($dee, 'token') }), $no_link, 'once');
is(call('verify_email_code', { email => $dee, code => mailed($dee, 'code') }), $no_code, 'and ends the code');

my $eve   = person('eve');
my $eves  = bearer(sign_in($eve)->{access_token});
call('request_password_reset', { email => $eve });
my $link = mailed($eve, 'token');
is(call('reset_password', { token => $link, new_password => 'password' }), '400 invalid password', 'a weak password');
is(undone('reset_password', 'message', { token => $link, new_password => 'new horse battery' }), $undone, 'a reset, undone');
is(call('me', {}, $eves)->{user}{email}, $eve, 'ends no session');
is(call('reset_password', { token => $link, new_password => 'new horse battery' }), $no_link, 'but the link is used up');
is(ref sign_in($eve), 'HASH', 'the password is the old one');
is(undone('sign_in', 'token_type', { email => $eve, password => 'wrong' }), $credentials, 'a wrong password');
is(undone('reset_password', 'message', { token => $link, new_password => 'new horse battery' }), $no_link, 'the link again');
ok(counted('sign_in', "saas_private.email_subject('$eve')", 1), 'has the attempt forgotten no more');

#
# Refresh tokens
#
my $fay    = person('fay');
my $stolen = sign_in($fay);
my $thiefs = printed('refresh_session', 'access_token', { refresh_token => $stolen->{refresh_token} });
like($thiefs, qr/^eyJ/, 'a thief has an access token printed');
is(ref call('me', {}, bearer($thiefs)), 'HASH', 'which is good');
my $by_token = "where token_hash = saas_private.token_hash('$stolen->{refresh_token}')";
is_written("select rotated_at is not null from saas_private.refresh_token $by_token", 'but the refresh token is used up');
sql("update saas_private.refresh_token set rotated_at = clock_timestamp() - interval '11 seconds' $by_token");
is(call('refresh_session', { refresh_token => $stolen->{refresh_token} }), $no_token, 'the owner\'s refresh raises the alarm');
is(call('me', {}, bearer($thiefs)), $no_token, 'and the thief is out');

my $guy   = person('guy');
my $first = sign_in($guy);
my $next  = call('refresh_session', { refresh_token => $first->{refresh_token} });
$next = call('refresh_session', { refresh_token => $next->{refresh_token} });
is(undone('refresh_session', 'token_type', { refresh_token => $first->{refresh_token} }), $no_token, 'reuse');
is(call('me', {}, bearer($next->{access_token})), $no_token, 'ends the session at once');
is(call('refresh_session', { refresh_token => $next->{refresh_token} }), $no_token, 'with its newest token');

#
# What the worker has written outlasts a restart.
#
is_written(q{select string_agg(distinct outcome, ' ' order by outcome)
	= 'invalid_credentials invalid_second_factor locked_out reuse success wrong_own_password' from saas.sign_ins()},
	'the log has seen it all');
is_written("select count(used_at) = 3 from saas_private.recovery_code where user_id = '$cys_id'", 'and the codes that were used');
is_written(q{select sum(used) = 0 from saas.limits_status() where memory in ('ended sessions', 'refreshed sessions')},
	'and the sessions');
$gateway->stop;
$node->restart;
$gateway = SaasGateway->start($node, 'postgres');
is(call('verify_second_factor', { challenge => challenge(), code => $codes[$_] }), $no_factor, "recovery code $_ is still used up")
  foreach 0 .. 2;
is(call('me', {}, bearer($_->{access_token})), $no_token, 'an ended session stays ended') foreach $stolen, $next;
is(ref call('verify_second_factor', { challenge => challenge(), code => $codes[4] }), 'HASH', 'what was not used is good');

$gateway->stop;
$node->stop;
done_testing();
