# What a tenant's open transaction holds back of the rollups, which is its own
# connections only, and what writers of readings hold back.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use SaasCluster;
use SaasSession;
use SaasTenant;
use SaasUpstream;
use Test::More;

my $node = SaasCluster->create('main', settings => {
		'saas.bcrypt_cost'         => 10,
		'saas.allowed_networks'    => '127.0.0.0/8',
		'saas.allow_plain_http'    => 'on',
		'saas.maintenance_enabled' => 'off',
		'saas.refresh_cooldown'    => '0' });
$node->start;
$node->install('postgres');

my $upstream = SaasUpstream->start;
my $acme     = SaasTenant->create($node, 'postgres', 'Acme');
my $beta     = SaasTenant->create($node, 'postgres', 'Beta');
my $gamma    = SaasTenant->create($node, 'postgres', 'Gamma');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub serve
{
	my ($text) = @_;
	$upstream->control(DELETE => 'faults');
	$upstream->control(POST => 'faults',
		{ path => '/metrics', fault => 'body', body => $text, content_type => 'text/plain; version=0.0.4', code => 200 });
	return;
}

sub scrape
{
	my ($tenant, $id, $text) = @_;
	serve($text);
	my $answers = $tenant->refresh($id);
	return $answers->[0]{error} // "$answers->[0]{samples} samples";
}

sub connect_to
{
	my ($tenant, $name) = @_;
	my $id = $tenant->connect('prometheus', $name, { url => $upstream->url . "/metrics?n=$name" }, {}, '1 day');
	ok($tenant->wait_for($id, 'last_polled_at is not null and lease_id is null'), "$name: the first poll is over");
	return $id;
}

# A tenant's session that does something and then nothing more.
sub linger
{
	my ($tenant, $sql, $role) = @_;
	my $session = open_session($node);
	(my $statements = $tenant->statements($sql)) =~ s/ commit;\n\z//;
	$statements =~ s/role saas_user/role $role/ if $role;
	unlike(say_to($session, $statements), qr/ERROR/, 'a session begins a transaction');
	return $session;
}

sub end_session
{
	my ($session, $end) = @_;
	say_to($session, "$end;");
	close_session($session);
	return;
}

sub is_closing { return sql('select saas_private.closed_until(20) is not null'); }

serve("a 1\n");
my $kept  = connect_to($acme, 'kept');
my $going = connect_to($beta, 'going');
sql('call saas.maintain()');

# The middle of a bucket that is long over.
my $time = (int(time / 300) - 20) * 300 + 100;

sub rolled_up
{
	my ($id) = @_;
	return sql(qq{
		select string_agg(format('%s %s', r.count[u.place], r.sum[u.place]), ', ' order by r.at)
		  from saas.reading_5m r join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id,
		       unnest(l.series_ids) with ordinality u (id, place) join saas.series s on s.id = u.id and s.metric = 'a'
		 where r.connection_id = '$id' and r.at between to_timestamp($time) - interval '5 minutes' and to_timestamp($time)});
}

sub readings_of { return sql("select count(*) from saas.reading where connection_id = '$_[0]'"); }

sub left_of
{
	my ($tenant) = @_;
	return sql('select ' . join ' + ', map { "(select count(*) from $_ where org_id = '" . $tenant->org_id . "')" }
		  qw(saas.connection saas.reading saas.reading_5m saas.reading_1h saas.reading_1d saas.series saas.layout
			 saas_private.rollup_progress saas_private.late_window));
}

#
# Who deletes and does not end
#
my $idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
is(is_closing(), 't', 'a session that has deleted a connection and does not end does not hold back time');
is(scrape($acme, $kept, "a 4 ${time}000\n"), '1 samples', 'others are polled');
sql('call saas.maintain()');
is(rolled_up($kept), '1 4', 'and rolled up');
is(readings_of($going), '1', 'nothing is gone before it ends');
end_session($idle, 'rollback');
is(scrape($beta, $going, "a 5 ${time}000\n"), '1 samples', 'when it is rolled back the connection is polled');
sql('call saas.maintain()');
is(rolled_up($going), '1 5', 'and rolled up');

# A savepoint takes back what the transaction said of itself, with the deletion.
$idle = linger($beta, 'savepoint before; select 1 from saas_api.delete_connection(' . "'$going', 'going'); rollback to before");
is(is_closing(), 't', 'a deletion that is taken back holds nothing back');
end_session($idle, 'commit');
is(readings_of($going), '2', 'and deletes nothing');

# An account goes with an organization that it alone is in.
my $gone = connect_to($gamma, 'gone');
$idle = linger($gamma, "select saas_private.remove_organization('" . $gamma->org_id . "', 'no_members')", 'saas_service');
is(is_closing(), 't', 'nor does one that deletes an organization');
is(scrape($acme, $kept, "a 6 ${time}000\n"), '1 samples', 'meanwhile a correction comes late');
sql('call saas.maintain()');
is(rolled_up($kept), '1 6', 'and is rolled up');
cmp_ok(left_of($gamma), '>=', 4, 'nothing is gone before it ends');
end_session($idle, 'commit');
is(left_of($gamma), '0', 'and of the organization nothing is left');
sql('call saas.maintain()');
is(left_of($gamma), '0', 'nor comes again');

#
# Who writes and does not end
#
my $writer = open_session($node);
say_to($writer, 'begin;');
my $at = $time + 20;
is(say_to($writer, qq{
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select org_id, connection_id, to_timestamp($at), layout_id, "values" from saas.reading
	 where connection_id = '$kept' and at = to_timestamp($time);}), '', 'somebody writes a reading');
is(is_closing(), 'f', 'which holds back time');
$idle = linger($beta, "select saas_api.delete_connection('$going', 'going')");
is(is_closing(), 'f', 'while others delete, too');
end_session($idle, 'rollback');
end_session($writer, 'rollback');
is(is_closing(), 't', 'until it ends');

#
# What tenants can lock
#
$idle = linger($acme, join '; ',
	(map {"select pg_advisory_xact_lock($_)"} 0, 0x5341, "'saas.reading'::regclass::oid::bigint << 32"),
	"select pg_advisory_xact_lock('saas.reading'::regclass::oid::integer, 0)", 'lock table saas.reading in access share mode');
is(sql('select count(*) > 0 and bool_and(objsubid in (1, 2)) from pg_locks where locktype = \'advisory\''), 't',
	'advisory locks of tenants are of other classes');
is(is_closing(), 't', 'what they can lock holds nothing back');
end_session($idle, 'commit');
like($acme->error_of('select saas_private.deletes_readings()'), qr/42501/, 'nor can they say that they only delete');
like($acme->error_of("lock table saas.reading in $_ mode"), qr/42501|PT403/, "nor take $_") foreach 'row exclusive', 'share update exclusive', 'share';

done_testing();
