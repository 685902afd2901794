# PostGraphile from npm as the HTTP layer: two tenants see only their rows
# through GraphQL, and a forged token is refused inside the transaction.
use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP ();
use MIME::Base64 qw(encode_base64url decode_base64url);
use POSIX ();
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasTenant;
use Test::More;
use Time::HiRes qw(time);

my $json  = JSON::PP->new->canonical->utf8;
my $state = PostgreSQL::Test::Utils::tempdir() . '/postgraphile';
my $node  = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off', 'saas.bcrypt_cost' => 10 });
$node->start;
$node->install('postgres');
$node->safe_psql('postgres', q{
	create role authenticator login noinherit;
	grant saas_anon, saas_user to authenticator;
});
my %tenant = map { $_ => SaasTenant->create($node, 'postgres', $_) } qw(Acme Globex);
$tenant{$_}->connect('prometheus', "$_ exporter", { url => 'https://192.0.2.1/metrics' }) foreach keys %tenant;

my $url = sprintf 'postgresql://authenticator@/postgres?host=%s&port=%d', $node->host, $node->port;
my $log = "$PostgreSQL::Test::Utils::log_path/postgraphile.log";
my $pid = fork;
die "fork: $!" unless defined $pid;
if (!$pid)
{
	open STDIN,  '<',  '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>&', \*STDOUT;
	{
		exec 'node', 'test/peers/postgraphile/server.js', $url, $state;
	}
	POSIX::_exit(127);
}
END
{
	my $status = $?;
	if ($pid)
	{
		kill 'TERM', $pid;
		waitpid $pid, 0;
	}
	$? = $status;
}

my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until (-e $state)
{
	die "PostGraphile did not start:\n" . PostgreSQL::Test::Utils::slurp_file($log)
	  if waitpid($pid, POSIX::WNOHANG()) == $pid || time > $deadline;
	select undef, undef, undef, 0.05;
}
my $port = PostgreSQL::Test::Utils::slurp_file($state);

# The answer to a GraphQL document.
sub ask
{
	my ($query, $token) = @_;
	my %headers = ('content-type' => 'application/json');
	$headers{authorization} = "Bearer $token" if defined $token;
	my $answer = HTTP::Tiny->new(timeout => $PostgreSQL::Test::Utils::timeout_default)
	  ->post("http://127.0.0.1:$port/graphql", { headers => \%headers, content => $json->encode({ query => $query }) });
	return eval { $json->decode($answer->{content}) } || { errors => [ { message => $answer->{content} } ] };
}

sub words { return join '; ', map { $_->{message} } @{ $_[0]->{errors} || [] }; }

my %token;
foreach my $name (sort keys %tenant)
{
	my $answer = ask(sprintf 'mutation { signIn(input: {email: "%s", password: "%s"}) { json } }',
		$tenant{$name}->email, $tenant{$name}->password);
	is(words($answer), '', "$name signs in");
	my $session = $answer->{data}{signIn}{json};
	$session = $json->decode($session) unless ref $session;
	$token{$name} = $session->{access_token};
}

my $connections = '{ allConnections { nodes { name orgId } } }';
foreach my $turn (1 .. 2)
{
	foreach my $name (sort keys %tenant)
	{
		my $answer = ask($connections, $token{$name});
		is(words($answer), '', "$name asks, turn $turn");
		is_deeply($answer->{data}{allConnections}{nodes},
			[ { name => "$name exporter", orgId => $tenant{$name}->org_id } ], "$name sees its rows only, turn $turn");
		my $nobody = ask($connections);
		like(words($nobody), qr/permission denied/, "nobody is refused after $name");
		is($nobody->{data} && $nobody->{data}{allConnections}, undef, "and sees nothing after $name");
	}
}
is(words(ask('{ me }', $token{Acme})), '', 'a function answers');

my ($head, $payload, $signature) = split /\./, $token{Acme};
my %claims = (%{ $json->decode(decode_base64url($payload)) }, org => $tenant{Globex}->org_id);
my $forged = join '.', $head, encode_base64url($json->encode(\%claims), ''), $signature;
my $answer = ask($connections, $forged);
like(words($answer), qr/Invalid or expired token/, 'a forged organization is refused');
is($answer->{data}{allConnections}, undef, 'with no row');
like(words(ask($connections, 'x')), qr/Invalid or expired token/, 'a word is no token');
like(words(ask('mutation { signOut(input: {}) { json } }', $forged)), qr/Invalid or expired token/, 'nor does a mutation run with one');

is(words(ask('mutation { signOut(input: {}) { json } }', $token{Acme})), '', 'signing out');
like(words(ask($connections, $token{Acme})), qr/Invalid or expired token/, 'counts with the next request');
done_testing();
