
=pod

=head1 NAME

SaasTenant - an organization with its owner, and what tests do on its behalf

=head1 SYNOPSIS

  use SaasTenant;

  my $tenant = SaasTenant->create($node, 'postgres', 'Acme');
  my $id = $tenant->connect('prometheus', 'exporter', { url => $url }, { bearer_token => 'x' });
  is($tenant->sql('select count(*) from saas.reading'), 1, 'one reading');
  my $answers = $tenant->refresh($id);
  $tenant->make_due($id);

Its statements run as saas_user in a transaction of their own that has the
owner's identity.

=cut

package SaasTenant;

use strict;
use warnings;

use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

my $json = JSON::PP->new->canonical->allow_nonref;

=pod

=over

=item SaasTenant->create($node, $database, $name)

Signs somebody up with an organization of that name.  The password is the
tenant's password.

=cut

sub create
{
	my ($class, $node, $database, $name) = @_;
	(my $account = lc $name) =~ s/[^a-z0-9]+//g;
	my $self = bless {
		node     => $node,
		database => $database,
		name     => $name,
		email    => "$account\@example.com",
		password => "correct horse $account" }, $class;
	my $ids = $node->safe_psql($database, qq{
		do \$\$ begin
			perform saas_api.sign_up('$self->{email}', '$self->{password}', 'Ada', 'Tester', '$name');
			perform saas.confirm_user(u.id) from saas.app_user u where u.email = '$self->{email}';
		end \$\$;
		select m.user_id, m.org_id from saas.app_user u join saas.membership m on m.user_id = u.id
		 where u.email = '$self->{email}'});
	@$self{qw(user_id org_id)} = split /\|/, $ids;
	return $self;
}

sub email    { return $_[0]->{email}; }
sub password { return $_[0]->{password}; }
sub user_id  { return $_[0]->{user_id}; }
sub org_id   { return $_[0]->{org_id}; }

=pod

=item $tenant->in($database)

The same organization in a copy of the database.

=item $tenant->on($node, $database)

The same organization in a copy on another server.

=cut

sub in
{
	my ($self, $database) = @_;
	return $self->on($self->{node}, $database);
}

sub on
{
	my ($self, $node, $database) = @_;
	return bless { %$self, node => $node, database => $database }, ref $self;
}

=pod

=item $tenant->statements($sql, begin => 'begin read only')

What psql needs to run the statements with the owner's identity.

=cut

sub statements
{
	my ($self, $sql, %options) = @_;
	my $begin = $options{begin} || 'begin';
	return "$begin; do \$\$ begin perform saas.assume_identity('$self->{user_id}', '$self->{org_id}'); end \$\$;"
	  . " set local role saas_user; $sql; commit;\n";
}

=pod

=item $tenant->sql($sql, %options)

Runs it and returns what it printed; dies of an error.

=item $tenant->error_of($sql, %options)

The error that it ends with, with its SQLSTATE; '' without one.

=cut

sub sql
{
	my ($self, $sql, %options) = @_;
	return $self->{node}->safe_psql($self->{database}, $self->statements($sql, %options));
}

sub error_of
{
	my ($self, $sql, %options) = @_;
	my ($status, $out, $err) = $self->{node}->psql($self->{database},
		"\\set VERBOSITY verbose\n" . $self->statements($sql, %options), on_error_stop => 1);
	return $status == 0 ? '' : $err;
}

=pod

=item $tenant->start_sql($sql, %options)

Starts it in a session of its own.  Returns a function that waits for its end
and returns what it printed, errors included.

=cut

sub start_sql
{
	my ($self, $sql, %options) = @_;
	my $statements = $self->statements($sql, %options);
	my $out        = '';
	my $run        = IPC::Run::start(
		[   $self->{node}->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d',
			$self->{node}->connstr($self->{database}) ],
		'<', \$statements, '>', \$out, '2>&1',
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$run->pump while length $statements;
	return sub {
		$run->finish;
		chomp $out;
		return $out;
	};
}

=pod

=item $tenant->connect($kind, $name, \%config, \%secrets, $poll_interval)

Creates a connection and returns its id.

=cut

sub connect
{
	my ($self, $kind, $name, $config, $secrets, $poll_interval) = @_;
	return $self->sql('select ' . $self->connect_call($kind, $name, $config, $secrets, $poll_interval)
		  . "->> 'id'");
}

=pod

=item $tenant->connect_call(...)

The call that connect makes, to create many in one transaction.

=cut

sub connect_call
{
	my ($self, $kind, $name, $config, $secrets, $poll_interval) = @_;
	my $config_text  = $json->encode($config);
	my $secrets_text = $json->encode($secrets || {});
	my $interval     = defined $poll_interval ? "'$poll_interval'" : 'null';
	return "saas_api.create_connection('$kind', '$name', \$json\$$config_text\$json\$,"
	  . " \$json\$$secrets_text\$json\$, poll_interval => $interval)";
}

=pod

=item $tenant->salesforce($org, $name, %options)

Creates a connection to an org of the upstream double.  options: config and
secrets (laid over the org's own), poll_interval.

=cut

sub salesforce
{
	my ($self, $org, $name, %options) = @_;
	return $self->connect('salesforce', $name, $self->salesforce_of($org, %options), $options{poll_interval});
}

sub salesforce_of
{
	my ($self, $org, %options) = @_;
	return (
		{   org_id       => $org->{org_id},
			instance_url => $org->{instance_url},
			login_url    => $org->{login_url},
			%{ $options{config} || {} } },
		{   (map { $_ => $org->{$_} } qw(client_id client_secret access_token refresh_token)),
			%{ $options{secrets} || {} } });
}

=pod

=item $tenant->refresh(@ids)

refresh_connections' answers in the order of their names; of all connections
without ids.

=cut

sub refresh
{
	my ($self, @ids) = @_;
	my $ids = @ids ? sprintf "array[%s]::uuid[]", join ', ', map { "'$_'" } @ids : 'null';
	return $json->decode($self->sql("select saas_api.refresh_connections($ids, 60000)"));
}

=pod

=item $tenant->status($id)

The row of saas.connection_status as a hash, times as text.

=cut

sub status
{
	my ($self, $id) = @_;
	return $json->decode($self->{node}->safe_psql($self->{database},
		"select to_jsonb(s) from saas.connection_status s where s.connection_id = '$id'"));
}

=pod

=item $tenant->make_due(@ids)

Makes connections due at once and wakes the poller.

=cut

sub make_due
{
	my ($self, @ids) = @_;
	my $list = join ', ', map { "'$_'" } @ids;
	$self->{node}->safe_psql($self->{database},
		"update saas.connection_status set next_poll_at = now() where connection_id in ($list);"
		  . ' do $$ begin perform saas_private.wake_poller(); end $$');
	return;
}

=pod

=item $tenant->wait_for($id, $condition)

Waits until a condition on saas.connection_status holds; false after the
harness' time limit.

=cut

sub wait_for
{
	my ($self, $id, $condition) = @_;
	return $self->{node}->poll_query_until($self->{database},
		"select ($condition) is true from saas.connection_status where connection_id = '$id'");
}

=pod

=back

=cut

1;
