-- Isolation by one call a table.  The foreign keys are the application's, by
-- the primary key alone: saas.protect makes them carry org_id.
alter table shop.order_items add foreign key (order_id) references shop.orders;
alter table shop.event_by_time add foreign key (order_id) references shop.orders;
alter table shop.event_by_org add foreign key (order_id) references shop.orders;
select saas.protect('shop.orders', 'view_dashboard', 'manage_workflows');
select saas.protect('shop.order_items', 'view_dashboard', 'manage_workflows');
select saas.protect('shop.event_by_time', 'view_dashboard', 'manage_workflows');
select saas.protect('shop.event_by_org', 'view_dashboard', 'manage_workflows');
select saas.protect('shop.contact', 'view_dashboard', 'manage_workflows');
grant usage on schema shop, twin to saas_user, bench_unrestricted;
grant select, insert, update on all tables in schema shop, twin to saas_user, bench_unrestricted;
