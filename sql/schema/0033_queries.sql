-- The live view looks up the series of a connection together, not one by one.
-- Leans on metrics, rollups.

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
 cross join lateral saas.unfold(l.series_ids, r."values") as v
  join saas.series s on s.org_id = c.org_id and s.connection_id = c.id and s.id = v.series_id;
