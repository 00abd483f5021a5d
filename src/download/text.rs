//! Short published texts, such as a checksum beside its file.

use futures::StreamExt;

use super::DownloadError;
use super::transfer::{Downloader, excerpt, is_web_page};
use crate::cause::innermost;

impl Downloader {
    /// The text at `url`, at most `limit` bytes of it. Asked once more when the first attempt brings nothing.
    pub async fn text(&self, url: &str, limit: usize) -> Result<String, DownloadError> {
        match self.text_once(url, limit).await {
            Err(
                DownloadError::Unreachable { .. }
                | DownloadError::Cut { .. }
                | DownloadError::Refused { status: 429 | 500..=599, .. },
            ) => {
                tokio::time::sleep(self.patience.pause).await;
                self.text_once(url, limit).await
            }
            result => result,
        }
    }

    async fn text_once(&self, url: &str, limit: usize) -> Result<String, DownloadError> {
        let stalled = |received| DownloadError::Stalled { url: url.to_owned(), received, limit: self.patience.stall };
        let response = match tokio::time::timeout(self.patience.stall, self.http.get(url).send()).await {
            Err(_) => return Err(stalled(0)),
            Ok(Err(error)) => {
                return Err(DownloadError::Unreachable { url: url.to_owned(), detail: innermost(&error) });
            }
            Ok(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        if status != 200 {
            return Err(DownloadError::Refused { url: url.to_owned(), status });
        }
        let page = is_web_page(&response);
        let mut body = response.bytes_stream();
        let mut bytes = Vec::new();
        loop {
            match tokio::time::timeout(self.patience.stall, body.next()).await {
                Err(_) => return Err(stalled(bytes.len() as u64)),
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    let received = bytes.len() as u64;
                    return Err(DownloadError::Cut { url: url.to_owned(), received, detail: innermost(&error) });
                }
                Ok(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
            }
            if bytes.len() > limit {
                bytes.truncate(limit);
                break;
            }
        }
        if page {
            return Err(DownloadError::WebPage { url: url.to_owned(), excerpt: excerpt(&bytes) });
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
