
=pod

=head1 NAME

SaasUpstream - starts and steers test/upstream/upstream, the double of the
services that pg_saas polls

=head1 SYNOPSIS

  use SaasUpstream;

  my $upstream = SaasUpstream->start(latency_ms => 20);
  my $org = $upstream->control(POST => 'orgs', {});
  ... $upstream->url . '/metrics' ...
  $upstream->stop;

  my $secure = SaasUpstream->start(certificate => 'expired');
  ... settings => { 'saas.ca_file' => SaasUpstream->certificates . '/ca.pem' } ...

What still runs when the test ends is stopped.

=cut

package SaasUpstream;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time);

my $home = dirname(__FILE__) . '/../upstream';
my $count = 0;
my (%certificates, %running);

=pod

=over

=item SaasUpstream->start(latency_ms => N, certificate => NAME, port => N, ciphers => LIST)

Returns once it listens.  With a certificate (good, rsa, amazon, expired, wrong-host,
self-signed) it serves https.

=cut

sub start
{
	my ($class, %options) = @_;
	my $base = PostgreSQL::Test::Utils::tempdir() . '/upstream' . ++$count;
	my $self = bless {
		state  => "$base.json",
		log    => "$PostgreSQL::Test::Utils::log_path/upstream_${$}_$count.log",
		scheme => 'http',
		args   => [ '--latency-ms', $options{latency_ms} || 0 ],
		port   => $options{port} || 0 }, $class;
	if (defined(my $name = $options{certificate}))
	{
		my $dir = $class->certificates;
		$self->{scheme} = 'https';
		push @{ $self->{args} }, '--tls', "$dir/$name.pem", "$dir/$name.key";
		push @{ $self->{args} }, '--tls-1.2-ciphers', $options{ciphers} if $options{ciphers};
	}
	$self->_launch;
	return $self;
}

sub _launch
{
	my ($self) = @_;
	unlink $self->{state};
	my $pid = fork;
	croak "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $self->{log};
		open STDERR, '>&', \*STDOUT;
		{
			exec '/usr/bin/python3', "$home/upstream", '--port', $self->{port}, '--state',
			  $self->{state}, @{ $self->{args} };
		}
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$running{$pid} = $self;

	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (-e $self->{state})
	{
		if (waitpid($pid, POSIX::WNOHANG()) == $pid || time > $deadline)
		{
			delete $running{$pid};
			kill 'KILL', $pid;
			croak "the upstream did not start:\n" . PostgreSQL::Test::Utils::slurp_file($self->{log});
		}
		select undef, undef, undef, 0.02;
	}
	$self->{port} = decode_json(PostgreSQL::Test::Utils::slurp_file($self->{state}))->{port};
	return;
}

=pod

=item $upstream->stop, $upstream->restart

A restarted upstream listens on the same port and remembers nothing.

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

sub restart
{
	my ($self) = @_;
	$self->stop;
	$self->_launch;
	return;
}

=pod

=item $upstream->url, $upstream->port, $upstream->log

=cut

sub url
{
	my ($self) = @_;
	return "$self->{scheme}://localhost:$self->{port}";
}

sub port { return $_[0]->{port}; }

sub log { return PostgreSQL::Test::Utils::slurp_file($_[0]->{log}); }

=pod

=item $upstream->control($method => $path, $body)

Calls the control API below /_control/ and returns its decoded answer.

=cut

sub control
{
	my ($self, $method, $path, $body) = @_;
	if ($self->{scheme} eq 'https')
	{
		return $self->_control_tls($method, $path, $body);
	}
	my %request;
	if (defined $body)
	{
		%request = (content => encode_json($body), headers => { 'content-type' => 'application/json' });
	}
	my $url      = "http://127.0.0.1:$self->{port}/_control/$path";
	my $response = HTTP::Tiny->new(proxy => undef, timeout => 60)->request($method, $url, \%request);
	croak "$method $url: $response->{status} $response->{content}" unless $response->{success};
	return JSON::PP->new->utf8->allow_nonref->decode($response->{content});
}

# Perl's own HTTPS needs a module that Debian packages apart; curl is at hand.
sub _control_tls
{
	my ($self, $method, $path, $body) = @_;
	my @command = ('curl', '-fsSk', '--noproxy', '*', '-X', $method);
	push @command, '-H', 'content-type: application/json', '-d', encode_json($body) if defined $body;
	my ($out, $err) =
	  PostgreSQL::Test::Utils::run_command([ @command, $self->url . "/_control/$path" ]);
	croak "$method $path: $err" if $err ne '';
	return JSON::PP->new->utf8->allow_nonref->decode($out);
}

=pod

=item SaasUpstream->certificates($authority)

A directory with a test CA (ca.pem) and certificates for localhost, made once.
Another authority by another name; start's certificates are the one's without.

=cut

sub certificates
{
	my ($class, $authority) = @_;
	$authority = 'ours' unless defined $authority;
	if (!defined $certificates{$authority})
	{
		my $dir = PostgreSQL::Test::Utils::tempdir() . "/certificates-$authority";
		PostgreSQL::Test::Utils::system_or_bail("$home/make-certificates", $dir);
		$certificates{$authority} = $dir;
	}
	return $certificates{$authority};
}

=pod

=back

=cut

END
{
	my $status = $?;
	foreach my $upstream (values %running)
	{
		$upstream->stop;
	}
	$? = $status;
}

1;
