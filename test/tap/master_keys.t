# Master keys from a command, out of core dumps, and made for the operator.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp ();
use PostgreSQL::Test::Utils ();
use SaasCluster;
use SaasSession;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off' });
$node->start;
$node->install('postgres');
my $key_file = $node->master_key_file;
my ($key) = PostgreSQL::Test::Utils::slurp_file($key_file) =~ /^1:([0-9a-f]{64})$/m;
my $dir   = File::Temp->newdir(DIR => PostgreSQL::Test::Utils::tempdir());
my $runs  = "$dir/runs";
my $needs = 'select saas_private.create_data_key(gen_random_uuid())';

sub script
{
	my ($name, $body, $mode) = @_;
	open my $file, '>', "$dir/$name" or die "$dir/$name: $!";
	print $file "#!/bin/sh\n$body";
	close $file or die "$dir/$name: $!";
	chmod defined $mode ? $mode : 0700, "$dir/$name" or die "$dir/$name: $!";
	return "$dir/$name";
}

sub set
{
	my (%settings) = @_;
	$node->safe_psql('postgres', join '', map { "alter system set $_ = '$settings{$_}';\n" } sort keys %settings);
	$node->reload;
	foreach my $name (keys %settings)
	{
		$node->poll_query_until('postgres', "select current_setting('$name') = '$settings{$name}'")
		  or die "the server does not take $name";
	}
	return;
}

sub use_command
{
	my ($command) = @_;
	set('saas.master_key_file' => '', 'saas.master_key_command' => $command);
	return;
}

sub key_error
{
	my ($statement) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . ($statement || $needs));
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

sub run_count
{
	return -e $runs ? length PostgreSQL::Test::Utils::slurp_file($runs) : 0;
}

# A program that answers

my $ada = SaasTenant->create($node, 'postgres', 'Ada Works');
use_command(script('good', "printf x >> $runs\necho '# from a service'\necho 1:$key\n"));
is(key_error(), '', 'what the command prints is used');
my $before = run_count();
$node->safe_psql('postgres', "$needs; $needs; $needs");
is(run_count(), $before + 1, 'one session that opens several keys runs the command once');

my $session = open_session($node);
say_to($session, "$needs;");
$before = run_count();
say_to($session, "$needs;");
is(run_count(), $before, 'the answer is kept');
script('good', "printf x >> $runs\necho 1:$key\necho 2:" . ('cd' x 32) . "\n");
my $loaded = say_to($session, 'select pg_conf_load_time();');
$node->reload;
1 until say_to($session, "select pg_conf_load_time() > '$loaded';") eq 't';
say_to($session, "$needs;");
is(run_count(), $before + 1, 'until the configuration is loaded again');
say_to($session, "select saas_private.create_data_key('00000000-0000-0000-0000-00000000000a');");
is($node->safe_psql('postgres', "select master_version from saas_private.data_key where org_id = '00000000-0000-0000-0000-00000000000a'"),
	'2', 'a new version in the answer wraps what is made from then on');
is($node->safe_psql('postgres', sprintf("begin; do \$\$ begin perform saas.assume_identity('%s', '%s'); end \$\$;"
			  . " select saas.unseal(saas.seal('x', 'note'), 'note'); commit", $ada->user_id, $ada->org_id)),
	'x', 'and what the older version wrapped still opens');
close_session($session);

# Words

script('words', "[ \"\$1\" = 'two words' ] && [ \"\$2\" = '\$HOME' ] && [ \"\$3\" = ';' ] && [ \$# = 3 ] && echo 1:$key\n");
use_command("$dir/words \"two words\" \$HOME ;");
is(key_error(), '', 'no shell reads the words');
script('inherits', "[ -e /proc/self/fd/3 ] && exit 5\nread line && exit 6\necho 1:$key\n");
use_command("$dir/inherits");
is(key_error(), '', 'it has no file of the session, and no input');

# Programs that must not be used

use_command(script('fails', "echo 1:$key >&2\nexit 3\n"));
refused_ok(qr/F0000: cannot use the master key command: it failed\n.*It exited with status 3 and wrote 67 bytes to its standard error/s,
	'one that fails');
use_command(script('killed', "kill -9 \$\$\n"));
refused_ok(qr/F0000: .*it failed\n.*Signal 9 ended it and wrote 0 bytes/s, 'one that is killed');
use_command(script('silent', "exit 0\n"));
refused_ok(qr/F0000: the answer of the master key command holds no key/, 'one that prints nothing');
use_command(script('talks', "echo 'Enter your PIN: $key'\n"));
refused_ok(qr/F0000: line 1 of the answer of the master key command is not "version:64 hex digits"/, 'one that prints something else');
use_command(script('endless', "exec yes 1:$key\n"));
refused_ok(qr/F0000: .*it printed more than 8191 bytes/, 'one that prints without end');
use_command(script('closed', "exec >&- 2>&-\nexit 0\n"));
refused_ok(qr/F0000: the answer of the master key command holds no key/, 'one that closes its output');
use_command("$dir/missing");
refused_ok(qr/F0000: .*it does not exist/, 'one that is not there');
use_command($dir);
refused_ok(qr/F0000: .*it is not an executable file/, 'a directory');
use_command(script('plain', "echo 1:$key\n", 0600));
refused_ok(qr/F0000: .*it is not an executable file/, 'a file that is not executable');
use_command(script('open', "echo 1:$key\n", 0770));
refused_ok(qr/F0000: .*others may change it/, 'one that the group may change');
use_command(script('good', "printf x >> $runs\necho 1:$key\n"));
chmod 0777, "$dir" or die "chmod: $!";
refused_ok(qr/F0000: .*others may write its directory/, 'one in a directory that everybody may write');
chmod 0700, "$dir" or die "chmod: $!";
is(key_error(), '', 'put right, it is used');
foreach my $command ('good', '"/bin/open', ' ')
{
	my ($status, $out, $err) = $node->psql('postgres', "alter system set saas.master_key_command = '$command'");
	like($err, qr/invalid value for parameter "saas.master_key_command"/, "the setting refuses '$command'");
}
set('saas.master_key_file' => $key_file);
refused_ok(qr/F0000: saas.master_key_file and saas.master_key_command are both set/, 'a file as well');

# Programs that do not end

sub is_running
{
	my ($pid) = @_;
	return kill(0, $pid) && PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") !~ /\) Z /;
}

sub read_pid
{
	my ($path) = @_;
	PostgreSQL::Test::Utils::system_or_bail('sh', '-c', "until [ -s $path ]; do :; done");
	my $pid = PostgreSQL::Test::Utils::slurp_file($path);
	unlink $path;
	return 0 + $pid;
}

use_command(script('hangs', "echo \$\$ > $dir/pid\ntail -f /dev/null\n"));
set('saas.master_key_command_timeout' => '100ms');
refused_ok(qr/F0000: .*it did not end within 100 ms/, 'one that does not end');
ok(!is_running(read_pid("$dir/pid")), 'it is stopped');
script('hangs', "tail -f /dev/null & echo \$! > $dir/pid\necho 1:$key\n");
refused_ok(qr/F0000: .*it did not end within 100 ms/, 'one that leaves a child behind with its output');
ok(!is_running(read_pid("$dir/pid")), 'the child is stopped too');
script('hangs', "echo \$\$ > $dir/pid\ntail -f /dev/null\n");
set('saas.master_key_command_timeout' => '59s');
like(key_error("set statement_timeout = '50ms'; $needs"), qr/57014/, 'a statement that waits for it can be cancelled');
ok(!is_running(read_pid("$dir/pid")), 'and takes it along');
my $waiting = open_session($node);
my $backend = say_to($waiting, 'select pg_backend_pid();');
$waiting->{in} .= "$needs;\n";
$waiting->{run}->pump_nb;
my $hanging = read_pid("$dir/pid");
ok(is_running($hanging), 'while a session waits it runs');
$node->safe_psql('postgres', "select pg_terminate_backend($backend, 60000)");
ok(!is_running($hanging), 'a session that is terminated takes it along');
eval { close_session($waiting); };

# Memory

use_command("$dir/good");
$session = open_session($node);
say_to($session, "select saas_private.seal_for_platform('x', 'pg_saas:test', '');");
my $maps = PostgreSQL::Test::Utils::slurp_file('/proc/' . say_to($session, 'select pg_backend_pid();') . '/smaps');
my @hidden = grep { /^VmFlags:.*\bdd\b/m && /^VmFlags:.*\bwf\b/m } split /^(?=[0-9a-f]+-[0-9a-f]+ )/m, $maps;
cmp_ok(scalar(@hidden), '>=', 2, 'master keys and data keys are in pages that no core dump shows and no child sees');
close_session($session);

# A key for the operator

set('saas.master_key_command' => '', 'saas.master_key_file' => $key_file);
my $made = $node->safe_psql('postgres', 'select saas.generate_master_key()');
like($made, qr/\A# Append to what saas.master_key_file names.*\n.*\n2:[0-9a-f]{64}\z/, 'the next version is made, with instructions');
isnt($node->safe_psql('postgres', 'select saas.generate_master_key()'), $made, 'another one each time');
open my $file, '>>', $key_file or die "$key_file: $!";
print $file "$made\n";
close $file or die "$key_file: $!";
is(key_error(), '', 'the answer can be appended as it is');
my ($second) = $made =~ /2:([0-9a-f]{64})/;
is($node->safe_psql('postgres', 'select master_fingerprint from saas_private.data_key order by created_at desc limit 1'),
	substr(sha256_hex(pack 'H*', $second), 0, 16), 'and its fingerprint is stored with what it wraps');
like($node->safe_psql('postgres', 'select saas.generate_master_key()'), qr/^3:[0-9a-f]{64}$/m, 'the version after that follows');
unlike($node->log_since(0), qr/$second|$key/, 'no key is in the log');
set('saas.master_key_file' => '');
like($node->safe_psql('postgres', 'select saas.generate_master_key()'), qr/^1:[0-9a-f]{64}$/m, 'without any, the first');
is($ada->error_of('select saas.generate_master_key()') =~ /42501/ ? 'refused' : 'allowed', 'refused', 'a tenant makes none');

done_testing();
