-- The same rows in the same order for the schema twin; contacts are for plans only.
insert into twin.orders select * from shop.orders;
insert into twin.order_items select * from shop.order_items;
insert into twin.event_by_time select * from shop.event_by_time;
insert into twin.event_by_org select * from shop.event_by_org;
