
=pod

=head1 NAME

SaasSession - psql sessions that stay open, as a pooled connection does

=head1 SYNOPSIS

  use SaasSession;

  my $session = open_session($node, 'web');
  my $answer  = say_to($session, 'select 1');    # rows and errors, without the last newline
  close_session($session);

The database is "postgres", the user "postgres" where none is given.

=cut

package SaasSession;

use strict;
use warnings;

use Exporter qw(import);
use IPC::Run ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(open_session say_to close_session);

sub open_session
{
	my ($node, $user) = @_;
	my %session = (in => '', out => '', marker => 0);
	my $connstr = $node->connstr('postgres') . ' user=' . ($user || 'postgres');
	$session{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=terse', '-d', $connstr ],
		'<', \$session{in}, '>', \$session{out}, '2>&1',
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%session;
}

sub say_to
{
	my ($session, $sql) = @_;
	my $marker = 'marker ' . ++$session->{marker};
	$session->{out} = '';
	$session->{in} .= "$sql\n\\echo $marker\n";
	IPC::Run::pump($session->{run}) until $session->{out} =~ /^\Q$marker\E$/m;
	(my $answer = $session->{out}) =~ s/^\Q$marker\E\n//m;
	chomp $answer;
	return $answer;
}

sub close_session
{
	my ($session) = @_;
	$session->{in} .= "\\q\n";
	IPC::Run::finish($session->{run});
	return;
}

1;
