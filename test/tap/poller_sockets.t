# The sockets of kept connections: used again, waited for in between without a
# system call, and let go of when the peer ends them.
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;

plan skip_all => 'needs /proc' unless -d '/proc/self/fdinfo';

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks' => '127.0.0.0/8',
		'saas.allow_plain_http' => 'on',
		'saas.refresh_cooldown' => '0' });
$node->start;
$node->install('postgres');
my $tenant = SaasTenant->create($node, 'postgres', 'Acme');

# A server that keeps its connections, told to end them by SIGUSR1.
my $listener = IO::Socket::INET->new(LocalAddr => '0.0.0.0', Listen => 64) || die "listen: $!";
my $port     = $listener->sockport;
my $made     = PostgreSQL::Test::Utils::tempdir() . '/made';

sub append_made
{
	open my $file, '>>', $made or die "$made: $!";
	print $file "$_[0]\n";
	close $file;
	return;
}

sub serve
{
	my $select = IO::Select->new($listener);
	local $SIG{TERM} = 'DEFAULT';
	local $SIG{USR1} = sub {
		foreach my $peer (grep { $_ != $listener } $select->handles)
		{
			$select->remove($peer);
			close $peer;
		}
	};
	while (1)
	{
		foreach my $ready ($select->can_read)
		{
			if ($ready == $listener)
			{
				my $peer = $listener->accept;
				$select->add($peer);
				append_made($peer->sockhost);
			}
			elsif (sysread $ready, my $request, 65536)
			{
				syswrite $ready, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nup 1\n";
			}
			else
			{
				$select->remove($ready);
				close $ready;
			}
		}
	}
}

my $server = fork;
die "fork: $!" unless defined $server;
my $test = $$;
END { kill 'KILL', $server if $server && $$ == $test; }
if (!$server)
{
	serve();
	exit 0;
}
close $listener;

# The addresses that the server was connected to.
sub connections_made
{
	return -e $made ? split /\n/, slurp_file($made) : ();
}

my $worker;

# The poller's descriptors that are connections to the server, and those of them that an epoll descriptor has.
sub sockets
{
	my %inode;
	foreach my $line (split /\n/, slurp_file('/proc/net/tcp'))
	{
		my @field = split ' ', $line;
		$inode{"socket:[$field[9]]"} = 1 if @field > 9 && $field[2] eq sprintf('0100007F:%04X', $port);
	}
	my %ours = map { $_ => 1 } grep { $inode{ readlink("/proc/$worker/fd/$_") // '' } }
	  map { m{(\d+)$} } glob "/proc/$worker/fd/*";
	my %watched;
	foreach my $info (glob "/proc/$worker/fdinfo/*")
	{
		next unless -e $info;
		$watched{$_} = 1 foreach slurp_file($info) =~ /^tfd:\s*(\d+)/mg;
	}
	return (scalar(keys %ours), scalar(grep { $watched{$_} } keys %ours));
}

my $id = $tenant->connect('prometheus', 'kept', { url => "http://127.0.0.1:$port/metrics" }, {}, '1 day');

sub outcome
{
	my $answer = $tenant->refresh($id)->[0];
	return $answer->{ok} ? 'ok' : $answer->{error};
}

is(outcome(), 'ok', 'a poll') foreach 1 .. 4;
$worker = $node->safe_psql('postgres', q{select pid from pg_stat_activity where backend_type = 'pg_saas poller'});
is(scalar(connections_made()), 1, 'several polls use one connection');
is_deeply([ sockets() ], [ 1, 1 ], 'whose socket stays in epoll while nobody waits for it');

kill 'USR1', $server;
my ($open, $watched);
foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	($open, $watched) = sockets();
	last if $watched == 0;
	select undef, undef, undef, 0.1;
}
is($watched, 0, 'and leaves it when the peer has ended it');
is(outcome(), 'ok', 'the next poll gets through');
is(scalar(connections_made()), 2, 'by a new connection');
is_deeply([ sockets() ], [ 1, 1 ], 'the only one, in epoll too');

# Of many at once some are ended before they are used again.
my @many = map { $tenant->connect('prometheus', "many $_", { url => "http://127.0.0.1:$port/metrics?$_" }, {}, '1 day') } 1 .. 20;
foreach my $round (1 .. 5)
{
	my $answers = $tenant->refresh(@many);
	is(scalar(grep { $_->{ok} } @$answers), 20, "round $round of many");
	kill 'USR1', $server if $round % 2;
}

# Of more hosts than connections may wait, polled in turn, the first keep theirs.
my $most = 3;
$node->append_conf('postgresql.conf', "saas.poller_max_in_flight = $most");
$node->stop;
$node->start;
ok($node->poll_query_until('postgres', 'select exists (select from saas.poller_status() where pid is not null)'),
	'the poller runs with few places');
my @turns = map { $tenant->connect('prometheus', "turn $_", { url => "http://127.0.1.$_:$port/metrics" }, {}, '1 day') } 1 .. 9;
$tenant->wait_for($_, "status = 'active'") foreach @turns;
my $before = connections_made();
my @rounds;
foreach my $round (1 .. 3)
{
	foreach my $turn (@turns)
	{
		$id = $turn;
		is(outcome(), 'ok', "round $round in turn");
	}
	my @made = connections_made();
	push @rounds, [ sort @made[ $before .. $#made ] ];
	$before = @made;
}
is(scalar(@{ $rounds[2] }), @turns - $most - 1, 'as many connections wait as there are places, and that of the poll');
is_deeply($rounds[2], $rounds[1], 'always the same');

kill 'TERM', $server;
waitpid $server, 0;
$node->stop;
done_testing();
