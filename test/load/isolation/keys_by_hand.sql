-- The keys that saas.protect makes, by hand: in the same order, on tables that
-- have no row-level security.
set search_path = twin;
alter table orders add unique (org_id, id);
alter table order_items add unique (org_id, id);
alter table order_items add foreign key (org_id, order_id) references orders (org_id, id);
alter table event_by_time add unique (org_id, id, at);
alter table event_by_time add foreign key (org_id, order_id) references orders (org_id, id);
alter table event_by_org add foreign key (org_id, order_id) references orders (org_id, id);
alter table contact add unique (org_id, id);
reset search_path;
