-- Series, layouts and readings: one row per poll with an array of values.
-- Leans on connections.

create table saas.series (
    org_id uuid not null,
    id uuid not null default saas.uuidv7(),
    connection_id uuid not null,
    metric text not null check (octet_length(metric) between 1 and 255),
    labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
    created_at timestamptz not null default now(),
    primary key (org_id, id),
    constraint series_identity unique (org_id, connection_id, metric, labels),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
);
create index series_metric_idx on saas.series (org_id, metric);
comment on table saas.series is
'Metric and labels of a connection.';
alter table saas.series enable row level security;
alter table saas.series force row level security;
create policy "holders of view_dashboard read series" on saas.series
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the poller reads every series" on saas.series
    for select to saas_poller using (true);
create policy "the poller adds series" on saas.series
    for insert to saas_poller with check (true);
grant select on saas.series to saas_user;
grant select, insert on saas.series to saas_poller;

create table saas.layout (
    org_id uuid not null,
    id uuid not null default saas.uuidv7(),
    connection_id uuid not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    series_ids uuid[] not null,
    created_at timestamptz not null default now(),
    primary key (org_id, id),
    constraint layout_fingerprint unique (org_id, connection_id, fingerprint),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
);
comment on table saas.layout is
'The ordered series that one poll of a connection yields; readings refer to it.';
comment on column saas.layout.fingerprint is 'SHA-256 over the ordered metrics and labels.';
alter table saas.layout enable row level security;
alter table saas.layout force row level security;
create policy "holders of view_dashboard read layouts" on saas.layout
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the poller reads every layout" on saas.layout
    for select to saas_poller using (true);
create policy "the poller adds layouts" on saas.layout
    for insert to saas_poller with check (true);
grant select on saas.layout to saas_user;
grant select, insert on saas.layout to saas_poller;

-- No foreign key: checking one per poll would cost as much as the insert.
create table saas.reading (
    org_id uuid not null,
    connection_id uuid not null,
    at timestamptz not null,
    layout_id uuid not null,
    "values" double precision[] not null,
    primary key (org_id, connection_id, at)
) partition by range (at);
comment on table saas.reading is
'One row per connection and time with the values of its layout''s series in order. NULL is a missing value.';
alter table saas.reading enable row level security;
alter table saas.reading force row level security;
create policy "holders of view_dashboard read readings" on saas.reading
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the poller reads every reading" on saas.reading
    for select to saas_poller using (true);
create policy "the poller adds readings" on saas.reading
    for insert to saas_poller with check (true);
create policy "the poller corrects readings" on saas.reading
    for update to saas_poller using (true) with check (true);
grant select on saas.reading to saas_user;
grant select, insert, update on saas.reading to saas_poller;

create view saas.sample with (security_invoker = true) as
select r.org_id, r.connection_id, s.id as series_id, s.metric, s.labels, r.at, v.value
  from saas.reading r
  join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id
 cross join lateral unnest(l.series_ids, r."values") as v (series_id, value)
  join saas.series s on s.org_id = r.org_id and s.id = v.series_id;
comment on view saas.sample is
'One row per series and time. Reads with the caller''s rights.';
grant select on saas.sample to saas_user;

create view saas.latest_sample with (security_invoker = true) as
select c.org_id, c.id as connection_id, s.id as series_id, s.metric, s.labels, r.at, v.value
  from saas.connection c
 cross join lateral (
        select n.at, n.layout_id, n."values"
          from saas.reading n
         where n.org_id = c.org_id and n.connection_id = c.id
         order by n.at desc
         limit 1) r
  join saas.layout l on l.org_id = c.org_id and l.id = r.layout_id
 cross join lateral unnest(l.series_ids, r."values") as v (series_id, value)
  join saas.series s on s.org_id = c.org_id and s.id = v.series_id;
comment on view saas.latest_sample is
'The samples of each connection''s newest reading. Reads with the caller''s rights.';
grant select on saas.latest_sample to saas_user;

create policy "holders of manage_connections delete a connection's readings" on saas.reading
    for delete using (org_id = saas.org_if('manage_connections'));
