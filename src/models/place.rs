//! Taking over a SavedModel that somebody else wrote: it is looked at, asked once, and copied to where pods can mount it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::built::{BuiltModel, VERSION};
use super::inspection::{Inspection, Obstacle, inspect};
use super::picture;
use super::prediction::{Classifier, PredictionError};
use crate::savedmodel::{SavedModelError, WrittenFile, put_in_place};

/// How deep the folders of a model may lie in each other; TensorFlow writes one level, assets may have a few more.
const MAX_DEPTH: usize = 16;
/// The most files of a model.
const MAX_FILES: usize = 4096;

/// Why a SavedModel was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SavedModelError),
    /// The directory above it holds no directory that is named by a number.
    #[error("{directory} holds no version: TensorFlow Serving takes folders that are named by a number, and `{found}` is not", directory = directory.display())]
    VersionNotANumber {
        /// The directory.
        directory: PathBuf,
        /// The folder in it that holds a SavedModel.
        found: String,
    },
    /// TensorFlow 2.5 does not load it.
    #[error("tensorflow/serving:2.5.1 does not load {directory}: {}", obstacles.first().map(ToString::to_string).unwrap_or_default(), directory = directory.display())]
    TooNew {
        /// The version directory.
        directory: PathBuf,
        /// Why not.
        obstacles: Vec<Obstacle>,
    },
    /// It gives no answer about a picture.
    #[error("{directory} gives no answer about a picture: {source}", directory = directory.display())]
    NoAnswer {
        /// The version directory.
        directory: PathBuf,
        /// Why not.
        source: PredictionError,
    },
    /// A file that is neither a regular file nor a folder, or too many of them.
    #[error("{path}: {why}", path = path.display())]
    Unfit {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { path, source }
}

/// The version directory that is meant: the directory itself where it holds a SavedModel, else the highest number in it.
pub fn version_directory(directory: &Path) -> Result<PathBuf, PlaceError> {
    let holds_model = |path: &Path| path.join("saved_model.pb").exists() || path.join("saved_model.pbtxt").exists();
    if holds_model(directory) {
        return Ok(directory.to_owned());
    }
    let (mut versions, mut others) = (Vec::new(), Vec::new());
    for item in std::fs::read_dir(directory).map_err(io_at(directory))? {
        let path = item.map_err(io_at(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !holds_model(&path) {
            continue;
        }
        match name.parse::<u64>() {
            // A sign is no digit: `+1` parses, and is no version.
            Ok(version) if name.bytes().all(|byte| byte.is_ascii_digit()) => versions.push((version, path)),
            _ => others.push(name),
        }
    }
    others.sort();
    match (versions.into_iter().max(), others.into_iter().next()) {
        (Some((_, path)), _) => Ok(path),
        (None, Some(found)) => Err(PlaceError::VersionNotANumber { directory: directory.to_owned(), found }),
        (None, None) => Err(SavedModelError::Missing { dir: directory.to_owned() }.into()),
    }
}

/// Looks at a SavedModel as the lab must before it serves one: readable, loadable by TensorFlow 2.5, and able to give a
/// finite answer about a picture.
pub fn examine(directory: &Path) -> Result<Inspection, PlaceError> {
    let inspection = inspect(directory)?;
    if !inspection.obstacles_for_2_5.is_empty() {
        let obstacles = inspection.obstacles_for_2_5;
        return Err(PlaceError::TooNew { directory: directory.to_owned(), obstacles });
    }
    let no_answer = |source| PlaceError::NoAnswer { directory: directory.to_owned(), source };
    let classifier = Classifier::load(directory).map_err(no_answer)?;
    classifier.answer(&picture::small()).map_err(no_answer)?;
    Ok(inspection)
}

/// Copies the SavedModel in a version directory to `dir/1`, replacing what is there. Links that stay inside become the
/// files that they name.
pub fn place(directory: &Path, dir: &Path) -> Result<BuiltModel, PlaceError> {
    let inspection = examine(directory)?;
    std::fs::create_dir_all(dir).map_err(io_at(dir))?;
    let staging = tempfile::Builder::new().prefix(".partial-").tempdir_in(dir).map_err(io_at(dir))?;
    let mut files = Vec::new();
    for (name, source) in files_of(directory)? {
        let target = staging.path().join(&name);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(io_at(folder))?;
        }
        let mut file = File::create(&target).map_err(io_at(&target))?;
        let (bytes, sha256) = copy(&source, &mut file)?;
        files.push(WrittenFile { name, bytes, sha256 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    put_in_place(staging, &dir.join(VERSION))?;
    let bytes = files.iter().map(|file| file.bytes).sum();
    Ok(BuiltModel { parameters: inspection.parameters, bytes, files })
}

/// One digest for all files of a version directory: SHA-256 over each file's digest and name, in the order of names.
pub fn digest(directory: &Path) -> Result<String, PlaceError> {
    let mut files = files_of(directory)?;
    files.sort();
    let mut whole = Sha256::new();
    for (name, path) in files {
        let (_, sha256) = copy(&path, &mut io::sink())?;
        whole.update(sha256);
        whole.update(name.as_bytes());
    }
    Ok(whole.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

/// The regular files below a version directory: their names in it, and where they really are.
fn files_of(directory: &Path) -> Result<Vec<(String, PathBuf)>, PlaceError> {
    let root = directory.canonicalize().map_err(io_at(directory))?;
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    while let Some((below, depth)) = folders.pop() {
        let folder = root.join(&below);
        for item in std::fs::read_dir(&folder).map_err(io_at(&folder))? {
            let path = item.map_err(io_at(&folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                return Err(PlaceError::Unfit { path, why: "a name that is not UTF-8" });
            };
            let name = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let target = path.canonicalize().map_err(io_at(&path))?;
            if !target.starts_with(&root) {
                return Err(SavedModelError::OutsideModel { path, target }.into());
            }
            let kind = target.metadata().map_err(io_at(&target))?;
            if kind.is_dir() {
                if depth == MAX_DEPTH {
                    return Err(PlaceError::Unfit { path, why: "folders in each other without end" });
                }
                folders.push((name, depth + 1));
            } else if kind.is_file() {
                files.push((name, target));
            } else {
                return Err(PlaceError::Unfit { path, why: "neither a file nor a folder" });
            }
            if files.len() + folders.len() > MAX_FILES {
                return Err(PlaceError::Unfit { path: directory.to_owned(), why: "more than 4096 files" });
            }
        }
    }
    Ok(files)
}

/// Copies a file; returns its size and SHA-256.
fn copy(from: &Path, to: &mut dyn Write) -> Result<(u64, [u8; 32]), PlaceError> {
    let mut file = File::open(from).map_err(io_at(from))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok((size, digest.finalize().into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_at(from)(error)),
        };
        digest.update(&buffer[..count]);
        to.write_all(&buffer[..count]).map_err(io_at(from))?;
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use prost::Message as _;

    use super::*;
    use crate::models::network::{Architecture, Network, saved_model};
    use crate::models::synthetic;
    use crate::savedmodel::proto::attr_value::Value;
    use crate::savedmodel::proto::{NodeDef, SavedModel, TensorShapeProto};
    use crate::savedmodel::{LoadedSavedModel, SavedModelWriter};

    fn tiny(dir: &Path) -> BuiltModel {
        synthetic::build(Network::TinyA, dir, &[], &mut |_| {}).unwrap()
    }

    #[test]
    fn a_model_is_copied_whole_and_links_inside_become_files() {
        let home = tempfile::tempdir().unwrap();
        let mine = home.path().join("mine");
        let built = tiny(&mine);
        std::fs::create_dir_all(mine.join("1/assets")).unwrap();
        std::fs::write(mine.join("1/assets/names.txt"), "a\n").unwrap();
        symlink("assets/names.txt", mine.join("1/link")).unwrap();
        let to = home.path().join("models/resnet50");
        let placed = place(&version_directory(&mine).unwrap(), &to).unwrap();
        assert_eq!(placed.parameters, built.parameters);
        let names: Vec<&str> = placed.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names[..2], ["assets/names.txt", "link"]);
        assert!(!to.join("1/link").symlink_metadata().unwrap().is_symlink());
        let same = |name: &str| {
            placed.files.iter().find(|file| file.name == name) == built.files.iter().find(|file| file.name == name)
        };
        assert!(same("saved_model.pb") && same("variables/variables.index"));
        assert_eq!(digest(&mine.join("1")).unwrap(), digest(&to.join("1")).unwrap());
    }

    #[test]
    fn the_highest_number_is_the_version() {
        let home = tempfile::tempdir().unwrap();
        for version in ["2", "10", "best"] {
            let folder = home.path().join(version);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("saved_model.pb"), "").unwrap();
        }
        assert_eq!(version_directory(home.path()).unwrap(), home.path().join("10"));
        assert_eq!(version_directory(&home.path().join("best")).unwrap(), home.path().join("best"));
        std::fs::remove_dir_all(home.path().join("2")).unwrap();
        std::fs::rename(home.path().join("10"), home.path().join("v10")).unwrap();
        let error = version_directory(home.path()).unwrap_err();
        assert!(matches!(&error, PlaceError::VersionNotANumber { found, .. } if found == "best"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(
            version_directory(empty.path()),
            Err(PlaceError::Unreadable(SavedModelError::Missing { .. }))
        ));
    }

    #[test]
    fn links_out_of_the_model_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let mine = home.path().join("mine");
        tiny(&mine);
        std::fs::write(home.path().join("secret"), "x").unwrap();
        symlink("../../secret", mine.join("1/secret")).unwrap();
        let error = place(&mine.join("1"), &home.path().join("to")).unwrap_err();
        assert!(matches!(error, PlaceError::Unreadable(SavedModelError::OutsideModel { .. })), "{error}");
        assert!(!home.path().join("to/1").exists());
        std::fs::remove_file(mine.join("1/secret")).unwrap();
        // A folder that leads into itself.
        symlink(".", mine.join("1/again")).unwrap();
        let error = place(&mine.join("1"), &home.path().join("to")).unwrap_err();
        assert!(matches!(error, PlaceError::Unfit { .. }), "{error}");
    }

    /// A tiny model whose graph was changed after it was built.
    fn changed(home: &Path, change: impl FnOnce(&mut SavedModel)) -> PathBuf {
        tiny(home);
        let mut model = saved_model(&Architecture::of(Network::TinyA));
        change(&mut model);
        std::fs::write(home.join("1/saved_model.pb"), model.encode_to_vec()).unwrap();
        home.join("1")
    }

    #[test]
    fn a_billion_elements_in_a_few_bytes_cost_an_error_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let directory = changed(home.path(), |model| {
            let graph = model.meta_graphs[0].graph_def.as_mut().unwrap();
            let node = graph.node.iter_mut().find(|node| node.name.ends_with("/paddings")).unwrap();
            let Some(Value::Tensor(tensor)) = &mut node.attr.get_mut("value").unwrap().value else { panic!() };
            tensor.tensor_shape = Some(TensorShapeProto::of(&[1_000_000_000, 2]));
            tensor.tensor_content = bytes::Bytes::new();
            tensor.int_val = vec![0];
        });
        let started = std::time::Instant::now();
        let error = examine(&directory).unwrap_err();
        assert!(matches!(error, PlaceError::NoAnswer { .. }), "{error}");
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn what_later_versions_wrote_and_what_is_not_for_serving_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let directory = changed(home.path(), |model| {
            let graph = model.meta_graphs[0].graph_def.as_mut().unwrap();
            let later = graph.node[0].clone();
            graph.node.push(NodeDef { name: "later".to_owned(), op: "DisableCopyOnRead".to_owned(), ..later });
        });
        let error = examine(&directory).unwrap_err();
        assert!(matches!(&error, PlaceError::TooNew { obstacles, .. } if obstacles.len() == 1), "{error}");
        let directory = changed(home.path(), |model| {
            model.meta_graphs[0].meta_info_def.as_mut().unwrap().tags = vec!["train".to_owned()];
        });
        let error = examine(&directory).unwrap_err();
        assert!(matches!(error, PlaceError::Unreadable(SavedModelError::MissingTag { .. })), "{error}");
    }

    #[test]
    fn weights_that_are_no_numbers_show_in_the_answer() {
        let home = tempfile::tempdir().unwrap();
        tiny(home.path());
        let variables = LoadedSavedModel::read(&home.path().join("1")).unwrap().variables.unwrap();
        // Written anew, because a value that does not fit its checksum is damage.
        let mut writer = SavedModelWriter::create(&home.path().join("2")).unwrap();
        for (key, info) in variables.iter() {
            let mut bytes = variables.get(key).unwrap().bytes.to_vec();
            // Only the classifier's bias has this shape.
            if info.shape == [1000] {
                bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            }
            writer.add_variable(key, info.dtype, &info.shape, &bytes).unwrap();
        }
        writer.finish(&saved_model(&Architecture::of(Network::TinyA))).unwrap().publish().unwrap();
        let error = examine(&home.path().join("2")).unwrap_err();
        let not_a_number = matches!(&error, PlaceError::NoAnswer { source: PredictionError::NotANumber { .. }, .. });
        assert!(not_a_number, "{error}");
    }
}
