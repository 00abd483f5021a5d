//! One context of somebody's kubeconfig, as a file of the lab's own: the person's is read and never written.

use std::io;
use std::path::{Path, PathBuf};

use kube::config::Kubeconfig;
use thiserror::Error;

use crate::state::write_atomically;
use crate::ui::Environment;

/// Why a context cannot be taken over.
#[derive(Debug, Error)]
pub enum ContextError {
    /// No kubeconfig says anything.
    #[error("{file} cannot be read: {detail}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// There is no such context.
    #[error("{file} has no context `{name}`", file = file.display())]
    Unknown {
        /// The file.
        file: PathBuf,
        /// The context that was asked for.
        name: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// The lab's own file cannot be written.
    #[error("{file}: {source}", file = file.display())]
    NotWritten {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The person's kubeconfig files: KUBECONFIG's, else `~/.kube/config`.
pub(super) fn sources(environment: &Environment) -> Vec<PathBuf> {
    let named =
        environment.get("KUBECONFIG").map(|list| std::env::split_paths(list).collect::<Vec<_>>()).unwrap_or_default();
    let named: Vec<PathBuf> = named.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
    if !named.is_empty() {
        return named;
    }
    environment.absolute_path("HOME").map(|home| home.join(".kube").join("config")).into_iter().collect()
}

/// The text of a kubeconfig with this one context, current, its files named by absolute paths.
pub(super) fn extract(sources: &[PathBuf], name: &str) -> Result<String, ContextError> {
    let mut known = Vec::new();
    let mut last = None;
    for file in sources {
        let contents = match Kubeconfig::read_from(file) {
            Ok(contents) => contents,
            Err(error) => {
                last = Some(ContextError::Unreadable { file: file.clone(), detail: error.to_string() });
                continue;
            }
        };
        known.extend(contents.contexts.iter().map(|context| context.name.clone()));
        if let Some(text) = only(contents, name) {
            return Ok(text);
        }
    }
    match last {
        Some(error) if known.is_empty() => Err(error),
        _ => {
            let file = sources.first().cloned().unwrap_or_else(|| PathBuf::from("~/.kube/config"));
            Err(ContextError::Unknown { file, name: name.to_owned(), known })
        }
    }
}

fn only(mut contents: Kubeconfig, name: &str) -> Option<String> {
    contents.contexts.retain(|context| context.name == name);
    let context = contents.contexts.first()?.context.clone()?;
    contents.clusters.retain(|cluster| cluster.name == context.cluster);
    contents.auth_infos.retain(|user| context.user.as_deref() == Some(user.name.as_str()));
    contents.current_context = Some(name.to_owned());
    serde_yaml::to_string(&contents).ok()
}

/// Puts a kubeconfig where only its owner reads it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ContextError> {
    // Temporary files are made for their owner only, and keep that mode under their last name.
    write_atomically(path, text.as_bytes()).map_err(|source| ContextError::NotWritten { file: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: ca\n  cluster: {server: 'https://a:1', certificate-authority: pki/ca.crt}\n- name: cb\n  cluster: {server: 'https://b:1'}\nusers:\n- name: ua\n  user: {token: secret-a}\n- name: ub\n  user: {token: secret-b}\ncontexts:\n- name: a\n  context: {cluster: ca, user: ua}\n- name: b\n  context: {cluster: cb, user: ub, namespace: x}\n";

    #[test]
    fn one_context_is_taken_and_no_other_secret_with_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, TWO).unwrap();
        let text = extract(std::slice::from_ref(&file), "b").unwrap();
        assert!(text.contains("secret-b") && !text.contains("secret-a"), "{text}");
        assert!(text.contains("current-context: b"), "{text}");
        let text = extract(std::slice::from_ref(&file), "a").unwrap();
        let absolute = folder.path().join("pki/ca.crt").display().to_string();
        assert!(text.contains(&absolute), "{text}");
        let error = extract(&[folder.path().join("none"), file], "c").unwrap_err();
        assert!(matches!(&error, ContextError::Unknown { known, .. } if known == &["a", "b"]), "{error:?}");
        let own = folder.path().join("own");
        write(&own, &text).unwrap();
        assert_eq!(std::fs::metadata(own).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
