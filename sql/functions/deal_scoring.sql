-- Where deals have their fields and how they are scored.  The scores depend on
-- their arguments alone and read no table.  Leans on organization_settings.
--
-- A deal is an object; every member may be missing or null:
--   amount            number, 0 or more, in whatever currency
--   close_date        date on which it is expected to close, such as 2027-01-31
--   stage             text
--   last_activity_at  time of the last contact; UTC's without a zone
--   activity_count    number of recent contacts, 0 or more
--   strategic_value   number from 0 to 1
-- Any other member is not looked at.

create function saas.default_risk_rules() returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '{"staleOpportunityDays": 30, "highRiskStages": ["Negotiation", "Proposal"], "lowEngagementThreshold": 3, "staleDealWarningDays": 14}'::jsonb
$$;
comment on function saas.default_risk_rules() is
'The rules by which deals are at risk where an organization has none of its own. For saas_user and saas_operator.';

create function saas.default_priority_weights() returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select '{"dealSize": 0.3, "closeProximity": 0.25, "riskScore": 0.25, "engagementLevel": 0.1, "strategicValue": 0.1}'::jsonb
$$;
comment on function saas.default_priority_weights() is
'What the parts of a deal''s priority weigh where an organization has no weights of its own. For saas_user and saas_operator.';

create function saas_private.deal_number(deal jsonb, field text, most numeric default null) returns numeric
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    value numeric;
begin
    if coalesce(jsonb_typeof(deal -> field), 'null') = 'null' then
        return null;
    elsif jsonb_typeof(deal -> field) = 'number' then
        value := (deal ->> field)::numeric;
    end if;
    if value is null or value < 0 or value > coalesce(most, 1e15) then
        perform saas_private.raise_fields('invalid input', field,
            format('must be a number from 0 to %s', coalesce(most, 1e15)));
    end if;
    return value;
end
$$;
comment on function saas_private.deal_number(jsonb, text, numeric) is
'A number of a deal from 0 to most; NULL when it is missing. 22023 with the field for anything else.';

-- A text means the same time in every session, whatever its settings.
create function saas_private.deal_time(deal jsonb, field text) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
    at timestamptz;
begin
    if coalesce(jsonb_typeof(deal -> field), 'null') = 'null' then
        return null;
    end if;
    begin
        at := (deal ->> field)::timestamptz;
    exception when data_exception then
        at := null;
    end;
    if jsonb_typeof(deal -> field) <> 'string' or at is null or not isfinite(at)
       or (deal ->> field) !~ '^\s*[0-9]{4,6}([/.-]?)[0-9]{1,2}\1[0-9]{1,2}'
       or (deal ->> field) ~* '\m(now|today|tomorrow|yesterday|epoch)\M' then
        perform saas_private.raise_fields('invalid input', field, 'must be a date or time such as 2027-01-31');
    end if;
    return at;
end
$$;
comment on function saas_private.deal_time(jsonb, text) is
'A date or time of a deal that begins with its year, UTC''s where it names no zone; NULL when it is missing. 22023 with the field for anything else.';

create function saas_private.require_deal(deal jsonb, as_of timestamptz) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(coalesce(require_deal.deal, 'null')) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'deal', 'must be an object');
    elsif jsonb_typeof(require_deal.deal -> 'stage') not in ('string', 'null') then
        perform saas_private.raise_fields('invalid input', 'stage', 'must be a text or null');
    elsif not coalesce(isfinite(require_deal.as_of), false) then
        perform saas_private.raise_fields('invalid input', 'as_of', 'must be a time');
    end if;
end
$$;
comment on function saas_private.require_deal(jsonb, timestamptz) is
'Raises 22023 with the field unless the deal is an object, its stage a text, and as_of a time.';

create function saas_private.check_risk_rules(rules jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    numbers constant text[] := '{staleOpportunityDays,staleDealWarningDays,lowEngagementThreshold}';
    given constant jsonb := check_risk_rules.rules;
    bad text;
begin
    if jsonb_typeof(given) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'risk_rules', 'must be an object or null');
    end if;
    select k into bad from jsonb_object_keys(given) k where k <> all (numbers || 'highRiskStages'::text) limit 1;
    if bad is not null then
        perform saas_private.raise_fields('invalid input', 'risk_rules.' || left(bad, 63), 'is not a known key');
    end if;
    select k into bad from unnest(numbers) k
     where jsonb_typeof(given -> k) <> 'number' or (given ->> k)::numeric % 1 <> 0
        or (given ->> k)::numeric not between case k when 'lowEngagementThreshold' then 0 else 1 end and 3650
     limit 1;
    if bad is not null then
        perform saas_private.raise_fields('invalid input', 'risk_rules.' || bad, 'must be a whole number up to 3650');
    elsif jsonb_typeof(given -> 'highRiskStages') <> 'array' or jsonb_array_length(given -> 'highRiskStages') > 50
          -- Strict: a lax path would look into arrays within the array.
          or jsonb_path_exists(given -> 'highRiskStages',
                               'strict $[*] ? (@.type() != "string" || !(@ like_regex "^.{1,100}$"))') then
        perform saas_private.raise_fields('invalid input', 'risk_rules.highRiskStages',
            'must be an array of at most 50 texts of 1 to 100 characters');
    end if;
    return given;
end
$$;
comment on function saas_private.check_risk_rules(jsonb) is
'The risk rules, some or all, when each is good by itself, else 22023 with the field.';

create function saas_private.check_weights(weights jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    known constant text[] := '{dealSize,closeProximity,riskScore,engagementLevel,strategicValue}';
    given constant jsonb := check_weights.weights;
    bad text;
begin
    if jsonb_typeof(given) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'priority_weights', 'must be an object or null');
    end if;
    select k into bad from jsonb_object_keys(given) k where k <> all (known) limit 1;
    if bad is not null then
        perform saas_private.raise_fields('invalid input', 'priority_weights.' || left(bad, 63), 'is not a known key');
    end if;
    select k into bad from unnest(known) k
     where jsonb_typeof(given -> k) <> 'number' or (given ->> k)::numeric not between 0 and 1 limit 1;
    if bad is not null then
        perform saas_private.raise_fields('invalid input', 'priority_weights.' || bad, 'must be a number from 0 to 1');
    end if;
    return given;
end
$$;
comment on function saas_private.check_weights(jsonb) is
'The priority weights, some or all, when each is good by itself, else 22023 with the field.';

create function saas.deal_risks(deal jsonb, rules jsonb default null, as_of timestamptz default now()) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    by_rule constant jsonb := saas.default_risk_rules()
                              || saas_private.check_risk_rules(coalesce(nullif(deal_risks.rules, 'null'), '{}'));
    -- A whole number may be written 30.0, which is no integer's text.
    stale_days constant integer := (by_rule ->> 'staleOpportunityDays')::numeric;
    warning_days constant integer := (by_rule ->> 'staleDealWarningDays')::numeric;
    threshold constant integer := (by_rule ->> 'lowEngagementThreshold')::numeric;
    stage constant text := deal_risks.deal ->> 'stage';
    activities numeric;
    idle_days integer;
    flags jsonb := '[]';
    risk numeric := 0;
begin
    perform saas_private.require_deal(deal_risks.deal, deal_risks.as_of);
    activities := saas_private.deal_number(deal_risks.deal, 'activity_count');
    idle_days := floor(extract(epoch from
        deal_risks.as_of - saas_private.deal_time(deal_risks.deal, 'last_activity_at')) / 86400);
    if idle_days >= stale_days then
        risk := risk + 0.5;
        flags := flags || jsonb_build_object('flag', 'stale', 'severity', 'high', 'reason',
            format('no activity for %s days; %s are too many', idle_days, stale_days));
    elsif idle_days >= warning_days then
        risk := risk + 0.25;
        flags := flags || jsonb_build_object('flag', 'going_stale', 'severity', 'medium', 'reason',
            format('no activity for %s days; from %s on it needs care', idle_days, warning_days));
    end if;
    if by_rule -> 'highRiskStages' ? stage then
        risk := risk + 0.25;
        flags := flags || jsonb_build_object('flag', 'high_risk_stage', 'severity', 'medium', 'reason',
            format('deals are often lost in the stage "%s"', left(stage, 100)));
    end if;
    if activities < threshold then
        risk := risk + 0.25;
        flags := flags || jsonb_build_object('flag', 'low_engagement', 'severity', 'medium', 'reason',
            format('%s recent activities; %s are expected', activities, threshold));
    end if;
    return jsonb_build_object('risk', risk, 'flags', flags);
end
$$;
alter function saas.deal_risks(jsonb, jsonb, timestamptz) owner to saas_owner;
comment on function saas.deal_risks(jsonb, jsonb, timestamptz) is
'What puts a deal at risk: {risk, flags: [{flag, severity, reason}]}, risk from 0 to 1. Flags: stale (no activity for staleOpportunityDays whole days before as_of; adds 0.5), going_stale (for staleDealWarningDays; 0.25), high_risk_stage (its stage is one of highRiskStages; 0.25), low_engagement (activity_count below lowEngagementThreshold; 0.25). What a deal does not say raises no flag. rules: those of saas_api.configuration; missing ones are the defaults. Errors: 22023 with the field, of the rules too. For saas_user and saas_operator.';

create function saas.deal_priority(deal jsonb, weights jsonb default null, risk numeric default 0,
                                   as_of timestamptz default now())
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    by_weight constant jsonb := saas_private.check_weights(
        coalesce(nullif(deal_priority.weights, 'null'), saas.default_priority_weights()));
    amount numeric;
    close_in_days numeric;
    activities numeric;
    strategic numeric;
begin
    perform saas_private.require_deal(deal_priority.deal, deal_priority.as_of);
    amount := saas_private.deal_number(deal_priority.deal, 'amount');
    close_in_days := extract(epoch from
        saas_private.deal_time(deal_priority.deal, 'close_date') - deal_priority.as_of) / 86400;
    activities := saas_private.deal_number(deal_priority.deal, 'activity_count');
    strategic := saas_private.deal_number(deal_priority.deal, 'strategic_value', 1);
    if not coalesce(deal_priority.risk between 0 and 1, false) then
        perform saas_private.raise_fields('invalid input', 'risk', 'must be a number from 0 to 1');
    end if;
    return (
        with part (name, value) as (values
            -- least() would take a fact that is missing for the best.
            ('dealSize', case when amount is not null then least(1, ln(1 + amount) / ln(1 + 1000000.0)) end),
            ('closeProximity', case when close_in_days is not null
                                    then greatest(0, least(1, 1 - close_in_days / 90)) end),
            ('riskScore', deal_priority.risk),
            ('engagementLevel', case when activities is not null then least(1, activities / 10) end),
            ('strategicValue', strategic)
        ), weighed as (
            select p.name, round(coalesce(p.value, 0), 4) as value, p.value is null as is_missing,
                   coalesce((by_weight ->> p.name)::numeric, 0) as weight
              from part p
        )
        select jsonb_build_object(
                   'priority', least(1, sum(round(w.value * w.weight, 4))),
                   'parts', jsonb_object_agg(w.name, jsonb_build_object('value', w.value, 'weight', w.weight,
                                                                        'points', round(w.value * w.weight, 4))),
                   'missing', coalesce(jsonb_agg(w.name order by w.name) filter (where w.is_missing), '[]'))
          from weighed w);
end
$$;
alter function saas.deal_priority(jsonb, jsonb, numeric, timestamptz) owner to saas_owner;
comment on function saas.deal_priority(jsonb, jsonb, numeric, timestamptz) is
'How much a deal deserves attention: {priority, parts, missing}, priority from 0 to 1. It is the sum of five parts, each from 0 to 1, times their weights; parts: {name: {value, weight, points}}. dealSize: ln(1 + amount) / ln(1,000,001), at most 1, so a thousand counts half a million; closeProximity: 1 on close_date and after, falling evenly to 0 ninety days before; riskScore: risk, as saas.deal_risks() gives it, since what is at risk needs care first; engagementLevel: a tenth for each of activity_count, at most 1; strategicValue: strategic_value. A part whose fact is missing is 0 and named in missing. weights: those of saas_api.configuration, each from 0 to 1, one that is missing 0; NULL: the defaults. Errors: 22023 with the field, of the weights too. For saas_user and saas_operator.';

create function saas_private.require_risk_rules(before jsonb, patch jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    merged constant jsonb := require_risk_rules.before || saas_private.check_risk_rules(require_risk_rules.patch);
begin
    if (merged ->> 'staleDealWarningDays')::numeric >= (merged ->> 'staleOpportunityDays')::numeric then
        perform saas_private.raise_fields('invalid input', 'risk_rules.staleDealWarningDays',
            'must be below staleOpportunityDays');
    end if;
    return merged;
end
$$;
comment on function saas_private.require_risk_rules(jsonb, jsonb) is
'Risk rules with a patch laid over them, or 22023 with the field.';

create function saas_private.require_weights(before jsonb, patch jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    merged constant jsonb := require_weights.before || saas_private.check_weights(require_weights.patch);
begin
    -- What programs add up of binary fractions is not 1 to the last digit.
    if abs((select sum(w.value::numeric) from jsonb_each_text(merged) w) - 1) > 0.000001 then
        perform saas_private.raise_fields('invalid input', 'priority_weights', 'must sum to 1');
    end if;
    return merged;
end
$$;
comment on function saas_private.require_weights(jsonb, jsonb) is
'Priority weights with a patch laid over them, or 22023 with the field: each from 0 to 1, together 1 to within a millionth.';

create function saas_private.require_mappings(mappings jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    bad text;
begin
    if jsonb_typeof(require_mappings.mappings) <> 'object' then
        perform saas_private.raise_fields('invalid input', 'field_mappings', 'must be an object or null');
    end if;
    select e.key into bad from jsonb_each(require_mappings.mappings) e
     where e.key !~ '^[A-Za-z][A-Za-z0-9_]{0,62}$' or jsonb_typeof(e.value) <> 'string'
        or e.value #>> '{}' !~ '^[A-Za-z][A-Za-z0-9_]{0,79}([.][A-Za-z][A-Za-z0-9_]{0,79}){0,5}$' limit 1;
    if bad is not null then
        perform saas_private.raise_fields('invalid input', 'field_mappings.' || left(bad, 63),
            'must be a name with the name of a field of the CRM, such as Amount or Owner.Name');
    elsif (select count(*) from jsonb_object_keys(require_mappings.mappings)) > 200 then
        perform saas_private.raise_fields('invalid input', 'field_mappings', 'must have at most 200 fields');
    end if;
    return require_mappings.mappings;
end
$$;
comment on function saas_private.require_mappings(jsonb) is
'The field mappings, or 22023 with the field.';

create function saas_private.store_configuration(org_id uuid, mappings jsonb, rules jsonb, weights jsonb) returns jsonb
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    before jsonb := (select to_jsonb(c) from saas_api.configuration c where c.org_id = store_configuration.org_id);
    after jsonb;
begin
    insert into saas.organization_configuration as c (org_id, field_mappings, risk_rules, priority_weights)
    values (store_configuration.org_id, store_configuration.mappings, store_configuration.rules,
            store_configuration.weights)
    on conflict on constraint organization_configuration_pkey
    do update set field_mappings = excluded.field_mappings, risk_rules = excluded.risk_rules,
                  priority_weights = excluded.priority_weights, updated_at = now();
    after := (select to_jsonb(c) from saas_api.configuration c where c.org_id = store_configuration.org_id);
    perform saas_private.audit('organization.configuration_changed', 'organization',
                               store_configuration.org_id::text, before, after);
    return after;
end
$$;
comment on function saas_private.store_configuration(uuid, jsonb, jsonb, jsonb) is
'Stores an organization''s configuration and answers the row of saas_api.configuration.';

create function saas_api.update_configuration(patch jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    changes constant jsonb := update_configuration.patch;
    stored record;
begin
    perform saas.require_permission('manage_settings');
    org := saas.org_if('manage_settings');
    perform saas_private.require_patch(changes, '{field_mappings,risk_rules,priority_weights}');
    perform from saas.organization o where o.id = org for no key update;
    select c.field_mappings, c.risk_rules, c.priority_weights into stored
      from saas_api.configuration c where c.org_id = org;
    if jsonb_typeof(changes -> 'field_mappings') = 'null' then
        stored.field_mappings := '{}';
    elsif changes ? 'field_mappings' then
        stored.field_mappings := saas_private.require_mappings(changes -> 'field_mappings');
    end if;
    if jsonb_typeof(changes -> 'risk_rules') = 'null' then
        stored.risk_rules := saas.default_risk_rules();
    elsif changes ? 'risk_rules' then
        stored.risk_rules := saas_private.require_risk_rules(stored.risk_rules, changes -> 'risk_rules');
    end if;
    if jsonb_typeof(changes -> 'priority_weights') = 'null' then
        stored.priority_weights := saas.default_priority_weights();
    elsif changes ? 'priority_weights' then
        stored.priority_weights := saas_private.require_weights(stored.priority_weights, changes -> 'priority_weights');
    end if;
    return saas_private.store_configuration(org, stored.field_mappings, stored.risk_rules, stored.priority_weights);
end
$$;
alter function saas_api.update_configuration(jsonb) owner to saas_owner;
comment on function saas_api.update_configuration(jsonb) is
'Changes how the current organization reads and scores deals: field_mappings (all of them), risk_rules and priority_weights (laid over what is there; weights must sum to 1); null brings the defaults back. Answers the row of saas_api.configuration. Errors: PT401, PT403, 22023 with the field. For saas_user with manage_settings.';

create function saas_api.set_field_mapping(field text, source text) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    org uuid;
    stored record;
begin
    perform saas.require_permission('manage_settings');
    org := saas.org_if('manage_settings');
    if set_field_mapping.field is null then
        perform saas_private.raise_fields('invalid input', 'field', 'is required');
    end if;
    perform from saas.organization o where o.id = org for no key update;
    select c.field_mappings, c.risk_rules, c.priority_weights into stored
      from saas_api.configuration c where c.org_id = org;
    stored.field_mappings := case
        when set_field_mapping.source is null then stored.field_mappings - set_field_mapping.field
        else saas_private.require_mappings(stored.field_mappings
                 || jsonb_build_object(set_field_mapping.field, btrim(set_field_mapping.source))) end;
    return saas_private.store_configuration(org, stored.field_mappings, stored.risk_rules, stored.priority_weights);
end
$$;
alter function saas_api.set_field_mapping(text, text) owner to saas_owner;
comment on function saas_api.set_field_mapping(text, text) is
'Says where one field of the current organization''s deals stands in the CRM (Amount, Owner.Name); NULL removes it. Answers the row of saas_api.configuration. Errors: PT401, PT403, 22023. For saas_user with manage_settings.';

create function saas_api.score_deal(deal jsonb) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    configured record;
    risks jsonb;
begin
    perform saas.require_permission('view_dashboard');
    select c.risk_rules, c.priority_weights into configured
      from saas_api.configuration c where c.org_id = saas.org_if('view_dashboard');
    risks := saas.deal_risks(score_deal.deal, configured.risk_rules);
    return saas.deal_priority(score_deal.deal, configured.priority_weights, (risks ->> 'risk')::numeric)
           || jsonb_build_object('risk', risks -> 'risk', 'risk_flags', risks -> 'flags');
end
$$;
alter function saas_api.score_deal(jsonb) owner to saas_owner;
comment on function saas_api.score_deal(jsonb) is
'Scores a deal {amount, close_date, stage, last_activity_at, activity_count, strategic_value} with the current organization''s configuration: {priority, parts, missing, risk, risk_flags}, as saas.deal_priority() and saas.deal_risks() explain. Errors: PT401, PT403, 22023 with the field. For saas_user with view_dashboard.';
