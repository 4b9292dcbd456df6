//! Subnets and security groups, as EC2 describes them.

use serde_json::Value;

use super::{Finding, list};

/// Whether the subnets exist, are of one VPC and have addresses left. Gives the VPC, too.
pub fn subnets(asked: &[String], described: &[Value]) -> (Finding, Option<String>) {
    let name = "subnets";
    let id = |it: &Value| text(it, "SubnetId");
    let missing: Vec<String> =
        asked.iter().filter(|it| !described.iter().any(|found| id(found) == **it)).cloned().collect();
    let mut vpcs: Vec<String> = described.iter().map(|it| text(it, "VpcId")).collect();
    vpcs.sort();
    vpcs.dedup();
    let vpc = if let [only] = vpcs.as_slice() { Some(only.clone()) } else { None };
    if !missing.is_empty() {
        let message = format!("do not exist here: {}", list(&missing));
        return (Finding::failed(name, message, "check `subnets`, or the service's network, and the region"), vpc);
    }
    if vpcs.len() > 1 {
        let message = format!("are of several VPCs: {}", list(&vpcs));
        return (Finding::failed(name, message, "name subnets of one VPC"), None);
    }
    let free = |it: &&Value| it.get("AvailableIpAddressCount").and_then(Value::as_u64) != Some(0);
    let full: Vec<String> = described.iter().filter(|it| !free(it)).map(id).collect();
    if full.len() == described.len() {
        let message = format!("no address is free in {}", list(&full));
        return (Finding::failed(name, message, "add a subnet with free addresses"), vpc);
    }
    let mut zones: Vec<String> = described.iter().map(|it| text(it, "AvailabilityZone")).collect();
    zones.sort();
    zones.dedup();
    let full = if full.is_empty() { String::new() } else { format!("; no address is free in {}", list(&full)) };
    let message = format!("{} in {}, {}{full}", list(asked), vpc.as_deref().unwrap_or("?"), list(&zones));
    (Finding::ok(name, message), vpc)
}

/// Whether the security groups exist, are of the subnets' VPC and let anything out.
pub fn groups(asked: &[String], described: &[Value], vpc: Option<&str>) -> Finding {
    let name = "security groups";
    let id = |it: &Value| text(it, "GroupId");
    let missing: Vec<String> =
        asked.iter().filter(|it| !described.iter().any(|found| id(found) == **it)).cloned().collect();
    if !missing.is_empty() {
        let hint = "check `security-groups`, or the service's network, and the region";
        return Finding::failed(name, format!("do not exist here: {}", list(&missing)), hint);
    }
    let elsewhere: Vec<String> =
        described.iter().filter(|it| vpc.is_some_and(|vpc| text(it, "VpcId") != vpc)).map(id).collect();
    if !elsewhere.is_empty() {
        let message = format!("are not of the subnets' VPC {}: {}", vpc.unwrap_or_default(), list(&elsewhere));
        return Finding::failed(name, message, "name groups of the VPC of the subnets");
    }
    let open = |it: &Value| it.get("IpPermissionsEgress").and_then(Value::as_array).is_none_or(|it| !it.is_empty());
    if !described.is_empty() && !described.iter().any(open) {
        let message = format!("let nothing out: {}", list(asked));
        return Finding::failed(name, message, "allow egress at least to ECR, CloudWatch Logs and S3 (port 443)");
    }
    Finding::ok(name, list(asked))
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::State;

    fn ids(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn subnets_exist_together_and_have_room() {
        let subnet = |id: &str, vpc: &str, free: u32| json!({ "SubnetId": id, "VpcId": vpc, "AvailabilityZone": "a", "AvailableIpAddressCount": free });
        for (described, state, part) in [
            (vec![subnet("s-1", "v", 5), subnet("s-2", "v", 0)], State::Ok, "no address is free in s-2"),
            (vec![subnet("s-1", "v", 5), subnet("s-2", "v", 5)], State::Ok, "s-1, s-2 in v, a"),
            (vec![subnet("s-1", "v", 5)], State::Failed, "do not exist here: s-2"),
            (vec![subnet("s-1", "v", 5), subnet("s-2", "w", 5)], State::Failed, "several VPCs: v, w"),
            (vec![subnet("s-1", "v", 0), subnet("s-2", "v", 0)], State::Failed, "no address is free in s-1, s-2"),
        ] {
            let (finding, _) = subnets(&ids(&["s-1", "s-2"]), &described);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.message.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn groups_are_of_that_network_and_let_something_out() {
        let group =
            |id: &str, vpc: &str, egress: Value| json!({ "GroupId": id, "VpcId": vpc, "IpPermissionsEgress": egress });
        let out = json!([{ "IpProtocol": "-1" }]);
        for (described, state, part) in [
            (vec![group("g", "v", out.clone())], State::Ok, "g"),
            (vec![], State::Failed, "do not exist here: g"),
            (vec![group("g", "w", out)], State::Failed, "not of the subnets' VPC v: g"),
            (vec![group("g", "v", json!([]))], State::Failed, "let nothing out"),
        ] {
            let finding = groups(&ids(&["g"]), &described, Some("v"));
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.message.contains(part), "{finding:?}");
        }
    }
}
