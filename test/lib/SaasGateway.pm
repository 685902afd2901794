
=pod

=head1 NAME

SaasGateway - starts test/gateway/gateway, the double of PostgREST

=head1 SYNOPSIS

  use SaasGateway;

  SaasGateway->prepare($node, 'postgres');    # the role authenticator
  my $gateway = SaasGateway->start($node, 'postgres', '--trust');
  my $answer = $gateway->call(POST => '/rpc/sign_in', { email => ..., password => ... });
  my $answer = $gateway->call(GET => '/connections?select=id', undef, { authorization => "Bearer $token" });
  $answer->{status}, $answer->{headers}{'x-request-id'}, $answer->{json}

What still runs when the test ends is stopped.

=cut

package SaasGateway;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time);

my $home  = dirname(__FILE__) . '/../gateway';
my $json  = JSON::PP->new->canonical->allow_nonref->utf8;
my $count = 0;
my %running;

=pod

=over

=item SaasGateway->prepare($node, $database)

The login role and the grants of docs/postgrest.md.

=cut

sub prepare
{
	my ($class, $node, $database) = @_;
	$node->safe_psql($database, q{
		create role authenticator login noinherit;
		grant saas_anon, saas_user to authenticator;
		grant usage on schema saas to authenticator;
		grant execute on function saas.postgrest_config() to authenticator;
	});
	return;
}

=pod

=item SaasGateway->start($node, $database, @options)

Returns once it listens.  It reads keys and functions at its start, so somebody
must have signed in before.

=cut

sub start
{
	my ($class, $node, $database, @options) = @_;
	my $state = PostgreSQL::Test::Utils::tempdir() . '/gateway' . ++$count . '.json';
	my $log   = "$PostgreSQL::Test::Utils::log_path/gateway_${$}_$count.log";
	my $pid   = fork;
	croak "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		{
			exec '/usr/bin/python3', "$home/gateway", '--state', $state, '--conninfo',
			  $node->connstr($database) . ' user=authenticator', @options;
		}
		POSIX::_exit(127);
	}
	my $self = bless { pid => $pid }, $class;
	$running{$pid} = $self;

	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (-e $state)
	{
		if (waitpid($pid, POSIX::WNOHANG()) == $pid || time > $deadline)
		{
			delete $running{$pid};
			kill 'KILL', $pid;
			croak "the gateway did not start:\n" . PostgreSQL::Test::Utils::slurp_file($log);
		}
		select undef, undef, undef, 0.02;
	}
	$self->{port} = $json->decode(PostgreSQL::Test::Utils::slurp_file($state))->{port};
	return $self;
}

sub port { return $_[0]->{port}; }

=pod

=item $gateway->call($method, $target, \%body, \%headers)

{ status, reason, headers (lower-case names), content, json }

=cut

sub call
{
	my ($self, $method, $target, $body, $headers) = @_;
	my %options = (headers => { 'content-type' => 'application/json', %{ $headers || {} } });
	$options{content} = $json->encode($body) if defined $body;
	my $answer = HTTP::Tiny->new(timeout => $PostgreSQL::Test::Utils::timeout_default)
	  ->request($method, "http://127.0.0.1:$self->{port}$target", \%options);
	$answer->{json} = eval { $json->decode($answer->{content}) };
	return $answer;
}

=pod

=item $gateway->stop

=back

=cut

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid};
	return unless defined $pid && delete $running{$pid};
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

END
{
	my $status = $?;
	$_->stop foreach values %running;
	$? = $status;
}

1;
