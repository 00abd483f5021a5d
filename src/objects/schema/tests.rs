use proptest::prelude::*;
use serde_json::json;

use super::*;

fn schema() -> StructuralSchema {
    StructuralSchema::parse(&json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object",
            "required": ["hosts"],
            "properties": {
                "hosts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
                "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
                "weight": {"type": "integer", "minimum": 0, "maximum": 100},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "object"}}},
                "maybe": {"type": "string", "nullable": true},
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "routes": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"exact": {"type": "string"}, "prefix": {"type": "string"}, "weight": {"type": "integer"}},
                    "oneOf": [
                        {"not": {"anyOf": [{"required": ["exact"]}, {"required": ["prefix"]}]}},
                        {"required": ["exact"]},
                        {"required": ["prefix"]},
                    ],
                }},
            },
        }},
    }))
}

fn complaints(spec: Value) -> Vec<String> {
    schema().validate(&json!({"spec": spec})).iter().map(ToString::to_string).collect()
}

#[test]
fn texts_are_the_api_servers() {
    for (spec, expected) in [
        (json!({"hosts": ["a"], "port": "x", "weight": 3.0}), vec![]),
        (json!({}), vec!["spec.hosts: Required value"]),
        (
            json!({"hosts": "a"}),
            vec!["spec.hosts: Invalid value: \"string\": spec.hosts in body must be of type array: \"string\""],
        ),
        (
            json!({"hosts": ["a"], "routes": [{"weight": 70.5}]}),
            vec![
                "spec.routes[0].weight: Invalid value: \"number\": spec.routes[0].weight in body must be of type integer: \"number\"",
            ],
        ),
        (
            json!({"hosts": ["a"], "routes": [{"exact": "a", "prefix": "b"}]}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.routes[0]\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"hosts": ["a"], "routes": [null]}),
            vec!["spec.routes[0]: Invalid value: \"null\": spec.routes[0] in body must be of type object: \"null\""],
        ),
        (
            json!({"hosts": ["a"], "mode": "C"}),
            vec!["spec.mode: Unsupported value: \"C\": supported values: \"A\", \"B\""],
        ),
        (
            json!({"hosts": ["a"], "labels": {"v": 1}}),
            vec![
                "spec.labels.v: Invalid value: \"integer\": spec.labels.v in body must be of type string: \"integer\"",
            ],
        ),
        (
            json!({"hosts": ["a"], "weight": 101}),
            vec!["spec.weight: Invalid value: 101: spec.weight in body should be less than or equal to 100"],
        ),
        (json!({"hosts": []}), vec!["spec.hosts: Invalid value: 0: spec.hosts in body should have at least 1 items"]),
        (json!({"hosts": ["a", "b", "c", "d"]}), vec!["spec.hosts: Too many: 4: must have at most 3 items"]),
        (
            json!({"hosts": ["a"], "name": "A1"}),
            vec!["spec.name: Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'"],
        ),
        (json!({"hosts": ["a"], "name": "abcdef"}), vec!["spec.name: Too long: may not be longer than 5"]),
        (
            json!({"hosts": ["a"], "port": true}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.port\" must validate at least one schema (anyOf)",
                "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer: \"boolean\"",
            ],
        ),
    ] {
        assert_eq!(complaints(spec.clone()), expected, "{spec}");
    }
}

#[test]
fn pruning_keeps_what_is_known_and_what_is_free() {
    let mut object = json!({
        "apiVersion": "x/v1", "kind": "X", "metadata": {"name": "n", "odd": 1}, "junk": 1,
        "spec": {"hosts": ["a"], "junk": 1, "labels": {"any": "key"}, "free": {"junk": {"deep": 1}, "known": {"junk": 1}},
                 "routes": [{"exact": "a", "junk": 1}]},
    });
    schema().prune(&mut object);
    assert_eq!(
        object,
        json!({
            "apiVersion": "x/v1", "kind": "X", "metadata": {"name": "n", "odd": 1},
            "spec": {"hosts": ["a"], "labels": {"any": "key"}, "free": {"junk": {"deep": 1}, "known": {}}, "routes": [{"exact": "a"}]},
        })
    );
}

#[test]
fn defaults_fill_and_nulls_go() {
    let mut object = json!({"spec": {"mode": null, "weight": null, "maybe": null, "routes": [null]}});
    schema().default(&mut object);
    assert_eq!(object, json!({"spec": {"mode": "A", "maybe": null, "routes": [null]}}));
}

#[test]
fn formats() {
    for (format, good, bad) in [
        ("date-time", "2026-11-23T08:48:40Z", "yesterday"),
        ("date", "2026-11-23", "2026-13-01"),
        ("ipv4", "127.0.0.1", "300.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
        ("uuid", "399f8836-58f1-4baf-92bf-14ae43e58b54", "x"),
        ("hostname", "a.example.com", "-a"),
    ] {
        let schema = StructuralSchema::parse(
            &json!({"type": "object", "properties": {"f": {"type": "string", "format": format}}}),
        );
        assert!(schema.validate(&json!({"f": good})).is_empty(), "{format}");
        let complaint = format!("f: Invalid value: \"{bad}\": f in body must be of type {format}: \"{bad}\"");
        assert_eq!(schema.validate(&json!({"f": bad}))[0].to_string(), complaint);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys =
        prop::sample::select(vec!["spec", "hosts", "mode", "routes", "exact", "free", "known", "labels", "junk"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..5).prop_map(|entries| Value::Object(
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pruning_and_defaulting_are_idempotent(value in any_json()) {
        let schema = schema();
        let mut once = value.clone();
        schema.prune(&mut once);
        let mut twice = once.clone();
        schema.prune(&mut twice);
        prop_assert_eq!(&once, &twice);
        schema.default(&mut once);
        let mut again = once.clone();
        schema.default(&mut again);
        prop_assert_eq!(&once, &again);
        schema.validate(&value);
    }

    #[test]
    fn any_value_is_a_schema(value in any_json(), mut object in any_json()) {
        let schema = StructuralSchema::parse(&value);
        schema.prune(&mut object);
        schema.default(&mut object);
        schema.validate(&object);
    }
}
