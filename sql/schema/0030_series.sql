-- When series and layouts were last written to, so that those go of which
-- nothing is left.  Leans on metrics, rollups.

alter table saas.series add column seen_at timestamptz not null default now();
alter table saas.layout add column seen_at timestamptz not null default now();
create index series_seen_at_idx on saas.series (org_id, connection_id, seen_at);
create index layout_seen_at_idx on saas.layout (org_id, connection_id, seen_at);
comment on table saas.series is
'Metric and labels of a connection. Deleted by saas.maintain() once nothing of it is within the plan''s retention.';
comment on table saas.layout is
'The ordered series that one poll of a connection yields; readings and rollups refer to it. Deleted by saas.maintain() once none of them is within the plan''s retention.';
comment on column saas.series.seen_at is
'When it was last written to; brought up to date when it is older than 7 days. No reading or rollup of it is of a time more than 8 days later.';
comment on column saas.layout.seen_at is
'When it was last written to; brought up to date when it is older than 7 days. No reading or rollup with it is of a time more than 8 days later.';

create policy "the poller notes what it has seen" on saas.series
    for update to saas_poller using (true) with check (true);
create policy "the poller notes what it has seen" on saas.layout
    for update to saas_poller using (true) with check (true);
grant update on saas.series, saas.layout to saas_poller;
create policy "the service deletes series without values" on saas.series
    to saas_service using (true) with check (true);
-- A row is locked before it is deleted, which takes the right to update.
grant select, delete, update on saas.series to saas_service;
grant delete, update on saas.layout to saas_service;
