//! Commands in containers of any cluster, by the API's own streams.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::api::{Api, ApiError};

/// How much goes over the wire at a time.
const CHUNK: usize = 64 << 10;
/// A tar archive's unit.
const BLOCK: usize = 512;
/// The archive ends with a whole record, as `tar` writes and reads it.
const RECORD: usize = 20 * BLOCK;

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
}

/// What a command printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Printed {
    pub(super) out: String,
    pub(super) err: String,
}

impl Api {
    /// Runs a command and returns what it printed, however it ended.
    pub(super) async fn run_in(&self, place: &Place, command: &[&str], within: Duration) -> Result<Printed, ApiError> {
        let work = async {
            let mut process = self.attach(place, command, AttachParams::default().stderr(true)).await?;
            let (out, err) = tokio::join!(everything(process.stdout()), everything(process.stderr()));
            Ok(Printed { out, err })
        };
        tokio::time::timeout(within, work).await.unwrap_or_else(|_| Err(late(command, within)))
    }

    /// Starts `tar` in the container and gives it these files, each by its name below `folder`. Returns the running program:
    /// servers before Kubernetes 1.30 cannot be told that the input is over, so it goes on reading, and whoever called
    /// looks whether the files are there.
    pub(super) async fn unpack_in(
        &self,
        place: &Place,
        into: &str,
        folder: &Path,
        files: &[String],
        mut tell: impl FnMut(u64),
    ) -> Result<Unpacking, ApiError> {
        let command = ["tar", "--no-same-owner", "--no-same-permissions", "-xmf", "-", "-C", into];
        let streams = AttachParams::default().stdin(true).stdout(false).stderr(true).max_stdin_buf_size(CHUNK);
        let mut process = self.attach(place, &command, streams).await?;
        let words = tokio::spawn(everything(process.stderr()));
        let Some(mut stdin) = process.stdin() else {
            return Err(ApiError::Unexpected("exec without an input".to_owned()));
        };
        match send(&mut stdin, folder, files, &mut tell).await {
            Ok(()) => Ok(Unpacking { _process: process, _stdin: Box::new(stdin), words }),
            Err(error) => {
                drop(process);
                let words = words.await.unwrap_or_default();
                Err(ApiError::Unexpected(format!("tar ended early: {error}; {}", words.trim())))
            }
        }
    }

    async fn attach(
        &self,
        place: &Place,
        command: &[&str],
        streams: AttachParams,
    ) -> Result<AttachedProcess, ApiError> {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.client(), &place.namespace);
        let streams = streams.container(place.container.clone());
        super::api::patiently(pods.exec(&place.pod, command.iter().copied(), &streams)).await
    }
}

/// A `tar` that has all of its input.
pub(super) struct Unpacking {
    _process: AttachedProcess,
    /// Its end would end the connection, on servers that know no other end.
    _stdin: Box<dyn AsyncWrite + Send + Unpin>,
    words: tokio::task::JoinHandle<String>,
}

impl Unpacking {
    /// What it complained of, once it has ended; nothing while it runs.
    pub(super) async fn complaint(&mut self) -> Option<String> {
        if !self.words.is_finished() {
            return None;
        }
        let words = (&mut self.words).await.unwrap_or_default();
        Some(words.trim().to_owned()).filter(|words| !words.is_empty())
    }
}

fn late(command: &[&str], within: Duration) -> ApiError {
    ApiError::Unreachable(format!(
        "`{}` in a container did not end within {} s",
        command.first().unwrap_or(&""),
        within.as_secs()
    ))
}

async fn everything(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // A stream that breaks has said what it said.
        let _ = stream.read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes the files as one archive.
async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    folder: &Path,
    files: &[String],
    tell: &mut impl FnMut(u64),
) -> std::io::Result<()> {
    let mut sent = 0_u64;
    let mut buffer = vec![0; CHUNK];
    for name in files {
        let mut file = tokio::fs::File::open(folder.join(name)).await?;
        let size = file.metadata().await?.len();
        let mut header = tar::Header::new_gnu();
        header.set_path(name)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        to.write_all(header.as_bytes()).await?;
        let mut written = 0_u64;
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            to.write_all(&buffer[..read]).await?;
            written += read as u64;
            tell(sent + written);
        }
        if written != size {
            return Err(std::io::Error::other(format!("{name} changed while it was read")));
        }
        let padding = written.next_multiple_of(BLOCK as u64) - written;
        to.write_all(&[0; BLOCK][..usize::try_from(padding).unwrap_or_default()]).await?;
        sent += written;
    }
    // Two empty blocks end an archive; more of them fill the record.
    to.write_all(&[0; RECORD]).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_an_archive_that_unpacks_to_the_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("1/variables")).unwrap();
        std::fs::write(folder.path().join("1/saved_model.pb"), vec![7; 1000]).unwrap();
        std::fs::write(folder.path().join("1/variables/variables.index"), vec![8; 2 * CHUNK + BLOCK]).unwrap();
        let files = ["1/saved_model.pb".to_owned(), "1/variables/variables.index".to_owned()];
        let (mut archive, mut told) = (Vec::new(), 0);
        send(&mut archive, folder.path(), &files, &mut |sent| told = sent).await.unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        assert_eq!(told, 1000 + (2 * CHUNK + BLOCK) as u64);
        let there = tempfile::tempdir().unwrap();
        tar::Archive::new(archive.as_slice()).unpack(there.path()).unwrap();
        for file in &files {
            let read = |root: &tempfile::TempDir| std::fs::read(root.path().join(file)).unwrap();
            assert!(read(&folder) == read(&there), "{file}");
        }
    }
}
