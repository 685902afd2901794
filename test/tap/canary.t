# Canaries: secrets that live through everything a connection lives through, and
# are then looked for in every byte that the server wrote.
use strict;
use warnings;

use File::Find ();
use File::Temp ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

# The documented logging settings; what is logged beyond the default makes the search harder to pass.
my $node = SaasCluster->create('main',
	preload  => 'pg_saas, pg_stat_statements',
	init     => { allows_streaming => 1 },
	settings => {
		'saas.allow_plain_http'             => 'on',
		'saas.allowed_networks'             => '127.0.0.0/8, ::1/128',
		'saas.min_poll_interval'            => '1s',
		'saas.refresh_cooldown'             => '0',
		'log_parameter_max_length'          => '0',
		'log_parameter_max_length_on_error' => '0',
		'log_min_error_statement'           => 'panic',
		'log_min_duration_statement'        => '0',
		'log_error_verbosity'               => 'verbose',
		'pg_stat_statements.track'          => 'all',
		'wal_level'                         => 'logical',
		'wal_recycle'                       => 'off' });
$node->start;
$node->install('postgres');
$node->safe_psql('postgres', 'create extension pg_stat_statements; create role caller login in role saas_user, saas_anon');
# Nothing that the WAL held is removed before it is searched.
$node->safe_psql('postgres', "select pg_create_physical_replication_slot('kept', true)");
my $upstream = SaasUpstream->start;
my $json     = JSON::PP->new->canonical;

sub random_secret
{
	open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
	read($random, my $bytes, 24) == 24 or die '/dev/urandom: short read';
	return unpack 'H*', $bytes;
}

# The forms in which somebody could have written it: as it is, in hex, and in
# base64 at each of its three phases, without the characters that neighbours share.
sub forms_of
{
	my ($secret) = @_;
	my @forms = ($secret, unpack('H*', $secret));
	foreach my $phase (0 .. 2)
	{
		my $coded = encode_base64(('x' x $phase) . $secret, '');
		push @forms, substr $coded, 4, length($coded) - 12;
	}
	return @forms;
}

sub pattern_of
{
	my (@secrets) = @_;
	my $forms = join '|', map { quotemeta } map { forms_of($_) } @secrets;
	return qr/$forms/;
}

# Where any of the texts stands in what the server wrote, and in the given texts.
sub places
{
	my ($pattern, %texts) = @_;
	my @found = grep { $texts{$_} =~ $pattern } sort keys %texts;
	File::Find::find(
		{   no_chdir => 1,
			wanted   => sub {
				return unless -f $_;
				push @found, $_ if PostgreSQL::Test::Utils::slurp_file($_) =~ $pattern;
			} },
		$node->basedir);
	push @found, 'the log' if $node->log_since(0) =~ $pattern;
	return @found;
}

# A statement with bind parameters, as an HTTP layer sends it; standard error of the client.
my $scripts = File::Temp->newdir(DIR => PostgreSQL::Test::Utils::tempdir());

sub bind_call
{
	my ($token, $call, %parameters) = @_;
	open my $script, '>', "$scripts/call" or die "$scripts/call: $!";
	print $script "begin;\nselect saas.authenticate(:token);\nset local role saas_user;\nselect $call;\ncommit;\n";
	close $script or die "$scripts/call: $!";
	$parameters{token} = $token;
	my ($out, $err) = PostgreSQL::Test::Utils::run_command(
		[   $node->installed_command('pgbench'), '-n', '-t', '1', '-M', 'extended', '-f', "$scripts/call",
			(map { ('-D', "$_=$parameters{$_}") } sort keys %parameters),
			'-h', $node->host, '-p', $node->port, '-U', 'caller', 'postgres' ]);
	return $err;
}

# The life of a connection

my $ada   = SaasTenant->create($node, 'postgres', 'Ada Works');
my $token = $json->decode($node->safe_psql('postgres',
	sprintf "select saas_api.sign_in('%s', '%s')", $ada->email, $ada->password))->{access_token};
my $org = $upstream->control(POST => 'orgs', { rotate_refresh_tokens => JSON::PP::true });
my ($config, $given) = $ada->salesforce_of($org);
my %secrets = (
	bearer   => random_secret(), replaced => random_secret(), broken => random_secret(), nul => random_secret(),
	password => random_secret(), sealed => random_secret(), misplaced => random_secret(),
	(map { $_ => $given->{$_} } keys %$given));

like(bind_call($token, 'saas_api.create_connection($$salesforce$$, $$Canary$$, :config, :secrets, poll_interval => $$1 second$$)',
		config => $json->encode($config), secrets => $json->encode($given)), qr/^\s*$/m, 'a connection is created');
my $id = $node->safe_psql('postgres', "select id from saas.connection where name = 'Canary'");
ok($ada->wait_for($id, "status = 'active' and last_polled_at is not null"), 'its secrets are used');
bind_call($token, 'saas_api.create_connection($$prometheus$$, $$Bearer$$, :config, :secrets, poll_interval => $$1 second$$)',
	config => $json->encode({ url => $upstream->url . '/metrics?auth=bearer' }), secrets => $json->encode({ bearer_token => $secrets{bearer} }));
my $bearer = $node->safe_psql('postgres', "select id from saas.connection where name = 'Bearer'");
ok($ada->wait_for($bearer, "last_error is not null"), 'a wrong one is used and refused');
bind_call($token, 'saas_api.set_connection_secrets(:id, :secrets)', id => $bearer, secrets => $json->encode({ bearer_token => $secrets{replaced} }));
bind_call($token, 'saas.seal(:plain, $$note$$)', plain => $secrets{sealed});
bind_call($token, 'saas.blind_index(:plain, $$note$$)', plain => $secrets{sealed});

# Refreshed, which brings new tokens each time
foreach my $round (1 .. 3)
{
	push @{ $secrets{tokens} }, @{ $upstream->control(GET => "orgs/$org->{org_id}") }{qw(access_token refresh_token)};
	$upstream->control(POST => "orgs/$org->{org_id}/expire", {});
	my $before = $ada->status($id)->{last_success_at};
	$ada->make_due($id);
	ok($ada->wait_for($id, "last_success_at > '$before'"), "refresh $round");
}
push @{ $secrets{tokens} }, @{ $upstream->control(GET => "orgs/$org->{org_id}") }{qw(access_token refresh_token)};

# Malformed: what PostgreSQL cannot read it quotes
my %errors = (
	broken    => bind_call($token, 'saas_api.set_connection_secrets(:id, :secrets)', id => $bearer, secrets => "{\"bearer_token\": \"$secrets{broken}\" oops"),
	nul       => bind_call($token, 'saas_api.set_connection_secrets(:id, :secrets)', id => $bearer, secrets => "{\"bearer_token\": \"\\u0000$secrets{nul}\"}"),
	misplaced => bind_call($token, 'saas_api.set_connection_secrets(:id, :secrets)', id => $bearer, secrets => "{\"$secrets{misplaced}\": \"bearer_token\"}"),
	password  => bind_call($token, 'saas_api.set_connection_secrets(:id, :secrets)', id => $bearer, secrets => $json->encode({ password => $secrets{password} })));
like($errors{$_}, qr/ERROR/, "$_ is refused") foreach sort keys %errors;

# Upstreams that fail
foreach my $fault ([ status => 500 ], [ status => 401 ], ['reset'], ['garbage'], ['huge'])
{
	$upstream->control(POST => 'faults', { path => '/services', fault => $fault->[0], ($fault->[1] ? (code => $fault->[1]) : ()), times => 2 });
	my $before = $ada->status($id)->{last_polled_at};
	$ada->make_due($id);
	ok($ada->wait_for($id, "last_polled_at > '$before'"), "an upstream that answers @$fault");
}
$upstream->control(DELETE => 'faults');

# Rotated, dumped, crashed
open my $keys, '>>', $node->master_key_file or die $node->master_key_file . ": $!";
print $keys '2:' . ('5e' x 32) . "\n";
close $keys or die $node->master_key_file . ": $!";
$node->reload;
$node->safe_psql('postgres', 'call saas.rewrap_data_keys()');
$node->safe_psql('postgres', 'call saas.rotate_data_keys()');
my ($dump) = PostgreSQL::Test::Utils::run_command([ $node->installed_command('pg_dump'), '-d', $node->connstr('postgres') ]);
like($dump, qr/Canary/, 'the dump has the connection');
my %views = map { $_ => $node->safe_psql('postgres', "select string_agg(v::text, E'\n') from $_ v") }
  qw(pg_stat_statements pg_stat_activity pg_prepared_statements pg_stats saas.outbox saas.audit_event saas_private.security_event);
like($views{pg_stat_statements}, qr/set_connection_secrets/, 'pg_stat_statements has seen the statements');
my ($pid) = $node->safe_psql('postgres', "select pid from pg_stat_activity where backend_type ~ 'pg_saas' and datname = 'postgres'");
kill 'KILL', $pid or die "kill $pid: $!";
$node->poll_query_until('postgres', 'select true') or die 'the server does not come back';
ok($ada->wait_for($id, "last_success_at > now() - interval '1 minute'"), 'after a crash it goes on');
$node->safe_psql('postgres', 'checkpoint');
$node->stop('immediate');
$node->start;
ok($ada->wait_for($id, "last_success_at > now() - interval '1 minute'"), 'and after a stop without a farewell');
$node->safe_psql('postgres', 'checkpoint');
push @{ $secrets{tokens} }, @{ $upstream->control(GET => "orgs/$org->{org_id}") }{qw(access_token refresh_token)};

# Would it be found?

my $planted = random_secret();
$node->safe_psql('postgres', "create table planted as select '$planted'::text as value; checkpoint");
my @found = places(pattern_of($planted), dump => '');
ok(scalar(grep { m{/base/} } @found), 'a planted one is found in the data directory');
ok(scalar(grep { m{/pg_wal/} } @found), 'and in the WAL');
my $in_base64 = encode_base64("x$planted", '');
$node->safe_psql('postgres', "do \$\$ begin raise log 'said %', '$in_base64'; end \$\$");
ok(scalar(grep { $_ eq 'the log' } places(pattern_of($planted))), 'in the log, in base64 too');
my $in_statement = random_secret();
$node->safe_psql('postgres', "set log_min_duration_statement = -1; do \$\$ begin perform '$in_statement'; end \$\$");
$node->stop;
ok(scalar(grep { /pg_stat/ } places(pattern_of($in_statement))), 'in the statistics, which a clean stop writes down');
ok(scalar(places(pattern_of($planted), dump => "x $planted x")), 'and in a dump');

# The search

my @canaries = grep { defined && length > 15 } map { ref $_ ? @$_ : $_ } values %secrets;
cmp_ok(scalar(@canaries), '>=', 16, 'so many secrets were used: ' . scalar @canaries);
is_deeply([ places(pattern_of(@canaries), dump => $dump, %views) ], [], 'none of them stands anywhere');

done_testing();
