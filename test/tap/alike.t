# Whether an address has an account: answers are the same to the byte, and every
# path does the same costly work.  How long they take is reported and decides
# nothing: a busy machine would.
use strict;
use warnings;

use SaasCluster;
use SaasGateway;
use Test::More;
use Time::HiRes qw(time);

my $runs     = 9;
my $password = 'correct horse';
my $node     = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off', 'saas.bcrypt_cost' => 10 });
$node->start;
$node->install('postgres');
SaasGateway->prepare($node, 'postgres');

sub sql { return $node->safe_psql('postgres', @_); }

# known: verified.  inactive: deactivated.  waiting: not verified.  cheap: its
# hash was made at a lower cost than the one of now.
sql("set saas.bcrypt_cost = 10; do \$\$ begin perform saas_api.sign_up(n || '\@example.com', '$password', 'Ada', 'Tester')"
	  . " from unnest(array['known', 'inactive', 'waiting', 'cheap']) n;"
	  . " perform saas.confirm_user(u.id) from saas.app_user u where u.email <> 'waiting\@example.com';"
	  . " perform saas.deactivate_user(u.id) from saas.app_user u where u.email = 'inactive\@example.com'; end \$\$;"
	  . " select saas_api.sign_in('known\@example.com', '$password')");
sql(q{update saas_private.password p set hash = crypt('correct horse', gen_salt('bf', 6))
	from saas.app_user u where u.id = p.user_id and u.email = 'cheap@example.com'});
my $gateway = SaasGateway->start($node, 'postgres');

my %path = (
	sign_in => {
		body => { password => 'wrong horse' },
		who  => [qw(unknown inactive known waiting cheap)] },
	request_password_reset => { body => {}, who => [qw(unknown inactive known waiting cheap)] },
	resend_verification    => { body => {}, who => [qw(unknown inactive known waiting)] },
	sign_up                => {
		body => { password => $password, first_name => 'Ada', last_name => 'Tester' },
		who  => [qw(unknown inactive known waiting)] });

# Nobody is throttled, and unknown addresses stay unknown.
sub forget
{
	sql(q{select saas_private.forget_attempts(kind, saas_private.email_subject(name || '@example.com'))
		from unnest(array['sign_in', 'mail']) kind, unnest(array['unknown', 'inactive', 'known', 'waiting', 'cheap']) name;
		delete from saas.organization o using saas.membership m, saas.app_user u
		 where m.org_id = o.id and u.id = m.user_id and u.email = 'unknown@example.com';
		delete from saas.app_user where email = 'unknown@example.com'});
	return;
}

# All that the client is told but what names the request and the time.
sub told
{
	my ($answer) = @_;
	my %headers = %{ $answer->{headers} };
	delete @headers{qw(x-request-id date)};
	return join "\n", "$answer->{status} $answer->{reason}", (map { "$_: $headers{$_}" } sort keys %headers), '', $answer->{content};
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ]; }

# How often one of the first took longer than one of the second: 0.5 is alike.
sub rank
{
	my ($these, $those) = @_;
	my $longer = 0;
	foreach my $this (@$these)
	{
		$longer += $this > $_ ? 1 : $this == $_ ? 0.5 : 0 foreach @$those;
	}
	return $longer / (@$these * @$those);
}

foreach my $function (sort keys %path)
{
	my ($body, $who) = @{ $path{$function} }{qw(body who)};
	my (%took, %told);
	foreach my $run (1 .. $runs)
	{
		# In turns, each run in another order.
		foreach my $name (map { $who->[ ($_ + $run) % @$who ] } 0 .. $#$who)
		{
			forget();
			my $began = time;
			my $answer = $gateway->call(POST => "/rpc/$function", { %$body, email => "$name\@example.com" });
			push @{ $took{$name} }, 1000 * (time - $began);
			$told{$name}{ told($answer) } = 1;
		}
	}
	foreach my $name (@$who)
	{
		is_deeply([ keys %{ $told{$name} } ], [ keys %{ $told{unknown} } ], "$function answers $name as unknown, to the byte");
		note(sprintf '%-24s %-9s median %6.1f ms, longer than unknown in %.2f of pairs',
			$function, $name, median(@{ $took{$name} }), rank($took{$name}, $took{unknown}));
	}
	is(scalar keys %{ $told{unknown} }, 1, "$function has one answer");
}

#
# Work: how often each path calls what is costly
#
sql(q{create function calls_of(statement text) returns text language plpgsql as $$
	declare
		state text;
	begin
		begin
			execute statement;
		exception when others then
			null;
		end;
		return (select string_agg(f.funcname || ' ' || f.calls, ', ' order by f.funcname collate "C")
		          from pg_stat_xact_user_functions f
		         where f.funcname in ('check_password', 'hash_password', 'wait_until', 'note', 'take_attempt', 'answer_alike')
		            or (f.funcname in ('use_once', 'platform_hash', 'queue_mail') and statement ~ 'sign_in'));
	end $$});
my %work = (
	sign_in                => 'check_password 1, note 1, platform_hash 1, take_attempt 1, wait_until 1',
	request_password_reset => 'answer_alike 1, take_attempt 1, wait_until 1',
	resend_verification    => 'answer_alike 1, take_attempt 1, wait_until 1',
	sign_up                => 'answer_alike 1, hash_password 1, take_attempt 1, wait_until 1');
my %arguments = (
	sign_in => "'wrong horse'", sign_up => "'$password', 'Ada', 'Tester'");
foreach my $function (sort keys %path)
{
	foreach my $name (@{ $path{$function}{who} })
	{
		forget();
		my $call = join ', ', "''$name\@example.com''", map { s/'/''/gr } grep { defined } $arguments{$function};
		is(sql("set track_functions = 'all'; begin; select calls_of('select saas_api.$function($call)'); rollback"),
			$work{$function}, "$function does the same work for $name");
	}
}
# The sixth try is refused before anything is compared, and the refusal noted.
foreach my $name (qw(unknown known))
{
	sql("select saas_private.take_attempt('sign_in', saas_private.email_subject('$name\@example.com'), 1000, '1 second', '1 second', '1 hour') from generate_series(1, 20)");
	is(sql("set track_functions = 'all'; begin; select calls_of('select saas_api.sign_in(''$name\@example.com'', ''wrong horse'')'); rollback"),
		'note 1, platform_hash 1, take_attempt 1, use_once 1', "a throttled sign-in does the same work for $name");
}

$gateway->stop;
$node->stop;
done_testing();
