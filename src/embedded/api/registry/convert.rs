//! From the stored version of an object to another one that is served.

use std::borrow::Cow;

use serde_json::Value;

use crate::embedded::api::catalog::Resource;

/// The object as it looks in this version.
pub(in crate::embedded::api) fn to_version<'a>(
    resource: &Resource,
    version: &str,
    object: &'a Value,
) -> Cow<'a, Value> {
    let api_version = resource.gvk(version).api_version();
    if object["apiVersion"] == api_version {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object["apiVersion"] = api_version.into();
    Cow::Owned(object)
}
