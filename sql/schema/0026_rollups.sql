-- Rollups of readings by 5 minutes, hours and days, how far they are, and how
-- long plans keep what.  Leans on metrics and plans.

-- The same at every level.  The foreign key is there because far fewer rows
-- come than readings, and takes them along with their connection.
create table saas.reading_5m (
    org_id uuid not null,
    connection_id uuid not null,
    at timestamptz not null,
    layout_id uuid not null,
    count double precision[] not null,
    sum double precision[] not null,
    min double precision[] not null,
    max double precision[] not null,
    first double precision[] not null,
    last double precision[] not null,
    increase double precision[] not null,
    primary key (org_id, connection_id, at),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
) partition by range (at);
create table saas.reading_1h (
    like saas.reading_5m,
    primary key (org_id, connection_id, at),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
) partition by range (at);
create table saas.reading_1d (
    like saas.reading_5m,
    primary key (org_id, connection_id, at),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
) partition by range (at);
comment on table saas.reading_5m is
'Readings rolled up by 5 minutes: a row per connection and bucket, whose arrays follow its layout''s series. count of values that are not NULL, their sum, min, max, first, last, and increase, which is what a counter gained from first to last. A sum that overflows is infinite. Partitioned by month. Written by saas.maintain() and the worker.';
comment on table saas.reading_1h is
'Readings rolled up by hour, from saas.reading_5m and like it. Partitioned by quarter.';
comment on table saas.reading_1d is
'Readings rolled up by day (UTC), from saas.reading_1h and like it. Partitioned by year.';
comment on column saas.reading_5m.at is 'The bucket''s beginning.';
comment on column saas.reading_1h.at is 'The bucket''s beginning.';
comment on column saas.reading_1d.at is 'The bucket''s beginning, midnight UTC.';

alter table saas.reading_5m enable row level security;
alter table saas.reading_5m force row level security;
alter table saas.reading_1h enable row level security;
alter table saas.reading_1h force row level security;
alter table saas.reading_1d enable row level security;
alter table saas.reading_1d force row level security;
create policy "holders of view_dashboard read rollups" on saas.reading_5m
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "holders of view_dashboard read rollups" on saas.reading_1h
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "holders of view_dashboard read rollups" on saas.reading_1d
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the service rolls up readings" on saas.reading_5m
    to saas_service using (true) with check (true);
create policy "the service rolls up readings" on saas.reading_1h
    to saas_service using (true) with check (true);
create policy "the service rolls up readings" on saas.reading_1d
    to saas_service using (true) with check (true);
grant select on saas.reading_5m, saas.reading_1h, saas.reading_1d to saas_user;
grant select, insert, update, delete on saas.reading_5m, saas.reading_1h, saas.reading_1d to saas_service;

-- A bucket with readings of several layouts has one that holds the series of all.
create policy "the service adds layouts of rollups" on saas.layout
    to saas_service using (true) with check (true);
grant select, insert on saas.layout to saas_service;

create table saas_private.rollup_progress (
    org_id uuid not null,
    connection_id uuid not null,
    rolled_until timestamptz not null default '-infinity',
    trimmed_at timestamptz not null default '-infinity',
    kept_since timestamptz not null default '-infinity',
    primary key (org_id, connection_id),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
) with (fillfactor = 80);
create index rollup_progress_rolled_until_idx on saas_private.rollup_progress (rolled_until);
create index rollup_progress_trimmed_at_idx on saas_private.rollup_progress (trimmed_at);
comment on table saas_private.rollup_progress is
'How far each connection''s readings are rolled up. Hours and days are up to the last whole one before rolled_until.';
comment on column saas_private.rollup_progress.trimmed_at is 'When it was last seen to that nothing is older than the plan''s retention.';
comment on column saas_private.rollup_progress.kept_since is 'A midnight in UTC: readings from before may be deleted, whatever the plan keeps now.';
alter table saas_private.rollup_progress enable row level security;
alter table saas_private.rollup_progress force row level security;
create policy "holders of view_dashboard see how far rollups are" on saas_private.rollup_progress
    for select using (org_id = saas.org_if('view_dashboard'));
create policy "the service keeps the progress of rollups" on saas_private.rollup_progress
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.rollup_progress to saas_service;

-- Rows of their own, never updated: who notes waits for nobody.
create table saas_private.late_window (
    org_id uuid not null,
    id uuid not null default saas.uuidv7(),
    connection_id uuid not null,
    from_at timestamptz not null,
    until_at timestamptz not null,
    primary key (org_id, id),
    foreign key (org_id, connection_id) references saas.connection (org_id, id) on delete cascade
);
comment on table saas_private.late_window is
'Stretches of time into which readings were stored after they may have been rolled up; they are rolled up anew, and the rows go.';
alter table saas_private.late_window enable row level security;
alter table saas_private.late_window force row level security;
create policy "the poller notes late readings" on saas_private.late_window
    for insert to saas_poller with check (true);
create policy "the service rolls up late readings" on saas_private.late_window
    to saas_service using (true) with check (true);
grant insert on saas_private.late_window to saas_poller;
grant select, insert, delete on saas_private.late_window to saas_service;

create table saas_private.maintenance (
    is_one boolean primary key default true check (is_one),
    started_at timestamptz,
    finished_at timestamptz,
    steps bigint not null default 0
);
comment on table saas_private.maintenance is
'The last run of saas.maintain() or of the worker in its place; one row.';
alter table saas_private.maintenance enable row level security;
insert into saas_private.maintenance default values;
alter table saas_private.maintenance force row level security;
create policy "the service notes its maintenance" on saas_private.maintenance
    to saas_service using (true) with check (true);
grant select, update on saas_private.maintenance to saas_service;

alter table saas.plan add column retention_5m_days integer;
alter table saas.plan add column retention_1h_days integer;
alter table saas.plan add column retention_1d_days integer;
alter table saas.plan add constraint plan_retention_check check (
    retention_days > 0 and retention_5m_days >= retention_days and retention_1h_days >= retention_5m_days
    and retention_1d_days >= retention_1h_days);
comment on column saas.plan.retention_days is
'For how many days readings are kept and shown; NULL: for ever. Changed with saas.set_plan_retention().';
comment on column saas.plan.retention_5m_days is 'The same of rollups by 5 minutes.';
comment on column saas.plan.retention_1h_days is 'The same of rollups by hour.';
comment on column saas.plan.retention_1d_days is 'The same of rollups by day.';
alter table saas.plan no force row level security;
update saas.plan p
   set retention_days = v.raw, retention_5m_days = v.five, retention_1h_days = v.hour, retention_1d_days = v.day
  from (values ('free', 1, 7, 30, 90), ('starter', 30, 90, 400, 1500), ('pro', 400, 400, 800, 3650)) as v (name, raw, five, hour, day)
 where p.name = v.name;
alter table saas.plan force row level security;

-- Nothing beyond the plan's retention is shown, trimmed yet or not.
create or replace view saas.sample with (security_invoker = true) as
select r.org_id, r.connection_id, s.id as series_id, s.metric, s.labels, r.at, v.value
  from saas.reading r
  join saas.layout l on l.org_id = r.org_id and l.id = r.layout_id
 cross join lateral unnest(l.series_ids, r."values") as v (series_id, value)
  join saas.series s on s.org_id = r.org_id and s.id = v.series_id
 where r.at >= (select saas.visible_since());
comment on view saas.sample is
'One row per series and time, as far back as the plan keeps readings. Reads with the caller''s rights.';
create or replace view saas.latest_sample with (security_invoker = true) as
select c.org_id, c.id as connection_id, s.id as series_id, s.metric, s.labels, r.at, v.value
  from saas.connection c
 cross join lateral (
        select n.at, n.layout_id, n."values"
          from saas.reading n
         where n.org_id = c.org_id and n.connection_id = c.id and n.at >= (select saas.visible_since())
         order by n.at desc
         limit 1) r
  join saas.layout l on l.org_id = c.org_id and l.id = r.layout_id
 cross join lateral unnest(l.series_ids, r."values") as v (series_id, value)
  join saas.series s on s.org_id = c.org_id and s.id = v.series_id;
