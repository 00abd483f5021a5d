//! Where the mesh's webhooks stand: injection of sidecars, Istio's validation, and the limits of the embedded cluster.
//!
//! The first two work as webhooks do: only while their configuration exists, and with `failurePolicy: Fail` a control plane that
//! does not run refuses the write. The limits are the embedded cluster's own and always hold.

use serde_json::Value;

use super::discovery::Mesh;
use super::injection;
use crate::embedded::api::admission::{Admission, AdmissionRequest, Denial, Operation};
use crate::routing::admission::{check_limits, validate_destination_rule, validate_gateway, validate_virtual_service};

const INJECTOR_CONFIGURATION: &str = "istio-revision-tag-default";
const INJECTOR: &str = "namespace.sidecar-injector.istio.io";
const VALIDATOR_CONFIGURATION: &str = "istiod-default-validator";
const VALIDATOR: &str = "validation.istio.io";
const LIMITS: &str = "limits.embedded.canary-lab";
const ISTIO_GROUPS: [&str; 4] =
    ["networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"];

/// The mesh's answers to writes.
pub struct MeshAdmission {
    mesh: Mesh,
}

impl MeshAdmission {
    pub(super) fn new(mesh: Mesh) -> Self {
        Self { mesh }
    }

    /// The webhook's failure policy, `None` where it is not configured.
    fn failure_policy(&self, resource: &str, configuration: &str) -> Option<String> {
        let resource = format!("{resource}.admissionregistration.k8s.io");
        let object = self.mesh.registry().get(&resource, None, configuration).ok()?;
        Some(object["webhooks"][0]["failurePolicy"].as_str().unwrap_or("Fail").to_owned())
    }
}

fn denied(webhook: &str, text: &str) -> Denial {
    Denial { code: 400, reason: None, message: format!("admission webhook {webhook:?} denied the request: {text}") }
}

/// What the API server says when nobody answers behind the webhook's Service.
fn unreachable(webhook: &str, path: &str) -> Denial {
    Denial {
        code: 500,
        reason: Some("InternalError".to_owned()),
        message: format!(
            "Internal error occurred: failed calling webhook {webhook:?}: failed to call webhook: Post \
             \"https://istiod.istio-system.svc:443/{path}?timeout=10s\": no endpoints available for service \"istiod\""
        ),
    }
}

impl Admission for MeshAdmission {
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Denial> {
        if request.resource != "pods" || request.operation != Operation::Create {
            return Ok(());
        }
        let Some(namespace) = &request.namespace_object else { return Ok(()) };
        if !injection::is_wanted(namespace, object) {
            return Ok(());
        }
        let Some(policy) = self.failure_policy("mutatingwebhookconfigurations", INJECTOR_CONFIGURATION) else {
            return Ok(());
        };
        if self.mesh.is_running() {
            injection::inject(object, request.namespace.unwrap_or_default());
            Ok(())
        } else if policy == "Fail" {
            Err(unreachable(INJECTOR, "inject"))
        } else {
            Ok(())
        }
    }

    fn validate(&self, request: &AdmissionRequest<'_>) -> Result<Vec<String>, Denial> {
        let Some(object) = request.object else { return Ok(Vec::new()) };
        if !ISTIO_GROUPS.contains(&request.gvk.group.as_str()) {
            return Ok(Vec::new());
        }
        let mut warnings = Vec::new();
        match self.failure_policy("validatingwebhookconfigurations", VALIDATOR_CONFIGURATION).as_deref() {
            Some(_) if self.mesh.is_running() => {
                let verdict = match request.gvk.kind.as_str() {
                    "VirtualService" => Some(validate_virtual_service(object)),
                    "DestinationRule" => Some(validate_destination_rule(object)),
                    "Gateway" => Some(validate_gateway(object)),
                    _ => None,
                };
                if let Some(verdict) = verdict {
                    if let Some(text) = verdict.refusal() {
                        return Err(denied(VALIDATOR, text));
                    }
                    warnings = verdict.warnings().to_vec();
                }
            }
            Some("Fail") => return Err(unreachable(VALIDATOR, "validate")),
            _ => {}
        }
        check_limits(&request.gvk.kind, object).map_err(|text| denied(LIMITS, &text))?;
        Ok(warnings)
    }
}
