-- What recovery, codes and sessions need to remember, and the block list of
-- passwords.  Leans on 0002.

alter table saas_private.email_token drop constraint email_token_purpose_check;
alter table saas_private.email_token add constraint email_token_purpose_check
    check (purpose in ('verify_email', 'reset_password'));

create table saas_private.email_code (
    user_id uuid primary key references saas.app_user (id) on delete cascade,
    id uuid not null default saas.uuidv7(),
    code_hash bytea not null check (octet_length(code_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
comment on table saas_private.email_code is
'Keyed hashes of the six digits that went out by mail: one code a person, ten minutes. Wrong tries are counted in shared memory under the code''s id.';
alter table saas_private.email_code enable row level security;
alter table saas_private.email_code force row level security;
create policy "the service keeps mailed codes" on saas_private.email_code
    to saas_service using (true) with check (true);
grant select, insert, update, delete on saas_private.email_code to saas_service;

create table saas_private.hash_key (
    name text primary key check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    key saas.sealed not null,
    created_at timestamptz not null default now()
);
comment on table saas_private.hash_key is
'Random keys of keyed hashes, sealed under the platform''s key, made when first needed. Without them a stolen table of hashes gives up every address and code that can be guessed.';
alter table saas_private.hash_key enable row level security;
alter table saas_private.hash_key force row level security;
create policy "the service keeps hash keys" on saas_private.hash_key
    to saas_service using (true) with check (true);
grant select, insert on saas_private.hash_key to saas_service;

-- Tokens that exist are of the first generation as far as anybody knows: their
-- rotation goes by rotated_at alone.
alter table saas_private.refresh_token add column generation integer not null default 0 check (generation >= 0);
comment on column saas_private.refresh_token.generation is
'How many rotations came before it: only the newest but one may be asked again.';

create table saas_private.common_password (
    word text primary key check (word = lower(word)),
    added_at timestamptz not null default now()
);
comment on table saas_private.common_password is
'Passwords that too many people use, in lower case: nobody may choose one. A superuser may add words.';
create view saas_api.sessions with (security_invoker = true) as
select s.id, s.ip, s.user_agent, s.created_at, s.last_used_at, s.expires_at, s.is_remembered, s.is_current
  from saas_private.my_sessions() s;
comment on view saas_api.sessions is
'My sessions that have neither ended nor expired, and which of them asks. For saas_user.';
grant select on saas_api.sessions to saas_user;

create view saas_api.sign_in_log with (security_invoker = true) as
select s.at, s.outcome, s.ip, s.user_agent
  from saas_private.my_sign_ins() s;
comment on view saas_api.sign_in_log is
'Sign-ins to my account, those that failed too. For saas_user.';
grant select on saas_api.sign_in_log to saas_user;

-- Filled before its policies hold.  tools/wrap-migrations puts the words in.
insert into saas_private.common_password (word)
select word from regexp_split_to_table(btrim($words$
@lines ../data/common-passwords.txt
$words$, E'\n'), '\n') as word;
alter table saas_private.common_password enable row level security;
alter table saas_private.common_password force row level security;
create policy "the service reads common passwords" on saas_private.common_password
    for select to saas_service using (true);
grant select on saas_private.common_password to saas_service;
