# Every function of the extension, called with nulls and with something of each
# type: in a server that has not loaded the library, in a database without the
# tables, and in one with them.  Errors are errors of the caller, and nothing
# crashes.
use strict;
use warnings;

use SaasCluster;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.bcrypt_cost' => 10 });
$node->start;
$node->safe_psql('postgres', "create database $_") foreach qw(empty installed);
$node->safe_psql('empty', 'create extension pg_saas cascade');
$node->install('installed');

# What became of each call: "language call|ok" or "language call|SQLSTATE
# message".  A strict function is not called with nulls.
my $calls = q{
create function pg_temp.try(call text) returns text language plpgsql as $$
begin
	execute call;
	raise exception using errcode = 'ZZ000';
exception
	when sqlstate 'ZZ000' then return 'ok';
	when others then return sqlstate || ' ' || sqlerrm;
end $$;
create function pg_temp.something(type regtype) returns text language sql as $$
	select coalesce((select quote_literal(value) from (values
		('text'::regtype, 'x'), ('uuid', '5cf37266-3473-4006-984f-9325122678b7'), ('smallint', '1'), ('integer', '1'),
		('bigint', '1'), ('boolean', 'true'), ('interval', '1 minute'), ('jsonb', '{"x": 1}'), ('json', '{"x": 1}'),
		('timestamptz', 'now'), ('date', 'today'), ('inet', '192.0.2.1'), ('bytea', '\x01'), ('name', 'x'),
		('double precision', '1'), ('numeric', '1'), ('regclass', 'pg_class'), ('oid', '1'), ('text[]', '{x}'),
		('uuid[]', '{5cf37266-3473-4006-984f-9325122678b7}'), ('integer[]', '{1}'), ('bigint[]', '{1}'),
		('double precision[]', '{1}')) v (type, value) where v.type = something.type), 'null') || '::' || something.type
$$;
set statement_timeout = '60s';
select l.lanname || ' ' || c.call || '|' || pg_temp.try(c.call)
  from pg_proc p
  join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  join pg_extension e on e.oid = d.refobjid and e.extname = 'pg_saas'
  join pg_language l on l.oid = p.prolang
 cross join lateral (values ('null'), ('something')) k (kind)
 cross join lateral (
	select format('%s %s(%s)', case p.prokind when 'p' then 'call' else 'select' end, p.oid::regproc,
	              string_agg(case k.kind when 'null' then 'null::' || t.type::regtype else pg_temp.something(t.type) end, ', ' order by t.n))
	  from unnest(p.proargtypes::oid[]) with ordinality t (type, n)) c (call)
 where p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
   -- Steps of aggregates, which SQL cannot call but through these.
   and 'internal'::regtype <> all (p.proargtypes::oid[]) and p.proname not in ('uninstall', 'install', 'migrate')
   and not (k.kind = 'null' and (p.proisstrict or p.pronargs = 0)) and not (p.proisstrict and c.call like '%null::%')
 order by p.oid, k.kind};

sub try_all
{
	my ($database) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $calls, connstr => $node->connstr($database), timeout => 600);
	is($status, 0, "$database: the session lives through all of it") or diag($err);
	return split /\n/, $out;
}

# Functions of saas_private have callers that know what they pass, and say with
# elog what cannot happen.
sub is_clean
{
	my ($database, @results) = @_;
	cmp_ok(scalar(@results), '>', 300, "$database: functions were called");
	is(join("\n", grep { /\|(?:XX|P0004|57P|58)/ && !/^\w+ select saas_private\./ } @results), '',
		"$database: every error is the caller's");
	return;
}

is_clean($_, try_all($_)) foreach qw(empty installed);
unlike($node->log_since(0), qr/terminated by signal|TRAP: |PANIC: /, 'no process crashed');

$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
$node->restart;
foreach my $database (qw(empty installed))
{
	my @results = try_all($database);
	cmp_ok(scalar(@results), '>', 300, "$database, without the library: functions were called");
	is(join("\n", grep { /^c / && !/\|55000 pg_saas must be loaded via "shared_preload_libraries"$/ } @results), '',
		"$database: those of the library say that it must be preloaded");
	is(join("\n", grep { /^c .*\|ok$/ } @results), '', 'and none works');
	is(join("\n", grep { /\|(?:XX|P0004|57P|58)/ } @results), '', 'the errors of others are clean too');
}
foreach my $table (qw(saas.organization saas.membership saas.connection))
{
	my ($status, $out, $err) = $node->psql('installed', "set role saas_user; table $table");
	like($err, qr/must be loaded via "shared_preload_libraries"/, "without the library nobody reads $table");
	is($out, '', 'not a row');
}
unlike($node->log_since(0), qr/terminated by signal|TRAP: |PANIC: /, 'no process crashed in all of this');

done_testing();
