/*
 * postgresql_health.c
 *	  What is asked of every PostgreSQL server.
 *
 * A number's column names the metric behind "postgresql_", text is a label.
 * A role without pg_monitor sees less: states and lags of others are null.
 * What one may not be allowed to read is a query of its own, so that the rest
 * is there.  Versions from 10 understand all of it.
 */
#include "connector/postgresql.h"

const SaasDatabaseQuery SaasPostgresqlHealth[SAAS_POSTGRESQL_HEALTH_QUERIES] = {
	{"server",
		"select current_setting('server_version_num')::integer as server_version_num,"
		"       current_setting('max_connections')::integer as max_connections,"
		"       extract(epoch from now() - pg_catalog.pg_postmaster_start_time()) as uptime_seconds,"
		"       pg_catalog.pg_is_in_recovery() as in_recovery,"
		"       d.numbackends as database_connections,"
		"       d.xact_commit as transactions_committed_total,"
		"       d.xact_rollback as transactions_rolled_back_total,"
		"       case when d.blks_hit + d.blks_read > 0"
		"            then d.blks_hit::float8 / (d.blks_hit + d.blks_read) end as cache_hit_ratio,"
		"       d.tup_fetched as rows_fetched_total, d.tup_inserted as rows_inserted_total,"
		"       d.tup_updated as rows_updated_total, d.tup_deleted as rows_deleted_total,"
		"       d.deadlocks as deadlocks_total, d.conflicts as conflicts_total,"
		"       d.temp_files as temp_files_total, d.temp_bytes as temp_bytes_total,"
		"       (select max(pg_catalog.age(f.datfrozenxid)) from pg_catalog.pg_database f) as oldest_xid_age,"
		"       case when pg_catalog.pg_is_in_recovery() then"
		"            case when pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() then 0"
		"                 else extract(epoch from now() - pg_catalog.pg_last_xact_replay_timestamp()) end"
		"       end as replication_lag_seconds"
		"  from pg_catalog.pg_stat_database d"
		" where d.datname = pg_catalog.current_database()"},
	{"size", "select pg_catalog.pg_database_size(pg_catalog.current_database()) as database_size_bytes"},
	{"connections",
		"select coalesce(a.state, 'unknown') as state, count(*) as connections,"
		"       max(extract(epoch from now() - a.xact_start)) as oldest_transaction_seconds,"
		"       count(*) filter (where a.wait_event_type = 'Lock') as waiting_for_locks"
		"  from pg_catalog.pg_stat_activity a"
		" where a.datid is not null and a.pid <> pg_catalog.pg_backend_pid()"
		"   and coalesce(a.backend_type, 'client backend') = 'client backend'"
		" group by 1"},
	{"replicas",
		"select r.application_name as application, coalesce(host(r.client_addr), 'local') as client,"
		"       pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery()"
		"            then pg_catalog.pg_last_wal_receive_lsn()"
		"            else pg_catalog.pg_current_wal_lsn() end, r.replay_lsn) as replica_lag_bytes,"
		"       extract(epoch from r.replay_lag) as replica_lag_seconds"
		"  from pg_catalog.pg_stat_replication r"}
};
