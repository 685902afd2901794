# Names that do not resolve, never answer, or point elsewhere the next time.  The
# poller asks a double of the resolver (test/lib/resolver.c).
use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $dir     = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/resolver.so";
my $source  = dirname(__FILE__) . '/../lib/resolver.c';
system_or_bail($ENV{CC} || 'cc', qw(-D_GNU_SOURCE -shared -fPIC -O1 -o), $library, $source, '-ldl');

my %host;

# What becomes of names from now on; the file is exchanged whole.
sub names
{
	%host = (%host, @_);
	open my $file, '>', "$dir/hosts.new" or die "hosts: $!";
	print $file "$_ $host{$_}\n" foreach sort keys %host;
	close $file or die "hosts: $!";
	rename "$dir/hosts.new", "$dir/hosts" or die "hosts: $!";
	return;
}

# How many seconds the clocks of the libraries are ahead.
sub clock_ahead
{
	# Written over: the server has it mapped.
	open my $file, -e "$dir/clock" ? '+<' : '>', "$dir/clock" or die "clock: $!";
	syswrite $file, pack 'q', $_[0];
	close $file or die "clock: $!";
	return;
}
clock_ahead(0);

names(
	'good.test'   => '127.0.0.1',
	'none.test'   => 'none',
	'broken.test' => 'broken',
	'hangs.test'  => 'hangs',
	'inside.test' => '10.1.2.3',
	'cloud.test'  => '169.254.169.254',
	'mapped.test' => '::ffff:10.1.2.3',
	'mixed.test'  => '10.1.2.3 127.0.0.1',
	'turns.test'  => '127.0.0.1');

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.min_poll_interval'      => '1s' });

# With the double.  An address is known for a minute: this is as after it.
sub start_over
{
	local $ENV{SAAS_TEST_HOSTS} = "$dir/hosts";
	local $ENV{SAAS_TEST_CLOCK} = "$dir/clock";
	local $ENV{LD_PRELOAD}      = $library;
	$node->restart;
	return unless $node->safe_psql('postgres', "select exists (select from pg_extension where extname = 'pg_saas')") eq 't';
	ok($node->poll_query_until('postgres', 'select exists (select from saas.poller_status() where pid is not null)'),
		'the poller runs');
	return;
}

$node->start;
start_over();
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $port     = $upstream->port;
my $tenant   = SaasTenant->create($node, 'postgres', 'Acme');
my $healthy  = $tenant->connect('prometheus', 'healthy', { url => "http://good.test:$port/metrics?instance=good" }, {}, '1 second');
ok($tenant->wait_for($healthy, "status = 'active'"), 'a name is resolved by the double');

sub polls { return $node->safe_psql('postgres', "select count(*) from saas.reading where connection_id = '$healthy'"); }

sub outcome
{
	my ($id) = @_;
	my $answer = $tenant->refresh($id)->[0];
	return $answer->{ok} ? 'ok' : $answer->{error};
}

my %reason = (
	'none.test'   => qr/^the host name none\.test could not be resolved$/,
	'broken.test' => qr/^the host name broken\.test could not be resolved$/,
	'hangs.test'  => qr{^http://hangs\.test:$port timed out during the name look-up$},
	map { ($_ => qr/^the host $_ leads to an address that is not allowed$/) } 'inside.test', 'cloud.test', 'mapped.test');
my %id;
sub connect_name { $id{$_} = $tenant->connect('prometheus', $_, { url => "http://$_:$port/metrics?instance=$_" }, {}, '1 hour'); return; }
connect_name() foreach 'mixed.test', 'turns.test';

my $before = polls() + 2;
foreach my $name (sort keys %reason)
{
	$node->limit_polls_to('1s', '2s') if $name eq 'hangs.test';
	connect_name() foreach $name;
	like(outcome($id{$name}), $reason{$name}, "$name shows its cause");
	my $status = $tenant->status($id{$name});
	is("$status->{status} $status->{last_error_code}", 'error 08001', 'with a status and a code');
	$node->limit_polls_to('1min', '1min') if $name eq 'hangs.test';
}
ok($node->poll_query_until('postgres', "select count(*) >= $before from saas.reading where connection_id = '$healthy'"),
	'the healthy connection is polled on');

# Which address that was is the operator's to know: a tenant could map the operator's network with names of its own.
my %inside = (
	'inside.test' => '10.1.2.3 of host inside.test, which is private',
	'cloud.test'  => '169.254.169.254 of host cloud.test, which is link-local',
	'mapped.test' => '::ffff:10.1.2.3 of host mapped.test, which is private');
my $org = $tenant->org_id;
foreach my $name (sort keys %inside)
{
	my $told = $node->safe_psql('postgres', "select s::text from saas.connection_status s where s.connection_id = '$id{$name}'")
	  . $tenant->sql("select c::text from saas_api.connections c where c.id = '$id{$name}'")
	  . $tenant->sql("select saas_api.test_connection('$id{$name}', 60000)")
	  . $tenant->sql("select saas_api.refresh_connections(array['$id{$name}']::uuid[], 60000)");
	like($told, qr/leads to an address that is not allowed/, "$name: the tenant learns that it is not allowed");
	unlike($told, qr/10\.1\.2\.3|169\.254|private|link-local/, 'and neither the address nor its kind');
	like($node->log_since(0), qr/LOG:  connection $id{$name} of organization $org leads to an address that is not allowed\n.*DETAIL:  The address is \Q$inside{$name}\E\.\n/,
		"the server's log tells the operator");
}
is(outcome($id{'mixed.test'}), 'ok', 'of several addresses the one that is allowed is used');

# What heals is polled well by itself; a look-up that hung ends first.
my @lost = ('broken.test', 'hangs.test', 'none.test');
names(map { $_ => '127.0.0.1' } keys %reason);
$tenant->make_due(map { $id{$_} } @lost);
ok($tenant->wait_for($id{$_}, "status = 'active' and last_error is null"), "$_ recovers") foreach @lost;

#
# One organization's names that hang, as many as the poller looks up at a time and more, are its own affair
#
my $beta = SaasTenant->create($node, 'postgres', 'Beta');
my $many = 80;
names('late.test' => '127.0.0.1', map { ("hangs$_.test" => 'hangs') } 1 .. $many);
my $late = $beta->connect('prometheus', 'late', { url => "http://late.test:$port/metrics?instance=late" }, {}, '1 hour');
$beta->wait_for($late, "status = 'active'");
$node->limit_polls_to('1s', '2s');
start_over();
$tenant->sql(join ";\n", map { 'select 1 from ' . $tenant->connect_call('prometheus', "hangs $_",
		{ url => "http://hangs$_.test:$port/metrics?instance=$_" }, {}, '1 hour') } 1 .. $many);
ok($node->poll_query_until('postgres', "
		select count(*) = $many from saas.connection_status s join saas.connection c on c.id = s.connection_id
		 where c.name like 'hangs %' and s.last_error ~ 'timed out during the name look-up\$'"),
	"$many names of one organization hang");
# The limit is the same for it, and the machine may stop for longer than that.
my $answer;
foreach my $attempt (1 .. 5)
{
	$answer = $beta->refresh($late)->[0];
	last if $answer->{ok};
}
ok($answer->{ok}, "another's name is looked up") || diag($answer->{error});
names(map { ("hangs$_.test" => 'none') } 1 .. $many);
$node->limit_polls_to('1min', '1min');
start_over();

#
# A name that pointed to an allowed address and now points inside
#
is(outcome($id{'turns.test'}), 'ok', 'a name that leads to an allowed address');
names('turns.test' => '10.1.2.3');
start_over();
foreach my $name (sort keys %inside)
{
	is(outcome($id{$name}), 'ok', "$name leads to an allowed address and recovers");
}
is(outcome($id{'turns.test'}), 'the host turns.test leads to an address that is not allowed',
	'is refused when it leads inside, whatever it was when it was configured');
$upstream->control(POST => 'faults', { path => '/metrics', query => { instance => 'turns.test' }, fault => 'redirect',
		to => "http://inside.test:$port/" });
names('turns.test' => '127.0.0.1', 'inside.test' => '10.1.2.3');
start_over();
is(outcome($id{'turns.test'}), "http://turns.test:$port redirects to http://inside.test:$port",
	'nor is a redirect to such a name followed');
$upstream->control(DELETE => 'faults');
is(outcome($id{'turns.test'}), 'ok', 'and when all is well again it is polled');

#
# The same while the poller runs: a connection is used for five minutes, an address for one
#
names('turns.test' => '10.1.2.3');
is(outcome($id{'turns.test'}), 'ok', 'its connection is used for a while');
clock_ahead(301);
is(outcome($id{'turns.test'}), 'the host turns.test leads to an address that is not allowed',
	'and then its new address is');
$node->stop;

done_testing();
