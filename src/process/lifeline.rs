//! A child's end of the lifeline: standard input, held open by the parent and never written to.

use tokio::io::AsyncReadExt;

/// Waits until the parent is gone, that is, until standard input reaches its end or fails.
///
/// Bytes that arrive before the end are read and dropped.
pub async fn parent_gone() {
    let mut stdin = tokio::io::stdin();
    let mut sink = [0_u8; 256];
    loop {
        match stdin.read(&mut sink).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
