-- Who may call what; nothing is left to PUBLIC.  Leans on every other part.

revoke execute on all functions in schema saas, saas_api, saas_private from public;
revoke execute on all procedures in schema saas, saas_api, saas_private from public;
revoke usage on type saas.sealed from public;
revoke create on schema saas, saas_api, saas_private from saas_service;

-- Policies and the invoker functions call these as whoever runs the query.
grant execute on function
    saas.authenticate(text), saas.clear_identity(), saas.pre_request(), saas.set_header(text, text),
    saas.current_user_id(), saas.current_org_id(), saas.current_role_name(), saas.current_session_id(),
    saas.current_permissions(), saas.has_permission(text), saas.org_if(text), saas.is_authenticated(),
    saas.require_permission(text), saas.require_membership(uuid, text), saas.builtin_roles(),
    saas.uuidv7(), saas.version(), saas.full_name(text, text)
    to saas_owner, saas_service, saas_poller, saas_operator, saas_user, saas_anon;

grant execute on function
    saas_api.sign_up(text, text, text, text, text, text), saas_api.verify_email(text),
    saas_api.sign_in(text, text, boolean), saas_api.refresh_session(text), saas_api.jwks()
    to saas_anon, saas_user;

grant execute on function
    saas_api.sign_out(text), saas_api.me(),
    saas_api.create_organization(text, text), saas_api.switch_organization(text),
    saas_private.my_organizations(),
    saas_api.create_connection(text, text, jsonb, jsonb, text, jsonb, interval, uuid, jsonb, boolean),
    saas_api.set_connection_secrets(uuid, jsonb), saas_api.set_connection_active(uuid, boolean),
    saas_api.update_connection(uuid, jsonb), saas_api.delete_connection(uuid, text),
    saas_api.refresh_connections(uuid[], integer), saas_api.test_connection(uuid, integer),
    saas_api.query_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text, boolean, uuid[], text[], jsonb),
    saas_api.limits_overview(uuid),
    saas.seal(text, text, text), saas.blind_index(text, text), saas.describe(saas.sealed)
    to saas_user;
grant usage on type saas.sealed to saas_user, saas_owner, saas_service, saas_poller, saas_operator;
grant execute on function
    saas_private.sealed_in(cstring), saas_private.sealed_out(saas.sealed),
    saas_private.sealed_recv(internal), saas_private.sealed_send(saas.sealed)
    to saas_user, saas_owner, saas_service, saas_poller, saas_operator;

grant execute on function
    saas.confirm_user(uuid), saas.open_ticket(uuid, text, interval), saas.assume_identity(uuid, uuid),
    saas.read_mail(uuid), saas.poller_status(), saas.describe(saas.sealed),
    saas.verify_jwt(text, jsonb, jsonb), saas.parse_exposition(text, text), saas.read_salesforce_limits(text)
    to saas_operator;
grant execute on function saas_api.aws_role_policies(uuid) to saas_user;
grant execute on function saas.aws_sigv4(text, text, jsonb, bytea, jsonb, text, text, timestamptz) to saas_operator;
grant execute on procedure saas.poll(integer) to saas_operator;
grant execute on function saas.mail_status(), saas.retry_mail(uuid) to saas_operator;
grant execute on function saas.generate_master_key(), saas.reveal_secret(uuid, text) to saas_operator;

grant execute on function
    saas.token_keys(), saas.rotate_token_keys(interval, interval), saas.retire_token_key(text)
    to saas_operator;
grant execute on function
    saas_private.create_token_key(timestamptz), saas_private.change_token_keys()
    to saas_service;

-- Definer functions call these as their owner.
grant execute on function
    saas_private.raise_error(text, text, text, text), saas_private.raise_fields(text, text[]),
    saas_private.request_header(text), saas_private.require_installed(), saas_private.require_identity(),
    saas_private.require_field(text, text, integer), saas_private.json_is_longer(jsonb, integer), saas_private.current_rank()
    to saas_owner, saas_service;
grant execute on function
    saas_private.nice_bucket(timestamptz, timestamptz),
    saas_private.check_connection(text, jsonb, jsonb), saas_private.seal_secrets(uuid, uuid, text, jsonb),
    saas_private.poll_now(uuid, uuid[], boolean, integer), saas_private.wake_poller(),
    saas_private.connection_json(uuid), saas_private.require_poll_interval(uuid, text, interval),
    saas_private.require_connection_fields(text, jsonb), saas_private.poll_anew(uuid, uuid),
    saas_private.replace_secrets(uuid, uuid, text, jsonb),
    saas_private.default_poll_interval(text), saas_private.require_timeout(integer)
    to saas_owner;
grant execute on function
    saas_private.random_token(), saas_private.token_hash(text),
    saas_private.hash_password(text), saas_private.check_password(text, text),
    saas_private.issue_access_token(uuid, uuid, uuid, integer), saas_private.create_data_key(uuid),
    saas_private.seal_for_platform(text, text, text), saas_private.unseal_for_platform(saas.sealed, text, text),
    saas_private.slug_of(text), saas_private.is_reserved_slug(text), saas_private.require_email(text),
    saas_private.has_open_ticket(uuid),
    saas_private.wake_poller()
    to saas_service;
-- API keys.
grant execute on function saas.current_api_key_id(), saas.verify_request(text, text, text, bytea, jsonb)
    to saas_owner, saas_service, saas_poller, saas_operator, saas_user, saas_anon;
grant execute on function
    saas_api.create_api_key(text, text[], timestamptz), saas_api.rotate_api_key(uuid, interval),
    saas_api.revoke_api_key(uuid), saas_api.create_signing_secret(uuid, boolean, interval)
    to saas_user;
grant execute on function saas_private.refuse_api_key(), saas_private.identity_source() to saas_owner, saas_service;
grant execute on function
    saas_private.new_api_key(), saas_private.require_key_permissions(text[]), saas_private.own_api_key(uuid),
    saas_private.api_key_json(uuid), saas_private.seal_signing_secret(uuid, uuid, text),
    saas_private.random_signing_secret()
    to saas_owner;
grant execute on function saas_private.ensure_reading_partition(timestamptz) to saas_poller;

grant execute on function saas_private.login_refusal(oid) to saas_service;

-- Second factors.
grant execute on function saas_api.verify_second_factor(text, text) to saas_anon, saas_user;
grant execute on function
    saas_api.begin_second_factor(text), saas_api.confirm_second_factor(text),
    saas_api.disable_second_factor(text, text), saas_api.new_recovery_codes(text),
    saas_api.second_factor(), saas_api.require_second_factor(boolean)
    to saas_user;
grant execute on function
    saas_private.random_base32(), saas_private.totp_uri(text, text, text), saas_private.match_totp(text, text),
    saas_private.recovery_code_hash(uuid, text)
    to saas_service;

-- Limits and notes.
grant execute on function
    saas_private.take_attempt(text, text, integer, interval, interval, interval),
    saas_private.forget_attempts(text, text), saas_private.use_once(text, text, interval),
    saas_private.is_used(text, text), saas_private.end_session_now(uuid),
    saas_private.session_is_ended(uuid),
    saas_private.use_refresh(uuid, integer, interval), saas_private.note(text, uuid, jsonb),
    saas_private.check_rate_limit(inet)
    to saas_service;
grant execute on function
    saas_private.write_note(text, uuid, timestamptz, jsonb), saas_private.prune_security_events(),
    saas_private.prune_outbox(), saas_private.prune_poller_history()
    to saas_poller;
grant execute on function saas.poller_totals(timestamptz) to saas_operator;
grant execute on function saas.set_plan_weight(text, integer), saas.set_organization_weight(uuid, integer)
    to saas_operator;
grant execute on function saas_private.require_weight(integer) to saas_service;
grant execute on function
    saas_private.repeat_connection_activity(), saas_private.take_over_connection_activity()
    to saas_owner;
grant execute on function saas_private.settle_closed_organizations() to saas_poller;
grant execute on function
    saas.limits_status(), saas.set_rate_limit(text, uuid, integer, interval, text, uuid), saas.set_plan(uuid, text)
    to saas_operator;
grant execute on function saas_api.set_api_key_rate_limit(uuid, integer, interval) to saas_user;
grant execute on function saas_private.organization_limit(uuid), saas_private.check_limit(integer, interval)
    to saas_owner;
grant execute on function saas_private.check_limit(integer, interval) to saas_service;

-- Accounts: recovery, codes, sessions.
grant execute on function
    saas_api.verify_email_code(text, text), saas_api.resend_verification(text),
    saas_api.request_password_reset(text), saas_api.reset_password(text, text)
    to saas_anon, saas_user;
grant execute on function
    saas_api.change_password(text, text, boolean), saas_api.end_session(uuid), saas_api.deactivate_account(text),
    saas_private.my_sessions(), saas_private.my_sign_ins()
    to saas_user;
grant execute on function
    saas.deactivate_user(uuid), saas.activate_user(uuid), saas.sign_ins(timestamptz, text)
    to saas_operator;
grant execute on function
    saas_private.wait_until(timestamptz), saas_private.keyed_hash(text, text), saas_private.plain_email(text),
    saas_private.email_subject(text), saas_private.masked_email(text), saas_private.short_user_agent(),
    saas_private.client_address(), saas_private.client_subject(), saas_private.raise_wait(integer),
    saas_private.require_attempt(text, text, integer, interval, interval, interval)
    to saas_service;

-- Accounts: profile, address, deletion.
grant execute on function saas_api.confirm_email_change(text) to saas_anon, saas_user;
grant execute on function
    saas_api.update_profile(text, text, text), saas_api.request_email_change(text, text),
    saas_api.delete_account(text, text)
    to saas_user;
grant execute on function saas.delete_user(uuid) to saas_operator;
grant execute on function
    saas_private.require_session(), saas_private.login_mappings_changed(), saas_private.require_https_url(text, text)
    to saas_owner, saas_service;

-- Branding.
grant execute on function
    saas_api.set_branding(text, text, text, text, text), saas_api.set_mail_template(text, text, text, text),
    saas_api.reset_mail_template(text), saas_api.preview_mail_template(text), saas_private.my_mail_templates()
    to saas_user;
grant execute on function
    saas_private.organization_mails(), saas_private.require_organization_mail(text),
    saas_private.require_template_part(text, text, text, integer), saas_private.plain_markup(text),
    saas_private.my_mail_templates(), saas_private.require_field_email(text, text),
    saas_private.render_mail(text, text, text, jsonb, text, text, text, text, text, text, text)
    to saas_owner, saas_service;

-- Isolation of the application's tables.
grant execute on function
    saas.protect(regclass, text, text, boolean, boolean), saas.unprotect(regclass),
    saas.protection_plan(regclass, text, text, boolean, bigint), saas.unprotection_plan(regclass)
    to saas_operator;
grant execute on function
    saas_private.plan_protection(oid, text, text, boolean, bigint), saas_private.plan_unprotection(oid),
    saas_private.relation_tree(oid), saas_private.column_names(oid, smallint[]), saas_private.column_list(name[]),
    saas_private.has_unique_index(oid, name[]), saas_private.has_leading_index(oid),
    saas_private.object_name(oid, text), saas_private.bare_expression(text), saas_private.conditions(text),
    saas_private.binds_organization(text), saas_private.widening_policies(oid), saas_private.protection_note(oid),
    saas_private.tree_root(oid), saas_private.made_policies(), saas_private.policy_permission(oid, boolean),
    saas_private.require_protectable(oid, text, text), saas_private.require_organizations(oid, bigint),
    saas_private.tenant_foreign_keys(oid), saas_private.foreign_key_text(oid, name[], name[], name[], boolean),
    saas_private.delete_set_columns(oid), saas_private.protect_columns(oid), saas_private.protect_keys(oid),
    saas_private.protect_foreign_keys(oid),
    saas_private.protect_triggers(oid, boolean), saas_private.describe_unprotected(oid),
    saas_private.protect_policies(oid, text, text), saas_private.with_force_lifted(oid, text[]),
    saas_private.reveals_values(oid), saas_private.bypasses_row_security(oid), saas_private.views_on(oid),
    saas_private.is_invoker_view(oid), saas_private.protection_reports(oid, text, text),
    saas_private.without_secrets(jsonb, oid), saas_private.is_plain_type(oid), saas_private.row_json_query(oid),
    saas_private.is_bounded(oid)
    to saas_service;
-- Whose migration makes the trigger.
grant execute on function saas_private.check_new_table() to saas_owner;
grant execute on function saas.check_isolation() to saas_operator;
grant execute on function
    saas_private.isolation_findings(), saas_private.tenant_members(), saas_private.tenant_roles(), saas_private.tenant_tables(),
    saas_private.tenants_holding(oid, text), saas_private.is_of_extension(regclass, oid), saas_private.functions_in(text),
    saas_private.safe_owner(), saas_private.tree_root(oid), saas_private.tenant_foreign_keys(oid), saas_private.pinned_path(text[]), saas_private.check_tables(), saas_private.check_policies(),
    saas_private.check_keys(), saas_private.check_views(), saas_private.check_functions(),
    saas_private.check_privileges(), saas_private.check_roles(), saas_private.check_settings(),
    saas_private.relation_tree(oid), saas_private.column_names(oid, smallint[]), saas_private.bare_expression(text),
    saas_private.conditions(text), saas_private.binds_organization(text), saas_private.widening_policies(oid),
    saas_private.delete_set_columns(oid), saas_private.reveals_values(oid), saas_private.bypasses_row_security(oid),
    saas_private.views_on(oid), saas_private.is_invoker_view(oid)
    to saas_owner;

-- Charts.
revoke usage on type saas_api."*/*" from public;
grant usage on type saas_api."*/*" to saas_user, saas_owner;
grant execute on function
    saas.line_chart(timestamptz[], double precision[], text[], jsonb),
    saas.bar_chart(text[], double precision[], jsonb), saas.sparkline_chart(double precision[], jsonb),
    saas.gauge_chart(double precision, jsonb), saas.sparkline(double precision[]),
    saas.bar(double precision, integer), saas.limit_level(double precision)
    to saas_owner, saas_operator, saas_user;
grant execute on function
    saas_api.line_chart(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text, integer, integer,
                        text, text, text, integer),
    saas_api.bar_chart(text, timestamptz, timestamptz, text, jsonb, uuid[], text[], text, integer, integer, text, text,
                       integer),
    saas_api.sparkline(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text, integer, integer, text,
                       text),
    saas_api.gauge(text, jsonb, uuid[], text, integer, integer, text)
    to saas_user;
grant execute on function
    saas_private.send_picture(text), saas_private.chart_group(jsonb, text[]),
    saas_private.require_top(integer, integer)
    to saas_owner;

-- Audit.
grant execute on function
    saas_private.audit(text, text, text, jsonb, jsonb, uuid), saas_private.mask_secrets(jsonb)
    to saas_owner, saas_service;
grant execute on function
    saas_private.audit_point(uuid), saas_private.verify_chain(uuid, bigint, bytea, timestamptz, integer, bytea),
    saas_private.erase_audit(uuid, bigint, integer), saas_private.audit_checkpoint(uuid),
    saas_private.verify_audit(uuid, jsonb), saas_private.audit_user(text, uuid, jsonb, jsonb),
    saas_private.audit_keys_ended(uuid, uuid), saas_private.audit_logins_ended(uuid, uuid),
    saas_private.audit_limit(text, text, uuid, text, uuid, jsonb, jsonb)
    to saas_service;
grant execute on function saas_private.refuse_change() to saas_owner;
grant execute on function saas_private.my_activity(), saas_api.verify_audit(jsonb), saas_api.audit_checkpoint()
    to saas_user;
grant execute on function
    saas.verify_audit(uuid, jsonb), saas.audit_checkpoint(uuid), saas.prune_audit(uuid, timestamptz)
    to saas_operator;
grant execute on procedure saas.seal_audit() to saas_operator;

-- Teams.
grant execute on function
    saas_api.invite_member(text, text), saas_api.resend_invitation(uuid), saas_api.revoke_invitation(uuid),
    saas_api.accept_invitation(text), saas_api.decline_invitation(text),
    saas_api.change_member_role(uuid, text), saas_api.remove_member(uuid), saas_api.leave_organization(),
    saas_api.transfer_ownership(uuid), saas_api.set_member_attributes(uuid, jsonb), saas_api.seats(),
    saas_api.create_role(text, text[], integer), saas_api.update_role(text, text[], integer),
    saas_api.delete_role(text), saas_api.create_roles_from_template(text),
    saas_private.my_members(), saas_private.known_permissions()
    to saas_user;
grant execute on function saas.explain_access(uuid, text, uuid) to saas_user, saas_operator;
grant execute on function saas.set_seats(uuid, integer), saas.register_permission(text, text, text[]),
    saas.unregister_permission(text) to saas_operator;
grant execute on function saas_private.permissions_changed() to saas_service;
grant execute on function
    saas_private.check_line(text, boolean, text, text), saas_private.invitation_json(uuid, uuid)
    to saas_service;
grant execute on function
    saas_private.known_permissions(), saas_private.manage_team(text),
    saas_private.require_below(text, integer, integer)
    to saas_owner, saas_service;
grant execute on function
    saas_private.require_role_permissions(text[], text[]), saas_private.require_rank(text, integer, integer),
    saas_private.role_json(text), saas_private.custom_role(uuid, text), saas_private.remove_role(uuid, text),
    saas_private.role_templates()
    to saas_owner;

-- Organizations.
grant execute on function
    saas_api.resolve_organization(text), saas_api.organization_logo(text)
    to saas_anon, saas_user;
grant execute on function
    saas_api.update_organization(jsonb), saas_api.set_logo(bytea), saas_api.update_organization_settings(jsonb),
    saas_api.delete_organization(text), saas_api.restore_organization(uuid),
    saas_api.complete_onboarding_step(text, boolean), saas_api.set_preferences(jsonb),
    saas_api.complete_tour(text, boolean), saas_private.my_preferences(),
    saas_api.update_configuration(jsonb), saas_api.set_field_mapping(text, text), saas_api.score_deal(jsonb)
    to saas_user;
grant execute on function
    saas.default_risk_rules(), saas.default_priority_weights(),
    saas.deal_risks(jsonb, jsonb, timestamptz), saas.deal_priority(jsonb, jsonb, numeric, timestamptz)
    to saas_owner, saas_service, saas_operator, saas_user;
grant execute on function saas_private.deal_number(jsonb, text, numeric), saas_private.deal_time(jsonb, text),
    saas_private.require_deal(jsonb, timestamptz), saas_private.check_risk_rules(jsonb), saas_private.check_weights(jsonb)
    to saas_owner;
grant execute on function
    saas.suspend_organization(uuid, text), saas.activate_organization(uuid), saas.purge_organizations(integer),
    saas.domain_claims(), saas.confirm_domain(uuid, text)
    to saas_operator;
grant execute on function saas.purge_organizations(integer) to saas_poller;
grant execute on function
    saas_private.require_patch(jsonb, text[]), saas_private.patch_text(jsonb, text),
    saas_private.patch_boolean(jsonb, text), saas_private.patch_texts(jsonb, text, integer),
    saas_private.require_networks(text, text[]), saas_private.require_session_age(text, text),
    saas_private.require_domains(text, text[]), saas_private.merge_notifications(text, jsonb, jsonb),
    saas_private.is_taken_label(text, uuid), saas_private.hold_label(text), saas_private.hold(text), saas_private.require_subdomain(text, uuid),
    saas_private.sanitize_svg(bytea), saas_private.require_logo(bytea),
    saas_private.require_domain(text), saas_private.set_salesforce_defaults(uuid, jsonb),
    saas_private.with_salesforce_defaults(text, jsonb, jsonb), saas_private.require_login_origin(text, text),
    saas_private.patch_profile(uuid, jsonb), saas_private.patch_names(uuid, jsonb),
    saas_private.require_risk_rules(jsonb, jsonb), saas_private.require_weights(jsonb, jsonb),
    saas_private.require_mappings(jsonb), saas_private.store_configuration(uuid, jsonb, jsonb, jsonb),
    saas_private.is_reserved_slug(text), saas_private.random_token(), saas_private.require_field_email(text, text),
    saas_private.audit(text, text, text, jsonb, jsonb, uuid), saas_api.require_second_factor(boolean)
    to saas_owner;
grant execute on function saas_private.client_is_within(cidr[]) to saas_owner, saas_service;
grant execute on function saas_private.purge_protected(uuid, integer), saas_private.preferences_json(),
    saas_private.hold_label(text), saas_private.hold(text) to saas_service;

-- Rotation of the vault's keys.
grant execute on function
    saas_private.sealed_columns(), saas_private.next_data_key(uuid, bigint),
    saas_private.count_data_key(uuid, integer, bigint), saas_private.lock_data_keys(uuid),
    saas_private.destroy_data_keys(uuid)
    to saas_service;
grant execute on function
    saas.vault_status(), saas.destroy_keys(uuid, text),
    saas.register_sealed_column(regclass, name, text, name), saas.unregister_sealed_column(regclass, name)
    to saas_operator;
grant execute on procedure saas.rewrap_data_keys(), saas.rotate_data_keys(uuid, interval) to saas_operator;

-- Connections: groups, tokens, limits.
grant execute on function
    saas_api.confirm_connection_token(text, text, text, text, text, jsonb, jsonb)
    to saas_anon, saas_user;
grant execute on function
    saas_api.create_connection_group(text, text), saas_api.update_connection_group(uuid, jsonb),
    saas_api.set_group_members(uuid, uuid[]), saas_api.delete_connection_group(uuid),
    saas_api.create_connection_token(text, text, jsonb, text, jsonb, interval),
    saas_api.revoke_connection_token(uuid), saas_api.connection_limit()
    to saas_user;
grant execute on function saas.set_plan_limit(text, text, bigint), saas.check_address(text) to saas_operator;
grant execute on function saas.set_plan_poll_interval(text, interval) to saas_operator;
grant execute on function saas_private.least_poll_interval(uuid) to saas_owner, saas_service;
grant execute on function saas_private.plan_poll_interval() to saas_user, saas_owner;
grant execute on function
    saas_private.add_connection(uuid, text, text, jsonb, jsonb, text, jsonb, interval, jsonb, uuid, uuid, uuid),
    saas_private.require_features(text, jsonb), saas_private.require_connection_room(uuid)
    to saas_owner, saas_service;
grant execute on function
    saas_private.merge_features(jsonb, jsonb), saas_private.patch_uuid(jsonb, text), saas_private.hold_group(uuid),
    saas_private.require_connection_owner(uuid), saas_private.hold_own_membership(), saas_private.group_json(uuid),
    saas_private.require_group_text(text, text), saas_private.raise_group_taken()
    to saas_owner;
grant execute on function
    saas_private.check_connection(text, jsonb, jsonb), saas_private.seal_secrets(uuid, uuid, text, jsonb),
    saas_private.connection_kinds(), saas_private.require_connection_fields(text, jsonb),
    saas_private.require_poll_interval(uuid, text, interval), saas_private.default_poll_interval(text),
    saas_private.with_salesforce_defaults(text, jsonb, jsonb), saas_private.require_login_origin(text, text),
    saas_private.token_config(text, jsonb, jsonb, text, text), saas_private.connection_token_json(uuid),
    saas_private.require_connection_token(text, text, jsonb), saas_private.current_api_key_hash(),
    saas_private.api_key_is_good(uuid, uuid, bytea)
    to saas_service;
grant execute on function saas_private.connection_tokens_without_key() to saas_owner, saas_user;

-- Rollups and retention.
grant execute on function saas.visible_since(), saas.unfold(uuid[], double precision[]),
    saas.open_reading(uuid[], double precision[]), saas.opened_has(bytea, uuid), saas.opened_value(bytea, uuid)
    to saas_owner, saas_service, saas_poller, saas_operator, saas_user;
grant execute on function saas_private.retention_of(uuid) to saas_owner, saas_service;
grant execute on function saas_private.window_since(integer) to saas_user;
grant execute on function saas_private.deletes_readings() to saas_owner, saas_service;
grant execute on function
    saas_private.roll_values(internal, double precision[]),
    saas_private.roll_rollups(internal, double precision[], double precision[], double precision[], double precision[],
                              double precision[], double precision[], double precision[]),
    saas_private.rolled(internal), saas_private.roll(double precision[]),
    saas_private.roll(double precision[], double precision[], double precision[], double precision[], double precision[],
                      double precision[], double precision[]),
    saas_private.realign(double precision[], uuid[], uuid[]), saas_private.closed_until(integer),
    saas_private.sketch_values(internal, double precision[]),
    saas_private.sketch_sketches(internal, bytea, double precision[], double precision[], double precision[]),
    saas_private.sketched(internal), saas_private.sketch(double precision[]),
    saas_private.sketch(bytea, double precision[], double precision[], double precision[]),
    saas_private.realign_sketches(bytea, uuid[], uuid[]),
    saas_private.ensure_rollup_partition(text, timestamptz), saas_private.union_layout(uuid, uuid, uuid[]),
    saas_private.has_rollup_partitions(text, timestamptz, timestamptz), saas_private.make_rollup_partitions(timestamptz[]),
    saas_private.roll_level(text, uuid[], uuid[], timestamptz[], timestamptz[]),
    saas_private.roll_ranges(uuid[], uuid[], timestamptz[], timestamptz[], timestamptz[], timestamptz[]),
    saas_private.drop_partition(text, timestamptz),
    saas_private.trim_level(text, uuid, uuid, timestamptz, integer),
    saas_private.delete_unused(uuid, uuid, timestamptz, integer), saas_private.forget_layouts()
    to saas_service;
grant execute on function
    saas.maintenance_status(), saas.set_plan_retention(text, integer, integer, integer, integer)
    to saas_operator;
grant execute on procedure saas.maintain() to saas_operator;

-- Queries of metrics.
grant execute on function
    saas_api.explain_metric(text, timestamptz, timestamptz, interval, text, text),
    saas_api.metric_totals(text, timestamptz, timestamptz, text, jsonb, uuid[], uuid[], text[], jsonb),
    saas_api.compare_metric(text, timestamptz, timestamptz, interval, text, jsonb, uuid[], interval[], text),
    saas_api.metric_ratio(text, text, timestamptz, timestamptz, interval, text, jsonb, uuid[], text[], text),
    saas_api.bounce_rate(timestamptz, timestamptz, interval, uuid[], text[], text),
    saas_api.top_metric(text, timestamptz, timestamptz, text, jsonb, uuid[], text[], integer)
    to saas_user;
grant execute on function
    saas_private.add(double precision, double precision), saas_private.total(double precision),
    saas_private.divide(double precision, double precision), saas_private.percent(double precision, double precision),
    saas_private.change_percent(double precision, double precision),
    saas_private.gained(double precision, double precision, double precision),
    saas_private.require_metric_range(timestamptz, timestamptz), saas_private.require_group_keys(text[]), saas_private.require_metric_fn(text),
    saas_private.require_time_zone(text, text), saas_private.first_time(timestamp, text), saas_private.metric_bucket(timestamptz, interval, text),
    saas_private.move_back(timestamptz, interval, text),
    saas_private.metric_scope(timestamptz, timestamptz, interval, text, text),
    saas_private.places(uuid[], uuid[]), saas_private.sum_at(double precision[], integer[]),
    saas_private.unpacked(double precision[]), saas_private.most_values(), saas_private.refuse_range(integer),
    saas_private.limit_cell(internal, bigint, jsonb, jsonb, text, text, double precision), saas_private.limit_rows(internal),
    saas_private.limit_grid(bigint, jsonb, jsonb, text, text, double precision),
    saas_private.metric_places(text, jsonb, uuid[]),
    saas_private.metric_spans(timestamptz, timestamptz, integer, uuid[]),
    saas_private.add_values(internal, double precision[]), saas_private.added(internal), saas_private.added_up(double precision[]),
    saas_private.metric_sets(text[], jsonb, uuid[]), saas_private.metric_figures(text[], timestamptz[], jsonb, uuid[], integer),
    saas_private.metric_cells(text, timestamptz, timestamptz, integer, jsonb, uuid[], integer),
    saas_private.metric_increases(text, timestamptz, timestamptz, integer, jsonb, uuid[], integer),
    saas_private.sketch_at(bytea, bigint), saas_private.sketch_percentile(internal),
    saas_private.sketch_cell(internal, double precision, double precision, double precision, double precision, bytea),
    saas_private.percentile(double precision, double precision, double precision, double precision, bytea),
    saas_private.percentile_level(timestamptz, timestamptz, integer),
    saas_private.metric_sketches(text, timestamptz, timestamptz, integer, jsonb, uuid[], integer),
    saas_private.metric_groups(uuid[], text[]), saas_private.metric_connections(uuid[], uuid[], text[], jsonb),
    saas_private.metric_rows(text, timestamptz, timestamptz, interval, integer, text, text, double precision, jsonb, uuid[], text[], integer),
    saas_private.metric_sums(text, timestamptz, timestamptz, text, double precision, jsonb, uuid[], text[])
    to saas_owner;

-- Dashboards.
grant execute on function
    saas_api.metrics_overview(timestamptz, timestamptz, text[], uuid[], uuid[], text[], jsonb, interval, text, integer),
    saas_api.dashboard_cards(), saas_api.recent_activity(integer)
    to saas_user;
grant execute on function
    saas_private.rate_level(double precision, double precision, double precision),
    saas_private.rate_json(double precision, double precision, double precision, double precision, double precision, double precision),
    saas_private.member_counts(), saas_private.my_activity()
    to saas_owner;

-- Costs.
grant execute on function
    saas_api.set_metric_price(text, numeric, text, date, numeric, text), saas_api.delete_metric_price(text, date),
    saas_api.cost_report(timestamptz, timestamptz, text, uuid[])
    to saas_user;

-- Exports.
grant execute on function
    saas_api.export_csv(timestamptz, timestamptz, text[], jsonb, uuid[]),
    saas_api.export_openmetrics(timestamptz, timestamptz, text[], jsonb, uuid[])
    to saas_user;
grant execute on function
    saas_private.send_file(text, text, text), saas_private.csv_cell(text), saas_private.exposition_text(text),
    saas_private.exported_samples(text[], timestamptz, timestamptz, jsonb, uuid[]),
    saas_private.require_export(text[], timestamptz, timestamptz, jsonb, uuid[])
    to saas_owner;

-- Saved views.
grant execute on function saas_api.save_view(text, jsonb, boolean), saas_api.delete_saved_view(uuid), saas_private.my_saved_views()
    to saas_user;
grant execute on function saas_private.require_selection(jsonb) to saas_owner;
