//! SavedModels: they lie as TensorFlow Serving wants them, can be read and loaded, and are where pods mount them.

use std::path::{Path, PathBuf};

use super::Finding;
use super::subject::{ModelFacts, Subject};
use crate::doctor::{Failure, Reason};
use crate::models::inspection::inspect;

const NOT_BUILT: &str = "no model is built yet";

/// The models that are built, or begun.
fn built<'s>(subject: &'s Subject<'_>) -> Vec<&'s ModelFacts> {
    subject.lab.models.iter().filter(|model| model.folder.is_dir()).collect()
}

/// Folders below a model's whose names are numbers: its versions.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_version = |path: &PathBuf| {
        path.is_dir()
            && path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut versions: Vec<PathBuf> = entries.filter(is_version).collect();
    versions.sort();
    versions
}

pub(super) fn layout(subject: &Subject<'_>) -> Finding {
    let models = built(subject);
    if models.is_empty() {
        return Finding::Skipped(NOT_BUILT.to_owned());
    }
    let mut failure = Failure::new(Reason::ModelLayout, "a model does not lie as TensorFlow Serving wants it");
    for model in &models {
        let versions = versions(&model.folder);
        if versions.is_empty() {
            let misplaced = model.folder.join("saved_model.pb").is_file();
            let hint =
                if misplaced { "; saved_model.pb lies beside it, and belongs into a folder named 1" } else { "" };
            failure = failure.observed(format!("{} has no version folder such as 1{hint}", model.folder.display()));
        }
        for version in versions {
            for wanted in ["saved_model.pb", "variables/variables.index"] {
                if !version.join(wanted).is_file() {
                    failure = failure.observed(format!("{} is missing", version.join(wanted).display()));
                }
            }
        }
    }
    if failure.observed.is_empty() {
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        return Finding::Fine(format!("{} lie as NAME/VERSION/saved_model.pb", names.join(", ")));
    }
    Finding::Failed(failure)
}

/// Pods run as another user: files must be open to all.
pub(super) fn readable(subject: &Subject<'_>) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let models = built(subject);
    if models.is_empty() {
        return Finding::Skipped(NOT_BUILT.to_owned());
    }
    let mut closed = Vec::new();
    for version in models.iter().flat_map(|model| versions(&model.folder)) {
        let files = [version.clone(), version.join("saved_model.pb"), version.join("variables")];
        closed.extend(
            files.into_iter().filter(|path| {
                std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 == 0)
            }),
        );
    }
    if closed.is_empty() {
        return Finding::Fine("the models' files are open to every user".to_owned());
    }
    let mut failure = Failure::new(Reason::ModelUnreadable, "files of a model are closed to other users");
    failure.observed = closed.iter().map(|path| path.display().to_string()).collect();
    let folder = models.first().map(|model| model.folder.display().to_string()).unwrap_or_default();
    Finding::Warning(failure.then(format!("chmod -R a+rX {folder}"), "opens them for reading"))
}

/// Signature, inputs, and whether TensorFlow 2.5 knows all that the graph uses.
pub(super) async fn loadable(subject: &Subject<'_>) -> Finding {
    let folders: Vec<PathBuf> = built(subject).iter().flat_map(|model| versions(&model.folder)).collect();
    if folders.is_empty() {
        return Finding::Skipped(NOT_BUILT.to_owned());
    }
    let looked = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        for folder in &folders {
            let failed = |reason, what: &str| Failure::new(reason, format!("{} {what}", folder.display()));
            let inspection = match inspect(folder) {
                Ok(inspection) => inspection,
                Err(error) => return Err(failed(Reason::ModelDamaged, "cannot be read").observed(error.to_string())),
            };
            if !inspection.obstacles_for_2_5.is_empty() {
                let mut failure = failed(Reason::ModelTooNew, "does not load in TensorFlow 2.5");
                failure = failure.observed(format!("written by TensorFlow {}", inspection.written_by));
                failure.observed.extend(inspection.obstacles_for_2_5.iter().take(3).map(ToString::to_string));
                return Err(failure);
            }
            let Some(signature) = inspection.signatures.get("serving_default") else {
                return Err(failed(Reason::ModelDamaged, "has no signature `serving_default`")
                    .because("the model was saved without the signature that REST predictions ask for"));
            };
            let inputs: Vec<&str> = signature.inputs.keys().map(String::as_str).collect();
            let name = folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            told.push(format!("{name} takes {}", inputs.join(", ")));
        }
        Ok(told)
    });
    match looked.await {
        Ok(Ok(told)) => Finding::Fine(format!("{}; TensorFlow 2.5 loads them", told.join(", "))),
        Ok(Err(failure)) => Finding::Failed(failure),
        Err(error) => Finding::Skipped(error.to_string()),
    }
}

/// The classic: the node is not this machine, and the folder that its pods mount is empty.
pub(super) async fn on_node(subject: &Subject<'_>) -> Finding {
    let (api, provider) = match (subject.api().await, subject.provider) {
        (Ok(api), Some(provider)) => (api, provider),
        (Err(why), _) => return Finding::Skipped(why),
        (_, None) => return Finding::Skipped("there is no cluster of this lab yet".to_owned()),
    };
    let models = built(subject);
    if models.is_empty() {
        return Finding::Skipped(NOT_BUILT.to_owned());
    }
    let mut failure = Failure::new(Reason::ModelNotOnNode, "a model is not where pods mount it");
    for model in models {
        match provider.probe_model(&api, &model.name, &model.folder).await {
            Ok(differences) => failure.observed.extend(differences),
            Err(error) => return Finding::Skipped(error.to_string()),
        }
    }
    if failure.observed.is_empty() {
        return Finding::Fine(format!("the models are where the {} cluster's pods mount them", provider.name()));
    }
    Finding::Failed(failure)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::doctor::checks::Target;
    use crate::ui::Environment;

    fn look(folder: &Path) -> Finding {
        let environment = Environment::default();
        let mut subject = Subject::new(folder, &environment, Target::Embedded);
        subject.lab.models = vec![ModelFacts { name: "resnet50".into(), folder: folder.join("resnet50") }];
        layout(&subject)
    }

    #[test]
    fn the_usual_misplacements_are_named() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(look(home.path()), Finding::Skipped(_)));
        let model = home.path().join("resnet50");
        std::fs::create_dir_all(&model).unwrap();
        std::fs::write(model.join("saved_model.pb"), "").unwrap();
        let Finding::Failed(failure) = look(home.path()) else { panic!() };
        assert!(failure.observed[0].contains("belongs into a folder named 1"), "{failure:?}");
        std::fs::create_dir_all(model.join("1/variables")).unwrap();
        std::fs::rename(model.join("saved_model.pb"), model.join("1/saved_model.pb")).unwrap();
        let Finding::Failed(failure) = look(home.path()) else { panic!() };
        assert!(failure.observed[0].ends_with("1/variables/variables.index is missing"), "{failure:?}");
        std::fs::write(model.join("1/variables/variables.index"), "").unwrap();
        assert!(matches!(look(home.path()), Finding::Fine(_)));
    }
}
