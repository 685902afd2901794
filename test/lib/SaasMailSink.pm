
=pod

=head1 NAME

SaasMailSink - starts and steers test/upstream/smtp_sink

=head1 SYNOPSIS

  use SaasMailSink;

  my $sink = SaasMailSink->start(certificate => 'good', auth => [ 'user', 'password' ]);
  ... settings => { 'saas.smtp_url' => $sink->url } ...
  $sink->fault('rcpt-450');
  my $mails = $sink->mails;

What still runs when the test ends is stopped.

=cut

package SaasMailSink;

use strict;
use warnings;

use Carp qw(croak);
use File::Basename qw(dirname);
use JSON::PP qw(decode_json);
use POSIX ();
use PostgreSQL::Test::Utils ();
use SaasUpstream;
use Time::HiRes qw(time);

my $home = dirname(__FILE__) . '/../upstream';
my $count = 0;
my %running;

sub start
{
	my ($class, %options) = @_;
	my $spool = PostgreSQL::Test::Utils::tempdir() . '/mail' . ++$count;
	mkdir $spool or croak "$spool: $!";
	my $self = bless { spool => $spool, scheme => $options{implicit} ? 'smtps' : 'smtp' }, $class;
	my @args = ('--spool', $spool);
	if (defined(my $name = $options{certificate}))
	{
		my $dir = SaasUpstream->certificates;
		push @args, '--tls', "$dir/$name.pem", "$dir/$name.key";
	}
	push @args, '--implicit' if $options{implicit};
	push @args, '--auth', @{ $options{auth} } if $options{auth};

	my $pid = fork;
	croak "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$PostgreSQL::Test::Utils::log_path/mail_${$}_$count.log";
		open STDERR, '>&', \*STDOUT;
		{
			exec '/usr/bin/python3', "$home/smtp_sink", @args;
		}
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$running{$pid} = $self;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (-e "$spool/port")
	{
		croak 'the mail sink did not start' if time > $deadline || waitpid($pid, POSIX::WNOHANG()) == $pid;
		select undef, undef, undef, 0.02;
	}
	$self->{port} = PostgreSQL::Test::Utils::slurp_file("$spool/port");
	return $self;
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

sub url { return "$_[0]->{scheme}://localhost:$_[0]->{port}"; }

# Without an argument: no fault.
sub fault
{
	my ($self, $fault) = @_;
	open my $file, '>', "$self->{spool}/fault.tmp" or croak "fault: $!";
	print $file defined $fault ? $fault : '';
	close $file or croak "fault: $!";
	rename "$self->{spool}/fault.tmp", "$self->{spool}/fault" or croak "fault: $!";
	return;
}

# The mails that were taken, oldest first, each with its decoded data's parts.
sub mails
{
	my ($self) = @_;
	return [ map { decode_json(PostgreSQL::Test::Utils::slurp_file($_)) } sort glob "$self->{spool}/*.json" ];
}

sub commands
{
	my ($self) = @_;
	return -e "$self->{spool}/commands" ? PostgreSQL::Test::Utils::slurp_file("$self->{spool}/commands") : '';
}

# Waits until that many mails have been taken in all.
sub wait_for
{
	my ($self, $number) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until (@{ $self->mails } >= $number)
	{
		return 0 if time > $deadline;
		select undef, undef, undef, 0.05;
	}
	return 1;
}

END
{
	my $status = $?;
	$_->stop foreach values %running;
	$? = $status;
}

1;
