-- The worker's SQL side.  Leans on connections and metrics tables.

create procedure saas.poll(max_connections integer default null)
language c
as 'MODULE_PATHNAME', 'pg_saas_poll';
comment on procedure saas.poll(integer) is
'Polls the connections that are due, at most max_connections (all when NULL), in the calling session, as the worker would. Runs outside a transaction block: call saas.poll() alone. Errors: 2D000 inside a transaction block, 55000 before saas.install(), PT403. For superusers and members of saas_operator.';

create function saas.poller_status(out database name, out pid integer, out state text,
                                   out in_flight integer, out due integer, out lag interval,
                                   out polls bigint, out failures bigint, out last_poll_at timestamptz,
                                   out last_error text)
returns setof record
language c volatile parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_poller_status';
comment on function saas.poller_status() is
'One row per database with a poller: its process, state, connections in flight and due, how late the oldest due one is, polls and failed polls since the worker''s start, and the SQLSTATE of the last failure; its text is the tenant''s, in saas_api.connections. For saas_operator.';

-- Partitions are made apart and attached, so that the parent is locked for an
-- instant only.  They have row-level security and no policy of their own:
-- read directly they show nothing.
create function saas_private.ensure_reading_partition(at timestamptz) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    from_time timestamptz := date_trunc('week', ensure_reading_partition.at);
    part text := format('reading_%s', to_char(from_time, 'IYYY_"w"IW'));
begin
    if to_regclass('saas.' || quote_ident(part)) is not null then
        return;
    end if;
    -- Nobody else may lock this table, as they may any advisory key.
    lock table saas_private.installation in share row exclusive mode;
    -- By a query: to_regclass may still answer from before the wait.
    if exists (select from pg_class c where c.relnamespace = 'saas'::regnamespace and c.relname = part) then
        return;
    end if;
    execute format('create table saas.%I (like saas.reading including defaults including constraints)', part);
    execute format('alter table saas.%I enable row level security', part);
    execute format('alter table saas.%I force row level security', part);
    execute format('alter table saas.reading attach partition saas.%I for values from (%L) to (%L)',
                   part, from_time, from_time + interval '1 week');
end
$$;
alter function saas_private.ensure_reading_partition(timestamptz) owner to saas_owner;
comment on function saas_private.ensure_reading_partition(timestamptz) is
'Makes the weekly partition of saas.reading that holds the time, if it is missing.';
