# What is under way for an organization when it is suspended or deleted: polls
# keep their tokens and nothing else, mail in its name waits, and once it is
# open again both go on.  Each answer is held back until the organization is
# closed; no time decides.
use strict;
use warnings;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasMailSink;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $sink = SaasMailSink->start;
my $node = SaasCluster->create('main', settings => {
		'saas.bcrypt_cost'       => 10,
		'saas.allowed_networks'  => '127.0.0.0/8, ::1/128',
		'saas.allow_plain_http'  => 'on',
		'saas.refresh_cooldown'  => '0',
		'log_lock_waits'         => 'on',
		'deadlock_timeout'       => '1ms',
		'saas.mail_from'         => 'no-reply@example.com',
		'saas.smtp_url'          => $sink->url,
		'saas.smtp_tls'          => 'off' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub suspend  { return sql("select saas.suspend_organization('" . $acme->org_id . "', 'unpaid')"); }
sub activate { return sql("select saas.activate_organization('" . $acme->org_id . "')"); }

# The genuine answers below a path, until they are let go.
sub hold
{
	my ($path) = @_;
	return $upstream->control(POST => 'faults', { path => $path, fault => 'held' });
}

sub let_go { return $upstream->control(DELETE => 'faults'); }

sub wait_for_hits
{
	my ($hits) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($upstream->control(GET => 'faults')->[0]{hits} >= $hits)
	{
		BAIL_OUT('the upstream is not asked') if time > $deadline;
		select undef, undef, undef, 0.02;
	}
	return;
}

sub sealed_token
{
	my ($id) = @_;
	return sql("select value from saas_private.connection_secret where connection_id = '$id' and name = 'refresh_token'");
}

sub readings_of { return sql("select count(*) from saas.reading where connection_id = '$_[0]'"); }

# What a poll writes of itself, without what its tokens say.
sub written_of
{
	my ($id) = @_;
	return sql(qq{select to_jsonb(s) - '{next_poll_at,lease_id,lease_until,token_expires_at,is_open}'::text[]
		from saas.connection_status s where s.connection_id = '$id'});
}

sub polls_counted { return sql('select polls from saas.poller_status() where database = current_database()'); }

my $org      = $upstream->control(POST => 'orgs', { rotate_refresh_tokens => JSON::PP::true });
my $rotating = $acme->salesforce($org, 'rotating', poll_interval => '1 day');
my $page     = $acme->connect('prometheus', 'page', { url => $upstream->url . '/metrics?instance=page' }, {}, '1 day');
ok($acme->wait_for($_, "last_success_at is not null and lease_id is null"), 'a connection is polled') foreach $rotating, $page;

sub org_stats { return $upstream->control(GET => "orgs/$org->{org_id}/stats"); }

# A poll that needs a token; somebody waits for it.  It hangs at the path until
# the organization is closed.  Returns what was said to who waited.
sub poll_while_closing
{
	my ($path, $id, $close) = @_;
	$upstream->control(POST => "orgs/$org->{org_id}/expire");
	hold($path);
	$acme->make_due($id);
	wait_for_hits(1);
	my $answer = $acme->start_sql("select saas_api.refresh_connections(array['$id']::uuid[], 60000) -> 0 ->> 'error'");
	ok( $node->poll_query_until('postgres', q{
			select count(*) = 1 from pg_stat_activity
			 where wait_event_type = 'Extension' and backend_type = 'client backend'}),
		'a poll is under way and somebody waits for it');
	$close->();
	let_go();
	my $said = $answer->();
	ok($acme->wait_for($id, 'lease_id is null'), 'it ends');
	return $said;
}

# As delete_organization does, which wants a session.
sub remove
{
	sql("update saas.organization set status = 'deleting', deleted_at = now(), purge_after = now() + interval '30 days' where id = '"
		  . $acme->org_id . "'");
	return;
}

my $tokens = org_stats()->{tokens_issued};
foreach my $case (
	[ 'suspended, at the token',  '/services/oauth2/token', $rotating, \&suspend ],
	[ 'suspended, at the answer', '/services/data',         $rotating, \&suspend ],
	[ 'deleted, at the token',    '/services/oauth2/token', $rotating, \&remove ],
	[ 'suspended, no tokens',     '/metrics',               $page,     \&suspend ],
	[ 'deleted, no tokens',       '/metrics',               $page,     \&remove ])
{
	my ($name, $path, $id, $close) = @$case;
	my ($written, $readings, $token, $counted) = (written_of($id), readings_of($id), sealed_token($id), polls_counted());
	my $asked = org_stats()->{limits_requests};
	is(poll_while_closing($path, $id, $close), 'the organization was suspended or deleted meanwhile', "$name: who waited hears of it");
	is(written_of($id),  $written,  "$name: nothing is written of the poll");
	is(readings_of($id), $readings, "$name: nor of what it read");
	is(polls_counted(), $counted, "$name: it does not count");
	is(sql("select next_poll_at <= now() from saas.connection_status where connection_id = '$id'"), 't', "$name: the connection stays due");
	is(org_stats()->{limits_requests}, $asked + 1, "$name: with the new token nothing is asked") if $path =~ /token/;
	if ($id eq $rotating)
	{
		is(org_stats()->{tokens_issued}, ++$tokens, "$name: the token was rotated");
		isnt(sealed_token($id), $token, "$name: and is kept");
	}
	my $last = $acme->status($id)->{last_polled_at};
	activate();
	ok($acme->wait_for($id, "last_polled_at > '$last' and lease_id is null"), "$name: open again it is polled at once");
	is($acme->status($id)->{status}, 'active', "$name: with the token that was kept") if $id eq $rotating;
	is(readings_of($id), $readings + 1, "$name: and read");
}
# Tokens that could not be stored before the organization was closed, as
# somebody held a lock, are stored with what is left of the poll.
my ($token, $written) = (sealed_token($rotating), written_of($rotating));
my $logged = length $node->log_since(0);
my $locker = $node->background_psql('postgres');
$upstream->control(POST => "orgs/$org->{org_id}/expire");
hold('/services/oauth2/token');
$acme->make_due($rotating);
wait_for_hits(1);
$locker->query_safe("begin; select from saas.connection_status where connection_id = '$rotating' for update");
let_go();
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until (substr($node->log_since(0), $logged) =~ /still waiting for ShareLock/)
{
	BAIL_OUT('the poller does not meet the lock') if time > $deadline;
	select undef, undef, undef, 0.02;
}
# It waits for the lock once; afterwards it only looks whether it has gone.
ok( $node->poll_query_until('postgres', q{
		select wait_event_type is distinct from 'Lock' from pg_stat_activity where backend_type = 'pg_saas poller'}),
	'the poller gives way to a lock');
is(sealed_token($rotating), $token, 'the new tokens are not stored');
suspend();
$locker->query_safe('commit');
$locker->quit;
ok($acme->wait_for($rotating, 'lease_id is null'), 'the poll ends');
isnt(sealed_token($rotating), $token, 'they are stored after the organization was suspended');
is(written_of($rotating), $written, 'and nothing else is');
is(org_stats()->{tokens_issued}, ++$tokens, 'the token was rotated');
my $before = $acme->status($rotating)->{last_polled_at};
activate();
ok($acme->wait_for($rotating, "last_polled_at > '$before' and status = 'active'"), 'and is good');

is(org_stats()->{refresh_token_reuses}, 0, 'no token was used twice');
is(org_stats()->{tokens_issued}, $tokens, 'and none asked for in vain');

# A test of a connection.
my $tested = $acme->status($page)->{last_tested_at};
hold('/metrics');
my $answer = $acme->start_sql("select saas_api.test_connection('$page', 60000) ->> 'error'");
wait_for_hits(1);
suspend();
let_go();
is($answer->(), 'the organization was suspended or deleted meanwhile', 'a test hears of it too');
is($acme->status($page)->{last_tested_at}, $tested, 'and is not written down');

#
# Mail
#
sub queue
{
	my ($recipient, $template, $org_id) = @_;
	my $of = defined $org_id ? "'$org_id'" : 'null';
	return sql("select saas_private.queue_mail('$recipient\@example.com', '$template', '{}', 'tok', $of, '1 hour')");
}

sub state_of { return sql("select status || ' ' || attempts from saas.outbox where id = '$_[0]'"); }

sub is_sent
{
	my ($id, $name) = @_;
	return ok($node->poll_query_until('postgres', "select status = 'sent' from saas.outbox where id = '$id'"), $name);
}

my $beta = SaasTenant->create($node, 'postgres', 'Beta');
foreach my $case ([ 'suspended', undef ], [ 'deleted', \&remove ])
{
	my ($name, $close) = @$case;
	if ($close) { $close->(); }
	my $held   = queue("invited-$name", 'invitation',     $acme->org_id);
	my $own    = queue("own-$name",     'reset_password', undef);
	my $others = queue("others-$name",  'invitation',     $beta->org_id);
	is_sent($own,    "$name: a person's own mail goes out");
	is_sent($others, "$name: another organization's too");
	is(state_of($held), 'queued 0', "$name: the organization's waits without an attempt");
	is(sql("select saas.mail_status() -> 'held'"), 1, "$name: as the operator sees");
	activate();
	is_sent($held, "$name: open again it goes out");
	is(sql("select saas.mail_status() -> 'held'"), 0, "$name: none is held then");
}

# It goes with an organization that is removed.
remove();
my $last = queue('removed', 'invitation', $acme->org_id);
sql('update saas.organization set purge_after = now() where id = \'' . $acme->org_id . '\'');
sql('select saas.purge_organizations(10000)') for 1 .. 4;
is(sql("select count(*) from saas.outbox where id = '$last'"), 0, 'mail of an organization that is removed is removed');
is(scalar(grep { $_->{data} =~ /^To: <removed\@/m } @{ $sink->mails }), 0, 'and never sent');

unlike($node->log_since(0), qr/could not work on the outbox|could not store/, 'the log has no complaint');
$node->stop;
$sink->stop;
done_testing();
