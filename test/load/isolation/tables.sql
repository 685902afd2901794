-- The tables of a small shop in the schema that search_path names, as an
-- application would make them.  Its own keys come before saas.protect; org_id
-- stands there already, because the rows come before it too.
create table orders (
    id uuid not null default saas.uuidv7() primary key,
    org_id uuid not null,
    customer text not null,
    status text not null,
    amount integer not null,
    created_at timestamptz not null default now()
);
create table order_items (
    id uuid not null default saas.uuidv7() primary key,
    org_id uuid not null,
    order_id uuid not null,
    product text not null,
    quantity integer not null,
    price integer not null
);
-- The same events twice: by month, and by organization.
create table event_by_time (
    id uuid not null default saas.uuidv7(),
    org_id uuid not null,
    order_id uuid not null,
    at timestamptz not null,
    kind text not null,
    value integer not null,
    primary key (id, at)
) partition by range (at);
create table event_by_org (like event_by_time including defaults, primary key (org_id, id)) partition by hash (org_id);
-- What people search in by conditions that are not leakproof.
create type stage as enum ('new', 'known', 'customer', 'gone');
create table contact (
    id uuid not null default saas.uuidv7() primary key,
    org_id uuid not null,
    email text not null,
    lower_email text generated always as (lower(email)) stored,
    name text not null,
    stage stage not null,
    balance numeric not null,
    attributes jsonb not null
);
do $$
begin
    for month in 1 .. 12 loop
        execute format('create table event_by_time_%s partition of event_by_time for values from (%L) to (%L)', month,
                       make_date(2026, month, 1), make_date(2026, month, 1) + interval '1 month');
    end loop;
    for remainder in 0 .. 15 loop
        execute format('create table event_by_org_%s partition of event_by_org for values with (modulus 16, remainder %s)',
                       remainder, remainder);
    end loop;
end
$$;
