use proptest::prelude::*;
use serde_json::json;

use super::*;

fn service() -> Value {
    json!({
        "metadata": {"name": "istio-ingressgateway", "annotations": {"a.b/c": "x"}},
        "spec": {"ports": [{"name": "status-port", "port": 15021}, {"name": "http2", "port": 80, "nodePort": 30955}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    })
}

fn rendered(template: &str) -> Result<String, JsonPathError> {
    JsonPath::parse(template)?.render(&service(), Missing::Error)
}

#[test]
fn templates() {
    for (template, expected) in [
        ("{.status.loadBalancer.ingress[0].ip}", "10.0.0.1"),
        ("{.spec.ports[?(@.name==\"http2\")].port}", "80"),
        ("{.spec.ports[?(@.name=='http2')].nodePort}", "30955"),
        ("{.spec.ports[?(@.nodePort)].name}", "http2"),
        ("{.spec.ports[?(@.port>100)].name}", "status-port"),
        ("{.spec.ports[*].port}", "15021 80"),
        ("{.spec.ports[-1].port}", "80"),
        ("{.spec.ports[0:1].name}", "status-port"),
        ("{.spec.ports[0,1].name}", "status-port http2"),
        ("{.spec.ports[0]['name','port']}", "status-port 15021"),
        ("{..port}", "15021 80"),
        ("{.metadata.annotations.a\\.b/c}", "x"),
        ("{.metadata.annotations['a.b/c']}", "x"),
        ("{range .spec.ports[*]}{.name}={.port}{\"\\n\"}{end}", "status-port=15021\nhttp2=80\n"),
        ("{range .spec.ports[*]}{$.metadata.name} {end}", "istio-ingressgateway istio-ingressgateway "),
        ("name: {$.metadata.name}!", "name: istio-ingressgateway!"),
        ("{.status.loadBalancer}", "{\"ingress\":[{\"ip\":\"10.0.0.1\"}]}"),
        ("plain", "plain"),
    ] {
        assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn complaints() {
    assert_eq!(rendered("{.nope}"), Err(JsonPathError::NotFound("nope".to_owned())));
    assert_eq!(rendered("{.spec.ports[5]}"), Err(JsonPathError::OutOfBounds { index: 5, length: 2 }));
    assert_eq!(rendered("{.a"), Err(JsonPathError::UnclosedAction));
    assert_eq!(rendered("{.a[0}"), Err(JsonPathError::UnclosedAction));
    assert_eq!(rendered("{range .a[*]}x"), Err(JsonPathError::UnbalancedRange));
    assert_eq!(rendered("{end}"), Err(JsonPathError::UnbalancedRange));
    assert_eq!(rendered("{.a[x]}"), Err(JsonPathError::InvalidIndex("x".to_owned())));
}

#[test]
fn bare_paths() {
    for path in [".metadata.name", "metadata.name", "{.metadata.name}", "{metadata.name}", "$.metadata.name"] {
        let found = JsonPath::parse_path(path).expect(path);
        assert_eq!(found.find(&service(), Missing::Nothing), Ok(vec![&json!("istio-ingressgateway")]), "{path}");
    }
    let nothing = JsonPath::parse_path(".spec.hosts").expect("is a path");
    assert_eq!(nothing.find(&service(), Missing::Nothing), Ok(vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_read_or_refused(template in "[{}\\[\\]().?@$*,:'\"\\\\a-c0-2= ]{0,24}") {
        if let Ok(path) = JsonPath::parse(&template) {
            drop(path.render(&service(), Missing::Nothing));
        }
    }
}
