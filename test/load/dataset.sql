-- What the reading benchmarks read: one table with row-level security as
-- saas.protect would leave it, one without, the same rows in the same order.
-- Needs the psql variables owner (a user's id), organizations and row_count.
-- The first organization holds a fifth of the rows.
create schema bench;
create role bench_unrestricted nologin bypassrls;
grant saas_user to bench_unrestricted;
grant usage on schema bench to saas_user, bench_unrestricted;

create table bench.tenant as
select n, saas_private.add_organization(:'owner', format('Tenant %s', n), format('tenant-%s', n), false) as org_id
  from generate_series(1, :organizations) as n;

create table bench.item (
    org_id uuid not null,
    id uuid not null default saas.uuidv7(),
    customer text not null,
    status text not null,
    amount integer not null,
    created_at timestamptz not null
);
-- The tenants' rows lie mixed, as they come in.
select setseed(0.5);
insert into bench.item (org_id, customer, status, amount, created_at)
select t.org_id, format('Customer %s', r.n % 5000),
       (array['open', 'paid', 'late', 'void'])[1 + r.n % 4], r.n % 99991,
       timestamptz '2026-01-01' + r.n * interval '1 second'
  from (select g.n, case when random() < 0.2 then 1
                         else 2 + floor(random() * (:organizations - 1))::integer end as tenant
          from generate_series(1, :row_count) as g (n)) r
  join bench.tenant t on t.n = r.tenant
 order by r.n;
create table bench.item_plain (like bench.item including defaults);
insert into bench.item_plain select * from bench.item;
alter table bench.item add primary key (org_id, id);
alter table bench.item_plain add primary key (org_id, id);

alter table bench.item enable row level security;
alter table bench.item force row level security;
create policy "holders of view_dashboard read items" on bench.item
    for select using (org_id = saas.org_if('view_dashboard'));
grant select on bench.item, bench.item_plain to saas_user, bench_unrestricted;
vacuum (freeze, analyze) bench.item;
vacuum (freeze, analyze) bench.item_plain;
