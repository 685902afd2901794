# Rollups from before there were sketches: what the migration makes of them, and
# how percentiles are answered then.
use strict;
use warnings;

use SaasCluster;
use Test::More;

my $node = SaasCluster->create('main', settings => { 'saas.poller_enabled' => 'off', 'saas.maintenance_enabled' => 'off', 'TimeZone' => 'UTC' });
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The tables as the migrations up to this one make them.
my $before = 33;
sql(qq{
	create extension pg_saas cascade;
	alter function saas_private.migration_scripts() rename to every_script;
	create function saas_private.migration_scripts() returns table (version integer, name text, script text)
	language sql as 'select * from saas_private.every_script() s where s.version <= $before';
	select saas.install();
	drop function saas_private.migration_scripts();
	alter function saas_private.every_script() rename to migration_scripts});
is(sql('select max(version) from saas.schema_migration'), $before, 'tables from before there were sketches');
is(sql(q{select count(*) from pg_attribute where attname = 'sketch' and attrelid in (select oid from pg_class where relname ~ '^reading')}), '0', 'which have none');

# A day and a half of readings, rolled up until 14:25 of the second; another
# connection that nothing was rolled up of.
my ($org, $old, $new) = map { "0196a3b0-0000-7000-8000-00000000000$_" } 1 .. 3;
my $until = '2026-03-02 14:25';
sql(qq{
	update saas.plan set retention_days = null, retention_5m_days = null, retention_1h_days = null, retention_1d_days = null;
	insert into saas.app_user (id, email, first_name, last_name, email_verified_at)
	values ('$org', 'ada\@example.com', 'Ada', 'Example', now());
	do \$\$ begin perform saas_private.add_organization('$org', 'One', 'one', false); end \$\$;
	insert into saas.connection (org_id, id, kind, name, account_key, config, origin, poll_interval, is_active)
	select m.org_id, v.id::uuid, 'prometheus', v.name, v.name, '{}', 'https://one.example.com:443', interval '5 minutes', false
	  from saas.membership m, (values ('$old', 'old'), ('$new', 'new')) v (id, name);
	insert into saas.series (org_id, connection_id, metric) select c.org_id, c.id, 'load' from saas.connection c;
	insert into saas.layout (org_id, connection_id, fingerprint, series_ids)
	select s.org_id, s.connection_id, sha256(s.id::text::bytea), array[s.id] from saas.series s;
	do \$\$ begin
		perform saas_private.ensure_reading_partition(d), saas_private.ensure_rollup_partition('5m', d),
		        saas_private.ensure_rollup_partition('1h', d), saas_private.ensure_rollup_partition('1d', d)
		   from unnest('{2026-03-01,2026-03-02}'::timestamptz[]) d; end \$\$;
	insert into saas.reading (org_id, connection_id, at, layout_id, "values")
	select l.org_id, l.connection_id, g.at, l.id, array[exp(4 * abs(sin(extract(epoch from g.at)))) + case l.connection_id when '$new' then 100 else 0 end]
	  from saas.layout l, generate_series(timestamptz '2026-03-01', '2026-03-02 15:59', '1 minute') g (at);
	insert into saas_private.rollup_progress (org_id, connection_id, rolled_until)
	select c.org_id, c.id, case c.id when '$old' then '$until' else '-infinity' end::timestamptz from saas.connection c});
foreach my $level ([ '5m', '5 minutes', $until ], [ '1h', '1 hour', '2026-03-02 14:00' ], [ '1d', '1 day', '2026-03-02' ])
{
	sql(qq{
		insert into saas.reading_$level->[0]
		select v.org_id, v.connection_id, v.at, v.layout_id, a[1:1], a[2:2], a[3:3], a[4:4], a[5:5], a[6:6], a[7:7]
		  from (select r.org_id, r.connection_id, date_bin('$level->[1]', r.at, '2026-03-01') as at, r.layout_id, saas_private.roll(r."values" order by r.at) as a
		          from saas.reading r where r.connection_id = '$old' and r.at < '$level->[2]' group by 1, 2, 3, 4) v});
}

sub rollups
{
	return join ' ', map {
		sql("select count(*) || ' ' || md5(string_agg((to_jsonb(r) - 'sketch')::text, ',' order by r.at)) from saas.reading_$_ r where r.connection_id = '$old'")
	} '5m', '1h', '1d';
}

my $rollups = rollups();
like($rollups, qr/^461 \w+ 38 \w+ 1 \w+$/, 'there are rollups');
like(sql('select saas.migrate()'), qr/ [1-9]\d* migrations ran$/, 'the tables are migrated');
is(rollups(), $rollups, 'the rollups are the same');
is(sql('select count(*), count(sketch) from saas.reading_1h'), '38|0', 'without sketches');
is(sql(q{select string_agg(p.sketched_since::text, ' ' order by c.name desc) from saas_private.rollup_progress p join saas.connection c on c.id = p.connection_id}),
	'2026-03-02 14:00:00+00 -infinity', 'hours have one from the one on that was not over, and all of who had no rollups');
is(sql(q{select relrowsecurity and relforcerowsecurity from pg_class where oid = 'saas_private.rollup_progress'::regclass}), 't', 'row-level security is forced again');

sub as_owner
{
	my ($sql) = @_;
	return sql("begin; do \$\$ begin perform saas.assume_identity(m.user_id, m.org_id) from saas.membership m; end \$\$; set local role saas_user; $sql; commit");
}

# 95 percent of each bucket of a connection, and of its readings by PostgreSQL itself.
sub answers
{
	my ($id, $since, $end, $bucket) = @_;
	return as_owner(qq{select string_agg(to_char(bucket_at, 'DD"T"HH24') || ' ' || coalesce(round(value::numeric, 6)::text, 'none'), ' ' order by bucket_at)
		from saas_api.query_metric('load', '$since', '$end', '$bucket', 'p95', connection_ids => '{$id}')});
}

sub exact
{
	my ($id, $since, $end, $bucket) = @_;
	return sql(qq{select string_agg(to_char(b.at, 'DD"T"HH24') || ' ' || round(b.p::numeric, 6), ' ' order by b.at)
		from (select date_bin('$bucket', r.at, '2026-03-01') as at, percentile_cont(0.95) within group (order by r."values"[1]) as p
		        from kept r where r.connection_id = '$id' and r.at >= '$since' and r.at < '$end' group by 1) b});
}

# Within 1 percent.
sub is_near
{
	my ($answer, $exact) = @_;
	my @answer = split / /, $answer;
	my @exact  = split / /, $exact;
	return 0 if @answer != @exact || !@answer;
	foreach my $i (0 .. $#answer)
	{
		return 0 if $i % 2 ? abs($answer[$i] - $exact[$i]) > 0.010001 * abs $exact[$i] : $answer[$i] ne $exact[$i];
	}
	return 1;
}

sub explained
{
	my ($since, $end, $bucket) = @_;
	return as_owner("select concat_ws(' ', e ->> 'level', e ->> 'method', e ->> 'visible_since') from saas_api.explain_metric('load', '$since', '$end', '$bucket', 'p95') e");
}

sql('create table kept as select * from saas.reading');
my @days  = ('2026-03-01', '2026-03-03', '1 day');
my @hours = ('2026-03-01 20:00', '2026-03-02 16:00', '1 hour');
is(answers($old, @days), exact($old, @days), 'before maintenance days are answered from readings, exactly');
is(answers($old, @hours), exact($old, @hours), 'hours too');
sql('call saas.maintain()');
is(sql("select string_agg(to_char(at, 'HH24') || case when sketch is null then ' none' else '' end, ',' order by at) from saas.reading_1h where connection_id = '$old' and at >= '2026-03-02 12:00'"),
	'12 none,13 none,14,15', 'maintenance makes those of the hours that were not over');
is(sql("select string_agg((sketch is null)::text, ',' order by at) from saas.reading_1d where connection_id = '$old'"), 'true,true', 'and of no day whose hours lack any');
is(sql("select count(*), count(sketch) from saas.reading_1h where connection_id = '$new'"), '40|40', 'and all of the other connection');
ok(is_near(answers($_, @days), exact($_, @days)), 'percentiles of days are right') foreach $old, $new;
ok(is_near(answers($_, @hours), exact($_, @hours)), 'and of hours') foreach $old, $new;
is(answers($old, '2026-03-01 20:00', '2026-03-02 14:00', '1 hour'), exact($old, '2026-03-01 20:00', '2026-03-02 14:00', '1 hour'), 'exactly where readings answer');

# Without the readings.
sql('delete from saas.reading; update saas.plan set retention_days = 1');
my @sketched = ('2026-03-02 14:00', '2026-03-02 16:00', '1 hour');
ok(is_near(answers($old, @sketched), exact($old, @sketched)), 'without readings sketches answer');
is(answers($old, '2026-03-01', '2026-03-02 14:00', '1 hour'), '', 'before, nothing does');
ok(is_near(answers($new, @hours), exact($new, @hours)), 'the other connection is answered as before');
like(explained(@hours), qr/^1h sketch 2026-03-02T14:00:00/, 'which is said');
is(as_owner("select count(*) from saas_api.query_metric('load', '2026-03-01', '2026-03-02 14:00', '1 hour', 'avg', connection_ids => '{$old}')"), '38',
	'other functions have every rollup');

$node->stop;
done_testing();
