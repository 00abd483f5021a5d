use jiff::Timestamp;
use serde_json::Value;

use super::age::age;
use super::workload::label_text;
use crate::objects::meta;

pub(super) fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let spec = |key: &str| meta::text_at(service, &["spec", key]).unwrap_or_default();
    let address = meta::list_at(service, &["spec", "clusterIPs"]).first().and_then(Value::as_str);
    let address = address.unwrap_or(spec("clusterIP"));
    vec![
        spec("type").into(),
        if address.is_empty() { "<none>" } else { address }.into(),
        external_address(service).into(),
        ports(meta::list_at(service, &["spec", "ports"])).into(),
        age(service, now),
        label_text(meta::at(service, &["spec", "selector"])).into(),
    ]
}

fn external_address(service: &Value) -> String {
    let listed = meta::list_at(service, &["spec", "externalIPs"]).iter().filter_map(Value::as_str);
    match meta::text_at(service, &["spec", "type"]).unwrap_or_default() {
        "LoadBalancer" => {
            let given = meta::list_at(service, &["status", "loadBalancer", "ingress"]).iter().filter_map(|ingress| {
                let text = |key: &str| meta::text_at(ingress, &[key]).filter(|text| !text.is_empty());
                text("ip").or(text("hostname"))
            });
            let mut given: Vec<&str> = given.collect();
            given.sort_unstable();
            given.dedup();
            given.extend(listed);
            if given.is_empty() { "<pending>".to_owned() } else { given.join(",") }
        }
        "ExternalName" => meta::text_at(service, &["spec", "externalName"]).unwrap_or_default().to_owned(),
        _ => {
            let listed: Vec<&str> = listed.collect();
            if listed.is_empty() { "<none>".to_owned() } else { listed.join(",") }
        }
    }
}

fn ports(ports: &[Value]) -> String {
    let text = |port: &Value| {
        let number = |key: &str| meta::integer_at(port, &[key]).unwrap_or_default();
        let protocol = meta::text_at(port, &["protocol"]).unwrap_or_default();
        match number("nodePort") {
            0 => format!("{}/{protocol}", number("port")),
            node => format!("{}:{node}/{protocol}", number("port")),
        }
    };
    if ports.is_empty() { "<none>".to_owned() } else { ports.iter().map(text).collect::<Vec<_>>().join(",") }
}

pub(super) fn endpoints(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in meta::list_at(endpoints, &["subsets"]) {
        let addresses = || meta::list_at(subset, &["addresses"]).iter().filter_map(|one| meta::text_at(one, &["ip"]));
        let ports = meta::list_at(subset, &["ports"]);
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let number = meta::integer_at(port, &["port"]).unwrap_or_default();
            all.extend(addresses().map(|address| format!("{address}:{number}")));
        }
    }
    vec![shortened(&all).into(), age(endpoints, now)]
}

pub(super) fn endpoint_slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = meta::list_at(slice, &["ports"])
        .iter()
        .map(|port| meta::integer_at(port, &["port"]).map_or_else(|| "*".to_owned(), |number| number.to_string()))
        .collect();
    let addresses: Vec<String> = meta::list_at(slice, &["endpoints"])
        .iter()
        .flat_map(|endpoint| meta::list_at(endpoint, &["addresses"]))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    vec![
        meta::text_at(slice, &["addressType"]).unwrap_or_default().into(),
        unset_or(&ports).into(),
        unset_or(&addresses).into(),
        age(slice, now),
    ]
}

fn unset_or(list: &[String]) -> String {
    if list.is_empty() { "<unset>".to_owned() } else { shortened(list) }
}

/// Three of a list, and how many more there are.
fn shortened(list: &[String]) -> String {
    const SHOWN: usize = 3;
    match list.len() {
        0 => "<none>".to_owned(),
        1..=SHOWN => list.join(","),
        count => format!("{} + {} more...", list[..SHOWN].join(","), count - SHOWN),
    }
}
