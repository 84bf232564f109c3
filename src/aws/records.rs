//! Route 53 records: read them whole, change them by compare-and-swap.
//!
//! A batch deletes exactly what was read and creates what shall be, so a third party's edit in between makes all
//! of it fail (rule 10). That is only safe when a record is carried whole: one with a field that this release does
//! not know is refused when it is read, because writing it back would drop the field.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_route53::Client;
use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget as SdkAlias, Change, ChangeAction, ChangeBatch, ChangeInfo, ChangeStatus, ResourceRecord, ResourceRecordSet,
    RrType,
};

use super::errors;
use crate::cloud::{Failure, Receipt};
use crate::plan::{AliasTarget, RecordSet};

/// AWS's bound on the changes of one batch.
const CHANGES_MAX: usize = 1000;
/// Pages of at most 300 record sets; one name cannot have that many.
const PAGES_MAX: usize = 20;
/// AWS's bounds on a set identifier and on a name, in characters.
const SET_CHARS_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 255;

/// All record sets of one name, of every type, sorted.
pub(super) async fn list(client: &Client, zone: &str, name: &str) -> Result<Vec<RecordSet>, Failure> {
    const OPERATION: &str = "route53 ListResourceRecordSets";
    let wanted = plain_name(name);
    let mut records = Vec::new();
    let (mut start_name, mut start_type, mut start_set) = (absolute(&wanted), None::<RrType>, None::<String>);
    for _ in 0..PAGES_MAX {
        let page = client
            .list_resource_record_sets()
            .hosted_zone_id(zone)
            .start_record_name(&start_name)
            .set_start_record_type(start_type.take())
            .set_start_record_identifier(start_set.take())
            .send()
            .await
            .map_err(|e| errors::failure(OPERATION, &e))?;
        for record in page.resource_record_sets() {
            if plain_name(record.name()) != wanted {
                // Records come in the order of their names: this one is past the wanted name.
                records.sort();
                return Ok(records);
            }
            records.push(from_sdk(record)?);
        }
        match page.next_record_name() {
            Some(next) if page.is_truncated() && plain_name(next) == wanted => next.clone_into(&mut start_name),
            _ => {
                records.sort();
                return Ok(records);
            }
        }
        start_type = page.next_record_type().cloned();
        start_set = page.next_record_identifier().map(str::to_owned);
    }
    Err(errors::unknown(format!("{OPERATION}: {wanted} goes on for more than {PAGES_MAX} pages")))
}

/// Whether the zone's own servers have a change (rule 7).
pub(super) async fn in_sync(client: &Client, id: &str) -> Result<bool, Failure> {
    const OPERATION: &str = "route53 GetChange";
    let answer = client.get_change().id(id).send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    match answer.change_info().map(ChangeInfo::status) {
        Some(ChangeStatus::Insync) => Ok(true),
        Some(ChangeStatus::Pending) => Ok(false),
        other => Err(errors::unknown(format!("{OPERATION}: unexpected status {other:?}"))),
    }
}

/// Sends one batch: the deletions exactly as they were read, then the creations.
pub(super) async fn change(
    client: &Client,
    token: &str,
    zone: &str,
    delete: &[RecordSet],
    create: &[RecordSet],
) -> Result<Receipt, Failure> {
    const OPERATION: &str = "route53 ChangeResourceRecordSets";
    validate(delete, create).map_err(|why| errors::refused(format!("{OPERATION}: not sent: {why}")))?;
    let batch = batch(token, delete, create).map_err(|e| errors::refused(format!("{OPERATION}: not sent: {e}")))?;
    let answer = client
        .change_resource_record_sets()
        .hosted_zone_id(zone)
        .change_batch(batch)
        .send()
        .await
        .map_err(|e| errors::failure(OPERATION, &e))?;
    match answer.change_info().map(ChangeInfo::id) {
        Some(id) if !id.is_empty() => Ok(Receipt::of(id.trim_start_matches("/change/").to_owned())),
        _ => Err(errors::unknown(format!("{OPERATION}: the answer has no change id"))),
    }
}

fn batch(token: &str, delete: &[RecordSet], create: &[RecordSet]) -> Result<ChangeBatch, BuildError> {
    let deletions = delete.iter().map(|r| (ChangeAction::Delete, r));
    let creations = create.iter().map(|r| (ChangeAction::Create, r));
    let mut batch = ChangeBatch::builder().comment(format!("cutover {token}"));
    for (action, record) in deletions.chain(creations) {
        batch = batch.changes(Change::builder().action(action).resource_record_set(to_sdk(record)?).build()?);
    }
    batch.build()
}

/// Refuses what Route 53 would refuse, and what it would accept but nobody can mean, before anything is sent.
/// What it cannot see are siblings outside the batch and whether a name lies within the zone: that is Route 53's.
fn validate(delete: &[RecordSet], create: &[RecordSet]) -> Result<(), String> {
    let count = delete.len() + create.len();
    if count == 0 {
        return Err("the batch is empty".to_owned());
    }
    if count > CHANGES_MAX {
        return Err(format!("{count} changes are more than the {CHANGES_MAX} of one batch"));
    }
    delete.iter().chain(create).try_for_each(validate_record)?;
    for side in [delete, create] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = side.iter().find(|r| !seen.insert(r.key())) {
            return Err(format!("{twice} is named twice"));
        }
        validate_siblings(side)?;
    }
    Ok(())
}

/// One record by itself.
fn validate_record(record: &RecordSet) -> Result<(), String> {
    let err = |why: &str| Err(format!("{record}: {why}"));
    if !is_name(&record.name) {
        return err("not a record name (lower case, no final dot, labels of 1 to 63 characters)");
    }
    if RrType::from(record.kind.as_str()).as_str() != record.kind || !RrType::values().contains(&record.kind.as_str()) {
        return err("unknown record type");
    }
    match (&record.alias, record.ttl, record.values.is_empty()) {
        (Some(alias), None, true) if is_name(&alias.name) && !alias.zone.is_empty() => {}
        (Some(_), None, true) => return err("the alias needs a zone id and a target name"),
        (Some(_), _, _) => return err("an alias has neither ttl nor values"),
        (None, Some(ttl), false) if i32::try_from(ttl).is_ok() => {}
        (None, ..) => return err("a record needs a ttl (at most 2147483647) and values, or an alias"),
    }
    match (&record.set, record.weight) {
        (None, None) => Ok(()),
        (Some(set), Some(_)) if !set.is_empty() && set.chars().count() <= SET_CHARS_MAX => Ok(()),
        (Some(_), Some(_)) => err("a set identifier has 1 to 128 characters"),
        _ => err("a weight needs a set identifier, and the other way round"),
    }
}

/// The records under one name and type: all weighted or one simple, and one ttl for all that have one (rule 8).
fn validate_siblings(records: &[RecordSet]) -> Result<(), String> {
    let mut groups: BTreeMap<(&str, &str), Vec<&RecordSet>> = BTreeMap::new();
    for record in records {
        groups.entry((&record.name, &record.kind)).or_default().push(record);
    }
    for ((name, kind), siblings) in groups {
        if siblings.iter().any(|r| r.weight.is_some()) && siblings.iter().any(|r| r.weight.is_none()) {
            return Err(format!("{name} {kind} mixes simple and weighted records"));
        }
        let ttls: BTreeSet<u32> = siblings.iter().filter_map(|r| r.ttl).collect();
        if ttls.len() > 1 {
            return Err(format!("{name} {kind}: weighted siblings need one ttl, not {ttls:?}"));
        }
    }
    Ok(())
}

/// Whether this is a name as we carry it. Escapes other than the asterisk's stay as Route 53 writes them.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase();
    name.len() <= NAME_CHARS_MAX
        && name.chars().all(allowed)
        && name.split('.').all(|label| (1..=63).contains(&label.len().saturating_sub(3 * label.matches('\\').count())))
}

/// A name as we carry it: lower case, no final dot, and `*` instead of the `\052` that Route 53 answers with.
fn plain_name(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.replace("\\052", "*").to_ascii_lowercase()
}

/// A name as it is sent: with its final dot, so that nobody completes it.
fn absolute(name: &str) -> String {
    format!("{name}.")
}

fn from_sdk(record: &ResourceRecordSet) -> Result<RecordSet, Failure> {
    let name = plain_name(record.name());
    let kind = record.r#type().as_str().to_owned();
    let refuse = |field: &str| {
        errors::refused(format!("{name} {kind}: this release cannot carry the field {field}, so it does not touch the record"))
    };
    let unknown_fields = [
        ("Region", record.region().is_some()),
        ("GeoLocation", record.geo_location().is_some()),
        ("Failover", record.failover().is_some()),
        ("MultiValueAnswer", record.multi_value_answer().is_some()),
        ("TrafficPolicyInstanceId", record.traffic_policy_instance_id().is_some()),
        ("CidrRoutingConfig", record.cidr_routing_config().is_some()),
        ("GeoProximityLocation", record.geo_proximity_location().is_some()),
        // A set identifier without a weight belongs to a routing policy that the SDK does not know yet either.
        ("SetIdentifier without Weight", record.set_identifier().is_some() && record.weight().is_none()),
    ];
    if let Some((field, _)) = unknown_fields.into_iter().find(|(_, present)| *present) {
        return Err(refuse(field));
    }
    Ok(RecordSet {
        set: record.set_identifier().map(str::to_owned),
        weight: record.weight().map(u8::try_from).transpose().map_err(|_| refuse("Weight beyond 255"))?,
        ttl: record.ttl().map(u32::try_from).transpose().map_err(|_| refuse("TTL out of range"))?,
        values: record.resource_records().iter().map(|value| value.value().to_owned()).collect(),
        alias: record.alias_target().map(|alias| AliasTarget {
            zone: alias.hosted_zone_id().to_owned(),
            name: plain_name(alias.dns_name()),
            evaluate_health: alias.evaluate_target_health(),
        }),
        health_check: record.health_check_id().map(str::to_owned),
        name,
        kind,
    })
}

fn to_sdk(record: &RecordSet) -> Result<ResourceRecordSet, BuildError> {
    let alias = record.alias.as_ref().map(|alias| {
        SdkAlias::builder()
            .hosted_zone_id(&alias.zone)
            .dns_name(absolute(&alias.name))
            .evaluate_target_health(alias.evaluate_health)
            .build()
    });
    let values: Result<Vec<ResourceRecord>, BuildError> =
        record.values.iter().map(|value| ResourceRecord::builder().value(value).build()).collect();
    ResourceRecordSet::builder()
        .name(absolute(&record.name))
        .r#type(RrType::from(record.kind.as_str()))
        .set_set_identifier(record.set.clone())
        .set_weight(record.weight.map(i64::from))
        .set_ttl(record.ttl.map(i64::from))
        .set_resource_records(Some(values?).filter(|values| !values.is_empty()))
        .set_alias_target(alias.transpose()?)
        .set_health_check_id(record.health_check.clone())
        .build()
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::ResourceRecordSetFailover;

    use super::*;
    use crate::cloud::FailureKind;

    fn weighted(set: &str, weight: u8, ttl: u32) -> RecordSet {
        RecordSet {
            name: "api.example.com".into(),
            kind: "A".into(),
            set: Some(set.into()),
            weight: Some(weight),
            ttl: Some(ttl),
            values: vec!["192.0.2.1".into()],
            alias: None,
            health_check: Some("hc-1".into()),
        }
    }

    fn why(delete: &[RecordSet], create: &[RecordSet]) -> String {
        validate(delete, create).err().unwrap_or_default()
    }

    #[test]
    fn a_record_survives_the_way_there_and_back() {
        let alias = AliasTarget { zone: "Z1".into(), name: "lb.example.net".into(), evaluate_health: true };
        let star =
            RecordSet { name: "*.example.com".into(), ttl: None, values: vec![], alias: Some(alias), ..weighted("a", 0, 60) };
        for record in [weighted("a", 255, 60), star] {
            assert_eq!(from_sdk(&to_sdk(&record).unwrap()).unwrap(), record);
        }
        assert_eq!(plain_name("\\052.Example.COM."), "*.example.com");
    }

    #[test]
    fn a_field_that_we_do_not_know_refuses_the_record() {
        let mut record = to_sdk(&weighted("a", 1, 60)).unwrap();
        record.failover = Some(ResourceRecordSetFailover::Primary);
        let failure = from_sdk(&record).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("api.example.com A") && failure.message.contains("Failover"), "{}", failure.message);
    }

    #[test]
    fn batches_that_make_no_sense_are_refused_before_sending() {
        let simple = RecordSet { set: None, weight: None, ..weighted("a", 1, 60) };
        assert_eq!(why(&[weighted("a", 1, 60)], &[weighted("a", 2, 60), weighted("b", 9, 60)]), "");
        // From simple to weighted is a change of its own kind and allowed (rule 9).
        assert_eq!(why(std::slice::from_ref(&simple), &[weighted("a", 1, 60)]), "");
        assert!(why(&[], &[]).contains("empty"));
        assert!(why(&[], &[weighted("a", 1, 60), weighted("b", 1, 30)]).contains("one ttl"));
        assert!(why(&[], &[weighted("a", 1, 60), simple]).contains("mixes"));
        assert!(why(&[], &[weighted("a", 1, 60), weighted("a", 2, 60)]).contains("twice"));
        assert!(why(&[], &[RecordSet { set: None, ..weighted("a", 1, 60) }]).contains("set identifier"));
        assert!(why(&[], &[RecordSet { ttl: None, ..weighted("a", 1, 60) }]).contains("ttl"));
        assert!(why(&[], &[RecordSet { kind: "BOGUS".into(), ..weighted("a", 1, 60) }]).contains("type"));
        for name in ["", "a..b", "\\", "Api.example.com", "a b.example.com", "example.com."] {
            assert!(why(&[], &[RecordSet { name: name.into(), ..weighted("a", 1, 60) }]).contains("name"), "{name}");
        }
    }
}
