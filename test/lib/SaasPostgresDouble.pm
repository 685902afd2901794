
=pod

=head1 NAME

SaasPostgresDouble - starts test/upstream/postgres_double

=head1 SYNOPSIS

  use SaasPostgresDouble;

  my $double = SaasPostgresDouble->start(certificate => 'good');
  ... { host => 'localhost', port => $double->port, dbname => 'garbage' } ...
  like($double->log, qr/^session garbage$/m);

What still runs when the test ends is stopped.

=cut

package SaasPostgresDouble;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use POSIX ();
use PostgreSQL::Test::Utils ();
use SaasUpstream;
use Time::HiRes qw(time);

my $home  = dirname(__FILE__) . '/../upstream';
my $count = 0;
my %running;

sub start
{
	my ($class, %options) = @_;
	my $self = bless { file => PostgreSQL::Test::Utils::tempdir() . '/postgres_double' . ++$count }, $class;
	my @args = ('--port-file', $self->{file});
	if (defined(my $name = $options{certificate}))
	{
		my $dir = SaasUpstream->certificates;
		push @args, '--tls', "$dir/$name.pem", "$dir/$name.key";
		push @args, '--dh', $options{dh} if defined $options{dh};
		push @args, '--tickets', $options{tickets} if defined $options{tickets};
	}
	my $pid = fork;
	croak "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$PostgreSQL::Test::Utils::log_path/postgres_${$}_$count.log";
		open STDERR, '>&', \*STDOUT;
		{
			exec '/usr/bin/python3', "$home/postgres_double", @args;
		}
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$running{$pid} = $self;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (-e $self->{file})
	{
		croak 'the double did not start' if time > $deadline || waitpid($pid, POSIX::WNOHANG()) == $pid;
		select undef, undef, undef, 0.02;
	}
	$self->{port} = PostgreSQL::Test::Utils::slurp_file($self->{file});
	return $self;
}

sub port { return $_[0]->{port}; }

# What its sessions told.
sub log
{
	my ($self) = @_;
	return -e "$self->{file}.log" ? PostgreSQL::Test::Utils::slurp_file("$self->{file}.log") : '';
}

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
