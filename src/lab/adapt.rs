//! The same lab in another place: another namespace, host name, image or number of replicas.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::LabError;
use super::manifest::MODELS_VARIABLE;
use super::{Lab, StepSpec};
use crate::cluster::claim_of;
use crate::objects::meta;

/// What is to be otherwise than the lab's files say; nothing of it is in the tutorial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adaptation {
    /// The workloads' namespace.
    pub namespace: Option<String>,
    /// The only host name that the routes are for.
    pub host: Option<String>,
    /// The model server's image.
    pub image: Option<String>,
    /// The Secret that the image is pulled with.
    pub pull_secret: Option<String>,
    /// Replicas by model.
    pub replicas: BTreeMap<String, u32>,
    /// What a model server's container asks for and may use, by model and by path below `resources`, such as
    /// `requests.cpu`.
    pub resources: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether models lie in PersistentVolumeClaims instead of a folder of the node.
    pub claims: bool,
}

impl Lab {
    /// Makes the lab and its manifests say so. Manifests that nothing is asked of keep their text to the letter.
    pub fn adapt(&mut self, adaptation: &Adaptation) -> Result<(), LabError> {
        if *adaptation == Adaptation::default() {
            return Ok(());
        }
        let before = self.namespace().map(str::to_owned);
        let renamed = before.zip(adaptation.namespace.clone());
        for manifest in self.manifests.values_mut() {
            manifest.change(|object| {
                if let Some((before, after)) = &renamed
                    && meta::namespace(object) == Some(before)
                {
                    object["metadata"]["namespace"] = json!(after);
                }
                change(object, adaptation);
            })?;
        }
        if let Some((before, after)) = &renamed {
            self.rename(before, after);
        }
        if adaptation.claims {
            self.make_namespace_with_models();
        }
        Ok(())
    }

    /// A claim lives in the namespace of the pods that mount it, so the namespace is made by the stage that places models.
    fn make_namespace_with_models(&mut self) {
        let namespace = self.spec.stages.iter().flat_map(|stage| &stage.steps).find_map(|step| match step {
            StepSpec::Namespace(spec) => Some(spec.clone()),
            _ => None,
        });
        let places = |step: &StepSpec| matches!(step, StepSpec::Model(_));
        let Some(stage) = self.spec.stages.iter_mut().find(|stage| stage.steps.iter().any(places)) else { return };
        if let (Some(namespace), Some(position)) = (namespace, stage.steps.iter().position(places)) {
            stage.steps.insert(position, StepSpec::Namespace(namespace));
        }
    }

    fn rename(&mut self, before: &str, after: &str) {
        for stage in &mut self.spec.stages {
            for text in stage.commands.iter_mut().chain([&mut stage.expect]) {
                *text = text.replace(before, after);
            }
            for step in &mut stage.steps {
                match step {
                    StepSpec::Namespace(spec) if spec.name == before => after.clone_into(&mut spec.name),
                    StepSpec::Rollout(spec) if spec.namespace == before => after.clone_into(&mut spec.namespace),
                    _ => {}
                }
            }
        }
    }
}

fn change(object: &mut Value, adaptation: &Adaptation) {
    match object["kind"].as_str() {
        Some("Gateway") => {
            if let (Some(host), Some(servers)) =
                (&adaptation.host, object.pointer_mut("/spec/servers").and_then(Value::as_array_mut))
            {
                for server in servers {
                    server["hosts"] = json!([host]);
                }
            }
        }
        Some("VirtualService") => {
            if let Some(host) = &adaptation.host {
                object["spec"]["hosts"] = json!([host]);
            }
        }
        Some("Deployment") => change_deployment(object, adaptation),
        _ => {}
    }
}

fn change_deployment(object: &mut Value, adaptation: &Adaptation) {
    // The model is what the pods' version label says.
    let version = object.pointer("/spec/template/metadata/labels/version").and_then(Value::as_str).map(str::to_owned);
    if let Some(replicas) = version.as_ref().and_then(|version| adaptation.replicas.get(version)) {
        object["spec"]["replicas"] = json!(replicas);
    }
    let Some(pod) = object.pointer_mut("/spec/template/spec") else { return };
    if let (Some(image), Some(containers)) =
        (&adaptation.image, pod.get_mut("containers").and_then(Value::as_array_mut))
    {
        for container in containers {
            container["image"] = json!(image);
        }
    }
    let resources = version.and_then(|version| adaptation.resources.get(&version));
    let server = pod.get_mut("containers").and_then(Value::as_array_mut).and_then(|containers| containers.first_mut());
    if let (Some(resources), Some(server)) = (resources, server) {
        for (path, quantity) in resources {
            let (kind, resource) = path.split_once('.').unwrap_or((path, ""));
            server["resources"][kind][resource] = json!(quantity);
        }
    }
    if adaptation.claims {
        for volume in pod.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
            let model = volume["hostPath"]["path"].as_str().and_then(model_in);
            if let Some(model) = model.map(str::to_owned) {
                *volume = json!({"name": volume["name"], "persistentVolumeClaim": {"claimName": claim_of(&model)}});
            }
        }
    }
    if let Some(secret) = &adaptation.pull_secret {
        pod["imagePullSecrets"] = json!([{"name": secret}]);
    }
}

/// The model whose folder a volume mounts.
fn model_in(path: &str) -> Option<&str> {
    path.strip_prefix(MODELS_VARIABLE)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Source;

    #[test]
    fn an_adapted_lab_says_so_everywhere_and_an_unadapted_one_nowhere() {
        let plain = Lab::load(&Source::Builtin).unwrap();
        let mut lab = plain.clone();
        lab.adapt(&Adaptation::default()).unwrap();
        for (file, manifest) in &lab.manifests {
            assert_eq!(manifest.text("/m"), plain.manifests[file].text("/m"), "{file}");
        }
        let adaptation = Adaptation {
            namespace: Some("team-a".into()),
            host: Some("a.example".into()),
            image: Some("registry:5000/serving:2.5.1".into()),
            pull_secret: Some("login".into()),
            replicas: [("resnet50".into(), 5)].into(),
            resources: [("resnet50".into(), [("requests.cpu".into(), "500m".into())].into())].into(),
            claims: false,
        };
        lab.adapt(&adaptation).unwrap();
        assert_eq!(lab.namespace(), Some("team-a"));
        let object = |file: &str| lab.manifests[file].object("/m").unwrap();
        assert!(lab.manifests.values().all(|manifest| manifest.key.namespace.as_deref() == Some("team-a")));
        assert_eq!(object("gateway.yaml")["spec"]["servers"][0]["hosts"], json!(["a.example"]));
        assert_eq!(object("virtualservice-weight-70.yaml")["spec"]["hosts"], json!(["a.example"]));
        let deployment = object("deployment-resnet50.yaml");
        assert_eq!(deployment["spec"]["replicas"], 5);
        assert_eq!(object("deployment-resnet101.yaml")["spec"]["replicas"], 1);
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], "registry:5000/serving:2.5.1");
        assert_eq!(pod["containers"][0]["resources"], json!({"requests": {"cpu": "500m"}}));
        assert!(
            object("deployment-resnet101.yaml")["spec"]["template"]["spec"]["containers"][0].get("resources").is_none()
        );
        assert_eq!(pod["imagePullSecrets"][0]["name"], "login");
        assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/m/resnet50", "the variable is still one");
        assert!(
            lab.spec.stages.iter().flat_map(|stage| &stage.commands).all(|command| !command.contains("tf-serving "))
        );
    }

    #[test]
    fn models_in_claims_are_mounted_by_name_in_a_namespace_that_is_there_before_them() {
        let mut lab = Lab::load(&Source::Builtin).unwrap();
        lab.adapt(&Adaptation { claims: true, ..Adaptation::default() }).unwrap();
        let deployment = lab.manifests["deployment-resnet101.yaml"].object("/m").unwrap();
        let volume = &deployment["spec"]["template"]["spec"]["volumes"][0];
        assert_eq!(volume["persistentVolumeClaim"]["claimName"], "model-resnet101");
        assert!(volume.get("hostPath").is_none());
        let models = &lab.spec.stages[lab.position("models").unwrap()];
        assert!(matches!(models.steps[0], StepSpec::Namespace(_)), "{models:?}");
        assert_eq!(
            lab.first_with_objects(),
            lab.position("models").unwrap(),
            "so its claims go with the lab's objects"
        );
    }
}
