use percent_encoding::percent_decode_str;

/// What a request's path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Objects of a resource.
    Objects(ObjectPath),
    /// Discovery, documents, or nothing that exists.
    Other,
}

/// A path below a group's version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectPath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) resource: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
    /// What follows the subresource, as it was sent: `/some/path` of `proxy/some/path`.
    pub(super) rest: Option<String>,
    /// Whether the path has the old form `/watch/`.
    pub(super) watch: bool,
}

impl Route {
    pub(super) fn parse(text: &str) -> Self {
        let mut segments: Vec<String> = text
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let (group, version, skip) = match segments.first().map(String::as_str) {
            Some("api") if segments.len() > 2 => (String::new(), segments[1].clone(), 2),
            Some("apis") if segments.len() > 3 => (segments[1].clone(), segments[2].clone(), 3),
            _ => return Self::Other,
        };
        segments.drain(..skip);
        let watch = segments[0] == "watch" && segments.len() > 1;
        if watch {
            segments.remove(0);
        }
        let mut rest = segments.into_iter();
        let mut next = || rest.next();
        let mut path = ObjectPath { group, version, watch, ..ObjectPath::default() };
        path.resource = next().unwrap_or_default();
        path.name = next();
        path.subresource = next();
        // `namespaces/NS/RESOURCE` goes on inside the namespace, unless it is a subresource of the namespace itself.
        let within = path.resource == "namespaces"
            && path.subresource.as_deref().is_some_and(|next| next != "status" && next != "finalize");
        if within {
            path.namespace = path.name.take();
            path.resource = path.subresource.take().unwrap_or_default();
            path.name = next();
            path.subresource = next();
        }
        if path.subresource.as_deref() == Some("proxy") {
            path.rest = text.split_once("/proxy/").map(|(_, rest)| format!("/{rest}"));
        }
        Self::Objects(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let some = |text: &str| Some(text.to_owned());
        let base = ObjectPath { version: "v1".to_owned(), ..ObjectPath::default() };
        for (path, expected) in [
            ("/api/v1/pods", ObjectPath { resource: "pods".into(), ..base.clone() }),
            ("/api/v1/namespaces", ObjectPath { resource: "namespaces".into(), ..base.clone() }),
            ("/api/v1/namespaces/a", ObjectPath { resource: "namespaces".into(), name: some("a"), ..base.clone() }),
            (
                "/api/v1/namespaces/a/finalize",
                ObjectPath {
                    resource: "namespaces".into(),
                    name: some("a"),
                    subresource: some("finalize"),
                    ..base.clone()
                },
            ),
            (
                "/api/v1/watch/namespaces/a/pods/p/",
                ObjectPath {
                    namespace: some("a"),
                    resource: "pods".into(),
                    name: some("p"),
                    watch: true,
                    ..base.clone()
                },
            ),
            (
                "/api/v1/namespaces/a/services/s:80/proxy/v1/x%20y",
                ObjectPath {
                    namespace: some("a"),
                    resource: "services".into(),
                    name: some("s:80"),
                    subresource: some("proxy"),
                    rest: some("/v1/x%20y"),
                    ..base.clone()
                },
            ),
            (
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                ObjectPath {
                    group: "apps".into(),
                    namespace: some("a"),
                    resource: "deployments".into(),
                    name: some("d"),
                    subresource: some("scale"),
                    ..base.clone()
                },
            ),
        ] {
            assert_eq!(Route::parse(path), Route::Objects(expected), "{path}");
        }
        for path in ["/", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v3/apis/apps/v1"] {
            assert_eq!(Route::parse(path), Route::Other, "{path}");
        }
    }
}
