//! What goes wrong with models, as failures with a reason.

use std::io;
use std::path::Path;

use super::built::BuildError;
use super::hdf5::WeightsError;
use super::picture::PictureError;
use super::place::PlaceError;
use super::prediction::PredictionError;
use super::pretrained::Misfit;
use super::weights::WeightsFailure;
use crate::doctor::{Failure, Reason};
use crate::download::DownloadError;
use crate::inference::{LoadError, StatusCode};
use crate::savedmodel::SavedModelError;

/// The nearest folder above a path that is there.
fn existing(path: &Path) -> &Path {
    let found = path.ancestors().skip(1).find(|folder| folder.is_dir());
    found.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What is behind files that contradict their own lengths and checksums.
const ANOTHER_COPY: &str = "the files are cut off or changed: a copy that was interrupted, or a damaged disk";

/// A file that could not be read or written; a full disk has a reason of its own.
fn of_io(error: &io::Error, reason: Reason, headline: &str, text: String) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::new(Reason::HomeFull, "there is no room left").observed(text)
        }
        _ => Failure::new(reason, headline).observed(text),
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        let text = error.to_string();
        let reason = match error {
            DownloadError::Unreachable { .. } | DownloadError::NoSource { .. } => Reason::DownloadUnreachable,
            // "Network authentication required", which only somebody in between says.
            DownloadError::WebPage { .. } | DownloadError::Refused { status: 511, .. } => Reason::DownloadWebPage,
            DownloadError::Refused { .. } | DownloadError::Redirects { .. } => Reason::DownloadRefused,
            DownloadError::Cut { .. } | DownloadError::Stalled { .. } => Reason::DownloadBroken,
            DownloadError::WrongSize { .. } | DownloadError::WrongChecksum { .. } => Reason::DownloadDamaged,
            DownloadError::NoSpace { .. } => {
                return Self::new(Reason::DiskLow, "there is no room for the download").observed(text);
            }
            DownloadError::EverySource { errors } => {
                let observed = errors.iter().map(ToString::to_string).collect();
                // That there is no network says less than what a mirror answered.
                let telling = |error: &DownloadError| !matches!(error, DownloadError::Unreachable { .. });
                let place = errors.iter().position(telling).unwrap_or(0);
                let failure = errors.into_iter().nth(place).map(Self::from);
                let failure = failure.unwrap_or_else(|| Self::new(Reason::DownloadUnreachable, "the download failed"));
                return Self { observed, ..failure };
            }
            DownloadError::Io { source, .. } => {
                let headline = "the download cannot be written";
                return of_io(&source, Reason::HomeNotWritable, headline, text);
            }
        };
        Self::new(reason, "the download failed").observed(text)
    }
}

impl From<SavedModelError> for Failure {
    fn from(error: SavedModelError) -> Self {
        let text = error.to_string();
        let failure = |reason| Self::new(reason, "the SavedModel cannot be used").observed(text.clone());
        let folder = |path: &Path| path.parent().unwrap_or(path).display().to_string();
        match &error {
            SavedModelError::Missing { dir } => {
                failure(Reason::ModelMissing).then(format!("ls -l {0} {0}/1", dir.display()), "shows what is there")
            }
            SavedModelError::OutsideModel { path, .. } => failure(Reason::ModelLinkOutside)
                .then(format!("find {} -type l -ls", folder(path)), "shows the links; put the files themselves there"),
            SavedModelError::MissingTag { path, .. } => failure(Reason::ModelWithoutServeTag)
                .because("it was exported for training; `model.save` and `tf.saved_model.save` export it for serving")
                .then(
                    format!("saved_model_cli show --dir {}", folder(path)),
                    "lists its tags; it comes with TensorFlow",
                ),
            SavedModelError::Io { source, .. } => {
                of_io(source, Reason::ModelDamaged, "the SavedModel cannot be read", text.clone())
            }
            SavedModelError::Damaged { path, .. } | SavedModelError::UnknownTensor { path, .. } => {
                failure(Reason::ModelDamaged)
                    .because(ANOTHER_COPY)
                    .then(format!("ls -l {}", folder(path)), "shows the sizes, to compare with where it came from")
            }
            SavedModelError::NoVariables { dir, .. } => failure(Reason::ModelDamaged)
                .because(ANOTHER_COPY)
                .then(format!("ls -l {}", dir.display()), "shows what is there; the folder variables belongs to it"),
        }
    }
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        let text = error.to_string();
        match error {
            PlaceError::Unreadable(error) => error.into(),
            PlaceError::VersionNotANumber { directory, found } => {
                let directory = directory.display();
                Self::new(Reason::ModelVersionNotNumber, "the directory holds no version")
                    .observed(text)
                    .then(format!("mv {directory}/{found} {directory}/1"), "names the folder as a version")
            }
            PlaceError::TooNew { obstacles, directory } => {
                let directory = directory.display().to_string();
                let headline = format!("tensorflow/serving:2.5.1 does not load {directory}");
                let mut failure = Self::new(Reason::ModelTooNew, headline)
                    .then(format!("canary-lab models build --from {directory} OUT"), "rewrites it for TensorFlow 2.5");
                failure.observed = obstacles.iter().map(ToString::to_string).collect();
                failure
            }
            PlaceError::NoAnswer { source, directory } => {
                let failure = Self::from(source);
                Self { headline: format!("{} gives no answer", directory.display()), ..failure }
            }
            PlaceError::Unfit { .. } => Self::new(Reason::ModelNotServable, "the directory is no SavedModel")
                .observed(text)
                .because("a model is made of regular files in a few folders"),
            PlaceError::Io { source, path } if source.kind() == io::ErrorKind::NotADirectory => {
                let path = path.display();
                Self::new(Reason::ModelMissing, format!("{path} is no directory"))
                    .observed(text)
                    .because("a SavedModel is a directory; a Keras .h5 file is taken by `--weights`")
                    .then(
                        format!("canary-lab models build NAME DIR --weights {path}"),
                        "makes a SavedModel of a .h5 file",
                    )
            }
            PlaceError::Io { source, path } if source.kind() == io::ErrorKind::NotFound => {
                Self::new(Reason::ModelMissing, format!("there is no {}", path.display()))
                    .observed(text)
                    .because("the path is misspelt, or relative to another folder")
                    .then(format!("ls -l {}", existing(&path).display()), "shows what is there")
            }
            PlaceError::Io { source, .. } => {
                of_io(&source, Reason::ModelMissing, "the SavedModel cannot be read or copied", text)
            }
        }
    }
}

impl From<PredictionError> for Failure {
    fn from(error: PredictionError) -> Self {
        let failure = |reason| Self::new(reason, "the model gives no answer");
        let text = error.to_string();
        match error {
            PredictionError::NotANumber { .. } => failure(Reason::WeightsNotNumbers).observed(text),
            PredictionError::NoClassifier(_) => failure(Reason::ModelNotServable).observed(text),
            PredictionError::Run(error) if error.code == StatusCode::FailedPrecondition => {
                // TensorFlow's own text is about sessions and containers.
                let text = error.message.split(". ").next().unwrap_or_default();
                failure(Reason::ModelDamaged)
                    .observed(text)
                    .because("the graph reads a variable that the folder variables does not hold")
            }
            PredictionError::Run(_) => {
                failure(Reason::ModelNotServable).observed(text).because("the model does not take a batch of pictures")
            }
            PredictionError::Load(LoadError::Files(error)) => error.into(),
            PredictionError::Load(LoadError::UnsupportedOp { op, node, .. }) => failure(Reason::ModelNotServable)
                .observed(format!("op `{op}` of node `{node}` is not one that canary-lab computes"))
                .because("the model is of another kind than the classifiers that canary-lab computes"),
            PredictionError::Load(LoadError::Graph(error)) if error.code == StatusCode::DataLoss => {
                failure(Reason::ModelDamaged).observed(text).because(ANOTHER_COPY)
            }
            PredictionError::Load(LoadError::Graph(_)) => failure(Reason::ModelDamaged)
                .observed(text)
                .because("the graph contradicts itself, or asks for more than a model may have"),
        }
    }
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Self::new(Reason::WeightsUnreadable, "the weights cannot be read").observed(error.to_string())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let text = error.to_string();
        match error {
            BuildError::Weights(error) => error.into(),
            BuildError::Misfit { misfit, file } => {
                let reason = match misfit {
                    Misfit::NotANumber { .. } | Misfit::NegativeVariance { .. } => Reason::WeightsNotNumbers,
                    _ => Reason::WeightsOtherArchitecture,
                };
                let headline = format!("the weights of {} cannot be used", file.display());
                Self::new(reason, headline).observed(misfit.to_string())
            }
            BuildError::Write(SavedModelError::Io { source, .. }) => {
                of_io(&source, Reason::HomeNotWritable, "the model cannot be written", text)
            }
            BuildError::Write(_) | BuildError::Calibration(_) | BuildError::Digest { .. } => {
                Self::new(Reason::ModelNotBuilt, "the model was not built").observed(text)
            }
        }
    }
}

impl From<WeightsFailure> for Failure {
    fn from(error: WeightsFailure) -> Self {
        let text = error.to_string();
        match error {
            WeightsFailure::Download(error) => error.into(),
            WeightsFailure::Unreadable(error) => error.into(),
            WeightsFailure::Build(error) => error.into(),
            WeightsFailure::Place(error) => error.into(),
            WeightsFailure::NoSource { .. } => Self::new(Reason::WeightsMissing, text)
                .because("the catalogue entry lists no such source")
                .then("canary-lab models list", "shows where each model's weights come from"),
            WeightsFailure::NotThere { path } => {
                Self::new(Reason::WeightsMissing, format!("there are no weights {}", path.display()))
                    .observed(text)
                    .because("the path is misspelt, or relative to another folder")
                    .then(format!("ls -l {}", existing(&path).display()), "shows what is there")
            }
            WeightsFailure::FitsNone { .. } => {
                Self::new(Reason::WeightsOtherArchitecture, "the weights file is for another network").observed(text)
            }
            WeightsFailure::NothingInFolder { .. } => Self::new(Reason::WeightsMissing, "the folder has no weights")
                .observed(text)
                .then("canary-lab prefetch --cache DIR", "downloads the published files into a folder")
                .then("canary-lab up --model-dir NAME=DIR", "serves a SavedModel in a model's place"),
            WeightsFailure::Client(_) => Self::new(Reason::Internal, "no HTTP client").observed(text),
            WeightsFailure::Io { .. } => {
                Self::new(Reason::WeightsUnreadable, "the weights cannot be read").observed(text)
            }
        }
    }
}

impl From<PictureError> for Failure {
    fn from(error: PictureError) -> Self {
        Self::new(Reason::PictureUnreadable, "the picture cannot be used").observed(error.to_string())
    }
}
