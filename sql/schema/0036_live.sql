-- The live view goes through the series and asks the newest reading of each
-- connection for their values: no table of rows and no hash per connection.
-- Leans on metrics, rollups.

-- Series are found by the connection that the reading names, so that no plan has
-- them before it, whatever the planner thinks of how many there are: the reading
-- would be looked up for each.
create or replace view saas.latest_sample with (security_invoker = true) as
select c.org_id, c.id as connection_id, s.id as series_id, s.metric, s.labels, r.at,
       saas.opened_value(r.opened, s.id) as value
  from saas.connection c
 cross join lateral (
        select n.connection_id, n.at, saas.open_reading(l.series_ids, n."values") as opened
          from (select n.connection_id, n.at, n.layout_id, n."values"
                  from saas.reading n
                 where n.org_id = c.org_id and n.connection_id = c.id and n.at >= (select saas.visible_since())
                 order by n.at desc
                 limit 1) n
          join saas.layout l on l.org_id = c.org_id and l.id = n.layout_id
        offset 0) r
  join saas.series s on s.org_id = c.org_id and s.connection_id = r.connection_id and saas.opened_has(r.opened, s.id);
