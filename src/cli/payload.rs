//! `payload`: a picture as a request body.

use std::path::PathBuf;

use super::context::{Context, written};
use crate::doctor::{Failure, Reason};
use crate::models;

/// The largest picture file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Turns a JPEG or PNG into the request body of a prediction: its pixels, neither resized nor preprocessed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  canary-lab payload dog.jpg > request-body.json")]
pub(super) struct Args {
    /// The picture; `portrait` and `small` are the lab's own
    picture: PathBuf,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let picture = read_picture(&args.picture)?;
    let body = models::payload::request_body(&picture);
    match &args.out {
        None => written(context.io.stdout.write_all(&body).and_then(|()| context.io.stdout.flush())),
        Some(path) => {
            std::fs::write(path, &body).map_err(|error| {
                Failure::new(Reason::HomeNotWritable, format!("cannot write {}", path.display()))
                    .observed(error.to_string())
            })?;
            let (width, height) = (picture.width, picture.height);
            context.remark(&format!(
                "{height}x{width} picture, {:.1} MB, written to {}",
                body.len() as f64 / 1e6,
                path.display()
            ))
        }
    }
}

/// A picture of the lab by name, or any JPEG or PNG by path.
pub(super) fn read_picture(path: &std::path::Path) -> Result<models::picture::Picture, Failure> {
    match path.to_str() {
        Some("portrait") if !path.exists() => return Ok(models::picture::portrait()),
        Some("small") if !path.exists() => return Ok(models::picture::small()),
        _ => {}
    }
    let failed = |error: String| {
        Failure::new(Reason::PictureUnreadable, format!("{} is no picture", path.display())).observed(error)
    };
    if path.metadata().is_ok_and(|metadata| metadata.len() > MAX_FILE) {
        return Err(failed(format!("more than {} MB are no picture that can be asked about", MAX_FILE >> 20)));
    }
    let bytes = std::fs::read(path).map_err(|error| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
        Failure::new(Reason::PictureUnreadable, format!("{} cannot be read", path.display()))
            .observed(error.to_string())
            .because("the path is misspelt, or the file is not one that you may read")
            .then(format!("ls -l {}", folder.display()), "shows what is there")
    })?;
    models::picture::decode(&bytes).map_err(|error| failed(error.to_string()))
}
