//! What is asked with a picture, and what each model must answer to it, computed in process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::model::{self, Record};
use super::picture;
use crate::doctor::{Failure, Reason};
use crate::inference::{Session, SessionOptions, Tensor, TensorData};
use crate::lab::{Lab, Picture};
use crate::models;
use crate::models::picture::Picture as Pixels;
use crate::savedmodel::proto::TensorInfo;
use crate::state::{Home, write_atomically};
use crate::traffic::{Expectation, Oracle, Question};

/// The version of the kept answers; another inference that answers otherwise gets another number.
const VERSION: u32 = 1;
/// The signature that TensorFlow Serving answers REST predictions by when none is named.
const SIGNATURE: &str = "serving_default";

/// A question and its oracle.
#[derive(Debug)]
pub struct Asking {
    /// What is sent.
    pub question: Question,
    /// What each model answers.
    pub oracle: Oracle,
    /// Pixels: width and height.
    pub size: (usize, usize),
}

/// An answer that was computed before, kept because computing it takes longer than asking for it.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    model: String,
    request: String,
    probabilities: Vec<f32>,
}

impl Asking {
    /// Prepares the question of a picture that the lab names.
    pub async fn prepare(lab: &Lab, home: &Home, picture: Picture) -> Result<Self, Failure> {
        Self::of_picture(lab, home, picture::pixels(picture, home)?).await
    }

    /// Prepares the question of any picture. Models that are not built make it fail.
    pub async fn of_picture(lab: &Lab, home: &Home, picture: Pixels) -> Result<Self, Failure> {
        let (names, home) = (lab.spec.models.keys().cloned().collect::<Vec<_>>(), home.clone());
        let path = lab.spec.request.path.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let body = Bytes::from(models::payload::request_body(&picture));
            let picture = Arc::new(picture);
            let answers = answers_of(&names, &home, &picture, &body)?;
            let oracle = Oracle::new(answers).map_err(|error| {
                Failure::new(Reason::PredictionWrong, "the models cannot be told apart").observed(error.to_string())
            })?;
            let size = (picture.width, picture.height);
            Ok(Self { question: Question { path, body, headers: Vec::new() }, oracle, size })
        });
        computed.await.map_err(|error| {
            Failure::new(Reason::Internal, "the computation of answers ended").observed(error.to_string())
        })?
    }

    /// `600x512`: height before width, as the request's shape has them.
    pub fn size_text(&self) -> String {
        format!("{}x{}", self.size.1, self.size.0)
    }
}

fn answers_of(names: &[String], home: &Home, picture: &Pixels, body: &[u8]) -> Result<Vec<Expectation>, Failure> {
    let request = hex(&Sha256::digest(body));
    // One model after the other: each uses all cores, and only one is in memory.
    names
        .iter()
        .map(|name| {
            let record = Record::read(home, name)?;
            let file = kept_file(home, name, &request);
            let known = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
            let known = known
                .filter(|kept| kept.version == VERSION && kept.model == record.digest() && kept.request == request);
            let probabilities = match known {
                Some(kept) => kept.probabilities,
                None => compute_and_keep(home, name, picture, &file, &record.digest(), &request)?,
            };
            Ok(Expectation { version: name.clone(), probabilities })
        })
        .collect()
}

fn compute_and_keep(
    home: &Home,
    name: &str,
    picture: &Pixels,
    file: &Path,
    model: &str,
    request: &str,
) -> Result<Vec<f32>, Failure> {
    let probabilities = compute(&model::version_directory(home, name), picture)?;
    let kept = Kept { version: VERSION, model: model.to_owned(), request: request.to_owned(), probabilities };
    if let (Some(folder), Ok(text)) = (file.parent(), serde_json::to_vec(&kept)) {
        // An answer that could not be kept is computed again; nothing else depends on it.
        let _ = std::fs::create_dir_all(folder).and_then(|()| write_atomically(file, &text));
    }
    Ok(kept.probabilities)
}

fn kept_file(home: &Home, model: &str, request: &str) -> PathBuf {
    home.cache().join("answers").join(format!("{model}-{}.json", &request[..16]))
}

/// Runs the SavedModel's serving signature on the picture's pixels.
fn compute(directory: &Path, picture: &Pixels) -> Result<Vec<f32>, Failure> {
    let damaged = |error: String| {
        Failure::new(Reason::ModelDamaged, format!("{} cannot be run", directory.display())).observed(error)
    };
    let session = Session::load(directory, &SessionOptions::default()).map_err(|error| damaged(error.to_string()))?;
    let signature =
        session.signatures().get(SIGNATURE).ok_or_else(|| damaged(format!("it has no signature {SIGNATURE}")))?;
    let tensor = |infos: &BTreeMap<String, TensorInfo>| {
        infos.values().next().and_then(TensorInfo::tensor_name).map(str::to_owned)
    };
    let (Some(input), Some(output)) = (tensor(&signature.inputs), tensor(&signature.outputs)) else {
        return Err(damaged("its signature names no tensors".to_owned()));
    };
    let shape = [1, picture.height, picture.width, 3];
    let values = picture.rgb.iter().map(|value| f32::from(*value)).collect();
    let feed = Tensor::floats(&shape, values)
        .ok_or_else(|| damaged("the picture has another size than it says".to_owned()))?;
    let mut results = session.run(&[(&input, feed)], &[&output]).map_err(|error| damaged(error.to_string()))?;
    let probabilities = results.pop().and_then(|tensor| match tensor.data {
        TensorData::Float(values) => Some(values),
        _ => None,
    });
    probabilities.ok_or_else(|| damaged("it does not answer with 32-bit floats".to_owned()))
}

/// Lowercase hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
