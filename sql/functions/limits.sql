-- What counts whatever becomes of the transaction: attempts, things used once,
-- sessions ended at once, notes.  Leans on errors and the tables of limits.

create function saas_private.take_attempt(kind text, subject text, free integer, base_wait interval,
                                          max_wait interval, window_length interval)
returns integer
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_take_attempt';
comment on function saas_private.take_attempt(text, text, integer, interval, interval, interval) is
'Counts an attempt before it is verified, whatever becomes of the transaction: 0 to go on, else the seconds to wait. The first free attempts go on; each further one waits after the one before for base_wait, doubled per attempt, at most max_wait. An attempt that must wait is not counted; all are forgotten when none was counted for window_length, and when the server restarts. Errors: 22023, PT503 when the memory is full. For saas_service''s functions only.';

create function saas_private.forget_attempts(kind text, subject text) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_forget_attempts';
comment on function saas_private.forget_attempts(text, text) is
'Forgets the attempts that take_attempt has counted: the subject has proven itself. For saas_service''s functions only.';

create function saas_private.use_once(kind text, subject text, valid_for interval) returns boolean
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_use_once';
comment on function saas_private.use_once(text, text, interval) is
'True the first time within valid_for, at once for every session, whatever becomes of the transaction. Forgotten when the server restarts: what must stay used is written to a table too. Errors: 22023, PT503 when the memory is full. For saas_service''s functions only.';

create function saas_private.is_used(kind text, subject text) returns boolean
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_is_used';
comment on function saas_private.is_used(text, text) is
'Whether use_once has been called for it within its time. For saas_service''s functions only.';

create function saas_private.end_session_now(session_id uuid) returns void
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_end_session_now';
comment on function saas_private.end_session_now(uuid) is
'Ends a session at once, whatever becomes of the transaction: its access tokens are refused from here on, and the worker writes ended_at. A crash before that forgets it. Errors: PT503 when the memory is full. For saas_service''s functions only.';

create function saas_private.session_is_ended(session_id uuid) returns boolean
language c volatile strict parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_session_is_ended';
comment on function saas_private.session_is_ended(uuid) is
'Whether end_session_now has ended the session and the worker has not written it down yet; afterwards the row says it. For saas_service''s functions only.';

create function saas_private.note(kind text, subject uuid, payload jsonb) returns void
language c volatile parallel unsafe
as 'MODULE_PATHNAME', 'pg_saas_note';
comment on function saas_private.note(text, uuid, jsonb) is
'Notes something whatever becomes of the transaction; the worker writes it with saas_private.write_note within seconds. A payload of 480 bytes or more becomes {"truncated": bytes}. When the journal is full the oldest notes are lost, as they are in a crash: saas.limits_status() counts the former. For saas_service''s functions only.';

create function saas.limits_status(out memory text, out capacity bigint, out used bigint, out lost bigint)
returns setof record
language c volatile parallel restricted
as 'MODULE_PATHNAME', 'pg_saas_limits_status';
comment on function saas.limits_status() is
'One row per bounded memory of the server: its capacity and use in entries, and how many were evicted (requests), refused (attempts, used once, ended sessions) or overwritten (journal) for want of room since the start. For saas_operator.';
