# The vault against its surroundings: master key files that must not be used,
# plaintext that must be nowhere, ciphertexts that somebody moved.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Find ();
use File::Temp ();
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main',
	settings => {
		'saas.poller_enabled'    => 'off',
		'saas.allow_plain_http'  => 'on',
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.min_poll_interval' => '1s' });
$node->start;
$node->install('postgres');
my $upstream = SaasUpstream->start;
my $key_file = $node->master_key_file;
my $good     = PostgreSQL::Test::Utils::slurp_file($key_file);
my ($key)    = $good =~ /^1:([0-9a-f]{64})$/m;

sub write_file
{
	my ($path, $content, $mode) = @_;
	unlink $path;
	open my $file, '>', $path or die "$path: $!";
	print $file $content;
	close $file or die "$path: $!";
	chmod defined $mode ? $mode : 0600, $path or die "$path: $!";
	return;
}

# Takes another path and waits until new sessions have it.
sub use_file
{
	my ($path) = @_;
	$node->safe_psql('postgres', "alter system set saas.master_key_file = '$path'");
	$node->reload;
	$node->poll_query_until('postgres', "select current_setting('saas.master_key_file') = '$path'")
	  or die "the server does not take $path";
	return;
}

# The error of a session that needs the master key, without its position.
sub key_error
{
	my ($statement) = @_;
	$statement ||= 'select saas_private.create_data_key(gen_random_uuid())';
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	return $err;
}

sub refused_ok
{
	my ($pattern, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $error = key_error();
	like($error, $pattern, $what);
	unlike($error, qr/\Q$key\E|[0-9a-f]{32}/i, "$what: the error shows nothing of a key");
	return;
}

# Where a text stands in the files of the server.
sub files_with
{
	my ($text) = @_;
	my @found;
	File::Find::find(
		{   no_chdir => 1,
			wanted   => sub {
				return unless -f $_;
				push @found, $_ if index(PostgreSQL::Test::Utils::slurp_file($_), $text) >= 0;
			} },
		$node->basedir);
	return @found;
}

is(key_error(), '', 'a good file is used');
my $ada = SaasTenant->create($node, 'postgres', 'Ada Works');
my $bob = SaasTenant->create($node, 'postgres', 'Bob Works');

# Files that must not be used

write_file($key_file, $good, 0644);
refused_ok(qr/F0000: cannot use the master key file: others may read it/, 'a file that everybody may read');
write_file($key_file, $good, 0660);
refused_ok(qr/F0000: cannot use the master key file: others may read it/, 'a file that the group may write');
write_file($key_file, $good, 0640);
refused_ok(qr/F0000: cannot use the master key file: others may read it/, 'a file of the server\'s user that the group may read');

my %malformed = (
	'an empty file'             => '',
	'comments only'             => "# nothing\n\n",
	'a key without a version'   => "$key\n",
	'version 0'                 => "0:$key\n",
	'a version of letters'      => "one:$key\n",
	'a short key'               => '1:' . substr($key, 1) . "\n",
	'a long key'                => "1:${key}0\n",
	'a key that is not hex'     => '1:' . ('z' x 64) . "\n",
	'a version twice'           => "1:$key\n1:$key\n",
	'a good line and a bad one' => "1:$key\nnonsense\n",
	'binary content'            => join('', map { chr } 0 .. 255));
foreach my $what (sort keys %malformed)
{
	write_file($key_file, $malformed{$what});
	refused_ok(qr/F0000: .*master key file/, $what);
}
write_file($key_file, "1:$key\n" . ('#' x 8192) . "\n");
refused_ok(qr/F0000: .*larger than 8192 bytes/, 'a file that is too large');
write_file($key_file, "# made by hand\n\n  1:\U$key\E  \r\n");
is(key_error(), '', 'comments, blanks and upper case are fine');
write_file($key_file, $good);

my $dir = File::Temp->newdir(DIR => PostgreSQL::Test::Utils::tempdir());
write_file("$dir/real", $good);
symlink "$dir/real", "$dir/link" or die "symlink: $!";
use_file("$dir/link");
refused_ok(qr/F0000: .*it is a symbolic link/, 'a symbolic link');
use_file("$dir/missing");
refused_ok(qr/F0000: .*it does not exist/, 'a file that is not there');
use_file("$dir");
refused_ok(qr/F0000: .*it is not a regular file/, 'a directory');
use_file('/dev/null');
refused_ok(qr/F0000: .*it is not a regular file/, 'a device');
PostgreSQL::Test::Utils::system_or_bail('mkfifo', '-m', '0600', "$dir/fifo");
use_file("$dir/fifo");
refused_ok(qr/F0000: .*it is not a regular file/, 'a FIFO, without waiting for its writer');
use_file('master_key');
refused_ok(qr/F0000: .*its path is not absolute/, 'a relative path');
use_file("$dir/real");
is(key_error(), '', 'a file elsewhere is used');
chmod 0777, "$dir" or die "chmod: $!";
refused_ok(qr/F0000: .*others may write its directory/, 'a file in a directory that everybody may write');
chmod 0770, "$dir" or die "chmod: $!";
refused_ok(qr/F0000: .*others may write its directory/, 'or the group');
chmod 0700, "$dir" or die "chmod: $!";
mkdir "$dir/open" or die "mkdir: $!";
mkdir "$dir/open/closed", 0700 or die "mkdir: $!";
write_file("$dir/open/closed/key", $good);
symlink "$dir/open/closed", "$dir/way" or die "symlink: $!";
use_file("$dir/way/key");
is(key_error(), '', 'a file behind a linked directory is used');
chmod 0777, "$dir/open" or die "chmod: $!";
refused_ok(qr/F0000: .*others may write its directory/, 'but not when others may write above where the link leads');
use_file("$dir/open/closed/key");
refused_ok(qr/F0000: .*others may write its directory/, 'nor when they may write further up');
$node->safe_psql('postgres', 'call saas.seal_audit()');
use_file('');
refused_ok(qr/55000: no master key is configured/, 'no file at all');
$node->safe_psql('postgres', "select saas_private.audit('thing.made', 'thing', null, null, null, '" . $ada->org_id . "')");
like(key_error($_), qr/55000: no master key is configured/, "$_ needs one")
  foreach 'call saas.seal_audit()', map { "select $_" } "saas.verify_audit('" . $ada->org_id . "')",
  "saas.audit_checkpoint('" . $ada->org_id . "')", "saas.prune_audit('" . $ada->org_id . "', now() - interval '31 days')";
like($ada->error_of('select saas.seal(\'x\', \'note\')'), qr/55000: no master key is configured/, 'without one a tenant seals nothing');
is($ada->sql('select saas.current_org_id()'), $ada->org_id, 'and everything else goes on');
use_file($key_file);

# The wrong key, a new key

my $sealed = $ada->sql("select saas.seal('attack at dawn', 'note')");
my $open_as =
	"begin; do \$\$ begin perform saas.assume_identity('%s', '%s'); end \$\$;"
  . " select saas.unseal('%s', 'note'); commit";
my $open = sprintf $open_as, $ada->user_id, $ada->org_id, $sealed;
my $needed = substr sha256_hex(pack 'H*', $key), 0, 16;
my $other  = 'ab' x 32;
my $has    = substr sha256_hex(pack 'H*', $other), 0, 16;

write_file($key_file, "1:$other\n");
my $error = key_error($open);
like($error, qr/55000: the master key does not open this database's data keys/, 'a wrong key opens nothing');
like($error, qr/Version 1 with fingerprint $needed is needed; the master key file has $has\./, 'and the error names both fingerprints');
unlike($error, qr/$key|$other/, 'but neither key');
write_file($key_file, "2:$other\n");
like(key_error($open), qr/Version 1 with fingerprint $needed is needed; the master key file has none\./, 'a missing version is named');
write_file($key_file, "1:$key\n2:$other\n");
is($node->safe_psql('postgres', $open), 'attack at dawn', 'a file with a new version still opens the old');
my $eve = SaasTenant->create($node, 'postgres', 'Eve Works');
is($node->safe_psql('postgres', "select master_version from saas_private.data_key where org_id = '" . $eve->org_id . "'"), 2,
	'new data keys are wrapped by the highest version');

# Plaintext is nowhere

my $secret = 'unmistakable-secret-4711';
my $name   = 'unmistakable-name-4711';
my $id     = $ada->connect('prometheus', $name, { url => $upstream->url . '/metrics?auth=bearer' }, { bearer_token => $secret });
$ada->sql("select saas_api.set_connection_secrets('$id', '{\"bearer_token\": \"$secret\"}')");
$node->safe_psql('postgres', 'call saas.poll()');
like($ada->status($id)->{last_error}, qr/\b401\b/, 'the upstream refuses the secret, so it was used');
$node->safe_psql('postgres', 'checkpoint');
ok(scalar(files_with($name)), 'the search finds what is stored in the clear');
is_deeply([ files_with($secret) ], [], 'a secret stands in no table, no WAL, no log');
is_deeply([ files_with($key) ], [$key_file], 'the master key stands in its file only');
my ($dump, $dump_error) = PostgreSQL::Test::Utils::run_command(
	[ $node->installed_command('pg_dump'), '-d', $node->connstr('postgres') ]);
like($dump, qr/\Q$name\E/, 'the dump has the connection');
unlike($dump, qr/\Q$secret\E/, 'and not its secret');

# Moved ciphertexts

my %url = (good => $upstream->url . '/metrics?auth=bearer', other => $upstream->url . '/metrics?auth=bearer&instance=other');
my $target = $ada->connect('prometheus', 'target', { url => $url{good} . '&n=1' }, { bearer_token => 'scrape-token' });
my $source = $ada->connect('prometheus', 'source', { url => $url{other} }, { bearer_token => 'scrape-token' });
my $foreign = $bob->connect('prometheus', 'foreign', { url => $url{good} }, { bearer_token => 'scrape-token' });

sub poll
{
	$node->safe_psql('postgres',
		"update saas.connection_status set next_poll_at = case when connection_id = '$target' then now() else 'infinity' end;");
	$node->safe_psql('postgres', 'call saas.poll()');
	return $ada->status($target);
}

sub requests
{
	return $upstream->control(GET => 'stats')->{requests};
}

sub moved_ok
{
	my ($what, $move, $back) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = requests();
	$node->safe_psql('postgres', $move);
	my $status = poll();
	like($status->{last_error}, qr/^cannot open the connection's secrets: cannot open the sealed value/, "$what does not open");
	is($status->{last_error_code}, '55000', "$what is the operator's problem, not the upstream's");
	is(requests(), $before, "$what makes no request");
	$node->safe_psql('postgres', $back);
	is(poll()->{status}, 'active', "put right, the next poll works after $what");
	return;
}

is(poll()->{status}, 'active', 'the secret opens where it belongs');
my $own = $node->safe_psql('postgres', "select value from saas_private.connection_secret where connection_id = '$target'");
foreach my $case ([ 'a secret of another connection', $source ], [ 'a secret of another organization', $foreign ])
{
	moved_ok($case->[0],
		"update saas_private.connection_secret t set value = s.value from saas_private.connection_secret s"
		  . " where t.connection_id = '$target' and s.connection_id = '$case->[1]'",
		"update saas_private.connection_secret set value = '$own' where connection_id = '$target'");
}
moved_ok('a secret under another name',
	"update saas_private.connection_secret set name = 'password' where connection_id = '$target'",
	"update saas_private.connection_secret set name = 'bearer_token' where connection_id = '$target'");
my $origin = $node->safe_psql('postgres', "select origin from saas.connection where id = '$target'");
moved_ok('a secret for another origin',
	"update saas.connection set origin = 'http://localhost:1' where id = '$target'",
	"update saas.connection set origin = '$origin' where id = '$target'");

write_file($key_file, "1:$other\n");
like(poll()->{last_error}, qr/^cannot open the connection's secrets: the master key does not open/, 'with a wrong master key the poll says so');
write_file($key_file, $good);
is(poll()->{status}, 'active', 'and works again with the right one');

done_testing();
