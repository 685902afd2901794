-- The indexes that the application adds for its own queries.
create index order_items_order on order_items (org_id, order_id);
create index event_by_time_at on event_by_time (org_id, at);
create index contact_email on contact (org_id, lower(email));
create index contact_lower_email on contact (org_id, lower_email);
create index contact_stage on contact (org_id, stage);
create index contact_name on contact (org_id, name text_pattern_ops);
create index contact_balance on contact (org_id, balance);
create index contact_attributes on contact using gin (attributes jsonb_path_ops);
