# Database logins that saas.map_login() maps to a member: what psql, pg_dump and
# a BI tool see without any token, and when they stop seeing it.
use strict;
use warnings;

use IPC::Run ();
use SaasCluster;
use SaasSession;
use SaasTenant;
use Test::More;

my $node = SaasCluster->create('main',
	settings => { 'saas.bcrypt_cost' => 10, 'saas.poller_enabled' => 'off' });
$node->start;
$node->install('postgres');

sub sql { return $node->safe_psql('postgres', @_); }

sub connstr
{
	my ($user) = @_;
	return $node->connstr('postgres') . " user=$user";
}

# Everything psql said, of one session of the login.
sub as_login
{
	my ($user, $text) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$text",
		connstr => connstr($user), on_error_stop => 0);
	$err =~ s/^psql:<stdin>:\d+: |^LOCATION: .*\n?//mg;
	my $said = join "\n", grep { length } $out, $err;
	chomp $said;
	return $said;
}

my $acme  = SaasTenant->create($node, 'postgres', 'Acme');
my $bravo = SaasTenant->create($node, 'postgres', 'Bravo');
sql(q{
	create role bi_acme login; create role bi_bravo login; create role plain login;
	grant saas_user to bi_acme, bi_bravo, plain;
	create table public.note (org_id uuid not null, body text not null);
	alter table public.note enable row level security;
	alter table public.note force row level security;
	create policy "a member reads the organization's notes" on public.note
	    using (org_id = saas.org_if('view_dashboard')) with check (org_id = saas.org_if('view_dashboard'));
	grant select, insert on public.note to saas_user;
	create view public.who as
	select coalesce((select slug from saas.organization), 'nobody') || ' ' || coalesce(saas.current_role_name(), '-') as who;
	alter view public.who set (security_invoker = true);
	grant select on public.who to public;
	create function public.in_do() returns text language plpgsql as
	$$ declare org uuid := saas.current_org_id(); begin return coalesce(org::text, 'nobody'); end $$;
});
sql("insert into public.note select '" . $_->org_id . "', '" . $_->{name} . " ' || n from generate_series(1, 3) n")
  foreach $acme, $bravo;
sql("select saas.map_login('bi_$_->[0]', '" . $_->[1]->user_id . "', '" . $_->[1]->org_id . "')")
  foreach [ acme => $acme ], [ bravo => $bravo ];

#
# What it sees
#
is(as_login('bi_acme', 'table who'), 'acme owner', 'a mapped login has its member\'s identity without a token');
is(as_login('bi_bravo', 'table who'), 'bravo owner', 'another one its own');
is(as_login('plain', 'table who'), 'nobody -', 'a login without a mapping has none');
is(as_login('bi_acme', q{select distinct body like 'Acme%' from note; select count(*) from note}), "t\n3",
	'it sees the rows of its tenant only');
is(as_login('bi_bravo', q{select string_agg(body, ',' order by body) from note}), 'Bravo 1,Bravo 2,Bravo 3',
	'and so does the other');
like(as_login('bi_acme', "insert into note values ('" . $bravo->org_id . "', 'x')"), qr/42501.*row-level security/,
	'nor does it write elsewhere');
is(as_login('bi_acme', "select saas.current_user_id() = '" . $acme->user_id . "', saas.current_session_id() is null"),
	't|t', 'the identity is the member\'s and comes from no session');

my $org = $acme->org_id;
is(as_login('bi_acme', "do \$\$ begin raise notice '%', public.in_do(); end \$\$"), 'NOTICE:  00000: ' . $org, 'in DO');
is(as_login('bi_acme', "do \$\$ declare org uuid := saas.current_org_id(); begin raise notice '%', org; end \$\$"),
	'NOTICE:  00000: ' . $org, 'and in an expression that needs no query');
is(as_login('bi_acme', "begin transaction isolation level serializable, read only, deferrable; table who; commit"),
	'acme owner', 'in a read-only transaction');
is(as_login('bi_acme', "begin; set transaction isolation level repeatable read; table who; commit"),
	'acme owner', 'BEGIN and SET leave the isolation level open');
is(as_login('bi_acme', 'begin; declare c cursor for select body from note order by 1; fetch 2 from c; commit'),
	"Acme 1\nAcme 2", 'with a cursor');
like(as_login('bi_acme', 'declare c cursor with hold for select body from note'), qr/0A000/,
	'but not one WITH HOLD');
is(as_login('bi_acme', "copy note to stdout") =~ s/^.*\t//mgr, "Acme 1\nAcme 2\nAcme 3", 'with COPY');
like(as_login('bi_acme', 'explain select from note'), qr/PT403.*EXPLAIN is not allowed to tenants/, 'EXPLAIN only when');
sql('alter role bi_acme set saas.restrict_sessions = off');
is(as_login('bi_acme', "explain (costs off, analyze, summary off, timing off) select from note") =~ /actual rows=3/, 1,
	'a superuser has turned saas.restrict_sessions off for it');
sql('alter role bi_acme reset saas.restrict_sessions');
my $force = sql(q{select name from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query')});
is(as_login('bi_acme', <<"SQL"), "on\nt\n3", 'in parallel workers');
set $force = on; set parallel_setup_cost = 0; set min_parallel_table_scan_size = 0;
select current_setting('$force');
select saas.current_org_id() is not null;
select count(*) from note;
SQL
is(as_login('bi_acme', 'begin; savepoint s; table who; rollback to s; table who; commit'), "acme owner\nacme owner",
	'rolling back to a savepoint from before leaves the identity');
is(as_login('bi_acme', 'begin; table who; reset all; table who; commit'), "acme owner\nacme owner", 'and so does RESET ALL');
is(as_login('bi_acme', 'begin; table who; select saas.clear_identity(); table who; savepoint s; table who; rollback to s; table who; commit'),
	"acme owner\n\nnobody -\nnobody -\nnobody -", 'it can be dropped until the transaction ends');
like(as_login('bi_acme', "begin; select saas.authenticate('" . sql("select saas_api.sign_in('" . $bravo->email . "', '"
			. $bravo->password . "') ->> 'access_token'") . "'); commit"),
	qr/25001/, 'somebody else\'s token makes nobody else of it');
is(as_login('bi_acme', "prepare p as select count(*), min(body) from note; execute p; execute p; execute p; execute p;"
	  . ' execute p; execute p; execute p'), join("\n", ('3|Acme 1') x 7), 'prepared statements, generic plans among them');

#
# The session's login counts, not the role
#
is(as_login('bi_acme', 'set role saas_user; table who; reset role; table who'), "acme owner\nacme owner",
	'SET ROLE does not change the identity');
sql('grant bi_bravo to bi_acme');
is(as_login('bi_acme', 'set role bi_bravo; table who; select count(*) from note'), "acme owner\n3",
	'not even to the role of another mapped login');
sql('revoke bi_bravo from bi_acme');
like(as_login('bi_acme', 'set session authorization bi_bravo'), qr/42501/, 'the login itself cannot be changed');
is(sql('set session authorization bi_acme; table who; reset session authorization; select saas.is_authenticated()'),
	"acme owner\nf", 'a superuser who takes a login has its identity, and none afterwards');
is(sql("begin; set session authorization plain; table who; set session authorization bi_acme; table who; commit"),
	"nobody -\nacme owner", 'also within a transaction');
like(scalar(($node->psql('postgres',
			'begin; set session authorization bi_acme; table who; set session authorization bi_bravo;'
			  . ' savepoint s; table who; rollback to s; table who', on_error_stop => 0))[2]),
	qr/(?:this transaction already acts for another identity.*){2}/s, 'but never two tenants in one');

#
# pg_dump
#
my ($dump, $errors) = ('', '');
IPC::Run::run([ $node->installed_command('pg_dump'), '--data-only', '--enable-row-security', '-t', 'public.note',
		'-t', 'saas.organization', '-d', connstr('bi_acme') ], '>', \$dump, '2>', \$errors);
is($errors, '', 'pg_dump with row-level security works');
like($dump, qr/Acme 1\n.*Acme 2\n.*Acme 3\n/, 'and dumps the tenant\'s rows');
unlike($dump, qr/Bravo|bravo/, 'only those');

#
# Changes count from the next transaction on, in open sessions too
#
my $session = open_session($node, 'bi_acme');
my $other   = open_session($node, 'plain');
is(say_to($session, 'table who;'), 'acme owner', 'an open session of the mapped login');
is(say_to($other, 'table who;'), 'nobody -', 'and one of a login without a mapping');
sql("select saas.map_login('bi_acme', '" . $bravo->user_id . "', '" . $bravo->org_id . "')");
is(say_to($session, 'select min(body) from note;'), 'Bravo 1', 'a changed mapping shows the other tenant');
sql("select saas.map_login('plain', '" . $acme->user_id . "', '" . $acme->org_id . "')");
is(say_to($other, 'table who;'), 'acme owner', 'a new one counts in a session that had none');
say_to($other, 'begin; table who;');
sql("select saas.unmap_login('plain')");
is(say_to($other, 'table who;'), 'acme owner', 'a transaction keeps its identity');
is(say_to($other, 'commit; table who;'), 'nobody -', 'and the next one has none once the mapping is gone');
sql("delete from saas_private.login_mapping where login = 'bi_acme'");
is(say_to($session, 'table who;'), 'nobody -', 'however it went');
sql("select saas.map_login('bi_acme', '" . $acme->user_id . "', '" . $acme->org_id . "')");
is(say_to($session, 'table who;'), 'acme owner', 'mapped again it is back');

sql("update saas.app_user set is_active = false where id = '" . $acme->user_id . "'");
like(say_to($session, 'select 1;'), qr/^ERROR:  User not found or inactive$/, 'a deactivated member\'s login gets an error');
like(as_login('bi_acme', 'select 1'),
	qr/PT401: User.*\nDETAIL:  The login "bi_acme" is mapped to somebody who is no longer an active member.*\nHINT:  /s,
	'that says what is wrong');
is(as_login('bi_acme', "begin; savepoint s; select 1; rollback to s; select 1; commit") =~ s/\n?^(?!ERROR).*//mgr,
	join("\n", ('ERROR:  PT401: User not found or inactive') x 2), 'each time');
is(as_login('bi_acme', "set application_name = 'x'; show application_name"), 'x', 'what needs no identity goes on');
sql("update saas.app_user set is_active = true where id = '" . $acme->user_id . "'");
is(say_to($session, 'table who;'), 'acme owner', 'an active one\'s works again');
sql("update saas.organization set status = 'suspended' where id = '$org'");
like(say_to($session, 'select 1;'), qr/^ERROR:  Organization is suspended$/, 'a suspended organization is refused');
sql("update saas.organization set status = 'active' where id = '$org'");
sql("update saas.membership set role = 'viewer' where org_id = '$org'");
is(say_to($session, 'table who;'), 'acme viewer', 'the role is the member\'s at that moment');
sql("delete from saas.membership where org_id = '$org'");
like(say_to($session, 'select 1;'), qr/^ERROR:  Invalid organization access$/, 'a membership that ended is refused');
sql("insert into saas.membership (org_id, user_id, role) values ('$org', '" . $acme->user_id . "', 'owner')");

#
# The role itself
#
sql('alter role bi_acme rename to bi_renamed');
is(as_login('bi_renamed', 'table who'), 'nobody -', 'a renamed login holds no mapping');
sql('alter role bi_renamed rename to bi_acme');
is(say_to($session, 'table who;'), 'acme owner', 'under its name it does');
sql('grant saas_operator to bi_acme');
is(say_to($session, 'table who;'), 'nobody -', 'one that became an operator has none');
sql('revoke saas_operator from bi_acme');
is(say_to($session, 'table who;'), 'acme owner', 'until it is none any more');
sql('alter role bi_acme bypassrls');
is(say_to($session, 'select saas.is_authenticated();'), 'f', 'nor one that bypasses row-level security');
sql('alter role bi_acme nobypassrls');
close_session($session);
sql('drop role bi_acme; create role bi_acme login; grant saas_user to bi_acme');
is(as_login('bi_acme', 'table who'), 'nobody -', 'a role made anew under the name holds none');
sql(q{select saas.unmap_login('bi_acme')});
is(sql('select count(*) from saas_private.login_mapping'), 1, 'and the old one\'s can be removed');

sql('create database other');
is($node->safe_psql('other', 'select 1', connstr => $node->connstr('other') . ' user=bi_bravo'), 1,
	'a database without pg_saas asks nothing');
close_session($other);

done_testing();
