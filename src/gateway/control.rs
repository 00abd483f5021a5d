//! What the mesh and its proxies say to each other: JSON frames with a length in front, over a unix socket.
//!
//! A proxy introduces itself, then the mesh pushes and the proxy acknowledges. Both ends are the same binary, so the protocol has
//! one number and no negotiation: another number ends the connection.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::routing::snapshot::Snapshot;

/// The protocol's number.
pub const PROTOCOL: u32 = 1;
/// The environment variable with the path of the mesh's socket.
pub const SOCKET_VARIABLE: &str = "CANARY_LAB_MESH_SOCKET";
/// Far above any snapshot; a longer frame is a confused peer.
const LONGEST_FRAME: usize = 64 << 20;

/// What kind of proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProxyKind {
    /// An ingress gateway.
    Gateway,
    /// A sidecar.
    Sidecar,
}

/// A proxy's introduction, its first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// What it is.
    pub kind: ProxyKind,
    /// Its pod's namespace.
    pub namespace: String,
    /// Its pod's name.
    pub name: String,
}

/// A proxy's answer to a push: every one of its threads obeys the revision now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The revision.
    pub revision: u64,
    /// Ports that accept connections now.
    pub listening: Vec<u16>,
    /// Ports that could not be bound, with the reason.
    pub refused: Vec<(u16, String)>,
}

/// What the mesh pushes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Push {
    /// To a gateway: everything.
    Routes(Box<Snapshot>),
    /// To a sidecar, which needs little.
    Sidecar {
        /// The revision.
        revision: u64,
        /// Whether requests are logged on standard output.
        access_log: bool,
    },
}

/// Writes one frame.
///
/// # Errors
/// The stream's.
pub async fn write_frame<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Reads one frame; `None` when the peer has closed between frames.
///
/// # Errors
/// The stream's, and `InvalidData` for a frame that is too long or not the message.
pub async fn read_frame<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut length = [0_u8; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_follow_each_other_and_end() {
        let (mut left, mut right) = tokio::io::duplex(64);
        let hello = Hello { protocol: PROTOCOL, kind: ProxyKind::Gateway, namespace: "a".into(), name: "b".into() };
        let sent = hello.clone();
        let writer = tokio::spawn(async move {
            write_frame(&mut left, &sent).await.unwrap();
            write_frame(&mut left, &Push::Sidecar { revision: 3, access_log: true }).await.unwrap();
        });
        assert_eq!(read_frame::<Hello>(&mut right).await.unwrap(), Some(hello));
        let push = read_frame::<Push>(&mut right).await.unwrap();
        assert_eq!(push, Some(Push::Sidecar { revision: 3, access_log: true }));
        writer.await.unwrap();
        assert_eq!(read_frame::<Push>(&mut right).await.unwrap(), None);
    }
}
