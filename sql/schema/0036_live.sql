-- The live view goes through the series of each connection and asks its newest
-- reading for their values: no table of rows and no hash for each of them.
-- Leans on metrics, rollups, series.

create or replace view saas.latest_sample with (security_invoker = true) as
select c.org_id, c.id as connection_id, s.id as series_id, s.metric, s.labels, r.at,
       saas.opened_value(r.opened, s.id) as value
  from saas.connection c
 cross join lateral (
        -- No reading is of a time more than 8 days after its series were seen: those
        -- that ended before are not gone through.
        select n.at, n.at - interval '192 hours' as seen_since, saas.open_reading(l.series_ids, n."values") as opened
          from (select n.at, n.layout_id, n."values"
                  from saas.reading n
                 where n.org_id = c.org_id and n.connection_id = c.id and n.at >= (select saas.visible_since())
                 order by n.at desc
                 limit 1) n
          join saas.layout l on l.org_id = c.org_id and l.id = n.layout_id
        -- Apart, or it would be opened for each series.
        offset 0) r
  join saas.series s on s.org_id = c.org_id and s.connection_id = c.id and s.seen_at >= r.seen_since
                    and saas.opened_has(r.opened, s.id);
