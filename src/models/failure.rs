//! What goes wrong with models, as failures with a reason.

use std::io;

use super::built::BuildError;
use super::hdf5::WeightsError;
use super::picture::PictureError;
use super::place::PlaceError;
use super::prediction::PredictionError;
use super::pretrained::Misfit;
use super::weights::WeightsFailure;
use crate::doctor::{Failure, Reason};
use crate::download::DownloadError;
use crate::savedmodel::SavedModelError;

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
        let reason = match &error {
            DownloadError::Unreachable { .. } | DownloadError::NoSource { .. } => Reason::DownloadUnreachable,
            DownloadError::Refused { .. } => Reason::DownloadRefused,
            DownloadError::Cut { .. } | DownloadError::Stalled { .. } => Reason::DownloadBroken,
            DownloadError::WebPage { .. } => Reason::DownloadWebPage,
            DownloadError::WrongSize { .. } | DownloadError::WrongChecksum { .. } => Reason::DownloadDamaged,
            DownloadError::NoSpace { .. } => {
                return Self::new(Reason::DiskLow, "there is no room for the download").observed(error.to_string());
            }
            DownloadError::Io { source, .. } => {
                let headline = "the download cannot be written";
                return of_io(source, Reason::HomeNotWritable, headline, error.to_string());
            }
        };
        Self::new(reason, "the download failed").observed(error.to_string())
    }
}

impl From<SavedModelError> for Failure {
    fn from(error: SavedModelError) -> Self {
        let text = error.to_string();
        let reason = match &error {
            SavedModelError::Missing { .. } => Reason::ModelMissing,
            SavedModelError::OutsideModel { .. } => Reason::ModelLinkOutside,
            SavedModelError::MissingTag { .. } => Reason::ModelWithoutServeTag,
            SavedModelError::Io { source, .. } => {
                return of_io(source, Reason::ModelDamaged, "the SavedModel cannot be read", text);
            }
            SavedModelError::Damaged { .. }
            | SavedModelError::UnknownTensor { .. }
            | SavedModelError::NoVariables { .. } => Reason::ModelDamaged,
        };
        Self::new(reason, "the SavedModel cannot be used").observed(text)
    }
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        let text = error.to_string();
        match error {
            PlaceError::Unreadable(error) => error.into(),
            PlaceError::VersionNotANumber { .. } => {
                Self::new(Reason::ModelVersionNotNumber, "the directory holds no version").observed(text)
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
            PlaceError::Io { source, .. } => {
                of_io(&source, Reason::ModelMissing, "the SavedModel cannot be read or copied", text)
            }
        }
    }
}

impl From<PredictionError> for Failure {
    fn from(error: PredictionError) -> Self {
        let (reason, text) = (reason_of(&error), error.to_string());
        Self::new(reason, "the model gives no answer").observed(text)
    }
}

fn reason_of(error: &PredictionError) -> Reason {
    match error {
        PredictionError::NotANumber { .. } => Reason::WeightsNotNumbers,
        PredictionError::NoClassifier(_) | PredictionError::Run(_) => Reason::ModelNotServable,
        PredictionError::Load(_) => Reason::ModelDamaged,
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
            WeightsFailure::FitsNone { .. } => {
                Self::new(Reason::WeightsOtherArchitecture, "the weights file is for another network").observed(text)
            }
            WeightsFailure::NothingInFolder { .. } => {
                Self::new(Reason::WeightsMissing, "the folder has no weights").observed(text)
            }
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
