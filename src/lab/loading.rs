//! Loading a lab: parse strictly, then check what the schema alone cannot.

use std::collections::{BTreeMap, BTreeSet};

use super::builtin::Source;
use super::error::{LabError, nearest};
use super::guide::Guide;
use super::manifest::Manifest;
use super::schema::{LabSpec, StageSpec, StepSpec};
use crate::models::catalogue::Catalogue;
use crate::yaml;

/// The version of the schema that this program reads.
const SCHEMA: u32 = 1;

/// A lab whose parts fit together.
#[derive(Debug, Clone)]
pub struct Lab {
    /// What `lab.yaml` says.
    pub spec: LabSpec,
    /// The catalogue's entries of its models.
    pub catalogue: Catalogue,
    /// The manifests that its steps name, by file.
    pub manifests: BTreeMap<String, Manifest>,
    /// The texts for somebody who walks through it; empty if the lab names none.
    pub guide: Guide,
}

impl Lab {
    /// Loads `lab.yaml` and every manifest that it names.
    pub fn load(source: &Source) -> Result<Self, LabError> {
        let (file, text) = source.read("lab.yaml")?;
        let spec: LabSpec = yaml::parse(&file, &text)?;
        check(&spec, &file, &text)?;
        let catalogue = catalogue(source, &spec, &file, &text)?;
        let mut manifests = BTreeMap::new();
        for step in spec.stages.iter().flat_map(|stage| &stage.steps) {
            let StepSpec::Apply(apply) = step else { continue };
            let (shown, contents) = source.read(&format!("{}/{}", spec.manifests, apply.manifest))?;
            manifests.insert(apply.manifest.clone(), Manifest::parse(&apply.manifest, &shown, contents)?);
        }
        let guide = guide(&spec, source)?;
        Ok(Self { spec, catalogue, manifests, guide })
    }

    /// The position of a stage, from 0.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.spec.stages.iter().position(|stage| stage.id == id)
    }

    /// The namespace that the lab makes for its workloads.
    pub fn namespace(&self) -> Option<&str> {
        let steps = self.spec.stages.iter().flat_map(|stage| &stage.steps);
        steps.into_iter().find_map(|step| match step {
            StepSpec::Namespace(spec) => Some(spec.name.as_str()),
            _ => None,
        })
    }

    /// The stage ids, in order.
    pub fn stage_ids(&self) -> Vec<&str> {
        self.spec.stages.iter().map(|stage| stage.id.as_str()).collect()
    }

    /// The stage id that is nearest to a misspelt one.
    pub fn nearest_stage(&self, id: &str) -> Option<String> {
        let ids: Vec<String> = self.spec.stages.iter().map(|stage| stage.id.clone()).collect();
        nearest(id, &ids).map(str::to_owned)
    }

    /// The position of the first stage that makes an object of the lab's own; what comes before is cluster, mesh and models.
    pub fn first_with_objects(&self) -> usize {
        let makes = |stage: &StageSpec| {
            stage.steps.iter().any(|step| matches!(step, StepSpec::Namespace(_) | StepSpec::Apply(_)))
        };
        self.spec.stages.iter().position(makes).unwrap_or(self.spec.stages.len())
    }

    /// The first stage that applies a manifest of the object with this label.
    pub fn first_to_apply(&self, label: &str) -> Option<&StageSpec> {
        self.spec.stages.iter().find(|stage| self.applied_by(stage).any(|manifest| manifest.key.label() == label))
    }

    /// The manifests that a stage applies, in order.
    pub fn applied_by<'a>(&'a self, stage: &'a StageSpec) -> impl Iterator<Item = &'a Manifest> {
        stage.steps.iter().filter_map(|step| match step {
            StepSpec::Apply(apply) => self.manifests.get(&apply.manifest),
            _ => None,
        })
    }
}

/// The catalogue's entries of the lab's models, from the lab's own folder or from the program.
fn catalogue(source: &Source, spec: &LabSpec, file: &str, text: &str) -> Result<Catalogue, LabError> {
    if let Some(folder) = &spec.catalogue {
        let names = spec.models.values().map(|model| model.network.as_str());
        return Catalogue::load(names, &mut |path| source.read(&format!("{folder}/{path}")));
    }
    let catalogue = Catalogue::embedded()?;
    let known: Vec<String> = catalogue.entries.iter().map(|entry| entry.name.clone()).collect();
    for (name, model) in &spec.models {
        if !known.contains(&model.network) {
            let hint = nearest(&model.network, &known).map(|near| format!("; did you mean `{near}`?"));
            let hint = hint.unwrap_or_else(|| format!("; it has {}", known.join(", ")));
            let message = format!("model {name}: the catalogue has no `{}`{hint}", model.network);
            return Err(LabError::about(file, text, &format!("network: {}", model.network), message));
        }
    }
    Ok(catalogue)
}

/// Reads the guide that the lab names.
fn guide(spec: &LabSpec, source: &Source) -> Result<Guide, LabError> {
    let Some(relative) = &spec.guide else { return Ok(Guide::default()) };
    let (file, text) = source.read(relative)?;
    let guide: Guide = yaml::parse(&file, &text)?;
    if guide.version != SCHEMA {
        let message =
            format!("version {} of the guide is not known; this canary-lab reads version {SCHEMA}", guide.version);
        return Err(LabError::about(&file, &text, "version:", message));
    }
    let ids: Vec<&str> = spec.stages.iter().map(|stage| stage.id.as_str()).collect();
    match guide.fault(&ids) {
        Some((place, message)) => Err(LabError::about(&file, &text, &place, message)),
        None => Ok(guide),
    }
}

fn check(spec: &LabSpec, file: &str, text: &str) -> Result<(), LabError> {
    let wrong = |value: &str, message: String| Err(LabError::about(file, text, value, message));
    if spec.version != SCHEMA {
        return wrong(
            "version:",
            format!("version {} of the schema is not known; this canary-lab reads version {SCHEMA}", spec.version),
        );
    }
    let mut ids = BTreeSet::new();
    for stage in &spec.stages {
        if !ids.insert(stage.id.as_str()) {
            return wrong(&format!("id: {}", stage.id), format!("two stages have the id `{}`", stage.id));
        }
        for model in stage.steps.iter().flat_map(models_of) {
            if !spec.models.contains_key(model) {
                let known: Vec<String> = spec.models.keys().cloned().collect();
                let hint = nearest(model, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return wrong(
                    model,
                    format!("stage `{}` names the model `{model}`, which the lab does not have{hint}", stage.id),
                );
            }
        }
        for step in &stage.steps {
            let StepSpec::Traffic(traffic) = step else { continue };
            let sum: u32 = traffic.shares.values().sum();
            if sum != 100 {
                return wrong("shares:", format!("the shares of stage `{}` add up to {sum}, not to 100", stage.id));
            }
        }
    }
    if spec.stages.is_empty() {
        return wrong("stages:", "a lab has at least one stage".to_owned());
    }
    Ok(())
}

fn models_of(step: &StepSpec) -> Vec<&str> {
    match step {
        StepSpec::Model(model) => vec![&model.name],
        StepSpec::Predict(predict) => vec![&predict.answered_by],
        StepSpec::Traffic(traffic) => traffic.shares.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::yaml::YamlError;

    fn project() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// The built-in lab's text with one replacement, loaded from a directory.
    fn load_changed(from: &str, to: &str) -> Result<Lab, LabError> {
        let directory = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(project().join("lab/tensorflow-canary/lab.yaml")).unwrap();
        assert!(text.contains(from), "{from}");
        let text = text.replacen(from, to, 1).replace("../../", &format!("{}/", project().display()));
        let guide = project().join("lab/tensorflow-canary/guide.yaml");
        let text = text.replace("guide: guide.yaml", &format!("guide: {}", guide.display()));
        std::fs::write(directory.path().join("lab.yaml"), text).unwrap();
        Lab::load(&Source::Directory(directory.path().to_path_buf()))
    }

    #[test]
    fn the_built_in_lab_has_the_thirteen_stages() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        assert_eq!(
            lab.stage_ids(),
            [
                "preflight",
                "cluster",
                "istio",
                "tunnel",
                "models",
                "namespace",
                "resnet50",
                "ingress",
                "predict",
                "subsets",
                "canary-0",
                "split-70-30",
                "by-header"
            ]
        );
        for stage in &lab.spec.stages {
            assert!(stage.title.chars().count() <= 20, "{}", stage.title);
            assert!(!stage.steps.is_empty(), "{}", stage.id);
        }
    }

    #[test]
    fn the_tiny_lab_differs_only_in_its_models() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let tiny = Lab::load(&Source::Directory(project().join("lab/tiny"))).unwrap();
        assert_eq!(lab.stage_ids(), tiny.stage_ids());
        assert_eq!(lab.manifests.keys().collect::<Vec<_>>(), tiny.manifests.keys().collect::<Vec<_>>());
        for (stage, tiny) in lab.spec.stages.iter().zip(&tiny.spec.stages) {
            assert_eq!(format!("{:?}", stage.steps), format!("{:?}", tiny.steps), "{}", stage.id);
        }
    }

    #[test]
    fn unknown_keys_name_file_line_and_the_nearest_key() {
        for (from, to, key, near) in [
            ("title: Preflight", "titel: Preflight", "titel", "title"),
            ("- apply:", "- aply:", "aply", "apply"),
            ("manifest: service", "manifst: service", "manifst", "manifest"),
            ("ingress:\n", "ingres:\n", "ingres", "ingress"),
        ] {
            let error = load_changed(from, to).unwrap_err();
            let LabError::Yaml(YamlError::UnknownKey { file, line, key: found, nearest, .. }) = &error else {
                panic!("{error}")
            };
            assert!(file.ends_with("lab.yaml"), "{file}");
            assert_eq!((found.as_str(), nearest.as_deref()), (key, Some(near)), "{error}");
            assert!(*line > 1, "{error}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        for (from, to, words) in [
            ("resnet50: 70", "resnet50: 71", "add up to 101"),
            ("answered_by: resnet50", "answered_by: resnet5", "did you mean `resnet50`"),
            ("id: tunnel", "id: cluster", "two stages"),
            ("version: 1\n", "version: 2\n", "version 2 of the schema"),
            ("within: 90s", "within: soon", "no length of time"),
            ("{network: resnet101}", "{network: resnet100}", "resnet100.yaml"),
        ] {
            let error = load_changed(from, to).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn without_a_catalogue_of_its_own_a_lab_takes_the_programs() {
        let lab = load_changed("catalogue: ../../models\n", "").unwrap();
        assert_eq!(lab.catalogue, Catalogue::embedded().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(project().join("lab/tiny/lab.yaml")).unwrap();
        let text = text.replace("catalogue: ../../models\n", "").replace("tiny-b", "tiny-c");
        std::fs::write(directory.path().join("lab.yaml"), text).unwrap();
        let error = Lab::load(&Source::Directory(directory.path().to_path_buf())).unwrap_err().to_string();
        assert!(error.contains("the catalogue has no `tiny-c`; did you mean `tiny-a`?"), "{error}");
    }

    #[test]
    fn a_directory_without_a_lab_is_named() {
        let error = Lab::load(&Source::Directory("/nowhere/at/all".into())).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/lab.yaml"), "{error}");
    }

    #[test]
    fn manifests_take_the_models_directory() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let manifest = &lab.manifests["deployment-resnet50.yaml"];
        let object = manifest.object("/models of mine").unwrap();
        assert_eq!(object.pointer("/spec/template/spec/volumes/0/hostPath/path").unwrap(), "/models of mine/resnet50");
    }

    #[test]
    fn a_directory_that_yaml_would_misread_is_quoted() {
        let lab = Lab::load(&Source::Builtin).unwrap();
        let manifest = &lab.manifests["deployment-resnet50.yaml"];
        for models in ["/a #b", "/a: b", "/it's \"mine\"", "/tab\tand\\slash", "/ends ", "/plain", "/ünicode"] {
            let object = manifest.object(models).unwrap();
            let path = object.pointer("/spec/template/spec/volumes/0/hostPath/path").unwrap();
            assert_eq!(*path, format!("{models}/resnet50"), "{}", manifest.text(models));
        }
        assert_eq!(manifest.text("/plain"), manifest.text("/x").replace("/x/resnet50", "/plain/resnet50"));
    }

    #[test]
    fn unknown_keys_of_a_manifest_are_named() {
        let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\nspec:\n  replica: 1\n";
        let error = Manifest::parse("d.yaml", "lab/d.yaml", text.to_owned()).unwrap_err().to_string();
        assert_eq!(error, "lab/d.yaml:6: unknown key `replica`; did you mean `replicas`?");
    }
}
