-- Sketches beside the rollups by hour and day, from which percentiles are
-- answered.  Leans on rollups.

alter table saas.reading_1h add column sketch bytea;
alter table saas.reading_1d add column sketch bytea;
comment on column saas.reading_1h.sketch is
'What percentiles need (DDSketch, within 1 percent), of all series in the layout''s order; empty for one whose values are all the same. NULL in rollups from before there were sketches. Read with saas_private.sketch_at() and saas_private.percentile().';
comment on column saas.reading_1d.sketch is
'The hours'' sketches merged; NULL unless every hour of the day has one.';

alter table saas_private.rollup_progress add column sketched_since timestamptz not null default '-infinity';
comment on column saas_private.rollup_progress.sketched_since is
'From when on every hour that is rolled up has a sketch: percentiles of before are answered from readings.';
-- The hour that is not over at rolled_until is rolled up with one.
alter table saas_private.rollup_progress no force row level security;
update saas_private.rollup_progress p set sketched_since = date_trunc('hour', p.rolled_until, 'UTC') where isfinite(p.rolled_until);
alter table saas_private.rollup_progress force row level security;
