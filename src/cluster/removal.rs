//! Taking an object away, and waiting until it is gone with all that depends on it.

use std::time::Duration;

use futures::StreamExt;

use super::api::{Api, ApiError, ObjectRef, Watched};

/// How a removal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Removal {
    /// It is gone, and what depended on it too.
    Gone,
    /// It was not there.
    Absent,
    /// An object of that name is there, made anew by somebody else.
    AnotherOne,
    /// It is being deleted, and something holds it.
    Lingers,
}

impl Api {
    /// Deletes the object if it still has this uid, dependents first, and waits at most `patience` for its end.
    pub async fn remove(&self, object: &ObjectRef, uid: Option<&str>, patience: Duration) -> Result<Removal, ApiError> {
        match self.delete(object, uid).await {
            Ok(true) => {}
            Ok(false) => return Ok(Removal::Absent),
            Err(ApiError::Refused { code: 409, .. }) if uid.is_some() => return Ok(Removal::AnotherOne),
            Err(error) => return Err(error),
        }
        match tokio::time::timeout(patience, self.gone(object)).await {
            Ok(done) => done.map(|()| Removal::Gone),
            Err(_) => Ok(Removal::Lingers),
        }
    }

    /// Waits for the end of an object.
    async fn gone(&self, object: &ObjectRef) -> Result<(), ApiError> {
        loop {
            let selector = format!("metadata.name={}", object.name);
            let events = match self.watch(&object.gvk, object.namespace.as_deref(), ("fieldSelector", &selector)).await
            {
                Ok(events) => events,
                // The kind went with its definition.
                Err(error) if error.is_not_found() || matches!(error, ApiError::UnknownKind { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut events = std::pin::pin!(events);
            // The watch is open before the look, so that no deletion falls between them.
            if self.get(object).await?.is_none() {
                return Ok(());
            }
            while let Some(event) = events.next().await {
                match event {
                    Ok(Watched::Gone(_)) => return Ok(()),
                    Ok(Watched::Is(_)) => {}
                    // Begun anew, from what is there.
                    Err(ApiError::Refused { code: 410, .. }) => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
