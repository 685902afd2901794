-- Nothing beyond the plan's retention is shown to who reads the tables of
-- readings and rollups either.  Leans on rollups.

-- Only for the tenants' role, beside the policies that say whose rows they are:
-- the owner's functions delete older ones with their connection.
create policy "members read no reading from before their plan's window" on saas.reading
    as restrictive for select to saas_user using (at >= saas_private.window_since(0));
create policy "members read no rollup from before their plan's window" on saas.reading_5m
    as restrictive for select to saas_user using (at >= saas_private.window_since(1));
create policy "members read no rollup from before their plan's window" on saas.reading_1h
    as restrictive for select to saas_user using (at >= saas_private.window_since(2));
create policy "members read no rollup from before their plan's window" on saas.reading_1d
    as restrictive for select to saas_user using (at >= saas_private.window_since(3));
