//! The options about models that several commands share.

use std::path::PathBuf;

use super::context::Context;
use crate::models::weights::{ModelDirectory, WeightsChoice};
use crate::steps::Choices;

/// Names the folder of downloaded files where no flag does.
pub(super) const CACHE_VARIABLE: &str = "CANARY_LAB_CACHE";
/// Names the mirror where no flag does.
pub(super) const MIRROR_VARIABLE: &str = "CANARY_LAB_MIRROR";

/// Where weights come from.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ModelOptions {
    /// Where weights come from: auto (what is built, else pretrained if they can be downloaded, else synthetic),
    /// pretrained, synthetic, a Keras .h5 file, or a folder with .h5 files or SavedModels
    #[arg(long, value_name = "WEIGHTS", default_value = "auto")]
    pub(super) weights: WeightsChoice,

    /// A SavedModel of your own for a model of the lab; may be given once for each
    #[arg(long, value_name = "NAME=DIR")]
    pub(super) model_dir: Vec<ModelDirectory>,

    #[command(flatten)]
    pub(super) downloads: DownloadOptions,
}

/// Where downloads are kept and come from.
#[derive(Debug, Default, clap::Args)]
pub(super) struct DownloadOptions {
    /// The folder of downloaded files, which labs may share; else CANARY_LAB_CACHE, else the home's
    #[arg(long, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,

    /// Look for files at URL/FILE before their own address; else CANARY_LAB_MIRROR
    #[arg(long, value_name = "URL")]
    pub(super) mirror: Option<String>,
}

impl ModelOptions {
    /// What was asked for.
    pub(super) fn choices(&self, context: &Context) -> Choices {
        let directories = self.model_dir.iter().map(|own| (own.name.clone(), own.directory.clone()));
        Choices {
            weights: self.weights.clone(),
            model_directories: directories.collect(),
            ..self.downloads.choices(context)
        }
    }
}

impl DownloadOptions {
    /// What was asked for, with nothing said about models.
    pub(super) fn choices(&self, context: &Context) -> Choices {
        let environment = &context.io.environment;
        let cache = self.cache.clone().or_else(|| environment.get(CACHE_VARIABLE).map(PathBuf::from));
        let mirror = self.mirror.clone().or_else(|| environment.text(MIRROR_VARIABLE).map(str::to_owned));
        Choices { cache, mirror, ..Choices::default() }
    }
}
