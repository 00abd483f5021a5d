use jiff::Timestamp;
use serde_json::{Value, json};

use super::ownership::{self, Author, Ownership};
use super::rules::Part;
use super::write::{Target, WriteOptions, Written};
use super::{Registry, convert, decode};
use crate::embedded::api::catalog::Resource;
use crate::embedded::api::status::Status;
use crate::embedded::store::revision_of;
use crate::objects::decode::check_types;
use crate::objects::fields::{self, Conflict, Managers};
use crate::objects::{Gvk, meta};

impl Registry {
    /// Applies an object on the server's side; one that does not exist is created (then the second value is true).
    ///
    /// # Errors
    /// 409 for fields that other writers own, unless `force` takes them over; 500 for an object that its kind cannot
    /// have; otherwise as [`patch`](Self::patch) and [`create`](Self::create).
    pub(in crate::embedded::api) async fn apply_with(
        &self,
        target: Target<'_>,
        version: &str,
        part: Part,
        applied: &Applied,
        dry_run: bool,
    ) -> Result<(Written, bool), Status> {
        let Target { resource, namespace, name } = target;
        let gvk = resource.gvk(version);
        applied.check(target, &gvk)?;
        let config = ownership::settable(resource, part, &applied.object);
        let options = WriteOptions { dry_run, ownership: Ownership::Settled };
        let changed = self.change(target, part, &options, |old| {
            let live = convert::to_version(resource, version, old);
            let mut new = applied.onto(&config, resource, &gvk, Some(&live))?;
            if meta::namespace(&new) != meta::namespace(old) {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            if meta::resource_version(&applied.object).is_some_and(|version| version != revision_of(old).to_string()) {
                return Err(Status::modified(resource, name));
            }
            let owners = ownership::take(&mut new);
            decode::settle_kind(resource, &mut new)?;
            decode::normalize(resource, &mut new);
            ownership::put(&mut new, owners);
            Ok(new)
        });
        match changed.await {
            Err(status) if status.is_not_found() && part == Part::Main => {}
            outcome => return Ok((outcome?, false)),
        }
        let new = applied.onto(&config, resource, &gvk, None)?;
        Ok((self.create_with(resource, namespace, new, &options).await?, true))
    }
}

/// What somebody applies on the server's side.
pub(in crate::embedded::api) struct Applied {
    /// The object as the client wrote it.
    pub(in crate::embedded::api) object: Value,
    /// Who applies it.
    pub(in crate::embedded::api) author: Author,
    /// Whether fields are taken over from others.
    pub(in crate::embedded::api) force: bool,
}

impl Applied {
    /// Checks what can be told without the live object.
    fn check(&self, target: Target<'_>, gvk: &Gvk) -> Result<(), Status> {
        let given = Gvk::of(&self.object).unwrap_or_else(|| Gvk::new("", "", ""));
        if given != *gvk {
            let Gvk { group, version, kind } = &given;
            let place = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
            return Err(Status::bad_request(format!("invalid object type: {place}, Kind={kind}")));
        }
        if !self.object["metadata"]["managedFields"].is_null() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let name = meta::name(&self.object);
        if name != target.name && !name.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        let errors = fields::check(&self.object, ownership::place(target.resource));
        if errors.is_empty() {
            return Ok(());
        }
        let why = match errors.as_slice() {
            [only] => only.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let namespace = meta::namespace(&self.object).unwrap_or_default();
        let place = format!("{namespace}/{name}; {}, Kind={}", gvk.api_version(), gvk.kind);
        Err(Status::plain(500, format!("failed to create typed patch object ({place}): {why}")))
    }

    /// The live object (or none) with `config`, which is what this writer may set, applied to it, owners recorded.
    fn onto(&self, config: &Value, resource: &Resource, gvk: &Gvk, live: Option<&Value>) -> Result<Value, Status> {
        let now = meta::time_text(Timestamp::now());
        let recorded = live.map(|live| &live["metadata"]["managedFields"]);
        let mut managers = recorded.and_then(Managers::decode).unwrap_or_default();
        let writer = self.author.writer(&now);
        let place = ownership::place(resource);
        let mut new = managers.apply(live, config, place, writer, self.force).map_err(|all| conflict(&all))?;
        check_types(gvk, &new).map_err(|error| {
            Status::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: {error}",
                gvk.kind, gvk.version, gvk.kind
            ))
        })?;
        ownership::put(&mut new, managers.encode());
        Ok(new)
    }
}

/// The refusal of an applier that would change what others own.
fn conflict(conflicts: &[Conflict]) -> Status {
    let message = match conflicts {
        [only] => format!("Apply failed with 1 conflict: conflict with {}: {}", only.owner, only.path),
        many => {
            let mut lines = Vec::new();
            let mut owner = "";
            for conflict in many {
                if conflict.owner != owner {
                    owner = &conflict.owner;
                    lines.push(format!("conflicts with {owner}:"));
                }
                lines.push(format!("- {}", conflict.path));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", conflict.owner),
                "field": conflict.path,
            })
        })
        .collect();
    let mut status = Status::new(409, "Conflict", message);
    status.details = Some(Box::new(json!({"causes": causes})));
    status
}
