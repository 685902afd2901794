-- Prices of what metrics count.  Leans on organizations.

create table saas.metric_price (
    org_id uuid not null references saas.organization (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    metric text not null check (octet_length(metric) between 1 and 255),
    valid_from date not null check (valid_from between '1970-01-01' and '2999-12-31'),
    price numeric not null check (price >= 0 and price < 1000000000000),
    per_units numeric not null default 1 check (per_units > 0 and per_units < 1000000000000000),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    fn text not null default 'sum' check (fn in ('sum', 'increase')),
    created_by uuid,
    created_at timestamptz not null default now(),
    primary key (org_id, id),
    constraint metric_price_history unique (org_id, metric, valid_from)
);
comment on table saas.metric_price is
'What a metric''s units cost an organization, each price from its day on until the next one of the same metric. For saas_api.cost_report().';
comment on column saas.metric_price.valid_from is 'From this day''s beginning in UTC on.';
comment on column saas.metric_price.price is 'Of per_units units.';
comment on column saas.metric_price.fn is 'How units are counted: sum of the samples, or increase of a counter.';
alter table saas.metric_price enable row level security;
alter table saas.metric_price force row level security;
create policy "holders of view_reports read prices" on saas.metric_price
    for select using (org_id = saas.org_if('view_reports'));
create policy "holders of manage_settings read prices" on saas.metric_price
    for select using (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings add prices" on saas.metric_price
    for insert with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings change prices" on saas.metric_price
    for update using (org_id = saas.org_if('manage_settings'))
    with check (org_id = saas.org_if('manage_settings'));
create policy "holders of manage_settings delete prices" on saas.metric_price
    for delete using (org_id = saas.org_if('manage_settings'));
grant select on saas.metric_price to saas_user;

create view saas_api.metric_prices with (security_invoker = true) as
select p.org_id, p.id, p.metric, p.valid_from,
       lead(p.valid_from) over (partition by p.org_id, p.metric order by p.valid_from) as valid_until,
       p.price, p.per_units, p.currency, p.fn, p.created_by, p.created_at
  from saas.metric_price p;
comment on view saas_api.metric_prices is
'Prices of metrics with their history; valid_until is the day that the next one begins, NULL of the newest. For saas_user with view_reports or manage_settings.';
grant select on saas_api.metric_prices to saas_user;
