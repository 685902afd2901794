# Rotation of the token keys across sessions: every session follows with its
# next transaction, whatever it had cached; PostgREST is told.
use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 qw(decode_base64url);
use SaasCluster;
use SaasSession;
use Test::More;

my $node = SaasCluster->create('token_keys', settings => { max_prepared_transactions => 5 });
$node->start;
$node->install('postgres');
my $bad  = 'PT401 Invalid or expired token';

sub kid_of
{
	my ($token) = @_;
	return JSON::PP::decode_json(decode_base64url((split /\./, $token)[0]))->{kid};
}

$node->safe_psql('postgres', q{
	create function verdict(token text) returns text language plpgsql as $$
	begin
		perform saas.authenticate(token);
		raise exception using errcode = 'ZZ000';
	exception
		when sqlstate 'ZZ000' then return 'accepted';
		when others then return sqlstate || ' ' || sqlerrm;
	end $$;
	create table public.scene (user_id uuid, org_id uuid, session_id uuid);
	create function issue() returns text language sql as
		$$ select saas_private.issue_access_token(user_id, session_id, org_id) ->> 'access_token' from public.scene $$;
	select saas_api.sign_up('ada@example.com', 'correct horse', 'Ada', 'Example');
	select saas.confirm_user(id) from saas.app_user;
	select saas_api.sign_in('ada@example.com', 'correct horse') is not null;
	insert into public.scene select s.user_id, s.active_org_id, s.id from saas_private.session s});

my $user     = open_session($node);
my $operator = open_session($node);
my $old      = say_to($user, 'select issue();');
my $verdict  = "select verdict('$old');";
is(say_to($user, $verdict), 'accepted', 'a session signs and verifies, and caches the key');
say_to($user, 'listen pgrst;');

my $kid = say_to($operator, "begin; select saas.rotate_token_keys('0');");
isnt($kid, kid_of($old), 'another session rotates and has not committed');
is(kid_of(say_to($user, 'select issue();')), kid_of($old), 'the first signs as before');
say_to($operator, 'rollback;');
is(kid_of(say_to($user, 'select issue();')), kid_of($old), 'also when the other rolls back');
is(say_to($user, $verdict), 'accepted', 'and its token is good');

like(say_to($operator, "begin; select saas.rotate_token_keys('0'); prepare transaction 'p';"), qr/cannot PREPARE a transaction/,
	'a rotation cannot be prepared, for nobody would hear of its commit');

say_to($user, 'begin isolation level repeatable read; select count(*) from saas_private.jwt_key;');
$kid = say_to($operator, "select saas.rotate_token_keys('0', '1 hour');");
is(kid_of(say_to($user, 'select issue();')), $kid, 'a committed rotation is seen at once, even by an older snapshot');
like(say_to($user, 'commit;'), qr/Asynchronous notification "pgrst" with payload "reload config"/, 'PostgREST is told');
my $new = say_to($user, 'select issue();');
is(kid_of($new), $kid, 'and by the next transaction');
is(say_to($user, $verdict), 'accepted', 'the old token is good during the overlap');
is(say_to($operator, "select verdict('$new');"), 'accepted', 'the new one too');

say_to($user, 'unlisten pgrst;');
say_to($operator, "select saas.retire_token_key('" . kid_of($old) . "');");
is(say_to($user, $verdict), $bad, 'once the old key is retired its token is refused in a session that had the key');
is(say_to($user, "select verdict('$new');"), 'accepted', 'and the new one is good');
is(say_to($operator, "select verdict('$new');"), 'accepted', 'everywhere');

say_to($operator, "set saas.jwt_algorithm = 'HS256'; select saas.rotate_token_keys('0');");
my $secret = say_to($user, 'select issue();');
is(JSON::PP::decode_json(decode_base64url((split /\./, $secret)[0]))->{alg}, 'HS256', 'another session signs with the new secret');
is(say_to($user, "select verdict('$secret');"), 'accepted', 'and verifies');
$node->restart;
is($node->safe_psql('postgres', "select verdict('$_')"), 'accepted', 'tokens outlive a restart') foreach $new, $secret;

unlike($node->log_since(0), qr/"k":"|BEGIN PRIVATE KEY/, 'the log has no key');
done_testing();
