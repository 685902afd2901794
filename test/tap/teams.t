# Fifty sessions at once: owners who leave or demote each other, the last seats,
# one token; and a permission that one session registers and others know.
use strict;
use warnings;

use IPC::Run ();
use SaasCluster;
use SaasSession;
use Test::More;

my $sessions = 50;
my $node = SaasCluster->create('teams', settings => { max_connections => 80, 'saas.poller_enabled' => 'off' });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
	insert into saas.app_user (email, first_name, last_name, email_verified_at)
	select 'p' || n || '@example.com', 'P' || n, 'Example', now() from generate_series(0, 50) n;
	select count(saas_private.add_organization(id, first_name, null, false)) from saas.app_user;
	create table public.person as
	select substr(u.first_name, 2)::integer as n, u.id as user_id, m.org_id, null::text as token
	  from saas.app_user u join saas.membership m on m.user_id = u.id;
	create table public.outcome (n integer, said text);
	create table public.team as select org_id, user_id from public.person where n = 0;
	create function public.join_all(as_role text) returns void language sql as $$
		delete from saas.membership m using public.team t where m.org_id = t.org_id and m.user_id <> t.user_id;
		insert into saas.membership (org_id, user_id, role)
		select t.org_id, p.user_id, as_role from public.team t, public.person p where p.n > 0 and as_role is not null
	$$;
	create function public.invite_all() returns void language plpgsql as $$
	begin
		perform saas.assume_identity(user_id, org_id) from public.team;
		perform saas_private.forget_attempts('invite', org_id::text) from public.team;
		perform saas_private.forget_attempts('mail', saas_private.email_subject('p' || n || '@example.com')),
		        saas_api.invite_member('p' || n || '@example.com', 'member') from public.person where n > 0;
		update public.person set token = saas.read_mail(o.id) ->> 'token'
		  from saas.outbox o where o.recipient = 'p' || n || '@example.com';
	end $$;
	create function public.try(me integer, what text) returns void language plpgsql as $$
	declare
		mine public.person := (select p from public.person p where p.n = me);
		sent text := (select p.token from public.person p where p.n = case what when 'accept 1' then 1 else me end);
		said text := 'done';
		org uuid := case when what in ('leave', 'demote') then (select org_id from public.team) else mine.org_id end;
	begin
		begin
			perform saas.assume_identity(case what when 'accept 1' then (select user_id from public.person where n = 1) else mine.user_id end,
				case what when 'accept 1' then (select org_id from public.person where n = 1) else org end);
			if what = 'leave' then
				perform saas_api.leave_organization();
			elsif what = 'demote' then
				perform saas_api.change_member_role((select user_id from public.person where n = me % 50 + 1), 'member');
			else
				perform saas_api.accept_invitation(sent);
			end if;
		exception when others then
			said := sqlstate;
		end;
		insert into public.outcome values (me, said);
	end $$});

# All sessions, or as many as are said, wait for the team before the first of
# them gets it.
sub at_once
{
	my ($what, $waiting) = @_;
	my ($in, $out) = ('', '');
	my $file = $node->basedir . '/script.sql';
	sql("truncate public.outcome; select saas_private.forget_attempts('invitation', user_id::text) from public.person");
	open my $script, '>', $file or die "$file: $!";
	print $script "\\set n :client_id + 1\nselect public.try(:n, '$what');\n";
	close $script;
	my $holder = open_session($node);
	say_to($holder, 'begin; select saas_private.lock_members(org_id) from public.team;');
	my $bench = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-c', $sessions, '-j', 2, '-t', 1, '-f', $file,
			'-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$node->poll_query_until('postgres', "select count(*) = " . ($waiting || $sessions) . " from pg_stat_activity where query like 'select public.try(%' and wait_event_type = 'Lock'")
	  or die 'the sessions do not all wait';
	say_to($holder, 'commit;');
	close_session($holder);
	IPC::Run::finish($bench) or die "pgbench: $out";
	return sql("select string_agg(said || ' ' || times, ', ' order by said) from (select said, count(*) as times from public.outcome group by 1) o");
}

sql("select public.join_all('owner'); delete from saas.membership m using public.team t where m.org_id = t.org_id and m.user_id = t.user_id");
is(at_once('leave'), 'PT409 1, done 49', '49 of 50 owners who leave at once can');
is(sql("select count(*), min(role) from saas.membership join public.team using (org_id)"), '1|owner', 'and one remains');

sql("delete from saas.membership m using public.team t where m.org_id = t.org_id");
sql("insert into saas.membership (org_id, user_id, role) select org_id, user_id, 'owner' from public.team; select public.join_all('owner')");
sql("delete from saas.membership m using public.team t where m.org_id = t.org_id and m.user_id = t.user_id");
like(at_once('demote'), qr/^PT403 \d+, done \d+$/, 'of 50 owners who each demote the next some come too late');
my ($owners, $done) = split /\|/, sql("select count(*) filter (where m.role = 'owner'), (select count(*) from public.outcome where said = 'done') from saas.membership m join public.team using (org_id)");
cmp_ok($owners, '>=', 1, "of whom $owners stay owners");
is($owners + $done, $sessions, 'and whoever was demoted demoted nobody afterwards');

sql("delete from saas.membership m using public.team t where m.org_id = t.org_id");
sql("insert into saas.membership (org_id, user_id, role) select org_id, user_id, 'owner' from public.team");
sql('select public.invite_all()');
sql('select saas.set_seats(org_id, 11) from public.team');
is(at_once('accept'), 'PT402 40, done 10', 'of 50 who accept for ten seats ten get in');
is(sql('select count(*) from saas.membership join public.team using (org_id)'), 11, 'and no more');
is(sql(q{select string_agg(status || ' ' || times, ', ' order by status) from (select status, count(*) as times from saas.invitation group by 1) i}),
	'accepted 10, pending 40', 'the other invitations stay');

sql('select saas.set_seats(org_id, null) from public.team; select public.join_all(null); truncate saas.invitation cascade; delete from saas.outbox');
sql('select public.invite_all()');
# The throttle lets ten go on: the others would be told to wait.
is(at_once('accept 1', 10), '22023 9, PT429 40, done 1', 'of 50 sessions with one token one gets in, and the person is throttled');
is(sql("select count(*) from saas.membership join public.team using (org_id)"), 2, 'once');

# Permissions of applications
my ($user, $operator) = (open_session($node), open_session($node));
my $ask = "begin; select saas.assume_identity(user_id, org_id) from public.team; select saas.has_permission('crm.edit'); commit;";
is(say_to($user, $ask), "\nf", 'a session does not know a permission');
say_to($operator, "begin; select saas.register_permission('crm.edit', 'd');");
is(say_to($user, $ask), "\nf", 'nor while another one registers it');
say_to($operator, 'rollback;');
is(say_to($user, $ask), "\nf", 'nor after that was rolled back');
say_to($operator, "begin; select saas.register_permission('crm.edit', 'd'); prepare transaction 'p';");
is(say_to($user, $ask), "\nf", 'nor while it is prepared') if sql('show max_prepared_transactions') > 0;
say_to($operator, "rollback; select saas.register_permission('crm.edit', 'd');");
is(say_to($user, $ask), "\nt", 'it does from the commit on');
is(sql($ask), "\nt", 'and so does every other');
my $late = "begin; select saas.assume_identity(user_id, org_id) from public.team;";
say_to($user, $late);
say_to($operator, "select saas.register_permission('crm.view', 'd');");
is(say_to($user, "select saas.has_permission('crm.view'); commit;"), 'f', 'an identity does not get what is registered after it');
is(say_to($user, "begin; select saas.assume_identity(user_id, org_id) from public.team; select saas.has_permission('crm.view'); commit;"), "\nt", 'but the next one does');
# A withdrawn permission's bit goes to no other while a transaction of before runs.
say_to($user, $late);
say_to($operator, "select saas.unregister_permission('crm.view'), saas.register_permission('crm.more', 'd');");
is(say_to($user, "select saas.has_permission('crm.view'), saas.has_permission('crm.more'), cardinality(saas.current_permissions()); commit;"), 'f|f|14',
	'an identity of before holds neither what was withdrawn nor what came after');
is(say_to($user, "$late select saas.has_permission('crm.view'), saas.has_permission('crm.more'), cardinality(saas.current_permissions()); commit;"), "\nf|t|15",
	'the next one holds what came');
$node->restart;
is(sql($ask), "\nt", 'a restart forgets nothing');
sql("select saas.register_permission('crm.again', 'd')");
is(sql("select string_agg(name || ' ' || number, ', ' order by number) from saas.permission"), 'crm.edit 13, crm.again 14, crm.more 15', 'but makes the place of a withdrawn permission free');
done_testing();
