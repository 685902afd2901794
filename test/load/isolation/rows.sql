-- Rows for the schema shop: bench.orders orders with four items and five events
-- each.  The first organization has a fifth of them, the others from half to
-- thirty times the average; they lie mixed, as they come in.
create table shop.tenant as
select n, saas_private.add_organization(current_setting('bench.owner')::uuid, format('Shop %s', n), format('shop-%s', n),
                                        false) as org_id
  from generate_series(1, current_setting('bench.organizations')::integer) as n;
select setseed(0.5);
insert into shop.orders (org_id, customer, status, amount, created_at)
select (select array_agg(t.org_id order by t.n) from shop.tenant t)
           [case when random() < 0.2 then 1
                 else 2 + floor(random() ^ 2 * (current_setting('bench.organizations')::integer - 1)) end],
       format('Customer %s', n % 5000), (array['open', 'paid', 'late', 'void'])[1 + n % 4], n % 99991,
       timestamptz '2026-01-01' + n * interval '364 days' / current_setting('bench.orders')::integer
  from generate_series(1, current_setting('bench.orders')::integer) as n;
insert into shop.order_items (org_id, order_id, product, quantity, price)
select o.org_id, o.id, format('Product %s', (o.amount + n * 7) % 50), 1 + o.amount % n, (o.amount * n) % 997
  from shop.orders o, generate_series(1, 4) as n;
insert into shop.event_by_time (org_id, order_id, at, kind, value)
select o.org_id, o.id, o.created_at + n * interval '1 minute', (array['made', 'paid', 'packed', 'sent', 'seen'])[n],
       o.amount % 997
  from shop.orders o, generate_series(1, 5) as n;
insert into shop.event_by_org select * from shop.event_by_time;
insert into shop.contact (org_id, email, name, stage, balance, attributes)
select o.org_id, format('Person%s@example.com', o.amount), o.customer,
       case o.amount % 100 when 0 then 'new' when 1 then 'known' when 2 then 'gone' else 'customer' end::shop.stage,
       o.amount / 7.0,
       jsonb_build_object('customer', o.amount % 5000, 'status', o.status)
  from shop.orders o where o.created_at < timestamptz '2026-01-01' + interval '364 days' / 5;
