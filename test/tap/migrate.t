# Installing, migrating and removing the tables.
use strict;
use warnings;

use SaasCluster;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off' });
$node->start;

# psql's error with its SQLSTATE, '' without one.
sub error_of
{
	my ($sql) = @_;
	my ($status, $out, $err) =
	  $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	return $status == 0 ? '' : $err;
}

sub sql { return $node->safe_psql('postgres', @_); }

sub schemas
{
	return sql(q{select string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname ~ '^saas'});
}

sub tables
{
	return sql(q{select string_agg(c.oid::regclass::text, ' ' order by c.oid::regclass::text)
		from pg_class c where c.relkind in ('r', 'p', 'v') and not c.relispartition and c.relnamespace::regnamespace::text ~ '^saas'});
}

sql('create extension pg_saas cascade');
is(tables(), '', 'the extension itself has no tables');
my $first = sql('select saas.version()');

like(error_of('select saas.migrate()'), qr/55000.*HINT:  Run select saas\.install\(\) as a superuser\./s,
	'saas.migrate() needs saas.install() first');
like(error_of("select $_"), qr/55000.*HINT:  Run select saas\.install\(\)/s, "$_ too")
  foreach "saas.uninstall('postgres')", 'saas.adopt()', "saas_api.sign_in('a\@example.com', 'correct horse')",
  'saas_api.jwks()', 'saas.verify_audit(null)', 'saas.audit_checkpoint(null)', 'saas.prune_audit(null, now())';
like(error_of('call saas.poll()'), qr/55000.*HINT:  Run select saas\.install\(\)/s, 'call saas.poll() too');
like(error_of('call saas.seal_audit()'), qr/55000.*HINT:  Run select saas\.install\(\)/s, 'call saas.seal_audit() too');
sql(q{create role plain;
	grant usage on schema saas, saas_private to plain;
	grant execute on all functions in schema saas, saas_private to plain});
like(error_of("set role plain; select $_"), qr/PT403/, "$_ is for superusers, whatever was granted")
  foreach 'saas.install()', 'saas.migrate()', "saas.uninstall('postgres')", 'saas.adopt()';
is(tables(), '', 'and none of them left anything');

my ($count) = sql('select saas.install()') =~ /^pg_saas \Q$first\E installed: (\d+) migrations$/;
is(sql('select count(*) from saas.schema_migration'), $count, 'saas.install() runs all migrations');
is(sql('select count(*) from saas_private.migration_scripts()'), $count, 'that the extension has');
is(sql('select min(version), max(version) from saas.schema_migration'), "1|$count", 'numbered without a gap');
is(sql('select system_identifier = (pg_control_system()).system_identifier and database_oid = d.oid'
	  . ' from saas_private.installation, pg_database d where d.datname = current_database()'),
	't', 'and knows where it is');
my $installed = tables();
like(error_of('select saas.install()'), qr/42P07.*HINT:  Run select saas\.migrate\(\)/s, 'not twice');
like(sql('select saas.migrate()'),
	qr/^pg_saas \Q$first\E: 0 migrations ran$/, 'afterwards there is nothing to migrate');
is(tables(), $installed, 'and nothing changes');

# A table of ours that somebody leans on goes only together with theirs.
sql(q{create view public.names as select name from saas.organization});
like(error_of("select saas.uninstall('Postgres')"), qr/22023/, 'saas.uninstall() wants the exact name');
like(error_of('select saas.uninstall(null)'), qr/22023/, 'and not none');
is(tables(), $installed, 'and removes nothing without it');
like(sql("select saas.uninstall('postgres')"), qr/uninstalled/, 'with it');
is(tables(), '', 'the tables go');
is(sql('select count(*) from pg_policy'), 0, 'and what hung on them');
like(error_of('select saas.migrate()'), qr/55000/, 'whereupon saas.migrate() needs saas.install() again');
sql('select saas.install()');
is(tables(), $installed, 'which makes the same tables again');

is(error_of("begin; select saas.uninstall('postgres'); select saas.install(); rollback"),
	'', 'both in one transaction');
is(tables(), $installed, 'which can be rolled back');

sql("select saas.uninstall('postgres'); drop extension pg_saas; create extension pg_saas; select saas.install()");
is(tables(), $installed, 'all of it once more from the start');
is(schemas(), 'saas saas_api saas_private', 'in the same schemas');

# Where somebody could have prepared the ground.
sql("select saas.uninstall('postgres'); drop extension pg_saas; grant saas_owner to plain");
sql('create extension pg_saas');
like(error_of('select saas.install()'), qr/42710.*saas_owner/s, 'a service role with a member is refused');
sql('revoke saas_owner from plain; drop extension pg_saas; alter role saas_service login');
like(error_of('create extension pg_saas'), qr/42710.*saas_service/s, 'a service role that can log in is refused');
sql('alter role saas_service nologin; create schema saas_api');
like(error_of('create extension pg_saas'), qr/42P06/, 'a schema that exists is refused');
is(schemas(), 'saas_api', 'and nothing else is made');
sql('drop schema saas_api; create extension pg_saas; select saas.install()');
is(tables(), $installed, 'once all is in order it installs');

$node->stop;
done_testing();
