//! Breaks a tiny lab as learners break it, and reads the hint. One lab serves a group of mistakes: each is made, read and
//! taken back by applying what the lab has.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::Cluster;
use super::bench::{Bench, eventually, finish};

/// The lab's namespace.
const NAMESPACE: &str = "tf-serving";

/// What `explain` finds with these flags, by situation, with everything it says.
fn findings(bench: &Bench, flags: &[&str]) -> (Vec<String>, Value) {
    findings_with(bench, flags, &[])
}

/// The same, with variables in the environment.
fn findings_with(bench: &Bench, flags: &[&str], variables: &[(&str, &str)]) -> (Vec<String>, Value) {
    let mut command = bench.tiny_command(&[&["--output", "json", "explain"], flags].concat());
    command.envs(variables.iter().copied());
    let ended = finish(command);
    let told: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let found = told["findings"].as_array().unwrap();
    (found.iter().map(|found| found["situation"].as_str().unwrap_or("?").to_owned()).collect(), told)
}

/// Waits until `explain` finds the situation: routes take a moment to reach the gateway, and pods to end.
fn expect(bench: &Bench, situation: &str, flags: &[&str], words: &[&str]) {
    let begun = Instant::now();
    let last = loop {
        let (found, told) = findings(bench, flags);
        let text = told["findings"].to_string();
        if found.iter().any(|known| known == situation) && words.iter().all(|word| text.contains(word)) {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{situation} {words:?}: not within 30s, only {told:#}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let finding = last["findings"].as_array().unwrap().iter().find(|found| found["situation"] == situation).unwrap();
    assert!(!finding["next"].as_array().unwrap().is_empty(), "{situation}: {finding:#}");
}

/// Waits until nothing is found.
fn expect_nothing(bench: &Bench) {
    let mut last = Value::Null;
    eventually("nothing is found", Duration::from_secs(30), || {
        let (found, told) = findings(bench, &[]);
        last = told;
        found.is_empty() && last["answer"].as_str().is_some_and(|answer| answer.contains("the way is free"))
    });
}

#[test]
fn mistakes_on_the_way_in_are_recognised() {
    let bench = Bench::new();
    let up = bench.tiny(&["up", "--until", "ingress"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let cluster = Cluster::of(&bench);
    let gateway = cluster.get("gateways", NAMESPACE, "image-classifier-gateway");
    let route = cluster.get("virtualservices", NAMESPACE, "image-classifier");
    expect_nothing(&bench);

    // The way in: tunnel, port, Gateway.
    assert_eq!(bench.tiny(&["tunnel", "--stop"]).code, 0);
    expect(&bench, "tunnel-not-running", &[], &["<pending>", "canary-lab tunnel"]);
    assert_eq!(bench.tiny(&["up", "--until", "tunnel"]).code, 0);
    expect(&bench, "wrong-port", &["--port", "8501"], &["inside the cluster", "takes HTTP at port"]);
    expect(&bench, "wrong-port", &["--port", "443"], &["`https`"]);
    let proxy = ("http_proxy", "http://proxy.example:3128");
    let (found, told) = findings_with(&bench, &[], &[proxy]);
    assert_eq!(found, ["proxy-in-the-way"], "{told:#}");
    assert!(told["findings"].to_string().contains("NO_PROXY does not name 127."), "{told:#}");
    // The advice is what helps: with what `env` exports nothing is in the way.
    let exported = bench.tiny(&["env"]).out;
    let spared = exported.lines().find_map(|line| line.strip_prefix("export NO_PROXY=")).unwrap().trim_matches('\'');
    let (found, told) = findings_with(&bench, &[], &[proxy, ("NO_PROXY", spared)]);
    assert!(found.is_empty(), "{told:#}");

    cluster.delete("gateways", NAMESPACE, "image-classifier-gateway");
    expect(&bench, "gateway-missing", &[], &["refused", "gateway.yaml"]);
    cluster.create("gateways", NAMESPACE, &changed(&gateway, "/spec/selector/istio", &json!("ingress-gateway")));
    expect(&bench, "gateway-selector", &[], &["istio=ingress-gateway", "istio=ingressgateway"]);
    cluster.replace("gateways", NAMESPACE, &changed(&gateway, "/spec/servers/0/port/number", &json!(8443)));
    expect(&bench, "gateway-port", &[], &["8443 HTTP"]);

    // A Gateway in another namespace, of another name, or for other hosts.
    cluster.delete("gateways", NAMESPACE, "image-classifier-gateway");
    cluster.create("gateways", "default", &changed(&gateway, "/metadata/namespace", &json!("default")));
    expect(&bench, "gateway-elsewhere", &[], &["default/image-classifier-gateway"]);
    cluster.delete("gateways", "default", "image-classifier-gateway");
    cluster.create("gateways", NAMESPACE, &changed(&gateway, "/spec/servers/0/hosts", &json!(["models.example.com"])));
    expect(&bench, "host-mismatch", &[], &["models.example.com"]);
    cluster.replace("gateways", NAMESPACE, &gateway);
    let route_with =
        |pointer: &str, value: Value| cluster.replace("virtualservices", NAMESPACE, &changed(&route, pointer, &value));
    route_with("/spec/gateways", json!(["image-clasifier-gateway"]));
    expect(&bench, "gateway-name-wrong", &[], &["did you mean `image-classifier-gateway`?"]);
    // A wildcard host is refused for the mesh, so whoever makes this mistake has named the Service.
    let named = changed(&route, "/spec/hosts", &json!(["image-classifier"]));
    cluster.replace("virtualservices", NAMESPACE, &changed(&named, "/spec/gateways", &json!(["mesh"])));
    expect(&bench, "mesh-only", &[], &["`mesh` alone"]);
    route_with("/spec/http/0/match", json!([{"uri": {"prefix": "/v2"}}]));
    expect(&bench, "no-rule-matches", &[], &["/v2"]);
    cluster.delete("virtualservices", NAMESPACE, "image-classifier");
    expect(&bench, "virtualservice-missing", &[], &["404 with an empty body", "virtual-service.yaml"]);
    cluster.create("virtualservices", NAMESPACE, &route);
    expect_nothing(&bench);

    // Past the Gateway: Service, ports, hosts.
    route_with("/spec/http/0/route/0/destination/port/number", json!(8051));
    expect(&bench, "service-port", &[], &["8051", "8500, 8501"]);
    route_with("/spec/http/0/route/0/destination/host", json!("image-clasifier"));
    expect(&bench, "host-misspelt", &[], &["did you mean `image-classifier`?"]);
    route_with("/spec/http/0/fault", json!({"abort": {"httpStatus": 418, "percentage": {"value": 100.0}}}));
    expect(&bench, "fault-injected", &[], &["418"]);
    cluster.replace("virtualservices", NAMESPACE, &route);
    let service = cluster.get("services", NAMESPACE, "image-classifier");
    cluster.replace("services", NAMESPACE, &changed(&service, "/spec/selector/app", &json!("image-clasifier")));
    expect(&bench, "service-selector", &[], &["app=image-clasifier", "app=image-classifier,version=resnet50"]);
    cluster.replace("services", NAMESPACE, &changed(&service, "/spec/ports/1/targetPort", &json!(8080)));
    expect(&bench, "target-port", &[], &["8080", "8500, 8501"]);
    cluster.delete("services", NAMESPACE, "image-classifier");
    expect(&bench, "service-missing", &[], &["service.yaml"]);
    assert_eq!(bench.tiny(&["up", "--until", "ingress"]).code, 0);

    // At the model server itself.
    expect(&bench, "model-name-wrong", &["--path", "/v1/models/image-classifier:predict"], &["Servable not found"]);
    expect(&bench, "path-wrong", &["--path", "/v1/modells"], &["Malformed request"]);
    expect_nothing(&bench);
}

#[test]
fn mistakes_with_subsets_and_rules_are_recognised() {
    let bench = Bench::new();
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let cluster = Cluster::of(&bench);
    let route = cluster.get("virtualservices", NAMESPACE, "image-classifier");
    let rule = cluster.get("destinationrules", NAMESPACE, "image-classifier");
    expect_nothing(&bench);
    expect(&bench, "header-value", &["--header", "user-group=Canary"], &["user-group: canary"]);
    expect(&bench, "header-name", &["--header", "user-groop=canary"], &["`user-group`"]);

    let story = bench.json(&["explain", "--header", "user-group=canary"]);
    assert_eq!(story["story"]["outcome"], "forwarded", "{story:#}");
    assert!(story["story"]["destinations"][0]["to"].as_str().unwrap().starts_with("resnet101 of"), "{story:#}");
    let story = bench.json(&["explain"]);
    let lines = story["story"]["lines"].to_string();
    assert!(lines.contains("the header `user-group` is absent") && lines.contains("it takes every request"), "{lines}");

    cluster.delete("destinationrules", NAMESPACE, "image-classifier");
    expect(&bench, "destinationrule-missing", &[], &["resnet101", "destinationrule.yaml"]);
    let verify = bench.tiny(&["verify"]);
    assert_eq!(verify.code, 20, "{}\n{}", verify.out, verify.err);
    cluster.create("destinationrules", NAMESPACE, &changed(&rule, "/spec/host", &json!("image-clasifier")));
    expect(&bench, "destinationrule-host", &[], &["image-clasifier"]);
    cluster.replace("destinationrules", NAMESPACE, &changed(&rule, "/spec/subsets/1/name", &json!("resnet-50")));
    expect(&bench, "subset-misspelt", &[], &["did you mean `resnet-50`?", "resnet50"]);
    cluster.replace(
        "destinationrules",
        NAMESPACE,
        &changed(&rule, "/spec/subsets/1/labels/version", &json!("resnet5O")),
    );
    expect(&bench, "subset-without-pods", &[], &["version=resnet5O"]);
    cluster.replace("destinationrules", NAMESPACE, &rule);

    let mut shadowed = route.clone();
    shadowed["spec"]["http"].as_array_mut().unwrap().reverse();
    cluster.replace("virtualservices", NAMESPACE, &shadowed);
    expect(&bench, "rule-shadowed", &[], &["rule 1 takes every request"]);
    let everywhere = json!([{"route": [{"destination": {"host": "image-classifier", "port": {"number": 8501}}}]}]);
    cluster.replace("virtualservices", NAMESPACE, &changed(&route, "/spec/http", &everywhere));
    expect(&bench, "no-subsets", &[], &["resnet101, resnet50"]);
    cluster.replace("virtualservices", NAMESPACE, &route);

    // Files of the work folder that the server would not take.
    let file = bench.home().join("work/virtualservice-focused-routing.yaml");
    let own = std::fs::read_to_string(&file).unwrap();
    let weights = std::fs::read_to_string(bench.home().join("work/virtualservice-weight-70.yaml")).unwrap();
    std::fs::write(&file, weights.replace("weight: 30", "weight: 20")).unwrap();
    expect(&bench, "weights-refused", &[], &["total destination weight 90 != 100"]);
    std::fs::write(&file, own.replace("route:", "rute:")).unwrap();
    expect(&bench, "manifest-refused", &[], &["HTTP route or redirect is required"]);
    std::fs::write(&file, own).unwrap();
    expect_nothing(&bench);

    // What a command that fails says: the same judgement.
    let mut leftover = changed(&route, "/metadata/name", &json!("an-old-one"));
    leftover["spec"]["http"] = everywhere;
    cluster.create("virtualservices", NAMESPACE, &leftover);
    cluster.delete("virtualservices", NAMESPACE, "image-classifier");
    let up = bench.tiny(&["up"]);
    assert_ne!(up.code, 0, "an older VirtualService decides: {}", up.out);
    assert!(up.err.contains("leftover-routes") && up.err.contains("an-old-one"), "{}", up.err);
    cluster.delete("virtualservices", NAMESPACE, "an-old-one");
    let up = bench.tiny(&["up"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
}

#[test]
fn mistakes_with_pods_and_namespaces_are_recognised() {
    let bench = Bench::new();
    let up = bench.tiny(&["up", "--until", "ingress"]);
    assert_eq!(up.code, 0, "{}\n{}", up.out, up.err);
    let cluster = Cluster::of(&bench);
    let deployment = cluster.get("deployments", NAMESPACE, "image-classifier-resnet50");
    let settings = cluster.get("configmaps", NAMESPACE, "resnet50-configs");
    let deploy =
        |pointer: &str, value: Value| cluster.replace("deployments", NAMESPACE, &changed(&deployment, pointer, &value));
    let mut turn = 0;
    // New pods, as `kubectl rollout restart` makes them.
    let mut restart = || {
        turn += 1;
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {"turn": turn.to_string()}}}}});
        cluster.patch("deployments", NAMESPACE, "image-classifier-resnet50", &patch);
    };

    // One mistake at a time: pods of an earlier one, which a rollout may keep for a while, have their own hints.
    let put_back = || {
        deploy("/spec/replicas", json!(1));
        eventually("the Deployment is as before", Duration::from_secs(30), || {
            let live = cluster.get("deployments", NAMESPACE, "image-classifier-resnet50");
            let status = &live["status"];
            status["observedGeneration"] == live["metadata"]["generation"]
                && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|count| status[count] == 1)
        });
    };

    deploy("/spec/replicas", json!(0));
    expect(&bench, "replicas-zero", &[], &["scaled to 0"]);
    put_back();
    deploy("/spec/template/spec/containers/0/image", json!("tensorflow/servng:2.5.1"));
    expect(&bench, "image-misspelt", &[], &["tensorflow/servng:2.5.1"]);
    // The next mistake, before the pod of this one has gone: the newer is told.
    let nowhere = bench.directory().join("empty");
    std::fs::create_dir(&nowhere).unwrap();
    deploy("/spec/template/spec/volumes/0/hostPath/path", json!(nowhere));
    expect(&bench, "hostpath-empty", &[], &[nowhere.to_str().unwrap()]);
    assert!(!findings(&bench, &[]).0.contains(&"image-misspelt".to_owned()));
    put_back();
    deploy("/spec/template/spec/containers/0/resources", json!({"requests": {"cpu": "1k", "memory": "1Ei"}}));
    let words = ["0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory", "cpu=1k,memory=1Ei"];
    expect(&bench, "unschedulable", &[], &words);
    put_back();
    // The pod runs and is ready, and its program listens at another port than everybody says.
    let mut arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    arguments.as_array_mut().unwrap().push(json!("--rest_api_port=8502"));
    deploy("/spec/template/spec/containers/0/args", arguments);
    expect(&bench, "not-serving", &[], &["upstream connect error", "Exporting HTTP/REST API at:", ":8502"]);
    put_back();
    // The program ends at once, again and again.
    let mut arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    arguments.as_array_mut().unwrap().push(json!("--rest_api_port=85O1"));
    deploy("/spec/template/spec/containers/0/args", arguments);
    expect(&bench, "crashing", &[], &["last exit code", "Couldn't interpret value 85O1", "--previous"]);
    put_back();
    // Nothing is wrong with it but that it is not what the manifest says, or not there.
    deploy("/spec/minReadySeconds", json!(1));
    expect(&bench, "altered", &[], &["spec.minReadySeconds", "kubectl diff -f deployment-resnet50.yaml"]);
    cluster.delete("deployments", NAMESPACE, "image-classifier-resnet50");
    expect(&bench, "not-applied", &[], &["image-classifier-resnet50 does not exist", "deployment-resnet50.yaml"]);
    cluster.create("deployments", NAMESPACE, &deployment);
    put_back();

    cluster.delete("configmaps", NAMESPACE, "resnet50-configs");
    cluster.create("configmaps", "default", &settings);
    restart();
    expect(&bench, "configmap-missing", &[], &["resnet50-configs", "configmap-resnet50.yaml"]);
    expect(&bench, "wrong-namespace", &[], &["default/resnet50-configs"]);
    cluster.delete("configmaps", "default", "resnet50-configs");
    let misspelt = json!({"MODEL_NAME": "image_classifier", "MODEL_PAHT": "/models/resnet50"});
    cluster.create("configmaps", NAMESPACE, &changed(&settings, "/data", &misspelt));
    restart();
    expect(&bench, "configmap-key-missing", &[], &["MODEL_PATH is not set", "MODEL_PAHT"]);
    cluster.delete("configmaps", NAMESPACE, "resnet50-configs");
    cluster.create("configmaps", NAMESPACE, &changed(&settings, "/data/MODEL_PATH", &json!("/models/resnet5")));
    restart();
    expect(&bench, "model-path-wrong", &[], &["/models/resnet5", "the pod mounts /models/resnet50"]);
    cluster.replace("configmaps", NAMESPACE, &settings);
    let weights = bench.home().join("models/resnet50/1/variables/variables.data-00000-of-00001");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    restart();
    expect(&bench, "model-damaged", &[], &["cannot be loaded"]);
    std::fs::write(&weights, whole).unwrap();

    let label = |value: Value| {
        cluster.patch("namespaces", "", NAMESPACE, &json!({"metadata": {"labels": {"istio-injection": value}}}));
    };
    label(Value::Null);
    restart();
    expect(&bench, "namespace-not-labelled", &[], &["no label istio-injection"]);
    eventually("the pod is made anew", Duration::from_secs(30), || {
        label(json!("enabled"));
        let found = findings(&bench, &[]).0.iter().any(|known| known == "label-after-pods");
        if !found {
            label(Value::Null);
        }
        found
    });
    expect(&bench, "label-after-pods", &[], &["rollout restart"]);
    // Something in the namespace that nobody finishes keeps it from going.
    let kept = json!({"metadata": {"name": "kept", "finalizers": ["example.com/nobody"]}});
    cluster.create("configmaps", NAMESPACE, &kept);
    cluster.delete("namespaces", "", NAMESPACE);
    expect(&bench, "namespace-terminating", &[], &["kubectl get ns tf-serving -o yaml"]);
    expect(&bench, "namespace-terminating", &[], &["example.com/nobody"]);
    let (found, told) = findings(&bench, &[]);
    assert_eq!(found, ["namespace-terminating"], "{told:#}");
    cluster.patch("configmaps", NAMESPACE, "kept", &json!({"metadata": {"finalizers": null}}));
    eventually("the namespace goes", Duration::from_secs(40), || cluster.is_gone("namespaces", "", NAMESPACE));
    expect(&bench, "namespace-missing", &[], &["kubectl create ns tf-serving"]);
    cluster.create("namespaces", "", &json!({"metadata": {"name": "tfserving"}}));
    expect(&bench, "namespace-missing", &[], &["Namespace tfserving exists, which is another one"]);
}

/// The object with one value replaced, and without what the server keeps books by.
fn changed(object: &Value, pointer: &str, value: &Value) -> Value {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
        _ => parent[key] = value.clone(),
    }
    object
}
