# One organization's sessions with a PostgreSQL server that hang leave places at
# the host to others, and its names that hang leave look-ups to them.
use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster ();
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasPostgresDouble;
use SaasTenant;
use Test::More;

my $many    = 140;    # more than there are threads for look-ups
my $dir     = PostgreSQL::Test::Utils::tempdir();
my $library = "$dir/resolver.so";
my $source  = dirname(__FILE__) . '/../lib/resolver.c';
system_or_bail($ENV{CC} || 'cc', qw(-D_GNU_SOURCE -shared -fPIC -O1 -o), $library, $source, '-ldl');
open my $hosts, '>', "$dir/hosts" or die "hosts: $!";
print $hosts "late.test 127.0.0.1\n", map { "hangs$_.test hangs\n" } 1 .. $many;
close $hosts or die "hosts: $!";

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'       => '127.0.0.0/8',
		'saas.allow_plain_http'       => 'on',
		'saas.refresh_cooldown'       => '0',
		'saas.poller_max_in_flight'   => 400,
		'saas.poller_max_per_org'     => 200,
		'saas.poller_max_per_host'    => 16,
		'saas.poller_connect_timeout' => '60s',
		'saas.poller_request_timeout' => '60s' });
{
	local $ENV{SAAS_TEST_HOSTS} = "$dir/hosts";
	local $ENV{LD_PRELOAD}      = $library;
	$node->start;
}
$node->install('postgres');
my ($acme, $beta, $gamma) = map { SaasTenant->create($node, 'postgres', $_) } qw(Acme Beta Gamma);

sub call_for
{
	my ($tenant, $name, $host, $port, $dbname) = @_;
	return 'select 1 from ' . $tenant->connect_call('postgresql', $name,
		{ host => $host, port => $port + 0, dbname => $dbname, user => 'u', sslmode => 'disable' }, { password => 'p' }, '1 day');
}

# Polled once, at once: what comes of the connection of that name.
sub outcome
{
	my ($tenant, $name) = @_;
	my $id = $tenant->sql("select id from saas_api.connections where name = '$name'");
	$tenant->wait_for($id, 'last_error is not null');
	return $tenant->sql("select last_error from saas_api.connections where name = '$name'");
}

sub polled
{
	return $node->safe_psql('postgres', "
		select count(*) from saas.connection c join saas.connection_status s on s.connection_id = c.id
		 where c.name like '$_[0] %' and s.last_polled_at is not null");
}

# While all of a kind should hang; otherwise it tells what became of them.
sub none_polled
{
	my ($prefix, $since, $name) = @_;
	my $polled = polled($prefix);
	is($polled, 0, $name) or diag(sprintf("after %d s of the 60 that a poll may last:\n", time - $since) . $node->safe_psql('postgres', "
		select count(*), s.last_error, min(s.last_duration_ms) || ' to ' || max(s.last_duration_ms) || ' ms'
		  from saas.connection c join saas.connection_status s on s.connection_id = c.id
		 where c.name like '$prefix %' group by 2 order by 2"));
	return;
}

#
# Places at a host
#
my $double = SaasPostgresDouble->start;
sub sessions { return scalar(() = $double->log =~ /^session $_[0]/mg); }

my $since = time;
$acme->sql(join ";\n", map { call_for($acme, "deaf $_", '127.0.0.1', $double->port, "deaf~$_") } 1 .. 40);
ok($node->poll_query_until('postgres', q{select sum(in_flight) = 40 from saas.poller_status()}),
	'forty polls of one organization go to one server');
$beta->sql(call_for($beta, 'one', '127.0.0.1', $double->port, 'code-42501~beta'));
is(outcome($beta, 'one'), 'the server refused the session: because of code-42501', 'another organization is answered there');
none_polled('deaf', $since, 'while they hang');
is(sessions('deaf'), 14, 'of sixteen places an organization has fourteen at most');

# A place that is left goes to who waits.
$double->stop;
ok($node->poll_query_until('postgres', q{
		select count(*) = 40 from saas.connection c join saas.connection_status s on s.connection_id = c.id
		 where c.name like 'deaf %' and s.last_polled_at is not null}),
	'all of them end with the server, those as well that had waited for a place');

#
# Look-ups
#
my $closed = PostgreSQL::Test::Cluster::get_free_port();
$acme->sql("select saas_api.set_connection_active(id, false) from saas_api.connections");
$since = time;
$acme->sql(join ";\n", map { call_for($acme, "name $_", "hangs$_.test", 5432, 'shop') } 1 .. $many);
ok($node->poll_query_until('postgres', "select sum(in_flight) = $many from saas.poller_status()"),
	"$many names of one organization hang");
$gamma->sql(call_for($gamma, 'late', 'late.test', $closed, 'shop'));
like(outcome($gamma, 'late'), qr/^could not connect to late\.test:$closed: /, "another's name is looked up");
none_polled('name', $since, 'while their names hang');
$node->stop('immediate');

done_testing();
