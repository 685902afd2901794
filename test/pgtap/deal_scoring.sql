-- How deals are scored: priority with its parts, risks with their reasons, and
-- the configuration of organizations behind them.
select no_plan();
\ir ../lib/refusals.sql
\ir ../lib/tenants.sql
call tenants.hold_poller();

create function pg_temp.risks(deal jsonb, rules jsonb default null) returns text language sql as $$
    select (r ->> 'risk') || coalesce(' ' || (select string_agg(f ->> 'flag' || ':' || (f ->> 'severity'), ' ') from jsonb_array_elements(r -> 'flags') f), '')
      from saas.deal_risks(deal, rules, '2027-01-31 12:00+00') r
$$;
create function pg_temp.priority(deal jsonb, weights jsonb default null, risk numeric default 0) returns jsonb language sql as $$
    select saas.deal_priority(deal, weights, risk, '2027-01-31 00:00+00')
$$;
set timezone = 'UTC';

--
-- Risks
--
select is(saas.default_risk_rules(), '{"staleOpportunityDays": 30, "highRiskStages": ["Negotiation", "Proposal"], "lowEngagementThreshold": 3, "staleDealWarningDays": 14}'::jsonb, 'the default rules');
select is(saas.default_priority_weights(), '{"dealSize": 0.3, "closeProximity": 0.25, "riskScore": 0.25, "engagementLevel": 0.1, "strategicValue": 0.1}'::jsonb, 'the default weights');
select is((select sum(value::numeric) from jsonb_each_text(saas.default_priority_weights())), 1.0, 'sum to 1');
select is(pg_temp.risks(deal), said, deal::text)
  from (values
    ('{}'::jsonb, '0'), ('{"stage": null, "activity_count": null, "last_activity_at": null}', '0'),
    ('{"last_activity_at": "2027-01-17 12:00:01+00"}', '0'),
    ('{"last_activity_at": "2027-01-17 12:00+00"}', '0.25 going_stale:medium'),
    ('{"last_activity_at": "2027-01-01 12:00:01+00"}', '0.25 going_stale:medium'),
    ('{"last_activity_at": "2027-01-01 12:00+00"}', '0.5 stale:high'),
    ('{"last_activity_at": "2027-03-01"}', '0'),
    ('{"stage": "Proposal"}', '0.25 high_risk_stage:medium'), ('{"stage": "proposal"}', '0'), ('{"stage": "Closed"}', '0'),
    ('{"activity_count": 2}', '0.25 low_engagement:medium'), ('{"activity_count": 3}', '0'), ('{"activity_count": 0}', '0.25 low_engagement:medium'),
    ('{"last_activity_at": "2026-06-01", "stage": "Negotiation", "activity_count": 0}', '1.00 stale:high high_risk_stage:medium low_engagement:medium')) as v (deal, said);
select is(saas.deal_risks('{"last_activity_at": "2027-01-01", "stage": "Proposal", "activity_count": 1}', null, '2027-01-31') -> 'flags',
          '[{"flag": "stale", "severity": "high", "reason": "no activity for 30 days; 30 are too many"},
            {"flag": "high_risk_stage", "severity": "medium", "reason": "deals are often lost in the stage \"Proposal\""},
            {"flag": "low_engagement", "severity": "medium", "reason": "1 recent activities; 3 are expected"}]'::jsonb, 'each flag has its reason');
select is(saas.deal_risks('{"last_activity_at": "2027-01-11"}', null, '2027-01-31') #>> '{flags,0,reason}', 'no activity for 20 days; from 14 on it needs care', 'a warning too');
select is(pg_temp.risks('{"last_activity_at": "2027-01-21", "stage": "Trial", "activity_count": 5}', '{"staleOpportunityDays": 10, "highRiskStages": ["Trial"], "lowEngagementThreshold": 6}'),
          '1.00 stale:high high_risk_stage:medium low_engagement:medium', 'an organization''s rules count instead of the defaults');
select is(pg_temp.refusal(format('select saas.deal_risks(%L)', bad)), '22023 invalid input (' || field || ')', format('%s is refused', bad))
  from (values ('{"activity_count": -1}', 'activity_count'), ('{"activity_count": "3"}', 'activity_count'), ('{"activity_count": 1e16}', 'activity_count'),
               ('{"last_activity_at": "soon"}', 'last_activity_at'), ('{"last_activity_at": 7}', 'last_activity_at'),
               ('{"last_activity_at": "infinity"}', 'last_activity_at'), ('{"last_activity_at": "now"}', 'last_activity_at')) as v (bad, field);

--
-- Priority
--
select is(round((pg_temp.priority(deal) #>> array['parts', part, 'value'])::numeric, 4), value::numeric, format('%s of %s is %s', part, deal, value))
  from (values
    ('{"amount": 0}'::jsonb, 'dealSize', 0), ('{"amount": 1000}', 'dealSize', 0.5001), ('{"amount": 1000000}', 'dealSize', 1), ('{"amount": 5e9}', 'dealSize', 1), ('{}', 'dealSize', 0),
    ('{"close_date": "2027-01-31"}', 'closeProximity', 1), ('{"close_date": "2026-12-31"}', 'closeProximity', 1), ('{"close_date": "2027-03-17"}', 'closeProximity', 0.5),
    ('{"close_date": "2027-05-01"}', 'closeProximity', 0), ('{"close_date": "2028-01-01"}', 'closeProximity', 0), ('{}', 'closeProximity', 0),
    ('{"activity_count": 4}', 'engagementLevel', 0.4), ('{"activity_count": 11}', 'engagementLevel', 1), ('{}', 'engagementLevel', 0),
    ('{"strategic_value": 0.7}', 'strategicValue', 0.7), ('{"strategic_value": 1}', 'strategicValue', 1), ('{}', 'strategicValue', 0)) as v (deal, part, value);
select is(pg_temp.priority('{}', null, 0.75) #> '{parts,riskScore}', '{"value": 0.75, "weight": 0.25, "points": 0.1875}'::jsonb, 'the risk is a part');
select is(pg_temp.priority('{"amount": 1000000, "close_date": "2027-01-31", "activity_count": 10, "strategic_value": 1}', null, 1) -> 'priority', '1.0000'::jsonb, 'all of everything is 1');
select is(pg_temp.priority('{}') -> 'priority', '0.0000'::jsonb, 'nothing is 0');
select is(pg_temp.priority('{"amount": 5}') -> 'missing', '["closeProximity", "engagementLevel", "strategicValue"]'::jsonb, 'what is missing is named');
select is(pg_temp.priority('{"amount": 1000000, "close_date": "2027-03-17", "activity_count": 4, "strategic_value": 0.5}', null, 0.25) -> 'priority', '0.5775'::jsonb,
          '0.3 + 0.25 x 0.5 + 0.25 x 0.25 + 0.1 x 0.4 + 0.1 x 0.5');
select is(pg_temp.priority('{"amount": 1000000, "strategic_value": 0.5}', '{"dealSize": 0.2, "strategicValue": 0.8}') -> 'priority', '0.6000'::jsonb, 'other weights, another priority');
select is((select sum((p.value ->> 'points')::numeric) from jsonb_each(x -> 'parts') p), (x ->> 'priority')::numeric, 'the parts'' points are the priority')
  from pg_temp.priority('{"amount": 12345, "close_date": "2027-02-20", "activity_count": 7, "strategic_value": 0.3}', null, 0.5) x;
select is(pg_temp.refusal(format('select saas.deal_priority(%L, null, %s)', deal, risk)), '22023 invalid input (' || field || ')', format('%s with risk %s is refused', deal, risk))
  from (values ('{"amount": -1}', '0', 'amount'), ('{"amount": "12"}', '0', 'amount'), ('{"strategic_value": 1.1}', '0', 'strategic_value'),
               ('{"close_date": "2027-02-30"}', '0', 'close_date'), ('{}', '1.1', 'risk'), ('{}', '-0.1', 'risk'), ('{}', 'null', 'risk')) as v (deal, risk, field);

--
-- Three deals by hand, from docs/organizations.md alone, on 2027-01-31
--
select is(jsonb_build_array(r -> 'risk', (select jsonb_agg(f -> 'flag') from jsonb_array_elements(r -> 'flags') f),
                            (select jsonb_agg(p.x -> 'parts' -> n.name -> 'points' order by n.at)
                               from unnest(array['dealSize', 'closeProximity', 'riskScore', 'engagementLevel', 'strategicValue']) with ordinality n (name, at)),
                            p.x -> 'priority'), said, format('by hand: %s', deal))
  from (values
    -- ln 250001 / ln 1000001, 1 - 15/90, 21 days idle
    ('{"amount": 250000, "close_date": "2027-02-15", "last_activity_at": "2027-01-10", "stage": "Proposal", "activity_count": 2, "strategic_value": 0.6}'::jsonb, null::jsonb,
     '[0.75, ["going_stale", "high_risk_stage", "low_engagement"], [0.2699, 0.2083, 0.1875, 0.02, 0.06], 0.7457]'::jsonb),
    -- ln 5000 / ln 1000001, 70.75 days left, 62 days idle
    ('{"amount": 4999, "close_date": "2027-04-11T18:00Z", "last_activity_at": "2026-11-30", "stage": "Discovery", "activity_count": 8}', null,
     '[0.5, ["stale"], [0.185, 0.0535, 0.125, 0.08, 0], 0.4435]'),
    ('{"amount": 1999999, "close_date": "2026-12-01", "last_activity_at": "2027-01-30", "stage": "Negotiation", "activity_count": 25, "strategic_value": 1}',
     '{"dealSize": 0.5, "closeProximity": 0.1, "riskScore": 0.2, "engagementLevel": 0.1, "strategicValue": 0.1}',
     '[0.25, ["high_risk_stage"], [0.5, 0.1, 0.05, 0.1, 0.1], 0.85]')) as v (deal, weights, said)
 cross join lateral saas.deal_risks(deal, null, '2027-01-31 00:00+00') r
 cross join lateral (select pg_temp.priority(deal, weights, (r ->> 'risk')::numeric)) p (x);

--
-- What is no deal, no rules and no weights
--
select is(pg_temp.refusal(format('select %s(%L)', f, bad)), '22023 invalid input (' || field || ')', format('%s of %s is refused', f, coalesce(bad, 'NULL')))
  from unnest(array['saas.deal_risks', 'saas.deal_priority']) f,
       (values (null, 'deal'), ('[]', 'deal'), ('5', 'deal'), ('{"stage": 7}', 'stage'), ('{"stage": ["Proposal"]}', 'stage')) as v (bad, field);
select is(pg_temp.refusal(format('select saas.deal_risks(''{}'', %L)', bad)), '22023 invalid input (' || field || ')', format('rules %s are refused', bad))
  from (values ('5', 'risk_rules'), ('[]', 'risk_rules'), ('{"x": 1}', 'risk_rules.x'), ('{"staleOpportunityDays": "abc"}', 'risk_rules.staleOpportunityDays'),
               ('{"staleOpportunityDays": null}', 'risk_rules.staleOpportunityDays'), ('{"lowEngagementThreshold": "NaN"}', 'risk_rules.lowEngagementThreshold'),
               ('{"staleDealWarningDays": 1e1000}', 'risk_rules.staleDealWarningDays'),
               ('{"highRiskStages": "x"}', 'risk_rules.highRiskStages'), ('{"highRiskStages": [["x"]]}', 'risk_rules.highRiskStages')) as v (bad, field);
select is(pg_temp.refusal(format('select saas.deal_priority(''{}'', %L)', bad)), '22023 invalid input (' || field || ')', format('weights %s are refused', bad))
  from (values ('5', 'priority_weights'), ('[]', 'priority_weights'), ('{"x": 1}', 'priority_weights.x'), ('{"dealSize": "abc"}', 'priority_weights.dealSize'),
               ('{"dealSize": "NaN"}', 'priority_weights.dealSize'), ('{"dealSize": "Infinity"}', 'priority_weights.dealSize'),
               ('{"dealSize": -0.1}', 'priority_weights.dealSize'), ('{"dealSize": 1.1}', 'priority_weights.dealSize')) as v (bad, field);
select is(pg_temp.refusal(format('select %s, %L)', f, t)), '22023 invalid input (as_of)', format('%s as of %s is refused', f, coalesce(t, 'NULL')))
  from unnest(array['saas.deal_risks(''{}'', null', 'saas.deal_priority(''{}'', null, 0']) f, unnest(array['infinity', '-infinity', null]) t;
select is(pg_temp.refusal(format('select saas.deal_priority(%L, null, ''NaN'')', '{}')), '22023 invalid input (risk)', 'a risk of NaN is refused');
select is(pg_temp.refusal(format('select saas.deal_priority(%L)', jsonb_build_object('close_date', bad))), '22023 invalid input (close_date)', format('a close_date of %s is refused', bad))
  from unnest(array['12:00 tomorrow', '2027-01-31 tomorrow', '01/02/2027', '2.1.2027', '27-01-31', '2027-01-31T25:00', '2027', '']) bad;
-- The same in every session.
create function pg_temp.in_session(zone text, style text) returns jsonb language plpgsql as $$
begin
    perform set_config('timezone', zone, true), set_config('datestyle', style, true);
    return pg_temp.priority('{"close_date": "2027-03-01"}') -> 'parts' -> 'closeProximity' -> 'value'
           || (saas.deal_risks('{"last_activity_at": "2027-01-01 02:00"}', null, '2027-01-31 00:00+00') -> 'risk');
end
$$;
select is(pg_temp.in_session(zone, style), '[0.6778, 0.25]'::jsonb, format('scores do not depend on %s and %s', zone, style))
  from (values ('UTC', 'ISO, MDY'), ('Asia/Tokyo', 'SQL, DMY'), ('America/Los_Angeles', 'Postgres, YMD')) as v (zone, style);
set timezone = 'UTC';
set datestyle = 'ISO, MDY';

--
-- Configuration
--
set saas.bcrypt_cost = 10;
select user_id as ada, org_id as works from tenants.found('ada') \gset
select user_id as bob, org_id as other from tenants.found('bob') \gset
select tenants.join('vic', :'works', 'viewer') as vic \gset
select is(tenants.answer('(select jsonb_build_array(field_mappings, risk_rules, priority_weights) from saas_api.configuration)', :'vic', :'works')::jsonb,
          jsonb_build_array('{}'::jsonb, saas.default_risk_rules(), saas.default_priority_weights()), 'an organization begins with the defaults');
create function pg_temp.configure(patch text) returns text language plpgsql as $$
declare
    answer text;
    message text;
    detail text;
begin
    perform saas.assume_identity(u.id, o.id) from saas.app_user u, saas.organization o where u.email = 'ada@example.com' and o.slug = 'ada-works';
    set local session authorization saas_user;
    execute format('select saas_api.update_configuration(%L)::text', patch) into answer;
    reset session authorization;
    return answer;
exception when others then
    get stacked diagnostics message = message_text, detail = pg_exception_detail;
    return message || ' ' || coalesce((detail::jsonb #>> '{0,field}') || ' ' || (detail::jsonb #>> '{0,message}'), '');
end
$$;
select is(pg_temp.configure(bad), 'invalid input ' || said, format('%s is refused', left(bad, 90)))
  from (values
    ('{"x": 1}', 'x is not a known key'),
    ('{"priority_weights": [1]}', 'priority_weights must be an object or null'),
    ('{"priority_weights": {"dealSize": 0.4}}', 'priority_weights must sum to 1'),
    ('{"priority_weights": {"dealSize": 0.29999, "closeProximity": 0.25}}', 'priority_weights must sum to 1'),
    ('{"priority_weights": {"dealSize": 1.3, "closeProximity": 0}}', 'priority_weights.dealSize must be a number from 0 to 1'),
    ('{"priority_weights": {"dealSize": "0.3"}}', 'priority_weights.dealSize must be a number from 0 to 1'),
    ('{"priority_weights": {"dealSize": null}}', 'priority_weights.dealSize must be a number from 0 to 1'),
    ('{"priority_weights": {"luck": 0}}', 'priority_weights.luck is not a known key'),
    ('{"risk_rules": 7}', 'risk_rules must be an object or null'),
    ('{"risk_rules": {"luck": 1}}', 'risk_rules.luck is not a known key'),
    ('{"risk_rules": {"staleOpportunityDays": 0}}', 'risk_rules.staleOpportunityDays must be a whole number up to 3650'),
    ('{"risk_rules": {"staleOpportunityDays": 30.5}}', 'risk_rules.staleOpportunityDays must be a whole number up to 3650'),
    ('{"risk_rules": {"lowEngagementThreshold": -1}}', 'risk_rules.lowEngagementThreshold must be a whole number up to 3650'),
    ('{"risk_rules": {"staleDealWarningDays": "14"}}', 'risk_rules.staleDealWarningDays must be a whole number up to 3650'),
    ('{"risk_rules": {"staleDealWarningDays": 30}}', 'risk_rules.staleDealWarningDays must be below staleOpportunityDays'),
    ('{"risk_rules": {"highRiskStages": "Proposal"}}', 'risk_rules.highRiskStages must be an array of at most 50 texts of 1 to 100 characters'),
    ('{"risk_rules": {"highRiskStages": [""]}}', 'risk_rules.highRiskStages must be an array of at most 50 texts of 1 to 100 characters'),
    ('{"risk_rules": {"highRiskStages": [7]}}', 'risk_rules.highRiskStages must be an array of at most 50 texts of 1 to 100 characters'),
    ('{"field_mappings": []}', 'field_mappings must be an object or null'),
    ('{"field_mappings": {"amount": 7}}', 'field_mappings.amount must be a name with the name of a field of the CRM, such as Amount or Owner.Name'),
    ('{"field_mappings": {"amount": "Amount; DROP"}}', 'field_mappings.amount must be a name with the name of a field of the CRM, such as Amount or Owner.Name'),
    ('{"field_mappings": {"a b": "Amount"}}', 'field_mappings.a b must be a name with the name of a field of the CRM, such as Amount or Owner.Name'),
    ('{"field_mappings": {' || (select string_agg(format('"f%s": "F"', n), ',') from generate_series(1, 201) n) || '}}', 'field_mappings must have at most 200 fields')) as v (bad, said);
select is(pg_temp.configure('{"priority_weights": {"dealSize": 0.2, "strategicValue": 0.2}, "risk_rules": {"highRiskStages": ["Legal"], "staleOpportunityDays": 60}, "field_mappings": {"amount": "Amount", "owner": "Owner.Name"}}')::jsonb - '{org_id,updated_at}'::text[],
          '{"field_mappings": {"amount": "Amount", "owner": "Owner.Name"},
            "risk_rules": {"staleOpportunityDays": 60, "highRiskStages": ["Legal"], "lowEngagementThreshold": 3, "staleDealWarningDays": 14},
            "priority_weights": {"dealSize": 0.2, "closeProximity": 0.25, "riskScore": 0.25, "engagementLevel": 0.1, "strategicValue": 0.2}}'::jsonb, 'an owner configures: patches are laid over what is there');
select is((select action from saas.audit_event order by id desc limit 1), 'organization.configuration_changed', 'the audit knows it');
select is(tenants.answer('saas_api.set_field_mapping(''stage'', '' StageName '') -> ''field_mappings''', :'ada', :'works')::jsonb,
          '{"amount": "Amount", "owner": "Owner.Name", "stage": "StageName"}', 'one field is mapped');
select is(tenants.answer('saas_api.set_field_mapping(''amount'', null) -> ''field_mappings''', :'ada', :'works')::jsonb, '{"owner": "Owner.Name", "stage": "StageName"}', 'one is not any more');
select matches(tenants.answer(format('saas_api.set_field_mapping(%L, %L)', field, source), :'ada', :'works'), '^22023', format('%s to "%s" is refused', coalesce(field, 'NULL'), source))
  from (values (null, 'A'), ('', 'A'), ('a', ''), ('a', 'A..B'), ('1a', 'A')) as v (field, source);
select is(tenants.answer('(select risk_rules ->> ''staleOpportunityDays'' from saas_api.configuration)', :'bob', :'other'), '30', 'others keep the defaults');
select is(tenants.answer('saas_api.score_deal(''{"stage": "Legal", "amount": 1000000, "strategic_value": 1}'')', :'vic', :'works')::jsonb - 'parts',
          '{"priority": 0.4625, "missing": ["closeProximity", "engagementLevel"], "risk": 0.25,
            "risk_flags": [{"flag": "high_risk_stage", "severity": "medium", "reason": "deals are often lost in the stage \"Legal\""}]}'::jsonb, 'a member scores a deal with them');
select is(tenants.answer('saas_api.score_deal(''{"stage": "Legal", "amount": 1000000, "strategic_value": 1}'') -> ''priority''', :'bob', :'other'), '0.4000', 'others with theirs');
select is(tenants.answer(format('saas_api.score_deal(%L)', bad), :'ada', :'works'), E'22023\ninvalid input\n[{"field": "deal", "message": "must be an object"}]', format('%s is no deal', coalesce(bad, 'NULL')))
  from unnest(array[null, '[]', '7']) bad;
-- A program's whole number may have a point.
select is(pg_temp.configure('{"risk_rules": {"staleOpportunityDays": 45.0, "lowEngagementThreshold": 2.0}}') ~ '45', true, '45.0 days are whole');
select is(tenants.answer('saas_api.score_deal(''{"last_activity_at": "2020-01-01", "activity_count": 1}'') -> ''risk''', :'vic', :'works'), '0.75', 'and deals are scored with them');
select is(pg_temp.configure(format('{"priority_weights": {"dealSize": %s}}', weight)) like 'invalid input priority_weights must sum to 1', weight not in ('0.2000001', '0.2'), format('a weight of %s', weight))
  from unnest(array['0.2000001', '0.200002', '0.199998', '1e-400', '0.2']) weight;
select is(pg_temp.configure('{"priority_weights": null, "risk_rules": null, "field_mappings": null}')::jsonb - '{org_id,updated_at}'::text[],
          jsonb_build_object('field_mappings', '{}'::jsonb, 'risk_rules', saas.default_risk_rules(), 'priority_weights', saas.default_priority_weights()), 'null brings the defaults back');
select * from finish();
