
=pod

=head1 NAME

SaasCluster - a PostgreSQL::Test::Cluster that runs pg_saas

=head1 SYNOPSIS

  use SaasCluster;

  my $node = SaasCluster->create('main', settings => { 'saas.poller' => 'off' });
  $node->start;
  $node->install('postgres');
  my $offset = $node->log_size;
  ...
  like($node->log_since($offset), qr/.../, 'the server says why');

The superuser is "postgres" whoever runs the test.  Unlike its parent the
server restarts after a crash, as a real one does, and logs no statements:
what tests say about secrets in the log holds under the documented settings
only.

=cut

package SaasCluster;

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More ();

our @ISA = ('PostgreSQL::Test::Cluster');

# END blocks stop the servers, and a signal alone would skip them.
my $main_pid = $$;
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { $$ == $main_pid ? exit 130 : POSIX::_exit(130) };

=pod

=over

=item SaasCluster->create($name, settings => {}, preload => 'pg_saas', init => {})

Initializes a node with a master key and the settings, and does not start it.
init goes to PostgreSQL::Test::Cluster::init.  Without other settings a poll
waits as long as one may, so that a machine that stops for a while ends none:
where one shall time out, the test sets the time, for that alone.

=cut

sub create
{
	my ($class, $name, %options) = @_;
	my %init = %{ $options{init} || {} };
	my $self = $class->new($name);

	$ENV{PGUSER} = 'postgres';
	$init{extra} = [
		'-U', 'postgres', '-E', 'UTF8', '--locale=C.UTF-8', @{ $init{extra} || [] } ];
	$self->init(%init);
	$self->write_master_key(1);

	my %settings = (
		'shared_preload_libraries'    => defined $options{preload} ? $options{preload} : 'pg_saas',
		'saas.master_key_file'        => $self->master_key_file,
		'saas.poller_connect_timeout' => '60s',
		'saas.poller_request_timeout' => '60s',
		'restart_after_crash'         => 'on',
		'log_statement'               => 'none',
		'timezone'                    => 'UTC',
		'log_timezone'                => 'UTC',
		%{ $options{settings} || {} });
	foreach my $setting (sort keys %settings)
	{
		(my $value = $settings{$setting}) =~ s/'/''/g;
		$self->append_conf('postgresql.conf', "$setting = '$value'");
	}
	return $self;
}

=pod

=item $node->master_key_file, $node->write_master_key(@versions)

Writes the file anew with a fresh random key for each version.

=cut

sub master_key_file
{
	my ($self) = @_;
	return $self->basedir . '/master_key';
}

sub write_master_key
{
	my ($self, @versions) = @_;
	my $old_mask = umask 0077;
	open my $file, '>', $self->master_key_file or die $self->master_key_file . ": $!";
	open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
	foreach my $version (@versions)
	{
		read($random, my $bytes, 32) == 32 or die "/dev/urandom: short read";
		print $file "$version:" . unpack('H*', $bytes) . "\n";
	}
	close $random;
	close $file or die $self->master_key_file . ": $!";
	umask $old_mask;
	return;
}

=pod

=item $node->install($database)

Creates the extension and its tables in a database.

=cut

sub install
{
	my ($self, $database) = @_;
	$self->safe_psql($database, 'create extension pg_saas cascade; select saas.install()');
	return;
}

=pod

=item $node->limit_polls_to($connect, $request)

How long polls may take from now on, as saas.poller_connect_timeout and
saas.poller_request_timeout, in the form that the server shows them in.

=cut

sub limit_polls_to
{
	my ($self, $connect, $request) = @_;
	$self->append_conf('postgresql.conf', "saas.poller_connect_timeout = '$connect'\nsaas.poller_request_timeout = '$request'");
	$self->reload;
	$self->poll_query_until('postgres',
		"select current_setting('saas.poller_connect_timeout') = '$connect' and current_setting('saas.poller_request_timeout') = '$request'")
	  or Test::More::BAIL_OUT('the server does not take another time limit');
	return;
}

=pod

=item $node->log_size, $node->log_since($offset)

Where the server log ends now, and what was written since then.

=cut

sub log_size
{
	my ($self) = @_;
	return -s $self->logfile || 0;
}

sub log_since
{
	my ($self, $offset) = @_;
	return PostgreSQL::Test::Utils::slurp_file($self->logfile, $offset || 0);
}

=pod

=back

=cut

1;
