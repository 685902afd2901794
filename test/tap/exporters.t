# Real exporters: Prometheus' own client library writes the pages that are read.
use strict;
use warnings;

use HTTP::Tiny;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasTenant;
use Test::More;

my %exporter;
END { kill 'TERM', values %exporter; }

my $node = SaasCluster->create('main', settings => {
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'  => 'on',
		'saas.refresh_cooldown'  => '0',
		'saas.min_poll_interval' => '1s' });
$node->start;
$node->install('postgres');
my $tenant = SaasTenant->create($node, 'postgres', 'Acme');

# Starts one on a free port; the URL of its page, undef when it is not installed.
sub start
{
	my ($name, @arguments) = @_;
	my $binary = "/usr/bin/prometheus-$name";
	return unless -x $binary;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $pid  = fork;
	die "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDIN,  '<',  '/dev/null';
		open STDOUT, '>>', "$PostgreSQL::Test::Utils::log_path/$name.log";
		open STDERR, '>&', \*STDOUT;
		{ exec $binary, "--web.listen-address=127.0.0.1:$port", @arguments; }
		POSIX::_exit(127);
	}
	$exporter{$name} = $pid;
	return "http://localhost:$port/metrics";
}

sub latest
{
	my ($id, $metric) = @_;
	return $tenant->sql(qq{select string_agg(format('%s %s', s.labels, s.value), E'\\n' order by s.labels::text)
		  from saas_api.latest_samples s where s.connection_id = '$id' and s.metric = '$metric'});
}

# What it scrapes of a file comes out as its library writes it.
my $texts = PostgreSQL::Test::Utils::tempdir() . '/texts';
mkdir $texts or die "$texts: $!";
append_to_file("$texts/app.prom", <<'END');
# HELP app_seconds Time of "things" \\ per\npath.
# TYPE app_seconds histogram
app_seconds_bucket{path="C:\\tmp",le="0.5"} 3
app_seconds_bucket{path="C:\\tmp",le="+Inf"} 5
app_seconds_sum{path="C:\\tmp"} 2.75
app_seconds_count{path="C:\\tmp"} 5
# TYPE app_bytes summary
app_bytes{quantile="0.5"} 1e+06
app_bytes{quantile="0.99"} NaN
app_bytes_sum 4e+06
app_bytes_count 4
# TYPE app_info gauge
app_info{text="a \"quoted\"\nline, é and 世"} 1
# TYPE app_total counter
app_total 9007199254740993
# TYPE app_limit gauge
app_limit -Inf
END

SKIP:
{
	my $url = start('node-exporter', '--collector.disable-defaults',
		map { "--collector.$_" } qw(cpu meminfo loadavg uname textfile), "textfile.directory=$texts");
	skip 'prometheus-node-exporter is not installed', 9 unless $url;

	my $id = $tenant->connect('prometheus', 'node', { url => $url }, {}, '1 second');
	ok($tenant->wait_for($id, "status = 'active'"), 'the node exporter is scraped');

	my $page = HTTP::Tiny->new(proxy => undef)->get($url, { headers => { 'Accept-Encoding' => 'gzip' } });
	is($page->{headers}{'content-encoding'}, 'gzip', 'it compresses for who asks for it');
	$page = HTTP::Tiny->new(proxy => undef)->get($url)->{content};
	my $series = () = $page =~ /^[^#\n]/mg;
	is($tenant->refresh($id)->[0]{samples}, $series, "every one of its $series series is stored");
	my ($total) = slurp_file('/proc/meminfo') =~ /^MemTotal:\s+(\d+) kB/m;
	is(latest($id, 'node_memory_MemTotal_bytes'), '{} ' . $total * 1024, 'with its value');
	is( latest($id, 'app_seconds_bucket'),
		qq({"le": "+Inf", "path": "C:\\\\tmp"} 5\n{"le": "0.5", "path": "C:\\\\tmp"} 3), 'the buckets of a histogram');
	is( latest($id, 'app_seconds_sum') . latest($id, 'app_seconds_count'),
		'{"path": "C:\\\\tmp"} 2.75{"path": "C:\\\\tmp"} 5', 'its sum and count');
	is( latest($id, 'app_bytes') . "\n" . latest($id, 'app_bytes_sum'),
		qq({"quantile": "0.5"} 1000000\n{"quantile": "0.99"} NaN\n{} 4000000), 'the quantiles of a summary');
	is(latest($id, 'app_info'), '{"text": "a \"quoted\"\nline, é and 世"} 1', 'escapes and UTF-8 in labels');
	is(latest($id, 'app_total') . latest($id, 'app_limit'), '{} 9.007199254740992e+15{} -Infinity', 'odd numbers');
}

SKIP:
{
	local $ENV{DATA_SOURCE_NAME} = sprintf 'host=%s port=%d user=postgres dbname=postgres sslmode=disable',
	  $node->host, $node->port;
	my $url = start('postgres-exporter');
	skip 'prometheus-postgres-exporter is not installed', 6 unless $url;

	my $id = $tenant->connect('prometheus', 'postgres', { url => $url }, {}, '1 second');
	ok($tenant->wait_for($id, "status = 'active' and last_sample_count > 200"), 'the PostgreSQL exporter is scraped');
	is(latest($id, 'pg_up'), '{} 1', 'it reaches this very server');
	like(latest($id, 'pg_settings_max_connections'),
		qr/^\{"server": "[^"]+"\} \Q@{[ $node->safe_psql('postgres', 'show max_connections') ]}\E$/,
		'a setting is the server\'s');
	like(latest($id, 'pg_stat_database_numbackends'), qr/"datname": "postgres".*\} \d+$/m, 'with the database in a label');
	ok($node->poll_query_until('postgres', "select count(*) >= 3 from saas.reading where connection_id = '$id'"),
		'poll after poll');

	kill 'TERM', $exporter{'postgres-exporter'};
	waitpid delete $exporter{'postgres-exporter'}, 0;
	ok($tenant->wait_for($id, "last_error ~ '^could not connect to http://localhost:'"),
		'one that is gone shows as such');
}
$node->stop;

done_testing();
